/* What protects a row: rules, densities, shards, and what is said in the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pupil.h"

enum {
    ROWS = CLOUD_TRANSFER,
    C = CLOUD_CLASSES,
    MANY = 20000
};

static cloud points;
static text words;

static void
start(pupil *self, const witan_release_config *config)
{
    cloud_pupil(self, &points, "mlp(8)");
    self->plan.release = *config;
    pupil_start(self);
}

static witan_release_config
plain(void)
{
    return (witan_release_config){
        .on = true, .swing = witan_swing_defaults(), .shard_epochs = 2};
}

static bool
same(const witan_soft_labels *a, const witan_soft_labels *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* --- rules ------------------------------------------------------------------------ */

enum {
    SPAN = 7 /* positions of the windows below */
};

static uint32_t window[SPAN + 1];

static void
hand_windows(const void *context, const uint32_t *indices, size_t count,
             uint32_t *tokens)
{
    (void)context;
    (void)indices;
    for (size_t i = 0; i < count; i++) {
        memcpy(tokens + i * (SPAN + 1), window, sizeof window);
    }
}

/* Scores of one window as a text of '0' and '1'; tokens by the index of their name. */
static const char *
judged(const char *const *names, size_t count, const char *tokens, size_t reach)
{
    static char out[SPAN + 1];
    static const uint32_t first = 0;
    witan_rows rows = {.windows = hand_windows};
    witan_input input = {.shape = {1, SPAN, 1}, .length = SPAN, .outputs = count};
    pupil p;
    double s[SPAN];
    for (size_t j = 0; j <= SPAN; j++) {
        window[j] = (uint32_t)(tokens[j] - '0');
    }
    witan_part part = {&rows, &first, 1};
    pupil_init(&p, "lstm(2)", &input, part, part);
    p.plan.release = plain();
    p.plan.release.rules = true;
    p.plan.release.rules_reach = reach;
    p.plan.release.token_names = names;
    pupil_start(&p);
    pupil_scores(&p, s);
    for (size_t t = 0; t < SPAN; t++) {
        out[t] = s[t] == 1.0 ? '1' : s[t] == 0.0 ? '0' : '?';
    }
    pupil_fini(&p);
    return out;
}

static void
runs_of_digits_are_private(void)
{
    /* Tokens 1, 2, 3 are digits; an escape that ends in one is not. */
    static const char *const names[] = {"<unk>", "0",        "5",   "9",
                                        "a",     "\xC3\xA9", "\\n", "\\x01"};
    CHECK_STRING(judged(names, 8, "44124544", 0), "0110000"); /* positions predict */
    CHECK_STRING(judged(names, 8, "44124544", 1), "0111000");
    CHECK_STRING(judged(names, 8, "44124544", 3), "0111110");
    CHECK_STRING(judged(names, 8, "44144444", 3), "0000000"); /* one digit alone */
    CHECK_STRING(judged(names, 8, "41414141", 2), "0000001"); /* the last may go on */
    CHECK_STRING(judged(names, 8, "14444444", 2), "1100000"); /* the first came from */
    CHECK_STRING(judged(names, 8, "12344444", 0), "1100000");
    CHECK_STRING(judged(names, 8, "44444412", 5), "0000011");
    CHECK_STRING(judged(names, 8, "41144114", 1), "1110111");
    CHECK_STRING(judged(names, 8, "47676704", 2), "0000000");
    CHECK_STRING(judged(names, 8, "41144144", 90), "1111111");
}

static void
words_with_digits_are_private(void)
{
    static const char *const names[] = {"<unk>", "7", "room", "b12", "x", "2024"};
    CHECK_STRING(judged(names, 6, "21443444", 0), "1001000");
    CHECK_STRING(judged(names, 6, "21443444", 1), "1101100");
    CHECK_STRING(judged(names, 6, "54444440", 0), "0000000");
    CHECK_STRING(judged(names, 6, "54444440", 2), "1100000");
}

/* --- density ---------------------------------------------------------------------- */

static void
density_counts_neighbours(void)
{
    witan_release_config config = plain();
    config.density = 3.0;
    config.radius = 0.9;
    pupil p;
    double s[ROWS];
    size_t few = 0, many = 0;
    start(&p, &config);
    pupil_scores(&p, s);
    for (size_t i = 0; i < ROWS; i++) {
        const float *x = points.points[p.plan.transfer.indices[i]];
        size_t near = 0;
        for (size_t j = 0; j < CLOUD_TRAIN; j++) {
            const float *y = points.points[p.client.train.indices[j]];
            double square = 0.0;
            for (size_t f = 0; f < CLOUD_FEATURES; f++) {
                double apart = (double)x[f] - (double)y[f];
                square += apart * apart;
            }
            near += square <= 0.81;
        }
        CHECK_NEAR(s[i], exp(-(double)near / 3.0), 1e-12, 1e-12);
        few += near == 0;
        many += near > 3;
    }
    CHECK(few > 0 && many > 0);
    pupil_fini(&p);
}

