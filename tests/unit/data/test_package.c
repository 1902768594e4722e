/* test_package.c - a transfer set packed, carried and unpacked; and everything that is
 * not one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "data/package.h"
#include "support/witan_test.h"

enum {
    HEADER = 40,
    ROWS = 5
};

static const uint32_t indices[ROWS] = {7, 0, 3, 3, 8};

static void
fill(void *out, size_t count, bool bytes)
{
    witan_random random;
    witan_random_init(&random, 7, 0, 0, WITAN_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++) {
        double value = 256.0 * witan_random_uniform(&random);
        if (bytes) {
            ((uint8_t *)out)[i] = (uint8_t)value;
        } else {
            ((float *)out)[i] = (float)value - 100.0f;
        }
    }
}

/* Nine rows, labelled; the classes are named when `named`. */
static witan_dataset
make(size_t height, size_t width, size_t channels, bool bytes, bool named)
{
    static const char *const names[] = {"cat", "", "caf\xC3\xA9 \xE2\x82\xAC"};
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset self = {.samples = 9,
                          .height = height,
                          .width = width,
                          .channels = channels,
                          .classes = 3,
                          .scales = channels};
    size_t count = 9 * height * width * channels;
    if (bytes) {
        self.bytes = witan_alloc(heap, count, 1);
        fill(self.bytes, count, true);
    } else {
        self.values = witan_alloc(heap, count, sizeof *self.values);
        fill(self.values, count, false);
    }
    self.labels = witan_zalloc(heap, 9, sizeof *self.labels);
    self.scale = witan_alloc(heap, channels, sizeof *self.scale);
    self.shift = witan_zalloc(heap, channels, sizeof *self.shift);
    for (size_t c = 0; c < channels; c++) {
        self.scale[c] = 1.0f / 255.0f;
    }
    if (named) {
        self.class_names = witan_zalloc(heap, 3, sizeof *self.class_names);
        for (size_t c = 0; c < 3; c++) {
            self.class_names[c] = witan_strdup(heap, names[c]);
        }
    }
    return self;
}

typedef struct package {
    uint8_t *bytes;
    size_t size;
} package;

