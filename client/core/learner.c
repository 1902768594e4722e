#include "client/core/learner.h"

#include <math.h>
#include <string.h>

#include "num/softmax.h"

static size_t
larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

witan_status
witan_kit_init(witan_kit *self, const witan_learning_plan *plan,
               const witan_model *model, size_t train_rows,
               const witan_allocator *allocator)
{
    memset(self, 0, sizeof *self);
    size_t rows = larger(plan->transfer.count, plan->predict_batch);
    WITAN_TRY(witan_bench_new(
        &self->bench, allocator, model, larger(plan->local_batch, plan->distill_batch),
        plan->predict_batch, larger(train_rows, plan->transfer.count)));
    self->rows = witan_alloc(allocator, rows * plan->classes, sizeof *self->rows);
    self->labels = witan_alloc(allocator, plan->predict_batch, sizeof *self->labels);
    if (self->rows == NULL || self->labels == NULL) {
        witan_kit_fini(self, allocator);
        return WITAN_E_MEMORY;
    }
    return WITAN_OK;
}

void
witan_kit_fini(witan_kit *self, const witan_allocator *allocator)
{
    witan_bench_free(&self->bench);
    witan_free(allocator, self->rows);
    witan_free(allocator, self->labels);
    memset(self, 0, sizeof *self);
}

witan_status
witan_learner_train(witan_client_state *self, const witan_learning_plan *plan,
                    witan_kit *kit, uint32_t round, double *loss)
{
    witan_random order, dropout;
    witan_random_init(&order, plan->seed, self->id, round, WITAN_PURPOSE_TRAIN);
    witan_random_init(&dropout, plan->seed, self->id, round,
                      WITAN_PURPOSE_DROPOUT_TRAIN);
    double lr = witan_schedule_lr(&plan->optimiser, round, plan->rounds);
    *loss = (double)NAN;
    for (size_t epoch = 0; epoch < plan->local_epochs; epoch++) {
        WITAN_TRY(witan_learn_epoch(&self->learner, kit->bench, self->train.rows,
                                    self->train.indices, self->train.count,
                                    plan->local_batch, lr, &order, &dropout, loss));
    }
    return WITAN_OK;
}

/* Logits [rows, C] -> log softmax(z / temp), in place, each row from doubles. */
static void
log_softmax_rows(float *z, double temp, size_t rows, size_t C)
{
    for (size_t i = 0; i < rows; i++) {
        float *row = z + i * C;
        for (size_t c = 0; c < C; c++) {
            row[c] = (float)((double)row[c] / temp);
        }
        double log_sum = witan_log_sum_exp(row, C);
        for (size_t c = 0; c < C; c++) {
            double value = (double)row[c] - log_sum;
            row[c] = (float)(value < 0.0 ? value : 0.0);
        }
    }
}

witan_status
witan_learner_extract(witan_client_state *self, const witan_learning_plan *plan,
                      witan_kit *kit, witan_soft_labels *out,
                      const witan_allocator *allocator)
{
    const witan_part *part = &plan->transfer;
    size_t C = plan->classes;
    WITAN_TRY(
        witan_soft_labels_new(out, allocator, plan->kind, plan->codec, part->count, C));
    witan_status status = witan_learn_predict(&self->learner, kit->bench, part->rows,
                                              part->indices, part->count, kit->rows);
    if (status != WITAN_OK) {
        witan_soft_labels_fini(out, allocator);
        return status;
    }
    if (plan->kind == WITAN_KNOWLEDGE_PROBABILITY) {
        witan_softmax(kit->rows, kit->rows, plan->extract_temperature, part->count, C);
    } else {
        log_softmax_rows(kit->rows, plan->extract_temperature, part->count, C);
    }
    status = witan_soft_labels_encode(out, 0, part->count, kit->rows);
    if (status != WITAN_OK) {
        witan_soft_labels_fini(out, allocator);
    }
    return status;
}

typedef struct target_rows {
    const float *rows;
    size_t classes;
} target_rows;

static void
gather_targets(const void *context, const uint32_t *positions, size_t count, float *q)
{
    const target_rows *targets = context;
    size_t C = targets->classes;
    for (size_t i = 0; i < count; i++) {
        memcpy(q + i * C, targets->rows + positions[i] * C, C * sizeof *q);
    }
}

witan_status
witan_learner_distill(witan_client_state *self, const witan_learning_plan *plan,
                      witan_kit *kit, uint32_t round, const witan_soft_labels *fused,
                      double *loss)
{
    /* The least probability that u16 can tell from 0, halved: a floor for logarithms.
     */
    const float floor_probability = 0.5f / 65535.0f;
    const witan_part *part = &plan->transfer;
    target_rows context = {kit->rows, plan->classes};
    witan_targets targets = {gather_targets, &context};
    witan_random order, dropout;

    *loss = (double)NAN;
    if (fused->rows != part->count || fused->classes != plan->classes) {
        return WITAN_E_DATA;
    }
    witan_random_init(&order, plan->seed, self->id, round, WITAN_PURPOSE_DISTILL);
    witan_random_init(&dropout, plan->seed, self->id, round,
                      WITAN_PURPOSE_DROPOUT_DISTILL);
    double lr = witan_schedule_lr(&plan->optimiser, round, plan->rounds);
    witan_soft_labels_probabilities(fused, 0, fused->rows, kit->rows);
    if (plan->distill_loss != WITAN_DISTILL_KL) {
        for (size_t i = 0; i < part->count * plan->classes; i++) {
            kit->rows[i] = logf(fmaxf(kit->rows[i], floor_probability));
        }
    }
    for (size_t epoch = 0; epoch < plan->distill_epochs; epoch++) {
        WITAN_TRY(witan_learn_distill_epoch(
            &self->learner, kit->bench, part->rows, part->indices, part->count,
            &targets, plan->distill_loss, plan->distill_temperature,
            plan->distill_batch, lr, &order, &dropout, loss));
    }
    return WITAN_OK;
}

witan_status
witan_learner_evaluate(const witan_client_state *self, const witan_learning_plan *plan,
                       witan_kit *kit, const witan_part *part, witan_score *score,
                       const uint32_t *subset, size_t subset_count,
                       witan_score *subset_score)
{
    size_t C = plan->classes;
    size_t next = 0; /* first position of the subset that is not scored yet */
    witan_score_sum all = {0}, some = {0};
    for (size_t first = 0; first < part->count; first += plan->predict_batch) {
        size_t left = part->count - first;
        size_t count = left < plan->predict_batch ? left : plan->predict_batch;
        WITAN_TRY(witan_learn_predict(&self->learner, kit->bench, part->rows,
                                      part->indices + first, count, kit->rows));
        part->rows->gather(part->rows->context, part->indices + first, count, NULL,
                           kit->labels);
        witan_score_add(&all, kit->rows, kit->labels, count, C);
        for (; next < subset_count && subset[next] < first + count; next++) {
            size_t row = subset[next] - first;
            witan_score_add(&some, kit->rows + row * C, kit->labels + row, 1, C);
        }
    }
    *score = witan_score_of(&all);
    if (subset_score != NULL) {
        *subset_score = witan_score_of(&some);
    }
    return WITAN_OK;
}
