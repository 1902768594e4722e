/* bench_connections.c - a coordinator under the load of many clients, as JSON.
 *   bench_connections PROGRAM [clients [workers]]    default: 1000 clients, 1 worker
 * Real connections on loopback: every client has its own keys, CURVE connection and
 * sealed session, attaches, and uploads 200 kB when the round opens (10,000 rows of 10
 * classes); `witan coordinator` is the real program. In the same run, bare CURVE moves
 * the same bytes over as many connections: the reference of the throughput.
 * Fails when a client is not served, is refused, or the coordinator takes more memory
 * than the bounds below; never because of time.
 * Clients are state machines in `workers` processes (one file descriptor limit each).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "knowledge/soft_labels.h"
#include "secure/join_line.h"
#include "secure/session.h"
#include "store/ledger.h"
#include "wire/packet.h"

enum {
    ROWS = 10000,
    CLASSES = 10,
    UPLOAD = ROWS * CLASSES * 2, /* bytes, u16 */
    FEATURES = 4,
    PORT_TEXT = 64,
    WORKERS_MAX = 16,
    /* Memory of the coordinator per attached client, bytes; docs/deploy.md. */
    CLIENT_BYTES_MAX = 80 * 1024,
    PATIENCE_S = 600
};

typedef struct member {
    witan_identity *identity;
    uint8_t psk[32];
    void *socket;
    witan_session *session;
    int stage; /* 0 hello sent, 1 welcomed, 2 ready, 3 offered, 4 accepted */
    uint32_t seat;
    uint8_t transfer_digest[32];
    uint64_t again_ns; /* the door was crowded: when to greet anew; 0: not waiting */
} member;

/* Shared by the processes. */
typedef struct board {
    atomic_uint welcomed, ready, offered, accepted, refused, crowded;
    _Atomic uint64_t first_offer_ns, last_accept_ns;
    atomic_bool stop;
} board;

static board *shared;
static uint8_t *upload; /* [UPLOAD] valid soft labels */
static uint8_t upload_digest[32], federation[32];
static witan_public_identity coordinator;
static char endpoint[256];

