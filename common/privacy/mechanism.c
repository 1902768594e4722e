#include "privacy/mechanism.h"

#include <math.h>
#include <stdbool.h>

#include "base/limits.h"
#include "privacy/special.h"

#define LN_2 0.69314718055994530942
#define SQRT_2 1.41421356237309504880

/* Terms of the fractional series before it is given up. */
#define SERIES_MAX 1000

static bool
positive(double x)
{
    return x > 0.0 && isfinite(x);
}

static bool
classes_valid(size_t classes)
{
    return classes >= 2 && classes <= WITAN_CLASSES_MAX;
}

static bool
polytope_valid(size_t classes, double clip, double temperature)
{
    return classes_valid(classes) && positive(clip) && positive(temperature) &&
           clip / temperature <= WITAN_CLIP_OVER_TEMPERATURE_MAX;
}

const char *
witan_mechanism_name(witan_mechanism_kind kind)
{
    static const char *const names[WITAN_MECHANISM_KINDS] = {
        "heuristic",        "gaussian",      "laplace",     "pure",
        "response",         "sampled label", "exponential", "zcdp",
        "sampled gaussian", "gnmax",
    };
    return kind < WITAN_MECHANISM_KINDS ? names[kind] : "unknown";
}

/* ln cosh(x) without cancellation at 0 or overflow. */
static double
log_cosh(double x)
{
    x = fabs(x);
    if (x < 1.0) {
        double s = sinh(0.5 * x);
        return log1p(2.0 * s * s);
    }
    return x - LN_2 + log1p(exp(-2.0 * x));
}

/* Binary randomised response, the worst mechanism of its epsilon: Mironov 2017, prop.
 * 6, as ln(cosh((a - 1/2) e) / cosh(e / 2)) / (a - 1). */
static double
pure_rdp(double epsilon, double order)
{
    if (order == HUGE_VAL) {
        return epsilon;
    }
    if (order == 1.0) {
        return epsilon * tanh(0.5 * epsilon);
    }
    double gap = log_cosh((order - 0.5) * epsilon) - log_cosh(0.5 * epsilon);
    return fmin(epsilon, gap / (order - 1.0));
}

static double
laplace_rdp(double epsilon, double a)
{
    if (a == HUGE_VAL) {
        return epsilon;
    }
    if (a == 1.0) {
        return epsilon + expm1(-epsilon);
    }
    double inner = (a - 1.0) * expm1((1.0 - 2.0 * a) * epsilon) / (2.0 * a - 1.0);
    return fmax(0.0, epsilon + log1p(inner) / (a - 1.0));
}

static double
response_rdp(size_t classes, double response, double a)
{
    double K = (double)classes, other = response / K, keep = 1.0 - response + other;
    double ratio = log(keep / other);
    if (a == HUGE_VAL) {
        return ratio;
    }
    if (a == 1.0) {
        return (keep - other) * ratio;
    }
    double forth = log(other) + a * ratio;
    double back = log(keep) - a * ratio;
    double sum = witan_log_add(forth, back);
    if (classes > 2) {
        sum = witan_log_add(sum, log((K - 2.0) * other));
    }
    return fmax(0.0, sum / (a - 1.0));
}

static double
exponential_rdp(double epsilon, double a)
{
    double y = epsilon / expm1(epsilon);
    double xi = y - 1.0 - log(y) - 0.125 * epsilon * epsilon;
    return fmax(0.0, fmin(epsilon, xi + 0.125 * a * epsilon * epsilon));
}

/* ln A_a at whole a: Mironov et al. 2019, sec. 3.3. */
static double
sampled_whole(double q, double sigma, double a)
{
    double sum = -HUGE_VAL, log_q = log(q), log_rest = log1p(-q);
    for (double i = 0.0; i <= a; i += 1.0) {
        double term = witan_log_binomial(a, i) + i * log_q + (a - i) * log_rest;
        sum = witan_log_add(sum, term + (i * i - i) / (2.0 * sigma * sigma));
    }
    return sum;
}

