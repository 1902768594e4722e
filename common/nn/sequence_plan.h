/* sequence_plan.h - a compiled token model and what its passes share.
 * Private to sequence*.c. Every weight that multiplies activations is a product; its
 * packed forms live in workspaces and steppers. */
#ifndef WITAN_NN_SEQUENCE_PLAN_H
#define WITAN_NN_SEQUENCE_PLAN_H

#include "base/digest.h"
#include "nn/sequence.h"
#include "num/kernels.h"

#define SEQUENCE_NO_BIAS SIZE_MAX

/* y = x w^T + bias */
typedef struct sequence_product {
    size_t weight, bias; /* offsets; bias may be SEQUENCE_NO_BIAS */
    size_t inputs, outputs;
} sequence_product;

/* Products of one layer; the head is product 0 of the model. */
enum {
    PRODUCT_HEAD = 0,
    PRODUCT_INPUT = 0, /* recurrent layers */
    PRODUCT_RECURRENT = 1,
    PRODUCT_QKV = 0, /* transformer blocks */
    PRODUCT_OUT = 1,
    PRODUCT_UP = 2,
    PRODUCT_DOWN = 3,
};

typedef struct sequence_norm {
    size_t gain, bias; /* offsets */
} sequence_norm;

struct witan_sequence_model {
    const witan_allocator *allocator;
    witan_sequence_spec spec;
    size_t vocabulary, parameters, tensors;
    size_t gates;              /* recurrent: 4 or 3 */
    size_t per_layer;          /* products of a layer */
    size_t products;           /* 1 + layers * per_layer */
    size_t embedding;          /* offset */
    size_t position;           /* offset; transformer */
    sequence_product *product; /* owned [products] */
    sequence_norm *norm; /* owned [2 layers + 1]; transformer, the last is final */
    witan_tensor_info *tensor; /* owned [tensors] */
    unsigned char fingerprint[WITAN_DIGEST_SIZE];
};

static inline size_t
sequence_product_index(const witan_sequence_model *self, size_t layer, size_t which)
{
    return 1 + layer * self->per_layer + which;
}

/* What a recurrent layer, or a transformer block, keeps of a pass. Rows are positions:
 * by time (t * windows + w) in recurrent layers, by window in blocks. */
typedef struct sequence_layer {
    float *mask[2]; /* [rows, D] dropout; of a block: its two branches */
    float *gate;    /* [rows, gD] */
    float *hidden;  /* [rows, gD]; gru: its recurrent product, lstm: is gate */
    float *h, *c;   /* [(length + 1) windows, D]; the first `windows` rows are 0 */
    float *out;     /* [rows, D] behind dropout; may lie in h */
    float *x[3];    /* [rows, D] block: input, middle, output (the next one's input) */
    float *normed[2];            /* [rows, D] */
    float *mean[2], *inverse[2]; /* [rows] */
    float *qkv;                  /* [rows, 3D] */
    float *share;                /* [windows, heads, length, length] */
    float *mixed;                /* [rows, D] */
    float *up, *active;          /* [rows, 4D] */
} sequence_layer;

struct witan_sequence_workspace {
    const witan_allocator *allocator;
    const witan_kernels *kernels;
    const witan_sequence_model *model;
    size_t windows, length; /* capacity */
    size_t bytes;
    bool training;
    size_t count, steps; /* windows and positions of the last pass */
    bool differentiable; /* the last pass was a training pass */
    float **packed;      /* [products] for the forward pass */
    float **packed_back; /* [products] for the backward pass; training */
    uint32_t *token;     /* [rows] in the order of rows */
    uint32_t *slot;      /* [rows] which distinct token */
    uint32_t *distinct;  /* [min(V, rows)] */
    uint32_t *number;    /* [V] slot + 1 of a token while a minibatch is numbered */
    size_t distincts;
    float *embedded; /* [min(V, rows), D]; transformer: mask of the embedding */
    float *table;    /* [min(V, rows), gD] */
    float *hidden;   /* [rows, D] input of the head, by window */
    float *dhidden;  /* [rows, D] */
    float *turn[2];  /* [rows, D] gradients; D activations of a branch */
    float *wide[2];  /* [rows, 4D] transformer: gradients */
    float *dh, *dc;  /* [windows, D] */
    float *final_mean, *final_inverse; /* [rows] */
    sequence_layer *layer;             /* [layers] */
    void *scratch;
};

/* y [rows, outputs] = x w^T + bias */
static inline void
sequence_apply(const witan_kernels *kernels, const sequence_product *product,
               const float *packed, const float *parameters, float *y, const float *x,
               size_t rows)
{
    const float *bias =
        product->bias == SEQUENCE_NO_BIAS ? NULL : parameters + product->bias;
    kernels->product_packed(y, product->outputs, x, product->inputs, packed, bias,
                            false, rows, product->outputs, product->inputs);
}

/* Gradients of the product from dy [rows, outputs] and x [rows, inputs], overwritten;
 * dx [rows, inputs] unless NULL. */
void sequence_product_backward(const witan_sequence_workspace *self, size_t product,
                               float *gradient, float *dx, const float *dy,
                               const float *x, size_t rows);

/* Masks and their product with x [rows, D], in place; no draw without dropout. */
void sequence_drop(const witan_sequence_workspace *self, float *mask, float *x,
                   size_t rows, witan_random *random);

void sequence_recurrent_forward(witan_sequence_workspace *self, const float *parameters,
                                bool drops, witan_random *random);
void sequence_recurrent_backward(witan_sequence_workspace *self,
                                 const float *parameters, float *gradient);
void sequence_transformer_forward(witan_sequence_workspace *self,
                                  const float *parameters, bool drops,
                                  witan_random *random);
void sequence_transformer_backward(witan_sequence_workspace *self,
                                   const float *parameters, float *gradient);

#endif
