/* A peer's packet: arbitrary bytes. What is believed can be packed and comes back the
 * same; what is refused leaves nothing behind and says why. */
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

static void
compare(const witan_packet *first, const witan_packet *second)
{
    witan_packet a = *first, b = *second;
    require(a.kind == b.kind);
    if (a.kind == WITAN_PACKET_PLAN) {
        require(strcmp(a.is.plan.experiment, b.is.plan.experiment) == 0);
        a.is.plan.experiment = b.is.plan.experiment = NULL;
    }
    if (a.kind == WITAN_PACKET_CHUNK) {
        require(a.is.chunk.size == b.is.chunk.size);
        require(memcmp(a.is.chunk.data, b.is.chunk.data, a.is.chunk.size) == 0);
        a.is.chunk.data = b.is.chunk.data = NULL;
    }
    require(memcmp(&a, &b, sizeof a) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static witan_packet_arena *arenas[2];
    static uint8_t packed[WITAN_FRAME_MAX];
    for (size_t i = 0; i < 2 && arenas[i] == NULL; i++) {
        require(witan_packet_arena_new(&arenas[i], witan_allocator_default()) ==
                WITAN_OK);
    }
    witan_packet packet, again;
    witan_diag diag = {0};
    witan_status status = witan_packet_unpack(&packet, arenas[0], data, size, &diag);
    require((status == WITAN_OK) == (diag.message[0] == '\0'));
    if (status != WITAN_OK) {
        require(status == WITAN_E_DATA || status == WITAN_E_UNSUPPORTED);
        require((int)packet.kind == 0);
        return 0;
    }
    size_t packed_size = 0;
    require(witan_packet_pack(packed, sizeof packed, &packed_size, &packet) ==
            WITAN_OK);
    require(witan_packet_unpack(&again, arenas[1], packed, packed_size, NULL) ==
            WITAN_OK);
    compare(&packet, &again);
    return 0;
}
