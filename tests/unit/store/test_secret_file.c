/* Files that only their owner may read: made so, and refused when they are not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/file.h"
#include "store/secret_file.h"
#include "support/witan_test.h"

static unsigned
mode_of(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? (unsigned)status.st_mode & 0777u : 01000u;
}

static void
directory_is_made_closed(void)
{
    const char *path = witan_test_path("a/b/keys"), *slash = witan_test_path("c/");
    CHECK_STATUS(witan_secret_directory_make(path, NULL), WITAN_OK);
    CHECK(mode_of(path) == 0700);
    CHECK(mode_of(witan_test_path("a/b")) == 0755);
    CHECK_STATUS(witan_secret_directory_make(path, NULL), WITAN_OK);
    CHECK_STATUS(witan_secret_directory_make(slash, NULL), WITAN_OK);
    CHECK(mode_of(witan_test_path("c")) == 0700);
    CHECK_STATUS(witan_secret_directory_make("", NULL), WITAN_E_IO);
}

static void
open_directory_is_refused(void)
{
    const char *path = witan_test_path("open"), *plain = witan_test_path("plain");
    char expected[1200];
    static const unsigned modes[] = {0755, 0750, 0710, 0701, 0707};
    CHECK(mkdir(path, 0700) == 0);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        witan_diag diag = {0};
        CHECK(chmod(path, modes[i]) == 0);
        CHECK_STATUS(witan_secret_directory_make(path, &diag), WITAN_E_REFUSED);
        (void)snprintf(expected, sizeof expected,
                       "%s: open to other users (mode %03o); chmod 700 %s", path,
                       modes[i], path);
        CHECK_STRING(diag.message, expected);
    }
    witan_test_write(plain, "x", 1);
    CHECK_STATUS(witan_secret_directory_make(plain, NULL), WITAN_E_IO);
}

static void
secret_is_written_closed_and_read_back(void)
{
    const char *directory = witan_test_path("keys");
    const char *path = witan_test_path("keys/node.key");
    const char *temporary = witan_test_path("keys/node.key.tmp");
    char buffer[16];
    size_t size = 9;
    witan_diag diag = {0};
    CHECK_STATUS(witan_secret_directory_make(directory, NULL), WITAN_OK);
    CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, &diag),
                 WITAN_E_IO);
    CHECK(size == 0);
    CHECK_CONTAINS(diag.message, "No such file");
    mode_t mask = umask(0);
    CHECK_STATUS(witan_secret_file_write(path, "secret", 6, NULL), WITAN_OK);
    (void)umask(mask);
    CHECK(mode_of(path) == 0600 && !witan_path_exists(temporary));
    /* One left by a crash, open to others, is not used. */
    witan_test_write(temporary, "old", 3);
    CHECK(chmod(temporary, 0644) == 0);
    CHECK_STATUS(witan_secret_file_write(path, "sixteen bytes...", 16, NULL), WITAN_OK);
    CHECK(mode_of(path) == 0600 && !witan_path_exists(temporary));
    CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, NULL),
                 WITAN_OK);
    CHECK(size == 16 && memcmp(buffer, "sixteen bytes...", 16) == 0);
    CHECK_STATUS(witan_secret_file_read(path, buffer, 15, &size, NULL), WITAN_E_LIMIT);
    CHECK(size == 0 && buffer[0] == 0);
    /* Writing through a link replaces the link. */
    const char *link_path = witan_test_path("keys/link.key");
    CHECK(symlink("node.key", link_path) == 0);
    CHECK_STATUS(witan_secret_file_write(link_path, "other", 5, NULL), WITAN_OK);
    CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, NULL),
                 WITAN_OK);
    CHECK(size == 16);
}

static void
what_others_could_touch_is_refused(void)
{
    const char *directory = witan_test_path("keys2");
    const char *path = witan_test_path("keys2/node.key");
    const char *link_path = witan_test_path("keys2/link.key");
    const char *pipe_path = witan_test_path("keys2/pipe");
    char buffer[16], expected[1200];
    static const unsigned modes[] = {0640, 0604, 0620, 0602, 0610, 0644, 0666};
    size_t size;
    CHECK_STATUS(witan_secret_directory_make(directory, NULL), WITAN_OK);
    CHECK_STATUS(witan_secret_file_write(path, "secret", 6, NULL), WITAN_OK);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        witan_diag diag = {0};
        CHECK(chmod(path, modes[i]) == 0);
        CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, &diag),
                     WITAN_E_REFUSED);
        (void)snprintf(expected, sizeof expected,
                       "%s: open to other users (mode %03o); chmod 600 %s", path,
                       modes[i], path);
        CHECK_STRING(diag.message, expected);
    }
    CHECK(chmod(path, 0400) == 0);
    CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, NULL),
                 WITAN_OK);
    CHECK(symlink("node.key", link_path) == 0 && mkfifo(pipe_path, 0600) == 0);
    witan_diag diag = {0};
    CHECK_STATUS(witan_secret_file_read(link_path, buffer, sizeof buffer, &size, &diag),
                 WITAN_E_REFUSED);
    CHECK_CONTAINS(diag.message, "link.key: a link; put the key itself there");
    CHECK_STATUS(witan_secret_file_read(pipe_path, buffer, sizeof buffer, &size, NULL),
                 WITAN_E_REFUSED);
    CHECK_STATUS(witan_secret_file_read(directory, buffer, sizeof buffer, &size, NULL),
                 WITAN_E_REFUSED);
    CHECK(chmod(directory, 0750) == 0);
    CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, NULL),
                 WITAN_E_REFUSED);
    CHECK_STATUS(witan_secret_file_write(path, "secret", 6, NULL), WITAN_E_REFUSED);
    CHECK(chmod(directory, 0700) == 0);
    if (geteuid() == 0) {
        CHECK(chown(path, 12345, (gid_t)-1) == 0);
        memset(&diag, 0, sizeof diag);
        CHECK_STATUS(witan_secret_file_read(path, buffer, sizeof buffer, &size, &diag),
                     WITAN_E_REFUSED);
        CHECK_CONTAINS(diag.message, "belongs to user 12345, but this program runs as "
                                     "user 0");
    } else {
        printf("skip another owner's file: not root\n");
    }
}

int
main(void)
{
    (void)umask(022);
    RUN(directory_is_made_closed);
    RUN(open_directory_is_refused);
    RUN(secret_is_written_closed_and_read_back);
    RUN(what_others_could_touch_is_refused);
    return witan_test_finish();
}
