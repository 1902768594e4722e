/* utility.c - how good the run's models are, from the last recorded round in
 * metrics.jsonl. */
#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "store/file.h"

#define METRICS_BYTES_MAX ((size_t)4 << 30)

/* Means under way: 0 students, 1 holders. */
typedef struct means {
    double sum[2];
    size_t count[2];
    bool *seen; /* [clients] */
} means;

static witan_status
odd_line(const audit_scene *scene, const char *what)
{
    return witan_diag_fail(
        scene->diag, WITAN_E_DATA,
        "%s/metrics.jsonl: the lines of the last record: %s; the run has "
        "to be made again",
        scene->settings->directory, what);
}

static witan_status
take_line(audit_scene *scene, const cJSON *root, means *out)
{
    const cJSON *round = cJSON_GetObjectItemCaseSensitive(root, "round");
    const cJSON *client = cJSON_GetObjectItemCaseSensitive(root, "client");
    const cJSON *scores = cJSON_GetObjectItemCaseSensitive(root, "global");
    const cJSON *value =
        cJSON_GetObjectItemCaseSensitive(scores, scene->text ? "loss" : "accuracy");
    if (!cJSON_IsNumber(round) ||
        round->valuedouble != (double)scene->result->record.rounds ||
        !cJSON_IsNumber(client) || !(client->valuedouble >= 0.0) ||
        !(client->valuedouble < (double)scene->clients)) {
        return odd_line(scene, "not of the round and the clients of the records");
    }
    size_t n = (size_t)client->valuedouble;
    if (out->seen[n]) {
        return odd_line(scene, "a client stands there twice");
    }
    out->seen[n] = true;
    if (cJSON_IsNumber(value) && isfinite(value->valuedouble)) {
        size_t side = audit_is_holder(scene, n);
        out->sum[side] += value->valuedouble;
        out->count[side]++;
    }
    return WITAN_OK;
}

/* Where line `number` begins; NULL when the text ends before it. */
static const char *
line_at(const char *text, size_t number)
{
    for (size_t i = 0; i < number && text != NULL; i++) {
        text = strchr(text, '\n');
        text = text == NULL ? NULL : text + 1;
    }
    return text;
}

/* The lines of the record's round: every round has one for each client. */
static witan_status
take_lines(audit_scene *scene, const char *text, means *out)
{
    const char *line =
        line_at(text, (scene->result->record.rounds - 1) * scene->clients);
    for (size_t i = 0; i < scene->clients; i++) {
        const char *next = line == NULL ? NULL : line_at(line, 1);
        if (next == NULL) {
            return odd_line(scene, "too few");
        }
        cJSON *root = cJSON_ParseWithLength(line, (size_t)(next - line));
        witan_status status = cJSON_IsObject(root) ? take_line(scene, root, out)
                                                   : odd_line(scene, "not JSON");
        cJSON_Delete(root);
        WITAN_TRY(status);
        line = next;
    }
    return WITAN_OK;
}

witan_status
audit_measure_utility(audit_scene *scene)
{
    witan_audit_record *record = &scene->result->record;
    char path[WITAN_PATH_MAX], *text = NULL;
    size_t size;
    means found = {{0.0, 0.0}, {0, 0}, NULL};
    int length =
        snprintf(path, sizeof path, "%s/metrics.jsonl", scene->settings->directory);
    WITAN_ASSERT(length > 0 && (size_t)length < sizeof path); /* records lie deeper */
    WITAN_TRY(witan_file_read(&text, &size, path, METRICS_BYTES_MAX, scene->allocator,
                              scene->diag));
    found.seen = witan_zalloc(scene->allocator, scene->clients, sizeof *found.seen);
    witan_status status = found.seen == NULL ? audit_out_of_memory(scene)
                                             : take_lines(scene, text, &found);
    witan_free(scene->allocator, found.seen);
    witan_free(scene->allocator, text);
    WITAN_TRY(status);
    for (size_t side = 0; side < 2; side++) {
        double mean = found.count[side] == 0
                          ? (double)NAN
                          : found.sum[side] / (double)found.count[side];
        *(side == 0 ? &record->utility : &record->utility_holders) =
            scene->text ? exp(mean) : mean;
    }
    if (found.count[0] == 0) { /* everybody holds canaries: all are students too */
        record->utility = record->utility_holders;
    }
    return WITAN_OK;
}
