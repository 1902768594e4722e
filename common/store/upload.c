/* upload.c - files of uploads: DIRECTORY/uploads/RRRRRRR-SSSSSS.part while they grow,
 * .bin when whole. Each begins with the digest of the payload that follows, so that a
 * part says whose it is after a restart, without a list of the directory. Files are
 * opened for each chunk: some microseconds, and no table of descriptors to run out of.
 * An fsync that failed is final: the pages that were not written count as clean then,
 * and a second fsync would report success (docs/decisions/0012-coordinator-state.md).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/ledger_private.h"
#include "store/system.h"

enum {
    HEAD = WITAN_DIGEST_SIZE
};

typedef struct upload_name {
    char text[40]; /* "uploads/" and the name in it */
} upload_name;

static const char *
name_in(const upload_name *name)
{
    return name->text + sizeof "uploads/" - 1;
}

static upload_name
name_of(uint32_t round, uint32_t seat, const char *kind)
{
    upload_name name;
    (void)snprintf(name.text, sizeof name.text, "uploads/%07u-%06u.%s", round, seat,
                   kind);
    return name;
}

static upload_name
part_of(const witan_upload_row *row)
{
    return name_of(row->round, row->seat, "part");
}

static upload_name
whole_of(const witan_upload_row *row)
{
    return name_of(row->round, row->seat, "bin");
}

static witan_status
check_row(const witan_upload_row *row, witan_diag *diag)
{
    if (row->round >= WITAN_ROUNDS_MAX || row->seat >= WITAN_CLIENTS_MAX ||
        row->total == 0 || row->total > WITAN_UPLOAD_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_INVALID,
                               "an upload of client %u for round %u with %" PRIu64
                               " bytes is beyond the limits",
                               row->seat, row->round, row->total);
    }
    return WITAN_OK;
}

void
witan_upload_unlink(const witan_ledger *self, uint32_t round, uint32_t seat,
                    bool whole_too)
{
    upload_name part = name_of(round, seat, "part"),
                whole = name_of(round, seat, "bin");
    (void)unlinkat(self->uploads, name_in(&part), 0);
    if (whole_too) {
        (void)unlinkat(self->uploads, name_in(&whole), 0);
    }
}

static void
drop_part(const witan_ledger *self, const witan_upload_row *row)
{
    witan_upload_unlink(self, row->round, row->seat, false);
}

/* Opens an upload's file; *file is -1 when there is none. *have = payload bytes when it
 * is a file of this row's digest, else UINT64_MAX. */
static witan_status
open_file(const witan_ledger *self, const upload_name *name, int flags,
          const witan_upload_row *row, int *file, uint64_t *have, witan_diag *diag)
{
    struct stat status;
    uint8_t head[HEAD];
    size_t got;
    *have = UINT64_MAX;
    *file = openat(self->uploads, name_in(name),
                   flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*file < 0) {
        return errno == ENOENT
                   ? WITAN_OK
                   : witan_ledger_system_fail(self, "open", name->text, errno, diag);
    }
    int error = fstat(*file, &status) != 0 ? errno : 0;
    if (error == 0 && S_ISREG(status.st_mode)) {
        error = witan_system_read_at(*file, 0, head, HEAD, &got);
        if (error == 0 && got == HEAD && memcmp(head, row->digest, HEAD) == 0) {
            *have = (uint64_t)status.st_size - HEAD;
        }
    }
    if (error != 0) {
        (void)close(*file);
        *file = -1;
        return witan_ledger_system_fail(self, "read", name->text, error, diag);
    }
    return WITAN_OK;
}

witan_status
witan_upload_have(witan_ledger *self, const witan_upload_row *row, uint64_t *have,
                  witan_diag *diag)
{
    int file;
    upload_name name = part_of(row);
    *have = 0;
    WITAN_TRY(check_row(row, diag));
    WITAN_TRY(open_file(self, &name, O_RDONLY, row, &file, have, diag));
    if (file >= 0) {
        (void)close(file);
    }
    if (*have > row->total) { /* none, another's, or too long */
        *have = 0;
        drop_part(self, row);
    }
    return WITAN_OK;
}

/* Writes everything at an offset; 0 or an errno. */
static int
write_at(int file, uint64_t offset, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = pwrite(file, at, size, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return errno;
        }
        at += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return 0;
}

