/* Thousands of federations, each the function of a seed: a faulty network, crashes of
 * the coordinator and of clients at any point, removals. Checked all the way: one fused
 * digest a round, of exactly what was accepted; rounds one after the other; nobody
 * asked for what was accepted; an end once the faults are over; and, where everybody is
 * waited for, the very exchange that there is without faults. WITAN_SEED=n replays one
 * of them, WITAN_SEEDS=n runs so many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "federation.h"

enum {
    SEEDS = 5000,
    FAILURES_SHOWN = 3,
    AFTER_HEALING_MS = 120000
};

typedef struct outcome {
    uint8_t exchange[ROUNDS_MAX][WITAN_DIGEST_SIZE];
    uint64_t learned[SEATS_MAX];
    bool held;
} outcome;

static struct {
    size_t events, crashes, client_crashes, restored_fusions, late, stale, fused, exact;
} totals;

/* Steele, Lea and Flood 2014: splitmix64's finaliser. */
uint64_t
mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* --- the world -------------------------------------------------------------------- */

void
world_post(world *self, uint64_t at_ms, happening what)
{
    happening *copy = malloc(sizeof *copy);
    *copy = what;
    CHECK_STATUS(witan_heap_push(&self->queue, (double)at_ms, copy), WITAN_OK);
}

bool
world_chance(world *self, double probability)
{
    return self->plan.faults && self->now_ms < self->plan.heal_ms &&
           witan_random_uniform(&self->random) < probability;
}

uint32_t
world_below(world *self, uint32_t bound)
{
    return witan_random_below(&self->random, bound);
}

void
world_send(world *self, const struct frame *frame, bool to_server)
{
    happening what = {.kind = to_server ? HAPPENS_TO_SERVER : HAPPENS_TO_CLIENT,
                      .frame = *frame,
                      .client = frame->client};
    bool faulty = self->plan.faults && self->now_ms < self->plan.heal_ms;
    uint32_t delay_ms = faulty ? self->plan.delay_ms : 5;
    if (self->parted_ms[frame->client] > self->now_ms ||
        world_chance(self, self->plan.loss)) {
        return;
    }
    do {
        world_post(self, self->now_ms + 1 + world_below(self, delay_ms), what);
    } while (world_chance(self, self->plan.duplication));
}

static void
happen(world *self, const happening *what)
{
    struct seat *seat = &self->seat[what->client];
    bool to_server = self->server.up && what->life == self->server.life;
    bool to_client = seat->up && what->life == seat->life;
    switch (what->kind) {
    case HAPPENS_TO_SERVER:
        if (self->server.up) {
            server_take_frame(self, &what->frame);
        }
        break;
    case HAPPENS_TO_CLIENT:
        if (seat->up) {
            client_take_frame(self, seat, &what->frame);
        }
        break;
    case HAPPENS_TIMER:
        if (to_server) {
            server_take_timer(self, what->value);
        }
        break;
    case HAPPENS_NEXT:
        if (to_server) {
            server_next(self);
        }
        break;
    case HAPPENS_SERVER_TICK:
        if (to_server) {
            server_tick(self);
        }
        break;
    case HAPPENS_SERVER_CRASH:
        server_crash(self);
        break;
    case HAPPENS_SERVER_START:
        if (what->life == self->server.life) {
            server_start(self);
        }
        break;
    case HAPPENS_CLIENT_TICK:
        if (to_client) {
            client_tick(self, seat);
        }
        break;
    case HAPPENS_JOB_DONE:
        if (to_client) {
            client_job_done(self, seat);
        }
        break;
    case HAPPENS_CLIENT_CRASH:
        client_crash(self, seat);
        break;
    case HAPPENS_CLIENT_START:
        if (what->life == seat->life) {
            client_start(self, seat);
        }
        break;
    case HAPPENS_PARTITION:
        for (uint32_t n = 0; n < SEATS_MAX; n++) {
            if (what->client == n || what->client == SEATS_MAX - 1) {
                self->parted_ms[n] = self->now_ms + what->value;
            }
        }
        break;
    case HAPPENS_REMOVAL:
        client_replace(self, seat);
        server_remove(self, what->client);
        break;
    }
}

/* --- a seed ----------------------------------------------------------------------- */

