#include "privacy/accountant.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "privacy/special.h"

/* Below this order the conversion is not stable, and not useful either. */
#define ORDER_MIN 1.01

static bool
delta_valid(double delta)
{
    return delta > 0.0 && delta < 1.0;
}

void
witan_accountant_init(witan_accountant *self)
{
    *self = (witan_accountant){0};
    for (int tenth = 11; tenth <= 109; tenth++) {
        self->orders[self->count++] = (double)tenth / 10.0;
    }
    for (int order = 11; order <= 63; order++) {
        self->orders[self->count++] = (double)order;
    }
    for (int order = 128; order <= 1024; order *= 2) {
        self->orders[self->count++] = (double)order;
    }
}

witan_status
witan_accountant_init_orders(witan_accountant *self, const double *orders, size_t count)
{
    *self = (witan_accountant){0};
    if (count == 0 || count > WITAN_ORDERS_MAX) {
        return WITAN_E_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        if (!(orders[i] >= 1.0)) {
            return WITAN_E_INVALID;
        }
    }
    memcpy(self->orders, orders, count * sizeof *orders);
    self->count = count;
    return WITAN_OK;
}

witan_status
witan_accountant_add(witan_accountant *self, const witan_mechanism *mechanism,
                     uint64_t count, witan_diag *diag)
{
    double rdp[WITAN_ORDERS_MAX];
    for (size_t i = 0; i < self->count; i++) {
        WITAN_TRY(witan_mechanism_rdp(&rdp[i], mechanism, self->orders[i], diag));
    }
    for (size_t i = 0; i < self->count && count > 0; i++) {
        self->rdp[i] += (double)count * rdp[i];
    }
    return WITAN_OK;
}

witan_status
witan_accountant_add_gnmax(witan_accountant *self, double log_q, double sigma)
{
    double rdp[WITAN_ORDERS_MAX];
    for (size_t i = 0; i < self->count; i++) {
        WITAN_TRY(witan_gnmax_rdp(&rdp[i], log_q, sigma, self->orders[i]));
    }
    for (size_t i = 0; i < self->count; i++) {
        self->rdp[i] += rdp[i];
    }
    return WITAN_OK;
}

witan_status
witan_accountant_epsilon(const witan_accountant *self, double delta, double *epsilon,
                         double *order)
{
    *epsilon = (double)NAN;
    if (!delta_valid(delta) || self->count == 0) {
        return WITAN_E_INVALID;
    }
    double best = HUGE_VAL, at = self->orders[0];
    for (size_t i = 0; i < self->count; i++) {
        double a = self->orders[i], r = self->rdp[i], value = HUGE_VAL;
        if (delta * delta + expm1(-r) > 0.0) {
            value = 0.0; /* delta <= sqrt(1 - e^-KL), Bretagnolle and Huber */
        } else if (a == HUGE_VAL) {
            value = r;
        } else if (a > ORDER_MIN) {
            value = r + log1p(-1.0 / a) - log(delta * a) / (a - 1.0);
        }
        if (value < best) {
            best = value;
            at = a;
        }
    }
    *epsilon = fmax(0.0, best);
    if (order != NULL) {
        *order = at;
    }
    return WITAN_OK;
}

witan_status
witan_accountant_delta(const witan_accountant *self, double epsilon, double *delta,
                       double *order)
{
    *delta = (double)NAN;
    if (!(epsilon >= 0.0) || self->count == 0) {
        return WITAN_E_INVALID;
    }
    double best = 0.0, at = self->orders[0];
    for (size_t i = 0; i < self->count; i++) {
        double a = self->orders[i], r = self->rdp[i];
        double log_delta = r == 0.0 ? -HUGE_VAL : 0.5 * witan_log_complement(-r);
        if (a == HUGE_VAL) {
            log_delta = r <= epsilon ? -HUGE_VAL : log_delta;
        } else if (a > ORDER_MIN) {
            double bound = (a - 1.0) * (r - epsilon + log1p(-1.0 / a)) - log(a);
            log_delta = fmin(log_delta, bound);
        }
        if (i == 0 || log_delta < best) {
            best = log_delta;
            at = a;
        }
    }
    *delta = fmin(1.0, exp(best));
    if (order != NULL) {
        *order = at;
    }
    return WITAN_OK;
}

witan_status
witan_zcdp_epsilon(double *epsilon, double rho, double delta)
{
    *epsilon = (double)NAN;
    if (!(rho >= 0.0) || !isfinite(rho) || !delta_valid(delta)) {
        return WITAN_E_INVALID;
    }
    *epsilon = rho + 2.0 * sqrt(-rho * log(delta));
    return WITAN_OK;
}

