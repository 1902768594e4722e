/* --set arguments, one per line, applied in turn to one config. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_config config;
    char *lines = malloc(size + 1);
    if (lines == NULL || witan_config_init(&config, heap) != WITAN_OK) {
        free(lines);
        return 0;
    }
    if (size > 0) {
        memcpy(lines, data, size);
    }
    lines[size] = '\0';
    for (char *line = lines, *end; line != NULL; line = end) {
        witan_diag why = {0};
        end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        /* An exact heap block, so that a sanitizer sees a read past the end. */
        char *exact = strdup(line);
        witan_status status = witan_config_set(&config, exact, heap, &why);
        free(exact);
        WITAN_ASSERT((status == WITAN_OK) == (why.message[0] == '\0'));
    }
    witan_diag diag = {0};
    WITAN_ASSERT(witan_config_check(&config, &diag) == diag.status);
    witan_config_fini(&config, heap);
    free(lines);
    return 0;
}
