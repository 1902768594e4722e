/* num_test.h - arrays of exact size for kernel tests, so that sanitizers see overruns.
 */
#ifndef WITAN_TESTS_NUM_TEST_H
#define WITAN_TESTS_NUM_TEST_H

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "num/cpu.h"
#include "num/kernels.h"
#include "unit/num/kernels_lanes16.h"

/* [count] normal numbers; free() it. */
static inline float *
num_normals(witan_random *random, size_t count)
{
    float *x = malloc((count > 0 ? count : 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)witan_random_normal(random);
    }
    return x;
}

/* [count] NaN: what is not overwritten shows. */
static inline float *
num_unset(size_t count)
{
    float *x = malloc((count > 0 ? count : 1) * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = NAN;
    }
    return x;
}

/* Scratch with leftovers of another use in it; witan_free with the default allocator.
 */
static inline void *
num_scratch(size_t bytes)
{
    unsigned char *block = witan_alloc(witan_allocator_default(), bytes, 1);
    for (size_t i = 0; i < bytes; i++) {
        block[i] = 0x41;
    }
    return block;
}

/* Calls check() once for each instruction set of this machine, and for 16 lanes. */
static inline void
num_for_each_isa(void (*check)(const witan_kernels *kernels))
{
    for (witan_isa isa = WITAN_ISA_BASELINE; isa <= WITAN_ISA_AVX512; isa++) {
        if (witan_cpu_select(isa)) {
            check(witan_kernels_get());
        }
    }
    (void)witan_cpu_select(witan_cpu_best());
    check(&witan_kernels_lanes16);
}

#endif
