/* special.h - probabilities whose logarithms stay finite where the plain value is 0.
 * Why here: exposure of a canary at 60 bits and a one-run p-value of 1e-40 are ordinary
 * results of an audit; libraries that go through the plain value answer infinity.
 * Source: Abramowitz and Stegun 1964, 6.5, 7.1, 26.5; Azzalini 1985 (skew normal).
 * Like <math.h>: pure functions; NaN comes only from NaN or from outside the domain.
 * Threads: any. No allocation. Natural logarithms; relative error about 1e-12 of the
 * logarithm, or absolute 1e-13 where it is near 0. */
#ifndef WITAN_PRIVACY_SPECIAL_H
#define WITAN_PRIVACY_SPECIAL_H

#include <stddef.h>

/* ln(e^x + e^y); -infinity is ln 0. */
double witan_log_add(double x, double y);
/* ln(e^x - e^y), x >= y; -infinity when equal, NaN when x < y. */
double witan_log_subtract(double x, double y);
/* ln(1 - e^x), x <= 0. */
double witan_log_complement(double x);

/* ln erfc(x), any x. */
double witan_log_erfc(double x);
/* Phi(x) and ln Phi(x), any x. */
double witan_normal_cdf(double x);
double witan_log_normal_cdf(double x);
/* Phi^-1(p), p in (0, 1); -infinity at 0, infinity at 1. */
double witan_normal_quantile(double p);

/* ln |C(n, k)|, n real, k >= 0: |.| because C(1.5, 3) < 0. */
double witan_log_binomial(double n, double k);
/* ln Pr[Bin(n, p) >= k]; 0 for k == 0, -infinity for k > n. p in [0, 1]. */
double witan_log_binomial_tail(size_t n, double p, size_t k);
/* ln Pr[Bin(n, p) == k], k <= n. */
double witan_log_binomial_mass(size_t n, double p, size_t k);

/* Regularised incomplete beta I_x(a, b) as its logarithm; a, b > 0, x in [0, 1]. */
double witan_log_beta_cdf(double a, double b, double x);
/* x with I_x(a, b) = p, p in [0, 1]. */
double witan_beta_quantile(double a, double b, double p);
/* Upper regularised gamma Q(a, x) = Pr[Gamma(a, 1) >= x]; a > 0, x >= 0. */
double witan_gamma_tail(double a, double x);

/* ln of the density 2 phi(u) Phi(shape u) and of its distribution function
 * Phi(u) - 2 T(u, shape), T of Owen; any u, any finite shape. By quadrature of the
 * density relative to its largest value: the difference cancels below 1e-12. */
double witan_log_skew_normal_pdf(double u, double shape);
double witan_log_skew_normal_cdf(double u, double shape);
/* CDF(to) - CDF(from), from <= to: for the steps of a sorted sample. */
double witan_skew_normal_between(double from, double to, double shape);

#endif
