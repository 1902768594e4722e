#include "client/shell/study.h"

#include <stdio.h>
#include <string.h>

#include "client/shell/files.h"
#include "data/package.h"
#include "setup/canary_file.h"
#include "setup/setup.h"
#include "store/file.h"

witan_status
node_plan_copy(node_plan *out, const witan_packet *packet,
               const witan_allocator *allocator)
{
    memset(out, 0, sizeof *out);
    out->experiment = witan_strdup(allocator, packet->is.plan.experiment);
    if (out->experiment == NULL) {
        return WITAN_E_MEMORY;
    }
    out->experiment_size = strlen(out->experiment);
    out->client = packet->is.plan.client;
    memcpy(out->name, packet->is.plan.name, sizeof out->name);
    out->embedded_data = packet->is.plan.embedded_data;
    out->has_transfer = packet->is.plan.has_transfer;
    if (out->has_transfer) {
        memcpy(out->transfer_digest, packet->is.plan.transfer_digest,
               sizeof out->transfer_digest);
        out->transfer_bytes = packet->is.plan.transfer_bytes;
        out->transfer_rows = packet->is.plan.transfer_rows;
    }
    out->parameters = packet->is.plan.parameters;
    out->classes = packet->is.plan.classes;
    return WITAN_OK;
}

void
node_plan_fini(node_plan *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->experiment);
    memset(self, 0, sizeof *self);
}

/* --- the experiment --------------------------------------------------------------- */

static witan_status
read_experiment(node_study *self, const node_plan *plan,
                const witan_node_settings *settings, const witan_allocator *allocator,
                witan_diag *diag)
{
    static const char origin[] = "the coordinator's experiment";
    witan_config *config = &self->config;
    if (plan->experiment_size > WITAN_PLAN_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_DATA, "%s is too long", origin);
    }
    witan_status status = witan_config_init(config, allocator);
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status, "out of memory for the experiment");
    }
    witan_diag why = {0};
    status = witan_config_read(config, plan->experiment, plan->experiment_size, origin,
                               allocator, &why);
    if (status == WITAN_OK) {
        status = witan_config_check(config, &why);
    }
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status,
                               "%s (if the coordinator runs a newer version, upgrade "
                               "witan here)",
                               why.message);
    }
    status = node_settings_apply(settings, config, allocator, &why);
    if (status == WITAN_OK) {
        status = witan_config_check(config, &why);
    }
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status,
                               "this client's --protect does not fit the experiment: "
                               "%s",
                               why.message);
    }
    if (config->data.path[0] != '\0' || config->transfer.path[0] != '\0' ||
        config->data.partition.path[0] != '\0') {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "%s names files; a coordinator must not make a client "
                               "read files: refused",
                               origin);
    }
    if (plan->client >= config->clients) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s has %zu clients and no client %u", origin,
                               config->clients, (unsigned)plan->client);
    }
    self->strategy = witan_fusion_strategies()[config->fusion.key];
    if (self->strategy->pools_data) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "fusion.key: %s pools everybody's rows; only a "
                               "simulation can do that",
                               self->strategy->key);
    }
    return WITAN_OK;
}

/* The plan must be one that this client can follow at all. */
static witan_status
check_plan(const node_study *self, const node_plan *plan, witan_diag *diag)
{
    bool asks = self->strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE;
    if (plan->has_transfer != asks || (asks && plan->transfer_rows == 0) ||
        plan->transfer_bytes > WITAN_PACKAGE_BYTES_MAX || plan->classes < 2) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the coordinator's plan contradicts its experiment; "
                               "both sides need the same version of witan");
    }
    return WITAN_OK;
}

static witan_status
choose_model(node_study *self, const witan_node_settings *settings, const char *foreign,
             witan_diag *diag)
{
    if (foreign != NULL) {
        (void)snprintf(self->model_name, sizeof self->model_name, "%s", foreign);
        return WITAN_OK;
    }
    if (settings->model[0] != '\0') {
        WITAN_TRY(witan_zoo_parse(&self->model, settings->model, diag));
    } else {
        self->model = self->config.models[self->client % self->config.models_count];
    }
    (void)snprintf(self->model_name, sizeof self->model_name, "%s", self->model.name);
    return WITAN_OK;
}

static void
digest_plan(node_study *self, const node_plan *plan)
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update_u64(&digest, plan->experiment_size);
    witan_digest_update(&digest, plan->experiment, plan->experiment_size);
    witan_digest_update_u64(&digest, plan->client);
    witan_digest_update(&digest, plan->transfer_digest, sizeof plan->transfer_digest);
    witan_digest_update(&digest, self->model_name, strlen(self->model_name));
    witan_digest_final(&digest, self->digest);
}

