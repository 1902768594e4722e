#include <string.h>

#include "wire/packet_private.h"

/* Wire types of protobuf; 3 and 4 are groups, which version 3 dropped. */
enum {
    VARINT = 0,
    FIXED64 = 1,
    BYTES = 2,
    FIXED32 = 5
};

typedef struct field {
    uint64_t number;
    unsigned type;
    const uint8_t *bytes; /* [size], of type BYTES only */
    size_t size;
} field;

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static bool
read_varint(reader *self, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && self->at < self->end; shift += 7) {
        uint8_t byte = *self->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool
read_field(reader *self, field *out)
{
    uint64_t tag, length = 0;
    if (!read_varint(self, &tag)) {
        return false;
    }
    *out = (field){.number = tag >> 3, .type = tag & 7, .bytes = self->at};
    switch (out->type) {
    case VARINT:
        return out->number != 0 && read_varint(self, &length);
    case FIXED64:
        length = 8;
        break;
    case FIXED32:
        length = 4;
        break;
    case BYTES:
        if (!read_varint(self, &length)) {
            return false;
        }
        out->bytes = self->at;
        break;
    default:
        return false;
    }
    if (out->number == 0 || length > (size_t)(self->end - self->at)) {
        return false;
    }
    out->size = (size_t)length;
    self->at += length;
    return true;
}

static const ProtobufCFieldDescriptor *
known_field(const ProtobufCMessageDescriptor *type, uint64_t number)
{
    return number > INT32_MAX
               ? NULL
               : protobuf_c_message_descriptor_get_field(type, (unsigned)number);
}

/* A bit for each field; members of a oneof (a message has at most one) share the last.
 */
static uint64_t
bit_of(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *known)
{
    bool shared = (known->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    return (uint64_t)1 << (shared ? 63 : known - type->fields);
}

witan_status
witan_wire_scan(const ProtobufCMessageDescriptor *type, const char *name,
                const uint8_t *bytes, size_t size, witan_diag *diag)
{
    WITAN_ASSERT(type->n_fields < 64);
    reader in = {.at = bytes, .end = size == 0 ? bytes : bytes + size};
    uint64_t seen = 0;
    unsigned unknown = 0;
    while (in.at < in.end) {
        size_t offset = size - (size_t)(in.end - in.at);
        field it;
        if (!read_field(&in, &it)) {
            return witan_diag_fail(diag, WITAN_E_DATA,
                                   "%s: no protobuf field at byte %zu", name, offset);
        }
        const ProtobufCFieldDescriptor *known = known_field(type, it.number);
        if (known == NULL) {
            if (++unknown > WITAN_WIRE_UNKNOWN_MAX) {
                return witan_diag_fail(diag, WITAN_E_DATA,
                                       "%s: more than %d unknown fields", name,
                                       WITAN_WIRE_UNKNOWN_MAX);
            }
            continue;
        }
        if ((seen & bit_of(type, known)) != 0) {
            return witan_diag_fail(diag, WITAN_E_DATA, "%s: %s is one field too many",
                                   name, known->name);
        }
        seen |= bit_of(type, known);
        if (it.type != BYTES) {
            continue;
        }
        if (known->type == PROTOBUF_C_TYPE_STRING &&
            memchr(it.bytes, '\0', it.size) != NULL) {
            return witan_diag_fail(diag, WITAN_E_DATA, "%s: %s holds a NUL", name,
                                   known->name);
        }
        if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
            WITAN_TRY(witan_wire_scan(known->descriptor, known->name, it.bytes, it.size,
                                      diag));
        }
    }
    return WITAN_OK;
}
