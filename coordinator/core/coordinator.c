#include "coordinator/core/coordinator.h"

#include <string.h>

#include "base/random.h"

typedef enum phase {
    PHASE_BETWEEN, /* waits for NEXT */
    PHASE_COLLECT, /* waits for knowledge */
    PHASE_FUSE,    /* waits for FUSED */
    PHASE_SETTLE,  /* waits for DONE */
    PHASE_FINISHED,
} phase;

struct witan_coordinator {
    const witan_allocator *allocator;
    witan_coordinator_config config;
    phase phase;
    size_t round;
    uint64_t timer; /* id of the timer that counts; older ones are void */
    size_t asked, answered, recipients, done;
    witan_coordinator_client *client; /* [clients] */
    uint32_t *order;    /* [clients] shuffled: the first ones are asked in ... */
    size_t order_round; /* ... this round, plus 1; 0 = none yet */
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

const char *
witan_refusal_text(witan_refusal refusal)
{
    switch (refusal) {
    case WITAN_REFUSAL_NONE:
        return "none";
    case WITAN_REFUSAL_STRANGER:
        return "unknown client";
    case WITAN_REFUSAL_UNASKED:
        return "not asked in this round";
    case WITAN_REFUSAL_DUPLICATE:
        return "already answered";
    case WITAN_REFUSAL_SHAPE:
        return "wrong shape or encoding";
    case WITAN_REFUSAL_VALUES:
        return "not probabilities";
    case WITAN_REFUSAL_LATE:
        return "too late";
    }
    return "unknown refusal";
}

witan_status
witan_coordinator_new(witan_coordinator **out, const witan_coordinator_config *config,
                      const witan_allocator *allocator)
{
    *out = NULL;
    if (config->clients == 0 || config->rounds == 0 || config->minimum_clients == 0 ||
        !(config->participation > 0.0 && config->participation <= 1.0) ||
        config->strategy == NULL) {
        return WITAN_E_INVALID;
    }
    witan_coordinator *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    size_t n = config->clients;
    self->allocator = allocator;
    self->config = *config;
    self->actions_room = n + 4;
    self->client = witan_zalloc(allocator, n, sizeof *self->client);
    self->order = witan_zalloc(allocator, n, sizeof *self->order);
    self->speaker = witan_zalloc(allocator, n, sizeof *self->speaker);
    self->mixed = witan_zalloc(allocator, n, sizeof *self->mixed);
    self->actions = witan_zalloc(allocator, self->actions_room, sizeof *self->actions);
    if (self->client == NULL || self->order == NULL || self->speaker == NULL ||
        self->mixed == NULL || self->actions == NULL) {
        witan_coordinator_free(&self);
        return WITAN_E_MEMORY;
    }
    *out = self;
    return WITAN_OK;
}

static void
forget_fresh(witan_coordinator *self, size_t n)
{
    witan_soft_labels_fini(&self->client[n].labels, self->allocator);
    witan_free(self->allocator, self->client[n].parameters);
    self->client[n].parameters = NULL;
}

static void
forget_fusion(witan_coordinator *self)
{
    for (size_t i = 0; i < self->speakers; i++) {
        witan_soft_labels_fini(&self->mixed[i], self->allocator);
    }
    witan_free(self->allocator, self->weights);
    witan_free(self->allocator, self->average);
    self->weights = NULL;
    self->average = NULL;
    self->speakers = 0;
    self->fused = false;
}

/* Actions that nobody took out keep their payload here. */
static void
clear_actions(witan_coordinator *self)
{
    for (size_t i = 0; i < self->actions_count; i++) {
        witan_message_fini(&self->actions[i].message, self->allocator);
    }
    self->actions_count = 0;
}

void
witan_coordinator_free(witan_coordinator **self)
{
    witan_coordinator *it = *self;
    if (it == NULL) {
        return;
    }
    *self = NULL;
    if (it->client != NULL && it->mixed != NULL) {
        for (size_t n = 0; n < it->config.clients; n++) {
            forget_fresh(it, n);
            witan_soft_labels_fini(&it->client[n].stale, it->allocator);
        }
        forget_fusion(it);
    }
    if (it->actions != NULL) {
        clear_actions(it);
    }
    witan_free(it->allocator, it->client);
    witan_free(it->allocator, it->order);
    witan_free(it->allocator, it->speaker);
    witan_free(it->allocator, it->mixed);
    witan_free(it->allocator, it->actions);
    witan_free(it->allocator, it);
}

static witan_coordinator_action *
act(witan_coordinator *self, witan_coordinator_action_kind kind)
{
    WITAN_ASSERT(self->actions_count < self->actions_room);
    witan_coordinator_action *action = &self->actions[self->actions_count++];
    memset(action, 0, sizeof *action);
    action->kind = kind;
    return action;
}

static witan_message *
send_to(witan_coordinator *self, size_t client, witan_message_kind kind)
{
    witan_message *message = &act(self, WITAN_COORDINATOR_SEND)->message;
    message->kind = kind;
    message->client = (uint32_t)client;
    message->round = (uint32_t)self->round;
    return message;
}

static void
start_timer(witan_coordinator *self, uint64_t now_ms)
{
    self->timer++;
    if (self->config.deadline_ms != 0) {
        witan_coordinator_action *action = act(self, WITAN_COORDINATOR_SET_TIMER);
        action->at_ms = now_ms + self->config.deadline_ms;
        action->timer = self->timer;
    }
}

static void
end_round(witan_coordinator *self)
{
    self->phase = PHASE_BETWEEN;
    self->timer++;
    self->round++;
    (void)act(self, WITAN_COORDINATOR_ROUND_ENDED);
    if (self->round == self->config.rounds) {
        self->phase = PHASE_FINISHED;
        (void)act(self, WITAN_COORDINATOR_FINISHED);
    }
}

static size_t
participants(const witan_coordinator *self)
{
    size_t n = self->config.clients;
    size_t count = (size_t)(self->config.participation * (double)n + 0.5);
    return count < 1 ? 1 : (count > n ? n : count);
}

/* Draws who is asked in a round: a shuffle keyed by the round alone. */
static void
draw_participants(witan_coordinator *self, size_t round)
{
    size_t n = self->config.clients;
    if (self->order_round == round + 1) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        self->order[i] = (uint32_t)i;
    }
    if (participants(self) < n) {
        witan_random random;
        witan_random_init(&random, self->config.seed, WITAN_CLIENT_NONE,
                          (uint32_t)round, WITAN_PURPOSE_PARTICIPATION);
        witan_random_shuffle(&random, self->order, n);
    }
    self->order_round = round + 1;
}

