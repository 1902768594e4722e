#include "knowledge/soft_labels.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "num/softmax.h"

/* u16 probabilities are k / UNITS; the fraction that rounding drops is kept to
 * 2^-FRACTION_BITS of a unit, so that unit and fraction fit one int32. */
#define UNITS 65535
#define FRACTION_BITS 15
#define FRACTION_MASK ((1 << FRACTION_BITS) - 1)
/* Up to this many classes remainders are ranked by counting, above by histograms. */
#define RANKED_CLASSES 32
/* A vector of GCC and Clang: the compilers' own vectorisers trip over these loops. */
#define LANES 4
typedef int32_t lanes __attribute__((vector_size(LANES * sizeof(int32_t))));
#define PART ((size_t)256)
#define LOG_FLOOR 32.0 /* u16 log-probabilities reach from 0 to -LOG_FLOOR */

#define PROBABILITY_TOLERANCE 1e-3
#define LOG_PROBABILITY_TOLERANCE 1e-2

static uint16_t
load_u16(const uint8_t *bytes, size_t i)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint16_t value;
    memcpy(&value, bytes + 2 * i, sizeof value);
    return value;
#else
    return (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
#endif
}

static void
store_u16(uint8_t *bytes, size_t i, int32_t value)
{
    uint16_t narrow = (uint16_t)value;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(bytes + 2 * i, &narrow, sizeof narrow);
#else
    bytes[2 * i] = (uint8_t)narrow;
    bytes[2 * i + 1] = (uint8_t)(narrow >> 8);
#endif
}

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

static size_t
codec_width(witan_codec codec)
{
    return codec == WITAN_CODEC_F32 ? sizeof(float) : sizeof(uint16_t);
}

size_t
witan_soft_labels_size(witan_codec codec, size_t rows, size_t classes)
{
    size_t values, size;
    if (__builtin_mul_overflow(rows, classes, &values) ||
        __builtin_mul_overflow(values, codec_width(codec), &size)) {
        return 0;
    }
    return size;
}

