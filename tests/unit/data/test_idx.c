/* test_idx.c - IDX directories, plain and gzip, whole and broken. */
#include <stdio.h>
#include <string.h>

#include "data/readers.h"
#include "fixtures.h"
#include "support/witan_test.h"

static image train_x, train_y, test_x, test_y, scratch;

/* Four training images of 2 x 3 and three test images; pixel = 10 n + j. */
static void
build(void)
{
    image_idx(&train_x, 3, (const uint32_t[]){4, 2, 3});
    image_idx(&test_x, 3, (const uint32_t[]){3, 2, 3});
    for (uint8_t n = 0; n < 4; n++) {
        for (uint8_t j = 0; j < 6; j++) {
            uint8_t pixel = (uint8_t)(10 * n + j);
            image_add(&train_x, &pixel, 1);
            if (n < 3) {
                image_add(&test_x, &pixel, 1);
            }
        }
    }
    image_idx(&train_y, 1, (const uint32_t[]){4});
    image_add(&train_y, "\0\1\1\2", 4);
    image_idx(&test_y, 1, (const uint32_t[]){3});
    image_add(&test_y, "\3\0\1", 3);
}

static void
put(const char *directory, const char *name, const image *content)
{
    const char *path = in_directory(directory, name);
    size_t length = strlen(name);
    if (length > 3 && strcmp(name + length - 3, ".gz") == 0) {
        image_gzip(content, &scratch);
        content = &scratch;
    }
    witan_test_write(path, content->bytes, content->size);
}

static const char *
whole(void)
{
    const char *directory = fresh_directory();
    build();
    put(directory, "train-images-idx3-ubyte", &train_x);
    put(directory, "train-labels-idx1-ubyte", &train_y);
    put(directory, "t10k-images-idx3-ubyte", &test_x);
    put(directory, "t10k-labels-idx1-ubyte", &test_y);
    return directory;
}

static void
check_content(const char *directory)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = directory};
    const uint32_t row = 3;
    witan_dataset train, test;
    uint32_t label;
    float x[6];

    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.samples == 4 && train.height == 2 && train.width == 3);
    CHECK(train.channels == 1 && train.classes == 4 && test.classes == 4);
    CHECK(test.samples == 3 && test.labels[0] == 3 && test.labels[2] == 1);
    witan_dataset_gather(&train, &row, 1, x, &label);
    CHECK(label == 2);
    CHECK_NEAR((double)x[0], 30.0 / 255.0, 1e-6, 0);
    CHECK_NEAR((double)x[5], 35.0 / 255.0, 1e-6, 0);
    char line[128];
    witan_data_describe(line, sizeof line, &source, &train, &test);
    CHECK_CONTAINS(line, " (idx): 4 train, 3 test, 2x3x1, 4 classes");
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

static void
reads_every_spelling(void)
{
    check_content(whole());
    const char *directory = fresh_directory();
    put(directory, "train-images-idx3-ubyte.gz", &train_x);
    put(directory, "train-labels-idx1-ubyte.gz", &train_y);
    put(directory, "t10k-images.idx3-ubyte", &test_x);
    put(directory, "t10k-labels.idx1-ubyte.gz", &test_y);
    check_content(directory);
}

static void
reads_a_table(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *directory = whole();
    witan_data_source source = {.path = directory};
    witan_dataset train, test;
    image_idx(&scratch, 2, (const uint32_t[]){4, 6});
    image_add(&scratch, train_x.bytes + 16, 24);
    put(directory, "train-images-idx3-ubyte", &scratch);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA); /* test part still 2 x 3 */
    CHECK_CONTAINS(last.message, "same shape");
    image_idx(&scratch, 2, (const uint32_t[]){3, 6});
    image_add(&scratch, test_x.bytes + 16, 18);
    put(directory, "t10k-images-idx3-ubyte", &scratch);
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.height == 1 && train.width == 1 && train.channels == 6);
    CHECK(train.scales == 6);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

/* Every prefix of every file fails with one line, whichever file it is. */
static void
truncation_anywhere_is_bad_data(void)
{
    static const char *const names[] = {
        "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte"};
    const image *contents[] = {&train_x, &train_y, &test_x, &test_y};
    const char *directory = whole();
    witan_data_source source = {.path = directory};
    char path[1024];
    for (size_t f = 0; f < 4; f++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[f]);
        check_truncations(&source, path, 1, names[f]);
        put(directory, names[f], contents[f]);
    }
    CHECK_STATUS(try_load(&source), WITAN_OK);
}

static void
truncated_gzip_is_bad_data(void)
{
    const char *directory = whole();
    const char *path = in_directory(directory, "train-images-idx3-ubyte.gz");
    char name[1024];
    image packed;
    witan_data_source source = {.path = directory};
    (void)strcpy(name, path);
    (void)remove(in_directory(directory, "train-images-idx3-ubyte"));
    image_gzip(&train_x, &packed);
    witan_test_write(name, packed.bytes, packed.size);
    check_truncations(&source, name, 1, name);
    image_add(&packed, "x", 1);
    witan_test_write(name, packed.bytes, packed.size);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "more bytes than its header says");
    packed.size--;
    packed.bytes[packed.size - 6] ^= 1; /* the checksum */
    witan_test_write(name, packed.bytes, packed.size);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "not valid gzip data");
    image_add(&train_x, "x", 1);
    image_gzip(&train_x, &packed);
    witan_test_write(name, packed.bytes, packed.size);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "more bytes than its header says");
}

