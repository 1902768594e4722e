/* test_private.c - DP-SGD: what a step is without noise, that rows are clipped one by
 * one, how they are sampled, what noise is added. Statistical checks use 5 standard
 * errors: over seeds each raises a false alarm in 6 of 10 million runs. */
#include <math.h>
#include <stdio.h>

#include "network_rig.h"

enum {
    BATCH = 8,
    GOLDEN_ROWS = 6,
};

static const witan_optimiser_config sgd = {.kind = WITAN_OPTIMISER_SGD, .lr = 1.0};
static const witan_optimiser_config momentum = {
    .kind = WITAN_OPTIMISER_SGD, .lr = 1.0, .momentum = 0.5, .weight_decay = 0.01};
static const char *const names[] = {"linear", "mlp(8)", "lstm(8)", "gru(6,2)",
                                    "transformer(8,1,2)"};
enum {
    NAMES = sizeof names / sizeof *names
};

/* A stream of bytes, as a simulation has it. */
static void
draw_bytes(void *context, void *bytes, size_t size)
{
    unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        at[i] = (unsigned char)witan_random_u32(context);
    }
}

static void
draw_zeros(void *context, void *bytes, size_t size)
{
    (void)context;
    memset(bytes, 0, size);
}

static witan_private_options
options_of(witan_random *random, double clip, double noise)
{
    return (witan_private_options){
        .clip = clip, .noise = noise, .random_bytes = draw_bytes, .context = random};
}

static void
start(witan_random *random, uint64_t seed)
{
    witan_random_init(random, witan_test_seed(seed), 0, 0, WITAN_PURPOSE_PRIVATE);
}

static witan_status
private_epoch(network_rig *self, size_t count, size_t batch,
              const witan_private_options *options, double *loss)
{
    witan_random dropout;
    start(&dropout, 77);
    return witan_network_private_epoch(&self->learner, self->bench, &rig_rows, rig_all,
                                       count, batch, 1.0, options, &dropout, loss);
}

static witan_model_spec
normed_spec(witan_layer_kind kind)
{
    witan_model_spec spec = {.name = "normed", .layers = 3};
    spec.layer[0] = (witan_layer_spec){.kind = WITAN_LAYER_DENSE, .units = 8};
    spec.layer[1] = (witan_layer_spec){.kind = kind, .groups = 2, .rate = 0.5};
    spec.layer[2] = (witan_layer_spec){.kind = WITAN_LAYER_TANH};
    return spec;
}

static witan_model_spec
spec_at(size_t i)
{
    witan_model_spec spec = normed_spec(WITAN_LAYER_GROUP_NORM);
    if (i < NAMES) {
        CHECK_STATUS(witan_zoo_parse(&spec, names[i], NULL), WITAN_OK);
    }
    return spec;
}

/* --- without noise -------------------------------------------------------------- */

static void
unclipped_whole_sample_is_a_plain_step(void)
{
    static network_rig self, plain;
    for (size_t i = 0; i <= NAMES; i++) {
        witan_model_spec spec = spec_at(i);
        witan_random random, order;
        double loss = 0.0, expected = 1.0;
        rig_open_spec(&self, &spec, RIG_ROWS, &momentum);
        rig_open_spec(&plain, &spec, RIG_ROWS, &momentum);
        start(&random, 40);
        start(&order, 41);
        witan_private_options options = options_of(&random, 1e9, 0.0);
        for (size_t epoch = 0; epoch < 2; epoch++) {
            memset(rig_seen, 0, sizeof rig_seen);
            CHECK_STATUS(private_epoch(&self, RIG_ROWS, RIG_ROWS, &options, &loss),
                         WITAN_OK);
            for (size_t row = 0; row < RIG_ROWS; row++) {
                CHECK(rig_seen[row] == 1);
            }
            CHECK_STATUS(witan_network_epoch(&plain.learner, plain.bench, &rig_rows,
                                             rig_all, RIG_ROWS, RIG_ROWS, 1.0, &order,
                                             NULL, &expected),
                         WITAN_OK);
            CHECK_NEAR(loss, expected, 1e-6, 1e-6);
        }
        CHECK_FLOATS(self.parameters, plain.parameters, RIG_PARAMETERS, 2e-6, 2e-6);
        CHECK_FLOATS(self.state, plain.state, RIG_PARAMETERS, 2e-6, 2e-6);
        CHECK(self.learner.optimiser_step == 2);
        rig_close(&self);
        rig_close(&plain);
    }
}

