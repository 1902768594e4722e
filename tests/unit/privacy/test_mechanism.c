/* Renyi bounds of every mechanism: published values, numerical integrals, brute force.
 */
#include "privacy/mechanism.h"

#include <math.h>

#include "privacy/special.h"
#include "support/witan_test.h"

static double
rdp(witan_mechanism mechanism, double order)
{
    double value = (double)NAN;
    CHECK_STATUS(witan_mechanism_rdp(&value, &mechanism, order, NULL), WITAN_OK);
    return value;
}

static witan_mechanism
sampled(double q, double sigma)
{
    return (witan_mechanism){.kind = WITAN_MECHANISM_SUBSAMPLED,
                             .noise_multiplier = sigma,
                             .sampling_rate = q};
}

static void
published_values(void)
{
    /* The notes say .813690 at order 4; the integral gives .8136893. */
    static const double laplace[][2] = {{1, .367879}, {1.5, .512884}, {2, .619124},
                                        {4, .813689}, {10, .928683},  {100, .993049}};
    witan_mechanism m = {.kind = WITAN_MECHANISM_LAPLACE, .noise_multiplier = 1.0};
    for (size_t i = 0; i < sizeof laplace / sizeof *laplace; i++) {
        CHECK_NEAR(rdp(m, laplace[i][0]), laplace[i][1], 5.1e-7, 0);
    }
    static const double response[][2] = {{1.5, 2.694632}, {2.5, 2.983865},
                                         {5, 3.113170},   {50, 3.185424},
                                         {100, 3.188668}, {HUGE_VAL, 3.191847}};
    m = (witan_mechanism){
        .kind = WITAN_MECHANISM_RESPONSE, .response = 0.3, .classes = 10};
    for (size_t i = 0; i < sizeof response / sizeof *response; i++) {
        CHECK_NEAR(rdp(m, response[i][0]), response[i][1], 5.1e-7, 0);
    }
    m = (witan_mechanism){.kind = WITAN_MECHANISM_EXPONENTIAL, .epsilon = 1.0};
    CHECK_NEAR(rdp(m, 1), 0.123301561, 5.1e-10, 0);
    CHECK_NEAR(rdp(m, 1000), 1.0, 0, 0);
    CHECK_NEAR(rdp(sampled(.01, 1), 2), 1.718134e-4, 5.1e-11, 0);
    CHECK_NEAR(rdp(sampled(.01, 1), 8), 8.936439e-4, 5.1e-11, 0);
    static const double steps[][2] = {{1.5, 6.70579741e-4},
                                      {2.5, 1.08548710e-3},
                                      {5, 2.18075656e-3},
                                      {50, 2.38460375e-2},
                                      {100, 167.416308}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        CHECK_NEAR(50.0 * rdp(sampled(.01, 2.5), steps[i][0]), steps[i][1], 0, 5e-9);
    }
    m = (witan_mechanism){.kind = WITAN_MECHANISM_GAUSSIAN, .noise_multiplier = 3.0};
    CHECK_NEAR(rdp(m, 7), 7.0 / 18.0, 0, 1e-15);
    CHECK(rdp(m, HUGE_VAL) == HUGE_VAL);
    m = (witan_mechanism){.kind = WITAN_MECHANISM_ZCDP, .xi = 0.25, .rho = 0.5};
    CHECK_NEAR(rdp(m, 3), 1.75, 0, 0);
    m = (witan_mechanism){.kind = WITAN_MECHANISM_GNMAX, .noise_multiplier = 40};
    CHECK_NEAR(rdp(m, 8), 5e-3, 0, 1e-15);
}

