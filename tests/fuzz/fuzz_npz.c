/* fuzz_npz.c - an archive of NPY members from any bytes. */
#include "data/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = {0};
    uint32_t *labels = NULL;
    witan_stream stream;
    witan_npz npz;
    size_t count;

    if (witan_npz_open(&npz, "fuzz", data, size, heap, NULL) != WITAN_OK) {
        return 0;
    }
    if (witan_npz_has(&npz, "x_train.npy") &&
        witan_npz_member(&npz, "x_train.npy", &stream, NULL) == WITAN_OK) {
        if (witan_npy_read_rows(&set, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(set.samples > 0 && witan_dataset_features(&set) > 0);
        }
        witan_stream_close(&stream);
    }
    if (witan_npz_member(&npz, "y_train.npy", &stream, NULL) == WITAN_OK) {
        if (witan_npy_read_labels(&labels, &count, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(count > 0 && labels[count - 1] < WITAN_CLASSES_MAX);
        }
        witan_stream_close(&stream);
    }
    witan_npz_close(&npz);
    witan_free(heap, labels);
    witan_dataset_fini(&set, heap);
    return 0;
}
