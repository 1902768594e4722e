/* heap.h - a binary heap of pointers ordered by (key, sequence): the event queue, and
 * the order in which workers take jobs. Equal keys come out in order of insertion. */
#ifndef WITAN_SIM_HEAP_H
#define WITAN_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct witan_heap_item {
    double key;
    uint64_t sequence;
    void *value; /* borrowed */
} witan_heap_item;

typedef struct witan_heap {
    const witan_allocator *allocator;
    witan_heap_item *items;
    size_t count, capacity;
    uint64_t sequence; /* of the next insertion */
} witan_heap;

void witan_heap_init(witan_heap *self, const witan_allocator *allocator);
void witan_heap_fini(witan_heap *self);
/* Errors: E_MEMORY. O(log n). */
WITAN_NODISCARD witan_status witan_heap_push(witan_heap *self, double key, void *value);
/* Smallest (key, sequence); false when empty. O(log n). */
bool witan_heap_pop(witan_heap *self, witan_heap_item *out);

#endif
