#define WITAN_KERNELS witan_kernels_avx2
#define WITAN_VECTOR_BYTES 32
#include "num/kernels_body.inc"
