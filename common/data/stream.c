/* zlib then takes its input as const. */
#define ZLIB_CONST

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>
#include <zlib.h>

#include "data/readers.h"

enum {
    INPUT_SIZE = 1 << 16
};

/* One deflate byte stands for at most 1032 bytes: a match of 258 costs two bits. */
#define DEFLATE_RATIO_MAX 1032u

witan_status
witan_stream_fail(const witan_stream *self, witan_diag *diag, witan_status status,
                  const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return witan_diag_fail(diag, status, "%s: %s", self->name, message);
}

static void *
inflate_allocate(void *context, unsigned count, unsigned size)
{
    return witan_alloc(context, count, size);
}

static void
inflate_release(void *context, void *block)
{
    witan_free(context, block);
}

/* zlib's context pointer is not const; the allocator is only read through it. */
static void *
allocator_context(const witan_allocator *allocator)
{
    union {
        const witan_allocator *in;
        void *out;
    } pointer = {allocator};
    return pointer.out;
}

static witan_status
start_inflate(witan_stream *self, witan_diag *diag)
{
    self->inflate = witan_zalloc(self->allocator, 1, sizeof *self->inflate);
    if (self->file != NULL) {
        self->input = witan_alloc(self->allocator, INPUT_SIZE, 1);
    }
    if (self->inflate != NULL && (self->file == NULL || self->input != NULL)) {
        self->inflate->zalloc = inflate_allocate;
        self->inflate->zfree = inflate_release;
        self->inflate->opaque = allocator_context(self->allocator);
        if (inflateInit2(self->inflate, 16 + MAX_WBITS) == Z_OK) {
            self->bound = self->bound > UINT64_MAX / DEFLATE_RATIO_MAX
                              ? UINT64_MAX
                              : self->bound * DEFLATE_RATIO_MAX;
            return WITAN_OK;
        }
    }
    (void)witan_stream_fail(self, diag, WITAN_E_MEMORY, "out of memory for inflating");
    witan_free(self->allocator, self->inflate);
    self->inflate = NULL;
    witan_stream_close(self);
    return WITAN_E_MEMORY;
}

static bool
ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

