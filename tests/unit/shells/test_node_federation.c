/* test_node_federation.c - a coordinator and two clients as processes on 127.0.0.1 must
 * exchange what the simulator exchanges, bit for bit, also when a client is killed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/shell/node.h"
#include "coordinator/shell/invite.h"
#include "coordinator/shell/server.h"
#include "sim/simulation.h"
#include "store/file.h"
#include "support/witan_test.h"

enum {
    CLIENTS = 2,
    ROUNDS = 3,
    LIMIT_S = 60
};

static uint64_t
monotonic_ns(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t
wall_s(void *context)
{
    (void)context;
    return (uint64_t)time(NULL);
}

static const witan_clock clock_of_test = {monotonic_ns, NULL};

static void
say(void *context, const char *line)
{
    if (getenv("WITAN_TEST_VERBOSE") != NULL) {
        (void)fprintf(stderr, "%s: %s\n", (const char *)context, line);
    }
}

static void
write_log(void *context, witan_log_level level, const char *id, const char *text)
{
    if (getenv("WITAN_TEST_VERBOSE") != NULL) {
        (void)fprintf(stderr, "%s: %d %s %s\n", (const char *)context, (int)level, id,
                      text);
    }
}

static void
make_config(witan_config *config, const char *const *settings)
{
    witan_diag diag = {0};
    if (witan_config_init(config, witan_allocator_default()) != WITAN_OK) {
        abort();
    }
    for (size_t i = 0; settings[i] != NULL; i++) {
        if (witan_config_set(config, settings[i], witan_allocator_default(), &diag) !=
            WITAN_OK) {
            (void)fprintf(stderr, "%s\n", diag.message);
            abort();
        }
    }
}

/* --- processes -------------------------------------------------------------------- */

static char federation[512]; /* the directory of all */

static void
path_of(char *out, size_t room, const char *name)
{
    (void)snprintf(out, room, "%s/%s", federation, name);
}

/* Writes the join lines to `out`, then serves; never returns. */
static void
serve(const char *const *settings, int out)
{
    char directory[600];
    witan_config config;
    witan_server *server = NULL;
    witan_ledger *ledger = NULL;
    witan_diag diag = {0};
    path_of(directory, sizeof directory, "coordinator");
    make_config(&config, settings);
    const witan_log log = {write_log, (void *)(uintptr_t) "coordinator",
                           WITAN_LOG_DEBUG};
    const witan_server_options options = {
        .log = &log,
        .directory = directory,
        .listen = "tcp://127.0.0.1:*",
        .config = &config,
        .heartbeat_ms = 1000,
        .say = say,
        .context = (void *)(uintptr_t) "coordinator",
        .clock = &clock_of_test,
        .wall_s = wall_s,
    };
    witan_status status =
        witan_server_new(&server, &options, witan_allocator_default(), &diag);
    if (status == WITAN_OK) {
        status = witan_ledger_open(&ledger, directory, false, witan_allocator_default(),
                                   &diag);
    }
    for (uint32_t n = 0; n < CLIENTS && status == WITAN_OK; n++) {
        char line[WITAN_JOIN_LINE_MAX], name[16];
        (void)snprintf(name, sizeof name, "site-%u", (unsigned)n);
        const witan_invite_options invite = {.name = name,
                                             .ttl_s = 600,
                                             .seat = n,
                                             .endpoint = witan_server_endpoint(server),
                                             .now_s = wall_s(NULL)};
        memset(line, 0, sizeof line);
        status = witan_invite(ledger, &invite, line, &diag);
        if (write(out, line, sizeof line) != (ssize_t)sizeof line) {
            status = WITAN_E_IO;
        }
    }
    (void)close(out);
    witan_ledger_close(&ledger);
    if (status == WITAN_OK) {
        status = witan_server_run(server, &diag);
    }
    if (status != WITAN_OK) {
        (void)fprintf(stderr, "coordinator: %s\n", diag.message);
    }
    witan_server_free(&server);
    _exit((int)status);
}

static witan_node_options
node_options(const char *directory)
{
    return (witan_node_options){
        .directory = directory,
        .say = say,
        .context = (void *)(uintptr_t)directory,
        .clock = &clock_of_test,
        .wall_s = wall_s,
    };
}

