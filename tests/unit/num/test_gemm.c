/* OpenBLAS against plain loops, for both transpositions and strided storage. */
#include "num/gemm.h"

#include "support/witan_test.h"
#include "unit/num/num_test.h"

static void
check_product(size_t M, size_t N, size_t K, bool a_transposed, bool b_transposed,
              float beta)
{
    witan_random random;
    witan_random_init(&random, 5, (uint32_t)(M + N), (uint32_t)K, WITAN_PURPOSE_TEST);
    size_t gap = 3; /* floats between rows that must stay as they are */
    size_t a_rows = a_transposed ? K : M, a_stride = (a_transposed ? M : K) + gap;
    size_t b_rows = b_transposed ? N : K, b_stride = (b_transposed ? K : N) + gap;
    float *a = num_normals(&random, a_rows * a_stride);
    float *b = num_normals(&random, b_rows * b_stride);
    float *c = num_normals(&random, M * (N + gap)),
          *expected = num_unset(M * (N + gap));
    for (size_t i = 0; i < M * (N + gap); i++) {
        c[i] = beta != 0 ? c[i] : NAN; /* beta 0 must not read */
        expected[i] = c[i];
        if (i % (N + gap) >= N) {
            c[i] = expected[i] = -7.0f;
        }
    }
    witan_factor left = {a, a_stride, a_transposed},
                 right = {b, b_stride, b_transposed};
    witan_gemm(c, N + gap, left, right, M, N, K, beta);
    witan_gemm_reference(expected, N + gap, left, right, M, N, K, beta);
    CHECK_FLOATS(c, expected, M * (N + gap), 1e-4, 1e-5);
    free(a);
    free(b);
    free(c);
    free(expected);
}

static void
products_match_plain_loops(void)
{
    static const size_t extents[][3] = {
        {1, 1, 1}, {3, 5, 7}, {64, 10, 33}, {17, 40, 129}};
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++) {
        for (unsigned way = 0; way < 8; way++) {
            check_product(extents[i][0], extents[i][1], extents[i][2], (way & 1) != 0,
                          (way & 2) != 0, (way & 4) != 0 ? 0.5f : 0.0f);
        }
    }
}

/* [[1 2 3] [4 5 6]] times [[1] [0] [-1]]: by hand, for the reference itself. */
static void
reference_matches_hand_made_product(void)
{
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, -1};
    float c[] = {10, 20};
    witan_gemm_reference(c, 1, (witan_factor){a, 3, false}, (witan_factor){b, 1, false},
                         2, 1, 3, 1.0f);
    CHECK_FLOATS(c, ((const float[]){8, 18}), 2, 0.0, 0.0);
    witan_gemm_reference(c, 1, (witan_factor){a, 2, true}, (witan_factor){b, 1, false},
                         2, 1, 3, 0.0f);
    CHECK_FLOATS(c, ((const float[]){-4, -4}), 2, 0.0, 0.0);
}

int
main(void)
{
    witan_blas_set_single_threaded();
    RUN(reference_matches_hand_made_product);
    RUN(products_match_plain_loops);
    return witan_test_finish();
}
