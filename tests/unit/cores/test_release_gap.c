/* How much surer a client is than somebody who never saw its rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pupil.h"

enum {
    V = TEXT_VOCABULARY,
    P = TEXT_LENGTH,
    ROWS = TEXT_TRANSFER * P,
    BEFORE = 4, /* the phrase's place in its window */
    PHRASE = 5,
    HOLDERS = 25 /* private windows that hold it */
};

/* Digits that follow each other in no other window. */
static const uint32_t phrase[PHRASE] = {5, 2, 8, 1, 10};

static void
plant(text *words, uint32_t window)
{
    memcpy(words->tokens[window] + BEFORE, phrase, sizeof phrase);
}

/* A client that learned the phrase well; transfer windows at `shown` hold it too. */
static void
start(pupil *self, text *words, const uint32_t *shown, size_t count, size_t epochs)
{
    text_make(words, witan_test_seed(4));
    for (uint32_t i = 0; i < HOLDERS; i++) {
        plant(words, i * 4);
    }
    for (size_t i = 0; i < count; i++) {
        plant(words, TEXT_TRAIN + shown[i]);
    }
    text_pupil(self, words, "lstm(16)");
    self->plan.release.on = true;
    self->plan.release.gap = true;
    self->plan.release.gap_quantile = 0.9;
    self->plan.release.shard_epochs = epochs;
    pupil_start(self);
    (void)pupil_train(self, 0, 12);
}

/* Mean score inside the phrase of a window (its first symbol cannot be known), and of
 * windows without it. */
static double
inside(const double *s, uint32_t window)
{
    double sum = 0.0;
    for (size_t t = 0; t + 1 < PHRASE; t++) {
        sum += s[window * P + BEFORE + t] / (PHRASE - 1);
    }
    return sum;
}

static double
outside(const double *s, const uint32_t *shown, size_t count)
{
    double sum = 0.0;
    size_t rows = 0;
    for (uint32_t w = 0; w < TEXT_TRANSFER; w++) {
        bool holds = false;
        for (size_t i = 0; i < count; i++) {
            holds = holds || shown[i] == w;
        }
        for (size_t t = 0; t < P && !holds; t++) {
            sum += s[w * P + t];
            rows++;
        }
    }
    return sum / (double)rows;
}

static void
what_only_the_client_knows_is_private(void)
{
    static text words;
    static double s[ROWS];
    const uint32_t even[] = {6}, odd[] = {31};
    for (int variant = 0; variant < 2; variant++) {
        const uint32_t *shown = variant == 0 ? even : odd;
        pupil p;
        start(&p, &words, shown, 1, 20);
        pupil_scores(&p, s);
        CHECK(inside(s, *shown) > 0.95);
        CHECK(outside(s, shown, 1) < 0.15);
        pupil_fini(&p);
    }
}

/* Even windows know the phrase: their reference learned it, and the other one judges.
 * Once odd windows know it too, it is public. */
static void
nobody_judges_what_it_learned(void)
{
    static text words;
    static double s[ROWS];
    const uint32_t shown[] = {2,  10, 24, 38, 52, 54, 56, /* even, then odd */
                              57, 51, 39, 25, 11, 3,  1};
    for (size_t count = 7; count <= 14; count += 7) {
        pupil p;
        start(&p, &words, shown, count, 80);
        pupil_scores(&p, s);
        double mean = 0.0;
        for (size_t i = 0; i < count; i++) {
            mean += inside(s, shown[i]) / (double)count;
        }
        CHECK(count == 7 ? mean > 0.8 : mean < 0.3);
        CHECK(outside(s, shown, count) < 0.15);
        pupil_fini(&p);
    }
}

static double
log_p(const float *z, uint32_t v, size_t classes, double temp)
{
    double sum = 0.0;
    for (size_t c = 0; c < classes; c++) {
        sum += exp(((double)z[c] - (double)z[v]) / temp);
    }
    return -log(sum);
}

static uint32_t
largest(const float *z, size_t classes)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        best = z[c] > z[best] ? c : best;
    }
    return best;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
quantile(const double *sorted, size_t count, double share)
{
    double place = share * (double)(count - 1), low = floor(place);
    size_t at = (size_t)low, next = at + 1 < count ? at + 1 : at;
    return sorted[at] + (place - low) * (sorted[next] - sorted[at]);
}

