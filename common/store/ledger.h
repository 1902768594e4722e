/* ledger.h - the coordinator's memory that survives it: peers, invitations, rounds,
 * accepted uploads, results, in one SQLite file; upload files beside it.
 * Why here: SQLite is fenced to this room. docs/decisions/0012-coordinator-state.md.
 * Durability: WAL with synchronous FULL: when a function that changes something returns
 * WITAN_OK it is on disk. Several processes may hold a ledger open (coordinator and
 * `witan invite`, `peers`, `status`): SQLite locks; a writer waits up to 5 s.
 * Errors of all functions: E_IO (disk full says so; the transaction is undone and the
 * ledger stays usable), E_DATA (not a ledger, damaged, written by a newer version),
 * E_BUSY (another process wrote for longer than 5 s), E_MEMORY, and those named. Every
 * failure has its sentence in `diag`; lists are then NULL and empty.
 * Threads: one per open ledger. */
#ifndef WITAN_STORE_LEDGER_H
#define WITAN_STORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"

typedef struct witan_ledger witan_ledger;

/* Opens DIRECTORY/witan.db. `create` is the coordinator's way: makes it when absent and
 * checks every page, row and reference; else absence is E_STATE "no coordinator state
 * in DIR; start witan coordinator there first". Files are made 0600, and given that
 * mode when they have another. Errors: E_REFUSED (DIRECTORY open to others, as
 * secret_file.h; a link or another's file in it). */
WITAN_NODISCARD witan_status witan_ledger_open(witan_ledger **out,
                                               const char *directory, bool create,
                                               const witan_allocator *allocator,
                                               witan_diag *diag);
void witan_ledger_close(witan_ledger **self);
/* A number that changes when another process changed the ledger: cheap, for polling. */
WITAN_NODISCARD witan_status witan_ledger_version(witan_ledger *self, uint64_t *out,
                                                  witan_diag *diag);
/* Several changes as one: all durable at commit, none after rollback. Not nested. A
 * change that fails by its own rules (E_STATE, E_REFUSED) leaves the others standing;
 * after E_IO the whole may be undone already: later changes and the commit say so. */
WITAN_NODISCARD witan_status witan_ledger_begin(witan_ledger *self, witan_diag *diag);
WITAN_NODISCARD witan_status witan_ledger_commit(witan_ledger *self, witan_diag *diag);
void witan_ledger_rollback(witan_ledger *self);

/* --- settings: small texts by name ------------------------------------------------ */

/* "experiment" (resolved JSON), "world" (digest hex), "endpoint" (as clients reach it),
 * "identity_sign"/"identity_transport" (hex), ... *value is owned by the caller, NULL
 * when absent. */
WITAN_NODISCARD witan_status witan_ledger_setting(witan_ledger *self, const char *name,
                                                  char **value, witan_diag *diag);
WITAN_NODISCARD witan_status witan_ledger_set(witan_ledger *self, const char *name,
                                              const char *value, witan_diag *diag);

/* --- invitations ------------------------------------------------------------------ */

#define WITAN_SEAT_ANY UINT32_MAX

typedef struct witan_invitation {
    uint8_t token[8];
    char name[WITAN_NAME_MAX + 1];
    uint32_t seat;                 /* reserved client number, or WITAN_SEAT_ANY */
    uint8_t door_key[32];          /* public half of its CURVE key */
    uint8_t psk[32];               /* secret */
    uint64_t created_s, expires_s; /* Unix time */
    bool confirm;                  /* the peer waits for `peers approve` */
    bool used;
    uint8_t used_by[32]; /* signing key of the peer that used it */
} witan_invitation;

/* Errors: E_STATE: the name belongs to a peer that is not revoked, or to an invitation
 * that is neither used nor expired (`replace` withdraws that one instead); the seat is
 * taken; no seat is free among `seats`. */
