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
} witan_kernels;

extern const witan_kernels witan_kernels_baseline;
#if defined(__x86_64__)
extern const witan_kernels witan_kernels_avx2;
extern const witan_kernels witan_kernels_avx512;
#endif

/* The table in use. */
const witan_kernels *witan_kernels_get(void);

#endif
