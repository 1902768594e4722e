#include "secure/session.h"

#include <sodium.h>
#include <string.h>

#include "base/limits.h"
#include "secure/session_private.h"

enum {
    VERSION = 1,
    SUITE = 1, /* Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b */
    HEADER = WITAN_ENVELOPE_HEADER,
    NONCE = crypto_aead_chacha20poly1305_ietf_NPUBBYTES
};

/* Offsets in the header. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_SUITE = 5,
    AT_TYPE = 6,
    AT_FLAGS = 7,
    AT_SESSION = 8,
    AT_SEQUENCE = 24,
    AT_ROUND = 32,
    AT_SENDER = 40,
    AT_EPOCH = 48,
    AT_SIZE = 52
};
static const char magic[4] = {'W', 'T', 'N', '1'};
static const uint8_t zeros[HEADER];

_Static_assert(HEADER + WITAN_NOISE_OVERHEAD_1 + WITAN_HANDSHAKE_PAYLOAD_MAX ==
                   WITAN_HANDSHAKE_FRAME_MAX,
               "the longest HELLO fits its limit");

static void
put_number(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t
get_number(const uint8_t *from, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes - 1; i >= 0; i--) {
        value = value << 8 | from[i];
    }
    return value;
}

witan_status
witan_envelope_read(witan_envelope *out, const uint8_t *frame, size_t size)
{
    bool alert;

    memset(out, 0, sizeof *out);
    if (size < WITAN_ALERT_FRAME || size > WITAN_FRAME_MAX ||
        memcmp(frame, magic, sizeof magic) != 0) {
        return WITAN_E_DATA;
    }
    alert = frame[AT_TYPE] == WITAN_ENVELOPE_ALERT;
    out->version = frame[AT_VERSION];
    /* An ALERT has one shape in every version: it may say that ours is not spoken. */
    if (!alert && (frame[AT_VERSION] != VERSION || frame[AT_SUITE] != SUITE)) {
        return WITAN_E_UNSUPPORTED;
    }
    if (frame[AT_TYPE] < WITAN_ENVELOPE_HELLO ||
        frame[AT_TYPE] > WITAN_ENVELOPE_ALERT || frame[AT_FLAGS] != 0) {
        return WITAN_E_DATA;
    }
    out->type = (witan_envelope_type)frame[AT_TYPE];
    memcpy(out->session, frame + AT_SESSION, WITAN_SESSION_ID_SIZE);
    out->sequence = get_number(frame + AT_SEQUENCE, 8);
    out->round = get_number(frame + AT_ROUND, 8);
    memcpy(out->sender, frame + AT_SENDER, WITAN_KEY_ID_SIZE);
    out->epoch = (uint32_t)get_number(frame + AT_EPOCH, 4);
    out->ciphertext_size = (uint32_t)get_number(frame + AT_SIZE, 4);
    if (alert ? out->ciphertext_size != 0 || size != WITAN_ALERT_FRAME
              : size < WITAN_ENVELOPE_OVERHEAD ||
                    out->ciphertext_size != size - WITAN_ENVELOPE_OVERHEAD) {
        return WITAN_E_DATA;
    }
    return WITAN_OK;
}

static void
write_header(uint8_t *frame, witan_envelope_type type, size_t ciphertext_size)
{
    memset(frame, 0, HEADER);
    memcpy(frame + AT_MAGIC, magic, sizeof magic);
    frame[AT_VERSION] = VERSION;
    frame[AT_SUITE] = SUITE;
    frame[AT_TYPE] = (uint8_t)type;
    put_number(frame + AT_SIZE, ciphertext_size, 4);
}

void
witan_alert_write(uint8_t frame[WITAN_ALERT_FRAME], witan_alert alert)
{
    write_header(frame, WITAN_ENVELOPE_ALERT, 0);
    frame[HEADER] = (uint8_t)alert;
}

witan_status
witan_alert_read(witan_alert *out, const uint8_t *frame, size_t size)
{
    witan_envelope envelope;

    WITAN_TRY(witan_envelope_read(&envelope, frame, size));
    if (envelope.type != WITAN_ENVELOPE_ALERT ||
        frame[HEADER] < WITAN_ALERT_NO_SESSION || frame[HEADER] > WITAN_ALERT_BUSY) {
        return WITAN_E_DATA;
    }
    *out = (witan_alert)frame[HEADER];
    return WITAN_OK;
}

void
witan_federation_id(uint8_t out[WITAN_DIGEST_SIZE],
                    const uint8_t coordinator_sign[WITAN_KEY_SIZE])
{
    witan_digest digest;

    witan_digest_init(&digest);
    witan_digest_update(&digest, coordinator_sign, WITAN_KEY_SIZE);
    witan_digest_final(&digest, out);
}

