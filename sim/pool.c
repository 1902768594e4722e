#include "sim/pool.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "sim/heap.h"

typedef struct worker {
    witan_pool *pool;
    size_t index;
    pthread_t thread;
} worker;

struct witan_pool {
    const witan_allocator *allocator;
    pthread_mutex_t mutex;
    pthread_cond_t work;     /* a job was queued, or stop */
    pthread_cond_t finished; /* a job was finished */
    witan_heap queue;        /* key: -cost */
    bool stop;
    size_t threads; /* started */
    worker *workers;
};

static void *
work(void *argument)
{
    worker *self = argument;
    witan_pool *pool = self->pool;
    witan_heap_item item;

    (void)pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stop && pool->queue.count == 0) {
            (void)pthread_cond_wait(&pool->work, &pool->mutex);
        }
        if (pool->stop || !witan_heap_pop(&pool->queue, &item)) {
            break;
        }
        witan_pool_job *job = item.value;
        (void)pthread_mutex_unlock(&pool->mutex);
        job->run(job->context, self->index);
        (void)pthread_mutex_lock(&pool->mutex);
        job->unfinished = false;
        (void)pthread_cond_broadcast(&pool->finished);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Waits are measured on the monotonic clock: a clock change must not stretch them. */
static void
condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

witan_status
witan_pool_new(witan_pool **out, size_t threads, const witan_allocator *allocator)
{
    *out = NULL;
    witan_pool *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return WITAN_E_MEMORY;
    }
    self->allocator = allocator;
    witan_heap_init(&self->queue, allocator);
    (void)pthread_mutex_init(&self->mutex, NULL);
    condition_init(&self->work);
    condition_init(&self->finished);
    self->workers = witan_zalloc(allocator, threads, sizeof *self->workers);
    if (self->workers == NULL) {
        witan_pool_free(&self);
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < threads; i++) {
        self->workers[i].pool = self;
        self->workers[i].index = i;
        if (pthread_create(&self->workers[i].thread, NULL, work, &self->workers[i]) !=
            0) {
            witan_pool_free(&self);
            return WITAN_E_LIMIT;
        }
        self->threads++;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_pool_free(witan_pool **self)
{
    witan_pool *it = *self;
    if (it == NULL) {
        return;
    }
    *self = NULL;
    (void)pthread_mutex_lock(&it->mutex);
    it->stop = true;
    (void)pthread_cond_broadcast(&it->work);
    (void)pthread_mutex_unlock(&it->mutex);
    for (size_t i = 0; i < it->threads; i++) {
        (void)pthread_join(it->workers[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&it->work);
    (void)pthread_cond_destroy(&it->finished);
    (void)pthread_mutex_destroy(&it->mutex);
    witan_heap_fini(&it->queue);
    witan_free(it->allocator, it->workers);
    witan_free(it->allocator, it);
}

size_t
witan_pool_threads(const witan_pool *self)
{
    return self->threads;
}

witan_status
witan_pool_submit(witan_pool *self, witan_pool_job *job)
{
    (void)pthread_mutex_lock(&self->mutex);
    job->unfinished = true;
    witan_status status = witan_heap_push(&self->queue, -job->cost, job);
    if (status != WITAN_OK) {
        job->unfinished = false;
    }
    (void)pthread_cond_signal(&self->work);
    (void)pthread_mutex_unlock(&self->mutex);
    return status;
}

bool
witan_pool_wait(witan_pool *self, const witan_pool_job *job, int timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void)pthread_mutex_lock(&self->mutex);
    while (job->unfinished) {
        if (timeout_ms < 0) {
            (void)pthread_cond_wait(&self->finished, &self->mutex);
        } else if (pthread_cond_timedwait(&self->finished, &self->mutex, &until) != 0) {
            break;
        }
    }
    bool finished = !job->unfinished;
    (void)pthread_mutex_unlock(&self->mutex);
    return finished;
}
