#define WITAN_KERNELS witan_kernels_avx512
#define WITAN_VECTOR_BYTES 64
#include "num/kernels_body.inc"
