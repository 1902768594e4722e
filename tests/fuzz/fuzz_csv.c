/* fuzz_csv.c - tables from any bytes. A form feed splits the input into training and
 * test table; without one, rows are held out. */
#include <math.h>
#include <string.h>

#include "data/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_table(const uint8_t *data, size_t size, const char *label)
{
    const witan_allocator *heap = witan_allocator_default();
    const uint8_t *cut = size > 0 ? memchr(data, '\f', size) : NULL;
    size_t first = cut != NULL ? (size_t)(cut - data) : size;
    size_t second = cut != NULL ? size - first - 1 : 0;
    witan_data_source source = {.test_fraction = 0.3, .seed = 1, .label = label};
    witan_dataset train = {0}, test = {0};
    witan_stream train_stream, test_stream;

    if (witan_stream_memory(&train_stream, "train", data, first, false, heap, NULL) !=
            WITAN_OK ||
        witan_stream_memory(&test_stream, "test", cut != NULL ? cut + 1 : data, second,
                            false, heap, NULL) != WITAN_OK) {
        return;
    }
    if (witan_csv_read(&train, &test, &train_stream, cut != NULL ? &test_stream : NULL,
                       &source, NULL) == WITAN_OK) {
        WITAN_ASSERT(train.samples > 0 && train.channels == test.channels);
        for (size_t i = 0; i < train.samples * train.channels; i++) {
            WITAN_ASSERT(isfinite(train.values[i]));
        }
        WITAN_ASSERT(train.class_names == NULL || test.labels[0] < train.classes);
    }
    witan_stream_close(&train_stream);
    witan_stream_close(&test_stream);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 4096) {
        read_table(data, size, "y");
        read_table(data, size, "");
    }
    return 0;
}
