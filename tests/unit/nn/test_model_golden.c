/* Whole models against PyTorch: logits, gradients, batch-norm statistics, for every
 * instruction set that this processor has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/model.h"
#include "num/cpu.h"
#include "support/witan_test.h"

#define DENSE(n)                                                                       \
    {                                                                                  \
        .kind = WITAN_LAYER_DENSE, .units = (n)                                        \
    }
#define CONV(f, k, s, p)                                                               \
    {                                                                                  \
        .kind = WITAN_LAYER_CONVOLUTION, .units = (f), .kernel = (k), .stride = (s),   \
        .padding = (p)                                                                 \
    }
#define POOL(type, k, s, p)                                                            \
    {                                                                                  \
        .kind = WITAN_LAYER_##type##_POOL, .kernel = (k), .stride = (s),               \
        .padding = (p)                                                                 \
    }
#define GROUP(g)                                                                       \
    {                                                                                  \
        .kind = WITAN_LAYER_GROUP_NORM, .groups = (g)                                  \
    }
#define PLAIN(type)                                                                    \
    {                                                                                  \
        .kind = WITAN_LAYER_##type                                                     \
    }

typedef struct golden_case {
    const char *name;
    witan_shape input;
    witan_layer_spec layer[20]; /* ends at count */
    size_t layers;
} golden_case;

/* The same as CASES in tests/golden/gen/nn_model.py. */
static const golden_case cases[] = {
    {"dense", {1, 1, 7}, {DENSE(9), PLAIN(RELU), DENSE(6), PLAIN(TANH)}, 4},
    {"gelu", {1, 1, 6}, {DENSE(8), PLAIN(GELU), DENSE(5), PLAIN(GELU)}, 4},
    {"conv_pool",
     {9, 7, 2},
     {CONV(5, 3, 1, 1), PLAIN(RELU), POOL(MAX, 2, 2, 0), CONV(9, 3, 1, 1), PLAIN(RELU),
      POOL(MAX, 2, 2, 0)},
     6},
    {"conv_wide",
     {6, 6, 8},
     {CONV(16, 3, 1, 1), PLAIN(RELU), CONV(24, 3, 1, 1), PLAIN(RELU),
      POOL(MAX, 2, 2, 0), DENSE(8), PLAIN(RELU)},
     7},
    {"conv_stride",
     {8, 7, 3},
     {CONV(4, 3, 1, 0), PLAIN(TANH), CONV(6, 3, 2, 1), PLAIN(RELU), CONV(5, 2, 3, 1)},
     5},
    {"lenet",
     {12, 12, 1},
     {CONV(6, 5, 1, 2), PLAIN(RELU), POOL(MAX, 2, 2, 0), CONV(16, 5, 1, 0), PLAIN(RELU),
      POOL(MAX, 2, 2, 0), DENSE(10), PLAIN(RELU)},
     8},
    {"max_pool",
     {7, 8, 2},
     {CONV(4, 3, 1, 1), POOL(MAX, 3, 2, 1), CONV(3, 1, 1, 0), POOL(MAX, 2, 1, 0)},
     4},
    {"average_pool",
     {7, 8, 2},
     {CONV(4, 3, 1, 1), POOL(AVERAGE, 3, 2, 1), POOL(AVERAGE, 2, 1, 0),
      CONV(5, 2, 1, 0), PLAIN(GLOBAL_AVERAGE_POOL)},
     5},
    {"group_norm",
     {5, 4, 3},
     {CONV(6, 3, 1, 1), GROUP(3), PLAIN(RELU), CONV(8, 3, 1, 1), GROUP(1), PLAIN(GELU)},
     6},
    {"batch_norm",
     {5, 4, 3},
     {CONV(6, 3, 1, 1), PLAIN(BATCH_NORM), PLAIN(RELU), DENSE(7), PLAIN(BATCH_NORM),
      PLAIN(TANH)},
     6},
    {"residual",
     {7, 6, 2},
     {CONV(4, 3, 1, 1), PLAIN(RELU), PLAIN(RESIDUAL_BEGIN), CONV(4, 3, 1, 1), GROUP(2),
      PLAIN(RELU), CONV(4, 3, 1, 1), PLAIN(RESIDUAL_END), PLAIN(RELU),
      PLAIN(RESIDUAL_BEGIN), CONV(6, 3, 2, 1), PLAIN(RELU), CONV(6, 3, 1, 1),
      PLAIN(RESIDUAL_END), PLAIN(RELU), PLAIN(GLOBAL_AVERAGE_POOL)},
     16},
};

