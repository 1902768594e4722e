#include "sim/heap.h"

#include <string.h>

void
witan_heap_init(witan_heap *self, const witan_allocator *allocator)
{
    memset(self, 0, sizeof *self);
    self->allocator = allocator;
}

void
witan_heap_fini(witan_heap *self)
{
    witan_free(self->allocator, self->items);
    self->items = NULL;
    self->count = self->capacity = 0;
}

static bool
before(const witan_heap_item *a, const witan_heap_item *b)
{
    return a->key < b->key || (a->key == b->key && a->sequence < b->sequence);
}

static void
swap(witan_heap_item *a, witan_heap_item *b)
{
    witan_heap_item item = *a;
    *a = *b;
    *b = item;
}

witan_status
witan_heap_push(witan_heap *self, double key, void *value)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity * 2 + 64;
        witan_heap_item *items = witan_alloc(self->allocator, capacity, sizeof *items);
        if (items == NULL) {
            return WITAN_E_MEMORY;
        }
        if (self->count != 0) {
            memcpy(items, self->items, self->count * sizeof *items);
        }
        witan_free(self->allocator, self->items);
        self->items = items;
        self->capacity = capacity;
    }
    size_t at = self->count++;
    self->items[at] = (witan_heap_item){key, self->sequence++, value};
    while (at > 0 && before(&self->items[at], &self->items[(at - 1) / 2])) {
        swap(&self->items[at], &self->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    return WITAN_OK;
}

bool
witan_heap_pop(witan_heap *self, witan_heap_item *out)
{
    if (self->count == 0) {
        return false;
    }
    *out = self->items[0];
    self->items[0] = self->items[--self->count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < self->count &&
                before(&self->items[child], &self->items[least])) {
                least = child;
            }
        }
        if (least == at) {
            return true;
        }
        swap(&self->items[at], &self->items[least]);
        at = least;
    }
}
