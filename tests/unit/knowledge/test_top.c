/* The top-k codec: golden bytes, bounds, canonical order, round trips, and what check()
 * says about pairs that no encoder writes. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "knowledge/soft_labels.h"
#include "support/witan_test.h"

#define PROBABILITY WITAN_KNOWLEDGE_PROBABILITY
#define LOG_PROBABILITY WITAN_KNOWLEDGE_LOG_PROBABILITY

static witan_soft_labels
labels_new(witan_codec codec, size_t rows, size_t classes)
{
    witan_soft_labels labels;
    CHECK_STATUS(witan_soft_labels_new(&labels, witan_allocator_default(), PROBABILITY,
                                       codec, rows, classes),
                 WITAN_OK);
    return labels;
}

static void
labels_free(witan_soft_labels *labels)
{
    witan_soft_labels_fini(labels, witan_allocator_default());
}

static unsigned
load(const witan_soft_labels *labels, size_t i)
{
    return labels->bytes[2 * i] | (unsigned)labels->bytes[2 * i + 1] << 8;
}

static void
store(witan_soft_labels *labels, size_t i, unsigned value)
{
    labels->bytes[2 * i] = (uint8_t)value;
    labels->bytes[2 * i + 1] = (uint8_t)(value >> 8);
}

/* Rows of the simplex, from nearly uniform to nearly one-hot, values often repeated. */
static void
random_rows(witan_random *random, float *p, size_t rows, size_t C)
{
    for (size_t n = 0; n < rows; n++, p += C) {
        double sharpness = 6.0 * witan_random_uniform(random), sum = 0.0;
        bool repeated = witan_random_below(random, 2) == 0;
        for (size_t c = 0; c < C; c++) {
            double z = witan_random_normal(random);
            p[c] = (float)exp(sharpness * (repeated ? floor(2.0 * z) / 2.0 : z));
            sum += (double)p[c];
        }
        for (size_t c = 0; c < C; c++) {
            p[c] = (float)((double)p[c] / sum);
        }
    }
}

static void
test_numbers(void)
{
    CHECK(witan_codec_top(WITAN_CODEC_F32) == 0);
    CHECK(witan_codec_top(WITAN_CODEC_U16) == 0);
    CHECK(witan_codec_top(WITAN_CODEC_TOP(32)) == 32);
    CHECK(witan_codec_top(WITAN_CODEC_TOP(WITAN_TOP_MAX)) == WITAN_TOP_MAX);
    CHECK(WITAN_CODEC_TOP(32) == 0x2002);
    CHECK(witan_codec_is_valid(0) && witan_codec_is_valid(1));
    CHECK(witan_codec_is_valid(WITAN_CODEC_TOP(1)));
    CHECK(witan_codec_is_valid(WITAN_CODEC_TOP(WITAN_TOP_MAX)));
    static const uint32_t bad[] = {2,          3,
                                   0x100,      0x101,
                                   0x103,      0x100002u | 0x200u,
                                   0x1000102u, 0x80000102u,
                                   UINT32_MAX, WITAN_CODEC_TOP(WITAN_TOP_MAX + 1)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!witan_codec_is_valid(bad[i]));
        CHECK(witan_soft_labels_size(bad[i], 10, 10000) == 0);
    }
}

static void
test_sizes(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_soft_labels labels;
    CHECK(witan_soft_labels_size(WITAN_CODEC_TOP(32), 1000, 5000) == 128000);
    CHECK(witan_soft_labels_size(WITAN_CODEC_TOP(32), 1000, 32) == 128000);
    CHECK(witan_soft_labels_size(WITAN_CODEC_TOP(32), 1000, 31) == 0);
    CHECK(witan_soft_labels_size(WITAN_CODEC_TOP(2), SIZE_MAX / 4, 31) == 0);
    CHECK_STATUS(
        witan_soft_labels_new(&labels, heap, PROBABILITY, WITAN_CODEC_TOP(4), 2, 3),
        WITAN_E_INVALID);
    CHECK_STATUS(
        witan_soft_labels_new(&labels, heap, LOG_PROBABILITY, WITAN_CODEC_TOP(2), 2, 3),
        WITAN_E_INVALID);
    CHECK_STATUS(witan_soft_labels_new(&labels, heap, PROBABILITY, 2, 2, 3),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_soft_labels_new(&labels, heap, PROBABILITY, WITAN_CODEC_TOP(2),
                                       2, WITAN_CLASSES_MAX + 1),
                 WITAN_E_LIMIT);
    CHECK(labels.bytes == NULL);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_soft_labels_new(&labels, &failing.allocator, PROBABILITY,
                                       WITAN_CODEC_TOP(2), 3, 3),
                 WITAN_E_MEMORY);
    CHECK(labels.bytes == NULL && failing.live == 0);
}