static package
pack(const witan_dataset *set)
{
    package out;
    witan_diag diag = {0};
    CHECK_STATUS(witan_package_write(&out.bytes, &out.size, set, indices, ROWS,
                                     witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    return out;
}

/* A package to damage: 2 x 3 x 2 floats, named. */
static package
sample(bool bytes)
{
    witan_dataset set = make(2, 3, 2, bytes, true);
    package out = pack(&set);
    witan_dataset_fini(&set, witan_allocator_default());
    return out;
}

static void
drop(package *self)
{
    witan_free(witan_allocator_default(), self->bytes);
}

static bool
gathers_the_same(const witan_dataset *set, const witan_dataset *read)
{
    static const uint32_t order[ROWS] = {0, 1, 2, 3, 4};
    size_t count = ROWS * witan_dataset_features(set);
    float *expected = malloc(count * sizeof *expected);
    float *actual = malloc(count * sizeof *actual);
    witan_dataset_gather(set, indices, ROWS, expected, NULL);
    witan_dataset_gather(read, order, ROWS, actual, NULL);
    bool ok = memcmp(expected, actual, count * sizeof *actual) == 0;
    free(expected);
    free(actual);
    return ok;
}

static void
check_round_trip(const witan_dataset *set)
{
    const witan_allocator *heap = witan_allocator_default();
    static const uint32_t order[ROWS] = {0, 1, 2, 3, 4};
    package packed = pack(set), again;
    witan_dataset read;
    CHECK_STATUS(witan_package_read(&read, packed.bytes, packed.size, heap, NULL),
                 WITAN_OK);
    CHECK(read.samples == ROWS && read.classes == 3 && read.labels == NULL);
    CHECK(read.height == set->height && read.width == set->width);
    CHECK(read.channels == set->channels && read.scales == set->scales);
    CHECK((read.bytes != NULL) == (set->bytes != NULL));
    CHECK((read.values != NULL) == (set->values != NULL));
    CHECK((read.class_names != NULL) == (set->class_names != NULL));
    for (size_t c = 0; set->class_names != NULL && c < 3; c++) {
        CHECK_STRING(read.class_names[c], set->class_names[c]);
    }
    CHECK(gathers_the_same(set, &read));
    CHECK_STATUS(
        witan_package_write(&again.bytes, &again.size, &read, order, ROWS, heap, NULL),
        WITAN_OK);
    CHECK(again.size == packed.size &&
          memcmp(again.bytes, packed.bytes, again.size) == 0);
    witan_dataset_fini(&read, heap);
    drop(&packed);
    drop(&again);
}

static void
gathers_bit_identical_rows(void)
{
    static const size_t shapes[][3] = {{8, 8, 1}, {5, 7, 3}, {1, 1, 13}, {1, 1, 200}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int kind = 0; kind < 4; kind++) {
            witan_dataset set = make(shapes[s][0], shapes[s][1], shapes[s][2],
                                     (kind & 1) != 0, (kind & 2) != 0);
            check_round_trip(&set);
            CHECK_STATUS(witan_dataset_fit_scale(&set, witan_allocator_default()),
                         WITAN_OK);
            check_round_trip(&set);
            witan_dataset_fini(&set, witan_allocator_default());
        }
    }
}

/* Other programs read these bytes: their places are fixed. */
static void
layout_is_as_written(void)
{
    static const uint8_t expected[] = {
        'W', 'T', 'N', 'T', 'S', 'E', 'T', '1', 1, 0,   0,   0,   2, 0, 0,  0,
        3,   0,   0,   0,   2,   0,   0,   0,   3, 0,   0,   0,   5, 0, 0,  0,
        2,   0,   0,   0,   3,   0,   0,   0,   3, 'c', 'a', 't', 0, 9, 'c'};
    package packed = sample(true);
    witan_dataset set = make(2, 3, 2, true, true);
    size_t scale = HEADER + 4 + 1 + 10;
    CHECK(memcmp(packed.bytes, expected, sizeof expected) == 0);
    CHECK(memcmp(packed.bytes + scale, set.scale, 8) == 0);
    CHECK(memcmp(packed.bytes + scale + 8, set.shift, 8) == 0);
    CHECK(memcmp(packed.bytes + scale + 16, set.bytes + 7 * 12, 12) == 0);
    CHECK(memcmp(packed.bytes + scale + 16 + 48, set.bytes + 8 * 12, 12) == 0);
    CHECK(packed.size == scale + 16 + 60);
    witan_dataset_fini(&set, witan_allocator_default());
    drop(&packed);
}

/* --- text ------------------------------------------------------------------------- */

/* Three windows of two tokens and the next one, which they share. */
static witan_dataset
make_text(void)
{
    static const char *const names[] = {"<unk>", "\\n", "a", "caf\xC3\xA9"};
    static const uint32_t tokens[] = {1, 2, 3, 0, 3, 3, 1};
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset self = {.samples = 3,
                          .height = 1,
                          .width = 2,
                          .channels = 1,
                          .classes = 2,
                          .length = 2,
                          .vocabulary = 4,
                          .token_count = 7};
    self.labels = witan_zalloc(heap, 3, sizeof *self.labels);
    self.starts = witan_alloc(heap, 3, sizeof *self.starts);
    self.tokens = witan_alloc(heap, 7, sizeof *self.tokens);
    self.token_names = witan_zalloc(heap, 4, sizeof *self.token_names);
    self.class_names = witan_zalloc(heap, 2, sizeof *self.class_names);
    memcpy(self.tokens, tokens, sizeof tokens);
    for (size_t i = 0; i < 3; i++) {
        self.starts[i] = (uint32_t)(2 * i);
    }
    for (size_t v = 0; v < 4; v++) {
        self.token_names[v] = witan_strdup(heap, names[v]);
    }
    for (size_t c = 0; c < 2; c++) {
        self.class_names[c] = witan_strdup(heap, c == 0 ? "secret" : "private");
    }
    return self;
}

static package
pack_text(const witan_dataset *set)
{
    static const uint32_t rows[] = {2, 0};
    package out;
    CHECK_STATUS(witan_package_write(&out.bytes, &out.size, set, rows, 2,
                                     witan_allocator_default(), NULL),
                 WITAN_OK);
    return out;
}

static void
text_travels_without_its_groups(void)
{
    static const uint8_t expected[] = {
        'W',  'T', 'N', 'T', 'S', 'E',  'T', '1', 2,   0, 0,   0,   1,   0,
        0,    0,   3,   0,   0,   0,    1,   0,   0,   0, 4,   0,   0,   0,
        2,    0,   0,   0,   0,   0,    0,   0,   4,   0, 0,   0,   5,   '<',
        'u',  'n', 'k', '>', 2,   '\\', 'n', 1,   'a', 5, 'c', 'a', 'f', 0xC3,
        0xA9, 3,   0,   3,   0,   1,    0,   1,   0,   2, 0,   3,   0};
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = make_text(), read;
    package packed = pack_text(&set), again;
    uint32_t order[] = {0, 1}, windows[6];
    CHECK(packed.size == sizeof expected);
    CHECK(memcmp(packed.bytes, expected, sizeof expected) == 0);
    CHECK_STATUS(witan_package_read(&read, packed.bytes, packed.size, heap, NULL),
                 WITAN_OK);
    CHECK(read.samples == 2 && read.length == 2 && read.width == 2 &&
          read.vocabulary == 4 && read.classes == 0 && read.labels == NULL &&
          read.class_names == NULL && read.scale == NULL);
    CHECK(witan_dataset_outputs(&read) == 4 && witan_dataset_positions(&read) == 2);
    CHECK_STRING(read.token_names[1], "\\n");
    witan_dataset_windows(&read, order, 2, windows);
    CHECK(memcmp(windows, (uint32_t[]){3, 3, 1, 1, 2, 3}, sizeof windows) == 0);
    CHECK_STATUS(
        witan_package_write(&again.bytes, &again.size, &read, order, 2, heap, NULL),
        WITAN_OK);
    CHECK(again.size == packed.size &&
          memcmp(again.bytes, packed.bytes, again.size) == 0);
    witan_dataset_fini(&read, heap);
    witan_dataset_fini(&set, heap);
    drop(&again);
    drop(&packed);
}

static witan_status try_read(const uint8_t *bytes, size_t size, witan_diag *diag);

static void
text_that_lies_is_refused(void)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *part;
    } lies[] = {
        {HEADER - 28, 2, "cannot be"},         /* height */
        {HEADER - 24, 1, "cannot be"},         /* width: no next token */
        {HEADER - 23, 0x10, "cannot be"},      /* width: 4099 tokens */
        {HEADER - 20, 2, "cannot be"},         /* channels */
        {HEADER - 16, 5, "impossible number"}, /* classes, not names */
        {HEADER - 8, 1, "cannot be"},          /* scales */
        {HEADER - 12, 1, "longer"},            /* rows */
        {HEADER - 12, 3, "shorter"},           /* rows */
        {HEADER + 1, '{', "no vocabulary"},    /* <unk> */
        {HEADER + 7, '/', "no vocabulary"},    /* the line break: a word and a mark */
        {HEADER + 10, '\\', "no vocabulary"},  /* a: half an escape */
        {HEADER + 10, 0, "control"},           /* a */
        {HEADER + 15, 0xFF, "no vocabulary"},  /* é */
        {HEADER + 17, 4, "beyond the vocabulary"}, /* the first token */
        {HEADER + 18, 1, "beyond the vocabulary"},
    };
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = make_text(), read;
    package packed = pack_text(&set);
    witan_diag diag;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t truth = packed.bytes[lies[i].at];
        packed.bytes[lies[i].at] = lies[i].value;
        CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_E_DATA);
        CHECK_CONTAINS(diag.message, lies[i].part);
        packed.bytes[lies[i].at] = truth;
    }
    for (size_t size = 0; size < packed.size; size++) {
        CHECK_STATUS(try_read(packed.bytes, size, &diag), WITAN_E_DATA);
    }
    CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_OK);
    witan_status status = WITAN_E_MEMORY;
    size_t fail_at;
    for (fail_at = 1; status == WITAN_E_MEMORY; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        memset(&diag, 0, sizeof diag);
        status = witan_package_read(&read, packed.bytes, packed.size,
                                    &failing.allocator, &diag);
        CHECK(status == diag.status);
        witan_dataset_fini(&read, &failing.allocator);
        CHECK(failing.live == 0);
    }
    CHECK_STATUS(status, WITAN_OK);
    CHECK(fail_at > 10);
    witan_dataset_fini(&set, heap);
    drop(&packed);
}

