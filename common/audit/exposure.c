/* exposure.c - exposure of canaries at every place and in every recorded round. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit_private.h"
#include "privacy/exposure.h"

/* A measurement under way. */
typedef struct gauge {
    audit_scene *scene;
    audit_ruler *ruler;
    audit_readings *readings;        /* of the round */
    double *before, *after, *labels; /* [canaries] of one client */
    double *scratch;                 /* [clients * canaries] */
    double *means;                   /* [canaries] */
    witan_audit_exposure *row;       /* the next one in the record */
} gauge;

static int
compare_levels(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Numbers of repetitions that stand in the data, ascending. */
static witan_status
list_levels(audit_scene *scene)
{
    witan_audit_record *record = &scene->result->record;
    uint32_t *levels = audit_keep(scene->result, scene->plan.count, sizeof *levels);
    if (levels == NULL) {
        return audit_out_of_memory(scene);
    }
    memcpy(levels, scene->level, scene->plan.count * sizeof *levels);
    qsort(levels, scene->plan.count, sizeof *levels, compare_levels);
    for (size_t i = 0; i < scene->plan.count; i++) {
        if (i == 0 || levels[i] != levels[record->levels - 1]) {
            levels[record->levels++] = levels[i];
        }
    }
    record->repetitions = levels;
    return WITAN_OK;
}

static witan_status
make_readings(audit_scene *scene, audit_readings *out)
{
    *out = (audit_readings){0};
    for (size_t p = 0; p < WITAN_AUDIT_PLACES; p++) {
        size_t room = scene->clients * scene->plan.count;
        out->place[p].value = audit_keep(scene->result, room, sizeof(double));
        out->place[p].canary = audit_keep(scene->result, room, sizeof(uint32_t));
        if (out->place[p].value == NULL || out->place[p].canary == NULL) {
            return audit_out_of_memory(scene);
        }
    }
    return WITAN_OK;
}

/* Values of a client's canaries (own), or of all others. */
static void
read_off(gauge *self, witan_audit_place place, const double *exposure, size_t client,
         bool own)
{
    audit_reading *reading = &self->readings->place[place];
    for (size_t i = 0; i < self->scene->plan.count; i++) {
        bool holds = self->scene->plan.canary[i].client == client;
        if (holds == own && !isnan(exposure[i])) {
            reading->value[reading->count] = exposure[i];
            reading->canary[reading->count++] = (uint32_t)i;
        }
    }
}

static bool
would_hold(const audit_scene *scene, size_t client)
{
    for (size_t i = 0; i < scene->plan.count; i++) {
        if (scene->plan.canary[i].client == client) {
            return true;
        }
    }
    return false;
}

static witan_status
measure_client(gauge *self, const witan_audit_snapshot *it)
{
    bool holds = would_hold(self->scene, it->client);
    bool same = memcmp(it->before, it->after, it->parameters * sizeof *it->after) == 0;
    WITAN_TRY(audit_ruler_model(self->ruler, it->client, it->after, self->after));
    read_off(self, WITAN_AUDIT_STUDENTS, self->after, it->client, false);
    if (holds && !same) {
        WITAN_TRY(audit_ruler_model(self->ruler, it->client, it->before, self->before));
    }
    if (holds) {
        read_off(self, WITAN_AUDIT_TEACHERS, same ? self->after : self->before,
                 it->client, true);
    }
    if (holds && it->has_said) {
        WITAN_TRY(audit_ruler_labels(self->ruler, &it->said, self->labels));
        read_off(self, WITAN_AUDIT_WIRE, self->labels, it->client, true);
    }
    if (it->has_fused) {
        WITAN_TRY(audit_ruler_labels(self->ruler, &it->fused, self->labels));
        read_off(self, WITAN_AUDIT_FUSED, self->labels, it->client, false);
    }
    return WITAN_OK;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Means over models of each canary of a level into self->means, all values into
 * self->scratch; the number of canaries, *values of values. */
static size_t
gather_level(gauge *self, const audit_reading *reading, uint32_t level, size_t *values)
{
    size_t canaries = 0, count = self->scene->plan.count;
    double *sum = self->before, *seen = self->after; /* not under way any more */
    memset(sum, 0, count * sizeof *sum);
    memset(seen, 0, count * sizeof *seen);
    *values = 0;
    for (size_t v = 0; v < reading->count; v++) {
        uint32_t canary = reading->canary[v];
        if (self->scene->level[canary] == level) {
            sum[canary] += reading->value[v];
            seen[canary] += 1.0;
            self->scratch[(*values)++] = reading->value[v];
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (seen[i] > 0.0) {
            self->means[canaries++] = sum[i] / seen[i];
        }
    }
    return canaries;
}

/* One line of the record. */
static witan_status
summarise(gauge *self, size_t round, witan_audit_place place, uint32_t level)
{
    const double unknown = (double)NAN;
    audit_scene *scene = self->scene;
    size_t values;
    size_t canaries = gather_level(self, &self->readings->place[place], level, &values);
    witan_audit_exposure *out = self->row++;
    *out = (witan_audit_exposure){.round = round,
                                  .place = place,
                                  .repetitions = level,
                                  .count = values,
                                  .mean = unknown,
                                  .low = unknown,
                                  .high = unknown,
                                  .median = unknown,
                                  .largest = unknown,
                                  .p_value = unknown};
    if (values == 0) {
        return WITAN_OK;
    }
    double sum = 0.0;
    qsort(self->scratch, values, sizeof *self->scratch, compare_doubles);
    for (size_t i = 0; i < values; i++) {
        sum += self->scratch[i];
    }
    out->mean = sum / (double)values;
    out->median = 0.5 * (self->scratch[(values - 1) / 2] + self->scratch[values / 2]);
    out->largest = self->scratch[values - 1];
    if (canaries == values) {
        /* The law of exposure is that of ranks among fills or references. */
        bool lawful = scene->text || place == WITAN_AUDIT_TEACHERS ||
                      place == WITAN_AUDIT_STUDENTS;
        if (lawful &&
            witan_exposure_p_value(&out->p_value, self->scratch, values) != WITAN_OK) {
            out->p_value = unknown;
        }
    }
    if (canaries < 2) {
        return WITAN_OK;
    }
    witan_random random;
    audit_stream(&random, scene, (uint32_t)(self->row - scene->result->record.exposure),
                 0);
    return witan_exposure_interval(&out->low, &out->high, self->means, canaries, 0.95,
                                   AUDIT_REPLICAS, &random, scene->allocator);
}

static witan_status
measure_round(gauge *self, uint32_t round)
{
    audit_scene *scene = self->scene;
    const witan_audit_record *record = &scene->result->record;
    for (size_t p = 0; p < WITAN_AUDIT_PLACES; p++) {
        self->readings->place[p].count = 0;
    }
    for (size_t i = 0; i < scene->clients; i++) {
        uint32_t n = (uint32_t)(scene->first + i);
        witan_audit_snapshot it;
        WITAN_TRY(audit_progress(scene, "exposure", i, scene->clients));
        bool present;
        WITAN_TRY(audit_snapshot_open(&it, &present, scene, round, n));
        witan_status status = present ? measure_client(self, &it) : WITAN_OK;
        witan_audit_snapshot_fini(&it, scene->allocator);
        WITAN_TRY(status);
    }
    for (size_t p = 0; p < WITAN_AUDIT_PLACES; p++) {
        for (size_t l = 0; l < record->levels; l++) {
            if (summarise(self, round, (witan_audit_place)p, record->repetitions[l]) !=
                WITAN_OK) {
                return audit_out_of_memory(scene);
            }
        }
    }
    return WITAN_OK;
}

static witan_status
measure_rounds(gauge *self)
{
    audit_scene *scene = self->scene;
    witan_audit_record *record = &scene->result->record;
    size_t count = scene->plan.count;
    self->before = witan_alloc(scene->allocator, count, sizeof(double));
    self->after = witan_alloc(scene->allocator, count, sizeof(double));
    self->labels = witan_alloc(scene->allocator, count, sizeof(double));
    self->means = witan_alloc(scene->allocator, count, sizeof(double));
    self->scratch =
        witan_alloc(scene->allocator, scene->clients * count, sizeof(double));
    record->exposures = scene->recorded_count * WITAN_AUDIT_PLACES * record->levels;
    self->row = audit_keep(scene->result, record->exposures, sizeof *self->row);
    record->exposure = self->row;
    if (self->before == NULL || self->after == NULL || self->labels == NULL ||
        self->means == NULL || self->scratch == NULL || self->row == NULL) {
        record->exposures = 0;
        return audit_out_of_memory(scene);
    }
    for (size_t r = 0; r < scene->recorded_count; r++) {
        WITAN_TRY(measure_round(self, scene->recorded[r]));
    }
    return audit_ruler_tell(self->ruler);
}

/* What gates and comparisons ask for. */
static void
note_students(audit_scene *scene, const audit_readings *last)
{
    witan_audit_result *result = scene->result;
    const witan_audit_record *record = &result->record;
    uint32_t most = record->repetitions[record->levels - 1];
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *e = &record->exposure[i];
        if (e->round + 1 == record->rounds && e->place == WITAN_AUDIT_STUDENTS) {
            result->exposure = e->repetitions == most ? e->mean : result->exposure;
            result->exposure_control =
                e->repetitions == 0 ? e->mean : result->exposure_control;
        }
    }
    const audit_reading *students = &last->place[WITAN_AUDIT_STUDENTS];
    if (scene->plan.count == 1 && students->count != 0) {
        double sum = 0.0;
        for (size_t i = 0; i < students->count; i++) {
            sum += students->value[i];
        }
        result->lone_score = sum / (double)students->count;
        result->lone_inserted = scene->level[0] != 0;
    }
}

witan_status
audit_measure_exposure(audit_scene *scene, audit_readings *last)
{
    gauge self = {.scene = scene, .readings = last};
    WITAN_TRY(list_levels(scene));
    WITAN_TRY(make_readings(scene, last));
    WITAN_TRY(audit_ruler_new(&self.ruler, scene));
    witan_status status = measure_rounds(&self);
    const witan_allocator *a = scene->allocator;
    audit_ruler_free(&self.ruler);
    witan_free(a, self.before);
    witan_free(a, self.after);
    witan_free(a, self.labels);
    witan_free(a, self.means);
    witan_free(a, self.scratch);
    WITAN_TRY(status);
    note_students(scene, last);
    return WITAN_OK;
}
