/* audit_command.c - `witan audit`: what finished runs give away, as a table, a page and
 * JSON, with gates for scripts. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "store/file.h"

#define JSON_BYTES_MAX ((size_t)256 << 20)

static struct {
    witan_texts runs, gates;
    uint64_t shadows, nodes, seed;
    double exact, confidence;
    const char *output;
    bool json, quiet;
} args;

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static const witan_option options[] = {
    {.name = "fail-if", .kind = WITAN_OPTION_TEXTS, .value = &args.gates},
    {.name = "shadows",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.shadows,
     .low = 0,
     .high = 256},
    {.name = "exact",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.exact,
     .low = 0,
     .high = 1e9},
    {.name = "nodes",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.nodes,
     .low = 1,
     .high = 1e9},
    {.name = "confidence",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.confidence,
     .low = 0.5,
     .high = 0.9999},
    {.name = "seed",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.seed,
     .low = 0,
     .high = 1e15},
    {.name = "output", .kind = WITAN_OPTION_TEXT, .value = &args.output},
    WITAN_OPTION_JSON(&args.json),
    {.name = "quiet", .kind = WITAN_OPTION_FLAG, .value = &args.quiet, .letter = 'q'},
};

static const witan_usage usage = {
    .command = "witan audit",
    .help =
        "usage: witan audit RUN [RUN ...] [OPTIONS]\n\n"
        "Measures what finished runs give away: exposure of planted canaries at those "
        "who\n"
        "hold them, on the wire and at those who only learned from soft labels; what "
        "can\n"
        "be extracted; who can be told to be a member; and whether evidence "
        "contradicts\n"
        "what was promised. Several runs are compared: protection against its cost.\n"
        "A run must have kept records: witan sim --canaries PLAN, or\n"
        "--set audit.record=true. RUN may also be the directory of a client that took\n"
        "part with witan client --canaries PLAN: its own final model is measured.\n\n"
        "  --fail-if GATE      exit with 4 when it is crossed; may be given again:\n"
        "                      NAME, one of > >= < <=, number. Names: exposure "
        "teacher\n"
        "                      wire reduction cost utility auc tpr told epsilon "
        "extracted\n"
        "  --shadows N         train N shadow models of each client for LiRA and RMIA\n"
        "                      (default: none; RMIA uses the other clients' models)\n"
        "  --exact N           rank among all fills up to so many (default: 1.1e6)\n"
        "  --nodes N           prefixes that extraction may look at (default: 100000)\n"
        "  --confidence P      of lower bounds (default: 0.95)\n"
        "  --seed N            of samples and intervals (default: 1)\n"
        "  --output DIR        where the comparison of several runs goes\n"
        "  --json              the result as one object on standard output\n"
        "  --quiet             no progress\n\n"
        "Writes audit.json and audit.html into each RUN; of several, the comparison "
        "into\n"
        "DIR.\n\n"
        "Examples:\n"
        "  witan audit runs/a\n"
        "  witan audit runs/a --fail-if 'exposure>3' --fail-if 'extracted>0'\n"
        "  witan audit runs/plain runs/swing --output runs/both "
        "--fail-if 'reduction<0.8'\n\n"
        "What the numbers mean: docs/privacy.md.\n"
        "Exit codes: 0 done, 1 failed, 2 usage or config, 3 bad data, 4 a gate was\n"
        "crossed or a promise was contradicted, 130 interrupted.\n",
    .options = options,
    .options_count = sizeof options / sizeof options[0],
    .argument = "RUN",
    .argument_required = true,
    .values = &args.runs,
};

static witan_status
check_arguments(witan_diag *diag)
{
    size_t runs = args.runs.count;
    if (runs > 1 && args.output == NULL) {
        return witan_usage_error(&usage, diag,
                                 "several runs are compared in a directory of their "
                                 "own: name it with --output");
    }
    if (runs == 1 && args.output != NULL) {
        return witan_usage_error(&usage, diag,
                                 "--output is for comparing several runs; of one run "
                                 "the files go into it");
    }
    for (size_t i = 0; i < args.gates.count; i++) {
        WITAN_TRY(witan_audit_gate_check(args.gates.items[i], diag));
    }
    for (size_t i = 0; i < runs; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(args.runs.items[i], args.runs.items[j]) == 0) {
                return witan_usage_error(&usage, diag, "%s is named twice",
                                         args.runs.items[i]);
            }
        }
    }
    return WITAN_OK;
}

/* --- progress --------------------------------------------------------------------- */

typedef struct screen {
    witan_terminal terminal; /* of standard error */
    bool open;               /* a line stands on it */
} screen;

static bool
on_progress(void *context, const char *what, size_t done, size_t total)
{
    screen *self = context;
    if (!args.quiet && self->terminal.interactive) {
        (void)fprintf(stderr, "\r\033[K%s %zu/%zu", what, done, total);
        (void)fflush(stderr);
        self->open = true;
    }
    return interrupted == 0;
}

/* --- files ------------------------------------------------------------------------ */

static witan_status
write_text(const char *directory, const char *name, witan_text *text, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    witan_status status = text->status;
    if (status != WITAN_OK) {
        status = witan_diag_fail(diag, status, "%s of %s: %s", name, directory,
                                 witan_status_text(status));
    } else if (length < 0 || (size_t)length >= sizeof path) {
        status =
            witan_diag_fail(diag, WITAN_E_LIMIT, "%s: the path is too long", directory);
    } else {
        status = witan_file_replace(path, text->data, text->length,
                                    witan_allocator_default(), diag);
    }
    witan_text_fini(text);
    return status;
}

