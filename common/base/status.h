/* status.h - what every fallible function returns, and the macros that guard it.
 * Why here: one list of codes keeps texts, numbers and exit codes in one place.
 * Source: style of libuv's UV_ERRNO_MAP.
 * Three kinds of failure: a bug (WITAN_ASSERT, on in every build), an operating
 * error (memory, file), and bad content from a person, file or peer (returned). */
#ifndef WITAN_BASE_STATUS_H
#define WITAN_BASE_STATUS_H

#define WITAN_NODISCARD __attribute__((warn_unused_result))
#define WITAN_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Code, fixed number, text, exit code of the program. */
#define WITAN_STATUS_MAP(X)                                                            \
    X(OK, 0, "ok", 0)                                                                  \
    X(E_MEMORY, 1, "out of memory", 1)                                                 \
    X(E_INVALID, 2, "invalid argument", 1)                                             \
    X(E_CONFIG, 3, "bad usage or configuration", 2)                                    \
    X(E_DATA, 4, "bad data", 3)                                                        \
    X(E_IO, 5, "input or output failed", 1)                                            \
    X(E_NUMERIC, 6, "not a finite number", 1)                                          \
    X(E_LIMIT, 7, "a limit was exceeded", 1)                                           \
    X(E_STATE, 8, "not possible in this state", 1)                                     \
    X(E_INTERRUPTED, 9, "interrupted", 130)                                            \
    X(E_UNSUPPORTED, 10, "not supported", 1)                                           \
    X(E_REFUSED, 11, "refused by the other side", 5)                                   \
    X(E_FORGED, 12, "not authentic", 5)                                                \
    X(E_UNREACHABLE, 13, "no answer", 6)                                               \
    X(E_BUSY, 14, "cannot take more now", 1)                                           \
    X(E_CROSSED, 15, "an audit's threshold was crossed", 4)

typedef enum witan_status {
#define WITAN_STATUS_ENUM(name, number, text, exit_code) WITAN_##name = number,
    WITAN_STATUS_MAP(WITAN_STATUS_ENUM)
#undef WITAN_STATUS_ENUM
} witan_status;

/* Static text of a code; "unknown status" for any other number. */
const char *witan_status_text(witan_status status);

/* The program's documented exit code for a status (0 to 6 or 130). */
int witan_status_exit_code(witan_status status);

/* One sentence for a person: what, where, what to do. Functions on whose failure a
 * person must act (config, CLI, files) take a nullable pointer to one. */
typedef struct witan_diag {
    witan_status status; /* WITAN_OK until the first failure */
    char message[1024];  /* one line, no newline; empty until the first failure */
} witan_diag;

/* Records a failure and returns `status`, so that `return witan_diag_fail(...)` reads
 * naturally. The first failure wins: later ones are its consequences. `diag` may be
 * NULL. A message that does not fit is cut. Control characters become '?'. */
witan_status witan_diag_fail(witan_diag *diag, witan_status status, const char *format,
                             ...) WITAN_PRINTF(3, 4);

/* Prefixes the recorded message with "format: " (for a caller that knows the file or
 * JSON path); no effect while nothing has failed. Returns diag->status. */
witan_status witan_diag_prefix(witan_diag *diag, const char *format, ...)
    WITAN_PRINTF(2, 3);

/* A broken invariant of our own code; prints file, line and expression, then aborts.
 * Never applied to bytes from a file, a peer or a person. */
#define WITAN_ASSERT(expression)                                                       \
    ((expression) ? (void)0 : witan_assert_failed(__FILE__, __LINE__, #expression))
_Noreturn void witan_assert_failed(const char *file, int line, const char *expression);

/* Returns from the enclosing function when `expression` fails; only before the first
 * acquisition. */
#define WITAN_TRY(expression)                                                          \
    do {                                                                               \
        witan_status witan_try_status_ = (expression);                                 \
        if (witan_try_status_ != WITAN_OK) {                                           \
            return witan_try_status_;                                                  \
        }                                                                              \
    } while (0)

#endif
