/* worker.h - one thread that runs one job at a time while the node goes on talking.
 * The end of a job makes a file readable, so that the node can wait for it and for the
 * network at once. */
#ifndef WITAN_CLIENT_SHELL_WORKER_H
#define WITAN_CLIENT_SHELL_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct node_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    void (*run)(void *context); /* the job; NULL: none */
    void *context;
    bool started, stop;
    bool busy; /* submitted, its end not yet taken; the owner's */
    int file;  /* eventfd, readable when a job ended */
} node_worker;

/* Must not move until node_worker_stop. Errors: E_IO (the system gives no thread or
 * file). */
WITAN_NODISCARD witan_status node_worker_start(node_worker *self, witan_diag *diag);
/* Waits for the job under way; idempotent, harmless on a zeroed one. */
void node_worker_stop(node_worker *self);
/* Only while not busy. */
void node_worker_submit(node_worker *self, void (*run)(void *context), void *context);
/* True once for each job, when it has ended; it is not busy afterwards. */
bool node_worker_ended(node_worker *self);

#endif
