/* sessions.c - connections, their handshakes and sealed frames, in and out.
 * A connection is known by its route and owned by its CURVE key; nothing that it says
 * is believed before its session opened it. Memory of a connection is bounded: a queue
 * of small packets, a few requests for chunks, which are sealed when they can be sent.
 */
#include <string.h>

#include "coordinator/shell/server_private.h"

enum {
    ALERT_MS = 1000,       /* between alerts to one connection */
    ENROLMENT_MS = 60000,  /* an enrolment may take */
    HELLO_REFILL_MS = 1000 /* one more HELLO is allowed */
};

/* --- connections ------------------------------------------------------------------ */

static server_connection **
bucket_of(witan_server *self, const uint8_t *route, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ route[i]) * UINT64_C(0x100000001b3);
    }
    return &self->buckets[hash & (self->buckets_count - 1)];
}

static server_connection *
find_connection(witan_server *self, const witan_door_frame *frame)
{
    server_connection *at = *bucket_of(self, frame->route, frame->route_size);
    while (at != NULL && (at->doomed || at->route_size != frame->route_size ||
                          memcmp(at->route, frame->route, at->route_size) != 0)) {
        at = at->chain;
    }
    if (at != NULL && memcmp(at->key, frame->key, WITAN_KEY_SIZE) != 0) {
        server_sessions_doom(self, at, false); /* the number was given to another one */
        at = NULL;
    }
    return at;
}

static void
free_connection(witan_server *self, size_t index)
{
    server_connection *at = self->connections[index];
    server_connection **link = bucket_of(self, at->route, at->route_size);
    while (*link != at) {
        link = &(*link)->chain;
    }
    *link = at->chain;
    self->connections[index] = self->connections[--self->connections_count];
    witan_free(self->allocator, at);
}

static void
free_doomed(witan_server *self)
{
    for (size_t i = self->connections_count; self->doomed > 0 && i-- > 0;) {
        if (self->connections[i]->doomed) {
            self->doomed--;
            free_connection(self, i);
        }
    }
}

/* When the table is full, whoever has no peer's session makes room: of the same key
 * first, so that one client cannot keep out the others, then the oldest. */
static void
make_room(witan_server *self, const uint8_t key[WITAN_KEY_SIZE])
{
    server_connection *worst = NULL;
    bool worst_same = false;
    for (size_t i = 0; i < self->connections_count; i++) {
        server_connection *at = self->connections[i];
        bool same = memcmp(at->key, key, WITAN_KEY_SIZE) == 0;
        if (at->doomed || (at->proven && at->seat != SERVER_NOBODY)) {
            continue;
        }
        if (worst == NULL || same > worst_same ||
            (same == worst_same && at->since_ms < worst->since_ms)) {
            worst = at;
            worst_same = same;
        }
    }
    if (worst != NULL) {
        server_sessions_doom(self, worst, false);
    }
    free_doomed(self);
}

static server_connection *
new_connection(witan_server *self, const witan_door_frame *frame)
{
    if (self->connections_count == self->connections_max) {
        make_room(self, frame->key);
    }
    if (self->connections_count == self->connections_max) {
        return NULL;
    }
    server_connection *at = witan_zalloc(self->allocator, 1, sizeof *at);
    if (at == NULL) {
        return NULL;
    }
    memcpy(at->key, frame->key, WITAN_KEY_SIZE);
    memcpy(at->route, frame->route, frame->route_size);
    at->route_size = frame->route_size;
    at->seat = SERVER_NOBODY;
    at->queue_end = &at->queue;
    at->since_ms = at->heard_ms = server_now(self);
    server_connection **bucket = bucket_of(self, at->route, at->route_size);
    at->chain = *bucket;
    *bucket = at;
    self->connections[self->connections_count++] = at;
    return at;
}

