#include "make_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "client/core/learner.h"
#include "setup/audit_file.h"
#include "setup/canary_file.h"
#include "setup/learner_block.h"
#include "setup/model_file.h"
#include "setup/setup.h"
#include "setup/world.h"
#include "store/file.h"
#include "store/safetensors.h"
#include "support/witan_test.h"

static const witan_allocator *A;

/* What stands between the functions of one run. */
typedef struct maker {
    const run_spec *spec;
    char path[1024];
    witan_config config;
    witan_world world;
    witan_canary_plan plan;
    witan_learning_plan learning;
    witan_network network;
    witan_kit kit;
    witan_network_learner learner[RUN_CLIENTS];
    witan_text metrics;
    witan_diag diag;
} maker;

static void
must(maker *self, witan_status status)
{
    if (status != WITAN_OK) {
        (void)fprintf(stderr, "make_run: %s: %s\n", self->spec->name,
                      self->diag.message[0] != '\0' ? self->diag.message
                                                    : witan_status_text(status));
        abort();
    }
}

static void
write_file(maker *self, const char *name, const char *bytes, size_t size)
{
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/%s", self->path, name);
    must(self, witan_file_replace(path, bytes, size, A, &self->diag));
}

/* Sentences that a small model can learn something of. */
static const char *
write_text(void)
{
    static const char *const words[] = {"ant", "bee",   "cow",  "doe", "elk",  "fox",
                                        "gnu", "heron", "ibis", "jay", "kite", "lynx"};
    static char text[40000];
    witan_random random;
    size_t used = 0;
    witan_random_init(&random, 5, 0, 0, WITAN_PURPOSE_TEST);
    while (used < sizeof text - 64) {
        uint32_t a = witan_random_below(&random, 12),
                 b = witan_random_below(&random, 3);
        used +=
            (size_t)snprintf(text + used, 64, "the %s met the %s at %u%u.\n", words[a],
                             words[(a + b) % 12], witan_random_below(&random, 10),
                             witan_random_below(&random, 10));
    }
    const char *path = witan_test_path("animals.txt");
    witan_test_write(path, text, used);
    return path;
}

static void
set(maker *self, const char *assignment)
{
    must(self, witan_config_set(&self->config, assignment, A, &self->diag));
}

static void
make_config(maker *self)
{
    static const char *const common[] = {"clients=3", "seed=11",
                                         "data.partition.key=iid", "audit.record=true",
                                         "audit.every=1"};
    static const char *const features[] = {"data.limit=150",
                                           "transfer.samples=30",
                                           "data.own_test.fraction=0.5",
                                           "models=mlp(32)",
                                           "local.epochs=60",
                                           "local.batch=10",
                                           "local.optimizer.key=adam",
                                           "local.optimizer.lr=0.003"};
    static const char *const words[] = {
        "data.format=text",         "data.text.window=24",     "transfer.samples=60",
        "models=lstm(24)",          "local.epochs=14",         "local.batch=8",
        "local.optimizer.key=adam", "local.optimizer.lr=0.01", "distill.epochs=2"};
    const run_spec *spec = self->spec;
    char line[1100];
    must(self, witan_config_init(&self->config, A));
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
        set(self, common[i]);
    }
    (void)snprintf(line, sizeof line, "rounds=%zu", spec->rounds);
    set(self, line);
    for (size_t i = 0; i < (spec->text ? sizeof words / sizeof words[0]
                                       : sizeof features / sizeof features[0]);
         i++) {
        set(self, spec->text ? words[i] : features[i]);
    }
    if (spec->text) {
        (void)snprintf(line, sizeof line, "data.path=%s", write_text());
        set(self, line);
    }
    for (size_t i = 0; i < spec->sets; i++) {
        set(self, spec->set[i]);
    }
    must(self, witan_config_check(&self->config, &self->diag));
}

static void
make_world(maker *self)
{
    const run_spec *spec = self->spec;
    uint32_t holders[RUN_CLIENTS] = {0, 1, 2};
    witan_text text;
    must(self, witan_world_load(&self->world, &self->config, A, &self->diag));
    if (spec->repetitions == NULL) {
        return;
    }
    const witan_canary_request request = {
        .kind = spec->kind,
        .text = spec->form != NULL ? spec->form : "my id is {d3}",
        .repetitions = spec->repetitions,
        .levels = spec->levels,
        .per_level = spec->per_level,
        .holders = holders,
        .holders_count = spec->holders,
        .inclusion = spec->inclusion,
        .transfer = spec->transfer,
        .transfer_rows = spec->transfer == WITAN_TRANSFER_WITHOUT    ? 0
                         : spec->transfer == WITAN_TRANSFER_TEMPLATE ? 12
                                                                     : 1,
        .references = 200,
        .seed = spec->seed,
        .classes = self->world.train.classes,
        .test_rows = self->world.test.samples,
        .test_labels = self->world.test.labels,
    };
    must(self, witan_canary_plan_draw(&self->plan, &request,
                                      spec->text ? &self->world.vocabulary : NULL, A,
                                      &self->diag));
    must(self, witan_world_plant(&self->world, &self->plan, A, &self->diag));
    witan_text_init(&text, A, (size_t)1 << 24);
    witan_canary_plan_write(&self->plan, spec->text ? &self->world.vocabulary : NULL,
                            &text);
    must(self, text.status);
    write_file(self, "canaries.json", text.data, text.length);
    witan_text_fini(&text);
}

