/* loss_top.h - distillation towards the k largest probabilities and what is left.
 * Why here: whole soft labels of a word vocabulary are too large to send; k tokens and
 * one residual mass are not. */
#ifndef WITAN_NN_LOSS_TOP_H
#define WITAN_NN_LOSS_TOP_H

#include <stddef.h>
#include <stdint.h>

/* temp^2 * KL( q || p ), nats, mean over N, over the k named tokens and one bucket that
 * holds all others: how the rest is shared among them is left to the student.
 *   dz     out  [N,C] d(loss)/dz, overwritten; must not alias z
 *   z      in   [N,C] student logits; p = softmax(z / temp), its rest summed
 *   token  in   [N,k] different tokens < C of a row (asserted), 1 <= k <= C
 *   mass   in   [N,k] their probabilities, >= 0; the residual is 1 - their sum, or 0
 *   temp   in   temperature > 0; the teacher's masses are tempered as the dense loss
 *               does it (q^(1/temp)), with a residual spread evenly over the rest
 * With k = C this is witan_loss_kl. Non-finite when an input is. No allocation, O(N C).
 */
double witan_loss_kl_top(float *dz, const float *z, const uint32_t *token,
                         const float *mass, size_t k, double temp, size_t N, size_t C);

#endif
