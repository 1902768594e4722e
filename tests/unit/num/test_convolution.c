/* Convolution kernels against plain loops in double, for every instruction set: odd
 * channel and filter counts, strides, paddings, fused ReLU and pool. */
#include <string.h>

#include "support/witan_test.h"
#include "unit/num/num_test.h"

typedef struct arrays {
    witan_convolution c;
    size_t N, in, out, taps; /* floats of an image, an output, a filter */
    float *x, *w, *b, *dy;
    double *z;  /* [N, rows, columns, filters] before ReLU and pool */
    double *dz; /* its gradient */
    float *y, *dw, *db, *dx;
    unsigned char *route;
} arrays;

static double
input_at(const arrays *a, size_t n, size_t row, size_t column, size_t k)
{
    const witan_convolution *c = &a->c;
    if (row < c->padding || column < c->padding || row - c->padding >= c->height ||
        column - c->padding >= c->width) {
        return 0.0;
    }
    return (double)
        a->x[n * a->in +
             ((row - c->padding) * c->width + column - c->padding) * c->channels + k];
}

static void
reference_forward(arrays *a)
{
    const witan_convolution *c = &a->c;
    double *z = a->z;
    for (size_t n = 0; n < a->N; n++) {
        for (size_t q = 0; q < c->rows * c->columns; q++) {
            size_t top = q / c->columns * c->stride, left = q % c->columns * c->stride;
            for (size_t f = 0; f < c->filters; f++) {
                double sum = (double)a->b[f];
                for (size_t t = 0; t < a->taps; t++) {
                    size_t row = t / c->channels / c->kernel;
                    size_t column = t / c->channels % c->kernel;
                    sum += (double)a->w[f * a->taps + t] *
                           input_at(a, n, top + row, left + column, t % c->channels);
                }
                *z++ = sum;
            }
        }
    }
}

/* Output o of sample n: its value, and where in z it comes from (SIZE_MAX: nowhere). */
static double
reference_output(const arrays *a, size_t n, size_t o, size_t *from)
{
    const witan_convolution *c = &a->c;
    size_t f = o % c->filters, q = o / c->filters, step = c->pool ? 2 : 1;
    size_t columns = witan_convolution_out_columns(c);
    size_t top = q / columns * step, left = q % columns * step;
    double best = -HUGE_VAL;
    for (size_t i = 0; i < step * step; i++) {
        size_t at = ((n * c->rows + top + i / step) * c->columns + left + i % step) *
                        c->filters +
                    f;
        if (a->z[at] > best) {
            best = a->z[at];
            *from = at;
        }
    }
    if (c->relu && best <= 0) {
        *from = SIZE_MAX;
        return 0.0;
    }
    return best;
}

static void
check_forward(arrays *a)
{
    double *expected = calloc(a->N * a->out, sizeof *expected);
    for (size_t n = 0; n < a->N; n++) {
        for (size_t o = 0; o < a->out; o++) {
            size_t from = SIZE_MAX;
            expected[n * a->out + o] = reference_output(a, n, o, &from);
            if (from != SIZE_MAX) {
                a->dz[from] += (double)a->dy[n * a->out + o];
            }
        }
    }
    CHECK_GOLDEN(a->y, expected, a->N * a->out, 2e-5, 1e-5);
    free(expected);
}

static void
check_backward(const arrays *a)
{
    const witan_convolution *c = &a->c;
    double *dw = calloc(c->filters * a->taps, sizeof *dw);
    double *db = calloc(c->filters, sizeof *db);
    double *dx = calloc(a->N * a->in, sizeof *dx);
    for (size_t i = 0; i < a->N * c->rows * c->columns * c->filters; i++) {
        size_t f = i % c->filters, q = i / c->filters % (c->rows * c->columns);
        size_t n = i / c->filters / (c->rows * c->columns);
        db[f] += a->dz[i];
        for (size_t t = 0; t < a->taps; t++) {
            size_t row = q / c->columns * c->stride + t / c->channels / c->kernel;
            size_t column = q % c->columns * c->stride + t / c->channels % c->kernel;
            dw[f * a->taps + t] +=
                a->dz[i] * input_at(a, n, row, column, t % c->channels);
            if (row >= c->padding && column >= c->padding &&
                row - c->padding < c->height && column - c->padding < c->width) {
                dx[n * a->in +
                   ((row - c->padding) * c->width + column - c->padding) * c->channels +
                   t % c->channels] += a->dz[i] * (double)a->w[f * a->taps + t];
            }
        }
    }
    CHECK_GOLDEN(a->dw, dw, c->filters * a->taps, 1e-4, 1e-5);
    CHECK_GOLDEN(a->db, db, c->filters, 1e-4, 1e-5);
    CHECK_GOLDEN(a->dx, dx, a->N * a->in, 1e-4, 1e-5);
    free(dw);
    free(db);
    free(dx);
}

