/* Swing release: rows on the simplex, order, limits, noise laws, projection. */
#include "privacy/swing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/witan_test.h"

#define N 40
#define C 7

static witan_random stream;

static witan_noise_source
seeded(uint64_t seed)
{
    witan_random_init(&stream, seed, 0, 0, WITAN_PURPOSE_NOISE);
    return witan_noise_source_seeded(&stream);
}

static void
logits(float *z, size_t count, double spread)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(8), 0, 0, WITAN_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++) {
        z[i] = (float)(spread * witan_random_normal(&random));
    }
}

static void
release(float *q, const float *z, const double *score, size_t rows,
        const witan_swing_options *options, const witan_noise_source *source)
{
    CHECK_STATUS(witan_swing_release(q, z, score, rows, C, options, source,
                                     witan_allocator_default()),
                 WITAN_OK);
}

static void
temperatures(void)
{
    witan_swing_options o = witan_swing_defaults();
    CHECK_STATUS(witan_swing_check(&o, NULL), WITAN_OK);
    CHECK_NEAR(witan_swing_temperature(&o, 0), 1, 0, 0);
    CHECK_NEAR(witan_swing_temperature(&o, 1), 8, 0, 0);
    CHECK_NEAR(witan_swing_temperature(&o, 1.0 / 3), 2, 0, 1e-14);
    o.gamma = 2;
    CHECK_NEAR(witan_swing_temperature(&o, 0.5), pow(8, 0.25), 0, 1e-14);
    double last = 0;
    for (double s = 0; s <= 1; s += 0.01) {
        double T = witan_swing_temperature(&o, s);
        CHECK(T >= last && T >= 1 && T <= 8);
        last = T;
    }
    o.temperature_high = o.temperature_low = 3;
    CHECK_NEAR(witan_swing_temperature(&o, 0.4), 3, 0, 1e-15);
}

/* Without noise: softmax of the clipped centred logits at the row's temperature. */
static void
plain_release(void)
{
    float z[N * C], q[N * C], constant[N * C];
    double score[N];
    logits(z, N * C, 4);
    for (size_t n = 0; n < N; n++) {
        score[n] = (double)n / (N - 1);
    }
    witan_swing_options o = witan_swing_defaults();
    o.clip = 3;
    release(q, z, score, N, &o, NULL);
    for (size_t n = 0; n < N; n++) {
        double mean = 0, sum = 0, total = 0, p[C];
        double T = witan_swing_temperature(&o, score[n]);
        for (size_t c = 0; c < C; c++) {
            mean += (double)z[n * C + c] / C;
        }
        for (size_t c = 0; c < C; c++) {
            p[c] = exp(fmax(-3, fmin(3, (double)z[n * C + c] - mean)) / T);
            sum += p[c];
        }
        for (size_t c = 0; c < C; c++) {
            CHECK_NEAR((double)q[n * C + c], p[c] / sum, 1e-7, 1e-6);
            total += (double)q[n * C + c];
            for (size_t d = 0; d < C; d++) { /* order kept, clipping may tie */
                CHECK(!(z[n * C + c] > z[n * C + d] && q[n * C + c] < q[n * C + d]));
            }
        }
        CHECK_NEAR(total, 1, 1e-6, 0);
    }
    /* Limits: one temperature whatever the score; sigma 0 is no noise; in place. */
    o.temperature_high = o.temperature_low;
    release(q, z, score, N, &o, NULL);
    release(constant, z, NULL, N, &o, NULL);
    CHECK(memcmp(q, constant, sizeof q) == 0);
    o.noise = WITAN_SWING_NOISE_GAUSSIAN;
    release(z, z, score, N, &o, NULL);
    CHECK(memcmp(q, z, sizeof q) == 0);
}