/* Classes and units against NumPy, the decoded rows too. */
static void
test_pairs_are_golden(void)
{
    static const size_t shapes[][2] = {{10, 3}, {40, 40}, {500, 32}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t C = shapes[s][0], k = shapes[s][1];
        char name[64];
        (void)snprintf(name, sizeof name, "knowledge/top_%zu_p", C);
        witan_golden p = witan_golden_load(name);
        (void)snprintf(name, sizeof name, "knowledge/top_%zu_pairs", C);
        witan_golden pairs = witan_golden_load(name);
        (void)snprintf(name, sizeof name, "knowledge/top_%zu_decoded", C);
        witan_golden decoded = witan_golden_load(name);
        CHECK(p.shape[1] == C && pairs.count == p.shape[0] * k * 2);
        float *values = witan_golden_floats(&p);
        witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(k), p.shape[0], C);
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, labels.rows, values),
                     WITAN_OK);
        size_t wrong = 0;
        for (size_t i = 0; i < pairs.count; i++) {
            wrong += (double)load(&labels, i) != pairs.values[i];
        }
        CHECK(wrong == 0);
        witan_soft_labels_decode(&labels, 0, labels.rows, values);
        CHECK_GOLDEN(values, decoded.values, p.count, 1e-9, 1e-6);
        CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
        labels_free(&labels);
        free(values);
        witan_golden_free(&p);
        witan_golden_free(&pairs);
        witan_golden_free(&decoded);
    }
}

/* One encoded row against the row it came from; counts what is wrong. */
static size_t
wrong_in_row(const witan_soft_labels *labels, size_t row, const float *p,
             const float *back)
{
    size_t k = witan_codec_top(labels->codec), C = labels->classes, wrong = 0;
    uint8_t *kept = calloc(C, 1);
    double sum = 0.0, least = HUGE_VAL, rest = 0.0, masses = 0.0;
    for (size_t c = 0; c < C; c++) {
        sum += (double)p[c];
    }
    for (size_t i = 0; i < k; i++) {
        size_t class = load(labels, (row * k + i) * 2);
        unsigned units = load(labels, (row * k + i) * 2 + 1);
        wrong += class >= C || kept[class];
        kept[class] = 1;
        masses += units;
        least = fmin(least, (double)p[class]);
        wrong += !(fabs(units - 65535.0 * (double)p[class] / sum) < 1.001);
        wrong += !(fabs((double)back[class] * 65535.0 - units) < 0.01);
        if (i > 0) {
            unsigned before = load(labels, (row * k + i) * 2 - 1);
            size_t lower = load(labels, (row * k + i) * 2 - 2);
            wrong += units > before || (units == before && class < lower);
        }
    }
    for (size_t c = 0; c < C; c++) {
        wrong += !kept[c] && (double)p[c] > least;
        rest += kept[c] ? 0.0 : (double)p[c];
        double share = (65535.0 - masses) / 65535.0 / (double)(C - k);
        wrong += !kept[c] && !(fabs((double)back[c] - share) <= 1e-6 * share);
    }
    wrong += !(fabs((65535.0 - masses) - 65535.0 * rest / sum) < 1.001);
    free(kept);
    return wrong;
}

static void
round_trip(witan_random *random, size_t rows, size_t C, size_t k)
{
    float *p = malloc(rows * C * sizeof *p), *back = malloc(rows * C * sizeof *back);
    random_rows(random, p, rows, C);
    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(k), rows, C);
    witan_soft_labels again = labels_new(WITAN_CODEC_TOP(k), rows, C);
    size_t half = rows / 2, wrong = 0, unstable = 0;
    CHECK_STATUS(witan_soft_labels_encode(&labels, half, rows - half, p + half * C),
                 WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, half, p), WITAN_OK);
    witan_soft_labels_decode(&labels, 0, half, back);
    witan_soft_labels_decode(&labels, half, rows - half, back + half * C);
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&again, 0, rows, back), WITAN_OK);
    for (size_t n = 0; n < rows; n++) {
        wrong += wrong_in_row(&labels, n, p + n * C, back + n * C);
        /* Kept masses above the spread rest: the same bytes again. */
        unsigned units = load(&labels, ((n + 1) * k - 1) * 2 + 1);
        double rest = 65535.0;
        for (size_t i = 0; i < k; i++) {
            rest -= load(&labels, (n * k + i) * 2 + 1);
        }
        unstable +=
            (k == C || units > rest / (double)(C - k)) &&
            memcmp(labels.bytes + n * 4 * k, again.bytes + n * 4 * k, 4 * k) != 0;
    }
    CHECK(wrong == 0);
    CHECK(unstable == 0);
    labels_free(&labels);
    labels_free(&again);
    free(p);
    free(back);
}

