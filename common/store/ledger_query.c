/* ledger_query.c - statements, their values, their failures. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store/ledger_private.h"
#include "store/system.h"

enum {
    FIRST_ROOM = 16
};
static const size_t rows_max = (size_t)1 << 24; /* of one list */

witan_status
witan_ledger_damaged(const witan_ledger *self, const char *what, witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_DATA,
                           "%s: damaged: %s; keep a copy, then restore a backup of the "
                           "directory or start anew in another one",
                           self->path, what);
}

witan_status
witan_ledger_system_fail(const witan_ledger *self, const char *verb, const char *name,
                         int error, witan_diag *diag)
{
    char path[WITAN_PATH_MAX + 64];
    witan_diag sentence = {0};
    (void)snprintf(path, sizeof path, "%s/%s", self->directory, name);
    witan_status status = witan_system_fail(&sentence, verb, path, error);
    bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return witan_diag_fail(diag, status, "%s%s", sentence.message,
                           full ? "; free some space" : "");
}

/* SQLITE_IOERR: the system's reason is the more useful one. */
static witan_status
fail_io(const witan_ledger *self, int code, witan_diag *diag)
{
    int error = sqlite3_system_errno(self->db);
    if (error == 0) {
        error = errno; /* SQLite notes none when COMMIT fails; see witan_query_row */
    }
    if (code == SQLITE_IOERR_NOMEM) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", self->path);
    }
    if (code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS) {
        return witan_ledger_damaged(self, sqlite3_errstr(code), diag);
    }
    if ((code & 0xff) == SQLITE_FULL) {
        error = ENOSPC;
    }
    if (error == 0) {
        return witan_diag_fail(diag, WITAN_E_IO, "%s: %s", self->path,
                               sqlite3_errmsg(self->db));
    }
    return witan_ledger_system_fail(self, "use", "witan.db", error, diag);
}

witan_status
witan_ledger_fail(const witan_ledger *self, int code, witan_diag *diag)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", self->path);
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return fail_io(self, code, diag);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return witan_diag_fail(
            diag, WITAN_E_BUSY,
            "%s: another process has been writing for 5 s; try again", self->path);
    case SQLITE_CONSTRAINT:
        return witan_diag_fail(diag, WITAN_E_STATE, "%s: not possible now: %s",
                               self->path, sqlite3_errmsg(self->db));
    case SQLITE_TOOBIG:
        return witan_diag_fail(diag, WITAN_E_LIMIT, "%s: a value is too long",
                               self->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOLFS:
        return witan_diag_fail(diag, WITAN_E_IO, "cannot write %s: %s", self->path,
                               sqlite3_errmsg(self->db));
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        WITAN_ASSERT(!"a statement was used wrongly");
        return WITAN_E_INVALID;
    default: /* CORRUPT, NOTADB, and ERROR: our SQL is fixed, so the schema is not ours
              */
        return witan_ledger_damaged(self, sqlite3_errmsg(self->db), diag);
    }
}

void
witan_query_start(witan_query *self, witan_ledger *ledger, witan_query_id id,
                  const char *sql, witan_diag *diag)
{
    memset(self, 0, sizeof *self);
    self->ledger = ledger;
    self->diag = diag;
    self->column = 1;
    if (ledger->statements[id] == NULL) {
        int code = sqlite3_prepare_v3(ledger->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                      &ledger->statements[id], NULL);
        if (code != SQLITE_OK) {
            self->status = witan_ledger_fail(ledger, code, diag);
        }
    }
    self->statement = ledger->statements[id];
}

static void
bound(witan_query *self, int code)
{
    if (code != SQLITE_OK && self->status == WITAN_OK) {
        self->status = witan_ledger_fail(self->ledger, code, self->diag);
    }
    self->column++;
}

void
witan_query_bind_u64(witan_query *self, uint64_t value)
{
    if (self->status != WITAN_OK) {
        return;
    }
    if (value > INT64_MAX) {
        self->status = witan_diag_fail(self->diag, WITAN_E_INVALID,
                                       "a number of 2^63 or more is not kept");
        return;
    }
    bound(self,
          sqlite3_bind_int64(self->statement, self->column, (sqlite3_int64)value));
}

void
witan_query_bind_double(witan_query *self, double value)
{
    if (self->status == WITAN_OK) { /* SQLite makes NaN a NULL */
        bound(self, sqlite3_bind_double(self->statement, self->column, value));
    }
}

void
witan_query_bind_bytes(witan_query *self, const void *bytes, size_t size)
{
    if (self->status == WITAN_OK) {
        bound(self, sqlite3_bind_blob64(self->statement, self->column, bytes, size,
                                        SQLITE_STATIC));
    }
}