/* Adds sign e^term to the sum e^sum; the sum stays positive. */
static double
log_accumulate(double sum, double term, bool negative)
{
    return negative && sum > term ? witan_log_subtract(sum, term)
                                  : witan_log_add(sum, term);
}

/* ln A_a at fractional a: the two series of the same section. C(a, i) is negative at
 * every other i beyond a; `exact` honours that, else |C(a, i)| bounds the sum. */
static double
sampled_fraction(double q, double sigma, double a, bool exact)
{
    double sum = -HUGE_VAL, log_q = log(q), log_rest = log1p(-q);
    double z0 = sigma * sigma * log(1.0 / q - 1.0) + 0.5;
    double last0 = -HUGE_VAL, last1 = -HUGE_VAL, variance = 2.0 * sigma * sigma;
    bool negative = false;
    for (int n = 0; n < SERIES_MAX; n++) {
        double i = (double)n, j = a - i, binomial = witan_log_binomial(a, i);
        double s0 = binomial + i * log_q + j * log_rest + (i * i - i) / variance +
                    witan_log_erfc((i - z0) / (SQRT_2 * sigma)) - LN_2;
        double s1 = binomial + j * log_q + i * log_rest + (j * j - j) / variance +
                    witan_log_erfc((z0 - j) / (SQRT_2 * sigma)) - LN_2;
        sum = log_accumulate(sum, witan_log_add(s0, s1), negative && exact);
        if (s0 < last0 && s1 < last1 && fmax(s0, s1) < sum - 35.0) {
            return sum;
        }
        negative = j < 0.0 ? !negative : false; /* C(a, i + 1) = C(a, i) j / (i + 1) */
        last0 = s0;
        last1 = s1;
    }
    /* The terms fall as slowly as i^-a where q is large. Of an alternating series the
     * rest is below its last term; the other one is left to the caller's second bound.
     */
    return exact ? witan_log_add(sum, fmax(last0, last1)) : HUGE_VAL;
}

static double
sampled_rdp(const witan_mechanism *m, double a)
{
    double q = m->sampling_rate, sigma = m->noise_multiplier;
    if (q == 1.0 || a == HUGE_VAL) {
        return 0.5 * a / (sigma * sigma);
    }
    a = a == 1.0 ? 2.0 : a; /* the divergence grows with its order */
    double log_a;
    if (a == floor(a)) {
        log_a = sampled_whole(q, sigma, a);
    } else {
        /* ln A is convex in the order: the line between whole orders lies above it. */
        double below = floor(a), share = a - below;
        double line = (1.0 - share) * sampled_whole(q, sigma, below) +
                      share * sampled_whole(q, sigma, below + 1.0);
        log_a = fmin(line, sampled_fraction(q, sigma, a, m->exact));
    }
    return fmax(0.0, log_a / (a - 1.0));
}

witan_status
witan_sampled_label_epsilon(double *epsilon, size_t classes, double clip,
                            double temperature)
{
    *epsilon = (double)NAN;
    if (!polytope_valid(classes, clip, temperature)) {
        return WITAN_E_INVALID;
    }
    /* p_max = r / (r + K-1), p_min = 1 / (1 + r (K-1)), r = e^g. */
    double g = 2.0 * clip / temperature, others = log((double)classes - 1.0);
    *epsilon = g + witan_log_add(0.0, g + others) - witan_log_add(g, others);
    return WITAN_OK;
}

witan_status
witan_response_epsilon(double *epsilon, size_t classes, double response)
{
    *epsilon = (double)NAN;
    if (!classes_valid(classes) || !(response > 0.0 && response <= 1.0)) {
        return WITAN_E_INVALID;
    }
    *epsilon = log1p((double)classes * (1.0 - response) / response);
    return WITAN_OK;
}

