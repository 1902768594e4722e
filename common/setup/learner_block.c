#include "setup/learner_block.h"

#include <string.h>

/* Where the optimiser state starts: on an aligned float. */
static size_t
state_offset(const witan_model *model)
{
    size_t line = WITAN_ALIGNMENT / sizeof(float);
    return (witan_model_parameters(model) + line - 1) / line * line;
}

static size_t
state_floats(const witan_learner *self)
{
    return witan_optimiser_slots(self->optimiser) * witan_model_trainable(self->model);
}

size_t
witan_learner_block_floats(const witan_learner *self)
{
    return state_offset(self->model) + state_floats(self);
}

witan_status
witan_learner_block_new(witan_learner *out, const witan_learning_plan *plan,
                        const witan_model *model, uint32_t client,
                        const witan_allocator *allocator)
{
    *out = (witan_learner){.model = model, .optimiser = &plan->optimiser};
    out->parameters =
        witan_zalloc(allocator, witan_learner_block_floats(out), sizeof(float));
    if (out->parameters == NULL) {
        memset(out, 0, sizeof *out);
        return WITAN_E_MEMORY;
    }
    if (state_floats(out) != 0) {
        out->optimiser_state = out->parameters + state_offset(model);
    }
    witan_random random;
    witan_random_init(&random, plan->seed, client, 0, WITAN_PURPOSE_INITIALISE);
    witan_model_initialise(model, out->parameters, &random);
    return WITAN_OK;
}

void
witan_learner_block_free(witan_learner *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->parameters);
    memset(self, 0, sizeof *self);
}
