/* page.c - report.html: the order of its sections, its tables and its sentences.
 * Why here: a run must explain itself to somebody who was not there, offline.
 * The page holds no script and asks the network for nothing; a content policy in its
 * head makes the browser hold it to that. */
#include <math.h>
#include <stdio.h>

#include "report/html.h"
#include "report/report.h"

static void
add_percent_cell(witan_text *out, double share)
{
    witan_html_number_cell(out, witan_shown_percent(share));
}

static void
add_gain_cell(witan_text *out, double gain)
{
    witan_text_format(out, "<td class=\"%s\">",
                      gain > 0.0   ? "good"
                      : gain < 0.0 ? "bad"
                                   : "even");
    witan_html_number(out, witan_shown_points(gain));
    witan_text_format(out, "</td>");
}

/* ---- head ------------------------------------------------------------------------ */

static void
add_head(witan_text *out, const witan_run_record *run, const witan_kinds *kinds)
{
    const char *name = witan_has_text(run->name) ? run->name : "run";
    witan_text headline;
    witan_html_open(out, name);
    witan_text_format(out, "<p class=\"lead\">");
    witan_text_init(&headline, out->allocator, out->ceiling);
    witan_headline(&headline, run, kinds);
    witan_html_take(out, &headline);
    witan_text_format(out, "</p>\n<p class=\"meta\">");
    if (witan_has_text(run->data_summary)) {
        witan_text_format(out, "Data: ");
        witan_html_escape(out, run->data_summary);
        witan_text_format(out, ". ");
    }
    if (witan_has_text(run->partition)) {
        witan_text_format(out, "Private rows shared out by: ");
        witan_html_escape(out, run->partition);
        witan_text_format(out, ".");
    }
    witan_text_format(out, "</p>\n");
}

static void
open_card(witan_text *out)
{
    witan_text_format(out, "<div class=\"card\"><b>");
}

static void
add_accuracy_card(witan_text *out, const witan_run_record *run, const char *what,
                  double before, double after)
{
    open_card(out);
    witan_html_number(out, witan_shown_percent(after));
    witan_text_format(out, "%s</b><span>%s, mean accuracy", isfinite(after) ? " %" : "",
                      what);
    if (isfinite(after - before)) {
        witan_text_format(out, "; ");
        witan_html_number(out, witan_shown_points(after - before));
        witan_text_format(out, " points by %s in the last round", witan_step_word(run));
    }
    witan_text_format(out, "</span></div>\n");
}

static void
add_cards(witan_text *out, const witan_run_record *run)
{
    witan_result result = witan_result_of(run);
    size_t known = witan_gain_count(run);
    witan_text_format(out, "<div class=\"cards\">\n");
    add_accuracy_card(out, run, "own mix of labels", result.own[0]->mean,
                      result.own[1]->mean);
    add_accuracy_card(out, run, "global test set", result.global[0]->mean,
                      result.global[1]->mean);
    if (known > 0 && isfinite(run->gained_over_local)) {
        open_card(out);
        witan_text_format(
            out,
            "%ld of %zu</b><span>clients are better on their own mix than the "
            "same model trained alone</span></div>\n",
            lround(run->gained_over_local * (double)known), known);
    }
    if (witan_exchanges(run)) {
        open_card(out);
        witan_html_number(out, witan_shown_bytes(witan_per_client(run, run->bytes_up)));
        witan_text_format(out, "</b><span>sent per client and round; ");
        witan_html_number(out,
                          witan_shown_bytes(witan_per_client(run, run->bytes_down)));
        witan_text_format(out, " received</span></div>\n");
    }
    open_card(out);
    witan_html_number(out, witan_shown_seconds(run->seconds));
    witan_text_format(out,
                      "</b><span>on %zu thread%s, %zu round%s</span></div>\n</div>\n",
                      run->threads, run->threads == 1 ? "" : "s", run->rounds_done,
                      run->rounds_done == 1 ? "" : "s");
}

/* ---- result ---------------------------------------------------------------------- */

