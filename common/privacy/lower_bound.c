#include "privacy/lower_bound.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "privacy/accountant.h"
#include "privacy/array.h"
#include "privacy/membership.h"
#include "privacy/special.h"

static bool
share_valid(double x)
{
    return x > 0.0 && x < 1.0;
}

static bool
counts_valid(const witan_attack_counts *c)
{
    return c->positive > 0 && c->negative > 0 && c->true_positive <= c->positive &&
           c->false_positive <= c->negative;
}

static double
limit_lower(uint64_t k, uint64_t n, double alpha)
{
    return k == 0 ? 0.0 : witan_beta_quantile((double)k, (double)(n - k) + 1.0, alpha);
}

static double
limit_upper(uint64_t k, uint64_t n, double alpha)
{
    /* Seen from the other side, so that a limit near 0 keeps its digits. */
    return k == n ? 1.0
                  : witan_beta_quantile((double)k + 1.0, (double)(n - k), 1.0 - alpha);
}

witan_status
witan_clopper_pearson(double *lower, double *upper, uint64_t k, uint64_t n,
                      double alpha)
{
    bool valid = n > 0 && k <= n && share_valid(alpha);
    if (lower != NULL) {
        *lower = valid ? limit_lower(k, n, alpha) : (double)NAN;
    }
    if (upper != NULL) {
        *upper = valid ? limit_upper(k, n, alpha) : (double)NAN;
    }
    return valid ? WITAN_OK : WITAN_E_INVALID;
}

witan_status
witan_two_sample_epsilon(double *epsilon, const witan_attack_counts *counts,
                         double delta, double significance)
{
    *epsilon = (double)NAN;
    if (!counts_valid(counts) || !(delta >= 0.0 && delta < 1.0) ||
        !share_valid(significance)) {
        return WITAN_E_INVALID;
    }
    double half = 0.5 * significance;
    double tpr = limit_lower(counts->true_positive, counts->positive, half);
    double fpr = limit_upper(counts->false_positive, counts->negative, half);
    *epsilon = tpr > delta ? fmax(0.0, log((tpr - delta) / fpr)) : 0.0;
    return WITAN_OK;
}

witan_status
witan_ratio_lower(double *ratio, const witan_attack_counts *counts,
                  witan_ratio_method method, double significance)
{
    *ratio = (double)NAN;
    if (!counts_valid(counts) || !share_valid(significance) ||
        method >= WITAN_RATIO_METHODS) {
        return WITAN_E_INVALID;
    }
    double add = method == WITAN_RATIO_ADJUSTED ? 0.5 : 0.0;
    double x1 = (double)counts->true_positive + add,
           n1 = (double)counts->positive + add;
    double x2 = (double)counts->false_positive + add,
           n2 = (double)counts->negative + add;
    double z = -witan_normal_quantile(significance);
    double plain = (x1 / n1) / (x2 / n2);
    double sd = sqrt(1.0 / x1 - 1.0 / n1 + 1.0 / x2 - 1.0 / n2);
    switch (method) {
    case WITAN_RATIO_BAILEY: {
        double q1 = 1.0 - x1 / n1, q2 = 1.0 - x2 / n2;
        double root = sqrt(q1 / x1 + q2 / x2 - z * z * q1 * q2 / (9.0 * x1 * x2));
        double base = (1.0 - z * root / 3.0) / (1.0 - z * z * q2 / (9.0 * x2));
        *ratio = plain * base * base * base;
        break;
    }
    case WITAN_RATIO_SINH:
        *ratio = plain * exp(-2.0 * asinh(0.5 * z * sd));
        break;
    default:
        *ratio = plain * exp(-z * sd);
        break;
    }
    return isfinite(*ratio) ? WITAN_OK : WITAN_E_NUMERIC;
}

