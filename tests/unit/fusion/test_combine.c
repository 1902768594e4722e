/* Fused labels against NumPy in float64, and what combining promises about bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "council.h"
#include "fusion/knfu.h"

#define PROBABILITY WITAN_KNOWLEDGE_PROBABILITY
#define LOG_PROBABILITY WITAN_KNOWLEDGE_LOG_PROBABILITY
#define F32 WITAN_CODEC_F32
#define U16 WITAN_CODEC_U16

static const witan_fusion_config defaults = {.beta = 10.0, .include_self = true};

/* Soft labels [N, rows, C]: softmax of normal logits, or their logarithm. */
static float *
random_labels(uint64_t seed, size_t N, size_t rows, size_t C, witan_knowledge_kind kind)
{
    witan_random random;
    witan_random_init(&random, seed, 0, 0, WITAN_PURPOSE_TEST);
    float *values = malloc(N * rows * C * sizeof *values);
    for (size_t n = 0; n < N * rows; n++) {
        double sum = 0.0, z[64];
        for (size_t c = 0; c < C; c++) {
            z[c] = exp(2.0 * witan_random_normal(&random));
            sum += z[c];
        }
        for (size_t c = 0; c < C; c++) {
            double p = z[c] / sum;
            values[n * C + c] = (float)(kind == PROBABILITY ? p : log(p));
        }
    }
    return values;
}

static void
random_speakers(speakers *self, uint64_t seed, size_t N, size_t rows, size_t C,
                witan_knowledge_kind kind, witan_codec codec)
{
    float *values = random_labels(seed, N, rows, C, kind);
    speakers_init(self, values, N, rows, C, kind, codec);
    free(values);
}

static void
combine(witan_soft_labels *out, const double *W, const speakers *self,
        witan_combine how)
{
    CHECK_STATUS(
        witan_fusion_combine(out, W, &self->input, how, witan_allocator_default()),
        WITAN_OK);
    for (size_t n = 0; n < self->input.clients; n++) {
        CHECK(out[n].kind == PROBABILITY && out[n].codec == self->labels[0].codec);
        CHECK(out[n].rows == self->labels[0].rows);
        CHECK_STATUS(witan_soft_labels_check(&out[n], NULL), WITAN_OK);
    }
}

static void
fini_all(witan_soft_labels *out, size_t N)
{
    for (size_t n = 0; n < N; n++) {
        witan_soft_labels_fini(&out[n], witan_allocator_default());
    }
}

