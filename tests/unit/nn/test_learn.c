/* test_learn.c - epochs of training and distillation, prediction, and parity with
 * PyTorch over 20 minibatches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/learn.h"
#include "support/witan_test.h"

enum {
    FEATURES = 6,
    ROWS = 300,
    CLASSES_MAX = 3
};

/* Rows in memory; counts visits and remembers the last row gathered at each place. */
typedef struct table {
    float x[ROWS * FEATURES];
    uint32_t label[ROWS];
    float target[ROWS * CLASSES_MAX];
    size_t classes;
    size_t visits[ROWS];
    uint32_t seen[ROWS], seen_position[ROWS];
    size_t rows_seen, positions_seen;
} table;

/* The rows' context is const for nn; the test's own counters are reached through this.
 */
typedef struct view {
    table *table;
} view;

static void
gather_rows(const void *context, const uint32_t *indices, size_t count, float *x,
            uint32_t *labels)
{
    const view *self = context;
    table *t = self->table;
    for (size_t i = 0; i < count; i++) {
        memcpy(x + i * FEATURES, t->x + (size_t)indices[i] * FEATURES,
               FEATURES * sizeof *x);
        if (labels != NULL) {
            labels[i] = t->label[indices[i]];
        }
        t->visits[indices[i]]++;
        if (t->rows_seen < ROWS) {
            t->seen[t->rows_seen++] = indices[i];
        }
    }
}

static void
gather_targets(const void *context, const uint32_t *positions, size_t count, float *q)
{
    const view *self = context;
    table *t = self->table;
    for (size_t i = 0; i < count; i++) {
        memcpy(q + i * t->classes, t->target + (size_t)positions[i] * t->classes,
               t->classes * sizeof *q);
        if (t->positions_seen < ROWS) {
            t->seen_position[t->positions_seen++] = positions[i];
        }
    }
}

static table shared;
static const view the_view = {&shared};
static const witan_rows rows = {.gather = gather_rows, .context = &the_view};
static const witan_targets targets = {gather_targets, &the_view};
static uint32_t all_rows[ROWS];

/* Two Gaussian classes, their means 4 standard deviations apart along the diagonal. */
static void
fill_table(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(11), 0, 0, WITAN_PURPOSE_TEST);
    memset(&shared, 0, sizeof shared);
    shared.classes = 2;
    for (size_t i = 0; i < ROWS; i++) {
        shared.label[i] = witan_random_below(&random, 2);
        all_rows[i] = (uint32_t)i;
        for (size_t k = 0; k < FEATURES; k++) {
            double mean = shared.label[i] == 1 ? 0.8 : -0.8;
            shared.x[i * FEATURES + k] = (float)(mean + witan_random_normal(&random));
        }
    }
}

static const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                            .lr = 0.01,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon_adam = 1e-8};
static const witan_optimiser_config sgd = {
    .kind = WITAN_OPTIMISER_SGD, .lr = 0.1, .momentum = 0.9};

/* A model, a bench and one learner with its blocks. */
typedef struct rig {
    witan_model *model;
    witan_bench *bench;
    witan_learner learner;
} rig;

static void
rig_open_spec(rig *self, const witan_model_spec *spec,
              const witan_optimiser_config *optimiser, size_t classes, size_t batch,
              size_t predict_batch, uint32_t client)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_shape input = {1, 1, FEATURES};
    witan_random random;
    memset(self, 0, sizeof *self);
    CHECK_STATUS(witan_model_new(&self->model, heap, spec, input, classes, NULL),
                 WITAN_OK);
    CHECK_STATUS(
        witan_bench_new(&self->bench, heap, self->model, batch, predict_batch, ROWS),
        WITAN_OK);
    size_t trainable = witan_model_trainable(self->model);
    self->learner.model = self->model;
    self->learner.optimiser = optimiser;
    self->learner.parameters =
        witan_zalloc(heap, witan_model_parameters(self->model), sizeof(float));
    self->learner.optimiser_state =
        witan_zalloc(heap, witan_optimiser_slots(optimiser) * trainable, sizeof(float));
    witan_random_init(&random, 5, client, 0, WITAN_PURPOSE_INITIALISE);
    witan_model_initialise(self->model, self->learner.parameters, &random);
}

