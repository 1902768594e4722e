/* swing.h - swing distillation's release of soft labels: privacy-adaptive temperature,
 * clipping, noise, repair.
 * Why here: a reconstruction from the two ideas of an abstract, a temperature that
 * follows how private a row is, and noise on the soft targets (Li et al. 2022, arXiv
 * 2212.08349); the paper's equations are not known to us, so nothing here is "its".
 * Source of the pieces: Wang and Carreira-Perpinan 2013, arXiv 1309.1541, and Michelot
 * 1986 (projection); decision 0014.
 * Temperature alone hides nothing from whoever receives the label: softmax is inverted
 * up to a constant. Only noise with an enforced clip carries an epsilon
 * (privacy/claim.h). Draw noise once per (client, row, round) and keep the noisy row
 * for repeated queries: that is the caller's part; fresh noise on repeats averages away
 * and is accounted again. Scores and temperatures never leave the client. Threads: one
 * caller per source. */
#ifndef WITAN_PRIVACY_SWING_H
#define WITAN_PRIVACY_SWING_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/random.h"

/* Random bytes for noise. A deployed client hands in the system's source, the simulator
 * a seeded stream: a seed that anybody knows can be subtracted. */
typedef struct witan_noise_source {
    void (*fill)(void *context, void *bytes, size_t size);
    void *context;
} witan_noise_source;

/* The system's cryptographic source. */
witan_noise_source witan_noise_source_system(void);
/* Borrows the stream until the source is dropped. For simulations alone. */
witan_noise_source witan_noise_source_seeded(witan_random *random);

/* s [N] in [0, 1]: the larger of M scores [M, N], each in [0, 1]; M >= 1.
 * Errors: E_INVALID, E_NUMERIC (outside [0, 1]). */
WITAN_NODISCARD witan_status witan_swing_combine(double *s, const double *scores,
                                                 size_t M, size_t N);

/* Scores. reference gap: sigmoid((ln p_client - ln p_reference - middle) / width),
 * width > 0, both from quantiles of the gap on public rows. Errors: E_INVALID,
 * E_NUMERIC. */
WITAN_NODISCARD witan_status witan_swing_score_gap(double *s,
                                                   const double *log_p_client,
                                                   const double *log_p_reference,
                                                   size_t N, double middle,
                                                   double width);
/* Neighbours: exp(-count / scale): few private records near a row make it private. */
WITAN_NODISCARD witan_status witan_swing_score_density(double *s, const uint32_t *count,
                                                       size_t N, double scale);
/* Rarity: 1 - min(1, count / common). */
WITAN_NODISCARD witan_status witan_swing_score_rarity(double *s, const uint32_t *count,
                                                      size_t N, uint32_t common);
/* Shards: 1 - share of the most voted class; votes [N, C], each row with a vote. */
WITAN_NODISCARD witan_status witan_swing_score_shards(double *s, const uint32_t *votes,
                                                      size_t N, size_t C);

typedef enum witan_swing_noise {
    WITAN_SWING_NOISE_NONE,
    WITAN_SWING_NOISE_GAUSSIAN,
    WITAN_SWING_NOISE_LAPLACE,
} witan_swing_noise;

/* How a noisy row becomes a soft label again; post-processing, free of privacy. None
 * looks at the row before noise: "restoring its order" would void any epsilon. */
typedef enum witan_swing_repair {
    WITAN_SWING_PROJECT, /* nearest point of the simplex */
    WITAN_SWING_CLAMP, /* negative entries to 0, then divided by the sum; a row without
                          mass becomes uniform */
    WITAN_SWING_FLOOR, /* entries below 1e-6 to 1e-6, then divided by the sum */
} witan_swing_repair;

#define WITAN_SWING_FLOOR_VALUE 1e-6
/* Noisy entries are rounded to multiples of this before the repair, so that the low
 * bits of floating-point noise tell nothing (Mironov 2012). */
#define WITAN_SWING_GRID 0x1p-30

/* Defaults: witan_swing_defaults. */
typedef struct witan_swing_options {
    double temperature_low;  /* > 0: of a row with score 0 */
    double temperature_high; /* >= low: of a row with score 1 */
    double gamma;            /* > 0: T = low (high / low)^(score^gamma) */
    double clip;             /* > 0: centred logits to [-clip, clip]; infinity: none */
    witan_swing_noise noise;
    double sigma; /* >= 0: sd, or Laplace's b, per entry; the same for every row */
    witan_swing_repair repair;
} witan_swing_options;

/* T 1 .. 8, gamma 1, no clip, no noise, projection. */
witan_swing_options witan_swing_defaults(void);
/* Ranges above; a sentence names the field. Errors: E_CONFIG. */
WITAN_NODISCARD witan_status witan_swing_check(const witan_swing_options *options,
                                               witan_diag *diag);

/* T of one row; score in [0, 1], options checked. low and high are met exactly. */
double witan_swing_temperature(const witan_swing_options *options, double score);

/* Soft labels of a batch.
 *   q       out [N, C] rows on the simplex to 1e-6; may be z itself
 *   z       in  [N, C] logits, finite
 *   score   in  [N] in [0, 1], or NULL: all 0
 *   source  noise; not used without noise, may then be NULL
 * Without noise the order of a row's classes is that of its clipped logits.
 * Errors: E_CONFIG (options), E_INVALID (C < 2, noise without a source), E_NUMERIC
 * (logit or score; q is then undefined), E_MEMORY. Cost O(N C); one row of scratch. */
WITAN_NODISCARD witan_status witan_swing_release(float *q, const float *z,
                                                 const double *score, size_t N,
                                                 size_t C,
                                                 const witan_swing_options *options,
                                                 const witan_noise_source *source,
                                                 const witan_allocator *allocator);

/* Euclidean projection of v [C] onto the simplex, in place; C >= 1, finite entries.
 * Michelot's passes instead of a sort: the same point, O(C) a pass. */
void witan_simplex_project(double *v, size_t C);

/* q = (1 - share) q + share / C in place, share in [0, 1]: keeps the order, bounds
 * every entry from below. Errors: E_INVALID. */
WITAN_NODISCARD witan_status witan_swing_mix(float *q, size_t N, size_t C,
                                             double share);

/* A hard label drawn from each row of q [N, C]: the sampled-label mechanism.
 * Errors: E_NUMERIC (a row without mass or not finite). */
WITAN_NODISCARD witan_status witan_swing_draw(uint32_t *labels, const float *q,
                                              size_t N, size_t C,
                                              const witan_noise_source *source);
/* K-ary randomised response, in place: with probability `response` a label becomes a
 * uniform one. Errors: E_INVALID (response outside (0, 1], label >= C). */
WITAN_NODISCARD witan_status witan_swing_respond(uint32_t *labels, size_t N, size_t C,
                                                 double response,
                                                 const witan_noise_source *source);

/* GNMax (Papernot et al. 2018, arXiv 1802.08908): the class with the most votes [N, C]
 * after Gaussian noise of sd `sigma` votes on each count, ties to the lower class.
 * Errors: E_INVALID (C < 2, sigma not above 0). */
WITAN_NODISCARD witan_status witan_swing_vote(uint32_t *labels, const uint32_t *votes,
                                              size_t N, size_t C, double sigma,
                                              const witan_noise_source *source);

#endif
