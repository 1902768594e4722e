/* sequence_step.c - one token at a time from saved states: exposure by prefix trie,
 * sampling. States lie outside; a stepper holds packed weights and scratch. */
#include <string.h>

#include "nn/cutter.h"
#include "nn/sequence_plan.h"

struct witan_sequence_stepper {
    const witan_allocator *allocator;
    const witan_kernels *kernels;
    const witan_sequence_model *model;
    size_t batch;
    const float *parameters; /* borrowed until the next load */
    float **packed;          /* [products] */
    float *x, *normed;       /* [batch, D] */
    float *gate, *hidden;    /* [batch, 4D]; transformer: qkv, then up */
    float *h, *c;            /* [batch, D]; transformer: mixed, branch */
    float *before;           /* [batch, D] h of the parents */
    float *share;            /* [context] */
    float *mean, *inverse;   /* [batch] */
};

size_t
witan_sequence_state_floats(const witan_sequence_model *self)
{
    const witan_sequence_spec *spec = &self->spec;
    switch (spec->cell) {
    case WITAN_CELL_LSTM:
        return 2 * spec->layers * spec->width;
    case WITAN_CELL_GRU:
        return spec->layers * spec->width;
    case WITAN_CELL_TRANSFORMER:
        return 2 * spec->layers * spec->context * spec->width;
    }
    return 0;
}

static void
place(witan_sequence_stepper *self, cutter *block)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, batch = self->batch;
    self->packed = cut(block, model->products, sizeof *self->packed);
    for (size_t i = 0; i < model->products; i++) {
        const sequence_product *p = &model->product[i];
        float *packed = cut(block, self->kernels->packed_floats(p->inputs, p->outputs),
                            sizeof *packed);
        if (block->base != NULL) {
            self->packed[i] = packed;
        }
    }
    self->x = cut(block, batch * width, sizeof(float));
    self->normed = cut(block, batch * width, sizeof(float));
    self->gate = cut(block, batch * 4 * width, sizeof(float));
    self->hidden = cut(block, batch * 4 * width, sizeof(float));
    self->h = cut(block, batch * width, sizeof(float));
    self->c = cut(block, batch * width, sizeof(float));
    self->before = cut(block, batch * width, sizeof(float));
    self->share = cut(block, model->spec.context, sizeof(float));
    self->mean = cut(block, batch, sizeof(float));
    self->inverse = cut(block, batch, sizeof(float));
}

witan_status
witan_sequence_stepper_new(witan_sequence_stepper **out,
                           const witan_allocator *allocator,
                           const witan_sequence_model *model, size_t batch)
{
    *out = NULL;
    if (batch == 0 || batch > WITAN_BATCH_MAX) {
        return WITAN_E_LIMIT;
    }
    witan_sequence_stepper plan = {.allocator = allocator,
                                   .kernels = witan_kernels_get(),
                                   .model = model,
                                   .batch = batch};
    cutter block = {0};
    (void)cut(&block, 1, sizeof plan);
    place(&plan, &block);
    witan_sequence_stepper *self = witan_zalloc(allocator, block.used, 1);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    *self = plan;
    block = (cutter){.base = (char *)self};
    (void)cut(&block, 1, sizeof plan);
    place(self, &block);
    *out = self;
    return WITAN_OK;
}

void
witan_sequence_stepper_free(witan_sequence_stepper **self)
{
    if (*self != NULL) {
        witan_free((*self)->allocator, *self);
    }
    *self = NULL;
}

void
witan_sequence_stepper_load(witan_sequence_stepper *self, const float *parameters)
{
    self->parameters = parameters;
    for (size_t i = 0; i < self->model->products; i++) {
        const sequence_product *p = &self->model->product[i];
        self->kernels->pack(self->packed[i], parameters + p->weight, p->inputs, true,
                            p->inputs, p->outputs);
    }
}

/* One part of every parent's state, `at` floats in, to rows [count, D]; zeros at the
 * start of a window. */
static void
gather(const witan_sequence_stepper *self, float *rows, const float *from,
       const uint32_t *parent, size_t count, size_t at)
{
    size_t width = self->model->spec.width;
    size_t state = witan_sequence_state_floats(self->model);
    for (size_t i = 0; i < count; i++) {
        if (from == NULL) {
            memset(rows + i * width, 0, width * sizeof *rows);
        } else {
            size_t row = parent != NULL ? parent[i] : i;
            memcpy(rows + i * width, from + row * state + at, width * sizeof *rows);
        }
    }
}

static void
scatter(const witan_sequence_stepper *self, float *to, const float *rows, size_t count,
        size_t at)
{
    size_t width = self->model->spec.width;
    size_t state = witan_sequence_state_floats(self->model);
    for (size_t i = 0; to != NULL && i < count; i++) {
        memcpy(to + i * state + at, rows + i * width, width * sizeof *rows);
    }
}

static void
apply(const witan_sequence_stepper *self, size_t product, float *y, const float *x,
      size_t count)
{
    sequence_apply(self->kernels, &self->model->product[product], self->packed[product],
                   self->parameters, y, x, count);
}

