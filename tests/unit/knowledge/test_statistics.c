/* EPD estimators, scores, calibration and summaries against NumPy in float64. */
#include "knowledge/statistics.h"

#include <math.h>
#include <stdlib.h>

#include "support/witan_test.h"

#define ESTIMATORS 4

/* Encoded clients of a golden array [N, M, C]. */
typedef struct speakers {
    size_t clients;
    witan_soft_labels labels[8];
    const witan_soft_labels *pointers[8];
} speakers;

static void
council_load(speakers *self, const char *name, witan_codec codec)
{
    witan_golden golden = witan_golden_load(name);
    float *values = witan_golden_floats(&golden);
    size_t rows = golden.shape[1], C = golden.shape[2];
    self->clients = golden.shape[0];
    for (size_t n = 0; n < self->clients; n++) {
        CHECK_STATUS(witan_soft_labels_new(&self->labels[n], witan_allocator_default(),
                                           WITAN_KNOWLEDGE_PROBABILITY, codec, rows, C),
                     WITAN_OK);
        CHECK_STATUS(
            witan_soft_labels_encode(&self->labels[n], 0, rows, values + n * rows * C),
            WITAN_OK);
        self->pointers[n] = &self->labels[n];
    }
    free(values);
    witan_golden_free(&golden);
}

static void
council_free(speakers *self)
{
    for (size_t n = 0; n < self->clients; n++) {
        witan_soft_labels_fini(&self->labels[n], witan_allocator_default());
    }
}

static void
check_epd(const char *labels, const char *expected, witan_codec codec, int first,
          int last, double tolerance)
{
    speakers council;
    council_load(&council, labels, codec);
    witan_golden golden = witan_golden_load(expected);
    size_t C = council.labels[0].classes, count = council.clients * C;
    double epd[64];
    for (int e = first; e <= last; e++) {
        CHECK_STATUS(witan_epd_estimate(epd, council.pointers, council.clients,
                                        (witan_epd_estimator)e,
                                        witan_allocator_default()),
                     WITAN_OK);
        for (size_t i = 0; i < count; i++) {
            CHECK_NEAR(epd[i], golden.values[(size_t)(e - first) * count + i],
                       tolerance, 0.0);
        }
        for (size_t n = 0; n < council.clients; n++) {
            double sum = 0.0;
            for (size_t c = 0; c < C; c++) {
                CHECK(epd[n * C + c] > 0.99 * WITAN_EPD_FLOOR);
                sum += epd[n * C + c];
            }
            CHECK_NEAR(sum, 1.0, 1e-12, 0.0);
        }
    }
    witan_golden_free(&golden);
    council_free(&council);
}

static void
test_epd_is_golden(void)
{
    check_epd("knowledge/epd_labels", "knowledge/epd", WITAN_CODEC_F32, WITAN_EPD_MEAN,
              WITAN_EPD_MEAN_NORMALISED, 1e-12);
    check_epd("knowledge/epd_labels", "knowledge/epd", WITAN_CODEC_U16, WITAN_EPD_MEAN,
              WITAN_EPD_SHIFT, 2e-4);
}

/* The stopping rule may stop one iteration apart: two changes of 1e-6. */
static void
test_epd_shift_is_golden(void)
{
    speakers council;
    double epd[20];
    council_load(&council, "knowledge/epd_labels", WITAN_CODEC_F32);
    witan_golden golden = witan_golden_load("knowledge/epd");
    CHECK_STATUS(witan_epd_estimate(epd, council.pointers, 5, WITAN_EPD_SHIFT,
                                    witan_allocator_default()),
                 WITAN_OK);
    for (size_t i = 0; i < 20; i++) {
        CHECK_NEAR(epd[i], golden.values[3 * 20 + i], 2e-6, 0.0);
    }
    witan_golden_free(&golden);
    council_free(&council);
    check_epd("knowledge/epd_shift_labels", "knowledge/epd_shift", WITAN_CODEC_F32,
              WITAN_EPD_SHIFT, WITAN_EPD_SHIFT, 2e-6);
}

