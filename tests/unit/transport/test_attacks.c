/* test_attacks.c - peers that mean harm, against a door in a process of its own, whose
 * memory and processor time are its own. Each prints what it measured and holds it
 * against a bound. WITAN_LONG=1: 9,000 half-open connections instead of 2,000, and
 * attacks that take half a minute. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "curve_peer.h"
#include "support/witan_test.h"
#include "transport/socket.h"

enum {
    MESSAGE = 1 << 17,
    CHUNK = 1 << 16,
    UNREAD = 8 << 20,
    TIGHT = 3 << 20, /* about what 10 frames and 1.5 MiB are */
    WAIT_MS = 5000,
    FRAME_OVERHEAD = 35, /* of ZMTP and CURVE, for a small frame */
    COORDINATOR_FRAMES = 100,
    LONGEST_HEARTBEAT_MS = 11000 /* longer than what the door once had */
};
static const double RSS_SLACK_MB = 32;

/* Memory of a sanitized program says nothing about libzmq's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool rss_counts = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static const bool rss_counts = false;
#else
static const bool rss_counts = true;
#endif
#else
static const bool rss_counts = true;
#endif

/* ---- a door in a child process ---- */

typedef struct attack_settings {
    size_t connections_max;
    rlim_t files_max; /* 0: as they are */
    bool files_used;  /* takes every descriptor that is left */
    bool deaf;        /* reads nothing until told to */
    bool tight;       /* the smallest bound on unread bytes, TIGHT */
} attack_settings;

typedef struct attack_report {
    double growth_mb; /* peak of resident memory since the door was opened */
    double cpu_seconds;
    witan_door_counts counts;
    uint32_t first_route;
    uint32_t pushed; /* frames of CHUNK bytes that a queue took */
} attack_report;

typedef struct attack_server {
    pid_t process;
    int orders, reports; /* pipes */
    test_keys keys, honest, rogue;
    char endpoint[128];
} attack_server;

