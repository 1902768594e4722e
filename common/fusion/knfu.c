/* knfu.c - who should hear whom: clients with similar labels (KnFu).
 * Why here: fusion sees knowledge only, so simulator and coordinator share it.
 * Source: Seyedmohammadi et al. 2024, arXiv 2403.11892: the four steps, the EPD and
 * beta = 10. Equations (5) to (9) could not be read; EPD estimators, divergence and
 * exp(-beta d) are our reconstruction, as are neighbours and minimum_weight.
 * See docs/fusion.md.
 * Threads: one caller. Memory: an EPD [N, C] and a row, taken and returned. */
#include "fusion/knfu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fusion/strategies.h"

/* W [N, N] = d(q_n, q_m); all but KL are symmetric. */
static void
fill_divergences(double *W, const double *epd, size_t N, size_t C,
                 witan_divergence divergence)
{
    bool symmetric = divergence != WITAN_DIVERGENCE_KL;
    for (size_t n = 0; n < N; n++) {
        for (size_t m = 0; m < N; m++) {
            W[n * N + m] =
                symmetric && m < n
                    ? W[m * N + n]
                    : witan_divergence_of(divergence, epd + n * C, epd + m * C, C);
        }
    }
}

/* row [N] from divergences to effectiveness a; `unheard` is the client that is not
 * heard, or N. */
static void
divergence_to_effectiveness(double *row, size_t N, size_t unheard, double beta)
{
    double nearest = HUGE_VAL;
    for (size_t m = 0; m < N; m++) {
        nearest = m != unheard && row[m] < nearest ? row[m] : nearest;
    }
    for (size_t m = 0; m < N; m++) {
        double beyond = row[m] - nearest;
        if (m == unheard) {
            row[m] = 0.0;
        } else if (beyond <= 0.0) {
            row[m] = 1.0; /* also for beta = infinity, where beta * 0 is not a number */
        } else {
            row[m] = exp(-beta * beyond);
        }
    }
}

static int
compare_descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Keeps the k largest of row [N], 1 <= k < N; ties to the lower client. */
static void
keep_largest(double *row, size_t N, size_t k, double *sorted)
{
    memcpy(sorted, row, N * sizeof *sorted);
    qsort(sorted, N, sizeof *sorted, compare_descending);
    double threshold = sorted[k - 1];
    size_t ties = 0; /* entries at the threshold that stay */
    for (size_t i = 0; i < k; i++) {
        ties += sorted[i] <= threshold;
    }
    for (size_t m = 0; m < N; m++) {
        if (row[m] < threshold || (row[m] <= threshold && ties == 0)) {
            row[m] = 0.0;
        } else if (row[m] <= threshold) {
            ties--;
        }
    }
}

static double
sum_of(const double *row, size_t N)
{
    double sum = 0.0;
    for (size_t m = 0; m < N; m++) {
        sum += row[m];
    }
    return sum;
}

/* Effectiveness to weights. */
static void
select_and_normalise(double *row, size_t N, const witan_fusion_config *config,
                     double *sorted)
{
    double total = sum_of(row, N);
    size_t largest = 0;
    for (size_t m = 1; m < N; m++) {
        largest = row[m] > row[largest] ? m : largest;
    }
    if (config->neighbours > 0 && config->neighbours < N) {
        keep_largest(row, N, config->neighbours, sorted);
    }
    for (size_t m = 0; m < N; m++) {
        if (m != largest && row[m] / total < config->minimum_weight) {
            row[m] = 0.0;
        }
    }
    double kept = sum_of(row, N);
    for (size_t m = 0; m < N; m++) {
        row[m] /= kept;
    }
}

witan_status
witan_knfu_weights_from_epd(double *W, const double *epd, size_t N, size_t C,
                            const witan_fusion_config *config,
                            const witan_allocator *allocator)
{
    if (!(config->beta >= 0.0) || !(config->minimum_weight >= 0.0) ||
        !(config->minimum_weight < 1.0)) {
        return WITAN_E_INVALID;
    }
    double *sorted = witan_alloc(allocator, N, sizeof *sorted);
    if (sorted == NULL) {
        return WITAN_E_MEMORY;
    }
    fill_divergences(W, epd, N, C, config->divergence);
    for (size_t n = 0; n < N; n++) {
        size_t unheard = config->include_self || N == 1 ? N : n;
        divergence_to_effectiveness(W + n * N, N, unheard, config->beta);
        select_and_normalise(W + n * N, N, config, sorted);
    }
    witan_free(allocator, sorted);
    return WITAN_OK;
}

static witan_status
knfu_weights(double *W, const witan_fusion_input *input,
             const witan_fusion_config *config, const witan_allocator *allocator)
{
    size_t N = input->clients, C = input->labels[0]->classes;
    double *epd = witan_alloc(allocator, N * C, sizeof *epd);
    if (epd == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_status status =
        witan_epd_estimate(epd, input->labels, N, config->epd, allocator);
    if (status == WITAN_OK) {
        status = witan_knfu_weights_from_epd(W, epd, N, C, config, allocator);
    }
    witan_free(allocator, epd);
    return status;
}

const witan_fusion_ops witan_fusion_knfu = {
    .key = "knfu",
    .summary = "each client hears those whose labels resemble its own (KnFu)",
    .exchange = WITAN_EXCHANGE_KNOWLEDGE,
    .weights = knfu_weights,
};
