/* guard.c - the thread beside the door: it answers ZAP, follows every connection from
 * its acceptance to its end, and cuts those that take more than their share.
 * Why one thread: a ZAP question is answered only after the monitor was read, so a
 * connection is in the table before its first frame can be delivered.
 * libzmq counts whole messages in its queues; a peer that never ends a message fills
 * the memory behind them. What TCP received minus what the owner read is the truth.
 * Cutting is shutdown(2) on libzmq's descriptor, with a check of the peer's address:
 * descriptor numbers are used again. The worst of a lost race is that a connection has
 * to be made anew. Source: https://rfc.zeromq.org/spec/27 (ZAP 1.0). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/door_private.h"

enum {
    LOOK_US = 50000,  /* every connection is looked at this often ... */
    LOOK_MAX = 2048,  /* ... as long as there are no more than this many, */
    LOOK_STEP = 256,  /* this many at a time, so that ZAP never waits for long */
    ANSWERS_MAX = 64, /* ZAP questions between two looks */
    SILENT_US = 30000000,
    TELL_US = 1000000,
    ZAP_PARTS = 7,
    HEX_SIZE = 2 * WITAN_DOOR_KEY
};
static const uint64_t OLD_US = UINT64_C(24) * 3600 * 1000000;

/* The head of the kernel's struct tcp_info, whose length only grows; <netinet/tcp.h>
 * ends before the count that is needed. */
struct tcp_counts {
    struct tcp_info head;
    uint64_t pacing_rate, pacing_rate_max, bytes_acked, bytes_received;
};
_Static_assert(offsetof(struct tcp_counts, bytes_received) == 128, "Linux ABI");

static void
unlink_unnamed(witan_door *self, int file)
{
    witan_connection *at = &self->table[file];
    if (at->named || at->cut) {
        return;
    }
    *(at->before >= 0 ? &self->table[at->before].after : &self->unnamed_first) =
        at->after;
    *(at->after >= 0 ? &self->table[at->after].before : &self->unnamed_last) =
        at->before;
}

void
witan_connection_name(witan_door *self, int file, const uint8_t key[WITAN_DOOR_KEY],
                      uint32_t route)
{
    witan_connection *at = &self->table[file];
    unlink_unnamed(self, file);
    at->named = true;
    at->route = route;
    memcpy(at->key, key, sizeof at->key);
}

void
witan_connection_cut(witan_door *self, int file, witan_cut reason)
{
    witan_connection *at = &self->table[file];
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    if (!at->live || at->cut) {
        return;
    }
    if (at->peer_size > 0 && getpeername(file, (struct sockaddr *)&peer, &size) == 0 &&
        size == at->peer_size && memcmp(&peer, &at->peer, size) == 0) {
        (void)shutdown(file, SHUT_RDWR);
    }
    unlink_unnamed(self, file);
    at->cut = true;
    self->open--;
    self->unread_total -= at->unread;
    self->counts.kicked++;
    self->cuts[reason]++;
    if (at->named) {
        memcpy(self->cut_key, at->key, sizeof self->cut_key);
    }
}

/* ---- the monitor ---- */

static void
on_disconnected(witan_door *self, int file)
{
    if (file < 0 || (size_t)file >= self->table_size || !self->table[file].live) {
        return;
    }
    unlink_unnamed(self, file);
    if (!self->table[file].cut) {
        self->open--;
        self->unread_total -= self->table[file].unread;
    }
    self->counts.connections--;
    self->table[file].live = false;
}

static void
on_accepted(witan_door *self, int file)
{
    if (file < 0 || (size_t)file >= self->table_size) {
        (void)shutdown(file, SHUT_RDWR); /* just accepted, and beyond what we follow */
        self->counts.kicked++;
        self->cuts[WITAN_CUT_SURPLUS]++;
        return;
    }
    witan_connection *at = &self->table[file];
    on_disconnected(self, file); /* should its end never have been told */
    memset(at, 0, sizeof *at);
    at->live = true;
    at->accepted_us = zmq_stopwatch_intermediate(self->watch);
    at->peer_size = sizeof at->peer;
    if (getpeername(file, (struct sockaddr *)&at->peer, &at->peer_size) != 0) {
        at->peer_size = 0;
    }
    at->before = self->unnamed_last;
    at->after = WITAN_DOOR_NONE;
    *(at->before >= 0 ? &self->table[at->before].after : &self->unnamed_first) = file;
    self->unnamed_last = file;
    self->open++;
    self->counts.connections++;
    self->table_used =
        (size_t)file >= self->table_used ? (size_t)file + 1 : self->table_used;
    if (self->spare_file < 0) {
        witan_connection_cut(self, file, WITAN_CUT_SURPLUS);
    } else if (self->open > self->connections_max) {
        /* The oldest that never said anything: one that handshakes needs milliseconds,
         * one that only holds a place stays. */
        witan_connection_cut(self, self->unnamed_first, WITAN_CUT_SURPLUS);
    }
}

