/* What a client computes in a round, on three clouds of points. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pupil.h"

enum {
    CLASSES = CLOUD_CLASSES,
    TRAIN = CLOUD_TRAIN,
    TRANSFER = CLOUD_TRANSFER,
    TEST = CLOUD_TEST
};

static cloud points;

typedef pupil fixture;

static void
fixture_init(fixture *self, const char *model)
{
    cloud_pupil(self, &points, model);
    pupil_start(self);
}

static witan_score
evaluate(fixture *self, const uint32_t *indices, size_t count)
{
    return pupil_evaluate(self, (witan_part){&points.rows, indices, count});
}

static void
training_learns(void)
{
    fixture f;
    fixture_init(&f, "mlp(8)");
    double before = evaluate(&f, points.order + TRAIN + TRANSFER, TEST).loss;
    double first = pupil_train(&f, 0, 1), last = first;
    for (uint32_t round = 1; round < 6; round++) {
        last = pupil_train(&f, round, 1);
    }
    CHECK(first > last && last < 0.3);
    witan_score after = evaluate(&f, points.order + TRAIN + TRANSFER, TEST);
    CHECK(after.loss < before && after.accuracy > 0.9 && after.count == TEST);
    f.plan.local_epochs = 0;
    float *kept = calloc(f.parameters, sizeof *kept);
    memcpy(kept, f.client.learner.parameters, f.parameters * sizeof *kept);
    CHECK(isnan(pupil_train(&f, 6, 1)));
    CHECK(memcmp(kept, f.client.learner.parameters, f.parameters * sizeof *kept) == 0);
    free(kept);
    pupil_fini(&f);
}

static void
knowledge_is_softmax_of_logits(void)
{
    const double temperatures[] = {1.0, 2.5, 100.0};
    float z[TRANSFER * CLASSES], p[TRANSFER * CLASSES];
    fixture f;
    fixture_init(&f, "mlp(8)");
    (void)pupil_train(&f, 0, 1);
    CHECK_STATUS(witan_network_predict(&f.client.learner, f.kit.bench, &points.rows,
                                       f.plan.transfer.indices, TRANSFER, z),
                 WITAN_OK);
    for (int variant = 0; variant < 12; variant++) {
        double temp = temperatures[variant / 4];
        f.plan.extract_temperature = temp;
        f.plan.codec = variant & 1 ? WITAN_CODEC_U16 : WITAN_CODEC_F32;
        f.plan.kind =
            variant & 2 ? WITAN_KNOWLEDGE_LOG_PROBABILITY : WITAN_KNOWLEDGE_PROBABILITY;
        witan_soft_labels out = pupil_extract(&f, 0);
        CHECK_STATUS(witan_soft_labels_check(&out, NULL), WITAN_OK);
        witan_soft_labels_probabilities(&out, 0, TRANSFER, p);
        double worst = 0.0, worst_sum = 0.0;
        for (size_t i = 0; i < TRANSFER; i++) {
            double e[CLASSES], sum = 0.0, row_sum = 0.0;
            for (size_t c = 0; c < CLASSES; c++) {
                e[c] = exp((double)z[i * CLASSES + c] / temp);
                sum += e[c];
            }
            for (size_t c = 0; c < CLASSES; c++) {
                double value = (double)p[i * CLASSES + c];
                worst = fmax(worst, fabs(value - e[c] / sum));
                row_sum += value;
            }
            worst_sum = fmax(worst_sum, fabs(row_sum - 1.0));
        }
        /* u16: a step of 1/65535, or of 32/65535 in the logarithm, rounded. */
        CHECK(worst < (variant & 1 ? 3e-4 : 2e-6) && worst_sum < 1e-5);
        pupil_labels_fini(&out);
    }
    pupil_fini(&f);
}

static size_t
argmax(const float *row)
{
    size_t best = 0;
    for (size_t c = 1; c < CLASSES; c++) {
        best = row[c] > row[best] ? c : best;
    }
    return best;
}

static size_t
agreement(const witan_soft_labels *a, const witan_soft_labels *b)
{
    float p[TRANSFER * CLASSES], q[TRANSFER * CLASSES];
    size_t equal = 0;
    witan_soft_labels_probabilities(a, 0, TRANSFER, p);
    witan_soft_labels_probabilities(b, 0, TRANSFER, q);
    for (size_t i = 0; i < TRANSFER; i++) {
        equal += argmax(p + i * CLASSES) == argmax(q + i * CLASSES);
    }
    return equal;
}

