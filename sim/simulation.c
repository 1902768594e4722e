/* simulation.c - the event loop: a seeded world under a virtual clock.
 * Jobs run on workers while the loop goes on; the loop waits for a job only when its
 * JOB_DONE event, whose virtual time was known beforehand, comes out of the queue. So
 * the order of everything that decides is fixed before anything is computed. */
#include "sim/simulation.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "setup/setup.h"
#include "sim/simulation_private.h"

bool
sim_round_is_evaluated(const witan_simulation *self, size_t round)
{
    size_t every = self->config->evaluate.every;
    return round + 1 == self->config->rounds ||
           (every != 0 && (round + 1) % every == 0);
}

witan_status
sim_push(witan_simulation *self, uint64_t at_ms, sim_event *event)
{
    sim_event *copy = witan_alloc(self->allocator, 1, sizeof *copy);
    witan_status status = copy == NULL ? WITAN_E_MEMORY : WITAN_OK;
    if (status == WITAN_OK) {
        *copy = *event;
        status = witan_heap_push(&self->queue, (double)at_ms, copy);
    }
    if (status != WITAN_OK) {
        witan_free(self->allocator, copy);
        witan_message_fini(&event->message, self->allocator);
    }
    return status;
}

static uint64_t
latency_ms(const witan_simulation *self)
{
    return (uint64_t)ceil(self->config->faults.latency * 1000.0);
}
/* --- clients ---------------------------------------------------------------------- */

static witan_status
act_client(witan_simulation *self, sim_seat *seat, const witan_client_actions *actions)
{
    if (actions->send) {
        sim_event event = {.kind = SIM_EVENT_TO_COORDINATOR, .client = seat->state.id};
        event.message = seat->job.output;
        memset(&seat->job.output, 0, sizeof seat->job.output);
        event.message.kind = actions->message;
        event.message.client = seat->state.id;
        event.message.round = actions->message_round;
        seat->record.bytes_up += witan_message_payload_bytes(&event.message);
        WITAN_TRY(sim_push(self, self->now_ms + latency_ms(self), &event));
    }
    if (actions->job != WITAN_CLIENT_JOB_NONE) {
        sim_job_kind kind =
            actions->job == WITAN_CLIENT_JOB_TRAIN ? SIM_JOB_TRAIN : SIM_JOB_DISTILL;
        sim_event event = {.kind = SIM_EVENT_JOB_DONE, .client = seat->state.id};
        seat->unscored = true;
        seat->job.pending = true;
        WITAN_TRY(sim_submit(self, seat, kind, actions->job_round));
        WITAN_TRY(sim_push(
            self, self->now_ms + sim_virtual_duration_ms(self, seat, kind), &event));
    }
    return WITAN_OK;
}

/* This round's fate of a client that is asked: keyed by (seed, client, round). */
static void
draw_fate(witan_simulation *self, sim_seat *seat, uint32_t round)
{
    witan_random random;
    witan_random_init(&random, self->config->seed, seat->state.id, round,
                      WITAN_PURPOSE_FAULT);
    seat->vanished = witan_random_uniform(&random) < self->config->faults.dropout;
    seat->slowness = witan_random_uniform(&random) < self->config->faults.straggler
                         ? self->config->faults.slowdown
                         : 1.0;
}

static witan_status
deliver_to_client(witan_simulation *self, sim_event *event)
{
    sim_seat *seat = &self->seat[event->client];
    witan_client_actions actions;
    witan_client_event to_core = {WITAN_CLIENT_MESSAGE, &event->message};
    if (event->message.kind == WITAN_MESSAGE_OPEN) {
        draw_fate(self, seat, event->message.round);
    }
    if (seat->vanished) {
        return WITAN_OK;
    }
    witan_client_step(&seat->core, self->now_ms, &to_core, &actions);
    if (actions.job == WITAN_CLIENT_JOB_DISTILL) {
        seat->job.input = event->message;
        memset(&event->message, 0, sizeof event->message);
    }
    return act_client(self, seat, &actions);
}

