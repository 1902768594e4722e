#include "fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>

#include "support/witan_test.h"

witan_diag last;

void
image_clear(image *self)
{
    self->size = 0;
}

void
image_add(image *self, const void *bytes, size_t size)
{
    if (self->size + size > sizeof self->bytes) {
        abort();
    }
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
}

void
image_text(image *self, const char *text)
{
    image_add(self, text, strlen(text));
}

void
image_idx(image *self, size_t rank, const uint32_t *extents)
{
    uint8_t magic[4] = {0, 0, 8, (uint8_t)rank};
    image_clear(self);
    image_add(self, magic, 4);
    for (size_t d = 0; d < rank; d++) {
        uint8_t raw[4] = {(uint8_t)(extents[d] >> 24), (uint8_t)(extents[d] >> 16),
                          (uint8_t)(extents[d] >> 8), (uint8_t)extents[d]};
        image_add(self, raw, 4);
    }
}

void
image_npy(image *self, unsigned version, const char *descr, const char *fortran,
          const char *shape)
{
    char text[256];
    uint8_t start[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0};
    size_t prefix = version == 1 ? 10 : 12;
    int length = snprintf(text, sizeof text,
                          "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr,
                          fortran, shape);
    size_t padded = (prefix + (size_t)length + 1 + 63) / 64 * 64 - prefix;
    memset(text + length, ' ', padded - (size_t)length);
    text[padded - 1] = '\n';
    start[8] = (uint8_t)padded;
    start[9] = (uint8_t)(padded >> 8);
    image_clear(self);
    image_add(self, start, prefix);
    image_add(self, text, padded);
}

void
image_gzip(const image *self, image *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        abort();
    }
    uint8_t *copy = malloc(self->size + 1);
    memcpy(copy, self->bytes, self->size);
    z.next_in = copy;
    z.avail_in = (unsigned)self->size;
    z.next_out = out->bytes;
    z.avail_out = sizeof out->bytes;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        abort();
    }
    out->size = z.total_out;
    (void)deflateEnd(&z);
    free(copy);
}

void
write_zip(const char *path, const member *members, size_t count, bool deflated)
{
    int code;
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (zip == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        zip_source_t *source = zip_source_buffer(zip, members[i].content->bytes,
                                                 members[i].content->size, 0);
        zip_int64_t index = zip_file_add(zip, members[i].name, source, 0);
        if (index < 0 || zip_set_file_compression(
                             zip, (zip_uint64_t)index,
                             deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) != 0) {
            abort();
        }
    }
    if (zip_close(zip) != 0) {
        abort();
    }
}

const char *
fresh_directory(void)
{
    static char path[512];
    static unsigned number;
    (void)snprintf(path, sizeof path, "%s/set%u", witan_test_directory(), number++);
    if (mkdir(path, 0700) != 0) {
        abort();
    }
    return path;
}

const char *
in_directory(const char *directory, const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

witan_status
try_load(const witan_data_source *source)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset train, test;
    memset(&last, 0, sizeof last);
    witan_status status = witan_data_load(&train, &test, source, heap, &last);
    CHECK(status == last.status);
    if (status != WITAN_OK) {
        CHECK(train.samples == 0 && train.bytes == NULL && train.values == NULL);
        CHECK(test.samples == 0 && test.labels == NULL);
    }
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
    return status;
}

void
check_truncations(const witan_data_source *source, const char *path, size_t step,
                  const char *part)
{
    struct stat status;
    if (!CHECK(stat(path, &status) == 0)) {
        return;
    }
    CHECK_STATUS(try_load(source), WITAN_OK);
    for (off_t size = status.st_size - 1; size >= 0; size -= (off_t)step) {
        CHECK(truncate(path, size) == 0);
        CHECK_STATUS(try_load(source), WITAN_E_DATA);
        CHECK_CONTAINS(last.message, part);
    }
}

void
check_failing_allocations(const witan_data_source *source)
{
    witan_status status = WITAN_E_MEMORY;
    size_t fail_at;
    for (fail_at = 1; status == WITAN_E_MEMORY && fail_at < 1000; fail_at++) {
        witan_failing_allocator failing;
        witan_dataset train, test;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, fail_at);
        status = witan_data_load(&train, &test, source, &failing.allocator, &diag);
        CHECK(status == diag.status);
        if (status != WITAN_OK) {
            CHECK_STATUS(status, WITAN_E_MEMORY);
            CHECK(failing.live == 0);
        }
        witan_dataset_fini(&train, &failing.allocator);
        witan_dataset_fini(&test, &failing.allocator);
        CHECK(failing.live == 0);
    }
    CHECK_STATUS(status, WITAN_OK);
    CHECK(fail_at > 5);
}
