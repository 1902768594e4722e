#include "pupil.h"

#include <string.h>

void
pupil_init(pupil *self, const char *model, const witan_input *input, witan_part train,
           witan_part transfer)
{
    witan_model_spec spec;
    memset(self, 0, sizeof *self);
    self->plan = (witan_learning_plan){
        .seed = 11,
        .rounds = 10,
        .classes = input->outputs,
        .positions = input->length > 0 ? input->length : 1,
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
        .transfer = transfer,
        .release = {.swing = witan_swing_defaults()},
    };
    CHECK_STATUS(witan_zoo_parse(&spec, model, NULL), WITAN_OK);
    CHECK_STATUS(witan_network_init(&self->network, witan_allocator_default(), &spec,
                                    input, NULL),
                 WITAN_OK);
    self->parameters = witan_network_parameters(&self->network);
    self->client = (witan_client_state){.id = 3, .train = train};
}

void
pupil_start(pupil *self)
{
    const witan_allocator *a = witan_allocator_default();
    witan_random random;
    size_t state = witan_optimiser_slots(&self->plan.optimiser) *
                   witan_network_trainable(&self->network);
    self->client.learner = (witan_network_learner){
        .network = &self->network,
        .parameters = witan_zalloc(a, self->parameters, sizeof(float)),
        .optimiser_state = witan_zalloc(a, state, sizeof(float)),
        .optimiser = &self->plan.optimiser};
    witan_random_init(&random, 5, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(&self->network, self->client.learner.parameters, &random);
    CHECK_STATUS(witan_kit_init(&self->kit, &self->plan, &self->network,
                                self->client.train.count, a),
                 WITAN_OK);
    if (witan_release_has_scores(&self->plan.release)) {
        CHECK_STATUS(witan_release_new(&self->client.release, &self->plan,
                                       &self->client, &self->kit, a),
                     WITAN_OK);
    }
}

void
pupil_fini(pupil *self)
{
    const witan_allocator *a = witan_allocator_default();
    witan_release_free(&self->client.release);
    witan_kit_fini(&self->kit, a);
    witan_free(a, self->client.learner.parameters);
    witan_free(a, self->client.learner.optimiser_state);
    witan_network_fini(&self->network);
}

double
pupil_train(pupil *self, uint32_t first, uint32_t rounds)
{
    double loss = 0.0;
    for (uint32_t round = first; round < first + rounds; round++) {
        CHECK_STATUS(
            witan_learner_train(&self->client, &self->plan, &self->kit, round, &loss),
            WITAN_OK);
    }
    return loss;
}

witan_soft_labels
pupil_extract(pupil *self, uint32_t round)
{
    witan_soft_labels out = {0};
    CHECK_STATUS(witan_learner_extract(&self->client, &self->plan, &self->kit, round,
                                       &out, witan_allocator_default()),
                 WITAN_OK);
    CHECK(out.rows == self->plan.transfer.count * self->plan.positions &&
          out.classes == self->plan.classes && out.kind == self->plan.kind &&
          out.codec == self->plan.codec);
    return out;
}

double
pupil_distill(pupil *self, uint32_t round, const witan_soft_labels *fused)
{
    double loss = 0.0;
    CHECK_STATUS(witan_learner_distill(&self->client, &self->plan, &self->kit, round,
                                       fused, &loss),
                 WITAN_OK);
    return loss;
}

witan_score
pupil_evaluate(pupil *self, witan_part part)
{
    witan_score score = {0};
    CHECK_STATUS(witan_learner_evaluate(&self->client, &self->plan, &self->kit, &part,
                                        &score, NULL, 0, NULL),
                 WITAN_OK);
    return score;
}

void
pupil_labels_fini(witan_soft_labels *labels)
{
    witan_soft_labels_fini(labels, witan_allocator_default());
}

void
pupil_scores(pupil *self, double *scores)
{
    size_t rows = self->plan.transfer.count * self->plan.positions, odd = 0;
    CHECK_STATUS(witan_release_scores(self->client.release, &self->plan, &self->client,
                                      &self->kit, scores),
                 WITAN_OK);
    for (size_t i = 0; i < rows; i++) {
        odd += !(scores[i] >= 0.0 && scores[i] <= 1.0);
    }
    CHECK(odd == 0);
}

/* --- text ------------------------------------------------------------------------ */

const char *const text_names[TEXT_VOCABULARY] = {"<unk>", "0", "1", "2", "3",  "4",
                                                 "5",     "6", "7", "8", "9",  "a",
                                                 "b",     "c", "d", "e", "\\n"};

static void
text_windows(const void *context, const uint32_t *indices, size_t count,
             uint32_t *tokens)
{
    const text *self = context;
    for (size_t i = 0; i < count; i++) {
        memcpy(tokens + i * (TEXT_LENGTH + 1), self->tokens[indices[i]],
               sizeof self->tokens[0]);
    }
}

void
text_make(text *self, uint64_t seed)
{
    witan_random random;
    witan_random_init(&random, seed, 0, 0, WITAN_PURPOSE_TEST);
    self->rows = (witan_rows){.windows = text_windows, .context = self};
    for (uint32_t i = 0; i < TEXT_WINDOWS; i++) {
        uint32_t letter = witan_random_below(&random, TEXT_LETTERS);
        self->order[i] = i;
        for (size_t t = 0; t <= TEXT_LENGTH; t++) {
            self->tokens[i][t] = 11 + letter;
            letter = witan_random_uniform(&random) < 0.85
                         ? (letter + 1) % TEXT_LETTERS
                         : witan_random_below(&random, TEXT_LETTERS);
        }
    }
}

void
text_pupil(pupil *self, const text *words, const char *model)
{
    witan_input input = {.shape = {1, TEXT_LENGTH, 1},
                         .length = TEXT_LENGTH,
                         .outputs = TEXT_VOCABULARY};
    pupil_init(self, model, &input,
               (witan_part){&words->rows, words->order, TEXT_TRAIN},
               (witan_part){&words->rows, words->order + TEXT_TRAIN, TEXT_TRANSFER});
    self->plan.release.token_names = text_names;
}

/* --- points ---------------------------------------------------------------------- */

static void
cloud_gather(const void *context, const uint32_t *indices, size_t count, float *x,
             uint32_t *classes)
{
    const cloud *self = context;
    for (size_t i = 0; i < count; i++) {
        if (x != NULL) { /* as witan_dataset_gather: labels alone */
            memcpy(x + i * CLOUD_FEATURES, self->points[indices[i]],
                   sizeof self->points[0]);
        }
        if (classes != NULL) {
            classes[i] = self->labels[indices[i]];
        }
    }
}

void
cloud_make(cloud *self, uint64_t seed)
{
    witan_random random;
    witan_random_init(&random, seed, 0, 0, WITAN_PURPOSE_TEST);
    self->rows = (witan_rows){.gather = cloud_gather, .context = self};
    for (uint32_t i = 0; i < CLOUD_ROWS; i++) {
        self->order[i] = i;
        self->labels[i] = i % CLOUD_CLASSES;
        for (size_t f = 0; f < CLOUD_FEATURES; f++) {
            double centre = f == self->labels[i] ? 2.0 : 0.0;
            self->points[i][f] = (float)(centre + 0.7 * witan_random_normal(&random));
        }
    }
}

void
cloud_pupil(pupil *self, const cloud *points, const char *model)
{
    witan_input input = {.shape = {1, 1, CLOUD_FEATURES}, .outputs = CLOUD_CLASSES};
    pupil_init(
        self, model, &input, (witan_part){&points->rows, points->order, CLOUD_TRAIN},
        (witan_part){&points->rows, points->order + CLOUD_TRAIN, CLOUD_TRANSFER});
}
