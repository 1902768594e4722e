/* soft_labels.h - a client's knowledge: encoded soft labels of the transfer set.
 * Why here: simulator, daemons and fusion hold exactly the bytes that travel, so sizes
 * and rounding are the same everywhere. docs/decisions/0009-soft-label-encoding.md.
 * Kinds: probabilities (rows on the simplex), or log-probabilities (logits up to a row
 * constant, for fusing by mean of logits).
 * Codecs: f32 (4 bytes a value); u16 fixed point (2 bytes): probability k/65535;
 * log-probability clipped to [-32, 0], -k * 32/65535. No NaN, infinity or denormal can
 * be expressed in u16. top-k, for large vocabularies: per row k pairs of u16 class and
 * u16 mass, mass falling (ties: lower class first), the rest of 65535 is spread evenly
 * over the other classes when it is decoded; probabilities only. k travels inside the
 * codec's number.
 * Threads: immutable after encoding. */
#ifndef WITAN_KNOWLEDGE_SOFT_LABELS_H
#define WITAN_KNOWLEDGE_SOFT_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef enum witan_knowledge_kind {
    WITAN_KNOWLEDGE_PROBABILITY,
    WITAN_KNOWLEDGE_LOG_PROBABILITY,
} witan_knowledge_kind;

/* A codec with its parameter, as it travels: the kind in the low byte, k above it. */
typedef uint32_t witan_codec;
#define WITAN_CODEC_F32 ((witan_codec)0)
#define WITAN_CODEC_U16 ((witan_codec)1)
#define WITAN_CODEC_TOP_KIND ((witan_codec)2)
/* top-k; k in [1, WITAN_TOP_MAX]. */
#define WITAN_CODEC_TOP(k) (WITAN_CODEC_TOP_KIND | (witan_codec)(k) << 8)
/* k of a top-k codec, 0 of the others. */
size_t witan_codec_top(witan_codec codec);
/* Whether a number, perhaps a peer's, is a codec. */
bool witan_codec_is_valid(uint32_t codec);

typedef struct witan_soft_labels {
    witan_knowledge_kind kind;
    witan_codec codec;
    size_t rows;    /* M */
    size_t classes; /* C */
    uint8_t *bytes; /* [M, C] values or [M, k] pairs in little endian, owned */
    size_t size;    /* bytes */
} witan_soft_labels;

/* Bytes of an encoded matrix; 0 on overflow, of no codec, and of k > classes. */
size_t witan_soft_labels_size(witan_codec codec, size_t rows, size_t classes);

/* Takes room for [rows, classes]; contents undefined. `out` may hold anything before.
 * Errors: E_INVALID (rows or classes 0; no codec; top-k of log-probabilities or with
 * k > classes), E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_soft_labels_new(witan_soft_labels *out,
                                                   const witan_allocator *allocator,
                                                   witan_knowledge_kind kind,
                                                   witan_codec codec, size_t rows,
                                                   size_t classes);
/* Frees the bytes; of a zeroed or fini'd one nothing. */
void witan_soft_labels_fini(witan_soft_labels *self, const witan_allocator *allocator);

/* Encodes `count` rows of values [count, C] (probabilities or log-probabilities, as the
 * kind says) at row `first`.
 * u16 probabilities: a row is divided by its sum and rounded so that it sums to exactly
 * 65535 (largest remainders, told apart to 2^-15 of a step, ties to the lower class):
 * |error| < 1/65535 a value, and encoding what was decoded gives the same bytes.
 * u16 log-probabilities: nearest step, |error| <= 16/65535 within [-32, 0].
 * top-k: the k largest of the row (ties to the lower class); their masses and the rest
 * round as k + 1 values of a u16 row do, so |error| < 1/65535 a mass, and k = classes
 * keeps the very units of u16. Encoding what was decoded gives the same bytes as long
 * as the kept masses are above the spread rest.
 * Cost O(count * C) (top-k at worst log k times that), no allocation.
 * Errors: E_NUMERIC (a value is not finite; a probability is negative; a u16 or top-k
 * row of probabilities sums to 0, or a top-k row to more than a float holds); the rows
 * are then undefined. */
WITAN_NODISCARD witan_status witan_soft_labels_encode(witan_soft_labels *self,
                                                      size_t first, size_t count,
                                                      const float *values);

/* Decodes rows [first, first + count) into values [count, C]. Total: any bytes decode,
 * u16 always to finite values of the kind's range. */
void witan_soft_labels_decode(const witan_soft_labels *self, size_t first, size_t count,
                              float *values);

/* Rows as probabilities whatever the kind (log-probabilities are exponentiated and
 * normalised; probabilities come as they were decoded). */
void witan_soft_labels_probabilities(const witan_soft_labels *self, size_t first,
                                     size_t count, float *p);

/* top-k alone (asserted): the k classes and masses (as probabilities) of rows [first,
 * first + count) into token, mass [count, k], for losses that never need all classes.
 * A class of bytes that were not checked may be any u16. */
void witan_soft_labels_top(const witan_soft_labels *self, size_t first, size_t count,
                           uint32_t *token, float *mass);

/* Believes nothing: kind, codec, shape and size agree; every value is finite,
 * probabilities are >= 0 and rows sum to 1 within 1e-3, log-probabilities are <= 0 and
 * their exp-sum is within 1e-2 of 1; top-k classes differ and are < classes, masses
 * fall (equal ones in order of class) and sum to at most 65535, to exactly that when
 * k = classes. For bytes of a peer.
 * Errors: E_DATA naming the first bad row; messages carry no value of the knowledge. */
WITAN_NODISCARD witan_status witan_soft_labels_check(const witan_soft_labels *self,
                                                     witan_diag *diag);

#endif
