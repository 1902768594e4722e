#include "coordinator/core/coordinator_private.h"

#include <string.h>

/* Knowledge of that shape exists, and can be fused. */
static bool
shape_is_sound(const witan_coordinator_config *config)
{
    if (config->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return true;
    }
    bool dense = config->kind == WITAN_KNOWLEDGE_LOG_PROBABILITY ||
                 config->fusion.combine == WITAN_COMBINE_LOGIT;
    return witan_soft_labels_size(config->codec, config->rows, config->classes) > 0 &&
           !(dense && witan_codec_top(config->codec) > 0);
}

witan_status
witan_coordinator_new(witan_coordinator **out, const witan_coordinator_config *config,
                      const witan_allocator *allocator)
{
    *out = NULL;
    if (config->clients == 0 || config->rounds == 0 || config->minimum_clients == 0 ||
        !(config->participation > 0.0 && config->participation <= 1.0) ||
        config->strategy == NULL || !shape_is_sound(config) ||
        (config->target_clients != 0 &&
         config->target_clients < config->minimum_clients)) {
        return WITAN_E_INVALID;
    }
    witan_coordinator *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    size_t n = config->clients;
    self->allocator = allocator;
    self->config = *config;
    self->actions_room = n + 6; /* a message each, and what begins or ends a round */
    self->client = witan_zalloc(allocator, n, sizeof *self->client);
    self->order = witan_zalloc(allocator, n, sizeof *self->order);
    self->speaker = witan_zalloc(allocator, n, sizeof *self->speaker);
    self->mixed = witan_zalloc(allocator, n, sizeof *self->mixed);
    self->actions = witan_zalloc(allocator, self->actions_room, sizeof *self->actions);
    self->window =
        config->maximum_age < config->rounds ? config->maximum_age + 1 : config->rounds;
    if (config->presence && config->keep_late) {
        self->history = witan_zalloc(allocator, self->window, n * sizeof(bool));
    }
    if (self->client == NULL || self->order == NULL || self->speaker == NULL ||
        self->mixed == NULL || self->actions == NULL ||
        (self->history == NULL && config->presence && config->keep_late)) {
        witan_coordinator_free(&self);
        return WITAN_E_MEMORY;
    }
    *out = self;
    return WITAN_OK;
}

void
coordinator_forget_fresh(witan_coordinator *self, size_t client)
{
    witan_soft_labels_fini(&self->client[client].labels, self->allocator);
    witan_free(self->allocator, self->client[client].parameters);
    self->client[client].parameters = NULL;
}

/* Actions that nobody took out keep their payload here. */
void
coordinator_clear_actions(witan_coordinator *self)
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
            coordinator_forget_fresh(it, n);
            witan_soft_labels_fini(&it->client[n].stale, it->allocator);
        }
        coordinator_forget_fusion(it);
    }
    if (it->actions != NULL) {
        coordinator_clear_actions(it);
    }
    witan_free(it->allocator, it->client);
    witan_free(it->allocator, it->order);
    witan_free(it->allocator, it->history);
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

/* --- timers ----------------------------------------------------------------------- */

uint64_t
coordinator_set_timer(witan_coordinator *self, uint64_t now_ms, uint64_t delay_ms)
{
    witan_coordinator_action *action = act(self, WITAN_COORDINATOR_SET_TIMER);
    action->at_ms = now_ms + delay_ms;
    action->timer = ++self->timers;
    return action->timer;
}

void
coordinator_start_deadline(witan_coordinator *self, uint64_t now_ms)
{
    if (self->config.deadline_ms != 0) {
        self->deadline_timer =
            coordinator_set_timer(self, now_ms, self->config.deadline_ms);
    }
}

/* Every change of phase makes the timers of the old one void. */
static void
enter_phase(witan_coordinator *self, coordinator_phase phase)
{
    self->phase = phase;
    self->deadline_timer = self->grace_timer = 0;
}

/* --- the course of a round -------------------------------------------------------- */

static bool
is_awaited(const witan_coordinator *self, const witan_coordinator_client *client)
{
    bool exchanges = self->config.strategy->exchange != WITAN_EXCHANGE_NONE;
    if (!client->asked || client->removed || client->gone) {
        return false;
    }
    return self->phase == PHASE_COLLECT
               ? !client->answered
               : self->phase == PHASE_SETTLE && !client->done &&
                     (client->answered || !exchanges);
}

