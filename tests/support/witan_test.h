/* witan_test.h - checks, seeds, golden vectors, temp directories, failing allocator.
 * A program: int main(void) { RUN(case_one); ... return witan_test_finish(); }
 * A binary that ran no checks fails. Comparisons are written so that NaN fails.
 * WITAN_SEED= in the environment replays a seed that a failure printed. */
#ifndef WITAN_TEST_SUPPORT_H
#define WITAN_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

#define CHECK(expression)                                                              \
    witan_test_check((expression), __FILE__, __LINE__, #expression)
#define CHECK_STATUS(actual, expected)                                                 \
    witan_test_status((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_NEAR(actual, expected, absolute, relative)                               \
    witan_test_near((actual), (expected), (absolute), (relative), __FILE__, __LINE__,  \
                    #actual)
#define CHECK_STRING(actual, expected)                                                 \
    witan_test_string((actual), (expected), __FILE__, __LINE__, #actual)
/* Text contains a part: for error messages. */
#define CHECK_CONTAINS(text, part)                                                     \
    witan_test_contains((text), (part), __FILE__, __LINE__, #text)
/* float arrays against float arrays / against golden doubles. */
#define CHECK_FLOATS(actual, expected, count, absolute, relative)                      \
    witan_test_floats((actual), (expected), (count), (absolute), (relative), __FILE__, \
                      __LINE__, #actual)
#define CHECK_GOLDEN(actual, expected, count, absolute, relative)                      \
    witan_test_golden((actual), (expected), (count), (absolute), (relative), __FILE__, \
                      __LINE__, #actual)
#define RUN(function) witan_test_run((function), #function)

bool witan_test_check(bool ok, const char *file, int line, const char *text);
bool witan_test_status(int actual, int expected, const char *file, int line,
                       const char *text);
bool witan_test_near(double actual, double expected, double absolute, double relative,
                     const char *file, int line, const char *text);
bool witan_test_string(const char *actual, const char *expected, const char *file,
                       int line, const char *text);
bool witan_test_contains(const char *text, const char *part, const char *file, int line,
                         const char *expression);
bool witan_test_floats(const float *actual, const float *expected, size_t count,
                       double absolute, double relative, const char *file, int line,
                       const char *text);
bool witan_test_golden(const float *actual, const double *expected, size_t count,
                       double absolute, double relative, const char *file, int line,
                       const char *text);
void witan_test_run(void (*function)(void), const char *name);
int witan_test_finish(void);

/* Seed of this run: WITAN_SEED or `fallback`; printed when a check fails. */
uint64_t witan_test_seed(uint64_t fallback);

/* A NumPy array of tests/golden/vectors/<name>.npy (f4, f8, i4, i8, u1) as doubles.
 * Aborts the test with a message when the file is missing or odd. Free with
 * witan_golden_free. */
typedef struct witan_golden {
    double *values;
    size_t count;
    size_t dimensions;
    size_t shape[8];
} witan_golden;
witan_golden witan_golden_load(const char *name);
void witan_golden_free(witan_golden *self);
/* The same values as floats; free() it. */
float *witan_golden_floats(const witan_golden *self);

/* A fresh empty directory, removed with everything in it by witan_test_finish. */
const char *witan_test_directory(void);
/* directory/name in static storage of 8 rotating buffers. */
const char *witan_test_path(const char *name);
void witan_test_write(const char *path, const void *bytes, size_t size);
/* Whole file, NUL-terminated, malloc'd; *size may be NULL; NULL if unreadable. */
char *witan_test_read(const char *path, size_t *size);

/* An allocator that fails on allocation number fail_at (1-based; 0 = never) and counts
 * live blocks, so that tests see both a clean failure and no leak. */
typedef struct witan_failing_allocator {
    witan_allocator allocator;
    size_t fail_at;
    size_t allocations;
    size_t live;
} witan_failing_allocator;
void witan_failing_allocator_init(witan_failing_allocator *self, size_t fail_at);

#endif
