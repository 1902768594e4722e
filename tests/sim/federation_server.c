/* The coordinator's model shell: durable first, told afterwards; and the checks of what
 * may never happen. */
#include <string.h>

#include "federation.h"

static const witan_allocator *
allocator(world *self)
{
    return &self->heap.allocator;
}

static bool
exchanges(const world *self)
{
    return self->plan.config.strategy->exchange != WITAN_EXCHANGE_NONE;
}

static bool
is_parameters(const world *self)
{
    return self->plan.config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS;
}

/* The payload that a learned number stands for. */
static witan_message
knowledge_of(world *self, uint32_t client, uint32_t round, uint64_t learned)
{
    witan_message message = {.kind = WITAN_MESSAGE_KNOWLEDGE,
                             .client = client,
                             .round = round,
                             .samples = 3 + 7 * client};
    const witan_coordinator_config *config = &self->plan.config;
    witan_random random;
    float p[ROWS * CLASSES];
    witan_random_init(&random, learned, client, round, WITAN_PURPOSE_TEST);
    if (is_parameters(self)) {
        message.parameters_count = PARAMETERS;
        message.parameters = witan_alloc(allocator(self), PARAMETERS, sizeof(float));
        for (size_t i = 0; i < PARAMETERS; i++) {
            message.parameters[i] = (float)witan_random_uniform(&random);
        }
        return message;
    }
    for (size_t i = 0; i < ROWS; i++) {
        float a = 0.1f + (float)witan_random_uniform(&random);
        float b = 0.1f + (float)witan_random_uniform(&random);
        float c = 0.1f + (float)witan_random_uniform(&random);
        p[CLASSES * i] = a / (a + b + c);
        p[CLASSES * i + 1] = b / (a + b + c);
        p[CLASSES * i + 2] = c / (a + b + c);
    }
    CHECK_STATUS(witan_soft_labels_new(&message.labels, allocator(self), config->kind,
                                       config->codec, ROWS, CLASSES),
                 WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(&message.labels, 0, ROWS, p), WITAN_OK);
    return message;
}

static const void *
payload(const witan_message *message, size_t *size)
{
    *size =
        message->parameters != NULL ? PARAMETERS * sizeof(float) : message->labels.size;
    return message->parameters != NULL ? (const void *)message->parameters
                                       : (const void *)message->labels.bytes;
}

static void
digest_payload(uint8_t out[WITAN_DIGEST_SIZE], const witan_message *message)
{
    size_t size;
    const void *bytes = payload(message, &size);
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, bytes, size);
    witan_digest_final(&digest, out);
}

static void
say(world *self, uint32_t client, frame_kind kind, uint32_t round, uint64_t value)
{
    struct server *server = &self->server;
    struct frame frame = {kind,  client, server->store.generation[client],
                          round, 0,      value};
    if (server->connected[client]) {
        world_send(self, &frame, false);
    }
}

/* --- life ------------------------------------------------------------------------- */

void
server_crash(world *self)
{
    struct server *server = &self->server;
    if (!server->up) {
        return;
    }
    server->up = false;
    server->life++;
    memset(server->connected, 0, sizeof server->connected);
    self->crashes++;
    world_post(self, self->now_ms + 1 + world_below(self, 400),
               (happening){.kind = HAPPENS_SERVER_START, .life = server->life});
}

void
server_bury(world *self)
{
    if (!self->server.up) {
        witan_coordinator_free(&self->server.core);
    }
}

static bool
dies_here(world *self)
{
    if (self->server.up && world_chance(self, self->plan.crash)) {
        server_crash(self);
    }
    return !self->server.up;
}

/* --- what a fusion must be, by the store alone ------------------------------------ */

/* Whose deeds count for a seat in a round: who sat there when it was fused, else now.
 */
static uint32_t
owner(const world *self, uint32_t round, uint32_t client)
{
    const struct store *store = &self->server.store;
    return round < self->plan.config.rounds && store->round[round].fused
               ? store->round[round].fused_owner[client]
               : store->generation[client];
}

/* The round whose upload of a client speaks in a fusion of `round`, or -1. */
static int
speaks_from(const world *self, uint32_t round, uint32_t client)
{
    const struct store *store = &self->server.store;
    for (uint32_t age = 0; age <= round && age <= self->plan.config.maximum_age;
         age++) {
        const struct upload *upload = &store->upload[round - age][client];
        bool counts = upload->there && upload->generation == owner(self, round, client);
        if (counts && !upload->late) {
            return age == 0 ? (int)round
                            : -1; /* what is older was made useless by it */
        }
        if (counts && age != 0 && upload->used_from <= round) {
            return (int)(round - age);
        }
    }
    return -1;
}