static void
golden_integrals(void)
{
    witan_golden g = witan_golden_load("privacy/laplace");
    for (size_t i = 0; i < g.shape[0]; i++) {
        const double *row = g.values + 3 * i;
        witan_mechanism m = {.kind = WITAN_MECHANISM_LAPLACE,
                             .noise_multiplier = 1.0 / row[0]};
        CHECK_NEAR(rdp(m, row[1]), row[2], 0, 1e-12);
    }
    witan_golden_free(&g);
    g = witan_golden_load("privacy/pure");
    for (size_t i = 0; i < g.shape[0]; i++) {
        const double *row = g.values + 3 * i;
        witan_mechanism m = {.kind = WITAN_MECHANISM_PURE, .epsilon = row[0]};
        CHECK_NEAR(rdp(m, row[1]), row[2], 0, 1e-11);
    }
    witan_golden_free(&g);
    g = witan_golden_load("privacy/response");
    for (size_t i = 0; i < g.shape[0]; i++) {
        const double *row = g.values + 4 * i;
        witan_mechanism m = {.kind = WITAN_MECHANISM_RESPONSE,
                             .classes = (size_t)row[0],
                             .response = row[1]};
        CHECK_NEAR(rdp(m, row[2]), row[3], 1e-13, 1e-12);
    }
    witan_golden_free(&g);
    /* Whole orders are exact; the series at the others is an upper bound. */
    g = witan_golden_load("privacy/sampled_gaussian");
    for (size_t i = 0; i < g.shape[0]; i++) {
        const double *row = g.values + 4 * i, order = row[2];
        double value = rdp(sampled(row[0], row[1]), order);
        if (order == floor(order)) {
            CHECK_NEAR(value, row[3], 0, 1e-9);
        } else {
            witan_mechanism exact = sampled(row[0], row[1]);
            exact.exact = true;
            CHECK_NEAR(rdp(exact, order), row[3], 0, 1e-7);
            CHECK(value >= row[3] * (1.0 - 1e-9) &&
                  value <= rdp(sampled(row[0], row[1]), ceil(order)));
        }
    }
    witan_golden_free(&g);
}

/* The label's distribution p_max = r / (r + K-1), p_min = 1 / (1 + r (K-1)). */
static void
sampled_labels(void)
{
    static const double expected[][2] = {{1, 12.20}, {5, 3.42}, {20, 0.897}};
    double epsilon;
    for (size_t i = 0; i < 3; i++) {
        CHECK_STATUS(witan_sampled_label_epsilon(&epsilon, 10, 5, expected[i][0]),
                     WITAN_OK);
        CHECK_NEAR(epsilon, expected[i][1], 0.0051, 0);
        CHECK(epsilon <= 20.0 / expected[i][0]);
        double r = exp(10.0 / expected[i][0]);
        CHECK_NEAR(epsilon, log(r * (1 + 9 * r) / (r + 9)), 1e-12, 0);
    }
    CHECK_STATUS(witan_sampled_label_epsilon(&epsilon, 1000, 300, 1), WITAN_OK);
    CHECK(isfinite(epsilon) && epsilon <= 1200.0);
    witan_mechanism m = {
        .kind = WITAN_MECHANISM_SAMPLED, .classes = 10, .clip = 5, .temperature = 20};
    CHECK_STATUS(witan_sampled_label_epsilon(&epsilon, 10, 5, 20), WITAN_OK);
    CHECK_NEAR(
        rdp(m, 4),
        rdp((witan_mechanism){.kind = WITAN_MECHANISM_PURE, .epsilon = epsilon}, 4), 0,
        0);
    CHECK_STATUS(witan_response_epsilon(&epsilon, 10, 0.3), WITAN_OK);
    CHECK_NEAR(epsilon, log(1 + 10 * .7 / .3), 1e-14, 0);
    CHECK_NEAR(epsilon, 3.191847, 5.1e-7, 0);
    CHECK_STATUS(witan_response_epsilon(&epsilon, 10, 0.0), WITAN_E_INVALID);
}

static void
published_diameters(void)
{
    static const double T[] = {1, 2, 5, 10, 20};
    static const double ten[] = {1.41357, 1.32437, .56098, .29227, .15490};
    static const double hundred[] = {1.40782, .84261, .17872, .09242, .04898};
    static const double two[] = {1.41409, 1.39528, 1.07706, .65353, .34637};
    for (size_t i = 0; i < 5; i++) {
        double l2;
        CHECK_STATUS(witan_simplex_diameter(NULL, &l2, 10, 5, T[i]), WITAN_OK);
        CHECK_NEAR(l2, ten[i], 5.1e-6, 0);
        CHECK_STATUS(witan_simplex_diameter(NULL, &l2, 100, 5, T[i]), WITAN_OK);
        CHECK_NEAR(l2, hundred[i], 5.1e-6, 0);
        CHECK_STATUS(witan_simplex_diameter(NULL, &l2, 2, 5, T[i]), WITAN_OK);
        CHECK_NEAR(l2, two[i], 5.1e-6, 0);
    }
}

