/* world.c - the world of one experiment: data, partition, models, and a seat for every
 * client with one aligned block for its parameters and optimiser state. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "num/cpu.h"
#include "sim/setup.h"
#include "sim/simulation_private.h"

static void *
take(witan_simulation *self, size_t count, size_t size)
{
    return witan_zalloc(self->allocator, count, size);
}

static witan_status
out_of_memory(witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_MEMORY,
                           "out of memory; lower clients, models or data.limit");
}

static uint32_t *
identity_order(witan_simulation *self, size_t count)
{
    uint32_t *order = take(self, count, sizeof *order);
    for (size_t i = 0; order != NULL && i < count; i++) {
        order[i] = (uint32_t)i;
    }
    return order;
}

static witan_status
load_data(witan_simulation *self, witan_diag *diag)
{
    witan_data_source source;
    witan_setup_source(&source, self->config);
    WITAN_TRY(
        witan_data_load(&self->train, &self->test, &source, self->allocator, diag));
    witan_data_describe(self->data_summary, sizeof self->data_summary, &source,
                        &self->train, &self->test);
    if (self->config->transfer.path[0] == '\0' ||
        self->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return WITAN_OK;
    }
    witan_dataset ignored = {0};
    witan_setup_transfer_source(&source, self->config);
    WITAN_TRY(witan_data_load(&self->second, &ignored, &source, self->allocator, diag));
    witan_dataset_fini(&ignored, self->allocator);
    if (self->second.height != self->train.height ||
        self->second.width != self->train.width ||
        self->second.channels != self->train.channels) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "transfer.path: rows of %zux%zux%zu do not fit the "
                               "%zux%zux%zu of data.path; "
                               "use data of one shape",
                               self->second.height, self->second.width,
                               self->second.channels, self->train.height,
                               self->train.width, self->train.channels);
    }
    if (self->config->data.standardise) {
        WITAN_TRY(witan_dataset_copy_scale(&self->second, &self->train, self->allocator,
                                           diag));
    }
    if (self->second.samples < self->config->transfer.samples) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "transfer.samples: %zu are asked of the %zu rows at %s",
                               self->config->transfer.samples, self->second.samples,
                               self->config->transfer.path);
    }
    return WITAN_OK;
}

static witan_status
make_partition(witan_simulation *self, witan_diag *diag)
{
    witan_partition_config config;
    witan_setup_partition(&config, self->config);
    WITAN_TRY(witan_partition_make(&self->partition, &config, &self->train, &self->test,
                                   self->allocator, diag));
    self->test_order = identity_order(self, self->test.samples);
    return self->test_order == NULL ? out_of_memory(diag) : WITAN_OK;
}

static witan_status
make_plan(witan_simulation *self, witan_diag *diag)
{
    const witan_config *config = self->config;
    witan_learning_plan *plan = &self->plan;
    plan->seed = config->seed;
    plan->rounds = config->rounds;
    plan->classes = self->train.classes;
    plan->local_epochs = config->local.epochs;
    plan->local_batch = config->local.batch;
    witan_setup_optimiser(&plan->optimiser, config);
    plan->extract_temperature = config->extract.temperature;
    plan->kind = config->fusion.combine == WITAN_COMBINE_LOGIT
                     ? WITAN_KNOWLEDGE_LOG_PROBABILITY
                     : WITAN_KNOWLEDGE_PROBABILITY;
    plan->codec = (witan_codec)config->extract.codec;
    plan->distill_epochs = config->distill.epochs;
    plan->distill_batch =
        config->distill.batch != 0 ? config->distill.batch : config->local.batch;
    plan->distill_temperature = config->distill.temperature;
    plan->distill_loss = (witan_distill_loss)config->distill.loss;
    plan->predict_batch = config->evaluate.batch;
    plan->clock = self->options.clock;
    self->train_rows = (witan_rows){witan_dataset_gather, &self->train};
    self->test_rows = (witan_rows){witan_dataset_gather, &self->test};
    self->second_rows = (witan_rows){witan_dataset_gather, &self->second};
    if (self->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return WITAN_OK;
    }
    if (self->second.samples != 0) {
        self->second_order = identity_order(self, self->second.samples);
        if (self->second_order == NULL) {
            return out_of_memory(diag);
        }
        size_t rows = config->transfer.samples != 0 ? config->transfer.samples
                                                    : self->second.samples;
        plan->transfer = (witan_part){&self->second_rows, self->second_order, rows};
    } else {
        plan->transfer = (witan_part){&self->train_rows, self->partition.transfer.items,
                                      self->partition.transfer.count};
    }
    if (plan->transfer.count == 0) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "transfer.samples: strategy %s needs a transfer set of at "
            "least 1 row",
            self->strategy->key);
    }
    return WITAN_OK;
}

static witan_status
make_models(witan_simulation *self, witan_diag *diag)
{
    const witan_config *config = self->config;
    witan_shape shape = {self->train.height, self->train.width, self->train.channels};
    self->models = take(self, config->models_count, sizeof *self->models);
    if (self->models == NULL) {
        return out_of_memory(diag);
    }
    for (size_t i = 0; i < config->models_count; i++) {
        if (witan_model_new(&self->models[i], self->allocator, &config->models[i],
                            shape, self->train.classes, diag) != WITAN_OK) {
            return witan_diag_prefix(diag, "models[%zu] (%s)", i,
                                     config->models[i].name);
        }
    }
    return WITAN_OK;
}

static witan_status
make_blocks(witan_simulation *self, sim_seat *seat, witan_diag *diag)
{
    const witan_model *model = self->models[seat->architecture];
    size_t parameters = witan_model_parameters(model);
    size_t state =
        witan_optimiser_slots(&self->plan.optimiser) * witan_model_trainable(model);
    /* The optimiser state starts on an aligned float. */
    size_t aligned = (parameters + 15) / 16 * 16;
    seat->block_floats = aligned + state;
    float *block = take(self, seat->block_floats, sizeof *block);
    if (block == NULL) {
        return out_of_memory(diag);
    }
    seat->owns_blocks = true;
    seat->state.learner.parameters = block;
    seat->state.learner.optimiser_state = state == 0 ? NULL : block + aligned;
    witan_random random;
    witan_random_init(&random, self->config->seed, seat->state.id, 0,
                      WITAN_PURPOSE_INITIALISE);
    witan_model_initialise(model, block, &random);
    return WITAN_OK;
}

