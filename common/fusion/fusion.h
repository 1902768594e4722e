/* fusion.h - strategies that turn clients' knowledge into one target per recipient.
 * Why here: simulator and coordinator run the same strategies. A strategy decides WHO
 * is listened to (weights W, one row per recipient); combining is common to all.
 * One ops table per strategy, one file each (fusion/knfu.c, mean.c, ...).
 * Formulas, sources and limit cases: docs/fusion.md.
 * Order: clients are given in id order, so arrival order never changes the bits.
 * Threads: any; nothing is kept between calls. */
#ifndef WITAN_FUSION_FUSION_H
#define WITAN_FUSION_FUSION_H

#include <stdbool.h>

#include "knowledge/soft_labels.h"
#include "knowledge/statistics.h"

typedef enum witan_exchange {
    WITAN_EXCHANGE_NONE,       /* local: nobody speaks */
    WITAN_EXCHANGE_KNOWLEDGE,  /* soft labels travel */
    WITAN_EXCHANGE_PARAMETERS, /* fedavg: parameters travel */
} witan_exchange;

typedef enum witan_divergence {
    WITAN_DIVERGENCE_JS,              /* Jensen-Shannon, nats, <= ln 2 */
    WITAN_DIVERGENCE_KL,              /* KL(q_n || q_m) */
    WITAN_DIVERGENCE_COSINE,          /* 1 - cosine */
    WITAN_DIVERGENCE_TOTAL_VARIATION, /* half the L1 distance */
    WITAN_DIVERGENCE_HELLINGER,       /* sqrt(1 - sum sqrt(q p)) */
} witan_divergence;

/* d(q_n, q_m) of two distributions [C], entries > 0, rows sum to 1. >= 0; exactly 0 at
 * equality. */
double witan_divergence_of(witan_divergence divergence, const double *q_n,
                           const double *q_m, size_t C);

typedef enum witan_combine {
    WITAN_COMBINE_PROBABILITY, /* F_n = sum_m W_nm P_m */
    WITAN_COMBINE_LOGIT,       /* F_n = softmax(sum_m W_nm log P_m) */
} witan_combine;

typedef struct witan_fusion_config {
    witan_combine combine;
    double beta;                 /* knfu: >= 0, 10 by default; infinity allowed */
    witan_divergence divergence; /* knfu */
    witan_epd_estimator epd;     /* knfu */
    size_t neighbours;     /* knfu: keep the k largest weights of a row, 0 = all */
    double minimum_weight; /* knfu: smaller weights become 0, [0, 1) */
    bool include_self;     /* knfu: a client hears itself too */
} witan_fusion_config;

typedef struct witan_fusion_input {
    size_t clients;                         /* N speakers, >= 1 */
    const witan_soft_labels *const *labels; /* [N] for KNOWLEDGE, else NULL */
    const size_t *samples;                  /* [N] private training rows (fedavg) */
} witan_fusion_input;

typedef struct witan_fusion_ops {
    const char *key;     /* as in the config: "knfu" */
    const char *summary; /* one line for help */
    witan_exchange exchange;
    bool pools_data; /* centralised: one learner on everybody's rows */
    /* W [N, N], rows sum to 1, row = recipient. NULL when nothing is exchanged.
     * Errors: E_INVALID (config out of range, labels of unequal shape, labels or
     * samples missing), E_MEMORY. */
    witan_status (*weights)(double *W, const witan_fusion_input *input,
                            const witan_fusion_config *config,
                            const witan_allocator *allocator);
} witan_fusion_ops;

/* The table: local, mean, knfu, fedavg, centralised; NULL-terminated. */
const witan_fusion_ops *const *witan_fusion_strategies(void);
/* NULL when unknown. */
const witan_fusion_ops *witan_fusion_find(const char *key);

/* Fused soft labels for each recipient: out[n] (fini'd or fresh; caller owns) gets the
 * shape and codec of the inputs, kind PROBABILITY whatever was combined.
 *   W       [N, N] rows sum to 1
 *   input   labels that passed witan_soft_labels_check
 * Rows are normalised after combining. LOGIT takes log-probabilities as they are and
 * the logarithm of probabilities floored at 1e-8 (u16 has zeros), but no top-k labels:
 * the even spread of what they left out is an opinion that a logarithm takes at its
 * word. Those fuse as probabilities, decoded block by block and cut to k again.
 * Determinism: same inputs, same W, same OpenBLAS core and threads: same bits.
 * Recipients with equal rows of W are computed once, so that `mean` costs O(N M C) and
 * knfu with beta = 0 gives its very bits. Where rows differ, OpenBLAS may round a row
 * by its place in the product (1e-7). A recipient that hears one client alone (weight
 * 1) gets that client's probabilities: the very bytes when they were probabilities.
 * One GEMM per block of rows and 128 recipients; memory about 8 MiB, or one row of
 * everybody when that is more, not O(N M C). On failure every out[n] is fini'd.
 * Errors: E_INVALID (shapes or codecs differ; LOGIT of top-k), E_MEMORY, E_NUMERIC (a
 * fused row is not finite). */
WITAN_NODISCARD witan_status witan_fusion_combine(witan_soft_labels *out,
                                                  const double *W,
                                                  const witan_fusion_input *input,
                                                  witan_combine combine,
                                                  const witan_allocator *allocator);

/* out [count] = sum_m W_m * in[m][count], in double, in client order (fedavg). */
void witan_fusion_average(float *out, const double *W, const float *const *in,
                          size_t clients, size_t count);

#endif
