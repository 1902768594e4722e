#include "num/gemm.h"

#include <limits.h>

#include <cblas.h>

#include "base/status.h"

void
witan_gemm(float *c, size_t c_stride, witan_factor a, witan_factor b, size_t M,
           size_t N, size_t K, float beta)
{
    WITAN_ASSERT(M <= INT_MAX && N <= INT_MAX && K <= INT_MAX && c_stride <= INT_MAX &&
                 a.stride <= INT_MAX && b.stride <= INT_MAX);
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
                b.transposed ? CblasTrans : CblasNoTrans, (int)M, (int)N, (int)K, 1.0f,
                a.data, (int)a.stride, b.data, (int)b.stride, beta, c, (int)c_stride);
}

static double
element(witan_factor f, size_t i, size_t j)
{
    return (double)(f.transposed ? f.data[j * f.stride + i] : f.data[i * f.stride + j]);
}

void
witan_gemm_reference(float *c, size_t c_stride, witan_factor a, witan_factor b,
                     size_t M, size_t N, size_t K, float beta)
{
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double sum = beta != 0 ? (double)beta * (double)c[i * c_stride + j] : 0.0;
            for (size_t k = 0; k < K; k++) {
                sum += element(a, i, k) * element(b, k, j);
            }
            c[i * c_stride + j] = (float)sum;
        }
    }
}
