/* fedavg.c - parameters averaged by numbers of private rows.
 * Source: McMahan et al. 2017, arXiv 1602.05629, algorithm 1. Needs one architecture.
 * Differs from the paper: clients without any row fall back to a plain mean when
 * nobody has one. */
#include "fusion/strategies.h"

/* Values averaged at a time; their double sums stay in the first-level cache. */
#define AVERAGE_BLOCK ((size_t)1024)

static witan_status
fedavg_weights(double *W, const witan_fusion_input *input,
               const witan_fusion_config *config, const witan_allocator *allocator)
{
    (void)config;
    (void)allocator;
    size_t N = input->clients;
    if (input->samples == NULL) {
        return WITAN_E_INVALID;
    }
    double total = 0.0;
    for (size_t m = 0; m < N; m++) {
        total += (double)input->samples[m];
    }
    for (size_t n = 0; n < N; n++) {
        for (size_t m = 0; m < N; m++) {
            W[n * N + m] =
                total > 0.0 ? (double)input->samples[m] / total : 1.0 / (double)N;
        }
    }
    return WITAN_OK;
}

void
witan_fusion_average(float *out, const double *W, const float *const *in,
                     size_t clients, size_t count)
{
    double sum[AVERAGE_BLOCK];
    for (size_t first = 0; first < count; first += AVERAGE_BLOCK) {
        size_t left = count - first, size = left < AVERAGE_BLOCK ? left : AVERAGE_BLOCK;
        for (size_t i = 0; i < size; i++) {
            sum[i] = 0.0;
        }
        for (size_t m = 0; m < clients; m++) {
            const float *x = in[m] + first;
            for (size_t i = 0; i < size; i++) {
                sum[i] += W[m] * (double)x[i];
            }
        }
        for (size_t i = 0; i < size; i++) {
            out[first + i] = (float)sum[i];
        }
    }
}

const witan_fusion_ops witan_fusion_fedavg = {
    .key = "fedavg",
    .summary = "parameters averaged by numbers of rows; one architecture only",
    .exchange = WITAN_EXCHANGE_PARAMETERS,
    .weights = fedavg_weights,
};
