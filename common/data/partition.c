#include "data/partition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/random.h"
#include "data/partition_file.h"
#include "data/partition_rules.h"

const char *
witan_partition_kind_name(witan_partition_kind kind)
{
    static const char *const names[] = {
        [WITAN_PARTITION_IID] = "iid",
        [WITAN_PARTITION_DIRICHLET] = "dirichlet",
        [WITAN_PARTITION_DIRICHLET_CLIENT] = "dirichlet-client",
        [WITAN_PARTITION_LABELS] = "labels",
        [WITAN_PARTITION_SHARDS] = "shards",
        [WITAN_PARTITION_QUANTITY] = "quantity",
        [WITAN_PARTITION_FILE] = "file",
        [WITAN_PARTITION_NATURAL] = "natural",
    };
    return names[kind];
}

void
witan_partition_fini(witan_partition *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->global_rows);
    witan_free(allocator, self->rows);
    witan_free(allocator, self->test);
    witan_free(allocator, self->train);
    memset(self, 0, sizeof *self);
}

/* The config keys that a kind reads. */
static witan_status
check_kind(const witan_partition_config *config, witan_diag *diag)
{
    switch (config->kind) {
    case WITAN_PARTITION_DIRICHLET:
    case WITAN_PARTITION_DIRICHLET_CLIENT:
    case WITAN_PARTITION_QUANTITY:
        if (!(config->alpha > 0.0) || !isfinite(config->alpha)) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "data.partition.alpha is %g: set it above 0",
                                   config->alpha);
        }
        if (config->retries > WITAN_PARTITION_RETRIES_MAX) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "data.partition.retries is %zu: set it to at most %zu", config->retries,
                WITAN_PARTITION_RETRIES_MAX);
        }
        break;
    case WITAN_PARTITION_LABELS:
        if (config->labels_per_client == 0) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "data.partition.labels is 0: set it to at least 1");
        }
        break;
    case WITAN_PARTITION_SHARDS:
        if (config->shards_per_client == 0) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "data.partition.shards is 0: set it to at least 1");
        }
        break;
    case WITAN_PARTITION_FILE:
        if (config->path == NULL || config->path[0] == '\0') {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "data.partition.path is empty: name the directory with "
                "the client_*.idx files");
        }
        if (config->limit != 0) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "data.limit is %zu, but index files say which rows are "
                "used: set it to 0",
                config->limit);
        }
        break;
    case WITAN_PARTITION_IID:
    case WITAN_PARTITION_NATURAL:
        break;
    }
    return WITAN_OK;
}

static witan_status
check_config(const witan_partition_config *config, const witan_dataset *train,
             const witan_dataset *test, witan_diag *diag)
{
    if (config->clients == 0 || config->clients > WITAN_CLIENTS_MAX) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "clients is %zu: set it between 1 and %zu",
                               config->clients, WITAN_CLIENTS_MAX);
    }
    if (config->minimum_samples == 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "data.partition.minimum is 0: set it to at least 1");
    }
    double fraction = config->own_test_fraction;
    if (!(fraction > 0.0) || !(fraction <= 1.0) ||
        (fraction >= 1.0 && !config->own_test_from_global)) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "data.own_test.fraction is %g: set it above 0 and below 1", fraction);
    }
    if (train->labels == NULL) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the training set has no labels, which clients need");
    }
    if (config->own_test_from_global &&
        (test == NULL || test->labels == NULL || test->classes != train->classes)) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "own test parts are to come from the global test set, which "
            "lacks labels of the training set's classes: set "
            "data.own_test.source to holdout");
    }
    return check_kind(config, diag);
}

/* Rows that every client needs before its test part is cut off. */
static size_t
rows_needed(const witan_partition_config *config)
{
    size_t least = config->own_test_from_global ? 1 : 2;
    return config->minimum_samples > least ? config->minimum_samples : least;
}

