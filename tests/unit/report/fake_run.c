#include "unit/report/fake_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"

static void *
take(size_t count, size_t size)
{
    void *block = calloc(count + 1, size);
    WITAN_ASSERT(block != NULL);
    return block;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static witan_statistic
statistic_of(const double *values, size_t count)
{
    double *sorted = take(count, sizeof *sorted);
    double sum = 0.0, square = 0.0, low = 0.0;
    size_t tenth = (count + 9) / 10;
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    for (size_t n = 0; n < count; n++) {
        sum += sorted[n];
        square += sorted[n] * sorted[n];
        low += n < tenth ? sorted[n] : 0.0;
    }
    double mean = sum / (double)count;
    witan_statistic out = {mean, sqrt(fmax(0.0, square / (double)count - mean * mean)),
                           sorted[0], low / (double)tenth};
    free(sorted);
    return out;
}

static void
fill_labels(fake_run *self, witan_random *random)
{
    witan_run_record *run = &self->record;
    double *alpha = take(run->classes, sizeof *alpha);
    double *mix = take(run->classes, sizeof *mix);
    for (size_t c = 0; c < run->classes; c++) {
        alpha[c] = 0.3;
    }
    for (size_t n = 0; n < run->clients; n++) {
        double size = 100.0 + 500.0 * witan_random_uniform(random);
        witan_random_dirichlet(random, mix, alpha, run->classes);
        for (size_t c = 0; c < run->classes; c++) {
            uint32_t rows = (uint32_t)lround(size * mix[c]);
            self->histogram[n * run->classes + c] = rows;
            self->train[n] += rows;
        }
        self->test[n] = self->train[n] / 5 + 1;
    }
    free(alpha);
    free(mix);
}

/* Alike label mixes hear each other, as knfu would have it. */
static void
fill_weights(fake_run *self)
{
    const witan_run_record *run = &self->record;
    for (size_t n = 0; n < run->clients; n++) {
        double sum = 0.0;
        double *row = self->weights + n * run->clients;
        for (size_t m = 0; m < run->clients; m++) {
            double distance = 0.0;
            for (size_t c = 0; c < run->classes; c++) {
                double a = self->histogram[n * run->classes + c];
                double b = self->histogram[m * run->classes + c];
                distance += fabs(a / (double)(self->train[n] + 1) -
                                 b / (double)(self->train[m] + 1));
            }
            row[m] = exp(-2.0 * distance);
            sum += row[m];
        }
        for (size_t m = 0; m < run->clients; m++) {
            row[m] /= sum;
        }
    }
}

static void
fill_rounds(fake_run *self, witan_random *random)
{
    witan_run_record *run = &self->record;
    size_t N = run->clients;
    double *before = take(2 * N, sizeof *before);
    double *level = take(N, sizeof *level);
    for (size_t n = 0; n < N; n++) {
        level[n] = 0.88 + 0.03 * witan_random_normal(random);
        self->reference_own[n] =
            fmin(1.0, level[n] + 0.02 * witan_random_normal(random));
        self->reference_global[n] = 0.55 + 0.05 * witan_random_normal(random);
    }
    for (size_t r = 0; r < run->rounds_done; r++) {
        witan_round_record *round = &self->rounds[r];
        double progress = 1.0 - exp(-0.5 * (double)(r + 1));
        for (size_t n = 0; n < N; n++) {
            double own =
                level[n] * (0.35 + 0.7 * progress) + 0.01 * witan_random_normal(random);
            double global = (level[n] - 0.1) * (0.2 + 0.75 * progress) +
                            0.015 * witan_random_normal(random);
            self->own[r * N + n] = fmax(0.02, fmin(0.998, own));
            self->global[r * N + n] = fmax(0.02, fmin(0.998, global));
            before[n] = self->own[r * N + n] - 0.01 * witan_random_uniform(random);
            before[N + n] =
                self->global[r * N + n] - 0.05 * witan_random_uniform(random);
        }
        round->round = r;
        round->asked = round->answered = N;
        round->evaluated = round->evaluated_before = true;
        round->own_before = statistic_of(before, N);
        round->global_before = statistic_of(before + N, N);
        round->own_after = statistic_of(self->own + r * N, N);
        round->global_after = statistic_of(self->global + r * N, N);
        round->bytes_up = round->bytes_down = 20064 * (uint64_t)N;
        round->wall_seconds = 1.25;
        round->seconds = (witan_phase_seconds){0.8, 0.05, 0.004, 0.3, 0.09};
        run->bytes_up += round->bytes_up;
        run->bytes_down += round->bytes_down;
        run->seconds += round->wall_seconds;
    }
    free(before);
    free(level);
}

static void
fill_last(fake_run *self)
{
    witan_run_record *run = &self->record;
    size_t N = run->clients, better = 0;
    const double *own = self->own + (run->rounds_done - 1) * N;
    const double *global = self->global + (run->rounds_done - 1) * N;
    for (size_t n = 0; n < N; n++) {
        self->last[n].asked = self->last[n].answered = true;
        self->last[n].own_after.accuracy = own[n];
        self->last[n].global_after.accuracy = global[n];
        better += own[n] > self->reference_own[n] ? 1 : 0;
    }
    run->gained_over_local = (double)better / (double)N;
    run->reference_own_statistic = statistic_of(self->reference_own, N);
    run->reference_global_statistic = statistic_of(self->reference_global, N);
}

void
fake_run_init(fake_run *self, size_t clients, size_t rounds, size_t classes,
              size_t kinds)
{
    static const char *const models[] = {
        "mlp(200)",     "cnn(32,64,128)", "linear", "lenet",       "resnet(16,1)",
        "mlp(256,128)", "mlp(64,64)",     "cnn",    "resnet(32,2)"};
    witan_run_record *run = &self->record;
    witan_random random;
    memset(self, 0, sizeof *self);
    witan_random_init(&random, 7, 0, 0, WITAN_PURPOSE_TEST);
    *run = (witan_run_record){
        .name = "optdigits, three models",
        .directory = "runs/2024-05-01-optdigits",
        .digest = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
        .strategy = "knfu",
        .version = "0.1.0",
        .machine = "AVX2 kernels, OpenBLAS Haswell, 2 threads",
        .config_json =
            "{\n  \"name\": \"optdigits\",\n  \"rounds\": 10,\n  \"fusion\": "
            "{ \"key\": \"knfu\", \"beta\": 10 }\n}\n",
        .data_name = "optdigits",
        .data_summary = "optdigits, embedded: 3823 train rows, 1797 test rows, 8x8x1, "
                        "10 classes",
        .partition = "Dirichlet by class, alpha 0.3",
        .models_saved = true,
        .seed = 1,
        .clients = clients,
        .rounds_planned = rounds,
        .rounds_done = rounds,
        .classes = classes,
        .transfer_rows = 500,
        .threads = 2,
        .peak_rss_bytes = 48300000,
        .seconds_per_round = {0.8, 0.05, 0.004, 0.3, 0.09},
    };
    self->names = take(clients, sizeof *self->names);
    self->train = take(clients, sizeof *self->train);
    self->test = take(clients, sizeof *self->test);
    self->histogram = take(clients * classes, sizeof *self->histogram);
    self->rounds = take(rounds, sizeof *self->rounds);
    self->last = take(clients, sizeof *self->last);
    self->own = take(rounds * clients, sizeof *self->own);
    self->global = take(rounds * clients, sizeof *self->global);
    self->weights = take(clients * clients, sizeof *self->weights);
    self->reference_own = take(clients, sizeof *self->reference_own);
    self->reference_global = take(clients, sizeof *self->reference_global);
    for (size_t n = 0; n < clients; n++) {
        self->names[n] = models[n % kinds];
    }
    fill_labels(self, &random);
    fill_weights(self);
    fill_rounds(self, &random);
    fill_last(self);
    run->model_names = self->names;
    run->train_samples = self->train;
    run->test_samples = self->test;
    run->label_histogram = self->histogram;
    run->rounds = self->rounds;
    run->last = self->last;
    run->own_by_round = self->own;
    run->global_by_round = self->global;
    run->fusion_weights = self->weights;
    run->reference_own = self->reference_own;
    run->reference_global = self->reference_global;
}

void
fake_run_fini(fake_run *self)
{
    free(self->names);
    free(self->train);
    free(self->test);
    free(self->histogram);
    free(self->rounds);
    free(self->last);
    free(self->own);
    free(self->global);
    free(self->weights);
    free(self->reference_own);
    free(self->reference_global);
    memset(self, 0, sizeof *self);
}

static void
make_gaps(fake_run *self)
{
    witan_run_record *run = &self->record;
    size_t N = run->clients;
    for (size_t i = 0; i < run->rounds_done * N; i++) {
        self->own[i] = i % 3 == 0 ? (double)NAN : self->own[i];
        self->global[i] = (double)INFINITY;
    }
    for (size_t n = 0; n < N; n++) {
        self->last[n].own_after.accuracy = n % 2 == 0 ? (double)NAN : 0.5;
        self->last[n].global_after.accuracy = (double)NAN;
        self->weights[3 * N + n] = 0.0;
        self->weights[n] = (double)NAN;
    }
    self->reference_own[1] = (double)NAN;
    self->rounds[run->rounds_done - 1].evaluated_before = false;
    for (size_t r = 0; r < run->rounds_done; r++) {
        self->rounds[r].evaluated = r % 2 == 1;
        self->rounds[r].answered = N - 2;
        self->rounds[r].late = 1;
        self->rounds[r].global_after =
            (witan_statistic){(double)NAN, (double)NAN, (double)NAN, (double)NAN};
        self->rounds[r].virtual_seconds = 61.0;
    }
    run->rounds_planned = 2 * run->rounds_done;
    run->seconds_per_round.fuse = (double)NAN;
    run->models_saved = false;
}

static void
make_hostile(fake_run *self)
{
    static const char attack[] =
        "</title></svg><script>alert(\"1\")</script>&amp;'\x1b[2J"
        "\xff\xc3\x28\xed\xa0\x80\xef\xbf\xbf\xc2\x9b\xe2\x82\xac";
    witan_run_record *run = &self->record;
    run->name = run->strategy = run->data_name = run->data_summary = attack;
    run->version = run->machine = run->partition = run->config_json = attack;
    run->digest = run->directory = attack;
    for (size_t n = 0; n < run->clients; n += 2) {
        self->names[n] = attack;
    }
}

static void
drop_reference(witan_run_record *run)
{
    run->reference_own = run->reference_global = NULL;
    run->gained_over_local = (double)NAN;
}

static void
drop_evaluation(fake_run *self)
{
    self->record.last = NULL;
    self->record.own_by_round = self->record.global_by_round = NULL;
    for (size_t r = 0; r < self->record.rounds_done; r++) {
        self->rounds[r].evaluated = self->rounds[r].evaluated_before = false;
    }
}

static void
make_solitary(fake_run *self, witan_run_exchange exchange, const char *strategy)
{
    drop_reference(&self->record);
    self->record.fusion_weights = NULL;
    self->record.exchange = exchange;
    self->record.strategy = strategy;
    self->record.bytes_up = self->record.bytes_down = 0;
}

static void
make_long(fake_run *self)
{
    static char word[400];
    memset(word, 'w', sizeof word - 1);
    self->record.data_name = self->record.digest = self->record.strategy = word;
    self->record.directory = word;
    self->names[0] = word;
}

bool
fake_run_named(fake_run *self, const char *name)
{
    static const struct {
        const char *name;
        size_t clients, rounds, classes, kinds;
    } shapes[] = {{"ten", 10, 10, 10, 3},          {"hundred", 100, 300, 62, 9},
                  {"thousand", 1000, 50, 20, 5},   {"alone", 1, 1, 10, 1},
                  {"unreferenced", 10, 10, 10, 3}, {"averaged", 8, 3, 10, 1},
                  {"pooled", 5, 3, 10, 1},         {"unevaluated", 4, 2, 10, 2},
                  {"hostile", 10, 4, 10, 3},       {"long", 3, 2, 10, 2},
                  {"gaps", 12, 6, 10, 2}};
    if (strcmp(name, "empty") == 0) {
        memset(self, 0, sizeof *self);
        self->record.gained_over_local = (double)NAN;
        return true;
    }
    size_t i = 0;
    while (i < sizeof shapes / sizeof shapes[0] && strcmp(shapes[i].name, name) != 0) {
        i++;
    }
    if (i == sizeof shapes / sizeof shapes[0]) {
        return false;
    }
    fake_run_init(self, shapes[i].clients, shapes[i].rounds, shapes[i].classes,
                  shapes[i].kinds);
    if (strcmp(name, "alone") == 0) {
        make_solitary(self, WITAN_RUN_NOTHING, "local");
    } else if (strcmp(name, "pooled") == 0) {
        make_solitary(self, WITAN_RUN_POOLED, "centralised");
    } else if (strcmp(name, "averaged") == 0) {
        self->record.exchange = WITAN_RUN_PARAMETERS;
        self->record.strategy = "fedavg";
    } else if (strcmp(name, "unreferenced") == 0) {
        drop_reference(&self->record);
    } else if (strcmp(name, "unevaluated") == 0) {
        drop_reference(&self->record);
        drop_evaluation(self);
    } else if (strcmp(name, "hostile") == 0) {
        make_hostile(self);
    } else if (strcmp(name, "long") == 0) {
        make_long(self);
    } else if (strcmp(name, "gaps") == 0) {
        make_gaps(self);
    }
    return true;
}
