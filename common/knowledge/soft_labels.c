#include "knowledge/soft_labels.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "knowledge/soft_labels_private.h"
#include "num/softmax.h"

#define LOG_FLOOR 32.0 /* u16 log-probabilities reach from 0 to -LOG_FLOOR */

#define PROBABILITY_TOLERANCE 1e-3
#define LOG_PROBABILITY_TOLERANCE 1e-2

/* Between float32 and its four little-endian bytes, in place or not. */
static void
copy_f32(void *to, const void *from, size_t count)
{
    memmove(to, from, count * sizeof(float));
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    uint8_t *bytes = to;
    for (size_t i = 0; i < count; i++, bytes += 4) {
        uint8_t b0 = bytes[0], b1 = bytes[1];
        bytes[0] = bytes[3], bytes[3] = b0;
        bytes[1] = bytes[2], bytes[2] = b1;
    }
#endif
}

size_t
witan_codec_top(witan_codec codec)
{
    return (codec & 0xff) == WITAN_CODEC_TOP_KIND ? codec >> 8 : 0;
}

bool
witan_codec_is_valid(uint32_t codec)
{
    size_t k = witan_codec_top(codec);
    return codec == WITAN_CODEC_F32 || codec == WITAN_CODEC_U16 ||
           (k >= 1 && k <= WITAN_TOP_MAX);
}

/* Bytes of a row; a row that was checked or taken does not overflow. */
static size_t
row_size(witan_codec codec, size_t classes)
{
    size_t k = witan_codec_top(codec);
    return k > 0                      ? k * 2 * sizeof(uint16_t)
           : codec == WITAN_CODEC_F32 ? classes * sizeof(float)
                                      : classes * sizeof(uint16_t);
}

size_t
witan_soft_labels_size(witan_codec codec, size_t rows, size_t classes)
{
    size_t size;
    if (!witan_codec_is_valid(codec) || witan_codec_top(codec) > classes ||
        classes > SIZE_MAX / sizeof(float) ||
        __builtin_mul_overflow(rows, row_size(codec, classes), &size)) {
        return 0;
    }
    return size;
}

/* Whether a kind can travel by a codec. */
static bool
is_expressible(witan_knowledge_kind kind, witan_codec codec)
{
    return witan_codec_is_valid(codec) &&
           (kind == WITAN_KNOWLEDGE_PROBABILITY ||
            (kind == WITAN_KNOWLEDGE_LOG_PROBABILITY && witan_codec_top(codec) == 0));
}

witan_status
witan_soft_labels_new(witan_soft_labels *out, const witan_allocator *allocator,
                      witan_knowledge_kind kind, witan_codec codec, size_t rows,
                      size_t classes)
{
    *out = (witan_soft_labels){0};
    if (rows == 0 || classes == 0 || !is_expressible(kind, codec) ||
        witan_codec_top(codec) > classes) {
        return WITAN_E_INVALID;
    }
    size_t size = witan_soft_labels_size(codec, rows, classes);
    if (rows > WITAN_SAMPLES_MAX || classes > WITAN_CLASSES_MAX || size == 0) {
        return WITAN_E_LIMIT;
    }
    uint8_t *bytes = witan_alloc(allocator, size, 1);
    if (bytes == NULL) {
        return WITAN_E_MEMORY;
    }
    *out = (witan_soft_labels){kind, codec, rows, classes, bytes, size};
    return WITAN_OK;
}

void
witan_soft_labels_fini(witan_soft_labels *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->bytes);
    *self = (witan_soft_labels){0};
}

static witan_status
encode_probabilities_u16(uint8_t *bytes, const float *p, size_t count, size_t C)
{
    for (size_t n = 0; n < count; n++, p += C, bytes += 2 * C) {
        double sum = witan_row_sum(p, C);
        if (!(sum > 0.0)) {
            return WITAN_E_NUMERIC;
        }
        witan_round_row(bytes, p, sum, C);
    }
    return WITAN_OK;
}

static void
encode_log_probabilities_u16(uint8_t *bytes, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double depth = -(double)values[i];
        depth = depth > 0.0 ? depth : 0.0;
        depth = depth < LOG_FLOOR ? depth : LOG_FLOOR;
        witan_store_u16(bytes, i,
                        (int32_t)(depth * (WITAN_LABEL_UNITS / LOG_FLOOR) + 0.5));
    }
}

/* Every value in [lowest, FLT_MAX]; false for NaN. */
static bool
all_from(float lowest, const float *values, size_t count)
{
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        bad |= !(values[i] >= lowest) | !(values[i] <= FLT_MAX);
    }
    return bad == 0;
}

witan_status
witan_soft_labels_encode(witan_soft_labels *self, size_t first, size_t count,
                         const float *values)
{
    WITAN_ASSERT(first <= self->rows && count <= self->rows - first);
    size_t C = self->classes, k = witan_codec_top(self->codec);
    uint8_t *bytes = self->bytes + first * row_size(self->codec, C);
    bool probability = self->kind == WITAN_KNOWLEDGE_PROBABILITY;
    if (!all_from(probability ? 0.0F : -FLT_MAX, values, count * C)) {
        return WITAN_E_NUMERIC;
    }
    if (self->codec == WITAN_CODEC_F32) {
        copy_f32(bytes, values, count * C);
        return WITAN_OK;
    }
    if (k > 0) {
        return witan_top_encode(bytes, values, count, k, C);
    }
    if (probability) {
        return encode_probabilities_u16(bytes, values, count, C);
    }
    encode_log_probabilities_u16(bytes, values, count * C);
    return WITAN_OK;
}

