/* test_transport.c - doors and links over real sockets of 127.0.0.1. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "support/witan_test.h"

enum {
    FRAME = 4096,
    UNREAD = 1 << 22,
    CLIENTS = 20,
    WAIT_MS = 10000
};

/* A door that admits one key, and a link with it that is open. */
typedef struct test_pair {
    test_keys server, client;
    witan_door *door;
    witan_link *link;
} test_pair;

static test_pair
pair_new(size_t message_max)
{
    test_pair self = {.server = test_keys_new(), .client = test_keys_new()};
    self.door = test_door_open(&self.server, message_max, 64, UNREAD);
    CHECK_STATUS(witan_door_admit(self.door, &self.client.public_key, 1), WITAN_OK);
    self.link = test_link_open(witan_door_endpoint(self.door), &self.server,
                               &self.client, message_max);
    CHECK(test_link_becomes(self.link, self.door, WITAN_LINK_OPEN, WAIT_MS));
    return self;
}

static void
pair_free(test_pair *self)
{
    witan_link_close(&self->link, 0);
    witan_door_close(&self->door, 0);
}

/* The guard hears of a handshake a moment after the peer does. */
static witan_door_counts
counts_after(witan_door *door, uint64_t handshakes, uint64_t refused)
{
    uint64_t end = test_now_ms() + WAIT_MS;
    witan_door_counts counts;
    do {
        witan_door_count(door, &counts);
        (void)test_door_serve(door, 1);
    } while ((counts.handshakes < handshakes || counts.refused < refused) &&
             test_now_ms() < end);
    return counts;
}

static bool
link_next(witan_link *link, const uint8_t **bytes, size_t *size)
{
    uint64_t end = test_now_ms() + WAIT_MS;
    while (!witan_link_receive(link, bytes, size)) {
        if (test_now_ms() > end) {
            return false;
        }
        (void)witan_link_wait(link, NULL, 0, 100);
    }
    return true;
}

static void
two_ways(void)
{
    test_pair pair = pair_new(FRAME);
    witan_door_frame frame;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    witan_door_counts counts;
    CHECK_STATUS(witan_link_send(pair.link, "hello", 5), WITAN_OK);
    CHECK(test_door_next(pair.door, &frame, WAIT_MS));
    CHECK(frame.size == 5 && memcmp(frame.bytes, "hello", 5) == 0);
    CHECK(memcmp(frame.key, pair.client.public_key, 32) == 0);
    CHECK_STATUS(witan_door_send(pair.door, frame.route, frame.route_size, "world!", 6),
                 WITAN_OK);
    CHECK(link_next(pair.link, &bytes, &size));
    CHECK(size == 6 && memcmp(bytes, "world!", 6) == 0);
    counts = counts_after(pair.door, 1, 0);
    CHECK(counts.connections == 1 && counts.accepted == 1 && counts.handshakes == 1);
    CHECK(counts.refused == 0 && counts.kicked == 0);
    CHECK(counts.bytes_in == 5 && counts.bytes_out == 6);
    pair_free(&pair);
    CHECK(pair.link == NULL && pair.door == NULL);
    witan_link_close(&pair.link, 0);
    witan_door_close(&pair.door, 0);
}

