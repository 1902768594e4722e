/* sequence.c - compiles a token model: tensors, products, initial values. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/sequence_plan.h"

enum {
    TENSORS_PER_LAYER = 12,
    TENSORS_OUTSIDE = 6,
};

static size_t
add_tensor(witan_sequence_model *self, const char *name, size_t rows, size_t columns)
{
    witan_tensor_info *info = &self->tensor[self->tensors++];
    (void)snprintf(info->name, sizeof info->name, "%s", name);
    info->offset = self->parameters;
    info->trainable = true;
    info->dimensions = columns > 0 ? 2 : 1;
    info->shape[0] = rows;
    info->shape[1] = columns;
    self->parameters += rows * (columns > 0 ? columns : 1);
    return info->offset;
}

/* As add_tensor for "<layer>.<part>". */
static size_t
add_part(witan_sequence_model *self, size_t layer, const char *part, size_t rows,
         size_t columns)
{
    char name[sizeof self->tensor->name];
    (void)snprintf(name, sizeof name, "%zu.%s", layer, part);
    return add_tensor(self, name, rows, columns);
}

static void
compile_recurrent(witan_sequence_model *self, size_t layer)
{
    size_t width = self->spec.width, gates = self->gates * width;
    sequence_product *input =
        &self->product[sequence_product_index(self, layer, PRODUCT_INPUT)];
    sequence_product *recurrent =
        &self->product[sequence_product_index(self, layer, PRODUCT_RECURRENT)];
    input->inputs = recurrent->inputs = width;
    input->outputs = recurrent->outputs = gates;
    input->weight = add_part(self, layer, "input.weight", gates, width);
    input->bias = add_part(self, layer, "bias", gates, 0);
    recurrent->weight = add_part(self, layer, "recurrent.weight", gates, width);
    recurrent->bias = self->spec.cell == WITAN_CELL_GRU
                          ? add_part(self, layer, "recurrent.bias", gates, 0)
                          : SEQUENCE_NO_BIAS;
}

static void
compile_block_norm(witan_sequence_model *self, size_t layer, size_t which,
                   const char *weight, const char *bias)
{
    sequence_norm *norm = &self->norm[2 * layer + which];
    norm->gain = add_part(self, layer, weight, self->spec.width, 0);
    norm->bias = add_part(self, layer, bias, self->spec.width, 0);
}

static void
compile_block_product(witan_sequence_model *self, size_t layer, size_t which,
                      const char *weight, const char *bias, size_t outputs,
                      size_t inputs)
{
    sequence_product *product =
        &self->product[sequence_product_index(self, layer, which)];
    product->inputs = inputs;
    product->outputs = outputs;
    product->weight = add_part(self, layer, weight, outputs, inputs);
    product->bias = add_part(self, layer, bias, outputs, 0);
}

static void
compile_block(witan_sequence_model *self, size_t layer)
{
    size_t width = self->spec.width;
    compile_block_norm(self, layer, 0, "norm1.weight", "norm1.bias");
    compile_block_product(self, layer, PRODUCT_QKV, "qkv.weight", "qkv.bias", 3 * width,
                          width);
    compile_block_product(self, layer, PRODUCT_OUT, "out.weight", "out.bias", width,
                          width);
    compile_block_norm(self, layer, 1, "norm2.weight", "norm2.bias");
    compile_block_product(self, layer, PRODUCT_UP, "up.weight", "up.bias", 4 * width,
                          width);
    compile_block_product(self, layer, PRODUCT_DOWN, "down.weight", "down.bias", width,
                          4 * width);
}

static void
compile(witan_sequence_model *self)
{
    const witan_sequence_spec *spec = &self->spec;
    bool transformer = spec->cell == WITAN_CELL_TRANSFORMER;
    self->embedding =
        add_tensor(self, "embedding.weight", self->vocabulary, spec->width);
    if (transformer) {
        self->position =
            add_tensor(self, "position.weight", spec->context, spec->width);
    }
    for (size_t layer = 0; layer < spec->layers; layer++) {
        if (transformer) {
            compile_block(self, layer);
        } else {
            compile_recurrent(self, layer);
        }
    }
    if (transformer) {
        sequence_norm *last = &self->norm[2 * spec->layers];
        last->gain = add_tensor(self, "norm.weight", spec->width, 0);
        last->bias = add_tensor(self, "norm.bias", spec->width, 0);
    }
    sequence_product *head = &self->product[PRODUCT_HEAD];
    head->inputs = spec->width;
    head->outputs = self->vocabulary;
    head->weight = add_tensor(self, "head.weight", self->vocabulary, spec->width);
    head->bias = add_tensor(self, "head.bias", self->vocabulary, 0);
}

