#include "cli/notify.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/terminal.h"

static struct {
    int file; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_size;
    atomic_bool alive; /* the time was asked for since the last WATCHDOG=1 */
} manager = {.file = -1};

void
witan_notify(const char *state)
{
    int error = errno;
    if (manager.file >= 0) {
        (void)sendto(manager.file, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&manager.address, manager.address_size);
    }
    errno = error;
}

static uint64_t
now_ns(void *context)
{
    const witan_clock *clock = witan_clock_monotonic();
    (void)context;
    atomic_store_explicit(&manager.alive, true, memory_order_relaxed);
    return clock->now_ns(clock->context);
}

const witan_clock *
witan_notify_clock(void)
{
    static const witan_clock clock = {now_ns, NULL};
    return &clock;
}

static void
on_alarm(int number)
{
    (void)number;
    if (atomic_exchange_explicit(&manager.alive, false, memory_order_relaxed)) {
        witan_notify("WATCHDOG=1");
    }
}

/* Twice in the time that the service manager waits for a sign of life. */
static void
start_watchdog(void)
{
    uint64_t period_us, process;
    const char *period = getenv("WATCHDOG_USEC"), *of = getenv("WATCHDOG_PID");
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    if (period == NULL || !witan_text_parse_u64(period, &period_us) || period_us < 2 ||
        (of != NULL &&
         (!witan_text_parse_u64(of, &process) || process != (uint64_t)getpid()))) {
        return;
    }
    struct timeval half = {(time_t)(period_us / 2 / 1000000),
                           (suseconds_t)(period_us / 2 % 1000000)};
    struct itimerval timer = {half, half};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

void
witan_notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path == NULL ? 0 : strlen(path);
    if (length < 2 || length > sizeof manager.address.sun_path ||
        (path[0] != '/' && path[0] != '@')) {
        return;
    }
    manager.address.sun_family = AF_UNIX;
    memcpy(manager.address.sun_path, path, length);
    if (path[0] == '@') {
        manager.address.sun_path[0] = '\0'; /* a name of the abstract kind */
    }
    manager.address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    manager.file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    start_watchdog();
}