/* Whether a client was asked in a round that is over: drawn again, so that neither
 * memory nor a resumed run has to keep it. */
static bool
was_asked(witan_coordinator *self, uint32_t client, size_t round)
{
    size_t count = participants(self);
    if (count == self->config.clients) {
        return true;
    }
    draw_participants(self, round);
    for (size_t i = 0; i < count; i++) {
        if (self->order[i] == client) {
            return true;
        }
    }
    return false;
}

static void
open_round(witan_coordinator *self, uint64_t now_ms)
{
    size_t n = self->config.clients;
    forget_fusion(self);
    for (size_t i = 0; i < n; i++) {
        witan_coordinator_client *client = &self->client[i];
        forget_fresh(self, i);
        client->asked = client->answered = client->late = client->done = false;
        if (client->stale.bytes != NULL &&
            self->round - client->stale_round > self->config.maximum_age) {
            witan_soft_labels_fini(&client->stale, self->allocator);
        }
    }
    self->answered = self->recipients = self->done = 0;
    draw_participants(self, self->round);
    self->asked = participants(self);
    for (size_t i = 0; i < self->asked; i++) {
        self->client[self->order[i]].asked = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (self->client[i].asked) {
            (void)send_to(self, i, WITAN_MESSAGE_OPEN);
        }
    }
    if (self->config.strategy->exchange == WITAN_EXCHANGE_NONE) {
        self->phase = PHASE_SETTLE;
        self->recipients = self->asked;
    } else {
        self->phase = PHASE_COLLECT;
    }
    start_timer(self, now_ms);
}

