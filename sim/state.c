/* state.c - the resumable state of a run between two rounds, in one safetensors file:
 * every learner's block, the cores, late knowledge, what is under way, and the record.
 * Structs are written as raw bytes: a state belongs to one build on one machine type,
 * and a layout number guards it. Every tensor has its BLAKE2b digest beside it, so that
 * a flipped bit on the disk is an error and never another result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/simulation_private.h"

#define STATE_FORMAT "witan-state-1"

enum {
    EVENT_WORDS = 8
};

/* No virtual time comes near it: the most rounds there are, each at its longest. */
#define LATEST_MS ((uint64_t)1 << 62)

/* The part of a seat that is neither data nor derived. */
typedef struct seat_state {
    witan_client core;
    uint64_t optimiser_step;
    double slowness;
    witan_metric last_own, last_global;
    uint32_t job_kind, job_round;
    uint8_t vanished, unscored, job_pending;
    uint64_t job_samples; /* its loss and scores are of a round that is recorded */
    /* What else the file holds of it, so that a lost tensor is missed. */
    uint64_t job_labels, job_parameters, stale_labels; /* bytes, floats, bytes */
    uint64_t lesson;                                   /* bytes */
} seat_state;

/* Scalars of the run. */
typedef struct run_state {
    uint64_t layout; /* sizes of the structs, so that another build is refused */
    uint64_t now_ms, rounds_done, metrics_bytes, events;
    uint64_t bytes_up, bytes_down;
    double seconds;
    uint8_t digest[WITAN_DIGEST_SIZE], world_digest[WITAN_DIGEST_SIZE];
    uint8_t has_weights;
} run_state;

static uint64_t
layout_number(void)
{
    return (uint64_t)sizeof(seat_state) * 1000003u + sizeof(run_state) * 10007u +
           sizeof(witan_round_record) * 101u + sizeof(witan_client_record);
}

/* A list of entries under construction; names are owned. */
typedef struct entries {
    const witan_allocator *allocator;
    witan_tensor_entry *items;
    char (*names)[48];
    uint8_t (*digests)[WITAN_DIGEST_SIZE];
    size_t count, room;
} entries;

static void
digest_of(uint8_t out[WITAN_DIGEST_SIZE], const void *data, size_t size)
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, data, size);
    witan_digest_final(&digest, out);
}

static size_t
type_size(witan_tensor_type type)
{
    return type == WITAN_TENSOR_U64 ? 8 : type == WITAN_TENSOR_F32 ? 4 : 1;
}

static void
name_of(char out[48], const char *format, size_t number, bool digest)
{
    (void)snprintf(out, 48, "%s.%zu%s", format, number, digest ? ".digest" : "");
}

/* Appends one entry named names[count]. */
static void
append(entries *self, witan_tensor_type type, size_t count, const void *data)
{
    WITAN_ASSERT(self->count < self->room);
    self->items[self->count] = (witan_tensor_entry){.name = self->names[self->count],
                                                    .type = type,
                                                    .dimensions = 1,
                                                    .shape = {count},
                                                    .data = data};
    self->count++;
}

static void
add(entries *self, witan_tensor_type type, size_t count, const void *data,
    const char *format, size_t number)
{
    WITAN_ASSERT(self->count + 2 <= self->room);
    uint8_t *digest = self->digests[self->count];
    digest_of(digest, data, count * type_size(type));
    name_of(self->names[self->count], format, number, false);
    append(self, type, count, data);
    name_of(self->names[self->count], format, number, true);
    append(self, WITAN_TENSOR_U8, WITAN_DIGEST_SIZE, digest);
}

static witan_status
out_of_memory(witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for the saved state");
}

static void
pack_seat(seat_state *out, const sim_seat *seat)
{
    const sim_job *job = &seat->job;
    memset(out, 0, sizeof *out); /* padding is written too */
    out->core = seat->core;
    out->optimiser_step = seat->state.learner.optimiser_step;
    out->slowness = seat->slowness;
    out->last_own = seat->last_own;
    out->last_global = seat->last_global;
    out->vanished = seat->vanished;
    out->unscored = seat->unscored;
    out->job_pending = job->pending;
    out->job_kind = (uint32_t)job->kind;
    out->job_round = job->round;
    out->job_samples = job->output.samples;
    out->lesson = seat->lesson.size;
    if (job->pending) {
        out->job_labels = job->output.labels.size;
        out->job_parameters = job->output.parameters_count;
    }
}

