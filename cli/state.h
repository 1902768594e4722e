/* state.h - what commands know of a state directory before they open it.
 * Why here: doctor and status take the directory of a coordinator or of a client. */
#ifndef WITAN_CLI_STATE_H
#define WITAN_CLI_STATE_H

#include "base/limits.h"
#include "base/status.h"
#include "base/text.h"

typedef enum witan_state_kind {
    WITAN_STATE_COORDINATOR, /* witan.db */
    WITAN_STATE_CLIENT,      /* membership.key */
} witan_state_kind;

/* Errors: E_STATE: the directory holds neither. */
WITAN_NODISCARD witan_status witan_state_kind_of(witan_state_kind *out,
                                                 const char *directory,
                                                 witan_diag *diag);

/* directory/name into path. Errors: E_CONFIG (too long). */
WITAN_NODISCARD witan_status witan_state_path(char path[WITAN_PATH_MAX],
                                              const char *directory, const char *name,
                                              witan_diag *diag);

/* The process that works in the directory, or 0. Reads the number in its lock file, so
 * that looking never keeps a process from starting there. */
uint64_t witan_state_holder(const char *directory);

/* $XDG_STATE_HOME/witan/NAME, or ~/.local/state/witan/NAME. Errors: E_CONFIG (no home,
 * too long). */
WITAN_NODISCARD witan_status witan_state_default(char path[WITAN_PATH_MAX],
                                                 const char *name, witan_diag *diag);

#endif
