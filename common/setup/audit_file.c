#include "setup/audit_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "store/safetensors.h"

static const char format_name[] = "witan-audit-1";

/* Rows are decoded in parts of about so many numbers. */
#define PART_VALUES ((size_t)65536)

enum {
    TENSORS = 7,
    PAIRS = 11,
    NUMBER_MAX = 24,
};

witan_status
witan_audit_snapshot_path(char *out, size_t size, const char *run, uint32_t round,
                          uint32_t client, witan_diag *diag)
{
    int length =
        snprintf(out, size, "%s/audit/round-%04" PRIu64 "/client-%04u.safetensors", run,
                 (uint64_t)round + 1, client);
    return length > 0 && (size_t)length < size
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_LIMIT, "%s: the path is too long", run);
}

/* --- taking ----------------------------------------------------------------------- */

/* Largest probability of each row, and into mean [classes], which may be NULL, their
 * sum. */
static void
summarise(const witan_soft_labels *labels, float *p, size_t part, float *top,
          double *mean)
{
    size_t C = labels->classes;
    for (size_t first = 0; first < labels->rows; first += part) {
        size_t left = labels->rows - first, count = left < part ? left : part;
        witan_soft_labels_probabilities(labels, first, count, p);
        for (size_t i = 0; i < count; i++) {
            const float *row = p + i * C;
            float largest = row[0];
            for (size_t c = 0; c < C; c++) {
                largest = row[c] > largest ? row[c] : largest;
            }
            top[first + i] = largest;
            for (size_t c = 0; mean != NULL && c < C; c++) {
                mean[c] += (double)row[c];
            }
        }
    }
}

/* Rows [first, first + count) as labels of their own; of no rows, only the shape. */
static witan_status
cut(witan_soft_labels *out, const witan_soft_labels *from, size_t first, size_t count,
    const witan_allocator *allocator)
{
    size_t width = witan_soft_labels_size(from->codec, 1, from->classes);
    *out = (witan_soft_labels){
        .kind = from->kind, .codec = from->codec, .classes = from->classes};
    if (count == 0) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_soft_labels_new(out, allocator, from->kind, from->codec, count,
                                    from->classes));
    memcpy(out->bytes, from->bytes + first * width, count * width);
    return WITAN_OK;
}

static witan_status
take(witan_audit_snapshot *self, const witan_soft_labels *said,
     const witan_soft_labels *fused, size_t first, size_t count, float *p, size_t part,
     const witan_allocator *allocator)
{
    self->said_mean = witan_zalloc(allocator, said->classes, sizeof *self->said_mean);
    self->said_top = witan_alloc(allocator, said->rows, sizeof *self->said_top);
    if (self->said_mean == NULL || self->said_top == NULL) {
        return WITAN_E_MEMORY;
    }
    summarise(said, p, part, self->said_top, self->said_mean);
    for (size_t c = 0; c < said->classes; c++) {
        self->said_mean[c] /= (double)said->rows;
    }
    WITAN_TRY(cut(&self->said, said, first, count, allocator));
    if (fused == NULL) {
        return WITAN_OK;
    }
    self->fused_top = witan_alloc(allocator, fused->rows, sizeof *self->fused_top);
    if (self->fused_top == NULL) {
        return WITAN_E_MEMORY;
    }
    summarise(fused, p, part, self->fused_top, NULL);
    return cut(&self->fused, fused, first, count, allocator);
}

static void
drop_labels(witan_audit_snapshot *self, const witan_allocator *allocator)
{
    witan_soft_labels_fini(&self->said, allocator);
    witan_soft_labels_fini(&self->fused, allocator);
    witan_free(allocator, self->said_mean);
    witan_free(allocator, self->said_top);
    witan_free(allocator, self->fused_top);
    self->said_mean = NULL;
    self->said_top = NULL;
    self->fused_top = NULL;
    self->has_said = false;
    self->has_fused = false;
}

