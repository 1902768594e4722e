/* terminal.h - the program's side of output: what the terminal can do, where a line
 * goes, the run log. Results go to standard output, everything else to standard error.
 */
#ifndef WITAN_CLI_TERMINAL_H
#define WITAN_CLI_TERMINAL_H

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "report/report.h"

/* Abilities of a stream: a terminal or not, NO_COLOR, TERM=dumb, locale, width. */
witan_terminal witan_terminal_of(FILE *stream);

/* Takes a progress line off standard error, when *open says that one stands there. */
void witan_line_clear(bool *open);

/* "witan: message" with the exit code of the status, for `return` of a command. */
int witan_fail(const witan_diag *diag, witan_status status);

/* Prints text to standard output; E_IO when it cannot (full disk, closed pipe). */
witan_status witan_print(const witan_text *text);

/* The same; a failure is told in `diag`. */
witan_status witan_print_result(const witan_text *text, witan_diag *diag);
/* As witan_print, but through no buffer that would keep a copy: for join lines. */
witan_status witan_print_secret(const char *line);

/* A path that can be pasted into a shell. */
void witan_quote_for_shell(witan_text *out, const char *path);

/* "2026-07-14T09:30:00Z" of a Unix time. */
enum {
    WITAN_STAMP_MAX = 32
};
void witan_stamp(char out[WITAN_STAMP_MAX], uint64_t unix_s);

/* SIGINT and SIGTERM go to the handler and end waits early. */
void witan_signals_catch(void (*handler)(int number));

/* The monotonic clock. */
const witan_clock *witan_clock_monotonic(void);

/* A log that appends "time level id text" lines to a file and shows warnings and errors
 * on standard error. */
typedef struct witan_run_log {
    witan_log log;
    FILE *file; /* NULL: standard error only */
} witan_run_log;
/* path NULL: no file. A file that cannot be opened is E_IO in `diag`. */
witan_status witan_run_log_open(witan_run_log *self, const char *path,
                                witan_diag *diag);
void witan_run_log_close(witan_run_log *self);

#endif
