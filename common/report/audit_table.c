/* audit_table.c - the table of an audit for a terminal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/audit.h"
#include "report/audit_facts.h"
#include "report/facts.h"
#include "report/lines.h"

enum {
    LEVELS_SHOWN = 12,
    LISTED_MAX = 12,
    ROW_MAX = 256
};

static void
add_head(witan_text *out, const witan_audit_record *record,
         const witan_terminal *terminal)
{
    witan_text headline;
    witan_text_init(&headline, out->allocator, out->ceiling);
    witan_evidence_headline(&headline, record);
    if (headline.status == WITAN_OK) {
        witan_line_wrap(out, headline.data, 0, 0, terminal->unicode);
        witan_text_add(out, "\n\n", 2);
    } else if (out->status == WITAN_OK) {
        out->status = headline.status;
    }
    witan_text_fini(&headline);
    const char *const fields[][2] = {{"audit of", record->name},
                                     {"planted", record->canaries},
                                     {"estimated", record->how},
                                     {"transfer", record->transfer},
                                     {"protection", record->mode}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (witan_has_text(fields[i][1])) {
            witan_line_field(out, terminal, fields[i][0], fields[i][1]);
        }
    }
    if (isfinite(record->utility) || isfinite(record->utility_holders)) {
        char line[ROW_MAX];
        (void)snprintf(line, sizeof line, "%s: students %s, holders %s",
                       record->text ? "perplexity on the global test"
                                    : "accuracy on the global test",
                       witan_evidence_utility(record, record->utility).text,
                       witan_evidence_utility(record, record->utility_holders).text);
        witan_line_field(out, terminal, "utility", line);
    }
}

/* ---- exposure -------------------------------------------------------------------- */

static void
add_exposure_row(witan_text *out, const witan_audit_record *record,
                 const witan_terminal *terminal, size_t round, uint32_t repetitions)
{
    char row[ROW_MAX], cell[ROW_MAX];
    bool beyond = false;
    int used = snprintf(row, sizeof row, "%8u", (unsigned)repetitions);
    for (int place = 0; place < WITAN_AUDIT_PLACES; place++) {
        const witan_audit_exposure *at =
            witan_evidence_find(record, round, (witan_audit_place)place, repetitions);
        (void)snprintf(cell, sizeof cell, "-");
        if (at != NULL && isfinite(at->mean)) {
            (void)snprintf(
                cell, sizeof cell,
                isfinite(at->low) && isfinite(at->high) ? "%s [%s,%s]" : "%s",
                witan_shown_bits(at->mean).text, witan_shown_bits(at->low).text,
                witan_shown_bits(at->high).text);
            beyond =
                beyond || (place == WITAN_AUDIT_STUDENTS &&
                           witan_evidence_judge(record, at) >= WITAN_EVIDENCE_PART);
        }
        used += snprintf(row + used, sizeof row - (size_t)used, " %16.16s", cell);
    }
    witan_line_paint(out, terminal, beyond ? WITAN_RED : WITAN_PLAIN, row);
}

static void
add_exposures(witan_text *out, const witan_audit_record *record,
              const witan_terminal *terminal)
{
    char line[ROW_MAX];
    size_t round = witan_evidence_last_round(record);
    if (round == SIZE_MAX || record->levels == 0) {
        return;
    }
    size_t first = record->levels > LEVELS_SHOWN ? record->levels - LEVELS_SHOWN : 0;
    (void)snprintf(line, sizeof line,
                   "exposure in bits, round %zu: mean [95 %% interval]; null %.2f, "
                   "largest %s",
                   round + 1, WITAN_EVIDENCE_NULL_MEAN,
                   witan_shown_bits(record->space_bits).text);
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, WITAN_DIM, line);
    (void)snprintf(line, sizeof line, "%8s %16s %16s %16s %16s", "repeated", "teachers",
                   "wire", "fused", "students");
    witan_line_paint(out, terminal, WITAN_DIM, line);
    if (first > 0) {
        witan_text_format(out, "%8s and %zu levels below, see the report\n", "", first);
    }
    for (size_t i = first; i < record->levels; i++) {
        add_exposure_row(out, record, terminal, round, record->repetitions[i]);
    }
}

/* "10^6" of a power of ten, else as other counts are shown. */
static void
format_space(char out[ROW_MAX], double space)
{
    double digits = round(log10(space));
    if (space >= 1e4 && pow(10.0, digits) == space) {
        (void)snprintf(out, ROW_MAX, "10^%.0f", digits);
    } else {
        (void)snprintf(out, ROW_MAX, "%s", witan_shown_count(space).text);
    }
}