/* Fills server->expected; returns who speaks, and who of them in time, bit by seat. */
static uint32_t
expect_fusion(world *self, uint32_t round, uint32_t *fresh)
{
    const witan_coordinator_config *config = &self->plan.config;
    witan_message message[SEATS_MAX] = {0};
    const witan_soft_labels *labels[SEATS_MAX];
    const float *blocks[SEATS_MAX];
    witan_soft_labels mixed[SEATS_MAX] = {0};
    size_t samples[SEATS_MAX], n = 0;
    uint32_t ids[SEATS_MAX], speakers = 0;
    double W[SEATS_MAX * SEATS_MAX];
    float average[PARAMETERS];
    *fresh = 0;
    for (uint32_t client = 0; client < config->clients; client++) {
        int from = speaks_from(self, round, client);
        if (from >= 0) {
            message[n] = knowledge_of(self, client, (uint32_t)from,
                                      self->server.store.upload[from][client].learned);
            labels[n] = &message[n].labels;
            blocks[n] = message[n].parameters;
            samples[n] = (size_t)message[n].samples;
            ids[n++] = client;
            speakers |= 1u << client;
            *fresh |= (uint32_t)((uint32_t)from == round) << client;
        }
    }
    HOLDS(n != 0);
    witan_fusion_input input = {n, is_parameters(self) ? NULL : labels, samples};
    CHECK_STATUS(config->strategy->weights(W, &input, &config->fusion, allocator(self)),
                 WITAN_OK);
    if (is_parameters(self)) {
        witan_fusion_average(average, W, blocks, n, PARAMETERS);
    } else {
        CHECK_STATUS(witan_fusion_combine(mixed, W, &input, config->fusion.combine,
                                          allocator(self)),
                     WITAN_OK);
    }
    for (size_t i = 0; i < n; i++) {
        const void *bytes =
            is_parameters(self) ? (const void *)average : (const void *)mixed[i].bytes;
        self->server.expected_size =
            is_parameters(self) ? sizeof average : mixed[i].size;
        memcpy(self->server.expected[ids[i]], bytes, self->server.expected_size);
        witan_soft_labels_fini(&mixed[i], allocator(self));
        witan_message_fini(&message[i], allocator(self));
    }
    return speakers;
}

/* --- actions ---------------------------------------------------------------------- */

static void step(world *self, const witan_coordinator_event *event);

static void
open_round(world *self, uint32_t round)
{
    round_row *row = &self->server.store.round[round];
    HOLDS(round == self->witness.opened);
    HOLDS(round == 0 || self->server.store.round[round - 1].ended);
    HOLDS(!row->opened && !row->ended);
    self->witness.opened = round + 1;
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        row->asked[n] = witan_coordinator_client_at(self->server.core, n)->asked;
        row->asked_owner[n] = self->server.store.generation[n];
    }
    row->opened = true;
}

static void
send(world *self, const witan_message *message)
{
    struct server *server = &self->server;
    uint32_t n = message->client, round = message->round;
    const struct upload *upload = &server->store.upload[round][n];
    HOLDS(server->store.round[round].opened && !server->store.round[round].ended);
    if (message->kind == WITAN_MESSAGE_OPEN) {
        HOLDS(server->store.round[round].asked[n]);
        /* Nobody is asked for what was accepted. */
        HOLDS(!upload->there || upload->generation != server->store.generation[n]);
        say(self, n, FRAME_OPEN, round, 0);
        return;
    }
    size_t size;
    const void *bytes = payload(message, &size);
    HOLDS(server->store.round[round].fused);
    HOLDS(size == server->expected_size &&
          memcmp(bytes, server->expected[n], size) == 0);
    digest_payload(server->sent[n], message);
    HOLDS(!self->witness.told[round][n] ||
          memcmp(self->witness.said[round][n], server->sent[n], WITAN_DIGEST_SIZE) ==
              0);
    self->witness.told[round][n] = true;
    memcpy(self->witness.said[round][n], server->sent[n], WITAN_DIGEST_SIZE);
    memcpy(&server->fused_value[n], server->sent[n], sizeof server->fused_value[n]);
    say(self, n, FRAME_FUSED, round, server->fused_value[n]);
}

