/* npy.c - NumPy's array files, versions 1.0 to 3.0: a magic, a version, a header
 * length, a Python dictionary as text, the elements. Why here: see readers.h. The
 * dictionary is read by a strict grammar of its own: three keys, each once, nothing
 * else. Source: numpy.lib.format. Differs: little-endian |u1 <i4 <i8 <f4 <f8 in C order
 * only. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "data/readers.h"

enum {
    RANK_MAX = 4,
    CHUNK = 1 << 13
};

typedef struct array_header {
    char kind;      /* u, i or f */
    size_t element; /* bytes of one */
    size_t rank;
    size_t shape[RANK_MAX];
} array_header;

typedef struct cursor {
    const char *at, *end;
} cursor;

static void
skip_space(cursor *self)
{
    while (self->at < self->end && (*self->at == ' ' || *self->at == '\n')) {
        self->at++;
    }
}

static bool
take(cursor *self, const char *word)
{
    size_t length = strlen(word);
    skip_space(self);
    if ((size_t)(self->end - self->at) < length ||
        memcmp(self->at, word, length) != 0) {
        return false;
    }
    self->at += length;
    return true;
}

/* A quoted word of fewer than 32 characters; either quote, no escapes. */
static bool
take_string(cursor *self, char out[32])
{
    size_t length = 0;
    skip_space(self);
    if (self->at == self->end || (*self->at != '\'' && *self->at != '"')) {
        return false;
    }
    char quote = *self->at++;
    while (self->at < self->end && *self->at != quote && length < 31) {
        out[length++] = *self->at++;
    }
    out[length] = '\0';
    return take(self, quote == '"' ? "\"" : "'");
}

static bool
take_number(cursor *self, size_t *out)
{
    skip_space(self);
    const char *begin = self->at;
    *out = 0;
    while (self->at < self->end && *self->at >= '0' && *self->at <= '9') {
        if (__builtin_mul_overflow(*out, 10u, out) ||
            __builtin_add_overflow(*out, (size_t)(*self->at - '0'), out)) {
            return false;
        }
        self->at++;
    }
    return self->at > begin;
}

/* (), (3,) or (3, 4, ...); a rank above RANK_MAX is counted, not kept. */
static bool
take_shape(cursor *self, array_header *header)
{
    bool comma = true;
    header->rank = 0;
    if (!take(self, "(")) {
        return false;
    }
    while (!take(self, ")")) {
        size_t extent;
        if (!comma || !take_number(self, &extent)) {
            return false;
        }
        if (header->rank < RANK_MAX) {
            header->shape[header->rank] = extent;
        }
        header->rank++;
        comma = take(self, ",");
    }
    return header->rank != 1 || comma;
}

static witan_status
malformed(const witan_stream *stream, witan_diag *diag)
{
    return witan_stream_fail(
        stream, diag, WITAN_E_DATA,
        "its NPY header is not a dictionary of descr, fortran_order "
        "and shape; write the array again with numpy.save");
}

static witan_status
check_type(array_header *header, const char *descr, const witan_stream *stream,
           witan_diag *diag)
{
    static const char *const known[] = {"|u1", "<u1", "<i4", "<i8", "<f4", "<f8"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(descr, known[i]) == 0) {
            header->kind = descr[1];
            header->element = (size_t)(descr[2] - '0');
            return WITAN_OK;
        }
    }
    return witan_stream_fail(stream, diag, WITAN_E_DATA,
                             "elements of type '%s' are not read; save it with "
                             ".astype('uint8'), 'float32' or 'int64' (little-endian)",
                             descr);
}

static witan_status
parse_dictionary(array_header *header, const char *text, size_t size,
                 const witan_stream *stream, witan_diag *diag)
{
    cursor at = {text, text + size};
    char descr[32] = "", key[32];
    bool has_order = false, has_shape = false, fortran = false, comma = true;

    if (!take(&at, "{")) {
        return malformed(stream, diag);
    }
    while (!take(&at, "}")) {
        bool ok = comma && take_string(&at, key) && take(&at, ":");
        if (ok && strcmp(key, "descr") == 0 && descr[0] == '\0') {
            ok = take_string(&at, descr) && descr[0] != '\0';
        } else if (ok && strcmp(key, "fortran_order") == 0 && !has_order) {
            fortran = take(&at, "True");
            ok = has_order = fortran || take(&at, "False");
        } else if (ok && strcmp(key, "shape") == 0 && !has_shape) {
            ok = has_shape = take_shape(&at, header);
        } else {
            ok = false;
        }
        if (!ok) {
            return malformed(stream, diag);
        }
        comma = take(&at, ",");
    }
    skip_space(&at);
    if (at.at != at.end || descr[0] == '\0' || !has_order || !has_shape) {
        return malformed(stream, diag);
    }
    if (fortran) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "the array is in Fortran order; save "
                                 "numpy.ascontiguousarray(a) instead");
    }
    return check_type(header, descr, stream, diag);
}

