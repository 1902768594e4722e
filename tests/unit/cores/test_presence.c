/* Clients that come and go: when a round opens without some of them, who is awaited,
 * who is told again, and what is left of those that were removed. */
#include "table.h"

#define COMES(client) table_seat(&t, WITAN_COORDINATOR_PRESENT, client)
#define GOES(client) table_seat(&t, WITAN_COORDINATOR_ABSENT, client)
#define REMOVE(client) table_seat(&t, WITAN_COORDINATOR_REMOVED, client)
#define ACTIONS(kind) table_has(&t, WITAN_COORDINATOR_##kind)
#define NOTHING_HAPPENS() CHECK(t.count == 0)

static witan_coordinator_config
config_of(const char *strategy, size_t clients)
{
    witan_coordinator_config config = table_config(strategy, clients, 4);
    config.presence = true;
    return config;
}

/* A round of clients 0 .. clients-1 that came one after the other. */
static void
open_with(table *t, const witan_coordinator_config *config, uint32_t clients)
{
    table_open(t, config);
    for (uint32_t n = 0; n < clients; n++) {
        table_seat(t, WITAN_COORDINATOR_PRESENT, n);
    }
    table_next(t);
    CHECK(table_has(t, WITAN_COORDINATOR_SEND) == clients);
}

