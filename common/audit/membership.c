/* membership.c - whether a model tells its private rows from rows that nobody trained
 * on: loss, RMIA with other clients' models (Zarifzadeh et al. 2024), and with shadow
 * models LiRA (Carlini et al. 2022).
 * A row's confidence is the model's probability of its label; of a text window the
 * geometric mean of its tokens' probabilities, and LiRA's phi is then -loss. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "audit/audit_private.h"
#include "audit/membership_private.h"
#include "nn/optimiser.h"
#include "privacy/membership.h"
#include "setup/learner_block.h"

enum {
    REFERENCES_MAX = 4, /* models of other clients that RMIA compares with */
    POINTS_MAX = 200,   /* of a curve in the record */
    ATTACKS = 7,        /* lists of a client: two places, shadows */
    SAMPLE_ROUND = 16   /* streams of this room: number of the first sample */
};

/* RMIA offline: a model that has seen the row is taken to be as sure as a p + 1 - a. */
static const double OFFLINE_A = 0.3;

static const char place_after[] = "model", place_before[] = "model before distilling";

/* --- rows ------------------------------------------------------------------------- */

static const witan_part *
side_of(const audit_pool *self, uint32_t *index)
{
    if (*index < self->members.count) {
        return &self->members;
    }
    *index -= (uint32_t)self->members.count;
    return &self->others;
}

static void
pool_gather(const void *context, const uint32_t *indices, size_t count, float *x,
            uint32_t *labels)
{
    const audit_pool *self = context;
    for (size_t i = 0; i < count; i++) {
        uint32_t index = indices[i];
        const witan_part *part = side_of(self, &index);
        part->rows->gather(part->rows->context, &part->indices[index], 1,
                           x == NULL ? NULL : x + i * self->features,
                           labels == NULL ? NULL : labels + i);
    }
}

static void
pool_windows(const void *context, const uint32_t *indices, size_t count,
             uint32_t *tokens)
{
    const audit_pool *self = context;
    for (size_t i = 0; i < count; i++) {
        uint32_t index = indices[i];
        const witan_part *part = side_of(self, &index);
        part->rows->windows(part->rows->context, &part->indices[index], 1,
                            tokens + i * self->window);
    }
}

/* A seeded sample of a part without the rows of `without`, which may be NULL. */
static witan_status
sample(witan_part *out, uint32_t **items, const audit_scene *scene, witan_part part,
       const witan_part *without, uint32_t client, uint32_t number)
{
    witan_random random;
    size_t kept = 0;
    uint32_t *all = witan_alloc(scene->allocator, part.count, sizeof *all);
    *items = all;
    if (all == NULL) {
        return audit_out_of_memory(scene);
    }
    for (size_t i = 0; i < part.count; i++) {
        bool taken = false;
        for (size_t j = 0; without != NULL && j < without->count && !taken; j++) {
            taken = without->indices[j] == part.indices[i];
        }
        if (!taken) {
            all[kept++] = part.indices[i];
        }
    }
    audit_stream(&random, scene, client, SAMPLE_ROUND + number);
    witan_random_shuffle(&random, all, kept);
    *out = (witan_part){part.rows, all, kept < AUDIT_ROWS_MAX ? kept : AUDIT_ROWS_MAX};
    return WITAN_OK;
}

void
audit_pool_fini(audit_pool *self, const audit_scene *scene)
{
    for (size_t i = 0; i < sizeof self->owned / sizeof self->owned[0]; i++) {
        witan_free(scene->allocator, self->owned[i]);
    }
    *self = (audit_pool){.features = 0};
}

