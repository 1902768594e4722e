/* Kernels of token models against plain loops in double, for every instruction set and
 * for 16 lanes: packed products, cells, layer norm, attention, vector functions. */
#include <string.h>

#include "num/gemm.h"
#include "support/witan_test.h"
#include "unit/num/num_test.h"

static witan_random random_state;

/* --- products ------------------------------------------------------------------- */

/* Rows are `gap` floats longer than they are wide; what lies between stays. */
static void
check_packed(const witan_kernels *kernels, size_t M, size_t N, size_t K, size_t gap)
{
    size_t c_row = N + gap, a_row = K + gap;
    float *a = num_normals(&random_state, M * a_row);
    float *b = num_normals(&random_state, N * K);
    float *initial = num_normals(&random_state, N);
    float *c = num_normals(&random_state, M * c_row);
    float *before = malloc(M * c_row * sizeof *before);
    float *expected = malloc(M * c_row * sizeof *expected);
    float *packed = num_scratch(kernels->packed_floats(K, N) * sizeof(float));
    double absolute = 1e-5 * (double)K;
    memcpy(before, c, M * c_row * sizeof *c);
    for (int form = 0; form < 6; form++) {
        bool transposed = form % 2 == 1, accumulate = form / 2 == 0;
        memcpy(expected, before, M * c_row * sizeof *c);
        memcpy(c, before, M * c_row * sizeof *c);
        for (size_t i = 0; !accumulate && i < M * N; i++) {
            expected[i / N * c_row + i % N] = form / 2 == 1 ? initial[i % N] : 0.0f;
        }
        witan_gemm_reference(expected, c_row, (witan_factor){a, a_row, false},
                             (witan_factor){b, transposed ? K : N, transposed}, M, N, K,
                             1.0f);
        kernels->pack(packed, b, transposed ? K : N, transposed, K, N);
        kernels->product_packed(c, c_row, a, a_row, packed,
                                form / 2 == 1 ? initial : NULL, accumulate, M, N, K);
        CHECK_FLOATS(c, expected, M * c_row, absolute, 1e-5);
    }
    free(a);
    free(b);
    free(initial);
    free(c);
    free(before);
    free(expected);
    witan_free(witan_allocator_default(), packed);
}

/* c [M,N] from a [K,M] and b [K,N]. */
static void
check_gradient(const witan_kernels *kernels, size_t M, size_t N, size_t K, size_t gap)
{
    size_t c_row = N + gap, a_row = M + gap, b_row = N + 2 * gap;
    float *a = num_normals(&random_state, K * a_row);
    float *b = num_normals(&random_state, K * b_row);
    float *c = num_normals(&random_state, M * c_row);
    float *expected = malloc(M * c_row * sizeof *expected);
    void *scratch = num_scratch(kernels->product_gradient_scratch(N));
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        memcpy(expected, c, M * c_row * sizeof *c);
        witan_gemm_reference(expected, c_row, (witan_factor){a, a_row, true},
                             (witan_factor){b, b_row, false}, M, N, K,
                             accumulate ? 1.0f : 0.0f);
        kernels->product_gradient(c, c_row, a, a_row, b, b_row, accumulate, M, N, K,
                                  scratch);
        CHECK_FLOATS(c, expected, M * c_row, 1e-5 * (double)K, 1e-5);
    }
    free(a);
    free(b);
    free(c);
    free(expected);
    witan_free(witan_allocator_default(), scratch);
}

static void
check_products(const witan_kernels *kernels)
{
    static const size_t extents[][3] = {{1, 1, 1},     {2, 5, 3},    {6, 16, 8},
                                        {7, 33, 257},  {64, 65, 20}, {11, 40, 513},
                                        {193, 8, 4},   {5, 70, 64},  {400, 24, 5},
                                        {3, 200, 300}, {4, 9, 1},    {195, 34, 260}};
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++) {
        const size_t *e = extents[i];
        check_packed(kernels, e[0], e[1], e[2], i % 3);
        check_gradient(kernels, e[0], e[1], e[2], i % 3);
        check_gradient(kernels, e[1], e[2], e[0], i % 2);
    }
}

static void
products_match_plain_loops(void)
{
    num_for_each_isa(check_products);
}

