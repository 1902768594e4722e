#include "nn/model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nn/model_plan.h"

#define TENSORS_PER_STEP 4
/* Floats of a bordered image or gradient: their offsets are 32-bit. */
#define BORDERED_MAX ((size_t)1 << 28)

/* What compilation carries from layer to layer. */
typedef struct compiler {
    witan_model *model;
    const witan_model_spec *spec;
    witan_diag *diag;
    size_t layers;     /* with the appended classifier */
    witan_shape shape; /* output so far */
    size_t begin;      /* step of the open residual block; the spec is balanced */
} compiler;

static witan_layer_spec
layer_at(const compiler *self, size_t index)
{
    if (index < self->spec->layers) {
        return self->spec->layer[index];
    }
    return (witan_layer_spec){.kind = WITAN_LAYER_DENSE, .units = self->model->classes};
}

static bool
layer_is(const compiler *self, size_t index, witan_layer_kind kind)
{
    return index < self->layers && layer_at(self, index).kind == kind;
}

#define FAIL(self, step, ...)                                                          \
    fail_layer((self), (step)->layer, (step)->kind, __VA_ARGS__)

static witan_status fail_layer(const compiler *self, size_t layer,
                               witan_layer_kind kind, const char *format, ...)
    WITAN_PRINTF(4, 5);

static witan_status
fail_layer(const compiler *self, size_t layer, witan_layer_kind kind,
           const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return witan_diag_fail(self->diag, WITAN_E_CONFIG, "layer %zu (%s): %s", layer,
                           witan_layer_name(kind), text);
}

/* --- tensors -------------------------------------------------------------------- */

/* Appends a tensor to the block; shape entries of 0 end the list. Returns its offset.
 */
static size_t
add_tensor(witan_model *model, size_t layer, const char *part, bool trainable, size_t a,
           size_t b, size_t c, size_t d)
{
    witan_tensor_info *info = &model->tensor[model->tensors++];
    const size_t shape[4] = {a, b, c, d};
    size_t count = 1;
    (void)snprintf(info->name, sizeof info->name, "%zu.%s", layer, part);
    info->offset = model->parameters;
    info->trainable = trainable;
    for (size_t i = 0; i < 4 && shape[i] > 0; i++) {
        info->shape[info->dimensions++] = shape[i];
        count *= shape[i];
    }
    model->parameters += count;
    return info->offset;
}

/* Weights followed by ReLU or GELU, before any other activation or weight. */
static bool
is_before_relu(const compiler *self, size_t layer)
{
    for (size_t i = layer + 1; i < self->layers; i++) {
        switch (layer_at(self, i).kind) {
        case WITAN_LAYER_RELU:
        case WITAN_LAYER_GELU:
            return true;
        case WITAN_LAYER_DENSE:
        case WITAN_LAYER_CONVOLUTION:
        case WITAN_LAYER_TANH:
            return false;
        default:
            break;
        }
    }
    return false;
}

/* --- layers --------------------------------------------------------------------- */

static witan_status
check_extent(const compiler *self, const model_step *step, const char *what,
             size_t kernel, size_t padding)
{
    size_t height = step->in.height, width = step->in.width;
    if (kernel > height + 2 * padding || kernel > width + 2 * padding) {
        return FAIL(self, step,
                    padding > 0
                        ? "%s %zu does not fit an input of %zu x %zu with padding"
                        : "%s %zu does not fit an input of %zu x %zu",
                    what, kernel, height, width);
    }
    return WITAN_OK;
}

static size_t
window_count(size_t extent, size_t kernel, size_t stride, size_t padding)
{
    return (extent + 2 * padding - kernel) / stride + 1;
}

static witan_status
compile_dense(compiler *self, model_step *step, const witan_layer_spec *layer,
              size_t *next)
{
    size_t inputs = shape_size(step->in);
    step->out = (witan_shape){1, 1, layer->units};
    step->relu = layer_is(self, *next, WITAN_LAYER_RELU);
    *next += step->relu ? 1 : 0;
    step->trainable = true;
    step->kaiming = is_before_relu(self, step->layer);
    step->weight = add_tensor(self->model, step->layer, "weight", true, layer->units,
                              inputs, 0, 0);
    step->bias =
        add_tensor(self->model, step->layer, "bias", true, layer->units, 0, 0, 0);
    return WITAN_OK;
}

