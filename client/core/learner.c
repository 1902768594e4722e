#include "client/core/learner.h"

#include <math.h>
#include <string.h>

#include "num/softmax.h"

/* Logits of a block of windows: 16 MiB. */
#define BLOCK_FLOATS ((size_t)1 << 22)

static size_t
larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
block_rows(const witan_learning_plan *plan)
{
    if (plan->positions == 1) {
        return plan->predict_batch;
    }
    size_t fit = BLOCK_FLOATS / plan->positions / plan->classes;
    return smaller(plan->predict_batch, larger(fit, 1));
}

witan_status
witan_kit_init(witan_kit *self, const witan_learning_plan *plan,
               const witan_network *network, size_t train_rows,
               const witan_allocator *allocator)
{
    WITAN_ASSERT(plan->positions == network->positions &&
                 plan->classes == network->outputs);
    memset(self, 0, sizeof *self);
    size_t top = network->sequence != NULL ? witan_codec_top(plan->codec) : 0;
    self->block = block_rows(plan);
    WITAN_TRY(witan_network_bench_new(&self->bench, allocator, network,
                                      larger(plan->local_batch, plan->distill_batch),
                                      self->block,
                                      larger(train_rows, plan->transfer.count), top));
    size_t labels = self->block * plan->positions;
    self->rows = witan_alloc(allocator, labels * plan->classes, sizeof *self->rows);
    self->labels = witan_alloc(allocator, labels, sizeof *self->labels);
    bool scored = witan_release_has_scores(&plan->release);
    if (scored) {
        self->scores = witan_alloc(allocator, plan->transfer.count * plan->positions,
                                   sizeof *self->scores);
    }
    if (self->rows == NULL || self->labels == NULL ||
        (scored && self->scores == NULL)) {
        witan_kit_fini(self, allocator);
        return WITAN_E_MEMORY;
    }
    return WITAN_OK;
}

void
witan_kit_fini(witan_kit *self, const witan_allocator *allocator)
{
    witan_network_bench_free(&self->bench);
    witan_free(allocator, self->rows);
    witan_free(allocator, self->labels);
    witan_free(allocator, self->scores);
    memset(self, 0, sizeof *self);
}

/* What the client draws secrets from: its own source, or `random`, which is started. */
static witan_noise_source
secret_source(const witan_client_state *self, const witan_learning_plan *plan,
              uint32_t round, witan_purpose purpose, witan_random *random)
{
    witan_random_init(random, plan->seed, self->id, round, purpose);
    return self->noise != NULL ? *self->noise : witan_noise_source_seeded(random);
}

