/* The client's side of a round, every event in every phase. */
#include "client/core/client.h"
#include "support/witan_test.h"

static witan_client_actions
open_round(witan_client *self, uint32_t round)
{
    witan_message message = {.kind = WITAN_MESSAGE_OPEN, .round = round};
    witan_client_actions actions;
    witan_client_step(self, 0, &(witan_client_event){WITAN_CLIENT_MESSAGE, &message},
                      &actions);
    return actions;
}

static witan_client_actions
say(witan_client *self, witan_message_kind kind, uint32_t round)
{
    witan_message message = {.kind = kind, .round = round};
    witan_client_actions actions;
    witan_client_step(self, 0, &(witan_client_event){WITAN_CLIENT_MESSAGE, &message},
                      &actions);
    return actions;
}

static witan_client_actions
job_done(witan_client *self)
{
    witan_client_actions actions;
    witan_client_step(self, 0, &(witan_client_event){WITAN_CLIENT_JOB_DONE, NULL},
                      &actions);
    return actions;
}

/* A client of an exchanging strategy in a phase of round 3. */
static witan_client
client_in(witan_client_phase phase)
{
    witan_client self;
    witan_client_init(&self, 5, true);
    CHECK(self.id == 5 && self.phase == WITAN_CLIENT_IDLE);
    if (phase != WITAN_CLIENT_IDLE) {
        (void)open_round(&self, 3);
    }
    if (phase == WITAN_CLIENT_WAITING || phase == WITAN_CLIENT_DISTILLING) {
        (void)job_done(&self);
    }
    if (phase == WITAN_CLIENT_DISTILLING) {
        (void)say(&self, WITAN_MESSAGE_FUSED, 3);
    }
    CHECK(self.phase == phase);
    return self;
}

static bool
idle(witan_client_actions actions)
{
    return !actions.send && actions.job == WITAN_CLIENT_JOB_NONE;
}

static bool
runs(witan_client_actions actions, witan_client_job job, uint32_t round)
{
    return actions.job == job && actions.job_round == round;
}

static bool
sends(witan_client_actions actions, witan_message_kind kind, uint32_t round)
{
    return actions.send && actions.message == kind && actions.message_round == round;
}

static void
one_round(void)
{
    witan_client self = client_in(WITAN_CLIENT_IDLE);
    witan_client_actions actions = open_round(&self, 0);
    CHECK(runs(actions, WITAN_CLIENT_JOB_TRAIN, 0) && !actions.send);
    actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_KNOWLEDGE, 0) &&
          actions.job == WITAN_CLIENT_JOB_NONE);
    CHECK(self.phase == WITAN_CLIENT_WAITING);
    actions = say(&self, WITAN_MESSAGE_FUSED, 0);
    CHECK(runs(actions, WITAN_CLIENT_JOB_DISTILL, 0) && !actions.send);
    actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_DONE, 0) &&
          actions.job == WITAN_CLIENT_JOB_NONE);
    CHECK(self.phase == WITAN_CLIENT_IDLE);
    CHECK(runs(open_round(&self, 1), WITAN_CLIENT_JOB_TRAIN, 1));
}

static void
open_in_every_phase(void)
{
    witan_client self = client_in(WITAN_CLIENT_IDLE);
    CHECK(runs(open_round(&self, 3), WITAN_CLIENT_JOB_TRAIN, 3));

    self = client_in(WITAN_CLIENT_WAITING);
    CHECK(sends(open_round(&self, 3), WITAN_MESSAGE_KNOWLEDGE, 3)); /* repeated */
    CHECK(idle(open_round(&self, 2)));                              /* old */
    CHECK(self.phase == WITAN_CLIENT_WAITING);
    CHECK(runs(open_round(&self, 4), WITAN_CLIENT_JOB_TRAIN, 4));

    self = client_in(WITAN_CLIENT_TRAINING);
    CHECK(idle(open_round(&self, 3)) && idle(open_round(&self, 0)));
    CHECK(!self.reopened);
    CHECK(idle(open_round(&self, 5)) && self.reopened);
    CHECK(self.phase == WITAN_CLIENT_TRAINING && self.round == 3);

    self = client_in(WITAN_CLIENT_DISTILLING);
    CHECK(idle(open_round(&self, 3)) && !self.reopened);
    CHECK(idle(open_round(&self, 4)) && self.reopened);
}

static void
fused_in_every_phase(void)
{
    const witan_client_phase phases[] = {WITAN_CLIENT_IDLE, WITAN_CLIENT_TRAINING,
                                         WITAN_CLIENT_DISTILLING};
    for (size_t i = 0; i < 3; i++) {
        witan_client self = client_in(phases[i]);
        CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 3)));
        CHECK(self.phase == phases[i]);
    }
    witan_client self = client_in(WITAN_CLIENT_WAITING);
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 2))); /* another round's */
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 4)));
    CHECK(runs(say(&self, WITAN_MESSAGE_FUSED, 3), WITAN_CLIENT_JOB_DISTILL, 3));
}

