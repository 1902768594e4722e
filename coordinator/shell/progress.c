/* progress.c - lines for the person who watches: who is awaited, and for how long. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/shell/server_private.h"

enum {
    LOOK_MS = 250,
    NAMES_MAX = 5 /* in one line */
};

/* A line twice: as it is said, and without times, to see whether it is new. */
typedef struct line {
    char said[512], key[512];
    size_t said_length, key_length;
    size_t names;
} line;

static void
add(char *text, size_t *length, size_t room, const char *more)
{
    int written = snprintf(text + *length, room - *length, "%s", more);
    if (written > 0) {
        *length +=
            (size_t)written < room - *length ? (size_t)written : room - *length - 1;
    }
}

static void
add_both(line *it, const char *text)
{
    add(it->said, &it->said_length, sizeof it->said, text);
    add(it->key, &it->key_length, sizeof it->key, text);
}

static void
add_name(witan_server *self, line *it, const char *name, const server_seat *seat)
{
    char text[64];
    if (it->names++ >= NAMES_MAX) {
        return;
    }
    add_both(it, it->names > 1 ? ", " : "");
    add_both(it, name);
    if (seat != NULL && !seat->told_present && seat->left_ms != 0) {
        (void)snprintf(text, sizeof text, " (absent %" PRIu64 " s)",
                       (server_now(self) - seat->left_ms) / 1000);
        add(it->said, &it->said_length, sizeof it->said, text);
        add(it->key, &it->key_length, sizeof it->key, " (absent)");
    } else if (seat != NULL && !seat->told_present) {
        add_both(it, " (absent)");
    }
}

static void
add_rest(line *it)
{
    char text[64];
    if (it->names > NAMES_MAX) {
        (void)snprintf(text, sizeof text, " and %zu more", it->names - NAMES_MAX);
        add_both(it, text);
    }
}

static void
describe_waiting(witan_server *self, line *it)
{
    char text[96];
    size_t present = 0;
    uint64_t now_s = server_wall(self);
    for (size_t n = 0; n < self->seats; n++) {
        present += self->seat[n].told_present;
    }
    (void)snprintf(text, sizeof text,
                   "waiting for clients: %zu of at least %zu present", present,
                   self->core_config.minimum_clients);
    add_both(it, text);
    add_both(it, " (expected: ");
    for (size_t n = 0; n < self->seats; n++) {
        const server_seat *seat = &self->seat[n];
        if (seat->held && !seat->told_present) {
            add_name(self, it, seat->peer.name, NULL);
        }
    }
    for (size_t i = 0; i < self->invitations_count; i++) {
        const witan_invitation *invitation = &self->invitations[i].it;
        if (!invitation->used && invitation->expires_s > now_s) {
            add_name(self, it, invitation->name, NULL);
        }
    }
    add_rest(it);
    add_both(it, it->names == 0 ? "nobody yet: witan invite)" : ")");
}

static void
describe_round(witan_server *self, line *it)
{
    char text[128];
    bool collecting = self->phase == SERVER_COLLECT;
    bool exchanges = self->core_config.strategy->exchange != WITAN_EXCHANGE_NONE;
    size_t of = 0, ready = 0;
    for (size_t n = 0; n < self->seats; n++) {
        const witan_coordinator_client *client =
            witan_coordinator_client_at(self->core, n);
        bool counts = collecting || !exchanges ? client->asked : client->answered;
        of += counts;
        ready += counts && (collecting ? client->answered : client->done);
    }
    (void)snprintf(text, sizeof text, "round %u: %zu of %zu %s",
                   (unsigned)self->row.round + 1, ready, of,
                   collecting ? "answered" : "done");
    add_both(it, text);
    for (size_t n = 0; n < self->seats; n++) {
        const server_seat *seat = &self->seat[n];
        const witan_coordinator_client *client =
            witan_coordinator_client_at(self->core, n);
        bool counts = collecting || !exchanges ? client->asked : client->answered;
        if (counts && !client->removed && !client->gone &&
            !(collecting ? client->answered : client->done)) {
            if (it->names == 0) {
                add_both(it, ", waiting for ");
            }
            add_name(self, it, seat->peer.name, seat);
        }
    }
    add_rest(it);
}

void
server_progress(witan_server *self)
{
    line it = {0};
    uint64_t now = server_now(self);
    if (now - self->looked_ms < LOOK_MS || self->waiting != SERVER_WAITS_FOR_NOTHING ||
        self->finished) {
        return;
    }
    self->looked_ms = now;
    if (self->phase == SERVER_BETWEEN) {
        describe_waiting(self, &it);
    } else {
        describe_round(self, &it);
    }
    if (strcmp(it.key, self->said) == 0 && now - self->said_ms < SERVER_SAY_MS) {
        return;
    }
    self->said_ms = now;
    memcpy(self->said, it.key, sizeof self->said);
    server_say(self, "%s", it.said);
}
