/* test_load.c - the front door: the embedded set, recognition, names. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "fixtures.h"
#include "support/witan_test.h"

static void
check_part(const witan_dataset *set, const size_t counts[10], const char *digest,
           const uint8_t second_row_of_first[8])
{
    size_t seen[10] = {0};
    uint8_t raw[32];
    char hex[WITAN_DIGEST_HEX_SIZE];
    CHECK(set->height == 8 && set->width == 8 && set->channels == 1 &&
          set->classes == 10);
    for (size_t i = 0; i < set->samples; i++) {
        seen[set->labels[i]]++;
    }
    CHECK(memcmp(seen, counts, sizeof seen) == 0);
    CHECK(memcmp(set->bytes + 8, second_row_of_first, 8) == 0);
    witan_dataset_digest(set, raw);
    witan_digest_hex(hex, raw);
    CHECK_STRING(hex, digest);
}

/* Counts and digests computed by other means: gzip and hashlib of Python. */
static void
embedded_set_is_optdigits(void)
{
    static const size_t train_counts[] = {376, 389, 380, 389, 387,
                                          376, 377, 387, 380, 382};
    static const size_t test_counts[] = {178, 182, 177, 183, 181,
                                         182, 181, 179, 174, 180};
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = "", .standardise = true};
    witan_dataset train, test;
    char line[128];

    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.samples == 3823 && test.samples == 1797);
    check_part(&train, train_counts,
               "074bf21ead22d3bb290a2dacdd6202d64d8af78b197b502a9937790b1cf77579",
               (const uint8_t[]){0, 7, 16, 6, 6, 10, 0, 0});
    check_part(&test, test_counts,
               "72ed3b3fa3f28823316cb298f973668195d5a21bb176d5223046ac1efd3e036d",
               (const uint8_t[]){0, 0, 13, 15, 10, 15, 5, 0});
    /* Scale of the training part, in both. */
    CHECK_NEAR((double)train.scale[0], 1.0 / 6.036485585603494, 0, 1e-6);
    CHECK_NEAR((double)train.shift[0], -4.923971684540937 / 6.036485585603494, 0, 1e-6);
    CHECK(test.scale[0] == train.scale[0] && test.shift[0] == train.shift[0]);
    witan_data_describe(line, sizeof line, &source, &train, &test);
    CHECK_STRING(line,
                 "optdigits (embedded): 3823 train, 1797 test, 8x8x1, 10 classes");
    witan_data_describe(line, 10, &source, &train, &test);
    CHECK_STRING(line, "optdigits");
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
    check_failing_allocations(&source);
}

static void
unstandardised_bytes_are_in_the_unit_interval(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.format = WITAN_DATA_EMBEDDED};
    witan_dataset train, test;
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK_NEAR((double)train.scale[0], 1.0 / 255.0, 0, 1e-6);
    CHECK_NEAR((double)test.scale[0], 1.0 / 255.0, 0, 1e-6);
    CHECK(train.shift[0] == 0.0f);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

static void
formats_have_names(void)
{
    static const char *const names[] = {"auto", "embedded", "idx", "cifar10",
                                        "npy",  "npz",      "csv", "text"};
    for (int f = 0; f < 8; f++) {
        CHECK_STRING(witan_data_format_name((witan_data_format)f), names[f]);
    }
    CHECK(witan_data_format_name((witan_data_format)8) == NULL);
}

static witan_status
recognise(const char *path, witan_data_format asked, witan_data_format *found)
{
    witan_data_source source = {.path = path, .format = asked};
    memset(&last, 0, sizeof last);
    return witan_data_recognise(found, &source, &last);
}

