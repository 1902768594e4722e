/* node_private.h - what the files of a running client share. Private to this room.
 *   node.c      life: files, the loop, connecting and waiting, the end
 *   packets.c   what the coordinator says, and what is said to it
 *   jobs.c      what the learning thread does, and what follows from it
 *   rotation.c  changing the transport key
 *   status.c    lines and status.json
 * What has to be said is kept as flags and said when there is room: a lost connection
 * loses nothing, because the coordinator repeats what is owed and flags stay. */
#ifndef WITAN_CLIENT_SHELL_NODE_PRIVATE_H
#define WITAN_CLIENT_SHELL_NODE_PRIVATE_H

#include "client/shell/conversation.h"
#include "client/shell/fetch.h"
#include "client/shell/files.h"
#include "client/shell/snapshot.h"
#include "client/shell/worker.h"
#include "store/lock.h"

enum {
    NODE_POLL_MS = 250,    /* stops and timers are looked at so often */
    NODE_BACKOFF_MS = 500, /* the first wait */
    NODE_BACKOFF_MAX_MS = 60000,
    NODE_STALL_MS = 60000, /* a chunk that was asked for takes longer: reconnect */
    NODE_DISK_MS = 10000,  /* until a failed write is tried again */
    NODE_ASK_MS = 10000,   /* until a refused ATTACH is tried again */
    NODE_MINUTE_MS = 60000,
    NODE_STATUS_MS = 1000,
    NODE_LINGER_MS = 1000,
    NODE_ROTATIONS_MAX = 3,
    NODE_FETCHES_MAX = 3, /* of a transfer set whose bytes turn out wrong */
};

#define NODE_DOMAIN_UPLOAD "WITAN-upload-v1"
#define NODE_DOMAIN_ENROLL "WITAN-enroll-v1"
#define NODE_DOMAIN_ROTATE "WITAN-rotate-v1"

typedef enum node_job_kind {
    NODE_JOB_NONE,
    NODE_JOB_PREPARE, /* transfer set, data, model, saved state */
    NODE_JOB_TRAIN,
    NODE_JOB_DISTILL,
    NODE_JOB_SAVE, /* the snapshot of what TRAIN or DISTILL did */
} node_job_kind;

/* What the learning thread works on; nobody else touches it meanwhile. */
typedef struct node_job {
    node_job_kind kind;
    node_job_kind saves; /* SAVE: of which job */
    uint64_t retry_ms;   /* SAVE failed: when it is tried again; 0: not waiting */
    uint8_t *fused;      /* DISTILL: what to learn from, owned */
    size_t fused_size;
    node_snapshot snapshot; /* what it brings */
    bool wants_transfer;    /* PREPARE: the transfer set must be fetched first */
    bool damaged_transfer;  /* ... because the bytes here were wrong */
    witan_status status;
    witan_diag diag;
} node_job;

typedef struct node {
    const witan_node_options *options;
    const witan_allocator *allocator;
    node_maker maker; /* by value: the learning thread may outlive the caller's */
    uint64_t now_ms;  /* of this turn of the loop */
    witan_diag *diag;

    /* Files. */
    char directory[WITAN_PATH_MAX];
    char state_path[WITAN_PATH_MAX];
    witan_directory_lock *lock;
    witan_identity *identity;
    witan_identity *next_identity; /* announced, not yet accepted; or NULL */
    bool uses_next;                /* the talk under way speaks with it */
    unsigned rotations;            /* announcements of it so far */
    witan_membership *membership;  /* secret memory */
    witan_node_settings settings;

    /* The plan and what was made of it. */
    node_plan plan; /* of the first PLAN; experiment NULL before */
    node_study study;
    node_model *model;
    bool prepared;
    unsigned fetches; /* of the transfer set */
    witan_client core;
    node_worker worker;
    node_job job;

    /* The round. */
    node_record record; /* newest that is durable; its knowledge can be fetched */
    bool accepted;      /* the coordinator has that knowledge */
    node_fetch fetch;

    /* Talking. */
    node_talk *talk;
    bool attached, ready; /* PLAN came; READY was said */
    bool wants_attach, wants_ready, wants_rotate, wants_offer, wants_done;
    uint64_t attach_ms, offer_ms; /* not before */
    uint64_t fetch_ms;            /* the transfer set: not before; 0: not waited for */
    unsigned failures;            /* attempts since a session worked */
    unsigned refusals;            /* of them: by the door */
    uint64_t next_ms;             /* the next attempt */
    uint64_t worked_ms;           /* a session last worked */
    uint64_t complained_ms;       /* "not let in" was last said */

    /* The end. */
    bool finished; /* the run is over */
    witan_status failed;

    uint64_t status_ms;
    bool status_due;
} node;

/* --- node.c ----------------------------------------------------------------------- */

/* Runs a node with a given kind of model until it ends; witan_node_run's contract. */
WITAN_NODISCARD witan_status node_run(const witan_node_options *options,
                                      const node_maker *maker,
                                      const witan_allocator *allocator,
                                      witan_diag *diag);
uint64_t node_now_ms(const witan_node_options *options);
/* Ends the node; the first failure counts. */
void node_fail(node *self, witan_status status, const char *format, ...)
    WITAN_PRINTF(3, 4);
/* Gives up the conversation; the next one starts after a wait of at least wait_ms. */
void node_disconnect(node *self, uint64_t wait_ms);
/* How long to wait before attempt number `failures` + 1: half to the whole of 0.5 s
 * doubled per failure, at most a minute; `draw` is 32 random bits. */
uint64_t node_backoff_ms(unsigned failures, uint32_t draw);

/* --- packets.c -------------------------------------------------------------------- */

void node_take_packet(node *self, const witan_packet *packet);
/* Says what is due while there is room. */
void node_pump(node *self);
void node_act(node *self, const witan_client_actions *actions);

/* --- jobs.c ----------------------------------------------------------------------- */

void node_start_prepare(node *self);
void node_start_job(node *self, witan_client_job job, uint32_t round);
/* The job on the thread has ended. */
void node_job_ended(node *self);
/* A snapshot that could not be written is tried again when it is time. */
void node_retry_save(node *self);
bool node_is_busy(const node *self);
void node_job_fini(node_job *self, const witan_allocator *allocator);

/* --- rotation.c ------------------------------------------------------------------- */

/* The identity of the next attempt. */
const witan_identity *node_rotation_identity(node *self);
/* A session worked: the key that it used is the key. */
void node_rotation_worked(node *self);
/* ROTATE_REQUEST: makes the next key durable and has it said. */
void node_rotation_asked(node *self);
void node_rotation_packet(const node *self, witan_packet *out);
/* ROTATE was said: a new connection shows whether it counts. */
void node_rotation_said(node *self);

/* --- status.c --------------------------------------------------------------------- */

void node_say(const node *self, const char *format, ...) WITAN_PRINTF(2, 3);
/* "84 B", "20 kB", "3.1 MB" */
void node_bytes_text(char out[32], uint64_t bytes);
/* Writes status.json when it is due. */
void node_write_status(node *self);

#endif