static void
rig_open(rig *self, const char *name, const witan_optimiser_config *optimiser,
         size_t batch, size_t predict_batch, uint32_t client)
{
    witan_model_spec spec;
    CHECK_STATUS(witan_zoo_parse(&spec, name, NULL), WITAN_OK);
    rig_open_spec(self, &spec, optimiser, shared.classes, batch, predict_batch, client);
}

static void
rig_close(rig *self)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_free(heap, self->learner.parameters);
    witan_free(heap, self->learner.optimiser_state);
    witan_bench_free(&self->bench);
    witan_model_free(&self->model);
    CHECK(self->bench == NULL);
}

static witan_status
train(rig *self, size_t epochs, size_t batch, double lr, uint64_t seed,
      double *mean_loss)
{
    witan_random order, dropout;
    witan_random_init(&order, seed, 0, 0, WITAN_PURPOSE_TRAIN);
    witan_random_init(&dropout, seed, 0, 0, WITAN_PURPOSE_DROPOUT_TRAIN);
    for (size_t e = 0; e < epochs; e++) {
        WITAN_TRY(witan_learn_epoch(&self->learner, self->bench, &rows, all_rows, ROWS,
                                    batch, lr, &order, &dropout, mean_loss));
    }
    return WITAN_OK;
}

static size_t
arg_max(const float *z, size_t classes)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++) {
        best = z[c] > z[best] ? c : best;
    }
    return best;
}

static void
learns_a_separable_problem(void)
{
    rig r;
    double first = 0.0, last = 0.0;
    float z[ROWS * 2];
    size_t right = 0;

    fill_table();
    rig_open(&r, "mlp(16)", &adam, 32, 64, 0);
    CHECK_STATUS(train(&r, 1, 32, adam.lr, 1, &first), WITAN_OK);
    CHECK_STATUS(train(&r, 15, 32, adam.lr, 2, &last), WITAN_OK);
    CHECK(last < 0.5 * first && last > 0.0);
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, z),
                 WITAN_OK);
    for (size_t i = 0; i < ROWS; i++) {
        right += arg_max(z + i * 2, 2) == shared.label[i];
    }
    CHECK(right > ROWS * 95 / 100);
    CHECK(r.learner.optimiser_step == 16 * 10);
    rig_close(&r);
}

/* A student of other initial weights comes to agree with its teacher. */
static void
distils_from_a_teacher(void)
{
    const witan_distill_loss losses[] = {WITAN_DISTILL_KL, WITAN_DISTILL_MSE,
                                         WITAN_DISTILL_MAE};
    float z[ROWS * 2], student[ROWS * 2];
    rig teacher;

    fill_table();
    rig_open(&teacher, "mlp(16)", &adam, 32, 64, 0);
    CHECK_STATUS(train(&teacher, 4, 32, adam.lr, 1, NULL), WITAN_OK);
    CHECK_STATUS(
        witan_learn_predict(&teacher.learner, teacher.bench, &rows, all_rows, ROWS, z),
        WITAN_OK);
    for (size_t l = 0; l < 3; l++) {
        rig r;
        witan_random order;
        double first = 0.0, last = 0.0;
        size_t agree = 0;
        for (size_t i = 0; i < ROWS; i++) {
            float gap = z[2 * i + 1] - z[2 * i];
            shared.target[2 * i] = l == 0 ? 1.0f / (1.0f + expf(gap)) : z[2 * i];
            shared.target[2 * i + 1] =
                l == 0 ? 1.0f / (1.0f + expf(-gap)) : z[2 * i + 1];
        }
        rig_open(&r, "mlp(8)", &adam, 32, 64, 1);
        witan_random_init(&order, 3, 0, 0, WITAN_PURPOSE_DISTILL);
        for (size_t e = 0; e < 25; e++) {
            CHECK_STATUS(witan_learn_distill_epoch(&r.learner, r.bench, &rows, all_rows,
                                                   ROWS, &targets, losses[l], 2.0, 32,
                                                   adam.lr, &order, NULL,
                                                   e == 0 ? &first : &last),
                         WITAN_OK);
        }
        CHECK(last < 0.3 * first);
        CHECK_STATUS(
            witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, student),
            WITAN_OK);
        for (size_t i = 0; i < ROWS; i++) {
            agree += arg_max(z + i * 2, 2) == arg_max(student + i * 2, 2);
        }
        CHECK(agree > ROWS * 97 / 100);
        rig_close(&r);
    }
    rig_close(&teacher);
}

