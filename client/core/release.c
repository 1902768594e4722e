#include "client/core/release.h"

#include <math.h>
#include <string.h>

#include "client/core/release_private.h"
#include "num/softmax.h"
#include "privacy/array.h"

struct witan_release {
    const witan_allocator *allocator; /* borrowed */
    size_t rows;                      /* M * positions */
    float *reference[2]; /* parameters of what learned half 0 and half 1, owned */
    uint32_t *halves;    /* [M] owned: windows at even places of the transfer part,
                            then those at odd ones */
    double *fixed;       /* [rows] owned: the largest of the scores that stay; NULL when
                            there are none */
    uint16_t *votes;     /* [shards, rows] owned, for VOTES */
    size_t shards;
};

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool
has_shards(const witan_release_config *config)
{
    return config->shards > 1;
}

bool
witan_release_has_scores(const witan_release_config *config)
{
    return config->on && (config->gap || config->rules || config->density > 0.0 ||
                          has_shards(config));
}

/* First of the largest entries; UINT32_MAX when one is not finite. */
static uint32_t
largest(const float *row, size_t C)
{
    uint32_t best = 0;
    for (size_t c = 0; c < C; c++) {
        if (!isfinite(row[c])) {
            return UINT32_MAX;
        }
        best = row[c] > row[best] ? (uint32_t)c : best;
    }
    return best;
}

/* --- models beside the client's own ---------------------------------------------- */

typedef struct course {
    const witan_learning_plan *plan;
    witan_kit *kit;
    witan_network_learner learner; /* blocks owned */
    witan_random initial;          /* every model starts here */
    witan_random order, dropout;   /* run on from model to model */
} course;

/* id: of the client, or WITAN_CLIENT_NONE. */
static witan_status
course_init(course *self, const witan_learning_plan *plan, witan_kit *kit,
            const witan_network *network, uint32_t id, uint32_t initial_round,
            const witan_allocator *allocator)
{
    size_t state =
        witan_optimiser_slots(&plan->optimiser) * witan_network_trainable(network);
    *self = (course){.plan = plan,
                     .kit = kit,
                     .learner = {.network = network, .optimiser = &plan->optimiser}};
    self->learner.parameters =
        witan_alloc(allocator, witan_network_parameters(network), sizeof(float));
    self->learner.optimiser_state = witan_alloc(allocator, state, sizeof(float));
    witan_random_init(&self->initial, plan->seed, id, initial_round,
                      WITAN_PURPOSE_INITIALISE);
    witan_random_init(&self->order, plan->seed, id, WITAN_ROUND_RELEASE,
                      WITAN_PURPOSE_TRAIN);
    witan_random_init(&self->dropout, plan->seed, id, WITAN_ROUND_RELEASE,
                      WITAN_PURPOSE_DROPOUT_TRAIN);
    return self->learner.parameters == NULL || self->learner.optimiser_state == NULL
               ? WITAN_E_MEMORY
               : WITAN_OK;
}

static void
course_fini(course *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->learner.parameters);
    witan_free(allocator, self->learner.optimiser_state);
}

/* A fresh model, trained on those rows. */
static witan_status
course_run(course *self, const witan_part *part)
{
    const witan_learning_plan *plan = self->plan;
    const witan_network *network = self->learner.network;
    size_t slots = witan_optimiser_slots(&plan->optimiser);
    witan_random initial = self->initial;
    witan_network_initialise(network, self->learner.parameters, &initial);
    memset(self->learner.optimiser_state, 0,
           slots * witan_network_trainable(network) * sizeof(float));
    self->learner.optimiser_step = 0;
    double lr = witan_schedule_lr(&plan->optimiser, 0, plan->rounds);
    for (size_t epoch = 0; epoch < plan->release.shard_epochs; epoch++) {
        WITAN_TRY(witan_network_epoch(&self->learner, self->kit->bench, part->rows,
                                      part->indices, part->count, plan->local_batch, lr,
                                      &self->order, &self->dropout, NULL));
    }
    return WITAN_OK;
}

/* --- references ------------------------------------------------------------------ */