static void
begin_fusion(witan_coordinator *self)
{
    self->phase = PHASE_FUSE;
    self->timer++;
    (void)act(self, WITAN_COORDINATOR_FUSE);
}

static void
refuse(witan_coordinator *self, const witan_message *message, witan_refusal refusal)
{
    witan_coordinator_action *action = act(self, WITAN_COORDINATOR_REFUSED);
    action->message.kind = message->kind;
    action->message.client = message->client;
    action->message.round = message->round;
    action->refusal = refusal;
}

static bool
knowledge_has_shape(const witan_coordinator *self, const witan_message *message)
{
    const witan_coordinator_config *config = &self->config;
    if (config->strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        return message->parameters != NULL &&
               message->parameters_count == config->parameters;
    }
    const witan_soft_labels *labels = &message->labels;
    return labels->bytes != NULL && labels->rows == config->rows &&
           labels->classes == config->classes && labels->kind == config->kind &&
           labels->codec == config->codec &&
           labels->size ==
               witan_soft_labels_size(config->codec, config->rows, config->classes);
}

static bool
parameters_are_finite(const witan_message *message)
{
    for (size_t i = 0; i < message->parameters_count; i++) {
        if (!(message->parameters[i] - message->parameters[i] == 0.0f)) {
            return false;
        }
    }
    return true;
}

static bool
knowledge_is_sound(const witan_coordinator *self, const witan_message *message)
{
    return self->config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS
               ? parameters_are_finite(message)
               : witan_soft_labels_check(&message->labels, NULL) == WITAN_OK;
}

/* Late knowledge is kept when the next fusion is not too far from the round it was
 * meant for. */
static void
keep_or_drop_late(witan_coordinator *self, witan_message *message)
{
    witan_coordinator_client *client = &self->client[message->client];
    bool fusing_is_over = self->phase == PHASE_FUSE || self->phase == PHASE_SETTLE;
    size_t age = self->round + fusing_is_over - message->round;

    client->late = client->late || message->round == self->round;
    if (!self->config.keep_late || age > self->config.maximum_age ||
        self->config.strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        refuse(self, message, WITAN_REFUSAL_LATE);
        return;
    }
    witan_soft_labels_fini(&client->stale, self->allocator);
    client->stale = message->labels;
    memset(&message->labels, 0, sizeof message->labels);
    client->stale_round = message->round;
    client->heard = (uint64_t)message->round + 1;
    client->samples = message->samples;
}

static void
take_answer(witan_coordinator *self, witan_message *message)
{
    witan_coordinator_client *client = &self->client[message->client];
    client->answered = true;
    client->heard = (uint64_t)message->round + 1;
    client->samples = message->samples;
    client->labels = message->labels;
    client->parameters = message->parameters;
    memset(&message->labels, 0, sizeof message->labels);
    message->parameters = NULL;
    witan_soft_labels_fini(&client->stale, self->allocator); /* older than this */
    self->answered++;
    if (self->answered == self->asked) {
        begin_fusion(self);
    }
}

static void
take_knowledge(witan_coordinator *self, witan_message *message)
{
    witan_coordinator_client *client = &self->client[message->client];
    bool current = message->round == self->round && client->asked &&
                   self->phase != PHASE_BETWEEN && self->phase != PHASE_FINISHED;
    bool past = message->round < self->round &&
                was_asked(self, message->client, message->round);

    if (self->config.strategy->exchange == WITAN_EXCHANGE_NONE || (!current && !past)) {
        refuse(self, message, WITAN_REFUSAL_UNASKED);
    } else if (message->round < client->heard) {
        refuse(self, message, WITAN_REFUSAL_DUPLICATE);
    } else if (!knowledge_has_shape(self, message)) {
        refuse(self, message, WITAN_REFUSAL_SHAPE);
    } else if (!knowledge_is_sound(self, message)) {
        refuse(self, message, WITAN_REFUSAL_VALUES);
    } else if (past || self->phase != PHASE_COLLECT) {
        keep_or_drop_late(self, message);
    } else {
        take_answer(self, message);
    }
}

