/* softmax.h - probabilities from logits, row by row.
 * Why here: losses, knowledge extraction and audits need the same bits.
 * Threads: any. No allocation. */
#ifndef WITAN_NUM_SOFTMAX_H
#define WITAN_NUM_SOFTMAX_H

#include <stddef.h>

/* p = softmax(z / temp) of every row.
 *   p     out  [N,C] rows sum to 1; may be z itself
 *   z     in   [N,C] logits; -infinity gives 0; NaN or +infinity gives a row of NaN
 *   temp  in   temperature > 0, dimensionless
 * The true row maximum is subtracted first; the sum accumulates in double. O(N C). */
void witan_softmax(float *p, const float *z, double temp, size_t N, size_t C);

/* log(sum_c exp(z[c])), natural logarithm; exact for large |z|. C >= 1. */
double witan_log_sum_exp(const float *z, size_t C);

#endif
