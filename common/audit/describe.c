/* describe.c - what an audit says about a run before any number: what it is, what was
 * planted, how it protects, and what the evidence cannot show. */
#include <cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "store/file.h"

enum {
    SUMMARY_BYTES_MAX = 64 << 20,
    MODE_MAX = 160
};

static void
append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    (void)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : " + ", more);
}

/* "swing 8 + noise 0.01". */
static const char *
mode_of(audit_scene *scene, witan_status *status)
{
    const witan_config *config = &scene->config;
    char mode[MODE_MAX] = "", part[64];
    if (witan_release_has_scores(&scene->learning.release)) {
        (void)snprintf(part, sizeof part, "swing %g",
                       scene->learning.release.swing.temperature_high);
        append(mode, sizeof mode, part);
    } else if (config->extract.temperature != 1.0) {
        (void)snprintf(part, sizeof part, "constant temperature %g",
                       config->extract.temperature);
        append(mode, sizeof mode, part);
    }
    if (config->swing.label == WITAN_RELEASE_SAMPLED) {
        append(mode, sizeof mode, "drawn labels");
    } else if (config->swing.label == WITAN_RELEASE_RESPONSE) {
        (void)snprintf(part, sizeof part, "randomised response %g",
                       config->swing.response);
        append(mode, sizeof mode, part);
    } else if (config->swing.label == WITAN_RELEASE_VOTES) {
        (void)snprintf(part, sizeof part, "votes %g", config->swing.sigma);
        append(mode, sizeof mode, part);
    } else if (config->swing.noise != WITAN_SWING_NOISE_NONE) {
        (void)snprintf(part, sizeof part, "noise %g", config->swing.sigma);
        append(mode, sizeof mode, part);
    }
    if (config->local.privacy.clip > 0.0) {
        (void)snprintf(part, sizeof part, "DP-SGD %g", config->local.privacy.noise);
        append(mode, sizeof mode, part);
    }
    return mode[0] == '\0' ? "plain"
                           : audit_sentence(scene->result, status, "%s", mode);
}

/* The digest that the run itself reports; "" when it was stopped before its end. */
static witan_status
read_digest(audit_scene *scene)
{
    char path[WITAN_PATH_MAX], *json = NULL;
    size_t size;
    witan_status status = WITAN_OK;
    int length =
        snprintf(path, sizeof path, "%s/summary.json", scene->settings->directory);
    WITAN_ASSERT(length > 0 && (size_t)length < sizeof path); /* records lie deeper */
    if (!witan_path_exists(path)) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_file_read(&json, &size, path, SUMMARY_BYTES_MAX, scene->allocator,
                              scene->diag));
    cJSON *root = cJSON_ParseWithLength(json, size);
    const char *digest =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "digest"));
    if (digest == NULL || strlen(digest) >= WITAN_DIGEST_HEX_SIZE ||
        strspn(digest, "0123456789abcdef") != strlen(digest)) {
        status = witan_diag_fail(scene->diag, WITAN_E_DATA,
                                 "%s: it holds no digest; the run has to be made again",
                                 path);
    } else {
        scene->result->record.digest =
            audit_sentence(scene->result, &status, "%s", digest);
    }
    cJSON_Delete(root);
    witan_free(scene->allocator, json);
    return status;
}

static witan_status
describe_transfer(audit_scene *scene)
{
    static const char *const sentences[] = {
        "P0: the transfer set shows nothing of the canaries",
        "P1: the transfer set shows the template with other fills",
        "P2: the transfer set shows the canaries themselves, the upper bound"};
    static const char *const names[] = {"P0", "P1", "P2"};
    witan_audit_result *result = scene->result;
    witan_canary_transfer transfer = scene->plan.transfer;
    result->transfer = names[transfer];
    result->record.transfer = sentences[transfer];
    if (transfer == WITAN_TRANSFER_WITHOUT) {
        return audit_limit(
            result, "soft labels were never asked about a canary (P0): what they "
                    "say of one is not measured, only what students learned");
    }
    if (transfer == WITAN_TRANSFER_CANARIES) {
        WITAN_TRY(audit_limit(result, "a coordinator that knows the canaries asked for "
                                      "them (P2): a real secret is not asked for"));
    }
    if (!scene->text) {
        return audit_limit(result,
                           "on the wire exposure is the rank of a canary's label among "
                           "the classes: at most log2 of their number, and not of the "
                           "same scale as that of models");
    }
    return audit_limit(result, "on the wire every hole is judged by its own "
                               "distribution, after the prefix that was asked about");
}

static witan_status
describe_plan(audit_scene *scene)
{
    const witan_canary_plan *plan = &scene->plan;
    witan_audit_result *result = scene->result;
    char hex[WITAN_DIGEST_HEX_SIZE];
    size_t inserted = 0, holders = 0;
    witan_status status = WITAN_OK;
    for (size_t i = 0; i < plan->count; i++) {
        inserted += scene->level[i] != 0;
    }
    for (size_t n = 0; n < scene->clients; n++) {
        holders += audit_is_holder(scene, n);
    }
    witan_digest_hex(hex, plan->digest);
    result->record.plan_digest = audit_sentence(result, &status, "%s", hex);
    result->hashes.plan = result->record.plan_digest;
    if (plan->kind == WITAN_CANARY_TEXT) {
        result->form = audit_sentence(result, &status, "%s", plan->text);
        result->record.canaries = audit_sentence(
            result, &status,
            "\"%s\" with %.15g fills: %zu canaries inserted at %zu of %zu clients, %zu "
            "controls that nobody saw",
            plan->text, plan->compiled.space, inserted, holders, scene->clients,
            plan->count - inserted);
    } else {
        bool noise = plan->kind == WITAN_CANARY_NOISE;
        result->form = noise ? "noise" : "mislabelled";
        result->record.canaries = audit_sentence(
            result, &status,
            "%s: %zu canaries inserted at %zu of %zu clients, %zu controls that nobody "
            "saw",
            noise ? "random rows with random labels" : "test rows with wrong labels",
            inserted, holders, scene->clients, plan->count - inserted);
    }
    WITAN_TRY(status);
    return describe_transfer(scene);
}

