#include "test_server_robot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Atomic uint64_t host_calendar_s;

static uint64_t
now_ns(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
host_now_ms(void)
{
    return now_ns(NULL) / 1000000;
}

uint64_t
host_wall_s(void *context)
{
    (void)context;
    return (uint64_t)time(NULL) + atomic_load(&host_calendar_s);
}

/* --- the coordinator -------------------------------------------------------------- */

/* Set by signal handlers on the coordinator's own thread; one runs at a time. */
static volatile sig_atomic_t stops_asked;

static void
on_signal(int number)
{
    stops_asked = number == SIGUSR1 ? 1 : 2;
}

static const witan_clock steady = {now_ns, NULL};

static void
say(void *context, const char *line)
{
    host *self = context;
    (void)pthread_mutex_lock(&self->lock);
    size_t length = strlen(self->said);
    (void)snprintf(self->said + length, sizeof self->said - length, "%s\n", line);
    (void)pthread_mutex_unlock(&self->lock);
    if (getenv("WITAN_TEST_SAY") != NULL) {
        (void)printf("    | %s\n", line);
        (void)fflush(stdout);
    }
}

static void
log_line(void *context, witan_log_level level, const char *id, const char *text)
{
    (void)context;
    (void)level;
    if (getenv("WITAN_TEST_SAY") != NULL) {
        (void)printf("    # %s %s\n", id, text);
        (void)fflush(stdout);
    }
}
static const witan_log logger = {log_line, NULL, WITAN_LOG_DEBUG};

void
host_set(host *self, const char *assignment)
{
    witan_diag diag = {0};
    if (!CHECK_STATUS(witan_config_set(&self->config, assignment,
                                       witan_allocator_default(), &diag),
                      WITAN_OK)) {
        (void)printf("%s\n", diag.message);
    }
}

void
host_init(host *self, const char *name)
{
    static const char *const settings[] = {"clients=2",
                                           "rounds=2",
                                           "models=linear",
                                           "transfer.samples=2000",
                                           "extract.codec=f32",
                                           "round.minimum_clients=2",
                                           "data.partition.key=iid"};
    memset(self, 0, sizeof *self);
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)snprintf(self->directory, sizeof self->directory, "%s/%s",
                   witan_test_directory(), name);
    CHECK_STATUS(witan_config_init(&self->config, witan_allocator_default()), WITAN_OK);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        host_set(self, settings[i]);
    }
    self->rows = 2000;
    self->options = (witan_server_options){
        .directory = self->directory,
        .listen = "tcp://127.0.0.1:*",
        .config = &self->config,
        .heartbeat_ms = 1000,
        .stops = &stops_asked,
        .say = say,
        .context = self,
        .clock = &steady,
        .wall_s = host_wall_s,
        .log = &logger,
    };
}

static void *
serve(void *context)
{
    host *self = context;
    self->status = witan_server_run(self->server, &self->diag);
    return NULL;
}

bool
host_start(host *self)
{
    stops_asked = 0;
    (void)signal(SIGUSR1, on_signal);
    (void)signal(SIGUSR2, on_signal);
    memset(&self->diag, 0, sizeof self->diag);
    if (!CHECK_STATUS(witan_server_new(&self->server, &self->options,
                                       witan_allocator_default(), &self->diag),
                      WITAN_OK)) {
        (void)printf("%s\n", self->diag.message);
        return false;
    }
    self->identity = *witan_server_identity(self->server);
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s",
                   witan_server_endpoint(self->server));
    self->running = pthread_create(&self->thread, NULL, serve, self) == 0;
    return CHECK(self->running);
}

witan_status
host_wait(host *self)
{
    if (self->running) {
        (void)pthread_join(self->thread, NULL);
        self->running = false;
    }
    witan_server_free(&self->server);
    return self->status;
}

void
host_ask(host *self, int stops)
{
    if (self->running) {
        (void)pthread_kill(self->thread, stops == 1 ? SIGUSR1 : SIGUSR2);
    }
}

witan_status
host_stop(host *self, int stops)
{
    host_ask(self, stops);
    return host_wait(self);
}

void
host_fini(host *self)
{
    if (self->running) {
        (void)host_stop(self, 2);
    }
    witan_config_fini(&self->config, witan_allocator_default());
    (void)pthread_mutex_destroy(&self->lock);
}

bool
host_has_said(host *self, const char *text)
{
    (void)pthread_mutex_lock(&self->lock);
    bool has = strstr(self->said, text) != NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return has;
}

static void
pause_ms(long ms)
{
    const struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&wait, NULL);
}

