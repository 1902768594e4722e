/* socket.h - what door and link share of ZeroMQ: contexts whose random numbers are
 * seeded, calls that signals do not break, monitors, endpoints. Private to the room.
 * Source: https://rfc.zeromq.org/spec/23 (ZMTP 3.0), /spec/26 (CURVE). */
#ifndef WITAN_TRANSPORT_SOCKET_H
#define WITAN_TRANSPORT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zmq.h>

#include "base/limits.h"
#include "base/status.h"

enum {
    /* What CURVE adds to a frame: name, nonce, flags, MAC. ZeroMQ's limit on messages
     * is held against the encrypted frame. */
    WITAN_CURVE_OVERHEAD = 33,
    WITAN_HANDSHAKE_FRAME_MAX = 1024, /* the handshake's own frames must fit as well */
    WITAN_WAIT_FILES_MAX = 8
};

/* A fresh context with one I/O thread. libzmq draws routing ids and reconnect jitter
 * from rand(), which it does not seed: an id that can be guessed lets an admitted peer
 * abort the process. NULL when there is no memory or no file descriptor. */
void *witan_context_new(void);
/* Waits for what lingers; NULL-safe. Every socket of it was closed before. */
void witan_context_free(void *context);

typedef struct witan_socket_option {
    int name, value;
} witan_socket_option;
bool witan_socket_set(void *socket, const witan_socket_option *options, size_t count);
/* The kernel ends a connection whose other side is gone: after 60 s without a word, or
 * after 30 s in which it took nothing. ZeroMQ's heartbeats stay off: their timer writes
 * to sockets that libzmq has let go of, and aborts. */
bool witan_socket_notice_silence(void *socket);
/* ZMQ_MAXMSGSIZE for frames of `message_max` bytes under CURVE. */
bool witan_socket_limit(void *socket, size_t message_max);

/* zmq_msg_recv that a signal does not end; `message` is initialised. */
int witan_socket_receive(void *socket, zmq_msg_t *message, int flags);
/* Reads and drops what is left of a message; the bytes on the wire that it took. */
uint64_t witan_socket_drain(void *socket);
/* Bytes on the wire of a part of `size` bytes under CURVE: what TCP counted. */
uint64_t witan_wire_size(size_t size);

/* A PAIR that receives `events` of `socket`, or NULL. */
void *witan_monitor_new(void *context, void *socket, int events);
/* The next event without waiting; false when there is none or the context ends. */
bool witan_monitor_next(void *monitor, int *event, uint32_t *value);

/* Polls `sockets` and `files`; true when the first socket is readable. A signal ends
 * the wait. */
bool witan_sockets_wait(void *const *sockets, size_t socket_count, const int *files,
                        size_t file_count, int timeout_ms);

typedef struct witan_endpoint {
    char host[WITAN_ENDPOINT_MAX + 1]; /* without brackets */
    char port[6];
    bool six; /* an IPv6 address, or "*": needs an IPv6 socket */
} witan_endpoint;
/* "tcp://host:port", "tcp://[address]:port"; `to_bind` also allows the host "*" and the
 * ports "*" and 0. Errors: E_CONFIG. */
witan_status witan_endpoint_parse(witan_endpoint *out, const char *endpoint,
                                  bool to_bind, witan_diag *diag);

#endif
