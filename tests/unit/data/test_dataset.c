/* test_dataset.c - gathering, scaling and digests of sets in memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "data/dataset.h"
#include "support/witan_test.h"

/* A set of samples x height x width x channels with counting contents. */
static witan_dataset
make(size_t samples, size_t height, size_t width, size_t channels, bool bytes)
{
    const witan_allocator *heap = witan_allocator_default();
    size_t count = samples * height * width * channels;
    witan_dataset self = {.samples = samples,
                          .height = height,
                          .width = width,
                          .channels = channels,
                          .classes = 3,
                          .scales = channels};
    witan_random random;
    witan_random_init(&random, 7, 0, 0, WITAN_PURPOSE_TEST);
    if (bytes) {
        self.bytes = witan_alloc(heap, count, 1);
    } else {
        self.values = witan_alloc(heap, count, sizeof *self.values);
    }
    for (size_t i = 0; i < count; i++) {
        double value =
            100.0 + 50.0 * witan_random_uniform(&random) + (double)(i % channels);
        if (bytes) {
            self.bytes[i] = (uint8_t)value;
        } else {
            self.values[i] = (float)value;
        }
    }
    self.labels = witan_alloc(heap, samples, sizeof *self.labels);
    self.scale = witan_alloc(heap, channels, sizeof *self.scale);
    self.shift = witan_alloc(heap, channels, sizeof *self.shift);
    for (size_t i = 0; i < samples; i++) {
        self.labels[i] = (uint32_t)(i % 3);
    }
    for (size_t c = 0; c < channels; c++) {
        self.scale[c] = 0.5f + 0.01f * (float)c;
        self.shift[c] = -(float)c;
    }
    return self;
}

/* x[n, j] = raw * scale[j % C] + shift[j % C], one by one. */
static bool
gathers_as_written(const witan_dataset *set, const uint32_t *indices, size_t count)
{
    size_t features = witan_dataset_features(set);
    float *x = malloc(count * features * sizeof *x);
    uint32_t labels[16];
    bool ok = true;
    witan_dataset_gather(set, indices, count, x, labels);
    for (size_t n = 0; n < count; n++) {
        ok = ok && labels[n] == set->labels[indices[n]];
        for (size_t j = 0; j < features; j++) {
            size_t at = indices[n] * features + j, c = j % set->channels;
            float raw = set->bytes != NULL ? (float)set->bytes[at] : set->values[at];
            ok = ok && x[n * features + j] == raw * set->scale[c] + set->shift[c];
        }
    }
    witan_dataset_gather(set, indices, count, x, NULL);
    free(x);
    return ok;
}

static void
gather_matches_its_formula(void)
{
    static const size_t shapes[][4] = {{5, 8, 8, 1},   {6, 32, 32, 3}, {7, 1, 1, 13},
                                       {5, 1, 1, 200}, {5, 3, 5, 130}, {5, 1, 1, 1},
                                       {5, 9, 7, 128}, {5, 2, 2, 300}};
    const uint32_t indices[] = {4, 0, 3, 3, 1};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int bytes = 0; bytes < 2; bytes++) {
            witan_dataset set =
                make(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], bytes);
            CHECK(witan_dataset_features(&set) ==
                  shapes[s][1] * shapes[s][2] * shapes[s][3]);
            CHECK(gathers_as_written(&set, indices, 5));
            witan_dataset_fini(&set, witan_allocator_default());
            CHECK(set.bytes == NULL && set.labels == NULL && set.samples == 0);
            witan_dataset_fini(&set, witan_allocator_default());
        }
    }
}

/* Mean 0 and sd 1 per channel of what is gathered. */
static void
check_standard(witan_dataset *set)
{
    size_t features = witan_dataset_features(set), C = set->channels;
    double pixels = (double)(set->samples * features / C);
    float *x = malloc(features * sizeof *x);
    for (size_t c = 0; c < C; c++) {
        double sum = 0.0, squares = 0.0;
        for (uint32_t n = 0; n < set->samples; n++) {
            witan_dataset_gather(set, &n, 1, x, NULL);
            for (size_t j = c; j < features; j += C) {
                sum += (double)x[j];
                squares += (double)x[j] * (double)x[j];
            }
        }
        CHECK_NEAR(sum / pixels, 0.0, 1e-5, 0);
        CHECK_NEAR(squares / pixels, 1.0, 1e-5, 0);
    }
    free(x);
}

static void
fitted_scale_standardises(void)
{
    const witan_allocator *heap = witan_allocator_default();
    for (int bytes = 0; bytes < 2; bytes++) {
        witan_dataset image = make(50, 6, 6, 3, bytes),
                      table = make(50, 1, 1, 20, bytes);
        CHECK_STATUS(witan_dataset_fit_scale(&image, heap), WITAN_OK);
        CHECK(image.scales == 3);
        check_standard(&image);
        CHECK_STATUS(witan_dataset_fit_scale(&table, heap), WITAN_OK);
        check_standard(&table);
        witan_dataset_fini(&image, heap);
        witan_dataset_fini(&table, heap);
    }
}

