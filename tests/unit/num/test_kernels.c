/* Dense products, pointwise functions, pools and norms, for every instruction set.
 * What whole models show (tests/unit/nn/test_model_golden.c) is not repeated here. */
#include <string.h>

#include "num/gemm.h"
#include "support/witan_test.h"
#include "unit/num/num_test.h"

static witan_random random_state;

static void
check_dense_one(const witan_kernels *kernels, size_t N, size_t inputs, size_t outputs)
{
    float *x = num_normals(&random_state, N * inputs);
    float *w = num_normals(&random_state, outputs * inputs);
    float *b = num_normals(&random_state, outputs);
    float *dy = num_normals(&random_state, N * outputs);
    float *y = num_unset(N * outputs), *expected = num_unset(N * outputs);
    float *dw = num_unset(outputs * inputs), *dw_expected = num_unset(outputs * inputs);
    float *dx = num_unset(N * inputs), *dx_expected = num_unset(N * inputs);
    float *db = num_unset(outputs);
    void *scratch = num_scratch(kernels->dense_scratch(inputs, outputs, N));
    double absolute = 1e-5 * (double)(inputs + N);
    for (size_t i = 0; i < N * outputs; i++) {
        expected[i] = b[i % outputs];
    }
    witan_gemm_reference(expected, outputs, (witan_factor){x, inputs, false},
                         (witan_factor){w, inputs, true}, N, outputs, inputs, 1.0f);
    kernels->dense_forward(y, x, w, b, false, N, inputs, outputs, scratch);
    CHECK_FLOATS(y, expected, N * outputs, absolute, 1e-5);
    for (size_t i = 0; i < N * outputs; i++) {
        expected[i] = expected[i] > 0 ? expected[i] : 0.0f;
    }
    kernels->dense_forward(y, x, w, b, true, N, inputs, outputs, scratch);
    CHECK_FLOATS(y, expected, N * outputs, absolute, 1e-5);
    kernels->dense_backward(dw, db, dx, dy, x, w, N, inputs, outputs, scratch);
    witan_gemm_reference(dw_expected, inputs, (witan_factor){dy, outputs, true},
                         (witan_factor){x, inputs, false}, outputs, inputs, N, 0.0f);
    CHECK_FLOATS(dw, dw_expected, outputs * inputs, absolute, 1e-5);
    witan_gemm_reference(dx_expected, inputs, (witan_factor){dy, outputs, false},
                         (witan_factor){w, inputs, false}, N, inputs, outputs, 0.0f);
    CHECK_FLOATS(dx, dx_expected, N * inputs, absolute, 1e-5);
    for (size_t o = 0; o < outputs; o++) {
        double sum = 0.0;
        for (size_t n = 0; n < N; n++) {
            sum += (double)dy[n * outputs + o];
        }
        CHECK_NEAR((double)db[o], sum, absolute, 1e-5);
    }
    float *blocks[] = {x, w, b, dy, y, expected, dw, dw_expected, dx, dx_expected, db};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        free(blocks[i]);
    }
    witan_free(witan_allocator_default(), scratch);
}

static void
check_dense(const witan_kernels *kernels)
{
    static const size_t extents[][3] = {{1, 1, 1},    {1, 7, 3},     {5, 8, 16},
                                        {6, 300, 17}, {64, 784, 10}, {13, 513, 40},
                                        {7, 64, 33},  {64, 200, 10}, {4, 5, 600}};
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++) {
        check_dense_one(kernels, extents[i][0], extents[i][1], extents[i][2]);
    }
}

static void
dense_layers_match_plain_loops(void)
{
    num_for_each_isa(check_dense);
}

static double
phi(double x)
{
    return 0.5 * (1.0 + erf(x / sqrt(2.0)));
}

