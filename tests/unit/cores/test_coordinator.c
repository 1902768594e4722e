/* Rounds at the coordinator: who is asked, what counts, who hears what, when it ends.
 */
#include <math.h>
#include <stdlib.h>

#include "table.h"

/* W of the last fusion, [clients, clients]. */
static void
weights_of(const table *self, double *W)
{
    CHECK(witan_coordinator_weights(self->coordinator, W));
}

/* What the rooms below make of these speakers, in client order. */
static void
check_fused(table *self, const witan_soft_labels *actual, size_t recipient,
            const uint32_t *speaker, const uint32_t *round, size_t N)
{
    witan_soft_labels labels[8] = {0}, mixed[8] = {0};
    const witan_soft_labels *pointers[8];
    size_t samples[8];
    double W[64];
    const witan_allocator *a = &self->heap.allocator;
    for (size_t i = 0; i < N; i++) {
        table_labels(self, &labels[i], speaker[i], round[i]);
        pointers[i] = &labels[i];
        samples[i] = 10u * speaker[i] + 5u;
    }
    witan_fusion_input input = {N, pointers, samples};
    CHECK_STATUS(self->config.strategy->weights(W, &input, &self->config.fusion, a),
                 WITAN_OK);
    CHECK_STATUS(witan_fusion_combine(mixed, W, &input, self->config.fusion.combine, a),
                 WITAN_OK);
    CHECK(actual != NULL && actual->bytes != NULL &&
          actual->size == mixed[recipient].size &&
          memcmp(actual->bytes, mixed[recipient].bytes, actual->size) == 0);
    for (size_t i = 0; i < N; i++) {
        witan_soft_labels_fini(&labels[i], a);
        witan_soft_labels_fini(&mixed[i], a);
    }
}

static void
everybody_takes_part(void)
{
    witan_coordinator_config config = table_config("knfu", 3, 2);
    const uint32_t speakers[] = {0, 1, 2};
    double W[9];
    table t;
    table_open(&t, &config);
    for (uint32_t round = 0; round < 2; round++) {
        const uint32_t rounds[] = {round, round, round};
        CHECK(witan_coordinator_round(t.coordinator) == round);
        CHECK(witan_coordinator_awaited(t.coordinator) == 0);
        table_next(&t);
        CHECK(t.count == 3);
        for (uint32_t n = 0; n < 3; n++) {
            CHECK(t.seen[n].kind == WITAN_COORDINATOR_SEND &&
                  t.seen[n].message.kind == WITAN_MESSAGE_OPEN &&
                  t.seen[n].message.client == n && t.seen[n].message.round == round);
            CHECK(table_client(&t, n)->asked && !table_client(&t, n)->answered);
        }
        CHECK(!witan_coordinator_weights(t.coordinator, W));
        CHECK(witan_coordinator_awaited(t.coordinator) == 3);
        table_next(&t); /* a round is open */
        CHECK(t.count == 0);
        table_done(&t, 0, round); /* nothing was fused yet */
        CHECK(t.count == 0);
        table_say(&t, 2, round);
        CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 2);
        table_say(&t, 0, round);
        CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 1);
        CHECK(table_client(&t, 0)->answered && table_client(&t, 0)->samples == 5);
        table_say(&t, 1, round);
        table_fuse(&t);
        CHECK(t.count == 3);
        CHECK(witan_coordinator_awaited(t.coordinator) == 3);
        for (uint32_t n = 0; n < 3; n++) {
            const witan_message *fused = table_sent(&t, WITAN_MESSAGE_FUSED, n);
            CHECK(fused != NULL && fused->round == round);
            check_fused(&t, fused == NULL ? NULL : &fused->labels, n, speakers, rounds,
                        3);
        }
        table_done(&t, 1, round);
        table_done(&t, 1, round); /* said twice, counted once */
        CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 2);
        table_done(&t, 0, round);
        CHECK(t.count == 0);
        table_done(&t, 2, round);
        CHECK(t.count == (round == 1 ? 2 : 1));
        CHECK(t.seen[0].kind == WITAN_COORDINATOR_ROUND_ENDED);
        CHECK(table_has(&t, WITAN_COORDINATOR_FINISHED) == (round == 1));
        weights_of(&t, W);
        for (size_t n = 0; n < 3; n++) {
            CHECK_NEAR(W[3 * n] + W[3 * n + 1] + W[3 * n + 2], 1.0, 1e-12, 0.0);
            CHECK(W[3 * n + n] > 1.0 / 3.0); /* unlike mixes: it hears itself most */
        }
    }
    CHECK(witan_coordinator_round(t.coordinator) == 2);
    table_next(&t);
    CHECK(t.count == 0);
    table_say(&t, 0, 2);
    table_refused(&t, 0, 2, WITAN_REFUSAL_UNASKED);
    table_close(&t);
}

