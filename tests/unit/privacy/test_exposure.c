/* Exposure: published examples, null law, fits against another optimiser, tails. */
#include "privacy/exposure.h"

#include <math.h>
#include <stdlib.h>

#include "support/witan_test.h"

#define LN_2 0.69314718055994530942

static void
by_rank(void)
{
    double e;
    CHECK_STATUS(witan_exposure_rank(&e, 1, 1e9), WITAN_OK);
    CHECK_NEAR(e, log2(1e9), 0, 1e-15);
    CHECK_STATUS(witan_exposure_rank(&e, 1e9, 1e9), WITAN_OK);
    CHECK_NEAR(e, 0, 0, 0);
    CHECK_STATUS(witan_exposure_rank(&e, 4, 1e300), WITAN_OK);
    CHECK(isfinite(e));
    CHECK_STATUS(witan_exposure_rank(&e, 0, 10), WITAN_E_INVALID);
    CHECK_STATUS(witan_exposure_rank(&e, 11, 10), WITAN_E_INVALID);
    CHECK_STATUS(witan_exposure_rank(&e, (double)NAN, 10), WITAN_E_INVALID);
    CHECK(isnan(e));
}

static void
by_sampling(void)
{
    double references[16];
    for (size_t i = 0; i < 16; i++) {
        references[i] = (double)(i + 1);
    }
    const witan_allocator *heap = witan_allocator_default();
    /* Not sorted on purpose: the output keeps the order. */
    const double canaries[] = {20, 0, 3.5, 0.1, 4};
    const double lower[] = {-0.0875, 4, 2, 4, 4 - 2.321928};
    const double upper[] = {-0.0875, 4, 2, 4, 2};
    double e[5];
    CHECK_STATUS(
        witan_exposure_sampled(e, canaries, 5, references, 16, WITAN_TIES_LOWER, heap),
        WITAN_OK);
    for (size_t i = 0; i < 5; i++) {
        CHECK_NEAR(e[i], lower[i], 5.1e-5, 0);
    }
    CHECK_NEAR(e[0], log2(16) - log2(17), 1e-15, 0);
    CHECK_STATUS(
        witan_exposure_sampled(e, canaries, 5, references, 16, WITAN_TIES_UPPER, heap),
        WITAN_OK);
    for (size_t i = 0; i < 5; i++) {
        CHECK_NEAR(e[i], upper[i], 5.1e-5, 0);
    }
    references[3] = (double)NAN;
    CHECK_STATUS(
        witan_exposure_sampled(e, canaries, 5, references, 16, WITAN_TIES_LOWER, heap),
        WITAN_E_NUMERIC);
    CHECK_STATUS(
        witan_exposure_sampled(e, canaries, 5, references, 0, WITAN_TIES_LOWER, heap),
        WITAN_E_INVALID);
}

static void
fits(void)
{
    witan_golden samples = witan_golden_load("privacy/skew_sample");
    witan_golden expected = witan_golden_load("privacy/skew_fit");
    size_t count = samples.shape[1];
    for (size_t i = 0; i < samples.shape[0]; i++) {
        witan_skew_normal fit;
        const double *want = expected.values + 4 * i, *x = samples.values + i * count;
        CHECK_STATUS(witan_skew_normal_fit(&fit, x, count), WITAN_OK);
        CHECK_NEAR(fit.location, want[0], 0, 1e-5);
        CHECK_NEAR(fit.scale, want[1], 0, 1e-5);
        CHECK_NEAR(fit.shape, want[2], 0, 1e-4);
        CHECK_NEAR(fit.log_likelihood, want[3], 1e-6, 0);
        /* Shifting and stretching the sample moves the fit along, nothing else. */
        double *moved = malloc(count * sizeof *moved);
        for (size_t n = 0; n < count; n++) {
            moved[n] = 1e-6 * x[n] + 3;
        }
        witan_skew_normal again;
        CHECK_STATUS(witan_skew_normal_fit(&again, moved, count), WITAN_OK);
        CHECK_NEAR(again.shape, fit.shape, 0, 1e-3);
        CHECK_NEAR(again.scale, 1e-6 * fit.scale, 0, 1e-4);
        free(moved);
    }
    double flat[10] = {0};
    witan_skew_normal fit;
    CHECK_STATUS(witan_skew_normal_fit(&fit, flat, 10), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_skew_normal_fit(&fit, samples.values, 7), WITAN_E_INVALID);
    samples.values[5] = HUGE_VAL;
    CHECK_STATUS(witan_skew_normal_fit(&fit, samples.values, count), WITAN_E_NUMERIC);
    witan_golden_free(&samples);
    witan_golden_free(&expected);
}

