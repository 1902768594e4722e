/* packet.h - protobuf bytes <-> plain structs, believing nothing.
 * Why here: the only room that knows protobuf; shells see C structs whose every field
 * has been checked for size and range. proto/witan/v1/witan.proto is the schema.
 * Unpacking runs in a bump arena with a budget, because hostile megabytes were seen to
 * grow 52-fold inside protobuf-c; nesting is bounded by the schema, which is not
 * recursive.
 * Threads: no state. */
#ifndef WITAN_WIRE_PACKET_H
#define WITAN_WIRE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"

enum {
    WITAN_PROTOCOL_VERSION = 1,  /* the newest and, so far, the oldest spoken */
    WITAN_PACKET_PARAMETERS = 2, /* Knowledge.kind and Fused.kind beside the two kinds
                                    of witan_knowledge_kind */
    WITAN_PACKET_OVERHEAD_MAX = 256, /* bytes of a packed Chunk beside its data */
    WITAN_PROGRAM_MAX = 64
};

typedef enum witan_packet_kind {
    WITAN_PACKET_ENROLL = 1, /* numbers of the oneof */
    WITAN_PACKET_ENROLLED,
    WITAN_PACKET_ATTACH,
    WITAN_PACKET_PLAN,
    WITAN_PACKET_READY,
    WITAN_PACKET_OPEN,
    WITAN_PACKET_KNOWLEDGE,
    WITAN_PACKET_ACCEPTED,
    WITAN_PACKET_REFUSED,
    WITAN_PACKET_FUSED,
    WITAN_PACKET_DONE,
    WITAN_PACKET_GET,
    WITAN_PACKET_CHUNK,
    WITAN_PACKET_PING,
    WITAN_PACKET_PONG,
    WITAN_PACKET_ROTATE_REQUEST,
    WITAN_PACKET_ROTATE,
    WITAN_PACKET_BYE,
} witan_packet_kind;

/* Why something was refused; numbers are part of the protocol: append only. */
typedef enum witan_packet_reason {
    WITAN_REASON_NONE = 0,
    WITAN_REASON_VERSION = 1,       /* no protocol version in common */
    WITAN_REASON_TOKEN_UNKNOWN = 2, /* invitation withdrawn or never made */
    WITAN_REASON_TOKEN_USED = 3,    /* by other keys */
    WITAN_REASON_TOKEN_EXPIRED = 4,
    WITAN_REASON_NOT_ENROLLED = 5,
    WITAN_REASON_NOT_APPROVED = 6,
    WITAN_REASON_REVOKED = 7,
    WITAN_REASON_FULL = 8,    /* no seat is free */
    WITAN_REASON_SHAPE = 9,   /* knowledge: wrong shape, kind, codec or size */
    WITAN_REASON_VALUES = 10, /* knowledge: not finite, not on the simplex */
    WITAN_REASON_UNASKED = 11,
    WITAN_REASON_LATE = 12,
    WITAN_REASON_CONFLICT = 13, /* another upload was accepted for this round */
    WITAN_REASON_DIGEST = 14,   /* bytes do not have the digest: send again */
    WITAN_REASON_SIGNATURE = 15,
    WITAN_REASON_NO_SPACE = 16, /* the coordinator's disk is full: try again */
    WITAN_REASON_TRANSFER = 17, /* another transfer set */
    WITAN_REASON_PROTOCOL = 18, /* a message that makes no sense here */
    WITAN_REASON_BUSY = 19,
} witan_packet_reason;
/* Static text such as "the invitation has expired"; "unknown reason" else. */
const char *witan_packet_reason_text(uint32_t reason);

typedef enum witan_blob {
    WITAN_BLOB_TRANSFER,  /* the transfer set package */
    WITAN_BLOB_KNOWLEDGE, /* a client's upload */
    WITAN_BLOB_FUSED,
} witan_blob;

/* Payloads of the handshake. Texts are NUL-terminated UTF-8 without control characters.
 */
typedef struct witan_hello {
    uint32_t version_min, version_max; /* 1 <= min <= max */
    uint64_t capabilities;
    char program[WITAN_PROGRAM_MAX];
    bool has_token;
    uint8_t token[8];
} witan_hello;

typedef struct witan_welcome {
    uint32_t version; /* 0: none in common */
    uint64_t capabilities;
    char program[WITAN_PROGRAM_MAX];
    uint64_t wall_ms;
    uint32_t heartbeat_ms; /* 100 to 3,600,000 */
    uint32_t window;       /* 1 to 64 */
} witan_welcome;

/* Pack into `out` [room]; unpack into *out (zeroed on failure), of at most 1024 bytes.
 * Errors of pack: E_LIMIT (room), E_INVALID (a field out of its range: our own bug).
 * Errors of unpack: E_DATA. */
WITAN_NODISCARD witan_status witan_hello_pack(uint8_t *out, size_t room, size_t *size,
                                              const witan_hello *hello);
WITAN_NODISCARD witan_status witan_hello_unpack(witan_hello *out, const uint8_t *bytes,
                                                size_t size);
WITAN_NODISCARD witan_status witan_welcome_pack(uint8_t *out, size_t room, size_t *size,
                                                const witan_welcome *welcome);
WITAN_NODISCARD witan_status witan_welcome_unpack(witan_welcome *out,
                                                  const uint8_t *bytes, size_t size);