static void
fuse(world *self)
{
    struct server *server = &self->server;
    uint32_t round = (uint32_t)witan_coordinator_round(server->core), fresh;
    size_t clients = self->plan.config.clients;
    double W[SEATS_MAX * SEATS_MAX];
    uint32_t speakers = 0;
    size_t answers = 0;
    CHECK_STATUS(witan_coordinator_fuse(server->core), WITAN_OK);
    HOLDS(witan_coordinator_weights(server->core, W));
    for (size_t n = 0; n < clients; n++) {
        double row = 0.0;
        for (size_t m = 0; m < clients; m++) {
            row += W[n * clients + m];
        }
        speakers |= (uint32_t)(row != 0.0) << n;
    }
    HOLDS(expect_fusion(self, round, &fresh) == speakers);
    for (size_t n = 0; n < clients; n++) {
        answers += fresh >> n & 1;
    }
    HOLDS(answers >= self->plan.config.minimum_clients);
    self->restored_fusions += server->store.round[round].fused;
    if (dies_here(self)) {
        return; /* nobody was told: it may come out otherwise the next time */
    }
    HOLDS(server->store.round[round].fused == self->witness.fused[round]);
    HOLDS(!self->witness.fused[round] || (self->witness.speakers[round] == speakers &&
                                          self->witness.fresh[round] == fresh));
    self->witness.fused[round] = true;
    self->witness.speakers[round] = speakers;
    self->witness.fresh[round] = fresh;
    if (!server->store.round[round].fused) {
        memcpy(server->store.round[round].fused_owner, server->store.generation,
               sizeof server->store.generation);
    }
    server->store.round[round].fused = true;
    memset(server->sent, 0, sizeof server->sent);
    if (!dies_here(self)) {
        step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    }
}

static void
end_round(world *self)
{
    struct server *server = &self->server;
    uint32_t round = (uint32_t)witan_coordinator_round(server->core) - 1;
    round_row *row = &server->store.round[round];
    bool answered[SEATS_MAX];
    uint8_t said[SEATS_MAX][WITAN_DIGEST_SIZE] = {{0}};
    uint32_t fresh = 0;
    HOLDS(row->opened && !row->ended);
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        const struct upload *upload = &server->store.upload[round][n];
        answered[n] = witan_coordinator_client_at(server->core, n)->answered;
        HOLDS(answered[n] == (upload->there && !upload->late &&
                              upload->generation == owner(self, round, n)));
        fresh |= (uint32_t)answered[n] << n;
        if (answered[n]) {
            witan_message message = knowledge_of(self, n, round, upload->learned);
            digest_payload(said[n], &message);
            witan_message_fini(&message, allocator(self));
        }
    }
    /* Whatever was accepted in time is what was fused, if it was. */
    HOLDS(!row->fused || fresh == self->witness.fresh[round]);
    if (!row->fused) {
        memset(server->sent, 0, sizeof server->sent);
    }
    witan_exchange_digest(row->exchange, round, self->plan.config.clients, answered,
                          (const uint8_t(*)[WITAN_DIGEST_SIZE])said,
                          (const uint8_t(*)[WITAN_DIGEST_SIZE])server->sent);
    if (dies_here(self)) {
        return;
    }
    row->ended = true;
    world_post(self, self->now_ms,
               (happening){.kind = HAPPENS_NEXT, .life = server->life});
}

static void
act(world *self, witan_coordinator_actions *actions)
{
    size_t count = actions->count;
    for (size_t i = 0; i < count && !dies_here(self); i++) {
        witan_coordinator_action *action = &actions->items[i];
        switch (action->kind) {
        case WITAN_COORDINATOR_ROUND_OPENED:
            HOLDS(i == 0);
            open_round(self, action->message.round);
            break;
        case WITAN_COORDINATOR_SEND:
            send(self, &action->message);
            break;
        case WITAN_COORDINATOR_SEND_AGAIN:
            HOLDS(self->server.store.round[action->message.round].fused);
            say(self, action->message.client, FRAME_FUSED, action->message.round,
                self->server.fused_value[action->message.client]);
            break;
        case WITAN_COORDINATOR_SET_TIMER:
            world_post(self, action->at_ms,
                       (happening){.kind = HAPPENS_TIMER,
                                   .life = self->server.life,
                                   .value = action->timer});
            break;
        case WITAN_COORDINATOR_FUSE:
            HOLDS(i + 1 == count);
            fuse(self); /* steps: the actions are no more */
            return;
        case WITAN_COORDINATOR_ROUND_ENDED:
            end_round(self);
            break;
        case WITAN_COORDINATOR_FINISHED:
        case WITAN_COORDINATOR_REFUSED:
            break;
        }
    }
}