/* Reads a copy of exactly that size, so that a sanitizer sees a byte too far. */
static witan_status
try_read(const uint8_t *bytes, size_t size, witan_diag *diag)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);
    witan_dataset read;
    memcpy(copy, bytes, size);
    memset(diag, 0, sizeof *diag);
    witan_status status =
        witan_package_read(&read, copy, size, witan_allocator_default(), diag);
    CHECK((status == WITAN_OK) == (diag->message[0] == '\0'));
    CHECK((status == WITAN_OK) == (read.samples != 0));
    witan_dataset_fini(&read, witan_allocator_default());
    free(copy);
    return status;
}

static void
other_lengths_are_refused(void)
{
    witan_diag diag;
    for (int bytes = 0; bytes < 2; bytes++) {
        package packed = sample(bytes != 0);
        uint8_t *longer = calloc(packed.size + 1, 1);
        for (size_t size = 0; size < packed.size; size++) {
            CHECK_STATUS(try_read(packed.bytes, size, &diag), WITAN_E_DATA);
            CHECK_CONTAINS(diag.message,
                           size < HEADER ? "no header" : "shorter than its header");
        }
        CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_OK);
        memcpy(longer, packed.bytes, packed.size);
        CHECK_STATUS(try_read(longer, packed.size + 1, &diag), WITAN_E_DATA);
        free(longer);
        drop(&packed);
    }
}