static void
test_round_trips(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(21), 0, 0, WITAN_PURPOSE_TEST);
    static const size_t shapes[][2] = {{1, 1},   {2, 1},     {5, 2},     {16, 15},
                                       {17, 1},  {33, 32},   {64, 31},   {100, 100},
                                       {300, 7}, {1000, 31}, {1000, 32}, {5000, 200}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        round_trip(&random, 40, shapes[s][0], shapes[s][1]);
    }
    round_trip(&random, 2, WITAN_CLASSES_MAX, WITAN_TOP_MAX);
    round_trip(&random, 2, WITAN_TOP_MAX, WITAN_TOP_MAX);
}

/* With k = C the units are those of u16, only sorted. */
static void
test_all_classes_are_u16(void)
{
    enum {
        ROWS = 60
    };
    witan_random random;
    witan_random_init(&random, witan_test_seed(22), 0, 0, WITAN_PURPOSE_TEST);
    for (size_t C = 1; C <= 131; C += 10) {
        float p[ROWS * 131];
        random_rows(&random, p, ROWS, C);
        witan_soft_labels dense = labels_new(WITAN_CODEC_U16, ROWS, C);
        witan_soft_labels top = labels_new(WITAN_CODEC_TOP(C), ROWS, C);
        CHECK_STATUS(witan_soft_labels_encode(&dense, 0, ROWS, p), WITAN_OK);
        CHECK_STATUS(witan_soft_labels_encode(&top, 0, ROWS, p), WITAN_OK);
        size_t wrong = 0;
        for (size_t i = 0; i < ROWS * C; i++) {
            size_t class = load(&top, 2 * i);
            wrong += load(&top, 2 * i + 1) != load(&dense, i / C * C + class);
        }
        CHECK(wrong == 0);
        labels_free(&dense);
        labels_free(&top);
    }
}

static void
expect_pairs(const float *p, size_t C, size_t k, const unsigned *pairs)
{
    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(k), 1, C);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, p), WITAN_OK);
    for (size_t i = 0; i < 2 * k; i++) {
        CHECK(load(&labels, i) == pairs[i]);
    }
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    labels_free(&labels);
}

static void
test_order_and_ties(void)
{
    const float uniform[5] = {0.2F, 0.2F, 0.2F, 0.2F, 0.2F};
    expect_pairs(uniform, 5, 2, (const unsigned[]){0, 13107, 1, 13107});
    /* 1/65535 of a mass apart: equal units stand in order of class, not of value. */
    const float close[4] = {0.24999F, 0.250001F, 0.250002F, 0.250003F};
    expect_pairs(close, 4, 3, (const unsigned[]){1, 16384, 2, 16384, 3, 16384});
    const float hot[4] = {0.0F, 0.0F, 0.0F, 3.0F};
    expect_pairs(hot, 4, 3, (const unsigned[]){3, 65535, 0, 0, 1, 0});
    const float negative_zero[4] = {-0.0F, 0.25F, 0.5F, 0.25F};
    expect_pairs(negative_zero, 4, 2, (const unsigned[]){2, 32767, 1, 16384});
    const float zeros[3] = {1.0F, -0.0F, 0.0F};
    expect_pairs(zeros, 3, 2, (const unsigned[]){0, 65535, 1, 0});
    float late[40] = {0};
    late[39] = 0.75F;
    late[17] = late[33] = 0.125F;
    expect_pairs(late, 40, 2, (const unsigned[]){39, 49151, 17, 8192});
    const float rising[6] = {0.05F, 0.1F, 0.15F, 0.2F, 0.2F, 0.3F};
    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(2), 1, 6);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, rising), WITAN_OK);
    CHECK(load(&labels, 0) == 5 && load(&labels, 2) == 3);
    labels_free(&labels);
}

static void
test_top_gives_pairs(void)
{
    const float p[10] = {0.1F, 0.6F, 0.05F, 0.2F,  0.05F,
                         0.0F, 0.0F, 0.0F,  0.25F, 0.75F};
    const uint32_t classes[4] = {1, 3, 4, 3};
    uint32_t token[4];
    float mass[4];
    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(2), 3, 5);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 1, 2, p), WITAN_OK);
    witan_soft_labels_top(&labels, 1, 2, token, mass);
    CHECK(memcmp(token, classes, sizeof token) == 0);
    CHECK_GOLDEN(mass, ((const double[]){0.6, 0.2, 0.75, 0.25}), 4, 1.0 / 65535.0, 0.0);
    float back[5];
    witan_soft_labels_probabilities(&labels, 1, 1, back);
    CHECK(back[1] >= mass[0] && back[1] <= mass[0]);
    CHECK_NEAR((double)back[0], 0.2 / 3.0, 1e-5, 0.0);
    labels_free(&labels);
}

