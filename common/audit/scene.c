/* scene.c - a finished run as it was: config, data, plan, models, records. Nothing that
 * is read here is believed. */
#include <stdio.h>
#include <string.h>

#include "audit/audit_private.h"
#include "num/softmax.h"
#include "privacy/membership.h"
#include "setup/setup.h"
#include "store/file.h"

enum {
    STEP_BATCH = 256,
    STEP_BATCH_ATTENDING = 64,  /* states of a transformer are large */
    PREDICTION_FLOATS = 4 << 20 /* logits that stand in memory at once */
};

witan_status
audit_out_of_memory(const audit_scene *self)
{
    return witan_diag_fail(self->diag, WITAN_E_MEMORY, "%s: out of memory",
                           self->settings->directory);
}

witan_status
audit_progress(const audit_scene *self, const char *what, size_t done, size_t total)
{
    const witan_audit_settings *settings = self->settings;
    return settings->progress == NULL ||
                   settings->progress(settings->context, what, done, total)
               ? WITAN_OK
               : witan_diag_fail(self->diag, WITAN_E_INTERRUPTED,
                                 "%s: stopped before the audit was done",
                                 settings->directory);
}

void
audit_stream(witan_random *random, const audit_scene *self, uint32_t client,
             uint32_t number)
{
    witan_random_init(random, self->settings->seed, client, number,
                      WITAN_PURPOSE_AUDIT);
}

witan_status
audit_path(char path[WITAN_PATH_MAX], const audit_scene *self, const char *name)
{
    const char *directory = self->settings->directory;
    int length = snprintf(path, WITAN_PATH_MAX, "%s/%s", directory, name);
    return length < 0 || (size_t)length >= WITAN_PATH_MAX
               ? witan_diag_fail(self->diag, WITAN_E_LIMIT, "%s: the path is too long",
                                 directory)
               : WITAN_OK;
}

static void
digest_hex(char out[WITAN_DIGEST_HEX_SIZE], const void *bytes, size_t size)
{
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_digest hash;
    witan_digest_init(&hash);
    witan_digest_update(&hash, bytes, size);
    witan_digest_final(&hash, digest);
    witan_digest_hex(out, digest);
}

static witan_status
read_config(audit_scene *self, char config[WITAN_DIGEST_HEX_SIZE])
{
    char path[WITAN_PATH_MAX], *json = NULL;
    size_t size;
    WITAN_TRY(audit_path(path, self, "config.json"));
    if (!witan_path_exists(path)) {
        return witan_diag_fail(self->diag, WITAN_E_IO,
                               "%s: no run is there: it has no config.json; name the "
                               "directory that witan sim wrote",
                               self->settings->directory);
    }
    WITAN_TRY(witan_config_init(&self->config, self->allocator));
    self->has_config = true;
    WITAN_TRY(witan_file_read(&json, &size, path, WITAN_CONFIG_BYTES_MAX,
                              self->allocator, self->diag));
    witan_status status =
        witan_config_read(&self->config, json, size, path, self->allocator, self->diag);
    digest_hex(config, json, size);
    witan_free(self->allocator, json);
    WITAN_TRY(status);
    return witan_config_check(&self->config, self->diag);
}

static witan_status
read_run(audit_scene *self, audit_run_file *out)
{
    char path[WITAN_PATH_MAX], *json = NULL;
    size_t size;
    WITAN_TRY(audit_path(path, self, "audit/run.json"));
    if (!witan_path_exists(path)) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "%s: the run kept no records to audit; run it with "
                               "--canaries PLAN or --set audit.record=true",
                               self->settings->directory);
    }
    WITAN_TRY(witan_file_read(&json, &size, path, AUDIT_RUN_FILE_MAX, self->allocator,
                              self->diag));
    witan_status status = audit_run_file_read(out, json, size, path, &self->config,
                                              self->allocator, self->diag);
    witan_free(self->allocator, json);
    self->rounds = out->rounds;
    self->clients = out->clients;
    self->recorded = out->recorded;
    self->recorded_count = out->recorded_count;
    return status;
}

