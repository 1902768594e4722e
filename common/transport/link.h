/* link.h - the client's socket: a DEALER behind CURVE with the coordinator's key
 * pinned. A link is one attempt at a connection: whoever owns it closes it when nothing
 * comes back, and opens the next one after a jittered wait (docs/protocol.md). Threads:
 * one owner. */
#ifndef WITAN_TRANSPORT_LINK_H
#define WITAN_TRANSPORT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct witan_link_config {
    const char *endpoint;                   /* tcp://host:port */
    const uint8_t *server_key;              /* [32] pinned */
    const uint8_t *public_key, *secret_key; /* [32] own CURVE pair */
    size_t message_max;
} witan_link_config;

typedef struct witan_link witan_link;

/* Starts connecting; returns at once. Errors: E_CONFIG (endpoint), E_MEMORY, E_IO. */
WITAN_NODISCARD witan_status witan_link_open(witan_link **out,
                                             const witan_link_config *config,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);
/* Sends what is queued for up to linger_ms; NULL-safe. */
void witan_link_close(witan_link **self, int linger_ms);

/* What is known of the connection: drained by receive and wait. */
typedef enum witan_link_state {
    WITAN_LINK_CONNECTING,
    WITAN_LINK_OPEN,    /* CURVE handshake done: the door let us in */
    WITAN_LINK_REFUSED, /* something answers there, but it does not let us in, or is not
                           the coordinator that we know; close it, the library may not
                           try again */
    WITAN_LINK_LOST,    /* was open once; the library tries again by itself, and sends
                           what was still queued when it is OPEN again */
} witan_link_state;
witan_link_state witan_link_state_of(witan_link *self);

/* The next frame, without waiting, borrowed until the next receive; false when there is
 * none. Messages of more than one part are dropped. */
bool witan_link_receive(witan_link *self, const uint8_t **bytes, size_t *size);
/* Without waiting. Errors: E_BUSY (queue full or not OPEN), E_LIMIT (longer than
 * message_max), E_IO. */
witan_status witan_link_send(witan_link *self, const void *bytes, size_t size);
/* As witan_door_wait; a change of state ends the wait early too. */
bool witan_link_wait(witan_link *self, const int *files, size_t count, int timeout_ms);

/* Whether a TCP connection to the endpoint can be made within timeout_ms: for `doctor`.
 * Errors: E_UNREACHABLE with the system's reason (name unknown, refused, timed out). */
WITAN_NODISCARD witan_status witan_endpoint_reach(const char *endpoint, int timeout_ms,
                                                  witan_diag *diag);

#endif
