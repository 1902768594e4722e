/* node.h - a client as a daemon: enrols, connects, learns, answers, survives.
 * Why here: sockets, files and threads around client/core; the learning is the
 * simulator's (client/core/learner.h) or a foreign model behind the same table.
 * State directory (0700): identity.key, membership.key (pinned coordinator, endpoint,
 * pre-shared key), settings.json (data and model as given to `join`), transfer.bin,
 * state.safetensors (parameters, optimiser, core snapshot, knowledge that is offered),
 * status.json (for people), model.safetensors (at the end), lock.
 * Crash safety: after kill -9 it goes on from the last snapshot (after training, after
 * distilling); what was uploaded is not computed or sent again beyond one chunk.
 * Threads: one caller; learning runs on an internal thread. */
#ifndef WITAN_CLIENT_SHELL_NODE_H
#define WITAN_CLIENT_SHELL_NODE_H

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "secure/join_line.h"
#include "wire/packet.h"

/* What a person gives at `join`; kept in settings.json for later starts. Empty texts:
 * not given. */
typedef struct witan_node_settings {
    char data[1024];      /* file or directory; empty: the experiment's embedded data */
    char format[16];      /* as config data.format; empty: auto */
    char label[256];      /* CSV label column */
    double test_fraction; /* own rows held out where the data has no test part; 0.2 */
    char model[256];      /* zoo text such as "mlp(200)"; empty: the experiment's */
    /* What this client insists on, whatever the experiment says: assignments of
     * swing.*, local.privacy.* and extract.temperature, one per line. Empty: as the
     * experiment. */
    char protect[2048];
    char canaries[1024]; /* a canary plan to plant in the private rows; empty: none */
} witan_node_settings;

typedef struct witan_node_options {
    const char *directory;
    const volatile sig_atomic_t *stops; /* nullable: 1 = finish the job under way, save,
                                           say goodbye; 2 = at once */
    void (*say)(void *context, const char *line); /* nullable: lines for a person */
    void *context;
    const witan_clock *clock;          /* monotonic, required */
    const witan_log *log;              /* nullable */
    uint64_t (*wall_s)(void *context); /* nullable: Unix time, for status.json and the
                                          doctor's look at clocks */
    uint32_t give_up_ms; /* 0: try for ever (enrolling: 30 s); else E_UNREACHABLE after
                            that long without a session */
} witan_node_options;

typedef struct witan_enrolment {
    uint32_t client;
    char name[WITAN_NAME_MAX + 1];
    bool approved;
    char fingerprint[WITAN_FINGERPRINT_MAX];
} witan_enrolment;

/* Makes (or reuses) the keys in the directory, enrols with the join line, stores the
 * membership and settings. Repeating it with the same line is harmless. Errors: E_STATE
 * (the directory is a member of another federation), E_REFUSED (token used, expired,
 * unknown: what to do), E_UNREACHABLE, E_FORGED (not the coordinator of the line). */
WITAN_NODISCARD witan_status witan_node_enrol(const witan_node_options *options,
                                              const witan_join_line *line,
                                              const witan_node_settings *settings,
                                              witan_enrolment *out,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);

/* Works until the experiment is finished (OK), it was told to stop (E_INTERRUPTED), or
 * the coordinator revoked it (E_REFUSED). Network failures never end it unless
 * give_up_ms says so. Errors: E_STATE (not enrolled: use join), E_DATA (private data do
 * not fit), E_REFUSED (file modes). */
WITAN_NODISCARD witan_status witan_node_run(const witan_node_options *options,
                                            const witan_allocator *allocator,
                                            witan_diag *diag);

/* One line of `witan doctor`. */
typedef struct witan_finding {
    enum {
        WITAN_FINDING_GOOD,
        WITAN_FINDING_WARNING,
        WITAN_FINDING_BAD
    } level;
    char what[32];  /* "reachability", "keys", "clock", "data", "disk", "files" */
    char text[512]; /* what was found, and what to do */
} witan_finding;
enum {
    WITAN_FINDINGS_MAX = 16
};
/* Looks at a client's directory, its coordinator, its data: never changes anything and
 * never takes part in a round. Fills out[*count]; errors are findings. */
void witan_node_examine(const witan_node_options *options,
                        witan_finding out[WITAN_FINDINGS_MAX], size_t *count,
                        const witan_allocator *allocator);

/* From now on the client of `directory` plants this plan (an existing file) in its
 * private rows. Before it took part for the first time: a state of other rows is
 * refused. Errors: E_CONFIG, E_IO, E_STATE (not enrolled), E_MEMORY. */
WITAN_NODISCARD witan_status witan_node_plant(const char *directory, const char *plan,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);

#endif
