/* network.c - hands each call to the kind of model that the network is. */
#include "nn/network.h"

#include <string.h>

#include "nn/network_plan.h"

enum {
    PREDICT_POSITIONS = 4096 /* of windows at once; more is no faster */
};

/* --- the network ---------------------------------------------------------------- */

static witan_status
fail_kind(const witan_model_spec *spec, const witan_input *input, witan_diag *diag)
{
    if (spec->reads_tokens) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "model %s reads text, the data are rows of %zux%zux%zu; use linear, mlp, "
            "lenet, cnn or resnet",
            spec->name, input->shape.height, input->shape.width, input->shape.channels);
    }
    return witan_diag_fail(
        diag, WITAN_E_CONFIG,
        "model %s reads rows of numbers, the data are windows of %zu tokens; use lstm, "
        "gru or transformer",
        spec->name, input->length);
}

static witan_status
init_tokens(witan_network *self, const witan_allocator *allocator,
            const witan_model_spec *spec, const witan_input *input, witan_diag *diag)
{
    witan_sequence_spec sequence = spec->sequence;
    if (sequence.open_context) {
        sequence.context = input->length;
    } else if (sequence.context < input->length) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model %s: its context of %zu tokens is shorter than "
                               "the data's windows of %zu; leave the context out, or "
                               "cut the text into shorter windows",
                               spec->name, sequence.context, input->length);
    }
    return witan_sequence_new(&self->sequence, allocator, &sequence, input->outputs,
                              diag);
}

witan_status
witan_network_init(witan_network *out, const witan_allocator *allocator,
                   const witan_model_spec *spec, const witan_input *input,
                   witan_diag *diag)
{
    *out = (witan_network){.positions = input->length > 0 ? input->length : 1,
                           .outputs = input->outputs};
    if (spec->reads_tokens != (input->length > 0)) {
        return fail_kind(spec, input, diag);
    }
    if (spec->reads_tokens) {
        return init_tokens(out, allocator, spec, input, diag);
    }
    return witan_model_new(&out->model, allocator, spec, input->shape, input->outputs,
                           diag);
}

void
witan_network_fini(witan_network *self)
{
    witan_model_free(&self->model);
    witan_sequence_free(&self->sequence);
}

const char *
witan_network_name(const witan_network *self)
{
    return self->model != NULL ? witan_model_name(self->model)
                               : witan_sequence_spec_of(self->sequence)->name;
}

size_t
witan_network_parameters(const witan_network *self)
{
    return self->model != NULL ? witan_model_parameters(self->model)
                               : witan_sequence_parameters(self->sequence);
}

size_t
witan_network_trainable(const witan_network *self)
{
    return self->model != NULL ? witan_model_trainable(self->model)
                               : witan_sequence_parameters(self->sequence);
}

size_t
witan_network_tensors(const witan_network *self)
{
    return self->model != NULL ? witan_model_tensors(self->model)
                               : witan_sequence_tensors(self->sequence);
}

const witan_tensor_info *
witan_network_tensor(const witan_network *self, size_t index)
{
    return self->model != NULL ? witan_model_tensor(self->model, index)
                               : witan_sequence_tensor(self->sequence, index);
}

double
witan_network_cost(const witan_network *self)
{
    return self->model != NULL
               ? witan_model_cost(self->model)
               : witan_sequence_cost(self->sequence) * (double)self->positions;
}

void
witan_network_fingerprint(const witan_network *self, unsigned char out[32])
{
    if (self->model != NULL) {
        witan_model_fingerprint(self->model, out);
    } else {
        witan_sequence_fingerprint(self->sequence, out);
    }
}

void
witan_network_initialise(const witan_network *self, float *parameters,
                         witan_random *random)
{
    if (self->model != NULL) {
        witan_model_initialise(self->model, parameters, random);
    } else {
        witan_sequence_initialise(self->sequence, parameters, random);
    }
}

/* --- a worker's scratch --------------------------------------------------------- */

static witan_status
bench_fill(witan_network_bench *self, size_t batch, size_t predict_batch, size_t rows,
           size_t top_max)
{
    const witan_network *network = self->network;
    if (network->model != NULL) {
        WITAN_TRY(witan_bench_new(&self->features, self->allocator, network->model,
                                  batch, predict_batch, rows));
    } else {
        size_t most = PREDICT_POSITIONS / network->positions;
        if (predict_batch > most) {
            predict_batch = most > 0 ? most : 1;
        }
        WITAN_TRY(witan_sequence_bench_new(&self->tokens, self->allocator,
                                           network->sequence, network->positions, batch,
                                           predict_batch, rows, top_max));
    }
    self->sum = witan_zalloc(self->allocator, witan_network_trainable(network),
                             sizeof *self->sum);
    return self->sum == NULL ? WITAN_E_MEMORY : WITAN_OK;
}

