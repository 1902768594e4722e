/* ruler.c - exposure of every canary of a plan in one model, or in soft labels.
 * Text: a canary's rank among all fills of its template when they can be enumerated,
 * else among references that were never inserted, with a skew normal fitted to them
 * (Carlini et al. 2019). Other canaries are left out of the ranks, so that a canary
 * that was not memorised has a uniform rank whatever happened to the others.
 * Features: rank of its loss among rows of the same kind that were never inserted. */
#include <math.h>
#include <string.h>

#include "audit/audit_private.h"
#include "privacy/exposure.h"
#include "privacy/search.h"

enum {
    FIT_VALUES = 1000, /* references that a skew normal is fitted to and tested on */
    FIT_REPLICAS = 39,
    REFERENCE_ROUND = 2 /* streams of the plan: 0 draws it, 1 are noise rows */
};

/* A fit that fits so badly is not used. */
static const double FIT_SIGNIFICANCE = 0.05;

struct audit_ruler {
    audit_scene *scene;
    size_t canaries, references; /* references: 0 when all fills are enumerated */
    bool exact;
    double *surprise; /* exact: [space]; else [references + canaries] */
    double *own;      /* [canaries] */
    uint32_t *fills;  /* text, not exact: [references + canaries, holes] */
    float *p;         /* text: [holes, vocabulary] */
    float *row;       /* [classes] */
    witan_part rows;  /* features: references, then canaries */
    uint32_t *indices, *labels;
    size_t fits, rejected;
    double worst_p;
};

static witan_status
not_finite(const audit_ruler *self, witan_status status)
{
    return status == WITAN_E_MEMORY
               ? audit_out_of_memory(self->scene)
               : witan_diag_fail(self->scene->diag, status,
                                 "%s: a recorded model has no finite answer about a "
                                 "canary: %s",
                                 self->scene->settings->directory,
                                 witan_status_text(status));
}

/* --- making ----------------------------------------------------------------------- */

static witan_status
make_fills(audit_ruler *self)
{
    audit_scene *scene = self->scene;
    const witan_canary_plan *plan = &scene->plan;
    size_t holes = plan->compiled.holes;
    double space = plan->compiled.space;
    self->exact = space <= scene->settings->exact_max;
    size_t values = (size_t)space;
    if (!self->exact) {
        witan_random random;
        values = plan->references + self->canaries;
        self->references = plan->references;
        self->fills =
            witan_alloc(scene->allocator, values, holes * sizeof *self->fills);
        if (self->fills == NULL) {
            return audit_out_of_memory(scene);
        }
        witan_random_init(&random, plan->seed, WITAN_CLIENT_NONE, REFERENCE_ROUND,
                          WITAN_PURPOSE_CANARY);
        WITAN_TRY(witan_canary_draw(self->fills, self->references, plan->fills,
                                    self->canaries, &plan->compiled, &random,
                                    scene->allocator, scene->diag));
        memcpy(self->fills + self->references * holes, plan->fills,
               self->canaries * holes * sizeof *self->fills);
    }
    self->surprise = witan_alloc(scene->allocator, values, sizeof *self->surprise);
    self->p =
        witan_alloc(scene->allocator, holes, scene->learning.classes * sizeof *self->p);
    return self->surprise == NULL || self->p == NULL ? audit_out_of_memory(scene)
                                                     : WITAN_OK;
}

/* Noise rows: the plan's, then the ones after them, planted beside the training rows in
 * the very way in which the run planted its own. */
