#include "privacy/label_inference.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "privacy/array.h"
#include "privacy/swing.h"

/* Pivots below this share of the matrix' largest entry: no solution worth having. */
#define PIVOT_MIN 1e-10

witan_status
witan_label_share_mean(double *estimate, const float *q, size_t N, size_t C)
{
    if (N == 0 || C < 2) {
        return WITAN_E_INVALID;
    }
    memset(estimate, 0, C * sizeof *estimate);
    double sum = 0.0;
    for (size_t n = 0; n < N; n++) {
        for (size_t c = 0; c < C; c++) {
            estimate[c] += (double)q[n * C + c];
        }
    }
    for (size_t c = 0; c < C; c++) {
        if (!(estimate[c] >= 0.0)) {
            return WITAN_E_NUMERIC;
        }
        sum += estimate[c];
    }
    if (!(sum > 0.0) || !isfinite(sum)) {
        return WITAN_E_NUMERIC;
    }
    for (size_t c = 0; c < C; c++) {
        estimate[c] /= sum;
    }
    return WITAN_OK;
}

static void
swap_rows(double *m, double *x, size_t a, size_t b, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double kept = m[a * C + c];
        m[a * C + c] = m[b * C + c];
        m[b * C + c] = kept;
    }
    double kept = x[a];
    x[a] = x[b];
    x[b] = kept;
}

/* m x = x by elimination with row pivots; m [C, C] is used up. */
static bool
solve(double *m, double *x, size_t C, double smallest)
{
    for (size_t k = 0; k < C; k++) {
        size_t pivot = k;
        for (size_t i = k + 1; i < C; i++) {
            pivot = fabs(m[i * C + k]) > fabs(m[pivot * C + k]) ? i : pivot;
        }
        if (!(fabs(m[pivot * C + k]) > smallest)) {
            return false;
        }
        swap_rows(m, x, k, pivot, C);
        for (size_t i = k + 1; i < C; i++) {
            double factor = m[i * C + k] / m[k * C + k];
            for (size_t c = k; c < C; c++) {
                m[i * C + c] -= factor * m[k * C + c];
            }
            x[i] -= factor * x[k];
        }
    }
    for (size_t k = C; k-- > 0;) {
        for (size_t c = k + 1; c < C; c++) {
            x[k] -= m[k * C + c] * x[c];
        }
        x[k] /= m[k * C + k];
    }
    return true;
}

witan_status
witan_label_share_corrected(double *estimate, const double *confusion,
                            const double *mean, size_t C,
                            const witan_allocator *allocator)
{
    if (C < 2 || C > WITAN_CLASSES_MAX) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(confusion, C * C) || !witan_array_finite(mean, C)) {
        return WITAN_E_NUMERIC;
    }
    double *m = witan_alloc(allocator, C * C, sizeof *m);
    if (m == NULL) {
        return WITAN_E_MEMORY;
    }
    memcpy(m, confusion, C * C * sizeof *m);
    memmove(estimate, mean, C * sizeof *estimate);
    double largest = 0.0;
    for (size_t i = 0; i < C * C; i++) {
        largest = fmax(largest, fabs(m[i]));
    }
    bool solved = solve(m, estimate, C, PIVOT_MIN * largest);
    witan_free(allocator, m);
    if (!solved || !witan_array_finite(estimate, C)) {
        return WITAN_E_NUMERIC;
    }
    witan_simplex_project(estimate, C);
    return WITAN_OK;
}

static bool
distribution_valid(const double *p, size_t C)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        if (!(p[c] >= 0.0)) {
            return false;
        }
        sum += p[c];
    }
    return fabs(sum - 1.0) <= 1e-3;
}

witan_status
witan_label_leak_of(witan_label_leak *out, const double *truth, const double *estimate,
                    size_t C)
{
    *out = (witan_label_leak){0};
    if (C < 2) {
        return WITAN_E_INVALID;
    }
    if (!distribution_valid(truth, C) || !distribution_valid(estimate, C)) {
        return WITAN_E_NUMERIC;
    }
    double floored = 0.0;
    for (size_t c = 0; c < C; c++) {
        floored += fmax(estimate[c], WITAN_SHARE_MIN);
    }
    for (size_t c = 0; c < C; c++) {
        if (truth[c] > 0.0) {
            double share = fmax(estimate[c], WITAN_SHARE_MIN) / floored;
            out->divergence += truth[c] * log(truth[c] / share);
            out->uniform += truth[c] * log(truth[c] * (double)C);
        }
    }
    out->divergence = fmax(0.0, out->divergence);
    out->uniform = fmax(0.0, out->uniform);
    out->told = out->uniform > 1e-12 ? 1.0 - out->divergence / out->uniform : 0.0;
    return WITAN_OK;
}

/* Largest entry of a row; NaN when one lies outside [0, 1]. */
static double
peak(const float *q, size_t C)
{
    double top = 0.0;
    for (size_t c = 0; c < C; c++) {
        if (!(q[c] >= 0.0F && q[c] <= 1.00001F)) {
            return (double)NAN;
        }
        top = fmax(top, (double)q[c]);
    }
    return top;
}

witan_status
witan_gap_summarise(witan_gap_summary *out, const float *client, const float *others,
                    size_t N, size_t C, const witan_allocator *allocator)
{
    *out = (witan_gap_summary){0};
    if (N == 0 || C < 2) {
        return WITAN_E_INVALID;
    }
    double *gaps = witan_alloc(allocator, N, sizeof *gaps);
    if (gaps == NULL) {
        return WITAN_E_MEMORY;
    }
    size_t positive = 0;
    for (size_t n = 0; n < N; n++) {
        gaps[n] = peak(client + n * C, C) - peak(others + n * C, C);
        positive += gaps[n] > 0.0;
    }
    if (!witan_array_finite(gaps, N)) {
        witan_free(allocator, gaps);
        return WITAN_E_NUMERIC;
    }
    double mean = witan_array_mean(gaps, N), squares = 0.0;
    for (size_t n = 0; n < N; n++) {
        squares += (gaps[n] - mean) * (gaps[n] - mean);
    }
    witan_array_sort(gaps, N);
    *out = (witan_gap_summary){.count = N,
                               .mean = mean,
                               .sd = sqrt(squares / (double)N),
                               .q50 = witan_array_quantile(gaps, N, 0.50),
                               .q95 = witan_array_quantile(gaps, N, 0.95),
                               .q99 = witan_array_quantile(gaps, N, 0.99),
                               .largest = gaps[N - 1],
                               .positive = (double)positive / (double)N};
    witan_free(allocator, gaps);
    return WITAN_OK;
}
