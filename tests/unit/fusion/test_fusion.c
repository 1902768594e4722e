/* Divergences and weights against NumPy in float64, and the limit cases of KnFu. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "council.h"
#include "fusion/knfu.h"

static const witan_fusion_config defaults = {.beta = 10.0, .include_self = true};

static void
weights_of(double *W, const double *epd, size_t N, size_t C,
           const witan_fusion_config *config)
{
    CHECK_STATUS(
        witan_knfu_weights_from_epd(W, epd, N, C, config, witan_allocator_default()),
        WITAN_OK);
}

static void
check_near_all(const double *actual, const double *expected, size_t count,
               double tolerance)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_NEAR(actual[i], expected[i], tolerance, 0.0);
    }
}

/* epd [N, C] of random clients, floored as the estimators do. */
static void
random_epd(witan_random *random, double *epd, size_t N, size_t C)
{
    double alpha[16];
    for (size_t c = 0; c < C; c++) {
        alpha[c] = 0.3;
    }
    for (size_t n = 0; n < N; n++, epd += C) {
        double sum = 0.0;
        witan_random_dirichlet(random, epd, alpha, C);
        for (size_t c = 0; c < C; c++) {
            epd[c] = fmax(epd[c], WITAN_EPD_FLOOR);
            sum += epd[c];
        }
        for (size_t c = 0; c < C; c++) {
            epd[c] /= sum;
        }
    }
}

static void
test_divergences_are_golden(void)
{
    witan_golden labels = witan_golden_load("fusion/labels");
    witan_golden expected = witan_golden_load("fusion/divergences");
    float *values = witan_golden_floats(&labels);
    speakers council;
    double epd[20];
    speakers_init(&council, values, 5, 40, 4, WITAN_KNOWLEDGE_PROBABILITY,
                  WITAN_CODEC_F32);
    CHECK_STATUS(witan_epd_estimate(epd, council.pointers, 5, WITAN_EPD_MEAN,
                                    witan_allocator_default()),
                 WITAN_OK);
    for (size_t i = 0; i < 125; i++) {
        double d = witan_divergence_of((witan_divergence)(i / 25), epd + i / 5 % 5 * 4,
                                       epd + i % 5 * 4, 4);
        /* The reference cancels at equality in hellinger: 1e-8. */
        CHECK_NEAR(d, expected.values[i], 3e-8, 0.0);
        CHECK(i / 5 % 5 != i % 5 || d <= 0.0);
    }
    free(values);
    speakers_fini(&council);
    witan_golden_free(&labels);
    witan_golden_free(&expected);
}

static void
test_divergence_bounds(void)
{
    const double p[2] = {1.0 - 1e-6, 1e-6}, q[2] = {1e-6, 1.0 - 1e-6};
    CHECK_NEAR(witan_divergence_of(WITAN_DIVERGENCE_JS, p, q, 2), log(2.0), 2e-5, 0.0);
    CHECK_NEAR(witan_divergence_of(WITAN_DIVERGENCE_KL, p, q, 2), log(1e6), 1e-4, 0.0);
    for (int d = WITAN_DIVERGENCE_COSINE; d <= WITAN_DIVERGENCE_HELLINGER; d++) {
        CHECK_NEAR(witan_divergence_of((witan_divergence)d, p, q, 2), 1.0, 2e-3, 0.0);
    }
}

static void
test_weights_are_golden(void)
{
    witan_golden labels = witan_golden_load("fusion/labels");
    witan_golden expected = witan_golden_load("fusion/weights");
    static const double betas[3] = {0.0, 1.0, 10.0};
    float *values = witan_golden_floats(&labels);
    speakers council;
    double W[25];
    const double *next = expected.values;
    speakers_init(&council, values, 5, 40, 4, WITAN_KNOWLEDGE_PROBABILITY,
                  WITAN_CODEC_F32);
    const witan_fusion_ops *knfu = witan_fusion_find("knfu");
    for (int e = WITAN_EPD_MEAN; e <= WITAN_EPD_SHIFT; e++) {
        for (int d = WITAN_DIVERGENCE_JS; d <= WITAN_DIVERGENCE_HELLINGER; d++) {
            for (size_t b = 0; b < 3; b++, next += 25) {
                witan_fusion_config config = defaults;
                config.beta = betas[b];
                config.epd = (witan_epd_estimator)e;
                config.divergence = (witan_divergence)d;
                CHECK_STATUS(knfu->weights(W, &council.input, &config,
                                           witan_allocator_default()),
                             WITAN_OK);
                /* shift may stop one iteration apart */
                check_near_all(W, next, 25, e == WITAN_EPD_SHIFT ? 3e-5 : 1e-7);
            }
        }
    }
    CHECK(next == expected.values + expected.count);
    free(values);
    speakers_fini(&council);
    witan_golden_free(&labels);
    witan_golden_free(&expected);
}

