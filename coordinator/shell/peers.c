/* peers.c - who may come in: peers and invitations of the ledger, taken over whenever
 * another process (witan invite, peers) or an enrolment has changed them. */
#include <string.h>

#include "coordinator/shell/server_private.h"

enum {
    FAREWELL_MS = 100 /* so that a revoked peer can still be told why */
};
static const uint8_t no_key[WITAN_KEY_SIZE];

static void
schedule_admission(witan_server *self, uint64_t at_ms)
{
    /* An earlier date stands: somebody waits at the door. */
    if (!self->admit_due || at_ms < self->admit_ms) {
        self->admit_ms = at_ms;
    }
    self->admit_due = true;
}

/* The peer in this seat is revoked: nothing of it counts from now on. */
static void
release_seat(witan_server *self, uint32_t n)
{
    server_seat *seat = &self->seat[n];
    server_note(self, WITAN_LOG_INFO, "revoked", "peer=%s seat=%u", seat->peer.name,
                (unsigned)n);
    server_say(self, "%s was revoked", seat->peer.name);
    if (seat->upload.phase != SERVER_UPLOAD_NONE) {
        server_uploads_drop(self, &seat->upload.row);
    }
    server_refuse(self, seat->connection, 0, WITAN_REASON_REVOKED, 0,
                  "%s was revoked; ask the coordinator's admin for a new invitation",
                  seat->peer.name);
    if (seat->connection != NULL) {
        server_sessions_doom(self, seat->connection, false);
    }
    server_uploads_forget(self, n);
    witan_message_fini(&seat->fused, self->allocator);
    witan_wipe(&seat->peer, sizeof seat->peer);
    memset(&seat->hellos, 0, sizeof seat->hellos);
    memset(seat->complained_ms, 0, sizeof seat->complained_ms);
    seat->held = seat->has_fused = seat->done = seat->note = false;
    seat->absent = seat->present = seat->told_present = false;
    seat->removed = self->pending = true;
}

static bool
is_named(const witan_peer *list, size_t count, uint32_t seat, const uint8_t *sign_key)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].seat == seat && list[i].state != WITAN_PEER_REVOKED &&
            memcmp(list[i].sign_key, sign_key, WITAN_KEY_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

/* What a person has done with `witan peers`. */
static void
tell_changes(witan_server *self, const witan_peer *before, const witan_peer *now)
{
    if (before == NULL) {
        return;
    }
    if (before->state == WITAN_PEER_PENDING && now->state == WITAN_PEER_APPROVED) {
        server_note(self, WITAN_LOG_INFO, "approved", "peer=%s", now->name);
        server_say(self, "%s was approved", now->name);
    }
    if (!before->must_rotate && now->must_rotate) {
        server_say(self, "%s will be asked for a new transport key (rotation)",
                   now->name);
    }
}

static void
take_peers(witan_server *self, const witan_peer *list, size_t count)
{
    bool released = false;
    for (uint32_t n = 0; n < self->seats; n++) {
        server_seat *seat = &self->seat[n];
        if (seat->held && !is_named(list, count, n, seat->peer.sign_key)) {
            release_seat(self, n);
            released = true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].state != WITAN_PEER_REVOKED && list[i].seat < self->seats) {
            server_seat *seat = &self->seat[list[i].seat];
            const witan_peer before = seat->peer;
            seat->peer = list[i];
            tell_changes(self, seat->held ? &before : NULL, &list[i]);
            if (seat->held && seat->connection != NULL) {
                server_ask_rotation(self, seat->connection);
            }
            if (seat->note) { /* not written down yet */
                memcpy(seat->peer.model, before.model, sizeof before.model);
                memcpy(seat->peer.program, before.program, sizeof before.program);
                seat->peer.samples = before.samples;
                seat->peer.seen_s = before.seen_s;
            }
            seat->held = true;
        }
    }
    schedule_admission(self, server_now(self) + (released ? FAREWELL_MS : 0));
}

static void
wipe_invitations(const witan_allocator *allocator, server_invitation *list,
                 size_t count)
{
    if (list != NULL) {
        witan_wipe(list, count * sizeof *list);
        witan_free(allocator, list);
    }
}

static bool
take_invitations(witan_server *self, const witan_invitation *list, size_t count)
{
    server_invitation *all = witan_zalloc(self->allocator, count, sizeof *all);
    if (all == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const server_invitation *old = server_peers_invitation(self, list[i].door_key);
        if (old != NULL) { /* its limits go on */
            all[i] = *old;
        }
        all[i].it = list[i];
    }
    wipe_invitations(self->allocator, self->invitations, self->invitations_count);
    self->invitations = all;
    self->invitations_count = count;
    return true;
}