static bool
same_bytes(const witan_soft_labels *a, const witan_soft_labels *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static void
test_fused_labels_are_golden(void)
{
    witan_golden labels = witan_golden_load("fusion/labels");
    float *values = witan_golden_floats(&labels), fused[160];
    for (int how = WITAN_COMBINE_PROBABILITY; how <= WITAN_COMBINE_LOGIT; how++) {
        witan_golden expected = witan_golden_load(how == WITAN_COMBINE_PROBABILITY
                                                      ? "fusion/fused_probability"
                                                      : "fusion/fused_logit");
        for (witan_codec codec = F32; codec <= U16; codec++) {
            speakers council;
            double W[25];
            witan_soft_labels out[5];
            speakers_init(&council, values, 5, 40, 4, PROBABILITY, codec);
            CHECK_STATUS(witan_fusion_find("knfu")->weights(
                             W, &council.input, &defaults, witan_allocator_default()),
                         WITAN_OK);
            combine(out, W, &council, (witan_combine)how);
            for (size_t n = 0; n < 5; n++) {
                witan_soft_labels_decode(&out[n], 0, 40, fused);
                CHECK_GOLDEN(fused, expected.values + n * 160, 160,
                             codec == F32 ? 1e-6 : 2e-4, 0.0);
            }
            fini_all(out, 5);
            speakers_fini(&council);
        }
        witan_golden_free(&expected);
    }
    free(values);
    witan_golden_free(&labels);
}

/* Log-probabilities combine as the probabilities that they are the logarithms of. */
static void
test_log_probabilities_combine(void)
{
    enum {
        N = 4,
        ROWS = 30,
        C = 6
    };
    double W[N * N];
    float expected[ROWS * C], actual[ROWS * C];
    for (size_t i = 0; i < N * N; i++) {
        W[i] = i / N == i % N ? 0.4 : 0.2;
    }
    for (int how = WITAN_COMBINE_PROBABILITY; how <= WITAN_COMBINE_LOGIT; how++) {
        speakers plain, logs;
        witan_soft_labels of_plain[N], of_logs[N];
        random_speakers(&plain, 7, N, ROWS, C, PROBABILITY, F32);
        random_speakers(&logs, 7, N, ROWS, C, LOG_PROBABILITY, F32);
        combine(of_plain, W, &plain, (witan_combine)how);
        combine(of_logs, W, &logs, (witan_combine)how);
        for (size_t n = 0; n < N; n++) {
            witan_soft_labels_decode(&of_plain[n], 0, ROWS, expected);
            witan_soft_labels_decode(&of_logs[n], 0, ROWS, actual);
            CHECK_FLOATS(actual, expected, ROWS * C, 1e-6, 0.0);
        }
        fini_all(of_plain, N);
        fini_all(of_logs, N);
        speakers_fini(&plain);
        speakers_fini(&logs);
    }
}

/* Top-k labels: cut, decoded, fused and cut again as NumPy does it; all estimators of
 * label distributions read them. */
static void
test_top_is_golden(void)
{
    enum {
        N = 4,
        ROWS = 20,
        C = 60,
        K = 6
    };
    witan_golden labels = witan_golden_load("fusion/top_labels");
    witan_golden W = witan_golden_load("fusion/top_weights");
    witan_golden expected = witan_golden_load("fusion/top_fused");
    witan_golden epds = witan_golden_load("fusion/top_epd");
    float *values = witan_golden_floats(&labels), fused[ROWS * C];
    speakers council;
    witan_soft_labels out[N];
    speakers_init(&council, values, N, ROWS, C, PROBABILITY, WITAN_CODEC_TOP(K));
    combine(out, W.values, &council, WITAN_COMBINE_PROBABILITY);
    for (size_t n = 0; n < N; n++) {
        witan_soft_labels_decode(&out[n], 0, ROWS, fused);
        CHECK_GOLDEN(fused, expected.values + n * ROWS * C, ROWS * C, 1.01 / 65535.0,
                     0.0);
    }
    for (int e = WITAN_EPD_MEAN; e <= WITAN_EPD_SHIFT; e++) {
        double epd[N * C];
        CHECK_STATUS(witan_epd_estimate(epd, council.pointers, N,
                                        (witan_epd_estimator)e,
                                        witan_allocator_default()),
                     WITAN_OK);
        for (size_t i = 0; i < N * C; i++) {
            CHECK_NEAR(epd[i], epds.values[(size_t)e * N * C + i], 1e-5, 0.0);
        }
    }
    fini_all(out, N);
    CHECK_STATUS(witan_fusion_combine(out, W.values, &council.input,
                                      WITAN_COMBINE_LOGIT, witan_allocator_default()),
                 WITAN_E_INVALID);
    CHECK(out[0].bytes == NULL && out[N - 1].bytes == NULL);
    speakers_fini(&council);
    free(values);
    witan_golden_free(&labels);
    witan_golden_free(&W);
    witan_golden_free(&expected);
    witan_golden_free(&epds);
}

/* A zero probability is floored at 1e-8 in logit fusion, and does not silence others.
 */
static void
test_logit_floor(void)
{
    const float values[4] = {1.0F, 0.0F, 0.5F, 0.5F};
    const double W[4] = {0.5, 0.5, 0.5, 0.5};
    speakers council;
    witan_soft_labels out[2];
    float fused[2];
    speakers_init(&council, values, 2, 1, 2, PROBABILITY, F32);
    combine(out, W, &council, WITAN_COMBINE_LOGIT);
    witan_soft_labels_decode(&out[0], 0, 1, fused);
    double odds = sqrt(1.0 / 1e-8);
    CHECK_NEAR((double)fused[1], 1.0 / (1.0 + odds), 0.0, 1e-5);
    fini_all(out, 2);
    speakers_fini(&council);
}

static void
test_beta_zero_gives_the_bits_of_mean(void)
{
    for (size_t N = 1; N <= 40; N += 13) {
        speakers council;
        double W[40 * 40], mean[40 * 40];
        witan_soft_labels by_knfu[40], by_mean[40];
        random_speakers(&council, N, N, 300, 10, PROBABILITY, U16);
        witan_fusion_config config = defaults;
        config.beta = 0.0;
        CHECK_STATUS(witan_fusion_find("knfu")->weights(W, &council.input, &config,
                                                        witan_allocator_default()),
                     WITAN_OK);
        CHECK_STATUS(witan_fusion_find("mean")->weights(mean, &council.input, &config,
                                                        witan_allocator_default()),
                     WITAN_OK);
        combine(by_knfu, W, &council, WITAN_COMBINE_PROBABILITY);
        combine(by_mean, mean, &council, WITAN_COMBINE_PROBABILITY);
        for (size_t n = 0; n < N; n++) {
            CHECK(same_bytes(&by_knfu[n], &by_mean[n]));
        }
        fini_all(by_knfu, N);
        fini_all(by_mean, N);
        speakers_fini(&council);
    }
}

/* One client alone, and everybody with beta = infinity, get their own labels back. */
static void
test_own_labels_come_back(void)
{
    static const witan_codec codecs[] = {F32, U16, WITAN_CODEC_TOP(3)};
    for (size_t N = 1; N <= 5; N += 4) {
        for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
            int last = witan_codec_top(codecs[c]) > 0 ? WITAN_COMBINE_PROBABILITY
                                                      : WITAN_COMBINE_LOGIT;
            for (int how = WITAN_COMBINE_PROBABILITY; how <= last; how++) {
                speakers council;
                double W[25];
                witan_soft_labels out[5];
                random_speakers(&council, 11, N, 70, 7, PROBABILITY, codecs[c]);
                witan_fusion_config config = defaults;
                config.beta = N == 1 ? 10.0 : HUGE_VAL;
                config.include_self = N > 1;
                CHECK_STATUS(witan_fusion_find("knfu")->weights(
                                 W, &council.input, &config, witan_allocator_default()),
                             WITAN_OK);
                combine(out, W, &council, (witan_combine)how);
                for (size_t n = 0; n < N; n++) {
                    CHECK(same_bytes(&out[n], &council.labels[n]));
                }
                fini_all(out, N);
                speakers_fini(&council);
            }
        }
    }
}

