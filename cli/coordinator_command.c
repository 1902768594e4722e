/* coordinator_command.c - `witan coordinator`: serve an experiment to clients. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/experiment.h"
#include "cli/json.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "cli/overview.h"
#include "cli/state.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "coordinator/shell/invite.h"
#include "coordinator/shell/server.h"
#include "data/load.h"
#include "fusion/fusion.h"
#include "report/number.h"
#include "setup/world.h"
#include "store/file.h"

enum {
    INVITATION_S = 24 * 3600
};
#define OUTPUT_BYTES_MAX ((size_t)256 << 20)

static struct {
    char *experiment;
    const char *listen, *state, *advertise;
    witan_texts invite, assignments;
    double heartbeat, drain; /* seconds, 0: the server's own */
    bool check_config, json;
} args = {.listen = "tcp://0.0.0.0:7700"};

static const witan_option options[] = {
    {.name = "listen", .kind = WITAN_OPTION_TEXT, .value = &args.listen},
    {.name = "state", .kind = WITAN_OPTION_TEXT, .value = &args.state},
    {.name = "advertise", .kind = WITAN_OPTION_TEXT, .value = &args.advertise},
    {.name = "invite", .kind = WITAN_OPTION_TEXTS, .value = &args.invite},
    {.name = "set", .kind = WITAN_OPTION_TEXTS, .value = &args.assignments},
    {.name = "heartbeat",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.heartbeat,
     .low = 0.1,
     .high = 3600},
    {.name = "drain",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.drain,
     .low = 0.1,
     .high = 86400},
    {.name = "check-config", .kind = WITAN_OPTION_FLAG, .value = &args.check_config},
    WITAN_OPTION_JSON(&args.json),
};

static const witan_usage usage = {
    .command = "witan coordinator",
    .help =
        "usage: witan coordinator [EXPERIMENT.json] --state DIR [OPTIONS]\n\n"
        "Serves an experiment to clients on other machines until it is finished. All "
        "that\n"
        "matters is in the state directory: killed at any moment, the same command "
        "goes\n"
        "on in the same round. There an EXPERIMENT may be left out; in a new "
        "directory\n"
        "handwritten digits inside the program are used without one.\n\n"
        "  --state DIR         keys, members, rounds; made when absent\n"
        "  --listen ENDPOINT   default tcp://0.0.0.0:7700; port *: chosen by the "
        "system\n"
        "  --advertise E       where clients reach it (default: this machine's "
        "address)\n"
        "  --invite NAME       print a join line for NAME, good for 24 hours, unless "
        "it\n"
        "                      has one or is a member; may be given again\n"
        "  --set PATH=VALUE    override one setting; may be given again\n"
        "  --heartbeat SEC     a client that is silent for three of them is absent\n"
        "                      (default 10)\n"
        "  --drain SEC         on SIGTERM, time for the round under way (default 120)\n"
        "  --check-config      load experiment and data, tell what they are, and stop\n"
        "  --json              last line of standard output: the result as one "
        "object\n\n"
        "Examples:\n"
        "  witan coordinator --state DIR --set clients=2 --invite site-a --invite "
        "site-b\n"
        "  witan coordinator wards.json --state DIR --advertise "
        "tcp://fed.example.org:7700\n"
        "  witan coordinator --state DIR          go on with what is there\n\n"
        "Settings: docs/config.md; deploying: docs/deploy.md. The first Ctrl-C or "
        "SIGTERM\n"
        "finishes the round under way, the second stops at once; both can be "
        "continued.\n"
        "Exit codes: 0 finished, 1 failed, 2 usage or config, 3 bad data, 5 keys open "
        "to\n"
        "others, 130 stopped.\n",
    .options = options,
    .options_count = sizeof options / sizeof options[0],
    .argument = "EXPERIMENT.json",
    .value = &args.experiment,
};

/* --- experiment ------------------------------------------------------------------- */

static bool
has_state(void)
{
    char path[WITAN_PATH_MAX];
    return args.state != NULL &&
           witan_state_path(path, args.state, "witan.db", NULL) == WITAN_OK &&
           witan_path_exists(path);
}

