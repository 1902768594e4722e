/* Every system call of a writer fails in turn: the file is the old one or the new one,
 * whole, and no temporary file stays behind. The linker puts these in the calls' place
 * (--wrap), so that the room itself knows nothing of tests. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file.h"
#include "support/witan_test.h"

typedef enum call {
    CALL_OPEN,
    CALL_WRITE,
    CALL_FSYNC,
    CALL_CLOSE,
    CALL_RENAME,
    CALLS,
} call;

static bool armed;      /* faults happen only between arm and disarm */
static call failing;    /* which call */
static int fail_at;     /* on its n-th use, 1-based; 0 = never */
static int fail_with;   /* errno */
static bool halves;     /* writes take only half of what they are given */
static int made[CALLS]; /* uses since armed */

int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int file, const void *bytes, size_t size);
int __real_fsync(int file);
int __real_close(int file);
int __real_rename(const char *from, const char *to);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_write(int file, const void *bytes, size_t size);
int __wrap_fsync(int file);
int __wrap_close(int file);
int __wrap_rename(const char *from, const char *to);

static bool
fails(call which)
{
    if (armed && ++made[which] == fail_at && which == failing) {
        errno = fail_with;
        return true;
    }
    return false;
}

int
__wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails(CALL_OPEN) ? -1 : __real_open(path, flags, mode);
}

ssize_t
__wrap_write(int file, const void *bytes, size_t size)
{
    if (fails(CALL_WRITE)) {
        return -1;
    }
    return __real_write(file, bytes, armed && halves && size > 1 ? size / 2 : size);
}

int
__wrap_fsync(int file)
{
    return fails(CALL_FSYNC) ? -1 : __real_fsync(file);
}

int
__wrap_close(int file)
{
    int result = __real_close(file);
    return fails(CALL_CLOSE) ? -1 : result;
}

int
__wrap_rename(const char *from, const char *to)
{
    return fails(CALL_RENAME) ? -1 : __real_rename(from, to);
}

enum {
    SIZE = 2500000
};
static char bytes[SIZE];

/* Replaces a file that holds "old" by `bytes` while a call fails. */
static witan_status
replace(const char *path, witan_diag *diag)
{
    witan_file_writer *writer;
    witan_test_write(path, "old", 3);
    memset(made, 0, sizeof made);
    armed = true;
    witan_status status =
        witan_file_create(&writer, path, witan_allocator_default(), diag);
    if (status == WITAN_OK) {
        (void)witan_file_write(writer, bytes, 1000);
        (void)witan_file_write(writer, bytes + 1000, 999999);
        (void)witan_file_write(writer, bytes + 1000999, SIZE - 1000999);
        status = witan_file_commit(&writer, diag);
    }
    armed = false;
    return status;
}

static bool
is_new(const char *path)
{
    size_t size = 0;
    char *text = witan_test_read(path, &size);
    bool result = text != NULL && size == SIZE && memcmp(text, bytes, SIZE) == 0;
    CHECK(result || (size == 3 && memcmp(text, "old", 3) == 0)); /* never between */
    free(text);
    return result;
}

static void
old_file_survives_every_failing_call(void)
{
    /* The last open and fsync are of the directory: the new file stands already. */
    static const int uses[CALLS] = {2, 2, 2, 2, 1};
    static const int harmless_close = 2; /* the directory's */
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (char)(i * 2654435761u >> 11);
    }
    for (int which = 0; which < CALLS; which++) {
        for (int use = 1; use <= uses[which] + 1; use++) {
            const char *path = witan_test_path("victim");
            witan_diag diag = {0};
            failing = (call)which;
            fail_at = use;
            fail_with = ENOSPC;
            witan_status status = replace(path, &diag);
            bool reached = use <= uses[which];
            bool told = reached && !(which == CALL_CLOSE && use == harmless_close);
            bool late = (which == CALL_OPEN || which == CALL_FSYNC) && use == 2;
            CHECK_STATUS(status, told ? WITAN_E_IO : WITAN_OK);
            CHECK(is_new(path) == (!told || late));
            CHECK(!witan_path_exists(witan_test_path("victim.tmp")));
            if (told) {
                CHECK_CONTAINS(diag.message, "victim");
                CHECK_CONTAINS(diag.message, ": No space left on device");
            } else {
                CHECK_STRING(diag.message, "");
                CHECK(reached || made[which] == uses[which]);
            }
        }
    }
    fail_at = 0;
}

static void
interrupted_and_short_writes_go_on(void)
{
    const char *path = witan_test_path("short");
    failing = CALL_WRITE;
    fail_with = EINTR;
    halves = true;
    for (fail_at = 0; fail_at < 4; fail_at++) {
        CHECK_STATUS(replace(path, NULL), WITAN_OK);
        CHECK(is_new(path));
        CHECK(made[CALL_WRITE] > 20);
    }
    fail_at = 0;
    halves = false;
}

static void
directory_that_cannot_be_synced_is_no_error(void)
{
    const char *path = witan_test_path("unsynced");
    failing = CALL_FSYNC;
    fail_with = EINVAL;
    fail_at = 2;
    CHECK_STATUS(replace(path, NULL), WITAN_OK);
    CHECK(made[CALL_FSYNC] == 2 && is_new(path));
    fail_at = 0;
}

int
main(void)
{
    RUN(old_file_survives_every_failing_call);
    RUN(interrupted_and_short_writes_go_on);
    RUN(directory_that_cannot_be_synced_is_no_error);
    return witan_test_finish();
}
