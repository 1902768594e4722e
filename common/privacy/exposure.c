#include "privacy/exposure.h"

#include <math.h>
#include <stdbool.h>

#include "privacy/array.h"
#include "privacy/special.h"

#define LN_2 0.69314718055994530942
#define LN_SQRT_2PI 0.91893853320467274178
#define PI 3.14159265358979323846

witan_status
witan_exposure_rank(double *exposure, double rank, double space)
{
    *exposure = (double)NAN;
    if (!(rank >= 1.0 && rank <= space) || !isfinite(space)) {
        return WITAN_E_INVALID;
    }
    *exposure = log2(space) - log2(rank);
    return WITAN_OK;
}

witan_status
witan_exposure_sampled(double *exposure, const double *canaries, size_t count,
                       const double *references, size_t n, witan_exposure_ties ties,
                       const witan_allocator *allocator)
{
    if (n == 0) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(canaries, count) || !witan_array_finite(references, n)) {
        return WITAN_E_NUMERIC;
    }
    double *sorted = witan_array_sorted(references, n, allocator);
    if (sorted == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        size_t before = ties == WITAN_TIES_LOWER
                            ? witan_array_at_most(sorted, n, canaries[i])
                            : witan_array_below(sorted, n, canaries[i]);
        exposure[i] = log2((double)n) - log2((double)before + 1.0);
    }
    witan_free(allocator, sorted);
    return WITAN_OK;
}

/* Standardised sample and what its likelihood is evaluated at. */
typedef struct sample {
    const double *values;
    size_t count;
    double mean, sd;
} sample;

/* Mean negative log-likelihood of x = (location, ln scale, shape), standardised. */
static double
cost(const sample *s, const double x[3])
{
    double scale = exp(x[1]), sum = 0.0;
    if (!(fabs(x[2]) <= WITAN_SKEW_SHAPE_MAX) || !(fabs(x[1]) < 50.0)) {
        return HUGE_VAL;
    }
    double factor = 1.0 / (s->sd * scale), shift = s->mean + x[0] * s->sd;
    for (size_t i = 0; i < s->count; i++) {
        double u = (s->values[i] - shift) * factor;
        sum += 0.5 * u * u - witan_log_normal_cdf(x[2] * u);
    }
    return sum / (double)s->count + LN_SQRT_2PI - LN_2 + x[1];
}

/* Azzalini's moment solution for mean 0, variance 1 and this skewness. */
static void
moment_start(double x[3], double skewness)
{
    double g = fmin(fabs(skewness), 0.95);
    double power = pow(g, 2.0 / 3.0), rest = pow(0.5 * (4.0 - PI), 2.0 / 3.0);
    double d = sqrt(0.5 * PI * power / (power + rest));
    d = copysign(fmin(d, 0.995), skewness);
    double scale = 1.0 / sqrt(1.0 - 2.0 * d * d / PI);
    x[0] = -scale * d * sqrt(2.0 / PI);
    x[1] = log(scale);
    x[2] = d / sqrt(1.0 - d * d);
}

typedef struct simplex {
    double x[4][3], f[4];
} simplex;

static void
simplex_order(simplex *self)
{
    for (int i = 1; i < 4; i++) {
        for (int j = i; j > 0 && self->f[j] < self->f[j - 1]; j--) {
            double f = self->f[j];
            self->f[j] = self->f[j - 1];
            self->f[j - 1] = f;
            for (int k = 0; k < 3; k++) {
                double x = self->x[j][k];
                self->x[j][k] = self->x[j - 1][k];
                self->x[j - 1][k] = x;
            }
        }
    }
}

/* centre + by (centre - worst) into point; its cost. */
static double
simplex_try(const simplex *self, const sample *s, double by, double point[3])
{
    for (int k = 0; k < 3; k++) {
        double centre = (self->x[0][k] + self->x[1][k] + self->x[2][k]) / 3.0;
        point[k] = centre + by * (centre - self->x[3][k]);
    }
    return cost(s, point);
}

static void
simplex_replace(simplex *self, const double point[3], double f)
{
    for (int k = 0; k < 3; k++) {
        self->x[3][k] = point[k];
    }
    self->f[3] = f;
}

static void
simplex_shrink(simplex *self, const sample *s)
{
    for (int i = 1; i < 4; i++) {
        for (int k = 0; k < 3; k++) {
            self->x[i][k] = 0.5 * (self->x[i][k] + self->x[0][k]);
        }
        self->f[i] = cost(s, self->x[i]);
    }
}

