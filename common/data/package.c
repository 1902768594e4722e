#include "data/package.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"
#include "data/text.h"

/* Numbers travel as they lie in memory: dataset.c asserts that it is little-endian. */

static const char magic[8] = {'W', 'T', 'N', 'T', 'S', 'E', 'T', '1'};

typedef struct header {
    uint32_t element; /* bytes of a number; TOKEN: text */
    uint32_t height, width, channels, classes, rows, scales, names;
} header;

enum {
    HEADER = sizeof magic + sizeof(header),
    TOKEN = 2
};

_Static_assert(WITAN_CLASSES_MAX <= UINT16_MAX + 1, "a token takes two bytes");

/* Scales, shifts and rows: the part that follows the names. Cannot overflow: the
 * limits on rows, features and scales keep it below 2^58. */
static uint64_t
numbers_size(const header *it)
{
    uint64_t features = (uint64_t)it->height * it->width * it->channels;
    return 2 * sizeof(float) * (uint64_t)it->scales + it->element * features * it->rows;
}

/* Refused are the control characters of ASCII and, as UTF-8, those of Latin-1: a name
 * ends up on somebody's terminal. */
static bool
name_is_plain(const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool latin = name[i] == 0xC2 && i + 1 < length && name[i + 1] >= 0x80 &&
                     name[i + 1] <= 0x9F;
        if (name[i] < 0x20 || name[i] == 0x7F || latin) {
            return false;
        }
    }
    return true;
}

/* --- writing ---------------------------------------------------------------------- */

/* What the names of a package name. */
static char *const *
names_of(const witan_dataset *set)
{
    return set->length > 0 ? set->token_names : set->class_names;
}

static witan_status
measure_names(const witan_dataset *set, size_t *size, witan_diag *diag)
{
    char *const *names = names_of(set);
    *size = 0;
    for (size_t c = 0; names != NULL && c < witan_dataset_outputs(set); c++) {
        size_t length = strlen(names[c]);
        if (length > WITAN_CLASS_NAME_MAX ||
            !name_is_plain((const uint8_t *)names[c], length)) {
            return witan_diag_fail(diag, WITAN_E_DATA,
                                   "the name of %s %zu has %zu bytes or control "
                                   "characters; use a plain one of at most %zu bytes",
                                   set->length > 0 ? "token" : "class", c, length,
                                   WITAN_CLASS_NAME_MAX);
        }
        *size += 1 + length;
    }
    return WITAN_OK;
}

static uint8_t *
put(uint8_t *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

static uint8_t *
put_window(uint8_t *to, const witan_dataset *set, uint32_t row)
{
    const uint32_t *tokens = set->tokens + set->starts[row];
    for (size_t t = 0; t <= set->length; t++) {
        uint16_t token = (uint16_t)tokens[t];
        to = put(to, &token, sizeof token);
    }
    return to;
}

static void
write_all(uint8_t *to, const header *it, const witan_dataset *set,
          const uint32_t *indices)
{
    size_t row = it->element * witan_dataset_features(set);
    char *const *names = names_of(set);
    const uint8_t *rows =
        set->bytes != NULL ? set->bytes : (const uint8_t *)set->values;
    to = put(to, magic, sizeof magic);
    to = put(to, it, sizeof *it);
    for (size_t c = 0; c < it->names; c++) {
        uint8_t length = (uint8_t)strlen(names[c]);
        to = put(to, &length, 1);
        to = put(to, names[c], length);
    }
    if (it->scales > 0) {
        to = put(to, set->scale, it->scales * sizeof *set->scale);
        to = put(to, set->shift, it->scales * sizeof *set->shift);
    }
    for (size_t i = 0; i < it->rows; i++) {
        WITAN_ASSERT(indices[i] < set->samples);
        to = it->element == TOKEN ? put_window(to, set, indices[i])
                                  : put(to, rows + indices[i] * row, row);
    }
}

witan_status
witan_package_write(uint8_t **out, size_t *size, const witan_dataset *set,
                    const uint32_t *indices, size_t count,
                    const witan_allocator *allocator, witan_diag *diag)
{
    *out = NULL;
    *size = 0;
    if (count == 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "transfer.samples: the transfer set has no rows");
    }
    size_t names;
    WITAN_TRY(measure_names(set, &names, diag));
    header it = {
        .element = set->length > 0      ? TOKEN
                   : set->bytes != NULL ? 1
                                        : sizeof *set->values,
        .height = (uint32_t)set->height,
        .width = (uint32_t)(set->length > 0 ? set->length + 1 : set->width),
        .channels = (uint32_t)set->channels,
        .classes = (uint32_t)witan_dataset_outputs(set),
        .rows = count < WITAN_SAMPLES_MAX ? (uint32_t)count : WITAN_SAMPLES_MAX,
        .scales = (uint32_t)set->scales,
        .names = names_of(set) != NULL ? (uint32_t)witan_dataset_outputs(set) : 0,
    };
    uint64_t total = HEADER + names + numbers_size(&it);
    if (total > WITAN_PACKAGE_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "a transfer set of %zu rows takes %llu bytes, at most "
                               "%zu can travel; lower transfer.samples",
                               count, (unsigned long long)total,
                               WITAN_PACKAGE_BYTES_MAX);
    }
    *out = witan_alloc(allocator, (size_t)total, 1);
    if (*out == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY,
                               "out of memory for a transfer set of %llu bytes",
                               (unsigned long long)total);
    }
    *size = (size_t)total;
    write_all(*out, &it, set, indices);
    return WITAN_OK;
}

