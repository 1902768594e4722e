/* kernels.h - the table of vector kernels; one table per instruction set.
 * Why here: kernels_body.inc is compiled once per instruction set and picked at run
 * time, so one binary is fast on every x86-64 and still builds elsewhere.
 * Threads: any; a kernel touches its arguments only. No allocation: scratch comes from
 * the caller, WITAN_ALIGNMENT-aligned. Outputs first; [a,b] are row-major extents. */
#ifndef WITAN_NUM_KERNELS_H
#define WITAN_NUM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "num/convolution.h"
#include "num/cpu.h"
#include "num/normalisation.h"
#include "num/pooling.h"
#include "num/update.h"

typedef struct witan_kernels {
    /* What update.h declares. */
    void (*update_sgd)(float *w, const float *g, float *v, size_t n,
                       const witan_sgd_step *step);
    void (*update_adam)(float *w, const float *g, float *m, float *v, size_t n,
                        const witan_adam_step *step);
    double (*sum_squares)(const float *x, size_t n);

    /* Elementwise, n numbers; the output may be an input. Backward forms take what the
     * forward form wrote (y) or read (x). ReLU keeps NaN. */
    void (*relu_forward)(float *y, const float *x, size_t n);
    void (*relu_backward)(float *dx, const float *dy, const float *y, size_t n);
    void (*gelu_forward)(float *y, const float *x, size_t n);
    void (*gelu_backward)(float *dx, const float *dy, const float *x, size_t n);
    void (*tanh_forward)(float *y, const float *x, size_t n);
    void (*tanh_backward)(float *dx, const float *dy, const float *y, size_t n);
    void (*multiply)(float *y, const float *a, const float *b, size_t n);
    void (*add)(float *y, const float *a, const float *b, size_t n);

    /* y [pixels,C] = x * scale [C] + shift [C]; y is not x. */
    void (*scale_shift)(float *y, const float *x, const float *scale,
                        const float *shift, size_t pixels, size_t C);

    /* Pools of N images. route [outputs] names each maximum's tap, the first of equals;
     * NULL when no backward pass follows. dx is overwritten. */
    void (*max_pool_forward)(const witan_pooling *p, float *y, unsigned char *route,
                             const float *x, size_t N);
    void (*max_pool_backward)(const witan_pooling *p, float *dx, const float *dy,
                              const unsigned char *route, size_t N);
    void (*average_pool_forward)(const witan_pooling *p, float *y, const float *x,
                                 size_t N);
    void (*average_pool_backward)(const witan_pooling *p, float *dx, const float *dy,
                                  size_t N);

    /* y = gain (x - mean) / sqrt(variance + epsilon) + bias; mean and biased variance
     * out [samples, groups]. dgain, dbias [channels] and dx are overwritten.
     * scratch: witan_normalisation_scratch(channels) floats. */
    void (*normalise_forward)(const witan_normalisation *p, float *y, float *mean,
                              float *variance, const float *x, const float *gain,
                              const float *bias, float *scratch);
    void (*normalise_backward)(const witan_normalisation *p, float *dx, float *dgain,
                               float *dbias, const float *dy, const float *x,
                               const float *mean, const float *variance,
                               const float *gain, float *scratch);

    /* y [N,outputs] = x [N,inputs] w^T + b, then ReLU if asked; w [outputs,inputs].
     * dw, db, dx overwritten; dx may be NULL; dy behind a ReLU comes already masked.
     * scratch: dense_scratch bytes for up to N samples. */
    size_t (*dense_scratch)(size_t inputs, size_t outputs, size_t N);
    void (*dense_forward)(float *y, const float *x, const float *w, const float *b,
                          bool relu, size_t N, size_t inputs, size_t outputs,
                          void *scratch);
    void (*dense_backward)(float *dw, float *db, float *dx, const float *dy,
                           const float *x, const float *w, size_t N, size_t inputs,
                           size_t outputs, void *scratch);

    /* Bytes of scratch for both passes of a convolution. */
    size_t (*convolution_scratch)(const witan_convolution *c);
    /* y = pool(relu(x * w + b)) of N images.
     *   route  out [outputs] of the fused pool; NULL without one or without backward
     *   b      in  [filters] or NULL */
    void (*convolution_forward)(const witan_convolution *c, float *y,
                                unsigned char *route, const float *x, const float *w,
                                const float *b, size_t N, void *scratch);
    /* dw, db, dx overwritten; db and dx may be NULL. y is read when ReLU is fused
     * without a pool, route when a pool is. */
    void (*convolution_backward)(const witan_convolution *c, float *dw, float *db,
                                 float *dx, const float *dy, const float *y,
                                 const unsigned char *route, const float *x,
                                 const float *w, size_t N, void *scratch);

    /* A right factor b [K,N] (or stored as [N,K] when transposed), rows b_row apart,
     * packed once for many products: `packed` has packed_floats(K, N). */
    size_t (*packed_floats)(size_t K, size_t N);
    void (*pack)(float *packed, const float *b, size_t b_row, bool transposed, size_t K,
                 size_t N);
    /* c [M,N] = a [M,K] b + initial [N] (NULL: zeros), or c += a b when asked; rows of
     * c and a lie c_row and a_row apart. */
    void (*product_packed)(float *c, size_t c_row, const float *a, size_t a_row,
                           const float *packed, const float *initial, bool accumulate,
                           size_t M, size_t N, size_t K);
    /* c [M,N] (+)= a^T b for a [K,M], b [K,N]: a weight's gradient over K rows.
     * scratch: product_gradient_scratch(N) bytes. */
    size_t (*product_gradient_scratch)(size_t N);
    void (*product_gradient)(float *c, size_t c_row, const float *a, size_t a_row,
                             const float *b, size_t b_row, bool accumulate, size_t M,
                             size_t N, size_t K, void *scratch);
    /* sum [C] (+)= sum over rows of x [N,C]. */
    void (*add_columns)(float *sum, const float *x, bool accumulate, size_t N,
                        size_t C);

    /* One step of N sequences with H units. gate [N,4H] in: before the nonlinearities
     * (input, forget, candidate, output), out: after them. c, h out [N,H]; c may be
     * c_before. Backward: gate becomes d(gate), dc the cell's gradient a step earlier;
     * dh [N,H] from above, dh_next from the step after. */
    void (*lstm_forward)(float *gate, float *c, float *h, const float *c_before,
                         size_t N, size_t H);
    void (*lstm_backward)(float *gate, float *dc, const float *dh, const float *dh_next,
                          const float *c, const float *c_before, size_t N, size_t H);
    /* gate [N,3H] from the input, hidden [N,3H] from h_before (reset, update,
     * candidate). Backward: both become their gradients; dh_direct [N,H] is what
     * reaches h_before past the gates and may be dh_next. */
    void (*gru_forward)(float *gate, const float *hidden, float *h,
                        const float *h_before, size_t N, size_t H);
    void (*gru_backward)(float *gate, float *hidden, float *dh_direct, const float *dh,
                         const float *dh_next, const float *h_before, size_t N,
                         size_t H);

    /* Norm of each row x [N,C], epsilon 1e-5; mean, inverse (of the deviation) out [N].
     * Backward: dgain, dbias overwritten; dx overwritten, or added to when asked. */
    void (*layer_norm_forward)(float *y, float *mean, float *inverse, const float *x,
                               const float *gain, const float *bias, size_t N,
                               size_t C);
    void (*layer_norm_backward)(float *dx, float *dgain, float *dbias, const float *dy,
                                const float *x, const float *mean, const float *inverse,
                                const float *gain, bool add_to, size_t N, size_t C);

    /* Causal attention of `windows` windows of L positions; heads divides width.
     *   y    out [windows L, width]    qkv in [windows L, 3 width]: query, key, value
     *   p    out [windows, heads, L, L] probabilities, which backward reads
     * scratch: attention_scratch bytes. */
    size_t (*attention_scratch)(size_t L, size_t width, size_t heads);
    void (*attention_forward)(float *y, float *p, const float *qkv, size_t windows,
                              size_t L, size_t width, size_t heads, void *scratch);
    void (*attention_backward)(float *dqkv, const float *dy, const float *p,
                               const float *qkv, size_t windows, size_t L, size_t width,
                               size_t heads, void *scratch);
    /* One position: y [width] of query q over keys and values [positions, width];
     * scratch [positions]. */
    void (*attention_step)(float *y, const float *q, const float *keys,
                           const float *values, size_t positions, size_t width,
                           size_t heads, float *scratch);
} witan_kernels;

extern const witan_kernels witan_kernels_baseline;
#if defined(__x86_64__)
extern const witan_kernels witan_kernels_avx2;
extern const witan_kernels witan_kernels_avx512;
#endif

/* The table in use. */
const witan_kernels *witan_kernels_get(void);

#endif