static witan_status
make_noise_rows(audit_ruler *self)
{
    audit_scene *scene = self->scene;
    size_t total = self->canaries + self->references, planted = 0;
    uint32_t *rows = NULL;
    witan_canary *every = witan_zalloc(scene->allocator, total, sizeof *every);
    if (every == NULL) {
        return audit_out_of_memory(scene);
    }
    witan_canary_plan plan = scene->plan;
    plan.count = total;
    plan.canary = every;
    for (size_t i = 0; i < total; i++) {
        every[i] = (witan_canary){.repetitions = 1, .inserted = true};
        witan_canary_noise_row(&plan, i, NULL, 0, &every[i].label);
    }
    witan_status status =
        witan_dataset_plant(&scene->world.train, NULL, 0, &plan, 0, &rows, &planted,
                            scene->allocator, scene->diag);
    if (status == WITAN_OK) {
        WITAN_ASSERT(planted == total);
        for (size_t i = 0; i < total; i++) { /* references first */
            size_t number = (i + self->canaries) % total;
            self->indices[i] = rows[number];
            self->labels[i] = every[number].label;
        }
        self->rows = (witan_part){&scene->world.train_rows, self->indices, total};
    }
    witan_free(scene->allocator, rows);
    witan_free(scene->allocator, every);
    return status;
}

/* Other rows of the test set, each with a wrong label. */
static witan_status
make_mislabelled_rows(audit_ruler *self)
{
    audit_scene *scene = self->scene;
    const witan_dataset *test = &scene->world.test;
    const witan_canary_plan *plan = &scene->plan;
    witan_random random;
    size_t kept = 0;
    uint32_t *order = witan_alloc(scene->allocator, test->samples, sizeof *order);
    bool *taken = witan_zalloc(scene->allocator, test->samples, sizeof *taken);
    witan_status status = WITAN_OK;
    if (order == NULL || taken == NULL) {
        status = audit_out_of_memory(scene);
        goto out;
    }
    for (size_t i = 0; i < self->canaries; i++) {
        if (plan->canary[i].row >= test->samples) {
            status =
                witan_diag_fail(scene->diag, WITAN_E_DATA,
                                "%s: canary %zu is row %llu of a test set of %zu",
                                scene->settings->directory, i,
                                (unsigned long long)plan->canary[i].row, test->samples);
            goto out;
        }
        taken[plan->canary[i].row] = true;
    }
    for (size_t i = 0; i < test->samples; i++) {
        order[kept] = (uint32_t)i;
        kept += !taken[i];
    }
    witan_random_init(&random, plan->seed, WITAN_CLIENT_NONE, REFERENCE_ROUND,
                      WITAN_PURPOSE_CANARY);
    witan_random_shuffle(&random, order, kept);
    self->references = kept < self->references ? kept : self->references;
    for (size_t i = 0; i < self->references; i++) {
        uint32_t label =
            witan_random_below(&random, (uint32_t)scene->learning.classes - 1);
        self->indices[i] = order[i];
        self->labels[i] = label + (label >= test->labels[order[i]]);
    }
    for (size_t i = 0; i < self->canaries; i++) {
        self->indices[self->references + i] = (uint32_t)plan->canary[i].row;
        self->labels[self->references + i] = plan->canary[i].label;
    }
    self->rows = (witan_part){&scene->world.test_rows, self->indices,
                              self->references + self->canaries};
out:
    witan_free(scene->allocator, order);
    witan_free(scene->allocator, taken);
    return status;
}

static witan_status
make_rows(audit_ruler *self)
{
    audit_scene *scene = self->scene;
    self->references = scene->plan.references;
    size_t total = self->references + self->canaries;
    self->indices = witan_alloc(scene->allocator, total, sizeof *self->indices);
    self->labels = witan_alloc(scene->allocator, total, sizeof *self->labels);
    self->surprise = witan_alloc(scene->allocator, total, sizeof *self->surprise);
    if (self->indices == NULL || self->labels == NULL || self->surprise == NULL) {
        return audit_out_of_memory(scene);
    }
    WITAN_TRY(scene->plan.kind == WITAN_CANARY_NOISE ? make_noise_rows(self)
                                                     : make_mislabelled_rows(self));
    return self->references == 0
               ? witan_diag_fail(scene->diag, WITAN_E_DATA,
                                 "%s: no row is left to compare canaries with",
                                 scene->settings->directory)
               : WITAN_OK;
}