/* *given is false when the experiment of the state directory is to be used. */
static witan_status
load_experiment(witan_config *config, bool *given, witan_diag *diag)
{
    *given = args.experiment != NULL || args.assignments.count != 0;
    if (!*given && has_state()) {
        witan_ledger *ledger = NULL;
        char *stored = NULL;
        WITAN_TRY(witan_ledger_open(&ledger, args.state, false,
                                    witan_allocator_default(), diag));
        witan_status status = witan_ledger_setting(ledger, "experiment", &stored, diag);
        bool known = stored != NULL;
        witan_free(witan_allocator_default(), stored);
        if (status == WITAN_OK && known) {
            status = witan_overview_config(config, ledger, diag);
        }
        witan_ledger_close(&ledger);
        if (status != WITAN_OK || known) {
            return status;
        }
    }
    *given = true;
    WITAN_TRY(witan_experiment_load(config, args.experiment, args.assignments.items,
                                    args.assignments.count, diag));
    if (args.experiment == NULL) {
        witan_daemon_say(NULL,
                         config->data.path[0] != '\0'
                             ? "no experiment was given: the settings name the data"
                         : config->data.format == WITAN_DATA_TEXT
                             ? "no experiment was given: the text inside the "
                               "program is used"
                             : "no experiment was given: handwritten digits "
                               "inside the program are used");
    }
    return WITAN_OK;
}

static void
show_experiment(witan_text *out, const witan_config *config)
{
    witan_text_format(out, "experiment   %s: %zu rounds, %zu seats, %s\n", config->name,
                      config->rounds, config->clients,
                      witan_fusion_strategies()[config->fusion.key]->key);
}