static uint64_t
now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void
die(const char *what)
{
    (void)fprintf(stderr, "bench_connections: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static void
must(witan_status status, const witan_diag *diag, const char *what)
{
    if (status != WITAN_OK) {
        (void)fprintf(stderr, "bench_connections: %s: %s\n", what,
                      diag != NULL && diag->message[0] != '\0'
                          ? diag->message
                          : witan_status_text(status));
        exit(1);
    }
}

/* --- a data set whose transfer set has ROWS rows ------------------------------------
 */

static void
write_npy(const char *directory, const char *name, const char *type, size_t rows,
          size_t columns, const void *data, size_t size)
{
    char path[512], header[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        die(path);
    }
    char shape[64];
    (void)snprintf(shape, sizeof shape, columns == 0 ? "(%zu,)" : "(%zu, %zu)", rows,
                   columns);
    int length =
        snprintf(header, sizeof header,
                 "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
    memset(header + length, ' ', 118 - (size_t)length);
    header[117] = '\n';
    (void)fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    (void)fwrite(header, 1, 118, file);
    if (fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        die(path);
    }
}

static void
make_data(const char *directory, size_t clients)
{
    size_t rows = ROWS + 2 * clients + 100;
    float *x = calloc(rows * FEATURES, sizeof *x);
    uint8_t *y = calloc(rows, 1);
    if (x == NULL || y == NULL || mkdir(directory, 0700) != 0) {
        die(directory);
    }
    for (size_t i = 0; i < rows; i++) {
        y[i] = (uint8_t)(i % CLASSES);
        for (size_t j = 0; j < FEATURES; j++) {
            x[i * FEATURES + j] = (float)((i * 7 + j * 3) % 101) / 101.0f;
        }
    }
    write_npy(directory, "x_train.npy", "<f4", rows, FEATURES, x,
              rows * FEATURES * sizeof *x);
    write_npy(directory, "y_train.npy", "|u1", rows, 0, y, rows);
    write_npy(directory, "x_test.npy", "<f4", 100, FEATURES, x,
              100 * FEATURES * sizeof *x);
    write_npy(directory, "y_test.npy", "|u1", 100, 0, y, 100);
    free(x);
    free(y);
}

/* --- the coordinator's process ------------------------------------------------------
 */

static pid_t
start_coordinator(const char *program, const char *state, const char *data,
                  size_t clients, const char *listen, int *output)
{
    int pipes[2];
    char n[32], path[600], minimum[64];
    (void)snprintf(n, sizeof n, "clients=%zu", clients);
    (void)snprintf(minimum, sizeof minimum, "round.minimum_clients=%zu", clients);
    (void)snprintf(path, sizeof path, "data.path=%s", data);
    if (pipe(pipes) != 0) {
        die("pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(pipes[1], STDOUT_FILENO);
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDERR_FILENO);
        (void)close(pipes[0]);
        (void)execl(program, program, "coordinator", "--listen", listen, "--state",
                    state, "--heartbeat", "60", "--set", n, "--set", minimum, "--set",
                    path, "--set", "transfer.samples=10000", "--set", "rounds=2",
                    "--set", "models=linear", "--set", "data.partition.key=iid",
                    "--set", "data.partition.minimum=1", "--set", "fusion.key=mean",
                    (char *)NULL);
        _exit(127);
    }
    (void)close(pipes[1]);
    *output = pipes[0];
    return child;
}

/* Reads "listening on tcp://..." from the coordinator. */
static void
read_endpoint(int output)
{
    char text[1024];
    size_t used = 0;
    for (;;) {
        ssize_t got = read(output, text + used, sizeof text - 1 - used);
        if (got <= 0) {
            die("the coordinator did not start");
        }
        used += (size_t)got;
        text[used] = '\0';
        char *at = strstr(text, "listening on ");
        if (at != NULL && strchr(at, '\n') != NULL &&
            sscanf(at, "listening on %255s", endpoint) == 1) {
            return;
        }
    }
}

static long
memory_kb(pid_t process, const char *field)
{
    char path[64], line[256];
    long value = -1;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            value = strtol(line + strlen(field) + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return value;
}

/* --- members ------------------------------------------------------------------------
 */

static void
enrol_members(const char *state, member *members, size_t count)
{
    witan_ledger *ledger;
    witan_diag diag = {0};
    must(witan_ledger_open(&ledger, state, false, witan_allocator_default(), &diag),
         &diag, "ledger");
    for (size_t i = 0; i < count; i++) {
        member *self = &members[i];
        witan_invitation invitation = {.seat = (uint32_t)i, .expires_s = 4000000000u};
        witan_join_line line = {0};
        witan_peer peer;
        uint32_t reason;
        uint8_t door_secret[32];
        must(witan_identity_new(&self->identity), NULL, "identity");
        witan_join_line_draw(&line);
        memcpy(invitation.token, line.token, sizeof invitation.token);
        witan_join_door_key(invitation.door_key, door_secret, line.secret);
        witan_join_psk(invitation.psk, line.secret);
        (void)snprintf(invitation.name, sizeof invitation.name, "site-%zu", i);
        const witan_public_identity *keys = witan_identity_public(self->identity);
        witan_peer_psk(self->psk, invitation.psk, keys->sign);
        must(witan_ledger_invite(ledger, &invitation, (uint32_t)count, false, 1, &diag),
             &diag, "invite");
        must(witan_ledger_enroll(ledger, line.token, keys->sign, keys->transport,
                                 self->psk, (uint32_t)count, 2, &peer, &reason, &diag),
             &diag, "enrol");
        self->seat = peer.seat;
    }
    witan_ledger_close(&ledger);
}

static void *
connect_socket(void *context, const char *address, const uint8_t server[32],
               const uint8_t public_key[32], const uint8_t secret_key[32])
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int none = 0, handshake = 120000;
    if (socket == NULL || zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) != 0 ||
        zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &handshake, sizeof handshake) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server, 32) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key, 32) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, 32) != 0 ||
        zmq_connect(socket, address) != 0) {
        die("connect");
    }
    return socket;
}

