/* jobs.c - what a worker does for a seat: the phases of a client's round, timed. */
#include <math.h>
#include <string.h>

#include "sim/simulation_private.h"

enum {
    PHASE_TRAIN,
    PHASE_EXTRACT,
    PHASE_FUSE,
    PHASE_DISTILL,
    PHASE_EVALUATE
};

void
sim_digest_message(uint8_t out[WITAN_DIGEST_SIZE], const witan_message *message)
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, message->labels.bytes, message->labels.size);
    witan_digest_update(&digest, message->parameters,
                        message->parameters_count * sizeof *message->parameters);
    witan_digest_final(&digest, out);
}

/* Adds the time since *since to a phase and starts the next one. */
static void
lap(sim_seat *seat, int phase, uint64_t *since)
{
    uint64_t now = witan_clock_now_ns(seat->simulation->options.clock);
    seat->job.seconds[phase] += (double)(now - *since) * 1e-9;
    *since = now;
}

static witan_status
evaluate(sim_seat *seat, witan_kit *kit)
{
    witan_simulation *self = seat->simulation;
    witan_part global = witan_world_global_test(&self->world);
    if (seat->own_subset != NULL) {
        return witan_learner_evaluate(&seat->state, &self->plan, kit, &global,
                                      &seat->job.global, seat->own_subset,
                                      seat->own_test.count, &seat->job.own);
    }
    WITAN_TRY(witan_learner_evaluate(&seat->state, &self->plan, kit, &global,
                                     &seat->job.global, NULL, 0, NULL));
    return witan_learner_evaluate(&seat->state, &self->plan, kit, &seat->own_test,
                                  &seat->job.own, NULL, 0, NULL);
}

/* fedavg: what travels is the whole parameter block. */
static witan_status
extract_parameters(sim_seat *seat)
{
    witan_simulation *self = seat->simulation;
    size_t count = witan_network_parameters(seat->state.learner.network);
    witan_message *output = &seat->job.output;
    output->parameters = witan_alloc(self->allocator, count, sizeof(float));
    if (output->parameters == NULL) {
        return WITAN_E_MEMORY;
    }
    memcpy(output->parameters, seat->state.learner.parameters, count * sizeof(float));
    output->parameters_count = count;
    return WITAN_OK;
}

/* What scores need is made when they are first needed: a function of plan, private rows
 * and seed, so it is made again after a resume. */
static witan_status
extract_labels(sim_seat *seat, witan_kit *kit)
{
    witan_simulation *self = seat->simulation;
    if (seat->state.release == NULL && witan_release_has_scores(&self->plan.release)) {
        WITAN_TRY(witan_release_new(&seat->state.release, &self->plan, &seat->state,
                                    kit, self->allocator));
    }
    seat->state.heard = seat->lesson.bytes != NULL ? &seat->lesson : NULL;
    return witan_learner_extract(&seat->state, &self->plan, kit, seat->job.round,
                                 &seat->job.output.labels, self->allocator);
}

static witan_status
train(sim_seat *seat, witan_kit *kit)
{
    witan_simulation *self = seat->simulation;
    sim_job *job = &seat->job;
    uint64_t since = witan_clock_now_ns(self->options.clock);
    WITAN_TRY(
        witan_learner_train(&seat->state, &self->plan, kit, job->round, &job->loss));
    lap(seat, PHASE_TRAIN, &since);
    if (self->world.strategy->exchange == WITAN_EXCHANGE_NONE) {
        return sim_evidence_train(seat);
    }
    WITAN_TRY(self->world.strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE
                  ? extract_labels(seat, kit)
                  : extract_parameters(seat));
    job->output.samples = seat->state.train.count;
    sim_digest_message(job->digest, &job->output);
    WITAN_TRY(sim_evidence_train(seat));
    lap(seat, PHASE_EXTRACT, &since);
    if (job->evaluates) {
        WITAN_TRY(evaluate(seat, kit));
        lap(seat, PHASE_EVALUATE, &since);
    }
    return WITAN_OK;
}

static witan_status
distill(sim_seat *seat, witan_kit *kit)
{
    witan_simulation *self = seat->simulation;
    sim_job *job = &seat->job;
    uint64_t since = witan_clock_now_ns(self->options.clock);
    job->loss = (double)NAN;
    sim_digest_message(job->digest, &job->input);
    if (job->input.parameters != NULL) {
        memcpy(seat->state.learner.parameters, job->input.parameters,
               job->input.parameters_count * sizeof(float));
    } else {
        WITAN_TRY(witan_learner_distill(&seat->state, &self->plan, kit, job->round,
                                        &job->input.labels, &job->loss));
    }
    if (seat->evidence.before != NULL) {
        WITAN_TRY(sim_copy_labels(&seat->evidence.fused, &job->input.labels,
                                  self->allocator));
    }
    if (self->plan.release.gap && self->plan.release.gap_reference == WITAN_GAP_HEARD) {
        witan_soft_labels_fini(&seat->lesson, self->allocator);
        seat->lesson = job->input.labels;
        memset(&job->input.labels, 0, sizeof job->input.labels);
    }
    witan_message_fini(&job->input, self->allocator);
    lap(seat, PHASE_DISTILL, &since);
    return WITAN_OK;
}

void
sim_job_run(void *context, size_t worker)
{
    sim_seat *seat = context;
    witan_simulation *self = seat->simulation;
    sim_job *job = &seat->job;
    witan_kit *kit =
        &self->kits[worker * self->config->models_count + seat->architecture];

    memset(job->seconds, 0, sizeof job->seconds);
    if (kit->bench == NULL) {
        job->status = witan_kit_init(kit, &self->plan, seat->state.learner.network,
                                     self->train_rows_max, self->allocator);
        if (job->status != WITAN_OK) {
            return;
        }
    }
    switch (job->kind) {
    case SIM_JOB_TRAIN:
        job->status = train(seat, kit);
        break;
    case SIM_JOB_DISTILL:
        job->status = distill(seat, kit);
        break;
    case SIM_JOB_EVALUATE: {
        uint64_t since = witan_clock_now_ns(self->options.clock);
        job->status = evaluate(seat, kit);
        lap(seat, PHASE_EVALUATE, &since);
        break;
    }
    }
}

witan_status
sim_job_failure(const sim_seat *seat, witan_diag *diag)
{
    static const char *const phases[] = {"training", "distillation", "evaluation"};
    const sim_job *job = &seat->job;
    if (job->status == WITAN_E_NUMERIC) {
        return witan_diag_fail(
            diag, job->status,
            "client %u (%s): %s in round %u met a number that is not finite; lower "
            "local.optimizer.lr or set local.optimizer.clip",
            (unsigned)seat->state.id, witan_network_name(seat->state.learner.network),
            phases[job->kind], (unsigned)job->round + 1);
    }
    if (job->status == WITAN_E_CONFIG) {
        return witan_diag_fail(
            diag, job->status, "client %u (%s): " WITAN_LEARNER_REFUSES,
            (unsigned)seat->state.id, witan_network_name(seat->state.learner.network));
    }
    return witan_diag_fail(diag, job->status, "client %u: %s in round %u failed: %s",
                           (unsigned)seat->state.id, phases[job->kind],
                           (unsigned)job->round + 1, witan_status_text(job->status));
}
