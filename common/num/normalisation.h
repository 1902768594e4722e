/* normalisation.h - shape of a normalisation: group norm and batch norm are one thing.
 * Statistics are taken over `pixels` x (channels / groups) numbers, once per sample and
 * group. Group norm: samples = N, pixels = H W. Batch norm: samples = 1,
 * pixels = N H W, groups = channels. */
#ifndef WITAN_NUM_NORMALISATION_H
#define WITAN_NUM_NORMALISATION_H

#include <stddef.h>

typedef struct witan_normalisation {
    size_t samples, pixels, channels;
    size_t groups; /* divides channels */
    float epsilon; /* added to the variance */
} witan_normalisation;

/* Floats of scratch that the kernels need. */
static inline size_t
witan_normalisation_scratch(size_t channels)
{
    return 12 * channels;
}

#endif