static void
extrapolates(void)
{
    const witan_skew_normal four = {.location = 0, .scale = 1, .shape = 4};
    const witan_skew_normal minus = {.location = 10, .scale = 2, .shape = -2};
    double canaries[] = {0, -2, -1000}, e[3];
    CHECK_STATUS(witan_exposure_extrapolated(e, canaries, 3, &four), WITAN_OK);
    CHECK_NEAR(e[0], -log2(0.0779791304), 1e-8, 0);
    CHECK_NEAR(e[1], 58.852447, 5.1e-7, 0);
    CHECK(isfinite(e[2]) && e[2] > 1e6);
    double far = 10 - 12;
    CHECK_STATUS(witan_exposure_extrapolated(e, &far, 1, &minus), WITAN_OK);
    CHECK_NEAR(e[0], 28.916834, 5.1e-7, 0);
    far = (double)NAN;
    CHECK_STATUS(witan_exposure_extrapolated(e, &far, 1, &four), WITAN_E_NUMERIC);
    witan_skew_normal broken = four;
    broken.scale = 0;
    CHECK_STATUS(witan_exposure_extrapolated(e, canaries, 1, &broken), WITAN_E_INVALID);
}

/* 10000 references of a known law: fit, then the exposure of the law itself. */
static void
fit_then_extrapolate(void)
{
    enum {
        N = 10000
    };
    const witan_skew_normal truth = {.location = 0, .scale = 1, .shape = 4};
    witan_random random;
    witan_random_init(&random, witan_test_seed(3), 0, 0, WITAN_PURPOSE_TEST);
    double *references = malloc(N * sizeof *references);
    for (size_t i = 0; i < N; i++) {
        references[i] = witan_skew_normal_draw(&truth, &random);
    }
    witan_skew_normal fit;
    CHECK_STATUS(witan_skew_normal_fit(&fit, references, N), WITAN_OK);
    CHECK_NEAR(fit.shape, 4, 0.6, 0); /* 4 standard errors */
    double canaries[] = {1, 0.5, 0, -0.2}, got[4], want[4];
    CHECK_STATUS(witan_exposure_extrapolated(got, canaries, 4, &fit), WITAN_OK);
    CHECK_STATUS(witan_exposure_extrapolated(want, canaries, 4, &truth), WITAN_OK);
    for (size_t i = 0; i < 4; i++) {
        CHECK_NEAR(got[i], want[i], 0.02, 0.1);
    }
    /* Both estimators agree where sampling has enough references below. */
    double sampled[4];
    CHECK_STATUS(witan_exposure_sampled(sampled, canaries, 3, references, N,
                                        WITAN_TIES_LOWER, witan_allocator_default()),
                 WITAN_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK_NEAR(sampled[i], got[i], 0.2, 0);
    }
    free(references);
}

/* p-values of fitted samples are uniform under the bootstrap, and far too large under
 * the plain test: 40 samples; the smallest expected mean p-value of the plain one is
 * 0.8. */
