/* packet_private.h - what the files behind packet.h share: the arena of an unpacking,
 * the scan before it, the checks after it. */
#ifndef WITAN_WIRE_PACKET_PRIVATE_H
#define WITAN_WIRE_PACKET_PRIVATE_H

#include <math.h>

#include <protobuf-c/protobuf-c.h>
#include <witan/v1/witan.pb-c.h>

#include "wire/packet.h"

enum {
    WITAN_WIRE_UNKNOWN_MAX = 16, /* fields of a newer version, in each message */
    WITAN_WIRE_HELLO_MAX = 1024, /* bytes of a handshake payload */
    WITAN_WIRE_ARENA_MIN = 16384,
    WITAN_WIRE_ARENA_MAX = 2 * (int)WITAN_FRAME_MAX,
};

/* Memory that protobuf-c asks for while it unpacks, handed out upwards and taken back
 * at once by the next witan_wire_arena_begin. `used` is also the peak. */
struct witan_packet_arena {
    const witan_allocator *allocator; /* of this struct; NULL on the stack */
    uint8_t *bytes;                   /* [room], aligned to 16 */
    size_t room, budget, used;
};

/* Forgets what was handed out. Until the next call the allocator hands out
 * min(4 * size + WITAN_WIRE_ARENA_MIN, room) bytes, then NULL. */
ProtobufCAllocator witan_wire_arena_begin(witan_packet_arena *self, size_t size);

/* Reads the bytes of a message and of the messages in it without allocating, and
 * refuses what protobuf-c would take or be made big by: a field or a oneof that is
 * there twice, NUL in a text, more than WITAN_WIRE_UNKNOWN_MAX unknown fields.
 * Depth is the schema's, which is not recursive. `name` is what messages call it.
 * Errors: E_DATA. */
WITAN_NODISCARD witan_status witan_wire_scan(const ProtobufCMessageDescriptor *type,
                                             const char *name, const uint8_t *bytes,
                                             size_t size, witan_diag *diag);

/* Well-formed UTF-8 that ends within `room` bytes, its NUL counted, without control
 * characters (line feeds and tabs pass when `lines`). */
bool witan_wire_text_is_plain(const char *text, size_t room, bool lines);

/* Copies a text and its NUL; false, and nothing copied, when it does not fit. */
bool witan_wire_text_copy(char *out, size_t room, const char *text);

/* "ready"; "packet" for a number that is no kind. Static text. */
const char *witan_packet_kind_name(witan_packet_kind kind);

/* Every rule that packet.h states for a field; both directions. `failure` is returned
 * when one is broken: E_INVALID for our own packet, E_DATA for a peer's. */
WITAN_NODISCARD witan_status witan_packet_check(const witan_packet *packet,
                                                witan_status failure, witan_diag *diag);
/* The same of a handshake payload. */
bool witan_hello_is_valid(const witan_hello *hello);
bool witan_welcome_is_valid(const witan_welcome *welcome);

/* NaNs carry 51 bits that nobody asked for: they travel as one of them. */
static inline double
witan_wire_canonical(double value)
{
    return isnan(value) ? (double)NAN : value;
}

/* protobuf-c's structs have no const; packing only reads. */
static inline char *
witan_wire_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

static inline ProtobufCBinaryData
witan_wire_bytes(const uint8_t *bytes, size_t size)
{
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)bytes};
}

/* Packs any message into out [room]. Errors: E_LIMIT (room; *size is 0). */
WITAN_NODISCARD witan_status witan_wire_pack(uint8_t *out, size_t room, size_t *size,
                                             const ProtobufCMessage *message);

#endif
