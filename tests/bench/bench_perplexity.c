/* bench_perplexity.c - trains a token model on given windows and tells its perplexity;
 * the witan side of compare_perplexity.py, which says what the numbers are for.
 *   bench_perplexity MODEL VOCABULARY LENGTH STEPS BATCH LR WINDOWS INITIAL
 * WINDOWS: 32-bit tokens [windows, LENGTH + 1] of this machine's byte order; STEPS
 * minibatches of BATCH, then windows to be judged by. INITIAL: out, the parameters as
 * floats before the first step. Prints JSON. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/network.h"
#include "num/softmax.h"

enum {
    PREDICT_BATCH = 64
};

static const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                            .lr = 1e-3,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon_adam = 1e-8,
                                            .clip_l2 = 5.0};

typedef struct windows {
    uint32_t *token;
    size_t count, stride;
} windows;

static void
give_windows(const void *context, const uint32_t *indices, size_t count,
             uint32_t *tokens)
{
    const windows *self = context;
    for (size_t i = 0; i < count; i++) {
        memcpy(tokens + i * self->stride, self->token + indices[i] * self->stride,
               self->stride * sizeof *tokens);
    }
}

static void
die(const char *what)
{
    fprintf(stderr, "bench_perplexity: %s\n", what);
    exit(1);
}

static windows
read_windows(const char *path, size_t length, size_t vocabulary)
{
    windows self = {.stride = length + 1};
    FILE *file = fopen(path, "rb");
    long bytes = -1;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (bytes = ftell(file)) <= 0) {
        die("cannot read the windows");
    }
    size_t tokens = (size_t)bytes / sizeof(uint32_t);
    self.count = tokens / self.stride;
    self.token = calloc(tokens, sizeof *self.token);
    rewind(file);
    if (self.token == NULL ||
        fread(self.token, sizeof *self.token, tokens, file) != tokens) {
        die("cannot read the windows");
    }
    (void)fclose(file);
    for (size_t i = 0; i < tokens; i++) {
        if (self.token[i] >= vocabulary) {
            die("a token is not below the vocabulary");
        }
    }
    return self;
}

static void
write_floats(const char *path, const float *values, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(values, sizeof *values, count, file) != count ||
        fclose(file) != 0) {
        die("cannot write the initial parameters");
    }
}

/* Mean nats per position of windows indices[0..count). */
static double
judge(const witan_network_learner *learner, witan_network_bench *bench,
      const witan_rows *rows, const uint32_t *indices, size_t count)
{
    const witan_network *network = learner->network;
    size_t positions = count * network->positions, V = network->outputs;
    float *z = calloc(positions * V, sizeof *z);
    uint32_t *label = calloc(positions, sizeof *label);
    double sum = 0.0;
    if (z == NULL || label == NULL ||
        witan_network_predict(learner, bench, rows, indices, count, z) != WITAN_OK) {
        die("prediction failed");
    }
    witan_network_labels(network, rows, indices, count, label);
    for (size_t i = 0; i < positions; i++) {
        sum += witan_log_sum_exp(z + i * V, V) - (double)z[i * V + label[i]];
    }
    free(z);
    free(label);
    return sum / (double)positions;
}

static void
run(const witan_network *network, const windows *text, size_t steps, size_t batch,
    double lr, const char *initial)
{
    size_t count = witan_network_parameters(network), held = text->count;
    float *block = calloc(3 * count, sizeof *block);
    uint32_t *index = calloc(text->count, sizeof *index);
    witan_network_bench *bench = NULL;
    witan_network_learner learner = {.network = network,
                                     .parameters = block,
                                     .optimiser_state = block + count,
                                     .optimiser = &adam};
    const witan_rows rows = {.windows = give_windows, .context = text};
    witan_random random;
    double loss = 0.0;
    if (block == NULL || index == NULL || steps * batch >= text->count ||
        witan_network_bench_new(&bench, witan_allocator_default(), network, batch,
                                PREDICT_BATCH, batch, 0) != WITAN_OK) {
        die("out of memory, or too few windows");
    }
    for (size_t i = 0; i < text->count; i++) {
        index[i] = (uint32_t)i;
    }
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(network, block, &random);
    write_floats(initial, block, count);
    clock_t before = clock();
    for (size_t step = 0; step < steps; step++, held -= batch) {
        if (witan_network_epoch(&learner, bench, &rows, index + step * batch, batch,
                                batch, lr, &random, NULL, &loss) != WITAN_OK) {
            die("training failed");
        }
    }
    double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
    double nats = judge(&learner, bench, &rows, index + steps * batch, held);
    printf("{\"parameters\": %zu, \"cpu_seconds\": %.1f, \"last_loss\": %.5f, "
           "\"perplexity\": %.5f}\n",
           count, seconds, loss, exp(nats));
    witan_network_bench_free(&bench);
    free(block);
    free(index);
}

int
main(int count, char **arguments)
{
    witan_model_spec spec;
    witan_network network;
    witan_diag diag = {0};
    if (count != 9) {
        fprintf(stderr, "usage: bench_perplexity MODEL VOCABULARY LENGTH STEPS BATCH "
                        "LR WINDOWS INITIAL\n");
        return 2;
    }
    const witan_input input = {.length = strtoul(arguments[3], NULL, 10),
                               .outputs = strtoul(arguments[2], NULL, 10)};
    if (witan_zoo_parse(&spec, arguments[1], &diag) != WITAN_OK ||
        witan_network_init(&network, witan_allocator_default(), &spec, &input, &diag) !=
            WITAN_OK) {
        die(diag.message);
    }
    windows text = read_windows(arguments[7], input.length, input.outputs);
    run(&network, &text, strtoul(arguments[4], NULL, 10),
        strtoul(arguments[5], NULL, 10), strtod(arguments[6], NULL), arguments[8]);
    free(text.token);
    witan_network_fini(&network);
    return 0;
}
