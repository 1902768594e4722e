#include "client/shell/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

witan_status
node_fetch_memory(node_fetch *self, witan_blob what, uint32_t round, uint64_t total,
                  const uint8_t digest[WITAN_DIGEST_SIZE], uint64_t now_ms,
                  const witan_allocator *allocator)
{
    if (self->active && self->what == what && self->round == round &&
        self->total == total && memcmp(self->digest, digest, WITAN_DIGEST_SIZE) == 0) {
        return WITAN_OK;
    }
    node_fetch_stop(self, allocator);
    self->bytes = witan_alloc(allocator, (size_t)total, 1);
    if (self->bytes == NULL) {
        return WITAN_E_MEMORY;
    }
    self->active = true;
    self->what = what;
    self->round = round;
    self->total = total;
    self->moved_ms = now_ms;
    self->file = -1;
    memcpy(self->digest, digest, WITAN_DIGEST_SIZE);
    return WITAN_OK;
}

witan_status
node_fetch_file(node_fetch *self, witan_blob what, uint64_t total, const char *path,
                uint64_t now_ms, witan_diag *diag)
{
    struct stat info;
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0 || fstat(file, &info) != 0) {
        witan_status status =
            witan_diag_fail(diag, WITAN_E_IO, "%s: %s", path, strerror(errno));
        if (file >= 0) {
            (void)close(file);
        }
        return status;
    }
    uint64_t have = (uint64_t)info.st_size;
    if (have > total && ftruncate(file, 0) == 0) {
        have = 0; /* the rest of something else */
    }
    memset(self, 0, sizeof *self);
    self->active = true;
    self->what = what;
    self->total = total;
    self->got = self->asked = have;
    self->moved_ms = now_ms;
    self->file = file;
    return WITAN_OK;
}

void
node_fetch_stop(node_fetch *self, const witan_allocator *allocator)
{
    if (self->active && self->file >= 0) {
        (void)close(self->file);
    }
    witan_free(allocator, self->bytes);
    memset(self, 0, sizeof *self);
}

void
node_fetch_forget_asked(node_fetch *self, uint64_t now_ms)
{
    self->asked = self->got;
    self->moved_ms = now_ms;
}

bool
node_fetch_next(node_fetch *self, uint32_t window, witan_packet *get)
{
    uint64_t ahead = (uint64_t)(window - 1) * WITAN_CHUNK_BYTES;
    if (!self->active || self->asked == self->total ||
        self->asked - self->got > ahead) {
        return false;
    }
    uint64_t left = self->total - self->asked;
    memset(get, 0, sizeof *get);
    get->kind = WITAN_PACKET_GET;
    get->is.get.what = self->what;
    get->is.get.round = self->round;
    get->is.get.offset = self->asked;
    get->is.get.size = (uint32_t)(left < WITAN_CHUNK_BYTES ? left : WITAN_CHUNK_BYTES);
    self->asked += get->is.get.size;
    return true;
}

static witan_status
append(int file, const uint8_t *bytes, size_t size, witan_diag *diag)
{
    for (size_t done = 0; done < size;) {
        ssize_t written = write(file, bytes + done, size - done);
        if (written < 0 && errno != EINTR) {
            return witan_diag_fail(diag, WITAN_E_IO, "transfer set: %s",
                                   strerror(errno));
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return WITAN_OK;
}

witan_status
node_fetch_take(node_fetch *self, const witan_packet *chunk, uint64_t now_ms,
                witan_diag *diag)
{
    uint64_t offset = chunk->is.chunk.offset, size = chunk->is.chunk.size;
    if (!self->active || chunk->is.chunk.what != self->what ||
        chunk->is.chunk.round != self->round || offset != self->got ||
        size > self->asked - self->got) {
        return WITAN_OK;
    }
    if (self->bytes != NULL) {
        memcpy(self->bytes + offset, chunk->is.chunk.data, (size_t)size);
    } else {
        WITAN_TRY(append(self->file, chunk->is.chunk.data, (size_t)size, diag));
    }
    self->got += size;
    self->moved_ms = now_ms;
    return WITAN_OK;
}

bool
node_fetch_is_whole(const node_fetch *self)
{
    return self->active && self->got == self->total;
}
