/* Workers: every job once, the costliest first, and nothing left behind. */
#include <stdatomic.h>
#include <time.h>

#include "sim/pool.h"
#include "support/witan_test.h"

enum {
    JOBS = 200
};

typedef struct task {
    witan_pool_job job;
    atomic_int runs;
    size_t rank; /* in which it ran */
    size_t worker;
    atomic_bool *gate; /* runs until it opens, or NULL */
} task;

static atomic_size_t started;

static void
pause_a_little(void)
{
    (void)nanosleep(&(struct timespec){0, 200000}, NULL);
}

static void
run(void *context, size_t worker)
{
    task *self = context;
    self->rank = atomic_fetch_add(&started, 1);
    self->worker = worker;
    while (self->gate != NULL && !atomic_load(self->gate)) {
        pause_a_little();
    }
    atomic_fetch_add(&self->runs, 1);
}

static void
task_init(task *self, double cost)
{
    *self = (task){.job = {run, self, cost, false}};
}

static void
submit(witan_pool *pool, task *self)
{
    CHECK_STATUS(witan_pool_submit(pool, &self->job), WITAN_OK);
}

static witan_pool *
pool_of(size_t threads)
{
    witan_pool *pool = NULL;
    CHECK_STATUS(witan_pool_new(&pool, threads, witan_allocator_default()), WITAN_OK);
    CHECK(witan_pool_threads(pool) == threads);
    atomic_store(&started, 0);
    return pool;
}

static void
every_job_runs_once(void)
{
    static task tasks[JOBS];
    const size_t threads[] = {1, 2, 8};
    for (size_t t = 0; t < 3; t++) {
        witan_pool *pool = pool_of(threads[t]);
        for (int round = 1; round <= 3; round++) { /* jobs are used again */
            for (size_t i = 0; i < JOBS; i++) {
                if (round == 1) {
                    task_init(&tasks[i], (double)(i % 7));
                }
                submit(pool, &tasks[i]);
            }
            for (size_t i = 0; i < JOBS; i++) {
                CHECK(witan_pool_wait(pool, &tasks[i].job, -1));
                CHECK(atomic_load(&tasks[i].runs) == round);
                CHECK(tasks[i].worker < threads[t]);
            }
        }
        witan_pool_free(&pool);
        CHECK(pool == NULL);
        witan_pool_free(&pool);
    }
}

static void
the_costliest_runs_first(void)
{
    static task tasks[20], blocker;
    atomic_bool gate = false;
    witan_pool *pool = pool_of(1);
    task_init(&blocker, 0.0);
    blocker.gate = &gate;
    submit(pool, &blocker);
    while (atomic_load(&started) == 0) {
        pause_a_little();
    }
    for (size_t i = 0; i < 20; i++) { /* costs 0 1 2 3 4 0 1 2 3 4 ... */
        task_init(&tasks[i], (double)(i % 5));
        submit(pool, &tasks[i]);
    }
    CHECK(!witan_pool_wait(pool, &tasks[0].job, 0));
    CHECK(!witan_pool_wait(pool, &blocker.job, 3));
    atomic_store(&gate, true);
    for (size_t i = 0; i < 20; i++) {
        CHECK(witan_pool_wait(pool, &tasks[i].job, 60000));
    }
    for (size_t i = 0; i < 20; i++) { /* of equal cost, the earlier submitted */
        CHECK(tasks[i].rank == 1 + (4 - i % 5) * 4 + i / 5);
    }
    CHECK(witan_pool_wait(pool, &tasks[3].job, 0)); /* long finished */
    witan_pool_free(&pool);
}

static void
freed_while_jobs_wait(void)
{
    static task tasks[50], blocker;
    atomic_bool gate = false;
    witan_pool *pool = pool_of(1);
    task_init(&blocker, 1.0);
    blocker.gate = &gate;
    submit(pool, &blocker);
    while (atomic_load(&started) == 0) {
        pause_a_little();
    }
    for (size_t i = 0; i < 50; i++) {
        task_init(&tasks[i], 2.0);
        submit(pool, &tasks[i]);
    }
    atomic_store(&gate, true);
    witan_pool_free(&pool);
    CHECK(atomic_load(&blocker.runs) == 1); /* what runs is waited for */
    int runs = 0;
    for (size_t i = 0; i < 50; i++) {
        int once = atomic_load(&tasks[i].runs);
        CHECK(once <= 1);
        runs += once;
    }
    CHECK(runs + 1 == (int)atomic_load(&started));
}

static void
memory_may_run_out(void)
{
    static task tasks[JOBS];
    atomic_bool gate = false;
    size_t fail_at = 1;
    witan_failing_allocator failing;
    witan_pool *pool;
    for (;; fail_at++) {
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status = witan_pool_new(&pool, 2, &failing.allocator);
        if (status == WITAN_OK) {
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK(pool == NULL && failing.live == 0);
    }
    CHECK(fail_at > 2);
    /* The queue's first block is allocation number fail_at: it fails now. */
    task_init(&tasks[0], 1.0);
    CHECK_STATUS(witan_pool_submit(pool, &tasks[0].job), WITAN_E_MEMORY);
    CHECK(witan_pool_wait(pool, &tasks[0].job, 0)); /* nothing to wait for */
    tasks[0].gate = &gate;
    submit(pool, &tasks[0]);
    atomic_store(&gate, true);
    CHECK(witan_pool_wait(pool, &tasks[0].job, -1));
    witan_pool_free(&pool);
    CHECK(failing.live == 0);
}

int
main(void)
{
    RUN(every_job_runs_once);
    RUN(the_costliest_runs_first);
    RUN(freed_while_jobs_wait);
    RUN(memory_may_run_out);
    return witan_test_finish();
}
