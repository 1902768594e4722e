/* update.h - optimiser steps on flat float arrays, one pass over memory each.
 * Why here: they are vector kernels; what they mean (schedules, clipping) is nn's.
 * Source: update rules of PyTorch 1.13 (SGD without dampening or Nesterov, Adam,
 * AdamW). Threads: any. No allocation. */
#ifndef WITAN_NUM_UPDATE_H
#define WITAN_NUM_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One SGD step: d = scale * g + weight_decay * w; v = momentum * v + d; w -= lr * v.
 *   w  inout [n] parameters     g  in [n] gradient
 *   v  inout [n] velocity, zero at first; NULL means w -= lr * d */
typedef struct witan_sgd_step {
    double lr, momentum, weight_decay;
    double scale; /* factor on g: 1, or less when clipping */
} witan_sgd_step;
void witan_update_sgd(float *w, const float *g, float *v, size_t n,
                      const witan_sgd_step *step);

/* One Adam or AdamW step.
 *   m, v  inout [n] first and second moment, zero at first */
typedef struct witan_adam_step {
    double lr, beta1, beta2, epsilon;
    double weight_decay;
    bool decoupled;  /* AdamW: w *= 1 - lr * weight_decay; else added to the gradient */
    double scale;    /* factor on g: 1, or less when clipping */
    uint64_t number; /* of this step, counted from 1 */
} witan_adam_step;
void witan_update_adam(float *w, const float *g, float *m, float *v, size_t n,
                       const witan_adam_step *step);

/* sum_i x[i]^2 in double, in an order that does not depend on the processor. */
double witan_sum_squares(const float *x, size_t n);

#endif
