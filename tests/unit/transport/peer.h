/* peer.h - what tests of the transport share: key pairs, a door on 127.0.0.1, peers
 * that break rules which a link keeps, and figures of this process. */
#ifndef WITAN_TEST_PEER_H
#define WITAN_TEST_PEER_H

#include <stdint.h>

#include <zmq.h>

#include "transport/door.h"
#include "transport/link.h"

typedef struct test_keys {
    uint8_t public_key[32], secret_key[32];
} test_keys;
test_keys test_keys_new(void);

/* A door on a port of the system's choice; ends the program when it cannot be. */
witan_door *test_door_open(const test_keys *keys, size_t message_max,
                           size_t connections_max, size_t unread_max);
witan_link *test_link_open(const char *endpoint, const test_keys *server,
                           const test_keys *own, size_t message_max);

/* A DEALER of plain ZeroMQ with our CURVE keys, which takes `queue_frames` unread
 * frames (0: any number); NULL keys: NULL mechanism. Close with test_peer_close. */
typedef struct test_peer {
    void *context, *socket;
} test_peer;
test_peer test_peer_open(const char *endpoint, const test_keys *server,
                         const test_keys *own, int queue_frames);
void test_peer_close(test_peer *self);

/* A plain TCP connection to tcp://127.0.0.1:port, or -1. */
int test_tcp_connect(const char *endpoint);
/* Whether the other side ended the connection within timeout_ms; reads what comes. */
bool test_tcp_ended(int file, int timeout_ms);

uint64_t test_now_ms(void);
/* Of this process. */
double test_rss_mb(void);
double test_cpu_seconds(void);
void test_sleep_ms(int ms);

/* Serves the door until a frame comes or the time is over. */
bool test_door_next(witan_door *door, witan_door_frame *frame, int timeout_ms);
/* Serves the door and drops what comes for timeout_ms. Returns frames. */
size_t test_door_serve(witan_door *door, int timeout_ms);
/* Waits until the link is in `state`; serves `door` meanwhile if it is not NULL. */
bool test_link_becomes(witan_link *link, witan_door *door, witan_link_state state,
                       int timeout_ms);
/* Sends one frame and waits for the door to deliver it: how long, or -1. */
int test_round_trip_ms(witan_door *door, witan_link *link, int timeout_ms);

#endif
