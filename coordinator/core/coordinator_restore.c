/* coordinator_restore.c - a coordinator made from what another one left on a disk. */
#include <string.h>

#include "coordinator/core/coordinator_private.h"

void
witan_coordinator_restore(witan_coordinator *self, size_t round)
{
    WITAN_ASSERT(self->phase == PHASE_BETWEEN && round <= self->config.rounds);
    self->round = round;
    self->phase = round == self->config.rounds ? PHASE_FINISHED : PHASE_BETWEEN;
}

void
witan_coordinator_restore_heard(witan_coordinator *self, size_t client, uint32_t round)
{
    WITAN_ASSERT(client < self->config.clients && round < self->round);
    uint64_t *heard = &self->client[client].heard;
    *heard = *heard > round ? *heard : (uint64_t)round + 1;
}

void
witan_coordinator_restore_asked(witan_coordinator *self, uint32_t round,
                                const bool *asked)
{
    WITAN_ASSERT(round < self->round);
    if (self->history != NULL && self->round - round <= self->config.maximum_age) {
        size_t n = self->config.clients;
        memcpy(self->history + round % self->window * n, asked, n * sizeof *asked);
    }
}

void
witan_coordinator_restore_stale(witan_coordinator *self, size_t client,
                                witan_soft_labels *labels, uint32_t round,
                                uint64_t samples)
{
    WITAN_ASSERT(client < self->config.clients);
    witan_coordinator_client *it = &self->client[client];
    witan_soft_labels_fini(&it->stale, self->allocator);
    it->stale = *labels;
    it->stale_round = round;
    it->samples = samples;
    it->heard = it->heard > round ? it->heard : (uint64_t)round + 1;
    memset(labels, 0, sizeof *labels);
}

void
witan_coordinator_reopen(witan_coordinator *self, const bool *asked)
{
    WITAN_ASSERT(self->phase == PHASE_BETWEEN);
    coordinator_clear_round(self);
    self->asked = 0;
    for (size_t i = 0; i < self->config.clients; i++) {
        self->client[i].asked = asked[i];
        self->asked += asked[i];
    }
    coordinator_enter(self);
}

witan_refusal
witan_coordinator_restore_answer(witan_coordinator *self, witan_message *message)
{
    bool late = false;
    uint32_t used_from = 0;
    witan_refusal refusal = witan_coordinator_judge(self, message, &late, &used_from);
    if (refusal == WITAN_REFUSAL_NONE && late) {
        refusal = WITAN_REFUSAL_LATE;
    }
    if (refusal == WITAN_REFUSAL_NONE) {
        coordinator_take_answer(self, message);
    }
    witan_message_fini(message, self->allocator);
    return refusal;
}

/* Nobody is connected yet: all that are awaited have the same time to come back. */
static void
start_absence(witan_coordinator *self, uint64_t now_ms)
{
    if (!self->config.presence || self->config.absence_ms == 0) {
        return;
    }
    uint64_t timer = coordinator_set_timer(self, now_ms, self->config.absence_ms);
    for (size_t i = 0; i < self->config.clients; i++) {
        self->client[i].absence_timer = timer;
    }
}

void
witan_coordinator_resume(witan_coordinator *self, uint64_t now_ms, bool fused,
                         witan_coordinator_actions *actions)
{
    coordinator_clear_actions(self);
    if (self->phase == PHASE_COLLECT || self->phase == PHASE_SETTLE) {
        start_absence(self, now_ms);
        if (self->phase == PHASE_COLLECT && fused) {
            coordinator_begin_fusion(self);
        } else {
            coordinator_start_deadline(self, now_ms);
            coordinator_advance(self, now_ms);
        }
    }
    actions->items = self->actions;
    actions->count = self->actions_count;
}
