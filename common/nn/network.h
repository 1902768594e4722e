/* network.h - a client's model, whatever it reads: rows of features (model.h) or
 * windows of tokens (sequence.h).
 * Why here: simulator, daemons and audits train, ask and save models without knowing
 * which of the two kinds they hold; nothing else may branch on it.
 * Logits of `count` rows are [count * positions, outputs]: positions is 1 for features,
 * the window's length for tokens.
 * Threads: a network is immutable and may be shared; a bench belongs to one thread. */
#ifndef WITAN_NN_NETWORK_H
#define WITAN_NN_NETWORK_H

#include "nn/learn.h"
#include "nn/sequence_learn.h"

/* Exactly one is set; owned. */
typedef struct witan_network {
    witan_model *model;
    witan_sequence_model *sequence;
    size_t positions; /* per row */
    size_t outputs;   /* classes, or the vocabulary */
} witan_network;

/* What the rows of a data set are to a model. */
typedef struct witan_input {
    witan_shape shape; /* of a row of features */
    size_t length;     /* positions of a window of tokens; 0: features */
    size_t outputs;
} witan_input;

/* A model of tokens whose text names no context gets that of the data, input->length.
 * Errors: E_CONFIG ("model lstm(128) reads text, the data are rows of 8x8x1; use ..."
 * and the reverse; a window longer than the model's context), E_MEMORY. */
WITAN_NODISCARD witan_status witan_network_init(witan_network *out,
                                                const witan_allocator *allocator,
                                                const witan_model_spec *spec,
                                                const witan_input *input,
                                                witan_diag *diag);
void witan_network_fini(witan_network *self);

const char *witan_network_name(const witan_network *self);
size_t witan_network_parameters(const witan_network *self);
size_t witan_network_trainable(const witan_network *self);
size_t witan_network_tensors(const witan_network *self);
const witan_tensor_info *witan_network_tensor(const witan_network *self, size_t index);
/* Multiply-adds of one row's forward pass, all positions. */
double witan_network_cost(const witan_network *self);
void witan_network_fingerprint(const witan_network *self, unsigned char out[32]);
void witan_network_initialise(const witan_network *self, float *parameters,
                              witan_random *random);

/* What a learner owns between calls; borrowed by the functions below. */
typedef struct witan_network_learner {
    const witan_network *network;
    float *parameters;      /* [witan_network_parameters] */
    float *optimiser_state; /* [slots, trainable]; NULL when slots is 0 */
    uint64_t optimiser_step;
    const witan_optimiser_config *optimiser;
} witan_network_learner;

typedef struct witan_network_bench witan_network_bench;

/* Scratch for minibatches of up to `batch` rows, predictions of up to `predict_batch`,
 * epochs of up to `rows`; top_max: the largest `top` of targets, 0 for none. Errors:
 * E_INVALID (a size of zero, top_max above the vocabulary), E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_network_bench_new(witan_network_bench **out,
                                                     const witan_allocator *allocator,
                                                     const witan_network *network,
                                                     size_t batch, size_t predict_batch,
                                                     size_t rows, size_t top_max);
void witan_network_bench_free(witan_network_bench **self);

/* As witan_learn_epoch and witan_sequence_epoch; loss is per position. */
WITAN_NODISCARD witan_status witan_network_epoch(
    witan_network_learner *self, witan_network_bench *bench, const witan_rows *rows,
    const uint32_t *indices, size_t count, size_t batch, double lr, witan_random *order,
    witan_random *dropout, double *mean_loss);

/* Soft labels of rows: `dense` writes [count * positions, outputs]; `sparse`, used when
 * top > 0 and the network reads tokens, is that of witan_token_targets. */
typedef struct witan_network_targets {
    void (*dense)(const void *context, const uint32_t *positions, size_t count,
                  float *q);
    size_t top;
    void (*sparse)(const void *context, const uint32_t *positions, size_t count,
                   uint32_t *token, float *mass);
    const void *context;
} witan_network_targets;

/* As the two distill epochs. Token networks know KL alone: the loss is refused
 * otherwise (E_INVALID). */
WITAN_NODISCARD witan_status witan_network_distill_epoch(
    witan_network_learner *self, witan_network_bench *bench, const witan_rows *rows,
    const uint32_t *indices, size_t count, const witan_network_targets *targets,
    witan_distill_loss loss, double temp, size_t batch, double lr, witan_random *order,
    witan_random *dropout, double *mean_loss);

/* Logits [count * positions, outputs]; evaluation mode. count may exceed the bench's
 * predict_batch: it works in parts. Errors: E_NUMERIC. */
WITAN_NODISCARD witan_status witan_network_predict(const witan_network_learner *self,
                                                   witan_network_bench *bench,
                                                   const witan_rows *rows,
                                                   const uint32_t *indices,
                                                   size_t count, float *z);

/* What the positions of those rows are to be: classes, or next tokens, [count *
 * positions]. */
void witan_network_labels(const witan_network *self, const witan_rows *rows,
                          const uint32_t *indices, size_t count, uint32_t *labels);

/* --- differentially private epochs ---------------------------------------------- */

/* DP-SGD (Abadi et al. 2016, arXiv 1607.00133): each example's gradient is clipped to
 * L2 norm `clip`, the sum of a Poisson sample gets Gaussian noise of sd noise * clip
 * per coordinate, and is divided by the expected size of the sample. An example is one
 * row: for text a window. */
typedef struct witan_private_options {
    double clip;  /* > 0 */
    double noise; /* multiplier, >= 0 */
    /* Who is sampled and the noise: secret. A deployed client hands in the system's
     * source, a simulation a seeded stream. */
    void (*random_bytes)(void *context, void *bytes, size_t size);
    void *context;
} witan_private_options;

/* Steps of one epoch: ceil(count / batch); each samples every row with probability
 * witan_private_rate. */
size_t witan_private_steps(size_t count, size_t batch);
double witan_private_rate(size_t count, size_t batch);

/* One epoch. Errors: E_NUMERIC, E_CONFIG (a model with batch normalisation: its rows
 * are no longer separate). mean_loss over the rows that were sampled. */
WITAN_NODISCARD witan_status witan_network_private_epoch(
    witan_network_learner *self, witan_network_bench *bench, const witan_rows *rows,
    const uint32_t *indices, size_t count, size_t batch, double lr,
    const witan_private_options *options, witan_random *dropout, double *mean_loss);

#endif