/* expected [count] from gaps [count]. */
static void
expect(double *expected, const double *gaps, size_t count, double share)
{
    double *sorted = malloc(count * sizeof *sorted);
    memcpy(sorted, gaps, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    double middle = quantile(sorted, count, share);
    double width = (middle - quantile(sorted, count, 0.5)) / 4.0;
    for (size_t i = 0; i < count; i++) {
        expected[i] = 1.0 / (1.0 + exp(-(gaps[i] - middle) / width));
    }
    free(sorted);
}

/* Against references that are trained here as release.h says. */
static void
scores_follow_their_formula(void)
{
    static text words;
    static double s[ROWS], gaps[ROWS], expected[ROWS];
    static float z[ROWS * V], judged[ROWS * V];
    const uint32_t shown[] = {6};
    pupil p;
    start(&p, &words, shown, 1, 20);
    pupil_scores(&p, s);
    CHECK_STATUS(witan_network_predict(&p.client.learner, p.kit.bench, &words.rows,
                                       p.plan.transfer.indices, TEXT_TRANSFER, z),
                 WITAN_OK);
    witan_random random, order, dropout;
    witan_random_init(&order, 11, WITAN_CLIENT_NONE, WITAN_ROUND_RELEASE,
                      WITAN_PURPOSE_TRAIN);
    witan_random_init(&dropout, 11, WITAN_CLIENT_NONE, WITAN_ROUND_RELEASE,
                      WITAN_PURPOSE_DROPOUT_TRAIN);
    float *state = calloc(2 * p.parameters, sizeof *state);
    float *parameters = calloc(p.parameters, sizeof *parameters);
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t indices[TEXT_TRANSFER / 2];
        for (uint32_t i = 0; i < TEXT_TRANSFER / 2; i++) {
            indices[i] = p.plan.transfer.indices[2 * i + half];
        }
        witan_network_learner learner = {.network = &p.network,
                                         .parameters = parameters,
                                         .optimiser_state = state,
                                         .optimiser = &p.plan.optimiser};
        witan_random_init(&random, 11, WITAN_CLIENT_NONE, WITAN_ROUND_RELEASE,
                          WITAN_PURPOSE_INITIALISE);
        witan_network_initialise(&p.network, parameters, &random);
        memset(state, 0, 2 * p.parameters * sizeof *state);
        for (size_t epoch = 0; epoch < 20; epoch++) {
            CHECK_STATUS(witan_network_epoch(&learner, p.kit.bench, &words.rows,
                                             indices, TEXT_TRANSFER / 2,
                                             p.plan.local_batch, p.plan.optimiser.lr,
                                             &order, &dropout, NULL),
                         WITAN_OK);
        }
        CHECK_STATUS(witan_network_predict(&learner, p.kit.bench, &words.rows,
                                           p.plan.transfer.indices, TEXT_TRANSFER,
                                           judged),
                     WITAN_OK);
        for (size_t i = 0; i < ROWS; i++) {
            uint32_t v = largest(z + i * V, V);
            if (i / P % 2 != half) {
                gaps[i] =
                    log_p(z + i * V, v, V, 1.0) - log_p(judged + i * V, v, V, 1.0);
            }
        }
    }
    expect(expected, gaps, ROWS, 0.9);
    double worst = 0.0;
    for (size_t i = 0; i < ROWS; i++) {
        worst = fmax(worst, fabs(expected[i] - s[i]));
    }
    CHECK(worst < 1e-4);
    p.kit.block = 3;
    pupil_scores(&p, expected);
    for (size_t i = 0; i < ROWS; i++) {
        worst = fmax(worst, fabs(expected[i] - s[i]));
    }
    CHECK(worst < 1e-4);
    free(state);
    free(parameters);
    pupil_fini(&p);
}

static void
what_was_heard_is_a_reference(void)
{
    static cloud points;
    enum {
        M = CLOUD_TRANSFER,
        C = CLOUD_CLASSES
    };
    double s[M], gaps[M], expected[M];
    float z[M * C], q[M * C];
    pupil p, other;
    cloud_make(&points, witan_test_seed(3));
    cloud_pupil(&other, &points, "linear");
    pupil_start(&other);
    (void)pupil_train(&other, 0, 1);
    witan_soft_labels heard = pupil_extract(&other, 0);
    cloud_pupil(&p, &points, "mlp(8)");
    p.plan.extract_temperature = 2.5;
    p.plan.release.on = true;
    p.plan.release.gap = true;
    p.plan.release.gap_reference = WITAN_GAP_HEARD;
    p.plan.release.gap_quantile = 0.8;
    pupil_start(&p);
    (void)pupil_train(&p, 0, 3);
    pupil_scores(&p, s);
    for (size_t i = 0; i < M; i++) {
        CHECK(s[i] == 1.0); /* nothing heard yet */
    }
    p.client.heard = &heard;
    pupil_scores(&p, s);
    CHECK_STATUS(witan_network_predict(&p.client.learner, p.kit.bench, &points.rows,
                                       p.plan.transfer.indices, M, z),
                 WITAN_OK);
    witan_soft_labels_probabilities(&heard, 0, M, q);
    for (size_t i = 0; i < M; i++) {
        uint32_t v = largest(z + i * C, C);
        gaps[i] = log_p(z + i * C, v, C, 2.5) - log((double)q[i * C + v]);
    }
    expect(expected, gaps, M, 0.8);
    for (size_t i = 0; i < M; i++) {
        CHECK_NEAR(s[i], expected[i], 1e-4, 0);
    }
    /* The kit keeps what an extraction used. */
    witan_soft_labels said = pupil_extract(&p, 1);
    CHECK(memcmp(p.kit.scores, s, sizeof s) == 0);
    pupil_labels_fini(&said);
    heard.rows--;
    CHECK_STATUS(witan_release_scores(p.client.release, &p.plan, &p.client, &p.kit, s),
                 WITAN_E_DATA);
    heard.rows++;
    p.client.learner.parameters[0] = NAN;
    CHECK_STATUS(witan_release_scores(p.client.release, &p.plan, &p.client, &p.kit, s),
                 WITAN_E_NUMERIC);
    pupil_labels_fini(&heard);
    pupil_fini(&other);
    pupil_fini(&p);
}