static void
drop_session(witan_server *self, server_connection *at)
{
    if (at->session != NULL && !at->proven) {
        self->unproven--;
    }
    witan_session_free(&at->session);
    at->proven = at->attached = at->ready = at->rotation_asked = false;
    at->plan_queued = false;
    at->gets_count = 0;
    at->discard = 0;
    while (at->queue != NULL) {
        server_packet *packet = at->queue;
        at->queue = packet->next;
        witan_free(self->allocator, packet);
    }
    at->queue_end = &at->queue;
    at->queued = 0;
    if (at->seat != SERVER_NOBODY && self->seat[at->seat].connection == at) {
        server_seat *seat = &self->seat[at->seat];
        seat->connection = NULL;
        seat->left_ms = server_now(self);
        server_uploads_forget(self, at->seat);
        if (seat->told_present) {
            seat->told_present = seat->present = false;
            seat->absent = seat->note = self->pending = true;
        }
    }
    at->seat = SERVER_NOBODY;
}

void
server_sessions_doom(witan_server *self, server_connection *at, bool cut)
{
    if (at->doomed) {
        return;
    }
    drop_session(self, at);
    at->doomed = true;
    self->doomed++;
    if (cut) {
        witan_door_kick(self->door, at->key);
    }
}

/* Another connection of this key has an open session: cutting would end that one. */
static bool
key_is_in_use(const witan_server *self, const server_connection *at)
{
    uint32_t seat = server_peers_seat_of(self, at->key);
    return seat != SERVER_NOBODY && self->seat[seat].connection != NULL &&
           self->seat[seat].connection != at;
}

static void
look_after(witan_server *self, server_connection *at, uint64_t now)
{
    uint64_t silence = (uint64_t)3 * self->options.heartbeat_ms;
    if (!at->proven) {
        if (now - at->since_ms > SERVER_NO_SESSION_MS) {
            server_sessions_doom(self, at, !key_is_in_use(self, at));
        }
    } else if (now - at->heard_ms > silence ||
               (at->seat == SERVER_NOBODY && now - at->since_ms > ENROLMENT_MS)) {
        if (at->seat != SERVER_NOBODY) {
            server_note(self, WITAN_LOG_INFO, "silent", "peer=%s",
                        self->seat[at->seat].peer.name);
        }
        server_sessions_doom(self, at, true);
    }
}

void
server_sessions_sweep(witan_server *self)
{
    uint64_t now = server_now(self);
    if (now - self->swept_ms >= SERVER_SWEEP_MS) {
        self->swept_ms = now;
        for (size_t i = 0; i < self->connections_count; i++) {
            look_after(self, self->connections[i], now);
        }
        server_peers_note(self);
    }
    free_doomed(self);
}

void
server_sessions_free(witan_server *self)
{
    for (size_t i = 0; i < self->connections_count; i++) {
        drop_session(self, self->connections[i]);
        witan_free(self->allocator, self->connections[i]);
    }
    self->connections_count = 0;
}

/* --- out -------------------------------------------------------------------------- */

static witan_status
transmit(witan_server *self, server_connection *at, uint64_t round, const void *bytes,
         size_t size)
{
    size_t frame_size = size + WITAN_ENVELOPE_OVERHEAD;
    WITAN_TRY(witan_session_seal(at->session, server_now(self), round, bytes, size,
                                 self->sealed));
    WITAN_TRY(witan_door_send(self->door, at->route, at->route_size, self->sealed,
                              frame_size));
    if (at->seat != SERVER_NOBODY) {
        self->seat[at->seat].bytes_down += frame_size;
    }
    return WITAN_OK;
}

