/* rounding.c - probabilities to whole units that sum to exactly 1.
 * Why here: u16 rows and the kept masses of top-k rows round alike. */
#include "knowledge/soft_labels_private.h"

/* The fraction that rounding drops is kept to 2^-FRACTION_BITS of a unit, so that unit
 * and fraction fit one int32. */
#define FRACTION_BITS 15
#define FRACTION_MASK ((1 << FRACTION_BITS) - 1)
/* Up to this many classes remainders are ranked by counting, above by histograms. */
#define RANKED_CLASSES 32
/* A vector of GCC and Clang: the compilers' own vectorisers trip over these loops. */
#define LANES 4
typedef int32_t lanes __attribute__((vector_size(LANES * sizeof(int32_t))));
#define PART ((size_t)256)
/* Units (high bits) and fraction (low bits) of one probability. */
static int32_t
fixed_point(float p, double scale)
{
    return (int32_t)((double)p * scale);
}

/* Gives the missing units to the largest fractions: the rank of a fraction is the count
 * of larger ones. Keys are unique: the class breaks ties. Zeros fill the last vector;
 * their keys are below those of all classes. */
static void
round_row_ranked(uint8_t *bytes, const float *p, double scale, size_t C)
{
    float padded[RANKED_CLASSES];
    int32_t key[RANKED_CLASSES], missing = WITAN_LABEL_UNITS;
    lanes units[RANKED_CLASSES / LANES];
    size_t vectors = (C + LANES - 1) / LANES;
    memset(padded + (vectors - 1) * LANES, 0, LANES * sizeof *padded);
    memcpy(padded, p, C * sizeof *padded);
    for (size_t v = 0; v < vectors; v++) {
        for (size_t i = 0; i < LANES; i++) {
            size_t c = v * LANES + i;
            int32_t fixed = fixed_point(padded[c], scale);
            units[v][i] = fixed >> FRACTION_BITS;
            key[c] = (fixed & FRACTION_MASK) << 16 | (0xffff - (int32_t)c);
        }
    }
    for (size_t v = 0; v < vectors; v++) {
        missing -= (units[v][0] + units[v][1]) + (units[v][2] + units[v][3]);
    }
    const lanes wanted = {missing, missing, missing, missing};
    for (size_t v = 0; v < vectors; v++) {
        lanes own, rank = {0};
        memcpy(&own, key + v * LANES, sizeof own);
        for (size_t c = 0; c < C; c++) {
            lanes other = {key[c], key[c], key[c], key[c]};
            rank -= own < other; /* a true lane is -1 */
        }
        units[v] -= rank < wanted;
    }
    for (size_t c = 0; c < C; c++) {
        witan_store_u16(bytes, c, units[c / LANES][c % LANES]);
    }
}

/* From the top bucket down: the bucket that holds the *wanted-th entry; *wanted becomes
 * its rank within the bucket. */
static size_t
bucket_of_rank(const uint32_t *count, size_t buckets, int32_t *wanted)
{
    size_t b = buckets - 1;
    while ((int64_t)count[b] < *wanted) {
        *wanted -= (int32_t)count[b--];
    }
    return b;
}

/* The next part of a row, at most PART classes from c on, as fixed point; returns how
 * many. Apart from the histograms, so that the conversion vectorises. */
static size_t
fixed_part(int32_t fixed[PART], const float *p, double scale, size_t c, size_t C)
{
    size_t count = C - c < PART ? C - c : PART;
    for (size_t i = 0; i < count; i++) {
        fixed[i] = fixed_point(p[c + i], scale);
    }
    return count;
}

/* As round_row_ranked in O(C): the smallest fraction that still gets a unit is found
 * through two histograms, of its high 8 and its low 7 bits. */
static void
round_row_histogram(uint8_t *bytes, const float *p, double scale, size_t C)
{
    uint32_t high[256] = {0}, low[128] = {0};
    int32_t fixed[PART], missing = WITAN_LABEL_UNITS;
    for (size_t c = 0, count; c < C; c += count) {
        count = fixed_part(fixed, p, scale, c, C);
        for (size_t i = 0; i < count; i++) {
            missing -= fixed[i] >> FRACTION_BITS;
            high[(fixed[i] & FRACTION_MASK) >> 7]++;
        }
    }
    int32_t ties = missing;
    int32_t bucket = (int32_t)bucket_of_rank(high, 256, &ties);
    for (size_t c = 0, count; c < C; c += count) {
        count = fixed_part(fixed, p, scale, c, C);
        for (size_t i = 0; i < count; i++) {
            if ((fixed[i] & FRACTION_MASK) >> 7 == bucket) {
                low[fixed[i] & 127]++;
            }
        }
    }
    int32_t threshold = bucket << 7 | (int32_t)bucket_of_rank(low, 128, &ties);
    for (size_t c = 0, count; c < C; c += count) {
        count = fixed_part(fixed, p, scale, c, C);
        for (size_t i = 0; i < count; i++) {
            int32_t fraction = fixed[i] & FRACTION_MASK;
            witan_store_u16(bytes, c + i,
                            (fixed[i] >> FRACTION_BITS) + (fraction > threshold));
        }
        for (size_t i = 0; i < count && ties > 0; i++) {
            if ((fixed[i] & FRACTION_MASK) == threshold) {
                witan_store_u16(bytes, c + i, (fixed[i] >> FRACTION_BITS) + 1);
                ties--;
            }
        }
    }
}

/* In four lanes, so that the additions do not wait for each other. */
double
witan_row_sum(const float *p, size_t C)
{
    double lane[4] = {0.0};
    size_t c = 0;
    for (; c + 4 <= C; c += 4) {
        for (size_t i = 0; i < 4; i++) {
            lane[i] += (double)p[c + i];
        }
    }
    for (; c < C; c++) {
        lane[0] += (double)p[c];
    }
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

void
witan_round_row(uint8_t *bytes, const float *p, double sum, size_t C)
{
    double scale = (double)(WITAN_LABEL_UNITS << FRACTION_BITS) / sum;
    if (C <= RANKED_CLASSES) {
        round_row_ranked(bytes, p, scale, C);
    } else {
        round_row_histogram(bytes, p, scale, C);
    }
}
