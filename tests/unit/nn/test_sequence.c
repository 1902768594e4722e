/* Token models: gradients by differences, properties of the passes, steps from saved
 * states, zoo texts, errors, memory. */
#include "nn/sequence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num/cpu.h"
#include "support/witan_test.h"

enum {
    V = 5,
    WINDOWS = 3,
    LENGTH = 4,
    ROWS = WINDOWS * LENGTH,
    PARAMETERS_MAX = 4096
};

static const witan_sequence_spec specs[] = {
    {"lstm", WITAN_CELL_LSTM, 6, 2, 1, 6, 0.0, false},
    {"gru", WITAN_CELL_GRU, 6, 2, 1, 6, 0.0, false},
    {"transformer", WITAN_CELL_TRANSFORMER, 8, 2, 2, 6, 0.0, false},
    {"lstm dropped", WITAN_CELL_LSTM, 6, 3, 1, 6, 0.4, false},
    {"gru dropped", WITAN_CELL_GRU, 6, 1, 1, 6, 0.4, false},
    {"transformer dropped", WITAN_CELL_TRANSFORMER, 8, 1, 2, 6, 0.2, false},
};
enum {
    SPECS = sizeof specs / sizeof *specs
};

typedef struct setting {
    witan_sequence_model *model;
    witan_sequence_workspace *ws;
    float parameters[PARAMETERS_MAX], gradient[PARAMETERS_MAX];
    float z[ROWS * V], dz[ROWS * V];
    uint32_t tokens[WINDOWS * (LENGTH + 1)];
} setting;

static void
open_setting(setting *self, const witan_sequence_spec *spec)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_random random;
    witan_random_init(&random, witan_test_seed(14), 0, 0, WITAN_PURPOSE_TEST);
    if (!CHECK_STATUS(witan_sequence_new(&self->model, heap, spec, V, NULL),
                      WITAN_OK) ||
        !CHECK_STATUS(witan_sequence_workspace_new(&self->ws, heap, self->model,
                                                   WINDOWS, LENGTH, true),
                      WITAN_OK) ||
        !CHECK(witan_sequence_parameters(self->model) <= PARAMETERS_MAX)) {
        exit(1);
    }
    witan_sequence_initialise(self->model, self->parameters, &random);
    for (size_t i = 0; i < witan_sequence_parameters(self->model); i++) {
        self->parameters[i] += (float)(0.3 * witan_random_normal(&random));
    }
    for (size_t i = 0; i < ROWS * V; i++) {
        self->dz[i] = (float)witan_random_normal(&random);
    }
    for (size_t i = 0; i < WINDOWS * (LENGTH + 1); i++) {
        self->tokens[i] = witan_random_below(&random, V - 1); /* one never appears */
    }
}

static void
close_setting(setting *self)
{
    witan_sequence_workspace_free(&self->ws);
    witan_sequence_free(&self->model);
}

/* sum dz . z of a training pass; the dropout masks are the same every time. */
static double
objective(setting *self)
{
    witan_random dropout;
    double sum = 0.0;
    witan_random_init(&dropout, 9, 0, 0, WITAN_PURPOSE_DROPOUT_TRAIN);
    witan_sequence_forward(self->model, self->ws, self->parameters, self->tokens,
                           LENGTH + 1, WINDOWS, LENGTH, true, &dropout);
    witan_sequence_logits(self->model, self->ws, self->parameters, self->z, 0, ROWS);
    for (size_t i = 0; i < ROWS * V; i++) {
        sum += (double)self->dz[i] * (double)self->z[i];
    }
    return sum;
}

static void
differentiate(setting *self)
{
    (void)objective(self);
    witan_sequence_logits_backward(self->model, self->ws, self->dz, self->gradient, 0,
                                   ROWS);
    witan_sequence_backward(self->model, self->ws, self->parameters, self->gradient);
}

/* --- gradients ------------------------------------------------------------------ */

