/* identity.h - who a node is: an Ed25519 key that signs, an X25519 key that talks
 * (CURVE and Noise). The secret halves live in secret memory and in one key file, and
 * never anywhere else.
 * Source: libsodium crypto_sign, crypto_scalarmult. Key file: docs/protocol.md.
 * Threads: immutable after loading, except by witan_identity_rotate. */
#ifndef WITAN_SECURE_IDENTITY_H
#define WITAN_SECURE_IDENTITY_H

#include "base/text.h"
#include "secure/secret.h"

enum {
    WITAN_KEY_SIZE = 32,
    WITAN_SIGNATURE_SIZE = 64,
    WITAN_KEY_ID_SIZE = 8,
    WITAN_KEY_FILE_MAX = 1024, /* bytes of a key file */
    WITAN_FINGERPRINT_MAX = 48 /* six words of five letters, dashes, NUL */
};

typedef struct witan_public_identity {
    uint8_t sign[WITAN_KEY_SIZE];      /* Ed25519 */
    uint8_t transport[WITAN_KEY_SIZE]; /* X25519 */
} witan_public_identity;

typedef struct witan_identity witan_identity;

/* Fresh keys from the system's source. Errors: E_MEMORY. */
WITAN_NODISCARD witan_status witan_identity_new(witan_identity **out);
/* Wipes and frees; NULL-safe. */
void witan_identity_free(witan_identity **self);
const witan_public_identity *witan_identity_public(const witan_identity *self);
/* [32] for CURVE and Noise; borrowed until freed; never copied elsewhere. */
const uint8_t *witan_identity_transport_secret(const witan_identity *self);
/* A new transport key; the signing key stays. Not while a handshake borrows the old
 * one.
 */
WITAN_NODISCARD witan_status witan_identity_rotate(witan_identity *self);

/* The key file's text, "WITAN-SECRET-KEY-1" + base64 + checksum, into `file`
 * [WITAN_KEY_FILE_MAX]; the caller wipes it. */
void witan_identity_format(const witan_identity *self, char *file, size_t *size);
/* Errors: E_DATA (one sentence, no byte of the content), E_MEMORY. */
WITAN_NODISCARD witan_status witan_identity_parse(witan_identity **out,
                                                  const char *file, size_t size,
                                                  witan_diag *diag);

/* Signature over (domain, message): a signature made for one purpose is none for
 * another. `domain` is a constant such as "WITAN-upload-v1". */
void witan_identity_sign(const witan_identity *self, const char *domain,
                         const void *message, size_t size,
                         uint8_t out[WITAN_SIGNATURE_SIZE]);
WITAN_NODISCARD bool
witan_signature_valid(const uint8_t sign[WITAN_KEY_SIZE], const char *domain,
                      const void *message, size_t size,
                      const uint8_t signature[WITAN_SIGNATURE_SIZE]);

/* First 8 bytes of BLAKE2b over the Ed25519 key: names a sender in an envelope. */
void witan_key_id(uint8_t out[WITAN_KEY_ID_SIZE], const uint8_t sign[WITAN_KEY_SIZE]);

/* Six pronounceable words (proquints, Wilkerson 2009, arXiv 0901.4016; 96 bits of
 * BLAKE2b) over both identities: equal on both sides only when nobody stands between.
 * "lusab-babad-..." */
void witan_fingerprint(char out[WITAN_FINGERPRINT_MAX],
                       const witan_public_identity *coordinator,
                       const witan_public_identity *client);

#endif
