/* ledger_private.h - the open ledger, and queries that believe nothing they read;
 * private to the ledger's files (ledger*.c, upload.c).
 * A query's first failure sticks: binding, stepping and reading go on harmlessly and
 * witan_query_end returns it, so that callers read straight down. */
#ifndef WITAN_STORE_LEDGER_PRIVATE_H
#define WITAN_STORE_LEDGER_PRIVATE_H

#include <sqlite3.h>

#include "store/ledger.h"

/* One cached statement each; the SQL stands where it is used. */
typedef enum witan_query_id {
    WITAN_QUERY_BEGIN,
    WITAN_QUERY_COMMIT,
    WITAN_QUERY_ROLLBACK,
    WITAN_QUERY_SAVE,
    WITAN_QUERY_RELEASE,
    WITAN_QUERY_RETURN,
    WITAN_QUERY_VERSION,
    WITAN_QUERY_SETTING,
    WITAN_QUERY_SET,
    WITAN_QUERY_INVITE,
    WITAN_QUERY_INVITATIONS,
    WITAN_QUERY_INVITATION,
    WITAN_QUERY_INVITATION_OPEN,
    WITAN_QUERY_INVITATION_WITHDRAW,
    WITAN_QUERY_INVITATION_USE,
    WITAN_QUERY_INVITATIONS_FORGET,
    WITAN_QUERY_SEATS_PROMISED,
    WITAN_QUERY_SEATS_TAKEN,
    WITAN_QUERY_PEERS,
    WITAN_QUERY_PEER_BY_NAME,
    WITAN_QUERY_PEER_BY_KEY,
    WITAN_QUERY_PEER_LIVING,
    WITAN_QUERY_PEER_KEYS,
    WITAN_QUERY_PEER_NAMES,
    WITAN_QUERY_PEER_ADD,
    WITAN_QUERY_PEER_STATE,
    WITAN_QUERY_PEER_ASK,
    WITAN_QUERY_PEER_ANNOUNCE,
    WITAN_QUERY_PEER_ADOPT,
    WITAN_QUERY_PEER_SEEN,
    WITAN_QUERY_PEER_UNUSED,
    WITAN_QUERY_PEER_UNUSED_DROP,
    WITAN_QUERY_NOBODY,
    WITAN_QUERY_ROUND_OPEN,
    WITAN_QUERY_ROUND_FUSED,
    WITAN_QUERY_ROUND_ENDED,
    WITAN_QUERY_ROUND_LAST,
    WITAN_QUERY_ROUND_ASKED,
    WITAN_QUERY_ROUNDS,
    WITAN_QUERY_ACCEPT,
    WITAN_QUERY_UPLOAD,
    WITAN_QUERY_UPLOADS,
    WITAN_QUERY_UPLOADS_PRUNE,
    WITAN_QUERY_UPLOAD_DROP,
    WITAN_QUERY_DONE,
    WITAN_QUERY_RESULTS,
    WITAN_QUERY_EVENT,
    WITAN_QUERY_EVENTS_FORGET,
    WITAN_QUERY_EVENTS,
    WITAN_QUERY_COUNT
} witan_query_id;

struct witan_ledger {
    const witan_allocator *allocator;
    char *directory;                             /* owned, as the caller wrote it */
    char *path;                                  /* owned, DIRECTORY/witan.db */
    sqlite3 *db;                                 /* owned */
    sqlite3_stmt *statements[WITAN_QUERY_COUNT]; /* owned, NULL until first used */
    int directory_file, uploads;                 /* open directories, or -1 */
    bool inside; /* between witan_ledger_begin and its end */
    bool full;   /* commits are synced; false after an event */
};

/* The status and sentence of an SQLite result code. */
witan_status witan_ledger_fail(const witan_ledger *self, int code, witan_diag *diag);
/* E_DATA: "PATH: damaged: WHAT; ..." */
witan_status witan_ledger_damaged(const witan_ledger *self, const char *what,
                                  witan_diag *diag);
/* E_IO: "cannot VERB DIRECTORY/NAME: REASON", with what to do when the disk is full. */
witan_status witan_ledger_system_fail(const witan_ledger *self, const char *verb,
                                      const char *name, int error, witan_diag *diag);

/* A change is all done or not at all: a transaction of its own, or a savepoint within
 * the caller's. `end` takes the status of what was done and returns the final one. */
WITAN_NODISCARD witan_status witan_change_begin(witan_ledger *self, witan_diag *diag);
WITAN_NODISCARD witan_status witan_change_end(witan_ledger *self, witan_status status,
                                              witan_diag *diag);

/* The same for what may be lost with the power; the next synced change syncs it too. */
WITAN_NODISCARD witan_status witan_change_begin_unsynced(witan_ledger *self);

typedef struct witan_query {
    witan_ledger *ledger;
    sqlite3_stmt *statement; /* of the ledger's cache */
    int column;              /* next to bind (1-based) or to read (0-based) */
    witan_status status;     /* first failure */
    witan_diag *diag;
} witan_query;

/* Binds come next, in order of the question marks. What is bound must live until the
 * query ends. */
void witan_query_start(witan_query *self, witan_ledger *ledger, witan_query_id id,
                       const char *sql, witan_diag *diag);
void witan_query_bind_u64(witan_query *self, uint64_t value);
void witan_query_bind_double(witan_query *self, double value); /* NaN as NULL */
void witan_query_bind_bytes(witan_query *self, const void *bytes, size_t size);
void witan_query_bind_text(witan_query *self, const char *text);
void witan_query_bind_null(witan_query *self);
/* The next row, if any; its columns are then read in order. */
bool witan_query_row(witan_query *self);
/* Whole number of 0 to max. */
uint64_t witan_query_u64(witan_query *self, uint64_t max);
bool witan_query_bool(witan_query *self);
double witan_query_double(witan_query *self); /* NULL as NaN */
/* Exactly `size` bytes; NULL gives zeros where that is allowed. */
void witan_query_bytes(witan_query *self, void *out, size_t size);
void witan_query_bytes_or_zeros(witan_query *self, void *out, size_t size);
/* Text of fewer than `room` bytes without control characters. */
void witan_query_text(witan_query *self, char *out, size_t room);
/* Whether the next column is NULL; skips it then. */
bool witan_query_skip_null(witan_query *self);
/* What was read cannot be. */
void witan_query_damaged(witan_query *self, const char *what);
/* Frees the statement for its next use; the query's status. */
WITAN_NODISCARD witan_status witan_query_end(witan_query *self);
/* Steps a change to its end; *rows (may be NULL) = rows that it changed. */
WITAN_NODISCARD witan_status witan_query_run(witan_query *self, size_t *rows);

/* A list that grows while a query is read. */
typedef struct witan_list {
    const witan_allocator *allocator;
    char *items; /* owned */
    size_t size; /* of one */
    size_t count, room;
} witan_list;
/* A new zeroed item, or NULL: the query has failed then. */
void *witan_list_next(witan_list *self, witan_query *query);
/* Ends the query; on success *list and *count get the items, else they are wiped. */
WITAN_NODISCARD witan_status witan_list_give(witan_list *self, witan_query *query,
                                             void **list, size_t *count);

/* The peer of a signing key, living or revoked. */
WITAN_NODISCARD witan_status witan_ledger_peer_find(witan_ledger *self,
                                                    const uint8_t sign_key[32],
                                                    witan_peer *out, bool *found,
                                                    witan_diag *diag);

/* Unlinks DIRECTORY/uploads/... of a seat and round; no error when absent. */
void witan_upload_unlink(const witan_ledger *self, uint32_t round, uint32_t seat,
                         bool whole_too);

#endif
