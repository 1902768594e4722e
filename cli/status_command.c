/* status_command.c - `witan status`: what a coordinator or a client is doing. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/overview.h"
#include "cli/state.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "fusion/fusion.h"
#include "report/number.h"
#include "store/file.h"

enum {
    ROUNDS_SHOWN = 10,
    EVENTS_TOLD = 20,
    POLL_MS = 100,
    STATUS_FILE_MAX = 1 << 16
};
#define OUTPUT_BYTES_MAX ((size_t)1 << 30)

static struct {
    const char *state;
    bool json, wait;
    double timeout; /* seconds; infinite when not given */
} args = {.timeout = (double)INFINITY};

static const witan_option options[] = {
    WITAN_OPTION_STATE(&args.state),
    WITAN_OPTION_JSON(&args.json),
    {.name = "wait", .kind = WITAN_OPTION_FLAG, .value = &args.wait},
    {.name = "timeout",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.timeout,
     .low = 0,
     .high = 1e9},
};

static const witan_usage usage = {
    .command = "witan status",
    .help =
        "usage: witan status --state DIR [--wait [--timeout SECONDS]] [--json]\n\n"
        "Shows what goes on in the state directory of a coordinator (experiment, "
        "rounds,\n"
        "who is awaited, each client's accuracy) or of a client. Only reads; works "
        "while\n"
        "they run and while they do not.\n\n"
        "  --state DIR         what was given to witan coordinator, or where a client\n"
        "                      keeps its keys\n"
        "  --wait              first wait until the experiment is finished\n"
        "  --timeout SECONDS   wait no longer than that, then exit with 6\n"
        "  --json              one JSON object on standard output\n\n"
        "Examples:\n"
        "  witan status --state coordinator-state\n"
        "  witan status --state coordinator-state --wait --timeout 3600 && echo done\n"
        "  witan status --state coordinator-state --json | jq .awaited\n\n"
        "Exit codes: 0 done, 1 failed, 2 usage, 3 damaged state, 6 not finished in "
        "time.\n",
    .options = options,
    .options_count = sizeof options / sizeof options[0],
};

/* --- coordinator: JSON ------------------------------------------------------------ */

static void
tell_rounds(witan_text *out, const witan_overview *view)
{
    witan_json_open(out, "rounds", "[");
    for (size_t r = 0; r < view->rounds_count; r++) {
        const witan_round_row *row = &view->rounds[r].row;
        char exchange[WITAN_DIGEST_HEX_SIZE] = "";
        if (row->phase == WITAN_ROUND_ENDED) {
            witan_digest_hex(exchange, row->exchange);
        }
        witan_json_open(out, NULL, "{");
        witan_json_count(out, "round", (uint64_t)row->round + 1);
        witan_json_text(out, "phase", witan_round_phase_text(row->phase));
        witan_json_flag(out, "fused", row->fused);
        witan_json_count(out, "asked", row->asked);
        witan_json_count(out, "answered", row->answered);
        witan_json_count(out, "late", row->late);
        witan_json_text(out, "exchange", exchange);
        witan_json_count(out, "bytes_up", row->bytes_up);
        witan_json_count(out, "bytes_down", row->bytes_down);
        witan_json_number(out, "seconds", row->seconds);
        witan_json_number(out, "own_after", view->rounds[r].own_after);
        witan_json_close(out, "}");
    }
    witan_json_close(out, "]");
}

static void
tell_peers(witan_text *out, const witan_overview *view)
{
    witan_json_open(out, "peers", "[");
    for (size_t i = 0; i < view->members_count; i++) {
        const witan_member *member = &view->members[i];
        const witan_peer *peer = &member->peer;
        witan_json_open(out, NULL, "{");
        witan_json_count(out, "client", peer->seat);
        witan_json_text(out, "name", peer->name);
        witan_json_text(out, "state", witan_peer_state_text(peer->state));
        witan_json_flag(out, "connected", peer->connected);
        witan_json_count(out, "samples", peer->samples);
        witan_json_text(out, "model", peer->model);
        witan_json_number(out, "own_before", member->own_before);
        witan_json_number(out, "own_after", member->own_last);
        witan_json_number(out, "global_after", member->global_last);
        witan_json_count(out, "seen_s", peer->seen_s);
        witan_json_close(out, "}");
    }
    witan_json_close(out, "]");
}