bool
host_waits_to_say(host *self, const char *text)
{
    for (int i = 0; i < 300; i++) {
        if (host_has_said(self, text)) {
            return true;
        }
        pause_ms(10);
    }
    return false;
}

witan_ledger *
host_ledger(host *self)
{
    witan_ledger *ledger = NULL;
    witan_diag diag = {0};
    if (!CHECK_STATUS(witan_ledger_open(&ledger, self->directory, false,
                                        witan_allocator_default(), &diag),
                      WITAN_OK)) {
        (void)printf("%s\n", diag.message);
    }
    return ledger;
}

witan_status
host_invite(host *self, const witan_invite_options *options, witan_join_line *out,
            witan_diag *diag)
{
    char line[WITAN_JOIN_LINE_MAX];
    witan_ledger *ledger = host_ledger(self);
    witan_status status = witan_invite(ledger, options, line, diag);
    witan_ledger_close(&ledger);
    if (status == WITAN_OK) {
        status = witan_join_line_parse(out, line, strlen(line), diag);
    }
    return status;
}

witan_join_line
host_invite_name(host *self, const char *name)
{
    witan_join_line line = {0};
    witan_diag diag = {0};
    const witan_invite_options options = {.name = name,
                                          .ttl_s = 3600,
                                          .seat = WITAN_SEAT_ANY,
                                          .now_s = host_wall_s(NULL)};
    if (!CHECK_STATUS(host_invite(self, &options, &line, &diag), WITAN_OK)) {
        (void)printf("%s\n", diag.message);
    }
    return line;
}

void
host_exchanges(host *self, char *out, size_t room)
{
    witan_round_row *rows = NULL;
    size_t count = 0;
    witan_ledger *ledger = host_ledger(self);
    CHECK_STATUS(witan_ledger_rounds(ledger, &rows, &count, NULL), WITAN_OK);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char hex[WITAN_DIGEST_HEX_SIZE];
        size_t length = strlen(out);
        witan_digest_hex(hex, rows[i].exchange);
        (void)snprintf(out + length, room - length, "%u:%d:%u:%s\n", rows[i].round,
                       (int)rows[i].phase, rows[i].answered, hex);
    }
    witan_free(witan_allocator_default(), rows);
    witan_ledger_close(&ledger);
}

bool
host_has_event(host *self, const char *id)
{
    witan_event_row *rows = NULL;
    size_t count = 0;
    bool has = false;
    witan_ledger *ledger = host_ledger(self);
    CHECK_STATUS(witan_ledger_events(ledger, 1000, &rows, &count, NULL), WITAN_OK);
    for (size_t i = 0; i < count; i++) {
        has = has || strcmp(rows[i].id, id) == 0;
    }
    witan_free(witan_allocator_default(), rows);
    witan_ledger_close(&ledger);
    return has;
}

/* --- clients: connections --------------------------------------------------------- */

void
robot_init(robot *self, const char *name)
{
    memset(self, 0, sizeof *self);
    self->name = name;
    self->seat = UINT32_MAX;
    self->plain = malloc(WITAN_FRAME_MAX);
    self->frame = malloc(WITAN_FRAME_MAX);
    self->last = malloc(WITAN_FRAME_MAX);
    CHECK_STATUS(witan_identity_new(&self->identity), WITAN_OK);
    CHECK_STATUS(witan_packet_arena_new(&self->arena, witan_allocator_default()),
                 WITAN_OK);
}

void
robot_disconnect(robot *self)
{
    witan_session_free(&self->session);
    witan_link_close(&self->link, 0);
}

void
robot_fini(robot *self)
{
    robot_disconnect(self);
    witan_packet_arena_free(&self->arena);
    witan_identity_free(&self->identity);
    free(self->plain);
    free(self->frame);
    free(self->last);
}

witan_link_state
robot_connect(robot *self, bool enrolling)
{
    uint8_t door_public[WITAN_KEY_SIZE], door_secret[WITAN_KEY_SIZE];
    witan_diag diag = {0};
    robot_disconnect(self);
    witan_join_door_key(door_public, door_secret, self->line.secret);
    const witan_link_config config = {
        .endpoint = self->line.endpoint,
        .server_key = self->line.coordinator.transport,
        .public_key =
            enrolling ? door_public : witan_identity_public(self->identity)->transport,
        .secret_key =
            enrolling ? door_secret : witan_identity_transport_secret(self->identity),
        .message_max = WITAN_FRAME_MAX,
    };
    /* An invitation or an approval reaches the door within a moment. */
    uint64_t until = host_now_ms() + 1000;
    witan_link_state state = WITAN_LINK_REFUSED;
    while (state != WITAN_LINK_OPEN && host_now_ms() < until) {
        robot_disconnect(self);
        CHECK_STATUS(
            witan_link_open(&self->link, &config, witan_allocator_default(), &diag),
            WITAN_OK);
        do {
            (void)witan_link_wait(self->link, NULL, 0, 50);
            state = witan_link_state_of(self->link);
        } while (state == WITAN_LINK_CONNECTING && host_now_ms() < until);
    }
    return state;
}