/* Who is asked in each round; rounds end at once (nothing is exchanged). */
static void
draw_all(bool asked[][10], size_t rounds, uint64_t seed, double share, size_t first)
{
    witan_coordinator_config config = table_config("local", 10, rounds);
    table t;
    config.seed = seed;
    config.participation = share;
    table_open(&t, &config);
    if (first != 0) {
        witan_coordinator_restore(t.coordinator, first);
    }
    for (uint32_t round = (uint32_t)first; round < rounds; round++) {
        table_next(&t);
        size_t opened = table_has(&t, WITAN_COORDINATOR_SEND);
        CHECK(opened == t.count);
        memset(asked[round], 0, sizeof asked[round]);
        for (size_t i = 0; i < t.count; i++) {
            uint32_t n = t.seen[i].message.client;
            CHECK(n < 10 && !asked[round][n]);
            asked[round][n] = true;
        }
        for (uint32_t n = 0; n < 10; n++) {
            CHECK(table_client(&t, n)->asked == asked[round][n]);
            table_done(&t, n, round); /* words of those not asked count nothing */
        }
        CHECK(witan_coordinator_round(t.coordinator) == round + 1);
    }
    table_close(&t);
}

static size_t
count_asked(const bool *asked)
{
    size_t count = 0;
    for (size_t n = 0; n < 10; n++) {
        count += asked[n];
    }
    return count;
}

static void
part_of_them_takes_part(void)
{
    bool first[6][10], again[6][10], other[6][10];
    draw_all(first, 6, 7, 0.5, 0);
    draw_all(again, 6, 7, 0.5, 0);
    CHECK(memcmp(first, again, sizeof first) == 0);
    draw_all(other, 6, 8, 0.5, 0);
    CHECK(memcmp(first, other, sizeof first) != 0);
    memset(again, 0, sizeof again);
    draw_all(again, 6, 7, 0.5, 4); /* a draw depends on its round alone */
    CHECK(memcmp(first[4], again[4], sizeof first[4]) == 0);
    CHECK(memcmp(first[5], again[5], sizeof first[5]) == 0);
    bool differs = false;
    bool once[10] = {0};
    for (size_t r = 0; r < 6; r++) {
        CHECK(count_asked(first[r]) == 5);
        differs = differs || memcmp(first[r], first[0], sizeof first[r]) != 0;
        for (size_t n = 0; n < 10; n++) {
            once[n] = once[n] || first[r][n];
        }
    }
    CHECK(differs);
    CHECK(count_asked(once) ==
          10); /* false alarm: 10 * 2^-6 a seed; this one is fixed */

    const double shares[] = {0.001, 0.14, 0.15, 0.25, 0.94, 0.96, 1.0};
    const size_t counts[] = {1, 1, 2, 3, 9, 10, 10};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        draw_all(other, 1, 7, shares[i], 0);
        CHECK(count_asked(other[0]) == counts[i]);
    }
}

static void
deadline_with_enough_answers(void)
{
    witan_coordinator_config config = table_config("mean", 3, 2);
    double W[9];
    table t;
    config.deadline_ms = 1000;
    config.minimum_clients = 2;
    table_open(&t, &config);
    t.now_ms = 5000;
    table_next(&t);
    CHECK(t.count == 4);
    uint64_t collect = table_timer_set(&t, 6000);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    CHECK(t.count == 0);
    t.now_ms = 6000;
    table_timer(&t, collect);
    table_fuse(&t);
    CHECK(t.count == 3 && table_has(&t, WITAN_COORDINATOR_SEND) == 2);
    CHECK(table_sent(&t, WITAN_MESSAGE_FUSED, 2) == NULL);
    uint64_t settle = table_timer_set(&t, 7000);
    CHECK(settle != collect);
    table_say(&t, 2, 0);
    table_refused(&t, 2, 0, WITAN_REFUSAL_LATE);
    CHECK(table_client(&t, 2)->late && !table_client(&t, 2)->answered);
    table_done(&t, 2, 0); /* it heard nothing, so nobody waits for it */
    table_done(&t, 0, 0);
    CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 1);
    t.now_ms = 7000;
    table_timer(&t, settle);
    CHECK(t.count == 1 && t.seen[0].kind == WITAN_COORDINATOR_ROUND_ENDED);
    weights_of(&t, W);
    const double expected[] = {0.5, 0.5, 0, 0.5, 0.5, 0, 0, 0, 0};
    CHECK(memcmp(W, expected, sizeof W) == 0);
    CHECK(table_client(&t, 2)->late);
    table_next(&t);
    CHECK(!table_client(&t, 2)->late && !table_client(&t, 0)->answered);
    table_close(&t);
}

