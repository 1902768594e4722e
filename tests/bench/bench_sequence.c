/* bench_sequence.c - token models on one core, as JSON.
 *   bench_sequence [seconds [model...]]       default: 3 seconds of lstm(200,2,50)
 * Training: steps of 64 windows of the model's context (vocabulary 65) with Adam and
 * clipping; tokens a second of the fastest step and of the median step, and tokens a
 * second of processor time, which a busy machine distorts less. "gflops" is of the
 * latter and counts three times the multiply-adds of a forward pass.
 * Exposure: log-probabilities of all 10^6 six-digit fills of a template under a 1 x 128
 * LSTM by prefix trie, in seconds, with their sum, which must be below 1. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/sequence_learn.h"
#include "num/cpu.h"
#include "privacy/search.h"

enum {
    BATCH = 64,
    VOCABULARY = 65,
    STEPS_MAX = 4096,
    DIGITS = 6,
    STATES = 1024, /* stepped at once */
};

static double
read_clock(clockid_t clock)
{
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double
now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int
ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A text whose frequent symbols are frequent, as in English. */
static void
gather(const void *context, const uint32_t *indices, size_t count, uint32_t *tokens)
{
    size_t length = *(const size_t *)context;
    for (size_t i = 0; i < count; i++) {
        witan_random random;
        witan_random_init(&random, 1, indices[i], 0, WITAN_PURPOSE_TEST);
        for (size_t t = 0; t <= length; t++) {
            double u = witan_random_uniform(&random);
            *tokens++ = (uint32_t)(VOCABULARY * u * u * u);
        }
    }
}

static witan_sequence_model *
model_of(const char *text)
{
    witan_sequence_spec spec;
    witan_sequence_model *model = NULL;
    witan_diag diag = {0};
    if (witan_sequence_parse(&spec, text, &diag) != WITAN_OK ||
        witan_sequence_new(&model, witan_allocator_default(), &spec, VOCABULARY,
                           &diag) != WITAN_OK) {
        fprintf(stderr, "bench_sequence: %s\n", diag.message);
        exit(2);
    }
    return model;
}

static void
train(const char *text, double seconds)
{
    static double times[STEPS_MAX];
    static const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                                .lr = 1e-3,
                                                .beta1 = 0.9,
                                                .beta2 = 0.999,
                                                .epsilon_adam = 1e-8,
                                                .clip_l2 = 5.0};
    witan_sequence_model *model = model_of(text);
    witan_sequence_bench *bench = NULL;
    size_t length = witan_sequence_spec_of(model)->context, steps = 0;
    size_t count = witan_sequence_parameters(model);
    float *block = calloc(3 * count, sizeof *block);
    witan_sequence_learner learner = {.model = model,
                                      .parameters = block,
                                      .optimiser_state = block + count,
                                      .optimiser = &adam};
    witan_token_rows rows = {.gather = gather, .context = &length};
    witan_random random;
    uint32_t indices[BATCH];
    double loss = 0.0, busy = 1e9;
    if (block == NULL ||
        witan_sequence_bench_new(&bench, witan_allocator_default(), model, length,
                                 BATCH, 1, BATCH, 0) != WITAN_OK) {
        exit(1);
    }
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_sequence_initialise(model, learner.parameters, &random);
    for (double start = now(); steps < STEPS_MAX && now() - start < seconds; steps++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            indices[i] = (uint32_t)steps * BATCH + i;
        }
        double cpu = read_clock(CLOCK_THREAD_CPUTIME_ID), before = now();
        if (witan_sequence_epoch(&learner, bench, &rows, indices, BATCH, BATCH, adam.lr,
                                 &random, NULL, &loss) != WITAN_OK) {
            exit(1);
        }
        times[steps] = now() - before;
        busy = fmin(busy, read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu);
    }
    qsort(times, steps, sizeof *times, ascending);
    double tokens = (double)(BATCH * length);
    printf("{\"model\": \"%s\", \"parameters\": %zu, \"steps\": %zu, "
           "\"tokens_per_second\": %.0f, \"median\": %.0f, "
           "\"tokens_per_cpu_second\": %.0f, \"gflops\": %.1f, "
           "\"loss\": %.4f}",
           text, count, steps, tokens / times[0], tokens / times[steps / 2],
           tokens / busy, 6e-9 * witan_sequence_cost(model) * tokens / busy, loss);
    free(block);
    witan_sequence_bench_free(&bench);
    witan_sequence_free(&model);
}

/* The stepper as a search asks it. */
static void
step(void *context, float *to, float *z, const float *from, const uint32_t *parent,
     const uint32_t *tokens, size_t count, size_t position)
{
    witan_sequence_step(context, to, z, from, parent, tokens, count, position);
}

/* One token, then six digits: what an audit enumerates. */
static void
enumerate(void)
{
    static const uint32_t digits[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static witan_canary_template form = {
        .slots = 1 + DIGITS, .holes = DIGITS, .space = 1e6};
    witan_sequence_model *model = model_of("lstm(128)");
    witan_sequence_stepper *stepper = NULL;
    const witan_allocator *heap = witan_allocator_default();
    size_t fills = (size_t)form.space;
    float *parameters = calloc(witan_sequence_parameters(model), sizeof *parameters);
    double *surprise = calloc(fills, sizeof *surprise), total = 0.0;
    witan_random random;
    form.slot[0].token = 42; /* stands for the text before the holes */
    for (size_t i = 1; i < form.slots; i++) {
        form.slot[i] = (witan_canary_slot){.alphabet = 10, .symbols = digits};
    }
    if (parameters == NULL || surprise == NULL ||
        witan_sequence_stepper_new(&stepper, heap, model, STATES) != WITAN_OK) {
        exit(1);
    }
    witan_random_init(&random, 2, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_sequence_initialise(model, parameters, &random);
    const witan_token_model asked = {
        .vocabulary = VOCABULARY,
        .state_floats = witan_sequence_state_floats(model),
        .batch = STATES,
        .step = step,
        .context = stepper,
    };
    double start = now();
    witan_sequence_stepper_load(stepper, parameters);
    if (witan_search_all(surprise, &form, &asked, heap) != WITAN_OK) {
        exit(1);
    }
    double seconds = now() - start;
    for (size_t i = 0; i < fills; i++) {
        total += exp(-surprise[i]);
    }
    printf("{\"model\": \"lstm(128)\", \"fills\": %zu, \"seconds\": %.3f, "
           "\"probability\": %.3g}",
           fills, seconds, total);
    free(surprise);
    free(parameters);
    witan_sequence_stepper_free(&stepper);
    witan_sequence_free(&model);
}

int
main(int count, char **arguments)
{
    double seconds = count > 1 ? strtod(arguments[1], NULL) : 3.0;
    if (!(seconds > 0 && seconds <= 60)) {
        fprintf(stderr, "usage: bench_sequence [seconds [model...]]\n");
        return 2;
    }
    printf("{\"kernels\": \"%s\", \"batch\": %d, \"vocabulary\": %d, \"train\": [",
           witan_isa_name(witan_cpu_isa()), BATCH, VOCABULARY);
    for (int i = 2; i < count; i++) {
        printf("%s", i > 2 ? ", " : "");
        train(arguments[i], seconds);
    }
    if (count <= 2) {
        train("lstm(200,2,50)", seconds);
    }
    printf("], \"exposure\": ");
    enumerate();
    printf("}\n");
    return 0;
}
