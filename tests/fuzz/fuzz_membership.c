/* fuzz_membership.c - a client's membership file: whatever is there, no crash, and what
 * is accepted is what would be written. */
#include <string.h>

#include "client/shell/membership.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    witan_membership membership;
    char again[WITAN_MEMBERSHIP_MAX];
    size_t again_size = 0;
    witan_diag diag = {0};
    if (witan_membership_parse(&membership, (const char *)bytes, size, &diag) ==
        WITAN_OK) {
        witan_membership_format(&membership, again, &again_size);
        WITAN_ASSERT(again_size == size && memcmp(again, bytes, size) == 0);
    } else {
        WITAN_ASSERT(diag.message[0] != '\0');
    }
    return 0;
}
