/* sim_command.c - `witan sim`: run an experiment, show how it goes, say where it lies.
 */
#define _GNU_SOURCE /* sched_getaffinity: only the processors we may use */
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/experiment.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "fusion/fusion.h"
#include "num/cpu.h"
#include "setup/canary_file.h"
#include "sim/simulation.h"
#include "store/file.h"
#include "store/lock.h"

static struct {
    char *experiment; /* NULL: the embedded one */
    witan_texts assignments;
    uint64_t threads; /* 0: one per processor */
    const char *out, *resume, *reference, *canaries;
    bool json, quiet;
} args;

/* The plan of --canaries, or the one that a resumed run was begun with. */
static struct {
    char *json; /* NULL: none */
    size_t size;
    char origin[WITAN_PATH_MAX];
} canaries;

/* What the hooks need. */
typedef struct screen {
    witan_terminal terminal; /* of standard error */
    bool quiet;
    const char *title; /* "reference (local): " or "" */
    bool line_is_open; /* an interactive progress line stands on the screen */
} screen;

static volatile sig_atomic_t interrupts;

static void
on_signal(int number)
{
    (void)number;
    interrupts++;
}

static const witan_option options[] = {
    {.name = "set", .kind = WITAN_OPTION_TEXTS, .value = &args.assignments},
    {.name = "threads",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.threads,
     .low = 1,
     .high = 1024},
    {.name = "out", .kind = WITAN_OPTION_TEXT, .value = &args.out},
    {.name = "resume", .kind = WITAN_OPTION_TEXT, .value = &args.resume},
    {.name = "reference", .kind = WITAN_OPTION_TEXT, .value = &args.reference},
    {.name = "canaries", .kind = WITAN_OPTION_TEXT, .value = &args.canaries},
    WITAN_OPTION_JSON(&args.json),
    {.name = "quiet", .kind = WITAN_OPTION_FLAG, .value = &args.quiet, .letter = 'q'},
};

static const witan_usage usage = {
    .command = "witan sim",
    .help =
        "usage: witan sim [EXPERIMENT.json] [OPTIONS]\n\n"
        "Simulates a federation: clients with different models train on their own "
        "rows,\n"
        "exchange soft labels on a public transfer set, and learn from what they "
        "hear.\n"
        "Without an experiment it runs on handwritten digits inside the program.\n\n"
        "  --set PATH=VALUE    override one setting; may be given again\n"
        "  --threads N         workers (default: one per processor); changes no "
        "result\n"
        "  --out DIR           run directory (default: runs/NAME-STRATEGY-TIME)\n"
        "  --resume DIR        continue a run that was stopped or killed\n"
        "  --reference local   first run the same clients alone, then compare\n"
        "  --canaries PLAN     plant canaries (witan canary plan), for witan audit\n"
        "  --json              last line of standard output: the result as one object\n"
        "  --quiet             no progress\n\n"
        "Examples:\n"
        "  witan sim --reference local\n"
        "  witan sim --set fusion.key=mean --set data.partition.alpha=0.1\n"
        "  witan sim sim/experiments/mnist-alpha-0.1.json --set data.path=DIR --out "
        "runs/a\n"
        "  witan sim --resume runs/a\n\n"
        "Settings: docs/config.md. Ctrl-C stops after the round that is under way; a\n"
        "second one stops at once. Both can be resumed.\n"
        "Exit codes: 0 done, 1 failed, 2 usage or config, 3 bad data, 130 "
        "interrupted.\n",
    .options = options,
    .options_count = sizeof options / sizeof options[0],
    .argument = "EXPERIMENT.json",
    .value = &args.experiment,
};

static size_t
processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

static witan_status
check_arguments(witan_diag *diag)
{
    if (args.reference != NULL && strcmp(args.reference, "local") != 0) {
        return witan_usage_error(&usage, diag, "--reference takes local, not %s",
                                 args.reference);
    }
    if (args.resume != NULL && (args.experiment != NULL || args.out != NULL ||
                                args.canaries != NULL || args.assignments.count != 0)) {
        return witan_usage_error(
            &usage, diag,
            "--resume takes everything from its directory: leave out the "
            "experiment, --set, --canaries and --out");
    }
    return WITAN_OK;
}

/* --- hooks ------------------------------------------------------------------------ */

static void
show(witan_text *text)
{
    if (text->status == WITAN_OK && text->length != 0) {
        (void)fprintf(stderr, "%s", text->data);
        (void)fflush(stderr);
    }
    witan_text_fini(text);
}

static void
on_progress(void *context, const witan_progress *progress)
{
    screen *self = context;
    witan_text text;
    if (self->quiet || !self->terminal.interactive) {
        return;
    }
    witan_text_init(&text, witan_allocator_default(), 4096);
    witan_report_progress(&text, progress, &self->terminal);
    self->line_is_open = true;
    show(&text);
}

