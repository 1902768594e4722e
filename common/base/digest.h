/* digest.h - BLAKE2b-256 digests of runs, configs and data (libsodium).
 * Why here: equal digests are how a run proves that it is the same run.
 * Threads: a digest belongs to one thread. */
#ifndef WITAN_BASE_DIGEST_H
#define WITAN_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define WITAN_DIGEST_SIZE 32
#define WITAN_DIGEST_HEX_SIZE (2 * WITAN_DIGEST_SIZE + 1) /* with the final NUL */

/* Storage of libsodium's state; the library's own type stays behind digest.c. */
typedef struct witan_digest {
    _Alignas(64) unsigned char state[384];
} witan_digest;

void witan_digest_init(witan_digest *self);
void witan_digest_update(witan_digest *self, const void *bytes, size_t size);
/* Adds a number in little-endian order, so that digests do not depend on the host. */
void witan_digest_update_u64(witan_digest *self, uint64_t value);
/* Adds the bits of a double; NaN payloads are not normalised. */
void witan_digest_update_double(witan_digest *self, double value);
void witan_digest_final(witan_digest *self, uint8_t out[WITAN_DIGEST_SIZE]);

/* Lower-case hexadecimal with a final NUL. */
void witan_digest_hex(char out[WITAN_DIGEST_HEX_SIZE],
                      const uint8_t digest[WITAN_DIGEST_SIZE]);

#endif
