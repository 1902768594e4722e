#include "cli/overview.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secure/secret.h"

witan_status
witan_overview_setting(witan_ledger *ledger, const char *name, char *out, size_t room,
                       witan_diag *diag)
{
    char *value = NULL;
    WITAN_TRY(witan_ledger_setting(ledger, name, &value, diag));
    int length = snprintf(out, room, "%s", value == NULL ? "" : value);
    witan_free(witan_allocator_default(), value);
    return length >= 0 && (size_t)length < room
               ? WITAN_OK
               : witan_diag_fail(
                     diag, WITAN_E_DATA,
                     "witan.db: setting \"%s\" is damaged; restore a backup", name);
}

witan_status
witan_overview_config(witan_config *out, witan_ledger *ledger, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    char *json = NULL;
    WITAN_TRY(witan_ledger_setting(ledger, "experiment", &json, diag));
    if (json == NULL) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "no experiment here yet: start witan coordinator with "
                               "this state directory once");
    }
    witan_status status = witan_config_init(out, allocator);
    if (status == WITAN_OK) {
        status = witan_config_read(out, json, strlen(json), "witan.db: experiment",
                                   allocator, diag);
        if (status != WITAN_OK) {
            witan_config_fini(out, allocator);
        }
    }
    witan_free(allocator, json);
    return status;
}

/* The coordinator's public keys; 64 hexadecimal digits each. */
static witan_status
load_key(uint8_t out[WITAN_KEY_SIZE], witan_ledger *ledger, const char *name,
         witan_diag *diag)
{
    char hex[2 * WITAN_KEY_SIZE + 1];
    unsigned byte;
    WITAN_TRY(witan_overview_setting(ledger, name, hex, sizeof hex, diag));
    for (size_t i = 0; i < WITAN_KEY_SIZE; i++) {
        if (strlen(hex) != 2 * WITAN_KEY_SIZE ||
            sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            return witan_diag_fail(
                diag, WITAN_E_DATA,
                "witan.db: setting \"%s\" is damaged; restore a backup", name);
        }
        out[i] = (uint8_t)byte;
    }
    return WITAN_OK;
}

static witan_status
load_members(witan_overview *self, witan_ledger *ledger, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    witan_peer *peers = NULL;
    size_t count = 0;
    WITAN_TRY(witan_ledger_peers(ledger, &peers, &count, diag));
    self->members = witan_zalloc(allocator, count, sizeof *self->members);
    self->members_count = self->members == NULL ? 0 : count;
    for (size_t i = 0; i < self->members_count; i++) {
        witan_member *member = &self->members[i];
        member->peer = peers[i];
        witan_wipe(member->peer.psk, sizeof member->peer.psk);
        member->own_first = member->own_last = member->own_before =
            member->global_last = (double)NAN;
    }
    witan_wipe(peers, count * sizeof *peers);
    witan_free(allocator, peers);
    return self->members != NULL
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
}

static int
by_name(const void *a, const void *b)
{
    const witan_invitation *one = a, *other = b;
    return strcmp(one->name, other->name);
}

static witan_status
load_invitations(witan_overview *self, witan_ledger *ledger, uint64_t now_s,
                 witan_diag *diag)
{
    size_t count = 0;
    WITAN_TRY(witan_ledger_invitations(ledger, &self->open, &count, diag));
    for (size_t i = 0; i < count; i++) {
        witan_wipe(self->open[i].psk, sizeof self->open[i].psk);
        if (!self->open[i].used && self->open[i].expires_s > now_s) {
            self->open[self->open_count++] = self->open[i];
        }
    }
    if (self->open_count > 0) {
        qsort(self->open, self->open_count, sizeof *self->open, by_name);
    }
    return WITAN_OK;
}

/* Who held the seat when the round opened: of those enrolled by then, the last. */
static witan_member *
member_of(const witan_overview *self, uint32_t seat, uint64_t opened_s)
{
    witan_member *found = NULL;
    for (size_t i = 0; i < self->members_count; i++) {
        witan_member *member = &self->members[i];
        if (member->peer.seat == seat && member->peer.enrolled_s <= opened_s &&
            (found == NULL || member->peer.enrolled_s >= found->peer.enrolled_s)) {
            found = member;
        }
    }
    return found;
}

static void
take_result(witan_member *member, const witan_result_row *result)
{
    member->bytes_up += result->bytes_up;
    member->bytes_down += result->bytes_down;
    if (isfinite(result->own_after[0])) {
        member->own_first =
            isfinite(member->own_first) ? member->own_first : result->own_after[0];
        member->own_last = result->own_after[0];
    }
    if (isfinite(result->own_before[0])) {
        member->own_before = result->own_before[0];
    }
    if (isfinite(result->global_after[0])) {
        member->global_last = result->global_after[0];
    }
}

/* What each client did in a round. Without exchange there is no upload: whoever is done
 * has answered. A client is awaited until it has answered, then until it is done. */
