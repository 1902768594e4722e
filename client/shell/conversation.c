#include "client/shell/conversation.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "secure/join_line.h"
#include "transport/link.h"

enum {
    CONNECT_MS = 15000, /* libzmq tries again by itself within it */
    SHAKE_MS = 10000,
    RETRY_SEND_MS = 5,
};

struct node_talk {
    const witan_allocator *allocator;
    witan_link *link;
    witan_session *session;
    witan_packet_arena *arena;
    witan_public_identity coordinator;
    const witan_identity *identity;
    const uint8_t *psk;
    bool has_token;
    uint8_t token[WITAN_TOKEN_ID_SIZE];
    uint8_t door_public[WITAN_KEY_SIZE];
    uint8_t federation[WITAN_DIGEST_SIZE];
    node_talk_state state;
    node_talk_end end;
    uint64_t since_ms;          /* of the state */
    uint64_t heard_ms, said_ms; /* last frames */
    uint64_t pings;             /* nonce of the next PING */
    witan_welcome welcome;
    uint8_t *plain; /* [WITAN_FRAME_MAX] a packet, packed or opened */
    uint8_t *frame; /* [WITAN_FRAME_MAX] sealed */
    size_t pending; /* bytes of `frame` that could not be sent yet */
};

static void
end(node_talk *self, node_talk_end why)
{
    if (self->state != NODE_TALK_ENDED) {
        self->state = NODE_TALK_ENDED;
        self->end = why;
    }
}

static void
enter(node_talk *self, node_talk_state state, uint64_t now_ms)
{
    self->state = state;
    self->since_ms = self->heard_ms = self->said_ms = now_ms;
}

witan_status
node_talk_new(node_talk **out, const node_talk_config *config, uint64_t now_ms,
              const witan_allocator *allocator, witan_diag *diag)
{
    *out = NULL;
    node_talk *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    self->allocator = allocator;
    self->coordinator = *config->coordinator;
    self->identity = config->identity;
    self->psk = config->psk;
    self->has_token = config->token != NULL;
    if (self->has_token) {
        memcpy(self->token, config->token, sizeof self->token);
    }
    memcpy(self->door_public, config->door_public, sizeof self->door_public);
    witan_federation_id(self->federation, self->coordinator.sign);

    self->plain = witan_alloc(allocator, WITAN_FRAME_MAX, 1);
    self->frame = witan_alloc(allocator, WITAN_FRAME_MAX, 1);
    witan_status status = WITAN_E_MEMORY;
    if (self->plain != NULL && self->frame != NULL) {
        status = witan_packet_arena_new(&self->arena, allocator);
    }
    if (status == WITAN_OK) {
        const witan_link_config link = {
            .endpoint = config->endpoint,
            .server_key = self->coordinator.transport,
            .public_key = config->door_public,
            .secret_key = config->door_secret,
            .message_max = WITAN_FRAME_MAX,
        };
        status = witan_link_open(&self->link, &link, allocator, diag);
    }
    if (status != WITAN_OK) {
        node_talk_free(&self, 0);
        return witan_diag_fail(diag, status, "%s", witan_status_text(status));
    }
    enter(self, NODE_TALK_CONNECTING, now_ms);
    *out = self;
    return WITAN_OK;
}

void
node_talk_free(node_talk **self, int linger_ms)
{
    node_talk *it = *self;
    *self = NULL;
    if (it == NULL) {
        return;
    }
    if (it->pending != 0 && it->state == NODE_TALK_OPEN && linger_ms > 0) {
        (void)witan_link_send(it->link, it->frame, it->pending);
    }
    witan_link_close(&it->link, linger_ms);
    witan_session_free(&it->session);
    witan_packet_arena_free(&it->arena);
    witan_free(it->allocator, it->plain);
    witan_free(it->allocator, it->frame);
    witan_free(it->allocator, it);
}

/* --- sending ---------------------------------------------------------------------- */

static void
flush(node_talk *self, uint64_t now_ms)
{
    witan_status status = witan_link_send(self->link, self->frame, self->pending);
    if (status == WITAN_OK) {
        self->pending = 0;
        self->said_ms = now_ms;
    } else if (status != WITAN_E_BUSY) {
        end(self, NODE_END_LOST);
    }
}

