/* npz.c - numpy.savez archives: a zip file of NPY members, read through libzip.
 * Why here: see readers.h. A member's claimed size is believed only as far as its
 * compressed bytes can back it. */
#include <string.h>
#include <zip.h>

#include "data/readers.h"

#define DEFLATE_RATIO_MAX 1032u

witan_status
witan_npz_open(witan_npz *self, const char *path, const uint8_t *bytes, size_t size,
               const witan_allocator *allocator, witan_diag *diag)
{
    zip_error_t error;
    zip_source_t *source;

    memset(self, 0, sizeof *self);
    self->name = path;
    self->allocator = allocator;
    zip_error_init(&error);
    source = bytes != NULL ? zip_source_buffer_create(bytes, size, 0, &error)
                           : zip_source_file_create(path, 0, -1, &error);
    if (source != NULL) {
        zip_stat_t stat;
        zip_stat_init(&stat);
        if (zip_source_stat(source, &stat) == 0 && (stat.valid & ZIP_STAT_SIZE) != 0) {
            self->size = stat.size;
        }
        self->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
        if (self->zip == NULL) {
            zip_source_free(source);
        }
    }
    if (self->zip == NULL) {
        int code = zip_error_code_zip(&error);
        witan_status status =
            code == ZIP_ER_MEMORY ? WITAN_E_MEMORY
            : code == ZIP_ER_NOENT || code == ZIP_ER_OPEN || code == ZIP_ER_READ
                ? WITAN_E_IO
                : WITAN_E_DATA;
        (void)witan_diag_fail(diag, status,
                              "%s: cannot open as an NPZ archive: %s; write it with "
                              "numpy.savez",
                              path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return status;
    }
    zip_error_fini(&error);
    return WITAN_OK;
}

void
witan_npz_close(witan_npz *self)
{
    if (self->zip != NULL) {
        zip_discard(self->zip);
        self->zip = NULL;
    }
}

bool
witan_npz_has(const witan_npz *self, const char *member)
{
    return zip_name_locate(self->zip, member, 0) >= 0;
}

witan_status
witan_npz_member(const witan_npz *self, const char *member, witan_stream *stream,
                 witan_diag *diag)
{
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    zip_stat_t stat;

    memset(stream, 0, sizeof *stream);
    (void)snprintf(stream->name, sizeof stream->name, "%s: %s", self->name, member);
    stream->allocator = self->allocator;
    zip_stat_init(&stat);
    if (zip_stat(self->zip, member, 0, &stat) != 0 || (stat.valid & needed) != needed) {
        return witan_stream_fail(
            stream, diag, WITAN_E_DATA,
            "not in the archive; save x_train, y_train, x_test and "
            "y_test");
    }
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "zip compression method %u is not read; write the "
                                 "archive with numpy.savez or numpy.savez_compressed",
                                 stat.comp_method);
    }
    uint64_t ratio = stat.comp_method == ZIP_CM_STORE ? 1 : DEFLATE_RATIO_MAX;
    if (stat.comp_size > self->size || stat.size / ratio > stat.comp_size) {
        return witan_stream_fail(
            stream, diag, WITAN_E_DATA,
            "claims %llu bytes, more than the archive can hold; it "
            "is cut short or damaged: write it again",
            (unsigned long long)stat.size);
    }
    stream->bound = stat.size;
    stream->member = zip_fopen_index(self->zip, stat.index, 0);
    if (stream->member == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA, "cannot open: %s",
                                 zip_strerror(self->zip));
    }
    return WITAN_OK;
}