static void
check_pointwise(const witan_kernels *kernels)
{
    enum {
        COUNT = 2003
    };
    float x[COUNT], dy[COUNT], y[COUNT], dx[COUNT];
    double gelu[COUNT], dgelu[COUNT], hyperbolic[COUNT], dhyperbolic[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        x[i] = ((float)i - 1001.0f) / 100.0f;
        dy[i] = (float)witan_random_normal(&random_state);
        double v = (double)x[i], d = (double)dy[i], t = tanh(v);
        gelu[i] = v * phi(v);
        dgelu[i] = d * (phi(v) + v * exp(-0.5 * v * v) / sqrt(2.0 * acos(-1.0)));
        hyperbolic[i] = t;
        dhyperbolic[i] = d * (1.0 - t * t);
    }
    kernels->gelu_forward(y, x, COUNT);
    CHECK_GOLDEN(y, gelu, COUNT, 1e-6, 1e-6);
    kernels->gelu_backward(dx, dy, x, COUNT);
    CHECK_GOLDEN(dx, dgelu, COUNT, 2e-6, 1e-6);
    kernels->tanh_forward(y, x, COUNT);
    CHECK_GOLDEN(y, hyperbolic, COUNT, 3e-7, 1e-6);
    kernels->tanh_backward(dx, dy, y, COUNT);
    CHECK_GOLDEN(dx, dhyperbolic, COUNT, 2e-6, 1e-6);
    kernels->relu_forward(y, x, COUNT);
    CHECK(!(y[1000] > 0) && y[1001] == 0 && y[1002] == x[1002] && y[2002] == x[2002]);
    kernels->relu_backward(dx, dy, y, COUNT);
    CHECK(dx[1000] == 0 && dx[1001] == 0 && dx[1002] == dy[1002] &&
          dx[2002] == dy[2002]);
    kernels->multiply(y, x, dy, COUNT);
    CHECK(y[3] == x[3] * dy[3] && y[2002] == x[2002] * dy[2002]);
    kernels->add(y, x, dy, COUNT);
    CHECK(y[3] == x[3] + dy[3] && y[2002] == x[2002] + dy[2002]);
    for (size_t i = 0; i < 40; i++) { /* every lane of every width */
        x[i] = NAN;
    }
    kernels->relu_forward(y, x, 40);
    kernels->tanh_forward(dx, x, 40);
    kernels->gelu_forward(x, x, 40);
    for (size_t i = 0; i < 40; i++) {
        CHECK(isnan(y[i]) && isnan(dx[i]) && isnan(x[i]));
    }
}

static void
pointwise_functions_match_libm(void)
{
    num_for_each_isa(check_pointwise);
}

/* A fused ReLU shows a diverged model in its output. */
static void
check_nan(const witan_kernels *kernels)
{
    witan_convolution c = {4, 4, 1, 3, 1, 1, 0, true, true, 4, 4};
    float x[16], w[3] = {1, 1, 1}, b[3] = {NAN, NAN, 0}, y[12];
    void *scratch = num_scratch(kernels->convolution_scratch(&c));
    for (size_t i = 0; i < 16; i++) {
        x[i] = 1.0f;
    }
    kernels->convolution_forward(&c, y, NULL, x, w, b, 1, scratch);
    CHECK(isnan(y[0]) && isnan(y[1]) && y[2] == 1.0f);
    c.pool = false;
    float plain[48];
    kernels->convolution_forward(&c, plain, NULL, x, w, b, 1, scratch);
    CHECK(isnan(plain[0]) && isnan(plain[46]) && plain[47] == 1.0f);
    witan_free(witan_allocator_default(), scratch);
    scratch = num_scratch(kernels->dense_scratch(1, 3, 1));
    kernels->dense_forward(y, x, w, b, true, 1, 1, 3, scratch);
    CHECK(isnan(y[0]) && isnan(y[1]) && y[2] == 1.0f);
    witan_free(witan_allocator_default(), scratch);
}

static void
relu_keeps_nan(void)
{
    num_for_each_isa(check_nan);
}

