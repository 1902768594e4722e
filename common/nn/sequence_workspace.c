/* sequence_workspace.c - one block of memory, cut by functions that run twice: first to
 * measure, then to place. A workspace for prediction lets all layers share buffers. */
#include "nn/cutter.h"
#include "nn/sequence_plan.h"

static size_t
largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static float *
cut_floats(cutter *block, size_t rows, size_t columns)
{
    return cut(block, rows * columns, sizeof(float));
}

/* Parts of one recurrent layer. `turn` tells in which of two h it writes. */
static void
place_recurrent(const witan_sequence_workspace *self, sequence_layer *layer,
                cutter *block)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->windows * self->length;
    layer->gate = cut_floats(block, rows, model->gates * width);
    layer->hidden = layer->gate;
    if (model->spec.cell == WITAN_CELL_GRU) {
        layer->hidden = cut_floats(block, rows, model->gates * width);
    }
    if (model->spec.cell == WITAN_CELL_LSTM) {
        layer->c = cut_floats(block, rows + self->windows, width);
    }
    layer->h = cut_floats(block, rows + self->windows, width);
    if (self->training && model->spec.dropout > 0) {
        layer->mask[0] = cut_floats(block, rows, width);
        layer->out = cut_floats(block, rows, width);
    }
}

static void
place_block(const witan_sequence_workspace *self, sequence_layer *layer, cutter *block)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->windows * self->length;
    for (size_t i = 0; i < 2; i++) {
        layer->x[i] = cut_floats(block, rows, width);
        layer->normed[i] = cut_floats(block, rows, width);
        layer->mean[i] = cut_floats(block, rows, 1);
        layer->inverse[i] = cut_floats(block, rows, 1);
        if (self->training && model->spec.dropout > 0) {
            layer->mask[i] = cut_floats(block, rows, width);
        }
    }
    layer->qkv = cut_floats(block, rows, 3 * width);
    layer->share = cut_floats(block, rows * model->spec.heads, self->length);
    layer->mixed = cut_floats(block, rows, width);
    layer->up = cut_floats(block, rows, 4 * width);
    layer->active = cut_floats(block, rows, 4 * width);
}

static void
place_layers(witan_sequence_workspace *self, cutter *block)
{
    const witan_sequence_model *model = self->model;
    bool transformer = model->spec.cell == WITAN_CELL_TRANSFORMER;
    size_t layers = model->spec.layers, width = model->spec.width;
    size_t rows = self->windows * self->length;
    sequence_layer layer = {0};
    for (size_t i = 0; i < layers; i++) {
        if (self->training || i == 0) {
            layer = (sequence_layer){0};
            if (transformer) {
                place_block(self, &layer, block);
            } else {
                place_recurrent(self, &layer, block);
            }
        } else if (i == 1 && !transformer) { /* reads the first one's h */
            layer.h = cut_floats(block, rows + self->windows, width);
        } else if (!transformer) {
            layer.h = block->base == NULL ? NULL : self->layer[i - 2].h;
        }
        if (block->base != NULL) {
            self->layer[i] = layer;
        }
    }
    float *last = transformer ? cut_floats(block, rows, width) : NULL;
    for (size_t i = 0; transformer && block->base != NULL && i < layers; i++) {
        sequence_layer *one = &self->layer[i];
        one->x[2] = !self->training  ? one->x[0]
                    : i + 1 < layers ? self->layer[i + 1].x[0]
                                     : last;
    }
}

static void
place_products(witan_sequence_workspace *self, cutter *block)
{
    const witan_sequence_model *model = self->model;
    self->packed = cut(block, model->products, sizeof *self->packed);
    self->packed_back = cut(block, model->products, sizeof *self->packed_back);
    for (size_t i = 0; i < model->products; i++) {
        size_t inputs = model->product[i].inputs, outputs = model->product[i].outputs;
        float *forward =
            cut_floats(block, self->kernels->packed_floats(inputs, outputs), 1);
        float *back = NULL;
        if (self->training) {
            back = cut_floats(block, self->kernels->packed_floats(outputs, inputs), 1);
        }
        if (block->base != NULL) {
            self->packed[i] = forward;
            self->packed_back[i] = back;
        }
    }
}

