/* rounds.c - the core's turn: events that were noted go in, one at a time, and its
 * actions are carried out. Whatever a client will be told is on disk first; while that
 * fails, or fusion computes, the core waits and so do its events. */
#include <stdio.h>
#include <string.h>

#include "coordinator/shell/server_private.h"

/* --- telling clients -------------------------------------------------------------- */

static server_connection *
listener(const witan_server *self, uint32_t n)
{
    server_connection *at = self->seat[n].connection;
    return at != NULL && at->ready ? at : NULL;
}

void
server_rounds_send_open(witan_server *self, uint32_t n)
{
    witan_packet packet = {.kind = WITAN_PACKET_OPEN};
    uint64_t deadline = self->core_config.deadline_ms;
    uint64_t passed = server_now(self) - self->opened_ms;
    packet.is.open.round = self->row.round;
    packet.is.open.remaining_ms =
        deadline == 0 ? 0 : (passed < deadline ? deadline - passed : 1);
    server_send(self, listener(self, n), &packet);
}

void
server_rounds_send_fused(witan_server *self, uint32_t n)
{
    const server_seat *seat = &self->seat[n];
    witan_packet packet = {.kind = WITAN_PACKET_FUSED};
    if (seat->has_fused) {
        packet.is.offer = seat->fused_offer;
        server_send(self, listener(self, n), &packet);
    }
}

static void
drop_fused(witan_server *self, server_seat *seat)
{
    witan_message_fini(&seat->fused, self->allocator);
    seat->has_fused = false;
}

/* Keeps what a client shall learn from until it is done with it, and offers it. */
static void
keep_fused(witan_server *self, witan_message *message)
{
    uint32_t n = message->client;
    server_seat *seat = &self->seat[n];
    witan_packet_offer *offer = &seat->fused_offer;
    bool parameters = message->parameters != NULL;
    const void *bytes =
        parameters ? (const void *)message->parameters : message->labels.bytes;
    uint64_t size = witan_message_payload_bytes(message);
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, bytes, (size_t)size);
    witan_digest_final(&digest, self->fused_digest[n]);
    drop_fused(self, seat);
    *offer = (witan_packet_offer){
        .round = message->round,
        .kind = parameters ? WITAN_PACKET_PARAMETERS : (uint32_t)message->labels.kind,
        .codec = parameters ? 0 : message->labels.codec,
        .rows = parameters ? 1 : message->labels.rows,
        .classes = parameters ? message->parameters_count : message->labels.classes,
        .total = size,
    };
    memcpy(offer->digest, self->fused_digest[n], WITAN_DIGEST_SIZE);
    if (seat->held) {
        seat->fused = *message;
        memset(message, 0, sizeof *message);
        seat->has_fused = true;
        server_rounds_send_fused(self, n);
    }
}

/* --- actions ---------------------------------------------------------------------- */

static void
set_timer(witan_server *self, uint64_t at_ms, uint64_t id)
{
    if (self->timers_count == self->timers_room) {
        size_t room = self->timers_room == 0 ? 64 : 2 * self->timers_room;
        server_timer *timers = witan_alloc(self->allocator, room, sizeof *timers);
        if (timers == NULL) {
            self->failed =
                witan_diag_fail(self->diag, WITAN_E_MEMORY, "out of memory for timers");
            return;
        }
        if (self->timers != NULL) {
            memcpy(timers, self->timers, self->timers_count * sizeof *timers);
        }
        witan_free(self->allocator, self->timers);
        self->timers = timers;
        self->timers_room = room;
    }
    self->timers[self->timers_count++] = (server_timer){at_ms, id};
}

static void
round_opened(witan_server *self, uint32_t round)
{
    bool exchanges = self->core_config.strategy->exchange != WITAN_EXCHANGE_NONE;
    self->row = (witan_round_row){.round = round, .opened_s = server_wall(self)};
    self->opened_ms = server_now(self);
    self->phase = exchanges ? SERVER_COLLECT : SERVER_SETTLE;
    self->waiting = SERVER_WAITS_OPENING;
    memset(self->knowledge_digest, 0, self->seats * WITAN_DIGEST_SIZE);
    memset(self->fused_digest, 0, self->seats * WITAN_DIGEST_SIZE);
    for (size_t i = 0; i < self->seats; i++) {
        server_seat *seat = &self->seat[i];
        drop_fused(self, seat);
        seat->bytes_up = seat->bytes_down = 0;
        seat->done = false;
    }
}