static void
deadline_with_too_few_answers(void)
{
    witan_coordinator_config config = table_config("mean", 3, 2);
    double W[9];
    table t;
    config.deadline_ms = 1000;
    config.minimum_clients = 2;
    table_open(&t, &config);
    table_next(&t);
    uint64_t collect = table_timer_set(&t, 1000);
    table_say(&t, 1, 0);
    table_timer(&t, collect);
    CHECK(t.count == 1 && t.seen[0].kind == WITAN_COORDINATOR_ROUND_ENDED);
    CHECK(!witan_coordinator_weights(t.coordinator, W));
    table_next(&t);
    CHECK(table_has(&t, WITAN_COORDINATOR_SEND) == 3);
    for (uint32_t n = 0; n < 3; n++) {
        table_say(&t, n, 1);
    }
    table_fuse(&t);
    CHECK(witan_coordinator_weights(t.coordinator, W));
    table_close(&t);
}

static void
void_timers_change_nothing(void)
{
    witan_coordinator_config config = table_config("mean", 2, 2);
    table t;
    config.deadline_ms = 1000;
    table_open(&t, &config);
    for (uint64_t id = 0; id < 4; id++) {
        table_timer(&t, id);
        CHECK(t.count == 0);
    }
    table_next(&t);
    uint64_t collect = table_timer_set(&t, 1000);
    table_timer(&t, collect - 1);
    table_timer(&t, collect + 1);
    CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 2);
    table_say(&t, 0, 0);
    table_say(&t, 1, 0);
    CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
    table_timer(&t, collect); /* while fusing */
    CHECK(t.count == 0);
    table_step(&t, &(witan_coordinator_event){.kind = WITAN_COORDINATOR_FUSED});
    uint64_t settle = table_timer_set(&t, 1000);
    table_timer(&t, collect);
    CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 2);
    table_done(&t, 0, 0);
    table_done(&t, 1, 0);
    table_timer(&t, settle); /* between rounds */
    CHECK(t.count == 0);
    table_next(&t);
    uint64_t second = table_timer_set(&t, 1000);
    table_timer(&t, collect);
    CHECK(t.count == 0);
    table_timer(&t, settle);
    CHECK(t.count == 0);
    table_timer(&t, second); /* nobody spoke */
    CHECK(t.count == 2 && t.seen[1].kind == WITAN_COORDINATOR_FINISHED);
    table_timer(&t, second);
    CHECK(t.count == 0);
    table_close(&t);
}

/* Rounds of clients 0 and 1 while client 2 is late. */
static void
begin_without(table *t, uint32_t round)
{
    table_next(t);
    uint64_t collect = table_timer_set(t, 1000);
    table_say(t, 0, round);
    table_say(t, 1, round);
    table_timer(t, collect);
}

static void
settle_without(table *t, uint32_t round)
{
    table_done(t, 0, round);
    table_done(t, 1, round);
    CHECK(table_has(t, WITAN_COORDINATOR_ROUND_ENDED) == 1);
}

