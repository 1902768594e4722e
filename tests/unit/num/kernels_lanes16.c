/* The kernels with vectors of 16 lanes on any processor: the logic of the AVX-512 build
 * is tested where AVX-512 is not. */
#include "unit/num/kernels_lanes16.h"

#define WITAN_KERNELS witan_kernels_lanes16
#define WITAN_VECTOR_BYTES 64
#include "num/kernels_body.inc"
