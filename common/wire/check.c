#include <float.h>
#include <string.h>

#include "knowledge/soft_labels.h"
#include "wire/packet_private.h"

/* Whose fields are checked, and what a broken rule means. */
typedef struct check {
    const char *name;
    witan_status failure;
    witan_diag *diag;
} check;

/* Bytes of the character at `at`, 0 when it is not one (Unicode 15, table 3-7). */
static size_t
character(const unsigned char *at, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = at[0];
    size_t size = lead < 0x80   ? 1
                  : lead < 0xc2 ? 0
                  : lead < 0xe0 ? 2
                  : lead < 0xf0 ? 3
                  : lead < 0xf5 ? 4
                                : 0;
    *point = size < 2 ? lead : lead & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) { /* a NUL too */
            return 0;
        }
        *point = *point << 6 | (at[i] & 0x3fU);
    }
    bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
    return *point < least[size] || *point > 0x10ffff || surrogate ? 0 : size;
}

bool
witan_wire_text_is_plain(const char *text, size_t room, bool lines)
{
    if (text == NULL || memchr(text, '\0', room) == NULL) {
        return false;
    }
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        uint32_t point = 0;
        size_t size = character(at, &point);
        bool control = point < 0x20 || (point >= 0x7f && point <= 0x9f);
        bool layout = lines && (point == '\n' || point == '\t');
        if (size == 0 || (control && !layout)) {
            return false;
        }
        at += size;
    }
    return true;
}

bool
witan_wire_text_copy(char *out, size_t room, const char *text)
{
    size_t length = strlen(text);
    if (length >= room) {
        return false;
    }
    memcpy(out, text, length + 1);
    return true;
}

static witan_status
check_number(const check *self, const char *field, uint64_t value, uint64_t least,
             uint64_t most)
{
    if (value >= least && value <= most) {
        return WITAN_OK;
    }
    return witan_diag_fail(self->diag, self->failure,
                           "%s: %s is %llu, not %llu to %llu", self->name, field,
                           (unsigned long long)value, (unsigned long long)least,
                           (unsigned long long)most);
}

static witan_status
check_round(const check *self, uint32_t round)
{
    return check_number(self, "round", round, 0, WITAN_ROUNDS_MAX - 1);
}

static witan_status
check_client(const check *self, uint32_t client)
{
    return check_number(self, "client", client, 0, WITAN_CLIENTS_MAX - 1);
}

static witan_status
check_text(const check *self, const char *field, const char *text, size_t room)
{
    if (witan_wire_text_is_plain(text, room, false)) {
        return WITAN_OK;
    }
    return witan_diag_fail(self->diag, self->failure,
                           "%s: %s is not plain text of at most %zu bytes", self->name,
                           field, room - 1);
}

/* NaN means "not known" everywhere. */
static witan_status
check_double(const check *self, const char *field, double value, double least,
             double most)
{
    if (isnan(value) || (value >= least && value <= most)) {
        return WITAN_OK;
    }
    return witan_diag_fail(self->diag, self->failure, "%s: %s is out of its range",
                           self->name, field);
}

static witan_status
check_metric(const check *self, const char *field, const witan_packet_metric *metric)
{
    WITAN_TRY(check_double(self, field, metric->accuracy, 0.0, 1.0));
    WITAN_TRY(check_double(self, field, metric->loss, -DBL_MAX, DBL_MAX));
    return check_double(self, field, metric->ece, 0.0, 1.0);
}

static witan_status
check_offer(const check *self, const witan_packet *packet)
{
    const witan_packet_offer *offer = &packet->is.offer;
    WITAN_TRY(check_round(self, offer->round));
    WITAN_TRY(check_number(self, "kind", offer->kind, 0, WITAN_PACKET_PARAMETERS));
    bool parameters = offer->kind == WITAN_PACKET_PARAMETERS;
    bool dense = parameters || offer->kind == WITAN_KNOWLEDGE_LOG_PROBABILITY;
    if (!witan_codec_is_valid(offer->codec) ||
        (dense && witan_codec_top(offer->codec) > 0) ||
        (parameters && offer->codec != WITAN_CODEC_F32)) {
        return witan_diag_fail(self->diag, self->failure, "%s: kind %u has no codec %u",
                               self->name, (unsigned)offer->kind,
                               (unsigned)offer->codec);
    }
    WITAN_TRY(
        check_number(self, "rows", offer->rows, 1, parameters ? 1 : WITAN_SAMPLES_MAX));
    WITAN_TRY(check_number(self, "classes", offer->classes, 1,
                           parameters ? WITAN_PARAMETERS_MAX : WITAN_CLASSES_MAX));
    WITAN_TRY(check_number(self, "total", offer->total, 1, WITAN_UPLOAD_BYTES_MAX));
    if (packet->kind == WITAN_PACKET_KNOWLEDGE) {
        WITAN_TRY(check_number(self, "samples", offer->samples, 0, WITAN_SAMPLES_MAX));
    }
    size_t size = witan_soft_labels_size(offer->codec, (size_t)offer->rows,
                                         (size_t)offer->classes);
    if (offer->total != size) {
        return witan_diag_fail(self->diag, self->failure,
                               "%s: total is %llu bytes, its shape has %zu", self->name,
                               (unsigned long long)offer->total, size);
    }
    return WITAN_OK;
}

static witan_status
check_enrolled(const check *self, const witan_packet *packet)
{
    WITAN_TRY(check_client(self, packet->is.enrolled.client));
    return check_text(self, "name", packet->is.enrolled.name,
                      sizeof packet->is.enrolled.name);
}

