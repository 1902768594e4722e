/* notify.h - tells a service manager how a daemon is doing: sd_notify(3) without its
 * library: one datagram to the socket that NOTIFY_SOCKET names. Does nothing without
 * one.
 * Threads: the program's main thread; witan_notify also from signal handlers. */
#ifndef WITAN_CLI_NOTIFY_H
#define WITAN_CLI_NOTIFY_H

#include "base/clock.h"

/* Opens the socket. When the service manager asks for it (WATCHDOG_USEC), a timer then
 * says WATCHDOG=1 as long as witan_notify_clock is asked for the time in between: a
 * main loop that hangs is noticed. */
void witan_notify_open(void);

/* "READY=1", "STOPPING=1", ...; async-signal-safe. */
void witan_notify(const char *state);

/* The monotonic clock; whoever asks it is alive. */
const witan_clock *witan_notify_clock(void);

#endif
