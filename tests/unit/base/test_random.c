/* test_random.c - Philox known answers, the layout of a stream's key, and moments.
 * Statistical checks use a fixed seed and five standard errors: with another seed
 * (WITAN_SEED=) one check of a right generator fails with probability 6e-7, the
 * chi-square ones with 1e-6; all of them together below 1e-4. */
#include "base/random.h"

#include <math.h>
#include <string.h>

#include "support/witan_test.h"

enum {
    DRAWS = 200000
};
static const double ERRORS = 5.0; /* standard errors allowed */

static void
start(witan_random *self, uint32_t client)
{
    witan_random_init(self, witan_test_seed(20240601), client, 0, WITAN_PURPOSE_TEST);
}

/* Random123's kat_vectors, philox4x32 10. */
static void
philox_gives_the_published_answers(void)
{
    static const uint32_t vectors[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
         0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
         0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        witan_philox4x32(out, vectors[i], vectors[i] + 4);
        CHECK(memcmp(out, vectors[i] + 6, sizeof out) == 0);
    }
}

/* Part of the reproducibility contract: a published run depends on this layout. */
static void
a_stream_is_keyed_by_seed_purpose_client_round(void)
{
    witan_random stream;
    const uint32_t key[2] = {0x89abcdefu, 0x01234567u};
    uint32_t counter[4] = {0, WITAN_PURPOSE_TRAIN, 7, 9};
    uint32_t expected[4];
    witan_random_init(&stream, 0x0123456789abcdefu, 7, 9, WITAN_PURPOSE_TRAIN);
    for (uint32_t block = 0; block < 3; block++) {
        counter[0] = block;
        witan_philox4x32(expected, counter, key);
        for (size_t i = 0; i < 4; i++) {
            CHECK(witan_random_u32(&stream) == expected[i]);
        }
    }
}

static void
uniform_has_its_moments(void)
{
    witan_random stream;
    double sum = 0.0, square = 0.0;
    bool inside = true;
    start(&stream, 1);
    for (size_t i = 0; i < DRAWS; i++) {
        double u = witan_random_uniform(&stream);
        inside = inside && u >= 0.0 && u < 1.0;
        sum += u;
        square += (u - 0.5) * (u - 0.5);
    }
    CHECK(inside);
    CHECK_NEAR(sum / DRAWS, 0.5, ERRORS * sqrt(1.0 / 12.0 / DRAWS), 0.0);
    CHECK_NEAR(square / DRAWS, 1.0 / 12.0, ERRORS * sqrt(1.0 / 180.0 / DRAWS), 0.0);
}

static void
normal_has_its_moments(void)
{
    witan_random stream;
    double sum = 0.0, square = 0.0, fourth = 0.0, neighbours = 0.0, last = 0.0;
    start(&stream, 2);
    for (size_t i = 0; i < DRAWS; i++) {
        double x = witan_random_normal(&stream);
        sum += x;
        square += x * x;
        fourth += x * x * x * x;
        neighbours += x * last;
        last = x;
    }
    CHECK_NEAR(sum / DRAWS, 0.0, ERRORS * sqrt(1.0 / DRAWS), 0.0);
    CHECK_NEAR(square / DRAWS, 1.0, ERRORS * sqrt(2.0 / DRAWS), 0.0);
    CHECK_NEAR(fourth / DRAWS, 3.0, ERRORS * sqrt(96.0 / DRAWS), 0.0);
    /* The two outputs of one Box-Muller pair are neighbours. */
    CHECK_NEAR(neighbours / DRAWS, 0.0, ERRORS * sqrt(1.0 / DRAWS), 0.0);
}

static void
gamma_has_its_moments(void)
{
    static const double shapes[] = {0.3, 1.0, 2.5, 20.0};
    for (size_t s = 0; s < 4; s++) {
        witan_random stream;
        double k = shapes[s], sum = 0.0, square = 0.0;
        start(&stream, 10 + (uint32_t)s);
        for (size_t i = 0; i < DRAWS; i++) {
            double x = witan_random_gamma(&stream, k);
            sum += x;
            square += (x - k) * (x - k);
        }
        CHECK_NEAR(sum / DRAWS, k, ERRORS * sqrt(k / DRAWS), 0.0);
        /* Fourth central moment 3k^2 + 6k, less the squared variance k^2. */
        CHECK_NEAR(square / DRAWS, k, ERRORS * sqrt((2.0 * k * k + 6.0 * k) / DRAWS),
                   0.0);
    }
}

