/* Twenty thousand random events, sane and not: the coordinator keeps its books. */
#include <math.h>

#include "table.h"

enum {
    EVENTS = 20000,
    CLIENTS = 7
};

typedef struct books {
    table table;
    size_t rounds_ended, fusions, refusals, finished;
    uint64_t timer; /* the last one set */
    bool over;
} books;

static void
start(books *self, witan_random *random)
{
    static const char *const strategies[] = {"knfu", "mean", "fedavg", "local"};
    witan_coordinator_config config =
        table_config(strategies[witan_random_below(random, 4)], CLIENTS,
                     1 + witan_random_below(random, 12));
    config.seed = witan_random_u32(random);
    config.participation = witan_random_below(random, 2) ? 1.0 : 0.4;
    config.minimum_clients = 1 + witan_random_below(random, 3);
    config.deadline_ms = 1000;
    config.keep_late = witan_random_below(random, 2);
    config.maximum_age = 1 + witan_random_below(random, 3);
    config.codec = witan_random_below(random, 2) ? WITAN_CODEC_U16 : WITAN_CODEC_F32;
    table_open(&self->table, &config);
    self->table.lazy = witan_random_below(random, 2);
    self->rounds_ended = 0;
    self->over = false;
}

/* Mostly what a client could say now, else anything. */
static witan_message
anything(books *self, witan_random *random)
{
    table *t = &self->table;
    uint32_t round = (uint32_t)witan_coordinator_round(t->coordinator);
    uint32_t client = witan_random_below(random, CLIENTS + 2);
    uint32_t about[] = {
        round, round, round, round - 1, round - 2, round + 1, witan_random_u32(random)};
    uint32_t said = about[witan_random_below(random, 7)];
    witan_message message = table_knowledge(t, client, said % 50);
    message.round = said;
    message.kind = (witan_message_kind)witan_random_below(random, 8);
    if (message.kind > WITAN_MESSAGE_DONE) {
        message.kind = WITAN_MESSAGE_KNOWLEDGE;
    }
    switch (witan_random_below(random, 10)) {
    case 0:
        witan_soft_labels_fini(&message.labels, &t->heap.allocator);
        break;
    case 1:
        message.labels.rows = witan_random_u32(random);
        break;
    case 2:
        message.labels.classes = witan_random_below(random, 9);
        break;
    case 3:
        message.parameters_count = witan_random_below(random, TABLE_PARAMETERS);
        break;
    case 4:
        if (message.labels.bytes != NULL) {
            for (size_t i = 0; i < message.labels.size; i++) {
                message.labels.bytes[i] = (uint8_t)witan_random_u32(random);
            }
        } else if (message.parameters != NULL) {
            message.parameters[3] = NAN;
        }
        break;
    case 5:
        message.samples = witan_random_below(random, 2) ? 0 : UINT64_MAX;
        break;
    default:
        break;
    }
    return message;
}

static void
check_books(books *self)
{
    const table *t = &self->table;
    size_t asked = 0, answered = 0, done = 0;
    for (size_t n = 0; n < CLIENTS; n++) {
        const witan_coordinator_client *client = table_client(t, n);
        asked += client->asked;
        answered += client->answered;
        done += client->done;
        CHECK(!client->answered || client->asked);
        CHECK(!client->done || client->asked);
        CHECK(!(client->late && client->answered));
        CHECK(!client->late || client->asked);
    }
    CHECK(answered <= asked && done <= asked);
    CHECK(witan_coordinator_awaited(t->coordinator) <= asked);
    CHECK(witan_coordinator_round(t->coordinator) == self->rounds_ended);
    CHECK(self->rounds_ended <= t->config.rounds);
    CHECK(self->over == (self->rounds_ended == t->config.rounds));
}

static void
check_weights(const table *t)
{
    double W[CLIENTS * CLIENTS];
    if (!witan_coordinator_weights(t->coordinator, W)) {
        return;
    }
    for (size_t n = 0; n < CLIENTS; n++) {
        double sum = 0.0;
        for (size_t m = 0; m < CLIENTS; m++) {
            sum += W[n * CLIENTS + m];
        }
        CHECK(sum == 0.0 || fabs(sum - 1.0) < 1e-9);
    }
}

/* Every client is sent at most one message a step; sends only while a run lasts. */
static void
check_actions(books *self)
{
    const table *t = &self->table;
    size_t sends[CLIENTS] = {0};
    for (size_t i = 0; i < t->count; i++) {
        const witan_coordinator_action *action = &t->seen[i];
        switch (action->kind) {
        case WITAN_COORDINATOR_SEND:
            CHECK(!self->over && action->message.client < CLIENTS &&
                  ++sends[action->message.client] == 1);
            CHECK(action->message.round == witan_coordinator_round(t->coordinator));
            break;
        case WITAN_COORDINATOR_SET_TIMER:
            self->timer = action->timer;
            CHECK(action->at_ms == t->now_ms + 1000);
            break;
        case WITAN_COORDINATOR_ROUND_ENDED:
            self->rounds_ended++;
            break;
        case WITAN_COORDINATOR_FINISHED:
            CHECK(!self->over);
            self->over = true;
            self->finished++;
            break;
        case WITAN_COORDINATOR_REFUSED:
            CHECK(action->refusal != WITAN_REFUSAL_NONE);
            self->refusals++;
            break;
        case WITAN_COORDINATOR_FUSE:
            CHECK(i + 1 == t->count);
            break;
        case WITAN_COORDINATOR_ROUND_OPENED:
        case WITAN_COORDINATOR_SEND_AGAIN:
            CHECK(!"taken off, or nobody is absent");
            break;
        }
    }
}

static void
random_events(void)
{
    witan_random random;
    books self = {0};
    witan_random_init(&random, witan_test_seed(20240501), 0, 0, WITAN_PURPOSE_TEST);
    start(&self, &random);
    for (size_t i = 0; i < EVENTS; i++) {
        table *t = &self.table;
        t->now_ms += witan_random_below(&random, 100);
        uint32_t what = witan_random_below(&random, 100);
        if (what < 15) {
            table_next(t);
        } else if (what < 20) {
            table_timer(t, witan_random_below(&random, 3) ? self.timer
                                                          : witan_random_u32(&random));
        } else {
            witan_message message = anything(&self, &random);
            table_take(t, &message);
        }
        check_actions(&self);
        check_books(&self);
        if (table_has(t, WITAN_COORDINATOR_FUSE) != 0) {
            table_fuse(t);
            self.fusions++;
            check_actions(&self);
            check_weights(t);
        }
        if (self.over && witan_random_below(&random, 20) == 0) {
            table_close(t);
            start(&self, &random);
        }
    }
    table_close(&self.table);
    CHECK(self.finished > 20 && self.fusions > 100 && self.refusals > 2000);
}

int
main(void)
{
    RUN(random_events);
    return witan_test_finish();
}