static void
add_statistic_row(witan_text *out, const char *class, const char *label,
                  const witan_statistic *own, const witan_statistic *global)
{
    const witan_statistic *pair[2] = {own, global};
    witan_text_format(out, "<tr class=\"%s\"><td>%s</td>", class, label);
    for (size_t i = 0; i < 2; i++) {
        add_percent_cell(out, pair[i]->mean);
        add_percent_cell(out, pair[i]->sd);
        add_percent_cell(out, pair[i]->worst);
        add_percent_cell(out, pair[i]->bottom10);
    }
    witan_text_format(out, "</tr>\n");
}

static void
add_result(witan_text *out, const witan_run_record *run)
{
    witan_result result = witan_result_of(run);
    char label[64];
    witan_text_format(
        out,
        "<h2>Result</h2>\n<p class=\"note\">Accuracy in percent over clients, "
        "each counted once. <b>Own mix</b>: test rows with the mix of labels "
        "that the client itself holds; the mean of it is what papers call ALMA. "
        "<b>Global test</b>: one test set, the same for every client. Lowest "
        "tenth: mean of the lowest tenth of clients.%s</p>\n",
        result.shown[2] ? " Local only: the same models, trained alone on their "
                          "own rows."
                        : "");
    witan_text_format(
        out, "<div class=\"panel scroll\"><table><thead><tr class=\"top\"><th></th>"
             "<th colspan=\"4\">own mix</th><th colspan=\"4\">global test</th></tr>"
             "<tr><th></th><th>mean</th><th>sd</th><th>worst</th><th>lowest tenth</th>"
             "<th>mean</th><th>sd</th><th>worst</th><th>lowest tenth</th></tr></thead>"
             "<tbody>\n");
    if (result.shown[0]) {
        (void)snprintf(label, sizeof label, "before %s", witan_step_word(run));
        add_statistic_row(out, "row", label, result.own[0], result.global[0]);
    }
    (void)snprintf(label, sizeof label, "after %s", witan_step_word(run));
    add_statistic_row(out, "strong", label, result.own[1], result.global[1]);
    if (result.shown[2]) {
        add_statistic_row(out, "row", "local only (reference)", result.own[2],
                          result.global[2]);
    }
    witan_text_format(out, "</tbody></table></div>\n");
}

static void
add_kinds(witan_text *out, const witan_run_record *run, const witan_kinds *kinds)
{
    bool gains = witan_has_reference(run);
    witan_text_format(
        out,
        "<div class=\"panel scroll\" style=\"margin-top:14px\"><table><thead>"
        "<tr><th>kind of model</th><th>clients</th><th>own mix</th>"
        "<th>global test</th>%s</tr></thead><tbody>\n",
        gains ? "<th>gain over alone, own mix</th>" : "");
    for (size_t k = 0; k < kinds->count; k++) {
        witan_text_format(out, "<tr>");
        witan_html_text_cell(out, kinds->kind[k].name);
        witan_text_format(out, "<td>%zu</td>", kinds->kind[k].clients);
        add_percent_cell(out, kinds->kind[k].own);
        add_percent_cell(out, kinds->kind[k].global);
        if (gains) {
            add_gain_cell(out, kinds->kind[k].gain);
        }
        witan_text_format(out, "</tr>\n");
    }
    witan_text_format(out, "</tbody></table></div>\n");
}

/* ---- pictures -------------------------------------------------------------------- */

static void
add_legend(witan_text *out, const witan_run_record *run, const witan_kinds *kinds)
{
    bool many = run->clients > WITAN_CURVES_MAX;
    size_t shown =
        kinds->count < WITAN_HTML_COLOURS ? kinds->count : WITAN_HTML_COLOURS;
    witan_text_format(
        out, "<ul class=\"legend\"><li><i class=\"mean\"></i>mean of clients</li>");
    if (many) {
        witan_text_format(out, "<li><i class=\"band\"></i>lowest to highest tenth of "
                               "clients</li>");
    }
    for (size_t k = 0; k < shown && !(many && kinds->count == 1); k++) {
        witan_text_format(out, "<li><i class=\"k%zu\"></i>", k);
        witan_html_escape(out, kinds->kind[k].name);
        witan_text_format(out, many ? ", mean of %zu</li>" : " (%zu)</li>",
                          kinds->kind[k].clients);
    }
    if (kinds->count > shown) {
        witan_text_format(out, "<li>and %zu more kinds%s</li>", kinds->count - shown,
                          many ? ", not drawn" : ", colours from the start again");
    }
    if (witan_has_reference(run)) {
        witan_text_format(out, "<li><i class=\"reference\"></i>local only, mean</li>");
    }
    witan_text_format(out, "</ul>\n");
}