witan_status
witan_learner_train(witan_client_state *self, const witan_learning_plan *plan,
                    witan_kit *kit, uint32_t round, double *loss)
{
    witan_random order, dropout, random;
    witan_noise_source secret =
        secret_source(self, plan, round, WITAN_PURPOSE_PRIVATE, &random);
    witan_private_options private = {.clip = plan->private_clip,
                                     .noise = plan->private_noise,
                                     .random_bytes = secret.fill,
                                     .context = secret.context};
    const witan_part *part = &self->train;
    witan_random_init(&order, plan->seed, self->id, round, WITAN_PURPOSE_TRAIN);
    witan_random_init(&dropout, plan->seed, self->id, round,
                      WITAN_PURPOSE_DROPOUT_TRAIN);
    double lr = witan_schedule_lr(&plan->optimiser, round, plan->rounds);
    *loss = (double)NAN;
    for (size_t epoch = 0; epoch < plan->local_epochs; epoch++) {
        WITAN_TRY(
            plan->private_clip > 0.0
                ? witan_network_private_epoch(
                      &self->learner, kit->bench, part->rows, part->indices,
                      part->count, plan->local_batch, lr, &private, &dropout, loss)
                : witan_network_epoch(&self->learner, kit->bench, part->rows,
                                      part->indices, part->count, plan->local_batch, lr,
                                      &order, &dropout, loss));
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

/* What is said of `count` soft labels from `first` on, logits z [count, C], in place.
 */
static witan_status
speak(const witan_client_state *self, const witan_learning_plan *plan,
      const witan_kit *kit, float *z, size_t first, size_t count,
      const witan_noise_source *source, const witan_allocator *allocator)
{
    size_t C = plan->classes;
    if (plan->release.on) {
        const double *scores = kit->scores == NULL ? NULL : kit->scores + first;
        return witan_release_rows(self->release, &plan->release, z, scores, first,
                                  count, C, source, allocator);
    }
    if (plan->kind == WITAN_KNOWLEDGE_PROBABILITY) {
        witan_softmax(z, z, plan->extract_temperature, count, C);
    } else {
        log_softmax_rows(z, plan->extract_temperature, count, C);
    }
    return WITAN_OK;
}

static witan_status
extract_rows(witan_client_state *self, const witan_learning_plan *plan, witan_kit *kit,
             const witan_noise_source *source, witan_soft_labels *out,
             const witan_allocator *allocator)
{
    const witan_part *part = &plan->transfer;
    if (kit->scores != NULL) {
        WITAN_TRY(witan_release_scores(self->release, plan, self, kit, kit->scores));
    }
    for (size_t first = 0; first < part->count; first += kit->block) {
        size_t count = smaller(part->count - first, kit->block);
        WITAN_TRY(witan_network_predict(&self->learner, kit->bench, part->rows,
                                        part->indices + first, count, kit->rows));
        WITAN_TRY(speak(self, plan, kit, kit->rows, first * plan->positions,
                        count * plan->positions, source, allocator));
        WITAN_TRY(witan_soft_labels_encode(out, first * plan->positions,
                                           count * plan->positions, kit->rows));
    }
    return WITAN_OK;
}

witan_status
witan_learner_extract(witan_client_state *self, const witan_learning_plan *plan,
                      witan_kit *kit, uint32_t round, witan_soft_labels *out,
                      const witan_allocator *allocator)
{
    witan_random random;
    witan_noise_source source =
        secret_source(self, plan, round, WITAN_PURPOSE_NOISE, &random);
    if (plan->release.on && plan->kind != WITAN_KNOWLEDGE_PROBABILITY) {
        return WITAN_E_CONFIG; /* noise and hard labels may leave a class no mass */
    }
    WITAN_TRY(witan_soft_labels_new(out, allocator, plan->kind, plan->codec,
                                    plan->transfer.count * plan->positions,
                                    plan->classes));
    witan_status status = extract_rows(self, plan, kit, &source, out, allocator);
    if (status != WITAN_OK) {
        witan_soft_labels_fini(out, allocator);
    }
    return status;
}

typedef struct fused_targets {
    const witan_soft_labels *labels;
    size_t positions; /* of a row */
    bool logits;      /* for MSE and MAE */
} fused_targets;

static void
gather_dense(const void *context, const uint32_t *rows, size_t count, float *q)
{
    const fused_targets *self = context;
    size_t values = self->positions * self->labels->classes;
    for (size_t i = 0; i < count; i++) {
        witan_soft_labels_probabilities(self->labels, rows[i] * self->positions,
                                        self->positions, q + i * values);
    }
    for (size_t i = 0; self->logits && i < count * values; i++) {
        q[i] = logf(fmaxf(q[i], WITAN_HEARD_FLOOR));
    }
}

static void
gather_sparse(const void *context, const uint32_t *rows, size_t count, uint32_t *token,
              float *mass)
{
    const fused_targets *self = context;
    size_t values = self->positions * witan_codec_top(self->labels->codec);
    for (size_t i = 0; i < count; i++) {
        witan_soft_labels_top(self->labels, rows[i] * self->positions, self->positions,
                              token + i * values, mass + i * values);
    }
}

witan_status
witan_learner_distill(witan_client_state *self, const witan_learning_plan *plan,
                      witan_kit *kit, uint32_t round, const witan_soft_labels *fused,
                      double *loss)
{
    const witan_part *part = &plan->transfer;
    fused_targets context = {fused, plan->positions,
                             plan->distill_loss != WITAN_DISTILL_KL};
    /* The kit has room for the plan's codec; what came in another one is dense. */
    bool sparse =
        self->learner.network->sequence != NULL && fused->codec == plan->codec;
    witan_network_targets targets = {.dense = gather_dense,
                                     .top = sparse ? witan_codec_top(fused->codec) : 0,
                                     .sparse = gather_sparse,
                                     .context = &context};
    witan_random order, dropout;

    *loss = (double)NAN;
    if (fused->rows != part->count * plan->positions ||
        fused->classes != plan->classes) {
        return WITAN_E_DATA;
    }
    witan_random_init(&order, plan->seed, self->id, round, WITAN_PURPOSE_DISTILL);
    witan_random_init(&dropout, plan->seed, self->id, round,
                      WITAN_PURPOSE_DROPOUT_DISTILL);
    double lr = witan_schedule_lr(&plan->optimiser, round, plan->rounds);
    for (size_t epoch = 0; epoch < plan->distill_epochs; epoch++) {
        WITAN_TRY(witan_network_distill_epoch(
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
    size_t C = plan->classes, P = plan->positions;
    size_t next = 0; /* first position of the subset that is not scored yet */
    witan_score_sum all = {0}, some = {0};
    for (size_t first = 0; first < part->count; first += kit->block) {
        size_t count = smaller(part->count - first, kit->block);
        WITAN_TRY(witan_network_predict(&self->learner, kit->bench, part->rows,
                                        part->indices + first, count, kit->rows));
        witan_network_labels(self->learner.network, part->rows, part->indices + first,
                             count, kit->labels);
        witan_score_add(&all, kit->rows, kit->labels, count * P, C);
        for (; next < subset_count && subset[next] < first + count; next++) {
            size_t row = (subset[next] - first) * P;
            witan_score_add(&some, kit->rows + row * C, kit->labels + row, P, C);
        }
    }
    *score = witan_score_of(&all);
    if (subset_score != NULL) {
        *subset_score = witan_score_of(&some);
    }
    return WITAN_OK;
}
