/* test_server_robot.h - a coordinator on a thread, and clients that say what a test
 * tells them to, over real sockets on 127.0.0.1. */
#ifndef WITAN_TEST_SERVER_ROBOT_H
#define WITAN_TEST_SERVER_ROBOT_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "coordinator/shell/invite.h"
#include "coordinator/shell/server.h"
#include "knowledge/soft_labels.h"
#include "secure/session.h"
#include "support/witan_test.h"
#include "transport/link.h"
#include "wire/packet.h"

enum {
    ROBOT_HEAR_MS = 5000,
    HOST_CLASSES = 10,
};

/* --- the coordinator -------------------------------------------------------------- */

typedef struct host {
    char directory[512];
    witan_config config;
    witan_server_options options;
    witan_server *server;
    pthread_t thread;
    bool running;
    witan_status status; /* of run */
    witan_diag diag;
    witan_public_identity identity;
    char endpoint[256];
    size_t rows; /* of the transfer set */
    pthread_mutex_t lock;
    char said[1 << 16]; /* lines, with the lock held */
} host;

/* Seconds that the coordinator's calendar is ahead. */
extern _Atomic uint64_t host_calendar_s;
uint64_t host_now_ms(void);
uint64_t host_wall_s(void *context);

/* Two clients, two rounds, knfu, 80,000 bytes of soft labels each; a test may change
 * config and options before host_start. `name` is a fresh directory. */
void host_init(host *self, const char *name);
void host_set(host *self, const char *assignment);
/* New server on the directory, and its thread. */
bool host_start(host *self);
/* Asks it to stop, 1 or 2 times, as a signal does. */
void host_ask(host *self, int stops);
/* Asks, waits, frees it. */
witan_status host_stop(host *self, int stops);
/* Waits until it ends by itself. */
witan_status host_wait(host *self);
void host_fini(host *self);
bool host_has_said(host *self, const char *text);
bool host_waits_to_say(host *self, const char *text);

/* A join line, by another process's way: a ledger of its own. */
witan_status host_invite(host *self, const witan_invite_options *options,
                         witan_join_line *out, witan_diag *diag);
witan_join_line host_invite_name(host *self, const char *name);
/* Exchange digests of all rounds, as text; round by round. */
void host_exchanges(host *self, char *out, size_t room);
bool host_has_event(host *self, const char *id);
witan_ledger *host_ledger(host *self);

/* --- clients ---------------------------------------------------------------------- */

typedef struct robot {
    const char *name;
    witan_identity *identity;
    witan_join_line line;
    uint8_t psk[WITAN_KEY_SIZE];
    uint32_t seat;
    witan_link *link;
    witan_session *session;
    witan_welcome welcome;
    witan_packet_arena *arena;
    uint8_t *plain, *frame, *last; /* [WITAN_FRAME_MAX] */
    size_t last_size;              /* the last sealed frame */
    witan_packet heard;
    bool alerted;
    witan_alert alert;
    uint8_t transfer[WITAN_DIGEST_SIZE];
    size_t chunks; /* sent */
} robot;

void robot_init(robot *self, const char *name);
void robot_fini(robot *self);
/* Connects with the CURVE pair of the invitation or its own one. */
witan_link_state robot_connect(robot *self, bool enrolling);
void robot_disconnect(robot *self);
/* HELLO and WELCOME; false: an alert, or nothing. */
bool robot_shake(robot *self, bool enrolling);
void robot_say(robot *self, const witan_packet *packet);
/* The frame that was said last, once more. */
void robot_repeat(robot *self);
void robot_send_raw(robot *self, const void *bytes, size_t size);
/* The next packet of one kind into self->heard; others are skipped, PINGs too. */
bool robot_hear(robot *self, witan_packet_kind kind, int timeout_ms);
/* Whether the coordinator has ended the session: cut, alert, or no answer to PING. */
bool robot_is_cut(robot *self);

/* Enrols with the line; the answer is in self->heard (ENROLLED or REFUSED). */
bool robot_enrol(robot *self, const witan_join_line *line);
/* Connects, shakes hands, attaches; PLAN or REFUSED is in self->heard. */
bool robot_attach(robot *self);
void robot_ready(robot *self);
/* All of it: enrol (when it has no seat), attach, READY. */
bool robot_join(robot *self, host *where);

/* Soft labels of (seat, round), [rows, 10] float32 on the simplex; free() them. */
uint8_t *robot_labels(const robot *self, uint32_t round, size_t rows, size_t *size);
/* A signed KNOWLEDGE packet for these bytes. */
void robot_offer(const robot *self, uint32_t round, size_t rows, const uint8_t *bytes,
                 size_t size, witan_packet *out);
/* Serves `count` GETs (SIZE_MAX: until something else comes); false: cut off. */
bool robot_serve(robot *self, uint32_t round, const uint8_t *bytes, size_t size,
                 size_t count);
/* Offers, serves, and hears ACCEPTED or REFUSED. */
bool robot_upload(robot *self, uint32_t round, size_t rows);
/* Hears FUSED, fetches it, checks its digest. */
bool robot_fetch_fused(robot *self, uint32_t round);
void robot_done(robot *self, uint32_t round);

#endif
