/* safetensors_header.h - the header of a file as checked structs; private to the room.
 */
#ifndef WITAN_STORE_SAFETENSORS_HEADER_H
#define WITAN_STORE_SAFETENSORS_HEADER_H

#include "store/safetensors.h"

enum {
    WITAN_SAFETENSORS_PREFIX = 8 /* bytes of the header's length */
};

typedef struct witan_tensor_place {
    witan_tensor_entry entry; /* data NULL; name points into text */
    uint64_t begin, end;      /* bytes after the header */
} witan_tensor_place;

typedef struct witan_safetensors_header {
    char *text;                  /* owned; names and metadata lie in it, decoded */
    witan_tensor_place *tensors; /* owned, [count], sorted by name */
    size_t count, room;
    const char *(*metadata)[2]; /* owned, [metadata_count] pairs, sorted by key */
    size_t metadata_count, metadata_room;
} witan_safetensors_header;

/* Word in the file and bytes of an element. */
const char *witan_tensor_type_word(witan_tensor_type type);
size_t witan_tensor_type_size(witan_tensor_type type);

/* Length of the header from the first 8 bytes of a file of `file_size` bytes.
 * Errors: E_DATA. */
WITAN_NODISCARD witan_status
witan_safetensors_header_size(const uint8_t prefix[WITAN_SAFETENSORS_PREFIX],
                              uint64_t file_size, size_t *size, witan_diag *diag);

/* Parses and checks a header of `size` bytes followed by `data_size` bytes of data.
 * Takes *text ([size], changed in place) also on failure. */
WITAN_NODISCARD witan_status witan_safetensors_header_parse(
    witan_safetensors_header *out, char **text, size_t size, uint64_t data_size,
    const witan_allocator *allocator, witan_diag *diag);
void witan_safetensors_header_fini(witan_safetensors_header *self,
                                   const witan_allocator *allocator);

#endif
