/* loss.h - losses on logits and their gradients, mean over the minibatch.
 * Common contract: z [N,C] student logits; dz out [N,C], d(loss)/dz, must not alias z;
 * returns the loss in double, non-finite when an input is (callers test it).
 * N >= 1, C >= 2. No allocation, O(N C). */
#ifndef WITAN_NN_LOSS_H
#define WITAN_NN_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Softmax cross-entropy with class indices; label [N] < C. Nats. */
double witan_loss_cross_entropy(float *dz, const float *z, const uint32_t *label,
                                size_t N, size_t C);

/* temp^2 * KL( q^(T) || softmax(z / temp) ), nats. Hinton et al. 2015, sec. 2.
 *   q     inout  [N,C] teacher probabilities; replaced by q^(T) = q^(1/temp) / sum,
 *                where 0 stays 0
 *   temp  in     temperature > 0, dimensionless */
double witan_loss_kl(float *dz, const float *z, float *q, double temp, size_t N,
                     size_t C);

/* Mean squared / absolute error between logits z and teacher logits, mean over N and C
 * (FedMD digests with MAE, Li and Wang 2019). Both sides are compared after removing
 * each row's mean, since soft labels fix logits only up to a row constant. */
double witan_loss_mse(float *dz, const float *z, const float *teacher, size_t N,
                      size_t C);
double witan_loss_mae(float *dz, const float *z, const float *teacher, size_t N,
                      size_t C);

typedef enum witan_distill_loss {
    WITAN_DISTILL_KL,
    WITAN_DISTILL_MSE,
    WITAN_DISTILL_MAE,
} witan_distill_loss;

#endif
