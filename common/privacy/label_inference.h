/* label_inference.h - what soft labels tell about a client's labels, and about single
 * public rows.
 * Why here: an honest but curious coordinator can do this without training anything.
 * Source: after Shi, Ouyang, Wang 2025, arXiv 2502.08001 (label distribution), and
 * Takahashi, Liu, Liu 2023, CVPR (paired logits); the estimators are ours. All in
 * double. Threads: any. */
#ifndef WITAN_PRIVACY_LABEL_INFERENCE_H
#define WITAN_PRIVACY_LABEL_INFERENCE_H

#include "base/memory.h"

/* Smallest share that a divergence takes for an estimate: ln 0 would say that one
 * missing class is infinitely wrong. */
#define WITAN_SHARE_MIN 1e-6

/* estimate [C]: mean of the rows of q [N, C] on a balanced public set, normalised.
 * Errors: E_INVALID (no row), E_NUMERIC. */
WITAN_NODISCARD witan_status witan_label_share_mean(double *estimate, const float *q,
                                                    size_t N, size_t C);

/* estimate [C]: the nearest distribution to the solution of confusion * estimate =
 * mean, confusion [C, C] column y = mean prediction of a reference model on rows of
 * class y. estimate may be mean. Errors: E_INVALID, E_NUMERIC (not finite, or
 * singular), E_MEMORY. */
WITAN_NODISCARD witan_status witan_label_share_corrected(
    double *estimate, const double *confusion, const double *mean, size_t C,
    const witan_allocator *allocator);

/* How much an estimate tells. */
typedef struct witan_label_leak {
    double divergence; /* KL(truth || estimate), nats; estimate floored at 1e-6 */
    double uniform;    /* KL(truth || uniform): what is known without looking */
    double told; /* 1 - divergence / uniform: 1 all, 0 nothing, below 0 misled; 0 when
                    the truth is uniform */
} witan_label_leak;
/* truth, estimate [C], each >= 0 and summing to 1 within 1e-3.
 * Errors: E_INVALID (C < 2), E_NUMERIC. */
WITAN_NODISCARD witan_status witan_label_leak_of(witan_label_leak *out,
                                                 const double *truth,
                                                 const double *estimate, size_t C);

/* Client sure, others not: max_c client - max_c others per row, what paired-logits
 * inversion feeds on. */
typedef struct witan_gap_summary {
    size_t count;
    double mean, sd;      /* population */
    double q50, q95, q99; /* quantiles */
    double largest;
    double positive; /* share of rows with the client surer */
} witan_gap_summary;
/* client, others [N, C] soft labels of the same rows, N >= 1.
 * Errors: E_INVALID, E_NUMERIC (entry outside [0, 1]), E_MEMORY. */
WITAN_NODISCARD witan_status witan_gap_summarise(witan_gap_summary *out,
                                                 const float *client,
                                                 const float *others, size_t N,
                                                 size_t C,
                                                 const witan_allocator *allocator);

#endif
