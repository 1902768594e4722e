/* search.h - asking a token model about all fills of a template: every fill's
 * log-perplexity, the likeliest ones, ranks.
 * Why here: exposure needs ranks among fills; the model is asked through a function
 * pointer, so that any model can be audited.
 * Source: Carlini et al. 2019: exact enumeration and shortest-path extraction. The
 * prefix trie (one step per prefix instead of per fill) is ours.
 * Log-perplexities are in nats here, sums over the template's tokens after the first
 * hole's prefix (literals before it cancel), in double; smaller is likelier. They are
 * -ln p over the whole vocabulary: p is not renormalised to a hole's alphabet.
 * A fill asked about in another batch may differ by rounding: ranks are to compare
 * values of one call.
 * Threads: one caller per model. */
#ifndef WITAN_PRIVACY_SEARCH_H
#define WITAN_PRIVACY_SEARCH_H

#include "base/random.h"
#include "privacy/canary.h"

/* One token at a time, as witan_sequence_step (nn/sequence.h) does it. */
typedef struct witan_token_model {
    size_t vocabulary, state_floats, batch;
    /* Feeds tokens[i] to a copy of state parent[i] of `from` (NULL: row i); to [count,
     * state] or NULL; z [count, vocabulary] logits or NULL; from NULL: position 0.
     * `to` and `from` may be different rows of one block. */
    void (*step)(void *context, float *to, float *z, const float *from,
                 const uint32_t *parent, const uint32_t *tokens, size_t count,
                 size_t position);
    void *context;
    bool attends; /* `to` must be given in every step (transformer) */
} witan_token_model;

/* Largest space that is enumerated by default. */
#define WITAN_SPACE_EXACT_MAX 1.1e6
/* Half a step of a soft label in 16 bits: what a zero may have been. */
#define WITAN_PRODUCT_FLOOR (0.5 / 65535.0)

/* surprise [space]: of every fill, the first hole's symbol varying slowest. Depth
 * first in blocks: memory grows with depth, never with the space. 10^6 fills of six
 * digits cost 111,111 steps. Errors: E_LIMIT (space above 2^31), E_INVALID (another
 * vocabulary), E_NUMERIC (a logit that makes one not finite), E_MEMORY.
 */
WITAN_NODISCARD witan_status witan_search_all(double *surprise,
                                              const witan_canary_template *form,
                                              const witan_token_model *model,
                                              const witan_allocator *allocator);
/* Place of a fill in that order, modulo 2^64. */
uint64_t witan_search_index(const witan_canary_template *form, const uint32_t *fill);

/* surprise [count] of given fills [count, holes]. Errors: E_INVALID, E_NUMERIC,
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_search_fills(double *surprise, const uint32_t *fills,
                                                size_t count,
                                                const witan_canary_template *form,
                                                const witan_token_model *model,
                                                const witan_allocator *allocator);

typedef struct witan_extraction {
    bool found;      /* a whole fill came out before `most` nodes */
    uint64_t nodes;  /* prefixes that the model was asked about */
    double surprise; /* of the fill, nats */
    uint32_t fill[WITAN_CANARY_SLOTS_MAX];
} witan_extraction;

/* The likeliest fill by Dijkstra's shortest path over prefixes, up to `model->batch`
 * nodes at a call; exact when found, any one of several that tie. most: nodes after
 * which it gives up; memory is most states and twice as many open prefixes.
 * Errors: E_INVALID, E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status witan_search_extract(witan_extraction *out,
                                                  const witan_canary_template *form,
                                                  const witan_token_model *model,
                                                  uint64_t most,
                                                  const witan_allocator *allocator);

/* Rank and ties of a value among all [n], of which it is one: rank counts values <= it,
 * itself included once (ties count against it); equal: how many others are equal. */
void witan_search_rank(double *rank, uint64_t *equal, double value, const double *all,
                       uint64_t n);

/* What soft labels alone tell about a fill: each hole's distribution on its own.
 *   p  [holes, vocabulary] probabilities of the holes' tokens; below
 *      WITAN_PRODUCT_FLOOR they count as that
 * surprise of a fill = -sum_h ln p_h(symbol), so its rank among all fills is that of
 * a product distribution; ties, up to rounding, count against it. Exact when each half
 * of the holes has at most WITAN_SPACE_EXACT_MAX fills (meet in the middle: ten digits
 * cost two sorts of 10^5), else estimated from `draws` uniform fills as space (1 +
 * those at most as surprising) / draws; random may be NULL when it is exact. Our
 * measure: one soft label knows one prefix alone. Errors: E_INVALID (no draws where
 * they are needed), E_NUMERIC (p not finite or negative), E_MEMORY. */
WITAN_NODISCARD witan_status witan_search_product_rank(
    double *rank, const uint32_t *fill, const float *p, size_t vocabulary,
    const witan_canary_template *form, size_t draws, witan_random *random,
    const witan_allocator *allocator);

#endif