static void
job_done_in_every_phase(void)
{
    const witan_client_phase idlers[] = {WITAN_CLIENT_IDLE, WITAN_CLIENT_WAITING};
    for (size_t i = 0; i < 2; i++) {
        witan_client self = client_in(idlers[i]);
        CHECK(idle(job_done(&self)) && self.phase == idlers[i]);
    }
    witan_client self = client_in(WITAN_CLIENT_TRAINING);
    CHECK(sends(job_done(&self), WITAN_MESSAGE_KNOWLEDGE, 3));
    self = client_in(WITAN_CLIENT_DISTILLING);
    CHECK(sends(job_done(&self), WITAN_MESSAGE_DONE, 3));
}

static void
words_of_clients_change_nothing(void)
{
    for (int phase = 0; phase <= WITAN_CLIENT_DISTILLING; phase++) {
        witan_client self = client_in((witan_client_phase)phase);
        CHECK(idle(say(&self, WITAN_MESSAGE_KNOWLEDGE, 3)));
        CHECK(idle(say(&self, WITAN_MESSAGE_DONE, 3)));
        CHECK(self.phase == (witan_client_phase)phase);
    }
}

/* A slow client finishes what it does, then takes up the newest round. */
static void
opened_while_busy(void)
{
    witan_client self = client_in(WITAN_CLIENT_TRAINING);
    CHECK(idle(open_round(&self, 4)));
    CHECK(idle(open_round(&self, 6)));
    CHECK(idle(open_round(&self, 5))); /* overtaken on the way */
    witan_client_actions actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_KNOWLEDGE, 3));
    CHECK(runs(actions, WITAN_CLIENT_JOB_TRAIN, 6));
    CHECK(self.phase == WITAN_CLIENT_TRAINING && !self.reopened);
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 3))); /* too late for it */
    actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_KNOWLEDGE, 6) &&
          actions.job == WITAN_CLIENT_JOB_NONE);

    self = client_in(WITAN_CLIENT_DISTILLING);
    (void)open_round(&self, 4);
    actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_DONE, 3));
    CHECK(runs(actions, WITAN_CLIENT_JOB_TRAIN, 4));
}

static void
rounds_that_are_done_stay_done(void)
{
    witan_client self = client_in(WITAN_CLIENT_DISTILLING);
    (void)job_done(&self);
    CHECK(idle(open_round(&self, 3)) && idle(open_round(&self, 1)));
    CHECK(self.phase == WITAN_CLIENT_IDLE);
    CHECK(runs(open_round(&self, UINT32_MAX), WITAN_CLIENT_JOB_TRAIN, UINT32_MAX));
    (void)job_done(&self);
    CHECK(sends(open_round(&self, UINT32_MAX), WITAN_MESSAGE_KNOWLEDGE, UINT32_MAX));
    CHECK(idle(open_round(&self, 0)));
}

static void
without_exchange(void)
{
    witan_client self;
    witan_client_init(&self, 1, false);
    CHECK(runs(open_round(&self, 0), WITAN_CLIENT_JOB_TRAIN, 0));
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 0)));
    witan_client_actions actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_DONE, 0) &&
          actions.job == WITAN_CLIENT_JOB_NONE);
    CHECK(self.phase == WITAN_CLIENT_IDLE);
    CHECK(runs(open_round(&self, 1), WITAN_CLIENT_JOB_TRAIN, 1));
    (void)open_round(&self, 2);
    actions = job_done(&self);
    CHECK(sends(actions, WITAN_MESSAGE_DONE, 1) &&
          runs(actions, WITAN_CLIENT_JOB_TRAIN, 2));
}

/* --- said again, restored --------------------------------------------------------- */