static void
goodness_of_fit(void)
{
    enum {
        N = 200,
        SAMPLES = 40
    };
    const witan_allocator *heap = witan_allocator_default();
    const witan_skew_normal truth = {.location = 5, .scale = 2, .shape = 3};
    witan_random random;
    witan_random_init(&random, witan_test_seed(9), 0, 0, WITAN_PURPOSE_TEST);
    double x[N], d, p, honest = 0, plain = 0;
    for (int i = 0; i < SAMPLES; i++) {
        for (size_t n = 0; n < N; n++) {
            x[n] = witan_skew_normal_draw(&truth, &random);
        }
        witan_skew_normal fit;
        CHECK_STATUS(witan_skew_normal_fit(&fit, x, N), WITAN_OK);
        CHECK_STATUS(witan_skew_normal_distance(&d, &p, x, N, &fit, heap), WITAN_OK);
        plain += p / SAMPLES;
        if (i < 15) {
            double again;
            CHECK_STATUS(
                witan_skew_normal_test(&again, &p, x, N, &fit, 19, &random, heap),
                WITAN_OK);
            CHECK_NEAR(again, d, 0, 0);
            honest += p / 15;
        }
    }
    CHECK(plain > 0.75);
    CHECK(honest > 0.2 && honest < 0.8); /* mean of 15 uniforms: 4 standard errors */
    /* A law that is not skew normal is found out by both. */
    for (size_t n = 0; n < N; n++) {
        x[n] = n % 2 == 0 ? witan_random_normal(&random)
                          : 9 + witan_random_normal(&random);
    }
    witan_skew_normal fit;
    CHECK_STATUS(witan_skew_normal_fit(&fit, x, N), WITAN_OK);
    CHECK_STATUS(witan_skew_normal_distance(&d, &p, x, N, &fit, heap), WITAN_OK);
    CHECK(p < 1e-3);
    CHECK_STATUS(witan_skew_normal_test(&d, &p, x, N, &fit, 19, &random, heap),
                 WITAN_OK);
    CHECK_NEAR(p, 0.05, 1e-15, 0);
    CHECK_STATUS(witan_skew_normal_test(&d, &p, x, N, &fit, 18, &random, heap),
                 WITAN_E_INVALID);
    /* Distance by hand: one value at the median. */
    const witan_skew_normal normal = {.location = 0, .scale = 1, .shape = 0};
    double middle = 0;
    CHECK_STATUS(witan_skew_normal_distance(&d, &p, &middle, 1, &normal, heap),
                 WITAN_OK);
    CHECK_NEAR(d, 0.5, 1e-12, 0);
    CHECK_NEAR(p, 0.8438198245, 1e-9, 0); /* 2 sum (-1)^(k-1) exp(-2 (0.615 k)^2) */
}

static void
null_law(void)
{
    double p;
    double one = 3;
    CHECK_STATUS(witan_exposure_p_value(&p, &one, 1), WITAN_OK);
    CHECK_NEAR(p, 0.125, 1e-14, 0); /* Pr[exposure >= t] = 2^-t */
    CHECK_NEAR(WITAN_EXPOSURE_NULL_MEAN, 1 / LN_2, 1e-15, 0);
    /* Sum of two: Gamma(2, 1) tail (1 + s) e^-s. */
    double two[] = {4, 2}, s = 6 * LN_2;
    CHECK_STATUS(witan_exposure_p_value(&p, two, 2), WITAN_OK);
    CHECK_NEAR(p, (1 + s) * exp(-s), 1e-14, 0);
    two[0] = (double)NAN;
    CHECK_STATUS(witan_exposure_p_value(&p, two, 2), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_exposure_p_value(&p, two, 0), WITAN_E_INVALID);
    /* Canaries that are references themselves: mean 1.4427, within 4 standard errors.
     */
    enum {
        N = 4000
    };
    witan_random random;
    witan_random_init(&random, witan_test_seed(5), 0, 0, WITAN_PURPOSE_TEST);
    double *x = malloc(2 * N * sizeof *x), *e = malloc(N * sizeof *e), mean = 0;
    for (size_t i = 0; i < 2 * N; i++) {
        x[i] = witan_random_normal(&random);
    }
    CHECK_STATUS(witan_exposure_sampled(e, x, N, x + N, N, WITAN_TIES_LOWER,
                                        witan_allocator_default()),
                 WITAN_OK);
    for (size_t i = 0; i < N; i++) {
        mean += e[i] / N;
    }
    CHECK_NEAR(mean, WITAN_EXPOSURE_NULL_MEAN,
               4 * 1.4142 * WITAN_EXPOSURE_NULL_SD / sqrt(N), 0);
    double low, high;
    CHECK_STATUS(witan_exposure_interval(&low, &high, e, N, .95, 400, &random,
                                         witan_allocator_default()),
                 WITAN_OK);
    double half = 1.96 * WITAN_EXPOSURE_NULL_SD / sqrt(N);
    CHECK_NEAR(0.5 * (high - low), half, 0, 0.25);
    CHECK(low < mean && mean < high);
    double same[2];
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_TEST);
    CHECK_STATUS(witan_exposure_interval(&low, &high, e, 50, .9, 100, &random,
                                         witan_allocator_default()),
                 WITAN_OK);
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_TEST);
    CHECK_STATUS(witan_exposure_interval(&same[0], &same[1], e, 50, .9, 100, &random,
                                         witan_allocator_default()),
                 WITAN_OK);
    CHECK(same[0] == low && same[1] == high);
    CHECK_STATUS(witan_exposure_interval(&low, &high, e, 1, .9, 100, &random,
                                         witan_allocator_default()),
                 WITAN_E_INVALID);
    free(x);
    free(e);
}

