/* unpack.c - a peer's bytes to a packet: scan (scan.c), unpack in the arena, copy what
 * has an exact size, then check every value (check.c). */
#include <string.h>

#include "wire/packet_private.h"

static witan_status
wrong_size(const char *packet, const char *field, size_t size, witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_DATA, "%s: %s has %zu bytes", packet, field,
                           size);
}

/* Copies bytes of exactly this size. */
static witan_status
take(uint8_t *out, size_t size, const char *packet, const char *field,
     ProtobufCBinaryData from, witan_diag *diag)
{
    if (from.len != size) {
        return wrong_size(packet, field, from.len, diag);
    }
    memcpy(out, from.data, size);
    return WITAN_OK;
}

/* Copies a digest that may be empty. */
static witan_status
take_digest(uint8_t out[WITAN_DIGEST_SIZE], bool *has, const char *packet,
            ProtobufCBinaryData from, witan_diag *diag)
{
    *has = from.len != 0;
    return *has ? take(out, WITAN_DIGEST_SIZE, packet, "transfer_digest", from, diag)
                : WITAN_OK;
}

/* Copies a text with its NUL. */
static witan_status
take_text(char *out, size_t room, const char *packet, const char *field,
          const char *from, witan_diag *diag)
{
    return witan_wire_text_copy(out, room, from)
               ? WITAN_OK
               : wrong_size(packet, field, strlen(from), diag);
}

static witan_status
take_enroll(witan_packet *out, const Witan__V1__Enroll *body, witan_diag *diag)
{
    WITAN_TRY(take(out->is.enroll.sign_key, sizeof out->is.enroll.sign_key, "enroll",
                   "sign_key", body->sign_key, diag));
    WITAN_TRY(take(out->is.enroll.transport_key, sizeof out->is.enroll.transport_key,
                   "enroll", "transport_key", body->transport_key, diag));
    return take(out->is.enroll.proof, sizeof out->is.enroll.proof, "enroll", "proof",
                body->proof, diag);
}

static witan_status
take_enrolled(witan_packet *out, const Witan__V1__Enrolled *body, witan_diag *diag)
{
    out->is.enrolled.client = body->client;
    out->is.enrolled.approved = body->approved != 0;
    return take_text(out->is.enrolled.name, sizeof out->is.enrolled.name, "enrolled",
                     "name", body->name, diag);
}

static witan_status
take_plan(witan_packet *out, const Witan__V1__Plan *body, witan_diag *diag)
{
    out->is.plan.client = body->client;
    out->is.plan.experiment = body->experiment;
    out->is.plan.embedded_data = body->embedded_data != 0;
    out->is.plan.transfer_bytes = body->transfer_bytes;
    out->is.plan.transfer_rows = body->transfer_rows;
    out->is.plan.classes = body->classes;
    out->is.plan.parameters = body->parameters;
    WITAN_TRY(take_text(out->is.plan.name, sizeof out->is.plan.name, "plan", "name",
                        body->name, diag));
    return take_digest(out->is.plan.transfer_digest, &out->is.plan.has_transfer, "plan",
                       body->transfer_digest, diag);
}

static witan_status
take_ready(witan_packet *out, const Witan__V1__Ready *body, witan_diag *diag)
{
    out->is.ready.samples = body->samples;
    WITAN_TRY(take_text(out->is.ready.model, sizeof out->is.ready.model, "ready",
                        "model", body->model, diag));
    return take_digest(out->is.ready.transfer_digest, &out->is.ready.has_transfer,
                       "ready", body->transfer_digest, diag);
}

static witan_status
take_knowledge(witan_packet_offer *out, const Witan__V1__Knowledge *body,
               witan_diag *diag)
{
    out->round = body->round;
    out->kind = body->kind;
    out->codec = body->codec;
    out->rows = body->rows;
    out->classes = body->classes;
    out->total = body->total;
    out->samples = body->samples;
    WITAN_TRY(take(out->digest, sizeof out->digest, "knowledge", "digest", body->digest,
                   diag));
    return take(out->signature, sizeof out->signature, "knowledge", "signature",
                body->signature, diag);
}

static witan_status
take_fused(witan_packet_offer *out, const Witan__V1__Fused *body, witan_diag *diag)
{
    out->round = body->round;
    out->kind = body->kind;
    out->codec = body->codec;
    out->rows = body->rows;
    out->classes = body->classes;
    out->total = body->total;
    return take(out->digest, sizeof out->digest, "fused", "digest", body->digest, diag);
}

static witan_status
take_refused(witan_packet *out, const Witan__V1__Refused *body, witan_diag *diag)
{
    out->is.refused.round = body->round;
    out->is.refused.reason = body->reason;
    out->is.refused.retry_after_ms = body->retry_after_ms;
    return take_text(out->is.refused.text, sizeof out->is.refused.text, "refused",
                     "text", body->text, diag);
}

/* A metric that was not sent is not known. */
static void
take_metric(witan_packet_metric *out, const Witan__V1__Metric *from)
{
    *out = (witan_packet_metric){(double)NAN, (double)NAN, (double)NAN};
    if (from != NULL) {
        out->accuracy = witan_wire_canonical(from->accuracy);
        out->loss = witan_wire_canonical(from->loss);
        out->ece = witan_wire_canonical(from->ece);
    }
}

