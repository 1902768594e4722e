/* terminal.c - the progress line, the line of a round and the final table.
 * Why here: all text for a terminal, so that width, colour and cleaning are one rule.
 * Names come from people: control characters never reach the terminal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/facts.h"
#include "report/lines.h"
#include "report/number.h"

enum {
    NAME_COLUMNS = 23,
    KINDS_SHOWN = 12
};

/* ---- progress -------------------------------------------------------------------- */

enum {
    PARTS = 5,
    PART_MAX = 96
};

typedef struct parts {
    char text[PARTS][PART_MAX];
    size_t count;
} parts;

static char *
next_part(parts *self)
{
    WITAN_ASSERT(self->count < PARTS);
    return self->text[self->count++];
}

/* Joins the parts by two spaces, within `room` columns: parts are taken in the order of
 * `rank` (0 first) while they fit, and shown in their own order. */
static void
add_parts(witan_text *out, const parts *self, const size_t *rank, size_t room)
{
    bool shown[PARTS] = {false};
    size_t used = 0;
    for (size_t r = 0; r < PARTS; r++) {
        for (size_t p = 0; p < self->count; p++) {
            size_t wide = strlen(self->text[p]);
            size_t gap = used == 0 ? 0 : 2;
            if (rank[p] == r && wide != 0 && used + gap + wide <= room) {
                shown[p] = true;
                used += gap + wide;
            }
        }
    }
    bool first = true;
    for (size_t p = 0; p < self->count; p++) {
        if (shown[p]) {
            witan_text_format(out, "%s%s", first ? "" : "  ", self->text[p]);
            first = false;
        }
    }
}

static size_t
room_of(const witan_terminal *terminal)
{
    if (!terminal->interactive) {
        return SIZE_MAX / 2;
    }
    return (terminal->columns == 0 ? 80 : terminal->columns) - 1;
}

static void
format_accuracy(char *part, const char *what, double accuracy)
{
    part[0] = '\0';
    if (isfinite(accuracy)) {
        (void)snprintf(part, PART_MAX, "%s %s %%", what,
                       witan_shown_percent(accuracy).text);
    }
}

static void
format_left(char *part, double eta_seconds)
{
    witan_shown left = witan_shown_clock(eta_seconds);
    part[0] = '\0';
    if (left.text[0] != '-') {
        (void)snprintf(part, PART_MAX, "%s left", left.text);
    }
}

void
witan_report_progress(witan_text *out, const witan_progress *progress,
                      const witan_terminal *terminal)
{
    static const size_t rank[PARTS] = {0, 2, 3, 4, 1};
    parts line = {.count = 0};
    (void)snprintf(next_part(&line), PART_MAX, "round %zu/%zu", progress->round + 1,
                   progress->rounds);
    char *phase = next_part(&line);
    const char *word = progress->phase == NULL ? "" : progress->phase;
    if (progress->total == 0) {
        (void)snprintf(phase, PART_MAX, "%s", word);
    } else {
        (void)snprintf(phase, PART_MAX, "%s %zu/%zu clients", word, progress->done,
                       progress->total);
    }
    format_accuracy(next_part(&line), "own", progress->own);
    format_accuracy(next_part(&line), "global", progress->global);
    format_left(next_part(&line), progress->eta_seconds);

    witan_text_format(out, "%s", terminal->interactive ? "\r" : "");
    add_parts(out, &line, rank, room_of(terminal));
    witan_text_format(out, "%s", terminal->interactive ? "\x1b[K" : "\n");
}