/* rows [samples] becomes: transfer rows, rows to deal, rows beyond the limit. */
static witan_status
choose_rows(witan_partition *out, const witan_partition_config *config, size_t samples,
            witan_diag *diag)
{
    size_t limit =
        config->limit == 0 || config->limit > samples ? samples : config->limit;
    if (config->transfer_samples > limit) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "transfer.samples is %zu, but only %zu training rows are "
            "there: lower it%s",
            config->transfer_samples, limit,
            limit < samples ? " or raise data.limit" : "");
    }
    size_t need = rows_needed(config);
    size_t left = limit - config->transfer_samples;
    if (left / config->clients < need) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "%zu rows are left for %zu clients, who need %zu each: lower clients%s%s%s",
            left, config->clients, need,
            config->transfer_samples > 0 ? " or transfer.samples" : "",
            need > 2 ? " or data.partition.minimum" : "",
            limit < samples ? ", or raise data.limit" : "");
    }
    for (size_t i = 0; i < samples; i++) {
        out->rows[i] = (uint32_t)i;
    }
    witan_random random;
    witan_random_init(&random, config->seed, WITAN_CLIENT_NONE, 0,
                      WITAN_PURPOSE_TRANSFER);
    witan_random_shuffle(&random, out->rows, samples);
    out->transfer.items = out->rows;
    out->transfer.count = config->transfer_samples;
    witan_random_init(&random, config->seed, WITAN_CLIENT_NONE, 0,
                      WITAN_PURPOSE_PARTITION);
    witan_random_shuffle(&random, out->rows + config->transfer_samples,
                         samples - config->transfer_samples);
    out->unused = samples - limit; /* and what the rule leaves over */
    return WITAN_OK;
}

/* Counting sort: keys [count] below `groups` to start [groups + 1] and the positions
 * grouped by key, in order within a group. */
static void
group_positions(uint32_t *grouped, size_t *start, const uint32_t *rows,
                const uint32_t *labels, size_t count, size_t groups)
{
    memset(start, 0, (groups + 1) * sizeof *start);
    for (size_t i = 0; i < count; i++) {
        start[labels[rows == NULL ? i : rows[i]] + 1]++;
    }
    for (size_t g = 0; g < groups; g++) {
        start[g + 1] += start[g];
    }
    for (size_t i = 0; i < count; i++) {
        grouped[start[labels[rows == NULL ? i : rows[i]]]++] = (uint32_t)i;
    }
    memmove(start + 1, start, groups * sizeof *start);
    start[0] = 0;
}

/* Reorders rows[0..count) so that each client's stand together; scratch [count]. */
static void
build_lists(witan_partition *out, const witan_deal *deal, uint32_t *rows,
            uint32_t *scratch)
{
    memcpy(scratch, rows, deal->count * sizeof *rows);
    size_t begin = 0;
    for (size_t n = 0; n < out->clients; n++) {
        out->train[n].items = rows + begin;
        begin += deal->sizes[n];
    }
    for (size_t i = 0; i < deal->count; i++) {
        if (deal->holder[i] != WITAN_CLIENT_NONE) {
            witan_indices *list = &out->train[deal->holder[i]];
            list->items[list->count++] = scratch[i];
        }
    }
    out->unused += deal->count - begin;
    out->moved = deal->moved;
}