/* self->x: the embeddings, then the top layer's output. */
static void
step_recurrent(witan_sequence_stepper *self, float *to, const float *from,
               const uint32_t *parent, size_t count)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, gates = model->gates * width;
    for (size_t i = 0; i < model->spec.layers; i++) {
        size_t recurrent = sequence_product_index(model, i, PRODUCT_RECURRENT);
        apply(self, sequence_product_index(model, i, PRODUCT_INPUT), self->gate,
              self->x, count);
        if (model->spec.cell == WITAN_CELL_LSTM) {
            size_t at = 2 * i * width;
            gather(self, self->before, from, parent, count, at);
            gather(self, self->c, from, parent, count, at + width);
            self->kernels->product_packed(self->gate, gates, self->before, width,
                                          self->packed[recurrent], NULL, true, count,
                                          gates, width);
            self->kernels->lstm_forward(self->gate, self->c, self->x, self->c, count,
                                        width);
            scatter(self, to, self->x, count, at);
            scatter(self, to, self->c, count, at + width);
        } else {
            gather(self, self->before, from, parent, count, i * width);
            apply(self, recurrent, self->hidden, self->before, count);
            self->kernels->gru_forward(self->gate, self->hidden, self->x, self->before,
                                       count, width);
            scatter(self, to, self->x, count, i * width);
        }
    }
}

/* Attention of every row over its parent's keys and values and its own. */
static void
attend(witan_sequence_stepper *self, size_t block, float *to, const float *from,
       const uint32_t *parent, size_t count, size_t position)
{
    const witan_sequence_spec *spec = &self->model->spec;
    size_t width = spec->width, state = witan_sequence_state_floats(self->model);
    size_t cache = spec->context * width, at = 2 * block * cache;
    for (size_t i = 0; i < count; i++) {
        const float *qkv = self->gate + i * 3 * width;
        float *keys = to + i * state + at, *values = keys + cache;
        if (position > 0) {
            const float *old = from + (parent != NULL ? parent[i] : i) * state + at;
            memcpy(keys, old, position * width * sizeof *keys);
            memcpy(values, old + cache, position * width * sizeof *values);
        }
        memcpy(keys + position * width, qkv + width, width * sizeof *keys);
        memcpy(values + position * width, qkv + 2 * width, width * sizeof *values);
        self->kernels->attention_step(self->h + i * width, qkv, keys, values,
                                      position + 1, width, spec->heads, self->share);
    }
}

static void
normalise(witan_sequence_stepper *self, size_t norm, float *y, size_t count)
{
    const sequence_norm *one = &self->model->norm[norm];
    self->kernels->layer_norm_forward(
        y, self->mean, self->inverse, self->x, self->parameters + one->gain,
        self->parameters + one->bias, count, self->model->spec.width);
}

static void
step_transformer(witan_sequence_stepper *self, float *to, const float *from,
                 const uint32_t *parent, size_t count, size_t position)
{
    const witan_sequence_model *model = self->model;
    const witan_kernels *kernels = self->kernels;
    size_t width = model->spec.width, total = count * width;
    for (size_t i = 0; i < count; i++) {
        kernels->add(self->x + i * width, self->x + i * width,
                     self->parameters + model->position + position * width, width);
    }
    for (size_t i = 0; i < model->spec.layers; i++) {
        size_t first = sequence_product_index(model, i, 0);
        normalise(self, 2 * i, self->normed, count);
        apply(self, first + PRODUCT_QKV, self->gate, self->normed, count);
        attend(self, i, to, from, parent, count, position);
        apply(self, first + PRODUCT_OUT, self->c, self->h, count);
        kernels->add(self->x, self->x, self->c, total);
        normalise(self, 2 * i + 1, self->normed, count);
        apply(self, first + PRODUCT_UP, self->hidden, self->normed, count);
        kernels->gelu_forward(self->hidden, self->hidden, 4 * total);
        apply(self, first + PRODUCT_DOWN, self->c, self->hidden, count);
        kernels->add(self->x, self->x, self->c, total);
    }
    normalise(self, 2 * model->spec.layers, self->normed, count);
    memcpy(self->x, self->normed, total * sizeof(float));
}

void
witan_sequence_step(witan_sequence_stepper *self, float *to, float *z,
                    const float *from, const uint32_t *parent, const uint32_t *tokens,
                    size_t count, size_t position)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width;
    bool transformer = model->spec.cell == WITAN_CELL_TRANSFORMER;
    WITAN_ASSERT(self->parameters != NULL && count >= 1 && count <= self->batch);
    WITAN_ASSERT(from != NULL || position == 0);
    WITAN_ASSERT(!transformer || (to != NULL && position < model->spec.context));
    for (size_t i = 0; i < count; i++) {
        WITAN_ASSERT(tokens[i] < model->vocabulary);
        memcpy(self->x + i * width,
               self->parameters + model->embedding + tokens[i] * width,
               width * sizeof(float));
    }
    if (transformer) {
        step_transformer(self, to, from, parent, count, position);
    } else {
        step_recurrent(self, to, from, parent, count);
    }
    if (z != NULL) {
        apply(self, PRODUCT_HEAD, z, self->x, count);
    }
}
