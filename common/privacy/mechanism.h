/* mechanism.h - what one answer of a mechanism costs, in Renyi differential privacy.
 * Why here: an epsilon exists only for a mechanism whose sensitivity is enforced; this
 * list is all of them, and everything else is a heuristic without one.
 * Source: Mironov 2017, arXiv 1702.07476 (Gaussian, Laplace, randomised response);
 * Mironov, Talwar, Zhang 2019, arXiv 1908.10530 (sampled Gaussian); Papernot et al.
 * 2018, arXiv 1802.08908 (GNMax); Bun and Steinke 2016, arXiv 1605.02065 (zCDP).
 * Threads: any. No allocation. */
#ifndef WITAN_PRIVACY_MECHANISM_H
#define WITAN_PRIVACY_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Largest clip / temperature that is told apart: e^(2 * 300) still fits a double. */
#define WITAN_CLIP_OVER_TEMPERATURE_MAX 300.0

typedef enum witan_mechanism_kind {
    WITAN_MECHANISM_HEURISTIC,   /* temperature, rounding, or noise without an enforced
                                    sensitivity: has no epsilon */
    WITAN_MECHANISM_GAUSSIAN,    /* noise_multiplier */
    WITAN_MECHANISM_LAPLACE,     /* noise_multiplier */
    WITAN_MECHANISM_PURE,        /* epsilon; tight for binary randomised response */
    WITAN_MECHANISM_RESPONSE,    /* classes, response: K-ary randomised response */
    WITAN_MECHANISM_SAMPLED,     /* classes, clip, temperature: a hard label drawn from
                                    the clipped, tempered softmax */
    WITAN_MECHANISM_EXPONENTIAL, /* epsilon */
    WITAN_MECHANISM_ZCDP,        /* xi, rho */
    WITAN_MECHANISM_SUBSAMPLED,  /* noise_multiplier, sampling_rate: Poisson-sampled
                                    Gaussian, a step of DP-SGD; never for answers to a
                                    fixed, public set of queries */
    WITAN_MECHANISM_GNMAX,       /* noise_multiplier = sigma in votes */
    WITAN_MECHANISM_KINDS
} witan_mechanism_kind;

/* One answer. Only the fields named beside the kind are read. */
typedef struct witan_mechanism {
    witan_mechanism_kind kind;
    double noise_multiplier; /* sigma / L2 sensitivity, or b / L1 sensitivity; > 0 */
    double sampling_rate;    /* (0, 1] */
    double epsilon;          /* > 0, nats */
    double xi, rho;          /* >= 0 */
    double response;         /* (0, 1]: probability of a uniformly drawn answer */
    double clip;             /* > 0: centred logits lie in [-clip, clip] */
    double temperature;      /* > 0: the smallest that may be used */
    size_t classes;          /* [2, WITAN_CLASSES_MAX] */
    bool exact;              /* SUBSAMPLED: exact at fractional orders too */
} witan_mechanism;

/* Name for reports: "gaussian", "gnmax", ... */
const char *witan_mechanism_name(witan_mechanism_kind kind);

/* Renyi divergence bound of one answer, nats; `order` in [1, infinity]. *rdp may be
 * infinity where the bound is (Gaussian at order infinity).
 * Sampled Gaussian: exact at whole orders. At fractional ones the published series with
 * every term taken positive, as dp_accounting has it, or the line between whole orders
 * where that is lower: an upper bound, 3 % above in dp_accounting's own test at order
 * 1.5; or with `exact` the series with its signs, as Opacus has it. Order 1 is answered
 * with order 2.
 * Errors: E_CONFIG (heuristic, with a sentence), E_INVALID (a field or the order out of
 * range). diag may be NULL. */
WITAN_NODISCARD witan_status witan_mechanism_rdp(double *rdp,
                                                 const witan_mechanism *mechanism,
                                                 double order, witan_diag *diag);

/* Pure epsilon of one sampled hard label: ln(r (1 + r (K-1)) / (r + K-1)),
 * r = e^(2 clip / temperature); <= 4 clip / temperature. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_sampled_label_epsilon(double *epsilon,
                                                         size_t classes, double clip,
                                                         double temperature);
/* Pure epsilon of K-ary randomised response, ln(1 + K (1-p) / p); also that of a label
 * drawn from a soft label mixed with the share p of the uniform one. Errors: E_INVALID.
 */
WITAN_NODISCARD witan_status witan_response_epsilon(double *epsilon, size_t classes,
                                                    double response);

/* Diameters of the set of clipped, tempered soft labels, any row to any other: the
 * sensitivity when a client is replaced. Vertices put weight r t on a classes and t on
 * the others, t = 1 / (K + (r-1) a), r = e^(2 clip / temperature); the farthest pair
 * has disjoint heavy sets. Sets are nested: a larger temperature has smaller diameters.
 * l1, l2 out, either may be NULL. Cost of l2 O(K^2): 0.2 s at 10 000 classes, 9 s at
 * 65 536, so ask once per run. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_simplex_diameter(double *l1, double *l2,
                                                    size_t classes, double clip,
                                                    double temperature);

/* ln of the bound on Pr[the noisy winner is not the true one], GNMax with noise sigma
 * on counts votes [K] >= 0; at most ln(1 - 1/K). Errors: E_INVALID, E_NUMERIC. */
WITAN_NODISCARD witan_status witan_gnmax_log_q(double *log_q, const double *votes,
                                               size_t K, double sigma);
/* The same for the threshold test of Confident-GNMax on the largest count with noise
 * sigma: ln of the rarer outcome's probability. */
WITAN_NODISCARD witan_status witan_threshold_log_q(double *log_q, double largest,
                                                   double threshold, double sigma);
/* Data-dependent Renyi bound, Theorem 6 with Propositions 7 and 10, never above
 * order / sigma^2 (threshold test: pass sqrt(2) sigma, its sensitivity is 1).
 * The result is itself private: it depends on the votes. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_gnmax_rdp(double *rdp, double log_q, double sigma,
                                             double order);

#endif