static void
test_options_are_golden(void)
{
    witan_golden labels = witan_golden_load("fusion/labels");
    witan_golden expected = witan_golden_load("fusion/weights_options");
    float *values = witan_golden_floats(&labels);
    speakers council;
    double W[25];
    speakers_init(&council, values, 5, 40, 4, WITAN_KNOWLEDGE_PROBABILITY,
                  WITAN_CODEC_F32);
    const witan_fusion_config configs[4] = {
        {.beta = 10.0, .include_self = false},
        {.beta = 10.0, .include_self = true, .neighbours = 2},
        {.beta = 10.0, .include_self = true, .minimum_weight = 0.2},
        {.beta = 10.0, .include_self = false, .neighbours = 3, .minimum_weight = 0.3},
    };
    for (size_t i = 0; i < 4; i++) {
        CHECK_STATUS(witan_fusion_find("knfu")->weights(W, &council.input, &configs[i],
                                                        witan_allocator_default()),
                     WITAN_OK);
        check_near_all(W, expected.values + i * 25, 25, 1e-9);
    }
    free(values);
    speakers_fini(&council);
    witan_golden_free(&labels);
    witan_golden_free(&expected);
}

/* Three distributions whose weights were computed elsewhere, to six digits. */
static void
test_published_vector(void)
{
    const double epd[9] = {.6, .3, .1, .5, .35, .15, .1, .2, .7};
    const double one[3] = {.426483, .416952, .156565};
    const double ten[3] = {.556250, .443725, .000025};
    double W[9];
    witan_fusion_config config = defaults;
    config.divergence = WITAN_DIVERGENCE_KL;
    config.beta = 1.0;
    weights_of(W, epd, 3, 3, &config);
    check_near_all(W, one, 3, 6e-7);
    config.beta = 10.0;
    weights_of(W, epd, 3, 3, &config);
    check_near_all(W, ten, 3, 6e-7);
}

static void
test_beta_zero_is_mean(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(2), 0, 0, WITAN_PURPOSE_TEST);
    double epd[49 * 10], W[49 * 49], mean[49 * 49];
    for (size_t N = 1; N <= 49; N += 6) {
        random_epd(&random, epd, N, 10);
        witan_fusion_input input = {.clients = N};
        CHECK_STATUS(witan_fusion_find("mean")->weights(mean, &input, &defaults,
                                                        witan_allocator_default()),
                     WITAN_OK);
        for (int d = WITAN_DIVERGENCE_JS; d <= WITAN_DIVERGENCE_HELLINGER; d++) {
            witan_fusion_config config = defaults;
            config.beta = 0.0;
            config.divergence = (witan_divergence)d;
            weights_of(W, epd, N, 10, &config);
            CHECK(memcmp(W, mean, N * N * sizeof *W) == 0);
        }
    }
}

static void
test_beta_infinite_hears_the_nearest(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(3), 0, 0, WITAN_PURPOSE_TEST);
    double epd[8 * 4], W[64];
    random_epd(&random, epd, 8, 4);
    memcpy(epd + 5 * 4, epd + 2 * 4, 4 * sizeof *epd); /* 2 and 5 are twins */
    for (int d = WITAN_DIVERGENCE_JS; d <= WITAN_DIVERGENCE_HELLINGER; d++) {
        witan_fusion_config config = defaults;
        config.beta = HUGE_VAL;
        config.divergence = (witan_divergence)d;
        weights_of(W, epd, 8, 4, &config);
        for (size_t n = 0; n < 8; n++) {
            for (size_t m = 0; m < 8; m++) {
                bool twins = (n == 2 || n == 5) && (m == 2 || m == 5);
                CHECK_NEAR(W[n * 8 + m], twins ? 0.5 : (double)(n == m), 0.0, 0.0);
            }
        }
        config.beta = 1e300; /* beta * d overflows, W does not */
        double large[64];
        weights_of(large, epd, 8, 4, &config);
        CHECK(memcmp(W, large, sizeof W) == 0);
        config.beta = HUGE_VAL;
        config.include_self = false;
        weights_of(W, epd, 8, 4, &config);
        CHECK_NEAR(W[2 * 8 + 5], 1.0, 0.0, 0.0);
        CHECK_NEAR(W[5 * 8 + 2], 1.0, 0.0, 0.0);
    }
}

