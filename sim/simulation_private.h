/* simulation_private.h - what the files of this room share: the world of one
 * experiment, its seats, and the parts of a run. */
#ifndef WITAN_SIM_SIMULATION_PRIVATE_H
#define WITAN_SIM_SIMULATION_PRIVATE_H

#include "base/digest.h"
#include "client/core/client.h"
#include "client/core/learner.h"
#include "coordinator/core/coordinator.h"
#include "setup/audit_file.h"
#include "setup/canary_file.h"
#include "setup/learner_block.h"
#include "setup/world.h"
#include "sim/heap.h"
#include "sim/pool.h"
#include "sim/simulation.h"
#include "store/file.h"
#include "store/safetensors.h"

typedef enum sim_job_kind {
    SIM_JOB_TRAIN,    /* train, extract, evaluate before distillation */
    SIM_JOB_DISTILL,  /* learn from what was fused, or adopt averaged parameters */
    SIM_JOB_EVALUATE, /* score on the own and the global test part */
} sim_job_kind;

/* One worker job of a seat; written by the worker, read after witan_pool_wait. */
typedef struct sim_job {
    witan_pool_job pool;
    sim_job_kind kind;
    uint32_t round;
    bool pending;         /* its JOB_DONE event is in the queue */
    witan_message input;  /* DISTILL: fused knowledge, owned */
    witan_message output; /* TRAIN: knowledge, owned */
    witan_status status;
    double loss;
    bool evaluates; /* TRAIN: score before distillation too */
    witan_score own, global;
    double seconds[5];                 /* train, extract, fuse (0), distill, evaluate */
    uint8_t digest[WITAN_DIGEST_SIZE]; /* of what was extracted, or of what was fused */
} sim_job;

/* What a client brings to the record of a round; owned, empty in other rounds. */
typedef struct sim_evidence {
    float *before; /* parameters after local training */
    witan_soft_labels said, fused;
} sim_evidence;

/* One client of the experiment. Its learner is its own, or seat 0's (centralised). */
typedef struct sim_seat {
    struct witan_simulation *simulation;
    witan_client core;
    witan_client_state state;
    size_t architecture;
    witan_part own_test;
    const uint32_t *own_subset; /* positions in the global test set, or NULL */
    witan_soft_labels lesson; /* what it last learned from, owned; kept only for scores
                                 that compare with it */
    sim_evidence evidence;    /* of a round that is recorded for audits */
    sim_job job;
    bool vanished;              /* this round's simulated dropout */
    double slowness;            /* factor on this round's virtual durations */
    bool heard;                 /* fused knowledge reached it this round */
    bool unscored;              /* parameters changed since the last evaluation */
    witan_client_record record; /* of the current round */
    witan_metric last_own, last_global; /* most recent scores */
    uint8_t knowledge_digest[WITAN_DIGEST_SIZE], fused_digest[WITAN_DIGEST_SIZE];
    uint8_t sent_digest[WITAN_DIGEST_SIZE]; /* FUSED, whether it was heard or not */
} sim_seat;

typedef enum sim_event_kind {
    SIM_EVENT_TO_CLIENT,
    SIM_EVENT_TO_COORDINATOR,
    SIM_EVENT_JOB_DONE,
    SIM_EVENT_TIMER,
    SIM_EVENT_NEXT,
} sim_event_kind;

typedef struct sim_event {
    sim_event_kind kind;
    uint32_t client;
    witan_message message; /* TO_*: owned */
    uint64_t timer;
} sim_event;

struct witan_simulation {
    const witan_allocator *allocator;
    const witan_config *config; /* borrowed */
    witan_simulation_options options;

    /* Data, models and clients. */
    witan_world world;
    uint32_t *pooled;           /* centralised: everybody's rows */
    witan_network *networks;    /* [config->models_count] */
    witan_canary_plan canaries; /* zeros without */
    bool has_canaries;
    witan_learning_plan plan;
    size_t seats, learners;
    sim_seat *seat; /* [seats] */
    size_t train_rows_max;
    uint8_t world_digest[WITAN_DIGEST_SIZE]; /* config, data, partition */

    /* The run. */
    witan_coordinator *coordinator;
    witan_pool *pool;
    witan_kit *kits;  /* [threads, models_count], made by the worker that needs one */
    witan_heap queue; /* of sim_event, owned */
    uint64_t now_ms, round_opened_ms;
    uint64_t round_started_ns, run_started_ns;
    double seconds_before; /* of earlier processes of this run */
    bool finished;
    uint64_t saved_ns; /* wall time of the last saved state */
    bool state_is_current;
    uint8_t digest[WITAN_DIGEST_SIZE]; /* chain over rounds */
    witan_phase_seconds round_seconds;
    witan_append_file *metrics;
    witan_text line; /* scratch for one metrics line */

