/* ROC curves, LiRA and RMIA: published examples and NumPy. */
#include "privacy/membership.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "support/witan_test.h"

static witan_roc
roc_of(const double *in, size_t n_in, const double *out, size_t n_out)
{
    witan_roc roc;
    CHECK_STATUS(witan_roc_init(&roc, in, n_in, out, n_out, witan_allocator_default()),
                 WITAN_OK);
    return roc;
}

static void
published_curves(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const double in[] = {0, 4, 6, 7}, out[] = {1, 2, 3, 5};
    witan_roc roc = roc_of(in, 4, out, 4);
    CHECK_NEAR(witan_roc_area(&roc), 11.0 / 16, 1e-15, 0);
    CHECK_NEAR(witan_roc_tpr(&roc, 0.25), 0.75, 0, 0);
    CHECK_NEAR(witan_roc_tpr(&roc, 0.24), 0.5, 0, 0);
    CHECK_NEAR(witan_roc_balanced_accuracy(&roc), 0.75, 0, 0);
    witan_roc_hull(&roc);
    CHECK_NEAR(witan_roc_area(&roc), 13.0 / 16, 1e-15, 0);
    CHECK(roc.count == 4);
    witan_roc_fini(&roc, heap);

    const double two[] = {1, 3}, others[] = {0, 2};
    static const double tpr[] = {.5, .75, 1, 1, 1};
    roc = roc_of(two, 2, others, 2);
    witan_roc_hull(&roc);
    for (size_t i = 0; i < 5; i++) {
        CHECK_NEAR(witan_roc_tpr(&roc, 0.25 * (double)i), tpr[i], 1e-12, 0);
    }
    CHECK(isnan(witan_roc_tpr(&roc, 1.1)) && isnan(witan_roc_tpr(&roc, (double)NAN)));
    witan_roc_fini(&roc, heap);

    double members[100], hundred[100];
    for (size_t i = 0; i < 100; i++) {
        hundred[i] = (double)i;
        members[i] = (double)i + 9.5;
    }
    roc = roc_of(members, 100, hundred, 100);
    CHECK_NEAR(witan_roc_area(&roc), 0.5905, 1e-12, 0);
    CHECK_NEAR(witan_roc_tpr(&roc, 0.01), 0.11, 1e-12, 0);
    witan_roc_hull(&roc);
    CHECK_NEAR(witan_roc_area(&roc), 0.595, 1e-12, 0);
    CHECK_NEAR(witan_roc_tpr(&roc, 0.01), 0.11, 1e-12, 0);
    witan_roc_fini(&roc, heap);
    /* Ties: all equal says nothing. */
    roc = roc_of(in + 1, 1, in + 1, 1);
    CHECK(roc.count == 2);
    CHECK_NEAR(witan_roc_area(&roc), 0.5, 0, 0);
    witan_roc_fini(&roc, heap);
    double bad = (double)NAN;
    CHECK_STATUS(witan_roc_init(&roc, &bad, 1, out, 4, heap), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_roc_init(&roc, in, 0, out, 4, heap), WITAN_E_INVALID);
    CHECK(roc.tp == NULL);
    for (size_t at = 1; at <= 5; at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, at);
        CHECK_STATUS(witan_roc_init(&roc, in, 4, out, 4, &failing.allocator),
                     WITAN_E_MEMORY);
        CHECK(failing.live == 0);
    }
}