static void
late_knowledge_is_kept_with_its_age(void)
{
    witan_coordinator_config config = table_config("knfu", 3, 6);
    const uint32_t all[] = {0, 1, 2}, rounds[] = {1, 1, 0};
    double W[9];
    table t;
    config.deadline_ms = 1000;
    config.keep_late = true;
    table_open(&t, &config);
    begin_without(&t, 0);
    table_fuse(&t);
    table_say(&t, 2, 0);
    CHECK(t.count == 0 && table_client(&t, 2)->late);
    CHECK(table_client(&t, 2)->stale.bytes != NULL &&
          table_client(&t, 2)->stale_round == 0);
    table_say(&t, 2, 0);
    table_refused(&t, 2, 0, WITAN_REFUSAL_DUPLICATE);
    settle_without(&t, 0);
    weights_of(&t, W);
    CHECK(W[8] == 0.0); /* it did not speak in its own round */

    begin_without(&t, 1);
    table_fuse(&t);
    weights_of(&t, W);
    CHECK(W[8] > 0.0 && W[2] > 0.0);
    CHECK(table_has(&t, WITAN_COORDINATOR_SEND) == 2);
    CHECK(table_sent(&t, WITAN_MESSAGE_FUSED, 2) == NULL);
    check_fused(&t, &table_sent(&t, WITAN_MESSAGE_FUSED, 0)->labels, 0, all, rounds, 3);
    CHECK(!table_client(&t, 2)->answered &&
          witan_coordinator_awaited(t.coordinator) == 2);
    settle_without(&t, 1);

    begin_without(&t, 2); /* two rounds old: too old */
    table_fuse(&t);
    weights_of(&t, W);
    CHECK(W[8] == 0.0 && table_client(&t, 2)->stale.bytes == NULL);
    table_say(&t, 2, 1); /* would be two rounds old in the next fusion */
    table_refused(&t, 2, 1, WITAN_REFUSAL_LATE);
    settle_without(&t, 2);
    table_say(&t, 2, 2); /* between rounds: one round old in the next fusion */
    CHECK(t.count == 0);

    table_next(&t); /* round 3: a fresh answer makes the old one useless */
    table_say(&t, 2, 3);
    CHECK(table_client(&t, 2)->answered && table_client(&t, 2)->stale.bytes == NULL);
    table_say(&t, 0, 3);
    table_say(&t, 1, 3);
    table_fuse(&t);
    table_done(&t, 2, 3);
    settle_without(&t, 3);
    begin_without(&t, 4);
    table_fuse(&t);
    weights_of(&t, W);
    CHECK(W[8] == 0.0); /* what was said in time is for its own round */
    table_close(&t);
}

static void
late_knowledge_enters_the_round_it_meets(void)
{
    witan_coordinator_config config = table_config("mean", 3, 3);
    const uint32_t all[] = {0, 1, 2}, rounds[] = {1, 1, 0};
    table t;
    config.deadline_ms = 1000;
    config.keep_late = true;
    table_open(&t, &config);
    begin_without(&t, 0);
    table_fuse(&t);
    settle_without(&t, 0);
    table_next(&t);
    uint64_t collect = table_timer_set(&t, 1000);
    table_say(&t, 0, 1);
    table_say(&t, 2, 0); /* it does not count as an answer of this round */
    CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 2);
    CHECK(!table_client(&t, 2)->late);
    table_say(&t, 1, 1);
    CHECK(t.count == 0);
    table_timer(&t, collect);
    table_fuse(&t);
    check_fused(&t, &table_sent(&t, WITAN_MESSAGE_FUSED, 1)->labels, 1, all, rounds, 3);
    table_close(&t);
}

static void
late_parameters_are_dropped(void)
{
    witan_coordinator_config config = table_config("fedavg", 3, 3);
    table t;
    config.deadline_ms = 1000;
    config.keep_late = true;
    table_open(&t, &config);
    begin_without(&t, 0);
    table_fuse(&t);
    table_say(&t, 2, 0);
    table_refused(&t, 2, 0, WITAN_REFUSAL_LATE);
    table_close(&t);
}

/* --- refusals --------------------------------------------------------------------- */

static void
strangers_and_the_unasked(void)
{
    witan_coordinator_config config = table_config("mean", 4, 3);
    table t;
    config.participation = 0.5;
    config.keep_late = true;
    config.deadline_ms = 1000;
    table_open(&t, &config);
    table_say(&t, 0, 0); /* before the first round */
    table_refused(&t, 0, 0, WITAN_REFUSAL_UNASKED);
    table_next(&t);
    uint32_t asked[2], others[2], a = 0, o = 0;
    for (uint32_t n = 0; n < 4; n++) {
        if (table_client(&t, n)->asked) {
            asked[a++] = n;
        } else {
            others[o++] = n;
        }
    }
    CHECK(a == 2 && o == 2);
    table_say(&t, 4, 0);
    table_refused(&t, 4, 0, WITAN_REFUSAL_STRANGER);
    table_say(&t, UINT32_MAX, 0);
    table_refused(&t, UINT32_MAX, 0, WITAN_REFUSAL_STRANGER);
    table_say(&t, others[0], 0);
    table_refused(&t, others[0], 0, WITAN_REFUSAL_UNASKED);
    table_say(&t, asked[0], 1); /* a round to come */
    table_refused(&t, asked[0], 1, WITAN_REFUSAL_UNASKED);
    witan_message open = {.kind = WITAN_MESSAGE_OPEN, .client = asked[0]};
    table_take(&t, &open); /* not a client's word */
    table_refused(&t, asked[0], 0, WITAN_REFUSAL_UNASKED);
    witan_message fused = table_knowledge(&t, asked[0], 0);
    fused.kind = WITAN_MESSAGE_FUSED;
    table_take(&t, &fused);
    table_refused(&t, asked[0], 0, WITAN_REFUSAL_UNASKED);
    CHECK(witan_coordinator_awaited(t.coordinator) == 2);
    table_say(&t, asked[0], 0);
    table_say(&t, asked[1], 0);
    table_fuse(&t);
    table_done(&t, asked[0], 0);
    table_done(&t, asked[1], 0);
    /* Neither who was not asked then, nor who was heard then, speaks afterwards. */
    table_next(&t);
    table_say(&t, others[1], 0);
    table_refused(&t, others[1], 0, WITAN_REFUSAL_UNASKED);
    table_say(&t, asked[1], 0);
    table_refused(&t, asked[1], 0, WITAN_REFUSAL_DUPLICATE);
    for (size_t n = 0; n < 4; n++) {
        CHECK(table_client(&t, n)->stale.bytes == NULL);
    }
    table_close(&t);
}

