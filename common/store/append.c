/* append.c - a file of lines that only grows. A line is handed to the system at once,
 * so that a reader sees whole lines; what a failed write left behind is cut off. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "store/file.h"
#include "store/system.h"

enum {
    LINE_MAX_BYTES = 1 << 26
};

struct witan_append_file {
    const witan_allocator *allocator;
    char *path; /* behind the struct */
    int file;
    uint64_t size;   /* bytes of whole lines */
    witan_text line; /* one line with its newline, so that one call writes it */
};

/* Cuts the file to `keep` bytes, which must end a line. */
static witan_status
cut(const witan_append_file *self, uint64_t keep, witan_diag *diag)
{
    struct stat status;
    char last = '\n';
    size_t got = 1;
    if (fstat(self->file, &status) != 0) {
        return witan_system_fail(diag, "read", self->path, errno);
    }
    if ((uint64_t)status.st_size < keep) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s: %" PRIu64 " bytes, but %" PRIu64
                               " were written; the file was changed since",
                               self->path, (uint64_t)status.st_size, keep);
    }
    if (keep > 0) {
        int error = witan_system_read_at(self->file, keep - 1, &last, 1, &got);
        if (error != 0) {
            return witan_system_fail(diag, "read", self->path, error);
        }
    }
    if (got != 1 || last != '\n') {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s: no line ends at byte %" PRIu64
                               "; the file was changed since",
                               self->path, keep);
    }
    if ((uint64_t)status.st_size > keep && ftruncate(self->file, (off_t)keep) != 0) {
        return witan_system_fail(diag, "cut", self->path, errno);
    }
    return WITAN_OK;
}

witan_status
witan_append_open(witan_append_file **out, const char *path, uint64_t keep,
                  const witan_allocator *allocator, witan_diag *diag)
{
    char *copy = NULL;
    witan_append_file *self = witan_system_new(allocator, sizeof *self, path, &copy);
    *out = NULL;
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", path);
    }
    self->allocator = allocator;
    self->path = copy;
    self->size = keep;
    witan_text_init(&self->line, allocator, LINE_MAX_BYTES);
    self->file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
    witan_status status = self->file < 0 ? witan_system_fail(diag, "open", path, errno)
                                         : cut(self, keep, diag);
    if (status != WITAN_OK) {
        witan_append_close(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

witan_status
witan_append_line(witan_append_file *self, const char *line, size_t size,
                  witan_diag *diag)
{
    if (size > 0 && memchr(line, '\n', size) != NULL) {
        return witan_diag_fail(diag, WITAN_E_INVALID, "%s: a line with a newline in it",
                               self->path);
    }
    self->line.length = 0;
    witan_text_add(&self->line, line, size);
    witan_text_add(&self->line, "\n", 1);
    if (self->line.status != WITAN_OK) {
        witan_status status = self->line.status;
        self->line.status = WITAN_OK;
        return witan_diag_fail(diag, status, "%s: a line of %zu bytes: %s", self->path,
                               size, witan_status_text(status));
    }
    int error = witan_system_write(self->file, self->line.data, self->line.length);
    if (error != 0) {
        /* Should this fail too, the next witan_append_open cuts the file. */
        int uncut = ftruncate(self->file, (off_t)self->size);
        (void)uncut;
        return witan_system_fail(diag, "write", self->path, error);
    }
    self->size += self->line.length;
    return WITAN_OK;
}

witan_status
witan_append_sync(witan_append_file *self, uint64_t *size_bytes, witan_diag *diag)
{
    if (fsync(self->file) != 0) {
        return witan_system_fail(diag, "write", self->path, errno);
    }
    *size_bytes = self->size;
    return WITAN_OK;
}

void
witan_append_close(witan_append_file **self)
{
    if (*self != NULL) {
        const witan_allocator *allocator = (*self)->allocator;
        if ((*self)->file >= 0) {
            (void)close((*self)->file);
        }
        witan_text_fini(&(*self)->line);
        witan_free(allocator, *self);
        *self = NULL;
    }
}