void
witan_report_round(witan_text *out, const witan_round_record *round, size_t rounds,
                   double eta_seconds, const witan_terminal *terminal)
{
    static const size_t rank[PARTS] = {0, 1, 2, 3, 4};
    parts line = {.count = 0};
    (void)snprintf(next_part(&line), PART_MAX, "round %zu/%zu", round->round + 1,
                   rounds);
    format_accuracy(next_part(&line), "own",
                    round->evaluated ? round->own_after.mean : (double)NAN);
    format_accuracy(next_part(&line), "global",
                    round->evaluated ? round->global_after.mean : (double)NAN);
    char *answers = next_part(&line);
    int used = snprintf(answers, PART_MAX, "%s",
                        witan_shown_seconds(round->wall_seconds).text);
    if (round->answered < round->asked) {
        (void)snprintf(answers + used, (size_t)(PART_MAX - used),
                       "  %zu of %zu clients answered, %zu late", round->answered,
                       round->asked, round->late);
    }
    format_left(next_part(&line), eta_seconds);

    witan_text_format(out, "%s", terminal->interactive ? "\r" : "");
    add_parts(out, &line, rank, room_of(terminal));
    witan_text_format(out, "%s\n", terminal->interactive ? "\x1b[K" : "");
}

/* ---- table ----------------------------------------------------------------------- */

static void
add_statistic_row(witan_text *out, const witan_terminal *terminal, witan_style s,
                  const char *label, const witan_statistic *own,
                  const witan_statistic *global)
{
    char row[512];
    const witan_statistic *const pair[2] = {own, global};
    int used = snprintf(row, sizeof row, "%-*s", (int)NAME_COLUMNS, label);
    for (size_t i = 0; i < 2; i++) {
        used += snprintf(row + used, sizeof row - (size_t)used, " %6s %6s %6s %6s",
                         witan_shown_percent(pair[i]->mean).text,
                         witan_shown_percent(pair[i]->sd).text,
                         witan_shown_percent(pair[i]->worst).text,
                         witan_shown_percent(pair[i]->bottom10).text);
    }
    witan_line_paint(out, terminal, s, row);
}

static void
add_statistics(witan_text *out, const witan_run_record *run,
               const witan_terminal *terminal)
{
    witan_result result = witan_result_of(run);
    char text[128];
    (void)snprintf(text, sizeof text,
                   "%-*s --------- own mix --------- ------- global test -------",
                   (int)NAME_COLUMNS, "accuracy, %");
    witan_line_paint(out, terminal, WITAN_DIM, text);
    (void)snprintf(text, sizeof text, "%-*s %6s %6s %6s %6s %6s %6s %6s %6s",
                   (int)NAME_COLUMNS, "", "mean", "sd", "worst", "low10%", "mean", "sd",
                   "worst", "low10%");
    witan_line_paint(out, terminal, WITAN_DIM, text);
    if (result.shown[0]) {
        (void)snprintf(text, sizeof text, "before %s", witan_step_word(run));
        add_statistic_row(out, terminal, WITAN_PLAIN, text, result.own[0],
                          result.global[0]);
    }
    (void)snprintf(text, sizeof text, "after %s", witan_step_word(run));
    add_statistic_row(out, terminal, WITAN_BOLD, text, result.own[1], result.global[1]);
    if (result.shown[2]) {
        add_statistic_row(out, terminal, WITAN_PLAIN, "local only (reference)",
                          result.own[2], result.global[2]);
    }
}

/* What language models are compared by. */
static void
add_perplexity(witan_text *out, const witan_run_record *run,
               const witan_terminal *terminal)
{
    char line[160];
    if (!run->text || !isfinite(witan_perplexity(run, false, false))) {
        return;
    }
    (void)snprintf(line, sizeof line, "%-*s %6.2f own mix, %.2f global test",
                   (int)NAME_COLUMNS, "perplexity, mean",
                   witan_perplexity(run, true, false),
                   witan_perplexity(run, false, false));
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, WITAN_BOLD, line);
}