/* --- the world -------------------------------------------------------------------- */

witan_status
audit_scene_take_plan(audit_scene *self)
{
    self->has_plan = true;
    self->level = witan_zalloc(self->allocator, self->plan.count, sizeof *self->level);
    if (self->level == NULL) {
        return audit_out_of_memory(self);
    }
    for (size_t i = 0; i < self->plan.count; i++) {
        const witan_canary *canary = &self->plan.canary[i];
        self->level[i] = canary->inserted ? canary->repetitions : 0;
    }
    return WITAN_OK;
}

static witan_status
read_plan(audit_scene *self)
{
    char path[WITAN_PATH_MAX], *json = NULL;
    size_t size;
    WITAN_TRY(audit_path(path, self, "canaries.json"));
    if (!witan_path_exists(path)) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_file_read(&json, &size, path, WITAN_CANARY_PLAN_BYTES_MAX,
                              self->allocator, self->diag));
    witan_status status = witan_canary_plan_read(
        &self->plan, json, size, path, self->text ? &self->world.vocabulary : NULL,
        self->allocator, self->diag);
    witan_free(self->allocator, json);
    WITAN_TRY(status);
    WITAN_TRY(audit_scene_take_plan(self));
    return witan_world_plant(&self->world, &self->plan, self->allocator, self->diag);
}

/* Data and plan must be those that the run wrote down. */
static witan_status
compare_world(audit_scene *self, const audit_run_file *file)
{
    char world[WITAN_DIGEST_HEX_SIZE];
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_text identity;
    witan_text_init(&identity, self->allocator, WITAN_CONFIG_BYTES_MAX * 4);
    witan_config_identity(&self->config, &identity);
    witan_status status =
        identity.status == WITAN_OK ? WITAN_OK : audit_out_of_memory(self);
    if (status == WITAN_OK) {
        witan_world_digest(&self->world, &identity, digest);
        witan_digest_hex(world, digest);
        self->result->hashes.data = audit_sentence(self->result, &status, "%s", world);
        if (strcmp(world, file->world) != 0) {
            bool inside = self->config.data.path[0] == '\0';
            status = witan_diag_fail(
                self->diag, WITAN_E_DATA,
                "%s: the data%s%s or canaries.json are not those of the run; put back "
                "what the run read",
                self->settings->directory, inside ? "" : " at ",
                self->config.data.path);
        }
    }
    witan_text_fini(&identity);
    return status;
}

static witan_status
load_world(audit_scene *self, const audit_run_file *file)
{
    witan_status status =
        witan_world_load(&self->world, &self->config, self->allocator, self->diag);
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(self->diag, "%s: the run's data cannot be read",
                                self->settings->directory);
        return status == WITAN_E_IO ? WITAN_E_DATA : status;
    }
    self->text = self->world.train.length != 0;
    WITAN_TRY(read_plan(self));
    return compare_world(self, file);
}

/* --- models ----------------------------------------------------------------------- */

static witan_status
make_network(audit_scene *self, audit_network *out, const witan_model_spec *spec,
             const witan_input *input)
{
    const witan_allocator *a = self->allocator;
    bool trains = self->settings->shadows >= 2 && !self->deployed;
    WITAN_TRY(witan_network_init(&out->network, a, spec, input, self->diag));
    size_t row = out->network.positions * out->network.outputs;
    size_t fit = (size_t)PREDICTION_FLOATS / row;
    out->part = fit == 0                             ? 1
                : fit < self->learning.predict_batch ? fit
                                                     : self->learning.predict_batch;
    if (witan_network_bench_new(&out->bench, a, &out->network,
                                trains ? self->learning.local_batch : 1, out->part,
                                trains ? 2 * AUDIT_ROWS_MAX : 1, 0) != WITAN_OK) {
        return audit_out_of_memory(self);
    }
    if (out->network.sequence != NULL && self->has_plan) {
        bool attends = witan_sequence_spec_of(out->network.sequence)->cell ==
                       WITAN_CELL_TRANSFORMER;
        out->step_batch = attends ? STEP_BATCH_ATTENDING : STEP_BATCH;
        if (witan_sequence_stepper_new(&out->stepper, a, out->network.sequence,
                                       out->step_batch) != WITAN_OK) {
            return audit_out_of_memory(self);
        }
    }
    out->z = witan_alloc(a, out->part * row, sizeof *out->z);
    out->labels =
        witan_alloc(a, out->part * out->network.positions, sizeof *out->labels);
    return out->z == NULL || out->labels == NULL ? audit_out_of_memory(self) : WITAN_OK;
}