/* Plain area = Mann-Whitney by counting pairs; the hull is concave and above. */
static void
area_is_mann_whitney(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(4), 0, 0, WITAN_PURPOSE_TEST);
    for (int round = 0; round < 30; round++) {
        double in[23], out[31], wins = 0;
        for (size_t i = 0; i < 23; i++) {
            in[i] = witan_random_below(&random, 12); /* many ties */
        }
        for (size_t i = 0; i < 31; i++) {
            out[i] = witan_random_below(&random, 10);
        }
        for (size_t i = 0; i < 23; i++) {
            for (size_t o = 0; o < 31; o++) {
                wins += in[i] > out[o] ? 1 : in[i] == out[o] ? 0.5 : 0;
            }
        }
        witan_roc roc = roc_of(in, 23, out, 31);
        double plain = witan_roc_area(&roc), steps[11], last = 2;
        CHECK_NEAR(plain, wins / (23 * 31), 1e-13, 0);
        for (size_t i = 0; i <= 10; i++) {
            steps[i] = witan_roc_tpr(&roc, 0.1 * (double)i);
        }
        witan_roc_hull(&roc);
        CHECK(witan_roc_area(&roc) >= plain);
        for (size_t i = 0; i <= 10; i++) {
            CHECK(witan_roc_tpr(&roc, 0.1 * (double)i) >= steps[i] - 1e-12);
        }
        for (size_t i = 1; i < roc.count; i++) {
            double rise = (double)(roc.tp[i] - roc.tp[i - 1]);
            double run = (double)(roc.fp[i] - roc.fp[i - 1]);
            double angle = atan2(rise, run);
            CHECK(angle < last);
            last = angle;
        }
        witan_roc_fini(&roc, witan_allocator_default());
    }
}

static void
confidences(void)
{
    const float z[] = {1, 2, 3, 0, 0, 900, -900, 0, 5};
    const uint32_t labels[] = {2, 2, 0};
    double phi[3];
    CHECK_STATUS(witan_logit_confidence(phi, z, labels, 3, 3), WITAN_OK);
    CHECK_NEAR(phi[0], 3 - log(exp(1) + exp(2)), 1e-12, 0);
    CHECK_NEAR(phi[1], 900 - log(2), 1e-12, 0);
    CHECK_NEAR(phi[2], -900 - log(1 + exp(5)), 1e-12, 0);
    const float p[] = {0.2F, 0.5F, 0.3F, 0, 0, 1, 1, 0, 0};
    const uint32_t of_p[] = {1, 0, 0};
    CHECK_STATUS(witan_probability_confidence(phi, p, of_p, 3, 3, 1e-5), WITAN_OK);
    CHECK_NEAR(phi[0], 0, 1e-7, 0);
    CHECK_NEAR(phi[1], log(1e-5), 1e-12, 0);
    CHECK_NEAR(phi[2], -log(1e-5), 1e-12, 0);
    const uint32_t wrong[] = {3};
    const float bad[] = {NAN, 0, 0};
    CHECK_STATUS(witan_logit_confidence(phi, z, wrong, 1, 3), WITAN_E_INVALID);
    CHECK_STATUS(witan_logit_confidence(phi, bad, labels, 1, 3), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_logit_confidence(phi, z, labels, 1, 1), WITAN_E_INVALID);
    CHECK_STATUS(witan_probability_confidence(phi, bad, labels, 1, 3, 1e-5),
                 WITAN_E_NUMERIC);
    CHECK_STATUS(witan_probability_confidence(phi, p, wrong, 1, 3, 1e-5),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_probability_confidence(phi, p, of_p, 1, 3, 0), WITAN_E_INVALID);
    double loss[] = {1, -2}, score[2];
    CHECK_STATUS(witan_loss_score(score, loss, 2), WITAN_OK);
    CHECK(score[0] == -1 && score[1] == 2);
    loss[0] = (double)NAN;
    CHECK_STATUS(witan_loss_score(score, loss, 2), WITAN_E_NUMERIC);
}

