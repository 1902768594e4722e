#include "setup/world.h"

#include <string.h>

#include "base/digest.h"
#include "data/package.h"
#include "setup/canary_file.h"
#include "setup/setup.h"

static witan_status
check_second(const witan_world *self, const witan_config *config, witan_diag *diag)
{
    const witan_dataset *train = &self->train, *second = &self->second;
    if (second->height != train->height || second->width != train->width ||
        second->channels != train->channels || second->length != train->length) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "transfer.path: rows of %zux%zux%zu do not fit the %zux%zux%zu of "
            "data.path; use data of one shape",
            second->height, second->width, second->channels, train->height,
            train->width, train->channels);
    }
    if (second->samples < config->transfer.samples) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "transfer.samples: %zu are asked of the %zu rows at %s",
                               config->transfer.samples, second->samples,
                               config->transfer.path);
    }
    return WITAN_OK;
}

static witan_status
load_data(witan_world *self, const witan_config *config,
          const witan_allocator *allocator, witan_diag *diag)
{
    witan_data_source source;
    witan_setup_source(&source, config);
    WITAN_TRY(witan_data_load_parts(&self->train, &self->valid, &self->test, &source,
                                    allocator, diag));
    if (self->train.length != 0) {
        source.text.known = (const char *const *)self->train.token_names;
        source.text.known_count = self->train.vocabulary;
        WITAN_TRY(witan_vocabulary_from_names(
            &self->vocabulary, source.text.unit, source.text.known,
            source.text.known_count, allocator, diag));
    }
    witan_data_describe(self->summary, sizeof self->summary, &source, &self->train,
                        &self->test);
    if (config->transfer.path[0] == '\0' ||
        self->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return WITAN_OK;
    }
    witan_dataset ignored = {0};
    const witan_text_options text = source.text;
    witan_setup_transfer_source(&source, config);
    source.text.known = text.known;
    source.text.known_count = text.known_count;
    WITAN_TRY(witan_data_load(&self->second, &ignored, &source, allocator, diag));
    witan_dataset_fini(&ignored, allocator);
    WITAN_TRY(check_second(self, config, diag));
    return config->data.standardise && self->train.length == 0
               ? witan_dataset_copy_scale(&self->second, &self->train, allocator, diag)
               : WITAN_OK;
}

static witan_status
make_order(uint32_t **out, size_t count, const witan_allocator *allocator,
           witan_diag *diag)
{
    *out = witan_alloc(allocator, count, sizeof **out);
    if (*out == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY,
                               "out of memory for an order of %zu rows; use less data",
                               count);
    }
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = (uint32_t)i;
    }
    return WITAN_OK;
}

static witan_status
make_partition(witan_world *self, const witan_config *config,
               const witan_allocator *allocator, witan_diag *diag)
{
    witan_partition_config partition;
    witan_setup_partition(&partition, config);
    WITAN_TRY(witan_partition_make(&self->partition, &partition, &self->train,
                                   &self->test, allocator, diag));
    if (self->valid.samples != 0) {
        WITAN_TRY(make_order(&self->valid_order, self->valid.samples, allocator, diag));
    }
    return make_order(&self->test_order, self->test.samples, allocator, diag);
}

static witan_status
make_transfer(witan_world *self, const witan_config *config,
              const witan_allocator *allocator, witan_diag *diag)
{
    if (self->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return WITAN_OK;
    }
    if (self->second.samples != 0) {
        WITAN_TRY(
            make_order(&self->second_order, self->second.samples, allocator, diag));
        size_t rows = config->transfer.samples != 0 ? config->transfer.samples
                                                    : self->second.samples;
        self->transfer = (witan_part){&self->second_rows, self->second_order, rows};
    } else {
        const witan_indices *held_out = &self->partition.transfer;
        self->transfer =
            (witan_part){&self->train_rows, held_out->items, held_out->count};
    }
    if (self->transfer.count == 0) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "transfer.samples: strategy %s needs a transfer set of at least 1 row",
            self->strategy->key);
    }
    return WITAN_OK;
}

