#include <string.h>

#include "wire/packet_private.h"

/* The storage of a handshake payload's unpacking: small enough for the stack. */
enum {
    HELLO_ROOM = 4 * WITAN_WIRE_HELLO_MAX + WITAN_WIRE_ARENA_MIN
};

/* A message in `arena`, or NULL. */
static ProtobufCMessage *
unpack(witan_packet_arena *arena, const ProtobufCMessageDescriptor *type,
       const uint8_t *bytes, size_t size)
{
    if (size > WITAN_WIRE_HELLO_MAX ||
        witan_wire_scan(type, type->short_name, bytes, size, NULL) != WITAN_OK) {
        return NULL;
    }
    ProtobufCAllocator allocator = witan_wire_arena_begin(arena, size);
    return protobuf_c_message_unpack(type, &allocator, size, bytes);
}

witan_status
witan_hello_pack(uint8_t *out, size_t room, size_t *size, const witan_hello *hello)
{
    *size = 0;
    if (!witan_hello_is_valid(hello)) {
        return WITAN_E_INVALID;
    }
    Witan__V1__Hello message;
    witan__v1__hello__init(&message);
    message.version_min = hello->version_min;
    message.version_max = hello->version_max;
    message.capabilities = hello->capabilities;
    message.program = witan_wire_text(hello->program);
    message.token =
        witan_wire_bytes(hello->token, hello->has_token ? sizeof hello->token : 0);
    return witan_wire_pack(out, room, size, &message.base);
}

witan_status
witan_hello_unpack(witan_hello *out, const uint8_t *bytes, size_t size)
{
    memset(out, 0, sizeof *out);
    _Alignas(16) uint8_t storage[HELLO_ROOM];
    witan_packet_arena arena = {.bytes = storage, .room = sizeof storage};
    const Witan__V1__Hello *message = (const Witan__V1__Hello *)unpack(
        &arena, &witan__v1__hello__descriptor, bytes, size);
    witan_hello hello = {0};
    if (message == NULL ||
        !witan_wire_text_copy(hello.program, sizeof hello.program, message->program) ||
        (message->token.len != 0 && message->token.len != sizeof hello.token)) {
        return WITAN_E_DATA;
    }
    hello.version_min = message->version_min;
    hello.version_max = message->version_max;
    hello.capabilities = message->capabilities;
    hello.has_token = message->token.len != 0;
    if (hello.has_token) {
        memcpy(hello.token, message->token.data, sizeof hello.token);
    }
    if (!witan_hello_is_valid(&hello)) {
        return WITAN_E_DATA;
    }
    *out = hello;
    return WITAN_OK;
}

witan_status
witan_welcome_pack(uint8_t *out, size_t room, size_t *size,
                   const witan_welcome *welcome)
{
    *size = 0;
    if (!witan_welcome_is_valid(welcome)) {
        return WITAN_E_INVALID;
    }
    Witan__V1__Welcome message;
    witan__v1__welcome__init(&message);
    message.version = welcome->version;
    message.capabilities = welcome->capabilities;
    message.program = witan_wire_text(welcome->program);
    message.wall_ms = welcome->wall_ms;
    message.heartbeat_ms = welcome->heartbeat_ms;
    message.window = welcome->window;
    return witan_wire_pack(out, room, size, &message.base);
}

witan_status
witan_welcome_unpack(witan_welcome *out, const uint8_t *bytes, size_t size)
{
    memset(out, 0, sizeof *out);
    _Alignas(16) uint8_t storage[HELLO_ROOM];
    witan_packet_arena arena = {.bytes = storage, .room = sizeof storage};
    const Witan__V1__Welcome *message = (const Witan__V1__Welcome *)unpack(
        &arena, &witan__v1__welcome__descriptor, bytes, size);
    witan_welcome welcome = {0};
    if (message == NULL ||
        !witan_wire_text_copy(welcome.program, sizeof welcome.program,
                              message->program)) {
        return WITAN_E_DATA;
    }
    welcome.version = message->version;
    welcome.capabilities = message->capabilities;
    welcome.wall_ms = message->wall_ms;
    welcome.heartbeat_ms = message->heartbeat_ms;
    welcome.window = message->window;
    if (!witan_welcome_is_valid(&welcome)) {
        return WITAN_E_DATA;
    }
    *out = welcome;
    return WITAN_OK;
}