void
witan_session_prologue(uint8_t out[WITAN_PROLOGUE_SIZE],
                       const uint8_t federation[WITAN_DIGEST_SIZE],
                       const uint8_t client_curve_key[WITAN_KEY_SIZE])
{
    static const char name[] = "WITAN-noise-v1";
    const size_t head = sizeof name - 1;

    _Static_assert(sizeof name - 1 == 14, "the size in the header");
    memcpy(out, name, head);
    memcpy(out + head, federation, WITAN_DIGEST_SIZE);
    memcpy(out + head + WITAN_DIGEST_SIZE, client_curve_key, WITAN_KEY_SIZE);
}

static witan_session *
new_session(const witan_identity *identity)
{
    witan_session *self = witan_secret_alloc(sizeof *self);

    if (self != NULL) {
        self->rekey_messages = WITAN_REKEY_MESSAGES;
        self->rekey_bytes = WITAN_REKEY_BYTES;
        self->rekey_age_ms = WITAN_REKEY_AGE_MS;
        witan_key_id(self->own_id, witan_identity_public(identity)->sign);
    }
    return self;
}

void
witan_session_free(witan_session **self)
{
    if (self != NULL) {
        void *secret = *self;
        witan_secret_free(&secret);
        *self = NULL;
    }
}

/* Both ends of a handshake: it has no secrets left. */
static void
end_handshake(witan_session *self, session_state state)
{
    witan_wipe(&self->noise, sizeof self->noise);
    witan_wipe(self->psk, sizeof self->psk);
    self->state = state;
}

static void
open_session(witan_session *self, bool initiator)
{
    uint8_t *to_responder = initiator ? self->send.key : self->receive.key;
    uint8_t *to_initiator = initiator ? self->receive.key : self->send.key;

    witan_noise_split(&self->noise, to_responder, to_initiator);
    memcpy(self->hash, self->noise.hash, sizeof self->hash);
    end_handshake(self, SESSION_OPEN);
}

static void
know_peer(witan_session *self, const uint8_t sign[WITAN_KEY_SIZE])
{
    witan_key_id(self->peer_id, sign);
    self->peer_known = true;
}

witan_status
witan_session_hello(witan_session **out, const witan_identity *identity,
                    const witan_public_identity *coordinator,
                    const uint8_t psk[WITAN_KEY_SIZE], const void *prologue,
                    size_t prologue_size, const void *payload, size_t payload_size,
                    uint8_t *frame, size_t *frame_size)
{
    uint8_t ephemeral[WITAN_KEY_SIZE];
    witan_session *self;
    bool ok;

    *out = NULL;
    *frame_size = 0;
    WITAN_ASSERT(payload_size <= WITAN_HANDSHAKE_PAYLOAD_MAX);
    self = new_session(identity);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    memcpy(self->psk, psk, WITAN_KEY_SIZE);
    know_peer(self, coordinator->sign);
    witan_noise_start(&self->noise, witan_identity_public(identity)->transport,
                      witan_identity_transport_secret(identity), coordinator->transport,
                      prologue, prologue_size);
    *frame_size = HEADER + WITAN_NOISE_OVERHEAD_1 + payload_size;
    write_header(frame, WITAN_ENVELOPE_HELLO, *frame_size - WITAN_ENVELOPE_OVERHEAD);
    witan_noise_mix(&self->noise, frame, HEADER);
    randombytes_buf(ephemeral, sizeof ephemeral);
    ok = witan_noise_write_1(&self->noise, ephemeral, payload, payload_size,
                             frame + HEADER);
    witan_wipe(ephemeral, sizeof ephemeral);
    if (!ok) {
        *frame_size = 0;
        witan_session_free(&self);
        return WITAN_E_FORGED; /* the coordinator's key is none */
    }
    self->state = SESSION_HELLO_WRITTEN;
    *out = self;
    return WITAN_OK;
}

/* Header of a handshake frame: of this type and within its limits. The fields that mean
 * nothing yet are zeros, so that there is one way to say it. */
static bool
handshake_header(witan_envelope *out, witan_envelope_type type, const uint8_t *frame,
                 size_t size)
{
    return size <= WITAN_HANDSHAKE_FRAME_MAX &&
           witan_envelope_read(out, frame, size) == WITAN_OK && out->type == type &&
           out->sequence == 0 && out->round == 0 && out->epoch == 0;
}

