/* release_judge.c - rules of text and densities of features. */
#include <math.h>
#include <string.h>

#include "client/core/release_private.h"
#include "num/gemm.h"

/* --- rules ----------------------------------------------------------------------- */

enum {
    TOKEN_PLAIN,
    TOKEN_DIGIT,  /* one character, 0 to 9 */
    TOKEN_NUMBER, /* longer, with a digit in it */
};

/* Bytes of the first character of an escaped name (data/text.h). */
static size_t
character_bytes(const char *at)
{
    size_t bytes = 1;
    if (*at == '\\') {
        return at[1] == '\0'                                    ? 1
               : at[1] == 'x' && at[2] != '\0' && at[3] != '\0' ? 4
                                                                : 2;
    }
    while (((unsigned char)at[bytes] & 0xC0) == 0x80) { /* inside a code point */
        bytes++;
    }
    return bytes;
}

static uint8_t
token_kind(const char *name, size_t *characters)
{
    bool digit = false;
    size_t count = 0;
    for (const char *at = name; *at != '\0'; at += character_bytes(at)) {
        digit = digit || (*at >= '0' && *at <= '9');
        count++;
    }
    *characters = count;
    return !digit ? TOKEN_PLAIN : count == 1 ? TOKEN_DIGIT : TOKEN_NUMBER;
}

/* kind [V]; single digits of a word vocabulary are numbers. */
static void
judge_names(uint8_t *kind, const char *const *names, size_t count)
{
    bool words = false;
    for (size_t v = 0; v < count; v++) {
        size_t characters;
        kind[v] = token_kind(names[v], &characters);
        words = words || (v != 0 && characters > 1); /* 0 is <unk> */
    }
    for (size_t v = 0; words && v < count; v++) {
        kind[v] = kind[v] == TOKEN_DIGIT ? TOKEN_NUMBER : kind[v];
    }
}

/* Whether token j of a window of `count` is private. */
static bool
is_private(const uint8_t *kind, const uint32_t *tokens, size_t count, size_t j)
{
    if (kind[tokens[j]] != TOKEN_DIGIT) {
        return kind[tokens[j]] == TOKEN_NUMBER;
    }
    return j == 0 || j + 1 == count || kind[tokens[j - 1]] == TOKEN_DIGIT ||
           kind[tokens[j + 1]] == TOKEN_DIGIT;
}

static void
judge_window(double *s, const uint8_t *kind, const uint32_t *tokens, size_t positions,
             size_t reach)
{
    size_t left = 0; /* tokens that the last private one still reaches */
    for (size_t j = 0; j <= positions; j++) {
        bool here = is_private(kind, tokens, positions + 1, j);
        if (j > 0 && (here || left > 0)) {
            s[j - 1] = 1.0;
        }
        left = here ? reach : left - (left > 0);
    }
}

witan_status
witan_release_judge_rules(double *s, const witan_learning_plan *plan,
                          const witan_allocator *allocator)
{
    const witan_part *part = &plan->transfer;
    const char *const *names = plan->release.token_names;
    if (part->rows->windows == NULL || names == NULL) {
        return WITAN_E_CONFIG;
    }
    uint8_t *kind = witan_alloc(allocator, plan->classes, sizeof *kind);
    uint32_t *tokens = witan_alloc(allocator, plan->positions + 1, sizeof *tokens);
    witan_status status = WITAN_E_MEMORY;
    if (kind != NULL && tokens != NULL) {
        judge_names(kind, names, plan->classes);
        for (size_t i = 0; i < part->count; i++) {
            part->rows->windows(part->rows->context, part->indices + i, 1, tokens);
            judge_window(s + i * plan->positions, kind, tokens, plan->positions,
                         plan->release.rules_reach);
        }
        status = WITAN_OK;
    }
    witan_free(allocator, kind);
    witan_free(allocator, tokens);
    return status;
}

/* --- density --------------------------------------------------------------------- */

enum {
    BLOCK_ROWS = 256
};
#define BLOCK_FLOATS ((size_t)1 << 22) /* features of a block of rows: 16 MiB */

typedef struct block {
    float *x;     /* [rows, features] owned */
    double *norm; /* [rows] squared, owned */
} block;

