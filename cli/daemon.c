#define _GNU_SOURCE /* sigaction */
#include "cli/daemon.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/notify.h"
#include "cli/terminal.h"

static volatile sig_atomic_t stops;

static void
on_stop(int number)
{
    (void)number;
    if (stops++ == 0) {
        witan_notify("STOPPING=1");
    }
}

const volatile sig_atomic_t *
witan_daemon_start(void)
{
    witan_notify_open();
    (void)signal(SIGHUP, SIG_IGN);
    witan_signals_catch(on_stop);
    return &stops;
}

uint64_t
witan_wall_s(void *context)
{
    (void)context;
    return (uint64_t)time(NULL);
}

/* One call, so that lines of different threads do not mix. */
static void
write_line(const char *level, const char *line)
{
    char stamp[WITAN_STAMP_MAX] = "";
    if (isatty(STDERR_FILENO) == 0) {
        witan_stamp(stamp, (uint64_t)time(NULL));
    }
    (void)fprintf(stderr, "%s%s%s%s%s\n", stamp, stamp[0] == '\0' ? "" : " ", level,
                  level[0] == '\0' ? "" : ": ", line);
}

void
witan_daemon_say(void *context, const char *line)
{
    (void)context;
    write_line("", line);
}

static void
log_line(void *context, witan_log_level level, const char *id, const char *text)
{
    (void)context;
    (void)id;
    write_line(level >= WITAN_LOG_ERROR ? "error" : "warning", text);
}

const witan_log *
witan_daemon_log(void)
{
    static const witan_log log = {log_line, NULL, WITAN_LOG_WARNING};
    return &log;
}

void
witan_daemon_stopped(const char *command, const char *directory)
{
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), 8 * WITAN_PATH_MAX);
    witan_text_format(&text, "stopped; everything is saved; go on with: %s ", command);
    witan_quote_for_shell(&text, directory);
    if (text.status == WITAN_OK) {
        write_line("", text.data);
    }
    witan_text_fini(&text);
}
