/* shadows.c - models like a client's, trained on random halves of its members and
 * others, for as many local epochs as the run had: what LiRA compares with.
 * Halves come in pairs that complete each other, so that every row is in half of them.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "audit/membership_private.h"
#include "nn/optimiser.h"
#include "privacy/membership.h"
#include "setup/learner_block.h"

enum {
    SHADOW_ROUND = 64, /* streams of this room: number of the first shadow's */
    STREAMS = 4,
    LIRA_MIN = 4 /* two models of each kind, or there is no variance to pool */
};

typedef struct shadows {
    audit_scene *scene;
    const audit_pool *pool;
    audit_views *views;
    uint32_t client;
    size_t S;
    double *phi;      /* [S, E] */
    uint8_t *member;  /* [S, E] */
    uint32_t *order;  /* [E] the pair's split */
    size_t *in_count; /* [E] shadows that saw the row */
} shadows;

static uint32_t
stream_of(size_t shadow, uint32_t which)
{
    return (uint32_t)(SHADOW_ROUND + shadow * STREAMS + which);
}

/* Rows of shadow s; *count of them. */
static const uint32_t *
half_of(shadows *self, size_t s, size_t *count)
{
    size_t E = self->pool->count, half = E / 2;
    if (s % 2 == 0) {
        witan_random random;
        audit_stream(&random, self->scene, self->client, stream_of(s, 0));
        for (size_t i = 0; i < E; i++) {
            self->order[i] = (uint32_t)i;
        }
        witan_random_shuffle(&random, self->order, E);
    }
    *count = s % 2 == 0 ? half : E - half;
    return s % 2 == 0 ? self->order : self->order + half;
}

static witan_status
train(shadows *self, witan_network_learner *learner, size_t s, const uint32_t *rows,
      size_t count)
{
    audit_scene *scene = self->scene;
    const witan_learning_plan *plan = &scene->learning;
    audit_network *network = audit_network_of(scene, self->client);
    witan_random start, order, dropout;
    audit_stream(&start, scene, self->client, stream_of(s, 1));
    audit_stream(&order, scene, self->client, stream_of(s, 2));
    audit_stream(&dropout, scene, self->client, stream_of(s, 3));
    witan_network_initialise(&network->network, learner->parameters, &start);
    for (size_t round = 0; round < scene->result->record.rounds; round++) {
        double lr = witan_schedule_lr(&plan->optimiser, round, plan->rounds);
        for (size_t e = 0; e < plan->local_epochs; e++) {
            witan_status status = witan_network_epoch(
                learner, network->bench, &self->pool->rows, rows, count,
                plan->local_batch, lr, &order, &dropout, NULL);
            if (status != WITAN_OK) {
                return witan_diag_fail(
                    scene->diag, status,
                    "%s: a shadow model of client %u diverged; audit "
                    "without --shadows",
                    scene->settings->directory, self->client);
            }
        }
    }
    return WITAN_OK;
}

static witan_status
make_shadow(shadows *self, size_t s)
{
    audit_scene *scene = self->scene;
    audit_views *views = self->views;
    witan_network_learner learner;
    size_t count, E = views->E;
    const uint32_t *rows = half_of(self, s, &count);
    if (witan_learner_block_new(&learner, &scene->learning,
                                &audit_network_of(scene, self->client)->network,
                                self->client, scene->allocator) != WITAN_OK) {
        return audit_out_of_memory(scene);
    }
    witan_status status = train(self, &learner, s, rows, count);
    if (status == WITAN_OK) {
        status =
            audit_views_ask(views, scene, self->pool, self->client, learner.parameters);
    }
    witan_learner_block_free(&learner, scene->allocator);
    WITAN_TRY(status);
    for (size_t i = 0; i < count; i++) {
        self->member[s * E + rows[i]] = 1;
        self->in_count[rows[i]]++;
    }
    memcpy(self->phi + s * E, views->model_phi, E * sizeof *self->phi);
    for (size_t i = 0; i < E; i++) {
        *(self->member[s * E + i] ? &views->in[i] : &views->out[i]) +=
            fmax(exp(-views->model[i]), DBL_MIN);
    }
    for (size_t i = 0; i < views->Z; i++) {
        views->z_out[i] += views->z_model[i] / (double)self->S;
    }
    return WITAN_OK;
}

