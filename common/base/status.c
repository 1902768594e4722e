#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
witan_status_text(witan_status status)
{
    switch (status) {
#define WITAN_STATUS_CASE(name, number, text, exit_code)                               \
    case WITAN_##name:                                                                 \
        return text;
        WITAN_STATUS_MAP(WITAN_STATUS_CASE)
#undef WITAN_STATUS_CASE
    }
    return "unknown status";
}

int
witan_status_exit_code(witan_status status)
{
    switch (status) {
#define WITAN_STATUS_CASE(name, number, text, exit_code)                               \
    case WITAN_##name:                                                                 \
        return exit_code;
        WITAN_STATUS_MAP(WITAN_STATUS_CASE)
#undef WITAN_STATUS_CASE
    }
    return 1;
}

/* A message may quote a file's or a peer's bytes: keep it one printable line. */
static void
make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            *text = '?';
        }
    }
}

witan_status
witan_diag_fail(witan_diag *diag, witan_status status, const char *format, ...)
{
    if (diag != NULL && diag->status == WITAN_OK) {
        va_list arguments;
        diag->status = status;
        va_start(arguments, format);
        (void)vsnprintf(diag->message, sizeof diag->message, format, arguments);
        va_end(arguments);
        make_printable(diag->message);
    }
    return status;
}

witan_status
witan_diag_prefix(witan_diag *diag, const char *format, ...)
{
    char old[sizeof diag->message];
    char prefix[512];
    va_list arguments;

    if (diag == NULL || diag->status == WITAN_OK) {
        return diag == NULL ? WITAN_OK : diag->status;
    }
    va_start(arguments, format);
    (void)vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    make_printable(prefix);
    memcpy(old, diag->message, sizeof old);
    size_t used = strlen(prefix);
    size_t left = sizeof diag->message - used - 3;
    memcpy(diag->message, prefix, used);
    memcpy(diag->message + used, ": ", 2);
    size_t length = strlen(old);
    if (length > left) {
        length = left;
    }
    memcpy(diag->message + used + 2, old, length);
    diag->message[used + 2 + length] = '\0';
    return diag->status;
}

_Noreturn void
witan_assert_failed(const char *file, int line, const char *expression)
{
    (void)fprintf(stderr, "witan: bug at %s:%d: %s\n", file, line, expression);
    abort();
}