witan_status
audit_ruler_new(audit_ruler **out, audit_scene *scene)
{
    audit_ruler *self = witan_zalloc(scene->allocator, 1, sizeof *self);
    *out = NULL;
    if (self == NULL) {
        return audit_out_of_memory(scene);
    }
    self->scene = scene;
    self->canaries = scene->plan.count;
    self->worst_p = (double)NAN;
    self->own = witan_alloc(scene->allocator, self->canaries, sizeof *self->own);
    self->row =
        witan_alloc(scene->allocator, scene->learning.classes, sizeof *self->row);
    witan_status status = self->own == NULL || self->row == NULL
                              ? audit_out_of_memory(scene)
                          : scene->text ? make_fills(self)
                                        : make_rows(self);
    if (status != WITAN_OK) {
        audit_ruler_free(&self);
    }
    *out = self;
    return status;
}

void
audit_ruler_free(audit_ruler **out)
{
    audit_ruler *self = *out;
    if (self == NULL) {
        return;
    }
    const witan_allocator *a = self->scene->allocator;
    witan_free(a, self->surprise);
    witan_free(a, self->own);
    witan_free(a, self->fills);
    witan_free(a, self->p);
    witan_free(a, self->row);
    witan_free(a, self->indices);
    witan_free(a, self->labels);
    witan_free(a, self);
    *out = NULL;
}

/* --- models ----------------------------------------------------------------------- */

/* Ranks among all fills that are no other canary; ties count against a canary. */
static witan_status
rank_exactly(audit_ruler *self, double *exposure)
{
    const witan_canary_template *form = &self->scene->plan.compiled;
    size_t space = (size_t)form->space;
    for (size_t i = 0; i < self->canaries; i++) {
        uint64_t place = witan_search_index(form, self->scene->plan.canary[i].fill);
        self->own[i] = self->surprise[place];
    }
    for (size_t i = 0; i < self->canaries; i++) {
        self->surprise[witan_search_index(form, self->scene->plan.canary[i].fill)] =
            HUGE_VAL;
    }
    for (size_t i = 0; i < self->canaries; i++) {
        double *own =
            &self->surprise[witan_search_index(form, self->scene->plan.canary[i].fill)];
        double rank;
        uint64_t equal;
        *own = self->own[i];
        witan_search_rank(&rank, &equal, *own, self->surprise, space);
        *own = HUGE_VAL;
        WITAN_TRY(witan_exposure_rank(&exposure[i], rank,
                                      form->space - (double)self->canaries + 1.0));
    }
    return WITAN_OK;
}

/* By the fit when an honest test lets it pass, else by sampling. */
static witan_status
rank_among_references(audit_ruler *self, size_t client, double *exposure)
{
    const witan_allocator *a = self->scene->allocator;
    const double *canaries = self->surprise + self->references;
    size_t values = self->references < FIT_VALUES ? self->references : FIT_VALUES;
    witan_skew_normal fit;
    witan_random random;
    double distance, p;
    WITAN_TRY(witan_exposure_sampled(exposure, canaries, self->canaries, self->surprise,
                                     self->references, WITAN_TIES_LOWER, a));
    if (!self->scene->text) {
        return WITAN_OK; /* losses of rows follow no such law */
    }
    self->fits++;
    if (witan_skew_normal_fit(&fit, self->surprise, values) != WITAN_OK) {
        self->rejected++;
        return WITAN_OK;
    }
    audit_stream(&random, self->scene, (uint32_t)client, REFERENCE_ROUND);
    WITAN_TRY(witan_skew_normal_test(&distance, &p, self->surprise, values, &fit,
                                     FIT_REPLICAS, &random, a));
    self->worst_p = fmin(self->worst_p, p);
    if (p < FIT_SIGNIFICANCE) {
        self->rejected++;
        return WITAN_OK;
    }
    return witan_exposure_extrapolated(exposure, canaries, self->canaries, &fit);
}

static void
step(void *context, float *to, float *z, const float *from, const uint32_t *parent,
     const uint32_t *tokens, size_t count, size_t position)
{
    witan_sequence_step(context, to, z, from, parent, tokens, count, position);
}