/* Fills the geometry; fails when a size passes what 32-bit offsets reach. */
static witan_status
plan_convolution(const compiler *self, model_step *step, size_t filters, size_t kernel,
                 size_t stride, size_t padding)
{
    witan_convolution *c = &step->convolution;
    *c = (witan_convolution){.height = step->in.height,
                             .width = step->in.width,
                             .channels = step->in.channels,
                             .filters = filters,
                             .kernel = kernel,
                             .stride = stride,
                             .padding = padding};
    size_t height = c->height + 2 * padding, width = c->width + 2 * padding;
    c->rows = window_count(c->height, kernel, stride, padding);
    c->columns = window_count(c->width, kernel, stride, padding);
    if (height * width > BORDERED_MAX / c->channels ||
        (c->rows + 2 * kernel) * (c->columns + 2 * kernel) >
            BORDERED_MAX / (filters + 16) ||
        kernel * kernel > BORDERED_MAX / (filters + 16) ||
        kernel * kernel * c->channels > WITAN_PARAMETERS_MAX / filters) {
        return FAIL(self, step,
                    "%zu filters of %zu x %zu on %zu x %zu x %zu are too many", filters,
                    kernel, kernel, c->height, c->width, c->channels);
    }
    return WITAN_OK;
}

static witan_status
compile_convolution(compiler *self, model_step *step, const witan_layer_spec *layer,
                    size_t *next)
{
    WITAN_TRY(check_extent(self, step, "kernel", layer->kernel, layer->padding));
    WITAN_TRY(plan_convolution(self, step, layer->units, layer->kernel, layer->stride,
                               layer->padding));
    witan_convolution *c = &step->convolution;
    if (layer_is(self, *next, WITAN_LAYER_RELU)) {
        c->relu = true;
        (*next)++;
    }
    if (layer_is(self, *next, WITAN_LAYER_MAX_POOL)) {
        witan_layer_spec pool = layer_at(self, *next);
        c->pool = pool.kernel == 2 && pool.stride == 2 && pool.padding == 0 &&
                  c->rows >= 2 && c->columns >= 2;
        *next += c->pool ? 1 : 0;
    }
    step->out = (witan_shape){witan_convolution_out_rows(c),
                              witan_convolution_out_columns(c), c->filters};
    step->trainable = true;
    step->kaiming = is_before_relu(self, step->layer);
    step->weight = add_tensor(self->model, step->layer, "weight", true, c->filters,
                              c->kernel, c->kernel, c->channels);
    step->bias =
        add_tensor(self->model, step->layer, "bias", true, c->filters, 0, 0, 0);
    return WITAN_OK;
}

static witan_status
compile_pool(compiler *self, model_step *step, const witan_layer_spec *layer)
{
    WITAN_TRY(check_extent(self, step, "window", layer->kernel, layer->padding));
    if (layer->kind == WITAN_LAYER_MAX_POOL &&
        layer->kernel > WITAN_POOLING_MAX_WINDOW) {
        return FAIL(self, step, "window %zu is larger than %d", layer->kernel,
                    WITAN_POOLING_MAX_WINDOW);
    }
    witan_shape in = step->in;
    step->pooling = (witan_pooling){
        .height = in.height,
        .width = in.width,
        .channels = in.channels,
        .window_rows = layer->kernel,
        .window_columns = layer->kernel,
        .stride = layer->stride,
        .padding = layer->padding,
        .rows = window_count(in.height, layer->kernel, layer->stride, layer->padding),
        .columns =
            window_count(in.width, layer->kernel, layer->stride, layer->padding)};
    step->out = (witan_shape){step->pooling.rows, step->pooling.columns, in.channels};
    return WITAN_OK;
}

static void
compile_global_pool(model_step *step)
{
    step->pooling = (witan_pooling){.height = step->in.height,
                                    .width = step->in.width,
                                    .channels = step->in.channels,
                                    .window_rows = step->in.height,
                                    .window_columns = step->in.width,
                                    .stride = 1,
                                    .rows = 1,
                                    .columns = 1};
    step->out = (witan_shape){1, 1, step->in.channels};
}