/* Envelope's round of a packet: 0 is none. */
static uint64_t
envelope_round(const witan_packet *packet)
{
    switch (packet->kind) {
    case WITAN_PACKET_OPEN:
        return (uint64_t)packet->is.open.round + 1;
    case WITAN_PACKET_ACCEPTED:
        return (uint64_t)packet->is.accepted.round + 1;
    case WITAN_PACKET_FUSED:
        return (uint64_t)packet->is.offer.round + 1;
    case WITAN_PACKET_GET:
        return (uint64_t)packet->is.get.round + 1;
    case WITAN_PACKET_CHUNK:
        return packet->is.chunk.what == WITAN_BLOB_TRANSFER
                   ? 0
                   : (uint64_t)packet->is.chunk.round + 1;
    default:
        return 0;
    }
}

static bool
enqueue(witan_server *self, server_connection *at, uint64_t round, size_t size)
{
    server_packet *waiting =
        at->queued < SERVER_QUEUE_MAX
            ? witan_alloc(self->allocator, 1, sizeof *waiting + size)
            : NULL;
    if (waiting == NULL) {
        return false;
    }
    *waiting = (server_packet){.round = round, .size = size};
    memcpy(waiting->bytes, self->packed, size);
    *at->queue_end = waiting;
    at->queue_end = &waiting->next;
    at->queued++;
    return true;
}

void
server_send(witan_server *self, server_connection *at, const witan_packet *packet)
{
    size_t size = 0;
    if (at == NULL || at->doomed || at->session == NULL ||
        (packet->kind == WITAN_PACKET_PLAN && at->plan_queued)) {
        return;
    }
    witan_status status = witan_packet_pack(
        self->packed, WITAN_FRAME_MAX - WITAN_ENVELOPE_OVERHEAD, &size, packet);
    uint64_t round = envelope_round(packet);
    if (status == WITAN_OK) {
        status = at->queue == NULL ? transmit(self, at, round, self->packed, size)
                                   : WITAN_E_BUSY;
    }
    if (status == WITAN_E_BUSY && enqueue(self, at, round, size)) {
        at->plan_queued = at->plan_queued || packet->kind == WITAN_PACKET_PLAN;
        self->output_waits = true;
        status = WITAN_OK;
    }
    if (status != WITAN_OK) { /* gone, or it does not read: it may come again */
        witan_log_write(self->options.log, WITAN_LOG_DEBUG, "send-failed",
                        "packet=%d reason=\"%s\"", (int)packet->kind,
                        witan_status_text(status));
        server_sessions_doom(self, at, status != WITAN_E_UNREACHABLE);
    }
}

/* The bytes that a request is about; NULL when they are not there (any more). */
static const uint8_t *
blob_of(const witan_server *self, const server_connection *at, const server_get *get,
        uint64_t *total)
{
    *total = 0;
    if (get->what == WITAN_BLOB_TRANSFER) {
        *total = self->package_size;
        return self->package;
    }
    const server_seat *seat = &self->seat[at->seat];
    if (get->what != WITAN_BLOB_FUSED || !seat->has_fused ||
        seat->fused_offer.round != get->round) {
        return NULL;
    }
    *total = seat->fused_offer.total;
    return seat->fused.parameters != NULL ? (const uint8_t *)seat->fused.parameters
                                          : seat->fused.labels.bytes;
}

bool
server_sessions_get(witan_server *self, server_connection *at, const server_get *get)
{
    uint64_t total;
    if (at->gets_count == SERVER_GETS_MAX) {
        return false;
    }
    if (blob_of(self, at, get, &total) == NULL || get->offset >= total) {
        server_refuse(self, at, get->round, WITAN_REASON_UNASKED, 0,
                      "there is nothing to fetch at this place");
        return true;
    }
    at->gets[(at->gets_first + at->gets_count++) % SERVER_GETS_MAX] = *get;
    self->output_waits = true;
    return true;
}