/* Every option on random clients: rows sum to 1, nothing is negative, limits are kept.
 */
static void
test_rows_sum_to_one(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(4), 0, 0, WITAN_PURPOSE_TEST);
    double epd[20 * 16], W[400];
    for (int trial = 0; trial < 400; trial++) {
        size_t N = 1 + witan_random_below(&random, 20);
        size_t C = 1 + witan_random_below(&random, 16);
        random_epd(&random, epd, N, C);
        witan_fusion_config config = {
            .beta = trial % 7 == 0 ? HUGE_VAL : 40.0 * witan_random_uniform(&random),
            .divergence = (witan_divergence)witan_random_below(&random, 5),
            .neighbours = witan_random_below(&random, 6),
            .minimum_weight =
                trial % 3 == 0 ? 0.0 : 0.999 * witan_random_uniform(&random),
            .include_self = trial % 2 == 0,
        };
        weights_of(W, epd, N, C, &config);
        for (size_t n = 0; n < N; n++) {
            double sum = 0.0;
            size_t heard = 0;
            for (size_t m = 0; m < N; m++) {
                CHECK(W[n * N + m] >= 0.0);
                sum += W[n * N + m];
                heard += W[n * N + m] > 0.0;
            }
            CHECK_NEAR(sum, 1.0, 1e-12, 0.0);
            CHECK(config.neighbours == 0 || heard <= config.neighbours);
            CHECK(config.include_self || N == 1 || W[n * N + n] <= 0.0);
        }
    }
}

static void
test_neighbour_ties_go_to_the_lower_client(void)
{
    const double epd[8] = {.5, .5, .5, .5, .5, .5, .5, .5};
    double W[16];
    witan_fusion_config config = defaults;
    config.neighbours = 2;
    weights_of(W, epd, 4, 2, &config);
    for (size_t n = 0; n < 4; n++) {
        CHECK_NEAR(W[n * 4], 0.5, 0.0, 0.0);
        CHECK_NEAR(W[n * 4 + 1], 0.5, 0.0, 0.0);
        CHECK_NEAR(W[n * 4 + 2] + W[n * 4 + 3], 0.0, 0.0, 0.0);
    }
    /* A threshold above everything leaves the largest. */
    config.neighbours = 0;
    config.minimum_weight = 0.9;
    weights_of(W, epd, 4, 2, &config);
    CHECK_NEAR(W[4 + 0], 1.0, 0.0, 0.0);
}

static void
test_permuting_clients_permutes_weights(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(5), 0, 0, WITAN_PURPOSE_TEST);
    double epd[60], shuffled[60], W[36], P[36];
    static const size_t order[6] = {3, 0, 5, 1, 4, 2};
    random_epd(&random, epd, 6, 10);
    for (size_t n = 0; n < 6; n++) {
        memcpy(shuffled + n * 10, epd + order[n] * 10, 10 * sizeof *epd);
    }
    for (int d = WITAN_DIVERGENCE_JS; d <= WITAN_DIVERGENCE_HELLINGER; d++) {
        witan_fusion_config config = defaults;
        config.divergence = (witan_divergence)d;
        config.neighbours = 3;
        weights_of(W, epd, 6, 10, &config);
        weights_of(P, shuffled, 6, 10, &config);
        for (size_t i = 0; i < 36; i++) {
            CHECK_NEAR(P[i], W[order[i / 6] * 6 + order[i % 6]], 1e-12, 0.0);
        }
    }
}

static void
test_knfu_refuses(void)
{
    const double epd[4] = {.5, .5, .3, .7};
    double W[4];
    witan_fusion_config config = defaults;
    const witan_allocator *heap = witan_allocator_default();
    config.beta = nan("");
    CHECK_STATUS(witan_knfu_weights_from_epd(W, epd, 2, 2, &config, heap),
                 WITAN_E_INVALID);
    config.beta = -1.0;
    CHECK_STATUS(witan_knfu_weights_from_epd(W, epd, 2, 2, &config, heap),
                 WITAN_E_INVALID);
    config.beta = 10.0;
    config.minimum_weight = 1.0;
    CHECK_STATUS(witan_knfu_weights_from_epd(W, epd, 2, 2, &config, heap),
                 WITAN_E_INVALID);
    config.minimum_weight = nan("");
    CHECK_STATUS(witan_knfu_weights_from_epd(W, epd, 2, 2, &config, heap),
                 WITAN_E_INVALID);
}

