/* audit_page.c - audit.html: the order of its sections, its tables and its sentences.
 * Why here: what leaks must be readable by somebody who was not there, with what the
 * evidence does not show beside it. No script, no network, as page.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/audit.h"
#include "report/audit_chart.h"
#include "report/facts.h"

static void
open_table(witan_text *out, const char *heads)
{
    witan_text_format(out,
                      "<div class=\"panel scroll\"><table><thead><tr>%s</tr></thead>"
                      "<tbody>\n",
                      heads);
}

static void
close_table(witan_text *out)
{
    witan_text_format(out, "</tbody></table></div>\n");
}

static void
add_prose_cell(witan_text *out, const char *text)
{
    witan_text_format(out, "<td class=\"prose\">");
    witan_html_escape(out, text);
    witan_text_format(out, "</td>");
}

static void
add_note(witan_text *out, const char *text)
{
    if (witan_has_text(text)) {
        witan_text_format(out, "<p class=\"note\">");
        witan_html_escape(out, text);
        witan_text_format(out, "</p>\n");
    }
}

static void
add_list(witan_text *out, size_t count, const char *const *sentences)
{
    witan_text_format(out, "<ul class=\"said\">\n");
    for (size_t i = 0; i < count; i++) {
        witan_text_format(out, "<li>");
        witan_html_escape(out, sentences[i]);
        witan_text_format(out, "</li>\n");
    }
    witan_text_format(out, "</ul>\n");
}

/* ---- head ------------------------------------------------------------------------ */

static void
add_head(witan_text *out, const witan_audit_record *record)
{
    char title[256];
    witan_text headline;
    (void)snprintf(title, sizeof title, "audit of %.200s",
                   witan_has_text(record->name) ? record->name : "a run");
    witan_html_open(out, title);
    witan_text_format(out, "<p class=\"lead\">");
    witan_text_init(&headline, out->allocator, out->ceiling);
    witan_evidence_headline(&headline, record);
    witan_html_take(out, &headline);
    witan_text_format(out, "</p>\n");
    if (record->gates > 0) {
        witan_text_format(out, "<p class=\"lead %s\">Gates: %s.</p>\n",
                          record->crossed ? "fail" : "good",
                          record->crossed ? "crossed" : "held");
        add_list(out, record->gates, record->gate);
    }
}

static void
open_card(witan_text *out)
{
    witan_text_format(out, "<div class=\"card\"><b>");
}

static void
add_exposure_card(witan_text *out, const witan_audit_exposure *at, const char *of)
{
    if (at != NULL && isfinite(at->mean)) {
        open_card(out);
        witan_html_number(out, witan_shown_bits(at->mean));
        witan_text_format(
            out,
            " bits</b><span>exposure %s, canaries planted %u time%s</span>"
            "</div>\n",
            of, (unsigned)at->repetitions, at->repetitions == 1 ? "" : "s");
    }
}

static void
add_cards(witan_text *out, const witan_audit_record *record)
{
    witan_evidence_extracted extracted = witan_evidence_extracted_of(record);
    size_t round = witan_evidence_last_round(record);
    uint32_t most = record->levels == 0 ? 0 : record->repetitions[record->levels - 1];
    witan_text_format(out, "<div class=\"cards\">\n");
    add_exposure_card(out,
                      witan_evidence_find(record, round, WITAN_AUDIT_STUDENTS, most),
                      "in students");
    add_exposure_card(out,
                      witan_evidence_find(record, round, WITAN_AUDIT_TEACHERS, most),
                      "in the models that hold them");
    if (extracted.models > extracted.holders) {
        open_card(out);
        witan_text_format(out,
                          "%zu of %zu</b><span>students have a planted canary as their "
                          "likeliest fill</span></div>\n",
                          extracted.found_by_students,
                          extracted.models - extracted.holders);
    }
    open_card(out);
    witan_html_number(out, witan_evidence_utility(record, record->utility));
    witan_text_format(out, "</b><span>%s of students; holders ",
                      record->text ? "perplexity" : "accuracy");
    witan_html_number(out, witan_evidence_utility(record, record->utility_holders));
    witan_text_format(out, "</span></div>\n</div>\n<dl>\n");
    witan_html_term(out, "planted", record->canaries);
    witan_html_term(out, "transfer set", record->transfer);
    witan_html_term(out, "protection", record->mode);
    witan_text_format(out, "<dt>run</dt><dd>%zu clients, %zu rounds</dd>\n</dl>\n",
                      record->clients, record->rounds);
}

