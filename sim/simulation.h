/* simulation.h - many clients on one machine: the coordinator's and the clients' cores
 * under a virtual clock, their learning on a pool of workers.
 * Determinism: a run is a function of config and seed (on one machine type); threads,
 * interruptions and resumes change nothing but the time it takes. Virtual time decides
 * who is late, never the wall clock.
 * A run directory holds config.json, metrics.jsonl (one line per round and client),
 * summary.json, weights/round-NNNN.npy, models/client-NNNN.safetensors, and
 * state.safetensors, from which the run resumes; with canaries or audit.record also
 * canaries.json and audit/ (setup/audit_file.h).
 * Threads: one caller; workers are internal. */
#ifndef WITAN_SIM_SIMULATION_H
#define WITAN_SIM_SIMULATION_H

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "report/report.h"

typedef struct witan_simulation_options {
    size_t threads;        /* workers, >= 1 */
    const char *directory; /* run directory: exists, locked by the caller; borrowed */
    bool resume;           /* continue from its state */
    const char *canaries;  /* a canary plan (setup/canary_file.h), or NULL; borrowed */
    size_t canaries_size;
    const char *canaries_origin; /* names it in errors */
    /* Ctrl-C count, nullable: 1 = stop at the end of the round, 2 = stop at once. */
    const volatile sig_atomic_t *interrupts;
    /* Nullable; called on the caller's thread, at least every refresh_ms while waiting.
     */
    void (*progress)(void *context, const witan_progress *progress);
    void (*round_ended)(void *context, const witan_round_record *round, size_t rounds,
                        double eta_seconds);
    void *context;
    int refresh_ms;
    const witan_clock *clock; /* nullable: all times are 0 */
    const witan_log *log;     /* nullable */
} witan_simulation_options;

typedef struct witan_simulation witan_simulation;

/* Loads data, draws the partition, builds and initialises (or restores) all clients.
 * Errors: those of the rooms below, each with a sentence in `diag`. */
WITAN_NODISCARD witan_status
witan_simulation_new(witan_simulation **out, const witan_config *config,
                     const witan_simulation_options *options,
                     const witan_allocator *allocator, witan_diag *diag);
void witan_simulation_free(witan_simulation **self);

/* Runs the remaining rounds and writes everything except the report. E_INTERRUPTED
 * after a stop by the caller: the state is then that of the last finished round (one
 * Ctrl-C) or of the last saved one (two). */
WITAN_NODISCARD witan_status witan_simulation_run(witan_simulation *self,
                                                  witan_diag *diag);

/* Takes over the final own and global accuracies of a run without exchange, as the
 * reference that "gained over local" compares with. Errors: E_CONFIG when the runs do
 * not have the same clients. Before witan_simulation_run. */
WITAN_NODISCARD witan_status witan_simulation_set_reference(
    witan_simulation *self, const witan_simulation *local, witan_diag *diag);

/* The run's result as JSON: summary.json, or on one line for programs. */
void witan_simulation_summary(witan_text *out, const witan_run_record *run,
                              bool one_line);

/* Facts for tables and pages; borrowed until the simulation is freed. */
const witan_run_record *witan_simulation_record(witan_simulation *self);

#endif
