/* Softmax and log-sum-exp: PyTorch's numbers, and what holds for every row. */
#include "num/softmax.h"

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "support/witan_test.h"

static void
matches_pytorch(void)
{
    static const struct {
        const char *name;
        double temp;
    } cases[] = {
        {"num/softmax_half", 0.5}, {"num/softmax_one", 1.0}, {"num/softmax_four", 4.0}};
    witan_golden z = witan_golden_load("num/softmax_z");
    float *logits = witan_golden_floats(&z), p[77];
    for (size_t i = 0; i < 3; i++) {
        witan_golden expected = witan_golden_load(cases[i].name);
        witan_softmax(p, logits, cases[i].temp, 7, 11);
        CHECK_GOLDEN(p, expected.values, 77, 1e-7, 1e-5);
        witan_golden_free(&expected);
    }
    witan_golden sums = witan_golden_load("num/log_sum_exp");
    for (size_t n = 0; n < 7; n++) {
        CHECK_NEAR(witan_log_sum_exp(logits + 11 * n, 11), sums.values[n], 1e-12,
                   1e-12);
    }
    witan_golden_free(&sums);
    witan_golden_free(&z);
    free(logits);
}

static void
rows_sum_to_one_and_ignore_shifts(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(1), 0, 0, WITAN_PURPOSE_TEST);
    for (size_t C = 1; C < 40; C++) {
        float z[40], shifted[40], p[40], q[40];
        double sum = 0.0;
        for (size_t c = 0; c < C; c++) {
            /* Multiples of 2^-6, so that the shift loses no bit. */
            z[c] = (float)((int)witan_random_below(&random, 2048) - 1024) / 64.0f;
            shifted[c] = z[c] + 512.0f;
        }
        witan_softmax(p, z, 1.5, 1, C);
        witan_softmax(q, shifted, 1.5, 1, C);
        for (size_t c = 0; c < C; c++) {
            sum += (double)p[c];
        }
        CHECK_NEAR(sum, 1.0, 1e-6, 0.0);
        CHECK_FLOATS(p, q, C, 0.0, 0.0);
        witan_softmax(z, z, 1.5, 1, C);
        CHECK_FLOATS(z, p, C, 0.0, 0.0);
    }
}

static void
extreme_logits_are_exact_or_nan(void)
{
    float z[3] = {3e38f, -3e38f, -INFINITY}, p[3];
    witan_softmax(p, z, 1.0, 1, 3);
    CHECK_NEAR((double)p[0], 1.0, 0.0, 0.0);
    CHECK_NEAR((double)p[1], 0.0, 0.0, 0.0);
    CHECK_NEAR((double)p[2], 0.0, 0.0, 0.0);
    CHECK_NEAR(witan_log_sum_exp((float[]){1000.0f, 1000.0f}, 2), 1000.0 + log(2.0),
               1e-12, 0.0);
    z[1] = NAN;
    witan_softmax(p, z, 1.0, 1, 3);
    CHECK(isnan(p[0]) && isnan(p[2]));
    CHECK(isnan(witan_log_sum_exp(z, 3)));
    z[0] = NAN;
    z[1] = 0.0f;
    witan_softmax(p, z, 1.0, 1, 3);
    CHECK(isnan(p[0]) && isnan(p[1]));
}

int
main(void)
{
    RUN(matches_pytorch);
    RUN(rows_sum_to_one_and_ignore_shifts);
    RUN(extreme_logits_are_exact_or_nan);
    return witan_test_finish();
}
