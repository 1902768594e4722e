/* join_command.c - `witan join` and `witan client`: a client enrols, then takes part.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/state.h"
#include "cli/terminal.h"
#include "client/shell/node.h"
#include "store/file.h"
#include "store/secret_file.h"

enum {
    ENROL_GIVE_UP_MS = 30000, /* a person waits */
    STATUS_FILE_MAX = 1 << 16
};

static struct {
    char *line;
    const char *token_file, *state, *data, *format, *label, *model, *canaries;
    witan_texts protect;
    double test_fraction;
    bool enrol_only, json;
} args = {.test_fraction = -1.0};

static const witan_option join_options[] = {
    {.name = "token-file", .kind = WITAN_OPTION_TEXT, .value = &args.token_file},
    {.name = "state", .kind = WITAN_OPTION_TEXT, .value = &args.state},
    {.name = "data", .kind = WITAN_OPTION_TEXT, .value = &args.data},
    {.name = "format", .kind = WITAN_OPTION_TEXT, .value = &args.format},
    {.name = "label", .kind = WITAN_OPTION_TEXT, .value = &args.label},
    {.name = "test-fraction",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.test_fraction,
     .low = 0.001,
     .high = 0.999},
    {.name = "model", .kind = WITAN_OPTION_TEXT, .value = &args.model},
    {.name = "protect", .kind = WITAN_OPTION_TEXTS, .value = &args.protect},
    {.name = "canaries", .kind = WITAN_OPTION_TEXT, .value = &args.canaries},
    {.name = "enrol-only", .kind = WITAN_OPTION_FLAG, .value = &args.enrol_only},
    {.name = "enroll-only", .kind = WITAN_OPTION_FLAG, .value = &args.enrol_only},
};

static const witan_usage join_usage = {
    .command = "witan join",
    .help =
        "usage: witan join LINE [OPTIONS]\n"
        "       witan join --token-file FILE [OPTIONS]\n"
        "       witan join - [OPTIONS]\n\n"
        "Enrols this machine as a client: makes its keys, checks that the coordinator "
        "is\n"
        "the one of the join line, uses the line up. Then takes part until the "
        "experiment\n"
        "is finished. Without --data it takes its part of the digits inside the "
        "program.\n\n"
        "  LINE                witan1:..., from witan invite; - reads it from "
        "standard\n"
        "                      input, so that it is not in the shell's history\n"
        "  --token-file FILE   reads it from a file\n"
        "  --state DIR         where keys and progress are kept (default:\n"
        "                      ~/.local/state/witan/NAME)\n"
        "  --data PATH         own rows: a file or directory; they never leave it\n"
        "  --format FORMAT     of the data: auto, idx, cifar10, npy, npz, csv or text\n"
        "  --label COLUMN      CSV: name of the label column (default: the last)\n"
        "  --test-fraction F   share of own rows to test on where the data has no "
        "test\n"
        "                      part (default 0.2)\n"
        "  --model SPEC        own model, such as 'mlp(200)' (default: the "
        "experiment's)\n"
        "  --protect SETTING   insist on a setting of swing.*, local.privacy.* or\n"
        "                      extract.temperature, such as swing.noise=gaussian,\n"
        "                      whatever the experiment says; may be given again\n"
        "  --canaries PLAN     plant this client's canaries (witan canary plan)\n"
        "  --enrol-only        do not take part yet; witan client does (--enroll-only\n"
        "                      is the same)\n\n"
        "Examples:\n"
        "  witan join 'witan1:...'\n"
        "  witan join 'witan1:...' --data patients.csv --label outcome --model "
        "'mlp(64)'\n"
        "  witan join - --enrol-only --state /var/lib/witan-client/site-a < "
        "line.txt\n\n"
        "Data formats: docs/data.md. Exit codes: 0 finished, 1 failed, 2 usage, 3 bad\n"
        "data, 5 refused (line used or expired), 6 no answer, 130 stopped.\n",
    .options = join_options,
    .options_count = sizeof join_options / sizeof join_options[0],
    .argument = "LINE",
    .value = &args.line,
};

static const witan_option client_options[] = {
    WITAN_OPTION_STATE(&args.state),
    {.name = "canaries", .kind = WITAN_OPTION_TEXT, .value = &args.canaries},
    WITAN_OPTION_JSON(&args.json),
};

static const witan_usage client_usage = {
    .command = "witan client",
    .help =
        "usage: witan client --state DIR [--canaries PLAN] [--json]\n\n"
        "Takes part as the client that enrolled with witan join, from where it was "
        "left,\n"
        "until the experiment is finished. Tries again for ever when the coordinator "
        "does\n"
        "not answer. The first Ctrl-C or SIGTERM finishes the job under way and "
        "saves;\n"
        "the second stops at once.\n\n"
        "  --state DIR         the directory that witan join named\n"
        "  --canaries PLAN     plant this client's canaries (witan canary plan), "
        "before "
        "it\n"
        "                      takes part for the first time\n"
        "  --json              last line of standard output: the client's status\n\n"
        "Examples:\n"
        "  witan client --state ~/.local/state/witan/site-a\n\n"
        "Exit codes: 0 finished, 1 failed, 2 usage, 3 bad data, 5 refused (revoked, "
        "keys\n"
        "open to others), 130 stopped.\n",
    .options = client_options,
    .options_count = sizeof client_options / sizeof client_options[0],
};

