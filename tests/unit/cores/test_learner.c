/* What a client computes in a round, on three clouds of points. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/core/learner.h"
#include "support/witan_test.h"

enum {
    FEATURES = 4,
    CLASSES = 3,
    ROWS = 240,
    TRAIN = 120,
    TRANSFER = 60,
    TEST = 60
};

static float points[ROWS][FEATURES];
static uint32_t labels[ROWS], order[ROWS];

static void
gather(const void *context, const uint32_t *indices, size_t count, float *x,
       uint32_t *classes)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        if (x != NULL) { /* as witan_dataset_gather: labels alone */
            memcpy(x + i * FEATURES, points[indices[i]], sizeof points[0]);
        }
        if (classes != NULL) {
            classes[i] = labels[indices[i]];
        }
    }
}

static const witan_rows rows = {.gather = gather};

static void
make_points(void)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(3), 0, 0, WITAN_PURPOSE_TEST);
    for (uint32_t i = 0; i < ROWS; i++) {
        order[i] = i;
        labels[i] = i % CLASSES;
        for (size_t f = 0; f < FEATURES; f++) {
            double centre = f == labels[i] ? 2.0 : 0.0;
            points[i][f] = (float)(centre + 0.7 * witan_random_normal(&random));
        }
    }
}

/* One client, its model, and a worker's scratch. */
typedef struct fixture {
    witan_learning_plan plan;
    witan_network network;
    witan_client_state client;
    witan_kit kit;
    size_t parameters;
} fixture;

static void
fixture_init(fixture *self, const char *model)
{
    const witan_allocator *a = witan_allocator_default();
    witan_model_spec spec;
    witan_random random;
    memset(self, 0, sizeof *self);
    self->plan = (witan_learning_plan){
        .seed = 11,
        .rounds = 10,
        .classes = CLASSES,
        .positions = 1,
        .local_epochs = 2,
        .local_batch = 16,
        .optimiser = {.kind = WITAN_OPTIMISER_ADAM,
                      .lr = 0.02,
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .epsilon_adam = 1e-8},
        .extract_temperature = 1.0,
        .codec = WITAN_CODEC_F32,
        .distill_epochs = 2,
        .distill_batch = 16,
        .distill_temperature = 1.0,
        .predict_batch = 7, /* does not divide the parts */
        .transfer = {&rows, order + TRAIN, TRANSFER},
    };
    CHECK_STATUS(witan_zoo_parse(&spec, model, NULL), WITAN_OK);
    witan_input input = {.shape = {1, 1, FEATURES}, .outputs = CLASSES};
    CHECK_STATUS(witan_network_init(&self->network, a, &spec, &input, NULL), WITAN_OK);
    self->parameters = witan_network_parameters(&self->network);
    size_t state = witan_optimiser_slots(&self->plan.optimiser) *
                   witan_network_trainable(&self->network);
    self->client = (witan_client_state){
        .id = 3,
        .learner = {.network = &self->network,
                    .parameters = witan_zalloc(a, self->parameters, sizeof(float)),
                    .optimiser_state = witan_zalloc(a, state, sizeof(float)),
                    .optimiser = &self->plan.optimiser},
        .train = {&rows, order, TRAIN},
    };
    witan_random_init(&random, 5, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(&self->network, self->client.learner.parameters, &random);
    CHECK_STATUS(witan_kit_init(&self->kit, &self->plan, &self->network, TRAIN, a),
                 WITAN_OK);
}

static void
fixture_fini(fixture *self)
{
    const witan_allocator *a = witan_allocator_default();
    witan_kit_fini(&self->kit, a);
    witan_free(a, self->client.learner.parameters);
    witan_free(a, self->client.learner.optimiser_state);
    witan_network_fini(&self->network);
}

static double
train(fixture *self, uint32_t round)
{
    double loss = 0.0;
    CHECK_STATUS(
        witan_learner_train(&self->client, &self->plan, &self->kit, round, &loss),
        WITAN_OK);
    return loss;
}

static witan_soft_labels
extract(fixture *self)
{
    witan_soft_labels out = {0};
    CHECK_STATUS(witan_learner_extract(&self->client, &self->plan, &self->kit, 0, &out,
                                       witan_allocator_default()),
                 WITAN_OK);
    CHECK(out.rows == TRANSFER && out.classes == CLASSES &&
          out.kind == self->plan.kind && out.codec == self->plan.codec);
    return out;
}

static double
distill(fixture *self, uint32_t round, const witan_soft_labels *fused)
{
    double loss = 0.0;
    CHECK_STATUS(witan_learner_distill(&self->client, &self->plan, &self->kit, round,
                                       fused, &loss),
                 WITAN_OK);
    return loss;
}

static witan_score
evaluate(fixture *self, const uint32_t *indices, size_t count)
{
    witan_score score = {0};
    witan_part part = {&rows, indices, count};
    CHECK_STATUS(witan_learner_evaluate(&self->client, &self->plan, &self->kit, &part,
                                        &score, NULL, 0, NULL),
                 WITAN_OK);
    return score;
}

static void
training_learns(void)
{
    fixture f;
    fixture_init(&f, "mlp(8)");
    double before = evaluate(&f, order + TRAIN + TRANSFER, TEST).loss;
    double first = train(&f, 0), last = first;
    for (uint32_t round = 1; round < 6; round++) {
        last = train(&f, round);
    }
    CHECK(first > last && last < 0.3);
    witan_score after = evaluate(&f, order + TRAIN + TRANSFER, TEST);
    CHECK(after.loss < before && after.accuracy > 0.9 && after.count == TEST);
    f.plan.local_epochs = 0;
    float *kept = calloc(f.parameters, sizeof *kept);
    memcpy(kept, f.client.learner.parameters, f.parameters * sizeof *kept);
    CHECK(isnan(train(&f, 6)));
    CHECK(memcmp(kept, f.client.learner.parameters, f.parameters * sizeof *kept) == 0);
    free(kept);
    fixture_fini(&f);
}

static void
knowledge_is_softmax_of_logits(void)
{
    const double temperatures[] = {1.0, 2.5, 100.0};
    float z[TRANSFER * CLASSES], p[TRANSFER * CLASSES];
    fixture f;
    fixture_init(&f, "mlp(8)");
    (void)train(&f, 0);
    CHECK_STATUS(witan_network_predict(&f.client.learner, f.kit.bench, &rows,
                                       f.plan.transfer.indices, TRANSFER, z),
                 WITAN_OK);
    for (int variant = 0; variant < 12; variant++) {
        double temp = temperatures[variant / 4];
        f.plan.extract_temperature = temp;
        f.plan.codec = variant & 1 ? WITAN_CODEC_U16 : WITAN_CODEC_F32;
        f.plan.kind =
            variant & 2 ? WITAN_KNOWLEDGE_LOG_PROBABILITY : WITAN_KNOWLEDGE_PROBABILITY;
        witan_soft_labels out = extract(&f);
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
        witan_soft_labels_fini(&out, witan_allocator_default());
    }
    fixture_fini(&f);
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
            (void)train(&f, round);
        }
        double accuracy = evaluate(&f, order + TRAIN + TRANSFER, TEST).accuracy;
        witan_soft_labels own = extract(&f);
        double lost = distill(&f, 4, &own);
        witan_soft_labels after = extract(&f);
        CHECK(lost >= 0.0 && lost < 0.3);
        CHECK(agreement(&own, &after) >= TRANSFER - 2);
        CHECK(evaluate(&f, order + TRAIN + TRANSFER, TEST).accuracy > accuracy - 0.1);
        witan_soft_labels_fini(&own, witan_allocator_default());
        witan_soft_labels_fini(&after, witan_allocator_default());
        fixture_fini(&f);
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
            (void)train(&teacher, round);
        }
        teacher.plan.codec = variant < 3 ? WITAN_CODEC_F32 : WITAN_CODEC_U16;
        student.plan.distill_loss = (witan_distill_loss)(variant % 3);
        student.plan.distill_temperature = 2.0;
        witan_soft_labels said = extract(&teacher), before = extract(&student);
        size_t agreed = agreement(&said, &before);
        double first = distill(&student, 0, &said), last = first;
        for (uint32_t round = 1; round < 15; round++) {
            last = distill(&student, round, &said);
        }
        witan_soft_labels after = extract(&student);
        CHECK(last < first);
        CHECK(agreement(&said, &after) > agreed &&
              agreement(&said, &after) >= TRANSFER * 9 / 10);
        CHECK(evaluate(&student, order, TRAIN).accuracy > 0.8);
        student.plan.distill_epochs = 0;
        CHECK(isnan(distill(&student, 15, &said)));
        witan_soft_labels_fini(&said, witan_allocator_default());
        witan_soft_labels_fini(&before, witan_allocator_default());
        witan_soft_labels_fini(&after, witan_allocator_default());
        fixture_fini(&teacher);
        fixture_fini(&student);
    }
}

