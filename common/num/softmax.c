#include "num/softmax.h"

#include <math.h>

static float
row_maximum(const float *z, size_t C)
{
    float maximum = z[0];
    for (size_t c = 1; c < C; c++) {
        maximum = z[c] > maximum ? z[c] : maximum;
    }
    return maximum;
}

void
witan_softmax(float *p, const float *z, double temp, size_t N, size_t C)
{
    float scale = (float)(1.0 / temp);
    for (size_t n = 0; n < N; n++, p += C, z += C) {
        float maximum = row_maximum(z, C);
        double sum = 0.0;
        for (size_t c = 0; c < C; c++) {
            p[c] = expf((z[c] - maximum) * scale);
            sum += (double)p[c];
        }
        float inverse = (float)(1.0 / sum);
        for (size_t c = 0; c < C; c++) {
            p[c] *= inverse;
        }
    }
}

double
witan_log_sum_exp(const float *z, size_t C)
{
    double maximum = (double)row_maximum(z, C), sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        sum += exp((double)z[c] - maximum);
    }
    return maximum + log(sum);
}