static void
say_hello(member *self, void *context)
{
    const witan_public_identity *keys = witan_identity_public(self->identity);
    uint8_t prologue[WITAN_PROLOGUE_SIZE], payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
    uint8_t frame[WITAN_HANDSHAKE_FRAME_MAX];
    size_t size, frame_size;
    witan_hello hello = {.version_min = 1, .version_max = 1, .program = "bench"};
    self->socket =
        connect_socket(context, endpoint, coordinator.transport, keys->transport,
                       witan_identity_transport_secret(self->identity));
    witan_session_prologue(prologue, federation, keys->transport);
    must(witan_hello_pack(payload, sizeof payload, &size, &hello), NULL, "hello");
    must(witan_session_hello(&self->session, self->identity, &coordinator, self->psk,
                             prologue, sizeof prologue, payload, size, frame,
                             &frame_size),
         NULL, "hello");
    if (zmq_send(self->socket, frame, frame_size, 0) < 0) {
        die("send");
    }
}

static void
say(member *self, const witan_packet *packet, uint64_t round)
{
    static uint8_t plain[WITAN_FRAME_MAX], frame[WITAN_FRAME_MAX];
    size_t size;
    must(
        witan_packet_pack(plain, sizeof plain - WITAN_ENVELOPE_OVERHEAD, &size, packet),
        NULL, "pack");
    must(witan_session_seal(self->session, now_ns() / 1000000, round, plain, size,
                            frame),
         NULL, "seal");
    while (zmq_send(self->socket, frame, size + WITAN_ENVELOPE_OVERHEAD, 0) < 0) {
        if (zmq_errno() != EINTR) {
            die("send");
        }
    }
}

static void
offer_upload(member *self, uint32_t round)
{
    witan_packet packet = {.kind = WITAN_PACKET_KNOWLEDGE};
    witan_packet_offer *offer = &packet.is.offer;
    uint8_t statement[WITAN_UPLOAD_STATEMENT];
    uint64_t none = 0, now = now_ns();
    *offer = (witan_packet_offer){.round = round,
                                  .kind = WITAN_KNOWLEDGE_PROBABILITY,
                                  .codec = WITAN_CODEC_U16,
                                  .rows = ROWS,
                                  .classes = CLASSES,
                                  .total = UPLOAD,
                                  .samples = 2};
    memcpy(offer->digest, upload_digest, sizeof offer->digest);
    witan_upload_statement(statement, federation, self->seat, self->transfer_digest,
                           offer);
    witan_identity_sign(self->identity, "WITAN-upload-v1", statement, sizeof statement,
                        offer->signature);
    (void)atomic_compare_exchange_strong(&shared->first_offer_ns, &none, now);
    say(self, &packet, (uint64_t)round + 1);
    self->stage = 3;
    atomic_fetch_add(&shared->offered, 1);
}

static void
hear(member *self, witan_packet_arena *arena, uint8_t *frame, size_t size)
{
    witan_packet packet, answer = {0};
    uint8_t *plain = frame + WITAN_ENVELOPE_HEADER; /* in place */
    size_t plain_size;
    witan_alert alert;
    if (witan_alert_read(&alert, frame, size) == WITAN_OK) {
        /* As a real client: a new connection after a wait (here 100 to 355 ms). */
        witan_session_free(&self->session);
        (void)zmq_close(self->socket);
        self->socket = NULL;
        self->stage = 0;
        self->again_ns = now_ns() + (100 + self->seat % 256) * 1000000ull;
        atomic_fetch_add(&shared->crowded, 1);
        return;
    }
    if (self->stage == 0) {
        uint8_t payload[WITAN_HANDSHAKE_PAYLOAD_MAX];
        must(witan_session_read_welcome(self->session, frame, size, payload,
                                        &plain_size),
             NULL, "welcome");
        self->stage = 1;
        atomic_fetch_add(&shared->welcomed, 1);
        answer.kind = WITAN_PACKET_ATTACH;
        (void)snprintf(answer.is.attach.program, sizeof answer.is.attach.program,
                       "bench");
        say(self, &answer, 0);
        return;
    }
    must(witan_session_open(self->session, frame, size, plain, &plain_size), NULL,
         "open");
    must(witan_packet_unpack(&packet, arena, plain, plain_size, NULL), NULL, "unpack");
    switch (packet.kind) {
    case WITAN_PACKET_PLAN:
        memcpy(self->transfer_digest, packet.is.plan.transfer_digest, 32);
        answer.kind = WITAN_PACKET_READY;
        answer.is.ready.has_transfer = packet.is.plan.has_transfer;
        memcpy(answer.is.ready.transfer_digest, self->transfer_digest, 32);
        answer.is.ready.samples = 2;
        (void)snprintf(answer.is.ready.model, sizeof answer.is.ready.model, "none");
        say(self, &answer, 0);
        self->stage = 2;
        atomic_fetch_add(&shared->ready, 1);
        break;
    case WITAN_PACKET_OPEN:
        offer_upload(self, packet.is.open.round);
        break;
    case WITAN_PACKET_GET:
        answer.kind = WITAN_PACKET_CHUNK;
        answer.is.chunk.what = packet.is.get.what;
        answer.is.chunk.round = packet.is.get.round;
        answer.is.chunk.offset = packet.is.get.offset;
        answer.is.chunk.data = upload + packet.is.get.offset;
        answer.is.chunk.size = packet.is.get.size;
        say(self, &answer, (uint64_t)packet.is.get.round + 1);
        break;
    case WITAN_PACKET_ACCEPTED:
        self->stage = 4;
        atomic_store(&shared->last_accept_ns, now_ns());
        atomic_fetch_add(&shared->accepted, 1);
        break;
    case WITAN_PACKET_REFUSED:
        (void)fprintf(stderr, "refused: %s\n", packet.is.refused.text);
        atomic_fetch_add(&shared->refused, 1);
        break;
    default:
        break;
    }
}

