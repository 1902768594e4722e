#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *
heap_allocate(void *context, size_t size)
{
    void *block = NULL;
    (void)context;
    if (posix_memalign(&block, WITAN_ALIGNMENT, size == 0 ? 1 : size) != 0) {
        return NULL;
    }
    return block;
}

static void
heap_release(void *context, void *block)
{
    (void)context;
    free(block);
}

const witan_allocator *
witan_allocator_default(void)
{
    static const witan_allocator heap = {heap_allocate, heap_release, NULL};
    return &heap;
}

void *
witan_alloc(const witan_allocator *allocator, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        return NULL;
    }
    return allocator->allocate(allocator->context, bytes);
}

void *
witan_zalloc(const witan_allocator *allocator, size_t count, size_t size)
{
    void *block = witan_alloc(allocator, count, size);
    if (block != NULL) {
        memset(block, 0, count * size);
    }
    return block;
}

void
witan_free(const witan_allocator *allocator, void *block)
{
    if (block != NULL) {
        allocator->release(allocator->context, block);
    }
}

char *
witan_strdup(const witan_allocator *allocator, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = witan_alloc(allocator, size, 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}