static witan_status
make_shadows(shadows *self)
{
    audit_views *views = self->views;
    memset(views->out, 0, views->E * sizeof *views->out);
    memset(views->in, 0, views->E * sizeof *views->in);
    memset(views->z_out, 0, views->Z * sizeof *views->z_out);
    for (size_t s = 0; s < self->S; s++) {
        WITAN_TRY(audit_progress(self->scene, "shadow models", s, self->S));
        WITAN_TRY(make_shadow(self, s));
    }
    for (size_t i = 0; i < views->E; i++) {
        size_t in = self->in_count[i];
        views->in[i] = fmin(views->in[i] / (double)in, 1.0);
        views->out[i] = fmin(views->out[i] / (double)(self->S - in), 1.0);
    }
    for (size_t i = 0; i < views->Z; i++) {
        views->z_out[i] = fmin(views->z_out[i], 1.0);
    }
    return WITAN_OK;
}

static witan_status
attack(shadows *self, witan_audit_membership *list)
{
    static const struct {
        witan_lira_mode mode;
        const char *name;
    } lira[] = {{WITAN_LIRA_ONLINE, "lira-online"},
                {WITAN_LIRA_OFFLINE, "lira-offline"}};
    audit_scene *scene = self->scene;
    audit_views *views = self->views;
    if (self->S < LIRA_MIN) {
        WITAN_TRY(audit_limit(scene->result,
                              "LiRA was not tried: it needs %d shadow models of each "
                              "client",
                              LIRA_MIN));
    }
    for (size_t i = 0; i < sizeof lira / sizeof lira[0] && self->S >= LIRA_MIN; i++) {
        witan_status status =
            witan_lira_score(views->score, views->phi, self->phi, self->member, self->S,
                             views->E, lira[i].mode, true, scene->allocator);
        if (status != WITAN_OK) {
            return witan_diag_fail(scene->diag, status, "%s: %s of client %u: %s",
                                   scene->settings->directory, lira[i].name,
                                   self->client, witan_status_text(status));
        }
        WITAN_TRY(audit_membership_add(scene, list, self->pool, views->score,
                                       self->client, lira[i].name, "model", self->S));
    }
    if (self->pool->population.count < AUDIT_ROWS_MIN) {
        return WITAN_OK;
    }
    WITAN_TRY(audit_rmia(views, scene, true));
    return audit_membership_add(scene, list, self->pool, views->score, self->client,
                                "rmia-online", "model", self->S);
}

witan_status
audit_shadows_attack(audit_scene *scene, witan_audit_membership *list,
                     const audit_pool *pool, audit_views *views, uint32_t client)
{
    shadows self = {.scene = scene,
                    .pool = pool,
                    .views = views,
                    .client = client,
                    .S = scene->settings->shadows & ~(size_t)1};
    const witan_allocator *a = scene->allocator;
    self.phi = witan_alloc(a, self.S, pool->count * sizeof *self.phi);
    self.member = witan_zalloc(a, self.S, pool->count);
    self.order = witan_alloc(a, pool->count, sizeof *self.order);
    self.in_count = witan_zalloc(a, pool->count, sizeof *self.in_count);
    witan_status status = self.phi == NULL || self.member == NULL ||
                                  self.order == NULL || self.in_count == NULL
                              ? audit_out_of_memory(scene)
                              : make_shadows(&self);
    if (status == WITAN_OK) {
        status = attack(&self, list);
    }
    witan_free(a, self.phi);
    witan_free(a, self.member);
    witan_free(a, self.order);
    witan_free(a, self.in_count);
    return status;
}