/* The gradient of one row by the passes of the model alone. */
static void
slow_gradient(const network_rig *self, uint32_t row, float *gradient)
{
    const witan_allocator *heap = witan_allocator_default();
    float z[RIG_LENGTH * RIG_OUTPUTS], dz[RIG_LENGTH * RIG_OUTPUTS];
    float parameters[RIG_PARAMETERS];
    memcpy(parameters, self->parameters, sizeof parameters);
    if (self->network.model != NULL) {
        witan_workspace *ws = NULL;
        CHECK_STATUS(witan_workspace_new(&ws, heap, self->network.model, 1, true),
                     WITAN_OK);
        memcpy(witan_workspace_input(ws), rig_data.x + row * RIG_FEATURES,
               RIG_FEATURES * sizeof(float));
        const float *logits =
            witan_model_forward(self->network.model, ws, parameters, 1, true, NULL);
        (void)witan_loss_cross_entropy(dz, logits, rig_data.label + row, 1,
                                       RIG_OUTPUTS);
        witan_model_backward(self->network.model, ws, parameters, dz, gradient);
        witan_workspace_free(&ws);
        return;
    }
    const witan_sequence_model *model = self->network.sequence;
    const uint32_t *window = rig_data.window + row * (RIG_LENGTH + 1);
    witan_sequence_workspace *ws = NULL;
    CHECK_STATUS(witan_sequence_workspace_new(&ws, heap, model, 1, RIG_LENGTH, true),
                 WITAN_OK);
    witan_sequence_forward(model, ws, parameters, window, 0, 1, RIG_LENGTH, true, NULL);
    witan_sequence_logits(model, ws, parameters, z, 0, RIG_LENGTH);
    (void)witan_loss_cross_entropy(dz, z, window + 1, RIG_LENGTH, RIG_OUTPUTS);
    witan_sequence_logits_backward(model, ws, dz, gradient, 0, RIG_LENGTH);
    witan_sequence_backward(model, ws, parameters, gradient);
    witan_sequence_workspace_free(&ws);
}

/* What a whole sample's step of size 1 subtracts when rows are clipped at the mean of
 * their norms, in double; returns that clip. */
static double
slow_step(const network_rig *self, double *step)
{
    static float gradient[RIG_ROWS][RIG_PARAMETERS];
    double norm[RIG_ROWS] = {0}, clip = 0.0;
    size_t count = witan_network_trainable(&self->network);
    for (uint32_t row = 0; row < RIG_ROWS; row++) {
        slow_gradient(self, row, gradient[row]);
        for (size_t i = 0; i < count; i++) {
            norm[row] += (double)gradient[row][i] * (double)gradient[row][i];
        }
        norm[row] = sqrt(norm[row]);
        clip += norm[row] / RIG_ROWS;
    }
    for (size_t i = 0; i < count; i++) {
        step[i] = 0.0;
        for (uint32_t row = 0; row < RIG_ROWS; row++) {
            step[i] += (double)gradient[row][i] * fmin(1.0, clip / norm[row]);
        }
        step[i] /= RIG_ROWS;
    }
    return clip;
}

static void
every_row_is_clipped(void)
{
    static network_rig self;
    static double step[RIG_PARAMETERS];
    for (size_t i = 0; i <= NAMES; i++) {
        witan_model_spec spec = spec_at(i);
        witan_random random;
        rig_open_spec(&self, &spec, 1, &sgd); /* a sample may exceed the batch */
        start(&random, 42);
        double clip = slow_step(&self, step);
        for (size_t k = 0; k < witan_network_trainable(&self.network); k++) {
            step[k] = (double)self.parameters[k] - step[k];
        }
        witan_private_options options = options_of(&random, clip, 0.0);
        CHECK_STATUS(private_epoch(&self, RIG_ROWS, RIG_ROWS, &options, NULL),
                     WITAN_OK);
        CHECK_GOLDEN(self.parameters, step, witan_network_trainable(&self.network),
                     5e-7, 1e-6);
        rig_close(&self);
    }
}

static witan_golden
load_part(const char *name, const char *part)
{
    char path[64];
    (void)snprintf(path, sizeof path, "private/%s_%s", name, part);
    return witan_golden_load(path);
}