static witan_status
take_round(witan_overview *self, witan_ledger *ledger, witan_round_view *view,
           const bool *asked, witan_diag *diag)
{
    witan_result_row *results = NULL;
    size_t count = 0, evaluated = 0, next = 0;
    double sum = 0.0;
    witan_status status =
        witan_ledger_results(ledger, view->row.round, &results, &count, diag);
    for (uint32_t seat = 0; seat < self->config.clients && status == WITAN_OK; seat++) {
        witan_upload_row upload;
        bool found = false;
        witan_member *member = member_of(self, seat, view->row.opened_s);
        while (next < count && results[next].seat < seat) {
            next++;
        }
        bool done = next < count && results[next].seat == seat;
        if (done && isfinite(results[next].own_after[0])) {
            sum += results[next].own_after[0];
            evaluated++;
        }
        if (member == NULL) {
            continue;
        }
        status =
            witan_ledger_upload(ledger, view->row.round, seat, &upload, &found, diag);
        bool in_time = found ? !upload.late : done;
        member->answered += in_time;
        member->late += found && upload.late;
        if (done) {
            take_result(member, &results[next]);
        }
        member->awaited =
            asked != NULL && asked[seat] && member->peer.state == WITAN_PEER_APPROVED &&
            (view->row.phase == WITAN_ROUND_OPEN ? !in_time : in_time && !done);
    }
    view->own_after = evaluated == 0 ? (double)NAN : sum / (double)evaluated;
    witan_free(witan_allocator_default(), results);
    return status;
}

static witan_status
load_rounds(witan_overview *self, witan_ledger *ledger, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    witan_round_row *rows = NULL, last;
    size_t count = 0;
    bool found = false;
    bool *asked = witan_zalloc(allocator, self->config.clients, sizeof *asked);
    witan_status status =
        asked == NULL ? WITAN_E_MEMORY
                      : witan_ledger_last_round(ledger, &last, &found, asked,
                                                (uint32_t)self->config.clients, diag);
    if (status == WITAN_OK) {
        status = witan_ledger_rounds(ledger, &rows, &count, diag);
    }
    if (status == WITAN_OK) {
        self->rounds = witan_zalloc(allocator, count, sizeof *self->rounds);
        status = self->rounds == NULL ? WITAN_E_MEMORY : WITAN_OK;
    }
    for (size_t r = 0; r < count && status == WITAN_OK; r++) {
        bool open =
            rows[r].phase != WITAN_ROUND_ENDED && found && rows[r].round == last.round;
        self->rounds[r].row = rows[r];
        self->rounds_count = r + 1;
        status = take_round(self, ledger, &self->rounds[r], open ? asked : NULL, diag);
    }
    witan_free(allocator, rows);
    witan_free(allocator, asked);
    return status;
}

static witan_status
load(witan_overview *self, witan_ledger *ledger, uint64_t now_s, witan_diag *diag)
{
    WITAN_TRY(load_key(self->identity.sign, ledger, "identity_sign", diag));
    WITAN_TRY(load_key(self->identity.transport, ledger, "identity_transport", diag));
    WITAN_TRY(witan_overview_setting(ledger, "endpoint", self->endpoint,
                                     sizeof self->endpoint, diag));
    WITAN_TRY(load_invitations(self, ledger, now_s, diag));
    WITAN_TRY(load_members(self, ledger, diag));
    WITAN_TRY(load_rounds(self, ledger, diag));
    self->finished =
        self->rounds_count >= self->config.rounds &&
        self->rounds[self->rounds_count - 1].row.phase == WITAN_ROUND_ENDED;
    return WITAN_OK;
}

witan_status
witan_overview_load(witan_overview *out, witan_ledger *ledger, uint64_t now_s,
                    witan_diag *diag)
{
    memset(out, 0, sizeof *out);
    WITAN_TRY(witan_overview_config(&out->config, ledger, diag));
    witan_status status = load(out, ledger, now_s, diag);
    if (status != WITAN_OK) {
        witan_overview_fini(out);
    }
    return status;
}

void
witan_overview_fini(witan_overview *self)
{
    const witan_allocator *allocator = witan_allocator_default();
    witan_config_fini(&self->config, allocator);
    witan_free(allocator, self->members);
    witan_free(allocator, self->open);
    witan_free(allocator, self->rounds);
    memset(self, 0, sizeof *self);
}

const witan_round_view *
witan_overview_under_way(const witan_overview *self)
{
    const witan_round_view *last =
        self->rounds_count == 0 ? NULL : &self->rounds[self->rounds_count - 1];
    return last != NULL && last->row.phase != WITAN_ROUND_ENDED ? last : NULL;
}

size_t
witan_overview_count(const witan_overview *self, witan_peer_state state,
                     bool connected_only)
{
    size_t count = 0;
    for (size_t i = 0; i < self->members_count; i++) {
        const witan_peer *peer = &self->members[i].peer;
        count += peer->state == state && (peer->connected || !connected_only);
    }
    return count;
}

void
witan_overview_awaited(const witan_overview *self, witan_text *out)
{
    bool first = true;
    for (size_t i = 0; i < self->members_count; i++) {
        if (self->members[i].awaited) {
            witan_text_format(out, "%s%s", first ? "" : ", ",
                              self->members[i].peer.name);
            first = false;
        }
    }
}

const char *
witan_round_phase_text(witan_round_phase phase)
{
    static const char *const texts[] = {"open", "fused", "ended"};
    return texts[phase];
}

witan_age
witan_age_of(uint64_t then_s, uint64_t now_s)
{
    static const struct {
        uint64_t below, seconds;
        const char *unit;
    } steps[] = {{120, 1, "s"}, {7200, 60, "min"}, {172800, 3600, "h"}};
    witan_age age;
    uint64_t seconds = now_s > then_s ? now_s - then_s : 0, one = 86400;
    const char *unit = "d";
    for (size_t i = sizeof steps / sizeof steps[0]; i-- > 0;) {
        if (seconds < steps[i].below) {
            one = steps[i].seconds;
            unit = steps[i].unit;
        }
    }
    (void)snprintf(age.text, sizeof age.text, "%llu %s",
                   (unsigned long long)((seconds + one / 2) / one), unit);
    return age;
}