/* ln delta; the two terms cancel where delta is small against both, hence logarithms.
 */
static double
gaussian_log_delta(double s, double epsilon)
{
    double high = witan_log_normal_cdf(0.5 / s - epsilon * s);
    double low = epsilon + witan_log_normal_cdf(-0.5 / s - epsilon * s);
    return low >= high ? -HUGE_VAL : witan_log_subtract(high, low);
}

witan_status
witan_gaussian_delta(double *delta, double noise_multiplier, double epsilon)
{
    *delta = (double)NAN;
    if (!(noise_multiplier > 0.0) || !isfinite(noise_multiplier) || !(epsilon >= 0.0) ||
        !isfinite(epsilon)) {
        return WITAN_E_INVALID;
    }
    *delta = exp(gaussian_log_delta(noise_multiplier, epsilon));
    return WITAN_OK;
}

witan_status
witan_gaussian_epsilon(double *epsilon, double noise_multiplier, double delta)
{
    *epsilon = (double)NAN;
    if (!(noise_multiplier >= 1e-6) || !isfinite(noise_multiplier) ||
        !delta_valid(delta)) {
        return WITAN_E_INVALID;
    }
    double target = log(delta), low = 0.0, high = 1.0;
    if (gaussian_log_delta(noise_multiplier, 0.0) <= target) {
        *epsilon = 0.0;
        return WITAN_OK;
    }
    while (gaussian_log_delta(noise_multiplier, high) > target) {
        low = high;
        high *= 2.0;
    }
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        double middle = 0.5 * (low + high);
        if (gaussian_log_delta(noise_multiplier, middle) > target) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *epsilon = high;
    return WITAN_OK;
}

witan_status
witan_gaussian_multiplier(double *noise_multiplier, double epsilon, double delta)
{
    *noise_multiplier = (double)NAN;
    if (!(epsilon >= 0.0 && epsilon <= 1e6) || !delta_valid(delta)) {
        return WITAN_E_INVALID;
    }
    double target = log(delta), low = 1e-6, high = 1.0;
    while (gaussian_log_delta(high, epsilon) > target) {
        low = high;
        high *= 2.0;
    }
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        double middle = 0.5 * (low + high);
        if (gaussian_log_delta(middle, epsilon) > target) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *noise_multiplier = high;
    return WITAN_OK;
}

/* Epsilon of `steps` sampled Gaussians; arguments are valid. */
static double
sampled_epsilon(double multiplier, double delta, double rate, uint64_t steps)
{
    witan_accountant accountant;
    witan_accountant_init(&accountant);
    witan_mechanism mechanism = {.kind = WITAN_MECHANISM_SUBSAMPLED,
                                 .noise_multiplier = multiplier,
                                 .sampling_rate = rate};
    double epsilon = HUGE_VAL;
    witan_status status = witan_accountant_add(&accountant, &mechanism, steps, NULL);
    WITAN_ASSERT(status == WITAN_OK);
    status = witan_accountant_epsilon(&accountant, delta, &epsilon, NULL);
    WITAN_ASSERT(status == WITAN_OK);
    return epsilon;
}

witan_status
witan_noise_multiplier_find(double *noise_multiplier, double epsilon, double delta,
                            double sampling_rate, uint64_t steps, witan_diag *diag)
{
    *noise_multiplier = (double)NAN;
    if (!(epsilon > 0.0) || !isfinite(epsilon) || !delta_valid(delta) ||
        !(sampling_rate > 0.0 && sampling_rate <= 1.0) || steps == 0) {
        return witan_diag_fail(
            diag, WITAN_E_INVALID,
            "noise for a target epsilon: epsilon > 0, 0 < delta < 1, "
            "0 < sampling rate <= 1 and steps > 0 are needed");
    }
    double low = 1e-3, high = 1e6;
    if (sampled_epsilon(high, delta, sampling_rate, steps) > epsilon) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "no noise multiplier up to %g keeps %llu steps within "
                               "epsilon %g, delta %g: allow more or ask less",
                               high, (unsigned long long)steps, epsilon, delta);
    }
    while (high / low > 1.0 + 1e-10) {
        double middle = sqrt(low * high);
        if (sampled_epsilon(middle, delta, sampling_rate, steps) > epsilon) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *noise_multiplier = high;
    return WITAN_OK;
}