WITAN_NODISCARD witan_status witan_ledger_invite(witan_ledger *self,
                                                 const witan_invitation *invitation,
                                                 uint32_t seats, bool replace,
                                                 uint64_t now_s, witan_diag *diag);
/* All that are kept, *list owned by the caller (wipe it: it holds secrets). Used and
 * expired ones are kept for 30 days so that whoever comes late is told why. */
WITAN_NODISCARD witan_status witan_ledger_invitations(witan_ledger *self,
                                                      witan_invitation **list,
                                                      size_t *count, witan_diag *diag);

/* --- peers ------------------------------------------------------------------------ */

typedef enum witan_peer_state {
    WITAN_PEER_PENDING, /* enrolled, waits for approval */
    WITAN_PEER_APPROVED,
    WITAN_PEER_REVOKED,
} witan_peer_state;
const char *witan_peer_state_text(witan_peer_state state);

typedef struct witan_peer {
    uint32_t seat;
    char name[WITAN_NAME_MAX + 1];
    witan_peer_state state;
    uint8_t sign_key[32], transport_key[32];
    uint8_t new_transport_key[32]; /* zeros: none; else takes over when first used */
    uint8_t psk[32];               /* secret */
    bool must_rotate;              /* asked by `peers rotate` */
    uint64_t enrolled_s, seen_s;   /* Unix time; seen 0 = never */
    char model[64], program[64];   /* last told */
    uint64_t samples;
    bool connected; /* as of the coordinator's last note */
} witan_peer;

/* Uses an invitation and makes the peer, in one transaction; *peer gets its seat.
 * Repeating it with the same keys gives the same peer. Errors: E_REFUSED with a reason:
 * *reason is witan_packet_reason's number (token unknown 2, used 3, expired 4, revoked
 * 7: a revoked signing key does not come back, full 8, 18: the keys are those of a
 * living peer under another name). */
WITAN_NODISCARD witan_status witan_ledger_enroll(
    witan_ledger *self, const uint8_t token[8], const uint8_t sign_key[32],
    const uint8_t transport_key[32], const uint8_t psk[32], uint32_t seats,
    uint64_t now_s, witan_peer *peer, uint32_t *reason, witan_diag *diag);
/* All peers by seat, revoked ones last; *list owned by the caller (holds secrets). */
WITAN_NODISCARD witan_status witan_ledger_peers(witan_ledger *self, witan_peer **list,
                                                size_t *count, witan_diag *diag);
/* By name; E_STATE with the nearest name when there is none. A name may have revoked
 * predecessors: the living one is found first. */
WITAN_NODISCARD witan_status witan_ledger_peer(witan_ledger *self, const char *name,
                                               witan_peer *out, witan_diag *diag);
/* Changes a peer's state. Revoking frees its seat and drops its uploads that no fusion
 * used yet; within a transaction their files stay until witan_upload_prune. Errors:
 * E_STATE (revoked for good; not pending). */
WITAN_NODISCARD witan_status witan_ledger_peer_set_state(witan_ledger *self,
                                                         const uint8_t sign_key[32],
                                                         witan_peer_state state,
                                                         witan_diag *diag);
WITAN_NODISCARD witan_status witan_ledger_peer_ask_rotation(witan_ledger *self,
                                                            const uint8_t sign_key[32],
                                                            witan_diag *diag);
/* Stores the announced key; with `adopt` makes it the peer's only one. */
WITAN_NODISCARD witan_status witan_ledger_peer_rotate(witan_ledger *self,
                                                      const uint8_t sign_key[32],
                                                      const uint8_t transport_key[32],
                                                      bool adopt, witan_diag *diag);
/* What the coordinator last saw of it: model, program, samples, seen_s, connected. */
WITAN_NODISCARD witan_status witan_ledger_peer_seen(witan_ledger *self,
                                                    const witan_peer *peer,
                                                    witan_diag *diag);
/* All peers are disconnected: at start and at the end. */
WITAN_NODISCARD witan_status witan_ledger_nobody_connected(witan_ledger *self,
                                                           witan_diag *diag);