witan_status
witan_stream_open(witan_stream *self, const char *path,
                  const witan_allocator *allocator, witan_diag *diag)
{
    struct stat status;

    memset(self, 0, sizeof *self);
    (void)snprintf(self->name, sizeof self->name, "%s", path);
    self->allocator = allocator;
    /* Before fopen, which would wait for ever on a named pipe. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        return witan_stream_fail(self, diag, WITAN_E_IO, "not a regular file");
    }
    self->file = fopen(path, "rb");
    if (self->file == NULL || fstat(fileno(self->file), &status) != 0) {
        (void)witan_stream_fail(self, diag, WITAN_E_IO, "cannot open: %s",
                                strerror(errno));
        witan_stream_close(self);
        return WITAN_E_IO;
    }
    self->bound = (uint64_t)status.st_size;
    return ends_with(path, ".gz") ? start_inflate(self, diag) : WITAN_OK;
}

witan_status
witan_stream_memory(witan_stream *self, const char *name, const uint8_t *bytes,
                    size_t size, bool gzip, const witan_allocator *allocator,
                    witan_diag *diag)
{
    memset(self, 0, sizeof *self);
    (void)snprintf(self->name, sizeof self->name, "%s", name);
    self->allocator = allocator;
    self->bytes = bytes;
    self->bytes_left = size;
    self->bound = size;
    return gzip ? start_inflate(self, diag) : WITAN_OK;
}

void
witan_stream_close(witan_stream *self)
{
    if (self->inflate != NULL) {
        (void)inflateEnd(self->inflate);
        witan_free(self->allocator, self->inflate);
        self->inflate = NULL;
    }
    if (self->member != NULL) {
        (void)zip_fclose(self->member);
        self->member = NULL;
    }
    if (self->file != NULL) {
        (void)fclose(self->file);
        self->file = NULL;
    }
    witan_free(self->allocator, self->input);
    self->input = NULL;
}

/* Up to `size` bytes of the source; fewer only at its end. */
static witan_status
pull_raw(witan_stream *self, uint8_t *out, size_t size, size_t *got, witan_diag *diag)
{
    *got = 0;
    if (self->file != NULL) {
        *got = fread(out, 1, size, self->file);
        if (*got < size && ferror(self->file)) {
            return witan_stream_fail(self, diag, WITAN_E_IO, "cannot read: %s",
                                     strerror(errno));
        }
        return WITAN_OK;
    }
    if (self->member != NULL) {
        while (*got < size) {
            zip_int64_t count = zip_fread(self->member, out + *got, size - *got);
            if (count < 0) {
                return witan_stream_fail(self, diag, WITAN_E_DATA,
                                         "cannot unpack: %s; write the file again",
                                         zip_file_strerror(self->member));
            }
            if (count == 0) {
                break;
            }
            *got += (size_t)count;
        }
        return WITAN_OK;
    }
    *got = size < self->bytes_left ? size : self->bytes_left;
    if (*got > 0) {
        memcpy(out, self->bytes, *got);
        self->bytes += *got;
        self->bytes_left -= *got;
    }
    return WITAN_OK;
}

/* Hands zlib the next compressed bytes. */
static witan_status
refill(witan_stream *self, witan_diag *diag)
{
    size_t got = 0;
    if (self->file != NULL) {
        WITAN_TRY(pull_raw(self, self->input, INPUT_SIZE, &got, diag));
        self->inflate->next_in = self->input;
    } else {
        got = self->bytes_left < INPUT_SIZE ? self->bytes_left : INPUT_SIZE;
        self->inflate->next_in = self->bytes;
        self->bytes += got;
        self->bytes_left -= got;
    }
    self->inflate->avail_in = (unsigned)got;
    return WITAN_OK;
}

static witan_status
pull_inflated(witan_stream *self, uint8_t *out, size_t size, size_t *got,
              witan_diag *diag)
{
    z_stream *z = self->inflate;
    *got = 0;
    while (*got < size && !self->inflate_ended) {
        if (z->avail_in == 0) {
            WITAN_TRY(refill(self, diag));
            if (z->avail_in == 0) {
                return witan_stream_fail(self, diag, WITAN_E_DATA,
                                         "the compressed data is cut short; fetch or "
                                         "compress the file again");
            }
        }
        size_t left = size - *got;
        unsigned room = left < (1u << 30) ? (unsigned)left : 1u << 30;
        z->next_out = out + *got;
        z->avail_out = room;
        int code = inflate(z, Z_NO_FLUSH);
        *got += room - z->avail_out;
        self->inflate_ended = code == Z_STREAM_END;
        if (code == Z_MEM_ERROR) {
            return witan_stream_fail(self, diag, WITAN_E_MEMORY, "out of memory");
        }
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
            return witan_stream_fail(self, diag, WITAN_E_DATA,
                                     "not valid gzip data (%s); fetch or compress the "
                                     "file again",
                                     z->msg != NULL ? z->msg : "unexpected dictionary");
        }
    }
    return WITAN_OK;
}

static witan_status
pull(witan_stream *self, uint8_t *out, size_t size, size_t *got, witan_diag *diag)
{
    if (self->inflate != NULL) {
        WITAN_TRY(pull_inflated(self, out, size, got, diag));
    } else {
        WITAN_TRY(pull_raw(self, out, size, got, diag));
    }
    self->position += *got;
    return WITAN_OK;
}

witan_status
witan_stream_some(witan_stream *self, void *out, size_t size, size_t *got,
                  witan_diag *diag)
{
    return pull(self, out, size, got, diag);
}

