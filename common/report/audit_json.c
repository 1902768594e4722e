/* audit_json.c - audit.json, schema version 1 (docs/privacy.md). A new member is no new
 * version; a changed or dropped one is. */
#include "report/audit.h"
#include "report/audit_facts.h"

enum {
    SCHEMA_VERSION = 1
};

/* ---- members of one object --------------------------------------------------------
 */

typedef struct object {
    witan_text *out;
    const char *between; /* two members */
    bool begun;
} object;

static void
add_key(object *self, const char *key)
{
    witan_text_format(self->out, "%s\"%s\": ", self->begun ? self->between : "", key);
    self->begun = true;
}

static void
add_text(object *self, const char *key, const char *value)
{
    add_key(self, key);
    witan_text_json_string(self->out, value == NULL ? "" : value);
}

static void
add_number(object *self, const char *key, double value)
{
    add_key(self, key);
    witan_text_json_number(self->out, value);
}

static void
add_count(object *self, const char *key, uint64_t value)
{
    add_key(self, key);
    witan_text_format(self->out, "%llu", (unsigned long long)value);
}

static void
add_flag(object *self, const char *key, bool value)
{
    add_key(self, key);
    witan_text_format(self->out, "%s", value ? "true" : "false");
}

/* ---- lists: one item a line -------------------------------------------------------
 */

static void
open_list(object *parent, const char *key)
{
    add_key(parent, key);
    witan_text_format(parent->out, "[");
}

static void
close_list(object *parent, size_t count)
{
    witan_text_format(parent->out, count == 0 ? "]" : "\n  ]");
}

static object
open_item(object *parent, size_t index)
{
    witan_text_format(parent->out, "%s\n    {", index == 0 ? "" : ",");
    return (object){parent->out, ", ", false};
}

static void
close_item(const object *self)
{
    witan_text_format(self->out, "}");
}

static void
add_sentences(object *parent, const char *key, size_t count,
              const char *const *sentences)
{
    open_list(parent, key);
    for (size_t i = 0; i < count; i++) {
        witan_text_format(parent->out, "%s\n    ", i == 0 ? "" : ",");
        witan_text_json_string(parent->out, sentences[i] == NULL ? "" : sentences[i]);
    }
    close_list(parent, count);
}

static void
add_numbers(object *item, const char *key, size_t count, const double *values)
{
    add_key(item, key);
    witan_text_format(item->out, "[");
    for (size_t i = 0; i < count; i++) {
        witan_text_format(item->out, "%s", i == 0 ? "" : ", ");
        witan_text_json_number(item->out, values[i]);
    }
    witan_text_format(item->out, "]");
}

/* ---- the record -------------------------------------------------------------------
 */

static void
add_exposures(object *self, const witan_audit_record *record)
{
    open_list(self, "exposure");
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *at = &record->exposure[i];
        object item = open_item(self, i);
        add_count(&item, "round", at->round);
        add_text(&item, "place", witan_evidence_place_name(at->place));
        add_count(&item, "repetitions", at->repetitions);
        add_count(&item, "count", at->count);
        add_number(&item, "mean", at->mean);
        add_number(&item, "low", at->low);
        add_number(&item, "high", at->high);
        add_number(&item, "median", at->median);
        add_number(&item, "largest", at->largest);
        add_number(&item, "p_value", at->p_value);
        close_item(&item);
    }
    close_list(self, record->exposures);
}

static void
add_extractions(object *self, const witan_audit_record *record)
{
    open_list(self, "extraction");
    for (size_t i = 0; i < record->extractions; i++) {
        const witan_audit_extraction *at = &record->extraction[i];
        object item = open_item(self, i);
        add_count(&item, "client", at->client);
        add_flag(&item, "holder", at->holder);
        add_flag(&item, "found", at->found);
        add_text(&item, "text", at->text);
        add_flag(&item, "planted", at->planted);
        add_count(&item, "repetitions", at->repetitions);
        add_count(&item, "nodes", at->nodes);
        add_number(&item, "space", at->space);
        close_item(&item);
    }
    close_list(self, record->extractions);
}

static void
add_memberships(object *self, const witan_audit_record *record)
{
    open_list(self, "membership");
    for (size_t i = 0; i < record->memberships; i++) {
        const witan_audit_membership *at = &record->membership[i];
        object item = open_item(self, i);
        add_count(&item, "client", at->client);
        add_text(&item, "attack", at->attack);
        add_text(&item, "place", at->place);
        add_count(&item, "members", at->members);
        add_count(&item, "others", at->others);
        add_count(&item, "references", at->references);
        add_number(&item, "auc", at->auc);
        add_number(&item, "balanced_accuracy", at->balanced_accuracy);
        add_number(&item, "tpr_1", at->tpr_1);
        add_number(&item, "tpr_01", at->tpr_01);
        add_number(&item, "tpr_0", at->tpr_0);
        add_numbers(&item, "fpr", at->fpr == NULL ? 0 : at->points, at->fpr);
        add_numbers(&item, "tpr", at->tpr == NULL ? 0 : at->points, at->tpr);
        close_item(&item);
    }
    close_list(self, record->memberships);
}

static void
add_labels(object *self, const witan_audit_record *record)
{
    open_list(self, "labels");
    for (size_t i = 0; i < record->labels_count; i++) {
        const witan_audit_labels *at = &record->labels[i];
        object item = open_item(self, i);
        add_count(&item, "client", at->client);
        add_number(&item, "told", at->told);
        add_number(&item, "divergence", at->divergence);
        add_number(&item, "uniform", at->uniform);
        add_number(&item, "gap_mean", at->gap_mean);
        add_number(&item, "gap_q99", at->gap_q99);
        close_item(&item);
    }
    close_list(self, record->labels_count);
}

