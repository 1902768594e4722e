/* text.c - cuts text into tokens, counts them into a vocabulary, and numbers them.
 * Method: bytes from 128 on are letters, so words need no decoding; UTF-8 is checked
 * once, before the cutting, which then trusts it. Names are found by an open hash. */
#include "data/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "data/readers.h"

enum {
    BREAK,
    SPACE,
    MARK,
    LETTER
};

static int
kind_of(unsigned char c)
{
    if (c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9') || c == '\'') {
        return LETTER;
    }
    if (c == '\n') {
        return BREAK;
    }
    return c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : MARK;
}

/* kind_of, as a table that one call of this room fills for itself. */
typedef struct cutter {
    witan_text_unit unit;
    uint8_t kinds[256];
} cutter;

static void
cutter_init(cutter *self, witan_text_unit unit)
{
    self->unit = unit;
    for (unsigned c = 0; c < 256; c++) {
        self->kinds[c] = (uint8_t)kind_of((unsigned char)c);
    }
}

/* Length of the code point at text[0], 0 when it is not UTF-8 (Unicode 15, table 3-7).
 */
static size_t
code_length(const unsigned char *text, size_t left)
{
    unsigned char lead = text[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong =
        (lead == 0xE0 && text[1] < 0xA0) || (lead == 0xF0 && text[1] < 0x90);
    bool surrogate = lead == 0xED && text[1] >= 0xA0;
    bool beyond = lead == 0xF4 && text[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

size_t
witan_text_check(const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        uint64_t eight; /* bytes at once, as long as they are ASCII */
        while (i + sizeof eight <= size) {
            memcpy(&eight, text + i, sizeof eight);
            if ((eight & 0x8080808080808080u) != 0) {
                break;
            }
            i += sizeof eight;
        }
        if (i == size) {
            break;
        }
        size_t length = bytes[i] < 0x80 ? 1 : code_length(bytes + i, size - i);
        if (length == 0) {
            return i;
        }
        i += length;
    }
    return size;
}

/* The next token of checked text: text[*begin..end); false behind the last one. */
static inline bool
cut(const cutter *self, const char *text, size_t size, size_t *begin, size_t *end)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = *begin;
    if (self->unit == WITAN_TEXT_WORD) {
        while (i < size && self->kinds[bytes[i]] == SPACE) {
            i++;
        }
    }
    *begin = i;
    if (i >= size) {
        return false;
    }
    if (self->unit == WITAN_TEXT_CHARACTER) {
        *end = i + (bytes[i] < 0x80   ? 1
                    : bytes[i] < 0xE0 ? 2
                    : bytes[i] < 0xF0 ? 3
                                      : 4);
        return true;
    }
    if (self->kinds[bytes[i++]] == LETTER) {
        while (i < size && self->kinds[bytes[i]] == LETTER) {
            i++;
        }
    }
    *end = i;
    return true;
}

size_t
witan_text_scan(witan_text_unit unit, const char *text, size_t size, size_t most,
                size_t *tokens)
{
    cutter it;
    size_t count = 0, begin = 0, end = 0;
    cutter_init(&it, unit);
    while (count < most && cut(&it, text, size, &begin, &end)) {
        begin = end;
        count++;
    }
    *tokens = count;
    return end;
}

/* --- names ------------------------------------------------------------------------ */

static const char unknown_name[] = "<unk>";
#define NAME_SIZE (WITAN_CLASS_NAME_MAX + 1)

/* A control byte of ASCII, or the C2 or second byte of a control character of Latin-1.
 */
static bool
is_control(const unsigned char *piece, size_t size, size_t i)
{
    if (piece[i] < 0x20 || piece[i] == 0x7F) {
        return true;
    }
    if (piece[i] == 0xC2) {
        return i + 1 < size && piece[i + 1] < 0xA0;
    }
    return i > 0 && piece[i - 1] == 0xC2 && piece[i] < 0xA0;
}

/* Writes the name of a piece and its length; false when it has too many bytes. */
static bool
escape(char out[NAME_SIZE], size_t *length, const char *piece, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *bytes = (const unsigned char *)piece;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = bytes[i];
        char code = c == '\n'                    ? 'n'
                    : c == '\t'                  ? 't'
                    : c == '\\'                  ? '\\'
                    : is_control(bytes, size, i) ? 'x'
                                                 : '\0';
        size_t need = code == '\0' ? 1 : code == 'x' ? 4 : 2;
        if (n + need > WITAN_CLASS_NAME_MAX) {
            return false;
        }
        if (need == 1) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = code;
        if (need == 4) {
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    out[n] = '\0';
    *length = n;
    return true;
}

static int
hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The piece that a name stands for; false when no piece has that name. */
static bool
unescape(char out[NAME_SIZE], size_t *size, const char *name)
{
    char again[NAME_SIZE];
    size_t length = strlen(name), n = 0, i = 0;
    if (length > WITAN_CLASS_NAME_MAX) {
        return false;
    }
    while (i < length) {
        char c = name[i++];
        if (c == '\\') {
            char code = name[i++]; /* the final NUL at worst */
            int high = code == 'x' ? hex_value(name[i]) : -1;
            int low = high >= 0 ? hex_value(name[i + 1]) : -1;
            if (low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            } else if (code == 'n' || code == 't' || code == '\\') {
                c = code == 'n' ? '\n' : code == 't' ? '\t' : '\\';
            } else {
                return false;
            }
        }
        out[n++] = c;
    }
    *size = n;
    /* One spelling a piece: no control byte as it is, no letter as \x41. */
    return escape(again, &n, out, *size) && n == length &&
           memcmp(again, name, length) == 0;
}

static uint64_t
hash_of(const char *bytes, size_t size)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a, then mixed as in MurmurHash3 */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    }
    hash ^= hash >> 33;
    hash *= 0xFF51AFD7ED558CCDu;
    return hash ^ hash >> 33;
}

