/* sequence_learn.c - one loop for training and distillation, one for what is read off.
 * The head, its loss and its gradient run over a few windows at a time: their
 * [positions, V] are the largest arrays of a word model. */
#include "nn/sequence_learn.h"

#include <math.h>
#include <string.h>

#include "nn/finite.h"
#include "nn/loss.h"
#include "nn/loss_top.h"
#include "nn/row_gradient.h"
#include "num/softmax.h"

enum {
    CHUNK_POSITIONS = 256 /* at least one window */
};

struct witan_sequence_bench {
    const witan_allocator *allocator;  /* borrowed */
    const witan_sequence_model *model; /* borrowed until free */
    witan_sequence_workspace *workspace, *prediction;
    size_t length, batch, predict_batch, rows, top_max;
    size_t chunk;        /* windows */
    float *gradient;     /* [parameters] */
    float *z, *dz, *q;   /* [chunk, length, V] */
    uint32_t *top_token; /* [chunk, length, top_max] */
    float *top_mass;     /* [chunk, length, top_max] */
    uint32_t *label;     /* [chunk, length] */
    uint32_t *token;     /* [batch or predict_batch, length + 1] */
    uint32_t *position;  /* [rows] order of the epoch */
    uint32_t *index;     /* [batch] windows of the minibatch */
};

static witan_status
bench_fill(witan_sequence_bench *self)
{
    const witan_allocator *allocator = self->allocator;
    size_t positions = self->chunk * self->length;
    size_t logits = positions * witan_sequence_vocabulary(self->model);
    size_t largest =
        self->batch > self->predict_batch ? self->batch : self->predict_batch;

    WITAN_TRY(witan_sequence_workspace_new(&self->workspace, allocator, self->model,
                                           self->batch, self->length, true));
    WITAN_TRY(witan_sequence_workspace_new(&self->prediction, allocator, self->model,
                                           self->predict_batch, self->length, false));
    self->gradient =
        witan_zalloc(allocator, witan_sequence_parameters(self->model), sizeof(float));
    self->z = witan_zalloc(allocator, logits, sizeof(float));
    self->dz = witan_zalloc(allocator, logits, sizeof(float));
    self->q = witan_zalloc(allocator, logits, sizeof(float));
    self->top_token =
        witan_zalloc(allocator, positions * self->top_max, sizeof(uint32_t));
    self->top_mass = witan_zalloc(allocator, positions * self->top_max, sizeof(float));
    self->label = witan_zalloc(allocator, positions, sizeof(uint32_t));
    self->token =
        witan_zalloc(allocator, largest * (self->length + 1), sizeof(uint32_t));
    self->position = witan_zalloc(allocator, self->rows, sizeof(uint32_t));
    self->index = witan_zalloc(allocator, self->batch, sizeof(uint32_t));
    const void *const blocks[] = {
        self->gradient, self->z,     self->dz,    self->q,        self->top_token,
        self->top_mass, self->label, self->token, self->position, self->index};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (blocks[i] == NULL) {
            return WITAN_E_MEMORY;
        }
    }
    return WITAN_OK;
}

