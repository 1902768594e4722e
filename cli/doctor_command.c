/* doctor_command.c - `witan doctor`: what is wrong with a state directory and what it
 * needs, and what to do about it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/overview.h"
#include "cli/state.h"
#include "cli/terminal.h"
#include "client/shell/node.h"
#include "report/number.h"
#include "setup/world.h"
#include "store/secret_file.h"
#include "transport/link.h"

enum {
    REACH_MS = 3000,
    FILES_BESIDE = 320, /* descriptors that a coordinator needs beside its clients' */
    CLOCK_SLACK_S = 60
};
static const uint64_t year_2025_s = 1735689600;

static struct {
    const char *state;
    bool json;
} args;

static const witan_option options[] = {
    WITAN_OPTION_STATE(&args.state),
    WITAN_OPTION_JSON(&args.json),
};

static const witan_usage usage = {
    .command = "witan doctor",
    .help =
        "usage: witan doctor --state DIR [--json]\n\n"
        "Examines the state directory of a coordinator or of a client and what it "
        "needs:\n"
        "keys and their modes, the ledger, data, network, clock, disk, open files. "
        "Each\n"
        "line says ok, warning or bad, and what to do. Takes part in nothing; can be "
        "run\n"
        "at any time.\n\n"
        "  --state DIR         what was given to witan coordinator, or where a client\n"
        "                      keeps its keys\n"
        "  --json              one JSON object on standard output\n\n"
        "Examples:\n"
        "  witan doctor --state coordinator-state\n"
        "  witan doctor --state ~/.local/state/witan/site-a\n\n"
        "Exit codes: 0 nothing is bad, 1 something is, 2 usage.\n",
    .options = options,
    .options_count = sizeof options / sizeof options[0],
};

typedef struct findings {
    witan_finding items[WITAN_FINDINGS_MAX];
    size_t count;
} findings;

static void found(findings *self, int level, const char *what, const char *format, ...)
    WITAN_PRINTF(4, 5);

static void
found(findings *self, int level, const char *what, const char *format, ...)
{
    va_list arguments;
    if (self->count == WITAN_FINDINGS_MAX) {
        return;
    }
    witan_finding *item = &self->items[self->count++];
    item->level = level;
    (void)snprintf(item->what, sizeof item->what, "%s", what);
    va_start(arguments, format);
    (void)vsnprintf(item->text, sizeof item->text, format, arguments);
    va_end(arguments);
}

static void
found_failure(findings *self, const char *what, witan_status status,
              const witan_diag *diag)
{
    found(self, WITAN_FINDING_BAD, what, "%s",
          diag->message[0] != '\0' ? diag->message : witan_status_text(status));
}

/* --- coordinator ------------------------------------------------------------------ */

static void
examine_directory(findings *self)
{
    struct stat status;
    if (stat(args.state, &status) != 0) {
        found(self, WITAN_FINDING_BAD, "directory", "%s: %s", args.state,
              strerror(errno));
    } else if (status.st_uid != geteuid()) {
        found(self, WITAN_FINDING_BAD, "directory",
              "belongs to user %lu, but this is user %lu; run as that user or chown it",
              (unsigned long)status.st_uid, (unsigned long)geteuid());
    } else if ((status.st_mode & 077) != 0) {
        found(self, WITAN_FINDING_BAD, "directory",
              "open to other users (mode %03o); chmod 700 %s",
              (unsigned)status.st_mode & 0777u, args.state);
    } else {
        found(self, WITAN_FINDING_GOOD, "directory", "closed to other users");
    }
}

