/* Lower bounds on epsilon: published tables, payment for thresholds, error rates. */
#include "privacy/lower_bound.h"

#include <math.h>
#include <stdlib.h>

#include "privacy/accountant.h"
#include "privacy/membership.h"
#include "privacy/special.h"
#include "support/witan_test.h"

static void
two_sample(void)
{
    static const struct {
        witan_attack_counts counts;
        double significance, expected, tolerance;
    } table[] = {
        {{500, 500, 0, 500}, .01, 4.5419, 5.1e-5},
        {{100, 100, 0, 100}, .05, 3.281346, 5.1e-7},
        {{50, 100, 1, 100}, .05, 1.989803, 5.1e-7},
        {{300, 500, 100, 500}, .05, .848602, 5.1e-7},
    };
    for (size_t i = 0; i < 4; i++) {
        double epsilon, less;
        CHECK_STATUS(witan_two_sample_epsilon(&epsilon, &table[i].counts, 0,
                                              table[i].significance),
                     WITAN_OK);
        CHECK_NEAR(epsilon, table[i].expected, table[i].tolerance, 0);
        CHECK_STATUS(witan_two_sample_epsilon(&less, &table[i].counts, 0.01,
                                              table[i].significance),
                     WITAN_OK);
        CHECK(less < epsilon);
    }
    double epsilon;
    witan_attack_counts useless = {1, 100, 50, 100};
    CHECK_STATUS(witan_two_sample_epsilon(&epsilon, &useless, 0.5, .05), WITAN_OK);
    CHECK_NEAR(epsilon, 0, 0, 0);
}

static void
intervals(void)
{
    double low, high;
    CHECK_STATUS(witan_clopper_pearson(&low, &high, 0, 20, .025), WITAN_OK);
    CHECK_NEAR(low, 0, 0, 0);
    CHECK_NEAR(high, 1 - pow(.025, 1.0 / 20), 0, 1e-12);
    CHECK_STATUS(witan_clopper_pearson(&low, &high, 20, 20, .025), WITAN_OK);
    CHECK_NEAR(low, pow(.025, 1.0 / 20), 0, 1e-12);
    CHECK_NEAR(high, 1, 0, 0);
    /* At its limits k is as unlikely as alpha says: the definition. */
    for (size_t k = 1; k < 30; k += 4) {
        CHECK_STATUS(witan_clopper_pearson(&low, &high, k, 30, .05), WITAN_OK);
        CHECK_NEAR(exp(witan_log_binomial_tail(30, low, k)), .05, 1e-11, 0);
        CHECK_NEAR(exp(witan_log_binomial_tail(30, high, k + 1)), .95, 1e-11, 0);
    }
    CHECK_STATUS(witan_clopper_pearson(&low, NULL, 3, 2, .05), WITAN_E_INVALID);
    CHECK_STATUS(witan_clopper_pearson(NULL, &high, 0, 0, .05), WITAN_E_INVALID);
    CHECK_STATUS(witan_clopper_pearson(&low, &high, 1, 2, (double)NAN),
                 WITAN_E_INVALID);
    CHECK(isnan(low) && isnan(high));
}

static void
ratios(void)
{
    const witan_attack_counts counts = {473, 473 + 511, 755, 755 + 950};
    static const double expected[] = {1.01166194, 1.01189079, 1.01148934, 1.01167669};
    double ratio;
    for (int method = 0; method < WITAN_RATIO_METHODS; method++) {
        CHECK_STATUS(
            witan_ratio_lower(&ratio, &counts, (witan_ratio_method)method, .05),
            WITAN_OK);
        CHECK_NEAR(ratio, expected[method], 5.1e-9, 0);
    }
    const witan_attack_counts none = {5, 10, 0, 10};
    CHECK_STATUS(witan_ratio_lower(&ratio, &none, WITAN_RATIO_KATZ, .05),
                 WITAN_E_NUMERIC);
    CHECK_STATUS(witan_ratio_lower(&ratio, &none, WITAN_RATIO_ADJUSTED, .05), WITAN_OK);
}

