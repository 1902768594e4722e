/* Epochs of token models: what is learnt, that the forms of soft labels agree, same
 * seed same bits, predictions, errors, memory. */
#include "nn/sequence_learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/loss.h"
#include "nn/loss_top.h"
#include "num/cpu.h"
#include "num/softmax.h"
#include "support/witan_test.h"

enum {
    V = 6,
    LENGTH = 8,
    WINDOWS = 40,
    BATCH = 16,
    STRIDE = LENGTH + 1,
    LOGITS = WINDOWS * LENGTH * V,
    PARAMETERS_MAX = 12000
};

static const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                            .lr = 0.01,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon_adam = 1e-8,
                                            .clip_l2 = 1.0};
static const char *const texts[] = {"lstm(16,1,8)", "gru(16,2,8)",
                                    "transformer(16,1,2,8)"};
enum {
    TEXTS = sizeof texts / sizeof *texts
};

static uint32_t text[WINDOWS * STRIDE];
static uint32_t all[WINDOWS];
static uint32_t seen[WINDOWS]; /* how often each window was asked for */

/* Cycles 0 1 2 3 4 5 from random starts, in half of the windows backwards: the next
 * token follows from two tokens, not from one. */
static void
write_text(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(16), 0, 0, WITAN_PURPOSE_TEST);
    for (size_t w = 0; w < WINDOWS; w++) {
        uint32_t step = w % 2 == 0 ? 1 : V - 1, token = witan_random_below(&random, V);
        all[w] = (uint32_t)w;
        for (size_t t = 0; t < STRIDE; t++) {
            text[w * STRIDE + t] = token;
            token = (token + step) % V;
        }
    }
}

static void
gather(const void *context, const uint32_t *indices, size_t count, uint32_t *tokens)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        seen[indices[i]]++;
        memcpy(tokens + i * STRIDE, text + indices[i] * STRIDE,
               STRIDE * sizeof *tokens);
    }
}

static const witan_token_rows rows = {.gather = gather};

typedef struct setting {
    witan_sequence_model *model;
    witan_sequence_bench *bench;
    witan_sequence_learner learner;
    float parameters[PARAMETERS_MAX], state[2 * PARAMETERS_MAX];
    witan_random order, dropout;
} setting;