static void
on_round(void *context, const witan_round_record *round, size_t rounds,
         double eta_seconds)
{
    screen *self = context;
    witan_text text;
    if (self->quiet) {
        return;
    }
    witan_line_clear(&self->line_is_open);
    witan_text_init(&text, witan_allocator_default(), 4096);
    witan_text_format(&text, "%s", self->title);
    witan_report_round(&text, round, rounds, eta_seconds, &self->terminal);
    show(&text);
    if (interrupts == 1 && round->round + 1 < rounds) {
        (void)fprintf(stderr, "stopping\n");
    }
}

/* --- one run ---------------------------------------------------------------------- */

typedef struct run {
    witan_config config;
    bool has_config;
    witan_directory_lock *lock;
    witan_run_log log;
    witan_simulation *simulation;
} run;

static void
run_fini(run *self)
{
    witan_simulation_free(&self->simulation);
    witan_run_log_close(&self->log);
    witan_directory_unlock(&self->lock);
    if (self->has_config) {
        witan_config_fini(&self->config, witan_allocator_default());
        self->has_config = false;
    }
}

/* directory/name into path; a path that does not fit is a usage error. */
static witan_status
join(char path[WITAN_PATH_MAX], const char *directory, const char *name,
     witan_diag *diag)
{
    int length = snprintf(path, WITAN_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < (int)WITAN_PATH_MAX
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_CONFIG, "%s: the path is too long",
                                 directory);
}

/* The experiment, or the config of the run that is resumed; then --set; for the
 * reference, strategy local. */
static witan_status
load_config(run *self, bool reference, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    const char *assignments[WITAN_TEXTS_MAX + 1];
    size_t count = args.assignments.count;
    const char *experiment = args.experiment;
    memcpy(assignments, args.assignments.items, count * sizeof *assignments);
    if (reference) {
        assignments[count++] = "fusion.key=local";
    }
    if (args.resume != NULL) {
        WITAN_TRY(join(path, args.resume, "config.json", diag));
        experiment = path;
        if (!witan_path_exists(path)) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "%s holds no run (no config.json); name a run "
                                   "directory",
                                   args.resume);
        }
    }
    WITAN_TRY(
        witan_experiment_load(&self->config, experiment, assignments, count, diag));
    self->has_config = true;
    return WITAN_OK;
}

/* The plan that is asked for, or the one in the directory of a resumed run. */
static witan_status
load_canaries(witan_diag *diag)
{
    if (args.resume != NULL) {
        WITAN_TRY(join(canaries.origin, args.resume, "canaries.json", diag));
        if (!witan_path_exists(canaries.origin)) {
            return WITAN_OK;
        }
    } else if (args.canaries == NULL) {
        return WITAN_OK;
    } else if (snprintf(canaries.origin, sizeof canaries.origin, "%s", args.canaries) >=
               (int)sizeof canaries.origin) {
        return witan_usage_error(&usage, diag, "--canaries: the path is too long");
    }
    return witan_file_read(&canaries.json, &canaries.size, canaries.origin,
                           WITAN_CANARY_PLAN_BYTES_MAX, witan_allocator_default(),
                           diag);
}

/* The experiment's name as part of a path: no slash, no leading dot, no surprise. */
static void
name_for_path(char out[64], const char *name)
{
    size_t length = 0;
    for (; name[length] != '\0' && length < 63; length++) {
        char c = name[length];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || c == '_' || (c == '.' && length > 0);
        out[length] = plain ? c : '-';
    }
    out[length] = '\0';
}

static witan_status
choose_directory(char out[WITAN_PATH_MAX], const witan_config *config, witan_diag *diag)
{
    char stamp[32], name[64];
    time_t now = time(NULL);
    struct tm utc;
    const char *given = args.resume != NULL ? args.resume : args.out;
    if (given != NULL) {
        int length = snprintf(out, WITAN_PATH_MAX, "%s", given);
        return length < (int)WITAN_PATH_MAX
                   ? WITAN_OK
                   : witan_usage_error(&usage, diag,
                                       "--out and --resume take a directory whose path "
                                       "is shorter");
    }
    name_for_path(name, config->name);
    (void)gmtime_r(&now, &utc);
    (void)strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &utc);
    for (int i = 1;; i++) {
        char number[16] = "";
        if (i > 1) {
            (void)snprintf(number, sizeof number, "-%d", i);
        }
        (void)snprintf(out, WITAN_PATH_MAX, "runs/%s-%s-%s%s", name,
                       witan_fusion_strategies()[config->fusion.key]->key, stamp,
                       number);
        if (!witan_path_exists(out)) {
            return WITAN_OK;
        }
    }
}