/* --- the vocabulary --------------------------------------------------------------- */

void
witan_vocabulary_fini(witan_vocabulary *self, const witan_allocator *allocator)
{
    for (size_t v = 0; self->names != NULL && v < self->count; v++) {
        witan_free(allocator, self->names[v]);
    }
    witan_free(allocator, self->names);
    witan_free(allocator, self->map);
    memset(self, 0, sizeof *self);
}

/* Where a name is, or where it would go: a slot with its token or with 0. <unk> is not
 * in the map. */
static uint32_t *
slot_of(const witan_vocabulary *self, const char *name, size_t length)
{
    size_t at = hash_of(name, length) & (self->slots - 1);
    for (; self->map[at] != 0; at = (at + 1) & (self->slots - 1)) {
        const char *other = self->names[self->map[at]];
        if (strncmp(other, name, length) == 0 && other[length] == '\0') {
            break;
        }
    }
    return &self->map[at];
}

/* Room for `count` names and <unk>, which is there. */
static witan_status
prepare(witan_vocabulary *self, witan_text_unit unit, size_t count,
        const witan_allocator *allocator)
{
    self->unit = unit;
    self->slots = 16;
    while (self->slots < 2 * count) {
        self->slots *= 2;
    }
    self->names = witan_zalloc(allocator, count, sizeof *self->names);
    self->map = witan_zalloc(allocator, self->slots, sizeof *self->map);
    if (self->names == NULL || self->map == NULL) {
        return WITAN_E_MEMORY;
    }
    self->names[0] = witan_strdup(allocator, unknown_name);
    self->count = 1;
    return self->names[0] != NULL ? WITAN_OK : WITAN_E_MEMORY;
}

/* Errors: E_DATA when the name is there, E_MEMORY. */
static witan_status
add_name(witan_vocabulary *self, const char *name, const witan_allocator *allocator)
{
    uint32_t *slot = slot_of(self, name, strlen(name));
    if (*slot != 0) {
        return WITAN_E_DATA;
    }
    self->names[self->count] = witan_strdup(allocator, name);
    if (self->names[self->count] == NULL) {
        return WITAN_E_MEMORY;
    }
    *slot = (uint32_t)self->count++;
    return WITAN_OK;
}

