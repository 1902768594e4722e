/* statistics.h - what soft labels and predictions say: label distributions (EPD),
 * accuracy, loss, calibration.
 * All sums are in double, in row order. */
#ifndef WITAN_KNOWLEDGE_STATISTICS_H
#define WITAN_KNOWLEDGE_STATISTICS_H

#include "knowledge/soft_labels.h"

/* KnFu's Estimated Probability Distribution of a client's labels (Seyedmohammadi et al.
 * 2024, arXiv 2403.11892, names it; these estimators are our reconstruction). */
typedef enum witan_epd_estimator {
    WITAN_EPD_MEAN,            /* mean of the rows */
    WITAN_EPD_ARGMAX,          /* share of rows whose largest class is c */
    WITAN_EPD_MEAN_NORMALISED, /* mean divided by the mean over clients */
    WITAN_EPD_SHIFT,           /* label-shift fixed point (ours) */
} witan_epd_estimator;

/* Floor under every EPD entry before logarithms. */
#define WITAN_EPD_FLOOR 1e-6

/* EPDs of N clients into epd [N, C], rows sum to 1, entries >= floor.
 *   labels  [N] pointers to soft labels of equal shape
 * shift: r[c] <- r[c] * mean_x{ (F[c]/r[c]) / sum_k F[k]/r[k] } / t[c], t uniform, until
 * the largest change is < 1e-6 or 400 iterations; runs on at most 2,000 evenly spaced
 * rows. Cost O(N M C), shift times iterations.
 * Errors: E_MEMORY. */
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
    double ece;      /* expected calibration error, 15 bins of confidence, (lo, hi] */
} witan_score;

/* Running sums, so that predictions can be scored in chunks and over subsets. */
typedef struct witan_score_sum {
    size_t count, correct;
    double loss;
    size_t bin_count[15], bin_correct[15];
    double bin_confidence[15];
} witan_score_sum;

void witan_score_add(witan_score_sum *sum, const float *z, const uint32_t *labels,
                     size_t N, size_t C);
/* count == 0 gives zeros. */
witan_score witan_score_of(const witan_score_sum *sum);

/* ALMA and its spread over clients. Seyedmohammadi et al. 2024: ALMA, the average local
 * model accuracy, is the unweighted mean. */
typedef struct witan_summary {
    double mean, sd, worst, bottom10; /* sd: population; bottom10: mean of the lowest
                                         ceil(N / 10) values */
} witan_summary;
/* values [count], count >= 1; not reordered. Errors: E_MEMORY. */
WITAN_NODISCARD witan_status witan_summarise(witan_summary *out, const double *values,
                                             size_t count,
                                             const witan_allocator *allocator);

#endif