static witan_golden
load_part(const char *name, const char *part)
{
    char path[128];
    (void)snprintf(path, sizeof path, "nn_model/%s_%s", name, part);
    return witan_golden_load(path);
}

static void
check_case(const golden_case *one)
{
    witan_model_spec spec = {.layers = one->layers};
    witan_model *model = NULL;
    witan_workspace *ws = NULL, *predicting = NULL;
    witan_diag diag = {0};
    (void)snprintf(spec.name, sizeof spec.name, "%s", one->name);
    memcpy(spec.layer, one->layer, sizeof one->layer);
    CHECK_STATUS(
        witan_model_new(&model, witan_allocator_default(), &spec, one->input, 3, &diag),
        WITAN_OK);
    if (model == NULL) {
        fprintf(stderr, "%s: %s\n", one->name, diag.message);
        return;
    }
    witan_golden block = load_part(one->name, "block"), x = load_part(one->name, "x");
    witan_golden dz = load_part(one->name, "dz"), eval = load_part(one->name, "eval");
    witan_golden train = load_part(one->name, "train");
    witan_golden gradient = load_part(one->name, "gradient");
    size_t trainable = witan_model_trainable(model), samples = x.shape[0];
    CHECK(witan_model_parameters(model) == block.count);
    CHECK(trainable == gradient.count);
    float *parameters = witan_golden_floats(&block), *inputs = witan_golden_floats(&x);
    float *dz_floats = witan_golden_floats(&dz);
    float *actual = calloc(trainable, sizeof *actual);
    CHECK_STATUS(
        witan_workspace_new(&ws, witan_allocator_default(), model, samples, true),
        WITAN_OK);
    CHECK_STATUS(witan_workspace_new(&predicting, witan_allocator_default(), model,
                                     samples + 1, false),
                 WITAN_OK);
    memcpy(witan_workspace_input(ws), inputs, x.count * sizeof *inputs);
    memcpy(witan_workspace_input(predicting), inputs, x.count * sizeof *inputs);
    const float *z =
        witan_model_forward(model, predicting, parameters, samples, false, NULL);
    CHECK_GOLDEN(z, eval.values, eval.count, 2e-5, 2e-5);
    z = witan_model_forward(model, ws, parameters, samples, false, NULL);
    CHECK_GOLDEN(z, eval.values, eval.count, 2e-5, 2e-5);
    z = witan_model_forward(model, ws, parameters, samples, true, NULL);
    CHECK_GOLDEN(z, train.values, train.count, 2e-5, 2e-5);
    witan_model_backward(model, ws, parameters, dz_floats, actual);
    CHECK_GOLDEN(actual, gradient.values, trainable, 5e-5, 5e-5);
    if (witan_model_parameters(model) > trainable) {
        witan_golden buffers = load_part(one->name, "buffers");
        CHECK(buffers.count == block.count - trainable);
        CHECK_GOLDEN(parameters + trainable, buffers.values, buffers.count, 1e-6, 1e-5);
        witan_golden_free(&buffers);
    }
    free(parameters);
    free(inputs);
    free(dz_floats);
    free(actual);
    witan_golden *all[] = {&block, &x, &dz, &eval, &train, &gradient};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        witan_golden_free(all[i]);
    }
    witan_workspace_free(&ws);
    witan_workspace_free(&predicting);
    witan_model_free(&model);
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

int
main(void)
{
    witan_blas_set_single_threaded();
    RUN(models_match_pytorch);
    return witan_test_finish();
}
