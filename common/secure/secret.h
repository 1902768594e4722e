/* secret.h - memory for secrets: locked, never in a core dump, wiped when freed.
 * Why here: no other room may see how; there is deliberately no function that prints a
 * secret. Source: libsodium's guarded heap (sodium_malloc).
 * Threads: as any heap. */
#ifndef WITAN_SECURE_SECRET_H
#define WITAN_SECURE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Starts libsodium; call it once before threads and before ZeroMQ. Core dumps of the
 * process are switched off. Errors: E_UNSUPPORTED (library missing what is needed). */
WITAN_NODISCARD witan_status witan_secure_start(witan_diag *diag);

/* Guarded memory, zeroed; NULL when there is none. Costs 3 pages: keys only. */
void *witan_secret_alloc(size_t size) WITAN_NODISCARD;
/* Wipes and frees; NULL-safe; sets *secret to NULL. */
void witan_secret_free(void **secret);
/* Overwrites what held a secret; not optimised away. */
void witan_wipe(void *bytes, size_t size);
/* Comparison in constant time. */
bool witan_secret_equal(const void *a, const void *b, size_t size);

#endif
