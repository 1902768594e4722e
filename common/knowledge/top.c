/* top.c - rows as their k largest probabilities and the mass that is left.
 * Why here: whole rows of a word vocabulary are nearly all zeros at 16 bits, and too
 * large to send. Layout and rounding: docs/decisions/0009-soft-label-encoding.md.
 * The k largest are kept in a heap whose root is what a later class must beat; a row
 * is scanned in steps that are passed over when none beats it. */
#include <float.h>

#include "base/limits.h"
#include "knowledge/soft_labels_private.h"

/* Classes that are compared with the root at once. */
#define STEP ((size_t)16)

/* What orders a heap: a value above, the class below so that the lower one is greater.
 * Positive floats are ordered as their bits; adding 0 makes -0 positive. */
static uint64_t
key_of(uint32_t value, size_t class)
{
    return (uint64_t)value << 32 | (UINT32_MAX - (uint32_t) class);
}

static uint32_t
bits_of(float p)
{
    uint32_t bits;
    p += 0.0F;
    memcpy(&bits, &p, sizeof bits);
    return bits;
}

static float
float_of(uint64_t bits)
{
    uint32_t narrow = (uint32_t)bits;
    float p;
    memcpy(&p, &narrow, sizeof p);
    return p;
}

static size_t
class_of(uint64_t key)
{
    return UINT32_MAX - (uint32_t)key;
}

/* Restores a heap, smallest on top, whose entry `at` may be too large for its place. */
static void
sink(uint64_t *heap, size_t size, size_t at)
{
    uint64_t key = heap[at];
    for (size_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
        child += child + 1 < size && heap[child + 1] < heap[child];
        if (heap[child] >= key) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

static void
heap_of(uint64_t *keys, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) {
        sink(keys, count, i);
    }
}

static void
sort_descending(uint64_t *keys, size_t count)
{
    heap_of(keys, count);
    for (size_t end = count; end-- > 1;) {
        uint64_t smallest = keys[0];
        keys[0] = keys[end];
        keys[end] = smallest;
        sink(keys, end, 0);
    }
}

static bool
any_above(float least, const float *p)
{
    int any = 0;
    for (size_t i = 0; i < STEP; i++) {
        any |= p[i] > least;
    }
    return any != 0;
}

/* Keys of the k largest of p [C], in no order; ties to the lower class, which is also
 * why a later class has to be above the root and not only equal. */
static void
select_largest(uint64_t *keys, const float *p, size_t k, size_t C)
{
    for (size_t c = 0; c < k; c++) {
        keys[c] = key_of(bits_of(p[c]), c);
    }
    heap_of(keys, k);
    for (size_t c = k; c < C;) {
        size_t end = C - c < STEP ? C : c + STEP;
        if (end - c == STEP && !any_above(float_of(keys[0] >> 32), p + c)) {
            c = end;
            continue;
        }
        for (; c < end; c++) {
            if (p[c] > float_of(keys[0] >> 32)) {
                keys[0] = key_of(bits_of(p[c]), c);
                sink(keys, k, 0);
            }
        }
    }
}

/* The kept masses round like a u16 row whose last entry is the rest, so that with
 * k = C they are the units of that codec. */
static void
encode_row(uint8_t *bytes, const float *p, double sum, size_t k, size_t C)
{
    uint64_t keys[WITAN_TOP_MAX];
    float kept[WITAN_TOP_MAX + 1];
    uint8_t units[2 * (WITAN_TOP_MAX + 1)];
    double rest = sum;
    select_largest(keys, p, k, C);
    for (size_t i = 0; i < k; i++) { /* by class */
        keys[i] = keys[i] << 32 | keys[i] >> 32;
    }
    sort_descending(keys, k);
    for (size_t i = 0; i < k; i++) {
        kept[i] = float_of(keys[i]);
        rest -= (double)kept[i];
    }
    kept[k] = k < C && rest > 0.0 ? (float)rest : 0.0F;
    witan_round_row(units, kept, sum, k + 1);
    for (size_t i = 0; i < k; i++) { /* by mass */
        keys[i] = key_of(witan_load_u16(units, i), class_of(keys[i] >> 32));
    }
    sort_descending(keys, k);
    for (size_t i = 0; i < k; i++) {
        witan_store_u16(bytes, 2 * i, (int32_t)class_of(keys[i]));
        witan_store_u16(bytes, 2 * i + 1, (int32_t)(keys[i] >> 32));
    }
}

witan_status
witan_top_encode(uint8_t *bytes, const float *p, size_t count, size_t k, size_t C)
{
    for (size_t n = 0; n < count; n++, p += C, bytes += 4 * k) {
        double sum = witan_row_sum(p, C);
        if (!(sum > 0.0 && sum <= (double)FLT_MAX)) {
            return WITAN_E_NUMERIC;
        }
        encode_row(bytes, p, sum, k, C);
    }
    return WITAN_OK;
}

/* Units that a row's pairs leave to the other classes, below 0 for bytes that no
 * encoder writes. */
static int64_t
rest_of(const uint8_t *bytes, size_t k)
{
    int64_t rest = WITAN_LABEL_UNITS;
    for (size_t i = 0; i < k; i++) {
        rest -= witan_load_u16(bytes, 2 * i + 1);
    }
    return rest;
}

void
witan_top_decode(float *p, const uint8_t *bytes, size_t count, size_t k, size_t C)
{
    for (size_t n = 0; n < count; n++, p += C, bytes += 4 * k) {
        int64_t rest = rest_of(bytes, k);
        float share = 0.0F;
        if (rest > 0 && k < C) {
            share = (float)((double)rest / WITAN_LABEL_UNITS / (double)(C - k));
        }
        for (size_t c = 0; c < C; c++) {
            p[c] = share;
        }
        for (size_t i = 0; i < k; i++) {
            size_t class = witan_load_u16(bytes, 2 * i);
            if (class < C) {
                p[class] =
                    (float)witan_load_u16(bytes, 2 * i + 1) / (float)WITAN_LABEL_UNITS;
            }
        }
    }
}

const char *
witan_top_problem(const uint8_t *bytes, size_t k, size_t C)
{
    uint64_t seen[WITAN_CLASSES_MAX / 64] = {0};
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < k; i++) {
        size_t class = witan_load_u16(bytes, 2 * i);
        uint64_t bit = (uint64_t)1 << class % 64;
        if (class >= C) {
            return "a class is not one of the announced ones";
        }
        if ((seen[class / 64] & bit) != 0) {
            return "a class is named twice";
        }
        seen[class / 64] |= bit;
        uint64_t key = key_of(witan_load_u16(bytes, 2 * i + 1), class);
        if (key >= before) {
            return "the masses do not fall, or equal ones are not in order of class";
        }
        before = key;
    }
    int64_t rest = rest_of(bytes, k);
    if (rest < 0 || (rest > 0 && k == C)) {
        return "the masses do not sum to 1";
    }
    return NULL;
}
