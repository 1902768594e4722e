#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/system.h"

struct witan_directory_lock {
    const witan_allocator *allocator;
    int file;
};

/* The number that the holder wrote, "unknown" when there is none. */
static void
read_holder(int file, char out[24])
{
    size_t got = 0;
    memset(out, 0, 24);
    if (witan_system_read_at(file, 0, out, 23, &got) != 0 || got == 0) {
        (void)snprintf(out, 24, "unknown");
    }
    out[strcspn(out, "\n")] = '\0';
}

/* Locks the open file and writes our number into it. */
static witan_status
hold(int file, const char *directory, const char *path, witan_diag *diag)
{
    char holder[24];
    int error;
    while (flock(file, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) {
            continue;
        }
        if (errno != EWOULDBLOCK) {
            return witan_system_fail(diag, "lock", path, errno);
        }
        read_holder(file, holder);
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: in use by process %s (%s); wait for it, stop it or "
                               "choose another directory",
                               directory, holder, path);
    }
    int size = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    error = ftruncate(file, 0) != 0 ? errno
                                    : witan_system_write(file, holder, (size_t)size);
    return error == 0 ? WITAN_OK : witan_system_fail(diag, "write", path, error);
}

witan_status
witan_directory_lock_take(witan_directory_lock **out, const char *directory,
                          const witan_allocator *allocator, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    witan_directory_lock *self = witan_zalloc(allocator, 1, sizeof *self);
    *out = NULL;
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", directory);
    }
    self->allocator = allocator;
    int size = snprintf(path, sizeof path, "%s/lock", directory);
    self->file = size < 0 || (size_t)size >= sizeof path
                     ? (errno = ENAMETOOLONG, -1)
                     : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    witan_status status = self->file < 0 ? witan_system_fail(diag, "open", path, errno)
                                         : hold(self->file, directory, path, diag);
    if (status != WITAN_OK) {
        if (self->file >= 0) {
            (void)close(self->file);
        }
        witan_free(allocator, self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_directory_unlock(witan_directory_lock **self)
{
    if (*self != NULL) {
        const witan_allocator *allocator = (*self)->allocator;
        /* Emptied while still locked: a number in the file is a holder's. */
        int kept = ftruncate((*self)->file, 0);
        (void)kept; /* harmless: the next holder overwrites it */
        (void)close((*self)->file);
        witan_free(allocator, *self);
        *self = NULL;
    }
}