/* --check-config. */
static witan_status
check_config(const witan_config *config, witan_diag *diag)
{
    witan_world *world = witan_zalloc(witan_allocator_default(), 1, sizeof *world);
    witan_text text;
    if (world == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    witan_text_init(&text, witan_allocator_default(), OUTPUT_BYTES_MAX);
    witan_status status =
        witan_world_load(world, config, witan_allocator_default(), diag);
    if (status == WITAN_OK) {
        if (args.json) {
            witan_config_write(config, &text);
        } else {
            show_experiment(&text, config);
            witan_text_format(&text, "data         %s\ntransfer     %zu rows\n",
                              world->summary, world->transfer.count);
        }
        status = witan_print_result(&text, diag);
    }
    witan_text_fini(&text);
    witan_world_fini(world, witan_allocator_default());
    witan_free(witan_allocator_default(), world);
    return status;
}

/* --- invitations ------------------------------------------------------------------ */

static witan_status
is_known(bool *known, witan_ledger *ledger, const char *name, uint64_t now_s,
         witan_diag *diag)
{
    witan_overview view;
    WITAN_TRY(witan_overview_load(&view, ledger, now_s, diag));
    *known = false;
    for (size_t i = 0; i < view.members_count && !*known; i++) {
        *known = view.members[i].peer.state != WITAN_PEER_REVOKED &&
                 strcmp(view.members[i].peer.name, name) == 0;
    }
    for (size_t i = 0; i < view.open_count && !*known; i++) {
        *known = strcmp(view.open[i].name, name) == 0;
    }
    witan_overview_fini(&view);
    return WITAN_OK;
}

static witan_status
invite(witan_ledger *ledger, const char *name, witan_diag *diag)
{
    char line[WITAN_JOIN_LINE_MAX], prefix[WITAN_NAME_MAX + 8];
    uint64_t now_s = witan_wall_s(NULL);
    bool known;
    WITAN_TRY(is_known(&known, ledger, name, now_s, diag));
    if (known) {
        return WITAN_OK;
    }
    witan_invite_options invitation = {
        .name = name, .ttl_s = INVITATION_S, .seat = WITAN_SEAT_ANY, .now_s = now_s};
    witan_status status = witan_invite(ledger, &invitation, line, diag);
    if (status == WITAN_OK) {
        (void)snprintf(prefix, sizeof prefix, "%s: ", name);
        const char *const parts[] = {prefix, line, "\n"};
        for (size_t i = 0; i < 3 && status == WITAN_OK; i++) {
            status = witan_print_secret(parts[i]);
        }
        if (status != WITAN_OK) {
            (void)witan_diag_fail(diag, status, "cannot write to standard output");
        }
    }
    witan_wipe(line, sizeof line);
    return status;
}

static witan_status
invite_all(witan_diag *diag)
{
    witan_ledger *ledger = NULL;
    if (args.invite.count == 0) {
        return WITAN_OK;
    }
    WITAN_TRY(
        witan_ledger_open(&ledger, args.state, false, witan_allocator_default(), diag));
    witan_status status = WITAN_OK;
    for (size_t i = 0; i < args.invite.count && status == WITAN_OK; i++) {
        status = invite(ledger, args.invite.items[i], diag);
    }
    witan_ledger_close(&ledger);
    return status;
}

/* --- the result ------------------------------------------------------------------- */

static void
show_clients(witan_text *out, const witan_overview *view)
{
    static const char *const heads[] = {">client",  "name",    "model",
                                        ">first %", ">last %", ">answered",
                                        ">late",    ">up",     ">down"};
    witan_table table;
    witan_table_init(&table, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < view->members_count; i++) {
        const witan_member *member = &view->members[i];
        bool gone = member->peer.state == WITAN_PEER_REVOKED;
        witan_table_add(&table, "%lu", (unsigned long)member->peer.seat);
        witan_table_add(&table, "%s%s", member->peer.name, gone ? " (revoked)" : "");
        witan_table_add(&table, "%s",
                        member->peer.model[0] == '\0' ? "-" : member->peer.model);
        witan_table_add(&table, "%s", witan_shown_percent(member->own_first).text);
        witan_table_add(&table, "%s", witan_shown_percent(member->own_last).text);
        witan_table_add(&table, "%llu", (unsigned long long)member->answered);
        witan_table_add(&table, "%llu", (unsigned long long)member->late);
        witan_table_add(&table, "%s", witan_shown_bytes((double)member->bytes_up).text);
        witan_table_add(&table, "%s",
                        witan_shown_bytes((double)member->bytes_down).text);
    }
    witan_table_show(&table, out);
    witan_table_fini(&table);
    witan_text_format(out,
                      "first, last: accuracy on its own mix of labels, in the first "
                      "and the last round\n");
}

static void
tell(witan_text *out, const witan_overview *view, size_t fused)
{
    witan_json_open(out, NULL, "{");
    witan_json_text(out, "experiment", view->config.name);
    witan_json_flag(out, "finished", view->finished);
    witan_json_count(out, "rounds", view->rounds_count);
    witan_json_count(out, "fused", fused);
    witan_json_open(out, "clients", "[");
    for (size_t i = 0; i < view->members_count; i++) {
        const witan_member *member = &view->members[i];
        witan_json_open(out, NULL, "{");
        witan_json_count(out, "client", member->peer.seat);
        witan_json_text(out, "name", member->peer.name);
        witan_json_text(out, "state", witan_peer_state_text(member->peer.state));
        witan_json_text(out, "model", member->peer.model);
        witan_json_number(out, "own_first", member->own_first);
        witan_json_number(out, "own_last", member->own_last);
        witan_json_number(out, "global_last", member->global_last);
        witan_json_count(out, "answered", member->answered);
        witan_json_count(out, "late", member->late);
        witan_json_count(out, "bytes_up", member->bytes_up);
        witan_json_count(out, "bytes_down", member->bytes_down);
        witan_json_close(out, "}");
    }
    witan_json_close(out, "]}\n");
}

static void
add_result(witan_text *out, const witan_overview *view)
{
    size_t fused = 0;
    for (size_t r = 0; r < view->rounds_count; r++) {
        fused += view->rounds[r].row.fused;
    }
    if (args.json) {
        tell(out, view, fused);
        return;
    }
    show_experiment(out, &view->config);
    witan_text_format(out, "\n");
    show_clients(out, view);
    if (fused < view->rounds_count) {
        witan_text_format(out, "%zu of %zu rounds ended without enough answers\n",
                          view->rounds_count - fused, view->rounds_count);
    }
}

static witan_status
print_result(witan_diag *diag)
{
    witan_ledger *ledger = NULL;
    witan_overview view = {0};
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), OUTPUT_BYTES_MAX);
    witan_status status =
        witan_ledger_open(&ledger, args.state, false, witan_allocator_default(), diag);
    if (status == WITAN_OK) {
        status = witan_overview_load(&view, ledger, witan_wall_s(NULL), diag);
    }
    if (status == WITAN_OK) {
        add_result(&text, &view);
        status = witan_print(&text);
        if (status != WITAN_OK) {
            (void)witan_diag_fail(diag, status,
                                  "cannot write to standard output; the result is kept "
                                  "in %s (witan status)",
                                  args.state);
        }
    }
    witan_overview_fini(&view);
    witan_ledger_close(&ledger);
    witan_text_fini(&text);
    return status;
}

