/* world.c - the models of one experiment and a seat for every client, on top of the
 * world that its config describes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "num/cpu.h"
#include "setup/setup.h"
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

static witan_status
make_models(witan_simulation *self, witan_diag *diag)
{
    const witan_config *config = self->config;
    const witan_input input = witan_world_input(&self->world);
    self->networks = take(self, config->models_count, sizeof *self->networks);
    if (self->networks == NULL) {
        return out_of_memory(diag);
    }
    for (size_t i = 0; i < config->models_count; i++) {
        if (witan_network_init(&self->networks[i], self->allocator, &config->models[i],
                               &input, diag) != WITAN_OK) {
            return witan_diag_prefix(diag, "models[%zu] (%s)", i,
                                     config->models[i].name);
        }
    }
    return WITAN_OK;
}

/* The one learner of `centralised` trains on everybody's private rows. */
static witan_status
pool_rows(witan_simulation *self, witan_part *out, witan_diag *diag)
{
    size_t count = 0;
    for (size_t n = 0; n < self->seats; n++) {
        count += witan_world_private_part(&self->world, n).count;
    }
    self->pooled = take(self, count, sizeof *self->pooled);
    if (self->pooled == NULL) {
        return out_of_memory(diag);
    }
    size_t at = 0;
    for (size_t n = 0; n < self->seats; n++) {
        const witan_part part = witan_world_private_part(&self->world, n);
        memcpy(self->pooled + at, part.indices, part.count * sizeof *part.indices);
        at += part.count;
    }
    *out = (witan_part){&self->world.train_rows, self->pooled, count};
    return WITAN_OK;
}

static witan_status
make_seat(witan_simulation *self, size_t n, witan_diag *diag)
{
    sim_seat *seat = &self->seat[n];
    seat->simulation = self;
    seat->state.id = (uint32_t)n;
    seat->architecture =
        self->world.strategy->pools_data ? 0 : n % self->config->models_count;
    seat->state.train = witan_world_private_part(&self->world, n);
    seat->own_test = witan_world_own_test(&self->world, n);
    if (self->world.partition.test_is_global) {
        seat->own_subset = seat->own_test.indices;
    }
    seat->job.pool = (witan_pool_job){sim_job_run, seat, 0.0, false};
    seat->slowness = 1.0;
    seat->unscored = true;
    seat->last_own = seat->last_global =
        (witan_metric){(double)NAN, (double)NAN, (double)NAN};
    witan_client_init(&seat->core, (uint32_t)n,
                      self->world.strategy->exchange != WITAN_EXCHANGE_NONE);
    if (n < self->learners) {
        if (witan_learner_block_new(&seat->state.learner, &self->plan,
                                    &self->networks[seat->architecture], (uint32_t)n,
                                    self->allocator) != WITAN_OK) {
            return out_of_memory(diag);
        }
        if (self->world.strategy->pools_data) {
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
    (void)snprintf(self->data_name, sizeof self->data_name, "%s", self->world.summary);
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
    self->histogram =
        take(self, n * self->world.train.classes, sizeof *self->histogram);
    if (self->model_names == NULL || self->train_samples == NULL ||
        self->test_samples == NULL || self->histogram == NULL) {
        return out_of_memory(diag);
    }
    for (size_t i = 0; i < n; i++) {
        self->model_names[i] = self->config->models[self->seat[i].architecture].name;
        self->train_samples[i] = witan_world_private_part(&self->world, i).count;
        self->test_samples[i] = self->world.partition.test[i].count;
    }
    witan_partition_histogram(&self->world.partition, &self->world.train,
                              self->histogram);

    witan_text identity;
    witan_text_init(&identity, self->allocator, WITAN_CONFIG_BYTES_MAX * 4);
    witan_config_identity(self->config, &identity);
    witan_status status = identity.status;
    witan_world_digest(&self->world, &identity, self->world_digest);
    memcpy(self->digest, self->world_digest, sizeof self->digest);
    witan_text_fini(&identity);
    return status == WITAN_OK ? status : out_of_memory(diag);
}

static witan_status
plant_canaries(witan_simulation *self, witan_diag *diag)
{
    if (self->options.canaries == NULL) {
        return WITAN_OK;
    }
    bool text = self->world.train.length != 0;
    WITAN_TRY(witan_canary_plan_read(
        &self->canaries, self->options.canaries, self->options.canaries_size,
        self->options.canaries_origin, text ? &self->world.vocabulary : NULL,
        self->allocator, diag));
    self->has_canaries = true;
    return witan_world_plant(&self->world, &self->canaries, self->allocator, diag);
}

witan_status
sim_world_make(witan_simulation *self, witan_diag *diag)
{
    WITAN_TRY(witan_world_load(&self->world, self->config, self->allocator, diag));
    WITAN_TRY(plant_canaries(self, diag));
    const witan_input input = witan_world_input(&self->world);
    witan_setup_plan(&self->plan, self->config, &input, self->world.transfer);
    self->plan.release.token_names = (const char *const *)self->world.train.token_names;
    self->plan.clock = self->options.clock;
    self->seats = self->config->clients;
    self->learners = self->world.strategy->pools_data ? 1 : self->seats;
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
        if (n < self->learners) {
            witan_learner_block_free(&seat->state.learner, self->allocator);
        }
        witan_message_fini(&seat->job.input, self->allocator);
        witan_message_fini(&seat->job.output, self->allocator);
        witan_release_free(&seat->state.release);
        witan_soft_labels_fini(&seat->lesson, self->allocator);
        sim_evidence_fini(seat);
    }
    for (size_t i = 0; self->networks != NULL && i < self->config->models_count; i++) {
        witan_network_fini(&self->networks[i]);
    }
    if (self->has_canaries) {
        witan_canary_plan_fini(&self->canaries, self->allocator);
    }
    witan_world_fini(&self->world, self->allocator);
    witan_free(self->allocator, self->seat);
    witan_free(self->allocator, self->networks);
    witan_free(self->allocator, self->pooled);
    witan_free(self->allocator, self->model_names);
    witan_free(self->allocator, self->train_samples);
    witan_free(self->allocator, self->test_samples);
    witan_free(self->allocator, self->histogram);
}
