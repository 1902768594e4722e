/* fuzz_package.c - a transfer set from any bytes. What is read is finite, or tokens of
 * its vocabulary, has no labels, and packs into the same bytes again. */
#include <math.h>
#include <string.h>

#include "data/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use_windows(const witan_dataset *set, const uint32_t *order)
{
    const witan_allocator *heap = witan_allocator_default();
    size_t count = set->samples * (set->length + 1);
    uint32_t *windows = witan_alloc(heap, count, sizeof *windows);
    WITAN_ASSERT(windows != NULL);
    witan_dataset_windows(set, order, set->samples, windows);
    for (size_t i = 0; i < count; i++) {
        WITAN_ASSERT(windows[i] < set->vocabulary);
    }
    witan_free(heap, windows);
}

static void
use(const witan_dataset *set, const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    size_t features = witan_dataset_features(set);
    uint32_t *order = witan_alloc(heap, set->samples, sizeof *order);
    float *x = witan_alloc(heap, set->samples * features, sizeof *x);
    uint8_t *again;
    size_t again_size;
    WITAN_ASSERT(order != NULL && x != NULL && set->labels == NULL);
    for (size_t i = 0; i < set->samples; i++) {
        order[i] = (uint32_t)i;
    }
    if (set->length > 0) {
        use_windows(set, order);
    } else {
        witan_dataset_gather(set, order, set->samples, x, NULL);
    }
    for (size_t i = 0; set->length == 0 && i < set->samples * features; i++) {
        WITAN_ASSERT(isfinite(x[i]));
    }
    WITAN_ASSERT(witan_package_write(&again, &again_size, set, order, set->samples,
                                     heap, NULL) == WITAN_OK);
    WITAN_ASSERT(again_size == size && memcmp(again, data, size) == 0);
    witan_free(heap, again);
    witan_free(heap, order);
    witan_free(heap, x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_dataset set;
    witan_diag diag = {0};
    witan_status status = witan_package_read(&set, data, size, heap, &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_DATA);
    if (status == WITAN_OK) {
        WITAN_ASSERT(set.samples * witan_dataset_features(&set) <= size);
        use(&set, data, size);
    }
    witan_dataset_fini(&set, heap);
    return 0;
}