static void
visits_every_row_once_in_a_drawn_order(void)
{
    rig r;
    uint32_t chosen[50];
    size_t moved = 0;
    witan_random order;

    fill_table();
    rig_open(&r, "linear", &sgd, 8, 64, 0);
    for (size_t i = 0; i < 50; i++) {
        chosen[i] = (uint32_t)(299 - 5 * i);
    }
    witan_random_init(&order, 3, 0, 0, WITAN_PURPOSE_TRAIN);
    CHECK_STATUS(witan_learn_epoch(&r.learner, r.bench, &rows, chosen, 50, 8, 0.1,
                                   &order, NULL, NULL),
                 WITAN_OK);
    CHECK(r.learner.optimiser_step == 7);
    CHECK(shared.rows_seen == 50);
    for (size_t i = 0; i < 50; i++) {
        CHECK(shared.visits[chosen[i]] == 1);
        moved += shared.seen[i] != chosen[i];
    }
    CHECK(moved > 40);

    /* Distillation: the target's position and the row's index belong together. */
    for (size_t i = 0; i < ROWS * 2; i++) {
        shared.target[i] = 0.5f;
    }
    shared.rows_seen = 0;
    CHECK_STATUS(witan_learn_distill_epoch(&r.learner, r.bench, &rows, chosen, 50,
                                           &targets, WITAN_DISTILL_KL, 1.0, 8, 0.1,
                                           &order, NULL, NULL),
                 WITAN_OK);
    CHECK(shared.positions_seen == 50);
    for (size_t i = 0; i < 50; i++) {
        CHECK(shared.seen[i] == chosen[shared.seen_position[i]]);
        CHECK(shared.visits[chosen[i]] == 2);
    }
    rig_close(&r);
}

static void
short_last_minibatch_counts_by_rows(void)
{
    rig r;
    double by_7 = 0.0, by_300 = 0.0;
    fill_table();
    rig_open(&r, "mlp(8)", &sgd, ROWS, 64, 0);
    CHECK_STATUS(train(&r, 1, 7, 0.0, 1, &by_7), WITAN_OK);
    CHECK(r.learner.optimiser_step == 43);
    CHECK_STATUS(train(&r, 1, ROWS, 0.0, 1, &by_300), WITAN_OK);
    CHECK(r.learner.optimiser_step == 44);
    CHECK_NEAR(by_7, by_300, 0.0, 1e-6);
    rig_close(&r);
}