static witan_status
send_chunk(witan_server *self, server_connection *at, const server_get *get)
{
    witan_packet packet = {.kind = WITAN_PACKET_CHUNK};
    uint64_t total;
    size_t size = 0;
    const uint8_t *bytes = blob_of(self, at, get, &total);
    if (bytes == NULL) {
        return WITAN_OK; /* the round has gone on, and the client hears of it */
    }
    packet.is.chunk.what = get->what;
    packet.is.chunk.round = get->round;
    packet.is.chunk.offset = get->offset;
    packet.is.chunk.data = bytes + get->offset;
    packet.is.chunk.size =
        get->size < total - get->offset ? get->size : (size_t)(total - get->offset);
    WITAN_TRY(witan_packet_pack(self->packed, WITAN_FRAME_MAX - WITAN_ENVELOPE_OVERHEAD,
                                &size, &packet));
    return transmit(self, at, envelope_round(&packet), self->packed, size);
}

static void
pump_connection(witan_server *self, server_connection *at)
{
    witan_status status = WITAN_OK;
    while (status == WITAN_OK && at->queue != NULL) {
        server_packet *packet = at->queue;
        status = transmit(self, at, packet->round, packet->bytes, packet->size);
        if (status == WITAN_OK) {
            at->queue = packet->next;
            at->queued--;
            at->queue_end = at->queue == NULL ? &at->queue : at->queue_end;
            at->plan_queued = at->plan_queued && at->queue != NULL;
            witan_free(self->allocator, packet);
        }
    }
    while (status == WITAN_OK && at->gets_count > 0) {
        status = send_chunk(self, at, &at->gets[at->gets_first]);
        if (status == WITAN_OK) {
            at->gets_first = (at->gets_first + 1) % SERVER_GETS_MAX;
            at->gets_count--;
        }
    }
    if (status == WITAN_E_BUSY) {
        self->output_waits = true;
    } else if (status != WITAN_OK) {
        server_sessions_doom(self, at, status != WITAN_E_UNREACHABLE);
    }
}

void
server_sessions_pump(witan_server *self)
{
    if (!self->output_waits) {
        return;
    }
    self->output_waits = false;
    for (size_t i = 0; i < self->connections_count; i++) {
        server_connection *at = self->connections[i];
        if (!at->doomed && at->session != NULL) {
            pump_connection(self, at);
        }
    }
}

/* --- handshakes ------------------------------------------------------------------- */

static void
alert(witan_server *self, server_connection *at, witan_alert code)
{
    uint8_t frame[WITAN_ALERT_FRAME];
    uint64_t now = server_now(self);
    if (at->alert_ms != 0 && now - at->alert_ms < ALERT_MS) {
        return;
    }
    at->alert_ms = now;
    witan_alert_write(frame, code);
    (void)witan_door_send(self->door, at->route, at->route_size, frame, sizeof frame);
}

static bool
take_token(server_bucket *bucket, uint64_t now)
{
    uint64_t more = (now - bucket->filled_ms) / HELLO_REFILL_MS;
    if (bucket->filled_ms == 0 || more >= SERVER_HELLOS_MAX) {
        bucket->tokens = SERVER_HELLOS_MAX;
        bucket->filled_ms = now;
    } else {
        bucket->filled_ms += more * HELLO_REFILL_MS;
        bucket->tokens += (uint32_t)more;
        if (bucket->tokens > SERVER_HELLOS_MAX) {
            bucket->tokens = SERVER_HELLOS_MAX;
        }
    }
    bucket->tokens -= bucket->tokens > 0;
    return bucket->tokens > 0;
}

/* What a handshake needs of whoever holds the connection's key. */
typedef struct opener {
    uint32_t seat; /* or SERVER_NOBODY: enrols by the invitation */
    const uint8_t *psk, *sign_key;
    const witan_invitation *invitation; /* NULL for peers */
    server_bucket *bucket;
} opener;

