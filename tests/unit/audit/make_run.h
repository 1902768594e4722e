/* make_run.h - a small federation in a directory, as a simulation leaves it: config,
 * plan, records, metrics; and as the clients' daemons leave it. Made from the rooms
 * that the simulator is made of, so that the audit is tested without it. */
#ifndef WITAN_TEST_MAKE_RUN_H
#define WITAN_TEST_MAKE_RUN_H

#include "privacy/canary.h"

typedef struct run_spec {
    const char *name; /* of the directory */
    bool text;        /* else the digits inside the program */
    const char *const *set;
    size_t sets;      /* more assignments to the config */
    const char *lie;  /* an assignment that config.json alone gets, or NULL */
    const char *form; /* text: the template; NULL: "my id is {d3}" */
    bool deployed;    /* also RUN/deployed-N, as a client's daemon leaves it */
    bool oracle;      /* text: what is said of probe windows is the truth */
    size_t rounds;    /* all are recorded */
    const uint32_t *repetitions; /* [levels]; NULL: no canaries */
    size_t levels, per_level;
    double inclusion;
    witan_canary_kind kind;
    witan_canary_transfer transfer;
    size_t holders; /* clients 0 to holders - 1 */
    uint64_t seed;  /* of the plan */
} run_spec;

enum {
    RUN_CLIENTS = 3
};

/* Path of the run, in static storage of its own; it must not stand there yet. */
const char *make_run(const run_spec *spec);

#endif
