/* What is opened as a ledger, and what is refused with a sentence. */
#include "ledger_support.h"

#include <sqlite3.h>
#include <unistd.h>

/* Opens; the status, the sentence in *diag. */
static witan_status
opened(const char *directory, bool create, witan_diag *diag)
{
    witan_ledger *ledger;
    memset(diag, 0, sizeof *diag);
    witan_status status =
        witan_ledger_open(&ledger, directory, create, witan_allocator_default(), diag);
    CHECK((status == WITAN_OK) == (ledger != NULL));
    witan_ledger_close(&ledger);
    return status;
}

static const char *
file_in(const char *directory, const char *name)
{
    static char paths[4][1200];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static unsigned
mode_of(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? (unsigned)status.st_mode & 0777u : 01000u;
}

/* Changes a ledger's file behind our back. */
static void
alter(const char *directory, const char *sql)
{
    sqlite3 *db = NULL;
    CHECK(sqlite3_open(file_in(directory, "witan.db"), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static const char *
fresh_ledger(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    (void)ledger_must_enroll(ledger, 1);
    witan_ledger_close(&ledger);
    return directory;
}

static void
absent_ledger_is_made_only_when_asked(void)
{
    const char *directory = ledger_fresh();
    char expected[1200];
    witan_diag diag;
    (void)snprintf(expected, sizeof expected,
                   "no coordinator state in %s; start witan coordinator there first",
                   directory);
    CHECK_STATUS(opened(directory, false, &diag), WITAN_E_STATE);
    CHECK_STRING(diag.message, expected);
    CHECK(!ledger_exists(directory, ""));
    CHECK(mkdir(directory, 0700) == 0);
    CHECK_STATUS(opened(directory, false, &diag), WITAN_E_STATE);
    CHECK(!ledger_exists(directory, "witan.db") &&
          !ledger_exists(directory, "uploads"));
    /* A crash between making the file and its tables. */
    witan_test_write(file_in(directory, "witan.db"), "", 0);
    CHECK_STATUS(opened(directory, false, &diag), WITAN_E_STATE);
    CHECK_STRING(diag.message, expected);
    mode_t mask = umask(0);
    CHECK_STATUS(opened(directory, true, &diag), WITAN_OK);
    (void)umask(mask);
    CHECK_STATUS(opened(directory, false, &diag), WITAN_OK);
    CHECK_STATUS(opened(file_in(directory, "witan.db"), true, &diag), WITAN_E_IO);
    char *longer = malloc(WITAN_PATH_MAX + 1);
    memset(longer, 'x', WITAN_PATH_MAX);
    longer[WITAN_PATH_MAX] = '\0';
    CHECK_STATUS(opened(longer, true, &diag), WITAN_E_IO);
    free(longer);
}

static void
long_path_is_told(void)
{
    char path[900];
    witan_diag diag;
    (void)snprintf(path, sizeof path, "%s/", ledger_fresh());
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(path);
        memset(path + length, 'a' + i, 200);
        path[length + 200] = '/';
        path[length + 201] = '\0';
    }
    CHECK_STATUS(opened(path, true, &diag), WITAN_E_LIMIT);
    CHECK_CONTAINS(diag.message, "choose a shorter directory");
}

static void
files_are_closed_to_others(void)
{
    const char *directory = ledger_fresh();
    static const char *const names[] = {"witan.db", "witan.db-wal", "witan.db-shm"};
    witan_diag diag = {0};
    mode_t mask = umask(0);
    witan_ledger *ledger = ledger_must_open(directory), *second = NULL;
    CHECK_STATUS(witan_ledger_set(ledger, "a", "b", NULL), WITAN_OK);
    (void)umask(mask);
    CHECK(mode_of(directory) == 0700 && mode_of(file_in(directory, "uploads")) == 0700);
    for (size_t i = 0; i < 3; i++) {
        CHECK(mode_of(file_in(directory, names[i])) == 0600);
        CHECK(chmod(file_in(directory, names[i]), 0644) == 0);
    }
    CHECK(chmod(file_in(directory, "uploads"), 0755) == 0);
    CHECK_STATUS(
        witan_ledger_open(&second, directory, false, witan_allocator_default(), &diag),
        WITAN_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK(mode_of(file_in(directory, names[i])) == 0600);
    }
    CHECK(mode_of(file_in(directory, "uploads")) == 0700);
    witan_ledger_close(&second);
    witan_ledger_close(&ledger);
    CHECK(chmod(directory, 0755) == 0);
    CHECK_STATUS(opened(directory, false, &diag), WITAN_E_REFUSED);
    CHECK_CONTAINS(diag.message, "open to other users (mode 755); chmod 700 ");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_REFUSED);
}

static void
links_are_refused(void)
{
    static const char *const names[] = {"witan.db", "witan.db-wal", "witan.db-shm"};
    witan_diag diag;
    for (size_t i = 0; i < 3; i++) {
        const char *directory = fresh_ledger();
        const char *path = file_in(directory, names[i]);
        const char *moved = file_in(directory, "moved");
        witan_test_write(moved, "", 0);
        if (i == 0) {
            CHECK(rename(path, moved) == 0);
        }
        CHECK(symlink("moved", path) == 0);
        CHECK_STATUS(opened(directory, false, &diag), WITAN_E_REFUSED);
        CHECK_CONTAINS(diag.message, "not a plain file of user ");
        CHECK_STATUS(opened(directory, true, &diag), WITAN_E_REFUSED);
    }
    const char *directory = fresh_ledger();
    CHECK(rmdir(file_in(directory, "uploads")) == 0);
    CHECK(symlink("/", file_in(directory, "uploads")) == 0);
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_IO);
    /* The directory itself may be a link, as administrators make them. */
    directory = fresh_ledger();
    CHECK(symlink(directory, witan_test_path("link")) == 0);
    CHECK_STATUS(opened(witan_test_path("link"), true, &diag), WITAN_OK);
}

static void
other_files_are_no_ledger(void)
{
    const char *directory = ledger_fresh();
    char text[5000];
    witan_diag diag;
    CHECK(mkdir(directory, 0700) == 0);
    memset(text, 'x', sizeof text);
    witan_test_write(file_in(directory, "witan.db"), text, sizeof text);
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "witan.db: damaged: file is not a database; keep a "
                                 "copy, then restore a backup");
    CHECK_STATUS(opened(directory, false, &diag), WITAN_E_DATA);
    CHECK(unlink(file_in(directory, "witan.db")) == 0);
    alter(directory, "CREATE TABLE t (a)");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "a database, but not a coordinator's ledger");
    directory = fresh_ledger();
    alter(directory, "PRAGMA user_version=2");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "written by a newer version of witan (format 2, this "
                                 "one knows 1); install that version");
    alter(directory, "PRAGMA user_version=-1");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    alter(directory, "PRAGMA user_version=1");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_OK);
}

