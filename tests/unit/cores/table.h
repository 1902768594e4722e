/* table.h - a coordinator at a table: events go in by name, the actions of the last
 * step lie open. */
#ifndef WITAN_TEST_TABLE_H
#define WITAN_TEST_TABLE_H

#include <string.h>

#include "base/random.h"
#include "coordinator/core/coordinator.h"
#include "support/witan_test.h"

enum {
    TABLE_ROWS = 12,
    TABLE_CLASSES = 4,
    TABLE_PARAMETERS = 37,
    TABLE_CLIENTS_MAX = 64
};

typedef struct table {
    witan_failing_allocator heap;
    witan_coordinator_config config;
    witan_coordinator *coordinator;
    uint64_t now_ms;
    bool lazy; /* payloads are not taken out of the actions */
    witan_coordinator_action seen[TABLE_CLIENTS_MAX + 6]; /* payloads are owned */
    size_t count;
} table;

static inline witan_coordinator_config
table_config(const char *strategy, size_t clients, size_t rounds)
{
    return (witan_coordinator_config){
        .seed = 7,
        .clients = clients,
        .rounds = rounds,
        .participation = 1.0,
        .minimum_clients = 1,
        .maximum_age = 1,
        .strategy = witan_fusion_find(strategy),
        .fusion = {.beta = 10.0, .include_self = true},
        .codec = WITAN_CODEC_F32,
        .rows = TABLE_ROWS,
        .classes = TABLE_CLASSES,
        .parameters = TABLE_PARAMETERS,
    };
}

static inline void
table_open(table *self, const witan_coordinator_config *config)
{
    memset(self, 0, sizeof *self);
    witan_failing_allocator_init(&self->heap, 0);
    self->config = *config;
    CHECK_STATUS(
        witan_coordinator_new(&self->coordinator, config, &self->heap.allocator),
        WITAN_OK);
}

static inline void
table_clear(table *self)
{
    for (size_t i = 0; i < self->count; i++) {
        witan_message_fini(&self->seen[i].message, &self->heap.allocator);
    }
    self->count = 0;
}

/* Every block must come back. */
static inline void
table_close(table *self)
{
    table_clear(self);
    witan_coordinator_free(&self->coordinator);
    CHECK(self->heap.live == 0);
}

static inline void
table_step(table *self, const witan_coordinator_event *event)
{
    witan_coordinator_actions actions;
    table_clear(self);
    witan_coordinator_step(self->coordinator, self->now_ms, event, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        self->seen[self->count++] = actions.items[i];
        witan_message *left =
            self->lazy ? &self->seen[i].message : &actions.items[i].message;
        memset(&left->labels, 0, sizeof left->labels);
        left->parameters = NULL;
    }
}

/* Takes the action off that every opening step begins with. */
static inline void
table_drop_opened(table *self)
{
    if (self->count != 0 && self->seen[0].kind == WITAN_COORDINATOR_ROUND_OPENED) {
        CHECK(self->seen[0].message.round ==
              (uint32_t)witan_coordinator_round(self->coordinator));
        self->count--;
        memmove(self->seen, self->seen + 1, self->count * sizeof self->seen[0]);
    }
}

static inline void
table_next(table *self)
{
    table_step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_NEXT});
    table_drop_opened(self);
}

static inline void
table_timer(table *self, uint64_t timer)
{
    table_step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_TIMER,
                                                .timer = timer});
}

static inline void
table_take(table *self, witan_message *message)
{
    table_step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_MESSAGE,
                                                .message = message});
    CHECK(message->labels.bytes == NULL && message->parameters == NULL);
}

/* PRESENT, ABSENT, REMOVED. */
static inline void
table_seat(table *self, witan_coordinator_event_kind kind, uint32_t client)
{
    table_step(self, &(witan_coordinator_event){.kind = kind, .client = client});
}

/* Probabilities [TABLE_ROWS, TABLE_CLASSES] of client and round, always the same. */
static inline void
table_rows(float *p, uint32_t client, uint32_t round)
{
    witan_random random;
    witan_random_init(&random, 99, client, round, WITAN_PURPOSE_TEST);
    double alpha[TABLE_CLASSES], row[TABLE_CLASSES];
    for (size_t c = 0; c < TABLE_CLASSES; c++) {
        alpha[c] = c == client % TABLE_CLASSES ? 4.0 : 0.5;
    }
    for (size_t i = 0; i < TABLE_ROWS; i++) {
        witan_random_dirichlet(&random, row, alpha, TABLE_CLASSES);
        for (size_t c = 0; c < TABLE_CLASSES; c++) {
            p[i * TABLE_CLASSES + c] = (float)row[c];
        }
    }
}