/* The longest frame passes both ways; one byte more is not sent. */
static void
longest_frame(void)
{
    static uint8_t bytes[FRAME + 1];
    test_pair pair = pair_new(FRAME);
    witan_door_frame frame;
    const uint8_t *got = NULL;
    size_t size = 0;
    memset(bytes, 7, sizeof bytes);
    CHECK_STATUS(witan_link_send(pair.link, bytes, FRAME + 1), WITAN_E_LIMIT);
    CHECK_STATUS(witan_link_send(pair.link, bytes, FRAME), WITAN_OK);
    CHECK(test_door_next(pair.door, &frame, WAIT_MS));
    CHECK(frame.size == FRAME && memcmp(frame.bytes, bytes, FRAME) == 0);
    CHECK_STATUS(
        witan_door_send(pair.door, frame.route, frame.route_size, bytes, FRAME + 1),
        WITAN_E_LIMIT);
    CHECK_STATUS(
        witan_door_send(pair.door, frame.route, frame.route_size, bytes, FRAME),
        WITAN_OK);
    CHECK(link_next(pair.link, &got, &size) && size == FRAME);
    /* An empty frame is a frame. */
    CHECK_STATUS(witan_link_send(pair.link, bytes, 0), WITAN_OK);
    CHECK(test_door_next(pair.door, &frame, WAIT_MS) && frame.size == 0);
    pair_free(&pair);
}

/* Each frame arrives with the key of its sender, each answer at the right link. */
static void
many_clients(void)
{
    test_keys server = test_keys_new(), keys[CLIENTS];
    uint8_t list[CLIENTS][WITAN_DOOR_KEY];
    witan_link *links[CLIENTS];
    witan_door *door = test_door_open(&server, FRAME, 64, UNREAD);
    witan_door_frame frame;
    size_t wrong = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        keys[i] = test_keys_new();
        memcpy(list[i], keys[i].public_key, WITAN_DOOR_KEY);
    }
    CHECK_STATUS(
        witan_door_admit(door, (const uint8_t(*)[WITAN_DOOR_KEY])list, CLIENTS),
        WITAN_OK);
    for (size_t i = 0; i < CLIENTS; i++) {
        links[i] = test_link_open(witan_door_endpoint(door), &server, &keys[i], FRAME);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        uint8_t number = (uint8_t)i;
        CHECK(test_link_becomes(links[i], NULL, WITAN_LINK_OPEN, WAIT_MS));
        CHECK_STATUS(witan_link_send(links[i], &number, 1), WITAN_OK);
    }
    for (size_t i = 0; i < CLIENTS && test_door_next(door, &frame, WAIT_MS); i++) {
        size_t who = frame.bytes[0];
        wrong += who >= CLIENTS || memcmp(frame.key, list[who], WITAN_DOOR_KEY) != 0;
        CHECK_STATUS(witan_door_send(door, frame.route, frame.route_size, frame.bytes,
                                     frame.size),
                     WITAN_OK);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        const uint8_t *bytes = NULL;
        size_t size = 0;
        wrong += !link_next(links[i], &bytes, &size) || size != 1 || bytes[0] != i;
    }
    CHECK(wrong == 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        witan_link_close(&links[i], 0);
    }
    witan_door_close(&door, 0);
}

static void
unknown_key(void)
{
    test_keys server = test_keys_new(), own = test_keys_new();
    witan_door *door = test_door_open(&server, FRAME, 64, UNREAD);
    witan_link *link = test_link_open(witan_door_endpoint(door), &server, &own, FRAME);
    test_peer peer = test_peer_open(witan_door_endpoint(door), &server, &own, 0);
    witan_door_frame frame;
    witan_door_counts counts;
    (void)zmq_send(peer.socket, "x", 1, ZMQ_DONTWAIT);
    CHECK(test_link_becomes(link, NULL, WITAN_LINK_REFUSED, WAIT_MS));
    CHECK_STATUS(witan_link_send(link, "x", 1), WITAN_E_BUSY);
    CHECK(!test_door_next(door, &frame, 200));
    counts = counts_after(door, 0, 2);
    CHECK(counts.handshakes == 0 && counts.refused == 2);
    test_peer_close(&peer);
    witan_link_close(&link, 0);
    witan_door_close(&door, 0);
}