static void
constant_channels_get_scale_one(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = make(1000, 1, 1, 3, false);
    for (size_t i = 0; i < 1000; i++) {
        set.values[3 * i] = 0.1f; /* its sum in double rounds */
        set.values[3 * i + 1] = i == 0 ? 1e-44f : 0.0f;
    }
    CHECK_STATUS(witan_dataset_fit_scale(&set, heap), WITAN_OK);
    CHECK_NEAR((double)set.scale[0], 1.0, 0, 0);
    CHECK_NEAR((double)set.shift[0], -0.1, 1e-6, 0);
    CHECK_NEAR((double)set.scale[1], 1.0, 0, 0);
    CHECK(set.scale[2] < 0.2f);
    witan_dataset_fini(&set, heap);
}

/* One value in 100000 that differs in its last bit is noise, not a signal. */
static void
nearly_constant_channels_get_scale_one(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = make(100000, 1, 1, 1, false);
    for (size_t i = 0; i < 100000; i++) {
        set.values[i] = 0.1f;
    }
    set.values[77] = nextafterf(0.1f, 1.0f);
    CHECK_STATUS(witan_dataset_fit_scale(&set, heap), WITAN_OK);
    CHECK_NEAR((double)set.scale[0], 1.0, 0, 0);
    witan_dataset_fini(&set, heap);
}

/* More squares than 32 bits hold. */
static void
large_images_do_not_overflow(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = make(80000, 1, 1, 1, true);
    for (size_t i = 0; i < 80000; i++) {
        set.bytes[i] = i % 4 == 0 ? 250 : 255;
    }
    CHECK_STATUS(witan_dataset_fit_scale(&set, heap), WITAN_OK);
    check_standard(&set);
    witan_dataset_fini(&set, heap);
}

static void
large_values_stay_finite(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = make(100, 1, 1, 1, false);
    for (size_t i = 0; i < 100; i++) {
        set.values[i] = i % 2 == 0 ? 3e38f : -3e38f;
    }
    CHECK_STATUS(witan_dataset_fit_scale(&set, heap), WITAN_OK);
    check_standard(&set);
    witan_dataset_fini(&set, heap);
}

static void
scale_is_copied(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset a = make(5, 4, 4, 3, true), b = make(9, 4, 4, 3, false),
                  c = make(9, 4, 4, 1, true);
    witan_diag diag = {0};
    CHECK_STATUS(witan_dataset_fit_scale(&a, heap), WITAN_OK);
    CHECK_STATUS(witan_dataset_copy_scale(&b, &a, heap, &diag), WITAN_OK);
    CHECK(memcmp(a.scale, b.scale, 3 * sizeof *a.scale) == 0);
    CHECK(memcmp(a.shift, b.shift, 3 * sizeof *a.shift) == 0);
    CHECK_STATUS(witan_dataset_copy_scale(&c, &a, heap, &diag), WITAN_E_DATA);
    CHECK_STRING(diag.message, "rows of 4x4x1 cannot take the scale of rows of 4x4x3; "
                               "use sets of the same shape");
    a.height = 2; /* as many numbers, another shape */
    a.width = 8;
    CHECK_STATUS(witan_dataset_copy_scale(&b, &a, heap, NULL), WITAN_E_DATA);
    a.height = 8;
    a.width = 4;
    CHECK_STATUS(witan_dataset_copy_scale(&b, &a, heap, NULL), WITAN_E_DATA);
    a.height = a.width = 4;

    for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        witan_dataset d = {.samples = 5, .height = 4, .width = 4, .channels = 3};
        d.bytes = a.bytes;
        CHECK_STATUS(witan_dataset_fit_scale(&d, &failing.allocator), WITAN_E_MEMORY);
        CHECK(failing.live == 0 && d.scale == NULL);
        witan_failing_allocator_init(&failing, fail_at);
        CHECK(witan_dataset_copy_scale(&d, &a, &failing.allocator, NULL) ==
              (fail_at <= 2 ? WITAN_E_MEMORY : WITAN_OK));
        witan_free(&failing.allocator, d.scale);
        witan_free(&failing.allocator, d.shift);
        CHECK(failing.live == 0);
    }
    witan_dataset_fini(&a, heap);
    witan_dataset_fini(&b, heap);
    witan_dataset_fini(&c, heap);
}

static void
digest_covers_everything_but_the_scale(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset a = make(5, 4, 4, 3, true), b = make(5, 4, 4, 3, true);
    uint8_t one[32], two[32];
    witan_dataset_digest(&a, one);
    b.scale[0] = 9.0f;
    witan_dataset_digest(&b, two);
    CHECK(memcmp(one, two, 32) == 0);
    b.bytes[5 * 48 - 1] ^= 1;
    witan_dataset_digest(&b, two);
    CHECK(memcmp(one, two, 32) != 0);
    b.bytes[5 * 48 - 1] ^= 1;
    b.labels[4] ^= 1;
    witan_dataset_digest(&b, two);
    CHECK(memcmp(one, two, 32) != 0);
    b.labels[4] ^= 1;
    b.height = 2;
    b.width = 8;
    witan_dataset_digest(&b, two);
    CHECK(memcmp(one, two, 32) != 0);
    witan_dataset_fini(&a, heap);
    witan_dataset_fini(&b, heap);
}

