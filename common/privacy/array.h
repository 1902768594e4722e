/* array.h - what every statistic of this room does to its input first.
 * Threads: any. */
#ifndef WITAN_PRIVACY_ARRAY_H
#define WITAN_PRIVACY_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

/* No NaN, no infinity. */
bool witan_array_finite(const double *values, size_t count);

/* Ascending, in place; no NaN among them. */
void witan_array_sort(double *values, size_t count);

/* An ascending copy, owned by the caller, or NULL. */
double *witan_array_sorted(const double *values, size_t count,
                           const witan_allocator *allocator) WITAN_NODISCARD;

/* Values below x, and at most x, in an ascending array. */
size_t witan_array_below(const double *sorted, size_t count, double x);
size_t witan_array_at_most(const double *sorted, size_t count, double x);

/* Quantile of an ascending array, count >= 1, share in [0, 1]: linear between order
 * statistics (Hyndman and Fan 1996, type 7). */
double witan_array_quantile(const double *sorted, size_t count, double share);

double witan_array_mean(const double *values, size_t count);

#endif