void
audit_token_model(witan_token_model *out, audit_network *network,
                  const float *parameters)
{
    const witan_sequence_model *model = network->network.sequence;
    witan_sequence_stepper_load(network->stepper, parameters);
    *out = (witan_token_model){
        .vocabulary = witan_sequence_vocabulary(model),
        .state_floats = witan_sequence_state_floats(model),
        .batch = network->step_batch,
        .step = step,
        .context = network->stepper,
        .attends = witan_sequence_spec_of(model)->cell == WITAN_CELL_TRANSFORMER,
    };
}

static witan_status
rank_text(audit_ruler *self, size_t client, const float *parameters, double *exposure)
{
    const witan_canary_template *form = &self->scene->plan.compiled;
    const witan_allocator *a = self->scene->allocator;
    witan_token_model model;
    audit_token_model(&model, audit_network_of(self->scene, client), parameters);
    if (self->exact) {
        WITAN_TRY(witan_search_all(self->surprise, form, &model, a));
        return rank_exactly(self, exposure);
    }
    WITAN_TRY(witan_search_fills(self->surprise, self->fills,
                                 self->references + self->canaries, form, &model, a));
    return rank_among_references(self, client, exposure);
}

witan_status
audit_ruler_model(audit_ruler *self, size_t client, const float *parameters,
                  double *exposure)
{
    audit_scene *scene = self->scene;
    witan_status status;
    if (scene->text) {
        status = rank_text(self, client, parameters, exposure);
    } else {
        WITAN_TRY(audit_judge(scene, audit_network_of(scene, client), parameters,
                              &self->rows, self->labels, self->surprise, NULL));
        status = rank_among_references(self, client, exposure);
    }
    return status == WITAN_OK ? status : not_finite(self, status);
}

/* --- soft labels ------------------------------------------------------------------ */

/* Below it a probability cannot be told from 0: half a step of the codec. */
static float
smallest_of(const witan_soft_labels *labels)
{
    return labels->codec == WITAN_CODEC_F32 ? 1e-30f : 0.5f / 65535.0f;
}

/* Adds one window's distributions of the holes to self->p. */
static void
add_window(audit_ruler *self, const witan_soft_labels *labels, const witan_probe *probe)
{
    const audit_scene *scene = self->scene;
    const witan_canary_template *form = &scene->plan.compiled;
    size_t V = scene->learning.classes, positions = scene->learning.positions;
    size_t first = scene->world.transfer.count - scene->world.probes;
    for (size_t s = 0, h = 0; s < form->slots; s++) {
        size_t token = probe->offset + s; /* of the window; said at the one before */
        if (form->slot[s].alphabet == 0) {
            continue;
        }
        float *p = self->p + h++ * V;
        if (token == 0) { /* nobody was asked about a window's first token */
            for (size_t c = 0; c < V; c++) {
                p[c] += 1.0f / (float)V;
            }
            continue;
        }
        witan_soft_labels_probabilities(
            labels, (probe->window - first) * positions + token - 1, 1, self->row);
        for (size_t c = 0; c < V; c++) {
            p[c] += fmaxf(self->row[c], smallest_of(labels));
        }
    }
}

/* Whether some window shows canary `number` (UINT32_MAX: other fills); its mean
 * distributions are then in self->p. */
static bool
mean_of_windows(audit_ruler *self, const witan_soft_labels *labels, uint32_t number)
{
    const audit_scene *scene = self->scene;
    size_t count = scene->plan.compiled.holes * scene->learning.classes, windows = 0;
    memset(self->p, 0, count * sizeof *self->p);
    for (size_t i = 0; i < scene->world.probes; i++) {
        if (scene->world.probe[i].canary == number) {
            add_window(self, labels, &scene->world.probe[i]);
            windows++;
        }
    }
    for (size_t i = 0; i < count && windows != 0; i++) {
        self->p[i] /= (float)windows;
    }
    return windows != 0;
}

