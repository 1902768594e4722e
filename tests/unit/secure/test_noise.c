/* test_noise.c - the handshake against the published vector, and its refusals. */
#include "secure/noise.h"

#include "vectors.h"

#define NOISE "noise_ikpsk2.txt"

typedef struct pair {
    vector init_static, resp_static, init_e, resp_e, psk, prologue;
    uint8_t init_public[WITAN_KEY_SIZE], resp_public[WITAN_KEY_SIZE];
    witan_noise initiator, responder;
} pair;

static void
start(pair *self)
{
    self->init_static = vector_get(NOISE, "init_static");
    self->resp_static = vector_get(NOISE, "resp_static");
    self->init_e = vector_get(NOISE, "init_ephemeral");
    self->resp_e = vector_get(NOISE, "resp_ephemeral");
    self->psk = vector_get(NOISE, "psk");
    self->prologue = vector_get(NOISE, "prologue");
    CHECK(crypto_scalarmult_base(self->init_public, self->init_static.bytes) == 0);
    CHECK(crypto_scalarmult_base(self->resp_public, self->resp_static.bytes) == 0);
    CHECK(vector_equals(NOISE, "init_remote_static", self->resp_public, 32));
    witan_noise_start(&self->initiator, self->init_public, self->init_static.bytes,
                      self->resp_public, self->prologue.bytes, self->prologue.size);
    witan_noise_start(&self->responder, self->resp_public, self->resp_static.bytes,
                      self->resp_public, self->prologue.bytes, self->prologue.size);
}

/* Transport messages of the vector: empty associated data, nonces from 0. */
static void
check_transport(const uint8_t *key, int index, uint64_t n)
{
    vector plain = vector_at(NOISE, "payload", index);
    uint8_t nonce[12] = {0}, sealed[VECTOR_MAX + 16];
    char name[32];

    nonce[4] = (uint8_t)n;
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, plain.bytes, plain.size,
                                              NULL, 0, NULL, nonce, key);
    (void)snprintf(name, sizeof name, "ciphertext_%d", index);
    CHECK(vector_equals(NOISE, name, sealed, plain.size + 16));
}

static void
published_vector(void)
{
    vector payload_0 = vector_get(NOISE, "payload_0");
    vector payload_1 = vector_get(NOISE, "payload_1");
    uint8_t message[VECTOR_MAX], payload[VECTOR_MAX];
    uint8_t up[2][WITAN_KEY_SIZE], down[2][WITAN_KEY_SIZE];
    pair self;

    start(&self);
    CHECK(witan_noise_write_1(&self.initiator, self.init_e.bytes, payload_0.bytes,
                              payload_0.size, message));
    size_t size = payload_0.size + WITAN_NOISE_OVERHEAD_1;
    CHECK(vector_equals(NOISE, "ciphertext_0", message, size));
    CHECK(witan_noise_read_1(&self.responder, message, size, payload));
    CHECK(vector_equals(NOISE, "payload_0", payload, payload_0.size));
    CHECK(memcmp(self.responder.peer, self.init_public, WITAN_KEY_SIZE) == 0);

    CHECK(witan_noise_write_2(&self.responder, self.resp_e.bytes, self.psk.bytes,
                              payload_1.bytes, payload_1.size, message));
    size = payload_1.size + WITAN_NOISE_OVERHEAD_2;
    CHECK(vector_equals(NOISE, "ciphertext_1", message, size));
    CHECK(witan_noise_read_2(&self.initiator, self.psk.bytes, message, size, payload));
    CHECK(vector_equals(NOISE, "payload_1", payload, payload_1.size));
    CHECK(vector_equals(NOISE, "handshake_hash", self.initiator.hash, 64));
    CHECK(vector_equals(NOISE, "handshake_hash", self.responder.hash, 64));

    witan_noise_split(&self.initiator, up[0], down[0]);
    witan_noise_split(&self.responder, up[1], down[1]);
    CHECK(memcmp(up[0], up[1], 32) == 0 && memcmp(down[0], down[1], 32) == 0);
    for (int i = 2; i < 6; i++) {
        check_transport(i % 2 == 0 ? up[0] : down[0], i, (uint64_t)(i - 2) / 2);
    }
}

/* Every bit of both messages, and every cut. */
static void
changed_messages(void)
{
    vector hello = vector_get(NOISE, "ciphertext_0");
    vector welcome = vector_get(NOISE, "ciphertext_1");
    uint8_t payload[VECTOR_MAX], message[VECTOR_MAX];
    pair fresh, self;

    start(&fresh);
    for (size_t bit = 0; bit < 8 * hello.size; bit++) {
        vector bad = hello;
        bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        self = fresh;
        CHECK(!witan_noise_read_1(&self.responder, bad.bytes, bad.size, payload));
    }
    for (size_t size = 0; size < hello.size; size++) {
        self = fresh;
        CHECK(!witan_noise_read_1(&self.responder, hello.bytes, size, payload));
    }
    vector first = vector_get(NOISE, "payload_0");
    CHECK(witan_noise_write_1(&fresh.initiator, fresh.init_e.bytes, first.bytes,
                              first.size, message));
    for (size_t bit = 0; bit < 8 * welcome.size; bit++) {
        vector bad = welcome;
        bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        self = fresh;
        CHECK(!witan_noise_read_2(&self.initiator, self.psk.bytes, bad.bytes, bad.size,
                                  payload));
    }
    for (size_t size = 0; size < welcome.size; size++) {
        self = fresh;
        CHECK(!witan_noise_read_2(&self.initiator, self.psk.bytes, welcome.bytes, size,
                                  payload));
    }
    self = fresh;
    self.psk.bytes[0] ^= 1;
    CHECK(!witan_noise_read_2(&self.initiator, self.psk.bytes, welcome.bytes,
                              welcome.size, payload));
    self = fresh;
    witan_noise_mix(&self.initiator, "", 0); /* one more MixHash than the other side */
    CHECK(!witan_noise_read_2(&self.initiator, self.psk.bytes, welcome.bytes,
                              welcome.size, payload));
    self = fresh;
    CHECK(witan_noise_read_2(&self.initiator, self.psk.bytes, welcome.bytes,
                             welcome.size, payload));
}

/* Points of small order make every exchange zero: RFC 7748, section 7. */
static void
zero_exchanges(void)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t message[VECTOR_MAX] = {0}, point[WITAN_KEY_SIZE];
    pair self;

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        size_t size = 0;
        CHECK(sodium_hex2bin(point, sizeof point, points[i], 64, NULL, &size, NULL) ==
              0);
        start(&self);
        memcpy(self.initiator.peer, point, sizeof point);
        CHECK(!witan_noise_write_1(&self.initiator, self.init_e.bytes, "", 0, message));
        start(&self);
        memcpy(self.responder.peer_ephemeral, point, sizeof point);
        CHECK(!witan_noise_write_2(&self.responder, self.resp_e.bytes, self.psk.bytes,
                                   "", 0, message));
        start(&self);
        memcpy(message, point, sizeof point);
        CHECK(!witan_noise_read_1(&self.responder, message, 200, message + 300));
        CHECK(!witan_noise_read_2(&self.initiator, self.psk.bytes, message, 200,
                                  message + 300));
    }
}

int
main(void)
{
    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    RUN(published_vector);
    RUN(changed_messages);
    RUN(zero_exchanges);
    return witan_test_finish();
}