/* Nelder and Mead 1965 with their coefficients 1, 2, 1/2, 1/2. */
static void
minimise(const sample *s, double x[3], double step)
{
    simplex self;
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++) {
            self.x[i][k] =
                x[k] + (i == k + 1 ? step * (k == 2 ? 1.0 + fabs(x[2]) : 1.0) : 0.0);
        }
        self.f[i] = cost(s, self.x[i]);
    }
    for (int iteration = 0; iteration < 600; iteration++) {
        simplex_order(&self);
        double width = 0.0;
        for (int k = 0; k < 3; k++) {
            width = fmax(width, fabs(self.x[3][k] - self.x[0][k]));
        }
        if (self.f[3] - self.f[0] <= 1e-14 * (1.0 + fabs(self.f[0])) && width < 1e-5) {
            break;
        }
        double point[3], further[3];
        double f = simplex_try(&self, s, 1.0, point);
        if (f < self.f[0]) {
            double g = simplex_try(&self, s, 2.0, further);
            simplex_replace(&self, g < f ? further : point, fmin(f, g));
        } else if (f < self.f[2]) {
            simplex_replace(&self, point, f);
        } else {
            double g = simplex_try(&self, s, f < self.f[3] ? 0.5 : -0.5, further);
            if (g < fmin(f, self.f[3])) {
                simplex_replace(&self, further, g);
            } else {
                simplex_shrink(&self, s);
            }
        }
    }
    simplex_order(&self);
    for (int k = 0; k < 3; k++) {
        x[k] = self.x[0][k];
    }
}

witan_status
witan_skew_normal_fit(witan_skew_normal *self, const double *values, size_t count)
{
    *self = (witan_skew_normal){0};
    if (count < 8) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(values, count)) {
        return WITAN_E_NUMERIC;
    }
    sample s = {values, count, witan_array_mean(values, count), 0.0};
    double square = 0.0, cube = 0.0;
    for (size_t i = 0; i < count; i++) {
        double d = values[i] - s.mean;
        square += d * d;
        cube += d * d * d;
    }
    s.sd = sqrt(square / (double)count);
    if (!(s.sd > 1e-300) || !isfinite(cube)) {
        return WITAN_E_NUMERIC;
    }
    double x[3];
    moment_start(x, cube / (double)count / (s.sd * s.sd * s.sd));
    minimise(&s, x, 0.1);
    minimise(&s, x, 0.02); /* from its own end: the first simplex may have collapsed */
    self->location = s.mean + s.sd * x[0];
    self->scale = s.sd * exp(x[1]);
    self->shape = x[2];
    self->log_likelihood = -(cost(&s, x) + log(s.sd)) * (double)count;
    return WITAN_OK;
}

static bool
fit_valid(const witan_skew_normal *fit)
{
    return isfinite(fit->location) && fit->scale > 0.0 && isfinite(fit->scale) &&
           isfinite(fit->shape);
}

witan_status
witan_exposure_extrapolated(double *exposure, const double *canaries, size_t count,
                            const witan_skew_normal *fit)
{
    if (!fit_valid(fit)) {
        return WITAN_E_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        double u = (canaries[i] - fit->location) / fit->scale;
        exposure[i] = -witan_log_skew_normal_cdf(u, fit->shape) / LN_2;
        if (!isfinite(exposure[i])) {
            return WITAN_E_NUMERIC;
        }
    }
    return WITAN_OK;
}

/* sup |F_n - F| of an ascending sample; F climbs from one value to the next. */
static double
distance_of(const double *sorted, size_t count, const witan_skew_normal *fit)
{
    double n = (double)count, worst = 0.0, cdf = 0.0, last = 0.0;
    for (size_t i = 0; i < count; i++) {
        double u = (sorted[i] - fit->location) / fit->scale;
        cdf = i == 0 ? exp(witan_log_skew_normal_cdf(u, fit->shape))
                     : cdf + witan_skew_normal_between(last, u, fit->shape);
        last = u;
        worst = fmax(worst, fmax((double)(i + 1) / n - cdf, cdf - (double)i / n));
    }
    return worst;
}

/* Pr[K > x] of Kolmogorov's distribution. */
static double
kolmogorov_tail(double x)
{
    if (x < 0.2) {
        return 1.0;
    }
    double sum = 0.0, sign = 1.0;
    for (int k = 1; k <= 100; k++) {
        sum += sign * exp(-2.0 * k * k * x * x);
        sign = -sign;
    }
    return fmin(1.0, fmax(0.0, 2.0 * sum));
}

