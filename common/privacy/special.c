#include "privacy/special.h"

#include <math.h>
#include <stdbool.h>

#define LN_2 0.69314718055994530942
#define LN_SQRT_2PI 0.91893853320467274178
#define LN_SQRT_PI 0.57236494292470008707
#define HALVINGS 14 /* of one panel: shapes up to 1000 bend within 1e-3 */
#define SQRT_HALF 0.70710678118654752440

double
witan_log_add(double x, double y)
{
    double high = fmax(x, y), low = fmin(x, y);
    if (isnan(x) || isnan(y)) {
        return (double)NAN;
    }
    if (low == -HUGE_VAL || high == HUGE_VAL) {
        return high;
    }
    return high + log1p(exp(low - high));
}

double
witan_log_complement(double x)
{
    /* Maechler 2012, "Accurately computing log(1 - exp(-|a|))". */
    return x > -LN_2 ? log(-expm1(x)) : log1p(-exp(x));
}

double
witan_log_subtract(double x, double y)
{
    if (y == -HUGE_VAL) {
        return x;
    }
    return x == y ? -HUGE_VAL : x + witan_log_complement(y - x);
}

double
witan_log_erfc(double x)
{
    if (x < 25.0) {
        return log(erfc(x));
    }
    /* A&S 7.1.23 to the sixth term; beyond 25 the next one is below 1e-14. */
    double s = 1.0 / (2.0 * x * x);
    double series =
        -s * (1.0 - 3.0 * s * (1.0 - 5.0 * s * (1.0 - 7.0 * s * (1.0 - 9.0 * s))));
    return -x * x - log(x) - LN_SQRT_PI + log1p(series);
}

double
witan_normal_cdf(double x)
{
    return 0.5 * erfc(-x * SQRT_HALF);
}

double
witan_log_normal_cdf(double x)
{
    if (x > 0.0) {
        return log1p(-0.5 * erfc(x * SQRT_HALF));
    }
    return witan_log_erfc(-x * SQRT_HALF) - LN_2;
}

double
witan_normal_quantile(double p)
{
    if (!(p >= 0.0 && p <= 1.0)) {
        return (double)NAN;
    }
    if (p == 0.0 || p == 1.0) {
        return p == 0.0 ? -HUGE_VAL : HUGE_VAL;
    }
    if (p > 0.5) {
        return -witan_normal_quantile(1.0 - p);
    }
    /* ln Phi is concave and increasing: Newton stays left of the root after its first
     * step and climbs to it from anywhere. */
    double target = log(p), x = -sqrt(-2.0 * target);
    for (int i = 0; i < 100; i++) {
        double cdf = witan_log_normal_cdf(x);
        double slope = exp(-0.5 * x * x - LN_SQRT_2PI - cdf);
        double step = (target - cdf) / slope;
        x += step;
        if (fabs(step) <= 1e-15 * (1.0 + fabs(x))) {
            break;
        }
    }
    return x;
}

double
witan_log_binomial(double n, double k)
{
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
}

double
witan_log_binomial_mass(size_t n, double p, size_t k)
{
    double successes = (double)k, failures = (double)(n - k);
    /* 0 * ln 0 counts as 0. */
    double log_p = k == 0 ? 0.0 : successes * log(p);
    double log_q = k == n ? 0.0 : failures * log1p(-p);
    return witan_log_binomial((double)n, successes) + log_p + log_q;
}

double
witan_log_binomial_tail(size_t n, double p, size_t k)
{
    if (k == 0) {
        return 0.0;
    }
    if (k > n) {
        return -HUGE_VAL;
    }
    return witan_log_beta_cdf((double)k, (double)(n - k) + 1.0, p);
}

/* Continued fraction of I_x(a, b), A&S 26.5.8, by Lentz; x below (a + 1) / (a + b + 2).
 */
