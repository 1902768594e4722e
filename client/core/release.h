/* release.h - how a client protects what it says: privacy scores of transfer rows,
 * swing temperature, noise, hard labels.
 * Why here: simulator, daemon and participants must protect alike; privacy/ has the
 * mathematics, this file applies it to models and rows.
 * A reconstruction of the two ideas of an abstract (Li et al. 2022, arXiv 2212.08349),
 * see privacy/swing.h. Scores and temperatures never leave the client.
 * A `row` below is one soft label: a transfer row, or one position of a window. */
#ifndef WITAN_CLIENT_CORE_RELEASE_H
#define WITAN_CLIENT_CORE_RELEASE_H

#include "knowledge/soft_labels.h"
#include "nn/network.h"
#include "privacy/swing.h"

/* Rows of one data set by index. */
typedef struct witan_part {
    const witan_rows *rows;  /* borrowed */
    const uint32_t *indices; /* [count] borrowed */
    size_t count;
} witan_part;

typedef enum witan_release_label {
    WITAN_RELEASE_SOFT,     /* the tempered, noisy soft label */
    WITAN_RELEASE_SAMPLED,  /* one class drawn from it, as a one-hot row */
    WITAN_RELEASE_RESPONSE, /* its largest class through K-ary randomised response;
                               without noise that of the logits, clipped or not */
    WITAN_RELEASE_VOTES,    /* GNMax: the shards' votes, Gaussian noise of sd
                               swing.sigma votes, the largest */
} witan_release_label;

typedef enum witan_gap_reference {
    WITAN_GAP_PUBLIC, /* text: models of the same kind that learned the transfer text
                         alone; two, each on half of the windows and asked about the
                         other half, so that no window is judged by who learned it */
    WITAN_GAP_HEARD,  /* what the client last learned from; before that every row
                         counts as private */
} witan_gap_reference;

typedef struct witan_release_config {
    bool on;                   /* anything below differs from plain tempering */
    witan_swing_options swing; /* temperature_low is extract.temperature */
    witan_release_label label;
    double response; /* RESPONSE: probability of a uniform class */
    /* Scores; the largest counts. */
    bool gap;
    witan_gap_reference gap_reference;
    double gap_quantile; /* the gap at this quantile of the transfer rows scores 1/2,
                            the median nearly 0 */
    bool rules;          /* text: numbers, and words with a digit in them */
    size_t rules_reach;  /* positions after such a run that still count */
    double density;      /* features: neighbours at which a row scores 1/e; 0: off */
    double radius;       /* of a neighbourhood, in standardised features */
    size_t shards;       /* models on disjoint shards of the private rows; 0: off */
    size_t shard_epochs; /* of shard and reference models */
    /* Text: how to read it; borrowed [vocabulary] escaped names. */
    const char *const *token_names;
} witan_release_config;

/* What a client's scores are made from: reference parameters, votes, static scores. A
 * function of plan, private rows and seed alone: made again after a restart. */
typedef struct witan_release witan_release;

/* Floor under what was heard, before logarithms: half of the least probability that
 * u16 can tell from 0. */
#define WITAN_HEARD_FLOOR (0.5F / 65535.0F)

struct witan_learning_plan;
struct witan_client_state;
struct witan_kit;

/* Whether this config needs one at all. */
bool witan_release_has_scores(const witan_release_config *config);

/* Trains references and shards, judges rules and densities; the client's own blocks are
 * not touched. Takes as long as shard epochs over the private and the transfer rows.
 * Streams are keyed by (seed, client, WITAN_ROUND_RELEASE, purpose); those of the
 * public reference by WITAN_CLIENT_NONE. Shards start where the client did.
 * Errors: E_CONFIG (a score that does not fit the data: rules or a public reference
 * without text, densities of text, fewer rows than shards or halves), E_NUMERIC,
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_release_new(witan_release **out,
                                               const struct witan_learning_plan *plan,
                                               const struct witan_client_state *client,
                                               struct witan_kit *kit,
                                               const witan_allocator *allocator);
void witan_release_free(witan_release **self);

/* Round number of streams that belong to no round. */
#define WITAN_ROUND_RELEASE UINT32_MAX

/* s [M * positions] in [0, 1] of this extraction, the largest of the scores. The gap of
 * a row is ln p_client(v) - ln p_reference(v), v the client's first choice; it scores
 * sigmoid((gap - middle) / width), middle at gap_quantile of all gaps, width a quarter
 * of its distance from their median, 1e-6 at least. Against HEARD the client speaks at
 * extract_temperature, as those did that it heard.
 * Errors: E_DATA (heard of another shape), E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_release_scores(
    witan_release *self, const struct witan_learning_plan *plan,
    const struct witan_client_state *client, struct witan_kit *kit, double *scores);

/* Logits z [count, C] of rows first .. first + count become what is said, in place.
 *   score   [count], or NULL: all 0
 *   self    may be NULL but for VOTES
 *   source  rows draw from it in order and each anew, so that calls for parts say the
 *           same as one for all
 * Errors: E_INVALID (VOTES without shards), E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_release_rows(const witan_release *self,
                                                const witan_release_config *config,
                                                float *z, const double *score,
                                                size_t first, size_t count, size_t C,
                                                const witan_noise_source *source,
                                                const witan_allocator *allocator);

#endif