static void
take_done(witan_coordinator *self, const witan_message *message)
{
    witan_coordinator_client *client = &self->client[message->client];
    if (message->round != self->round || self->phase != PHASE_SETTLE ||
        !client->asked || client->done ||
        (self->config.strategy->exchange != WITAN_EXCHANGE_NONE && !client->answered)) {
        return; /* the end of a round that is already closed: nothing depends on it */
    }
    client->done = true;
    self->done++;
    if (self->done == self->recipients) {
        end_round(self);
    }
}

static void
take_message(witan_coordinator *self, witan_message *message)
{
    if (message->client >= self->config.clients) {
        refuse(self, message, WITAN_REFUSAL_STRANGER);
    } else if (message->kind == WITAN_MESSAGE_KNOWLEDGE) {
        take_knowledge(self, message);
    } else if (message->kind == WITAN_MESSAGE_DONE) {
        take_done(self, message);
    } else {
        refuse(self, message, WITAN_REFUSAL_UNASKED);
    }
    witan_message_fini(message, self->allocator);
}

static void
distribute(witan_coordinator *self, uint64_t now_ms)
{
    bool parameters = self->config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS;
    self->phase = PHASE_SETTLE;
    for (size_t i = 0; i < self->speakers; i++) {
        size_t n = self->speaker[i];
        if (!self->client[n].answered) {
            continue; /* spoke through late knowledge: hears nothing this round */
        }
        witan_message *message = send_to(self, n, WITAN_MESSAGE_FUSED);
        if (parameters) {
            message->parameters = self->client[n].parameters; /* reuse its own block */
            message->parameters_count = self->config.parameters;
            self->client[n].parameters = NULL;
            memcpy(message->parameters, self->average,
                   self->config.parameters * sizeof *self->average);
        } else {
            message->labels = self->mixed[i];
            memset(&self->mixed[i], 0, sizeof self->mixed[i]);
        }
        self->recipients++;
    }
    start_timer(self, now_ms);
}

static void
take_timer(witan_coordinator *self, uint64_t timer)
{
    if (timer != self->timer) {
        return;
    }
    if (self->phase == PHASE_COLLECT) {
        if (self->answered >= self->config.minimum_clients) {
            begin_fusion(self);
        } else {
            end_round(self); /* too few spoke: nobody learns from others this round */
        }
    } else if (self->phase == PHASE_SETTLE) {
        end_round(self);
    }
}

void
witan_coordinator_step(witan_coordinator *self, uint64_t now_ms,
                       const witan_coordinator_event *event,
                       witan_coordinator_actions *actions)
{
    clear_actions(self);
    switch (event->kind) {
    case WITAN_COORDINATOR_NEXT:
        if (self->phase == PHASE_BETWEEN) {
            open_round(self, now_ms);
        }
        break;
    case WITAN_COORDINATOR_MESSAGE:
        take_message(self, event->message);
        break;
    case WITAN_COORDINATOR_TIMER:
        take_timer(self, event->timer);
        break;
    case WITAN_COORDINATOR_FUSED:
        WITAN_ASSERT(self->phase == PHASE_FUSE && self->fused);
        distribute(self, now_ms);
        break;
    }
    actions->items = self->actions;
    actions->count = self->actions_count;
}

static witan_status
fuse_parameters(witan_coordinator *self, const size_t *samples)
{
    size_t n = self->speakers;
    witan_fusion_input input = {n, NULL, samples};
    const float **blocks = witan_zalloc(self->allocator, n, sizeof *blocks);
    self->average =
        witan_alloc(self->allocator, self->config.parameters, sizeof(float));
    if (blocks == NULL || self->average == NULL) {
        witan_free(self->allocator, blocks);
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        blocks[i] = self->client[self->speaker[i]].parameters;
    }
    witan_status status = self->config.strategy->weights(
        self->weights, &input, &self->config.fusion, self->allocator);
    if (status == WITAN_OK) {
        /* Every row of fedavg's W is the same. */
        witan_fusion_average(self->average, self->weights, blocks, n,
                             self->config.parameters);
    }
    witan_free(self->allocator, blocks);
    return status;
}

