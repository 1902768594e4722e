/* test_npz.c - NPZ archives: stored and deflated, whole, cut and lying. */
#include <stdlib.h>
#include <string.h>

#include "fixtures.h"
#include "support/witan_test.h"

static image x_train, y_train, x_test, y_test;
static const char *path;

/* Bytes on which deflate works well, so that sizes differ. */
static void
build(void)
{
    static const uint8_t zeros[400];
    path = witan_test_path("set.npz");
    image_npy(&x_train, 1, "|u1", "False", "(5, 8, 8, 1)");
    image_add(&x_train, zeros, 319);
    image_add(&x_train, "\7", 1);
    image_npy(&y_train, 1, "<i4", "False", "(5,)");
    image_add(&y_train, (const int32_t[]){0, 1, 2, 1, 0}, 20);
    image_npy(&x_test, 1, "|u1", "False", "(2, 8, 8, 1)");
    image_add(&x_test, zeros, 128);
    image_npy(&y_test, 1, "<i4", "False", "(2,)");
    image_add(&y_test, (const int32_t[]){2, 3}, 8);
}

static void
write_members(size_t count, bool deflated)
{
    const member members[] = {{"x_train.npy", &x_train},
                              {"y_train.npy", &y_train},
                              {"x_test.npy", &x_test},
                              {"y_test.npy", &y_test}};
    write_zip(path, members, count, deflated);
}

static void
reads_stored_and_deflated(void)
{
    const witan_allocator *heap = witan_allocator_default();
    for (int deflated = 0; deflated < 2; deflated++) {
        witan_dataset train, test;
        char line[128];
        build();
        write_members(4, deflated);
        witan_data_source source = {.path = path};
        CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
        CHECK(train.samples == 5 && test.samples == 2 && train.classes == 4);
        CHECK(train.height == 8 && train.width == 8 && train.channels == 1);
        CHECK(train.bytes[319] == 7 && train.bytes[318] == 0 && train.labels[2] == 2);
        CHECK(test.labels[1] == 3);
        witan_data_describe(line, sizeof line, &source, &train, &test);
        CHECK_STRING(line, "set.npz (npz): 5 train, 2 test, 8x8x1, 4 classes");
        witan_dataset_fini(&train, heap);
        witan_dataset_fini(&test, heap);
        check_failing_allocations(&source);
    }
}

static void
missing_members_are_named(void)
{
    witan_data_source source = {.path = path, .test_fraction = 0.4};
    build();
    write_members(2, true);
    CHECK_STATUS(try_load(&source), WITAN_OK); /* split */
    write_members(3, true);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "y_test.npy");
    write_members(1, true);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "has no y_train.npy");
    write_zip(path, (const member[]){{"y_train.npy", &y_train}}, 1, true);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "has no x_train.npy");
}

static void
damaged_members_are_named(void)
{
    witan_data_source source = {.path = path};
    build();
    x_train.bytes[0] = 'N';
    write_members(4, true);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "set.npz: x_train.npy: not an NPY file");
    build();
    x_test.size--;
    write_members(4, false);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "x_test.npy");
}

/* The whole file in memory, to be changed and written back. */
static uint8_t *
slurp(size_t *size)
{
    return (uint8_t *)witan_test_read(path, size);
}

static void
truncation_anywhere_is_bad_data(void)
{
    witan_data_source source = {.path = path};
    for (int deflated = 0; deflated < 2; deflated++) {
        build();
        write_members(4, deflated);
        check_truncations(&source, path, 1, "set.npz");
    }
}

/* Position of the nth central directory entry. */
static size_t
central_entry(const uint8_t *bytes, size_t size, size_t n)
{
    for (size_t at = 0; at + 46 <= size; at++) {
        if (memcmp(bytes + at, "PK\1\2", 4) == 0 && n-- == 0) {
            return at;
        }
    }
    abort();
}

/* Sizes that the archive cannot back, a wrong checksum, other methods, encryption. */
static void
lying_archives_are_bad_data(void)
{
    static const struct {
        size_t offset; /* in the central entry */
        uint8_t bytes[4];
        size_t count;
    } lies[] = {
        {24, {0xff, 0xff, 0xff, 0x7f}, 4}, /* size: 2 GiB */
        {24, {0x01, 0x00, 0x00, 0x00}, 4}, /* size: 1 */
        {20, {0xff, 0xff, 0xff, 0x7f}, 4}, /* compressed size: 2 GiB */
        {20, {0x00, 0x00, 0x00, 0x00}, 4}, /* compressed size: 0 */
        {16, {0x00, 0x00, 0x00, 0x00}, 4}, /* checksum */
        {10, {12, 0}, 2},                  /* bzip2 */
        {10, {99, 0}, 2},                  /* no method */
        {8, {1, 0}, 2},                    /* encrypted */
        {42, {0xff, 0xff, 0xff, 0x7f}, 4}, /* offset beyond the file */
    };
    witan_data_source source = {.path = path};
    for (int deflated = 0; deflated < 2; deflated++) {
        for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
            size_t size;
            build();
            write_members(4, deflated);
            uint8_t *bytes = slurp(&size);
            size_t at = central_entry(bytes, size, 0);
            memcpy(bytes + at + lies[i].offset, lies[i].bytes, lies[i].count);
            witan_test_write(path, bytes, size);
            CHECK_STATUS(try_load(&source), WITAN_E_DATA);
            CHECK_CONTAINS(last.message, "set.npz");
            free(bytes);
        }
    }
}

/* A member that unpacks well, but with a method whose ratio has no bound. */
static void
other_methods_are_refused(void)
{
    witan_data_source source = {.format = WITAN_DATA_NPZ};
    source.path = WITAN_TEST_SOURCE_DIR "/tests/fuzz/corpus/npz/bzip2";
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "method 12 is not read");
}

static void
no_archive_is_bad_data(void)
{
    witan_data_source source = {.path = path};
    witan_test_write(path, "", 0);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    witan_test_write(path, "PK", 2);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "cannot open as an NPZ archive");
}

int
main(void)
{
    RUN(reads_stored_and_deflated);
    RUN(missing_members_are_named);
    RUN(damaged_members_are_named);
    RUN(truncation_anywhere_is_bad_data);
    RUN(lying_archives_are_bad_data);
    RUN(other_methods_are_refused);
    RUN(no_archive_is_bad_data);
    return witan_test_finish();
}