witan_status
witan_session_read_hello(witan_session **out, const witan_identity *identity,
                         const void *prologue, size_t prologue_size,
                         const uint8_t *frame, size_t frame_size, void *payload,
                         size_t *payload_size, uint8_t client_transport[WITAN_KEY_SIZE])
{
    const size_t overhead = HEADER + WITAN_NOISE_OVERHEAD_1;
    const witan_public_identity *own = witan_identity_public(identity);
    witan_envelope envelope;
    witan_session *self;

    *out = NULL;
    *payload_size = 0;
    if (!handshake_header(&envelope, WITAN_ENVELOPE_HELLO, frame, frame_size) ||
        frame_size < overhead ||
        memcmp(envelope.session, zeros, WITAN_SESSION_ID_SIZE) != 0 ||
        memcmp(envelope.sender, zeros, WITAN_KEY_ID_SIZE) != 0) {
        return WITAN_E_FORGED;
    }
    self = new_session(identity);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_noise_start(&self->noise, own->transport,
                      witan_identity_transport_secret(identity), own->transport,
                      prologue, prologue_size);
    witan_noise_mix(&self->noise, frame, HEADER);
    if (!witan_noise_read_1(&self->noise, frame + HEADER, frame_size - HEADER,
                            payload)) {
        witan_session_free(&self);
        return WITAN_E_FORGED;
    }
    memcpy(client_transport, self->noise.peer, WITAN_KEY_SIZE);
    *payload_size = frame_size - overhead;
    self->state = SESSION_HELLO_READ;
    *out = self;
    return WITAN_OK;
}

witan_status
witan_session_welcome(witan_session *self, const uint8_t psk[WITAN_KEY_SIZE],
                      const uint8_t client_sign[WITAN_KEY_SIZE], const void *payload,
                      size_t payload_size, uint8_t *frame, size_t *frame_size)
{
    uint8_t ephemeral[WITAN_KEY_SIZE];
    bool ok;

    *frame_size = 0;
    WITAN_ASSERT(payload_size <= WITAN_HANDSHAKE_PAYLOAD_MAX);
    if (self->state != SESSION_HELLO_READ) {
        return WITAN_E_STATE;
    }
    if (memcmp(client_sign, zeros, WITAN_KEY_SIZE) != 0) {
        know_peer(self, client_sign);
    }
    randombytes_buf(self->id, sizeof self->id);
    *frame_size = HEADER + WITAN_NOISE_OVERHEAD_2 + payload_size;
    write_header(frame, WITAN_ENVELOPE_WELCOME, *frame_size - WITAN_ENVELOPE_OVERHEAD);
    memcpy(frame + AT_SESSION, self->id, WITAN_SESSION_ID_SIZE);
    memcpy(frame + AT_SENDER, self->own_id, WITAN_KEY_ID_SIZE);
    witan_noise_mix(&self->noise, frame, HEADER);
    randombytes_buf(ephemeral, sizeof ephemeral);
    ok = witan_noise_write_2(&self->noise, ephemeral, psk, payload, payload_size,
                             frame + HEADER);
    witan_wipe(ephemeral, sizeof ephemeral);
    if (!ok) {
        *frame_size = 0;
        end_handshake(self, SESSION_CLOSED);
        return WITAN_E_FORGED; /* the client's ephemeral key is none */
    }
    open_session(self, false);
    return WITAN_OK;
}

witan_status
witan_session_read_welcome(witan_session *self, const uint8_t *frame, size_t frame_size,
                           void *payload, size_t *payload_size)
{
    const size_t overhead = HEADER + WITAN_NOISE_OVERHEAD_2;
    witan_envelope envelope;

    *payload_size = 0;
    if (self->state != SESSION_HELLO_WRITTEN) {
        return WITAN_E_STATE;
    }
    if (!handshake_header(&envelope, WITAN_ENVELOPE_WELCOME, frame, frame_size) ||
        frame_size < overhead || frame_size > overhead + WITAN_HANDSHAKE_PAYLOAD_MAX ||
        memcmp(envelope.sender, self->peer_id, WITAN_KEY_ID_SIZE) != 0) {
        end_handshake(self, SESSION_CLOSED);
        return WITAN_E_FORGED;
    }
    witan_noise_mix(&self->noise, frame, HEADER);
    if (!witan_noise_read_2(&self->noise, self->psk, frame + HEADER,
                            frame_size - HEADER, payload)) {
        end_handshake(self, SESSION_CLOSED);
        return WITAN_E_FORGED;
    }
    memcpy(self->id, envelope.session, WITAN_SESSION_ID_SIZE);
    *payload_size = frame_size - overhead;
    open_session(self, true);
    return WITAN_OK;
}

const uint8_t *
witan_session_id(const witan_session *self)
{
    return self->id;
}

const uint8_t *
witan_session_hash(const witan_session *self)
{
    return self->hash;
}

