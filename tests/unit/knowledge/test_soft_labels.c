/* Codecs: golden bytes, bounds, exact row sums, round trips; check() names what is bad.
 */
#include "knowledge/soft_labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "support/witan_test.h"

#define PROBABILITY WITAN_KNOWLEDGE_PROBABILITY
#define LOG_PROBABILITY WITAN_KNOWLEDGE_LOG_PROBABILITY
#define F32 WITAN_CODEC_F32
#define U16 WITAN_CODEC_U16

static witan_soft_labels
labels_new(witan_knowledge_kind kind, witan_codec codec, size_t rows, size_t classes)
{
    witan_soft_labels labels;
    CHECK_STATUS(witan_soft_labels_new(&labels, witan_allocator_default(), kind, codec,
                                       rows, classes),
                 WITAN_OK);
    return labels;
}

static void
labels_free(witan_soft_labels *labels)
{
    witan_soft_labels_fini(labels, witan_allocator_default());
}

static unsigned
unit_of(const witan_soft_labels *labels, size_t i)
{
    return labels->bytes[2 * i] | (unsigned)labels->bytes[2 * i + 1] << 8;
}

/* Rows of the simplex, from nearly uniform to nearly one-hot. */
static void
random_rows(witan_random *random, float *p, size_t rows, size_t C)
{
    for (size_t n = 0; n < rows; n++, p += C) {
        double sharpness = 6.0 * witan_random_uniform(random), sum = 0.0;
        for (size_t c = 0; c < C; c++) {
            p[c] = (float)exp(sharpness * witan_random_normal(random));
            sum += (double)p[c];
        }
        for (size_t c = 0; c < C; c++) {
            p[c] = (float)((double)p[c] / sum);
        }
    }
}

static void
test_u16_units_are_golden(void)
{
    static const size_t classes[] = {2, 10, 32, 33, 500};
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
        char name[64];
        (void)snprintf(name, sizeof name, "knowledge/u16_%zu_p", classes[k]);
        witan_golden p = witan_golden_load(name);
        (void)snprintf(name, sizeof name, "knowledge/u16_%zu_units", classes[k]);
        witan_golden units = witan_golden_load(name);
        float *values = witan_golden_floats(&p);
        witan_soft_labels labels = labels_new(PROBABILITY, U16, p.shape[0], p.shape[1]);
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, labels.rows, values),
                     WITAN_OK);
        size_t wrong = 0;
        for (size_t i = 0; i < p.count; i++) {
            wrong += (double)unit_of(&labels, i) != units.values[i];
        }
        CHECK(wrong == 0);
        labels_free(&labels);
        free(values);
        witan_golden_free(&p);
        witan_golden_free(&units);
    }
}

static void
test_u16_log_units_are_golden(void)
{
    witan_golden p = witan_golden_load("knowledge/u16_log_p");
    witan_golden units = witan_golden_load("knowledge/u16_log_units");
    float *values = witan_golden_floats(&p), decoded[5];
    witan_soft_labels labels = labels_new(LOG_PROBABILITY, U16, p.shape[0], 5);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, labels.rows, values), WITAN_OK);
    for (size_t i = 0; i < p.count; i++) {
        CHECK_NEAR(unit_of(&labels, i), units.values[i], 0.0, 0.0);
    }
    for (size_t n = 0; n < labels.rows; n++) {
        witan_soft_labels_decode(&labels, n, 1, decoded);
        for (size_t c = 0; c < 5; c++) {
            double clipped = fmax(p.values[n * 5 + c], -32.0);
            CHECK_NEAR((double)decoded[c], clipped, 16.0 / 65535.0 + 2e-6, 0.0);
        }
    }
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    labels_free(&labels);
    free(values);
    witan_golden_free(&p);
    witan_golden_free(&units);
}