/* One process: its members' sockets, swept until the board says stop. */
static void
work(member *members, size_t count)
{
    static uint8_t frame[WITAN_FRAME_MAX];
    witan_packet_arena *arena;
    void *context = zmq_ctx_new();
    (void)zmq_ctx_set(context, ZMQ_MAX_SOCKETS, (int)count + 16);
    must(witan_packet_arena_new(&arena, witan_allocator_default()), NULL, "arena");
    for (size_t i = 0; i < count; i++) {
        say_hello(&members[i], context);
    }
    while (!atomic_load(&shared->stop)) {
        bool idle = true;
        for (size_t i = 0; i < count; i++) {
            int size;
            if (members[i].again_ns != 0 && now_ns() >= members[i].again_ns) {
                members[i].again_ns = 0;
                say_hello(&members[i], context);
            }
            while (members[i].socket != NULL &&
                   (size = zmq_recv(members[i].socket, frame, sizeof frame,
                                    ZMQ_DONTWAIT)) >= 0) {
                hear(&members[i], arena, frame, (size_t)size);
                idle = false;
            }
        }
        if (idle) {
            (void)usleep(500);
        }
    }
    _exit(0); /* thousands of sockets need no goodbye */
}

/* --- bare CURVE, the reference ------------------------------------------------------
 */

static void
bare_server(size_t clients, const char *address, int ready)
{
    uint8_t secret[32];
    char public_text[41], secret_text[41];
    void *context = zmq_ctx_new(), *socket;
    int on = 1, backlog = 1024, handshake = 120000;
    (void)zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 16);
    socket = zmq_socket(context, ZMQ_ROUTER);
    if (zmq_curve_keypair(public_text, secret_text) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) != 0 ||
        zmq_setsockopt(socket, ZMQ_BACKLOG, &backlog, sizeof backlog) != 0 ||
        zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &handshake, sizeof handshake) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_text, 41) != 0 ||
        zmq_bind(socket, address) != 0) {
        die("bare server");
    }
    char bound[128];
    size_t size = sizeof bound;
    (void)zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size);
    (void)zmq_z85_decode(secret, public_text);
    if (write(ready, bound, sizeof bound) < 0 || write(ready, secret, 32) < 0) {
        die("pipe");
    }
    uint64_t frames = 0, greeted = 0, first = 0;
    uint8_t(*routes)[8] = calloc(clients, 8);
    while (frames < 4 * clients) { /* per client: a greeting, then four quarters */
        zmq_msg_t route, body;
        (void)zmq_msg_init(&route);
        (void)zmq_msg_init(&body);
        if (zmq_msg_recv(&route, socket, 0) < 0 || zmq_msg_recv(&body, socket, 0) < 0) {
            continue;
        }
        if (zmq_msg_size(&body) == 1) {
            memcpy(routes[greeted], zmq_msg_data(&route), 5);
            if (++greeted == clients) {
                first = now_ns();
                for (size_t i = 0; i < clients; i++) {
                    (void)zmq_send(socket, routes[i], 5, ZMQ_SNDMORE);
                    (void)zmq_send(socket, "g", 1, 0);
                }
            }
        } else {
            frames++;
        }
        (void)zmq_msg_close(&route);
        (void)zmq_msg_close(&body);
    }
    uint64_t took = now_ns() - first;
    if (write(ready, &took, sizeof took) < 0) {
        die("pipe");
    }
    _exit(0);
}

