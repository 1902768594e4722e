/* server.c - life of the coordinator daemon and its loop. */
#include "coordinator/shell/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "coordinator/shell/server_private.h"

enum {
    COMPLAINT_MS = 10000,
    TROUBLE_MS = 60000,
    BUSY_MS = 10 /* between attempts at a full queue */
};

/* --- telling ---------------------------------------------------------------------- */

uint64_t
server_now(const witan_server *self)
{
    return witan_clock_now_ns(self->options.clock) / 1000000;
}

uint64_t
server_wall(const witan_server *self)
{
    return self->options.wall_s == NULL ? 0
                                        : self->options.wall_s(self->options.context);
}

void
server_say(witan_server *self, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    if (self->options.say == NULL) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    self->options.say(self->options.context, text);
}

static void
note(witan_server *self, witan_log_level level, const char *id, const char *text)
{
    witan_log_write(self->options.log, level, id, "%s", text);
    witan_ledger_event(self->ledger, server_wall(self), id, text);
}

void
server_note(witan_server *self, witan_log_level level, const char *id,
            const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    note(self, level, id, text);
}

void
server_complain(witan_server *self, const server_connection *at,
                server_complaint complaint, const char *format, ...)
{
    static const char *const ids[SERVER_COMPLAINTS] = {
        [SERVER_BAD_HANDSHAKE] = "handshake-refused",
        [SERVER_BAD_FRAME] = "frame-refused",
        [SERVER_BAD_PACKET] = "packet-refused",
        [SERVER_BAD_UPLOAD] = "upload-refused",
        [SERVER_BAD_CHUNK] = "chunk-refused",
        [SERVER_BAD_TOKEN] = "token-reused",
        [SERVER_BAD_ROTATION] = "rotation-refused",
        [SERVER_TOO_FAST] = "too-fast",
    };
    char text[160], full[256];
    va_list arguments;
    uint32_t seat = at == NULL ? SERVER_NOBODY : server_peers_seat_of(self, at->key);
    server_invitation *invitation =
        at == NULL ? NULL : server_peers_invitation(self, at->key);
    uint64_t *when = seat != SERVER_NOBODY ? self->seat[seat].complained_ms
                     : invitation != NULL  ? invitation->complained_ms
                                           : self->stray_ms;
    const char *name = seat != SERVER_NOBODY ? self->seat[seat].peer.name
                       : invitation != NULL  ? invitation->it.name
                                             : "-";
    uint64_t now = server_now(self);
    if (when[complaint] != 0 && now - when[complaint] < COMPLAINT_MS) {
        return;
    }
    when[complaint] = now;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(full, sizeof full, "peer=%s %s", name, text);
    note(self, WITAN_LOG_WARNING, ids[complaint], full);
}

/* --- the ledger's moods ----------------------------------------------------------- */

bool
server_survives(witan_server *self, witan_status status, const witan_diag *diag)
{
    uint64_t now = server_now(self);
    if (status != WITAN_E_IO && status != WITAN_E_BUSY && status != WITAN_E_MEMORY) {
        if (self->failed == WITAN_OK) {
            self->failed = witan_diag_fail(
                self->diag, status, "%s",
                diag->message[0] != '\0' ? diag->message : witan_status_text(status));
        }
        return false;
    }
    if (self->trouble_ms == 0 || now - self->trouble_ms >= TROUBLE_MS) {
        self->trouble_ms = now;
        const char *what =
            diag->message[0] != '\0' ? diag->message : witan_status_text(status);
        witan_log_write(self->options.log, WITAN_LOG_ERROR, "state-not-written", "%s",
                        what);
        server_say(self, "cannot write the state: %s; nothing is lost, trying again",
                   what);
    }
    return true;
}

bool
server_begin(witan_server *self, bool *again)
{
    witan_diag diag = {0};
    uint64_t version = 0;
    *again = false;
    witan_status status = witan_ledger_begin(self->ledger, &diag);
    if (status == WITAN_OK) {
        status = witan_ledger_version(self->ledger, &version, &diag);
        if (status == WITAN_OK && version == self->ledger_version) {
            return true;
        }
        witan_ledger_rollback(self->ledger);
        *again = status == WITAN_OK;
    }
    if (status == WITAN_OK) {
        status = server_peers_load(self, &diag);
        *again = status == WITAN_OK;
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
    }
    return false;
}

