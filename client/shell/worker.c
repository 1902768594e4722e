#include "client/shell/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void
tell_end(int file)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(file, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
}

static void *
work(void *argument)
{
    node_worker *self = argument;
    (void)pthread_mutex_lock(&self->mutex);
    while (!self->stop) {
        if (self->run == NULL) {
            (void)pthread_cond_wait(&self->work, &self->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&self->mutex);
        self->run(self->context);
        (void)pthread_mutex_lock(&self->mutex);
        self->run = NULL;
        tell_end(self->file);
    }
    (void)pthread_mutex_unlock(&self->mutex);
    return NULL;
}

/* Signals are for the thread that talks. */
static int
start_thread(node_worker *self)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&self->thread, NULL, work, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

witan_status
node_worker_start(node_worker *self, witan_diag *diag)
{
    memset(self, 0, sizeof *self);
    self->file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->file < 0) {
        return witan_diag_fail(diag, WITAN_E_IO, "no file for the learning thread: %s",
                               strerror(errno));
    }
    (void)pthread_mutex_init(&self->mutex, NULL);
    (void)pthread_cond_init(&self->work, NULL);
    self->started = true;
    int failed = start_thread(self);
    if (failed != 0) {
        self->stop = true; /* nothing to join */
        node_worker_stop(self);
        return witan_diag_fail(diag, WITAN_E_IO, "no learning thread: %s",
                               strerror(failed));
    }
    return WITAN_OK;
}

void
node_worker_stop(node_worker *self)
{
    if (!self->started) {
        return;
    }
    if (!self->stop) {
        (void)pthread_mutex_lock(&self->mutex);
        self->stop = true;
        (void)pthread_cond_signal(&self->work);
        (void)pthread_mutex_unlock(&self->mutex);
        (void)pthread_join(self->thread, NULL);
    }
    (void)pthread_cond_destroy(&self->work);
    (void)pthread_mutex_destroy(&self->mutex);
    (void)close(self->file);
    memset(self, 0, sizeof *self);
}

void
node_worker_submit(node_worker *self, void (*run)(void *context), void *context)
{
    WITAN_ASSERT(!self->busy);
    (void)pthread_mutex_lock(&self->mutex);
    self->busy = true;
    self->run = run;
    self->context = context;
    (void)pthread_cond_signal(&self->work);
    (void)pthread_mutex_unlock(&self->mutex);
}

bool
node_worker_ended(node_worker *self)
{
    uint64_t ended;
    if (!self->busy || read(self->file, &ended, sizeof ended) != sizeof ended) {
        return false;
    }
    self->busy = false;
    return true;
}
