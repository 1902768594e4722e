#include "privacy/canary.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "privacy/search.h"

#define REFERENCES_MIN 100

static const char DIGITS[] = "0123456789";
static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz";

/* One alphabet of a vocabulary, made when a hole first asks for it. */
typedef struct alphabet {
    uint32_t *symbols; /* in the template's sets */
    uint32_t count;    /* 0: not made yet */
} alphabet;

typedef struct compiler {
    witan_canary_template *out;
    const witan_vocabulary *vocabulary;
    const witan_allocator *allocator;
    witan_diag *diag;
    alphabet digits, letters, words;
    char literal[WITAN_CANARY_TEMPLATE_MAX];    /* text since the last hole */
    uint16_t column[WITAN_CANARY_TEMPLATE_MAX]; /* of its bytes */
    size_t length;
} compiler;

static witan_status
slot_add(compiler *self, size_t column, uint32_t token, const alphabet *symbols)
{
    witan_canary_template *out = self->out;
    if (out->slots == WITAN_CANARY_SLOTS_MAX) {
        return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                               "canary template, column %zu: more than %zu tokens",
                               column, WITAN_CANARY_SLOTS_MAX);
    }
    witan_canary_slot *slot = &out->slot[out->slots++];
    *slot = (witan_canary_slot){.token = token};
    if (symbols != NULL) {
        slot->alphabet = symbols->count;
        slot->symbols = symbols->symbols;
        out->holes++;
        out->space *= symbols->count;
        if (!isfinite(out->space)) {
            return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                                   "canary template, column %zu: more than 10^308 "
                                   "fills: shorten its holes",
                                   column);
        }
    }
    return WITAN_OK;
}

/* Bytes of what is looked up at once: a code point, or what stands between blanks. */
static size_t
piece_size(witan_text_unit unit, const char *text, size_t size)
{
    if (unit == WITAN_TEXT_CHARACTER) {
        unsigned char lead = (unsigned char)text[0];
        size_t bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        return bytes < size ? bytes : size;
    }
    size_t bytes = 1;
    while (bytes < size && text[bytes - 1] != ' ' && text[bytes] != ' ') {
        bytes++;
    }
    return bytes;
}

static witan_status
literal_flush(compiler *self)
{
    witan_status status = WITAN_OK;
    for (size_t at = 0, size; at < self->length && status == WITAN_OK; at += size) {
        const char *piece = self->literal + at;
        size_t column = self->column[at], count = 0, unknown = 0;
        uint32_t *tokens = NULL;
        size = piece_size(self->vocabulary->unit, piece, self->length - at);
        status = witan_vocabulary_encode(self->vocabulary, piece, size, &tokens, &count,
                                         &unknown, self->allocator, NULL);
        if (status == WITAN_E_DATA) {
            status = witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                     "canary template, column %zu: not UTF-8", column);
        } else if (status == WITAN_OK && unknown > 0) {
            status = witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                     "canary template, column %zu: \"%.*s\" is not in "
                                     "the vocabulary: use what occurs in the text",
                                     column, (int)size, piece);
        }
        for (size_t i = 0; i < count && status == WITAN_OK; i++) {
            status = slot_add(self, column, tokens[i], NULL);
        }
        witan_free(self->allocator, tokens);
    }
    self->length = 0;
    return status;
}

static witan_status
alphabet_characters(compiler *self, alphabet *out, const char *characters,
                    size_t column)
{
    for (const char *c = characters; *c != '\0'; c++) {
        uint32_t token = witan_vocabulary_find(self->vocabulary, c, 1);
        if (token == 0) {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "canary template, column %zu: the vocabulary lacks "
                                   "'%c', which this hole draws from",
                                   column, *c);
        }
        uint32_t at = out->count++;
        for (; at > 0 && out->symbols[at - 1] > token; at--) {
            out->symbols[at] = out->symbols[at - 1];
        }
        out->symbols[at] = token;
    }
    return WITAN_OK;
}

static bool
letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 128;
}

/* A token that is read as a word: no mark, no line break, which are named by an
 * escape, and no lone apostrophes. */
static bool
is_word(const char *name)
{
    while (*name == '\'') {
        name++;
    }
    return letter_or_digit(*name);
}

