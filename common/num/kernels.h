/* kernels.h - the table of vector kernels; one table per instruction set.
 * Why here: kernels_body.inc is compiled once per instruction set and picked at run
 * time, so one binary is fast on every x86-64 and still builds elsewhere.
 * Private to num: other rooms call the functions of the public headers. */
#ifndef WITAN_NUM_KERNELS_H
#define WITAN_NUM_KERNELS_H

#include <stddef.h>

#include "num/cpu.h"
#include "num/update.h"

typedef struct witan_kernels {
    size_t lanes; /* floats in a vector */
    void (*update_sgd)(float *w, const float *g, float *v, size_t n,
                       const witan_sgd_step *step);
    void (*update_adam)(float *w, const float *g, float *m, float *v, size_t n,
                        const witan_adam_step *step);
    double (*sum_squares)(const float *x, size_t n);
} witan_kernels;

extern const witan_kernels witan_kernels_baseline;
#if defined(__x86_64__)
extern const witan_kernels witan_kernels_avx2;
extern const witan_kernels witan_kernels_avx512;
#endif

/* The table in use. */
const witan_kernels *witan_kernels_get(void);

#endif