static double
beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0);
    d = 1.0 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int i = 1; i <= 100000; i++) {
        double m = (double)i;
        double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 + even * d;
        c = 1.0 + even / c;
        d = 1.0 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        d = 1.0 + odd * d;
        c = 1.0 + odd / c;
        d = 1.0 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        if (fabs(d * c - 1.0) < 1e-15) {
            break;
        }
    }
    return h;
}

double
witan_log_beta_cdf(double a, double b, double x)
{
    if (!(x >= 0.0 && x <= 1.0 && a > 0.0 && b > 0.0)) {
        return (double)NAN;
    }
    if (x == 0.0 || x == 1.0) {
        return x == 0.0 ? -HUGE_VAL : 0.0;
    }
    double front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x);
    if (x < (a + 1.0) / (a + b + 2.0)) {
        return fmin(0.0, front + log(beta_fraction(a, b, x)) - log(a));
    }
    double upper = front + log(beta_fraction(b, a, 1.0 - x)) - log(b);
    return witan_log_complement(fmin(0.0, upper));
}

double
witan_beta_quantile(double a, double b, double p)
{
    if (!(p >= 0.0 && p <= 1.0 && a > 0.0 && b > 0.0)) {
        return (double)NAN;
    }
    if (p == 0.0 || p == 1.0) {
        return p;
    }
    double low = 0.0, high = 1.0, x = a / (a + b), target = log(p);
    double norm = lgamma(a + b) - lgamma(a) - lgamma(b);
    for (int i = 0; i < 200 && high - low > 1e-16 * high; i++) {
        double cdf = witan_log_beta_cdf(a, b, x), gap = cdf - target;
        if (gap > 0.0) {
            high = x;
        } else {
            low = x;
        }
        /* Newton on ln I_x, bisection when it leaves the bracket. */
        double slope = exp(norm + (a - 1.0) * log(x) + (b - 1.0) * log1p(-x) - cdf);
        double next = x - gap / slope;
        if (!(next > low && next < high)) {
            next = 0.5 * (low + high);
        }
        if (fabs(next - x) <= 1e-16 * x) {
            return next;
        }
        x = next;
    }
    return x;
}

double
witan_gamma_tail(double a, double x)
{
    if (!(a > 0.0 && x >= 0.0)) {
        return (double)NAN;
    }
    if (x == 0.0 || x == HUGE_VAL) {
        return x == 0.0 ? 1.0 : 0.0;
    }
    double front = a * log(x) - x - lgamma(a);
    if (x < a + 1.0) { /* series, A&S 6.5.29 */
        double term = 1.0 / a, sum = term;
        for (int i = 1; i < 100000 && term > 1e-17 * sum; i++) {
            term *= x / (a + (double)i);
            sum += term;
        }
        return 1.0 - fmin(1.0, exp(front + log(sum)));
    }
    /* Continued fraction, A&S 6.5.31, by Lentz. */
    double b = x + 1.0 - a, c = 1e300, d = 1.0 / b, h = d;
    for (int i = 1; i < 100000; i++) {
        double n = (double)i, an = -n * (n - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1.0) < 1e-15) {
            break;
        }
    }
    return fmin(1.0, exp(front + log(h)));
}

double
witan_log_skew_normal_pdf(double u, double shape)
{
    return LN_2 - 0.5 * u * u - LN_SQRT_2PI + witan_log_normal_cdf(shape * u);
}

/* Gauss 7, Kronrod 15 (Piessens et al. 1983, QUADPACK). */
static const double KRONROD_NODE[8] = {
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851,
    0.864864423359769072789712788640926, 0.741531185599394439863864773280788,
    0.586087235467691130294144691838259, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245, 0.0};
static const double KRONROD_WEIGHT[8] = {
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204,
    0.104790010322250183839876322541518, 0.140653259715525918745189590510238,
    0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649, 0.209482141084727828012999174891714};
static const double GAUSS_WEIGHT[4] = {
    0.129484966168869693270611432679082, 0.279705391489276667901467771423780,
    0.381830050505118944950369775488975, 0.417959183673469387755102040816327};