static void
load_rows(void)
{
    witan_golden x = witan_golden_load("private/mlp_x");
    witan_golden label = witan_golden_load("private/mlp_label");
    witan_golden window = witan_golden_load("private/lstm_tokens");
    for (size_t i = 0; i < GOLDEN_ROWS * RIG_FEATURES; i++) {
        rig_data.x[i] = (float)x.values[i];
    }
    for (size_t i = 0; i < GOLDEN_ROWS; i++) {
        rig_data.label[i] = (uint32_t)label.values[i];
    }
    for (size_t i = 0; i < GOLDEN_ROWS * (RIG_LENGTH + 1); i++) {
        rig_data.window[i] = (uint32_t)window.values[i];
    }
    witan_golden_free(&x);
    witan_golden_free(&label);
    witan_golden_free(&window);
}

/* Each row's gradient as a step of one row, then one step of all of them. */
static void
check_parity(const char *name, const char *text)
{
    static network_rig self;
    witan_golden block = load_part(name, "block"), rows = load_part(name, "gradients");
    witan_golden norms = load_part(name, "norms"), stepped = load_part(name, "stepped");
    witan_random random;
    rig_open(&self, text, BATCH, &sgd);
    size_t count = witan_network_parameters(&self.network);
    CHECK(count == block.count && rows.count == GOLDEN_ROWS * count);
    for (size_t row = 0; row < GOLDEN_ROWS; row++) {
        const uint32_t index = (uint32_t)row;
        double *expected = rows.values + row * count;
        for (size_t i = 0; i < count; i++) {
            self.parameters[i] = (float)block.values[i];
            expected[i] = block.values[i] - expected[i];
        }
        start(&random, 43);
        witan_private_options options = options_of(&random, 1e9, 0.0);
        CHECK_STATUS(witan_network_private_epoch(&self.learner, self.bench, &rig_rows,
                                                 &index, 1, 1, 1.0, &options, NULL,
                                                 NULL),
                     WITAN_OK);
        CHECK_GOLDEN(self.parameters, expected, count, 3e-7, 1e-6);
    }
    for (size_t i = 0; i < count; i++) {
        self.parameters[i] = (float)block.values[i];
    }
    witan_private_options options = options_of(&random, norms.values[GOLDEN_ROWS], 0.0);
    CHECK_STATUS(witan_network_private_epoch(&self.learner, self.bench, &rig_rows,
                                             rig_all, GOLDEN_ROWS, GOLDEN_ROWS, 0.5,
                                             &options, NULL, NULL),
                 WITAN_OK);
    CHECK_GOLDEN(self.parameters, stepped.values, count, 3e-7, 1e-6);
    rig_close(&self);
    witan_golden_free(&block);
    witan_golden_free(&rows);
    witan_golden_free(&norms);
    witan_golden_free(&stepped);
}

static void
rows_match_pytorch(void)
{
    load_rows();
    check_parity("mlp", "mlp(5)");
    check_parity("lstm", "lstm(4)");
    rig_fill();
}

/* --- sampling and noise --------------------------------------------------------- */

static void
steps_and_rates(void)
{
    CHECK(witan_private_steps(40, 8) == 5 && witan_private_steps(41, 8) == 6);
    CHECK(witan_private_steps(3, 8) == 1);
    CHECK_NEAR(witan_private_rate(40, 8), 0.2, 1e-15, 0.0);
    CHECK(witan_private_rate(3, 8) == 1.0 && witan_private_rate(8, 8) == 1.0);
}

/* Rows come independently at the rate: their number in 1000 steps, each row's own, and
 * the spread of an epoch's, which a sample of fixed size would not have. */