witan_status
server_peers_load(witan_server *self, witan_diag *diag)
{
    witan_peer *peers = NULL;
    witan_invitation *invitations = NULL;
    size_t peers_count = 0, invitations_count = 0;
    uint64_t version = 0;
    /* The version first: a change in between is then seen at the next look. */
    witan_status status = witan_ledger_version(self->ledger, &version, diag);
    if (status == WITAN_OK) {
        status = witan_ledger_peers(self->ledger, &peers, &peers_count, diag);
    }
    if (status == WITAN_OK) {
        status = witan_ledger_invitations(self->ledger, &invitations,
                                          &invitations_count, diag);
    }
    if (status == WITAN_OK && !take_invitations(self, invitations, invitations_count)) {
        status = witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for invitations");
    }
    if (status == WITAN_OK) {
        take_peers(self, peers, peers_count);
        self->ledger_version = version;
    }
    if (peers != NULL) {
        witan_wipe(peers, peers_count * sizeof *peers);
    }
    if (invitations != NULL) {
        witan_wipe(invitations, invitations_count * sizeof *invitations);
    }
    witan_free(self->allocator, peers);
    witan_free(self->allocator, invitations);
    return status;
}

void
server_peers_poll(witan_server *self)
{
    witan_diag diag = {0};
    uint64_t version = 0, now = server_now(self);
    if (now - self->polled_ms < SERVER_POLL_MS) {
        return;
    }
    self->polled_ms = now;
    witan_status status = witan_ledger_version(self->ledger, &version, &diag);
    if (status == WITAN_OK && version != self->ledger_version) {
        status = server_peers_load(self, &diag);
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
    }
}

void
server_peers_admit(witan_server *self)
{
    size_t count = 0, room = 2 * self->seats + self->invitations_count;
    if (!self->admit_due || server_now(self) < self->admit_ms) {
        return;
    }
    uint8_t(*keys)[WITAN_DOOR_KEY] = witan_alloc(self->allocator, room, sizeof *keys);
    if (keys == NULL) {
        return; /* the old list stands until there is memory */
    }
    for (size_t i = 0; i < self->seats; i++) {
        const witan_peer *peer = &self->seat[i].peer;
        if (!self->seat[i].held) {
            continue;
        }
        memcpy(keys[count++], peer->transport_key, WITAN_DOOR_KEY);
        if (memcmp(peer->new_transport_key, no_key, WITAN_KEY_SIZE) != 0) {
            memcpy(keys[count++], peer->new_transport_key, WITAN_DOOR_KEY);
        }
    }
    for (size_t i = 0; i < self->invitations_count; i++) {
        memcpy(keys[count++], self->invitations[i].it.door_key, WITAN_DOOR_KEY);
    }
    self->admit_due =
        witan_door_admit(self->door, (const uint8_t(*)[WITAN_KEY_SIZE])keys, count) !=
        WITAN_OK;
    witan_free(self->allocator, keys);
}

void
server_peers_note(witan_server *self)
{
    witan_diag diag = {0};
    size_t due = 0;
    for (size_t i = 0; i < self->seats; i++) {
        due += self->seat[i].note;
    }
    if (due == 0) {
        return;
    }
    witan_status status = witan_ledger_begin(self->ledger, &diag);
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        return;
    }
    for (size_t i = 0; i < self->seats && status == WITAN_OK; i++) {
        server_seat *seat = &self->seat[i];
        if (seat->note) {
            seat->peer.connected = seat->connection != NULL && seat->connection->ready;
            status = witan_ledger_peer_seen(self->ledger, &seat->peer, &diag);
        }
    }
    if (status == WITAN_OK) {
        status = witan_ledger_commit(self->ledger, &diag);
    } else {
        witan_ledger_rollback(self->ledger);
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        return;
    }
    for (size_t i = 0; i < self->seats; i++) {
        self->seat[i].note = false;
    }
}

uint32_t
server_peers_seat_of(const witan_server *self, const uint8_t key[WITAN_KEY_SIZE])
{
    if (memcmp(key, no_key, WITAN_KEY_SIZE) == 0) {
        return SERVER_NOBODY;
    }
    for (uint32_t n = 0; n < self->seats; n++) {
        const server_seat *seat = &self->seat[n];
        if (seat->held &&
            (memcmp(seat->peer.transport_key, key, WITAN_KEY_SIZE) == 0 ||
             memcmp(seat->peer.new_transport_key, key, WITAN_KEY_SIZE) == 0)) {
            return n;
        }
    }
    return SERVER_NOBODY;
}

server_invitation *
server_peers_invitation(const witan_server *self, const uint8_t key[WITAN_KEY_SIZE])
{
    for (size_t i = 0; i < self->invitations_count; i++) {
        if (memcmp(self->invitations[i].it.door_key, key, WITAN_KEY_SIZE) == 0) {
            return &self->invitations[i];
        }
    }
    return NULL;
}