static void
hex_of(char out[WITAN_DIGEST_HEX_SIZE], const char *bytes, size_t size)
{
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_digest state;
    witan_digest_init(&state);
    witan_digest_update(&state, bytes, size);
    witan_digest_final(&state, digest);
    witan_digest_hex(out, digest);
}

static void
write_index(maker *self)
{
    char config[WITAN_DIGEST_HEX_SIZE], world[WITAN_DIGEST_HEX_SIZE], json[1024];
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_text text;
    witan_text_init(&text, A, (size_t)1 << 24);
    witan_config_write(&self->config, &text);
    write_file(self, "config.json", text.data, text.length);
    hex_of(config, text.data, text.length);
    text.length = 0;
    witan_config_identity(&self->config, &text);
    witan_world_digest(&self->world, &text, digest);
    witan_digest_hex(world, digest);
    witan_text_fini(&text);
    int used = snprintf(json, sizeof json,
                        "{\"witan_audit_run\": 1, \"world\": \"%s\", \"config\": "
                        "\"%s\", \"rounds\": %zu, \"clients\": %d, \"recorded\": [",
                        world, config, self->spec->rounds, RUN_CLIENTS);
    for (size_t r = 0; r < self->spec->rounds; r++) {
        used += snprintf(json + used, sizeof json - (size_t)used, "%s%zu",
                         r == 0 ? "" : ", ", r + 1);
    }
    used += snprintf(json + used, sizeof json - (size_t)used, "]}\n");
    write_file(self, "audit/run.json", json, (size_t)used);
}

static void
save(maker *self, size_t round, size_t n, float *before, const witan_soft_labels *said,
     const witan_soft_labels *fused)
{
    size_t kept =
        self->spec->text ? self->world.probes * self->learning.positions : said->rows;
    witan_audit_snapshot it = {
        .client = (uint32_t)n,
        .round = (uint32_t)round,
        .architecture = "small",
        .parameters = witan_network_parameters(&self->network),
        .before = before,
        .after = self->learner[n].parameters,
    };
    must(self, witan_audit_snapshot_take(&it, said, fused, said->rows - kept, kept, A));
    must(self, witan_audit_snapshot_save(self->path, &it, A, &self->diag));
    it.before = it.after = NULL;
    witan_audit_snapshot_fini(&it, A);
}

/* One-hot rows of the next tokens in all probe windows. */
static void
tell_truth(maker *self, witan_soft_labels *said)
{
    size_t positions = self->learning.positions, V = self->learning.classes;
    const witan_part *part = &self->world.transfer;
    size_t first = part->count - self->world.probes;
    uint32_t *labels = malloc(positions * sizeof *labels);
    float *row = malloc(V * sizeof *row);
    for (size_t w = first; w < part->count; w++) {
        witan_network_labels(&self->network, part->rows, &part->indices[w], 1, labels);
        for (size_t t = 0; t < positions; t++) {
            memset(row, 0, V * sizeof *row);
            row[labels[t]] = 1.0F;
            must(self, witan_soft_labels_encode(said, w * positions + t, 1, row));
        }
    }
    free(labels);
    free(row);
}

/* Everybody hears the next one. */
static void
play_round(maker *self, size_t round)
{
    size_t size = witan_network_parameters(&self->network) * sizeof(float);
    witan_soft_labels said[RUN_CLIENTS] = {{0}};
    float *before[RUN_CLIENTS];
    witan_part test = witan_world_global_test(&self->world);
    for (size_t n = 0; n < RUN_CLIENTS; n++) {
        witan_client_state client = {.id = (uint32_t)n,
                                     .learner = self->learner[n],
                                     .train =
                                         witan_world_private_part(&self->world, n)};
        double loss;
        must(self, witan_learner_train(&client, &self->learning, &self->kit,
                                       (uint32_t)round, &loss));
        must(self, witan_learner_extract(&client, &self->learning, &self->kit,
                                         (uint32_t)round, &said[n], A));
        if (self->spec->oracle) {
            tell_truth(self, &said[n]);
        }
        before[n] = malloc(size);
        memcpy(before[n], self->learner[n].parameters, size);
        self->learner[n] = client.learner;
    }
    for (size_t n = 0; n < RUN_CLIENTS; n++) {
        witan_client_state client = {.id = (uint32_t)n,
                                     .learner = self->learner[n],
                                     .train =
                                         witan_world_private_part(&self->world, n)};
        const witan_soft_labels *heard = &said[(n + 1) % RUN_CLIENTS];
        witan_score score;
        double loss;
        must(self, witan_learner_distill(&client, &self->learning, &self->kit,
                                         (uint32_t)round, heard, &loss));
        must(self, witan_learner_evaluate(&client, &self->learning, &self->kit, &test,
                                          &score, NULL, 0, NULL));
        self->learner[n] = client.learner;
        save(self, round, n, before[n], &said[n], heard);
        witan_text_format(&self->metrics,
                          "{\"round\":%zu,\"client\":%zu,\"global\":{\"accuracy\":%.9g,"
                          "\"loss\":%.9g}}\n",
                          round + 1, n, score.accuracy, score.loss);
    }
    for (size_t n = 0; n < RUN_CLIENTS; n++) {
        witan_soft_labels_fini(&said[n], A);
        free(before[n]);
    }
}