/* ---- exposure -------------------------------------------------------------------- */

static void
add_places_legend(witan_text *out)
{
    static const char *const what[WITAN_AUDIT_PLACES] = {
        "teachers: models that hold the canary", "wire: soft labels that holders said",
        "fused: what students were told to learn",
        "students: models of clients without the canary"};
    witan_text_format(out, "<ul class=\"legend\">");
    for (size_t place = 0; place < WITAN_AUDIT_PLACES; place++) {
        witan_text_format(out, "<li>");
        witan_evidence_key_mark(out, place);
        witan_text_format(out, "%s</li>", what[place]);
    }
    witan_text_format(out, "<li><i class=\"band\"></i>chance: 90 of 100 audits</li>"
                           "<li><i class=\"reference\"></i>null mean and largest "
                           "possible</li></ul>\n");
}

static void
add_exposure_row(witan_text *out, const witan_audit_record *record,
                 const witan_audit_exposure *at)
{
    double low, high;
    witan_evidence_null_band(
        &low, &high, witan_evidence_canaries(record, at->round, at->repetitions));
    bool beyond = witan_evidence_judge(record, at) >= WITAN_EVIDENCE_PART;
    witan_text_format(out, "<tr><td>%u</td>", (unsigned)at->repetitions);
    witan_html_text_cell(out, witan_evidence_place_name(at->place));
    witan_text_format(out, "<td>%zu</td>", at->count);
    witan_html_number_cell(out, witan_shown_bits(at->mean));
    witan_html_number_cell(out, witan_shown_bits(at->low));
    witan_html_number_cell(out, witan_shown_bits(at->high));
    witan_html_number_cell(out, witan_shown_bits(at->median));
    witan_html_number_cell(out, witan_shown_bits(at->largest));
    witan_html_number_cell(out, witan_shown_probability(at->p_value));
    witan_html_number_cell(out, witan_shown_real(low, 2));
    witan_html_number_cell(out, witan_shown_real(high, 2));
    witan_text_format(out, "<td class=\"name%s\">%s</td></tr>\n", beyond ? " fail" : "",
                      !isfinite(at->mean) ? "\u2013"
                      : beyond            ? "beyond chance"
                                          : "within chance");
}

static void
add_exposure_table(witan_text *out, const witan_audit_record *record, size_t round)
{
    size_t rows = 0;
    open_table(out, "<th>planted</th><th class=\"name\">place</th><th>values</th>"
                    "<th>mean</th><th>95 % from</th><th>to</th><th>median</th>"
                    "<th>largest</th><th>p</th><th>null from</th><th>to</th>"
                    "<th class=\"name\">verdict</th>");
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *at = &record->exposure[i];
        if (at->round == round && rows++ < WITAN_ROWS_MAX) {
            add_exposure_row(out, record, at);
        }
    }
    close_table(out);
    witan_html_cut_note(out, rows, "rows", "audit.json");
}

static void
add_exposure(witan_text *out, const witan_audit_record *record)
{
    size_t round = witan_evidence_last_round(record);
    if (round == SIZE_MAX) {
        return;
    }
    witan_text_format(
        out,
        "<h2>Exposure</h2>\n<p class=\"note\">How far below chance a planted canary's "
        "rank among all its possible fills is: log2 of their number minus log2 of the "
        "rank. A canary that no model saw has %.2f bits on average; each bit more "
        "halves "
        "the guesses of somebody who looks for it. The band is where the mean of that "
        "many unseen canaries lies in 90 of 100 audits; canaries are counted once "
        "however many models were asked.</p>\n",
        WITAN_EVIDENCE_NULL_MEAN);
    add_note(out, record->how);
    if (isfinite(record->fit_p_value)) {
        witan_text_format(
            out,
            "<p class=\"note\">Values are read off a fitted distribution; "
            "its goodness of fit has p = %s.</p>\n",
            witan_shown_probability(record->fit_p_value).text);
    }
    add_places_legend(out);
    witan_text_format(out, "<div class=\"pair\">\n");
    witan_evidence_draw_levels(out, record);
    witan_evidence_draw_rounds(out, record);
    witan_text_format(out,
                      "</div>\n<p class=\"note\">Last recorded round (%zu), in "
                      "bits:</p>\n",
                      round + 1);
    add_exposure_table(out, record, round);
}