static void
bare_clients(size_t count, const char *address, const uint8_t server[32])
{
    void *context = zmq_ctx_new();
    void **sockets = calloc(count, sizeof *sockets);
    bool *done = calloc(count, 1);
    (void)zmq_ctx_set(context, ZMQ_MAX_SOCKETS, (int)count + 16);
    for (size_t i = 0; i < count; i++) {
        char public_text[41], secret_text[41];
        uint8_t public_key[32], secret_key[32];
        (void)zmq_curve_keypair(public_text, secret_text);
        (void)zmq_z85_decode(public_key, public_text);
        (void)zmq_z85_decode(secret_key, secret_text);
        sockets[i] = connect_socket(context, address, server, public_key, secret_key);
        (void)zmq_send(sockets[i], "h", 1, 0);
    }
    size_t left = count;
    while (left > 0) {
        bool idle = true;
        for (size_t i = 0; i < count; i++) {
            char go[8];
            if (!done[i] && zmq_recv(sockets[i], go, sizeof go, ZMQ_DONTWAIT) >= 0) {
                for (int part = 0; part < 4; part++) {
                    (void)zmq_send(sockets[i], upload + part * (UPLOAD / 4), UPLOAD / 4,
                                   0);
                }
                done[i] = true;
                left--;
                idle = false;
            }
        }
        if (idle) {
            (void)usleep(500);
        }
    }
    for (;;) {
        (void)sleep(1); /* until killed: the bytes are still leaving */
    }
}

/* Seconds from "go" to the last byte at a bare CURVE ROUTER. */
static double
measure_bare(size_t clients, size_t workers)
{
    int ready[2];
    char bound[128];
    uint8_t key[32];
    uint64_t took;
    pid_t children[WORKERS_MAX];
    if (pipe(ready) != 0) {
        die("pipe");
    }
    pid_t server = fork();
    if (server == 0) {
        bare_server(clients, "tcp://127.0.0.1:*", ready[1]);
    }
    if (read(ready[0], bound, sizeof bound) != sizeof bound ||
        read(ready[0], key, sizeof key) != sizeof key) {
        die("bare server");
    }
    for (size_t w = 0; w < workers; w++) {
        size_t share = clients * (w + 1) / workers - clients * w / workers;
        children[w] = fork();
        if (children[w] == 0) {
            bare_clients(share, bound, key);
        }
    }
    if (read(ready[0], &took, sizeof took) != sizeof took) {
        die("bare server");
    }
    for (size_t w = 0; w < workers; w++) {
        (void)kill(children[w], SIGKILL);
        (void)waitpid(children[w], NULL, 0);
    }
    (void)waitpid(server, NULL, 0);
    return (double)took * 1e-9;
}

/* ------------------------------------------------------------------------------------
 */

static void
make_upload(void)
{
    witan_digest digest;
    upload = calloc(UPLOAD, 1);
    for (size_t i = 0; i < ROWS; i++) { /* rows that sum to 65535 */
        uint8_t *row = upload + i * CLASSES * 2;
        for (size_t c = 0; c < CLASSES; c++) {
            unsigned value = 6553 + (c < 5 ? 1 : 0);
            row[2 * c] = (uint8_t)value;
            row[2 * c + 1] = (uint8_t)(value >> 8);
        }
    }
    witan_digest_init(&digest);
    witan_digest_update(&digest, upload, UPLOAD);
    witan_digest_final(&digest, upload_digest);
}

static double
wait_for(atomic_uint *counter, unsigned count, const char *what, pid_t server)
{
    uint64_t since = now_ns();
    while (atomic_load(counter) < count) {
        int status;
        if (atomic_load(&shared->refused) != 0 ||
            waitpid(server, &status, WNOHANG) == server ||
            now_ns() - since > PATIENCE_S * 1000000000ull) {
            (void)fprintf(stderr, "bench_connections: %s: %u of %u\n", what,
                          atomic_load(counter), count);
            (void)kill(server, SIGKILL);
            exit(1);
        }
        (void)usleep(2000);
    }
    return (double)(now_ns() - since) * 1e-9;
}