static void
step(world *self, const witan_coordinator_event *event)
{
    witan_coordinator_actions actions;
    witan_coordinator_step(self->server.core, self->now_ms, event, &actions);
    act(self, &actions);
}

static void
step_seat(world *self, witan_coordinator_event_kind kind, uint32_t client)
{
    step(self, &(witan_coordinator_event){.kind = kind, .client = client});
}

static void
step_message(world *self, witan_message *message)
{
    step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_MESSAGE,
                                          .message = message});
}

/* --- restoring -------------------------------------------------------------------- */

static void
restore_past(world *self, uint32_t round)
{
    struct server *server = &self->server;
    const struct store *store = &server->store;
    for (uint32_t past = 0; past < round; past++) {
        bool asked[SEATS_MAX];
        for (uint32_t n = 0; n < self->plan.config.clients; n++) {
            const struct upload *upload = &store->upload[past][n];
            asked[n] = store->round[past].asked[n] &&
                       store->round[past].asked_owner[n] == owner(self, round, n);
            if (upload->there && upload->generation == owner(self, round, n) &&
                (!upload->late || upload->used_from <= round)) {
                witan_coordinator_restore_heard(server->core, n, past);
            }
        }
        witan_coordinator_restore_asked(server->core, past, asked);
    }
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        for (uint32_t past = round; past-- > 0;) {
            const struct upload *upload = &store->upload[past][n];
            if (!upload->there || upload->generation != owner(self, round, n) ||
                (upload->late && upload->used_from > round)) {
                continue;
            }
            if (upload->late) {
                witan_message message = knowledge_of(self, n, past, upload->learned);
                witan_coordinator_restore_stale(server->core, n, &message.labels, past,
                                                message.samples);
            }
            break; /* an answer in time makes older words useless */
        }
    }
}

/* What came after the fusion of this round, or after its opening when nobody speaks. */
static void
replay(world *self, uint32_t round)
{
    const struct store *store = &self->server.store;
    size_t clients = self->plan.config.clients;
    for (uint32_t n = 0; n < clients && self->server.up; n++) {
        if (owner(self, round, n) != store->generation[n]) {
            step_seat(self, WITAN_COORDINATOR_REMOVED, n);
        }
        for (uint32_t about = 0; about <= round && self->server.up; about++) {
            const struct upload *upload = &store->upload[about][n];
            if (upload->there && upload->late && upload->used_from > round &&
                upload->generation == store->generation[n]) {
                witan_message message = knowledge_of(self, n, about, upload->learned);
                step_message(self, &message);
                HOLDS(!self->server.up ||
                      witan_coordinator_client_at(self->server.core, n)->heard ==
                          (uint64_t)about + 1);
            }
        }
    }
    for (uint32_t n = 0; n < clients && self->server.up; n++) {
        if (store->round[round].done[n]) {
            witan_message done = {
                .kind = WITAN_MESSAGE_DONE, .client = n, .round = round};
            step_message(self, &done);
        }
    }
}

static void
resume(world *self, uint32_t round)
{
    struct server *server = &self->server;
    const round_row *row = &server->store.round[round];
    witan_coordinator_actions actions;
    bool asked[SEATS_MAX];
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        asked[n] = row->asked[n] && row->asked_owner[n] == owner(self, round, n);
    }
    witan_coordinator_reopen(server->core, asked);
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        const struct upload *upload = &server->store.upload[round][n];
        if (upload->there && !upload->late && asked[n]) {
            witan_message message = knowledge_of(self, n, round, upload->learned);
            HOLDS(witan_coordinator_restore_answer(server->core, &message) ==
                  WITAN_REFUSAL_NONE);
        }
    }
    bool fused = row->fused;
    witan_coordinator_resume(server->core, self->now_ms, fused, &actions);
    act(self, &actions);
    if (server->up && (fused || !exchanges(self))) {
        replay(self, round);
    }
}

void
server_start(world *self)
{
    struct server *server = &self->server;
    uint32_t round = 0;
    if (server->up) {
        return;
    }
    server->up = true;
    server->life++;
    CHECK_STATUS(
        witan_coordinator_new(&server->core, &self->plan.config, allocator(self)),
        WITAN_OK);
    while (round < self->plan.config.rounds && server->store.round[round].ended) {
        round++;
    }
    witan_coordinator_restore(server->core, round);
    restore_past(self, round);
    world_post(self, self->now_ms + TICK_MS,
               (happening){.kind = HAPPENS_SERVER_TICK, .life = server->life});
    if (round < self->plan.config.rounds && server->store.round[round].opened) {
        resume(self, round);
    } else {
        server_next(self);
    }
}