/* All pairs of vertices, heavy sets as bit masks, overlaps included. */
static void
brute_force_diameters(void)
{
    static const double ratios[] = {0.1, 0.7, 2.0, 6.0};
    for (size_t K = 2; K <= 8; K++) {
        for (size_t t = 0; t < 4; t++) {
            double r = exp(2.0 * ratios[t]), far1 = 0, far2 = 0, l1, l2;
            for (unsigned a = 1; a < (1U << K) - 1; a++) {
                double ta = 1.0 / ((double)K + (r - 1) * __builtin_popcount(a));
                for (unsigned b = 1; b < (1U << K) - 1; b++) {
                    double tb = 1.0 / ((double)K + (r - 1) * __builtin_popcount(b));
                    double one = 0, square = 0;
                    for (size_t c = 0; c < K; c++) {
                        double d =
                            ta * (a >> c & 1 ? r : 1) - tb * (b >> c & 1 ? r : 1);
                        one += fabs(d);
                        square += d * d;
                    }
                    far1 = fmax(far1, one);
                    far2 = fmax(far2, square);
                }
            }
            CHECK_STATUS(witan_simplex_diameter(&l1, &l2, K, ratios[t], 1), WITAN_OK);
            CHECK_NEAR(l1, far1, 0, 1e-12);
            CHECK_NEAR(l2, sqrt(far2), 0, 1e-12);
            double bound = 2.0 * tanh(ratios[t]);
            CHECK(l1 <= bound * (1 + 1e-12) &&
                  (K % 2 == 1 || l1 >= bound * (1 - 1e-9)));
        }
    }
}

static void
diameters_shrink(void)
{
    double last1 = 2.1, last2 = 1.5, l1, l2;
    for (double T = 0.02; T < 100; T *= 1.5) {
        CHECK_STATUS(witan_simplex_diameter(&l1, &l2, 50, 5, T), WITAN_OK);
        CHECK(l1 <= last1 && l2 <= last2 && l1 > 0 && l2 > 0 && l1 <= 2 && l2 <= l1);
        last1 = l1;
        last2 = l2;
    }
    CHECK_STATUS(witan_simplex_diameter(&l1, &l2, 1, 5, 1), WITAN_E_INVALID);
    CHECK(isnan(l1) && isnan(l2));
    CHECK_STATUS(witan_simplex_diameter(&l1, NULL, 10, HUGE_VAL, 1), WITAN_E_INVALID);
    CHECK_STATUS(witan_simplex_diameter(NULL, &l2, 10, 5, (double)NAN),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_simplex_diameter(NULL, &l2, 10, 5, 0), WITAN_E_INVALID);
}

static double
gnmax(double log_q, double sigma, double order)
{
    double value = (double)NAN;
    CHECK_STATUS(witan_gnmax_rdp(&value, log_q, sigma, order), WITAN_OK);
    return value;
}

static void
data_dependent(void)
{
    double votes[10] = {190, 5, 1, 1, 1, 1, 1}, log_q;
    CHECK_STATUS(witan_gnmax_log_q(&log_q, votes, 10, 40), WITAN_OK);
    CHECK_NEAR(log_q, -5.573339, 5.1e-7, 0);
    CHECK_NEAR(gnmax(log_q, 40, 2), 9.514106e-4, 5.1e-11, 0);
    CHECK_NEAR(gnmax(log_q, 40, 8), 1.171718e-3, 5.1e-10, 0);
    CHECK_NEAR(gnmax(log_q, 40, 32), 4.824978e-3, 5.1e-10, 0);
    double all[10] = {0, 0, 0, 250};
    CHECK_STATUS(witan_gnmax_log_q(&log_q, all, 10, 40), WITAN_OK);
    CHECK_NEAR(log_q, -10.019228, 5.1e-7, 0);
    CHECK_NEAR(gnmax(log_q, 40, 2), 1.527357e-5, 5.1e-12, 0);
    CHECK_NEAR(gnmax(log_q, 40, 8), 2.058913e-5, 5.1e-12, 0);
    double close[10] = {100, 90, 10};
    CHECK_STATUS(witan_gnmax_log_q(&log_q, close, 10, 40), WITAN_OK);
    CHECK(log_q <= log(0.9));
    for (double order = 2; order <= 32; order *= 4) {
        CHECK_NEAR(gnmax(log_q, 40, order), order / 1600, 0, 1e-15);
    }
    /* Never above the independent bound, falling with agreement. */
    double last = HUGE_VAL;
    for (double lead = 0; lead < 400; lead += 20) {
        double two[2] = {500 + lead, 500 - lead};
        CHECK_STATUS(witan_gnmax_log_q(&log_q, two, 2, 40), WITAN_OK);
        double value = gnmax(log_q, 40, 8);
        CHECK(value <= 8.0 / 1600 && value <= last * (1 + 1e-12) && value >= 0);
        last = value;
    }
    CHECK_STATUS(witan_threshold_log_q(&log_q, 150, 100, 20), WITAN_OK);
    CHECK_NEAR(log_q, witan_log_normal_cdf(-2.5), 0, 1e-15);
    votes[3] = (double)NAN;
    CHECK_STATUS(witan_gnmax_log_q(&log_q, votes, 10, 40), WITAN_E_NUMERIC);
    votes[3] = -1;
    CHECK_STATUS(witan_gnmax_log_q(&log_q, votes, 10, 40), WITAN_E_NUMERIC);
    CHECK_STATUS(witan_gnmax_log_q(&log_q, votes, 10, 0), WITAN_E_INVALID);
    double value;
    CHECK_STATUS(witan_gnmax_rdp(&value, 0.1, 40, 2), WITAN_E_INVALID);
    CHECK_STATUS(witan_gnmax_rdp(&value, (double)NAN, 40, 2), WITAN_E_INVALID);
    CHECK_STATUS(witan_threshold_log_q(&log_q, (double)NAN, 1, 1), WITAN_E_NUMERIC);
}

