/* random.h - counter-based random streams keyed by (seed, client, round, purpose).
 * Why here: a draw depends on its key alone, never on threads or arrival order, so
 * a run is a function of its config and seed.
 * Source: Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as
 * 1, 2, 3", table 2 constants; checked against its published known answers.
 * Not for secrets: witan_random_secure is the cryptographic source.
 * Threads: a stream belongs to one thread. Memory: caller storage, no allocation. */
#ifndef WITAN_BASE_RANDOM_H
#define WITAN_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a stream is for; numbers are part of the reproducibility contract: append only.
 */
typedef enum witan_purpose {
    WITAN_PURPOSE_TEST = 0,
    WITAN_PURPOSE_PARTITION = 1,
    WITAN_PURPOSE_TRANSFER = 2,
    WITAN_PURPOSE_INITIALISE = 3,
    WITAN_PURPOSE_TRAIN = 4,         /* order of rows in local training */
    WITAN_PURPOSE_DISTILL = 5,       /* order of rows in distillation */
    WITAN_PURPOSE_DROPOUT_TRAIN = 6, /* dropout masks */
    WITAN_PURPOSE_DROPOUT_DISTILL = 7,
    WITAN_PURPOSE_PARTICIPATION = 8,
    WITAN_PURPOSE_FAULT = 9,    /* simulated dropout and stragglers */
    WITAN_PURPOSE_SPLIT = 10,   /* train/test splits of one file */
    WITAN_PURPOSE_NOISE = 11,   /* on soft labels, in a simulation */
    WITAN_PURPOSE_CANARY = 12,  /* drawing and planting canaries */
    WITAN_PURPOSE_PRIVATE = 13, /* samples and noise of DP-SGD, in a simulation */
    WITAN_PURPOSE_AUDIT = 14,   /* shadow splits, bootstrap, references */
} witan_purpose;

/* Client number of draws that belong to no client. */
#define WITAN_CLIENT_NONE UINT32_MAX

typedef struct witan_random {
    uint32_t key[2];
    uint32_t counter[4]; /* block, purpose, client, round */
    uint32_t block[4];
    uint32_t used; /* words of block already given out */
    double spare_normal;
    bool has_spare_normal;
} witan_random;

/* Starts the stream of one key at its beginning. 2^34 words per stream. */
void witan_random_init(witan_random *self, uint64_t seed, uint32_t client,
                       uint32_t round, witan_purpose purpose);

/* Uniform 32 bits. */
uint32_t witan_random_u32(witan_random *self);

/* Uniform in [0, 1), 53 bits. */
double witan_random_uniform(witan_random *self);

/* Uniform integer in [0, bound), unbiased; bound >= 1. */
uint32_t witan_random_below(witan_random *self, uint32_t bound);

/* Standard normal (Box and Muller 1958), finite. */
double witan_random_normal(witan_random *self);

/* Gamma(shape, 1), shape > 0 (Marsaglia and Tsang 2000; boosted below shape 1).
 * May underflow to 0 for tiny shapes: use witan_random_dirichlet for mixes. */
double witan_random_gamma(witan_random *self, double shape);

/* p [count] ~ Dirichlet(alpha_0 .. alpha_{count-1}), rows sum to 1; works in log space,
 * so that alpha down to 1e-6 gives a valid (one-hot) draw. alpha entries > 0. */
void witan_random_dirichlet(witan_random *self, double *p, const double *alpha,
                            size_t count);

/* Fisher-Yates shuffle in place; count <= 2^32 - 1. */
void witan_random_shuffle(witan_random *self, uint32_t *items, size_t count);

/* One Philox4x32-10 block: out = f(counter, key). Exposed for its known-answer test. */
void witan_philox4x32(uint32_t out[4], const uint32_t counter[4],
                      const uint32_t key[2]);

/* Fills `bytes` from the operating system's cryptographic source (libsodium). */
void witan_random_secure(void *bytes, size_t size);

#endif
