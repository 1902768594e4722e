/* fuzz_npy.c - NPY rows and labels from any bytes. */
#include <math.h>

#include "data/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = {0};
    uint32_t *labels = NULL;
    witan_stream stream;
    size_t count;

    if (witan_stream_memory(&stream, "fuzz", data, size, false, heap, NULL) ==
        WITAN_OK) {
        if (witan_npy_read_rows(&set, &stream, NULL) == WITAN_OK) {
            count = set.samples * witan_dataset_features(&set);
            WITAN_ASSERT(count > 0 && count <= size);
            WITAN_ASSERT(set.values == NULL || isfinite(set.values[count - 1]));
        }
        witan_stream_close(&stream);
    }
    if (witan_stream_memory(&stream, "fuzz", data, size, false, heap, NULL) ==
        WITAN_OK) {
        if (witan_npy_read_labels(&labels, &count, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(count > 0 && labels[count - 1] < WITAN_CLASSES_MAX);
        }
        witan_stream_close(&stream);
    }
    witan_free(heap, labels);
    witan_dataset_fini(&set, heap);
    return 0;
}
