/* pack.c - structs to protobuf bytes, without allocating: protobuf-c's structs lie on
 * the stack and point into the packet. */
#include "wire/packet_private.h"

/* What a packed packet is made of while it is packed. */
typedef struct parts {
    union {
        Witan__V1__Enroll enroll;
        Witan__V1__Enrolled enrolled;
        Witan__V1__Attach attach;
        Witan__V1__Plan plan;
        Witan__V1__Ready ready;
        Witan__V1__Open open;
        Witan__V1__Knowledge knowledge;
        Witan__V1__Accepted accepted;
        Witan__V1__Refused refused;
        Witan__V1__Fused fused;
        Witan__V1__Done done;
        Witan__V1__Get get;
        Witan__V1__Chunk chunk;
        Witan__V1__Ping ping;
        Witan__V1__Pong pong;
        Witan__V1__RotateRequest rotate_request;
        Witan__V1__Rotate rotate;
        Witan__V1__Bye bye;
    } body;
    Witan__V1__Metric metrics[4];
    Witan__V1__Packet packet;
} parts;

witan_status
witan_wire_pack(uint8_t *out, size_t room, size_t *size,
                const ProtobufCMessage *message)
{
    *size = 0;
    size_t needed = protobuf_c_message_get_packed_size(message);
    if (needed > room) {
        return WITAN_E_LIMIT;
    }
    *size = protobuf_c_message_pack(message, out);
    WITAN_ASSERT(*size == needed);
    return WITAN_OK;
}

static void
fill_enroll(Witan__V1__Enroll *body, const witan_packet *packet)
{
    witan__v1__enroll__init(body);
    body->sign_key =
        witan_wire_bytes(packet->is.enroll.sign_key, sizeof packet->is.enroll.sign_key);
    body->transport_key = witan_wire_bytes(packet->is.enroll.transport_key,
                                           sizeof packet->is.enroll.transport_key);
    body->proof =
        witan_wire_bytes(packet->is.enroll.proof, sizeof packet->is.enroll.proof);
}

static void
fill_enrolled(Witan__V1__Enrolled *body, const witan_packet *packet)
{
    witan__v1__enrolled__init(body);
    body->client = packet->is.enrolled.client;
    body->name = witan_wire_text(packet->is.enrolled.name);
    body->approved = packet->is.enrolled.approved;
}

static void
fill_plan(Witan__V1__Plan *body, const witan_packet *packet)
{
    witan__v1__plan__init(body);
    body->client = packet->is.plan.client;
    body->name = witan_wire_text(packet->is.plan.name);
    body->experiment = witan_wire_text(packet->is.plan.experiment);
    body->embedded_data = packet->is.plan.embedded_data;
    body->transfer_digest =
        witan_wire_bytes(packet->is.plan.transfer_digest,
                         packet->is.plan.has_transfer ? WITAN_DIGEST_SIZE : 0);
    body->transfer_bytes = packet->is.plan.transfer_bytes;
    body->transfer_rows = packet->is.plan.transfer_rows;
    body->classes = packet->is.plan.classes;
    body->parameters = packet->is.plan.parameters;
}

static void
fill_ready(Witan__V1__Ready *body, const witan_packet *packet)
{
    witan__v1__ready__init(body);
    body->transfer_digest =
        witan_wire_bytes(packet->is.ready.transfer_digest,
                         packet->is.ready.has_transfer ? WITAN_DIGEST_SIZE : 0);
    body->samples = packet->is.ready.samples;
    body->model = witan_wire_text(packet->is.ready.model);
}

static void
fill_knowledge(Witan__V1__Knowledge *body, const witan_packet_offer *offer)
{
    witan__v1__knowledge__init(body);
    body->round = offer->round;
    body->kind = offer->kind;
    body->codec = offer->codec;
    body->rows = offer->rows;
    body->classes = offer->classes;
    body->total = offer->total;
    body->digest = witan_wire_bytes(offer->digest, sizeof offer->digest);
    body->samples = offer->samples;
    body->signature = witan_wire_bytes(offer->signature, sizeof offer->signature);
}

static void
fill_fused(Witan__V1__Fused *body, const witan_packet_offer *offer)
{
    witan__v1__fused__init(body);
    body->round = offer->round;
    body->kind = offer->kind;
    body->codec = offer->codec;
    body->rows = offer->rows;
    body->classes = offer->classes;
    body->total = offer->total;
    body->digest = witan_wire_bytes(offer->digest, sizeof offer->digest);
}

static void
fill_refused(Witan__V1__Refused *body, const witan_packet *packet)
{
    witan__v1__refused__init(body);
    body->round = packet->is.refused.round;
    body->reason = packet->is.refused.reason;
    body->text = witan_wire_text(packet->is.refused.text);
    body->retry_after_ms = packet->is.refused.retry_after_ms;
}

static Witan__V1__Metric *
fill_metric(Witan__V1__Metric *metric, const witan_packet_metric *from)
{
    witan__v1__metric__init(metric);
    metric->accuracy = witan_wire_canonical(from->accuracy);
    metric->loss = witan_wire_canonical(from->loss);
    metric->ece = witan_wire_canonical(from->ece);
    return metric;
}

