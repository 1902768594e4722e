/* Special functions against mpmath (40 digits) and closed forms, far into the tails. */
#include "privacy/special.h"

#include <math.h>

#include "support/witan_test.h"

#define LN_2 0.69314718055994530942

/* Rows of [arguments..., value] of a golden array. */
static void
check_rows(const char *name, double (*function)(const double *row), double absolute,
           double relative)
{
    witan_golden golden = witan_golden_load(name);
    size_t width = golden.shape[1];
    CHECK(golden.shape[0] > 5);
    for (size_t i = 0; i < golden.shape[0]; i++) {
        const double *row = golden.values + i * width;
        CHECK_NEAR(function(row), row[width - 1], absolute, relative);
    }
    witan_golden_free(&golden);
}

static double
log_cdf_row(const double *row)
{
    return witan_log_normal_cdf(row[0]);
}

static double
log_erfc_row(const double *row)
{
    return witan_log_erfc(row[0]);
}

static double
beta_row(const double *row)
{
    return witan_log_beta_cdf(row[0], row[1], row[2]);
}

static double
beta_quantile_row(const double *row)
{
    return witan_beta_quantile(row[0], row[1], row[2]);
}

static double
gamma_row(const double *row)
{
    return witan_gamma_tail(row[0], row[1]);
}

static double
tail_row(const double *row)
{
    return witan_log_binomial_tail((size_t)row[0], row[1], (size_t)row[2]);
}

static double
skew_row(const double *row)
{
    return witan_log_skew_normal_cdf(row[1], row[0]);
}

static void
golden_tails(void)
{
    check_rows("privacy/log_normal_cdf", log_cdf_row, 1e-16, 2e-14);
    check_rows("privacy/log_erfc", log_erfc_row, 1e-15, 2e-14);
    check_rows("privacy/log_beta_cdf", beta_row, 1e-11, 1e-11);
    check_rows("privacy/beta_quantile", beta_quantile_row, 0.0, 2e-11);
    check_rows("privacy/gamma_tail", gamma_row, 1e-13, 1e-10);
    check_rows("privacy/log_binomial_tail", tail_row, 1e-11, 1e-11);
    check_rows("privacy/log_skew_normal_cdf", skew_row, 1e-12, 1e-12);
}

static void
published_skew_normal(void)
{
    static const double cdf[][3] = {
        {4, -1, 8.179690e-7},    {4, -0.5, 1.424756040e-3}, {4, 0, 0.0779791304},
        {4, 0.5, 0.3843496786},  {4, 1, 0.6826903101},      {4, 2, 0.9544997361},
        {1, -0.5, 0.0951954128}, {1, 1, 0.7078609817},
    };
    for (size_t i = 0; i < sizeof cdf / sizeof *cdf; i++) {
        CHECK_NEAR(exp(witan_log_skew_normal_cdf(cdf[i][1], cdf[i][0])), cdf[i][2],
                   5.1e-11, i == 0 ? 1e-7 : 1e-9);
    }
    CHECK_NEAR(witan_log_skew_normal_cdf(-2, 4) / LN_2, -58.852447, 5.1e-7, 0);
    CHECK_NEAR(witan_log_skew_normal_cdf(-6, -2) / LN_2, -28.916834, 5.1e-7, 0);
    CHECK_NEAR(witan_log_skew_normal_cdf(-5, 1) / LN_2, -43.468397, 5.1e-7, 0);
    static const double shapes[] = {-50, -4, -1, 0, 0.3, 1, 4, 50};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double a = shapes[i];
        CHECK_NEAR(exp(witan_log_skew_normal_cdf(0, a)), 0.5 - atan(a) / acos(-1.0),
                   1e-14, 1e-12);
        /* F(u; a) + F(-u; -a) = 1 */
        double both = exp(witan_log_skew_normal_cdf(0.7, a)) +
                      exp(witan_log_skew_normal_cdf(-0.7, -a));
        CHECK_NEAR(both, 1.0, 1e-13, 0);
        CHECK_NEAR(witan_skew_normal_between(-0.3, 0.9, a),
                   exp(witan_log_skew_normal_cdf(0.9, a)) -
                       exp(witan_log_skew_normal_cdf(-0.3, a)),
                   1e-13, 0);
        /* Finite and growing where the plain value is long 0. */
        double last = -HUGE_VAL;
        for (double u = -1000; u <= 40; u += 20) {
            double value = witan_log_skew_normal_cdf(u, a);
            CHECK(isfinite(value) && value >= last && value <= 0.0);
            last = value;
        }
    }
}

