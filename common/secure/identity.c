#include "secure/identity.h"

#include <sodium.h>
#include <string.h>

#include "base/digest.h"

#define KEY_FILE_LINE "WITAN-SECRET-KEY-"
#define KEY_FILE_VERSION "1\n"

enum {
    FIRST_LINE = sizeof KEY_FILE_LINE KEY_FILE_VERSION - 1,
    KEYS_SIZE = 2 * WITAN_KEY_SIZE,
    KEYS_TEXT = 88, /* base64 of the keys */
    CHECK_SIZE = 24,
    CHECK_TEXT = 32,
    KEY_FILE_SIZE = FIRST_LINE + KEYS_TEXT + 1 + CHECK_TEXT + 1
};
_Static_assert(KEY_FILE_SIZE + 1 <= WITAN_KEY_FILE_MAX, "a key file fits its limit");

/* In secret memory as a whole. */
struct witan_identity {
    witan_public_identity public;
    uint8_t keys[KEYS_SIZE]; /* Ed25519 seed, X25519 secret: what the key file holds */
    uint8_t sign_secret[crypto_sign_SECRETKEYBYTES];
};

/* The rest follows from the keys. False: no valid keys. */
static bool
derive(witan_identity *self)
{
    uint8_t *transport = self->keys + WITAN_KEY_SIZE;

    transport[0] &= 248;
    transport[31] = (uint8_t)((transport[31] & 127) | 64);
    return crypto_sign_seed_keypair(self->public.sign, self->sign_secret, self->keys) ==
               0 &&
           crypto_scalarmult_base(self->public.transport, transport) == 0;
}

witan_status
witan_identity_new(witan_identity **out)
{
    witan_identity *self = witan_secret_alloc(sizeof *self);

    *out = NULL;
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    randombytes_buf(self->keys, sizeof self->keys);
    WITAN_ASSERT(derive(self));
    *out = self;
    return WITAN_OK;
}

void
witan_identity_free(witan_identity **self)
{
    if (self != NULL) {
        void *secret = *self;
        witan_secret_free(&secret);
        *self = NULL;
    }
}

const witan_public_identity *
witan_identity_public(const witan_identity *self)
{
    return &self->public;
}

const uint8_t *
witan_identity_transport_secret(const witan_identity *self)
{
    return self->keys + WITAN_KEY_SIZE;
}

witan_status
witan_identity_rotate(witan_identity *self)
{
    randombytes_buf(self->keys + WITAN_KEY_SIZE, WITAN_KEY_SIZE);
    WITAN_ASSERT(derive(self));
    return WITAN_OK;
}

void
witan_identity_format(const witan_identity *self, char *file, size_t *size)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL;
    char *keys = file + FIRST_LINE, *check = keys + KEYS_TEXT + 1;
    witan_digest digest;
    uint8_t sum[WITAN_DIGEST_SIZE];

    memcpy(file, KEY_FILE_LINE KEY_FILE_VERSION, FIRST_LINE);
    witan_digest_init(&digest);
    witan_digest_update(&digest, file, FIRST_LINE);
    witan_digest_update(&digest, self->keys, KEYS_SIZE);
    witan_digest_final(&digest, sum);

    /* Each encoder's final NUL becomes the newline. */
    (void)sodium_bin2base64(keys, KEYS_TEXT + 1, self->keys, KEYS_SIZE, variant);
    (void)sodium_bin2base64(check, CHECK_TEXT + 1, sum, CHECK_SIZE, variant);
    keys[KEYS_TEXT] = check[CHECK_TEXT] = '\n';
    *size = KEY_FILE_SIZE;
    witan_wipe(&digest, sizeof digest);
}

