/* files.h - the files of a client's directory but its state: keys, membership,
 * settings. Secrets go through store/secret_file.h; buffers that held them are wiped.
 */
#ifndef WITAN_CLIENT_SHELL_FILES_H
#define WITAN_CLIENT_SHELL_FILES_H

#include "client/shell/membership.h"
#include "client/shell/node.h"
#include "config/config.h"

#define NODE_IDENTITY "identity.key"
#define NODE_IDENTITY_NEW "identity.key.new" /* announced, not yet accepted */
#define NODE_MEMBERSHIP "membership.key"
#define NODE_SETTINGS "settings.json"
#define NODE_TRANSFER "transfer.bin"
#define NODE_TRANSFER_PART "transfer.bin.part"
#define NODE_STATE "state.safetensors"
#define NODE_MODEL "model.safetensors"
#define NODE_STATUS "status.json"

/* directory/name. Errors: E_LIMIT. */
WITAN_NODISCARD witan_status node_path(char out[WITAN_PATH_MAX], const char *directory,
                                       const char *name, witan_diag *diag);
bool node_file_exists(const char *directory, const char *name);

/* *out NULL and OK when `name` is absent. */
WITAN_NODISCARD witan_status node_identity_load(witan_identity **out,
                                                const char *directory, const char *name,
                                                witan_diag *diag);
WITAN_NODISCARD witan_status node_identity_save(const witan_identity *identity,
                                                const char *directory, const char *name,
                                                witan_diag *diag);

/* Into guarded memory, freed with witan_secret_free. E_STATE when there is none. */
WITAN_NODISCARD witan_status node_membership_load(witan_membership **out,
                                                  const char *directory,
                                                  witan_diag *diag);
WITAN_NODISCARD witan_status node_membership_save(const witan_membership *membership,
                                                  const char *directory,
                                                  witan_diag *diag);

WITAN_NODISCARD witan_status node_settings_load(witan_node_settings *out,
                                                const char *directory,
                                                const witan_allocator *allocator,
                                                witan_diag *diag);
WITAN_NODISCARD witan_status node_settings_save(const witan_node_settings *settings,
                                                const char *directory,
                                                const witan_allocator *allocator,
                                                witan_diag *diag);
/* What can be said of settings without reading data: model, format, test_fraction.
 * Errors: E_CONFIG. */
WITAN_NODISCARD witan_status node_settings_check(const witan_node_settings *settings,
                                                 witan_diag *diag);
/* What the client insists on, into its copy of the experiment. Errors: E_CONFIG. */
WITAN_NODISCARD witan_status node_settings_apply(const witan_node_settings *settings,
                                                 witan_config *config,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);
/* Index of a format as config spells it; "" is auto. E_CONFIG. */
WITAN_NODISCARD witan_status node_settings_format(int *out,
                                                  const witan_node_settings *settings,
                                                  witan_diag *diag);

#endif