static void
wrong_server_key(void)
{
    test_keys server = test_keys_new(), other = test_keys_new(), own = test_keys_new();
    witan_door *door = test_door_open(&server, FRAME, 64, UNREAD);
    witan_link *link;
    CHECK_STATUS(witan_door_admit(door, &own.public_key, 1), WITAN_OK);
    link = test_link_open(witan_door_endpoint(door), &other, &own, FRAME);
    CHECK(test_link_becomes(link, NULL, WITAN_LINK_REFUSED, WAIT_MS));
    witan_link_close(&link, 0);
    witan_door_close(&door, 0);
}

/* Taken off the list: the live link is dead at once, a frame on its way is not
 * delivered, and it cannot come back until it is listed again. */
static void
removed_key(void)
{
    test_pair pair = pair_new(FRAME);
    test_keys other = test_keys_new();
    witan_door_frame frame;
    witan_door_counts counts;
    uint64_t start;
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    CHECK_STATUS(witan_link_send(pair.link, "late", 4), WITAN_OK);
    test_sleep_ms(50);
    start = test_now_ms();
    CHECK_STATUS(witan_door_admit(pair.door, &other.public_key, 1), WITAN_OK);
    CHECK(!test_door_next(pair.door, &frame, 100));
    CHECK(test_link_becomes(pair.link, NULL, WITAN_LINK_LOST, 1000) ||
          witan_link_state_of(pair.link) == WITAN_LINK_REFUSED);
    CHECK(test_now_ms() - start < 1000);
    CHECK(test_link_becomes(pair.link, NULL, WITAN_LINK_REFUSED, WAIT_MS));
    counts = counts_after(pair.door, 1, 1);
    CHECK(counts.kicked == 1 && counts.handshakes == 1 && counts.refused >= 1);
    CHECK_STATUS(witan_door_admit(pair.door, &pair.client.public_key, 1), WITAN_OK);
    witan_link_close(&pair.link, 0);
    pair.link = test_link_open(witan_door_endpoint(pair.door), &pair.server,
                               &pair.client, FRAME);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    pair_free(&pair);
}

/* One that has said nothing yet has no name at the door: it goes too. */
static void
removed_key_that_was_silent(void)
{
    test_pair pair = pair_new(FRAME);
    CHECK_STATUS(witan_door_admit(pair.door, NULL, 0), WITAN_OK);
    CHECK(test_link_becomes(pair.link, pair.door, WITAN_LINK_REFUSED, WAIT_MS));
    pair_free(&pair);
}

/* Others stay connected while keys come and go. */
static void
others_stay(void)
{
    test_pair pair = pair_new(FRAME);
    uint8_t list[2][WITAN_DOOR_KEY];
    witan_door_counts counts;
    test_keys other = test_keys_new();
    memcpy(list[0], other.public_key, WITAN_DOOR_KEY);
    memcpy(list[1], pair.client.public_key, WITAN_DOOR_KEY);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    CHECK_STATUS(witan_door_admit(pair.door, (const uint8_t(*)[WITAN_DOOR_KEY])list, 2),
                 WITAN_OK);
    CHECK_STATUS(witan_door_admit(pair.door, &pair.client.public_key, 1), WITAN_OK);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    witan_door_count(pair.door, &counts);
    CHECK(counts.kicked == 0 && counts.accepted == 1);
    pair_free(&pair);
}

static void
kicked(void)
{
    test_pair pair = pair_new(FRAME);
    test_keys other = test_keys_new();
    witan_door_counts counts;
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    witan_door_kick(pair.door, other.public_key);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    witan_door_kick(pair.door, pair.client.public_key);
    CHECK(test_link_becomes(pair.link, pair.door, WITAN_LINK_LOST, WAIT_MS));
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    witan_door_count(pair.door, &counts);
    CHECK(counts.kicked == 1 && counts.accepted == 2 && counts.connections == 1);
    pair_free(&pair);
}