/* --- rounds ----------------------------------------------------------------------- */

typedef enum witan_round_phase {
    WITAN_ROUND_OPEN,  /* collecting */
    WITAN_ROUND_FUSED, /* who counts is fixed; results are being delivered */
    WITAN_ROUND_ENDED,
} witan_round_phase;

typedef struct witan_round_row {
    uint32_t round;
    witan_round_phase phase;
    bool fused;                          /* ENDED: false when too few answered */
    uint64_t opened_s, ended_s;          /* Unix time, for people */
    uint32_t asked, answered, late;      /* not ENDED: uploads accepted so far */
    uint8_t exchange[WITAN_DIGEST_SIZE]; /* witan_exchange_digest, once ended */
    uint64_t bytes_up, bytes_down;
    double seconds;
} witan_round_row;

/* Opens a round with the seats asked [seats]. */
WITAN_NODISCARD witan_status witan_ledger_round_open(witan_ledger *self, uint32_t round,
                                                     const bool *asked, uint32_t seats,
                                                     uint64_t now_s, witan_diag *diag);
WITAN_NODISCARD witan_status witan_ledger_round_fused(witan_ledger *self,
                                                      uint32_t round, witan_diag *diag);
WITAN_NODISCARD witan_status witan_ledger_round_ended(witan_ledger *self,
                                                      const witan_round_row *row,
                                                      witan_diag *diag);
/* The newest round; *found false before the first. asked [seats] when not NULL. */
WITAN_NODISCARD witan_status witan_ledger_last_round(witan_ledger *self,
                                                     witan_round_row *out, bool *found,
                                                     bool *asked, uint32_t seats,
                                                     witan_diag *diag);
/* Who was asked in a round that witan_ledger_rounds or _last_round gave: asked [seats].
 * Errors: E_STATE (opened for another number of seats). */
WITAN_NODISCARD witan_status witan_ledger_round_asked(witan_ledger *self,
                                                      const witan_round_row *row,
                                                      bool *asked, uint32_t seats,
                                                      witan_diag *diag);
/* All rounds, oldest first; *list owned by the caller. */
WITAN_NODISCARD witan_status witan_ledger_rounds(witan_ledger *self,
                                                 witan_round_row **list, size_t *count,
                                                 witan_diag *diag);

/* --- uploads ---------------------------------------------------------------------- */

typedef struct witan_upload_row {
    uint32_t round, seat;
    uint32_t kind, codec;
    uint64_t rows, classes, total, samples;
    uint8_t digest[WITAN_DIGEST_SIZE];
    uint8_t signature[64], sign_key[32];
    bool late;
    uint32_t used_from; /* first round whose fusion can use it */
} witan_upload_row;

/* Accepts an upload whose file is already durable. Errors: E_STATE (the seat already
 * has one for this round; sign_key is not the approved peer of this seat any more; no
 * such round). */
WITAN_NODISCARD witan_status witan_ledger_accept(witan_ledger *self,
                                                 const witan_upload_row *row,
                                                 witan_diag *diag);
/* Whether a seat has one for a round; *out is then filled. */
WITAN_NODISCARD witan_status witan_ledger_upload(witan_ledger *self, uint32_t round,
                                                 uint32_t seat, witan_upload_row *out,
                                                 bool *found, witan_diag *diag);
/* Uploads of rounds >= first whose payload is not dropped, by round and seat; *list
 * owned by the caller. */
WITAN_NODISCARD witan_status witan_ledger_uploads(witan_ledger *self, uint32_t first,
                                                  witan_upload_row **list,
                                                  size_t *count, witan_diag *diag);

/* Upload files: DIRECTORY/uploads/RRRRRRR-SSSSSS.part while they grow, .bin when whole:
 * the digest, then the payload. Chunks are written at their offset, nothing is held in
 * memory. All take a row with round, seat, total and digest set; E_INVALID when these
 * are beyond limits.h. */