static void
flipped_bits_change_the_digest(void)
{
    witan_diag diag;
    for (int bytes = 0; bytes < 2; bytes++) {
        package packed = sample(bytes != 0);
        uint8_t digest[32], other[32];
        witan_package_digest(packed.bytes, packed.size, digest);
        for (size_t bit = 0; bit < packed.size * 8; bit++) {
            packed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            witan_package_digest(packed.bytes, packed.size, other);
            CHECK(memcmp(digest, other, 32) != 0);
            witan_status status = try_read(packed.bytes, packed.size, &diag);
            CHECK(status == WITAN_OK || status == WITAN_E_DATA);
            CHECK(bit >= HEADER * 8 || status == WITAN_E_DATA);
            packed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        drop(&packed);
    }
}

static void
put_u32(package *self, size_t field, uint32_t value)
{
    memcpy(self->bytes + 8 + 4 * field, &value, 4);
}

static void
headers_that_lie_are_refused(void)
{
    enum {
        ELEMENT,
        HEIGHT,
        WIDTH,
        CHANNELS,
        CLASSES,
        SAMPLES,
        SCALES,
        NAMES
    };
    static const struct {
        size_t field;
        uint32_t value;
        const char *part;
    } lies[] = {
        {ELEMENT, 0, "unknown type"},
        {ELEMENT, 2, "windows or a vocabulary"},
        {ELEMENT, 3, "unknown type"},
        {ELEMENT, 4, "shorter"},
        {HEIGHT, 0, "impossible shape"},
        {WIDTH, 0, "impossible shape"},
        {CHANNELS, 0, "impossible shape"},
        {HEIGHT, UINT32_MAX, "impossible shape"},
        {WIDTH, UINT32_MAX, "impossible shape"},
        {CHANNELS, UINT32_MAX, "impossible shape"},
        {WIDTH, 1 << 22, "shorter"}, /* x 2 x 2: just within the limit */
        {WIDTH, (1 << 22) + 1, "impossible shape"},
        {CLASSES, 70000, "impossible number of classes"},
        {CLASSES, 4, "impossible number of classes"},
        {NAMES, 2, "impossible number of classes"},
        {NAMES, 0, "longer"},
        {SAMPLES, 0, "no rows"},
        {SAMPLES, UINT32_MAX, "no rows"},
        {SAMPLES, (uint32_t)1 << 31, "shorter"},
        {SAMPLES, 4, "longer"},
        {SAMPLES, 6, "shorter"},
        {SCALES, 1, "one scale per channel"},
        {SCALES, UINT32_MAX, "one scale per channel"},
    };
    witan_diag diag;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        package packed = sample(true);
        put_u32(&packed, lies[i].field, lies[i].value);
        CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_E_DATA);
        CHECK_CONTAINS(diag.message, lies[i].part);
        drop(&packed);
    }
}

