#include "client/shell/snapshot.h"

#include <math.h>
#include <string.h>

#include "store/safetensors.h"

#define FORMAT "witan-client-1"

enum {
    NUMBERS_FIXED = 4, /* phase, round, unopened, optimiser step */
    NUMBERS_METRICS = 2 + 4 * 3,
    NUMBERS = NUMBERS_FIXED + NUMBERS_METRICS,
    ENTRIES_MAX = 5
};

void
node_record_init(node_record *self, uint32_t round)
{
    const witan_packet_metric none = {(double)NAN, (double)NAN, (double)NAN};
    *self = (node_record){
        .round = round,
        .train_loss = (double)NAN,
        .distill_loss = (double)NAN,
        .own_before = none,
        .own_after = none,
        .global_before = none,
        .global_after = none,
    };
}

void
node_record_fini(node_record *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->knowledge);
    self->knowledge = NULL;
    self->knowledge_size = 0;
}

static witan_status
out_of_memory(witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for the saved state");
}

/* The places of a record's measurements, in the order of the file. */
static void
measurements(node_record *record, double *out[NUMBERS_METRICS])
{
    witan_packet_metric *metrics[] = {&record->own_before, &record->own_after,
                                      &record->global_before, &record->global_after};
    *out++ = &record->train_loss;
    *out++ = &record->distill_loss;
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        *out++ = &metrics[i]->accuracy;
        *out++ = &metrics[i]->loss;
        *out++ = &metrics[i]->ece;
    }
}

/* Over everything but the metadata; the file's checksum. */
static void
digest_all(uint8_t out[WITAN_DIGEST_SIZE], const uint64_t numbers[NUMBERS],
           const node_model_state *state, const node_record *record)
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update(&digest, numbers, NUMBERS * sizeof *numbers);
    witan_digest_update_u64(&digest, state->count);
    witan_digest_update(&digest, state->data,
                        state->count *
                            (state->type == WITAN_TENSOR_F32 ? sizeof(float) : 1));
    witan_digest_update(&digest, record->knowledge, record->knowledge_size);
    if (state->lesson != NULL) {
        witan_digest_update_u64(&digest, state->lesson_size);
        witan_digest_update(&digest, state->lesson, state->lesson_size);
    }
    witan_digest_final(&digest, out);
}

witan_status
node_snapshot_save(const char *path, const node_snapshot *self, node_model *model,
                   witan_diag *diag)
{
    node_model_state state = {0};
    node_record record = self->record;
    uint64_t numbers[NUMBERS] = {self->phase, record.round, self->unopened};
    uint8_t check[WITAN_DIGEST_SIZE];
    char plan[WITAN_DIGEST_HEX_SIZE];
    double *values[NUMBERS_METRICS];
    WITAN_TRY(model->ops->save(model, &state, diag));
    numbers[3] = state.step;
    measurements(&record, values);
    for (size_t i = 0; i < NUMBERS_METRICS; i++) {
        memcpy(&numbers[NUMBERS_FIXED + i], values[i], sizeof *numbers);
    }
    digest_all(check, numbers, &state, &record);
    witan_digest_hex(plan, model->study->digest);
    witan_tensor_entry entries[ENTRIES_MAX] = {
        {"numbers", WITAN_TENSOR_U64, 1, {NUMBERS}, numbers},
        {"model", state.type, 1, {state.count}, state.data},
        {"check", WITAN_TENSOR_U8, 1, {sizeof check}, check},
    };
    size_t count = 3;
    if (record.knowledge != NULL) {
        entries[count++] = (witan_tensor_entry){
            "knowledge", WITAN_TENSOR_U8, 1, {record.knowledge_size}, record.knowledge};
    }
    if (state.lesson != NULL) {
        entries[count++] = (witan_tensor_entry){
            "lesson", WITAN_TENSOR_U8, 1, {state.lesson_size}, state.lesson};
    }
    const char *const metadata[][2] = {{"format", FORMAT},
                                       {"version", WITAN_VERSION},
                                       {"plan", plan},
                                       {"model", model->study->model_name}};
    return witan_safetensors_save(path, entries, count, metadata,
                                  sizeof metadata / sizeof metadata[0],
                                  model->allocator, diag);
}

/* --- loading ---------------------------------------------------------------------- */

static witan_status
check_plan(const witan_safetensors *file, const node_study *study, witan_diag *diag)
{
    char plan[WITAN_DIGEST_HEX_SIZE];
    const char *format = witan_safetensors_metadata(file, "format");
    const char *stored = witan_safetensors_metadata(file, "plan");
    if (format == NULL || strcmp(format, FORMAT) != 0 || stored == NULL) {
        return witan_diag_fail(diag, WITAN_E_DATA, "not a client's state");
    }
    witan_digest_hex(plan, study->digest);
    return strcmp(stored, plan) == 0
               ? WITAN_OK
               : witan_diag_fail(
                     diag, WITAN_E_STATE,
                     "it belongs to another experiment, seat, transfer set or "
                     "model; move the directory away and join again, or "
                     "remove this file to start from a fresh model");
}

