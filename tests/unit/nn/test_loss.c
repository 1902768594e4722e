/* test_loss.c - losses against PyTorch, their gradients against central differences of
 * the same formula in double, and what must hold for any input. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "nn/loss.h"
#include "support/witan_test.h"

enum kind {
    CROSS_ENTROPY,
    KL,
    MSE,
    MAE,
    KINDS
};

enum {
    N_MAX = 7,
    C_MAX = 300
};

/* Student logits, teacher logits or probabilities, labels: one minibatch. */
typedef struct problem {
    size_t N, C;
    double temp;
    float z[N_MAX * C_MAX], target[N_MAX * C_MAX];
    uint32_t label[N_MAX];
} problem;

static double
loss_of(enum kind kind, float *dz, const problem *p)
{
    static float q[N_MAX * C_MAX];
    memcpy(q, p->target, sizeof q);
    switch (kind) {
    case CROSS_ENTROPY:
        return witan_loss_cross_entropy(dz, p->z, p->label, p->N, p->C);
    case KL:
        return witan_loss_kl(dz, p->z, q, p->temp, p->N, p->C);
    case MSE:
        return witan_loss_mse(dz, p->z, q, p->N, p->C);
    case MAE:
        return witan_loss_mae(dz, p->z, q, p->N, p->C);
    case KINDS:
        break;
    }
    return (double)NAN;
}

/* The formulas in double, as written in loss.h. */
static double
log_sum_exp(const double *z, double temp, size_t C)
{
    double top = z[0] / temp, sum = 0.0;
    for (size_t c = 1; c < C; c++) {
        top = fmax(top, z[c] / temp);
    }
    for (size_t c = 0; c < C; c++) {
        sum += exp(z[c] / temp - top);
    }
    return top + log(sum);
}

static double
reference_row(enum kind kind, const double *z, const float *t, uint32_t label,
              double temp, size_t C)
{
    double loss = 0.0, mean = 0.0, sum = 0.0;
    switch (kind) {
    case CROSS_ENTROPY:
        return log_sum_exp(z, 1.0, C) - z[label];
    case KL:
        for (size_t c = 0; c < C; c++) {
            sum += pow((double)t[c], 1.0 / temp);
        }
        for (size_t c = 0; c < C; c++) {
            double q = pow((double)t[c], 1.0 / temp) / sum;
            double log_p = z[c] / temp - log_sum_exp(z, temp, C);
            loss += q > 0.0 ? q * (log(q) - log_p) : 0.0;
        }
        return temp * temp * loss;
    case MSE:
    case MAE:
        for (size_t c = 0; c < C; c++) {
            mean += (z[c] - (double)t[c]) / (double)C;
        }
        for (size_t c = 0; c < C; c++) {
            double d = z[c] - (double)t[c] - mean;
            loss += (kind == MSE ? d * d : fabs(d)) / (double)C;
        }
        return loss;
    case KINDS:
        break;
    }
    return (double)NAN;
}

static double
reference(enum kind kind, const problem *p)
{
    double z[C_MAX], loss = 0.0;
    for (size_t n = 0; n < p->N; n++) {
        for (size_t c = 0; c < p->C; c++) {
            z[c] = (double)p->z[n * p->C + c];
        }
        loss +=
            reference_row(kind, z, p->target + n * p->C, p->label[n], p->temp, p->C);
    }
    return loss / (double)p->N;
}

/* Random logits of the given spread; probabilities as target for KL, logits else. */
static void
draw(problem *p, enum kind kind, size_t N, size_t C, double temp, double spread,
     witan_random *random)
{
    memset(p, 0, sizeof *p);
    p->N = N;
    p->C = C;
    p->temp = temp;
    for (size_t n = 0; n < N; n++) {
        double sum = 0.0;
        p->label[n] = witan_random_below(random, (uint32_t)C);
        for (size_t c = 0; c < C; c++) {
            p->z[n * C + c] = (float)(spread * witan_random_normal(random));
            p->target[n * C + c] = (float)(spread * witan_random_normal(random));
            sum += exp((double)p->target[n * C + c]);
        }
        for (size_t c = 0; c < C && kind == KL; c++) {
            p->target[n * C + c] = (float)(exp((double)p->target[n * C + c]) / sum);
        }
    }
}

