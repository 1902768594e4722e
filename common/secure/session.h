/* session.h - a sealed session between coordinator and one client: handshake
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b, then envelopes with counters.
 * Why here: CURVE is the door; this is the message. It stays bound to its sender
 * whatever carries it. docs/decisions/0011-two-layers.md.
 * Source: Perrin, "The Noise Protocol Framework", revision 34; vectors of the cacophony
 * project. Built on libsodium primitives.
 * Envelope (docs/protocol.md), little endian, 56 bytes = associated data, ciphertext,
 * 16-byte tag:
 *    0  4 magic "WTN1"   4 1 version   5 1 suite   6 1 type   7 1 flags
 *    8 16 session id    24 8 sequence (strictly increasing per direction, from 1)
 *   32  8 round (0 = none, else round + 1)       40 8 sender's key id
 *   48  4 epoch (rekeyings so far)               52 4 ciphertext bytes = frame - 72
 * Rekeying: at the limits below by the sender's count and clock, never backwards; a
 * frame of the next epoch makes the receiver follow. Keys of a session are never
 * stored. Threads: a session belongs to one thread. */
#ifndef WITAN_SECURE_SESSION_H
#define WITAN_SECURE_SESSION_H

#include "base/digest.h"
#include "secure/identity.h"

enum {
    WITAN_ENVELOPE_HEADER = 56,
    WITAN_ENVELOPE_TAG = 16,
    WITAN_ENVELOPE_OVERHEAD = WITAN_ENVELOPE_HEADER + WITAN_ENVELOPE_TAG,
    WITAN_SESSION_ID_SIZE = 16,
    WITAN_HANDSHAKE_PAYLOAD_MAX = 2048,
    /* HELLO: e 32, s 32 + 16, payload + 16; WELCOME: e 32, payload + 16 */
    WITAN_HANDSHAKE_FRAME_MAX = WITAN_ENVELOPE_HEADER + 96 + WITAN_HANDSHAKE_PAYLOAD_MAX
};

/* How much one key seals: messages, bytes, or time. */
enum {
    WITAN_REKEY_MESSAGES = 1 << 16,
    WITAN_REKEY_BYTES = 1 << 30,
    WITAN_REKEY_AGE_MS = 3600 * 1000
};

typedef enum witan_envelope_type {
    WITAN_ENVELOPE_HELLO = 1,   /* Noise message 1 */
    WITAN_ENVELOPE_WELCOME = 2, /* Noise message 2 */
    WITAN_ENVELOPE_DATA = 3,    /* sealed */
    WITAN_ENVELOPE_ALERT = 4,   /* plain code, outside any session: see witan_alert */
} witan_envelope_type;

/* All that is ever said outside a session; forgeable by whoever holds the connection,
 * so it may cause a new handshake and nothing else. */
typedef enum witan_alert {
    WITAN_ALERT_NO_SESSION = 1, /* start again with HELLO */
    WITAN_ALERT_HANDSHAKE = 2,  /* your HELLO was not understood or not authentic */
    WITAN_ALERT_VERSION = 3,    /* the envelope's version is not spoken here */
    WITAN_ALERT_BUSY = 4,       /* too many handshakes: come back later */
} witan_alert;

typedef struct witan_envelope {
    witan_envelope_type type;
    uint8_t version;
    uint8_t session[WITAN_SESSION_ID_SIZE];
    uint64_t sequence, round;
    uint8_t sender[WITAN_KEY_ID_SIZE];
    uint32_t epoch, ciphertext_size;
} witan_envelope;

/* The plain header of a frame of at most WITAN_FRAME_MAX bytes; believes nothing.
 * Errors: E_DATA (size, magic, type, flags, length field), E_UNSUPPORTED (version,
 * suite; never for an ALERT, whose shape is the same in all versions). O(1). */
WITAN_NODISCARD witan_status witan_envelope_read(witan_envelope *out,
                                                 const uint8_t *frame, size_t size);

/* An ALERT frame [WITAN_ENVELOPE_HEADER + 1] and its code. */
enum {
    WITAN_ALERT_FRAME = WITAN_ENVELOPE_HEADER + 1
};
void witan_alert_write(uint8_t frame[WITAN_ALERT_FRAME], witan_alert alert);
WITAN_NODISCARD witan_status witan_alert_read(witan_alert *out, const uint8_t *frame,
                                              size_t size);

typedef struct witan_session witan_session;