static witan_status
finish_job(witan_simulation *self, sim_event *event, witan_diag *diag)
{
    sim_seat *seat = &self->seat[event->client];
    sim_job *job = &seat->job;
    witan_client_actions actions;
    witan_client_event to_core = {WITAN_CLIENT_JOB_DONE, NULL};
    bool training = job->kind == SIM_JOB_TRAIN;
    size_t open = witan_coordinator_round(self->coordinator);
    size_t asked = self->record.clients, awaited = 0;

    awaited = witan_coordinator_awaited(self->coordinator);
    WITAN_TRY(sim_await(self, seat, training ? "train" : "distill",
                        asked > awaited ? asked - awaited : 0, asked, diag));
    job->pending = false;
    if (job->round == open) {
        if (training) {
            seat->record.train_loss = job->loss;
            memcpy(seat->knowledge_digest, job->digest, WITAN_DIGEST_SIZE);
            if (job->evaluates) {
                seat->record.own_before = sim_metric_of(&job->own);
                seat->record.global_before = sim_metric_of(&job->global);
            }
        } else {
            seat->record.distill_loss = job->loss;
            seat->heard = true;
            memcpy(seat->fused_digest, job->digest, WITAN_DIGEST_SIZE);
        }
    }
    witan_client_step(&seat->core, self->now_ms, &to_core, &actions);
    return act_client(self, seat, &actions);
}

/* --- coordinator ------------------------------------------------------------------ */

static witan_status step_coordinator(witan_simulation *self,
                                     const witan_coordinator_event *event,
                                     witan_diag *diag);

static witan_status
fuse(witan_simulation *self, witan_diag *diag)
{
    uint64_t since = sim_wall_ns(self);
    sim_show_progress(self, "fuse", 0, 0);
    witan_status status = witan_coordinator_fuse(self->coordinator);
    self->round_seconds.fuse += (double)(sim_wall_ns(self) - since) * 1e-9;
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status, "fusion in round %zu failed: %s",
                               witan_coordinator_round(self->coordinator) + 1,
                               witan_status_text(status));
    }
    witan_coordinator_event fused = {.kind = WITAN_COORDINATOR_FUSED};
    return step_coordinator(self, &fused, diag);
}

static witan_status
act_coordinator(witan_simulation *self, witan_coordinator_action *action,
                witan_diag *diag)
{
    sim_event event = {0};
    switch (action->kind) {
    case WITAN_COORDINATOR_ROUND_OPENED:
    case WITAN_COORDINATOR_SEND_AGAIN: /* nobody loses its connection here */
        return WITAN_OK;
    case WITAN_COORDINATOR_SEND:
        event.kind = SIM_EVENT_TO_CLIENT;
        event.client = action->message.client;
        event.message = action->message;
        memset(&action->message, 0, sizeof action->message);
        self->seat[event.client].record.bytes_down +=
            witan_message_payload_bytes(&event.message);
        if (event.message.kind == WITAN_MESSAGE_FUSED) {
            sim_digest_message(self->seat[event.client].sent_digest, &event.message);
        }
        return sim_push(self, self->now_ms + latency_ms(self), &event);
    case WITAN_COORDINATOR_SET_TIMER:
        event.kind = SIM_EVENT_TIMER;
        event.timer = action->timer;
        return sim_push(self, action->at_ms, &event);
    case WITAN_COORDINATOR_FUSE:
        return fuse(self, diag);
    case WITAN_COORDINATOR_ROUND_ENDED:
        WITAN_TRY(sim_end_round(self, diag));
        event.kind = SIM_EVENT_NEXT;
        return sim_push(self, self->now_ms, &event);
    case WITAN_COORDINATOR_FINISHED:
        self->finished = true;
        return WITAN_OK;
    case WITAN_COORDINATOR_REFUSED:
        witan_log_write(
            self->options.log,
            action->refusal == WITAN_REFUSAL_LATE ? WITAN_LOG_INFO : WITAN_LOG_WARNING,
            "knowledge-refused", "client=%u round=%u reason=\"%s\"",
            (unsigned)action->message.client, (unsigned)action->message.round + 1,
            witan_refusal_text(action->refusal));
        return WITAN_OK;
    }
    return WITAN_E_INVALID;
}

