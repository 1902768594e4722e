/* learner.h - what a client computes in a round: train, extract, distill, evaluate.
 * Why here: pure functions over a client's block of floats, so that simulator and
 * daemon run the same learning. Streams are keyed by (seed, client, round, purpose):
 * nothing but the parameter and optimiser blocks is carried from round to round.
 * Threads: one call per client at a time; a kit belongs to one thread. */
#ifndef WITAN_CLIENT_CORE_LEARNER_H
#define WITAN_CLIENT_CORE_LEARNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "knowledge/soft_labels.h"
#include "knowledge/statistics.h"
#include "nn/learn.h"

/* Rows of one data set by index. */
typedef struct witan_part {
    const witan_rows *rows;  /* borrowed */
    const uint32_t *indices; /* [count] borrowed */
    size_t count;
} witan_part;

/* What all clients of an experiment share; borrowed pointers. */
typedef struct witan_learning_plan {
    uint64_t seed;
    size_t rounds, classes;
    size_t local_epochs, local_batch;
    witan_optimiser_config optimiser; /* one per client, shared by both phases */
    double extract_temperature;
    witan_knowledge_kind kind;
    witan_codec codec;
    size_t distill_epochs, distill_batch;
    double distill_temperature;
    witan_distill_loss distill_loss;
    size_t predict_batch;
    witan_part transfer;
    const witan_clock *clock; /* nullable: timings are 0 */
} witan_learning_plan;

/* What one client owns (or, for data, borrows). */
typedef struct witan_client_state {
    uint32_t id;
    witan_learner learner; /* blocks owned by whoever made them */
    witan_part train;      /* private training part */
} witan_client_state;

/* A worker's scratch for one architecture: model workspaces, target and logit rows. */
typedef struct witan_kit {
    witan_bench *bench; /* owned */
    float *rows;        /* [rows_room, classes] logits or targets, owned */
    uint32_t *labels;   /* [predict_batch] owned */
} witan_kit;

/* train_rows: the largest private training part. */
WITAN_NODISCARD witan_status witan_kit_init(witan_kit *self,
                                            const witan_learning_plan *plan,
                                            const witan_model *model, size_t train_rows,
                                            const witan_allocator *allocator);
void witan_kit_fini(witan_kit *self, const witan_allocator *allocator);

/* Local epochs of cross-entropy on the private part. *loss: mean of the last epoch, NaN
 * when there are no epochs. Errors: E_NUMERIC (diverged). */
WITAN_NODISCARD witan_status witan_learner_train(witan_client_state *self,
                                                 const witan_learning_plan *plan,
                                                 witan_kit *kit, uint32_t round,
                                                 double *loss);

/* Soft labels of the transfer set, softmax(z / extract_temperature), encoded into *out,
 * which the caller owns afterwards. Errors: E_MEMORY, E_NUMERIC. */
WITAN_NODISCARD witan_status witan_learner_extract(witan_client_state *self,
                                                   const witan_learning_plan *plan,
                                                   witan_kit *kit,
                                                   witan_soft_labels *out,
                                                   const witan_allocator *allocator);

/* Distillation epochs on the transfer set towards `fused`. *loss as in train. */
WITAN_NODISCARD witan_status witan_learner_distill(witan_client_state *self,
                                                   const witan_learning_plan *plan,
                                                   witan_kit *kit, uint32_t round,
                                                   const witan_soft_labels *fused,
                                                   double *loss);

/* Scores of a labelled part; when `subset` [subset_count] is given, those positions of
 * the part are scored a second time into *subset_score (an own test part that is drawn
 * from the global one costs nothing more). Ascending positions. */
WITAN_NODISCARD witan_status witan_learner_evaluate(
    const witan_client_state *self, const witan_learning_plan *plan, witan_kit *kit,
    const witan_part *part, witan_score *score, const uint32_t *subset,
    size_t subset_count, witan_score *subset_score);

#endif