static void
add_epsilons(object *self, const witan_audit_record *record)
{
    open_list(self, "bounds");
    for (size_t i = 0; i < record->bounds; i++) {
        const witan_audit_evidence *at = &record->bound[i];
        object item = open_item(self, i);
        add_text(&item, "method", at->method);
        add_text(&item, "place", at->place);
        add_number(&item, "epsilon", at->epsilon);
        add_text(&item, "sentence", at->sentence);
        close_item(&item);
    }
    close_list(self, record->bounds);
    open_list(self, "claims");
    for (size_t i = 0; i < record->claims; i++) {
        const witan_audit_claim *at = &record->claim[i];
        object item = open_item(self, i);
        add_number(&item, "epsilon", at->epsilon);
        add_flag(&item, "contradicted", at->contradicted);
        add_text(&item, "sentence", at->sentence);
        close_item(&item);
    }
    close_list(self, record->claims);
}

static void
add_runs(object *self, const witan_audit_record *record)
{
    open_list(self, "runs");
    for (size_t i = 0; i < record->runs; i++) {
        const witan_audit_run *at = &record->run[i];
        object item = open_item(self, i);
        add_text(&item, "directory", at->directory);
        add_text(&item, "mode", at->mode);
        add_count(&item, "seed", at->seed);
        add_text(&item, "transfer", at->transfer);
        add_number(&item, "exposure", at->exposure);
        add_number(&item, "exposure_control", at->exposure_control);
        add_number(&item, "reduction", at->reduction);
        add_number(&item, "utility", at->utility);
        add_number(&item, "cost", at->cost);
        close_item(&item);
    }
    close_list(self, record->runs);
    open_list(self, "modes");
    for (size_t i = 0; i < record->modes; i++) {
        const witan_audit_mode *at = &record->modes_of[i];
        object item = open_item(self, i);
        add_text(&item, "mode", at->mode);
        add_text(&item, "transfer", at->transfer);
        add_count(&item, "seeds", at->seeds);
        add_number(&item, "exposure", at->exposure);
        add_number(&item, "exposure_low", at->exposure_low);
        add_number(&item, "exposure_high", at->exposure_high);
        add_number(&item, "reduction", at->reduction);
        add_number(&item, "reduction_low", at->reduction_low);
        add_number(&item, "reduction_high", at->reduction_high);
        add_number(&item, "utility", at->utility);
        add_number(&item, "cost", at->cost);
        add_number(&item, "cost_low", at->cost_low);
        add_number(&item, "cost_high", at->cost_high);
        close_item(&item);
    }
    close_list(self, record->modes);
}

static void
add_head(object *self, const witan_audit_record *record)
{
    const char *const texts[][2] = {{"version", record->version},
                                    {"name", record->name},
                                    {"directory", record->directory},
                                    {"digest", record->digest},
                                    {"plan_digest", record->plan_digest},
                                    {"canaries", record->canaries},
                                    {"how", record->how},
                                    {"transfer", record->transfer},
                                    {"mode", record->mode}};
    witan_text headline;
    add_count(self, "witan_audit", SCHEMA_VERSION);
    witan_text_init(&headline, self->out->allocator, self->out->ceiling);
    witan_evidence_headline(&headline, record);
    if (headline.status == WITAN_OK) {
        add_text(self, "headline", headline.data);
    } else if (self->out->status == WITAN_OK) {
        self->out->status = headline.status;
    }
    witan_text_fini(&headline);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        add_text(self, texts[i][0], texts[i][1]);
    }
    add_flag(self, "text", record->text);
    add_count(self, "clients", record->clients);
    add_count(self, "rounds", record->rounds);
    add_number(self, "utility", record->utility);
    add_number(self, "utility_holders", record->utility_holders);
    add_number(self, "space_bits", record->space_bits);
    add_number(self, "null_mean", WITAN_EVIDENCE_NULL_MEAN);
    add_number(self, "fit_p_value", record->fit_p_value);
    add_flag(self, "crossed", record->crossed);
}

static void
add_hashes(object *self, const witan_audit_hashes *hashes)
{
    add_key(self, "hashes");
    witan_text_format(self->out, "{");
    object item = {self->out, ", ", false};
    add_text(&item, "config", hashes->config);
    add_text(&item, "plan", hashes->plan);
    add_text(&item, "data", hashes->data);
    add_text(&item, "models", hashes->models);
    close_item(&item);
}

void
witan_report_audit_json(witan_text *out, const witan_audit_record *record,
                        const witan_audit_hashes *hashes)
{
    object self = {out, ",\n  ", false};
    witan_text_format(out, "{\n  ");
    add_head(&self, record);
    add_hashes(&self, hashes);
    open_list(&self, "repetitions");
    for (size_t i = 0; i < record->levels; i++) {
        witan_text_format(out, "%s%u", i == 0 ? "" : ", ",
                          (unsigned)record->repetitions[i]);
    }
    witan_text_format(out, "]");
    add_exposures(&self, record);
    add_extractions(&self, record);
    add_memberships(&self, record);
    add_labels(&self, record);
    add_epsilons(&self, record);
    add_runs(&self, record);
    add_sentences(&self, "limits", record->limits, record->limit);
    add_sentences(&self, "gates", record->gates, record->gate);
    witan_text_format(out, "\n}\n");
}