/* The list of names is not taken before the bytes can hold them. */
static void
nothing_is_taken_for_a_lie(void)
{
    witan_failing_allocator counting;
    witan_dataset read;
    package packed = sample(true);
    memcpy(packed.bytes + 8 + 4 * 4, &(uint32_t){60000}, 4); /* classes */
    memcpy(packed.bytes + 8 + 4 * 7, &(uint32_t){60000}, 4); /* names */
    witan_failing_allocator_init(&counting, 0);
    CHECK_STATUS(
        witan_package_read(&read, packed.bytes, packed.size, &counting.allocator, NULL),
        WITAN_E_DATA);
    CHECK(counting.allocations == 0);
    drop(&packed);
}

static void
class_names_are_plain(void)
{
    static const char *const wrong[] = {"a\tb", "\x1B[1m", "a\x7F", "\xC2\x9B[1m",
                                        "a\x1F"};
    const witan_allocator *heap = witan_allocator_default();
    witan_diag diag;
    char name[WITAN_CLASS_NAME_MAX + 2];
    package packed;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        witan_dataset set = make(2, 3, 2, true, true);
        witan_free(heap, set.class_names[1]);
        set.class_names[1] = witan_strdup(heap, wrong[i]);
        memset(&diag, 0, sizeof diag);
        CHECK_STATUS(witan_package_write(&packed.bytes, &packed.size, &set, indices,
                                         ROWS, heap, &diag),
                     WITAN_E_DATA);
        CHECK_CONTAINS(diag.message, "the name of class 1");
        CHECK(packed.bytes == NULL && packed.size == 0);
        witan_dataset_fini(&set, heap);
    }
    packed = sample(true);
    memcpy(packed.bytes + HEADER + 1, "c\0t", 3);
    CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "control characters");
    drop(&packed);

    witan_dataset set = make(2, 3, 2, true, true);
    memset(name, 'n', sizeof name);
    name[WITAN_CLASS_NAME_MAX] = '\0';
    witan_free(heap, set.class_names[2]);
    set.class_names[2] = witan_strdup(heap, name);
    check_round_trip(&set); /* the longest */
    name[WITAN_CLASS_NAME_MAX] = 'n';
    name[WITAN_CLASS_NAME_MAX + 1] = '\0';
    witan_free(heap, set.class_names[2]);
    set.class_names[2] = witan_strdup(heap, name);
    CHECK_STATUS(witan_package_write(&packed.bytes, &packed.size, &set, indices, ROWS,
                                     heap, NULL),
                 WITAN_E_DATA);
    witan_dataset_fini(&set, heap);
}