typedef struct neighbourhood {
    size_t rows, features; /* of a block */
    block near, private;
    float *product;  /* [rows, rows] owned */
    uint32_t *count; /* [rows] owned */
} neighbourhood;

static void
block_gather(block *self, const witan_part *part, size_t first, size_t count,
             size_t features)
{
    part->rows->gather(part->rows->context, part->indices + first, count, self->x,
                       NULL);
    for (size_t i = 0; i < count; i++) {
        self->norm[i] = 0.0;
        for (size_t f = 0; f < features; f++) {
            double value = (double)self->x[i * features + f];
            self->norm[i] += value * value;
        }
    }
}

static bool
neighbourhood_init(neighbourhood *self, size_t features,
                   const witan_allocator *allocator)
{
    size_t fit = BLOCK_FLOATS / features;
    self->features = features;
    self->rows = fit < 1 ? 1 : fit < BLOCK_ROWS ? fit : BLOCK_ROWS;
    self->near.x = witan_alloc(allocator, self->rows * features, sizeof(float));
    self->near.norm = witan_alloc(allocator, self->rows, sizeof(double));
    self->private.x = witan_alloc(allocator, self->rows * features, sizeof(float));
    self->private.norm = witan_alloc(allocator, self->rows, sizeof(double));
    self->product = witan_alloc(allocator, self->rows * self->rows, sizeof(float));
    self->count = witan_alloc(allocator, self->rows, sizeof(uint32_t));
    return self->near.x != NULL && self->near.norm != NULL && self->private.x != NULL &&
           self->private.norm != NULL && self->product != NULL && self->count != NULL;
}

static void
neighbourhood_fini(neighbourhood *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->near.x);
    witan_free(allocator, self->near.norm);
    witan_free(allocator, self->private.x);
    witan_free(allocator, self->private.norm);
    witan_free(allocator, self->product);
    witan_free(allocator, self->count);
}

/* Adds the private rows within reach of each of M gathered transfer rows. */
static witan_status
count_near(neighbourhood *self, size_t M, const witan_part *train, double radius)
{
    size_t K = self->features;
    for (size_t first = 0; first < train->count; first += self->rows) {
        size_t left = train->count - first, N = left < self->rows ? left : self->rows;
        block_gather(&self->private, train, first, N, K);
        witan_gemm(self->product, self->rows, (witan_factor){self->near.x, K, false},
                   (witan_factor){self->private.x, K, true}, M, N, K, 0.0F);
        for (size_t i = 0; i < M; i++) {
            const float *product = self->product + i * self->rows;
            for (size_t j = 0; j < N; j++) {
                double square = self->near.norm[i] + self->private.norm[j] -
                                2.0 * (double)product[j];
                if (!isfinite(square)) {
                    return WITAN_E_NUMERIC;
                }
                self->count[i] += square <= radius * radius;
            }
        }
    }
    return WITAN_OK;
}

static witan_status
judge_density(neighbourhood *self, double *s, const witan_learning_plan *plan,
              const witan_part *train)
{
    const witan_part *part = &plan->transfer;
    for (size_t first = 0; first < part->count; first += self->rows) {
        size_t left = part->count - first, M = left < self->rows ? left : self->rows;
        block_gather(&self->near, part, first, M, self->features);
        memset(self->count, 0, M * sizeof *self->count);
        WITAN_TRY(count_near(self, M, train, plan->release.radius));
        for (size_t i = 0; i < M; i++) {
            double score;
            WITAN_TRY(witan_swing_score_density(&score, self->count + i, 1,
                                                plan->release.density));
            s[first + i] = fmax(s[first + i], score);
        }
    }
    return WITAN_OK;
}

witan_status
witan_release_judge_density(double *s, const witan_learning_plan *plan,
                            const witan_part *train, size_t features,
                            const witan_allocator *allocator)
{
    neighbourhood scratch = {0};
    if (plan->transfer.rows->windows != NULL) {
        return WITAN_E_CONFIG;
    }
    witan_status status = neighbourhood_init(&scratch, features, allocator)
                              ? judge_density(&scratch, s, plan, train)
                              : WITAN_E_MEMORY;
    neighbourhood_fini(&scratch, allocator);
    return status;
}
