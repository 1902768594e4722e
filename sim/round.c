/* round.c - the end of a round: scores, statistics, the digest chain, the record, and
 * when the state is saved. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "sim/simulation_private.h"

/* A straggler's parameters are in between; at the very end they are final. */
static bool
can_be_scored(const witan_simulation *self, const sim_seat *seat, uint32_t round)
{
    return seat->unscored && (!seat->job.pending || round + 1 == self->config->rounds);
}

static witan_status
evaluate_all(witan_simulation *self, uint32_t round, witan_diag *diag)
{
    for (size_t n = 0; n < self->seats; n++) {
        sim_seat *seat = &self->seat[n];
        /* A straggler's job may still run: its parameters are its own until it ends. */
        WITAN_TRY(sim_await(self, seat, "train", n, self->seats, diag));
    }
    for (size_t n = 0; n < self->seats; n++) {
        sim_seat *seat = &self->seat[n];
        if (can_be_scored(self, seat, round)) {
            WITAN_TRY(sim_submit(self, seat, SIM_JOB_EVALUATE, round));
        }
    }
    for (size_t n = 0; n < self->seats; n++) {
        sim_seat *seat = &self->seat[n];
        WITAN_TRY(sim_await(self, seat, "evaluate", n, self->seats, diag));
        if (can_be_scored(self, seat, round)) {
            seat->last_own = sim_metric_of(&seat->job.own);
            seat->last_global = sim_metric_of(&seat->job.global);
            /* Under centralised the one model changes every round. */
            seat->unscored = self->world.strategy->pools_data;
        }
        seat->record.own_after = seat->last_own;
        seat->record.global_after = seat->last_global;
        if (!seat->heard) { /* nothing came between training and now */
            seat->record.own_before = seat->record.own_after;
            seat->record.global_before = seat->record.global_after;
        }
    }
    return WITAN_OK;
}

static witan_statistic
statistic_of(witan_simulation *self, size_t offset, double *values,
             witan_status *status)
{
    witan_summary summary = {(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    size_t count = 0;
    for (size_t n = 0; n < self->seats; n++) {
        const char *record = (const char *)&self->seat[n].record;
        witan_metric metric;
        memcpy(&metric, record + offset, sizeof metric);
        if (isfinite(metric.accuracy)) {
            values[count++] = metric.accuracy;
        }
    }
    if (count != 0 && *status == WITAN_OK) {
        *status = witan_summarise(&summary, values, count, self->allocator);
    }
    return (witan_statistic){summary.mean, summary.sd, summary.worst, summary.bottom10};
}

static void
digest_metric(witan_digest *digest, const witan_metric *metric)
{
    witan_digest_update_double(digest,
                               isfinite(metric->accuracy) ? metric->accuracy : -1);
    witan_digest_update_double(digest, isfinite(metric->loss) ? metric->loss : -1);
    witan_digest_update_double(digest, isfinite(metric->ece) ? metric->ece : -1);
}

/* digest <- H(digest, round, what every client said, heard and scored). */
static void
digest_round(witan_simulation *self, size_t round)
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, self->digest, sizeof self->digest);
    witan_digest_update_u64(&digest, round);
    for (size_t n = 0; n < self->seats; n++) {
        const sim_seat *seat = &self->seat[n];
        const witan_client_record *record = &seat->record;
        uint8_t flags =
            (uint8_t)(record->asked | record->answered << 1 | record->late << 2);
        witan_digest_update(&digest, &flags, 1);
        witan_digest_update(&digest, seat->knowledge_digest, WITAN_DIGEST_SIZE);
        witan_digest_update(&digest, seat->fused_digest, WITAN_DIGEST_SIZE);
        digest_metric(&digest, &record->own_before);
        digest_metric(&digest, &record->own_after);
        digest_metric(&digest, &record->global_before);
        digest_metric(&digest, &record->global_after);
    }
    witan_digest_final(&digest, self->digest);
}