witan_status
witan_sequence_bench_new(witan_sequence_bench **out, const witan_allocator *allocator,
                         const witan_sequence_model *model, size_t length, size_t batch,
                         size_t predict_batch, size_t rows, size_t top_max)
{
    *out = NULL;
    if (length == 0 || batch == 0 || predict_batch == 0 ||
        top_max > witan_sequence_vocabulary(model)) {
        return WITAN_E_INVALID;
    }
    if (length > WITAN_CONTEXT_MAX || batch > WITAN_BATCH_MAX ||
        predict_batch > WITAN_BATCH_MAX || rows > WITAN_SAMPLES_MAX) {
        return WITAN_E_LIMIT;
    }
    witan_sequence_bench *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    self->allocator = allocator;
    self->model = model;
    self->length = length;
    self->batch = batch;
    self->predict_batch = predict_batch;
    self->rows = rows;
    self->top_max = top_max;
    self->chunk = CHUNK_POSITIONS / length > 0 ? CHUNK_POSITIONS / length : 1;
    witan_status status = bench_fill(self);
    if (status != WITAN_OK) {
        witan_sequence_bench_free(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_sequence_bench_free(witan_sequence_bench **self)
{
    witan_sequence_bench *bench = *self;
    if (bench == NULL) {
        return;
    }
    const witan_allocator *allocator = bench->allocator;
    witan_sequence_workspace_free(&bench->workspace);
    witan_sequence_workspace_free(&bench->prediction);
    witan_free(allocator, bench->gradient);
    witan_free(allocator, bench->z);
    witan_free(allocator, bench->dz);
    witan_free(allocator, bench->q);
    witan_free(allocator, bench->top_token);
    witan_free(allocator, bench->top_mass);
    witan_free(allocator, bench->label);
    witan_free(allocator, bench->token);
    witan_free(allocator, bench->position);
    witan_free(allocator, bench->index);
    witan_free(allocator, bench);
    *self = NULL;
}

/* What an epoch learns from: the next tokens (targets NULL) or soft labels. */
typedef struct lesson {
    const witan_token_rows *rows;
    const uint32_t *indices; /* [count] */
    size_t count;
    const witan_token_targets *targets;
    double temp;
} lesson;

/* The tokens after those of `windows` windows, to bench->label. */
static void
take_labels(witan_sequence_bench *bench, size_t first, size_t windows)
{
    size_t length = bench->length;
    for (size_t w = 0; w < windows; w++) {
        memcpy(bench->label + w * length, bench->token + (first + w) * (length + 1) + 1,
               length * sizeof *bench->label);
    }
}

/* Loss, mean over the chunk's positions, and dz of the windows first .. first + windows
 * of the minibatch; position [windows]. */
static double
chunk_loss(const lesson *self, witan_sequence_bench *bench, const uint32_t *position,
           size_t first, size_t windows)
{
    size_t rows = windows * bench->length;
    size_t vocabulary = witan_sequence_vocabulary(bench->model);
    const witan_token_targets *targets = self->targets;
    if (targets == NULL) {
        take_labels(bench, first, windows);
        return witan_loss_cross_entropy(bench->dz, bench->z, bench->label, rows,
                                        vocabulary);
    }
    if (targets->top == 0) {
        targets->dense(targets->context, position, windows, bench->q);
        return witan_loss_kl(bench->dz, bench->z, bench->q, self->temp, rows,
                             vocabulary);
    }
    targets->sparse(targets->context, position, windows, bench->top_token,
                    bench->top_mass);
    return witan_loss_kl_top(bench->dz, bench->z, bench->top_token, bench->top_mass,
                             targets->top, self->temp, rows, vocabulary);
}

/* The head of a minibatch of n windows, forward and backward; returns its mean loss. */
static double
head_step(const lesson *self, const witan_sequence_learner *learner,
          witan_sequence_bench *bench, const uint32_t *position, size_t n)
{
    const witan_sequence_model *model = bench->model;
    size_t vocabulary = witan_sequence_vocabulary(model);
    double sum = 0.0;
    for (size_t start = 0; start < n; start += bench->chunk) {
        size_t windows = n - start < bench->chunk ? n - start : bench->chunk;
        size_t first = start * bench->length, rows = windows * bench->length;
        witan_sequence_logits(model, bench->workspace, learner->parameters, bench->z,
                              first, rows);
        double loss = chunk_loss(self, bench, position + start, start, windows);
        double share = (double)windows / (double)n;
        sum += loss * share;
        for (size_t i = 0; windows < n && i < rows * vocabulary; i++) {
            bench->dz[i] *= (float)share;
        }
        witan_sequence_logits_backward(model, bench->workspace, bench->dz,
                                       bench->gradient, first, rows);
    }
    return sum;
}

/* Gathers the windows bench->index[0..n), which are positions position[0..n) of the
 * lesson; their loss per position, and its gradient in bench->gradient unless that is
 * not finite. */
static double
minibatch_gradient(const lesson *self, const witan_sequence_learner *learner,
                   witan_sequence_bench *bench, const uint32_t *position, size_t n,
                   witan_random *dropout)
{
    size_t length = bench->length;
    self->rows->gather(self->rows->context, bench->index, n, bench->token);
    witan_sequence_forward(bench->model, bench->workspace, learner->parameters,
                           bench->token, length + 1, n, length, true, dropout);
    double loss = head_step(self, learner, bench, position, n);
    if (isfinite(loss)) {
        witan_sequence_backward(bench->model, bench->workspace, learner->parameters,
                                bench->gradient);
    }
    return loss;
}

double
sequence_row_gradient(const witan_sequence_learner *self, witan_sequence_bench *bench,
                      const witan_token_rows *rows, uint32_t index,
                      witan_random *dropout, float **gradient)
{
    lesson task = {.rows = rows};
    WITAN_ASSERT(self->model == bench->model);
    bench->index[0] = index;
    *gradient = bench->gradient;
    return minibatch_gradient(&task, self, bench, NULL, 1, dropout);
}

static witan_status
epoch(witan_sequence_learner *learner, witan_sequence_bench *bench, const lesson *task,
      size_t batch, double lr, witan_random *order, witan_random *dropout,
      double *mean_loss)
{
    const witan_sequence_model *model = bench->model;
    size_t count = task->count;
    double sum = 0.0;

    WITAN_ASSERT(learner->model == model && batch >= 1 && batch <= bench->batch &&
                 count <= bench->rows);
    WITAN_ASSERT(task->targets == NULL || task->targets->top <= bench->top_max);
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
                             &learner->optimiser_step,
                             witan_sequence_parameters(model));
    }
    /* The last step is seen by no further loss. */
    if (!all_finite(learner->parameters, witan_sequence_parameters(model))) {
        return WITAN_E_NUMERIC;
    }
    if (mean_loss != NULL) {
        *mean_loss = count == 0 ? 0.0 : sum / (double)count;
    }
    return WITAN_OK;
}

witan_status
witan_sequence_epoch(witan_sequence_learner *self, witan_sequence_bench *bench,
                     const witan_token_rows *rows, const uint32_t *indices,
                     size_t count, size_t batch, double lr, witan_random *order,
                     witan_random *dropout, double *mean_loss)
{
    lesson task = {.rows = rows, .indices = indices, .count = count};
    return epoch(self, bench, &task, batch, lr, order, dropout, mean_loss);
}

witan_status
witan_sequence_distill_epoch(witan_sequence_learner *self, witan_sequence_bench *bench,
                             const witan_token_rows *rows, const uint32_t *indices,
                             size_t count, const witan_token_targets *targets,
                             double temp, size_t batch, double lr, witan_random *order,
                             witan_random *dropout, double *mean_loss)
{
    lesson task = {.rows = rows,
                   .indices = indices,
                   .count = count,
                   .targets = targets,
                   .temp = temp};
    return epoch(self, bench, &task, batch, lr, order, dropout, mean_loss);
}

/* Runs the next windows of indices from `start` on; returns how many. */
static size_t
look_at(const witan_sequence_learner *self, witan_sequence_bench *bench,
        const witan_token_rows *rows, const uint32_t *indices, size_t count,
        size_t start)
{
    size_t n =
        count - start < bench->predict_batch ? count - start : bench->predict_batch;
    WITAN_ASSERT(self->model == bench->model);
    rows->gather(rows->context, indices + start, n, bench->token);
    witan_sequence_forward(bench->model, bench->prediction, self->parameters,
                           bench->token, bench->length + 1, n, bench->length, false,
                           NULL);
    return n;
}

witan_status
witan_sequence_predict(const witan_sequence_learner *self, witan_sequence_bench *bench,
                       const witan_token_rows *rows, const uint32_t *indices,
                       size_t count, float *z)
{
    size_t vocabulary = witan_sequence_vocabulary(bench->model);
    for (size_t start = 0; start < count;) {
        size_t n = look_at(self, bench, rows, indices, count, start);
        size_t positions = n * bench->length;
        float *at = z + start * bench->length * vocabulary;
        witan_sequence_logits(bench->model, bench->prediction, self->parameters, at, 0,
                              positions);
        if (!all_finite(at, positions * vocabulary)) {
            return WITAN_E_NUMERIC;
        }
        start += n;
    }
    return WITAN_OK;
}

/* Adds the loss of a chunk's labels to *sum and what the largest logits hit to *hits.
 */
static void
judge(const witan_sequence_bench *bench, size_t rows, double *sum, size_t *hits)
{
    size_t vocabulary = witan_sequence_vocabulary(bench->model);
    for (size_t i = 0; i < rows; i++) {
        const float *z = bench->z + i * vocabulary;
        size_t best = 0;
        for (size_t v = 1; v < vocabulary; v++) {
            best = z[v] > z[best] ? v : best;
        }
        *sum += witan_log_sum_exp(z, vocabulary) - (double)z[bench->label[i]];
        *hits += best == bench->label[i] ? 1 : 0;
    }
}

witan_status
witan_sequence_evaluate(const witan_sequence_learner *self, witan_sequence_bench *bench,
                        const witan_token_rows *rows, const uint32_t *indices,
                        size_t count, double *mean_loss, double *accuracy)
{
    size_t length = bench->length, hits = 0;
    double sum = 0.0;
    WITAN_ASSERT(count >= 1);
    for (size_t start = 0; start < count;) {
        size_t n = look_at(self, bench, rows, indices, count, start);
        for (size_t done = 0; done < n; done += bench->chunk) {
            size_t windows = n - done < bench->chunk ? n - done : bench->chunk;
            witan_sequence_logits(bench->model, bench->prediction, self->parameters,
                                  bench->z, done * length, windows * length);
            take_labels(bench, done, windows);
            judge(bench, windows * length, &sum, &hits);
        }
        start += n;
    }
    *mean_loss = sum / (double)(count * length);
    *accuracy = (double)hits / (double)(count * length);
    return isfinite(sum) ? WITAN_OK : WITAN_E_NUMERIC;
}