static void
sets_are_recognised_by_content(void)
{
    static const struct {
        const char *name;
        witan_data_format format;
    } files[] = {{"train-images-idx3-ubyte.gz", WITAN_DATA_IDX},
                 {"train-images.idx3-ubyte", WITAN_DATA_IDX},
                 {"data_batch_1.bin", WITAN_DATA_CIFAR10},
                 {"x_train.npy", WITAN_DATA_NPY},
                 {"train.csv", WITAN_DATA_CSV}};
    witan_data_format found;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *directory = fresh_directory();
        witan_test_write(in_directory(directory, files[i].name), "", 0);
        CHECK_STATUS(recognise(directory, WITAN_DATA_AUTO, &found), WITAN_OK);
        CHECK(found == files[i].format);
    }
    const char *directory = fresh_directory();
    witan_test_write(in_directory(directory, "a.npz"), "", 0);
    witan_test_write(in_directory(directory, "b.csv"), "", 0);
    witan_test_write(in_directory(directory, "c.md"), "", 0);
    CHECK_STATUS(recognise(in_directory(directory, "a.npz"), WITAN_DATA_AUTO, &found),
                 WITAN_OK);
    CHECK(found == WITAN_DATA_NPZ);
    CHECK_STATUS(recognise(in_directory(directory, "b.csv"), WITAN_DATA_AUTO, &found),
                 WITAN_OK);
    CHECK(found == WITAN_DATA_CSV);
    CHECK_STATUS(recognise(in_directory(directory, "c.md"), WITAN_DATA_AUTO, &found),
                 WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "c.md");
    CHECK_STATUS(recognise(directory, WITAN_DATA_AUTO, &found), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "train-images-idx3-ubyte[.gz]");
    CHECK_CONTAINS(last.message, "data_batch_1.bin");
    CHECK_CONTAINS(last.message, "x_train.npy");
    CHECK_CONTAINS(last.message, "train.csv");
    CHECK_CONTAINS(last.message, ".npz");
    CHECK_CONTAINS(last.message, ".txt");
    witan_test_write(in_directory(directory, "d.txt.gz"), "", 0);
    CHECK_STATUS(
        recognise(in_directory(directory, "d.txt.gz"), WITAN_DATA_AUTO, &found),
        WITAN_OK);
    CHECK(found == WITAN_DATA_TEXT);
    CHECK_STATUS(recognise(directory, WITAN_DATA_AUTO, &found), WITAN_OK);
    CHECK(found == WITAN_DATA_TEXT);
    CHECK_STATUS(recognise("", WITAN_DATA_TEXT, &found), WITAN_OK);
    CHECK(found == WITAN_DATA_TEXT);
    CHECK_STATUS(recognise(in_directory(directory, "none"), WITAN_DATA_AUTO, &found),
                 WITAN_E_IO);
    CHECK_CONTAINS(last.message, "No such file");
    CHECK_STATUS(recognise(directory, WITAN_DATA_EMBEDDED, &found), WITAN_E_CONFIG);
    CHECK_STATUS(recognise("", WITAN_DATA_NPZ, &found), WITAN_E_CONFIG);
    CHECK_STATUS(recognise(NULL, WITAN_DATA_AUTO, &found), WITAN_OK);
    CHECK(found == WITAN_DATA_EMBEDDED);
}

/* Directories, pipes and files in the wrong place. */
static void
odd_files_are_errors(void)
{
    const char *directory = fresh_directory();
    witan_data_source source = {.path = directory, .format = WITAN_DATA_IDX};
    (void)mkfifo(in_directory(directory, "train-images-idx3-ubyte"), 0600);
    CHECK_STATUS(try_load(&source), WITAN_E_IO);
    CHECK_CONTAINS(last.message, "not a regular file");
    source.format = WITAN_DATA_NPZ;
    CHECK(try_load(&source) != WITAN_OK);
    source.format = (witan_data_format)99;
    CHECK_STATUS(try_load(&source), WITAN_E_INVALID);
}

int
main(void)
{
    RUN(embedded_set_is_optdigits);
    RUN(unstandardised_bytes_are_in_the_unit_interval);
    RUN(formats_have_names);
    RUN(sets_are_recognised_by_content);
    RUN(odd_files_are_errors);
    return witan_test_finish();
}
