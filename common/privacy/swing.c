#include "privacy/swing.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"

#define TWO_PI 6.28318530717958647693

static void
fill_system(void *context, void *bytes, size_t size)
{
    (void)context;
    witan_random_secure(bytes, size);
}

static void
fill_seeded(void *context, void *bytes, size_t size)
{
    witan_random *random = context;
    unsigned char *at = bytes;
    while (size > 0) {
        uint32_t word = witan_random_u32(random);
        size_t part = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, part);
        at += part;
        size -= part;
    }
}

witan_noise_source
witan_noise_source_system(void)
{
    return (witan_noise_source){fill_system, NULL};
}

witan_noise_source
witan_noise_source_seeded(witan_random *random)
{
    return (witan_noise_source){fill_seeded, random};
}

/* Words of a source, fetched a block at a time: a system call per word would dominate.
 */
typedef struct words {
    const witan_noise_source *source;
    size_t used;
    uint64_t block[256];
} words;

#define WORDS (sizeof((words *)0)->block / sizeof(uint64_t))

static void
words_init(words *self, const witan_noise_source *source)
{
    self->source = source;
    self->used = WORDS;
}

/* Uniform in (0, 1], 53 bits. */
static double
words_uniform(words *self)
{
    if (self->used == WORDS) {
        self->source->fill(self->source->context, self->block, sizeof self->block);
        self->used = 0;
    }
    return (double)((self->block[self->used++] >> 11) + 1) * 0x1p-53;
}

/* The rest of a block is noise that a later row would have had: it must not stay. */
static void
words_fini(words *self)
{
    volatile unsigned char *at = (volatile unsigned char *)self->block;
    for (size_t i = 0; i < sizeof self->block; i++) {
        at[i] = 0;
    }
}

static void
add_gaussian(double *v, size_t C, double sigma, words *random)
{
    for (size_t c = 0; c < C; c += 2) { /* Box and Muller 1958 */
        double radius = sigma * sqrt(-2.0 * log(words_uniform(random)));
        double angle = TWO_PI * words_uniform(random);
        v[c] += radius * cos(angle);
        if (c + 1 < C) {
            v[c + 1] += radius * sin(angle);
        }
    }
}

static void
add_laplace(double *v, size_t C, double b, words *random)
{
    for (size_t c = 0; c < C; c++) {
        double size = -b * log(words_uniform(random));
        v[c] += words_uniform(random) <= 0.5 ? size : -size;
    }
}

witan_status
witan_swing_combine(double *s, const double *scores, size_t M, size_t N)
{
    if (M == 0) {
        return WITAN_E_INVALID;
    }
    for (size_t m = 0; m < M; m++) {
        for (size_t n = 0; n < N; n++) {
            double score = scores[m * N + n];
            if (!(score >= 0.0 && score <= 1.0)) {
                return WITAN_E_NUMERIC;
            }
            s[n] = m == 0 || score > s[n] ? score : s[n];
        }
    }
    return WITAN_OK;
}

witan_status
witan_swing_score_gap(double *s, const double *log_p_client,
                      const double *log_p_reference, size_t N, double middle,
                      double width)
{
    if (!(width > 0.0) || !isfinite(width) || !isfinite(middle)) {
        return WITAN_E_INVALID;
    }
    for (size_t n = 0; n < N; n++) {
        double gap = log_p_client[n] - log_p_reference[n];
        if (!isfinite(gap)) {
            return WITAN_E_NUMERIC;
        }
        s[n] = 1.0 / (1.0 + exp(-(gap - middle) / width));
    }
    return WITAN_OK;
}

witan_status
witan_swing_score_density(double *s, const uint32_t *count, size_t N, double scale)
{
    if (!(scale > 0.0) || !isfinite(scale)) {
        return WITAN_E_INVALID;
    }
    for (size_t n = 0; n < N; n++) {
        s[n] = exp(-(double)count[n] / scale);
    }
    return WITAN_OK;
}

witan_status
witan_swing_score_rarity(double *s, const uint32_t *count, size_t N, uint32_t common)
{
    if (common == 0) {
        return WITAN_E_INVALID;
    }
    for (size_t n = 0; n < N; n++) {
        s[n] = 1.0 - fmin(1.0, (double)count[n] / (double)common);
    }
    return WITAN_OK;
}

witan_status
witan_swing_score_shards(double *s, const uint32_t *votes, size_t N, size_t C)
{
    if (C == 0) {
        return WITAN_E_INVALID;
    }
    for (size_t n = 0; n < N; n++, votes += C) {
        double sum = 0.0, top = 0.0;
        for (size_t c = 0; c < C; c++) {
            sum += (double)votes[c];
            top = fmax(top, (double)votes[c]);
        }
        if (sum == 0.0) {
            return WITAN_E_NUMERIC;
        }
        s[n] = 1.0 - top / sum;
    }
    return WITAN_OK;
}