static void
unpack_seat(sim_seat *seat, const seat_state *in)
{
    sim_job *job = &seat->job;
    seat->core = in->core;
    seat->state.learner.optimiser_step = in->optimiser_step;
    seat->slowness = in->slowness;
    seat->last_own = in->last_own;
    seat->last_global = in->last_global;
    seat->vanished = in->vanished != 0;
    seat->unscored = in->unscored != 0;
    job->pending = in->job_pending != 0;
    job->kind = (sim_job_kind)in->job_kind;
    job->round = in->job_round;
    job->output.samples = in->job_samples;
}

static int
compare_events(const void *a, const void *b)
{
    const witan_heap_item *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static void
add_payload(entries *list, const witan_message *message, const char *labels,
            const char *parameters, size_t number)
{
    if (message->labels.bytes != NULL) {
        add(list, WITAN_TENSOR_U8, message->labels.size, message->labels.bytes, labels,
            number);
    }
    if (message->parameters != NULL) {
        add(list, WITAN_TENSOR_F32, message->parameters_count, message->parameters,
            parameters, number);
    }
}

/* What is under way, in the order in which it will happen. Timers are left out: those
 * of a round that ended count no more. */
static void
pack_events(witan_simulation *self, uint64_t *words, entries *list, uint64_t *count)
{
    *count = 0;
    if (self->queue.count > 1) {
        qsort(self->queue.items, self->queue.count, sizeof *self->queue.items,
              compare_events); /* a sorted array is a heap */
    }
    for (size_t i = 0; i < self->queue.count; i++) {
        const sim_event *event = self->queue.items[i].value;
        if (event->kind == SIM_EVENT_TIMER) {
            continue;
        }
        uint64_t *w = words + *count * EVENT_WORDS;
        w[0] = (uint64_t)self->queue.items[i].key;
        w[1] = (uint64_t)event->kind;
        w[2] = event->client;
        w[3] = (uint64_t)event->message.kind;
        w[4] = event->message.round;
        w[5] = event->message.samples;
        w[6] = event->message.labels.size;
        w[7] = event->message.parameters_count;
        add_payload(list, &event->message, "event.labels", "event.parameters",
                    (size_t)*count);
        (*count)++;
    }
}

static void
add_seats(witan_simulation *self, entries *list, seat_state *seats,
          uint64_t *stale_rounds)
{
    for (size_t n = 0; n < self->seats; n++) {
        const sim_seat *seat = &self->seat[n];
        pack_seat(&seats[n], seat);
        if (n < self->learners) {
            const witan_coordinator_client *client =
                witan_coordinator_client_at(self->coordinator, n);
            add(list, WITAN_TENSOR_F32,
                witan_learner_block_floats(&seat->state.learner),
                seat->state.learner.parameters, "client", n);
            stale_rounds[n] = client->stale_round;
            if (client->stale.bytes != NULL) {
                seats[n].stale_labels = client->stale.size;
                add(list, WITAN_TENSOR_U8, client->stale.size, client->stale.bytes,
                    "stale", n);
            }
        }
        if (seat->lesson.bytes != NULL) {
            add(list, WITAN_TENSOR_U8, seat->lesson.size, seat->lesson.bytes, "lesson",
                n);
        }
        if (seat->job.pending) {
            add_payload(list, &seat->job.output, "job.labels", "job.parameters", n);
        }
    }
}

witan_status
sim_state_save(witan_simulation *self, witan_diag *diag)
{
    const witan_allocator *a = self->allocator;
    size_t n = self->seats, rounds = self->record.rounds_done;
    run_state run;
    memset(&run, 0, sizeof run);
    entries list = {.allocator = a, .room = 2 * (5 * n + 2 * self->queue.count + 16)};
    char path[WITAN_PATH_MAX];
    list.items = witan_zalloc(a, list.room, sizeof *list.items);
    list.names = witan_zalloc(a, list.room, sizeof *list.names);
    list.digests = witan_zalloc(a, list.room, sizeof *list.digests);
    seat_state *seats = witan_zalloc(a, n, sizeof *seats);
    uint64_t *stale_rounds = witan_zalloc(a, n, sizeof *stale_rounds);
    uint64_t *words =
        witan_zalloc(a, self->queue.count + 1, EVENT_WORDS * sizeof *words);
    witan_status status = out_of_memory(NULL);
    if (list.items == NULL || list.names == NULL || list.digests == NULL ||
        seats == NULL || stale_rounds == NULL || words == NULL) {
        (void)out_of_memory(diag);
        goto out;
    }
    status = witan_append_sync(self->metrics, &run.metrics_bytes, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    run.layout = layout_number();
    run.now_ms = self->now_ms;
    run.rounds_done = rounds;
    run.bytes_up = self->record.bytes_up;
    run.bytes_down = self->record.bytes_down;
    run.seconds = sim_run_seconds(self);
    memcpy(run.digest, self->digest, sizeof run.digest);
    memcpy(run.world_digest, self->world_digest, sizeof run.world_digest);
    run.has_weights = self->has_weights;
    pack_events(self, words, &list, &run.events);
    add_seats(self, &list, seats, stale_rounds);
    add(&list, WITAN_TENSOR_U8, sizeof run, &run, "run", 0);
    add(&list, WITAN_TENSOR_U64, (size_t)run.events * EVENT_WORDS, words, "events", 0);
    add(&list, WITAN_TENSOR_U8, n * sizeof *seats, seats, "seats", 0);
    add(&list, WITAN_TENSOR_U64, n, stale_rounds, "stale_rounds", 0);
    add(&list, WITAN_TENSOR_U8, rounds * sizeof *self->rounds, self->rounds, "rounds",
        0);
    add(&list, WITAN_TENSOR_U8, n * sizeof *self->last, self->last, "last", 0);
    add(&list, WITAN_TENSOR_U8, rounds * n * sizeof(double), self->own_by_round, "own",
        0);
    add(&list, WITAN_TENSOR_U8, rounds * n * sizeof(double), self->global_by_round,
        "global", 0);
    if (self->has_weights) {
        add(&list, WITAN_TENSOR_U8, n * n * sizeof(double), self->weights, "weights",
            0);
    }
    const char *const metadata[][2] = {{"format", STATE_FORMAT},
                                       {"version", WITAN_VERSION},
                                       {"machine", self->machine}};
    (void)snprintf(path, sizeof path, "%s/state.safetensors", self->options.directory);
    status = witan_safetensors_save(path, list.items, list.count, metadata,
                                    sizeof metadata / sizeof metadata[0], a, diag);
out:
    witan_free(a, list.items);
    witan_free(a, list.names);
    witan_free(a, list.digests);
    witan_free(a, seats);
    witan_free(a, stale_rounds);
    witan_free(a, words);
    return status;
}

/* --- loading ---------------------------------------------------------------------- */

static witan_status
broken(witan_diag *diag, const char *what)
{
    return witan_diag_fail(diag, WITAN_E_DATA,
                           "state.safetensors: %s; start again with a new --out", what);
}

static witan_status
read_tensor(witan_safetensors *file, const char *format, size_t number,
            witan_tensor_type type, size_t count, void *out, witan_diag *diag)
{
    char name[48];
    uint8_t stored[WITAN_DIGEST_SIZE], actual[WITAN_DIGEST_SIZE];
    name_of(name, format, number, false);
    WITAN_TRY(witan_safetensors_read(file, name, type, count, out, diag));
    name_of(name, format, number, true);
    WITAN_TRY(witan_safetensors_read(file, name, WITAN_TENSOR_U8, sizeof stored, stored,
                                     diag));
    digest_of(actual, out, count * type_size(type));
    return memcmp(stored, actual, sizeof stored) == 0
               ? WITAN_OK
               : broken(diag, "its bytes changed since it was saved");
}

/* Soft labels of `size` bytes, none when 0; the plan knows their shape. */
static witan_status
read_labels(witan_simulation *self, witan_safetensors *file, const char *format,
            size_t number, witan_knowledge_kind kind, uint64_t size,
            witan_soft_labels *out, witan_diag *diag)
{
    const witan_learning_plan *plan = &self->plan;
    if (size == 0) {
        return WITAN_OK;
    }
    if (size !=
        witan_soft_labels_size(plan->codec, witan_plan_labels(plan), plan->classes)) {
        return broken(diag, "soft labels of another shape");
    }
    if (witan_soft_labels_new(out, self->allocator, kind, plan->codec,
                              witan_plan_labels(plan), plan->classes) != WITAN_OK) {
        return out_of_memory(diag);
    }
    return read_tensor(file, format, number, WITAN_TENSOR_U8, out->size, out->bytes,
                       diag);
}

/* `count` parameters that travel, none when 0. */
static witan_status
read_parameters(witan_simulation *self, witan_safetensors *file, const char *format,
                size_t number, uint64_t count, witan_message *message, witan_diag *diag)
{
    if (count == 0) {
        return WITAN_OK;
    }
    if (count != witan_network_parameters(&self->networks[0])) {
        return broken(diag, "parameters of another model");
    }
    message->parameters = witan_alloc(self->allocator, (size_t)count, sizeof(float));
    if (message->parameters == NULL) {
        return out_of_memory(diag);
    }
    message->parameters_count = (size_t)count;
    return read_tensor(file, format, number, WITAN_TENSOR_F32, (size_t)count,
                       message->parameters, diag);
}

static witan_status
load_events(witan_simulation *self, witan_safetensors *file, size_t count,
            witan_diag *diag)
{
    const witan_tensor_entry *entry = witan_safetensors_find(file, "events.0");
    if (entry == NULL || entry->dimensions != 1 ||
        entry->shape[0] / EVENT_WORDS != count) { /* bounds what is allocated */
        return broken(diag, "what was under way is missing");
    }
    uint64_t *words =
        witan_zalloc(self->allocator, count + 1, EVENT_WORDS * sizeof *words);
    if (words == NULL) {
        return out_of_memory(diag);
    }
    witan_status status = read_tensor(file, "events", 0, WITAN_TENSOR_U64,
                                      count * EVENT_WORDS, words, diag);
    for (size_t i = 0; i < count && status == WITAN_OK; i++) {
        const uint64_t *w = words + i * EVENT_WORDS;
        sim_event event = {0};
        if (w[1] >= SIM_EVENT_TIMER || w[2] >= self->seats ||
            w[3] > WITAN_MESSAGE_DONE || w[0] > LATEST_MS) {
            status = broken(diag, "an event is not one");
            break;
        }
        event.kind = (sim_event_kind)w[1];
        event.client = (uint32_t)w[2];
        event.message.kind = (witan_message_kind)w[3];
        event.message.client = (uint32_t)w[2];
        event.message.round = (uint32_t)w[4];
        event.message.samples = w[5];
        witan_knowledge_kind kind = event.kind == SIM_EVENT_TO_CLIENT
                                        ? WITAN_KNOWLEDGE_PROBABILITY
                                        : self->plan.kind;
        status = read_labels(self, file, "event.labels", i, kind, w[6],
                             &event.message.labels, diag);
        if (status == WITAN_OK) {
            status = read_parameters(self, file, "event.parameters", i, w[7],
                                     &event.message, diag);
        }
        if (status != WITAN_OK) {
            witan_message_fini(&event.message, self->allocator);
        } else if (sim_push(self, w[0], &event) != WITAN_OK) {
            status = out_of_memory(diag);
        }
    }
    witan_free(self->allocator, words);
    return status;
}

static witan_status
load_seat(witan_simulation *self, witan_safetensors *file, size_t n,
          const seat_state *state, uint64_t stale_round, witan_diag *diag)
{
    sim_seat *seat = &self->seat[n];
    if (state->core.phase > WITAN_CLIENT_DISTILLING ||
        state->job_kind > SIM_JOB_EVALUATE) {
        return broken(diag, "a client's state is not one");
    }
    unpack_seat(seat, state);
    if (seat->job.pending) {
        WITAN_TRY(read_labels(self, file, "job.labels", n, self->plan.kind,
                              state->job_labels, &seat->job.output.labels, diag));
        WITAN_TRY(read_parameters(self, file, "job.parameters", n,
                                  state->job_parameters, &seat->job.output, diag));
    }
    if (n >= self->learners) {
        return WITAN_OK;
    }
    WITAN_TRY(read_tensor(file, "client", n, WITAN_TENSOR_F32,
                          witan_learner_block_floats(&seat->state.learner),
                          seat->state.learner.parameters, diag));
    WITAN_TRY(read_labels(self, file, "lesson", n, WITAN_KNOWLEDGE_PROBABILITY,
                          state->lesson, &seat->lesson, diag));
    witan_soft_labels stale = {0};
    witan_status status = read_labels(self, file, "stale", n, self->plan.kind,
                                      state->stale_labels, &stale, diag);
    if (status != WITAN_OK) {
        witan_soft_labels_fini(&stale, self->allocator);
    } else if (stale.bytes != NULL) {
        witan_coordinator_restore_stale(self->coordinator, n, &stale,
                                        (uint32_t)stale_round, seat->state.train.count);
    }
    return status;
}

static witan_status
load_record(witan_simulation *self, witan_safetensors *file, const run_state *run,
            witan_diag *diag)
{
    size_t n = self->seats, rounds = (size_t)run->rounds_done;
    self->record.rounds_done = rounds;
    self->record.bytes_up = run->bytes_up;
    self->record.bytes_down = run->bytes_down;
    WITAN_TRY(read_tensor(file, "rounds", 0, WITAN_TENSOR_U8,
                          rounds * sizeof *self->rounds, self->rounds, diag));
    WITAN_TRY(read_tensor(file, "last", 0, WITAN_TENSOR_U8, n * sizeof *self->last,
                          self->last, diag));
    WITAN_TRY(read_tensor(file, "own", 0, WITAN_TENSOR_U8, rounds * n * sizeof(double),
                          self->own_by_round, diag));
    WITAN_TRY(read_tensor(file, "global", 0, WITAN_TENSOR_U8,
                          rounds * n * sizeof(double), self->global_by_round, diag));
    self->has_weights = run->has_weights != 0 && self->weights != NULL;
    return self->has_weights ? read_tensor(file, "weights", 0, WITAN_TENSOR_U8,
                                           n * n * sizeof(double), self->weights, diag)
                             : WITAN_OK;
}

static witan_status
load_run(witan_simulation *self, witan_safetensors *file, run_state *run,
         witan_diag *diag)
{
    const char *format = witan_safetensors_metadata(file, "format");
    if (format == NULL || strcmp(format, STATE_FORMAT) != 0) {
        return broken(diag, "not a state of this program's format");
    }
    WITAN_TRY(read_tensor(file, "run", 0, WITAN_TENSOR_U8, sizeof *run, run, diag));
    if (run->layout != layout_number()) {
        return broken(diag, "it was saved by another build of the program");
    }
    if (memcmp(run->world_digest, self->world_digest, sizeof run->world_digest) != 0) {
        return broken(diag, "config.json or the data changed since it was saved");
    }
    const char *machine = witan_safetensors_metadata(file, "machine");
    if (machine == NULL || strcmp(machine, self->machine) != 0) {
        witan_log_write(
            self->options.log, WITAN_LOG_WARNING, "other-machine",
            "the state was saved with %s, this is %s: the digest will not be "
            "that of an uninterrupted run",
            machine == NULL ? "other kernels" : machine, self->machine);
    }
    if (run->rounds_done == 0 || run->rounds_done > self->config->rounds) {
        return broken(diag, "its round is not one of this experiment's");
    }
    return WITAN_OK;
}

static witan_status
load_open_file(witan_simulation *self, witan_safetensors *file, uint64_t *metrics_bytes,
               witan_diag *diag)
{
    const witan_allocator *a = self->allocator;
    size_t n = self->seats;
    run_state run;
    WITAN_TRY(load_run(self, file, &run, diag));
    seat_state *seats = witan_zalloc(a, n, sizeof *seats);
    uint64_t *stale_rounds = witan_zalloc(a, n, sizeof *stale_rounds);
    witan_status status = WITAN_OK;
    if (seats == NULL || stale_rounds == NULL) {
        status = out_of_memory(diag);
        goto out;
    }
    status =
        read_tensor(file, "seats", 0, WITAN_TENSOR_U8, n * sizeof *seats, seats, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    status =
        read_tensor(file, "stale_rounds", 0, WITAN_TENSOR_U64, n, stale_rounds, diag);
    witan_coordinator_restore(self->coordinator, (size_t)run.rounds_done);
    for (size_t i = 0; i < n && status == WITAN_OK; i++) {
        status = load_seat(self, file, i, &seats[i], stale_rounds[i], diag);
    }
    if (status == WITAN_OK) {
        status = load_events(self, file, (size_t)run.events, diag);
    }
    if (status == WITAN_OK) {
        status = load_record(self, file, &run, diag);
    }
    self->now_ms = run.now_ms;
    self->seconds_before = run.seconds;
    memcpy(self->digest, run.digest, sizeof self->digest);
    *metrics_bytes = run.metrics_bytes;
out:
    witan_free(a, seats);
    witan_free(a, stale_rounds);
    return status;
}

witan_status
sim_state_load(witan_simulation *self, uint64_t *metrics_bytes, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    witan_safetensors *file = NULL;
    (void)snprintf(path, sizeof path, "%s/state.safetensors", self->options.directory);
    *metrics_bytes = 0;
    if (!witan_path_exists(path)) {
        /* Killed before the first state was saved: the run starts from its beginning,
         * which gives the same digest. */
        witan_log_write(self->options.log, WITAN_LOG_INFO, "no-state",
                        "%s holds no saved state yet: starting from round 1",
                        self->options.directory);
        return WITAN_OK;
    }
    WITAN_TRY(witan_safetensors_open(&file, path, self->allocator, diag));
    witan_status status = load_open_file(self, file, metrics_bytes, diag);
    witan_safetensors_close(&file);
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(diag, "%s", self->options.directory);
    }
    return status;
}
