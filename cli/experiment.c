#include "cli/experiment.h"

#include "base/limits.h"
#include "store/file.h"

static witan_status
fill(witan_config *out, const char *path, const char *const *assignments, size_t count,
     witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    if (path != NULL) {
        char *json;
        size_t size;
        WITAN_TRY(witan_file_read(&json, &size, path, WITAN_CONFIG_BYTES_MAX, allocator,
                                  diag));
        witan_status status = witan_config_read(out, json, size, path, allocator, diag);
        witan_free(allocator, json);
        WITAN_TRY(status);
    }
    for (size_t i = 0; i < count; i++) {
        WITAN_TRY(witan_config_set(out, assignments[i], allocator, diag));
    }
    witan_status status = witan_config_check(out, diag);
    if (status != WITAN_OK && path != NULL) {
        (void)witan_diag_prefix(diag, "%s", path);
    }
    return status;
}

witan_status
witan_experiment_load(witan_config *out, const char *path,
                      const char *const *assignments, size_t count, witan_diag *diag)
{
    WITAN_TRY(witan_config_init(out, witan_allocator_default()));
    witan_status status = fill(out, path, assignments, count, diag);
    if (status != WITAN_OK) {
        witan_config_fini(out, witan_allocator_default());
    }
    return status;
}
