/* Composition and conversion: published epsilons, monotonicity, inverses. */
#include "privacy/accountant.h"

#include <math.h>

#include "support/witan_test.h"

static double
gaussian_rdp(double multiplier, uint64_t count, double delta, double *order)
{
    witan_accountant accountant;
    witan_accountant_init(&accountant);
    witan_mechanism m = {.kind = WITAN_MECHANISM_GAUSSIAN,
                         .noise_multiplier = multiplier};
    double epsilon = (double)NAN;
    CHECK_STATUS(witan_accountant_add(&accountant, &m, count, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(&accountant, delta, &epsilon, order),
                 WITAN_OK);
    return epsilon;
}

static double
sampled_epsilon(double q, double multiplier, uint64_t steps, double delta, bool exact,
                witan_accountant *accountant)
{
    witan_mechanism m = {.kind = WITAN_MECHANISM_SUBSAMPLED,
                         .noise_multiplier = multiplier,
                         .sampling_rate = q,
                         .exact = exact};
    double epsilon = (double)NAN;
    CHECK_STATUS(witan_accountant_add(accountant, &m, steps, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(accountant, delta, &epsilon, NULL), WITAN_OK);
    return epsilon;
}

static void
analytic_gaussian(void)
{
    static const double expected[][2] = {
        {.5, 9.997256}, {1, 4.377178}, {2, 1.993091}, {5, .725522}, {10, .340669}};
    for (size_t i = 0; i < 5; i++) {
        double epsilon, delta, multiplier;
        CHECK_STATUS(witan_gaussian_epsilon(&epsilon, expected[i][0], 1e-5), WITAN_OK);
        CHECK_NEAR(epsilon, expected[i][1], 5.1e-7, 0);
        CHECK_STATUS(witan_gaussian_delta(&delta, expected[i][0], epsilon), WITAN_OK);
        CHECK_NEAR(delta, 1e-5, 0, 1e-9);
        CHECK_STATUS(witan_gaussian_multiplier(&multiplier, epsilon, 1e-5), WITAN_OK);
        CHECK_NEAR(multiplier, expected[i][0], 0, 1e-10);
    }
    double s;
    CHECK_STATUS(witan_gaussian_multiplier(&s, 1, 1e-5), WITAN_OK);
    CHECK_NEAR(s, 3.730632, 5.1e-7, 0);
    CHECK_STATUS(witan_gaussian_multiplier(&s, 8, 1e-5), WITAN_OK);
    CHECK_NEAR(s, .600229, 5.1e-7, 0);
    CHECK_STATUS(witan_gaussian_multiplier(&s, 4, 1e-5), WITAN_OK);
    CHECK_NEAR(s, 1.0812, 5.1e-5, 0);
    CHECK_STATUS(witan_gaussian_multiplier(&s, 1, 1e-6), WITAN_OK);
    CHECK_NEAR(s, 4.224679, 5.1e-7, 0);
    /* One client, K = 10, T >= 20, 1000 answers, epsilon 8: the reality check. */
    double l2;
    CHECK_STATUS(witan_gaussian_multiplier(&s, 8, 1e-5), WITAN_OK);
    CHECK_STATUS(witan_simplex_diameter(NULL, &l2, 10, 5, 20), WITAN_OK);
    CHECK_NEAR(s * sqrt(1000.0) * l2, 2.94, 0.0051, 0);
    CHECK_NEAR(s * sqrt(1000.0) * sqrt(2.0), 26.8, 0.051, 0);
}

static void
renyi_gaussian(void)
{
    static const double expected[][3] = {
        {1, 4.728507, 5.4}, {2, 2.165716, 9.6}, {5, .794522, 22}, {10, .375291, 41}};
    static const double zcdp[] = {5.298526, 2.524263, .979705, .484853};
    for (size_t i = 0; i < 4; i++) {
        double order = 0, nm = expected[i][0], loose, exact;
        double epsilon = gaussian_rdp(nm, 1, 1e-5, &order);
        CHECK_NEAR(epsilon, expected[i][1], 5.1e-7, 0);
        CHECK_NEAR(order, expected[i][2], 1e-9, 0);
        CHECK_STATUS(witan_zcdp_epsilon(&loose, 0.5 / (nm * nm), 1e-5), WITAN_OK);
        CHECK_NEAR(loose, zcdp[i], 5.1e-7, 0);
        CHECK_STATUS(witan_gaussian_epsilon(&exact, nm, 1e-5), WITAN_OK);
        CHECK(exact < epsilon && epsilon < loose);
    }
    /* Exactly (1, 1e-6) at its best order, 21.985; the default ones come within 3e-7.
     */
    witan_accountant fine;
    const double best = 21.985;
    witan_mechanism m = {.kind = WITAN_MECHANISM_GAUSSIAN,
                         .noise_multiplier = 4.530877117};
    double one = (double)NAN;
    CHECK_STATUS(witan_accountant_init_orders(&fine, &best, 1), WITAN_OK);
    CHECK_STATUS(witan_accountant_add(&fine, &m, 1, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(&fine, 1e-6, &one, NULL), WITAN_OK);
    CHECK_NEAR(one, 1.0, 1e-9, 0);
    CHECK_NEAR(gaussian_rdp(4.530877117, 1, 1e-6, NULL), 1.0, 5e-7, 0);
}

static void
constant_rdp(void)
{
    double orders[31], epsilon, order, delta;
    for (size_t i = 0; i < 31; i++) {
        orders[i] = (double)(i + 2);
    }
    witan_accountant accountant;
    CHECK_STATUS(witan_accountant_init_orders(&accountant, orders, 31), WITAN_OK);
    witan_mechanism m = {.kind = WITAN_MECHANISM_ZCDP, .xi = 1.1};
    CHECK_STATUS(witan_accountant_add(&accountant, &m, 1, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(&accountant, 1e-5, &epsilon, &order),
                 WITAN_OK);
    CHECK_NEAR(epsilon, 1.32783806176, 5.1e-12, 0);
    CHECK_NEAR(order, 32, 0, 0);
    CHECK_STATUS(witan_accountant_delta(&accountant, epsilon, &delta, &order),
                 WITAN_OK);
    CHECK_NEAR(delta, 1e-5, 0, 1e-9);
    CHECK_NEAR(order, 32, 0, 0);
    /* Small Renyi divergence: delta^2 > 1 - e^-R means epsilon 0. */
    CHECK_STATUS(witan_accountant_epsilon(&accountant, 0.9, &epsilon, NULL), WITAN_OK);
    CHECK_NEAR(epsilon, 0, 0, 0);
    CHECK_STATUS(witan_accountant_init_orders(&accountant, orders, 0), WITAN_E_INVALID);
    orders[4] = 0.9;
    CHECK_STATUS(witan_accountant_init_orders(&accountant, orders, 31),
                 WITAN_E_INVALID);
    /* Order infinity alone: a pure epsilon comes back as it is. */
    orders[0] = HUGE_VAL;
    CHECK_STATUS(witan_accountant_init_orders(&accountant, orders, 1), WITAN_OK);
    m = (witan_mechanism){.kind = WITAN_MECHANISM_PURE, .epsilon = 0.75};
    CHECK_STATUS(witan_accountant_add(&accountant, &m, 2, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(&accountant, 1e-5, &epsilon, NULL), WITAN_OK);
    CHECK_NEAR(epsilon, 1.5, 0, 1e-15);
    CHECK_STATUS(witan_accountant_delta(&accountant, 1.5, &delta, NULL), WITAN_OK);
    CHECK_NEAR(delta, 0, 0, 0);
}

static void
training(void)
{
    witan_accountant a;
    witan_accountant_init(&a);
    /* Orders of Opacus: 1.1 .. 10.9, 12 .. 63. */
    double orders[WITAN_ORDERS_MAX];
    size_t count = 0;
    for (int i = 11; i < 110; i++) {
        orders[count++] = i / 10.0;
    }
    for (int i = 12; i < 64; i++) {
        orders[count++] = i;
    }
    CHECK_STATUS(witan_accountant_init_orders(&a, orders, count), WITAN_OK);
    CHECK_NEAR(sampled_epsilon(.04, 1.5, 2250, 1e-5, true, &a), 7.32911117, 5.1e-9, 0);
    /* GDP of the same training by the central limit theorem. */
    double mu = .04 * sqrt(2250.0 * expm1(1.0 / (1.5 * 1.5))), epsilon;
    CHECK_STATUS(witan_gaussian_epsilon(&epsilon, 1.0 / mu, 1e-5), WITAN_OK);
    CHECK_NEAR(epsilon, 6.6015671, 5.1e-8, 0); /* published: between 6.59 and 6.6 */
    double multiplier;
    CHECK_STATUS(witan_noise_multiplier_find(&multiplier, 8, 1e-5, .04, 2250, NULL),
                 WITAN_OK);
    CHECK_NEAR(multiplier, 1.416, 2e-3, 0); /* published: to 0.01 in epsilon */
    witan_accountant_init(&a);
    CHECK_NEAR(sampled_epsilon(.04, multiplier, 2250, 1e-5, false, &a), 8, 1e-6, 0);
    /* The tutorial with 60000 records, 256 a batch, 60 epochs. */
    witan_accountant_init(&a);
    uint64_t steps = 60 * 60000 / 256;
    double improved = sampled_epsilon(256.0 / 60000, 1.1, steps, 1e-5, false, &a);
    CHECK_NEAR(improved, 2.597, 5.1e-4, 0);
    double old = HUGE_VAL;
    for (size_t i = 0; i < a.count; i++) {
        old = fmin(old, a.rdp[i] - log(1e-5) / (a.orders[i] - 1));
    }
    CHECK_NEAR(old, 3.01, 5.1e-3, 0);
}

static void
voting(void)
{
    witan_accountant accountant;
    witan_mechanism m = {.kind = WITAN_MECHANISM_GNMAX, .noise_multiplier = 40};
    double epsilon;
    witan_accountant_init(&accountant);
    CHECK_STATUS(witan_accountant_add(&accountant, &m, 1000, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(&accountant, 1e-5, &epsilon, NULL), WITAN_OK);
    CHECK_NEAR(epsilon, 5.3777, 5.1e-5, 0);
    m.noise_multiplier = 100;
    witan_accountant_init(&accountant);
    CHECK_STATUS(witan_accountant_add(&accountant, &m, 1000, NULL), WITAN_OK);
    CHECK_STATUS(witan_accountant_epsilon(&accountant, 1e-5, &epsilon, NULL), WITAN_OK);
    CHECK_NEAR(epsilon, 1.9142, 5.1e-5, 0);
    /* Agreeing teachers cost less. */
    double dependent;
    witan_accountant_init(&accountant);
    for (int i = 0; i < 1000; i++) {
        CHECK_STATUS(witan_accountant_add_gnmax(&accountant, -20, 100), WITAN_OK);
    }
    CHECK_STATUS(witan_accountant_epsilon(&accountant, 1e-5, &dependent, NULL),
                 WITAN_OK);
    CHECK(dependent < 0.8 * epsilon);
    CHECK_STATUS(witan_accountant_add_gnmax(&accountant, 1, 100), WITAN_E_INVALID);
}

/* Sum of answers, in any order and any grouping; more noise, fewer answers or a larger
 * delta never cost more; every kind honours its count. */
static void
properties(void)
{
    const witan_mechanism kinds[] = {
        {.kind = WITAN_MECHANISM_GAUSSIAN, .noise_multiplier = 4},
        {.kind = WITAN_MECHANISM_LAPLACE, .noise_multiplier = 9},
        {.kind = WITAN_MECHANISM_PURE, .epsilon = .05},
        {.kind = WITAN_MECHANISM_EXPONENTIAL, .epsilon = .1},
        {.kind = WITAN_MECHANISM_RESPONSE, .classes = 10, .response = .95},
        {.kind = WITAN_MECHANISM_SAMPLED, .classes = 10, .clip = 1, .temperature = 30},
        {.kind = WITAN_MECHANISM_SUBSAMPLED,
         .noise_multiplier = 1,
         .sampling_rate = .01},
    };
    const size_t n = sizeof kinds / sizeof *kinds;
    witan_accountant forth, back;
    witan_accountant_init(&forth);
    witan_accountant_init(&back);
    CHECK(forth.count == 156 && forth.orders[0] == 1.1 && forth.orders[155] == 1024);
    for (size_t i = 0; i < n; i++) {
        witan_accountant one, many;
        witan_accountant_init(&one);
        witan_accountant_init(&many);
        CHECK_STATUS(witan_accountant_add(&forth, &kinds[i], 3, NULL), WITAN_OK);
        for (int times = 0; times < 3; times++) {
            CHECK_STATUS(witan_accountant_add(&back, &kinds[n - 1 - i], 1, NULL),
                         WITAN_OK);
        }
        CHECK_STATUS(witan_accountant_add(&one, &kinds[i], 1, NULL), WITAN_OK);
        CHECK_STATUS(witan_accountant_add(&many, &kinds[i], 40, NULL), WITAN_OK);
        for (size_t o = 0; o < one.count; o++) {
            CHECK_NEAR(many.rdp[o], 40 * one.rdp[o], 0, 1e-12);
        }
    }
    for (size_t o = 0; o < forth.count; o++) {
        CHECK_NEAR(forth.rdp[o], back.rdp[o], 0, 1e-12);
    }
    double last = HUGE_VAL;
    for (double s = 0.3; s < 40; s *= 1.3) {
        double epsilon = gaussian_rdp(s, 7, 1e-5, NULL);
        CHECK(epsilon < last && epsilon < gaussian_rdp(s, 8, 1e-5, NULL));
        CHECK(gaussian_rdp(s, 7, 1e-6, NULL) > epsilon);
        /* Rough conversions bound the fine one. */
        double exact, delta, loose;
        CHECK_STATUS(witan_gaussian_epsilon(&exact, s / sqrt(7.0), 1e-5), WITAN_OK);
        CHECK_STATUS(witan_zcdp_epsilon(&loose, 3.5 / (s * s), 1e-5), WITAN_OK);
        CHECK(exact <= epsilon && epsilon <= loose * (1 + 1e-3));
        CHECK_STATUS(witan_gaussian_delta(&delta, s, 0), WITAN_OK);
        CHECK_NEAR(delta, erf(0.5 / s / sqrt(2.0)), 1e-12, 1e-9);
        last = epsilon;
    }
}

static void
refusals(void)
{
    witan_accountant a;
    witan_accountant_init(&a);
    double value, order;
    witan_diag diag = {0};
    witan_mechanism heuristic = {.kind = WITAN_MECHANISM_HEURISTIC};
    CHECK_STATUS(witan_accountant_add(&a, &heuristic, 1, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "exposure");
    CHECK_NEAR(a.rdp[0], 0, 0, 0);
    static const double bad[] = {0, 1, -1, (double)NAN, 2};
    for (size_t i = 0; i < 5; i++) {
        CHECK_STATUS(witan_accountant_epsilon(&a, bad[i], &value, &order),
                     WITAN_E_INVALID);
        CHECK_STATUS(witan_zcdp_epsilon(&value, 1, bad[i]), WITAN_E_INVALID);
        CHECK_STATUS(witan_gaussian_epsilon(&value, 1, bad[i]), WITAN_E_INVALID);
        CHECK_STATUS(witan_gaussian_multiplier(&value, 1, bad[i]), WITAN_E_INVALID);
        CHECK(isnan(value));
    }
    CHECK_STATUS(witan_accountant_delta(&a, (double)NAN, &value, NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_gaussian_delta(&value, 0, 1), WITAN_E_INVALID);
    CHECK_STATUS(witan_gaussian_delta(&value, 1, HUGE_VAL), WITAN_E_INVALID);
    CHECK_STATUS(witan_noise_multiplier_find(&value, 1, 1e-5, 0, 10, NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_noise_multiplier_find(&value, (double)NAN, 1e-5, 1, 10, NULL),
                 WITAN_E_INVALID);
    diag = (witan_diag){0};
    CHECK_STATUS(witan_noise_multiplier_find(&value, 1e-9, 1e-300, 1, 1000000, &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "allow more or ask less");
}

int
main(void)
{
    RUN(analytic_gaussian);
    RUN(renyi_gaussian);
    RUN(constant_rdp);
    RUN(training);
    RUN(voting);
    RUN(properties);
    RUN(refusals);
    return witan_test_finish();
}
