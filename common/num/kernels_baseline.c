#define WITAN_KERNELS witan_kernels_baseline
#define WITAN_VECTOR_BYTES 16
#include "num/kernels_body.inc"