static witan_status
write_files(const witan_audit_result *result, const char *directory, witan_diag *diag)
{
    witan_text text;
    const witan_audit_record *record = witan_audit_record_of(result);
    witan_text_init(&text, witan_allocator_default(), JSON_BYTES_MAX);
    witan_report_audit_json(&text, record, witan_audit_hashes_of(result));
    WITAN_TRY(write_text(directory, "audit.json", &text, diag));
    witan_text_init(&text, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    witan_report_audit_html(&text, record);
    return write_text(directory, "audit.html", &text, diag);
}

static witan_status
print_result(const witan_audit_result *result, witan_diag *diag)
{
    witan_text text;
    witan_terminal terminal = witan_terminal_of(stdout);
    const witan_audit_record *record = witan_audit_record_of(result);
    witan_text_init(&text, witan_allocator_default(), JSON_BYTES_MAX);
    if (args.json) {
        witan_report_audit_json(&text, record, witan_audit_hashes_of(result));
    } else {
        witan_report_audit_table(&text, record, &terminal);
    }
    witan_status status = witan_print_result(&text, diag);
    witan_text_fini(&text);
    return status;
}

/* --- runs ------------------------------------------------------------------------- */

/* Gates before files, so that the files tell of them. */
static witan_status
finish(witan_audit_result *result, const char *directory, bool *crossed,
       witan_diag *diag)
{
    if (args.gates.count != 0) {
        WITAN_TRY(witan_audit_gates(result, args.gates.items, args.gates.count, crossed,
                                    diag));
    }
    WITAN_TRY(write_files(result, directory, diag));
    return print_result(result, diag);
}

static witan_status
compare(witan_audit_result *const *results, const witan_audit_settings *settings,
        bool *crossed, bool *contradicted, witan_diag *diag)
{
    const witan_audit_result *const *runs = (const witan_audit_result *const *)results;
    witan_audit_result *comparison = NULL;
    WITAN_TRY(witan_audit_compare(&comparison, runs, args.runs.count, settings,
                                  witan_allocator_default(), diag));
    witan_status status = witan_directory_make(args.output, diag);
    if (status == WITAN_OK) {
        status = finish(comparison, args.output, crossed, diag);
    }
    *contradicted |= witan_audit_contradicted(comparison);
    witan_audit_result_free(&comparison);
    return status;
}

static witan_status
audit_all(witan_audit_result **results, witan_audit_settings *settings, screen *view,
          bool *crossed, bool *contradicted, witan_diag *diag)
{
    bool several = args.runs.count > 1;
    for (size_t i = 0; i < args.runs.count; i++) {
        settings->directory = args.runs.items[i];
        if (several && !args.quiet) {
            witan_line_clear(&view->open);
            (void)fprintf(stderr, "audit %zu/%zu: %s\n", i + 1, args.runs.count,
                          settings->directory);
        }
        WITAN_TRY(witan_audit_measure(&results[i], settings, witan_allocator_default(),
                                      diag));
        witan_line_clear(&view->open);
        *contradicted |= witan_audit_contradicted(results[i]);
        WITAN_TRY(several ? write_files(results[i], settings->directory, diag)
                          : finish(results[i], settings->directory, crossed, diag));
    }
    return several ? compare(results, settings, crossed, contradicted, diag) : WITAN_OK;
}

static int
audit(void)
{
    static witan_audit_result *results[WITAN_TEXTS_MAX];
    witan_diag diag = {0};
    witan_audit_settings settings;
    screen view = {witan_terminal_of(stderr), false};
    bool crossed = false, contradicted = false;
    witan_audit_settings_init(&settings, NULL);
    settings.shadows = (size_t)args.shadows;
    settings.exact_max = args.exact;
    settings.nodes = args.nodes;
    settings.significance = 1.0 - args.confidence;
    settings.seed = args.seed;
    settings.progress = on_progress;
    settings.context = &view;
    witan_status status =
        audit_all(results, &settings, &view, &crossed, &contradicted, &diag);
    witan_line_clear(&view.open);
    for (size_t i = 0; i < args.runs.count; i++) {
        witan_audit_result_free(&results[i]);
    }
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    if (contradicted) {
        (void)fprintf(stderr, "witan: evidence contradicts what was promised: the "
                              "promise or the code is wrong\n");
    }
    if (crossed) {
        (void)fprintf(stderr, "witan: a gate was crossed\n");
    }
    return crossed || contradicted ? witan_status_exit_code(WITAN_E_CROSSED) : 0;
}

int
witan_command_audit(int argc, char **argv)
{
    int code;
    witan_diag diag = {0};
    witan_audit_settings defaults;
    witan_audit_settings_init(&defaults, NULL);
    args.nodes = defaults.nodes;
    args.exact = defaults.exact_max;
    args.seed = defaults.seed;
    args.confidence = 1.0 - defaults.significance;
    if (!witan_usage_read(&usage, argc, argv, &code)) {
        return code;
    }
    witan_status status = check_arguments(&diag);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    witan_signals_catch(on_signal);
    return audit();
}