/* With a step size of 0 an epoch's mean loss is the loss of the predicted logits. */
static void
distillation_reports_the_loss_asked_for(void)
{
    rig r;
    static float z[ROWS * 2], dz[ROWS * 2], q[ROWS * 2];
    witan_random order;
    double expected[3];

    fill_table();
    rig_open(&r, "mlp(8)", &sgd, 32, 64, 0);
    for (size_t i = 0; i < ROWS * 2; i++) {
        shared.target[i] = 0.1f + 0.8f * (float)(i % 5 / 4);
    }
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, z),
                 WITAN_OK);
    memcpy(q, shared.target, sizeof q);
    expected[WITAN_DISTILL_MSE] = witan_loss_mse(dz, z, q, ROWS, 2);
    expected[WITAN_DISTILL_MAE] = witan_loss_mae(dz, z, q, ROWS, 2);
    expected[WITAN_DISTILL_KL] = witan_loss_kl(dz, z, q, 3.0, ROWS, 2);
    witan_random_init(&order, 3, 0, 0, WITAN_PURPOSE_DISTILL);
    for (witan_distill_loss l = WITAN_DISTILL_KL; l <= WITAN_DISTILL_MAE; l++) {
        double loss = 0.0;
        CHECK_STATUS(witan_learn_distill_epoch(&r.learner, r.bench, &rows, all_rows,
                                               ROWS, &targets, l, 3.0, 32, 0.0, &order,
                                               NULL, &loss),
                     WITAN_OK);
        CHECK_NEAR(loss, expected[l], 0.0, 1e-5);
    }
    rig_close(&r);
}

static void
no_rows_change_nothing(void)
{
    rig r;
    double loss = 7.0;
    witan_random order;
    fill_table();
    rig_open(&r, "linear", &sgd, 8, 64, 0);
    witan_random_init(&order, 3, 0, 0, WITAN_PURPOSE_TRAIN);
    CHECK_STATUS(witan_learn_epoch(&r.learner, r.bench, &rows, all_rows, 0, 8, 0.1,
                                   &order, NULL, &loss),
                 WITAN_OK);
    CHECK(loss == 0.0 && r.learner.optimiser_step == 0);
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, 0, NULL),
                 WITAN_OK);
    rig_close(&r);
}

static void
same_seed_same_bits(void)
{
    rig a, b, c;
    fill_table();
    rig_open(&a, "mlp(16)", &sgd, 32, 64, 0);
    rig_open(&b, "mlp(16)", &sgd, 32, 17, 0);
    rig_open(&c, "mlp(16)", &sgd, 32, 64, 0);
    size_t bytes = witan_model_parameters(a.model) * sizeof(float);
    CHECK_STATUS(train(&a, 2, 32, 0.1, 1, NULL), WITAN_OK);
    CHECK_STATUS(train(&b, 2, 32, 0.1, 1, NULL), WITAN_OK);
    CHECK_STATUS(train(&c, 2, 32, 0.1, 2, NULL), WITAN_OK);
    CHECK(memcmp(a.learner.parameters, b.learner.parameters, bytes) == 0);
    CHECK(memcmp(a.learner.parameters, c.learner.parameters, bytes) != 0);
    rig_close(&a);
    rig_close(&b);
    rig_close(&c);
}

/* Dropout, batch norm: their streams and buffers. */
static witan_model_spec
noisy_spec(void)
{
    witan_model_spec spec = {.name = "noisy", .layers = 4};
    spec.layer[0] = (witan_layer_spec){.kind = WITAN_LAYER_DENSE, .units = 16};
    spec.layer[1] = (witan_layer_spec){.kind = WITAN_LAYER_BATCH_NORM};
    spec.layer[2] = (witan_layer_spec){.kind = WITAN_LAYER_RELU};
    spec.layer[3] = (witan_layer_spec){.kind = WITAN_LAYER_DROPOUT, .rate = 0.3};
    return spec;
}