static void
logarithms(void)
{
    CHECK_NEAR(witan_log_add(log(3.0), log(4.0)), log(7.0), 1e-15, 0);
    CHECK_NEAR(witan_log_add(-2000.0, -2000.0), -2000.0 + LN_2, 1e-12, 0);
    CHECK(witan_log_add(-HUGE_VAL, -HUGE_VAL) == -HUGE_VAL);
    CHECK(witan_log_add(-HUGE_VAL, 1.5) == 1.5);
    CHECK(witan_log_add(HUGE_VAL, 1.5) == HUGE_VAL);
    CHECK(isnan(witan_log_add((double)NAN, 0.0)) &&
          isnan(witan_log_add(0.0, (double)NAN)));
    CHECK_NEAR(witan_log_subtract(log(7.0), log(3.0)), log(4.0), 1e-15, 0);
    CHECK(witan_log_subtract(2.0, 2.0) == -HUGE_VAL);
    CHECK(witan_log_subtract(2.0, -HUGE_VAL) == 2.0);
    CHECK(isnan(witan_log_subtract(1.0, 2.0)));
    CHECK_NEAR(witan_log_complement(-1e-20), log(1e-20), 0, 1e-15);
    CHECK_NEAR(witan_log_complement(-50.0), -exp(-50.0), 0, 1e-15);
}

static void
quantiles(void)
{
    static const double p[] = {1e-300, 1e-20, 1e-5, 0.02, 0.5, 0.7, 0.999};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        double x = witan_normal_quantile(p[i]);
        CHECK_NEAR(witan_log_normal_cdf(x), log(p[i]), 1e-13, 1e-13);
    }
    CHECK_NEAR(witan_normal_quantile(0.975), 1.959963984540054, 1e-14, 0);
    CHECK_NEAR(witan_normal_cdf(1.959963984540054), 0.975, 1e-15, 0);
    CHECK(witan_normal_quantile(0.0) == -HUGE_VAL);
    CHECK(witan_normal_quantile(1.0) == HUGE_VAL);
    CHECK(isnan(witan_normal_quantile(-0.1)) &&
          isnan(witan_normal_quantile((double)NAN)));
    CHECK_NEAR(witan_beta_quantile(1, 500, 0.005), 1.0 - pow(0.995, 1.0 / 500), 0,
               1e-11);
    CHECK(witan_beta_quantile(2, 3, 0.0) == 0.0 &&
          witan_beta_quantile(2, 3, 1.0) == 1.0);
}

static void
binomials(void)
{
    double sum = -HUGE_VAL;
    for (size_t k = 0; k <= 30; k++) {
        double tail = witan_log_binomial_tail(30, 0.3, 30 - k);
        sum = witan_log_add(sum, witan_log_binomial_mass(30, 0.3, 30 - k));
        CHECK_NEAR(tail, sum, 1e-12, 1e-12);
    }
    CHECK(witan_log_binomial_tail(10, 0.5, 11) == -HUGE_VAL);
    CHECK(witan_log_binomial_mass(10, 0.0, 0) == 0.0);
    CHECK(witan_log_binomial_mass(10, 1.0, 10) == 0.0);
    CHECK_NEAR(witan_log_binomial(10, 3), log(120.0), 1e-13, 0);
    CHECK_NEAR(witan_log_binomial(1.5, 3), log(0.0625), 1e-13, 0); /* |C| of -1/16 */
}

static void
outside_the_domain(void)
{
    CHECK(isnan(witan_log_beta_cdf(1, 1, 1.5)) && isnan(witan_log_beta_cdf(0, 1, 0.5)));
    CHECK(isnan(witan_beta_quantile(1, 1, (double)NAN)) &&
          isnan(witan_gamma_tail(0, 1)));
    CHECK(isnan(witan_log_skew_normal_cdf((double)NAN, 1)));
    CHECK(isnan(witan_log_skew_normal_cdf(0, HUGE_VAL)));
    CHECK(witan_log_skew_normal_cdf(-HUGE_VAL, 1) == -HUGE_VAL);
    CHECK(witan_log_skew_normal_cdf(HUGE_VAL, 1) == 0.0);
    CHECK(witan_gamma_tail(3, 0) == 1.0 && witan_gamma_tail(3, HUGE_VAL) == 0.0);
}

int
main(void)
{
    RUN(golden_tails);
    RUN(published_skew_normal);
    RUN(logarithms);
    RUN(quantiles);
    RUN(binomials);
    RUN(outside_the_domain);
    return witan_test_finish();
}
