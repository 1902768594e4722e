/* fuzz_handshake.c - HELLO and WELCOME from any bytes: none is accepted that the other
 * side did not make. The bytes come as they are, and mixed into a true handshake. */
#include <string.h>

#include "secure/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t psk[WITAN_KEY_SIZE] = {1};
static witan_identity *coordinator, *client;
static uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX], transport[WITAN_KEY_SIZE];
static uint8_t hello[WITAN_HANDSHAKE_FRAME_MAX], welcome[WITAN_HANDSHAKE_FRAME_MAX];
static size_t hello_size, welcome_size, payload_size;

static void
make_hello(witan_session **at_client)
{
    WITAN_ASSERT(witan_session_hello(at_client, client,
                                     witan_identity_public(coordinator), psk, "p", 1,
                                     "hello", 5, hello, &hello_size) == WITAN_OK);
}

static witan_status
read_hello(witan_session **out, const uint8_t *frame, size_t size)
{
    return witan_session_read_hello(out, coordinator, "p", 1, frame, size, payload,
                                    &payload_size, transport);
}

/* XOR of the bytes into the frame; true when it changed. */
static bool
mix(uint8_t *frame, size_t frame_size, const uint8_t *data, size_t size)
{
    uint8_t changed = 0;

    for (size_t i = 0; i < size && i < frame_size; i++) {
        frame[i] ^= data[i];
        changed |= data[i];
    }
    return changed != 0;
}

static void
mixed_handshake(const uint8_t *data, size_t size)
{
    size_t half = size / 2;
    witan_session *at_client = NULL, *at_coordinator = NULL;

    make_hello(&at_client);
    bool changed = mix(hello, hello_size, data, half);
    WITAN_ASSERT((read_hello(&at_coordinator, hello, hello_size) == WITAN_OK) ==
                 !changed);
    if (!changed) {
        WITAN_ASSERT(witan_session_welcome(at_coordinator, psk,
                                           witan_identity_public(client)->sign, "w", 1,
                                           welcome, &welcome_size) == WITAN_OK);
        changed = mix(welcome, welcome_size, data + half, size - half);
        WITAN_ASSERT((witan_session_read_welcome(at_client, welcome, welcome_size,
                                                 payload, &payload_size) == WITAN_OK) ==
                     !changed);
    }
    witan_session_free(&at_client);
    witan_session_free(&at_coordinator);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    witan_session *session = NULL;
    witan_envelope envelope;

    if (coordinator == NULL) {
        WITAN_ASSERT(witan_identity_new(&coordinator) == WITAN_OK &&
                     witan_identity_new(&client) == WITAN_OK);
    }
    (void)!witan_envelope_read(&envelope, data, size);
    WITAN_ASSERT(read_hello(&session, data, size) == WITAN_E_FORGED && session == NULL);
    make_hello(&session);
    WITAN_ASSERT(witan_session_read_welcome(session, data, size, payload,
                                            &payload_size) == WITAN_E_FORGED);
    WITAN_ASSERT(payload_size == 0);
    witan_session_free(&session);
    mixed_handshake(data, size);
    return 0;
}
