/* compare.c - runs that differ in protection and seed, side by side. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "privacy/exposure.h"

typedef struct comparison {
    const witan_audit_result *const *runs;
    size_t count;
    const witan_audit_settings *settings;
    const witan_allocator *allocator;
    witan_diag *diag;
    witan_audit_result *result;
    witan_audit_run *run;    /* [count] of the record */
    witan_audit_mode *modes; /* [count] of the record, fewer are used */
    double *values, *other;  /* [count] */
} comparison;

static witan_status
no_memory(const comparison *self)
{
    return witan_diag_fail(self->diag, WITAN_E_MEMORY,
                           "out of memory for a comparison of %zu runs", self->count);
}

static bool
is_plain(const char *mode)
{
    return strcmp(mode, "plain") == 0;
}

static witan_status
check_alike(const comparison *self)
{
    const witan_audit_result *first = self->runs[0];
    for (size_t i = 0; i < self->count; i++) {
        const witan_audit_result *it = self->runs[i];
        if (it->deployed) {
            return witan_diag_fail(
                self->diag, WITAN_E_CONFIG,
                "%s: a client's directory does not say what protected "
                "it, nor at which cost; compare simulated runs",
                it->record.directory);
        }
        if (it->record.text != first->record.text ||
            strcmp(it->form, first->form) != 0) {
            return witan_diag_fail(
                self->diag, WITAN_E_CONFIG,
                "%s and %s cannot be compared: they hold canaries of different kinds "
                "(%s; %s); audit them apart",
                first->record.directory, it->record.directory,
                first->form[0] == '\0' ? "none" : first->form,
                it->form[0] == '\0' ? "none" : it->form);
        }
    }
    return WITAN_OK;
}

/* Mean exposure and utility of the plain runs of a seed and transfer set. */
static void
plain_of(const comparison *self, const witan_audit_result *it, double *exposure,
         double *utility)
{
    size_t count = 0;
    *exposure = *utility = 0.0;
    for (size_t i = 0; i < self->count; i++) {
        const witan_audit_result *other = self->runs[i];
        if (is_plain(other->record.mode) && other->seed == it->seed &&
            strcmp(other->transfer, it->transfer) == 0) {
            *exposure += other->exposure;
            *utility += other->record.utility;
            count++;
        }
    }
    *exposure = count == 0 ? (double)NAN : *exposure / (double)count;
    *utility = count == 0 ? (double)NAN : *utility / (double)count;
}

static witan_status
list_run(comparison *self, size_t i)
{
    const witan_audit_result *it = self->runs[i];
    witan_audit_run *out = &self->run[i];
    witan_status status = WITAN_OK;
    double exposure, utility;
    plain_of(self, it, &exposure, &utility);
    *out = (witan_audit_run){
        .directory = audit_sentence(self->result, &status, "%s", it->record.directory),
        .mode = audit_sentence(self->result, &status, "%s", it->record.mode),
        .seed = it->seed,
        .transfer = audit_sentence(self->result, &status, "%s", it->transfer),
        .exposure = it->exposure,
        .exposure_control = it->exposure_control,
        .reduction = (double)NAN,
        .utility = it->record.utility,
        .cost = (double)NAN,
    };
    if (status != WITAN_OK) {
        return no_memory(self);
    }
    if (is_plain(out->mode)) {
        return WITAN_OK;
    }
    if (isfinite(exposure) && isfinite(out->exposure) &&
        witan_exposure_reduction(&out->reduction, exposure, out->exposure) !=
            WITAN_OK) {
        out->reduction = (double)NAN;
        WITAN_TRY(audit_limit(self->result,
                              "where plain distillation shows no exposure above "
                              "chance, there is nothing that could be reduced"));
    }
    double loss = it->record.text ? out->utility - utility : utility - out->utility;
    out->cost = loss / utility;
    return WITAN_OK;
}

/* Mean of the finite ones of `values` [count], which they move to; NaN of none. */
static double
mean_of(double *values, size_t *count)
{
    double sum = 0.0;
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (isfinite(values[i])) {
            sum += values[i];
            values[kept++] = values[i];
        }
    }
    *count = kept;
    return kept == 0 ? (double)NAN : sum / (double)kept;
}