static void
check_columns(const witan_kernels *kernels)
{
    enum {
        N = 150,
        C = 37
    };
    float *x = num_normals(&random_state, N * C), *sum = num_unset(C);
    for (int times = 1; times <= 2; times++) {
        kernels->add_columns(sum, x, times == 2, N, C);
        for (size_t c = 0; c < C; c++) {
            double expected = 0.0;
            for (size_t n = 0; n < N; n++) {
                expected += (double)x[n * C + c];
            }
            CHECK_NEAR((double)sum[c], times * expected, 1e-4, 1e-5);
        }
    }
    free(x);
    free(sum);
}

static void
columns_add_up(void)
{
    num_for_each_isa(check_columns);
}

/* --- cells ---------------------------------------------------------------------- */

static double
sigma(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

enum {
    N = 3,
    H_MAX = 41
};

static void
check_lstm(const witan_kernels *kernels, size_t H)
{
    double dc_out[N * H_MAX], dgate[N * 4 * H_MAX], c_now[N * H_MAX], h_now[N * H_MAX];
    size_t count = N * H;
    float *gate = num_normals(&random_state, 4 * count), *c = num_unset(count);
    float *c_before = num_normals(&random_state, count), *h = num_unset(count);
    float *dh = num_normals(&random_state, count),
          *dc = num_normals(&random_state, count);
    float *dh_next = num_normals(&random_state, count);
    for (size_t i = 0; i < count; i++) {
        const float *g = gate + i / H * 4 * H + i % H;
        double in = sigma((double)g[0]), keep = sigma((double)g[H]);
        double new = tanh((double)g[2 * H]), out = sigma((double)g[3 * H]);
        double old = (double)c_before[i];
        c_now[i] = keep * old + in * new;
        double shown = tanh(c_now[i]), d = (double)dh[i] + (double)dh_next[i];
        h_now[i] = out * shown;
        double d_cell = (double)dc[i] + d * out * (1 - shown * shown);
        double *to = dgate + i / H * 4 * H + i % H;
        to[0] = d_cell * new *in *(1 - in);
        to[H] = d_cell * old * keep * (1 - keep);
        to[2 * H] = d_cell * in * (1 - new *new);
        to[3 * H] = d * shown * out * (1 - out);
        dc_out[i] = d_cell * keep;
    }
    kernels->lstm_forward(gate, c, h, c_before, N, H);
    CHECK_GOLDEN(c, c_now, count, 1e-6, 1e-6);
    CHECK_GOLDEN(h, h_now, count, 1e-6, 1e-6);
    kernels->lstm_backward(gate, dc, dh, dh_next, c, c_before, N, H);
    CHECK_GOLDEN(gate, dgate, 4 * count, 2e-6, 1e-5);
    CHECK_GOLDEN(dc, dc_out, count, 2e-6, 1e-5);
    float *blocks[] = {gate, c, c_before, h, dh, dc, dh_next};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        free(blocks[i]);
    }
}

static void
check_gru(const witan_kernels *kernels, size_t H)
{
    double dgate[N * 3 * H_MAX], dhidden[N * 3 * H_MAX], h_now[N * H_MAX];
    double direct[N * H_MAX];
    size_t count = N * H;
    float *gate = num_normals(&random_state, 3 * count);
    float *hidden = num_normals(&random_state, 3 * count);
    float *h_before = num_normals(&random_state, count), *h = num_unset(count);
    float *dh = num_normals(&random_state, count);
    float *dh_next = num_normals(&random_state, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = i / H * 3 * H + i % H;
        double r = sigma((double)gate[at] + (double)hidden[at]);
        double u = sigma((double)gate[at + H] + (double)hidden[at + H]);
        double part = (double)hidden[at + 2 * H];
        double n = tanh((double)gate[at + 2 * H] + r * part);
        double old = (double)h_before[i], d = (double)dh[i] + (double)dh_next[i];
        h_now[i] = (1 - u) * n + u * old;
        double dn = d * (1 - u) * (1 - n * n);
        dgate[at] = dhidden[at] = dn * part * r * (1 - r);
        dgate[at + H] = dhidden[at + H] = d * (old - n) * u * (1 - u);
        dgate[at + 2 * H] = dn;
        dhidden[at + 2 * H] = dn * r;
        direct[i] = d * u;
    }
    kernels->gru_forward(gate, hidden, h, h_before, N, H);
    CHECK_GOLDEN(h, h_now, count, 1e-6, 1e-6);
    kernels->gru_backward(gate, hidden, dh_next, dh, dh_next, h_before, N, H);
    CHECK_GOLDEN(gate, dgate, 3 * count, 2e-6, 1e-5);
    CHECK_GOLDEN(hidden, dhidden, 3 * count, 2e-6, 1e-5);
    CHECK_GOLDEN(dh_next, direct, count, 2e-6, 1e-5);
    float *blocks[] = {gate, hidden, h_before, h, dh, dh_next};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        free(blocks[i]);
    }
}

