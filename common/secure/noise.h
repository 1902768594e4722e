/* noise.h - the handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b over buffers, and
 * nothing else: no frames, no state beyond the two messages.
 *   <- s
 *   -> e, es, s, ss          (message 1: 96 bytes and the payload)
 *   <- e, ee, se, psk        (message 2: 48 bytes and the payload)
 * Why here: kept pure, so that published vectors test it; session.c adds the headers.
 * The caller draws the ephemeral secrets, for the same reason.
 * Source: Perrin, "The Noise Protocol Framework", revision 34, sections 5, 9 and 12.
 * Private to the room. Threads: a handshake belongs to one thread.
 * Memory: caller storage, which must be secret memory; after a failure or the split the
 * caller wipes it. */
#ifndef WITAN_SECURE_NOISE_H
#define WITAN_SECURE_NOISE_H

#include "secure/identity.h"

enum {
    WITAN_NOISE_HASH_SIZE = 64,
    WITAN_NOISE_OVERHEAD_1 = 32 + 32 + 16 + 16, /* e, s, its tag, tag of the payload */
    WITAN_NOISE_OVERHEAD_2 = 32 + 16            /* e, tag of the payload */
};

typedef struct witan_noise {
    uint8_t hash[WITAN_NOISE_HASH_SIZE]; /* h: of all that was said */
    uint8_t chaining_key[WITAN_NOISE_HASH_SIZE];
    uint8_t key[WITAN_KEY_SIZE]; /* k; n is always 0 */
    const uint8_t *own_secret;   /* s: borrowed until the end of the handshake */
    uint8_t own[WITAN_KEY_SIZE];
    uint8_t peer[WITAN_KEY_SIZE];             /* rs: the responder's by message 1 */
    uint8_t ephemeral_secret[WITAN_KEY_SIZE]; /* e */
    uint8_t peer_ephemeral[WITAN_KEY_SIZE];   /* re */
} witan_noise;

/* Before message 1. `own` is the static key pair; `responder` the responder's static
 * public key, which is `own` at the responder. */
void witan_noise_start(witan_noise *self, const uint8_t own[WITAN_KEY_SIZE],
                       const uint8_t own_secret[WITAN_KEY_SIZE],
                       const uint8_t responder[WITAN_KEY_SIZE], const void *prologue,
                       size_t prologue_size);
/* MixHash: binds bytes that both sides have seen to everything that follows. */
void witan_noise_mix(witan_noise *self, const void *bytes, size_t size);

/* Each false: a key exchange gave zeros, or the message is not authentic. */

/* Initiator: message [size + WITAN_NOISE_OVERHEAD_1]. */
WITAN_NODISCARD bool witan_noise_write_1(witan_noise *self,
                                         const uint8_t ephemeral_secret[WITAN_KEY_SIZE],
                                         const void *payload, size_t size,
                                         uint8_t *message);
/* Responder: payload [size - WITAN_NOISE_OVERHEAD_1]; self->peer is then proven. */
WITAN_NODISCARD bool witan_noise_read_1(witan_noise *self, const uint8_t *message,
                                        size_t size, uint8_t *payload);
/* Responder: message [size + WITAN_NOISE_OVERHEAD_2]. */
WITAN_NODISCARD bool witan_noise_write_2(witan_noise *self,
                                         const uint8_t ephemeral_secret[WITAN_KEY_SIZE],
                                         const uint8_t psk[WITAN_KEY_SIZE],
                                         const void *payload, size_t size,
                                         uint8_t *message);
/* Initiator: payload [size - WITAN_NOISE_OVERHEAD_2]. */
WITAN_NODISCARD bool witan_noise_read_2(witan_noise *self,
                                        const uint8_t psk[WITAN_KEY_SIZE],
                                        const uint8_t *message, size_t size,
                                        uint8_t *payload);

/* After message 2: the keys of the two directions. self->hash is then the hash of the
 * handshake. */
void witan_noise_split(const witan_noise *self, uint8_t to_responder[WITAN_KEY_SIZE],
                       uint8_t to_initiator[WITAN_KEY_SIZE]);

#endif
