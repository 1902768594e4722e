/* kernels_lanes16.h - a table of 16-lane kernels in the compiler's default
 * instructions. */
#ifndef WITAN_TESTS_KERNELS_LANES16_H
#define WITAN_TESTS_KERNELS_LANES16_H

#include "num/kernels.h"

extern const witan_kernels witan_kernels_lanes16;

#endif
