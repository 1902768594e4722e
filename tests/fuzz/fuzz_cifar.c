/* fuzz_cifar.c - CIFAR-10 records, and the names of the classes, from any bytes. */
#include "data/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RECORDS = 2
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set = {.samples = RECORDS, .height = 32, .width = 32, .channels = 3};
    witan_stream stream;

    set.bytes = witan_alloc(heap, RECORDS, WITAN_CIFAR_RECORD - 1);
    set.labels = witan_alloc(heap, RECORDS, sizeof *set.labels);
    if (set.bytes == NULL || set.labels == NULL) {
        witan_dataset_fini(&set, heap);
        return 0;
    }
    if (witan_stream_memory(&stream, "fuzz", data, size, false, heap, NULL) ==
        WITAN_OK) {
        if (witan_cifar_read(&set, 0, RECORDS, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(size == RECORDS * WITAN_CIFAR_RECORD && set.labels[1] < 10);
        }
        witan_stream_close(&stream);
    }
    if (witan_stream_memory(&stream, "fuzz", data, size, false, heap, NULL) ==
        WITAN_OK) {
        if (witan_cifar_read_names(&set, &stream, NULL) == WITAN_OK) {
            WITAN_ASSERT(set.class_names[9][0] != '\0');
        }
        witan_stream_close(&stream);
    }
    witan_dataset_fini(&set, heap);
    return 0;
}
