/* coordinator_fuse.c - the computing part of a round, and the record of what it
 * exchanged. */
#include <string.h>

#include "base/digest.h"
#include "coordinator/core/coordinator_private.h"

void
coordinator_forget_fusion(witan_coordinator *self)
{
    for (size_t i = 0; i < self->speakers; i++) {
        witan_soft_labels_fini(&self->mixed[i], self->allocator);
    }
    witan_free(self->allocator, self->weights);
    witan_free(self->allocator, self->average);
    self->weights = NULL;
    self->average = NULL;
    self->speakers = 0;
    self->fused = false;
}

static witan_status
fuse_parameters(witan_coordinator *self, const size_t *samples)
{
    size_t n = self->speakers;
    witan_fusion_input input = {n, NULL, samples};
    const float **blocks = witan_zalloc(self->allocator, n, sizeof *blocks);
    self->average =
        witan_alloc(self->allocator, self->config.parameters, sizeof(float));
    if (blocks == NULL || self->average == NULL) {
        witan_free(self->allocator, blocks);
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        blocks[i] = self->client[self->speaker[i]].parameters;
    }
    witan_status status = self->config.strategy->weights(
        self->weights, &input, &self->config.fusion, self->allocator);
    if (status == WITAN_OK) {
        /* Every row of fedavg's W is the same. */
        witan_fusion_average(self->average, self->weights, blocks, n,
                             self->config.parameters);
    }
    witan_free(self->allocator, blocks);
    return status;
}

static witan_status
fuse_knowledge(witan_coordinator *self, const size_t *samples)
{
    size_t n = self->speakers;
    const witan_soft_labels **labels = witan_zalloc(self->allocator, n, sizeof *labels);
    if (labels == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        const witan_coordinator_client *client = &self->client[self->speaker[i]];
        labels[i] = client->answered ? &client->labels : &client->stale;
    }
    witan_fusion_input input = {n, labels, samples};
    witan_status status = self->config.strategy->weights(
        self->weights, &input, &self->config.fusion, self->allocator);
    if (status == WITAN_OK) {
        status = witan_fusion_combine(self->mixed, self->weights, &input,
                                      self->config.fusion.combine, self->allocator);
    }
    witan_free(self->allocator, labels);
    return status;
}

witan_status
witan_coordinator_fuse(witan_coordinator *self)
{
    WITAN_ASSERT(self->phase == PHASE_FUSE);
    coordinator_forget_fusion(self);
    size_t n = 0;
    for (size_t i = 0; i < self->config.clients; i++) {
        if (self->client[i].answered || self->client[i].stale.bytes != NULL) {
            self->speaker[n++] = (uint32_t)i;
        }
    }
    self->speakers = n;
    if (n == 0) { /* all of them were removed meanwhile */
        self->fused = true;
        return WITAN_OK;
    }
    self->weights = witan_zalloc(self->allocator, n * n, sizeof *self->weights);
    size_t *samples = witan_zalloc(self->allocator, n, sizeof *samples);
    if (self->weights == NULL || samples == NULL) {
        witan_free(self->allocator, samples);
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        samples[i] = (size_t)self->client[self->speaker[i]].samples;
    }
    witan_status status = self->config.strategy->exchange == WITAN_EXCHANGE_PARAMETERS
                              ? fuse_parameters(self, samples)
                              : fuse_knowledge(self, samples);
    witan_free(self->allocator, samples);
    self->fused = status == WITAN_OK;
    return status;
}

bool
witan_coordinator_weights(const witan_coordinator *self, double *W)
{
    size_t n = self->config.clients;
    if (!self->fused) {
        return false;
    }
    memset(W, 0, n * n * sizeof *W);
    for (size_t i = 0; i < self->speakers; i++) {
        for (size_t j = 0; j < self->speakers; j++) {
            W[self->speaker[i] * n + self->speaker[j]] =
                self->weights[i * self->speakers + j];
        }
    }
    return true;
}

void
witan_exchange_digest(uint8_t out[32], uint32_t round, size_t clients,
                      const bool *answered, const uint8_t (*knowledge)[32],
                      const uint8_t (*fused)[32])
{
    static const uint8_t nothing[WITAN_DIGEST_SIZE] = {0};
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update_u64(&digest, round);
    for (size_t n = 0; n < clients; n++) {
        uint8_t spoke = answered[n];
        witan_digest_update(&digest, &spoke, 1);
        witan_digest_update(&digest, spoke ? knowledge[n] : nothing, sizeof nothing);
        witan_digest_update(&digest, spoke ? fused[n] : nothing, sizeof nothing);
    }
    witan_digest_final(&digest, out);
}