/* Who was asked, what came out, and how many prefixes that took. */
static void
add_extraction(witan_text *out, const witan_audit_extraction *at,
               const witan_terminal *terminal)
{
    char who[ROW_MAX], space[ROW_MAX], planted[64] = "not planted";
    witan_text found;
    if (at->planted) {
        (void)snprintf(planted, sizeof planted, "planted %u time%s",
                       (unsigned)at->repetitions, at->repetitions == 1 ? "" : "s");
    }
    int used = snprintf(who, sizeof who, "  client %zu%s, %s: ", at->client,
                        at->holder ? ", a holder" : "", planted);
    format_space(space, at->space);
    witan_text_init(&found, out->allocator, out->ceiling);
    witan_text_format(&found, "%s (%llu node%s of %s fills)", at->text,
                      (unsigned long long)at->nodes, at->nodes == 1 ? "" : "s", space);
    if (found.status == WITAN_OK) {
        witan_text_format(out, "%s", who);
        witan_line_wrap(out, found.data, (size_t)used, 4, terminal->unicode);
        witan_text_add(out, "\n", 1);
    } else if (out->status == WITAN_OK) {
        out->status = found.status;
    }
    witan_text_fini(&found);
}

static void
add_extractions(witan_text *out, const witan_audit_record *record,
                const witan_terminal *terminal)
{
    char line[ROW_MAX];
    size_t listed = 0;
    witan_evidence_extracted all = witan_evidence_extracted_of(record);
    if (all.models == 0) {
        return;
    }
    witan_text_add(out, "\n", 1);
    (void)snprintf(
        line, sizeof line,
        "a planted canary is the likeliest fill of %zu of %zu holders and %zu "
        "of %zu students",
        all.found_by_holders, all.holders, all.found_by_students,
        all.models - all.holders);
    witan_line_field(out, terminal, "extraction", line);
    for (size_t i = 0; i < record->extractions && listed < LISTED_MAX; i++) {
        const witan_audit_extraction *at = &record->extraction[i];
        if (at->found && witan_has_text(at->text)) {
            add_extraction(out, at, terminal);
            listed++;
        }
    }
}

/* ---- the rest -------------------------------------------------------------------- */

static void
add_memberships(witan_text *out, const witan_audit_record *record,
                const witan_terminal *terminal)
{
    char line[ROW_MAX];
    witan_evidence_attack attacks[WITAN_EVIDENCE_ATTACKS_MAX];
    size_t count = witan_evidence_attacks(record, attacks);
    if (count == 0) {
        return;
    }
    (void)snprintf(line, sizeof line, "%-12s %-23s %7s %7s %7s %7s %8s", "membership",
                   "seen from", "clients", "AUC", "highest", "TPR@1%", "TPR@0.1%");
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, WITAN_DIM, line);
    for (size_t g = 0; g < count; g++) {
        const witan_evidence_attack *at = &attacks[g];
        witan_line_name(out, at->attack, 12, terminal->unicode);
        witan_text_add(out, " ", 1);
        witan_line_name(out, at->place, 23, terminal->unicode);
        witan_text_format(out, " %7zu %7s %7s %7s %8s\n", at->clients,
                          witan_shown_real(at->auc, 3).text,
                          witan_shown_real(at->auc_largest, 3).text,
                          witan_shown_percent(at->tpr_1).text,
                          witan_shown_percent(at->tpr_01).text);
    }
}

static void
add_labels(witan_text *out, const witan_audit_record *record,
           const witan_terminal *terminal)
{
    char line[ROW_MAX];
    if (isfinite(witan_evidence_told_mean(record))) {
        (void)snprintf(line, sizeof line,
                       "soft labels tell %s %% of a client's label distribution on "
                       "average, %s %% at most",
                       witan_shown_percent(witan_evidence_told_mean(record)).text,
                       witan_shown_percent(witan_evidence_told_largest(record)).text);
        witan_text_add(out, "\n", 1);
        witan_line_field(out, terminal, "label shares", line);
    }
}