static witan_status
tell_events(witan_text *out, witan_ledger *ledger, witan_diag *diag)
{
    witan_event_row *events = NULL;
    size_t count = 0;
    WITAN_TRY(witan_ledger_events(ledger, EVENTS_TOLD, &events, &count, diag));
    witan_json_open(out, "events", "[");
    for (size_t i = 0; i < count; i++) {
        witan_json_open(out, NULL, "{");
        witan_json_count(out, "at_s", events[i].at_s);
        witan_json_text(out, "id", events[i].id);
        witan_json_text(out, "text", events[i].text);
        witan_json_close(out, "}");
    }
    witan_json_close(out, "]");
    witan_free(witan_allocator_default(), events);
    return WITAN_OK;
}

static witan_status
tell(witan_text *out, const witan_overview *view, witan_ledger *ledger,
     witan_diag *diag)
{
    witan_json_open(out, NULL, "{");
    witan_json_text(out, "experiment", view->config.name);
    witan_json_count(out, "seats", view->config.clients);
    witan_json_count(out, "rounds_planned", view->config.rounds);
    witan_json_flag(out, "finished", view->finished);
    witan_json_text(out, "endpoint", view->endpoint);
    witan_json_flag(out, "running", witan_state_holder(args.state) != 0);
    tell_rounds(out, view);
    tell_peers(out, view);
    witan_json_open(out, "awaited", "[");
    for (size_t i = 0; i < view->members_count; i++) {
        if (view->members[i].awaited) {
            witan_json_item(out, view->members[i].peer.name);
        }
    }
    witan_json_close(out, "]");
    witan_status status = tell_events(out, ledger, diag);
    witan_json_close(out, "}\n");
    return status;
}

/* --- coordinator: text ------------------------------------------------------------ */

static void
show_process(witan_text *out, bool finished)
{
    unsigned long long process = (unsigned long long)witan_state_holder(args.state);
    witan_text_format(out, "coordinator  ");
    if (process != 0) {
        witan_text_format(out, "runs (process %llu)\n", process);
    } else if (finished) {
        witan_text_format(out, "has ended\n");
    } else {
        witan_text_format(out, "does not run; go on with: witan coordinator --state ");
        witan_quote_for_shell(out, args.state);
        witan_text_format(out, "\n");
    }
}

static void
show_now(witan_text *out, const witan_overview *view, uint64_t now_s)
{
    const witan_round_view *open = witan_overview_under_way(view);
    size_t rounds = view->config.rounds;
    witan_text_format(out, "now          ");
    if (view->finished) {
        witan_text_format(out, "finished after %zu rounds\n", view->rounds_count);
    } else if (open == NULL) {
        witan_text_format(
            out, "round %zu of %zu opens when %zu client%s connected; %zu %s\n",
            view->rounds_count + 1, rounds, view->config.round.minimum_clients,
            view->config.round.minimum_clients == 1 ? " is" : "s are",
            witan_overview_count(view, WITAN_PEER_APPROVED, true),
            witan_overview_count(view, WITAN_PEER_APPROVED, true) == 1 ? "is" : "are");
    } else {
        witan_text_format(
            out, "round %lu of %zu, for %s: %s, %lu of %lu answered; waiting for ",
            (unsigned long)open->row.round + 1, rounds,
            witan_age_of(open->row.opened_s, now_s).text,
            open->row.phase == WITAN_ROUND_OPEN ? "collecting" : "delivering",
            (unsigned long)open->row.answered, (unsigned long)open->row.asked);
        size_t before = out->length;
        witan_overview_awaited(view, out);
        witan_text_format(out, "%s\n", out->length == before ? "nobody" : "");
    }
}

