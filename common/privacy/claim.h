/* claim.h - an epsilon together with everything that gives it a meaning.
 * Why here: a number without unit, relation, clip, sigma, count, delta and accountant
 * is no promise; this is the only way for a report to get one. Source: decision 0014;
 * the rules of Dwork and Roth 2014, sec. 2.3 and 3.5.1. Threads: any. No allocation. */
#ifndef WITAN_PRIVACY_CLAIM_H
#define WITAN_PRIVACY_CLAIM_H

#include <stdint.h>

#include "privacy/accountant.h"

/* Zero means "not stated" in each of these, and is refused. */
typedef enum witan_privacy_unit {
    WITAN_UNIT_UNSTATED,
    WITAN_UNIT_CLIENT, /* everything a client holds */
    WITAN_UNIT_RECORD, /* one record of a client */
} witan_privacy_unit;

typedef enum witan_privacy_relation {
    WITAN_RELATION_UNSTATED,
    WITAN_RELATION_REPLACE,
    WITAN_RELATION_ADD_REMOVE,
} witan_privacy_relation;

typedef enum witan_noise_place {
    WITAN_NOISE_UNSTATED,
    WITAN_NOISE_CLIENT,      /* added before anything leaves: nobody is trusted */
    WITAN_NOISE_COORDINATOR, /* added after aggregation: the coordinator is trusted */
} witan_noise_place;

typedef enum witan_accounting {
    WITAN_ACCOUNTING_UNSTATED,
    WITAN_ACCOUNTING_RDP,      /* any mechanism; default orders */
    WITAN_ACCOUNTING_GAUSSIAN, /* Gaussian release alone; exact */
    WITAN_ACCOUNTING_ZCDP,     /* Gaussian release alone; loose */
} witan_accounting;

/* What is claimed to have been done. Fields that a mechanism does not name stay 0.
 *   GAUSSIAN, LAPLACE  clipped, tempered soft labels plus noise: classes, clip (of the
 *                      centred logits), temperature (the smallest), sigma, averaged
 *   SAMPLED            a label drawn from them: classes, clip, temperature
 *   RESPONSE           classes, response
 *   GNMAX              sigma in votes
 *   SUBSAMPLED         DP-SGD: clip (L2 norm of an example's gradient), sigma (on the
 * sum of a step's gradients), sampling_rate; queries = steps */
typedef struct witan_privacy_plan {
    witan_mechanism_kind mechanism;
    witan_privacy_unit unit;
    witan_privacy_relation relation;
    witan_noise_place place;
    witan_accounting accounting;
    size_t classes;
    double clip;
    double temperature;
    double sigma; /* sd per coordinate, or Laplace's b; the smallest that was used */
    double sampling_rate;
    double response;
    uint32_t averaged; /* soft labels averaged before the noise, by clients or shards; 1
                          for a client's own */
    uint64_t queries;  /* fresh answers per round; memoised repeats are free */
    uint64_t rounds;
    double delta;
} witan_privacy_plan;

typedef struct witan_privacy_claim {
    witan_privacy_plan plan;
    double sensitivity; /* L2, Laplace: L1; 0 where the mechanism has none */
    double epsilon;     /* nats, upper bound */
    double order;       /* the Renyi order that gave it; 0 without RDP */
} witan_privacy_claim;

/* Accounts for queries * rounds answers. The claim is all zeros on failure.
 * Errors: E_CONFIG with a sentence naming what is missing, out of range, or promised by
 * no mechanism of this kind (a heuristic; records protected by noise on an ordinary
 * model's labels). diag may be NULL. */
WITAN_NODISCARD witan_status witan_privacy_claim_make(witan_privacy_claim *claim,
                                                      const witan_privacy_plan *plan,
                                                      witan_diag *diag);

/* The claim in one sentence with every part of it, into text [size], cut when it does
 * not fit; 512 bytes are enough. */
void witan_privacy_claim_text(const witan_privacy_claim *claim, char *text,
                              size_t size);

/* E_STATE with a sentence when an audit's lower bound (nats, of the same unit, relation
 * and delta) lies above the claim: then the claim or the code is wrong.
 * E_INVALID for a bound that is not a number >= 0. */
WITAN_NODISCARD witan_status witan_privacy_claim_check(const witan_privacy_claim *claim,
                                                       double lower_bound,
                                                       witan_diag *diag);

#endif
