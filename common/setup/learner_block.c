#include "setup/learner_block.h"

#include <string.h>

/* Where the optimiser state starts: on an aligned float. */
static size_t
state_offset(const witan_network *network)
{
    size_t line = WITAN_ALIGNMENT / sizeof(float);
    return (witan_network_parameters(network) + line - 1) / line * line;
}

static size_t
state_floats(const witan_network_learner *self)
{
    return witan_optimiser_slots(self->optimiser) *
           witan_network_trainable(self->network);
}

size_t
witan_learner_block_floats(const witan_network_learner *self)
{
    return state_offset(self->network) + state_floats(self);
}

witan_status
witan_learner_block_new(witan_network_learner *out, const witan_learning_plan *plan,
                        const witan_network *network, uint32_t client,
                        const witan_allocator *allocator)
{
    *out = (witan_network_learner){.network = network, .optimiser = &plan->optimiser};
    out->parameters =
        witan_zalloc(allocator, witan_learner_block_floats(out), sizeof(float));
    if (out->parameters == NULL) {
        memset(out, 0, sizeof *out);
        return WITAN_E_MEMORY;
    }
    if (state_floats(out) != 0) {
        out->optimiser_state = out->parameters + state_offset(network);
    }
    witan_random random;
    witan_random_init(&random, plan->seed, client, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(network, out->parameters, &random);
    return WITAN_OK;
}

void
witan_learner_block_free(witan_network_learner *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->parameters);
    memset(self, 0, sizeof *self);
}