static witan_status
compile_norm(compiler *self, model_step *step, const witan_layer_spec *layer)
{
    size_t channels = step->in.channels;
    step->groups = layer->kind == WITAN_LAYER_GROUP_NORM ? layer->groups : channels;
    if (step->groups == 0 || channels % step->groups != 0) {
        return FAIL(self, step, "%zu groups do not divide %zu channels", step->groups,
                    channels);
    }
    step->trainable = true;
    step->weight =
        add_tensor(self->model, step->layer, "weight", true, channels, 0, 0, 0);
    step->bias = add_tensor(self->model, step->layer, "bias", true, channels, 0, 0, 0);
    return WITAN_OK;
}

/* Stride with which a 1 x 1 convolution maps `in` to `out` rows and columns; 0 = none.
 */
static size_t
shortcut_stride(witan_shape in, witan_shape out)
{
    size_t longest = in.height > in.width ? in.height : in.width;
    for (size_t stride = 1; stride <= longest; stride++) {
        if (window_count(in.height, 1, stride, 0) == out.height &&
            window_count(in.width, 1, stride, 0) == out.width) {
            return stride;
        }
    }
    return 0;
}

static witan_status
compile_residual(compiler *self, model_step *step)
{
    if (step->kind == WITAN_LAYER_RESIDUAL_BEGIN) {
        self->begin = self->model->steps;
        return WITAN_OK;
    }
    witan_shape branch = step->in, shortcut = self->model->step[self->begin].in;
    step->partner = self->begin;
    step->projects = memcmp(&branch, &shortcut, sizeof branch) != 0;
    if (!step->projects) {
        return WITAN_OK;
    }
    size_t stride = shortcut_stride(shortcut, branch);
    if (stride == 0) {
        return FAIL(self, step,
                    "no stride maps the block's input of %zu x %zu to its output of "
                    "%zu x %zu",
                    shortcut.height, shortcut.width, branch.height, branch.width);
    }
    step->in = shortcut;
    witan_status status = plan_convolution(self, step, branch.channels, 1, stride, 0);
    step->in = branch;
    WITAN_TRY(status);
    step->trainable = true;
    step->kaiming = is_before_relu(self, step->layer);
    step->weight = add_tensor(self->model, step->layer, "shortcut.weight", true,
                              branch.channels, 1, 1, shortcut.channels);
    return WITAN_OK;
}

/* Compiles the layer at *next and moves past it and what it swallowed. */
static witan_status
compile_layer(compiler *self, size_t *next)
{
    witan_layer_spec layer = layer_at(self, *next);
    witan_model *model = self->model;
    model_step *step = &model->step[model->steps];
    *step = (model_step){.kind = layer.kind,
                         .layer = (*next)++,
                         .in = self->shape,
                         .out = self->shape,
                         .rate = layer.rate,
                         .passes_back = model->parameters > 0};
    witan_status status = WITAN_OK;
    switch (layer.kind) {
    case WITAN_LAYER_DENSE:
        status = compile_dense(self, step, &layer, next);
        break;
    case WITAN_LAYER_CONVOLUTION:
        status = compile_convolution(self, step, &layer, next);
        break;
    case WITAN_LAYER_MAX_POOL:
    case WITAN_LAYER_AVERAGE_POOL:
        status = compile_pool(self, step, &layer);
        break;
    case WITAN_LAYER_GLOBAL_AVERAGE_POOL:
        compile_global_pool(step);
        break;
    case WITAN_LAYER_GROUP_NORM:
    case WITAN_LAYER_BATCH_NORM:
        status = compile_norm(self, step, &layer);
        break;
    case WITAN_LAYER_RESIDUAL_BEGIN:
    case WITAN_LAYER_RESIDUAL_END:
        status = compile_residual(self, step);
        break;
    case WITAN_LAYER_DROPOUT:
        model->has_dropout = model->has_dropout || layer.rate > 0;
        break;
    case WITAN_LAYER_RELU:
    case WITAN_LAYER_GELU:
    case WITAN_LAYER_TANH:
        break;
    }
    WITAN_TRY(status);
    if (shape_size(step->out) > WITAN_FEATURES_MAX ||
        model->parameters > WITAN_PARAMETERS_MAX) {
        return FAIL(self, step, "the model is too large (%zu outputs, %zu parameters)",
                    shape_size(step->out), model->parameters);
    }
    self->shape = step->out;
    model->steps++;
    return WITAN_OK;
}

