/* loss.c - each loss is one pass for the probabilities and one for loss and gradient.
 * The row's log-sum comes from its largest probability, which is at least 1/C:
 *   log softmax(z/temp)_c = (z_c - max z) / temp + log(max p). */
#include "nn/loss.h"

#include <math.h>

#include "num/softmax.h"
#include "num/update.h"

enum {
    LANES = 16
};

typedef struct extremes {
    float low, high;
} extremes;

/* Smallest and largest of x [C]; lanes let the compiler keep them in vectors. */
static extremes
row_extremes(const float *x, size_t C)
{
    float low[LANES], high[LANES];
    size_t c = 0;
    for (size_t k = 0; k < LANES; k++) {
        low[k] = high[k] = x[0];
    }
    for (; c + LANES <= C; c += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            low[k] = x[c + k] < low[k] ? x[c + k] : low[k];
            high[k] = x[c + k] > high[k] ? x[c + k] : high[k];
        }
    }
    extremes found = {low[0], high[0]};
    for (size_t k = 1; k < LANES && C >= LANES; k++) {
        found.low = low[k] < found.low ? low[k] : found.low;
        found.high = high[k] > found.high ? high[k] : found.high;
    }
    for (; c < C; c++) {
        found.low = x[c] < found.low ? x[c] : found.low;
        found.high = x[c] > found.high ? x[c] : found.high;
    }
    return found;
}

/* sum_c x[c] in double, in an order that does not depend on the processor. */
static double
row_sum(const float *x, size_t C)
{
    double lane[LANES] = {0}, sum = 0.0;
    size_t c = 0;
    for (; c + LANES <= C; c += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lane[k] += (double)x[c + k];
        }
    }
    for (size_t k = 0; k < LANES && C >= LANES; k++) {
        sum += lane[k];
    }
    for (; c < C; c++) {
        sum += (double)x[c];
    }
    return sum;
}

double
witan_loss_cross_entropy(float *dz, const float *z, const uint32_t *label, size_t N,
                         size_t C)
{
    double loss = 0.0;
    float share = (float)(1.0 / (double)N);

    witan_softmax(dz, z, 1.0, N, C);
    for (size_t n = 0; n < N; n++) {
        const float *z_n = z + n * C;
        float *dz_n = dz + n * C;
        WITAN_ASSERT(label[n] < C);
        extremes logit = row_extremes(z_n, C);
        double log_sum = -log((double)row_extremes(dz_n, C).high);
        loss += (double)logit.high - (double)z_n[label[n]] + log_sum;
        loss += 0.0 * (double)logit.low; /* NaN for -infinity, whose p is a valid 0 */
        dz_n[label[n]] -= 1.0f;
        for (size_t c = 0; c < C; c++) {
            dz_n[c] *= share;
        }
    }
    return loss / (double)N;
}

/* q = q^(1/temp) / sum of every row, in log space; 0 stays 0. log_q out [N,C].
 * Returns the sum over rows of sum_c q_c log q_c. */
static double
temper(float *q, float *log_q, double temp, size_t N, size_t C)
{
    double negative_entropy = 0.0, scale = 1.0 / temp;

    for (size_t i = 0; i < N * C; i++) {
        log_q[i] = logf(q[i]);
    }
    if (temp != 1.0) {
        witan_softmax(q, log_q, temp, N, C);
    }
    for (size_t n = 0; n < N; n++, q += C, log_q += C) {
        double sum = row_sum(q, C), row = 0.0;
        float inverse = (float)(1.0 / sum);
        double high = (double)row_extremes(log_q, C).high;
        for (size_t c = 0; c < C; c++) {
            q[c] *= inverse;
            double term = (double)q[c] * (((double)log_q[c] - high) * scale);
            row += q[c] == 0.0f ? 0.0 : term;
        }
        negative_entropy += row + log((double)row_extremes(q, C).high);
    }
    return negative_entropy;
}

double
witan_loss_kl(float *dz, const float *z, float *q, double temp, size_t N, size_t C)
{
    float share =
        (float)(temp / (double)N); /* temp^2 of the loss, 1/temp of z / temp */

    WITAN_ASSERT(temp > 0.0);
    double loss = temper(q, dz, temp, N, C);
    witan_softmax(dz, z, temp, N, C);
    for (size_t n = 0; n < N; n++, dz += C, z += C, q += C) {
        double high = (double)row_extremes(z, C).high, row = 0.0;
        double log_sum = -log((double)row_extremes(dz, C).high);
        for (size_t c = 0; c < C; c++) {
            row += (double)q[c] * (high - (double)z[c]);
            dz[c] = share * (dz[c] - q[c]);
        }
        loss += row / temp + log_sum;
    }
    loss *= temp * temp / (double)N;
    return loss < 0.0 ? 0.0 : loss; /* below 0 by rounding alone; NaN stays */
}

/* dz = (z - teacher) less its row mean. */
static void
centred_difference(float *dz, const float *z, const float *teacher, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++, dz += C, z += C, teacher += C) {
        for (size_t c = 0; c < C; c++) {
            dz[c] = z[c] - teacher[c];
        }
        float mean = (float)(row_sum(dz, C) / (double)C);
        for (size_t c = 0; c < C; c++) {
            dz[c] -= mean;
        }
    }
}

double
witan_loss_mse(float *dz, const float *z, const float *teacher, size_t N, size_t C)
{
    double count = (double)(N * C);
    float share = (float)(2.0 / count);

    centred_difference(dz, z, teacher, N, C);
    double loss = witan_sum_squares(dz, N * C) / count;
    for (size_t i = 0; i < N * C; i++) {
        dz[i] *= share;
    }
    return loss;
}

double
witan_loss_mae(float *dz, const float *z, const float *teacher, size_t N, size_t C)
{
    double count = (double)(N * C), loss = 0.0;
    float share = (float)(1.0 / count);

    centred_difference(dz, z, teacher, N, C);
    for (size_t n = 0; n < N; n++, dz += C) {
        size_t above = 0, below = 0;
        for (size_t c = 0; c < C; c++) {
            loss += fabs((double)dz[c]);
            above += dz[c] > 0.0f;
            below += dz[c] < 0.0f;
        }
        float mean = (float)(((double)above - (double)below) / (double)C);
        for (size_t c = 0; c < C; c++) {
            float sign = (float)((dz[c] > 0.0f) - (dz[c] < 0.0f));
            dz[c] = share * (sign - mean);
        }
    }
    return loss / count;
}