witan_status
witan_stream_read(witan_stream *self, void *out, size_t size, witan_diag *diag)
{
    size_t got;
    WITAN_TRY(pull(self, out, size, &got, diag));
    if (got < size) {
        return witan_stream_fail(
            self, diag, WITAN_E_DATA,
            "ends after %llu bytes where more must follow; the file "
            "is cut short: fetch or write it again",
            (unsigned long long)self->position);
    }
    return WITAN_OK;
}

witan_status
witan_stream_end(witan_stream *self, witan_diag *diag)
{
    uint8_t rest;
    size_t got;
    WITAN_TRY(pull(self, &rest, 1, &got, diag));
    if (got == 0 && self->inflate != NULL) {
        /* Something behind the gzip member, in zlib's input or still in the source. */
        got = self->inflate->avail_in;
        if (got == 0) {
            WITAN_TRY(pull_raw(self, &rest, 1, &got, diag));
        }
    }
    if (got != 0) {
        return witan_stream_fail(
            self, diag, WITAN_E_DATA,
            "holds more bytes than its header says; it is not whole "
            "or not of this format");
    }
    return WITAN_OK;
}

witan_status
witan_stream_claim(const witan_stream *self, uint64_t size, witan_diag *diag)
{
    if (size > self->bound || self->position > self->bound - size) {
        return witan_stream_fail(self, diag, WITAN_E_DATA,
                                 "its header claims %llu bytes of data, more than the "
                                 "file can hold; it is cut short or not of this format",
                                 (unsigned long long)size);
    }
    return WITAN_OK;
}

witan_status
witan_rows_allocate(witan_dataset *out, const size_t shape[4], bool bytes,
                    size_t file_size, const witan_stream *stream, witan_diag *diag)
{
    size_t features = 1, count, memory, claim;
    size_t element = bytes ? sizeof *out->bytes : sizeof *out->values;

    for (size_t d = 0; d < 4; d++) {
        if (shape[d] == 0) {
            return witan_stream_fail(
                stream, diag, WITAN_E_DATA,
                "it is empty (an extent is 0); give at least one row");
        }
        if (d > 0 && __builtin_mul_overflow(features, shape[d], &features)) {
            features = SIZE_MAX;
        }
    }
    if (shape[0] > WITAN_SAMPLES_MAX || features > WITAN_FEATURES_MAX ||
        __builtin_mul_overflow(shape[0], features, &count) ||
        __builtin_mul_overflow(count, element, &memory) ||
        __builtin_mul_overflow(count, file_size, &claim) ||
        memory > WITAN_DATASET_BYTES_MAX) {
        return witan_stream_fail(
            stream, diag, WITAN_E_DATA,
            "its header claims %zu rows of %zux%zux%zu numbers; at "
            "most %zu rows, %zu numbers a row and %zu bytes are read",
            shape[0], shape[1], shape[2], shape[3], WITAN_SAMPLES_MAX,
            WITAN_FEATURES_MAX, WITAN_DATASET_BYTES_MAX);
    }
    WITAN_TRY(witan_stream_claim(stream, claim, diag));
    out->samples = shape[0];
    out->height = shape[1];
    out->width = shape[2];
    out->channels = shape[3];
    if (bytes) {
        out->bytes = witan_alloc(stream->allocator, count, element);
    } else {
        out->values = witan_alloc(stream->allocator, count, element);
    }
    if (out->bytes == NULL && out->values == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_MEMORY,
                                 "out of memory for %zu bytes", memory);
    }
    return WITAN_OK;
}

witan_status
witan_labels_allocate(uint32_t **out, size_t count, size_t file_size,
                      const witan_stream *stream, witan_diag *diag)
{
    *out = NULL;
    if (count == 0 || count > WITAN_SAMPLES_MAX) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "its header claims %zu labels; 1 to %zu are read",
                                 count, WITAN_SAMPLES_MAX);
    }
    WITAN_TRY(witan_stream_claim(stream, (uint64_t)count * file_size, diag));
    *out = witan_alloc(stream->allocator, count, sizeof **out);
    if (*out == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_MEMORY,
                                 "out of memory for %zu labels", count);
    }
    return WITAN_OK;
}
