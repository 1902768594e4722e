#include "data/dataset.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "digests and readers take little-endian memory as it is");

void
witan_dataset_fini(witan_dataset *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->bytes);
    witan_free(allocator, self->values);
    witan_free(allocator, self->scale);
    witan_free(allocator, self->shift);
    witan_free(allocator, self->labels);
    if (self->class_names != NULL) {
        for (size_t c = 0; c < self->classes; c++) {
            witan_free(allocator, self->class_names[c]);
        }
        witan_free(allocator, self->class_names);
    }
    memset(self, 0, sizeof *self);
}

size_t
witan_dataset_features(const witan_dataset *self)
{
    return self->height * self->width * self->channels;
}

/* x = raw * scale + shift, [count] each. Written twice because C has no generics; both
 * loops vectorise. */
static void
apply_bytes(float *restrict x, const uint8_t *restrict raw, const float *restrict scale,
            const float *restrict shift, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        x[j] = (float)raw[j] * scale[j] + shift[j];
    }
}

static void
apply_values(float *restrict x, const float *restrict raw, const float *restrict scale,
             const float *restrict shift, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        x[j] = raw[j] * scale[j] + shift[j];
    }
}

enum {
    PATTERN = 256
};

/* The scales repeated along a row, so that the inner loop has no modulo: `span` entries
 * that start at channel 0. Rows of many columns use the set's own arrays. */
typedef struct pattern {
    float scale[PATTERN], shift[PATTERN];
    const float *scales, *shifts;
    size_t span;
} pattern;

static void
pattern_init(pattern *self, const witan_dataset *set)
{
    if (set->scales > PATTERN / 2) {
        self->scales = set->scale;
        self->shifts = set->shift;
        self->span = set->scales;
        return;
    }
    self->span = PATTERN / set->scales * set->scales;
    for (size_t j = 0; j < self->span; j++) {
        self->scale[j] = set->scale[j % set->scales];
        self->shift[j] = set->shift[j % set->scales];
    }
    self->scales = self->scale;
    self->shifts = self->shift;
}

void
witan_dataset_gather(const void *dataset, const uint32_t *indices, size_t count,
                     float *x, uint32_t *labels)
{
    const witan_dataset *self = dataset;
    size_t features = witan_dataset_features(self);
    pattern repeat;

    pattern_init(&repeat, self);
    for (size_t i = 0; i < count; i++) {
        size_t row = indices[i];
        WITAN_ASSERT(row < self->samples);
        for (size_t j = 0; x != NULL && j < features; j += repeat.span) {
            size_t run = features - j < repeat.span ? features - j : repeat.span;
            size_t at = row * features + j;
            float *to = x + i * features + j;
            if (self->bytes != NULL) {
                apply_bytes(to, self->bytes + at, repeat.scales, repeat.shifts, run);
            } else {
                apply_values(to, self->values + at, repeat.scales, repeat.shifts, run);
            }
        }
        if (labels != NULL) {
            labels[i] = self->labels[row];
        }
    }
}

/* Makes scale and shift [channels]; keeps what was there when memory is short. */
static witan_status
make_scales(witan_dataset *self, const witan_allocator *allocator)
{
    float *scale = witan_alloc(allocator, self->channels, sizeof *scale);
    float *shift = witan_alloc(allocator, self->channels, sizeof *shift);
    if (scale == NULL || shift == NULL) {
        witan_free(allocator, scale);
        witan_free(allocator, shift);
        return WITAN_E_MEMORY;
    }
    witan_free(allocator, self->scale);
    witan_free(allocator, self->shift);
    self->scale = scale;
    self->shift = shift;
    self->scales = self->channels;
    return WITAN_OK;
}

typedef struct moments {
    double sum, squares, mean; /* squares: of the distance from the mean */
} moments;

enum {
    BLOCK = 4096 /* pixels whose squared bytes add up in 32 bits */
};