witan_status
node_study_begin(node_study *out, const node_plan *plan,
                 const witan_node_settings *settings, const char *foreign,
                 const witan_allocator *allocator, witan_diag *diag)
{
    memset(out, 0, sizeof *out);
    out->client = plan->client;
    witan_status status = read_experiment(out, plan, settings, allocator, diag);
    if (status == WITAN_OK) {
        status = check_plan(out, plan, diag);
    }
    if (status == WITAN_OK) {
        status = choose_model(out, settings, foreign, diag);
    }
    if (status == WITAN_OK && foreign == NULL && settings->data[0] == '\0' &&
        !plan->embedded_data) {
        status = witan_diag_fail(diag, WITAN_E_DATA,
                                 "this federation needs private data: join again with "
                                 "--data FILE");
    }
    if (status != WITAN_OK) {
        node_study_fini(out, allocator);
        return status;
    }
    digest_plan(out, plan);
    return WITAN_OK;
}

/* --- the data --------------------------------------------------------------------- */

static witan_status
load_transfer(node_study *self, const node_plan *plan, const uint8_t *package,
              size_t size, const witan_allocator *allocator, witan_diag *diag)
{
    if (!plan->has_transfer) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_package_read(&self->transfer, package, size, allocator, diag));
    self->input = witan_setup_input(&self->transfer);
    return self->transfer.samples == plan->transfer_rows &&
                   self->input.outputs == plan->classes
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_DATA,
                                 "the transfer set has %zu rows of %zu classes, the "
                                 "plan says %llu of %u",
                                 self->transfer.samples, self->input.outputs,
                                 (unsigned long long)plan->transfer_rows,
                                 (unsigned)plan->classes);
}

static bool
same_input(const witan_input *a, const witan_input *b)
{
    return a->shape.height == b->shape.height && a->shape.width == b->shape.width &&
           a->shape.channels == b->shape.channels && a->length == b->length &&
           a->outputs == b->outputs;
}

static witan_status
load_practice(node_study *self, const node_plan *plan, const witan_allocator *allocator,
              witan_diag *diag)
{
    WITAN_TRY(witan_world_load(&self->world, &self->config, allocator, diag));
    self->practice = true;
    self->own_train = witan_world_private_part(&self->world, self->client);
    self->own_test = witan_world_own_test(&self->world, self->client);
    self->global_test = witan_world_global_test(&self->world);
    if (self->world.partition.test_is_global) {
        self->own_subset = self->own_test.indices;
    }
    const witan_input input = witan_world_input(&self->world);
    if (input.outputs != plan->classes ||
        (plan->has_transfer && !same_input(&input, &self->input))) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the embedded practice data do not fit the plan; both "
                               "sides need the same version of witan");
    }
    self->input = input;
    return WITAN_OK;
}

/* Labels of a set as the transfer set numbers its classes, by name. */
static witan_status
rename_labels(witan_dataset *set, const witan_dataset *transfer,
              const witan_allocator *allocator, witan_diag *diag)
{
    uint32_t *number = witan_alloc(allocator, set->classes, sizeof *number);
    if (number == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for labels");
    }
    for (size_t c = 0; c < set->classes; c++) {
        size_t at = 0;
        while (at < transfer->classes &&
               strcmp(set->class_names[c], transfer->class_names[at]) != 0) {
            at++;
        }
        if (at == transfer->classes) {
            witan_status status = witan_diag_fail(
                diag, WITAN_E_DATA,
                "private data: class \"%s\" is none of the federation's %zu classes "
                "(\"%s\", \"%s\", ...); rename or remove its rows",
                set->class_names[c], transfer->classes, transfer->class_names[0],
                transfer->class_names[1]);
            witan_free(allocator, number);
            return status;
        }
        number[c] = (uint32_t)at;
    }
    for (size_t i = 0; i < set->samples; i++) {
        set->labels[i] = number[set->labels[i]];
    }
    witan_free(allocator, number);
    return WITAN_OK;
}

static witan_status
fit_classes(node_study *self, const node_plan *plan, const witan_allocator *allocator,
            witan_diag *diag)
{
    const witan_dataset *transfer = &self->transfer;
    if (self->train.class_names != NULL && transfer->class_names != NULL) {
        WITAN_TRY(rename_labels(&self->train, transfer, allocator, diag));
        return rename_labels(&self->test, transfer, allocator, diag);
    }
    if (self->train.classes > plan->classes) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "private data have labels up to %zu, the federation has "
                               "%u classes (0 to %u)",
                               self->train.classes - 1, (unsigned)plan->classes,
                               (unsigned)plan->classes - 1);
    }
    return WITAN_OK;
}