/* The next frame within the time; alerts are noted. */
static bool
next_frame(robot *self, const uint8_t **bytes, size_t *size, uint64_t until)
{
    while (self->link != NULL) {
        if (witan_link_receive(self->link, bytes, size)) {
            if (witan_alert_read(&self->alert, *bytes, *size) == WITAN_OK) {
                self->alerted = true;
                return false;
            }
            return true;
        }
        witan_link_state state = witan_link_state_of(self->link);
        if (host_now_ms() >= until || state == WITAN_LINK_LOST ||
            state == WITAN_LINK_REFUSED) {
            return false;
        }
        (void)witan_link_wait(self->link, NULL, 0, 20);
    }
    return false;
}

bool
robot_shake(robot *self, bool enrolling)
{
    uint8_t federation[WITAN_DIGEST_SIZE], prologue[WITAN_PROLOGUE_SIZE];
    uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX], door[WITAN_KEY_SIZE];
    uint8_t door_secret[WITAN_KEY_SIZE], psk[WITAN_KEY_SIZE];
    const uint8_t *bytes;
    size_t size = 0, frame_size = 0;
    witan_hello hello = {.version_min = 1, .version_max = 1, .has_token = enrolling};
    (void)snprintf(hello.program, sizeof hello.program, "robot");
    memcpy(hello.token, self->line.token, sizeof hello.token);
    witan_join_door_key(door, door_secret, self->line.secret);
    witan_join_psk(psk, self->line.secret);
    witan_federation_id(federation, self->line.coordinator.sign);
    witan_session_prologue(
        prologue, federation,
        enrolling ? door : witan_identity_public(self->identity)->transport);
    self->alerted = false;
    witan_session_free(&self->session);
    CHECK_STATUS(witan_hello_pack(payload, sizeof payload, &size, &hello), WITAN_OK);
    CHECK_STATUS(
        witan_session_hello(&self->session, self->identity, &self->line.coordinator,
                            enrolling ? psk : self->psk, prologue, sizeof prologue,
                            payload, size, self->frame, &frame_size),
        WITAN_OK);
    robot_send_raw(self, self->frame, frame_size);
    if (!next_frame(self, &bytes, &frame_size, host_now_ms() + ROBOT_HEAR_MS)) {
        return false;
    }
    return witan_session_read_welcome(self->session, bytes, frame_size, payload,
                                      &size) == WITAN_OK &&
           witan_welcome_unpack(&self->welcome, payload, size) == WITAN_OK &&
           self->welcome.version == 1;
}

void
robot_send_raw(robot *self, const void *bytes, size_t size)
{
    uint64_t until = host_now_ms() + 2000;
    while (self->link != NULL &&
           witan_link_send(self->link, bytes, size) == WITAN_E_BUSY &&
           host_now_ms() < until) {
        (void)witan_link_wait(self->link, NULL, 0, 10);
    }
}

void
robot_say(robot *self, const witan_packet *packet)
{
    size_t size = 0;
    CHECK_STATUS(witan_packet_pack(self->plain, WITAN_FRAME_MAX, &size, packet),
                 WITAN_OK);
    if (self->session == NULL ||
        witan_session_seal(self->session, host_now_ms(), 0, self->plain, size,
                           self->last) != WITAN_OK) {
        return;
    }
    self->last_size = size + WITAN_ENVELOPE_OVERHEAD;
    robot_send_raw(self, self->last, self->last_size);
}

void
robot_repeat(robot *self)
{
    robot_send_raw(self, self->last, self->last_size);
}

/* Any packet. */
static bool
hear_any(robot *self, uint64_t until)
{
    const uint8_t *bytes;
    size_t size = 0, frame_size = 0;
    return self->session != NULL && next_frame(self, &bytes, &frame_size, until) &&
           witan_session_open(self->session, bytes, frame_size, self->plain, &size) ==
               WITAN_OK &&
           witan_packet_unpack(&self->heard, self->arena, self->plain, size, NULL) ==
               WITAN_OK;
}

bool
robot_hear(robot *self, witan_packet_kind kind, int timeout_ms)
{
    uint64_t until = host_now_ms() + (uint64_t)timeout_ms;
    while (hear_any(self, until)) {
        if (self->heard.kind == kind) {
            return true;
        }
    }
    return false;
}