witan_status
audit_scene_make_networks(audit_scene *self, const witan_model_spec *specs,
                          size_t count, const witan_input *input)
{
    self->network = witan_zalloc(self->allocator, count, sizeof *self->network);
    if (self->network == NULL) {
        return audit_out_of_memory(self);
    }
    self->networks = count;
    for (size_t i = 0; i < count; i++) {
        WITAN_TRY(make_network(self, &self->network[i], &specs[i], input));
    }
    return WITAN_OK;
}

/* Everything about a run, in the order in which it can be checked. */
static witan_status
open_run(audit_scene *self)
{
    audit_run_file file = {{0}, {0}, 0, 0, NULL, 0};
    char config[WITAN_DIGEST_HEX_SIZE] = "";
    witan_status status = WITAN_OK;
    WITAN_TRY(read_config(self, config));
    WITAN_TRY(read_run(self, &file));
    if (strcmp(config, file.config) != 0) {
        return witan_diag_fail(
            self->diag, WITAN_E_DATA,
            "%s/config.json: it was changed since the run; put back what the run wrote",
            self->settings->directory);
    }
    self->result->hashes.config = audit_sentence(self->result, &status, "%s", config);
    WITAN_TRY(status);
    WITAN_TRY(audit_progress(self, "data", 0, 1));
    WITAN_TRY(load_world(self, &file));
    witan_input input = witan_world_input(&self->world);
    witan_setup_plan(&self->learning, &self->config, &input, self->world.transfer);
    return audit_scene_make_networks(self, self->config.models,
                                     self->config.models_count, &input);
}

witan_status
audit_scene_new(audit_scene **out, const witan_audit_settings *settings,
                witan_audit_result *result, const witan_allocator *allocator,
                witan_diag *diag)
{
    audit_scene *self = witan_zalloc(allocator, 1, sizeof *self);
    *out = NULL;
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory",
                               settings->directory);
    }
    self->settings = settings;
    self->allocator = allocator;
    self->diag = diag;
    self->result = result;
    self->deployed = result->deployed = audit_is_client(settings->directory);
    witan_status status = self->deployed ? audit_client_open(self) : open_run(self);
    if (status != WITAN_OK) {
        audit_scene_free(&self);
    }
    *out = self;
    return status;
}

void
audit_scene_free(audit_scene **out)
{
    audit_scene *self = *out;
    if (self == NULL) {
        return;
    }
    const witan_allocator *a = self->allocator;
    for (size_t i = 0; i < self->networks; i++) {
        audit_network *network = &self->network[i];
        witan_free(a, network->labels);
        witan_free(a, network->z);
        witan_sequence_stepper_free(&network->stepper);
        witan_network_bench_free(&network->bench);
        witan_network_fini(&network->network);
    }
    witan_free(a, self->network);
    witan_free(a, self->recorded);
    witan_free(a, self->level);
    if (self->has_plan) {
        witan_canary_plan_fini(&self->plan, a);
    }
    witan_world_fini(&self->world, a);
    if (self->has_config) {
        witan_config_fini(&self->config, a);
    }
    witan_free(a, self);
    *out = NULL;
}

audit_network *
audit_network_of(const audit_scene *self, size_t client)
{
    return &self->network[client % self->networks];
}

bool
audit_is_holder(const audit_scene *self, size_t client)
{
    for (size_t i = 0; self->has_plan && i < self->plan.count; i++) {
        if (self->level[i] != 0 && self->plan.canary[i].client == client) {
            return true;
        }
    }
    return false;
}