static void
count_awaited(witan_coordinator *self)
{
    self->awaited = 0;
    for (size_t i = 0; i < self->config.clients; i++) {
        self->awaited += is_awaited(self, &self->client[i]);
    }
}

void
coordinator_clear_round(witan_coordinator *self)
{
    coordinator_forget_fusion(self);
    for (size_t i = 0; i < self->config.clients; i++) {
        witan_coordinator_client *client = &self->client[i];
        coordinator_forget_fresh(self, i);
        client->asked = client->answered = client->late = client->done = false;
        client->gone = client->removed = false;
        client->absence_timer = 0;
        if (client->stale.bytes != NULL &&
            self->round - client->stale_round > self->config.maximum_age) {
            witan_soft_labels_fini(&client->stale, self->allocator);
        }
    }
    self->answered = 0;
}

void
coordinator_enter(witan_coordinator *self)
{
    self->wanted = false;
    coordinator_remember_asked(self);
    enter_phase(self, self->config.strategy->exchange == WITAN_EXCHANGE_NONE
                          ? PHASE_SETTLE
                          : PHASE_COLLECT);
    count_awaited(self);
}

static void
open_round(witan_coordinator *self, uint64_t now_ms)
{
    act(self, WITAN_COORDINATOR_ROUND_OPENED)->message.round = (uint32_t)self->round;
    coordinator_clear_round(self);
    coordinator_choose(self);
    for (size_t i = 0; i < self->config.clients; i++) {
        if (self->client[i].asked) {
            (void)send_to(self, i, WITAN_MESSAGE_OPEN);
        }
    }
    coordinator_enter(self);
    coordinator_start_deadline(self, now_ms);
}

/* Opens the round that NEXT asked for once enough clients are there. */
static void
try_open(witan_coordinator *self, uint64_t now_ms)
{
    const witan_coordinator_config *config = &self->config;
    size_t enough =
        config->target_clients != 0 ? config->target_clients : config->clients;
    if (self->phase != PHASE_BETWEEN || !self->wanted) {
        return;
    }
    if (config->presence && self->present < config->minimum_clients) {
        self->grace_timer = 0;
        return;
    }
    if (config->presence && self->present < enough && config->grace_ms != 0) {
        if (self->grace_timer == 0) {
            self->grace_timer = coordinator_set_timer(self, now_ms, config->grace_ms);
        }
        return;
    }
    open_round(self, now_ms);
}

static void
end_round(witan_coordinator *self)
{
    enter_phase(self, PHASE_BETWEEN);
    self->round++;
    (void)act(self, WITAN_COORDINATOR_ROUND_ENDED);
    if (self->round == self->config.rounds) {
        self->phase = PHASE_FINISHED;
        (void)act(self, WITAN_COORDINATOR_FINISHED);
    }
}

void
coordinator_begin_fusion(witan_coordinator *self)
{
    enter_phase(self, PHASE_FUSE);
    (void)act(self, WITAN_COORDINATOR_FUSE);
}

static void
advance_collect(witan_coordinator *self, uint64_t now_ms)
{
    const witan_coordinator_config *config = &self->config;
    bool may_fuse = self->answered >= config->minimum_clients;
    bool enough =
        config->target_clients != 0 && self->answered >= config->target_clients;
    if (self->awaited == 0 && may_fuse) {
        coordinator_begin_fusion(self);
    } else if (self->answered == self->asked) {
        end_round(self); /* too few are left to answer */
    } else if (!enough) {
        self->grace_timer = 0; /* a removed one was needed */
    } else if (config->grace_ms == 0) {
        coordinator_begin_fusion(self);
    } else if (self->grace_timer == 0) {
        self->grace_timer = coordinator_set_timer(self, now_ms, config->grace_ms);
    }
}

void
coordinator_advance(witan_coordinator *self, uint64_t now_ms)
{
    if (self->phase == PHASE_COLLECT) {
        advance_collect(self, now_ms);
    } else if (self->phase == PHASE_SETTLE && self->awaited == 0) {
        end_round(self);
    }
}

