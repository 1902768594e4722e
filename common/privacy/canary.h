/* canary.h - secrets that are planted on purpose: their format, their fills, the plan.
 * Why here: the plan is fixed and hashed before training, so that nobody can choose
 * canaries afterwards that look well; insertion and measurement both start from it.
 * Source: Carlini et al. 2019, "The Secret Sharer"; Thakkar et al. 2020, arXiv
 * 2006.07490 (canaries held by chosen clients).
 * Template language: literal text and holes
 *   {dN}  N digits        {aN}  N letters a to z       {w:N}  N words of the vocabulary
 *   {{ and }}             literal braces
 * A hole is N symbols, each one token; the space of fills is the product of the
 * symbols' alphabets. Digits and letters are tokens of a character vocabulary alone;
 * words are all tokens of a word vocabulary but <unk>, marks and line breaks.
 * A template begins with text: models predict no first token.
 * Threads: immutable after making. */
#ifndef WITAN_PRIVACY_CANARY_H
#define WITAN_PRIVACY_CANARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/random.h"
#include "data/text.h"

#define WITAN_CANARIES_MAX ((size_t)100000)
#define WITAN_CANARY_SLOTS_MAX ((size_t)1024)    /* tokens of one template */
#define WITAN_CANARY_TEMPLATE_MAX ((size_t)1024) /* bytes, with the final NUL */
/* Rows that a plan inserts, its references, its rows in the transfer set. */
#define WITAN_CANARY_ROWS_MAX ((size_t)10000000)

/* One token of a compiled template. */
typedef struct witan_canary_slot {
    uint32_t token;          /* a literal; of a hole unused */
    uint32_t alphabet;       /* symbols of a hole; 0: a literal */
    const uint32_t *symbols; /* [alphabet] their tokens, ascending, distinct */
} witan_canary_slot;

/* A template in the tokens of one vocabulary. */
typedef struct witan_canary_template {
    size_t slots; /* tokens */
    witan_canary_slot slot[WITAN_CANARY_SLOTS_MAX];
    size_t holes;   /* slots with an alphabet, >= 1 */
    double space;   /* fills, product of the alphabets; may exceed 2^64 */
    uint32_t *sets; /* digits, letters, words; owned */
} witan_canary_template;

/* Errors: E_CONFIG (grammar; no hole, or one in front; a literal or a symbol that the
 * vocabulary lacks: names it; {w:N} with characters, {dN} or {aN} with words), each
 * with its column; E_LIMIT (tokens, bytes, more than 10^308 fills), E_MEMORY. */
WITAN_NODISCARD witan_status witan_canary_template_compile(
    witan_canary_template *out, const char *text, const witan_vocabulary *vocabulary,
    const witan_allocator *allocator, witan_diag *diag);
void witan_canary_template_fini(witan_canary_template *self,
                                const witan_allocator *allocator);

/* Tokens [slots] of a fill, given as one symbol index < alphabet per hole. */
void witan_canary_tokens(const witan_canary_template *self, const uint32_t *fill,
                         uint32_t *tokens);
/* The inverse of one slot: the symbol's index, or UINT32_MAX when `token` is none. */
uint32_t witan_canary_symbol(const witan_canary_template *self, size_t slot,
                             uint32_t token);

/* fills [count, holes]: different uniform fills without replacement, none of `taken`
 * [taken_count, holes] (may be NULL). Errors: E_CONFIG (the space is too small for
 * count + taken_count: says both), E_MEMORY. */
WITAN_NODISCARD witan_status witan_canary_draw(
    uint32_t *fills, size_t count, const uint32_t *taken, size_t taken_count,
    const witan_canary_template *form, witan_random *random,
    const witan_allocator *allocator, witan_diag *diag);

typedef enum witan_canary_kind {
    WITAN_CANARY_TEXT,        /* a template with a fill */
    WITAN_CANARY_NOISE,       /* features: a random row with a random label */
    WITAN_CANARY_MISLABELLED, /* features: a row of the test set with a wrong label */
} witan_canary_kind;

typedef enum witan_canary_transfer {
    WITAN_TRANSFER_WITHOUT,  /* P0: the transfer set has nothing of the canaries */
    WITAN_TRANSFER_TEMPLATE, /* P1: the template with other random fills */
    WITAN_TRANSFER_CANARIES, /* P2: the canaries themselves, an upper bound */
} witan_canary_transfer;