static void
take_done(witan_packet *out, const Witan__V1__Done *body)
{
    out->is.done.round = body->round;
    out->is.done.train_loss = witan_wire_canonical(body->train_loss);
    out->is.done.distill_loss = witan_wire_canonical(body->distill_loss);
    take_metric(&out->is.done.own_before, body->own_before);
    take_metric(&out->is.done.own_after, body->own_after);
    take_metric(&out->is.done.global_before, body->global_before);
    take_metric(&out->is.done.global_after, body->global_after);
}

static witan_status
take_rotate(witan_packet *out, const Witan__V1__Rotate *body, witan_diag *diag)
{
    WITAN_TRY(take(out->is.rotate.transport_key, sizeof out->is.rotate.transport_key,
                   "rotate", "transport_key", body->transport_key, diag));
    return take(out->is.rotate.proof, sizeof out->is.rotate.proof, "rotate", "proof",
                body->proof, diag);
}

static witan_status
take_bye(witan_packet *out, const Witan__V1__Bye *body, witan_diag *diag)
{
    out->is.bye.retry_after_ms = body->retry_after_ms;
    out->is.bye.finished = body->finished != 0;
    return take_text(out->is.bye.text, sizeof out->is.bye.text, "bye", "text",
                     body->text, diag);
}

static void
take_get(witan_packet *out, const Witan__V1__Get *body)
{
    out->is.get.what = (witan_blob)body->what;
    out->is.get.round = body->round;
    out->is.get.offset = body->offset;
    out->is.get.size = body->size;
}

static void
take_chunk(witan_packet *out, const Witan__V1__Chunk *body)
{
    out->is.chunk.what = (witan_blob)body->what;
    out->is.chunk.round = body->round;
    out->is.chunk.offset = body->offset;
    out->is.chunk.data = body->data.data;
    out->is.chunk.size = body->data.len;
}

/* No body: one that a newer version has, or nothing at all. */
static witan_status
without_body(const Witan__V1__Packet *message, witan_diag *diag)
{
    for (unsigned i = 0; i < message->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &message->base.unknown_fields[i];
        if (field->wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
            return witan_diag_fail(diag, WITAN_E_UNSUPPORTED,
                                   "packet: body %u is of a newer version", field->tag);
        }
    }
    return witan_diag_fail(diag, WITAN_E_DATA, "packet: it has no body");
}

static witan_status
take_body(witan_packet *out, const Witan__V1__Packet *message, witan_diag *diag)
{
    out->kind = (witan_packet_kind)message->body_case;
    switch (message->body_case) {
    case WITAN__V1__PACKET__BODY_ENROLL:
        return take_enroll(out, message->enroll, diag);
    case WITAN__V1__PACKET__BODY_ENROLLED:
        return take_enrolled(out, message->enrolled, diag);
    case WITAN__V1__PACKET__BODY_ATTACH:
        return take_text(out->is.attach.program, sizeof out->is.attach.program,
                         "attach", "program", message->attach->program, diag);
    case WITAN__V1__PACKET__BODY_PLAN:
        return take_plan(out, message->plan, diag);
    case WITAN__V1__PACKET__BODY_READY:
        return take_ready(out, message->ready, diag);
    case WITAN__V1__PACKET__BODY_OPEN:
        out->is.open.round = message->open->round;
        out->is.open.remaining_ms = message->open->remaining_ms;
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_KNOWLEDGE:
        return take_knowledge(&out->is.offer, message->knowledge, diag);
    case WITAN__V1__PACKET__BODY_ACCEPTED:
        out->is.accepted.round = message->accepted->round;
        out->is.accepted.late = message->accepted->late != 0;
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_REFUSED:
        return take_refused(out, message->refused, diag);
    case WITAN__V1__PACKET__BODY_FUSED:
        return take_fused(&out->is.offer, message->fused, diag);
    case WITAN__V1__PACKET__BODY_DONE:
        take_done(out, message->done);
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_GET:
        take_get(out, message->get);
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_CHUNK:
        take_chunk(out, message->chunk);
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_PING:
        out->is.ping.nonce = message->ping->nonce;
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_PONG:
        out->is.ping.nonce = message->pong->nonce;
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_ROTATE_REQUEST:
        return WITAN_OK;
    case WITAN__V1__PACKET__BODY_ROTATE:
        return take_rotate(out, message->rotate, diag);
    case WITAN__V1__PACKET__BODY_BYE:
        return take_bye(out, message->bye, diag);
    default:
        return without_body(message, diag);
    }
}

static witan_status
unpack(witan_packet *out, witan_packet_arena *arena, const uint8_t *bytes, size_t size,
       witan_diag *diag)
{
    if (size > WITAN_FRAME_MAX) {
        return wrong_size("packet", "it", size, diag);
    }
    const ProtobufCMessageDescriptor *type = &witan__v1__packet__descriptor;
    WITAN_TRY(witan_wire_scan(type, "packet", bytes, size, diag));
    ProtobufCAllocator allocator = witan_wire_arena_begin(arena, size);
    const Witan__V1__Packet *message =
        witan__v1__packet__unpack(&allocator, size, bytes);
    if (message == NULL) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "packet: a field has the wrong wire type");
    }
    WITAN_TRY(take_body(out, message, diag));
    return witan_packet_check(out, WITAN_E_DATA, diag);
}

witan_status
witan_packet_unpack(witan_packet *out, witan_packet_arena *arena, const uint8_t *bytes,
                    size_t size, witan_diag *diag)
{
    memset(out, 0, sizeof *out);
    witan_status status = unpack(out, arena, bytes, size, diag);
    if (status != WITAN_OK) {
        memset(out, 0, sizeof *out);
    }
    return status;
}