static witan_status
no_memory(witan_diag *diag, size_t count)
{
    return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for %zu tokens", count);
}

static witan_status
check_text(const char *text, size_t size, witan_diag *diag)
{
    if (size > WITAN_TOKENS_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "a text of %zu bytes is too long; at most %zu are read",
                               size, WITAN_TOKENS_MAX);
    }
    size_t bad = witan_text_check(text, size);
    if (bad < size) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "byte %zu is not UTF-8; save the text as UTF-8", bad);
    }
    return WITAN_OK;
}

/* --- making ----------------------------------------------------------------------- */

typedef struct entry {
    const char *piece; /* borrowed from the text */
    uint32_t size, count;
} entry;

/* Different words of a text, with how often they stand there. */
typedef struct tally {
    entry *entries; /* [capacity] owned */
    size_t count, capacity;
    uint32_t *map; /* [2 * capacity] owned: entry + 1, or 0 */
} tally;

static size_t
tally_slot(const tally *self, const char *piece, size_t size)
{
    size_t mask = 2 * self->capacity - 1, at = hash_of(piece, size) & mask;
    for (; self->map[at] != 0; at = (at + 1) & mask) {
        const entry *it = &self->entries[self->map[at] - 1];
        if (it->size == size && memcmp(it->piece, piece, size) == 0) {
            break;
        }
    }
    return at;
}

static bool
tally_grow(tally *self, const witan_allocator *allocator)
{
    tally larger = {.capacity = self->capacity == 0 ? 1024 : 2 * self->capacity};
    larger.entries = witan_alloc(allocator, larger.capacity, sizeof *larger.entries);
    larger.map = witan_zalloc(allocator, larger.capacity, 2 * sizeof *larger.map);
    if (larger.entries == NULL || larger.map == NULL) {
        witan_free(allocator, larger.entries);
        witan_free(allocator, larger.map);
        return false;
    }
    for (size_t i = 0; i < self->count; i++) {
        larger.entries[i] = self->entries[i];
        size_t at = tally_slot(&larger, self->entries[i].piece, self->entries[i].size);
        larger.map[at] = (uint32_t)++larger.count;
    }
    witan_free(allocator, self->entries);
    witan_free(allocator, self->map);
    *self = larger;
    return true;
}

/* More frequent first, then by bytes. */
static int
compare_entries(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    if (a->count != b->count) {
        return a->count > b->count ? -1 : 1;
    }
    int order = memcmp(a->piece, b->piece, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool
count_words(tally *self, const char *text, size_t size,
            const witan_allocator *allocator)
{
    cutter it;
    cutter_init(&it, WITAN_TEXT_WORD);
    for (size_t begin = 0, end; cut(&it, text, size, &begin, &end); begin = end) {
        if (end - begin > WITAN_CLASS_NAME_MAX) {
            continue;
        }
        if (self->count == self->capacity && !tally_grow(self, allocator)) {
            return false;
        }
        size_t at = tally_slot(self, text + begin, end - begin);
        if (self->map[at] == 0) {
            self->entries[self->count] =
                (entry){text + begin, (uint32_t)(end - begin), 0};
            self->map[at] = (uint32_t)++self->count;
        }
        self->entries[self->map[at] - 1].count++;
    }
    return true;
}

static witan_status
make_words(witan_vocabulary *out, const char *text, size_t size, size_t most,
           const witan_allocator *allocator)
{
    tally words = {0};
    witan_status status = WITAN_E_MEMORY;
    if (count_words(&words, text, size, allocator)) {
        if (words.count > 0) {
            qsort(words.entries, words.count, sizeof *words.entries, compare_entries);
        }
        most = most < words.count + 1 ? most : words.count + 1;
        status = prepare(out, WITAN_TEXT_WORD, most, allocator);
    }
    for (size_t i = 0; i < words.count && status == WITAN_OK && out->count < most;
         i++) {
        char name[NAME_SIZE];
        size_t length;
        if (escape(name, &length, words.entries[i].piece, words.entries[i].size)) {
            status = add_name(out, name, allocator);
        }
    }
    witan_free(allocator, words.entries);
    witan_free(allocator, words.map);
    return status;
}

#define CODES ((size_t)0x110000)

static uint32_t
decode(const char *text, size_t length)
{
    static const uint8_t lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (unsigned char)text[0] & lead[length];
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | ((unsigned char)text[i] & 0x3F);
    }
    return code;
}

static size_t
encode(char out[4], uint32_t code)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6) {
        out[i] = (char)(0x80 | (code & 0x3F));
    }
    out[0] = (char)(lead[length] | code);
    return length;
}