static void
distilling_towards_itself_changes_little(void)
{
    for (int loss = WITAN_DISTILL_KL; loss <= WITAN_DISTILL_MAE; loss++) {
        fixture f;
        fixture_init(&f, "mlp(8)");
        f.plan.distill_loss = (witan_distill_loss)loss;
        f.plan.optimiser.lr = 0.005;
        for (uint32_t round = 0; round < 4; round++) {
            (void)pupil_train(&f, round, 1);
        }
        double accuracy = evaluate(&f, points.order + TRAIN + TRANSFER, TEST).accuracy;
        witan_soft_labels own = pupil_extract(&f, 0);
        double lost = pupil_distill(&f, 4, &own);
        witan_soft_labels after = pupil_extract(&f, 0);
        CHECK(lost >= 0.0 && lost < 0.3);
        CHECK(agreement(&own, &after) >= TRANSFER - 2);
        CHECK(evaluate(&f, points.order + TRAIN + TRANSFER, TEST).accuracy >
              accuracy - 0.1);
        pupil_labels_fini(&own);
        pupil_labels_fini(&after);
        pupil_fini(&f);
    }
}

/* A student that saw nothing but what the teacher says about the transfer set. */
static void
a_student_learns_from_soft_labels(void)
{
    for (int variant = 0; variant < 6; variant++) {
        fixture teacher, student;
        fixture_init(&teacher, "mlp(8)");
        fixture_init(&student, "linear");
        for (uint32_t round = 0; round < 6; round++) {
            (void)pupil_train(&teacher, round, 1);
        }
        teacher.plan.codec = variant < 3 ? WITAN_CODEC_F32 : WITAN_CODEC_U16;
        student.plan.distill_loss = (witan_distill_loss)(variant % 3);
        student.plan.distill_temperature = 2.0;
        witan_soft_labels said = pupil_extract(&teacher, 0),
                          before = pupil_extract(&student, 0);
        size_t agreed = agreement(&said, &before);
        double first = pupil_distill(&student, 0, &said), last = first;
        for (uint32_t round = 1; round < 15; round++) {
            last = pupil_distill(&student, round, &said);
        }
        witan_soft_labels after = pupil_extract(&student, 0);
        CHECK(last < first);
        CHECK(agreement(&said, &after) > agreed &&
              agreement(&said, &after) >= TRANSFER * 9 / 10);
        CHECK(evaluate(&student, points.order, TRAIN).accuracy > 0.8);
        student.plan.distill_epochs = 0;
        CHECK(isnan(pupil_distill(&student, 15, &said)));
        pupil_labels_fini(&said);
        pupil_labels_fini(&before);
        pupil_labels_fini(&after);
        pupil_fini(&teacher);
        pupil_fini(&student);
    }
}

static void
wrong_shapes_are_no_target(void)
{
    double loss;
    fixture f;
    fixture_init(&f, "linear");
    witan_soft_labels own = pupil_extract(&f, 0);
    own.rows--;
    CHECK_STATUS(witan_learner_distill(&f.client, &f.plan, &f.kit, 0, &own, &loss),
                 WITAN_E_DATA);
    own.rows++;
    own.classes--;
    CHECK_STATUS(witan_learner_distill(&f.client, &f.plan, &f.kit, 0, &own, &loss),
                 WITAN_E_DATA);
    pupil_labels_fini(&own);
    pupil_fini(&f);
}

static void
a_subset_is_scored_on_the_way(void)
{
    /* First, last and neighbours over the edges of prediction batches. */
    const uint32_t subset[] = {0, 5, 6, 7, 13, 14, 30, 58, 59};
    enum {
        SUBSET = sizeof subset / sizeof subset[0]
    };
    uint32_t chosen[SUBSET];
    witan_score all, some = {0};
    fixture f;
    fixture_init(&f, "mlp(8)");
    (void)pupil_train(&f, 0, 1);
    witan_part part = {&points.rows, points.order + TRAIN + TRANSFER, TEST};
    for (size_t i = 0; i < SUBSET; i++) {
        chosen[i] = part.indices[subset[i]];
    }
    CHECK_STATUS(witan_learner_evaluate(&f.client, &f.plan, &f.kit, &part, &all, subset,
                                        SUBSET, &some),
                 WITAN_OK);
    witan_score alone = evaluate(&f, chosen, SUBSET);
    CHECK(some.count == SUBSET && alone.count == SUBSET && all.count == TEST);
    CHECK(some.accuracy == alone.accuracy);
    CHECK_NEAR(some.loss, alone.loss, 1e-6, 1e-6);
    CHECK_NEAR(some.ece, alone.ece, 1e-6, 1e-6);
    CHECK_STATUS(witan_learner_evaluate(&f.client, &f.plan, &f.kit, &part, &all, subset,
                                        0, &some),
                 WITAN_OK);
    CHECK(some.count == 0 && some.accuracy == 0.0);
    witan_score whole = evaluate(&f, part.indices, TEST);
    CHECK(memcmp(&whole, &all, sizeof all) == 0);
    f.kit.block = 1; /* the kit has room for more */
    witan_score single = evaluate(&f, part.indices, TEST);
    CHECK(single.accuracy == all.accuracy);
    CHECK_NEAR(single.loss, all.loss, 1e-6, 1e-6);
    pupil_fini(&f);
}