static void
check_cells(const witan_kernels *kernels)
{
    static const size_t widths[] = {1, 4, 7, 16, 33, H_MAX};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check_lstm(kernels, widths[i]);
        check_gru(kernels, widths[i]);
    }
}

static void
cells_match_plain_loops(void)
{
    num_for_each_isa(check_cells);
}

/* --- layer norm and attention --------------------------------------------------- */

static void
check_norm_one(const witan_kernels *kernels, size_t C)
{
    enum {
        ROWS = 5,
        C_MAX = 70
    };
    double y_now[ROWS * C_MAX], dx_now[ROWS * C_MAX];
    double dgain_now[C_MAX] = {0}, dbias_now[C_MAX] = {0};
    float *x = num_normals(&random_state, ROWS * C), *y = num_unset(ROWS * C);
    float *gain = num_normals(&random_state, C), *bias = num_normals(&random_state, C);
    float *dy = num_normals(&random_state, ROWS * C), *dx = num_unset(ROWS * C);
    float mean[ROWS], inverse[ROWS], *dgain = num_unset(C), *dbias = num_unset(C);
    for (size_t n = 0; n < ROWS; n++) {
        double sum = 0.0, square = 0.0, sum_v = 0.0, sum_vu = 0.0;
        for (size_t c = 0; c < C; c++) {
            x[n * C + c] += 50.0f; /* a large mean must not eat the variance */
            sum += (double)x[n * C + c];
        }
        for (size_t c = 0; c < C; c++) {
            square += pow((double)x[n * C + c] - sum / (double)C, 2);
        }
        double scale = 1.0 / sqrt(square / (double)C + 1e-5);
        for (int pass = 0; pass < 2; pass++) {
            for (size_t c = 0; c < C; c++) {
                size_t i = n * C + c;
                double u = ((double)x[i] - sum / (double)C) * scale;
                double v = (double)dy[i] * (double)gain[c];
                y_now[i] = u * (double)gain[c] + (double)bias[c];
                dx_now[i] = scale * (v - sum_v / (double)C - u * sum_vu / (double)C);
                if (pass == 0) {
                    dgain_now[c] += (double)dy[i] * u;
                    dbias_now[c] += (double)dy[i];
                }
            }
            for (size_t c = 0; pass == 0 && c < C; c++) {
                size_t i = n * C + c;
                double v = (double)dy[i] * (double)gain[c];
                sum_v += v;
                sum_vu += v * ((double)x[i] - sum / (double)C) * scale;
            }
        }
    }
    kernels->layer_norm_forward(y, mean, inverse, x, gain, bias, ROWS, C);
    CHECK_GOLDEN(y, y_now, ROWS * C, 1e-4, 1e-4);
    kernels->layer_norm_backward(dx, dgain, dbias, dy, x, mean, inverse, gain, false,
                                 ROWS, C);
    CHECK_GOLDEN(dx, dx_now, ROWS * C, 2e-4, 2e-4);
    CHECK_GOLDEN(dgain, dgain_now, C, 2e-4, 2e-4);
    CHECK_GOLDEN(dbias, dbias_now, C, 1e-5, 1e-5);
    kernels->layer_norm_backward(dx, dgain, dbias, dy, x, mean, inverse, gain, true,
                                 ROWS, C);
    for (size_t i = 0; i < ROWS * C; i++) {
        CHECK_NEAR((double)dx[i], 2.0 * dx_now[i], 4e-4, 4e-4);
    }
    float *blocks[] = {x, y, gain, bias, dy, dx, dgain, dbias};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        free(blocks[i]);
    }
}