witan_swing_options
witan_swing_defaults(void)
{
    return (witan_swing_options){.temperature_low = 1.0,
                                 .temperature_high = 8.0,
                                 .gamma = 1.0,
                                 .clip = HUGE_VAL,
                                 .noise = WITAN_SWING_NOISE_NONE,
                                 .repair = WITAN_SWING_PROJECT};
}

static bool
positive(double x)
{
    return x > 0.0 && isfinite(x);
}

witan_status
witan_swing_check(const witan_swing_options *options, witan_diag *diag)
{
    const char *wrong = NULL;
    if (!positive(options->temperature_low)) {
        wrong = "the low temperature must be above 0";
    } else if (!(options->temperature_high >= options->temperature_low) ||
               !isfinite(options->temperature_high)) {
        wrong = "the high temperature must be at least the low one";
    } else if (!positive(options->gamma)) {
        wrong = "gamma must be above 0";
    } else if (!(options->clip > 0.0)) {
        wrong = "the clip must be above 0";
    } else if (options->noise > WITAN_SWING_NOISE_LAPLACE) {
        wrong = "the noise is none, gaussian or laplace";
    } else if (!(options->sigma >= 0.0) || !isfinite(options->sigma)) {
        wrong = "sigma must be 0 or more";
    } else if (options->repair > WITAN_SWING_FLOOR) {
        wrong = "the repair is project, clamp or floor";
    }
    return wrong == NULL ? WITAN_OK
                         : witan_diag_fail(diag, WITAN_E_CONFIG, "swing: %s", wrong);
}

double
witan_swing_temperature(const witan_swing_options *options, double score)
{
    double low = options->temperature_low, high = options->temperature_high;
    if (score <= 0.0 || score >= 1.0) {
        return score <= 0.0 ? low : high;
    }
    return low * exp(log(high / low) * pow(score, options->gamma));
}

void
witan_simplex_project(double *v, size_t C)
{
    /* Subtract what makes the kept entries sum to 1, drop those at or below 0, repeat:
     * each pass only drops, so it ends (Michelot 1986). */
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        sum += v[c];
    }
    size_t kept = C;
    double shift = (sum - 1.0) / (double)C;
    for (;;) {
        double rest = 0.0;
        size_t above = 0;
        for (size_t c = 0; c < C; c++) {
            bool keep = v[c] > shift;
            rest += keep ? v[c] : 0.0;
            above += keep;
        }
        if (above == kept || above == 0) {
            break;
        }
        kept = above;
        shift = (rest - 1.0) / (double)above;
    }
    for (size_t c = 0; c < C; c++) {
        v[c] = v[c] > shift ? v[c] - shift : 0.0;
    }
}

static void
clamp(double *v, size_t C, double floor)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        v[c] = v[c] > floor ? v[c] : floor;
        sum += v[c];
    }
    for (size_t c = 0; c < C; c++) {
        v[c] = sum > 0.0 ? v[c] / sum : 1.0 / (double)C;
    }
}

/* p = softmax(clip(z - mean) / T) in double; false when a logit is not finite. */
static bool
tempered(double *p, const float *z, size_t C, double clip, double temperature)
{
    double mean = 0.0, top = -HUGE_VAL, sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        mean += (double)z[c];
    }
    mean /= (double)C;
    if (!isfinite(mean)) {
        return false;
    }
    for (size_t c = 0; c < C; c++) {
        double centred = (double)z[c] - mean;
        centred = centred > clip ? clip : centred;
        p[c] = centred < -clip ? -clip : centred;
        top = p[c] > top ? p[c] : top;
    }
    double inverse = 1.0 / temperature;
    for (size_t c = 0; c < C; c++) {
        p[c] = exp((p[c] - top) * inverse);
        sum += p[c];
    }
    for (size_t c = 0; c < C; c++) {
        p[c] /= sum;
    }
    return true;
}

/* Onto the grid. */
static void
round_entries(double *v, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        v[c] = rint(v[c] / WITAN_SWING_GRID) * WITAN_SWING_GRID;
    }
}

static void
disturb(double *v, size_t C, const witan_swing_options *options, words *random)
{
    if (options->noise == WITAN_SWING_NOISE_GAUSSIAN) {
        add_gaussian(v, C, options->sigma, random);
    } else {
        add_laplace(v, C, options->sigma, random);
    }
    round_entries(v, C);
}