static void
check_golden(const char *set, const char *name, enum kind kind, double temp)
{
    static problem p;
    static float dz[N_MAX * C_MAX];
    char file[64];
    (void)snprintf(file, sizeof file, "nn/%s_z", set);
    witan_golden z = witan_golden_load(file);
    (void)snprintf(file, sizeof file, "nn/%s_%s", set, kind == KL ? "q" : "teacher");
    witan_golden target = witan_golden_load(file);
    (void)snprintf(file, sizeof file, "nn/%s_label", set);
    witan_golden label = witan_golden_load(file);
    (void)snprintf(file, sizeof file, "nn/%s_%s", set, name);
    witan_golden expected = witan_golden_load(file);

    memset(&p, 0, sizeof p);
    p.N = z.shape[0];
    p.C = z.shape[1];
    p.temp = temp;
    for (size_t i = 0; i < z.count; i++) {
        p.z[i] = (float)z.values[i];
        p.target[i] = (float)target.values[i];
    }
    for (size_t n = 0; n < p.N; n++) {
        p.label[n] = (uint32_t)label.values[n];
    }
    CHECK(expected.count == 1 + z.count);
    CHECK_NEAR(loss_of(kind, dz, &p), expected.values[0], 1e-6, 1e-6);
    CHECK_GOLDEN(dz, expected.values + 1, z.count, 2e-7, 2e-6);
    witan_golden_free(&z);
    witan_golden_free(&target);
    witan_golden_free(&label);
    witan_golden_free(&expected);
}

static void
equal_to_pytorch(void)
{
    check_golden("small", "cross_entropy", CROSS_ENTROPY, 0.0);
    check_golden("small", "kl_1", KL, 1.0);
    check_golden("small", "kl_4", KL, 4.0);
    check_golden("small", "mse", MSE, 0.0);
    check_golden("small", "mae", MAE, 0.0);
    check_golden("wide", "cross_entropy", CROSS_ENTROPY, 0.0);
    check_golden("wide", "kl_0.5", KL, 0.5);
    check_golden("wide", "kl_1", KL, 1.0);
    check_golden("wide", "kl_3", KL, 3.0);
    check_golden("wide", "mse", MSE, 0.0);
    check_golden("wide", "mae", MAE, 0.0);
}

/* Numbers that were derived without PyTorch (exact dual numbers). */
static void
kl_of_the_research_page(void)
{
    static problem p;
    float dz[20];
    witan_golden z = witan_golden_load("nn/small_z");
    witan_golden q = witan_golden_load("nn/small_q");
    memset(&p, 0, sizeof p);
    p.N = 4;
    p.C = 5;
    for (size_t i = 0; i < 20; i++) {
        p.z[i] = (float)z.values[i];
        p.target[i] = (float)q.values[i];
    }
    p.temp = 1.0;
    CHECK_NEAR(loss_of(KL, dz, &p), 0.288137636, 1e-7, 0.0);
    CHECK_FLOATS(dz,
                 ((float[]){-0.068277f, 0.057118f, 0.012745f, 0.020728f, -0.022314f}),
                 5, 6e-7, 0.0);
    p.temp = 4.0;
    CHECK_NEAR(loss_of(KL, dz, &p), 0.353828890, 2e-6, 0.0);
    CHECK_FLOATS(dz,
                 ((float[]){-0.056509f, 0.043269f, 0.029738f, 0.023063f, -0.039562f}),
                 5, 6e-7, 0.0);
    witan_golden_free(&z);
    witan_golden_free(&q);
}

/* Signed central differences in double; the step is a power of two of the float grid,
 * so that z +- h is exact. */
