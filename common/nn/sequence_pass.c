/* sequence_pass.c - what the passes of all token models share: packing, the head. */
#include <string.h>

#include "nn/dropout.h"
#include "nn/sequence_plan.h"

void
sequence_product_backward(const witan_sequence_workspace *self, size_t product,
                          float *gradient, float *dx, const float *dy, const float *x,
                          size_t rows)
{
    const sequence_product *p = &self->model->product[product];
    self->kernels->product_gradient(gradient + p->weight, p->inputs, dy, p->outputs, x,
                                    p->inputs, false, p->outputs, p->inputs, rows,
                                    self->scratch);
    if (p->bias != SEQUENCE_NO_BIAS) {
        self->kernels->add_columns(gradient + p->bias, dy, false, rows, p->outputs);
    }
    if (dx != NULL) {
        self->kernels->product_packed(dx, p->inputs, dy, p->outputs,
                                      self->packed_back[product], NULL, false, rows,
                                      p->inputs, p->outputs);
    }
}

void
sequence_drop(const witan_sequence_workspace *self, float *mask, float *x, size_t rows,
              witan_random *random)
{
    size_t count = rows * self->model->spec.width;
    draw_mask(mask, self->model->spec.dropout, count, random);
    self->kernels->multiply(x, x, mask, count);
}

static void
pack_products(const witan_sequence_workspace *self, const float *parameters,
              bool training)
{
    for (size_t i = 0; i < self->model->products; i++) {
        const sequence_product *p = &self->model->product[i];
        const float *w = parameters + p->weight;
        self->kernels->pack(self->packed[i], w, p->inputs, true, p->inputs, p->outputs);
        if (training) {
            self->kernels->pack(self->packed_back[i], w, p->inputs, false, p->outputs,
                                p->inputs);
        }
    }
}

void
witan_sequence_forward(const witan_sequence_model *self,
                       witan_sequence_workspace *workspace, const float *parameters,
                       const uint32_t *tokens, size_t stride, size_t windows,
                       size_t length, bool training, witan_random *random)
{
    bool transformer = self->spec.cell == WITAN_CELL_TRANSFORMER;
    bool drops = training && self->spec.dropout > 0;
    WITAN_ASSERT(workspace->model == self && windows >= 1 && length >= 1);
    WITAN_ASSERT(windows <= workspace->windows && length <= workspace->length);
    WITAN_ASSERT(workspace->training || !training);
    WITAN_ASSERT(random != NULL || !drops);
    workspace->count = windows;
    workspace->steps = length;
    workspace->differentiable = training;
    for (size_t w = 0; w < windows; w++) {
        for (size_t t = 0; t < length; t++) {
            uint32_t token = tokens[w * stride + t];
            WITAN_ASSERT(token < self->vocabulary);
            workspace->token[transformer ? w * length + t : t * windows + w] = token;
        }
    }
    pack_products(workspace, parameters, training);
    if (transformer) {
        sequence_transformer_forward(workspace, parameters, drops, random);
    } else {
        sequence_recurrent_forward(workspace, parameters, drops, random);
    }
}

void
witan_sequence_logits(const witan_sequence_model *self,
                      witan_sequence_workspace *workspace, const float *parameters,
                      float *z, size_t first, size_t rows)
{
    WITAN_ASSERT(first + rows <= workspace->count * workspace->steps);
    sequence_apply(workspace->kernels, &self->product[PRODUCT_HEAD],
                   workspace->packed[PRODUCT_HEAD], parameters, z,
                   workspace->hidden + first * self->spec.width, rows);
}

void
witan_sequence_logits_backward(const witan_sequence_model *self,
                               witan_sequence_workspace *workspace, const float *dz,
                               float *gradient, size_t first, size_t rows)
{
    const sequence_product *head = &self->product[PRODUCT_HEAD];
    const witan_kernels *kernels = workspace->kernels;
    size_t width = self->spec.width;
    WITAN_ASSERT(workspace->differentiable &&
                 first + rows <= workspace->count * workspace->steps);
    kernels->product_gradient(gradient + head->weight, width, dz, self->vocabulary,
                              workspace->hidden + first * width, width, first > 0,
                              self->vocabulary, width, rows, workspace->scratch);
    kernels->add_columns(gradient + head->bias, dz, first > 0, rows, self->vocabulary);
    kernels->product_packed(workspace->dhidden + first * width, width, dz,
                            self->vocabulary, workspace->packed_back[PRODUCT_HEAD],
                            NULL, false, rows, width, self->vocabulary);
}

void
witan_sequence_backward(const witan_sequence_model *self,
                        witan_sequence_workspace *workspace, const float *parameters,
                        float *gradient)
{
    WITAN_ASSERT(workspace->differentiable);
    memset(gradient + self->embedding, 0,
           self->vocabulary * self->spec.width * sizeof *gradient);
    if (self->spec.cell == WITAN_CELL_TRANSFORMER) {
        sequence_transformer_backward(workspace, parameters, gradient);
    } else {
        sequence_recurrent_backward(workspace, parameters, gradient);
    }
}