static void
one_run(void)
{
    static const struct {
        witan_one_run run;
        double delta, expected;
    } table[] = {
        {{1000, 100, 90}, 0, 1.630823},     {{1000, 100, 100}, 0, 3.492965},
        {{1000, 100, 100}, 1e-5, 3.465376}, {{1000, 100, 90}, 1e-5, 1.626143},
        {{1000, 1000, 600}, 0, .297468},    {{200, 50, 45}, 0, 1.393604},
    };
    double epsilon, p;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        CHECK_STATUS(
            witan_one_run_epsilon(&epsilon, &table[i].run, table[i].delta, .05),
            WITAN_OK);
        CHECK_NEAR(epsilon, table[i].expected, 5.1e-7, 0);
        CHECK_STATUS(witan_one_run_p_value(&p, &table[i].run, epsilon, table[i].delta),
                     WITAN_OK);
        CHECK_NEAR(p, .05, 1e-8, 0);
    }
    witan_one_run run = {1000, 100, 90};
    CHECK_STATUS(witan_one_run_p_value(&p, &run, 1, 0), WITAN_OK);
    CHECK_NEAR(p, 2.735813e-5, 5.1e-12, 0);
    /* The alpha term as its definition reads, without the early stop. */
    for (size_t v = 40; v <= 100; v += 12) {
        run.correct = v;
        double q = 1 / (1 + exp(-.7)), alpha = 0, sum = 0;
        for (size_t i = 1; i <= v; i++) {
            sum += exp(witan_log_binomial_mass(100, q, v - i));
            alpha = fmax(alpha, sum / (double)i);
        }
        double beta = exp(witan_log_binomial_tail(100, q, v));
        CHECK_STATUS(witan_one_run_p_value(&p, &run, .7, 1e-4), WITAN_OK);
        CHECK_NEAR(p, fmin(1, beta + 2 * 1000 * 1e-4 * alpha), 1e-15, 1e-10);
    }
    run = (witan_one_run){1000, 100, 50};
    CHECK_STATUS(witan_one_run_epsilon(&epsilon, &run, 0, .05), WITAN_OK);
    CHECK_NEAR(epsilon, 0, 0, 0);
    run.correct = 101;
    CHECK_STATUS(witan_one_run_epsilon(&epsilon, &run, 0, .05), WITAN_E_INVALID);
    CHECK_STATUS(witan_one_run_p_value(&p, &run, 0, 0), WITAN_E_INVALID);
    run.correct = 100;
    CHECK_STATUS(witan_one_run_epsilon(&epsilon, &run, 0, 1), WITAN_E_INVALID);
    CHECK_STATUS(witan_one_run_epsilon(&epsilon, &run, (double)NAN, .05),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_one_run_gaussian(&epsilon, &run, 0, .05), WITAN_E_INVALID);
}

/* n normal quantiles, shifted. */
static double *
normal_scores(size_t n, double shift)
{
    double *scores = malloc(n * sizeof *scores);
    for (size_t i = 0; i < n; i++) {
        scores[i] = witan_normal_quantile(((double)i + .5) / (double)n) + shift;
    }
    return scores;
}

static void
published_scores(void)
{
    enum {
        N = 10000
    };
    static const double table[][3] = {
        {1, 1.13346, 2.164749}, {2, 2.311945, 4.7218075}, {4, 4.395568, 9.133752}};
    const witan_allocator *heap = witan_allocator_default();
    double *out = normal_scores(N, 0);
    for (size_t i = 0; i < 3; i++) {
        double *in = normal_scores(N, table[i][0]);
        /* The published values pay for the corners of the hull alone. */
        witan_roc roc;
        CHECK_STATUS(witan_roc_init(&roc, in, N, out, N, heap), WITAN_OK);
        witan_roc_hull(&roc);
        witan_audit_options options = {.bound = WITAN_BOUND_ONE_RUN,
                                       .delta = 1e-6,
                                       .significance = .05,
                                       .hypotheses = roc.count};
        witan_roc_fini(&roc, heap);
        witan_audit_bound bound;
        CHECK_STATUS(witan_audit_scores(&bound, in, N, out, N, &options, heap),
                     WITAN_OK);
        CHECK_NEAR(bound.epsilon, table[i][1], 0, 1e-5);
        options.bound = WITAN_BOUND_ONE_RUN_GAUSSIAN;
        CHECK_STATUS(witan_audit_scores(&bound, in, N, out, N, &options, heap),
                     WITAN_OK);
        CHECK_NEAR(bound.epsilon, table[i][2], 0, 1e-5);
        /* Paying for every threshold costs a little more. */
        double cheap = bound.epsilon;
        options.hypotheses = 0;
        CHECK_STATUS(witan_audit_scores(&bound, in, N, out, N, &options, heap),
                     WITAN_OK);
        CHECK(bound.epsilon > 0 && bound.epsilon <= cheap);
        CHECK_NEAR(bound.significance, .05 / (2 * N), 0, 1e-15);
        free(in);
    }
    free(out);
}