static witan_status
interval_of(const comparison *self, const double *values, size_t count, double *low,
            double *high)
{
    witan_random random;
    *low = *high = (double)NAN;
    if (count < 2) {
        return WITAN_OK;
    }
    witan_random_init(&random, self->settings->seed, WITAN_CLIENT_NONE, 0,
                      WITAN_PURPOSE_AUDIT);
    return witan_exposure_interval(low, high, values, count, 0.95, AUDIT_REPLICAS,
                                   &random, self->allocator);
}

/* Runs of one mode and transfer set into self->values; how many. */
static size_t
gather(const comparison *self, const witan_audit_run *like, size_t field)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        const witan_audit_run *it = &self->run[i];
        if (strcmp(it->mode, like->mode) == 0 &&
            strcmp(it->transfer, like->transfer) == 0) {
            self->values[count++] = field == 0   ? it->exposure
                                    : field == 1 ? it->reduction
                                    : field == 2 ? it->cost
                                                 : it->utility;
        }
    }
    return count;
}

static witan_status
list_mode(comparison *self, const witan_audit_run *like)
{
    witan_audit_mode *out = &self->modes[self->result->record.modes];
    size_t count = gather(self, like, 0);
    *out = (witan_audit_mode){
        .mode = like->mode, .transfer = like->transfer, .seeds = count};
    out->exposure = mean_of(self->values, &count);
    WITAN_TRY(interval_of(self, self->values, count, &out->exposure_low,
                          &out->exposure_high));
    count = gather(self, like, 1);
    out->reduction = mean_of(self->values, &count);
    WITAN_TRY(interval_of(self, self->values, count, &out->reduction_low,
                          &out->reduction_high));
    count = gather(self, like, 2);
    out->cost = mean_of(self->values, &count);
    WITAN_TRY(interval_of(self, self->values, count, &out->cost_low, &out->cost_high));
    count = gather(self, like, 3);
    out->utility = mean_of(self->values, &count);
    self->result->record.modes++;
    return WITAN_OK;
}

static bool
is_first(const comparison *self, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(self->run[j].mode, self->run[i].mode) == 0 &&
            strcmp(self->run[j].transfer, self->run[i].transfer) == 0) {
            return false;
        }
    }
    return true;
}

/* Each run trained its models apart and holds one canary, in or out by its coin: the
 * scores of two samples. */
static witan_status
add_two_samples(comparison *self, const witan_audit_run *like,
                witan_audit_evidence *list)
{
    audit_scores scores = {.in = self->values,
                           .out = self->other,
                           .significance = self->settings->significance,
                           .seed = self->settings->seed};
    witan_status status = WITAN_OK;
    double epsilon;
    for (size_t i = 0; i < self->count; i++) {
        const witan_audit_result *it = self->runs[i];
        if (isnan(it->lone_score) || strcmp(it->record.mode, like->mode) != 0 ||
            strcmp(it->transfer, like->transfer) != 0) {
            continue;
        }
        scores.delta = it->delta;
        if (it->lone_inserted) {
            self->values[scores.n_in++] = it->lone_score;
        } else {
            self->other[scores.n_out++] = it->lone_score;
        }
    }
    if (scores.n_in < 2 || scores.n_out < 2) {
        return WITAN_OK;
    }
    status = audit_bound(&epsilon, &scores, self->allocator);
    if (status != WITAN_OK) {
        return witan_diag_fail(self->diag, status, "lower bound of %s: %s", like->mode,
                               witan_status_text(status));
    }
    list[self->result->record.bounds++] = (witan_audit_evidence){
        .method = "two samples",
        .place = "students",
        .sentence = audit_sentence(
            self->result, &status,
            "epsilon >= %.3g for the canary of a client added or removed under %s, %s: "
            "%zu runs with it, %zu without, delta %g, %.0f %% confidence, threshold "
            "chosen on a random half",
            epsilon, like->mode, like->transfer, scores.n_in, scores.n_out,
            scores.delta, 100.0 * (1.0 - scores.significance)),
        .epsilon = epsilon,
    };
    return status == WITAN_OK ? status : no_memory(self);
}