static witan_status
compile(compiler *self)
{
    witan_model *model = self->model;
    for (size_t next = 0; next < self->layers;) {
        WITAN_TRY(compile_layer(self, &next));
    }
    model->trainable = model->parameters;
    for (size_t i = 0; i < model->steps; i++) {
        model_step *step = &model->step[i];
        if (step->kind == WITAN_LAYER_BATCH_NORM) {
            size_t channels = step->in.channels;
            step->running_mean = add_tensor(model, step->layer, "running_mean", false,
                                            channels, 0, 0, 0);
            step->running_variance =
                add_tensor(model, step->layer, "running_var", false, channels, 0, 0, 0);
        }
    }
    return WITAN_OK;
}

/* --- the model ------------------------------------------------------------------ */

static void
digest_architecture(const compiler *self)
{
    witan_digest digest;
    witan_model *model = self->model;
    witan_digest_init(&digest);
    const size_t head[] = {model->input.height, model->input.width,
                           model->input.channels, model->classes, self->layers};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
        witan_digest_update_u64(&digest, head[i]);
    }
    for (size_t i = 0; i < self->layers; i++) {
        witan_layer_spec layer = layer_at(self, i);
        bool windowed = layer.kind == WITAN_LAYER_CONVOLUTION ||
                        layer.kind == WITAN_LAYER_MAX_POOL ||
                        layer.kind == WITAN_LAYER_AVERAGE_POOL;
        bool wide =
            layer.kind == WITAN_LAYER_DENSE || layer.kind == WITAN_LAYER_CONVOLUTION;
        const size_t fields[] = {
            (size_t)layer.kind,
            wide ? layer.units : 0,
            windowed ? layer.kernel : 0,
            windowed ? layer.stride : 0,
            windowed ? layer.padding : 0,
            layer.kind == WITAN_LAYER_GROUP_NORM ? layer.groups : 0};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
            witan_digest_update_u64(&digest, fields[k]);
        }
    }
    witan_digest_final(&digest, model->fingerprint);
}

static witan_status
check_request(const witan_model_spec *spec, witan_shape input, size_t classes,
              witan_diag *diag)
{
    if (spec->reads_tokens) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model %s reads tokens, not rows of numbers",
                               spec->name);
    }
    WITAN_TRY(witan_model_spec_check(spec, diag));
    if (input.height == 0 || input.width == 0 || input.channels == 0 ||
        input.height > WITAN_FEATURES_MAX || input.width > WITAN_FEATURES_MAX ||
        input.channels > WITAN_FEATURES_MAX ||
        input.height * input.width > WITAN_FEATURES_MAX / input.channels) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model %s: an input of %zu x %zu x %zu is not supported",
                               spec->name, input.height, input.width, input.channels);
    }
    if (classes < 1 || classes > WITAN_CLASSES_MAX) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model %s: %zu classes are not supported", spec->name,
                               classes);
    }
    return WITAN_OK;
}

witan_status
witan_model_new(witan_model **out, const witan_allocator *allocator,
                const witan_model_spec *spec, witan_shape input, size_t classes,
                witan_diag *diag)
{
    *out = NULL;
    WITAN_TRY(check_request(spec, input, classes, diag));
    const witan_layer_spec *last =
        spec->layers > 0 ? &spec->layer[spec->layers - 1] : NULL;
    bool has_classifier =
        last != NULL && last->kind == WITAN_LAYER_DENSE && last->units == classes;
    witan_status status = WITAN_E_MEMORY;
    witan_model *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, status, "out of memory for a model");
    }
    compiler state = {.model = self,
                      .spec = spec,
                      .diag = diag,
                      .layers = spec->layers + (has_classifier ? 0 : 1),
                      .shape = input};
    self->allocator = allocator;
    self->input = input;
    self->classes = classes;
    memcpy(self->name, spec->name, sizeof self->name);
    self->name[sizeof self->name - 1] = '\0';
    self->step = witan_zalloc(allocator, state.layers, sizeof *self->step);
    self->tensor =
        witan_zalloc(allocator, state.layers * TENSORS_PER_STEP, sizeof *self->tensor);
    if (self->step == NULL || self->tensor == NULL) {
        (void)witan_diag_fail(diag, status, "out of memory for a model");
        goto out;
    }
    status = compile(&state);
    if (status != WITAN_OK) {
        goto out;
    }
    digest_architecture(&state);
    *out = self;
    self = NULL;