    /* The record. */
    witan_run_record record;
    witan_round_record *rounds;             /* [config->rounds] */
    witan_client_record *last;              /* [seats] */
    double *own_by_round, *global_by_round; /* [rounds, seats] */
    double *weights;                        /* [seats, seats], NULL without exchange */
    bool has_weights;
    char exchange_hex[WITAN_DIGEST_HEX_SIZE]; /* of the round that ended */
    const char **model_names;
    size_t *train_samples, *test_samples;
    uint32_t *histogram;
    double *reference_own, *reference_global; /* owned, or NULL */
    char digest_hex[WITAN_DIGEST_HEX_SIZE];
    char data_name[512], partition_rule[64], machine[256];
    witan_text config_text;
};

/* world.c: the world, its models and seats. */
witan_status sim_world_make(witan_simulation *self, witan_diag *diag);
void sim_world_fini(witan_simulation *self);

/* audit.c: what is kept for `witan audit`. */
bool sim_round_is_recorded(const witan_simulation *self, size_t round);
/* A copy of soft labels, owned; nothing of nothing. Errors: E_MEMORY. */
witan_status sim_copy_labels(witan_soft_labels *out, const witan_soft_labels *from,
                             const witan_allocator *allocator);
/* On a worker, after local training and extraction: copies of both. */
witan_status sim_evidence_train(sim_seat *seat);
void sim_evidence_fini(sim_seat *seat);
/* At the end of a recorded round: one file per client, then audit/run.json. */
witan_status sim_evidence_save(witan_simulation *self, size_t round, witan_diag *diag);

/* jobs.c: what a message carries. */
void sim_digest_message(uint8_t out[WITAN_DIGEST_SIZE], const witan_message *message);
/* Runs on a worker. */
void sim_job_run(void *seat, size_t worker);
witan_status sim_job_failure(const sim_seat *seat, witan_diag *diag);

/* output.c: files of a run. */
witan_status sim_output_open(witan_simulation *self, uint64_t keep_bytes,
                             witan_diag *diag);
witan_status sim_output_round(witan_simulation *self, const witan_round_record *round,
                              witan_diag *diag);
/* A file of the run directory, atomic; takes the text, whose failure it tells. */
witan_status sim_output_text(witan_simulation *self, const char *name, witan_text *text,
                             witan_diag *diag);
witan_status sim_output_final(witan_simulation *self, witan_diag *diag);

/* state.c: the resumable state, between rounds. Waits for nothing: the caller has made
 * sure that no job is running. */
witan_status sim_state_save(witan_simulation *self, witan_diag *diag);
witan_status sim_state_load(witan_simulation *self, uint64_t *metrics_bytes,
                            witan_diag *diag);

/* simulation.c, for state.c: puts an event into the queue (takes its message). */
witan_status sim_push(witan_simulation *self, uint64_t at_ms, sim_event *event);

/* work.c: submit starts a worker job of a seat; await waits for it, showing progress
 * ("phase", done of total), adds its times to the round, and tells its failure. On the
 * second Ctrl-C await returns E_INTERRUPTED. */
uint64_t sim_virtual_duration_ms(const witan_simulation *self, const sim_seat *seat,
                                 sim_job_kind kind);
witan_status sim_submit(witan_simulation *self, sim_seat *seat, sim_job_kind kind,
                        uint32_t round);
witan_status sim_await(witan_simulation *self, sim_seat *seat, const char *phase,
                       size_t done, size_t total, witan_diag *diag);
void sim_show_progress(witan_simulation *self, const char *phase, size_t done,
                       size_t total);
uint64_t sim_wall_ns(const witan_simulation *self);
int sim_interrupts(const witan_simulation *self);

/* round.c: closes the round that the coordinator just ended. E_INTERRUPTED when the
 * person asked to stop; the state is then saved. */
witan_status sim_end_round(witan_simulation *self, witan_diag *diag);
void sim_clear_records(witan_simulation *self);
witan_metric sim_metric_of(const witan_score *score);
/* Wall seconds of this run, earlier processes included. */
double sim_run_seconds(const witan_simulation *self);

/* Whether round `round` (0-based) ends with an evaluation. */
bool sim_round_is_evaluated(const witan_simulation *self, size_t round);

#endif