/* --- reading ---------------------------------------------------------------------- */

typedef struct reader {
    const uint8_t *bytes; /* what is left */
    size_t left;
    const witan_allocator *allocator;
    witan_diag *diag;
} reader;

static witan_status
refuse(reader *self, const char *what)
{
    return witan_diag_fail(self->diag, WITAN_E_DATA,
                           "transfer set: %s; it is damaged or not a transfer set of "
                           "this version",
                           what);
}

static witan_status
no_memory(reader *self)
{
    return witan_diag_fail(self->diag, WITAN_E_MEMORY,
                           "out of memory for a transfer set of %zu bytes more",
                           self->left);
}

/* The caller has checked that so much is left. */
static void
take(reader *self, void *out, size_t size)
{
    memcpy(out, self->bytes, size);
    self->bytes += size;
    self->left -= size;
}

static witan_status
read_header(reader *self, header *it)
{
    if (self->left > WITAN_PACKAGE_BYTES_MAX) {
        return refuse(self, "too large");
    }
    if (self->left < HEADER || memcmp(self->bytes, magic, sizeof magic) != 0) {
        return refuse(self, "no header");
    }
    self->bytes += sizeof magic;
    self->left -= sizeof magic;
    take(self, it, sizeof *it);
    if (it->element != 1 && it->element != TOKEN && it->element != sizeof(float)) {
        return refuse(self, "unknown type of numbers");
    }
    /* Divided, because the product of three could overflow. */
    if (it->height == 0 || it->width == 0 || it->channels == 0 ||
        it->height > WITAN_FEATURES_MAX ||
        it->width > WITAN_FEATURES_MAX / it->height ||
        it->channels > WITAN_FEATURES_MAX / it->height / it->width) {
        return refuse(self, "rows of an impossible shape");
    }
    if (it->rows == 0 || it->rows > WITAN_SAMPLES_MAX) {
        return refuse(self, "no rows, or too many");
    }
    if (it->classes > WITAN_CLASSES_MAX ||
        (it->names != 0 && it->names != it->classes)) {
        return refuse(self, "an impossible number of classes or names");
    }
    if (it->element == TOKEN &&
        (it->height != 1 || it->channels != 1 || it->width < 2 ||
         it->width > WITAN_CONTEXT_MAX + 1 || it->names < 2 || it->scales != 0)) {
        return refuse(self, "windows or a vocabulary that cannot be");
    }
    if (it->element != TOKEN && it->scales != it->channels) {
        return refuse(self, "not one scale per channel");
    }
    /* A name takes a byte at least. */
    if (self->left < numbers_size(it) + it->names) {
        return refuse(self, "shorter than its header says");
    }
    return WITAN_OK;
}

/* The names are a vocabulary of words or, what fewer lists are, of characters. */
static witan_status
check_vocabulary(reader *self, char *const *names, size_t count)
{
    witan_vocabulary made;
    witan_status status = WITAN_E_DATA;
    for (int unit = 0; unit < 2 && status == WITAN_E_DATA; unit++) {
        status = witan_vocabulary_from_names(&made, (witan_text_unit)unit,
                                             (const char *const *)names, count,
                                             self->allocator, NULL);
        witan_vocabulary_fini(&made, self->allocator);
    }
    return status == WITAN_E_DATA     ? refuse(self, "names that are no vocabulary")
           : status == WITAN_E_MEMORY ? no_memory(self)
                                      : status;
}

