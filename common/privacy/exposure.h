/* exposure.h - how far below chance a canary's rank among its possible fills is.
 * Why here: one definition for every place that is measured: teacher, wire, students.
 * Source: Carlini et al. 2019, "The Secret Sharer" (exposure, its three estimators);
 * Azzalini 1985 (skew normal); Lilliefors 1967 (test with fitted parameters).
 * Values are log-perplexities or losses: smaller means more likely. Exposure is in
 * bits. Threads: any. */
#ifndef WITAN_PRIVACY_EXPOSURE_H
#define WITAN_PRIVACY_EXPOSURE_H

#include <stdint.h>

#include "base/memory.h"
#include "base/random.h"

/* Exposure of a canary that the model never saw: Exp(ln 2), in bits. */
#define WITAN_EXPOSURE_NULL_MEAN 1.4426950408889634
#define WITAN_EXPOSURE_NULL_SD 1.4426950408889634
#define WITAN_EXPOSURE_NULL_MEDIAN 1.0

/* log2(space) - log2(rank), rank in [1, space] with 1 the most likely; space >= 1 may
 * exceed 2^64. rank counts every fill that is at most as surprising as the canary,
 * itself included: ties count against it. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_exposure_rank(double *exposure, double rank,
                                                 double space);

/* Which references a tie counts as more likely than the canary. */
typedef enum witan_exposure_ties {
    WITAN_TIES_LOWER, /* all of them: the smaller exposure, the default of reports */
    WITAN_TIES_UPPER, /* none: the larger exposure */
} witan_exposure_ties;

/* By sampling: log2 n - log2(1 + references below), in the order of `canaries`
 * [count]; references [n], n >= 1, none of them inserted. Between log2(n / (n+1)) and
 * log2 n: use it for exposures well below log2 n.
 * Errors: E_INVALID, E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_exposure_sampled(
    double *exposure, const double *canaries, size_t count, const double *references,
    size_t n, witan_exposure_ties ties, const witan_allocator *allocator);

/* 2/scale phi(u) Phi(shape u), u = (x - location) / scale. */
typedef struct witan_skew_normal {
    double location, scale, shape;
    double log_likelihood; /* nats, of the sample it was fitted to */
} witan_skew_normal;

/* Largest |shape|; the likelihood of small samples may grow without end. */
#define WITAN_SKEW_SHAPE_MAX 1000.0

/* Maximum likelihood by Nelder and Mead 1965 from the moments' solution.
 * Errors: E_INVALID (fewer than 8 values), E_NUMERIC (not finite, or all equal). */
WITAN_NODISCARD witan_status witan_skew_normal_fit(witan_skew_normal *self,
                                                   const double *values, size_t count);

/* -log2 CDF(canary), finite for any canary within 1e150 scales; may exceed log2 of the
 * space: it extrapolates. Order kept. Errors: E_INVALID, E_NUMERIC. */
WITAN_NODISCARD witan_status witan_exposure_extrapolated(double *exposure,
                                                         const double *canaries,
                                                         size_t count,
                                                         const witan_skew_normal *fit);

/* Kolmogorov-Smirnov distance of a sample from the distribution, and its asymptotic
 * p-value (Stephens 1970). Valid only for values that the fit has not seen, and then
 * still slightly small, because the fit is an estimate.
 * Errors: E_INVALID, E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_skew_normal_distance(
    double *distance, double *p_value, const double *values, size_t count,
    const witan_skew_normal *fit, const witan_allocator *allocator);

/* The honest test of a fit on the very values it came from: `replicas` >= 19 samples
 * from the fit, each fitted again; p = (1 + replicas at least as far) / (1 + replicas).
 * Cost: replicas fits of `count` values; 1000 values, 99 replicas: two seconds.
 * Errors: as above. */
WITAN_NODISCARD witan_status witan_skew_normal_test(double *distance, double *p_value,
                                                    const double *values, size_t count,
                                                    const witan_skew_normal *fit,
                                                    size_t replicas,
                                                    witan_random *random,
                                                    const witan_allocator *allocator);

/* One draw. */
double witan_skew_normal_draw(const witan_skew_normal *self, witan_random *random);

/* Exact p-value of "nothing was memorised": sum ln 2 ~ Gamma(count, 1) for independent
 * canaries. Errors: E_INVALID (count == 0), E_NUMERIC. */
WITAN_NODISCARD witan_status witan_exposure_p_value(double *p, const double *exposure,
                                                    size_t count);

/* Percentile bootstrap of the mean, count >= 2, replicas >= 20, confidence in (0, 1).
 * Errors: E_INVALID, E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_exposure_interval(
    double *low, double *high, const double *exposure, size_t count, double confidence,
    size_t replicas, witan_random *random, const witan_allocator *allocator);

/* 1 - (treated - null) / (plain - null) of two mean exposures: the share of exposure
 * over chance that a protection removed. Errors: E_NUMERIC (plain not above the null:
 * then there was nothing to remove). */
WITAN_NODISCARD witan_status witan_exposure_reduction(double *share, double plain,
                                                      double treated);

/* Largest Pr[exposure >= bits] under (epsilon, delta) for one canary inserted once:
 * min(1, e^epsilon 2^-bits + delta). */
double witan_exposure_tail(double bits, double epsilon, double delta);
/* Largest mean under pure epsilon: (1 + epsilon) / ln 2. Median: 1 + epsilon / ln 2. */
double witan_exposure_mean_limit(double epsilon);
double witan_exposure_median_limit(double epsilon);

#endif