static void
add_curves(witan_text *out, const witan_run_record *run, const witan_kinds *kinds)
{
    const witan_curves own = {
        "Own mix, accuracy in %", run->own_by_round, false,
        run->reference_own == NULL ? (double)NAN : run->reference_own_statistic.mean};
    const witan_curves global = {
        "Global test, accuracy in %", run->global_by_round, true,
        run->reference_global == NULL ? (double)NAN
                                      : run->reference_global_statistic.mean};
    witan_text_format(out, "<h2>Accuracy by round</h2>\n");
    add_legend(out, run, kinds);
    witan_text_format(out, "<div class=\"pair\">\n");
    witan_html_curves(out, run, kinds, &own);
    witan_html_curves(out, run, kinds, &global);
    witan_text_format(out, "</div>\n");
    if (witan_gain_count(run) > 0) {
        witan_text_format(
            out, "<h2>Gain over learning alone</h2>\n<p class=\"note\">Accuracy minus "
                 "that of the same model trained alone, in percentage points, at the "
                 "last evaluated round. Bars below zero: clients that exchange made "
                 "worse.</p>\n<div class=\"pair\">\n");
        witan_html_gain(out, run, kinds, "Own mix, gain in points", witan_gain_own);
        witan_html_gain(out, run, kinds, "Global test, gain in points",
                        witan_gain_global);
        witan_text_format(out, "</div>\n");
    }
}

static void
add_matrices(witan_text *out, const witan_run_record *run)
{
    bool holdings = run->label_histogram != NULL && run->classes > 0;
    witan_groups groups;
    if (run->clients == 0 || (run->fusion_weights == NULL && !holdings)) {
        return;
    }
    if (witan_groups_init(&groups, run, out->allocator) != WITAN_OK) {
        out->status = WITAN_E_MEMORY;
        witan_groups_fini(&groups, out->allocator);
        return;
    }
    witan_text_format(out,
                      "<h2>Who holds what, who hears whom</h2>\n<p class=\"note\">");
    if (run->fusion_weights != NULL) {
        witan_text_format(
            out,
            "Fusion weights of the last round: a row is a client that learns, a "
            "column one that it hears; rows add up to 100 %%. If all were heard "
            "alike, a cell would have %s %%. Empty rows: clients that were "
            "absent. ",
            witan_shown_percent(1.0 / (double)run->clients).text);
    }
    if (!groups.single) {
        witan_text_format(
            out,
            "Clients are sorted by their most frequent class and drawn in %zu "
            "groups of nearly equal size. ",
            groups.count);
    }
    witan_text_format(
        out, "Point at a cell to read its number.</p>\n<div class=\"pair\">\n");
    if (run->fusion_weights != NULL) {
        witan_html_weights(out, run, &groups);
    }
    if (holdings) {
        witan_html_partition(out, run, &groups);
    }
    witan_text_format(out, "</div>\n");
    witan_groups_fini(&groups, out->allocator);
}

/* ---- tables ---------------------------------------------------------------------- */

/* Result, and where a reference exists: alone, gain. */
static void
add_accuracy_cells(witan_text *out, const witan_run_record *run, double after,
                   const double *reference, double gain)
{
    add_percent_cell(out, after);
    if (witan_has_reference(run)) {
        add_percent_cell(out, reference == NULL ? (double)NAN : *reference);
        add_gain_cell(out, gain);
    }
}