static witan_status
fuse_knowledge(witan_coordinator *self, const size_t *samples)
{
    size_t n = self->speakers;
    const witan_soft_labels **labels = witan_zalloc(self->allocator, n, sizeof *labels);
    if (labels == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        const witan_coordinator_client *client = &self->client[self->speaker[i]];
        labels[i] = client->answered ? &client->labels : &client->stale;
    }
    witan_fusion_input input = {n, labels, samples};
    witan_status status = self->config.strategy->weights(
        self->weights, &input, &self->config.fusion, self->allocator);
    if (status == WITAN_OK) {
        status = witan_fusion_combine(self->mixed, self->weights, &input,
                                      self->config.fusion.combine, self->allocator);
    }
    witan_free(self->allocator, labels);
    return status;
}

witan_status
witan_coordinator_fuse(witan_coordinator *self)
{
    WITAN_ASSERT(self->phase == PHASE_FUSE);
    forget_fusion(self);
    size_t n = 0;
    for (size_t i = 0; i < self->config.clients; i++) {
        if (self->client[i].answered || self->client[i].stale.bytes != NULL) {
            self->speaker[n++] = (uint32_t)i;
        }
    }
    self->speakers = n;
    self->weights = witan_zalloc(self->allocator, n * n, sizeof *self->weights);
    size_t *samples = witan_zalloc(self->allocator, n, sizeof *samples);
    if (self->weights == NULL || samples == NULL) {
        witan_free(self->allocator, samples);
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        samples[i] = (size_t)self->client[self->speaker[i]].samples;
    }
    witan_status status = self->config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS
                              ? fuse_parameters(self, samples)
                              : fuse_knowledge(self, samples);
    witan_free(self->allocator, samples);
    self->fused = status == WITAN_OK;
    return status;
}

size_t
witan_coordinator_round(const witan_coordinator *self)
{
    return self->round;
}

const witan_coordinator_client *
witan_coordinator_client_at(const witan_coordinator *self, size_t client)
{
    WITAN_ASSERT(client < self->config.clients);
    return &self->client[client];
}

size_t
witan_coordinator_awaited(const witan_coordinator *self)
{
    switch (self->phase) {
    case PHASE_COLLECT:
        return self->asked - self->answered;
    case PHASE_SETTLE:
        return self->recipients - self->done;
    case PHASE_BETWEEN:
    case PHASE_FUSE:
    case PHASE_FINISHED:
        break;
    }
    return 0;
}

bool
witan_coordinator_weights(const witan_coordinator *self, double *W)
{
    size_t n = self->config.clients;
    if (!self->fused) {
        return false;
    }
    memset(W, 0, n * n * sizeof *W);
    for (size_t i = 0; i < self->speakers; i++) {
        for (size_t j = 0; j < self->speakers; j++) {
            W[self->speaker[i] * n + self->speaker[j]] =
                self->weights[i * self->speakers + j];
        }
    }
    return true;
}

void
witan_coordinator_restore(witan_coordinator *self, size_t round)
{
    WITAN_ASSERT(self->phase == PHASE_BETWEEN && round <= self->config.rounds);
    self->round = round;
    self->phase = round == self->config.rounds ? PHASE_FINISHED : PHASE_BETWEEN;
}

void
witan_coordinator_restore_stale(witan_coordinator *self, size_t client,
                                witan_soft_labels *labels, uint32_t round)
{
    WITAN_ASSERT(client < self->config.clients);
    witan_soft_labels_fini(&self->client[client].stale, self->allocator);
    self->client[client].stale = *labels;
    self->client[client].stale_round = round;
    self->client[client].heard = (uint64_t)round + 1;
    memset(labels, 0, sizeof *labels);
}