static witan_status
deal_rows(witan_partition *out, const witan_partition_config *config,
          const witan_dataset *train, const witan_allocator *allocator,
          witan_diag *diag)
{
    out->rows = witan_alloc(allocator, train->samples, sizeof *out->rows);
    if (out->rows == NULL) {
        return WITAN_E_MEMORY;
    }
    WITAN_TRY(choose_rows(out, config, train->samples, diag));
    uint32_t *rows = out->rows + out->transfer.count;
    size_t count = train->samples - out->unused - out->transfer.count;

    witan_status status = WITAN_E_MEMORY;
    uint32_t *by_class = witan_alloc(allocator, count, sizeof *by_class);
    uint32_t *holder = witan_alloc(allocator, count, sizeof *holder);
    size_t *start = witan_alloc(allocator, train->classes + 1, sizeof *start);
    size_t *sizes = witan_zalloc(allocator, config->clients, sizeof *sizes);
    if (by_class != NULL && holder != NULL && start != NULL && sizes != NULL) {
        group_positions(by_class, start, rows, train->labels, count, train->classes);
        memset(holder, 0xff, count * sizeof *holder); /* WITAN_CLIENT_NONE */
        witan_deal deal = {config,         allocator, diag,  count,
                           train->classes, by_class,  start, rows_needed(config),
                           holder,         sizes,     0};
        status = witan_deal_run(&deal);
        if (status == WITAN_OK) {
            build_lists(out, &deal, rows, by_class);
        }
    }
    witan_free(allocator, sizes);
    witan_free(allocator, start);
    witan_free(allocator, holder);
    witan_free(allocator, by_class);
    return status;
}

/* The stream of a client's own test part. */
static void
own_test_stream(const witan_partition_config *config, size_t client,
                witan_random *random)
{
    witan_random_init(random, config->seed, (uint32_t)client, 0, WITAN_PURPOSE_SPLIT);
}

/* At least one row is tested on, at least one is left to train on. */
static void
cut_holdouts(witan_partition *out, const witan_partition_config *config)
{
    for (size_t n = 0; n < out->clients; n++) {
        witan_indices *own = &out->train[n];
        witan_random random;
        own_test_stream(config, n, &random);
        witan_random_shuffle(&random, own->items, own->count);
        size_t cut = (size_t)(config->own_test_fraction * (double)own->count + 0.5);
        cut = cut < 1 ? 1 : cut;
        cut = cut > own->count - 1 ? own->count - 1 : cut;
        own->count -= cut;
        out->test[n].items = own->items + own->count;
        out->test[n].count = cut;
    }
}

/* A class that a client holds, and what rounding down takes from its exact share. */
typedef struct quota {
    double remainder;
    uint32_t class;
} quota;

/* The global test set by class, and scratch to draw from it. */
typedef struct global_pool {
    size_t classes;
    size_t wanted;    /* rows per client unless classes are too small */
    uint32_t *rows;   /* [samples] grouped by class */
    size_t *start;    /* [classes + 1] */
    uint32_t *counts; /* [classes] of a client */
    quota *quotas;    /* [classes] of a client */
    uint32_t *swaps;  /* [wanted + 1] to undo a draw */
} global_pool;

/* Larger remainder first, then lower class. */
static int
compare_quotas(const void *left, const void *right)
{
    const quota *a = left;
    const quota *b = right;
    if (a->remainder != b->remainder) {
        return a->remainder > b->remainder ? -1 : 1;
    }
    return a->class < b->class ? -1 : 1;
}

static size_t
pool_rows(const global_pool *pool, size_t c)
{
    return pool->start[c + 1] - pool->start[c];
}

/* counts [classes] = rows of each class that the client's test part takes: the label
 * mix of its training part over the classes that the test set has, by largest
 * remainder. The whole part shrinks until every class has enough rows, so that the mix
 * is kept. Returns the sum; 0 when they have no class in common. */
