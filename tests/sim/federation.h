/* federation.h - both cores, model shells and model stores in one process under a
 * virtual clock: a whole federation that a seed determines.
 * A model shell does what a daemon's does around the core, in its order: what a peer is
 * told is in the store before it is told. A crash, at any of the points between, leaves
 * the store alone. What clients learn is a number: training and distilling mix into it
 * what they were told, so that an exchange that is lost or counted twice changes it. */
#ifndef WITAN_TEST_FEDERATION_H
#define WITAN_TEST_FEDERATION_H

#include "base/digest.h"
#include "base/random.h"
#include "client/core/client.h"
#include "coordinator/core/coordinator.h"
#include "sim/heap.h"
#include "support/witan_test.h"

/* A check inside a world `self`. */
#define HOLDS(expression) ((void)(self->held = CHECK(expression) && self->held))

enum {
    SEATS_MAX = 12,
    ROUNDS_MAX = 8,
    ROWS = 4,
    CLASSES = 3,
    PARAMETERS = 5,
    PAYLOAD = ROWS * CLASSES * 4, /* bytes, more than parameters need */
    TICK_MS = 60,                 /* of a client's keep-alive and resending */
    SILENCE_MS = 200,             /* without a word, the other side is taken for lost */
    PATIENCE_MS = 400             /* without progress, a client connects anew */
};

/* What a seed stands for. */
struct plan {
    witan_coordinator_config config;
    bool exact; /* everybody is waited for: faults must not change what is exchanged */
    bool faults;
    double loss, duplication, crash; /* probabilities: a frame, a frame, a point */
    uint32_t delay_ms;               /* longest way of a frame */
    uint32_t work_ms;                /* longest job ... */
    uint32_t slow;                   /* ... bit by seat: six times as long */
    uint64_t heal_ms;                /* no fault after this */
    size_t crashes, client_crashes, partitions, removals;
};

typedef enum frame_kind {
    FRAME_HELLO, /* to the coordinator: a new session */
    FRAME_PING,
    FRAME_KNOWLEDGE,
    FRAME_DONE,
    FRAME_PONG, /* to the client */
    FRAME_OPEN,
    FRAME_FUSED,
    FRAME_ACK,
    FRAME_NACK,
} frame_kind;

struct frame {
    frame_kind kind;
    uint32_t client, generation; /* a seat's next owner is another generation */
    uint32_t round;
    uint64_t session;
    uint64_t value; /* KNOWLEDGE: what was learned; FUSED: hash of the payload */
};

typedef enum happening_kind {
    HAPPENS_TO_SERVER,
    HAPPENS_TO_CLIENT,
    HAPPENS_TIMER,
    HAPPENS_NEXT,
    HAPPENS_SERVER_TICK,
    HAPPENS_SERVER_CRASH,
    HAPPENS_SERVER_START,
    HAPPENS_CLIENT_TICK,
    HAPPENS_JOB_DONE,
    HAPPENS_CLIENT_CRASH,
    HAPPENS_CLIENT_START,
    HAPPENS_PARTITION,
    HAPPENS_REMOVAL,
} happening_kind;

typedef struct happening {
    happening_kind kind;
    struct frame frame;
    uint32_t client;
    uint32_t life;  /* of the process that it is meant for */
    uint64_t value; /* TIMER: id; PARTITION: its length */
} happening;

/* --- the coordinator's side ------------------------------------------------------- */

struct upload {
    bool there, late;
    uint32_t used_from, generation;
    uint64_t learned; /* stands for the payload */
};

typedef struct round_row {
    bool opened, fused, ended;
    bool asked[SEATS_MAX], done[SEATS_MAX];
    uint32_t asked_owner[SEATS_MAX]; /* generations when it was opened ... */
    uint32_t fused_owner[SEATS_MAX]; /* ... and when it was fused */
    uint8_t exchange[WITAN_DIGEST_SIZE];
} round_row;

/* Survives the coordinator. Removing an owner only begins the seat's next generation:
 * what counts is what its generation did. */
struct store {
    round_row round[ROUNDS_MAX];
    struct upload upload[ROUNDS_MAX][SEATS_MAX];
    uint32_t generation[SEATS_MAX];
};

struct server {
    bool up;
    uint32_t life;
    witan_coordinator *core;
    bool connected[SEATS_MAX];
    uint64_t seen_ms[SEATS_MAX];
    /* Of the last fusion. */
    uint8_t expected[SEATS_MAX][PAYLOAD];
    size_t expected_size;
    uint8_t sent[SEATS_MAX][WITAN_DIGEST_SIZE];
    uint64_t fused_value[SEATS_MAX];
    struct store store;
};

/* --- a client's side -------------------------------------------------------------- */

typedef struct snapshot {
    witan_client_phase phase;
    uint32_t round;
    uint64_t unopened;
    uint64_t learned;
    bool has_knowledge;
    uint32_t knowledge_round;
    uint64_t knowledge;
} snapshot;

struct seat {
    bool up;
    uint32_t id, life, generation;
    witan_client core;
    snapshot now;   /* in memory; phase, round and unopened are the core's */
    snapshot saved; /* survives the client */
    bool acknowledged;
    witan_client_job job;
    uint32_t job_round;
    uint64_t job_input; /* DISTILL: hash of the payload */
    uint64_t session, heard_ms, progress_ms;
};

/* --- everything ------------------------------------------------------------------- */

/* What may never change once it was seen. */
typedef struct witness {
    uint32_t opened; /* rounds */
    bool fused[ROUNDS_MAX];
    uint32_t speakers[ROUNDS_MAX], fresh[ROUNDS_MAX]; /* bit by seat */
    bool told[ROUNDS_MAX][SEATS_MAX];
    uint8_t said[ROUNDS_MAX][SEATS_MAX][WITAN_DIGEST_SIZE];
    uint32_t acknowledged[ROUNDS_MAX][SEATS_MAX]; /* generation plus 1 */
} witness;

typedef struct world {
    struct plan plan;
    bool held; /* whatever may never happen did not */
    witan_random random;
    witan_failing_allocator heap;
    witan_heap queue; /* of happening */
    uint64_t now_ms, sessions;
    uint64_t parted_ms[SEATS_MAX]; /* a link is cut until then */
    struct server server;
    struct seat seat[SEATS_MAX];
    witness witness;
    size_t events, crashes, client_crashes, restored_fusions, late;
} world;

/* test_federation.c */
void world_post(world *self, uint64_t at_ms, happening what);
void world_send(world *self, const struct frame *frame, bool to_server);
/* A chance while faults happen. */
bool world_chance(world *self, double probability);
uint32_t world_below(world *self, uint32_t bound);
uint64_t mix(uint64_t a, uint64_t b);

/* federation_server.c */
void server_start(world *self);
void server_crash(world *self);
/* Frees the core of a server that crashed. */
void server_bury(world *self);
void server_take_frame(world *self, const struct frame *frame);
void server_take_timer(world *self, uint64_t timer);
void server_next(world *self);
void server_tick(world *self);
void server_remove(world *self, uint32_t client);

/* federation_client.c */
void client_start(world *self, struct seat *seat);
void client_crash(world *self, struct seat *seat);
void client_take_frame(world *self, struct seat *seat, const struct frame *frame);
void client_tick(world *self, struct seat *seat);
void client_job_done(world *self, struct seat *seat);
/* Somebody new takes the seat. */
void client_replace(world *self, struct seat *seat);

#endif