/* Knowledge and Fused: what a blob of a round is. */
typedef struct witan_packet_offer {
    uint32_t round;         /* < WITAN_ROUNDS_MAX */
    uint32_t kind;          /* witan_knowledge_kind or WITAN_PACKET_PARAMETERS */
    uint32_t codec;         /* witan_codec that fits the kind; 0 for parameters */
    uint64_t rows, classes; /* parameters: 1, count */
    uint64_t total; /* bytes, 1 to WITAN_UPLOAD_BYTES_MAX, agrees with the shape */
    uint8_t digest[WITAN_DIGEST_SIZE];
    uint64_t samples;      /* Knowledge only; at most WITAN_SAMPLES_MAX */
    uint8_t signature[64]; /* Knowledge only */
} witan_packet_offer;

typedef struct witan_packet_metric {
    double accuracy, loss, ece; /* finite (accuracy and ece in [0, 1]) or NaN */
} witan_packet_metric;

/* Every client is < WITAN_CLIENTS_MAX, every round < WITAN_ROUNDS_MAX; numbers without
 * a note are any. Texts are as in the handshake. */
typedef struct witan_packet {
    witan_packet_kind kind;
    union {
        struct {
            uint8_t sign_key[32], transport_key[32], proof[64];
        } enroll;
        struct {
            uint32_t client;
            char name[WITAN_NAME_MAX + 1];
            bool approved;
        } enrolled;
        struct {
            char program[WITAN_PROGRAM_MAX];
        } attach;
        struct {
            uint32_t client;
            char name[WITAN_NAME_MAX + 1];
            const char *experiment; /* at most WITAN_PLAN_BYTES_MAX bytes, may hold
                                       line feeds and tabs; borrowed: of the caller
                                       when packing, of the arena after unpacking */
            bool embedded_data, has_transfer;
            uint8_t transfer_digest[WITAN_DIGEST_SIZE];
            uint64_t transfer_bytes; /* at most WITAN_PACKAGE_BYTES_MAX */
            uint64_t transfer_rows;  /* at most WITAN_SAMPLES_MAX */
            uint64_t parameters;     /* at most WITAN_PARAMETERS_MAX */
            uint32_t classes;        /* at most WITAN_CLASSES_MAX */
        } plan;
        struct {
            bool has_transfer;
            uint8_t transfer_digest[WITAN_DIGEST_SIZE];
            uint64_t samples; /* at most WITAN_SAMPLES_MAX */
            char model[WITAN_PROGRAM_MAX];
        } ready;
        struct {
            uint32_t round;
            uint64_t remaining_ms;
        } open;
        witan_packet_offer offer; /* KNOWLEDGE, FUSED */
        struct {
            uint32_t round;
            bool late;
        } accepted;
        struct {
            uint32_t round;
            uint32_t reason; /* any number */
            char text[256];
            uint64_t retry_after_ms;
        } refused;
        struct {
            uint32_t round;
            double train_loss, distill_loss; /* finite or NaN */
            witan_packet_metric own_before, own_after, global_before, global_after;
        } done;
        struct {
            witan_blob what;
            uint32_t round;
            uint64_t offset; /* < WITAN_UPLOAD_BYTES_MAX */
            uint32_t size;   /* 1 to WITAN_CHUNK_BYTES */
        } get;
        struct {
            witan_blob what;
            uint32_t round;
            uint64_t offset;     /* < WITAN_UPLOAD_BYTES_MAX */
            const uint8_t *data; /* borrowed as plan.experiment */
            size_t size;         /* 1 to WITAN_CHUNK_BYTES */
        } chunk;
        struct {
            uint64_t nonce;
        } ping; /* and PONG */
        struct {
            uint8_t transport_key[32], proof[64];
        } rotate;
        struct {
            uint64_t retry_after_ms;
            bool finished;
            char text[256];
        } bye;
    } is;
} witan_packet;

/* Errors: E_LIMIT (room), E_INVALID (a field out of its range: our own bug). */
WITAN_NODISCARD witan_status witan_packet_pack(uint8_t *out, size_t room, size_t *size,
                                               const witan_packet *packet);

/* Memory of one unpacking at a time. */
typedef struct witan_packet_arena witan_packet_arena;
WITAN_NODISCARD witan_status witan_packet_arena_new(witan_packet_arena **out,
                                                    const witan_allocator *allocator);
void witan_packet_arena_free(witan_packet_arena **self);

/* size at most WITAN_FRAME_MAX. Borrowed fields live until the next unpacking with the
 * same arena; `out` is zeroed on failure. Fields that this version does not know are
 * ignored, but no more than 16 in a message; one that is there twice is an error.
 * Errors: E_DATA ("ready: transfer_digest has 31 bytes"), E_UNSUPPORTED (a body that
 * this version does not know). */
WITAN_NODISCARD witan_status witan_packet_unpack(witan_packet *out,
                                                 witan_packet_arena *arena,
                                                 const uint8_t *bytes, size_t size,
                                                 witan_diag *diag);

/* The bytes that a Knowledge signature covers, into out [WITAN_UPLOAD_STATEMENT]:
 * federation [32], client, round, transfer digest [32], kind, codec, rows, classes,
 * total, samples, digest [32]; numbers in little endian. Domain "WITAN-upload-v1". */
enum {
    WITAN_UPLOAD_STATEMENT = 32 + 4 + 4 + 32 + 4 + 4 + 8 + 8 + 8 + 8 + 32
};
void witan_upload_statement(uint8_t out[WITAN_UPLOAD_STATEMENT],
                            const uint8_t federation[32], uint32_t client,
                            const uint8_t transfer_digest[WITAN_DIGEST_SIZE],
                            const witan_packet_offer *offer);

#endif
