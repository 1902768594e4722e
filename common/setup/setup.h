/* setup.h - from an experiment's config to the structs that the rooms below take.
 * Why here: simulator, daemons and the other commands must mean the same by the same
 * key; the rooms themselves know nothing of the config room.
 * Pure copies: nothing can fail, and texts are borrowed from the config. */
#ifndef WITAN_SETUP_SETUP_H
#define WITAN_SETUP_SETUP_H

#include "client/core/learner.h"
#include "config/config.h"
#include "coordinator/core/coordinator.h"
#include "data/load.h"
#include "data/partition.h"
#include "nn/optimiser.h"

/* The data set that clients train and are tested on. */
void witan_setup_source(witan_data_source *out, const witan_config *config);

/* The second data set; call it only when transfer.path is set. It is loaded as it is:
 * the scale is the training set's, to be copied with witan_dataset_copy_scale. */
void witan_setup_transfer_source(witan_data_source *out, const witan_config *config);

/* No transfer rows are held out when there is a second data set. */
void witan_setup_partition(witan_partition_config *out, const witan_config *config);

void witan_setup_optimiser(witan_optimiser_config *out, const witan_config *config);

/* What clients do in a round, for knowledge of `classes` classes about the rows of
 * `transfer` (none when the strategy does not exchange knowledge). No clock. */
void witan_setup_plan(witan_learning_plan *out, const witan_config *config,
                      size_t classes, witan_part transfer);

/* All but strategy and the shape of knowledge (kind, codec, rows, classes, parameters),
 * which the caller knows; those are zero. */
void witan_setup_coordinator(witan_coordinator_config *out, const witan_config *config);

#endif