/* Begins a .part anew with its digest and first bytes. */
static witan_status
begin_part(const witan_ledger *self, const upload_name *name,
           const witan_upload_row *row, const void *bytes, size_t size,
           witan_diag *diag)
{
    int file = openat(self->uploads, name_in(name),
                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        return witan_ledger_system_fail(self, "create", name->text, errno, diag);
    }
    int error = write_at(file, 0, row->digest, HEAD);
    if (error == 0) {
        error = write_at(file, HEAD, bytes, size);
    }
    (void)close(file);
    if (error != 0) {
        drop_part(self, row);
        return witan_ledger_system_fail(self, "write", name->text, error, diag);
    }
    return WITAN_OK;
}

witan_status
witan_upload_append(witan_ledger *self, const witan_upload_row *row, uint64_t offset,
                    const void *bytes, size_t size, witan_diag *diag)
{
    int file;
    uint64_t have;
    upload_name name = part_of(row);
    WITAN_TRY(check_row(row, diag));
    if (size == 0 || offset > row->total || size > row->total - offset) {
        return witan_diag_fail(diag, WITAN_E_INVALID,
                               "%zu bytes at %" PRIu64 " of an upload of %" PRIu64,
                               size, offset, row->total);
    }
    WITAN_TRY(open_file(self, &name, O_RDWR, row, &file, &have, diag));
    if (file < 0 || have > row->total) {
        if (file >= 0) {
            (void)close(file);
            drop_part(self, row);
        }
        have = 0;
    } else if (have == offset) {
        int error = write_at(file, HEAD + offset, bytes, size);
        if (error != 0 && ftruncate(file, (off_t)(HEAD + offset)) != 0) {
            drop_part(self, row); /* what is in it is not known any more */
        }
        (void)close(file);
        return error == 0
                   ? WITAN_OK
                   : witan_ledger_system_fail(self, "write", name.text, error, diag);
    } else {
        (void)close(file);
    }
    if (have != offset) {
        return witan_diag_fail(diag, WITAN_E_INVALID,
                               "an upload goes on at %" PRIu64 ", not at %" PRIu64,
                               have, offset);
    }
    return begin_part(self, &name, row, bytes, size, diag);
}

/* Reads an open file's payload and compares its digest; *same tells. */
static witan_status
read_payload(const witan_ledger *self, const upload_name *name, int file,
             const witan_upload_row *row, uint8_t **bytes, bool *same, witan_diag *diag)
{
    witan_digest digest;
    uint8_t found[WITAN_DIGEST_SIZE];
    size_t got;
    *same = false;
    uint8_t *data = witan_alloc(self->allocator, row->total, 1);
    if (data == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s/%s: out of memory",
                               self->directory, name->text);
    }
    int error = witan_system_read_at(file, HEAD, data, row->total, &got);
    if (error != 0) {
        witan_free(self->allocator, data);
        return witan_ledger_system_fail(self, "read", name->text, error, diag);
    }
    witan_digest_init(&digest);
    witan_digest_update(&digest, data, got);
    witan_digest_final(&digest, found);
    *same = got == row->total && memcmp(found, row->digest, sizeof found) == 0;
    if (*same) {
        *bytes = data;
    } else {
        witan_free(self->allocator, data);
    }
    return WITAN_OK;
}

witan_status
witan_upload_read_part(witan_ledger *self, const witan_upload_row *row, uint8_t **bytes,
                       witan_diag *diag)
{
    int file;
    uint64_t have;
    bool same;
    upload_name name = part_of(row);
    *bytes = NULL;
    WITAN_TRY(check_row(row, diag));
    WITAN_TRY(open_file(self, &name, O_RDONLY, row, &file, &have, diag));
    if (file < 0 || have != row->total) {
        if (file >= 0) {
            (void)close(file);
        }
        return witan_diag_fail(diag, WITAN_E_STATE, "%s/%s: not whole", self->directory,
                               name.text);
    }
    witan_status status = read_payload(self, &name, file, row, bytes, &same, diag);
    (void)close(file);
    if (status == WITAN_OK && !same) {
        drop_part(self, row);
        return witan_diag_fail(diag, WITAN_E_FORGED,
                               "the bytes of client %u for round %u do not have the "
                               "digest that it signed",
                               row->seat, row->round);
    }
    return status;
}

