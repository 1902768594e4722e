#include "wire/message.h"

#include <string.h>

void
witan_message_fini(witan_message *self, const witan_allocator *allocator)
{
    witan_soft_labels_fini(&self->labels, allocator);
    witan_free(allocator, self->parameters);
    memset(self, 0, sizeof *self);
}

uint64_t
witan_message_payload_bytes(const witan_message *self)
{
    return (uint64_t)self->labels.size +
           (uint64_t)self->parameters_count * sizeof *self->parameters;
}
