/* A full disk: told in a sentence, nothing half done, and everything goes on when space
 * returns. On a small tmpfs in a mount namespace of our own; where the system does not
 * allow that, a limit on the size of files stands for the disk. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* unshare */
#endif
#include "ledger_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    LEFT = 80 * 1024, /* bytes free on the "full" disk */
    LIMIT = 100 * 1024,
    CHUNK = 65536
};

static bool mounted;
static char root[1024], filler[1100];

static bool
put(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0) {
        (void)close(file);
    }
    return ok;
}

/* A tmpfs of 1 MiB at `root`, seen by this process alone. */
static bool
mount_small(void)
{
    char map[64];
    unsigned user = (unsigned)geteuid(), group = (unsigned)getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        (void)put("/proc/self/setgroups", "deny");
        (void)snprintf(map, sizeof map, "0 %u 1", user);
        if (!put("/proc/self/uid_map", map)) {
            return false;
        }
        (void)snprintf(map, sizeof map, "0 %u 1", group);
        if (!put("/proc/self/gid_map", map)) {
            return false;
        }
    } else if (unshare(CLONE_NEWNS) != 0) {
        return false;
    }
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", root, "tmpfs", 0, "size=1m,mode=700") == 0;
}

static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Fills the disk up to `left` bytes. */
static void
fill(off_t left)
{
    static const char block[4096];
    if (!mounted) {
        limit_files(left == 0 ? 1 : LIMIT);
        return;
    }
    int file = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    off_t size = 0;
    for (ssize_t got; (got = write(file, block, sizeof block)) > 0;) {
        size += got;
    }
    CHECK(file >= 0 && errno == ENOSPC && ftruncate(file, size - left) == 0);
    (void)close(file);
}

static void
relieve(void)
{
    if (mounted) {
        CHECK(unlink(filler) == 0);
    } else {
        limit_files(RLIM_INFINITY);
    }
}

static void
check_sentence(const witan_diag *diag)
{
    CHECK_CONTAINS(diag->message, mounted ? "No space left on device" : "too large");
    CHECK_CONTAINS(diag->message, "; free some space");
}

static bool
has(witan_ledger *ledger, const char *prefix, int number)
{
    char name[32], *value;
    (void)snprintf(name, sizeof name, "%s-%d", prefix, number);
    CHECK_STATUS(witan_ledger_setting(ledger, name, &value, NULL), WITAN_OK);
    bool found = value != NULL;
    witan_free(witan_allocator_default(), value);
    return found;
}

static witan_status
set(witan_ledger *ledger, const char *prefix, int number, witan_diag *diag)
{
    static char value[6000];
    char name[32];
    memset(value, 'v', sizeof value - 1);
    (void)snprintf(name, sizeof name, "%s-%d", prefix, number);
    return witan_ledger_set(ledger, name, value, diag);
}

/* Settings until the disk is full; how many were kept. */
static int
set_until_full(witan_ledger *ledger, const char *prefix)
{
    int count = 0;
    witan_diag diag = {0};
    witan_status status;
    while ((status = set(ledger, prefix, count, &diag)) == WITAN_OK && count < 1000) {
        count++;
    }
    CHECK_STATUS(status, WITAN_E_IO);
    check_sentence(&diag);
    for (int i = 0; i < count; i++) {
        CHECK(has(ledger, prefix, i));
    }
    CHECK(!has(ledger, prefix, count));
    return count;
}