/* seen [CODES]: 1 for every code point of the text and for the digits; the highest of
 * them, and how many. */
static size_t
mark_characters(uint8_t *seen, uint32_t *highest, const char *text, size_t size)
{
    cutter it;
    size_t count = 10;
    memset(&seen['0'], 1, 10);
    *highest = '9';
    cutter_init(&it, WITAN_TEXT_CHARACTER);
    for (size_t begin = 0, end; cut(&it, text, size, &begin, &end); begin = end) {
        uint32_t code = decode(text + begin, end - begin);
        count += seen[code] == 0;
        seen[code] = 1;
        *highest = code > *highest ? code : *highest;
    }
    return count;
}

static witan_status
make_characters(witan_vocabulary *out, const char *text, size_t size,
                const witan_allocator *allocator, witan_diag *diag)
{
    uint8_t *seen = witan_zalloc(allocator, CODES, 1);
    if (seen == NULL) {
        return WITAN_E_MEMORY;
    }
    uint32_t highest;
    size_t count = 1 + mark_characters(seen, &highest, text, size);
    witan_status status =
        count > WITAN_CLASSES_MAX
            ? witan_diag_fail(diag, WITAN_E_LIMIT,
                              "the text has %zu different characters; at most %zu "
                              "make a vocabulary: use words",
                              count - 1, WITAN_CLASSES_MAX - 1)
            : prepare(out, WITAN_TEXT_CHARACTER, count, allocator);
    for (uint32_t code = 0; code <= highest && status == WITAN_OK; code++) {
        if (seen[code] != 0) {
            char piece[4], name[NAME_SIZE];
            size_t length;
            (void)escape(name, &length, piece, encode(piece, code));
            status = add_name(out, name, allocator);
        }
    }
    witan_free(allocator, seen);
    return status;
}

witan_status
witan_vocabulary_make(witan_vocabulary *out, witan_text_unit unit, const char *text,
                      size_t size, size_t most, const witan_allocator *allocator,
                      witan_diag *diag)
{
    size_t space = 0;
    memset(out, 0, sizeof *out);
    WITAN_TRY(check_text(text, size, diag));
    while (space < size && (kind_of((unsigned char)text[space]) == SPACE ||
                            kind_of((unsigned char)text[space]) == BREAK)) {
        space++;
    }
    if (space == size) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the text has nothing but white space; give one with "
                               "words");
    }
    if (unit == WITAN_TEXT_WORD && (most < 2 || most > WITAN_CLASSES_MAX)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "data.text.vocabulary is %zu: set it between 2 and %zu",
                               most, WITAN_CLASSES_MAX);
    }
    witan_status status = unit == WITAN_TEXT_WORD
                              ? make_words(out, text, size, most, allocator)
                              : make_characters(out, text, size, allocator, diag);
    if (status == WITAN_OK && out->count < 2) { /* one word, too long for a name */
        status = witan_diag_fail(diag, WITAN_E_DATA,
                                 "the text has no word of at most %zu bytes; is it "
                                 "text?",
                                 WITAN_CLASS_NAME_MAX);
    }
    if (status != WITAN_OK) {
        witan_vocabulary_fini(out, allocator);
        return status == WITAN_E_MEMORY ? no_memory(diag, size) : status;
    }
    return WITAN_OK;
}

/* Whether the name is that of one token of the unit. */
static bool
names_a_token(const cutter *it, const char *name)
{
    char piece[NAME_SIZE];
    size_t size, begin = 0, end;
    return unescape(piece, &size, name) && size > 0 &&
           witan_text_check(piece, size) == size &&
           cut(it, piece, size, &begin, &end) && begin == 0 && end == size;
}