void
witan_query_bind_text(witan_query *self, const char *text)
{
    if (self->status == WITAN_OK) {
        bound(self, sqlite3_bind_text64(self->statement, self->column, text,
                                        strlen(text), SQLITE_STATIC, SQLITE_UTF8));
    }
}

void
witan_query_bind_null(witan_query *self)
{
    if (self->status == WITAN_OK) {
        bound(self, sqlite3_bind_null(self->statement, self->column));
    }
}

bool
witan_query_row(witan_query *self)
{
    if (self->status != WITAN_OK) {
        return false;
    }
    errno = 0;
    int code = sqlite3_step(self->statement);
    self->column = 0;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        self->status = witan_ledger_fail(self->ledger, code, self->diag);
    }
    return code == SQLITE_ROW;
}

void
witan_query_damaged(witan_query *self, const char *what)
{
    if (self->status == WITAN_OK) {
        self->status = witan_ledger_damaged(self->ledger, what, self->diag);
    }
}

/* The column just looked at holds what cannot be there. */
static void
odd_column(witan_query *self)
{
    char what[128];
    const char *name = sqlite3_column_name(self->statement, self->column - 1);
    (void)snprintf(what, sizeof what, "a value of %s is out of its range",
                   name == NULL ? "a column" : name);
    witan_query_damaged(self, what);
}

/* Index and type of the next column; SQLITE_NULL once the query has failed. */
static int
next_type(witan_query *self, int *column)
{
    *column = self->column++;
    return self->status == WITAN_OK ? sqlite3_column_type(self->statement, *column)
                                    : SQLITE_NULL;
}

uint64_t
witan_query_u64(witan_query *self, uint64_t max)
{
    int column, type = next_type(self, &column);
    sqlite3_int64 value =
        type == SQLITE_INTEGER ? sqlite3_column_int64(self->statement, column) : -1;
    if (value < 0 || (uint64_t)value > max) {
        odd_column(self);
        return 0;
    }
    return (uint64_t)value;
}

bool
witan_query_bool(witan_query *self)
{
    return witan_query_u64(self, 1) == 1;
}

double
witan_query_double(witan_query *self)
{
    int column, type = next_type(self, &column);
    if (type == SQLITE_NULL) {
        return (double)NAN;
    }
    if (type != SQLITE_FLOAT) {
        odd_column(self);
        return (double)NAN;
    }
    return sqlite3_column_double(self->statement, column);
}

void
witan_query_bytes(witan_query *self, void *out, size_t size)
{
    int column, type = next_type(self, &column);
    memset(out, 0, size);
    if (type != SQLITE_BLOB ||
        (size_t)sqlite3_column_bytes(self->statement, column) != size) {
        odd_column(self);
        return;
    }
    if (size > 0) {
        memcpy(out, sqlite3_column_blob(self->statement, column), size);
    }
}

bool
witan_query_skip_null(witan_query *self)
{
    if (self->status == WITAN_OK &&
        sqlite3_column_type(self->statement, self->column) == SQLITE_NULL) {
        self->column++;
        return true;
    }
    return false;
}

void
witan_query_bytes_or_zeros(witan_query *self, void *out, size_t size)
{
    if (witan_query_skip_null(self)) {
        memset(out, 0, size);
    } else {
        witan_query_bytes(self, out, size);
    }
}

void
witan_query_text(witan_query *self, char *out, size_t room)
{
    int column, type = next_type(self, &column);
    const unsigned char *text =
        type == SQLITE_TEXT ? sqlite3_column_text(self->statement, column) : NULL;
    size_t length =
        text == NULL ? room : (size_t)sqlite3_column_bytes(self->statement, column);
    bool odd = length >= room;
    out[0] = '\0';
    for (size_t i = 0; !odd && i < length; i++) {
        odd = text[i] < 0x20 || text[i] == 0x7f;
    }
    if (odd) {
        odd_column(self);
        return;
    }
    memcpy(out, text, length);
    out[length] = '\0';
}

witan_status
witan_query_end(witan_query *self)
{
    if (self->statement != NULL) {
        (void)sqlite3_reset(self->statement); /* repeats what the last step told */
        (void)sqlite3_clear_bindings(self->statement);
    }
    return self->status;
}

witan_status
witan_query_run(witan_query *self, size_t *rows)
{
    while (witan_query_row(self)) {
    }
    if (rows != NULL) {
        *rows = (size_t)sqlite3_changes64(self->ledger->db);
    }
    return witan_query_end(self);
}

/* One of the statements that only move a transaction. */
static witan_status
move(witan_ledger *self, witan_query_id id, const char *sql, witan_diag *diag)
{
    witan_query query;
    witan_query_start(&query, self, id, sql, diag);
    return witan_query_run(&query, NULL);
}