static void
gone_route(void)
{
    test_pair pair = pair_new(FRAME);
    witan_door_frame frame;
    uint64_t end = test_now_ms() + WAIT_MS;
    witan_status status;
    CHECK_STATUS(witan_link_send(pair.link, "bye", 3), WITAN_OK);
    witan_link_close(&pair.link, 1000); /* what was queued still goes out */
    CHECK(test_door_next(pair.door, &frame, WAIT_MS) && frame.size == 3);
    do {
        status = witan_door_send(pair.door, frame.route, frame.route_size, "answer", 6);
        (void)test_door_serve(pair.door, 5);
    } while (status == WITAN_OK && test_now_ms() < end);
    CHECK_STATUS(status, WITAN_E_UNREACHABLE);
    CHECK_STATUS(witan_door_send(pair.door, (const uint8_t *)"\1nobody", 7, "x", 1),
                 WITAN_E_UNREACHABLE);
    pair_free(&pair);
}

/* A peer that does not read: its queue fills, and takes frames again once it reads. */
static void
full_queue(void)
{
    static uint8_t bytes[1 << 16];
    test_pair pair = pair_new(sizeof bytes);
    test_peer peer =
        test_peer_open(witan_door_endpoint(pair.door), &pair.server, &pair.client, 16);
    witan_door_frame frame;
    witan_status status = WITAN_OK;
    size_t sent = 0, got = 0;
    int wait_ms = WAIT_MS;
    CHECK(zmq_setsockopt(peer.socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms) == 0);
    CHECK(zmq_send(peer.socket, "x", 1, 0) == 1);
    CHECK(test_door_next(pair.door, &frame, WAIT_MS));
    for (int idle = 0; idle < 20 && sent < 1000; idle++) {
        while (sent < 1000 &&
               (status = witan_door_send(pair.door, frame.route, frame.route_size,
                                         bytes, sizeof bytes)) == WITAN_OK) {
            sent++;
            idle = 0;
        }
        test_sleep_ms(10);
    }
    CHECK_STATUS(status, WITAN_E_BUSY);
    CHECK(sent >= 32 && sent < 200); /* two queues of 16, and the kernel's buffers */
    while (got < sent &&
           zmq_recv(peer.socket, bytes, sizeof bytes, 0) == (int)sizeof bytes) {
        got++;
    }
    CHECK(got == sent);
    (void)test_door_serve(pair.door, 50);
    CHECK_STATUS(witan_door_send(pair.door, frame.route, frame.route_size, bytes, 1),
                 WITAN_OK);
    test_peer_close(&peer);
    pair_free(&pair);
}

/* A link that does not read takes what comes, and stays connected: behind a full queue
 * libzmq would abort. */
static void
unread_link(void)
{
    enum {
        FRAMES = 300 /* more than the kernel's buffers hold */
    };
    static uint8_t chunk[1 << 16];
    test_pair pair = pair_new(sizeof chunk);
    witan_door_frame frame;
    const uint8_t *bytes = NULL;
    size_t size = 0, sent = 0, got = 0;
    uint64_t end = test_now_ms() + WAIT_MS;
    CHECK_STATUS(witan_link_send(pair.link, "x", 1), WITAN_OK);
    CHECK(test_door_next(pair.door, &frame, WAIT_MS));
    while (sent < FRAMES && test_now_ms() < end) {
        if (witan_door_send(pair.door, frame.route, frame.route_size, chunk,
                            sizeof chunk) == WITAN_OK) {
            sent++;
        } else {
            test_sleep_ms(1);
        }
    }
    CHECK(sent == FRAMES);
    while (got < sent && link_next(pair.link, &bytes, &size)) {
        got++;
    }
    CHECK(got == sent);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    pair_free(&pair);
}

/* A window of 8 chunks fits without anybody reading. */
static void
window_fits(void)
{
    static uint8_t bytes[1 << 16];
    test_pair pair = pair_new(sizeof bytes);
    witan_door_frame frame;
    for (int i = 0; i < 8; i++) {
        CHECK_STATUS(witan_link_send(pair.link, bytes, sizeof bytes), WITAN_OK);
    }
    for (int i = 0; i < 8; i++) {
        CHECK(test_door_next(pair.door, &frame, WAIT_MS) && frame.size == sizeof bytes);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_STATUS(witan_door_send(pair.door, frame.route, frame.route_size, bytes,
                                     sizeof bytes),
                     WITAN_OK);
    }
    pair_free(&pair);
}