/* Bytes that a .part has (0 when absent). A .part of another digest is dropped first.
 */
WITAN_NODISCARD witan_status witan_upload_have(witan_ledger *self,
                                               const witan_upload_row *row,
                                               uint64_t *have, witan_diag *diag);
/* Appends at offset == have. Errors: E_INVALID (another offset), E_IO. */
WITAN_NODISCARD witan_status witan_upload_append(witan_ledger *self,
                                                 const witan_upload_row *row,
                                                 uint64_t offset, const void *bytes,
                                                 size_t size, witan_diag *diag);
/* Reads the whole .part into *bytes (owned, row->total bytes) and compares its digest:
 * E_FORGED when it differs (the .part is then gone), E_STATE when it is not whole. */
WITAN_NODISCARD witan_status witan_upload_read_part(witan_ledger *self,
                                                    const witan_upload_row *row,
                                                    uint8_t **bytes, witan_diag *diag);
/* Makes count .part files durable under their final names: to be called before
 * witan_ledger_accept. One directory sync for all. Errors: E_STATE (one is not whole;
 * nothing is changed), E_IO. A file whose sync failed is gone, its bytes are to be sent
 * again; the others are still parts, and may be finished one by one, when it was a
 * file's own sync, and gone too when it was a renaming or the directory's sync. */
WITAN_NODISCARD witan_status witan_upload_finish(witan_ledger *self,
                                                 const witan_upload_row *const *rows,
                                                 size_t count, witan_diag *diag);
/* An accepted upload's bytes, verified against its digest. Errors: E_DATA. */
WITAN_NODISCARD witan_status witan_upload_load(witan_ledger *self,
                                               const witan_upload_row *row,
                                               uint8_t **bytes, witan_diag *diag);
/* Deletes the files of rounds < keep_from (rows stay). Failures are not errors. Within
 * a transaction, which may be undone, whole files stay until the next time. */
void witan_upload_prune(witan_ledger *self, uint32_t keep_from);
/* Deletes a seat's file of a round, whole or not; within a transaction the part only.
 */
void witan_upload_drop(witan_ledger *self, uint32_t round, uint32_t seat);
/* Errors: E_IO when the file system has fewer than `bytes` free ("... free, ...
 * needed").
 */
WITAN_NODISCARD witan_status witan_ledger_space(witan_ledger *self, uint64_t bytes,
                                                witan_diag *diag);

/* --- results ---------------------------------------------------------------------- */

typedef struct witan_result_row {
    uint32_t round, seat;
    double train_loss, distill_loss; /* NaN is stored as NULL */
    double own_before[3], own_after[3], global_before[3], global_after[3];
    /* accuracy, loss, ece */
    uint64_t bytes_up, bytes_down;
} witan_result_row;

/* A client is done with a round; repeating it changes nothing. */
WITAN_NODISCARD witan_status witan_ledger_done(witan_ledger *self,
                                               const witan_result_row *row,
                                               witan_diag *diag);
/* Results of a round by seat; *list owned by the caller. */
WITAN_NODISCARD witan_status witan_ledger_results(witan_ledger *self, uint32_t round,
                                                  witan_result_row **list,
                                                  size_t *count, witan_diag *diag);

/* --- events: the audit trail ------------------------------------------------------ */

/* What happened, when, to whom: "enrolled", "revoked", "upload-refused", ... Not
 * durable before the next change; kept to the newest 100,000. */
void witan_ledger_event(witan_ledger *self, uint64_t now_s, const char *id,
                        const char *text);
typedef struct witan_event_row {
    uint64_t at_s;
    char id[32];
    char text[256];
} witan_event_row;
/* The `newest` ones, oldest first; *list owned by the caller. */
WITAN_NODISCARD witan_status witan_ledger_events(witan_ledger *self, size_t newest,
                                                 witan_event_row **list, size_t *count,
                                                 witan_diag *diag);

#endif