/* What the coordinator of a deployment would note for this round. */
static witan_status
digest_exchange(witan_simulation *self, size_t round, witan_diag *diag)
{
    const witan_allocator *a = self->allocator;
    size_t n = self->learners;
    uint8_t digest[WITAN_DIGEST_SIZE];
    bool *answered = witan_zalloc(a, n, sizeof *answered);
    uint8_t(*said)[WITAN_DIGEST_SIZE] = witan_zalloc(a, n, sizeof *said);
    uint8_t(*sent)[WITAN_DIGEST_SIZE] = witan_zalloc(a, n, sizeof *sent);
    witan_status status = WITAN_E_MEMORY;
    if (answered != NULL && said != NULL && sent != NULL) {
        for (size_t i = 0; i < n; i++) {
            answered[i] = witan_coordinator_client_at(self->coordinator, i)->answered;
            memcpy(said[i], self->seat[i].knowledge_digest, WITAN_DIGEST_SIZE);
            memcpy(sent[i], self->seat[i].sent_digest, WITAN_DIGEST_SIZE);
        }
        witan_exchange_digest(digest, (uint32_t)round, n, answered,
                              (const uint8_t(*)[WITAN_DIGEST_SIZE])said,
                              (const uint8_t(*)[WITAN_DIGEST_SIZE])sent);
        witan_digest_hex(self->exchange_hex, digest);
        status = WITAN_OK;
    }
    witan_free(a, answered);
    witan_free(a, said);
    witan_free(a, sent);
    return status == WITAN_OK ? status
                              : witan_diag_fail(diag, status, "end of round %zu: %s",
                                                round + 1, witan_status_text(status));
}

/* The coordinator forgets a round when the next one opens; the record does not. */
static void
collect_flags(witan_simulation *self, witan_round_record *round)
{
    for (size_t n = 0; n < self->seats; n++) {
        sim_seat *seat = &self->seat[n];
        if (n >= self->learners) {
            continue;
        }
        const witan_coordinator_client *client =
            witan_coordinator_client_at(self->coordinator, n);
        bool exchanges = self->world.strategy->exchange != WITAN_EXCHANGE_NONE;
        seat->record.asked = client->asked;
        seat->record.answered = exchanges ? client->answered : client->done;
        seat->record.late = client->asked && !seat->record.answered && !seat->vanished;
        round->asked += seat->record.asked;
        round->answered += seat->record.answered;
        round->late += seat->record.late;
        round->bytes_up += seat->record.bytes_up;
        round->bytes_down += seat->record.bytes_down;
    }
}

static witan_status
summarise_round(witan_simulation *self, witan_round_record *round, witan_diag *diag)
{
    double *values = witan_alloc(self->allocator, self->seats, sizeof *values);
    witan_status status = values == NULL ? WITAN_E_MEMORY : WITAN_OK;
    if (status == WITAN_OK) {
        round->own_before = statistic_of(
            self, offsetof(witan_client_record, own_before), values, &status);
        round->own_after = statistic_of(self, offsetof(witan_client_record, own_after),
                                        values, &status);
        round->global_before = statistic_of(
            self, offsetof(witan_client_record, global_before), values, &status);
        round->global_after = statistic_of(
            self, offsetof(witan_client_record, global_after), values, &status);
        round->evaluated_before = isfinite(round->own_before.mean);
    }
    witan_free(self->allocator, values);
    return status == WITAN_OK
               ? status
               : witan_diag_fail(diag, status, "end of round %zu: %s", round->round + 1,
                                 witan_status_text(status));
}

void
sim_clear_records(witan_simulation *self)
{
    const witan_metric none = {(double)NAN, (double)NAN, (double)NAN};
    for (size_t n = 0; n < self->seats; n++) {
        witan_client_record *record = &self->seat[n].record;
        memset(record, 0, sizeof *record);
        record->train_loss = record->distill_loss = (double)NAN;
        record->own_before = record->own_after = none;
        record->global_before = record->global_after = none;
        memset(self->seat[n].knowledge_digest, 0, WITAN_DIGEST_SIZE);
        memset(self->seat[n].fused_digest, 0, WITAN_DIGEST_SIZE);
        memset(self->seat[n].sent_digest, 0, WITAN_DIGEST_SIZE);
        self->seat[n].heard = false;
    }
}

