/* test_cifar.c - CIFAR-10 binary directories, whole and broken. */
#include <stdio.h>
#include <string.h>

#include "fixtures.h"
#include "support/witan_test.h"

static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin",
                                    "data_batch_3.bin", "data_batch_4.bin",
                                    "data_batch_5.bin", "test_batch.bin"};
static image scratch;

/* Record n: label n % 10; red n, green 100 + n, blue 200, the first pixel of each + 1.
 */
static void
add_record(image *self, uint8_t n)
{
    uint8_t record[3073];
    record[0] = n % 10;
    memset(record + 1, n, 1024);
    memset(record + 1 + 1024, 100 + n, 1024);
    memset(record + 1 + 2048, 200, 1024);
    record[1]++;
    record[1025]++;
    record[2049]++;
    image_add(self, record, sizeof record);
}

/* Batch b holds records 2b and 2b + 1. */
static void
write_batch(const char *directory, unsigned b)
{
    image_clear(&scratch);
    add_record(&scratch, (uint8_t)(2 * b));
    add_record(&scratch, (uint8_t)(2 * b + 1));
    witan_test_write(in_directory(directory, names[b]), scratch.bytes, scratch.size);
}

static const char *
whole(void)
{
    const char *directory = fresh_directory();
    for (unsigned b = 0; b < 6; b++) {
        write_batch(directory, b);
    }
    return directory;
}

static void
planes_become_channels(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = whole()};
    witan_dataset train, test;

    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK(train.samples == 10 && test.samples == 2 && train.classes == 10);
    CHECK(train.height == 32 && train.width == 32 && train.channels == 3);
    for (size_t n = 0; n < 10; n++) {
        const uint8_t *row = train.bytes + 3072 * n;
        CHECK(train.labels[n] == n);
        CHECK(row[0] == n + 1 && row[1] == 101 + n && row[2] == 201);
        CHECK(row[3] == n && row[4] == 100 + n && row[5] == 200);
        CHECK(row[3069] == n && row[3070] == 100 + n && row[3071] == 200);
    }
    CHECK(test.labels[0] == 0 && test.labels[1] == 1 && test.bytes[0] == 11);
    CHECK(train.class_names == NULL);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

static void
classes_take_their_names(void)
{
    static const char text[] =
        "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\n"
        "ship\r\ntruck\n\n";
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = whole()};
    const char *path = in_directory(source.path, "batches.meta.txt");
    char meta[1024];
    witan_dataset train, test;

    (void)snprintf(meta, sizeof meta, "%s", path);
    witan_test_write(meta, text, strlen(text));
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    CHECK_STRING(train.class_names[0], "airplane");
    CHECK_STRING(train.class_names[8], "ship");
    CHECK_STRING(test.class_names[9], "truck");
    CHECK(test.class_names[0] != train.class_names[0]);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
    check_failing_allocations(&source);

    witan_test_write(meta, text, 55); /* nine lines */
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "line 10 has no class name");
    witan_test_write(meta, "", 0);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    memset(scratch.bytes, 'a', 640);
    witan_test_write(meta, scratch.bytes, 640);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "too long");
}

static void
malformed_batches_are_bad_data(void)
{
    witan_data_source source = {.path = whole()};
    for (unsigned b = 0; b < 6; b++) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", source.path, names[b]);
        check_truncations(&source, path, 97, names[b]); /* never one whole record */
        write_batch(source.path, b);
        scratch.bytes[3073] = 10;
        witan_test_write(path, scratch.bytes, scratch.size);
        CHECK_STATUS(try_load(&source), WITAN_E_DATA);
        CHECK_CONTAINS(last.message, "record 1 has label 10");
        (void)remove(path);
        source.format = WITAN_DATA_CIFAR10;
        CHECK_STATUS(try_load(&source), WITAN_E_DATA);
        CHECK_CONTAINS(last.message, names[b]);
        write_batch(source.path, b);
    }
    CHECK_STATUS(try_load(&source), WITAN_OK);
}

int
main(void)
{
    RUN(planes_become_channels);
    RUN(classes_take_their_names);
    RUN(malformed_batches_are_bad_data);
    return witan_test_finish();
}
