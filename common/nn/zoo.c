/* zoo.c - the named architectures and the shape-free check of a layer list.
 * Why here: names are what people write in configs; model.c sees only the lists.
 * Source: LeNet-5 of LeCun et al. 1998 (ReLU and max pooling for tanh and averages);
 * residual blocks of He et al. 2016 with group norm, since batch statistics of one
 * client do not describe another's (Hsieh et al. 2020). */
#include <string.h>

#include "nn/sequence.h"
#include "nn/zoo_text.h"

enum {
    RESNET_BLOCKS_MAX = 10,
    NORM_GROUPS = 8,
};

static const char *const layer_names[] = {
    [WITAN_LAYER_DENSE] = "dense",
    [WITAN_LAYER_CONVOLUTION] = "convolution",
    [WITAN_LAYER_MAX_POOL] = "max-pool",
    [WITAN_LAYER_AVERAGE_POOL] = "average-pool",
    [WITAN_LAYER_GLOBAL_AVERAGE_POOL] = "global-average-pool",
    [WITAN_LAYER_RELU] = "relu",
    [WITAN_LAYER_GELU] = "gelu",
    [WITAN_LAYER_TANH] = "tanh",
    [WITAN_LAYER_DROPOUT] = "dropout",
    [WITAN_LAYER_GROUP_NORM] = "group-norm",
    [WITAN_LAYER_BATCH_NORM] = "batch-norm",
    [WITAN_LAYER_RESIDUAL_BEGIN] = "residual-begin",
    [WITAN_LAYER_RESIDUAL_END] = "residual-end",
};

const char *
witan_layer_name(witan_layer_kind kind)
{
    WITAN_ASSERT((size_t)kind < sizeof layer_names / sizeof layer_names[0]);
    return layer_names[kind];
}

/* E_CONFIG unless minimum <= value <= maximum; `index` is the layer's, 0-based. */
static witan_status
check_size(const witan_model_spec *spec, size_t index, const char *what, size_t value,
           size_t minimum, size_t maximum, witan_diag *diag)
{
    if (value >= minimum && value <= maximum) {
        return WITAN_OK;
    }
    return witan_diag_fail(
        diag, WITAN_E_CONFIG, "layer %zu (%s): %s must be %zu to %zu, is %zu", index,
        witan_layer_name(spec->layer[index].kind), what, minimum, maximum, value);
}

static witan_status
check_window(const witan_model_spec *spec, size_t i, witan_diag *diag)
{
    const witan_layer_spec *layer = &spec->layer[i];
    WITAN_TRY(check_size(spec, i, "kernel", layer->kernel, 1, WITAN_UNITS_MAX, diag));
    return check_size(spec, i, "stride", layer->stride, 1, WITAN_UNITS_MAX, diag);
}

static witan_status
check_layer(const witan_model_spec *spec, size_t i, witan_diag *diag)
{
    const witan_layer_spec *layer = &spec->layer[i];
    switch (layer->kind) {
    case WITAN_LAYER_DENSE:
        return check_size(spec, i, "units", layer->units, 1, WITAN_UNITS_MAX, diag);
    case WITAN_LAYER_CONVOLUTION:
        WITAN_TRY(
            check_size(spec, i, "filters", layer->units, 1, WITAN_UNITS_MAX, diag));
        WITAN_TRY(check_window(spec, i, diag));
        return check_size(spec, i, "padding", layer->padding, 0, layer->kernel - 1,
                          diag);
    case WITAN_LAYER_MAX_POOL:
    case WITAN_LAYER_AVERAGE_POOL:
        return check_window(spec, i, diag);
    case WITAN_LAYER_GROUP_NORM:
        return check_size(spec, i, "groups", layer->groups, 1, WITAN_UNITS_MAX, diag);
    case WITAN_LAYER_DROPOUT:
        if (layer->rate >= 0.0 && layer->rate < 1.0) {
            return WITAN_OK;
        }
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "layer %zu (dropout): rate must be in [0, 1), is %g", i,
                               layer->rate);
    case WITAN_LAYER_GLOBAL_AVERAGE_POOL:
    case WITAN_LAYER_RELU:
    case WITAN_LAYER_GELU:
    case WITAN_LAYER_TANH:
    case WITAN_LAYER_BATCH_NORM:
    case WITAN_LAYER_RESIDUAL_BEGIN:
    case WITAN_LAYER_RESIDUAL_END:
        return WITAN_OK;
    }
    return witan_diag_fail(diag, WITAN_E_CONFIG, "layer %zu: unknown kind %d", i,
                           (int)layer->kind);
}