/* Syncs a whole .part; after a failure it is gone. */
static witan_status
sync_part(const witan_ledger *self, const witan_upload_row *row, witan_diag *diag)
{
    int file;
    uint64_t have;
    upload_name name = part_of(row);
    WITAN_TRY(check_row(row, diag));
    WITAN_TRY(open_file(self, &name, O_RDWR, row, &file, &have, diag));
    if (file < 0 || have != row->total) {
        if (file >= 0) {
            (void)close(file);
        }
        return witan_diag_fail(diag, WITAN_E_STATE, "%s/%s: not whole", self->directory,
                               name.text);
    }
    int error = fdatasync(file) != 0 ? errno : 0;
    (void)close(file);
    if (error != 0) {
        drop_part(self, row);
        return witan_ledger_system_fail(self, "sync", name.text, error, diag);
    }
    return WITAN_OK;
}

witan_status
witan_upload_finish(witan_ledger *self, const witan_upload_row *const *rows,
                    size_t count, witan_diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        WITAN_TRY(sync_part(self, rows[i], diag));
    }
    int error = 0;
    for (size_t i = 0; i < count && error == 0; i++) {
        upload_name part = part_of(rows[i]), whole = whole_of(rows[i]);
        if (renameat(self->uploads, name_in(&part), self->uploads, name_in(&whole)) !=
            0) {
            error = errno;
        }
    }
    if (error == 0 && fsync(self->uploads) != 0 && errno != EINVAL) {
        error = errno;
    }
    for (size_t i = 0; i < count && error != 0; i++) {
        witan_upload_unlink(self, rows[i]->round, rows[i]->seat, true);
    }
    return error == 0 ? WITAN_OK
                      : witan_ledger_system_fail(self, "sync", "uploads", error, diag);
}

witan_status
witan_upload_load(witan_ledger *self, const witan_upload_row *row, uint8_t **bytes,
                  witan_diag *diag)
{
    int file;
    uint64_t have;
    bool same = false;
    upload_name name = whole_of(row);
    *bytes = NULL;
    WITAN_TRY(check_row(row, diag));
    WITAN_TRY(open_file(self, &name, O_RDONLY, row, &file, &have, diag));
    witan_status status = WITAN_OK;
    if (file >= 0 && have == row->total) {
        status = read_payload(self, &name, file, row, bytes, &same, diag);
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (status == WITAN_OK && !same) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s/%s: %s; revoke or wait for a next round, the upload "
                               "of this one is lost",
                               self->directory, name.text,
                               file < 0 ? "is gone" : "damaged");
    }
    return status;
}

/* Marks rows as having no payload any more, in a transaction of its own. */
static witan_status
mark_dropped(witan_ledger *self, witan_query_id id, const char *sql, uint64_t first,
             const uint32_t *second)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, NULL));
    witan_query_start(&query, self, id, sql, NULL);
    witan_query_bind_u64(&query, first);
    if (second != NULL) {
        witan_query_bind_u64(&query, *second);
    }
    return witan_change_end(self, witan_query_run(&query, NULL), NULL);
}

/* Round of a file in the directory; UINT32_MAX when it is none of ours. */
static uint32_t
round_of(const char *text)
{
    unsigned round, seat;
    char kind[5];
    int end = 0;
    if (sscanf(text, "%7u-%6u.%4[a-z]%n", &round, &seat, kind, &end) != 3 ||
        text[end] != '\0') {
        return UINT32_MAX;
    }
    upload_name name = name_of(round, seat, kind);
    bool ours = strcmp(name_in(&name), text) == 0 &&
                (strcmp(kind, "part") == 0 || strcmp(kind, "bin") == 0);
    return ours ? round : UINT32_MAX;
}

void
witan_upload_prune(witan_ledger *self, uint32_t keep_from)
{
    witan_status status = mark_dropped(
        self, WITAN_QUERY_UPLOADS_PRUNE,
        "UPDATE uploads SET kept = 0 WHERE round < ? AND kept = 1", keep_from, NULL);
    /* Within a transaction that may be undone the files stay until the next time. */
    int file = status == WITAN_OK && !self->inside
                   ? openat(self->uploads, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                   : -1;
    DIR *directory = file < 0 ? NULL : fdopendir(file);
    if (directory == NULL) {
        if (file >= 0) {
            (void)close(file);
        }
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (round_of(entry->d_name) < keep_from) {
            (void)unlinkat(self->uploads, entry->d_name, 0);
        }
    }
    (void)closedir(directory);
}

void
witan_upload_drop(witan_ledger *self, uint32_t round, uint32_t seat)
{
    witan_status status = mark_dropped(
        self, WITAN_QUERY_UPLOAD_DROP,
        "UPDATE uploads SET kept = 0 WHERE round = ? AND seat = ? AND kept = 1", round,
        &seat);
    witan_upload_unlink(self, round, seat, status == WITAN_OK && !self->inside);
}