static void
add_extraction(witan_text *out, const witan_audit_record *record)
{
    witan_evidence_extracted all = witan_evidence_extracted_of(record);
    if (all.models == 0) {
        return;
    }
    witan_text_format(
        out,
        "<h2>Extraction</h2>\n<p class=\"note\">The likeliest fill of the template, by "
        "searching each model. It is a planted canary in %zu of %zu models that hold "
        "some, and in %zu of %zu that hold none.</p>\n",
        all.found_by_holders, all.holders, all.found_by_students,
        all.models - all.holders);
    open_table(out, "<th>client</th><th class=\"name\">holds canaries</th>"
                    "<th class=\"name\">likeliest fill</th>"
                    "<th class=\"name\">planted?</th><th>prefixes asked</th>"
                    "<th>fills in all</th>");
    for (size_t i = 0; i < record->extractions && i < WITAN_ROWS_MAX; i++) {
        const witan_audit_extraction *at = &record->extraction[i];
        witan_text_format(out, "<tr><td>%zu</td><td class=\"name\">%s</td>", at->client,
                          at->holder ? "yes" : "no");
        witan_html_text_cell(out, at->found ? at->text : "none within the limit");
        if (at->found && at->planted) {
            witan_text_format(out, "<td class=\"name fail\">yes, %u time%s</td>",
                              (unsigned)at->repetitions,
                              at->repetitions == 1 ? "" : "s");
        } else {
            witan_text_format(out, "<td class=\"name\">%s</td>",
                              at->found ? "no" : "\u2013");
        }
        witan_text_format(out, "<td>%llu</td>", (unsigned long long)at->nodes);
        witan_html_number_cell(out, witan_shown_count(at->space));
        witan_text_format(out, "</tr>\n");
    }
    close_table(out);
    witan_html_cut_note(out, record->extractions, "models", "audit.json");
}

/* ---- membership ------------------------------------------------------------------ */

static void
add_attacks(witan_text *out, const witan_evidence_attack *attacks, size_t count)
{
    open_table(out, "<th>attack</th><th class=\"name\">seen from</th><th>clients</th>"
                    "<th>AUC, mean</th><th>AUC, highest</th>"
                    "<th>TPR at FPR 1 %, highest, %</th>"
                    "<th>at 0.1 %, highest, %</th>");
    for (size_t g = 0; g < count; g++) {
        witan_text_format(out, "<tr>");
        witan_html_text_cell(out, attacks[g].attack);
        witan_html_text_cell(out, attacks[g].place);
        witan_text_format(out, "<td>%zu</td>", attacks[g].clients);
        witan_html_number_cell(out, witan_shown_real(attacks[g].auc, 3));
        witan_html_number_cell(out, witan_shown_real(attacks[g].auc_largest, 3));
        witan_html_number_cell(out, witan_shown_percent(attacks[g].tpr_1));
        witan_html_number_cell(out, witan_shown_percent(attacks[g].tpr_01));
        witan_text_format(out, "</tr>\n");
    }
    close_table(out);
}

static void
add_membership_rows(witan_text *out, const witan_audit_record *record)
{
    witan_text_format(out, "<details><summary>Client by client</summary>\n");
    open_table(out, "<th>client</th><th class=\"name\">attack</th>"
                    "<th class=\"name\">seen from</th><th>members</th><th>others</th>"
                    "<th>reference models</th><th>AUC</th><th>balanced accuracy, %</th>"
                    "<th>TPR at 1 %, %</th><th>at 0.1 %, %</th><th>at 0, %</th>");
    for (size_t i = 0; i < record->memberships && i < WITAN_ROWS_MAX; i++) {
        const witan_audit_membership *at = &record->membership[i];
        witan_text_format(out, "<tr><td>%zu</td>", at->client);
        witan_html_text_cell(out, at->attack);
        witan_html_text_cell(out, at->place);
        witan_text_format(out, "<td>%zu</td><td>%zu</td><td>%zu</td>", at->members,
                          at->others, at->references);
        witan_html_number_cell(out, witan_shown_real(at->auc, 3));
        witan_html_number_cell(out, witan_shown_percent(at->balanced_accuracy));
        witan_html_number_cell(out, witan_shown_percent(at->tpr_1));
        witan_html_number_cell(out, witan_shown_percent(at->tpr_01));
        witan_html_number_cell(out, witan_shown_percent(at->tpr_0));
        witan_text_format(out, "</tr>\n");
    }
    close_table(out);
    witan_html_cut_note(out, record->memberships, "rows", "audit.json");
    witan_text_format(out, "</details>\n");
}

