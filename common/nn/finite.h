/* finite.h - whether numbers are finite. Private to the learning loops of this room. */
#ifndef WITAN_NN_FINITE_H
#define WITAN_NN_FINITE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* True when no value is infinite or NaN: 0 * x is 0 for exactly the finite x. */
static inline bool
all_finite(const float *x, size_t count)
{
    float lane[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        for (size_t k = 0; k < 16; k++) {
            lane[k] += 0.0f * x[i + k];
        }
    }
    for (; i < count; i++) {
        lane[0] += 0.0f * x[i];
    }
    for (size_t k = 0; k < 16; k++) {
        if (isnan(lane[k])) {
            return false;
        }
    }
    return true;
}

#endif
