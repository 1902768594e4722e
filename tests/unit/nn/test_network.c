/* test_network.c - one interface over both kinds of model: what it calls, bit for bit,
 * and what it refuses. */
#include <math.h>

#include "network_rig.h"

enum {
    BATCH = 8,
    LOGITS = RIG_ROWS * RIG_LENGTH * RIG_OUTPUTS,
};

static const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                            .lr = 0.01,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon_adam = 1e-8};
static const char *const features[] = {"linear", "mlp(8)"};
static const char *const tokens[] = {"lstm(8)", "gru(6,2)", "transformer(8,1,2)"};

static void
give_soft(const void *context, const uint32_t *positions, size_t count, float *q)
{
    size_t row = *(const size_t *)context * RIG_OUTPUTS;
    for (size_t i = 0; i < count * row; i++) {
        size_t hit = positions[i / row] % RIG_OUTPUTS;
        q[i] = i % RIG_OUTPUTS == hit ? 0.7f : 0.1f;
    }
}

static void
give_top(const void *context, const uint32_t *positions, size_t count, uint32_t *token,
         float *mass)
{
    size_t row = *(const size_t *)context;
    for (size_t i = 0; i < count * row; i++) {
        token[i] = positions[i / row] % RIG_OUTPUTS;
        mass[i] = 0.7f;
    }
}

static witan_network_targets
soft_targets(const size_t *positions, size_t top)
{
    return (witan_network_targets){
        .dense = give_soft, .top = top, .sparse = give_top, .context = positions};
}

static void
start_streams(witan_random *order, witan_random *dropout)
{
    witan_random_init(order, 3, 0, 0, WITAN_PURPOSE_TRAIN);
    witan_random_init(dropout, 3, 0, 0, WITAN_PURPOSE_DROPOUT_TRAIN);
}

/* A network's epochs and logits are those of the model itself: same bits, same steps.
 */
static void
features_go_to_the_model(void)
{
    static network_rig self, plain;
    static float z[RIG_ROWS * RIG_OUTPUTS], expected[RIG_ROWS * RIG_OUTPUTS];
    const size_t one = 1;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        witan_random order, dropout;
        witan_bench *bench = NULL;
        double loss = 0.0, other = 1.0;
        rig_open(&self, features[i], BATCH, &adam);
        rig_open(&plain, features[i], BATCH, &adam);
        witan_learner learner = {.model = plain.network.model,
                                 .parameters = plain.parameters,
                                 .optimiser_state = plain.state,
                                 .optimiser = &adam};
        witan_network_targets targets = soft_targets(&one, 0);
        witan_targets same = {.gather = give_soft, .context = &one};
        CHECK_STATUS(witan_bench_new(&bench, witan_allocator_default(), learner.model,
                                     BATCH, 7, RIG_ROWS),
                     WITAN_OK);
        start_streams(&order, &dropout);
        CHECK_STATUS(witan_network_epoch(&self.learner, self.bench, &rig_rows, rig_all,
                                         RIG_ROWS - 3, BATCH, 0.01, &order, &dropout,
                                         &loss),
                     WITAN_OK);
        CHECK_STATUS(witan_network_distill_epoch(&self.learner, self.bench, &rig_rows,
                                                 rig_all, RIG_ROWS - 3, &targets,
                                                 WITAN_DISTILL_MSE, 1.0, BATCH, 0.01,
                                                 &order, &dropout, NULL),
                     WITAN_OK);
        start_streams(&order, &dropout);
        CHECK_STATUS(witan_learn_epoch(&learner, bench, &rig_rows, rig_all,
                                       RIG_ROWS - 3, BATCH, 0.01, &order, &dropout,
                                       &other),
                     WITAN_OK);
        CHECK_STATUS(witan_learn_distill_epoch(
                         &learner, bench, &rig_rows, rig_all, RIG_ROWS - 3, &same,
                         WITAN_DISTILL_MSE, 1.0, BATCH, 0.01, &order, &dropout, NULL),
                     WITAN_OK);
        CHECK(loss == other && loss > 0.0);
        CHECK(self.learner.optimiser_step == 10 && learner.optimiser_step == 10);
        CHECK(memcmp(self.parameters, plain.parameters, sizeof plain.parameters) == 0);
        CHECK(memcmp(self.state, plain.state, sizeof plain.state) == 0);
        CHECK_STATUS(witan_network_predict(&self.learner, self.bench, &rig_rows,
                                           rig_all, RIG_ROWS, z),
                     WITAN_OK);
        CHECK_STATUS(witan_learn_predict(&learner, bench, &rig_rows, rig_all, RIG_ROWS,
                                         expected),
                     WITAN_OK);
        CHECK(memcmp(z, expected, sizeof z) == 0);
        witan_bench_free(&bench);
        rig_close(&self);
        rig_close(&plain);
    }
}

