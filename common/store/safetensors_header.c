/* safetensors_header.c - a strict reader of the JSON subset that a header is.
 * Not cJSON: its numbers are doubles and a hostile header of 100 MiB would grow to
 * gigabytes of nodes; here numbers are exact and memory stays near the header's size.
 * Texts are decoded in place: they never get longer.
 * Stricter than JSON: no duplicate names, exactly the known members, no other values.
 */
#include "store/safetensors_header.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum {
    DIMENSIONS_MAX = 4,
};

static const struct {
    const char *word;
    size_t size;
} types[] = {
    [WITAN_TENSOR_F32] = {"F32", 4},
    [WITAN_TENSOR_U64] = {"U64", 8},
    [WITAN_TENSOR_U8] = {"U8", 1},
    [WITAN_TENSOR_F64] = {"F64", 8},
};
enum {
    TYPES = sizeof types / sizeof types[0]
};

const char *
witan_tensor_type_word(witan_tensor_type type)
{
    return types[type].word;
}

size_t
witan_tensor_type_size(witan_tensor_type type)
{
    return types[type].size;
}

/* --- the scanner ------------------------------------------------------------------ */

typedef struct scanner {
    const char *start, *end;
    char *at;
    witan_diag *diag;
} scanner;

static witan_status
fail(const scanner *self, const char *what)
{
    return witan_diag_fail(self->diag, WITAN_E_DATA, "header byte %zu: %s",
                           (size_t)(self->at - self->start), what);
}

static void
skip_space(scanner *self)
{
    while (self->at < self->end && (*self->at == ' ' || *self->at == '\n' ||
                                    *self->at == '\t' || *self->at == '\r')) {
        self->at++;
    }
}

/* Consumes `c` after white space; false and nothing consumed when it is not there. */
static bool
take(scanner *self, char c)
{
    skip_space(self);
    if (self->at == self->end || *self->at != c) {
        return false;
    }
    self->at++;
    return true;
}

static witan_status
expect(scanner *self, char c)
{
    char what[] = "expected '?'";
    what[sizeof what - 3] = c;
    return take(self, c) ? WITAN_OK : fail(self, what);
}