witan_status
witan_gdp_epsilon(double *mu, double *epsilon, const witan_attack_counts *counts,
                  double delta, double significance)
{
    *epsilon = (double)NAN;
    if (mu != NULL) {
        *mu = (double)NAN;
    }
    if (!counts_valid(counts) || !share_valid(delta) || !share_valid(significance)) {
        return WITAN_E_INVALID;
    }
    double half = 0.5 * significance;
    double fpr = limit_upper(counts->false_positive, counts->negative, half);
    double fnr =
        limit_upper(counts->positive - counts->true_positive, counts->positive, half);
    double value = -witan_normal_quantile(fpr) - witan_normal_quantile(fnr);
    value = value > 0.0 ? value : 0.0;
    if (mu != NULL) {
        *mu = value;
    }
    *epsilon = 0.0;
    /* A mu-Gaussian mechanism is the Gaussian one with noise multiplier 1 / mu. */
    return value > 1e-6 ? witan_gaussian_epsilon(epsilon, 1.0 / value, delta)
                        : WITAN_OK;
}

static bool
run_valid(const witan_one_run *run)
{
    return run->canaries > 0 && run->guesses <= run->canaries &&
           run->correct <= run->guesses;
}

/* Arguments are valid. alpha = max_i Pr[v - i <= Bin < v] / i. */
static double
one_run_p(const witan_one_run *run, double epsilon, double delta)
{
    size_t r = (size_t)run->guesses, v = (size_t)run->correct;
    double q = 1.0 / (1.0 + exp(-epsilon));
    double beta = exp(witan_log_binomial_tail(r, q, v));
    if (delta == 0.0 || v == 0) {
        return fmin(1.0, beta);
    }
    double alpha = 0.0, sum = 0.0, log_odds = -epsilon; /* ln((1 - q) / q) */
    double log_mass = witan_log_binomial_mass(r, q, v - 1);
    for (size_t i = 1; i <= v; i++) {
        sum += exp(log_mass);
        alpha = fmax(alpha, sum / (double)i);
        if (1.0 / (double)(i + 1) < alpha) {
            break; /* no longer sum can reach it */
        }
        /* mass(k - 1) / mass(k) = k / (r - k + 1) * (1 - q) / q, k = v - i */
        double k = (double)(v - i);
        log_mass += log(k / ((double)r - k + 1.0)) + log_odds;
    }
    return fmin(1.0, beta + 2.0 * (double)run->canaries * delta * alpha);
}

witan_status
witan_one_run_p_value(double *p, const witan_one_run *run, double epsilon, double delta)
{
    *p = (double)NAN;
    if (!run_valid(run) || !(epsilon >= 0.0) || !isfinite(epsilon) ||
        !(delta >= 0.0 && delta < 1.0)) {
        return WITAN_E_INVALID;
    }
    *p = one_run_p(run, epsilon, delta);
    return WITAN_OK;
}

/* Whether the Gaussian trade-off curve through (epsilon, delta) is refuted: Algorithm
 * of arXiv 2410.22235, sec. 3 ("audit with cap"). */
static bool
curve_refuted(const witan_one_run *run, double epsilon, double delta,
              double significance)
{
    double sigma = (double)NAN, m = (double)run->canaries;
    witan_status status = witan_gaussian_multiplier(&sigma, epsilon, delta);
    WITAN_ASSERT(status == WITAN_OK);
    double v = (double)run->correct, guesses = (double)run->guesses;
    double r = significance * v / m, h = significance * (guesses - v) / m;
    for (double i = v - 1.0; i >= 0.0; i -= 1.0) {
        double next = fmax(h, witan_normal_cdf(witan_normal_quantile(r) - 1.0 / sigma));
        if (next == h) {
            break;
        }
        r = fmin(1.0, r + i / (guesses - i) * (next - h));
        h = next;
    }
    return r + h > guesses / m;
}

typedef bool refutation(const witan_one_run *run, double epsilon, double delta,
                        double significance);

static bool
claim_refuted(const witan_one_run *run, double epsilon, double delta,
              double significance)
{
    return one_run_p(run, epsilon, delta) < significance;
}