/* The secret's mass in what is said falls, the rest stays. */
static void
private_rows_are_said_flatter(void)
{
    static text words;
    static float plain[ROWS * V], swung[ROWS * V];
    const uint32_t shown[] = {6};
    pupil p;
    start(&p, &words, shown, 1, 20);
    p.plan.release.swing.temperature_high = 20.0;
    witan_soft_labels said = pupil_extract(&p, 0);
    witan_soft_labels_probabilities(&said, 0, ROWS, swung);
    pupil_labels_fini(&said);
    p.plan.release.on = false;
    said = pupil_extract(&p, 0);
    witan_soft_labels_probabilities(&said, 0, ROWS, plain);
    pupil_labels_fini(&said);
    for (size_t t = 1; t < PHRASE; t++) {
        size_t at = (6 * P + BEFORE + t - 1) * V + phrase[t];
        CHECK(plain[at] > 0.5F && swung[at] < 0.2F);
    }
    size_t kept = 0, open = 0;
    for (size_t i = 0; i < ROWS; i++) {
        if (p.kit.scores[i] < 0.1) {
            uint32_t v = largest(plain + i * V, V);
            open++;
            kept += largest(swung + i * V, V) == v &&
                    swung[i * V + v] > 0.5F * plain[i * V + v];
        }
    }
    CHECK(open > ROWS / 2 && kept == open);
    pupil_fini(&p);
}

static void
the_largest_score_counts(void)
{
    static text words;
    static double gap[ROWS], both[ROWS];
    const uint32_t shown[] = {6};
    size_t by_gap = 0, by_rules = 0;
    for (int ruled = 0; ruled < 2; ruled++) {
        pupil p;
        start(&p, &words, shown, 1, 20);
        witan_release_free(&p.client.release);
        p.plan.release.rules = ruled != 0;
        CHECK_STATUS(witan_release_new(&p.client.release, &p.plan, &p.client, &p.kit,
                                       witan_allocator_default()),
                     WITAN_OK);
        pupil_scores(&p, ruled != 0 ? both : gap);
        pupil_fini(&p);
    }
    for (size_t i = 0; i < ROWS; i++) { /* windows without a digit keep their gap */
        bool digit = i / P == 6 && i % P + 1 >= BEFORE && i % P + 1 < BEFORE + PHRASE;
        CHECK(both[i] == (digit ? 1.0 : gap[i]));
        by_rules += both[i] > gap[i];
        by_gap += both[i] > 0.0 && !digit;
    }
    CHECK(by_rules > 0 && by_gap > ROWS / 2);
}

static void
memory_may_run_out(void)
{
    static text words;
    static double s[ROWS];
    witan_failing_allocator heap;
    witan_release *out = NULL;
    pupil p;
    text_make(&words, witan_test_seed(4));
    text_pupil(&p, &words, "lstm(4)");
    p.plan.release.on = true;
    p.plan.release.gap = p.plan.release.rules = true;
    p.plan.release.gap_quantile = 0.9;
    p.plan.release.shard_epochs = 1;
    pupil_start(&p);
    size_t fail_at = 1;
    for (;; fail_at++) {
        witan_failing_allocator_init(&heap, fail_at);
        witan_status status =
            witan_release_new(&out, &p.plan, &p.client, &p.kit, &heap.allocator);
        if (status == WITAN_OK) {
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(heap.live == 0 && out == NULL);
    }
    CHECK(fail_at > 8);
    size_t live = heap.live;
    for (size_t more = 1; more <= 3; more++) {
        heap.fail_at = more < 3 ? heap.allocations + more : 0;
        CHECK_STATUS(witan_release_scores(out, &p.plan, &p.client, &p.kit, s),
                     more < 3 ? WITAN_E_MEMORY : WITAN_OK);
        CHECK(heap.live == live);
    }
    witan_release_free(&out);
    CHECK(heap.live == 0);
    pupil_fini(&p);
}

int
main(void)
{
    RUN(what_only_the_client_knows_is_private);
    RUN(nobody_judges_what_it_learned);
    RUN(scores_follow_their_formula);
    RUN(what_was_heard_is_a_reference);
    RUN(private_rows_are_said_flatter);
    RUN(the_largest_score_counts);
    RUN(memory_may_run_out);
    return witan_test_finish();
}