/* The one learner of `centralised` trains on everybody's private rows. */
static witan_status
pool_rows(witan_simulation *self, witan_part *out, witan_diag *diag)
{
    size_t count = 0;
    for (size_t n = 0; n < self->seats; n++) {
        count += self->partition.train[n].count;
    }
    self->pooled = take(self, count, sizeof *self->pooled);
    if (self->pooled == NULL) {
        return out_of_memory(diag);
    }
    size_t at = 0;
    for (size_t n = 0; n < self->seats; n++) {
        const witan_indices *part = &self->partition.train[n];
        memcpy(self->pooled + at, part->items, part->count * sizeof *part->items);
        at += part->count;
    }
    *out = (witan_part){&self->train_rows, self->pooled, count};
    return WITAN_OK;
}

static witan_status
make_seat(witan_simulation *self, size_t n, witan_diag *diag)
{
    sim_seat *seat = &self->seat[n];
    const witan_indices *test = &self->partition.test[n];
    seat->simulation = self;
    seat->state.id = (uint32_t)n;
    seat->architecture =
        self->strategy->pools_data ? 0 : n % self->config->models_count;
    seat->state.learner.model = self->models[seat->architecture];
    seat->state.learner.optimiser = &self->plan.optimiser;
    seat->state.train = (witan_part){&self->train_rows, self->partition.train[n].items,
                                     self->partition.train[n].count};
    seat->job.pool = (witan_pool_job){sim_job_run, seat, 0.0, false};
    seat->slowness = 1.0;
    seat->unscored = true;
    seat->last_own = seat->last_global =
        (witan_metric){(double)NAN, (double)NAN, (double)NAN};
    if (self->partition.test_is_global) {
        seat->own_test = (witan_part){&self->test_rows, test->items, test->count};
        seat->own_subset = test->items;
    } else {
        seat->own_test = (witan_part){&self->train_rows, test->items, test->count};
    }
    witan_client_init(&seat->core, (uint32_t)n,
                      self->strategy->exchange != WITAN_EXCHANGE_NONE);
    if (n < self->learners) {
        WITAN_TRY(make_blocks(self, seat, diag));
        if (self->strategy->pools_data) {
            WITAN_TRY(pool_rows(self, &seat->state.train, diag));
        }
    } else { /* centralised: looks through seat 0's model */
        seat->state.learner = self->seat[0].state.learner;
    }
    if (seat->state.train.count > self->train_rows_max) {
        self->train_rows_max = seat->state.train.count;
    }
    return WITAN_OK;
}