/* Signed central differences of every element of every tensor; no kinks anywhere. */
static void
check_gradient(const witan_sequence_spec *spec)
{
    static setting self;
    const float step = 2e-3f;
    open_setting(&self, spec);
    differentiate(&self);
    for (size_t t = 0; t < witan_sequence_tensors(self.model); t++) {
        const witan_tensor_info *info = witan_sequence_tensor(self.model, t);
        size_t count =
            info->shape[0] * (info->dimensions == 2 ? info->shape[1] : (size_t)1);
        double steepest = 0.0;
        for (size_t i = info->offset; i < info->offset + count; i++) {
            float kept = self.parameters[i];
            volatile float up = kept + step, down = kept - step;
            self.parameters[i] = up;
            double above = objective(&self);
            self.parameters[i] = down;
            double below = objective(&self);
            self.parameters[i] = kept;
            double slope = (above - below) / ((double)up - (double)down);
            double actual = (double)self.gradient[i];
            steepest = fmax(steepest, fabs(slope));
            if (!CHECK_NEAR(actual, slope, 4e-3, 4e-3)) {
                fprintf(stderr, "  %s: %s[%zu]\n", spec->name, info->name,
                        i - info->offset);
            }
        }
        /* A tensor that does nothing would pass any check of its gradient. */
        CHECK(steepest > 0.02);
    }
    close_setting(&self);
}

static void
gradients_match_differences(void)
{
    for (size_t i = 0; i < SPECS; i++) {
        check_gradient(&specs[i]);
    }
}

/* --- properties ----------------------------------------------------------------- */

/* Logits of one window of `length` tokens, alone, by the prediction pass. */
static void
predict_one(const setting *self, float *z, const uint32_t *tokens, size_t length)
{
    witan_sequence_workspace *ws = NULL;
    CHECK_STATUS(witan_sequence_workspace_new(&ws, witan_allocator_default(),
                                              self->model, 1, length, false),
                 WITAN_OK);
    witan_sequence_forward(self->model, ws, self->parameters, tokens, 0, 1, length,
                           false, NULL);
    witan_sequence_logits(self->model, ws, self->parameters, z, 0, length);
    witan_sequence_workspace_free(&ws);
}

static void
windows_are_independent_and_causal(void)
{
    static setting self;
    for (size_t i = 0; i < 3; i++) {
        float alone[LENGTH * V];
        open_setting(&self, &specs[i]);
        (void)objective(&self);
        for (size_t w = 0; w < WINDOWS; w++) {
            const uint32_t *tokens = self.tokens + w * (LENGTH + 1);
            for (size_t length = 1; length <= LENGTH; length++) {
                predict_one(&self, alone, tokens, length);
                CHECK_FLOATS(alone, self.z + w * LENGTH * V, length * V, 1e-5, 1e-5);
            }
        }
        close_setting(&self);
    }
}

/* A position's logits change with each token before it: nothing is forgotten. */
static void
the_past_counts(void)
{
    static setting self;
    for (size_t i = 0; i < 3; i++) {
        float z[LENGTH * V], other[LENGTH * V];
        uint32_t tokens[LENGTH] = {1, 2, 3, 0};
        open_setting(&self, &specs[i]);
        predict_one(&self, z, tokens, LENGTH);
        for (size_t t = 0; t < LENGTH; t++) {
            uint32_t kept = tokens[t];
            tokens[t] = 4;
            predict_one(&self, other, tokens, LENGTH);
            tokens[t] = kept;
            CHECK(memcmp(z, other, t * V * sizeof *z) == 0);
            for (size_t later = t; later < LENGTH; later++) {
                CHECK(fabsf(z[later * V] - other[later * V]) > 1e-5f);
            }
        }
        close_setting(&self);
    }
}