static witan_status
check_plan(const check *self, const witan_packet *packet)
{
    WITAN_TRY(check_client(self, packet->is.plan.client));
    WITAN_TRY(
        check_text(self, "name", packet->is.plan.name, sizeof packet->is.plan.name));
    if (!witan_wire_text_is_plain(packet->is.plan.experiment, WITAN_PLAN_BYTES_MAX + 1,
                                  true)) {
        return witan_diag_fail(self->diag, self->failure,
                               "%s: experiment is not text of at most %zu bytes",
                               self->name, WITAN_PLAN_BYTES_MAX);
    }
    WITAN_TRY(check_number(self, "transfer_bytes", packet->is.plan.transfer_bytes, 0,
                           WITAN_PACKAGE_BYTES_MAX));
    WITAN_TRY(check_number(self, "transfer_rows", packet->is.plan.transfer_rows, 0,
                           WITAN_SAMPLES_MAX));
    WITAN_TRY(
        check_number(self, "classes", packet->is.plan.classes, 0, WITAN_CLASSES_MAX));
    return check_number(self, "parameters", packet->is.plan.parameters, 0,
                        WITAN_PARAMETERS_MAX);
}

static witan_status
check_ready(const check *self, const witan_packet *packet)
{
    WITAN_TRY(
        check_number(self, "samples", packet->is.ready.samples, 0, WITAN_SAMPLES_MAX));
    return check_text(self, "model", packet->is.ready.model,
                      sizeof packet->is.ready.model);
}

static witan_status
check_refused(const check *self, const witan_packet *packet)
{
    WITAN_TRY(check_round(self, packet->is.refused.round));
    return check_text(self, "text", packet->is.refused.text,
                      sizeof packet->is.refused.text);
}

static witan_status
check_done(const check *self, const witan_packet *packet)
{
    WITAN_TRY(check_round(self, packet->is.done.round));
    WITAN_TRY(check_double(self, "train_loss", packet->is.done.train_loss, -DBL_MAX,
                           DBL_MAX));
    WITAN_TRY(check_double(self, "distill_loss", packet->is.done.distill_loss, -DBL_MAX,
                           DBL_MAX));
    WITAN_TRY(check_metric(self, "own_before", &packet->is.done.own_before));
    WITAN_TRY(check_metric(self, "own_after", &packet->is.done.own_after));
    WITAN_TRY(check_metric(self, "global_before", &packet->is.done.global_before));
    return check_metric(self, "global_after", &packet->is.done.global_after);
}

/* Get and Chunk. No blob is bigger than an upload. */
static witan_status
check_piece(const check *self, witan_blob what, uint32_t round, uint64_t offset,
            size_t size)
{
    WITAN_TRY(check_number(self, "what", (uint32_t)what, 0, WITAN_BLOB_FUSED));
    WITAN_TRY(check_round(self, round));
    WITAN_TRY(check_number(self, "offset", offset, 0, WITAN_UPLOAD_BYTES_MAX - 1));
    return check_number(self, "size", size, 1, WITAN_CHUNK_BYTES);
}

witan_status
witan_packet_check(const witan_packet *packet, witan_status failure, witan_diag *diag)
{
    check self = {witan_packet_kind_name(packet->kind), failure, diag};
    switch (packet->kind) {
    case WITAN_PACKET_ENROLL:
    case WITAN_PACKET_PING:
    case WITAN_PACKET_PONG:
    case WITAN_PACKET_ROTATE_REQUEST:
    case WITAN_PACKET_ROTATE:
        return WITAN_OK; /* any bytes and any number will do */
    case WITAN_PACKET_ENROLLED:
        return check_enrolled(&self, packet);
    case WITAN_PACKET_ATTACH:
        return check_text(&self, "program", packet->is.attach.program,
                          sizeof packet->is.attach.program);
    case WITAN_PACKET_PLAN:
        return check_plan(&self, packet);
    case WITAN_PACKET_READY:
        return check_ready(&self, packet);
    case WITAN_PACKET_OPEN:
        return check_round(&self, packet->is.open.round);
    case WITAN_PACKET_KNOWLEDGE:
    case WITAN_PACKET_FUSED:
        return check_offer(&self, packet);
    case WITAN_PACKET_ACCEPTED:
        return check_round(&self, packet->is.accepted.round);
    case WITAN_PACKET_REFUSED:
        return check_refused(&self, packet);
    case WITAN_PACKET_DONE:
        return check_done(&self, packet);
    case WITAN_PACKET_GET:
        return check_piece(&self, packet->is.get.what, packet->is.get.round,
                           packet->is.get.offset, packet->is.get.size);
    case WITAN_PACKET_CHUNK:
        return check_piece(&self, packet->is.chunk.what, packet->is.chunk.round,
                           packet->is.chunk.offset, packet->is.chunk.size);
    case WITAN_PACKET_BYE:
        return check_text(&self, "text", packet->is.bye.text,
                          sizeof packet->is.bye.text);
    }
    return witan_diag_fail(diag, failure, "packet: %d is no kind", (int)packet->kind);
}

bool
witan_hello_is_valid(const witan_hello *hello)
{
    return hello->version_min >= 1 && hello->version_min <= hello->version_max &&
           witan_wire_text_is_plain(hello->program, sizeof hello->program, false);
}

bool
witan_welcome_is_valid(const witan_welcome *welcome)
{
    return welcome->heartbeat_ms >= 100 && welcome->heartbeat_ms <= 3600000 &&
           welcome->window >= 1 && welcome->window <= 64 &&
           witan_wire_text_is_plain(welcome->program, sizeof welcome->program, false);
}
