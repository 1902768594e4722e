#include "secure/noise.h"

#include <sodium.h>
#include <string.h>

enum {
    HASH = WITAN_NOISE_HASH_SIZE,
    BLOCK = 128, /* of BLAKE2b, for HMAC */
    KEY = WITAN_KEY_SIZE,
    TAG = crypto_aead_chacha20poly1305_ietf_ABYTES,
    NONCE = crypto_aead_chacha20poly1305_ietf_NPUBBYTES
};

/* n: in this pattern an exchange of keys precedes every encryption, so that each key
 * seals one thing. */
static const uint8_t first_nonce[NONCE];

/* BLAKE2b-512 of two parts. */
static void
hash_two(uint8_t out[HASH], const void *a, size_t a_size, const void *b, size_t b_size)
{
    crypto_generichash_state state;

    WITAN_ASSERT(crypto_generichash_init(&state, NULL, 0, HASH) == 0 &&
                 crypto_generichash_update(&state, a, a_size) == 0 &&
                 crypto_generichash_update(&state, b, b_size) == 0 &&
                 crypto_generichash_final(&state, out, HASH) == 0);
    witan_wipe(&state, sizeof state);
}

/* HMAC (RFC 2104) with BLAKE2b-512 and a key of HASH bytes. */
static void
hmac(uint8_t out[HASH], const uint8_t key[HASH], const void *data, size_t size)
{
    uint8_t pad[BLOCK], inner[HASH];

    memset(pad, 0x36, sizeof pad);
    for (int i = 0; i < HASH; i++) {
        pad[i] ^= key[i];
    }
    hash_two(inner, pad, sizeof pad, data, size);
    for (int i = 0; i < BLOCK; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    hash_two(out, pad, sizeof pad, inner, sizeof inner);
    witan_wipe(pad, sizeof pad);
    witan_wipe(inner, sizeof inner);
}

/* HKDF (section 4.3): `outputs` 2 or 3 blocks of HASH bytes. */
static void
hkdf(uint8_t (*out)[HASH], int outputs, const uint8_t chaining_key[HASH],
     const uint8_t *input, size_t size)
{
    uint8_t temporary[HASH], block[HASH + 1];
    size_t block_size = 0;

    hmac(temporary, chaining_key, input, size);
    for (int i = 0; i < outputs; i++) {
        block[block_size] = (uint8_t)(i + 1);
        hmac(out[i], temporary, block, block_size + 1);
        memcpy(block, out[i], HASH);
        block_size = HASH;
    }
    witan_wipe(temporary, sizeof temporary);
    witan_wipe(block, sizeof block);
}

void
witan_noise_mix(witan_noise *self, const void *bytes, size_t size)
{
    hash_two(self->hash, self->hash, HASH, bytes, size);
}

static void
mix_key(witan_noise *self, const uint8_t input[KEY])
{
    uint8_t out[2][HASH];

    hkdf(out, 2, self->chaining_key, input, KEY);
    memcpy(self->chaining_key, out[0], HASH);
    memcpy(self->key, out[1], KEY);
    witan_wipe(out, sizeof out);
}

static void
mix_key_and_hash(witan_noise *self, const uint8_t psk[KEY])
{
    uint8_t out[3][HASH];

    hkdf(out, 3, self->chaining_key, psk, KEY);
    memcpy(self->chaining_key, out[0], HASH);
    witan_noise_mix(self, out[1], HASH);
    memcpy(self->key, out[2], KEY);
    witan_wipe(out, sizeof out);
}

static bool
mix_exchange(witan_noise *self, const uint8_t secret[KEY], const uint8_t public[KEY])
{
    uint8_t shared[KEY];
    /* libsodium refuses an all-zero result. */
    bool ok = crypto_scalarmult(shared, secret, public) == 0;

    if (ok) {
        mix_key(self, shared);
    }
    witan_wipe(shared, sizeof shared);
    return ok;
}

static void
encrypt_and_hash(witan_noise *self, uint8_t *out, const void *plain, size_t size)
{
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, size, self->hash,
                                                    HASH, NULL, first_nonce, self->key);
    witan_noise_mix(self, out, size + TAG);
}

/* `size` counts the tag. */
static bool
decrypt_and_hash(witan_noise *self, uint8_t *out, const uint8_t *sealed, size_t size)
{
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, size,
                                                  self->hash, HASH, first_nonce,
                                                  self->key) != 0) {
        return false;
    }
    witan_noise_mix(self, sealed, size);
    return true;
}