static witan_status
alphabet_words(compiler *self, alphabet *out, size_t column)
{
    for (size_t token = 1; token < self->vocabulary->count; token++) {
        if (is_word(self->vocabulary->names[token])) {
            out->symbols[out->count++] = (uint32_t)token;
        }
    }
    if (out->count == 0) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template, column %zu: the vocabulary holds no "
                               "word to draw from",
                               column);
    }
    return WITAN_OK;
}

static witan_status
hole_add(compiler *self, char kind, size_t length, size_t column)
{
    bool words = self->vocabulary->unit == WITAN_TEXT_WORD;
    if (kind == 'w' && !words) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template, column %zu: {w:%zu} needs a "
                               "vocabulary of words, this one holds characters: use "
                               "{dN} or {aN}",
                               column, length);
    }
    if (kind != 'w' && words) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template, column %zu: {%c%zu} needs a "
                               "vocabulary of characters; in this one, of words, %s "
                               "that stand together are one token: use {w:N}",
                               column, kind, length,
                               kind == 'd' ? "digits" : "letters");
    }
    alphabet *symbols = kind == 'd'   ? &self->digits
                        : kind == 'a' ? &self->letters
                                      : &self->words;
    if (symbols->count == 0) {
        WITAN_TRY(kind == 'w'
                      ? alphabet_words(self, symbols, column)
                      : alphabet_characters(self, symbols,
                                            kind == 'd' ? DIGITS : LETTERS, column));
    }
    for (size_t i = 0; i < length; i++) {
        WITAN_TRY(slot_add(self, column, 0, symbols));
    }
    return WITAN_OK;
}

/* The hole at text, which is its opening brace; *size: bytes up to and with its closing
 * one. */
static witan_status
hole_parse(compiler *self, const char *text, size_t column, size_t *size)
{
    char kind = text[1];
    size_t at = 2, length = 0;
    bool valid = kind == 'd' || kind == 'a' || (kind == 'w' && text[at++] == ':');
    for (; valid && text[at] >= '0' && text[at] <= '9'; at++) {
        length = 10 * length + (size_t)(text[at] - '0');
        length = length > WITAN_CANARY_SLOTS_MAX ? WITAN_CANARY_SLOTS_MAX + 1 : length;
    }
    if (!valid || length == 0 || text[at] != '}') {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template, column %zu: a hole is {dN}, {aN} or "
                               "{w:N}, N symbols from 1 on; write {{ for a brace",
                               column);
    }
    *size = at + 1;
    return hole_add(self, kind, length, column);
}

static witan_status
template_parse(compiler *self, const char *text)
{
    size_t column = 0;
    for (size_t at = 0, size; text[at] != '\0'; at += size) {
        size = 1;
        column += ((unsigned char)text[at] & 0xC0) != 0x80;
        bool brace = text[at] == '{' || text[at] == '}';
        if (brace && text[at + 1] == text[at]) {
            size = 2;
        } else if (text[at] == '}') {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "canary template, column %zu: a closing brace "
                                   "without a hole: write }} for a brace",
                                   column);
        } else if (brace) {
            WITAN_TRY(literal_flush(self));
            WITAN_TRY(hole_parse(self, text + at, column, &size));
            column += size - 1;
            continue;
        }
        self->column[self->length] = (uint16_t)column;
        self->literal[self->length++] = text[at];
        column += size - 1;
    }
    WITAN_TRY(literal_flush(self));
    if (self->out->holes == 0) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template, column %zu: it ends without a hole: "
                               "add one such as {d6}",
                               column + 1);
    }
    if (self->out->slot[0].alphabet > 0) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template, column 1: it begins with a hole, but "
                               "no model predicts a first token: put text before it");
    }
    return WITAN_OK;
}

witan_status
witan_canary_template_compile(witan_canary_template *out, const char *text,
                              const witan_vocabulary *vocabulary,
                              const witan_allocator *allocator, witan_diag *diag)
{
    *out = (witan_canary_template){.space = 1.0};
    if (strlen(text) >= WITAN_CANARY_TEMPLATE_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "canary template: %zu bytes, at most %zu are allowed",
                               strlen(text), WITAN_CANARY_TEMPLATE_MAX - 1);
    }
    size_t fixed = sizeof DIGITS + sizeof LETTERS;
    out->sets = witan_alloc(allocator, fixed + vocabulary->count, sizeof *out->sets);
    if (out->sets == NULL) {
        return WITAN_E_MEMORY;
    }
    compiler self = {.out = out,
                     .vocabulary = vocabulary,
                     .allocator = allocator,
                     .diag = diag,
                     .digits.symbols = out->sets,
                     .letters.symbols = out->sets + sizeof DIGITS,
                     .words.symbols = out->sets + fixed};
    witan_status status = template_parse(&self, text);
    if (status != WITAN_OK) {
        witan_canary_template_fini(out, allocator);
    }
    return status;
}

