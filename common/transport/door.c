/* door.c - see door.h. What libzmq leaves open is closed here and in guard.c; each
 * setting says what it is for. */
#include "transport/door.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "transport/door_private.h"

enum {
    EVENTS = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
             ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    ZAP_ENFORCE_DOMAIN = 93, /* libzmq has it, its header shows it to drafts alone */
    ROUTE_SIZE = 5           /* a zero byte and a number, most significant byte first */
};

/* ---- opening ---- */

/* Raises the soft limit when the hard one allows it. libzmq's listener turns into a
 * busy loop when descriptors run out. */
static witan_status
require_files(size_t connections_max, witan_diag *diag)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)connections_max + WITAN_DOOR_FILES_RESERVE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return witan_diag_fail(diag, WITAN_E_IO, "file descriptors: %s",
                               strerror(errno));
    }
    if (limit.rlim_cur < need) {
        struct rlimit more = {.rlim_cur = need, .rlim_max = limit.rlim_max};
        if (limit.rlim_max < need || setrlimit(RLIMIT_NOFILE, &more) != 0) {
            return witan_diag_fail(
                diag, WITAN_E_IO,
                "%zu connections need %zu file descriptors and %zu are allowed; raise "
                "`ulimit -n` (LimitNOFILE= of a systemd unit) or allow fewer clients",
                connections_max, (size_t)need, (size_t)limit.rlim_max);
        }
    }
    return WITAN_OK;
}

static bool
configure(void *socket, const witan_door_config *config, bool six)
{
    const witan_socket_option settings[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_IPV6, six},
        {ZMQ_CURVE_SERVER, 1},
        {ZAP_ENFORCE_DOMAIN, 1},   /* nobody gets in without our handler */
        {ZMQ_ROUTER_MANDATORY, 1}, /* a lost answer is told, not swallowed */
        {ZMQ_ROUTER_HANDOVER, 0},  /* nobody takes over another's connection */
        {ZMQ_RCVHWM,
         0}, /* a full queue is what libzmq aborts behind; the guard counts */
        {ZMQ_SNDHWM, WITAN_DOOR_OUT_FRAMES},
        {ZMQ_RCVBUF, WITAN_DOOR_SOCKET_BYTES},
        {ZMQ_SNDBUF, WITAN_DOOR_SOCKET_BYTES},
        {ZMQ_BACKLOG, 1024},
        {ZMQ_HANDSHAKE_IVL, 5000},
    };
    return witan_socket_set(socket, settings, sizeof settings / sizeof settings[0]) &&
           witan_socket_notice_silence(socket) &&
           witan_socket_limit(socket, config->message_max) &&
           zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "witan", 5) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, config->secret_key,
                          WITAN_DOOR_KEY) == 0;
}

static bool
parse_route(const uint8_t *bytes, size_t size, uint32_t *number)
{
    if (size != ROUTE_SIZE || bytes[0] != 0) {
        return false;
    }
    *number = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 |
              (uint32_t)bytes[3] << 8 | bytes[4];
    return true;
}

/* The number that libzmq gives first: a connection to ourselves takes it. From then on
 * a peer that chose its own routing id is known by a number that was not given. */
static bool
learn_first_route(witan_door *self)
{
    static const char address[] = "inproc://self";
    const witan_socket_option linger = {ZMQ_LINGER, 0};
    void *dealer = zmq_socket(self->context, ZMQ_DEALER);
    zmq_msg_t route;
    (void)zmq_msg_init(&route);
    bool learnt =
        dealer != NULL && witan_socket_set(dealer, &linger, 1) &&
        zmq_bind(self->router, address) == 0 && zmq_connect(dealer, address) == 0 &&
        zmq_send(dealer, "", 0, 0) == 0 &&
        witan_socket_receive(self->router, &route, 0) >= 0 &&
        parse_route(zmq_msg_data(&route), zmq_msg_size(&route), &self->first_route);
    if (learnt) {
        (void)witan_socket_drain(self->router);
        (void)zmq_unbind(self->router, address);
    }
    (void)zmq_msg_close(&route);
    if (dealer != NULL) {
        (void)zmq_close(dealer);
    }
    return learnt;
}