/* The windows of one half. */
static witan_part
half_part(const witan_release *self, const witan_learning_plan *plan, size_t half)
{
    size_t even = (plan->transfer.count + 1) / 2;
    return (witan_part){.rows = plan->transfer.rows,
                        .indices = self->halves + half * even,
                        .count = half == 0 ? even : plan->transfer.count - even};
}

static witan_status
train_references(witan_release *self, const witan_learning_plan *plan,
                 const witan_network *network, witan_kit *kit)
{
    const witan_part *part = &plan->transfer;
    if (network->sequence == NULL || part->count < 2) {
        return WITAN_E_CONFIG;
    }
    size_t floats = witan_network_parameters(network);
    self->halves = witan_alloc(self->allocator, part->count, sizeof(uint32_t));
    self->reference[0] = witan_alloc(self->allocator, floats, sizeof(float));
    self->reference[1] = witan_alloc(self->allocator, floats, sizeof(float));
    if (self->halves == NULL || self->reference[0] == NULL ||
        self->reference[1] == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < part->count; i++) {
        self->halves[i / 2 + (i % 2) * ((part->count + 1) / 2)] = part->indices[i];
    }
    course lessons;
    witan_status status = course_init(&lessons, plan, kit, network, WITAN_CLIENT_NONE,
                                      WITAN_ROUND_RELEASE, self->allocator);
    for (size_t half = 0; half < 2 && status == WITAN_OK; half++) {
        witan_part rows = half_part(self, plan, half);
        status = course_run(&lessons, &rows);
        memcpy(self->reference[half], lessons.learner.parameters,
               floats * sizeof(float));
    }
    course_fini(&lessons, self->allocator);
    return status;
}

/* --- shards ---------------------------------------------------------------------- */

static witan_status
take_votes(witan_release *self, const course *lessons, size_t shard)
{
    const witan_learning_plan *plan = lessons->plan;
    const witan_part *part = &plan->transfer;
    witan_kit *kit = lessons->kit;
    uint16_t *votes = self->votes + shard * self->rows;
    for (size_t first = 0; first < part->count; first += kit->block) {
        size_t count = smaller(part->count - first, kit->block);
        WITAN_TRY(witan_network_predict(&lessons->learner, kit->bench, part->rows,
                                        part->indices + first, count, kit->rows));
        for (size_t i = 0; i < count * plan->positions; i++) {
            votes[first * plan->positions + i] =
                (uint16_t)largest(kit->rows + i * plan->classes, plan->classes);
        }
    }
    return WITAN_OK;
}

/* Disjoint shards of the private rows, sizes equal or apart by one. */
static witan_status
train_shards(witan_release *self, const witan_learning_plan *plan,
             const witan_client_state *client, witan_kit *kit, uint32_t *indices)
{
    const witan_part *train = &client->train;
    course lessons;
    witan_random random;
    witan_random_init(&random, plan->seed, client->id, WITAN_ROUND_RELEASE,
                      WITAN_PURPOSE_PARTITION);
    memcpy(indices, train->indices, train->count * sizeof *indices);
    witan_random_shuffle(&random, indices, train->count);
    witan_status status = course_init(&lessons, plan, kit, client->learner.network,
                                      client->id, 0, self->allocator);
    for (size_t m = 0; m < self->shards && status == WITAN_OK; m++) {
        size_t first = m * train->count / self->shards;
        size_t end = (m + 1) * train->count / self->shards;
        witan_part part = {train->rows, indices + first, end - first};
        status = course_run(&lessons, &part);
        if (status == WITAN_OK) {
            status = take_votes(self, &lessons, m);
        }
    }
    course_fini(&lessons, self->allocator);
    return status;
}

/* Votes of one row: counts [C]. */
static void
count_votes(const witan_release *self, size_t row, uint32_t *counts, size_t C)
{
    memset(counts, 0, C * sizeof *counts);
    for (size_t m = 0; m < self->shards; m++) {
        counts[self->votes[m * self->rows + row]]++;
    }
}