/* What names a federation: BLAKE2b-256 of the coordinator's signing key. */
void witan_federation_id(uint8_t out[WITAN_DIGEST_SIZE],
                         const uint8_t coordinator_sign[WITAN_KEY_SIZE]);

/* The prologue of a session over a CURVE connection (docs/protocol.md). */
enum {
    WITAN_PROLOGUE_SIZE = 14 + WITAN_DIGEST_SIZE + WITAN_KEY_SIZE
};
void witan_session_prologue(uint8_t out[WITAN_PROLOGUE_SIZE],
                            const uint8_t federation[WITAN_DIGEST_SIZE],
                            const uint8_t client_curve_key[WITAN_KEY_SIZE]);

/* Both sides must give the same prologue: what the connection already is (protocol
 * name, federation, the CURVE key that the client connected with); a difference fails
 * the handshake. `identity` is borrowed until the session is freed. */

/* Client: makes HELLO into `frame` [WITAN_HANDSHAKE_FRAME_MAX]. payload_size at most
 * WITAN_HANDSHAKE_PAYLOAD_MAX; the payload is encrypted to the coordinator's static key
 * but can be replayed by whoever recorded it: nothing may happen because of it alone.
 */
WITAN_NODISCARD witan_status witan_session_hello(
    witan_session **out, const witan_identity *identity,
    const witan_public_identity *coordinator, const uint8_t psk[WITAN_KEY_SIZE],
    const void *prologue, size_t prologue_size, const void *payload,
    size_t payload_size, uint8_t *frame, size_t *frame_size);
/* Client: reads WELCOME; then the session is open. Payload into `payload`
 * [WITAN_HANDSHAKE_PAYLOAD_MAX]. Errors: E_FORGED (one error for all that is wrong; the
 * session is then good for nothing but freeing), E_STATE (no WELCOME is awaited). */
WITAN_NODISCARD witan_status witan_session_read_welcome(witan_session *self,
                                                        const uint8_t *frame,
                                                        size_t frame_size,
                                                        void *payload,
                                                        size_t *payload_size);

/* Coordinator: reads HELLO. *client_transport is the static key that the client proved
 * to know; the caller looks up its pre-shared key and its signing key by it.
 * Errors: E_FORGED, E_MEMORY. */
WITAN_NODISCARD witan_status witan_session_read_hello(
    witan_session **out, const witan_identity *identity, const void *prologue,
    size_t prologue_size, const uint8_t *frame, size_t frame_size, void *payload,
    size_t *payload_size, uint8_t client_transport[WITAN_KEY_SIZE]);
/* Coordinator: makes WELCOME with a fresh session id. The session is open, but the
 * client has proven the pre-shared key only by its first DATA. client_sign: the key
 * that DATA must name as its sender; zeros while it is not known (enrolment): then the
 * first authentic sender is the only one. Errors: E_STATE, E_FORGED (the client's
 * ephemeral key is none). */
WITAN_NODISCARD witan_status
witan_session_welcome(witan_session *self, const uint8_t psk[WITAN_KEY_SIZE],
                      const uint8_t client_sign[WITAN_KEY_SIZE], const void *payload,
                      size_t payload_size, uint8_t *frame, size_t *frame_size);

/* Wipes and frees; NULL-safe. */
void witan_session_free(witan_session **self);

const uint8_t *witan_session_id(const witan_session *self);
/* [32] hash of the handshake, equal on both sides: what an enrolment signs. */
const uint8_t *witan_session_hash(const witan_session *self);

/* Seals plaintext [size] into frame [size + WITAN_ENVELOPE_OVERHEAD], which is at most
 * WITAN_FRAME_MAX. now_ms is monotonic, for rekeying by age. Errors: E_STATE (not open,
 * counters used up). */
WITAN_NODISCARD witan_status witan_session_seal(witan_session *self, uint64_t now_ms,
                                                uint64_t round, const void *plaintext,
                                                size_t size, uint8_t *frame);
/* Opens a DATA frame into plaintext [frame_size - WITAN_ENVELOPE_OVERHEAD]; may be in
 * place of the ciphertext. Everything cheap is checked first; replayed, reordered and
 * foreign frames are refused. Errors: E_FORGED; no counter has moved, and the caller
 * ends the session. */
WITAN_NODISCARD witan_status witan_session_open(witan_session *self,
                                                const uint8_t *frame, size_t frame_size,
                                                uint8_t *plaintext, size_t *size);

#endif