/* One matrix: row sums, error bound, encode(decode(x)) == x, first/count offsets. */
static void
round_trip_u16(witan_random *random, size_t rows, size_t C)
{
    float *p = malloc(rows * C * sizeof *p), *back = malloc(rows * C * sizeof *back);
    random_rows(random, p, rows, C);
    witan_soft_labels labels = labels_new(PROBABILITY, U16, rows, C);
    witan_soft_labels again = labels_new(PROBABILITY, U16, rows, C);
    size_t half = rows / 2, bad_sums = 0, far_off = 0;
    CHECK_STATUS(witan_soft_labels_encode(&labels, half, rows - half, p + half * C),
                 WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, half, p), WITAN_OK);
    witan_soft_labels_decode(&labels, 0, half, back);
    witan_soft_labels_decode(&labels, half, rows - half, back + half * C);
    for (size_t n = 0; n < rows; n++) {
        unsigned sum = 0;
        double p_sum = 0.0;
        for (size_t c = 0; c < C; c++) {
            sum += unit_of(&labels, n * C + c);
            p_sum += (double)p[n * C + c];
        }
        bad_sums += sum != 65535;
        for (size_t i = n * C; i < (n + 1) * C; i++) {
            far_off +=
                !(fabs((double)back[i] - (double)p[i] / p_sum) < 1.0001 / 65535.0);
        }
    }
    CHECK(bad_sums == 0);
    CHECK(far_off == 0);
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&again, 0, rows, back), WITAN_OK);
    CHECK(memcmp(labels.bytes, again.bytes, labels.size) == 0);
    labels_free(&labels);
    labels_free(&again);
    free(p);
    free(back);
}

static void
test_u16_round_trips(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(1), 0, 0, WITAN_PURPOSE_TEST);
    static const size_t classes[] = {1, 2, 3, 10, 31, 32, 33, 100, 1000};
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
        round_trip_u16(&random, 50, classes[k]);
    }
    round_trip_u16(&random, 2, WITAN_CLASSES_MAX);
}

/* Ties go to the lower class; a scaled row is divided by its sum. */
static void
test_u16_ties_and_scale(void)
{
    const float uniform[4] = {0.25F, 0.25F, 0.25F, 0.25F};
    const float doubled[4] = {1.0F, 0.5F, 0.5F, 0.0F};
    witan_soft_labels labels = labels_new(PROBABILITY, U16, 2, 4);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, uniform), WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 1, 1, doubled), WITAN_OK);
    CHECK(unit_of(&labels, 0) == 16384 && unit_of(&labels, 1) == 16384 &&
          unit_of(&labels, 2) == 16384 && unit_of(&labels, 3) == 16383);
    CHECK(unit_of(&labels, 4) == 32767 && unit_of(&labels, 5) == 16384 &&
          unit_of(&labels, 6) == 16384 && unit_of(&labels, 7) == 0);
    labels_free(&labels);
}

static void
test_f32_keeps_bits(void)
{
    const float values[6] = {0.1F, 0.9F, 1e-30F, 1.0F, 0.5F, 0.5F};
    float back[6];
    witan_soft_labels labels = labels_new(PROBABILITY, F32, 3, 2);
    CHECK(labels.size == 24);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 3, values), WITAN_OK);
    witan_soft_labels_decode(&labels, 0, 3, back);
    CHECK(memcmp(values, back, sizeof back) == 0);
    /* Little endian: 0.5F is 00 00 00 3f. */
    CHECK(labels.bytes[16] == 0 && labels.bytes[19] == 0x3f);
    labels_free(&labels);
}

static void
test_probabilities_of_log_probabilities(void)
{
    const float log_p[3] = {-0.35667494F, -1.6094379F, -2.3025851F};
    const double p[3] = {0.7, 0.2, 0.1};
    float back[3];
    for (witan_codec codec = F32; codec <= U16; codec++) {
        witan_soft_labels labels = labels_new(LOG_PROBABILITY, codec, 1, 3);
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, log_p), WITAN_OK);
        CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
        witan_soft_labels_probabilities(&labels, 0, 1, back);
        CHECK_GOLDEN(back, p, 3, codec == F32 ? 1e-6 : 3e-4, 0.0);
        labels_free(&labels);
    }
}

static void
test_encode_refuses(void)
{
    float values[40];
    for (witan_codec codec = F32; codec <= U16; codec++) {
        witan_soft_labels labels = labels_new(PROBABILITY, codec, 1, 40);
        for (size_t i = 0; i < 40; i++) {
            values[i] = 1.0F / 40.0F;
        }
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_OK);
        values[39] = NAN;
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_E_NUMERIC);
        values[39] = INFINITY;
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_E_NUMERIC);
        values[39] = -1e-3F;
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_E_NUMERIC);
        labels.kind = LOG_PROBABILITY;
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_OK);
        values[39] = -INFINITY;
        CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_E_NUMERIC);
        labels_free(&labels);
    }
    witan_soft_labels labels = labels_new(PROBABILITY, U16, 1, 40);
    memset(values, 0, sizeof values);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 1, values), WITAN_E_NUMERIC);
    labels_free(&labels);
}