typedef enum witan_canary_placement {
    WITAN_PLACE_UNIFORM, /* anywhere within a window of the holder's text */
    WITAN_PLACE_START,   /* at a window's start */
} witan_canary_placement;

typedef struct witan_canary {
    uint32_t repetitions; /* as planned; 0: a control */
    bool inserted;        /* repetitions > 0 and the coin said so */
    uint32_t client;      /* who holds it; of controls: who would */
    uint32_t *fill;       /* [holes] of a text, borrowed from the plan's block */
    uint64_t row;         /* MISLABELLED: row of the test set */
    uint32_t label;       /* features */
} witan_canary;

/* Everything that insertion and audit need; from a file (setup/canary_file.h). */
typedef struct witan_canary_plan {
    witan_canary_kind kind;
    char text[WITAN_CANARY_TEMPLATE_MAX];
    witan_canary_template compiled; /* TEXT */
    uint8_t vocabulary[32];         /* TEXT: digest it was written for */
    size_t classes;                 /* features */
    uint64_t seed;
    double inclusion; /* (0, 1]: probability of a canary being inserted; 1/2 is what the
                         one-run bound wants */
    witan_canary_placement placement;
    witan_canary_transfer transfer;
    size_t transfer_rows; /* TEMPLATE: windows; CANARIES: windows per canary */
    size_t references;    /* drawn when the space is too large to enumerate; features:
                             rows that are never inserted */
    size_t holders_count; /* clients 0 <= n that hold canaries, each canary one */
    uint32_t *holders;    /* [holders_count] owned */
    size_t count;
    witan_canary *canary; /* [count] owned */
    uint32_t *fills;      /* [count, holes] owned */
    uint8_t digest[32];   /* of all of the above */
} witan_canary_plan;

/* What a person asks for. */
typedef struct witan_canary_request {
    witan_canary_kind kind;
    const char *text;            /* TEXT: the template */
    const uint32_t *repetitions; /* [levels] different; 0 for controls */
    size_t levels;
    size_t per_level; /* canaries of each level, >= 1 */
    const uint32_t *holders;
    size_t holders_count;
    double inclusion;
    witan_canary_placement placement;
    witan_canary_transfer transfer;
    size_t transfer_rows, references;
    uint64_t seed;
    size_t classes;              /* features */
    uint64_t test_rows;          /* MISLABELLED: rows to draw from */
    const uint32_t *test_labels; /* [test_rows] MISLABELLED */
} witan_canary_request;

/* Draws a plan: fills, holders in turn within a level, coins; canaries stand level by
 * level as asked for. Stream (seed, WITAN_CLIENT_NONE, 0, CANARY). vocabulary: TEXT,
 * else NULL. Owned by the caller. Errors: E_CONFIG (one sentence: no level, a level
 * twice, too few references (< 100), fills or test rows, holders missing or twice,
 * inclusion, no rows of a transfer set that should have some), E_LIMIT, E_MEMORY,
 * E_INVALID (what the kind needs is missing). */
WITAN_NODISCARD witan_status witan_canary_plan_draw(witan_canary_plan *out,
                                                    const witan_canary_request *request,
                                                    const witan_vocabulary *vocabulary,
                                                    const witan_allocator *allocator,
                                                    witan_diag *diag);
void witan_canary_plan_fini(witan_canary_plan *self, const witan_allocator *allocator);
/* Fills self->digest. */
void witan_canary_plan_digest(witan_canary_plan *self);

/* A canary or fill as a person reads it: "my id is 281265". Names stay escaped; cut at
 * a name's end to size - 1 bytes. */
void witan_canary_text(const witan_canary_plan *self, const uint32_t *fill,
                       const witan_vocabulary *vocabulary, char *text, size_t size);

/* Raw features [features] in [0, 1] and label of noise row `number`: canaries are
 * numbers 0 .. count - 1, references follow. Stream (seed, number, 1, CANARY).
 * features: may be NULL when count is 0; the label is the same. */
void witan_canary_noise_row(const witan_canary_plan *self, size_t number,
                            float *features, size_t count, uint32_t *label);

#endif