static void
add_membership(witan_text *out, const witan_audit_record *record)
{
    witan_evidence_attack attacks[WITAN_EVIDENCE_ATTACKS_MAX];
    size_t count = witan_evidence_attacks(record, attacks);
    if (count == 0) {
        return;
    }
    witan_text_format(
        out,
        "<h2>Membership</h2>\n<p class=\"note\">Can somebody tell whether a row was in "
        "a "
        "client's training data? TPR: members that are flagged; FPR: others that are "
        "flagged too. Guessing has an AUC of 0.5 and a TPR equal to the FPR, the "
        "dashed "
        "line. What counts is the left edge: members named almost without a "
        "mistake. A FPR of 0.1 %% needs well over 1000 others to be seen at "
        "all.</p>\n");
    add_attacks(out, attacks, count);
    witan_text_format(out, "<ul class=\"legend\" style=\"margin-top:14px\">");
    for (size_t g = 0; g < count; g++) {
        witan_text_format(out, "<li>");
        witan_evidence_key_line(out, g);
        witan_html_escape(out, attacks[g].attack);
        witan_text_format(out, ", ");
        witan_html_escape(out, attacks[g].place);
        witan_text_format(out, "</li>");
    }
    witan_text_format(out, "<li><i class=\"reference\"></i>guessing</li></ul>\n"
                           "<div class=\"pair\">\n");
    witan_evidence_draw_roc(out, record, attacks, count);
    witan_text_format(out, "</div>\n");
    add_membership_rows(out, record);
}

static void
add_labels(witan_text *out, const witan_audit_record *record)
{
    if (record->labels_count == 0) {
        return;
    }
    witan_text_format(
        out,
        "<h2>Label distribution</h2>\n<p class=\"note\">What a client's soft labels "
        "tell of how its own labels are mixed: 100 %% is all of it, 0 nothing, below "
        "0 misled. KL in nats. Surer: how much more probable the client's "
        "likeliest class is than that of what it hears, which is what inversion of "
        "soft labels feeds on. On average ");
    witan_html_number(out, witan_shown_percent(witan_evidence_told_mean(record)));
    witan_text_format(out, " %% told, at most ");
    witan_html_number(out, witan_shown_percent(witan_evidence_told_largest(record)));
    witan_text_format(out, " %%.</p>\n");
    open_table(out, "<th>client</th><th>told, %</th><th>KL to the estimate</th>"
                    "<th>KL to uniform</th><th>surer, mean</th><th>surer, 99 %</th>");
    for (size_t i = 0; i < record->labels_count && i < WITAN_ROWS_MAX; i++) {
        const witan_audit_labels *at = &record->labels[i];
        witan_text_format(out, "<tr><td>%zu</td>", at->client);
        witan_html_number_cell(out, witan_shown_percent(at->told));
        witan_html_number_cell(out, witan_shown_real(at->divergence, 3));
        witan_html_number_cell(out, witan_shown_real(at->uniform, 3));
        witan_html_number_cell(out, witan_shown_real(at->gap_mean, 3));
        witan_html_number_cell(out, witan_shown_real(at->gap_q99, 3));
        witan_text_format(out, "</tr>\n");
    }
    close_table(out);
    witan_html_cut_note(out, record->labels_count, "clients", "audit.json");
}

/* ---- promised and shown ---------------------------------------------------------- */

static void
widen_epsilon(double *largest, double epsilon)
{
    if (isfinite(epsilon) && epsilon > *largest) {
        *largest = epsilon;
    }
}

static void
add_meter(witan_text *out, double epsilon, double largest)
{
    witan_text_format(out, "<td class=\"meter\">");
    if (isfinite(epsilon) && largest > 0.0) {
        witan_text_format(out, "<i style=\"width:%.1f%%\"></i>",
                          100.0 * epsilon / largest);
    }
    witan_text_format(out, "</td>");
}