static void
wrong_shapes_are_no_target(void)
{
    double loss;
    fixture f;
    fixture_init(&f, "linear");
    witan_soft_labels own = extract(&f);
    own.rows--;
    CHECK_STATUS(witan_learner_distill(&f.client, &f.plan, &f.kit, 0, &own, &loss),
                 WITAN_E_DATA);
    own.rows++;
    own.classes--;
    CHECK_STATUS(witan_learner_distill(&f.client, &f.plan, &f.kit, 0, &own, &loss),
                 WITAN_E_DATA);
    witan_soft_labels_fini(&own, witan_allocator_default());
    fixture_fini(&f);
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
    (void)train(&f, 0);
    witan_part part = {&rows, order + TRAIN + TRANSFER, TEST};
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
    fixture_fini(&f);
}

/* Parameters after some training or distillation. */
static void
work(float *out, uint64_t seed, uint32_t client, uint32_t round, bool distills,
     bool used_before)
{
    fixture f;
    fixture_init(&f, "mlp(8)");
    witan_soft_labels own = extract(&f);
    if (used_before) { /* scratch must not matter */
        memset(f.kit.rows, 0xff, f.kit.block * CLASSES * sizeof(float));
        (void)evaluate(&f, order, TRAIN);
    }
    f.plan.seed = seed;
    f.client.id = client;
    if (distills) {
        (void)distill(&f, round, &own);
    } else {
        (void)train(&f, round);
    }
    memcpy(out, f.client.learner.parameters, f.parameters * sizeof(float));
    witan_soft_labels_fini(&own, witan_allocator_default());
    fixture_fini(&f);
}

static void
a_key_decides_every_bit(void)
{
    enum {
        PARAMETERS = (FEATURES + 1) * 8 + (8 + 1) * CLASSES
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
    witan_part part = {&rows, order, TRAIN};
    witan_score score;
    CHECK_STATUS(witan_learner_evaluate(&f.client, &f.plan, &f.kit, &part, &score, NULL,
                                        0, NULL),
                 WITAN_E_NUMERIC);
    fixture_fini(&f);
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
    fixture_fini(&f);
}

int
main(void)
{
    make_points();
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