/* One changed file, the message it must give. */
static void
refused(const char *directory, const char *name, const image *content, const char *part)
{
    witan_data_source source = {.path = directory};
    witan_test_write(in_directory(directory, name), content->bytes, content->size);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, part);
    CHECK_CONTAINS(last.message, name);
}

static void
malformed_headers_are_bad_data(void)
{
    static const char rows[] = "train-images-idx3-ubyte";
    static const char labels[] = "train-labels-idx1-ubyte";
    const char *directory = whole();

    scratch = train_x;
    scratch.bytes[0] = 1;
    refused(directory, rows, &scratch, "not an IDX file");
    scratch = train_x;
    scratch.bytes[2] = 0x0d;
    refused(directory, rows, &scratch, "0x0d");
    scratch = train_x;
    scratch.bytes[3] = 4;
    refused(directory, rows, &scratch, "rank 4");
    scratch = train_x;
    scratch.bytes[3] = 0;
    refused(directory, rows, &scratch, "rank 0");
    refused(directory, rows, &train_y, "swapped");
    image_idx(&scratch, 3, (const uint32_t[]){0, 2, 3});
    refused(directory, rows, &scratch, "empty");
    image_idx(&scratch, 3, (const uint32_t[]){4, 0, 3});
    refused(directory, rows, &scratch, "empty");
    image_idx(&scratch, 3, (const uint32_t[]){0xffffffff, 0xffffffff, 0xffffffff});
    refused(directory, rows, &scratch, "at most");
    image_idx(&scratch, 3, (const uint32_t[]){1, 5000, 5000});
    refused(directory, rows, &scratch, "at most");
    image_idx(&scratch, 3, (const uint32_t[]){1u << 30, 2, 3});
    refused(directory, rows, &scratch, "more than the file can hold");
    scratch = train_x;
    image_add(&scratch, "x", 1);
    refused(directory, rows, &scratch, "more bytes than its header says");
    put(directory, rows, &train_x);

    refused(directory, labels, &train_x, "swapped");
    image_idx(&scratch, 1, (const uint32_t[]){0});
    refused(directory, labels, &scratch, "claims 0 labels");
    image_idx(&scratch, 1, (const uint32_t[]){0xfffffff0});
    refused(directory, labels, &scratch, "labels");
    refused(directory, labels, &test_y, "3 labels for 4 rows");
    put(directory, labels, &train_y);
    refused(directory, "t10k-labels-idx1-ubyte", &train_y, "4 labels for 3 rows");
}

static void
one_class_is_bad_data(void)
{
    const char *directory = whole();
    witan_data_source source = {.path = directory};
    memset(train_y.bytes + 8, 1, 4);
    put(directory, "train-labels-idx1-ubyte", &train_y);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "same class");
}

static void
missing_files_are_named(void)
{
    const char *directory = whole();
    witan_data_source source = {.path = directory};
    (void)remove(in_directory(directory, "train-labels-idx1-ubyte"));
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "has no train-labels-idx1-ubyte[.gz]");
    put(directory, "train-labels-idx1-ubyte", &train_y);
    (void)remove(in_directory(directory, "t10k-images-idx3-ubyte"));
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "3 labels for 0 rows in t10k-images-idx3-ubyte[.gz]");
    (void)remove(in_directory(directory, "train-images-idx3-ubyte"));
    source.format = WITAN_DATA_IDX;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "has no train-images-idx3-ubyte[.gz]");
}

/* 100 images whose pixel, label and number agree. */
static const char *
without_test_part(void)
{
    const char *directory = fresh_directory();
    image_idx(&train_x, 3, (const uint32_t[]){100, 1, 2});
    image_idx(&train_y, 1, (const uint32_t[]){100});
    for (uint8_t n = 0; n < 100; n++) {
        uint8_t pixels[2] = {n, n}, label = n % 10;
        image_add(&train_x, pixels, 2);
        image_add(&train_y, &label, 1);
    }
    put(directory, "train-images-idx3-ubyte", &train_x);
    put(directory, "train-labels-idx1-ubyte", &train_y);
    return directory;
}

