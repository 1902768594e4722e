/* server_private.h - what the coordinator daemon's files share: its state, the
 * connections, the seats, and who calls whom. Private to this room.
 * Two halves meet here. What comes from the network (sessions.c, conversation.c) only
 * notes in seats what happened; what the core decides (drive.c, rounds.c, uploads.c)
 * runs after each batch of frames, one step at a time, and only while nothing is being
 * fused or waits for the disk. */
#ifndef WITAN_COORDINATOR_SHELL_SERVER_PRIVATE_H
#define WITAN_COORDINATOR_SHELL_SERVER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "coordinator/core/coordinator.h"
#include "coordinator/shell/server.h"
#include "secure/join_line.h"
#include "secure/session.h"
#include "store/ledger.h"
#include "store/lock.h"
#include "transport/door.h"
#include "wire/packet.h"

enum {
    SERVER_WINDOW = 4,        /* chunks under way per blob that a client fetches */
    SERVER_UPLOAD_WINDOW = 1, /* ... and that it sends: a killed client sends no more
                                 than one chunk twice */
    SERVER_CHUNKS_MAX = 1024, /* of all uploads: 64 MiB */
    SERVER_FRAMES_MAX = 256,  /* read before the core has its turn */
    SERVER_HANDSHAKES_MAX = 512,
    SERVER_HELLOS_MAX = 10, /* of one key, and as many more a 10 s */
    SERVER_QUEUE_MAX = 16,  /* packets that wait for a connection's queue */
    SERVER_GETS_MAX = 2 * SERVER_WINDOW,
    SERVER_UNREAD_MAX = 1 << 20,
    SERVER_BATCH_MAX = 64, /* uploads made durable at once */
    SERVER_HEARTBEAT_MS = 10000,
    SERVER_DRAIN_MS = 120000,
    SERVER_POLL_MS = 100, /* looking for changes of other processes */
    SERVER_SWEEP_MS = 500,
    SERVER_NO_SESSION_MS = 10000, /* a connection may be without one */
    SERVER_RETRY_MS = 1000,       /* after the disk was full */
    SERVER_NO_SPACE_MS = 5000,    /* a client waits after the disk was full */
    SERVER_SAY_MS = 10000,
    SERVER_LINGER_MS = 2000,
    SERVER_FAREWELL_MS = 5000, /* after the last round, for those who are away */
};
#define SERVER_NOBODY UINT32_MAX

/* What is told about a peer at most once a while; see server_complain. */
typedef enum server_complaint {
    SERVER_BAD_HANDSHAKE,
    SERVER_BAD_FRAME,
    SERVER_BAD_PACKET,
    SERVER_BAD_UPLOAD,
    SERVER_BAD_CHUNK,
    SERVER_BAD_TOKEN,
    SERVER_BAD_ROTATION,
    SERVER_TOO_FAST,
    SERVER_COMPLAINTS
} server_complaint;

typedef struct server_packet {
    struct server_packet *next;
    uint64_t round; /* of the envelope */
    size_t size;
    uint8_t bytes[]; /* packed, not yet sealed */
} server_packet;

typedef struct server_get {
    witan_blob what;
    uint32_t round, size;
    uint64_t offset;
} server_get;

/* One connection that said something. Owned by the server's list. */
typedef struct server_connection {
    struct server_connection *chain; /* next of its hash bucket */
    uint8_t key[WITAN_KEY_SIZE];     /* CURVE */
    uint8_t route[WITAN_ROUTE_MAX];
    size_t route_size;
    witan_session *session; /* owned; NULL: none */
    bool proven;            /* it has opened a DATA frame: the client knows the psk */
    bool doomed;            /* nothing of it counts any more */
    bool attached, ready, rotation_asked;
    uint32_t seat; /* of the peer, or SERVER_NOBODY when enrolling */
    uint8_t token[WITAN_TOKEN_ID_SIZE];    /* enrolling */
    uint8_t noise_key[WITAN_KEY_SIZE];     /* static key of the session */
    uint64_t since_ms, heard_ms, alert_ms; /* alert: of the last one */
    uint32_t discard; /* chunks that were asked for and are no longer wanted */
    char program[WITAN_PROGRAM_MAX];
    server_packet *queue, **queue_end; /* owned */
    size_t queued;
    bool plan_queued;
    server_get gets[SERVER_GETS_MAX]; /* a ring */
    size_t gets_first, gets_count;
} server_connection;