static witan_status
read_names(reader *self, const header *it, witan_dataset *out)
{
    size_t behind = (size_t)numbers_size(it);
    if (it->names == 0) {
        return WITAN_OK;
    }
    char **names = witan_zalloc(self->allocator, it->names, sizeof *names);
    if (names == NULL) {
        return no_memory(self);
    }
    if (it->element == TOKEN) {
        out->token_names = names;
    } else {
        out->class_names = names;
    }
    for (size_t c = 0; c < it->names; c++) {
        uint8_t length;
        if (self->left == behind) {
            return refuse(self, "shorter than its header says");
        }
        take(self, &length, 1);
        if (self->left - behind < length) {
            return refuse(self, "shorter than its header says");
        }
        if (!name_is_plain(self->bytes, length)) {
            return refuse(self, "control characters in a class's name");
        }
        names[c] = witan_zalloc(self->allocator, (size_t)length + 1, 1);
        if (names[c] == NULL) {
            return no_memory(self);
        }
        take(self, names[c], length);
        if (it->element == TOKEN && memchr(names[c], '\0', length) != NULL) {
            return refuse(self, "a zero byte in a token's name");
        }
    }
    return it->element == TOKEN ? check_vocabulary(self, names, it->names) : WITAN_OK;
}

/* Every number that will be gathered is finite, for bytes at the ends of their range;
 * a scale, shift or raw number that is not makes one that is not. */
static bool
is_finite(const witan_dataset *set)
{
    static const float ends[] = {0.0f, 255.0f};
    size_t C = set->channels;
    size_t pixels = set->bytes != NULL ? 2 : set->samples * set->height * set->width;
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < C; c++) {
            float raw = set->bytes != NULL ? ends[p] : set->values[p * C + c];
            if (!isfinite(raw * set->scale[c] + set->shift[c])) {
                return false;
            }
        }
    }
    return true;
}

static witan_status
read_windows(reader *self, witan_dataset *out)
{
    size_t window = out->length + 1;
    out->token_count = out->samples * window;
    out->tokens = witan_alloc(self->allocator, out->token_count, sizeof *out->tokens);
    out->starts = witan_alloc(self->allocator, out->samples, sizeof *out->starts);
    if (out->tokens == NULL || out->starts == NULL) {
        return no_memory(self);
    }
    for (size_t i = 0; i < out->token_count; i++) {
        uint16_t token;
        take(self, &token, sizeof token);
        if (token >= out->vocabulary) {
            return refuse(self, "a token beyond the vocabulary");
        }
        out->tokens[i] = token;
    }
    for (size_t i = 0; i < out->samples; i++) {
        out->starts[i] = (uint32_t)(i * window);
    }
    return WITAN_OK;
}

static witan_status
read_numbers(reader *self, const header *it, witan_dataset *out)
{
    size_t count = out->samples * witan_dataset_features(out);
    if (self->left != numbers_size(it)) {
        return refuse(self, "longer than its header says");
    }
    if (it->element == TOKEN) {
        return read_windows(self, out);
    }
    out->scale = witan_alloc(self->allocator, it->scales, sizeof *out->scale);
    out->shift = witan_alloc(self->allocator, it->scales, sizeof *out->shift);
    void *rows = witan_alloc(self->allocator, count, it->element);
    if (it->element == 1) {
        out->bytes = rows;
    } else {
        out->values = rows;
    }
    if (out->scale == NULL || out->shift == NULL || rows == NULL) {
        return no_memory(self);
    }
    take(self, out->scale, it->scales * sizeof *out->scale);
    take(self, out->shift, it->scales * sizeof *out->shift);
    take(self, rows, count * it->element);
    return is_finite(out) ? WITAN_OK : refuse(self, "numbers that are not finite");
}

witan_status
witan_package_read(witan_dataset *out, const uint8_t *bytes, size_t size,
                   const witan_allocator *allocator, witan_diag *diag)
{
    reader self = {bytes, size, allocator, diag};
    header it;
    memset(out, 0, sizeof *out);
    WITAN_TRY(read_header(&self, &it));
    *out = (witan_dataset){
        .samples = it.rows,
        .height = it.height,
        .width = it.width,
        .channels = it.channels,
        .classes = it.classes,
        .scales = it.scales,
    };
    if (it.element == TOKEN) {
        out->width = out->length = it.width - 1;
        out->vocabulary = it.classes;
        out->classes = 0;
    }
    witan_status status = read_names(&self, &it, out);
    if (status == WITAN_OK) {
        status = read_numbers(&self, &it, out);
    }
    if (status != WITAN_OK) {
        witan_dataset_fini(out, allocator);
    }
    return status;
}

void
witan_package_digest(const uint8_t *bytes, size_t size, uint8_t out[32])
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, bytes, size);
    witan_digest_final(&digest, out);
}
