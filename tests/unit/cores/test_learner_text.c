/* What a client computes in a round, on windows of text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pupil.h"

enum {
    V = TEXT_VOCABULARY,
    ROWS = TEXT_TRANSFER * TEXT_LENGTH
};

static text words;

static void
start(pupil *self, const char *model)
{
    text_pupil(self, &words, model);
    pupil_start(self);
}

static void
training_learns_what_follows(void)
{
    const char *const models[] = {"lstm(12)", "transformer(12,1,2)"};
    for (size_t i = 0; i < 2; i++) {
        pupil p;
        start(&p, models[i]);
        double before = pupil_evaluate(&p, p.plan.transfer).loss;
        double first = pupil_train(&p, 0, 1), last = pupil_train(&p, 1, 9);
        witan_score after = pupil_evaluate(&p, p.plan.transfer);
        CHECK(last < first && after.loss < before);
        CHECK(before > 2.0 && after.loss < 1.4 && after.accuracy > 0.75);
        CHECK(after.count == ROWS);
        pupil_fini(&p);
    }
}

/* A position is a row of soft labels; blocks of windows change nothing. */
static void
knowledge_is_softmax_of_logits(void)
{
    static float z[ROWS * V], q[ROWS * V];
    pupil p;
    start(&p, "gru(8)");
    (void)pupil_train(&p, 0, 2);
    p.plan.extract_temperature = 1.7;
    CHECK_STATUS(witan_network_predict(&p.client.learner, p.kit.bench, &words.rows,
                                       p.plan.transfer.indices, TEXT_TRANSFER, z),
                 WITAN_OK);
    for (size_t block = 2; block <= 7; block += 5) {
        p.kit.block = block;
        witan_soft_labels said = pupil_extract(&p, 0);
        witan_soft_labels_probabilities(&said, 0, ROWS, q);
        double worst = 0.0;
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0.0;
            for (size_t v = 0; v < V; v++) {
                sum += exp((double)z[i * V + v] / 1.7);
            }
            for (size_t v = 0; v < V; v++) {
                double value = exp((double)z[i * V + v] / 1.7) / sum;
                worst = fmax(worst, fabs((double)q[i * V + v] - value));
            }
        }
        CHECK(worst < 2e-6);
        pupil_labels_fini(&said);
    }
    pupil_fini(&p);
}

/* A student that saw nothing but what the teacher says, in any codec. */
static void
a_student_learns_from_soft_labels(void)
{
    const witan_codec codecs[] = {WITAN_CODEC_F32, WITAN_CODEC_U16, WITAN_CODEC_TOP(3)};
    for (size_t i = 0; i < 3; i++) {
        pupil teacher, student;
        start(&teacher, "lstm(12)");
        text_pupil(&student, &words, "gru(12)");
        teacher.plan.codec = student.plan.codec = codecs[i];
        pupil_start(&student);
        (void)pupil_train(&teacher, 0, 8);
        witan_soft_labels said = pupil_extract(&teacher, 0);
        double first = pupil_distill(&student, 0, &said), last = first;
        for (uint32_t round = 1; round < 10; round++) {
            last = pupil_distill(&student, round, &said);
        }
        CHECK(last < first);
        CHECK(pupil_evaluate(&student, student.client.train).accuracy > 0.75);
        pupil_labels_fini(&said);
        pupil_fini(&teacher);
        pupil_fini(&student);
    }
}

/* Parameters of a fresh student after two epochs towards `said`. */
static float *
taught_by(const witan_soft_labels *said, witan_codec codec)
{
    pupil p;
    text_pupil(&p, &words, "lstm(8)");
    p.plan.codec = codec;
    pupil_start(&p);
    (void)pupil_distill(&p, 0, said);
    float *out = malloc(p.parameters * sizeof *out);
    memcpy(out, p.client.learner.parameters, p.parameters * sizeof *out);
    pupil_fini(&p);
    return out;
}