static void
noisy_release(void)
{
    float z[N * C], q[N * C], again[N * C], other[N * C];
    logits(z, N * C, 4);
    witan_swing_options o = witan_swing_defaults();
    o.clip = 3;
    o.temperature_low = 2;
    for (int noise = WITAN_SWING_NOISE_GAUSSIAN; noise <= WITAN_SWING_NOISE_LAPLACE;
         noise++) {
        for (int repair = WITAN_SWING_PROJECT; repair <= WITAN_SWING_FLOOR; repair++) {
            for (int step = 0; step < 4; step++) {
                o.noise = (witan_swing_noise)noise;
                o.repair = (witan_swing_repair)repair;
                o.sigma = pow(10, step - 3);
                witan_noise_source source = seeded(1);
                release(q, z, NULL, N, &o, &source);
                source = seeded(1);
                release(again, z, NULL, N, &o, &source);
                source = seeded(2);
                release(other, z, NULL, N, &o, &source);
                CHECK(memcmp(q, again, sizeof q) == 0);
                CHECK(memcmp(q, other, sizeof q) != 0);
                for (size_t n = 0; n < N; n++) {
                    double total = 0;
                    for (size_t c = 0; c < C; c++) {
                        CHECK(q[n * C + c] >= 0 && q[n * C + c] <= 1.000001F);
                        total += (double)q[n * C + c];
                    }
                    CHECK_NEAR(total, 1, 1e-6, 0);
                }
            }
        }
    }
    witan_noise_source system = witan_noise_source_system();
    release(q, z, NULL, N, &o, &system);
    release(again, z, NULL, N, &o, &system);
    CHECK(memcmp(q, again, sizeof q) != 0);
}

/* Noise with a sigma so small that no repair shows: its law, its sd, its symmetry.
 * 40000 draws; each bound is 5 standard errors. */
static void
noise_laws(void)
{
    enum {
        ROWS = 20000
    };
    const double sigma = 0.01;
    float *z = calloc(2 * ROWS, sizeof *z), *q = malloc(2 * ROWS * sizeof *q);
    for (int noise = WITAN_SWING_NOISE_GAUSSIAN; noise <= WITAN_SWING_NOISE_LAPLACE;
         noise++) {
        witan_swing_options o = witan_swing_defaults();
        o.noise = (witan_swing_noise)noise;
        o.sigma = sigma;
        witan_noise_source source = seeded(witan_test_seed(6));
        CHECK_STATUS(witan_swing_release(q, z, NULL, ROWS, 2, &o, &source,
                                         witan_allocator_default()),
                     WITAN_OK);
        /* Projection of (1/2 + a, 1/2 + b) leaves (a - b) / 2. */
        double mean = 0, square = 0, fourth = 0;
        for (size_t n = 0; n < ROWS; n++) {
            double d = ((double)q[2 * n] - 0.5) / sigma;
            mean += d / ROWS;
            square += d * d / ROWS;
            fourth += d * d * d * d / ROWS;
        }
        bool gaussian = noise == WITAN_SWING_NOISE_GAUSSIAN;
        double variance = gaussian ? 0.5 : 1.0; /* Laplace: 2 b^2 each */
        double kurtosis = gaussian ? 3 : 4.5;   /* of a difference of two Laplace */
        CHECK_NEAR(mean, 0, 5 * sqrt(variance / ROWS), 0);
        CHECK_NEAR(square, variance, 5 * variance * sqrt((kurtosis - 1) / ROWS), 0);
        CHECK_NEAR(fourth / (square * square), kurtosis, gaussian ? 0.2 : 0.8, 0);
    }
    free(z);
    free(q);
}

static int
descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Against the sort-based algorithm; and nearest: no feasible direction comes closer. */
static void
projection(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(2), 0, 0, WITAN_PURPOSE_TEST);
    for (int round = 0; round < 200; round++) {
        double v[50], sorted[50], p[50], sum = 0, shift = 0;
        size_t count = 1 + witan_random_below(&random, 50);
        for (size_t c = 0; c < count; c++) {
            v[c] = sorted[c] = p[c] =
                witan_random_normal(&random) * pow(10, round % 5 - 2);
        }
        qsort(sorted, count, sizeof *sorted, descending);
        for (size_t c = 0; c < count; c++) {
            sum += sorted[c];
            double candidate = (sum - 1) / (double)(c + 1);
            shift = sorted[c] > candidate ? candidate : shift;
        }
        witan_simplex_project(p, count);
        double total = 0;
        for (size_t c = 0; c < count; c++) {
            CHECK_NEAR(p[c], fmax(0, v[c] - shift), 1e-12, 1e-12);
            total += p[c];
        }
        CHECK_NEAR(total, 1, 1e-12, 0);
    }
    double inside[] = {0.2, 0.5, 0.3};
    witan_simplex_project(inside, 3);
    CHECK_NEAR(inside[1], 0.5, 1e-15, 0);
}

