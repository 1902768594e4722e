/* coordinator_ask.c - who is asked in a round, whose knowledge counts, and when. */
#include <string.h>

#include "base/random.h"
#include "coordinator/core/coordinator_private.h"

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

/* --- who is asked ----------------------------------------------------------------- */

/* How many of `eligible` clients are asked, >= 1 of >= 1. */
static size_t
share_of(const witan_coordinator *self, size_t eligible)
{
    size_t count = (size_t)(self->config.participation * (double)eligible + 0.5);
    return count < 1 ? 1 : (count > eligible ? eligible : count);
}

/* A shuffle of all seats, keyed by the round alone. */
static void
draw_order(witan_coordinator *self, size_t round)
{
    size_t n = self->config.clients;
    witan_random random;
    if (self->order_round == round + 1) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        self->order[i] = (uint32_t)i;
    }
    witan_random_init(&random, self->config.seed, WITAN_CLIENT_NONE, (uint32_t)round,
                      WITAN_PURPOSE_PARTICIPATION);
    witan_random_shuffle(&random, self->order, n);
    self->order_round = round + 1;
}

static bool
may_be_asked(const witan_coordinator *self, size_t client)
{
    return !self->config.presence || self->client[client].present;
}

void
coordinator_choose(witan_coordinator *self)
{
    size_t n = self->config.clients;
    size_t eligible = self->config.presence ? self->present : n;
    size_t count = share_of(self, eligible);
    /* A share of the few that are present must still be enough to fuse. */
    if (self->config.presence && count < self->config.minimum_clients) {
        count = self->config.minimum_clients;
    }
    if (count < eligible) {
        draw_order(self, self->round);
    }
    self->asked = 0;
    for (size_t i = 0; i < n && self->asked < count; i++) {
        size_t client = count < eligible ? self->order[i] : i;
        if (may_be_asked(self, client)) {
            self->client[client].asked = true;
            self->asked++;
        }
    }
}

void
coordinator_remember_asked(witan_coordinator *self)
{
    size_t n = self->config.clients;
    if (self->history == NULL) {
        return;
    }
    bool *row = self->history + self->round % self->window * n;
    for (size_t i = 0; i < n; i++) {
        row[i] = self->client[i].asked;
    }
}

bool
coordinator_was_asked(witan_coordinator *self, uint32_t client, size_t round)
{
    size_t n = self->config.clients;
    if (self->config.presence) {
        return self->history == NULL ||
               self->round - round > self->config.maximum_age ||
               self->history[round % self->window * n + client];
    }
    /* Drawn again, so that neither memory nor a resumed run has to keep it. */
    size_t count = share_of(self, n);
    if (count == n) {
        return true;
    }
    draw_order(self, round);
    for (size_t i = 0; i < count; i++) {
        if (self->order[i] == client) {
            return true;
        }
    }
    return false;
}

/* --- whose knowledge counts ------------------------------------------------------- */

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
static witan_refusal
judge_late(const witan_coordinator *self, const witan_message *message, bool *late,
           uint32_t *used_from)
{
    bool fusing_is_over = self->phase == PHASE_FUSE || self->phase == PHASE_SETTLE;
    size_t next_fusion = self->round + fusing_is_over;
    if (!self->config.keep_late ||
        next_fusion - message->round > self->config.maximum_age ||
        self->config.strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return WITAN_REFUSAL_LATE;
    }
    *late = true;
    *used_from = (uint32_t)next_fusion;
    return WITAN_REFUSAL_NONE;
}

witan_refusal
witan_coordinator_judge(witan_coordinator *self, const witan_message *message,
                        bool *late, uint32_t *used_from)
{
    *late = false;
    *used_from = message->round;
    if (message->client >= self->config.clients) {
        return WITAN_REFUSAL_STRANGER;
    }
    const witan_coordinator_client *client = &self->client[message->client];
    bool running = self->phase != PHASE_BETWEEN && self->phase != PHASE_FINISHED;
    bool current =
        message->round == self->round && running && client->asked && !client->removed;
    bool past = message->round < self->round &&
                coordinator_was_asked(self, message->client, message->round);

    if (self->config.strategy->exchange == WITAN_EXCHANGE_NONE ||
        message->kind != WITAN_MESSAGE_KNOWLEDGE || (!current && !past)) {
        return WITAN_REFUSAL_UNASKED;
    }
    if (message->round < client->heard) {
        return WITAN_REFUSAL_DUPLICATE;
    }
    if (!knowledge_has_shape(self, message)) {
        return WITAN_REFUSAL_SHAPE;
    }
    if (!knowledge_is_sound(self, message)) {
        return WITAN_REFUSAL_VALUES;
    }
    return past || self->phase != PHASE_COLLECT
               ? judge_late(self, message, late, used_from)
               : WITAN_REFUSAL_NONE;
}