static void
nothing_is_said_where_nobody_speaks(void)
{
    witan_coordinator_config config = table_config("local", 2, 1);
    double W[4];
    table t;
    table_open(&t, &config);
    table_next(&t);
    table_say(&t, 0, 0);
    table_refused(&t, 0, 0, WITAN_REFUSAL_UNASKED);
    table_done(&t, 0, 0);
    CHECK(t.count == 0 && witan_coordinator_awaited(t.coordinator) == 1);
    table_done(&t, 1, 0);
    CHECK(t.count == 2 && t.seen[1].kind == WITAN_COORDINATOR_FINISHED);
    CHECK(!witan_coordinator_weights(t.coordinator, W));
    table_close(&t);
}

/* Ways to spoil soft labels [TABLE_ROWS, TABLE_CLASSES]. */
enum spoiling {
    SPOIL_ROWS,
    SPOIL_CLASSES,
    SPOIL_KIND,
    SPOIL_CODEC,
    SPOIL_SIZE,
    SPOIL_ABSENT,
    SPOIL_SHAPES,
    SPOIL_NAN = SPOIL_SHAPES,
    SPOIL_INFINITE,
    SPOIL_NEGATIVE,
    SPOIL_SUM,
    SPOILINGS
};

static void
spoil(table *t, witan_message *message, int how)
{
    const float values[] = {NAN, INFINITY, -0.25f, 3.0f};
    witan_soft_labels *labels = &message->labels;
    switch (how) {
    case SPOIL_ROWS:
        labels->rows--;
        break;
    case SPOIL_CLASSES: /* the same number of bytes, too */
        labels->classes *= 2;
        labels->rows /= 2;
        break;
    case SPOIL_KIND:
        labels->kind = WITAN_KNOWLEDGE_LOG_PROBABILITY;
        break;
    case SPOIL_CODEC:
        labels->codec = WITAN_CODEC_U16;
        break;
    case SPOIL_SIZE:
        labels->size--;
        break;
    case SPOIL_ABSENT:
        witan_soft_labels_fini(labels, &t->heap.allocator);
        message->parameters = witan_alloc(&t->heap.allocator, TABLE_PARAMETERS, 4);
        message->parameters_count = TABLE_PARAMETERS;
        break;
    default: /* in the last row */
        memcpy(labels->bytes + labels->size - sizeof(float), &values[how - SPOIL_NAN],
               sizeof(float));
        break;
    }
}

static void
spoiled_knowledge(void)
{
    witan_coordinator_config config = table_config("mean", 2, 3);
    const double alone[] = {1.0, 0.0, 0.0, 0.0};
    double W[4];
    table t;
    config.deadline_ms = 1000;
    config.keep_late = true;
    for (int how = 0; how < SPOILINGS; how++) {
        witan_refusal reason =
            how < SPOIL_SHAPES ? WITAN_REFUSAL_SHAPE : WITAN_REFUSAL_VALUES;
        table_open(&t, &config);
        table_next(&t);
        uint64_t collect = table_timer_set(&t, 1000);
        table_say(&t, 0, 0);
        witan_message message = table_knowledge(&t, 1, 0);
        spoil(&t, &message, how);
        table_take(&t, &message);
        table_refused(&t, 1, 0, reason);
        CHECK(!table_client(&t, 1)->answered &&
              witan_coordinator_awaited(t.coordinator) == 1);
        table_timer(&t, collect);
        table_fuse(&t);
        weights_of(&t, W);
        CHECK(memcmp(W, alone, sizeof W) == 0);
        message = table_knowledge(&t, 1, 0); /* late and spoiled */
        spoil(&t, &message, how);
        table_take(&t, &message);
        table_refused(&t, 1, 0, reason);
        CHECK(table_client(&t, 1)->stale.bytes == NULL);
        table_close(&t);
    }
}

