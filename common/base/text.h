/* text.h - small text helpers shared by rooms: a growing buffer, nearest word, numbers.
 */
#ifndef WITAN_BASE_TEXT_H
#define WITAN_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

/* A growing byte buffer with a ceiling; always NUL-terminated once something was added.
 * The first failure sticks: later appends do nothing and witan_text_status tells. */
typedef struct witan_text {
    const witan_allocator *allocator;
    char *data; /* owned; NULL while empty */
    size_t length;
    size_t capacity;
    size_t ceiling; /* bytes; exceeding it is WITAN_E_LIMIT */
    witan_status status;
} witan_text;

void witan_text_init(witan_text *self, const witan_allocator *allocator,
                     size_t ceiling);
void witan_text_fini(witan_text *self);
void witan_text_add(witan_text *self, const char *bytes, size_t size);
void witan_text_format(witan_text *self, const char *format, ...) WITAN_PRINTF(2, 3);

/* Adds a JSON string with its quotes, escaped; bytes >= 0x80 pass as they are. */
void witan_text_json_string(witan_text *self, const char *value);
/* Adds a number that reads back to the same bits; null when it is not finite. */
void witan_text_json_number(witan_text *self, double value);

/* The word of `words` [count] with the smallest edit distance to `word`, or NULL when
 * none is near (distance > 2 + length / 4). Ties: the first. */
const char *witan_text_nearest(const char *word, const char *const *words,
                               size_t count);

/* Whole text as a decimal unsigned integer; false on sign, space, rest, overflow. */
bool witan_text_parse_u64(const char *text, uint64_t *out);

/* Whole text as a finite decimal number; false otherwise ("nan" and "inf" too). */
bool witan_text_parse_double(const char *text, double *out);

#endif
