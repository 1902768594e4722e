/* Sixty thousand random events, sane and not, with clients that are always present and
 * with such that come and go: the coordinator keeps its books and its word. */
#include <math.h>

#include "table.h"

enum {
    EVENTS = 60000,
    CLIENTS = 7
};

typedef struct books {
    table table;
    size_t rounds_ended, fusions, refusals, finished;
    uint64_t timer[64]; /* the last ones set */
    uint64_t timers;
    uint32_t used_from[CLIENTS]; /* late knowledge: what was said of it */
    bool over;
} books;

static void
start(books *self, witan_random *random)
{
    static const char *const strategies[] = {"knfu", "mean", "fedavg", "local"};
    static const witan_codec codecs[] = {WITAN_CODEC_F32, WITAN_CODEC_U16,
                                         WITAN_CODEC_TOP(2)};
    witan_coordinator_config config =
        table_config(strategies[witan_random_below(random, 4)], CLIENTS,
                     1 + witan_random_below(random, 12));
    config.seed = witan_random_u32(random);
    config.participation = witan_random_below(random, 2) ? 1.0 : 0.4;
    config.minimum_clients = 1 + witan_random_below(random, 3);
    config.presence = witan_random_below(random, 2);
    if (witan_random_below(random, 2)) {
        config.target_clients = config.minimum_clients + witan_random_below(random, 3);
        config.grace_ms = witan_random_below(random, 3) * 200;
    }
    config.absence_ms = witan_random_below(random, 2) * 300;
    config.deadline_ms = 1000;
    config.keep_late = witan_random_below(random, 2);
    config.maximum_age = 1 + witan_random_below(random, 3);
    config.codec = codecs[witan_random_below(random, 3)];
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
    size_t round = witan_coordinator_round(t->coordinator) -
                   table_has(t, WITAN_COORDINATOR_ROUND_ENDED);
    for (size_t i = 0; i < t->count; i++) {
        const witan_coordinator_action *action = &t->seen[i];
        switch (action->kind) {
        case WITAN_COORDINATOR_SEND:
            CHECK(!self->over && action->message.client < CLIENTS &&
                  ++sends[action->message.client] == 1);
            CHECK(table_client(t, action->message.client)->asked);
            CHECK(action->message.round == round);
            break;
        case WITAN_COORDINATOR_SEND_AGAIN:
            CHECK(t->count == 1 && action->message.round == round);
            CHECK(table_client(t, action->message.client)->answered);
            break;
        case WITAN_COORDINATOR_ROUND_OPENED:
            CHECK(i == 0 && action->message.round == round);
            break;
        case WITAN_COORDINATOR_SET_TIMER:
            self->timer[self->timers++ % 64] = action->timer;
            CHECK(action->at_ms == t->now_ms + 1000 ||
                  action->at_ms == t->now_ms + t->config.absence_ms ||
                  action->at_ms == t->now_ms + t->config.grace_ms);
            CHECK(action->at_ms > t->now_ms);
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
        }
    }
}

/* What was accepted speaks from the round on that was told, and nothing else does. */
static void
check_speakers(const books *self)
{
    const table *t = &self->table;
    double W[CLIENTS * CLIENTS];
    CHECK(witan_coordinator_weights(t->coordinator, W));
    for (size_t n = 0; n < CLIENTS; n++) {
        const witan_coordinator_client *client = table_client(t, n);
        bool late = !client->answered && client->stale.bytes != NULL;
        double row = 0.0;
        for (size_t m = 0; m < CLIENTS; m++) {
            row += W[n * CLIENTS + m];
        }
        CHECK((row != 0.0) == (client->answered || late));
        CHECK(!late || self->used_from[n] <= witan_coordinator_round(t->coordinator));
    }
}

/* Judging changes nothing, and the step does what was said. */
static void
judge_and_take(books *self, witan_message *message)
{
    table *t = &self->table;
    size_t round = witan_coordinator_round(t->coordinator);
    uint32_t client = message->client, about = message->round;
    bool late = false, again = false, done = message->kind == WITAN_MESSAGE_DONE;
    uint32_t used_from = 0, from = 0;
    witan_refusal refusal =
        witan_coordinator_judge(t->coordinator, message, &late, &used_from);
    CHECK(witan_coordinator_judge(t->coordinator, message, &again, &from) == refusal &&
          late == again && used_from == from);
    CHECK(refusal == WITAN_REFUSAL_NONE || !late);
    table_take(t, message);
    if (refusal != WITAN_REFUSAL_NONE) {
        if (!done || client >= CLIENTS) {
            table_refused(t, client, about, refusal);
        }
        return;
    }
    CHECK(!done && table_has(t, WITAN_COORDINATOR_REFUSED) == 0);
    CHECK(table_client(t, client)->heard == (uint64_t)about + 1);
    if (late) {
        CHECK(t->count == 0 && table_client(t, client)->stale.bytes != NULL &&
              table_client(t, client)->stale_round == about);
        CHECK(used_from == round || used_from == round + 1);
        CHECK(used_from > about && used_from - about <= t->config.maximum_age);
        self->used_from[client] = used_from;
    } else {
        CHECK(table_client(t, client)->answered && about == round &&
              used_from == round);
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
            table_step(t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_NEXT});
        } else if (what < 20) {
            uint64_t back = 1 + witan_random_below(&random, 4);
            table_timer(t, witan_random_below(&random, 3)
                               ? self.timer[(self.timers + 64 - back) % 64]
                               : witan_random_u32(&random));
        } else if (what < 40 && t->config.presence) {
            uint32_t kind = witan_random_below(&random, 20);
            table_seat(t,
                       kind < 12   ? WITAN_COORDINATOR_PRESENT
                       : kind < 19 ? WITAN_COORDINATOR_ABSENT
                                   : WITAN_COORDINATOR_REMOVED,
                       witan_random_below(&random, CLIENTS));
        } else {
            witan_message message = anything(&self, &random);
            judge_and_take(&self, &message);
        }
        check_actions(&self);
        check_books(&self);
        if (table_has(t, WITAN_COORDINATOR_FUSE) != 0) {
            CHECK_STATUS(witan_coordinator_fuse(t->coordinator), WITAN_OK);
            check_speakers(&self);
            table_step(t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
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