static void
add_claim_row(witan_text *out, const witan_audit_claim *at, double largest)
{
    witan_text_format(out, "<tr%s><td>promised, at most</td>",
                      at->contradicted ? " class=\"fail\"" : "");
    witan_html_number_cell(out, witan_shown_real(at->epsilon, 2));
    add_meter(out, at->epsilon, largest);
    witan_text_format(out, "<td class=\"name\">%s</td>",
                      at->contradicted        ? "CONTRADICTED"
                      : isfinite(at->epsilon) ? "not contradicted"
                                              : "nothing promised");
    add_prose_cell(out, at->sentence);
    witan_text_format(out, "</tr>\n");
}

static void
add_bound_row(witan_text *out, const witan_audit_evidence *at, double largest)
{
    witan_text_format(out, "<tr><td>shown, at least</td>");
    witan_html_number_cell(out, witan_shown_real(at->epsilon, 2));
    add_meter(out, at->epsilon, largest);
    witan_text_format(out, "<td class=\"name\">");
    witan_html_escape(out, at->method);
    witan_text_format(out, ", ");
    witan_html_escape(out, at->place);
    witan_text_format(out, "</td>");
    add_prose_cell(out, at->sentence);
    witan_text_format(out, "</tr>\n");
}

static void
add_epsilons(witan_text *out, const witan_audit_record *record)
{
    double largest = 0.0;
    if (record->claims == 0 && record->bounds == 0) {
        return;
    }
    for (size_t i = 0; i < record->claims; i++) {
        widen_epsilon(&largest, record->claim[i].epsilon);
    }
    for (size_t i = 0; i < record->bounds; i++) {
        widen_epsilon(&largest, record->bound[i].epsilon);
    }
    witan_text_format(
        out,
        "<h2>Promised and shown</h2>\n<p class=\"note\">Epsilon in nats: a promise "
        "is an upper bound from the mechanism, what was shown a lower bound from "
        "attacks. A bar of the second kind that is longer than one of the first, for "
        "the same unit, means that the promise or the program is wrong.</p>\n");
    open_table(out, "<th></th><th>epsilon</th><th></th><th class=\"name\"></th>"
                    "<th class=\"name\">of what</th>");
    for (size_t i = 0; i < record->claims && i < WITAN_ROWS_MAX; i++) {
        add_claim_row(out, &record->claim[i], largest);
    }
    for (size_t i = 0; i < record->bounds && i < WITAN_ROWS_MAX; i++) {
        add_bound_row(out, &record->bound[i], largest);
    }
    close_table(out);
}

/* ---- comparison ------------------------------------------------------------------ */

static void
add_interval_cells(witan_text *out, witan_shown middle, witan_shown low,
                   witan_shown high)
{
    witan_html_number_cell(out, middle);
    witan_text_format(out, "<td>");
    witan_html_number(out, low);
    witan_text_format(out, " to ");
    witan_html_number(out, high);
    witan_text_format(out, "</td>");
}

static void
add_mode_rows(witan_text *out, const witan_audit_record *record)
{
    for (size_t i = 0; i < record->modes && i < WITAN_ROWS_MAX; i++) {
        const witan_audit_mode *at = &record->modes_of[i];
        witan_text_format(out, "<tr>");
        witan_html_text_cell(out, at->mode);
        witan_html_text_cell(out, at->transfer);
        witan_text_format(out, "<td>%zu</td>", at->seeds);
        add_interval_cells(out, witan_shown_bits(at->exposure),
                           witan_shown_bits(at->exposure_low),
                           witan_shown_bits(at->exposure_high));
        add_interval_cells(out, witan_shown_percent(at->reduction),
                           witan_shown_percent(at->reduction_low),
                           witan_shown_percent(at->reduction_high));
        witan_html_number_cell(out, witan_evidence_utility(record, at->utility));
        add_interval_cells(out, witan_shown_points(at->cost),
                           witan_shown_points(at->cost_low),
                           witan_shown_points(at->cost_high));
        witan_text_format(out, "</tr>\n");
    }
}