static void
same_input_gives_same_bits(void)
{
    static setting self, again;
    for (size_t i = 0; i < SPECS; i++) {
        open_setting(&self, &specs[i]);
        open_setting(&again, &specs[i]);
        size_t bytes = witan_sequence_parameters(self.model) * sizeof(float);
        differentiate(&self);
        /* The other workspace has seen a shorter pass before. */
        witan_sequence_forward(again.model, again.ws, again.parameters,
                               again.tokens + 1, LENGTH + 1, 2, 3, false, NULL);
        differentiate(&again);
        CHECK(memcmp(self.z, again.z, sizeof self.z) == 0);
        CHECK(memcmp(self.gradient, again.gradient, bytes) == 0);
        close_setting(&self);
        close_setting(&again);
    }
}

/* A short minibatch of short windows on a large workspace equals a small one. */
static void
short_batches_ignore_the_rest(void)
{
    static setting self;
    static float expected[PARAMETERS_MAX];
    for (size_t i = 0; i < 3; i++) {
        witan_sequence_workspace *small = NULL;
        open_setting(&self, &specs[i]);
        CHECK_STATUS(witan_sequence_workspace_new(&small, witan_allocator_default(),
                                                  self.model, 2, 3, true),
                     WITAN_OK);
        witan_sequence_workspace *both[] = {small, self.ws};
        float *to[] = {expected, self.gradient};
        differentiate(&self);
        for (size_t k = 0; k < 2; k++) {
            witan_sequence_forward(self.model, both[k], self.parameters, self.tokens,
                                   LENGTH + 1, 2, 3, true, NULL);
            witan_sequence_logits_backward(self.model, both[k], self.dz, to[k], 0, 6);
            witan_sequence_backward(self.model, both[k], self.parameters, to[k]);
        }
        size_t bytes = witan_sequence_parameters(self.model) * sizeof(float);
        CHECK(memcmp(expected, self.gradient, bytes) == 0);
        witan_sequence_workspace_free(&small);
        close_setting(&self);
    }
}

static void
prediction_ignores_dropout(void)
{
    static setting self;
    for (size_t i = 0; i < 3; i++) {
        float z[LENGTH * V], plain[LENGTH * V];
        witan_sequence_spec spec = specs[i];
        open_setting(&self, &spec);
        predict_one(&self, plain, self.tokens, LENGTH);
        close_setting(&self);
        spec.dropout = 0.5;
        open_setting(&self, &spec);
        predict_one(&self, z, self.tokens, LENGTH);
        CHECK(memcmp(z, plain, sizeof z) == 0);
        (void)objective(&self);
        CHECK(memcmp(self.z, plain, sizeof plain) != 0);
        close_setting(&self);
    }
}

/* --- one token at a time -------------------------------------------------------- */

static void
check_steps(const witan_sequence_spec *spec)
{
    static setting self;
    witan_sequence_stepper *stepper = NULL;
    open_setting(&self, spec);
    size_t state = witan_sequence_state_floats(self.model);
    float *states = calloc(2 * WINDOWS * state, sizeof *states);
    float *from = NULL, *to = states;
    CHECK_STATUS(witan_sequence_stepper_new(&stepper, witan_allocator_default(),
                                            self.model, WINDOWS + 1),
                 WITAN_OK);
    witan_sequence_stepper_load(stepper, self.parameters);
    (void)objective(&self);
    /* Rows are reversed at every step: parents tell whose state goes on. */
    const uint32_t reversed[WINDOWS] = {2, 1, 0};
    for (size_t t = 0; t < LENGTH; t++) {
        float z[WINDOWS * V];
        uint32_t tokens[WINDOWS];
        for (size_t i = 0; i < WINDOWS; i++) {
            size_t w = t % 2 == 0 ? i : WINDOWS - 1 - i;
            tokens[i] = self.tokens[w * (LENGTH + 1) + t];
        }
        witan_sequence_step(stepper, to, z, from, reversed, tokens, WINDOWS, t);
        for (size_t i = 0; i < WINDOWS; i++) {
            size_t w = t % 2 == 0 ? i : WINDOWS - 1 - i;
            CHECK_FLOATS(z + i * V, self.z + (w * LENGTH + t) * V, V, 1e-5, 1e-5);
        }
        from = to;
        to = to == states ? states + WINDOWS * state : states;
    }
    /* Without parents row i goes on; without logits nothing else changes. */
    float *first = calloc(2 * state, sizeof *first), z[2 * V], again[2 * V];
    const uint32_t tokens[2] = {1, 3}, identity[2] = {0, 1};
    witan_sequence_step(stepper, first, NULL, NULL, NULL, tokens, 2, 0);
    witan_sequence_step(stepper, states, z, first, NULL, tokens, 2, 1);
    witan_sequence_step(stepper, states, again, first, identity, tokens, 2, 1);
    CHECK(memcmp(z, again, sizeof z) == 0);
    if (spec->cell != WITAN_CELL_TRANSFORMER) {
        witan_sequence_step(stepper, NULL, again, first, NULL, tokens, 2, 1);
        CHECK(memcmp(z, again, sizeof z) == 0);
    }
    free(first);
    free(states);
    witan_sequence_stepper_free(&stepper);
    close_setting(&self);
}

