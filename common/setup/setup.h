/* setup.h - from an experiment's config to the structs that the rooms below take.
 * Why here: simulator, daemons and the other commands must mean the same by the same
 * key; the rooms themselves know nothing of the config room.
 * Pure copies, but for the check at the end; texts are borrowed from the config. */
#ifndef WITAN_SETUP_SETUP_H
#define WITAN_SETUP_SETUP_H

#include "client/core/learner.h"
#include "config/config.h"
#include "coordinator/core/coordinator.h"
#include "data/load.h"
#include "data/partition.h"
#include "nn/optimiser.h"

/* How a learner reads a set: rows of features, or windows of tokens. Borrows the set.
 */
witan_rows witan_setup_rows(const witan_dataset *set);
/* What a model of the set's rows reads and predicts. */
witan_input witan_setup_input(const witan_dataset *set);

/* The data set that clients train and are tested on. */
void witan_setup_source(witan_data_source *out, const witan_config *config);

/* The second data set; call it only when transfer.path is set. It is loaded as it is:
 * the scale is the training set's, to be copied with witan_dataset_copy_scale. */
void witan_setup_transfer_source(witan_data_source *out, const witan_config *config);

/* No transfer rows are held out when there is a second data set. */
void witan_setup_partition(witan_partition_config *out, const witan_config *config);

void witan_setup_optimiser(witan_optimiser_config *out, const witan_config *config);

/* How soft labels travel. */
witan_codec witan_setup_codec(const witan_config *config);

/* How soft labels are protected; token_names are the caller's to fill. */
void witan_setup_release(witan_release_config *out, const witan_config *config);

/* What clients do in a round with models of `input`, for knowledge about the rows of
 * `transfer` (none when the strategy does not exchange knowledge). No clock. */
void witan_setup_plan(witan_learning_plan *out, const witan_config *config,
                      const witan_input *input, witan_part transfer);

/* Refuses protection that does not fit the data: text rules without text, densities
 * of text, a public reference without text, more classes to travel than there are.
 * Errors: E_CONFIG. */
WITAN_NODISCARD witan_status witan_setup_check(const witan_config *config,
                                               const witan_input *input,
                                               witan_diag *diag);

/* All but strategy and the shape of knowledge (kind, codec, rows, classes, parameters),
 * which the caller knows; those are zero. */
void witan_setup_coordinator(witan_coordinator_config *out, const witan_config *config);

#endif
