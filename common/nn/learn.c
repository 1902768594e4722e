/* learn.c - one loop for training and distillation, one for prediction.
 * Both kinds of epoch visit positions 0..count-1 in a drawn order; they differ in where
 * a minibatch's target comes from. */
#include "nn/learn.h"

#include <math.h>
#include <string.h>

#include "nn/finite.h"
#include "nn/row_gradient.h"

struct witan_bench {
    const witan_allocator *allocator; /* borrowed */
    const witan_model *model;         /* borrowed until free */
    witan_workspace *training, *prediction;
    size_t batch, predict_batch, rows;
    float *gradient;    /* [trainable] */
    float *dz;          /* [batch, C] */
    float *target;      /* [batch, C] */
    uint32_t *label;    /* [batch] */
    uint32_t *position; /* [rows] order of the epoch */
    uint32_t *index;    /* [batch] rows of the minibatch */
};

static witan_status
bench_fill(witan_bench *self)
{
    const witan_allocator *allocator = self->allocator;
    size_t classes = witan_model_classes(self->model);

    WITAN_TRY(witan_workspace_new(&self->training, allocator, self->model, self->batch,
                                  true));
    WITAN_TRY(witan_workspace_new(&self->prediction, allocator, self->model,
                                  self->predict_batch, false));
    self->gradient =
        witan_zalloc(allocator, witan_model_trainable(self->model), sizeof(float));
    self->dz = witan_zalloc(allocator, self->batch * classes, sizeof(float));
    self->target = witan_zalloc(allocator, self->batch * classes, sizeof(float));
    self->label = witan_zalloc(allocator, self->batch, sizeof(uint32_t));
    self->position = witan_zalloc(allocator, self->rows, sizeof(uint32_t));
    self->index = witan_zalloc(allocator, self->batch, sizeof(uint32_t));
    if (self->gradient == NULL || self->dz == NULL || self->target == NULL ||
        self->label == NULL || self->position == NULL || self->index == NULL) {
        return WITAN_E_MEMORY;
    }
    return WITAN_OK;
}

