/* gemm.h - matrix products; OpenBLAS stands behind gemm.c alone.
 * Why here: one place to swap the library, and a plain form to test it against.
 * Threads: any. No allocation of ours. */
#ifndef WITAN_NUM_GEMM_H
#define WITAN_NUM_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* A row-major factor: element (i, j) is data[i * stride + j], or of the transpose. */
typedef struct witan_factor {
    const float *data;
    size_t stride; /* floats from one stored row to the next; < 2^31 */
    bool transposed;
} witan_factor;

/* c = a b + beta c.
 *   c     inout [M,N], rows c_stride floats apart; read only when beta != 0
 *   a, b  in    [M,K], [K,N]; no overlap with c
 * Extents and strides < 2^31. */
void witan_gemm(float *c, size_t c_stride, witan_factor a, witan_factor b, size_t M,
                size_t N, size_t K, float beta);

/* The same in plain loops with sums in double: what witan_gemm is tested against. */
void witan_gemm_reference(float *c, size_t c_stride, witan_factor a, witan_factor b,
                          size_t M, size_t N, size_t K, float beta);

#endif