bool
robot_is_cut(robot *self)
{
    const witan_packet ping = {.kind = WITAN_PACKET_PING};
    robot_say(self, &ping);
    return !robot_hear(self, WITAN_PACKET_PONG, 700);
}

/* --- clients: what they say ------------------------------------------------------- */

static bool
hear_one_of(robot *self, witan_packet_kind kind)
{
    uint64_t until = host_now_ms() + ROBOT_HEAR_MS;
    while (hear_any(self, until)) {
        if (self->heard.kind == kind || self->heard.kind == WITAN_PACKET_REFUSED ||
            self->heard.kind == WITAN_PACKET_BYE) {
            return self->heard.kind == kind;
        }
    }
    memset(&self->heard, 0, sizeof self->heard);
    return false;
}

bool
robot_enrol(robot *self, const witan_join_line *line)
{
    const witan_public_identity *mine = witan_identity_public(self->identity);
    uint8_t statement[2 * WITAN_KEY_SIZE], join_psk[WITAN_KEY_SIZE];
    witan_packet packet = {.kind = WITAN_PACKET_ENROLL};
    self->line = *line;
    memset(&self->heard, 0, sizeof self->heard);
    if (robot_connect(self, true) != WITAN_LINK_OPEN || !robot_shake(self, true)) {
        return false;
    }
    memcpy(packet.is.enroll.sign_key, mine->sign, WITAN_KEY_SIZE);
    memcpy(packet.is.enroll.transport_key, mine->transport, WITAN_KEY_SIZE);
    memcpy(statement, witan_session_hash(self->session), WITAN_KEY_SIZE);
    memcpy(statement + WITAN_KEY_SIZE, mine->transport, WITAN_KEY_SIZE);
    witan_identity_sign(self->identity, "WITAN-enroll-v1", statement, sizeof statement,
                        packet.is.enroll.proof);
    robot_say(self, &packet);
    if (!hear_one_of(self, WITAN_PACKET_ENROLLED)) {
        return false;
    }
    self->seat = self->heard.is.enrolled.client;
    witan_join_psk(join_psk, line->secret);
    witan_peer_psk(self->psk, join_psk, mine->sign);
    robot_disconnect(self);
    return true;
}

bool
robot_attach(robot *self)
{
    witan_packet packet = {.kind = WITAN_PACKET_ATTACH};
    (void)snprintf(packet.is.attach.program, sizeof packet.is.attach.program, "robot");
    memset(&self->heard, 0, sizeof self->heard);
    if (robot_connect(self, false) != WITAN_LINK_OPEN || !robot_shake(self, false)) {
        return false;
    }
    robot_say(self, &packet);
    if (!hear_one_of(self, WITAN_PACKET_PLAN)) {
        return false;
    }
    memcpy(self->transfer, self->heard.is.plan.transfer_digest, WITAN_DIGEST_SIZE);
    return true;
}

void
robot_ready(robot *self)
{
    static const uint8_t none[WITAN_DIGEST_SIZE];
    witan_packet packet = {.kind = WITAN_PACKET_READY};
    packet.is.ready.has_transfer = memcmp(self->transfer, none, sizeof none) != 0;
    memcpy(packet.is.ready.transfer_digest, self->transfer, WITAN_DIGEST_SIZE);
    packet.is.ready.samples = 100;
    (void)snprintf(packet.is.ready.model, sizeof packet.is.ready.model, "linear");
    robot_say(self, &packet);
}

bool
robot_join(robot *self, host *where)
{
    if (self->seat == UINT32_MAX) {
        witan_join_line line = host_invite_name(where, self->name);
        if (!CHECK(robot_enrol(self, &line))) {
            return false;
        }
    }
    (void)snprintf(self->line.endpoint, sizeof self->line.endpoint, "%s",
                   where->endpoint);
    if (!CHECK(robot_attach(self))) {
        return false;
    }
    robot_ready(self);
    return true;
}

uint8_t *
robot_labels(const robot *self, uint32_t round, size_t rows, size_t *size)
{
    *size = rows * HOST_CLASSES * sizeof(float);
    float *values = malloc(*size);
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < HOST_CLASSES; c++) {
            bool top = (i + round + 3 * self->seat) % HOST_CLASSES == c;
            values[i * HOST_CLASSES + c] = top ? 0.82f : 0.02f;
        }
    }
    return (uint8_t *)values;
}

