/* ledger.c - opening: files closed to others, a database that is a ledger and sound, or
 * a sentence why not; settings.
 * Source: the SQLite documentation, "Defense Against The Dark Arts" for what is
 * switched off before the file's own schema is looked at. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/ledger_private.h"
#include "store/secret_file.h"
#include "store/system.h"

enum {
    APPLICATION_ID = 0x7774616e, /* "wtan" */
    FORMAT = 1,                  /* PRAGMA user_version */
    BUSY_MS = 5000,
    VALUE_BYTES_MAX = 1 << 23, /* of one row; the largest setting is 1 MiB */
    PATH_ROOM = 500            /* SQLite's unix files have names of 511 bytes at most */
};

/* Also what the file's schema is compared with, word for word: a ledger whose tables
 * differ is not read. A change here is a new FORMAT, with the steps that lead to it. */
static const char *const schema[] = {
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",

    ("CREATE TABLE peers (number INTEGER PRIMARY KEY, seat INTEGER NOT NULL, "
     "name TEXT NOT NULL, state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2), "
     "sign_key BLOB NOT NULL UNIQUE CHECK (length(sign_key) = 32), "
     "transport_key BLOB NOT NULL CHECK (length(transport_key) = 32), "
     "new_transport_key BLOB CHECK (length(new_transport_key) = 32), "
     "psk BLOB NOT NULL CHECK (length(psk) = 32), "
     "must_rotate INTEGER NOT NULL DEFAULT 0, enrolled_s INTEGER NOT NULL, "
     "seen_s INTEGER NOT NULL DEFAULT 0, model TEXT NOT NULL DEFAULT '', "
     "program TEXT NOT NULL DEFAULT '', samples INTEGER NOT NULL DEFAULT 0, "
     "connected INTEGER NOT NULL DEFAULT 0) STRICT"),
    "CREATE UNIQUE INDEX peers_seat ON peers (seat) WHERE state < 2",
    "CREATE UNIQUE INDEX peers_name ON peers (name) WHERE state < 2",
    "CREATE UNIQUE INDEX peers_transport ON peers (transport_key) WHERE state < 2",

    ("CREATE TABLE invitations (token BLOB PRIMARY KEY CHECK (length(token) = 8), "
     "name TEXT NOT NULL, seat INTEGER, "
     "door_key BLOB NOT NULL CHECK (length(door_key) = 32), "
     "psk BLOB NOT NULL CHECK (length(psk) = 32), created_s INTEGER NOT NULL, "
     "expires_s INTEGER NOT NULL, confirm INTEGER NOT NULL, "
     "used_by BLOB REFERENCES peers (sign_key)) STRICT"),

    ("CREATE TABLE rounds (round INTEGER PRIMARY KEY, "
     "phase INTEGER NOT NULL CHECK (phase BETWEEN 0 AND 2), "
     "fused INTEGER NOT NULL DEFAULT 0, opened_s INTEGER NOT NULL, "
     "ended_s INTEGER NOT NULL DEFAULT 0, seats INTEGER NOT NULL, "
     "asked INTEGER NOT NULL, asked_bits BLOB NOT NULL, "
     "answered INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0, "
     "exchange BLOB CHECK (length(exchange) = 32), "
     "bytes_up INTEGER NOT NULL DEFAULT 0, bytes_down INTEGER NOT NULL DEFAULT 0, "
     "seconds REAL) STRICT"),

    ("CREATE TABLE uploads (round INTEGER NOT NULL REFERENCES rounds, "
     "seat INTEGER NOT NULL, kind INTEGER NOT NULL, codec INTEGER NOT NULL, "
     "rows INTEGER NOT NULL, classes INTEGER NOT NULL, total INTEGER NOT NULL, "
     "samples INTEGER NOT NULL, digest BLOB NOT NULL CHECK (length(digest) = 32), "
     "signature BLOB NOT NULL CHECK (length(signature) = 64), "
     "sign_key BLOB NOT NULL REFERENCES peers (sign_key), late INTEGER NOT NULL, "
     "used_from INTEGER NOT NULL, kept INTEGER NOT NULL DEFAULT 1, "
     "PRIMARY KEY (round, seat)) STRICT, WITHOUT ROWID"),
    "CREATE INDEX uploads_kept ON uploads (round, seat) WHERE kept = 1",

    ("CREATE TABLE results (round INTEGER NOT NULL REFERENCES rounds, "
     "seat INTEGER NOT NULL, train_loss REAL, distill_loss REAL, "
     "own_before_accuracy REAL, own_before_loss REAL, own_before_ece REAL, "
     "own_after_accuracy REAL, own_after_loss REAL, own_after_ece REAL, "
     "global_before_accuracy REAL, global_before_loss REAL, global_before_ece REAL, "
     "global_after_accuracy REAL, global_after_loss REAL, global_after_ece REAL, "
     "bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL, "
     "PRIMARY KEY (round, seat)) STRICT, WITHOUT ROWID"),

    ("CREATE TABLE events (number INTEGER PRIMARY KEY, at_s INTEGER NOT NULL, "
     "id TEXT NOT NULL, text TEXT NOT NULL) STRICT"),
};
static const size_t schema_count = sizeof schema / sizeof schema[0];