typedef enum server_upload_phase {
    SERVER_UPLOAD_NONE,
    SERVER_UPLOAD_OFFERED, /* signed; not judged yet */
    SERVER_UPLOAD_PULLING,
    SERVER_UPLOAD_WHOLE, /* all bytes are in the .part file */
} server_upload_phase;

typedef struct server_upload {
    server_upload_phase phase;
    witan_upload_row row;
    uint64_t have, asked; /* bytes written, bytes asked for */
    uint32_t in_flight;   /* chunks */
    bool hungry;          /* in the queue for credit */
    uint32_t next_hungry;
} server_upload;

typedef struct server_bucket {
    uint32_t tokens;
    uint64_t filled_ms;
} server_bucket;

/* A client number: the peer that holds it, and its part in the round. */
typedef struct server_seat {
    bool held;
    witan_peer peer;               /* living; pending ones too */
    server_connection *connection; /* with a proven session, or NULL */
    server_bucket hellos;
    bool removed, absent, present; /* events that the core has not heard, in order */
    bool told_present;             /* what the core believes, events included */
    bool note;                     /* peer_seen is due */
    bool heard_end;                /* it said BYE after the experiment was finished */
    uint64_t left_ms;              /* when it was last lost */
    server_upload upload;
    bool done; /* DONE came, `result` is not yet on disk */
    witan_result_row result;
    witan_message fused; /* what it shall learn from, owned */
    witan_packet_offer fused_offer;
    bool has_fused;
    uint64_t bytes_up, bytes_down; /* frames of the round */
    uint64_t complained_ms[SERVER_COMPLAINTS];
} server_seat;

typedef struct server_invitation {
    witan_invitation it;
    server_bucket hellos;
    uint64_t complained_ms[SERVER_COMPLAINTS];
} server_invitation;

typedef struct server_timer {
    uint64_t at_ms, id;
} server_timer;

/* What the core waits for before its next step. */
typedef enum server_waiting {
    SERVER_WAITS_FOR_NOTHING,
    SERVER_WAITS_OPENING,   /* round_open is not on disk */
    SERVER_WAITS_RECORDING, /* round_fused is not on disk */
    SERVER_WAITS_FUSION,    /* another thread computes */
    SERVER_WAITS_ENDING,    /* round_ended is not on disk */
} server_waiting;

typedef enum server_phase {
    SERVER_BETWEEN,
    SERVER_COLLECT,
    SERVER_FUSE,
    SERVER_SETTLE,
} server_phase;

typedef struct server_fusion {
    pthread_t thread;
    bool running;
    atomic_bool finished;
    int wake[2]; /* pipe: a byte when finished */
    witan_coordinator *core;
    witan_status status;
    uint64_t since_ms;
} server_fusion;

struct witan_server {
    const witan_allocator *allocator;
    witan_server_options options;
    witan_directory_lock *lock;
    witan_identity *identity;
    witan_ledger *ledger;
    uint64_t ledger_version;
    witan_door *door;
    char endpoint[WITAN_ENDPOINT_MAX + 1], advertised[WITAN_ENDPOINT_MAX + 1];
    uint8_t federation[WITAN_DIGEST_SIZE];

    /* The experiment. */
    witan_config config; /* owned; that of the state directory */
    witan_coordinator_config core_config;
    witan_coordinator *core;
    witan_text plan;  /* experiment as clients get it */
    uint8_t *package; /* the transfer set, owned; NULL when nothing is exchanged */
    size_t package_size;
    size_t transfer_rows; /* that it holds */
    uint8_t package_digest[WITAN_DIGEST_SIZE];
    size_t upload_bytes; /* of a client's knowledge */

    /* Peers and connections. */
    size_t seats;
    server_seat *seat; /* [seats] */
    server_invitation *invitations;
    size_t invitations_count;
    bool admit_due;
    uint64_t admit_ms;
    server_connection **connections; /* [connections_max], owned */
    size_t connections_count, connections_max;
    server_connection **buckets; /* [buckets_count], a power of two */
    size_t buckets_count;
    size_t unproven; /* sessions without DATA yet */
    size_t doomed;
    bool output_waits; /* some connection takes no more at the moment */
    uint64_t stray_ms[SERVER_COMPLAINTS]; /* complaints about strangers */