static void
changes_are_undone_and_go_on(void)
{
    char directory[1100];
    witan_diag diag = {0};
    (void)snprintf(directory, sizeof directory, "%s/changes", root);
    witan_ledger *ledger = ledger_must_open(directory);
    CHECK_STATUS(set(ledger, "before", 0, NULL), WITAN_OK);
    fill(LEFT);
    int count = set_until_full(ledger, "single");
    CHECK(count > 0);
    /* A transaction: all of it is undone, also what comes after the failure. */
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    int failures = 0;
    for (int i = 0; i < 2000 && failures < 5; i++) {
        witan_status status = set(ledger, "many", i, &diag);
        CHECK_STATUS(status,
                     failures > 0 || status != WITAN_OK ? WITAN_E_IO : WITAN_OK);
        failures += status != WITAN_OK;
    }
    CHECK(failures == 5); /* more than SQLite holds back in memory */
    CHECK_STATUS(witan_ledger_commit(ledger, &diag), WITAN_E_IO);
    check_sentence(&diag);
    CHECK(!has(ledger, "many", 0) && !has(ledger, "many", 1999));
    witan_ledger_event(ledger, LEDGER_NOW, "disk-full", "");
    relieve();
    CHECK_STATUS(set(ledger, "after", 0, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    CHECK_STATUS(set(ledger, "after", 1, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_OK);
    witan_ledger_close(&ledger);
    ledger = ledger_must_open(directory);
    CHECK(has(ledger, "before", 0) && has(ledger, "single", count - 1) &&
          !has(ledger, "single", count) && has(ledger, "after", 0) &&
          has(ledger, "after", 1) && !has(ledger, "many", 0));
    witan_ledger_close(&ledger);
}

static void
uploads_go_on_when_space_returns(void)
{
    enum {
        TOTAL = 4 * CHUNK
    };
    char directory[1100];
    witan_peer peer = {.seat = 1};
    uint8_t *payload, *read = NULL;
    uint64_t have = 0, now = 0;
    witan_diag diag = {0};
    witan_upload_row row = ledger_upload_row(0, &peer, TOTAL, &payload);
    (void)snprintf(directory, sizeof directory, "%s/uploads", root);
    witan_ledger *ledger = ledger_must_open(directory);
    fill(LEFT);
    while (have < TOTAL && witan_upload_append(ledger, &row, have, payload + have,
                                               CHUNK, &diag) == WITAN_OK) {
        have += CHUNK;
    }
    CHECK(have > 0 && have < TOTAL);
    check_sentence(&diag);
    CHECK_STATUS(witan_upload_have(ledger, &row, &now, NULL), WITAN_OK);
    CHECK(now == have);
    if (mounted) {
        memset(&diag, 0, sizeof diag);
        CHECK_STATUS(witan_ledger_space(ledger, TOTAL, &diag), WITAN_E_IO);
        CHECK_CONTAINS(diag.message, "0.3 MB needed; free some space");
    }
    relieve();
    for (; have < TOTAL; have += CHUNK) {
        CHECK_STATUS(
            witan_upload_append(ledger, &row, have, payload + have, CHUNK, NULL),
            WITAN_OK);
    }
    CHECK_STATUS(witan_upload_read_part(ledger, &row, &read, NULL), WITAN_OK);
    CHECK(read != NULL && memcmp(read, payload, TOTAL) == 0);
    witan_free(witan_allocator_default(), read);
    witan_upload_drop(ledger, 0, 1);
    free(payload);
    witan_ledger_close(&ledger);
}

static void
opening_on_a_full_disk_harms_nothing(void)
{
    char directory[1100];
    witan_ledger *ledger = NULL;
    (void)snprintf(directory, sizeof directory, "%s/opening", root);
    /* Making one: whatever stops it, the next try finishes the work. */
    for (off_t left = 0; left <= LEFT; left += 8192) {
        witan_diag diag = {0};
        fill(left);
        witan_status status = witan_ledger_open(&ledger, directory, true,
                                                witan_allocator_default(), &diag);
        if (status == WITAN_OK) {
            (void)set(ledger, "early", 0, NULL);
        } else {
            CHECK_STATUS(status, WITAN_E_IO);
            check_sentence(&diag);
        }
        witan_ledger_close(&ledger);
        relieve();
        if (!mounted) {
            break;
        }
    }
    ledger = ledger_must_open(directory);
    CHECK_STATUS(set(ledger, "kept", 0, NULL), WITAN_OK);
    witan_ledger_close(&ledger);
    fill(0);
    witan_status status =
        witan_ledger_open(&ledger, directory, true, witan_allocator_default(), NULL);
    CHECK(status == WITAN_OK || status == WITAN_E_IO);
    witan_ledger_close(&ledger);
    relieve();
    ledger = ledger_must_open(directory);
    CHECK(has(ledger, "kept", 0));
    witan_ledger_close(&ledger);
}

int
main(void)
{
    (void)snprintf(root, sizeof root, "%s", witan_test_path("small"));
    (void)snprintf(filler, sizeof filler, "%s/filler", root);
    CHECK(mkdir(root, 0700) == 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    mounted = mount_small();
    if (!mounted) {
        printf("skip the small file system (%s): a limit on file sizes instead\n",
               strerror(errno));
    }
    RUN(changes_are_undone_and_go_on);
    RUN(uploads_go_on_when_space_returns);
    RUN(opening_on_a_full_disk_harms_nothing);
    if (mounted) {
        CHECK(umount2(root, MNT_DETACH) == 0);
    }
    return witan_test_finish();
}