/* The listener tries again without a pause while descriptors are used up. Giving up one
 * lets it accept, and the connection is cut at once: the crowd outside gets shorter. */
static void
on_accept_failed(witan_door *self, uint32_t error)
{
    if ((error == EMFILE || error == ENFILE) && self->spare_file >= 0) {
        (void)close(self->spare_file);
        self->spare_file = WITAN_DOOR_NONE;
    }
}

static void
drain_monitor(witan_door *self)
{
    int event;
    uint32_t value;
    while (witan_monitor_next(self->monitor, &event, &value)) {
        (void)pthread_mutex_lock(&self->lock);
        switch (event) {
        case ZMQ_EVENT_ACCEPTED:
            self->counts.accepted++;
            on_accepted(self, (int)value);
            break;
        case ZMQ_EVENT_DISCONNECTED:
            on_disconnected(self, (int)value);
            break;
        case ZMQ_EVENT_ACCEPT_FAILED:
            on_accept_failed(self, value);
            break;
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            self->counts.handshakes++;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            self->counts.refused++;
            break;
        default:
            break;
        }
        (void)pthread_mutex_unlock(&self->lock);
    }
}

/* ---- ZAP ---- */

int
witan_door_compare_keys(const void *one, const void *other)
{
    return memcmp(one, other, WITAN_DOOR_KEY);
}

witan_listed *
witan_door_find(const witan_door *self, const uint8_t key[WITAN_DOOR_KEY])
{
    return self->key_count > 0 ? bsearch(key, self->keys, self->key_count,
                                         sizeof *self->keys, witan_door_compare_keys)
                               : NULL;
}

static bool
part_is(zmq_msg_t *part, const char *text)
{
    return zmq_msg_size(part) == strlen(text) &&
           memcmp(zmq_msg_data(part), text, strlen(text)) == 0;
}

/* ZAP's answer: 200 come in, 300 not now, 400 no. The parts: version, request id,
 * domain, address, routing id, mechanism, key. */