static void
show_members(witan_text *out, const witan_overview *view)
{
    size_t pending = witan_overview_count(view, WITAN_PEER_PENDING, false);
    witan_text_format(out, "members      %zu of %zu seats, %zu connected",
                      witan_overview_count(view, WITAN_PEER_APPROVED, false) + pending,
                      view->config.clients,
                      witan_overview_count(view, WITAN_PEER_APPROVED, true));
    if (pending > 0) {
        witan_text_format(out, ", %zu to approve", pending);
    }
    if (view->open_count > 0) {
        witan_text_format(out, ", %zu invited", view->open_count);
    }
    witan_text_format(out, "\n");
}

static void
show_rounds(witan_text *out, const witan_overview *view)
{
    static const char *const heads[] = {">round", "state", ">answered", ">late",
                                        ">own %", ">up",   ">down",     ">time"};
    witan_table table;
    size_t first =
        view->rounds_count > ROUNDS_SHOWN ? view->rounds_count - ROUNDS_SHOWN : 0;
    witan_table_init(&table, heads, sizeof heads / sizeof heads[0]);
    for (size_t r = first; r < view->rounds_count; r++) {
        const witan_round_row *row = &view->rounds[r].row;
        bool ended = row->phase == WITAN_ROUND_ENDED;
        witan_table_add(&table, "%lu", (unsigned long)row->round + 1);
        witan_table_add(&table, "%s",
                        ended && !row->fused ? "too few answers"
                                             : witan_round_phase_text(row->phase));
        witan_table_add(&table, "%lu of %lu", (unsigned long)row->answered,
                        (unsigned long)row->asked);
        witan_table_add(&table, "%lu", (unsigned long)row->late);
        witan_table_add(&table, "%s",
                        witan_shown_percent(view->rounds[r].own_after).text);
        witan_table_add(&table, "%s", witan_shown_bytes((double)row->bytes_up).text);
        witan_table_add(&table, "%s", witan_shown_bytes((double)row->bytes_down).text);
        witan_table_add(&table, "%s",
                        ended ? witan_shown_seconds(row->seconds).text : "-");
    }
    witan_text_format(out, "%s", table.cells > 0 ? "\n" : "");
    witan_table_show(&table, out);
    witan_table_fini(&table);
}

static void
show_clients(witan_text *out, const witan_overview *view)
{
    static const char *const heads[] = {">client",   "name",   "state",    "model",
                                        ">before %", ">own %", ">global %"};
    witan_table table;
    witan_table_init(&table, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < view->members_count; i++) {
        const witan_member *member = &view->members[i];
        const witan_peer *peer = &member->peer;
        if (peer->state == WITAN_PEER_REVOKED) {
            continue;
        }
        witan_table_add(&table, "%lu", (unsigned long)peer->seat);
        witan_table_add(&table, "%s", peer->name);
        witan_table_add(&table, "%s",
                        peer->state == WITAN_PEER_PENDING ? "pending"
                        : peer->connected                 ? "connected"
                                                          : "absent");
        witan_table_add(&table, "%s", peer->model[0] == '\0' ? "-" : peer->model);
        witan_table_add(&table, "%s", witan_shown_percent(member->own_before).text);
        witan_table_add(&table, "%s", witan_shown_percent(member->own_last).text);
        witan_table_add(&table, "%s", witan_shown_percent(member->global_last).text);
    }
    witan_text_format(out, "%s", table.cells > 0 ? "\n" : "");
    witan_table_show(&table, out);
    witan_table_fini(&table);
}

