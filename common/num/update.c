#include "num/update.h"

#include "num/kernels.h"

void
witan_update_sgd(float *w, const float *g, float *v, size_t n,
                 const witan_sgd_step *step)
{
    witan_kernels_get()->update_sgd(w, g, v, n, step);
}

void
witan_update_adam(float *w, const float *g, float *m, float *v, size_t n,
                  const witan_adam_step *step)
{
    witan_kernels_get()->update_adam(w, g, m, v, n, step);
}

double
witan_sum_squares(const float *x, size_t n)
{
    return witan_kernels_get()->sum_squares(x, n);
}