bool
server_commit(witan_server *self, witan_status status, witan_diag *diag)
{
    if (status == WITAN_OK) {
        status = witan_ledger_commit(self->ledger, diag);
    } else {
        witan_ledger_rollback(self->ledger);
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, diag);
    }
    return status == WITAN_OK;
}

/* --- life ------------------------------------------------------------------------- */

static witan_status
open_door(witan_server *self, witan_diag *diag)
{
    const witan_door_config config = {
        .endpoint = self->options.listen,
        .public_key = witan_identity_public(self->identity)->transport,
        .secret_key = witan_identity_transport_secret(self->identity),
        .message_max = WITAN_FRAME_MAX,
        .connections_max = self->options.connections_max,
        .unread_max = SERVER_UNREAD_MAX,
        .log = self->options.log,
    };
    WITAN_TRY(witan_door_open(&self->door, &config, self->allocator, diag));
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s",
                   witan_door_endpoint(self->door));
    return WITAN_OK;
}

/* Room for everybody to come again before the old connection is noticed to be gone, as
 * far as file descriptors go. One for everybody is the least: when not even that many
 * files are allowed, the door refuses and says so. */
static size_t
connections_for(size_t clients)
{
    const size_t most = 2 * clients + 64, least = clients + 64, others = 512;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max == RLIM_INFINITY ||
        files.rlim_max >= most + others) {
        return most;
    }
    size_t room = files.rlim_max > others ? (size_t)files.rlim_max - others : 0;
    return room > least ? room : least;
}

static witan_status
take_memory(witan_server *self, witan_diag *diag)
{
    const witan_allocator *a = self->allocator;
    size_t n = self->seats = self->config.clients;
    if (self->options.connections_max == 0) {
        self->options.connections_max = connections_for(n);
    }
    /* Those that broke are noticed after a while; meanwhile they have come again. */
    self->connections_max = 2 * self->options.connections_max;
    self->buckets_count = 64;
    while (self->buckets_count < self->connections_max) {
        self->buckets_count *= 2;
    }
    self->seat = witan_zalloc(a, n, sizeof *self->seat);
    self->asked = witan_zalloc(a, n, sizeof *self->asked);
    self->knowledge_digest = witan_zalloc(a, n, WITAN_DIGEST_SIZE);
    self->fused_digest = witan_zalloc(a, n, WITAN_DIGEST_SIZE);
    self->connections =
        witan_zalloc(a, self->connections_max, sizeof *self->connections);
    self->buckets = witan_zalloc(a, self->buckets_count, sizeof *self->buckets);
    self->opened = witan_zalloc(a, WITAN_FRAME_MAX, 1);
    self->packed = witan_zalloc(a, WITAN_FRAME_MAX, 1);
    self->sealed = witan_zalloc(a, WITAN_FRAME_MAX, 1);
    if (self->seat == NULL || self->asked == NULL || self->knowledge_digest == NULL ||
        self->fused_digest == NULL || self->connections == NULL ||
        self->buckets == NULL || self->opened == NULL || self->packed == NULL ||
        self->sealed == NULL || witan_packet_arena_new(&self->arena, a) != WITAN_OK) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for %zu clients",
                               n);
    }
    self->core_config.clients = n;
    witan_status status = witan_coordinator_new(&self->core, &self->core_config, a);
    return status == WITAN_OK
               ? status
               : witan_diag_fail(diag, status, "cannot set up rounds: %s",
                                 witan_status_text(status));
}

static witan_status
start(witan_server *self, witan_diag *diag)
{
    WITAN_TRY(witan_secure_start(diag));
    WITAN_TRY(server_fuser_init(&self->fusion, diag));
    WITAN_TRY(server_state_open(self, diag));
    WITAN_TRY(take_memory(self, diag));
    WITAN_TRY(witan_ledger_nobody_connected(self->ledger, diag));
    WITAN_TRY(server_peers_load(self, diag));
    WITAN_TRY(server_restore(self, diag));
    WITAN_TRY(open_door(self, diag));
    WITAN_TRY(server_state_advertise(self, diag));
    server_peers_admit(self);
    return WITAN_OK;
}

