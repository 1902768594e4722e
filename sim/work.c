/* work.c - jobs as the event loop sees them: how long they take in virtual time, in
 * which order workers take them, waiting for them and saying how far the run is. */
#include <math.h>
#include <string.h>

#include "sim/simulation_private.h"

/* A row's extraction against its training: forward only, forward and backward. */
#define EXTRACT_COST (1.0 / 3.0)

/* Longest virtual work of one job: 31 years, as the longest deadline. */
#define LONGEST_JOB_MS 1e12

uint64_t
sim_wall_ns(const witan_simulation *self)
{
    return witan_clock_now_ns(self->options.clock);
}

int
sim_interrupts(const witan_simulation *self)
{
    return self->options.interrupts == NULL ? 0 : (int)*self->options.interrupts;
}

uint64_t
sim_virtual_duration_ms(const witan_simulation *self, const sim_seat *seat,
                        sim_job_kind kind)
{
    double rows = 0.0;
    double transfer = (double)self->plan.transfer.count;
    if (kind == SIM_JOB_TRAIN) {
        rows = (double)self->plan.local_epochs * (double)seat->state.train.count +
               transfer * EXTRACT_COST;
    } else if (kind == SIM_JOB_DISTILL) {
        rows = (double)self->plan.distill_epochs * transfer;
    }
    double ms = ceil(rows / self->config->faults.speed * seat->slowness * 1000.0);
    return (uint64_t)fmin(ms, LONGEST_JOB_MS);
}

static double
job_cost(const witan_simulation *self, const sim_seat *seat, sim_job_kind kind)
{
    double cost = witan_network_cost(seat->state.learner.network);
    double rows = (double)self->plan.transfer.count;
    switch (kind) {
    case SIM_JOB_TRAIN:
        rows += 3.0 * (double)(self->plan.local_epochs * seat->state.train.count);
        break;
    case SIM_JOB_DISTILL:
        rows *= 3.0 * (double)self->plan.distill_epochs;
        break;
    case SIM_JOB_EVALUATE:
        rows = (double)(self->world.test.samples + seat->own_test.count);
        break;
    }
    return cost * rows;
}

witan_status
sim_submit(witan_simulation *self, sim_seat *seat, sim_job_kind kind, uint32_t round)
{
    sim_job *job = &seat->job;
    job->kind = kind;
    job->round = round;
    job->status = WITAN_OK;
    job->loss = (double)NAN;
    job->evaluates = kind == SIM_JOB_TRAIN && self->config->evaluate.before_distill &&
                     self->world.strategy->exchange != WITAN_EXCHANGE_NONE &&
                     sim_round_is_evaluated(self, round);
    job->pool.cost = job_cost(self, seat, kind);
    return witan_pool_submit(self->pool, &job->pool);
}

void
sim_show_progress(witan_simulation *self, const char *phase, size_t done, size_t total)
{
    if (self->options.progress == NULL) {
        return;
    }
    const witan_run_record *record = &self->record;
    size_t round = witan_coordinator_round(self->coordinator);
    witan_progress progress = {.round =
                                   round < self->config->rounds ? round : round - 1,
                               .rounds = self->config->rounds,
                               .phase = phase,
                               .done = done,
                               .total = total,
                               .own = (double)NAN,
                               .global = (double)NAN,
                               .eta_seconds = -1.0};
    for (size_t r = record->rounds_done; r-- > 0;) {
        if (self->rounds[r].evaluated) {
            progress.own = self->rounds[r].own_after.mean;
            progress.global = self->rounds[r].global_after.mean;
            break;
        }
    }
    double elapsed = (double)(sim_wall_ns(self) - self->run_started_ns) * 1e-9;
    double seconds = self->seconds_before + elapsed;
    if (record->rounds_done > 0) {
        double left = (double)(self->config->rounds - record->rounds_done);
        double share = total == 0 ? 0.0 : 0.5 * (double)done / (double)total;
        progress.eta_seconds =
            seconds / ((double)record->rounds_done + share) * (left - share);
    }
    self->options.progress(self->options.context, &progress);
}

/* Waits for a seat's job, showing progress; adds its times. E_INTERRUPTED on the second
 * Ctrl-C. */
witan_status
sim_await(witan_simulation *self, sim_seat *seat, const char *phase, size_t done,
          size_t total, witan_diag *diag)
{
    int refresh = self->options.refresh_ms > 0 ? self->options.refresh_ms : 200;
    while (!witan_pool_wait(self->pool, &seat->job.pool, refresh)) {
        if (sim_interrupts(self) > 1) {
            return WITAN_E_INTERRUPTED;
        }
        sim_show_progress(self, phase, done, total);
    }
    if (seat->job.status != WITAN_OK) {
        return sim_job_failure(seat, diag);
    }
    double *seconds = seat->job.seconds;
    self->round_seconds.train += seconds[0];
    self->round_seconds.extract += seconds[1];
    self->round_seconds.distill += seconds[3];
    self->round_seconds.evaluate += seconds[4];
    memset(seconds, 0, sizeof seat->job.seconds);
    return WITAN_OK;
}

witan_metric
sim_metric_of(const witan_score *score)
{
    return (witan_metric){score->accuracy, score->loss, score->ece};
}