static void
gradients_match_differences(void)
{
    static problem p;
    static float dz[N_MAX * C_MAX];
    const struct {
        size_t N, C;
        double temp;
    } sizes[] = {{1, 2, 1.0}, {3, 2, 2.0}, {5, 10, 1.0}, {7, 17, 0.5}, {2, 300, 4.0}};
    witan_random random;
    witan_random_init(&random, witan_test_seed(1), 0, 0, WITAN_PURPOSE_TEST);

    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            draw(&p, kind, sizes[s].N, sizes[s].C, sizes[s].temp, 1.5, &random);
            CHECK_NEAR(loss_of(kind, dz, &p), reference(kind, &p), 1e-6, 2e-6);
            for (size_t i = 0; i < p.N * p.C; i++) {
                const float h = 0x1p-13f;
                float z = roundf(p.z[i] * 0x1p13f) * h;
                p.z[i] = z;
            }
            (void)loss_of(kind, dz, &p);
            for (size_t i = 0; i < p.N * p.C; i++) {
                const float h = 0x1p-13f;
                float z = p.z[i];
                p.z[i] = z + h;
                double above = reference(kind, &p);
                p.z[i] = z - h;
                double below = reference(kind, &p);
                p.z[i] = z;
                CHECK_NEAR((double)dz[i], (above - below) / (2.0 * (double)h), 1e-6,
                           2e-4);
            }
        }
    }
}

static void
properties(void)
{
    static problem p, shifted;
    static float dz[N_MAX * C_MAX], dz_shifted[N_MAX * C_MAX];
    witan_random random;
    witan_random_init(&random, witan_test_seed(2), 0, 0, WITAN_PURPOSE_TEST);

    for (size_t trial = 0; trial < 60; trial++) {
        size_t N = 1 + witan_random_below(&random, N_MAX);
        size_t C = 2 + witan_random_below(&random, 40);
        double temp = exp(witan_random_normal(&random));
        for (enum kind kind = 0; kind < KINDS; kind++) {
            draw(&p, kind, N, C, temp, trial < 30 ? 1.0 : 20.0, &random);
            double loss = loss_of(kind, dz, &p);
            CHECK(loss >= 0.0 && isfinite(loss));
            /* Rows of the gradient sum to zero: a shift of a row costs nothing. */
            for (size_t n = 0; n < N; n++) {
                double sum = 0.0, size = 0.0;
                for (size_t c = 0; c < C; c++) {
                    sum += (double)dz[n * C + c];
                    size += fabs((double)dz[n * C + c]);
                }
                CHECK_NEAR(sum, 0.0, 1e-6 * size + 1e-8 * temp, 0.0);
            }
            shifted = p;
            for (size_t n = 0; n < N; n++) {
                float shift = (float)(int)(witan_random_below(&random, 9)) - 4.0f;
                for (size_t c = 0; c < C; c++) {
                    shifted.z[n * C + c] += shift;
                }
            }
            CHECK_NEAR(loss_of(kind, dz_shifted, &shifted), loss, 1e-5, 1e-5);
        }
    }
}

static void
zero_at_equality(void)
{
    static problem p;
    static float dz[N_MAX * C_MAX];
    const double temps[] = {0.5, 1.0, 3.0};
    witan_random random;
    witan_random_init(&random, witan_test_seed(3), 0, 0, WITAN_PURPOSE_TEST);

    for (size_t t = 0; t < 3; t++) {
        draw(&p, KL, 5, 11, temps[t], 1.0, &random);
        for (size_t i = 0; i < p.N * p.C; i++) {
            p.z[i] = (float)log((double)p.target[i]) + 3.0f;
        }
        CHECK_NEAR(loss_of(KL, dz, &p), 0.0, 2e-6, 0.0);
        for (size_t i = 0; i < p.N * p.C; i++) {
            CHECK_NEAR((double)dz[i], 0.0, 3e-7, 0.0);
        }
    }
    for (enum kind kind = MSE; kind <= MAE; kind++) {
        draw(&p, kind, 5, 11, 1.0, 1.0, &random);
        memcpy(p.z, p.target, sizeof p.z);
        CHECK(loss_of(kind, dz, &p) == 0.0);
        for (size_t i = 0; i < p.N * p.C; i++) {
            CHECK(dz[i] == 0.0f);
        }
    }
}