static void
splits_off_a_test_part(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {
        .path = without_test_part(), .test_fraction = 0.25, .seed = 5};
    witan_dataset train, test, other_train, other_test;
    int seen[100] = {0};

    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.samples == 75 && test.samples == 25);
    for (size_t i = 0; i < 75; i++) {
        seen[train.bytes[2 * i]]++;
        CHECK(train.bytes[2 * i + 1] == train.bytes[2 * i]);
        CHECK(train.labels[i] == train.bytes[2 * i] % 10);
        CHECK(i == 0 || train.bytes[2 * i] > train.bytes[2 * i - 2]);
    }
    for (size_t i = 0; i < 25; i++) {
        seen[test.bytes[2 * i]]++;
        CHECK(test.labels[i] == test.bytes[2 * i] % 10);
    }
    for (size_t n = 0; n < 100; n++) {
        CHECK(seen[n] == 1);
    }
    CHECK_STATUS(witan_data_load(&other_train, &other_test, &source, heap, NULL),
                 WITAN_OK);
    CHECK(memcmp(test.bytes, other_test.bytes, 50) == 0);
    witan_dataset_fini(&other_train, heap);
    witan_dataset_fini(&other_test, heap);
    source.seed = 6;
    CHECK_STATUS(witan_data_load(&other_train, &other_test, &source, heap, NULL),
                 WITAN_OK);
    CHECK(memcmp(test.bytes, other_test.bytes, 50) != 0);
    witan_dataset_fini(&other_train, heap);
    witan_dataset_fini(&other_test, heap);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);

    source.test_fraction = 0.0;
    CHECK_STATUS(try_load(&source), WITAN_E_CONFIG);
    CHECK_CONTAINS(last.message, "set test_fraction");
    source.test_fraction = 1.0 - 1e-9;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA); /* one row is left: one class */
}

static void
both_parts_of_a_split_have_rows(void)
{
    static const struct {
        size_t samples, held_out;
        double fraction;
    } cases[] = {{10, 1, 1e-9}, {10, 9, 1.0 - 1e-9}, {2, 1, 0.9}, {10, 3, 0.34}};
    const witan_allocator *heap = witan_allocator_default();
    uint8_t *mask;
    for (size_t i = 0; i < 4; i++) {
        witan_data_source source = {.test_fraction = cases[i].fraction};
        size_t ones = 0;
        CHECK_STATUS(
            witan_split_mask(&mask, cases[i].samples, &source, "x", heap, NULL),
            WITAN_OK);
        for (size_t n = 0; n < cases[i].samples; n++) {
            ones += mask[n];
        }
        CHECK(ones == cases[i].held_out);
        witan_free(heap, mask);
    }
    witan_data_source source = {.test_fraction = 0.5};
    CHECK_STATUS(witan_split_mask(&mask, 1, &source, "x", heap, NULL), WITAN_E_DATA);
}

/* More labels than one gulp of the reader. */
static void
reads_many_rows(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *directory = whole();
    witan_data_source source = {.path = directory};
    witan_dataset train, test;
    bool same = true;

    image_idx(&train_x, 3, (const uint32_t[]){10000, 2, 3});
    image_idx(&train_y, 1, (const uint32_t[]){10000});
    for (size_t n = 0; n < 10000; n++) {
        uint8_t label = (uint8_t)(n % 251), pixels[6] = {label, 0, 0, 0, 0, 1};
        image_add(&train_x, pixels, 6);
        image_add(&train_y, &label, 1);
    }
    put(directory, "train-images-idx3-ubyte", &train_x);
    put(directory, "train-labels-idx1-ubyte", &train_y);
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    for (size_t n = 0; n < train.samples; n++) {
        same = same && train.labels[n] == n % 251 && train.bytes[6 * n] == n % 251;
    }
    CHECK(same && train.samples == 10000 && train.classes == 251);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

static void
transfer_sets_need_neither_labels_nor_test_part(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = without_test_part(), .transfer = true};
    witan_dataset train, test;
    char line[128];

    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.samples == 100 && train.classes == 10 && test.samples == 0);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
    (void)remove(in_directory(source.path, "train-labels-idx1-ubyte"));
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.samples == 100 && train.labels == NULL && train.classes == 0);
    witan_data_describe(line, sizeof line, &source, &train, &test);
    CHECK_CONTAINS(line, "100 train, 0 test, 1x2x1, no labels");
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
    source.transfer = false;
    source.test_fraction = 0.5;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
}

static void
no_memory_is_survived(void)
{
    const char *directory = whole();
    witan_data_source source = {.path = directory, .standardise = true};
    (void)remove(in_directory(directory, "train-images-idx3-ubyte"));
    put(directory, "train-images-idx3-ubyte.gz", &train_x);
    check_failing_allocations(&source);
    source = (witan_data_source){.path = without_test_part(), .test_fraction = 0.5};
    check_failing_allocations(&source);
}

int
main(void)
{
    RUN(reads_every_spelling);
    RUN(reads_a_table);
    RUN(truncation_anywhere_is_bad_data);
    RUN(truncated_gzip_is_bad_data);
    RUN(malformed_headers_are_bad_data);
    RUN(one_class_is_bad_data);
    RUN(missing_files_are_named);
    RUN(splits_off_a_test_part);
    RUN(both_parts_of_a_split_have_rows);
    RUN(reads_many_rows);
    RUN(transfer_sets_need_neither_labels_nor_test_part);
    RUN(no_memory_is_survived);
    return witan_test_finish();
}
