/* fuser.c - fusion computes on a thread of its own, so that sockets are served. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/shell/server_private.h"

witan_status
server_fuser_init(server_fusion *self, witan_diag *diag)
{
    if (pipe(self->wake) != 0) {
        self->wake[0] = self->wake[1] = -1;
        return witan_diag_fail(diag, WITAN_E_IO, "cannot make a pipe: %s",
                               strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        (void)fcntl(self->wake[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(self->wake[i], F_SETFL, O_NONBLOCK);
    }
    return WITAN_OK;
}

void
server_fuser_fini(server_fusion *self)
{
    if (self->running) {
        (void)pthread_join(self->thread, NULL);
        self->running = false;
    }
    for (int i = 0; i < 2; i++) {
        if (self->wake[i] >= 0) {
            (void)close(self->wake[i]);
        }
        self->wake[i] = -1;
    }
}

static void *
fuse(void *context)
{
    server_fusion *self = context;
    self->status = witan_coordinator_fuse(self->core);
    atomic_store(&self->finished, true);
    if (self->wake[1] >= 0 && write(self->wake[1], "", 1) < 0) {
        return NULL; /* the pipe is full: the reader wakes anyway */
    }
    return NULL;
}

void
server_fuser_start(server_fusion *self, witan_coordinator *core, uint64_t now_ms)
{
    sigset_t all, before;
    WITAN_ASSERT(!self->running);
    self->core = core;
    self->since_ms = now_ms;
    atomic_store(&self->finished, false);
    (void)sigfillset(&all); /* signals are the caller's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    self->running = pthread_create(&self->thread, NULL, fuse, self) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!self->running) {
        (void)fuse(self); /* no thread to be had: it takes its time here */
    }
}

bool
server_fuser_finished(server_fusion *self, witan_status *status)
{
    uint8_t byte[16];
    if (!atomic_load(&self->finished)) {
        return false;
    }
    if (self->running) {
        (void)pthread_join(self->thread, NULL);
        self->running = false;
    }
    while (read(self->wake[0], byte, sizeof byte) > 0) {
    }
    atomic_store(&self->finished, false);
    *status = self->status;
    return true;
}