static void
rows_are_sampled_at_the_rate(void)
{
    enum {
        EPOCHS = 200,
        STEPS = 5
    };
    static network_rig self;
    const double rate = 0.2, trials = EPOCHS * STEPS;
    double total = 0.0, square = 0.0;
    witan_random random;
    rig_open(&self, "linear", BATCH, &sgd);
    start(&random, 44);
    witan_private_options options = options_of(&random, 1.0, 0.0);
    memset(rig_seen, 0, sizeof rig_seen);
    for (size_t epoch = 0; epoch < EPOCHS; epoch++) {
        size_t seen = 0;
        CHECK_STATUS(private_epoch(&self, RIG_ROWS, BATCH, &options, NULL), WITAN_OK);
        for (size_t row = 0; row < RIG_ROWS; row++) {
            seen += rig_seen[row];
        }
        double fresh = (double)seen - total, off = fresh - rate * STEPS * RIG_ROWS;
        total += fresh;
        square += off * off / EPOCHS;
    }
    CHECK(self.learner.optimiser_step == EPOCHS * STEPS);
    double variance = rate * (1.0 - rate);
    CHECK_NEAR(total, rate * trials * RIG_ROWS, 5 * sqrt(variance * trials * RIG_ROWS),
               0.0);
    CHECK_NEAR(square / (variance * STEPS * RIG_ROWS), 1.0, 5 * sqrt(2.0 / EPOCHS),
               0.0);
    for (size_t row = 0; row < RIG_ROWS; row++) {
        CHECK_NEAR((double)rig_seen[row], rate * trials, 5 * sqrt(variance * trials),
                   0.0);
    }
    rig_close(&self);
}

/* Moments of the noise of one step, so large that gradients vanish in it. */
static void
noise_is_normal(void)
{
    static network_rig self;
    const double noise = 1e6, clip = 0.5;
    double moment[5] = {0}, pairs = 0.0, beyond = 0.0;
    witan_random random;
    rig_open(&self, "mlp(360)", BATCH, &sgd);
    memset(self.parameters, 0, sizeof self.parameters);
    start(&random, 45);
    witan_private_options options = options_of(&random, clip, noise);
    CHECK_STATUS(private_epoch(&self, BATCH, BATCH, &options, NULL), WITAN_OK);
    CHECK(self.learner.optimiser_step == 1);
    size_t count = witan_network_trainable(&self.network);
    double n = (double)count, last = 0.0;
    for (size_t i = 0; i < count; i++) {
        double x = -(double)self.parameters[i] * BATCH / (noise * clip);
        for (size_t k = 1; k < 5; k++) {
            moment[k] += pow(x, (double)k) / n;
        }
        beyond += fabs(x) > 1.959963984540054;
        pairs += x * last / n;
        last = x;
    }
    CHECK_NEAR(moment[1], 0.0, 5 * sqrt(1.0 / n), 0.0);
    CHECK_NEAR(moment[2], 1.0, 5 * sqrt(2.0 / n), 0.0);
    CHECK_NEAR(moment[3], 0.0, 5 * sqrt(15.0 / n), 0.0);
    CHECK_NEAR(moment[4], 3.0, 5 * sqrt(96.0 / n), 0.0);
    CHECK_NEAR(pairs, 0.0, 5 * sqrt(1.0 / n), 0.0);
    CHECK_NEAR(beyond / n, 0.05, 5 * sqrt(0.05 * 0.95 / n), 0.0);
    rig_close(&self);
}

/* Nobody is sampled: noise is added and a step is taken all the same. */
static void
an_empty_sample_is_a_step(void)
{
    static network_rig self;
    double loss = 1.0;
    rig_open(&self, "linear", BATCH, &sgd);
    memset(self.parameters, 0, sizeof self.parameters);
    memset(rig_seen, 0, sizeof rig_seen);
    const witan_private_options options = {
        .clip = 2.0, .noise = 0.5, .random_bytes = draw_zeros};
    CHECK_STATUS(private_epoch(&self, RIG_ROWS, RIG_ROWS / 2, &options, &loss),
                 WITAN_OK);
    CHECK(self.learner.optimiser_step == 2 && loss == 0.0);
    for (size_t row = 0; row < RIG_ROWS; row++) {
        CHECK(rig_seen[row] == 0);
    }
    /* The longest normal of this source, twice, over the expected sample. */
    CHECK_NEAR((double)self.parameters[0],
               -2.0 * sqrt(2.0 * 53.0 * log(2.0)) / (RIG_ROWS / 2), 0.0, 1e-6);
    CHECK_STATUS(private_epoch(&self, 0, BATCH, &options, &loss), WITAN_OK);
    CHECK(self.learner.optimiser_step == 2);
    rig_close(&self);
}

/* --- rules ---------------------------------------------------------------------- */