static void
steps_equal_windows(void)
{
    for (size_t i = 0; i < 3; i++) {
        check_steps(&specs[i]);
    }
}

/* --- description ---------------------------------------------------------------- */

static void
tensors_cover_the_block(void)
{
    static const char *const expected[3][16] = {
        {"embedding.weight", "0.input.weight", "0.bias", "0.recurrent.weight",
         "1.input.weight", "1.bias", "1.recurrent.weight", "head.weight", "head.bias"},
        {"embedding.weight", "0.input.weight", "0.bias", "0.recurrent.weight",
         "0.recurrent.bias", "head.weight", "head.bias"},
        {"embedding.weight", "position.weight", "0.norm1.weight", "0.norm1.bias",
         "0.qkv.weight", "0.qkv.bias", "0.out.weight", "0.out.bias", "0.norm2.weight",
         "0.norm2.bias", "0.up.weight", "0.up.bias", "0.down.weight", "0.down.bias",
         "norm.weight", "norm.bias"}};
    static const size_t tensors[] = {9, 7, 18};
    static const size_t parameters[] = {
        5 * 6 + 2 * (2 * 24 * 6 + 24) + 5 * 6 + 5, 5 * 6 + 2 * 18 * 6 + 2 * 18 + 35,
        5 * 8 + 6 * 8 + 12 * 64 + 13 * 8 + 2 * 8 + 5 * 8 + 5};
    for (size_t i = 0; i < 3; i++) {
        witan_sequence_model *model = NULL;
        witan_sequence_spec spec = specs[i];
        spec.layers = i == 0 ? 2 : 1;
        CHECK_STATUS(
            witan_sequence_new(&model, witan_allocator_default(), &spec, V, NULL),
            WITAN_OK);
        size_t offset = 0;
        CHECK(witan_sequence_tensors(model) == tensors[i]);
        for (size_t t = 0; t < tensors[i]; t++) {
            const witan_tensor_info *info = witan_sequence_tensor(model, t);
            if (t < 16 && expected[i][t] != NULL) {
                CHECK_STRING(info->name, expected[i][t]);
            }
            CHECK(info->offset == offset && info->trainable);
            offset += info->shape[0] * (info->dimensions == 2 ? info->shape[1] : 1);
        }
        CHECK(offset == witan_sequence_parameters(model));
        CHECK(offset == parameters[i]);
        witan_sequence_free(&model);
    }
}

static void
costs_count_multiply_adds(void)
{
    static const double costs[] = {2 * 2 * 24 * 6 + 30, 2 * 2 * 18 * 6 + 30,
                                   2 * (12 * 64 + 2 * 6 * 8) + 40};
    for (size_t i = 0; i < 3; i++) {
        static setting self;
        open_setting(&self, &specs[i]);
        CHECK_NEAR(witan_sequence_cost(self.model), costs[i], 0.0, 0.0);
        CHECK(witan_sequence_vocabulary(self.model) == V);
        CHECK(witan_sequence_spec_of(self.model)->cell == specs[i].cell);
        close_setting(&self);
    }
}

