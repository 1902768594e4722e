/* text.h - text as tokens: a vocabulary, and windows cut from documents.
 * Why here: every client of a token federation must number the same tokens alike, so
 * the vocabulary is made once, from public text, and travels with the transfer set.
 * Characters are Unicode code points. Words are runs of letters, digits and
 * apostrophes (code points from 128 on count as letters); every other mark that is not
 * white space is a token of its own, and a line break is one too.
 * Token 0 is <unk>: what the vocabulary does not hold. The digits 0 to 9 always belong
 * to a character vocabulary.
 * Names are escaped: a line break is \n, a tab \t, a backslash \\, other control bytes
 * \xNN, so that no name holds a control character.
 * Threads: immutable after making. */
#ifndef WITAN_DATA_TEXT_H
#define WITAN_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef enum witan_text_unit {
    WITAN_TEXT_CHARACTER,
    WITAN_TEXT_WORD,
} witan_text_unit;

/* What a row's label says; the rule of natural partitions. */
typedef enum witan_text_group {
    WITAN_TEXT_GROUP_NONE,    /* one group */
    WITAN_TEXT_GROUP_FILE,    /* by file, named without its ending */
    WITAN_TEXT_GROUP_FOLDER,  /* by folder below the path */
    WITAN_TEXT_GROUP_SPEAKER, /* by the role that speaks: "NAME:" alone on a line after
                                 a blank one; all that a role says is one document */
} witan_text_group;

typedef struct witan_text_options {
    witan_text_unit unit;
    witan_text_group group;
    size_t vocabulary;     /* words: the most frequent so many, <unk> included; >= 2 */
    size_t window;         /* positions of a row; [1, WITAN_CONTEXT_MAX] */
    double valid_fraction; /* [0, 1): share of each group's windows; the last
                              test_fraction of them are the test part, the ones before
                              are the validation part. Files that come in three parts
                              are taken as they are */
    /* NULL: made from the training text. Else borrowed [known_count] escaped names,
     * <unk> first: a federation's vocabulary; what it lacks becomes <unk>. */
    const char *const *known;
    size_t known_count;
} witan_text_options;

typedef struct witan_vocabulary {
    witan_text_unit unit;
    size_t count;  /* V, [2, WITAN_CLASSES_MAX] */
    char **names;  /* [V] escaped, owned */
    uint32_t *map; /* hash table, owned; private to text.c */
    size_t slots;
} witan_vocabulary;

/* From text [size], UTF-8: characters by code point; words by falling frequency, then
 * by bytes, cut to `most`, <unk> included. Words of more than WITAN_CLASS_NAME_MAX
 * bytes stay <unk>. Errors: E_DATA (not UTF-8: says the byte; nothing but white space),
 * E_CONFIG (words: most below 2 or too many), E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_vocabulary_make(
    witan_vocabulary *out, witan_text_unit unit, const char *text, size_t size,
    size_t most, const witan_allocator *allocator, witan_diag *diag);
/* From escaped names, such as a peer sent: <unk> first, no name twice, each one token
 * of the unit. Errors: E_DATA, E_MEMORY. */
WITAN_NODISCARD witan_status witan_vocabulary_from_names(
    witan_vocabulary *out, witan_text_unit unit, const char *const *names, size_t count,
    const witan_allocator *allocator, witan_diag *diag);
void witan_vocabulary_fini(witan_vocabulary *self, const witan_allocator *allocator);

/* Token of one piece of text (a code point, or a word) [size]; 0 when unknown. */
uint32_t witan_vocabulary_find(const witan_vocabulary *self, const char *piece,
                               size_t size);

/* Tokens of text [size] into a fresh block, owned by the caller. unknown: how many
 * became <unk>; may be NULL. Errors: E_DATA (not UTF-8), E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_vocabulary_encode(
    const witan_vocabulary *self, const char *text, size_t size, uint32_t **tokens,
    size_t *count, size_t *unknown, const witan_allocator *allocator, witan_diag *diag);

/* Digest of unit and names: equal digests number alike. */
void witan_vocabulary_digest(const witan_vocabulary *self, uint8_t out[32]);

#endif