/* Never returns. */
static void
take_part(const char *directory)
{
    witan_diag diag = {0};
    const witan_node_options options = node_options(directory);
    witan_status status = witan_node_run(&options, witan_allocator_default(), &diag);
    if (status != WITAN_OK) {
        (void)fprintf(stderr, "%s: %s\n", directory, diag.message);
    }
    _exit((int)status);
}

static pid_t
start_client(const char *directory)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        take_part(directory);
    }
    return pid;
}

/* Exit code of a process; killed when it takes too long. */
static int
wait_for(pid_t pid)
{
    int status = 0;
    for (int i = 0; i < LIMIT_S * 100; i++) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        }
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    return -1;
}

/* --- the two worlds --------------------------------------------------------------- */

/* Digests of the rounds as the simulator exchanges them. */
static void
simulate(char digests[ROUNDS][65], const char *const *settings)
{
    witan_config config;
    witan_simulation *simulation = NULL;
    witan_diag diag = {0};
    char directory[600], path[700];
    path_of(directory, sizeof directory, "simulation");
    CHECK_STATUS(witan_directory_make(directory, &diag), WITAN_OK);
    make_config(&config, settings);
    const witan_simulation_options options = {
        .threads = 1, .directory = directory, .refresh_ms = 20};
    CHECK_STATUS(witan_simulation_new(&simulation, &config, &options,
                                      witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STATUS(witan_simulation_run(simulation, &diag), WITAN_OK);
    witan_simulation_free(&simulation);
    witan_config_fini(&config, witan_allocator_default());
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", directory);
    char *metrics = witan_test_read(path, NULL), *at = metrics;
    for (size_t line = 0; line < ROUNDS * CLIENTS; line++) {
        at = at == NULL ? NULL : strstr(at, "\"exchange\":\"");
        CHECK(at != NULL);
        if (at == NULL) {
            break;
        }
        at += strlen("\"exchange\":\"");
        memcpy(digests[line / CLIENTS], at, 64);
        digests[line / CLIENTS][64] = '\0';
    }
    free(metrics);
}

static void
check_ledger(char digests[ROUNDS][65])
{
    char directory[600], hex[65];
    witan_ledger *ledger = NULL;
    witan_round_row *rows = NULL;
    size_t count = 0;
    witan_diag diag = {0};
    path_of(directory, sizeof directory, "coordinator");
    CHECK_STATUS(
        witan_ledger_open(&ledger, directory, false, witan_allocator_default(), &diag),
        WITAN_OK);
    CHECK_STATUS(witan_ledger_rounds(ledger, &rows, &count, &diag), WITAN_OK);
    CHECK(count == ROUNDS);
    for (size_t r = 0; r < count && r < ROUNDS; r++) {
        witan_digest_hex(hex, rows[r].exchange);
        CHECK_STRING(hex, digests[r]);
        CHECK(rows[r].answered == CLIENTS);
    }
    witan_free(witan_allocator_default(), rows);
    witan_ledger_close(&ledger);
}

/* Kills a client once its state has changed for the `nth` time. */
static void
kill_after_states(pid_t pid, const char *directory, int states)
{
    char path[700];
    struct timespec pause = {0, 2000000};
    (void)snprintf(path, sizeof path, "%s/state.safetensors", directory);
    char *before = NULL;
    size_t before_size = 0;
    for (int i = 0; i < 5000 && states > 0; i++) {
        size_t size = 0;
        char *now = witan_test_read(path, &size);
        if (now != NULL &&
            (before == NULL || size != before_size || memcmp(now, before, size) != 0)) {
            states--;
            free(before);
            before = now;
            before_size = size;
        } else {
            free(now);
        }
        (void)nanosleep(&pause, NULL);
    }
    free(before);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void
start_federation(const char *name, const char *const *settings, pid_t *server,
                 char lines[CLIENTS][WITAN_JOIN_LINE_MAX])
{
    int out[2];
    (void)snprintf(federation, sizeof federation, "%s", witan_test_path(name));
    witan_diag diag = {0};
    CHECK_STATUS(witan_directory_make(federation, &diag), WITAN_OK);
    CHECK(pipe(out) == 0);
    (void)fflush(NULL);
    *server = fork();
    if (*server == 0) {
        (void)close(out[0]);
        serve(settings, out[1]);
    }
    (void)close(out[1]);
    size_t got = 0, wanted = CLIENTS * WITAN_JOIN_LINE_MAX;
    ssize_t more = 1;
    while (got < wanted && more > 0) {
        more = read(out[0], &lines[0][0] + got, wanted - got);
        got += more > 0 ? (size_t)more : 0;
    }
    CHECK(got == wanted);
    (void)close(out[0]);
}

static witan_status
enrol(const char *directory, const char *text, witan_enrolment *out, witan_diag *diag)
{
    witan_join_line line;
    witan_node_settings settings = {.test_fraction = 0.2};
    const witan_node_options options = node_options(directory);
    CHECK_STATUS(witan_join_line_parse(&line, text, strlen(text), diag), WITAN_OK);
    return witan_node_enrol(&options, &line, &settings, out, witan_allocator_default(),
                            diag);
}

static void
compare(const char *name, const char *const *settings, int kill_after)
{
    char lines[CLIENTS][WITAN_JOIN_LINE_MAX], digests[ROUNDS][65];
    char directory[CLIENTS][600], path[1300];
    pid_t server = 0, client[CLIENTS];
    start_federation(name, settings, &server, lines);
    for (uint32_t n = 0; n < CLIENTS; n++) {
        witan_enrolment enrolment;
        witan_diag diag = {0};
        (void)snprintf(directory[n], sizeof directory[n], "%s/client-%u", federation,
                       (unsigned)n);
        CHECK_STATUS(enrol(directory[n], lines[n], &enrolment, &diag), WITAN_OK);
        CHECK_STRING(diag.message, "");
        CHECK(enrolment.client == n && enrolment.approved);
        /* Once more with the same line: the same seat. */
        CHECK_STATUS(enrol(directory[n], lines[n], &enrolment, &diag), WITAN_OK);
        CHECK(enrolment.client == n);
    }
    for (uint32_t n = 0; n < CLIENTS; n++) {
        client[n] = start_client(directory[n]);
    }
    if (kill_after != 0) {
        kill_after_states(client[0], directory[0], kill_after);
        client[0] = start_client(directory[0]);
    }
    for (uint32_t n = 0; n < CLIENTS; n++) {
        CHECK_STATUS(wait_for(client[n]), WITAN_OK);
        (void)snprintf(path, sizeof path, "%s/model.safetensors", directory[n]);
        CHECK(witan_path_exists(path));
    }
    CHECK_STATUS(wait_for(server), WITAN_OK);
    simulate(digests, settings);
    check_ledger(digests);
    /* The final models are the simulator's files. */
    for (uint32_t n = 0; n < CLIENTS; n++) {
        size_t size = 0, expected_size = 0;
        (void)snprintf(path, sizeof path, "%s/model.safetensors", directory[n]);
        char *model = witan_test_read(path, &size);
        (void)snprintf(path, sizeof path,
                       "%s/simulation/models/client-%04u.safetensors", federation,
                       (unsigned)n);
        char *expected = witan_test_read(path, &expected_size);
        CHECK(model != NULL && expected != NULL && size == expected_size &&
              memcmp(model, expected, size) == 0);
        free(model);
        free(expected);
    }
}

#define SMALL                                                                          \
    "rounds=3", "clients=2", "data.limit=500", "transfer.samples=60",                  \
        "save.seconds=1000", "round.absence=0", "round.minimum_clients=2"

static void
knowledge_is_the_simulators(void)
{
    static const char *const settings[] = {SMALL, "models=linear,mlp(8)", NULL};
    compare("knfu", settings, 0);
}

static void
parameters_are_the_simulators(void)
{
    static const char *const settings[] = {SMALL, "models=mlp(8)", "fusion.key=fedavg",
                                           "local.optimizer.key=adam", NULL};
    compare("fedavg", settings, 0);
}

static void
a_killed_client_goes_on(void)
{
    static const char *const settings[] = {SMALL,
                                           "models=linear,mlp(8)",
                                           "fusion.combine=logit",
                                           "extract.codec=f32",
                                           "local.optimizer.momentum=0.9",
                                           NULL};
    compare("killed_waiting", settings, 1);
    compare("killed_idle", settings, 2);
    compare("killed_later", settings, 3);
}

int
main(void)
{
    if (witan_secure_start(NULL) != WITAN_OK) {
        return 1;
    }
    RUN(knowledge_is_the_simulators);
    RUN(parameters_are_the_simulators);
    RUN(a_killed_client_goes_on);
    return witan_test_finish();
}
