/* secret_file.c - everything goes through descriptors of the directory and the file, so
 * that what was checked is what is used. The order of a write is that of file.c. */
#include "store/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/file.h"
#include "store/system.h"

enum {
    OPEN_TO_OTHERS = 077 /* mode bits of group and others */
};

/* A path as its directory and the name in it. */
typedef struct place {
    char directory[WITAN_PATH_MAX];
    char name[256];
} place;

/* "a/b" gives "a" and "b", "b" gives "." and "b", "/b" gives "/" and "b"; slashes at
 * the end do not count. */
static witan_status
split(place *out, const char *path, witan_diag *diag)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    size_t at = length;
    while (at > 0 && path[at - 1] != '/') {
        at--;
    }
    if (at == length) {
        return witan_system_fail(diag, "open", path, length == 0 ? ENOENT : EISDIR);
    }
    if (length - at >= sizeof out->name || at >= sizeof out->directory) {
        return witan_system_fail(diag, "open", path, ENAMETOOLONG);
    }
    memcpy(out->name, path + at, length - at);
    out->name[length - at] = '\0';
    memcpy(out->directory, at == 0 ? "." : path, at == 0 ? 1 : at);
    out->directory[at == 0 ? 1 : at] = '\0';
    return WITAN_OK;
}

/* Ours alone? `remedy` is the mode to give it. */
static witan_status
check_owner(const char *path, const struct stat *status, const char *remedy,
            witan_diag *diag)
{
    if (status->st_uid != geteuid()) {
        return witan_diag_fail(diag, WITAN_E_REFUSED,
                               "%s: belongs to user %ju, but this program runs as user "
                               "%ju; run it as that user or chown it",
                               path, (uintmax_t)status->st_uid, (uintmax_t)geteuid());
    }
    if ((status->st_mode & OPEN_TO_OTHERS) != 0) {
        return witan_diag_fail(diag, WITAN_E_REFUSED,
                               "%s: open to other users (mode %03o); chmod %s %s", path,
                               (unsigned)status->st_mode & 0777u, remedy, path);
    }
    return WITAN_OK;
}

/* *file is an open directory that is ours alone. */
static witan_status
open_directory(int *file, const char *path, witan_diag *diag)
{
    struct stat status;
    *file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*file < 0) {
        return witan_system_fail(diag, "open", path, errno);
    }
    witan_status result = fstat(*file, &status) != 0
                              ? witan_system_fail(diag, "read", path, errno)
                              : check_owner(path, &status, "700", diag);
    if (result != WITAN_OK) {
        (void)close(*file);
    }
    return result;
}

/* Makes the new directory's name durable. */
static witan_status
sync_parent(const char *parent, witan_diag *diag)
{
    int error = 0;
    int file = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0) {
        /* EINVAL: the system has no such thing. EACCES: a parent that we may enter but
         * not read; its own writer syncs it. */
        error = errno == EINVAL || errno == EACCES ? 0 : errno;
    }
    if (file >= 0) {
        (void)close(file);
    }
    return error == 0 ? WITAN_OK : witan_system_fail(diag, "sync", parent, error);
}

witan_status
witan_secret_directory_make(const char *path, witan_diag *diag)
{
    place where;
    struct stat status;
    int file;
    if (stat(path, &status) != 0 && errno == ENOENT) {
        WITAN_TRY(split(&where, path, diag));
        WITAN_TRY(witan_directory_make(where.directory, diag));
        if (mkdir(path, 0700) == 0) {
            WITAN_TRY(sync_parent(where.directory, diag));
        } else if (errno != EEXIST) {
            return witan_system_fail(diag, "create directory", path, errno);
        }
    }
    WITAN_TRY(open_directory(&file, path, diag));
    (void)close(file);
    return WITAN_OK;
}

/* Writes the bytes under a temporary name in the open directory; 0 or an errno, then
 * nothing is left behind. */
static int
write_temporary(int directory, const char *name, const void *bytes, size_t size)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int file = openat(directory, name, flags, 0600);
    if (file < 0 && errno == EEXIST && unlinkat(directory, name, 0) == 0) {
        file = openat(directory, name, flags, 0600); /* a crashed writer's */
    }
    if (file < 0) {
        return errno;
    }
    int error = witan_system_write(file, bytes, size);
    if (error == 0 && fsync(file) != 0) {
        error = errno;
    }
    if (close(file) != 0 && error == 0) {
        error = errno;
    }
    if (error != 0) {
        (void)unlinkat(directory, name, 0);
    }
    return error;
}

witan_status
witan_secret_file_write(const char *path, const void *bytes, size_t size,
                        witan_diag *diag)
{
    place where;
    char temporary[sizeof where.name + sizeof ".tmp"];
    int directory;
    WITAN_TRY(split(&where, path, diag));
    WITAN_TRY(open_directory(&directory, where.directory, diag));
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", where.name);
    int error = write_temporary(directory, temporary, bytes, size);
    if (error == 0 && renameat(directory, temporary, directory, where.name) != 0) {
        error = errno;
        (void)unlinkat(directory, temporary, 0);
    }
    if (error == 0 && fsync(directory) != 0 && errno != EINVAL) {
        error = errno;
    }
    (void)close(directory);
    return error == 0 ? WITAN_OK : witan_system_fail(diag, "write", path, error);
}

/* Reads an open file that passes for a secret. */
static witan_status
read_checked(int file, const char *path, void *buffer, size_t room, size_t *size,
             witan_diag *diag)
{
    struct stat status;
    size_t got;
    char beyond;
    if (fstat(file, &status) != 0) {
        return witan_system_fail(diag, "read", path, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return witan_diag_fail(diag, WITAN_E_REFUSED,
                               "%s: not a plain file; put the key itself there", path);
    }
    WITAN_TRY(check_owner(path, &status, "600", diag));
    int error = witan_system_read_at(file, 0, buffer, room, &got);
    size_t more = 0;
    if (error == 0 && got == room) {
        error = witan_system_read_at(file, room, &beyond, 1, &more);
    }
    if (error != 0 || more != 0) {
        explicit_bzero(buffer, room);
        return error != 0 ? witan_system_fail(diag, "read", path, error)
                          : witan_diag_fail(diag, WITAN_E_LIMIT,
                                            "%s: longer than the %zu bytes that such a "
                                            "file has",
                                            path, room);
    }
    *size = got;
    return WITAN_OK;
}

witan_status
witan_secret_file_read(const char *path, void *buffer, size_t room, size_t *size,
                       witan_diag *diag)
{
    place where;
    int directory;
    *size = 0;
    WITAN_TRY(split(&where, path, diag));
    WITAN_TRY(open_directory(&directory, where.directory, diag));
    /* O_NONBLOCK: a pipe must not hold us up before it is refused. */
    int file = openat(directory, where.name,
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int error = errno;
    (void)close(directory);
    if (file < 0 && error == ELOOP) {
        return witan_diag_fail(diag, WITAN_E_REFUSED,
                               "%s: a link; put the key itself there", path);
    }
    if (file < 0) {
        return witan_system_fail(diag, "open", path, error);
    }
    witan_status status = read_checked(file, path, buffer, room, size, diag);
    (void)close(file);
    return status;
}
