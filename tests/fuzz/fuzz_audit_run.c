/* fuzz_audit_run.c - RUN/audit/run.json, as a stranger might have written it. What is
 * accepted is of the config, and its rounds rise. */
#include <stdlib.h>
#include <string.h>

#include "audit/audit_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static witan_config config; /* of three clients and four rounds */
    const witan_allocator *a = witan_allocator_default();
    audit_run_file run;
    witan_diag diag = {0};
    if (config.models == NULL) {
        WITAN_ASSERT(witan_config_init(&config, a) == WITAN_OK);
        config.clients = 3;
        config.rounds = 4;
    }
    char *json = malloc(size + 1);
    WITAN_ASSERT(json != NULL);
    memcpy(json, data, size);
    json[size] = '\0';
    witan_status status =
        audit_run_file_read(&run, json, size, "run.json", &config, a, &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_DATA ||
                 status == WITAN_E_CONFIG || status == WITAN_E_MEMORY);
    if (status == WITAN_OK) {
        WITAN_ASSERT(run.rounds == 4 && run.clients == 3);
        WITAN_ASSERT(strlen(run.world) == WITAN_DIGEST_HEX_SIZE - 1 &&
                     strlen(run.config) == WITAN_DIGEST_HEX_SIZE - 1);
        WITAN_ASSERT(run.recorded_count >= 1 && run.recorded_count <= 4);
        for (size_t i = 0; i < run.recorded_count; i++) {
            WITAN_ASSERT(run.recorded[i] < 4 &&
                         (i == 0 || run.recorded[i] > run.recorded[i - 1]));
        }
    }
    witan_free(a, run.recorded);
    free(json);
    return 0;
}
