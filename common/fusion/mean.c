/* mean.c - everybody hears the plain average of everybody.
 * Source: Li and Wang 2019, FedMD, arXiv 1910.03581 (combine = logit is its average
 * of scores, combine = probability that of DS-FL before sharpening). */
#include "fusion/strategies.h"

static witan_status
mean_weights(double *W, const witan_fusion_input *input,
             const witan_fusion_config *config, const witan_allocator *allocator)
{
    (void)config;
    (void)allocator;
    size_t N = input->clients;
    for (size_t i = 0; i < N * N; i++) {
        W[i] = 1.0 / (double)N;
    }
    return WITAN_OK;
}

const witan_fusion_ops witan_fusion_mean = {
    .key = "mean",
    .summary = "everybody hears the average of everybody's soft labels (FedMD)",
    .exchange = WITAN_EXCHANGE_KNOWLEDGE,
    .weights = mean_weights,
};