    /* Uploads. */
    size_t chunks_in_flight;
    uint32_t hungry_first, hungry_last; /* seats, or SERVER_NOBODY */

    /* The round. */
    server_waiting waiting;
    server_phase phase;
    bool pending;    /* a seat has something for the core */
    bool wants_next; /* NEXT is due */
    bool finished;   /* the last round has ended */
    bool draining;
    uint64_t drain_until_ms, retry_ms, opened_ms;
    witan_round_row row; /* of the round that is under way or ends */
    bool *asked;         /* [seats] scratch */
    /* [seats] of the round: what was accepted, what was sent. */
    uint8_t (*knowledge_digest)[WITAN_DIGEST_SIZE], (*fused_digest)[WITAN_DIGEST_SIZE];
    witan_upload_row *replay; /* late knowledge of before the restart, owned */
    size_t replay_count, replay_next;
    server_fusion fusion;
    server_timer *timers; /* owned */
    size_t timers_count, timers_room;

    /* Talking to the person. */
    uint64_t looked_ms, said_ms, trouble_ms;
    char said[512]; /* the last progress line, without its times */

    uint64_t polled_ms, swept_ms;
    witan_status failed; /* ends the server */
    witan_diag *diag;    /* of witan_server_run */
    witan_packet_arena *arena;
    uint8_t *opened, *packed, *sealed; /* [WITAN_FRAME_MAX] scratch: in, out, out */
};

/* --- server.c --------------------------------------------------------------------- */

/* BYE: the experiment is finished, or the coordinator stops for now. */
void server_say_bye(witan_server *self, server_connection *at);
uint64_t server_now(const witan_server *self);
uint64_t server_wall(const witan_server *self);
/* A line for the person. */
void server_say(witan_server *self, const char *format, ...) WITAN_PRINTF(2, 3);
/* A line of the log and of the audit trail. */
void server_note(witan_server *self, witan_log_level level, const char *id,
                 const char *format, ...) WITAN_PRINTF(4, 5);
/* As server_note, at most once in 10 s for each kind of complaint about a connection's
 * owner: peers cannot fill the disk by misbehaving. */
void server_complain(witan_server *self, const server_connection *connection,
                     server_complaint complaint, const char *format, ...)
    WITAN_PRINTF(4, 5);
/* After a failure of the ledger. True: full disk, busy or no memory, which pass; it was
 * said. False: the server ends with this failure. */
bool server_survives(witan_server *self, witan_status status, const witan_diag *diag);
/* Begins a transaction in which nobody else can change the ledger. False when it failed
 * (handled), or when another process has changed it since the last look: then *again is
 * true, the changes were taken over, and the caller has to look again. */
bool server_begin(witan_server *self, bool *again);
/* Ends it: commits after WITAN_OK, else undoes it. True when it is on disk; failures
 * were handled. */
bool server_commit(witan_server *self, witan_status status, witan_diag *diag);

/* --- state.c: what is on disk at the start ---------------------------------------- */

witan_status server_state_open(witan_server *self, witan_diag *diag);
/* Advertised endpoint from the bound one. */
witan_status server_state_advertise(witan_server *self, witan_diag *diag);

/* --- restore.c -------------------------------------------------------------------- */

/* Brings the core back to where the ledger says it was. */
witan_status server_restore(witan_server *self, witan_diag *diag);

/* --- peers.c: who may come, and who came ------------------------------------------ */

/* Peers and invitations as the ledger has them now. */
WITAN_NODISCARD witan_status server_peers_load(witan_server *self, witan_diag *diag);
/* Looks whether another process changed them. */
void server_peers_poll(witan_server *self);
/* Swaps the door's list when it is due. */
void server_peers_admit(witan_server *self);
/* Writes down who is connected. */
void server_peers_note(witan_server *self);
uint32_t server_peers_seat_of(const witan_server *self,
                              const uint8_t key[WITAN_KEY_SIZE]);