static size_t
count_mix(global_pool *pool, const witan_indices *own, const uint32_t *labels)
{
    size_t common = 0;
    memset(pool->counts, 0, pool->classes * sizeof *pool->counts);
    for (size_t i = 0; i < own->count; i++) {
        uint32_t c = labels[own->items[i]];
        bool tested = pool_rows(pool, c) > 0;
        pool->counts[c] += tested;
        common += tested;
    }
    if (common == 0) {
        return 0;
    }
    double scale = (double)pool->wanted / (double)common;
    for (size_t c = 0; c < pool->classes; c++) {
        double rows = (double)pool_rows(pool, c);
        if (pool->counts[c] * scale > rows) {
            scale = rows / pool->counts[c];
        }
    }
    size_t sum = 0;
    size_t held = 0;
    for (size_t c = 0; c < pool->classes; c++) {
        if (pool->counts[c] > 0) {
            double exact = pool->counts[c] * scale;
            pool->counts[c] = (uint32_t)(exact + 1e-9);
            pool->quotas[held++] = (quota){exact - pool->counts[c], (uint32_t)c};
            sum += pool->counts[c];
        }
    }
    size_t target = (size_t)(scale * (double)common + 1e-9);
    target = target < 1 ? 1 : target;
    qsort(pool->quotas, held, sizeof *pool->quotas, compare_quotas);
    for (size_t i = 0; i < held && sum < target; i++) {
        uint32_t c = pool->quotas[i].class;
        if (pool->counts[c] < pool_rows(pool, c)) {
            pool->counts[c]++;
            sum++;
        }
    }
    return sum;
}

