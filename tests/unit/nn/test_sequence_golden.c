/* Token models against PyTorch: logits, loss, gradient, one clipped Adam step, and the
 * loss on the largest probabilities; for every instruction set of this processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/loss.h"
#include "nn/loss_top.h"
#include "nn/optimiser.h"
#include "nn/sequence.h"
#include "num/cpu.h"
#include "support/witan_test.h"

typedef struct golden_case {
    const char *name;
    witan_sequence_spec spec;
    size_t vocabulary;
} golden_case;

/* The same as CASES in tests/golden/gen/sequence.py. */
static const golden_case cases[] = {
    {"lstm", {"lstm", WITAN_CELL_LSTM, 10, 2, 1, 9, 0, false}, 11},
    {"lstm_one", {"lstm", WITAN_CELL_LSTM, 16, 1, 1, 8, 0, false}, 2},
    {"gru", {"gru", WITAN_CELL_GRU, 9, 2, 1, 9, 0, false}, 7},
    {"gru_one", {"gru", WITAN_CELL_GRU, 5, 1, 1, 8, 0, false}, 2},
    {"transformer", {"transformer", WITAN_CELL_TRANSFORMER, 12, 2, 3, 8, 0, false}, 9},
    {"transformer_full",
     {"transformer", WITAN_CELL_TRANSFORMER, 8, 1, 2, 5, 0, false},
     6},
    {"transformer_one",
     {"transformer", WITAN_CELL_TRANSFORMER, 4, 1, 1, 3, 0, false},
     2},
};

static witan_golden
load_part(const char *name, const char *part)
{
    char path[128];
    (void)snprintf(path, sizeof path, "sequence/%s_%s", name, part);
    return witan_golden_load(path);
}

static uint32_t *
golden_tokens(const witan_golden *golden)
{
    uint32_t *tokens = calloc(golden->count, sizeof *tokens);
    for (size_t i = 0; i < golden->count; i++) {
        tokens[i] = (uint32_t)golden->values[i];
    }
    return tokens;
}

/* The whole pass with the head in chunks of `chunk` positions; z and gradient out. */
static double
run_pass(const witan_sequence_model *model, witan_sequence_workspace *ws,
         const float *parameters, const uint32_t *tokens, size_t windows, size_t length,
         size_t chunk, float *z, float *gradient)
{
    size_t V = witan_sequence_vocabulary(model), rows = windows * length;
    float *dz = calloc(rows * V, sizeof *dz);
    uint32_t *label = calloc(rows, sizeof *label);
    double loss = 0.0;
    for (size_t i = 0; i < rows; i++) {
        label[i] = tokens[i / length * (length + 1) + i % length + 1];
    }
    witan_sequence_forward(model, ws, parameters, tokens, length + 1, windows, length,
                           true, NULL);
    for (size_t first = 0; first < rows; first += chunk) {
        size_t n = rows - first < chunk ? rows - first : chunk;
        float *z_n = z + first * V, *dz_n = dz + first * V;
        witan_sequence_logits(model, ws, parameters, z_n, first, n);
        double share = (double)n / (double)rows;
        loss += share * witan_loss_cross_entropy(dz_n, z_n, label + first, n, V);
        for (size_t i = 0; i < n * V; i++) {
            dz_n[i] *= (float)share;
        }
        witan_sequence_logits_backward(model, ws, dz_n, gradient, first, n);
    }
    witan_sequence_backward(model, ws, parameters, gradient);
    free(dz);
    free(label);
    return loss;
}

static void
check_step(const golden_case *one, float *parameters, const float *gradient,
           size_t count)
{
    const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                         .beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .epsilon_adam = 1e-3,
                                         .clip_l2 = 0.5};
    witan_golden stepped = load_part(one->name, "stepped");
    float *state = calloc(2 * count, sizeof *state);
    uint64_t step = 0;
    witan_optimiser_step(&adam, 0.01, parameters, gradient, state, &step, count);
    CHECK_GOLDEN(parameters, stepped.values, count, 2e-6, 2e-6);
    free(state);
    witan_golden_free(&stepped);
}