/* --- shards ------------------------------------------------------------------------
 */

enum {
    SHARDS = 5
};

/* Votes of shards that are trained here as release.h says. */
static void
vote(pupil *p, uint32_t votes[ROWS][C])
{
    uint32_t indices[CLOUD_TRAIN];
    witan_random random, order, dropout;
    float *parameters = calloc(p->parameters, sizeof *parameters);
    float *state = calloc(2 * p->parameters, sizeof *state);
    memcpy(indices, p->client.train.indices, sizeof indices);
    witan_random_init(&random, 11, 3, WITAN_ROUND_RELEASE, WITAN_PURPOSE_PARTITION);
    witan_random_shuffle(&random, indices, CLOUD_TRAIN);
    witan_random_init(&order, 11, 3, WITAN_ROUND_RELEASE, WITAN_PURPOSE_TRAIN);
    witan_random_init(&dropout, 11, 3, WITAN_ROUND_RELEASE,
                      WITAN_PURPOSE_DROPOUT_TRAIN);
    memset(votes, 0, ROWS * sizeof votes[0]);
    for (size_t m = 0; m < SHARDS; m++) {
        witan_network_learner learner = {.network = &p->network,
                                         .parameters = parameters,
                                         .optimiser_state = state,
                                         .optimiser = &p->plan.optimiser};
        witan_random_init(&random, 11, 3, 0, WITAN_PURPOSE_INITIALISE);
        witan_network_initialise(&p->network, parameters, &random);
        memset(state, 0, 2 * p->parameters * sizeof *state);
        for (size_t epoch = 0; epoch < p->plan.release.shard_epochs; epoch++) {
            CHECK_STATUS(witan_network_epoch(&learner, p->kit.bench, &points.rows,
                                             indices + m * CLOUD_TRAIN / SHARDS,
                                             CLOUD_TRAIN / SHARDS, p->plan.local_batch,
                                             p->plan.optimiser.lr, &order, &dropout,
                                             NULL),
                         WITAN_OK);
        }
        float z[ROWS][C];
        CHECK_STATUS(witan_network_predict(&learner, p->kit.bench, &points.rows,
                                           p->plan.transfer.indices, ROWS, z[0]),
                     WITAN_OK);
        for (size_t i = 0; i < ROWS; i++) {
            size_t best = z[i][1] > z[i][0];
            votes[i][z[i][2] > z[i][best] ? 2 : best]++;
        }
    }
    free(parameters);
    free(state);
}

static size_t
most(const uint32_t *votes)
{
    size_t best = votes[1] > votes[0];
    return votes[2] > votes[best] ? 2 : best;
}

static void
shards_disagree_and_vote(void)
{
    witan_release_config config = plain();
    config.shards = SHARDS;
    pupil p;
    uint32_t votes[ROWS][C];
    double s[ROWS];
    size_t divided = 0;
    start(&p, &config);
    vote(&p, votes);
    pupil_scores(&p, s);
    for (size_t i = 0; i < ROWS; i++) {
        CHECK_NEAR(s[i], 1.0 - (double)votes[i][most(votes[i])] / SHARDS, 1e-12, 0);
        divided += s[i] > 0.0;
    }
    CHECK(divided > 3 && divided < ROWS - 3);
    pupil_fini(&p);

    /* Noise far below a vote leaves the winner, where it is not tied. */
    config.label = WITAN_RELEASE_VOTES;
    config.swing.noise = WITAN_SWING_NOISE_GAUSSIAN;
    config.swing.sigma = 0.01;
    start(&p, &config);
    witan_soft_labels said = pupil_extract(&p, 4);
    float q[ROWS][C];
    witan_soft_labels_probabilities(&said, 0, ROWS, q[0]);
    for (size_t i = 0; i < ROWS; i++) {
        size_t best = most(votes[i]), tied = 0, told = 0;
        for (size_t c = 0; c < C; c++) {
            tied += votes[i][c] == votes[i][best];
            told += q[i][c] == 1.0F || q[i][c] == 0.0F;
        }
        CHECK(told == C && (tied > 1 || q[i][best] == 1.0F));
    }
    p.plan.release.swing.sigma = 50.0;
    witan_soft_labels loud = pupil_extract(&p, 4), louder = pupil_extract(&p, 5);
    CHECK(!same(&said, &loud) && !same(&loud, &louder));
    pupil_labels_fini(&said);
    pupil_labels_fini(&loud);
    pupil_labels_fini(&louder);
    pupil_fini(&p);
    CHECK_STATUS(witan_release_rows(NULL, &config, q[0], NULL, 0, 1, C, NULL,
                                    witan_allocator_default()),
                 WITAN_E_INVALID);
}

