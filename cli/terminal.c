#include "cli/terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

witan_terminal
witan_terminal_of(FILE *stream)
{
    witan_terminal terminal = {false, false, false, 80};
    const char *term = getenv("TERM");
    struct winsize size;
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    terminal.interactive = isatty(fileno(stream)) != 0 && !dumb;
    terminal.color = terminal.interactive && getenv("NO_COLOR") == NULL;
    terminal.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (terminal.interactive && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 &&
        size.ws_col > 0) {
        terminal.columns = size.ws_col;
    }
    return terminal;
}

void
witan_line_clear(bool *open)
{
    if (*open) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
        *open = false;
    }
}

int
witan_fail(const witan_diag *diag, witan_status status)
{
    const char *text =
        diag->message[0] != '\0' ? diag->message : witan_status_text(status);
    (void)fprintf(stderr, "witan: %s\n", text);
    return witan_status_exit_code(status);
}

witan_status
witan_print(const witan_text *text)
{
    if (text->status != WITAN_OK) {
        return text->status;
    }
    if (text->length != 0 &&
        fwrite(text->data, 1, text->length, stdout) != text->length) {
        return WITAN_E_IO;
    }
    return fflush(stdout) == 0 ? WITAN_OK : WITAN_E_IO;
}

witan_status
witan_print_result(const witan_text *text, witan_diag *diag)
{
    witan_status status = witan_print(text);
    return status == WITAN_OK
               ? status
               : witan_diag_fail(diag, status, "cannot write the result: %s",
                                 witan_status_text(status));
}

witan_status
witan_print_secret(const char *line)
{
    size_t left = strlen(line);
    if (fflush(stdout) != 0) {
        return WITAN_E_IO;
    }
    while (left > 0) {
        ssize_t written = write(STDOUT_FILENO, line, left);
        if (written < 0 && errno != EINTR) {
            return WITAN_E_IO;
        }
        line += written < 0 ? 0 : written;
        left -= written < 0 ? 0 : (size_t)written;
    }
    return WITAN_OK;
}

void
witan_quote_for_shell(witan_text *out, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._-/+=:,@";
    if (path[strspn(path, plain)] == '\0') {
        witan_text_format(out, "%s", path);
        return;
    }
    witan_text_format(out, "'");
    for (; *path != '\0'; path++) {
        witan_text_format(out, *path == '\'' ? "'\\''" : "%c", *path);
    }
    witan_text_format(out, "'");
}

void
witan_stamp(char out[WITAN_STAMP_MAX], uint64_t unix_s)
{
    time_t time = (time_t)unix_s;
    struct tm utc;
    if (gmtime_r(&time, &utc) == NULL ||
        strftime(out, WITAN_STAMP_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        (void)snprintf(out, WITAN_STAMP_MAX, "-");
    }
}

void
witan_signals_catch(void (*handler)(int number))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static uint64_t
monotonic_ns(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const witan_clock *
witan_clock_monotonic(void)
{
    static const witan_clock clock = {monotonic_ns, NULL};
    return &clock;
}

static void
write_line(void *context, witan_log_level level, const char *id, const char *text)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    const witan_run_log *self = context;
    if (self->file != NULL) {
        char stamp[WITAN_STAMP_MAX];
        witan_stamp(stamp, (uint64_t)time(NULL));
        (void)fprintf(self->file, "%s %s %s %s\n", stamp, names[level], id, text);
        (void)fflush(self->file);
    }
    if (level >= WITAN_LOG_WARNING) {
        (void)fprintf(stderr, "witan: %s: %s\n", names[level], text);
    }
}

witan_status
witan_run_log_open(witan_run_log *self, const char *path, witan_diag *diag)
{
    self->log = (witan_log){write_line, self, WITAN_LOG_INFO};
    self->file = NULL;
    if (path == NULL) {
        return WITAN_OK;
    }
    self->file = fopen(path, "ae");
    return self->file != NULL
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_IO, "%s: %s", path, strerror(errno));
}

void
witan_run_log_close(witan_run_log *self)
{
    if (self->file != NULL) {
        (void)fclose(self->file);
        self->file = NULL;
    }
}
