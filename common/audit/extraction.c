/* extraction.c - what a model completes the template with when nobody tells it. */
#include <string.h>

#include "audit/audit_private.h"

enum {
    FILL_TEXT_MAX = 4096
};

/* The canary with this fill, or plan.count. */
static size_t
canary_of(const witan_canary_plan *plan, const uint32_t *fill)
{
    size_t i = 0;
    while (i < plan->count && memcmp(plan->canary[i].fill, fill,
                                     plan->compiled.holes * sizeof *fill) != 0) {
        i++;
    }
    return i;
}

witan_status
audit_extract_client(audit_scene *scene, const witan_audit_snapshot *it,
                     witan_audit_extraction *out)
{
    const witan_canary_plan *plan = &scene->plan;
    witan_token_model model;
    witan_extraction found;
    char text[FILL_TEXT_MAX] = "";
    witan_status status;
    audit_token_model(&model, audit_network_of(scene, it->client), it->after);
    status = witan_search_extract(&found, &plan->compiled, &model,
                                  scene->settings->nodes, scene->allocator);
    if (status != WITAN_OK) {
        return witan_diag_fail(scene->diag, status, "%s: extraction of client %u: %s",
                               scene->settings->directory, it->client,
                               witan_status_text(status));
    }
    *out = (witan_audit_extraction){.client = it->client,
                                    .holder = audit_is_holder(scene, it->client),
                                    .found = found.found,
                                    .text = "",
                                    .nodes = found.nodes,
                                    .space = plan->compiled.space};
    bool foreign = false;
    if (found.found) {
        size_t i = canary_of(plan, found.fill);
        witan_canary_text(plan, found.fill, &scene->world.vocabulary, text,
                          sizeof text);
        out->text = audit_sentence(scene->result, &status, "%s", text);
        out->planted = i < plan->count && scene->level[i] != 0;
        out->repetitions = out->planted ? scene->level[i] : 0;
        foreign = out->planted && plan->canary[i].client != it->client;
    }
    audit_range *range = &scene->result->range[AUDIT_EXTRACTED];
    double before = range->high > 0.0 ? range->high : 0.0;
    *range = (audit_range){before + foreign, before + foreign};
    return status == WITAN_OK ? status : audit_out_of_memory(scene);
}
