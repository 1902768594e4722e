#include "base/digest.h"

#include <sodium.h>
#include <string.h>

#include "base/status.h"

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(witan_digest),
               "witan_digest must hold libsodium's state");

static crypto_generichash_state *
state_of(witan_digest *self)
{
    return (crypto_generichash_state *)(void *)self->state;
}

void
witan_digest_init(witan_digest *self)
{
    WITAN_ASSERT(sodium_init() >= 0);
    WITAN_ASSERT(crypto_generichash_init(state_of(self), NULL, 0, WITAN_DIGEST_SIZE) ==
                 0);
}

void
witan_digest_update(witan_digest *self, const void *bytes, size_t size)
{
    WITAN_ASSERT(crypto_generichash_update(state_of(self), bytes, size) == 0);
}

void
witan_digest_update_u64(witan_digest *self, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    witan_digest_update(self, bytes, sizeof bytes);
}

void
witan_digest_update_double(witan_digest *self, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    witan_digest_update_u64(self, bits);
}

void
witan_digest_final(witan_digest *self, uint8_t out[WITAN_DIGEST_SIZE])
{
    WITAN_ASSERT(crypto_generichash_final(state_of(self), out, WITAN_DIGEST_SIZE) == 0);
}

void
witan_digest_hex(char out[WITAN_DIGEST_HEX_SIZE],
                 const uint8_t digest[WITAN_DIGEST_SIZE])
{
    (void)sodium_bin2hex(out, WITAN_DIGEST_HEX_SIZE, digest, WITAN_DIGEST_SIZE);
}