witan_status
audit_pool_init(audit_pool *self, const audit_scene *scene, uint32_t client)
{
    const witan_world *world = &scene->world;
    *self = (audit_pool){.features = witan_dataset_features(&world->train),
                         .window = world->train.length + 1};
    witan_part private = witan_world_private_part(world, client);
    witan_part others = witan_world_own_test(world, client);
    witan_part population = witan_world_validation(world);
    if (scene->has_plan) {
        private.count -= world->planted_count[client]; /* canaries stand last */
    }
    if (others.count < AUDIT_ROWS_MIN) {
        others = witan_world_global_test(world);
        self->others_are_global = true;
    }
    if (population.count < AUDIT_ROWS_MIN) {
        population = witan_world_global_test(world);
    }
    WITAN_TRY(sample(&self->members, &self->owned[0], scene, private, NULL, client, 0));
    WITAN_TRY(sample(&self->others, &self->owned[1], scene, others, NULL, client, 1));
    bool same = population.rows == others.rows;
    WITAN_TRY(sample(&self->population, &self->owned[2], scene, population,
                     same ? &self->others : NULL, client, 2));
    self->count = self->members.count + self->others.count;
    self->rows = (witan_rows){.gather = pool_gather,
                              .context = self,
                              .windows = scene->text ? pool_windows : NULL};
    self->owned[3] = witan_alloc(scene->allocator, self->count, sizeof(uint32_t));
    if (self->owned[3] == NULL) {
        return audit_out_of_memory(scene);
    }
    for (size_t i = 0; i < self->count; i++) {
        self->owned[3][i] = (uint32_t)i;
    }
    return WITAN_OK;
}

witan_part
audit_pool_part(const audit_pool *self)
{
    return (witan_part){&self->rows, self->owned[3], self->count};
}

/* --- what models say -------------------------------------------------------------- */

static double
confidence(double loss)
{
    return fmax(exp(-loss), DBL_MIN);
}

void
audit_views_fini(audit_views *self, const audit_scene *scene)
{
    witan_free(scene->allocator, self->block);
    *self = (audit_views){.block = NULL};
}

witan_status
audit_views_init(audit_views *self, const audit_scene *scene, const audit_pool *pool)
{
    size_t E = pool->count, Z = pool->population.count;
    *self = (audit_views){.E = E, .Z = Z};
    self->block = witan_zalloc(scene->allocator, 8 * E + 4 * Z, sizeof *self->block);
    if (self->block == NULL) {
        return audit_out_of_memory(scene);
    }
    double *at = self->block;
    double **rows[] = {&self->loss, &self->phi,   &self->target, &self->out,
                       &self->in,   &self->score, &self->model,  &self->model_phi};
    double **population[] = {&self->z_target, &self->z_out, &self->z_model};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++, at += E) {
        *rows[i] = at;
    }
    for (size_t i = 0; i < sizeof population / sizeof population[0]; i++, at += Z) {
        *population[i] = at;
    }
    return WITAN_OK;
}

/* Confidences of one model into model [E], model_phi [E], z_model [Z]. */
witan_status
audit_views_ask(audit_views *self, const audit_scene *scene, const audit_pool *pool,
                size_t client, const float *parameters)
{
    audit_network *network = audit_network_of(scene, client);
    witan_part part = audit_pool_part(pool);
    WITAN_TRY(audit_judge(scene, network, parameters, &part, NULL, self->model,
                          self->model_phi));
    WITAN_TRY(audit_judge(scene, network, parameters, &pool->population, NULL,
                          self->z_model, NULL));
    for (size_t i = 0; i < self->Z; i++) {
        self->z_model[i] = confidence(self->z_model[i]);
    }
    return WITAN_OK;
}

static witan_status
ask_target(audit_views *self, const audit_scene *scene, const audit_pool *pool,
           size_t client, const float *parameters)
{
    WITAN_TRY(audit_views_ask(self, scene, pool, client, parameters));
    memcpy(self->loss, self->model, self->E * sizeof *self->loss);
    memcpy(self->phi, self->model_phi, self->E * sizeof *self->phi);
    memcpy(self->z_target, self->z_model, self->Z * sizeof *self->z_target);
    for (size_t i = 0; i < self->E; i++) {
        self->target[i] = confidence(self->loss[i]);
    }
    return WITAN_OK;
}

/* --- scores to record ------------------------------------------------------------- */

/* Points of a curve, dense where few are flagged. */
static witan_status
thin_curve(audit_scene *scene, const witan_roc *roc, witan_audit_membership *out)
{
    double *fpr = audit_keep(scene->result, POINTS_MAX, sizeof *fpr);
    double *tpr = audit_keep(scene->result, POINTS_MAX, sizeof *tpr);
    if (fpr == NULL || tpr == NULL) {
        return audit_out_of_memory(scene);
    }
    double step = pow((double)roc->count, 1.0 / (double)(POINTS_MAX - 1));
    size_t next = 0;
    for (size_t i = 0; i < roc->count; i++) {
        if (i < next && i + 1 != roc->count) {
            continue;
        }
        fpr[out->points] = (double)roc->fp[i] / (double)roc->others;
        tpr[out->points] = (double)roc->tp[i] / (double)roc->members;
        out->points++;
        next = roc->count <= POINTS_MAX ? i + 1 : (size_t)ceil((double)(i + 1) * step);
    }
    out->fpr = fpr;
    out->tpr = tpr;
    return WITAN_OK;
}