/* Four hexadecimal digits at self->at, or -1. */
static int32_t
hexadecimal(scanner *self)
{
    int32_t value = 0;
    if (self->end - self->at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = *self->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* After "\u": the character as UTF-8 at *to, which it advances. */
static witan_status
read_unicode(scanner *self, char **to)
{
    int32_t code = hexadecimal(self);
    if (code >= 0xd800 && code < 0xdc00) {
        bool pair =
            self->end - self->at >= 6 && self->at[0] == '\\' && self->at[1] == 'u';
        self->at += pair ? 2 : 0;
        int32_t low = pair ? hexadecimal(self) : -1;
        code = low >= 0xdc00 && low < 0xe000
                   ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                   : -1;
    } else if (code >= 0xdc00 && code < 0xe000) {
        code = -1;
    }
    if (code <= 0) {
        return fail(self, "bad \\u escape");
    }
    if (code < 0x80) {
        *(*to)++ = (char)code;
        return WITAN_OK;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const int leads[] = {0, 0xc0, 0xe0, 0xf0};
    *(*to)++ = (char)(leads[more] | (code >> (6 * more)));
    while (more-- > 0) {
        *(*to)++ = (char)(0x80 | ((code >> (6 * more)) & 0x3f));
    }
    return WITAN_OK;
}

static witan_status
read_escape(scanner *self, char **to)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char letter = self->at < self->end ? *self->at++ : '\0';
    if (letter == 'u') {
        return read_unicode(self, to);
    }
    const char *place = letter == '\0' ? NULL : strchr(letters, letter);
    if (place == NULL) {
        return fail(self, "bad escape");
    }
    *(*to)++ = values[place - letters];
    return WITAN_OK;
}

/* A text, decoded in place and ended with NUL (over its closing quote at the latest).
 */
static witan_status
read_text(scanner *self, const char **out)
{
    WITAN_TRY(expect(self, '"'));
    char *to = self->at;
    *out = to;
    while (self->at < self->end && *self->at != '"') {
        if ((unsigned char)*self->at < 0x20) {
            return fail(self, "control character in a text");
        }
        if (*self->at == '\\') {
            self->at++;
            WITAN_TRY(read_escape(self, &to));
        } else {
            *to++ = *self->at++;
        }
    }
    if (self->at == self->end) {
        return fail(self, "text without an end");
    }
    self->at++;
    *to = '\0';
    return WITAN_OK;
}

static witan_status
read_number(scanner *self, uint64_t *out)
{
    skip_space(self);
    const char *first = self->at;
    *out = 0;
    while (self->at < self->end && *self->at >= '0' && *self->at <= '9') {
        if (__builtin_mul_overflow(*out, 10u, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*self->at - '0'), out)) {
            return fail(self, "number beyond 64 bits");
        }
        self->at++;
    }
    if (self->at == first || (*first == '0' && self->at > first + 1)) {
        return fail(self, "expected an unsigned integer");
    }
    return WITAN_OK;
}

/* A list of up to `room` numbers. */
static witan_status
read_numbers(scanner *self, uint64_t *out, size_t room, size_t *count)
{
    *count = 0;
    WITAN_TRY(expect(self, '['));
    if (take(self, ']')) {
        return WITAN_OK;
    }
    do {
        if (*count == room) {
            return fail(self, "list too long");
        }
        WITAN_TRY(read_number(self, &out[(*count)++]));
    } while (take(self, ','));
    return expect(self, ']');
}

/* --- members ---------------------------------------------------------------------- */

/* Makes room for one more item of a growing block. */
static witan_status
reserve(void **items, size_t count, size_t *room, size_t item_size, size_t ceiling,
        const witan_allocator *allocator, witan_diag *diag)
{
    if (count < *room) {
        return WITAN_OK;
    }
    if (count >= ceiling) {
        return witan_diag_fail(diag, WITAN_E_DATA, "header: more than %zu %s", ceiling,
                               "entries of one kind");
    }
    size_t larger = *room < 16 ? 16 : *room * 2;
    void *block = witan_alloc(allocator, larger, item_size);
    if (block == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    if (count > 0) {
        memcpy(block, *items, count * item_size);
    }
    witan_free(allocator, *items);
    *items = block;
    *room = larger;
    return WITAN_OK;
}

static witan_status
read_metadata(scanner *self, witan_safetensors_header *header,
              const witan_allocator *allocator)
{
    WITAN_TRY(expect(self, '{'));
    if (take(self, '}')) {
        return WITAN_OK;
    }
    do {
        void *items = header->metadata;
        WITAN_TRY(reserve(&items, header->metadata_count, &header->metadata_room,
                          sizeof *header->metadata, WITAN_METADATA_MAX, allocator,
                          self->diag));
        header->metadata = items;
        const char **pair = header->metadata[header->metadata_count];
        WITAN_TRY(read_text(self, &pair[0]));
        WITAN_TRY(expect(self, ':'));
        WITAN_TRY(read_text(self, &pair[1]));
        header->metadata_count++;
    } while (take(self, ','));
    return expect(self, '}');
}

static witan_status
read_type(scanner *self, witan_tensor_type *out)
{
    const char *word;
    WITAN_TRY(read_text(self, &word));
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(types[i].word, word) == 0) {
            *out = (witan_tensor_type)i;
            return WITAN_OK;
        }
    }
    return fail(self, "dtype is not F32, F64, U64 or U8");
}