static void
wait_for_files(void)
{
    test_pair pair = pair_new(FRAME);
    int ends[2];
    uint64_t start = test_now_ms();
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(!witan_door_wait(pair.door, ends, 1, WAIT_MS));
    CHECK(!witan_link_wait(pair.link, ends, 1, WAIT_MS));
    CHECK(test_now_ms() - start < 5000);
    (void)close(ends[0]);
    (void)close(ends[1]);
    start = test_now_ms();
    CHECK(!witan_door_wait(pair.door, NULL, 0, 50));
    CHECK(test_now_ms() - start >= 45);
    CHECK_STATUS(witan_link_send(pair.link, "x", 1), WITAN_OK);
    CHECK(witan_door_wait(pair.door, NULL, 0, WAIT_MS));
    pair_free(&pair);
}

static void
on_alarm(int signal_number)
{
    (void)signal_number;
}

static void
signal_ends_wait(void)
{
    test_pair pair = pair_new(FRAME);
    const struct sigaction action = {.sa_handler = on_alarm};
    uint64_t start = test_now_ms();
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    (void)alarm(1);
    CHECK(!witan_door_wait(pair.door, NULL, 0, WAIT_MS));
    CHECK(test_now_ms() - start < 5000);
    pair_free(&pair);
}

/* The door's last words arrive although it is closed right after. */
static void
linger(void)
{
    test_pair pair = pair_new(FRAME);
    witan_door_frame frame;
    const uint8_t *bytes = NULL;
    size_t size = 0, got = 0;
    CHECK_STATUS(witan_link_send(pair.link, "x", 1), WITAN_OK);
    CHECK(test_door_next(pair.door, &frame, WAIT_MS));
    for (int i = 0; i < 8; i++) {
        CHECK_STATUS(
            witan_door_send(pair.door, frame.route, frame.route_size, "bye", 3),
            WITAN_OK);
    }
    witan_door_close(&pair.door, 2000);
    while (got < 8 && link_next(pair.link, &bytes, &size) && size == 3) {
        got++;
    }
    CHECK(got == 8);
    CHECK(test_link_becomes(pair.link, NULL, WITAN_LINK_LOST, WAIT_MS));
    pair_free(&pair);
}

/* Peers that do not speak CURVE never get in, and their connections end. */
static void
strangers(void)
{
    static const char v1[] = "\x01\x00", v2[] = "\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0";
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const struct {
        const char *bytes;
        size_t size;
    } greetings[] = {{v1, 2}, {v2, sizeof v2 - 1}, {http, sizeof http - 1}};
    test_pair pair = pair_new(FRAME);
    char garbage[4096];
    witan_door_frame frame;
    witan_door_counts counts;
    test_peer null =
        test_peer_open(witan_door_endpoint(pair.door), &pair.server, NULL, 0);
    (void)zmq_send(null.socket, "x", 1, ZMQ_DONTWAIT);
    for (size_t i = 0; i < sizeof greetings / sizeof greetings[0]; i++) {
        int file = test_tcp_connect(witan_door_endpoint(pair.door));
        CHECK(send(file, greetings[i].bytes, greetings[i].size, MSG_NOSIGNAL) > 0);
        CHECK(test_tcp_ended(file, 7000));
        (void)close(file);
    }
    memset(garbage, 0xa5, sizeof garbage);
    for (int i = 0; i < 8; i++) {
        int file = test_tcp_connect(witan_door_endpoint(pair.door));
        garbage[0] = (char)(i * 37);
        (void)send(file, garbage, sizeof garbage, MSG_NOSIGNAL);
        CHECK(test_tcp_ended(file, 7000));
        (void)close(file);
    }
    CHECK(!test_door_next(pair.door, &frame, 50));
    counts = counts_after(pair.door, 1, 0);
    CHECK(counts.handshakes == 1);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    test_peer_close(&null);
    pair_free(&pair);
}