static void
add_run_rows(witan_text *out, const witan_audit_record *record)
{
    witan_text_format(out, "<details><summary>Run by run</summary>\n");
    open_table(out, "<th>protection</th><th class=\"name\">transfer set</th>"
                    "<th>seed</th><th>exposure</th><th>of controls</th>"
                    "<th>reduced, %</th><th>utility</th><th>cost, %</th>"
                    "<th class=\"name\">run</th>");
    for (size_t i = 0; i < record->runs && i < WITAN_ROWS_MAX; i++) {
        const witan_audit_run *at = &record->run[i];
        witan_text_format(out, "<tr>");
        witan_html_text_cell(out, at->mode);
        witan_html_text_cell(out, at->transfer);
        witan_text_format(out, "<td>%llu</td>", (unsigned long long)at->seed);
        witan_html_number_cell(out, witan_shown_bits(at->exposure));
        witan_html_number_cell(out, witan_shown_bits(at->exposure_control));
        witan_html_number_cell(out, witan_shown_percent(at->reduction));
        witan_html_number_cell(out, witan_evidence_utility(record, at->utility));
        witan_html_number_cell(out, witan_shown_points(at->cost));
        witan_html_text_cell(out, at->directory);
        witan_text_format(out, "</tr>\n");
    }
    close_table(out);
    witan_html_cut_note(out, record->runs, "runs", "audit.json");
    witan_text_format(out, "</details>\n");
}

static void
add_comparison(witan_text *out, const witan_audit_record *record)
{
    if (record->runs == 0 && record->modes == 0) {
        return;
    }
    witan_text_format(
        out,
        "<h2>What protection costs</h2>\n<p class=\"note\">Students, most repeated "
        "canaries, last round. Reduced: share of the exposure over chance that plain "
        "distillation of the same transfer set has and this protection has not. "
        "Cost: relative loss of %s against plain; above 0 is worse. Intervals: 95 %% "
        "over seeds.</p>\n<ul class=\"legend\">",
        record->text ? "perplexity" : "accuracy");
    for (size_t m = 0; m < record->modes && m < WITAN_ROWS_MAX; m++) {
        witan_text_format(out, "<li>");
        witan_evidence_key_mark(out, m);
        witan_html_escape(out, record->modes_of[m].mode);
        witan_text_format(out, ", ");
        witan_html_escape(out, record->modes_of[m].transfer);
        witan_text_format(out, "</li>");
    }
    witan_text_format(out, "<li>large: mean of seeds; small: one run</li></ul>\n"
                           "<div class=\"pair\">\n");
    witan_evidence_draw_modes(out, record);
    witan_text_format(out, "</div>\n");
    if (record->modes > 0) {
        open_table(out, "<th>protection</th><th class=\"name\">transfer set</th>"
                        "<th>seeds</th><th>exposure</th><th>95 %</th>"
                        "<th>reduced, %</th><th>95 %</th><th>utility</th>"
                        "<th>cost, %</th><th>95 %</th>");
        add_mode_rows(out, record);
        close_table(out);
    }
    if (record->runs > 0) {
        add_run_rows(out, record);
    }
}

/* ---- end ------------------------------------------------------------------------- */

static void
add_repeat(witan_text *out, const witan_audit_record *record)
{
    witan_text_format(out, "<h2>To repeat this audit</h2>\n<dl>\n");
    const char *const digests[][2] = {{"digest of the run", record->digest},
                                      {"digest of the plan", record->plan_digest}};
    for (size_t i = 0; i < 2; i++) {
        if (witan_has_text(digests[i][1])) {
            witan_text_format(out, "<dt>%s</dt><dd><code>", digests[i][0]);
            witan_html_escape(out, digests[i][1]);
            witan_text_format(out, "</code></dd>\n");
        }
    }
    witan_html_term(out, "run directory", record->directory);
    witan_html_term(out, "version", record->version);
    witan_text_format(out, "</dl>\n<p class=\"note\">audit.json beside this page has "
                           "every number and the hashes of config, plan, data and "
                           "models.</p>\n");
}

void
witan_report_audit_html(witan_text *out, const witan_audit_record *record)
{
    add_head(out, record);
    add_cards(out, record);
    add_exposure(out, record);
    add_extraction(out, record);
    add_membership(out, record);
    add_labels(out, record);
    add_epsilons(out, record);
    add_comparison(out, record);
    if (record->limits > 0) {
        witan_text_format(out, "<h2>What this does not show</h2>\n");
        add_list(out, record->limits, record->limit);
    }
    add_repeat(out, record);
    witan_text_format(out, "</main></body></html>\n");
}