static void
check_tokens(const char *name, size_t top)
{
    static network_rig self, plain;
    static float z[LOGITS], expected[LOGITS];
    const size_t length = RIG_LENGTH;
    witan_random order, dropout;
    witan_sequence_bench *bench = NULL;
    double loss = 0.0, other = 1.0;
    rig_open(&self, name, BATCH, &adam);
    rig_open(&plain, name, BATCH, &adam);
    witan_sequence_learner learner = {.model = plain.network.sequence,
                                      .parameters = plain.parameters,
                                      .optimiser_state = plain.state,
                                      .optimiser = &adam};
    witan_network_targets targets = soft_targets(&length, top);
    witan_token_targets same = {
        .top = top, .dense = give_soft, .sparse = give_top, .context = &length};
    witan_token_rows windows = {.gather = rig_windows, .context = &rig_data};
    CHECK_STATUS(witan_sequence_bench_new(&bench, witan_allocator_default(),
                                          learner.model, RIG_LENGTH, BATCH, 7, RIG_ROWS,
                                          RIG_OUTPUTS),
                 WITAN_OK);
    start_streams(&order, &dropout);
    CHECK_STATUS(witan_network_epoch(&self.learner, self.bench, &rig_rows, rig_all,
                                     RIG_ROWS - 3, BATCH, 0.01, &order, &dropout, NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_network_distill_epoch(
                     &self.learner, self.bench, &rig_rows, rig_all, RIG_ROWS, &targets,
                     WITAN_DISTILL_KL, 2.0, BATCH, 0.01, &order, &dropout, &loss),
                 WITAN_OK);
    start_streams(&order, &dropout);
    CHECK_STATUS(witan_sequence_epoch(&learner, bench, &windows, rig_all, RIG_ROWS - 3,
                                      BATCH, 0.01, &order, &dropout, NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_sequence_distill_epoch(&learner, bench, &windows, rig_all,
                                              RIG_ROWS, &same, 2.0, BATCH, 0.01, &order,
                                              &dropout, &other),
                 WITAN_OK);
    CHECK(loss == other && loss > 0.0);
    CHECK(self.learner.optimiser_step == 10 && learner.optimiser_step == 10);
    CHECK(memcmp(self.parameters, plain.parameters, sizeof plain.parameters) == 0);
    CHECK(memcmp(self.state, plain.state, sizeof plain.state) == 0);
    CHECK_STATUS(witan_network_predict(&self.learner, self.bench, &rig_rows, rig_all,
                                       RIG_ROWS, z),
                 WITAN_OK);
    CHECK_STATUS(
        witan_sequence_predict(&learner, bench, &windows, rig_all, RIG_ROWS, expected),
        WITAN_OK);
    CHECK(memcmp(z, expected, sizeof z) == 0);
    witan_sequence_bench_free(&bench);
    rig_close(&self);
    rig_close(&plain);
}

static void
tokens_go_to_the_sequence_model(void)
{
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        check_tokens(tokens[i], i % 2);
    }
}

static void
labels_of_both_kinds(void)
{
    static network_rig self;
    uint32_t label[RIG_ROWS * RIG_LENGTH];
    const uint32_t some[] = {5, 0, 39};
    rig_open(&self, "linear", BATCH, &adam);
    CHECK(self.network.positions == 1 && self.network.outputs == RIG_OUTPUTS);
    witan_network_labels(&self.network, &rig_rows, some, 3, label);
    for (size_t i = 0; i < 3; i++) {
        CHECK(label[i] == rig_data.label[some[i]]);
    }
    rig_close(&self);
    rig_open(&self, "gru(4)", BATCH, &adam);
    CHECK(self.network.positions == RIG_LENGTH && self.network.outputs == RIG_OUTPUTS);
    witan_network_labels(&self.network, &rig_rows, some, 3, label);
    for (size_t i = 0; i < 3 * RIG_LENGTH; i++) {
        CHECK(label[i] == rig_data.window[some[i / RIG_LENGTH] * (RIG_LENGTH + 1) +
                                          i % RIG_LENGTH + 1]);
    }
    rig_close(&self);
}

static void
what_a_network_is(void)
{
    static network_rig self;
    unsigned char digest[32], expected[32];
    rig_open(&self, "mlp(8)", BATCH, &adam);
    const witan_model *model = self.network.model;
    CHECK_STRING(witan_network_name(&self.network), "mlp(8)");
    CHECK(witan_network_parameters(&self.network) == 6 * 8 + 8 + 8 * 4 + 4);
    CHECK(witan_network_trainable(&self.network) == witan_model_trainable(model));
    CHECK(witan_network_tensors(&self.network) == 4);
    CHECK_STRING(witan_network_tensor(&self.network, 0)->name,
                 witan_model_tensor(model, 0)->name);
    CHECK_NEAR(witan_network_cost(&self.network), witan_model_cost(model), 0, 0);
    witan_network_fingerprint(&self.network, digest);
    witan_model_fingerprint(model, expected);
    CHECK(memcmp(digest, expected, sizeof digest) == 0);
    rig_close(&self);
    rig_open(&self, "lstm(8)", BATCH, &adam);
    const witan_sequence_model *sequence = self.network.sequence;
    CHECK_STRING(witan_network_name(&self.network), "lstm(8)");
    CHECK(witan_network_parameters(&self.network) ==
          witan_sequence_parameters(sequence));
    CHECK(witan_network_trainable(&self.network) ==
          witan_sequence_parameters(sequence));
    CHECK(witan_network_tensors(&self.network) == witan_sequence_tensors(sequence));
    CHECK_STRING(witan_network_tensor(&self.network, 0)->name, "embedding.weight");
    CHECK_NEAR(witan_network_cost(&self.network),
               RIG_LENGTH * witan_sequence_cost(sequence), 0, 0);
    witan_network_fingerprint(&self.network, digest);
    witan_sequence_fingerprint(sequence, expected);
    CHECK(memcmp(digest, expected, sizeof digest) == 0);
    rig_close(&self);
}

static witan_status
try_network(const char *name, size_t length, witan_network *network, witan_diag *diag)
{
    witan_model_spec spec;
    witan_input input = {.shape = {8, 8, 1}, .length = length, .outputs = 10};
    CHECK_STATUS(witan_zoo_parse(&spec, name, NULL), WITAN_OK);
    return witan_network_init(network, witan_allocator_default(), &spec, &input, diag);
}

static void
context_follows_the_windows(void)
{
    witan_network network;
    witan_diag diag = {0};
    const struct {
        const char *name;
        size_t length, context;
    } cases[] = {{"transformer(8,1,2)", 200, 200},
                 {"transformer(8,1,2)", 20, 20},
                 {"transformer(8,1,2,50)", 20, 50},
                 {"lstm(8,1,20)", 20, 20},
                 {"gru", 4096, 4096}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_STATUS(try_network(cases[i].name, cases[i].length, &network, &diag),
                     WITAN_OK);
        CHECK(witan_sequence_spec_of(network.sequence)->context == cases[i].context);
        CHECK(network.positions == cases[i].length);
        witan_network_fini(&network);
    }
}

static void
check_refused(const char *name, size_t length, const char *part)
{
    witan_network network;
    witan_diag diag = {0};
    CHECK_STATUS(try_network(name, length, &network, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
    CHECK(network.model == NULL && network.sequence == NULL);
    witan_network_fini(&network);
}

static void
what_does_not_fit_is_refused(void)
{
    static network_rig self;
    witan_random order;
    const size_t length = RIG_LENGTH;
    check_refused("lstm(128)", 0,
                  "model lstm(128) reads text, the data are rows of 8x8x1; use linear");
    check_refused("mlp(20)", 64,
                  "model mlp(20) reads rows of numbers, the data are windows of 64 "
                  "tokens; use lstm");
    check_refused("transformer(8,1,2,63)", 64,
                  "its context of 63 tokens is shorter than the data's windows of 64");
    check_refused("gru", 4097, "context must be 1 to 4096, is 4097");
    rig_open(&self, "gru(4)", BATCH, &adam);
    witan_network_targets targets = soft_targets(&length, 0);
    witan_random_init(&order, 1, 0, 0, WITAN_PURPOSE_TEST);
    CHECK_STATUS(witan_network_distill_epoch(&self.learner, self.bench, &rig_rows,
                                             rig_all, 4, &targets, WITAN_DISTILL_MAE,
                                             1.0, BATCH, 0.01, &order, NULL, NULL),
                 WITAN_E_INVALID);
    CHECK(self.learner.optimiser_step == 0);
    float z[LOGITS];
    self.parameters[witan_network_parameters(&self.network) - 1] = (float)NAN;
    CHECK_STATUS(witan_network_predict(&self.learner, self.bench, &rig_rows, rig_all,
                                       RIG_ROWS, z),
                 WITAN_E_NUMERIC);
    rig_close(&self);
}

/* A failed epoch has taken steps; the learner knows how many. */
static void
steps_survive_an_error(void)
{
    static network_rig self;
    const char *const names[] = {"linear", "lstm(4)"};
    for (size_t i = 0; i < 2; i++) {
        witan_random order;
        rig_open(&self, names[i], BATCH, &adam);
        witan_random_init(&order, 1, 0, 0, WITAN_PURPOSE_TEST);
        CHECK_STATUS(witan_network_epoch(&self.learner, self.bench, &rig_rows, rig_all,
                                         RIG_ROWS, BATCH, (double)INFINITY, &order,
                                         NULL, NULL),
                     WITAN_E_NUMERIC);
        CHECK(self.learner.optimiser_step >= 1);
        rig_close(&self);
    }
}

static void
every_allocation_may_fail(void)
{
    const char *const names[] = {"mlp(8)", "lstm(8)", "transformer(8,1,2)"};
    for (size_t i = 0; i < 3; i++) {
        witan_model_spec spec;
        CHECK_STATUS(witan_zoo_parse(&spec, names[i], NULL), WITAN_OK);
        const witan_input input = {
            .shape = {1, 1, 6}, .length = spec.reads_tokens ? 5 : 0, .outputs = 4};
        size_t fail_at = 1;
        for (witan_status status = WITAN_E_MEMORY; status != WITAN_OK; fail_at++) {
            witan_failing_allocator failing;
            witan_network network;
            witan_network_bench *bench = NULL;
            witan_failing_allocator_init(&failing, fail_at);
            status =
                witan_network_init(&network, &failing.allocator, &spec, &input, NULL);
            if (status == WITAN_OK) {
                status = witan_network_bench_new(&bench, &failing.allocator, &network,
                                                 4, 4, 10, 2);
            }
            CHECK((status == WITAN_OK) == (bench != NULL));
            CHECK(status == WITAN_OK || status == WITAN_E_MEMORY);
            witan_network_bench_free(&bench);
            witan_network_bench_free(&bench);
            witan_network_fini(&network);
            witan_network_fini(&network);
            CHECK(failing.live == 0);
        }
        CHECK(fail_at > 12);
    }
}

static void
bench_sizes(void)
{
    static network_rig self;
    witan_network_bench *bench = NULL;
    const witan_allocator *heap = witan_allocator_default();
    rig_open(&self, "lstm(4)", BATCH, &adam);
    CHECK_STATUS(witan_network_bench_new(&bench, heap, &self.network, 0, 1, 1, 0),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_network_bench_new(&bench, heap, &self.network, 1, 0, 1, 0),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_network_bench_new(&bench, heap, &self.network, 1, 1, 1, 5),
                 WITAN_E_INVALID);
    CHECK_STATUS(
        witan_network_bench_new(&bench, heap, &self.network, (size_t)1 << 40, 1, 1, 0),
        WITAN_E_LIMIT);
    CHECK(bench == NULL);
    /* Predictions of any size are taken in parts that fit. */
    CHECK_STATUS(witan_network_bench_new(&bench, heap, &self.network, 1, 65536, 1, 0),
                 WITAN_OK);
    witan_network_bench_free(&bench);
    rig_close(&self);
}

int
main(void)
{
    rig_fill();
    RUN(features_go_to_the_model);
    RUN(tokens_go_to_the_sequence_model);
    RUN(labels_of_both_kinds);
    RUN(what_a_network_is);
    RUN(context_follows_the_windows);
    RUN(what_does_not_fit_is_refused);
    RUN(steps_survive_an_error);
    RUN(every_allocation_may_fail);
    RUN(bench_sizes);
    return witan_test_finish();
}