/* --- serving ---------------------------------------------------------------------- */

static witan_status
tell_ready(const witan_server *server, witan_diag *diag)
{
    char line[128];
    (void)snprintf(line, sizeof line, "needs at most %s of memory",
                   witan_shown_bytes((double)witan_server_memory_bound(server)).text);
    witan_daemon_say(NULL, line);
    bool written = printf("listening on %s\n", witan_server_endpoint(server)) >= 0 &&
                   fflush(stdout) == 0;
    if (!written) {
        return witan_diag_fail(diag, WITAN_E_IO, "cannot write to standard output");
    }
    witan_notify("READY=1");
    return WITAN_OK;
}

static witan_status
serve(const witan_config *config, const volatile sig_atomic_t *stops, witan_diag *diag)
{
    witan_server *server = NULL;
    witan_server_options settings = {
        .directory = args.state,
        .listen = args.listen,
        .advertise = args.advertise,
        .config = config,
        .heartbeat_ms = (uint32_t)lround(args.heartbeat * 1000.0),
        .drain_ms = (uint32_t)lround(args.drain * 1000.0),
        .stops = stops,
        .say = witan_daemon_say,
        .clock = witan_notify_clock(),
        .wall_s = witan_wall_s,
        .log = witan_daemon_log(),
    };
    witan_status status =
        witan_server_new(&server, &settings, witan_allocator_default(), diag);
    if (status == WITAN_OK) {
        status = invite_all(diag);
    }
    if (status == WITAN_OK) {
        status = tell_ready(server, diag);
    }
    if (status == WITAN_OK) {
        status = witan_server_run(server, diag);
    }
    witan_server_free(&server);
    return status;
}

static witan_status
check_arguments(witan_diag *diag)
{
    if (args.state == NULL && !args.check_config) {
        return witan_usage_error(&usage, diag, "--state is missing");
    }
    if (args.check_config && args.invite.count != 0) {
        return witan_usage_error(&usage, diag,
                                 "--check-config serves nobody: leave out --invite");
    }
    WITAN_TRY(witan_endpoint_check(args.listen, true, diag));
    if (args.advertise != NULL) {
        WITAN_TRY(witan_endpoint_check(args.advertise, false, diag));
    }
    for (size_t i = 0; i < args.invite.count; i++) {
        if (witan_peer_name_check(args.invite.items[i], diag) != WITAN_OK) {
            return witan_diag_prefix(diag, "--invite %s", args.invite.items[i]);
        }
    }
    return WITAN_OK;
}

int
witan_command_coordinator(int argc, char **argv)
{
    int code;
    bool given = false;
    witan_diag diag = {0};
    witan_config config;
    if (!witan_usage_read(&usage, argc, argv, &code)) {
        return code;
    }
    witan_status status = check_arguments(&diag);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    const volatile sig_atomic_t *stops = witan_daemon_start();
    status = load_experiment(&config, &given, &diag);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    status = args.check_config ? check_config(&config, &diag)
                               : serve(given ? &config : NULL, stops, &diag);
    witan_config_fini(&config, witan_allocator_default());
    if (status == WITAN_OK && !args.check_config) {
        status = print_result(&diag);
    }
    if (status == WITAN_E_INTERRUPTED) {
        witan_daemon_stopped("witan coordinator --state", args.state);
        return witan_status_exit_code(status);
    }
    return status == WITAN_OK ? 0 : witan_fail(&diag, status);
}