/* What no number about canaries shows, whoever measured it. */
static witan_status
describe_canary_limits(audit_scene *scene)
{
    witan_audit_result *result = scene->result;
    WITAN_TRY(audit_limit(
        result, scene->text ? "only canaries of this template were asked for; "
                              "other secrets may be learned better or worse"
                            : "only canaries of this kind were asked for; "
                              "other rows may be learned better or worse"));
    WITAN_TRY(audit_limit(result, "canaries of one model share that model: intervals "
                                  "over canaries do not include other trainings"));
    return audit_limit(result,
                       "low exposure promises nothing: only an epsilon with its "
                       "unit, counts and accountant does");
}

static witan_status
describe_limits(audit_scene *scene)
{
    witan_audit_result *result = scene->result;
    WITAN_TRY(audit_limit(result, "one federation, one seed: another draw of clients, "
                                  "rows or canaries gives other numbers"));
    if (!scene->has_plan) {
        return audit_limit(result, "no canaries were planted: exposure, extraction and "
                                   "lower bounds are not measured; run it with "
                                   "--canaries PLAN");
    }
    return describe_canary_limits(scene);
}

witan_status
audit_describe(audit_scene *scene)
{
    witan_audit_result *result = scene->result;
    witan_audit_record *record = &result->record;
    witan_status status = WITAN_OK;
    uint32_t last = scene->recorded[scene->recorded_count - 1];
    result->seed = scene->config.seed;
    record->name = audit_sentence(result, &status, "%s", scene->config.name);
    record->directory =
        audit_sentence(result, &status, "%s", scene->settings->directory);
    record->mode = mode_of(scene, &status);
    record->text = scene->text;
    record->clients = scene->clients;
    record->rounds = last + 1;
    if (status == WITAN_OK) {
        status = describe_limits(scene);
    }
    if (status == WITAN_OK && scene->has_plan) {
        status = describe_plan(scene);
    }
    if (status == WITAN_OK && record->rounds < scene->rounds) {
        status = audit_limit(result, "the run was stopped after round %zu of %zu",
                             record->rounds, scene->rounds);
    }
    WITAN_TRY(status == WITAN_OK ? WITAN_OK : audit_out_of_memory(scene));
    return read_digest(scene);
}

/* --- a deployed client ------------------------------------------------------------ */

static witan_status
describe_client_limits(audit_scene *scene)
{
    static const char *const limits[] = {
        "one model of one client: other clients, and the same client trained again, "
        "give "
        "other numbers",
        "teachers are this client's final model about its own canaries, students the "
        "same model about the others'; what it was before it learned from the others "
        "is "
        "not kept",
        "whether the others planted their canaries is not known here: where they did "
        "not, theirs are controls",
        "the plan is read from where settings.json points; that it is the one that was "
        "planted is not checked",
        "the wire is not measured: what this client said and heard is not kept",
        "membership is not measured: private rows are not read again",
        "nothing is promised or bounded here: witan epsilon computes what DP-SGD "
        "promises",
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        WITAN_TRY(audit_limit(scene->result, "%s", limits[i]));
    }
    return describe_canary_limits(scene);
}

/* Canaries of the plan: inserted at this client, at others; controls. */
static const char *
planted_at_client(audit_scene *scene, witan_status *status)
{
    const witan_canary_plan *plan = &scene->plan;
    size_t own = 0, others = 0;
    for (size_t i = 0; i < plan->count; i++) {
        bool here = plan->canary[i].client == scene->first;
        own += here && scene->level[i] != 0;
        others += !here && scene->level[i] != 0;
    }
    return audit_sentence(
        scene->result, status,
        "\"%s\" with %.15g fills: %zu canaries planted by this client, %zu left to "
        "others, %zu controls that nobody saw",
        plan->text, plan->compiled.space, own, others, plan->count - own - others);
}

witan_status
audit_describe_client(audit_scene *scene)
{
    witan_audit_result *result = scene->result;
    witan_audit_record *record = &result->record;
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_status status = WITAN_OK;
    witan_digest_hex(hex, scene->plan.digest);
    record->name =
        audit_sentence(result, &status, "client %zu of a federation", scene->first);
    record->directory =
        audit_sentence(result, &status, "%s", scene->settings->directory);
    record->plan_digest = audit_sentence(result, &status, "%s", hex);
    result->hashes.plan = record->plan_digest;
    result->form = audit_sentence(result, &status, "%s", scene->plan.text);
    record->canaries = planted_at_client(scene, &status);
    record->transfer = "not looked at";
    record->mode = "as the experiment and this client's --protect had it";
    record->text = true;
    record->clients = 1;
    record->rounds = scene->rounds;
    if (status == WITAN_OK) {
        status = describe_client_limits(scene);
    }
    return status == WITAN_OK ? status : audit_out_of_memory(scene);
}
