/* witan.h - take part in a witan federation with a model of your own, from C or C++.
 *
 * Your program keeps its data and its model; the library connects, seals, waits,
 * survives and asks your functions to train, to give opinions on the transfer set, and
 * to learn from what the others know:
 *
 *     witan_participant_join(line, "state", NULL, message, sizeof message);
 *     witan_participant_run("state", &model, &options, message, sizeof message);
 *
 * examples/participant.c is a complete program. Build: cc x.c $(pkg-config --cflags
 * --libs witan).
 * Threads: call from one thread; your functions run one at a time on a thread of the
 * library. Stable within a major version; the only installed header. */
#ifndef WITAN_WITAN_H
#define WITAN_WITAN_H

#include <stddef.h>
#include <stdint.h>

#define WITAN_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return; the numbers are stable. */
enum {
    WITAN_DONE = 0, /* the experiment is finished; enrolled */
    WITAN_FAILED_MEMORY = 1,
    WITAN_FAILED_ARGUMENT = 2, /* a null pointer, an empty name */
    WITAN_FAILED_USAGE = 3,    /* no join line, wrong settings */
    WITAN_FAILED_DATA = 4,
    WITAN_FAILED_IO = 5,
    WITAN_FAILED_NUMERIC = 6,
    WITAN_FAILED_STATE = 8,    /* not enrolled; a function of yours failed */
    WITAN_STOPPED = 9,         /* you asked for it; run again to go on */
    WITAN_FAILED_REFUSED = 11, /* revoked; the invitation was used or has expired */
    WITAN_FAILED_FORGED = 12,  /* not the coordinator of the join line */
    WITAN_FAILED_UNREACHABLE = 13
};

/* The task, once it is known. Pointers live as long as the run. */
typedef struct witan_participant_task {
    uint32_t client; /* your seat, 0-based */
    size_t rounds;
    size_t rows;                    /* of the transfer set */
    size_t height, width, channels; /* of a row; a table row is 1 x 1 x columns */
    size_t features;                /* height * width * channels */
    size_t classes;
    uint64_t seed; /* of the experiment: for draws of your own */
    /* What the transfer rows were scaled with: x = raw * scale[i] + shift[i], i the
     * channel; scale your own rows alike. NULL: bytes / 255, or raw numbers. */
    const float *scale, *shift;
} witan_participant_task;

/* Your model. Functions return 0, or a number of yours, which ends the run with
 * WITAN_FAILED_STATE. Rows are [count, features], height by width by channels. */
typedef struct witan_participant_model {
    const char *name; /* for people: 1 to 63 printable ASCII characters */
    uint64_t samples; /* private training rows behind it */
    void *context;    /* handed to every function */
    /* Once, before anything else; may be NULL. */
    int (*begin)(void *context, const witan_participant_task *task);
    /* Learns from your own data; rounds count from 0. A round that a crash interrupted
     * comes again, after `load`. */
    int (*train)(void *context, uint32_t round);
    /* probabilities [count, classes] of the classes: finite, >= 0, rows that sum to 1
     * within 1e-3. Called with parts of the transfer set, in order. */
    int (*predict)(void *context, const float *x, size_t count, float *probabilities);
    /* Learns from the others: all transfer rows and what to expect of them. */
    int (*distill)(void *context, uint32_t round, const float *x, const float *targets,
                   size_t count);
    /* Accuracy (0 to 1) and mean loss (nats) on your own test rows, for the
     * coordinator's table; NULL: nothing is told. */
    int (*evaluate)(void *context, double *accuracy, double *loss);
    /* The state of the model as bytes, borrowed until the next call of any function,
     * and back. Both or neither; without them a killed program trains from where its
     * `begin` puts it. */
    int (*save)(void *context, const void **bytes, size_t *size);
    int (*load)(void *context, const void *bytes, size_t size);
} witan_participant_model;

typedef struct witan_participant_options {
    void (*say)(void *context, const char *line); /* lines for a person; may be NULL */
    void *context;
    /* Stops when it is not 0: 1 after the work under way, 2 at once; may be NULL. Set
     * it from a signal handler. */
    const volatile int *stop;
    uint32_t give_up_ms; /* without a session for so long: give up; 0: never */
} witan_participant_options;

/* Enrols with a join line: makes keys in `directory` (created with mode 0700), once.
 * options may be NULL. `message` [size] receives one line for a person. */
WITAN_API int witan_participant_join(const char *line, const char *directory,
                                     const witan_participant_options *options,
                                     char *message, size_t size);

/* Takes part until the experiment is finished. Network failures do not end it. */
WITAN_API int witan_participant_run(const char *directory,
                                    const witan_participant_model *model,
                                    const witan_participant_options *options,
                                    char *message, size_t size);

/* "0.3.0" */
WITAN_API const char *witan_version(void);

#ifdef __cplusplus
}
#endif

#endif