static void
examine_keys(findings *self, const witan_overview *view)
{
    char path[WITAN_PATH_MAX], file[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    witan_diag diag = {0};
    witan_identity *identity = NULL;
    witan_status status = witan_state_path(path, args.state, "identity.key", &diag);
    if (status == WITAN_OK) {
        status = witan_secret_file_read(path, file, sizeof file, &size, &diag);
    }
    if (status == WITAN_OK) {
        status = witan_identity_parse(&identity, file, size, &diag);
    }
    witan_wipe(file, sizeof file);
    if (status != WITAN_OK) {
        found_failure(self, "keys", status, &diag);
    } else if (view != NULL && memcmp(witan_identity_public(identity)->sign,
                                      view->identity.sign, WITAN_KEY_SIZE) != 0) {
        found(self, WITAN_FINDING_BAD, "keys",
              "identity.key is not the key that clients know; put the right one back "
              "from a backup");
    } else {
        found(self, WITAN_FINDING_GOOD, "keys", "identity.key is closed and whole");
    }
    witan_identity_free(&identity);
}

/* The data are those that the experiment began with. */
static bool
same_world(const witan_world *world, const witan_overview *view, witan_ledger *ledger)
{
    char stored[WITAN_DIGEST_HEX_SIZE], hex[WITAN_DIGEST_HEX_SIZE];
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_text identity;
    witan_text_init(&identity, witan_allocator_default(), 4 * WITAN_CONFIG_BYTES_MAX);
    witan_config_identity(&view->config, &identity);
    witan_world_digest(world, &identity, digest);
    witan_text_fini(&identity);
    witan_digest_hex(hex, digest);
    return witan_overview_setting(ledger, "world", stored, sizeof stored, NULL) ==
               WITAN_OK &&
           (stored[0] == '\0' || strcmp(stored, hex) == 0);
}

/* Room for every client's soft labels of one round, a fifth to spare. */
static void
examine_disk(findings *self, const witan_overview *view, const witan_world *world)
{
    struct statvfs space;
    double needed = (double)view->config.clients * (double)world->transfer.count *
                    (double)world->train.classes * 2.0 * 1.2;
    if (statvfs(args.state, &space) != 0) {
        found(self, WITAN_FINDING_BAD, "disk", "%s", strerror(errno));
        return;
    }
    double available = (double)space.f_bavail * (double)space.f_frsize;
    found(self, available < needed ? WITAN_FINDING_BAD : WITAN_FINDING_GOOD, "disk",
          "%s free, a round needs about %s%s", witan_shown_bytes(available).text,
          witan_shown_bytes(needed).text,
          available < needed ? "; free some space" : "");
}

static void
examine_data(findings *self, const witan_overview *view, witan_ledger *ledger)
{
    witan_diag diag = {0};
    witan_world *world = witan_zalloc(witan_allocator_default(), 1, sizeof *world);
    witan_status status =
        world == NULL
            ? WITAN_E_MEMORY
            : witan_world_load(world, &view->config, witan_allocator_default(), &diag);
    if (status != WITAN_OK) {
        found_failure(self, "data", status, &diag);
    } else if (!same_world(world, view, ledger)) {
        found(
            self, WITAN_FINDING_BAD, "data",
            "they have changed since this experiment began; restore them or use a new "
            "state directory");
    } else {
        found(self, WITAN_FINDING_GOOD, "data", "%s", world->summary);
    }
    if (status == WITAN_OK) {
        examine_disk(self, view, world);
        witan_world_fini(world, witan_allocator_default());
    }
    witan_free(witan_allocator_default(), world);
}

/* Whether the port could be listened at; 0 or the system's reason. */
static int
try_port(uint16_t port)
{
    const int on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0) {
        return errno;
    }
    (void)setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int error = bind(file, (const struct sockaddr *)&any, sizeof any) == 0 ? 0 : errno;
    (void)close(file);
    return error;
}

static void
examine_port(findings *self, const witan_overview *view)
{
    witan_diag diag = {0};
    uint64_t port = 0, process = witan_state_holder(args.state);
    const char *colon = strrchr(view->endpoint, ':');
    if (colon == NULL || !witan_text_parse_u64(colon + 1, &port) || port > 65535) {
        found(self, WITAN_FINDING_WARNING, "port",
              "no address is known yet; start witan coordinator once");
        return;
    }
    if (process != 0) {
        witan_status status = witan_endpoint_reach(view->endpoint, REACH_MS, &diag);
        found(self, status == WITAN_OK ? WITAN_FINDING_GOOD : WITAN_FINDING_BAD, "port",
              status == WITAN_OK
                  ? "the coordinator (process %llu) answers at %s"
                  : "the coordinator (process %llu) runs, but nothing answers at %s; "
                    "see --advertise, firewall and routing",
              (unsigned long long)process, view->endpoint);
        return;
    }
    int error = try_port((uint16_t)port);
    if (error == 0) {
        found(self, WITAN_FINDING_GOOD, "port",
              "%llu is free; the coordinator does not run", (unsigned long long)port);
    } else {
        found(self, WITAN_FINDING_BAD, "port",
              "%llu: %s; stop the program that uses it (ss -ltnp), or choose another "
              "--listen",
              (unsigned long long)port, strerror(error));
    }
}

static void
examine_files(findings *self, const witan_overview *view)
{
    struct rlimit limit = {0};
    unsigned long long needed = 2ull * view->config.clients + FILES_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        found(self, WITAN_FINDING_WARNING, "files", "%s", strerror(errno));
        return;
    }
    /* The coordinator raises its own limit as far as it may. */
    bool enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= needed;
    found(self, enough ? WITAN_FINDING_GOOD : WITAN_FINDING_BAD, "files",
          "%llu may be open here, %zu clients need %llu%s",
          (unsigned long long)limit.rlim_max, view->config.clients, needed,
          enough ? "" : "; raise ulimit -Hn, or LimitNOFILE of the unit");
}