static void
spoiled_fixed_point(void)
{
    witan_coordinator_config config = table_config("mean", 2, 1);
    table t;
    config.codec = WITAN_CODEC_U16;
    table_open(&t, &config);
    table_next(&t);
    witan_message message = table_knowledge(&t, 1, 0);
    memset(message.labels.bytes, 0xff, 2 * TABLE_CLASSES); /* sums to 4 */
    table_take(&t, &message);
    table_refused(&t, 1, 0, WITAN_REFUSAL_VALUES);
    table_say(&t, 1, 0);
    CHECK(t.count == 0 && table_client(&t, 1)->answered);
    table_close(&t);
}

/* A round whose knowledge travels as the two largest of a row; pairs that no encoder
 * writes, and another k, are refused first. */
static void
top_knowledge(void)
{
    witan_coordinator_config config = table_config("knfu", 3, 1);
    table t;
    config.codec = WITAN_CODEC_TOP(2);
    table_open(&t, &config);
    table_next(&t);
    witan_message message = table_knowledge(&t, 1, 0);
    memcpy(message.labels.bytes + 4, message.labels.bytes, 4); /* a class twice */
    table_take(&t, &message);
    table_refused(&t, 1, 0, WITAN_REFUSAL_VALUES);
    message = table_knowledge(&t, 1, 0);
    message.labels.codec = WITAN_CODEC_TOP(1); /* which would hold twice the rows */
    table_take(&t, &message);
    table_refused(&t, 1, 0, WITAN_REFUSAL_SHAPE);
    for (uint32_t client = 0; client < 3; client++) {
        table_say(&t, client, 0);
    }
    table_fuse(&t);
    size_t told = 0;
    for (size_t i = 0; i < t.count; i++) {
        const witan_message *fused = &t.seen[i].message;
        if (t.seen[i].kind == WITAN_COORDINATOR_SEND &&
            fused->kind == WITAN_MESSAGE_FUSED) {
            CHECK(fused->labels.codec == config.codec);
            CHECK(fused->labels.size == (size_t)TABLE_ROWS * 2 * 4);
            CHECK_STATUS(witan_soft_labels_check(&fused->labels, NULL), WITAN_OK);
            told++;
        }
    }
    CHECK(told == 3);
    table_close(&t);
}

static void
spoiled_parameters(void)
{
    witan_coordinator_config config = table_config("fedavg", 2, 1);
    table t;
    table_open(&t, &config);
    table_next(&t);
    for (int how = 0; how < 5; how++) {
        witan_message message = table_knowledge(&t, 1, 0);
        if (how == 0) {
            message.parameters_count--;
        } else if (how == 1) {
            witan_message_fini(&message, &t.heap.allocator);
            message = (witan_message){.kind = WITAN_MESSAGE_KNOWLEDGE, .client = 1};
            table_labels(&t, &message.labels, 1, 0);
        } else if (how < 4) {
            message.parameters[TABLE_PARAMETERS - 1] = how == 2 ? NAN : -INFINITY;
        } else {
            witan_free(&t.heap.allocator, message.parameters);
            message.parameters = NULL;
        }
        table_take(&t, &message);
        table_refused(&t, 1, 0,
                      how == 2 || how == 3 ? WITAN_REFUSAL_VALUES
                                           : WITAN_REFUSAL_SHAPE);
    }
    table_say(&t, 1, 0);
    CHECK(t.count == 0);
    table_say(&t, 1, 0);
    table_refused(&t, 1, 0, WITAN_REFUSAL_DUPLICATE);
    table_close(&t);
}

