/* gates.c - thresholds that a run must not cross: "exposure>3". */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"

enum {
    NAME_MAX_BYTES = 32
};

static const char *const names[AUDIT_METRICS] = {
    [AUDIT_EXPOSURE] = "exposure",
    [AUDIT_TEACHER] = "teacher",
    [AUDIT_WIRE_EXPOSURE] = "wire",
    [AUDIT_REDUCTION] = "reduction",
    [AUDIT_COST] = "cost",
    [AUDIT_UTILITY] = "utility",
    [AUDIT_AUC] = "auc",
    [AUDIT_TPR] = "tpr",
    [AUDIT_TOLD] = "told",
    [AUDIT_EPSILON] = "epsilon",
    [AUDIT_EXTRACTED] = "extracted",
};

/* Why a metric may not have been measured. */
static const char *const missing[AUDIT_METRICS] = {
    [AUDIT_EXPOSURE] = "it needs canaries, and a client that does not hold them",
    [AUDIT_TEACHER] = "it needs canaries",
    [AUDIT_WIRE_EXPOSURE] = "it needs canaries that the transfer set asks about",
    [AUDIT_REDUCTION] = "it needs a plain run of the same seed and transfer set beside "
                        "the protected one",
    [AUDIT_COST] = "it needs a plain run of the same seed and transfer set beside the "
                   "protected one",
    [AUDIT_UTILITY] = "it needs a client that holds no canary",
    [AUDIT_AUC] = "it needs clients with enough rows",
    [AUDIT_TPR] = "it needs clients with enough rows",
    [AUDIT_TOLD] = "it needs a strategy that exchanges soft labels",
    [AUDIT_EPSILON] = "it needs canaries that are inserted by fair coins",
    [AUDIT_EXTRACTED] = "it needs canaries in text",
};

typedef struct gate {
    audit_metric metric;
    bool above, equal;
    double limit;
} gate;

static witan_status
parse(gate *out, const char *text, witan_diag *diag)
{
    char name[NAME_MAX_BYTES] = "";
    size_t length = strcspn(text, "<>"), used = length;
    while (used > 0 && text[used - 1] == ' ') {
        used--;
    }
    if (text[length] == '\0' || used == 0 || used >= sizeof name) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "gate \"%s\": say NAME, one of > >= < <=, and a number, "
                               "such as exposure>3",
                               text);
    }
    memcpy(name, text, used);
    size_t metric = 0;
    while (metric < AUDIT_METRICS && strcmp(names[metric], name) != 0) {
        metric++;
    }
    if (metric == AUDIT_METRICS) {
        const char *nearest = witan_text_nearest(name, names, AUDIT_METRICS);
        return nearest == NULL
                   ? witan_diag_fail(diag, WITAN_E_CONFIG,
                                     "gate \"%s\": %s is not measured; use exposure, "
                                     "teacher, wire, reduction, cost, utility, auc, "
                                     "tpr, told, epsilon or extracted",
                                     text, name)
                   : witan_diag_fail(diag, WITAN_E_CONFIG,
                                     "gate \"%s\": unknown name %s, did you mean %s?",
                                     text, name, nearest);
    }
    const char *number = text + length + 1;
    *out = (gate){.metric = (audit_metric)metric, .above = text[length] == '>'};
    if (*number == '=') {
        out->equal = true;
        number++;
    }
    number += strspn(number, " ");
    return witan_text_parse_double(number, &out->limit)
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_CONFIG,
                                 "gate \"%s\": \"%s\" is not a number", text, number);
}

witan_status
witan_audit_gate_check(const char *expression, witan_diag *diag)
{
    gate ignored;
    return parse(&ignored, expression, diag);
}

/* The value that is nearest to crossing, or furthest beyond. */
static double
extreme_of(const witan_audit_result *self, const gate *it)
{
    return it->above ? self->range[it->metric].high : self->range[it->metric].low;
}

static bool
is_crossed(const gate *it, double value)
{
    return (it->equal && value == it->limit) ||
           (it->above ? value > it->limit : value < it->limit);
}

witan_status
witan_audit_gates(witan_audit_result *self, const char *const *expressions,
                  size_t count, bool *crossed, witan_diag *diag)
{
    witan_status status = WITAN_OK;
    const char **list = audit_keep(self, count, sizeof *list);
    *crossed = false;
    if (list == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for gates");
    }
    for (size_t i = 0; i < count; i++) {
        gate it;
        WITAN_TRY(parse(&it, expressions[i], diag));
        double value = extreme_of(self, &it);
        if (isnan(value)) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG, "gate \"%s\": %s was not measured: %s",
                expressions[i], names[it.metric], missing[it.metric]);
        }
        bool beyond = is_crossed(&it, value);
        list[i] =
            audit_sentence(self, &status, "%s %s%s %g: %s (%.4g)", names[it.metric],
                           it.above ? ">" : "<", it.equal ? "=" : "", it.limit,
                           beyond ? "crossed" : "not crossed", value);
        *crossed |= beyond;
    }
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status, "out of memory for gates");
    }
    self->record.gate = list;
    self->record.gates = count;
    self->record.crossed = *crossed;
    return WITAN_OK;
}