out:
    witan_model_free(&self);
    return status;
}

void
witan_model_free(witan_model **self)
{
    witan_model *model = *self;
    if (model != NULL) {
        witan_free(model->allocator, model->step);
        witan_free(model->allocator, model->tensor);
        witan_free(model->allocator, model);
    }
    *self = NULL;
}

const char *
witan_model_name(const witan_model *self)
{
    return self->name;
}

witan_shape
witan_model_input(const witan_model *self)
{
    return self->input;
}

size_t
witan_model_classes(const witan_model *self)
{
    return self->classes;
}

size_t
witan_model_trainable(const witan_model *self)
{
    return self->trainable;
}

size_t
witan_model_parameters(const witan_model *self)
{
    return self->parameters;
}

size_t
witan_model_tensors(const witan_model *self)
{
    return self->tensors;
}

const witan_tensor_info *
witan_model_tensor(const witan_model *self, size_t index)
{
    WITAN_ASSERT(index < self->tensors);
    return &self->tensor[index];
}

static double
convolution_cost(const witan_convolution *c)
{
    return (double)(c->rows * c->columns) * (double)c->filters *
           (double)(c->kernel * c->kernel * c->channels);
}

/* Multiply-adds of one step's matrix product; 0 for layers without one. */
static double
step_cost(const model_step *step)
{
    if (step->kind == WITAN_LAYER_DENSE) {
        return (double)shape_size(step->in) * (double)shape_size(step->out);
    }
    bool convolves = step->kind == WITAN_LAYER_CONVOLUTION || step->projects;
    return convolves ? convolution_cost(&step->convolution) : 0.0;
}

double
witan_model_cost(const witan_model *self)
{
    double cost = 0.0;
    for (size_t i = 0; i < self->steps; i++) {
        cost += step_cost(&self->step[i]);
    }
    return cost;
}

double
witan_model_step_cost(const witan_model *self)
{
    double cost = 0.0;
    for (size_t i = 0; i < self->steps; i++) {
        cost += step_cost(&self->step[i]) * (self->step[i].passes_back ? 3.0 : 2.0);
    }
    return cost;
}

void
witan_model_fingerprint(const witan_model *self, unsigned char out[32])
{
    memcpy(out, self->fingerprint, sizeof self->fingerprint);
}

/* --- initialisation ------------------------------------------------------------- */

static void
fill(float *to, float value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = value;
    }
}

static void
initialise_weight(float *w, size_t outputs, size_t window, size_t inputs, bool kaiming,
                  witan_random *random)
{
    size_t count = outputs * window * inputs;
    double fan_in = (double)(window * inputs), fan_out = (double)(window * outputs);
    if (kaiming) {
        double deviation = sqrt(2.0 / fan_in);
        for (size_t i = 0; i < count; i++) {
            w[i] = (float)(deviation * witan_random_normal(random));
        }
        return;
    }
    double bound = sqrt(6.0 / (fan_in + fan_out));
    for (size_t i = 0; i < count; i++) {
        w[i] = (float)(bound * (2.0 * witan_random_uniform(random) - 1.0));
    }
}

void
witan_model_initialise(const witan_model *self, float *parameters, witan_random *random)
{
    fill(parameters, 0.0f, self->parameters);
    for (size_t i = 0; i < self->steps; i++) {
        const model_step *step = &self->step[i];
        const witan_convolution *c = &step->convolution;
        float *w = parameters + step->weight;
        if (step->kind == WITAN_LAYER_DENSE) {
            initialise_weight(w, shape_size(step->out), 1, shape_size(step->in),
                              step->kaiming, random);
        } else if (step->kind == WITAN_LAYER_CONVOLUTION || step->projects) {
            initialise_weight(w, c->filters, c->kernel * c->kernel, c->channels,
                              step->kaiming, random);
        } else if (step->trainable) {
            fill(w, 1.0f, step->in.channels);
        }
        if (step->kind == WITAN_LAYER_BATCH_NORM) {
            fill(parameters + step->running_variance, 1.0f, step->in.channels);
        }
    }
}
