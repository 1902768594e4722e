/* lower_bound.h - what an attack proves: lower bounds on epsilon from counts and
 * scores. Why here: an upper bound without the empirical lower bound beside it checks
 * nothing. Source: Clopper and Pearson 1934; Jagielski et al. 2020, arXiv 2006.07709
 * (two sample); Steinke, Nasr, Jagielski 2023, arXiv 2305.08846 (one run); Mahloujifar
 * et al. 2024, arXiv 2410.22235 (one run, f-DP); Nasr et al. 2023, arXiv 2302.07956
 * (GDP); Fagerland et al. 2015, "Recommended confidence intervals for two independent
 * binomial proportions" (ratios). Every bound holds with probability 1 - significance,
 * choice of the threshold included. Scores: larger means "was in". Threads: any. */
#ifndef WITAN_PRIVACY_LOWER_BOUND_H
#define WITAN_PRIVACY_LOWER_BOUND_H

#include <stdint.h>

#include "base/memory.h"
#include "base/random.h"

/* One-sided Clopper-Pearson limits of a share, k of n seen: each fails with probability
 * alpha; pass alpha / 2 to both for an interval. lower, upper out, either NULL.
 * Errors: E_INVALID (n == 0, k > n, alpha outside (0, 1)). */
WITAN_NODISCARD witan_status witan_clopper_pearson(double *lower, double *upper,
                                                   uint64_t k, uint64_t n,
                                                   double alpha);

/* Counts of one attack. */
typedef struct witan_attack_counts {
    uint64_t true_positive, positive;  /* members flagged, members */
    uint64_t false_positive, negative; /* others flagged, others */
} witan_attack_counts;

/* epsilon >= ln((TPR_low - delta) / FPR_high), each limit at significance / 2; never
 * below 0. The threshold was fixed in advance. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_two_sample_epsilon(double *epsilon,
                                                      const witan_attack_counts *counts,
                                                      double delta,
                                                      double significance);

/* Approximate lower limits of TPR / FPR, for comparison with published tables. */
typedef enum witan_ratio_method {
    WITAN_RATIO_KATZ,
    WITAN_RATIO_ADJUSTED, /* Walter 1975: half a case added everywhere */
    WITAN_RATIO_BAILEY,
    WITAN_RATIO_SINH, /* Newman 2001 */
    WITAN_RATIO_METHODS
} witan_ratio_method;
/* Errors: E_INVALID, E_NUMERIC (counts for which the method has no limit, such as 0).
 */
WITAN_NODISCARD witan_status witan_ratio_lower(double *ratio,
                                               const witan_attack_counts *counts,
                                               witan_ratio_method method,
                                               double significance);

/* Gaussian DP: mu >= Phi^-1(1 - FPR_high) - Phi^-1(FNR_high), each limit at
 * significance / 2, never below 0; epsilon of that mu at delta. mu may be NULL. It
 * assumes that the mechanism's trade-off curve is Gaussian. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_gdp_epsilon(double *mu, double *epsilon,
                                               const witan_attack_counts *counts,
                                               double delta, double significance);

/* One run: m canaries, each included by an independent fair coin; r guesses, v right.
 */
typedef struct witan_one_run {
    uint64_t canaries, guesses, correct;
} witan_one_run;

/* p-value of the claim (epsilon, delta): beta + 2 m delta alpha, at most 1.
 * Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_one_run_p_value(double *p, const witan_one_run *run,
                                                   double epsilon, double delta);
/* Largest epsilon that is rejected; 0 when none is. For guesses fixed in advance.
 * Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_one_run_epsilon(double *epsilon,
                                                   const witan_one_run *run,
                                                   double delta, double significance);
/* The same against Gaussian trade-off curves through (epsilon, delta); delta > 0.
 * Tighter, and it assumes that shape. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_one_run_gaussian(double *epsilon,
                                                    const witan_one_run *run,
                                                    double delta, double significance);

/* How the threshold on scores is paid for. */
typedef enum witan_threshold_choice {
    WITAN_THRESHOLD_BONFERRONI, /* the best of all, at significance / hypotheses */
    WITAN_THRESHOLD_SPLIT,      /* chosen on a random half, evaluated on the other */
    WITAN_THRESHOLD_FIXED,      /* given, known before the scores were */
} witan_threshold_choice;

typedef enum witan_bound_kind {
    WITAN_BOUND_TWO_SAMPLE,
    WITAN_BOUND_ONE_RUN,
    WITAN_BOUND_ONE_RUN_GAUSSIAN,
    WITAN_BOUND_GDP,
} witan_bound_kind;

typedef struct witan_audit_options {
    witan_bound_kind bound;
    witan_threshold_choice choice;
    double delta;        /* [0, 1), Gaussian kinds (0, 1) */
    double significance; /* (0, 1) */
    double threshold;    /* FIXED: score >= threshold is flagged */
    uint64_t
        hypotheses; /* BONFERRONI: 0 pays for every possible threshold, members +
                       others of them; a smaller number is the caller's to justify */
    uint64_t seed;  /* SPLIT */
} witan_audit_options;

typedef struct witan_audit_bound {
    double epsilon;   /* nats, >= 0 */
    double threshold; /* that was used */
    witan_attack_counts counts;
    double significance; /* after payment */
} witan_audit_bound;

/* Bound from scores of members in [n_in] and others out [n_out], both >= 1 (SPLIT: >=
 * 2), finite. One-run kinds count in + out as the canaries. Candidates are the corners
 * of the ROC hull. Errors: E_INVALID, E_NUMERIC (score not finite), E_MEMORY. */
WITAN_NODISCARD witan_status witan_audit_scores(witan_audit_bound *bound,
                                                const double *in, size_t n_in,
                                                const double *out, size_t n_out,
                                                const witan_audit_options *options,
                                                const witan_allocator *allocator);

#endif