/* Private text is read with the federation's vocabulary: what it lacks is <unk>. */
static void
read_as_text(witan_data_source *source, const node_study *self)
{
    witan_data_source experiment;
    witan_setup_source(&experiment, &self->config);
    source->format = WITAN_DATA_TEXT;
    source->text = experiment.text;
    source->text.valid_fraction = 0.0;
    if (self->transfer.length != 0) {
        source->text.known = (const char *const *)self->transfer.token_names;
        source->text.known_count = self->transfer.vocabulary;
    }
}

static witan_status
fit_shape(node_study *self, const witan_allocator *allocator, witan_diag *diag)
{
    const witan_dataset *train = &self->train, *transfer = &self->transfer;
    if (train->height != transfer->height || train->width != transfer->width ||
        train->channels != transfer->channels) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "private data have rows of %zux%zux%zu, the transfer set "
            "of %zux%zux%zu; use data of one shape",
            train->height, train->width, train->channels, transfer->height,
            transfer->width, transfer->channels);
    }
    if ((train->bytes == NULL) != (transfer->bytes == NULL)) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "private data hold %s, the transfer set %s; their scales "
            "cannot be shared: convert one of them",
            train->bytes != NULL ? "bytes" : "real numbers",
            transfer->bytes != NULL ? "bytes" : "real numbers");
    }
    WITAN_TRY(witan_dataset_copy_scale(&self->train, transfer, allocator, diag));
    return witan_dataset_copy_scale(&self->test, transfer, allocator, diag);
}

static witan_status
load_private(node_study *self, const node_plan *plan,
             const witan_node_settings *settings, const witan_allocator *allocator,
             witan_diag *diag)
{
    int format;
    WITAN_TRY(node_settings_format(&format, settings, diag));
    bool text = self->config.data.format == WITAN_DATA_TEXT;
    witan_data_source source = {
        .path = settings->data,
        .format = (witan_data_format)format,
        .label = settings->label,
        .test_fraction = settings->test_fraction,
        .seed = self->config.seed,
        .standardise = !plan->has_transfer && self->config.data.standardise,
    };
    if (text) {
        read_as_text(&source, self);
    }
    WITAN_TRY(witan_data_load(&self->train, &self->test, &source, allocator, diag));
    if (plan->has_transfer && !text) {
        WITAN_TRY(fit_shape(self, allocator, diag));
    }
    if (!text) {
        WITAN_TRY(fit_classes(self, plan, allocator, diag));
    }
    self->input = witan_setup_input(&self->train);
    self->input.outputs = plan->classes;
    self->own_train = (witan_part){&self->train_rows, NULL, self->train.samples};
    self->own_test = (witan_part){&self->test_rows, NULL, self->test.samples};
    return WITAN_OK;
}

static witan_status
make_order(node_study *self, const witan_allocator *allocator, witan_diag *diag)
{
    size_t count = self->transfer.samples;
    count = self->train.samples > count ? self->train.samples : count;
    count = self->test.samples > count ? self->test.samples : count;
    self->order = witan_alloc(allocator, count, sizeof *self->order);
    if (self->order == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for %zu rows",
                               count);
    }
    for (size_t i = 0; i < count; i++) {
        self->order[i] = (uint32_t)i;
    }
    if (!self->practice) {
        self->own_train.indices = self->own_test.indices = self->order;
    }
    return WITAN_OK;
}

/* The rows that a plan gives this client, behind its own. */
static witan_status
append_planted(node_study *self, witan_dataset *set, const witan_canary_plan *plan,
               const witan_allocator *allocator, witan_diag *diag)
{
    uint32_t *rows = NULL;
    size_t own = self->own_train.count;
    WITAN_TRY(witan_dataset_plant(set, self->own_train.indices, own, plan, self->client,
                                  &rows, &self->canaries, allocator, diag));
    self->planted = witan_alloc(allocator, own + self->canaries, sizeof *self->planted);
    if (self->planted == NULL) {
        witan_free(allocator, rows);
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for canaries");
    }
    memcpy(self->planted, self->own_train.indices, own * sizeof *rows);
    if (self->canaries != 0) {
        memcpy(self->planted + own, rows, self->canaries * sizeof *rows);
    }
    witan_free(allocator, rows);
    self->own_train.indices = self->planted;
    self->own_train.count = own + self->canaries;
    return WITAN_OK;
}

