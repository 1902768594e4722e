/* Optimiser steps against PyTorch, on every instruction set. */
#include "num/update.h"

#include <stdio.h>

#include "support/witan_test.h"
#include "unit/num/num_test.h"

enum {
    STEPS = 5,
    COUNT = 37
};

static void
check_golden(const char *name, const witan_sgd_step *sgd, const witan_adam_step *adam)
{
    char path[64];
    (void)snprintf(path, sizeof path, "num/update_%s", name);
    witan_golden start = witan_golden_load("num/update_start");
    witan_golden gradients = witan_golden_load("num/update_gradients");
    witan_golden expected = witan_golden_load(path);
    float *w = witan_golden_floats(&start), *g = witan_golden_floats(&gradients);
    float m[COUNT] = {0}, v[COUNT] = {0};
    /* The scale undoes a doubled gradient: clipping multiplies before anything else. */
    for (size_t i = 0; i < STEPS * COUNT; i++) {
        g[i] *= 2.0f;
    }
    for (size_t step = 0; step < STEPS; step++) {
        if (sgd != NULL) {
            witan_update_sgd(w, g + step * COUNT, sgd->momentum > 0 ? m : NULL, COUNT,
                             sgd);
        } else {
            witan_adam_step one = *adam;
            one.number = step + 1;
            witan_update_adam(w, g + step * COUNT, m, v, COUNT, &one);
        }
    }
    CHECK_GOLDEN(w, expected.values, COUNT, 1e-6, 1e-5);
    free(w);
    free(g);
    witan_golden_free(&start);
    witan_golden_free(&gradients);
    witan_golden_free(&expected);
}

static void
check_pytorch(const witan_kernels *kernels)
{
    (void)kernels;
    check_golden(
        "sgd", &(witan_sgd_step){.lr = 0.1, .weight_decay = 0.01, .scale = 0.5}, NULL);
    check_golden("momentum",
                 &(witan_sgd_step){
                     .lr = 0.05, .momentum = 0.9, .weight_decay = 0.02, .scale = 0.5},
                 NULL);
    check_golden("adam", NULL,
                 &(witan_adam_step){.lr = 0.01,
                                    .beta1 = 0.8,
                                    .beta2 = 0.95,
                                    .epsilon = 1e-6,
                                    .weight_decay = 0.03,
                                    .scale = 0.5});
    check_golden("adamw", NULL,
                 &(witan_adam_step){.lr = 0.01,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .epsilon = 1e-8,
                                    .weight_decay = 0.1,
                                    .decoupled = true,
                                    .scale = 0.5});
}

static void
steps_match_pytorch(void)
{
    num_for_each_isa(check_pytorch);
}

static double squares_expected;
static float *squares_of;
enum {
    SQUARES = 1003
};

static void
check_squares(const witan_kernels *kernels)
{
    double sum = kernels->sum_squares(squares_of, SQUARES);
    double plain = 0.0;
    for (size_t i = 0; i < SQUARES; i++) {
        plain += (double)squares_of[i] * (double)squares_of[i];
    }
    CHECK_NEAR(sum, plain, 0.0, 1e-13);
    CHECK(kernels == &witan_kernels_baseline || sum == squares_expected);
    squares_expected = sum;
}

static void
sum_of_squares_has_the_same_bits_everywhere(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(3), 0, 0, WITAN_PURPOSE_TEST);
    squares_of = num_normals(&random, SQUARES);
    num_for_each_isa(check_squares);
    CHECK_NEAR(witan_sum_squares((const float[]){3.0f, 4.0f}, 2), 25.0, 0.0, 0.0);
    CHECK_NEAR(witan_sum_squares(squares_of, 0), 0.0, 0.0, 0.0);
    free(squares_of);
}

int
main(void)
{
    RUN(steps_match_pytorch);
    RUN(sum_of_squares_has_the_same_bits_everywhere);
    return witan_test_finish();
}
