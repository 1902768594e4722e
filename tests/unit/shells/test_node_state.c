/* test_node_state.c - what a client makes of a plan, what of it survives, how long it
 * waits, and how it fetches. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/shell/node_private.h"
#include "data/package.h"
#include "store/file.h"
#include "support/witan_test.h"

static const witan_allocator *
heap(void)
{
    return witan_allocator_default();
}

/* --- plans ------------------------------------------------------------------------ */

typedef struct offered {
    witan_config config;
    witan_world world;
    witan_text json;
    node_plan plan;
    uint8_t *package;
    size_t size;
} offered;

static offered at; /* the world must not move */

static void
withdraw(void)
{
    node_plan_fini(&at.plan, heap());
    witan_free(heap(), at.package);
    witan_text_fini(&at.json);
    witan_world_fini(&at.world, heap());
    witan_config_fini(&at.config, heap());
    memset(&at, 0, sizeof at);
}

/* The plan of a small experiment for client 1. */
static void
offer_plan(const char *const *settings)
{
    static const char *const small[] = {"rounds=3",
                                        "clients=2",
                                        "data.limit=300",
                                        "transfer.samples=20",
                                        "models=linear,mlp(8)",
                                        NULL};
    witan_diag diag = {0};
    withdraw();
    CHECK_STATUS(witan_config_init(&at.config, heap()), WITAN_OK);
    for (size_t i = 0; small[i] != NULL; i++) {
        CHECK_STATUS(witan_config_set(&at.config, small[i], heap(), &diag), WITAN_OK);
    }
    for (size_t i = 0; settings != NULL && settings[i] != NULL; i++) {
        CHECK_STATUS(witan_config_set(&at.config, settings[i], heap(), &diag),
                     WITAN_OK);
    }
    CHECK_STATUS(witan_world_load(&at.world, &at.config, heap(), &diag), WITAN_OK);
    witan_text_init(&at.json, heap(), WITAN_PLAN_BYTES_MAX);
    witan_config_write(&at.config, &at.json);
    witan_packet packet = {.kind = WITAN_PACKET_PLAN};
    packet.is.plan.client = 1;
    (void)snprintf(packet.is.plan.name, sizeof packet.is.plan.name, "site-b");
    packet.is.plan.experiment = at.json.data;
    packet.is.plan.embedded_data = true;
    packet.is.plan.classes = (uint32_t)at.world.train.classes;
    if (at.world.strategy->exchange == WITAN_EXCHANGE_KNOWLEDGE) {
        CHECK_STATUS(
            witan_world_package(&at.package, &at.size, &at.world, heap(), &diag),
            WITAN_OK);
        packet.is.plan.has_transfer = true;
        packet.is.plan.transfer_bytes = at.size;
        packet.is.plan.transfer_rows = at.world.transfer.count;
        witan_package_digest(at.package, at.size, packet.is.plan.transfer_digest);
    }
    CHECK_STATUS(node_plan_copy(&at.plan, &packet, heap()), WITAN_OK);
    CHECK_STRING(diag.message, "");
}

static witan_node_settings
no_settings(void)
{
    return (witan_node_settings){.test_fraction = 0.2};
}

static witan_status
study_plan(node_study *out, const witan_node_settings *settings,
           const witan_allocator *allocator, witan_diag *diag)
{
    WITAN_TRY(node_study_begin(out, &at.plan, settings, NULL, allocator, diag));
    witan_status status = node_study_load(out, &at.plan, settings, false, at.package,
                                          at.size, allocator, diag);
    if (status != WITAN_OK) {
        node_study_fini(out, allocator);
    }
    return status;
}

static void
refuse_plan(const witan_node_settings *settings, witan_status expected,
            const char *part)
{
    static node_study study;
    witan_diag diag = {0};
    CHECK_STATUS(study_plan(&study, settings, heap(), &diag), expected);
    CHECK_CONTAINS(diag.message, part);
}

/* Replaces a part of the plan's experiment. */
static void
edit_experiment(const char *from, const char *to)
{
    witan_text text;
    char *place = strstr(at.plan.experiment, from);
    CHECK(place != NULL);
    witan_text_init(&text, heap(), 1 << 20);
    witan_text_add(&text, at.plan.experiment, (size_t)(place - at.plan.experiment));
    witan_text_add(&text, to, strlen(to));
    witan_text_add(&text, place + strlen(from), strlen(place + strlen(from)));
    witan_free(heap(), at.plan.experiment);
    at.plan.experiment = text.data; /* the buffer goes over */
    at.plan.experiment_size = text.length;
}

