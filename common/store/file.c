/* file.c - whole files: temporary name, sync, rename, sync of the directory.
 * The order matters: the data must be on the disk before the name points to it, and
 * the name before anybody is told (Pillai et al. 2014, "All file systems are not
 * created equal"). */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "store/system.h"

enum {
    BUFFER_SIZE = 1 << 20
};

struct witan_file_writer {
    const witan_allocator *allocator;
    char *path;      /* behind the struct */
    char *temporary; /* owned */
    char *directory; /* owned */
    char *buffer;    /* owned, BUFFER_SIZE */
    size_t used;
    int file;
    int error; /* errno of the first failure, 0 until then */
};

witan_status
witan_system_fail(witan_diag *diag, const char *verb, const char *path, int error)
{
    char reason[128];
    /* The POSIX strerror_r: strerror is not safe in threads. */
    if (strerror_r(error, reason, sizeof reason) != 0) {
        (void)snprintf(reason, sizeof reason, "error %d", error);
    }
    return witan_diag_fail(diag, WITAN_E_IO, "cannot %s %s: %s", verb, path, reason);
}

int
witan_system_write(int file, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(file, at, size);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

int
witan_system_read_at(int file, uint64_t offset, void *bytes, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t count =
            pread(file, (char *)bytes + *got, size - *got, (off_t)(offset + *got));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return errno;
        }
        if (count == 0) {
            break;
        }
        *got += (size_t)count;
    }
    return 0;
}

void *
witan_system_new(const witan_allocator *allocator, size_t size, const char *path,
                 char **copy)
{
    size_t length = strlen(path) + 1;
    char *block = witan_zalloc(allocator, 1, size + length);
    if (block != NULL) {
        *copy = block + size;
        memcpy(*copy, path, length);
    }
    return block;
}

static witan_status
out_of_memory(witan_diag *diag, const char *path)
{
    return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", path);
}

static void
writer_free(witan_file_writer **self)
{
    const witan_allocator *allocator = (*self)->allocator;
    witan_free(allocator, (*self)->buffer);
    witan_free(allocator, (*self)->temporary);
    witan_free(allocator, (*self)->directory);
    witan_free(allocator, *self);
    *self = NULL;
}

/* Directory of a path: "/a" gives "/", "a" gives "."; `out` is zeroed. */
static void
directory_of(char *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        out[0] = '.';
    } else {
        memcpy(out, path, slash == path ? 1 : (size_t)(slash - path));
    }
}

