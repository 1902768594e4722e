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
    size_t target_clients;  /* knowledge that is enough after grace_ms; 0 = all asked */
    uint64_t grace_ms;      /* wait for more once there are enough, here and there */
    uint64_t deadline_ms;   /* from OPEN, and again from FUSED; 0 = wait for all */
    bool presence;       /* clients come and go by events, absent at first; else all are
                            always present */
    uint64_t absence_ms; /* an absent client is awaited this long; 0 = for ever */
    bool keep_late;      /* late knowledge is used in later rounds */
    size_t maximum_age;  /* rounds that late knowledge stays usable */
    const witan_fusion_ops *strategy; /* borrowed */
    witan_fusion_config fusion;
    /* The shape that knowledge must have; other uploads are refused. */
    witan_knowledge_kind kind;
    witan_codec codec;
    size_t rows, classes;
    size_t parameters; /* PARAMETERS exchange: floats */
} witan_coordinator_config;

typedef enum witan_coordinator_event_kind {
    /* Open the next round (first event, and after ROUND_ENDED). With presence it opens
     * when target_clients (0: all seats) are present, or minimum_clients for grace_ms;
     * the participants are drawn among those present then. */
    WITAN_COORDINATOR_NEXT,
    WITAN_COORDINATOR_MESSAGE, /* a client said something */
    WITAN_COORDINATOR_TIMER,   /* a SET_TIMER action fell due */
    WITAN_COORDINATOR_FUSED,   /* witan_coordinator_fuse returned WITAN_OK */
    /* With presence only, and repeated ones are harmless: */
    WITAN_COORDINATOR_PRESENT, /* connected and ready: is told again what it may have
                                  missed of this round */
    WITAN_COORDINATOR_ABSENT,  /* its connection is lost */
    WITAN_COORDINATOR_REMOVED, /* revoked: what it said is forgotten unless it is fused,
                                  and nothing of it is awaited; its seat is free for
                                  somebody else (PRESENT) */
} witan_coordinator_event_kind;

typedef struct witan_coordinator_event {
    witan_coordinator_event_kind kind;
    witan_message *message; /* MESSAGE: taken (payload moved out, struct zeroed) */
    uint64_t timer;         /* TIMER: id from the action */
    uint32_t client;        /* PRESENT, ABSENT, REMOVED; below config.clients */
} witan_coordinator_event;

typedef enum witan_coordinator_action_kind {
    WITAN_COORDINATOR_ROUND_OPENED, /* message.round opens; before its OPEN messages, so
                                       that who is asked can be made durable first */
    WITAN_COORDINATOR_SEND,         /* deliver message; dropped for an absent client */
    WITAN_COORDINATOR_SEND_AGAIN,   /* message.client missed the FUSED message of
                                       message.round: deliver it again */
    WITAN_COORDINATOR_SET_TIMER,    /* come back at at_ms with this id */
    WITAN_COORDINATOR_FUSE,         /* last action of its step: call
                                       witan_coordinator_fuse, then event FUSED */
    WITAN_COORDINATOR_ROUND_ENDED,  /* records are final; event NEXT goes on */
    WITAN_COORDINATOR_FINISHED,     /* after the last ROUND_ENDED */
    WITAN_COORDINATOR_REFUSED,      /* knowledge that was not accepted: see refusal */
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
    /* SEND: owned by the receiver of the action; REFUSED, SEND_AGAIN: client, round;
     * ROUND_OPENED: round. */
    witan_message message;
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
    bool present;             /* with presence */
    bool gone;                /* absent for too long: not awaited until it returns */
    bool removed;             /* revoked after this round was fused */
    uint64_t absence_timer;   /* makes it gone; 0 = none */
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

/* What step would say of this message as knowledge, changing nothing that counts: a
 * shell makes accepted knowledge durable between judge and step. When the answer is
 * NONE, *late tells whether it is kept as late knowledge, and *used_from the first
 * round whose fusion can use it. */
witan_refusal witan_coordinator_judge(witan_coordinator *self,
                                      const witan_message *message, bool *late,
                                      uint32_t *used_from);

/* The computing part of a FUSE action: weights and fused targets of the speakers.
 * Speakers are taken in client order; when all were removed meanwhile nobody hears
 * anything. The result is a function of what was accepted. Errors: E_MEMORY, E_NUMERIC;
 * it may be called again. */
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

/* --- going on after a crash, or in another process --------------------------------
 * A coordinator that was just made is brought back in this order:
 *   restore            the round that is open, or opens next
 *   restore_heard, restore_asked, restore_stale    what earlier rounds left behind
 *   reopen             when that round had been opened
 *   restore_answer     for its knowledge that was accepted in time
 *   resume             once
 * Then events go in as ever: the FUSED event if FUSE came out of resume, what was
 * durable and can only come after it (REMOVED of clients whose answer is fused, late
 * knowledge with used_from above the round, DONE), and NEXT when no round had been
 * opened. With presence all clients are absent. Whose seat was removed before the
 * fusion of the reopened round counts as not asked and not heard, in this round and
 * earlier ones; whose was removed after it is restored with all it had said, late
 * knowledge too, and removed by the event: so the fused bytes come out equal. */

/* To the start of `round`. */
void witan_coordinator_restore(witan_coordinator *self, size_t round);
/* The newest round, below the restored one, that knowledge of this client was accepted
 * for in time: its repetitions stay duplicates. */
void witan_coordinator_restore_heard(witan_coordinator *self, size_t client,
                                     uint32_t round);
/* Who was asked in a round before the restored one. Needed with presence and keep_late,
 * for the last maximum_age rounds; without it their late knowledge is refused. */
void witan_coordinator_restore_asked(witan_coordinator *self, uint32_t round,
                                     const bool *asked);
/* Gives back a client's newest late knowledge with used_from up to the restored round,
 * unless it answered in time in a round between; takes *labels. */
void witan_coordinator_restore_stale(witan_coordinator *self, size_t client,
                                     witan_soft_labels *labels, uint32_t round,
                                     uint64_t samples);
/* The restored round had been opened; asked [clients]. */
void witan_coordinator_reopen(witan_coordinator *self, const bool *asked);
/* Knowledge of the reopened round that was accepted in time; takes its payload. Returns
 * what step would say: NONE, or why it was left out. */
witan_refusal witan_coordinator_restore_answer(witan_coordinator *self,
                                               witan_message *message);
/* Goes on in the reopened round with fresh timers; the FUSE action comes at once when
 * it had been fused before (`fused`) or nothing keeps it waiting. Nothing happens when
 * no round was reopened. *actions is borrowed until the next step. */
void witan_coordinator_resume(witan_coordinator *self, uint64_t now_ms, bool fused,
                              witan_coordinator_actions *actions);

/* --- what a round exchanged --------------------------------------------------------
 */

/* BLAKE2b-256 over round, then for each client whether it answered, the digest of its
 * knowledge and of what it was sent (zeros for nothing; both when it did not answer),
 * each over the payload's bytes. Equal digests: the same exchange. */
void witan_exchange_digest(uint8_t out[32], uint32_t round, size_t clients,
                           const bool *answered, const uint8_t (*knowledge)[32],
                           const uint8_t (*fused)[32]);

#endif
