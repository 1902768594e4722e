#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
witan_text_init(witan_text *self, const witan_allocator *allocator, size_t ceiling)
{
    memset(self, 0, sizeof *self);
    self->allocator = allocator;
    self->ceiling = ceiling;
}

void
witan_text_fini(witan_text *self)
{
    witan_free(self->allocator, self->data);
    self->data = NULL;
    self->length = self->capacity = 0;
}

/* Makes room for `more` bytes and the final NUL. */
static bool
reserve(witan_text *self, size_t more)
{
    if (self->status != WITAN_OK) {
        return false;
    }
    if (more > self->ceiling || self->length > self->ceiling - more) {
        self->status = WITAN_E_LIMIT;
        return false;
    }
    size_t needed = self->length + more + 1;
    if (needed <= self->capacity) {
        return true;
    }
    size_t capacity = self->capacity * 2 > needed ? self->capacity * 2 : needed + 256;
    char *data = witan_alloc(self->allocator, capacity, 1);
    if (data == NULL) {
        self->status = WITAN_E_MEMORY;
        return false;
    }
    if (self->data != NULL) {
        memcpy(data, self->data, self->length);
        witan_free(self->allocator, self->data);
    }
    self->data = data;
    self->capacity = capacity;
    return true;
}

void
witan_text_add(witan_text *self, const char *bytes, size_t size)
{
    if (!reserve(self, size)) {
        return;
    }
    if (size != 0) {
        memcpy(self->data + self->length, bytes, size);
    }
    self->length += size;
    self->data[self->length] = '\0';
}

void
witan_text_format(witan_text *self, const char *format, ...)
{
    va_list arguments;
    /* Most pieces fit into the room that is there already: format once. */
    char none[1];
    size_t room = self->capacity - self->length;
    char *end = self->data == NULL ? none : self->data + self->length;
    va_start(arguments, format);
    int size = vsnprintf(end, room, format, arguments);
    va_end(arguments);
    if (size < 0 || !reserve(self, (size_t)size)) {
        if (room > 0) {
            *end = '\0';
        }
        if (size < 0 && self->status == WITAN_OK) {
            self->status = WITAN_E_INVALID;
        }
        return;
    }
    if ((size_t)size >= room) {
        va_start(arguments, format);
        (void)vsnprintf(self->data + self->length, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    self->length += (size_t)size;
}

void
witan_text_json_string(witan_text *self, const char *value)
{
    witan_text_add(self, "\"", 1);
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\') {
            witan_text_format(self, "\\%c", c);
        } else if (c < 0x20) {
            witan_text_format(self, "\\u%04x", (unsigned)c);
        } else {
            witan_text_add(self, value, 1);
        }
    }
    witan_text_add(self, "\"", 1);
}

void
witan_text_json_number(witan_text *self, double value)
{
    char digits[40];
    int size = 0;
    if (!isfinite(value)) {
        witan_text_add(self, "null", 4);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        size = snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    witan_text_add(self, digits, (size_t)size);
}

enum {
    WORD_MAX = 128
};

/* Levenshtein distance with two rows; words longer than WORD_MAX count as far. */
static size_t
edit_distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    size_t row[WORD_MAX + 1];
    if (m > WORD_MAX || n > WORD_MAX) {
        return WORD_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n];
}

const char *
witan_text_nearest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t least = 3 + strlen(word) / 4;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, words[i]);
        if (distance < least) {
            least = distance;
            nearest = words[i];
        }
    }
    return nearest;
}

bool
witan_text_parse_u64(const char *text, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *out = value;
    return true;
}

bool
witan_text_parse_double(const char *text, double *out)
{
    char *end;
    if (text[0] == '\0' || text[0] == ' ' || text[0] == '\t' || text[0] == '\n') {
        return false;
    }
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return false;
    }
    *out = value;
    return true;
}