/* Whether commits are synced from now on. */
static witan_status
sync_commits(witan_ledger *self, bool full, witan_diag *diag)
{
    if (self->full != full) {
        const char *sql =
            full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
        int code = sqlite3_exec(self->db, sql, NULL, NULL, NULL);
        if (code != SQLITE_OK) {
            return witan_ledger_fail(self, code, diag);
        }
        self->full = full;
    }
    return WITAN_OK;
}

static witan_status
begin(witan_ledger *self, bool full, witan_diag *diag)
{
    if (!self->inside) {
        WITAN_TRY(sync_commits(self, full, diag));
        return move(self, WITAN_QUERY_BEGIN, "BEGIN IMMEDIATE", diag);
    }
    if (sqlite3_get_autocommit(self->db) != 0) {
        return witan_diag_fail(diag, WITAN_E_IO,
                               "%s: an earlier failure has undone this transaction",
                               self->path);
    }
    return move(self, WITAN_QUERY_SAVE, "SAVEPOINT change", diag);
}

witan_status
witan_change_begin(witan_ledger *self, witan_diag *diag)
{
    return begin(self, true, diag);
}

witan_status
witan_change_begin_unsynced(witan_ledger *self)
{
    return begin(self, false, NULL);
}

/* SQLite undoes a transaction by itself on some failures (disk full). */
static void
undo(witan_ledger *self)
{
    if (sqlite3_get_autocommit(self->db) == 0) {
        witan_status ignored = move(self, WITAN_QUERY_ROLLBACK, "ROLLBACK", NULL);
        (void)ignored; /* what remains open is closed with the ledger */
    }
}

witan_status
witan_change_end(witan_ledger *self, witan_status status, witan_diag *diag)
{
    if (!self->inside) {
        if (status == WITAN_OK) {
            status = move(self, WITAN_QUERY_COMMIT, "COMMIT", diag);
        }
        if (status != WITAN_OK) {
            undo(self);
        }
        return status;
    }
    if (sqlite3_get_autocommit(self->db) != 0) {
        return status;
    }
    if (status != WITAN_OK &&
        move(self, WITAN_QUERY_RETURN, "ROLLBACK TO change", NULL) != WITAN_OK) {
        undo(self);
        return status;
    }
    witan_status released = move(self, WITAN_QUERY_RELEASE, "RELEASE change", diag);
    return status != WITAN_OK ? status : released;
}

witan_status
witan_ledger_begin(witan_ledger *self, witan_diag *diag)
{
    WITAN_ASSERT(!self->inside);
    WITAN_TRY(witan_change_begin(self, diag));
    self->inside = true;
    return WITAN_OK;
}

witan_status
witan_ledger_commit(witan_ledger *self, witan_diag *diag)
{
    WITAN_ASSERT(self->inside);
    witan_status status = WITAN_OK;
    if (sqlite3_get_autocommit(self->db) != 0) {
        status = witan_diag_fail(diag, WITAN_E_IO,
                                 "%s: an earlier failure has undone this transaction",
                                 self->path);
    }
    self->inside = false;
    return witan_change_end(self, status, diag);
}

void
witan_ledger_rollback(witan_ledger *self)
{
    undo(self);
    self->inside = false;
}

static void
list_drop(witan_list *self)
{
    if (self->items != NULL) {
        explicit_bzero(self->items, self->count * self->size);
    }
    witan_free(self->allocator, self->items);
    self->items = NULL;
}

void *
witan_list_next(witan_list *self, witan_query *query)
{
    if (query->status != WITAN_OK) {
        return NULL;
    }
    if (self->count == rows_max) {
        witan_query_damaged(query, "more rows than can be");
        return NULL;
    }
    if (self->count == self->room) {
        size_t room = self->room == 0 ? FIRST_ROOM : self->room * 2;
        char *items = witan_zalloc(self->allocator, room, self->size);
        if (items == NULL) {
            query->status = witan_diag_fail(query->diag, WITAN_E_MEMORY,
                                            "%s: out of memory", query->ledger->path);
            return NULL;
        }
        if (self->count > 0) {
            memcpy(items, self->items, self->count * self->size);
        }
        list_drop(self);
        self->items = items;
        self->room = room;
    }
    return self->items + self->size * self->count++;
}

witan_status
witan_list_give(witan_list *self, witan_query *query, void **list, size_t *count)
{
    witan_status status = witan_query_end(query);
    if (status != WITAN_OK) {
        list_drop(self);
        self->count = 0;
    }
    *list = self->items;
    *count = self->count;
    return status;
}