static int
compare_rows(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* Draws counts[c] rows of each class without replacement. The swaps are undone, so that
 * a client's draw depends on its own stream alone. */
static void
draw_mix(global_pool *pool, witan_random *random, const witan_indices *list)
{
    uint32_t *items = list->items;
    for (size_t c = 0; c < pool->classes; c++) {
        uint32_t *rows = pool->rows + pool->start[c];
        uint32_t count = (uint32_t)pool_rows(pool, c);
        for (uint32_t i = 0; i < pool->counts[c]; i++) {
            uint32_t pick = i + witan_random_below(random, count - i);
            uint32_t row = rows[pick];
            rows[pick] = rows[i];
            rows[i] = row;
            pool->swaps[i] = pick;
            *items++ = row;
        }
        for (uint32_t i = pool->counts[c]; i-- > 0;) {
            uint32_t row = rows[i];
            rows[i] = rows[pool->swaps[i]];
            rows[pool->swaps[i]] = row;
        }
    }
    qsort(list->items, list->count, sizeof *list->items, compare_rows);
}

static witan_status
draw_from_pool(witan_partition *out, const witan_partition_config *config,
               global_pool *pool, const witan_dataset *train,
               const witan_allocator *allocator, witan_diag *diag)
{
    size_t total = 0;
    for (size_t n = 0; n < out->clients; n++) {
        out->test[n].count = count_mix(pool, &out->train[n], train->labels);
        total += out->test[n].count;
        if (out->test[n].count == 0) {
            return witan_diag_fail(
                diag, WITAN_E_DATA,
                "the global test set has no rows of the classes that "
                "client %zu holds: set data.own_test.source to holdout",
                n);
        }
    }
    out->global_rows = witan_alloc(allocator, total, sizeof *out->global_rows);
    if (out->global_rows == NULL) {
        return WITAN_E_MEMORY;
    }
    uint32_t *items = out->global_rows;
    for (size_t n = 0; n < out->clients; n++) {
        witan_random random;
        own_test_stream(config, n, &random);
        (void)count_mix(pool, &out->train[n], train->labels);
        out->test[n].items = items;
        items += out->test[n].count;
        draw_mix(pool, &random, &out->test[n]);
    }
    return WITAN_OK;
}

static witan_status
draw_global_tests(witan_partition *out, const witan_partition_config *config,
                  const witan_dataset *train, const witan_dataset *test,
                  const witan_allocator *allocator, witan_diag *diag)
{
    witan_status status = WITAN_E_MEMORY;
    size_t wanted = (size_t)(config->own_test_fraction * (double)test->samples + 0.5);
    global_pool pool = {
        .classes = test->classes,
        .wanted = wanted < 1 ? 1 : wanted,
        .rows = witan_alloc(allocator, test->samples, sizeof *pool.rows),
        .start = witan_alloc(allocator, test->classes + 1, sizeof *pool.start),
        .counts = witan_alloc(allocator, test->classes, sizeof *pool.counts),
        .quotas = witan_alloc(allocator, test->classes, sizeof *pool.quotas),
        .swaps = witan_alloc(allocator, wanted + 1, sizeof *pool.swaps),
    };
    if (pool.rows != NULL && pool.start != NULL && pool.counts != NULL &&
        pool.quotas != NULL && pool.swaps != NULL) {
        group_positions(pool.rows, pool.start, NULL, test->labels, test->samples,
                        test->classes);
        status = draw_from_pool(out, config, &pool, train, allocator, diag);
    }
    witan_free(allocator, pool.swaps);
    witan_free(allocator, pool.quotas);
    witan_free(allocator, pool.counts);
    witan_free(allocator, pool.start);
    witan_free(allocator, pool.rows);
    return status;
}

static witan_status
fill(witan_partition *out, const witan_partition_config *config,
     const witan_dataset *train, const witan_dataset *test,
     const witan_allocator *allocator, witan_diag *diag)
{
    bool has_tests = false;
    out->clients = config->clients;
    out->train = witan_zalloc(allocator, config->clients, sizeof *out->train);
    out->test = witan_zalloc(allocator, config->clients, sizeof *out->test);
    if (out->train == NULL || out->test == NULL) {
        return WITAN_E_MEMORY;
    }
    if (config->kind == WITAN_PARTITION_FILE) {
        WITAN_TRY(witan_partition_read(out, &has_tests, config, train->samples,
                                       allocator, diag));
    } else {
        WITAN_TRY(deal_rows(out, config, train, allocator, diag));
    }
    out->test_is_global = config->own_test_from_global;
    if (config->own_test_from_global) {
        return draw_global_tests(out, config, train, test, allocator, diag);
    }
    if (!has_tests) {
        cut_holdouts(out, config);
    }
    return WITAN_OK;
}

witan_status
witan_partition_make(witan_partition *out, const witan_partition_config *config,
                     const witan_dataset *train, const witan_dataset *test,
                     const witan_allocator *allocator, witan_diag *diag)
{
    memset(out, 0, sizeof *out);
    WITAN_TRY(check_config(config, train, test, diag));
    witan_status status = fill(out, config, train, test, allocator, diag);
    if (status != WITAN_OK) {
        witan_partition_fini(out, allocator);
        return witan_diag_fail(diag, status, "partition: %s",
                               witan_status_text(status));
    }
    return WITAN_OK;
}

static void
digest_list(witan_digest *digest, const witan_indices *list)
{
    unsigned char bytes[4096];
    witan_digest_update_u64(digest, list->count);
    for (size_t i = 0; i < list->count;) {
        size_t size = 0;
        for (; i < list->count && size < sizeof bytes; i++) {
            for (int shift = 0; shift < 32; shift += 8) {
                bytes[size++] = (unsigned char)(list->items[i] >> shift);
            }
        }
        witan_digest_update(digest, bytes, size);
    }
}

void
witan_partition_digest(const witan_partition *self, uint8_t out[32])
{
    witan_digest digest;
    witan_digest_init(&digest);
    witan_digest_update_u64(&digest, self->clients);
    witan_digest_update_u64(&digest, self->test_is_global);
    digest_list(&digest, &self->transfer);
    for (size_t n = 0; n < self->clients; n++) {
        digest_list(&digest, &self->train[n]);
        digest_list(&digest, &self->test[n]);
    }
    witan_digest_final(&digest, out);
}

void
witan_partition_histogram(const witan_partition *self, const witan_dataset *train,
                          uint32_t *counts)
{
    memset(counts, 0, self->clients * train->classes * sizeof *counts);
    for (size_t n = 0; n < self->clients; n++) {
        for (size_t i = 0; i < self->train[n].count; i++) {
            counts[n * train->classes + train->labels[self->train[n].items[i]]]++;
        }
    }
}
