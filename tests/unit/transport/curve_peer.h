/* curve_peer.h - a client of CURVE over a plain TCP socket, byte by byte: it can send
 * what libzmq's own sockets never would.
 * Source: https://rfc.zeromq.org/spec/26 (CurveZMQ), /spec/23 (ZMTP 3.0). */
#ifndef WITAN_TEST_CURVE_PEER_H
#define WITAN_TEST_CURVE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"

enum {
    CURVE_MORE = 1,
    CURVE_COMMAND = 2
};

typedef struct curve_peer {
    int file;           /* -1 once closed */
    uint8_t shared[32]; /* of both short-term keys */
    uint64_t nonce;
} curve_peer;

/* Connects and does the handshake within 5 s; `identity` [identity_size] goes into the
 * metadata. False when the door does not let it in; close it in either case. */
bool curve_peer_open(curve_peer *self, const char *endpoint, const test_keys *server,
                     const test_keys *own, const void *identity, size_t identity_size);
void curve_peer_close(curve_peer *self);
/* Ends the connection with a reset instead of an end of file. */
void curve_peer_reset(curve_peer *self);
/* Holds back what is sent, until it is let go as one piece. */
void curve_peer_hold(curve_peer *self, bool hold);

/* Sends one part; `flags` CURVE_MORE, CURVE_COMMAND. False when the connection is gone,
 * or when nothing could be written for timeout_ms. */
bool curve_peer_send(curve_peer *self, const void *bytes, size_t size, int flags,
                     int timeout_ms);
/* Bytes as they are. */
bool curve_peer_raw(curve_peer *self, const void *bytes, size_t size, int timeout_ms);

#endif