static void
say_hello(node_talk *self, uint64_t now_ms)
{
    witan_hello hello = {
        .version_min = WITAN_PROTOCOL_VERSION,
        .version_max = WITAN_PROTOCOL_VERSION,
        .has_token = self->has_token,
    };
    uint8_t prologue[WITAN_PROLOGUE_SIZE], payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    size_t size = 0;
    (void)snprintf(hello.program, sizeof hello.program, "witan %s", WITAN_VERSION);
    memcpy(hello.token, self->token, sizeof hello.token);
    witan_session_prologue(prologue, self->federation, self->door_public);
    if (witan_hello_pack(payload, sizeof payload, &size, &hello) != WITAN_OK ||
        witan_session_hello(&self->session, self->identity, &self->coordinator,
                            self->psk, prologue, sizeof prologue, payload, size,
                            self->frame, &self->pending) != WITAN_OK) {
        end(self, NODE_END_LOST);
        return;
    }
    enter(self, NODE_TALK_SHAKING, now_ms);
    flush(self, now_ms);
}

bool
node_talk_can_say(const node_talk *self)
{
    return self->state == NODE_TALK_OPEN && self->pending == 0;
}

/* The envelope's round: 0 for none, else round + 1. */
static uint64_t
round_of(const witan_packet *packet)
{
    switch (packet->kind) {
    case WITAN_PACKET_KNOWLEDGE:
        return (uint64_t)packet->is.offer.round + 1;
    case WITAN_PACKET_DONE:
        return (uint64_t)packet->is.done.round + 1;
    case WITAN_PACKET_CHUNK:
        return (uint64_t)packet->is.chunk.round + 1;
    default:
        return 0;
    }
}

void
node_talk_say(node_talk *self, uint64_t now_ms, const witan_packet *packet)
{
    size_t size = 0;
    WITAN_ASSERT(node_talk_can_say(self));
    if (witan_packet_pack(self->plain, WITAN_FRAME_MAX - WITAN_ENVELOPE_OVERHEAD, &size,
                          packet) != WITAN_OK ||
        witan_session_seal(self->session, now_ms, round_of(packet), self->plain, size,
                           self->frame) != WITAN_OK) {
        end(self, NODE_END_LOST);
        return;
    }
    self->pending = size + WITAN_ENVELOPE_OVERHEAD;
    flush(self, now_ms);
}

/* --- receiving -------------------------------------------------------------------- */

static void
take_welcome(node_talk *self, uint64_t now_ms, const uint8_t *frame, size_t size)
{
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    size_t payload_size = 0;
    if (self->state != NODE_TALK_SHAKING) {
        return;
    }
    if (witan_session_read_welcome(self->session, frame, size, payload,
                                   &payload_size) != WITAN_OK ||
        witan_welcome_unpack(&self->welcome, payload, payload_size) != WITAN_OK) {
        end(self, NODE_END_FORGED);
    } else if (self->welcome.version != WITAN_PROTOCOL_VERSION) {
        end(self, NODE_END_VERSION);
    } else {
        enter(self, NODE_TALK_OPEN, now_ms);
    }
}

static void
take_alert(node_talk *self, const uint8_t *frame, size_t size)
{
    witan_alert alert;
    if (witan_alert_read(&alert, frame, size) == WITAN_OK) {
        end(self, alert == WITAN_ALERT_VERSION ? NODE_END_VERSION : NODE_END_ALERTED);
    }
}

/* False: nothing for the caller. */
static bool
take_data(node_talk *self, uint64_t now_ms, const uint8_t *frame, size_t size,
          witan_packet *out)
{
    size_t plain = 0;
    if (self->state != NODE_TALK_OPEN) {
        return false;
    }
    if (witan_session_open(self->session, frame, size, self->plain, &plain) !=
        WITAN_OK) {
        end(self, NODE_END_FORGED);
        return false;
    }
    self->heard_ms = now_ms;
    witan_status status =
        witan_packet_unpack(out, self->arena, self->plain, plain, NULL);
    if (status == WITAN_E_UNSUPPORTED) {
        witan_packet answer = {.kind = WITAN_PACKET_REFUSED};
        answer.is.refused.reason = WITAN_REASON_PROTOCOL;
        node_talk_say(self, now_ms, &answer);
        return false;
    }
    if (status != WITAN_OK) {
        end(self, NODE_END_FORGED);
        return false;
    }
    if (out->kind == WITAN_PACKET_PING) {
        out->kind = WITAN_PACKET_PONG;
        node_talk_say(self, now_ms, out);
        return false;
    }
    return out->kind != WITAN_PACKET_PONG;
}

