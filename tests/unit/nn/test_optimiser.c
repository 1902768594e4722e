/* test_optimiser.c - updates and schedules against PyTorch, and their limit cases. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/optimiser.h"
#include "support/witan_test.h"

enum {
    COUNT = 37,
    STEPS = 5
};

static void
check_path(const char *name, witan_optimiser_config config)
{
    char file[64];
    (void)snprintf(file, sizeof file, "nn/optimiser_%s", name);
    witan_golden start = witan_golden_load("nn/optimiser_start");
    witan_golden gradients = witan_golden_load("nn/optimiser_gradients");
    witan_golden path = witan_golden_load(file);
    float *w = witan_golden_floats(&start);
    float *g = witan_golden_floats(&gradients);
    float state[2 * COUNT] = {0};
    uint64_t step = 0;

    CHECK(path.count == STEPS * COUNT);
    for (size_t s = 0; s < STEPS; s++) {
        witan_optimiser_step(&config, config.lr, w, g + s * COUNT, state, &step, COUNT);
        CHECK(step == s + 1);
        CHECK_GOLDEN(w, path.values + s * COUNT, COUNT, 1e-6, 1e-6);
    }
    /* The state beyond its slots is left alone. */
    for (size_t i = witan_optimiser_slots(&config) * COUNT; i < 2 * COUNT; i++) {
        CHECK(state[i] == 0.0f);
    }
    free(w);
    free(g);
    witan_golden_free(&start);
    witan_golden_free(&gradients);
    witan_golden_free(&path);
}

static const witan_optimiser_config sgd = {.kind = WITAN_OPTIMISER_SGD, .lr = 0.1};
static const witan_optimiser_config adam = {.kind = WITAN_OPTIMISER_ADAM,
                                            .lr = 0.01,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon_adam = 1e-8};

static void
equal_to_pytorch(void)
{
    witan_optimiser_config c = sgd;
    check_path("sgd", c);
    c.momentum = 0.9;
    check_path("sgd_momentum", c);
    c.weight_decay = 0.05;
    check_path("sgd_decay", c);
    c.clip_l2 = 4.0;
    check_path("sgd_clip", c);
    check_path("adam", adam);
    c = adam;
    c.weight_decay = 0.05;
    check_path("adam_decay", c);
    c.kind = WITAN_OPTIMISER_ADAMW;
    check_path("adamw", c);
    c = adam;
    c.beta1 = 0.8;
    c.beta2 = 0.95;
    c.epsilon_adam = 1e-3;
    c.clip_l2 = 4.0;
    check_path("adam_clip", c);
}

static void
slots(void)
{
    witan_optimiser_config c = sgd;
    CHECK(witan_optimiser_slots(&c) == 0);
    c.momentum = 0.5;
    CHECK(witan_optimiser_slots(&c) == 1);
    CHECK(witan_optimiser_slots(&adam) == 2);
    c.kind = WITAN_OPTIMISER_ADAMW;
    CHECK(witan_optimiser_slots(&c) == 2);
}

static void
limit_cases(void)
{
    float w[3] = {1.0f, -2.0f, 3.0f}, g[3] = {3.0f, 0.0f, -4.0f}, state[6] = {0};
    uint64_t step = 0;

    /* Without slots no state is needed; lr 0 changes nothing. */
    witan_optimiser_step(&sgd, 0.0, w, g, NULL, &step, 3);
    CHECK_FLOATS(w, ((float[]){1.0f, -2.0f, 3.0f}), 3, 0.0, 0.0);
    CHECK(step == 1);

    /* A clip above the norm (5) changes nothing, half of it halves the step. */
    witan_optimiser_config c = sgd;
    c.clip_l2 = 5.1;
    witan_optimiser_step(&c, 1.0, w, g, NULL, &step, 3);
    CHECK_FLOATS(w, ((float[]){-2.0f, -2.0f, 7.0f}), 3, 1e-6, 0.0);
    c.clip_l2 = 2.5;
    witan_optimiser_step(&c, 1.0, w, g, NULL, &step, 3);
    CHECK_FLOATS(w, ((float[]){-3.5f, -2.0f, 9.0f}), 3, 1e-5, 0.0);

    /* Adam's first step is lr * sign(gradient), whatever its size. */
    float v[3] = {0.0f, 0.0f, 0.0f}, h[3] = {1e-3f, -1e4f, 0.0f};
    step = 0;
    witan_optimiser_step(&adam, 0.01, v, h, state, &step, 3);
    CHECK_FLOATS(v, ((float[]){-0.01f, 0.01f, 0.0f}), 3, 1e-6, 0.0);

    /* A zero gradient: adamw only shrinks, adam with zero decay stands still. */
    float zero[3] = {0}, x[3] = {1.0f, -2.0f, 4.0f}, fresh[6] = {0};
    c = adam;
    c.kind = WITAN_OPTIMISER_ADAMW;
    c.weight_decay = 0.1;
    step = 0;
    witan_optimiser_step(&c, 0.5, x, zero, fresh, &step, 3);
    CHECK_FLOATS(x, ((float[]){0.95f, -1.9f, 3.8f}), 3, 1e-6, 0.0);
    witan_optimiser_step(&adam, 0.5, x, zero, fresh, &step, 3);
    CHECK_FLOATS(x, ((float[]){0.95f, -1.9f, 3.8f}), 3, 1e-6, 0.0);

    /* A NaN in the gradient is not clipped away. */
    float nan_g[3] = {1.0f, NAN, 0.0f};
    c = sgd;
    c.clip_l2 = 1.0;
    witan_optimiser_step(&c, 0.1, x, nan_g, NULL, &step, 3);
    CHECK(isnan(x[1]));
}

static void
check_schedule(const char *name, witan_optimiser_config config)
{
    witan_golden golden = witan_golden_load(name);
    CHECK(golden.count == 11);
    for (size_t round = 0; round < golden.count; round++) {
        CHECK_NEAR(witan_schedule_lr(&config, round, golden.count),
                   golden.values[round], 1e-15, 1e-12);
    }
    witan_golden_free(&golden);
}

static void
schedules(void)
{
    witan_optimiser_config c = sgd;
    c.lr = 0.4;
    c.schedule = WITAN_SCHEDULE_COSINE;
    c.minimum_lr = 0.02;
    check_schedule("nn/schedule_cosine", c);
    CHECK_NEAR(witan_schedule_lr(&c, 0, 1), 0.4, 0.0, 0.0);
    CHECK_NEAR(witan_schedule_lr(&c, 30, 11), 0.02, 1e-15, 0.0);

    c.schedule = WITAN_SCHEDULE_STEP;
    c.step_rounds = 3;
    c.factor = 0.3;
    check_schedule("nn/schedule_step", c);

    c.schedule = WITAN_SCHEDULE_CONSTANT;
    CHECK_NEAR(witan_schedule_lr(&c, 7, 11), 0.4, 0.0, 0.0);
}

int
main(void)
{
    RUN(equal_to_pytorch);
    RUN(slots);
    RUN(limit_cases);
    RUN(schedules);
    return witan_test_finish();
}
