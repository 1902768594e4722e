/* learn.h - epochs of training, distillation and prediction over an indexed data set.
 * Why here: the simulator and the client daemon run exactly these loops.
 * Rows come through a gather function, so nn knows no data format.
 * Threads: one caller per workspace. No allocation inside a minibatch. */
#ifndef WITAN_NN_LEARN_H
#define WITAN_NN_LEARN_H

#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "nn/loss.h"
#include "nn/model.h"
#include "nn/optimiser.h"

typedef struct witan_rows {
    /* Writes rows indices[0..count) to x [count, features] and their classes to labels
     * [count]; either is NULL when it is not needed. */
    void (*gather)(const void *context, const uint32_t *indices, size_t count, float *x,
                   uint32_t *labels);
    const void *context;
    /* Text, instead: windows of tokens, as witan_token_rows (sequence_learn.h) gathers
     * them; NULL for rows of features. */
    void (*windows)(const void *context, const uint32_t *indices, size_t count,
                    uint32_t *tokens);
} witan_rows;

/* What a learner owns between calls; all pointers are borrowed by the functions. */
typedef struct witan_learner {
    const witan_model *model;
    float *parameters;      /* [witan_model_parameters] */
    float *optimiser_state; /* [slots, trainable]; NULL when slots is 0 */
    uint64_t optimiser_step;
    const witan_optimiser_config *optimiser;
} witan_learner;

/* Scratch of a worker for one architecture. */
typedef struct witan_bench witan_bench;

/* Workspace (training, `batch`), prediction workspace (`predict_batch`), gradient
 * block, minibatch labels, target rows, and an index buffer for up to `rows` shuffled
 * indices. */
WITAN_NODISCARD witan_status witan_bench_new(witan_bench **out,
                                             const witan_allocator *allocator,
                                             const witan_model *model, size_t batch,
                                             size_t predict_batch, size_t rows);
void witan_bench_free(witan_bench **self);

/* One epoch of cross-entropy over rows indices[0..count), in an order drawn from
 * `order`; the last minibatch may be short. batch and count fit the bench.
 *   dropout    stream of dropout masks; NULL when the model has no dropout
 *   mean_loss  out, nats, mean over the rows; may be NULL
 * Errors: E_NUMERIC when a loss or, at the end, a parameter is not finite; the
 * parameters are then unusable. */
WITAN_NODISCARD witan_status
witan_learn_epoch(witan_learner *self, witan_bench *bench, const witan_rows *rows,
                  const uint32_t *indices, size_t count, size_t batch, double lr,
                  witan_random *order, witan_random *dropout, double *mean_loss);

typedef struct witan_targets {
    /* Writes the targets of positions[0..count) to q [count, C]: probabilities for KL,
     * logits for MSE and MAE. */
    void (*gather)(const void *context, const uint32_t *positions, size_t count,
                   float *q);
    const void *context;
} witan_targets;

/* One epoch towards soft labels, else as witan_learn_epoch. The target of row
 * indices[i] is that of position i. temp is KL's temperature; MSE and MAE ignore it. */
WITAN_NODISCARD witan_status witan_learn_distill_epoch(
    witan_learner *self, witan_bench *bench, const witan_rows *rows,
    const uint32_t *indices, size_t count, const witan_targets *targets,
    witan_distill_loss loss, double temp, size_t batch, double lr, witan_random *order,
    witan_random *dropout, double *mean_loss);

/* Logits of rows indices[0..count) into z [count, C]; evaluation mode.
 * Errors: E_NUMERIC when a logit is not finite. */
WITAN_NODISCARD witan_status witan_learn_predict(const witan_learner *self,
                                                 witan_bench *bench,
                                                 const witan_rows *rows,
                                                 const uint32_t *indices, size_t count,
                                                 float *z);

#endif
