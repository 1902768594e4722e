#include "client/shell/files.h"

#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "data/load.h"
#include "nn/spec.h"
#include "store/file.h"
#include "store/secret_file.h"

enum {
    SETTINGS_BYTES_MAX = 65536
};

witan_status
node_path(char out[WITAN_PATH_MAX], const char *directory, const char *name,
          witan_diag *diag)
{
    int length = snprintf(out, WITAN_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && (size_t)length < WITAN_PATH_MAX
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_LIMIT, "%s: the path is too long",
                                 directory);
}

bool
node_file_exists(const char *directory, const char *name)
{
    char path[WITAN_PATH_MAX];
    return node_path(path, directory, name, NULL) == WITAN_OK &&
           witan_path_exists(path);
}

witan_status
node_identity_load(witan_identity **out, const char *directory, const char *name,
                   witan_diag *diag)
{
    char path[WITAN_PATH_MAX], text[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    *out = NULL;
    WITAN_TRY(node_path(path, directory, name, diag));
    if (!witan_path_exists(path)) {
        return WITAN_OK;
    }
    witan_status status = witan_secret_file_read(path, text, sizeof text, &size, diag);
    if (status == WITAN_OK) {
        status = witan_identity_parse(out, text, size, diag);
        if (status != WITAN_OK) {
            (void)witan_diag_prefix(diag, "%s", path);
        }
    }
    witan_wipe(text, sizeof text);
    return status;
}

witan_status
node_identity_save(const witan_identity *identity, const char *directory,
                   const char *name, witan_diag *diag)
{
    char path[WITAN_PATH_MAX], text[WITAN_KEY_FILE_MAX];
    size_t size = 0;
    WITAN_TRY(node_path(path, directory, name, diag));
    witan_identity_format(identity, text, &size);
    witan_status status = witan_secret_file_write(path, text, size, diag);
    witan_wipe(text, sizeof text);
    return status;
}

witan_status
node_membership_load(witan_membership **out, const char *directory, witan_diag *diag)
{
    char path[WITAN_PATH_MAX], text[WITAN_MEMBERSHIP_MAX];
    size_t size = 0;
    *out = NULL;
    WITAN_TRY(node_path(path, directory, NODE_MEMBERSHIP, diag));
    if (!witan_path_exists(path)) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: not enrolled yet; use `witan join` with the line "
                               "that the coordinator's operator gave you",
                               directory);
    }
    witan_membership *self = witan_secret_alloc(sizeof *self);
    void *secret = self;
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "no memory for a key");
    }
    witan_status status = witan_secret_file_read(path, text, sizeof text, &size, diag);
    if (status == WITAN_OK) {
        status = witan_membership_parse(self, text, size, diag);
        if (status != WITAN_OK) {
            (void)witan_diag_prefix(diag, "%s", path);
        }
    }
    witan_wipe(text, sizeof text);
    if (status != WITAN_OK) {
        witan_secret_free(&secret);
        return status;
    }
    *out = self;
    return WITAN_OK;
}

witan_status
node_membership_save(const witan_membership *membership, const char *directory,
                     witan_diag *diag)
{
    char path[WITAN_PATH_MAX], text[WITAN_MEMBERSHIP_MAX];
    size_t size = 0;
    WITAN_TRY(node_path(path, directory, NODE_MEMBERSHIP, diag));
    witan_membership_format(membership, text, &size);
    witan_status status = witan_secret_file_write(path, text, size, diag);
    witan_wipe(text, sizeof text);
    return status;
}

/* --- settings --------------------------------------------------------------------- */

witan_status
node_settings_format(int *out, const witan_node_settings *settings, witan_diag *diag)
{
    *out = WITAN_DATA_AUTO;
    if (settings->format[0] == '\0') {
        return WITAN_OK;
    }
    for (int i = 0;; i++) {
        const char *name = witan_data_format_name((witan_data_format)i);
        if (name == NULL) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "format: \"%s\" is not known; use auto, idx, cifar10, "
                "npy, npz or csv",
                settings->format);
        }
        if (strcmp(name, settings->format) == 0) {
            *out = i;
            return WITAN_OK;
        }
    }
}

/* Key of an assignment that a client may insist on. */
static bool
protects(const char *assignment, size_t length)
{
    static const char *const prefixes[] = {"swing.", "local.privacy.",
                                           "extract.temperature="};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t prefix = strlen(prefixes[i]);
        if (length > prefix && strncmp(assignment, prefixes[i], prefix) == 0) {
            return true;
        }
    }
    return false;
}

witan_status
node_settings_apply(const witan_node_settings *settings, witan_config *config,
                    const witan_allocator *allocator, witan_diag *diag)
{
    for (const char *line = settings->protect; *line != '\0';) {
        char assignment[sizeof settings->protect];
        size_t length = strcspn(line, "\n");
        memcpy(assignment, line, length);
        assignment[length] = '\0';
        WITAN_TRY(witan_config_set(config, assignment, allocator, diag));
        line += length + (line[length] == '\n');
    }
    return WITAN_OK;
}