/* The round's record, before the core forgets it. */
static void
round_ended(witan_server *self)
{
    size_t n = self->seats;
    bool exchanges = self->core_config.strategy->exchange != WITAN_EXCHANGE_NONE;
    witan_round_row *row = &self->row;
    bool *answered = self->asked;
    row->phase = WITAN_ROUND_ENDED;
    row->fused = self->phase == SERVER_SETTLE && exchanges;
    row->seconds = (double)(server_now(self) - self->opened_ms) * 1e-3;
    row->ended_s = server_wall(self);
    row->asked = row->answered = row->late = 0;
    row->bytes_up = row->bytes_down = 0;
    for (size_t i = 0; i < n; i++) {
        const witan_coordinator_client *client =
            witan_coordinator_client_at(self->core, i);
        answered[i] = client->answered;
        row->asked += client->asked;
        row->answered += exchanges ? client->answered : client->done;
        row->late += client->late;
        row->bytes_up += self->seat[i].bytes_up;
        row->bytes_down += self->seat[i].bytes_down;
    }
    witan_exchange_digest(row->exchange, row->round, n, answered,
                          (const uint8_t(*)[WITAN_DIGEST_SIZE])self->knowledge_digest,
                          (const uint8_t(*)[WITAN_DIGEST_SIZE])self->fused_digest);
    self->phase = SERVER_BETWEEN;
    self->waiting = SERVER_WAITS_ENDING;
}

static void
act(witan_server *self, witan_coordinator_action *action)
{
    uint32_t client = action->message.client;
    switch (action->kind) {
    case WITAN_COORDINATOR_ROUND_OPENED:
        round_opened(self, action->message.round);
        break;
    case WITAN_COORDINATOR_SEND:
        if (action->message.kind == WITAN_MESSAGE_FUSED) {
            keep_fused(self, &action->message);
        } else if (self->waiting !=
                   SERVER_WAITS_OPENING) { /* else when it is on disk */
            server_rounds_send_open(self, client);
        }
        break;
    case WITAN_COORDINATOR_SEND_AGAIN:
        server_rounds_send_fused(self, client);
        break;
    case WITAN_COORDINATOR_SET_TIMER:
        set_timer(self, action->at_ms, action->timer);
        break;
    case WITAN_COORDINATOR_FUSE:
        self->phase = SERVER_FUSE;
        self->waiting = SERVER_WAITS_RECORDING;
        break;
    case WITAN_COORDINATOR_ROUND_ENDED:
        round_ended(self);
        break;
    case WITAN_COORDINATOR_FINISHED:
        break; /* seen by the round's number, when its end is on disk */
    case WITAN_COORDINATOR_REFUSED:
        server_note(self, WITAN_LOG_WARNING, "knowledge-refused",
                    "client=%u round=%u reason=\"%s\"", (unsigned)client,
                    (unsigned)action->message.round + 1,
                    witan_refusal_text(action->refusal));
        break;
    }
}

void
server_rounds_act(witan_server *self, witan_coordinator_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        act(self, &actions->items[i]);
    }
}

void
server_rounds_step(witan_server *self, const witan_coordinator_event *event)
{
    witan_coordinator_actions actions;
    WITAN_ASSERT(self->waiting == SERVER_WAITS_FOR_NOTHING ||
                 event->kind == WITAN_COORDINATOR_REMOVED);
    witan_coordinator_step(self->core, server_now(self), event, &actions);
    server_rounds_act(self, &actions);
}

/* --- what the core waits for ------------------------------------------------------ */

/* False until the next attempt is due, so that a full disk is not asked all the time.
 */
static bool
may_try(witan_server *self)
{
    return server_now(self) >= self->retry_ms;
}

/* Ends an attempt; true when it is on disk. */
static bool
tried(witan_server *self, bool durable)
{
    self->retry_ms = durable ? 0 : server_now(self) + SERVER_RETRY_MS;
    return durable;
}