witan_status
witan_model_spec_check(const witan_model_spec *spec, witan_diag *diag)
{
    size_t open = WITAN_LAYERS_MAX; /* index of the open residual block's begin */
    if (spec->reads_tokens) {
        return witan_sequence_spec_check(&spec->sequence, diag);
    }
    if (spec->layers > WITAN_LAYERS_MAX) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "%zu layers, at most %zu are allowed", spec->layers,
                               WITAN_LAYERS_MAX);
    }
    for (size_t i = 0; i < spec->layers; i++) {
        WITAN_TRY(check_layer(spec, i, diag));
        if (spec->layer[i].kind == WITAN_LAYER_RESIDUAL_BEGIN) {
            if (open != WITAN_LAYERS_MAX) {
                return witan_diag_fail(
                    diag, WITAN_E_CONFIG,
                    "layer %zu (residual-begin): blocks do not nest; "
                    "end the open one first",
                    i);
            }
            open = i;
        } else if (spec->layer[i].kind == WITAN_LAYER_RESIDUAL_END) {
            if (open == WITAN_LAYERS_MAX) {
                return witan_diag_fail(diag, WITAN_E_CONFIG,
                                       "layer %zu (residual-end): no residual-begin "
                                       "before it",
                                       i);
            }
            open = WITAN_LAYERS_MAX;
        }
    }
    if (open != WITAN_LAYERS_MAX) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "layer %zu (residual-begin): no residual-end after it",
                               open);
    }
    return WITAN_OK;
}

static void
add(witan_model_spec *spec, witan_layer_spec layer)
{
    WITAN_ASSERT(spec->layers < WITAN_LAYERS_MAX);
    spec->layer[spec->layers++] = layer;
}

static void
add_plain(witan_model_spec *spec, witan_layer_kind kind)
{
    add(spec, (witan_layer_spec){.kind = kind});
}

static void
add_dense_relu(witan_model_spec *spec, size_t units)
{
    add(spec, (witan_layer_spec){.kind = WITAN_LAYER_DENSE, .units = units});
    add_plain(spec, WITAN_LAYER_RELU);
}

static void
add_convolution(witan_model_spec *spec, size_t filters, size_t kernel, size_t stride,
                size_t padding)
{
    add(spec, (witan_layer_spec){.kind = WITAN_LAYER_CONVOLUTION,
                                 .units = filters,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .padding = padding});
}

static void
add_convolution_pool(witan_model_spec *spec, size_t filters, size_t kernel,
                     size_t padding)
{
    add_convolution(spec, filters, kernel, 1, padding);
    add_plain(spec, WITAN_LAYER_RELU);
    add(spec,
        (witan_layer_spec){.kind = WITAN_LAYER_MAX_POOL, .kernel = 2, .stride = 2});
}

/* 3x3 convolution and group norm with the largest power of two of groups, up to
 * NORM_GROUPS, that divides the filters. */
static void
add_convolution_norm(witan_model_spec *spec, size_t filters, size_t stride)
{
    size_t groups = NORM_GROUPS;
    while (filters % groups != 0) {
        groups /= 2;
    }
    add_convolution(spec, filters, 3, stride, 1);
    add(spec, (witan_layer_spec){.kind = WITAN_LAYER_GROUP_NORM, .groups = groups});
}

static void
expand_linear(witan_model_spec *spec, const size_t *number, size_t count)
{
    (void)spec;
    (void)number;
    (void)count;
}