/* --- messages --------------------------------------------------------------------- */

static void
refuse(witan_coordinator *self, const witan_message *message, witan_refusal refusal)
{
    witan_coordinator_action *action = act(self, WITAN_COORDINATOR_REFUSED);
    action->message.kind = message->kind;
    action->message.client = message->client;
    action->message.round = message->round;
    action->refusal = refusal;
}

static void
take_late(witan_coordinator *self, witan_message *message)
{
    witan_coordinator_client *client = &self->client[message->client];
    witan_soft_labels_fini(&client->stale, self->allocator);
    client->stale = message->labels;
    memset(&message->labels, 0, sizeof message->labels);
    client->stale_round = message->round;
    client->heard = (uint64_t)message->round + 1;
    client->samples = message->samples;
}

void
coordinator_take_answer(witan_coordinator *self, witan_message *message)
{
    witan_coordinator_client *client = &self->client[message->client];
    self->awaited -= is_awaited(self, client);
    self->answered++;
    client->answered = true;
    client->heard = (uint64_t)message->round + 1;
    client->samples = message->samples;
    client->labels = message->labels;
    client->parameters = message->parameters;
    memset(&message->labels, 0, sizeof message->labels);
    message->parameters = NULL;
    witan_soft_labels_fini(&client->stale, self->allocator); /* older than this */
}

static void
take_knowledge(witan_coordinator *self, witan_message *message, uint64_t now_ms)
{
    bool late = false;
    uint32_t used_from = 0;
    witan_refusal refusal = witan_coordinator_judge(self, message, &late, &used_from);
    if (message->round == self->round && (late || refusal == WITAN_REFUSAL_LATE)) {
        self->client[message->client].late = true;
    }
    if (refusal != WITAN_REFUSAL_NONE) {
        refuse(self, message, refusal);
    } else if (late) {
        take_late(self, message);
    } else {
        coordinator_take_answer(self, message);
        coordinator_advance(self, now_ms);
    }
}

static void
take_done(witan_coordinator *self, const witan_message *message, uint64_t now_ms)
{
    witan_coordinator_client *client = &self->client[message->client];
    bool exchanges = self->config.strategy->exchange != WITAN_EXCHANGE_NONE;
    if (message->round != self->round || self->phase != PHASE_SETTLE ||
        !client->asked || client->removed || (exchanges && !client->answered)) {
        return; /* the end of a round that is already closed: nothing depends on it */
    }
    self->awaited -= is_awaited(self, client);
    client->done = true;
    coordinator_advance(self, now_ms);
}

static void
take_message(witan_coordinator *self, witan_message *message, uint64_t now_ms)
{
    if (message->kind == WITAN_MESSAGE_DONE && message->client < self->config.clients) {
        take_done(self, message, now_ms);
    } else {
        take_knowledge(self, message, now_ms); /* any other kind is refused there */
    }
    witan_message_fini(message, self->allocator);
}