static witan_coordinator_config
draw_config(world *self, bool exact)
{
    static const char *const strategies[] = {"knfu", "knfu", "knfu", "mean",   "mean",
                                             "mean", "mean", "mean", "fedavg", "local"};
    static const uint64_t deadlines[] = {0, 60, 200, 400, 1000};
    static const uint64_t graces[] = {0, 50, 300};
    static const uint64_t absences[] = {0, 100, 500};
    static const double shares[] = {1.0, 1.0, 0.7, 0.4};
    static const witan_codec codecs[] = {WITAN_CODEC_F32, WITAN_CODEC_U16,
                                         WITAN_CODEC_TOP(2)};
    size_t clients = 2 + world_below(self, SEATS_MAX - 1);
    size_t minimum = 1 + world_below(self, (uint32_t)clients);
    witan_coordinator_config config = {
        .seed = witan_random_u32(&self->random),
        .clients = clients,
        .rounds = 3 + world_below(self, ROUNDS_MAX - 2),
        .participation = shares[world_below(self, 4)],
        .minimum_clients = minimum,
        .keep_late = world_below(self, 3) != 0,
        .maximum_age = 1 + world_below(self, 3),
        .strategy = witan_fusion_find(strategies[world_below(self, 10)]),
        .fusion = {.beta = 10.0, .include_self = true},
        .codec = codecs[world_below(self, 3)],
        .rows = ROWS,
        .classes = CLASSES,
        .parameters = PARAMETERS,
        .presence = true,
        .deadline_ms = deadlines[world_below(self, 5)],
        .grace_ms = graces[world_below(self, 3)],
        .absence_ms = absences[world_below(self, 3)],
    };
    if (world_below(self, 2)) {
        config.target_clients =
            minimum + world_below(self, (uint32_t)(clients - minimum + 1));
    }
    if (exact) {
        config.deadline_ms = config.absence_ms = config.target_clients = 0;
        config.grace_ms = (uint64_t)1 << 40;
    }
    return config;
}

static void
draw_plan(world *self, bool faults)
{
    static const double rates[] = {0.0, 0.02, 0.1, 0.3};
    static const uint32_t delays[] = {3, 30, 200};
    struct plan *plan = &self->plan;
    plan->faults = faults;
    plan->exact = world_below(self, 3) == 0;
    plan->config = draw_config(self, plan->exact);
    plan->loss = rates[world_below(self, 4)];
    plan->duplication = rates[world_below(self, 4)];
    plan->crash = world_below(self, 4) * 0.006;
    plan->delay_ms = delays[world_below(self, 3)];
    plan->work_ms = 10 + world_below(self, 150);
    plan->slow = witan_random_u32(&self->random) & witan_random_u32(&self->random);
    plan->heal_ms = 500 + world_below(self, 4000);
    plan->crashes = world_below(self, 6);
    plan->client_crashes = world_below(self, 10);
    plan->partitions = world_below(self, 6);
    plan->removals = plan->exact ? 0 : world_below(self, 8);
}

static void
post_fault(world *self, happening_kind kind)
{
    world_post(
        self, world_below(self, (uint32_t)self->plan.heal_ms),
        (happening){.kind = kind,
                    .client = world_below(self, (uint32_t)self->plan.config.clients),
                    .value = 1 + world_below(self, 800)});
}

static void
begin(world *self)
{
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        self->seat[n].id = n;
        self->seat[n].saved.learned = mix(n, 0);
        world_post(self, world_below(self, 100),
                   (happening){.kind = HAPPENS_CLIENT_START, .client = n});
    }
    world_post(self, world_below(self, 50), (happening){.kind = HAPPENS_SERVER_START});
    if (!self->plan.faults) {
        return;
    }
    for (size_t i = 0; i < self->plan.crashes; i++) {
        post_fault(self, HAPPENS_SERVER_CRASH);
    }
    for (size_t i = 0; i < self->plan.client_crashes; i++) {
        post_fault(self, HAPPENS_CLIENT_CRASH);
    }
    for (size_t i = 0; i < self->plan.partitions; i++) {
        post_fault(self, HAPPENS_PARTITION);
    }
    for (size_t i = 0; i < self->plan.removals; i++) {
        post_fault(self, HAPPENS_REMOVAL);
    }
}