static void
duplicates(void)
{
    witan_coordinator_config config = table_config("mean", 2, 2);
    table t;
    table_open(&t, &config);
    table_next(&t);
    table_say(&t, 0, 0);
    uint8_t before = table_client(&t, 0)->labels.bytes[0];
    witan_message other = table_knowledge(&t, 0, 5);
    other.round = 0; /* other words the second time */
    other.samples = 1000;
    table_take(&t, &other);
    table_refused(&t, 0, 0, WITAN_REFUSAL_DUPLICATE);
    CHECK(table_client(&t, 0)->labels.bytes[0] == before &&
          table_client(&t, 0)->samples == 5);
    CHECK(witan_coordinator_awaited(t.coordinator) == 1);
    table_say(&t, 1, 0);
    table_fuse(&t);
    table_say(&t, 1, 0);
    table_refused(&t, 1, 0, WITAN_REFUSAL_DUPLICATE);
    CHECK(!table_client(&t, 1)->late);
    table_close(&t);
}

/* --- strategies ------------------------------------------------------------------- */

static void
parameters_are_averaged(void)
{
    witan_coordinator_config config = table_config("fedavg", 3, 1);
    table t;
    for (int lazy = 0; lazy < 2; lazy++) {
        table_open(&t, &config);
        table_next(&t);
        table_say(&t, 1, 0);
        table_say(&t, 2, 0);
        table_say(&t, 0, 0);
        t.lazy = lazy != 0;
        table_fuse(&t);
        for (uint32_t n = 0; n < 3; n++) {
            const witan_message *fused = table_sent(&t, WITAN_MESSAGE_FUSED, n);
            CHECK(fused != NULL && fused->parameters_count == TABLE_PARAMETERS &&
                  (fused->parameters != NULL) == !t.lazy &&
                  fused->labels.bytes == NULL);
            for (size_t i = 0; i < TABLE_PARAMETERS && fused->parameters != NULL; i++) {
                double sum = 0.0; /* samples: 5, 15, 25 */
                for (uint32_t m = 0; m < 3; m++) {
                    sum += (10.0 * m + 5.0) / 45.0 * (double)table_parameter(m, 0, i);
                }
                CHECK(fused->parameters[i] == (float)sum);
            }
        }
        table_close(&t);
    }
}

/* Everybody's fused bytes, for one order of arrival. */
static void
fuse_in_order(uint8_t *bytes, double *W, const char *strategy, const uint32_t *order,
              size_t N)
{
    witan_coordinator_config config = table_config(strategy, N, 1);
    table t;
    table_open(&t, &config);
    table_next(&t);
    for (size_t i = 0; i < N; i++) {
        table_say(&t, order[i], 0);
    }
    table_fuse(&t);
    for (uint32_t n = 0; n < N; n++) {
        const witan_message *fused = table_sent(&t, WITAN_MESSAGE_FUSED, n);
        size_t size = fused->parameters != NULL ? TABLE_PARAMETERS * sizeof(float)
                                                : fused->labels.size;
        memcpy(bytes + n * size,
               fused->parameters != NULL ? (const void *)fused->parameters
                                         : (const void *)fused->labels.bytes,
               size);
    }
    weights_of(&t, W);
    table_close(&t);
}

static void
arrival_order_changes_no_bit(void)
{
    static const char *const strategies[] = {"knfu", "mean", "fedavg"};
    enum {
        N = 5,
        SIZE = N * TABLE_ROWS * TABLE_CLASSES * 4
    };
    uint8_t first[SIZE] = {0}, again[SIZE] = {0};
    double W[N * N], V[N * N];
    for (size_t s = 0; s < 3; s++) {
        uint32_t order[N] = {0, 1, 2, 3, 4};
        witan_random random;
        witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_TEST);
        fuse_in_order(first, W, strategies[s], order, N);
        for (int i = 0; i < 6; i++) {
            witan_random_shuffle(&random, order, N);
            fuse_in_order(again, V, strategies[s], order, N);
            CHECK(memcmp(first, again, sizeof first) == 0);
            CHECK(memcmp(W, V, sizeof W) == 0);
        }
    }
}

/* --- memory, resuming ------------------------------------------------------------- */

