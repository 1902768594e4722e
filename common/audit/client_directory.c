/* client_directory.c - a deployed client's directory as a scene: the canaries that it
 * planted, and the model that it became.
 * Why here: a client judges its own model without anybody's help. Nothing that is read
 * is believed; the membership key, which is a secret, is never opened.
 * The names below are those of client/shell/files.h, which an audit may not include. */
#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "data/package.h"
#include "store/file.h"
#include "store/safetensors.h"

#define CLIENT_MEMBERSHIP "membership.key"
#define CLIENT_SETTINGS "settings.json"
#define CLIENT_TRANSFER "transfer.bin"
#define CLIENT_STATE "state.safetensors"
#define CLIENT_MODEL "model.safetensors"

enum {
    SETTINGS_BYTES_MAX = 65536,
    PLAN_PATH_MAX = 1024,
    STATE_NUMBERS_MAX = 64,
    STATE_ROUND = 1 /* place among the state's numbers: the last round, 0-based */
};

static bool
holds(const char *directory, const char *name)
{
    char path[WITAN_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    return length > 0 && (size_t)length < sizeof path && witan_path_exists(path);
}

bool
audit_is_client(const char *directory)
{
    return !holds(directory, "config.json") &&
           (holds(directory, CLIENT_MEMBERSHIP) || holds(directory, CLIENT_MODEL));
}

static witan_status
damaged(const audit_scene *self, const char *name, const char *what)
{
    return witan_diag_fail(self->diag, WITAN_E_DATA,
                           "%s/%s: %s; put back what the client wrote",
                           self->settings->directory, name, what);
}

/* --- settings --------------------------------------------------------------------- */

/* The path of the plan that the client was told to plant. */
static witan_status
read_settings(const audit_scene *self, char plan[PLAN_PATH_MAX])
{
    char path[WITAN_PATH_MAX], *json = NULL;
    size_t size;
    WITAN_TRY(audit_path(path, self, CLIENT_SETTINGS));
    WITAN_TRY(witan_file_read(&json, &size, path, SETTINGS_BYTES_MAX, self->allocator,
                              self->diag));
    cJSON *root = cJSON_ParseWithLengthOpts(json, size + 1, NULL, 1);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "canaries");
    const char *text = cJSON_GetStringValue(item);
    witan_status status = WITAN_OK;
    if (!cJSON_IsObject(root) || (item != NULL && text == NULL)) {
        status = damaged(self, CLIENT_SETTINGS, "it is not a client's settings");
    } else if (text == NULL || text[0] == '\0') {
        status = witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                 "%s: this client planted no canaries; plant them with "
                                 "witan client --canaries PLAN before taking part",
                                 self->settings->directory);
    } else if (strlen(text) >= PLAN_PATH_MAX) {
        status = damaged(self, CLIENT_SETTINGS, "the path of the plan is too long");
    } else {
        memcpy(plan, text, strlen(text) + 1);
    }
    cJSON_Delete(root);
    witan_free(self->allocator, json);
    return status;
}

/* --- the model -------------------------------------------------------------------- */

static witan_status
open_model(witan_safetensors **out, const audit_scene *self)
{
    char path[WITAN_PATH_MAX];
    WITAN_TRY(audit_path(path, self, CLIENT_MODEL));
    if (!witan_path_exists(path)) {
        return witan_diag_fail(self->diag, WITAN_E_STATE,
                               "%s: the experiment is not finished: no %s; audit this "
                               "client when it is",
                               self->settings->directory, CLIENT_MODEL);
    }
    return witan_safetensors_open(out, path, self->allocator, self->diag);
}

/* A whole number from `low` to `high` in the metadata. */
static bool
read_number(uint64_t *out, const witan_safetensors *file, const char *key, size_t low,
            size_t high)
{
    const char *text = witan_safetensors_metadata(file, key);
    return text != NULL && witan_text_parse_u64(text, out) && *out >= low &&
           *out <= high;
}

/* What the file says of itself: seat, architecture, window. */
static witan_status
read_metadata(audit_scene *self, const witan_safetensors *file, witan_model_spec *spec)
{
    const char *format = witan_safetensors_metadata(file, "format");
    const char *architecture = witan_safetensors_metadata(file, "architecture");
    const char *reads = witan_safetensors_metadata(file, "reads");
    uint64_t client, window;
    if (format == NULL || strcmp(format, "witan-model-1") != 0) {
        return damaged(self, CLIENT_MODEL, "it is not a model of witan");
    }
    if (reads == NULL || strcmp(reads, "tokens") != 0) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "%s: canaries of features need the training rows; audit "
                               "a simulated run",
                               self->settings->directory);
    }
    if (!read_number(&client, file, "client", 0, WITAN_CLIENTS_MAX - 1) ||
        !read_number(&window, file, "window", 1, WITAN_CONTEXT_MAX)) {
        return damaged(self, CLIENT_MODEL, "its seat or its window is no number");
    }
    if (architecture == NULL || witan_zoo_parse(spec, architecture, NULL) != WITAN_OK) {
        return damaged(self, CLIENT_MODEL, "its architecture is none that is known");
    }
    self->first = (size_t)client;
    self->learning.positions = (size_t)window;
    return WITAN_OK;
}