static void
fingerprints_tell_architectures_apart(void)
{
    witan_sequence_spec list[6] = {specs[0], specs[0], specs[0],
                                   specs[0], specs[1], specs[2]};
    unsigned char seen[6][32];
    list[1].dropout = 0.2; /* the same parameters */
    list[1].context = 3;
    list[2].width = 8;
    list[3].layers = 1;
    for (size_t i = 0; i < 6; i++) {
        witan_sequence_model *model = NULL;
        CHECK_STATUS(
            witan_sequence_new(&model, witan_allocator_default(), &list[i], V, NULL),
            WITAN_OK);
        witan_sequence_fingerprint(model, seen[i]);
        witan_sequence_free(&model);
        for (size_t k = 0; k < i; k++) {
            CHECK((memcmp(seen[i], seen[k], 32) == 0) == (i == 1 && k == 0));
        }
    }
}

/* Deviation of a tensor from its expected centre. */
static void
check_spread(const witan_sequence_model *model, const float *w, const char *name,
             double centre, double deviation, double bound)
{
    for (size_t t = 0; t < witan_sequence_tensors(model); t++) {
        const witan_tensor_info *info = witan_sequence_tensor(model, t);
        size_t count = info->shape[0] * (info->dimensions == 2 ? info->shape[1] : 1);
        double squares = 0.0, sum = 0.0, largest = 0.0;
        if (strcmp(info->name, name) != 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            double v = (double)w[info->offset + i] - centre;
            sum += v;
            squares += v * v;
            largest = fmax(largest, fabs(v));
        }
        double n = (double)count;
        CHECK_NEAR(sqrt(squares / n), deviation, 0.0, 5.0 / sqrt(2.0 * n));
        CHECK_NEAR(sum / n, 0.0, 5.0 * deviation / sqrt(n), 0.0);
        CHECK(bound > 0 ? largest <= bound : largest > 2.5 * deviation || !deviation);
        return;
    }
    CHECK(false);
}

static void
initial_weights_have_the_right_spread(void)
{
    static float w[200000];
    static const witan_sequence_spec lstm = {"lstm", WITAN_CELL_LSTM, 64, 1, 1, 8, 0,
                                             false};
    static const witan_sequence_spec transformer = {
        "transformer", WITAN_CELL_TRANSFORMER, 64, 2, 4, 32, 0, false};
    witan_sequence_model *model = NULL;
    witan_random random;
    witan_random_init(&random, witan_test_seed(15), 0, 0, WITAN_PURPOSE_INITIALISE);
    CHECK_STATUS(witan_sequence_new(&model, witan_allocator_default(), &lstm, 40, NULL),
                 WITAN_OK);
    witan_sequence_initialise(model, w, &random);
    check_spread(model, w, "embedding.weight", 0.0, 1.0, 0.0);
    check_spread(model, w, "0.input.weight", 0.0, 0.125 / sqrt(3.0), 0.125);
    check_spread(model, w, "0.recurrent.weight", 0.0, 0.125 / sqrt(3.0), 0.125);
    check_spread(model, w, "head.weight", 0.0, 0.125 / sqrt(3.0), 0.125);
    const float *bias = w + witan_sequence_tensor(model, 2)->offset;
    for (size_t i = 0; i < 256; i++) { /* the forget gate stands open */
        CHECK(bias[i] == (i / 64 == 1 ? 1.0f : 0.0f));
    }
    witan_sequence_free(&model);
    CHECK_STATUS(
        witan_sequence_new(&model, witan_allocator_default(), &transformer, 40, NULL),
        WITAN_OK);
    CHECK(witan_sequence_parameters(model) <= sizeof w / sizeof *w);
    witan_sequence_initialise(model, w, &random);
    check_spread(model, w, "embedding.weight", 0.0, 0.02, 0.0);
    check_spread(model, w, "position.weight", 0.0, 0.02, 0.0);
    check_spread(model, w, "1.qkv.weight", 0.0, 0.02, 0.0);
    check_spread(model, w, "0.out.weight", 0.0, 0.01, 0.0);
    check_spread(model, w, "1.up.weight", 0.0, 0.02, 0.0);
    check_spread(model, w, "1.down.weight", 0.0, 0.01, 0.0);
    check_spread(model, w, "head.weight", 0.0, 0.02, 0.0);
    check_spread(model, w, "1.norm2.weight", 1.0, 0.0, 0.0);
    check_spread(model, w, "norm.weight", 1.0, 0.0, 0.0);
    witan_sequence_free(&model);
}