/* Log-probabilities of the same clients give the same distributions. */
static void
test_epd_of_log_probabilities(void)
{
    speakers council;
    council_load(&council, "knowledge/epd_labels", WITAN_CODEC_F32);
    double expected[20], epd[20];
    for (int e = 0; e < ESTIMATORS; e++) {
        CHECK_STATUS(witan_epd_estimate(expected, council.pointers, 5,
                                        (witan_epd_estimator)e,
                                        witan_allocator_default()),
                     WITAN_OK);
        witan_soft_labels *last = &council.labels[4];
        float values[160];
        witan_soft_labels_probabilities(last, 0, 40, values);
        for (size_t i = 0; i < 160; i++) {
            values[i] = logf(values[i]);
        }
        last->kind = WITAN_KNOWLEDGE_LOG_PROBABILITY;
        CHECK_STATUS(witan_soft_labels_encode(last, 0, 40, values), WITAN_OK);
        CHECK_STATUS(witan_epd_estimate(epd, council.pointers, 5,
                                        (witan_epd_estimator)e,
                                        witan_allocator_default()),
                     WITAN_OK);
        for (size_t i = 0; i < 20; i++) {
            CHECK_NEAR(epd[i], expected[i], 3e-6, 0.0);
        }
        council_free(&council);
        council_load(&council, "knowledge/epd_labels", WITAN_CODEC_F32);
    }
    council_free(&council);
}

/* Shift recovers the label distribution that biased exact posteriors carry, where the
 * mean understates it. Two classes, likelihood ratios 6 and 1/6 equally often: what
 * balanced rows show. */
static void
test_shift_recovers_the_prior(void)
{
    const double prior = 0.9, ratio = 6.0;
    float rows[40];
    for (size_t i = 0; i < 20; i++) {
        double odds = prior / (1.0 - prior) * (i < 10 ? ratio : 1.0 / ratio);
        rows[2 * i] = (float)(odds / (1.0 + odds));
        rows[2 * i + 1] = (float)(1.0 / (1.0 + odds));
    }
    witan_soft_labels labels;
    CHECK_STATUS(witan_soft_labels_new(&labels, witan_allocator_default(),
                                       WITAN_KNOWLEDGE_PROBABILITY, WITAN_CODEC_F32, 20,
                                       2),
                 WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 20, rows), WITAN_OK);
    const witan_soft_labels *pointer = &labels;
    double mean[2], shift[2];
    CHECK_STATUS(witan_epd_estimate(mean, &pointer, 1, WITAN_EPD_MEAN,
                                    witan_allocator_default()),
                 WITAN_OK);
    CHECK_STATUS(witan_epd_estimate(shift, &pointer, 1, WITAN_EPD_SHIFT,
                                    witan_allocator_default()),
                 WITAN_OK);
    CHECK_NEAR(shift[0], prior, 1e-4, 0.0);
    CHECK(mean[0] < 0.85);
    witan_soft_labels_fini(&labels, witan_allocator_default());
}

static void
test_argmax_ties_go_to_the_lower_class(void)
{
    const float rows[6] = {0.2F, 0.4F, 0.4F, 0.4F, 0.2F, 0.4F};
    witan_soft_labels labels;
    CHECK_STATUS(witan_soft_labels_new(&labels, witan_allocator_default(),
                                       WITAN_KNOWLEDGE_PROBABILITY, WITAN_CODEC_F32, 2,
                                       3),
                 WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&labels, 0, 2, rows), WITAN_OK);
    const witan_soft_labels *pointer = &labels;
    double epd[3];
    CHECK_STATUS(witan_epd_estimate(epd, &pointer, 1, WITAN_EPD_ARGMAX,
                                    witan_allocator_default()),
                 WITAN_OK);
    CHECK_NEAR(epd[0], 0.5, 1e-5, 0.0);
    CHECK_NEAR(epd[1], 0.5, 1e-5, 0.0);
    witan_soft_labels_fini(&labels, witan_allocator_default());
}

static void
test_epd_errors(void)
{
    speakers council;
    council_load(&council, "knowledge/epd_labels", WITAN_CODEC_U16);
    double epd[20];
    for (int e = 0; e < ESTIMATORS; e++) {
        for (size_t fail_at = 1;; fail_at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, fail_at);
            witan_status status = witan_epd_estimate(
                epd, council.pointers, 5, (witan_epd_estimator)e, &failing.allocator);
            CHECK(failing.live == 0);
            if (failing.allocations < fail_at) {
                CHECK_STATUS(status, WITAN_OK);
                break;
            }
            CHECK_STATUS(status, WITAN_E_MEMORY);
        }
    }
    council.labels[3].rows--;
    CHECK_STATUS(witan_epd_estimate(epd, council.pointers, 5, WITAN_EPD_MEAN,
                                    witan_allocator_default()),
                 WITAN_E_INVALID);
    council_free(&council);
}

