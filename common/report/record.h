/* record.h - what one run tells: the facts that tables, pictures and pages are made of.
 * Why here: sim fills these structs, report draws them, store writes them; no other
 * coupling. Plain data; pointers are borrowed unless said otherwise.
 * Accuracies are shares in [0, 1]. A number that is not known is NaN: it is drawn as a
 * dash, never as a number. */
#ifndef WITAN_REPORT_RECORD_H
#define WITAN_REPORT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What travelled between clients; decides the sentences, never the numbers. */
typedef enum witan_run_exchange {
    WITAN_RUN_SOFT_LABELS, /* the zero value: distillation */
    WITAN_RUN_PARAMETERS,  /* fedavg */
    WITAN_RUN_NOTHING,     /* local */
    WITAN_RUN_POOLED,      /* centralised: one learner on everybody's rows */
} witan_run_exchange;

/* One evaluation of one client. */
typedef struct witan_metric {
    double accuracy, loss, ece; /* loss in nats; all NaN when not evaluated */
} witan_metric;

typedef struct witan_client_record {
    bool asked;                               /* taking part this round */
    bool answered;                            /* its knowledge entered fusion */
    bool late;                                /* arrived after the deadline */
    double train_loss, distill_loss;          /* NaN when that phase did not run */
    witan_metric own_before, own_after;       /* own test part, around distillation */
    witan_metric global_before, global_after; /* global test set */
    uint64_t bytes_up, bytes_down;
} witan_client_record;

/* Seconds of work by phase, summed over workers and divided by their number. */
typedef struct witan_phase_seconds {
    double train, extract, fuse, distill, evaluate;
} witan_phase_seconds;

/* Over clients, each counted once whatever its size; clients without a number are left
 * out, and all four are NaN when none has one. */
typedef struct witan_statistic {
    double mean;     /* on the own mix this is the papers' ALMA */
    double sd;       /* of the clients, not of the mean; 0 for one client */
    double worst;    /* the lowest client */
    double bottom10; /* mean of the lowest tenth of clients, at least one */
} witan_statistic;

typedef struct witan_round_record {
    size_t round; /* 0-based */
    size_t asked, answered, late;
    bool evaluated;        /* own_after and global_after are valid */
    bool evaluated_before; /* own_before and global_before are valid */
    witan_statistic own_before, own_after, global_before, global_after;
    uint64_t bytes_up, bytes_down;
    double wall_seconds;
    double
        virtual_seconds; /* simulated length of the round, 0 when none was simulated */
    witan_phase_seconds seconds;
} witan_round_record;

/* Texts may be NULL or empty: what they would say is left out. */
typedef struct witan_run_record {
    const char *name;        /* experiment */
    const char *directory;   /* run directory: report.html, metrics.jsonl, summary.json,
                                models/ (see models_saved); NULL: no file was written */
    const char *digest;      /* hex */
    const char *strategy;    /* fusion key */
    const char *version;     /* program */
    const char *machine;     /* "AVX2 kernels, OpenBLAS Zen (2 threads)" */
    const char *config_json; /* resolved */
    const char *data_name;   /* "optdigits" */
    const char *data_summary; /* "3823 train, 1797 test, 8x8x1, 10 classes" */
    const char *partition;    /* "dirichlet, alpha 0.3" */
    witan_run_exchange exchange;
    bool text; /* rows are windows of tokens: losses are told as perplexities too */
    bool models_saved;
    uint64_t seed;
    size_t clients, rounds_planned, rounds_done, classes, transfer_rows, threads;
    const char *const *model_names; /* [clients] */
    const size_t *train_samples;    /* [clients] */
    const size_t *test_samples;     /* [clients] */
    const uint32_t
        *label_histogram; /* [clients, classes] private training rows, or NULL */
    const witan_round_record *rounds; /* [rounds_done] */
    const witan_client_record
        *last;                  /* [clients] of the last evaluated round, or NULL */
    const double *own_by_round; /* [rounds_done, clients] own accuracy after, NaN gaps;
                                   or NULL */
    const double *global_by_round;  /* [rounds_done, clients] or NULL */
    const double *fusion_weights;   /* [clients, clients] last round, row = recipient;
                                       NULL if none; rows of clients that were absent
                                       are all 0 */
    const double *reference_own;    /* [clients] own accuracy of the same model trained
                                       alone for as many epochs, or NULL */
    const double *reference_global; /* [clients] or NULL */
    double gained_over_local;       /* share of the clients with both numbers whose own
                                       accuracy is above the reference; NaN without */
    witan_statistic reference_own_statistic, reference_global_statistic;
    uint64_t bytes_up, bytes_down, peak_rss_bytes;
    double seconds;
    witan_phase_seconds seconds_per_round; /* mean over rounds */
} witan_run_record;

#endif