/* Parameters after some training or distillation. */
static void
work(float *out, uint64_t seed, uint32_t client, uint32_t round, bool distills,
     bool used_before)
{
    fixture f;
    fixture_init(&f, "mlp(8)");
    witan_soft_labels own = pupil_extract(&f, 0);
    if (used_before) { /* scratch must not matter */
        memset(f.kit.rows, 0xff, f.kit.block * CLASSES * sizeof(float));
        (void)evaluate(&f, points.order, TRAIN);
    }
    f.plan.seed = seed;
    f.client.id = client;
    if (distills) {
        (void)pupil_distill(&f, round, &own);
    } else {
        (void)pupil_train(&f, round, 1);
    }
    memcpy(out, f.client.learner.parameters, f.parameters * sizeof(float));
    pupil_labels_fini(&own);
    pupil_fini(&f);
}

static void
a_key_decides_every_bit(void)
{
    enum {
        PARAMETERS = (CLOUD_FEATURES + 1) * 8 + (8 + 1) * CLASSES
    };
    float first[PARAMETERS], other[PARAMETERS];
    for (int distills = 0; distills < 2; distills++) {
        work(first, 1, 3, 0, distills, false);
        work(other, 1, 3, 0, distills, true);
        CHECK(memcmp(first, other, sizeof first) == 0);
        work(other, 2, 3, 0, distills, false);
        CHECK(memcmp(first, other, sizeof first) != 0);
        work(other, 1, 4, 0, distills, false);
        CHECK(memcmp(first, other, sizeof first) != 0);
        work(other, 1, 3, 1, distills, false);
        CHECK(memcmp(first, other, sizeof first) != 0);
    }
}

static void
a_step_too_wide_is_an_error(void)
{
    double loss;
    fixture f;
    fixture_init(&f, "mlp(8)");
    f.plan.optimiser.kind = WITAN_OPTIMISER_SGD;
    f.plan.optimiser.lr = 1e30;
    CHECK_STATUS(witan_learner_train(&f.client, &f.plan, &f.kit, 0, &loss),
                 WITAN_E_NUMERIC);
    witan_soft_labels out = {0};
    f.client.learner.parameters[0] = NAN;
    CHECK_STATUS(witan_learner_extract(&f.client, &f.plan, &f.kit, 0, &out,
                                       witan_allocator_default()),
                 WITAN_E_NUMERIC);
    CHECK(out.bytes == NULL);
    witan_part part = {&points.rows, points.order, TRAIN};
    witan_score score;
    CHECK_STATUS(witan_learner_evaluate(&f.client, &f.plan, &f.kit, &part, &score, NULL,
                                        0, NULL),
                 WITAN_E_NUMERIC);
    pupil_fini(&f);
}

static void
memory_may_run_out(void)
{
    fixture f;
    witan_failing_allocator heap;
    fixture_init(&f, "mlp(8)");
    size_t fail_at = 1;
    for (;; fail_at++) {
        witan_kit kit;
        witan_failing_allocator_init(&heap, fail_at);
        witan_status status =
            witan_kit_init(&kit, &f.plan, &f.network, TRAIN, &heap.allocator);
        if (status == WITAN_OK) {
            witan_kit_fini(&kit, &heap.allocator);
            CHECK(heap.live == 0);
            witan_kit_fini(&kit, &heap.allocator);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(heap.live == 0 && kit.bench == NULL);
    }
    CHECK(fail_at > 3);
    witan_soft_labels out = {0};
    witan_failing_allocator_init(&heap, 1);
    CHECK_STATUS(
        witan_learner_extract(&f.client, &f.plan, &f.kit, 0, &out, &heap.allocator),
        WITAN_E_MEMORY);
    CHECK(heap.live == 0 && out.bytes == NULL);
    pupil_fini(&f);
}

int
main(void)
{
    cloud_make(&points, witan_test_seed(3));
    RUN(training_learns);
    RUN(knowledge_is_softmax_of_logits);
    RUN(distilling_towards_itself_changes_little);
    RUN(a_student_learns_from_soft_labels);
    RUN(wrong_shapes_are_no_target);
    RUN(a_subset_is_scored_on_the_way);
    RUN(a_key_decides_every_bit);
    RUN(a_step_too_wide_is_an_error);
    RUN(memory_may_run_out);
    return witan_test_finish();
}