static void
prediction_is_pure_and_ignores_its_batch(void)
{
    rig r, small;
    float z[ROWS * 2], again[ROWS * 2], by_one[ROWS * 2];
    witan_model_spec spec = noisy_spec();

    fill_table();
    rig_open_spec(&r, &spec, &sgd, 2, 32, ROWS, 0);
    rig_open_spec(&small, &spec, &sgd, 2, 32, 7, 0);
    size_t count = witan_model_parameters(r.model);
    CHECK(count > witan_model_trainable(r.model));
    CHECK_STATUS(train(&r, 2, 32, 0.05, 1, NULL), WITAN_OK);
    memcpy(small.learner.parameters, r.learner.parameters, count * sizeof(float));

    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, z),
                 WITAN_OK);
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, again),
                 WITAN_OK);
    CHECK_STATUS(
        witan_learn_predict(&small.learner, small.bench, &rows, all_rows, ROWS, by_one),
        WITAN_OK);
    CHECK(memcmp(z, again, sizeof z) == 0);
    CHECK(memcmp(small.learner.parameters, r.learner.parameters,
                 count * sizeof(float)) == 0);
    CHECK_FLOATS(by_one, z, ROWS * 2, 1e-5, 1e-5);
    rig_close(&r);
    rig_close(&small);
}

static void
absurd_steps_are_errors(void)
{
    const double rates[] = {1e30, 1e300};
    float z[ROWS * 2];
    fill_table();
    for (size_t k = 0; k < 2; k++) {
        rig r;
        rig_open(&r, "mlp(16)", &sgd, 32, 64, 0);
        CHECK_STATUS(train(&r, 1, 32, rates[k], 1, NULL), WITAN_E_NUMERIC);
        rig_close(&r);
        /* One minibatch: no later loss sees the damage. Infinite parameters are seen at
         * the end of the epoch, parameters too large for float products later. */
        rig_open(&r, "mlp(16)", &sgd, ROWS, 64, 0);
        witan_status status = train(&r, 1, ROWS, rates[k], 1, NULL);
        if (rates[k] < 1e38 && status == WITAN_OK) {
            status = witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, z);
        }
        CHECK_STATUS(status, WITAN_E_NUMERIC);
        rig_close(&r);
    }
}

/* A value of the data that is not a number: no step is taken from its loss, and its
 * prediction is refused alone and among others. */
static void
bad_data_is_an_error(void)
{
    float z[ROWS * 2];
    rig r;
    fill_table();
    rig_open(&r, "linear", &sgd, ROWS, 64, 0);
    shared.x[77 * FEATURES] = NAN;
    CHECK_STATUS(train(&r, 1, ROWS, 0.1, 1, NULL), WITAN_E_NUMERIC);
    CHECK(r.learner.optimiser_step == 0);
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, ROWS, z),
                 WITAN_E_NUMERIC);
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows + 77, 1, z),
                 WITAN_E_NUMERIC);
    CHECK_STATUS(witan_learn_predict(&r.learner, r.bench, &rows, all_rows, 77, z),
                 WITAN_OK);
    rig_close(&r);
}