/* A message of two parts ends its connection and is not delivered. */
static void
two_parts(void)
{
    test_pair pair = pair_new(FRAME);
    test_peer peer =
        test_peer_open(witan_door_endpoint(pair.door), &pair.server, &pair.client, 0);
    witan_door_frame frame;
    witan_door_counts counts;
    CHECK(zmq_send(peer.socket, "a", 1, ZMQ_SNDMORE) == 1);
    CHECK(zmq_send(peer.socket, "b", 1, 0) == 1);
    CHECK(!test_door_next(pair.door, &frame, 300));
    witan_door_count(pair.door, &counts);
    CHECK(counts.kicked == 1 && counts.bytes_in == 0);
    CHECK(test_round_trip_ms(pair.door, pair.link, WAIT_MS) >= 0);
    test_peer_close(&peer);
    pair_free(&pair);
}

/* Above connections_max: those that only hold a place go, those that talk stay. */
static void
full_house(void)
{
    enum {
        PLACES = 8,
        CROWD = 40
    };
    test_keys server = test_keys_new(), own = test_keys_new();
    witan_door *door = test_door_open(&server, FRAME, PLACES, UNREAD);
    witan_link *first, *second;
    int files[CROWD];
    witan_door_counts counts;
    CHECK_STATUS(witan_door_admit(door, &own.public_key, 1), WITAN_OK);
    first = test_link_open(witan_door_endpoint(door), &server, &own, FRAME);
    CHECK(test_round_trip_ms(door, first, WAIT_MS) >= 0);
    for (size_t i = 0; i < CROWD; i++) {
        files[i] = test_tcp_connect(witan_door_endpoint(door));
    }
    CHECK(test_tcp_ended(files[0], 2000));
    second = test_link_open(witan_door_endpoint(door), &server, &own, FRAME);
    CHECK(test_round_trip_ms(door, second, WAIT_MS) >= 0);
    CHECK(test_round_trip_ms(door, first, WAIT_MS) >= 0);
    counts = counts_after(door, 2, 0);
    CHECK(counts.connections <= PLACES + 1);
    CHECK(counts.kicked >= CROWD + 2 - PLACES);
    CHECK(counts.handshakes == 2);
    for (size_t i = 0; i < CROWD; i++) {
        (void)close(files[i]);
    }
    witan_link_close(&first, 0);
    witan_link_close(&second, 0);
    witan_door_close(&door, 0);
}

static witan_status
open_at(const char *endpoint, size_t connections_max, witan_door **door,
        witan_diag *diag)
{
    test_keys keys = test_keys_new();
    const witan_door_config config = {.endpoint = endpoint,
                                      .public_key = keys.public_key,
                                      .secret_key = keys.secret_key,
                                      .message_max = FRAME,
                                      .connections_max = connections_max,
                                      .unread_max = UNREAD};
    memset(diag, 0, sizeof *diag);
    return witan_door_open(door, &config, witan_allocator_default(), diag);
}

