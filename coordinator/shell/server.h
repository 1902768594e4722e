/* server.h - the coordinator as a daemon: sockets, sessions, timers and the ledger
 * around the core's decisions.
 * Why here: everything that can block or fail lives in a shell; what is decided is
 * decided by coordinator/core, as in the simulator. docs/protocol.md has the arrows.
 * Crash safety: whatever a client was told is on disk before it is told; after kill -9
 * a new server on the same directory goes on in the same round. State directory (0700):
 * identity.key, witan.db, uploads/, lock. Threads: one caller; fusion runs on an
 * internal thread, the door has its own. */
#ifndef WITAN_COORDINATOR_SHELL_SERVER_H
#define WITAN_COORDINATOR_SHELL_SERVER_H

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "secure/identity.h"

typedef struct witan_server_options {
    const char *directory; /* state directory; made when absent */
    const char *listen;    /* "tcp://0.0.0.0:7700"; port "*": chosen by the system */
    const char *advertise; /* endpoint for join lines; NULL: derived from listen */
    const witan_config *config; /* borrowed; NULL: the one of the state directory */
    uint32_t heartbeat_ms;      /* 0: 10,000; a peer is absent after three of them */
    size_t connections_max;     /* 0: 2 * clients + 64, fewer if files are */
    /* SIGTERM and Ctrl-C count, nullable: 1 = drain (finish what is under way, open no
     * round), 2 = stop at once. */
    const volatile sig_atomic_t *stops;
    uint32_t drain_ms; /* longest drain; 0: 120,000 */
    void (*say)(void *context,
                const char *line); /* nullable: lines for a person: ready,
                                      round open, who is awaited, ended */
    void *context;
    const witan_clock *clock;          /* monotonic, required */
    uint64_t (*wall_s)(void *context); /* Unix time for invitations and records */
    const witan_log *log;              /* nullable */
} witan_server_options;

typedef struct witan_server witan_server;

/* Opens the state (or makes it), the data, the door; restores a round that was open.
 * Errors: E_STATE (another coordinator works there; the state belongs to another
 * experiment), E_REFUSED (key file modes), and those of the rooms below. */
WITAN_NODISCARD witan_status witan_server_new(witan_server **out,
                                              const witan_server_options *options,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);
void witan_server_free(witan_server **self);
/* The bound address and the one for join lines; borrowed. */
const char *witan_server_endpoint(const witan_server *self);
const char *witan_server_advertised(const witan_server *self);
const witan_public_identity *witan_server_identity(const witan_server *self);

/* Serves until the experiment is finished (OK) or it was told to stop
 * (E_INTERRUPTED; everything is saved). Peers' doings and a full disk never end it. */
WITAN_NODISCARD witan_status witan_server_run(witan_server *self, witan_diag *diag);

/* Upper bound of the coordinator's memory in bytes for this experiment: program and
 * transfer set, 128 KiB a connection, 64 MiB of chunks, 2 to 3 times everybody's
 * knowledge, fusion. The formula is in docs/internals/coordinator-shell.md. */
uint64_t witan_server_memory_bound(const witan_server *self);

#endif
