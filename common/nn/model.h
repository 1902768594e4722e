/* model.h - a model compiled for one input shape: plan, forward and backward pass.
 * Why here: one plan and one workspace serve every client of an architecture; a client
 * itself costs one block of floats.
 * Layout: activations are [N, H, W, C] (channels last), N samples of the minibatch.
 *   parameter block: [trainable | buffers]; buffers are batch-norm running statistics.
 *   dense weight [out, in] then bias [out]; convolution weight [out, k, k, in] then
 * bias. Threads: a model is immutable after witan_model_new and may be shared; a
 * workspace belongs to one thread. Memory: everything is taken in _new; forward,
 * backward allocate nothing. */
#ifndef WITAN_NN_MODEL_H
#define WITAN_NN_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/random.h"
#include "nn/spec.h"

typedef struct witan_shape {
    size_t height, width, channels; /* a table row is 1 x 1 x columns */
} witan_shape;

typedef struct witan_model witan_model;
typedef struct witan_workspace witan_workspace;

/* One named tensor of the parameter block, for files and tests. */
typedef struct witan_tensor_info {
    char name[64];     /* "3.weight", "3.bias", "3.running_mean", "5.shortcut.weight" */
    size_t offset;     /* floats from the start of the block */
    size_t dimensions; /* 1 to 4 */
    size_t shape[4];
    bool trainable;
} witan_tensor_info;

/* Compiles `spec` for inputs of `input` and `classes` outputs. The caller owns *out.
 * Errors: E_CONFIG ("layer 3 (convolution): kernel 5 does not fit an input of 4 x 4"),
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_model_new(witan_model **out,
                                             const witan_allocator *allocator,
                                             const witan_model_spec *spec,
                                             witan_shape input, size_t classes,
                                             witan_diag *diag);
void witan_model_free(witan_model **self);

const char *witan_model_name(const witan_model *self);
witan_shape witan_model_input(const witan_model *self);
size_t witan_model_classes(const witan_model *self);
/* Floats an optimiser updates. */
size_t witan_model_trainable(const witan_model *self);
/* Floats of the whole parameter block, >= trainable. */
size_t witan_model_parameters(const witan_model *self);
/* Named tensors, in block order. */
size_t witan_model_tensors(const witan_model *self);
const witan_tensor_info *witan_model_tensor(const witan_model *self, size_t index);
/* Multiply-adds of one sample's forward pass: scheduling and benchmarks. */
double witan_model_cost(const witan_model *self);
/* The same of one training step: forward, weight gradients, and input gradients behind
 * the first layer that learns. */
double witan_model_step_cost(const witan_model *self);
/* Digest of the architecture: equal for models whose parameter blocks may be averaged.
 */
void witan_model_fingerprint(const witan_model *self, unsigned char out[32]);

/* Kaiming-normal (fan-in, gain sqrt 2) for weights followed by ReLU or GELU,
 * Xavier-uniform otherwise; zero bias; norm scale 1. He et al. 2015, Glorot 2010. */
void witan_model_initialise(const witan_model *self, float *parameters,
                            witan_random *random);

/* Activations, gradients and scratch for minibatches of up to `batch` samples.
 * training = false takes less memory and allows forward(training = false) only. */
WITAN_NODISCARD witan_status witan_workspace_new(witan_workspace **out,
                                                 const witan_allocator *allocator,
                                                 const witan_model *model, size_t batch,
                                                 bool training);
void witan_workspace_free(witan_workspace **self);
size_t witan_workspace_bytes(const witan_workspace *self);
size_t witan_workspace_batch(const witan_workspace *self);

/* Where forward reads its input: [batch, H, W, C] floats, owned by the workspace.
 * Callers gather minibatches straight into it. */
float *witan_workspace_input(witan_workspace *self);

/* Forward pass over the first `count` samples of the workspace input.
 *   returns     [count, classes] logits, borrowed until the next call on the workspace
 *   parameters  the block; with training = true batch-norm updates its buffers
 *   random      dropout masks; may be NULL when training is false or no dropout exists
 */
const float *witan_model_forward(const witan_model *self, witan_workspace *workspace,
                                 float *parameters, size_t count, bool training,
                                 witan_random *random);

/* Backward pass of the last forward(training = true).
 *   gradient  out [trainable] d(loss)/d(parameters), overwritten
 *   dz        in  [count, classes] d(loss)/d(logits) */
void witan_model_backward(const witan_model *self, witan_workspace *workspace,
                          const float *parameters, const float *dz, float *gradient);

#endif
