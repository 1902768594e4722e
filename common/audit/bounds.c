/* bounds.c - what was promised, and beside it what canaries prove: a lower bound above
 * a promise of the same unit says that the promise, or the code, is wrong. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "privacy/lower_bound.h"

enum {
    SENTENCE_MAX = 768,
    CLAIMS_MAX = 3,
    BOUNDS_MAX = 4, /* two places, single records and groups of them */
    ONE_RUN_MIN = 2 /* canaries in, and out: a half of each is needed */
};

/* What is promised, for which unit. */
typedef struct promise {
    witan_privacy_claim claim;
    bool made; /* else there is a sentence alone */
} promise;

witan_status
audit_bound(double *epsilon, const audit_scores *scores,
            const witan_allocator *allocator)
{
    const witan_audit_options options = {
        .bound = scores->one_run ? WITAN_BOUND_ONE_RUN : WITAN_BOUND_TWO_SAMPLE,
        .choice = WITAN_THRESHOLD_SPLIT,
        .delta = scores->delta,
        .significance = scores->significance,
        .seed = scores->seed,
    };
    witan_audit_bound bound;
    *epsilon = 0.0;
    WITAN_TRY(witan_audit_scores(&bound, scores->in, scores->n_in, scores->out,
                                 scores->n_out, &options, allocator));
    *epsilon = bound.epsilon;
    return WITAN_OK;
}

/* --- promises --------------------------------------------------------------------- */

static witan_status
add_claim(audit_scene *scene, witan_audit_claim *list, const char *sentence,
          double epsilon)
{
    witan_status status = WITAN_OK;
    witan_audit_record *record = &scene->result->record;
    list[record->claims++] = (witan_audit_claim){
        .sentence = audit_sentence(scene->result, &status, "%s", sentence),
        .epsilon = epsilon,
    };
    return status == WITAN_OK ? status : audit_out_of_memory(scene);
}

/* The worst of the clients' claims, or the sentence that refuses it. */
static witan_status
add_promise(audit_scene *scene, witan_audit_claim *list, promise *out,
            const witan_privacy_claim *claim, const witan_diag *refused)
{
    char sentence[SENTENCE_MAX];
    *out = (promise){*claim, refused->status == WITAN_OK};
    if (!out->made) {
        return add_claim(scene, list, refused->message, (double)NAN);
    }
    witan_privacy_claim_text(claim, sentence, sizeof sentence);
    return add_claim(scene, list, sentence, claim->epsilon);
}

/* DP-SGD: the client with the fewest rows is sampled most often. */
static witan_status
promise_training(audit_scene *scene, witan_audit_claim *list, promise *out)
{
    const witan_config *config = &scene->config;
    witan_privacy_claim worst = {.epsilon = -1.0}, claim;
    witan_diag refused = {0};
    if (config->swing.density > 0.0 || config->swing.shards > 1) {
        return add_claim(scene, list,
                         "none for DP-SGD: scores from neighbours or shards look at "
                         "private rows outside of it",
                         (double)NAN);
    }
    for (size_t n = 0; n < scene->clients; n++) {
        size_t rows = witan_world_private_part(&scene->world, n).count;
        witan_privacy_plan plan = {
            .mechanism = WITAN_MECHANISM_SUBSAMPLED,
            .unit = WITAN_UNIT_RECORD,
            .relation = WITAN_RELATION_ADD_REMOVE,
            .place = WITAN_NOISE_CLIENT,
            .accounting = WITAN_ACCOUNTING_RDP,
            .clip = config->local.privacy.clip,
            .sigma = config->local.privacy.clip * config->local.privacy.noise,
            .sampling_rate = witan_private_rate(rows, config->local.batch),
            .queries =
                config->local.epochs * witan_private_steps(rows, config->local.batch),
            .rounds = config->rounds,
            .delta = config->local.privacy.delta,
        };
        if (witan_privacy_claim_make(&claim, &plan, &refused) != WITAN_OK) {
            break;
        }
        worst = claim.epsilon > worst.epsilon ? claim : worst;
    }
    return add_promise(scene, list, out, &worst, &refused);
}