static void
all_classes_as_top_are_dense(void)
{
    pupil p;
    text_pupil(&p, &words, "lstm(8)");
    size_t count = p.parameters;
    p.plan.codec = WITAN_CODEC_TOP(V);
    pupil_start(&p);
    (void)pupil_train(&p, 0, 3);
    witan_soft_labels said = pupil_extract(&p, 0);
    float *sparse = taught_by(&said, said.codec);
    float *dense = taught_by(&said, WITAN_CODEC_U16); /* as a codec of others */
    float *start_of = taught_by(&said, WITAN_CODEC_U16);
    double worst = 0.0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)sparse[i] - (double)dense[i]));
    }
    CHECK(worst < 2e-3); /* masses are cut to 1/65535 */
    CHECK(memcmp(dense, start_of, count * sizeof *dense) == 0);
    witan_soft_labels few;
    CHECK_STATUS(witan_soft_labels_new(&few, witan_allocator_default(), said.kind,
                                       WITAN_CODEC_TOP(2), ROWS, V),
                 WITAN_OK);
    float *values = malloc(ROWS * V * sizeof *values);
    witan_soft_labels_probabilities(&said, 0, ROWS, values);
    CHECK_STATUS(witan_soft_labels_encode(&few, 0, ROWS, values), WITAN_OK);
    float *other = taught_by(&few, few.codec);
    CHECK(memcmp(other, sparse, count * sizeof *other) != 0);
    free(values);
    free(other);
    free(start_of);
    free(sparse);
    free(dense);
    pupil_labels_fini(&few);
    pupil_labels_fini(&said);
    pupil_fini(&p);
}

static void
a_subset_of_windows_counts_every_position(void)
{
    const uint32_t subset[] = {0, 6, 7, 13, 59};
    uint32_t chosen[5];
    witan_score all, some;
    pupil p;
    start(&p, "lstm(8)");
    (void)pupil_train(&p, 0, 2);
    for (size_t i = 0; i < 5; i++) {
        chosen[i] = p.plan.transfer.indices[subset[i]];
    }
    CHECK_STATUS(witan_learner_evaluate(&p.client, &p.plan, &p.kit, &p.plan.transfer,
                                        &all, subset, 5, &some),
                 WITAN_OK);
    witan_score alone = pupil_evaluate(&p, (witan_part){&words.rows, chosen, 5});
    CHECK(all.count == ROWS && some.count == 5 * TEXT_LENGTH &&
          alone.count == some.count && alone.accuracy == some.accuracy);
    CHECK_NEAR(some.loss, alone.loss, 1e-6, 1e-6);
    CHECK_NEAR(some.ece, alone.ece, 1e-6, 1e-6);
    /* The loss is that of the next token. */
    static float z[5 * TEXT_LENGTH * V];
    CHECK_STATUS(witan_network_predict(&p.client.learner, p.kit.bench, &words.rows,
                                       chosen, 5, z),
                 WITAN_OK);
    double sum = 0.0;
    for (size_t i = 0; i < 5 * TEXT_LENGTH; i++) {
        double total = 0.0;
        for (size_t v = 0; v < V; v++) {
            total += exp((double)z[i * V + v]);
        }
        uint32_t next = words.tokens[chosen[i / TEXT_LENGTH]][i % TEXT_LENGTH + 1];
        sum += log(total) - (double)z[i * V + next];
    }
    CHECK_NEAR(alone.loss, sum / (5 * TEXT_LENGTH), 1e-5, 1e-5);
    pupil_fini(&p);
}

