/* cutter.h - cuts one block of memory into aligned parts; a function that places parts
 * runs twice, first to measure. Private to the workspaces of this room. */
#ifndef WITAN_NN_CUTTER_H
#define WITAN_NN_CUTTER_H

#include <stddef.h>

#include "base/memory.h"

typedef struct cutter {
    char *base; /* NULL while measuring */
    size_t used;
} cutter;

static inline void *
cut(cutter *self, size_t count, size_t size)
{
    void *at = self->base == NULL ? NULL : self->base + self->used;
    size_t bytes = count * size;
    self->used += (bytes + WITAN_ALIGNMENT - 1) / WITAN_ALIGNMENT * WITAN_ALIGNMENT;
    return at;
}

#endif
