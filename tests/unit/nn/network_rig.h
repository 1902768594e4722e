/* network_rig.h - a network with its bench, its learner and made-up rows, for tests of
 * either kind of model. */
#ifndef WITAN_TEST_NETWORK_RIG_H
#define WITAN_TEST_NETWORK_RIG_H

#include <stdlib.h>
#include <string.h>

#include "nn/network.h"
#include "support/witan_test.h"

enum {
    RIG_FEATURES = 6,
    RIG_LENGTH = 5, /* positions of a window */
    RIG_OUTPUTS = 4,
    RIG_ROWS = 40,
    RIG_PARAMETERS = 4096,
};

typedef struct rig_table {
    float x[RIG_ROWS * RIG_FEATURES];
    uint32_t label[RIG_ROWS];
    uint32_t window[RIG_ROWS * (RIG_LENGTH + 1)];
} rig_table;

static rig_table rig_data;
static uint32_t rig_all[RIG_ROWS];
static size_t rig_seen[RIG_ROWS]; /* how often each row was asked for */

static void
rig_gather(const void *context, const uint32_t *indices, size_t count, float *x,
           uint32_t *labels)
{
    const rig_table *self = context;
    for (size_t i = 0; i < count; i++) {
        if (x != NULL) {
            memcpy(x + i * RIG_FEATURES, self->x + indices[i] * RIG_FEATURES,
                   RIG_FEATURES * sizeof *x);
            rig_seen[indices[i]]++;
        }
        if (labels != NULL) {
            labels[i] = self->label[indices[i]];
        }
    }
}

static void
rig_windows(const void *context, const uint32_t *indices, size_t count,
            uint32_t *tokens)
{
    const rig_table *self = context;
    for (size_t i = 0; i < count; i++) {
        memcpy(tokens + i * (RIG_LENGTH + 1),
               self->window + indices[i] * (RIG_LENGTH + 1),
               (RIG_LENGTH + 1) * sizeof *tokens);
        rig_seen[indices[i]]++;
    }
}

static const witan_rows rig_rows = {
    .gather = rig_gather, .context = &rig_data, .windows = rig_windows};

static void
rig_fill(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(31), 0, 0, WITAN_PURPOSE_TEST);
    for (size_t i = 0; i < RIG_ROWS * RIG_FEATURES; i++) {
        rig_data.x[i] = (float)witan_random_normal(&random);
    }
    for (size_t i = 0; i < RIG_ROWS; i++) {
        rig_all[i] = (uint32_t)i;
        rig_data.label[i] = witan_random_below(&random, RIG_OUTPUTS);
    }
    for (size_t i = 0; i < RIG_ROWS * (RIG_LENGTH + 1); i++) {
        rig_data.window[i] = witan_random_below(&random, RIG_OUTPUTS);
    }
}

typedef struct network_rig {
    witan_network network;
    witan_network_bench *bench;
    witan_network_learner learner;
    float parameters[RIG_PARAMETERS], state[2 * RIG_PARAMETERS];
} network_rig;

static void
rig_open_spec(network_rig *self, const witan_model_spec *spec, size_t batch,
              const witan_optimiser_config *optimiser)
{
    const witan_allocator *heap = witan_allocator_default();
    const witan_input input = {.shape = {1, 1, RIG_FEATURES},
                               .length = spec->reads_tokens ? RIG_LENGTH : 0,
                               .outputs = RIG_OUTPUTS};
    witan_random random;
    memset(self, 0, sizeof *self);
    if (!CHECK_STATUS(witan_network_init(&self->network, heap, spec, &input, NULL),
                      WITAN_OK) ||
        !CHECK_STATUS(witan_network_bench_new(&self->bench, heap, &self->network, batch,
                                              7, RIG_ROWS, RIG_OUTPUTS),
                      WITAN_OK) ||
        !CHECK(witan_network_parameters(&self->network) <= RIG_PARAMETERS)) {
        exit(1);
    }
    self->learner = (witan_network_learner){.network = &self->network,
                                            .parameters = self->parameters,
                                            .optimiser_state = self->state,
                                            .optimiser = optimiser};
    witan_random_init(&random, witan_test_seed(32), 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(&self->network, self->parameters, &random);
}

static void
rig_open(network_rig *self, const char *name, size_t batch,
         const witan_optimiser_config *optimiser)
{
    witan_model_spec spec;
    if (!CHECK_STATUS(witan_zoo_parse(&spec, name, NULL), WITAN_OK)) {
        exit(1);
    }
    rig_open_spec(self, &spec, batch, optimiser);
}

static void
rig_close(network_rig *self)
{
    witan_network_bench_free(&self->bench);
    witan_network_fini(&self->network);
    CHECK(self->bench == NULL && self->network.model == NULL &&
          self->network.sequence == NULL);
}

#endif
