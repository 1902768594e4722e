/* dropout.h - draws a mask: 0, or 1 / (1 - rate) for what is kept, so that means stay
 * (Srivastava et al. 2014). Private to the passes of this room. */
#ifndef WITAN_NN_DROPOUT_H
#define WITAN_NN_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

static inline void
draw_mask(float *mask, double rate, size_t count, witan_random *random)
{
    uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    float keep = (float)(1.0 / (1.0 - rate));
    for (size_t i = 0; i < count; i++) {
        mask[i] = witan_random_u32(random) < threshold ? 0.0f : keep;
    }
}

#endif
