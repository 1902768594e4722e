#include "client/core/client.h"

#include <string.h>

void
witan_client_init(witan_client *self, uint32_t id, bool exchanges)
{
    memset(self, 0, sizeof *self);
    self->id = id;
    self->exchanges = exchanges;
}

witan_status
witan_client_restore(witan_client *self, witan_client_phase phase, uint32_t round,
                     uint64_t unopened)
{
    bool waits = phase == WITAN_CLIENT_WAITING && self->exchanges;
    bool fresh = phase == WITAN_CLIENT_IDLE && round == 0 && unopened == 0;
    bool ended =
        (waits || phase == WITAN_CLIENT_IDLE) && unopened == (uint64_t)round + 1;
    if (!fresh && !ended) {
        return WITAN_E_INVALID;
    }
    self->phase = phase;
    self->round = round;
    self->unopened = unopened;
    return WITAN_OK;
}

static void
start_round(witan_client *self, uint32_t round, witan_client_actions *actions)
{
    self->phase = WITAN_CLIENT_TRAINING;
    self->round = round;
    self->reopened = false;
    actions->job = WITAN_CLIENT_JOB_TRAIN;
    actions->job_round = round;
}

static void
send_message(witan_client *self, witan_message_kind kind, witan_client_actions *actions)
{
    actions->send = true;
    actions->message = kind;
    actions->message_round = self->round;
}

/* The last round was finished, not only trained. */
static bool
is_done(const witan_client *self, uint32_t round)
{
    return self->phase == WITAN_CLIENT_IDLE && round == self->round &&
           round < self->unopened;
}

static void
take_open(witan_client *self, uint32_t round, witan_client_actions *actions)
{
    if (round < self->unopened) { /* repeated: this round is under way or done */
        if (self->phase == WITAN_CLIENT_WAITING && round == self->round) {
            send_message(self, WITAN_MESSAGE_KNOWLEDGE, actions);
        } else if (is_done(self, round) && !self->exchanges) {
            send_message(self, WITAN_MESSAGE_DONE, actions);
        }
        return;
    }
    self->unopened = (uint64_t)round + 1;
    switch (self->phase) {
    case WITAN_CLIENT_IDLE:
    case WITAN_CLIENT_WAITING: /* the old round ended without us */
        start_round(self, round, actions);
        break;
    case WITAN_CLIENT_TRAINING:
    case WITAN_CLIENT_DISTILLING:
        self->reopened = true;
        self->next_round = round;
        break;
    }
}

static void
take_fused(witan_client *self, uint32_t round, witan_client_actions *actions)
{
    if (self->phase == WITAN_CLIENT_WAITING && round == self->round) {
        self->phase = WITAN_CLIENT_DISTILLING;
        actions->job = WITAN_CLIENT_JOB_DISTILL;
        actions->job_round = round;
    } else if (is_done(self, round) && self->exchanges) {
        send_message(self, WITAN_MESSAGE_DONE, actions);
    }
}

static void
finish_job(witan_client *self, witan_client_actions *actions)
{
    if (self->phase == WITAN_CLIENT_TRAINING && self->exchanges) {
        send_message(self, WITAN_MESSAGE_KNOWLEDGE, actions);
        self->phase = WITAN_CLIENT_WAITING;
    } else if (self->phase == WITAN_CLIENT_TRAINING ||
               self->phase == WITAN_CLIENT_DISTILLING) {
        send_message(self, WITAN_MESSAGE_DONE, actions);
        self->phase = WITAN_CLIENT_IDLE;
    } else {
        return;
    }
    if (self->reopened) {
        start_round(self, self->next_round, actions);
    }
}

void
witan_client_step(witan_client *self, uint64_t now_ms, const witan_client_event *event,
                  witan_client_actions *actions)
{
    (void)now_ms;
    memset(actions, 0, sizeof *actions);
    if (event->kind == WITAN_CLIENT_JOB_DONE) {
        finish_job(self, actions);
    } else if (event->message->kind == WITAN_MESSAGE_OPEN) {
        take_open(self, event->message->round, actions);
    } else if (event->message->kind == WITAN_MESSAGE_FUSED) {
        take_fused(self, event->message->round, actions);
    }
}
