/* bench_model.c - images a second of training and prediction, one core, as JSON.
 *   bench_model [rounds [model...]]     default: 7 rounds of mlp(200) lenet cnn resnet
 * A training step is forward, cross-entropy and backward, without the optimiser.
 * sgemm 512^3 is measured in every round; "share" is GFLOP/s against its best. Rounds
 * interleave the models; the fastest step and the median round are printed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/loss.h"
#include "nn/model.h"
#include "num/cpu.h"
#include "num/gemm.h"

enum {
    BATCH = 64,
    CLASSES = 10,
    ROUNDS_MAX = 101,
    MODELS_MAX = 16,
    SGEMM = 512
};

typedef struct subject {
    const char *name;
    witan_model *model;
    witan_workspace *training, *predicting;
    float *parameters, *gradient, *dz;
    double train[ROUNDS_MAX], predict[ROUNDS_MAX]; /* images a second */
    double best_train, best_predict;
} subject;

static double
now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int
ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
open_subject(subject *self, const char *name)
{
    witan_model_spec spec;
    witan_diag diag = {0};
    witan_random random;
    const witan_allocator *heap = witan_allocator_default();
    self->name = name;
    if (witan_zoo_parse(&spec, name, &diag) != WITAN_OK ||
        witan_model_new(&self->model, heap, &spec, (witan_shape){28, 28, 1}, CLASSES,
                        &diag) != WITAN_OK ||
        witan_workspace_new(&self->training, heap, self->model, BATCH, true) !=
            WITAN_OK ||
        witan_workspace_new(&self->predicting, heap, self->model, BATCH, false) !=
            WITAN_OK) {
        fprintf(stderr, "%s: %s\n", name, diag.message);
        exit(1);
    }
    self->parameters = calloc(witan_model_parameters(self->model), sizeof(float));
    self->gradient = calloc(witan_model_trainable(self->model), sizeof(float));
    self->dz = calloc(BATCH * CLASSES, sizeof(float));
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_model_initialise(self->model, self->parameters, &random);
    for (size_t i = 0; i < BATCH * 784; i++) {
        float value = (float)witan_random_uniform(&random);
        witan_workspace_input(self->training)[i] = value;
        witan_workspace_input(self->predicting)[i] = value;
    }
}

static void
close_subject(subject *self)
{
    witan_workspace_free(&self->training);
    witan_workspace_free(&self->predicting);
    witan_model_free(&self->model);
    free(self->parameters);
    free(self->gradient);
    free(self->dz);
}

static void
train_step(subject *self)
{
    uint32_t labels[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        labels[i] = i % CLASSES;
    }
    const float *z = witan_model_forward(self->model, self->training, self->parameters,
                                         BATCH, true, NULL);
    (void)witan_loss_cross_entropy(self->dz, z, labels, BATCH, CLASSES);
    witan_model_backward(self->model, self->training, self->parameters, self->dz,
                         self->gradient);
}

static void
predict_step(subject *self)
{
    (void)witan_model_forward(self->model, self->predicting, self->parameters, BATCH,
                              false, NULL);
}

/* Images a second over about 0.1 s; *best is that of the fastest step. */
static double
rate_of(void (*step)(subject *), subject *self, double *best)
{
    size_t steps = 0;
    double start = now(), last = start, shortest = 1e9;
    do {
        step(self);
        steps++;
        double time = now();
        shortest = time - last < shortest ? time - last : shortest;
        last = time;
    } while (last - start < 0.1);
    *best = BATCH / shortest > *best ? BATCH / shortest : *best;
    return (double)(steps * BATCH) / (last - start);
}

static double
sgemm_gflops(float *c, const float *a, const float *b)
{
    double best = 0.0;
    for (int i = 0; i < 10; i++) {
        double start = now();
        witan_gemm(c, SGEMM, (witan_factor){a, SGEMM, false},
                   (witan_factor){b, SGEMM, false}, SGEMM, SGEMM, SGEMM, 0.0f);
        double rate = 2e-9 * SGEMM * SGEMM * SGEMM / (now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static void
print_subject(subject *self, size_t rounds, double peak, const char *end)
{
    double forward = 2e-9 * witan_model_cost(self->model);
    qsort(self->train, rounds, sizeof(double), ascending);
    qsort(self->predict, rounds, sizeof(double), ascending);
    double step = 2e-9 * witan_model_step_cost(self->model);
    printf("  {\"model\": \"%s\", \"train\": %.0f, \"train_median\": %.0f, "
           "\"train_gflops\": %.1f, \"train_share\": %.3f,\n"
           "   \"predict\": %.0f, \"predict_median\": %.0f, \"predict_gflops\": %.1f, "
           "\"predict_share\": %.3f, \"workspace_mib\": %.1f}%s\n",
           self->name, self->best_train, self->train[rounds / 2],
           self->best_train * step, self->best_train * step / peak, self->best_predict,
           self->predict[rounds / 2], self->best_predict * forward,
           self->best_predict * forward / peak,
           (double)witan_workspace_bytes(self->training) / 1048576.0, end);
}

int
main(int count, char **arguments)
{
    static const char *const usual[] = {"mlp(200)", "lenet", "cnn", "resnet"};
    static subject subjects[MODELS_MAX];
    size_t rounds = count > 1 ? strtoul(arguments[1], NULL, 10) : 7;
    size_t models = count > 2 ? (size_t)count - 2 : sizeof usual / sizeof *usual;
    if (rounds < 1 || rounds > ROUNDS_MAX || models > MODELS_MAX) {
        fprintf(stderr, "usage: bench_model [rounds 1-%d [model...]]\n", ROUNDS_MAX);
        return 2;
    }
    witan_blas_set_single_threaded();
    for (size_t i = 0; i < models; i++) {
        open_subject(&subjects[i], count > 2 ? arguments[2 + i] : usual[i]);
    }
    float *block = calloc(3 * SGEMM * SGEMM, sizeof *block), peak = 0.0f;
    for (size_t round = 0; round < rounds; round++) {
        float rate = (float)sgemm_gflops(block, block + SGEMM * SGEMM,
                                         block + 2 * SGEMM * SGEMM);
        peak = rate > peak ? rate : peak;
        for (size_t i = 0; i < models; i++) {
            subjects[i].train[round] =
                rate_of(train_step, &subjects[i], &subjects[i].best_train);
            subjects[i].predict[round] =
                rate_of(predict_step, &subjects[i], &subjects[i].best_predict);
        }
    }
    printf("{\"kernels\": \"%s\", \"blas\": \"%s\", \"batch\": %d, \"sgemm_gflops\": "
           "%.1f,\n"
           " \"models\": [\n",
           witan_isa_name(witan_cpu_isa()), witan_blas_core(), BATCH, (double)peak);
    for (size_t i = 0; i < models; i++) {
        print_subject(&subjects[i], rounds, (double)peak, i + 1 < models ? "," : "");
        close_subject(&subjects[i]);
    }
    printf(" ]}\n");
    free(block);
    return 0;
}