/* Sockets and their settings; the ZAP handler listens, the router does not yet. */
static bool
make_sockets(witan_door *self, const witan_door_config *config, bool six)
{
    const witan_socket_option linger = {ZMQ_LINGER, 0};
    self->context = witan_context_new();
    if (self->context == NULL) {
        return false;
    }
    self->router = zmq_socket(self->context, ZMQ_ROUTER);
    self->zap = zmq_socket(self->context, ZMQ_REP);
    if (self->router == NULL || self->zap == NULL || !learn_first_route(self) ||
        !configure(self->router, config, six) ||
        !witan_socket_set(self->zap, &linger, 1) ||
        zmq_bind(self->zap, "inproc://zeromq.zap.01") != 0) {
        return false;
    }
    self->monitor = witan_monitor_new(self->context, self->router, EVENTS);
    self->spare_file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return self->monitor != NULL && self->spare_file >= 0;
}

/* Signals stay with the program's own threads. */
static bool
start_guard(witan_door *self)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    self->thread_started =
        pthread_create(&self->thread, NULL, witan_guard_main, self) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return self->thread_started;
}

static witan_status
bind_router(witan_door *self, const char *endpoint, witan_diag *diag)
{
    size_t size = sizeof self->endpoint;
    if (zmq_bind(self->router, endpoint) == 0 &&
        zmq_getsockopt(self->router, ZMQ_LAST_ENDPOINT, self->endpoint, &size) == 0) {
        return WITAN_OK;
    }
    int error = zmq_errno();
    if (error == ENODEV || error == EINVAL || error == EADDRNOTAVAIL) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "endpoint \"%s\": not an address of this machine; "
                               "tcp://0.0.0.0:PORT takes all of them",
                               endpoint);
    }
    return witan_diag_fail(
        diag, WITAN_E_IO, "cannot listen on %s: %s%s", endpoint, zmq_strerror(error),
        error == EADDRINUSE ? "; another program has this port" : "");
}

static witan_door *
new_door(const witan_door_config *config, const witan_allocator *allocator)
{
    size_t table_size =
        config->connections_max + WITAN_DOOR_FILES_RESERVE + WITAN_DOOR_FILES_SLACK;
    /* What an honest connection may have on the way: its window, the kernel's buffer,
     * and small frames. A smaller budget would cut it. */
    uint64_t honest =
        (WITAN_DOOR_IN_FRAMES + 2) * witan_wire_size(config->message_max) +
        2 * WITAN_DOOR_SOCKET_BYTES + (1 << 20);
    witan_door *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->table = witan_zalloc(allocator, table_size, sizeof *self->table);
    if (self->table == NULL || pthread_mutex_init(&self->lock, NULL) != 0) {
        witan_free(allocator, self->table);
        witan_free(allocator, self);
        return NULL;
    }
    self->allocator = allocator;
    self->log = config->log;
    self->message_max = config->message_max;
    self->connections_max = config->connections_max;
    self->unread_max = config->unread_max < honest ? honest : config->unread_max;
    self->unread_total_max = config->connections_max * (uint64_t)WITAN_DOOR_IN_FRAMES *
                                 witan_wire_size(config->message_max) +
                             4 * self->unread_max;
    self->table_size = table_size;
    self->unnamed_first = WITAN_DOOR_NONE;
    self->unnamed_last = WITAN_DOOR_NONE;
    self->spare_file = WITAN_DOOR_NONE;
    self->watch = zmq_stopwatch_start();
    (void)zmq_msg_init(&self->frame);
    return self;
}