/* Equal maxima: the first tap wins, and only it receives the gradient. */
static void
check_ties(const witan_kernels *kernels)
{
    enum {
        C = 19
    };
    witan_pooling p = {2, 2, C, 2, 2, 2, 0, 1, 1};
    float x[4 * C], y[C], dx[4 * C], dy[C];
    unsigned char route[C];
    for (size_t i = 0; i < 4 * C; i++) {
        x[i] = i / C == 0 ? -1.0f : -0.5f;
        dy[i % C] = 2.0f;
    }
    kernels->max_pool_forward(&p, y, route, x, 1);
    kernels->max_pool_backward(&p, dx, dy, route, 1);
    for (size_t c = 0; c < C; c++) {
        CHECK(y[c] == -0.5f && route[c] == 1);
        CHECK(dx[c] == 0 && dx[C + c] == 2.0f && dx[2 * C + c] == 0 &&
              dx[3 * C + c] == 0);
    }
    /* The same through the fused pool: a 1 x 1 convolution with weights one and bias 2.
     */
    witan_convolution conv = {2, 2, 1, C, 1, 1, 0, false, true, 2, 2};
    float one[C], bias[C], image[4] = {-1.0f, -0.5f, -0.5f, -0.5f};
    void *scratch = num_scratch(kernels->convolution_scratch(&conv));
    for (size_t c = 0; c < C; c++) {
        one[c] = 1.0f;
        bias[c] = 2.0f;
    }
    kernels->convolution_forward(&conv, y, route, image, one, bias, 1, scratch);
    for (size_t c = 0; c < C; c++) {
        CHECK(y[c] == 1.5f && route[c] == 1);
    }
    witan_free(witan_allocator_default(), scratch);
}

static void
first_of_equal_maxima_wins(void)
{
    num_for_each_isa(check_ties);
}

/* Group norm of one group over everything has mean 0 and variance 1 before the gain; a
 * large mean must not eat the variance. */
static void
check_norm(const witan_kernels *kernels)
{
    enum {
        PIXELS = 100,
        C = 6
    };
    witan_normalisation p = {2, PIXELS, C, 2, 1e-5f};
    float *x = num_normals(&random_state, 2 * PIXELS * C),
          *y = num_unset(2 * PIXELS * C);
    float mean[4], variance[4], gain[C], bias[C];
    float *scratch = num_scratch(witan_normalisation_scratch(C) * sizeof(float));
    for (size_t i = 0; i < 2 * PIXELS * C; i++) {
        x[i] += 1000.0f;
    }
    for (size_t c = 0; c < C; c++) {
        gain[c] = 3.0f;
        bias[c] = (float)c;
    }
    kernels->normalise_forward(&p, y, mean, variance, x, gain, bias, scratch);
    for (size_t n = 0; n < 2; n++) {
        for (size_t g = 0; g < 2; g++) {
            double sum = 0.0, squares = 0.0;
            for (size_t i = 0; i < PIXELS * C / 2; i++) {
                size_t c = g * 3 + i % 3;
                double v = (double)y[(n * PIXELS + i / 3) * C + c] - (double)bias[c];
                sum += v;
                squares += v * v;
            }
            CHECK_NEAR(sum / (PIXELS * C / 2), 0.0, 1e-3, 0.0);
            CHECK_NEAR(squares / (PIXELS * C / 2), 9.0, 1e-2, 0.0);
            CHECK_NEAR((double)mean[n * 2 + g], 1000.0, 0.3, 0.0);
            CHECK_NEAR((double)variance[n * 2 + g], 1.0, 0.3, 0.0);
        }
    }
    free(x);
    free(y);
    witan_free(witan_allocator_default(), scratch);
}

static void
norms_survive_a_large_mean(void)
{
    num_for_each_isa(check_norm);
}

int
main(void)
{
    witan_random_init(&random_state, witan_test_seed(2), 0, 0, WITAN_PURPOSE_TEST);
    RUN(dense_layers_match_plain_loops);
    RUN(pointwise_functions_match_libm);
    RUN(relu_keeps_nan);
    RUN(first_of_equal_maxima_wins);
    RUN(norms_survive_a_large_mean);
    return witan_test_finish();
}