void
witan_soft_labels_decode(const witan_soft_labels *self, size_t first, size_t count,
                         float *values)
{
    WITAN_ASSERT(first <= self->rows && count <= self->rows - first);
    size_t C = self->classes, k = witan_codec_top(self->codec), total = count * C;
    const uint8_t *bytes = self->bytes + first * row_size(self->codec, C);
    if (self->codec == WITAN_CODEC_F32) {
        copy_f32(values, bytes, total);
    } else if (k > 0) {
        witan_top_decode(values, bytes, count, k, C);
    } else if (self->kind == WITAN_KNOWLEDGE_PROBABILITY) {
        for (size_t i = 0; i < total; i++) {
            values[i] = (float)witan_load_u16(bytes, i) / (float)WITAN_LABEL_UNITS;
        }
    } else {
        const float step = (float)(-LOG_FLOOR / WITAN_LABEL_UNITS);
        for (size_t i = 0; i < total; i++) {
            values[i] = (float)witan_load_u16(bytes, i) * step;
        }
    }
}

void
witan_soft_labels_probabilities(const witan_soft_labels *self, size_t first,
                                size_t count, float *p)
{
    witan_soft_labels_decode(self, first, count, p);
    if (self->kind == WITAN_KNOWLEDGE_LOG_PROBABILITY) {
        witan_softmax(p, p, 1.0, count, self->classes);
    }
}

void
witan_soft_labels_top(const witan_soft_labels *self, size_t first, size_t count,
                      uint32_t *token, float *mass)
{
    WITAN_ASSERT(first <= self->rows && count <= self->rows - first);
    size_t k = witan_codec_top(self->codec);
    WITAN_ASSERT(k > 0);
    const uint8_t *bytes = self->bytes + first * row_size(self->codec, self->classes);
    for (size_t i = 0; i < count * k; i++) {
        token[i] = witan_load_u16(bytes, 2 * i);
        mass[i] = (float)witan_load_u16(bytes, 2 * i + 1) / (float)WITAN_LABEL_UNITS;
    }
}

static witan_status
bad_row(witan_diag *diag, size_t row, const char *problem)
{
    return witan_diag_fail(diag, WITAN_E_DATA,
                           "soft labels, row %zu: %s; the sender must send them again",
                           row, problem);
}

/* One row [C], decoded up to 256 values at a time. */
static witan_status
check_row(const witan_soft_labels *self, size_t row, witan_diag *diag)
{
    size_t k = witan_codec_top(self->codec);
    if (k > 0) {
        const char *problem = witan_top_problem(
            self->bytes + row * row_size(self->codec, self->classes), k, self->classes);
        return problem == NULL ? WITAN_OK : bad_row(diag, row, problem);
    }
    bool probability = self->kind == WITAN_KNOWLEDGE_PROBABILITY;
    float values[256];
    double sum = 0.0;
    /* A view of the same bytes as a single column, so that parts of a row decode. */
    witan_soft_labels column = *self;
    column.rows = self->rows * self->classes;
    column.classes = 1;
    for (size_t c = 0; c < self->classes; c += 256) {
        size_t count = self->classes - c < 256 ? self->classes - c : 256;
        witan_soft_labels_decode(&column, row * self->classes + c, count, values);
        for (size_t i = 0; i < count; i++) {
            if (!(fabsf(values[i]) <= FLT_MAX)) {
                return bad_row(diag, row, "a value is not a finite number");
            }
            if (probability && values[i] < 0.0F) {
                return bad_row(diag, row, "a probability is negative");
            }
            if (!probability && values[i] > 0.0F) {
                return bad_row(diag, row, "a log-probability is above 0");
            }
            sum += probability ? (double)values[i] : exp((double)values[i]);
        }
    }
    double tolerance = probability ? PROBABILITY_TOLERANCE : LOG_PROBABILITY_TOLERANCE;
    if (!(fabs(sum - 1.0) <= tolerance)) {
        return bad_row(diag, row, "the probabilities do not sum to 1");
    }
    return WITAN_OK;
}

witan_status
witan_soft_labels_check(const witan_soft_labels *self, witan_diag *diag)
{
    if (!is_expressible(self->kind, self->codec)) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "soft labels: unknown kind or codec; the sender must use "
            "what the round announced");
    }
    size_t size = witan_soft_labels_size(self->codec, self->rows, self->classes);
    if (self->bytes == NULL || size == 0 || size != self->size ||
        self->rows > WITAN_SAMPLES_MAX || self->classes > WITAN_CLASSES_MAX) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "soft labels: %zu bytes do not hold %zu rows of %zu "
                               "classes; the sender must use the announced shape",
                               self->size, self->rows, self->classes);
    }
    for (size_t row = 0; row < self->rows; row++) {
        WITAN_TRY(check_row(self, row, diag));
    }
    return WITAN_OK;
}