static void
check_norm(const witan_kernels *kernels)
{
    static const size_t widths[] = {5, 8, 16, 67};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check_norm_one(kernels, widths[i]);
    }
}

static void
layer_norm_matches_plain_loops(void)
{
    num_for_each_isa(check_norm);
}

enum {
    ATTENTION_MAX = 64 * 64
};

/* Attention in plain loops: y, and with dy the gradient of q, k, v. */
static void
plain_attention(double *y, double *dqkv, const float *dy, const float *qkv, size_t L,
                size_t width, size_t heads)
{
    size_t d = width / heads, row = 3 * width;
    double scale = 1.0 / sqrt((double)d), p[64], dp[64];
    memset(y, 0, L * width * sizeof *y);
    memset(dqkv, 0, L * row * sizeof *dqkv);
    for (size_t at = 0; at < L * heads; at++) {
        size_t i = at / heads, h = at % heads * d;
        const float *q = qkv + i * row + h;
        double sum = 0.0, inner = 0.0;
        for (size_t j = 0; j <= i; j++) {
            double s = 0.0;
            for (size_t e = 0; e < d; e++) {
                s += (double)q[e] * (double)qkv[j * row + width + h + e];
            }
            sum += p[j] = exp(s * scale);
        }
        for (size_t j = 0; j <= i; j++) {
            p[j] /= sum;
            dp[j] = 0.0;
            for (size_t e = 0; e < d; e++) {
                double out = (double)dy[i * width + h + e];
                y[i * width + h + e] += p[j] * (double)qkv[j * row + 2 * width + h + e];
                dp[j] += out * (double)qkv[j * row + 2 * width + h + e];
                dqkv[j * row + 2 * width + h + e] += p[j] * out;
            }
            inner += p[j] * dp[j];
        }
        for (size_t j = 0; j <= i; j++) {
            double ds = p[j] * (dp[j] - inner) * scale;
            for (size_t e = 0; e < d; e++) {
                dqkv[i * row + h + e] += ds * (double)qkv[j * row + width + h + e];
                dqkv[j * row + width + h + e] += ds * (double)q[e];
            }
        }
    }
}

static void
check_attention_one(const witan_kernels *kernels, size_t windows, size_t L,
                    size_t width, size_t heads)
{
    static double y_now[ATTENTION_MAX], dqkv_now[3 * ATTENTION_MAX];
    static float keys[ATTENTION_MAX], values[ATTENTION_MAX];
    size_t count = windows * L * width;
    float *qkv = num_normals(&random_state, 3 * count), *y = num_unset(count);
    float *p = num_unset(windows * heads * L * L), *dqkv = num_unset(3 * count);
    float *dy = num_normals(&random_state, count), *last = num_unset(width);
    float *share = num_unset(L);
    void *scratch = num_scratch(kernels->attention_scratch(L, width, heads));
    kernels->attention_forward(y, p, qkv, windows, L, width, heads, scratch);
    kernels->attention_backward(dqkv, dy, p, qkv, windows, L, width, heads, scratch);
    for (size_t w = 0; w < windows; w++) {
        const float *from = qkv + w * L * 3 * width;
        plain_attention(y_now, dqkv_now, dy + w * L * width, from, L, width, heads);
        CHECK_GOLDEN(y + w * L * width, y_now, L * width, 2e-6, 1e-5);
        CHECK_GOLDEN(dqkv + w * L * 3 * width, dqkv_now, 3 * L * width, 5e-6, 1e-5);
        for (size_t i = 0; i < L * width; i++) {
            keys[i] = from[i / width * 3 * width + width + i % width];
            values[i] = from[i / width * 3 * width + 2 * width + i % width];
        }
        kernels->attention_step(last, from + (L - 1) * 3 * width, keys, values, L,
                                width, heads, share);
        CHECK_GOLDEN(last, y_now + (L - 1) * width, width, 2e-6, 1e-5);
    }
    float *blocks[] = {qkv, y, p, dqkv, dy, last, share};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        free(blocks[i]);
    }
    witan_free(witan_allocator_default(), scratch);
}

static void
check_attention(const witan_kernels *kernels)
{
    check_attention_one(kernels, 1, 1, 1, 1);
    check_attention_one(kernels, 2, 5, 6, 3);
    check_attention_one(kernels, 3, 17, 20, 2);
    check_attention_one(kernels, 1, 40, 64, 2);
}