void
witan_canary_template_fini(witan_canary_template *self,
                           const witan_allocator *allocator)
{
    witan_free(allocator, self->sets);
    *self = (witan_canary_template){0};
}

void
witan_canary_tokens(const witan_canary_template *self, const uint32_t *fill,
                    uint32_t *tokens)
{
    for (size_t i = 0; i < self->slots; i++) {
        const witan_canary_slot *slot = &self->slot[i];
        tokens[i] = slot->alphabet > 0 ? slot->symbols[*fill++] : slot->token;
    }
}

uint32_t
witan_canary_symbol(const witan_canary_template *self, size_t slot, uint32_t token)
{
    const uint32_t *symbols = self->slot[slot].symbols;
    uint32_t low = 0, high = self->slot[slot].alphabet;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (symbols[middle] < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < self->slot[slot].alphabet && symbols[low] == token ? low : UINT32_MAX;
}

/* A set of rows of numbers, open addressing; it holds addresses alone. */
typedef struct row_set {
    const uint32_t **rows; /* [slots] */
    size_t slots;          /* a power of two, more than twice the rows */
    size_t width;
} row_set;

static bool
row_set_init(row_set *self, size_t count, size_t width,
             const witan_allocator *allocator)
{
    *self = (row_set){.slots = 16, .width = width};
    while (self->slots / 2 <= count) {
        self->slots *= 2;
    }
    self->rows = witan_zalloc(allocator, self->slots, sizeof *self->rows);
    return self->rows != NULL;
}

/* False when an equal row is there already. */
static bool
row_set_add(row_set *self, const uint32_t *row)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a over words, then mixed */
    for (size_t i = 0; i < self->width; i++) {
        hash = (hash ^ row[i]) * 0x100000001B3u;
    }
    hash ^= hash >> 32;
    hash *= 0x9E3779B97F4A7C15u;
    size_t at = (size_t)(hash >> 20) & (self->slots - 1);
    for (; self->rows[at] != NULL; at = (at + 1) & (self->slots - 1)) {
        if (memcmp(self->rows[at], row, self->width * sizeof *row) == 0) {
            return false;
        }
    }
    self->rows[at] = row;
    return true;
}

/* Draws rows until each is a new one: exactly uniform without replacement; the whole of
 * a space of n rows costs n ln n draws. */
static witan_status
draw_distinct(uint32_t *out, size_t count, const uint32_t *taken, size_t taken_count,
              const uint32_t *bounds, size_t width, witan_random *random,
              const witan_allocator *allocator)
{
    row_set set;
    if (!row_set_init(&set, count + taken_count, width, allocator)) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < taken_count; i++) {
        (void)row_set_add(&set, taken + i * width);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t *row = out + i * width;
        do {
            for (size_t h = 0; h < width; h++) {
                row[h] = witan_random_below(random, bounds[h]);
            }
        } while (!row_set_add(&set, row));
    }
    witan_free(allocator, set.rows);
    return WITAN_OK;
}

witan_status
witan_canary_draw(uint32_t *fills, size_t count, const uint32_t *taken,
                  size_t taken_count, const witan_canary_template *form,
                  witan_random *random, const witan_allocator *allocator,
                  witan_diag *diag)
{
    uint32_t bounds[WITAN_CANARY_SLOTS_MAX];
    size_t holes = 0;
    for (size_t i = 0; i < form->slots; i++) {
        if (form->slot[i].alphabet > 0) {
            bounds[holes++] = form->slot[i].alphabet;
        }
    }
    if ((double)count + (double)taken_count > form->space) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the canary template has %.0f fills; %zu more beside "
                               "%zu do not exist: give it longer holes",
                               form->space, count, taken_count);
    }
    if (count > WITAN_CANARY_ROWS_MAX || taken_count > WITAN_CANARY_ROWS_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "at most %zu fills can be drawn at once",
                               WITAN_CANARY_ROWS_MAX);
    }
    return draw_distinct(fills, count, taken, taken_count, bounds, holes, random,
                         allocator);
}