void
witan_noise_start(witan_noise *self, const uint8_t own[KEY],
                  const uint8_t own_secret[KEY], const uint8_t responder[KEY],
                  const void *prologue, size_t prologue_size)
{
    static const char name[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b";

    _Static_assert(sizeof name - 1 <= HASH, "a short name is padded, not hashed");
    memset(self, 0, sizeof *self);
    memcpy(self->hash, name, sizeof name - 1);
    memcpy(self->chaining_key, self->hash, HASH);
    self->own_secret = own_secret;
    memcpy(self->own, own, KEY);
    memcpy(self->peer, responder, KEY);
    witan_noise_mix(self, prologue, prologue_size);
    witan_noise_mix(self, responder, KEY);
}

/* Token e. With a pre-shared key in the pattern it is mixed into the key as well
 * (section 9.2). */
static void
mix_ephemeral(witan_noise *self, const uint8_t public[KEY])
{
    witan_noise_mix(self, public, KEY);
    mix_key(self, public);
}

static bool
write_ephemeral(witan_noise *self, const uint8_t secret[KEY], uint8_t public[KEY])
{
    memcpy(self->ephemeral_secret, secret, KEY);
    if (crypto_scalarmult_base(public, secret) != 0) {
        return false;
    }
    mix_ephemeral(self, public);
    return true;
}

bool
witan_noise_write_1(witan_noise *self, const uint8_t ephemeral_secret[KEY],
                    const void *payload, size_t size, uint8_t *message)
{
    if (!write_ephemeral(self, ephemeral_secret, message) ||
        !mix_exchange(self, self->ephemeral_secret, self->peer)) { /* es */
        return false;
    }
    encrypt_and_hash(self, message + KEY, self->own, KEY);   /* s */
    if (!mix_exchange(self, self->own_secret, self->peer)) { /* ss */
        return false;
    }
    encrypt_and_hash(self, message + KEY + KEY + TAG, payload, size);
    return true;
}

bool
witan_noise_read_1(witan_noise *self, const uint8_t *message, size_t size,
                   uint8_t *payload)
{
    const size_t head = KEY + KEY + TAG;

    if (size < WITAN_NOISE_OVERHEAD_1) {
        return false;
    }
    memcpy(self->peer_ephemeral, message, KEY);
    mix_ephemeral(self, message);
    return mix_exchange(self, self->own_secret, self->peer_ephemeral) &&   /* es */
           decrypt_and_hash(self, self->peer, message + KEY, KEY + TAG) && /* s */
           mix_exchange(self, self->own_secret, self->peer) &&             /* ss */
           decrypt_and_hash(self, payload, message + head, size - head);
}

bool
witan_noise_write_2(witan_noise *self, const uint8_t ephemeral_secret[KEY],
                    const uint8_t psk[KEY], const void *payload, size_t size,
                    uint8_t *message)
{
    if (!write_ephemeral(self, ephemeral_secret, message) ||
        !mix_exchange(self, self->ephemeral_secret, self->peer_ephemeral) || /* ee */
        !mix_exchange(self, self->ephemeral_secret, self->peer)) {           /* se */
        return false;
    }
    mix_key_and_hash(self, psk);
    encrypt_and_hash(self, message + KEY, payload, size);
    return true;
}

bool
witan_noise_read_2(witan_noise *self, const uint8_t psk[KEY], const uint8_t *message,
                   size_t size, uint8_t *payload)
{
    if (size < WITAN_NOISE_OVERHEAD_2) {
        return false;
    }
    mix_ephemeral(self, message);
    if (!mix_exchange(self, self->ephemeral_secret, message) || /* ee */
        !mix_exchange(self, self->own_secret, message)) {       /* se */
        return false;
    }
    mix_key_and_hash(self, psk);
    return decrypt_and_hash(self, payload, message + KEY, size - KEY);
}

void
witan_noise_split(const witan_noise *self, uint8_t to_responder[KEY],
                  uint8_t to_initiator[KEY])
{
    uint8_t out[2][HASH];

    hkdf(out, 2, self->chaining_key, NULL, 0);
    memcpy(to_responder, out[0], KEY);
    memcpy(to_initiator, out[1], KEY);
    witan_wipe(out, sizeof out);
}