static void
test_score_is_golden(void)
{
    witan_golden z = witan_golden_load("knowledge/score_z");
    witan_golden y = witan_golden_load("knowledge/score_y");
    witan_golden expected = witan_golden_load("knowledge/score");
    float *logits = witan_golden_floats(&z);
    uint32_t labels[200];
    for (size_t n = 0; n < 200; n++) {
        labels[n] = (uint32_t)y.values[n];
    }
    witan_score_sum sum = {0};
    witan_score_add(&sum, logits, labels, 120, 7);
    witan_score_add(&sum, logits + 120 * 7, labels + 120, 80, 7);
    witan_score score = witan_score_of(&sum);
    CHECK(score.count == 200);
    CHECK_NEAR(score.accuracy, expected.values[0], 1e-12, 0.0);
    CHECK_NEAR(score.loss, expected.values[1], 1e-9, 0.0);
    CHECK_NEAR(score.ece, expected.values[2], 1e-9, 0.0);
    free(logits);
    witan_golden_free(&z);
    witan_golden_free(&y);
    witan_golden_free(&expected);
}

/* Ten predictions in ten bins: 0.234. Two confidences lie on the edge of a bin. */
static void
test_calibration_error(void)
{
    static const double confidence[] = {.95, .90, .85, .80, .72,
                                        .65, .55, .52, .35, .31};
    static const bool correct[] = {1, 1, 0, 1, 1, 0, 1, 0, 0, 1};
    witan_score_sum sum = {.bins = 10};
    for (size_t i = 0; i < 10; i++) {
        witan_score_add_one(&sum, confidence[i], correct[i], 1.5);
    }
    witan_score score = witan_score_of(&sum);
    CHECK_NEAR(score.ece, 0.234, 1e-12, 0.0);
    CHECK_NEAR(score.accuracy, 0.6, 1e-12, 0.0);
    CHECK_NEAR(score.loss, 1.5, 1e-12, 0.0);
}

static void
test_score_of_the_odd(void)
{
    witan_score_sum sum = {0};
    witan_score score = witan_score_of(&sum);
    CHECK(score.count == 0 && score.accuracy <= 0.0 && score.ece <= 0.0);
    /* Ties go to the lower class; huge logits do not overflow. */
    const float z[6] = {1.0F, 1.0F, 1.0F, 1e30F, -1e30F, 0.0F};
    const uint32_t labels[2] = {0, 0};
    witan_score_add(&sum, z, labels, 2, 3);
    score = witan_score_of(&sum);
    CHECK_NEAR(score.accuracy, 1.0, 0.0, 0.0);
    CHECK_NEAR(score.loss, log(3.0) / 2.0, 1e-9, 0.0);
    CHECK_NEAR(score.ece, (1.0 - 1.0 / 3.0) / 2.0, 1e-9, 0.0);
    const float bad[3] = {NAN, 0.0F, 0.0F};
    witan_score_add(&sum, bad, labels, 1, 3);
    score = witan_score_of(&sum);
    CHECK(score.count == 3 && isnan(score.loss) && isnan(score.ece));
}

static void
test_summary_is_golden(void)
{
    witan_golden values = witan_golden_load("knowledge/summary_values");
    witan_golden expected = witan_golden_load("knowledge/summary");
    witan_summary summary;
    CHECK_STATUS(witan_summarise(&summary, values.values, values.count,
                                 witan_allocator_default()),
                 WITAN_OK);
    CHECK_NEAR(summary.mean, expected.values[0], 1e-12, 0.0);
    CHECK_NEAR(summary.sd, expected.values[1], 1e-12, 0.0);
    CHECK_NEAR(summary.worst, expected.values[2], 0.0, 0.0);
    CHECK_NEAR(summary.bottom10, expected.values[3], 1e-12, 0.0);
    witan_golden_free(&values);
    witan_golden_free(&expected);

    const double one = 0.5, some[3] = {0.5, nan(""), 0.25};
    CHECK_STATUS(witan_summarise(&summary, &one, 1, witan_allocator_default()),
                 WITAN_OK);
    CHECK_NEAR(summary.mean + summary.sd + summary.worst + summary.bottom10, 1.5, 0.0,
               0.0);
    CHECK_STATUS(witan_summarise(&summary, some, 3, witan_allocator_default()),
                 WITAN_OK);
    CHECK(isnan(summary.worst) && isnan(summary.mean));
    witan_failing_allocator failing;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_summarise(&summary, &one, 1, &failing.allocator),
                 WITAN_E_MEMORY);
    CHECK(failing.live == 0);
}

int
main(void)
{
    RUN(test_epd_is_golden);
    RUN(test_epd_shift_is_golden);
    RUN(test_epd_of_log_probabilities);
    RUN(test_shift_recovers_the_prior);
    RUN(test_argmax_ties_go_to_the_lower_class);
    RUN(test_epd_errors);
    RUN(test_score_is_golden);
    RUN(test_calibration_error);
    RUN(test_score_of_the_odd);
    RUN(test_summary_is_golden);
    return witan_test_finish();
}