/* Rows that a caller adds are gathered as the others are, which stay. */
static void
added_rows_are_rows(void)
{
    const witan_allocator *heap = witan_allocator_default();
    for (int bytes = 0; bytes < 2; bytes++) {
        witan_dataset set = make(5, 2, 3, 2, bytes != 0), before;
        float row[12], x[12], first[12];
        uint32_t index = 0, label;
        before = set;
        witan_dataset_gather(&set, &index, 1, first, NULL);
        for (size_t j = 0; j < 12; j++) {
            row[j] = (float)(j * 20);
        }
        CHECK_STATUS(witan_dataset_append(&set, row, NULL, 3, heap), WITAN_E_INVALID);
        CHECK_STATUS(witan_dataset_append(&set, NULL, NULL, 0, heap), WITAN_E_INVALID);
        row[11] = bytes != 0 ? 256.0f : INFINITY;
        CHECK_STATUS(witan_dataset_append(&set, row, NULL, 0, heap), WITAN_E_INVALID);
        row[11] = bytes != 0 ? 0.5f : NAN;
        CHECK_STATUS(witan_dataset_append(&set, row, NULL, 0, heap), WITAN_E_INVALID);
        CHECK(memcmp(&set, &before, sizeof set) == 0);
        row[11] = 255.0f;
        for (uint32_t i = 0; i < 100; i++) {
            row[0] = (float)i;
            CHECK_STATUS(witan_dataset_append(&set, row, NULL, i % 3, heap), WITAN_OK);
        }
        CHECK(set.samples == 105);
        for (uint32_t i = 0; i < 100; i++) {
            index = 5 + i;
            witan_dataset_gather(&set, &index, 1, x, &label);
            CHECK(label == i % 3);
            CHECK_NEAR((double)x[0], (double)((float)i * set.scale[0] + set.shift[0]),
                       1e-6, 1e-6);
            CHECK_NEAR((double)x[11], (double)(255.0f * set.scale[1] + set.shift[1]),
                       1e-6, 1e-6);
        }
        index = 0;
        witan_dataset_gather(&set, &index, 1, x, NULL);
        CHECK(memcmp(x, first, sizeof x) == 0);
        CHECK(witan_dataset_outputs(&set) == 3 && witan_dataset_positions(&set) == 1);
        witan_dataset_fini(&set, heap);
    }
}

/* A row that memory is short for leaves the set as it was. */
static void
an_added_row_may_fail(void)
{
    for (int text = 0; text < 2; text++) {
        witan_status status = WITAN_E_MEMORY;
        for (size_t fail_at = 1; status == WITAN_E_MEMORY; fail_at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, 0);
            const witan_allocator *heap = &failing.allocator;
            witan_dataset set = {.samples = 1,
                                 .height = 1,
                                 .width = 2,
                                 .channels = 1,
                                 .classes = 2,
                                 .length = text != 0 ? 2 : 0,
                                 .vocabulary = 9};
            uint8_t before[32], after[32];
            set.labels = witan_zalloc(heap, 1, sizeof *set.labels);
            if (text != 0) {
                set.starts = witan_zalloc(heap, 1, sizeof *set.starts);
                set.tokens = witan_zalloc(heap, 3, sizeof *set.tokens);
                set.token_count = 3;
            } else {
                set.values = witan_zalloc(heap, 2, sizeof *set.values);
            }
            witan_dataset_digest(&set, before);
            failing.fail_at = failing.allocations + fail_at;
            status = witan_dataset_append(&set, (float[]){1.0f, 2.0f},
                                          (uint32_t[]){1, 2, 3}, 1, heap);
            witan_dataset_digest(&set, after);
            CHECK(status == WITAN_OK || status == WITAN_E_MEMORY);
            CHECK((status == WITAN_OK) == (memcmp(before, after, 32) != 0));
            CHECK(set.samples == (status == WITAN_OK ? 2 : 1));
            CHECK(status != WITAN_OK || fail_at == (text != 0 ? 4 : 3));
            witan_dataset_fini(&set, heap);
            CHECK(failing.live == 0);
        }
        CHECK_STATUS(status, WITAN_OK);
    }
}

int
main(void)
{
    RUN(added_rows_are_rows);
    RUN(an_added_row_may_fail);
    RUN(gather_matches_its_formula);
    RUN(fitted_scale_standardises);
    RUN(constant_channels_get_scale_one);
    RUN(nearly_constant_channels_get_scale_one);
    RUN(large_images_do_not_overflow);
    RUN(large_values_stay_finite);
    RUN(scale_is_copied);
    RUN(digest_covers_everything_but_the_scale);
    return witan_test_finish();
}