static bool
find_opener(witan_server *self, const server_connection *at, opener *out)
{
    static const uint8_t unknown[WITAN_KEY_SIZE];
    *out = (opener){.seat = server_peers_seat_of(self, at->key)};
    if (out->seat != SERVER_NOBODY) {
        server_seat *seat = &self->seat[out->seat];
        out->psk = seat->peer.psk;
        out->sign_key = seat->peer.sign_key;
        out->bucket = &seat->hellos;
        return true;
    }
    server_invitation *invitation = server_peers_invitation(self, at->key);
    if (invitation == NULL) {
        return false;
    }
    out->invitation = &invitation->it;
    out->psk = invitation->it.psk;
    out->sign_key = unknown;
    out->bucket = &invitation->hellos;
    return true;
}

/* Whether the proven static key and the token are those of the connection's owner. */
static bool
hello_fits(const server_connection *at, const opener *who, const witan_hello *hello)
{
    if (who->invitation == NULL) {
        return memcmp(at->noise_key, at->key, WITAN_KEY_SIZE) == 0;
    }
    return hello->has_token &&
           memcmp(hello->token, who->invitation->token, sizeof hello->token) == 0;
}

static bool
read_hello(witan_server *self, server_connection *at, const witan_door_frame *frame,
           witan_hello *hello)
{
    uint8_t prologue[WITAN_PROLOGUE_SIZE], payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    size_t payload_size = 0;
    witan_session_prologue(prologue, self->federation, at->key);
    return witan_session_read_hello(&at->session, self->identity, prologue,
                                    sizeof prologue, frame->bytes, frame->size, payload,
                                    &payload_size, at->noise_key) == WITAN_OK &&
           witan_hello_unpack(hello, payload, payload_size) == WITAN_OK;
}

static bool
answer_hello(witan_server *self, server_connection *at, const opener *who,
             const witan_hello *hello)
{
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    size_t payload_size = 0, frame_size = 0;
    bool spoken = hello->version_min <= WITAN_PROTOCOL_VERSION &&
                  hello->version_max >= WITAN_PROTOCOL_VERSION;
    const witan_welcome welcome = {
        .version = spoken ? WITAN_PROTOCOL_VERSION : 0,
        .program = "witan " WITAN_VERSION,
        .wall_ms = server_wall(self) * 1000,
        .heartbeat_ms = self->options.heartbeat_ms,
        .window = SERVER_WINDOW,
    };
    if (witan_welcome_pack(payload, sizeof payload, &payload_size, &welcome) !=
            WITAN_OK ||
        witan_session_welcome(at->session, who->psk, who->sign_key, payload,
                              payload_size, self->sealed, &frame_size) != WITAN_OK ||
        witan_door_send(self->door, at->route, at->route_size, self->sealed,
                        frame_size) != WITAN_OK) {
        return false;
    }
    if (!spoken) {
        server_complain(self, at, SERVER_BAD_HANDSHAKE,
                        "protocol versions %u to %u are not spoken here",
                        (unsigned)hello->version_min, (unsigned)hello->version_max);
    }
    return spoken;
}

static void
take_hello(witan_server *self, server_connection *at, const witan_door_frame *frame)
{
    opener who;
    witan_hello hello;
    drop_session(self, at); /* a connection has one session: the newest */
    if (!find_opener(self, at, &who)) {
        alert(self, at, WITAN_ALERT_HANDSHAKE); /* revoked a moment ago */
        return;
    }
    if (self->unproven >= SERVER_HANDSHAKES_MAX ||
        !take_token(who.bucket, server_now(self))) {
        server_complain(self, at, SERVER_TOO_FAST, "too many handshakes");
        alert(self, at, WITAN_ALERT_BUSY);
        return;
    }
    bool ok = read_hello(self, at, frame, &hello) && hello_fits(at, &who, &hello);
    if (!ok) {
        server_complain(self, at, SERVER_BAD_HANDSHAKE, "handshake refused");
        alert(self, at, WITAN_ALERT_HANDSHAKE);
    }
    if (!ok || !answer_hello(self, at, &who, &hello)) {
        witan_session_free(&at->session);
        return;
    }
    self->unproven++;
    at->seat = who.seat;
    at->since_ms = at->heard_ms = server_now(self);
    if (who.invitation != NULL) {
        memcpy(at->token, who.invitation->token, sizeof at->token);
    }
    memcpy(at->program, hello.program, sizeof at->program);
}