/* "epsilon <= 8.0": one line of what is promised or shown, then why. */
static void
add_epsilon(witan_text *out, const witan_terminal *terminal, witan_style s,
            const char *what, double epsilon, const char *where, const char *sentence)
{
    char line[ROW_MAX];
    if (isfinite(epsilon)) {
        (void)snprintf(line, sizeof line, "%-13s %s%s%s", what,
                       witan_shown_real(epsilon, 2).text, where[0] == '\0' ? "" : " ",
                       where);
    } else {
        (void)snprintf(line, sizeof line, "%-13.8s %s", what, "nothing");
    }
    witan_paint(out, terminal, s, line);
    witan_text_add(out, "\n", 1);
    if (witan_has_text(sentence)) {
        witan_text_format(out, "%*s", (int)WITAN_FIELD_INDENT, "");
        witan_line_wrap(out, sentence, WITAN_FIELD_INDENT, WITAN_FIELD_INDENT,
                        terminal->unicode);
        witan_text_add(out, "\n", 1);
    }
}

static void
add_epsilons(witan_text *out, const witan_audit_record *record,
             const witan_terminal *terminal)
{
    if (record->claims == 0 && record->bounds == 0) {
        return;
    }
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, WITAN_DIM,
                     "epsilon: promised at most, shown at least");
    for (size_t i = 0; i < record->claims && i < LISTED_MAX; i++) {
        const witan_audit_claim *at = &record->claim[i];
        add_epsilon(out, terminal, at->contradicted ? WITAN_RED : WITAN_PLAIN,
                    "promised <=", at->epsilon,
                    at->contradicted ? "CONTRADICTED by a bound below" : "",
                    at->sentence);
    }
    for (size_t i = 0; i < record->bounds && i < LISTED_MAX; i++) {
        const witan_audit_evidence *at = &record->bound[i];
        char where[64];
        (void)snprintf(where, sizeof where, "(%.20s, %.20s)",
                       at->method == NULL ? "" : at->method,
                       at->place == NULL ? "" : at->place);
        add_epsilon(out, terminal, WITAN_PLAIN, "shown >=", at->epsilon, where,
                    at->sentence);
    }
}

static void
add_modes(witan_text *out, const witan_audit_record *record,
          const witan_terminal *terminal)
{
    char line[ROW_MAX];
    if (record->modes == 0) {
        return;
    }
    (void)snprintf(line, sizeof line, "%-28s %-3s %5s %8s %9s %10s %8s", "protection",
                   "set", "seeds", "exposure", "reduced %",
                   record->text ? "perplexity" : "accuracy", "cost %");
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, WITAN_DIM, line);
    for (size_t i = 0; i < record->modes && i < LISTED_MAX; i++) {
        const witan_audit_mode *at = &record->modes_of[i];
        witan_line_name(out, at->mode == NULL ? "" : at->mode, 28, terminal->unicode);
        witan_text_add(out, " ", 1);
        witan_line_name(out, at->transfer == NULL ? "" : at->transfer, 3,
                        terminal->unicode);
        witan_text_format(out, " %5zu %8s %9s %10s %8s\n", at->seeds,
                          witan_shown_bits(at->exposure).text,
                          witan_shown_percent(at->reduction).text,
                          witan_evidence_utility(record, at->utility).text,
                          witan_shown_points(at->cost).text);
    }
    if (record->modes > LISTED_MAX) {
        witan_text_format(out, "and %zu more, see the report\n",
                          record->modes - LISTED_MAX);
    }
}

static void
add_list(witan_text *out, const witan_terminal *terminal, witan_style s,
         const char *head, size_t count, const char *const *sentences)
{
    if (count == 0) {
        return;
    }
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, s, head);
    for (size_t i = 0; i < count; i++) {
        witan_text_add(out, "- ", 2);
        witan_line_wrap(out, sentences[i] == NULL ? "" : sentences[i], 2, 2,
                        terminal->unicode);
        witan_text_add(out, "\n", 1);
    }
}

void
witan_report_audit_table(witan_text *out, const witan_audit_record *record,
                         const witan_terminal *terminal)
{
    add_head(out, record, terminal);
    add_exposures(out, record, terminal);
    add_extractions(out, record, terminal);
    add_memberships(out, record, terminal);
    add_labels(out, record, terminal);
    add_epsilons(out, record, terminal);
    add_modes(out, record, terminal);
    add_list(out, terminal, WITAN_DIM, "what this does not show", record->limits,
             record->limit);
    add_list(out, terminal, record->crossed ? WITAN_RED : WITAN_GREEN,
             record->crossed ? "gates: CROSSED" : "gates: held", record->gates,
             record->gate);
    if (witan_has_text(record->directory)) {
        witan_text_add(out, "\n", 1);
        witan_line_path(out, terminal, "report", record->directory, "audit.html");
        witan_line_path(out, terminal, "raw numbers", record->directory, "audit.json");
    }
}