static void
end(world *self, outcome *out)
{
    const struct store *store = &self->server.store;
    witan_heap_item item;
    for (uint32_t round = 0; self->held && round < self->plan.config.rounds; round++) {
        HOLDS(store->round[round].opened && store->round[round].ended);
        HOLDS(store->round[round].fused == self->witness.fused[round]);
        memcpy(out->exchange[round], store->round[round].exchange, WITAN_DIGEST_SIZE);
        totals.fused += store->round[round].fused;
        totals.stale += self->witness.speakers[round] != self->witness.fresh[round];
        for (uint32_t n = 0; n < self->plan.config.clients; n++) {
            const struct upload *upload = &store->upload[round][n];
            uint32_t acknowledged = self->witness.acknowledged[round][n];
            HOLDS(acknowledged == 0 ||
                  (upload->there && upload->generation + 1 == acknowledged));
        }
    }
    for (uint32_t n = 0; n < self->plan.config.clients; n++) {
        out->learned[n] = self->seat[n].saved.learned;
    }
    while (witan_heap_pop(&self->queue, &item)) {
        free(item.value);
    }
    witan_heap_fini(&self->queue);
    witan_coordinator_free(&self->server.core);
    HOLDS(self->heap.live == 0);
    out->held = self->held;
    totals.events += self->events;
    totals.crashes += self->crashes;
    totals.client_crashes += self->client_crashes;
    totals.restored_fusions += self->restored_fusions;
    totals.late += self->late;
    totals.exact += self->plan.exact;
}

/* One federation from its beginning to its end. Returns whether it was an exact one. */
static bool
run(uint64_t seed, bool faults, outcome *out)
{
    static world it;
    world *self = &it;
    witan_heap_item item;
    memset(self, 0, sizeof *self);
    memset(out, 0, sizeof *out);
    self->held = true;
    witan_random_init(&self->random, seed, 0, 0, WITAN_PURPOSE_TEST);
    witan_failing_allocator_init(&self->heap, 0);
    witan_heap_init(&self->queue, witan_allocator_default());
    draw_plan(self, faults);
    begin(self);
    const round_row *last = &self->server.store.round[self->plan.config.rounds - 1];
    while (self->held && !last->ended && witan_heap_pop(&self->queue, &item)) {
        happening what = *(happening *)item.value;
        free(item.value);
        self->now_ms = (uint64_t)item.key;
        self->events++;
        happen(self, &what);
        server_bury(self);
        HOLDS(self->now_ms < self->plan.heal_ms + AFTER_HEALING_MS);
    }
    end(self, out);
    return self->plan.exact;
}

static bool
try_seed(uint64_t seed)
{
    outcome faulty, plain;
    bool exact = run(seed, true, &faulty);
    if (faulty.held && exact) {
        (void)run(seed, false, &plain);
        faulty.held =
            plain.held &&
            CHECK(memcmp(faulty.exchange, plain.exchange, sizeof plain.exchange) ==
                  0) &&
            CHECK(memcmp(faulty.learned, plain.learned, sizeof plain.learned) == 0);
    }
    if (!faulty.held) {
        fprintf(stderr, "federation of seed %llu; replay with WITAN_SEED=%llu\n",
                (unsigned long long)seed, (unsigned long long)seed);
    }
    return faulty.held;
}

static void
seeded_federations(void)
{
    const char *one = getenv("WITAN_SEED"), *many = getenv("WITAN_SEEDS");
    uint64_t seeds = many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    size_t failures = 0;
    if (one != NULL) {
        (void)try_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= seeds && failures < FAILURES_SHOWN; seed++) {
        failures += !try_seed(seed);
    }
    printf("%zu events, %zu crashes, %zu of clients, %zu fusions, %zu of them again, "
           "%zu with late knowledge, %zu late uploads\n",
           totals.events, totals.crashes, totals.client_crashes, totals.fused,
           totals.restored_fusions, totals.stale, totals.late);
    /* A network that is too good, or never good enough, shows nothing. */
    CHECK(seeds < SEEDS || failures != 0 ||
          (totals.crashes > 10000 && totals.client_crashes > 10000 &&
           totals.fused > 20000 && totals.restored_fusions > 2000 &&
           totals.stale > 500 && totals.late > 2000 && totals.exact > 1500));
}

int
main(void)
{
    RUN(seeded_federations);
    return witan_test_finish();
}