witan_status
witan_bench_new(witan_bench **out, const witan_allocator *allocator,
                const witan_model *model, size_t batch, size_t predict_batch,
                size_t rows)
{
    *out = NULL;
    if (batch == 0 || predict_batch == 0) {
        return WITAN_E_INVALID;
    }
    if (batch > WITAN_BATCH_MAX || predict_batch > WITAN_BATCH_MAX ||
        rows > WITAN_SAMPLES_MAX) {
        return WITAN_E_LIMIT;
    }
    witan_bench *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    self->allocator = allocator;
    self->model = model;
    self->batch = batch;
    self->predict_batch = predict_batch;
    self->rows = rows;
    witan_status status = bench_fill(self);
    if (status != WITAN_OK) {
        witan_bench_free(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_bench_free(witan_bench **self)
{
    witan_bench *bench = *self;
    if (bench == NULL) {
        return;
    }
    const witan_allocator *allocator = bench->allocator;
    witan_workspace_free(&bench->training);
    witan_workspace_free(&bench->prediction);
    witan_free(allocator, bench->gradient);
    witan_free(allocator, bench->dz);
    witan_free(allocator, bench->target);
    witan_free(allocator, bench->label);
    witan_free(allocator, bench->position);
    witan_free(allocator, bench->index);
    witan_free(allocator, bench);
    *self = NULL;
}

/* What an epoch learns from: labels of the rows (targets NULL) or soft labels. */
typedef struct lesson {
    const witan_rows *rows;
    const uint32_t *indices; /* [count] */
    size_t count;
    const witan_targets *targets;
    witan_distill_loss loss;
    double temp;
} lesson;

/* Loss and its gradient dz of the gathered minibatch of `n` rows. */
static double
minibatch_loss(const lesson *self, witan_bench *bench, const uint32_t *position,
               const float *z, size_t n)
{
    size_t classes = witan_model_classes(bench->model);
    if (self->targets == NULL) {
        return witan_loss_cross_entropy(bench->dz, z, bench->label, n, classes);
    }
    self->targets->gather(self->targets->context, position, n, bench->target);
    switch (self->loss) {
    case WITAN_DISTILL_KL:
        return witan_loss_kl(bench->dz, z, bench->target, self->temp, n, classes);
    case WITAN_DISTILL_MSE:
        return witan_loss_mse(bench->dz, z, bench->target, n, classes);
    case WITAN_DISTILL_MAE:
        return witan_loss_mae(bench->dz, z, bench->target, n, classes);
    }
    return (double)NAN;
}

/* Gathers the rows bench->index[0..n), which are positions position[0..n) of the
 * lesson; their loss, and its gradient in bench->gradient unless that is not finite. */
static double
minibatch_gradient(const lesson *self, const witan_learner *learner, witan_bench *bench,
                   const uint32_t *position, size_t n, witan_random *dropout)
{
    self->rows->gather(self->rows->context, bench->index, n,
                       witan_workspace_input(bench->training),
                       self->targets == NULL ? bench->label : NULL);
    const float *z = witan_model_forward(bench->model, bench->training,
                                         learner->parameters, n, true, dropout);
    double loss = minibatch_loss(self, bench, position, z, n);
    if (isfinite(loss)) {
        witan_model_backward(bench->model, bench->training, learner->parameters,
                             bench->dz, bench->gradient);
    }
    return loss;
}

double
learn_row_gradient(const witan_learner *self, witan_bench *bench,
                   const witan_rows *rows, uint32_t index, witan_random *dropout,
                   float **gradient)
{
    lesson task = {.rows = rows};
    WITAN_ASSERT(self->model == bench->model);
    bench->index[0] = index;
    *gradient = bench->gradient;
    return minibatch_gradient(&task, self, bench, NULL, 1, dropout);
}

static witan_status
epoch(witan_learner *learner, witan_bench *bench, const lesson *task, size_t batch,
      double lr, witan_random *order, witan_random *dropout, double *mean_loss)
{
    const witan_model *model = bench->model;
    size_t count = task->count;
    double sum = 0.0;

    WITAN_ASSERT(learner->model == model && batch >= 1 && batch <= bench->batch &&
                 count <= bench->rows);
    for (size_t i = 0; i < count; i++) {
        bench->position[i] = (uint32_t)i;
    }
    witan_random_shuffle(order, bench->position, count);
    for (size_t start = 0; start < count; start += batch) {
        size_t n = count - start < batch ? count - start : batch;
        const uint32_t *position = bench->position + start;
        for (size_t i = 0; i < n; i++) {
            bench->index[i] = task->indices[position[i]];
        }
        double loss = minibatch_gradient(task, learner, bench, position, n, dropout);
        if (!isfinite(loss)) {
            return WITAN_E_NUMERIC;
        }
        sum += loss * (double)n;
        witan_optimiser_step(learner->optimiser, lr, learner->parameters,
                             bench->gradient, learner->optimiser_state,
                             &learner->optimiser_step, witan_model_trainable(model));
    }
    /* The last step is seen by no further loss. */
    if (!all_finite(learner->parameters, witan_model_parameters(model))) {
        return WITAN_E_NUMERIC;
    }
    if (mean_loss != NULL) {
        *mean_loss = count == 0 ? 0.0 : sum / (double)count;
    }
    return WITAN_OK;
}

witan_status
witan_learn_epoch(witan_learner *self, witan_bench *bench, const witan_rows *rows,
                  const uint32_t *indices, size_t count, size_t batch, double lr,
                  witan_random *order, witan_random *dropout, double *mean_loss)
{
    lesson task = {.rows = rows, .indices = indices, .count = count};
    return epoch(self, bench, &task, batch, lr, order, dropout, mean_loss);
}

witan_status
witan_learn_distill_epoch(witan_learner *self, witan_bench *bench,
                          const witan_rows *rows, const uint32_t *indices, size_t count,
                          const witan_targets *targets, witan_distill_loss loss,
                          double temp, size_t batch, double lr, witan_random *order,
                          witan_random *dropout, double *mean_loss)
{
    lesson task = {.rows = rows,
                   .indices = indices,
                   .count = count,
                   .targets = targets,
                   .loss = loss,
                   .temp = temp};
    return epoch(self, bench, &task, batch, lr, order, dropout, mean_loss);
}

witan_status
witan_learn_predict(const witan_learner *self, witan_bench *bench,
                    const witan_rows *rows, const uint32_t *indices, size_t count,
                    float *z)
{
    const witan_model *model = bench->model;
    size_t classes = witan_model_classes(model);

    WITAN_ASSERT(self->model == model);
    for (size_t start = 0; start < count; start += bench->predict_batch) {
        size_t n =
            count - start < bench->predict_batch ? count - start : bench->predict_batch;
        float *chunk = z + start * classes;
        rows->gather(rows->context, indices + start, n,
                     witan_workspace_input(bench->prediction), NULL);
        memcpy(chunk,
               witan_model_forward(model, bench->prediction, self->parameters, n, false,
                                   NULL),
               n * classes * sizeof *chunk);
        if (!all_finite(chunk, n * classes)) {
            return WITAN_E_NUMERIC;
        }
    }
    return WITAN_OK;
}