static witan_status
sorted_valid(double **sorted, const double *values, size_t count,
             const witan_skew_normal *fit, const witan_allocator *allocator)
{
    *sorted = NULL;
    if (count == 0 || !fit_valid(fit)) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(values, count)) {
        return WITAN_E_NUMERIC;
    }
    *sorted = witan_array_sorted(values, count, allocator);
    return *sorted == NULL ? WITAN_E_MEMORY : WITAN_OK;
}

witan_status
witan_skew_normal_distance(double *distance, double *p_value, const double *values,
                           size_t count, const witan_skew_normal *fit,
                           const witan_allocator *allocator)
{
    double *sorted;
    *distance = *p_value = (double)NAN;
    WITAN_TRY(sorted_valid(&sorted, values, count, fit, allocator));
    *distance = distance_of(sorted, count, fit);
    double root = sqrt((double)count);
    *p_value = kolmogorov_tail((root + 0.12 + 0.11 / root) * *distance);
    witan_free(allocator, sorted);
    return WITAN_OK;
}

double
witan_skew_normal_draw(const witan_skew_normal *self, witan_random *random)
{
    double root = sqrt(1.0 + self->shape * self->shape);
    double common = fabs(witan_random_normal(random));
    double own = witan_random_normal(random);
    return self->location + self->scale * (self->shape * common + own) / root;
}

witan_status
witan_skew_normal_test(double *distance, double *p_value, const double *values,
                       size_t count, const witan_skew_normal *fit, size_t replicas,
                       witan_random *random, const witan_allocator *allocator)
{
    double *work;
    *distance = *p_value = (double)NAN;
    if (replicas < 19 || count < 8) {
        return WITAN_E_INVALID;
    }
    WITAN_TRY(sorted_valid(&work, values, count, fit, allocator));
    *distance = distance_of(work, count, fit);
    witan_status status = WITAN_OK;
    size_t beyond = 0;
    for (size_t i = 0; i < replicas && status == WITAN_OK; i++) {
        for (size_t j = 0; j < count; j++) {
            work[j] = witan_skew_normal_draw(fit, random);
        }
        witan_skew_normal again;
        status = witan_skew_normal_fit(&again, work, count);
        if (status == WITAN_OK) {
            witan_array_sort(work, count);
            beyond += distance_of(work, count, &again) >= *distance;
        }
    }
    *p_value = (1.0 + (double)beyond) / (1.0 + (double)replicas);
    witan_free(allocator, work);
    return status;
}

witan_status
witan_exposure_p_value(double *p, const double *exposure, size_t count)
{
    *p = (double)NAN;
    if (count == 0) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(exposure, count)) {
        return WITAN_E_NUMERIC;
    }
    double sum = witan_array_mean(exposure, count) * (double)count * LN_2;
    *p = witan_gamma_tail((double)count, fmax(0.0, sum));
    return WITAN_OK;
}

witan_status
witan_exposure_interval(double *low, double *high, const double *exposure, size_t count,
                        double confidence, size_t replicas, witan_random *random,
                        const witan_allocator *allocator)
{
    *low = *high = (double)NAN;
    if (count < 2 || count > UINT32_MAX || replicas < 20 ||
        !(confidence > 0.0 && confidence < 1.0)) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(exposure, count)) {
        return WITAN_E_NUMERIC;
    }
    double *means = witan_alloc(allocator, replicas, sizeof *means);
    if (means == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < replicas; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < count; j++) {
            sum += exposure[witan_random_below(random, (uint32_t)count)];
        }
        means[i] = sum / (double)count;
    }
    witan_array_sort(means, replicas);
    *low = witan_array_quantile(means, replicas, 0.5 * (1.0 - confidence));
    *high = witan_array_quantile(means, replicas, 0.5 * (1.0 + confidence));
    witan_free(allocator, means);
    return WITAN_OK;
}

witan_status
witan_exposure_reduction(double *share, double plain, double treated)
{
    *share = (double)NAN;
    if (!isfinite(plain) || !isfinite(treated) || plain <= WITAN_EXPOSURE_NULL_MEAN) {
        return WITAN_E_NUMERIC;
    }
    *share =
        1.0 - (treated - WITAN_EXPOSURE_NULL_MEAN) / (plain - WITAN_EXPOSURE_NULL_MEAN);
    return WITAN_OK;
}

double
witan_exposure_tail(double bits, double epsilon, double delta)
{
    return fmin(1.0, exp(epsilon - bits * LN_2) + delta);
}

double
witan_exposure_mean_limit(double epsilon)
{
    return (1.0 + epsilon) / LN_2;
}

double
witan_exposure_median_limit(double epsilon)
{
    return 1.0 + epsilon / LN_2;
}