static inline void
table_labels(table *self, witan_soft_labels *out, uint32_t client, uint32_t round)
{
    float p[TABLE_ROWS * TABLE_CLASSES];
    table_rows(p, client, round);
    CHECK_STATUS(witan_soft_labels_new(out, &self->heap.allocator, self->config.kind,
                                       self->config.codec, TABLE_ROWS, TABLE_CLASSES),
                 WITAN_OK);
    CHECK_STATUS(witan_soft_labels_encode(out, 0, TABLE_ROWS, p), WITAN_OK);
}

/* The parameters that client and round stand for. */
static inline float
table_parameter(uint32_t client, uint32_t round, size_t i)
{
    return (float)((client + 1) * 1000 + round * 100) + (float)i * 0.37f;
}

static inline witan_message
table_knowledge(table *self, uint32_t client, uint32_t round)
{
    witan_message message = {.kind = WITAN_MESSAGE_KNOWLEDGE,
                             .client = client,
                             .round = round,
                             .samples = 10u * client + 5u};
    if (self->config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        message.parameters_count = TABLE_PARAMETERS;
        message.parameters =
            witan_alloc(&self->heap.allocator, TABLE_PARAMETERS, sizeof(float));
        for (size_t i = 0; i < TABLE_PARAMETERS; i++) {
            message.parameters[i] = table_parameter(client, round, i);
        }
    } else {
        table_labels(self, &message.labels, client, round);
    }
    return message;
}

static inline void
table_say(table *self, uint32_t client, uint32_t round)
{
    witan_message message = table_knowledge(self, client, round);
    table_take(self, &message);
}

static inline void
table_done(table *self, uint32_t client, uint32_t round)
{
    witan_message message = {
        .kind = WITAN_MESSAGE_DONE, .client = client, .round = round};
    table_take(self, &message);
}

/* What a FUSE action asks for. */
static inline void
table_fuse(table *self)
{
    CHECK(self->count == 1 && self->seen[0].kind == WITAN_COORDINATOR_FUSE);
    CHECK_STATUS(witan_coordinator_fuse(self->coordinator), WITAN_OK);
    table_step(self, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
}

static inline size_t
table_has(const table *self, witan_coordinator_action_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        count += self->seen[i].kind == kind;
    }
    return count;
}

/* The message of one kind that was sent to a client, or NULL. */
static inline const witan_message *
table_sent(const table *self, witan_message_kind kind, uint32_t client)
{
    for (size_t i = 0; i < self->count; i++) {
        const witan_coordinator_action *action = &self->seen[i];
        if (action->kind == WITAN_COORDINATOR_SEND && action->message.kind == kind &&
            action->message.client == client) {
            return &action->message;
        }
    }
    return NULL;
}

/* Id of the timer that the last step set; 0 when there is none. */
static inline uint64_t
table_timer_set(const table *self, uint64_t at_ms)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->seen[i].kind == WITAN_COORDINATOR_SET_TIMER) {
            CHECK(self->seen[i].at_ms == at_ms);
            return self->seen[i].timer;
        }
    }
    CHECK(!"a timer");
    return 0;
}

/* The last step did nothing but refuse this client's words for this round. */
static inline void
table_refused(const table *self, uint32_t client, uint32_t round, witan_refusal refusal)
{
    CHECK(self->count == 1 && self->seen[0].kind == WITAN_COORDINATOR_REFUSED);
    CHECK_STRING(witan_refusal_text(self->seen[0].refusal),
                 witan_refusal_text(refusal));
    CHECK(self->seen[0].message.client == client &&
          self->seen[0].message.round == round &&
          self->seen[0].message.labels.bytes == NULL &&
          self->seen[0].message.parameters == NULL);
}

static inline const witan_coordinator_client *
table_client(const table *self, size_t client)
{
    return witan_coordinator_client_at(self->coordinator, client);
}

#endif