static bool
record_opening(witan_server *self)
{
    witan_diag diag = {0};
    uint32_t asked = 0;
    for (size_t i = 0; i < self->seats; i++) {
        self->asked[i] = witan_coordinator_client_at(self->core, i)->asked;
        asked += self->asked[i];
    }
    witan_status status =
        witan_ledger_round_open(self->ledger, self->row.round, self->asked,
                                (uint32_t)self->seats, self->row.opened_s, &diag);
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
    }
    if (!tried(self, status == WITAN_OK)) {
        return false;
    }
    self->waiting = SERVER_WAITS_FOR_NOTHING;
    uint64_t deadline = self->core_config.deadline_ms;
    char until[64] = "";
    if (deadline != 0) {
        (void)snprintf(until, sizeof until, ", %.0f s", (double)deadline * 1e-3);
    }
    server_say(self, "round %u of %zu: open, %u asked%s", (unsigned)self->row.round + 1,
               self->core_config.rounds, (unsigned)asked, until);
    for (uint32_t n = 0; n < self->seats; n++) {
        if (self->asked[n]) {
            server_rounds_send_open(self, n);
        }
    }
    return true;
}

/* Who counts is fixed from here on; whoever was revoked before does not. */
static bool
record_fusion(witan_server *self)
{
    witan_diag diag = {0};
    bool again = false;
    if (self->row.phase != WITAN_ROUND_FUSED) { /* else it was, before a restart */
        if (!server_begin(self, &again)) {
            return again || tried(self, false);
        }
        witan_status status =
            witan_ledger_round_fused(self->ledger, self->row.round, &diag);
        if (!tried(self, server_commit(self, status, &diag))) {
            return false;
        }
        self->row.phase = WITAN_ROUND_FUSED;
    }
    self->waiting = SERVER_WAITS_FUSION;
    server_fuser_start(&self->fusion, self->core, server_now(self));
    return true;
}

static bool
take_fusion(witan_server *self)
{
    witan_status status = WITAN_OK;
    const witan_coordinator_event event = {.kind = WITAN_COORDINATOR_FUSED};
    size_t answered = 0, asked = 0;
    if (!server_fuser_finished(&self->fusion, &status)) {
        return false;
    }
    if (status == WITAN_E_MEMORY) {
        const witan_diag diag = {status, "out of memory for the fusion"};
        (void)server_survives(self, status, &diag);
        self->waiting = SERVER_WAITS_RECORDING;
        return tried(self, false);
    }
    if (status != WITAN_OK) {
        self->failed =
            witan_diag_fail(self->diag, status, "fusion in round %u failed: %s",
                            (unsigned)self->row.round + 1, witan_status_text(status));
        return false;
    }
    for (size_t i = 0; i < self->seats; i++) {
        const witan_coordinator_client *client =
            witan_coordinator_client_at(self->core, i);
        asked += client->asked;
        answered += client->answered;
    }
    server_say(self, "round %u: fused %zu of %zu, %.1f s",
               (unsigned)self->row.round + 1, answered, asked,
               (double)(server_now(self) - self->fusion.since_ms) * 1e-3);
    self->waiting = SERVER_WAITS_FOR_NOTHING;
    self->phase = SERVER_SETTLE;
    server_rounds_step(self, &event);
    return true;
}

static bool
record_end(witan_server *self)
{
    witan_diag diag = {0};
    const witan_coordinator_config *core = &self->core_config;
    witan_status status = witan_ledger_round_ended(self->ledger, &self->row, &diag);
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
    }
    if (!tried(self, status == WITAN_OK)) {
        return false;
    }
    if (!self->row.fused && core->strategy->exchange != WITAN_EXCHANGE_NONE) {
        server_say(self, "round %u: not fused, %u of at least %zu answered",
                   (unsigned)self->row.round + 1, (unsigned)self->row.answered,
                   core->minimum_clients);
    }
    uint32_t next = self->row.round + 1;
    uint32_t keep_from = next;
    if (core->keep_late) {
        keep_from = next > core->maximum_age ? next - (uint32_t)core->maximum_age : 0;
    }
    server_uploads_expire(self, keep_from);
    witan_upload_prune(self->ledger, keep_from);
    self->waiting = SERVER_WAITS_FOR_NOTHING;
    self->finished = next == core->rounds;
    self->wants_next = !self->finished;
    return true;
}

