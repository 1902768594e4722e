/* spec.h - what a model is made of, as plain data: a flat list of layers.
 * Why here: the zoo writes such lists, the config reads them from JSON, model.h
 * compiles them. A residual block is the layers between its begin and end markers.
 * Memory: caller storage, no pointers. */
#ifndef WITAN_NN_SPEC_H
#define WITAN_NN_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"
#include "base/status.h"

typedef enum witan_layer_kind {
    WITAN_LAYER_DENSE,               /* units; flattens its input; "bias" always */
    WITAN_LAYER_CONVOLUTION,         /* filters, kernel, stride, padding */
    WITAN_LAYER_MAX_POOL,            /* kernel, stride */
    WITAN_LAYER_AVERAGE_POOL,        /* kernel, stride */
    WITAN_LAYER_GLOBAL_AVERAGE_POOL, /* [H,W,C] -> [C] */
    WITAN_LAYER_RELU,
    WITAN_LAYER_GELU, /* exact form, x * Phi(x) */
    WITAN_LAYER_TANH,
    WITAN_LAYER_DROPOUT,    /* rate */
    WITAN_LAYER_GROUP_NORM, /* groups; affine */
    WITAN_LAYER_BATCH_NORM, /* momentum 0.1, epsilon 1e-5; affine; running statistics */
    WITAN_LAYER_RESIDUAL_BEGIN, /* remembers its input */
    WITAN_LAYER_RESIDUAL_END, /* adds it, through a 1x1 convolution if shapes differ */
} witan_layer_kind;

typedef struct witan_layer_spec {
    witan_layer_kind kind;
    size_t units;   /* dense: outputs; convolution: filters */
    size_t kernel;  /* square window, pixels */
    size_t stride;  /* pixels, >= 1 */
    size_t padding; /* zeros on each side, pixels; < kernel */
    size_t groups;  /* group norm: groups, divides the channels */
    double rate;    /* dropout: probability of dropping, [0, 1) */
} witan_layer_spec;

enum {
    WITAN_MODEL_NAME_MAX = 64
};

typedef enum witan_cell {
    WITAN_CELL_LSTM,
    WITAN_CELL_GRU,
    WITAN_CELL_TRANSFORMER,
} witan_cell;

/* A model of tokens (sequence.h). */
typedef struct witan_sequence_spec {
    char name[WITAN_MODEL_NAME_MAX]; /* as the person wrote it */
    witan_cell cell;
    size_t width; /* D: of the embedding and of every layer */
    size_t layers;
    size_t heads;      /* transformer: divides width */
    size_t context;    /* longest window, tokens */
    double dropout;    /* [0, 1): outputs of layers, or of a block's branches; zoo: 0 */
    bool open_context; /* none was asked for: networks take that of their data */
} witan_sequence_spec;

/* Of feature rows: a list of layers, of which the last need not be given: model_new
 * appends dense(classes) unless the list already ends in a dense layer with `classes`
 * units. Of tokens: `sequence`, and no layers. */
typedef struct witan_model_spec {
    char name[WITAN_MODEL_NAME_MAX]; /* as the person wrote it: "mlp(200)", "lstm" */
    bool reads_tokens;
    witan_sequence_spec sequence; /* reads_tokens */
    size_t layers;
    witan_layer_spec layer[WITAN_LAYERS_MAX];
} witan_model_spec;

/* "dense", "convolution", ...: the word for a kind in configs and messages. */
const char *witan_layer_name(witan_layer_kind kind);

/* What can be said of `spec` without an input shape: counts and sizes in range, stride
 * and kernel >= 1, padding < kernel, rate in [0, 1), residual blocks closed and not
 * nested; of a model of tokens, what witan_sequence_new checks but the vocabulary.
 * Errors: E_CONFIG ("layer 3 (convolution): stride must be 1 to 65536, is 0"). */
WITAN_NODISCARD witan_status witan_model_spec_check(const witan_model_spec *spec,
                                                    witan_diag *diag);

/* Parses a zoo name with optional parameters in parentheses into a list of layers:
 *   linear        softmax regression
 *   mlp, mlp(200), mlp(256,128)
 *                 dense + ReLU each; default one hidden layer of 200
 *   lenet         6@5x5 pad 2, pool, 16@5x5, pool, 120, 84
 *                 (LeCun et al. 1998, with ReLU and max pooling)
 *   cnn, cnn(32,64,128)
 *                 2 x (3x3 convolution pad 1, ReLU, 2x2 max pool) + dense 128
 *   resnet, resnet(16,1)
 *                 width, blocks per stage: 3x3 stem, 3 stages of residual blocks
 *                 with group norm at width, 2 width, 4 width; global average pool
 *   lstm, gru, transformer
 *                 models of tokens, as witan_sequence_parse (sequence.h) reads them
 * Errors: E_CONFIG with the nearest known name in `diag`. No allocation. */
WITAN_NODISCARD witan_status witan_zoo_parse(witan_model_spec *out, const char *text,
                                             witan_diag *diag);

/* Known zoo names, NULL-terminated, for help texts. */
const char *const *witan_zoo_names(void);

#endif