/* The largest of several scores counts. */
static void
scores_combine_to_the_largest(void)
{
    witan_release_config config = plain();
    double dense[ROWS], split[ROWS], both[ROWS];
    pupil p;
    config.density = 3.0;
    config.radius = 0.9;
    start(&p, &config);
    pupil_scores(&p, dense);
    pupil_fini(&p);
    config.shards = SHARDS;
    start(&p, &config);
    pupil_scores(&p, both);
    pupil_fini(&p);
    config.density = 0.0;
    start(&p, &config);
    pupil_scores(&p, split);
    pupil_fini(&p);
    size_t first = 0, second = 0;
    for (size_t i = 0; i < ROWS; i++) {
        CHECK(both[i] == fmax(dense[i], split[i]));
        first += dense[i] > split[i];
        second += split[i] > dense[i];
    }
    CHECK(first > 0 && second > 0);
}

/* --- what is said ------------------------------------------------------------------
 */

static double
entropy(const float *q, size_t count)
{
    double sum = 0.0;
    for (size_t c = 0; c < count; c++) {
        sum -= q[c] > 0.0F ? (double)q[c] * log((double)q[c]) : 0.0;
    }
    return sum;
}

static void
private_rows_are_flatter(void)
{
    witan_release_config config = plain();
    float z[2][5] = {{3, 1, 0, -1, 2}, {3, 1, 0, -1, 2}}, open[5], q[5];
    const double score[] = {0.0, 1.0};
    CHECK_STATUS(witan_release_rows(NULL, &config, z[0], score, 0, 2, 5, NULL,
                                    witan_allocator_default()),
                 WITAN_OK);
    CHECK(entropy(z[1], 5) > entropy(z[0], 5) + 0.3);
    const double x[] = {3, 1, 0, -1, 2};
    double sum = 0.0;
    for (size_t c = 0; c < 5; c++) {
        sum += exp(x[c] / 8.0);
    }
    for (size_t c = 0; c < 5; c++) {
        CHECK_NEAR((double)z[1][c], exp(x[c] / 8.0) / sum, 1e-6, 1e-6);
        open[c] = (float)x[c];
        q[c] = (float)x[c];
    }
    /* No scores: every row is open. */
    CHECK_STATUS(witan_release_rows(NULL, &config, open, NULL, 0, 1, 5, NULL,
                                    witan_allocator_default()),
                 WITAN_OK);
    CHECK(memcmp(open, z[0], sizeof open) == 0);
    q[2] = NAN;
    for (int label = WITAN_RELEASE_SOFT; label <= WITAN_RELEASE_RESPONSE; label++) {
        config.label = (witan_release_label)label;
        config.response = 0.5;
        CHECK_STATUS(witan_release_rows(NULL, &config, q, NULL, 0, 1, 5, NULL,
                                        witan_allocator_default()),
                     WITAN_E_NUMERIC);
    }
}

/* What the stream of (11, 3, round 2, NOISE) makes of the client's logits. */
static bool
said_by_stream(pupil *p, const witan_soft_labels *said)
{
    float z[ROWS][C], q[ROWS][C];
    witan_random random;
    witan_random_init(&random, 11, 3, 2, WITAN_PURPOSE_NOISE);
    witan_noise_source source = witan_noise_source_seeded(&random);
    CHECK_STATUS(witan_network_predict(&p->client.learner, p->kit.bench, &points.rows,
                                       p->plan.transfer.indices, ROWS, z[0]),
                 WITAN_OK);
    CHECK_STATUS(witan_release_rows(NULL, &p->plan.release, z[0], p->kit.scores, 0,
                                    ROWS, C, &source, witan_allocator_default()),
                 WITAN_OK);
    witan_soft_labels_decode(said, 0, ROWS, q[0]);
    return memcmp(z, q, sizeof z) == 0;
}