/* --- events ----------------------------------------------------------------------- */

static void
tell(witan_server *self, uint32_t n, witan_coordinator_event_kind kind)
{
    const witan_coordinator_event event = {.kind = kind, .client = n};
    server_rounds_step(self, &event);
}

/* Revoked peers; also while a fusion waits to be recorded, which it must not count. */
static bool
tell_removed(witan_server *self)
{
    bool any = false;
    for (uint32_t n = 0; n < self->seats; n++) {
        if (self->seat[n].removed) {
            self->seat[n].removed = false;
            tell(self, n, WITAN_COORDINATOR_REMOVED);
            any = true;
        }
    }
    return any;
}

static bool
tell_presence(witan_server *self)
{
    bool any = false;
    for (uint32_t n = 0; n < self->seats; n++) {
        server_seat *seat = &self->seat[n];
        if (self->waiting != SERVER_WAITS_FOR_NOTHING) {
            return true;
        }
        if (seat->absent) {
            seat->absent = false;
            any = true;
            tell(self, n, WITAN_COORDINATOR_ABSENT);
        }
        if (seat->present && self->waiting == SERVER_WAITS_FOR_NOTHING) {
            seat->present = false;
            any = true;
            tell(self, n, WITAN_COORDINATOR_PRESENT);
        }
    }
    return any;
}

/* Late knowledge that was accepted before a restart, after what was fused then. */
static bool
replay_late(witan_server *self)
{
    witan_diag diag = {0};
    uint8_t *bytes = NULL;
    witan_message message = {0};
    if (self->replay_next == self->replay_count || self->phase == SERVER_FUSE) {
        return false;
    }
    const witan_upload_row *row = &self->replay[self->replay_next++];
    witan_status status = witan_upload_load(self->ledger, row, &bytes, &diag);
    if (status == WITAN_OK) {
        status = server_uploads_message(self, row, &bytes, &message);
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        return true;
    }
    const witan_coordinator_event event = {.kind = WITAN_COORDINATOR_MESSAGE,
                                           .message = &message};
    server_rounds_step(self, &event);
    witan_message_fini(&message, self->allocator);
    return true;
}

static bool
fire_timer(witan_server *self)
{
    uint64_t now = server_now(self);
    size_t due = self->timers_count;
    for (size_t i = 0; i < self->timers_count; i++) {
        if (self->timers[i].at_ms <= now &&
            (due == self->timers_count || self->timers[i].id < self->timers[due].id)) {
            due = i;
        }
    }
    if (due == self->timers_count) {
        return false;
    }
    const witan_coordinator_event event = {.kind = WITAN_COORDINATOR_TIMER,
                                           .timer = self->timers[due].id};
    self->timers[due] = self->timers[--self->timers_count];
    server_rounds_step(self, &event);
    return true;
}

/* --- DONE ------------------------------------------------------------------------- */

static void
copy_metric(double out[3], const witan_packet_metric *metric)
{
    out[0] = metric->accuracy;
    out[1] = metric->loss;
    out[2] = metric->ece;
}

void
server_rounds_done(witan_server *self, server_connection *at,
                   const witan_packet *packet)
{
    server_seat *seat = &self->seat[at->seat];
    if (packet->is.done.round != self->row.round || self->phase == SERVER_BETWEEN) {
        return; /* of a round that is over: nothing depends on it */
    }
    seat->result = (witan_result_row){
        .round = packet->is.done.round,
        .seat = at->seat,
        .train_loss = packet->is.done.train_loss,
        .distill_loss = packet->is.done.distill_loss,
    };
    copy_metric(seat->result.own_before, &packet->is.done.own_before);
    copy_metric(seat->result.own_after, &packet->is.done.own_after);
    copy_metric(seat->result.global_before, &packet->is.done.global_before);
    copy_metric(seat->result.global_after, &packet->is.done.global_after);
    seat->done = self->pending = true;
}