static witan_status
judge_shards(witan_release *self, const witan_learning_plan *plan,
             const witan_client_state *client, witan_kit *kit)
{
    const witan_allocator *allocator = self->allocator;
    size_t C = plan->classes;
    if (client->train.count < plan->release.shards) {
        return WITAN_E_CONFIG;
    }
    self->shards = plan->release.shards;
    if (self->rows > SIZE_MAX / self->shards) {
        return WITAN_E_LIMIT;
    }
    self->votes = witan_alloc(allocator, self->shards * self->rows, sizeof(uint16_t));
    uint32_t *indices = witan_alloc(allocator, client->train.count, sizeof *indices);
    uint32_t *counts = witan_alloc(allocator, C, sizeof *counts);
    witan_status status = self->votes == NULL || indices == NULL || counts == NULL
                              ? WITAN_E_MEMORY
                              : train_shards(self, plan, client, kit, indices);
    for (size_t i = 0; i < self->rows && status == WITAN_OK; i++) {
        double score = 0.0;
        count_votes(self, i, counts, C);
        status = witan_swing_score_shards(&score, counts, 1, C);
        self->fixed[i] = fmax(self->fixed[i], score);
    }
    witan_free(allocator, counts);
    witan_free(allocator, indices);
    if (plan->release.label != WITAN_RELEASE_VOTES) {
        witan_free(allocator, self->votes);
        self->votes = NULL;
    }
    return status;
}

/* --- life ------------------------------------------------------------------------ */

static witan_status
release_fill(witan_release *self, const witan_learning_plan *plan,
             const witan_client_state *client, witan_kit *kit)
{
    const witan_release_config *config = &plan->release;
    const witan_network *network = client->learner.network;
    self->rows = plan->transfer.count * plan->positions;
    if (config->rules || config->density > 0.0 || has_shards(config)) {
        self->fixed = witan_zalloc(self->allocator, self->rows, sizeof *self->fixed);
        if (self->fixed == NULL) {
            return WITAN_E_MEMORY;
        }
    }
    if (config->rules) {
        WITAN_TRY(witan_release_judge_rules(self->fixed, plan, self->allocator));
    }
    if (config->density > 0.0) {
        if (network->model == NULL) {
            return WITAN_E_CONFIG;
        }
        witan_shape shape = witan_model_input(network->model);
        WITAN_TRY(witan_release_judge_density(
            self->fixed, plan, &client->train,
            shape.height * shape.width * shape.channels, self->allocator));
    }
    if (has_shards(config)) {
        WITAN_TRY(judge_shards(self, plan, client, kit));
    }
    return config->gap && config->gap_reference == WITAN_GAP_PUBLIC
               ? train_references(self, plan, network, kit)
               : WITAN_OK;
}