/* "optdigits" of "optdigits (embedded): ...", and "dirichlet, alpha 0.3". */
static void
describe_data(witan_simulation *self)
{
    const witan_config *config = self->config;
    int kind = config->data.partition.key;
    (void)snprintf(self->data_name, sizeof self->data_name, "%s", self->data_summary);
    char *end = strstr(self->data_name, " (");
    if (end != NULL) {
        *end = '\0';
    }
    (void)snprintf(self->partition_rule, sizeof self->partition_rule, "%s",
                   witan_partition_kind_name((witan_partition_kind)kind));
    if (kind == WITAN_PARTITION_DIRICHLET || kind == WITAN_PARTITION_DIRICHLET_CLIENT ||
        kind == WITAN_PARTITION_QUANTITY) {
        size_t length = strlen(self->partition_rule);
        (void)snprintf(self->partition_rule + length,
                       sizeof self->partition_rule - length, ", alpha %g",
                       config->data.partition.alpha);
    }
}

static witan_status
describe(witan_simulation *self, witan_diag *diag)
{
    describe_data(self);
    size_t n = self->seats;
    bool pinned = false;
    bool below = witan_blas_is_below_cpu(&pinned);
    (void)snprintf(self->machine, sizeof self->machine, "%s kernels, OpenBLAS %s%s",
                   witan_isa_name(witan_cpu_isa()), witan_blas_core(),
                   !below   ? ""
                   : pinned ? " (pinned below this processor by OPENBLAS_CORETYPE)"
                            : " (below this processor)");
    self->model_names = take(self, n, sizeof *self->model_names);
    self->train_samples = take(self, n, sizeof *self->train_samples);
    self->test_samples = take(self, n, sizeof *self->test_samples);
    self->histogram = take(self, n * self->train.classes, sizeof *self->histogram);
    if (self->model_names == NULL || self->train_samples == NULL ||
        self->test_samples == NULL || self->histogram == NULL) {
        return out_of_memory(diag);
    }
    for (size_t i = 0; i < n; i++) {
        self->model_names[i] = self->config->models[self->seat[i].architecture].name;
        self->train_samples[i] = self->partition.train[i].count;
        self->test_samples[i] = self->partition.test[i].count;
    }
    witan_partition_histogram(&self->partition, &self->train, self->histogram);

    witan_digest digest;
    uint8_t part[WITAN_DIGEST_SIZE];
    witan_digest_init(&digest);
    witan_digest_update(&digest, self->config_text.data, self->config_text.length);
    witan_dataset_digest(&self->train, part);
    witan_digest_update(&digest, part, sizeof part);
    witan_dataset_digest(&self->test, part);
    witan_digest_update(&digest, part, sizeof part);
    witan_partition_digest(&self->partition, part);
    witan_digest_update(&digest, part, sizeof part);
    if (self->second.samples != 0) {
        witan_dataset_digest(&self->second, part);
        witan_digest_update(&digest, part, sizeof part);
    }
    witan_digest_final(&digest, self->world_digest);
    memcpy(self->digest, self->world_digest, sizeof self->digest);
    return WITAN_OK;
}

witan_status
sim_world_make(witan_simulation *self, witan_diag *diag)
{
    self->seats = self->config->clients;
    self->learners = self->strategy->pools_data ? 1 : self->seats;
    WITAN_TRY(load_data(self, diag));
    WITAN_TRY(make_partition(self, diag));
    WITAN_TRY(make_plan(self, diag));
    WITAN_TRY(make_models(self, diag));
    self->seat = take(self, self->seats, sizeof *self->seat);
    if (self->seat == NULL) {
        return out_of_memory(diag);
    }
    for (size_t n = 0; n < self->seats; n++) {
        WITAN_TRY(make_seat(self, n, diag));
    }
    return describe(self, diag);
}

void
sim_world_fini(witan_simulation *self)
{
    for (size_t n = 0; self->seat != NULL && n < self->seats; n++) {
        sim_seat *seat = &self->seat[n];
        if (seat->owns_blocks) {
            witan_free(self->allocator, seat->state.learner.parameters);
        }
        witan_message_fini(&seat->job.input, self->allocator);
        witan_message_fini(&seat->job.output, self->allocator);
    }
    for (size_t i = 0; self->models != NULL && i < self->config->models_count; i++) {
        witan_model_free(&self->models[i]);
    }
    witan_partition_fini(&self->partition, self->allocator);
    witan_dataset_fini(&self->train, self->allocator);
    witan_dataset_fini(&self->test, self->allocator);
    witan_dataset_fini(&self->second, self->allocator);
    witan_free(self->allocator, self->seat);
    witan_free(self->allocator, self->models);
    witan_free(self->allocator, self->test_order);
    witan_free(self->allocator, self->second_order);
    witan_free(self->allocator, self->pooled);
    witan_free(self->allocator, self->model_names);
    witan_free(self->allocator, self->train_samples);
    witan_free(self->allocator, self->test_samples);
    witan_free(self->allocator, self->histogram);
}
