/* lock.h - one writer per run directory.
 * Why here: two processes that write one run would mix their rounds.
 * Source: flock(2) on DIRECTORY/lock: the system drops the lock when the process ends
 * in whatever way, so that no stale lock can stay behind. Advisory; local file systems
 * and NFS of Linux 2.6.12 and later. */
#ifndef WITAN_STORE_LOCK_H
#define WITAN_STORE_LOCK_H

#include "base/memory.h"
#include "base/status.h"

typedef struct witan_directory_lock witan_directory_lock;

/* Takes the lock of an existing directory without waiting and writes this process's
 * number into the lock file. Errors: E_STATE (held; `diag` names the process), E_IO,
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_directory_lock_take(witan_directory_lock **out,
                                                       const char *directory,
                                                       const witan_allocator *allocator,
                                                       witan_diag *diag);
/* Drops the lock; the empty lock file stays. NULL-safe. */
void witan_directory_unlock(witan_directory_lock **self);

#endif