static void
add_gained(witan_text *out, const witan_run_record *run, const witan_terminal *terminal)
{
    char line[160];
    size_t known = witan_gain_count(run);
    if (known == 0 || !isfinite(run->gained_over_local)) {
        return;
    }
    size_t better = (size_t)lround(run->gained_over_local * (double)known);
    (void)snprintf(line, sizeof line,
                   "%zu of %zu client%s %s better than alone on their own mix.", better,
                   known, known == 1 ? "" : "s", known == 1 ? "is" : "are");
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, 2 * better >= known ? WITAN_GREEN : WITAN_RED,
                     line);
}

/* `share` of `columns` columns, by eighths where blocks exist. */
static void
add_bar(witan_text *out, double share, size_t columns, bool unicode)
{
    static const char *const eighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                          "\u258c", "\u258b", "\u258a", "\u2589"};
    share = share < 0.0 ? 0.0 : share > 1.0 ? 1.0 : share;
    size_t parts_filled = (size_t)lround(share * (double)(8 * columns));
    size_t whole = unicode ? parts_filled / 8 : (parts_filled + 4) / 8;
    for (size_t i = 0; i < whole; i++) {
        witan_text_format(out, "%s", unicode ? "\u2588" : "#");
    }
    if (unicode) {
        witan_text_format(out, "%s", eighths[parts_filled % 8]);
    }
}

static void
add_kinds(witan_text *out, const witan_run_record *run, const witan_kinds *kinds,
          const witan_terminal *terminal)
{
    char cell[128];
    bool gains = witan_has_reference(run);
    (void)snprintf(cell, sizeof cell, "%-*s %7s %7s %7s%s", (int)NAME_COLUMNS, "model",
                   "clients", "own", "global", gains ? "    gain" : "");
    witan_text_add(out, "\n", 1);
    witan_line_paint(out, terminal, WITAN_DIM, cell);
    for (size_t k = 0; k < kinds->count && k < KINDS_SHOWN; k++) {
        const witan_kind *kind = &kinds->kind[k];
        witan_style s = kind->gain > 0.0   ? WITAN_GREEN
                        : kind->gain < 0.0 ? WITAN_RED
                                           : WITAN_PLAIN;
        witan_line_name(out, kind->name, NAME_COLUMNS, terminal->unicode);
        witan_text_format(out, " %7zu %7s %7s", kind->clients,
                          witan_shown_percent(kind->own).text,
                          witan_shown_percent(kind->global).text);
        if (gains) {
            (void)snprintf(cell, sizeof cell, " %7s",
                           witan_shown_points(kind->gain).text);
            witan_paint(out, terminal, s, cell);
        }
        if (isfinite(kind->own)) {
            witan_text_add(out, "  ", 2);
            add_bar(out, kind->own, 20, terminal->unicode);
        }
        witan_text_add(out, "\n", 1);
    }
    if (kinds->count > KINDS_SHOWN) {
        witan_text_format(out, "and %zu more, see the report\n",
                          kinds->count - KINDS_SHOWN);
    }
}

static void
add_words(witan_text *out, const witan_run_record *run, const witan_terminal *terminal)
{
    witan_text_add(out, "\n", 1);
    witan_line_word(
        out, terminal,
        "own mix: test rows with the mix of labels that the client itself holds; "
        "its mean is what papers call ALMA.");
    witan_line_word(out, terminal,
                    "global test: one test set, the same for every client.");
    witan_line_word(
        out, terminal,
        "sd, worst, low10%: spread over clients, the lowest client, the lowest "
        "tenth.");
    if (run->text) {
        witan_line_word(out, terminal,
                        "accuracy: share of positions whose likeliest next token is "
                        "right; perplexity: exp of the mean loss, lower is better.");
    }
    if (witan_has_reference(run)) {
        witan_line_word(
            out, terminal,
            "local only, gain: against the same models trained alone on their own "
            "rows.");
    }
    witan_text_add(out, "\n", 1);
}

/* A phase that took no time did not take place, and is not spoken of. */
static void
add_phase(char *line, size_t size, const char *name, double seconds)
{
    size_t used = strlen(line);
    if (seconds > 0.0) {
        (void)snprintf(line + used, size - used, "%s%s %s", used == 0 ? "" : ", ", name,
                       witan_shown_seconds(seconds).text);
    }
}

