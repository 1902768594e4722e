/* secret_file.h - files that only their owner may read: 0600 in a directory of 0700.
 * Why here: a key that others can read is no key; like ssh, we refuse to use it.
 * The caller owns and wipes the buffers: nothing is copied. */
#ifndef WITAN_STORE_SECRET_FILE_H
#define WITAN_STORE_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Makes the directory with mode 0700, parents as mkdir -p. One that exists must belong
 * to this user and be closed to others: E_REFUSED "... chmod 700 DIR". */
WITAN_NODISCARD witan_status witan_secret_directory_make(const char *path,
                                                         witan_diag *diag);
/* Atomic: temporary name (O_EXCL, O_NOFOLLOW, 0600), fsync, rename, directory fsync. */
WITAN_NODISCARD witan_status witan_secret_file_write(const char *path,
                                                     const void *bytes, size_t size,
                                                     witan_diag *diag);
/* Reads up to `room` bytes. Errors: E_REFUSED (a link, not a plain file, other owner,
 * readable or writable by others, directory open to others; `diag` says what to do),
 * E_IO, E_LIMIT (longer than room). */
WITAN_NODISCARD witan_status witan_secret_file_read(const char *path, void *buffer,
                                                    size_t room, size_t *size,
                                                    witan_diag *diag);

#endif
