/* report.h - what a person sees: progress, the final table, the page.
 * Text goes to a witan_text; who prints it decides where. A failure (memory, ceiling)
 * sticks in the text's status, which the caller checks once at the end.
 * Threads: any; the record and the text belong to the caller. */
#ifndef WITAN_REPORT_REPORT_H
#define WITAN_REPORT_REPORT_H

#include "base/text.h"
#include "report/record.h"

/* Terminal abilities, decided by the caller (isatty, NO_COLOR, COLUMNS). */
typedef struct witan_terminal {
    bool interactive; /* one line rewritten in place; else one plain line per event */
    bool color;
    bool unicode;   /* UTF-8 locale: block characters in the table's bars, names as they
                       are; else what is not ASCII becomes '?' */
    size_t columns; /* 0: unknown, taken as 80 */
} witan_terminal;

/* The progress line:
 * "round 3/10  train 12/20 clients  own 91.3 %  global 87.1 %  0:14 left".
 * interactive: begins with \r and clears to the end of line, no newline, always shorter
 * than `columns` (what matters least is left out); else whole, ends in \n.
 * eta_seconds < 0 or NaN: unknown. own, global: NaN until known. */
typedef struct witan_progress {
    size_t round, rounds; /* round is 0-based */
    const char *phase;    /* "train", "distill", "evaluate", ... */
    size_t done, total;   /* clients in this phase; total 0: not counted */
    double own, global, eta_seconds;
} witan_progress;
void witan_report_progress(witan_text *out, const witan_progress *progress,
                           const witan_terminal *terminal);

/* One line at the end of a round, with newline. interactive: it takes the place of the
 * progress line, which goes on below. */
void witan_report_round(witan_text *out, const witan_round_record *round, size_t rounds,
                        double eta_seconds, const witan_terminal *terminal);

/* The final table: a sentence of what was done, then rows before / after distillation
 * and the local reference, own and global: mean, sd, worst, bottom 10 %; who gained;
 * by kind of model; bytes; time; where the report and the raw numbers are. Explains its
 * words in one line each. Fits 80 columns, except for longer paths. */
void witan_report_table(witan_text *out, const witan_run_record *run,
                        const witan_terminal *terminal);

/* Enough for the page of any run within base/limits.h. */
#define WITAN_REPORT_HTML_CEILING ((size_t)32 << 20)

/* report.html: self-contained (inline CSS and SVG, no script, no network), well-formed
 * XML too, light and dark, readable on a phone: headline, accuracy curves (own,
 * global), gain over the local reference, fusion weights, who holds which labels, table
 * per client, traffic, time by phase, resolved config. All text is escaped. A run of
 * many clients is drawn by deciles and groups: under 2 MB for 1,000 clients. */
void witan_report_html(witan_text *out, const witan_run_record *run);

#endif