witan_status
witan_release_new(witan_release **out, const witan_learning_plan *plan,
                  const witan_client_state *client, witan_kit *kit,
                  const witan_allocator *allocator)
{
    *out = NULL;
    witan_release *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    self->allocator = allocator;
    witan_status status = release_fill(self, plan, client, kit);
    if (status != WITAN_OK) {
        witan_release_free(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_release_free(witan_release **self)
{
    witan_release *release = *self;
    if (release == NULL) {
        return;
    }
    const witan_allocator *allocator = release->allocator;
    witan_free(allocator, release->reference[0]);
    witan_free(allocator, release->reference[1]);
    witan_free(allocator, release->halves);
    witan_free(allocator, release->fixed);
    witan_free(allocator, release->votes);
    witan_free(allocator, release);
    *self = NULL;
}

/* --- the gap --------------------------------------------------------------------- */

/* ln softmax(z / temp)[v]; z is scratch afterwards. */
static double
log_probability(float *z, size_t C, double temp, uint32_t v)
{
    for (size_t c = 0; temp != 1.0 && c < C; c++) {
        z[c] = (float)((double)z[c] / temp);
    }
    return (double)z[v] - witan_log_sum_exp(z, C);
}

/* First choices of the client for `count` rows of a block, to kit->labels, and their
 * log-probabilities. */
static witan_status
choose(const witan_client_state *client, const witan_learning_plan *plan,
       witan_kit *kit, const witan_part *part, size_t first, size_t count, double temp,
       double *log_p)
{
    size_t C = plan->classes;
    WITAN_TRY(witan_network_predict(&client->learner, kit->bench, part->rows,
                                    part->indices + first, count, kit->rows));
    for (size_t i = 0; i < count * plan->positions; i++) {
        float *z = kit->rows + i * C;
        kit->labels[i] = largest(z, C);
        log_p[i] = log_probability(z, C, temp, kit->labels[i]);
    }
    return WITAN_OK;
}

/* Gaps of the windows of one half; whoever learned the other half judges. own: [block *
 * positions] scratch. */
static witan_status
gap_half(const witan_release *self, const witan_learning_plan *plan,
         const witan_client_state *client, witan_kit *kit, size_t half, double *own,
         double *gaps)
{
    size_t C = plan->classes, P = plan->positions;
    witan_part part = half_part(self, plan, half);
    witan_network_learner judge = {.network = client->learner.network,
                                   .parameters = self->reference[1 - half],
                                   .optimiser = &plan->optimiser};
    for (size_t first = 0; first < part.count; first += kit->block) {
        size_t count = smaller(part.count - first, kit->block);
        WITAN_TRY(choose(client, plan, kit, &part, first, count, 1.0, own));
        WITAN_TRY(witan_network_predict(&judge, kit->bench, part.rows,
                                        part.indices + first, count, kit->rows));
        for (size_t i = 0; i < count * P; i++) {
            size_t window = 2 * (first + i / P) + half;
            gaps[window * P + i % P] =
                own[i] - log_probability(kit->rows + i * C, C, 1.0, kit->labels[i]);
        }
    }
    return WITAN_OK;
}

static witan_status
gap_heard(const witan_learning_plan *plan, const witan_client_state *client,
          witan_kit *kit, double *gaps)
{
    const witan_part *part = &plan->transfer;
    size_t C = plan->classes, P = plan->positions;
    for (size_t first = 0; first < part->count; first += kit->block) {
        size_t count = smaller(part->count - first, kit->block);
        double *gap = gaps + first * P;
        WITAN_TRY(choose(client, plan, kit, part, first, count,
                         plan->extract_temperature, gap));
        witan_soft_labels_probabilities(client->heard, first * P, count * P, kit->rows);
        for (size_t i = 0; i < count * P; i++) {
            float heard = kit->rows[i * C + kit->labels[i]];
            gap[i] -= log((double)fmaxf(heard, WITAN_HEARD_FLOOR));
        }
    }
    return WITAN_OK;
}

/* Gaps [rows] -> scores, in place. */
static witan_status
score_gaps(const witan_release *self, double *gaps, double quantile)
{
    if (!witan_array_finite(gaps, self->rows)) {
        return WITAN_E_NUMERIC;
    }
    double *sorted = witan_array_sorted(gaps, self->rows, self->allocator);
    if (sorted == NULL) {
        return WITAN_E_MEMORY;
    }
    double middle = witan_array_quantile(sorted, self->rows, quantile);
    double median = witan_array_quantile(sorted, self->rows, 0.5);
    memset(sorted, 0, self->rows * sizeof *sorted);
    witan_status status = witan_swing_score_gap(gaps, gaps, sorted, self->rows, middle,
                                                fmax((middle - median) / 4.0, 1e-6));
    witan_free(self->allocator, sorted);
    return status;
}

static witan_status
judge_gap(const witan_release *self, const witan_learning_plan *plan,
          const witan_client_state *client, witan_kit *kit, double *scores)
{
    if (self->reference[0] == NULL) {
        if (client->heard->rows != self->rows ||
            client->heard->classes != plan->classes) {
            return WITAN_E_DATA;
        }
        WITAN_TRY(gap_heard(plan, client, kit, scores));
        return score_gaps(self, scores, plan->release.gap_quantile);
    }
    double *own =
        witan_alloc(self->allocator, kit->block * plan->positions, sizeof *own);
    if (own == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_status status = gap_half(self, plan, client, kit, 0, own, scores);
    if (status == WITAN_OK) {
        status = gap_half(self, plan, client, kit, 1, own, scores);
    }
    witan_free(self->allocator, own);
    return status == WITAN_OK ? score_gaps(self, scores, plan->release.gap_quantile)
                              : status;
}

witan_status
witan_release_scores(witan_release *self, const witan_learning_plan *plan,
                     const witan_client_state *client, witan_kit *kit, double *scores)
{
    bool heard_nothing =
        plan->release.gap && self->reference[0] == NULL && client->heard == NULL;
    for (size_t i = 0; i < self->rows; i++) {
        scores[i] = heard_nothing ? 1.0 : 0.0;
    }
    if (plan->release.gap && !heard_nothing && self->rows > 0) {
        WITAN_TRY(judge_gap(self, plan, client, kit, scores));
    }
    for (size_t i = 0; self->fixed != NULL && i < self->rows; i++) {
        scores[i] = fmax(scores[i], self->fixed[i]);
    }
    return WITAN_OK;
}

/* --- what is said ---------------------------------------------------------------- */

/* The class that is said instead of a soft label. counts: [C] scratch for VOTES. */
static witan_status
choose_label(const witan_release *self, const witan_release_config *config,
             uint32_t *label, const float *row, size_t n, size_t C, uint32_t *counts,
             const witan_noise_source *source)
{
    switch (config->label) {
    case WITAN_RELEASE_SAMPLED:
        return witan_swing_draw(label, row, 1, C, source);
    case WITAN_RELEASE_VOTES:
        count_votes(self, n, counts, C);
        return witan_swing_vote(label, counts, 1, C, config->swing.sigma, source);
    case WITAN_RELEASE_RESPONSE:
        *label = largest(row, C);
        return *label == UINT32_MAX
                   ? WITAN_E_NUMERIC
                   : witan_swing_respond(label, 1, C, config->response, source);
    case WITAN_RELEASE_SOFT:
        break;
    }
    return WITAN_E_INVALID;
}

/* A row at a time: what swing.c draws ahead it throws away at the end of a call. */
static witan_status
say_rows(const witan_release *self, const witan_release_config *config, float *z,
         const double *score, size_t first, size_t count, size_t C, uint32_t *counts,
         const witan_noise_source *source, const witan_allocator *allocator)
{
    bool noisy = config->swing.noise != WITAN_SWING_NOISE_NONE;
    bool tempered = config->label == WITAN_RELEASE_SOFT ||
                    config->label == WITAN_RELEASE_SAMPLED ||
                    (config->label == WITAN_RELEASE_RESPONSE && noisy);
    for (size_t n = 0; n < count; n++) {
        float *row = z + n * C;
        uint32_t label = 0;
        if (tempered) {
            WITAN_TRY(witan_swing_release(row, row, score == NULL ? NULL : score + n, 1,
                                          C, &config->swing, source, allocator));
        }
        if (config->label != WITAN_RELEASE_SOFT) {
            WITAN_TRY(
                choose_label(self, config, &label, row, first + n, C, counts, source));
            memset(row, 0, C * sizeof *row);
            row[label] = 1.0F;
        }
    }
    return WITAN_OK;
}

witan_status
witan_release_rows(const witan_release *self, const witan_release_config *config,
                   float *z, const double *score, size_t first, size_t count, size_t C,
                   const witan_noise_source *source, const witan_allocator *allocator)
{
    if (config->label == WITAN_RELEASE_SOFT &&
        config->swing.noise == WITAN_SWING_NOISE_NONE) {
        return witan_swing_release(z, z, score, count, C, &config->swing, source,
                                   allocator);
    }
    uint32_t *counts = NULL;
    if (config->label == WITAN_RELEASE_VOTES) {
        if (self == NULL || self->votes == NULL) {
            return WITAN_E_INVALID;
        }
        counts = witan_alloc(allocator, C, sizeof *counts);
        if (counts == NULL) {
            return WITAN_E_MEMORY;
        }
    }
    witan_status status =
        say_rows(self, config, z, score, first, count, C, counts, source, allocator);
    witan_free(allocator, counts);
    return status;
}
