/* result.c - what an audit found, and the memory that its record points to. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "privacy/search.h"

/* Blocks are freed with the result alone. */
struct audit_block {
    struct audit_block *next;
};

void
witan_audit_settings_init(witan_audit_settings *self, const char *directory)
{
    *self = (witan_audit_settings){
        .directory = directory,
        .exact_max = WITAN_SPACE_EXACT_MAX,
        .nodes = 100000,
        .significance = 0.05,
        .delta = 1e-5,
        .seed = 1,
    };
}

witan_status
audit_result_new(witan_audit_result **out, const witan_allocator *allocator)
{
    const double unknown = (double)NAN;
    witan_audit_result *self = witan_zalloc(allocator, 1, sizeof *self);
    *out = self;
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    self->allocator = allocator;
    self->transfer = self->form = "";
    self->exposure = self->exposure_control = self->lone_score = unknown;
    self->hashes = (witan_audit_hashes){"", "", "", ""};
    self->record = (witan_audit_record){
        .name = "",
        .directory = "",
        .version = WITAN_VERSION,
        .digest = "",
        .plan_digest = "",
        .canaries = "",
        .how = "",
        .transfer = "",
        .mode = "",
        .utility = unknown,
        .utility_holders = unknown,
        .space_bits = unknown,
        .fit_p_value = unknown,
        .limit = self->limit,
    };
    for (size_t m = 0; m < AUDIT_METRICS; m++) {
        self->range[m] = (audit_range){unknown, unknown};
    }
    return WITAN_OK;
}

void
witan_audit_result_free(witan_audit_result **self)
{
    if (self == NULL || *self == NULL) {
        return;
    }
    const witan_allocator *allocator = (*self)->allocator;
    for (struct audit_block *block = (*self)->blocks; block != NULL;) {
        struct audit_block *next = block->next;
        witan_free(allocator, block);
        block = next;
    }
    witan_free(allocator, *self);
    *self = NULL;
}

void *
audit_keep(witan_audit_result *self, size_t count, size_t size)
{
    if (size != 0 && count > (SIZE_MAX - WITAN_ALIGNMENT) / size) {
        return NULL;
    }
    /* The link takes a whole line, so that what follows is aligned as blocks are. */
    struct audit_block *block =
        witan_zalloc(self->allocator, WITAN_ALIGNMENT + count * size, 1);
    if (block == NULL) {
        return NULL;
    }
    block->next = self->blocks;
    self->blocks = block;
    return (char *)block + WITAN_ALIGNMENT;
}

static const char *keep_sentence(witan_audit_result *self, const char *format,
                                 va_list arguments) WITAN_PRINTF(2, 0);

static const char *
keep_sentence(witan_audit_result *self, const char *format, va_list arguments)
{
    char text[1024];
    (void)vsnprintf(text, sizeof text, format, arguments);
    size_t size = strlen(text) + 1;
    char *kept = audit_keep(self, size, 1);
    if (kept != NULL) {
        memcpy(kept, text, size);
    }
    return kept;
}

const char *
audit_sentence(witan_audit_result *self, witan_status *status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *kept = keep_sentence(self, format, arguments);
    va_end(arguments);
    if (kept == NULL) {
        *status = WITAN_E_MEMORY;
    }
    return kept == NULL ? "" : kept;
}

witan_status
audit_limit(witan_audit_result *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *kept = keep_sentence(self, format, arguments);
    va_end(arguments);
    if (kept == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < self->record.limits; i++) {
        if (strcmp(self->limit[i], kept) == 0) {
            return WITAN_OK;
        }
    }
    WITAN_ASSERT(self->record.limits < AUDIT_LIMITS_MAX);
    self->limit[self->record.limits++] = kept;
    return WITAN_OK;
}

void
audit_measure(witan_audit_result *self, audit_metric metric, double value)
{
    audit_range *range = &self->range[metric];
    if (isnan(value)) {
        return;
    }
    range->low = fmin(range->low, value); /* of NaN and a number: the number */
    range->high = fmax(range->high, value);
}

void
audit_measure_record(witan_audit_result *self)
{
    const witan_audit_record *record = &self->record;
    double best_auc = (double)NAN, best_tpr = (double)NAN;
    audit_measure(self, AUDIT_EXPOSURE, self->exposure);
    audit_measure(self, AUDIT_UTILITY, record->utility);
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *e = &record->exposure[i];
        if (e->round + 1 == record->rounds && record->levels != 0 &&
            e->repetitions == record->repetitions[record->levels - 1]) {
            if (e->place == WITAN_AUDIT_TEACHERS) {
                audit_measure(self, AUDIT_TEACHER, e->mean);
            } else if (e->place == WITAN_AUDIT_WIRE) {
                audit_measure(self, AUDIT_WIRE_EXPOSURE, e->mean);
            }
        }
    }
    for (size_t i = 0; i < record->memberships; i++) {
        best_auc = fmax(best_auc, record->membership[i].auc);
        best_tpr = fmax(best_tpr, record->membership[i].tpr_1);
    }
    audit_measure(self, AUDIT_AUC, best_auc);
    audit_measure(self, AUDIT_TPR, best_tpr);
    for (size_t i = 0; i < record->labels_count; i++) {
        audit_measure(self, AUDIT_TOLD, record->labels[i].told);
    }
    for (size_t i = 0; i < record->bounds; i++) {
        audit_measure(self, AUDIT_EPSILON, record->bound[i].epsilon);
    }
}

const witan_audit_record *
witan_audit_record_of(const witan_audit_result *self)
{
    return &self->record;
}

const witan_audit_hashes *
witan_audit_hashes_of(const witan_audit_result *self)
{
    return &self->hashes;
}

bool
witan_audit_contradicted(const witan_audit_result *self)
{
    for (size_t i = 0; i < self->record.claims; i++) {
        if (self->record.claim[i].contradicted) {
            return true;
        }
    }
    return false;
}
