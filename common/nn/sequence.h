/* sequence.h - language models over tokens: LSTM, GRU, causal transformer.
 * Why here: beside model.h and with its manner (spec, parameter block, workspace), for
 * clients whose rows are windows of tokens (docs/decisions/0013-token-models.md).
 * A window holds `length` <= context tokens; every position predicts the next token.
 * The state starts at zero in each window and gradients end there (truncated
 * backpropagation). Rows of logits are [windows, length], positions of a window
 * adjacent. Parameter block, all trainable, dense weights [outputs, inputs]:
 *   embedding.weight [V,D]
 *   lstm, gru: per layer l.input.weight [gD,D], l.bias [gD], l.recurrent.weight [gD,D];
 *              gru also l.recurrent.bias [gD]; gates in PyTorch's order, g = 4 or 3
 *   transformer: position.weight [context,D], per block norms, qkv, out, up (4D), down;
 *              pre-norm, GELU; then norm.weight, norm.bias
 *   head.weight [V,D], head.bias [V]
 * Threads: a model is immutable and may be shared; workspaces and steppers belong to
 * one thread. Memory: everything is taken in _new. Source: Zaremba et al. 2014 (dropout
 * between layers only), Radford et al. 2019. */
#ifndef WITAN_NN_SEQUENCE_H
#define WITAN_NN_SEQUENCE_H

#include "nn/model.h"

/* Parses a zoo name with optional numbers in parentheses:
 *   lstm, lstm(200), lstm(200,2), lstm(200,2,64)   width, layers, context
 *   gru, ...                                       the same
 *   transformer, transformer(128,4,4), transformer(128,4,4,64)
 *                                                  width, blocks, heads, context
 * Defaults: width 128, one layer or four blocks of four heads, context 64 (and open:
 * network.h takes its data's).
 * Errors: E_CONFIG with the nearest known name in `diag`. No allocation. */
WITAN_NODISCARD witan_status witan_sequence_parse(witan_sequence_spec *out,
                                                  const char *text, witan_diag *diag);

/* Sizes in range, heads divide the width, dropout in [0, 1). Errors: E_CONFIG. */
WITAN_NODISCARD witan_status witan_sequence_spec_check(const witan_sequence_spec *spec,
                                                       witan_diag *diag);

/* Known names, NULL-terminated. */
const char *const *witan_sequence_names(void);

typedef struct witan_sequence_model witan_sequence_model;
typedef struct witan_sequence_workspace witan_sequence_workspace;
typedef struct witan_sequence_stepper witan_sequence_stepper;

/* Compiles `spec` for a vocabulary of V >= 2 tokens. The caller owns *out.
 * Errors: E_CONFIG ("model transformer(10,1,3): 3 heads do not divide width 10"),
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_sequence_new(witan_sequence_model **out,
                                                const witan_allocator *allocator,
                                                const witan_sequence_spec *spec,
                                                size_t vocabulary, witan_diag *diag);
void witan_sequence_free(witan_sequence_model **self);

const witan_sequence_spec *witan_sequence_spec_of(const witan_sequence_model *self);
size_t witan_sequence_vocabulary(const witan_sequence_model *self);
/* Floats of the parameter block. */
size_t witan_sequence_parameters(const witan_sequence_model *self);
size_t witan_sequence_tensors(const witan_sequence_model *self);
const witan_tensor_info *witan_sequence_tensor(const witan_sequence_model *self,
                                               size_t index);
/* Multiply-adds of one position's forward pass in a full window. */
double witan_sequence_cost(const witan_sequence_model *self);
/* Digest of the architecture: equal for models whose blocks may be averaged. */
void witan_sequence_fingerprint(const witan_sequence_model *self,
                                unsigned char out[32]);

/* LSTM and GRU: weights uniform in +-1/sqrt(D), embedding standard normal, forget bias
 * 1 (Jozefowicz et al. 2015). Transformer: normal 0.02, branch outputs
 * 0.02 / sqrt(2 blocks), norm gains 1. Other biases 0. */
void witan_sequence_initialise(const witan_sequence_model *self, float *parameters,
                               witan_random *random);

/* Memory for minibatches of up to `windows` windows of up to `length` <= context
 * tokens. Errors: E_LIMIT (zero, length > context, WITAN_POSITIONS_MAX), E_MEMORY. */
WITAN_NODISCARD witan_status witan_sequence_workspace_new(
    witan_sequence_workspace **out, const witan_allocator *allocator,
    const witan_sequence_model *model, size_t windows, size_t length, bool training);
void witan_sequence_workspace_free(witan_sequence_workspace **self);
size_t witan_sequence_workspace_bytes(const witan_sequence_workspace *self);

/* Forward pass up to the head; logits are then asked for by rows, because [positions,
 * V] of a word vocabulary is larger than everything else. tokens  in  window w at
 * tokens + w * stride, `length` of them; each < V (asserted: whoever reads text checks)
 *   random  dropout masks; may be NULL when not training or without dropout */
void witan_sequence_forward(const witan_sequence_model *self,
                            witan_sequence_workspace *workspace,
                            const float *parameters, const uint32_t *tokens,
                            size_t stride, size_t windows, size_t length, bool training,
                            witan_random *random);

/* Logits z [rows, V] of positions first .. first + rows of the last forward. */
void witan_sequence_logits(const witan_sequence_model *self,
                           witan_sequence_workspace *workspace, const float *parameters,
                           float *z, size_t first, size_t rows);

/* Takes dz [rows, V] of those positions: head gradients are overwritten when first is
 * 0, else added to. Every position of the pass, in order, before backward. */
void witan_sequence_logits_backward(const witan_sequence_model *self,
                                    witan_sequence_workspace *workspace,
                                    const float *dz, float *gradient, size_t first,
                                    size_t rows);

/* The rest of the backward pass of the last forward(training = true): gradient out
 * [parameters], overwritten except for the head. */
void witan_sequence_backward(const witan_sequence_model *self,
                             witan_sequence_workspace *workspace,
                             const float *parameters, float *gradient);

/* --- one token at a time -------------------------------------------------------- */

/* Floats of one saved state: lstm 2 layers D, gru layers D, transformer 2 blocks
 * context D (keys and values). */
size_t witan_sequence_state_floats(const witan_sequence_model *self);

/* Steps up to `batch` states at once. Errors: E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_sequence_stepper_new(
    witan_sequence_stepper **out, const witan_allocator *allocator,
    const witan_sequence_model *model, size_t batch);
void witan_sequence_stepper_free(witan_sequence_stepper **self);

/* Packs `parameters`, which are borrowed, unchanged, until the next load. */
void witan_sequence_stepper_load(witan_sequence_stepper *self, const float *parameters);

/* Feeds tokens[i] to a copy of state parent[i] and tells what comes next.
 *   to        out [count, state]; not `from`; NULL when nobody goes on from here, but
 *                 not for a transformer, which attends to it
 *   z         out [count, V] logits; NULL when they are not asked for
 *   from      in  [.., state] states that have seen `position` tokens; NULL when that
 *                 is 0: the start of a window
 *   parent    in  [count] rows of `from`; NULL: row i
 *   position  tokens seen so far; < context for a transformer, else ignored
 * The logits are those of witan_sequence_forward up to rounding. */
void witan_sequence_step(witan_sequence_stepper *self, float *to, float *z,
                         const float *from, const uint32_t *parent,
                         const uint32_t *tokens, size_t count, size_t position);

#endif