static void
add_clients(witan_text *out, const witan_run_record *run)
{
    const char *columns = witan_has_reference(run)
                              ? "<th>result</th><th>alone</th><th>gain</th>"
                              : "<th>result</th>";
    int span = witan_has_reference(run) ? 3 : 1;
    witan_text_format(out, "<h2>Clients</h2>\n");
    witan_html_cut_note(out, run->clients, "clients", "metrics.jsonl");
    witan_text_format(
        out,
        "<div class=\"panel scroll\"><table><thead><tr class=\"top\">"
        "<th colspan=\"4\"></th><th colspan=\"%d\">own mix, %%</th>"
        "<th colspan=\"%d\">global test, %%</th></tr>"
        "<tr><th>client</th><th class=\"name\">model</th><th>train rows</th>"
        "<th>test rows</th>%s%s</tr></thead><tbody>\n",
        span, span, columns, columns);
    for (size_t n = 0; n < run->clients && n < WITAN_ROWS_MAX; n++) {
        witan_text_format(out, "<tr><td>%zu</td>", n);
        witan_html_text_cell(out, witan_report_model_name(run, n));
        const size_t *const sizes[2] = {run->train_samples, run->test_samples};
        for (size_t i = 0; i < 2; i++) {
            if (sizes[i] == NULL) {
                witan_text_format(out, "<td>\u2013</td>");
            } else {
                witan_text_format(out, "<td>%zu</td>", sizes[i][n]);
            }
        }
        add_accuracy_cells(out, run, witan_own_after(run, n),
                           run->reference_own == NULL ? NULL : &run->reference_own[n],
                           witan_gain_own(run, n));
        add_accuracy_cells(out, run, witan_global_after(run, n),
                           run->reference_global == NULL ? NULL
                                                         : &run->reference_global[n],
                           witan_gain_global(run, n));
        witan_text_format(out, "</tr>\n");
    }
    witan_text_format(out, "</tbody></table></div>\n");
}

/* A phase that took no time did not take place, and has no row. */
static void
add_phase_row(witan_text *out, const char *name, const char *what, double seconds,
              double total)
{
    if (seconds > 0.0) {
        witan_text_format(out, "<tr><td>%s</td><td class=\"name\">%s</td>", name, what);
        witan_html_number_cell(out, witan_shown_seconds(seconds));
        add_percent_cell(out, seconds / total);
        witan_text_format(
            out, "<td class=\"meter\"><i style=\"width:%.1f%%\"></i></td></tr>\n",
            100.0 * seconds / total);
    }
}

static const char *
travelled(const witan_run_record *run)
{
    switch (run->exchange) {
    case WITAN_RUN_SOFT_LABELS:
        return "Class probabilities for the public rows travelled; private rows and "
               "model parameters did not.";
    case WITAN_RUN_PARAMETERS:
        return "Model parameters travelled; private rows did not.";
    case WITAN_RUN_NOTHING:
        return "Nothing travelled.";
    case WITAN_RUN_POOLED:
        return "All rows were pooled in one place.";
    }
    return "";
}

enum {
    PHASES = 5
};

static void
add_costs(witan_text *out, const witan_run_record *run)
{
    static const char *const names[PHASES] = {"train", "extract", "fuse", "distill",
                                              "evaluate"};
    static const char *const with_labels[PHASES] = {
        "models learn from private rows",
        "clients give their opinion on the public rows",
        "the coordinator weighs opinions", "clients learn from what they hear",
        "models are measured, for this report only"};
    static const char *const with_parameters[PHASES] = {
        "models learn from private rows", "clients hand over their parameters",
        "the coordinator averages them", "clients take over the average",
        "models are measured, for this report only"};
    const witan_phase_seconds *phase = &run->seconds_per_round;
    const char *const *what =
        run->exchange == WITAN_RUN_PARAMETERS ? with_parameters : with_labels;
    const double all[PHASES] = {phase->train, phase->extract, phase->fuse,
                                phase->distill, phase->evaluate};
    double total = 0.0;
    for (size_t i = 0; i < PHASES; i++) {
        total += all[i] > 0.0 ? all[i] : 0.0;
    }
    witan_text_format(out, "<h2>Traffic and time</h2>\n<p class=\"note\">%s",
                      travelled(run));
    if (witan_exchanges(run)) {
        witan_text_format(
            out, " In all %s up to the coordinator and %s down to the clients.",
            witan_shown_bytes((double)run->bytes_up).text,
            witan_shown_bytes((double)run->bytes_down).text);
    }
    witan_text_format(
        out, "</p>\n<div class=\"panel scroll\"><table><thead><tr><th>phase</th>"
             "<th class=\"name\">what is done</th><th>time per round</th>"
             "<th>share, %%</th><th></th></tr></thead><tbody>\n");
    for (size_t i = 0; i < PHASES; i++) {
        add_phase_row(out, names[i], what[i], all[i], total);
    }
    witan_text_format(out, "</tbody></table></div>\n");
}