static witan_status
rank_windows(audit_ruler *self, const witan_soft_labels *labels, double *exposure)
{
    audit_scene *scene = self->scene;
    const witan_canary_template *form = &scene->plan.compiled;
    bool own = scene->plan.transfer == WITAN_TRANSFER_CANARIES;
    bool shown = !own && mean_of_windows(self, labels, UINT32_MAX);
    for (size_t i = 0; i < self->canaries; i++) {
        witan_random random;
        double rank;
        if (own) {
            shown = mean_of_windows(self, labels, (uint32_t)i);
        }
        if (!shown) {
            continue;
        }
        audit_stream(&random, scene, (uint32_t)i, REFERENCE_ROUND + 1);
        WITAN_TRY(witan_search_product_rank(
            &rank, scene->plan.canary[i].fill, self->p, scene->learning.classes, form,
            scene->plan.references, &random, scene->allocator));
        WITAN_TRY(witan_exposure_rank(&exposure[i], fmax(rank, 1.0), form->space));
    }
    return WITAN_OK;
}

/* A canary's row stands in the transfer set: rank of its label among the classes. */
static witan_status
rank_labels(audit_ruler *self, const witan_soft_labels *labels, double *exposure)
{
    const audit_scene *scene = self->scene;
    size_t classes = scene->learning.classes;
    for (size_t i = 0; i < scene->world.probes; i++) {
        const witan_probe *probe = &scene->world.probe[i];
        size_t rank = 0;
        if (probe->canary >= self->canaries) {
            continue;
        }
        uint32_t label = scene->plan.canary[probe->canary].label;
        witan_soft_labels_probabilities(labels, probe->window, 1, self->row);
        for (size_t c = 0; c < classes; c++) {
            rank += self->row[c] >= self->row[label];
        }
        WITAN_TRY(witan_exposure_rank(&exposure[probe->canary], (double)rank,
                                      (double)classes));
    }
    return WITAN_OK;
}

witan_status
audit_ruler_labels(audit_ruler *self, const witan_soft_labels *labels, double *exposure)
{
    for (size_t i = 0; i < self->canaries; i++) {
        exposure[i] = (double)NAN;
    }
    if (labels->rows == 0) {
        return WITAN_OK;
    }
    witan_status status = self->scene->text ? rank_windows(self, labels, exposure)
                                            : rank_labels(self, labels, exposure);
    return status == WITAN_OK ? status : not_finite(self, status);
}

/* --- telling ---------------------------------------------------------------------- */

witan_status
audit_ruler_tell(const audit_ruler *self)
{
    audit_scene *scene = self->scene;
    witan_audit_result *result = scene->result;
    witan_status status = WITAN_OK;
    if (!scene->text) {
        result->record.space_bits = log2((double)self->references);
        result->record.how = audit_sentence(
            result, &status,
            "rank of a canary's loss among %zu %s that nobody trained on; ties count "
            "against the canary",
            self->references,
            scene->plan.kind == WITAN_CANARY_NOISE ? "random rows"
                                                   : "test rows with wrong labels");
        return status;
    }
    result->record.space_bits = log2(scene->plan.compiled.space);
    if (self->exact) {
        result->record.how = audit_sentence(
            result, &status,
            "exact rank among all %.15g fills without the other canaries; ties count "
            "against the canary",
            scene->plan.compiled.space);
        return status;
    }
    result->record.fit_p_value = self->worst_p;
    result->record.how = audit_sentence(
        result, &status,
        "skew normal fitted to %zu of %zu fills that nobody inserted; %zu of %zu fits "
        "were rejected at %g and give the rank among those fills instead",
        self->references < FIT_VALUES ? self->references : FIT_VALUES, self->references,
        self->rejected, self->fits, FIT_SIGNIFICANCE);
    if (status == WITAN_OK && self->rejected != 0) {
        status =
            audit_limit(result,
                        "where a fit was rejected, exposure ends at %.3g bits, the "
                        "most that %zu references can show",
                        log2((double)self->references), self->references);
    }
    return status;
}