static void
kl_overwrites_its_target_with_the_tempered(void)
{
    float q[6] = {0.5f, 0.5f, 0.0f, 0.9f, 0.09f, 0.01f}, z[6] = {0}, dz[6];
    (void)witan_loss_kl(dz, z, q, 2.0, 2, 3);
    double sum = sqrt(0.9) + sqrt(0.09) + sqrt(0.01);
    CHECK_FLOATS(q,
                 ((float[]){0.5f, 0.5f, 0.0f, (float)(sqrt(0.9) / sum),
                            (float)(0.3 / sum), (float)(0.1 / sum)}),
                 6, 1e-6, 0.0);
    /* Unscaled counts are brought to sum 1 at temperature 1 too. */
    float counts[3] = {1.0f, 0.0f, 3.0f};
    (void)witan_loss_kl(dz, z, counts, 1.0, 1, 3);
    CHECK_FLOATS(counts, ((float[]){0.25f, 0.0f, 0.75f}), 3, 1e-7, 0.0);
}

/* A one-hot target makes KL the cross-entropy, at any confidence. */
static void
one_hot_is_cross_entropy(void)
{
    static problem p;
    static float dz[N_MAX * C_MAX], other[N_MAX * C_MAX];
    witan_random random;
    witan_random_init(&random, witan_test_seed(4), 0, 0, WITAN_PURPOSE_TEST);
    draw(&p, CROSS_ENTROPY, 7, 10, 1.0, 100.0, &random);
    memset(p.target, 0, sizeof p.target);
    for (size_t n = 0; n < p.N; n++) {
        p.target[n * p.C + p.label[n]] = 1.0f;
    }
    double loss = loss_of(CROSS_ENTROPY, dz, &p);
    CHECK_NEAR(loss_of(KL, other, &p), loss, 1e-6, 1e-6);
    CHECK_FLOATS(other, dz, p.N * p.C, 1e-7, 0.0);
    CHECK_NEAR(loss, reference(CROSS_ENTROPY, &p), 1e-6, 1e-6);
}

static void
extreme_but_finite(void)
{
    /* The right class is 2e38 below: the loss is that large, not infinite. */
    float z[4] = {1e38f, -1e38f, 0.0f, 0.0f}, dz[4];
    uint32_t label[2] = {1, 0};
    CHECK_NEAR(witan_loss_cross_entropy(dz, z, label, 2, 2), 1e38, 0.0, 1e-6);
    CHECK_FLOATS(dz, ((float[]){0.5f, -0.5f, -0.25f, 0.25f}), 4, 1e-7, 0.0);
}

static void
non_finite_input_gives_non_finite_loss(void)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    static problem p;
    static float dz[N_MAX * C_MAX];
    witan_random random;
    witan_random_init(&random, witan_test_seed(5), 0, 0, WITAN_PURPOSE_TEST);

    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (size_t b = 0; b < 3; b++) {
            for (size_t i = 0; i < 3 * 20; i++) {
                draw(&p, kind, 3, 20, i % 2 == 0 ? 1.0 : 2.0, 1.0, &random);
                if (kind == KL && i % 3 == 0) {
                    p.target[i] = 0.0f;
                }
                p.z[i] = bad[b];
                CHECK(!isfinite(loss_of(kind, dz, &p)));
                draw(&p, kind, 3, 20, i % 2 == 0 ? 1.0 : 2.0, 1.0, &random);
                p.target[i] = bad[b];
                CHECK(kind == CROSS_ENTROPY || !isfinite(loss_of(kind, dz, &p)));
            }
        }
    }
    /* A negative probability and a row of zeros are no distributions. */
    for (double temp = 1.0; temp < 3.0; temp++) {
        draw(&p, KL, 2, 5, temp, 1.0, &random);
        p.target[7] = -0.1f;
        CHECK(!isfinite(loss_of(KL, dz, &p)));
        draw(&p, KL, 2, 5, temp, 1.0, &random);
        memset(p.target, 0, 5 * sizeof(float));
        CHECK(!isfinite(loss_of(KL, dz, &p)));
    }
}

int
main(void)
{
    RUN(equal_to_pytorch);
    RUN(kl_of_the_research_page);
    RUN(gradients_match_differences);
    RUN(properties);
    RUN(zero_at_equality);
    RUN(kl_overwrites_its_target_with_the_tempered);
    RUN(one_hot_is_cross_entropy);
    RUN(extreme_but_finite);
    RUN(non_finite_input_gives_non_finite_loss);
    return witan_test_finish();
}