/* Integral of pdf(t) / e^peak over [low, high]; halves an interval while its two rules
 * disagree by more than 1e-13 of it, or than rounding of a log density near `peak`
 * makes them. `floor`: disagreement that never matters. */
static double
integrate(double low, double high, double shape, double peak, double floor, int depth)
{
    double centre = 0.5 * (low + high), half = 0.5 * (high - low);
    double middle = exp(witan_log_skew_normal_pdf(centre, shape) - peak);
    double kronrod = KRONROD_WEIGHT[7] * middle, gauss = GAUSS_WEIGHT[3] * middle;
    for (int i = 0; i < 7; i++) {
        double step = half * KRONROD_NODE[i];
        double pair = exp(witan_log_skew_normal_pdf(centre - step, shape) - peak) +
                      exp(witan_log_skew_normal_pdf(centre + step, shape) - peak);
        kronrod += KRONROD_WEIGHT[i] * pair;
        if (i % 2 == 1) {
            gauss += GAUSS_WEIGHT[i / 2] * pair;
        }
    }
    double relative = fmax(1e-13, 4e-15 * fabs(peak));
    if (depth == 0 ||
        half * fabs(kronrod - gauss) <= fmax(relative * half * kronrod, floor)) {
        return half * kronrod;
    }
    return integrate(low, centre, shape, peak, 0.5 * floor, depth - 1) +
           integrate(centre, high, shape, peak, 0.5 * floor, depth - 1);
}

/* Where the density is largest on (-infinity, u]: it is log-concave with its mode in
 * [-1, 1]. */
static double
mode_below(double u, double shape)
{
    double low = fmin(u, -1.0), high = fmin(u, 1.0);
    for (int i = 0; i < 60; i++) {
        double t = 0.5 * (low + high);
        double ratio = exp(-0.5 * shape * shape * t * t - LN_SQRT_2PI -
                           witan_log_normal_cdf(shape * t));
        if (shape * ratio > t) {
            low = t;
        } else {
            high = t;
        }
    }
    return high;
}

/* The point beyond `from`, in the direction of `sign`, where the log density has fallen
 * by 45, to within a factor of two of the distance. */
static double
edge(double from, double shape, double peak, double sign)
{
    double step = 1e-3;
    while (step < 1e6 &&
           witan_log_skew_normal_pdf(from + sign * step, shape) > peak - 45.0) {
        step *= 2.0;
    }
    return from + sign * step;
}

double
witan_log_skew_normal_cdf(double u, double shape)
{
    enum {
        PANELS = 16
    };
    if (isnan(u) || !isfinite(shape)) {
        return (double)NAN;
    }
    if (isinf(u)) {
        return u > 0.0 ? 0.0 : -HUGE_VAL;
    }
    double mode = mode_below(u, shape);
    double peak = witan_log_skew_normal_pdf(mode, shape);
    if (peak == -HUGE_VAL) {
        return -HUGE_VAL; /* |u| beyond 1e150: the square itself overflows */
    }
    double low = mode, step = 1e-3 / (1.0 + fabs(mode) * (1.0 + shape * shape));
    while (witan_log_skew_normal_pdf(low, shape) > peak - 45.0) {
        low = mode - step;
        step *= 2.0;
    }
    double high = u > mode ? fmin(u, edge(mode, shape, peak, 1.0)) : mode;
    double sum = 0.0;
    for (int side = 0; side < 2; side++) {
        double from = side == 0 ? low : mode, to = side == 0 ? mode : high;
        double width = (to - from) / PANELS;
        for (int i = 0; i < PANELS && width > 0.0; i++) {
            sum += integrate(from + width * i, from + width * (i + 1), shape, peak,
                             1e-15 * sum, HALVINGS);
        }
    }
    return fmin(0.0, peak + log(sum));
}

double
witan_skew_normal_between(double from, double to, double shape)
{
    return to > from ? integrate(from, to, shape, 0.0, 1e-15, HALVINGS) : 0.0;
}
