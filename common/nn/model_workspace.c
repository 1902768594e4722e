/* model_workspace.c - one block of memory per workspace, cut by one function that runs
 * twice: first to measure, then to place. */
#include <stdint.h>

#include "nn/cutter.h"
#include "nn/model_plan.h"

/* What the backward pass of a step needs besides its input and output; per sample. */
static size_t
saved_bytes(const model_step *step)
{
    size_t outputs = shape_size(step->out);
    switch (step->kind) {
    case WITAN_LAYER_CONVOLUTION:
        return step->convolution.pool ? outputs : 0;
    case WITAN_LAYER_MAX_POOL:
        return outputs;
    case WITAN_LAYER_DROPOUT:
        return step->rate > 0 ? outputs * sizeof(float) : 0;
    case WITAN_LAYER_GROUP_NORM:
    case WITAN_LAYER_BATCH_NORM:
        return 2 * step->groups * sizeof(float);
    default:
        return 0;
    }
}

static size_t
scratch_bytes(const model_step *step, const witan_kernels *kernels, size_t batch)
{
    switch (step->kind) {
    case WITAN_LAYER_DENSE:
        return kernels->dense_scratch(shape_size(step->in), shape_size(step->out),
                                      batch);
    case WITAN_LAYER_CONVOLUTION:
        return kernels->convolution_scratch(&step->convolution);
    case WITAN_LAYER_RESIDUAL_END:
        return step->projects ? kernels->convolution_scratch(&step->convolution) : 0;
    case WITAN_LAYER_GROUP_NORM:
    case WITAN_LAYER_BATCH_NORM:
        return witan_normalisation_scratch(step->in.channels) * sizeof(float);
    default:
        return 0;
    }
}

static void
place(witan_workspace *self, const witan_model *model, cutter *block)
{
    size_t widest = 0, scratch = 0, turns = 2;
    self->input = cut(block, self->batch * shape_size(model->input), sizeof(float));
    self->output = cut(block, model->steps, sizeof *self->output);
    self->saved = cut(block, model->steps, sizeof *self->saved);
    self->value = cut(block, model->steps + 1, sizeof *self->value);
    for (size_t i = 0; i < model->steps; i++) {
        const model_step *step = &model->step[i];
        size_t outputs = shape_size(step->out),
               bytes = scratch_bytes(step, self->kernels, self->batch);
        if (self->training) {
            float *output = cut(block, self->batch * outputs, sizeof(float));
            void *saved = cut(block, self->batch, saved_bytes(step));
            if (block->base != NULL) {
                self->output[i] = output;
                self->saved[i] = saved;
            }
            outputs = shape_size(step->in) > outputs ? shape_size(step->in) : outputs;
        } else if (step->kind == WITAN_LAYER_GROUP_NORM) {
            void *saved = cut(block, self->batch, saved_bytes(step));
            if (block->base != NULL) {
                self->saved[i] = saved;
            }
        }
        widest = outputs > widest ? outputs : widest;
        scratch = bytes > scratch ? bytes : scratch;
        turns = step->kind == WITAN_LAYER_RESIDUAL_END ? WORKSPACE_BUFFERS : turns;
    }
    for (size_t i = 0; i < turns; i++) {
        self->turn[i] = cut(block, self->batch * widest, sizeof(float));
    }
    self->scratch = cut(block, scratch, 1);
}

witan_status
witan_workspace_new(witan_workspace **out, const witan_allocator *allocator,
                    const witan_model *model, size_t batch, bool training)
{
    *out = NULL;
    if (batch == 0 || batch > WITAN_BATCH_MAX) {
        return WITAN_E_LIMIT;
    }
    witan_workspace plan = {.allocator = allocator,
                            .kernels = witan_kernels_get(),
                            .batch = batch,
                            .training = training};
    cutter block = {0};
    (void)cut(&block, 1, sizeof plan);
    place(&plan, model, &block);
    plan.bytes = block.used;
    witan_workspace *self = witan_zalloc(allocator, plan.bytes, 1);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    *self = plan;
    block = (cutter){.base = (char *)self};
    (void)cut(&block, 1, sizeof plan);
    place(self, model, &block);
    *out = self;
    return WITAN_OK;
}

void
witan_workspace_free(witan_workspace **self)
{
    if (*self != NULL) {
        witan_free((*self)->allocator, *self);
    }
    *self = NULL;
}

size_t
witan_workspace_bytes(const witan_workspace *self)
{
    return self->bytes;
}

size_t
witan_workspace_batch(const witan_workspace *self)
{
    return self->batch;
}

float *
witan_workspace_input(witan_workspace *self)
{
    return self->input;
}
