/* pair.h - two identities and the two ends of a session between them. */
#ifndef WITAN_TEST_SECURE_PAIR_H
#define WITAN_TEST_SECURE_PAIR_H

#include "base/limits.h"
#include "secure/session_private.h"
#include "vectors.h"

typedef struct pair {
    witan_identity *coordinator, *client; /* of the golden files */
    uint8_t psk[WITAN_KEY_SIZE];
    const char *prologue;
    bool enrolment; /* the client's signing key is not known */
    witan_session *at_client, *at_coordinator;
    uint8_t hello[WITAN_HANDSHAKE_FRAME_MAX], welcome[WITAN_HANDSHAKE_FRAME_MAX];
    size_t hello_size, welcome_size;
} pair;

static inline void
pair_init(pair *self)
{
    vector coordinator = vector_get("keys.txt", "coordinator_file");
    vector client = vector_get("keys.txt", "client_file");
    vector psk = vector_get("keys.txt", "peer_psk");

    memset(self, 0, sizeof *self);
    CHECK_STATUS(witan_identity_parse(&self->coordinator,
                                      (const char *)coordinator.bytes, coordinator.size,
                                      NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_identity_parse(&self->client, (const char *)client.bytes,
                                      client.size, NULL),
                 WITAN_OK);
    memcpy(self->psk, psk.bytes, sizeof self->psk);
    self->prologue = "prologue";
}

static inline void
pair_fini(pair *self)
{
    witan_session_free(&self->at_client);
    witan_session_free(&self->at_coordinator);
    witan_identity_free(&self->coordinator);
    witan_identity_free(&self->client);
}

static inline void
pair_hello(pair *self)
{
    witan_session_free(&self->at_client);
    witan_session_free(&self->at_coordinator);
    CHECK_STATUS(witan_session_hello(&self->at_client, self->client,
                                     witan_identity_public(self->coordinator),
                                     self->psk, self->prologue, strlen(self->prologue),
                                     "hi", 2, self->hello, &self->hello_size),
                 WITAN_OK);
}

static inline witan_status
pair_read_hello(pair *self)
{
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX], transport[WITAN_KEY_SIZE];
    size_t size = 99;
    witan_status status =
        witan_session_read_hello(&self->at_coordinator, self->coordinator,
                                 self->prologue, strlen(self->prologue), self->hello,
                                 self->hello_size, payload, &size, transport);

    if (status == WITAN_OK) {
        CHECK(size == 2 && memcmp(payload, "hi", 2) == 0);
        CHECK(memcmp(transport, witan_identity_public(self->client)->transport,
                     WITAN_KEY_SIZE) == 0);
    } else {
        CHECK(size == 0 && self->at_coordinator == NULL);
    }
    return status;
}

static inline void
pair_welcome(pair *self)
{
    static const uint8_t unknown[WITAN_KEY_SIZE];
    const uint8_t *sign =
        self->enrolment ? unknown : witan_identity_public(self->client)->sign;

    CHECK_STATUS(witan_session_welcome(self->at_coordinator, self->psk, sign, "yes", 3,
                                       self->welcome, &self->welcome_size),
                 WITAN_OK);
}

static inline witan_status
pair_read_welcome(pair *self)
{
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    size_t size = 99;
    witan_status status = witan_session_read_welcome(
        self->at_client, self->welcome, self->welcome_size, payload, &size);

    CHECK(status == WITAN_OK ? size == 3 && memcmp(payload, "yes", 3) == 0 : size == 0);
    return status;
}

static inline void
pair_open(pair *self)
{
    pair_hello(self);
    CHECK_STATUS(pair_read_hello(self), WITAN_OK);
    pair_welcome(self);
    CHECK_STATUS(pair_read_welcome(self), WITAN_OK);
}

/* One short message of the client into frame [WITAN_ENVELOPE_OVERHEAD + 4]. */
enum {
    PAIR_FRAME = WITAN_ENVELOPE_OVERHEAD + 4
};
static inline void
pair_seal(witan_session *from, uint8_t frame[PAIR_FRAME])
{
    CHECK_STATUS(witan_session_seal(from, 0, 1, "data", 4, frame), WITAN_OK);
}

static inline witan_status
pair_take(witan_session *to, const uint8_t *frame)
{
    uint8_t plain[8];
    size_t size = 99;
    witan_status status = witan_session_open(to, frame, PAIR_FRAME, plain, &size);

    CHECK(status == WITAN_OK ? size == 4 && memcmp(plain, "data", 4) == 0 : size == 0);
    return status;
}

#endif
