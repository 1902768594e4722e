/* restore.c - after a restart: the ledger's rounds and uploads become the core's state,
 * in the order that coordinator.h asks for. What was accepted before the crash counts
 * again, what was being fused is fused again: a function of what is on disk. */
#include <string.h>

#include "coordinator/shell/server_private.h"

/* What a restart works on. */
typedef struct past {
    uint32_t start; /* the round to go on with */
    bool reopened;  /* it had been opened */
    bool fused;     /* and who counts in it was fixed */
    witan_upload_row *rows;
    size_t count; /* of rounds that still matter */
} past;

/* The upload is of the peer that holds its seat now. */
static bool
is_of_living(const witan_server *self, const witan_upload_row *row)
{
    const server_seat *seat = &self->seat[row->seat];
    return seat->held &&
           memcmp(seat->peer.sign_key, row->sign_key, WITAN_KEY_SIZE) == 0;
}

static bool
counts_in_round(const witan_server *self, const past *it, const witan_upload_row *row)
{
    return row->seat < self->seats && row->round == it->start && !row->late &&
           it->reopened && (it->fused || is_of_living(self, row));
}

/* Who still counts as asked: whoever was revoked before the fusion does not. */
static void
correct_asked(witan_server *self, const past *it)
{
    for (size_t n = 0; n < self->seats; n++) {
        const server_seat *seat = &self->seat[n];
        self->asked[n] =
            self->asked[n] && seat->held && seat->peer.enrolled_s <= self->row.opened_s;
    }
    for (size_t i = 0; i < it->count; i++) {
        if (counts_in_round(self, it, &it->rows[i])) {
            self->asked[it->rows[i].seat] = true;
        }
    }
}

static witan_status
load_message(witan_server *self, const witan_upload_row *row, witan_message *out,
             witan_diag *diag)
{
    uint8_t *bytes = NULL;
    WITAN_TRY(witan_upload_load(self->ledger, row, &bytes, diag));
    return server_uploads_message(self, row, &bytes, out) == WITAN_OK
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_DATA,
                                 "upload of client %u in round %u does not fit this "
                                 "experiment; restore a backup of the state directory",
                                 (unsigned)row->seat, (unsigned)row->round + 1);
}

/* The newest late knowledge of each seat that fusions up to `start` may use, unless the
 * client answered in time after it. */
static witan_status
restore_stale(witan_server *self, const past *it, uint32_t n, witan_diag *diag)
{
    const witan_upload_row *newest = NULL;
    witan_message message;
    for (size_t i = 0; i < it->count; i++) {
        const witan_upload_row *row = &it->rows[i];
        bool counts = row->seat == n && row->round < it->start &&
                      is_of_living(self, row) &&
                      (!row->late || row->used_from <= it->start);
        if (counts && (newest == NULL || row->round > newest->round)) {
            newest = row;
        }
    }
    if (newest == NULL || !newest->late || !self->core_config.keep_late ||
        it->start - newest->round > self->core_config.maximum_age) {
        return WITAN_OK;
    }
    WITAN_TRY(load_message(self, newest, &message, diag));
    witan_coordinator_restore_stale(self->core, n, &message.labels, newest->round,
                                    newest->samples);
    witan_message_fini(&message, self->allocator);
    return WITAN_OK;
}

/* Late knowledge counts when it was asked for: for the rounds that may still matter. */
static witan_status
restore_asked(witan_server *self, const past *it, witan_diag *diag)
{
    witan_round_row *rounds = NULL;
    size_t count = 0;
    witan_status status = WITAN_OK;
    if (!self->core_config.keep_late) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_ledger_rounds(self->ledger, &rounds, &count, diag));
    for (size_t i = 0; i < count && status == WITAN_OK; i++) {
        const witan_round_row *row = &rounds[i];
        if (row->round >= it->start ||
            it->start - row->round > self->core_config.maximum_age) {
            continue;
        }
        status = witan_ledger_round_asked(self->ledger, row, self->asked,
                                          (uint32_t)self->seats, diag);
        for (size_t n = 0; n < self->seats; n++) { /* not of a seat's earlier owner */
            const server_seat *seat = &self->seat[n];
            self->asked[n] =
                self->asked[n] && seat->held && seat->peer.enrolled_s <= row->opened_s;
        }
        if (status == WITAN_OK) {
            witan_coordinator_restore_asked(self->core, row->round, self->asked);
        }
    }
    witan_free(self->allocator, rounds);
    return status;
}