/* Keys that protect alone, each with a value that its key takes. */
static witan_status
check_protect(const witan_node_settings *settings, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    for (const char *line = settings->protect; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (!protects(line, length)) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "protect: \"%.*s\" is none of swing.*, "
                                   "local.privacy.* and extract.temperature",
                                   (int)(length < 128 ? length : 128), line);
        }
        line += length + (line[length] == '\n');
    }
    if (settings->protect[0] == '\0') {
        return WITAN_OK;
    }
    witan_config config;
    WITAN_TRY(witan_config_init(&config, allocator));
    witan_status status = node_settings_apply(settings, &config, allocator, diag);
    witan_config_fini(&config, allocator);
    return status;
}

witan_status
node_settings_check(const witan_node_settings *settings, witan_diag *diag)
{
    int format;
    WITAN_TRY(node_settings_format(&format, settings, diag));
    if (!(settings->test_fraction > 0.0 && settings->test_fraction < 1.0)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "test_fraction: use a number between 0 and 1");
    }
    if (settings->model[0] != '\0') {
        witan_model_spec spec;
        WITAN_TRY(witan_zoo_parse(&spec, settings->model, diag));
    }
    return check_protect(settings, diag);
}

witan_status
node_settings_save(const witan_node_settings *settings, const char *directory,
                   const witan_allocator *allocator, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    witan_text text;
    WITAN_TRY(node_path(path, directory, NODE_SETTINGS, diag));
    witan_text_init(&text, allocator, SETTINGS_BYTES_MAX);
    witan_text_format(&text, "{\n  \"data\": ");
    witan_text_json_string(&text, settings->data);
    witan_text_format(&text, ",\n  \"format\": ");
    witan_text_json_string(&text, settings->format);
    witan_text_format(&text, ",\n  \"label\": ");
    witan_text_json_string(&text, settings->label);
    witan_text_format(&text, ",\n  \"test_fraction\": ");
    witan_text_json_number(&text, settings->test_fraction);
    witan_text_format(&text, ",\n  \"model\": ");
    witan_text_json_string(&text, settings->model);
    witan_text_format(&text, ",\n  \"protect\": ");
    witan_text_json_string(&text, settings->protect);
    witan_text_format(&text, ",\n  \"canaries\": ");
    witan_text_json_string(&text, settings->canaries);
    witan_text_format(&text, "\n}\n");
    witan_status status = text.status;
    if (status == WITAN_OK) {
        status = witan_file_replace(path, text.data, text.length, allocator, diag);
    }
    witan_text_fini(&text);
    return status == WITAN_OK ? status
                              : witan_diag_fail(diag, status, "%s: %s", path,
                                                witan_status_text(status));
}

typedef struct settings_text {
    const char *key;
    char *out;
    size_t room;
} settings_text;

static witan_status
read_member(witan_node_settings *out, const cJSON *item, witan_diag *diag)
{
    const settings_text texts[] = {
        {"data", out->data, sizeof out->data},
        {"format", out->format, sizeof out->format},
        {"label", out->label, sizeof out->label},
        {"model", out->model, sizeof out->model},
        {"protect", out->protect, sizeof out->protect},
        {"canaries", out->canaries, sizeof out->canaries},
    };
    const char *key = item->string;
    if (strcmp(key, "test_fraction") == 0) {
        if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)) {
            return witan_diag_fail(diag, WITAN_E_CONFIG, "test_fraction: use a number");
        }
        out->test_fraction = item->valuedouble;
        return WITAN_OK;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(key, texts[i].key) != 0) {
            continue;
        }
        if (!cJSON_IsString(item) || strlen(item->valuestring) >= texts[i].room) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "%s: use a text of at most %zu bytes", key,
                                   texts[i].room - 1);
        }
        memcpy(texts[i].out, item->valuestring, strlen(item->valuestring) + 1);
        return WITAN_OK;
    }
    return witan_diag_fail(diag, WITAN_E_CONFIG,
                           "\"%s\" is not known; known are data, format, label, "
                           "test_fraction, model, protect and canaries",
                           key);
}

static witan_status
read_settings(witan_node_settings *out, const char *json, size_t size, witan_diag *diag)
{
    cJSON *root = cJSON_ParseWithLengthOpts(json, size + 1, NULL, 1);
    witan_status status = WITAN_OK;
    if (!cJSON_IsObject(root)) {
        status = witan_diag_fail(diag, WITAN_E_CONFIG, "not a JSON object");
    }
    for (const cJSON *item = root == NULL ? NULL : root->child;
         status == WITAN_OK && item != NULL; item = item->next) {
        status = read_member(out, item, diag);
    }
    cJSON_Delete(root);
    return status == WITAN_OK ? node_settings_check(out, diag) : status;
}

witan_status
node_settings_load(witan_node_settings *out, const char *directory,
                   const witan_allocator *allocator, witan_diag *diag)
{
    char path[WITAN_PATH_MAX], *json = NULL;
    size_t size = 0;
    memset(out, 0, sizeof *out);
    out->test_fraction = 0.2;
    WITAN_TRY(node_path(path, directory, NODE_SETTINGS, diag));
    WITAN_TRY(witan_file_read(&json, &size, path, SETTINGS_BYTES_MAX, allocator, diag));
    witan_status status = read_settings(out, json, size, diag);
    witan_free(allocator, json);
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(diag, "%s", path);
    }
    return status;
}
