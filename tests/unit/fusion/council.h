/* council.h - encoded soft labels of several clients, for the tests of fusion. */
#ifndef WITAN_TEST_COUNCIL_H
#define WITAN_TEST_COUNCIL_H

#include "fusion/fusion.h"
#include "support/witan_test.h"

#define SPEAKERS_MAX 160

typedef struct speakers {
    witan_soft_labels labels[SPEAKERS_MAX];
    const witan_soft_labels *pointers[SPEAKERS_MAX];
    witan_fusion_input input;
} speakers;

static inline void
speakers_init(speakers *self, const float *values, size_t N, size_t rows, size_t C,
              witan_knowledge_kind kind, witan_codec codec)
{
    for (size_t n = 0; n < N; n++) {
        CHECK_STATUS(witan_soft_labels_new(&self->labels[n], witan_allocator_default(),
                                           kind, codec, rows, C),
                     WITAN_OK);
        CHECK_STATUS(
            witan_soft_labels_encode(&self->labels[n], 0, rows, values + n * rows * C),
            WITAN_OK);
        self->pointers[n] = &self->labels[n];
    }
    self->input = (witan_fusion_input){.clients = N, .labels = self->pointers};
}

static inline void
speakers_fini(speakers *self)
{
    for (size_t n = 0; n < self->input.clients; n++) {
        witan_soft_labels_fini(&self->labels[n], witan_allocator_default());
    }
}

#endif