static witan_status
step_coordinator(witan_simulation *self, const witan_coordinator_event *event,
                 witan_diag *diag)
{
    witan_coordinator_actions actions;
    witan_coordinator_step(self->coordinator, self->now_ms, event, &actions);
    /* FUSE and ROUND_ENDED step the coordinator again; both come last or are followed
     * by FINISHED alone, which carries nothing. */
    size_t count = actions.count;
    for (size_t i = 0; i < count; i++) {
        bool finishes =
            i + 1 < count && actions.items[i + 1].kind == WITAN_COORDINATOR_FINISHED;
        witan_coordinator_action_kind kind = actions.items[i].kind;
        WITAN_TRY(act_coordinator(self, &actions.items[i], diag));
        if (kind == WITAN_COORDINATOR_FUSE) {
            break;
        }
        if (kind == WITAN_COORDINATOR_ROUND_ENDED && finishes) {
            self->finished = true;
            break;
        }
    }
    return WITAN_OK;
}

static witan_status
handle(witan_simulation *self, sim_event *event, witan_diag *diag)
{
    witan_coordinator_event to_coordinator = {0};
    switch (event->kind) {
    case SIM_EVENT_TO_CLIENT:
        return deliver_to_client(self, event);
    case SIM_EVENT_JOB_DONE:
        return finish_job(self, event, diag);
    case SIM_EVENT_TO_COORDINATOR:
        to_coordinator.kind = WITAN_COORDINATOR_MESSAGE;
        to_coordinator.message = &event->message;
        break;
    case SIM_EVENT_TIMER:
        to_coordinator.kind = WITAN_COORDINATOR_TIMER;
        to_coordinator.timer = event->timer;
        break;
    case SIM_EVENT_NEXT:
        to_coordinator.kind = WITAN_COORDINATOR_NEXT;
        self->round_opened_ms = self->now_ms;
        self->round_started_ns = sim_wall_ns(self);
        break;
    }
    return step_coordinator(self, &to_coordinator, diag);
}

static void
free_event(witan_simulation *self, sim_event *event)
{
    witan_message_fini(&event->message, self->allocator);
    witan_free(self->allocator, event);
}

static witan_status
run_events(witan_simulation *self, witan_diag *diag)
{
    witan_heap_item item;
    while (!self->finished) {
        if (sim_interrupts(self) > 1) {
            return WITAN_E_INTERRUPTED;
        }
        if (!witan_heap_pop(&self->queue, &item)) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "round %zu waits for ever for %zu clients that dropped out; set "
                "round.deadline",
                witan_coordinator_round(self->coordinator) + 1,
                witan_coordinator_awaited(self->coordinator));
        }
        sim_event *event = item.value;
        self->now_ms = (uint64_t)item.key;
        witan_status status = handle(self, event, diag);
        free_event(self, event);
        if (status != WITAN_OK && status != WITAN_E_INTERRUPTED) {
            return witan_diag_fail(diag, status, "round %zu: %s",
                                   self->record.rounds_done + 1,
                                   witan_status_text(status));
        }
        WITAN_TRY(status);
    }
    return WITAN_OK;
}

/* --- life ------------------------------------------------------------------------- */

static witan_status
make_run(witan_simulation *self, witan_diag *diag)
{
    const witan_allocator *a = self->allocator;
    size_t n = self->seats;
    witan_coordinator_config config;
    witan_setup_coordinator(&config, self->config);
    config.clients = self->learners;
    config.strategy = self->world.strategy;
    config.kind = self->plan.kind;
    config.codec = self->plan.codec;
    config.rows = witan_plan_labels(&self->plan);
    config.classes = self->plan.classes;
    config.parameters = witan_network_parameters(&self->networks[0]);
    self->rounds = witan_zalloc(a, self->config->rounds, sizeof *self->rounds);
    self->last = witan_zalloc(a, n, sizeof *self->last);
    self->own_by_round = witan_zalloc(a, self->config->rounds, n * sizeof(double));
    self->global_by_round = witan_zalloc(a, self->config->rounds, n * sizeof(double));
    self->weights = self->world.strategy->exchange == WITAN_EXCHANGE_NONE
                        ? NULL
                        : witan_zalloc(a, n, n * sizeof(double));
    self->kits = witan_zalloc(a, self->options.threads * self->config->models_count,
                              sizeof *self->kits);
    witan_status status = WITAN_E_MEMORY;
    if (self->rounds != NULL && self->last != NULL && self->own_by_round != NULL &&
        self->global_by_round != NULL && self->kits != NULL &&
        (self->weights != NULL ||
         self->world.strategy->exchange == WITAN_EXCHANGE_NONE)) {
        status = witan_coordinator_new(&self->coordinator, &config, a);
    }
    if (status == WITAN_OK) {
        status = witan_pool_new(&self->pool, self->options.threads, a);
    }
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status,
                               status == WITAN_E_LIMIT
                                   ? "the system refuses to start %zu threads; lower "
                                     "--threads"
                                   : "out of memory for a run with %zu threads",
                               self->options.threads);
    }
    sim_clear_records(self);
    return WITAN_OK;
}