static void
scores(void)
{
    const double two[] = {0.1, 0.9, 0.5, 0.2, 0.3, 0.5};
    double s[3];
    CHECK_STATUS(witan_swing_combine(s, two, 2, 3), WITAN_OK);
    CHECK(s[0] == 0.2 && s[1] == 0.9 && s[2] == 0.5);
    const double bad[] = {(double)NAN, 1.1};
    CHECK_STATUS(witan_swing_combine(s, bad, 1, 1), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_swing_combine(s, bad + 1, 1, 1), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_swing_combine(s, two, 0, 3), WITAN_E_INVALID);
    const double client[] = {-1, -0.5, 400}, reference[] = {-1, -2.5, -400};
    CHECK_STATUS(witan_swing_score_gap(s, client, reference, 3, 1, 0.5), WITAN_OK);
    CHECK_NEAR(s[0], 1 / (1 + exp(2)), 1e-15, 0);
    CHECK_NEAR(s[1], 1 / (1 + exp(-2)), 1e-15, 0);
    CHECK_NEAR(s[2], 1, 0, 0);
    CHECK_STATUS(witan_swing_score_gap(s, client, bad, 1, 1, 0.5), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_swing_score_gap(s, client, reference, 1, 1, 0), WITAN_E_INVALID);
    const uint32_t near[] = {0, 5, 1000000};
    CHECK_STATUS(witan_swing_score_density(s, near, 3, 5), WITAN_OK);
    CHECK_NEAR(s[0], 1, 0, 0);
    CHECK_NEAR(s[1], exp(-1), 1e-15, 0);
    CHECK_STATUS(witan_swing_score_density(s, near, 3, (double)NAN), WITAN_E_INVALID);
    CHECK_STATUS(witan_swing_score_rarity(s, near, 3, 20), WITAN_OK);
    CHECK(s[0] == 1 && s[1] == 0.75 && s[2] == 0);
    CHECK_STATUS(witan_swing_score_rarity(s, near, 3, 0), WITAN_E_INVALID);
    const uint32_t votes[] = {8, 2, 0, 0};
    CHECK_STATUS(witan_swing_score_shards(s, votes, 1, 4), WITAN_OK);
    CHECK_NEAR(s[0], 0.2, 1e-15, 0);
    CHECK_STATUS(witan_swing_score_shards(s, votes + 2, 1, 2), WITAN_E_NUMERIC);
}

static void
hard_labels(void)
{
    enum {
        ROWS = 30000
    };
    const float row[4] = {0.1F, 0, 0.6F, 0.3F};
    float *q = malloc(4 * ROWS * sizeof *q);
    uint32_t *labels = malloc(ROWS * sizeof *labels);
    for (size_t n = 0; n < ROWS; n++) {
        memcpy(q + 4 * n, row, sizeof row);
    }
    witan_noise_source source = seeded(witan_test_seed(7));
    CHECK_STATUS(witan_swing_draw(labels, q, ROWS, 4, &source), WITAN_OK);
    double share[4] = {0};
    for (size_t n = 0; n < ROWS; n++) {
        share[labels[n]] += 1.0 / ROWS;
    }
    for (size_t c = 0; c < 4; c++) { /* 5 standard errors */
        CHECK_NEAR(share[c], (double)row[c], 0.015, 0);
    }
    CHECK(share[1] == 0);
    memset(labels, 0, ROWS * sizeof *labels);
    CHECK_STATUS(witan_swing_respond(labels, ROWS, 10, 0.3, &source), WITAN_OK);
    double kept = 0, nine = 0;
    for (size_t n = 0; n < ROWS; n++) {
        kept += (labels[n] == 0) / (double)ROWS;
        nine += (labels[n] == 9) / (double)ROWS;
    }
    CHECK_NEAR(kept, 0.73, 0.013, 0);
    CHECK_NEAR(nine, 0.03, 0.005, 0);
    CHECK_STATUS(witan_swing_respond(labels, 1, 10, 0, &source), WITAN_E_INVALID);
    labels[0] = 10;
    CHECK_STATUS(witan_swing_respond(labels, 1, 10, 0.5, &source), WITAN_E_INVALID);
    q[0] = NAN;
    CHECK_STATUS(witan_swing_draw(labels, q, 1, 4, &source), WITAN_E_NUMERIC);
    memset(q, 0, 4 * sizeof *q);
    CHECK_STATUS(witan_swing_draw(labels, q, 1, 4, &source), WITAN_E_NUMERIC);
    float mixed[4] = {0.7F, 0.2F, 0.1F, 0};
    CHECK_STATUS(witan_swing_mix(mixed, 1, 4, 0.4), WITAN_OK);
    CHECK_NEAR((double)mixed[3], 0.1, 1e-7, 0);
    CHECK_NEAR((double)mixed[0], 0.52, 1e-7, 0);
    CHECK_STATUS(witan_swing_mix(mixed, 1, 4, (double)NAN), WITAN_E_INVALID);
    free(q);
    free(labels);
}

