#include "store/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/text.h"
#include "store/safetensors_header.h"
#include "store/system.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian");

/* --- writing ---------------------------------------------------------------------- */

/* Larger elements first: then every tensor begins at a multiple of its element. */
static const witan_tensor_type order[] = {WITAN_TENSOR_U64, WITAN_TENSOR_F64,
                                          WITAN_TENSOR_F32, WITAN_TENSOR_U8};
enum {
    TYPES = sizeof order / sizeof order[0],
    DIMENSIONS_MAX = 4,
    ALIGNMENT = 8, /* of the data's beginning */
};

/* Bytes of a tensor; false when the entry cannot be written. */
static bool
entry_size(const witan_tensor_entry *entry, size_t *bytes)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._/-";
    if (entry->name == NULL || entry->name[0] == '\0' ||
        entry->name[strspn(entry->name, allowed)] != '\0' ||
        (size_t)entry->type >= TYPES || entry->dimensions > DIMENSIONS_MAX) {
        return false;
    }
    *bytes = witan_tensor_type_size(entry->type);
    for (size_t i = 0; i < entry->dimensions; i++) {
        if (__builtin_mul_overflow(*bytes, entry->shape[i], bytes)) {
            return false;
        }
    }
    return entry->data != NULL || *bytes == 0;
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts `words` and tells whether two are equal. */
static bool
has_repeats(const char **words, size_t count)
{
    if (count > 0) {
        qsort(words, count, sizeof *words, by_text);
    }
    for (size_t i = 1; i < count; i++) {
        if (strcmp(words[i - 1], words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static witan_status
check_entries(const char *path, const witan_tensor_entry *entries, size_t count,
              const char *const (*metadata)[2], size_t metadata_count,
              const witan_allocator *allocator, witan_diag *diag)
{
    size_t most = count > metadata_count ? count : metadata_count, bytes;
    if (count > WITAN_TENSORS_MAX || metadata_count > WITAN_METADATA_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT, "%s: too many tensors or metadata",
                               path);
    }
    for (size_t i = 0; i < count; i++) {
        if (!entry_size(&entries[i], &bytes)) {
            return witan_diag_fail(diag, WITAN_E_INVALID,
                                   "%s: tensor %zu: bad name, type, shape or data",
                                   path, i);
        }
    }
    const char **words = witan_alloc(allocator, most, sizeof *words);
    if (words == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", path);
    }
    for (size_t i = 0; i < count; i++) {
        words[i] = entries[i].name;
    }
    bool repeats = has_repeats(words, count);
    for (size_t i = 0; i < metadata_count; i++) {
        words[i] = metadata[i][0];
    }
    repeats = has_repeats(words, metadata_count) || repeats;
    witan_free(allocator, words);
    return repeats ? witan_diag_fail(diag, WITAN_E_INVALID,
                                     "%s: two tensors or metadata of one name", path)
                   : WITAN_OK;
}

static void
write_header(witan_text *out, const witan_tensor_entry *entries, size_t count,
             const char *const (*metadata)[2], size_t metadata_count)
{
    uint64_t offset = 0;
    const char *comma = "";
    witan_text_add(out, "{", 1);
    if (metadata_count > 0) {
        witan_text_format(out, "\"__metadata__\":{");
        for (size_t i = 0; i < metadata_count; i++) {
            witan_text_format(out, "%s", i == 0 ? "" : ",");
            witan_text_json_string(out, metadata[i][0]);
            witan_text_add(out, ":", 1);
            witan_text_json_string(out, metadata[i][1]);
        }
        witan_text_add(out, "}", 1);
        comma = ",";
    }
    for (size_t i = 0; i < TYPES * count; i++) {
        const witan_tensor_entry *entry = &entries[i % count];
        size_t bytes = 0;
        if (entry->type != order[i / count] || !entry_size(entry, &bytes)) {
            continue;
        }
        witan_text_format(out, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", comma,
                          entry->name, witan_tensor_type_word(entry->type));
        for (size_t j = 0; j < entry->dimensions; j++) {
            witan_text_format(out, "%s%zu", j == 0 ? "" : ",", entry->shape[j]);
        }
        witan_text_format(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
                          offset + bytes);
        offset += bytes;
        comma = ",";
    }
    witan_text_add(out, "}", 1);
    while (out->status == WITAN_OK && out->length % ALIGNMENT != 0) {
        witan_text_add(out, " ", 1);
    }
}

witan_status
witan_safetensors_save(const char *path, const witan_tensor_entry *entries,
                       size_t count, const char *const (*metadata)[2],
                       size_t metadata_count, const witan_allocator *allocator,
                       witan_diag *diag)
{
    witan_file_writer *writer = NULL;
    witan_text header;
    uint8_t prefix[WITAN_SAFETENSORS_PREFIX];

    WITAN_TRY(
        check_entries(path, entries, count, metadata, metadata_count, allocator, diag));
    witan_text_init(&header, allocator, WITAN_SAFETENSORS_HEADER_MAX);
    write_header(&header, entries, count, metadata, metadata_count);
    witan_status status = header.status;
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "%s: header: %s", path,
                              witan_status_text(status));
        goto out;
    }
    status = witan_file_create(&writer, path, allocator, diag);
    if (status != WITAN_OK) {
        goto out;
    }
    for (size_t i = 0; i < sizeof prefix; i++) {
        prefix[i] = (uint8_t)((uint64_t)header.length >> (8 * i));
    }
    (void)witan_file_write(writer, prefix, sizeof prefix); /* told by commit */
    (void)witan_file_write(writer, header.data, header.length);
    for (size_t i = 0; i < TYPES * count; i++) {
        const witan_tensor_entry *entry = &entries[i % count];
        size_t bytes = 0;
        if (entry->type == order[i / count] && entry_size(entry, &bytes)) {
            (void)witan_file_write(writer, entry->data, bytes);
        }
    }
    status = witan_file_commit(&writer, diag);
out:
    witan_text_fini(&header);
    return status;
}

/* --- reading ---------------------------------------------------------------------- */

struct witan_safetensors {
    const witan_allocator *allocator;
    char *path; /* behind the struct */
    int file;
    uint64_t data_begin; /* offset in the file */
    witan_safetensors_header header;
};

/* Reads the header of the open file. Messages lack the path. */
static witan_status
load_header(witan_safetensors *self, witan_diag *diag)
{
    uint8_t prefix[WITAN_SAFETENSORS_PREFIX];
    struct stat status;
    size_t size, got = 0;
    if (fstat(self->file, &status) != 0 || !S_ISREG(status.st_mode)) {
        return witan_diag_fail(diag, WITAN_E_DATA, "not a regular file");
    }
    uint64_t file_size = (uint64_t)status.st_size;
    int error = witan_system_read_at(self->file, 0, prefix, sizeof prefix, &got);
    if (error != 0) {
        return witan_system_fail(diag, "read", self->path, error);
    }
    if (file_size < sizeof prefix || got < sizeof prefix) {
        return witan_diag_fail(diag, WITAN_E_DATA, "not a safetensors file: too short");
    }
    WITAN_TRY(witan_safetensors_header_size(prefix, file_size, &size, diag));
    char *text = witan_alloc(self->allocator, size, 1);
    if (text == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    error = witan_system_read_at(self->file, sizeof prefix, text, size, &got);
    if (error != 0 || got < size) {
        witan_free(self->allocator, text);
        return error != 0 ? witan_system_fail(diag, "read", self->path, error)
                          : witan_diag_fail(diag, WITAN_E_DATA, "the file is cut");
    }
    self->data_begin = sizeof prefix + size;
    return witan_safetensors_header_parse(&self->header, &text, size,
                                          file_size - self->data_begin, self->allocator,
                                          diag);
}

witan_status
witan_safetensors_open(witan_safetensors **out, const char *path,
                       const witan_allocator *allocator, witan_diag *diag)
{
    witan_diag why = {0};
    char *copy = NULL;
    witan_safetensors *self = witan_system_new(allocator, sizeof *self, path, &copy);
    *out = NULL;
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", path);
    }
    self->allocator = allocator;
    self->path = copy;
    self->file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    witan_status status = self->file < 0 ? witan_system_fail(diag, "open", path, errno)
                                         : load_header(self, &why);
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, status == WITAN_E_IO ? "%s%s" : "%s: %s",
                              status == WITAN_E_IO ? "" : path, why.message);
        witan_safetensors_close(&self);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

void
witan_safetensors_close(witan_safetensors **self)
{
    if (*self != NULL) {
        const witan_allocator *allocator = (*self)->allocator;
        if ((*self)->file >= 0) {
            (void)close((*self)->file);
        }
        witan_safetensors_header_fini(&(*self)->header, allocator);
        witan_free(allocator, *self);
        *self = NULL;
    }
}

static int
compare_key(const void *key, const void *pair)
{
    return strcmp(key, *(const char *const *)pair);
}

const char *
witan_safetensors_metadata(const witan_safetensors *self, const char *key)
{
    const char *const *pair =
        self->header.metadata_count == 0
            ? NULL
            : bsearch(key, self->header.metadata, self->header.metadata_count,
                      sizeof *self->header.metadata, compare_key);
    return pair == NULL ? NULL : pair[1];
}

static int
compare_name(const void *name, const void *place)
{
    return strcmp(name, ((const witan_tensor_place *)place)->entry.name);
}

static const witan_tensor_place *
find(const witan_safetensors *self, const char *name)
{
    return self->header.count == 0
               ? NULL
               : bsearch(name, self->header.tensors, self->header.count,
                         sizeof *self->header.tensors, compare_name);
}

const witan_tensor_entry *
witan_safetensors_find(const witan_safetensors *self, const char *name)
{
    const witan_tensor_place *place = find(self, name);
    return place == NULL ? NULL : &place->entry;
}

witan_status
witan_safetensors_read(witan_safetensors *self, const char *name,
                       witan_tensor_type type, size_t count, void *out,
                       witan_diag *diag)
{
    const witan_tensor_place *place = find(self, name);
    size_t got = 0;
    if (place == NULL) {
        return witan_diag_fail(diag, WITAN_E_DATA, "%s: no tensor \"%s\"", self->path,
                               name);
    }
    uint64_t bytes = place->end - place->begin;
    uint64_t stored = bytes / witan_tensor_type_size(place->entry.type);
    if (place->entry.type != type || stored != count) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "%s: tensor \"%s\" is %" PRIu64 " x %s, expected %zu x %s", self->path,
            name, stored, witan_tensor_type_word(place->entry.type), count,
            witan_tensor_type_word(type));
    }
    int error = witan_system_read_at(self->file, self->data_begin + place->begin, out,
                                     (size_t)bytes, &got);
    if (error != 0) {
        return witan_system_fail(diag, "read", self->path, error);
    }
    if (got < bytes) {
        return witan_diag_fail(diag, WITAN_E_DATA, "%s: the file was cut while in use",
                               self->path);
    }
    return WITAN_OK;
}

witan_status
witan_safetensors_check_header(const uint8_t *bytes, size_t size, uint64_t file_size,
                               const witan_allocator *allocator, witan_diag *diag)
{
    witan_safetensors_header header;
    size_t header_size;
    if (size < WITAN_SAFETENSORS_PREFIX || file_size < size) {
        return witan_diag_fail(diag, WITAN_E_DATA, "not a safetensors file: too short");
    }
    WITAN_TRY(witan_safetensors_header_size(bytes, file_size, &header_size, diag));
    if (header_size > size - WITAN_SAFETENSORS_PREFIX) {
        return witan_diag_fail(diag, WITAN_E_DATA, "the file is cut");
    }
    char *text = witan_alloc(allocator, header_size, 1);
    if (text == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    memcpy(text, bytes + WITAN_SAFETENSORS_PREFIX, header_size);
    uint64_t data_size = file_size - WITAN_SAFETENSORS_PREFIX - header_size;
    WITAN_TRY(witan_safetensors_header_parse(&header, &text, header_size, data_size,
                                             allocator, diag));
    witan_safetensors_header_fini(&header, allocator);
    return WITAN_OK;
}