witan_status
witan_file_create(witan_file_writer **out, const char *path,
                  const witan_allocator *allocator, witan_diag *diag)
{
    char *copy = NULL;
    witan_file_writer *self = witan_system_new(allocator, sizeof *self, path, &copy);
    *out = NULL;
    if (self == NULL) {
        return out_of_memory(diag, path);
    }
    size_t length = strlen(path);
    self->allocator = allocator;
    self->path = copy;
    self->temporary = witan_alloc(allocator, length + sizeof ".tmp", 1);
    self->directory = witan_zalloc(allocator, length + sizeof ".", 1);
    self->buffer = witan_alloc(allocator, BUFFER_SIZE, 1);
    if (self->temporary == NULL || self->directory == NULL || self->buffer == NULL) {
        writer_free(&self);
        return out_of_memory(diag, path);
    }
    memcpy(self->temporary, path, length);
    memcpy(self->temporary + length, ".tmp", sizeof ".tmp");
    directory_of(self->directory, path);
    self->file = open(self->temporary,
                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (self->file < 0) {
        witan_status status = witan_system_fail(diag, "create", self->temporary, errno);
        writer_free(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

/* Hands bytes to the system unless an earlier write failed. */
static void
put(witan_file_writer *self, const void *bytes, size_t size)
{
    if (self->error == 0) {
        self->error = witan_system_write(self->file, bytes, size);
    }
}

witan_status
witan_file_write(witan_file_writer *self, const void *bytes, size_t size)
{
    if (size > BUFFER_SIZE - self->used) {
        put(self, self->buffer, self->used);
        self->used = 0;
    }
    if (size > BUFFER_SIZE) {
        put(self, bytes, size);
    } else if (size > 0) {
        memcpy(self->buffer + self->used, bytes, size);
        self->used += size;
    }
    return self->error == 0 ? WITAN_OK : WITAN_E_IO;
}

/* Makes a new name in a directory durable; 0 or an errno. */
static int
sync_directory(const char *directory)
{
    int error = 0;
    int file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0) {
        return errno;
    }
    if (fsync(file) != 0 &&
        errno != EINVAL) { /* EINVAL: the system has no such thing */
        error = errno;
    }
    (void)close(file);
    return error;
}

witan_status
witan_file_commit(witan_file_writer **self, witan_diag *diag)
{
    witan_file_writer *it = *self;
    witan_status status = WITAN_OK;
    const char *verb = "write";

    put(it, it->buffer, it->used);
    if (it->error == 0 && fsync(it->file) != 0) {
        it->error = errno;
    }
    if (close(it->file) != 0 && it->error == 0) {
        it->error = errno;
    }
    if (it->error == 0 && rename(it->temporary, it->path) != 0) {
        it->error = errno;
        verb = "rename the new file to";
    }
    if (it->error != 0) {
        (void)unlink(it->temporary);
    } else {
        it->error = sync_directory(it->directory);
        verb = "sync the directory of";
    }
    if (it->error != 0) {
        status = witan_system_fail(diag, verb, it->path, it->error);
    }
    writer_free(self);
    return status;
}

void
witan_file_abandon(witan_file_writer **self)
{
    if (*self != NULL) {
        (void)close((*self)->file);
        (void)unlink((*self)->temporary);
        writer_free(self);
    }
}

witan_status
witan_file_replace(const char *path, const void *bytes, size_t size,
                   const witan_allocator *allocator, witan_diag *diag)
{
    witan_file_writer *writer;
    WITAN_TRY(witan_file_create(&writer, path, allocator, diag));
    (void)witan_file_write(writer, bytes, size); /* told by commit */
    return witan_file_commit(&writer, diag);
}

/* Bytes to make room for at first: the size of a regular file, else a page. */
static size_t
first_room(int file, size_t ceiling)
{
    struct stat status;
    size_t room = 4096;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        room = (uint64_t)status.st_size > ceiling ? ceiling : (size_t)status.st_size;
    }
    return room < ceiling ? room : ceiling;
}

/* A larger block with the same beginning; frees the old one in any case. */
static char *
grow(const witan_allocator *allocator, char *old, size_t used, size_t room)
{
    char *block = witan_alloc(allocator, room + 1, 1);
    if (block != NULL) {
        memcpy(block, old, used);
    }
    witan_free(allocator, old);
    return block;
}

/* Pipes are read too: their size is unknown, so the block doubles. One byte beyond the
 * room tells the end of the file from a file that goes on. */
static witan_status
read_all(int file, char **data, size_t *size, const char *path, size_t ceiling,
         const witan_allocator *allocator, witan_diag *diag)
{
    size_t used = 0, room = first_room(file, ceiling);
    *data = witan_alloc(allocator, room + 1, 1);
    while (*data != NULL) {
        ssize_t got = read(file, *data + used, room + 1 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return witan_system_fail(diag, "read", path, errno);
        }
        if (got == 0) {
            (*data)[used] = '\0';
            *size = used;
            return WITAN_OK;
        }
        used += (size_t)got;
        if (used <= room) {
            continue;
        }
        if (room == ceiling) {
            return witan_diag_fail(diag, WITAN_E_LIMIT,
                                   "%s: larger than the %zu bytes that are read", path,
                                   ceiling);
        }
        room = room > ceiling / 2 ? ceiling : room * 2;
        *data = grow(allocator, *data, used, room);
    }
    return out_of_memory(diag, path);
}

witan_status
witan_file_read(char **out, size_t *size, const char *path, size_t ceiling,
                const witan_allocator *allocator, witan_diag *diag)
{
    char *data = NULL;
    *out = NULL;
    *size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) {
        return witan_system_fail(diag, "open", path, errno);
    }
    witan_status status = read_all(file, &data, size, path, ceiling, allocator, diag);
    (void)close(file);
    if (status != WITAN_OK) {
        witan_free(allocator, data);
        return status;
    }
    *out = data;
    return WITAN_OK;
}

witan_status
witan_directory_make(const char *path, witan_diag *diag)
{
    char part[WITAN_PATH_MAX];
    struct stat status;
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) {
        return witan_system_fail(diag, "create directory", path,
                                 length == 0 ? ENOENT : ENAMETOOLONG);
    }
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        /* What stands there already may be a link to a directory, or unwritable. */
        if (mkdir(part, 0777) != 0) {
            int error = errno;
            if (stat(part, &status) != 0) {
                return witan_system_fail(diag, "create directory", part, error);
            }
            if (!S_ISDIR(status.st_mode)) {
                return witan_system_fail(diag, "create directory", part, ENOTDIR);
            }
        }
    }
    return WITAN_OK;
}

bool
witan_path_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}