static bool
is_awaited_done(const witan_server *self, uint32_t n)
{
    const witan_coordinator_client *client = witan_coordinator_client_at(self->core, n);
    bool exchanges = self->core_config.strategy->exchange != WITAN_EXCHANGE_NONE;
    return self->phase == SERVER_SETTLE && client->asked && !client->done &&
           !client->removed && (client->answered || !exchanges);
}

/* All DONEs of this turn in one transaction, then one step each. */
static bool
finish_dones(witan_server *self)
{
    witan_diag diag = {0};
    size_t due = 0;
    for (uint32_t n = 0; n < self->seats; n++) {
        server_seat *seat = &self->seat[n];
        seat->done = seat->done && is_awaited_done(self, n);
        due += seat->done;
    }
    if (due == 0 || !may_try(self)) {
        return false;
    }
    witan_status status = witan_ledger_begin(self->ledger, &diag);
    bool begun = status == WITAN_OK;
    for (uint32_t n = 0; n < self->seats && status == WITAN_OK; n++) {
        server_seat *seat = &self->seat[n];
        if (seat->done) {
            seat->result.bytes_up = seat->bytes_up;
            seat->result.bytes_down = seat->bytes_down;
            status = witan_ledger_done(self->ledger, &seat->result, &diag);
        }
    }
    if (!begun) {
        (void)server_survives(self, status, &diag);
    }
    if (!tried(self, begun && server_commit(self, status, &diag))) {
        return false;
    }
    for (uint32_t n = 0; n < self->seats; n++) {
        server_seat *seat = &self->seat[n];
        witan_message message = {
            .kind = WITAN_MESSAGE_DONE, .client = n, .round = self->row.round};
        if (seat->done && self->waiting == SERVER_WAITS_FOR_NOTHING) {
            const witan_coordinator_event event = {.kind = WITAN_COORDINATOR_MESSAGE,
                                                   .message = &message};
            seat->done = false;
            drop_fused(self, seat);
            server_rounds_step(self, &event);
        }
    }
    return true;
}

/* --- driving ---------------------------------------------------------------------- */

/* One thing that the core can do now; false when there is none. */
static bool
go_on(witan_server *self)
{
    /* What was durable before a restart comes before whoever comes back. */
    if (replay_late(self) || finish_dones(self)) {
        return true;
    }
    if (self->pending) {
        self->pending = false;
        if (tell_removed(self) || tell_presence(self)) {
            self->pending = true; /* look again: somebody may have been left out */
            return true;
        }
        server_uploads_judge(self);
    }
    if (server_uploads_finish(self) || fire_timer(self)) {
        return true;
    }
    if (self->wants_next && !self->draining) {
        const witan_coordinator_event event = {.kind = WITAN_COORDINATOR_NEXT};
        self->wants_next = false;
        server_rounds_step(self, &event);
        return true;
    }
    return false;
}

void
server_rounds_drive(witan_server *self)
{
    bool more = true;
    while (more && self->failed == WITAN_OK && !self->finished) {
        switch (self->waiting) {
        case SERVER_WAITS_OPENING:
            more = may_try(self) && record_opening(self);
            break;
        case SERVER_WAITS_RECORDING:
            if (self->row.phase != WITAN_ROUND_FUSED) {
                (void)tell_removed(self);
            }
            more = may_try(self) && record_fusion(self);
            break;
        case SERVER_WAITS_FUSION:
            more = take_fusion(self);
            break;
        case SERVER_WAITS_ENDING:
            more = may_try(self) && record_end(self);
            break;
        case SERVER_WAITS_FOR_NOTHING:
            more = go_on(self);
            break;
        }
    }
}

uint64_t
server_rounds_wait(const witan_server *self, uint64_t now_ms, uint64_t most)
{
    uint64_t wait = most;
    if (self->waiting != SERVER_WAITS_FOR_NOTHING) {
        return wait; /* its timers wait, too */
    }
    for (size_t i = 0; i < self->timers_count; i++) {
        uint64_t at = self->timers[i].at_ms;
        uint64_t left = at > now_ms ? at - now_ms : 0;
        wait = left < wait ? left : wait;
    }
    return wait;
}
