/* pool.h - worker threads that run jobs, costliest first. Results never depend on which
 * worker ran what: a job writes only what it owns.
 * Threads: submit, wait and free from one thread; jobs run on the workers. */
#ifndef WITAN_SIM_POOL_H
#define WITAN_SIM_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

typedef struct witan_pool witan_pool;

typedef struct witan_pool_job {
    void (*run)(void *context, size_t worker); /* worker: 0 .. threads-1 */
    void *context;
    double cost;     /* any unit; larger starts earlier */
    bool unfinished; /* the pool's; read through witan_pool_wait */
} witan_pool_job;

/* Errors: E_MEMORY, E_LIMIT (the system gives no more threads). */
WITAN_NODISCARD witan_status witan_pool_new(witan_pool **out, size_t threads,
                                            const witan_allocator *allocator);
/* Drops jobs that no worker took, waits for the running ones, joins. NULL-safe. */
void witan_pool_free(witan_pool **self);
size_t witan_pool_threads(const witan_pool *self);

/* The job is borrowed until it is finished. Errors: E_MEMORY. */
WITAN_NODISCARD witan_status witan_pool_submit(witan_pool *self, witan_pool_job *job);
/* Waits up to timeout_ms (< 0: for ever); true when the job is finished. */
bool witan_pool_wait(witan_pool *self, const witan_pool_job *job, int timeout_ms);

#endif
