#include "num/cpu.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <strings.h>

#include <cblas.h>

#include "num/kernels.h"

/* Chosen once; a race between first callers stores the same value twice. */
static _Atomic(const witan_kernels *) chosen;

static const witan_kernels *
table(witan_isa isa)
{
    switch (isa) {
    case WITAN_ISA_BASELINE:
        return &witan_kernels_baseline;
#if defined(__x86_64__)
    case WITAN_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                   ? &witan_kernels_avx2
                   : NULL;
    case WITAN_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("fma")
                   ? &witan_kernels_avx512
                   : NULL;
#else
    case WITAN_ISA_AVX2:
    case WITAN_ISA_AVX512:
        return NULL;
#endif
    }
    return NULL;
}

const char *
witan_isa_name(witan_isa isa)
{
    static const char *const names[] = {"baseline", "AVX2", "AVX-512"};
    return names[isa];
}

witan_isa
witan_cpu_best(void)
{
    if (table(WITAN_ISA_AVX512) != NULL) {
        return WITAN_ISA_AVX512;
    }
    return table(WITAN_ISA_AVX2) != NULL ? WITAN_ISA_AVX2 : WITAN_ISA_BASELINE;
}

const witan_kernels *
witan_kernels_get(void)
{
    const witan_kernels *kernels = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (kernels == NULL) {
        kernels = table(witan_cpu_best());
        atomic_store_explicit(&chosen, kernels, memory_order_relaxed);
    }
    return kernels;
}

witan_isa
witan_cpu_isa(void)
{
    const witan_kernels *kernels = witan_kernels_get();
    for (witan_isa isa = WITAN_ISA_AVX512; isa > WITAN_ISA_BASELINE; isa--) {
        if (kernels == table(isa)) {
            return isa;
        }
    }
    return WITAN_ISA_BASELINE;
}

bool
witan_cpu_select(witan_isa isa)
{
    const witan_kernels *kernels = table(isa);
    if (kernels != NULL) {
        atomic_store_explicit(&chosen, kernels, memory_order_relaxed);
    }
    return kernels != NULL;
}

const char *
witan_blas_core(void)
{
    const char *name = openblas_get_corename();
    return name == NULL ? "unknown" : name;
}

const char *
witan_blas_config(void)
{
    const char *text = openblas_get_config();
    return text == NULL ? "unknown" : text;
}

static bool
is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcasecmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

bool
witan_blas_is_below_cpu(bool *pinned)
{
    /* OpenBLAS's cores whose sgemm uses 512-bit vectors, and 256-bit FMA at least. */
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "Sapphirerapids",
                                       NULL};
    static const char *const fma[] = {"Haswell",  "Zen",        "Excavator",
                                      "SkylakeX", "Cooperlake", "Sapphirerapids",
                                      NULL};
    const char *core = witan_blas_core();
    witan_isa best = witan_cpu_best();
    bool below = (best == WITAN_ISA_AVX512 && !is_one_of(core, wide)) ||
                 (best == WITAN_ISA_AVX2 && !is_one_of(core, fma));
    const char *asked = getenv("OPENBLAS_CORETYPE");
    *pinned = below && asked != NULL && asked[0] != '\0';
    return below;
}

void
witan_blas_set_single_threaded(void)
{
    openblas_set_num_threads(1);
}
