/* statistics.h - what soft labels and predictions say: label distributions (EPD),
 * accuracy, loss, calibration.
 * Why here: simulator, coordinator and audits must count alike.
 * All sums are in double, in row order. Threads: any. */
#ifndef WITAN_KNOWLEDGE_STATISTICS_H
#define WITAN_KNOWLEDGE_STATISTICS_H

#include <stdbool.h>

#include "knowledge/soft_labels.h"

/* KnFu's Estimated Probability Distribution of a client's labels (Seyedmohammadi et al.
 * 2024, arXiv 2403.11892, names it; these estimators are our reconstruction). */
typedef enum witan_epd_estimator {
    WITAN_EPD_MEAN,            /* mean of the rows */
    WITAN_EPD_ARGMAX,          /* share of rows whose largest class is c */
    WITAN_EPD_MEAN_NORMALISED, /* mean divided by the mean over clients */
    WITAN_EPD_SHIFT,           /* label-shift fixed point (ours) */
} witan_epd_estimator;

/* Floor under every EPD entry, before the row is normalised a last time. */
#define WITAN_EPD_FLOOR 1e-6

/* Rows that the shift estimator looks at, its iterations, and the largest change of an
 * entry at which it stops. */
#define WITAN_EPD_SHIFT_ROWS ((size_t)2000)
#define WITAN_EPD_SHIFT_ITERATIONS ((size_t)400)
#define WITAN_EPD_SHIFT_CHANGE 1e-6

/* EPDs of N clients into epd [N, C], rows sum to 1, entries > 0 (floored).
 *   labels  [N] pointers to soft labels of equal shape; kind and codec may differ
 * shift: r[c] <- r[c] * mean_x{ (F[c]/r[c]) / sum_k F[k]/r[k] } / t[c], floored and
 * normalised; r starts uniform, t is uniform; x = row floor(i M / R), i < R =
 * min(M, 2000). Cost O(N M C), shift O(N R C) times iterations; memory one block of
 * rows, shift R C floats.
 * Errors: E_INVALID (shapes differ), E_MEMORY. */
WITAN_NODISCARD witan_status witan_epd_estimate(double *epd,
                                                const witan_soft_labels *const *labels,
                                                size_t clients,
                                                witan_epd_estimator estimator,
                                                const witan_allocator *allocator);

/* How well logits predict labels. */
typedef struct witan_score {
    size_t count;
    double accuracy; /* [0, 1]; ties go to the lower class */
    double loss;     /* mean cross-entropy, nats */
    double ece;      /* expected calibration error over bins (lo, hi] of confidence */
} witan_score;

#define WITAN_ECE_BINS 15

/* Running sums, so that predictions can be scored in chunks and over subsets. Starts
 * as {0}. */
typedef struct witan_score_sum {
    size_t count, correct;
    double loss;
    size_t bins; /* of equal width; 0 means WITAN_ECE_BINS, which is also the most */
    size_t bin_count[WITAN_ECE_BINS], bin_correct[WITAN_ECE_BINS];
    double bin_confidence[WITAN_ECE_BINS];
} witan_score_sum;

/* One prediction: probability of the predicted class, whether it is right, and its
 * loss. A confidence that is not a number counts in the lowest bin: ece is NaN. */
void witan_score_add_one(witan_score_sum *sum, double confidence, bool correct,
                         double loss);
/* Logits z [N, C] against labels [N], labels < C. */
void witan_score_add(witan_score_sum *sum, const float *z, const uint32_t *labels,
                     size_t N, size_t C);
/* ece = sum_bins |correct - sum of confidence| / count. count == 0 gives zeros. */
witan_score witan_score_of(const witan_score_sum *sum);

/* ALMA and its spread over clients. Seyedmohammadi et al. 2024: ALMA, the average local
 * model accuracy, is the unweighted mean. */
typedef struct witan_summary {
    double mean, sd, worst, bottom10; /* sd: population; bottom10: mean of the lowest
                                         ceil(N / 10) values */
} witan_summary;
/* values [count], count >= 1; not reordered. NaN counts as the lowest value.
 * Errors: E_MEMORY. */
WITAN_NODISCARD witan_status witan_summarise(witan_summary *out, const double *values,
                                             size_t count,
                                             const witan_allocator *allocator);

#endif