void
robot_offer(const robot *self, uint32_t round, size_t rows, const uint8_t *bytes,
            size_t size, witan_packet *out)
{
    uint8_t statement[WITAN_UPLOAD_STATEMENT], federation[WITAN_DIGEST_SIZE];
    witan_digest digest;
    memset(out, 0, sizeof *out);
    out->kind = WITAN_PACKET_KNOWLEDGE;
    out->is.offer = (witan_packet_offer){
        .round = round,
        .kind = WITAN_KNOWLEDGE_PROBABILITY,
        .codec = WITAN_CODEC_F32,
        .rows = rows,
        .classes = HOST_CLASSES,
        .total = size,
        .samples = 100,
    };
    witan_digest_init(&digest);
    witan_digest_update(&digest, bytes, size);
    witan_digest_final(&digest, out->is.offer.digest);
    witan_federation_id(federation, self->line.coordinator.sign);
    witan_upload_statement(statement, federation, self->seat, self->transfer,
                           &out->is.offer);
    witan_identity_sign(self->identity, "WITAN-upload-v1", statement, sizeof statement,
                        out->is.offer.signature);
}

bool
robot_serve(robot *self, uint32_t round, const uint8_t *bytes, size_t size,
            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t until = host_now_ms() + ROBOT_HEAR_MS;
        do {
            if (!hear_any(self, until)) {
                return false;
            }
            if (count == SIZE_MAX && (self->heard.kind == WITAN_PACKET_ACCEPTED ||
                                      self->heard.kind == WITAN_PACKET_REFUSED)) {
                return true;
            }
        } while (self->heard.kind != WITAN_PACKET_GET);
        uint64_t offset = self->heard.is.get.offset;
        CHECK(self->heard.is.get.what == WITAN_BLOB_KNOWLEDGE &&
              self->heard.is.get.round == round &&
              offset + self->heard.is.get.size <= size);
        witan_packet chunk = {.kind = WITAN_PACKET_CHUNK};
        chunk.is.chunk.what = WITAN_BLOB_KNOWLEDGE;
        chunk.is.chunk.round = round;
        chunk.is.chunk.offset = offset;
        chunk.is.chunk.data = bytes + offset;
        chunk.is.chunk.size = self->heard.is.get.size;
        robot_say(self, &chunk);
        self->chunks++;
    }
    return true;
}

bool
robot_upload(robot *self, uint32_t round, size_t rows)
{
    size_t size;
    witan_packet offer;
    uint8_t *labels = robot_labels(self, round, rows, &size);
    robot_offer(self, round, rows, labels, size, &offer);
    robot_say(self, &offer);
    bool served = robot_serve(self, round, labels, size, SIZE_MAX);
    free(labels);
    return served && self->heard.kind == WITAN_PACKET_ACCEPTED &&
           self->heard.is.accepted.round == round;
}

bool
robot_fetch_fused(robot *self, uint32_t round)
{
    witan_digest digest;
    uint8_t found[WITAN_DIGEST_SIZE];
    if (!robot_hear(self, WITAN_PACKET_FUSED, ROBOT_HEAR_MS) ||
        self->heard.is.offer.round != round) {
        return false;
    }
    const witan_packet_offer offer = self->heard.is.offer;
    witan_digest_init(&digest);
    for (uint64_t at = 0; at < offer.total;) {
        witan_packet get = {.kind = WITAN_PACKET_GET};
        get.is.get.what = WITAN_BLOB_FUSED;
        get.is.get.round = round;
        get.is.get.offset = at;
        get.is.get.size = offer.total - at < WITAN_CHUNK_BYTES
                              ? (uint32_t)(offer.total - at)
                              : (uint32_t)WITAN_CHUNK_BYTES;
        robot_say(self, &get);
        if (!robot_hear(self, WITAN_PACKET_CHUNK, ROBOT_HEAR_MS) ||
            self->heard.is.chunk.offset != at) {
            return false;
        }
        witan_digest_update(&digest, self->heard.is.chunk.data,
                            self->heard.is.chunk.size);
        at += self->heard.is.chunk.size;
    }
    witan_digest_final(&digest, found);
    return memcmp(found, offer.digest, WITAN_DIGEST_SIZE) == 0;
}

void
robot_done(robot *self, uint32_t round)
{
    witan_packet packet = {.kind = WITAN_PACKET_DONE};
    const witan_packet_metric metric = {0.5, 1.0, 0.1};
    packet.is.done.round = round;
    packet.is.done.train_loss = 1.5;
    packet.is.done.distill_loss = 0.5;
    packet.is.done.own_before = packet.is.done.own_after = metric;
    packet.is.done.global_before = packet.is.done.global_after = metric;
    robot_say(self, &packet);
}