static void
examine_clock(findings *self, const witan_overview *view, witan_ledger *ledger,
              uint64_t now_s)
{
    char stamp[WITAN_STAMP_MAX], latest[WITAN_STAMP_MAX];
    uint64_t newest = 0;
    size_t count = 0;
    witan_event_row *event = NULL;
    if (witan_ledger_events(ledger, 1, &event, &count, NULL) == WITAN_OK && count > 0) {
        newest = event[0].at_s;
    }
    witan_free(witan_allocator_default(), event);
    for (size_t i = 0; i < view->members_count; i++) {
        uint64_t seen = view->members[i].peer.seen_s;
        newest = seen > newest ? seen : newest;
    }
    witan_stamp(stamp, now_s);
    witan_stamp(latest, newest);
    if (now_s < year_2025_s) {
        found(self, WITAN_FINDING_BAD, "clock",
              "shows %s; set it, or invitations do not expire when they should", stamp);
    } else if (newest > now_s + CLOCK_SLACK_S) {
        found(self, WITAN_FINDING_WARNING, "clock",
              "shows %s, but the ledger has an entry of %s; set it, or invitations do "
              "not expire when they should",
              stamp, latest);
    } else {
        found(self, WITAN_FINDING_GOOD, "clock", "shows %s", stamp);
    }
}

static void
examine_members(findings *self, const witan_overview *view)
{
    size_t approved = witan_overview_count(view, WITAN_PEER_APPROVED, false);
    size_t pending = witan_overview_count(view, WITAN_PEER_PENDING, false);
    bool short_of_clients =
        approved + pending + view->open_count < view->config.round.minimum_clients;
    found(self,
          short_of_clients || pending > 0 ? WITAN_FINDING_WARNING : WITAN_FINDING_GOOD,
          "members", "%zu approved, %zu to approve, %zu invited, of %zu seats%s",
          approved, pending, view->open_count, view->config.clients,
          short_of_clients ? "; too few for a round: witan invite"
          : pending > 0    ? "; witan peers approve"
                           : "");
}

static void
examine_coordinator(findings *self)
{
    uint64_t now_s = witan_wall_s(NULL);
    witan_diag diag = {0};
    witan_ledger *ledger = NULL;
    witan_overview view = {0};
    examine_directory(self);
    /* Opened as the coordinator does at its start: every page is checked. */
    witan_status status =
        witan_ledger_open(&ledger, args.state, true, witan_allocator_default(), &diag);
    if (status == WITAN_OK) {
        status = witan_overview_load(&view, ledger, now_s, &diag);
    }
    examine_keys(self, status == WITAN_OK ? &view : NULL);
    if (status != WITAN_OK) {
        found_failure(self, "ledger", status, &diag);
    } else {
        found(self, WITAN_FINDING_GOOD, "ledger", "whole; %zu of %zu rounds%s",
              view.rounds_count, view.config.rounds, view.finished ? ", finished" : "");
        found(self, WITAN_FINDING_GOOD, "experiment", "%s, %zu seats", view.config.name,
              view.config.clients);
        examine_data(self, &view, ledger);
        examine_port(self, &view);
        examine_files(self, &view);
        examine_clock(self, &view, ledger, now_s);
        examine_members(self, &view);
        witan_overview_fini(&view);
    }
    witan_ledger_close(&ledger);
}

/* --- output ----------------------------------------------------------------------- */

static const char *
level_text(const witan_finding *item)
{
    return item->level == WITAN_FINDING_BAD       ? "bad"
           : item->level == WITAN_FINDING_WARNING ? "warning"
                                                  : "ok";
}

static void
tell(witan_text *out, const findings *self, size_t bad)
{
    witan_json_open(out, NULL, "{");
    witan_json_flag(out, "good", bad == 0);
    witan_json_open(out, "findings", "[");
    for (size_t i = 0; i < self->count; i++) {
        witan_json_open(out, NULL, "{");
        witan_json_text(out, "level", level_text(&self->items[i]));
        witan_json_text(out, "what", self->items[i].what);
        witan_json_text(out, "text", self->items[i].text);
        witan_json_close(out, "}");
    }
    witan_json_close(out, "]}\n");
}

int
witan_command_doctor(int argc, char **argv)
{
    int code;
    size_t bad = 0;
    witan_diag diag = {0};
    witan_state_kind kind;
    witan_text text;
    static findings list;
    if (!witan_usage_read(&usage, argc, argv, &code)) {
        return code;
    }
    witan_status status = witan_state_kind_of(&kind, args.state, &diag);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    if (kind == WITAN_STATE_COORDINATOR) {
        examine_coordinator(&list);
    } else {
        witan_node_options node = {.directory = args.state,
                                   .clock = witan_clock_monotonic(),
                                   .wall_s = witan_wall_s};
        witan_node_examine(&node, list.items, &list.count, witan_allocator_default());
    }
    for (size_t i = 0; i < list.count; i++) {
        bad += list.items[i].level == WITAN_FINDING_BAD;
    }
    witan_text_init(&text, witan_allocator_default(), (size_t)1 << 20);
    if (args.json) {
        tell(&text, &list, bad);
    } else {
        for (size_t i = 0; i < list.count; i++) {
            witan_text_format(&text, "%-8s %-13s %s\n", level_text(&list.items[i]),
                              list.items[i].what, list.items[i].text);
        }
    }
    status = witan_print_result(&text, &diag);
    witan_text_fini(&text);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    return bad == 0 ? 0 : 1;
}