static void
check_one(const witan_kernels *kernels, witan_convolution c, size_t N)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(11), (uint32_t)c.filters,
                      (uint32_t)c.height, WITAN_PURPOSE_TEST);
    c.rows = (c.height + 2 * c.padding - c.kernel) / c.stride + 1;
    c.columns = (c.width + 2 * c.padding - c.kernel) / c.stride + 1;
    arrays a = {.c = c,
                .N = N,
                .in = c.height * c.width * c.channels,
                .out = witan_convolution_out_rows(&c) *
                       witan_convolution_out_columns(&c) * c.filters,
                .taps = c.kernel * c.kernel * c.channels};
    size_t before = N * c.rows * c.columns * c.filters;
    a.x = num_normals(&random, N * a.in);
    a.w = num_normals(&random, c.filters * a.taps);
    a.b = num_normals(&random, c.filters);
    a.dy = num_normals(&random, N * a.out);
    a.y = num_unset(N * a.out);
    a.dw = num_unset(c.filters * a.taps);
    a.db = num_unset(c.filters);
    a.dx = num_unset(N * a.in);
    a.z = calloc(before, sizeof *a.z);
    a.dz = calloc(before, sizeof *a.dz);
    a.route = malloc(N * a.out);
    memset(a.route, 0xee, N * a.out);
    void *scratch = num_scratch(kernels->convolution_scratch(&c));
    reference_forward(&a);
    kernels->convolution_forward(&c, a.y, c.pool ? a.route : NULL, a.x, a.w, a.b, N,
                                 scratch);
    check_forward(&a);
    kernels->convolution_backward(&c, a.dw, a.db, a.dx, a.dy, a.y, a.route, a.x, a.w, N,
                                  scratch);
    check_backward(&a);
    /* Without an input gradient the others must be the same bits. */
    float *dw = num_unset(c.filters * a.taps), *db = num_unset(c.filters);
    kernels->convolution_backward(&c, dw, db, NULL, a.dy, a.y, a.route, a.x, a.w, N,
                                  scratch);
    CHECK_FLOATS(dw, a.dw, c.filters * a.taps, 0.0, 0.0);
    CHECK_FLOATS(db, a.db, c.filters, 0.0, 0.0);
    /* Without routes (prediction) the outputs must be the same bits. */
    float *y = num_unset(N * a.out);
    kernels->convolution_forward(&c, y, NULL, a.x, a.w, a.b, N, scratch);
    CHECK_FLOATS(y, a.y, N * a.out, 0.0, 0.0);
    float *blocks[] = {a.x, a.w, a.b, a.dy, a.y, a.dw, a.db, a.dx, dw, db, y};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        free(blocks[i]);
    }
    free(a.z);
    free(a.dz);
    free(a.route);
    witan_free(witan_allocator_default(), scratch);
}

static void
check_geometries(const witan_kernels *kernels)
{
    /* height, width, channels, filters, kernel, stride, padding, relu, pool */
    static const witan_convolution cases[] = {
        {1, 1, 1, 1, 1, 1, 0, false, false, 0, 0},
        {28, 28, 1, 6, 5, 1, 2, true, true, 0, 0}, /* LeNet's first */
        {14, 14, 6, 16, 5, 1, 0, true, true, 0, 0},
        {28, 28, 1, 32, 3, 1, 1, true, true, 0, 0}, /* the CNN's first */
        {8, 9, 32, 64, 3, 1, 1, true, true, 0, 0},
        {7, 9, 3, 5, 3, 1, 1, true, false, 0, 0},
        {9, 7, 5, 17, 3, 1, 2, false, true, 0, 0},
        {9, 8, 4, 24, 3, 2, 1, true, false, 0, 0},
        {9, 8, 16, 33, 3, 2, 0, false, false, 0, 0},
        {11, 10, 2, 7, 4, 3, 2, false, true, 0, 0},
        {6, 7, 9, 40, 1, 2, 0, false, false, 0, 0}, /* a shortcut */
        {5, 5, 3, 4, 5, 1, 0, true, false, 0, 0},   /* one output pixel */
        {4, 4, 2, 3, 3, 5, 2, true, false, 0, 0},   /* stride beyond the kernel */
        {3, 3, 2, 9, 3, 1, 2, true, true, 0, 0},
        {30, 45, 2, 10, 3, 1, 1, true, true, 0, 0}, /* several strips */
        {13, 40, 3, 15, 3, 1, 1, true, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_one(kernels, cases[i], 3);
        check_one(kernels, cases[i], 17); /* whole vectors of images, and one left */
    }
}

static void
convolutions_match_plain_loops(void)
{
    num_for_each_isa(check_geometries);
}

int
main(void)
{
    RUN(convolutions_match_plain_loops);
    return witan_test_finish();
}
