/* sequence_recurrent.c - LSTM and GRU over a window, and back through time.
 * The input of the first layer is an embedding, so its product is taken once per
 * distinct token of the minibatch and looked up: a character model has some sixty rows
 * there instead of thousands. Rows are by time, so that one step is one product. */
#include <string.h>

#include "nn/sequence_plan.h"

/* Numbers the distinct tokens of the minibatch in order of appearance. */
static void
number_tokens(witan_sequence_workspace *self, size_t rows)
{
    self->distincts = 0;
    for (size_t i = 0; i < rows; i++) {
        uint32_t token = self->token[i];
        if (self->number[token] == 0) {
            self->distinct[self->distincts] = token;
            self->number[token] = (uint32_t)++self->distincts;
        }
        self->slot[i] = self->number[token] - 1;
    }
    for (size_t u = 0; u < self->distincts; u++) {
        self->number[self->distinct[u]] = 0;
    }
}

/* Gates of the first layer before its recurrent product. */
static void
look_up_gates(witan_sequence_workspace *self, const float *parameters, size_t rows)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, gates = model->gates * width;
    size_t input = sequence_product_index(model, 0, PRODUCT_INPUT);
    number_tokens(self, rows);
    for (size_t u = 0; u < self->distincts; u++) {
        memcpy(self->embedded + u * width,
               parameters + model->embedding + self->distinct[u] * width,
               width * sizeof(float));
    }
    sequence_apply(self->kernels, &model->product[input], self->packed[input],
                   parameters, self->table, self->embedded, self->distincts);
    for (size_t i = 0; i < rows; i++) {
        memcpy(self->layer[0].gate + i * gates, self->table + self->slot[i] * gates,
               gates * sizeof(float));
    }
}

/* All steps of one layer whose gates hold the input's part. */
static void
run_layer(const witan_sequence_workspace *self, size_t index, const float *parameters)
{
    const witan_sequence_model *model = self->model;
    const witan_kernels *kernels = self->kernels;
    sequence_layer *layer = &self->layer[index];
    size_t width = model->spec.width, gates = model->gates * width, N = self->count;
    size_t which = sequence_product_index(model, index, PRODUCT_RECURRENT);
    const sequence_product *recurrent = &model->product[which];
    memset(layer->h, 0, N * width * sizeof(float));
    if (layer->c != NULL) {
        memset(layer->c, 0, N * width * sizeof(float));
    }
    for (size_t t = 0; t < self->steps; t++) {
        float *gate = layer->gate + t * N * gates;
        const float *before = layer->h + t * N * width;
        float *h = layer->h + (t + 1) * N * width;
        if (model->spec.cell == WITAN_CELL_LSTM) {
            kernels->product_packed(gate, gates, before, width, self->packed[which],
                                    NULL, true, N, gates, width);
            kernels->lstm_forward(gate, layer->c + (t + 1) * N * width, h,
                                  layer->c + t * N * width, N, width);
        } else {
            float *hidden = layer->hidden + t * N * gates;
            sequence_apply(kernels, recurrent, self->packed[which], parameters, hidden,
                           before, N);
            kernels->gru_forward(gate, hidden, h, before, N, width);
        }
    }
}

/* to [windows, steps, D] = from [steps, windows, D], or back. */
static void
swap_order(float *to, const float *from, size_t outer, size_t inner, size_t width)
{
    for (size_t a = 0; a < outer; a++) {
        for (size_t b = 0; b < inner; b++) {
            memcpy(to + (b * outer + a) * width, from + (a * inner + b) * width,
                   width * sizeof *to);
        }
    }
}

void
sequence_recurrent_forward(witan_sequence_workspace *self, const float *parameters,
                           bool drops, witan_random *random)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->count * self->steps;
    const float *below = NULL;
    look_up_gates(self, parameters, rows);
    for (size_t i = 0; i < model->spec.layers; i++) {
        sequence_layer *layer = &self->layer[i];
        if (i > 0) {
            size_t input = sequence_product_index(model, i, PRODUCT_INPUT);
            sequence_apply(self->kernels, &model->product[input], self->packed[input],
                           parameters, layer->gate, below, rows);
        }
        run_layer(self, i, parameters);
        float *shown = layer->h + self->count * width;
        if (drops) {
            memcpy(layer->out, shown, rows * width * sizeof(float));
            sequence_drop(self, layer->mask[0], layer->out, rows, random);
            shown = layer->out;
        }
        below = shown;
    }
    swap_order(self->hidden, below, self->steps, self->count, width);
}