static witan_status
run_sql(witan_ledger *self, const char *sql, witan_diag *diag)
{
    int code = sqlite3_exec(self->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? WITAN_OK : witan_ledger_fail(self, code, diag);
}

/* First column of the first row of a statement that runs once. */
static witan_status
ask(witan_ledger *self, const char *sql, int64_t *number, char *text, size_t room,
    witan_diag *diag)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(self->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    *number = 0;
    if (room > 0) {
        text[0] = '\0';
    }
    if (code == SQLITE_ROW) {
        *number = sqlite3_column_int64(statement, 0);
        const unsigned char *value =
            room > 0 ? sqlite3_column_text(statement, 0) : NULL;
        if (value != NULL) {
            (void)snprintf(text, room, "%s", (const char *)value);
        }
    }
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE
               ? WITAN_OK
               : witan_ledger_fail(self, code, diag);
}

static witan_status
ask_number(witan_ledger *self, const char *sql, int64_t *number, witan_diag *diag)
{
    return ask(self, sql, number, NULL, 0, diag);
}

/* A file of the database: absent, or a plain file of ours, which is closed to others.
 */
static witan_status
close_to_others(const witan_ledger *self, const char *name, witan_diag *diag)
{
    struct stat status;
    if (fstatat(self->directory_file, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT
                   ? WITAN_OK
                   : witan_ledger_system_fail(self, "read", name, errno, diag);
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
        return witan_diag_fail(diag, WITAN_E_REFUSED,
                               "%s/%s: not a plain file of user %ju; put the ledger "
                               "itself there",
                               self->directory, name, (uintmax_t)geteuid());
    }
    /* By name: closing a descriptor of the file would drop SQLite's locks on it. */
    if ((status.st_mode & 0777) != 0600 &&
        fchmodat(self->directory_file, name, 0600, 0) != 0) {
        return witan_ledger_system_fail(self, "chmod", name, errno, diag);
    }
    return WITAN_OK;
}

/* DIRECTORY/uploads, made when absent, closed to others. */
static witan_status
open_uploads(witan_ledger *self, bool *made, witan_diag *diag)
{
    struct stat status;
    if (mkdirat(self->directory_file, "uploads", 0700) == 0) {
        *made = true;
    } else if (errno != EEXIST) {
        return witan_ledger_system_fail(self, "create", "uploads", errno, diag);
    }
    self->uploads = openat(self->directory_file, "uploads",
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (self->uploads < 0 || fstat(self->uploads, &status) != 0 ||
        ((status.st_mode & 0777) != 0700 && fchmod(self->uploads, 0700) != 0)) {
        return witan_ledger_system_fail(self, "use", "uploads", errno, diag);
    }
    return WITAN_OK;
}

static witan_status
prepare_files(witan_ledger *self, bool create, witan_diag *diag)
{
    static const char *const names[] = {"witan.db", "witan.db-wal", "witan.db-shm"};
    struct stat status;
    bool made = false;
    if (!create && lstat(self->path, &status) != 0 &&
        (errno == ENOENT || errno == ENOTDIR)) {
        return witan_diag_fail(
            diag, WITAN_E_STATE,
            "no coordinator state in %s; start witan coordinator there first",
            self->directory);
    }
    WITAN_TRY(witan_secret_directory_make(self->directory, diag));
    self->directory_file = open(self->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->directory_file < 0) {
        return witan_system_fail(diag, "open", self->directory, errno);
    }
    if (create) { /* SQLite gives its other files the mode of this one */
        int file = openat(self->directory_file, "witan.db",
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        made = file >= 0;
        if (file >= 0) {
            (void)close(file);
        } else if (errno != EEXIST) {
            return witan_ledger_system_fail(self, "create", "witan.db", errno, diag);
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        WITAN_TRY(close_to_others(self, names[i], diag));
    }
    WITAN_TRY(open_uploads(self, &made, diag));
    if (made && fsync(self->directory_file) != 0 && errno != EINVAL) {
        return witan_system_fail(diag, "sync", self->directory, errno);
    }
    return WITAN_OK;
}

/* Opens the file and switches off what a hostile schema could use. */
static witan_status
open_database(witan_ledger *self, witan_diag *diag)
{
    static const struct {
        int option, value;
    } switches[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                    {SQLITE_DBCONFIG_ENABLE_FKEY, 1}};
    char real[WITAN_PATH_MAX], path[WITAN_PATH_MAX + 16];
    if (realpath(self->directory, real) == NULL) {
        return witan_system_fail(diag, "open", self->directory, errno);
    }
    (void)snprintf(path, sizeof path, "%s/witan.db", real);
    if (strlen(path) > PATH_ROOM) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "%s: longer than the %d bytes that SQLite takes; choose "
                               "a shorter directory",
                               path, PATH_ROOM);
    }
    int code = sqlite3_open_v2(
        path, &self->db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (self->db == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", self->path);
    }
    if (code != SQLITE_OK) {
        return witan_ledger_fail(self, code, diag);
    }
    (void)sqlite3_extended_result_codes(self->db, 1);
    (void)sqlite3_busy_timeout(self->db, BUSY_MS);
    (void)sqlite3_limit(self->db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    (void)sqlite3_limit(self->db, SQLITE_LIMIT_ATTACHED, 0);
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        code = sqlite3_db_config(self->db, switches[i].option, switches[i].value, NULL);
        if (code != SQLITE_OK) {
            return witan_ledger_fail(self, code, diag);
        }
    }
    return run_sql(self,
                   "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; "
                   "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; "
                   "PRAGMA secure_delete=ON; PRAGMA synchronous=FULL",
                   diag);
}

/* Makes the tables in one transaction, unless another process was faster. */
static witan_status
create_tables(witan_ledger *self, witan_diag *diag)
{
    char sql[96];
    int64_t format = 0;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_status status = ask_number(self, "PRAGMA user_version", &format, diag);
    for (size_t i = 0; i < schema_count && status == WITAN_OK && format == 0; i++) {
        status = run_sql(self, schema[i], diag);
    }
    if (status == WITAN_OK && format == 0) {
        (void)snprintf(sql, sizeof sql,
                       "PRAGMA application_id=%d; PRAGMA user_version=%d",
                       APPLICATION_ID, FORMAT);
        status = run_sql(self, sql, diag);
    }
    return witan_change_end(self, status, diag);
}

/* The tables are those of this format, to the letter, and no others. */
static witan_status
check_schema(witan_ledger *self, witan_diag *diag)
{
    sqlite3_stmt *statement = NULL;
    size_t rows = 0, known = 0;
    int code = sqlite3_prepare_v2(self->db,
                                  "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL",
                                  -1, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        const unsigned char *sql =
            code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
        rows += code == SQLITE_ROW;
        for (size_t i = 0; i < schema_count && sql != NULL; i++) {
            known += strcmp((const char *)sql, schema[i]) == 0;
        }
    }
    (void)sqlite3_finalize(statement);
    if (code != SQLITE_DONE) {
        return witan_ledger_fail(self, code, diag);
    }
    return rows == schema_count && known == schema_count
               ? WITAN_OK
               : witan_ledger_damaged(self, "its tables are not those of a ledger",
                                      diag);
}

static witan_status
check_format(witan_ledger *self, bool create, witan_diag *diag)
{
    int64_t application, format, objects;
    WITAN_TRY(ask_number(self, "PRAGMA application_id", &application, diag));
    WITAN_TRY(ask_number(self, "PRAGMA user_version", &format, diag));
    WITAN_TRY(ask_number(self, "SELECT count(*) FROM sqlite_schema", &objects, diag));
    if (application == 0 && format == 0 && objects == 0) {
        if (!create) {
            return witan_diag_fail(
                diag, WITAN_E_STATE,
                "no coordinator state in %s; start witan coordinator there first",
                self->directory);
        }
        WITAN_TRY(create_tables(self, diag));
        return check_schema(self, diag);
    }
    if (application != APPLICATION_ID) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s: a database, but not a coordinator's ledger; choose "
                               "another directory",
                               self->path);
    }
    if (format > FORMAT) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s: written by a newer version of witan (format "
                               "%" PRId64 ", this one knows %d); install that version",
                               self->path, format, FORMAT);
    }
    if (format != FORMAT) {
        return witan_ledger_damaged(self, "its format number makes no sense", diag);
    }
    return check_schema(self, diag);
}

static witan_status
use_wal(witan_ledger *self, witan_diag *diag)
{
    int64_t ignored;
    char mode[16];
    WITAN_TRY(ask(self, "PRAGMA journal_mode=WAL", &ignored, mode, sizeof mode, diag));
    if (strcmp(mode, "wal") != 0) {
        return witan_diag_fail(diag, WITAN_E_IO,
                               "%s: this file system cannot hold a ledger that several "
                               "programs use; choose a directory on a local disk",
                               self->path);
    }
    return WITAN_OK;
}

/* Every page, row, index and reference. What a crash left in the write-ahead log is
 * then written out and synced: a log page whose sync once failed may stand in memory
 * alone (docs/decisions/0012-coordinator-state.md). */
static witan_status
check_whole(witan_ledger *self, witan_diag *diag)
{
    int64_t broken;
    char verdict[256];
    WITAN_TRY(
        ask(self, "PRAGMA integrity_check(1)", &broken, verdict, sizeof verdict, diag));
    if (strcmp(verdict, "ok") != 0) {
        return witan_ledger_damaged(self, verdict, diag);
    }
    WITAN_TRY(ask_number(self, "SELECT count(*) FROM pragma_foreign_key_check", &broken,
                         diag));
    if (broken != 0) {
        return witan_ledger_damaged(self, "rows refer to others that are not there",
                                    diag);
    }
    return ask_number(self, "PRAGMA wal_checkpoint(TRUNCATE)", &broken, diag);
}

static witan_status
open_all(witan_ledger *self, bool create, witan_diag *diag)
{
    WITAN_TRY(prepare_files(self, create, diag));
    WITAN_TRY(open_database(self, diag));
    WITAN_TRY(check_format(self, create, diag));
    WITAN_TRY(use_wal(self, diag));
    return create ? check_whole(self, diag) : WITAN_OK;
}

witan_status
witan_ledger_open(witan_ledger **out, const char *directory, bool create,
                  const witan_allocator *allocator, witan_diag *diag)
{
    *out = NULL;
    if (strlen(directory) >= WITAN_PATH_MAX - sizeof "/witan.db") {
        return witan_system_fail(diag, "open", directory, ENAMETOOLONG);
    }
    witan_ledger *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", directory);
    }
    size_t room = strlen(directory) + sizeof "/witan.db";
    self->allocator = allocator;
    self->directory_file = self->uploads = -1;
    self->full = true;
    self->directory = witan_strdup(allocator, directory);
    self->path = witan_alloc(allocator, room, 1);
    witan_status status;
    if (self->directory == NULL || self->path == NULL) {
        status = witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", directory);
    } else {
        (void)snprintf(self->path, room, "%s/witan.db", directory);
        status = open_all(self, create, diag);
    }
    if (status != WITAN_OK) {
        witan_ledger_close(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_ledger_close(witan_ledger **self)
{
    witan_ledger *it = *self;
    if (it == NULL) {
        return;
    }
    const witan_allocator *allocator = it->allocator;
    for (size_t i = 0; i < WITAN_QUERY_COUNT; i++) {
        (void)sqlite3_finalize(it->statements[i]);
    }
    if (it->db != NULL) {
        /* Undoes an open transaction. */
        int code = sqlite3_close(it->db);
        WITAN_ASSERT(code == SQLITE_OK);
    }
    if (it->uploads >= 0) {
        (void)close(it->uploads);
    }
    if (it->directory_file >= 0) {
        (void)close(it->directory_file);
    }
    witan_free(allocator, it->directory);
    witan_free(allocator, it->path);
    witan_free(allocator, it);
    *self = NULL;
}

witan_status
witan_ledger_version(witan_ledger *self, uint64_t *out, witan_diag *diag)
{
    witan_query query;
    *out = 0;
    witan_query_start(&query, self, WITAN_QUERY_VERSION, "PRAGMA data_version", diag);
    if (witan_query_row(&query)) {
        *out = witan_query_u64(&query, UINT64_MAX);
    }
    return witan_query_end(&query);
}

witan_status
witan_ledger_space(witan_ledger *self, uint64_t bytes, witan_diag *diag)
{
    struct statvfs status;
    if (fstatvfs(self->uploads, &status) != 0) {
        return witan_ledger_system_fail(self, "read", "uploads", errno, diag);
    }
    uint64_t free_bytes;
    if (__builtin_mul_overflow((uint64_t)status.f_bavail, (uint64_t)status.f_frsize,
                               &free_bytes) ||
        free_bytes >= bytes) {
        return WITAN_OK;
    }
    return witan_diag_fail(
        diag, WITAN_E_IO, "%s: %.1f MB free, %.1f MB needed; free some space",
        self->directory, (double)free_bytes / 1e6, (double)bytes / 1e6);
}

witan_status
witan_ledger_setting(witan_ledger *self, const char *name, char **value,
                     witan_diag *diag)
{
    witan_query query;
    *value = NULL;
    witan_query_start(&query, self, WITAN_QUERY_SETTING,
                      "SELECT value FROM settings WHERE name = ?", diag);
    witan_query_bind_text(&query, name);
    if (witan_query_row(&query)) {
        const unsigned char *text = sqlite3_column_text(query.statement, 0);
        size_t length = (size_t)sqlite3_column_bytes(query.statement, 0);
        if (text == NULL || length > WITAN_CONFIG_BYTES_MAX ||
            strlen((const char *)text) != length) {
            witan_query_damaged(&query, "a setting is not a text");
        } else {
            *value = witan_strdup(self->allocator, (const char *)text);
            if (*value == NULL) {
                query.status = witan_diag_fail(diag, WITAN_E_MEMORY,
                                               "%s: out of memory", self->path);
            }
        }
    }
    return witan_query_end(&query);
}

witan_status
witan_ledger_set(witan_ledger *self, const char *name, const char *value,
                 witan_diag *diag)
{
    witan_query query;
    if (strlen(value) > WITAN_CONFIG_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "the setting %s: longer than %zu bytes", name,
                               WITAN_CONFIG_BYTES_MAX);
    }
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_SET,
                      "INSERT INTO settings (name, value) VALUES (?, ?) "
                      "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                      diag);
    witan_query_bind_text(&query, name);
    witan_query_bind_text(&query, value);
    return witan_change_end(self, witan_query_run(&query, NULL), diag);
}