static pid_t
restart(const char *program, const char *state, const char *data, size_t clients)
{
    int output;
    char listen[256];
    (void)snprintf(listen, sizeof listen, "%s",
                   endpoint[0] == '\0' ? "tcp://127.0.0.1:*" : endpoint);
    pid_t server = start_coordinator(program, state, data, clients, listen, &output);
    read_endpoint(output);
    return server;
}

static void
read_coordinator_key(const char *state)
{
    char path[600], file[WITAN_KEY_FILE_MAX];
    witan_identity *identity;
    witan_diag diag = {0};
    (void)snprintf(path, sizeof path, "%s/identity.key", state);
    FILE *stream = fopen(path, "rb");
    size_t size = stream == NULL ? 0 : fread(file, 1, sizeof file, stream);
    if (stream != NULL) {
        (void)fclose(stream);
    }
    must(witan_identity_parse(&identity, file, size, &diag), &diag, path);
    coordinator = *witan_identity_public(identity);
    witan_federation_id(federation, coordinator.sign);
    witan_identity_free(&identity);
}

int
main(int argc, char **argv)
{
    const char *program = argc > 1 ? argv[1] : "build/witan";
    size_t clients = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    size_t workers = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    char root[] = "/tmp/witan-bench-XXXXXX", state[64], data[64], command[128];
    witan_diag diag = {0};
    struct rlimit files;

    if (clients == 0 || workers == 0 || workers > WORKERS_MAX ||
        mkdtemp(root) == NULL) {
        die("usage: bench_connections PROGRAM [clients [workers]]");
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    (void)snprintf(state, sizeof state, "%s/state", root);
    (void)snprintf(data, sizeof data, "%s/data", root);
    must(witan_secure_start(&diag), &diag, "start");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    member *members = calloc(clients, sizeof *members);
    make_upload();
    make_data(data, clients);
    double bare = measure_bare(clients, workers);

    pid_t server = restart(program, state, data, clients);
    read_coordinator_key(state);
    enrol_members(state, members, clients);
    (void)usleep(500000); /* the coordinator notices its members */
    long before = memory_kb(server, "VmRSS:");

    pid_t children[WORKERS_MAX];
    uint64_t since = now_ns();
    for (size_t w = 0; w < workers; w++) {
        size_t first = clients * w / workers, end = clients * (w + 1) / workers;
        children[w] = fork();
        if (children[w] == 0) {
            work(members + first, end - first);
        }
    }
    (void)wait_for(&shared->welcomed, (unsigned)clients, "welcomed", server);
    double first_exchange = (double)(now_ns() - since) * 1e-9;
    (void)wait_for(&shared->ready, (unsigned)clients, "ready", server);
    double all_ready = (double)(now_ns() - since) * 1e-9;
    long attached = memory_kb(server, "VmRSS:");
    (void)wait_for(&shared->accepted, (unsigned)clients, "accepted", server);
    double uploads =
        (double)(atomic_load(&shared->last_accept_ns) - shared->first_offer_ns) * 1e-9;
    long peak = memory_kb(server, "VmHWM:");

    atomic_store(&shared->stop, true);
    for (size_t w = 0; w < workers; w++) {
        (void)waitpid(children[w], NULL, 0);
    }
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (system(command) != 0) {
        die(command);
    }

    double megabytes = (double)clients * UPLOAD * 1e-6;
    double per_client = (double)(attached - before) * 1024.0 / (double)clients;
    (void)printf(
        "{\"clients\": %zu, \"first_exchange_s\": %.2f, \"all_ready_s\": %.2f, "
        "\"memory_per_client_bytes\": %.0f, \"memory_start_kb\": %ld, "
        "\"memory_peak_kb\": %ld, \"upload_MB\": %.0f, \"upload_s\": %.2f, "
        "\"upload_MB_per_s\": %.1f, \"bare_curve_MB_per_s\": %.1f, "
        "\"share_of_bare_curve\": %.3f}\n",
        clients, first_exchange, all_ready, per_client, before, peak, megabytes,
        uploads, megabytes / uploads, megabytes / bare, bare / uploads);
    if (per_client > CLIENT_BYTES_MAX) {
        (void)fprintf(stderr, "bench_connections: %.0f bytes per client, at most %d\n",
                      per_client, CLIENT_BYTES_MAX);
        return 1;
    }
    return 0;
}
