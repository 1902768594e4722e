/* message.h - what coordinator and client say to each other in a round.
 * Why here: both cores, the simulator and the daemons share these structs; how they
 * become bytes on a socket is this room's business too and nobody else's.
 * A round:  OPEN -> (train, extract) -> KNOWLEDGE -> (fuse) -> FUSED -> (distill) ->
 * DONE. Strategies without exchange answer OPEN with DONE. */
#ifndef WITAN_WIRE_MESSAGE_H
#define WITAN_WIRE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "knowledge/soft_labels.h"

typedef enum witan_message_kind {
    WITAN_MESSAGE_OPEN,      /* coordinator: round `round` is open, you are asked */
    WITAN_MESSAGE_KNOWLEDGE, /* client: my soft labels, or my parameters (fedavg) */
    WITAN_MESSAGE_FUSED,     /* coordinator: what you shall learn from */
    WITAN_MESSAGE_DONE,      /* client: this round is finished on my side */
} witan_message_kind;

typedef struct witan_message {
    witan_message_kind kind;
    uint32_t client; /* sender or recipient */
    uint32_t round;  /* 0-based */
    /* KNOWLEDGE and FUSED: one of the two, owned; the other is empty (bytes, NULL). */
    witan_soft_labels labels;
    float *parameters;
    size_t parameters_count;
    uint64_t samples; /* KNOWLEDGE: private training rows behind it */
} witan_message;

/* Frees the payload and zeroes the message. */
void witan_message_fini(witan_message *self, const witan_allocator *allocator);

/* Payload bytes as they travel: encoded soft labels or float32 parameters. Framing and
 * encryption come on top and are counted at the socket by the daemons. */
uint64_t witan_message_payload_bytes(const witan_message *self);

#endif
