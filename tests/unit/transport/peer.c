/* peer.c - see peer.h. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

static _Noreturn void
stop(const char *what)
{
    fprintf(stderr, "test peer: %s\n", what);
    exit(1);
}

test_keys
test_keys_new(void)
{
    char public_text[41], secret_text[41];
    test_keys keys;
    if (zmq_curve_keypair(public_text, secret_text) != 0) {
        stop("no key pair");
    }
    (void)zmq_z85_decode(keys.public_key, public_text);
    (void)zmq_z85_decode(keys.secret_key, secret_text);
    return keys;
}

witan_door *
test_door_open(const test_keys *keys, size_t message_max, size_t connections_max,
               size_t unread_max)
{
    const witan_door_config config = {.endpoint = "tcp://127.0.0.1:*",
                                      .public_key = keys->public_key,
                                      .secret_key = keys->secret_key,
                                      .message_max = message_max,
                                      .connections_max = connections_max,
                                      .unread_max = unread_max};
    witan_diag diag = {0};
    witan_door *door = NULL;
    if (witan_door_open(&door, &config, witan_allocator_default(), &diag) != WITAN_OK) {
        stop(diag.message);
    }
    return door;
}

witan_link *
test_link_open(const char *endpoint, const test_keys *server, const test_keys *own,
               size_t message_max)
{
    const witan_link_config config = {.endpoint = endpoint,
                                      .server_key = server->public_key,
                                      .public_key = own->public_key,
                                      .secret_key = own->secret_key,
                                      .message_max = message_max};
    witan_diag diag = {0};
    witan_link *link = NULL;
    if (witan_link_open(&link, &config, witan_allocator_default(), &diag) != WITAN_OK) {
        stop(diag.message);
    }
    return link;
}

test_peer
test_peer_open(const char *endpoint, const test_keys *server, const test_keys *own,
               int queue_frames)
{
    test_peer self = {.context = zmq_ctx_new()};
    int zero = 0;
    self.socket = zmq_socket(self.context, ZMQ_DEALER);
    (void)zmq_setsockopt(self.socket, ZMQ_LINGER, &zero, sizeof zero);
    (void)zmq_setsockopt(self.socket, ZMQ_SNDHWM, &zero, sizeof zero);
    (void)zmq_setsockopt(self.socket, ZMQ_RCVHWM, &queue_frames, sizeof queue_frames);
    if (own != NULL) {
        (void)zmq_setsockopt(self.socket, ZMQ_CURVE_SERVERKEY, server->public_key, 32);
        (void)zmq_setsockopt(self.socket, ZMQ_CURVE_PUBLICKEY, own->public_key, 32);
        (void)zmq_setsockopt(self.socket, ZMQ_CURVE_SECRETKEY, own->secret_key, 32);
    }
    if (zmq_connect(self.socket, endpoint) != 0) {
        stop("connect");
    }
    return self;
}

void
test_peer_close(test_peer *self)
{
    (void)zmq_close(self->socket);
    (void)zmq_ctx_term(self->context);
}

int
test_tcp_connect(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *port = strrchr(endpoint, ':') + 1;
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    if (file >= 0 &&
        connect(file, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(file);
        return -1;
    }
    return file;
}

bool
test_tcp_ended(int file, int timeout_ms)
{
    uint64_t end = test_now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        char bytes[4096];
        uint64_t now = test_now_ms();
        struct pollfd item = {.fd = file, .events = POLLIN};
        if (now > end || poll(&item, 1, (int)(end - now)) <= 0) {
            return false;
        }
        if (read(file, bytes, sizeof bytes) <= 0) {
            return true;
        }
    }
}

uint64_t
test_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

double
test_rss_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;
    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2) {
        stop("/proc/self/statm");
    }
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

double
test_cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void
test_sleep_ms(int ms)
{
    const struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&wait, NULL);
}

bool
test_door_next(witan_door *door, witan_door_frame *frame, int timeout_ms)
{
    uint64_t end = test_now_ms() + (uint64_t)timeout_ms;
    while (!witan_door_receive(door, frame)) {
        uint64_t now = test_now_ms();
        if (now >= end) {
            return false;
        }
        (void)witan_door_wait(door, NULL, 0, (int)(end - now));
    }
    return true;
}

size_t
test_door_serve(witan_door *door, int timeout_ms)
{
    uint64_t end = test_now_ms() + (uint64_t)timeout_ms;
    witan_door_frame frame;
    size_t count = 0;
    for (uint64_t now = test_now_ms(); now < end; now = test_now_ms()) {
        count += test_door_next(door, &frame, (int)(end - now));
    }
    return count;
}

bool
test_link_becomes(witan_link *link, witan_door *door, witan_link_state state,
                  int timeout_ms)
{
    uint64_t end = test_now_ms() + (uint64_t)timeout_ms;
    while (witan_link_state_of(link) != state) {
        if (test_now_ms() >= end) {
            return false;
        }
        if (door != NULL) {
            (void)test_door_serve(door, 1);
        }
        (void)witan_link_wait(link, NULL, 0, 10);
    }
    return true;
}

int
test_round_trip_ms(witan_door *door, witan_link *link, int timeout_ms)
{
    uint64_t start = test_now_ms();
    witan_door_frame frame;
    if (!test_link_becomes(link, door, WITAN_LINK_OPEN, timeout_ms) ||
        witan_link_send(link, "ping", 4) != WITAN_OK) {
        return -1;
    }
    do {
        if (!test_door_next(door, &frame, timeout_ms)) {
            return -1;
        }
    } while (frame.size != 4 || memcmp(frame.bytes, "ping", 4) != 0);
    return (int)(test_now_ms() - start);
}