static void
shapes_and_losses_that_do_not_fit(void)
{
    double loss;
    pupil p;
    start(&p, "lstm(8)");
    witan_soft_labels said = pupil_extract(&p, 0);
    said.rows = TEXT_TRANSFER;
    CHECK_STATUS(witan_learner_distill(&p.client, &p.plan, &p.kit, 0, &said, &loss),
                 WITAN_E_DATA);
    said.rows = ROWS;
    p.plan.distill_loss = WITAN_DISTILL_MSE;
    CHECK_STATUS(witan_learner_distill(&p.client, &p.plan, &p.kit, 0, &said, &loss),
                 WITAN_E_INVALID);
    pupil_labels_fini(&said);
    pupil_fini(&p);
}

/* Windows of a large vocabulary go in smaller blocks. */
static void
blocks_of_logits_are_bounded(void)
{
    witan_input input = {.shape = {1, 64, 1}, .length = 64, .outputs = 40000};
    pupil p;
    witan_part none = {&words.rows, words.order, 0};
    pupil_init(&p, "lstm(2)", &input, none, none);
    p.plan.predict_batch = 256;
    p.plan.local_batch = p.plan.distill_batch = 2;
    pupil_start(&p);
    CHECK(p.kit.block == 1);
    pupil_fini(&p);
}

/* --- differentially private training ---------------------------------------------- */

typedef struct meter {
    witan_random random;
    size_t bytes;
} meter;

static void
meter_fill(void *context, void *bytes, size_t size)
{
    meter *self = context;
    self->bytes += size;
    witan_noise_source seeded = witan_noise_source_seeded(&self->random);
    seeded.fill(seeded.context, bytes, size);
}

static float *
privately_trained(double clip, double noise, uint32_t round, meter *source)
{
    pupil p;
    start(&p, "lstm(8)");
    p.plan.private_clip = clip;
    p.plan.private_noise = noise;
    witan_noise_source own = {meter_fill, source};
    p.client.noise = source == NULL ? NULL : &own;
    (void)pupil_train(&p, round, 1);
    float *out = malloc(p.parameters * sizeof *out);
    memcpy(out, p.client.learner.parameters, p.parameters * sizeof *out);
    pupil_fini(&p);
    return out;
}

static void
private_training_is_a_function_of_its_key(void)
{
    pupil p;
    text_pupil(&p, &words, "lstm(8)");
    size_t size = p.parameters * sizeof(float);
    witan_network_fini(&p.network);
    meter source = {.bytes = 0};
    witan_random_init(&source.random, 99, 0, 0, WITAN_PURPOSE_TEST);
    float *plain = privately_trained(0.0, 0.5, 0, NULL);
    float *first = privately_trained(1.0, 0.5, 0, NULL);
    float *again = privately_trained(1.0, 0.5, 0, NULL);
    float *later = privately_trained(1.0, 0.5, 1, NULL);
    float *quiet = privately_trained(1.0, 0.0, 0, NULL);
    float *own = privately_trained(1.0, 0.5, 0, &source);
    meter key = {.bytes = 0};
    witan_random_init(&key.random, 11, 3, 0, WITAN_PURPOSE_PRIVATE);
    float *keyed = privately_trained(1.0, 0.5, 0, &key);
    CHECK(memcmp(first, keyed, size) == 0);
    free(keyed);
    CHECK(memcmp(first, again, size) == 0);
    CHECK(memcmp(first, plain, size) != 0);
    CHECK(memcmp(first, later, size) != 0);
    CHECK(memcmp(first, quiet, size) != 0);
    CHECK(memcmp(first, own, size) != 0 && source.bytes > size);
    free(plain);
    free(first);
    free(again);
    free(later);
    free(quiet);
    free(own);
}

int
main(void)
{
    text_make(&words, witan_test_seed(4));
    RUN(training_learns_what_follows);
    RUN(knowledge_is_softmax_of_logits);
    RUN(a_student_learns_from_soft_labels);
    RUN(all_classes_as_top_are_dense);
    RUN(a_subset_of_windows_counts_every_position);
    RUN(shapes_and_losses_that_do_not_fit);
    RUN(blocks_of_logits_are_bounded);
    RUN(private_training_is_a_function_of_its_key);
    return witan_test_finish();
}