static void
dirichlet_has_its_moments(void)
{
    static const double alpha[3] = {0.5, 1.0, 2.5};
    const double total = 4.0;
    witan_random stream;
    double sum[3] = {0}, square[3] = {0}, worst = 0.0;
    const size_t draws = DRAWS / 4;
    start(&stream, 20);
    for (size_t i = 0; i < draws; i++) {
        double p[3];
        witan_random_dirichlet(&stream, p, alpha, 3);
        worst = fmax(worst, fabs(p[0] + p[1] + p[2] - 1.0));
        for (size_t c = 0; c < 3; c++) {
            double mean = alpha[c] / total;
            sum[c] += p[c];
            square[c] += (p[c] - mean) * (p[c] - mean);
        }
    }
    CHECK(worst < 1e-12);
    for (size_t c = 0; c < 3; c++) {
        double mean = alpha[c] / total;
        double variance = mean * (1.0 - mean) / (total + 1.0);
        CHECK_NEAR(sum[c] / (double)draws, mean,
                   ERRORS * sqrt(variance / (double)draws), 0.0);
        /* |p - mean| <= 1 bounds the fourth moment by the variance. */
        CHECK_NEAR(square[c] / (double)draws, variance,
                   ERRORS * sqrt(variance / (double)draws), 0.0);
    }
}

/* In linear space every draw would underflow to 0 / 0. */
static void
dirichlet_with_a_tiny_alpha_is_one_hot(void)
{
    double alpha[10], p[10];
    size_t ones[10] = {0}, distinct = 0;
    witan_random stream;
    start(&stream, 21);
    for (size_t c = 0; c < 10; c++) {
        alpha[c] = 1e-4;
    }
    for (size_t i = 0; i < 500; i++) {
        double sum = 0.0, largest = 0.0;
        size_t at = 0;
        bool finite = true;
        witan_random_dirichlet(&stream, p, alpha, 10);
        for (size_t c = 0; c < 10; c++) {
            finite = finite && isfinite(p[c]) && p[c] >= 0.0;
            sum += p[c];
            if (p[c] > largest) {
                largest = p[c];
                at = c;
            }
        }
        CHECK(finite);
        CHECK_NEAR(sum, 1.0, 1e-12, 0.0);
        ones[at] += largest > 0.99;
    }
    for (size_t c = 0; c < 10; c++) {
        distinct += ones[c] > 0;
    }
    CHECK(distinct == 10);
}

static double
chi_square(const size_t *counts, size_t cells, size_t draws)
{
    double expected = (double)draws / (double)cells, sum = 0.0;
    for (size_t i = 0; i < cells; i++) {
        double d = (double)counts[i] - expected;
        sum += d * d / expected;
    }
    return sum;
}

static void
below_is_unbiased(void)
{
    witan_random stream;
    size_t six[6] = {0}, three[3] = {0};
    const uint32_t wide = 3u << 30;
    start(&stream, 30);
    for (size_t i = 0; i < DRAWS; i++) {
        uint32_t small = witan_random_below(&stream, 6);
        uint32_t large = witan_random_below(&stream, wide);
        CHECK(small < 6 && large < wide);
        six[small % 6]++;
        /* Without rejection one value of three would come twice as often. */
        three[large % 3]++;
    }
    CHECK(chi_square(six, 6, DRAWS) < 35.9);   /* 5 degrees of freedom, 1e-6 */
    CHECK(chi_square(three, 3, DRAWS) < 27.6); /* 2 degrees of freedom, 1e-6 */
    CHECK(witan_random_below(&stream, 1) == 0);
}

static void
shuffle_is_a_uniform_permutation(void)
{
    witan_random stream;
    uint32_t items[1000];
    uint8_t seen[1000] = {0};
    size_t orders[24] = {0}, moved = 0;
    start(&stream, 40);
    for (uint32_t i = 0; i < 1000; i++) {
        items[i] = i;
    }
    witan_random_shuffle(&stream, items, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK(items[i] < 1000 && !seen[items[i]]);
        seen[items[i] % 1000] = 1;
        moved += items[i] != i;
    }
    CHECK(moved > 900);
    for (size_t i = 0; i < 48000; i++) {
        uint32_t four[4] = {0, 1, 2, 3};
        witan_random_shuffle(&stream, four, 4);
        size_t order = four[0] * 6;
        order += (four[1] - (four[1] > four[0])) * 2;
        order += four[2] > four[3];
        orders[order]++;
    }
    CHECK(chi_square(orders, 24, 48000) < 70.6); /* 23 degrees of freedom, 1e-6 */
    witan_random_shuffle(&stream, items, 0);
    witan_random_shuffle(&stream, items, 1);
}

static void
secure_bytes_differ(void)
{
    uint8_t a[32], b[32];
    witan_random_secure(a, sizeof a);
    witan_random_secure(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
}

int
main(void)
{
    RUN(philox_gives_the_published_answers);
    RUN(a_stream_is_keyed_by_seed_purpose_client_round);
    RUN(uniform_has_its_moments);
    RUN(normal_has_its_moments);
    RUN(gamma_has_its_moments);
    RUN(dirichlet_has_its_moments);
    RUN(dirichlet_with_a_tiny_alpha_is_one_hot);
    RUN(below_is_unbiased);
    RUN(shuffle_is_a_uniform_permutation);
    RUN(secure_bytes_differ);
    return witan_test_finish();
}