/* --- backward ------------------------------------------------------------------- */

/* Turns a layer's gates into their gradients, last step first; d [rows, D] is that of
 * its output. */
static void
return_through_time(const witan_sequence_workspace *self, size_t index, const float *d)
{
    const witan_sequence_model *model = self->model;
    const witan_kernels *kernels = self->kernels;
    sequence_layer *layer = &self->layer[index];
    size_t width = model->spec.width, gates = model->gates * width, N = self->count;
    size_t which = sequence_product_index(model, index, PRODUCT_RECURRENT);
    bool lstm = model->spec.cell == WITAN_CELL_LSTM;
    memset(self->dh, 0, N * width * sizeof(float));
    memset(self->dc, 0, N * width * sizeof(float));
    for (size_t t = self->steps; t-- > 0;) {
        float *gate = layer->gate + t * N * gates;
        float *hidden = layer->hidden + t * N * gates;
        const float *d_t = d + t * N * width;
        if (lstm) {
            kernels->lstm_backward(gate, self->dc, d_t, self->dh,
                                   layer->c + (t + 1) * N * width,
                                   layer->c + t * N * width, N, width);
        } else {
            kernels->gru_backward(gate, hidden, self->dh, d_t, self->dh,
                                  layer->h + t * N * width, N, width);
        }
        if (t > 0) {
            kernels->product_packed(self->dh, width, hidden, gates,
                                    self->packed_back[which], NULL, !lstm, N, width,
                                    gates);
        }
    }
}

/* Gradients of the embedding and of the first layer's input product. */
static void
look_up_backward(const witan_sequence_workspace *self, float *gradient, size_t rows)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, gates = model->gates * width;
    float *d_embedded = self->turn[0];
    memset(self->table, 0, self->distincts * gates * sizeof(float));
    for (size_t i = 0; i < rows; i++) {
        float *sum = self->table + self->slot[i] * gates;
        self->kernels->add(sum, sum, self->layer[0].gate + i * gates, gates);
    }
    sequence_product_backward(self, sequence_product_index(model, 0, PRODUCT_INPUT),
                              gradient, d_embedded, self->table, self->embedded,
                              self->distincts);
    for (size_t u = 0; u < self->distincts; u++) {
        memcpy(gradient + model->embedding + self->distinct[u] * width,
               d_embedded + u * width, width * sizeof(float));
    }
}

void
sequence_recurrent_backward(witan_sequence_workspace *self, const float *parameters,
                            float *gradient)
{
    const witan_sequence_model *model = self->model;
    size_t width = model->spec.width, rows = self->count * self->steps;
    float *d = self->turn[0], *d_below = self->turn[1];
    (void)parameters; /* packed by the forward pass */
    swap_order(d, self->dhidden, self->count, self->steps, width);
    for (size_t i = model->spec.layers; i-- > 0;) {
        const sequence_layer *layer = &self->layer[i];
        if (layer->mask[0] != NULL) {
            self->kernels->multiply(d, d, layer->mask[0], rows * width);
        }
        return_through_time(self, i, d);
        sequence_product_backward(self,
                                  sequence_product_index(model, i, PRODUCT_RECURRENT),
                                  gradient, NULL, layer->hidden, layer->h, rows);
        if (i > 0) {
            const sequence_layer *below = &self->layer[i - 1];
            const float *x =
                below->out != NULL ? below->out : below->h + self->count * width;
            sequence_product_backward(self,
                                      sequence_product_index(model, i, PRODUCT_INPUT),
                                      gradient, d_below, layer->gate, x, rows);
            float *kept = d;
            d = d_below;
            d_below = kept;
        }
    }
    look_up_backward(self, gradient, rows);
}
