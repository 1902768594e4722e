/* run_file.c - RUN/audit/run.json: what a run says of its own records. */
#include <cJSON.h>
#include <math.h>
#include <string.h>

#include "audit/audit_private.h"
#include "fusion/fusion.h"

enum {
    RUN_MEMBERS = 6
};

/* A reading under way. */
typedef struct reading {
    const char *path;
    const witan_config *config;
    const witan_allocator *allocator;
    witan_diag *diag;
} reading;

static witan_status
odd_run(const reading *self, const char *what)
{
    return witan_diag_fail(self->diag, WITAN_E_DATA,
                           "%s: %s; the run has to be made again", self->path, what);
}

static bool
read_hex(char out[WITAN_DIGEST_HEX_SIZE], const cJSON *item)
{
    const char *text = cJSON_GetStringValue(item);
    if (text == NULL || strlen(text) != WITAN_DIGEST_HEX_SIZE - 1 ||
        strspn(text, "0123456789abcdef") != WITAN_DIGEST_HEX_SIZE - 1) {
        return false;
    }
    memcpy(out, text, WITAN_DIGEST_HEX_SIZE);
    return true;
}

/* A whole number from `low` to `high`. */
static bool
read_count(size_t *out, const cJSON *item, size_t low, size_t high)
{
    double value = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    if (!(value >= (double)low && value <= (double)high) || value != floor(value)) {
        return false;
    }
    *out = (size_t)value;
    return true;
}

/* Rounds as the folders count them, from 1; the last is the newest. */
static witan_status
read_recorded(const reading *self, audit_run_file *out, const cJSON *list)
{
    size_t count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    if (count == 0 || count > out->rounds) {
        return odd_run(self, "\"recorded\" lists no rounds, or more than there are");
    }
    out->recorded = witan_alloc(self->allocator, count, sizeof *out->recorded);
    if (out->recorded == NULL) {
        return witan_diag_fail(self->diag, WITAN_E_MEMORY, "%s: out of memory",
                               self->path);
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        size_t round, last = out->recorded_count == 0
                                 ? 0
                                 : out->recorded[out->recorded_count - 1] + 1;
        if (!read_count(&round, item, last + 1, out->rounds)) {
            return odd_run(self, "\"recorded\" is not a rising list of rounds");
        }
        out->recorded[out->recorded_count++] = (uint32_t)(round - 1);
    }
    return WITAN_OK;
}

static witan_status
find_members(const reading *self, const cJSON *root, const cJSON *found[RUN_MEMBERS])
{
    static const char *const names[RUN_MEMBERS] = {
        "witan_audit_run", "world", "config", "rounds", "clients", "recorded"};
    for (const cJSON *item = cJSON_IsObject(root) ? root->child : NULL; item != NULL;
         item = item->next) {
        size_t i = 0;
        while (i < RUN_MEMBERS && strcmp(item->string, names[i]) != 0) {
            i++;
        }
        if (i == RUN_MEMBERS || found[i] != NULL) {
            return odd_run(self, "a member is unknown or stands there twice");
        }
        found[i] = item;
    }
    return WITAN_OK;
}

static witan_status
read_members(const reading *self, audit_run_file *out, const cJSON *root)
{
    const cJSON *found[RUN_MEMBERS] = {NULL};
    size_t version;
    WITAN_TRY(find_members(self, root, found));
    if (!read_count(&version, found[0], 1, 1)) {
        return odd_run(self, "it is not a record of version 1");
    }
    if (!read_hex(out->world, found[1]) || !read_hex(out->config, found[2])) {
        return odd_run(self, "a digest is missing or is none");
    }
    if (!read_count(&out->rounds, found[3], 1, WITAN_ROUNDS_MAX) ||
        !read_count(&out->clients, found[4], 1, WITAN_CLIENTS_MAX) ||
        out->rounds != self->config->rounds || out->clients > self->config->clients) {
        return odd_run(self, "its rounds or clients are not those of config.json");
    }
    if (out->clients < self->config->clients) {
        return witan_diag_fail(
            self->diag, WITAN_E_CONFIG,
            "%s: strategy %s trains one model on all rows, so there "
            "is no client whose secrets could travel; audit a "
            "strategy that exchanges something",
            self->path, witan_fusion_strategies()[self->config->fusion.key]->key);
    }
    return read_recorded(self, out, found[5]);
}

witan_status
audit_run_file_read(audit_run_file *out, const char *json, size_t size,
                    const char *path, const witan_config *config,
                    const witan_allocator *allocator, witan_diag *diag)
{
    const reading self = {path, config, allocator, diag};
    *out = (audit_run_file){{0}, {0}, 0, 0, NULL, 0};
    cJSON *root = cJSON_ParseWithLengthOpts(json, size + 1, NULL, 1);
    witan_status status = root == NULL ? odd_run(&self, "it is not JSON")
                                       : read_members(&self, out, root);
    cJSON_Delete(root);
    return status;
}