witan_status
witan_network_bench_new(witan_network_bench **out, const witan_allocator *allocator,
                        const witan_network *network, size_t batch,
                        size_t predict_batch, size_t rows, size_t top_max)
{
    *out = NULL;
    witan_network_bench *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    self->allocator = allocator;
    self->network = network;
    witan_status status = bench_fill(self, batch, predict_batch, rows, top_max);
    if (status != WITAN_OK) {
        witan_network_bench_free(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_network_bench_free(witan_network_bench **self)
{
    witan_network_bench *bench = *self;
    if (bench != NULL) {
        witan_bench_free(&bench->features);
        witan_sequence_bench_free(&bench->tokens);
        witan_free(bench->allocator, bench->sum);
        witan_free(bench->allocator, bench);
    }
    *self = NULL;
}

/* --- epochs and predictions ----------------------------------------------------- */

witan_status
witan_network_epoch(witan_network_learner *self, witan_network_bench *bench,
                    const witan_rows *rows, const uint32_t *indices, size_t count,
                    size_t batch, double lr, witan_random *order, witan_random *dropout,
                    double *mean_loss)
{
    witan_status status;
    WITAN_ASSERT(self->network == bench->network);
    if (self->network->model != NULL) {
        witan_learner learner = network_learner(self);
        status = witan_learn_epoch(&learner, bench->features, rows, indices, count,
                                   batch, lr, order, dropout, mean_loss);
        self->optimiser_step = learner.optimiser_step;
    } else {
        witan_sequence_learner learner = network_token_learner(self);
        witan_token_rows windows = network_token_rows(rows);
        status = witan_sequence_epoch(&learner, bench->tokens, &windows, indices, count,
                                      batch, lr, order, dropout, mean_loss);
        self->optimiser_step = learner.optimiser_step;
    }
    return status;
}

witan_status
witan_network_distill_epoch(witan_network_learner *self, witan_network_bench *bench,
                            const witan_rows *rows, const uint32_t *indices,
                            size_t count, const witan_network_targets *targets,
                            witan_distill_loss loss, double temp, size_t batch,
                            double lr, witan_random *order, witan_random *dropout,
                            double *mean_loss)
{
    witan_status status;
    WITAN_ASSERT(self->network == bench->network);
    if (self->network->model != NULL) {
        witan_learner learner = network_learner(self);
        witan_targets dense = {.gather = targets->dense, .context = targets->context};
        status = witan_learn_distill_epoch(&learner, bench->features, rows, indices,
                                           count, &dense, loss, temp, batch, lr, order,
                                           dropout, mean_loss);
        self->optimiser_step = learner.optimiser_step;
    } else {
        witan_sequence_learner learner = network_token_learner(self);
        witan_token_rows windows = network_token_rows(rows);
        witan_token_targets soft = {.top = targets->top,
                                    .dense = targets->dense,
                                    .sparse = targets->sparse,
                                    .context = targets->context};
        if (loss != WITAN_DISTILL_KL) {
            return WITAN_E_INVALID;
        }
        status = witan_sequence_distill_epoch(&learner, bench->tokens, &windows,
                                              indices, count, &soft, temp, batch, lr,
                                              order, dropout, mean_loss);
        self->optimiser_step = learner.optimiser_step;
    }
    return status;
}

witan_status
witan_network_predict(const witan_network_learner *self, witan_network_bench *bench,
                      const witan_rows *rows, const uint32_t *indices, size_t count,
                      float *z)
{
    WITAN_ASSERT(self->network == bench->network);
    if (self->network->model != NULL) {
        witan_learner learner = network_learner(self);
        return witan_learn_predict(&learner, bench->features, rows, indices, count, z);
    }
    witan_sequence_learner learner = network_token_learner(self);
    witan_token_rows windows = network_token_rows(rows);
    return witan_sequence_predict(&learner, bench->tokens, &windows, indices, count, z);
}

void
witan_network_labels(const witan_network *self, const witan_rows *rows,
                     const uint32_t *indices, size_t count, uint32_t *labels)
{
    uint32_t window[WITAN_CONTEXT_MAX + 1];
    if (self->model != NULL) {
        rows->gather(rows->context, indices, count, NULL, labels);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        rows->windows(rows->context, indices + i, 1, window);
        memcpy(labels + i * self->positions, window + 1,
               self->positions * sizeof *labels);
    }
}