witan_status
witan_audit_snapshot_take(witan_audit_snapshot *self, const witan_soft_labels *said,
                          const witan_soft_labels *fused, size_t first, size_t count,
                          const witan_allocator *allocator)
{
    size_t part = PART_VALUES / said->classes + 1;
    WITAN_ASSERT(said->rows > 0 && count <= said->rows && first <= said->rows - count);
    WITAN_ASSERT(fused == NULL ||
                 (fused->rows == said->rows && fused->classes == said->classes));
    drop_labels(self, allocator);
    float *p = witan_alloc(allocator, part * said->classes, sizeof *p);
    if (p == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_status status = take(self, said, fused, first, count, p, part, allocator);
    witan_free(allocator, p);
    if (status != WITAN_OK) {
        drop_labels(self, allocator);
        return status;
    }
    self->classes = said->classes;
    self->rows = said->rows;
    self->has_said = true;
    self->has_fused = fused != NULL;
    return WITAN_OK;
}

void
witan_audit_snapshot_fini(witan_audit_snapshot *self, const witan_allocator *allocator)
{
    drop_labels(self, allocator);
    witan_free(allocator, self->before);
    witan_free(allocator, self->after);
    *self = (witan_audit_snapshot){0};
}

/* --- saving ----------------------------------------------------------------------- */

typedef struct writer {
    witan_tensor_entry entries[TENSORS];
    size_t tensors;
    char numbers[PAIRS][NUMBER_MAX];
    const char *pairs[PAIRS][2];
    size_t count; /* of pairs */
} writer;

static void
add_tensor(writer *self, const char *name, witan_tensor_type type, size_t count,
           const void *data)
{
    self->entries[self->tensors++] = (witan_tensor_entry){
        .name = name, .type = type, .dimensions = 1, .shape = {count}, .data = data};
}

static void
add_pair(writer *self, const char *key, const char *value)
{
    self->pairs[self->count][0] = key;
    self->pairs[self->count++][1] = value;
}

static void
add_number(writer *self, const char *key, uint64_t value)
{
    char *text = self->numbers[self->count];
    (void)snprintf(text, NUMBER_MAX, "%" PRIu64, value);
    add_pair(self, key, text);
}

static void
describe(writer *out, const witan_audit_snapshot *self)
{
    add_pair(out, "format", format_name);
    add_pair(out, "architecture", self->architecture);
    add_number(out, "client", self->client);
    add_number(out, "round", self->round);
    add_tensor(out, "before", WITAN_TENSOR_F32, self->parameters, self->before);
    add_tensor(out, "after", WITAN_TENSOR_F32, self->parameters, self->after);
    if (!self->has_said) {
        return;
    }
    add_number(out, "rows", self->rows);
    add_number(out, "classes", self->classes);
    add_number(out, "kept_rows", self->said.rows);
    add_number(out, "said_kind", self->said.kind);
    add_number(out, "said_codec", self->said.codec);
    add_tensor(out, "said", WITAN_TENSOR_U8, self->said.size, self->said.bytes);
    add_tensor(out, "said_mean", WITAN_TENSOR_F64, self->classes, self->said_mean);
    add_tensor(out, "said_top", WITAN_TENSOR_F32, self->rows, self->said_top);
    if (!self->has_fused) {
        return;
    }
    add_number(out, "fused_kind", self->fused.kind);
    add_number(out, "fused_codec", self->fused.codec);
    add_tensor(out, "fused", WITAN_TENSOR_U8, self->fused.size, self->fused.bytes);
    add_tensor(out, "fused_top", WITAN_TENSOR_F32, self->rows, self->fused_top);
}

witan_status
witan_audit_snapshot_save(const char *run, const witan_audit_snapshot *self,
                          const witan_allocator *allocator, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    writer out = {.tensors = 0};
    WITAN_TRY(witan_audit_snapshot_path(path, sizeof path, run, self->round,
                                        self->client, diag));
    char *name = strrchr(path, '/');
    *name = '\0';
    WITAN_TRY(witan_directory_make(path, diag));
    *name = '/';
    describe(&out, self);
    return witan_safetensors_save(path, out.entries, out.tensors,
                                  (const char *const(*)[2])out.pairs, out.count,
                                  allocator, diag);
}

/* --- loading ---------------------------------------------------------------------- */

typedef struct reader {
    witan_safetensors *file;
    const char *path;
    const witan_allocator *allocator;
    witan_diag *diag;
} reader;

static witan_status
odd(const reader *self, const char *what)
{
    return witan_diag_fail(self->diag, WITAN_E_DATA, "%s: %s is missing or not valid",
                           self->path, what);
}

static witan_status
read_number(const reader *self, const char *key, uint64_t low, uint64_t high,
            uint64_t *out)
{
    const char *text = witan_safetensors_metadata(self->file, key);
    return text != NULL && witan_text_parse_u64(text, out) && *out >= low &&
                   *out <= high
               ? WITAN_OK
               : odd(self, key);
}

/* A fresh block with the `count` elements of a tensor; its size was checked against the
 * file when that was opened. */
static witan_status
read_tensor(const reader *self, const char *name, witan_tensor_type type, size_t width,
            size_t count, void **out)
{
    const witan_tensor_entry *entry = witan_safetensors_find(self->file, name);
    *out = NULL;
    if (entry == NULL || entry->type != type || entry->dimensions != 1 ||
        entry->shape[0] != count) {
        return odd(self, name);
    }
    void *block = witan_alloc(self->allocator, count, width);
    if (block == NULL) {
        return witan_diag_fail(self->diag, WITAN_E_MEMORY, "%s: out of memory",
                               self->path);
    }
    witan_status status =
        witan_safetensors_read(self->file, name, type, count, block, self->diag);
    if (status != WITAN_OK) {
        witan_free(self->allocator, block);
        return status;
    }
    *out = block;
    return WITAN_OK;
}

/* Finite floats; of probabilities also in [0, 1]. */
static witan_status
read_floats(const reader *self, const char *name, size_t count, bool probabilities,
            float **out)
{
    void *block;
    WITAN_TRY(read_tensor(self, name, WITAN_TENSOR_F32, sizeof(float), count, &block));
    *out = block;
    for (size_t i = 0; i < count; i++) {
        float value = (*out)[i];
        if (!isfinite(value) || (probabilities && !(value >= 0.0f && value <= 1.01f))) {
            return odd(self, name);
        }
    }
    return WITAN_OK;
}

static witan_status
read_mean(const reader *self, size_t classes, double **out)
{
    void *block;
    WITAN_TRY(read_tensor(self, "said_mean", WITAN_TENSOR_F64, sizeof(double), classes,
                          &block));
    *out = block;
    for (size_t c = 0; c < classes; c++) {
        if (!((*out)[c] >= 0.0 && (*out)[c] <= 1.01)) {
            return odd(self, "said_mean");
        }
    }
    return WITAN_OK;
}

/* "said" or "fused": what metadata tell of it, then its bytes. */
static witan_status
read_labels(const reader *self, const char *name, size_t rows, size_t classes,
            witan_soft_labels *out)
{
    char key[32];
    uint64_t kind, codec;
    void *block;
    witan_diag why = {0};
    (void)snprintf(key, sizeof key, "%s_kind", name);
    WITAN_TRY(read_number(self, key, 0, WITAN_KNOWLEDGE_LOG_PROBABILITY, &kind));
    (void)snprintf(key, sizeof key, "%s_codec", name);
    WITAN_TRY(read_number(self, key, 0, UINT32_MAX, &codec));
    if (!witan_codec_is_valid((uint32_t)codec) ||
        witan_codec_top((witan_codec)codec) > classes ||
        (witan_codec_top((witan_codec)codec) > 0 &&
         kind != WITAN_KNOWLEDGE_PROBABILITY)) {
        return odd(self, key);
    }
    size_t size = witan_soft_labels_size((witan_codec)codec, rows, classes);
    WITAN_TRY(read_tensor(self, name, WITAN_TENSOR_U8, 1, size, &block));
    *out = (witan_soft_labels){
        (witan_knowledge_kind)kind, (witan_codec)codec, rows, classes, block, size};
    if (rows == 0) { /* an empty block is of no use */
        witan_free(self->allocator, out->bytes);
        out->bytes = NULL;
        return WITAN_OK;
    }
    witan_status status = witan_soft_labels_check(out, &why);
    return status == WITAN_OK ? WITAN_OK
                              : witan_diag_fail(self->diag, status, "%s: %s: %s",
                                                self->path, name, why.message);
}

static witan_status
read_knowledge(const reader *self, witan_audit_snapshot *out)
{
    uint64_t rows, classes, kept;
    out->has_said = witan_safetensors_find(self->file, "said") != NULL;
    out->has_fused = witan_safetensors_find(self->file, "fused") != NULL;
    if (!out->has_said) {
        return out->has_fused ? odd(self, "said") : WITAN_OK;
    }
    WITAN_TRY(read_number(self, "rows", 1, WITAN_SAMPLES_MAX, &rows));
    WITAN_TRY(read_number(self, "classes", 1, WITAN_CLASSES_MAX, &classes));
    WITAN_TRY(read_number(self, "kept_rows", 0, rows, &kept));
    out->rows = (size_t)rows;
    out->classes = (size_t)classes;
    WITAN_TRY(read_labels(self, "said", (size_t)kept, (size_t)classes, &out->said));
    WITAN_TRY(read_mean(self, out->classes, &out->said_mean));
    WITAN_TRY(read_floats(self, "said_top", out->rows, true, &out->said_top));
    if (!out->has_fused) {
        return WITAN_OK;
    }
    WITAN_TRY(read_labels(self, "fused", (size_t)kept, (size_t)classes, &out->fused));
    return read_floats(self, "fused_top", out->rows, true, &out->fused_top);
}

static witan_status
read_snapshot(const reader *self, witan_audit_snapshot *out)
{
    const char *format = witan_safetensors_metadata(self->file, "format");
    uint64_t client, round;
    if (format == NULL || strcmp(format, format_name) != 0) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: not what a run keeps for its audit (%s)",
                               self->path, format_name);
    }
    WITAN_TRY(read_number(self, "client", 0, WITAN_CLIENTS_MAX - 1, &client));
    WITAN_TRY(read_number(self, "round", 0, WITAN_ROUNDS_MAX - 1, &round));
    out->client = (uint32_t)client;
    out->round = (uint32_t)round;
    const witan_tensor_entry *entry = witan_safetensors_find(self->file, "before");
    if (entry == NULL || entry->dimensions != 1 || entry->shape[0] == 0 ||
        entry->shape[0] > WITAN_PARAMETERS_MAX) {
        return odd(self, "before");
    }
    out->parameters = entry->shape[0];
    WITAN_TRY(read_floats(self, "before", out->parameters, false, &out->before));
    WITAN_TRY(read_floats(self, "after", out->parameters, false, &out->after));
    return read_knowledge(self, out);
}

witan_status
witan_audit_snapshot_load(witan_audit_snapshot *out, const char *path,
                          const witan_allocator *allocator, witan_diag *diag)
{
    reader self = {.path = path, .allocator = allocator, .diag = diag};
    *out = (witan_audit_snapshot){0};
    WITAN_TRY(witan_safetensors_open(&self.file, path, allocator, diag));
    witan_status status = read_snapshot(&self, out);
    witan_safetensors_close(&self.file);
    if (status != WITAN_OK) {
        witan_audit_snapshot_fini(out, allocator);
    }
    return status;
}