static void
expect_bad(witan_soft_labels *labels, const char *what)
{
    witan_diag diag = {0};
    CHECK_STATUS(witan_soft_labels_check(labels, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, what);
}

/* values[2, 2] at codec f32, row 1 is bad. */
static void
expect_bad_row(witan_knowledge_kind kind, float a, float b, const char *what)
{
    float good = kind == PROBABILITY ? 0.5F : -0.69314718F;
    float values[4] = {good, good, a, b};
    witan_soft_labels labels = labels_new(kind, F32, 2, 2);
    memcpy(labels.bytes, values, sizeof values);
    expect_bad(&labels, "row 1");
    expect_bad(&labels, what);
    labels_free(&labels);
}

static void
test_check_names_what_is_bad(void)
{
    expect_bad_row(PROBABILITY, NAN, 0.5F, "not a finite number");
    expect_bad_row(PROBABILITY, 0.5F, INFINITY, "not a finite number");
    expect_bad_row(PROBABILITY, 1.0001F, -0.0001F, "negative");
    expect_bad_row(PROBABILITY, 0.5F, 0.502F, "do not sum to 1");
    expect_bad_row(PROBABILITY, 0.5F, 0.498F, "do not sum to 1");
    expect_bad_row(LOG_PROBABILITY, -INFINITY, 0.0F, "not a finite number");
    expect_bad_row(LOG_PROBABILITY, 0.001F, -10.0F, "above 0");
    expect_bad_row(LOG_PROBABILITY, -1.0F, -1.0F, "do not sum to 1");

    witan_soft_labels labels = labels_new(PROBABILITY, U16, 2, 300);
    memset(labels.bytes, 0, labels.size);
    labels.bytes[0] = labels.bytes[1] = 0xff;
    labels.bytes[2 * 300 + 2 * 299] = labels.bytes[2 * 300 + 2 * 299 + 1] = 0xff;
    CHECK_STATUS(witan_soft_labels_check(&labels, NULL), WITAN_OK);
    labels.bytes[2 * 300 + 2 * 299 + 1] = 0xfd; /* 512 of 65535 are missing */
    expect_bad(&labels, "row 1");
    labels.size--;
    expect_bad(&labels, "1199 bytes do not hold 2 rows of 300 classes");
    labels.size++;
    labels.codec = 7;
    expect_bad(&labels, "unknown kind or codec");
    labels.codec = U16;
    labels.kind = (witan_knowledge_kind)-1;
    expect_bad(&labels, "unknown kind or codec");
    labels_free(&labels);
    labels.rows = 0;
    expect_bad(&labels, "0 rows");
}

static void
test_sizes_and_limits(void)
{
    witan_soft_labels labels;
    const witan_allocator *heap = witan_allocator_default();
    CHECK(witan_soft_labels_size(U16, 1000, 10) == 20000);
    CHECK(witan_soft_labels_size(F32, 1000, 10) == 40000);
    CHECK(witan_soft_labels_size(F32, SIZE_MAX / 2, 4) == 0);
    CHECK(witan_soft_labels_size(F32, SIZE_MAX / 3, 1) == 0);
    CHECK_STATUS(witan_soft_labels_new(&labels, heap, PROBABILITY, U16, 0, 3),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_soft_labels_new(&labels, heap, PROBABILITY, U16, 3, 0),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_soft_labels_new(&labels, heap, PROBABILITY, U16, 3,
                                       WITAN_CLASSES_MAX + 1),
                 WITAN_E_LIMIT);
    CHECK_STATUS(witan_soft_labels_new(&labels, heap, PROBABILITY, U16,
                                       WITAN_SAMPLES_MAX + 1, 3),
                 WITAN_E_LIMIT);
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(
        witan_soft_labels_new(&labels, &failing.allocator, PROBABILITY, U16, 3, 3),
        WITAN_E_MEMORY);
    CHECK(labels.bytes == NULL && failing.live == 0);
    witan_soft_labels_fini(&labels, &failing.allocator);
}

int
main(void)
{
    RUN(test_u16_units_are_golden);
    RUN(test_u16_log_units_are_golden);
    RUN(test_u16_round_trips);
    RUN(test_u16_ties_and_scale);
    RUN(test_f32_keeps_bits);
    RUN(test_probabilities_of_log_probabilities);
    RUN(test_encode_refuses);
    RUN(test_check_names_what_is_bad);
    RUN(test_sizes_and_limits);
    return witan_test_finish();
}