static void
repeated_messages_are_answered_again(void)
{
    witan_client self = client_in(WITAN_CLIENT_WAITING);
    for (int i = 0; i < 2; i++) {
        witan_client_actions actions = open_round(&self, 3);
        CHECK(sends(actions, WITAN_MESSAGE_KNOWLEDGE, 3) &&
              actions.job == WITAN_CLIENT_JOB_NONE);
        CHECK(self.phase == WITAN_CLIENT_WAITING);
    }
    self = client_in(WITAN_CLIENT_DISTILLING);
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 3))); /* it is at it */
    (void)job_done(&self);
    for (int i = 0; i < 2; i++) {
        witan_client_actions actions = say(&self, WITAN_MESSAGE_FUSED, 3);
        CHECK(sends(actions, WITAN_MESSAGE_DONE, 3) &&
              actions.job == WITAN_CLIENT_JOB_NONE);
        CHECK(self.phase == WITAN_CLIENT_IDLE);
    }
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 2)) &&
          idle(say(&self, WITAN_MESSAGE_FUSED, 4)) && idle(open_round(&self, 3)));
    (void)open_round(&self, 4);
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 3))); /* that round is over */

    witan_client alone;
    witan_client_init(&alone, 1, false);
    (void)open_round(&alone, 0);
    CHECK(idle(open_round(&alone, 0))); /* it is at it */
    (void)job_done(&alone);
    CHECK(sends(open_round(&alone, 0), WITAN_MESSAGE_DONE, 0));
    CHECK(idle(say(&alone, WITAN_MESSAGE_FUSED, 0)));
    (void)open_round(&alone, 2);
    (void)job_done(&alone);
    CHECK(idle(open_round(&alone, 0)) && idle(open_round(&alone, 1)));
    CHECK(sends(open_round(&alone, 2), WITAN_MESSAGE_DONE, 2));

    witan_client_init(&alone, 1, true); /* nothing was ever done */
    CHECK(idle(say(&alone, WITAN_MESSAGE_FUSED, 0)));
}

static witan_client
restored(bool exchanges, witan_client_phase phase, uint32_t round, uint64_t unopened,
         witan_status expected)
{
    witan_client self;
    witan_client_init(&self, 2, exchanges);
    CHECK_STATUS(witan_client_restore(&self, phase, round, unopened), expected);
    CHECK(self.id == 2 && (expected == WITAN_OK ? self.phase == phase
                                                : self.phase == WITAN_CLIENT_IDLE &&
                                                      self.unopened == 0));
    return self;
}

static void
goes_on_from_a_snapshot(void)
{
    witan_client self = restored(true, WITAN_CLIENT_WAITING, 3, 4, WITAN_OK);
    CHECK(sends(open_round(&self, 3), WITAN_MESSAGE_KNOWLEDGE, 3));
    CHECK(runs(say(&self, WITAN_MESSAGE_FUSED, 3), WITAN_CLIENT_JOB_DISTILL, 3));

    self = restored(true, WITAN_CLIENT_WAITING, 3, 4, WITAN_OK);
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 2)) && idle(open_round(&self, 2)));
    CHECK(runs(open_round(&self, 4), WITAN_CLIENT_JOB_TRAIN, 4));

    self = restored(true, WITAN_CLIENT_IDLE, 3, 4, WITAN_OK);
    CHECK(idle(open_round(&self, 3)));
    CHECK(sends(say(&self, WITAN_MESSAGE_FUSED, 3), WITAN_MESSAGE_DONE, 3));
    CHECK(runs(open_round(&self, 4), WITAN_CLIENT_JOB_TRAIN, 4));

    self = restored(true, WITAN_CLIENT_IDLE, 0, 0, WITAN_OK); /* never did anything */
    CHECK(idle(say(&self, WITAN_MESSAGE_FUSED, 0)));
    CHECK(runs(open_round(&self, 0), WITAN_CLIENT_JOB_TRAIN, 0));

    self = restored(false, WITAN_CLIENT_IDLE, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                    WITAN_OK);
    CHECK(sends(open_round(&self, UINT32_MAX), WITAN_MESSAGE_DONE, UINT32_MAX));

    (void)restored(true, WITAN_CLIENT_TRAINING, 3, 4, WITAN_E_INVALID);
    (void)restored(true, WITAN_CLIENT_DISTILLING, 3, 4, WITAN_E_INVALID);
    (void)restored(true, (witan_client_phase)77, 3, 4, WITAN_E_INVALID);
    (void)restored(false, WITAN_CLIENT_WAITING, 3, 4, WITAN_E_INVALID);
    (void)restored(true, WITAN_CLIENT_WAITING, 0, 0, WITAN_E_INVALID);
    (void)restored(true, WITAN_CLIENT_WAITING, 3, 5, WITAN_E_INVALID);
    (void)restored(true, WITAN_CLIENT_IDLE, 3, 3, WITAN_E_INVALID);
}

int
main(void)
{
    RUN(one_round);
    RUN(open_in_every_phase);
    RUN(fused_in_every_phase);
    RUN(job_done_in_every_phase);
    RUN(words_of_clients_change_nothing);
    RUN(opened_while_busy);
    RUN(rounds_that_are_done_stay_done);
    RUN(without_exchange);
    RUN(repeated_messages_are_answered_again);
    RUN(goes_on_from_a_snapshot);
    return witan_test_finish();
}