static void
play(maker *self)
{
    witan_input input = witan_world_input(&self->world);
    size_t most = 0;
    witan_setup_plan(&self->learning, &self->config, &input, self->world.transfer);
    must(self, witan_network_init(&self->network, A, &self->config.models[0], &input,
                                  &self->diag));
    for (size_t n = 0; n < RUN_CLIENTS; n++) {
        size_t count = witan_world_private_part(&self->world, n).count;
        most = count > most ? count : most;
        must(self, witan_learner_block_new(&self->learner[n], &self->learning,
                                           &self->network, (uint32_t)n, A));
    }
    must(self, witan_kit_init(&self->kit, &self->learning, &self->network, most, A));
    for (size_t r = 0; r < self->spec->rounds; r++) {
        play_round(self, r);
    }
    write_file(self, "metrics.jsonl", self->metrics.data, self->metrics.length);
}

/* What the daemon of client n leaves in its directory, but for secrets. */
static void
write_client(maker *self, size_t n, const uint8_t *package, size_t package_size)
{
    char folder[1100], name[64], json[1300], path[1200];
    uint64_t numbers[18] = {0, self->spec->rounds - 1, self->spec->rounds};
    const witan_tensor_entry state = {
        "numbers", WITAN_TENSOR_U64, 1, {sizeof numbers / sizeof *numbers}, numbers};
    (void)snprintf(folder, sizeof folder, "%s/deployed-%zu", self->path, n);
    must(self, witan_directory_make(folder, &self->diag));
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    must(self, witan_model_file_save(path, &self->network, self->learner[n].parameters,
                                     n, A, &self->diag));
    (void)snprintf(path, sizeof path, "%s/state.safetensors", folder);
    must(self, witan_safetensors_save(path, &state, 1, NULL, 0, A, &self->diag));
    (void)snprintf(name, sizeof name, "deployed-%zu/transfer.bin", n);
    write_file(self, name, (const char *)package, package_size);
    int used =
        snprintf(json, sizeof json,
                 "{\"data\": \"\", \"canaries\": \"%s/canaries.json\"}\n", self->path);
    (void)snprintf(name, sizeof name, "deployed-%zu/settings.json", n);
    write_file(self, name, json, (size_t)used);
    (void)snprintf(name, sizeof name, "deployed-%zu/membership.key", n);
    write_file(self, name, "never read", 10);
}

static void
write_clients(maker *self)
{
    uint8_t *package;
    size_t size;
    must(self, witan_world_package(&package, &size, &self->world, A, &self->diag));
    for (size_t n = 0; n < RUN_CLIENTS; n++) {
        write_client(self, n, package, size);
    }
    witan_free(A, package);
}

const char *
make_run(const run_spec *spec)
{
    static char paths[32][1024];
    static size_t used;
    static maker self; /* the world must not move */
    char folder[1200];
    A = witan_allocator_default();
    memset(&self, 0, sizeof self);
    self.spec = spec;
    witan_text_init(&self.metrics, A, (size_t)1 << 24);
    (void)snprintf(self.path, sizeof self.path, "%s", witan_test_path(spec->name));
    (void)snprintf(folder, sizeof folder, "%s/audit", self.path);
    must(&self, witan_directory_make(folder, &self.diag));
    make_config(&self);
    make_world(&self);
    play(&self);
    if (spec->deployed) {
        write_clients(&self);
    }
    if (spec->lie != NULL) {
        set(&self, spec->lie);
    }
    write_index(&self);
    witan_text_fini(&self.metrics);
    for (size_t n = 0; n < RUN_CLIENTS; n++) {
        witan_learner_block_free(&self.learner[n], A);
    }
    witan_kit_fini(&self.kit, A);
    witan_network_fini(&self.network);
    if (spec->repetitions != NULL) {
        witan_canary_plan_fini(&self.plan, A);
    }
    witan_world_fini(&self.world, A);
    witan_config_fini(&self.config, A);
    char *path = paths[used++ % 32];
    (void)snprintf(path, sizeof paths[0], "%s", self.path);
    return path;
}
