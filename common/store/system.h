/* system.h - system calls with their errors told and their interruptions hidden;
 * private to the room. */
#ifndef WITAN_STORE_SYSTEM_H
#define WITAN_STORE_SYSTEM_H

#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/* "cannot VERB PATH: No space left on device", E_IO; `error` is an errno. */
witan_status witan_system_fail(witan_diag *diag, const char *verb, const char *path,
                               int error);

/* Writes all bytes; 0 or an errno. */
int witan_system_write(int file, const void *bytes, size_t size) WITAN_NODISCARD;

/* Reads up to `size` bytes at `offset`, fewer only at the end of the file. 0 or errno.
 */
int witan_system_read_at(int file, uint64_t offset, void *bytes, size_t size,
                         size_t *got) WITAN_NODISCARD;

/* A block with `size` bytes of a struct and a copy of `path` behind them. */
void *witan_system_new(const witan_allocator *allocator, size_t size, const char *path,
                       char **copy) WITAN_NODISCARD;

#endif
