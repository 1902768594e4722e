/* knfu.h - KnFu's weights from label distributions.
 * Why here: the weights are what tests, reports and defences look at, apart from how
 * the distributions were estimated. */
#ifndef WITAN_FUSION_KNFU_H
#define WITAN_FUSION_KNFU_H

#include "fusion/fusion.h"

/* W [N, N] from epd [N, C] (entries > 0, rows sum to 1):
 *   a_nm = exp(-beta * (d(q_n, q_m) - min_k d(q_n, q_k))),  W_nm = a_nm / sum_k a_nk
 * where the minimum and the sum run over the clients that n may hear. Subtracting the
 * minimum leaves W as it is and keeps a row from underflowing.
 *   beta = 0         exactly 1 / N each, the bits of `mean`
 *   beta = infinity  the nearest ones, in equal shares
 *   include_self     false: W_nn = 0 (a client alone still hears itself)
 *   neighbours       k > 0: the k largest of a row stay, ties to the lower client; a
 *                    client itself is one of the k
 *   minimum_weight   smaller ones become 0; the largest of a row always stays
 * Weights that stay are normalised again, once.
 * Errors: E_INVALID (beta negative or NaN, minimum_weight outside [0, 1)), E_MEMORY.
 * Cost O(N^2 C), with neighbours O(N^2 log N) more. */
WITAN_NODISCARD witan_status witan_knfu_weights_from_epd(
    double *W, const double *epd, size_t N, size_t C, const witan_fusion_config *config,
    const witan_allocator *allocator);

#endif
