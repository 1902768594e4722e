/* Whole files, reading, directories, NPY and append-only files. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/file.h"
#include "support/witan_test.h"

static const witan_allocator *
heap(void)
{
    return witan_allocator_default();
}

/* The file holds exactly this text. */
static void
check_file(const char *path, const char *expected)
{
    char *text = witan_test_read(path, NULL);
    CHECK_STRING(text, expected);
    free(text);
}

/* path + ".tmp" was left behind. */
static bool
has_temporary(const char *path)
{
    char temporary[1100];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", path);
    return witan_path_exists(temporary);
}

static void
replaced_file_is_whole(void)
{
    const char *path = witan_test_path("replaced");
    CHECK_STATUS(witan_file_replace(path, "one", 3, heap(), NULL), WITAN_OK);
    check_file(path, "one");
    CHECK_STATUS(witan_file_replace(path, "second", 6, heap(), NULL), WITAN_OK);
    check_file(path, "second");
    CHECK_STATUS(witan_file_replace(path, NULL, 0, heap(), NULL), WITAN_OK);
    check_file(path, "");
    CHECK(!has_temporary(path));
    CHECK(chdir(witan_test_directory()) == 0);
    CHECK_STATUS(witan_file_replace("bare", "x", 1, heap(), NULL), WITAN_OK);
    check_file("bare", "x");
}

static void
pieces_join_across_the_buffer(void)
{
    enum {
        TOTAL = 5000000
    };
    static const size_t sizes[] = {1, 1000003, 77, 1048576, 1048577, 0, 12345};
    const char *path = witan_test_path("pieces");
    char *bytes = malloc(TOTAL);
    witan_file_writer *writer;
    for (size_t i = 0; i < TOTAL; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    CHECK_STATUS(witan_file_create(&writer, path, heap(), NULL), WITAN_OK);
    size_t at = 0;
    for (size_t i = 0; at < TOTAL; i++) {
        size_t size = sizes[i % (sizeof sizes / sizeof sizes[0])];
        size = size < TOTAL - at ? size : TOTAL - at;
        CHECK_STATUS(witan_file_write(writer, bytes + at, size), WITAN_OK);
        at += size;
    }
    CHECK(!witan_path_exists(path)); /* absent until it is whole */
    CHECK_STATUS(witan_file_commit(&writer, NULL), WITAN_OK);
    CHECK(writer == NULL);
    char *back;
    size_t size;
    CHECK_STATUS(witan_file_read(&back, &size, path, TOTAL, heap(), NULL), WITAN_OK);
    CHECK(size == TOTAL && memcmp(back, bytes, TOTAL) == 0);
    witan_free(heap(), back);
    free(bytes);
}

static void
abandoned_file_leaves_nothing(void)
{
    const char *path = witan_test_path("abandoned");
    witan_file_writer *writer = NULL;
    witan_file_abandon(&writer);
    witan_test_write(path, "old", 3);
    CHECK_STATUS(witan_file_create(&writer, path, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_file_write(writer, "new", 3), WITAN_OK);
    CHECK(has_temporary(path));
    witan_file_abandon(&writer);
    CHECK(writer == NULL && !has_temporary(path));
    check_file(path, "old");
}

static void
errors_name_path_and_reason(void)
{
    witan_diag diag = {0};
    char expected[1200];
    const char *path = witan_test_path("no/such/directory");
    CHECK_STATUS(witan_file_replace(path, "x", 1, heap(), &diag), WITAN_E_IO);
    (void)snprintf(expected, sizeof expected,
                   "cannot create %s.tmp: No such file or directory", path);
    CHECK_STRING(diag.message, expected);

    char *data;
    size_t size;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_file_read(&data, &size, path, 10, heap(), &diag), WITAN_E_IO);
    (void)snprintf(expected, sizeof expected,
                   "cannot open %s: No such file or directory", path);
    CHECK_STRING(diag.message, expected);
    CHECK(data == NULL);

    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_file_read(&data, &size, witan_test_directory(), 10, heap(), &diag),
        WITAN_E_IO);
    CHECK_CONTAINS(diag.message, ": Is a directory");

    /* A directory stands where the file should go. */
    path = witan_test_path("taken");
    CHECK(mkdir(path, 0777) == 0);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_file_replace(path, "x", 1, heap(), &diag), WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "Is a directory");
    CHECK(!has_temporary(path));

    /* Nobody may write there; the test directory belongs to its user alone. */
    path = witan_test_path("closed");
    CHECK(mkdir(path, 0500) == 0);
    uid_t user = geteuid();
    CHECK(user != 0 || seteuid(65534) == 0);
    path = witan_test_path("closed/file");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_file_replace(path, "x", 1, heap(), &diag), WITAN_E_IO);
    CHECK_CONTAINS(diag.message, ".tmp: Permission denied");
    CHECK(user != 0 || seteuid(0) == 0);
}

