/* fuzz_key_file.c - key files from any bytes: one is accepted only when it is exactly
 * what would be written. */
#include <string.h>

#include "secure/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char again[WITAN_KEY_FILE_MAX];
    witan_identity *self = NULL;
    witan_diag diag = {0};
    size_t again_size = 0;

    if (witan_identity_parse(&self, (const char *)data, size, &diag) == WITAN_OK) {
        witan_identity_format(self, again, &again_size);
        WITAN_ASSERT(again_size == size && memcmp(again, data, size) == 0);
    } else {
        WITAN_ASSERT(self == NULL && diag.message[0] != '\0');
    }
    witan_identity_free(&self);
    return 0;
}