/* A tensor of one dimension into a block of the caller's; *count 0 when it is absent.
 */
static witan_status
read_block(witan_safetensors *file, const char *name, witan_tensor_type type,
           void **out, size_t *count, const witan_allocator *allocator,
           witan_diag *diag)
{
    const witan_tensor_entry *entry = witan_safetensors_find(file, name);
    *out = NULL;
    *count = 0;
    if (entry == NULL) {
        return WITAN_OK;
    }
    if (entry->type != type || entry->dimensions != 1) {
        return witan_diag_fail(diag, WITAN_E_DATA, "%s is not what it should be", name);
    }
    size_t size = type == WITAN_TENSOR_F32 ? sizeof(float) : 1;
    *out = witan_alloc(allocator, entry->shape[0], size); /* no more than the file */
    if (*out == NULL) {
        return out_of_memory(diag);
    }
    *count = entry->shape[0];
    return witan_safetensors_read(file, name, type, *count, *out, diag);
}

/* Phase, round and knowledge that a client of this plan can be in. */
static bool
is_possible(const node_snapshot *it, const node_study *study)
{
    bool waits = it->phase == WITAN_CLIENT_WAITING;
    witan_packet_offer offer;
    node_study_offer(study, false, &offer);
    return (waits || it->phase == WITAN_CLIENT_IDLE) &&
           it->record.round < study->config.rounds &&
           it->unopened == (uint64_t)it->record.round + 1 &&
           waits == (it->record.knowledge != NULL) &&
           (!waits ||
            (node_study_exchanges(study) && it->record.knowledge_size == offer.total));
}

static witan_status
read_open_file(witan_safetensors *file, node_snapshot *out, node_model *model,
               node_model_state *state, void *blocks[2], witan_diag *diag)
{
    const witan_allocator *allocator = model->allocator;
    uint64_t numbers[NUMBERS];
    uint8_t stored[WITAN_DIGEST_SIZE], actual[WITAN_DIGEST_SIZE];
    double *values[NUMBERS_METRICS];
    void *knowledge = NULL;
    WITAN_TRY(check_plan(file, model->study, diag));
    WITAN_TRY(witan_safetensors_read(file, "numbers", WITAN_TENSOR_U64, NUMBERS,
                                     numbers, diag));
    WITAN_TRY(witan_safetensors_read(file, "check", WITAN_TENSOR_U8, sizeof stored,
                                     stored, diag));
    out->phase = numbers[0] <= WITAN_CLIENT_DISTILLING ? (witan_client_phase)numbers[0]
                                                       : WITAN_CLIENT_DISTILLING;
    out->record.round = (uint32_t)numbers[1];
    out->unopened = numbers[2];
    state->step = numbers[3];
    measurements(&out->record, values);
    for (size_t i = 0; i < NUMBERS_METRICS; i++) {
        memcpy(values[i], &numbers[NUMBERS_FIXED + i], sizeof *values[i]);
    }
    witan_status status = read_block(file, "knowledge", WITAN_TENSOR_U8, &knowledge,
                                     &out->record.knowledge_size, allocator, diag);
    out->record.knowledge = knowledge;
    WITAN_TRY(status);
    const witan_tensor_entry *entry = witan_safetensors_find(file, "model");
    state->type = entry != NULL ? entry->type : WITAN_TENSOR_U8;
    WITAN_TRY(read_block(file, "model", state->type, &blocks[0], &state->count,
                         allocator, diag));
    state->data = blocks[0];
    WITAN_TRY(read_block(file, "lesson", WITAN_TENSOR_U8, &blocks[1],
                         &state->lesson_size, allocator, diag));
    state->lesson = blocks[1];
    digest_all(actual, numbers, state, &out->record);
    if (memcmp(stored, actual, sizeof stored) != 0) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "its bytes changed since it was saved");
    }
    return is_possible(out, model->study)
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_DATA, "no client can be in this state");
}

witan_status
node_snapshot_load(const char *path, node_snapshot *out, node_model *model,
                   witan_diag *diag)
{
    witan_safetensors *file = NULL;
    node_model_state state = {0};
    void *blocks[2] = {NULL, NULL};
    memset(out, 0, sizeof *out);
    out->phase = WITAN_CLIENT_IDLE;
    node_record_init(&out->record, 0);
    if (!witan_path_exists(path)) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_safetensors_open(&file, path, model->allocator, diag));
    witan_diag why = {0};
    witan_status status = read_open_file(file, out, model, &state, blocks, &why);
    if (status == WITAN_OK) {
        status = model->ops->load(model, &state, &why);
    }
    witan_safetensors_close(&file);
    witan_free(model->allocator, blocks[0]);
    witan_free(model->allocator, blocks[1]);
    if (status != WITAN_OK) {
        node_record_fini(&out->record, model->allocator);
        (void)witan_diag_fail(
            diag, status, "%s: %s%s", path, why.message,
            status == WITAN_E_DATA
                ? "; restore it from a copy, or remove it to start from a fresh model"
                : "");
    }
    return status;
}