witan_status
witan_world_load(witan_world *out, const witan_config *config,
                 const witan_allocator *allocator, witan_diag *diag)
{
    *out = (witan_world){
        .strategy = witan_fusion_strategies()[config->fusion.key],
    };
    witan_status status = load_data(out, config, allocator, diag);
    if (status == WITAN_OK) {
        out->train_rows = witan_setup_rows(&out->train);
        out->test_rows = witan_setup_rows(&out->test);
        out->valid_rows = witan_setup_rows(&out->valid);
        out->second_rows = witan_setup_rows(&out->second);
        witan_input input = witan_world_input(out);
        status = witan_setup_check(config, &input, diag);
    }
    if (status == WITAN_OK) {
        status = make_partition(out, config, allocator, diag);
    }
    if (status == WITAN_OK) {
        status = make_transfer(out, config, allocator, diag);
    }
    if (status != WITAN_OK) {
        witan_world_fini(out, allocator);
    }
    return status;
}

void
witan_world_fini(witan_world *self, const witan_allocator *allocator)
{
    for (size_t n = 0; self->planted != NULL && n < self->partition.clients; n++) {
        witan_free(allocator, self->planted[n]);
    }
    witan_free(allocator, self->planted);
    witan_free(allocator, self->planted_count);
    witan_free(allocator, self->planted_transfer);
    witan_free(allocator, self->probe);
    witan_partition_fini(&self->partition, allocator);
    witan_vocabulary_fini(&self->vocabulary, allocator);
    witan_dataset_fini(&self->train, allocator);
    witan_dataset_fini(&self->valid, allocator);
    witan_dataset_fini(&self->test, allocator);
    witan_dataset_fini(&self->second, allocator);
    witan_free(allocator, self->test_order);
    witan_free(allocator, self->valid_order);
    witan_free(allocator, self->second_order);
    memset(self, 0, sizeof *self);
}

witan_part
witan_world_private_part(const witan_world *self, size_t client)
{
    const witan_indices *held = &self->partition.train[client];
    if (self->planted != NULL && self->planted[client] != NULL) {
        return (witan_part){&self->train_rows, self->planted[client],
                            held->count + self->planted_count[client]};
    }
    return (witan_part){&self->train_rows, held->items, held->count};
}

witan_part
witan_world_own_test(const witan_world *self, size_t client)
{
    const witan_indices *held = &self->partition.test[client];
    return (witan_part){self->partition.test_is_global ? &self->test_rows
                                                       : &self->train_rows,
                        held->items, held->count};
}

witan_part
witan_world_global_test(const witan_world *self)
{
    return (witan_part){&self->test_rows, self->test_order, self->test.samples};
}

witan_part
witan_world_validation(const witan_world *self)
{
    return (witan_part){&self->valid_rows, self->valid_order, self->valid.samples};
}

witan_input
witan_world_input(const witan_world *self)
{
    return witan_setup_input(&self->train);
}

witan_status
witan_world_package(uint8_t **out, size_t *size, const witan_world *self,
                    const witan_allocator *allocator, witan_diag *diag)
{
    witan_dataset set =
        self->transfer.rows == &self->second_rows ? self->second : self->train;
    set.classes = self->train.classes;
    set.class_names = self->train.class_names;
    return witan_package_write(out, size, &set, self->transfer.indices,
                               self->transfer.count, allocator, diag);
}

void
witan_world_digest(const witan_world *self, const witan_text *config, uint8_t out[32])
{
    witan_digest digest;
    uint8_t part[WITAN_DIGEST_SIZE];
    witan_digest_init(&digest);
    witan_digest_update(&digest, config->data, config->length);
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
    if (self->valid.samples != 0) {
        witan_dataset_digest(&self->valid, part);
        witan_digest_update(&digest, part, sizeof part);
    }
    if (self->planted != NULL) {
        witan_digest_update(&digest, self->planted_digest, sizeof self->planted_digest);
    }
    witan_digest_final(&digest, out);
}