/* Two classes 1 vote apart at sd 2 each: Phi(1 / (2 sqrt 2)) = 0.6381632. 5 standard
 * deviations: a false alarm in 1.7 million seeds. */
static void
noisy_votes(void)
{
    enum {
        COUNT = 20000
    };
    uint32_t *votes = malloc(2 * COUNT * sizeof *votes), label[COUNT];
    witan_noise_source source = seeded(witan_test_seed(31));
    for (size_t n = 0; n < COUNT; n++) {
        votes[2 * n] = 4;
        votes[2 * n + 1] = 5;
    }
    CHECK_STATUS(witan_swing_vote(label, votes, COUNT, 2, 2.0, &source), WITAN_OK);
    size_t second = 0;
    for (size_t n = 0; n < COUNT; n++) {
        second += label[n] == 1;
    }
    CHECK_NEAR((double)second, COUNT * 0.6381632, 5 * sqrt(COUNT * 0.638 * 0.362), 0);
    /* An odd number of classes, the last one ahead. */
    const uint32_t three[] = {0, 0, 100};
    CHECK_STATUS(witan_swing_vote(label, three, 1, 3, 1.0, &source), WITAN_OK);
    CHECK(label[0] == 2);
    CHECK_STATUS(witan_swing_vote(label, votes, 1, 2, 0.0, &source), WITAN_E_INVALID);
    CHECK_STATUS(witan_swing_vote(label, votes, 1, 1, 1.0, &source), WITAN_E_INVALID);
    free(votes);
}

static void
refusals(void)
{
    float z[C] = {0}, q[C];
    const witan_allocator *heap = witan_allocator_default();
    static const double bad[] = {0, -1, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        witan_diag diag = {0};
        witan_swing_options o = witan_swing_defaults();
        o.temperature_low = bad[i];
        CHECK_STATUS(witan_swing_check(&o, &diag), WITAN_E_CONFIG);
        CHECK_CONTAINS(diag.message, "low temperature");
        o = witan_swing_defaults();
        o.temperature_high = bad[i];
        CHECK_STATUS(witan_swing_check(&o, NULL), WITAN_E_CONFIG);
        o = witan_swing_defaults();
        o.gamma = bad[i];
        CHECK_STATUS(witan_swing_check(&o, NULL), WITAN_E_CONFIG);
        o = witan_swing_defaults();
        o.clip = bad[i];
        CHECK_STATUS(witan_swing_release(q, z, NULL, 1, C, &o, NULL, heap),
                     WITAN_E_CONFIG);
        o = witan_swing_defaults();
        o.sigma = i == 0 ? HUGE_VAL : bad[i];
        CHECK_STATUS(witan_swing_check(&o, NULL), WITAN_E_CONFIG);
    }
    witan_swing_options o = witan_swing_defaults();
    double score = 1.5;
    CHECK_STATUS(witan_swing_release(q, z, &score, 1, C, &o, NULL, heap),
                 WITAN_E_NUMERIC);
    CHECK_STATUS(witan_swing_release(q, z, NULL, 1, 1, &o, NULL, heap),
                 WITAN_E_INVALID);
    o.noise = WITAN_SWING_NOISE_GAUSSIAN;
    o.sigma = 1;
    CHECK_STATUS(witan_swing_release(q, z, NULL, 1, C, &o, NULL, heap),
                 WITAN_E_INVALID);
    o.noise = WITAN_SWING_NOISE_NONE;
    z[2] = (float)HUGE_VAL;
    CHECK_STATUS(witan_swing_release(q, z, NULL, 1, C, &o, NULL, heap),
                 WITAN_E_NUMERIC);
    z[2] = NAN;
    CHECK_STATUS(witan_swing_release(q, z, NULL, 1, C, &o, NULL, heap),
                 WITAN_E_NUMERIC);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    z[2] = 0;
    CHECK_STATUS(witan_swing_release(q, z, NULL, 1, C, &o, NULL, &failing.allocator),
                 WITAN_E_MEMORY);
    CHECK(failing.live == 0);
}

int
main(void)
{
    RUN(temperatures);
    RUN(plain_release);
    RUN(noisy_release);
    RUN(noise_laws);
    RUN(projection);
    RUN(scores);
    RUN(hard_labels);
    RUN(noisy_votes);
    RUN(refusals);
    return witan_test_finish();
}