static void
a_plan_is_studied(void)
{
    static node_study study;
    witan_node_settings settings = no_settings();
    witan_packet_offer offer;
    witan_diag diag = {0};
    offer_plan(NULL);
    CHECK_STATUS(study_plan(&study, &settings, heap(), &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(study.practice && study.client == 1);
    CHECK_STRING(study.model_name, "mlp(8)"); /* the second of two */
    witan_part expected = witan_world_private_part(&at.world, 1);
    CHECK(study.own_train.count == expected.count &&
          memcmp(study.own_train.indices, expected.indices,
                 expected.count * sizeof *expected.indices) == 0);
    /* The transfer rows that travelled gather the world's bits. */
    float mine[64], theirs[64];
    for (size_t i = 0; i < at.world.transfer.count; i++) {
        const witan_part *part = &study.plan.transfer;
        part->rows->gather(part->rows->context, part->indices + i, 1, mine, NULL);
        at.world.transfer.rows->gather(at.world.transfer.rows->context,
                                       at.world.transfer.indices + i, 1, theirs, NULL);
        CHECK(memcmp(mine, theirs, sizeof mine) == 0);
    }
    node_study_offer(&study, false, &offer);
    CHECK(offer.rows == 20 && offer.classes == 10 && offer.total == 400);
    node_study_fini(&study, heap());
    (void)snprintf(settings.model, sizeof settings.model, "mlp(4)");
    CHECK_STATUS(study_plan(&study, &settings, heap(), &diag), WITAN_OK);
    CHECK_STRING(study.model_name, "mlp(4)");
    node_study_fini(&study, heap());
}

static void
rounds_are_scored_as_in_the_simulator(void)
{
    static node_study study;
    witan_node_settings settings = no_settings();
    static const char *const second[] = {"rounds=5", "evaluate.every=2", NULL};
    static const char *const last[] = {"rounds=5", "evaluate.every=0", NULL};
    offer_plan(second);
    CHECK_STATUS(node_study_begin(&study, &at.plan, &settings, NULL, heap(), NULL),
                 WITAN_OK);
    CHECK(!node_study_evaluates(&study, 0) && node_study_evaluates(&study, 1) &&
          !node_study_evaluates(&study, 2) && node_study_evaluates(&study, 4));
    node_study_fini(&study, heap());
    offer_plan(last);
    CHECK_STATUS(node_study_begin(&study, &at.plan, &settings, NULL, heap(), NULL),
                 WITAN_OK);
    CHECK(!node_study_evaluates(&study, 1) && node_study_evaluates(&study, 4));
    node_study_fini(&study, heap());
}

static void
a_plan_that_cannot_be_is_refused(void)
{
    witan_node_settings settings = no_settings();
    offer_plan(NULL);
    edit_experiment("\"rounds\"", "\"round_count\"");
    refuse_plan(&settings, WITAN_E_CONFIG, "upgrade witan here");
    offer_plan(NULL);
    edit_experiment("\"path\": \"\"", "\"path\": \"/etc/passwd\"");
    refuse_plan(&settings, WITAN_E_CONFIG, "must not make a client read files");
    offer_plan(NULL);
    at.plan.client = 2;
    refuse_plan(&settings, WITAN_E_DATA, "no client 2");
    offer_plan(NULL);
    at.plan.has_transfer = false;
    refuse_plan(&settings, WITAN_E_DATA, "contradicts");
    offer_plan(NULL);
    at.plan.classes = 11;
    refuse_plan(&settings, WITAN_E_DATA, "classes");
    offer_plan(NULL);
    at.plan.embedded_data = false;
    refuse_plan(&settings, WITAN_E_DATA, "needs private data");
    offer_plan(NULL);
    at.package[3] ^= 1;
    refuse_plan(&settings, WITAN_E_DATA, "transfer set");
    static const char *const pooled[] = {"fusion.key=centralised", NULL};
    offer_plan(pooled);
    refuse_plan(&settings, WITAN_E_CONFIG, "only a simulation");
}

/* --- private data ----------------------------------------------------------------- */

/* A table of `columns` features; labels as given, repeated. */
static const char *
write_table(const char *name, size_t columns, const char *const *labels, size_t count)
{
    witan_text text;
    witan_text_init(&text, heap(), 1 << 20);
    for (size_t c = 0; c < columns; c++) {
        witan_text_format(&text, "f%zu,", c);
    }
    witan_text_format(&text, "label\n");
    for (size_t i = 0; i < 40; i++) {
        for (size_t c = 0; c < columns; c++) {
            witan_text_format(&text, "%zu.5,", (i * 7 + c) % 13);
        }
        witan_text_format(&text, "%s\n", labels[i % count]);
    }
    const char *path = witan_test_path(name);
    witan_test_write(path, text.data, text.length);
    witan_text_fini(&text);
    return path;
}

/* A plan over a table's classes: the embedded set is not used. */
static void
offer_table(const char *path)
{
    witan_config_text none = "";
    static const char *const settings[] = {"data.limit=0", "transfer.samples=5",
                                           "data.partition.minimum=1", NULL};
    char assignment[1024];
    (void)snprintf(assignment, sizeof assignment, "data.path=%s", path);
    const char *all[] = {settings[0], settings[1], settings[2], assignment, NULL};
    offer_plan(all);
    memcpy(at.config.data.path, none, sizeof none);
    at.json.length = 0;
    witan_config_write(&at.config, &at.json);
    witan_free(heap(), at.plan.experiment);
    at.plan.experiment = witan_strdup(heap(), at.json.data);
    at.plan.experiment_size = strlen(at.json.data);
    at.plan.embedded_data = false;
}

static witan_node_settings
table_settings(const char *path)
{
    witan_node_settings settings = no_settings();
    (void)snprintf(settings.data, sizeof settings.data, "%s", path);
    (void)snprintf(settings.model, sizeof settings.model, "linear");
    return settings;
}

static void
private_data_take_the_scale_and_names_of_the_transfer_set(void)
{
    static node_study study;
    static const char *const all[] = {"ant", "bee", "cat", "dog"};
    static const char *const some[] = {"dog", "bee"};
    static const char *const others[] = {"dog", "fox"};
    witan_diag diag = {0};
    offer_table(write_table("all.csv", 3, all, 4));
    witan_node_settings settings = table_settings(write_table("some.csv", 3, some, 2));
    CHECK_STATUS(study_plan(&study, &settings, heap(), &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(!study.practice && study.own_train.count == 32 && study.own_test.count == 8 &&
          study.global_test.count == 0);
    for (size_t i = 0; i < study.train.samples; i++) { /* bee is 1, dog is 3 */
        CHECK(study.train.labels[i] == 1 || study.train.labels[i] == 3);
    }
    CHECK(memcmp(study.train.scale, study.transfer.scale, 3 * sizeof(float)) == 0 &&
          memcmp(study.test.shift, study.transfer.shift, 3 * sizeof(float)) == 0);
    node_study_fini(&study, heap());
    settings = table_settings(write_table("others.csv", 3, others, 2));
    refuse_plan(&settings, WITAN_E_DATA, "class \"fox\" is none");
    settings = table_settings(write_table("wide.csv", 4, all, 4));
    refuse_plan(&settings, WITAN_E_DATA, "rows of 1x1x4, the transfer set of 1x1x3");
    settings = table_settings(witan_test_path("absent.csv"));
    refuse_plan(&settings, WITAN_E_IO, "absent.csv");
}

static void
studies_survive_every_failing_allocation(void)
{
    static node_study study;
    witan_node_settings settings = no_settings();
    bool done = false;
    offer_plan(NULL);
    for (size_t fail_at = 1; !done && fail_at < 2000; fail_at++) {
        witan_failing_allocator failing;
        node_model *model = NULL;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, fail_at);
        witan_status status = study_plan(&study, &settings, &failing.allocator, &diag);
        if (status == WITAN_OK) {
            status = node_learner_maker.make(&model, &study, NULL, &failing.allocator,
                                             &diag);
            CHECK((status == WITAN_OK) == (model != NULL));
            if (model != NULL) {
                model->ops->free(model);
            }
            node_study_fini(&study, &failing.allocator);
        }
        CHECK(failing.live == 0);
        CHECK(status == WITAN_OK ||
              (status == WITAN_E_MEMORY && diag.message[0] != '\0'));
        done = status == WITAN_OK && failing.allocations < fail_at;
    }
    CHECK(done);
}

/* --- snapshots -------------------------------------------------------------------- */

typedef struct client {
    node_study study;
    node_model *model;
} client;

static void
make_client(client *out, const witan_allocator *allocator)
{
    witan_node_settings settings = no_settings();
    witan_diag diag = {0};
    CHECK_STATUS(study_plan(&out->study, &settings, allocator, &diag), WITAN_OK);
    CHECK_STATUS(
        node_learner_maker.make(&out->model, &out->study, NULL, allocator, &diag),
        WITAN_OK);
}

static void
free_client(client *self, const witan_allocator *allocator)
{
    self->model->ops->free(self->model);
    node_study_fini(&self->study, allocator);
}

static node_snapshot
trained(client *self)
{
    node_snapshot it = {.phase = WITAN_CLIENT_WAITING, .unopened = 2};
    witan_diag diag = {0};
    node_record_init(&it.record, 1);
    CHECK_STATUS(self->model->ops->train(self->model, 1, &it.record.train_loss, &diag),
                 WITAN_OK);
    CHECK_STATUS(self->model->ops->extract(self->model, 1, &it.record.knowledge,
                                           &it.record.knowledge_size, &diag),
                 WITAN_OK);
    it.record.own_before = (witan_packet_metric){0.5, 1.25, 0.125};
    return it;
}

static void
a_snapshot_reads_back(void)
{
    static client one, two;
    const char *path = witan_test_path("state.safetensors");
    node_snapshot again;
    witan_diag diag = {0};
    node_model_state expected, actual;
    offer_plan(NULL);
    make_client(&one, heap());
    make_client(&two, heap());
    CHECK_STATUS(node_snapshot_load(path, &again, two.model, &diag), WITAN_OK);
    CHECK(again.phase == WITAN_CLIENT_IDLE && again.unopened == 0 &&
          again.record.knowledge == NULL && isnan(again.record.train_loss));
    node_snapshot it = trained(&one);
    CHECK_STATUS(node_snapshot_save(path, &it, one.model, &diag), WITAN_OK);
    CHECK_STATUS(node_snapshot_load(path, &again, two.model, &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(again.phase == WITAN_CLIENT_WAITING && again.unopened == 2 &&
          again.record.round == 1);
    CHECK(again.record.train_loss == it.record.train_loss &&
          isnan(again.record.distill_loss) && again.record.own_before.loss == 1.25 &&
          isnan(again.record.own_after.accuracy));
    CHECK(again.record.knowledge_size == it.record.knowledge_size &&
          memcmp(again.record.knowledge, it.record.knowledge,
                 it.record.knowledge_size) == 0);
    CHECK_STATUS(one.model->ops->save(one.model, &expected, &diag), WITAN_OK);
    CHECK_STATUS(two.model->ops->save(two.model, &actual, &diag), WITAN_OK);
    CHECK(expected.step > 0 && actual.step == expected.step &&
          memcmp(actual.data, expected.data, expected.count * sizeof(float)) == 0);
    node_record_fini(&again.record, heap());
    /* After distilling there is no knowledge any more. */
    node_record_fini(&it.record, heap());
    it.phase = WITAN_CLIENT_IDLE;
    CHECK_STATUS(node_snapshot_save(path, &it, one.model, &diag), WITAN_OK);
    CHECK_STATUS(node_snapshot_load(path, &again, two.model, &diag), WITAN_OK);
    CHECK(again.phase == WITAN_CLIENT_IDLE && again.record.knowledge == NULL);
    free_client(&one, heap());
    free_client(&two, heap());
}

static void
another_plans_snapshot_is_refused(void)
{
    static client one, two;
    static const char *const seed[] = {"seed=99", NULL};
    const char *path = witan_test_path("other.safetensors");
    node_snapshot again;
    witan_diag diag = {0};
    offer_plan(NULL);
    make_client(&one, heap());
    node_snapshot it = trained(&one);
    CHECK_STATUS(node_snapshot_save(path, &it, one.model, &diag), WITAN_OK);
    node_record_fini(&it.record, heap());
    free_client(&one, heap());
    offer_plan(seed);
    make_client(&two, heap());
    CHECK_STATUS(node_snapshot_load(path, &again, two.model, &diag), WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "another experiment");
    free_client(&two, heap());
}

static void
every_damaged_snapshot_is_refused(void)
{
    static client one;
    const char *path = witan_test_path("damaged.safetensors");
    node_snapshot again;
    witan_diag diag = {0};
    size_t size = 0, refused = 0, tried = 0;
    offer_plan(NULL);
    make_client(&one, heap());
    node_snapshot it = trained(&one);
    CHECK_STATUS(node_snapshot_save(path, &it, one.model, &diag), WITAN_OK);
    char *bytes = witan_test_read(path, &size);
    for (size_t i = 0; i < size; i += 1 + size / 97) {
        bytes[i] ^= 4;
        witan_test_write(path, bytes, size);
        memset(&diag, 0, sizeof diag);
        witan_status status = node_snapshot_load(path, &again, one.model, &diag);
        if (status == WITAN_OK) { /* the version in the metadata is for people */
            node_record_fini(&again.record, heap());
        } else {
            refused++;
            CHECK(status == WITAN_E_DATA || status == WITAN_E_STATE);
            CHECK_CONTAINS(diag.message, "damaged.safetensors");
        }
        tried++;
        bytes[i] ^= 4;
    }
    CHECK(refused + 2 >= tried && refused > 50);
    for (size_t cut = 0; cut < size; cut += 1 + size / 31) {
        witan_test_write(path, bytes, cut);
        CHECK_STATUS(node_snapshot_load(path, &again, one.model, NULL), WITAN_E_DATA);
    }
    free(bytes);
    node_record_fini(&it.record, heap());
    free_client(&one, heap());
}

static void
snapshots_survive_every_failing_allocation(void)
{
    static client one;
    const char *path = witan_test_path("memory.safetensors");
    witan_failing_allocator failing;
    node_snapshot it, again;
    bool done = false;
    offer_plan(NULL);
    witan_failing_allocator_init(&failing, 0);
    make_client(&one, &failing.allocator);
    it = trained(&one);
    size_t live = failing.live;
    for (size_t fail_at = 1; !done && fail_at < 500; fail_at++) {
        witan_diag diag = {0};
        failing.allocations = 0;
        failing.fail_at = fail_at;
        witan_status status = node_snapshot_save(path, &it, one.model, &diag);
        if (status == WITAN_OK) {
            status = node_snapshot_load(path, &again, one.model, &diag);
            node_record_fini(&again.record, &failing.allocator);
        }
        CHECK(failing.live == live);
        CHECK(status == WITAN_OK || diag.message[0] != '\0');
        done = status == WITAN_OK && failing.allocations < fail_at;
    }
    CHECK(done);
    failing.fail_at = 0;
    node_record_fini(&it.record, &failing.allocator);
    free_client(&one, &failing.allocator);
    CHECK(failing.live == 0);
}

/* --- waiting and fetching --------------------------------------------------------- */

static void
waits_double_to_a_minute(void)
{
    CHECK(node_backoff_ms(0, 0) == 250 && node_backoff_ms(0, UINT32_MAX) == 500);
    CHECK(node_backoff_ms(1, 0) == 500 && node_backoff_ms(1, UINT32_MAX) == 1000);
    CHECK(node_backoff_ms(6, 0) == 16000 && node_backoff_ms(6, UINT32_MAX) == 32000);
    for (unsigned failures = 7; failures < 200; failures += 16) {
        CHECK(node_backoff_ms(failures, 0) == 30000 &&
              node_backoff_ms(failures, UINT32_MAX) == 60000);
    }
    CHECK(node_backoff_ms(UINT32_MAX, UINT32_MAX / 2) > 40000);
    for (uint32_t draw = 0; draw < UINT32_MAX - 100000000u; draw += 100000000u) {
        CHECK(node_backoff_ms(3, draw) <= node_backoff_ms(3, draw + 100000000u));
    }
}

static witan_packet
answer_get(const witan_packet *get, const uint8_t *bytes)
{
    witan_packet chunk = {.kind = WITAN_PACKET_CHUNK};
    chunk.is.chunk.what = get->is.get.what;
    chunk.is.chunk.round = get->is.get.round;
    chunk.is.chunk.offset = get->is.get.offset;
    chunk.is.chunk.data = bytes + get->is.get.offset;
    chunk.is.chunk.size = get->is.get.size;
    return chunk;
}

static void
fill(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    }
}

static void
a_blob_is_fetched_in_order_within_the_window(void)
{
    enum {
        SIZE = 5 * 65536 + 77
    };
    static uint8_t bytes[SIZE];
    const uint8_t digest[WITAN_DIGEST_SIZE] = {1};
    node_fetch fetch = {.file = -1};
    witan_packet get[8], chunk;
    fill(bytes, SIZE);
    CHECK_STATUS(
        node_fetch_memory(&fetch, WITAN_BLOB_FUSED, 4, SIZE, digest, 0, heap()),
        WITAN_OK);
    size_t asked = 0;
    while (asked < 8 && node_fetch_next(&fetch, 3, &get[asked])) {
        asked++;
    }
    CHECK(asked == 3 && get[2].is.get.offset == 2 * 65536);
    /* Nothing but the next chunk that was asked for counts. */
    chunk = answer_get(&get[1], bytes);
    CHECK_STATUS(node_fetch_take(&fetch, &chunk, 1, NULL), WITAN_OK);
    chunk = answer_get(&get[0], bytes);
    chunk.is.chunk.round = 5;
    CHECK_STATUS(node_fetch_take(&fetch, &chunk, 1, NULL), WITAN_OK);
    chunk.is.chunk.round = 4;
    chunk.is.chunk.what = WITAN_BLOB_TRANSFER;
    CHECK_STATUS(node_fetch_take(&fetch, &chunk, 1, NULL), WITAN_OK);
    CHECK(fetch.got == 0);
    chunk = answer_get(&get[0], bytes);
    CHECK_STATUS(node_fetch_take(&fetch, &chunk, 1, NULL), WITAN_OK);
    CHECK(fetch.got == 65536);
    /* The connection is lost: what came stays, what was asked for is asked again. */
    node_fetch_forget_asked(&fetch, 2);
    CHECK_STATUS(
        node_fetch_memory(&fetch, WITAN_BLOB_FUSED, 4, SIZE, digest, 2, heap()),
        WITAN_OK);
    while (!node_fetch_is_whole(&fetch)) {
        if (!CHECK(node_fetch_next(&fetch, 1, &get[0]))) {
            break;
        }
        CHECK(get[0].is.get.offset == fetch.got &&
              !node_fetch_next(&fetch, 1, &get[1]));
        chunk = answer_get(&get[0], bytes);
        CHECK_STATUS(node_fetch_take(&fetch, &chunk, 3, NULL), WITAN_OK);
    }
    CHECK(get[0].is.get.size == 77 && memcmp(fetch.bytes, bytes, SIZE) == 0);
    node_fetch_stop(&fetch, heap());
    CHECK(!fetch.active && !node_fetch_is_whole(&fetch));
}

static void
a_file_is_continued(void)
{
    enum {
        SIZE = 2 * 65536 + 10
    };
    static uint8_t bytes[SIZE];
    const char *path = witan_test_path("set.part");
    node_fetch fetch = {.file = -1};
    witan_packet get, chunk;
    witan_diag diag = {0};
    size_t size = 0;
    fill(bytes, SIZE);
    CHECK_STATUS(node_fetch_file(&fetch, WITAN_BLOB_TRANSFER, SIZE, path, 0, &diag),
                 WITAN_OK);
    CHECK(node_fetch_next(&fetch, 4, &get));
    chunk = answer_get(&get, bytes);
    CHECK_STATUS(node_fetch_take(&fetch, &chunk, 1, &diag), WITAN_OK);
    node_fetch_stop(&fetch, heap());
    CHECK_STATUS(node_fetch_file(&fetch, WITAN_BLOB_TRANSFER, SIZE, path, 0, &diag),
                 WITAN_OK);
    CHECK(fetch.got == 65536);
    while (!node_fetch_is_whole(&fetch)) {
        if (!CHECK(node_fetch_next(&fetch, 4, &get))) {
            break;
        }
        chunk = answer_get(&get, bytes);
        CHECK_STATUS(node_fetch_take(&fetch, &chunk, 1, &diag), WITAN_OK);
    }
    node_fetch_stop(&fetch, heap());
    char *written = witan_test_read(path, &size);
    CHECK(size == SIZE && memcmp(written, bytes, SIZE) == 0);
    free(written);
    /* What is longer than it can be is begun anew. */
    CHECK_STATUS(node_fetch_file(&fetch, WITAN_BLOB_TRANSFER, 100, path, 0, &diag),
                 WITAN_OK);
    CHECK(fetch.got == 0);
    node_fetch_stop(&fetch, heap());
}

int
main(void)
{
    RUN(a_plan_is_studied);
    RUN(rounds_are_scored_as_in_the_simulator);
    RUN(a_plan_that_cannot_be_is_refused);
    RUN(private_data_take_the_scale_and_names_of_the_transfer_set);
    RUN(studies_survive_every_failing_allocation);
    RUN(a_snapshot_reads_back);
    RUN(another_plans_snapshot_is_refused);
    RUN(every_damaged_snapshot_is_refused);
    RUN(snapshots_survive_every_failing_allocation);
    RUN(waits_double_to_a_minute);
    RUN(a_blob_is_fetched_in_order_within_the_window);
    RUN(a_file_is_continued);
    withdraw();
    return witan_test_finish();
}
