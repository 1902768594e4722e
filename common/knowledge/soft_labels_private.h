/* soft_labels_private.h - what the files behind soft_labels.h share: u16 values, the
 * rounding of a row, and the rows of the top-k codec. */
#ifndef WITAN_KNOWLEDGE_SOFT_LABELS_PRIVATE_H
#define WITAN_KNOWLEDGE_SOFT_LABELS_PRIVATE_H

#include <string.h>

#include "knowledge/soft_labels.h"

/* u16 probabilities are whole units of 1 / WITAN_LABEL_UNITS. */
#define WITAN_LABEL_UNITS 65535

/* The i-th u16 of bytes in little endian. */
static inline uint16_t
witan_load_u16(const uint8_t *bytes, size_t i)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint16_t value;
    memcpy(&value, bytes + 2 * i, sizeof value);
    return value;
#else
    return (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
#endif
}

static inline void
witan_store_u16(uint8_t *bytes, size_t i, int32_t value)
{
    uint16_t narrow = (uint16_t)value;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(bytes + 2 * i, &narrow, sizeof narrow);
#else
    bytes[2 * i] = (uint8_t)narrow;
    bytes[2 * i + 1] = (uint8_t)(narrow >> 8);
#endif
}

/* Units of a row p [C], finite, >= 0, sum its sum > 0, as C u16: their sum is exactly
 * WITAN_LABEL_UNITS. Rounded down, then the missing units go to the largest remainders,
 * told apart to 2^-15 of a unit, ties to the lower class. O(C). */
void witan_round_row(uint8_t *bytes, const float *p, double sum, size_t C);

/* sum_c p[c] in double, in a fixed order. */
double witan_row_sum(const float *p, size_t C);

/* Rows [count, C] of probabilities, finite and >= 0, as count * k pairs (class, units);
 * see witan_soft_labels_encode. 1 <= k <= C.
 * Errors: E_NUMERIC (a row sums to 0 or above FLT_MAX). O(C) a row as long as k log k
 * is small beside it, never more than O(C log k). */
WITAN_NODISCARD witan_status witan_top_encode(uint8_t *bytes, const float *p,
                                              size_t count, size_t k, size_t C);
/* Any bytes decode: classes outside the row are left out, a rest below 0 is 0. */
void witan_top_decode(float *p, const uint8_t *bytes, size_t count, size_t k, size_t C);
/* What is wrong with one row, or NULL. */
const char *witan_top_problem(const uint8_t *bytes, size_t k, size_t C);

#endif