/* The three members of a tensor, each once, in any order. */
static witan_status
read_members(scanner *self, witan_tensor_place *place)
{
    static const char *const names[] = {"dtype", "shape", "data_offsets"};
    bool seen[3] = {false};
    uint64_t shape[DIMENSIONS_MAX] = {0}, offsets[2];
    size_t count = 0, which;
    WITAN_TRY(expect(self, '{'));
    do {
        const char *name;
        WITAN_TRY(read_text(self, &name));
        for (which = 0; which < 3 && strcmp(names[which], name) != 0;) {
            which++;
        }
        if (which == 3 || seen[which]) {
            return fail(self, which == 3 ? "unknown member of a tensor"
                                         : "member of a tensor given twice");
        }
        seen[which] = true;
        WITAN_TRY(expect(self, ':'));
        if (which == 0) {
            WITAN_TRY(read_type(self, &place->entry.type));
        } else if (which == 1) {
            WITAN_TRY(
                read_numbers(self, shape, DIMENSIONS_MAX, &place->entry.dimensions));
        } else {
            WITAN_TRY(read_numbers(self, offsets, 2, &count));
        }
    } while (take(self, ','));
    WITAN_TRY(expect(self, '}'));
    if (!seen[0] || !seen[1] || count != 2) {
        return fail(self, "a tensor needs dtype, shape and two data_offsets");
    }
    memcpy(place->entry.shape, shape, sizeof shape);
    place->begin = offsets[0];
    place->end = offsets[1];
    return WITAN_OK;
}

/* Bytes that the shape asks for, exactly those that the offsets give. */
static witan_status
check_size(const scanner *self, const witan_tensor_place *place)
{
    size_t bytes = types[place->entry.type].size;
    for (size_t i = 0; i < place->entry.dimensions; i++) {
        if (__builtin_mul_overflow(bytes, place->entry.shape[i], &bytes)) {
            return fail(self, "shape beyond 64 bits");
        }
    }
    if (place->begin > place->end || place->end - place->begin != bytes) {
        return fail(self, "data_offsets do not fit dtype and shape");
    }
    return WITAN_OK;
}

static witan_status
check_name(const scanner *self, const char *name)
{
    if (*name == '\0') {
        return fail(self, "tensor without a name");
    }
    for (; *name != '\0'; name++) {
        if ((unsigned char)*name < 0x20 || *name == 0x7f) {
            return fail(self, "control character in a tensor's name");
        }
    }
    return WITAN_OK;
}

static witan_status
read_entries(scanner *self, witan_safetensors_header *header,
             const witan_allocator *allocator)
{
    bool has_metadata = false;
    if (self->at == self->end || *self->at != '{') {
        return fail(self, "expected '{'");
    }
    self->at++;
    if (take(self, '}')) {
        return WITAN_OK;
    }
    do {
        witan_tensor_place place = {0};
        WITAN_TRY(read_text(self, &place.entry.name));
        WITAN_TRY(expect(self, ':'));
        if (strcmp(place.entry.name, "__metadata__") == 0) {
            if (has_metadata) {
                return fail(self, "__metadata__ given twice");
            }
            has_metadata = true;
            WITAN_TRY(read_metadata(self, header, allocator));
            continue;
        }
        WITAN_TRY(check_name(self, place.entry.name));
        WITAN_TRY(read_members(self, &place));
        WITAN_TRY(check_size(self, &place));
        void *items = header->tensors;
        WITAN_TRY(reserve(&items, header->count, &header->room, sizeof place,
                          WITAN_TENSORS_MAX, allocator, self->diag));
        header->tensors = items;
        header->tensors[header->count++] = place;
    } while (take(self, ','));
    return expect(self, '}');
}

/* --- the whole -------------------------------------------------------------------- */

static int
by_offset(const void *a, const void *b)
{
    const witan_tensor_place *p = a, *q = b;
    if (p->begin != q->begin) {
        return p->begin < q->begin ? -1 : 1;
    }
    return p->end < q->end ? -1 : p->end > q->end; /* empty tensors first */
}

static int
by_name(const void *a, const void *b)
{
    const witan_tensor_place *p = a, *q = b;
    return strcmp(p->entry.name, q->entry.name);
}

static int
by_key(const void *a, const void *b)
{
    const char *const *p = a, *const *q = b;
    return strcmp(p[0], q[0]);
}

