/* model_plan.h - a compiled model: its steps, and what a workspace keeps for them.
 * Private to model.c (compiles), model_workspace.c (memory) and model_pass.c (runs).
 * A step is a layer with its neighbours fused in: convolution + ReLU + 2 x 2 max pool,
 * dense + ReLU. */
#ifndef WITAN_NN_MODEL_PLAN_H
#define WITAN_NN_MODEL_PLAN_H

#include "base/digest.h"
#include "nn/model.h"
#include "num/kernels.h"

typedef struct model_step {
    witan_layer_kind kind;
    size_t layer; /* index in the spec, for names and messages */
    witan_shape in, out;
    size_t weight, bias;                   /* offsets in the block; norms: gain, bias */
    size_t running_mean, running_variance; /* offsets; batch norm */
    witan_convolution convolution; /* convolution; residual end: the shortcut's */
    witan_pooling pooling;         /* every pool */
    bool relu;                     /* dense: fused */
    bool projects;                 /* residual end: the shortcut is a convolution */
    bool kaiming;                  /* initialisation of the weight */
    bool trainable;                /* has parameters */
    bool passes_back; /* a trainable step comes before: the input gradient is needed */
    size_t groups;
    double rate;
    size_t partner; /* residual end: step index of its begin */
} model_step;

struct witan_model {
    const witan_allocator *allocator;
    char name[WITAN_MODEL_NAME_MAX];
    witan_shape input;
    size_t classes;
    size_t trainable, parameters;
    size_t steps, tensors;
    model_step *step;          /* owned [steps] */
    witan_tensor_info *tensor; /* owned [tensors] */
    bool has_dropout;
    unsigned char fingerprint[WITAN_DIGEST_SIZE];
};

enum {
    WORKSPACE_BUFFERS = 3
}; /* current input, current output, shortcut */

struct witan_workspace {
    const witan_allocator *allocator;
    const witan_kernels *kernels;
    size_t batch, bytes;
    bool training;
    size_t count;   /* samples of the last training pass; 0 = none */
    float *input;   /* [batch, input] */
    float **output; /* [steps] training: each step's own buffer; else NULL entries */
    void **saved;   /* [steps] routes, masks or statistics for the backward pass */
    const float **value; /* [steps + 1] where the last pass left input and outputs */
    float *turn[WORKSPACE_BUFFERS]; /* outputs when not training; gradients when
                                       training */
    void *scratch;                  /* of the kernels */
};

static inline size_t
shape_size(witan_shape shape)
{
    return shape.height * shape.width * shape.channels;
}

#endif
