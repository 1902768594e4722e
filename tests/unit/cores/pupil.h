/* pupil.h - one client, its network and a worker's scratch, for tests of the learner.
 * Plan fields may be changed before pupil_start. */
#ifndef PUPIL_H
#define PUPIL_H

#include "client/core/learner.h"
#include "support/witan_test.h"

typedef struct pupil {
    witan_learning_plan plan;
    witan_network network;
    witan_client_state client;
    witan_kit kit;
    size_t parameters;
} pupil;

/* Adam, two epochs of each phase, small batches; client 3 of seed 11. */
void pupil_init(pupil *self, const char *model, const witan_input *input,
                witan_part train, witan_part transfer);
/* Parameters, kit, release when the plan needs one. */
void pupil_start(pupil *self);
void pupil_fini(pupil *self);

/* Rounds of training; the last loss. */
double pupil_train(pupil *self, uint32_t first, uint32_t rounds);
witan_soft_labels pupil_extract(pupil *self, uint32_t round);
double pupil_distill(pupil *self, uint32_t round, const witan_soft_labels *fused);
witan_score pupil_evaluate(pupil *self, witan_part part);
void pupil_labels_fini(witan_soft_labels *labels);

/* Scores of this moment, [rows]; checked to lie in [0, 1]. */
void pupil_scores(pupil *self, double *scores);

/* Windows of a text whose letters mostly follow each other in one way. Tokens: <unk>,
 * ten digits, then letters. */
enum {
    TEXT_LENGTH = 12,
    TEXT_WINDOWS = 160, /* 0 to 99 private, 100 to 159 for transfer */
    TEXT_TRAIN = 100,
    TEXT_TRANSFER = 60,
    TEXT_LETTERS = 6,
    TEXT_VOCABULARY = 11 + TEXT_LETTERS,
};
typedef struct text {
    uint32_t tokens[TEXT_WINDOWS][TEXT_LENGTH + 1];
    uint32_t order[TEXT_WINDOWS];
    witan_rows rows;
} text;
void text_make(text *self, uint64_t seed);
void text_pupil(pupil *self, const text *words, const char *model);
/* Names of its tokens. */
extern const char *const text_names[TEXT_VOCABULARY];

/* Points of three clouds, labelled. */
enum {
    CLOUD_FEATURES = 4,
    CLOUD_CLASSES = 3,
    CLOUD_ROWS = 240,
    CLOUD_TRAIN = 120,
    CLOUD_TRANSFER = 60,
    CLOUD_TEST = 60,
};
typedef struct cloud {
    float points[CLOUD_ROWS][CLOUD_FEATURES];
    uint32_t labels[CLOUD_ROWS], order[CLOUD_ROWS];
    witan_rows rows;
} cloud;
void cloud_make(cloud *self, uint64_t seed);
void cloud_pupil(pupil *self, const cloud *points, const char *model);

#endif
