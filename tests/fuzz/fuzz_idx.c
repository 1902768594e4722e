/* fuzz_idx.c - IDX rows and labels, plain and gzip, from any bytes. */
#include "data/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    bool gzip = size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
    witan_dataset set = {0};
    uint32_t *labels = NULL;
    witan_stream stream;
    size_t count;

    if (witan_stream_memory(&stream, "fuzz", data, size, gzip, heap, NULL) ==
        WITAN_OK) {
        if (witan_idx_read_rows(&set, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(set.samples > 0 && witan_dataset_features(&set) > 0);
        }
        witan_stream_close(&stream);
    }
    if (witan_stream_memory(&stream, "fuzz", data, size, gzip, heap, NULL) ==
        WITAN_OK) {
        if (witan_idx_read_labels(&labels, &count, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(count > 0 && labels[count - 1] < 256);
        }
        witan_stream_close(&stream);
    }
    witan_free(heap, labels);
    witan_dataset_fini(&set, heap);
    return 0;
}
