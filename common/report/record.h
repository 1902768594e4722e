/* record.h - what one run tells: the facts that tables, pictures and pages are made of.
 * Why here: sim fills these structs, report draws them, store writes them; no other
 * coupling. Plain data; pointers are borrowed unless said otherwise. */
#ifndef WITAN_REPORT_RECORD_H
#define WITAN_REPORT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One evaluation of one client. */
typedef struct witan_metric {
    double accuracy, loss, ece; /* loss in nats; all NaN when not evaluated */
} witan_metric;

typedef struct witan_client_record {
    bool asked;        /* taking part this round */
    bool answered;     /* its knowledge entered fusion */
    bool late;         /* arrived after the deadline */
    double train_loss, distill_loss; /* NaN when that phase did not run */
    witan_metric own_before, own_after;       /* own test part, around distillation */
    witan_metric global_before, global_after; /* global test set */
    uint64_t bytes_up, bytes_down;
} witan_client_record;

/* Seconds of work by phase, summed over workers and divided by their number. */
typedef struct witan_phase_seconds {
    double train, extract, fuse, distill, evaluate;
} witan_phase_seconds;

typedef struct witan_statistic {
    double mean, sd, worst, bottom10;
} witan_statistic;

typedef struct witan_round_record {
    size_t round;       /* 0-based */
    size_t asked, answered, late;
    bool evaluated;     /* the four statistics below are valid */
    bool evaluated_before;
    witan_statistic own_before, own_after, global_before, global_after;
    uint64_t bytes_up, bytes_down;
    double wall_seconds;
    double virtual_seconds; /* simulated length of the round */
    witan_phase_seconds seconds;
} witan_round_record;

typedef struct witan_run_record {
    const char *name;        /* experiment */
    const char *directory;   /* run directory */
    const char *digest;      /* hex */
    const char *strategy;    /* fusion key */
    const char *version;     /* program */
    const char *machine;     /* "AVX2 kernels, OpenBLAS Zen (2 threads)" */
    const char *config_json; /* resolved */
    const char *data_summary; /* "optdigits, embedded: 3823 train, 1797 test, 8x8x1, 10 classes" */
    uint64_t seed;
    size_t clients, rounds_planned, rounds_done, classes, transfer_rows, threads;
    const char *const *model_names;   /* [clients] */
    const size_t *train_samples;      /* [clients] */
    const size_t *test_samples;       /* [clients] */
    const uint32_t *label_histogram;  /* [clients, classes] private training rows */
    const witan_round_record *rounds; /* [rounds_done] */
    const witan_client_record *last;  /* [clients] of the last evaluated round */
    const double *own_by_round;       /* [rounds_done, clients] own accuracy after, NaN gaps */
    const double *global_by_round;    /* [rounds_done, clients] */
    const double *fusion_weights;     /* [clients, clients] last round, NULL if none; rows
                                         of clients that were absent are all 0 */
    const double *reference_own;      /* [clients] local reference's own accuracy or NULL */
    const double *reference_global;   /* [clients] or NULL */
    double gained_over_local;         /* share of clients, NaN without reference */
    witan_statistic reference_own_statistic, reference_global_statistic;
    uint64_t bytes_up, bytes_down, peak_rss_bytes;
    double seconds;
    witan_phase_seconds seconds_per_round; /* mean over rounds */
} witan_run_record;

#endif