witan_status
witan_swing_release(float *q, const float *z, const double *score, size_t N, size_t C,
                    const witan_swing_options *options,
                    const witan_noise_source *source, const witan_allocator *allocator)
{
    WITAN_TRY(witan_swing_check(options, NULL));
    bool noisy = options->noise != WITAN_SWING_NOISE_NONE && options->sigma > 0.0;
    if (C < 2 || C > WITAN_CLASSES_MAX || (noisy && source == NULL)) {
        return WITAN_E_INVALID;
    }
    double *row = witan_alloc(allocator, C, sizeof *row);
    if (row == NULL) {
        return WITAN_E_MEMORY;
    }
    words random;
    words_init(&random, source);
    witan_status status = WITAN_OK;
    for (size_t n = 0; n < N; n++, z += C, q += C) {
        double s = score == NULL ? 0.0 : score[n];
        if (!(s >= 0.0 && s <= 1.0) ||
            !tempered(row, z, C, options->clip, witan_swing_temperature(options, s))) {
            status = WITAN_E_NUMERIC;
            break;
        }
        if (noisy) {
            disturb(row, C, options, &random);
            if (options->repair == WITAN_SWING_PROJECT) {
                witan_simplex_project(row, C);
            } else {
                bool floored = options->repair == WITAN_SWING_FLOOR;
                clamp(row, C, floored ? WITAN_SWING_FLOOR_VALUE : 0.0);
            }
        }
        for (size_t c = 0; c < C; c++) {
            q[c] = (float)row[c];
        }
    }
    words_fini(&random);
    witan_free(allocator, row);
    return status;
}

witan_status
witan_swing_mix(float *q, size_t N, size_t C, double share)
{
    if (!(share >= 0.0 && share <= 1.0) || C == 0) {
        return WITAN_E_INVALID;
    }
    float keep = (float)(1.0 - share), add = (float)(share / (double)C);
    for (size_t i = 0; i < N * C; i++) {
        q[i] = keep * q[i] + add;
    }
    return WITAN_OK;
}

witan_status
witan_swing_draw(uint32_t *labels, const float *q, size_t N, size_t C,
                 const witan_noise_source *source)
{
    words random;
    words_init(&random, source);
    witan_status status = WITAN_OK;
    for (size_t n = 0; n < N && status == WITAN_OK; n++, q += C) {
        double sum = 0.0, reached = 0.0;
        for (size_t c = 0; c < C; c++) {
            sum += (double)q[c];
            status = q[c] >= 0.0F ? status : WITAN_E_NUMERIC;
        }
        if (!(sum > 0.0) || !isfinite(sum)) {
            status = WITAN_E_NUMERIC;
        }
        double target = words_uniform(&random) * sum;
        size_t chosen = 0;
        for (size_t c = 0; c < C && reached < target; c++) {
            reached += (double)q[c];
            chosen = q[c] > 0.0F ? c : chosen;
        }
        labels[n] = (uint32_t)chosen;
    }
    words_fini(&random);
    return status;
}

witan_status
witan_swing_respond(uint32_t *labels, size_t N, size_t C, double response,
                    const witan_noise_source *source)
{
    if (!(response > 0.0 && response <= 1.0) || C < 2 || C > WITAN_CLASSES_MAX) {
        return WITAN_E_INVALID;
    }
    words random;
    words_init(&random, source);
    witan_status status = WITAN_OK;
    for (size_t n = 0; n < N && status == WITAN_OK; n++) {
        status = labels[n] < C ? WITAN_OK : WITAN_E_INVALID;
        if (words_uniform(&random) <= response) {
            double place = ceil(words_uniform(&random) * (double)C) - 1.0;
            labels[n] = (uint32_t)place;
        }
    }
    words_fini(&random);
    return status;
}

witan_status
witan_swing_vote(uint32_t *labels, const uint32_t *votes, size_t N, size_t C,
                 double sigma, const witan_noise_source *source)
{
    if (!positive(sigma) || C < 2 || C > WITAN_CLASSES_MAX) {
        return WITAN_E_INVALID;
    }
    words random;
    words_init(&random, source);
    for (size_t n = 0; n < N; n++, votes += C) {
        double most = -HUGE_VAL;
        size_t best = 0;
        for (size_t c = 0; c < C; c += 2) { /* normals come in pairs */
            size_t pair = c + 1 < C ? 2 : 1;
            double noisy[2] = {(double)votes[c], (double)votes[c + pair - 1]};
            add_gaussian(noisy, pair, sigma, &random);
            round_entries(noisy, pair);
            for (size_t k = 0; k < pair; k++) {
                best = noisy[k] > most ? c + k : best;
                most = noisy[k] > most ? noisy[k] : most;
            }
        }
        labels[n] = (uint32_t)best;
    }
    words_fini(&random);
    return WITAN_OK;
}