/* The tensors must be those of the network, before memory is taken for them. */
static witan_status
check_tensors(const audit_scene *self, const witan_safetensors *file)
{
    const witan_network *network = &self->network[0].network;
    for (size_t i = 0; i < witan_network_tensors(network); i++) {
        const witan_tensor_info *info = witan_network_tensor(network, i);
        const witan_tensor_entry *entry = witan_safetensors_find(file, info->name);
        bool same = entry != NULL && entry->type == WITAN_TENSOR_F32 &&
                    entry->dimensions == info->dimensions;
        for (size_t d = 0; same && d < info->dimensions; d++) {
            same = entry->shape[d] == info->shape[d];
        }
        if (!same) {
            return damaged(self, CLIENT_MODEL,
                           "its tensors are not those of its architecture and of the "
                           "vocabulary in transfer.bin");
        }
    }
    return WITAN_OK;
}

static witan_status
read_parameters(witan_safetensors *file, const audit_scene *self, float *out)
{
    const witan_network *network = &self->network[0].network;
    for (size_t i = 0; i < witan_network_tensors(network); i++) {
        const witan_tensor_info *info = witan_network_tensor(network, i);
        float *to = out + info->offset;
        size_t count = 1;
        for (size_t d = 0; d < info->dimensions; d++) {
            count *= info->shape[d];
        }
        WITAN_TRY(witan_safetensors_read(file, info->name, WITAN_TENSOR_F32, count, to,
                                         self->diag));
        for (size_t j = 0; j < count; j++) {
            if (!isfinite(to[j])) {
                return damaged(self, CLIENT_MODEL, "a parameter is not finite");
            }
        }
    }
    return WITAN_OK;
}

witan_status
audit_client_model(witan_audit_snapshot *out, const audit_scene *self)
{
    size_t count = witan_network_parameters(&self->network[0].network);
    witan_safetensors *file = NULL;
    WITAN_TRY(open_model(&file, self));
    witan_status status = check_tensors(self, file);
    if (status == WITAN_OK) {
        *out = (witan_audit_snapshot){
            .client = (uint32_t)self->first,
            .round = self->recorded[0],
            .parameters = count,
            .before = witan_zalloc(self->allocator, count, sizeof(float)),
            .after = witan_zalloc(self->allocator, count, sizeof(float)),
        };
        status = out->before == NULL || out->after == NULL
                     ? audit_out_of_memory(self)
                     : read_parameters(file, self, out->after);
        if (status == WITAN_OK) {
            memcpy(out->before, out->after, count * sizeof(float));
        } else {
            witan_audit_snapshot_fini(out, self->allocator);
        }
    }
    witan_safetensors_close(&file);
    return status;
}

/* --- vocabulary and plan ---------------------------------------------------------- */

static witan_status
read_plan_in(audit_scene *self, witan_text_unit unit, const witan_dataset *set,
             const char *json, size_t size, const char *path, witan_diag *diag)
{
    witan_vocabulary *vocabulary = &self->world.vocabulary;
    WITAN_TRY(witan_vocabulary_from_names(vocabulary, unit,
                                          (const char *const *)set->token_names,
                                          set->vocabulary, self->allocator, diag));
    witan_status status = witan_canary_plan_read(&self->plan, json, size, path,
                                                 vocabulary, self->allocator, diag);
    if (status != WITAN_OK) {
        witan_vocabulary_fini(vocabulary, self->allocator);
    }
    return status;
}

/* The transfer set does not tell whether its tokens are characters or words: names fit
 * one of them, and where they fit both the plan does. */