/* --- texts and errors ----------------------------------------------------------- */

static void
check_text(const char *text, witan_cell cell, size_t width, size_t layers, size_t heads,
           size_t context)
{
    witan_sequence_spec spec;
    witan_diag diag = {0};
    CHECK_STATUS(witan_sequence_parse(&spec, text, &diag), WITAN_OK);
    CHECK_STRING(spec.name, text);
    CHECK(spec.cell == cell && spec.width == width && spec.layers == layers &&
          spec.heads == heads && spec.context == context && !(spec.dropout > 0));
}

static void
texts_are_parsed(void)
{
    check_text("lstm", WITAN_CELL_LSTM, 128, 1, 1, 64);
    check_text("lstm(200,2)", WITAN_CELL_LSTM, 200, 2, 1, 64);
    check_text("lstm(200,2,50)", WITAN_CELL_LSTM, 200, 2, 1, 50);
    check_text("gru(128)", WITAN_CELL_GRU, 128, 1, 1, 64);
    check_text("gru", WITAN_CELL_GRU, 128, 1, 1, 64);
    check_text("transformer", WITAN_CELL_TRANSFORMER, 128, 4, 4, 64);
    check_text("transformer(64,2,8)", WITAN_CELL_TRANSFORMER, 64, 2, 8, 64);
    check_text("transformer(64,2,8,256)", WITAN_CELL_TRANSFORMER, 64, 2, 8, 256);
    CHECK_STRING(witan_sequence_names()[2], "transformer");
    CHECK(witan_sequence_names()[3] == NULL);
}