static void
keep_round(witan_simulation *self, const witan_round_record *round)
{
    size_t n = self->seats;
    self->rounds[round->round] = *round;
    for (size_t i = 0; i < n; i++) {
        const witan_client_record *record = &self->seat[i].record;
        self->own_by_round[round->round * n + i] = record->own_after.accuracy;
        self->global_by_round[round->round * n + i] = record->global_after.accuracy;
        if (round->evaluated) {
            self->last[i] = *record;
        }
    }
    self->record.rounds_done = round->round + 1;
    self->record.bytes_up += round->bytes_up;
    self->record.bytes_down += round->bytes_down;
}

double
sim_run_seconds(const witan_simulation *self)
{
    return self->seconds_before +
           (double)(sim_wall_ns(self) - self->run_started_ns) * 1e-9;
}

/* Saves the state when it is due: by wall time, at the end, or when asked to stop. */
static witan_status
save_if_due(witan_simulation *self, bool must, witan_diag *diag)
{
    double since = (double)(sim_wall_ns(self) - self->saved_ns) * 1e-9;
    self->state_is_current = false;
    if (!must && since < self->config->save.seconds) {
        return WITAN_OK;
    }
    for (size_t n = 0; n < self->seats; n++) {
        WITAN_TRY(sim_await(self, &self->seat[n], "save", n, self->seats, diag));
    }
    WITAN_TRY(sim_state_save(self, diag));
    self->state_is_current = true;
    self->saved_ns = sim_wall_ns(self);
    return WITAN_OK;
}

witan_status
sim_end_round(witan_simulation *self, witan_diag *diag)
{
    witan_round_record round = {0};
    /* The coordinator has moved on to the next number. */
    round.round = witan_coordinator_round(self->coordinator) - 1;
    round.evaluated = sim_round_is_evaluated(self, round.round);
    collect_flags(self, &round);
    uint64_t learned_ns = sim_wall_ns(self);
    round.wall_seconds = (double)(learned_ns - self->round_started_ns) * 1e-9;
    if (round.evaluated) {
        WITAN_TRY(evaluate_all(self, (uint32_t)round.round, diag));
    }
    WITAN_TRY(summarise_round(self, &round, diag));
    round.virtual_seconds = (double)(self->now_ms - self->round_opened_ms) * 1e-3;
    double workers = (double)self->options.threads;
    round.seconds = self->round_seconds;
    round.seconds.train /= workers;
    round.seconds.extract /= workers;
    round.seconds.distill /= workers;
    round.seconds.evaluate /= workers;
    digest_round(self, round.round);
    WITAN_TRY(digest_exchange(self, round.round, diag));
    if (self->world.strategy->exchange != WITAN_EXCHANGE_NONE) {
        self->has_weights = witan_coordinator_weights(self->coordinator, self->weights);
    }
    keep_round(self, &round);
    WITAN_TRY(sim_evidence_save(self, round.round, diag));
    WITAN_TRY(sim_output_round(self, &round, diag));
    bool last = self->record.rounds_done == self->config->rounds;
    if (self->options.round_ended != NULL) {
        double left = (double)(self->config->rounds - self->record.rounds_done);
        self->options.round_ended(self->options.context, &round, self->config->rounds,
                                  left * sim_run_seconds(self) /
                                      (double)self->record.rounds_done);
    }
    sim_clear_records(self);
    memset(&self->round_seconds, 0, sizeof self->round_seconds);
    WITAN_TRY(save_if_due(self, last || sim_interrupts(self) > 0, diag));
    return sim_interrupts(self) > 0 && !last ? WITAN_E_INTERRUPTED : WITAN_OK;
}