/* --- events ----------------------------------------------------------------------- */

void
server_next(world *self)
{
    step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_NEXT});
}

void
server_take_timer(world *self, uint64_t timer)
{
    step(self,
         &(witan_coordinator_event){.kind = WITAN_COORDINATOR_TIMER, .timer = timer});
}

void
server_tick(world *self)
{
    struct server *server = &self->server;
    world_post(self, self->now_ms + TICK_MS,
               (happening){.kind = HAPPENS_SERVER_TICK, .life = server->life});
    for (uint32_t n = 0; n < self->plan.config.clients && server->up; n++) {
        if (server->connected[n] && self->now_ms - server->seen_ms[n] > SILENCE_MS) {
            server->connected[n] = false;
            step_seat(self, WITAN_COORDINATOR_ABSENT, n);
        }
    }
}

static void
accept(world *self, const struct frame *frame, bool late, uint32_t used_from)
{
    struct store *store = &self->server.store;
    struct upload *upload = &store->upload[frame->round][frame->client];
    HOLDS(!upload->there); /* in time or late, once for a round */
    HOLDS(store->round[frame->round].asked[frame->client] &&
          store->round[frame->round].asked_owner[frame->client] == frame->generation);
    HOLDS(late || !store->round[frame->round].fused);
    *upload = (struct upload){true, late, used_from, frame->generation, frame->value};
    self->late += late;
}

static void
take_knowledge(world *self, const struct frame *frame)
{
    bool late = false;
    uint32_t used_from = 0;
    witan_message message =
        knowledge_of(self, frame->client, frame->round, frame->value);
    witan_refusal refusal =
        witan_coordinator_judge(self->server.core, &message, &late, &used_from);
    if (dies_here(self)) {
        witan_message_fini(&message, allocator(self));
        return;
    }
    if (refusal == WITAN_REFUSAL_NONE) {
        accept(self, frame, late, used_from);
    }
    const struct upload *upload =
        &self->server.store.upload[frame->round][frame->client];
    bool kept = upload->there && upload->generation == frame->generation;
    HOLDS(refusal != WITAN_REFUSAL_VALUES && refusal != WITAN_REFUSAL_SHAPE &&
          refusal != WITAN_REFUSAL_STRANGER);
    HOLDS(!kept || upload->learned == frame->value);
    if (dies_here(self)) {
        witan_message_fini(&message, allocator(self));
        return;
    }
    step_message(self, &message);
    if (!self->server.up) {
        return;
    }
    if (kept) {
        self->witness.acknowledged[frame->round][frame->client] = frame->generation + 1;
    }
    say(self, frame->client, kept ? FRAME_ACK : FRAME_NACK, frame->round, 0);
}

static void
take_done(world *self, const struct frame *frame)
{
    round_row *row = &self->server.store.round[frame->round];
    witan_message message = {
        .kind = WITAN_MESSAGE_DONE, .client = frame->client, .round = frame->round};
    HOLDS(row->opened && row->asked[frame->client] &&
          row->asked_owner[frame->client] == frame->generation);
    row->done[frame->client] = true;
    if (!dies_here(self)) {
        step_message(self, &message);
    }
}

void
server_take_frame(world *self, const struct frame *frame)
{
    struct server *server = &self->server;
    uint32_t n = frame->client;
    if (frame->generation != server->store.generation[n]) {
        return; /* the door is shut for who was removed */
    }
    if (frame->kind == FRAME_HELLO) {
        server->connected[n] = true;
        server->seen_ms[n] = self->now_ms;
        say(self, n, FRAME_PONG, 0, 0);
        step_seat(self, WITAN_COORDINATOR_PRESENT, n);
        return;
    }
    if (!server->connected[n]) {
        return;
    }
    server->seen_ms[n] = self->now_ms;
    if (frame->kind == FRAME_PING) {
        say(self, n, FRAME_PONG, 0, 0);
    } else if (frame->kind == FRAME_KNOWLEDGE) {
        take_knowledge(self, frame);
    } else {
        take_done(self, frame);
    }
}

void
server_remove(world *self, uint32_t client)
{
    struct server *server = &self->server;
    server->store.generation[client]++;
    server->connected[client] = false;
    if (server->up && !dies_here(self)) {
        step_seat(self, WITAN_COORDINATOR_REMOVED, client);
    }
}