static void
place_gradients(witan_sequence_workspace *self, cutter *block)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->windows * self->length;
    self->dhidden = cut_floats(block, rows, width);
    self->turn[1] = cut_floats(block, rows, width);
    if (model->spec.cell == WITAN_CELL_TRANSFORMER) {
        self->wide[0] = cut_floats(block, rows, 4 * width);
        self->wide[1] = cut_floats(block, rows, 4 * width);
    } else {
        self->dh = cut_floats(block, self->windows, width);
        self->dc = cut_floats(block, self->windows, width);
    }
}

static size_t
scratch_bytes(const witan_sequence_workspace *self)
{
    const witan_sequence_model *model = self->model;
    size_t bytes = 0;
    for (size_t i = 0; self->training && i < model->products; i++) {
        bytes = largest(
            bytes, self->kernels->product_gradient_scratch(model->product[i].inputs));
    }
    if (model->spec.cell == WITAN_CELL_TRANSFORMER) {
        bytes = largest(bytes, self->kernels->attention_scratch(
                                   self->length, model->spec.width, model->spec.heads));
    }
    return bytes;
}

static void
place(witan_sequence_workspace *self, cutter *block)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->windows * self->length;
    self->layer = cut(block, model->spec.layers, sizeof *self->layer);
    place_products(self, block);
    self->token = cut(block, rows, sizeof *self->token);
    self->hidden = cut_floats(block, rows, width);
    self->turn[0] = cut_floats(block, rows, width);
    if (model->spec.cell == WITAN_CELL_TRANSFORMER) {
        self->final_mean = cut_floats(block, rows, 1);
        self->final_inverse = cut_floats(block, rows, 1);
        if (self->training && model->spec.dropout > 0) {
            self->embedded = cut_floats(block, rows, width);
        }
    } else {
        size_t distinct = model->vocabulary < rows ? model->vocabulary : rows;
        self->slot = cut(block, rows, sizeof *self->slot);
        self->distinct = cut(block, distinct, sizeof *self->distinct);
        self->number = cut(block, model->vocabulary, sizeof *self->number);
        self->embedded = cut_floats(block, distinct, width);
        self->table = cut_floats(block, distinct, model->gates * width);
    }
    if (self->training) {
        place_gradients(self, block);
    }
    place_layers(self, block);
    self->scratch = cut(block, scratch_bytes(self), 1);
}

witan_status
witan_sequence_workspace_new(witan_sequence_workspace **out,
                             const witan_allocator *allocator,
                             const witan_sequence_model *model, size_t windows,
                             size_t length, bool training)
{
    *out = NULL;
    if (windows == 0 || windows > WITAN_BATCH_MAX || length == 0 ||
        length > model->spec.context || windows > WITAN_POSITIONS_MAX / length) {
        return WITAN_E_LIMIT;
    }
    witan_sequence_workspace plan = {.allocator = allocator,
                                     .kernels = witan_kernels_get(),
                                     .model = model,
                                     .windows = windows,
                                     .length = length,
                                     .training = training};
    cutter block = {0};
    (void)cut(&block, 1, sizeof plan);
    place(&plan, &block);
    plan.bytes = block.used;
    witan_sequence_workspace *self = witan_zalloc(allocator, plan.bytes, 1);
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
witan_sequence_workspace_free(witan_sequence_workspace **self)
{
    if (*self != NULL) {
        witan_free((*self)->allocator, *self);
    }
    *self = NULL;
}

size_t
witan_sequence_workspace_bytes(const witan_sequence_workspace *self)
{
    return self->bytes;
}
