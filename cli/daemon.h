/* daemon.h - what coordinator and client share as processes that stay: signals that are
 * counted, lines for a person, the time of day. */
#ifndef WITAN_CLI_DAEMON_H
#define WITAN_CLI_DAEMON_H

#include <signal.h>
#include <stdint.h>

#include "base/log.h"

/* SIGINT and SIGTERM count from now on and end waits early; SIGHUP is ignored. The
 * first one tells the service manager. Also opens notify.h. */
const volatile sig_atomic_t *witan_daemon_start(void);

/* A line to standard error, with the time (UTC) before it when that is no terminal. */
void witan_daemon_say(void *context, const char *line);
/* Warnings and errors, in the same way. */
const witan_log *witan_daemon_log(void);

/* "stopped; everything is saved; go on with: COMMAND DIRECTORY". */
void witan_daemon_stopped(const char *command, const char *directory);

/* Unix time in seconds. */
uint64_t witan_wall_s(void *context);

#endif