bool
node_talk_receive(node_talk *self, uint64_t now_ms, witan_packet *out)
{
    const uint8_t *frame;
    size_t size;
    while (self->state != NODE_TALK_ENDED && self->pending == 0 &&
           witan_link_receive(self->link, &frame, &size)) {
        witan_envelope envelope;
        if (size > WITAN_FRAME_MAX) {
            continue;
        }
        if (size == WITAN_ALERT_FRAME) { /* shorter than any sealed frame */
            take_alert(self, frame, size);
            continue;
        }
        if (witan_envelope_read(&envelope, frame, size) != WITAN_OK) {
            end(self, NODE_END_FORGED);
        } else if (envelope.type == WITAN_ENVELOPE_WELCOME) {
            take_welcome(self, now_ms, frame, size);
        } else if (envelope.type == WITAN_ENVELOPE_DATA &&
                   take_data(self, now_ms, frame, size, out)) {
            return true;
        }
    }
    return false;
}

/* --- time ------------------------------------------------------------------------- */

static void
follow_link(node_talk *self, uint64_t now_ms)
{
    switch (witan_link_state_of(self->link)) {
    case WITAN_LINK_CONNECTING:
        if (now_ms - self->since_ms > CONNECT_MS) {
            end(self, NODE_END_UNREACHABLE);
        }
        break;
    case WITAN_LINK_OPEN:
        if (self->state == NODE_TALK_CONNECTING) {
            say_hello(self, now_ms);
        }
        break;
    case WITAN_LINK_REFUSED:
        /* Once in, it is the connection that broke: a damaged frame looks so too. */
        end(self,
            self->state == NODE_TALK_CONNECTING ? NODE_END_REFUSED : NODE_END_LOST);
        break;
    case WITAN_LINK_LOST:
        end(self, NODE_END_LOST);
        break;
    }
}

void
node_talk_step(node_talk *self, uint64_t now_ms)
{
    follow_link(self, now_ms);
    if (self->state == NODE_TALK_ENDED) {
        return;
    }
    if (self->pending != 0) {
        flush(self, now_ms);
    }
    if (self->state == NODE_TALK_SHAKING && now_ms - self->since_ms > SHAKE_MS) {
        end(self, NODE_END_UNSAID);
    }
    if (self->state != NODE_TALK_OPEN) {
        return;
    }
    if (now_ms - self->heard_ms > 3 * (uint64_t)self->welcome.heartbeat_ms) {
        end(self, NODE_END_SILENT);
    } else if (now_ms - self->said_ms >= self->welcome.heartbeat_ms &&
               self->pending == 0) {
        witan_packet ping = {.kind = WITAN_PACKET_PING};
        ping.is.ping.nonce = ++self->pings;
        node_talk_say(self, now_ms, &ping);
    }
}

void
node_talk_wait(node_talk *self, int file, int timeout_ms)
{
    if (self->pending != 0) { /* readable or not: nothing is read meanwhile */
        struct pollfd poll_file = {.fd = file, .events = POLLIN};
        (void)poll(&poll_file, 1, RETRY_SEND_MS);
        return;
    }
    if (self->state == NODE_TALK_OPEN &&
        timeout_ms > (int)(self->welcome.heartbeat_ms / 2)) {
        timeout_ms = (int)(self->welcome.heartbeat_ms / 2);
    }
    (void)witan_link_wait(self->link, &file, file < 0 ? 0 : 1, timeout_ms);
}

node_talk_state
node_talk_state_of(const node_talk *self)
{
    return self->state;
}

node_talk_end
node_talk_end_of(const node_talk *self)
{
    return self->end;
}

const witan_welcome *
node_talk_welcome(const node_talk *self)
{
    return &self->welcome;
}

const uint8_t *
node_talk_hash(const node_talk *self)
{
    return witan_session_hash(self->session);
}

const uint8_t *
node_talk_federation(const node_talk *self)
{
    return self->federation;
}
