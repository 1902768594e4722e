/* One writer per directory, over processes and their deaths. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/file.h"
#include "store/lock.h"
#include "support/witan_test.h"

static void
second_taker_is_told_who_holds(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *directory = witan_test_directory();
    witan_directory_lock *first = NULL, *second = NULL;
    witan_diag diag = {0};
    char expected[1200];
    witan_directory_unlock(&first);
    CHECK_STATUS(witan_directory_lock_take(&first, directory, heap, NULL), WITAN_OK);
    CHECK_STATUS(witan_directory_lock_take(&second, directory, heap, &diag),
                 WITAN_E_STATE);
    CHECK(second == NULL);
    (void)snprintf(
        expected, sizeof expected,
        "%s: in use by process %ld (%s/lock); wait for it, stop it or choose "
        "another directory",
        directory, (long)getpid(), directory);
    CHECK_STRING(diag.message, expected);
    witan_directory_unlock(&first);
    CHECK(first == NULL);
    CHECK_STATUS(witan_directory_lock_take(&second, directory, heap, NULL), WITAN_OK);
    witan_directory_unlock(&second);
    char *left = witan_test_read(witan_test_path("lock"), NULL);
    CHECK_STRING(left, "");
    free(left);
}

static void
lock_ends_with_its_process(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *directory = witan_test_directory();
    witan_directory_lock *lock = NULL;
    witan_diag diag = {0};
    int ready[2], status;
    char byte, holder[64];
    CHECK(pipe(ready) == 0);
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool ok = witan_directory_lock_take(&lock, directory, heap, NULL) == WITAN_OK;
        ok = write(ready[1], "r", 1) == 1 && ok;
        pause();
        _exit(ok ? 0 : 1);
    }
    CHECK(child > 0 && read(ready[0], &byte, 1) == 1);
    CHECK_STATUS(witan_directory_lock_take(&lock, directory, heap, &diag),
                 WITAN_E_STATE);
    (void)snprintf(holder, sizeof holder, "in use by process %ld (", (long)child);
    CHECK_CONTAINS(diag.message, holder);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    /* Its number is still in the file, its lock is not. */
    CHECK_STATUS(witan_directory_lock_take(&lock, directory, heap, NULL), WITAN_OK);
    witan_directory_unlock(&lock);
    CHECK(close(ready[0]) == 0 && close(ready[1]) == 0);
}

static void
errors_are_told(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_directory_lock *lock = NULL;
    witan_diag diag = {0};
    char long_path[5000];
    CHECK_STATUS(
        witan_directory_lock_take(&lock, witan_test_path("absent"), heap, &diag),
        WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "absent/lock: No such file or directory");
    memset(long_path, 'x', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    CHECK_STATUS(witan_directory_lock_take(&lock, long_path, heap, NULL), WITAN_E_IO);
    witan_failing_allocator a;
    witan_failing_allocator_init(&a, 1);
    CHECK_STATUS(
        witan_directory_lock_take(&lock, witan_test_directory(), &a.allocator, NULL),
        WITAN_E_MEMORY);
    CHECK(a.live == 0 && lock == NULL);
}

int
main(void)
{
    RUN(second_taker_is_told_who_holds);
    RUN(lock_ends_with_its_process);
    RUN(errors_are_told);
    return witan_test_finish();
}
