/* readers.h - private to this room (and its fuzzers): a stream of untrusted bytes, and
 * one reader per file format on top of it.
 * Why here: plain, gzip, zip member and memory look alike to a reader, and the check
 * "can this file hold what its header claims?" is made in one place, before memory is
 * taken.
 * A reader fills rows or labels of an empty set; the caller frees the set on failure.
 * Messages read "path: what is wrong; what to do". */
#ifndef WITAN_DATA_READERS_H
#define WITAN_DATA_READERS_H

#include <stdio.h>

#include "data/load.h"

struct z_stream_s;
struct zip_file;

typedef struct witan_stream {
    char name[WITAN_PATH_MAX + 64]; /* what messages call it */
    uint64_t bound;                 /* it cannot hold more bytes than this */
    uint64_t position;              /* bytes given out so far */
    const witan_allocator *allocator;
    FILE *file;           /* owned; one of file, memory, member is the source */
    const uint8_t *bytes; /* borrowed until close */
    size_t bytes_left;
    struct zip_file *member;    /* owned */
    struct z_stream_s *inflate; /* owned; set when the source is gzip */
    uint8_t *input;             /* owned; compressed bytes of a file */
    bool inflate_ended;
} witan_stream;

/* Opens a regular file; a name ending in .gz is inflated while reading. After a
 * failure there is nothing to close. Errors: E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status witan_stream_open(witan_stream *self, const char *path,
                                               const witan_allocator *allocator,
                                               witan_diag *diag);
/* Borrows bytes until close; inflates them when `gzip`. Errors: E_MEMORY. */
WITAN_NODISCARD witan_status witan_stream_memory(witan_stream *self, const char *name,
                                                 const uint8_t *bytes, size_t size,
                                                 bool gzip,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);
void witan_stream_close(witan_stream *self);

/* Exactly `size` bytes. Errors: E_DATA (ends early, bad compression), E_IO. */
WITAN_NODISCARD witan_status witan_stream_read(witan_stream *self, void *out,
                                               size_t size, witan_diag *diag);
/* Up to `size` bytes, fewer only at the end: for text, which has no header. */
WITAN_NODISCARD witan_status witan_stream_some(witan_stream *self, void *out,
                                               size_t size, size_t *got,
                                               witan_diag *diag);
/* Errors: E_DATA when bytes are left, or when a checksum of the container is wrong. */
WITAN_NODISCARD witan_status witan_stream_end(witan_stream *self, witan_diag *diag);
/* Errors: E_DATA when `size` more bytes cannot be in the file. */
WITAN_NODISCARD witan_status witan_stream_claim(const witan_stream *self, uint64_t size,
                                                witan_diag *diag);
/* A message that starts with the stream's name. */
witan_status witan_stream_fail(const witan_stream *self, witan_diag *diag,
                               witan_status status, const char *format, ...)
    WITAN_PRINTF(4, 5);

/* Checks samples x height x width x channels elements of `file_size` bytes each against
 * the limits and the stream, then takes the memory: bytes, or floats. */
WITAN_NODISCARD witan_status witan_rows_allocate(witan_dataset *out,
                                                 const size_t shape[4], bool bytes,
                                                 size_t file_size,
                                                 const witan_stream *stream,
                                                 witan_diag *diag);
/* Takes memory for labels [count], `file_size` bytes each in the stream. */
WITAN_NODISCARD witan_status witan_labels_allocate(uint32_t **out, size_t count,
                                                   size_t file_size,
                                                   const witan_stream *stream,
                                                   witan_diag *diag);

/* IDX (the MNIST format): unsigned bytes, big-endian extents. Rows of rank 3 are images
 * H x W x 1, rows of rank 2 a table; labels have rank 1. */
WITAN_NODISCARD witan_status witan_idx_read_rows(witan_dataset *out,
                                                 witan_stream *stream,
                                                 witan_diag *diag);
WITAN_NODISCARD witan_status witan_idx_read_labels(uint32_t **labels, size_t *count,
                                                   witan_stream *stream,
                                                   witan_diag *diag);

/* CIFAR-10 binary: records of a label and three planes of 32 x 32, appended to the set
 * from row `first` on; the set has room for them. */
enum {
    WITAN_CIFAR_RECORD = 3073
};
WITAN_NODISCARD witan_status witan_cifar_read(witan_dataset *set, size_t first,
                                              size_t records, witan_stream *stream,
                                              witan_diag *diag);
/* Names the ten classes from the lines of batches.meta.txt. */
WITAN_NODISCARD witan_status witan_cifar_read_names(witan_dataset *set,
                                                    witan_stream *stream,
                                                    witan_diag *diag);

/* NPY 1.0 to 3.0, C order, |u1 <i4 <i8 <f4 <f8. Rows: [N,F] table, [N,H,W], [N,H,W,C];
 * labels: integers [N] or [N,1]. */
WITAN_NODISCARD witan_status witan_npy_read_rows(witan_dataset *out,
                                                 witan_stream *stream,
                                                 witan_diag *diag);
WITAN_NODISCARD witan_status witan_npy_read_labels(uint32_t **labels, size_t *count,
                                                   witan_stream *stream,
                                                   witan_diag *diag);

/* NPZ: a zip archive of NPY members, from a file, or from bytes borrowed until close.
 */
typedef struct witan_npz {
    struct zip *zip; /* owned */
    const char *name;
    uint64_t size; /* bytes of the archive */
    const witan_allocator *allocator;
} witan_npz;
WITAN_NODISCARD witan_status witan_npz_open(witan_npz *self, const char *path,
                                            const uint8_t *bytes, size_t size,
                                            const witan_allocator *allocator,
                                            witan_diag *diag);
void witan_npz_close(witan_npz *self);
bool witan_npz_has(const witan_npz *self, const char *member);
/* The stream must be closed before the archive. Errors: E_DATA (absent, encrypted,
 * other compression than deflate, a size the archive cannot back). */
WITAN_NODISCARD witan_status witan_npz_member(const witan_npz *self, const char *member,
                                              witan_stream *stream, witan_diag *diag);

/* CSV of one or two files: `test` NULL means that rows of `train` are held out. */
WITAN_NODISCARD witan_status witan_csv_read(witan_dataset *train_set,
                                            witan_dataset *test_set,
                                            witan_stream *train, witan_stream *test,
                                            const witan_data_source *source,
                                            witan_diag *diag);

/* Offset of the first byte that is not UTF-8; `size` when there is none. */
size_t witan_text_check(const char *text, size_t size);
/* Cuts checked text: *tokens = its tokens, at most `most`; returns the offset behind
 * the last of them. */
size_t witan_text_scan(witan_text_unit unit, const char *text, size_t size, size_t most,
                       size_t *tokens);
/* Text files to windows; source->path "" is tiny Shakespeare. `valid` may be NULL. The
 * caller frees the sets on failure. */
WITAN_NODISCARD witan_status witan_text_load(witan_dataset *train, witan_dataset *valid,
                                             witan_dataset *test,
                                             const witan_data_source *source,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);
/* Whether there is a text file in the directory, or in a folder of it. */
bool witan_text_is_there(const char *directory);

/* Which of `samples` rows are held out: mask [samples] of 0 and 1, owned by the caller;
 * round(test_fraction * samples) ones, at least one and never all, drawn from
 * WITAN_PURPOSE_SPLIT. Errors: E_CONFIG (fraction), E_DATA (fewer than two rows). */
WITAN_NODISCARD witan_status witan_split_mask(uint8_t **mask, size_t samples,
                                              const witan_data_source *source,
                                              const char *name,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);

#endif
