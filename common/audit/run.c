/* run.c - one run from its files to its record: every measurement in turn. */
#include <string.h>

#include "audit/audit_private.h"

static void
hash_model(witan_digest *digest, const witan_audit_snapshot *it)
{
    witan_digest_update_u64(digest, it->client);
    witan_digest_update_u64(digest, it->parameters);
    witan_digest_update(digest, it->before, it->parameters * sizeof *it->before);
    witan_digest_update(digest, it->after, it->parameters * sizeof *it->after);
}

/* What needs one client's last record alone. */
static witan_status
measure_client(audit_scene *scene, const witan_audit_snapshot *it,
               witan_audit_extraction *extraction, witan_audit_labels *labels)
{
    witan_audit_record *record = &scene->result->record;
    if (scene->has_plan && scene->text) {
        WITAN_TRY(audit_extract_client(scene, it, &extraction[record->extractions]));
        record->extractions++;
    }
    if (it->has_said && it->classes >= 2) {
        WITAN_TRY(audit_labels_client(scene, it, &labels[record->labels_count]));
        record->labels_count++;
    }
    return WITAN_OK;
}

static witan_status
measure_last_round(audit_scene *scene)
{
    witan_audit_result *result = scene->result;
    witan_digest digest;
    uint8_t bytes[WITAN_DIGEST_SIZE];
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_audit_extraction *extraction =
        audit_keep(result, scene->clients, sizeof *extraction);
    witan_audit_labels *labels = audit_keep(result, scene->clients, sizeof *labels);
    if (extraction == NULL || labels == NULL) {
        return audit_out_of_memory(scene);
    }
    result->record.extraction = extraction;
    result->record.labels = labels;
    witan_digest_init(&digest);
    for (size_t i = 0; i < scene->clients; i++) {
        uint32_t n = (uint32_t)(scene->first + i);
        witan_audit_snapshot it;
        bool present;
        WITAN_TRY(audit_progress(scene, "extraction", i, scene->clients));
        WITAN_TRY(audit_snapshot_open(&it, &present, scene,
                                      scene->recorded[scene->recorded_count - 1], n));
        if (!present) {
            continue;
        }
        hash_model(&digest, &it);
        witan_status status = measure_client(scene, &it, extraction, labels);
        witan_audit_snapshot_fini(&it, scene->allocator);
        WITAN_TRY(status);
    }
    witan_digest_final(&digest, bytes);
    witan_digest_hex(hex, bytes);
    witan_status status = WITAN_OK;
    result->hashes.models = audit_sentence(result, &status, "%s", hex);
    return status == WITAN_OK ? status : audit_out_of_memory(scene);
}

/* A client keeps one model: no soft labels, no scores, no promises. */
static witan_status
measure_deployed(audit_scene *scene)
{
    audit_readings last;
    WITAN_TRY(audit_describe_client(scene));
    WITAN_TRY(audit_measure_exposure(scene, &last));
    WITAN_TRY(measure_last_round(scene));
    audit_measure_record(scene->result);
    return audit_progress(scene, "done", 1, 1);
}

static witan_status
measure(audit_scene *scene)
{
    audit_readings last;
    if (scene->deployed) {
        return measure_deployed(scene);
    }
    WITAN_TRY(audit_describe(scene));
    WITAN_TRY(audit_measure_utility(scene));
    if (scene->has_plan) {
        WITAN_TRY(audit_measure_exposure(scene, &last));
    }
    WITAN_TRY(measure_last_round(scene));
    WITAN_TRY(audit_measure_membership(scene));
    WITAN_TRY(audit_measure_bounds(scene, scene->has_plan ? &last : NULL));
    audit_measure_record(scene->result);
    return audit_progress(scene, "done", 1, 1);
}

witan_status
witan_audit_measure(witan_audit_result **out, const witan_audit_settings *settings,
                    const witan_allocator *allocator, witan_diag *diag)
{
    audit_scene *scene = NULL;
    witan_audit_result *result = NULL;
    *out = NULL;
    if (audit_result_new(&result, allocator) != WITAN_OK) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory",
                               settings->directory);
    }
    witan_status status = audit_scene_new(&scene, settings, result, allocator, diag);
    if (status == WITAN_OK) {
        status = measure(scene);
    }
    if (status != WITAN_OK && (diag == NULL || diag->status == WITAN_OK)) {
        (void)witan_diag_fail(diag, status, "%s: %s", settings->directory,
                              witan_status_text(status));
    }
    audit_scene_free(&scene);
    if (status != WITAN_OK) {
        witan_audit_result_free(&result);
    }
    *out = result;
    return status;
}