static bool
mechanism_valid(const witan_mechanism *m)
{
    switch (m->kind) {
    case WITAN_MECHANISM_GAUSSIAN:
    case WITAN_MECHANISM_LAPLACE:
    case WITAN_MECHANISM_GNMAX:
        return positive(m->noise_multiplier);
    case WITAN_MECHANISM_SUBSAMPLED:
        return positive(m->noise_multiplier) && m->sampling_rate > 0.0 &&
               m->sampling_rate <= 1.0;
    case WITAN_MECHANISM_PURE:
    case WITAN_MECHANISM_EXPONENTIAL:
        return positive(m->epsilon);
    case WITAN_MECHANISM_RESPONSE:
        return classes_valid(m->classes) && m->response > 0.0 && m->response <= 1.0;
    case WITAN_MECHANISM_SAMPLED:
        return polytope_valid(m->classes, m->clip, m->temperature);
    case WITAN_MECHANISM_ZCDP:
        return m->xi >= 0.0 && m->rho >= 0.0 && isfinite(m->xi) && isfinite(m->rho);
    case WITAN_MECHANISM_HEURISTIC:
    case WITAN_MECHANISM_KINDS:
        break;
    }
    return false;
}

static double
rdp_of(const witan_mechanism *m, double order)
{
    double nm = m->noise_multiplier, epsilon = 0.0;
    switch (m->kind) {
    case WITAN_MECHANISM_GAUSSIAN:
        return 0.5 * order / (nm * nm);
    case WITAN_MECHANISM_LAPLACE:
        return laplace_rdp(1.0 / nm, order);
    case WITAN_MECHANISM_GNMAX:
        return order / (nm * nm); /* L2 sensitivity sqrt(2): one voter changes sides */
    case WITAN_MECHANISM_SUBSAMPLED:
        return sampled_rdp(m, order);
    case WITAN_MECHANISM_PURE:
        return pure_rdp(m->epsilon, order);
    case WITAN_MECHANISM_EXPONENTIAL:
        return exponential_rdp(m->epsilon, order);
    case WITAN_MECHANISM_RESPONSE:
        return response_rdp(m->classes, m->response, order);
    case WITAN_MECHANISM_SAMPLED: {
        witan_status status =
            witan_sampled_label_epsilon(&epsilon, m->classes, m->clip, m->temperature);
        WITAN_ASSERT(status == WITAN_OK);
        return pure_rdp(epsilon, order);
    }
    case WITAN_MECHANISM_ZCDP:
        return m->rho > 0.0 ? m->xi + m->rho * order : m->xi;
    case WITAN_MECHANISM_HEURISTIC:
    case WITAN_MECHANISM_KINDS:
        break;
    }
    return (double)NAN;
}

witan_status
witan_mechanism_rdp(double *rdp, const witan_mechanism *mechanism, double order,
                    witan_diag *diag)
{
    *rdp = (double)NAN;
    if (mechanism->kind == WITAN_MECHANISM_HEURISTIC) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "this mechanism has no epsilon: temperature, rounding and noise without a "
            "clip bound no sensitivity; set a clip and a noise, or report exposure "
            "alone");
    }
    if (!(order >= 1.0) || !mechanism_valid(mechanism)) {
        return witan_diag_fail(diag, WITAN_E_INVALID,
                               "%s mechanism: a parameter or the order is out of range",
                               witan_mechanism_name(mechanism->kind));
    }
    *rdp = rdp_of(mechanism, order);
    WITAN_ASSERT(*rdp >= 0.0);
    return WITAN_OK;
}