static void
fuse_and_check(table *t, size_t heard)
{
    CHECK(t->count != 0 && t->seen[t->count - 1].kind == WITAN_COORDINATOR_FUSE);
    CHECK_STATUS(witan_coordinator_fuse(t->coordinator), WITAN_OK);
    table_step(t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    CHECK(table_has(t, WITAN_COORDINATOR_SEND) == heard);
}

static bool
spoke(const table *t, size_t client)
{
    double W[TABLE_CLIENTS_MAX * TABLE_CLIENTS_MAX];
    size_t n = t->config.clients;
    CHECK(witan_coordinator_weights(t->coordinator, W));
    return W[client * n + client] != 0.0;
}

/* --- opening ---------------------------------------------------------------------- */

static void
a_round_waits_for_all_seats(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.grace_ms = 500;
    table_open(&t, &config);
    t.now_ms = 100;
    COMES(0); /* nobody asked for a round yet */
    NOTHING_HAPPENS();
    GOES(0);
    table_next(&t);
    NOTHING_HAPPENS();
    COMES(0);
    uint64_t grace = table_timer_set(&t, 600);
    COMES(1);
    COMES(1);
    NOTHING_HAPPENS();
    table_next(&t); /* said twice */
    NOTHING_HAPPENS();
    COMES(2);
    CHECK(t.count == 4 && t.seen[0].kind == WITAN_COORDINATOR_ROUND_OPENED &&
          t.seen[0].message.round == 0 && ACTIONS(SEND) == 3);
    table_timer(&t, grace);
    NOTHING_HAPPENS();
    CHECK(witan_coordinator_awaited(t.coordinator) == 3);
    table_close(&t);
}

static void
grace_lets_a_round_open_with_some(void)
{
    witan_coordinator_config config = config_of("mean", 4);
    table t;
    config.grace_ms = 500;
    config.minimum_clients = 2;
    table_open(&t, &config);
    table_next(&t);
    COMES(3);
    NOTHING_HAPPENS();
    COMES(1);
    uint64_t grace = table_timer_set(&t, 500);
    t.now_ms = 499;
    GOES(3); /* too few again: the wait begins anew */
    NOTHING_HAPPENS();
    table_timer(&t, grace);
    NOTHING_HAPPENS();
    COMES(0);
    uint64_t second = table_timer_set(&t, 999);
    t.now_ms = 999;
    table_timer(&t, grace);
    NOTHING_HAPPENS();
    table_timer(&t, second);
    table_drop_opened(&t);
    CHECK(t.count == 2 && table_sent(&t, WITAN_MESSAGE_OPEN, 0) != NULL &&
          table_sent(&t, WITAN_MESSAGE_OPEN, 1) != NULL);
    COMES(2); /* takes part from the next round on */
    NOTHING_HAPPENS();
    table_say(&t, 2, 0);
    table_refused(&t, 2, 0, WITAN_REFUSAL_UNASKED);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    fuse_and_check(&t, 2);
    table_done(&t, 0, 0);
    table_done(&t, 1, 0);
    CHECK(ACTIONS(ROUND_ENDED) == 1);
    table_next(&t);
    uint64_t third = table_timer_set(&t, 1499);
    table_timer(&t, third);
    table_drop_opened(&t);
    CHECK(t.count == 3 && table_sent(&t, WITAN_MESSAGE_OPEN, 2) != NULL);
    table_close(&t);
}

static void
a_round_opens_with_enough(void)
{
    witan_coordinator_config config = config_of("mean", 4);
    table t;
    config.minimum_clients = 2;
    config.target_clients = 3;
    config.grace_ms = 500;
    table_open(&t, &config);
    table_next(&t);
    COMES(0);
    COMES(1);
    CHECK(ACTIONS(SET_TIMER) == 1);
    COMES(3);
    CHECK(ACTIONS(SEND) == 3);
    table_close(&t);

    config.grace_ms = 0; /* the fewest are enough at once */
    table_open(&t, &config);
    table_next(&t);
    COMES(0);
    NOTHING_HAPPENS();
    COMES(1);
    CHECK(ACTIONS(SEND) == 2);
    table_close(&t);
}

/* Who is asked when some are present; ascending. */
static size_t
draw(const witan_coordinator_config *config, size_t absent, uint32_t *asked)
{
    table t;
    size_t count = 0;
    table_open(&t, config);
    for (uint32_t n = 0; config->presence && n < config->clients; n++) {
        if (n != absent) {
            COMES(n);
        }
    }
    table_next(&t);
    for (size_t i = 0; i < t.count; i++) {
        if (t.seen[i].kind == WITAN_COORDINATOR_SEND) {
            asked[count++] = t.seen[i].message.client;
        }
    }
    table_close(&t);
    return count;
}

static void
participants_are_drawn_among_the_present(void)
{
    witan_coordinator_config config = config_of("local", 10);
    uint32_t always[10], all[10], some[10];
    config.participation = 0.4;
    for (config.seed = 0; config.seed < 50; config.seed++) {
        config.presence = false;
        CHECK(draw(&config, 10, always) == 4);
        config.presence = true;
        CHECK(draw(&config, 10, all) == 4);
        CHECK(memcmp(all, always, 4 * sizeof *all) == 0);
        /* Without somebody who was not drawn nothing changes, else one moves up. */
        CHECK(draw(&config, 7, some) == 4); /* 0.4 of 9 */
        size_t same = 0;
        bool drawn = false;
        for (size_t i = 0; i < 4; i++) {
            CHECK(some[i] != 7);
            drawn = drawn || all[i] == 7;
            for (size_t j = 0; j < 4; j++) {
                same += some[i] == all[j];
            }
        }
        CHECK(same == (drawn ? 3u : 4u));
    }
    config.minimum_clients = 6; /* a share of the few must be enough to fuse */
    CHECK(draw(&config, 7, some) == 6);
    config.participation = 1.0;
    CHECK(draw(&config, 0, some) == 9 && some[0] == 1 && some[8] == 9);
}

/* --- enough answers --------------------------------------------------------------- */

static void
enough_answers_and_grace(void)
{
    witan_coordinator_config config = table_config("mean", 4, 2);
    table t;
    config.target_clients = 2;
    config.grace_ms = 300;
    config.deadline_ms = 1000;
    table_open(&t, &config);
    table_next(&t);
    uint64_t deadline = table_timer_set(&t, 1000);
    table_say(&t, 0, 0);
    NOTHING_HAPPENS();
    t.now_ms = 50;
    table_say(&t, 3, 0);
    uint64_t grace = table_timer_set(&t, 350);
    CHECK(t.count == 1 && grace != deadline);
    table_say(&t, 1, 0);
    NOTHING_HAPPENS(); /* the wait does not begin anew */
    table_timer(&t, grace);
    fuse_and_check(&t, 3);
    table_timer(&t, deadline);
    NOTHING_HAPPENS();
    table_close(&t);
}

static void
enough_answers_without_grace(void)
{
    witan_coordinator_config config = table_config("mean", 4, 2);
    table t;
    config.target_clients = 3;
    config.minimum_clients = 2;
    table_open(&t, &config);
    table_next(&t);
    table_say(&t, 0, 0);
    table_say(&t, 3, 0);
    NOTHING_HAPPENS();
    table_say(&t, 1, 0);
    fuse_and_check(&t, 3);
    table_close(&t);

    config.grace_ms = 300; /* all of them before it ends */
    table_open(&t, &config);
    table_next(&t);
    for (uint32_t n = 0; n < 4; n++) {
        table_say(&t, n, 0);
    }
    fuse_and_check(&t, 4);
    table_close(&t);

    config.target_clients = 1; /* below the minimum */
    witan_coordinator *none;
    CHECK_STATUS(witan_coordinator_new(&none, &config, witan_allocator_default()),
                 WITAN_E_INVALID);
}

/* --- absence ---------------------------------------------------------------------- */

static void
the_absent_are_awaited_for_a_while(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.absence_ms = 200;
    config.minimum_clients = 2;
    open_with(&t, &config, 3);
    table_say(&t, 0, 0);
    t.now_ms = 10;
    GOES(2);
    uint64_t first = table_timer_set(&t, 210);
    GOES(2);
    NOTHING_HAPPENS();
    COMES(2); /* in time: what it missed is said again */
    CHECK(t.count == 1 && table_sent(&t, WITAN_MESSAGE_OPEN, 2) != NULL);
    table_timer(&t, first);
    NOTHING_HAPPENS();
    CHECK(witan_coordinator_awaited(t.coordinator) == 2);
    GOES(2);
    uint64_t second = table_timer_set(&t, 210);
    table_timer(&t, second); /* one answer is not enough: the others are awaited */
    NOTHING_HAPPENS();
    CHECK(table_client(&t, 2)->gone && witan_coordinator_awaited(t.coordinator) == 1);
    table_say(&t, 1, 0);
    fuse_and_check(&t, 2);
    CHECK(!spoke(&t, 2));
    table_close(&t);
}

static void
too_few_are_left(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.absence_ms = 200;
    config.minimum_clients = 3;
    open_with(&t, &config, 3);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    GOES(2);
    table_timer(&t, table_timer_set(&t, 200));
    NOTHING_HAPPENS(); /* waits for its return */
    CHECK(witan_coordinator_awaited(t.coordinator) == 0);
    COMES(2);
    CHECK(ACTIONS(SEND) == 1 && witan_coordinator_awaited(t.coordinator) == 1);
    GOES(2);
    table_timer(&t, table_timer_set(&t, 200));
    table_say(&t, 2, 0); /* what it said before it left comes in at last */
    fuse_and_check(&t, 3);
    CHECK(spoke(&t, 2));
    /* It stays away, so that the round does not wait for it. */
    table_done(&t, 0, 0);
    NOTHING_HAPPENS();
    table_done(&t, 1, 0);
    CHECK(ACTIONS(ROUND_ENDED) == 1);
    table_close(&t);

    config.deadline_ms = 1000; /* ... or for the deadline */
    table_open(&t, &config);
    table_next(&t);
    COMES(0);
    COMES(1);
    COMES(2);
    uint64_t deadline = table_timer_set(&t, 1000);
    table_say(&t, 0, 0);
    GOES(2);
    table_timer(&t, table_timer_set(&t, 200));
    table_say(&t, 1, 0);
    NOTHING_HAPPENS();
    table_timer(&t, deadline);
    CHECK(ACTIONS(ROUND_ENDED) == 1 && ACTIONS(FUSE) == 0);
    table_close(&t);
}

static void
the_absent_are_awaited_for_ever(void)
{
    witan_coordinator_config config = config_of("mean", 2);
    table t;
    open_with(&t, &config, 2);
    table_say(&t, 0, 0);
    GOES(1);
    NOTHING_HAPPENS();
    CHECK(witan_coordinator_awaited(t.coordinator) == 1);
    table_say(&t, 1, 0);
    fuse_and_check(&t, 2);
    table_close(&t);
}

static void
absence_while_the_round_settles(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.absence_ms = 200;
    open_with(&t, &config, 3);
    for (uint32_t n = 0; n < 3; n++) {
        table_say(&t, n, 0);
    }
    CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
    GOES(0); /* before it could be told */
    uint64_t timer = table_timer_set(&t, 200);
    table_step(&t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    CHECK(ACTIONS(SEND) == 3 && witan_coordinator_awaited(t.coordinator) == 3);
    table_done(&t, 1, 0);
    table_timer(&t, timer);
    NOTHING_HAPPENS();
    CHECK(witan_coordinator_awaited(t.coordinator) == 1);
    table_done(&t, 2, 0);
    CHECK(ACTIONS(ROUND_ENDED) == 1);
    COMES(0); /* that round is over */
    NOTHING_HAPPENS();
    table_close(&t);

    open_with(&t, &config, 3); /* everybody leaves */
    for (uint32_t n = 0; n < 3; n++) {
        table_say(&t, n, 0);
    }
    uint64_t timers[3];
    for (uint32_t n = 0; n < 3; n++) {
        GOES(n);
        timers[n] = table_timer_set(&t, 200);
    }
    table_timer(&t, timers[0]);
    table_timer(&t, timers[1]);
    CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
    table_timer(&t, timers[2]);
    NOTHING_HAPPENS();
    table_step(&t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    CHECK(ACTIONS(SEND) == 3 && ACTIONS(ROUND_ENDED) == 1);
    table_close(&t);
}

/* --- said again ------------------------------------------------------------------- */

static void
what_was_missed_is_said_again(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.participation = 0.67;
    config.minimum_clients = 2;
    config.grace_ms = 1;
    table_open(&t, &config);
    table_next(&t);
    COMES(0);
    COMES(1);
    COMES(2);
    uint32_t other = 0;
    while (table_client(&t, other)->asked) {
        other++;
    }
    uint32_t a = (other + 1) % 3, b = (other + 2) % 3;
    CHECK(ACTIONS(SEND) == 2);
    COMES(other);
    NOTHING_HAPPENS();
    for (int i = 0; i < 2; i++) {
        COMES(a);
        CHECK(t.count == 1 && table_sent(&t, WITAN_MESSAGE_OPEN, a)->round == 0);
    }
    table_say(&t, a, 0);
    COMES(a); /* it was heard */
    NOTHING_HAPPENS();
    table_say(&t, b, 0);
    CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
    COMES(b); /* it will be told at once */
    NOTHING_HAPPENS();
    table_step(&t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    CHECK(ACTIONS(SEND) == 2);
    COMES(b);
    CHECK(t.count == 1 && t.seen[0].kind == WITAN_COORDINATOR_SEND_AGAIN &&
          t.seen[0].message.client == b && t.seen[0].message.round == 0 &&
          t.seen[0].message.labels.bytes == NULL);
    table_done(&t, b, 0);
    COMES(b);
    NOTHING_HAPPENS();
    COMES(other);
    NOTHING_HAPPENS();
    table_close(&t);
}

static void
said_again_where_nobody_speaks(void)
{
    witan_coordinator_config config = config_of("local", 2);
    table t;
    config.absence_ms = 200;
    open_with(&t, &config, 2);
    GOES(1);
    uint64_t timer = table_timer_set(&t, 200);
    COMES(1);
    CHECK(t.count == 1 && table_sent(&t, WITAN_MESSAGE_OPEN, 1) != NULL);
    table_timer(&t, timer);
    NOTHING_HAPPENS();
    table_done(&t, 1, 0);
    COMES(1);
    NOTHING_HAPPENS();
    GOES(0);
    table_timer(&t, table_timer_set(&t, 200));
    CHECK(ACTIONS(ROUND_ENDED) == 1);
    table_close(&t);
}

/* --- removal ---------------------------------------------------------------------- */

static void
removed_while_answers_are_awaited(void)
{
    witan_coordinator_config config = config_of("mean", 4);
    table t;
    open_with(&t, &config, 4);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    REMOVE(1); /* its answer is forgotten */
    NOTHING_HAPPENS();
    CHECK(!table_client(&t, 1)->answered && table_client(&t, 1)->labels.bytes == NULL);
    table_say(&t, 1, 0);
    table_refused(&t, 1, 0, WITAN_REFUSAL_UNASKED);
    COMES(1); /* somebody else: takes part from the next round on */
    NOTHING_HAPPENS();
    table_say(&t, 2, 0);
    NOTHING_HAPPENS();
    REMOVE(3); /* the last one that was awaited */
    fuse_and_check(&t, 2);
    CHECK(spoke(&t, 0) && !spoke(&t, 1) && spoke(&t, 2) && !spoke(&t, 3));
    table_done(&t, 0, 0);
    table_done(&t, 2, 0);
    table_next(&t);
    CHECK(table_sent(&t, WITAN_MESSAGE_OPEN, 1) != NULL && ACTIONS(SEND) == 3);
    table_say(&t, 1, 1);
    NOTHING_HAPPENS();
    CHECK(table_client(&t, 1)->answered);
    table_close(&t);
}

static void
removed_until_too_few_are_left(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.minimum_clients = 2;
    config.target_clients = 2;
    config.grace_ms = 50;
    open_with(&t, &config, 0);
    table_next(&t);
    COMES(0);
    COMES(1);
    CHECK(ACTIONS(SEND) == 2);
    table_say(&t, 0, 0);
    REMOVE(1);
    CHECK(t.count == 1 && ACTIONS(ROUND_ENDED) == 1);
    table_close(&t);

    config.clients = 4; /* the grace that had begun counts no more */
    table_open(&t, &config);
    for (uint32_t n = 0; n < 3; n++) {
        COMES(n);
    }
    table_next(&t);
    CHECK(ACTIONS(SEND) == 3);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    uint64_t grace = table_timer_set(&t, 50);
    REMOVE(1);
    table_timer(&t, grace);
    NOTHING_HAPPENS();
    table_say(&t, 2, 0);
    fuse_and_check(&t, 2);
    table_close(&t);

    open_with(&t, &config, 3);
    for (uint32_t n = 0; n < 3; n++) {
        REMOVE(n);
        CHECK(ACTIONS(ROUND_ENDED) == (n == 2));
    }
    table_close(&t);
}

static void
removed_around_the_fusion(void)
{
    static const char *const strategies[] = {"mean", "fedavg"};
    for (size_t s = 0; s < 2; s++) {
        witan_coordinator_config config = config_of(strategies[s], 3);
        table t;
        config.keep_late = true;
        for (int when = 0; when < 3; when++) {
            open_with(&t, &config, 3);
            for (uint32_t n = 0; n < 3; n++) {
                table_say(&t, n, 0);
            }
            if (when == 0) { /* not fused yet */
                REMOVE(1);
            }
            CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
            if (when == 1) { /* fused, not told yet */
                REMOVE(1);
            }
            table_step(&t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
            CHECK(ACTIONS(SEND) == (when == 2 ? 3 : 2));
            CHECK(spoke(&t, 1) == (when != 0));
            table_done(&t, 0, 0);
            if (when == 2) {
                REMOVE(1);
            }
            NOTHING_HAPPENS();
            CHECK(table_client(&t, 1)->answered == (when != 0));
            CHECK(witan_coordinator_awaited(t.coordinator) == 1);
            COMES(1); /* somebody else hears nothing of this round ... */
            NOTHING_HAPPENS();
            table_say(&t, 1, 0); /* ... and says nothing in it */
            table_refused(&t, 1, 0, WITAN_REFUSAL_UNASKED);
            table_done(&t, 1, 0);
            NOTHING_HAPPENS();
            table_done(&t, 2, 0);
            CHECK(ACTIONS(ROUND_ENDED) == 1);
            table_close(&t);
        }
    }
}

static void
all_removed_before_the_fusion(void)
{
    witan_coordinator_config config = config_of("mean", 2);
    table t;
    open_with(&t, &config, 2);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    REMOVE(0);
    REMOVE(1);
    NOTHING_HAPPENS();
    CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
    table_step(&t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    CHECK(t.count == 1 && ACTIONS(ROUND_ENDED) == 1);
    CHECK(!spoke(&t, 0) && !spoke(&t, 1));
    table_close(&t);
}

static void
removed_where_nobody_speaks(void)
{
    witan_coordinator_config config = config_of("local", 2);
    table t;
    open_with(&t, &config, 2);
    table_done(&t, 0, 0);
    REMOVE(1);
    CHECK(ACTIONS(ROUND_ENDED) == 1);
    table_close(&t);
}

/* --- late knowledge --------------------------------------------------------------- */

static void
late_knowledge_of_those_that_were_asked(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    table t;
    config.deadline_ms = 1000;
    config.keep_late = true;
    config.maximum_age = 2;
    table_open(&t, &config);
    COMES(0);
    COMES(1);
    table_next(&t);
    COMES(2);
    table_say(&t, 0, 0);
    table_timer(&t, 1); /* the deadline, the first timer of all */
    fuse_and_check(&t, 1);
    table_done(&t, 0, 0);
    table_next(&t); /* round 1 */
    table_say(&t, 2, 0);
    table_refused(&t, 2, 0, WITAN_REFUSAL_UNASKED); /* it came too late to be asked */
    table_say(&t, 1, 0);
    NOTHING_HAPPENS();
    CHECK(table_client(&t, 1)->stale.bytes != NULL);
    REMOVE(1);
    CHECK(table_client(&t, 1)->stale.bytes == NULL);
    table_say(&t, 1, 0); /* nobody at this seat was asked, now */
    table_refused(&t, 1, 0, WITAN_REFUSAL_UNASKED);
    table_say(&t, 0, 1);
    table_say(&t, 2, 1);
    fuse_and_check(&t, 2);
    CHECK(!spoke(&t, 1));
    table_done(&t, 0, 1);
    table_done(&t, 2, 1);
    for (uint32_t round = 2; round < 4; round++) {
        table_next(&t);
        table_say(&t, 2, round);
        table_say(&t, 0, round);
        fuse_and_check(&t, 2);
        table_done(&t, 0, round);
        table_done(&t, 2, round);
    }
    table_say(&t, 1, 1); /* so old that nobody knows who was asked */
    table_refused(&t, 1, 1, WITAN_REFUSAL_LATE);
    table_close(&t);

    config.keep_late = false;
    open_with(&t, &config, 2);
    table_say(&t, 0, 0);
    table_timer(&t, 1);
    fuse_and_check(&t, 1);
    table_done(&t, 0, 0);
    table_say(&t, 1, 0);
    table_refused(&t, 1, 0, WITAN_REFUSAL_LATE);
    table_close(&t);
}

static void
making_one_may_fail_anywhere(void)
{
    witan_coordinator_config config = config_of("mean", 3);
    witan_failing_allocator heap;
    witan_coordinator *it = NULL;
    witan_status status = WITAN_E_MEMORY;
    config.keep_late = true;
    for (size_t fail_at = 1; status != WITAN_OK; fail_at++) {
        witan_failing_allocator_init(&heap, fail_at);
        status = witan_coordinator_new(&it, &config, &heap.allocator);
        CHECK(status == WITAN_OK || (it == NULL && heap.live == 0));
        CHECK((status == WITAN_OK) == (fail_at == 8));
    }
    witan_coordinator_free(&it);
    CHECK(heap.live == 0);
}

int
main(void)
{
    RUN(a_round_waits_for_all_seats);
    RUN(grace_lets_a_round_open_with_some);
    RUN(a_round_opens_with_enough);
    RUN(participants_are_drawn_among_the_present);
    RUN(enough_answers_and_grace);
    RUN(enough_answers_without_grace);
    RUN(the_absent_are_awaited_for_a_while);
    RUN(too_few_are_left);
    RUN(the_absent_are_awaited_for_ever);
    RUN(absence_while_the_round_settles);
    RUN(what_was_missed_is_said_again);
    RUN(said_again_where_nobody_speaks);
    RUN(removed_while_answers_are_awaited);
    RUN(removed_until_too_few_are_left);
    RUN(removed_around_the_fusion);
    RUN(all_removed_before_the_fusion);
    RUN(removed_where_nobody_speaks);
    RUN(late_knowledge_of_those_that_were_asked);
    RUN(making_one_may_fail_anywhere);
    return witan_test_finish();
}