static witan_status
open_directory(run *self, const char *directory, bool resume, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    WITAN_TRY(witan_directory_make(directory, diag));
    WITAN_TRY(witan_directory_lock_take(&self->lock, directory,
                                        witan_allocator_default(), diag));
    WITAN_TRY(join(path, directory, "config.json", diag));
    if (!resume && witan_path_exists(path)) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "%s holds a run already; choose another --out, or continue "
            "it with --resume",
            directory);
    }
    WITAN_TRY(join(path, directory, "run.log", diag));
    return witan_run_log_open(&self->log, path, diag);
}

static void
log_start(run *self, const witan_run_record *record, bool resume)
{
    witan_log_write(&self->log.log, WITAN_LOG_INFO, resume ? "resume" : "start",
                    "witan %s, strategy %s, %zu clients, %zu of %zu rounds done, %zu "
                    "threads, %s, data %s",
                    WITAN_VERSION, record->strategy, record->clients,
                    record->rounds_done, record->rounds_planned, record->threads,
                    record->machine, record->data_summary);
}

/* Loads data and builds the clients; nothing has run yet. */
static witan_status
prepare(run *self, const char *directory, screen *view, bool resume, witan_diag *diag)
{
    witan_simulation_options settings = {
        .threads = args.threads != 0 ? args.threads : processors(),
        .directory = directory,
        .resume = resume,
        .canaries = canaries.json,
        .canaries_size = canaries.size,
        .canaries_origin = canaries.origin,
        .interrupts = &interrupts,
        .progress = on_progress,
        .round_ended = on_round,
        .context = view,
        .refresh_ms = 200,
        .clock = witan_clock_monotonic(),
        .log = &self->log.log,
    };
    witan_status status = witan_simulation_new(
        &self->simulation, &self->config, &settings, witan_allocator_default(), diag);
    if (status == WITAN_OK) {
        log_start(self, witan_simulation_record(self->simulation), resume);
    }
    return status;
}

static witan_status
execute(run *self, screen *view, witan_diag *diag)
{
    witan_status status = witan_simulation_run(self->simulation, diag);
    witan_line_clear(&view->line_is_open);
    witan_log_write(&self->log.log, WITAN_LOG_INFO, "end", "%s%s%s",
                    witan_status_text(status), diag->message[0] == '\0' ? "" : ": ",
                    diag->message);
    return status;
}

static witan_status
write_report(const witan_run_record *record, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    witan_text text;
    WITAN_TRY(join(path, record->directory, "report.html", diag));
    witan_text_init(&text, witan_allocator_default(), (size_t)256 << 20);
    witan_report_html(&text, record);
    witan_status status = text.status;
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "%s: %s", path, witan_status_text(status));
    } else {
        status = witan_file_replace(path, text.data, text.length,
                                    witan_allocator_default(), diag);
    }
    witan_text_fini(&text);
    return status;
}

static witan_status
print_result(const witan_run_record *record, witan_diag *diag)
{
    witan_terminal terminal = witan_terminal_of(stdout);
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), (size_t)64 << 20);
    if (args.json) {
        witan_simulation_summary(&text, record, true);
    } else {
        witan_report_table(&text, record, &terminal);
    }
    witan_status status = witan_print(&text);
    witan_text_fini(&text);
    return status == WITAN_OK
               ? status
               : witan_diag_fail(diag, status,
                                 "cannot write to standard output; the run "
                                 "itself is complete in %s",
                                 record->directory);
}

/* What a person can still do after a run that did not reach its end. */
static int
explain_stop(const run *self, const char *directory, witan_status status,
             const witan_diag *diag)
{
    witan_text quoted;
    witan_text_init(&quoted, witan_allocator_default(), 8 * WITAN_PATH_MAX);
    witan_quote_for_shell(&quoted, directory);
    const char *path = quoted.status == WITAN_OK ? quoted.data : directory;
    int code = witan_status_exit_code(status);
    if (status == WITAN_E_INTERRUPTED) {
        (void)fprintf(stderr,
                      "witan: stopped in %s; continue with: witan sim --resume %s\n",
                      directory, path);
    } else if (status == WITAN_E_IO && self->simulation != NULL) {
        (void)fprintf(stderr, "witan: %s; when that is mended: witan sim --resume %s\n",
                      diag->message, path);
    } else {
        code = witan_fail(diag, status);
    }
    witan_text_fini(&quoted);
    return code;
}

static void
warn_about_pin(void)
{
    bool pinned = false;
    if (witan_blas_is_below_cpu(&pinned)) {
        (void)fprintf(stderr,
                      pinned
                          ? "witan: warning: OPENBLAS_CORETYPE pins OpenBLAS to %s, at "
                            "about half this processor's speed; unset it\n"
                          : "witan: warning: OpenBLAS runs its %s kernels, below what "
                            "this processor has\n",
                      witan_blas_core());
    }
}

