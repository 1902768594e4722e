/* Headers of safetensors files: as a whole file, and as the beginning of a larger one
 * whose size the input's last byte chooses. */
#include "store/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const uint8_t *data, size_t size, uint64_t file_size)
{
    witan_diag diag = {0};
    witan_status status = witan_safetensors_check_header(
        data, size, file_size, witan_allocator_default(), &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_DATA ||
                 status == WITAN_E_MEMORY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, size);
    if (size > 0) {
        check(data, size - 1, size - 1 + data[size - 1]);
    }
    return 0;
}