/* The tensors tile the data: no hole, no overlap, no rest. */
static witan_status
check_tiling(witan_safetensors_header *header, uint64_t data_size, witan_diag *diag)
{
    uint64_t expected = 0;
    if (header->count > 0) {
        qsort(header->tensors, header->count, sizeof *header->tensors, by_offset);
    }
    for (size_t i = 0; i < header->count; i++) {
        const witan_tensor_place *place = &header->tensors[i];
        if (place->begin != expected) {
            return witan_diag_fail(diag, WITAN_E_DATA,
                                   "tensor \"%.100s\" begins at byte %" PRIu64
                                   " of the data, not at %" PRIu64
                                   " (a hole or an overlap)",
                                   place->entry.name, place->begin, expected);
        }
        expected = place->end;
    }
    if (expected != data_size) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the tensors need %" PRIu64
                               " bytes of data, the file holds %" PRIu64,
                               expected, data_size);
    }
    return WITAN_OK;
}

static witan_status
check_unique(witan_safetensors_header *header, witan_diag *diag)
{
    if (header->count > 0) {
        qsort(header->tensors, header->count, sizeof *header->tensors, by_name);
    }
    if (header->metadata_count > 0) {
        qsort(header->metadata, header->metadata_count, sizeof *header->metadata,
              by_key);
    }
    for (size_t i = 1; i < header->count; i++) {
        if (by_name(&header->tensors[i - 1], &header->tensors[i]) == 0) {
            return witan_diag_fail(diag, WITAN_E_DATA, "tensor \"%.100s\" stands twice",
                                   header->tensors[i].entry.name);
        }
    }
    for (size_t i = 1; i < header->metadata_count; i++) {
        if (by_key(header->metadata[i - 1], header->metadata[i]) == 0) {
            return witan_diag_fail(diag, WITAN_E_DATA,
                                   "metadata \"%.100s\" stands twice",
                                   header->metadata[i][0]);
        }
    }
    return WITAN_OK;
}

witan_status
witan_safetensors_header_size(const uint8_t prefix[WITAN_SAFETENSORS_PREFIX],
                              uint64_t file_size, size_t *size, witan_diag *diag)
{
    uint64_t value = 0;
    for (size_t i = WITAN_SAFETENSORS_PREFIX; i-- > 0;) {
        value = value << 8 | prefix[i];
    }
    if (value > WITAN_SAFETENSORS_HEADER_MAX) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "not a safetensors file: a header of %" PRIu64
                               " bytes, at most %zu are read",
                               value, WITAN_SAFETENSORS_HEADER_MAX);
    }
    if (value > file_size - WITAN_SAFETENSORS_PREFIX) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the file is cut: a header of %" PRIu64
                               " bytes in a file of %" PRIu64,
                               value, file_size);
    }
    *size = (size_t)value;
    return WITAN_OK;
}

witan_status
witan_safetensors_header_parse(witan_safetensors_header *out, char **text, size_t size,
                               uint64_t data_size, const witan_allocator *allocator,
                               witan_diag *diag)
{
    scanner text_scanner = {*text, *text + size, *text, diag};
    memset(out, 0, sizeof *out);
    out->text = *text;
    *text = NULL;
    witan_status status = read_entries(&text_scanner, out, allocator);
    skip_space(&text_scanner);
    if (status == WITAN_OK && text_scanner.at != text_scanner.end) {
        status = fail(&text_scanner, "text after the end of the header");
    }
    if (status == WITAN_OK) {
        status = check_tiling(out, data_size, diag);
    }
    if (status == WITAN_OK) {
        status = check_unique(out, diag);
    }
    if (status != WITAN_OK) {
        witan_safetensors_header_fini(out, allocator);
    }
    return status;
}

void
witan_safetensors_header_fini(witan_safetensors_header *self,
                              const witan_allocator *allocator)
{
    witan_free(allocator, self->text);
    witan_free(allocator, self->tensors);
    witan_free(allocator, self->metadata);
    memset(self, 0, sizeof *self);
}
