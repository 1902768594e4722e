/* experiment.h - what commands that take an experiment share: the file, then --set. */
#ifndef WITAN_CLI_EXPERIMENT_H
#define WITAN_CLI_EXPERIMENT_H

#include "config/config.h"

/* Defaults, overridden by the JSON file at `path` (NULL: the embedded experiment), then
 * by `assignments` [count] in order; then checked. Owned by the caller, freed with
 * witan_config_fini; freed here on failure. Errors: E_CONFIG, E_IO, E_LIMIT, E_MEMORY.
 */
WITAN_NODISCARD witan_status witan_experiment_load(witan_config *out, const char *path,
                                                   const char *const *assignments,
                                                   size_t count, witan_diag *diag);

#endif