witan_status
witan_soft_labels_new(witan_soft_labels *out, const witan_allocator *allocator,
                      witan_knowledge_kind kind, witan_codec codec, size_t rows,
                      size_t classes)
{
    *out = (witan_soft_labels){0};
    if (rows == 0 || classes == 0) {
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

/* In four lanes, so that the additions do not wait for each other. */
static double
row_sum(const float *p, size_t C)
{
    double lane[4] = {0.0};
    size_t c = 0;
    for (; c + 4 <= C; c += 4) {
        for (size_t i = 0; i < 4; i++) {
            lane[i] += (double)p[c + i];
        }
    }
    for (; c < C; c++) {
        lane[0] += (double)p[c];
    }
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* Units (high bits) and fraction (low bits) of one probability. */
static int32_t
fixed_point(float p, double scale)
{
    return (int32_t)((double)p * scale);
}

/* Gives the missing units to the largest fractions: the rank of a fraction is the count
 * of larger ones. Keys are unique: the class breaks ties. Zeros fill the last vector;
 * their keys are below those of all classes. */
static void
round_row_ranked(uint8_t *bytes, const float *p, double scale, size_t C)
{
    float padded[RANKED_CLASSES];
    int32_t key[RANKED_CLASSES], missing = UNITS;
    lanes units[RANKED_CLASSES / LANES];
    size_t vectors = (C + LANES - 1) / LANES;
    memset(padded + (vectors - 1) * LANES, 0, LANES * sizeof *padded);
    memcpy(padded, p, C * sizeof *padded);
    for (size_t v = 0; v < vectors; v++) {
        for (size_t i = 0; i < LANES; i++) {
            size_t c = v * LANES + i;
            int32_t fixed = fixed_point(padded[c], scale);
            units[v][i] = fixed >> FRACTION_BITS;
            key[c] = (fixed & FRACTION_MASK) << 16 | (0xffff - (int32_t)c);
        }
    }
    for (size_t v = 0; v < vectors; v++) {
        missing -= (units[v][0] + units[v][1]) + (units[v][2] + units[v][3]);
    }
    const lanes wanted = {missing, missing, missing, missing};
    for (size_t v = 0; v < vectors; v++) {
        lanes own, rank = {0};
        memcpy(&own, key + v * LANES, sizeof own);
        for (size_t c = 0; c < C; c++) {
            lanes other = {key[c], key[c], key[c], key[c]};
            rank -= own < other; /* a true lane is -1 */
        }
        units[v] -= rank < wanted;
    }
    for (size_t c = 0; c < C; c++) {
        store_u16(bytes, c, units[c / LANES][c % LANES]);
    }
}

/* From the top bucket down: the bucket that holds the *wanted-th entry; *wanted becomes
 * its rank within the bucket. */
static size_t
bucket_of_rank(const uint32_t *count, size_t buckets, int32_t *wanted)
{
    size_t b = buckets - 1;
    while ((int64_t)count[b] < *wanted) {
        *wanted -= (int32_t)count[b--];
    }
    return b;
}

/* The next part of a row, at most PART classes from c on, as fixed point; returns how
 * many. Apart from the histograms, so that the conversion vectorises. */
static size_t
fixed_part(int32_t fixed[PART], const float *p, double scale, size_t c, size_t C)
{
    size_t count = C - c < PART ? C - c : PART;
    for (size_t i = 0; i < count; i++) {
        fixed[i] = fixed_point(p[c + i], scale);
    }
    return count;
}

/* As round_row_ranked in O(C): the smallest fraction that still gets a unit is found
 * through two histograms, of its high 8 and its low 7 bits. */
static void
round_row_histogram(uint8_t *bytes, const float *p, double scale, size_t C)
{
    uint32_t high[256] = {0}, low[128] = {0};
    int32_t fixed[PART], missing = UNITS;
    for (size_t c = 0, count; c < C; c += count) {
        count = fixed_part(fixed, p, scale, c, C);
        for (size_t i = 0; i < count; i++) {
            missing -= fixed[i] >> FRACTION_BITS;
            high[(fixed[i] & FRACTION_MASK) >> 7]++;
        }
    }
    int32_t ties = missing;
    int32_t bucket = (int32_t)bucket_of_rank(high, 256, &ties);
    for (size_t c = 0, count; c < C; c += count) {
        count = fixed_part(fixed, p, scale, c, C);
        for (size_t i = 0; i < count; i++) {
            if ((fixed[i] & FRACTION_MASK) >> 7 == bucket) {
                low[fixed[i] & 127]++;
            }
        }
    }
    int32_t threshold = bucket << 7 | (int32_t)bucket_of_rank(low, 128, &ties);
    for (size_t c = 0, count; c < C; c += count) {
        count = fixed_part(fixed, p, scale, c, C);
        for (size_t i = 0; i < count; i++) {
            int32_t fraction = fixed[i] & FRACTION_MASK;
            store_u16(bytes, c + i,
                      (fixed[i] >> FRACTION_BITS) + (fraction > threshold));
        }
        for (size_t i = 0; i < count && ties > 0; i++) {
            if ((fixed[i] & FRACTION_MASK) == threshold) {
                store_u16(bytes, c + i, (fixed[i] >> FRACTION_BITS) + 1);
                ties--;
            }
        }
    }
}

static witan_status
encode_probabilities_u16(uint8_t *bytes, const float *p, size_t count, size_t C)
{
    for (size_t n = 0; n < count; n++, p += C, bytes += 2 * C) {
        double sum = row_sum(p, C);
        if (!(sum > 0.0)) {
            return WITAN_E_NUMERIC;
        }
        double scale = (double)(UNITS << FRACTION_BITS) / sum;
        if (C <= RANKED_CLASSES) {
            round_row_ranked(bytes, p, scale, C);
        } else {
            round_row_histogram(bytes, p, scale, C);
        }
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
        store_u16(bytes, i, (int32_t)(depth * (UNITS / LOG_FLOOR) + 0.5));
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
    size_t C = self->classes;
    uint8_t *bytes = self->bytes + first * C * codec_width(self->codec);
    bool probability = self->kind == WITAN_KNOWLEDGE_PROBABILITY;
    if (!all_from(probability ? 0.0F : -FLT_MAX, values, count * C)) {
        return WITAN_E_NUMERIC;
    }
    if (self->codec == WITAN_CODEC_F32) {
        copy_f32(bytes, values, count * C);
        return WITAN_OK;
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
    const uint8_t *bytes =
        self->bytes + first * self->classes * codec_width(self->codec);
    size_t total = count * self->classes;
    if (self->codec == WITAN_CODEC_F32) {
        copy_f32(values, bytes, total);
    } else if (self->kind == WITAN_KNOWLEDGE_PROBABILITY) {
        for (size_t i = 0; i < total; i++) {
            values[i] = (float)load_u16(bytes, i) / (float)UNITS;
        }
    } else {
        const float step = (float)(-LOG_FLOOR / UNITS);
        for (size_t i = 0; i < total; i++) {
            values[i] = (float)load_u16(bytes, i) * step;
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
    if ((unsigned)self->kind > WITAN_KNOWLEDGE_LOG_PROBABILITY ||
        (unsigned)self->codec > WITAN_CODEC_U16) {
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
