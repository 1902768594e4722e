#include "support/witan_test.h"

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

static size_t checks, failures;
static const char *current = "(no case)";
static char directory[256];
static uint64_t seed_in_use;
static bool seed_was_asked;

static bool
record(bool ok)
{
    checks++;
    if (!ok) {
        failures++;
        if (failures == 1 && seed_was_asked) {
            fprintf(stderr, "  replay with WITAN_SEED=%" PRIu64 "\n", seed_in_use);
        }
    }
    return ok;
}

bool
witan_test_check(bool ok, const char *file, int line, const char *text)
{
    if (!ok) {
        fprintf(stderr, "%s:%d: %s: failed: %s\n", file, line, current, text);
    }
    return record(ok);
}

bool
witan_test_status(int actual, int expected, const char *file, int line,
                  const char *text)
{
    bool ok = actual == expected;
    if (!ok) {
        fprintf(stderr, "%s:%d: %s: %s is \"%s\", expected \"%s\"\n", file, line,
                current, text, witan_status_text((witan_status)actual),
                witan_status_text((witan_status)expected));
    }
    return record(ok);
}

/* Equal infinities are near; NaN is near nothing. */
static bool
near(double actual, double expected, double absolute, double relative)
{
    if (isinf(expected) || isinf(actual)) {
        return actual == expected;
    }
    return fabs(actual - expected) <= absolute + relative * fabs(expected);
}

bool
witan_test_near(double actual, double expected, double absolute, double relative,
                const char *file, int line, const char *text)
{
    bool ok = near(actual, expected, absolute, relative);
    if (!ok) {
        fprintf(stderr, "%s:%d: %s: %s is %.17g, expected %.17g\n", file, line, current,
                text, actual, expected);
    }
    return record(ok);
}

bool
witan_test_string(const char *actual, const char *expected, const char *file, int line,
                  const char *text)
{
    bool ok = actual != NULL && strcmp(actual, expected) == 0;
    if (!ok) {
        fprintf(stderr, "%s:%d: %s: %s is \"%s\", expected \"%s\"\n", file, line,
                current, text, actual == NULL ? "(null)" : actual, expected);
    }
    return record(ok);
}

bool
witan_test_contains(const char *text, const char *part, const char *file, int line,
                    const char *expression)
{
    bool ok = text != NULL && strstr(text, part) != NULL;
    if (!ok) {
        fprintf(stderr, "%s:%d: %s: %s is \"%s\", expected it to contain \"%s\"\n",
                file, line, current, expression, text == NULL ? "(null)" : text, part);
    }
    return record(ok);
}

bool
witan_test_floats(const float *actual, const float *expected, size_t count,
                  double absolute, double relative, const char *file, int line,
                  const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (!near((double)actual[i], (double)expected[i], absolute, relative)) {
            fprintf(stderr, "%s:%d: %s: %s[%zu] is %.9g, expected %.9g\n", file, line,
                    current, text, i, (double)actual[i], (double)expected[i]);
            return record(false);
        }
    }
    return record(count > 0);
}

bool
witan_test_golden(const float *actual, const double *expected, size_t count,
                  double absolute, double relative, const char *file, int line,
                  const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (!near((double)actual[i], expected[i], absolute, relative)) {
            fprintf(stderr, "%s:%d: %s: %s[%zu] is %.9g, expected %.9g\n", file, line,
                    current, text, i, (double)actual[i], expected[i]);
            return record(false);
        }
    }
    return record(count > 0);
}