/* --- plans ---------------------------------------------------------------------- */

/* Errors: E_CONFIG when a number stands there twice. */
static witan_status
distinct_check(const uint32_t *values, size_t count, const char *what,
               const witan_allocator *allocator, witan_diag *diag)
{
    row_set set;
    witan_status status = WITAN_OK;
    if (!row_set_init(&set, count, 1, allocator)) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < count && status == WITAN_OK; i++) {
        if (!row_set_add(&set, values + i)) {
            status = witan_diag_fail(diag, WITAN_E_CONFIG, "%s: %u stands there twice",
                                     what, values[i]);
        }
    }
    witan_free(allocator, set.rows);
    return status;
}

static witan_status
levels_check(const witan_canary_request *request, const witan_allocator *allocator,
             witan_diag *diag)
{
    if (request->levels == 0 || request->per_level == 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "a canary plan needs repetitions, such as 0, 1 and 10, "
                               "and at least one canary of each");
    }
    if (request->levels > WITAN_CANARIES_MAX ||
        request->per_level > WITAN_CANARIES_MAX / request->levels) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "%zu canaries at each of %zu repetitions: more than %zu "
                               "canaries",
                               request->per_level, request->levels, WITAN_CANARIES_MAX);
    }
    double rows = 0.0;
    for (size_t i = 0; i < request->levels; i++) {
        rows += (double)request->repetitions[i] * (double)request->per_level;
    }
    if (rows > (double)WITAN_CANARY_ROWS_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "the plan inserts %.0f rows, at most %zu are allowed",
                               rows, WITAN_CANARY_ROWS_MAX);
    }
    return distinct_check(request->repetitions, request->levels, "repetitions",
                          allocator, diag);
}

static witan_status
holders_check(const witan_canary_request *request, const witan_allocator *allocator,
              witan_diag *diag)
{
    if (request->holders_count == 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "a canary plan needs clients that hold the canaries: "
                               "name at least one");
    }
    if (request->holders_count > WITAN_CLIENTS_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT, "more than %zu holders",
                               WITAN_CLIENTS_MAX);
    }
    for (size_t i = 0; i < request->holders_count; i++) {
        if (request->holders[i] >= WITAN_CLIENTS_MAX) {
            return witan_diag_fail(diag, WITAN_E_LIMIT,
                                   "holder %u: client numbers end at %zu",
                                   request->holders[i], WITAN_CLIENTS_MAX - 1);
        }
    }
    return distinct_check(request->holders, request->holders_count, "holders",
                          allocator, diag);
}

static witan_status
options_check(const witan_canary_request *request, witan_diag *diag)
{
    if (!(request->inclusion > 0.0 && request->inclusion <= 1.0)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "inclusion %g: a probability above 0 and at most 1 is "
                               "needed, such as 0.5",
                               request->inclusion);
    }
    if (request->references < REFERENCES_MIN) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "%zu references: exposure needs at least %d",
                               request->references, REFERENCES_MIN);
    }
    if (request->references > WITAN_CANARY_ROWS_MAX ||
        request->transfer_rows > WITAN_CANARY_ROWS_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "at most %zu references and windows of the transfer set",
                               WITAN_CANARY_ROWS_MAX);
    }
    if (request->transfer != WITAN_TRANSFER_WITHOUT && request->transfer_rows == 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "a transfer set with canaries or their template needs "
                               "at least one row of them");
    }
    if (request->kind != WITAN_CANARY_TEXT &&
        request->transfer == WITAN_TRANSFER_TEMPLATE) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "canaries of features have no template that a transfer "
                               "set could show: leave it out or show the canaries");
    }
    return WITAN_OK;
}

static witan_status
space_check(const witan_canary_plan *self, witan_diag *diag)
{
    double space = self->compiled.space;
    size_t others = REFERENCES_MIN;
    if (space > WITAN_SPACE_EXACT_MAX) {
        others = self->references;
    }
    if (self->transfer == WITAN_TRANSFER_TEMPLATE && self->transfer_rows > others) {
        others = self->transfer_rows;
    }
    if (space < (double)self->count + (double)others) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the canary template has %.0f fills, %zu canaries and "
                               "%zu other fills are needed: give it longer holes or "
                               "ask for fewer",
                               space, self->count, others);
    }
    return WITAN_OK;
}

