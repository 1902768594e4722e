/* What is on the disk when a change is told to be done: every change syncs, an event
 * does not, and a sync that fails is told and undone. These take the place of the C
 * library's calls in SQLite too. */
#include "ledger_support.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/secret_file.h"

#define EXPORTED __attribute__((visibility("default")))

static unsigned syncs;
static unsigned fail_from = UINT32_MAX; /* this one and all later ones fail */

static int
count_sync(long call, int file)
{
    if (syncs++ >= fail_from) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, file);
}

EXPORTED int
fsync(int file)
{
    return count_sync(SYS_fsync, file);
}

EXPORTED int
fdatasync(int file)
{
    return count_sync(SYS_fdatasync, file);
}

static unsigned
syncs_since(unsigned *before)
{
    unsigned made = syncs - *before;
    *before = syncs;
    return made;
}

static void
changes_are_synced(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    bool asked[LEDGER_SEATS] = {true};
    witan_round_row end = {.round = 0};
    witan_result_row result = {.round = 0};
    unsigned before = syncs;
    CHECK_STATUS(witan_ledger_set(ledger, "a", "1", NULL), WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    witan_peer peer = ledger_must_enroll(ledger, 1);
    CHECK(syncs_since(&before) >= 2);
    peer.samples = 1000;
    CHECK_STATUS(witan_ledger_peer_seen(ledger, &peer, NULL), WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    CHECK_STATUS(witan_ledger_round_open(ledger, 0, asked, LEDGER_SEATS, 0, NULL),
                 WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    witan_ledger_event(ledger, LEDGER_NOW, "event", "not worth a sync");
    CHECK(syncs_since(&before) == 0);
    witan_upload_row row = ledger_upload_row(0, &peer, 10, NULL);
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    CHECK_STATUS(witan_ledger_round_fused(ledger, 0, NULL), WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    CHECK_STATUS(witan_ledger_done(ledger, &result, NULL), WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    CHECK_STATUS(witan_ledger_round_ended(ledger, &end, NULL), WITAN_OK);
    CHECK(syncs_since(&before) >= 1);
    /* A hundred in one transaction cost one sync. */
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    for (int i = 0; i < 100; i++) {
        peer.samples++;
        CHECK_STATUS(witan_ledger_peer_seen(ledger, &peer, NULL), WITAN_OK);
    }
    CHECK(syncs_since(&before) == 0);
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_OK);
    CHECK(syncs_since(&before) == 1);
    witan_ledger_close(&ledger);
}

static bool
is_set(witan_ledger *ledger, const char *name)
{
    char *value;
    CHECK_STATUS(witan_ledger_setting(ledger, name, &value, NULL), WITAN_OK);
    witan_free(witan_allocator_default(), value);
    return value != NULL;
}

static void
failed_sync_is_told_and_undone(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_diag diag = {0};
    CHECK_STATUS(witan_ledger_set(ledger, "before", "1", NULL), WITAN_OK);
    fail_from = syncs;
    CHECK_STATUS(witan_ledger_set(ledger, "failed", "1", &diag), WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "witan.db: Input/output error");
    CHECK(!is_set(ledger, "failed"));
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_set(ledger, "failed", "1", NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_E_IO);
    CHECK(!is_set(ledger, "failed"));
    fail_from = UINT32_MAX;
    CHECK_STATUS(witan_ledger_set(ledger, "after", "1", NULL), WITAN_OK);
    witan_ledger_close(&ledger);
    ledger = ledger_must_open(directory);
    CHECK(is_set(ledger, "before") && is_set(ledger, "after") &&
          !is_set(ledger, "failed"));
    witan_ledger_close(&ledger);
}

/* What a killed process left in the log is not believed before it is synced anew. */
static void
opening_syncs_what_a_crash_left(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory), *second = NULL;
    witan_diag diag = {0};
    CHECK_STATUS(witan_ledger_set(ledger, "a", "1", NULL), WITAN_OK);
    unsigned before = syncs;
    CHECK_STATUS(
        witan_ledger_open(&second, directory, true, witan_allocator_default(), &diag),
        WITAN_OK);
    CHECK(syncs_since(&before) >= 2); /* the log, then the database */
    witan_ledger_close(&second);
    CHECK_STATUS(witan_ledger_set(ledger, "b", "1", NULL), WITAN_OK);
    fail_from = syncs;
    CHECK_STATUS(
        witan_ledger_open(&second, directory, true, witan_allocator_default(), &diag),
        WITAN_E_IO);
    fail_from = UINT32_MAX;
    CHECK(is_set(ledger, "a") && is_set(ledger, "b"));
    witan_ledger_close(&ledger);
}

static void
secret_and_its_name_are_synced(void)
{
    const char *directory = witan_test_path("keys");
    unsigned before = syncs;
    CHECK_STATUS(witan_secret_directory_make(directory, NULL), WITAN_OK);
    CHECK(syncs_since(&before) == 1);
    CHECK_STATUS(witan_secret_file_write(witan_test_path("keys/key"), "x", 1, NULL),
                 WITAN_OK);
    CHECK(syncs_since(&before) == 2);
    for (unsigned at = 0; at < 2; at++) {
        fail_from = syncs + at;
        CHECK_STATUS(witan_secret_file_write(witan_test_path("keys/key"), "y", 1, NULL),
                     WITAN_E_IO);
        CHECK(!ledger_exists(directory, "key.tmp"));
        char *kept = witan_test_read(witan_test_path("keys/key"), NULL);
        CHECK_STRING(kept, at == 0 ? "x" : "y");
        free(kept);
    }
    fail_from = UINT32_MAX;
}

int
main(void)
{
    RUN(changes_are_synced);
    RUN(failed_sync_is_told_and_undone);
    RUN(opening_syncs_what_a_crash_left);
    RUN(secret_and_its_name_are_synced);
    return witan_test_finish();
}
