/* link.c - see link.h. ZMQ_IMMEDIATE stays off: with it, libzmq drops what came in and
 * was not read yet when the other side closes, so that last words get lost. Instead,
 * nothing is handed to libzmq before the handshake is done. A name is looked up as an
 * IPv4 address: with IPv6 on, libzmq takes the first IPv6 address of a name and tries
 * no other, so that "localhost" would miss a coordinator on 127.0.0.1. An IPv6 address
 * is written in brackets.
 * What comes in has no bound of libzmq's: a bounded queue would let the coordinator
 * abort us with a PING and a reset (docs/internals/transport.md), and never held back
 * one that does not end its message. An honest one sends its window. */
#include "transport/link.h"

#include <errno.h>
#include <string.h>

#include "transport/socket.h"

enum {
    /* Outwards: a window of 8 chunks, and as many small frames; a queue counts what was
     * read in steps of half its length. */
    QUEUE_FRAMES = 16,
    /* A handshake that ends without a reason may be a restart or a full house; two in a
     * row are an answer. A wrong server key shows in no other way. */
    SILENT_FAILURES_MAX = 2,
    EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
             ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_DISCONNECTED
};

struct witan_link {
    const witan_allocator *allocator;
    void *context, *socket, *monitor;
    zmq_msg_t frame; /* what the caller borrows */
    size_t message_max;
    witan_link_state state;
    int silent_failures;
};

static bool
configure(void *socket, const witan_link_config *config, bool six)
{
    const witan_socket_option settings[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_IPV6, six},
        {ZMQ_SNDHWM, QUEUE_FRAMES},
        {ZMQ_RCVHWM, 0}, /* a full queue is what libzmq aborts behind */
        {ZMQ_RECONNECT_IVL, 500},
        {ZMQ_RECONNECT_IVL_MAX, 60000},
        {ZMQ_CONNECT_TIMEOUT, 10000},
        {ZMQ_HANDSHAKE_IVL, 10000}, /* longer than the door's: a crowd at its start */
    };
    return witan_socket_set(socket, settings, sizeof settings / sizeof settings[0]) &&
           witan_socket_notice_silence(socket) &&
           witan_socket_limit(socket, config->message_max) &&
           zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, config->server_key, 32) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, config->public_key, 32) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, config->secret_key, 32) == 0;
}

witan_status
witan_link_open(witan_link **out, const witan_link_config *config,
                const witan_allocator *allocator, witan_diag *diag)
{
    witan_endpoint endpoint;
    *out = NULL;
    WITAN_TRY(witan_endpoint_parse(&endpoint, config->endpoint, false, diag));
    witan_link *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "no memory for a connection");
    }
    self->allocator = allocator;
    self->message_max = config->message_max;
    (void)zmq_msg_init(&self->frame);
    self->context = witan_context_new();
    if (self->context != NULL) {
        self->socket = zmq_socket(self->context, ZMQ_DEALER);
    }
    if (self->socket == NULL || !configure(self->socket, config, endpoint.six)) {
        goto failed;
    }
    self->monitor = witan_monitor_new(self->context, self->socket, EVENTS);
    if (self->monitor == NULL || zmq_connect(self->socket, config->endpoint) != 0) {
        goto failed;
    }
    *out = self;
    return WITAN_OK;
failed:
    (void)witan_diag_fail(diag, WITAN_E_IO, "%s: cannot start connecting (%s)",
                          config->endpoint, zmq_strerror(zmq_errno()));
    witan_link_close(&self, 0);
    return WITAN_E_IO;
}

void
witan_link_close(witan_link **self, int linger_ms)
{
    witan_link *link = *self;
    *self = NULL;
    if (link == NULL) {
        return;
    }
    (void)zmq_msg_close(&link->frame);
    if (link->monitor != NULL) {
        (void)zmq_socket_monitor(link->socket, NULL, 0);
        (void)zmq_close(link->monitor);
    }
    if (link->socket != NULL) {
        (void)zmq_setsockopt(link->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        (void)zmq_close(link->socket);
    }
    witan_context_free(link->context);
    witan_free(link->allocator, link);
}

/* Follows what the monitor told since the last look. */
static void
drain_monitor(witan_link *self)
{
    int event;
    uint32_t value;
    while (witan_monitor_next(self->monitor, &event, &value)) {
        switch (event) {
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            self->state = WITAN_LINK_OPEN;
            self->silent_failures = 0;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self->state = WITAN_LINK_REFUSED;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            if (++self->silent_failures >= SILENT_FAILURES_MAX) {
                self->state = WITAN_LINK_REFUSED;
            }
            break;
        case ZMQ_EVENT_DISCONNECTED:
            if (self->state == WITAN_LINK_OPEN) {
                self->state = WITAN_LINK_LOST;
            }
            break;
        default:
            break;
        }
    }
}

witan_link_state
witan_link_state_of(witan_link *self)
{
    drain_monitor(self);
    return self->state;
}

bool
witan_link_receive(witan_link *self, const uint8_t **bytes, size_t *size)
{
    drain_monitor(self);
    while (witan_socket_receive(self->socket, &self->frame, ZMQ_DONTWAIT) >= 0) {
        if (zmq_msg_more(&self->frame)) {
            (void)witan_socket_drain(self->socket);
        } else if (zmq_msg_size(&self->frame) <= self->message_max) {
            *bytes = zmq_msg_data(&self->frame);
            *size = zmq_msg_size(&self->frame);
            return true;
        }
    }
    return false;
}

witan_status
witan_link_send(witan_link *self, const void *bytes, size_t size)
{
    int sent;
    if (size > self->message_max) {
        return WITAN_E_LIMIT;
    }
    drain_monitor(self);
    if (self->state != WITAN_LINK_OPEN) {
        return WITAN_E_BUSY;
    }
    do {
        sent = zmq_send(self->socket, bytes, size, ZMQ_DONTWAIT);
    } while (sent < 0 && zmq_errno() == EINTR);
    if (sent >= 0) {
        return WITAN_OK;
    }
    return zmq_errno() == EAGAIN ? WITAN_E_BUSY : WITAN_E_IO;
}

bool
witan_link_wait(witan_link *self, const int *files, size_t count, int timeout_ms)
{
    void *const sockets[] = {self->socket, self->monitor};
    bool readable = witan_sockets_wait(sockets, 2, files, count, timeout_ms);
    drain_monitor(self);
    return readable;
}