static void
bad_texts_are_refused(void)
{
    static const char *const cases[][2] = {
        {"lsmt(3)", "did you mean \"lstm\"?"},
        {"perceptron", "known models: lstm, gru, transformer"},
        {"", "known models"},
        {"lstm()", "expected numbers"},
        {"lstm(1,2,3,4)", "at most 3"},
        {"gru(0)", "number 1 must be 1 to 65536"},
        {"gru(8,65)", "number 2 must be 1 to 64"},
        {"lstm(8,1,4097)", "number 3 must be 1 to 4096"},
        {"transformer(8,1)", "2 of 3 numbers"},
        {"transformer(8,1,1,5000)", "number 4 must be 1 to 4096"},
        {"lstm(8) ", "nothing may follow"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        witan_sequence_spec spec;
        witan_diag diag = {0};
        CHECK_STATUS(witan_sequence_parse(&spec, cases[i][0], &diag), WITAN_E_CONFIG);
        CHECK_CONTAINS(diag.message, cases[i][1]);
    }
}

static void
check_refused(witan_sequence_spec spec, size_t vocabulary, const char *message)
{
    witan_sequence_model *model = NULL;
    witan_diag diag = {0};
    CHECK_STATUS(
        witan_sequence_new(&model, witan_allocator_default(), &spec, vocabulary, &diag),
        WITAN_E_CONFIG);
    CHECK(model == NULL);
    CHECK_CONTAINS(diag.message, message);
}

static void
wrong_specs_are_refused(void)
{
    witan_sequence_spec spec = specs[2];
    check_refused(spec, 1, "model transformer: the vocabulary must be 2 to 65536");
    check_refused(spec, 65537, "the vocabulary");
    spec.heads = 3;
    check_refused(spec, V, "3 heads do not divide width 8");
    spec = specs[0];
    spec.width = 0;
    check_refused(spec, V, "width must be 1 to 65536, is 0");
    spec = specs[0];
    spec.layers = 65;
    check_refused(spec, V, "layers must be 1 to 64");
    spec = specs[0];
    spec.context = 0;
    check_refused(spec, V, "context must be 1 to 4096");
    spec = specs[0];
    spec.dropout = 1.0;
    check_refused(spec, V, "dropout must be 0 to below 1, is 1");
    spec.dropout = (double)NAN;
    check_refused(spec, V, "dropout");
    spec = specs[0];
    spec.width = 65536;
    check_refused(spec, V, "parameters are more than");
}

static void
sizes_are_bounded(void)
{
    static setting self;
    const witan_allocator *heap = witan_allocator_default();
    static const size_t bad[][2] = {{0, 1}, {1, 0}, {1, 7}, {65537, 1}};
    open_setting(&self, &specs[0]); /* context 6 */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        witan_sequence_workspace *ws = NULL;
        CHECK_STATUS(witan_sequence_workspace_new(&ws, heap, self.model, bad[i][0],
                                                  bad[i][1], true),
                     WITAN_E_LIMIT);
        CHECK(ws == NULL);
    }
    witan_sequence_stepper *stepper = NULL;
    CHECK_STATUS(witan_sequence_stepper_new(&stepper, heap, self.model, 0),
                 WITAN_E_LIMIT);
    CHECK_STATUS(witan_sequence_stepper_new(&stepper, heap, self.model, 65537),
                 WITAN_E_LIMIT);
    witan_sequence_workspace *large = NULL, *lean = NULL;
    CHECK_STATUS(witan_sequence_workspace_new(&large, heap, self.model, 64, 6, true),
                 WITAN_OK);
    CHECK_STATUS(witan_sequence_workspace_new(&lean, heap, self.model, 64, 6, false),
                 WITAN_OK);
    CHECK(3 * witan_sequence_workspace_bytes(lean) <
          2 * witan_sequence_workspace_bytes(large));
    witan_sequence_workspace_free(&large);
    witan_sequence_workspace_free(&lean);
    close_setting(&self);
}

static void
every_allocation_may_fail(void)
{
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        const witan_allocator *allocator = &failing.allocator;
        witan_sequence_model *model = NULL;
        witan_sequence_workspace *ws = NULL;
        witan_sequence_stepper *stepper = NULL;
        witan_diag diag = {0};
        witan_status status =
            witan_sequence_new(&model, allocator, &specs[2], V, &diag);
        CHECK((status == WITAN_OK) == (model != NULL));
        if (status == WITAN_OK) {
            status = witan_sequence_workspace_new(&ws, allocator, model, 2, 3, true);
            CHECK((status == WITAN_OK) == (ws != NULL));
        }
        if (status == WITAN_OK) {
            status = witan_sequence_stepper_new(&stepper, allocator, model, 2);
            CHECK((status == WITAN_OK) == (stepper != NULL));
        }
        witan_sequence_stepper_free(&stepper);
        witan_sequence_stepper_free(&stepper);
        witan_sequence_workspace_free(&ws);
        witan_sequence_workspace_free(&ws);
        witan_sequence_free(&model);
        witan_sequence_free(&model);
        CHECK(failing.live == 0);
        if (status == WITAN_OK) {
            CHECK(fail_at > 5);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
    }
}

int
main(void)
{
    RUN(gradients_match_differences);
    RUN(windows_are_independent_and_causal);
    RUN(the_past_counts);
    RUN(same_input_gives_same_bits);
    RUN(short_batches_ignore_the_rest);
    RUN(prediction_ignores_dropout);
    RUN(steps_equal_windows);
    RUN(tensors_cover_the_block);
    RUN(costs_count_multiply_adds);
    RUN(fingerprints_tell_architectures_apart);
    RUN(initial_weights_have_the_right_spread);
    RUN(texts_are_parsed);
    RUN(bad_texts_are_refused);
    RUN(wrong_specs_are_refused);
    RUN(sizes_are_bounded);
    RUN(every_allocation_may_fail);
    return witan_test_finish();
}