static void
digest_architecture(witan_sequence_model *self)
{
    const witan_sequence_spec *spec = &self->spec;
    bool transformer = spec->cell == WITAN_CELL_TRANSFORMER;
    /* A dropout rate and a recurrent context change no parameter's meaning. */
    const size_t fields[] = {(size_t)spec->cell,
                             spec->width,
                             spec->layers,
                             spec->heads,
                             self->vocabulary,
                             transformer,
                             transformer ? spec->context : 0};
    witan_digest digest;
    witan_digest_init(&digest);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        witan_digest_update_u64(&digest, fields[i]);
    }
    witan_digest_final(&digest, self->fingerprint);
}

static witan_status
check_size(const witan_sequence_spec *spec, const char *what, size_t value,
           size_t minimum, size_t maximum, witan_diag *diag)
{
    if (value >= minimum && value <= maximum) {
        return WITAN_OK;
    }
    return witan_diag_fail(diag, WITAN_E_CONFIG,
                           "model %s: %s must be %zu to %zu, is %zu", spec->name, what,
                           minimum, maximum, value);
}

witan_status
witan_sequence_spec_check(const witan_sequence_spec *spec, witan_diag *diag)
{
    WITAN_TRY(check_size(spec, "width", spec->width, 1, WITAN_UNITS_MAX, diag));
    WITAN_TRY(
        check_size(spec, "layers", spec->layers, 1, WITAN_SEQUENCE_LAYERS_MAX, diag));
    WITAN_TRY(check_size(spec, "context", spec->context, 1, WITAN_CONTEXT_MAX, diag));
    WITAN_TRY(check_size(spec, "heads", spec->heads, 1, WITAN_UNITS_MAX, diag));
    if (spec->cell == WITAN_CELL_TRANSFORMER && spec->width % spec->heads != 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model %s: %zu heads do not divide width %zu",
                               spec->name, spec->heads, spec->width);
    }
    if (!(spec->dropout >= 0.0 && spec->dropout < 1.0)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model %s: dropout must be 0 to below 1, is %g",
                               spec->name, spec->dropout);
    }
    return WITAN_OK;
}

static witan_status
allocate(witan_sequence_model *self)
{
    size_t layers = self->spec.layers;
    self->product =
        witan_zalloc(self->allocator, self->products, sizeof *self->product);
    self->norm = witan_zalloc(self->allocator, 2 * layers + 1, sizeof *self->norm);
    self->tensor =
        witan_zalloc(self->allocator, TENSORS_OUTSIDE + TENSORS_PER_LAYER * layers,
                     sizeof *self->tensor);
    return self->product == NULL || self->norm == NULL || self->tensor == NULL
               ? WITAN_E_MEMORY
               : WITAN_OK;
}

witan_status
witan_sequence_new(witan_sequence_model **out, const witan_allocator *allocator,
                   const witan_sequence_spec *spec, size_t vocabulary, witan_diag *diag)
{
    *out = NULL;
    WITAN_TRY(witan_sequence_spec_check(spec, diag));
    WITAN_TRY(
        check_size(spec, "the vocabulary", vocabulary, 2, WITAN_CLASSES_MAX, diag));
    bool transformer = spec->cell == WITAN_CELL_TRANSFORMER;
    witan_sequence_model *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for a model");
    }
    self->allocator = allocator;
    self->spec = *spec;
    self->spec.name[sizeof self->spec.name - 1] = '\0';
    self->vocabulary = vocabulary;
    self->gates = spec->cell == WITAN_CELL_LSTM ? 4 : 3;
    self->per_layer = transformer ? 4 : 2;
    self->products = 1 + spec->layers * self->per_layer;
    witan_status status = allocate(self);
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "out of memory for a model");
        goto out;
    }
    compile(self);
    if (self->parameters > WITAN_PARAMETERS_MAX) {
        status = witan_diag_fail(diag, WITAN_E_CONFIG,
                                 "model %s: %zu parameters are more than %zu",
                                 spec->name, self->parameters, WITAN_PARAMETERS_MAX);
        goto out;
    }
    digest_architecture(self);
    *out = self;
    self = NULL;