/* --- client ----------------------------------------------------------------------- */

/* status.json on one line. */
static witan_status
print_status(witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    WITAN_TRY(witan_state_path(path, args.state, "status.json", diag));
    WITAN_TRY(witan_file_read(&text, &size, path, STATUS_FILE_MAX,
                              witan_allocator_default(), diag));
    for (size_t i = 0; i < size; i++) {
        text[i] = text[i] == '\n' ? ' ' : text[i];
    }
    bool written = printf("%s\n", text) >= 0 && fflush(stdout) == 0;
    witan_free(witan_allocator_default(), text);
    return written ? WITAN_OK
                   : witan_diag_fail(diag, WITAN_E_IO,
                                     "cannot write to standard output; the client "
                                     "itself has finished");
}

static witan_node_options
node_options(const volatile sig_atomic_t *stops)
{
    return (witan_node_options){
        .directory = args.state,
        .stops = stops,
        .say = witan_daemon_say,
        .clock = witan_notify_clock(),
        .wall_s = witan_wall_s,
        .log = witan_daemon_log(),
    };
}

static int
work(const volatile sig_atomic_t *stops)
{
    witan_diag diag = {0};
    witan_node_options options = node_options(stops);
    witan_notify("READY=1"); /* whether anybody answers is not known yet, and may take
                                days */
    witan_status status = witan_node_run(&options, witan_allocator_default(), &diag);
    if (status == WITAN_OK && args.json) {
        status = print_status(&diag);
    }
    if (status == WITAN_OK) {
        return 0;
    }
    if (status == WITAN_E_INTERRUPTED) {
        witan_daemon_stopped("witan client --state", args.state);
        return witan_status_exit_code(status);
    }
    return witan_fail(&diag, status);
}

int
witan_command_client(int argc, char **argv)
{
    int code;
    witan_diag diag = {0};
    if (!witan_usage_read(&client_usage, argc, argv, &code)) {
        return code;
    }
    if (args.canaries != NULL) {
        witan_status status = witan_node_plant(args.state, args.canaries,
                                               witan_allocator_default(), &diag);
        if (status != WITAN_OK) {
            return witan_fail(&diag, status);
        }
    }
    return work(witan_daemon_start());
}

/* --- join ------------------------------------------------------------------------- */

/* A line in the arguments can be seen by every user of the machine: gone from there as
 * soon as it is read. */
static witan_status
read_argument(witan_join_line *out, witan_diag *diag)
{
    size_t length = strlen(args.line);
    witan_status status = witan_join_line_parse(out, args.line, length, diag);
    for (size_t i = 0; i < length; i++) {
        ((volatile char *)args.line)[i] = '*';
    }
    return status;
}

static witan_status
read_file(witan_join_line *out, FILE *file, const char *name, witan_diag *diag)
{
    char text[2 * WITAN_JOIN_LINE_MAX];
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy stays behind */
    size_t size = fread(text, 1, sizeof text, file);
    witan_status status =
        ferror(file) != 0
            ? witan_diag_fail(diag, WITAN_E_IO, "%s: %s", name, strerror(errno))
            : witan_join_line_parse(out, text, size, diag);
    witan_wipe(text, sizeof text);
    if (status == WITAN_E_CONFIG) {
        (void)witan_diag_prefix(diag, "%s", name);
    }
    return status;
}

static witan_status
read_line(witan_join_line *out, witan_diag *diag)
{
    if (args.token_file != NULL && args.line != NULL) {
        return witan_usage_error(&join_usage, diag,
                                 "a join line and --token-file are one too many");
    }
    if (args.token_file != NULL) {
        FILE *file = fopen(args.token_file, "re");
        if (file == NULL) {
            return witan_diag_fail(diag, WITAN_E_IO, "%s: %s", args.token_file,
                                   strerror(errno));
        }
        witan_status status = read_file(out, file, args.token_file, diag);
        (void)fclose(file);
        return status;
    }
    if (args.line == NULL) {
        return witan_usage_error(&join_usage, diag,
                                 "LINE is missing: the join line that witan invite "
                                 "printed, or - or --token-file");
    }
    return strcmp(args.line, "-") == 0 ? read_file(out, stdin, "standard input", diag)
                                       : read_argument(out, diag);
}