static void
likelihood_ratio(void)
{
    witan_golden input = witan_golden_load("privacy/lira_input");
    witan_golden expected = witan_golden_load("privacy/lira");
    size_t E = input.shape[1], S = (input.shape[0] - 1) / 2;
    const witan_allocator *heap = witan_allocator_default();
    double *phi = input.values, *shadow = phi + E, score[64];
    uint8_t member[1024];
    CHECK(E <= 64 && S * E <= 1024);
    for (size_t i = 0; i < S * E; i++) {
        member[i] = shadow[S * E + i] != 0;
    }
    for (size_t variant = 0; variant < 4; variant++) {
        CHECK_STATUS(
            witan_lira_score(score, phi, shadow, member, S, E,
                             variant < 2 ? WITAN_LIRA_ONLINE : WITAN_LIRA_OFFLINE,
                             variant % 2 == 1, heap),
            WITAN_OK);
        for (size_t e = 0; e < E; e++) {
            CHECK_NEAR(score[e], expected.values[variant * E + e], 1e-11, 1e-10);
        }
    }
    /* Offline grows with the target's confidence and stays finite. */
    double last = -HUGE_VAL, at[64];
    for (double x = -400; x <= 400; x += 40) {
        for (size_t e = 0; e < E; e++) {
            at[e] = x;
        }
        CHECK_STATUS(witan_lira_score(score, at, shadow, member, S, E,
                                      WITAN_LIRA_OFFLINE, true, heap),
                     WITAN_OK);
        CHECK(isfinite(score[0]) && score[0] >= last);
        last = score[0];
    }
    memset(member, 1, sizeof member);
    CHECK_STATUS(witan_lira_score(score, phi, shadow, member, S, E, WITAN_LIRA_OFFLINE,
                                  true, heap),
                 WITAN_E_DATA);
    memset(member, 0, sizeof member);
    CHECK_STATUS(witan_lira_score(score, phi, shadow, member, S, E, WITAN_LIRA_ONLINE,
                                  true, heap),
                 WITAN_E_DATA);
    CHECK_STATUS(witan_lira_score(score, phi, shadow, member, 1, E, WITAN_LIRA_OFFLINE,
                                  true, heap),
                 WITAN_E_DATA);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_lira_score(score, phi, shadow, member, S, E, WITAN_LIRA_OFFLINE,
                                  true, &failing.allocator),
                 WITAN_E_MEMORY);
    shadow[3] = (double)NAN;
    CHECK_STATUS(witan_lira_score(score, phi, shadow, member, S, E, WITAN_LIRA_OFFLINE,
                                  true, heap),
                 WITAN_E_NUMERIC);
    witan_golden_free(&input);
    witan_golden_free(&expected);
}

static void
relative_membership(void)
{
    witan_golden input = witan_golden_load("privacy/rmia_input");
    witan_golden expected = witan_golden_load("privacy/rmia");
    const witan_allocator *heap = witan_allocator_default();
    double *x = input.values, score[9];
    witan_rmia_rows rows = {9, x, x + 9, NULL};
    witan_rmia_rows population = {40, x + 27, x + 67, NULL};
    static const double a[] = {.3, 1, .3}, gamma[] = {1, 1.5, 1};
    for (size_t i = 0; i < 3; i++) {
        if (i == 2) { /* online */
            rows.in = x + 18;
            population.in = x + 107;
        }
        CHECK_STATUS(witan_rmia_score(score, &rows, &population, a[i], gamma[i], heap),
                     WITAN_OK);
        for (size_t e = 0; e < 9; e++) {
            CHECK_NEAR(score[e], expected.values[9 * i + e], 1e-12, 0);
        }
    }
    /* Equal ratios count: P_x / P_z = 1 >= 1. */
    const double half = 0.5;
    witan_rmia_rows one = {1, &half, &half, NULL};
    CHECK_STATUS(witan_rmia_score(score, &one, &one, 1, 1, heap), WITAN_OK);
    CHECK_NEAR(score[0], 1, 0, 0);
    CHECK_STATUS(witan_rmia_score(score, &one, &one, 1.5, 1, heap), WITAN_E_INVALID);
    CHECK_STATUS(witan_rmia_score(score, &one, &one, 1, 0, heap), WITAN_E_INVALID);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_rmia_score(score, &one, &one, 1, 1, &failing.allocator),
                 WITAN_E_MEMORY);
    x[2] = 0;
    CHECK_STATUS(witan_rmia_score(score, &rows, &population, 1, 1, heap),
                 WITAN_E_NUMERIC);
    x[30] = (double)NAN;
    CHECK_STATUS(witan_rmia_score(score, &rows, &population, 1, 1, heap),
                 WITAN_E_NUMERIC);
    witan_golden_free(&input);
    witan_golden_free(&expected);
}

int
main(void)
{
    RUN(published_curves);
    RUN(area_is_mann_whitney);
    RUN(confidences);
    RUN(likelihood_ratio);
    RUN(relative_membership);
    return witan_test_finish();
}