static witan_status
restore_earlier(witan_server *self, const past *it, witan_diag *diag)
{
    for (size_t i = 0; i < it->count; i++) {
        const witan_upload_row *row = &it->rows[i];
        if (row->seat < self->seats && row->round < it->start && !row->late &&
            is_of_living(self, row)) {
            witan_coordinator_restore_heard(self->core, row->seat, row->round);
        }
    }
    WITAN_TRY(restore_asked(self, it, diag));
    for (uint32_t n = 0; n < self->seats; n++) {
        WITAN_TRY(restore_stale(self, it, n, diag));
    }
    return WITAN_OK;
}

static witan_status
restore_answers(witan_server *self, const past *it, witan_diag *diag)
{
    witan_message message;
    for (size_t i = 0; i < it->count; i++) {
        const witan_upload_row *row = &it->rows[i];
        if (!counts_in_round(self, it, row)) {
            continue;
        }
        WITAN_TRY(load_message(self, row, &message, diag));
        memcpy(self->knowledge_digest[row->seat], row->digest, WITAN_DIGEST_SIZE);
        witan_refusal refusal = witan_coordinator_restore_answer(self->core, &message);
        if (refusal != WITAN_REFUSAL_NONE) {
            server_note(self, WITAN_LOG_ERROR, "restore-refused",
                        "client=%u round=%u reason=\"%s\"", (unsigned)row->seat,
                        (unsigned)row->round + 1, witan_refusal_text(refusal));
        }
        if (!is_of_living(self, row)) { /* revoked after it was fused */
            self->seat[row->seat].removed = self->pending = true;
        }
    }
    return WITAN_OK;
}

/* What came after the fusion: late knowledge for the next one, and DONEs. */
static witan_status
keep_for_replay(witan_server *self, const past *it, witan_diag *diag)
{
    witan_result_row *results = NULL;
    size_t count = 0;
    if (!it->reopened) {
        return WITAN_OK;
    }
    self->replay = witan_alloc(self->allocator, it->count, sizeof *self->replay);
    if (self->replay == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for %zu uploads",
                               it->count);
    }
    for (size_t i = 0; i < it->count; i++) {
        const witan_upload_row *row = &it->rows[i];
        if (row->seat < self->seats && row->late && row->used_from > it->start &&
            is_of_living(self, row)) {
            self->replay[self->replay_count++] = *row;
        }
    }
    WITAN_TRY(witan_ledger_results(self->ledger, it->start, &results, &count, diag));
    for (size_t i = 0; i < count; i++) {
        if (results[i].seat < self->seats) {
            self->seat[results[i].seat].result = results[i];
            self->seat[results[i].seat].done = true;
        }
    }
    witan_free(self->allocator, results);
    return WITAN_OK;
}

static witan_status
restore_round(witan_server *self, past *it, const witan_round_row *last,
              witan_diag *diag)
{
    witan_coordinator_actions actions;
    bool exchanges = self->core_config.strategy->exchange != WITAN_EXCHANGE_NONE;
    witan_coordinator_restore(self->core, it->start);
    WITAN_TRY(restore_earlier(self, it, diag));
    self->finished = it->start == self->core_config.rounds;
    self->wants_next = !it->reopened && !self->finished;
    if (!it->reopened) {
        return WITAN_OK;
    }
    self->row = *last;
    self->opened_ms = server_now(self);
    self->phase = exchanges ? SERVER_COLLECT : SERVER_SETTLE;
    WITAN_TRY(witan_ledger_round_asked(self->ledger, last, self->asked,
                                       (uint32_t)self->seats, diag));
    correct_asked(self, it);
    witan_coordinator_reopen(self->core, self->asked);
    WITAN_TRY(restore_answers(self, it, diag));
    WITAN_TRY(keep_for_replay(self, it, diag));
    witan_coordinator_resume(self->core, server_now(self), it->fused, &actions);
    server_rounds_act(self, &actions);
    return self->failed;
}

witan_status
server_restore(witan_server *self, witan_diag *diag)
{
    witan_round_row last = {0};
    past it = {0};
    bool found = false;
    size_t age = self->core_config.maximum_age;
    WITAN_TRY(witan_ledger_last_round(self->ledger, &last, &found, NULL, 0, diag));
    if (!found) {
        self->wants_next = true;
        return WITAN_OK;
    }
    it.reopened = last.phase != WITAN_ROUND_ENDED;
    it.fused = last.phase == WITAN_ROUND_FUSED;
    it.start = it.reopened ? last.round : last.round + 1;
    WITAN_TRY(witan_ledger_uploads(
        self->ledger, it.start > age + 1 ? it.start - (uint32_t)age - 1 : 0, &it.rows,
        &it.count, diag));
    witan_status status = restore_round(self, &it, &last, diag);
    witan_free(self->allocator, it.rows);
    return status;
}
