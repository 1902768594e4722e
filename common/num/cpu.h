/* cpu.h - which instruction set our kernels use, and which core OpenBLAS runs.
 * Why here: a person whose environment pins OpenBLAS below the processor must be told.
 * Threads: any, except witan_cpu_select and witan_blas_set_single_threaded. */
#ifndef WITAN_NUM_CPU_H
#define WITAN_NUM_CPU_H

#include <stdbool.h>

typedef enum witan_isa {
    WITAN_ISA_BASELINE, /* what the compiler targets: SSE2 on x86-64 */
    WITAN_ISA_AVX2,     /* with FMA */
    WITAN_ISA_AVX512,   /* F, BW, DQ, VL */
} witan_isa;

/* "baseline", "AVX2", "AVX-512". */
const char *witan_isa_name(witan_isa isa);

/* The best instruction set that this processor and this build both have. */
witan_isa witan_cpu_best(void);

/* What the kernels use: witan_cpu_best() unless witan_cpu_select chose. */
witan_isa witan_cpu_isa(void);

/* Chooses; false, with nothing changed, when the processor or the build lacks it.
 * Before any workspace exists and before a second thread: for tests and comparisons. */
bool witan_cpu_select(witan_isa isa);

/* OpenBLAS's name of the core it runs ("Haswell", "SkylakeX") and its build
 * configuration. Static text. */
const char *witan_blas_core(void);
const char *witan_blas_config(void);

/* Whether OpenBLAS runs a core below what the processor has, which halves its speed.
 * *pinned tells whether the environment variable OPENBLAS_CORETYPE asked for it. */
bool witan_blas_is_below_cpu(bool *pinned);

/* One BLAS thread: clients run one per core, and sums keep one order. Once, at start.
 */
void witan_blas_set_single_threaded(void);

#endif
