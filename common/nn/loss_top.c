#include "nn/loss_top.h"

#include <math.h>

#include "base/status.h"

typedef struct bucket {
    double log_size; /* log of sum exp(z / temp) */
    double highest;  /* of z, subtracted first */
    double sum;
} bucket;

/* e^((z - highest) / temp) of the logits that are not marked, left in dz. */
static bucket
rest_of(float *dz, const float *z, double temp, size_t C)
{
    bucket rest = {.log_size = -(double)INFINITY, .highest = -(double)INFINITY};
    for (size_t c = 0; c < C; c++) {
        double v = isinf(dz[c]) ? rest.highest : (double)z[c];
        rest.highest = v > rest.highest ? v : rest.highest;
        rest.sum += isinf(dz[c]) ? 0.0 : 0.0 * v; /* NaN for what is not finite */
    }
    float scale = (float)(1.0 / temp), highest = (float)rest.highest;
    for (size_t c = 0; c < C; c++) {
        dz[c] = isinf(dz[c]) ? 0.0f : expf((z[c] - highest) * scale);
        rest.sum += (double)dz[c];
    }
    if (rest.sum != 0.0) {
        rest.log_size = rest.highest / temp + log(rest.sum);
    }
    return rest;
}

/* log(e^a + e^b) */
static double
log_add(double a, double b)
{
    double high = a > b ? a : b, low = a > b ? b : a;
    if (isnan(a) || isnan(b)) {
        return (double)NAN;
    }
    return isinf(high) ? high : high + log1p(exp(low - high));
}

/* q log(q / p) */
static double
divergence(double q, double log_p)
{
    return q > 0.0 ? q * (log(q) - log_p) : 0.0 * q;
}

/* One row; returns its divergence. */
static double
row_loss(float *dz, const float *z, const uint32_t *token, const float *mass, size_t k,
         double temp, float share, size_t C)
{
    double given = 0.0, tempered = 0.0, others = (double)(C - k);
    for (size_t c = 0; c < C; c++) {
        dz[c] = 0.0f;
    }
    for (size_t i = 0; i < k; i++) {
        WITAN_ASSERT(token[i] < C && dz[token[i]] == 0.0f);
        dz[token[i]] = INFINITY; /* marked */
        given += (double)mass[i];
        tempered += pow((double)mass[i], 1.0 / temp);
    }
    double residual = given < 1.0 && k < C ? 1.0 - given : 0.0;
    double left = k < C ? others * pow(residual / others, 1.0 / temp) : 0.0;
    double whole = tempered + left;
    bucket rest = rest_of(dz, z, temp, C);
    double log_all = rest.log_size;
    for (size_t i = 0; i < k; i++) {
        log_all = log_add(log_all, (double)z[token[i]] / temp);
    }
    /* The rest keeps the student's own proportions: p_j - q_rest p_j / p_rest. */
    double loss = 0.0, q_rest = left / whole;
    if (k < C) {
        double log_p = rest.log_size - log_all;
        float factor = (float)((exp(log_p) - q_rest) / rest.sum);
        loss += divergence(q_rest, log_p);
        for (size_t c = 0; c < C; c++) {
            dz[c] *= factor * share;
        }
    }
    for (size_t i = 0; i < k; i++) {
        double q = pow((double)mass[i], 1.0 / temp) / whole;
        double log_p = (double)z[token[i]] / temp - log_all;
        loss += divergence(q, log_p);
        dz[token[i]] = share * (float)(exp(log_p) - q);
    }
    return loss;
}

double
witan_loss_kl_top(float *dz, const float *z, const uint32_t *token, const float *mass,
                  size_t k, double temp, size_t N, size_t C)
{
    double loss = 0.0;
    float share = (float)(temp / (double)N);

    WITAN_ASSERT(temp > 0.0 && k >= 1 && k <= C);
    for (size_t n = 0; n < N; n++) {
        loss += row_loss(dz + n * C, z + n * C, token + n * k, mass + n * k, k, temp,
                         share, C);
    }
    loss *= temp * temp / (double)N;
    return loss < 0.0 ? 0.0 : loss; /* below 0 by rounding alone; NaN stays */
}