static const char *
judge_question(witan_door *self, zmq_msg_t parts[ZAP_PARTS])
{
    const char *code = "400";
    if (!part_is(&parts[0], "1.0") || !part_is(&parts[2], "witan") ||
        !part_is(&parts[5], "CURVE") || zmq_msg_size(&parts[6]) != WITAN_DOOR_KEY) {
        return code;
    }
    (void)pthread_mutex_lock(&self->lock);
    witan_listed *listed = witan_door_find(self, zmq_msg_data(&parts[6]));
    if (listed != NULL) {
        code = listed->visits < WITAN_DOOR_VISITS ? "200" : "300";
        if (!self->waiting && listed->visits < WITAN_DOOR_VISITS) {
            listed->visits++;
            self->visited = true;
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return code;
}

static void
send_part(void *socket, const void *bytes, size_t size, int flags)
{
    while (zmq_send(socket, bytes, size, flags) < 0 && zmq_errno() == EINTR) {
    }
}

/* False when there was no question. */
static bool
answer_zap(witan_door *self)
{
    static const char digits[] = "0123456789abcdef";
    zmq_msg_t parts[ZAP_PARTS];
    char name[HEX_SIZE];
    size_t count = 0;
    const char *code = "400";
    bool more = true, admitted;
    while (more && count < ZAP_PARTS) {
        (void)zmq_msg_init(&parts[count]);
        more = witan_socket_receive(self->zap, &parts[count], ZMQ_DONTWAIT) >= 0;
        more = more ? (count++, zmq_msg_more(&parts[count - 1]) != 0) : false;
    }
    if (count == 0) {
        return false;
    }
    if (more) {
        (void)witan_socket_drain(self->zap);
    }
    drain_monitor(self); /* see the head of this file */
    if (count == ZAP_PARTS && !more) {
        code = judge_question(self, parts);
    }
    admitted = code[0] == '2';
    for (size_t i = 0; admitted && i < WITAN_DOOR_KEY; i++) {
        uint8_t byte = ((const uint8_t *)zmq_msg_data(&parts[6]))[i];
        name[2 * i] = digits[byte >> 4];
        name[2 * i + 1] = digits[byte & 15];
    }
    send_part(self->zap, "1.0", 3, ZMQ_SNDMORE);
    send_part(self->zap, count > 1 ? zmq_msg_data(&parts[1]) : "",
              count > 1 ? zmq_msg_size(&parts[1]) : 0, ZMQ_SNDMORE);
    send_part(self->zap, code, 3, ZMQ_SNDMORE);
    send_part(self->zap, "", 0, ZMQ_SNDMORE);
    send_part(self->zap, name, admitted ? HEX_SIZE : 0, ZMQ_SNDMORE);
    send_part(self->zap, "", 0, 0);
    for (size_t i = 0; i < count; i++) {
        (void)zmq_msg_close(&parts[i]);
    }
    return true;
}

/* ---- the look at the table ---- */

static void
inspect(witan_door *self, int file, uint64_t now_us)
{
    witan_connection *at = &self->table[file];
    struct tcp_counts counts = {0};
    socklen_t size = sizeof counts;
    if (getsockopt(file, IPPROTO_TCP, TCP_INFO, &counts, &size) != 0) {
        on_disconnected(self, file); /* the monitor is about to tell it too */
        return;
    }
    if (size >= (socklen_t)sizeof counts) {
        uint64_t unread = counts.bytes_received > at->read_bytes
                              ? counts.bytes_received - at->read_bytes
                              : 0;
        self->unread_total += unread - at->unread;
        at->unread = unread;
    }
    if (at->unread > self->unread_max) {
        witan_connection_cut(self, file, WITAN_CUT_UNREAD);
    } else if (now_us - at->accepted_us > OLD_US) {
        witan_connection_cut(self, file, WITAN_CUT_OLD);
    }
}

/* One peer may hold many connections, each within its own bound: the largest go until
 * all together are within theirs. */
static void
cut_largest(witan_door *self)
{
    while (self->unread_total > self->unread_total_max) {
        size_t largest = 0;
        uint64_t unread = 0;
        for (size_t i = 0; i < self->table_used; i++) {
            const witan_connection *at = &self->table[i];
            if (at->live && !at->cut && at->unread > unread) {
                largest = i;
                unread = at->unread;
            }
        }
        WITAN_ASSERT(unread > 0);
        witan_connection_cut(self, (int)largest, WITAN_CUT_UNREAD);
    }
}

/* Looks at the next LOOK_STEP connections; returns milliseconds until the next step. */
static int
look(witan_door *self)
{
    uint64_t now_us = zmq_stopwatch_intermediate(self->watch);
    (void)pthread_mutex_lock(&self->lock);
    size_t live = (size_t)self->counts.connections;
    size_t steps = (live < LOOK_MAX ? live : LOOK_MAX) / LOOK_STEP + 1;
    uint64_t wait_us = LOOK_US / steps;
    if (now_us - self->looked_us >= wait_us) {
        size_t left = live < LOOK_STEP ? live : LOOK_STEP;
        self->looked_us = now_us;
        for (size_t i = 0; i < self->table_used && left > 0; i++) {
            self->cursor = self->cursor + 1 < self->table_used ? self->cursor + 1 : 0;
            if (self->table[self->cursor].live) {
                left--;
                if (!self->table[self->cursor].cut) {
                    inspect(self, (int)self->cursor, now_us);
                }
            }
        }
        cut_largest(self);
        while (self->unnamed_first >= 0 &&
               now_us - self->table[self->unnamed_first].accepted_us > SILENT_US) {
            witan_connection_cut(self, self->unnamed_first, WITAN_CUT_SILENT);
        }
        if (self->spare_file < 0) {
            self->spare_file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
    } else {
        wait_us -= now_us - self->looked_us;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return (int)(wait_us / 1000) + 1;
}

/* At most one line a second, whatever peers do. */
static void
tell(witan_door *self)
{
    static const char *const names[WITAN_CUT_COUNT] = {
        "unread", "parts", "route", "silent", "surplus", "old", "kicked", "removed"};
    uint64_t now_us = zmq_stopwatch_intermediate(self->watch);
    char text[256] = "";
    size_t used = 0;
    uint8_t key[4];
    if (now_us - self->told_us < TELL_US) {
        return;
    }
    self->told_us = now_us;
    (void)pthread_mutex_lock(&self->lock);
    memcpy(key, self->cut_key, sizeof key);
    for (size_t i = 0; i < WITAN_CUT_COUNT; i++) {
        uint64_t new = self->cuts[i] - self->told[i];
        self->told[i] = self->cuts[i];
        if (new > 0 && used < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, " %s=%" PRIu64,
                                     names[i], new);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (used > 0) {
        witan_log_write(self->log, WITAN_LOG_WARNING, "door-cut",
                        "last_key=%02x%02x%02x%02x%s", key[0], key[1], key[2], key[3],
                        text);
    }
}

void *
witan_guard_main(void *door)
{
    witan_door *self = door;
    bool running = true;
    while (running) {
        zmq_pollitem_t items[] = {{.socket = self->zap, .events = ZMQ_POLLIN},
                                  {.socket = self->monitor, .events = ZMQ_POLLIN}};
        running = zmq_poll(items, 2, look(self)) >= 0 || zmq_errno() != ETERM;
        drain_monitor(self);
        for (int i = 0; i < ANSWERS_MAX && answer_zap(self); i++) {
        }
        tell(self);
    }
    (void)zmq_close(self->zap);
    (void)zmq_close(self->monitor);
    return NULL;
}