witan_status
witan_door_open(witan_door **out, const witan_door_config *config,
                const witan_allocator *allocator, witan_diag *diag)
{
    witan_endpoint endpoint;
    witan_status status = WITAN_E_IO;
    *out = NULL;
    WITAN_TRY(witan_endpoint_parse(&endpoint, config->endpoint, true, diag));
    if (zmq_has("curve") != 1) {
        return witan_diag_fail(diag, WITAN_E_UNSUPPORTED,
                               "this libzmq was built without CURVE; install one that "
                               "was built with libsodium");
    }
    WITAN_TRY(require_files(config->connections_max, diag));
    witan_door *self = new_door(config, allocator);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "no memory for %zu connections",
                               config->connections_max);
    }
    if (!make_sockets(self, config, endpoint.six) || !start_guard(self)) {
        (void)witan_diag_fail(diag, status, "cannot prepare to listen on %s: %s",
                              config->endpoint, zmq_strerror(zmq_errno()));
    } else {
        status = bind_router(self, config->endpoint, diag);
    }
    if (status != WITAN_OK) {
        witan_door_close(&self, 0);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_door_close(witan_door **self, int linger_ms)
{
    witan_door *door = *self;
    *self = NULL;
    if (door == NULL) {
        return;
    }
    (void)zmq_msg_close(&door->frame);
    if (door->router != NULL) {
        (void)zmq_setsockopt(door->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        (void)zmq_close(door->router);
    }
    if (door->thread_started) {
        (void)zmq_ctx_shutdown(door->context); /* wakes the guard, which then ends */
        (void)pthread_join(door->thread, NULL);
    } else {
        for (size_t i = 0; i < 2; i++) {
            void *socket = i == 0 ? door->zap : door->monitor;
            if (socket != NULL) {
                (void)zmq_close(socket);
            }
        }
    }
    witan_context_free(door->context);
    if (door->spare_file >= 0) {
        (void)close(door->spare_file);
    }
    (void)zmq_stopwatch_stop(door->watch);
    (void)pthread_mutex_destroy(&door->lock);
    witan_free(door->allocator, door->keys);
    witan_free(door->allocator, door->table);
    witan_free(door->allocator, door);
}

const char *
witan_door_endpoint(const witan_door *self)
{
    return self->endpoint;
}

/* ---- who may come in ---- */

/* Connections whose key is no longer listed. One that has said nothing yet may be of
 * any key: if some key was taken away, it goes too, and comes back if it may. */
static void
cut_removed(witan_door *self, bool any_removed)
{
    for (size_t i = 0; i < self->table_used; i++) {
        const witan_connection *at = &self->table[i];
        if (at->live &&
            (at->named ? witan_door_find(self, at->key) == NULL : any_removed)) {
            witan_connection_cut(self, (int)i, WITAN_CUT_REMOVED);
        }
    }
}

witan_status
witan_door_admit(witan_door *self, const uint8_t (*keys)[WITAN_DOOR_KEY], size_t count)
{
    witan_listed *list = NULL;
    bool any_removed = false;
    if (count > 0) {
        list = witan_zalloc(self->allocator, count, sizeof *list);
        if (list == NULL) {
            return WITAN_E_MEMORY;
        }
        for (size_t i = 0; i < count; i++) {
            memcpy(list[i].key, keys[i], WITAN_DOOR_KEY);
        }
        qsort(list, count, sizeof *list, witan_door_compare_keys);
    }
    (void)pthread_mutex_lock(&self->lock);
    witan_listed *old = self->keys;
    size_t old_count = self->key_count;
    self->keys = list;
    self->key_count = count;
    for (size_t i = 0; i < old_count && !any_removed; i++) {
        any_removed = witan_door_find(self, old[i].key) == NULL;
    }
    cut_removed(self, any_removed);
    (void)pthread_mutex_unlock(&self->lock);
    witan_free(self->allocator, old);
    return WITAN_OK;
}

void
witan_door_kick(witan_door *self, const uint8_t key[WITAN_DOOR_KEY])
{
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->table_used; i++) {
        const witan_connection *at = &self->table[i];
        if (at->live && at->named && memcmp(at->key, key, WITAN_DOOR_KEY) == 0) {
            witan_connection_cut(self, (int)i, WITAN_CUT_KICKED);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
}

/* ---- frames ---- */

static int
hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

/* The key that our ZAP answer attached to the connection; false without one. */
static bool
read_key(zmq_msg_t *message, uint8_t key[WITAN_DOOR_KEY])
{
    const char *text = zmq_msg_gets(message, "User-Id");
    if (text == NULL || strlen(text) != 2 * WITAN_DOOR_KEY) {
        return false;
    }
    for (size_t i = 0; i < WITAN_DOOR_KEY; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Credits what was read to its connection. Frames outlive their connection in libzmq's
 * queues, and descriptors are used again: of two routes on one descriptor the newer one
 * is the live connection. Returns the descriptor, or WITAN_DOOR_NONE. */
static int
credit(witan_door *self, int file, const witan_door_frame *frame, uint32_t route,
       uint64_t wire_bytes)
{
    if (file < 0 || (size_t)file >= self->table_size || !self->table[file].live) {
        return WITAN_DOOR_NONE;
    }
    witan_connection *at = &self->table[file];
    if (at->named && at->route != route) {
        if ((int32_t)(route - at->route) < 0) {
            return WITAN_DOOR_NONE;
        }
        at->read_bytes = 0;
    }
    if (!at->named || at->route != route) {
        witan_connection_name(self, file, frame->key, route);
    }
    at->read_bytes += wire_bytes;
    return file;
}

/* Whether the frame may be delivered; cuts its connection otherwise. */
static bool
judge(witan_door *self, int file, const witan_door_frame *frame, uint64_t wire_bytes,
      bool whole)
{
    uint32_t route = 0;
    bool deliver = false;
    (void)pthread_mutex_lock(&self->lock);
    /* libzmq has given out at most one number per accepted connection. */
    bool given = parse_route(frame->route, frame->route_size, &route) &&
                 route - self->first_route - 1 < self->counts.accepted;
    if (!given) {
        if (file >= 0 && (size_t)file < self->table_size) {
            witan_connection_cut(self, file, WITAN_CUT_ROUTE);
        }
    } else {
        file = credit(self, file, frame, route, wire_bytes);
        deliver = whole && witan_door_find(self, frame->key) != NULL;
        if (!deliver && file >= 0) {
            witan_connection_cut(self, file,
                                 whole ? WITAN_CUT_REMOVED : WITAN_CUT_PARTS);
        }
    }
    self->counts.bytes_in += deliver ? frame->size : 0;
    (void)pthread_mutex_unlock(&self->lock);
    return deliver;
}

/* `empty`: nothing is left in the queue of any connection. */
static void
note_queue(witan_door *self, bool empty, bool waiting)
{
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; empty && self->visited && i < self->key_count; i++) {
        self->keys[i].visits = 0;
    }
    self->visited = self->visited && !empty;
    self->waiting = waiting;
    (void)pthread_mutex_unlock(&self->lock);
}

bool
witan_door_receive(witan_door *self, witan_door_frame *out)
{
    zmq_msg_t route;
    bool got = false;
    (void)zmq_msg_init(&route);
    while (!got && witan_socket_receive(self->router, &route, ZMQ_DONTWAIT) >= 0) {
        uint64_t wire_bytes = 0;
        bool whole =
            zmq_msg_more(&route) != 0 &&
            witan_socket_receive(self->router, &self->frame, ZMQ_DONTWAIT) >= 0;
        if (!whole) {
            continue;
        }
        memset(out, 0, sizeof *out);
        out->bytes = zmq_msg_data(&self->frame);
        out->size = zmq_msg_size(&self->frame);
        out->route_size = zmq_msg_size(&route);
        memcpy(out->route, zmq_msg_data(&route),
               out->route_size < sizeof out->route ? out->route_size
                                                   : sizeof out->route);
        wire_bytes = witan_wire_size(out->size);
        if (zmq_msg_more(&self->frame)) {
            whole = false;
            wire_bytes += witan_socket_drain(self->router);
        }
        got = read_key(&self->frame, out->key) &&
              judge(self, zmq_msg_get(&self->frame, ZMQ_SRCFD), out, wire_bytes,
                    whole && out->size <= self->message_max);
    }
    (void)zmq_msg_close(&route);
    if (!got) {
        note_queue(self, true, false);
    }
    return got;
}

witan_status
witan_door_send(witan_door *self, const uint8_t *route, size_t route_size,
                const void *bytes, size_t size)
{
    int sent;
    if (size > self->message_max) {
        return WITAN_E_LIMIT;
    }
    do {
        sent = zmq_send(self->router, route, route_size, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    } while (sent < 0 && zmq_errno() == EINTR);
    if (sent < 0) {
        return zmq_errno() == EHOSTUNREACH ? WITAN_E_UNREACHABLE
               : zmq_errno() == EAGAIN     ? WITAN_E_BUSY
                                           : WITAN_E_IO;
    }
    do {
        sent = zmq_send(self->router, bytes, size, ZMQ_DONTWAIT);
    } while (sent < 0 && zmq_errno() == EINTR);
    if (sent < 0) {
        return WITAN_E_IO;
    }
    (void)pthread_mutex_lock(&self->lock);
    self->counts.bytes_out += size;
    (void)pthread_mutex_unlock(&self->lock);
    return WITAN_OK;
}

bool
witan_door_wait(witan_door *self, const int *files, size_t count, int timeout_ms)
{
    void *const sockets[] = {self->router};
    note_queue(self, false, true);
    bool readable = witan_sockets_wait(sockets, 1, files, count, timeout_ms);
    note_queue(self, !readable, false);
    return readable;
}

void
witan_door_count(witan_door *self, witan_door_counts *out)
{
    (void)pthread_mutex_lock(&self->lock);
    *out = self->counts;
    (void)pthread_mutex_unlock(&self->lock);
}