/* Noise on what is said. Temperatures only grow from the lowest, so that one counts. */
static witan_status
promise_release(audit_scene *scene, witan_audit_claim *list, promise *out)
{
    static const witan_mechanism_kind labels[] = {
        WITAN_MECHANISM_GAUSSIAN, WITAN_MECHANISM_SAMPLED, WITAN_MECHANISM_RESPONSE,
        WITAN_MECHANISM_GNMAX};
    const witan_config *config = &scene->config;
    bool votes = config->swing.label == WITAN_RELEASE_VOTES;
    bool laplace = config->swing.label == WITAN_RELEASE_SOFT &&
                   config->swing.noise == WITAN_SWING_NOISE_LAPLACE;
    bool gaussian = config->swing.label == WITAN_RELEASE_SOFT && !laplace;
    witan_privacy_plan plan = {
        .mechanism = laplace ? WITAN_MECHANISM_LAPLACE : labels[config->swing.label],
        .unit = votes ? WITAN_UNIT_RECORD : WITAN_UNIT_CLIENT,
        .relation = WITAN_RELATION_REPLACE,
        .place = WITAN_NOISE_CLIENT,
        .accounting = gaussian ? WITAN_ACCOUNTING_GAUSSIAN : WITAN_ACCOUNTING_RDP,
        .classes = scene->learning.classes,
        .clip = config->swing.clip,
        .temperature = config->extract.temperature,
        .sigma = config->swing.sigma,
        .response = config->swing.response,
        .averaged = 1,
        .queries = (uint64_t)scene->world.transfer.count * scene->learning.positions,
        .rounds = config->rounds,
        .delta = config->swing.delta,
    };
    witan_privacy_claim claim;
    witan_diag refused = {0};
    if (witan_privacy_claim_make(&claim, &plan, &refused) != WITAN_OK) {
        claim = (witan_privacy_claim){.epsilon = (double)NAN};
    }
    return add_promise(scene, list, out, &claim, &refused);
}

static witan_status
list_promises(audit_scene *scene, witan_audit_claim *list, promise *training,
              promise *release)
{
    const witan_config *config = &scene->config;
    bool private = config->local.privacy.clip > 0.0;
    bool noisy = config->swing.noise != WITAN_SWING_NOISE_NONE ||
                 config->swing.label != WITAN_RELEASE_SOFT;
    scene->result->record.claim = list;
    if (private) {
        WITAN_TRY(promise_training(scene, list, training));
    }
    if (noisy) {
        WITAN_TRY(promise_release(scene, list, release));
    }
    if (private || noisy) {
        return WITAN_OK;
    }
    return add_claim(scene, list,
                     scene->learning.release.on || config->extract.temperature != 1.0
                         ? "none: temperature and clipping alone are a heuristic; read "
                           "the exposure"
                         : "none: soft labels are said as they are",
                     (double)NAN);
}

/* --- evidence --------------------------------------------------------------------- */

/* Canaries that a fair coin put in or left out, of one number of repetitions, or of
 * all (0). */
typedef struct cohort {
    double *sum, *seen; /* [plan.count] of a place's values of each canary */
    double *in, *out;   /* [plan.count] */
    size_t n_in, n_out;
    uint32_t largest; /* group */
    bool *held;       /* [clients] */
    bool lone;        /* no client would hold two of them */
} cohort;

static void
cohort_fini(cohort *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->sum);
    witan_free(allocator, self->seen);
    witan_free(allocator, self->in);
    witan_free(allocator, self->out);
    witan_free(allocator, self->held);
}

static witan_status
cohort_init(cohort *self, const audit_scene *scene)
{
    const witan_allocator *a = scene->allocator;
    size_t count = scene->plan.count;
    *self = (cohort){.sum = witan_alloc(a, count, sizeof(double)),
                     .seen = witan_alloc(a, count, sizeof(double)),
                     .in = witan_alloc(a, count, sizeof(double)),
                     .out = witan_alloc(a, count, sizeof(double)),
                     .held = witan_alloc(a, scene->clients, sizeof(bool))};
    return self->sum == NULL || self->seen == NULL || self->in == NULL ||
                   self->out == NULL || self->held == NULL
               ? audit_out_of_memory(scene)
               : WITAN_OK;
}

static void
read_place(const audit_scene *scene, const audit_reading *reading, cohort *self)
{
    memset(self->sum, 0, scene->plan.count * sizeof *self->sum);
    memset(self->seen, 0, scene->plan.count * sizeof *self->seen);
    for (size_t v = 0; v < reading->count; v++) {
        self->sum[reading->canary[v]] += reading->value[v];
        self->seen[reading->canary[v]] += 1.0;
    }
}

static void
gather_cohort(const audit_scene *scene, uint32_t repetitions, cohort *self)
{
    self->n_in = self->n_out = 0;
    self->largest = 0;
    self->lone = true;
    memset(self->held, 0, scene->clients * sizeof *self->held);
    for (size_t i = 0; i < scene->plan.count; i++) {
        const witan_canary *canary = &scene->plan.canary[i];
        if (canary->repetitions == 0 || self->seen[i] == 0.0 ||
            (repetitions != 0 && canary->repetitions != repetitions)) {
            continue;
        }
        double mean = self->sum[i] / self->seen[i];
        self->lone &= !self->held[canary->client];
        self->held[canary->client] = true;
        self->largest =
            canary->repetitions > self->largest ? canary->repetitions : self->largest;
        if (canary->inserted) {
            self->in[self->n_in++] = mean;
        } else {
            self->out[self->n_out++] = mean;
        }
    }
}

static const char *
place_name(witan_audit_place place)
{
    return place == WITAN_AUDIT_TEACHERS ? "teachers" : "students";
}

