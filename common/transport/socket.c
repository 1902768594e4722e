/* socket.c - see socket.h. */
#include "transport/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum {
    SOCKETS_MAX = 16, /* of one context: ours are four */
    MONITOR_EVENTS_MAX = 10000,
    ZERO_COPY_RECEIVE = 10 /* libzmq has it, its header shows it to drafts alone */
};

void *
witan_context_new(void)
{
    unsigned seed;
    void *context;
    witan_random_secure(&seed, sizeof seed);
    srand(seed);
    context = zmq_ctx_new();
    if (context != NULL) {
        (void)zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
        (void)zmq_ctx_set(context, ZMQ_IO_THREADS, 1);
        /* Otherwise a frame of one byte, read by itself, holds a buffer of 18 KB. */
        (void)zmq_ctx_set(context, ZERO_COPY_RECEIVE, 0);
    }
    return context;
}

void
witan_context_free(void *context)
{
    while (context != NULL && zmq_ctx_term(context) != 0 && zmq_errno() == EINTR) {
    }
}

bool
witan_socket_set(void *socket, const witan_socket_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (zmq_setsockopt(socket, options[i].name, &options[i].value,
                           sizeof options[i].value) != 0) {
            return false;
        }
    }
    return true;
}

bool
witan_socket_notice_silence(void *socket)
{
    const witan_socket_option settings[] = {
        {ZMQ_HEARTBEAT_IVL, 0},       {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 30}, {ZMQ_TCP_KEEPALIVE_INTVL, 10},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},   {ZMQ_TCP_MAXRT, 30000},
    };
    return witan_socket_set(socket, settings, sizeof settings / sizeof settings[0]);
}

bool
witan_socket_limit(void *socket, size_t message_max)
{
    int64_t limit = (int64_t)message_max + WITAN_CURVE_OVERHEAD;
    limit = limit < WITAN_HANDSHAKE_FRAME_MAX ? WITAN_HANDSHAKE_FRAME_MAX : limit;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit) == 0;
}

int
witan_socket_receive(void *socket, zmq_msg_t *message, int flags)
{
    int size;
    do {
        size = zmq_msg_recv(message, socket, flags);
    } while (size < 0 && zmq_errno() == EINTR);
    return size;
}

uint64_t
witan_wire_size(size_t size)
{
    uint64_t body = (uint64_t)size + WITAN_CURVE_OVERHEAD;
    return body + (body > 255 ? 9 : 2); /* flags and a length of 8 bytes or of one */
}

uint64_t
witan_socket_drain(void *socket)
{
    uint64_t bytes = 0;
    int more = 1;
    while (more != 0) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        int size = witan_socket_receive(socket, &part, ZMQ_DONTWAIT);
        more = size >= 0 && zmq_msg_more(&part);
        bytes += size >= 0 ? witan_wire_size((size_t)size) : 0;
        (void)zmq_msg_close(&part);
    }
    return bytes;
}

void *
witan_monitor_new(void *context, void *socket, int events)
{
    static const char address[] = "inproc://monitor";
    const witan_socket_option settings[] = {{ZMQ_LINGER, 0},
                                            {ZMQ_RCVHWM, MONITOR_EVENTS_MAX}};
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    if (monitor == NULL) {
        return NULL;
    }
    if (!witan_socket_set(monitor, settings, sizeof settings / sizeof settings[0]) ||
        zmq_socket_monitor(socket, address, events) != 0 ||
        zmq_connect(monitor, address) != 0) {
        (void)zmq_close(monitor);
        return NULL;
    }
    return monitor;
}

bool
witan_monitor_next(void *monitor, int *event, uint32_t *value)
{
    zmq_msg_t message;
    uint16_t number = 0;
    (void)zmq_msg_init(&message);
    int size = witan_socket_receive(monitor, &message, ZMQ_DONTWAIT);
    bool got = size >= (int)(sizeof number + sizeof *value);
    if (got) {
        const unsigned char *bytes = zmq_msg_data(&message);
        memcpy(&number, bytes, sizeof number);
        memcpy(value, bytes + sizeof number, sizeof *value);
        *event = number;
    }
    if (size >= 0 && zmq_msg_more(&message)) {
        (void)witan_socket_drain(monitor);
    }
    (void)zmq_msg_close(&message);
    return got;
}

bool
witan_sockets_wait(void *const *sockets, size_t socket_count, const int *files,
                   size_t file_count, int timeout_ms)
{
    zmq_pollitem_t items[WITAN_WAIT_FILES_MAX + 2];
    size_t count = 0;
    WITAN_ASSERT(socket_count <= 2 && file_count <= WITAN_WAIT_FILES_MAX);
    for (size_t i = 0; i < socket_count; i++) {
        items[count++] = (zmq_pollitem_t){.socket = sockets[i], .events = ZMQ_POLLIN};
    }
    for (size_t i = 0; i < file_count; i++) {
        items[count++] = (zmq_pollitem_t){.fd = files[i], .events = ZMQ_POLLIN};
    }
    int ready = zmq_poll(items, (int)count, timeout_ms);
    return ready > 0 && (items[0].revents & ZMQ_POLLIN) != 0;
}