static void
test_own_log_probabilities_come_back(void)
{
    speakers council;
    const double W = 1.0;
    witan_soft_labels out;
    float own[350], back[350];
    random_speakers(&council, 12, 1, 50, 7, LOG_PROBABILITY, F32);
    combine(&out, &W, &council, WITAN_COMBINE_LOGIT);
    witan_soft_labels_probabilities(&council.labels[0], 0, 50, own);
    witan_soft_labels_decode(&out, 0, 50, back);
    CHECK(memcmp(own, back, sizeof own) == 0);
    fini_all(&out, 1);
    speakers_fini(&council);
}

/* More rows than a block and more recipients than a tile, against plain sums in double;
 * and the same call gives the same bytes. */
static void
test_blocks_and_tiles(void)
{
    enum {
        N = 140,
        ROWS = 2600,
        C = 3
    };
    static double W[N * N];
    static speakers council;
    static witan_soft_labels first[N], second[N];
    witan_random random;
    witan_random_init(&random, witan_test_seed(13), 0, 0, WITAN_PURPOSE_TEST);
    for (size_t n = 0; n < N; n++) {
        double sum = 0.0;
        for (size_t m = 0; m < N; m++) {
            sum += W[n * N + m] = witan_random_uniform(&random);
        }
        for (size_t m = 0; m < N; m++) {
            W[n * N + m] /= sum;
        }
    }
    memcpy(W + 135 * N, W + 3 * N, N * sizeof *W); /* twins, two tiles apart */
    random_speakers(&council, 14, N, ROWS, C, PROBABILITY, F32);
    combine(first, W, &council, WITAN_COMBINE_PROBABILITY);
    combine(second, W, &council, WITAN_COMBINE_PROBABILITY);
    CHECK(same_bytes(&first[3], &first[135]));
    for (size_t n = 0; n < N; n++) {
        CHECK(same_bytes(&first[n], &second[n]));
        for (size_t row = n % 7; row < ROWS; row += 97) {
            double expected[C] = {0.0};
            float p[C];
            for (size_t m = 0; m < N; m++) {
                witan_soft_labels_decode(&council.labels[m], row, 1, p);
                for (size_t c = 0; c < C; c++) {
                    expected[c] += W[n * N + m] * (double)p[c];
                }
            }
            witan_soft_labels_decode(&first[n], row, 1, p);
            CHECK_GOLDEN(p, expected, C, 1e-6, 0.0);
        }
    }
    fini_all(first, N);
    fini_all(second, N);
    speakers_fini(&council);
}

