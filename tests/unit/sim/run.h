/* run.h - one simulated run from settings to its digest and metrics, for the tests of
 * the simulation. */
#ifndef WITAN_TEST_RUN_H
#define WITAN_TEST_RUN_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/simulation.h"
#include "store/file.h"
#include "support/witan_test.h"

/* Small enough for hundreds of runs; every state is saved, no models are. */
#define RUN_SMALL                                                                      \
    "rounds=4", "clients=4", "models=linear,mlp(8)", "data.limit=500",                 \
        "transfer.samples=60", "save.seconds=0", "save.models=false"
#define RUN_SLOW "faults.straggler=0.5", "faults.slowdown=8", "faults.speed=1000"
/* Somebody is late or gone in every round, and what is late is used. */
#define RUN_FAULTS                                                                     \
    "faults.dropout=0.2", RUN_SLOW, "round.deadline=0.6", "round.late=keep",           \
        "round.maximum_age=2"

typedef struct run_options {
    size_t threads; /* 0: 2 */
    bool resume;
    size_t stop_after;  /* rounds, as one Ctrl-C during the last of them; 0: none */
    size_t break_after; /* the same with two */
    void (*after_round)(void);        /* nullable */
    double lr;                        /* 0: as configured */
    const witan_allocator *allocator; /* NULL: the default one */
} run_options;

typedef struct run_result {
    witan_status made, status;
    witan_diag diag;
    char digest[65];
    char *metrics; /* metrics.jsonl, free() */
    size_t metrics_size;
    size_t rounds_done;
    witan_statistic own, global; /* of the last round */
    size_t late;                 /* over all rounds */
    uint64_t bytes_up, bytes_down;
    witan_run_exchange exchange;
} run_result;

typedef struct run_hooks {
    const run_options *options;
    volatile sig_atomic_t interrupts;
} run_hooks;

static inline void
run_round_ended(void *context, const witan_round_record *round, size_t rounds,
                double eta_seconds)
{
    run_hooks *self = context;
    (void)rounds;
    (void)eta_seconds;
    if (self->options->after_round != NULL) {
        self->options->after_round();
    }
    if (round->round + 1 == self->options->stop_after) {
        self->interrupts = 1;
    }
    if (round->round + 1 == self->options->break_after) {
        self->interrupts = 2;
    }
}

static inline const char *
run_directory(const char *name)
{
    const char *path = witan_test_path(name);
    witan_diag diag = {0};
    CHECK_STATUS(witan_directory_make(path, &diag), WITAN_OK);
    return path;
}

static inline void
run_config(witan_config *config, const char *const *settings)
{
    witan_diag diag = {0};
    CHECK_STATUS(witan_config_init(config, witan_allocator_default()), WITAN_OK);
    for (size_t i = 0; settings[i] != NULL; i++) {
        CHECK_STATUS(
            witan_config_set(config, settings[i], witan_allocator_default(), &diag),
            WITAN_OK);
    }
    CHECK_STATUS(witan_config_check(config, &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
}

static inline void
run_collect(run_result *out, witan_simulation *simulation)
{
    const witan_run_record *record = witan_simulation_record(simulation);
    out->rounds_done = record->rounds_done;
    out->exchange = record->exchange;
    out->bytes_up = record->bytes_up;
    out->bytes_down = record->bytes_down;
    if (out->status == WITAN_OK) {
        memcpy(out->digest, record->digest, sizeof out->digest);
        out->own = record->rounds[record->rounds_done - 1].own_after;
        out->global = record->rounds[record->rounds_done - 1].global_after;
    }
    for (size_t r = 0; r < record->rounds_done; r++) {
        out->late += record->rounds[r].late;
    }
}

/* settings: NULL-terminated assignments on top of the defaults. */
static inline run_result
run(const char *directory, const run_options *options, const char *const *settings)
{
    run_result out = {.status = WITAN_E_STATE};
    run_hooks hooks = {options, 0};
    char path[1024];
    witan_config config;
    witan_simulation *simulation = NULL;
    run_config(&config, settings);
    if (options->lr != 0.0) {
        config.local.optimizer.lr = options->lr;
    }
    const witan_simulation_options simulation_options = {
        .threads = options->threads == 0 ? 2 : options->threads,
        .directory = directory,
        .resume = options->resume,
        .interrupts = &hooks.interrupts,
        .round_ended = run_round_ended,
        .context = &hooks,
        .refresh_ms = 20,
    };
    out.made = witan_simulation_new(
        &simulation, &config, &simulation_options,
        options->allocator != NULL ? options->allocator : witan_allocator_default(),
        &out.diag);
    CHECK((out.made == WITAN_OK) == (simulation != NULL));
    if (out.made == WITAN_OK) {
        out.status = witan_simulation_run(simulation, &out.diag);
        run_collect(&out, simulation);
    }
    witan_simulation_free(&simulation);
    CHECK(simulation == NULL);
    witan_config_fini(&config, witan_allocator_default());
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", directory);
    out.metrics = witan_test_read(path, &out.metrics_size);
    return out;
}

static inline void
run_free(run_result *self)
{
    free(self->metrics);
    self->metrics = NULL;
}

static inline bool
run_is_equal(const run_result *a, const run_result *b)
{
    return a->status == WITAN_OK && b->status == WITAN_OK && a->metrics_size > 100 &&
           strcmp(a->digest, b->digest) == 0 && a->metrics_size == b->metrics_size &&
           memcmp(a->metrics, b->metrics, a->metrics_size) == 0 &&
           a->own.mean == b->own.mean && a->global.sd == b->global.sd &&
           a->late == b->late && a->bytes_up == b->bytes_up &&
           a->bytes_down == b->bytes_down;
}

#endif
