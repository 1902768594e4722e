/* coordinator.h - the coordinator's decisions as a step function: who is asked, whose
 * knowledge counts, when a round is fused, who hears the result, when it ends.
 * Why here: simulator and daemon run this very code; it never blocks, opens, prints or
 * asks for the time (docs/decisions/0001-step-function-cores.md).
 * Threads: one caller; witan_coordinator_fuse may run on another thread while no step
 * runs. Memory: taken in _new, except knowledge, which is moved in by messages. */
#ifndef WITAN_COORDINATOR_CORE_COORDINATOR_H
#define WITAN_COORDINATOR_CORE_COORDINATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fusion/fusion.h"
#include "wire/message.h"

typedef struct witan_coordinator_config {
    uint64_t seed;
    size_t clients;         /* N >= 1 */
    size_t rounds;          /* >= 1 */
    double participation;   /* (0, 1]: max(1, round(share * N)) clients are asked */
    size_t minimum_clients; /* knowledge needed to fuse, >= 1 */
    uint64_t deadline_ms;   /* from OPEN, and again from FUSED; 0 = wait for all */
    bool keep_late;         /* late knowledge is used in later rounds */
    size_t maximum_age;     /* rounds that late knowledge stays usable */
    const witan_fusion_ops *strategy; /* borrowed */
    witan_fusion_config fusion;
    /* The shape that knowledge must have; other uploads are refused. */
    witan_knowledge_kind kind;
    witan_codec codec;
    size_t rows, classes;
    size_t parameters; /* PARAMETERS exchange: floats */
} witan_coordinator_config;

typedef enum witan_coordinator_event_kind {
    WITAN_COORDINATOR_NEXT, /* open the next round (first event, and after ROUND_ENDED)
                             */
    WITAN_COORDINATOR_MESSAGE, /* a client said something */
    WITAN_COORDINATOR_TIMER,   /* a TIMER action fell due */
    WITAN_COORDINATOR_FUSED,   /* witan_coordinator_fuse returned WITAN_OK */
} witan_coordinator_event_kind;

typedef struct witan_coordinator_event {
    witan_coordinator_event_kind kind;
    witan_message *message; /* MESSAGE: taken (payload moved out, struct zeroed) */
    uint64_t timer;         /* TIMER: id from the action */
} witan_coordinator_event;

typedef enum witan_coordinator_action_kind {
    WITAN_COORDINATOR_SEND,        /* deliver message */
    WITAN_COORDINATOR_SET_TIMER,   /* come back at at_ms with this id */
    WITAN_COORDINATOR_FUSE,        /* call witan_coordinator_fuse, then event FUSED */
    WITAN_COORDINATOR_ROUND_ENDED, /* records are final; event NEXT goes on */
    WITAN_COORDINATOR_FINISHED,    /* after the last ROUND_ENDED */
    WITAN_COORDINATOR_REFUSED,     /* knowledge that was not accepted: see refusal */
} witan_coordinator_action_kind;

typedef enum witan_refusal {
    WITAN_REFUSAL_NONE,
    WITAN_REFUSAL_STRANGER,  /* client number out of range */
    WITAN_REFUSAL_UNASKED,   /* not asked in that round, or a round to come */
    WITAN_REFUSAL_DUPLICATE, /* already answered, in time or late */
    WITAN_REFUSAL_SHAPE,     /* rows, classes, codec, kind or size */
    WITAN_REFUSAL_VALUES,    /* not finite, not on the simplex */
    WITAN_REFUSAL_LATE, /* after the round was fused, and late knowledge is dropped or
                           this is too old */
} witan_refusal;
const char *witan_refusal_text(witan_refusal refusal);

typedef struct witan_coordinator_action {
    witan_coordinator_action_kind kind;
    witan_message
        message; /* SEND: owned by the receiver of the action; REFUSED: client */
    uint64_t at_ms, timer; /* SET_TIMER */
    witan_refusal refusal; /* REFUSED */
} witan_coordinator_action;

/* Filled by step; room for every action of one step is taken in _new. */
typedef struct witan_coordinator_actions {
    witan_coordinator_action *items;
    size_t count;
} witan_coordinator_actions;

/* What the current (or just ended) round knows of a client. */
typedef struct witan_coordinator_client {
    bool asked, answered, late, done;
    uint64_t samples;         /* last told */
    witan_soft_labels labels; /* fresh knowledge of this round, owned */
    float *parameters;        /* fedavg, owned */
    witan_soft_labels stale;  /* late knowledge, owned */
    uint32_t stale_round;     /* round it was meant for */
    uint64_t heard;           /* round after the newest one it was heard for */
} witan_coordinator_client;

typedef struct witan_coordinator witan_coordinator;

/* Errors: E_INVALID (a field out of its range), E_MEMORY. */
WITAN_NODISCARD witan_status
witan_coordinator_new(witan_coordinator **out, const witan_coordinator_config *config,
                      const witan_allocator *allocator);
void witan_coordinator_free(witan_coordinator **self);

/* One event in, actions out. *actions is borrowed until the next step.
 * Never fails on a message's content: bad knowledge becomes REFUSED. */
void witan_coordinator_step(witan_coordinator *self, uint64_t now_ms,
                            const witan_coordinator_event *event,
                            witan_coordinator_actions *actions);

/* The computing part of a FUSE action: weights and fused targets of the speakers.
 * Speakers are taken in client order. Errors: E_MEMORY, E_NUMERIC. */
WITAN_NODISCARD witan_status witan_coordinator_fuse(witan_coordinator *self);

/* Round that is open, or the next one to open between rounds; 0-based. */
size_t witan_coordinator_round(const witan_coordinator *self);
const witan_coordinator_client *
witan_coordinator_client_at(const witan_coordinator *self, size_t client);
/* Clients of the current round whose answer is still awaited. */
size_t witan_coordinator_awaited(const witan_coordinator *self);
/* Fusion weights of this round into W [N, N] (rows and columns of clients that did not
 * speak are 0); false when nothing was fused in it. */
bool witan_coordinator_weights(const witan_coordinator *self, double *W);

/* Puts a coordinator that was just made to the start of `round`: resuming. */
void witan_coordinator_restore(witan_coordinator *self, size_t round);
/* Gives back late knowledge of a client; takes *labels. */
void witan_coordinator_restore_stale(witan_coordinator *self, size_t client,
                                     witan_soft_labels *labels, uint32_t round);

#endif