/* Every way to draw: blocks change nothing, a key says the same twice. */
static void
noise_is_a_function_of_its_key(void)
{
    for (int way = 0; way < 4; way++) {
        witan_release_config config = plain();
        if (way < 2) {
            config.swing.noise =
                way == 0 ? WITAN_SWING_NOISE_GAUSSIAN : WITAN_SWING_NOISE_LAPLACE;
            config.swing.sigma = 0.2;
            config.swing.clip = 3.0;
        } else {
            config.label = way == 2 ? WITAN_RELEASE_SAMPLED : WITAN_RELEASE_RESPONSE;
            config.response = 0.6;
        }
        config.density = 3.0;
        config.radius = 0.9;
        pupil p;
        start(&p, &config);
        (void)pupil_train(&p, 0, 1);
        witan_soft_labels said = pupil_extract(&p, 2), again = pupil_extract(&p, 2);
        CHECK(same(&said, &again));
        CHECK_STATUS(witan_soft_labels_check(&said, NULL), WITAN_OK);
        CHECK(said_by_stream(&p, &said));
        pupil_labels_fini(&again);
        p.kit.block = 1;
        again = pupil_extract(&p, 2);
        CHECK(same(&said, &again));
        pupil_labels_fini(&again);
        again = pupil_extract(&p, 3);
        CHECK(!same(&said, &again));
        pupil_labels_fini(&again);
        p.client.id = 4;
        again = pupil_extract(&p, 2);
        CHECK(!same(&said, &again));
        pupil_labels_fini(&again);
        p.client.id = 3;
        p.plan.seed = 12;
        again = pupil_extract(&p, 2);
        CHECK(!same(&said, &again));
        pupil_labels_fini(&again);
        /* A client's own source is not the seed's. */
        p.plan.seed = 11;
        witan_noise_source system = witan_noise_source_system();
        p.client.noise = &system;
        again = pupil_extract(&p, 2);
        CHECK(!same(&said, &again));
        pupil_labels_fini(&again);
        pupil_labels_fini(&said);
        pupil_fini(&p);
    }
}

/* Classes said of MANY equal rows. */
static void
frequencies(const witan_release_config *config, size_t count[5])
{
    const float row[5] = {0.5F, 1.5F, -1.0F, 2.5F, 0.0F};
    float *z = malloc(MANY * sizeof row);
    witan_random random;
    witan_random_init(&random, witan_test_seed(21), 0, 0, WITAN_PURPOSE_NOISE);
    witan_noise_source source = witan_noise_source_seeded(&random);
    for (size_t i = 0; i < MANY; i++) {
        memcpy(z + 5 * i, row, sizeof row);
    }
    memset(count, 0, 5 * sizeof *count);
    CHECK_STATUS(witan_release_rows(NULL, config, z, NULL, 0, MANY, 5, &source,
                                    witan_allocator_default()),
                 WITAN_OK);
    size_t odd = 0;
    for (size_t i = 0; i < MANY; i++) {
        size_t ones = 0;
        for (size_t c = 0; c < 5; c++) {
            ones += z[5 * i + c] == 1.0F;
            odd += z[5 * i + c] != 1.0F && z[5 * i + c] != 0.0F;
            count[c] += z[5 * i + c] == 1.0F;
        }
        odd += ones != 1;
    }
    CHECK(odd == 0);
    free(z);
}

/* 5 standard deviations on each of 10 counts: a false alarm in 170,000 seeds. */
static void
hard_labels_have_their_frequencies(void)
{
    witan_release_config config = plain();
    size_t count[5];
    const double z[] = {0.5, 1.5, -1.0, 2.5, 0.0};
    double sum = 0.0;
    config.label = WITAN_RELEASE_RESPONSE;
    config.response = 0.4;
    frequencies(&config, count);
    for (size_t c = 0; c < 5; c++) {
        double share = 0.4 / 5 + (c == 3 ? 0.6 : 0.0);
        CHECK_NEAR((double)count[c], MANY * share, 5 * sqrt(MANY * share * (1 - share)),
                   0);
    }
    config.label = WITAN_RELEASE_SAMPLED;
    config.swing.temperature_low = 2.0;
    frequencies(&config, count);
    for (size_t c = 0; c < 5; c++) {
        sum += exp(z[c] / 2.0);
    }
    for (size_t c = 0; c < 5; c++) {
        double share = exp(z[c] / 2.0) / sum;
        CHECK_NEAR((double)count[c], MANY * share, 5 * sqrt(MANY * share * (1 - share)),
                   0);
    }
}

/* A clip that makes classes equal must not decide what a response is about. */
static void
a_response_looks_past_the_clip(void)
{
    witan_release_config config = plain();
    size_t count[5];
    config.label = WITAN_RELEASE_RESPONSE;
    config.response = 0.01;
    config.swing.clip = 0.1; /* classes 1 and 3 both at the limit */
    frequencies(&config, count);
    CHECK(count[3] > MANY * 9 / 10);
}