static void
making_one_may_fail_anywhere(void)
{
    witan_coordinator_config config = table_config("knfu", 4, 2);
    witan_failing_allocator heap;
    witan_coordinator *it = NULL;
    size_t fail_at = 1;
    for (;; fail_at++) {
        witan_failing_allocator_init(&heap, fail_at);
        witan_status status = witan_coordinator_new(&it, &config, &heap.allocator);
        if (status == WITAN_OK) {
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(it == NULL && heap.live == 0);
    }
    CHECK(fail_at > 4);
    witan_coordinator_free(&it);
    CHECK(it == NULL && heap.live == 0);
    witan_coordinator_free(&it);

    witan_coordinator_config bad[] = {config, config, config, config, config,
                                      config, config, config, config};
    bad[0].clients = 0;
    bad[1].rounds = 0;
    bad[2].strategy = NULL;
    bad[3].minimum_clients = 0;
    bad[4].participation = (double)NAN;
    bad[5].participation = 0.0;
    bad[6].codec = WITAN_CODEC_TOP(TABLE_CLASSES + 1);
    bad[7].codec = bad[8].codec = WITAN_CODEC_TOP(1);
    bad[7].kind = WITAN_KNOWLEDGE_LOG_PROBABILITY;
    bad[8].fusion.combine = WITAN_COMBINE_LOGIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_STATUS(witan_coordinator_new(&it, &bad[i], &heap.allocator),
                     WITAN_E_INVALID);
        CHECK(it == NULL && heap.live == 0);
    }
}

static void
fusing_may_fail_anywhere(void)
{
    static const char *const strategies[] = {"knfu", "mean", "fedavg"};
    double W[9];
    for (size_t s = 0; s < 3; s++) {
        witan_coordinator_config config = table_config(strategies[s], 3, 1);
        size_t failures = 0;
        for (bool failed = true; failed; failures++) {
            table t;
            table_open(&t, &config);
            table_next(&t);
            for (uint32_t n = 0; n < 3; n++) {
                table_say(&t, n, 0);
            }
            t.heap.fail_at = t.heap.allocations + 1 + failures;
            witan_status status = witan_coordinator_fuse(t.coordinator);
            failed = status != WITAN_OK;
            if (failed) {
                CHECK_STATUS(status, WITAN_E_MEMORY);
                CHECK(!witan_coordinator_weights(t.coordinator, W));
                if (failures % 2 == 0) { /* it may be tried again */
                    CHECK_STATUS(witan_coordinator_fuse(t.coordinator), WITAN_OK);
                    CHECK(witan_coordinator_weights(t.coordinator, W));
                }
            }
            table_close(&t);
        }
        CHECK(failures > 3);
    }
}

static void
goes_on_from_a_round(void)
{
    witan_coordinator_config config = table_config("mean", 3, 4);
    const uint32_t all[] = {0, 1, 2}, rounds[] = {2, 2, 1};
    table t;
    config.keep_late = true;
    config.deadline_ms = 1000;
    table_open(&t, &config);
    witan_coordinator_restore(t.coordinator, 2);
    witan_soft_labels stale = {0};
    table_labels(&t, &stale, 2, 1);
    witan_coordinator_restore_stale(t.coordinator, 2, &stale, 1, 25);
    CHECK(stale.bytes == NULL && witan_coordinator_round(t.coordinator) == 2);
    begin_without(&t, 2);
    table_fuse(&t);
    check_fused(&t, &table_sent(&t, WITAN_MESSAGE_FUSED, 0)->labels, 0, all, rounds, 3);
    table_say(&t, 2, 1);
    table_refused(&t, 2, 1, WITAN_REFUSAL_DUPLICATE);
    settle_without(&t, 2);
    table_close(&t);

    table_open(&t, &config);
    witan_coordinator_restore(t.coordinator, 4);
    table_next(&t);
    CHECK(t.count == 0);
    table_close(&t);
}

static void
refusals_have_texts(void)
{
    for (int i = WITAN_REFUSAL_NONE; i <= WITAN_REFUSAL_LATE; i++) {
        CHECK(strlen(witan_refusal_text((witan_refusal)i)) > 3);
    }
}

int
main(void)
{
    RUN(everybody_takes_part);
    RUN(part_of_them_takes_part);
    RUN(deadline_with_enough_answers);
    RUN(deadline_with_too_few_answers);
    RUN(void_timers_change_nothing);
    RUN(late_knowledge_is_kept_with_its_age);
    RUN(late_knowledge_enters_the_round_it_meets);
    RUN(late_parameters_are_dropped);
    RUN(strangers_and_the_unasked);
    RUN(nothing_is_said_where_nobody_speaks);
    RUN(spoiled_knowledge);
    RUN(spoiled_fixed_point);
    RUN(top_knowledge);
    RUN(spoiled_parameters);
    RUN(duplicates);
    RUN(parameters_are_averaged);
    RUN(arrival_order_changes_no_bit);
    RUN(making_one_may_fail_anywhere);
    RUN(fusing_may_fail_anywhere);
    RUN(goes_on_from_a_round);
    RUN(refusals_have_texts);
    return witan_test_finish();
}