static witan_run_exchange
what_travels(const witan_fusion_ops *strategy)
{
    if (strategy->pools_data) {
        return WITAN_RUN_POOLED;
    }
    return strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE    ? WITAN_RUN_SOFT_LABELS
           : strategy->exchange == WITAN_EXCHANGE_PARAMETERS ? WITAN_RUN_PARAMETERS
                                                             : WITAN_RUN_NOTHING;
}

static void
fill_record(witan_simulation *self)
{
    witan_run_record *record = &self->record;
    record->name = self->config->name;
    record->directory = self->options.directory;
    record->digest = self->digest_hex;
    record->strategy = self->world.strategy->key;
    record->version = WITAN_VERSION;
    record->machine = self->machine;
    record->config_json = self->config_text.data;
    record->data_name = self->data_name;
    record->data_summary = self->world.summary;
    record->partition = self->partition_rule;
    record->exchange = what_travels(self->world.strategy);
    record->text = self->world.train.length != 0;
    record->models_saved = self->config->save.models;
    record->seed = self->config->seed;
    record->clients = self->seats;
    record->rounds_planned = self->config->rounds;
    record->classes = self->world.train.classes;
    record->transfer_rows = self->plan.transfer.count;
    record->threads = self->options.threads;
    record->model_names = self->model_names;
    record->train_samples = self->train_samples;
    record->test_samples = self->test_samples;
    record->label_histogram = self->histogram;
    record->rounds = self->rounds;
    record->last = self->last;
    record->own_by_round = self->own_by_round;
    record->global_by_round = self->global_by_round;
    record->gained_over_local = (double)NAN;
}

