/* accountant.h - composes answers and converts the sum to (epsilon, delta).
 * Why here: one place for composition, so that no report adds epsilons by hand.
 * Source: Canonne, Kamath, Steinke 2020, arXiv 2004.00010, prop. 12 (conversion);
 * Balle and Wang 2018, arXiv 1805.06530 (analytic Gaussian); Bun and Steinke 2016.
 * Answers to memoised repeats cost nothing: the caller does not count them.
 * Threads: one caller per accountant. No allocation. */
#ifndef WITAN_PRIVACY_ACCOUNTANT_H
#define WITAN_PRIVACY_ACCOUNTANT_H

#include <stdint.h>

#include "privacy/mechanism.h"

#define WITAN_ORDERS_MAX 256

typedef struct witan_accountant {
    size_t count;                    /* orders */
    double orders[WITAN_ORDERS_MAX]; /* each in [1, infinity] */
    double rdp[WITAN_ORDERS_MAX];    /* nats, sum over what was added */
} witan_accountant;

/* 1.1 .. 10.9 step 0.1, 11 .. 63, 128, 256, 512, 1024; nothing added. */
void witan_accountant_init(witan_accountant *self);
/* Own orders, 1 .. WITAN_ORDERS_MAX of them. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_accountant_init_orders(witan_accountant *self,
                                                          const double *orders,
                                                          size_t count);

/* `count` answers of one mechanism; every kind honours the count. Unchanged on failure.
 * Errors: as witan_mechanism_rdp. */
WITAN_NODISCARD witan_status witan_accountant_add(witan_accountant *self,
                                                  const witan_mechanism *mechanism,
                                                  uint64_t count, witan_diag *diag);
/* One GNMax answer, data-dependent: log_q and sigma as for witan_gnmax_rdp. What
 * follows is private itself. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_accountant_add_gnmax(witan_accountant *self,
                                                        double log_q, double sigma);

/* Smallest epsilon >= 0 over the orders, delta in (0, 1); *order says which (may be
 * NULL). infinity when no order bounds it. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_accountant_epsilon(const witan_accountant *self,
                                                      double delta, double *epsilon,
                                                      double *order);
/* Smallest delta in [0, 1] at epsilon >= 0. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_accountant_delta(const witan_accountant *self,
                                                    double epsilon, double *delta,
                                                    double *order);

/* zCDP: rho of Gaussian noise 1 / (2 nm^2), of pure epsilon e^2 / 2, both added by `+`;
 * epsilon = rho + 2 sqrt(rho ln(1/delta)), looser than the accountant.
 * Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_zcdp_epsilon(double *epsilon, double rho,
                                                double delta);

/* Gaussian mechanism, exact: delta = Phi(1/(2s) - e s) - e^e Phi(-1/(2s) - e s), s the
 * noise multiplier > 0, e = epsilon >= 0. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_gaussian_delta(double *delta,
                                                  double noise_multiplier,
                                                  double epsilon);
/* Inverses, to 1e-14 relative; on the safe side. delta in (0, 1). A Q-fold release with
 * multiplier s is one with s / sqrt(Q). */
WITAN_NODISCARD witan_status witan_gaussian_epsilon(double *epsilon,
                                                    double noise_multiplier,
                                                    double delta);
WITAN_NODISCARD witan_status witan_gaussian_multiplier(double *noise_multiplier,
                                                       double epsilon, double delta);

/* Smallest noise multiplier whose `steps` answers of the sampled Gaussian (sampling
 * rate 1: plain Gaussian) stay within (epsilon, delta) on the default orders; to 1e-10
 * relative, on the safe side, within [1e-3, 1e6].
 * Errors: E_INVALID, E_CONFIG (no such multiplier, with a sentence). */
WITAN_NODISCARD witan_status witan_noise_multiplier_find(double *noise_multiplier,
                                                         double epsilon, double delta,
                                                         double sampling_rate,
                                                         uint64_t steps,
                                                         witan_diag *diag);

#endif
