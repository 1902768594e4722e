/* Choice of the instruction set, and what is said about OpenBLAS. */
#include "num/cpu.h"

#include <string.h>

#include "num/kernels.h"
#include "support/witan_test.h"

static void
selection_sticks_and_refuses_what_is_missing(void)
{
    CHECK(witan_cpu_isa() == witan_cpu_best());
    for (witan_isa isa = WITAN_ISA_BASELINE; isa <= WITAN_ISA_AVX512; isa++) {
        witan_isa before = witan_cpu_isa();
        bool chosen = witan_cpu_select(isa);
        CHECK(chosen == (isa <= witan_cpu_best()));
        CHECK(witan_cpu_isa() == (chosen ? isa : before));
    }
    CHECK(witan_cpu_select(WITAN_ISA_BASELINE));
    CHECK(witan_kernels_get() == &witan_kernels_baseline);
    CHECK(witan_cpu_select(witan_cpu_best()));
}

static void
names_are_said(void)
{
    bool pinned = true;
    CHECK_STRING(witan_isa_name(WITAN_ISA_BASELINE), "baseline");
    CHECK_STRING(witan_isa_name(WITAN_ISA_AVX2), "AVX2");
    CHECK_STRING(witan_isa_name(WITAN_ISA_AVX512), "AVX-512");
    CHECK(strlen(witan_blas_core()) > 0);
    CHECK_CONTAINS(witan_blas_config(), "OpenBLAS");
    bool below = witan_blas_is_below_cpu(&pinned);
    CHECK(below || !pinned);
}

int
main(void)
{
    RUN(selection_sticks_and_refuses_what_is_missing);
    RUN(names_are_said);
    return witan_test_finish();
}