out:
    witan_sequence_free(&self);
    return status;
}

void
witan_sequence_free(witan_sequence_model **self)
{
    witan_sequence_model *model = *self;
    if (model != NULL) {
        witan_free(model->allocator, model->product);
        witan_free(model->allocator, model->norm);
        witan_free(model->allocator, model->tensor);
        witan_free(model->allocator, model);
    }
    *self = NULL;
}

const witan_sequence_spec *
witan_sequence_spec_of(const witan_sequence_model *self)
{
    return &self->spec;
}

size_t
witan_sequence_vocabulary(const witan_sequence_model *self)
{
    return self->vocabulary;
}

size_t
witan_sequence_parameters(const witan_sequence_model *self)
{
    return self->parameters;
}

size_t
witan_sequence_tensors(const witan_sequence_model *self)
{
    return self->tensors;
}

const witan_tensor_info *
witan_sequence_tensor(const witan_sequence_model *self, size_t index)
{
    WITAN_ASSERT(index < self->tensors);
    return &self->tensor[index];
}

double
witan_sequence_cost(const witan_sequence_model *self)
{
    double cost = 0.0;
    for (size_t i = 0; i < self->products; i++) {
        cost += (double)self->product[i].inputs * (double)self->product[i].outputs;
    }
    if (self->spec.cell == WITAN_CELL_TRANSFORMER) { /* scores and their mixture */
        cost += 2.0 * (double)(self->spec.layers * self->spec.context) *
                (double)self->spec.width;
    }
    return cost;
}

void
witan_sequence_fingerprint(const witan_sequence_model *self, unsigned char out[32])
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
fill_normal(float *to, double deviation, size_t count, witan_random *random)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (float)(deviation * witan_random_normal(random));
    }
}

static void
initialise_transformer(const witan_sequence_model *self, float *parameters,
                       witan_random *random)
{
    const witan_sequence_spec *spec = &self->spec;
    double branch = 0.02 / sqrt(2.0 * (double)spec->layers);
    fill_normal(parameters + self->embedding, 0.02, self->vocabulary * spec->width,
                random);
    fill_normal(parameters + self->position, 0.02, spec->context * spec->width, random);
    for (size_t i = 0; i < self->products; i++) {
        const sequence_product *product = &self->product[i];
        size_t which = (i - 1) % self->per_layer;
        bool ends_branch =
            i != PRODUCT_HEAD && (which == PRODUCT_OUT || which == PRODUCT_DOWN);
        fill_normal(parameters + product->weight, ends_branch ? branch : 0.02,
                    product->inputs * product->outputs, random);
    }
    for (size_t i = 0; i < 2 * spec->layers + 1; i++) {
        fill(parameters + self->norm[i].gain, 1.0f, spec->width);
    }
}

static void
initialise_recurrent(const witan_sequence_model *self, float *parameters,
                     witan_random *random)
{
    const witan_sequence_spec *spec = &self->spec;
    double bound = 1.0 / sqrt((double)spec->width);
    fill_normal(parameters + self->embedding, 1.0, self->vocabulary * spec->width,
                random);
    for (size_t i = 0; i < self->products; i++) {
        const sequence_product *product = &self->product[i];
        float *w = parameters + product->weight;
        for (size_t k = 0; k < product->inputs * product->outputs; k++) {
            w[k] = (float)(bound * (2.0 * witan_random_uniform(random) - 1.0));
        }
    }
    for (size_t layer = 0; spec->cell == WITAN_CELL_LSTM && layer < spec->layers;
         layer++) {
        size_t input = sequence_product_index(self, layer, PRODUCT_INPUT);
        fill(parameters + self->product[input].bias + spec->width, 1.0f, spec->width);
    }
}

void
witan_sequence_initialise(const witan_sequence_model *self, float *parameters,
                          witan_random *random)
{
    fill(parameters, 0.0f, self->parameters);
    if (self->spec.cell == WITAN_CELL_TRANSFORMER) {
        initialise_transformer(self, parameters, random);
    } else {
        initialise_recurrent(self, parameters, random);
    }
}