static void
open_setting(setting *self, const char *name, double rate)
{
    witan_sequence_spec spec;
    const witan_allocator *heap = witan_allocator_default();
    memset(self, 0, sizeof *self);
    CHECK_STATUS(witan_sequence_parse(&spec, name, NULL), WITAN_OK);
    spec.dropout = rate;
    if (!CHECK_STATUS(witan_sequence_new(&self->model, heap, &spec, V, NULL),
                      WITAN_OK) ||
        !CHECK_STATUS(witan_sequence_bench_new(&self->bench, heap, self->model, LENGTH,
                                               BATCH, 3, WINDOWS, V),
                      WITAN_OK) ||
        !CHECK(witan_sequence_parameters(self->model) <= PARAMETERS_MAX)) {
        exit(1);
    }
    witan_random random;
    witan_random_init(&random, witan_test_seed(17), 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_random_init(&self->order, witan_test_seed(17), 0, 0, WITAN_PURPOSE_TRAIN);
    witan_random_init(&self->dropout, witan_test_seed(17), 0, 0,
                      WITAN_PURPOSE_DROPOUT_TRAIN);
    self->learner = (witan_sequence_learner){.model = self->model,
                                             .parameters = self->parameters,
                                             .optimiser_state = self->state,
                                             .optimiser = &adam};
    witan_sequence_initialise(self->model, self->parameters, &random);
}

static void
close_setting(setting *self)
{
    witan_sequence_bench_free(&self->bench);
    witan_sequence_free(&self->model);
}

static double
train(setting *self, size_t count)
{
    double loss = (double)NAN;
    CHECK_STATUS(witan_sequence_epoch(&self->learner, self->bench, &rows, all, count,
                                      BATCH, adam.lr, &self->order, &self->dropout,
                                      &loss),
                 WITAN_OK);
    return loss;
}

/* --- learning ------------------------------------------------------------------- */

static void
learns_what_follows(void)
{
    static setting self;
    for (size_t i = 0; i < TEXTS; i++) {
        double loss, accuracy, first;
        open_setting(&self, texts[i], 0.0);
        first = train(&self, WINDOWS);
        CHECK_NEAR(first, log(V), 0.5, 0.0);
        for (size_t epoch = 0; epoch < 60; epoch++) {
            loss = train(&self, WINDOWS);
        }
        CHECK_STATUS(witan_sequence_evaluate(&self.learner, self.bench, &rows, all,
                                             WINDOWS, &loss, &accuracy),
                     WITAN_OK);
        /* Only a window's first position is open: two ways to go on. */
        CHECK(accuracy > 7.0 / 8.0 && accuracy < 1.0);
        CHECK_NEAR(loss, log(2.0) / LENGTH, 0.05, 0.0);
        CHECK(self.learner.optimiser_step == 61 * 3);
        close_setting(&self);
    }
}

/* Soft labels of a function of the window and the place, written in both forms. */
typedef struct labels {
    float q[LOGITS];
    uint32_t token[LOGITS];
    float mass[LOGITS];
    size_t top;
} labels;

static void
give_dense(const void *context, const uint32_t *positions, size_t count, float *q)
{
    const labels *self = context;
    for (size_t i = 0; i < count; i++) {
        memcpy(q + i * LENGTH * V, self->q + positions[i] * LENGTH * V,
               LENGTH * V * sizeof *q);
    }
}

static void
give_sparse(const void *context, const uint32_t *positions, size_t count,
            uint32_t *token, float *mass)
{
    const labels *self = context;
    size_t size = LENGTH * self->top;
    for (size_t i = 0; i < count; i++) {
        memcpy(token + i * size, self->token + positions[i] * size,
               size * sizeof *token);
        memcpy(mass + i * size, self->mass + positions[i] * size, size * sizeof *mass);
    }
}

/* The largest `top` of every row of q. */
static void
take_top(labels *self, size_t top)
{
    self->top = top;
    for (size_t row = 0; row < WINDOWS * LENGTH; row++) {
        bool used[V] = {false};
        for (size_t k = 0; k < top; k++) {
            size_t best = V;
            for (size_t v = 0; v < V; v++) {
                if (!used[v] &&
                    (best == V || self->q[row * V + v] > self->q[row * V + best])) {
                    best = v;
                }
            }
            used[best] = true;
            self->token[row * top + k] = (uint32_t)best;
            self->mass[row * top + k] = self->q[row * V + best];
        }
    }
}

static double
distil(setting *self, const labels *from, size_t top, double temp)
{
    witan_token_targets targets = {
        .top = top, .dense = give_dense, .sparse = give_sparse, .context = from};
    double loss = (double)NAN;
    CHECK_STATUS(witan_sequence_distill_epoch(&self->learner, self->bench, &rows, all,
                                              WINDOWS, &targets, temp, BATCH, adam.lr,
                                              &self->order, &self->dropout, &loss),
                 WITAN_OK);
    return loss;
}

static void
predict(setting *self, float *z)
{
    CHECK_STATUS(
        witan_sequence_predict(&self->learner, self->bench, &rows, all, WINDOWS, z),
        WITAN_OK);
}

/* A transformer learns from an LSTM, whole or by its two largest probabilities. */
static void
distils_from_a_teacher(void)
{
    static setting teacher, student;
    static labels soft;
    static float z[LOGITS];
    open_setting(&teacher, texts[0], 0.0);
    for (size_t epoch = 0; epoch < 60; epoch++) {
        (void)train(&teacher, WINDOWS);
    }
    predict(&teacher, z);
    witan_softmax(soft.q, z, 1.0, WINDOWS * LENGTH, V);
    take_top(&soft, 2);
    close_setting(&teacher);
    for (size_t top = 0; top <= 2; top += 2) {
        double loss = 1.0, accuracy = 0.0;
        open_setting(&student, texts[2], 0.0);
        double first = distil(&student, &soft, top, 2.0);
        for (size_t epoch = 0; epoch < 80; epoch++) {
            loss = distil(&student, &soft, top, 2.0);
        }
        CHECK(loss < 0.1 * first);
        CHECK_STATUS(witan_sequence_evaluate(&student.learner, student.bench, &rows,
                                             all, WINDOWS, &loss, &accuracy),
                     WITAN_OK);
        CHECK(accuracy > 7.0 / 8.0);
        close_setting(&student);
    }
}

/* One-hot labels are cross-entropy; all V probabilities as a list are the whole row. */
static void
forms_of_soft_labels_agree(void)
{
    static setting plain, other;
    static labels soft;
    memset(&soft, 0, sizeof soft);
    for (size_t i = 0; i < WINDOWS * LENGTH; i++) {
        soft.q[i * V + text[i / LENGTH * STRIDE + i % LENGTH + 1]] = 1.0f;
    }
    for (size_t top = 0; top <= V; top++) {
        take_top(&soft, top > 0 ? top : 1);
        open_setting(&plain, texts[1], 0.0);
        open_setting(&other, texts[1], 0.0);
        for (size_t epoch = 0; epoch < 2; epoch++) {
            double loss = train(&plain, WINDOWS);
            CHECK_NEAR(distil(&other, &soft, top, 1.0), loss, 1e-5, 1e-5);
        }
        CHECK_FLOATS(other.parameters, plain.parameters,
                     witan_sequence_parameters(plain.model), 2e-3, 1e-3);
        close_setting(&plain);
        close_setting(&other);
    }
}

/* The rest's shape is the student's: a mass on the rest moves its logits together. */
static void
residual_mass_has_no_shape(void)
{
    const float z[5] = {1.0f, 0.5f, -1.0f, 2.0f, 0.0f}, mass[2] = {0.5f, 0.2f};
    const uint32_t token[2] = {3, 0};
    float dz[5], p[5];
    witan_softmax(p, z, 1.0, 1, 5);
    double loss = witan_loss_kl_top(dz, z, token, mass, 2, 1.0, 1, 5);
    double rest = (double)p[1] + (double)p[2] + (double)p[4];
    CHECK_NEAR(loss,
               0.5 * log(0.5 / (double)p[3]) + 0.2 * log(0.2 / (double)p[0]) +
                   0.3 * log(0.3 / rest),
               1e-6, 1e-6);
    for (size_t v = 1; v < 5; v += v == 2 ? 2 : 1) {
        CHECK_NEAR((double)dz[v] / (double)p[v], 1.0 - 0.3 / rest, 1e-5, 1e-5);
    }
    CHECK_NEAR((double)dz[3], (double)p[3] - 0.5, 1e-6, 0.0);
    /* A student that knows its answer only too well still hears of the rest. */
    const float sure[5] = {-500.0f, -500.0f, -500.0f, 500.0f, -500.0f};
    loss = witan_loss_kl_top(dz, sure, token, mass, 2, 1.0, 1, 5);
    CHECK(isfinite(loss) && loss > 400.0 && dz[1] < 0 && dz[3] > 0.4f);
    const float bad[5] = {0.0f, (float)NAN, 0.0f, 0.0f, 0.0f};
    CHECK(isnan(witan_loss_kl_top(dz, bad, token, mass, 2, 1.0, 1, 5)));
    const float infinite[5] = {0.0f, -INFINITY, 0.0f, 0.0f, 0.0f};
    CHECK(isnan(witan_loss_kl_top(dz, infinite, token, mass, 2, 1.0, 1, 5)));
}

/* --- properties ----------------------------------------------------------------- */

static void
visits_every_window_once(void)
{
    static setting self;
    open_setting(&self, texts[0], 0.0);
    memset(seen, 0, sizeof seen);
    (void)train(&self, WINDOWS - 3);
    for (size_t w = 0; w < WINDOWS; w++) {
        CHECK(seen[w] == (w < WINDOWS - 3 ? 1 : 0));
    }
    CHECK(self.learner.optimiser_step == 3);
    float before[8];
    memcpy(before, self.parameters, sizeof before);
    CHECK_NEAR(train(&self, 0), 0.0, 0.0, 0.0);
    CHECK(memcmp(before, self.parameters, sizeof before) == 0);
    close_setting(&self);
}

/* Gradient and loss of all windows in one go, with the head in one piece. */
static double
whole_gradient(setting *self, float *gradient)
{
    static float z[LOGITS], dz[LOGITS];
    uint32_t label[WINDOWS * LENGTH];
    witan_sequence_workspace *ws = NULL;
    size_t positions = WINDOWS * LENGTH;
    CHECK_STATUS(witan_sequence_workspace_new(&ws, witan_allocator_default(),
                                              self->model, WINDOWS, LENGTH, true),
                 WITAN_OK);
    for (size_t i = 0; i < positions; i++) {
        label[i] = text[i / LENGTH * STRIDE + i % LENGTH + 1];
    }
    witan_sequence_forward(self->model, ws, self->parameters, text, STRIDE, WINDOWS,
                           LENGTH, true, NULL);
    witan_sequence_logits(self->model, ws, self->parameters, z, 0, positions);
    double loss = witan_loss_cross_entropy(dz, z, label, positions, V);
    witan_sequence_logits_backward(self->model, ws, dz, gradient, 0, positions);
    witan_sequence_backward(self->model, ws, self->parameters, gradient);
    witan_sequence_workspace_free(&ws);
    return loss;
}

/* A minibatch of more positions than the head takes at a time: its pieces add up to the
 * whole, and labels stay with their windows. A step of SGD of size 1 is the gradient.
 */
static void
pieces_of_a_minibatch_add_up(void)
{
    static setting self;
    static labels soft;
    static float gradient[PARAMETERS_MAX], begin[PARAMETERS_MAX];
    static const witan_optimiser_config sgd = {.kind = WITAN_OPTIMISER_SGD, .lr = 1.0};
    memset(&soft, 0, sizeof soft);
    for (size_t i = 0; i < WINDOWS * LENGTH; i++) {
        soft.q[i * V + text[i / LENGTH * STRIDE + i % LENGTH + 1]] = 1.0f;
    }
    take_top(&soft, 1);
    for (size_t form = 0; form < 3; form++) {
        double loss = 0.0, judged = 0.0, accuracy;
        open_setting(&self, texts[form], 0.0);
        self.learner.optimiser = &sgd;
        witan_sequence_bench_free(&self.bench);
        CHECK_STATUS(witan_sequence_bench_new(&self.bench, witan_allocator_default(),
                                              self.model, LENGTH, WINDOWS, 7, WINDOWS,
                                              1),
                     WITAN_OK);
        size_t count = witan_sequence_parameters(self.model);
        double expected = whole_gradient(&self, gradient);
        memcpy(begin, self.parameters, count * sizeof *begin);
        CHECK_STATUS(witan_sequence_evaluate(&self.learner, self.bench, &rows, all,
                                             WINDOWS, &judged, &accuracy),
                     WITAN_OK);
        CHECK_NEAR(judged, expected, 1e-6, 1e-6);
        witan_token_targets targets = {.top = form == 2 ? 1 : 0,
                                       .dense = give_dense,
                                       .sparse = give_sparse,
                                       .context = &soft};
        if (form == 0) {
            CHECK_STATUS(witan_sequence_epoch(&self.learner, self.bench, &rows, all,
                                              WINDOWS, WINDOWS, 1.0, &self.order, NULL,
                                              &loss),
                         WITAN_OK);
        } else {
            CHECK_STATUS(witan_sequence_distill_epoch(
                             &self.learner, self.bench, &rows, all, WINDOWS, &targets,
                             1.0, WINDOWS, 1.0, &self.order, NULL, &loss),
                         WITAN_OK);
        }
        CHECK_NEAR(loss, expected, 1e-6, 1e-6);
        for (size_t i = 0; i < count; i++) {
            begin[i] -= gradient[i];
        }
        CHECK_FLOATS(self.parameters, begin, count, 2e-6, 1e-5);
        close_setting(&self);
    }
}

/* Two runs agree, though the second one's bench has seen another epoch before. */
static void
same_seed_same_bits(void)
{
    static setting self, again, begin;
    for (size_t i = 0; i < TEXTS; i++) {
        open_setting(&self, texts[i], 0.3);
        open_setting(&again, texts[i], 0.3);
        begin = again;
        (void)train(&again, 5);
        again = begin;
        for (size_t epoch = 0; epoch < 2; epoch++) {
            CHECK(train(&self, WINDOWS) == train(&again, WINDOWS));
        }
        CHECK(memcmp(self.parameters, again.parameters, sizeof self.parameters) == 0);
        close_setting(&self);
        close_setting(&again);
    }
}

static void
predictions_ignore_their_batch(void)
{
    static setting self;
    static float z[LOGITS], one[LENGTH * V];
    for (size_t i = 0; i < TEXTS; i++) {
        double loss = 0.0, accuracy, expected = 0.0;
        open_setting(&self, texts[i], 0.5);
        predict(&self, z);
        for (size_t w = 0; w < WINDOWS; w += 13) {
            CHECK_STATUS(witan_sequence_predict(&self.learner, self.bench, &rows,
                                                all + w, 1, one),
                         WITAN_OK);
            CHECK_FLOATS(one, z + w * LENGTH * V, LENGTH * V, 1e-5, 1e-5);
        }
        for (size_t k = 0; k < WINDOWS * LENGTH; k++) {
            size_t label = text[k / LENGTH * STRIDE + k % LENGTH + 1];
            expected += witan_log_sum_exp(z + k * V, V) - (double)z[k * V + label];
        }
        CHECK_STATUS(witan_sequence_evaluate(&self.learner, self.bench, &rows, all,
                                             WINDOWS, &loss, &accuracy),
                     WITAN_OK);
        CHECK_NEAR(loss, expected / (WINDOWS * LENGTH), 1e-6, 1e-6);
        close_setting(&self);
    }
}

/* --- errors and memory ---------------------------------------------------------- */

static void
what_is_not_finite_is_an_error(void)
{
    static setting self;
    static float z[LOGITS];
    double loss, accuracy;
    for (size_t i = 0; i < TEXTS; i++) {
        open_setting(&self, texts[i], 0.0);
        CHECK_STATUS(witan_sequence_epoch(&self.learner, self.bench, &rows, all, 1,
                                          BATCH, (double)INFINITY, &self.order, NULL,
                                          NULL),
                     WITAN_E_NUMERIC);
        size_t last = witan_sequence_parameters(self.model) - 1;
        uint64_t steps = self.learner.optimiser_step;
        self.parameters[last] = (float)NAN;
        CHECK_STATUS(witan_sequence_epoch(&self.learner, self.bench, &rows, all, 3,
                                          BATCH, adam.lr, &self.order, NULL, NULL),
                     WITAN_E_NUMERIC);
        CHECK(self.learner.optimiser_step == steps); /* no step is taken */
        CHECK_STATUS(
            witan_sequence_predict(&self.learner, self.bench, &rows, all, 3, z),
            WITAN_E_NUMERIC);
        CHECK_STATUS(witan_sequence_evaluate(&self.learner, self.bench, &rows, all, 3,
                                             &loss, &accuracy),
                     WITAN_E_NUMERIC);
        close_setting(&self);
    }
}

static void
bench_sizes_and_memory(void)
{
    static setting self;
    witan_sequence_bench *bench = NULL;
    const witan_allocator *heap = witan_allocator_default();
    open_setting(&self, texts[0], 0.0);
    static const struct {
        size_t length, batch, predict_batch, top;
        witan_status status;
    } bad[] = {{0, 1, 1, 0, WITAN_E_INVALID},     {1, 0, 1, 0, WITAN_E_INVALID},
               {1, 1, 0, 0, WITAN_E_INVALID},     {1, 1, 65537, 0, WITAN_E_LIMIT},
               {1, 1, 1, V + 1, WITAN_E_INVALID}, {9, 1, 1, 0, WITAN_E_LIMIT},
               {4097, 1, 1, 0, WITAN_E_LIMIT},    {1, 65537, 1, 0, WITAN_E_LIMIT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(witan_sequence_bench_new(&bench, heap, self.model, bad[i].length,
                                              bad[i].batch, bad[i].predict_batch, 1,
                                              bad[i].top),
                     bad[i].status);
        CHECK(bench == NULL);
    }
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status = witan_sequence_bench_new(&bench, &failing.allocator,
                                                       self.model, 3, 2, 4, 5, 2);
        CHECK((status == WITAN_OK) == (bench != NULL));
        witan_sequence_bench_free(&bench);
        witan_sequence_bench_free(&bench);
        CHECK(failing.live == 0);
        if (status == WITAN_OK) {
            CHECK(fail_at > 10);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
    }
    close_setting(&self);
}

int
main(void)
{
    write_text();
    RUN(learns_what_follows);
    RUN(distils_from_a_teacher);
    RUN(forms_of_soft_labels_agree);
    RUN(residual_mass_has_no_shape);
    RUN(pieces_of_a_minibatch_add_up);
    RUN(visits_every_window_once);
    RUN(same_seed_same_bits);
    RUN(predictions_ignore_their_batch);
    RUN(what_is_not_finite_is_an_error);
    RUN(bench_sizes_and_memory);
    return witan_test_finish();
}
