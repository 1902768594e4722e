/* fuzz_envelope.c - frames from any bytes at an open session: as they are, and mixed
 * into a true frame, so that the checks before the decryption are passed. */
#include <string.h>

#include "base/limits.h"
#include "secure/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t psk[WITAN_KEY_SIZE] = {1};
static witan_session *at_client, *at_coordinator;
static uint8_t frame[WITAN_FRAME_MAX], plain[WITAN_FRAME_MAX];

static void
start(void)
{
    witan_identity *coordinator = NULL, *client = NULL;
    uint8_t answer[WITAN_HANDSHAKE_FRAME_MAX], transport[WITAN_KEY_SIZE];
    size_t frame_size, answer_size, size;

    WITAN_ASSERT(witan_identity_new(&coordinator) == WITAN_OK &&
                 witan_identity_new(&client) == WITAN_OK);
    WITAN_ASSERT(witan_session_hello(&at_client, client,
                                     witan_identity_public(coordinator), psk, "p", 1,
                                     "", 0, frame, &frame_size) == WITAN_OK);
    WITAN_ASSERT(witan_session_read_hello(&at_coordinator, coordinator, "p", 1, frame,
                                          frame_size, plain, &size,
                                          transport) == WITAN_OK);
    WITAN_ASSERT(witan_session_welcome(at_coordinator, psk,
                                       witan_identity_public(client)->sign, "", 0,
                                       answer, &answer_size) == WITAN_OK);
    WITAN_ASSERT(witan_session_read_welcome(at_client, answer, answer_size, plain,
                                            &size) == WITAN_OK);
    witan_identity_free(&coordinator);
    witan_identity_free(&client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    witan_envelope envelope;
    witan_alert alert;
    size_t opened = 0, frame_size;
    uint8_t changed = 0;

    if (at_client == NULL) {
        start();
    }
    if (size > WITAN_FRAME_MAX - WITAN_ENVELOPE_OVERHEAD) {
        return 0;
    }
    if (witan_envelope_read(&envelope, data, size) == WITAN_OK) {
        WITAN_ASSERT(envelope.ciphertext_size <= size);
    }
    if (witan_alert_read(&alert, data, size) == WITAN_OK) {
        WITAN_ASSERT(alert >= WITAN_ALERT_NO_SESSION && alert <= WITAN_ALERT_BUSY);
    }
    WITAN_ASSERT(witan_session_open(at_coordinator, data, size, plain, &opened) ==
                     WITAN_E_FORGED &&
                 opened == 0);

    WITAN_ASSERT(witan_session_seal(at_client, 0, 0, data, size, frame) == WITAN_OK);
    frame_size = size + WITAN_ENVELOPE_OVERHEAD;
    for (size_t i = 0; i < size; i++) {
        frame[i] ^= data[i];
        changed |= data[i];
    }
    WITAN_ASSERT((witan_session_open(at_coordinator, frame, frame_size, plain,
                                     &opened) == WITAN_OK) == (changed == 0));
    WITAN_ASSERT(opened == (changed == 0 ? size : 0));
    return 0;
}
