/* invite_command.c - `witan invite`: the line that admits a client. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/options.h"
#include "cli/overview.h"
#include "cli/terminal.h"
#include "coordinator/shell/invite.h"

static struct {
    char *name;
    const char *state, *endpoint;
    uint64_t ttl_s, client;
    bool confirm, replace;
} args = {.ttl_s = 24 * 3600, .client = WITAN_SEAT_ANY};

static const witan_option options[] = {
    WITAN_OPTION_STATE(&args.state),
    {.name = "ttl", .kind = WITAN_OPTION_DURATION, .value = &args.ttl_s},
    {.name = "client",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.client,
     .high = (double)WITAN_CLIENTS_MAX - 1},
    {.name = "confirm", .kind = WITAN_OPTION_FLAG, .value = &args.confirm},
    {.name = "replace", .kind = WITAN_OPTION_FLAG, .value = &args.replace},
    {.name = "endpoint", .kind = WITAN_OPTION_TEXT, .value = &args.endpoint},
};

static const witan_usage usage = {
    .command = "witan invite",
    .help =
        "usage: witan invite NAME --state DIR [--ttl TIME] [--client N] [--confirm]\n"
        "                    [--replace] [--endpoint tcp://HOST:PORT]\n\n"
        "Prints one join line, with which one client can enrol once under this name.\n"
        "Works while the coordinator runs. The line is a secret until it is used: send "
        "it\n"
        "where nobody else reads it, and only it.\n\n"
        "  NAME                letters, digits, dots, dashes and underscores\n"
        "  --state DIR         the coordinator's state directory\n"
        "  --ttl TIME          how long the line can be used: 90s, 30m, 24h, 7d\n"
        "                      (default 24h; 1 minute to 365 days)\n"
        "  --client N          reserve client number N (default: the first free one)\n"
        "  --confirm           the client then waits for witan peers approve NAME\n"
        "  --replace           withdraw a line for this name that was not used yet\n"
        "  --endpoint E        where this client reaches the coordinator, when that "
        "is\n"
        "                      not what the others use\n\n"
        "Examples:\n"
        "  witan invite site-a --state coordinator-state\n"
        "  witan invite site-b --state coordinator-state --ttl 7d --confirm > "
        "line.txt\n"
        "  witan invite site-a --state coordinator-state --replace\n\n"
        "Exit codes: 0 done, 1 failed (name taken, no seat free), 2 usage, 3 damaged "
        "state.\n",
    .options = options,
    .options_count = sizeof options / sizeof options[0],
    .argument = "NAME",
    .argument_required = true,
    .value = &args.name,
};

static void
explain(void)
{
    (void)fprintf(
        stderr,
        "On the client's machine: witan join 'LINE' --data PATH. It works once, "
        "for %s from now%s.\n",
        witan_age_of(0, args.ttl_s).text,
        args.confirm ? ", and the client then waits for witan peers approve" : "");
}

int
witan_command_invite(int argc, char **argv)
{
    int code;
    witan_diag diag = {0};
    witan_ledger *ledger = NULL;
    char line[WITAN_JOIN_LINE_MAX] = "";
    if (!witan_usage_read(&usage, argc, argv, &code)) {
        return code;
    }
    witan_status status = witan_peer_name_check(args.name, &diag);
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(&diag, "%s", args.name);
        return witan_fail(&diag, status);
    }
    status =
        witan_ledger_open(&ledger, args.state, false, witan_allocator_default(), &diag);
    if (status == WITAN_OK) {
        witan_invite_options invitation = {
            .name = args.name,
            .ttl_s = args.ttl_s,
            .seat = (uint32_t)args.client,
            .confirm = args.confirm,
            .replace = args.replace,
            .endpoint = args.endpoint,
            .now_s = witan_wall_s(NULL),
        };
        status = witan_invite(ledger, &invitation, line, &diag);
    }
    witan_ledger_close(&ledger);
    if (status == WITAN_OK) {
        status = witan_print_secret(line);
        status = status == WITAN_OK ? witan_print_secret("\n") : status;
        if (status != WITAN_OK) {
            (void)witan_diag_fail(&diag, status,
                                  "cannot write the line to standard output; make "
                                  "another one with --replace");
        }
    }
    witan_wipe(line, sizeof line);
    if (status != WITAN_OK) {
        return witan_fail(&diag, status);
    }
    explain();
    return 0;
}
