/* participant.c - a complete program that joins a federation with a model of its own.
 *
 *     cc participant.c -o participant $(pkg-config --cflags --libs witan) -lm
 *     ./participant DIRECTORY ROWS.csv [JOIN-LINE]
 *
 * The model is a softmax regression, written out so that nothing but the C library is
 * needed; put yours in its place. ROWS.csv has a header, numbers, and the class
 * (0, 1, 2, ...) in the last column; four fifths of the rows are learned from, the rest
 * tell the accuracy. The join line is needed once. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <witan/witan.h>

typedef struct softmax_regression {
    const char *path;
    size_t rows, tested; /* learned from: rows - tested */
    size_t features, classes;
    float *x;      /* [rows, features], scaled as the transfer set is */
    unsigned *y;   /* [rows] */
    float *weight; /* [classes, features + 1]: the state; the last column is the bias */
    float *p;      /* [classes] */
} softmax_regression;

static volatile int stop;

static void
on_signal(int number)
{
    (void)number;
    stop++;
}

static void
opinion(const softmax_regression *self, const float *x, float *p)
{
    float highest = -INFINITY, sum = 0.0f;
    for (size_t c = 0; c < self->classes; c++) {
        const float *w = self->weight + c * (self->features + 1);
        p[c] = w[self->features];
        for (size_t i = 0; i < self->features; i++) {
            p[c] += w[i] * x[i];
        }
        highest = p[c] > highest ? p[c] : highest;
    }
    for (size_t c = 0; c < self->classes; c++) {
        p[c] = expf(p[c] - highest);
        sum += p[c];
    }
    for (size_t c = 0; c < self->classes; c++) {
        p[c] /= sum;
    }
}

/* One step of gradient descent towards probabilities `q` [classes]. */
static void
learn(softmax_regression *self, const float *x, const float *q)
{
    const float rate = 0.02f;
    opinion(self, x, self->p);
    for (size_t c = 0; c < self->classes; c++) {
        float *w = self->weight + c * (self->features + 1);
        float gradient = self->p[c] - q[c];
        for (size_t i = 0; i < self->features; i++) {
            w[i] -= rate * gradient * x[i];
        }
        w[self->features] -= rate * gradient;
    }
}

/* --- what the library calls ---------------------------------------------------------
 */

static int
read_rows(softmax_regression *self, const witan_participant_task *task)
{
    char line[65536];
    FILE *file = fopen(self->path, "r");
    if (file == NULL || fgets(line, sizeof line, file) == NULL) {
        perror(self->path);
        return 1;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        float *x = realloc(self->x, (self->rows + 1) * self->features * sizeof *x);
        unsigned *y = realloc(self->y, (self->rows + 1) * sizeof *y);
        if (x == NULL || y == NULL) {
            return 2;
        }
        self->x = x;
        self->y = y;
        char *at = line;
        for (size_t i = 0; i < self->features; i++) {
            float raw = strtof(at, &at), scale = 1.0f, shift = 0.0f;
            if (task->scale != NULL) { /* one scale for each channel */
                scale = task->scale[i % task->channels];
                shift = task->shift[i % task->channels];
            }
            x[self->rows * self->features + i] = raw * scale + shift;
            at += *at == ',';
        }
        y[self->rows] = (unsigned)strtoul(at, NULL, 10);
        if (y[self->rows] >= self->classes) {
            (void)fprintf(stderr, "%s: row %zu: no class of the experiment\n",
                          self->path, self->rows + 2);
            return 3;
        }
        self->rows++;
    }
    (void)fclose(file);
    self->tested = self->rows / 5;
    return self->rows < 5 ? 4 : 0;
}

static int
begin(void *context, const witan_participant_task *task)
{
    softmax_regression *self = context;
    self->features = task->features;
    self->classes = task->classes;
    self->weight = calloc(self->classes * (self->features + 1), sizeof *self->weight);
    self->p = calloc(self->classes, sizeof *self->p);
    return self->weight == NULL || self->p == NULL ? 2 : read_rows(self, task);
}

static int
train(void *context, uint32_t round)
{
    softmax_regression *self = context;
    float *q = calloc(self->classes, sizeof *q);
    (void)round;
    for (size_t i = self->tested; q != NULL && i < self->rows; i++) {
        q[self->y[i]] = 1.0f;
        learn(self, self->x + i * self->features, q);
        q[self->y[i]] = 0.0f;
    }
    free(q);
    return q == NULL ? 2 : 0;
}

static int
predict(void *context, const float *x, size_t count, float *probabilities)
{
    softmax_regression *self = context;
    for (size_t i = 0; i < count; i++) {
        opinion(self, x + i * self->features, probabilities + i * self->classes);
    }
    return 0;
}

static int
distill(void *context, uint32_t round, const float *x, const float *targets,
        size_t count)
{
    softmax_regression *self = context;
    (void)round;
    for (size_t i = 0; i < count; i++) {
        learn(self, x + i * self->features, targets + i * self->classes);
    }
    return 0;
}

static int
evaluate(void *context, double *accuracy, double *loss)
{
    softmax_regression *self = context;
    size_t right = 0;
    *loss = 0.0;
    for (size_t i = 0; i < self->tested; i++) {
        size_t best = 0;
        opinion(self, self->x + i * self->features, self->p);
        for (size_t c = 1; c < self->classes; c++) {
            best = self->p[c] > self->p[best] ? c : best;
        }
        right += best == self->y[i];
        *loss -= log((double)self->p[self->y[i]] + 1e-12) / (double)self->tested;
    }
    *accuracy = (double)right / (double)self->tested;
    return 0;
}

static int
save(void *context, const void **bytes, size_t *size)
{
    softmax_regression *self = context;
    *bytes = self->weight;
    *size = self->classes * (self->features + 1) * sizeof *self->weight;
    return 0;
}

static int
load(void *context, const void *bytes, size_t size)
{
    softmax_regression *self = context;
    if (size != self->classes * (self->features + 1) * sizeof *self->weight) {
        return 5;
    }
    memcpy(self->weight, bytes, size);
    return 0;
}

/* --- the program --------------------------------------------------------------------
 */

static void
say(void *context, const char *line)
{
    (void)context;
    (void)fprintf(stderr, "%s\n", line);
}

static uint64_t
count_lines(const char *path)
{
    uint64_t lines = 0;
    FILE *file = fopen(path, "r");
    for (int c; file != NULL && (c = getc(file)) != EOF;) {
        lines += c == '\n';
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return lines;
}

int
main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: %s DIRECTORY ROWS.csv [JOIN-LINE]\n", argv[0]);
        return 2;
    }
    softmax_regression regression = {.path = argv[2]};
    const witan_participant_model model = {
        .name = "softmax regression",
        .samples = count_lines(argv[2]) * 4 / 5,
        .context = &regression,
        .begin = begin,
        .train = train,
        .predict = predict,
        .distill = distill,
        .evaluate = evaluate,
        .save = save,
        .load = load,
    };
    const witan_participant_options options = {.say = say, .stop = &stop};
    char message[1024];

    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    int code = WITAN_DONE;
    if (argc > 3) {
        code =
            witan_participant_join(argv[3], argv[1], &options, message, sizeof message);
        say(NULL, message);
    }
    if (code == WITAN_DONE) {
        code =
            witan_participant_run(argv[1], &model, &options, message, sizeof message);
        say(NULL, message);
    }
    free(regression.x);
    free(regression.y);
    free(regression.weight);
    free(regression.p);
    return code == WITAN_DONE ? 0 : 1;
}