static witan_status
text_draw(witan_canary_plan *self, const witan_canary_request *request,
          const witan_vocabulary *vocabulary, witan_random *random,
          const witan_allocator *allocator, witan_diag *diag)
{
    if (vocabulary == NULL || request->text == NULL) {
        return WITAN_E_INVALID;
    }
    WITAN_TRY(witan_canary_template_compile(&self->compiled, request->text, vocabulary,
                                            allocator, diag));
    memcpy(self->text, request->text, strlen(request->text) + 1);
    witan_vocabulary_digest(vocabulary, self->vocabulary);
    WITAN_TRY(space_check(self, diag));
    self->fills =
        witan_zalloc(allocator, self->count, self->compiled.holes * sizeof(uint32_t));
    if (self->fills == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < self->count; i++) {
        self->canary[i].fill = self->fills + i * self->compiled.holes;
    }
    return witan_canary_draw(self->fills, self->count, NULL, 0, &self->compiled, random,
                             allocator, diag);
}

/* Different rows of the test set, each with one of the labels that it has not. */
static witan_status
mislabelled_draw(witan_canary_plan *self, const witan_canary_request *request,
                 witan_random *random, const witan_allocator *allocator,
                 witan_diag *diag)
{
    if (request->test_labels == NULL || request->test_rows > WITAN_SAMPLES_MAX) {
        return WITAN_E_INVALID;
    }
    if (request->test_rows < self->count + self->references) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "%zu mislabelled canaries and %zu references need as "
                               "many rows of the test set, which has %llu: ask for "
                               "fewer",
                               self->count, self->references,
                               (unsigned long long)request->test_rows);
    }
    uint32_t bound = (uint32_t)request->test_rows;
    uint32_t *rows = witan_alloc(allocator, self->count, sizeof *rows);
    if (rows == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_status status =
        draw_distinct(rows, self->count, NULL, 0, &bound, 1, random, allocator);
    for (size_t i = 0; i < self->count && status == WITAN_OK; i++) {
        uint32_t label = request->test_labels[rows[i]];
        uint32_t other = witan_random_below(random, (uint32_t)self->classes - 1);
        self->canary[i].row = rows[i];
        self->canary[i].label = other + (other >= label);
        status = label < self->classes ? WITAN_OK : WITAN_E_INVALID;
    }
    witan_free(allocator, rows);
    return status;
}

static witan_status
kind_draw(witan_canary_plan *self, const witan_canary_request *request,
          const witan_vocabulary *vocabulary, witan_random *random,
          const witan_allocator *allocator, witan_diag *diag)
{
    if (self->kind == WITAN_CANARY_TEXT) {
        return text_draw(self, request, vocabulary, random, allocator, diag);
    }
    self->classes = request->classes;
    if (self->classes < 2 || self->classes > WITAN_CLASSES_MAX) {
        return WITAN_E_INVALID;
    }
    if (self->kind == WITAN_CANARY_MISLABELLED) {
        return mislabelled_draw(self, request, random, allocator, diag);
    }
    for (size_t i = 0; i < self->count; i++) {
        witan_canary_noise_row(self, i, NULL, 0, &self->canary[i].label);
    }
    return WITAN_OK;
}