witan_status
witan_server_new(witan_server **out, const witan_server_options *options,
                 const witan_allocator *allocator, witan_diag *diag)
{
    *out = NULL;
    WITAN_ASSERT(options->directory != NULL && options->listen != NULL &&
                 options->clock != NULL);
    witan_server *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    self->allocator = allocator;
    self->options = *options;
    if (self->options.heartbeat_ms == 0) {
        self->options.heartbeat_ms = SERVER_HEARTBEAT_MS;
    }
    if (self->options.drain_ms == 0) {
        self->options.drain_ms = SERVER_DRAIN_MS;
    }
    self->hungry_first = self->hungry_last = SERVER_NOBODY;
    self->fusion.wake[0] = self->fusion.wake[1] = -1;
    self->diag = diag;
    witan_status status = start(self, diag);
    self->options.config = NULL; /* our own copy counts */
    self->diag = NULL;
    if (status != WITAN_OK) {
        witan_server_free(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_server_free(witan_server **out)
{
    witan_server *self = *out;
    if (self == NULL) {
        return;
    }
    *out = NULL;
    const witan_allocator *a = self->allocator;
    server_fuser_fini(&self->fusion);
    server_sessions_free(self);
    witan_door_close(&self->door, 0);
    for (size_t i = 0; self->seat != NULL && i < self->seats; i++) {
        witan_message_fini(&self->seat[i].fused, a);
        witan_wipe(&self->seat[i].peer, sizeof self->seat[i].peer);
    }
    if (self->invitations != NULL) {
        witan_wipe(self->invitations,
                   self->invitations_count * sizeof *self->invitations);
    }
    witan_coordinator_free(&self->core);
    witan_packet_arena_free(&self->arena);
    witan_text_fini(&self->plan);
    witan_config_fini(&self->config, a);
    void *blocks[] = {self->package,      self->seat,    self->invitations,
                      self->connections,  self->buckets, self->asked,
                      self->replay,       self->timers,  self->knowledge_digest,
                      self->fused_digest, self->opened,  self->packed,
                      self->sealed};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        witan_free(a, blocks[i]);
    }
    witan_ledger_close(&self->ledger);
    witan_identity_free(&self->identity);
    witan_directory_unlock(&self->lock);
    witan_free(a, self);
}

const char *
witan_server_endpoint(const witan_server *self)
{
    return self->endpoint;
}

const char *
witan_server_advertised(const witan_server *self)
{
    return self->advertised;
}

const witan_public_identity *
witan_server_identity(const witan_server *self)
{
    return witan_identity_public(self->identity);
}

/* Fixed part and package; connections; chunks coming in, chunks going out; seats;
 * knowledge fresh, fused and late; fusion: N^2 weights with two of their kind,
 * estimated label distributions, rows of everybody as floats. */
uint64_t
witan_server_memory_bound(const witan_server *self)
{
    const uint64_t mib = 1 << 20;
    const witan_coordinator_config *core = &self->core_config;
    uint64_t n = self->seats, u = self->upload_bytes;
    uint64_t fixed = 64 * mib + self->package_size;
    uint64_t connections = (uint64_t)self->options.connections_max * 128 * 1024;
    uint64_t blob = u > self->package_size ? u : self->package_size;
    uint64_t window = (uint64_t)SERVER_WINDOW * WITAN_CHUNK_BYTES;
    uint64_t chunks = (uint64_t)SERVER_CHUNKS_MAX * WITAN_CHUNK_BYTES +
                      n * (blob < window ? blob : window);
    uint64_t seats = n * 2048;
    /* Fresh, fused and, when it is kept, late knowledge. */
    uint64_t knowledge = n * u * (core->keep_late ? 3 : 2);
    uint64_t scratch = 3 * n * n * sizeof(double);
    if (core->strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE) {
        uint64_t row = n * core->classes * 3 * sizeof(float);
        scratch += n * core->classes * sizeof(double) + (row > 8 * mib ? row : 8 * mib);
        if (core->fusion.epd == WITAN_EPD_SHIFT) {
            uint64_t rows =
                core->rows < WITAN_EPD_SHIFT_ROWS ? core->rows : WITAN_EPD_SHIFT_ROWS;
            scratch += rows * core->classes * sizeof(float);
        }
    } else {
        scratch += u;
    }
    return fixed + connections + chunks + seats + knowledge + scratch;
}

/* --- running ---------------------------------------------------------------------- */

void
server_say_bye(witan_server *self, server_connection *at)
{
    witan_packet packet = {.kind = WITAN_PACKET_BYE};
    packet.is.bye.finished = self->finished;
    packet.is.bye.retry_after_ms = self->finished ? 0 : SERVER_NO_SPACE_MS;
    (void)snprintf(packet.is.bye.text, sizeof packet.is.bye.text, "%s",
                   self->finished ? "the experiment is finished"
                                  : "the coordinator stops for now");
    server_send(self, at, &packet);
}

static void
say_goodbye(witan_server *self)
{
    for (size_t i = 0; i < self->connections_count; i++) {
        server_say_bye(self, self->connections[i]);
    }
}

/* Whether it is time to stop, as the person asked. */
static bool
must_stop(witan_server *self)
{
    sig_atomic_t stops = self->options.stops == NULL ? 0 : *self->options.stops;
    uint64_t now = server_now(self);
    if (stops <= 0) {
        return false;
    }
    if (!self->draining) {
        self->draining = true;
        self->drain_until_ms = now + self->options.drain_ms;
        if (self->phase != SERVER_BETWEEN && stops == 1) {
            server_say(self,
                       "stopping after round %u, within %.0f s; once more stops at "
                       "once",
                       (unsigned)self->row.round + 1,
                       (double)self->options.drain_ms * 1e-3);
        }
    }
    bool between =
        self->phase == SERVER_BETWEEN && self->waiting == SERVER_WAITS_FOR_NOTHING;
    return stops > 1 || between || now >= self->drain_until_ms;
}

static int
wait_ms(const witan_server *self)
{
    uint64_t wait = server_rounds_wait(self, server_now(self), SERVER_POLL_MS);
    if (self->output_waits && wait > BUSY_MS) {
        wait = BUSY_MS;
    }
    return (int)wait;
}

static void
turn(witan_server *self)
{
    witan_door_frame frame;
    (void)witan_door_wait(self->door, self->fusion.wake, 1, wait_ms(self));
    for (size_t i = 0; i < SERVER_FRAMES_MAX; i++) {
        if (!witan_door_receive(self->door, &frame)) {
            break;
        }
        server_sessions_frame(self, &frame);
    }
    server_peers_poll(self);
    server_rounds_drive(self);
    server_uploads_pump(self);
    server_sessions_pump(self);
    server_sessions_sweep(self);
    server_peers_admit(self);
    server_progress(self);
}

static bool
everybody_heard(const witan_server *self)
{
    for (size_t i = 0; i < self->seats; i++) {
        const server_seat *seat = &self->seat[i];
        if (seat->held && seat->peer.state == WITAN_PEER_APPROVED && !seat->heard_end) {
            return false;
        }
    }
    return true;
}

/* Members that are away for a moment learn that the experiment is over when they come
 * back within it; the others when a coordinator is started on this state again. */
static void
farewell(witan_server *self)
{
    uint64_t until = server_now(self) + SERVER_FAREWELL_MS;
    while (!everybody_heard(self) && server_now(self) < until &&
           (self->options.stops == NULL || *self->options.stops == 0)) {
        turn(self);
    }
}

witan_status
witan_server_run(witan_server *self, witan_diag *diag)
{
    self->diag = diag;
    self->failed = WITAN_OK;
    if (strcmp(self->advertised, witan_server_endpoint(self)) != 0) {
        server_say(self, "join lines name %s", self->advertised);
    }
    server_peers_poll(self); /* who was invited since this server was made */
    server_peers_admit(self);
    bool stopped = false;
    while (!self->finished && !stopped && self->failed == WITAN_OK) {
        turn(self);
        stopped = must_stop(self);
    }
    if (self->finished) {
        server_say(self, "finished: %zu rounds", self->core_config.rounds);
    }
    say_goodbye(self);
    if (self->finished) {
        farewell(self);
    }
    server_peers_note(self);
    witan_status noted = witan_ledger_nobody_connected(self->ledger, NULL);
    (void)noted; /* it is noted at the next start, too */
    witan_door_close(&self->door, SERVER_LINGER_MS);
    self->diag = NULL;
    return self->failed != WITAN_OK ? self->failed
           : self->finished         ? WITAN_OK
                                    : WITAN_E_INTERRUPTED;
}