static void
wrong_endpoints(void)
{
    static const char *const wrong[] = {"",
                                        "tcp://",
                                        "127.0.0.1:7700",
                                        "ipc:///tmp/x",
                                        "tcp://127.0.0.1",
                                        "tcp://127.0.0.1:70000",
                                        "tcp://127.0.0.1:-1",
                                        "tcp://127.0.0.1:7700;x",
                                        "tcp://300.1.1.1:0",
                                        "tcp://a b:0",
                                        "tcp://[::1:0",
                                        "tcp://192.0.2.1:0",
                                        "tcp://127.0.0.1:77001111111"};
    static char long_one[4096];
    witan_diag diag;
    witan_door *door = NULL, *second = NULL;
    test_keys keys = test_keys_new();
    witan_link *link = NULL;
    witan_link_config config = {.server_key = keys.public_key,
                                .public_key = keys.public_key,
                                .secret_key = keys.secret_key,
                                .message_max = FRAME};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_STATUS(open_at(wrong[i], 8, &door, &diag), WITAN_E_CONFIG);
        CHECK(door == NULL);
        CHECK_CONTAINS(diag.message, "endpoint");
        config.endpoint = wrong[i];
        if (strstr(wrong[i], "300.") == NULL || strstr(wrong[i], ":0") != NULL) {
            CHECK_STATUS(
                witan_link_open(&link, &config, witan_allocator_default(), &diag),
                WITAN_E_CONFIG);
        }
    }
    memset(long_one, 'a', sizeof long_one - 1);
    memcpy(long_one, "tcp://", 6);
    memcpy(long_one + sizeof long_one - 4, ":99", 4);
    CHECK_STATUS(open_at(long_one, 8, &door, &diag), WITAN_E_CONFIG);
    config.endpoint = "tcp://*:7700";
    CHECK_STATUS(witan_link_open(&link, &config, witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK(link == NULL);
    CHECK_STATUS(open_at("tcp://127.0.0.1:*", 8, &door, &diag), WITAN_OK);
    CHECK_STATUS(open_at(witan_door_endpoint(door), 8, &second, &diag), WITAN_E_IO);
    CHECK(second == NULL);
    CHECK_CONTAINS(diag.message, "another program has this port");
    witan_door_close(&door, 0);
    CHECK_STATUS(open_at("tcp://*:*", 8, &door, &diag), WITAN_OK);
    witan_door_close(&door, 0);
}

static void
version_six(void)
{
    witan_diag diag;
    witan_door *door = NULL;
    if (open_at("tcp://[::1]:*", 8, &door, &diag) == WITAN_OK) {
        CHECK_CONTAINS(witan_door_endpoint(door), "tcp://[::1]:");
        CHECK_STATUS(witan_endpoint_reach(witan_door_endpoint(door), 2000, &diag),
                     WITAN_OK);
    }
    witan_door_close(&door, 0);
}

static void
too_few_files(void)
{
    struct rlimit before, less;
    witan_diag diag;
    witan_door *door = NULL;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_STATUS(open_at("tcp://127.0.0.1:*", (size_t)before.rlim_max, &door, &diag),
                 WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "ulimit -n");
    CHECK_CONTAINS(diag.message, "LimitNOFILE");
    less = before;
    less.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
    CHECK_STATUS(open_at("tcp://127.0.0.1:*", 100, &door, &diag), WITAN_OK);
    CHECK(getrlimit(RLIMIT_NOFILE, &less) == 0 && less.rlim_cur >= 356);
    witan_door_close(&door, 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void
reach(void)
{
    witan_diag diag = {0};
    witan_door *door = NULL;
    char endpoint[128];
    CHECK_STATUS(open_at("tcp://127.0.0.1:*", 8, &door, &diag), WITAN_OK);
    (void)snprintf(endpoint, sizeof endpoint, "%s", witan_door_endpoint(door));
    CHECK_STATUS(witan_endpoint_reach(endpoint, 2000, &diag), WITAN_OK);
    witan_door_close(&door, 0);
    CHECK_STATUS(witan_endpoint_reach(endpoint, 2000, &diag), WITAN_E_UNREACHABLE);
    CHECK_CONTAINS(diag.message, "refused");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_endpoint_reach("tcp://no-such-name.invalid:7700", 2000, &diag),
                 WITAN_E_UNREACHABLE);
    CHECK_CONTAINS(diag.message, "no-such-name.invalid");
    CHECK_STATUS(witan_endpoint_reach("tcp://x", 2000, NULL), WITAN_E_CONFIG);
}

/* Every allocation fails in turn; what was taken is given back. */
static void
failing_allocations(void)
{
    test_keys keys = test_keys_new();
    for (size_t fail_at = 1; fail_at < 10; fail_at++) {
        witan_failing_allocator failing;
        witan_door *door = NULL;
        witan_link *link = NULL;
        witan_failing_allocator_init(&failing, fail_at);
        const witan_door_config config = {.endpoint = "tcp://127.0.0.1:*",
                                          .public_key = keys.public_key,
                                          .secret_key = keys.secret_key,
                                          .message_max = FRAME,
                                          .connections_max = 8,
                                          .unread_max = UNREAD};
        witan_status status = witan_door_open(&door, &config, &failing.allocator, NULL);
        CHECK(status == WITAN_OK || (status == WITAN_E_MEMORY && door == NULL));
        if (status == WITAN_OK) {
            const witan_link_config linked = {.endpoint = witan_door_endpoint(door),
                                              .server_key = keys.public_key,
                                              .public_key = keys.public_key,
                                              .secret_key = keys.secret_key,
                                              .message_max = FRAME};
            status = witan_door_admit(door, &keys.public_key, 1);
            CHECK(status == WITAN_OK || failing.allocations == fail_at);
            status = witan_link_open(&link, &linked, &failing.allocator, NULL);
            CHECK(status == WITAN_OK || (status == WITAN_E_MEMORY && link == NULL));
        }
        witan_link_close(&link, 0);
        witan_door_close(&door, 0);
        CHECK(failing.live == 0);
        if (failing.allocations < fail_at) {
            return;
        }
    }
    CHECK(!"more allocations than this test tries");
}

/* Counts may be read, and a log written, while the guard works. */
static void
write_line(void *context, witan_log_level level, const char *id, const char *text)
{
    pthread_mutex_t *lock = context;
    (void)level;
    (void)pthread_mutex_lock(lock);
    CHECK_STRING(id, "door-cut");
    CHECK_CONTAINS(text, "kicked=1");
    (void)pthread_mutex_unlock(lock);
}

static void
logged(void)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const witan_log log = {.write = write_line, .context = &lock};
    test_keys server = test_keys_new(), own = test_keys_new();
    const witan_door_config config = {.endpoint = "tcp://127.0.0.1:*",
                                      .public_key = server.public_key,
                                      .secret_key = server.secret_key,
                                      .message_max = FRAME,
                                      .connections_max = 8,
                                      .unread_max = UNREAD,
                                      .log = &log};
    witan_door *door = NULL;
    CHECK_STATUS(witan_door_open(&door, &config, witan_allocator_default(), NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_door_admit(door, &own.public_key, 1), WITAN_OK);
    witan_link *link = test_link_open(witan_door_endpoint(door), &server, &own, FRAME);
    CHECK(test_round_trip_ms(door, link, WAIT_MS) >= 0);
    witan_door_kick(door, own.public_key);
    (void)test_door_serve(door, 1300);
    witan_link_close(&link, 0);
    witan_door_close(&door, 0);
}

int
main(void)
{
    RUN(two_ways);
    RUN(longest_frame);
    RUN(many_clients);
    RUN(unknown_key);
    RUN(wrong_server_key);
    RUN(removed_key);
    RUN(removed_key_that_was_silent);
    RUN(others_stay);
    RUN(kicked);
    RUN(gone_route);
    RUN(full_queue);
    RUN(unread_link);
    RUN(window_fits);
    RUN(wait_for_files);
    RUN(signal_ends_wait);
    RUN(linger);
    RUN(strangers);
    RUN(two_parts);
    RUN(full_house);
    RUN(wrong_endpoints);
    RUN(version_six);
    RUN(too_few_files);
    RUN(reach);
    RUN(failing_allocations);
    RUN(logged);
    return witan_test_finish();
}
