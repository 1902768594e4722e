/* client.h - the client's side of a round as a step function: when to train, what to
 * send, when to distill. The learning itself is in learner.h and runs wherever the
 * shell puts it (a worker thread, a simulator's pool).
 * Threads: one caller. Memory: caller storage; nothing is allocated. */
#ifndef WITAN_CLIENT_CORE_CLIENT_H
#define WITAN_CLIENT_CORE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/message.h"

typedef enum witan_client_phase {
    WITAN_CLIENT_IDLE,
    WITAN_CLIENT_TRAINING,   /* job TRAIN runs */
    WITAN_CLIENT_WAITING,    /* knowledge was sent, fused knowledge is awaited */
    WITAN_CLIENT_DISTILLING, /* job DISTILL runs */
} witan_client_phase;

typedef struct witan_client {
    uint32_t id;
    bool exchanges; /* the strategy lets clients speak */
    witan_client_phase phase;
    uint32_t round;      /* being worked on; IDLE: the last one, if any was opened */
    bool reopened;       /* another OPEN came while a job ran ... */
    uint32_t next_round; /* ... for this round */
    uint64_t unopened;   /* lowest round that was not opened yet: older OPENs repeat */
} witan_client;

typedef enum witan_client_event_kind {
    WITAN_CLIENT_MESSAGE,  /* OPEN or FUSED */
    WITAN_CLIENT_JOB_DONE, /* the job of the last RUN action finished */
} witan_client_event_kind;

typedef struct witan_client_event {
    witan_client_event_kind kind;
    const witan_message *message; /* MESSAGE; its payload is left to the shell */
} witan_client_event;

typedef enum witan_client_job {
    WITAN_CLIENT_JOB_NONE,
    WITAN_CLIENT_JOB_TRAIN,   /* local training, then extraction when it exchanges */
    WITAN_CLIENT_JOB_DISTILL, /* learn from the FUSED message of this very event */
} witan_client_job;

/* At most one message and one job come out of a step. The shell attaches the extracted
 * knowledge to a KNOWLEDGE message, and keeps it: the message may be asked for again.
 */
typedef struct witan_client_actions {
    bool send;
    witan_message_kind message; /* KNOWLEDGE or DONE */
    uint32_t message_round;
    witan_client_job job;
    uint32_t job_round;
} witan_client_actions;

void witan_client_init(witan_client *self, uint32_t id, bool exchanges);

/* Goes on from the snapshot that a shell made durable when a job ended, in a client
 * that was just initialised: WAITING after TRAIN (with the knowledge to say), IDLE
 * after DISTILL (or TRAIN when nothing is exchanged), or IDLE, 0, 0 when there is none.
 * `unopened` is round + 1 of the job that ended: a round that was opened while it ran
 * is opened again by the coordinator. Errors: E_INVALID (anything else), *self
 * unchanged. */
WITAN_NODISCARD witan_status witan_client_restore(witan_client *self,
                                                  witan_client_phase phase,
                                                  uint32_t round, uint64_t unopened);

/* One event in, actions out. A message that is repeated because its sender lost sight
 * of us is answered again: OPEN of a round whose knowledge was sent, FUSED of a round
 * that was distilled. Other messages that fit no phase (older rounds) change nothing.
 */
void witan_client_step(witan_client *self, uint64_t now_ms,
                       const witan_client_event *event, witan_client_actions *actions);

#endif
