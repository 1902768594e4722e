/* report.h - what a person sees: progress, the final table, the page.
 * Text goes to a witan_text; who prints it decides where. */
#ifndef WITAN_REPORT_REPORT_H
#define WITAN_REPORT_REPORT_H

#include "base/text.h"
#include "report/record.h"

/* Terminal abilities, decided by the caller (isatty, NO_COLOR, COLUMNS). */
typedef struct witan_terminal {
    bool interactive; /* one line rewritten in place; else one plain line per event */
    bool color;
    bool unicode;     /* UTF-8 locale: block characters in the table's bars */
    size_t columns;
} witan_terminal;

/* The progress line: "round 3/10  train 12/20 clients  own 0.913  global 0.871  0:14 left".
 * interactive: begins with \r and clears to the end of line, no newline; else ends in \n.
 * eta_seconds < 0: unknown. own, global: NaN until known. */
typedef struct witan_progress {
    size_t round, rounds;     /* round is 0-based */
    const char *phase;        /* "train", "distill", "evaluate", ... */
    size_t done, total;       /* clients in this phase */
    double own, global, eta_seconds;
} witan_progress;
void witan_report_progress(witan_text *out, const witan_progress *progress,
                           const witan_terminal *terminal);

/* One line at the end of a round (plain mode), with newline. */
void witan_report_round(witan_text *out, const witan_round_record *round, size_t rounds,
                        double eta_seconds, const witan_terminal *terminal);

/* The final table: a sentence of what was done, then rows before / after distillation
 * and the local reference, own and global: mean, sd, worst, bottom 10 %; who gained;
 * by model family; bytes; time; where the report and the raw numbers are. Explains its
 * words (own, global, ALMA) in one line each. Fits 80 columns. */
void witan_report_table(witan_text *out, const witan_run_record *run,
                        const witan_terminal *terminal);

/* report.html: self-contained (inline CSS and SVG, no script needed, no network),
 * light and dark, readable on a phone: headline sentence, accuracy curves per client
 * and mean (own, global), fusion weight heat map with numbers as tooltips, partition
 * picture (clients x classes), table per client, bytes, time by phase, resolved config.
 * All text is escaped. */
void witan_report_html(witan_text *out, const witan_run_record *run);

#endif