/* Same bytes, same bits, with dropout as well; the optimiser's own clipping is off. */
static void
same_bytes_same_bits(void)
{
    static network_rig self[4];
    witan_optimiser_config clipping = momentum;
    clipping.clip_l2 = 1e-3;
    for (size_t i = 0; i <= NAMES; i++) {
        double loss[4];
        witan_model_spec spec =
            i < NAMES ? spec_at(i) : normed_spec(WITAN_LAYER_DROPOUT);
        spec.sequence.dropout = 0.3;
        for (size_t k = 0; k < 4; k++) {
            witan_random random;
            rig_open_spec(&self[k], &spec, BATCH, k == 1 ? &clipping : &momentum);
            start(&random, k == 2 ? 47 : 46);
            witan_private_options options = options_of(&random, 0.5, k == 3 ? 0 : 0.1);
            CHECK_STATUS(private_epoch(&self[k], RIG_ROWS, BATCH, &options, &loss[k]),
                         WITAN_OK);
        }
        size_t bytes = sizeof self[0].parameters;
        CHECK(loss[0] == loss[1] && loss[0] > 0.0);
        CHECK(memcmp(self[0].parameters, self[1].parameters, bytes) == 0);
        CHECK(memcmp(self[0].state, self[1].state, bytes) == 0);
        CHECK(memcmp(self[0].parameters, self[2].parameters, bytes) != 0);
        CHECK(memcmp(self[0].parameters, self[3].parameters, bytes) != 0);
        for (size_t k = 0; k < 4; k++) {
            rig_close(&self[k]);
        }
    }
}

static void
batch_norm_is_refused(void)
{
    static network_rig self, before;
    witan_random random;
    witan_model_spec spec = normed_spec(WITAN_LAYER_BATCH_NORM);
    start(&random, 48);
    witan_private_options options = options_of(&random, 1.0, 1.0);
    rig_open_spec(&self, &spec, BATCH, &sgd);
    before = self;
    CHECK_STATUS(private_epoch(&self, RIG_ROWS, BATCH, &options, NULL), WITAN_E_CONFIG);
    CHECK(self.learner.optimiser_step == 0);
    CHECK(memcmp(self.parameters, before.parameters, sizeof self.parameters) == 0);
    rig_close(&self);
}

static void
what_is_not_finite_is_an_error(void)
{
    static network_rig self;
    for (size_t i = 0; i < NAMES; i++) {
        witan_random random;
        start(&random, 49);
        witan_private_options options = options_of(&random, 1.0, 0.0);
        rig_open(&self, names[i], BATCH, &sgd);
        size_t last = witan_network_parameters(&self.network) - 1;
        self.parameters[last] = (float)NAN;
        CHECK_STATUS(private_epoch(&self, RIG_ROWS, RIG_ROWS, &options, NULL),
                     WITAN_E_NUMERIC);
        CHECK(self.learner.optimiser_step == 0); /* no step is taken */
        self.parameters[last] = 0.0f;
        CHECK_STATUS(witan_network_private_epoch(
                         &self.learner, self.bench, &rig_rows, rig_all, RIG_ROWS,
                         RIG_ROWS, (double)INFINITY, &options, NULL, NULL),
                     WITAN_E_NUMERIC);
        rig_close(&self);
    }
}

static void
epochs_allocate_nothing(void)
{
    static network_rig self;
    for (size_t i = 0; i < NAMES; i++) {
        witan_failing_allocator counting;
        witan_random random;
        witan_failing_allocator_init(&counting, 0);
        start(&random, 50);
        witan_private_options options = options_of(&random, 1.0, 0.5);
        rig_open(&self, names[i], BATCH, &sgd);
        witan_network_bench_free(&self.bench);
        CHECK_STATUS(witan_network_bench_new(&self.bench, &counting.allocator,
                                             &self.network, BATCH, BATCH, RIG_ROWS, 0),
                     WITAN_OK);
        size_t before = counting.allocations;
        CHECK_STATUS(private_epoch(&self, RIG_ROWS, BATCH, &options, NULL), WITAN_OK);
        CHECK(counting.allocations == before && before > 4);
        rig_close(&self);
        CHECK(counting.live == 0);
    }
}

int
main(void)
{
    rig_fill();
    RUN(unclipped_whole_sample_is_a_plain_step);
    RUN(every_row_is_clipped);
    RUN(rows_match_pytorch);
    RUN(steps_and_rates);
    RUN(rows_are_sampled_at_the_rate);
    RUN(noise_is_normal);
    RUN(an_empty_sample_is_a_step);
    RUN(same_bytes_same_bits);
    RUN(batch_norm_is_refused);
    RUN(what_is_not_finite_is_an_error);
    RUN(epochs_allocate_nothing);
    return witan_test_finish();
}