witan_status
witan_simulation_new(witan_simulation **out, const witan_config *config,
                     const witan_simulation_options *options,
                     const witan_allocator *allocator, witan_diag *diag)
{
    *out = NULL;
    witan_simulation *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    self->allocator = allocator;
    self->config = config;
    self->options = *options;
    witan_heap_init(&self->queue, allocator);
    witan_text_init(&self->config_text, allocator, WITAN_CONFIG_BYTES_MAX * 4);
    witan_text_init(&self->line, allocator, 1 << 20);
    witan_config_write(config, &self->config_text);
    self->run_started_ns = sim_wall_ns(self);

    uint64_t metrics_bytes = 0;
    witan_status status = self->config_text.status;
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "out of memory for the resolved config");
        goto out;
    }
    status = sim_world_make(self, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    status = make_run(self, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    fill_record(self);
    if (options->resume) {
        status = sim_state_load(self, &metrics_bytes, diag);
        if (status != WITAN_OK) {
            goto out;
        }
        self->state_is_current = true;
    }
    status = sim_output_open(self, metrics_bytes, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    self->saved_ns = sim_wall_ns(self);
    *out = self;
    self = NULL;
out:
    witan_simulation_free(&self);
    return status;
}

void
witan_simulation_free(witan_simulation **self)
{
    witan_simulation *it = *self;
    witan_heap_item item;
    if (it == NULL) {
        return;
    }
    *self = NULL;
    witan_pool_free(&it->pool);
    while (witan_heap_pop(&it->queue, &item)) {
        free_event(it, item.value);
    }
    witan_heap_fini(&it->queue);
    size_t kits = it->options.threads * it->config->models_count;
    for (size_t i = 0; it->kits != NULL && i < kits; i++) {
        witan_kit_fini(&it->kits[i], it->allocator);
    }
    witan_coordinator_free(&it->coordinator);
    witan_append_close(&it->metrics);
    sim_world_fini(it);
    witan_free(it->allocator, it->kits);
    witan_free(it->allocator, it->rounds);
    witan_free(it->allocator, it->last);
    witan_free(it->allocator, it->own_by_round);
    witan_free(it->allocator, it->global_by_round);
    witan_free(it->allocator, it->weights);
    witan_free(it->allocator, it->reference_own);
    witan_free(it->allocator, it->reference_global);
    witan_text_fini(&it->config_text);
    witan_text_fini(&it->line);
    witan_free(it->allocator, it);
}

/* The run's digest: the chain over rounds, then every final parameter. */
static void
finish_digest(witan_simulation *self)
{
    witan_digest digest;
    uint8_t out[WITAN_DIGEST_SIZE];
    witan_digest_init(&digest);
    witan_digest_update(&digest, self->digest, sizeof self->digest);
    for (size_t n = 0; n < self->learners; n++) {
        const witan_network_learner *learner = &self->seat[n].state.learner;
        witan_digest_update(&digest, learner->parameters,
                            witan_network_parameters(learner->network) * sizeof(float));
    }
    witan_digest_final(&digest, out);
    witan_digest_hex(self->digest_hex, out);
}

static void
compare_with_reference(witan_simulation *self)
{
    size_t gained = 0;
    if (self->reference_own == NULL) {
        return;
    }
    for (size_t n = 0; n < self->seats; n++) {
        gained += self->last[n].own_after.accuracy > self->reference_own[n];
    }
    self->record.gained_over_local = (double)gained / (double)self->seats;
}

static void
finish_record(witan_simulation *self)
{
    witan_run_record *record = &self->record;
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    record->peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    record->seconds = sim_run_seconds(self);
    memset(&record->seconds_per_round, 0, sizeof record->seconds_per_round);
    for (size_t r = 0; r < record->rounds_done; r++) {
        double share = 1.0 / (double)record->rounds_done;
        record->seconds_per_round.train += share * self->rounds[r].seconds.train;
        record->seconds_per_round.extract += share * self->rounds[r].seconds.extract;
        record->seconds_per_round.fuse += share * self->rounds[r].seconds.fuse;
        record->seconds_per_round.distill += share * self->rounds[r].seconds.distill;
        record->seconds_per_round.evaluate += share * self->rounds[r].seconds.evaluate;
    }
    record->fusion_weights = self->has_weights ? self->weights : NULL;
}

witan_status
witan_simulation_run(witan_simulation *self, witan_diag *diag)
{
    sim_event next = {.kind = SIM_EVENT_NEXT};
    if (self->record.rounds_done < self->config->rounds) {
        WITAN_TRY(sim_push(self, self->now_ms, &next));
        WITAN_TRY(run_events(self, diag));
    }
    finish_digest(self);
    compare_with_reference(self);
    finish_record(self);
    return sim_output_final(self, diag);
}

witan_status
witan_simulation_set_reference(witan_simulation *self, const witan_simulation *local,
                               witan_diag *diag)
{
    size_t n = self->seats;
    if (local->seats != n || local->record.rounds_done != local->config->rounds) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the reference run has other clients or did not finish; "
                               "use a new --out directory");
    }
    self->reference_own = witan_alloc(self->allocator, n, sizeof(double));
    self->reference_global = witan_alloc(self->allocator, n, sizeof(double));
    if (self->reference_own == NULL || self->reference_global == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        self->reference_own[i] = local->last[i].own_after.accuracy;
        self->reference_global[i] = local->last[i].global_after.accuracy;
    }
    const witan_round_record *last = &local->rounds[local->config->rounds - 1];
    self->record.reference_own = self->reference_own;
    self->record.reference_global = self->reference_global;
    self->record.reference_own_statistic = last->own_after;
    self->record.reference_global_statistic = last->global_after;
    return WITAN_OK;
}

const witan_run_record *
witan_simulation_record(witan_simulation *self)
{
    return &self->record;
}