static witan_status
read_plan(audit_scene *self, const char *path, const witan_dataset *set)
{
    static const witan_text_unit units[] = {WITAN_TEXT_CHARACTER, WITAN_TEXT_WORD};
    char *json = NULL;
    size_t size;
    witan_diag why[2] = {{0}, {0}};
    WITAN_TRY(witan_file_read(&json, &size, path, WITAN_CANARY_PLAN_BYTES_MAX,
                              self->allocator, self->diag));
    witan_status first = read_plan_in(self, units[0], set, json, size, path, &why[0]);
    witan_status status = first;
    if (first == WITAN_E_DATA || first == WITAN_E_CONFIG) {
        status = read_plan_in(self, units[1], set, json, size, path, &why[1]);
    }
    witan_free(self->allocator, json);
    if (status != WITAN_OK) { /* E_DATA: the names are of the other unit */
        bool second =
            status != first && (first == WITAN_E_DATA || status == WITAN_E_MEMORY);
        return witan_diag_fail(self->diag, second ? status : first, "%s",
                               why[second].message);
    }
    WITAN_TRY(audit_scene_take_plan(self));
    return self->plan.compiled.slots <= set->length + 1
               ? WITAN_OK
               : witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                 "%s: the template takes %zu tokens, a window holds "
                                 "%zu: this plan was not planted here",
                                 path, self->plan.compiled.slots, set->length + 1);
}

static witan_status
take_vocabulary(audit_scene *self, const witan_dataset *set, const char *plan)
{
    if (set->length != self->learning.positions) {
        return damaged(self, CLIENT_TRANSFER,
                       "its windows are not those that the model reads");
    }
    self->text = true;
    self->learning.classes = set->vocabulary;
    self->learning.predict_batch = 1;
    return read_plan(self, plan, set);
}

static witan_status
read_transfer(audit_scene *self, const char *plan)
{
    char path[WITAN_PATH_MAX], *bytes = NULL;
    size_t size;
    witan_dataset set;
    WITAN_TRY(audit_path(path, self, CLIENT_TRANSFER));
    if (!witan_path_exists(path)) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "%s: no %s, which holds the vocabulary; where "
                               "parameters are exchanged, audit a simulated run",
                               self->settings->directory, CLIENT_TRANSFER);
    }
    WITAN_TRY(witan_file_read(&bytes, &size, path, WITAN_PACKAGE_BYTES_MAX,
                              self->allocator, self->diag));
    witan_status status = witan_package_read(&set, (const uint8_t *)bytes, size,
                                             self->allocator, self->diag);
    witan_free(self->allocator, bytes);
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(self->diag, "%s", path);
        return status;
    }
    status = take_vocabulary(self, &set, plan);
    witan_dataset_fini(&set, self->allocator);
    return status;
}

/* --- all of it -------------------------------------------------------------------- */

/* The last round, from the state that the client would go on from. */
static witan_status
read_round(audit_scene *self)
{
    char path[WITAN_PATH_MAX];
    uint64_t numbers[STATE_NUMBERS_MAX];
    witan_safetensors *file = NULL;
    WITAN_TRY(audit_path(path, self, CLIENT_STATE));
    WITAN_TRY(witan_safetensors_open(&file, path, self->allocator, self->diag));
    const witan_tensor_entry *entry = witan_safetensors_find(file, "numbers");
    size_t count = entry != NULL && entry->dimensions == 1 ? entry->shape[0] : 0;
    witan_status status =
        count <= STATE_ROUND || count > STATE_NUMBERS_MAX
            ? damaged(self, CLIENT_STATE, "it is not a client's state")
            : witan_safetensors_read(file, "numbers", WITAN_TENSOR_U64, count, numbers,
                                     self->diag);
    witan_safetensors_close(&file);
    WITAN_TRY(status);
    if (numbers[STATE_ROUND] >= WITAN_ROUNDS_MAX) {
        return damaged(self, CLIENT_STATE, "there are no so many rounds");
    }
    self->recorded = witan_alloc(self->allocator, 1, sizeof *self->recorded);
    if (self->recorded == NULL) {
        return audit_out_of_memory(self);
    }
    self->recorded[0] = (uint32_t)numbers[STATE_ROUND];
    self->recorded_count = self->clients = 1;
    self->rounds = (size_t)numbers[STATE_ROUND] + 1;
    return WITAN_OK;
}

static witan_status
open_with(audit_scene *self, const witan_safetensors *file, const char *plan)
{
    witan_model_spec spec;
    WITAN_TRY(read_metadata(self, file, &spec));
    WITAN_TRY(read_transfer(self, plan));
    const witan_input input = {.length = self->learning.positions,
                               .outputs = self->learning.classes};
    WITAN_TRY(audit_scene_make_networks(self, &spec, 1, &input));
    WITAN_TRY(check_tensors(self, file));
    return read_round(self);
}

witan_status
audit_client_open(audit_scene *self)
{
    char plan[PLAN_PATH_MAX];
    witan_safetensors *file = NULL;
    WITAN_TRY(read_settings(self, plan));
    WITAN_TRY(open_model(&file, self));
    witan_status status = open_with(self, file, plan);
    witan_safetensors_close(&file);
    return status;
}
