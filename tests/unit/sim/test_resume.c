/* Runs that were stopped, broken or damaged: they go on to the same digest, or say why
 * they cannot. */
#define _GNU_SOURCE /* memmem */
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "run.h"

/* Straight on against stopped after `stop` rounds and resumed with other threads. */
static void
check_resume(const char *name, size_t stop, bool twice, const char *const *settings)
{
    char straight_name[64], stopped_name[64];
    (void)snprintf(straight_name, sizeof straight_name, "%s-straight", name);
    (void)snprintf(stopped_name, sizeof stopped_name, "%s-stopped", name);
    const char *directory = run_directory(stopped_name);
    run_result straight =
        run(run_directory(straight_name), &(run_options){0}, settings);
    run_options options = {.stop_after = twice ? 0 : stop,
                           .break_after = twice ? stop : 0};
    run_result stopped = run(directory, &options, settings);
    CHECK_STATUS(stopped.status, WITAN_E_INTERRUPTED);
    CHECK(stopped.rounds_done == stop && stopped.digest[0] == '\0');
    run_result resumed =
        run(directory, &(run_options){.resume = true, .threads = 3}, settings);
    CHECK_STATUS(resumed.status, WITAN_OK);
    CHECK_STRING(resumed.diag.message, "");
    CHECK(run_is_equal(&straight, &resumed));
    /* A finished run can be asked again. */
    run_result again = run(directory, &(run_options){.resume = true}, settings);
    CHECK(run_is_equal(&straight, &again));
    run_free(&straight);
    run_free(&stopped);
    run_free(&resumed);
    run_free(&again);
}

static void
stopped_and_resumed(void)
{
    static const char *const plain[] = {RUN_SMALL, NULL};
    static const char *const adam[] = {RUN_SMALL, "participation=0.5",
                                       "evaluate.every=3", "fusion.combine=logit",
                                       NULL};
    static const char *const average[] = {RUN_SMALL, "fusion.key=fedavg",
                                          "models=mlp(8)", NULL};
    static const char *const alone[] = {RUN_SMALL, "fusion.key=local", NULL};
    static const char *const pooled[] = {RUN_SMALL, "fusion.key=centralised", NULL};
    check_resume("plain", 2, false, plain);
    check_resume("first", 1, false, plain);
    check_resume("twice", 2, true, plain);
    check_resume("half", 2, false, adam);
    check_resume("fedavg", 2, false, average);
    check_resume("local", 3, false, alone);
    check_resume("centralised", 2, false, pooled);
}

static void
resumed_with_events_in_flight(void)
{
    static const char *const faulty[] = {RUN_SMALL, RUN_FAULTS, "rounds=7", NULL};
    static const char *const logits[] = {RUN_SMALL,           RUN_FAULTS,
                                         "rounds=6",          "fusion.combine=logit",
                                         "extract.codec=f32", NULL};
    static const char *const average[] = {
        RUN_SMALL,       RUN_FAULTS, "round.late=drop", "rounds=6", "fusion.key=fedavg",
        "models=mlp(8)", NULL};
    /* Some are still at work when the next but one round opens. */
    static const char *const slower[] = {RUN_SMALL,           RUN_FAULTS,
                                         "rounds=7",          "faults.slowdown=25",
                                         "participation=0.5", NULL};
    char name[32];
    for (size_t stop = 1; stop < 7; stop++) {
        (void)snprintf(name, sizeof name, "faulty-%zu", stop);
        check_resume(name, stop, false, faulty);
        (void)snprintf(name, sizeof name, "slower-%zu", stop);
        check_resume(name, stop, false, slower);
    }
    check_resume("faulty-logits", 3, false, logits);
    check_resume("faulty-fedavg", 3, false, average);
}

/* Messages that travel for many rounds: more under way than clients. */
static void
resumed_with_a_slow_network(void)
{
    static const char *const settings[] = {RUN_SMALL,
                                           "rounds=30",
                                           "participation=0.5",
                                           "faults.latency=10",
                                           "faults.dropout=0.3",
                                           "faults.straggler=0.5",
                                           "faults.slowdown=40",
                                           "faults.speed=1000",
                                           "round.deadline=1",
                                           "round.late=keep",
                                           "round.maximum_age=40",
                                           "evaluate.every=0",
                                           NULL};
    char name[32];
    for (size_t stop = 11; stop < 30; stop += 4) {
        (void)snprintf(name, sizeof name, "slow-%zu", stop);
        check_resume(name, stop, false, settings);
    }
}

static void
another_experiment_is_refused(void)
{
    static const char *const settings[] = {RUN_SMALL, NULL};
    static const char *const other[] = {RUN_SMALL, "fusion.beta=3", NULL};
    const char *directory = run_directory("other");
    run_result stopped = run(directory, &(run_options){.stop_after = 2}, settings);
    run_result resumed = run(directory, &(run_options){.resume = true}, other);
    CHECK_STATUS(resumed.made, WITAN_E_DATA);
    CHECK_CONTAINS(resumed.diag.message, directory);
    CHECK_CONTAINS(resumed.diag.message, "config.json or the data changed");
    run_free(&stopped);
    run_free(&resumed);
}