witan_status
witan_canary_plan_draw(witan_canary_plan *out, const witan_canary_request *request,
                       const witan_vocabulary *vocabulary,
                       const witan_allocator *allocator, witan_diag *diag)
{
    *out = (witan_canary_plan){0};
    WITAN_TRY(levels_check(request, allocator, diag));
    WITAN_TRY(holders_check(request, allocator, diag));
    WITAN_TRY(options_check(request, diag));
    *out = (witan_canary_plan){.kind = request->kind,
                               .seed = request->seed,
                               .inclusion = request->inclusion,
                               .placement = request->placement,
                               .transfer = request->transfer,
                               .transfer_rows = request->transfer_rows,
                               .references = request->references,
                               .holders_count = request->holders_count,
                               .count = request->levels * request->per_level};
    witan_status status = WITAN_E_MEMORY;
    out->holders = witan_zalloc(allocator, out->holders_count, sizeof *out->holders);
    out->canary = witan_zalloc(allocator, out->count, sizeof *out->canary);
    if (out->holders == NULL || out->canary == NULL) {
        goto out;
    }
    memcpy(out->holders, request->holders, out->holders_count * sizeof *out->holders);
    witan_random random;
    witan_random_init(&random, out->seed, WITAN_CLIENT_NONE, 0, WITAN_PURPOSE_CANARY);
    status = kind_draw(out, request, vocabulary, &random, allocator, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    for (size_t i = 0; i < out->count; i++) {
        size_t level = i / request->per_level, place = i % request->per_level;
        witan_canary *canary = &out->canary[i];
        canary->repetitions = request->repetitions[level];
        canary->client = out->holders[place % out->holders_count];
        bool coin = witan_random_uniform(&random) < out->inclusion;
        canary->inserted = coin && canary->repetitions > 0;
    }
    witan_canary_plan_digest(out);
out:
    if (status != WITAN_OK) {
        witan_canary_plan_fini(out, allocator);
    }
    return status;
}

void
witan_canary_plan_fini(witan_canary_plan *self, const witan_allocator *allocator)
{
    witan_canary_template_fini(&self->compiled, allocator);
    witan_free(allocator, self->holders);
    witan_free(allocator, self->canary);
    witan_free(allocator, self->fills);
    *self = (witan_canary_plan){0};
}

void
witan_canary_plan_digest(witan_canary_plan *self)
{
    static const char domain[] = "witan canary plan 1";
    const uint64_t numbers[] = {
        self->kind,     self->classes,        self->seed,        self->placement,
        self->transfer, self->transfer_rows,  self->references,  self->holders_count,
        self->count,    self->compiled.holes, strlen(self->text)};
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, domain, sizeof domain);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        witan_digest_update_u64(&digest, numbers[i]);
    }
    witan_digest_update_double(&digest, self->inclusion);
    witan_digest_update(&digest, self->text, strlen(self->text));
    witan_digest_update(&digest, self->vocabulary, sizeof self->vocabulary);
    for (size_t i = 0; i < self->holders_count; i++) {
        witan_digest_update_u64(&digest, self->holders[i]);
    }
    for (size_t i = 0; i < self->count; i++) {
        const witan_canary *canary = &self->canary[i];
        witan_digest_update_u64(&digest, canary->repetitions);
        witan_digest_update_u64(&digest, canary->inserted);
        witan_digest_update_u64(&digest, canary->client);
        witan_digest_update_u64(&digest, canary->row);
        witan_digest_update_u64(&digest, canary->label);
        for (size_t h = 0; h < self->compiled.holes; h++) {
            witan_digest_update_u64(&digest, canary->fill[h]);
        }
    }
    witan_digest_final(&digest, self->digest);
}

void
witan_canary_text(const witan_canary_plan *self, const uint32_t *fill,
                  const witan_vocabulary *vocabulary, char *text, size_t size)
{
    uint32_t tokens[WITAN_CANARY_SLOTS_MAX];
    size_t at = 0;
    witan_canary_tokens(&self->compiled, fill, tokens);
    for (size_t i = 0; i < self->compiled.slots; i++) {
        const char *name = vocabulary->names[tokens[i]];
        bool blank = i > 0 && vocabulary->unit == WITAN_TEXT_WORD && is_word(name);
        size_t length = strlen(name);
        if (at + blank + length >= size) {
            break; /* whole names alone: no half of a code point */
        }
        if (blank) {
            text[at++] = ' ';
        }
        memcpy(text + at, name, length);
        at += length;
    }
    if (size > 0) {
        text[at] = '\0';
    }
}

void
witan_canary_noise_row(const witan_canary_plan *self, size_t number, float *features,
                       size_t count, uint32_t *label)
{
    witan_random random; /* round 1: round 0 is the plan's and planting's own */
    witan_random_init(&random, self->seed, (uint32_t)number, 1, WITAN_PURPOSE_CANARY);
    *label = witan_random_below(&random, (uint32_t)self->classes);
    for (size_t i = 0; i < count; i++) {
        features[i] = (float)witan_random_uniform(&random);
    }
}