static void
expand_mlp(witan_model_spec *spec, const size_t *number, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add_dense_relu(spec, number[i]);
    }
}

static void
expand_lenet(witan_model_spec *spec, const size_t *number, size_t count)
{
    (void)number;
    (void)count;
    add_convolution_pool(spec, 6, 5, 2);
    add_convolution_pool(spec, 16, 5, 0);
    add_dense_relu(spec, 120);
    add_dense_relu(spec, 84);
}

static void
expand_cnn(witan_model_spec *spec, const size_t *number, size_t count)
{
    (void)count;
    add_convolution_pool(spec, number[0], 3, 1);
    add_convolution_pool(spec, number[1], 3, 1);
    add_dense_relu(spec, number[2]);
}

static void
expand_resnet(witan_model_spec *spec, const size_t *number, size_t count)
{
    (void)count;
    add_convolution_norm(spec, number[0], 1);
    add_plain(spec, WITAN_LAYER_RELU);
    for (size_t stage = 0; stage < 3; stage++) {
        size_t width = number[0] << stage;
        for (size_t block = 0; block < number[1]; block++) {
            size_t stride = stage > 0 && block == 0 ? 2 : 1;
            add_plain(spec, WITAN_LAYER_RESIDUAL_BEGIN);
            add_convolution_norm(spec, width, stride);
            add_plain(spec, WITAN_LAYER_RELU);
            add_convolution_norm(spec, width, 1);
            add_plain(spec, WITAN_LAYER_RESIDUAL_END);
            add_plain(spec, WITAN_LAYER_RELU);
        }
    }
    add_plain(spec, WITAN_LAYER_GLOBAL_AVERAGE_POOL);
}

/* First the lists of layers, then the models of tokens, in the order of their own list.
 */
static const char *const zoo_names[] = {"linear", "mlp", "lenet",       "cnn", "resnet",
                                        "lstm",   "gru", "transformer", NULL};
enum {
    ZOO_COUNT = 5 /* lists of layers */
};

/* In the order of zoo_names. */
static void (*const expand[ZOO_COUNT])(witan_model_spec *spec, const size_t *number,
                                       size_t count) = {
    expand_linear, expand_mlp, expand_lenet, expand_cnn, expand_resnet};
static const zoo_form forms[ZOO_COUNT] = {
    {"linear", 0, 0, 0, {0}, {0}},
    {"mlp(256,128)",
     1,
     ZOO_NUMBERS_MAX,
     1,
     {200},
     {WITAN_UNITS_MAX, WITAN_UNITS_MAX, WITAN_UNITS_MAX, WITAN_UNITS_MAX}},
    {"lenet", 0, 0, 0, {0}, {0}},
    {"cnn(32,64,128)",
     3,
     3,
     3,
     {32, 64, 128},
     {WITAN_UNITS_MAX, WITAN_UNITS_MAX, WITAN_UNITS_MAX}},
    {"resnet(16,1)", 2, 2, 2, {16, 1}, {WITAN_UNITS_MAX / 4, RESNET_BLOCKS_MAX}},
};

const char *const *
witan_zoo_names(void)
{
    return zoo_names;
}

/* Whether the word before the parentheses is a model of tokens. */
static bool
is_of_tokens(const char *text)
{
    const char *const *names = witan_sequence_names();
    size_t length = strcspn(text, "(");
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            return true;
        }
    }
    return false;
}

witan_status
witan_zoo_parse(witan_model_spec *out, const char *text, witan_diag *diag)
{
    size_t number[ZOO_NUMBERS_MAX], count, which;

    memset(out, 0, sizeof *out);
    if (is_of_tokens(text)) {
        WITAN_TRY(witan_sequence_parse(&out->sequence, text, diag));
        out->reads_tokens = true;
        memcpy(out->name, out->sequence.name, sizeof out->name);
        return WITAN_OK;
    }
    WITAN_TRY(zoo_text_read(zoo_names, forms, text, &which, number, &count, diag));
    memcpy(out->name, text, strlen(text) + 1);
    expand[which](out, number, count);
    return WITAN_OK;
}
