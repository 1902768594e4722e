/* node_host.h - federations of processes for the tests of nodes: a coordinator and
 * clients, forked from the test, on ports of the system's choice. */
#ifndef WITAN_TEST_NODE_HOST_H
#define WITAN_TEST_NODE_HOST_H

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/shell/node.h"
#include "coordinator/shell/invite.h"
#include "coordinator/shell/server.h"
#include "store/file.h"
#include "store/ledger.h"
#include "support/witan_test.h"

enum {
    HOST_PATH = 1024,
    HOST_LIMIT_S = 60
};

/* snprintf that must fit. */
static inline void host_print(char *out, size_t room, const char *format, ...)
    WITAN_PRINTF(3, 4);
static inline void
host_print(char *out, size_t room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, room, format, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t)length < room);
}

static inline uint64_t
host_monotonic_ns(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t
host_wall_s(void *context)
{
    (void)context;
    return (uint64_t)time(NULL);
}

static const witan_clock host_clock = {host_monotonic_ns, NULL};
static volatile sig_atomic_t host_stops; /* of a child: counts SIGTERM */

static inline void
host_stop(int number)
{
    (void)number;
    host_stops = host_stops + 1;
}

static inline void
host_pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Lines of a process go to the file that is its context; WITAN_TEST_VERBOSE shows
 * them. */
static inline void
host_say(void *context, const char *line)
{
    FILE *file = context == NULL ? NULL : fopen(context, "a");
    if (file != NULL) {
        (void)fprintf(file, "%s\n", line);
        (void)fclose(file);
    }
    if (getenv("WITAN_TEST_VERBOSE") != NULL) {
        (void)fprintf(stderr, "%s: %s\n", (const char *)context, line);
    }
}

static inline void
host_config(witan_config *config, const char *const *settings)
{
    witan_diag diag = {0};
    CHECK_STATUS(witan_config_init(config, witan_allocator_default()), WITAN_OK);
    for (size_t i = 0; settings[i] != NULL; i++) {
        CHECK_STATUS(
            witan_config_set(config, settings[i], witan_allocator_default(), &diag),
            WITAN_OK);
    }
    CHECK_STRING(diag.message, "");
}

typedef struct host {
    char root[HOST_PATH / 4]; /* the directory of all */
    char coordinator[HOST_PATH / 2], coordinator_lines[HOST_PATH];
    char endpoint[WITAN_ENDPOINT_MAX + 1]; /* as invited */
    const char *const *settings;
    pid_t server;
} host;

/* Child: serves at `listen`, telling its endpoint through `out`; never returns. */
static inline void
host_serve(const host *self, const char *listen, int out)
{
    witan_config config;
    witan_server *server = NULL;
    witan_diag diag = {0};
    (void)signal(SIGTERM, host_stop);
    host_config(&config, self->settings);
    const witan_server_options options = {
        .directory = self->coordinator,
        .listen = listen,
        .config = &config,
        .heartbeat_ms = 1000,
        .stops = &host_stops,
        .say = host_say,
        .context = (void *)(uintptr_t)self->coordinator_lines,
        .clock = &host_clock,
        .wall_s = host_wall_s,
    };
    witan_status status =
        witan_server_new(&server, &options, witan_allocator_default(), &diag);
    if (status == WITAN_OK) {
        char endpoint[WITAN_ENDPOINT_MAX + 1] = {0};
        host_print(endpoint, sizeof endpoint, "%s", witan_server_endpoint(server));
        if (write(out, endpoint, sizeof endpoint) != (ssize_t)sizeof endpoint) {
            status = WITAN_E_IO;
        }
    }
    (void)close(out);
    if (status == WITAN_OK) {
        status = witan_server_run(server, &diag);
    }
    if (status != WITAN_OK && status != WITAN_E_INTERRUPTED) {
        (void)fprintf(stderr, "coordinator: %s\n", diag.message);
    }
    witan_server_free(&server);
    exit((int)status); /* with the look for leaks */
}

/* Starts (or, with its old endpoint, starts again) the coordinator. */
static inline void
host_start_server(host *self)
{
    int out[2];
    char endpoint[WITAN_ENDPOINT_MAX + 1] = {0};
    CHECK(pipe(out) == 0);
    (void)fflush(NULL);
    self->server = fork();
    if (self->server == 0) {
        (void)close(out[0]);
        host_serve(self,
                   self->endpoint[0] != '\0' ? self->endpoint : "tcp://127.0.0.1:*",
                   out[1]);
    }
    (void)close(out[1]);
    CHECK(read(out[0], endpoint, sizeof endpoint) == (ssize_t)sizeof endpoint);
    (void)close(out[0]);
    memcpy(self->endpoint, endpoint, sizeof endpoint);
}

static inline void
host_start(host *self, const char *name, const char *const *settings)
{
    witan_diag diag = {0};
    memset(self, 0, sizeof *self);
    host_print(self->root, sizeof self->root, "%s", witan_test_path(name));
    host_print(self->coordinator, sizeof self->coordinator, "%s/coordinator",
               self->root);
    host_print(self->coordinator_lines, sizeof self->coordinator_lines,
               "%s/coordinator.txt", self->root);
    self->settings = settings;
    CHECK_STATUS(witan_directory_make(self->root, &diag), WITAN_OK);
    host_start_server(self);
}

static inline witan_ledger *
host_ledger(const host *self)
{
    witan_ledger *ledger = NULL;
    witan_diag diag = {0};
    CHECK_STATUS(witan_ledger_open(&ledger, self->coordinator, false,
                                   witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    return ledger;
}

/* Exit code of a process; -1: it was killed because it took too long. */
static inline int
host_wait(pid_t pid)
{
    int status = 0;
    for (int i = 0; i < HOST_LIMIT_S * 100; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        }
        host_pause_ms(10);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    return -1;
}

static inline int
host_stop_process(pid_t pid, int number)
{
    (void)kill(pid, number);
    return host_wait(pid);
}

/* --- clients ---------------------------------------------------------------------- */

typedef struct host_client {
    char directory[HOST_PATH / 2], lines[HOST_PATH];
    pid_t pid;
} host_client;

static inline witan_node_options
host_node_options(const host_client *self)
{
    return (witan_node_options){
        .directory = self->directory,
        .stops = &host_stops,
        .say = host_say,
        .context = (void *)(uintptr_t)self->lines,
        .clock = &host_clock,
        .wall_s = host_wall_s,
    };
}

/* An invitation for seat n as a line. */
static inline void
host_invite(const host *self, uint32_t n, bool confirm, char line[WITAN_JOIN_LINE_MAX])
{
    witan_diag diag = {0};
    char name[16];
    witan_ledger *ledger = host_ledger(self);
    host_print(name, sizeof name, "site-%u", (unsigned)n);
    const witan_invite_options invite = {.name = name,
                                         .ttl_s = 600,
                                         .seat = n,
                                         .confirm = confirm,
                                         .replace = true,
                                         .endpoint = self->endpoint,
                                         .now_s = host_wall_s(NULL)};
    CHECK_STATUS(witan_invite(ledger, &invite, line, &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    witan_ledger_close(&ledger);
}

static inline void
host_place(const host *self, uint32_t n, host_client *out)
{
    memset(out, 0, sizeof *out);
    host_print(out->directory, sizeof out->directory, "%s/client-%u", self->root,
               (unsigned)n);
    host_print(out->lines, sizeof out->lines, "%s.txt", out->directory);
}

static inline witan_status
host_enrol(const host_client *self, const char *text,
           const witan_node_settings *settings, witan_enrolment *out, witan_diag *diag)
{
    witan_join_line line;
    const witan_node_settings plain = {.test_fraction = 0.2};
    const witan_node_options options = host_node_options(self);
    CHECK_STATUS(witan_join_line_parse(&line, text, strlen(text), diag), WITAN_OK);
    return witan_node_enrol(&options, &line, settings != NULL ? settings : &plain, out,
                            witan_allocator_default(), diag);
}

/* Invites and enrols client n. */
static inline void
host_join(const host *self, uint32_t n, const witan_node_settings *settings,
          host_client *out)
{
    char line[WITAN_JOIN_LINE_MAX];
    witan_enrolment enrolment;
    witan_diag diag = {0};
    host_place(self, n, out);
    host_invite(self, n, false, line);
    CHECK_STATUS(host_enrol(out, line, settings, &enrolment, &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(enrolment.client == n && enrolment.approved);
}

static inline void
host_start_client(host_client *self)
{
    (void)fflush(NULL);
    self->pid = fork();
    if (self->pid != 0) {
        return;
    }
    witan_diag diag = {0};
    const witan_node_options options = host_node_options(self);
    (void)signal(SIGTERM, host_stop);
    witan_status status = witan_node_run(&options, witan_allocator_default(), &diag);
    if (status != WITAN_OK) {
        host_say(self->lines, diag.message);
    }
    exit((int)status); /* with the look for leaks */
}

/* Waits until a process has said something with `part`, `times` times. */
static inline bool
host_said(const char *lines, const char *part, int times)
{
    for (int i = 0; i < HOST_LIMIT_S * 50; i++) {
        char *text = witan_test_read(lines, NULL);
        int seen = 0;
        for (const char *at = text; at != NULL && (at = strstr(at, part)) != NULL;
             at++) {
            seen++;
        }
        free(text);
        if (seen >= times) {
            return true;
        }
        host_pause_ms(20);
    }
    return false;
}

#endif