/* The key of the next epoch; it does not lead back to the old one. */
static void
next_key(uint8_t out[WITAN_KEY_SIZE], const session_way *way)
{
    WITAN_ASSERT(crypto_kdf_derive_from_key(out, WITAN_KEY_SIZE, way->epoch + 1,
                                            "wtnrekey", way->key) == 0);
}

static void
follow(session_way *way, uint8_t key[WITAN_KEY_SIZE])
{
    memcpy(way->key, key, WITAN_KEY_SIZE);
    witan_wipe(key, WITAN_KEY_SIZE);
    way->epoch++;
}

/* Begins a new epoch when the limits of this one would be passed. */
static void
rekey_if_due(witan_session *self, uint64_t now_ms, size_t size)
{
    uint8_t key[WITAN_KEY_SIZE];
    uint64_t age = now_ms > self->epoch_start_ms ? now_ms - self->epoch_start_ms : 0;

    if (self->epoch_started && self->epoch_messages < self->rekey_messages &&
        self->epoch_bytes + size <= self->rekey_bytes && age < self->rekey_age_ms) {
        return;
    }
    if (self->epoch_started) {
        next_key(key, &self->send);
        follow(&self->send, key);
    }
    self->epoch_started = true;
    self->epoch_start_ms = now_ms;
    self->epoch_messages = self->epoch_bytes = 0;
}

static void
nonce_of(uint8_t nonce[NONCE], uint64_t sequence)
{
    memset(nonce, 0, NONCE);
    put_number(nonce + NONCE - 8, sequence, 8);
}

witan_status
witan_session_seal(witan_session *self, uint64_t now_ms, uint64_t round,
                   const void *plaintext, size_t size, uint8_t *frame)
{
    uint8_t nonce[NONCE];

    WITAN_ASSERT(size <= WITAN_FRAME_MAX - WITAN_ENVELOPE_OVERHEAD);
    if (self->state != SESSION_OPEN || self->send.sequence == UINT64_MAX ||
        self->send.epoch == UINT32_MAX) {
        return WITAN_E_STATE;
    }
    rekey_if_due(self, now_ms, size);
    self->send.sequence++;
    self->epoch_messages++;
    self->epoch_bytes += size;

    write_header(frame, WITAN_ENVELOPE_DATA, size);
    memcpy(frame + AT_SESSION, self->id, WITAN_SESSION_ID_SIZE);
    put_number(frame + AT_SEQUENCE, self->send.sequence, 8);
    put_number(frame + AT_ROUND, round, 8);
    memcpy(frame + AT_SENDER, self->own_id, WITAN_KEY_ID_SIZE);
    put_number(frame + AT_EPOCH, self->send.epoch, 4);
    nonce_of(nonce, self->send.sequence);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(frame + HEADER, NULL, plaintext,
                                                    size, frame, HEADER, NULL, nonce,
                                                    self->send.key);
    return WITAN_OK;
}

witan_status
witan_session_open(witan_session *self, const uint8_t *frame, size_t frame_size,
                   uint8_t *plaintext, size_t *size)
{
    session_way *way = &self->receive;
    witan_envelope envelope;
    uint8_t nonce[NONCE], key[WITAN_KEY_SIZE];
    bool next, authentic;

    *size = 0;
    if (self->state != SESSION_OPEN ||
        witan_envelope_read(&envelope, frame, frame_size) != WITAN_OK ||
        envelope.type != WITAN_ENVELOPE_DATA ||
        memcmp(envelope.session, self->id, WITAN_SESSION_ID_SIZE) != 0 ||
        (self->peer_known &&
         memcmp(envelope.sender, self->peer_id, WITAN_KEY_ID_SIZE) != 0) ||
        envelope.sequence <= way->sequence) {
        return WITAN_E_FORGED;
    }
    next = way->epoch < UINT32_MAX && envelope.epoch == way->epoch + 1;
    if (!next && envelope.epoch != way->epoch) {
        return WITAN_E_FORGED;
    }
    if (next) {
        next_key(key, way);
    }
    nonce_of(nonce, envelope.sequence);
    authentic = crypto_aead_chacha20poly1305_ietf_decrypt(
                    plaintext, NULL, NULL, frame + HEADER, frame_size - HEADER, frame,
                    HEADER, nonce, next ? key : way->key) == 0;
    if (!authentic) {
        witan_wipe(key, sizeof key);
        return WITAN_E_FORGED;
    }
    if (next) {
        follow(way, key);
    }
    way->sequence = envelope.sequence;
    if (!self->peer_known) {
        /* The first authentic sender of an enrolment is its only one. */
        memcpy(self->peer_id, envelope.sender, WITAN_KEY_ID_SIZE);
        self->peer_known = true;
    }
    *size = envelope.ciphertext_size;
    return WITAN_OK;
}
