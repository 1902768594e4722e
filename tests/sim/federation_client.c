/* A client's model shell: keeps a snapshot when a job ends, says its knowledge until it
 * is acknowledged, connects anew when nothing happens. */
#include <string.h>

#include "federation.h"

static void
say(world *self, const struct seat *seat, frame_kind kind, uint32_t round,
    uint64_t value)
{
    struct frame frame = {kind,  seat->id,      seat->generation,
                          round, seat->session, value};
    world_send(self, &frame, true);
}

static void
connect_anew(world *self, struct seat *seat)
{
    seat->session = ++self->sessions;
    seat->heard_ms = seat->progress_ms = self->now_ms;
    say(self, seat, FRAME_HELLO, 0, 0);
}

static bool
dies_here(world *self, struct seat *seat)
{
    if (seat->up && world_chance(self, self->plan.crash)) {
        client_crash(self, seat);
    }
    return !seat->up;
}

static void
act(world *self, struct seat *seat, const witan_client_actions *actions)
{
    if (actions->send && actions->message == WITAN_MESSAGE_KNOWLEDGE) {
        HOLDS(seat->now.has_knowledge &&
              seat->now.knowledge_round == actions->message_round);
        say(self, seat, FRAME_KNOWLEDGE, actions->message_round, seat->now.knowledge);
    } else if (actions->send) {
        say(self, seat, FRAME_DONE, actions->message_round, 0);
    }
    if (actions->job != WITAN_CLIENT_JOB_NONE) {
        HOLDS(seat->job == WITAN_CLIENT_JOB_NONE);
        seat->job = actions->job;
        seat->job_round = actions->job_round;
        uint32_t longest_ms =
            self->plan.work_ms * (self->plan.slow >> seat->id & 1 ? 6 : 1);
        world_post(self, self->now_ms + 1 + world_below(self, longest_ms),
                   (happening){.kind = HAPPENS_JOB_DONE,
                               .client = seat->id,
                               .life = seat->life});
    }
}

void
client_start(world *self, struct seat *seat)
{
    bool exchanges = self->plan.config.strategy->exchange != WITAN_EXCHANGE_NONE;
    seat->up = true;
    seat->life++;
    seat->now = seat->saved;
    seat->acknowledged = false;
    seat->job = WITAN_CLIENT_JOB_NONE;
    witan_client_init(&seat->core, seat->id, exchanges);
    CHECK_STATUS(witan_client_restore(&seat->core, seat->saved.phase, seat->saved.round,
                                      seat->saved.unopened),
                 WITAN_OK);
    connect_anew(self, seat);
    world_post(self, self->now_ms + 1 + world_below(self, TICK_MS),
               (happening){.kind = HAPPENS_CLIENT_TICK,
                           .client = seat->id,
                           .life = seat->life});
}

void
client_crash(world *self, struct seat *seat)
{
    if (!seat->up) {
        return;
    }
    seat->up = false;
    seat->life++;
    self->client_crashes++;
    world_post(self, self->now_ms + 1 + world_below(self, 600),
               (happening){.kind = HAPPENS_CLIENT_START,
                           .client = seat->id,
                           .life = seat->life});
}

void
client_replace(world *self, struct seat *seat)
{
    uint32_t generation = seat->generation + 1, id = seat->id, life = seat->life + 1;
    memset(seat, 0, sizeof *seat);
    seat->id = id;
    seat->life = life;
    seat->generation = generation;
    seat->saved.learned = mix(id, generation);
    world_post(self, self->now_ms + 1 + world_below(self, 600),
               (happening){.kind = HAPPENS_CLIENT_START, .client = id, .life = life});
}

void
client_job_done(world *self, struct seat *seat)
{
    bool training = seat->job == WITAN_CLIENT_JOB_TRAIN;
    snapshot *now = &seat->now;
    witan_client_actions actions;
    if (dies_here(self, seat)) {
        return;
    }
    now->learned = mix(now->learned, training ? 2 * (uint64_t)seat->job_round
                                              : 2 * (uint64_t)seat->job_round + 1);
    if (training && seat->core.exchanges) {
        now->has_knowledge = true;
        now->knowledge_round = seat->job_round;
        now->knowledge = now->learned;
        seat->acknowledged = false;
    } else if (!training) {
        now->learned = mix(now->learned, seat->job_input);
    }
    now->phase =
        training && seat->core.exchanges ? WITAN_CLIENT_WAITING : WITAN_CLIENT_IDLE;
    now->round = seat->job_round;
    now->unopened = (uint64_t)seat->job_round + 1;
    seat->saved = *now;
    seat->job = WITAN_CLIENT_JOB_NONE;
    seat->progress_ms = self->now_ms;
    if (dies_here(self, seat)) {
        return;
    }
    witan_client_step(&seat->core, self->now_ms,
                      &(witan_client_event){WITAN_CLIENT_JOB_DONE, NULL}, &actions);
    act(self, seat, &actions);
}

void
client_take_frame(world *self, struct seat *seat, const struct frame *frame)
{
    witan_message message = {.client = seat->id, .round = frame->round};
    witan_client_actions actions;
    if (frame->generation != seat->generation) {
        return;
    }
    seat->heard_ms = self->now_ms;
    switch (frame->kind) {
    case FRAME_OPEN:
        message.kind = WITAN_MESSAGE_OPEN;
        break;
    case FRAME_FUSED:
        message.kind = WITAN_MESSAGE_FUSED;
        break;
    case FRAME_ACK:
    case FRAME_NACK:
        seat->acknowledged =
            seat->acknowledged ||
            (seat->now.has_knowledge && seat->now.knowledge_round == frame->round);
        return;
    default:
        return;
    }
    witan_client_step(&seat->core, self->now_ms,
                      &(witan_client_event){WITAN_CLIENT_MESSAGE, &message}, &actions);
    if (actions.job == WITAN_CLIENT_JOB_DISTILL) {
        seat->job_input = frame->value;
    }
    if (actions.job != WITAN_CLIENT_JOB_NONE || actions.send) {
        seat->progress_ms = self->now_ms;
    }
    act(self, seat, &actions);
}

/* Words about a round that nobody asked this client in. */
static void
babble(world *self, const struct seat *seat)
{
    uint32_t round = world_below(self, (uint32_t)self->plan.config.rounds);
    const round_row *row = &self->server.store.round[round];
    if (row->opened &&
        (!row->asked[seat->id] || row->asked_owner[seat->id] != seat->generation)) {
        say(self, seat, FRAME_KNOWLEDGE, round, self->sessions);
    }
}

void
client_tick(world *self, struct seat *seat)
{
    bool idle = seat->job == WITAN_CLIENT_JOB_NONE;
    if (self->now_ms - seat->heard_ms > SILENCE_MS ||
        (idle && self->now_ms - seat->progress_ms > PATIENCE_MS)) {
        connect_anew(self, seat);
    } else {
        say(self, seat, FRAME_PING, 0, 0);
    }
    if (seat->now.has_knowledge && !seat->acknowledged) {
        say(self, seat, FRAME_KNOWLEDGE, seat->now.knowledge_round,
            seat->now.knowledge);
    }
    if (world_chance(self, 0.05)) {
        babble(self, seat);
    }
    world_post(self, self->now_ms + TICK_MS,
               (happening){.kind = HAPPENS_CLIENT_TICK,
                           .client = seat->id,
                           .life = seat->life});
}
