/* safetensors.h - named tensors in one file: 8 bytes header length, JSON, data.
 * Why here: models and resumable states are files that other tools can open.
 * Source: the safetensors format description (huggingface/safetensors README).
 * Read strictly: header within limits, offsets in order, no hole, no overlap, exact
 * size. Types: F32, F64, U64 and U8 are written and read here. Tensors of larger
 * elements come first in the file, so that every tensor is aligned to its elements.
 * Threads: an object belongs to one thread. */
#ifndef WITAN_STORE_SAFETENSORS_H
#define WITAN_STORE_SAFETENSORS_H

#include "store/file.h"

typedef enum witan_tensor_type {
    WITAN_TENSOR_F32,
    WITAN_TENSOR_U64,
    WITAN_TENSOR_U8,
    WITAN_TENSOR_F64,
} witan_tensor_type;

typedef struct witan_tensor_entry {
    const char *name; /* writing: [A-Za-z0-9._/-]+, unique, borrowed; reading: any text
                         without control characters, owned by the reader */
    witan_tensor_type type;
    size_t dimensions; /* 0 to 4 */
    size_t shape[4];
    const void *data; /* writing: borrowed, NULL only without elements; reading: NULL */
} witan_tensor_entry;

/* metadata: pairs key, value (UTF-8 text), keys unique, into "__metadata__". Atomic
 * (file.h). Data is streamed, never copied whole. Errors: E_INVALID (names, shapes,
 * data NULL), E_LIMIT, E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status witan_safetensors_save(
    const char *path, const witan_tensor_entry *entries, size_t count,
    const char *const (*metadata)[2], size_t metadata_count,
    const witan_allocator *allocator, witan_diag *diag);

typedef struct witan_safetensors witan_safetensors;

/* Opens and validates the header; tensor data stays in the file until read.
 * Errors: E_IO, E_DATA (all that is wrong with the content), E_MEMORY. */
WITAN_NODISCARD witan_status witan_safetensors_open(witan_safetensors **out,
                                                    const char *path,
                                                    const witan_allocator *allocator,
                                                    witan_diag *diag);
void witan_safetensors_close(witan_safetensors **self);
/* NULL when absent; borrowed until close. */
const char *witan_safetensors_metadata(const witan_safetensors *self, const char *key);
/* Entry by name (data = NULL), NULL when absent. O(log n). */
const witan_tensor_entry *witan_safetensors_find(const witan_safetensors *self,
                                                 const char *name);
/* Reads a tensor that must have this type and element count into `out`.
 * Errors: E_DATA (absent, other type or size, file cut since), E_IO. */
WITAN_NODISCARD witan_status witan_safetensors_read(witan_safetensors *self,
                                                    const char *name,
                                                    witan_tensor_type type,
                                                    size_t count, void *out,
                                                    witan_diag *diag);
/* What open checks, on the first `size` bytes of a file of `file_size` bytes (length,
 * header, perhaps data): for fuzzing. Errors: E_DATA, E_MEMORY. */
WITAN_NODISCARD witan_status
witan_safetensors_check_header(const uint8_t *bytes, size_t size, uint64_t file_size,
                               const witan_allocator *allocator, witan_diag *diag);

#endif