/* The same clients, alone, in DIRECTORY/reference. From here on the main run counts as
 * begun: its config is written, so that --resume continues the pair. */
static witan_status
run_reference(run *reference, run *main_run, const char *directory, screen *view,
              witan_diag *diag)
{
    char beside[WITAN_PATH_MAX], config[WITAN_PATH_MAX];
    witan_text text;
    WITAN_TRY(join(beside, directory, "reference", diag));
    WITAN_TRY(join(config, beside, "config.json", diag));
    bool resume = witan_path_exists(config);
    WITAN_TRY(load_config(reference, true, diag));
    WITAN_TRY(open_directory(reference, beside, resume, diag));
    WITAN_TRY(prepare(reference, beside, view, resume, diag));
    WITAN_TRY(join(config, directory, "config.json", diag));
    witan_text_init(&text, witan_allocator_default(), 4 * WITAN_CONFIG_BYTES_MAX);
    witan_config_write(&main_run->config, &text);
    witan_status status = text.status;
    if (status == WITAN_OK) {
        status = witan_file_replace(config, text.data, text.length,
                                    witan_allocator_default(), diag);
    }
    witan_text_fini(&text);
    WITAN_TRY(status);
    if (canaries.json != NULL) {
        WITAN_TRY(join(config, directory, "canaries.json", diag));
        WITAN_TRY(witan_file_replace(config, canaries.json, canaries.size,
                                     witan_allocator_default(), diag));
    }
    view->title = "reference (local): ";
    status = execute(reference, view, diag);
    view->title = "";
    return status;
}

static bool
has_reference(const char *directory)
{
    char path[WITAN_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/reference", directory);
    return witan_path_exists(path);
}

static witan_status
run_all(run *main_run, run *reference, const char *directory, screen *view,
        witan_diag *diag)
{
    bool resume = args.resume != NULL;
    if (args.reference != NULL || (resume && has_reference(directory))) {
        WITAN_TRY(run_reference(reference, main_run, directory, view, diag));
    }
    WITAN_TRY(prepare(main_run, directory, view, resume, diag));
    if (reference->simulation != NULL) {
        WITAN_TRY(witan_simulation_set_reference(main_run->simulation,
                                                 reference->simulation, diag));
    }
    WITAN_TRY(execute(main_run, view, diag));
    const witan_run_record *record = witan_simulation_record(main_run->simulation);
    WITAN_TRY(write_report(record, diag));
    return print_result(record, diag);
}

/* A run that never began leaves nothing behind: the directory was ours to make. */
static void
remove_empty_run(const char *directory)
{
    static const char *const files[] = {"run.log", "lock"};
    char path[WITAN_PATH_MAX];
    witan_diag ignored = {0};
    if (join(path, directory, "config.json", &ignored) != WITAN_OK ||
        witan_path_exists(path)) {
        return;
    }
    if (has_reference(directory) &&
        join(path, directory, "reference", &ignored) == WITAN_OK) {
        remove_empty_run(path);
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (join(path, directory, files[i], &ignored) == WITAN_OK) {
            (void)unlink(path);
        }
    }
    (void)rmdir(directory); /* fails, as it should, when anything else is in it */
}

static int
simulate(void)
{
    witan_diag diag = {0};
    run main_run = {0}, reference = {0};
    char directory[WITAN_PATH_MAX];
    screen view = {witan_terminal_of(stderr), args.quiet, "", false};
    int code = 0;
    witan_status status = load_config(&main_run, false, &diag);
    if (status == WITAN_OK) {
        status = load_canaries(&diag);
    }
    if (status == WITAN_OK) {
        status = choose_directory(directory, &main_run.config, &diag);
    }
    bool fresh = status == WITAN_OK && !witan_path_exists(directory);
    if (status == WITAN_OK) {
        status = open_directory(&main_run, directory, args.resume != NULL, &diag);
    }
    if (status != WITAN_OK) {
        code = witan_fail(&diag, status);
    } else {
        warn_about_pin();
        status = run_all(&main_run, &reference, directory, &view, &diag);
        if (status != WITAN_OK) {
            code = explain_stop(&main_run, directory, status, &diag);
        }
    }
    run_fini(&main_run);
    run_fini(&reference);
    witan_free(witan_allocator_default(), canaries.json);
    if (fresh && code != 0) {
        remove_empty_run(directory);
    }
    return code;
}

int
witan_command_sim(int argc, char **argv)
{
    int code;
    witan_diag diag = {0};
    if (!witan_usage_read(&usage, argc, argv, &code)) {
        return code;
    }
    witan_status status = check_arguments(&diag);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    witan_signals_catch(on_signal);
    return simulate();
}