/* Every mechanism: grows with its order, finite at ordinary orders. */
static void
orders_grow(void)
{
    const witan_mechanism all[] = {
        {.kind = WITAN_MECHANISM_GAUSSIAN, .noise_multiplier = 2},
        {.kind = WITAN_MECHANISM_LAPLACE, .noise_multiplier = 0.7},
        {.kind = WITAN_MECHANISM_PURE, .epsilon = 1e-6},
        {.kind = WITAN_MECHANISM_PURE, .epsilon = 800},
        {.kind = WITAN_MECHANISM_RESPONSE, .classes = 7, .response = 1e-9},
        {.kind = WITAN_MECHANISM_SAMPLED, .classes = 5, .clip = 9, .temperature = 0.1},
        {.kind = WITAN_MECHANISM_EXPONENTIAL, .epsilon = 1e-4},
        {.kind = WITAN_MECHANISM_ZCDP, .xi = 0, .rho = 0.1},
        {.kind = WITAN_MECHANISM_SUBSAMPLED,
         .noise_multiplier = 1.1,
         .sampling_rate = .5},
        {.kind = WITAN_MECHANISM_GNMAX, .noise_multiplier = 5},
    };
    static const double orders[] = {1, 2, 3, 7, 64, 1024};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        double last = 0;
        for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
            double value = rdp(all[i], orders[o]);
            CHECK(isfinite(value) && value >= last * (1 - 1e-12));
            last = value;
        }
        CHECK(rdp(all[i], HUGE_VAL) >= last * (1 - 1e-12));
    }
}

static void
refusals(void)
{
    double value;
    witan_diag diag = {0};
    witan_mechanism m = {.kind = WITAN_MECHANISM_HEURISTIC};
    CHECK_STATUS(witan_mechanism_rdp(&value, &m, 2, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "has no epsilon");
    CHECK(isnan(value));
    m = (witan_mechanism){.kind = WITAN_MECHANISM_GAUSSIAN, .noise_multiplier = 1};
    CHECK_STATUS(witan_mechanism_rdp(&value, &m, 0.5, NULL), WITAN_E_INVALID);
    CHECK_STATUS(witan_mechanism_rdp(&value, &m, (double)NAN, NULL), WITAN_E_INVALID);
    static const double bad[] = {0, -1, (double)NAN, HUGE_VAL};
    for (size_t i = 0; i < 4; i++) {
        m.noise_multiplier = bad[i];
        for (int kind = 0; kind < WITAN_MECHANISM_KINDS; kind++) {
            m.kind = (witan_mechanism_kind)kind;
            m.epsilon = m.rho = m.xi = m.response = m.clip = bad[i];
            m.sampling_rate = bad[i];
            CHECK(witan_mechanism_rdp(&value, &m, 2, NULL) != WITAN_OK ||
                  (kind == WITAN_MECHANISM_ZCDP && bad[i] == 0));
        }
    }
    CHECK_STRING(witan_mechanism_name(WITAN_MECHANISM_GNMAX), "gnmax");
    CHECK_STRING(witan_mechanism_name(WITAN_MECHANISM_KINDS), "unknown");
}

int
main(void)
{
    RUN(published_values);
    RUN(golden_integrals);
    RUN(sampled_labels);
    RUN(published_diameters);
    RUN(brute_force_diameters);
    RUN(diameters_shrink);
    RUN(data_dependent);
    RUN(orders_grow);
    RUN(refusals);
    return witan_test_finish();
}
