/* endpoint.c - addresses: their form, and whether anything answers there. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "transport/link.h"
#include "transport/socket.h"

static const char SCHEME[] = "tcp://";
enum {
    SCHEME_SIZE = sizeof SCHEME - 1
};

static bool
host_valid(const char *host, bool brackets, bool to_bind)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char address[] = "0123456789abcdefABCDEF:.";
    if (!brackets && to_bind && strcmp(host, "*") == 0) {
        return true;
    }
    return host[0] != '\0' && host[strspn(host, brackets ? address : letters)] == '\0';
}

static bool
port_valid(const char *port, bool to_bind)
{
    uint64_t number;
    if (to_bind && strcmp(port, "*") == 0) {
        return true;
    }
    return witan_text_parse_u64(port, &number) && number <= 65535 &&
           (to_bind || number > 0);
}

witan_status
witan_endpoint_parse(witan_endpoint *out, const char *endpoint, bool to_bind,
                     witan_diag *diag)
{
    size_t length = strlen(endpoint);
    const char *colon = strrchr(endpoint, ':');
    bool scheme = strncmp(endpoint, SCHEME, SCHEME_SIZE) == 0;
    bool valid = length <= WITAN_ENDPOINT_MAX && scheme &&
                 colon >= endpoint + SCHEME_SIZE &&
                 strlen(colon + 1) < sizeof out->port;
    memset(out, 0, sizeof *out);
    if (valid) {
        const char *start = endpoint + SCHEME_SIZE;
        size_t size = (size_t)(colon - start);
        bool brackets = size > 2 && start[0] == '[' && start[size - 1] == ']';
        memcpy(out->host, start + brackets, size - 2 * (size_t)brackets);
        memcpy(out->port, colon + 1, strlen(colon + 1));
        out->six = brackets || strcmp(out->host, "*") == 0;
        valid =
            host_valid(out->host, brackets, to_bind) && port_valid(out->port, to_bind);
    }
    if (!valid) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "endpoint \"%.*s\": expected tcp://HOST:PORT with %s and a port of %d to "
            "65535, for example %s",
            (int)WITAN_ENDPOINT_MAX, endpoint,
            to_bind ? "an address of this machine" : "a name or an address",
            to_bind ? 0 : 1, to_bind ? "tcp://0.0.0.0:7700" : "tcp://10.1.2.3:7700");
    }
    return WITAN_OK;
}

/* Milliseconds left of `timeout_ms`; never negative. */
static int
left_ms(void *watch, int timeout_ms)
{
    unsigned long used = zmq_stopwatch_intermediate(watch) / 1000;
    return used >= (unsigned long)timeout_ms ? 0 : timeout_ms - (int)used;
}

/* 0, or the error number of one address. */
static int
try_address(const struct addrinfo *address, void *watch, int timeout_ms)
{
    int error = 0;
    int file =
        socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (file < 0) {
        return errno;
    }
    if (connect(file, address->ai_addr, address->ai_addrlen) != 0) {
        error = errno;
    }
    if (error == EINPROGRESS || error == EINTR) {
        struct pollfd item = {.fd = file, .events = POLLOUT};
        socklen_t size = sizeof error;
        int ready;
        do {
            ready = poll(&item, 1, left_ms(watch, timeout_ms));
        } while (ready < 0 && errno == EINTR);
        if (ready <= 0) {
            error = ready == 0 ? ETIMEDOUT : errno;
        } else if (getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
    }
    (void)close(file);
    return error;
}

witan_status
witan_endpoint_reach(const char *endpoint, int timeout_ms, witan_diag *diag)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    witan_endpoint parsed;
    int error = EADDRNOTAVAIL;
    WITAN_TRY(witan_endpoint_parse(&parsed, endpoint, false, diag));
    void *watch = zmq_stopwatch_start();
    int code = getaddrinfo(parsed.host, parsed.port, &hints, &addresses);
    for (const struct addrinfo *at = addresses; at != NULL && error != 0;
         at = at->ai_next) {
        error = try_address(at, watch, timeout_ms);
    }
    if (code == 0) {
        freeaddrinfo(addresses);
    }
    (void)zmq_stopwatch_stop(watch);
    if (code != 0) {
        return witan_diag_fail(diag, WITAN_E_UNREACHABLE,
                               "%s: the name %s is not known here (%s); check its "
                               "spelling and the name service",
                               endpoint, parsed.host, gai_strerror(code));
    }
    if (error != 0) {
        return witan_diag_fail(
            diag, WITAN_E_UNREACHABLE,
            "%s: no connection (%s); check that the coordinator runs, "
            "the port, and the firewalls between",
            endpoint, strerror(error));
    }
    return WITAN_OK;
}
