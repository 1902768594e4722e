/* coordinator_private.h - what the coordinator's parts share: its state, and how a
 * round begins, goes on and ends. Private to this room. */
#ifndef WITAN_COORDINATOR_CORE_COORDINATOR_PRIVATE_H
#define WITAN_COORDINATOR_CORE_COORDINATOR_PRIVATE_H

#include "coordinator/core/coordinator.h"

typedef enum coordinator_phase {
    PHASE_BETWEEN, /* waits for NEXT, then for clients */
    PHASE_COLLECT, /* waits for knowledge */
    PHASE_FUSE,    /* waits for FUSED */
    PHASE_SETTLE,  /* waits for DONE */
    PHASE_FINISHED,
} coordinator_phase;

struct witan_coordinator {
    const witan_allocator *allocator;
    witan_coordinator_config config;
    coordinator_phase phase;
    size_t round;
    bool wanted;     /* BETWEEN: NEXT came, too few clients are present */
    uint64_t timers; /* ids given out; those below are the ones that count, 0 = none */
    uint64_t deadline_timer, grace_timer;
    size_t present;         /* clients */
    size_t asked, answered; /* clients of this round */
    size_t awaited;         /* COLLECT: answers, SETTLE: DONEs; gone clients left out */
    witan_coordinator_client *client; /* [clients] */
    uint32_t *order;    /* [clients] shuffled: the first ones are asked in ... */
    size_t order_round; /* ... this round, plus 1; 0 = none yet */
    /* Who was asked, [window, clients] by round modulo window; NULL when it is not
     * needed, or can be drawn again. */
    bool *history;
    size_t window;
    /* Result of the last fusion. */
    bool fused;
    size_t speakers;
    uint32_t *speaker;        /* [clients] ids, ascending */
    double *weights;          /* [speakers, speakers] */
    witan_soft_labels *mixed; /* [clients] by speaker position, moved out when sent */
    float *average;           /* fedavg */
    witan_coordinator_action *actions;
    size_t actions_count, actions_room;
};

/* coordinator_ask.c: who is asked. */

/* Sets client->asked of the round that opens now. */
void coordinator_choose(witan_coordinator *self);
/* Remembers who was asked in the current round. */
void coordinator_remember_asked(witan_coordinator *self);
/* Whether a client was asked in a round that is over. True, too, when that is so long
 * ago that what it says is too late anyway. */
bool coordinator_was_asked(witan_coordinator *self, uint32_t client, size_t round);

/* coordinator.c: the course of a round. */

void coordinator_forget_fresh(witan_coordinator *self, size_t client);
void coordinator_clear_actions(witan_coordinator *self);
/* Nothing of the last round is left but late knowledge that is not too old. */
void coordinator_clear_round(witan_coordinator *self);
/* Into the first phase of a round whose clients were asked. */
void coordinator_enter(witan_coordinator *self);
void coordinator_start_deadline(witan_coordinator *self, uint64_t now_ms);
/* The next timer id, to fall due after a delay. */
uint64_t coordinator_set_timer(witan_coordinator *self, uint64_t now_ms,
                               uint64_t delay_ms);
void coordinator_take_answer(witan_coordinator *self, witan_message *message);
void coordinator_begin_fusion(witan_coordinator *self);
/* Ends COLLECT or SETTLE when nothing keeps it waiting. */
void coordinator_advance(witan_coordinator *self, uint64_t now_ms);

/* coordinator_fuse.c */
void coordinator_forget_fusion(witan_coordinator *self);

#endif