/* --- in --------------------------------------------------------------------------- */

/* The first announced key that a session is opened with replaces the old one. */
static void
adopt_key(witan_server *self, server_seat *seat, const server_connection *at)
{
    witan_diag diag = {0};
    if (memcmp(at->key, seat->peer.new_transport_key, WITAN_KEY_SIZE) != 0) {
        return;
    }
    witan_status status = witan_ledger_peer_rotate(self->ledger, seat->peer.sign_key,
                                                   at->key, true, &diag);
    if (status == WITAN_OK) {
        server_note(self, WITAN_LOG_INFO, "rotated", "peer=%s", seat->peer.name);
        status = server_peers_load(self, &diag);
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag); /* the next session tries again */
    }
}

/* The client has proven that it knows the pre-shared key: the session is its. */
static void
prove(witan_server *self, server_connection *at)
{
    at->proven = true;
    self->unproven--;
    if (at->seat != SERVER_NOBODY) {
        server_seat *seat = &self->seat[at->seat];
        if (seat->connection != NULL && seat->connection != at) {
            server_sessions_doom(self, seat->connection, false);
        }
        seat->connection = at;
        adopt_key(self, seat, at);
    }
}

/* A seat may have been given to another peer since the handshake. */
static bool
still_owner(const witan_server *self, const server_connection *at)
{
    return at->seat == SERVER_NOBODY || server_peers_seat_of(self, at->key) == at->seat;
}

static void
take_data(witan_server *self, server_connection *at, const witan_door_frame *frame)
{
    witan_packet packet;
    size_t size = 0;
    if (at->session == NULL) {
        alert(self, at, WITAN_ALERT_NO_SESSION);
        return;
    }
    if (!still_owner(self, at) ||
        witan_session_open(at->session, frame->bytes, frame->size, self->opened,
                           &size) != WITAN_OK) {
        server_complain(self, at, SERVER_BAD_FRAME, "frame refused; session ended");
        server_sessions_doom(self, at, true);
        return;
    }
    at->heard_ms = server_now(self);
    if (!at->proven) {
        prove(self, at);
        if (at->doomed) { /* it was revoked meanwhile */
            return;
        }
    }
    if (at->seat != SERVER_NOBODY) {
        self->seat[at->seat].bytes_up += frame->size;
    }
    witan_status status =
        witan_packet_unpack(&packet, self->arena, self->opened, size, NULL);
    if (status != WITAN_OK) {
        server_complain(self, at, SERVER_BAD_PACKET, "packet refused: %s",
                        witan_status_text(status));
        server_refuse(self, at, 0, WITAN_REASON_PROTOCOL, 0,
                      "this packet is not understood here");
        return;
    }
    server_conversation(self, at, &packet);
}

void
server_sessions_frame(witan_server *self, const witan_door_frame *frame)
{
    witan_envelope envelope;
    server_connection *at = find_connection(self, frame);
    if (at == NULL) {
        at = new_connection(self, frame);
    }
    if (at == NULL) {
        witan_door_kick(self->door, frame->key);
        return;
    }
    witan_status status = witan_envelope_read(&envelope, frame->bytes, frame->size);
    if (status == WITAN_E_UNSUPPORTED) {
        alert(self, at, WITAN_ALERT_VERSION);
    } else if (status == WITAN_OK && envelope.type == WITAN_ENVELOPE_HELLO) {
        take_hello(self, at, frame);
    } else if (status == WITAN_OK && envelope.type == WITAN_ENVELOPE_DATA) {
        take_data(self, at, frame);
    } else {
        server_complain(self, at, SERVER_BAD_FRAME, "no frame of this protocol");
        server_sessions_doom(self, at, true);
    }
}
