/* study.h - what a client makes of the coordinator's plan: the experiment, the private
 * rows, the transfer set, the learning plan.
 * Why here: all that can be refused before the first round is refused here, with one
 * sentence. Threads: made on one thread, immutable afterwards. */
#ifndef WITAN_CLIENT_SHELL_STUDY_H
#define WITAN_CLIENT_SHELL_STUDY_H

#include "client/shell/node.h"
#include "config/config.h"
#include "setup/world.h"

/* A PLAN packet, copied. */
typedef struct node_plan {
    uint32_t client;
    char name[WITAN_NAME_MAX + 1];
    char *experiment; /* owned */
    size_t experiment_size;
    bool embedded_data, has_transfer;
    uint8_t transfer_digest[WITAN_DIGEST_SIZE]; /* zeros without one */
    uint64_t transfer_bytes, transfer_rows, parameters;
    uint32_t classes;
} node_plan;

/* Errors: E_MEMORY. `packet` is a PLAN. */
WITAN_NODISCARD witan_status node_plan_copy(node_plan *out, const witan_packet *packet,
                                            const witan_allocator *allocator);
void node_plan_fini(node_plan *self, const witan_allocator *allocator);

/* Its fields point into it: it must not move. */
typedef struct node_study {
    uint32_t client;
    witan_config config; /* owned */
    const witan_fusion_ops *strategy;
    bool practice;             /* the world below is used, else the sets */
    witan_world world;         /* the experiment's embedded data */
    witan_dataset train, test; /* private files */
    witan_dataset transfer;    /* 0 samples: nothing is asked about */
    witan_rows train_rows, test_rows, transfer_rows;
    uint32_t *order;   /* 0, 1, 2, ... for the longest of the sets; owned */
    uint32_t *planted; /* own training rows and canaries behind them; owned, or NULL */
    size_t canaries;   /* rows that were planted */
    witan_part own_train, own_test, global_test;
    const uint32_t *own_subset; /* own test as positions in the global one, or NULL */
    witan_input input;          /* of a row; 0 when the model brings its data */
    size_t parameters;          /* that travel, or 0 */
    witan_learning_plan plan;
    witan_model_spec model;
    char model_name[WITAN_MODEL_NAME_MAX];
    uint8_t digest[WITAN_DIGEST_SIZE]; /* of plan, seat, transfer set, model */
} node_study;

/* Reads the experiment and refuses what this client cannot do, before anything is
 * fetched: unknown keys, paths, a missing private set. Fills config, strategy, model
 * and digest. foreign: name of a model that brings its own data, or NULL. *out is
 * zeroed on failure. Errors: E_CONFIG, E_DATA, E_MEMORY. */
WITAN_NODISCARD witan_status node_study_begin(node_study *out, const node_plan *plan,
                                              const witan_node_settings *settings,
                                              const char *foreign,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);
/* Loads the data. `package` [size] is the transfer set with the plan's digest, NULL
 * when there is none. Errors: E_DATA (private data do not fit: both shapes are named),
 * and those of loading. */
WITAN_NODISCARD witan_status node_study_load(node_study *self, const node_plan *plan,
                                             const witan_node_settings *settings,
                                             bool brings_data, const uint8_t *package,
                                             size_t size,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);
void node_study_fini(node_study *self, const witan_allocator *allocator);

bool node_study_exchanges(const node_study *self);
/* Whether a round (0-based) is scored, as in the simulator. */
bool node_study_evaluates(const node_study *self, uint32_t round);
/* Kind, codec, shape and size of what travels in a round; the rest is zero. */
void node_study_offer(const node_study *self, bool fused, witan_packet_offer *out);

#endif