witan_status
witan_simplex_diameter(double *l1, double *l2, size_t classes, double clip,
                       double temperature)
{
    if (l1 != NULL) {
        *l1 = (double)NAN;
    }
    if (l2 != NULL) {
        *l2 = (double)NAN;
    }
    if (!polytope_valid(classes, clip, temperature)) {
        return WITAN_E_INVALID;
    }
    /* With s = 1/r: heavy weight h(a) = 1 / (s K + (1 - s) a), light weight s h(a). */
    double K = (double)classes, s = exp(-2.0 * clip / temperature);
    double largest1 = 0.0, largest2 = 0.0;
    for (double a = 1.0; a < K && l1 != NULL; a += 1.0) {
        largest1 = fmax(largest1, a / (a + s * (K - a)) - s * a / (s * a + K - a));
    }
    for (double a = 1.0; 2.0 * a <= K && l2 != NULL; a += 1.0) {
        double p = 1.0 / (s * K + (1.0 - s) * a);
        for (double b = a; a + b <= K; b += 1.0) { /* symmetric in a, b */
            double q = 1.0 / (s * K + (1.0 - s) * b);
            double both = p - s * q, only = s * p - q, light = s * (p - q);
            double square =
                a * both * both + b * only * only + (K - a - b) * light * light;
            largest2 = square > largest2 ? square : largest2;
        }
    }
    if (l1 != NULL) {
        *l1 = 2.0 * largest1;
    }
    if (l2 != NULL) {
        *l2 = sqrt(largest2);
    }
    return WITAN_OK;
}

witan_status
witan_gnmax_log_q(double *log_q, const double *votes, size_t K, double sigma)
{
    *log_q = (double)NAN;
    if (!classes_valid(K) || !positive(sigma)) {
        return WITAN_E_INVALID;
    }
    size_t top = 0;
    for (size_t c = 0; c < K; c++) {
        if (!(votes[c] >= 0.0) || !isfinite(votes[c])) {
            return WITAN_E_NUMERIC;
        }
        top = votes[c] > votes[top] ? c : top;
    }
    double sum = -HUGE_VAL; /* union bound over the others, prop. 7 */
    for (size_t c = 0; c < K; c++) {
        if (c != top) {
            double lead = (votes[top] - votes[c]) / (2.0 * sigma);
            sum = witan_log_add(sum, witan_log_erfc(lead) - LN_2);
        }
    }
    *log_q = fmin(sum, log1p(-1.0 / (double)K));
    return WITAN_OK;
}

witan_status
witan_threshold_log_q(double *log_q, double largest, double threshold, double sigma)
{
    *log_q = (double)NAN;
    if (!positive(sigma)) {
        return WITAN_E_INVALID;
    }
    if (!isfinite(largest) || !isfinite(threshold)) {
        return WITAN_E_NUMERIC;
    }
    *log_q = witan_log_normal_cdf(-fabs(largest - threshold) / sigma);
    return WITAN_OK;
}

witan_status
witan_gnmax_rdp(double *rdp, double log_q, double sigma, double order)
{
    *rdp = (double)NAN;
    if (!(log_q <= 0.0) || !positive(sigma) || !(order >= 1.0)) {
        return WITAN_E_INVALID;
    }
    double variance = sigma * sigma, independent = order / variance;
    *rdp = independent;
    double mu2 = sigma * sqrt(-log_q), mu1 = mu2 + 1.0; /* prop. 10 */
    double e1 = mu1 / variance, e2 = mu2 / variance;
    if (!isfinite(mu2) || !(order < mu1 && mu2 > 1.0 && -log_q > e2)) {
        return WITAN_OK;
    }
    double log_limit =
        (mu2 - 1.0) * e2 - mu2 * (log(mu1 / (mu1 - 1.0)) + log(mu2 / (mu2 - 1.0)));
    if (log_q > log_limit || order == 1.0) {
        return WITAN_OK;
    }
    double log_rest = witan_log_complement(log_q);
    double log_a = log_rest - witan_log_complement((log_q + e2) * (mu2 - 1.0) / mu2);
    double log_b = e1 - log_q / (mu1 - 1.0);
    double sum =
        witan_log_add(log_rest + (order - 1.0) * log_a, log_q + (order - 1.0) * log_b);
    *rdp = fmax(0.0, fmin(independent, sum / (order - 1.0)));
    return WITAN_OK;
}
