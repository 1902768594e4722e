/* conversation.h - one attempt at talking with the coordinator: link, handshake, sealed
 * packets, heartbeats. Ends once and for all; whoever owns it opens the next one.
 * Why here: enrolling, taking part and the doctor's look say different things over the
 * same conversation. docs/protocol.md.
 * At most one frame waits to be sent: nothing is received while one does, so that a
 * peer that does not read cannot make us queue. Threads: one owner. */
#ifndef WITAN_CLIENT_SHELL_CONVERSATION_H
#define WITAN_CLIENT_SHELL_CONVERSATION_H

#include "secure/identity.h"
#include "secure/session.h"
#include "wire/packet.h"

typedef struct node_talk_config {
    const char *endpoint;
    const witan_public_identity *coordinator; /* pinned; copied */
    const witan_identity *identity;           /* borrowed until freed */
    const uint8_t *door_public, *door_secret; /* [32] CURVE pair */
    const uint8_t *psk;                       /* [32] copied by nobody: borrowed */
    const uint8_t *token;                     /* [8] enrolment, else NULL */
} node_talk_config;

typedef enum node_talk_state {
    NODE_TALK_CONNECTING, /* the door has not let us in yet */
    NODE_TALK_SHAKING,    /* HELLO is on its way, or waits for WELCOME */
    NODE_TALK_OPEN,
    NODE_TALK_ENDED, /* see node_talk_end */
} node_talk_state;

typedef enum node_talk_end {
    NODE_END_UNREACHABLE, /* nobody answered */
    NODE_END_REFUSED,     /* the door did not let us in */
    NODE_END_UNSAID,      /* the door let us in, but no WELCOME came */
    NODE_END_VERSION,     /* no version in common */
    NODE_END_LOST,        /* the connection broke */
    NODE_END_SILENT,      /* three heartbeats without a frame */
    NODE_END_FORGED,      /* a frame was not the coordinator's, or made no sense */
    NODE_END_ALERTED,     /* told to start again */
} node_talk_end;

typedef struct node_talk node_talk;

/* Starts connecting. Errors: E_CONFIG (endpoint), E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status node_talk_new(node_talk **out,
                                           const node_talk_config *config,
                                           uint64_t now_ms,
                                           const witan_allocator *allocator,
                                           witan_diag *diag);
/* Sends what is queued for up to linger_ms; NULL-safe. */
void node_talk_free(node_talk **self, int linger_ms);

/* Follows the connection: says HELLO, sends what waits, says PING when there was
 * nothing else to say, notices silence. */
void node_talk_step(node_talk *self, uint64_t now_ms);
/* The next packet for the caller; handshake, PING and PONG are dealt with inside.
 * Borrowed fields live until the next call. */
bool node_talk_receive(node_talk *self, uint64_t now_ms, witan_packet *out);
/* Whether a packet can be said now. */
bool node_talk_can_say(const node_talk *self);
/* Only after node_talk_can_say. What cannot be said ends the conversation. */
void node_talk_say(node_talk *self, uint64_t now_ms, const witan_packet *packet);
/* Waits for a frame, for `file` (-1: none) to become readable, or timeout_ms. */
void node_talk_wait(node_talk *self, int file, int timeout_ms);

node_talk_state node_talk_state_of(const node_talk *self);
/* Why it ended. */
node_talk_end node_talk_end_of(const node_talk *self);
/* From OPEN on. */
const witan_welcome *node_talk_welcome(const node_talk *self);
const uint8_t *node_talk_hash(const node_talk *self);
/* [32] BLAKE2b-256 of the coordinator's signing key. */
const uint8_t *node_talk_federation(const node_talk *self);

#endif
