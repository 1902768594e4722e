/* door.h - the coordinator's socket: a ROUTER behind CURVE, a ZAP handler that admits
 * listed keys only, and a guard that cuts connections which send more than they may.
 * Why here: nothing above this room knows ZeroMQ. The facts behind every setting were
 * measured: docs/decisions/0011-two-layers.md.
 * Identity of a sender is the CURVE key that ZAP admitted, never a routing id.
 * Threads: one owner calls everything; ZAP and guard threads are internal. */
#ifndef WITAN_TRANSPORT_DOOR_H
#define WITAN_TRANSPORT_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    WITAN_DOOR_KEY = 32,
    WITAN_ROUTE_MAX = 16
};

typedef struct witan_door_config {
    const char *endpoint; /* "tcp://0.0.0.0:7700"; port "*": chosen by the system */
    const uint8_t *public_key; /* [32] X25519, copied */
    const uint8_t *secret_key; /* [32] copied into the library, wiped on close as far as
                                  the library allows */
    size_t message_max;        /* bytes of a frame; longer ones end their connection */
    size_t connections_max;    /* open connections, half-open ones included */
    size_t unread_max;         /* bytes a connection may have sent beyond what was
                                  delivered, before it is cut; raised to what honest
                                  ones may have on the way: 10 frames and 1.5 MiB. Of one
                                  key, 16 connections at most while the owner leaves
                                  the queue unread */
    const witan_log *log;      /* nullable; called from internal threads too */
} witan_door_config;

typedef struct witan_door witan_door;

/* Binds after the ZAP handler is up. Errors: E_CONFIG (endpoint), E_IO (address in use,
 * no permission, too few file descriptors for connections_max; `diag` says which),
 * E_UNSUPPORTED (libzmq without CURVE), E_MEMORY. */
WITAN_NODISCARD witan_status witan_door_open(witan_door **out,
                                             const witan_door_config *config,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);
/* Sends what is queued for up to linger_ms, then closes; NULL-safe. */
void witan_door_close(witan_door **self, int linger_ms);

/* "tcp://127.0.0.1:41235": the address bound, with its real port. */
const char *witan_door_endpoint(const witan_door *self);

/* Replaces the list of admitted keys (an empty one admits nobody, and so it starts) and
 * shuts live connections of keys that are no longer in it. Errors: E_MEMORY (the old
 * list stands). Cost O(count log count). */
WITAN_NODISCARD witan_status witan_door_admit(witan_door *self,
                                              const uint8_t (*keys)[WITAN_DOOR_KEY],
                                              size_t count);

typedef struct witan_door_frame {
    uint8_t key[WITAN_DOOR_KEY];    /* who, by CURVE */
    uint8_t route[WITAN_ROUTE_MAX]; /* which connection: for the answer */
    size_t route_size;
    const uint8_t *bytes; /* borrowed until the next receive */
    size_t size;
} witan_door_frame;

/* The next frame, without waiting; false when there is none. Messages that are not
 * exactly one part end their connection and are not delivered. */
bool witan_door_receive(witan_door *self, witan_door_frame *out);

/* Without waiting. Errors: E_UNREACHABLE (that connection is gone), E_BUSY (its queue
 * is full; try again), E_LIMIT (longer than message_max), E_IO. */
witan_status witan_door_send(witan_door *self, const uint8_t *route, size_t route_size,
                             const void *bytes, size_t size);

/* Ends the live connections of a key at once; it may come back unless it was taken off
 * the list. */
void witan_door_kick(witan_door *self, const uint8_t key[WITAN_DOOR_KEY]);

/* Waits until a frame can be received, one of `files` [count, <= 8] is readable, or
 * timeout_ms passed (< 0: for ever). True when a frame may be there. Signals end the
 * wait early. */
bool witan_door_wait(witan_door *self, const int *files, size_t count, int timeout_ms);

typedef struct witan_door_counts {
    uint64_t connections; /* open now, half-open ones included */
    uint64_t accepted, handshakes, refused, kicked;
    uint64_t bytes_in, bytes_out; /* frames, without CURVE's own bytes */
} witan_door_counts;
void witan_door_count(witan_door *self, witan_door_counts *out);

#endif
