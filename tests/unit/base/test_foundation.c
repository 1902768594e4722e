/* test_foundation.c - status codes, diagnostics, memory, digests, log, clock. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "support/witan_test.h"

static void
statuses_have_texts_and_exit_codes(void)
{
    CHECK_STRING(witan_status_text(WITAN_OK), "ok");
    CHECK_STRING(witan_status_text(WITAN_E_UNSUPPORTED), "not supported");
    CHECK_STRING(witan_status_text((witan_status)99), "unknown status");
    CHECK(witan_status_exit_code(WITAN_OK) == 0);
    CHECK(witan_status_exit_code(WITAN_E_MEMORY) == 1);
    CHECK(witan_status_exit_code(WITAN_E_CONFIG) == 2);
    CHECK(witan_status_exit_code(WITAN_E_DATA) == 3);
    CHECK(witan_status_exit_code(WITAN_E_INTERRUPTED) == 130);
    CHECK(witan_status_exit_code((witan_status)99) == 1);
}

static void
the_first_diagnostic_wins(void)
{
    witan_diag diag = {0};
    CHECK_STATUS(witan_diag_prefix(&diag, "early"), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK_STATUS(witan_diag_fail(&diag, WITAN_E_DATA, "row %d: bad\nlabel \x1b[31m", 7),
                 WITAN_E_DATA);
    CHECK_STATUS(witan_diag_fail(&diag, WITAN_E_IO, "later"), WITAN_E_IO);
    CHECK_STATUS(witan_diag_prefix(&diag, "%s", "file\t.csv"), WITAN_E_DATA);
    CHECK_STRING(diag.message, "file?.csv: row 7: bad?label ?[31m");
    CHECK_STATUS(diag.status, WITAN_E_DATA);
    CHECK_STATUS(witan_diag_fail(NULL, WITAN_E_IO, "nobody listens"), WITAN_E_IO);
    CHECK_STATUS(witan_diag_prefix(NULL, "x"), WITAN_OK);
}

static void
long_diagnostics_are_cut(void)
{
    char name[3000];
    witan_diag diag = {0};
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)witan_diag_fail(&diag, WITAN_E_IO, "%s", name);
    CHECK(strlen(diag.message) == sizeof diag.message - 1);
    (void)witan_diag_prefix(&diag, "%s", name);
    CHECK(strlen(diag.message) == sizeof diag.message - 1);
    CHECK(strstr(diag.message, ": ") != NULL);
}

static void
memory_is_aligned_zeroed_and_checked(void)
{
    const witan_allocator *heap = witan_allocator_default();
    unsigned char *block = witan_zalloc(heap, 1000, 3);
    volatile size_t huge = SIZE_MAX;
    CHECK(block != NULL && (uintptr_t)block % WITAN_ALIGNMENT == 0);
    bool zero = true;
    for (size_t i = 0; block != NULL && i < 3000; i++) {
        zero = zero && block[i] == 0;
    }
    CHECK(zero);
    witan_free(heap, block);
    witan_free(heap, NULL);

    block = witan_zalloc(heap, 0, 8);
    CHECK(block != NULL);
    witan_free(heap, block);

    /* Products that wrap to something small must not be allocated. */
    block = witan_zalloc(heap, huge / 2 + 2, 2);
    CHECK(block == NULL);
    witan_free(heap, block);
    block = witan_alloc(heap, huge, 1);
    CHECK(block == NULL);
    witan_free(heap, block);

    char *copy = witan_strdup(heap, "council");
    CHECK_STRING(copy, "council");
    witan_free(heap, copy);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    copy = witan_strdup(&failing.allocator, "council");
    CHECK(copy == NULL && failing.live == 0);
    witan_free(&failing.allocator, copy);
}

static void
check_digest(witan_digest *digest, const char *expected)
{
    uint8_t bytes[WITAN_DIGEST_SIZE];
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_digest_final(digest, bytes);
    witan_digest_hex(hex, bytes);
    CHECK_STRING(hex, expected);
}

/* BLAKE2b with 32 bytes of output; the values of Python's hashlib. */
static void
digest_is_blake2b_256(void)
{
    witan_digest digest;
    witan_digest_init(&digest);
    check_digest(&digest,
                 "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    witan_digest_init(&digest);
    witan_digest_update(&digest, "a", 1);
    witan_digest_update(&digest, "bc", 2);
    check_digest(&digest,
                 "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    /* Numbers go in as little-endian bytes: struct.pack("<Qd", ...). */
    witan_digest_init(&digest);
    witan_digest_update(&digest, "witan", 5);
    witan_digest_update_u64(&digest, 0x0123456789abcdefu);
    witan_digest_update_double(&digest, -0.1);
    check_digest(&digest,
                 "af1afbe5d13bc0aa2ae3082ef7a40561554d856f23cb812e8596b6c1f82eed91");
}

static size_t lines;
static char last_line[64];

static void
sink(void *context, witan_log_level level, const char *id, const char *text)
{
    CHECK(context == &lines && level >= WITAN_LOG_INFO &&
          strcmp(id, "round-open") == 0);
    lines++;
    (void)snprintf(last_line, sizeof last_line, "%s", text);
}

static void
log_formats_above_its_minimum(void)
{
    witan_log log = {sink, &lines, WITAN_LOG_INFO};
    witan_log_write(NULL, WITAN_LOG_ERROR, "round-open", "silent");
    witan_log_write(&log, WITAN_LOG_DEBUG, "round-open", "round=%d", 1);
    CHECK(lines == 0);
    witan_log_write(&log, WITAN_LOG_INFO, "round-open", "round=%d", 2);
    CHECK(lines == 1);
    CHECK_STRING(last_line, "round=2");
    log.write = NULL;
    witan_log_write(&log, WITAN_LOG_ERROR, "round-open", "silent");
    CHECK(lines == 1);
}

static uint64_t
ticking(void *context)
{
    return ++*(uint64_t *)context;
}

static void
clock_is_handed_in(void)
{
    uint64_t ticks = 41;
    witan_clock clock = {ticking, &ticks};
    CHECK(witan_clock_now_ns(&clock) == 42);
    CHECK(witan_clock_now_ns(NULL) == 0);
    clock.now_ns = NULL;
    CHECK(witan_clock_now_ns(&clock) == 0);
}

int
main(void)
{
    RUN(statuses_have_texts_and_exit_codes);
    RUN(the_first_diagnostic_wins);
    RUN(long_diagnostics_are_cut);
    RUN(memory_is_aligned_zeroed_and_checked);
    RUN(digest_is_blake2b_256);
    RUN(log_formats_above_its_minimum);
    RUN(clock_is_handed_in);
    return witan_test_finish();
}