/* Scale [2], shift [2], then the raw numbers, as floats of the package. */
static void
numbers_are_finite(void)
{
    static const float wrong[] = {NAN, INFINITY, -INFINITY};
    size_t first = HEADER + 4 + 1 + 10;
    witan_diag diag;
    for (int bytes = 0; bytes < 2; bytes++) {
        size_t floats = bytes != 0 ? 4 : 4 + 5 * 12;
        for (size_t at = 0; at < floats; at++) {
            for (size_t i = 0; i < 3; i++) {
                package packed = sample(bytes != 0);
                memcpy(packed.bytes + first + 4 * at, &wrong[i], 4);
                CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_E_DATA);
                CHECK_CONTAINS(diag.message, "not finite");
                drop(&packed);
            }
        }
        /* Finite themselves, not so once scaled. */
        package packed = sample(bytes != 0);
        memcpy(packed.bytes + first + 4, &(float){3e38f}, 4);
        CHECK_STATUS(try_read(packed.bytes, packed.size, &diag), WITAN_E_DATA);
        drop(&packed);
    }
}

static void
sizes_are_limited(void)
{
    const witan_allocator *heap = witan_allocator_default();
    static const uint32_t first[65];
    static uint8_t none[1]; /* never looked at */
    float one[] = {1.0f};
    witan_dataset set = {.samples = 1, .height = 4096, .width = 4096, .channels = 1};
    witan_diag diag = {0};
    witan_dataset read;
    package packed;
    set.bytes = none;
    set.scale = set.shift = one;
    set.scales = 1;
    CHECK_STATUS(witan_package_write(&packed.bytes, &packed.size, &set, first, 64, heap,
                                     &diag), /* 1 GiB and a header */
                 WITAN_E_LIMIT);
    CHECK_CONTAINS(diag.message, "64 rows");
    CHECK(packed.bytes == NULL && packed.size == 0);
    CHECK_STATUS(
        witan_package_write(&packed.bytes, &packed.size, &set, first, 0, heap, NULL),
        WITAN_E_CONFIG);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_package_read(&read, none, WITAN_PACKAGE_BYTES_MAX + 1, heap, &diag),
        WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "too large");
}

static void
failing_allocations_leave_nothing(void)
{
    witan_dataset set = make(2, 3, 2, false, true), read;
    package packed = pack(&set), other;
    witan_failing_allocator failing;
    witan_status status = WITAN_E_MEMORY;
    witan_diag diag = {0};
    size_t failures = 0;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_package_write(&other.bytes, &other.size, &set, indices, ROWS,
                                     &failing.allocator, &diag),
                 WITAN_E_MEMORY);
    CHECK(failing.live == 0 && other.bytes == NULL && diag.message[0] != '\0');
    for (size_t fail_at = 1; status != WITAN_OK; fail_at++) {
        memset(&diag, 0, sizeof diag);
        witan_failing_allocator_init(&failing, fail_at);
        status = witan_package_read(&read, packed.bytes, packed.size,
                                    &failing.allocator, &diag);
        if (status == WITAN_OK) {
            witan_dataset_fini(&read, &failing.allocator);
        } else {
            failures++;
            CHECK_STATUS(status, WITAN_E_MEMORY);
            CHECK(read.samples == 0 && read.values == NULL && diag.message[0] != '\0');
        }
        CHECK(failing.live == 0);
    }
    CHECK(failures == 7); /* list and three names, scale, shift, rows */
    witan_dataset_fini(&set, witan_allocator_default());
    drop(&packed);
}

int
main(void)
{
    RUN(gathers_bit_identical_rows);
    RUN(layout_is_as_written);
    RUN(text_travels_without_its_groups);
    RUN(text_that_lies_is_refused);
    RUN(other_lengths_are_refused);
    RUN(flipped_bits_change_the_digest);
    RUN(headers_that_lie_are_refused);
    RUN(nothing_is_taken_for_a_lie);
    RUN(class_names_are_plain);
    RUN(numbers_are_finite);
    RUN(sizes_are_limited);
    RUN(failing_allocations_leave_nothing);
    return witan_test_finish();
}