static void
show(witan_text *out, const witan_overview *view, uint64_t now_s)
{
    witan_text_format(out, "experiment   %s: %zu rounds, %zu seats, %s\n",
                      view->config.name, view->config.rounds, view->config.clients,
                      witan_fusion_strategies()[view->config.fusion.key]->key);
    witan_text_format(out, "endpoint     %s\n",
                      view->endpoint[0] == '\0' ? "-" : view->endpoint);
    show_process(out, view->finished);
    show_now(out, view, now_s);
    show_members(out, view);
    show_rounds(out, view);
    show_clients(out, view);
}

/* --- waiting ---------------------------------------------------------------------- */

static double
seconds_now(void)
{
    const witan_clock *clock = witan_clock_monotonic();
    return (double)clock->now_ns(clock->context) * 1e-9;
}

static witan_status
pause_until(double end, const char *what, witan_diag *diag)
{
    const struct timespec pause = {0, POLL_MS * 1000000L};
    if (seconds_now() >= end) {
        return witan_diag_fail(diag, WITAN_E_UNREACHABLE,
                               "%s: not finished within %.15g s%s", args.state,
                               args.timeout, what);
    }
    (void)nanosleep(&pause, NULL);
    return WITAN_OK;
}

/* --- coordinator ------------------------------------------------------------------ */

static witan_status
is_finished(bool *finished, witan_ledger *ledger, witan_diag *diag)
{
    witan_config config;
    witan_round_row last = {0};
    bool found = false;
    WITAN_TRY(witan_overview_config(&config, ledger, diag));
    size_t rounds = config.rounds;
    witan_config_fini(&config, witan_allocator_default());
    WITAN_TRY(witan_ledger_last_round(ledger, &last, &found, NULL, 0, diag));
    *finished =
        found && last.phase == WITAN_ROUND_ENDED && (size_t)last.round + 1 >= rounds;
    return WITAN_OK;
}

static witan_status
wait_for_coordinator(witan_ledger *ledger, witan_diag *diag)
{
    double end = seconds_now() + args.timeout;
    uint64_t version = 0, seen = 0;
    for (bool first = true;; first = false) {
        bool finished = false;
        WITAN_TRY(witan_ledger_version(ledger, &version, diag));
        if (first || version != seen) {
            seen = version;
            WITAN_TRY(is_finished(&finished, ledger, diag));
        }
        if (finished) {
            return WITAN_OK;
        }
        WITAN_TRY(pause_until(end, "; witan status shows who is awaited", diag));
    }
}

static witan_status
coordinator(witan_text *out, witan_diag *diag)
{
    witan_ledger *ledger = NULL;
    witan_overview view = {0};
    WITAN_TRY(
        witan_ledger_open(&ledger, args.state, false, witan_allocator_default(), diag));
    witan_status status = args.wait ? wait_for_coordinator(ledger, diag) : WITAN_OK;
    if (status == WITAN_OK) {
        uint64_t now_s = witan_wall_s(NULL);
        status = witan_overview_load(&view, ledger, now_s, diag);
        if (status == WITAN_OK && args.json) {
            status = tell(out, &view, ledger, diag);
        } else if (status == WITAN_OK) {
            show(out, &view, now_s);
        }
    }
    witan_overview_fini(&view);
    witan_ledger_close(&ledger);
    return status;
}

/* --- client ----------------------------------------------------------------------- */

/* A member of status.json, which the client writes flat, one member a line. */
typedef struct member {
    char key[64], value[512];
} member;

/* The next member of *at; false after the last one. */
static bool
next_member(member *out, const char **at)
{
    while (**at != '\0') {
        const char *line = *at;
        size_t length = strcspn(line, "\n");
        *at += length + (line[length] == '\n');
        int used = 0;
        if (sscanf(line, " \"%63[a-z_]\": %n", out->key, &used) != 1 || used == 0 ||
            (size_t)used > length) {
            continue;
        }
        const char *value = line + used, *end = line + length;
        end -= end > value && end[-1] == ',';
        if (end - value >= 2 && *value == '"' && end[-1] == '"') {
            value++;
            end--;
        }
        (void)snprintf(out->value, sizeof out->value, "%.*s", (int)(end - value),
                       value);
        return true;
    }
    return false;
}