static witan_status
read_header(array_header *header, witan_stream *stream, witan_diag *diag)
{
    uint8_t start[8], length[4] = {0};
    witan_status status;

    WITAN_TRY(witan_stream_read(stream, start, sizeof start, diag));
    if (memcmp(start, "\x93NUMPY", 6) != 0 || start[6] < 1 || start[6] > 3 ||
        start[7] != 0) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "not an NPY file of version 1.0 to 3.0; write it with "
                                 "numpy.save");
    }
    WITAN_TRY(witan_stream_read(stream, length, start[6] == 1 ? 2 : 4, diag));
    size_t size = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 |
                  (size_t)length[3] << 24;
    WITAN_TRY(witan_stream_claim(stream, size, diag));
    char *text = witan_alloc(stream->allocator, size, 1);
    if (text == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_MEMORY, "out of memory");
    }
    status = witan_stream_read(stream, text, size, diag);
    if (status == WITAN_OK) {
        status = parse_dictionary(header, text, size, stream, diag);
    }
    witan_free(stream->allocator, text);
    return status;
}

static double
element_at(const array_header *header, const uint8_t *at)
{
    if (header->kind == 'f' && header->element == 8) {
        double value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    if (header->kind == 'f') {
        float value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    if (header->element == 8) {
        int64_t value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    int32_t value;
    memcpy(&value, at, sizeof value);
    return (double)value;
}

static witan_status
read_floats(witan_dataset *out, const array_header *header, witan_stream *stream,
            witan_diag *diag)
{
    uint8_t chunk[CHUNK];
    size_t features = witan_dataset_features(out);
    size_t count = out->samples * features, fit = sizeof chunk / header->element;

    for (size_t at = 0; at < count;) {
        size_t run = count - at < fit ? count - at : fit;
        WITAN_TRY(witan_stream_read(stream, chunk, run * header->element, diag));
        for (size_t i = 0; i < run; i++) {
            double value = element_at(header, chunk + i * header->element);
            if (!(fabs(value) <= (double)FLT_MAX)) {
                return witan_stream_fail(
                    stream, diag, WITAN_E_DATA,
                    "row %zu, number %zu is %g, which is no finite "
                    "float; drop or replace such rows",
                    (at + i) / features, (at + i) % features, value);
            }
            out->values[at + i] = (float)value;
        }
        at += run;
    }
    return WITAN_OK;
}

witan_status
witan_npy_read_rows(witan_dataset *out, witan_stream *stream, witan_diag *diag)
{
    array_header header = {0};

    WITAN_TRY(read_header(&header, stream, diag));
    size_t shape[4] = {header.shape[0], 1, 1, 1};
    if (header.rank == 2) {
        shape[3] = header.shape[1];
    } else if (header.rank == 3 || header.rank == 4) {
        shape[1] = header.shape[1];
        shape[2] = header.shape[2];
        shape[3] = header.rank == 4 ? header.shape[3] : 1;
    } else {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "an array of rank %zu is not read; rows are [N,F], "
                                 "[N,H,W] or [N,H,W,C]: reshape it",
                                 header.rank);
    }
    bool bytes = header.kind == 'u';
    WITAN_TRY(witan_rows_allocate(out, shape, bytes, header.element, stream, diag));
    if (bytes) {
        WITAN_TRY(witan_stream_read(stream, out->bytes,
                                    out->samples * witan_dataset_features(out), diag));
    } else {
        WITAN_TRY(read_floats(out, &header, stream, diag));
    }
    return witan_stream_end(stream, diag);
}

/* Integers beyond 2^53 round, but stay far out of the range of labels. */
static witan_status
read_integers(uint32_t *labels, size_t count, const array_header *header,
              witan_stream *stream, witan_diag *diag)
{
    uint8_t chunk[CHUNK];
    size_t fit = sizeof chunk / header->element;

    for (size_t at = 0; at < count;) {
        size_t run = count - at < fit ? count - at : fit;
        WITAN_TRY(witan_stream_read(stream, chunk, run * header->element, diag));
        for (size_t i = 0; i < run; i++) {
            double value = header->kind == 'u'
                               ? (double)chunk[i]
                               : element_at(header, chunk + i * header->element);
            if (!(value >= 0.0 && value < (double)WITAN_CLASSES_MAX)) {
                return witan_stream_fail(
                    stream, diag, WITAN_E_DATA,
                    "label %.0f of row %zu is out of range; number "
                    "the classes from 0 to at most %zu",
                    value, at + i, WITAN_CLASSES_MAX - 1);
            }
            labels[at + i] = (uint32_t)value;
        }
        at += run;
    }
    return WITAN_OK;
}

witan_status
witan_npy_read_labels(uint32_t **labels, size_t *count, witan_stream *stream,
                      witan_diag *diag)
{
    array_header header = {0};
    uint32_t *read = NULL;
    witan_status status;

    *labels = NULL;
    WITAN_TRY(read_header(&header, stream, diag));
    if (header.kind == 'f' ||
        (header.rank != 1 && !(header.rank == 2 && header.shape[1] == 1))) {
        return witan_stream_fail(
            stream, diag, WITAN_E_DATA,
            "labels must be integers of shape [N]; save "
            "y.astype('int32').ravel(), or argmax of one-hot rows");
    }
    *count = header.shape[0];
    WITAN_TRY(witan_labels_allocate(&read, *count, header.element, stream, diag));
    status = read_integers(read, *count, &header, stream, diag);
    if (status == WITAN_OK) {
        status = witan_stream_end(stream, diag);
    }
    if (status == WITAN_OK) {
        *labels = read;
        return WITAN_OK;
    }
    witan_free(stream->allocator, read);
    return status;
}