/* Killed before the first state: the run begins anew. */
static void
resumed_without_a_state(void)
{
    static const char *const settings[] = {RUN_SMALL, NULL};
    const char *directory = run_directory("stateless");
    run_result straight = run(directory, &(run_options){0}, settings);
    (void)remove(witan_test_path("stateless/state.safetensors"));
    run_result resumed = run(directory, &(run_options){.resume = true}, settings);
    CHECK(run_is_equal(&straight, &resumed));
    run_free(&straight);
    run_free(&resumed);
}

/* --- damage ----------------------------------------------------------------------- */

typedef struct damage {
    const char *const *settings;
    const char *directory, *path;
    char *bytes;
    size_t size;
    run_result straight;
    size_t refused, harmless;
} damage;

/* Writes the state with one byte changed (or cut): a refusal or the same run. */
static void
try_damage(damage *self, size_t at, char flip, size_t size)
{
    char kept = self->bytes[at];
    self->bytes[at] = (char)(kept ^ flip);
    witan_test_write(self->path, self->bytes, size);
    self->bytes[at] = kept;
    run_result result = run(
        self->directory, &(run_options){.resume = true, .threads = 1}, self->settings);
    if (result.made == WITAN_OK) {
        CHECK(run_is_equal(&self->straight, &result));
        self->harmless++;
    } else {
        CHECK_STATUS(result.made, WITAN_E_DATA);
        CHECK_CONTAINS(result.diag.message, "state.safetensors");
        self->refused++;
    }
    run_free(&result);
}

static void
a_damaged_state_is_no_other_run(void)
{
    static const char *const settings[] = {RUN_SMALL, RUN_FAULTS, "rounds=4",
                                           "data.path=", NULL};
    static const char *const names[] = {"stale.",   "job.labels.", "event.labels.",
                                        "events.0", "client.0",    "run.0.digest"};
    damage self = {.settings = settings};
    witan_random random;
    witan_random_init(&random, witan_test_seed(5), 0, 0, WITAN_PURPOSE_TEST);
    self.straight = run(run_directory("whole"), &(run_options){0}, settings);
    self.directory = run_directory("damaged");
    self.path = witan_test_path("damaged/state.safetensors");
    run_result stopped = run(self.directory, &(run_options){.stop_after = 3}, settings);
    CHECK_STATUS(stopped.status, WITAN_E_INTERRUPTED);
    run_free(&stopped);
    char *metrics_path = strdup(witan_test_path("damaged/metrics.jsonl"));
    self.bytes = witan_test_read(self.path, &self.size);
    uint64_t header;
    memcpy(&header, self.bytes, sizeof header);
    CHECK(header > 500 && header + 8 < self.size);
    size_t found = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        /* The name of a tensor, so that it is missed. */
        char *name = memmem(self.bytes, 8 + (size_t)header, names[i], strlen(names[i]));
        if (name != NULL) {
            size_t refused = self.refused;
            try_damage(&self, (size_t)(name - self.bytes), 0x04, self.size);
            CHECK(self.refused == refused + 1);
            found++;
        }
    }
    CHECK(found >= 5);
    for (size_t at = 0; at < 8 + header; at += 1 + (8 + header) / 60) {
        try_damage(&self, at, 0x01, self.size);
    }
    for (size_t i = 0; i < 60; i++) {
        size_t body = self.size - 8 - (size_t)header;
        size_t at = 8 + (size_t)header + witan_random_below(&random, (uint32_t)body);
        size_t refused = self.refused;
        try_damage(&self, at, (char)(1 << witan_random_below(&random, 8)), self.size);
        CHECK(self.refused == refused + 1); /* every tensor has its digest */
    }
    const size_t cuts[] = {0, 5, 8 + (size_t)header / 2, self.size - 1};
    for (size_t i = 0; i < 4; i++) {
        try_damage(&self, self.size - 1, 0, cuts[i]);
    }
    CHECK(self.refused > 100);
    /* A metrics file that lost its end. */
    witan_test_write(self.path, self.bytes, self.size);
    CHECK(truncate(metrics_path, 100) == 0);
    run_result cut = run(self.directory, &(run_options){.resume = true}, settings);
    CHECK_STATUS(cut.made, WITAN_E_DATA);
    CHECK_CONTAINS(cut.diag.message, "metrics.jsonl");
    run_free(&cut);
    run_free(&self.straight);
    free(metrics_path);
    free(self.bytes);
}

/* --- full disks ------------------------------------------------------------------- */

