/* Payloads of the handshake: the same arbitrary bytes as a Hello and as a Welcome. What
 * is believed can be packed and comes back the same. */
#include <stdlib.h>
#include <string.h>

#include "wire/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool ok)
{
    if (!ok) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t packed[1024];
    size_t packed_size = 0;
    witan_hello hello, hello_again;
    if (witan_hello_unpack(&hello, data, size) == WITAN_OK) {
        require(witan_hello_pack(packed, sizeof packed, &packed_size, &hello) ==
                WITAN_OK);
        require(witan_hello_unpack(&hello_again, packed, packed_size) == WITAN_OK);
        require(memcmp(&hello, &hello_again, sizeof hello) == 0);
    }
    witan_welcome welcome, welcome_again;
    if (witan_welcome_unpack(&welcome, data, size) == WITAN_OK) {
        require(witan_welcome_pack(packed, sizeof packed, &packed_size, &welcome) ==
                WITAN_OK);
        require(witan_welcome_unpack(&welcome_again, packed, packed_size) == WITAN_OK);
        require(memcmp(&welcome, &welcome_again, sizeof welcome) == 0);
    }
    return 0;
}
