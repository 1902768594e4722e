#include "base/random.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

#include "base/status.h"

void
witan_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c0;
        uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)product1;
        c3 = (uint32_t)product0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void
witan_random_init(witan_random *self, uint64_t seed, uint32_t client, uint32_t round,
                  witan_purpose purpose)
{
    memset(self, 0, sizeof *self);
    self->key[0] = (uint32_t)seed;
    self->key[1] = (uint32_t)(seed >> 32);
    self->counter[1] = (uint32_t)purpose;
    self->counter[2] = client;
    self->counter[3] = round;
    self->used = 4;
}

uint32_t
witan_random_u32(witan_random *self)
{
    if (self->used == 4) {
        witan_philox4x32(self->block, self->counter, self->key);
        self->counter[0]++;
        WITAN_ASSERT(self->counter[0] != 0);
        self->used = 0;
    }
    return self->block[self->used++];
}

double
witan_random_uniform(witan_random *self)
{
    uint64_t high = witan_random_u32(self) >> 5;
    uint64_t low = witan_random_u32(self) >> 6;
    return (double)((high << 26) | low) * 0x1p-53;
}

uint32_t
witan_random_below(witan_random *self, uint32_t bound)
{
    WITAN_ASSERT(bound != 0);
    /* Lemire 2019: multiply-shift with rejection of the short remainder. */
    uint64_t product = (uint64_t)witan_random_u32(self) * bound;
    if ((uint32_t)product < bound) {
        uint32_t threshold = (0u - bound) % bound;
        while ((uint32_t)product < threshold) {
            product = (uint64_t)witan_random_u32(self) * bound;
        }
    }
    return (uint32_t)(product >> 32);
}

double
witan_random_normal(witan_random *self)
{
    if (self->has_spare_normal) {
        self->has_spare_normal = false;
        return self->spare_normal;
    }
    double radius = sqrt(-2.0 * log(1.0 - witan_random_uniform(self)));
    double angle = 6.283185307179586476925 * witan_random_uniform(self);
    self->spare_normal = radius * sin(angle);
    self->has_spare_normal = true;
    return radius * cos(angle);
}

/* log of a Gamma(shape, 1) draw; the logarithm keeps tiny shapes apart from 0. */
static double
log_gamma_draw(witan_random *self, double shape)
{
    double boost = 0.0;
    if (shape < 1.0) {
        boost = log(1.0 - witan_random_uniform(self)) / shape;
        shape += 1.0;
    }
    double d = shape - 1.0 / 3.0;
    double c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = witan_random_normal(self);
        double v = 1.0 + c * x;
        if (v <= 0.0) {
            continue;
        }
        v = v * v * v;
        double u = 1.0 - witan_random_uniform(self);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) {
            return log(d * v) + boost;
        }
    }
}

double
witan_random_gamma(witan_random *self, double shape)
{
    return exp(log_gamma_draw(self, shape));
}

void
witan_random_dirichlet(witan_random *self, double *p, const double *alpha, size_t count)
{
    double maximum = -(double)INFINITY;
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        p[i] = log_gamma_draw(self, alpha[i]);
        maximum = p[i] > maximum ? p[i] : maximum;
    }
    for (size_t i = 0; i < count; i++) {
        p[i] = exp(p[i] - maximum);
        sum += p[i];
    }
    for (size_t i = 0; i < count; i++) {
        p[i] /= sum;
    }
}

void
witan_random_shuffle(witan_random *self, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        uint32_t j = witan_random_below(self, (uint32_t)i);
        uint32_t swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}

void
witan_random_secure(void *bytes, size_t size)
{
    WITAN_ASSERT(sodium_init() >= 0);
    randombytes_buf(bytes, size);
}