witan_status
audit_membership_add(audit_scene *scene, witan_audit_membership *list,
                     const audit_pool *pool, const double *score, size_t client,
                     const char *attack, const char *place, size_t references)
{
    witan_roc roc;
    witan_audit_membership *out = &list[scene->result->record.memberships];
    witan_status status =
        witan_roc_init(&roc, score, pool->members.count, score + pool->members.count,
                       pool->others.count, scene->allocator);
    if (status != WITAN_OK) {
        return witan_diag_fail(scene->diag, status, "%s: membership of client %zu: %s",
                               scene->settings->directory, client,
                               witan_status_text(status));
    }
    *out = (witan_audit_membership){
        .client = client,
        .attack = attack,
        .place = place,
        .members = pool->members.count,
        .others = pool->others.count,
        .references = references,
        .auc = witan_roc_area(&roc),
        .balanced_accuracy = witan_roc_balanced_accuracy(&roc),
        .tpr_1 = witan_roc_tpr(&roc, 0.01),
        .tpr_01 = witan_roc_tpr(&roc, 0.001),
        .tpr_0 = witan_roc_tpr(&roc, 0.0),
    };
    status = thin_curve(scene, &roc, out);
    witan_roc_fini(&roc, scene->allocator);
    scene->result->record.memberships += status == WITAN_OK;
    return status;
}

/* The score is a share of the population, so that the surest rows tie: within a share
 * the ratio itself decides, which never changes the order of two shares. */
static void
break_ties(audit_views *self, bool online)
{
    double step = 0.5 / (double)self->Z;
    for (size_t i = 0; i < self->E; i++) {
        double in = online ? self->in[i] : OFFLINE_A * self->out[i] + 1.0 - OFFLINE_A;
        double ratio = self->target[i] / (0.5 * (in + self->out[i]));
        self->score[i] += step * ratio / (1.0 + ratio);
    }
}

witan_status
audit_rmia(audit_views *self, const audit_scene *scene, bool online)
{
    witan_rmia_rows rows = {self->E, self->target, self->out, online ? self->in : NULL};
    /* No shadow has seen the population: for it both means are one. */
    witan_rmia_rows population = {self->Z, self->z_target, self->z_out,
                                  online ? self->z_out : NULL};
    witan_status status = witan_rmia_score(self->score, &rows, &population, OFFLINE_A,
                                           1.0, scene->allocator);
    if (status != WITAN_OK) {
        return witan_diag_fail(scene->diag, status, "%s: membership: %s",
                               scene->settings->directory, witan_status_text(status));
    }
    break_ties(self, online);
    return WITAN_OK;
}

/* --- the models of a run ---------------------------------------------------------- */

static const float *
parameters_of(const witan_audit_snapshot *it, bool after)
{
    return after ? it->after : it->before;
}

static witan_status
open_last(witan_audit_snapshot *out, bool *present, const audit_scene *scene,
          uint32_t client)
{
    return audit_snapshot_open(out, present, scene,
                               scene->recorded[scene->recorded_count - 1], client);
}

/* Sums over models of other clients, which have seen none of the rows, become means. */
static void
divide(double *sum, size_t count, size_t models)
{
    for (size_t i = 0; i < count; i++) {
        sum[i] = fmin(sum[i] / (double)models, 1.0); /* sums round */
    }
}

static witan_status
ask_references(audit_views *self, const audit_scene *scene, const audit_pool *pool,
               uint32_t client, bool after, size_t *references)
{
    memset(self->out, 0, self->E * sizeof *self->out);
    memset(self->z_out, 0, self->Z * sizeof *self->z_out);
    *references = 0;
    for (size_t r = 1; r < scene->clients && *references < REFERENCES_MAX; r++) {
        witan_audit_snapshot it;
        bool present;
        uint32_t other = (uint32_t)((client + r) % scene->clients);
        WITAN_TRY(open_last(&it, &present, scene, other));
        if (!present) {
            continue;
        }
        witan_status status =
            audit_views_ask(self, scene, pool, other, parameters_of(&it, after));
        witan_audit_snapshot_fini(&it, scene->allocator);
        WITAN_TRY(status);
        (*references)++;
        for (size_t i = 0; i < self->E; i++) {
            self->out[i] += confidence(self->model[i]);
        }
        for (size_t i = 0; i < self->Z; i++) {
            self->z_out[i] += self->z_model[i];
        }
    }
    divide(self->out, self->E, *references);
    divide(self->z_out, self->Z, *references);
    return WITAN_OK;
}