static witan_status
plant_canaries(node_study *self, const witan_node_settings *settings, bool brings_data,
               const witan_allocator *allocator, witan_diag *diag)
{
    if (settings->canaries[0] == '\0') {
        return WITAN_OK;
    }
    if (brings_data) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "canaries: a model of your own has its own rows; plant "
                               "them there");
    }
    witan_dataset *set = self->practice ? &self->world.train : &self->train;
    char *json = NULL;
    size_t size = 0;
    witan_canary_plan plan = {0};
    witan_vocabulary vocabulary = {0};
    WITAN_TRY(witan_file_read(&json, &size, settings->canaries,
                              WITAN_CANARY_PLAN_BYTES_MAX, allocator, diag));
    witan_status status = WITAN_OK;
    if (set->length != 0) {
        status = witan_vocabulary_from_names(
            &vocabulary, (witan_text_unit)self->config.data.text.unit,
            (const char *const *)set->token_names, set->vocabulary, allocator, diag);
    }
    if (status == WITAN_OK) {
        status = witan_canary_plan_read(&plan, json, size, settings->canaries,
                                        set->length != 0 ? &vocabulary : NULL,
                                        allocator, diag);
    }
    if (status == WITAN_OK) {
        status = append_planted(self, set, &plan, allocator, diag);
        witan_digest digest; /* other rows: another study */
        witan_digest_init(&digest);
        witan_digest_update(&digest, self->digest, sizeof self->digest);
        witan_digest_update(&digest, plan.digest, sizeof plan.digest);
        witan_digest_final(&digest, self->digest);
        witan_canary_plan_fini(&plan, allocator);
    }
    witan_vocabulary_fini(&vocabulary, allocator);
    witan_free(allocator, json);
    return status;
}

witan_status
node_study_load(node_study *self, const node_plan *plan,
                const witan_node_settings *settings, bool brings_data,
                const uint8_t *package, size_t size, const witan_allocator *allocator,
                witan_diag *diag)
{
    WITAN_TRY(load_transfer(self, plan, package, size, allocator, diag));
    if (!brings_data) {
        WITAN_TRY(settings->data[0] == '\0'
                      ? load_practice(self, plan, allocator, diag)
                      : load_private(self, plan, settings, allocator, diag));
        WITAN_TRY(witan_setup_check(&self->config, &self->input, diag));
    }
    self->train_rows = witan_setup_rows(&self->train);
    self->test_rows = witan_setup_rows(&self->test);
    self->transfer_rows = witan_setup_rows(&self->transfer);
    WITAN_TRY(make_order(self, allocator, diag));
    WITAN_TRY(plant_canaries(self, settings, brings_data, allocator, diag));
    self->parameters = self->strategy->exchange == WITAN_EXCHANGE_PARAMETERS
                           ? (size_t)plan->parameters
                           : 0;
    witan_part transfer = {&self->transfer_rows, self->order, self->transfer.samples};
    self->input.outputs = plan->classes; /* also of a model that brings its data */
    witan_setup_plan(&self->plan, &self->config, &self->input, transfer);
    self->plan.release.token_names = (const char *const *)self->transfer.token_names;
    witan_packet_offer offer;
    node_study_offer(self, false, &offer);
    return node_study_exchanges(self) &&
                   (offer.total == 0 || offer.total > WITAN_UPLOAD_BYTES_MAX)
               ? witan_diag_fail(diag, WITAN_E_LIMIT,
                                 "a client's knowledge of %llu rows and %zu classes is "
                                 "too long to travel; lower transfer.samples",
                                 (unsigned long long)offer.rows, self->plan.classes)
               : WITAN_OK;
}

void
node_study_fini(node_study *self, const witan_allocator *allocator)
{
    witan_world_fini(&self->world, allocator);
    witan_dataset_fini(&self->train, allocator);
    witan_dataset_fini(&self->test, allocator);
    witan_dataset_fini(&self->transfer, allocator);
    witan_free(allocator, self->order);
    witan_free(allocator, self->planted);
    witan_config_fini(&self->config, allocator);
    memset(self, 0, sizeof *self);
}

bool
node_study_exchanges(const node_study *self)
{
    return self->strategy->exchange != WITAN_EXCHANGE_NONE;
}

bool
node_study_evaluates(const node_study *self, uint32_t round)
{
    size_t every = self->config.evaluate.every;
    return (size_t)round + 1 == self->config.rounds ||
           (every != 0 && ((size_t)round + 1) % every == 0);
}

void
node_study_offer(const node_study *self, bool fused, witan_packet_offer *out)
{
    memset(out, 0, sizeof *out);
    if (self->strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        out->kind = WITAN_PACKET_PARAMETERS;
        out->rows = 1;
        out->classes = self->parameters;
        out->total = self->parameters * sizeof(float);
        return;
    }
    out->kind = fused ? WITAN_KNOWLEDGE_PROBABILITY : self->plan.kind;
    out->codec = self->plan.codec;
    out->rows = witan_plan_labels(&self->plan);
    out->classes = self->plan.classes;
    out->total =
        witan_soft_labels_size(self->plan.codec, (size_t)out->rows, self->plan.classes);
}
