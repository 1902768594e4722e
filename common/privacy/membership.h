/* membership.h - membership inference from scores: attacks and how well they do.
 * Why here: the same statistics for every model and every place of measurement.
 * Source: Yeom et al. 2018 (loss); Carlini et al. 2022, arXiv 2112.03570 (LiRA);
 * Zarifzadeh et al. 2024, arXiv 2312.03262 (RMIA); Fawcett 2006 (ROC). Scores: larger
 * means "member". All in double. Threads: any. */
#ifndef WITAN_PRIVACY_MEMBERSHIP_H
#define WITAN_PRIVACY_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"

/* Points of a ROC curve, from "flag nobody" to "flag all". Owns its arrays. */
typedef struct witan_roc {
    size_t count;      /* points, >= 2 */
    double *threshold; /* [count] descending, infinity first; score >= it is flagged */
    uint64_t *tp, *fp; /* [count] members and others flagged */
    uint64_t members, others;
    bool hull; /* points between are randomised thresholds, else steps */
} witan_roc;

/* Plain curve of in [n_in] against out [n_out], equal scores in one point.
 * Errors: E_INVALID (none of either), E_NUMERIC (not finite), E_MEMORY; self is then
 * empty. */
WITAN_NODISCARD witan_status witan_roc_init(witan_roc *self, const double *in,
                                            size_t n_in, const double *out,
                                            size_t n_out,
                                            const witan_allocator *allocator);
void witan_roc_fini(witan_roc *self, const witan_allocator *allocator);
/* Keeps the corners of the concave hull. */
void witan_roc_hull(witan_roc *self);

/* Area: plain, Mann-Whitney with ties counting half; hull, its area. */
double witan_roc_area(const witan_roc *self);
/* Largest TPR at a FPR in [0, 1]; on a hull between its corners. NaN outside. */
double witan_roc_tpr(const witan_roc *self, double fpr);
/* Largest (TPR + 1 - FPR) / 2 over the points: optimistic, its threshold is chosen on
 * the same scores. */
double witan_roc_balanced_accuracy(const witan_roc *self);

/* Score of loss thresholding: -loss. Errors: E_NUMERIC. */
WITAN_NODISCARD witan_status witan_loss_score(double *score, const double *loss,
                                              size_t count);

/* phi [N] = ln p_y - ln sum_{c != y} p_c from logits z [N, C], C >= 2: z_y minus the
 * log sum of the others, so that confidence 1 - 1e-300 is still told from 1. Errors:
 * E_INVALID (label >= C), E_NUMERIC. */
WITAN_NODISCARD witan_status witan_logit_confidence(double *phi, const float *z,
                                                    const uint32_t *labels, size_t N,
                                                    size_t C);
/* The same from probabilities p [N, C], both sums floored at `floor` > 0 (half a unit
 * of the codec), because soft labels that travelled hold exact zeros. */
WITAN_NODISCARD witan_status witan_probability_confidence(double *phi, const float *p,
                                                          const uint32_t *labels,
                                                          size_t N, size_t C,
                                                          double floor);

typedef enum witan_lira_mode {
    WITAN_LIRA_ONLINE,  /* ln N(phi; in) - ln N(phi; out) */
    WITAN_LIRA_OFFLINE, /* ln Phi((phi - mu_out) / s_out): the paper's tail */
} witan_lira_mode;

/* score [E] of targets phi [E] from shadow [S, E] of S shadow models and member [S, E]
 * (1: trained on it). `pooled`: one variance over all examples, from the deviations
 * from each example's own mean, members and others apart; better below about 64
 * shadows. Variances are floored at 1e-12. Errors: E_DATA (an example without shadows
 * out, online also in; two of each are needed when not pooled), E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_lira_score(double *score, const double *phi,
                                              const double *shadow,
                                              const uint8_t *member, size_t S, size_t E,
                                              witan_lira_mode mode, bool pooled,
                                              const witan_allocator *allocator);

/* Confidences in the true class, all in (0, 1]: of the target model, mean over
 * reference models that did not see the row and, online, over ones that did. */
typedef struct witan_rmia_rows {
    size_t count;
    const double *target; /* [count] */
    const double *out;    /* [count] */
    const double *in;     /* [count], or NULL: offline, in = a out + 1 - a */
} witan_rmia_rows;

/* score [rows.count] = share of the population with P_x / P_z >= gamma, P = target / p,
 * p = (in + out) / 2. a in [0, 1], gamma > 0 (1 is usual).
 * Errors: E_INVALID, E_NUMERIC (a confidence outside (0, 1]), E_MEMORY. */
WITAN_NODISCARD witan_status witan_rmia_score(double *score,
                                              const witan_rmia_rows *rows,
                                              const witan_rmia_rows *population,
                                              double a, double gamma,
                                              const witan_allocator *allocator);

#endif