witan_status
witan_identity_parse(witan_identity **out, const char *file, size_t size,
                     witan_diag *diag)
{
    const size_t name = sizeof KEY_FILE_LINE - 1;
    char again[WITAN_KEY_FILE_MAX];
    size_t again_size;
    witan_identity *self;
    bool same;

    *out = NULL;
    if (size < FIRST_LINE || memcmp(file, KEY_FILE_LINE, name) != 0) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "this is no key file: it does not begin with " KEY_FILE_LINE "1");
    }
    if (memcmp(file + name, KEY_FILE_VERSION, FIRST_LINE - name) != 0) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "this key file has another version: use the witan that "
                               "wrote it, or a newer one");
    }
    self = witan_secret_alloc(sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "no memory for a key");
    }
    /* Exactly the bytes that would be written are read: that covers the checksum, the
     * clamped key, and every other way to write the same base64. */
    same = size == KEY_FILE_SIZE &&
           sodium_base642bin(self->keys, KEYS_SIZE, file + FIRST_LINE, KEYS_TEXT, NULL,
                             NULL, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           derive(self);
    if (same) {
        witan_identity_format(self, again, &again_size);
        same = witan_secret_equal(again, file, KEY_FILE_SIZE);
        witan_wipe(again, sizeof again);
    }
    if (!same) {
        witan_identity_free(&self);
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the key file is damaged (its checksum does not fit): "
                               "restore it from a copy");
    }
    *out = self;
    return WITAN_OK;
}

/* What is signed: BLAKE2b-256 over length of the domain, domain, message. */
static void
signed_digest(uint8_t out[WITAN_DIGEST_SIZE], const char *domain, const void *message,
              size_t size)
{
    size_t length = strlen(domain);
    uint8_t prefix = (uint8_t)length;
    witan_digest digest;

    WITAN_ASSERT(length > 0 && length <= UINT8_MAX);
    witan_digest_init(&digest);
    witan_digest_update(&digest, &prefix, 1);
    witan_digest_update(&digest, domain, length);
    witan_digest_update(&digest, message, size);
    witan_digest_final(&digest, out);
}

void
witan_identity_sign(const witan_identity *self, const char *domain, const void *message,
                    size_t size, uint8_t out[WITAN_SIGNATURE_SIZE])
{
    uint8_t digest[WITAN_DIGEST_SIZE];

    signed_digest(digest, domain, message, size);
    WITAN_ASSERT(
        crypto_sign_detached(out, NULL, digest, sizeof digest, self->sign_secret) == 0);
}

bool
witan_signature_valid(const uint8_t sign[WITAN_KEY_SIZE], const char *domain,
                      const void *message, size_t size,
                      const uint8_t signature[WITAN_SIGNATURE_SIZE])
{
    uint8_t digest[WITAN_DIGEST_SIZE];

    signed_digest(digest, domain, message, size);
    return crypto_sign_verify_detached(signature, digest, sizeof digest, sign) == 0;
}

void
witan_key_id(uint8_t out[WITAN_KEY_ID_SIZE], const uint8_t sign[WITAN_KEY_SIZE])
{
    witan_digest digest;
    uint8_t bytes[WITAN_DIGEST_SIZE];

    witan_digest_init(&digest);
    witan_digest_update(&digest, sign, WITAN_KEY_SIZE);
    witan_digest_final(&digest, bytes);
    memcpy(out, bytes, WITAN_KEY_ID_SIZE);
}

void
witan_fingerprint(char out[WITAN_FINGERPRINT_MAX],
                  const witan_public_identity *coordinator,
                  const witan_public_identity *client)
{
    static const char domain[] = "WITAN-fingerprint-v1";
    static const char consonants[] = "bdfghjklmnprstvz", vowels[] = "aiou";
    enum {
        WORDS = 6
    };
    witan_digest digest;
    uint8_t bytes[WITAN_DIGEST_SIZE];

    witan_digest_init(&digest);
    witan_digest_update(&digest, domain, sizeof domain - 1);
    witan_digest_update(&digest, coordinator->sign, WITAN_KEY_SIZE);
    witan_digest_update(&digest, coordinator->transport, WITAN_KEY_SIZE);
    witan_digest_update(&digest, client->sign, WITAN_KEY_SIZE);
    witan_digest_update(&digest, client->transport, WITAN_KEY_SIZE);
    witan_digest_final(&digest, bytes);

    for (int i = 0; i < WORDS; i++) {
        unsigned word = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
        *out++ = consonants[word >> 12];
        *out++ = vowels[word >> 10 & 3];
        *out++ = consonants[word >> 6 & 15];
        *out++ = vowels[word >> 4 & 3];
        *out++ = consonants[word & 15];
        *out++ = i + 1 < WORDS ? '-' : '\0';
    }
}