static witan_status
add_bound(audit_scene *scene, witan_audit_evidence *list, const cohort *self,
          witan_audit_place place, double delta, double *epsilon)
{
    witan_audit_record *record = &scene->result->record;
    const witan_audit_settings *settings = scene->settings;
    char unit[96];
    witan_status status = WITAN_OK;
    const audit_scores scores = {self->in,
                                 self->out,
                                 self->n_in,
                                 self->n_out,
                                 true,
                                 delta,
                                 settings->significance,
                                 settings->seed};
    WITAN_TRY(audit_bound(epsilon, &scores, scene->allocator));
    (void)snprintf(unit, sizeof unit,
                   self->largest == 1
                       ? "one record added or removed"
                       : "up to %u equal records added or removed at once",
                   (unsigned)self->largest);
    list[record->bounds++] = (witan_audit_evidence){
        .method = "one run",
        .place = place_name(place),
        .sentence = audit_sentence(
            scene->result, &status,
            "epsilon >= %.3g for %s: %zu canaries in, %zu out by fair coins, delta %g, "
            "%.0f %% confidence, threshold chosen on a random half",
            *epsilon, unit, self->n_in, self->n_out, delta,
            100.0 * (1.0 - settings->significance)),
        .epsilon = *epsilon,
    };
    return status;
}

/* A record's promise is checked by single records; a client's by canaries of which no
 * client holds two, where what left the clients was learned from. Evidence at a delta
 * says nothing about promises at a larger one. */
static void
check_promises(witan_audit_claim *list, size_t claims, const promise *training,
               const promise *release, const cohort *self, witan_audit_place place,
               double epsilon, double delta)
{
    const promise *promises[] = {training, release};
    size_t at = 0;
    for (size_t i = 0; i < 2 && at < claims; i++) {
        const witan_privacy_plan *plan = &promises[i]->claim.plan;
        if (!promises[i]->made) {
            continue;
        }
        while (at < claims && isnan(list[at].epsilon)) {
            at++;
        }
        bool same = plan->unit == WITAN_UNIT_RECORD ? self->largest == 1 : self->lone;
        bool covered = i == 0 || place == WITAN_AUDIT_STUDENTS;
        if (same && covered && plan->delta <= delta &&
            witan_privacy_claim_check(&promises[i]->claim, epsilon, NULL) ==
                WITAN_E_STATE) {
            list[at].contradicted = true;
        }
        at++;
    }
}

static witan_status
measure_one_run(audit_scene *scene, const audit_readings *last,
                witan_audit_claim *claims, const promise *training,
                const promise *release, cohort *self)
{
    static const witan_audit_place places[] = {WITAN_AUDIT_TEACHERS,
                                               WITAN_AUDIT_STUDENTS};
    witan_audit_record *record = &scene->result->record;
    double delta = scene->result->delta, epsilon;
    witan_audit_evidence *list = audit_keep(scene->result, BOUNDS_MAX, sizeof *list);
    if (list == NULL) {
        return audit_out_of_memory(scene);
    }
    record->bound = list;
    for (size_t p = 0; p < 2; p++) {
        size_t singles = 0;
        read_place(scene, &last->place[places[p]], self);
        for (uint32_t group = 0; group < 2; group++) { /* single records, then all */
            gather_cohort(scene, 1 - group, self);
            singles = group == 0 ? self->n_in + self->n_out : singles;
            if (self->n_in < ONE_RUN_MIN || self->n_out < ONE_RUN_MIN ||
                (group == 1 && self->n_in + self->n_out == singles)) {
                continue;
            }
            witan_status status =
                add_bound(scene, list, self, places[p], delta, &epsilon);
            if (status != WITAN_OK) {
                return witan_diag_fail(scene->diag, status, "%s: lower bound: %s",
                                       scene->settings->directory,
                                       witan_status_text(status));
            }
            check_promises(claims, record->claims, training, release, self, places[p],
                           epsilon, delta);
        }
    }
    return WITAN_OK;
}

/* Of what is promised, or what the person asked for. */
static double
delta_of(const audit_scene *scene, const promise *training, const promise *release)
{
    return training->made  ? training->claim.plan.delta
           : release->made ? release->claim.plan.delta
                           : scene->settings->delta;
}

witan_status
audit_measure_bounds(audit_scene *scene, const audit_readings *last)
{
    promise training = {.made = false}, release = {.made = false};
    witan_audit_claim *claims = audit_keep(scene->result, CLAIMS_MAX, sizeof *claims);
    if (claims == NULL) {
        return audit_out_of_memory(scene);
    }
    WITAN_TRY(list_promises(scene, claims, &training, &release));
    scene->result->delta = delta_of(scene, &training, &release);
    if (last == NULL) {
        return WITAN_OK;
    }
    if (scene->plan.inclusion != 0.5) {
        return audit_limit(scene->result,
                           "no lower bound on epsilon: it needs a plan whose canaries "
                           "are inserted by fair coins (inclusion 0.5)");
    }
    cohort self;
    witan_status status = cohort_init(&self, scene);
    if (status == WITAN_OK) {
        status = measure_one_run(scene, last, claims, &training, &release, &self);
    }
    cohort_fini(&self, scene->allocator);
    return status;
}