/* --- refusals -----------------------------------------------------------------------
 */

static witan_status
tried(pupil *p, const witan_release_config *config)
{
    witan_release *out = NULL;
    p->plan.release = *config;
    witan_status status = witan_release_new(&out, &p->plan, &p->client, &p->kit,
                                            witan_allocator_default());
    CHECK((status == WITAN_OK) == (out != NULL));
    witan_release_free(&out);
    witan_release_free(&out);
    return status;
}

static void
scores_that_do_not_fit_are_refused(void)
{
    witan_release_config config = plain();
    pupil features, tokens;
    start(&features, &config);
    text_pupil(&tokens, &words, "lstm(4)");
    pupil_start(&tokens);
    CHECK(!witan_release_has_scores(&config));
    config.rules = true;
    CHECK(witan_release_has_scores(&config));
    CHECK_STATUS(tried(&features, &config), WITAN_E_CONFIG);
    CHECK_STATUS(tried(&tokens, &config), WITAN_E_CONFIG); /* no names */
    config.token_names = text_names;
    CHECK_STATUS(tried(&tokens, &config), WITAN_OK);
    config = plain();
    config.gap = true;
    CHECK_STATUS(tried(&features, &config), WITAN_E_CONFIG);
    CHECK_STATUS(tried(&tokens, &config), WITAN_OK);
    tokens.plan.transfer.count = 1;
    CHECK_STATUS(tried(&tokens, &config), WITAN_E_CONFIG);
    config.gap_reference = WITAN_GAP_HEARD;
    CHECK_STATUS(tried(&features, &config), WITAN_OK);
    config = plain();
    config.density = 1.0;
    config.radius = 1.0;
    CHECK_STATUS(tried(&tokens, &config), WITAN_E_CONFIG);
    CHECK_STATUS(tried(&features, &config), WITAN_OK);
    config = plain();
    config.shards = CLOUD_TRAIN + 1;
    CHECK_STATUS(tried(&features, &config), WITAN_E_CONFIG);
    /* Logarithms have no word for nothing. */
    witan_soft_labels out;
    features.plan.kind = WITAN_KNOWLEDGE_LOG_PROBABILITY;
    features.plan.release = plain();
    CHECK_STATUS(witan_learner_extract(&features.client, &features.plan, &features.kit,
                                       0, &out, witan_allocator_default()),
                 WITAN_E_CONFIG);
    pupil_fini(&features);
    pupil_fini(&tokens);
}

static void
memory_may_run_out(void)
{
    witan_release_config config = plain();
    witan_failing_allocator heap;
    config.density = 3.0;
    config.radius = 1.0;
    config.shards = 3;
    config.gap = true;
    config.gap_reference = WITAN_GAP_HEARD;
    config.label = WITAN_RELEASE_VOTES;
    config.swing.noise = WITAN_SWING_NOISE_GAUSSIAN;
    config.swing.sigma = 1.0;
    pupil p;
    start(&p, &config);
    size_t fail_at = 1;
    for (;; fail_at++) {
        witan_release *out = NULL;
        witan_failing_allocator_init(&heap, fail_at);
        witan_status status =
            witan_release_new(&out, &p.plan, &p.client, &p.kit, &heap.allocator);
        if (status == WITAN_OK) {
            witan_release_free(&out);
            CHECK(heap.live == 0);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(heap.live == 0 && out == NULL);
    }
    CHECK(fail_at > 12);
    for (fail_at = 1;; fail_at++) {
        witan_soft_labels out = {0};
        witan_failing_allocator_init(&heap, fail_at);
        witan_status status =
            witan_learner_extract(&p.client, &p.plan, &p.kit, 0, &out, &heap.allocator);
        if (status == WITAN_OK) {
            witan_soft_labels_fini(&out, &heap.allocator);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(heap.live == 0 && out.bytes == NULL);
    }
    CHECK(fail_at > 2);
    pupil_fini(&p);
}

int
main(void)
{
    cloud_make(&points, witan_test_seed(3));
    text_make(&words, witan_test_seed(4));
    RUN(runs_of_digits_are_private);
    RUN(words_with_digits_are_private);
    RUN(density_counts_neighbours);
    RUN(shards_disagree_and_vote);
    RUN(scores_combine_to_the_largest);
    RUN(private_rows_are_flatter);
    RUN(noise_is_a_function_of_its_key);
    RUN(hard_labels_have_their_frequencies);
    RUN(a_response_looks_past_the_clip);
    RUN(scores_that_do_not_fit_are_refused);
    RUN(memory_may_run_out);
    return witan_test_finish();
}