static const char *doomed;

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void
remove_directory(void)
{
    (void)nftw(doomed, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void
the_directory_vanishes(void)
{
    static const char *const settings[] = {RUN_SMALL, NULL};
    static const char *const alone[] = {RUN_SMALL, "fusion.key=local", NULL};
    for (size_t i = 0; i < 2; i++) {
        doomed = run_directory("doomed");
        run_result result = run(doomed, &(run_options){.after_round = remove_directory},
                                i == 0 ? settings : alone);
        CHECK_STATUS(result.status, WITAN_E_IO);
        CHECK_CONTAINS(result.diag.message, doomed);
        run_free(&result);
    }
}

static rlim_t limit_after_round;

static void
limit_files(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = limit_after_round;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void
the_disk_is_full(void)
{
    static const char *const settings[] = {RUN_SMALL, NULL};
    const rlim_t limits[] = {0, 100, 3000, 20000};
    struct rlimit free_limit;
    char name[32];
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &free_limit) == 0);
    run_result straight = run(run_directory("roomy"), &(run_options){0}, settings);
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "full-%zu", i);
        const char *directory = run_directory(name);
        limit_after_round = limits[i];
        run_result full =
            run(directory, &(run_options){.after_round = limit_files}, settings);
        CHECK(setrlimit(RLIMIT_FSIZE, &free_limit) == 0);
        CHECK_STATUS(full.status, WITAN_E_IO);
        CHECK_CONTAINS(full.diag.message, directory);
        run_result mended = run(directory, &(run_options){.resume = true}, settings);
        CHECK(run_is_equal(&straight, &mended));
        run_free(&full);
        run_free(&mended);
    }
    run_free(&straight);
}

/* --- memory ----------------------------------------------------------------------- */

/* Fails from one allocation on, on whatever thread; counts what is alive. */
typedef struct scarce {
    witan_allocator allocator;
    atomic_size_t allocations, live;
    size_t room;
} scarce;

static void *
scarce_allocate(void *context, size_t size)
{
    scarce *self = context;
    const witan_allocator *heap = witan_allocator_default();
    if (atomic_fetch_add(&self->allocations, 1) >= self->room) {
        return NULL;
    }
    void *block = heap->allocate(heap->context, size);
    atomic_fetch_add(&self->live, block != NULL);
    return block;
}

static void
scarce_release(void *context, void *block)
{
    scarce *self = context;
    const witan_allocator *heap = witan_allocator_default();
    atomic_fetch_sub(&self->live, block != NULL);
    heap->release(heap->context, block);
}

static run_result
run_with(scarce *self, size_t room, const char *directory, bool resume,
         const char *const *settings)
{
    *self =
        (scarce){.allocator = {scarce_allocate, scarce_release, self}, .room = room};
    run_options options = {.threads = 1, /* each worker makes scratch of its own */
                           .allocator = &self->allocator,
                           .resume = resume};
    run_result result = run(directory, &options, settings);
    CHECK(atomic_load(&self->live) == 0);
    return result;
}

static void
memory_may_run_out(void)
{
    static const char *const settings[] = {RUN_SMALL, RUN_FAULTS, "rounds=3", NULL};
    scarce heap;
    char name[32];
    const char *directory = run_directory("memory");
    run_result straight = run_with(&heap, SIZE_MAX, directory, false, settings);
    size_t all = atomic_load(&heap.allocations);
    CHECK_STATUS(straight.status, WITAN_OK);
    CHECK(all > 100);
    for (size_t i = 0; i <= 60; i++) {
        (void)snprintf(name, sizeof name, "memory-%zu", i);
        directory = run_directory(name);
        run_result short_run =
            run_with(&heap, all * i / 61, directory, false, settings);
        witan_status status =
            short_run.made != WITAN_OK ? short_run.made : short_run.status;
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(short_run.diag.message[0] != '\0');
        /* What was saved before goes on; restoring may run out, too. */
        if (short_run.made == WITAN_OK && i % 3 == 0) {
            run_result half = run_with(&heap, 80 + i * 2, directory, true, settings);
            status = half.made != WITAN_OK ? half.made : half.status;
            CHECK(status == WITAN_E_MEMORY || run_is_equal(&straight, &half));
            run_result mended = run_with(&heap, SIZE_MAX, directory, true, settings);
            CHECK(run_is_equal(&straight, &mended));
            run_free(&half);
            run_free(&mended);
        }
        run_free(&short_run);
    }
    run_free(&straight);
}

int
main(void)
{
    RUN(stopped_and_resumed);
    RUN(resumed_with_events_in_flight);
    RUN(resumed_with_a_slow_network);
    RUN(another_experiment_is_refused);
    RUN(resumed_without_a_state);
    RUN(a_damaged_state_is_no_other_run);
    RUN(the_directory_vanishes);
    RUN(the_disk_is_full);
    RUN(memory_may_run_out);
    return witan_test_finish();
}
