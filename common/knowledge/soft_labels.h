/* soft_labels.h - a client's knowledge: encoded soft labels of the transfer set.
 * Why here: simulator, daemons and fusion hold exactly the bytes that travel, so sizes
 * and rounding are the same everywhere.
 * Kinds: probabilities (rows on the simplex), or log-probabilities (logits up to a row
 * constant, for fusing by mean of logits).
 * Codecs: f32 (4 bytes a value); u16 fixed point (2 bytes): probability k/65535;
 * log-probability clipped to [-32, 0], step 32/65535. No NaN, infinity or denormal can
 * be expressed in u16.
 * Threads: immutable after encoding. */
#ifndef WITAN_KNOWLEDGE_SOFT_LABELS_H
#define WITAN_KNOWLEDGE_SOFT_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef enum witan_knowledge_kind {
    WITAN_KNOWLEDGE_PROBABILITY,
    WITAN_KNOWLEDGE_LOG_PROBABILITY,
} witan_knowledge_kind;

typedef enum witan_codec {
    WITAN_CODEC_F32,
    WITAN_CODEC_U16,
} witan_codec;

typedef struct witan_soft_labels {
    witan_knowledge_kind kind;
    witan_codec codec;
    size_t rows;    /* M */
    size_t classes; /* C */
    uint8_t *bytes; /* [M, C] values in little endian, owned */
    size_t size;    /* bytes */
} witan_soft_labels;

/* Bytes of an encoded matrix, or 0 on overflow. */
size_t witan_soft_labels_size(witan_codec codec, size_t rows, size_t classes);

/* Takes room for [rows, classes]; contents undefined. */
WITAN_NODISCARD witan_status witan_soft_labels_new(witan_soft_labels *out,
                                                   const witan_allocator *allocator,
                                                   witan_knowledge_kind kind,
                                                   witan_codec codec, size_t rows,
                                                   size_t classes);
void witan_soft_labels_fini(witan_soft_labels *self, const witan_allocator *allocator);

/* Encodes `count` rows of values [count, C] (probabilities or log-probabilities, as the
 * kind says) at row `first`. u16 probabilities are rounded so that each row sums to
 * exactly 65535 (largest remainders), ties to the lower class: a decoded row sums to 1
 * within float rounding. |error| <= 1/65535 a value. */
void witan_soft_labels_encode(witan_soft_labels *self, size_t first, size_t count,
                              const float *values);

/* Decodes rows [first, first + count) into values [count, C]. */
void witan_soft_labels_decode(const witan_soft_labels *self, size_t first, size_t count,
                              float *values);

/* Rows as probabilities whatever the kind (log-probabilities are exponentiated and
 * normalised). */
void witan_soft_labels_probabilities(const witan_soft_labels *self, size_t first,
                                     size_t count, float *p);

/* Believes nothing: every value finite, probabilities >= 0 and rows summing to 1 within
 * 1e-3, log-probabilities <= 0 with exp-sum within 1e-2 of 1. For bytes of a peer.
 * Errors: E_DATA naming the first bad row. */
WITAN_NODISCARD witan_status witan_soft_labels_check(const witan_soft_labels *self,
                                                     witan_diag *diag);

#endif
