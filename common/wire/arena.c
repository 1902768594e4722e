#include "wire/packet_private.h"

_Static_assert(sizeof(witan_packet_arena) <= WITAN_ALIGNMENT, "the block follows it");

witan_status
witan_packet_arena_new(witan_packet_arena **out, const witan_allocator *allocator)
{
    *out = NULL;
    uint8_t *block = witan_alloc(allocator, 1, WITAN_ALIGNMENT + WITAN_WIRE_ARENA_MAX);
    if (block == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_packet_arena *self = (witan_packet_arena *)(void *)block;
    *self = (witan_packet_arena){
        .allocator = allocator,
        .bytes = block + WITAN_ALIGNMENT,
        .room = WITAN_WIRE_ARENA_MAX,
    };
    *out = self;
    return WITAN_OK;
}

void
witan_packet_arena_free(witan_packet_arena **self)
{
    if (*self != NULL) {
        witan_free((*self)->allocator, *self);
        *self = NULL;
    }
}

static void *
take(void *context, size_t size)
{
    witan_packet_arena *self = context;
    size_t left = self->budget - self->used;
    if (size > left) {
        return NULL;
    }
    void *block = self->bytes + self->used;
    size_t padded = (size + 15) & ~(size_t)15;
    self->used += padded < left ? padded : left;
    return block;
}

static void
keep(void *context, void *block)
{
    (void)context;
    (void)block;
}

ProtobufCAllocator
witan_wire_arena_begin(witan_packet_arena *self, size_t size)
{
    size_t limit =
        self->room > WITAN_WIRE_ARENA_MIN ? self->room - WITAN_WIRE_ARENA_MIN : 0;
    self->budget = size < limit / 4 ? 4 * size + WITAN_WIRE_ARENA_MIN : self->room;
    self->used = 0;
    return (ProtobufCAllocator){.alloc = take, .free = keep, .allocator_data = self};
}
