/* Label distributions and confidence gaps from soft labels. */
#include "privacy/label_inference.h"

#include <math.h>

#include "support/witan_test.h"

static void
mean_share(void)
{
    const float q[] = {0.5F, 0.25F, 0.25F, 0.75F, 0.25F, 0};
    double share[3];
    CHECK_STATUS(witan_label_share_mean(share, q, 2, 3), WITAN_OK);
    CHECK_NEAR(share[0], 0.625, 1e-15, 0);
    CHECK_NEAR(share[1], 0.25, 1e-15, 0);
    CHECK_NEAR(share[2], 0.125, 1e-15, 0);
    const float bad[] = {NAN, 0, 0}, none[] = {0, 0, 0};
    CHECK_STATUS(witan_label_share_mean(share, bad, 1, 3), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_label_share_mean(share, none, 1, 3), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_label_share_mean(share, q, 0, 3), WITAN_E_INVALID);
}

/* mean = confusion truth is undone exactly; an infeasible solution is projected. */
static void
corrected_share(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const double confusion[9] = {.0, .2, .1, .7, .2,
                                 .3, .3, .6, .6}; /* needs a pivot */
    const double truth[3] = {.7, .1, .2};
    double mean[3] = {0}, got[3];
    for (size_t i = 0; i < 3; i++) {
        for (size_t y = 0; y < 3; y++) {
            mean[i] += confusion[3 * i + y] * truth[y];
        }
    }
    CHECK_STATUS(witan_label_share_corrected(got, confusion, mean, 3, heap), WITAN_OK);
    for (size_t c = 0; c < 3; c++) {
        CHECK_NEAR(got[c], truth[c], 1e-12, 0);
    }
    CHECK_STATUS(witan_label_share_corrected(mean, confusion, mean, 3, heap), WITAN_OK);
    CHECK_NEAR(mean[0], truth[0], 1e-12, 0);
    const double two[4] = {.6, .4, .4, .6}, far[2] = {1, 0}; /* solution (3, -2) */
    CHECK_STATUS(witan_label_share_corrected(got, two, far, 2, heap), WITAN_OK);
    CHECK_NEAR(got[0], 1, 1e-12, 0);
    CHECK_NEAR(got[1], 0, 1e-12, 0);
    const double singular[4] = {.5, .5, .5, .5};
    CHECK_STATUS(witan_label_share_corrected(got, singular, far, 2, heap),
                 WITAN_E_NUMERIC);
    const double bad[4] = {(double)NAN, .5, .5, .5};
    CHECK_STATUS(witan_label_share_corrected(got, bad, far, 2, heap), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_label_share_corrected(got, two, far, 1, heap), WITAN_E_INVALID);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_label_share_corrected(got, two, far, 2, &failing.allocator),
                 WITAN_E_MEMORY);
}

static void
leak(void)
{
    const double truth[4] = {.5, .5, 0, 0}, flat[4] = {.25, .25, .25, .25};
    witan_label_leak out;
    CHECK_STATUS(witan_label_leak_of(&out, truth, truth, 4), WITAN_OK);
    CHECK_NEAR(out.divergence, 0, 1e-5, 0);
    CHECK_NEAR(out.uniform, log(2), 1e-15, 0);
    CHECK_NEAR(out.told, 1, 1e-5, 0);
    CHECK_STATUS(witan_label_leak_of(&out, truth, flat, 4), WITAN_OK);
    CHECK_NEAR(out.divergence, log(2), 1e-15, 0);
    CHECK_NEAR(out.told, 0, 1e-12, 0);
    const double misled[4] = {0, 0, .5, .5};
    CHECK_STATUS(witan_label_leak_of(&out, truth, misled, 4), WITAN_OK);
    CHECK(isfinite(out.divergence) && out.told < -1);
    CHECK_STATUS(witan_label_leak_of(&out, flat, truth, 4), WITAN_OK);
    CHECK_NEAR(out.told, 0, 0, 0);
    const double bad[4] = {.5, .6, 0, 0}, nan[4] = {(double)NAN, 1, 0, 0};
    CHECK_STATUS(witan_label_leak_of(&out, bad, truth, 4), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_label_leak_of(&out, truth, nan, 4), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_label_leak_of(&out, truth, truth, 1), WITAN_E_INVALID);
}

static void
gaps(void)
{
    const float client[] = {0.9F, 0.1F, 0.5F, 0.5F, 0.75F, 0.25F, 1, 0};
    const float others[] = {0.5F, 0.5F, 0.75F, 0.25F, 0.25F, 0.75F, 0.5F, 0.5F};
    const witan_allocator *heap = witan_allocator_default();
    witan_gap_summary out; /* gaps 0.4, -0.25, 0, 0.5 */
    CHECK_STATUS(witan_gap_summarise(&out, client, others, 4, 2, heap), WITAN_OK);
    CHECK_NEAR(out.mean, 0.1625, 1e-7, 0);
    CHECK_NEAR(out.sd, 0.302851, 1e-6, 0);
    CHECK_NEAR(out.q50, 0.2, 1e-7, 0);
    CHECK_NEAR(out.q95, 0.4 + 0.85 * 0.1, 1e-7, 0);
    CHECK_NEAR(out.q99, 0.4 + 0.97 * 0.1, 1e-7, 0);
    CHECK_NEAR(out.largest, 0.5, 1e-7, 0);
    CHECK_NEAR(out.positive, 0.5, 0, 0);
    CHECK(out.count == 4);
    const float bad[] = {1.5F, 0}, nan[] = {NAN, 0};
    CHECK_STATUS(witan_gap_summarise(&out, bad, others, 1, 2, heap), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_gap_summarise(&out, client, nan, 1, 2, heap), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_gap_summarise(&out, client, others, 0, 2, heap),
                 WITAN_E_INVALID);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_gap_summarise(&out, client, others, 4, 2, &failing.allocator),
                 WITAN_E_MEMORY);
    CHECK(failing.live == 0);
}

int
main(void)
{
    RUN(mean_share);
    RUN(corrected_share);
    RUN(leak);
    RUN(gaps);
    return witan_test_finish();
}