/* One pass in integers, exact and quick: images are large. */
static void
byte_moments(const witan_dataset *self, moments *channel, size_t pixels)
{
    size_t C = self->channels;

    for (size_t first = 0; first < pixels; first += BLOCK) {
        size_t count = pixels - first < BLOCK ? pixels - first : BLOCK;
        for (size_t c = 0; c < C; c++) {
            const uint8_t *raw = self->bytes + first * C + c;
            uint32_t sum = 0, squares = 0;
            for (size_t p = 0; p < count; p++) {
                uint8_t value = raw[p * C];
                sum += value;
                squares += (uint32_t)value * value;
            }
            channel[c].sum += sum;
            channel[c].squares += squares;
        }
    }
    for (size_t c = 0; c < C; c++) {
        channel[c].mean = channel[c].sum / (double)pixels;
        channel[c].squares -= channel[c].sum * channel[c].mean;
    }
}

/* Two passes in double: the mean first, so that no digits cancel. */
static void
float_moments(const witan_dataset *self, moments *channel, size_t pixels)
{
    size_t C = self->channels;

    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < C; c++) {
            channel[c].sum += (double)self->values[p * C + c];
        }
    }
    for (size_t c = 0; c < C; c++) {
        channel[c].mean = channel[c].sum / (double)pixels;
    }
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < C; c++) {
            double distance = (double)self->values[p * C + c] - channel[c].mean;
            channel[c].squares += distance * distance;
        }
    }
}

witan_status
witan_dataset_fit_scale(witan_dataset *self, const witan_allocator *allocator)
{
    size_t pixels = self->samples * self->height * self->width;
    moments *channel = witan_zalloc(allocator, self->channels, sizeof *channel);

    if (channel == NULL || make_scales(self, allocator) != WITAN_OK) {
        witan_free(allocator, channel);
        return WITAN_E_MEMORY;
    }
    if (self->bytes != NULL) {
        byte_moments(self, channel, pixels);
    } else {
        float_moments(self, channel, pixels);
    }
    for (size_t c = 0; c < self->channels; c++) {
        double sd = sqrt(channel[c].squares / (double)pixels), scale = 1.0 / sd;
        /* Constant, up to the rounding of its sum; or too narrow for a float. */
        if (!(sd > 1e-9 * fabs(channel[c].mean)) || !isfinite((float)scale)) {
            scale = 1.0;
        }
        self->scale[c] = (float)scale;
        self->shift[c] = (float)(-channel[c].mean * scale);
    }
    witan_free(allocator, channel);
    return WITAN_OK;
}

witan_status
witan_dataset_copy_scale(witan_dataset *self, const witan_dataset *from,
                         const witan_allocator *allocator, witan_diag *diag)
{
    if (self->height != from->height || self->width != from->width ||
        self->channels != from->channels) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "rows of %zux%zux%zu cannot take the scale of rows of "
                               "%zux%zux%zu; use sets of the same shape",
                               self->height, self->width, self->channels, from->height,
                               from->width, from->channels);
    }
    if (make_scales(self, allocator) != WITAN_OK) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for %zu scales",
                               from->scales);
    }
    memcpy(self->scale, from->scale, self->scales * sizeof *self->scale);
    memcpy(self->shift, from->shift, self->scales * sizeof *self->shift);
    return WITAN_OK;
}

void
witan_dataset_digest(const witan_dataset *self, uint8_t out[32])
{
    size_t count = self->samples * witan_dataset_features(self);
    witan_digest digest;

    witan_digest_init(&digest);
    witan_digest_update_u64(&digest, self->samples);
    witan_digest_update_u64(&digest, self->height);
    witan_digest_update_u64(&digest, self->width);
    witan_digest_update_u64(&digest, self->channels);
    witan_digest_update_u64(&digest, self->classes);
    witan_digest_update_u64(&digest, self->bytes != NULL ? 1 : sizeof *self->values);
    if (self->bytes != NULL) {
        witan_digest_update(&digest, self->bytes, count);
    } else {
        witan_digest_update(&digest, self->values, count * sizeof *self->values);
    }
    if (self->labels != NULL) {
        witan_digest_update(&digest, self->labels,
                            self->samples * sizeof *self->labels);
    }
    witan_digest_final(&digest, out);
}