static void
add_costs(witan_text *out, const witan_run_record *run, const witan_terminal *terminal)
{
    const witan_phase_seconds *phase = &run->seconds_per_round;
    char line[512] = "";
    size_t asked = 0, answered = 0, late = 0;
    double simulated = 0.0;
    for (size_t r = 0; run->rounds != NULL && r < run->rounds_done; r++) {
        asked += run->rounds[r].asked;
        answered += run->rounds[r].answered;
        late += run->rounds[r].late;
        simulated += run->rounds[r].virtual_seconds;
    }
    if (answered < asked) {
        (void)snprintf(line, sizeof line, "%zu of %zu asked came in time, %zu late",
                       answered, asked, late);
        witan_line_field(out, terminal, "answers", line);
    }
    if (witan_exchanges(run)) {
        (void)snprintf(line, sizeof line,
                       "%s up and %s down per client and round (%s and %s in all)",
                       witan_shown_bytes(witan_per_client(run, run->bytes_up)).text,
                       witan_shown_bytes(witan_per_client(run, run->bytes_down)).text,
                       witan_shown_bytes((double)run->bytes_up).text,
                       witan_shown_bytes((double)run->bytes_down).text);
        witan_line_field(out, terminal, "traffic", line);
    }
    line[0] = '\0';
    add_phase(line, sizeof line, "train", phase->train);
    add_phase(line, sizeof line, "extract", phase->extract);
    add_phase(line, sizeof line, "fuse", phase->fuse);
    add_phase(line, sizeof line, "distill", phase->distill);
    add_phase(line, sizeof line, "evaluate", phase->evaluate);
    size_t used = strlen(line);
    (void)snprintf(line + used, sizeof line - used,
                   used == 0 ? "%s in all, %zu thread%s"
                             : " per round (%s in all, %zu thread%s)",
                   witan_shown_seconds(run->seconds).text, run->threads,
                   run->threads == 1 ? "" : "s");
    witan_line_field(out, terminal, "time", line);
    if (simulated > 0.0) {
        (void)snprintf(line, sizeof line, "%s for the clients of the simulated world",
                       witan_shown_seconds(simulated).text);
        witan_line_field(out, terminal, "simulated", line);
    }
}

void
witan_report_table(witan_text *out, const witan_run_record *run,
                   const witan_terminal *terminal)
{
    witan_kinds kinds;
    witan_text headline;
    witan_text_init(&headline, out->allocator, out->ceiling);
    witan_status status = witan_kinds_init(&kinds, run, out->allocator);
    if (status == WITAN_OK) {
        witan_headline(&headline, run, &kinds);
        status = headline.status;
    }
    if (status == WITAN_OK) {
        witan_line_wrap(out, headline.data, 0, 0, terminal->unicode);
        witan_text_add(out, "\n\n", 2);
        add_statistics(out, run, terminal);
        add_perplexity(out, run, terminal);
        add_gained(out, run, terminal);
        add_kinds(out, run, &kinds, terminal);
        add_words(out, run, terminal);
        add_costs(out, run, terminal);
        if (witan_has_text(run->digest)) {
            witan_line_field(out, terminal, "digest", run->digest);
        }
        if (witan_has_text(run->directory)) {
            witan_line_path(out, terminal, "report", run->directory, "report.html");
            witan_line_path(out, terminal, "raw numbers", run->directory,
                            "metrics.jsonl");
            witan_line_path(out, terminal, "summary", run->directory, "summary.json");
            if (run->models_saved) {
                witan_line_path(out, terminal, "models", run->directory, "models");
            }
        }
    } else if (out->status == WITAN_OK) {
        out->status = status;
    }
    witan_kinds_fini(&kinds, out->allocator);
    witan_text_fini(&headline);
}
