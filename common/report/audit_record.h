/* audit_record.h - what an audit tells: the facts behind its table, page and JSON.
 * Why here: common/audit fills these structs, report draws them, as with record.h.
 * Exposures in bits; probabilities, accuracies and rates as shares in [0, 1]; epsilons
 * in nats. NaN is "not known" and is drawn as a dash. Pointers are borrowed. */
#ifndef WITAN_REPORT_AUDIT_RECORD_H
#define WITAN_REPORT_AUDIT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where exposure is measured. */
typedef enum witan_audit_place {
    WITAN_AUDIT_TEACHERS, /* models that hold the canary, after local training */
    WITAN_AUDIT_WIRE,     /* soft labels that holders said */
    WITAN_AUDIT_FUSED,    /* what students were told to learn from */
    WITAN_AUDIT_STUDENTS, /* models of clients that do not hold the canary */
    WITAN_AUDIT_PLACES
} witan_audit_place;

/* All canaries of one number of repetitions at one place in one round. */
typedef struct witan_audit_exposure {
    size_t round; /* 0-based */
    witan_audit_place place;
    uint32_t repetitions;   /* 0: controls */
    size_t count;           /* values: canaries times models */
    double mean, low, high; /* 95 % bootstrap interval of the mean over canaries */
    double median, largest;
    double p_value; /* exact, "nothing was memorised"; NaN where values of one canary in
                       several models are not independent */
} witan_audit_exposure;

/* One model's likeliest fill. */
typedef struct witan_audit_extraction {
    size_t client;
    bool holder;          /* of some canary */
    bool found;           /* within the nodes allowed */
    const char *text;     /* what came out; "" when nothing did */
    bool planted;         /* it is an inserted canary ... */
    uint32_t repetitions; /* ... of so many repetitions */
    uint64_t nodes;
    double space; /* fills that guessing would have to try */
} witan_audit_extraction;

typedef struct witan_audit_membership {
    size_t client;
    const char *attack; /* "rmia", "lira-online", "lira-offline", "loss" */
    const char *place;  /* "model", "model before distilling" */
    size_t members, others;
    size_t references; /* models that were compared with */
    double auc, balanced_accuracy, tpr_1, tpr_01, tpr_0; /* at FPR 1 %, 0.1 %, 0 */
    size_t points;                                       /* of the curve, thinned */
    const double *fpr, *tpr;                             /* [points] ascending */
} witan_audit_membership;

typedef struct witan_audit_labels {
    size_t client;
    double told; /* share of the label distribution that soft labels give away */
    double divergence, uniform; /* nats */
    double gap_mean, gap_q99;   /* client surer than what it hears */
} witan_audit_labels;

/* Not witan_audit_bound, which is an attack's count in privacy/lower_bound.h. */
typedef struct witan_audit_evidence {
    const char *method;   /* "one run", "two samples" */
    const char *place;    /* "teachers", "students", ... */
    const char *sentence; /* with unit, counts, delta, confidence, how thresholds were
                             paid for */
    double epsilon;       /* lower bound, nats; 0 when nothing was shown */
} witan_audit_evidence;

typedef struct witan_audit_claim {
    const char *sentence; /* of witan_privacy_claim_text, or why there is none */
    double epsilon;       /* upper bound; NaN when nothing is promised */
    bool contradicted;    /* a lower bound of the same unit lies above it */
} witan_audit_claim;

/* One run in a comparison. */
typedef struct witan_audit_run {
    const char *directory;
    const char *mode; /* "plain", "constant temperature 8", "swing + noise 0.01" */
    uint64_t seed;
    const char *transfer;    /* "P0", "P1", "P2" */
    double exposure;         /* students, most repetitions, last round: mean */
    double exposure_control; /* the same of controls */
    double reduction;        /* over the plain runs of the same transfer set and seed */
    double utility; /* accuracy, or perplexity of text; students, global test */
    double cost;    /* relative loss of utility against plain, > 0 is worse */
} witan_audit_run;

/* A group of runs that differ in their seeds alone. */
typedef struct witan_audit_mode {
    const char *mode, *transfer;
    size_t seeds;
    double exposure, exposure_low, exposure_high; /* 95 % over seeds */
    double reduction, reduction_low, reduction_high;
    double utility, cost, cost_low, cost_high;
} witan_audit_mode;

typedef struct witan_audit_record {
    const char *name, *directory, *version, *digest; /* of the run */
    const char *plan_digest;                         /* hex, "" without canaries */
    const char *canaries; /* one sentence: template, space, how many, who, where */
    const char *how;      /* one sentence: how exposure was estimated, ties */
    const char *transfer; /* "P0: ...", "P1: ...", "P2: ..." one sentence */
    const char *mode;     /* as in witan_audit_run */
    bool text;            /* utility is perplexity */
    size_t clients, rounds;
    double utility, utility_holders; /* students; holders */
    double space_bits;               /* log2 of the space: the largest exposure */
    size_t levels;                   /* numbers of repetitions */
    const uint32_t *repetitions;     /* [levels] ascending */
    size_t exposures;
    const witan_audit_exposure *exposure; /* by round, place, repetitions */
    double fit_p_value; /* of the skew normal; NaN when nothing was extrapolated */
    size_t extractions;
    const witan_audit_extraction *extraction;
    size_t memberships;
    const witan_audit_membership *membership;
    size_t labels_count;
    const witan_audit_labels *labels;
    size_t bounds;
    const witan_audit_evidence *bound;
    size_t claims;
    const witan_audit_claim *claim;
    size_t limits; /* what the evidence does not show, one sentence each */
    const char *const *limit;
    /* Comparison of several runs; 0 without one. */
    size_t runs;
    const witan_audit_run *run;
    size_t modes;
    const witan_audit_mode *modes_of;
    /* Thresholds that were asked for. */
    size_t gates;
    const char *const *gate; /* "exposure > 3: crossed (17.2)" */
    bool crossed;
} witan_audit_record;

#endif