static witan_status
copy_text(char *out, size_t room, const char *text, const char *option,
          witan_diag *diag)
{
    int length = snprintf(out, room, "%s", text == NULL ? "" : text);
    return length >= 0 && (size_t)length < room
               ? WITAN_OK
               : witan_usage_error(&join_usage, diag,
                                   "--%s takes a value of fewer than %zu bytes", option,
                                   room);
}

/* A client may later be started elsewhere: the data keep their absolute path. */
static witan_status
find_data(char *out, size_t room, witan_diag *diag)
{
    char here[WITAN_PATH_MAX], path[2 * WITAN_PATH_MAX];
    if (args.data == NULL) {
        return WITAN_OK;
    }
    if (access(args.data, R_OK) != 0) {
        return witan_diag_fail(diag, WITAN_E_IO, "%s: %s", args.data, strerror(errno));
    }
    if (args.data[0] == '/') {
        return copy_text(out, room, args.data, "data", diag);
    }
    if (getcwd(here, sizeof here) == NULL) {
        return witan_diag_fail(diag, WITAN_E_IO, "the current directory: %s",
                               strerror(errno));
    }
    (void)snprintf(path, sizeof path, "%s/%s", here, args.data);
    return copy_text(out, room, path, "data", diag);
}

/* One assignment a line. */
static witan_status
copy_protect(char *out, size_t room, witan_diag *diag)
{
    size_t length = 0;
    for (size_t i = 0; i < args.protect.count; i++) {
        const char *item = args.protect.items[i];
        if (strchr(item, '\n') != NULL || length + strlen(item) + 2 > room) {
            return witan_usage_error(&join_usage, diag,
                                     "--protect takes settings without line breaks, "
                                     "%zu bytes in all",
                                     room - 1);
        }
        length += (size_t)snprintf(out + length, room - length, "%s%s",
                                   i == 0 ? "" : "\n", item);
    }
    return WITAN_OK;
}

static witan_status
make_settings(witan_node_settings *out, witan_diag *diag)
{
    const char *lonely = args.format != NULL         ? "format"
                         : args.label != NULL        ? "label"
                         : args.test_fraction >= 0.0 ? "test-fraction"
                                                     : NULL;
    *out = (witan_node_settings){
        .test_fraction = args.test_fraction >= 0.0 ? args.test_fraction : 0.2};
    if (args.data == NULL && lonely != NULL) {
        return witan_usage_error(&join_usage, diag,
                                 "--%s is about --data, which is missing", lonely);
    }
    WITAN_TRY(find_data(out->data, sizeof out->data, diag));
    WITAN_TRY(copy_text(out->format, sizeof out->format, args.format, "format", diag));
    WITAN_TRY(copy_text(out->label, sizeof out->label, args.label, "label", diag));
    WITAN_TRY(copy_text(out->model, sizeof out->model, args.model, "model", diag));
    WITAN_TRY(copy_text(out->canaries, sizeof out->canaries, args.canaries, "canaries",
                        diag));
    return copy_protect(out->protect, sizeof out->protect, diag);
}

static void
print_enrolment(const witan_enrolment *enrolment)
{
    (void)printf("name         %s\n"
                 "client       %lu\n"
                 "state        %s\n"
                 "fingerprint  %s\n"
                 "             compare with: witan peers show %s\n",
                 enrolment->name, (unsigned long)enrolment->client, args.state,
                 enrolment->fingerprint, enrolment->name);
    if (!enrolment->approved) {
        (void)printf("             waits for: witan peers approve %s\n",
                     enrolment->name);
    }
    (void)fflush(stdout);
}

static witan_status
enrol(const volatile sig_atomic_t *stops, char state[WITAN_PATH_MAX], witan_diag *diag)
{
    static witan_node_settings settings;
    witan_join_line line = {0};
    witan_enrolment enrolment = {0};
    witan_status status = read_line(&line, diag);
    if (status == WITAN_OK) {
        status = make_settings(&settings, diag);
    }
    if (status == WITAN_OK && args.state == NULL) {
        status = witan_state_default(state, line.name, diag);
        args.state = state;
    }
    if (status == WITAN_OK) {
        witan_node_options options = node_options(stops);
        options.give_up_ms = ENROL_GIVE_UP_MS;
        status = witan_node_enrol(&options, &line, &settings, &enrolment,
                                  witan_allocator_default(), diag);
    }
    witan_wipe(&line, sizeof line);
    if (status == WITAN_OK) {
        print_enrolment(&enrolment);
    }
    return status;
}

int
witan_command_join(int argc, char **argv)
{
    int code;
    char state[WITAN_PATH_MAX];
    witan_diag diag = {0};
    if (!witan_usage_read(&join_usage, argc, argv, &code)) {
        return code;
    }
    const volatile sig_atomic_t *stops = witan_daemon_start();
    witan_status status = enrol(stops, state, &diag);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    return args.enrol_only ? 0 : work(stops);
}