static void
attention_matches_plain_loops(void)
{
    num_for_each_isa(check_attention);
}

/* --- vector functions ----------------------------------------------------------- */

/* Distance in units in the last place of the expected float. */
static double
ulps(float actual, double expected)
{
    float size = fabsf((float)expected);
    double unit = (double)(nextafterf(size, INFINITY) - size);
    return fabs((double)actual - expected) / unit;
}

/* One float in 9973, by their bits: every exponent. */
static void
check_functions(const witan_kernels *kernels)
{
    enum {
        BLOCK = 61
    };
    double worst_sigmoid = 0.0, worst_tanh = 0.0, worst_gelu = 0.0;
    float x[BLOCK], gate[4 * BLOCK], c[BLOCK], h[BLOCK], zero[BLOCK] = {0};
    uint64_t bits = 0;
    while (bits < UINT64_C(0xFFFFFFFF)) {
        for (size_t i = 0; i < BLOCK; bits += 9973) {
            uint32_t word = (uint32_t)bits;
            memcpy(&x[i], &word, sizeof word);
            i += isfinite(x[i]) || bits > UINT64_C(0xFFFFFFFF) ? 1 : 0;
        }
        for (size_t i = 0; i < 4 * BLOCK; i++) {
            gate[i] = x[i % BLOCK];
        }
        kernels->lstm_forward(gate, c, h, zero, 1, BLOCK);
        kernels->gelu_forward(h, x, BLOCK);
        for (size_t i = 0; i < BLOCK; i++) {
            double v = (double)x[i];
            if (!isfinite(x[i])) {
                continue;
            }
            if (v > -87.0) {
                worst_sigmoid = fmax(worst_sigmoid, ulps(gate[i], sigma(v)));
            }
            worst_tanh = fmax(worst_tanh, ulps(gate[2 * BLOCK + i], tanh(v)));
            double gelu = v < -40 ? 0.0 : v * 0.5 * (1.0 + erf(v / sqrt(2.0)));
            worst_gelu =
                fmax(worst_gelu, fabs((double)h[i] - gelu) / (1.0 + fabs(gelu)));
        }
    }
    CHECK(worst_sigmoid > 0.5 && worst_sigmoid < 2.5);
    CHECK(worst_tanh > 0.5 && worst_tanh < 1.5);
    CHECK(worst_gelu < 1e-6);
}

static void
vector_functions_keep_their_bounds(void)
{
    num_for_each_isa(check_functions);
}

static void
check_extremes(const witan_kernels *kernels)
{
    /* Gates of one unit: input, forget, candidate, output. */
    float gate[4] = {INFINITY, -INFINITY, INFINITY, INFINITY}, c[1], h[1];
    const float before[1] = {1.0f};
    kernels->lstm_forward(gate, c, h, before, 1, 1);
    CHECK(gate[0] == 1.0f && gate[1] < 1e-37f && gate[2] == 1.0f && c[0] == 1.0f);
    for (size_t k = 0; k < 4; k++) {
        float bad[4] = {0, 0, 0, 0};
        bad[k] = NAN;
        kernels->lstm_forward(bad, c, h, before, 1, 1);
        CHECK(isnan(h[0]));
    }
    for (size_t k = 0; k < 3; k++) {
        float bad[3] = {0, 0, 0};
        const float hidden[3] = {1, 1, 1};
        bad[k] = NAN;
        kernels->gru_forward(bad, hidden, h, before, 1, 1);
        CHECK(isnan(h[0]));
    }
}

static void
extremes_saturate_and_nan_shows(void)
{
    num_for_each_isa(check_extremes);
}

int
main(void)
{
    witan_random_init(&random_state, witan_test_seed(12), 0, 0, WITAN_PURPOSE_TEST);
    RUN(products_match_plain_loops);
    RUN(columns_add_up);
    RUN(cells_match_plain_loops);
    RUN(layer_norm_matches_plain_loops);
    RUN(attention_matches_plain_loops);
    RUN(vector_functions_keep_their_bounds);
    RUN(extremes_saturate_and_nan_shows);
    return witan_test_finish();
}
