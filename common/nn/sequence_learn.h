/* sequence_learn.h - epochs of training and distillation of token models, prediction.
 * The loops of learn.h over windows of tokens; their rules hold here too.
 * Threads: one caller per bench. No allocation inside a minibatch. */
#ifndef WITAN_NN_SEQUENCE_LEARN_H
#define WITAN_NN_SEQUENCE_LEARN_H

#include "nn/optimiser.h"
#include "nn/sequence.h"

typedef struct witan_token_rows {
    /* Writes windows indices[0..count) to tokens [count, length + 1]: position t reads
     * token t and is to predict token t + 1. Tokens are below the vocabulary's size. */
    void (*gather)(const void *context, const uint32_t *indices, size_t count,
                   uint32_t *tokens);
    const void *context;
} witan_token_rows;

/* What a learner owns between calls; all pointers are borrowed by the functions. */
typedef struct witan_sequence_learner {
    const witan_sequence_model *model;
    float *parameters;      /* [witan_sequence_parameters] */
    float *optimiser_state; /* [slots, parameters]; NULL when slots is 0 */
    uint64_t optimiser_step;
    const witan_optimiser_config *optimiser;
} witan_sequence_learner;

/* Scratch of a worker for one architecture. */
typedef struct witan_sequence_bench witan_sequence_bench;

/* For minibatches of up to `batch` windows of `length` positions, predictions of
 * `predict_batch` windows at once and epochs of up to `rows` windows. top_max: the
 * largest k of witan_token_targets, 0 for none. Errors: E_INVALID, E_LIMIT, E_MEMORY.
 */
WITAN_NODISCARD witan_status witan_sequence_bench_new(witan_sequence_bench **out,
                                                      const witan_allocator *allocator,
                                                      const witan_sequence_model *model,
                                                      size_t length, size_t batch,
                                                      size_t predict_batch, size_t rows,
                                                      size_t top_max);
void witan_sequence_bench_free(witan_sequence_bench **self);

/* One epoch of cross-entropy over windows indices[0..count) in an order drawn from
 * `order`; the last minibatch may be short.
 *   dropout    stream of dropout masks; NULL when the model has none
 *   mean_loss  out, nats per position, mean over the epoch; may be NULL
 * Errors: E_NUMERIC when a loss or, at the end, a parameter is not finite; the
 * parameters are then unusable. */
WITAN_NODISCARD witan_status witan_sequence_epoch(
    witan_sequence_learner *self, witan_sequence_bench *bench,
    const witan_token_rows *rows, const uint32_t *indices, size_t count, size_t batch,
    double lr, witan_random *order, witan_random *dropout, double *mean_loss);

/* Soft labels of windows; one of the two forms. */
typedef struct witan_token_targets {
    size_t top; /* k >= 1 tokens and a residual; 0: all V probabilities */
    /* top == 0: targets of the windows at positions[0..count) to q [count, length, V]
     */
    void (*dense)(const void *context, const uint32_t *positions, size_t count,
                  float *q);
    /* top > 0: to token, mass [count, length, top], as witan_loss_kl_top wants them */
    void (*sparse)(const void *context, const uint32_t *positions, size_t count,
                   uint32_t *token, float *mass);
    const void *context;
} witan_token_targets;

/* One epoch towards soft labels at every position, temp^2 KL, else as
 * witan_sequence_epoch. The target of window indices[i] is that of position i. */
WITAN_NODISCARD witan_status witan_sequence_distill_epoch(
    witan_sequence_learner *self, witan_sequence_bench *bench,
    const witan_token_rows *rows, const uint32_t *indices, size_t count,
    const witan_token_targets *targets, double temp, size_t batch, double lr,
    witan_random *order, witan_random *dropout, double *mean_loss);

/* Logits of windows indices[0..count) into z [count, length, V]; evaluation mode.
 * Errors: E_NUMERIC when a logit is not finite. */
WITAN_NODISCARD witan_status witan_sequence_predict(const witan_sequence_learner *self,
                                                    witan_sequence_bench *bench,
                                                    const witan_token_rows *rows,
                                                    const uint32_t *indices,
                                                    size_t count, float *z);

/* Mean cross-entropy of the next token over all positions of those windows, nats
 * (perplexity is its exponential), and the share of positions whose largest logit is
 * the next token. count >= 1. Errors: E_NUMERIC. */
WITAN_NODISCARD witan_status witan_sequence_evaluate(const witan_sequence_learner *self,
                                                     witan_sequence_bench *bench,
                                                     const witan_token_rows *rows,
                                                     const uint32_t *indices,
                                                     size_t count, double *mean_loss,
                                                     double *accuracy);

#endif