static void
add_rounds(witan_text *out, const witan_run_record *run)
{
    if (run->rounds == NULL || run->rounds_done == 0) {
        return;
    }
    witan_text_format(out, "<details><summary>Round by round</summary>\n");
    witan_html_cut_note(out, run->rounds_done, "rounds", "metrics.jsonl");
    witan_text_format(out,
                      "<div class=\"panel scroll\"><table><thead><tr><th>round</th>"
                      "<th>own mix, %%</th><th>global test, %%</th><th>asked</th>"
                      "<th>answered</th><th>late</th><th>up</th><th>down</th>"
                      "<th>time</th><th>simulated time</th></tr></thead><tbody>\n");
    for (size_t r = 0; r < run->rounds_done && r < WITAN_ROWS_MAX; r++) {
        const witan_round_record *round = &run->rounds[r];
        witan_text_format(out, "<tr><td>%zu</td>", round->round + 1);
        add_percent_cell(out, round->evaluated ? round->own_after.mean : (double)NAN);
        add_percent_cell(out,
                         round->evaluated ? round->global_after.mean : (double)NAN);
        witan_text_format(out, "<td>%zu</td><td>%zu</td><td>%zu</td>", round->asked,
                          round->answered, round->late);
        witan_html_number_cell(out, witan_shown_bytes((double)round->bytes_up));
        witan_html_number_cell(out, witan_shown_bytes((double)round->bytes_down));
        witan_html_number_cell(out, witan_shown_seconds(round->wall_seconds));
        witan_html_number_cell(out, witan_shown_seconds(round->virtual_seconds > 0.0
                                                            ? round->virtual_seconds
                                                            : -1.0));
        witan_text_format(out, "</tr>\n");
    }
    witan_text_format(out, "</tbody></table></div></details>\n");
}

static void
add_repeat(witan_text *out, const witan_run_record *run)
{
    witan_text_format(
        out, "<h2>To repeat this run</h2>\n<p class=\"note\">The same config, seed "
             "and version on the same kind of machine give the same bits: equal "
             "digests mean equal runs.</p>\n<dl>\n");
    if (witan_has_text(run->digest)) {
        witan_text_format(out, "<dt>digest</dt><dd><code>");
        witan_html_escape(out, run->digest);
        witan_text_format(out, "</code></dd>\n");
    }
    witan_text_format(out, "<dt>seed</dt><dd>%llu</dd>\n",
                      (unsigned long long)run->seed);
    witan_html_term(out, "version", run->version);
    witan_html_term(out, "machine", run->machine);
    if (run->peak_rss_bytes > 0) {
        witan_html_term(out, "memory, peak",
                        witan_shown_bytes((double)run->peak_rss_bytes).text);
    }
    witan_html_term(out, "run directory", run->directory);
    witan_text_format(out, "</dl>\n");
    if (witan_has_text(run->config_json)) {
        witan_text_format(out,
                          "<details><summary>Resolved configuration</summary><pre>");
        witan_html_escape(out, run->config_json);
        witan_text_format(out, "</pre></details>\n");
    }
}

void
witan_report_html(witan_text *out, const witan_run_record *run)
{
    witan_kinds kinds;
    witan_status status = witan_kinds_init(&kinds, run, out->allocator);
    if (status != WITAN_OK) {
        out->status = out->status == WITAN_OK ? status : out->status;
        return;
    }
    add_head(out, run, &kinds);
    add_cards(out, run);
    add_result(out, run);
    add_kinds(out, run, &kinds);
    add_curves(out, run, &kinds);
    add_matrices(out, run);
    add_clients(out, run);
    add_costs(out, run);
    add_rounds(out, run);
    add_repeat(out, run);
    witan_text_format(out, "</main></body></html>\n");
    witan_kinds_fini(&kinds, out->allocator);
}