/* Gates look at protected runs, or at all when none is protected. */
static void
join_ranges(comparison *self)
{
    bool any = false;
    for (size_t i = 0; i < self->count; i++) {
        any |= !is_plain(self->run[i].mode);
    }
    for (size_t i = 0; i < self->count; i++) {
        for (size_t m = 0; m < AUDIT_METRICS && (!any || !is_plain(self->run[i].mode));
             m++) {
            audit_measure(self->result, (audit_metric)m, self->runs[i]->range[m].low);
            audit_measure(self->result, (audit_metric)m, self->runs[i]->range[m].high);
        }
        audit_measure(self->result, AUDIT_REDUCTION, self->run[i].reduction);
        audit_measure(self->result, AUDIT_COST, self->run[i].cost);
    }
    for (size_t i = 0; i < self->result->record.bounds; i++) {
        audit_measure(self->result, AUDIT_EPSILON,
                      self->result->record.bound[i].epsilon);
    }
}

static witan_status
describe(comparison *self)
{
    witan_audit_record *record = &self->result->record;
    const witan_audit_result *first = self->runs[0];
    witan_status status = WITAN_OK;
    record->name = audit_sentence(self->result, &status, "%s", first->record.name);
    record->canaries =
        audit_sentence(self->result, &status, "%s", first->record.canaries);
    record->how = audit_sentence(self->result, &status, "%s", first->record.how);
    record->text = first->record.text;
    record->clients = first->record.clients;
    record->rounds = first->record.rounds;
    record->space_bits = first->record.space_bits;
    for (size_t i = 0; i < self->count; i++) {
        record->crossed |= self->runs[i]->record.crossed;
        if (status == WITAN_OK && self->runs[i]->record.rounds != record->rounds) {
            status = audit_limit(self->result, "the runs differ in their rounds");
        }
    }
    if (status == WITAN_OK) {
        status = audit_limit(self->result,
                             "intervals are over seeds by bootstrap: with fewer than "
                             "five seeds they are too narrow");
    }
    return status == WITAN_OK ? status : no_memory(self);
}

static witan_status
compare(comparison *self)
{
    witan_audit_record *record = &self->result->record;
    self->run = audit_keep(self->result, self->count, sizeof *self->run);
    self->modes = audit_keep(self->result, self->count, sizeof *self->modes);
    witan_audit_evidence *bounds =
        audit_keep(self->result, self->count, sizeof *bounds);
    if (self->run == NULL || self->modes == NULL || bounds == NULL) {
        return no_memory(self);
    }
    record->run = self->run;
    record->modes_of = self->modes;
    record->bound = bounds;
    WITAN_TRY(describe(self));
    for (size_t i = 0; i < self->count; i++, record->runs++) {
        WITAN_TRY(list_run(self, i));
    }
    for (size_t i = 0; i < self->count; i++) {
        if (is_first(self, i)) {
            WITAN_TRY(list_mode(self, &self->run[i]));
            WITAN_TRY(add_two_samples(self, &self->run[i], bounds));
        }
    }
    join_ranges(self);
    return WITAN_OK;
}

witan_status
witan_audit_compare(witan_audit_result **out, const witan_audit_result *const *runs,
                    size_t count, const witan_audit_settings *settings,
                    const witan_allocator *allocator, witan_diag *diag)
{
    comparison self = {.runs = runs,
                       .count = count,
                       .settings = settings,
                       .allocator = allocator,
                       .diag = diag};
    *out = NULL;
    WITAN_ASSERT(count >= 2);
    WITAN_TRY(check_alike(&self));
    self.values = witan_alloc(allocator, count, sizeof *self.values);
    self.other = witan_alloc(allocator, count, sizeof *self.other);
    witan_status status = self.values == NULL || self.other == NULL ||
                                  audit_result_new(&self.result, allocator) != WITAN_OK
                              ? no_memory(&self)
                              : compare(&self);
    if (status != WITAN_OK && (diag == NULL || diag->status == WITAN_OK)) {
        status = no_memory(&self);
    }
    witan_free(allocator, self.values);
    witan_free(allocator, self.other);
    if (status != WITAN_OK) {
        witan_audit_result_free(&self.result);
    }
    *out = self.result;
    return status;
}
