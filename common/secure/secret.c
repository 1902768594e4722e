#include "secure/secret.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_SOUGHT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_SOUGHT 1
#endif
#endif

/* No tracer of this user reads our memory. LeakSanitizer is one. */
static bool
hide_memory(void)
{
#ifdef LEAKS_ARE_SOUGHT
    return true;
#else
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
#endif
}

witan_status
witan_secure_start(witan_diag *diag)
{
    const struct rlimit none = {0, 0};

    if (sodium_init() < 0) {
        return witan_diag_fail(diag, WITAN_E_UNSUPPORTED,
                               "libsodium does not start: there is no source of random "
                               "numbers; see that /dev/urandom can be read");
    }
    /* The limit alone does not stop a dump that is piped to a program. */
    if (setrlimit(RLIMIT_CORE, &none) != 0 || !hide_memory()) {
        return witan_diag_fail(diag, WITAN_E_UNSUPPORTED,
                               "core dumps, which would hold keys, cannot be switched "
                               "off: %s",
                               strerror(errno));
    }
    return WITAN_OK;
}

void *
witan_secret_alloc(size_t size)
{
    void *secret = NULL;

    if (sodium_init() >= 0) {
        secret = sodium_malloc(size);
    }
    if (secret != NULL) {
        memset(secret, 0, size);
    }
    return secret;
}

void
witan_secret_free(void **secret)
{
    if (secret != NULL) {
        sodium_free(*secret);
        *secret = NULL;
    }
}

void
witan_wipe(void *bytes, size_t size)
{
    sodium_memzero(bytes, size);
}

bool
witan_secret_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}