static void
bench_sizes_and_memory(void)
{
    const witan_allocator *heap = witan_allocator_default();
    rig r;
    witan_bench *bench = NULL;
    fill_table();
    rig_open(&r, "mlp(16)", &sgd, 32, 64, 0);
    CHECK_STATUS(witan_bench_new(&bench, heap, r.model, 0, 1, 1), WITAN_E_INVALID);
    CHECK_STATUS(witan_bench_new(&bench, heap, r.model, 1, 0, 1), WITAN_E_INVALID);
    CHECK_STATUS(witan_bench_new(&bench, heap, r.model, WITAN_BATCH_MAX + 1, 1, 1),
                 WITAN_E_LIMIT);
    CHECK_STATUS(witan_bench_new(&bench, heap, r.model, 1, WITAN_BATCH_MAX + 1, 1),
                 WITAN_E_LIMIT);
    CHECK_STATUS(witan_bench_new(&bench, heap, r.model, 1, 1, WITAN_SAMPLES_MAX + 1),
                 WITAN_E_LIMIT);
    CHECK(bench == NULL);
    witan_bench_free(&bench);

    size_t fail_at = 1;
    for (;; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status =
            witan_bench_new(&bench, &failing.allocator, r.model, 8, 16, 100);
        if (status == WITAN_OK) {
            witan_bench_free(&bench);
            CHECK(failing.live == 0);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(bench == NULL && failing.live == 0);
    }
    CHECK(fail_at > 6);
    rig_close(&r);
}

/* 20 fixed minibatches, each an epoch of its own, against PyTorch in float64. */
static void
check_parity(bool distill, witan_optimiser_config config)
{
    witan_golden x = witan_golden_load("nn/training_x");
    witan_golden label = witan_golden_load("nn/training_label");
    witan_golden q = witan_golden_load("nn/training_q");
    witan_golden start = witan_golden_load("nn/training_start");
    witan_golden batches = witan_golden_load("nn/training_batches");
    witan_golden losses = witan_golden_load(distill ? "nn/training_distill_losses"
                                                    : "nn/training_train_losses");
    witan_golden end = witan_golden_load(distill ? "nn/training_distill_end"
                                                 : "nn/training_train_end");
    rig r;
    witan_random order;

    memset(&shared, 0, sizeof shared);
    shared.classes = 3;
    for (size_t i = 0; i < x.count; i++) {
        shared.x[i] = (float)x.values[i];
    }
    for (size_t i = 0; i < label.count; i++) {
        shared.label[i] = (uint32_t)label.values[i];
    }
    config.clip_l2 = 1.0;
    rig_open(&r, "mlp(8)", &config, 4, 4, 0);
    CHECK(witan_model_parameters(r.model) == start.count);
    for (size_t i = 0; i < start.count; i++) {
        r.learner.parameters[i] = (float)start.values[i];
    }
    witan_random_init(&order, 1, 0, 0, WITAN_PURPOSE_TEST);
    for (size_t step = 0; step < 20; step++) {
        uint32_t index[4];
        size_t n = 0;
        double loss = 0.0;
        for (; n < 4 && batches.values[step * 4 + n] >= 0.0; n++) {
            index[n] = (uint32_t)batches.values[step * 4 + n];
            for (size_t c = 0; c < 3; c++) {
                shared.target[n * 3 + c] = (float)q.values[index[n] * 3 + c];
            }
        }
        if (distill) {
            CHECK_STATUS(witan_learn_distill_epoch(&r.learner, r.bench, &rows, index, n,
                                                   &targets, WITAN_DISTILL_KL, 2.0, 4,
                                                   config.lr, &order, NULL, &loss),
                         WITAN_OK);
        } else {
            CHECK_STATUS(witan_learn_epoch(&r.learner, r.bench, &rows, index, n, 4,
                                           config.lr, &order, NULL, &loss),
                         WITAN_OK);
        }
        CHECK_NEAR(loss, losses.values[step], 3e-6, 1e-5);
    }
    CHECK_GOLDEN(r.learner.parameters, end.values, end.count, 1e-5, 1e-5);
    rig_close(&r);
    witan_golden_free(&x);
    witan_golden_free(&label);
    witan_golden_free(&q);
    witan_golden_free(&start);
    witan_golden_free(&batches);
    witan_golden_free(&losses);
    witan_golden_free(&end);
}

static void
parity_with_pytorch(void)
{
    witan_optimiser_config config = sgd;
    config.weight_decay = 1e-3;
    check_parity(false, config);
    config = adam;
    config.lr = 0.02;
    check_parity(true, config);
}

int
main(void)
{
    RUN(learns_a_separable_problem);
    RUN(distils_from_a_teacher);
    RUN(visits_every_row_once_in_a_drawn_order);
    RUN(short_last_minibatch_counts_by_rows);
    RUN(distillation_reports_the_loss_asked_for);
    RUN(no_rows_change_nothing);
    RUN(same_seed_same_bits);
    RUN(prediction_is_pure_and_ignores_its_batch);
    RUN(absurd_steps_are_errors);
    RUN(bad_data_is_an_error);
    RUN(bench_sizes_and_memory);
    RUN(parity_with_pytorch);
    return witan_test_finish();
}
