/* Soft labels of a peer: arbitrary bytes with an arbitrary announced shape. What passes
 * the check must decode, turn into probabilities and give label distributions that are
 * finite. Input: kind, codec and k, classes, rows (2 bytes), then the matrix. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "knowledge/statistics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* The pairs of rows that passed are of that row alone, as losses index by them. */
static void
use_top(const witan_soft_labels *labels, bool believed)
{
    const witan_allocator *heap = witan_allocator_default();
    size_t count = labels->rows * witan_codec_top(labels->codec);
    uint32_t *token = witan_alloc(heap, count, sizeof *token);
    float *mass = witan_alloc(heap, count, sizeof *mass);
    require(token != NULL && mass != NULL);
    witan_soft_labels_top(labels, 0, labels->rows, token, mass);
    for (size_t i = 0; i < count; i++) {
        require(!believed || token[i] < labels->classes);
        require(mass[i] >= 0.0F && mass[i] <= 1.0F);
    }
    witan_free(heap, token);
    witan_free(heap, mass);
}

static void
use(const witan_soft_labels *labels, bool believed)
{
    const witan_allocator *heap = witan_allocator_default();
    size_t count = labels->rows * labels->classes;
    float *values = witan_alloc(heap, count, sizeof *values);
    double *epd = witan_alloc(heap, labels->classes, sizeof *epd);
    require(values != NULL && epd != NULL);
    witan_soft_labels_decode(labels, 0, labels->rows, values);
    witan_soft_labels_probabilities(labels, 0, labels->rows, values);
    for (size_t i = 0; i < count && believed; i++) {
        require(values[i] >= 0.0F && values[i] <= 1.01F);
    }
    if (witan_codec_top(labels->codec) > 0) {
        use_top(labels, believed);
    }
    if (believed) {
        /* What a peer may send can be sent on. */
        witan_soft_labels again;
        require(witan_soft_labels_new(&again, heap, WITAN_KNOWLEDGE_PROBABILITY,
                                      labels->codec, labels->rows,
                                      labels->classes) == WITAN_OK);
        require(witan_soft_labels_encode(&again, 0, labels->rows, values) == WITAN_OK);
        require(witan_soft_labels_check(&again, NULL) == WITAN_OK);
        witan_soft_labels_fini(&again, heap);
    }
    for (int e = WITAN_EPD_MEAN; e <= WITAN_EPD_SHIFT; e++) {
        require(witan_epd_estimate(epd, &labels, 1, (witan_epd_estimator)e, heap) ==
                WITAN_OK);
        for (size_t c = 0; c < labels->classes && believed; c++) {
            require(epd[c] > 0.0 && epd[c] <= 1.0 + 1e-9);
        }
    }
    witan_free(heap, values);
    witan_free(heap, epd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > 4096) {
        return 0;
    }
    const size_t k = (size_t)(data[0] >> 4) + 1;
    const witan_codec codecs[] = {WITAN_CODEC_F32, WITAN_CODEC_U16, WITAN_CODEC_TOP(k),
                                  3u | (uint32_t)data[0] << 24 |
                                      (uint32_t)data[1] << 8};
    uint8_t *bytes = malloc(size - 4 + (size == 4));
    require(bytes != NULL);
    memcpy(bytes, data + 4, size - 4);
    witan_soft_labels labels = {
        .kind = (witan_knowledge_kind)(data[0] & 3),
        .codec = codecs[data[0] >> 2 & 3],
        .classes = data[1],
        .rows = data[2] | (size_t)data[3] << 8,
        .bytes = bytes,
        .size = size - 4,
    };
    witan_diag diag = {0};
    witan_status status = witan_soft_labels_check(&labels, &diag);
    require((status == WITAN_OK) == (diag.message[0] == '\0'));
    bool shaped = labels.kind <= WITAN_KNOWLEDGE_LOG_PROBABILITY &&
                  (labels.kind == WITAN_KNOWLEDGE_PROBABILITY ||
                   witan_codec_top(labels.codec) == 0) &&
                  labels.size > 0 &&
                  witan_soft_labels_size(labels.codec, labels.rows, labels.classes) ==
                      labels.size;
    require(shaped || status == WITAN_E_DATA);
    if (shaped) {
        use(&labels, status == WITAN_OK);
    }
    free(bytes);
    return 0;
}