static void
other_tables_are_refused(void)
{
    static const char *const changes[] = {
        "CREATE TABLE more (a)",
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM peers; END",
        "DROP INDEX peers_seat",
        "DROP INDEX peers_seat; CREATE INDEX peers_seat ON peers (seat)",
        ("DROP TABLE events; CREATE VIEW events AS SELECT 1 AS number, 2 AS at_s, "
         "'' AS id, '' AS text"),
        "ALTER TABLE settings ADD COLUMN more TEXT",
    };
    witan_diag diag;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const char *directory = fresh_ledger();
        alter(directory, changes[i]);
        CHECK_STATUS(opened(directory, false, &diag), WITAN_E_DATA);
        CHECK_CONTAINS(diag.message, "its tables are not those of a ledger");
    }
}

static void
rows_that_cannot_be_are_told(void)
{
    static const struct {
        const char *sql, *part;
    } changes[] = {
        {"UPDATE peers SET seat = 100000", "a value of seat is out of its range"},
        {"UPDATE peers SET seat = -1", "a value of seat is out of its range"},
        {"UPDATE peers SET name = 'a' || char(10)", "a value of name"},
        {"UPDATE peers SET name = 'a' || char(0) || 'b'", "a value of name"},
        {"UPDATE peers SET model = printf('%064d', 1)", "a value of model"},
        {"UPDATE peers SET connected = 2", "a value of connected"},
        {"UPDATE peers SET samples = -5", "a value of samples"},
        {"PRAGMA ignore_check_constraints=ON; UPDATE peers SET state = 3",
         "a value of state"},
        {"PRAGMA ignore_check_constraints=ON; UPDATE peers SET psk = x'00'",
         "a value of psk"},
        {"PRAGMA ignore_check_constraints=ON; UPDATE peers SET psk = zeroblob(33)",
         "a value of psk"},
    };
    witan_diag diag;
    witan_peer *list;
    size_t count;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const char *directory = fresh_ledger();
        alter(directory, changes[i].sql);
        witan_ledger *ledger = NULL;
        CHECK_STATUS(witan_ledger_open(&ledger, directory, false,
                                       witan_allocator_default(), NULL),
                     WITAN_OK);
        memset(&diag, 0, sizeof diag);
        CHECK_STATUS(witan_ledger_peers(ledger, &list, &count, &diag), WITAN_E_DATA);
        CHECK(list == NULL && count == 0);
        CHECK_CONTAINS(diag.message, changes[i].part);
        witan_ledger_close(&ledger);
    }
}