static double
peak_mb(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

/* Answers each frame with itself; "push" with chunks until the queue is full. */
static void
serve_frame(witan_door *door, const witan_door_frame *frame, attack_report *report)
{
    static const uint8_t chunk[CHUNK];
    if (report->first_route == 0 && frame->route_size == 5) {
        report->first_route = (uint32_t)frame->route[1] << 24 |
                              (uint32_t)frame->route[2] << 16 |
                              (uint32_t)frame->route[3] << 8 | frame->route[4];
    }
    if (frame->size == 4 && memcmp(frame->bytes, "push", 4) == 0) {
        uint64_t end = test_now_ms() + 100;
        while (test_now_ms() < end) {
            if (witan_door_send(door, frame->route, frame->route_size, chunk, CHUNK) ==
                WITAN_OK) {
                report->pushed++;
            } else {
                test_sleep_ms(10);
            }
        }
        return;
    }
    (void)witan_door_send(door, frame->route, frame->route_size, frame->bytes,
                          frame->size);
}

/* Orders: 'r' report, 'l' listen to frames, 'q' quit. */
static void
serve(witan_door *door, bool deaf, double start_mb, int orders, int reports)
{
    attack_report report = {0};
    for (;;) {
        witan_door_frame frame;
        char order = 0;
        if (deaf) {
            test_sleep_ms(10);
        } else if (witan_door_wait(door, &orders, 1, 100)) {
            for (int i = 0; i < 16 && witan_door_receive(door, &frame); i++) {
                serve_frame(door, &frame, &report);
            }
        }
        if (read(orders, &order, 1) != 1) {
            continue;
        }
        deaf = deaf && order != 'l';
        report.growth_mb = peak_mb() - start_mb;
        report.cpu_seconds = test_cpu_seconds();
        witan_door_count(door, &report.counts);
        if (write(reports, &report, sizeof report) != (ssize_t)sizeof report ||
            order == 'q') {
            return;
        }
    }
}

static int
run_server(attack_server *self, const attack_settings *settings, int orders,
           int reports)
{
    uint8_t list[2][WITAN_DOOR_KEY];
    int taken[4096];
    size_t count = 0;
    if (settings->files_max > 0) {
        const struct rlimit limit = {settings->files_max, settings->files_max};
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    memcpy(list[0], self->honest.public_key, WITAN_DOOR_KEY);
    memcpy(list[1], self->rogue.public_key, WITAN_DOOR_KEY);
    witan_door *door = test_door_open(&self->keys, MESSAGE, settings->connections_max,
                                      settings->tight ? 0 : UNREAD);
    if (witan_door_admit(door, (const uint8_t(*)[WITAN_DOOR_KEY])list, 2) != WITAN_OK ||
        write(reports, witan_door_endpoint(door), 64) != 64) {
        return 1;
    }
    double start_mb = test_rss_mb();
    if (settings->files_used) {
        attack_report none = {0};
        char go;
        (void)fcntl(orders, F_SETFL, 0);
        /* The first order comes when the honest client is connected. */
        for (;;) {
            witan_door_frame frame;
            if (witan_door_wait(door, &orders, 1, 100) &&
                witan_door_receive(door, &frame)) {
                serve_frame(door, &frame, &none);
                break;
            }
        }
        if (read(orders, &go, 1) != 1) {
            return 1;
        }
        while (count < 4096 && (taken[count] = dup(orders)) >= 0) {
            count++;
        }
        if (write(reports, &none, sizeof none) != (ssize_t)sizeof none) {
            return 1;
        }
    }
    (void)fcntl(orders, F_SETFL, O_NONBLOCK);
    serve(door, settings->deaf, start_mb, orders, reports);
    while (count > 0) {
        (void)close(taken[--count]);
    }
    witan_door_close(&door, 0);
    return 0;
}

static attack_server
server_start(const attack_settings *settings)
{
    attack_server self = {
        .keys = test_keys_new(), .honest = test_keys_new(), .rogue = test_keys_new()};
    int orders[2], reports[2];
    (void)fflush(NULL);
    CHECK(pipe(orders) == 0 && pipe(reports) == 0);
    self.process = fork();
    if (self.process == 0) {
        (void)close(orders[1]);
        (void)close(reports[0]);
        _exit(run_server(&self, settings, orders[0], reports[1]));
    }
    (void)close(orders[0]);
    (void)close(reports[1]);
    self.orders = orders[1];
    self.reports = reports[0];
    CHECK(read(self.reports, self.endpoint, 64) == 64);
    return self;
}

static attack_report
server_tell(const attack_server *self, char order)
{
    attack_report report = {0};
    CHECK(write(self->orders, &order, 1) == 1);
    CHECK(read(self->reports, &report, sizeof report) == (ssize_t)sizeof report);
    return report;
}

/* The last report; the process must have ended by itself. */
static attack_report
server_stop(attack_server *self)
{
    attack_report report = server_tell(self, 'q');
    int status = -1;
    CHECK(waitpid(self->process, &status, 0) == self->process);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(self->orders);
    (void)close(self->reports);
    return report;
}

static witan_link *
honest_link(const attack_server *server)
{
    return test_link_open(server->endpoint, &server->keys, &server->honest, MESSAGE);
}

/* Milliseconds until the echo of a frame came, or -1. */
static int
echo_ms(witan_link *link)
{
    uint64_t start = test_now_ms();
    const uint8_t *bytes = NULL;
    size_t size = 0;
    if (!test_link_becomes(link, NULL, WITAN_LINK_OPEN, WAIT_MS) ||
        witan_link_send(link, "echo", 4) != WITAN_OK) {
        return -1;
    }
    while (!witan_link_receive(link, &bytes, &size)) {
        if (test_now_ms() > start + WAIT_MS) {
            return -1;
        }
        (void)witan_link_wait(link, NULL, 0, 100);
    }
    return (int)(test_now_ms() - start);
}

static void
check_growth(double growth_mb, double bound_mb)
{
    CHECK(growth_mb < bound_mb || !rss_counts);
}

/* ---- the attacks ---- */

/* An admitted peer that never ends its message; `part` bytes at a time. */
static void
endless(const char *name, size_t part, double bound_mb)
{
    static const uint8_t bytes[CHUNK];
    const attack_settings settings = {.connections_max = 64};
    attack_server server = server_start(&settings);
    curve_peer rogue;
    uint64_t start = test_now_ms(), sent = 0;
    CHECK(curve_peer_open(&rogue, server.endpoint, &server.keys, &server.rogue, "", 0));
    while (sent < (uint64_t)512 << 20 && test_now_ms() < start + 4000 &&
           curve_peer_send(&rogue, bytes, part, CURVE_MORE, 1000)) {
        sent += part;
    }
    bool cut = test_tcp_ended(rogue.file, 1000);
    uint64_t took = test_now_ms() - start;
    curve_peer_close(&rogue);
    (void)server_tell(&server, 'l');
    witan_link *link = honest_link(&server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    attack_report report = server_stop(&server);
    printf("attack %s: %.1f MB of parts sent, cut after %" PRIu64
           " ms, memory +%.1f MB, next echo %d ms\n",
           name, (double)sent / 1048576.0, took, report.growth_mb, echo);
    CHECK(cut && report.counts.kicked >= 1);
    CHECK(echo >= 0);
    check_growth(report.growth_mb, bound_mb);
}

static void
endless_parts(void)
{
    double budget_mb = UNREAD >> 20;
    endless("endless-parts", CHUNK - 64, budget_mb + RSS_SLACK_MB);
    /* libzmq's own bytes for each part come on top: up to 1.4 times as much. */
    endless("endless-small-parts", 100, 2.4 * budget_mb + RSS_SLACK_MB);
}

/* Many connections of one key, each of which stays within its own bound. */
static void
endless_many(void)
{
    enum {
        PEERS = 16
    };
    static const uint8_t bytes[CHUNK];
    const attack_settings settings = {.connections_max = 32, .deaf = true};
    attack_server server = server_start(&settings);
    curve_peer rogues[PEERS];
    uint64_t sent = 0;
    size_t cut = 0;
    for (size_t i = 0; i < PEERS; i++) {
        CHECK(curve_peer_open(&rogues[i], server.endpoint, &server.keys, &server.rogue,
                              "", 0));
    }
    for (size_t round = 0; round < 120; round++) {
        for (size_t i = 0; i < PEERS; i++) {
            sent += curve_peer_send(&rogues[i], bytes, CHUNK - 64, CURVE_MORE, 200)
                        ? CHUNK - 64
                        : 0;
        }
    }
    test_sleep_ms(100);
    for (size_t i = 0; i < PEERS; i++) {
        cut += test_tcp_ended(rogues[i].file, 10);
        curve_peer_close(&rogues[i]);
    }
    (void)server_tell(&server, 'l');
    witan_link *link = honest_link(&server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    attack_report report = server_stop(&server);
    printf(
        "attack endless-many: %d connections, %.1f MB of parts sent, %zu cut, memory "
        "+%.1f MB, next echo %d ms\n",
        PEERS, (double)sent / 1048576.0, cut, report.growth_mb, echo);
    CHECK(cut > 0 && echo >= 0);
    /* Full windows of all 32, four that cheat, and what comes between two looks. */
    check_growth(report.growth_mb, 32 + 4 * (UNREAD >> 20) + 2 * RSS_SLACK_MB);
}

/* An admitted peer that chose "\0" and the number of the next connection would make
 * libzmq abort. Numbers start somewhere else in each process, and whoever shows a
 * number that libzmq did not give is cut. */
static void
chosen_identity(void)
{
    enum {
        RUNS = 3,
        GUESSES = 32
    };
    uint32_t first[RUNS];
    uint64_t kicked = 0;
    for (size_t run = 0; run < RUNS; run++) {
        const attack_settings settings = {.connections_max = 64};
        attack_server server = server_start(&settings);
        curve_peer rogues[GUESSES];
        /* What libzmq starts with when nobody seeds it, and what follows. */
        for (uint32_t i = 0; i < GUESSES; i++) {
            uint32_t guess = 0x6b8b4567u + i;
            const uint8_t identity[] = {0, (uint8_t)(guess >> 24),
                                        (uint8_t)(guess >> 16), (uint8_t)(guess >> 8),
                                        (uint8_t)guess};
            CHECK(curve_peer_open(&rogues[i], server.endpoint, &server.keys,
                                  &server.rogue,
                                  i == 0 ? "alice" : (const char *)identity, 5));
        }
        witan_link *link = honest_link(&server);
        CHECK(echo_ms(link) >= 0);
        first[run] = server_tell(&server, 'r').first_route;
        for (size_t i = 0; i < GUESSES; i++) {
            CHECK(curve_peer_send(&rogues[i], "x", 1, 0, 1000));
            CHECK(test_tcp_ended(rogues[i].file, 2000));
            curve_peer_close(&rogues[i]);
        }
        CHECK(echo_ms(link) >= 0);
        witan_link_close(&link, 0);
        attack_report report = server_stop(&server);
        kicked += report.counts.kicked;
        CHECK(report.counts.kicked == GUESSES);
        CHECK(report.counts.bytes_in == 8); /* the two echoes */
    }
    CHECK(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    printf("attack chosen-identity: first numbers %08" PRIx32 " %08" PRIx32
           " %08" PRIx32 ", %" PRIu64 " of %d that chose one were cut, no abort\n",
           first[0], first[1], first[2], kicked, RUNS * GUESSES);
}

/* Whole frames of `size` bytes, one every `pause_us`, at a door that reads nothing. */
static void
flood_of(const char *name, size_t size, uint64_t pause_us, bool tight, double bound_mb)
{
    static const uint8_t bytes[CHUNK];
    const attack_settings settings = {
        .connections_max = 64, .deaf = true, .tight = tight};
    attack_server server = server_start(&settings);
    curve_peer rogue;
    void *watch = zmq_stopwatch_start();
    uint64_t start = test_now_ms(), sent = 0;
    CHECK(curve_peer_open(&rogue, server.endpoint, &server.keys, &server.rogue, "", 0));
    while (sent < (uint64_t)512 << 20 && test_now_ms() < start + 8000 &&
           curve_peer_send(&rogue, bytes, size, 0, 1000)) {
        uint64_t next = zmq_stopwatch_intermediate(watch) + pause_us;
        sent += size + FRAME_OVERHEAD;
        while (zmq_stopwatch_intermediate(watch) < next) {
        }
    }
    bool cut = test_tcp_ended(rogue.file, 1000);
    uint64_t took = test_now_ms() - start;
    (void)zmq_stopwatch_stop(watch);
    (void)server_tell(&server, 'l');
    witan_link *link = honest_link(&server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    curve_peer_close(&rogue);
    attack_report report = server_stop(&server);
    printf("attack %s: %.1f MB sent, cut after %" PRIu64
           " ms, memory +%.1f MB, next echo %d ms\n",
           name, (double)sent / 1048576.0, took, report.growth_mb, echo);
    CHECK(cut && report.counts.kicked >= 1 && echo >= 0);
    check_growth(report.growth_mb, bound_mb);
}

/* The queue never fills, because libzmq aborts behind a full one; the guard is the
 * bound. */
static void
flood(void)
{
    flood_of("flood", CHUNK, 0, false, (UNREAD >> 20) + RSS_SLACK_MB);
    /* A place in the queue and a block of its own for each. */
    flood_of("flood-tiny", 1, 0, true, 4 * (TIGHT >> 20) + RSS_SLACK_MB);
    /* So slowly that each is read by itself: none may hold a whole read buffer. */
    flood_of("flood-tiny-slow", 1, 10, true, 4 * (TIGHT >> 20) + RSS_SLACK_MB);
}

/* Leaves frames in the queue of a door that reads nothing, hangs up, and comes again.
 */
static void
comes_again(void)
{
    enum {
        TIMES = 40,
        FRAMES = 20
    };
    static const uint8_t bytes[CHUNK];
    const attack_settings settings = {.connections_max = 64, .deaf = true};
    attack_server server = server_start(&settings);
    size_t let_in = 0;
    for (size_t i = 0; i < TIMES; i++) {
        curve_peer rogue;
        bool in = curve_peer_open(&rogue, server.endpoint, &server.keys, &server.rogue,
                                  "", 0);
        let_in += in;
        for (size_t k = 0; in && k < FRAMES; k++) {
            (void)curve_peer_send(&rogue, bytes, CHUNK, 0, 1000);
        }
        curve_peer_close(&rogue);
    }
    (void)server_tell(&server, 'l');
    witan_link *link = honest_link(&server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    test_sleep_ms(300); /* everything is read */
    curve_peer rogue;
    bool later =
        curve_peer_open(&rogue, server.endpoint, &server.keys, &server.rogue, "", 0);
    curve_peer_close(&rogue);
    attack_report report = server_stop(&server);
    printf("attack comes-again: %zu of %d let in, memory +%.1f MB, next echo %d ms\n",
           let_in, TIMES, report.growth_mb, echo);
    CHECK(let_in >= 8 && let_in <= 16 && echo >= 0 && later);
    check_growth(report.growth_mb, 16.0 * FRAMES * CHUNK / 1048576 + RSS_SLACK_MB);
}

/* Stuffs the queue of a door that reads nothing, with what comes behind the frames
 * already in its hands, and resets the connection. libzmq stopped reading at a full
 * queue, let go of the socket, and asserted that nobody would write to it: a PING among
 * the frames, or its own heartbeat timer, did. */
static void
stuff_and_reset(const attack_server *server, bool ping)
{
    curve_peer rogue;
    CHECK(curve_peer_open(&rogue, server->endpoint, &server->keys, &server->rogue, "",
                          0));
    curve_peer_hold(&rogue, true);
    for (int i = 0; i < 48; i++) {
        CHECK(curve_peer_send(&rogue, "frame", 5, 0, 1000));
        CHECK(!ping || curve_peer_send(&rogue, "\4PING\0\1", 7, CURVE_COMMAND, 1000));
    }
    curve_peer_hold(&rogue, false);
    test_sleep_ms(200);
    curve_peer_reset(&rogue);
    test_sleep_ms(200);
}

static void
still_there(attack_server *server, const char *name)
{
    (void)server_tell(server, 'l');
    witan_link *link = honest_link(server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    attack_report report = server_stop(server);
    printf("attack %s: %" PRIu64 " bytes of frames came through, next echo %d ms\n",
           name, report.counts.bytes_in, echo);
    CHECK(echo >= 0);
}

static void
reset_with_a_ping(void)
{
    const attack_settings settings = {.connections_max = 64, .deaf = true};
    attack_server server = server_start(&settings);
    stuff_and_reset(&server, true);
    still_there(&server, "reset-with-ping");
}

/* The other attacks go on while this one waits for a heartbeat that must not come. */
static attack_server waiting_server;
static uint64_t waiting_since;

static void
reset_and_wait(void)
{
    const attack_settings settings = {.connections_max = 64, .deaf = true};
    waiting_server = server_start(&settings);
    stuff_and_reset(&waiting_server, false);
    waiting_since = test_now_ms();
}

static void
reset_and_waited(void)
{
    uint64_t waited = test_now_ms() - waiting_since;
    if (waited < LONGEST_HEARTBEAT_MS) {
        test_sleep_ms((int)(LONGEST_HEARTBEAT_MS - waited));
    }
    still_there(&waiting_server, "reset-and-wait");
}

/* ---- the other side ---- */

/* A link that does not read for a while; the exit status of its process. */
static int
run_deaf_link(const test_keys *server, const test_keys *own, int endpoints)
{
    char endpoint[128] = "";
    const uint8_t *bytes;
    size_t size;
    int got = 0;
    if (read(endpoints, endpoint, sizeof endpoint) <= 0) {
        return 1;
    }
    witan_link *link = test_link_open(endpoint, server, own, MESSAGE);
    if (!test_link_becomes(link, NULL, WITAN_LINK_OPEN, WAIT_MS) ||
        witan_link_send(link, "x", 1) != WITAN_OK) {
        return 2;
    }
    test_sleep_ms(45000);
    for (uint64_t end = test_now_ms() + WAIT_MS;
         got < COORDINATOR_FRAMES && test_now_ms() < end;) {
        got += witan_link_receive(link, &bytes, &size);
        (void)witan_link_wait(link, NULL, 0, 1);
    }
    witan_link_close(&link, 0);
    return got == COORDINATOR_FRAMES ? 0 : 3;
}

/* A link is sent more than a window, and trains for a while. Behind a full queue it did
 * not hear the answers to its heartbeats; the connection after that was told to go on
 * reading where it had never stopped, and libzmq aborted. */
static void
deaf_link(void)
{
    const witan_socket_option settings[] = {
        {ZMQ_LINGER, 0}, {ZMQ_CURVE_SERVER, 1}, {ZMQ_SNDHWM, 0}};
    test_keys keys = test_keys_new(), own = test_keys_new();
    char endpoint[128] = "", route[16], byte;
    size_t size = sizeof endpoint;
    int endpoints[2], status = -1;
    (void)fflush(NULL);
    CHECK(pipe(endpoints) == 0);
    pid_t process = fork();
    if (process == 0) {
        (void)close(endpoints[1]);
        _exit(run_deaf_link(&keys, &own, endpoints[0]));
    }
    void *context = zmq_ctx_new();
    void *router = zmq_socket(context, ZMQ_ROUTER);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        CHECK(zmq_setsockopt(router, settings[i].name, &settings[i].value,
                             sizeof settings[i].value) == 0);
    }
    CHECK(zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, keys.secret_key, 32) == 0);
    CHECK(zmq_bind(router, "tcp://127.0.0.1:*") == 0);
    CHECK(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    CHECK(write(endpoints[1], endpoint, sizeof endpoint) == (ssize_t)sizeof endpoint);
    int route_size = zmq_recv(router, route, sizeof route, 0);
    CHECK(route_size == 5 && zmq_recv(router, &byte, 1, 0) == 1);
    for (int i = 0; i < COORDINATOR_FRAMES; i++) {
        CHECK(zmq_send(router, route, (size_t)route_size, ZMQ_SNDMORE) == route_size);
        CHECK(zmq_send(router, endpoint, sizeof endpoint, 0) == (int)sizeof endpoint);
    }
    CHECK(waitpid(process, &status, 0) == process);
    printf("attack deaf-link: %s, status %d\n",
           WIFEXITED(status) ? "ended by itself" : "aborted", status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)zmq_close(router);
    (void)zmq_ctx_term(context);
    (void)close(endpoints[0]);
    (void)close(endpoints[1]);
}

/* A frame above message_max, and one that says it is 2^62 bytes long. */
static void
oversized(void)
{
    static const uint8_t bytes[MESSAGE + 1];
    static const uint8_t huge[] = {2, 0x40, 0, 0, 0, 0, 0, 0, 0};
    const attack_settings settings = {.connections_max = 64};
    attack_server server = server_start(&settings);
    witan_link *link = honest_link(&server);
    curve_peer rogues[2];
    CHECK(echo_ms(link) >= 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(curve_peer_open(&rogues[i], server.endpoint, &server.keys, &server.rogue,
                              "", 0));
    }
    (void)curve_peer_send(&rogues[0], bytes, sizeof bytes, 0, 1000);
    (void)curve_peer_raw(&rogues[1], huge, sizeof huge, 1000);
    uint64_t start = test_now_ms();
    bool ended =
        test_tcp_ended(rogues[0].file, 2000) && test_tcp_ended(rogues[1].file, 2000);
    uint64_t took = test_now_ms() - start;
    int echo = echo_ms(link);
    for (size_t i = 0; i < 2; i++) {
        curve_peer_close(&rogues[i]);
    }
    witan_link_close(&link, 0);
    attack_report report = server_stop(&server);
    printf("attack oversized: both ended within %" PRIu64
           " ms, memory +%.1f MB, echo of another %d ms\n",
           took, report.growth_mb, echo);
    CHECK(ended && echo >= 0 && report.counts.bytes_in == 8);
    check_growth(report.growth_mb, RSS_SLACK_MB);
}

/* Connections that say nothing, or a byte now and then. */
static void
half_open(void)
{
    struct rlimit limit;
    size_t count = getenv("WITAN_LONG") != NULL ? 9000 : 2000;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < count + 300) {
        limit.rlim_cur = limit.rlim_max < count + 300 ? limit.rlim_max : count + 300;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        count = limit.rlim_cur < count + 300 ? limit.rlim_cur - 300 : count;
    }
    const attack_settings settings = {.connections_max = count + 64};
    attack_server server = server_start(&settings);
    int *files = calloc(count, sizeof *files);
    size_t made = 0;
    for (size_t i = 0; files != NULL && i < count; i++) {
        files[i] = test_tcp_connect(server.endpoint);
        made += files[i] >= 0;
        if (i % 2 == 0 && files[i] >= 0) {
            (void)send(files[i], "\xff", 1, MSG_NOSIGNAL);
        }
    }
    witan_link *link = honest_link(&server);
    int connect = echo_ms(link), second = echo_ms(link);
    uint64_t start = test_now_ms();
    attack_report report = server_tell(&server, 'r');
    double growth = report.growth_mb;
    uint64_t held = report.counts.connections;
    while (report.counts.connections > 1 && test_now_ms() < start + 8000) {
        for (size_t i = 0; i < count; i += 2) {
            (void)send(files[i], "\0", 1, MSG_NOSIGNAL);
        }
        test_sleep_ms(200);
        report = server_tell(&server, 'r');
    }
    uint64_t reaped = test_now_ms() - start;
    int last = echo_ms(link);
    for (size_t i = 0; i < count; i++) {
        (void)close(files[i]);
    }
    free(files);
    witan_link_close(&link, 0);
    report = server_stop(&server);
    printf("attack half-open: %zu connections (%" PRIu64
           " held), connect and echo %d ms, then %d ms, memory +%.1f MB, all gone "
           "after %" PRIu64 " ms, echo %d ms, cpu %.2f s\n",
           made, held, connect, second, growth, reaped, last, report.cpu_seconds);
    CHECK(made == count && held >= count / 2);
    CHECK(connect >= 0 && second >= 0 && last >= 0);
    CHECK(reaped < 7500);
    check_growth(report.growth_mb, 64);
}

/* 1,000 connections where 320 descriptors are allowed and 64 connections. */
static void
descriptors(bool used_up)
{
    enum {
        CROWD = 1000
    };
    const attack_settings settings = {
        .connections_max = 64, .files_max = 320, .files_used = used_up};
    attack_server server = server_start(&settings);
    witan_link *link = honest_link(&server);
    int files[CROWD];
    if (used_up) {
        CHECK(echo_ms(link) >= 0);
        (void)server_tell(&server, 'r');
    }
    CHECK(echo_ms(link) >= 0);
    double before = server_tell(&server, 'r').cpu_seconds;
    uint64_t start = test_now_ms();
    for (size_t i = 0; i < CROWD; i++) {
        files[i] = test_tcp_connect(server.endpoint);
    }
    uint64_t crowd_ms = test_now_ms() - start;
    int echo = echo_ms(link);
    test_sleep_ms(3000);
    int last = echo_ms(link);
    attack_report report = server_tell(&server, 'r');
    double seconds = (double)(test_now_ms() - start) / 1000.0;
    double share = (report.cpu_seconds - before) / seconds;
    for (size_t i = 0; i < CROWD; i++) {
        (void)close(files[i]);
    }
    test_sleep_ms(200);
    witan_link *fresh = honest_link(&server);
    int later = echo_ms(fresh);
    witan_link_close(&fresh, 0);
    witan_link_close(&link, 0);
    (void)server_stop(&server);
    printf("attack descriptors%s: %d connects in %" PRIu64
           " ms, %.1f %% of a core over %.1f s, %" PRIu64
           " open, echo %d ms, then %d ms; a new link afterwards %d ms\n",
           used_up ? "-used-up" : "", CROWD, crowd_ms, 100.0 * share, seconds,
           report.counts.connections, echo, last, later);
    CHECK(share < 0.2 || !rss_counts);
    CHECK(echo >= 0 && last >= 0);
    CHECK(later >= 0 || used_up);
}

static void
descriptors_of_our_own(void)
{
    descriptors(false);
}

static void
descriptors_of_the_process(void)
{
    descriptors(true);
}

/* Keys that nobody admitted. */
static void
unknown_keys(void)
{
    enum {
        CROWD = 200
    };
    const attack_settings settings = {.connections_max = 64};
    attack_server server = server_start(&settings);
    size_t let_in = 0;
    uint64_t start = test_now_ms();
    for (size_t i = 0; i < CROWD; i++) {
        test_keys stranger = test_keys_new();
        curve_peer peer;
        let_in +=
            curve_peer_open(&peer, server.endpoint, &server.keys, &stranger, "", 0);
        curve_peer_close(&peer);
    }
    uint64_t took = test_now_ms() - start;
    witan_link *link = honest_link(&server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    attack_report report = server_stop(&server);
    printf("attack unknown-keys: %zu of %d let in, %" PRIu64 " refused, %" PRIu64
           " ms, echo %d ms\n",
           let_in, CROWD, report.counts.refused, took, echo);
    CHECK(let_in == 0 && echo >= 0);
    CHECK(report.counts.refused >= CROWD && report.counts.handshakes == 1);
}

/* Asks for much and reads nothing. */
static void
never_reads(void)
{
    enum {
        PEERS = 8
    };
    const attack_settings settings = {.connections_max = 64};
    attack_server server = server_start(&settings);
    curve_peer peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        CHECK(curve_peer_open(&peers[i], server.endpoint, &server.keys, &server.rogue,
                              "", 0));
        CHECK(curve_peer_send(&peers[i], "push", 4, 0, 1000));
    }
    test_sleep_ms(100);
    witan_link *link = honest_link(&server);
    int echo = echo_ms(link);
    witan_link_close(&link, 0);
    attack_report report = server_stop(&server);
    for (size_t i = 0; i < PEERS; i++) {
        curve_peer_close(&peers[i]);
    }
    printf("attack never-reads: %d peers, %.1f frames of 64 KiB taken for each, memory "
           "+%.1f MB, echo %d ms\n",
           PEERS, (double)report.pushed / PEERS, report.growth_mb, echo);
    CHECK(echo >= 0);
    CHECK(report.pushed < PEERS * 100);
    check_growth(report.growth_mb, PEERS * 4 + RSS_SLACK_MB);
}

/* Let in, and then silent: it would hold its place, and its routing id, for ever. */
static void
silent(void)
{
    const attack_settings settings = {.connections_max = 64};
    attack_server server = server_start(&settings);
    curve_peer rogue;
    CHECK(curve_peer_open(&rogue, server.endpoint, &server.keys, &server.rogue, "", 0));
    uint64_t start = test_now_ms();
    bool ended = test_tcp_ended(rogue.file, 40000);
    uint64_t took = test_now_ms() - start;
    curve_peer_close(&rogue);
    attack_report report = server_stop(&server);
    printf("attack silent: cut after %" PRIu64 " ms\n", took);
    CHECK(ended && took > 20000 && report.counts.kicked == 1);
}

int
main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a door that died fails its test, not all */
    RUN(reset_and_wait);
    RUN(reset_with_a_ping);
    RUN(endless_parts);
    RUN(endless_many);
    RUN(chosen_identity);
    RUN(flood);
    RUN(comes_again);
    RUN(oversized);
    RUN(half_open);
    RUN(descriptors_of_our_own);
    RUN(descriptors_of_the_process);
    RUN(unknown_keys);
    RUN(never_reads);
    RUN(reset_and_waited);
    if (getenv("WITAN_LONG") != NULL) {
        RUN(silent);
        RUN(deaf_link);
    }
    return witan_test_finish();
}
