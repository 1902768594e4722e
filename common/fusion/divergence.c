/* divergence.c - how far two label distributions are apart.
 * Every formula is written so that equal distributions give exactly 0: knfu with
 * beta = infinity compares distances for equality. */
#include <math.h>

#include "fusion/fusion.h"

/* sum_c p log(p/q), nats. */
static double
kl(const double *p, const double *q, size_t C)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        sum += p[c] * log(p[c] / q[c]);
    }
    return sum;
}

/* (KL(p||m) + KL(q||m)) / 2 with m = (p + q) / 2. */
static double
jensen_shannon(const double *p, const double *q, size_t C)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        double m = (p[c] + q[c]) / 2.0;
        sum += p[c] * log(p[c] / m) + q[c] * log(q[c] / m);
    }
    return sum / 2.0;
}

static double
cosine(const double *p, const double *q, size_t C)
{
    double pq = 0.0, pp = 0.0, qq = 0.0;
    for (size_t c = 0; c < C; c++) {
        pq += p[c] * q[c];
        pp += p[c] * p[c];
        qq += q[c] * q[c];
    }
    return 1.0 - pq / sqrt(pp * qq);
}

static double
total_variation(const double *p, const double *q, size_t C)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        sum += fabs(p[c] - q[c]);
    }
    return sum / 2.0;
}

/* As a sum of squares: equal to sqrt(1 - sum sqrt(p q)) on the simplex, without its
 * cancellation near 0. */
static double
hellinger(const double *p, const double *q, size_t C)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        double gap = sqrt(p[c]) - sqrt(q[c]);
        sum += gap * gap;
    }
    return sqrt(sum / 2.0);
}

double
witan_divergence_of(witan_divergence divergence, const double *q_n, const double *q_m,
                    size_t C)
{
    double d = 0.0;
    switch (divergence) {
    case WITAN_DIVERGENCE_JS:
        d = jensen_shannon(q_n, q_m, C);
        break;
    case WITAN_DIVERGENCE_KL:
        d = kl(q_n, q_m, C);
        break;
    case WITAN_DIVERGENCE_COSINE:
        d = cosine(q_n, q_m, C);
        break;
    case WITAN_DIVERGENCE_TOTAL_VARIATION:
        d = total_variation(q_n, q_m, C);
        break;
    case WITAN_DIVERGENCE_HELLINGER:
        d = hellinger(q_n, q_m, C);
        break;
    }
    /* Rounding can leave a tiny negative number between near neighbours. */
    return d > 0.0 ? d : 0.0;
}
