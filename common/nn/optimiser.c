#include "nn/optimiser.h"

#include <math.h>

#include "num/update.h"

size_t
witan_optimiser_slots(const witan_optimiser_config *config)
{
    if (config->kind == WITAN_OPTIMISER_SGD) {
        return config->momentum > 0.0 ? 1 : 0;
    }
    return 2;
}

double
witan_schedule_lr(const witan_optimiser_config *config, size_t round, size_t rounds)
{
    const double pi = 3.14159265358979323846;
    switch (config->schedule) {
    case WITAN_SCHEDULE_CONSTANT:
        break;
    case WITAN_SCHEDULE_STEP:
        return config->lr * pow(config->factor, (double)(round / config->step_rounds));
    case WITAN_SCHEDULE_COSINE: {
        if (rounds < 2) {
            return config->lr;
        }
        double share = round < rounds ? (double)round / (double)(rounds - 1) : 1.0;
        return config->minimum_lr +
               (config->lr - config->minimum_lr) * 0.5 * (1.0 + cos(pi * share));
    }
    }
    return config->lr;
}

void
witan_optimiser_step(const witan_optimiser_config *config, double lr, float *parameters,
                     const float *gradient, float *state, uint64_t *step, size_t count)
{
    double scale = 1.0;
    if (config->clip_l2 > 0.0) {
        double norm = sqrt(witan_sum_squares(gradient, count));
        double factor = config->clip_l2 / (norm + 1e-6);
        scale = factor < 1.0 ? factor : 1.0;
    }
    (*step)++;
    if (config->kind == WITAN_OPTIMISER_SGD) {
        witan_sgd_step sgd = {.lr = lr,
                              .momentum = config->momentum,
                              .weight_decay = config->weight_decay,
                              .scale = scale};
        witan_update_sgd(parameters, gradient, config->momentum > 0.0 ? state : NULL,
                         count, &sgd);
        return;
    }
    witan_adam_step adam = {.lr = lr,
                            .beta1 = config->beta1,
                            .beta2 = config->beta2,
                            .epsilon = config->epsilon_adam,
                            .weight_decay = config->weight_decay,
                            .decoupled = config->kind == WITAN_OPTIMISER_ADAMW,
                            .scale = scale,
                            .number = *step};
    witan_update_adam(parameters, gradient, state, state + count, count, &adam);
}
