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
#include "client/core/release.h"
#include "knowledge/soft_labels.h"
#include "knowledge/statistics.h"
#include "nn/network.h"

/* What all clients of an experiment share; borrowed pointers. */
typedef struct witan_learning_plan {
    uint64_t seed;
    size_t rounds, classes; /* classes: C, or the vocabulary */
    size_t positions;       /* soft labels of a row: 1, or a window's length */
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
    witan_release_config release; /* swing: how soft labels are protected */
    double private_clip;          /* DP-SGD: L2 norm of an example's gradient; 0: off */
    double private_noise;         /* its noise multiplier */
    const witan_clock *clock;     /* nullable: timings are 0 */
} witan_learning_plan;

/* Rows of the soft labels that a client says: M * positions. */
static inline size_t
witan_plan_labels(const witan_learning_plan *plan)
{
    return plan->transfer.count * plan->positions;
}

/* What one client owns (or, for data, borrows). */
typedef struct witan_client_state {
    uint32_t id;
    witan_network_learner learner;  /* blocks owned by whoever made them */
    witan_part train;               /* private training part */
    witan_release *release;         /* what scores are made from; NULL without scores,
                                       owned by whoever made it */
    const witan_soft_labels *heard; /* what was learned from last, for scores that
                                       compare with it; NULL: nothing yet; borrowed */
    /* Noise and secret sampling: NULL in a simulation, which draws from seeded streams
     * of (seed, id, round, NOISE); the system's in a deployed client. */
    const witan_noise_source *noise;
} witan_client_state;

/* A worker's scratch for one architecture: model workspaces, logit rows.
 * Soft labels are made in blocks of at most predict_batch rows and decoded by the
 * minibatch: [M * positions, C] of a word vocabulary never stands in memory as floats.
 */
typedef struct witan_kit {
    witan_network_bench *bench; /* owned */
    size_t block;               /* rows at a time: predict_batch; windows: fewer, when
                                   their logits would fill more than 16 MiB */
    float *rows;                /* [block * positions, classes] owned */
    uint32_t *labels;           /* [block * positions] owned */
    double *scores;             /* [transfer rows * positions] privacy scores, owned;
                                   NULL without scores */
} witan_kit;

/* What E_CONFIG of training or extraction means, for a person. */
#define WITAN_LEARNER_REFUSES                                                          \
    "cannot be protected as asked: swing.gap needs at least 2 transfer rows, "         \
    "swing.shards no more shards than private rows, local.privacy a model without "    \
    "batch normalisation"

/* train_rows: the largest private training part. */
WITAN_NODISCARD witan_status witan_kit_init(witan_kit *self,
                                            const witan_learning_plan *plan,
                                            const witan_network *network,
                                            size_t train_rows,
                                            const witan_allocator *allocator);
void witan_kit_fini(witan_kit *self, const witan_allocator *allocator);

/* Local epochs of cross-entropy on the private part. *loss: mean of the last epoch, NaN
 * when there are no epochs. Errors: E_NUMERIC (diverged). */
WITAN_NODISCARD witan_status witan_learner_train(witan_client_state *self,
                                                 const witan_learning_plan *plan,
                                                 witan_kit *kit, uint32_t round,
                                                 double *loss);

/* Soft labels of the transfer set, softmax(z / extract_temperature) or as plan->release
 * says, encoded into *out [M * positions, C], which the caller owns afterwards.
 * The scores that were used stay in kit->scores until the next call; they never travel.
 * Errors: E_MEMORY, E_NUMERIC. */
WITAN_NODISCARD witan_status witan_learner_extract(witan_client_state *self,
                                                   const witan_learning_plan *plan,
                                                   witan_kit *kit, uint32_t round,
                                                   witan_soft_labels *out,
                                                   const witan_allocator *allocator);

/* Distillation epochs on the transfer set towards `fused`. *loss as in train. */
WITAN_NODISCARD witan_status witan_learner_distill(witan_client_state *self,
                                                   const witan_learning_plan *plan,
                                                   witan_kit *kit, uint32_t round,
                                                   const witan_soft_labels *fused,
                                                   double *loss);

/* Scores of a labelled part, each position counting once (perplexity is the
 * exponential of the loss); when `subset` [subset_count] is given, those positions of
 * the part are scored a second time into *subset_score (an own test part that is drawn
 * from the global one costs nothing more). Ascending positions. */
WITAN_NODISCARD witan_status witan_learner_evaluate(
    const witan_client_state *self, const witan_learning_plan *plan, witan_kit *kit,
    const witan_part *part, witan_score *score, const uint32_t *subset,
    size_t subset_count, witan_score *subset_score);

#endif
