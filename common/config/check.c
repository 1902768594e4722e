/* check.c - what single keys cannot say: combinations. */
#include <string.h>

#include "config/config.h"

/* Indices into the words of table.c; a test holds them against the other rooms' enums.
 */
enum {
    FORMAT_AUTO = 0,
    FORMAT_EMBEDDED = 1,
    FORMAT_TEXT = 7,
    PARTITION_FILE = 6,
    CODEC_TOP = 2,
    COMBINE_LOGIT = 1,
    NOISE_NONE = 0,
    NOISE_GAUSSIAN = 1,
    LABEL_VOTES = 3,
    LOSS_KL = 0,
    SCHEDULE_COSINE = 2,
    FUSION_MEAN = 1,
    FUSION_KNFU = 2,
    FUSION_FEDAVG = 3,
    LATE_KEEP = 1,
};

static witan_status
check_data(const witan_config *self, witan_diag *diag)
{
    bool has_path = self->data.path[0] != '\0';
    bool has_transfer = self->transfer.path[0] != '\0';
    if (!has_path && self->data.format > FORMAT_EMBEDDED &&
        self->data.format != FORMAT_TEXT) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "data.path: needed by this data.format");
    }
    if (has_path && self->data.format == FORMAT_EMBEDDED) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "data.path: must be empty when data.format is "
                               "\"embedded\"; use \"auto\"");
    }
    if (!has_transfer && self->transfer.format != FORMAT_AUTO) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "transfer.path: needed by transfer.format");
    }
    if (has_transfer && self->transfer.format == FORMAT_EMBEDDED) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "transfer.path: must be empty when transfer.format is "
                               "\"embedded\"; use \"auto\"");
    }
    if (self->data.partition.key == PARTITION_FILE &&
        self->data.partition.path[0] == '\0') {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "data.partition.path: needed when data.partition.key is "
                               "\"file\"");
    }
    return WITAN_OK;
}

static witan_status
check_fusion(const witan_config *self, witan_diag *diag)
{
    bool knowledge = self->fusion.key == FUSION_MEAN || self->fusion.key == FUSION_KNFU;
    if (knowledge && self->transfer.samples == 0 && self->transfer.path[0] == '\0' &&
        self->data.partition.key != PARTITION_FILE) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "transfer.samples: the strategy exchanges soft labels of "
            "a transfer set; use at least 1, or give transfer.path");
    }
    if (self->fusion.key == FUSION_FEDAVG && self->models_count != 1) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "models: \"fedavg\" averages parameters and needs one "
                               "architecture, %zu are given; keep one",
                               self->models_count);
    }
    if (self->fusion.key == FUSION_KNFU && !self->fusion.include_self &&
        self->clients < 2) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "fusion.include_self: false needs at least 2 clients");
    }
    return WITAN_OK;
}

static witan_status
check_round(const witan_config *self, witan_diag *diag)
{
    double asked = self->participation * (double)self->clients;
    if (asked < 1.0) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "participation: %g of %zu clients is less than one; raise "
            "either",
            self->participation, self->clients);
    }
    size_t most = (size_t)(asked + 0.5); /* that the coordinator asks */
    if (self->round.minimum_clients > most) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "round.minimum_clients: %zu answers can never come, %zu "
                               "of %zu clients are asked; lower it",
                               self->round.minimum_clients, most, self->clients);
    }
    if (self->round.target_clients > most) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "round.target_clients: %zu answers can never come, %zu "
            "of %zu clients are asked; lower it, or use 0 for all of them",
            self->round.target_clients, most, self->clients);
    }
    if (self->round.target_clients != 0 &&
        self->round.target_clients < self->round.minimum_clients) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "round.target_clients: %zu is below "
                               "round.minimum_clients %zu; raise it, or "
                               "use 0",
                               self->round.target_clients, self->round.minimum_clients);
    }
    if (self->faults.dropout > 0.0 && self->round.deadline <= 0.0) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "round.deadline: faults.dropout needs a deadline above 0 s; a round would "
            "wait for ever for clients that vanished");
    }
    if (self->round.late == LATE_KEEP && self->round.deadline <= 0.0) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "round.deadline: \"keep\" in round.late needs a deadline "
            "above 0; without one nobody is late");
    }
    if (self->local.schedule.key == SCHEDULE_COSINE &&
        self->local.schedule.minimum_lr > self->local.optimizer.lr) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "local.schedule.minimum_lr: %g is above "
                               "local.optimizer.lr %g; lower it",
                               self->local.schedule.minimum_lr,
                               self->local.optimizer.lr);
    }
    return WITAN_OK;
}

/* Noise that is named but not sized, or the reverse, is a mistake that would look like
 * protection. */
static witan_status
check_noise(const witan_config *self, witan_diag *diag)
{
    bool noisy = self->swing.noise != NOISE_NONE;
    if (noisy && self->swing.sigma <= 0.0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.sigma: swing.noise needs a sigma above 0");
    }
    if (!noisy && self->swing.sigma > 0.0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.noise: swing.sigma is %g but no noise is chosen; "
                               "use gaussian or laplace",
                               self->swing.sigma);
    }
    if (self->swing.label == LABEL_VOTES &&
        (self->swing.noise != NOISE_GAUSSIAN || self->swing.shards < 2)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.label: \"votes\" needs swing.shards of at least "
                               "2 and gaussian swing.noise, its sigma in votes");
    }
    return WITAN_OK;
}

static witan_status
check_swing(const witan_config *self, witan_diag *diag)
{
    bool scores = self->swing.gap || self->swing.rules || self->swing.density > 0.0 ||
                  self->swing.shards > 1;
    WITAN_TRY(check_noise(self, diag));
    if (self->swing.shards == 1) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.shards: one shard cannot disagree with itself; "
                               "use 0 or at least 2");
    }
    if (scores && self->swing.temperature_high < self->extract.temperature) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.temperature_high: %g is below "
                               "extract.temperature %g; raise it",
                               self->swing.temperature_high, self->extract.temperature);
    }
    bool protects = scores || self->swing.clip > 0.0 ||
                    self->swing.noise != NOISE_NONE || self->swing.label != 0;
    if (protects && self->fusion.combine == COMBINE_LOGIT) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "fusion.combine: \"logit\" sends logarithms of "
                               "probabilities, which swing's noise and labels would "
                               "make infinite; use probability");
    }
    if (self->extract.codec == CODEC_TOP && self->fusion.combine == COMBINE_LOGIT) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "fusion.combine: \"logit\" needs every class; use "
                               "probability, or another extract.codec than top");
    }
    return WITAN_OK;
}

static witan_status
check_text(const witan_config *self, witan_diag *diag)
{
    size_t tokens = 0;
    for (size_t i = 0; i < self->models_count; i++) {
        tokens += self->models[i].reads_tokens;
    }
    if (tokens != 0 && tokens != self->models_count) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "models: %s and %s read different things, tokens and "
                               "features; one experiment has one kind of data",
                               self->models[0].name,
                               self->models[self->models_count - 1].name);
    }
    if (tokens != 0 && self->distill.loss != LOSS_KL) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "distill.loss: models of tokens learn by \"kl\" alone");
    }
    return WITAN_OK;
}

witan_status
witan_config_check(const witan_config *self, witan_diag *diag)
{
    WITAN_TRY(check_data(self, diag));
    WITAN_TRY(check_text(self, diag));
    WITAN_TRY(check_swing(self, diag));
    WITAN_TRY(check_fusion(self, diag));
    return check_round(self, diag);
}
