/* labels.c - what a client's soft labels tell about which labels it holds (of text:
 * which tokens), and how much surer it is than those it hears. */
#include <math.h>

#include "audit/audit_private.h"
#include "privacy/label_inference.h"

enum {
    COUNT_ROWS = 64 /* rows whose labels are looked at at once */
};

/* Shares of the labels of a private part, of all its positions. */
static witan_status
share_of(const audit_scene *scene, size_t client, double *truth)
{
    const witan_network *network = &audit_network_of(scene, client)->network;
    witan_part part = witan_world_private_part(&scene->world, client);
    size_t positions = network->positions;
    double total = (double)part.count * (double)positions;
    uint32_t *labels =
        witan_alloc(scene->allocator, COUNT_ROWS * positions, sizeof *labels);
    if (labels == NULL) {
        return audit_out_of_memory(scene);
    }
    for (size_t c = 0; c < network->outputs; c++) {
        truth[c] = 0.0;
    }
    for (size_t first = 0; first < part.count; first += COUNT_ROWS) {
        size_t left = part.count - first, count = left < COUNT_ROWS ? left : COUNT_ROWS;
        witan_network_labels(network, part.rows, part.indices + first, count, labels);
        for (size_t i = 0; i < count * positions; i++) {
            truth[labels[i]] += 1.0 / total;
        }
    }
    witan_free(scene->allocator, labels);
    return WITAN_OK;
}

/* The record keeps the largest probability of each row: rows of two, the rest apart. */
static float *
pairs_of(const audit_scene *scene, const float *top, size_t rows)
{
    float *pairs = witan_zalloc(scene->allocator, rows, 2 * sizeof *pairs);
    for (size_t i = 0; pairs != NULL && i < rows; i++) {
        pairs[2 * i] = fminf(top[i], 1.0f);
    }
    return pairs;
}

static witan_status
measure_gap(const audit_scene *scene, const witan_audit_snapshot *it,
            witan_audit_labels *out)
{
    witan_gap_summary gap;
    float *said = pairs_of(scene, it->said_top, it->rows);
    float *fused = pairs_of(scene, it->fused_top, it->rows);
    witan_status status =
        said == NULL || fused == NULL
            ? WITAN_E_MEMORY
            : witan_gap_summarise(&gap, said, fused, it->rows, 2, scene->allocator);
    if (status == WITAN_OK) {
        out->gap_mean = gap.mean;
        out->gap_q99 = gap.q99;
    }
    witan_free(scene->allocator, said);
    witan_free(scene->allocator, fused);
    return status;
}

witan_status
audit_labels_client(audit_scene *scene, const witan_audit_snapshot *it,
                    witan_audit_labels *out)
{
    const double unknown = (double)NAN;
    witan_label_leak leak;
    *out =
        (witan_audit_labels){it->client, unknown, unknown, unknown, unknown, unknown};
    double *truth = witan_alloc(scene->allocator, it->classes, sizeof *truth);
    if (truth == NULL) {
        return audit_out_of_memory(scene);
    }
    witan_status status = share_of(scene, it->client, truth);
    if (status != WITAN_OK) {
        goto out;
    }
    status = witan_label_leak_of(&leak, truth, it->said_mean, it->classes);
    if (status == WITAN_OK) {
        out->told = leak.told;
        out->divergence = leak.divergence;
        out->uniform = leak.uniform;
    }
    if (status == WITAN_OK && it->has_fused) {
        status = measure_gap(scene, it, out);
    }
    if (status != WITAN_OK) {
        (void)witan_diag_fail(scene->diag, status, "%s: soft labels of client %u: %s",
                              scene->settings->directory, it->client,
                              witan_status_text(status));
    }
out:
    witan_free(scene->allocator, truth);
    return status;
}
