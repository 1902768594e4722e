/* network_plan.h - what a worker holds for one network. Private to network.c and
 * private.c. */
#ifndef WITAN_NN_NETWORK_PLAN_H
#define WITAN_NN_NETWORK_PLAN_H

#include "nn/network.h"

struct witan_network_bench {
    const witan_allocator *allocator; /* borrowed */
    const witan_network *network;     /* borrowed until free */
    witan_bench *features;            /* exactly one of the two is set */
    witan_sequence_bench *tokens;
    float *sum; /* [trainable] of a private step */
};

/* The same learner and rows, as each of the two kinds knows them. */
static inline witan_learner
network_learner(const witan_network_learner *self)
{
    return (witan_learner){.model = self->network->model,
                           .parameters = self->parameters,
                           .optimiser_state = self->optimiser_state,
                           .optimiser_step = self->optimiser_step,
                           .optimiser = self->optimiser};
}

static inline witan_sequence_learner
network_token_learner(const witan_network_learner *self)
{
    return (witan_sequence_learner){.model = self->network->sequence,
                                    .parameters = self->parameters,
                                    .optimiser_state = self->optimiser_state,
                                    .optimiser_step = self->optimiser_step,
                                    .optimiser = self->optimiser};
}

static inline witan_token_rows
network_token_rows(const witan_rows *rows)
{
    return (witan_token_rows){.gather = rows->windows, .context = rows->context};
}

#endif
