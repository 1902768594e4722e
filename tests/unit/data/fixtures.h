/* fixtures.h - small data files of every format, written by the tests that read them.
 */
#ifndef WITAN_TEST_DATA_FIXTURES_H
#define WITAN_TEST_DATA_FIXTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/load.h"

/* A growing file image. */
typedef struct image {
    uint8_t bytes[1 << 17];
    size_t size;
} image;

void image_clear(image *self);
void image_add(image *self, const void *bytes, size_t size);
void image_text(image *self, const char *text);
/* IDX header of unsigned bytes. */
void image_idx(image *self, size_t rank, const uint32_t *extents);
/* NPY 1.0 header, or version 2.0 and 3.0. */
void image_npy(image *self, unsigned version, const char *descr, const char *fortran,
               const char *shape);
/* Its gzip compression. */
void image_gzip(const image *self, image *out);

/* A zip archive with members of these names. */
typedef struct member {
    const char *name;
    const image *content;
} member;
void write_zip(const char *path, const member *members, size_t count, bool deflate);

/* A fresh directory in the test's own. */
const char *fresh_directory(void);
/* directory/name in rotating storage. */
const char *in_directory(const char *directory, const char *name);

/* Loads and frees; the diagnosis stays in `last`. */
extern witan_diag last;
witan_status try_load(const witan_data_source *source);

/* Cuts a file of a good set at every `step`th byte, from its end to 0: each cut must
 * give E_DATA and a message that contains `part`. Leaves the file empty. */
void check_truncations(const witan_data_source *source, const char *path, size_t step,
                       const char *part);

/* Makes every allocation of a load fail in turn: each must give E_MEMORY and leave
 * nothing; then a load must succeed. */
void check_failing_allocations(const witan_data_source *source);

#endif