static void
fill_done(Witan__V1__Done *body, Witan__V1__Metric metrics[4],
          const witan_packet *packet)
{
    witan__v1__done__init(body);
    body->round = packet->is.done.round;
    body->train_loss = witan_wire_canonical(packet->is.done.train_loss);
    body->distill_loss = witan_wire_canonical(packet->is.done.distill_loss);
    body->own_before = fill_metric(&metrics[0], &packet->is.done.own_before);
    body->own_after = fill_metric(&metrics[1], &packet->is.done.own_after);
    body->global_before = fill_metric(&metrics[2], &packet->is.done.global_before);
    body->global_after = fill_metric(&metrics[3], &packet->is.done.global_after);
}

static void
fill_get(Witan__V1__Get *body, const witan_packet *packet)
{
    witan__v1__get__init(body);
    body->what = (uint32_t)packet->is.get.what;
    body->round = packet->is.get.round;
    body->offset = packet->is.get.offset;
    body->size = packet->is.get.size;
}

static void
fill_chunk(Witan__V1__Chunk *body, const witan_packet *packet)
{
    witan__v1__chunk__init(body);
    body->what = (uint32_t)packet->is.chunk.what;
    body->round = packet->is.chunk.round;
    body->offset = packet->is.chunk.offset;
    body->data = witan_wire_bytes(packet->is.chunk.data, packet->is.chunk.size);
}

static void
fill_rotate(Witan__V1__Rotate *body, const witan_packet *packet)
{
    witan__v1__rotate__init(body);
    body->transport_key = witan_wire_bytes(packet->is.rotate.transport_key,
                                           sizeof packet->is.rotate.transport_key);
    body->proof =
        witan_wire_bytes(packet->is.rotate.proof, sizeof packet->is.rotate.proof);
}

static void
fill_bye(Witan__V1__Bye *body, const witan_packet *packet)
{
    witan__v1__bye__init(body);
    body->retry_after_ms = packet->is.bye.retry_after_ms;
    body->finished = packet->is.bye.finished;
    body->text = witan_wire_text(packet->is.bye.text);
}

/* The packet has been checked: its kind is one. */
static void
fill(parts *self, const witan_packet *packet)
{
    switch (packet->kind) {
    case WITAN_PACKET_ENROLL:
        fill_enroll(&self->body.enroll, packet);
        break;
    case WITAN_PACKET_ENROLLED:
        fill_enrolled(&self->body.enrolled, packet);
        break;
    case WITAN_PACKET_ATTACH:
        witan__v1__attach__init(&self->body.attach);
        self->body.attach.program = witan_wire_text(packet->is.attach.program);
        break;
    case WITAN_PACKET_PLAN:
        fill_plan(&self->body.plan, packet);
        break;
    case WITAN_PACKET_READY:
        fill_ready(&self->body.ready, packet);
        break;
    case WITAN_PACKET_OPEN:
        witan__v1__open__init(&self->body.open);
        self->body.open.round = packet->is.open.round;
        self->body.open.remaining_ms = packet->is.open.remaining_ms;
        break;
    case WITAN_PACKET_KNOWLEDGE:
        fill_knowledge(&self->body.knowledge, &packet->is.offer);
        break;
    case WITAN_PACKET_ACCEPTED:
        witan__v1__accepted__init(&self->body.accepted);
        self->body.accepted.round = packet->is.accepted.round;
        self->body.accepted.late = packet->is.accepted.late;
        break;
    case WITAN_PACKET_REFUSED:
        fill_refused(&self->body.refused, packet);
        break;
    case WITAN_PACKET_FUSED:
        fill_fused(&self->body.fused, &packet->is.offer);
        break;
    case WITAN_PACKET_DONE:
        fill_done(&self->body.done, self->metrics, packet);
        break;
    case WITAN_PACKET_GET:
        fill_get(&self->body.get, packet);
        break;
    case WITAN_PACKET_CHUNK:
        fill_chunk(&self->body.chunk, packet);
        break;
    case WITAN_PACKET_PING:
        witan__v1__ping__init(&self->body.ping);
        self->body.ping.nonce = packet->is.ping.nonce;
        break;
    case WITAN_PACKET_PONG:
        witan__v1__pong__init(&self->body.pong);
        self->body.pong.nonce = packet->is.ping.nonce;
        break;
    case WITAN_PACKET_ROTATE_REQUEST:
        witan__v1__rotate_request__init(&self->body.rotate_request);
        break;
    case WITAN_PACKET_ROTATE:
        fill_rotate(&self->body.rotate, packet);
        break;
    case WITAN_PACKET_BYE:
        fill_bye(&self->body.bye, packet);
        break;
    }
}

witan_status
witan_packet_pack(uint8_t *out, size_t room, size_t *size, const witan_packet *packet)
{
    *size = 0;
    WITAN_TRY(witan_packet_check(packet, WITAN_E_INVALID, NULL));
    parts self;
    fill(&self, packet);
    witan__v1__packet__init(&self.packet);
    /* The members of the oneof are pointers that share their place. */
    self.packet.body_case = (Witan__V1__Packet__BodyCase)packet->kind;
    self.packet.enroll = &self.body.enroll;
    return witan_wire_pack(out, room, size, &self.packet.base);
}