witan_status
witan_vocabulary_from_names(witan_vocabulary *out, witan_text_unit unit,
                            const char *const *names, size_t count,
                            const witan_allocator *allocator, witan_diag *diag)
{
    cutter it;
    memset(out, 0, sizeof *out);
    if (count < 2 || count > WITAN_CLASSES_MAX || strcmp(names[0], unknown_name) != 0) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "a vocabulary of %zu names; 2 to %zu are expected, the "
                               "first of them %s",
                               count, WITAN_CLASSES_MAX, unknown_name);
    }
    cutter_init(&it, unit);
    witan_status status = prepare(out, unit, count, allocator);
    for (size_t v = 1; v < count && status == WITAN_OK; v++) {
        bool good = names_a_token(&it, names[v]);
        status = good ? add_name(out, names[v], allocator) : WITAN_E_DATA;
        if (status == WITAN_E_DATA) {
            (void)witan_diag_fail(diag, status, "the vocabulary's name %zu %s", v,
                                  good ? "stands there twice" : "is not one token");
        }
    }
    if (status != WITAN_OK) {
        witan_vocabulary_fini(out, allocator);
        return status == WITAN_E_MEMORY ? no_memory(diag, count) : status;
    }
    return WITAN_OK;
}

/* --- using ------------------------------------------------------------------------ */

/* Whether a piece is its own name: nothing in it can need an escape. */
static bool
is_plain(const char *piece, size_t size)
{
    unsigned odd = size > WITAN_CLASS_NAME_MAX;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)piece[i];
        odd |= (unsigned)(c < 0x20) | (c == 0x7F) | (c == '\\') | (c == 0xC2);
    }
    return odd == 0;
}

uint32_t
witan_vocabulary_find(const witan_vocabulary *self, const char *piece, size_t size)
{
    char name[NAME_SIZE];
    size_t length;
    if (is_plain(piece, size)) {
        return *slot_of(self, piece, size);
    }
    if (!escape(name, &length, piece, size)) {
        return 0;
    }
    return *slot_of(self, name, length);
}

witan_status
witan_vocabulary_encode(const witan_vocabulary *self, const char *text, size_t size,
                        uint32_t **tokens, size_t *count, size_t *unknown,
                        const witan_allocator *allocator, witan_diag *diag)
{
    uint32_t ascii[128]; /* of single bytes: all that most texts have */
    cutter it;
    size_t missed = 0;
    *tokens = NULL;
    *count = 0;
    WITAN_TRY(check_text(text, size, diag));
    (void)witan_text_scan(self->unit, text, size, SIZE_MAX, count);
    *tokens = witan_alloc(allocator, *count, sizeof **tokens);
    if (*tokens == NULL) {
        size_t wanted = *count;
        *count = 0;
        return no_memory(diag, wanted);
    }
    for (unsigned c = 0; c < 128; c++) {
        char piece = (char)c;
        ascii[c] = witan_vocabulary_find(self, &piece, 1);
    }
    cutter_init(&it, self->unit);
    uint32_t *to = *tokens;
    for (size_t begin = 0, end; cut(&it, text, size, &begin, &end); begin = end) {
        *to = end - begin == 1 ? ascii[(unsigned char)text[begin] & 0x7F]
                               : witan_vocabulary_find(self, text + begin, end - begin);
        missed += *to++ == 0;
    }
    if (unknown != NULL) {
        *unknown = missed;
    }
    return WITAN_OK;
}

void
witan_vocabulary_digest(const witan_vocabulary *self, uint8_t out[32])
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update_u64(&digest, self->unit);
    witan_digest_update_u64(&digest, self->count);
    for (size_t v = 0; v < self->count; v++) {
        size_t length = strlen(self->names[v]);
        witan_digest_update_u64(&digest, length);
        witan_digest_update(&digest, self->names[v], length);
    }
    witan_digest_final(&digest, out);
}
