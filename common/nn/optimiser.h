/* optimiser.h - SGD with momentum, Adam, AdamW; clipping and learning-rate schedules.
 * One aligned block of state per client: [slots, trainable] floats and a step count.
 * Source: Kingma and Ba 2015 (Adam), Loshchilov and Hutter 2019 (AdamW, cosine);
 * update rules equal PyTorch 1.13's, against which they are tested. */
#ifndef WITAN_NN_OPTIMISER_H
#define WITAN_NN_OPTIMISER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum witan_optimiser_kind {
    WITAN_OPTIMISER_SGD,
    WITAN_OPTIMISER_ADAM,
    WITAN_OPTIMISER_ADAMW,
} witan_optimiser_kind;

typedef enum witan_schedule_kind {
    WITAN_SCHEDULE_CONSTANT,
    WITAN_SCHEDULE_STEP,   /* lr * factor^(round / step_rounds) */
    WITAN_SCHEDULE_COSINE, /* from lr to minimum_lr over the run's rounds */
} witan_schedule_kind;

typedef struct witan_optimiser_config {
    witan_optimiser_kind kind;
    double lr;           /* > 0 */
    double momentum;     /* sgd, [0, 1) */
    double beta1, beta2; /* adam, [0, 1) */
    double epsilon_adam; /* > 0 */
    double weight_decay; /* >= 0; L2 for sgd and adam, decoupled for adamw */
    double clip_l2;      /* global gradient norm, 0 = off */
    witan_schedule_kind schedule;
    size_t step_rounds; /* step schedule: rounds between drops, >= 1 */
    double factor;      /* step schedule: multiplier, (0, 1] */
    double minimum_lr;  /* cosine schedule: last value, >= 0 */
} witan_optimiser_config;

/* Blocks of `trainable` floats of state: sgd 0 or 1 (momentum), adam and adamw 2. */
size_t witan_optimiser_slots(const witan_optimiser_config *config);

/* Learning rate of round `round` (0-based) of `rounds`. */
double witan_schedule_lr(const witan_optimiser_config *config, size_t round,
                         size_t rounds);

/* One update of `parameters` [count] from `gradient` [count]. `state` [slots, count],
 * zero at first, NULL when there are no slots; *step counts updates. Clipping scales
 * the gradient by clip_l2 / (norm + 1e-6) when that is below 1, before any decay. */
void witan_optimiser_step(const witan_optimiser_config *config, double lr,
                          float *parameters, const float *gradient, float *state,
                          uint64_t *step, size_t count);

#endif