/* --- records ---------------------------------------------------------------------- */

/* What is wrong with a record, or NULL. */
static const char *
flaw_of(const audit_scene *self, const witan_audit_snapshot *it, uint32_t round,
        uint32_t client)
{
    size_t parameters =
        witan_network_parameters(&audit_network_of(self, client)->network);
    size_t positions = self->learning.positions, classes = self->learning.classes;
    size_t rows =
        self->text ? self->world.probes * positions : self->world.transfer.count;
    if (it->round != round || it->client != client) {
        return "it is of another round or client";
    }
    if (it->parameters != parameters) {
        return "its model is not the one in config.json";
    }
    if (it->has_said && (it->classes != classes ||
                         it->rows != self->world.transfer.count * positions)) {
        return "its soft labels are not of this transfer set";
    }
    if ((it->has_said && it->said.rows != rows) ||
        (it->has_fused && it->fused.rows != rows)) {
        return "its soft labels are not of these canaries";
    }
    return NULL;
}

witan_status
audit_snapshot_open(witan_audit_snapshot *out, bool *present, const audit_scene *self,
                    uint32_t round, uint32_t client)
{
    char path[WITAN_PATH_MAX];
    *out = (witan_audit_snapshot){0};
    *present = false;
    if (self->deployed) {
        *present = true;
        return audit_client_model(out, self);
    }
    WITAN_TRY(witan_audit_snapshot_path(path, sizeof path, self->settings->directory,
                                        round, client, self->diag));
    if (!witan_path_exists(path)) {
        return audit_limit(self->result,
                           "a client without a record of a round (it was not asked, or "
                           "was still at work) is left out of that round") == WITAN_OK
                   ? WITAN_OK
                   : audit_out_of_memory(self);
    }
    WITAN_TRY(witan_audit_snapshot_load(out, path, self->allocator, self->diag));
    const char *flaw = flaw_of(self, out, round, client);
    if (flaw != NULL) {
        witan_audit_snapshot_fini(out, self->allocator);
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: %s; the run has to be made again", path, flaw);
    }
    *present = true;
    return WITAN_OK;
}

/* --- asking a model about rows ---------------------------------------------------- */

witan_status
audit_judge(const audit_scene *self, audit_network *network, const float *parameters,
            const witan_part *part, const uint32_t *labels, double *loss, double *phi)
{
    size_t positions = network->network.positions, classes = network->network.outputs;
    union {
        const float *in;
        float *out;
    } block = {parameters}; /* predictions leave them as they are */
    witan_network_learner learner = {.network = &network->network,
                                     .parameters = block.out,
                                     .optimiser = &self->learning.optimiser};
    for (size_t first = 0; first < part->count; first += network->part) {
        size_t count =
            part->count - first < network->part ? part->count - first : network->part;
        const uint32_t *indices = part->indices + first;
        witan_network_labels(&network->network, part->rows, indices, count,
                             network->labels);
        if (labels != NULL) {
            memcpy(network->labels, labels + first, count * sizeof *labels);
        }
        if (witan_network_predict(&learner, network->bench, part->rows, indices, count,
                                  network->z) != WITAN_OK) {
            return witan_diag_fail(self->diag, WITAN_E_NUMERIC,
                                   "%s: a recorded model answers with numbers that are "
                                   "not finite: it diverged",
                                   self->settings->directory);
        }
        for (size_t i = 0; i < count; i++) {
            double sum = 0.0;
            for (size_t t = i * positions; t < (i + 1) * positions; t++) {
                const float *z = network->z + t * classes;
                sum += witan_log_sum_exp(z, classes) - (double)z[network->labels[t]];
            }
            if (loss != NULL) {
                loss[first + i] = sum / (double)positions;
            }
            if (phi != NULL && self->text) {
                phi[first + i] = -sum / (double)positions;
            }
        }
        if (phi != NULL && !self->text) {
            WITAN_TRY(witan_logit_confidence(phi + first, network->z, network->labels,
                                             count, classes));
        }
    }
    return WITAN_OK;
}
