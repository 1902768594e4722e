/* file.h - files that are whole or absent: written to a temporary name in the same
 * directory, synced, renamed; plus bounded reading.
 * Errors: E_IO with the path and the system's reason ("No space left on device").
 * A failed write removes its temporary file and leaves the old file untouched. */
#ifndef WITAN_STORE_FILE_H
#define WITAN_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct witan_file_writer witan_file_writer;

/* Opens path + ".tmp" for writing, 1 MiB buffer. A file of that name is overwritten:
 * one writer per path (lock.h). A `path` that is a link is replaced, not followed. */
WITAN_NODISCARD witan_status witan_file_create(witan_file_writer **out,
                                               const char *path,
                                               const witan_allocator *allocator,
                                               witan_diag *diag);
/* Appends; the first failure sticks and is returned by every later call. */
witan_status witan_file_write(witan_file_writer *self, const void *bytes, size_t size);
/* Flush, fsync, rename, sync the directory; frees *self in any case. On failure the
 * temporary file is gone and `diag` tells why. */
WITAN_NODISCARD witan_status witan_file_commit(witan_file_writer **self,
                                               witan_diag *diag);
/* Gives up: removes the temporary file; NULL-safe. */
void witan_file_abandon(witan_file_writer **self);

/* All in one for small files. */
WITAN_NODISCARD witan_status witan_file_replace(const char *path, const void *bytes,
                                                size_t size,
                                                const witan_allocator *allocator,
                                                witan_diag *diag);

/* Whole file or pipe, NUL-terminated beyond *size, owned by the caller. Errors: E_IO,
 * E_LIMIT above `ceiling` bytes, E_MEMORY. */
WITAN_NODISCARD witan_status witan_file_read(char **out, size_t *size, const char *path,
                                             size_t ceiling,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);

/* mkdir -p. */
WITAN_NODISCARD witan_status witan_directory_make(const char *path, witan_diag *diag);
bool witan_path_exists(const char *path);

/* float64 array of up to 8 dimensions as NPY version 1, C order. */
WITAN_NODISCARD witan_status witan_file_write_npy(
    const char *path, const double *values, const size_t *shape, size_t dimensions,
    const witan_allocator *allocator, witan_diag *diag);

/* An append-only text file (metrics.jsonl) of whole lines. */
typedef struct witan_append_file witan_append_file;
/* Opens or creates; cuts the file to `keep` bytes first (resume). E_DATA when the file
 * is shorter than `keep` or no line ends there. */
WITAN_NODISCARD witan_status witan_append_open(witan_append_file **out,
                                               const char *path, uint64_t keep,
                                               const witan_allocator *allocator,
                                               witan_diag *diag);
/* Adds a line of `size` bytes, given without its newline. A failed write leaves no part
 * of the line behind. */
WITAN_NODISCARD witan_status witan_append_line(witan_append_file *self,
                                               const char *line, size_t size,
                                               witan_diag *diag);
/* fsync; *size_bytes = bytes of the file now. */
WITAN_NODISCARD witan_status witan_append_sync(witan_append_file *self,
                                               uint64_t *size_bytes, witan_diag *diag);
/* NULL-safe. */
void witan_append_close(witan_append_file **self);

#endif