static void
against_promises(void)
{
    /* Exposure 10 with probability 1/2 needs epsilon 6.24; 20 needs 13.17. */
    CHECK_NEAR(witan_exposure_tail(10, 6.238325, 0), 0.5, 1e-6, 0);
    CHECK_NEAR(witan_exposure_tail(20, 13.169796, 0), 0.5, 1e-6, 0);
    CHECK_NEAR(witan_exposure_tail(1, 5, 0.1), 1, 0, 0);
    CHECK_NEAR(witan_exposure_mean_limit(0), WITAN_EXPOSURE_NULL_MEAN, 1e-15, 0);
    CHECK_NEAR(witan_exposure_median_limit(LN_2), 2, 1e-15, 0);
    double share;
    CHECK_STATUS(
        witan_exposure_reduction(&share, 11.4426950408889634, 3.4426950408889634),
        WITAN_OK);
    CHECK_NEAR(share, 0.8, 1e-14, 0);
    CHECK_STATUS(witan_exposure_reduction(&share, 1.4, 1.4), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_exposure_reduction(&share, (double)NAN, 1.4), WITAN_E_NUMERIC);
}

static void
allocations(void)
{
    double x[20], e[20], p, d;
    for (size_t i = 0; i < 20; i++) {
        x[i] = sin((double)i);
    }
    witan_failing_allocator failing;
    const witan_skew_normal fit = {.location = 0, .scale = 1, .shape = 1};
    witan_random random;
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_TEST);
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(
        witan_exposure_sampled(e, x, 20, x, 20, WITAN_TIES_LOWER, &failing.allocator),
        WITAN_E_MEMORY);
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_skew_normal_distance(&d, &p, x, 20, &fit, &failing.allocator),
                 WITAN_E_MEMORY);
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(
        witan_skew_normal_test(&d, &p, x, 20, &fit, 19, &random, &failing.allocator),
        WITAN_E_MEMORY);
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(
        witan_exposure_interval(&d, &p, x, 20, .9, 20, &random, &failing.allocator),
        WITAN_E_MEMORY);
    witan_failing_allocator_init(&failing, 0);
    CHECK_STATUS(
        witan_skew_normal_test(&d, &p, x, 20, &fit, 19, &random, &failing.allocator),
        WITAN_OK);
    CHECK(failing.live == 0);
}

int
main(void)
{
    RUN(by_rank);
    RUN(by_sampling);
    RUN(fits);
    RUN(extrapolates);
    RUN(fit_then_extrapolate);
    RUN(goodness_of_fit);
    RUN(null_law);
    RUN(against_promises);
    RUN(allocations);
    return witan_test_finish();
}