static witan_status
attack_model(audit_scene *scene, witan_audit_membership *list, const audit_pool *pool,
             audit_views *views, const witan_audit_snapshot *it, bool after)
{
    const char *place = after ? place_after : place_before;
    size_t references;
    WITAN_TRY(ask_target(views, scene, pool, it->client, parameters_of(it, after)));
    WITAN_TRY(witan_loss_score(views->score, views->loss, views->E));
    WITAN_TRY(audit_membership_add(scene, list, pool, views->score, it->client, "loss",
                                   place, 0));
    if (pool->population.count < AUDIT_ROWS_MIN) {
        return WITAN_OK;
    }
    WITAN_TRY(ask_references(views, scene, pool, it->client, after, &references));
    if (references == 0) {
        return audit_limit(scene->result, "without another client's model RMIA has "
                                          "nothing to compare with: loss alone was "
                                          "tried");
    }
    WITAN_TRY(audit_rmia(views, scene, false));
    return audit_membership_add(scene, list, pool, views->score, it->client, "rmia",
                                place, references);
}

static witan_status
attack_client(audit_scene *scene, witan_audit_membership *list, const audit_pool *pool,
              audit_views *views, uint32_t client)
{
    witan_audit_snapshot it;
    bool present;
    WITAN_TRY(open_last(&it, &present, scene, client));
    if (!present) {
        return WITAN_OK;
    }
    bool same = memcmp(it.before, it.after, it.parameters * sizeof *it.after) == 0;
    witan_status status =
        same ? WITAN_OK : attack_model(scene, list, pool, views, &it, false);
    if (status == WITAN_OK) {
        status = attack_model(scene, list, pool, views, &it, true);
    }
    if (status == WITAN_OK && scene->settings->shadows >= 2) {
        status = audit_shadows_attack(scene, list, pool, views, client);
    }
    witan_audit_snapshot_fini(&it, scene->allocator);
    return status;
}

static witan_status
measure_client(audit_scene *scene, witan_audit_membership *list, uint32_t client)
{
    audit_pool pool;
    audit_views views = {.block = NULL};
    witan_status status = audit_pool_init(&pool, scene, client);
    if (status == WITAN_OK &&
        (pool.members.count < AUDIT_ROWS_MIN || pool.others.count < AUDIT_ROWS_MIN)) {
        status = audit_limit(scene->result,
                             "membership is left out for clients with fewer than %d "
                             "private rows or rows to compare them with",
                             AUDIT_ROWS_MIN);
    } else if (status == WITAN_OK) {
        if (pool.others_are_global) {
            status = audit_limit(scene->result,
                                 "some clients have fewer than %d own test rows: their "
                                 "members are compared with rows of the global test "
                                 "set, which may be told apart for other reasons",
                                 AUDIT_ROWS_MIN);
        }
        if (status == WITAN_OK) {
            status = audit_views_init(&views, scene, &pool);
        }
        if (status == WITAN_OK) {
            status = attack_client(scene, list, &pool, &views, client);
        }
    }
    audit_views_fini(&views, scene);
    audit_pool_fini(&pool, scene);
    return status;
}

witan_status
audit_measure_membership(audit_scene *scene)
{
    witan_audit_record *record = &scene->result->record;
    witan_audit_membership *list =
        audit_keep(scene->result, scene->clients * ATTACKS, sizeof *list);
    if (list == NULL) {
        return audit_out_of_memory(scene);
    }
    record->membership = list;
    for (uint32_t n = 0; n < scene->clients; n++) {
        WITAN_TRY(audit_progress(scene, "membership", n, scene->clients));
        WITAN_TRY(measure_client(scene, list, n));
    }
    return audit_limit(
        scene->result,
        "membership compares with models that learned from this client's "
        "soft labels; curves below a false positive rate of 1 %% rest on "
        "at most %d rows",
        AUDIT_ROWS_MAX);
}