/* Largest refuted epsilon at or above `from`, or `from`. */
static double
largest_refuted(refutation *refuted, const witan_one_run *run, double from,
                double delta, double significance)
{
    if (run->correct == 0 || !refuted(run, from, delta, significance)) {
        return from;
    }
    double low = from, high = fmax(1.0, 2.0 * from);
    while (high < 700.0 && refuted(run, high, delta, significance)) {
        low = high;
        high *= 2.0;
    }
    while (high - low > 1e-12 * high) {
        double middle = 0.5 * (low + high);
        if (refuted(run, middle, delta, significance)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

witan_status
witan_one_run_epsilon(double *epsilon, const witan_one_run *run, double delta,
                      double significance)
{
    *epsilon = (double)NAN;
    if (!run_valid(run) || !(delta >= 0.0 && delta < 1.0) ||
        !share_valid(significance)) {
        return WITAN_E_INVALID;
    }
    *epsilon = largest_refuted(claim_refuted, run, 0.0, delta, significance);
    return WITAN_OK;
}

witan_status
witan_one_run_gaussian(double *epsilon, const witan_one_run *run, double delta,
                       double significance)
{
    *epsilon = (double)NAN;
    if (!run_valid(run) || !share_valid(delta) || !share_valid(significance)) {
        return WITAN_E_INVALID;
    }
    *epsilon = largest_refuted(curve_refuted, run, 0.0, delta, significance);
    return WITAN_OK;
}

static witan_attack_counts
counts_at(const double *in, size_t n_in, const double *out, size_t n_out,
          double threshold)
{
    witan_attack_counts counts = {.positive = n_in, .negative = n_out};
    for (size_t i = 0; i < n_in; i++) {
        counts.true_positive += in[i] >= threshold;
    }
    for (size_t i = 0; i < n_out; i++) {
        counts.false_positive += out[i] >= threshold;
    }
    return counts;
}

/* Bound of one threshold, or `from` when it is no better. */
static double
bound_of(const witan_attack_counts *counts, const witan_audit_options *options,
         double significance, double from)
{
    double epsilon = 0.0;
    witan_one_run run = {counts->positive + counts->negative,
                         counts->true_positive + counts->false_positive,
                         counts->true_positive};
    witan_status status = WITAN_OK;
    switch (options->bound) {
    case WITAN_BOUND_TWO_SAMPLE:
        status =
            witan_two_sample_epsilon(&epsilon, counts, options->delta, significance);
        break;
    case WITAN_BOUND_GDP:
        status =
            witan_gdp_epsilon(NULL, &epsilon, counts, options->delta, significance);
        break;
    default: {
        /* More right guesses than from already explains are needed at all. */
        double right = (double)run.correct, guesses = (double)run.guesses;
        if (right * (1.0 + exp(-from)) <= guesses) {
            return from;
        }
        refutation *refuted =
            options->bound == WITAN_BOUND_ONE_RUN ? claim_refuted : curve_refuted;
        return largest_refuted(refuted, &run, from, options->delta, significance);
    }
    }
    WITAN_ASSERT(status == WITAN_OK);
    return fmax(from, epsilon);
}

/* Corners in the order of their precision's lower limit: a good bound early makes the
 * rest cheap. */
typedef struct candidate {
    double precision;
    size_t point;
} candidate;

static int
compare_candidates(const void *a, const void *b)
{
    double x = ((const candidate *)a)->precision, y = ((const candidate *)b)->precision;
    return (x < y) - (x > y);
}

/* The best threshold, everything at `significance`. */
static witan_status
best_threshold(witan_audit_bound *bound, const double *in, size_t n_in,
               const double *out, size_t n_out, const witan_audit_options *options,
               double significance, const witan_allocator *allocator)
{
    witan_roc roc;
    candidate *order = NULL;
    WITAN_TRY(witan_roc_init(&roc, in, n_in, out, n_out, allocator));
    witan_roc_hull(&roc);
    witan_status status = WITAN_E_MEMORY;
    order = witan_alloc(allocator, roc.count, sizeof *order);
    if (order == NULL) {
        goto out;
    }
    for (size_t i = 0; i < roc.count; i++) {
        uint64_t flagged = roc.tp[i] + roc.fp[i];
        order[i].precision =
            flagged > 0 ? limit_lower(roc.tp[i], flagged, significance) : 0.0;
        order[i].point = i;
    }
    qsort(order, roc.count, sizeof *order, compare_candidates);
    *bound = (witan_audit_bound){.threshold = HUGE_VAL,
                                 .counts = {.positive = n_in, .negative = n_out},
                                 .significance = significance};
    for (size_t i = 0; i < roc.count; i++) {
        size_t point = order[i].point;
        witan_attack_counts counts = {roc.tp[point], n_in, roc.fp[point], n_out};
        double epsilon = bound_of(&counts, options, significance, bound->epsilon);
        if (epsilon > bound->epsilon) {
            bound->epsilon = epsilon;
            bound->threshold = roc.threshold[point];
            bound->counts = counts;
        }
    }
    status = WITAN_OK;
out:
    witan_free(allocator, order);
    witan_roc_fini(&roc, allocator);
    return status;
}

static void
fixed_threshold(witan_audit_bound *bound, const double *in, size_t n_in,
                const double *out, size_t n_out, const witan_audit_options *options,
                double threshold)
{
    *bound = (witan_audit_bound){.threshold = threshold,
                                 .counts = counts_at(in, n_in, out, n_out, threshold),
                                 .significance = options->significance};
    bound->epsilon = bound_of(&bound->counts, options, options->significance, 0.0);
}

static void
shuffle(double *values, size_t count, witan_random *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = witan_random_below(random, (uint32_t)i);
        double kept = values[i - 1];
        values[i - 1] = values[j];
        values[j] = kept;
    }
}

static witan_status
split(witan_audit_bound *bound, const double *in, size_t n_in, const double *out,
      size_t n_out, const witan_audit_options *options,
      const witan_allocator *allocator)
{
    if (n_in < 2 || n_out < 2 || n_in > UINT32_MAX || n_out > UINT32_MAX) {
        return WITAN_E_INVALID;
    }
    double *copy = witan_alloc(allocator, n_in + n_out, sizeof *copy);
    if (copy == NULL) {
        return WITAN_E_MEMORY;
    }
    double *members = copy, *others = copy + n_in;
    memcpy(members, in, n_in * sizeof *copy);
    memcpy(others, out, n_out * sizeof *copy);
    witan_random random;
    witan_random_init(&random, options->seed, WITAN_CLIENT_NONE, 0,
                      WITAN_PURPOSE_SPLIT);
    shuffle(members, n_in, &random);
    shuffle(others, n_out, &random);
    size_t i = n_in / 2, o = n_out / 2;
    witan_status status = best_threshold(bound, members, i, others, o, options,
                                         options->significance, allocator);
    if (status == WITAN_OK) {
        fixed_threshold(bound, members + i, n_in - i, others + o, n_out - o, options,
                        bound->threshold);
    }
    witan_free(allocator, copy);
    return status;
}

witan_status
witan_audit_scores(witan_audit_bound *bound, const double *in, size_t n_in,
                   const double *out, size_t n_out, const witan_audit_options *options,
                   const witan_allocator *allocator)
{
    *bound = (witan_audit_bound){0};
    bool gaussian = options->bound == WITAN_BOUND_GDP ||
                    options->bound == WITAN_BOUND_ONE_RUN_GAUSSIAN;
    if (n_in == 0 || n_out == 0 || options->bound > WITAN_BOUND_GDP ||
        !share_valid(options->significance) || !(options->delta < 1.0) ||
        !(gaussian ? options->delta > 0.0 : options->delta >= 0.0)) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(in, n_in) || !witan_array_finite(out, n_out)) {
        return WITAN_E_NUMERIC;
    }
    uint64_t hypotheses =
        options->hypotheses > 0 ? options->hypotheses : (uint64_t)n_in + n_out;
    switch (options->choice) {
    case WITAN_THRESHOLD_BONFERRONI:
        return best_threshold(bound, in, n_in, out, n_out, options,
                              options->significance / (double)hypotheses, allocator);
    case WITAN_THRESHOLD_SPLIT:
        return split(bound, in, n_in, out, n_out, options, allocator);
    case WITAN_THRESHOLD_FIXED:
        if (isnan(options->threshold)) {
            return WITAN_E_INVALID;
        }
        fixed_threshold(bound, in, n_in, out, n_out, options, options->threshold);
        return WITAN_OK;
    }
    return WITAN_E_INVALID;
}
