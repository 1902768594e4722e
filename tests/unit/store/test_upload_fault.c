/* Every system call behind an upload file fails in turn: no file that was not synced is
 * believed later, and what is left can be gone on with. The linker puts these in the
 * calls' place (--wrap); SQLite keeps its own. */
#include "ledger_support.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef enum call {
    CALL_NONE,
    CALL_PWRITE,
    CALL_FDATASYNC,
    CALL_FSYNC,
    CALL_RENAMEAT,
} call;

static call failing;
static int fail_at; /* the n-th use, 1-based */
static int fail_with;
static bool halves;

ssize_t __real_pwrite(int file, const void *bytes, size_t size, off_t offset);
int __real_fdatasync(int file);
int __real_fsync(int file);
int __real_renameat(int from, const char *old, int to, const char *fresh);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t size, off_t offset);
int __wrap_fdatasync(int file);
int __wrap_fsync(int file);
int __wrap_renameat(int from, const char *old, int to, const char *fresh);

static bool
fails(call which)
{
    if (which == failing && --fail_at == 0) {
        errno = fail_with;
        return true;
    }
    return false;
}

ssize_t
__wrap_pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    if (fails(CALL_PWRITE)) {
        return -1;
    }
    return __real_pwrite(file, bytes, halves && size > 1 ? size / 2 : size, offset);
}

int
__wrap_fdatasync(int file)
{
    return fails(CALL_FDATASYNC) ? -1 : __real_fdatasync(file);
}

int
__wrap_fsync(int file)
{
    return fails(CALL_FSYNC) ? -1 : __real_fsync(file);
}

int
__wrap_renameat(int from, const char *old, int to, const char *fresh)
{
    return fails(CALL_RENAMEAT) ? -1 : __real_renameat(from, old, to, fresh);
}

static void
arm(call which, int at, int error)
{
    failing = which;
    fail_at = at;
    fail_with = error;
}

enum {
    TOTAL = 100000
};
static const witan_peer sender = {.seat = 3};

static void
failed_write_leaves_what_was_there(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    uint8_t *payload, *read;
    uint64_t have;
    witan_upload_row row = ledger_upload_row(0, &sender, TOTAL, &payload);
    for (int at = 1; at <= 2; at++) { /* the digest, the first bytes */
        witan_diag diag = {0};
        arm(CALL_PWRITE, at, ENOSPC);
        CHECK_STATUS(witan_upload_append(ledger, &row, 0, payload, 1000, &diag),
                     WITAN_E_IO);
        CHECK_CONTAINS(diag.message, "cannot write ");
        CHECK_CONTAINS(diag.message, "uploads/0000000-000003.part: No space left on "
                                     "device; free some space");
        CHECK_STATUS(witan_upload_have(ledger, &row, &have, NULL), WITAN_OK);
        CHECK(have == 0);
    }
    arm(CALL_NONE, 0, 0);
    CHECK_STATUS(witan_upload_append(ledger, &row, 0, payload, 1000, NULL), WITAN_OK);
    halves = true;
    arm(CALL_PWRITE, 3, ENOSPC); /* half of it, a quarter of it, then no more */
    CHECK_STATUS(witan_upload_append(ledger, &row, 1000, payload + 1000, 50000, NULL),
                 WITAN_E_IO);
    CHECK_STATUS(witan_upload_have(ledger, &row, &have, NULL), WITAN_OK);
    CHECK(have == 1000);
    arm(CALL_PWRITE, 2, EINTR);
    CHECK_STATUS(
        witan_upload_append(ledger, &row, 1000, payload + 1000, TOTAL - 1000, NULL),
        WITAN_OK);
    CHECK(fail_at <= 0);
    halves = false;
    CHECK_STATUS(witan_upload_read_part(ledger, &row, &read, NULL), WITAN_OK);
    CHECK(memcmp(read, payload, TOTAL) == 0);
    witan_free(witan_allocator_default(), read);
    free(payload);
    witan_ledger_close(&ledger);
}

/* Three whole parts, the call fails in finish; how many parts and whole files are left,
 * as seats' bits. */
static void
finish_while_failing(call which, int at, int error, unsigned *parts, unsigned *wholes)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_upload_row rows[3];
    const witan_upload_row *pointers[3];
    witan_diag diag = {0};
    uint8_t *payload;
    for (uint32_t seat = 0; seat < 3; seat++) {
        witan_peer peer = {.seat = seat};
        rows[seat] = ledger_upload_row(0, &peer, 1000, &payload);
        pointers[seat] = &rows[seat];
        CHECK_STATUS(witan_upload_append(ledger, &rows[seat], 0, payload, 1000, NULL),
                     WITAN_OK);
        free(payload);
    }
    arm(which, at, error);
    CHECK_STATUS(witan_upload_finish(ledger, pointers, 3, &diag), WITAN_E_IO);
    CHECK(fail_at == 0);
    CHECK_CONTAINS(diag.message, "cannot sync ");
    arm(CALL_NONE, 0, 0);
    *parts = *wholes = 0;
    for (unsigned seat = 0; seat < 3; seat++) {
        char name[64];
        (void)snprintf(name, sizeof name, "uploads/0000000-00000%u.part", seat);
        *parts |= (unsigned)ledger_exists(directory, name) << seat;
        (void)snprintf(name, sizeof name, "uploads/0000000-00000%u.bin", seat);
        *wholes |= (unsigned)ledger_exists(directory, name) << seat;
    }
    witan_ledger_close(&ledger);
}

static void
file_whose_sync_failed_is_gone(void)
{
    unsigned parts, wholes;
    for (int at = 1; at <= 3; at++) {
        finish_while_failing(CALL_FDATASYNC, at, EIO, &parts, &wholes);
        CHECK(parts == (7u & ~(1u << (at - 1))) && wholes == 0);
        finish_while_failing(CALL_RENAMEAT, at, EIO, &parts, &wholes);
        CHECK(parts == 0 && wholes == 0);
    }
    finish_while_failing(CALL_FSYNC, 1, EIO, &parts, &wholes);
    CHECK(parts == 0 && wholes == 0);
}

int
main(void)
{
    RUN(failed_write_leaves_what_was_there);
    RUN(file_whose_sync_failed_is_gone);
    return witan_test_finish();
}
