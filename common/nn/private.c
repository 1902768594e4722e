/* private.c - DP-SGD (Abadi et al. 2016, algorithm 1): clip, sum, add noise, step.
 * Gradients are taken one row at a time, so that each is known in full before it is
 * clipped; sampled rows are not gathered first, so a sample may be of any size.
 * Noise is drawn in double and rounded to float with the gradient. Floating-point grids
 * (Mironov 2012) are not guarded against: nobody sees a gradient, only parameters after
 * many of them and what they predict. */
#include <math.h>
#include <string.h>

#include "nn/finite.h"
#include "nn/network_plan.h"
#include "nn/row_gradient.h"
#include "num/update.h"

enum {
    SOURCE_WORDS = 256 /* asked of random_bytes at a time */
};

/* Uniform and normal numbers made of random_bytes. */
typedef struct source {
    const witan_private_options *options;
    uint64_t word[SOURCE_WORDS];
    size_t left;
} source;

/* In (0, 1], 53 bits. */
static double
draw_uniform(source *self)
{
    if (self->left == 0) {
        self->options->random_bytes(self->options->context, self->word,
                                    sizeof self->word);
        self->left = SOURCE_WORDS;
    }
    uint64_t word = self->word[--self->left];
    return ((double)(word >> 11) + 1.0) * 0x1p-53;
}

/* Two standard normals (Box and Muller 1958). */
static void
draw_normals(source *self, double out[2])
{
    const double turn = 6.28318530717958647692;
    double radius = sqrt(-2.0 * log(draw_uniform(self)));
    double angle = turn * draw_uniform(self);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

/* The first row from `next` on that is sampled, or `count`. Gaps between the successes
 * of independent trials are geometric: one draw per sampled row, not per row. */
static size_t
next_sampled(source *self, size_t next, size_t count, double rate)
{
    double gap = floor(log(draw_uniform(self)) / log1p(-rate));
    return gap < (double)(count - next) ? next + (size_t)gap : count;
}

size_t
witan_private_steps(size_t count, size_t batch)
{
    return count / batch + (count % batch > 0 ? 1 : 0);
}

double
witan_private_rate(size_t count, size_t batch)
{
    return batch < count ? (double)batch / (double)count : 1.0;
}

/* What an epoch works on. */
typedef struct task {
    witan_network_learner *learner;
    witan_network_bench *bench;
    const witan_rows *rows;
    const witan_private_options *options;
    witan_random *dropout;
    size_t trainable;
} task;

/* Adds the clipped gradient of one row to bench->sum; returns the row's loss, NaN when
 * its gradient is not finite. */
static double
add_row(const task *self, uint32_t index)
{
    witan_network_bench *bench = self->bench;
    float *gradient;
    double loss;
    if (self->learner->network->model != NULL) {
        witan_learner learner = network_learner(self->learner);
        loss = learn_row_gradient(&learner, bench->features, self->rows, index,
                                  self->dropout, &gradient);
    } else {
        witan_sequence_learner learner = network_token_learner(self->learner);
        witan_token_rows windows = network_token_rows(self->rows);
        loss = sequence_row_gradient(&learner, bench->tokens, &windows, index,
                                     self->dropout, &gradient);
    }
    double norm = isfinite(loss) ? sqrt(witan_sum_squares(gradient, self->trainable))
                                 : (double)NAN;
    if (!isfinite(norm)) {
        return (double)NAN;
    }
    float scale = norm > self->options->clip ? (float)(self->options->clip / norm) : 1;
    float *sum = bench->sum;
    for (size_t i = 0; i < self->trainable; i++) {
        sum[i] += scale * gradient[i];
    }
    return loss;
}

/* bench->sum becomes the step's gradient: noise of `deviation`, then 1 / expected. */
static void
finish_gradient(const task *self, source *random, double expected)
{
    double deviation = self->options->noise * self->options->clip;
    float *sum = self->bench->sum;
    for (size_t i = 0; i < self->trainable; i += 2) {
        double normal[2] = {0.0, 0.0};
        if (deviation > 0.0) {
            draw_normals(random, normal);
        }
        for (size_t k = 0; k < 2 && i + k < self->trainable; k++) {
            double noisy = (double)sum[i + k] + deviation * normal[k];
            sum[i + k] = (float)(noisy / expected);
        }
    }
}

/* Samples, sums, adds noise and steps once. */
static witan_status
private_step(const task *self, source *random, const uint32_t *indices, size_t count,
             double rate, double lr, double *loss_sum, size_t *sampled)
{
    witan_network_learner *learner = self->learner;
    witan_optimiser_config optimiser = *learner->optimiser;
    memset(self->bench->sum, 0, self->trainable * sizeof *self->bench->sum);
    for (size_t i = next_sampled(random, 0, count, rate); i < count;
         i = next_sampled(random, i + 1, count, rate)) {
        double loss = add_row(self, indices[i]);
        if (isnan(loss)) {
            return WITAN_E_NUMERIC;
        }
        *loss_sum += loss;
        (*sampled)++;
    }
    finish_gradient(self, random, rate * (double)count);
    optimiser.clip_l2 = 0.0; /* rows were clipped already; of the noise it would make
                              * part of the signal */
    witan_optimiser_step(&optimiser, lr, learner->parameters, self->bench->sum,
                         learner->optimiser_state, &learner->optimiser_step,
                         self->trainable);
    return WITAN_OK;
}

witan_status
witan_network_private_epoch(witan_network_learner *self, witan_network_bench *bench,
                            const witan_rows *rows, const uint32_t *indices,
                            size_t count, size_t batch, double lr,
                            const witan_private_options *options, witan_random *dropout,
                            double *mean_loss)
{
    const task work = {.learner = self,
                       .bench = bench,
                       .rows = rows,
                       .options = options,
                       .dropout = dropout,
                       .trainable = witan_network_trainable(self->network)};
    source random = {.options = options};
    double sum = 0.0, rate = witan_private_rate(count, batch);
    size_t sampled = 0;
    witan_status status = WITAN_OK;
    WITAN_ASSERT(self->network == bench->network && batch >= 1);
    WITAN_ASSERT(options->clip > 0.0 && options->noise >= 0.0);
    if (witan_network_parameters(self->network) > work.trainable) {
        return WITAN_E_CONFIG; /* buffers: batch normalisation */
    }
    for (size_t steps = count > 0 ? witan_private_steps(count, batch) : 0;
         steps > 0 && status == WITAN_OK; steps--) {
        status = private_step(&work, &random, indices, count, rate, lr, &sum, &sampled);
    }
    explicit_bzero(random.word, sizeof random.word);
    if (status == WITAN_OK && !all_finite(self->parameters, work.trainable)) {
        status = WITAN_E_NUMERIC;
    }
    if (status == WITAN_OK && mean_loss != NULL) {
        *mean_loss = sampled == 0 ? 0.0 : sum / (double)sampled;
    }
    return status;
}