static void
rounds_that_cannot_be_are_told(void)
{
    static const char *const changes[] = {
        "UPDATE rounds SET asked = 2",
        "UPDATE rounds SET asked_bits = x'0100'",
        "UPDATE rounds SET seats = 100001",
        "UPDATE rounds SET round = 1000000",
        "PRAGMA ignore_check_constraints=ON; UPDATE rounds SET phase = 3",
        "UPDATE rounds SET seconds = NULL, bytes_up = -1",
    };
    bool asked[LEDGER_SEATS] = {true}, found;
    witan_round_row row;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const char *directory = fresh_ledger();
        witan_ledger *ledger = ledger_must_open(directory);
        CHECK_STATUS(
            witan_ledger_round_open(ledger, 0, asked, LEDGER_SEATS, LEDGER_NOW, NULL),
            WITAN_OK);
        witan_ledger_close(&ledger);
        alter(directory, changes[i]);
        CHECK_STATUS(witan_ledger_open(&ledger, directory, false,
                                       witan_allocator_default(), NULL),
                     WITAN_OK);
        CHECK_STATUS(
            witan_ledger_last_round(ledger, &row, &found, asked, LEDGER_SEATS, NULL),
            WITAN_E_DATA);
        CHECK(!found);
        witan_ledger_close(&ledger);
    }
}

static void
coordinator_looks_at_everything(void)
{
    const char *directory = fresh_ledger();
    witan_diag diag;
    alter(directory, "PRAGMA foreign_keys=OFF; UPDATE invitations SET used_by = "
                     "zeroblob(32)");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "rows refer to others that are not there");
    directory = fresh_ledger();
    alter(directory, "PRAGMA ignore_check_constraints=ON; UPDATE peers SET state = 3");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "CHECK constraint failed in peers");
    directory = fresh_ledger(); /* an index that does not know its rows */
    alter(directory, "CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name "
                     "= 'peers_seat'; PRAGMA writable_schema=ON; "
                     "DELETE FROM sqlite_schema WHERE name = 'peers_seat'; "
                     "PRAGMA writable_schema=RESET; UPDATE peers SET seat = 3; "
                     "PRAGMA writable_schema=ON; "
                     "INSERT INTO sqlite_schema SELECT * FROM kept; "
                     "PRAGMA writable_schema=RESET");
    CHECK_STATUS(opened(directory, true, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "missing from index peers_seat");
}

static void
every_allocation_may_fail(void)
{
    const char *directory = fresh_ledger();
    for (size_t at = 1;; at++) {
        witan_failing_allocator failing;
        witan_ledger *ledger;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, at);
        witan_status status =
            witan_ledger_open(&ledger, directory, true, &failing.allocator, &diag);
        if (status == WITAN_OK) {
            witan_ledger_close(&ledger);
            CHECK(failing.live == 0);
            CHECK(at == 4);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
        CHECK_CONTAINS(diag.message, "out of memory");
        CHECK(ledger == NULL && failing.live == 0);
    }
}

int
main(void)
{
    RUN(absent_ledger_is_made_only_when_asked);
    RUN(long_path_is_told);
    RUN(files_are_closed_to_others);
    RUN(links_are_refused);
    RUN(other_files_are_no_ledger);
    RUN(other_tables_are_refused);
    RUN(rows_that_cannot_be_are_told);
    RUN(rounds_that_cannot_be_are_told);
    RUN(coordinator_looks_at_everything);
    RUN(every_allocation_may_fail);
    return witan_test_finish();
}
