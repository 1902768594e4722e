/* learner_block.h - the floats that a client owns: one aligned block of parameters and,
 * behind them, optimiser state.
 * Why here: simulator and daemon must start a client of one experiment from the same
 * bits, and save and restore it as the same block. */
#ifndef WITAN_SETUP_LEARNER_BLOCK_H
#define WITAN_SETUP_LEARNER_BLOCK_H

#include "client/core/learner.h"

/* A learner at its start: parameters drawn from the stream (plan->seed, client, 0,
 * INITIALISE), optimiser state zero. Owns its block, freed with
 * witan_learner_block_free; borrows the network and the plan's optimiser.
 * Errors: E_MEMORY (*out is zeroed). */
WITAN_NODISCARD witan_status witan_learner_block_new(witan_network_learner *out,
                                                     const witan_learning_plan *plan,
                                                     const witan_network *network,
                                                     uint32_t client,
                                                     const witan_allocator *allocator);
/* Frees the block and zeroes the learner; idempotent. */
void witan_learner_block_free(witan_network_learner *self,
                              const witan_allocator *allocator);

/* Floats of the whole block, which starts at self->parameters: what is saved. */
size_t witan_learner_block_floats(const witan_network_learner *self);

#endif
