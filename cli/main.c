/* main.c - the program `witan`: one table of subcommands. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "num/cpu.h"
#include "secure/secret.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
    const char *group; /* where a group of commands begins */
    bool secrets;      /* handles keys: starts the secure room, leaves no core dump */
} commands[] = {
    {"sim", witan_command_sim, "simulate many clients", "On one machine", false},
    {"data", witan_command_data, "look at a data set, or split it among clients", NULL,
     false},
    {"canary", witan_command_canary, "draw canaries to plant, to see what leaks",
     "What leaks", false},
    {"audit", witan_command_audit, "what a run gave away, as table, page and gate",
     NULL, false},
    {"epsilon", witan_command_epsilon, "what noise promises, before it is used", NULL,
     false},
    {"coordinator", witan_command_coordinator, "serve an experiment to clients",
     "On the coordinator's machine", true},
    {"invite", witan_command_invite, "print the line that admits one client", NULL,
     true},
    {"peers", witan_command_peers, "list, approve and revoke clients", NULL, true},
    {"join", witan_command_join, "enrol with such a line, then take part",
     "On each client's machine", true},
    {"client", witan_command_client, "take part again", NULL, true},
    {"status", witan_command_status, "what is going on", "On both", true},
    {"doctor", witan_command_doctor, "what is wrong, and what to do", NULL, true},
};

enum {
    COMMANDS = sizeof commands / sizeof commands[0]
};

static void
print_help(FILE *stream)
{
    (void)fprintf(stream,
                  "witan %s - federated knowledge distillation\n"
                  "usage: witan COMMAND [ARGUMENTS]\n",
                  WITAN_VERSION);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].group != NULL) {
            (void)fprintf(stream, "\n%s:\n", commands[i].group);
        }
        (void)fprintf(stream, "  %-12s %s\n", commands[i].name, commands[i].help);
    }
    (void)fprintf(
        stream,
        "\nTry this first, it needs nothing else:  witan sim --reference local\n"
        "`witan COMMAND --help` tells more. `witan --version` tells which kernels "
        "run.\n"
        "Exit codes: 0 done, 1 failed, 2 usage or config, 3 bad data, 4 an audit's\n"
        "threshold was crossed, 5 refused, 6 no answer, 130 interrupted.\n");
}

static void
print_version(void)
{
    bool pinned = false;
    bool below = witan_blas_is_below_cpu(&pinned);
    (void)printf("witan %s\nkernels: %s\nBLAS: OpenBLAS %s (%s)\n", WITAN_VERSION,
                 witan_isa_name(witan_cpu_isa()), witan_blas_core(),
                 witan_blas_config());
    if (below) {
        (void)printf(
            "note: OpenBLAS runs below what this processor has%s, at about half "
            "the speed\n",
            pinned ? " because OPENBLAS_CORETYPE pins it" : "");
    }
}

/* A standard stream that is closed would lend its number to the first file of the run,
 * and what is printed would end up in it. Opened the wrong way round, use fails. */
static void
occupy_closed_streams(void)
{
    for (int stream = 0; stream <= 2; stream++) {
        if (fcntl(stream, F_GETFD) == -1) {
            (void)open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}

int
main(int argc, char **argv)
{
    witan_diag diag = {0};
    occupy_closed_streams();
    (void)setlocale(LC_CTYPE, ""); /* UTF-8 or not; numbers stay in the C locale */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error, not a death */
    witan_blas_set_single_threaded();
    if (argc < 2) {
        print_help(stderr);
        return witan_status_exit_code(WITAN_E_CONFIG);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        print_version();
        return 0;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            witan_status status = WITAN_OK;
            if (commands[i].secrets) {
                (void)umask(077); /* state directories are for their owner */
                status = witan_secure_start(&diag);
            }
            if (status != WITAN_OK) {
                return witan_fail(&diag, status);
            }
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
    }
    const char *nearest = witan_text_nearest(argv[1], names, COMMANDS);
    (void)fprintf(stderr, "witan: %s: unknown command%s%s%s; see witan --help\n",
                  argv[1], nearest == NULL ? "" : ", did you mean ",
                  nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
    return witan_status_exit_code(WITAN_E_CONFIG);
}
