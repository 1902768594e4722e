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
    for (size_t v = 0; self->token_names != NULL && v < self->vocabulary; v++) {
        witan_free(allocator, self->token_names[v]);
    }
    witan_free(allocator, self->token_names);
    witan_free(allocator, self->tokens);
    witan_free(allocator, self->starts);
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

    if (x != NULL) {
        WITAN_ASSERT(self->length == 0);
        pattern_init(&repeat, self);
    }
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

void
witan_dataset_windows(const void *dataset, const uint32_t *indices, size_t count,
                      uint32_t *tokens)
{
    const witan_dataset *self = dataset;
    size_t window = self->length + 1;
    for (size_t i = 0; i < count; i++) {
        WITAN_ASSERT(indices[i] < self->samples);
        memcpy(tokens + i * window, self->tokens + self->starts[indices[i]],
               window * sizeof *tokens);
    }
}

size_t
witan_dataset_outputs(const witan_dataset *self)
{
    return self->length > 0 ? self->vocabulary : self->classes;
}

size_t
witan_dataset_positions(const witan_dataset *self)
{
    return self->length > 0 ? self->length : 1;
}

/* --- rows that a caller adds ------------------------------------------------------ */

/* A larger copy of *block, [held] of `size` bytes; *block is left alone. */
static void *
enlarge(const void *block, size_t held, size_t room, size_t size,
        const witan_allocator *allocator)
{
    void *larger = witan_alloc(allocator, room, size);
    if (larger != NULL && held > 0) {
        memcpy(larger, block, held * size);
    }
    return larger;
}

/* Room for `more` things behind `held`. */
static size_t
more_room(size_t held, size_t more)
{
    return held + (more > held / 4 ? more : held / 4) + 16;
}

/* Room for one row more; self holds what it held. */
static witan_status
make_room(witan_dataset *self, const witan_allocator *allocator)
{
    size_t room = more_room(self->samples, 1), features = witan_dataset_features(self);
    size_t element = self->bytes != NULL ? 1 : sizeof *self->values;
    bool text = self->length > 0, labelled = self->labels != NULL;
    const void *raw = self->bytes != NULL ? (void *)self->bytes : (void *)self->values;
    void *rows = text
                     ? enlarge(self->starts, self->samples, room, sizeof *self->starts,
                               allocator)
                     : enlarge(raw, self->samples, room, features * element, allocator);
    uint32_t *labels =
        labelled ? enlarge(self->labels, self->samples, room, sizeof *labels, allocator)
                 : NULL;
    if (rows == NULL || (labelled && labels == NULL)) {
        witan_free(allocator, rows);
        witan_free(allocator, labels);
        return WITAN_E_MEMORY;
    }
    if (text) {
        witan_free(allocator, self->starts);
        self->starts = rows;
    } else if (self->bytes != NULL) {
        witan_free(allocator, self->bytes);
        self->bytes = rows;
    } else {
        witan_free(allocator, self->values);
        self->values = rows;
    }
    if (labelled) {
        witan_free(allocator, self->labels);
        self->labels = labels;
    }
    self->row_room = room;
    return WITAN_OK;
}

static witan_status
make_token_room(witan_dataset *self, const witan_allocator *allocator)
{
    size_t room = more_room(self->token_count, self->length + 1);
    uint32_t *tokens =
        enlarge(self->tokens, self->token_count, room, sizeof *tokens, allocator);
    if (tokens == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_free(allocator, self->tokens);
    self->tokens = tokens;
    self->token_room = room;
    return WITAN_OK;
}

static bool
fits(const witan_dataset *self, const float *features, const uint32_t *tokens,
     uint32_t label)
{
    size_t count = self->length > 0 ? self->length + 1 : witan_dataset_features(self);
    if ((self->length > 0 ? tokens == NULL : features == NULL) ||
        (self->labels != NULL && label >= self->classes)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        bool good = self->length > 0 ? tokens[i] < self->vocabulary
                    : self->bytes == NULL
                        ? isfinite(features[i])
                        : features[i] >= 0.0f && features[i] <= 255.0f &&
                              floorf(features[i]) == features[i];
        if (!good) {
            return false;
        }
    }
    return true;
}

witan_status
witan_dataset_append(witan_dataset *self, const float *features, const uint32_t *tokens,
                     uint32_t label, const witan_allocator *allocator)
{
    size_t count = witan_dataset_features(self), window = self->length + 1;
    if (!fits(self, features, tokens, label)) {
        return WITAN_E_INVALID;
    }
    if (self->samples >= WITAN_SAMPLES_MAX ||
        (self->length > 0 && self->token_count > WITAN_TOKENS_MAX - window)) {
        return WITAN_E_LIMIT;
    }
    if (self->row_room <= self->samples) {
        WITAN_TRY(make_room(self, allocator));
    }
    if (self->length > 0) {
        if (self->token_room < self->token_count + window) {
            WITAN_TRY(make_token_room(self, allocator));
        }
        memcpy(self->tokens + self->token_count, tokens, window * sizeof *tokens);
        self->starts[self->samples] = (uint32_t)self->token_count;
        self->token_count += window;
    } else if (self->bytes != NULL) {
        for (size_t j = 0; j < count; j++) {
            self->bytes[self->samples * count + j] = (uint8_t)features[j];
        }
    } else {
        memcpy(self->values + self->samples * count, features,
               count * sizeof *features);
    }
    if (self->labels != NULL) {
        self->labels[self->samples] = label;
    }
    self->samples++;
    return WITAN_OK;
}

/* --- scale ------------------------------------------------------------------------ */

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
    if ((self->length > 0) != (from->length > 0)) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "text cannot take the scale of rows of numbers, nor "
                               "they that of text; use sets of the same kind");
    }
    if (self->length > 0) {
        return WITAN_OK;
    }
    if (make_scales(self, allocator) != WITAN_OK) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for %zu scales",
                               from->scales);
    }
    memcpy(self->scale, from->scale, self->scales * sizeof *self->scale);
    memcpy(self->shift, from->shift, self->scales * sizeof *self->shift);
    return WITAN_OK;
}

/* What the windows say, not how their tokens lie. */
static void
digest_text(witan_digest *digest, const witan_dataset *self)
{
    witan_digest_update_u64(digest, self->vocabulary);
    for (size_t v = 0; self->token_names != NULL && v < self->vocabulary; v++) {
        size_t length = strlen(self->token_names[v]);
        witan_digest_update_u64(digest, length);
        witan_digest_update(digest, self->token_names[v], length);
    }
    for (size_t i = 0; i < self->samples; i++) {
        witan_digest_update(digest, self->tokens + self->starts[i],
                            (self->length + 1) * sizeof *self->tokens);
    }
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
    witan_digest_update_u64(&digest, self->length > 0      ? 2
                                     : self->bytes != NULL ? 1
                                                           : sizeof *self->values);
    if (self->length > 0) {
        digest_text(&digest, self);
    } else if (self->bytes != NULL) {
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
