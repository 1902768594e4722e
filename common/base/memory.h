/* memory.h - allocation through a handed-in allocator, with overflow checks.
 * Why here: tests make every allocation fail in turn; all blocks are 64-byte aligned
 * so that vector kernels may assume it.
 * Threads: the default allocator may be used from any thread. */
#ifndef WITAN_BASE_MEMORY_H
#define WITAN_BASE_MEMORY_H

#include <stddef.h>

#include "base/status.h"

/* Alignment in bytes of every block. */
#define WITAN_ALIGNMENT 64

typedef struct witan_allocator {
    void *(*allocate)(void *context, size_t size); /* 64-byte aligned, or NULL */
    void (*release)(void *context, void *block);   /* NULL-safe */
    void *context;
} witan_allocator;

/* The C library's heap. Static storage; never freed. */
const witan_allocator *witan_allocator_default(void);

/* count * size zeroed bytes, or NULL (overflow, out of memory). count * size == 0
 * gives a valid block. The caller owns it and frees it with witan_free. */
void *witan_zalloc(const witan_allocator *allocator, size_t count,
                   size_t size) WITAN_NODISCARD;

/* As witan_zalloc, contents undefined: for large blocks that are overwritten at once.
 */
void *witan_alloc(const witan_allocator *allocator, size_t count,
                  size_t size) WITAN_NODISCARD;

/* Frees a block of this allocator; NULL is allowed. */
void witan_free(const witan_allocator *allocator, void *block);

/* A copy of a string, owned by the caller, or NULL. */
char *witan_strdup(const witan_allocator *allocator, const char *text) WITAN_NODISCARD;

#endif