static void
choices(void)
{
    enum {
        N = 2000
    };
    const witan_allocator *heap = witan_allocator_default();
    double *in = normal_scores(N, 1), *out = normal_scores(N, 0);
    for (int kind = WITAN_BOUND_TWO_SAMPLE; kind <= WITAN_BOUND_GDP; kind++) {
        bool one_run =
            kind == WITAN_BOUND_ONE_RUN || kind == WITAN_BOUND_ONE_RUN_GAUSSIAN;
        witan_audit_options options = {.bound = (witan_bound_kind)kind,
                                       .delta = one_run ? 1e-6 : .1,
                                       .significance = .2,
                                       .seed = 5};
        witan_audit_bound all, half, fixed;
        CHECK_STATUS(witan_audit_scores(&all, in, N, out, N, &options, heap), WITAN_OK);
        options.choice = WITAN_THRESHOLD_SPLIT;
        CHECK_STATUS(witan_audit_scores(&half, in, N, out, N, &options, heap),
                     WITAN_OK);
        options.choice = WITAN_THRESHOLD_FIXED;
        options.threshold = all.threshold;
        CHECK_STATUS(witan_audit_scores(&fixed, in, N, out, N, &options, heap),
                     WITAN_OK);
        CHECK(all.epsilon > 0 && half.epsilon > 0);
        CHECK(fixed.epsilon >= all.epsilon); /* it was not known in advance */
        CHECK(fixed.counts.true_positive == all.counts.true_positive);
        CHECK(half.counts.positive == N / 2);
        double truth; /* the scores are those of Gaussian noise with multiplier 1 */
        CHECK_STATUS(witan_gaussian_epsilon(&truth, 1, options.delta), WITAN_OK);
        CHECK(all.epsilon < truth && half.epsilon < truth);
    }
    double mu, epsilon;
    witan_attack_counts counts = {841, 1000, 159, 1000};
    CHECK_STATUS(witan_gdp_epsilon(&mu, &epsilon, &counts, 1e-5, .05), WITAN_OK);
    CHECK(mu > 1.75 && mu < 2.0);
    counts = (witan_attack_counts){500, 1000, 500, 1000};
    CHECK_STATUS(witan_gdp_epsilon(&mu, &epsilon, &counts, 1e-5, .05), WITAN_OK);
    CHECK_NEAR(mu, 0, 0, 0);
    CHECK_NEAR(epsilon, 0, 0, 0);
    free(in);
    free(out);
}

/* Scores without information: the bound is above 0 in at most 5 % of audits; 400
 * audits, so more than 40 such happen once in 10^5 seeds. */
static void
error_rate(void)
{
    enum {
        N = 60,
        AUDITS = 400
    };
    witan_random random;
    witan_random_init(&random, witan_test_seed(11), 0, 0, WITAN_PURPOSE_TEST);
    for (int choice = 0; choice < 2; choice++) {
        int wrong = 0;
        for (int i = 0; i < AUDITS; i++) {
            double in[N], out[N];
            for (size_t n = 0; n < N; n++) {
                in[n] = witan_random_uniform(&random);
                out[n] = witan_random_uniform(&random);
            }
            witan_audit_options options = {.bound = WITAN_BOUND_ONE_RUN,
                                           .choice = (witan_threshold_choice)choice,
                                           .significance = .05,
                                           .seed = (uint64_t)i};
            witan_audit_bound bound;
            CHECK_STATUS(witan_audit_scores(&bound, in, N, out, N, &options,
                                            witan_allocator_default()),
                         WITAN_OK);
            wrong += bound.epsilon > 0;
        }
        CHECK(wrong <= 40);
    }
}

static void
refusals(void)
{
    const double in[3] = {1, 2, 3}, out[3] = {0, (double)NAN, 1};
    witan_audit_options options = {.significance = .05};
    witan_audit_bound bound;
    const witan_allocator *heap = witan_allocator_default();
    CHECK_STATUS(witan_audit_scores(&bound, in, 3, out, 3, &options, heap),
                 WITAN_E_NUMERIC);
    CHECK_STATUS(witan_audit_scores(&bound, in, 0, out, 1, &options, heap),
                 WITAN_E_INVALID);
    options.choice = WITAN_THRESHOLD_SPLIT;
    CHECK_STATUS(witan_audit_scores(&bound, in, 3, out, 1, &options, heap),
                 WITAN_E_INVALID);
    options.choice = WITAN_THRESHOLD_FIXED;
    options.threshold = (double)NAN;
    CHECK_STATUS(witan_audit_scores(&bound, in, 3, out, 1, &options, heap),
                 WITAN_E_INVALID);
    options.bound = WITAN_BOUND_GDP;
    options.threshold = 0;
    CHECK_STATUS(witan_audit_scores(&bound, in, 3, out, 1, &options, heap),
                 WITAN_E_INVALID);
    for (int choice = 0; choice < 2; choice++) {
        witan_audit_options ok = {.significance = .05,
                                  .choice = (witan_threshold_choice)choice};
        for (size_t at = 1;; at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, at);
            witan_status status =
                witan_audit_scores(&bound, in, 3, in, 3, &ok, &failing.allocator);
            CHECK(failing.live == 0);
            if (status == WITAN_OK) {
                CHECK(at > 5);
                break;
            }
            CHECK_STATUS(status, WITAN_E_MEMORY);
        }
    }
}

int
main(void)
{
    RUN(two_sample);
    RUN(intervals);
    RUN(ratios);
    RUN(one_run);
    RUN(published_scores);
    RUN(choices);
    RUN(error_rate);
    RUN(refusals);
    return witan_test_finish();
}
