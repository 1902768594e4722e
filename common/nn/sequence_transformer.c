/* sequence_transformer.c - pre-norm causal transformer over a window, and back.
 * x' = x + out(attention(norm1 x)); x'' = x' + down(gelu(up(norm2 x'))); then a last
 * norm. Rows are by window. */
#include <string.h>

#include "nn/sequence_plan.h"

static void
embed(const witan_sequence_workspace *self, const float *parameters, float *x)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->count * self->steps;
    for (size_t i = 0; i < rows; i++) {
        self->kernels->add(
            x + i * width, parameters + model->embedding + self->token[i] * width,
            parameters + model->position + i % self->steps * width, width);
    }
}

static void
norm_forward(const witan_sequence_workspace *self, const sequence_norm *norm,
             const float *parameters, float *y, float *mean, float *inverse,
             const float *x)
{
    self->kernels->layer_norm_forward(
        y, mean, inverse, x, parameters + norm->gain, parameters + norm->bias,
        self->count * self->steps, self->model->spec.width);
}

/* y = x + branch, dropped when the mask is used. */
static void
join(const witan_sequence_workspace *self, float *y, const float *x, float *branch,
     float *mask, bool drops, witan_random *random)
{
    size_t rows = self->count * self->steps;
    if (drops) {
        sequence_drop(self, mask, branch, rows, random);
    }
    self->kernels->add(y, x, branch, rows * self->model->spec.width);
}

static void
block_forward(const witan_sequence_workspace *self, size_t index,
              const float *parameters, bool drops, witan_random *random)
{
    const witan_sequence_model *model = self->model;
    const witan_kernels *kernels = self->kernels;
    const sequence_product *product =
        &model->product[sequence_product_index(model, index, 0)];
    float **packed = &self->packed[sequence_product_index(model, index, 0)];
    sequence_layer *l = &self->layer[index];
    size_t width = model->spec.width, rows = self->count * self->steps;
    float *branch = self->turn[0];
    norm_forward(self, &model->norm[2 * index], parameters, l->normed[0], l->mean[0],
                 l->inverse[0], l->x[0]);
    sequence_apply(kernels, &product[PRODUCT_QKV], packed[PRODUCT_QKV], parameters,
                   l->qkv, l->normed[0], rows);
    kernels->attention_forward(l->mixed, l->share, l->qkv, self->count, self->steps,
                               width, model->spec.heads, self->scratch);
    sequence_apply(kernels, &product[PRODUCT_OUT], packed[PRODUCT_OUT], parameters,
                   branch, l->mixed, rows);
    join(self, l->x[1], l->x[0], branch, l->mask[0], drops, random);
    norm_forward(self, &model->norm[2 * index + 1], parameters, l->normed[1],
                 l->mean[1], l->inverse[1], l->x[1]);
    sequence_apply(kernels, &product[PRODUCT_UP], packed[PRODUCT_UP], parameters, l->up,
                   l->normed[1], rows);
    kernels->gelu_forward(l->active, l->up, rows * 4 * width);
    sequence_apply(kernels, &product[PRODUCT_DOWN], packed[PRODUCT_DOWN], parameters,
                   branch, l->active, rows);
    join(self, l->x[2], l->x[1], branch, l->mask[1], drops, random);
}

void
sequence_transformer_forward(witan_sequence_workspace *self, const float *parameters,
                             bool drops, witan_random *random)
{
    const witan_sequence_model *model = self->model;
    size_t layers = model->spec.layers;
    embed(self, parameters, self->layer[0].x[0]);
    if (drops) {
        sequence_drop(self, self->embedded, self->layer[0].x[0],
                      self->count * self->steps, random);
    }
    for (size_t i = 0; i < layers; i++) {
        block_forward(self, i, parameters, drops, random);
    }
    norm_forward(self, &model->norm[2 * layers], parameters, self->hidden,
                 self->final_mean, self->final_inverse, self->layer[layers - 1].x[2]);
}

/* --- backward ------------------------------------------------------------------- */

/* The gradient of a branch's output: d, behind its dropout. */
static const float *
branch_gradient(const witan_sequence_workspace *self, const float *d, const float *mask)
{
    if (mask == NULL) {
        return d;
    }
    self->kernels->multiply(self->turn[0], d, mask,
                            self->count * self->steps * self->model->spec.width);
    return self->turn[0];
}

static void
norm_backward(const witan_sequence_workspace *self, const sequence_norm *norm,
              const float *parameters, float *gradient, float *dx, const float *dy,
              const float *x, const float *mean, const float *inverse, bool add_to)
{
    self->kernels->layer_norm_backward(dx, gradient + norm->gain, gradient + norm->bias,
                                       dy, x, mean, inverse, parameters + norm->gain,
                                       add_to, self->count * self->steps,
                                       self->model->spec.width);
}

/* d [rows, D]: gradient of the block's output, then of its input. */
static void
block_backward(const witan_sequence_workspace *self, size_t index,
               const float *parameters, float *gradient, float *d)
{
    const witan_sequence_model *model = self->model;
    const witan_kernels *kernels = self->kernels;
    const sequence_layer *l = &self->layer[index];
    size_t first = sequence_product_index(model, index, 0);
    size_t width = model->spec.width, rows = self->count * self->steps;
    float *wide = self->wide[0], *narrow = self->wide[1];
    const float *branch = branch_gradient(self, d, l->mask[1]);
    sequence_product_backward(self, first + PRODUCT_DOWN, gradient, wide, branch,
                              l->active, rows);
    kernels->gelu_backward(wide, wide, l->up, rows * 4 * width);
    sequence_product_backward(self, first + PRODUCT_UP, gradient, narrow, wide,
                              l->normed[1], rows);
    norm_backward(self, &model->norm[2 * index + 1], parameters, gradient, d, narrow,
                  l->x[1], l->mean[1], l->inverse[1], true);
    branch = branch_gradient(self, d, l->mask[0]);
    sequence_product_backward(self, first + PRODUCT_OUT, gradient, narrow, branch,
                              l->mixed, rows);
    kernels->attention_backward(wide, narrow, l->share, l->qkv, self->count,
                                self->steps, width, model->spec.heads, self->scratch);
    sequence_product_backward(self, first + PRODUCT_QKV, gradient, narrow, wide,
                              l->normed[0], rows);
    norm_backward(self, &model->norm[2 * index], parameters, gradient, d, narrow,
                  l->x[0], l->mean[0], l->inverse[0], true);
}

void
sequence_transformer_backward(witan_sequence_workspace *self, const float *parameters,
                              float *gradient)
{
    const witan_sequence_model *model = self->model;
    size_t layers = model->spec.layers, width = model->spec.width;
    size_t rows = self->count * self->steps;
    float *d = self->turn[1];
    norm_backward(self, &model->norm[2 * layers], parameters, gradient, d,
                  self->dhidden, self->layer[layers - 1].x[2], self->final_mean,
                  self->final_inverse, false);
    for (size_t i = layers; i-- > 0;) {
        block_backward(self, i, parameters, gradient, d);
    }
    const float *all = branch_gradient(self, d, self->embedded);
    memset(gradient + model->position, 0,
           model->spec.context * width * sizeof *gradient);
    for (size_t i = 0; i < rows; i++, all += width) {
        float *token = gradient + model->embedding + self->token[i] * width;
        float *place = gradient + model->position + i % self->steps * width;
        self->kernels->add(token, token, all, width);
        self->kernels->add(place, place, all, width);
    }
}