server_invitation *server_peers_invitation(const witan_server *self,
                                           const uint8_t key[WITAN_KEY_SIZE]);

/* --- sessions.c: frames in, frames out -------------------------------------------- */

void server_sessions_frame(witan_server *self, const witan_door_frame *frame);
/* Ends whatever this connection is; its memory goes at the next sweep. */
void server_sessions_doom(witan_server *self, server_connection *connection, bool cut);
/* Frees doomed connections; cuts silent ones when it is time. */
void server_sessions_sweep(witan_server *self);
/* Packs, seals and sends, or queues. Harmless on NULL and doomed connections. */
void server_send(witan_server *self, server_connection *connection,
                 const witan_packet *packet);
/* Takes a client's request for bytes; false: beyond its window. */
bool server_sessions_get(witan_server *self, server_connection *connection,
                         const server_get *get);
/* Sends what waits. */
void server_sessions_pump(witan_server *self);
void server_sessions_free(witan_server *self);

/* --- conversation.c: packets of an open session ----------------------------------- */

/* Asks for a new transport key when `witan peers rotate` wants one, once a session. */
void server_ask_rotation(witan_server *self, server_connection *at);
void server_conversation(witan_server *self, server_connection *connection,
                         const witan_packet *packet);
void server_refuse(witan_server *self, server_connection *connection, uint32_t round,
                   witan_packet_reason reason, uint64_t retry_after_ms,
                   const char *format, ...) WITAN_PRINTF(6, 7);

/* --- uploads.c -------------------------------------------------------------------- */

void server_uploads_offer(witan_server *self, server_connection *connection,
                          const witan_packet_offer *offer);
void server_uploads_chunk(witan_server *self, server_connection *connection,
                          const witan_packet *packet);
/* Deletes the bytes of an upload that was not accepted. */
void server_uploads_drop(witan_server *self, const witan_upload_row *row);
/* Forgets what a seat was sending; the bytes stay. */
void server_uploads_forget(witan_server *self, uint32_t seat);
/* Refuses what is under way for rounds whose files are gone. */
void server_uploads_expire(witan_server *self, uint32_t keep_from);
/* Judges offers and starts to fetch them. Only while the core waits for nothing. */
void server_uploads_judge(witan_server *self);
/* Makes whole uploads durable and hands them to the core. True when it did something.
 */
bool server_uploads_finish(witan_server *self);
/* Asks for chunks while there is credit. */
void server_uploads_pump(witan_server *self);
/* A row's bytes as the core takes them; takes *bytes, also on failure. */
WITAN_NODISCARD witan_status server_uploads_message(const witan_server *self,
                                                    const witan_upload_row *row,
                                                    uint8_t **bytes,
                                                    witan_message *out);

/* --- rounds.c: the core's turn ---------------------------------------------------- */

/* Steps the core until it waits for something. */
void server_rounds_drive(witan_server *self);
void server_rounds_step(witan_server *self, const witan_coordinator_event *event);
void server_rounds_act(witan_server *self, witan_coordinator_actions *actions);
/* OPEN, with what is left of the deadline; FUSED, when it is kept. */
void server_rounds_send_open(witan_server *self, uint32_t seat);
void server_rounds_send_fused(witan_server *self, uint32_t seat);
/* Milliseconds until a timer of the core falls due, at most `most`. */
uint64_t server_rounds_wait(const witan_server *self, uint64_t now_ms, uint64_t most);
/* DONE of a client, as a message. */
void server_rounds_done(witan_server *self, server_connection *connection,
                        const witan_packet *packet);

/* --- progress.c ------------------------------------------------------------------- */

/* "round 3: 2 of 4 answered, waiting for ..." when it changed or 10 s have passed. */
void server_progress(witan_server *self);

/* --- fuser.c: the fusion thread --------------------------------------------------- */

WITAN_NODISCARD witan_status server_fuser_init(server_fusion *self, witan_diag *diag);
void server_fuser_fini(server_fusion *self);
void server_fuser_start(server_fusion *self, witan_coordinator *core, uint64_t now_ms);
/* True once when it has finished; *status is then that of witan_coordinator_fuse. */
bool server_fuser_finished(server_fusion *self, witan_status *status);

#endif