void
witan_test_run(void (*function)(void), const char *name)
{
    size_t before = failures;
    current = name;
    function();
    printf("%s %s\n", failures == before ? "ok  " : "FAIL", name);
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int
witan_test_finish(void)
{
    if (directory[0] != '\0') {
        (void)nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    printf("%zu checks, %zu failed\n", checks, failures);
    if (checks == 0) {
        fprintf(stderr, "no check ran: that is a failure\n");
        return 1;
    }
    return failures == 0 ? 0 : 1;
}

uint64_t
witan_test_seed(uint64_t fallback)
{
    const char *text = getenv("WITAN_SEED");
    seed_in_use = text != NULL ? strtoull(text, NULL, 10) : fallback;
    seed_was_asked = true;
    return seed_in_use;
}

static _Noreturn void
die(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s: %s\n", current, what, name);
    exit(1);
}

static size_t
type_size(const char *descr)
{
    if (strcmp(descr, "<f8") == 0 || strcmp(descr, "<i8") == 0) {
        return 8;
    }
    if (strcmp(descr, "<f4") == 0 || strcmp(descr, "<i4") == 0) {
        return 4;
    }
    return strcmp(descr, "|u1") == 0 ? 1 : 0;
}

static double
element(const char *descr, const char *at)
{
    double f8;
    float f4;
    int64_t i8;
    int32_t i4;
    if (strcmp(descr, "<f8") == 0) {
        memcpy(&f8, at, 8);
        return f8;
    }
    if (strcmp(descr, "<f4") == 0) {
        memcpy(&f4, at, 4);
        return (double)f4;
    }
    if (strcmp(descr, "<i8") == 0) {
        memcpy(&i8, at, 8);
        return (double)i8;
    }
    if (strcmp(descr, "<i4") == 0) {
        memcpy(&i4, at, 4);
        return (double)i4;
    }
    return (double)*(const unsigned char *)at;
}

witan_golden
witan_golden_load(const char *name)
{
    witan_golden self = {0};
    char path[1024], descr[16] = "";
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/tests/golden/vectors/%s.npy",
                   WITAN_TEST_SOURCE_DIR, name);
    char *bytes = witan_test_read(path, &size);
    if (bytes == NULL || size < 12 || memcmp(bytes, "\x93NUMPY\x01", 7) != 0) {
        die("golden vector missing or not NPY version 1", path);
    }
    size_t header = (unsigned char)bytes[8] + 256u * (unsigned char)bytes[9];
    char *text = bytes + 10;
    const char *at = strstr(text, "'descr': '");
    const char *shape = strstr(text, "'shape': (");
    if (at == NULL || shape == NULL || strstr(text, "False") == NULL ||
        sscanf(at, "'descr': '%15[^']'", descr) != 1 || type_size(descr) == 0) {
        die("golden vector of a type that is not read", path);
    }
    self.count = 1;
    for (shape += 10; *shape != ')'; shape++) {
        char *end;
        size_t extent = strtoul(shape, &end, 10);
        if (end == shape) {
            continue;
        }
        self.shape[self.dimensions++] = extent;
        self.count *= extent;
        shape = end - 1;
    }
    if (size < 10 + header + self.count * type_size(descr)) {
        die("golden vector is short", path);
    }
    self.values = calloc(self.count + 1, sizeof *self.values);
    for (size_t i = 0; i < self.count; i++) {
        self.values[i] = element(descr, bytes + 10 + header + i * type_size(descr));
    }
    free(bytes);
    return self;
}

void
witan_golden_free(witan_golden *self)
{
    free(self->values);
    self->values = NULL;
}

float *
witan_golden_floats(const witan_golden *self)
{
    float *floats = calloc(self->count + 1, sizeof *floats);
    for (size_t i = 0; i < self->count; i++) {
        floats[i] = (float)self->values[i];
    }
    return floats;
}

const char *
witan_test_directory(void)
{
    if (directory[0] == '\0') {
        const char *base = getenv("TMPDIR");
        (void)snprintf(directory, sizeof directory, "%s/witan-test-XXXXXX",
                       base != NULL ? base : "/tmp");
        if (mkdtemp(directory) == NULL) {
            die("no temporary directory", directory);
        }
    }
    return directory;
}

const char *
witan_test_path(const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", witan_test_directory(), name);
    return path;
}

void
witan_test_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        die("cannot write", path);
    }
}

char *
witan_test_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t used = 0, room = 0;
    if (file == NULL) {
        return NULL;
    }
    for (;;) {
        if (room - used < 65536) {
            room = room * 2 + 131072;
            bytes = realloc(bytes, room);
        }
        size_t got = fread(bytes + used, 1, room - used - 1, file);
        used += got;
        if (got == 0) {
            break;
        }
    }
    (void)fclose(file);
    bytes[used] = '\0';
    if (size != NULL) {
        *size = used;
    }
    return bytes;
}

static void *
failing_allocate(void *context, size_t size)
{
    witan_failing_allocator *self = context;
    const witan_allocator *heap = witan_allocator_default();
    self->allocations++;
    if (self->allocations == self->fail_at) {
        return NULL;
    }
    self->live++;
    return heap->allocate(heap->context, size);
}

static void
failing_release(void *context, void *block)
{
    witan_failing_allocator *self = context;
    const witan_allocator *heap = witan_allocator_default();
    if (block != NULL) {
        self->live--;
        heap->release(heap->context, block);
    }
}

void
witan_failing_allocator_init(witan_failing_allocator *self, size_t fail_at)
{
    memset(self, 0, sizeof *self);
    self->allocator.allocate = failing_allocate;
    self->allocator.release = failing_release;
    self->allocator.context = self;
    self->fail_at = fail_at;
}