static void
test_weights_out_of_memory(void)
{
    witan_golden labels = witan_golden_load("fusion/labels");
    float *values = witan_golden_floats(&labels);
    speakers council;
    double W[25];
    speakers_init(&council, values, 5, 40, 4, WITAN_KNOWLEDGE_PROBABILITY,
                  WITAN_CODEC_U16);
    for (int e = WITAN_EPD_MEAN; e <= WITAN_EPD_SHIFT; e++) {
        witan_fusion_config config = defaults;
        config.epd = (witan_epd_estimator)e;
        for (size_t fail_at = 1;; fail_at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, fail_at);
            witan_status status = witan_fusion_find("knfu")->weights(
                W, &council.input, &config, &failing.allocator);
            CHECK(failing.live == 0);
            if (failing.allocations < fail_at) {
                CHECK_STATUS(status, WITAN_OK);
                break;
            }
            CHECK_STATUS(status, WITAN_E_MEMORY);
        }
    }
    free(values);
    speakers_fini(&council);
    witan_golden_free(&labels);
}

static void
test_fedavg_weights_and_average(void)
{
    const size_t samples[3] = {10, 30, 60}, none[3] = {0, 0, 0};
    witan_fusion_input input = {.clients = 3, .samples = samples};
    const witan_fusion_ops *fedavg = witan_fusion_find("fedavg");
    const witan_allocator *heap = witan_allocator_default();
    double W[9];
    CHECK_STATUS(fedavg->weights(W, &input, &defaults, heap), WITAN_OK);
    for (size_t n = 0; n < 3; n++) {
        CHECK_NEAR(W[n * 3], 0.1, 1e-15, 0.0);
        CHECK_NEAR(W[n * 3 + 1], 0.3, 1e-15, 0.0);
        CHECK_NEAR(W[n * 3 + 2], 0.6, 1e-15, 0.0);
    }
    /* More values than one block, from sources of known sum. */
    enum {
        COUNT = 2500
    };
    float *values = malloc(4 * COUNT * sizeof *values), *out = values + 3 * COUNT;
    for (size_t i = 0; i < 3 * (size_t)COUNT; i++) {
        values[i] = (float)(i % COUNT) * 0.25F + (float)(i / COUNT);
    }
    const float *in[3] = {values, values + COUNT, values + 2 * COUNT};
    witan_fusion_average(out, W, in, 3, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_NEAR((double)out[i], (double)i * 0.25 + 0.3 + 1.2, 0.0, 1e-7);
    }
    free(values);
    input.samples = none;
    CHECK_STATUS(fedavg->weights(W, &input, &defaults, heap), WITAN_OK);
    CHECK_NEAR(W[0], 1.0 / 3.0, 0.0, 0.0);
    input.samples = NULL;
    CHECK_STATUS(fedavg->weights(W, &input, &defaults, heap), WITAN_E_INVALID);
}

static void
test_table(void)
{
    static const struct {
        const char *key;
        witan_exchange exchange;
        bool pools, weighs;
    } expected[] = {
        {"local", WITAN_EXCHANGE_NONE, false, false},
        {"mean", WITAN_EXCHANGE_KNOWLEDGE, false, true},
        {"knfu", WITAN_EXCHANGE_KNOWLEDGE, false, true},
        {"fedavg", WITAN_EXCHANGE_PARAMETERS, false, true},
        {"centralised", WITAN_EXCHANGE_NONE, true, false},
    };
    const witan_fusion_ops *const *table = witan_fusion_strategies();
    for (size_t i = 0; i < 5; i++) {
        CHECK_STRING(table[i]->key, expected[i].key);
        CHECK(table[i]->exchange == expected[i].exchange);
        CHECK(table[i]->pools_data == expected[i].pools);
        CHECK((table[i]->weights != NULL) == expected[i].weighs);
        CHECK(table[i]->summary[0] != '\0');
        CHECK(witan_fusion_find(expected[i].key) == table[i]);
    }
    CHECK(table[5] == NULL);
    CHECK(witan_fusion_find("fedmd") == NULL);
}

int
main(void)
{
    RUN(test_divergences_are_golden);
    RUN(test_divergence_bounds);
    RUN(test_weights_are_golden);
    RUN(test_options_are_golden);
    RUN(test_published_vector);
    RUN(test_beta_zero_is_mean);
    RUN(test_beta_infinite_hears_the_nearest);
    RUN(test_rows_sum_to_one);
    RUN(test_neighbour_ties_go_to_the_lower_client);
    RUN(test_permuting_clients_permutes_weights);
    RUN(test_knfu_refuses);
    RUN(test_weights_out_of_memory);
    RUN(test_fedavg_weights_and_average);
    RUN(test_table);
    return witan_test_finish();
}