static void
show_member(witan_text *out, const member *field)
{
    char key[sizeof field->key];
    double number;
    uint64_t updated;
    (void)snprintf(key, sizeof key, "%s", field->key);
    for (char *c = key; *c != '\0'; c++) {
        *c = *c == '_' ? ' ' : *c;
    }
    const char *value = strcmp(field->value, "null") == 0    ? "-"
                        : strcmp(field->value, "true") == 0  ? "yes"
                        : strcmp(field->value, "false") == 0 ? "no"
                                                             : field->value;
    if (strstr(key, "accuracy") != NULL && witan_text_parse_double(value, &number)) {
        witan_text_format(out, "%-20s %s %%\n", key, witan_shown_percent(number).text);
    } else if (strcmp(key, "updated") == 0 && witan_text_parse_u64(value, &updated)) {
        witan_text_format(out, "%-20s %s ago\n", key,
                          witan_age_of(updated, witan_wall_s(NULL)).text);
    } else if (strstr(key, "loss") != NULL && witan_text_parse_double(value, &number)) {
        witan_text_format(out, "%-20s %.3f\n", key, number);
    } else {
        witan_text_format(out, "%-20s %s\n", key, value);
    }
}

static bool
client_is_finished(const char *text)
{
    member field;
    while (next_member(&field, &text)) {
        if (strcmp(field.key, "phase") == 0 && strcmp(field.value, "finished") == 0) {
            return true;
        }
    }
    return false;
}

static witan_status
client(witan_text *out, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    double end = seconds_now() + args.timeout;
    char path[WITAN_PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    member field;
    WITAN_TRY(witan_state_path(path, args.state, "status.json", diag));
    for (bool finished = !args.wait;;) {
        if (witan_path_exists(path)) {
            WITAN_TRY(
                witan_file_read(&text, &size, path, STATUS_FILE_MAX, allocator, diag));
            finished = finished || client_is_finished(text);
        }
        if (finished) {
            break;
        }
        witan_free(allocator, text);
        text = NULL;
        WITAN_TRY(pause_until(end, "", diag));
    }
    if (text == NULL) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: enrolled, but never started; start it with witan "
                               "client --state",
                               args.state);
    }
    if (args.json) {
        witan_text_add(out, text, size);
    } else {
        unsigned long long process = (unsigned long long)witan_state_holder(args.state);
        witan_text_format(out,
                          process == 0 ? "%-20s no\n" : "%-20s yes, process %llu\n",
                          "runs", process);
        for (const char *at = text; next_member(&field, &at);) {
            show_member(out, &field);
        }
    }
    witan_free(allocator, text);
    return WITAN_OK;
}

int
witan_command_status(int argc, char **argv)
{
    int code;
    witan_diag diag = {0};
    witan_state_kind kind;
    witan_text text;
    if (!witan_usage_read(&usage, argc, argv, &code)) {
        return code;
    }
    if (isfinite(args.timeout) && !args.wait) {
        return witan_fail(
            &diag, witan_usage_error(&usage, &diag, "--timeout goes with --wait"));
    }
    witan_text_init(&text, witan_allocator_default(), OUTPUT_BYTES_MAX);
    witan_status status = witan_state_kind_of(&kind, args.state, &diag);
    if (status == WITAN_OK) {
        status = kind == WITAN_STATE_COORDINATOR ? coordinator(&text, &diag)
                                                 : client(&text, &diag);
    }
    if (status == WITAN_OK) {
        status = witan_print_result(&text, &diag);
    }
    witan_text_fini(&text);
    return status == WITAN_OK ? 0 : witan_fail(&diag, status);
}