static void
test_permuting_clients_permutes_labels(void)
{
    enum {
        N = 6,
        ROWS = 50,
        C = 5
    };
    static const size_t order[N] = {3, 0, 5, 1, 4, 2};
    float *values = random_labels(15, N, ROWS, C, PROBABILITY);
    float *shuffled = malloc(N * ROWS * C * sizeof *shuffled);
    for (size_t n = 0; n < N; n++) {
        memcpy(shuffled + n * ROWS * C, values + order[n] * ROWS * C,
               ROWS * C * sizeof *values);
    }
    speakers plain, permuted;
    double W[N * N], P[N * N];
    witan_soft_labels of_plain[N], of_permuted[N];
    speakers_init(&plain, values, N, ROWS, C, PROBABILITY, F32);
    speakers_init(&permuted, shuffled, N, ROWS, C, PROBABILITY, F32);
    const witan_fusion_ops *knfu = witan_fusion_find("knfu");
    const witan_allocator *heap = witan_allocator_default();
    CHECK_STATUS(knfu->weights(W, &plain.input, &defaults, heap), WITAN_OK);
    CHECK_STATUS(knfu->weights(P, &permuted.input, &defaults, heap), WITAN_OK);
    combine(of_plain, W, &plain, WITAN_COMBINE_PROBABILITY);
    combine(of_permuted, P, &permuted, WITAN_COMBINE_PROBABILITY);
    float expected[ROWS * C], actual[ROWS * C];
    for (size_t n = 0; n < N; n++) {
        witan_soft_labels_decode(&of_plain[order[n]], 0, ROWS, expected);
        witan_soft_labels_decode(&of_permuted[n], 0, ROWS, actual);
        CHECK_FLOATS(actual, expected, ROWS * C, 1e-6, 0.0);
    }
    fini_all(of_plain, N);
    fini_all(of_permuted, N);
    speakers_fini(&plain);
    speakers_fini(&permuted);
    free(values);
    free(shuffled);
}

static void
test_combine_refuses(void)
{
    const double W[4] = {0.5, 0.5, 0.25, 0.75};
    const witan_allocator *heap = witan_allocator_default();
    speakers council;
    witan_soft_labels out[2];
    random_speakers(&council, 16, 2, 8, 3, PROBABILITY, F32);
    council.labels[1].rows = 7;
    CHECK_STATUS(
        witan_fusion_combine(out, W, &council.input, WITAN_COMBINE_LOGIT, heap),
        WITAN_E_INVALID);
    council.labels[1].rows = 8;
    council.labels[1].codec = U16;
    CHECK_STATUS(
        witan_fusion_combine(out, W, &council.input, WITAN_COMBINE_LOGIT, heap),
        WITAN_E_INVALID);
    CHECK(out[0].bytes == NULL && out[1].bytes == NULL);
    council.labels[1].codec = F32;
    const float bad = NAN;
    memcpy(council.labels[1].bytes + 80, &bad, sizeof bad);
    for (int how = WITAN_COMBINE_PROBABILITY; how <= WITAN_COMBINE_LOGIT; how++) {
        CHECK_STATUS(
            witan_fusion_combine(out, W, &council.input, (witan_combine)how, heap),
            WITAN_E_NUMERIC);
        CHECK(out[0].bytes == NULL && out[1].bytes == NULL);
    }
    speakers_fini(&council);
}

static void
test_combine_out_of_memory(void)
{
    const double W[9] = {0.5, 0.25, 0.25, 1.0, 0.0, 0.0, 0.5, 0.25, 0.25};
    speakers council;
    witan_soft_labels out[3];
    random_speakers(&council, 17, 3, 8, 3, LOG_PROBABILITY, U16);
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status = witan_fusion_combine(
            out, W, &council.input, WITAN_COMBINE_PROBABILITY, &failing.allocator);
        if (failing.allocations < fail_at) {
            CHECK_STATUS(status, WITAN_OK);
            for (size_t n = 0; n < 3; n++) {
                witan_soft_labels_fini(&out[n], &failing.allocator);
            }
            CHECK(failing.live == 0);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(failing.live == 0 && out[0].bytes == NULL && out[2].bytes == NULL);
    }
    speakers_fini(&council);
}

int
main(void)
{
    RUN(test_fused_labels_are_golden);
    RUN(test_log_probabilities_combine);
    RUN(test_top_is_golden);
    RUN(test_logit_floor);
    RUN(test_beta_zero_gives_the_bits_of_mean);
    RUN(test_own_labels_come_back);
    RUN(test_own_log_probabilities_come_back);
    RUN(test_blocks_and_tiles);
    RUN(test_permuting_clients_permutes_labels);
    RUN(test_combine_refuses);
    RUN(test_combine_out_of_memory);
    return witan_test_finish();
}
