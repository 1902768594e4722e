#include "wire/packet.h"

#include <string.h>

#include "wire/packet_private.h"

const char *
witan_packet_reason_text(uint32_t reason)
{
    static const char *const texts[] = {
        [WITAN_REASON_NONE] = "no reason",
        [WITAN_REASON_VERSION] = "no protocol version in common",
        [WITAN_REASON_TOKEN_UNKNOWN] = "the invitation was withdrawn or never made",
        [WITAN_REASON_TOKEN_USED] = "the invitation was used by other keys",
        [WITAN_REASON_TOKEN_EXPIRED] = "the invitation has expired",
        [WITAN_REASON_NOT_ENROLLED] = "not enrolled",
        [WITAN_REASON_NOT_APPROVED] = "not approved yet",
        [WITAN_REASON_REVOKED] = "the enrolment was revoked",
        [WITAN_REASON_FULL] = "no seat is free",
        [WITAN_REASON_SHAPE] = "knowledge of the wrong shape, kind, codec or size",
        [WITAN_REASON_VALUES] = "knowledge with values that cannot be",
        [WITAN_REASON_UNASKED] = "not asked for in this round",
        [WITAN_REASON_LATE] = "the round is over",
        [WITAN_REASON_CONFLICT] = "other knowledge was accepted for this round",
        [WITAN_REASON_DIGEST] = "the bytes do not have the digest",
        [WITAN_REASON_SIGNATURE] = "the signature is wrong",
        [WITAN_REASON_NO_SPACE] = "the coordinator's disk is full",
        [WITAN_REASON_TRANSFER] = "another transfer set",
        [WITAN_REASON_PROTOCOL] = "a message that makes no sense here",
        [WITAN_REASON_BUSY] = "the coordinator is busy",
    };
    return reason < sizeof texts / sizeof *texts ? texts[reason] : "unknown reason";
}

const char *
witan_packet_kind_name(witan_packet_kind kind)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
        &witan__v1__packet__descriptor, (unsigned)kind);
    return field == NULL ? "packet" : field->name;
}

/* Little-endian writers that advance. */
static uint8_t *
put_number(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        *at++ = (uint8_t)(value >> 8 * i);
    }
    return at;
}

static uint8_t *
put_bytes(uint8_t *at, const uint8_t *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

void
witan_upload_statement(uint8_t out[WITAN_UPLOAD_STATEMENT],
                       const uint8_t federation[32], uint32_t client,
                       const uint8_t transfer_digest[WITAN_DIGEST_SIZE],
                       const witan_packet_offer *offer)
{
    uint8_t *at = put_bytes(out, federation, 32);
    at = put_number(at, client, 4);
    at = put_number(at, offer->round, 4);
    at = put_bytes(at, transfer_digest, WITAN_DIGEST_SIZE);
    at = put_number(at, offer->kind, 4);
    at = put_number(at, offer->codec, 4);
    at = put_number(at, offer->rows, 8);
    at = put_number(at, offer->classes, 8);
    at = put_number(at, offer->total, 8);
    at = put_number(at, offer->samples, 8);
    at = put_bytes(at, offer->digest, WITAN_DIGEST_SIZE);
    WITAN_ASSERT(at == out + WITAN_UPLOAD_STATEMENT);
}
