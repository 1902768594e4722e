/* A coordinator made from what another one had made durable goes on as that one would
 * have: the same bytes, the same judgements. */
#include "base/digest.h"
#include "table.h"

enum {
    N = 4,
    BYTES = TABLE_ROWS * TABLE_CLASSES * 4 /* more than parameters need */
};

static witan_coordinator_config
config_of(const char *strategy)
{
    witan_coordinator_config config = table_config(strategy, N, 5);
    config.presence = true;
    config.deadline_ms = 1000;
    config.absence_ms = 200;
    config.keep_late = true;
    config.maximum_age = 2;
    return config;
}

static void
restore_answer(table *t, uint32_t client, uint32_t round)
{
    witan_message message = table_knowledge(t, client, round);
    witan_refusal refusal = witan_coordinator_restore_answer(t->coordinator, &message);
    CHECK_STRING(witan_refusal_text(refusal), "none");
    CHECK(message.labels.bytes == NULL && message.parameters == NULL);
}

static void
resume(table *t, bool fused)
{
    witan_coordinator_actions actions;
    table_clear(t);
    witan_coordinator_resume(t->coordinator, t->now_ms, fused, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        t->seen[t->count++] = actions.items[i];
    }
}

static void
finish_fusion(table *t)
{
    CHECK(t->count != 0 && t->seen[t->count - 1].kind == WITAN_COORDINATOR_FUSE);
    CHECK_STATUS(witan_coordinator_fuse(t->coordinator), WITAN_OK);
    table_step(t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
}

/* What everybody is sent in the last step, zeros for nothing. */
static void
take_fused(uint8_t out[N][BYTES], const table *t)
{
    memset(out, 0, (size_t)N * BYTES);
    for (uint32_t n = 0; n < N; n++) {
        const witan_message *message = table_sent(t, WITAN_MESSAGE_FUSED, n);
        if (message == NULL) {
            continue;
        }
        if (message->parameters != NULL) {
            memcpy(out[n], message->parameters,
                   message->parameters_count * sizeof(float));
        } else {
            memcpy(out[n], message->labels.bytes, message->labels.size);
        }
    }
}

/* Round 0 without client 3, whose words come in during round 1 that 0, 1 and 2 answer;
 * stops before the fusion of round 1. */
static void
two_rounds(table *t, const witan_coordinator_config *config)
{
    table_open(t, config);
    for (uint32_t n = 0; n < N; n++) {
        table_seat(t, WITAN_COORDINATOR_PRESENT, n);
    }
    for (uint32_t round = 0; round < 2; round++) {
        table_next(t);
        uint64_t deadline = table_timer_set(t, 1000);
        if (round == 1) {
            table_say(t, 3, 0);
        }
        for (uint32_t n = 3; n-- > 0;) {
            table_say(t, n, round);
        }
        table_timer(t, deadline);
        if (round == 0) {
            finish_fusion(t);
            for (uint32_t n = 0; n < 3; n++) {
                table_done(t, n, 0);
            }
        }
    }
}

/* As a ledger would give it back: round 1 is open, 0 .. answers-1 have answered. */
static void
restored(table *t, const witan_coordinator_config *config, uint32_t answers)
{
    const bool all[N] = {true, true, true, true};
    table_open(t, config);
    witan_coordinator_restore(t->coordinator, 1);
    witan_coordinator_restore_asked(t->coordinator, 0, all);
    for (uint32_t n = 0; n < 3; n++) {
        witan_coordinator_restore_heard(t->coordinator, n, 0);
    }
    if (config->strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE) {
        witan_soft_labels stale = {0};
        table_labels(t, &stale, 3, 0);
        witan_coordinator_restore_stale(t->coordinator, 3, &stale, 0, 35);
        CHECK(stale.bytes == NULL && table_client(t, 3)->samples == 35);
    }
    witan_coordinator_reopen(t->coordinator, all);
    for (uint32_t n = 0; n < answers; n++) {
        restore_answer(t, n, 1);
    }
}

static void
the_fused_bytes_come_out_equal(void)
{
    static const char *const strategies[] = {"knfu", "mean", "fedavg"};
    uint8_t first[N][BYTES], again[N][BYTES];
    double V[N * N], W[N * N];
    for (size_t s = 0; s < 3; s++) {
        witan_coordinator_config config = config_of(strategies[s]);
        bool late = config.strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE;
        table t, u;
        two_rounds(&t, &config);
        finish_fusion(&t);
        take_fused(first, &t);
        CHECK(witan_coordinator_weights(t.coordinator, V));
        CHECK((V[15] != 0.0) == late);
        restored(&u, &config, 3);
        CHECK(witan_coordinator_awaited(u.coordinator) == 1);
        resume(&u, true);
        finish_fusion(&u);
        CHECK(table_has(&u, WITAN_COORDINATOR_SEND) == 3);
        take_fused(again, &u);
        CHECK(memcmp(first, again, sizeof first) == 0);
        CHECK(witan_coordinator_weights(u.coordinator, W));
        CHECK(memcmp(V, W, sizeof V) == 0);

        /* What came after the fusion comes after it again. */
        table_done(&u, 2, 1);
        table_done(&u, 0, 1);
        table_say(&u, 3, 1);
        if (late) {
            CHECK(u.count == 0 && table_client(&u, 3)->stale_round == 1);
        } else {
            table_refused(&u, 3, 1, WITAN_REFUSAL_LATE);
        }
        table_seat(&u, WITAN_COORDINATOR_PRESENT, 1);
        CHECK(table_has(&u, WITAN_COORDINATOR_SEND_AGAIN) == 1);
        table_done(&u, 1, 1);
        CHECK(table_has(&u, WITAN_COORDINATOR_ROUND_ENDED) == 1);
        table_close(&t);
        table_close(&u);
    }
}

/* Every word anybody could say is judged alike. */
static void
check_judgements(table *t, table *u)
{
    for (uint32_t client = 0; client <= N; client++) {
        for (uint32_t round = 0; round < 4; round++) {
            bool late[2];
            uint32_t used_from[2];
            witan_message message = table_knowledge(t, client, round);
            witan_refusal a = witan_coordinator_judge(t->coordinator, &message,
                                                      &late[0], &used_from[0]);
            witan_refusal b = witan_coordinator_judge(u->coordinator, &message,
                                                      &late[1], &used_from[1]);
            CHECK_STRING(witan_refusal_text(a), witan_refusal_text(b));
            CHECK(late[0] == late[1] && used_from[0] == used_from[1]);
            witan_message_fini(&message, &t->heap.allocator);
        }
    }
}

static void
judgements_are_the_same(void)
{
    witan_coordinator_config config = config_of("mean");
    table t, u;
    two_rounds(&t, &config);
    restored(&u, &config, 3);
    resume(&u, true);
    check_judgements(&t, &u);
    finish_fusion(&t);
    finish_fusion(&u);
    check_judgements(&t, &u);
    table_close(&t);
    table_close(&u);

    config.participation = 0.5; /* two of four, another two in the next round */
    table_open(&t, &config);
    table_open(&u, &config);
    for (uint32_t n = 0; n < N; n++) {
        table_seat(&t, WITAN_COORDINATOR_PRESENT, n);
    }
    bool asked[2][N];
    for (uint32_t round = 0; round < 2; round++) {
        table_next(&t);
        for (uint32_t n = 0; n < N; n++) {
            asked[round][n] = table_client(&t, n)->asked;
        }
        if (round == 0) {
            table_timer(&t, table_timer_set(&t, 1000));
        }
    }
    witan_coordinator_restore(u.coordinator, 1);
    witan_coordinator_restore_asked(u.coordinator, 0, asked[0]);
    check_judgements(&t, &t);
    witan_coordinator_reopen(u.coordinator, asked[1]);
    resume(&u, false);
    check_judgements(&t, &u);
    table_close(&t);
    table_close(&u);
}

static void
goes_on_collecting(void)
{
    witan_coordinator_config config = config_of("mean");
    uint8_t first[N][BYTES], again[N][BYTES];
    table t, u;
    two_rounds(&t, &config);
    finish_fusion(&t);
    take_fused(first, &t);
    restored(&u, &config, 1);
    u.now_ms = 50;
    resume(&u, false);
    CHECK(table_has(&u, WITAN_COORDINATOR_SET_TIMER) == 2 && u.count == 2);
    uint64_t absence = u.seen[0].timer, deadline = u.seen[1].timer;
    CHECK(u.seen[0].at_ms == 250 && u.seen[1].at_ms == 1050 && absence != deadline);
    CHECK(witan_coordinator_awaited(u.coordinator) == 3);
    table_seat(&u, WITAN_COORDINATOR_PRESENT, 0); /* it has answered */
    CHECK(u.count == 0);
    table_seat(&u, WITAN_COORDINATOR_PRESENT, 2);
    CHECK(u.count == 1 && table_sent(&u, WITAN_MESSAGE_OPEN, 2)->round == 1);
    table_say(&u, 0, 1);
    table_refused(&u, 0, 1, WITAN_REFUSAL_DUPLICATE);
    table_say(&u, 1, 0);
    table_refused(&u, 1, 0, WITAN_REFUSAL_DUPLICATE);
    table_say(&u, 3, 0);
    table_refused(&u, 3, 0, WITAN_REFUSAL_DUPLICATE);
    table_say(&u, 1, 1);
    table_timer(&u, absence); /* 3 does not come back, 2 did */
    CHECK(u.count == 0 && witan_coordinator_awaited(u.coordinator) == 1);
    table_say(&u, 2, 1);
    finish_fusion(&u);
    take_fused(again, &u);
    CHECK(memcmp(first, again, sizeof first) == 0);
    table_close(&t);
    table_close(&u);
}

static void
goes_on_when_nothing_is_missing(void)
{
    witan_coordinator_config config = config_of("mean");
    table u;
    restored(&u, &config, 4); /* the last answer was accepted, then the lights went */
    resume(&u, false);
    CHECK(u.seen[u.count - 1].kind == WITAN_COORDINATOR_FUSE);
    table_close(&u);

    config.target_clients = 2;
    restored(&u, &config, 2);
    resume(&u, false);
    CHECK(u.seen[u.count - 1].kind == WITAN_COORDINATOR_FUSE);
    table_close(&u);

    config.grace_ms = 30;
    restored(&u, &config, 2);
    resume(&u, false);
    CHECK(table_has(&u, WITAN_COORDINATOR_SET_TIMER) == 3 &&
          u.seen[2].at_ms == u.now_ms + 30);
    table_timer(&u, u.seen[2].timer);
    CHECK(table_has(&u, WITAN_COORDINATOR_FUSE) == 1);
    table_close(&u);

    table_open(&u, &config); /* no round had been opened */
    witan_coordinator_restore(u.coordinator, 1);
    resume(&u, false);
    CHECK(u.count == 0);
    table_seat(&u, WITAN_COORDINATOR_PRESENT, 0);
    CHECK(u.count == 0);
    table_next(&u);
    CHECK(table_has(&u, WITAN_COORDINATOR_SET_TIMER) == 1); /* grace */
    table_close(&u);

    witan_coordinator_config always = table_config("mean", N, 5); /* no presence */
    restored(&u, &always, 3);
    resume(&u, false);
    CHECK(u.count == 0);
    table_say(&u, 3, 1);
    CHECK(table_has(&u, WITAN_COORDINATOR_FUSE) == 1);
    table_close(&u);
}

static void
removed_after_the_fusion(void)
{
    witan_coordinator_config config = config_of("mean");
    uint8_t first[N][BYTES], again[N][BYTES];
    double W[N * N];
    table t, u;
    two_rounds(&t, &config);
    finish_fusion(&t);
    take_fused(first, &t);
    restored(&u, &config, 3); /* with the answer of the one that was removed */
    resume(&u, true);
    finish_fusion(&u);
    take_fused(again, &u);
    CHECK(memcmp(first, again, sizeof first) == 0);
    table_seat(&u, WITAN_COORDINATOR_REMOVED, 1);
    table_seat(&u, WITAN_COORDINATOR_PRESENT, 1);
    CHECK(u.count == 0 && witan_coordinator_awaited(u.coordinator) == 2);
    CHECK(witan_coordinator_weights(u.coordinator, W) && W[5] != 0.0);
    table_close(&t);
    table_close(&u);
}

static void
goes_on_where_nobody_speaks(void)
{
    witan_coordinator_config config = config_of("local");
    const bool asked[N] = {true, false, true, false};
    table u;
    table_open(&u, &config);
    witan_coordinator_restore(u.coordinator, 2);
    witan_coordinator_reopen(u.coordinator, asked);
    resume(&u, false);
    CHECK(table_has(&u, WITAN_COORDINATOR_SET_TIMER) == 2 && u.count == 2);
    table_done(&u, 0, 2); /* said before the lights went */
    table_done(&u, 1, 2);
    CHECK(u.count == 0);
    table_seat(&u, WITAN_COORDINATOR_PRESENT, 0);
    CHECK(u.count == 0);
    table_seat(&u, WITAN_COORDINATOR_PRESENT, 2);
    CHECK(table_sent(&u, WITAN_MESSAGE_OPEN, 2) != NULL);
    table_done(&u, 2, 2);
    CHECK(table_has(&u, WITAN_COORDINATOR_ROUND_ENDED) == 1);
    table_close(&u);

    const bool nobody[N] = {false}; /* all were removed */
    table_open(&u, &config);
    witan_coordinator_reopen(u.coordinator, nobody);
    resume(&u, false);
    CHECK(table_has(&u, WITAN_COORDINATOR_ROUND_ENDED) == 1);
    table_close(&u);
}

static void
what_does_not_fit_is_left_out(void)
{
    witan_coordinator_config config = config_of("mean");
    table u;
    restored(&u, &config, 2);
    const struct {
        uint32_t client, round;
        witan_refusal refusal;
    } wrong[] = {{0, 1, WITAN_REFUSAL_DUPLICATE},
                 {9, 1, WITAN_REFUSAL_STRANGER},
                 {2, 2, WITAN_REFUSAL_UNASKED},
                 {2, 0, WITAN_REFUSAL_DUPLICATE}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        witan_message message = table_knowledge(&u, wrong[i].client, wrong[i].round);
        CHECK(witan_coordinator_restore_answer(u.coordinator, &message) ==
              wrong[i].refusal);
        CHECK(message.labels.bytes == NULL);
    }
    table_close(&u);

    const bool all[N] = {true, true, true, true};
    table_open(&u, &config);
    witan_coordinator_restore(u.coordinator, 1);
    witan_coordinator_restore_asked(u.coordinator, 0, all);
    witan_coordinator_reopen(u.coordinator, all);
    witan_message message = table_knowledge(&u, 2, 0); /* late, not an answer */
    CHECK(witan_coordinator_restore_answer(u.coordinator, &message) ==
          WITAN_REFUSAL_LATE);
    CHECK(table_client(&u, 2)->stale.bytes == NULL);
    table_close(&u);

    witan_soft_labels stale = {0}; /* too old for round 3 */
    table_open(&u, &config);
    table_labels(&u, &stale, 2, 0);
    witan_coordinator_restore(u.coordinator, 3);
    witan_coordinator_restore_stale(u.coordinator, 2, &stale, 0, 25);
    witan_coordinator_reopen(u.coordinator, all);
    CHECK(table_client(&u, 2)->stale.bytes == NULL);
    table_close(&u);
}

/* --- the digest of an exchange ---------------------------------------------------- */

static void
exchanges_have_digests(void)
{
    enum {
        CLIENTS = 3
    };
    bool answered[CLIENTS] = {true, false, true};
    uint8_t said[CLIENTS][32], sent[CLIENTS][32], out[32], expected[32], other[32];
    for (size_t i = 0; i < CLIENTS; i++) {
        memset(said[i], (int)(i + 1), 32);
        memset(sent[i], (int)(i + 11), 32);
    }
    uint8_t bytes[8 + CLIENTS * 65] = {5}; /* round 5, little-endian */
    for (size_t i = 0; i < CLIENTS; i++) {
        bytes[8 + 65 * i] = answered[i];
        memcpy(bytes + 9 + 65 * i, said[i], answered[i] ? 32 : 0);
        memcpy(bytes + 41 + 65 * i, sent[i], answered[i] ? 32 : 0);
    }
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, bytes, sizeof bytes);
    witan_digest_final(&digest, expected);
    const uint8_t(*k)[32] = (const uint8_t(*)[32])said;
    const uint8_t(*f)[32] = (const uint8_t(*)[32])sent;
    witan_exchange_digest(out, 5, CLIENTS, answered, k, f);
    CHECK(memcmp(out, expected, 32) == 0);
    said[1][0] ^= 1; /* not said, not sent */
    sent[1][0] ^= 1;
    witan_exchange_digest(other, 5, CLIENTS, answered, k, f);
    CHECK(memcmp(out, other, 32) == 0);
    witan_exchange_digest(other, 6, CLIENTS, answered, k, f);
    CHECK(memcmp(out, other, 32) != 0);
    said[2][31] ^= 1;
    witan_exchange_digest(other, 5, CLIENTS, answered, k, f);
    CHECK(memcmp(out, other, 32) != 0);
    said[2][31] ^= 1;
    sent[0][7] ^= 1;
    witan_exchange_digest(other, 5, CLIENTS, answered, k, f);
    CHECK(memcmp(out, other, 32) != 0);
}

int
main(void)
{
    RUN(the_fused_bytes_come_out_equal);
    RUN(judgements_are_the_same);
    RUN(goes_on_collecting);
    RUN(goes_on_when_nothing_is_missing);
    RUN(removed_after_the_fusion);
    RUN(goes_on_where_nobody_speaks);
    RUN(what_does_not_fit_is_left_out);
    RUN(exchanges_have_digests);
    return witan_test_finish();
}