static void
distribute(witan_coordinator *self, uint64_t now_ms)
{
    bool parameters = self->config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS;
    enter_phase(self, PHASE_SETTLE);
    for (size_t i = 0; i < self->speakers; i++) {
        size_t n = self->speaker[i];
        if (!self->client[n].answered || self->client[n].removed) {
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
    }
    count_awaited(self);
    coordinator_start_deadline(self, now_ms);
    coordinator_advance(self, now_ms);
}

/* --- clients that come and go ----------------------------------------------------- */

static bool
is_running(const witan_coordinator *self)
{
    return self->phase == PHASE_COLLECT || self->phase == PHASE_FUSE ||
           self->phase == PHASE_SETTLE;
}

static void
take_present(witan_coordinator *self, uint32_t n, uint64_t now_ms)
{
    witan_coordinator_client *client = &self->client[n];
    self->present += !client->present;
    client->present = true;
    client->gone = false;
    client->absence_timer = 0;
    count_awaited(self);
    if (is_awaited(self, client)) { /* it may have missed what it was told */
        if (client->answered) {
            witan_coordinator_action *action = act(self, WITAN_COORDINATOR_SEND_AGAIN);
            action->message.kind = WITAN_MESSAGE_FUSED;
            action->message.client = n;
            action->message.round = (uint32_t)self->round;
        } else {
            (void)send_to(self, n, WITAN_MESSAGE_OPEN);
        }
    }
    try_open(self, now_ms);
}

static void
take_absent(witan_coordinator *self, uint32_t n, uint64_t now_ms)
{
    witan_coordinator_client *client = &self->client[n];
    if (!client->present) {
        return;
    }
    client->present = false;
    self->present--;
    if (is_running(self) && client->asked && !client->removed &&
        self->config.absence_ms != 0) {
        client->absence_timer =
            coordinator_set_timer(self, now_ms, self->config.absence_ms);
    }
    try_open(self, now_ms);
}

static void
take_removed(witan_coordinator *self, uint32_t n, uint64_t now_ms)
{
    witan_coordinator_client *client = &self->client[n];
    self->present -= client->present;
    client->present = client->gone = false;
    client->absence_timer = 0;
    client->heard = 0;
    witan_soft_labels_fini(&client->stale, self->allocator);
    for (size_t i = 0; self->history != NULL && i < self->window; i++) {
        self->history[i * self->config.clients + n] = false;
    }
    if (is_running(self) && !self->fused && client->asked &&
        self->config.strategy->exchange != WITAN_EXCHANGE_NONE) {
        self->asked--;
        self->answered -= client->answered;
        client->asked = client->answered = client->late = false;
        coordinator_forget_fresh(self, n);
    } else {
        client->removed = true; /* the record keeps its part */
    }
    count_awaited(self);
    coordinator_advance(self, now_ms);
    try_open(self, now_ms);
}

static void
take_absence(witan_coordinator *self, uint64_t timer, uint64_t now_ms)
{
    for (size_t i = 0; i < self->config.clients; i++) {
        witan_coordinator_client *client = &self->client[i];
        if (client->absence_timer == timer) {
            client->gone = true;
            client->absence_timer = 0;
        }
    }
    count_awaited(self);
    coordinator_advance(self, now_ms);
}

static void
take_timer(witan_coordinator *self, uint64_t timer, uint64_t now_ms)
{
    bool deadline = timer == self->deadline_timer, grace = timer == self->grace_timer;
    if (timer == 0) {
        return;
    }
    if (!deadline && !grace) {
        take_absence(self, timer, now_ms);
    } else if (self->phase == PHASE_BETWEEN) {
        open_round(self, now_ms);
    } else if (self->phase == PHASE_COLLECT &&
               self->answered >= self->config.minimum_clients) {
        coordinator_begin_fusion(self);
    } else {
        end_round(self); /* COLLECT: too few spoke, nobody learns from others */
    }
}

void
witan_coordinator_step(witan_coordinator *self, uint64_t now_ms,
                       const witan_coordinator_event *event,
                       witan_coordinator_actions *actions)
{
    coordinator_clear_actions(self);
    switch (event->kind) {
    case WITAN_COORDINATOR_NEXT:
        self->wanted = self->phase == PHASE_BETWEEN;
        try_open(self, now_ms);
        break;
    case WITAN_COORDINATOR_MESSAGE:
        take_message(self, event->message, now_ms);
        break;
    case WITAN_COORDINATOR_TIMER:
        take_timer(self, event->timer, now_ms);
        break;
    case WITAN_COORDINATOR_FUSED:
        WITAN_ASSERT(self->phase == PHASE_FUSE && self->fused);
        distribute(self, now_ms);
        break;
    case WITAN_COORDINATOR_PRESENT:
    case WITAN_COORDINATOR_ABSENT:
    case WITAN_COORDINATOR_REMOVED:
        WITAN_ASSERT(self->config.presence && event->client < self->config.clients);
        if (event->kind == WITAN_COORDINATOR_PRESENT) {
            take_present(self, event->client, now_ms);
        } else if (event->kind == WITAN_COORDINATOR_ABSENT) {
            take_absent(self, event->client, now_ms);
        } else {
            take_removed(self, event->client, now_ms);
        }
        break;
    }
    actions->items = self->actions;
    actions->count = self->actions_count;
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
    return self->phase == PHASE_COLLECT || self->phase == PHASE_SETTLE ? self->awaited
                                                                       : 0;
}