static void
check_case(const golden_case *one)
{
    witan_sequence_model *model = NULL;
    witan_sequence_workspace *ws = NULL, *predicting = NULL;
    const witan_allocator *heap = witan_allocator_default();
    CHECK_STATUS(witan_sequence_new(&model, heap, &one->spec, one->vocabulary, NULL),
                 WITAN_OK);
    witan_golden block = load_part(one->name, "block");
    witan_golden tokens = load_part(one->name, "tokens");
    witan_golden logits = load_part(one->name, "logits");
    witan_golden expected = load_part(one->name, "gradient");
    witan_golden loss = load_part(one->name, "loss");
    size_t count = witan_sequence_parameters(model), windows = tokens.shape[0];
    size_t length = tokens.shape[1] - 1;
    CHECK(block.count == count && expected.count == count);
    float *parameters = witan_golden_floats(&block);
    uint32_t *token = golden_tokens(&tokens);
    float *z = calloc(logits.count, sizeof *z);
    float *gradient = calloc(count, sizeof *gradient);
    CHECK_STATUS(witan_sequence_workspace_new(&ws, heap, model, windows, length, true),
                 WITAN_OK);
    CHECK_STATUS(witan_sequence_workspace_new(&predicting, heap, model, windows + 1,
                                              length, false),
                 WITAN_OK);
    witan_sequence_forward(model, predicting, parameters, token, length + 1, windows,
                           length, false, NULL);
    witan_sequence_logits(model, predicting, parameters, z, 0, windows * length);
    CHECK_GOLDEN(z, logits.values, logits.count, 1e-5, 1e-5);
    for (size_t chunk = 1; chunk <= windows * length; chunk += 4) {
        memset(z, 0, logits.count * sizeof *z);
        for (size_t i = 0; i < count; i++) {
            gradient[i] = 1e30f; /* must be overwritten */
        }
        double mean =
            run_pass(model, ws, parameters, token, windows, length, chunk, z, gradient);
        CHECK_NEAR(mean, loss.values[0], 1e-6, 1e-6);
        CHECK_GOLDEN(z, logits.values, logits.count, 1e-5, 1e-5);
        CHECK_GOLDEN(gradient, expected.values, count, 2e-6, 1e-5);
    }
    check_step(one, parameters, gradient, count);
    free(parameters);
    free(token);
    free(z);
    free(gradient);
    witan_golden *all[] = {&block, &tokens, &logits, &expected, &loss};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        witan_golden_free(all[i]);
    }
    witan_sequence_workspace_free(&ws);
    witan_sequence_workspace_free(&predicting);
    witan_sequence_free(&model);
}

static void
models_match_pytorch(void)
{
    for (witan_isa isa = WITAN_ISA_BASELINE; isa <= WITAN_ISA_AVX512; isa++) {
        if (!witan_cpu_select(isa)) {
            continue;
        }
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            printf("  %s, %s\n", cases[i].name, witan_isa_name(isa));
            check_case(&cases[i]);
        }
    }
    (void)witan_cpu_select(witan_cpu_best());
}

static void
top_losses_match_pytorch(void)
{
    static const char *const names[] = {"top_1", "top_3", "top_all"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        witan_golden z = load_part(names[i], "z"), token = load_part(names[i], "token");
        witan_golden mass = load_part(names[i], "mass"), dz = load_part(names[i], "dz");
        witan_golden loss = load_part(names[i], "loss");
        size_t N = z.shape[0], C = z.shape[1], k = token.shape[1];
        float *logits = witan_golden_floats(&z), *masses = witan_golden_floats(&mass);
        float *actual = calloc(N * C, sizeof *actual);
        uint32_t *tokens = golden_tokens(&token);
        double value =
            witan_loss_kl_top(actual, logits, tokens, masses, k, loss.values[1], N, C);
        CHECK_NEAR(value, loss.values[0], 1e-6, 1e-5);
        CHECK_GOLDEN(actual, dz.values, N * C, 1e-6, 1e-5);
        free(logits);
        free(masses);
        free(actual);
        free(tokens);
        witan_golden *all[] = {&z, &token, &mass, &dz, &loss};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++) {
            witan_golden_free(all[j]);
        }
    }
}

int
main(void)
{
    RUN(models_match_pytorch);
    RUN(top_losses_match_pytorch);
    return witan_test_finish();
}
