/* fetch.h - a blob that is asked for chunk by chunk, in order: into memory, or into a
 * file that is continued after a crash.
 * A chunk that was not asked for is dropped: it changes nothing here. */
#ifndef WITAN_CLIENT_SHELL_FETCH_H
#define WITAN_CLIENT_SHELL_FETCH_H

#include "wire/packet.h"

typedef struct node_fetch {
    bool active;
    witan_blob what;
    uint32_t round;
    uint64_t total;
    uint64_t got, asked; /* bytes; got <= asked <= total */
    uint64_t moved_ms;   /* when something last came */
    uint8_t digest[WITAN_DIGEST_SIZE];
    uint8_t *bytes; /* [total] owned, or NULL */
    int file;       /* else */
} node_fetch;

/* Starts afresh in memory, or goes on when the very same blob is being fetched.
 * Errors: E_MEMORY. */
WITAN_NODISCARD witan_status node_fetch_memory(node_fetch *self, witan_blob what,
                                               uint32_t round, uint64_t total,
                                               const uint8_t digest[WITAN_DIGEST_SIZE],
                                               uint64_t now_ms,
                                               const witan_allocator *allocator);
/* Appends to the file at `path`. Errors: E_IO. */
WITAN_NODISCARD witan_status node_fetch_file(node_fetch *self, witan_blob what,
                                             uint64_t total, const char *path,
                                             uint64_t now_ms, witan_diag *diag);
/* Ends it; what a file has stays. Idempotent. */
void node_fetch_stop(node_fetch *self, const witan_allocator *allocator);

/* The connection is gone, and with it what was asked for. */
void node_fetch_forget_asked(node_fetch *self, uint64_t now_ms);
/* The next GET, while fewer than `window` chunks are under way; false: none now. */
bool node_fetch_next(node_fetch *self, uint32_t window, witan_packet *get);
/* A CHUNK. Errors: E_IO (disk). */
WITAN_NODISCARD witan_status node_fetch_take(node_fetch *self,
                                             const witan_packet *chunk, uint64_t now_ms,
                                             witan_diag *diag);
/* All bytes are here. */
bool node_fetch_is_whole(const node_fetch *self);

#endif