static void
test_encode_refuses(void)
{
    float p[40];
    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(3), 1, 40);
    for (size_t i = 0; i < 40; i++) {
        p[i] = 1.0F / 40.0F;
    }
    static const float bad[] = {NAN, INFINITY, -1e-3F};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p[39] = bad[i];
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, p), WITAN_E_NUMERIC);
    }
    memset(p, 0, sizeof p);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, p), WITAN_E_NUMERIC);
    p[7] = FLT_MAX;
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, p), WITAN_OK);
    CHECK(load(&labels, 0) == 7 && load(&labels, 1) == 65535);
    p[8] = FLT_MAX;
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, p), WITAN_E_NUMERIC);
    labels_free(&labels);
}

static void
expect_bad(witan_soft_labels *labels, const char *what)
{
    witan_diag diag = {0};
    CHECK_STATUS(witan_soft_labels_check(labels, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, what);
}

/* Two rows of three classes out of `classes`; row 1 is what a peer made up. Whatever it
 * is, it decodes to finite values that are not negative. */
static void
expect_bad_pairs(size_t classes, const unsigned *pairs, const char *what)
{
    static const unsigned good[6] = {2, 60000, 0, 5000, 1, 535};
    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(3), 2, classes);
    float *back = malloc(2 * classes * sizeof *back);
    for (size_t i = 0; i < 6; i++) {
        store(&labels, i, good[i]);
        store(&labels, 6 + i, pairs[i]);
    }
    expect_bad(&labels, "row 1");
    expect_bad(&labels, what);
    witan_soft_labels_decode(&labels, 0, 2, back);
    for (size_t i = 0; i < 2 * classes; i++) {
        CHECK(back[i] >= 0.0F && back[i] <= 1.0F);
    }
    free(back);
    for (size_t i = 0; i < 6; i++) {
        store(&labels, 6 + i, good[i]);
    }
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    labels_free(&labels);
}

static void
test_check_names_what_is_bad(void)
{
    expect_bad_pairs(4, (const unsigned[]){0, 9, 1, 8, 4, 7},
                     "not one of the announced");
    expect_bad_pairs(4, (const unsigned[]){65535, 9, 1, 8, 2, 7},
                     "not one of the announced");
    expect_bad_pairs(4, (const unsigned[]){0, 9, 1, 8, 0, 7}, "named twice");
    expect_bad_pairs(4, (const unsigned[]){0, 9, 1, 9, 1, 9}, "named twice");
    expect_bad_pairs(4, (const unsigned[]){0, 9, 1, 10, 2, 7}, "do not fall");
    expect_bad_pairs(4, (const unsigned[]){0, 9, 2, 8, 1, 8}, "order of class");
    expect_bad_pairs(4, (const unsigned[]){0, 65535, 1, 1, 2, 0}, "sum to 1");
    expect_bad_pairs(4, (const unsigned[]){0, 65535, 1, 65535, 2, 65535}, "sum to 1");
    expect_bad_pairs(3, (const unsigned[]){0, 60000, 1, 5000, 2, 534}, "sum to 1");

    witan_soft_labels labels = labels_new(WITAN_CODEC_TOP(1), 2, WITAN_CLASSES_MAX);
    store(&labels, 0, 65535);
    store(&labels, 1, 0);
    store(&labels, 2, 0);
    store(&labels, 3, 65535);
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    labels.size--;
    expect_bad(&labels, "7 bytes do not hold 2 rows of 65536 classes");
    labels.size++;
    labels.classes = 0;
    expect_bad(&labels, "0 classes");
    labels.classes = WITAN_CLASSES_MAX + 1;
    expect_bad(&labels, "65537 classes");
    labels.classes = WITAN_CLASSES_MAX;
    labels.kind = LOG_PROBABILITY;
    expect_bad(&labels, "unknown kind or codec");
    labels.kind = PROBABILITY;
    labels.codec = WITAN_CODEC_TOP(0);
    expect_bad(&labels, "unknown kind or codec");
    labels.codec = WITAN_CODEC_TOP(WITAN_TOP_MAX + 1);
    expect_bad(&labels, "unknown kind or codec");
    labels_free(&labels);
}

int
main(void)
{
    RUN(test_numbers);
    RUN(test_sizes);
    RUN(test_pairs_are_golden);
    RUN(test_round_trips);
    RUN(test_all_classes_are_u16);
    RUN(test_order_and_ties);
    RUN(test_top_gives_pairs);
    RUN(test_encode_refuses);
    RUN(test_check_names_what_is_bad);
    return witan_test_finish();
}