static void
full_disk_leaves_the_old_file(void)
{
    enum {
        SIZE = 3000000
    };
    const char *path = witan_test_path("limited");
    char *bytes = calloc(1, SIZE);
    struct rlimit old, limit;
    witan_diag diag = {0};
    witan_test_write(path, "old", 3);
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = 1500000;
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_STATUS(witan_file_replace(path, bytes, SIZE, heap(), &diag), WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "limited: File too large");

    witan_file_writer *writer;
    CHECK_STATUS(witan_file_create(&writer, path, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_file_write(writer, bytes, SIZE), WITAN_E_IO);
    CHECK_STATUS(witan_file_write(writer, bytes, 1), WITAN_E_IO); /* sticks */
    CHECK_STATUS(witan_file_commit(&writer, NULL), WITAN_E_IO);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(!has_temporary(path));
    check_file(path, "old");
    free(bytes);
}

static void
reading_is_bounded(void)
{
    const char *path = witan_test_path("ten");
    char *data;
    size_t size;
    witan_diag diag = {0};
    witan_test_write(path, "0123456789", 10);
    CHECK_STATUS(witan_file_read(&data, &size, path, 10, heap(), NULL), WITAN_OK);
    CHECK(size == 10);
    CHECK_STRING(data, "0123456789");
    witan_free(heap(), data);
    CHECK_STATUS(witan_file_read(&data, &size, path, 9, heap(), &diag), WITAN_E_LIMIT);
    CHECK_CONTAINS(diag.message, "ten: larger than the 9 bytes that are read");
    CHECK(data == NULL);
    CHECK_STATUS(witan_file_read(&data, &size, "/dev/null", 0, heap(), NULL), WITAN_OK);
    CHECK(size == 0);
    CHECK_STRING(data, "");
    witan_free(heap(), data);
    /* Endless, and without a size to ask for beforehand. */
    CHECK_STATUS(witan_file_read(&data, &size, "/dev/zero", 100000, heap(), NULL),
                 WITAN_E_LIMIT);
}

static void
pipes_are_read_to_their_end(void)
{
    static char bytes[50000];
    int ends[2];
    char path[64], *data;
    size_t size;
    memset(bytes, 'p', sizeof bytes);
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    CHECK(close(ends[1]) == 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    CHECK_STATUS(witan_file_read(&data, &size, path, 1 << 20, heap(), NULL), WITAN_OK);
    CHECK(size == sizeof bytes && memcmp(data, bytes, size) == 0 && data[size] == '\0');
    witan_free(heap(), data);
    CHECK(close(ends[0]) == 0);
}

static void
directories_are_made_with_their_parents(void)
{
    witan_diag diag = {0};
    char long_path[5000];
    CHECK_STATUS(witan_directory_make(witan_test_path("a/b/c"), NULL), WITAN_OK);
    CHECK(witan_path_exists(witan_test_path("a/b/c")));
    CHECK_STATUS(witan_directory_make(witan_test_path("a/b/c"), NULL), WITAN_OK);
    CHECK_STATUS(witan_directory_make(witan_test_path("a//d///"), NULL), WITAN_OK);
    CHECK(witan_path_exists(witan_test_path("a/d")));
    CHECK_STATUS(witan_directory_make("/", NULL), WITAN_OK);
    witan_test_write(witan_test_path("a/file"), "x", 1);
    CHECK_STATUS(witan_directory_make(witan_test_path("a/file/e"), &diag), WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "cannot create directory ");
    CHECK_CONTAINS(diag.message, "a/file: Not a directory");
    CHECK_STATUS(witan_directory_make("", NULL), WITAN_E_IO);
    memset(long_path, 'x', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    CHECK_STATUS(witan_directory_make(long_path, NULL), WITAN_E_IO);
    CHECK(!witan_path_exists(witan_test_path("a/nothing")));
}

/* The file has the bytes of the golden one. */
static void
check_golden_file(const char *path, const char *name)
{
    char golden[1024];
    size_t size = 0, expected_size = 0;
    (void)snprintf(golden, sizeof golden, "%s/tests/golden/vectors/store/%s",
                   WITAN_TEST_SOURCE_DIR, name);
    char *bytes = witan_test_read(path, &size);
    char *expected = witan_test_read(golden, &expected_size);
    CHECK(bytes != NULL && expected != NULL && size == expected_size &&
          memcmp(bytes, expected, size) == 0);
    free(bytes);
    free(expected);
}

static void
npy_files_are_as_the_format_says(void)
{
    static const double matrix[] = {1.0, -2.5, 1e300, 5e-324, 0.1, -0.0};
    static const double vector[] = {1.0, 0.1};
    const char *path = witan_test_path("array.npy");
    CHECK_STATUS(witan_file_write_npy(path, matrix, (size_t[]){2, 3}, 2, heap(), NULL),
                 WITAN_OK);
    check_golden_file(path, "matrix.npy");
    CHECK_STATUS(witan_file_write_npy(path, vector, (size_t[]){2}, 1, heap(), NULL),
                 WITAN_OK);
    check_golden_file(path, "vector.npy");
    CHECK_STATUS(witan_file_write_npy(path, vector + 1, NULL, 0, heap(), NULL),
                 WITAN_OK);
    check_golden_file(path, "scalar.npy");
    CHECK_STATUS(witan_file_write_npy(path, NULL, (size_t[]){3, 0}, 2, heap(), NULL),
                 WITAN_OK);
    check_golden_file(path, "empty.npy");
    CHECK_STATUS(witan_file_write_npy(path, vector, (size_t[]){SIZE_MAX / 4, 4}, 2,
                                      heap(), NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_file_write_npy(path, vector,
                                      (size_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, heap(),
                                      NULL),
                 WITAN_E_INVALID);
}

static void
lines_are_appended_and_cut_for_resuming(void)
{
    const char *path = witan_test_path("lines");
    witan_append_file *file = NULL;
    witan_diag diag = {0};
    uint64_t size = 0;
    witan_append_close(&file);
    CHECK_STATUS(witan_append_open(&file, path, 0, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_append_line(file, "one", 3, NULL), WITAN_OK);
    CHECK_STATUS(witan_append_line(file, "", 0, NULL), WITAN_OK);
    CHECK_STATUS(witan_append_sync(file, &size, NULL), WITAN_OK);
    CHECK(size == 5);
    CHECK_STATUS(witan_append_line(file, "lost", 4, NULL), WITAN_OK);
    CHECK_STATUS(witan_append_line(file, "a\nb", 3, &diag), WITAN_E_INVALID);
    check_file(path, "one\n\nlost\n"); /* a reader sees lines at once */
    witan_append_close(&file);
    CHECK(file == NULL);

    CHECK_STATUS(witan_append_open(&file, path, 5, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_append_line(file, "two", 3, NULL), WITAN_OK);
    CHECK_STATUS(witan_append_sync(file, &size, NULL), WITAN_OK);
    CHECK(size == 9);
    witan_append_close(&file);
    check_file(path, "one\n\ntwo\n");

    CHECK_STATUS(witan_append_open(&file, path, 10, heap(), &diag), WITAN_E_DATA);
    CHECK(file == NULL);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_append_open(&file, path, 10, heap(), &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "lines: 9 bytes, but 10 were written");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_append_open(&file, path, 3, heap(), &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "no line ends at byte 3");
    check_file(path, "one\n\ntwo\n"); /* refused, so untouched */
    CHECK_STATUS(witan_append_open(&file, path, 0, heap(), NULL), WITAN_OK);
    witan_append_close(&file);
    check_file(path, "");
}

static void
failed_line_leaves_whole_lines(void)
{
    const char *path = witan_test_path("short");
    witan_append_file *file;
    witan_diag diag = {0};
    struct rlimit old, limit;
    uint64_t size = 0;
    CHECK_STATUS(witan_append_open(&file, "/dev/full", 0, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_append_line(file, "x", 1, &diag), WITAN_E_IO);
    CHECK_STRING(diag.message, "cannot write /dev/full: No space left on device");
    witan_append_close(&file);

    CHECK_STATUS(witan_append_open(&file, path, 0, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_append_line(file, "first", 5, NULL), WITAN_OK);
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = 10; /* room for a part of the second line */
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_STATUS(witan_append_line(file, "second", 6, NULL), WITAN_E_IO);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    check_file(path, "first\n");
    CHECK_STATUS(witan_append_line(file, "third", 5, NULL), WITAN_OK);
    CHECK_STATUS(witan_append_sync(file, &size, NULL), WITAN_OK);
    CHECK(size == 12);
    witan_append_close(&file);
    check_file(path, "first\nthird\n");
}

/* Writes, reads and appends; the first failure ends it. */
static witan_status
use_all(const witan_allocator *allocator, witan_diag *diag)
{
    witan_append_file *file = NULL;
    char *data;
    size_t size;
    WITAN_TRY(witan_file_replace(witan_test_path("all"), "text", 4, allocator, diag));
    WITAN_TRY(
        witan_file_read(&data, &size, witan_test_path("all"), 99, allocator, diag));
    witan_free(allocator, data);
    WITAN_TRY(witan_file_write_npy(witan_test_path("all"), (double[]){1, 2},
                                   (size_t[]){2}, 1, allocator, diag));
    WITAN_TRY(
        witan_append_open(&file, witan_test_path("all.lines"), 0, allocator, diag));
    witan_status status = witan_append_line(file, "line", 4, diag);
    witan_append_close(&file);
    return status;
}

static void
every_allocation_may_fail(void)
{
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator a;
        witan_diag diag = {0};
        witan_failing_allocator_init(&a, fail_at);
        witan_status status = use_all(&a.allocator, &diag);
        CHECK(a.live == 0);
        CHECK((status == WITAN_OK) == (diag.message[0] == '\0'));
        CHECK(!has_temporary(witan_test_path("all")));
        if (status == WITAN_OK) {
            CHECK(fail_at > 10);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
    }
}

int
main(void)
{
    RUN(replaced_file_is_whole);
    RUN(pieces_join_across_the_buffer);
    RUN(abandoned_file_leaves_nothing);
    RUN(errors_name_path_and_reason);
    RUN(full_disk_leaves_the_old_file);
    RUN(reading_is_bounded);
    RUN(pipes_are_read_to_their_end);
    RUN(directories_are_made_with_their_parents);
    RUN(npy_files_are_as_the_format_says);
    RUN(lines_are_appended_and_cut_for_resuming);
    RUN(failed_line_leaves_whole_lines);
    RUN(every_allocation_may_fail);
    return witan_test_finish();
}
