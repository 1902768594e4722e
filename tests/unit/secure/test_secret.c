/* test_secret.c - secret memory, and that a process without memory gets errors. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "secure/session.h"
#include "vectors.h"

static void
starts_without_core_dumps(void)
{
    struct rlimit core;

    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    CHECK_STATUS(witan_secure_start(NULL), WITAN_OK);
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 &&
          core.rlim_max == 0);
#if !defined(__SANITIZE_ADDRESS__) /* whose search for leaks is a tracer */
#if !defined(__has_feature)
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
#elif !__has_feature(address_sanitizer)
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
#endif
#endif
}

static void
memory_is_zeroed_and_freed(void)
{
    uint8_t *bytes = witan_secret_alloc(100);
    void *secret = bytes;
    int sum = 0;

    CHECK(bytes != NULL);
    for (int i = 0; i < 100; i++) {
        sum |= bytes[i];
    }
    CHECK(sum == 0);
    memset(bytes, 0xa5, 100);
    witan_secret_free(&secret);
    CHECK(secret == NULL);
    witan_secret_free(&secret);
    witan_secret_free(NULL);
}

/* In a child: it dies of reading or writing at bytes[offset], or exits with 0. */
static bool
survives(uint8_t *bytes, ptrdiff_t offset)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        volatile uint8_t *at = bytes + offset;
        *at = (uint8_t)(*at + 1);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void
memory_is_guarded(void)
{
    uint8_t *bytes = witan_secret_alloc(32);
    void *secret = bytes;

    CHECK(survives(bytes, 31));
    CHECK(!survives(bytes, 32));
    CHECK(!survives(bytes, -8192));
    witan_secret_free(&secret);
}

static void
wipes_and_compares(void)
{
    uint8_t a[32], b[32];

    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    CHECK(witan_secret_equal(a, b, sizeof a));
    b[31] ^= 0x80;
    CHECK(!witan_secret_equal(a, b, sizeof a));
    CHECK(witan_secret_equal(a, b, 31));
    witan_wipe(a, 31);
    CHECK(a[0] == 0 && a[30] == 0 && a[31] == 7);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* No page can be had: every object of the room says so and nothing is left behind. */
static void
no_memory_is_an_error(void)
{
    vector file = vector_get("keys.txt", "client_file");
    const uint8_t psk[WITAN_KEY_SIZE] = {0};
    uint8_t hello[WITAN_HANDSHAKE_FRAME_MAX], transport[WITAN_KEY_SIZE];
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    size_t hello_size, payload_size;
    witan_identity *identity = NULL, *other = NULL;
    witan_session *session = NULL;
    witan_diag diag = {0};
    struct rlimit before, none;
    witan_status status[4];

    if (SANITIZED) { /* the sanitizer needs the pages for itself */
        CHECK(true);
        return;
    }
    CHECK_STATUS(witan_identity_new(&identity), WITAN_OK);
    CHECK_STATUS(witan_session_hello(&session, identity,
                                     witan_identity_public(identity), psk, "", 0, "", 0,
                                     hello, &hello_size),
                 WITAN_OK);
    witan_session_free(&session);
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    none = before;
    none.rlim_cur = 1 << 16;
    CHECK(setrlimit(RLIMIT_AS, &none) == 0);
    void *secret = witan_secret_alloc(32);
    status[0] = witan_identity_new(&other);
    status[1] =
        witan_identity_parse(&other, (const char *)file.bytes, file.size, &diag);
    status[2] = witan_session_hello(&session, identity, witan_identity_public(identity),
                                    psk, "", 0, "", 0, payload, &payload_size);
    status[3] = witan_session_read_hello(&session, identity, "", 0, hello, hello_size,
                                         payload, &payload_size, transport);
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    CHECK(secret == NULL && other == NULL && session == NULL);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(status[i], WITAN_E_MEMORY);
    }
    CHECK_STATUS(diag.status, WITAN_E_MEMORY);
    witan_identity_free(&identity);
}

/* Locking is refused (a small RLIMIT_MEMLOCK): the secrets are still usable. */
static void
no_locking_is_no_error(void)
{
    struct rlimit before, none;
    witan_identity *identity = NULL;

    CHECK(getrlimit(RLIMIT_MEMLOCK, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
    CHECK_STATUS(witan_identity_new(&identity), WITAN_OK);
    CHECK(setrlimit(RLIMIT_MEMLOCK, &before) == 0);
    witan_identity_free(&identity);
    CHECK(identity == NULL);
}

int
main(void)
{
    RUN(starts_without_core_dumps);
    RUN(memory_is_zeroed_and_freed);
    RUN(memory_is_guarded);
    RUN(wipes_and_compares);
    RUN(no_memory_is_an_error);
    RUN(no_locking_is_no_error);
    return witan_test_finish();
}
