/* Keys: defaults, reading, --set, errors, combinations, round trip. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "client/core/release.h"
#include "config/table.h"
#include "config_support.h"
#include "data/load.h"
#include "data/partition.h"
#include "fusion/fusion.h"
#include "nn/loss.h"
#include "nn/optimiser.h"

static void
defaults_are_the_embedded_experiment(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_config c;
    witan_diag diag = {0};
    CHECK_STATUS(witan_config_init(&c, heap), WITAN_OK);
    CHECK_STRING(c.name, "optdigits");
    CHECK(c.seed == 1 && c.rounds == 30 && c.clients == 10 && c.participation == 1.0);
    CHECK(c.data.path[0] == '\0' && c.data.format == WITAN_DATA_AUTO);
    CHECK(c.data.label[0] == '\0' && c.data.test_fraction == 0.2 && c.data.standardise);
    CHECK(c.data.limit == 0);
    CHECK(c.data.partition.key == WITAN_PARTITION_DIRICHLET);
    CHECK(c.data.partition.alpha == 0.5 && c.data.partition.balance);
    CHECK(c.data.partition.labels == 2 && c.data.partition.shards == 2);
    CHECK(c.data.partition.minimum == 10 && c.data.partition.retries == 100);
    CHECK(c.data.partition.path[0] == '\0');
    CHECK(c.data.own_test.source == 0 && c.data.own_test.fraction == 0.2);
    CHECK(c.transfer.samples == 500 && c.transfer.path[0] == '\0');
    CHECK(c.transfer.format == WITAN_DATA_AUTO);
    CHECK(c.models_count == 3);
    CHECK_STRING(c.models[0].name, "linear");
    CHECK_STRING(c.models[1].name, "mlp(64)");
    CHECK_STRING(c.models[2].name, "cnn(16,32,64)");
    CHECK(c.models[0].layers == 0 && c.models[1].layers == 2 &&
          c.models[2].layers == 8);
    CHECK(c.local.epochs == 1 && c.local.batch == 32);
    CHECK(c.local.optimizer.key == WITAN_OPTIMISER_ADAM &&
          c.local.optimizer.lr == 1e-3);
    CHECK(c.local.optimizer.momentum == 0.0 && c.local.optimizer.beta1 == 0.9);
    CHECK(c.local.optimizer.beta2 == 0.999 && c.local.optimizer.epsilon == 1e-8);
    CHECK(c.local.optimizer.weight_decay == 0.0 && c.local.optimizer.clip == 0.0);
    CHECK(c.local.schedule.key == WITAN_SCHEDULE_CONSTANT &&
          c.local.schedule.step == 10);
    CHECK(c.local.schedule.factor == 0.5 && c.local.schedule.minimum_lr == 0.0);
    CHECK(c.extract.temperature == 1.0 && c.extract.codec == WITAN_CODEC_U16);
    CHECK(c.fusion.key == 2 && c.fusion.combine == WITAN_COMBINE_PROBABILITY);
    CHECK(c.fusion.beta == 10.0 && c.fusion.divergence == WITAN_DIVERGENCE_JS);
    CHECK(c.fusion.epd == WITAN_EPD_MEAN && c.fusion.neighbours == 0);
    CHECK(c.fusion.minimum_weight == 0.0 && c.fusion.include_self);
    CHECK(c.distill.epochs == 1 && c.distill.temperature == 1.0 &&
          c.distill.batch == 0);
    CHECK(c.distill.loss == WITAN_DISTILL_KL);
    CHECK(c.round.minimum_clients == 1 && c.round.deadline == 0.0 && c.round.late == 0);
    CHECK(c.round.target_clients == 0 && c.round.grace == 0.0 &&
          c.round.absence == 60.0);
    CHECK(c.round.maximum_age == 1);
    CHECK(c.faults.dropout == 0.0 && c.faults.straggler == 0.0);
    CHECK(c.faults.slowdown == 4.0 && c.faults.speed == 10000.0);
    CHECK(c.faults.latency == 0.05);
    CHECK(c.evaluate.every == 1 && c.evaluate.before_distill &&
          c.evaluate.batch == 256);
    CHECK(c.save.seconds == 30.0 && c.save.models);
    CHECK_STATUS(witan_config_check(&c, &diag), WITAN_OK);
    witan_config_fini(&c, heap);
    witan_config_fini(&c, heap); /* idempotent */
    CHECK(c.models == NULL);
}

/* The value that a key has after --set key=word. */
static int
choice(const char *path, const char *word)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_config c;
    char assignment[128];
    CHECK_STATUS(witan_config_init(&c, heap), WITAN_OK);
    (void)snprintf(assignment, sizeof assignment, "%s=%s", path, word);
    CHECK_STATUS(witan_config_set(&c, assignment, heap, NULL), WITAN_OK);
    int value = *(const int *)witan_config_key_value(witan_config_key_find(path), &c);
    witan_config_fini(&c, heap);
    return value;
}

static void
words_stand_in_the_order_of_their_enums(void)
{
    CHECK(choice("data.format", "embedded") == WITAN_DATA_EMBEDDED);
    CHECK(choice("data.format", "idx") == WITAN_DATA_IDX);
    CHECK(choice("data.format", "cifar10") == WITAN_DATA_CIFAR10);
    CHECK(choice("data.format", "npy") == WITAN_DATA_NPY);
    CHECK(choice("transfer.format", "npz") == WITAN_DATA_NPZ);
    CHECK(choice("transfer.format", "csv") == WITAN_DATA_CSV);
    CHECK(choice("data.partition.key", "iid") == WITAN_PARTITION_IID);
    CHECK(choice("data.partition.key", "dirichlet-client") ==
          WITAN_PARTITION_DIRICHLET_CLIENT);
    CHECK(choice("data.partition.key", "labels") == WITAN_PARTITION_LABELS);
    CHECK(choice("data.partition.key", "shards") == WITAN_PARTITION_SHARDS);
    CHECK(choice("data.partition.key", "quantity") == WITAN_PARTITION_QUANTITY);
    CHECK(choice("data.partition.key", "file") == WITAN_PARTITION_FILE);
    CHECK(choice("data.own_test.source", "global") == 1);
    CHECK(choice("local.optimizer.key", "sgd") == WITAN_OPTIMISER_SGD);
    CHECK(choice("local.optimizer.key", "adamw") == WITAN_OPTIMISER_ADAMW);
    CHECK(choice("local.schedule.key", "step") == WITAN_SCHEDULE_STEP);
    CHECK(choice("local.schedule.key", "cosine") == WITAN_SCHEDULE_COSINE);
    CHECK(choice("extract.codec", "f32") == (int)WITAN_CODEC_F32);
    CHECK(choice("extract.codec", "u16") == (int)WITAN_CODEC_U16);
    CHECK(choice("extract.codec", "top") == (int)WITAN_CODEC_TOP_KIND);
    CHECK(choice("data.format", "text") == WITAN_DATA_TEXT);
    CHECK(choice("data.partition.key", "natural") == WITAN_PARTITION_NATURAL);
    CHECK(choice("data.text.unit", "word") == WITAN_TEXT_WORD);
    CHECK(choice("data.text.group", "file") == WITAN_TEXT_GROUP_FILE);
    CHECK(choice("data.text.group", "folder") == WITAN_TEXT_GROUP_FOLDER);
    CHECK(choice("data.text.group", "speaker") == WITAN_TEXT_GROUP_SPEAKER);
    CHECK(choice("swing.noise", "gaussian") == WITAN_SWING_NOISE_GAUSSIAN);
    CHECK(choice("swing.noise", "laplace") == WITAN_SWING_NOISE_LAPLACE);
    CHECK(choice("swing.repair", "clamp") == WITAN_SWING_CLAMP);
    CHECK(choice("swing.repair", "floor") == WITAN_SWING_FLOOR);
    CHECK(choice("swing.label", "sampled") == WITAN_RELEASE_SAMPLED);
    CHECK(choice("swing.label", "response") == WITAN_RELEASE_RESPONSE);
    CHECK(choice("swing.label", "votes") == WITAN_RELEASE_VOTES);
    CHECK(choice("swing.reference", "heard") == WITAN_GAP_HEARD);
    CHECK(choice("fusion.key", "local") == 0);
    CHECK(choice("fusion.key", "mean") == 1);
    CHECK(choice("fusion.key", "fedavg") == 3);
    CHECK(choice("fusion.key", "centralised") == 4);
    CHECK(choice("fusion.combine", "logit") == WITAN_COMBINE_LOGIT);
    CHECK(choice("fusion.divergence", "kl") == WITAN_DIVERGENCE_KL);
    CHECK(choice("fusion.divergence", "cosine") == WITAN_DIVERGENCE_COSINE);
    CHECK(choice("fusion.divergence", "total-variation") ==
          WITAN_DIVERGENCE_TOTAL_VARIATION);
    CHECK(choice("fusion.divergence", "hellinger") == WITAN_DIVERGENCE_HELLINGER);
    CHECK(choice("fusion.epd", "argmax") == WITAN_EPD_ARGMAX);
    CHECK(choice("fusion.epd", "mean-normalised") == WITAN_EPD_MEAN_NORMALISED);
    CHECK(choice("fusion.epd", "shift") == WITAN_EPD_SHIFT);
    CHECK(choice("distill.loss", "mse") == WITAN_DISTILL_MSE);
    CHECK(choice("distill.loss", "mae") == WITAN_DISTILL_MAE);
    CHECK(choice("round.late", "keep") == 1);
}

static void
file_changes_what_it_holds(void)
{
    const witan_allocator *heap = witan_allocator_default();
    static const char json[] =
        "\xef\xbb\xbf{ \"_comment\": [1, {\"x\": 2}], \"_comment\": 2, \"seed\": "
        "9007199254740991,\n"
        " \"name\": \"caf\\u00e9 \\\"\xc3\xa9\\\"\", \"fusion\": {\"_why\": 1, "
        "\"beta\": "
        "0, \"key\": \"mean\"},\n"
        " \"data\": {\"partition\": {\"alpha\": 1e-2, \"balance\": false}},\n"
        " \"local\": {\"epochs\": 0, \"batch\": 1e2}, \"models\": [\"lenet\"]}\n";
    witan_config c;
    witan_diag diag = {0};
    CHECK_STATUS(witan_config_init(&c, heap), WITAN_OK);
    CHECK_STATUS(witan_config_read(&c, json, sizeof json - 1, "a", heap, &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(c.seed == 9007199254740991u);
    CHECK_STRING(c.name, "caf\xc3\xa9 \"\xc3\xa9\"");
    CHECK(c.fusion.beta == 0.0 && c.fusion.key == 1);
    CHECK(c.data.partition.alpha == 0.01 && !c.data.partition.balance);
    CHECK(c.local.epochs == 0 && c.local.batch == 100);
    CHECK(c.models_count == 1);
    CHECK_STRING(c.models[0].name, "lenet");
    CHECK(c.rounds == 30);
    witan_config_fini(&c, heap);
}

static void
unknown_keys_are_told_the_nearest(void)
{
    REFUSES("{\"fusion\": {\"bta\": 3}}",
            "exp.json: fusion.bta: unknown key; did you mean \"fusion.beta\"?");
    REFUSES("{\"fuson\": {\"beta\": 3}}",
            "exp.json: fuson: unknown key; did you mean \"fusion\"?");
    REFUSES("{\"Seed\": 3}", "exp.json: Seed: unknown key; did you mean \"seed\"?");
    REFUSES("{\"minimum_lr\": 3}", "exp.json: minimum_lr: unknown key; did you mean "
                                   "\"local.schedule.minimum_lr\"?");
    REFUSES("{\"save\": {\"quux\": 1}}",
            "exp.json: save.quux: unknown key; known here: seconds, models");
    REFUSES("{\"\": 1}", "exp.json: a key must not be empty");
    REFUSES("{\"fusion.beta\": 1}",
            "exp.json: key \"fusion.beta\": write one object inside another, as in "
            "{\"fusion\": {\"beta\": 10}}");
    SET_REFUSES("fusion.bta=1",
                "--set fusion.bta: unknown key; did you mean \"fusion.beta\"?");
    SET_REFUSES("fuson.beta=1",
                "--set fuson.beta: unknown key; did you mean \"fusion.beta\"?");
    SET_REFUSES("zzzzzzzzzz.yyyyyyyyyy=1", "--set zzzzzzzzzz.yyyyyyyyyy: unknown key");
    SET_REFUSES("save={}",
                "--set save: has keys of its own; set one of them: seconds, models");
    SET_REFUSES("_x=1",
                "--set _x: unknown key; known here: name, seed, rounds, clients, "
                "participation, models, data, transfer, local, extract, swing, fusion, "
                "distill, round, faults, evaluate, save, audit");
}

static void
wrong_types_are_told(void)
{
    REFUSES("{\"fusion\": 3}",
            "exp.json: fusion: expected an object {...}, got the number 3");
    REFUSES("[1]", "exp.json: expected an object {...}, got a list");
    REFUSES("{\"rounds\": \"10\"}",
            "exp.json: rounds: expected an integer (1 to 1000000 "
            "rounds), got text \"10\"");
    REFUSES("{\"rounds\": 1.5}", "exp.json: rounds: expected an integer (1 to 1000000 "
                                 "rounds), got the number 1.5");
    REFUSES("{\"fusion\": {\"beta\": null}}",
            "exp.json: fusion.beta: expected a number (0 to 1000000), got null");
    REFUSES("{\"save\": {\"models\": 1}}",
            "exp.json: save.models: expected true or false, got the number 1");
    REFUSES("{\"name\": false}", "exp.json: name: expected text, got false");
    REFUSES("{\"fusion\": {\"key\": {}}}",
            "exp.json: fusion.key: expected one of local, mean, knfu, fedavg, "
            "centralised, got an object");
    REFUSES("{\"models\": \"cnn\"}",
            "exp.json: models: expected a list of models, got text \"cnn\"");
    REFUSES("{\"fusion\": {\"key\": \"knf\"}}",
            "exp.json: fusion.key: unknown word \"knf\"; did you mean \"knfu\"? One of "
            "local, mean, knfu, fedavg, centralised");
    REFUSES(
        "{\"extract\": {\"codec\": \"gzip-nine\"}}",
        "exp.json: extract.codec: unknown word \"gzip-nine\"; one of f32, u16, top");
    REFUSES("{\"fusion\": {\"key\": \"KNFU\"}}",
            "exp.json: fusion.key: unknown word \"KNFU\"; one of "
            "local, mean, knfu, fedavg, centralised");
    REFUSES("{\"name\": 1, \"name\": 2}",
            "exp.json: name: expected text, got the number "
            "1");
    REFUSES(
        "{\"seed\": \"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
        "\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
        "\xc3\xa9\xc3\xa9x\xc3\xa9\xc3\xa9\"}",
        "exp.json: seed: expected an integer (0 to 9007199254740991), got text "
        "\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
        "\xa9x...\"");
}

static void
ranges_are_told(void)
{
    REFUSES(
        "{\"seed\": 9007199254740992}",
        "exp.json: seed: 9007199254740992 is out of range, use 0 to 9007199254740991");
    REFUSES("{\"seed\": -1}",
            "exp.json: seed: -1 is out of range, use 0 to 9007199254740991");
    REFUSES("{\"fusion\": {\"beta\": 1e9}}",
            "exp.json: fusion.beta: 1000000000 is out of range, use 0 to 1000000");
    REFUSES("{\"fusion\": {\"beta\": 1e999}}",
            "exp.json: fusion.beta: inf is out of range, use 0 to 1000000");
    REFUSES("{\"rounds\": 1e999}",
            "exp.json: rounds: inf is out of range, use 1 to 1000000 rounds");
    REFUSES("{\"participation\": 0}",
            "exp.json: participation: 0 is out of range, use above 0, at most 1");
    REFUSES(
        "{\"fusion\": {\"minimum_weight\": 1}}",
        "exp.json: fusion.minimum_weight: 1 is out of range, use at least 0, below 1");
    REFUSES("{\"data\": {\"test_fraction\": 1}}",
            "exp.json: data.test_fraction: 1 is out of range, use above 0, below 1");
    READS(
        "{\"participation\": 1, \"rounds\": 1000000, \"fusion\": {\"beta\": 1000000}}");
    READS("{\"fusion\": {\"minimum_weight\": 0}, \"rounds\": 1, \"seed\": 0}");
}

static void
grammar_errors_are_placed(void)
{
    char *large = malloc(WITAN_CONFIG_BYTES_MAX + 1);
    REFUSES("", "exp.json:1:1: the JSON ends early");
    REFUSES("{\n  \"seed\": 1,\n  }", "exp.json:3:3: not valid JSON near '}'");
    REFUSES("{\n  \"seed\": 1,\n}\n", "exp.json:3:1: not valid JSON near '}'");
    REFUSES("{\"seed\": 1,, \"a\": 2}",
            "exp.json:1:12: not valid JSON near ', \"a\": 2}'");
    REFUSES("{\"seed\": [1, x]}", "exp.json:1:14: not valid JSON near 'x]}'");
    REFUSES("{\"seed\": tru}", "exp.json:1:10: not valid JSON near 'tru}'");
    REFUSES("{\"seed\" 1}", "exp.json:1:9: not valid JSON near '1}'");
    REFUSES("{\"seed\": 1} x", "exp.json:1:13: not valid JSON near 'x'");
    REFUSES("{\"seed\": 1}\n{}", "exp.json:2:1: not valid JSON near '{}'");
    REFUSES("{\"seed\": 01x}", "exp.json:1:12: not valid JSON near 'x}'");
    REFUSES("{// hello\n\"seed\": 1}", "exp.json:1:2: not valid JSON near '// hello'");
    REFUSES("{\"name\": \"a\xff\"}", "exp.json:1:12: not UTF-8 text");
    REFUSES("{\"name\": \"\xed\xa0\x80\"}", "exp.json:1:11: not UTF-8 text");
    REFUSES("{\"name\": \"\xc0\x80\"}", "exp.json:1:11: not UTF-8 text");
    REFUSES("{\"name\": \"\xe0\x80\x80\"}", "exp.json:1:11: not UTF-8 text");
    REFUSES("{\"name\": \"\xf0\x8f\xbf\xbf\"}", "exp.json:1:11: not UTF-8 text");
    REFUSES("{\"name\": \"\xe2\x82", "exp.json:1:11: not UTF-8 text");
    REFUSES("{\"name\": \"\xf4\x90\x80\x80\"}", "exp.json:1:11: not UTF-8 text");
    REFUSES("{\"name\": \"a\\u0000b\"}",
            "exp.json:1:12: \\u0000 is not allowed in texts");
    READS("{\"name\": \"a\\\\u0000b\"}"); /* an escaped backslash, then letters */
    READS("{\"name\": \"\xf0\x9f\xa6\x89 \xe2\x82\xac\"}");
    REFUSES("{\"name\": \"a\nb\"}",
            "exp.json: name: control character at byte 2 of the "
            "text");
    CHECK_STRING(read_message("{\"seed\": 1}\0", 12),
                 "exp.json:1:12: NUL byte; the file must be UTF-8 text");
    REFUSES("{\"rounds\": 1, \"rounds\": 1}",
            "exp.json: rounds: given twice; keep one");
    REFUSES("{\"save\": {}, \"seed\": 1, \"save\": {}}",
            "exp.json: save: given twice; keep one");
    memset(large, ' ', WITAN_CONFIG_BYTES_MAX + 1);
    memcpy(large, "{}", 2);
    CHECK_STRING(read_message(large, WITAN_CONFIG_BYTES_MAX), "");
    CHECK_STRING(read_message(large, WITAN_CONFIG_BYTES_MAX + 1),
                 "exp.json: 1048577 bytes, at most 1048576 are read");
    memset(large, '[', WITAN_CONFIG_BYTES_MAX);
    CHECK_STRING(read_message(large, WITAN_CONFIG_BYTES_MAX),
                 "exp.json:1:1001: not valid JSON near '[[[[[[[[[[[[[[[[[[[[[[[['");
    memset(large, 'x', WITAN_CONFIG_BYTES_MAX);
    memcpy(large, "{\"name\":\"", 9);
    memcpy(large + 9 + 1024, "\"}", 2);
    CHECK_STRING(read_message(large, 9 + 1024 + 2),
                 "exp.json: name: text of 1024 bytes, at most 1023 are allowed");
    free(large);
}

static void
settings_take_json_or_words(void)
{
    const witan_allocator *heap = witan_allocator_default();
    static const char *const good[] = {
        "seed=7",
        "fusion.beta=2.5e1",
        "fusion.key=mean",
        "name=a b=c",
        "data.path=\"/tmp/a \\\"b\"",
        "data.label=17",
        "save.models=false",
        "models=mlp(256,128), lenet ,cnn",
        "fusion.key=\"fedavg\"",
    };
    witan_config c;
    CHECK_STATUS(witan_config_init(&c, heap), WITAN_OK);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        witan_diag diag = {0};
        CHECK_STATUS(witan_config_set(&c, good[i], heap, &diag), WITAN_OK);
        CHECK_STRING(diag.message, "");
    }
    CHECK(c.seed == 7 && c.fusion.beta == 25.0 && c.fusion.key == 3 && !c.save.models);
    CHECK_STRING(c.name, "a b=c");
    CHECK_STRING(c.data.path, "/tmp/a \"b");
    CHECK_STRING(c.data.label, "17");
    CHECK(c.models_count == 3);
    CHECK_STRING(c.models[0].name, "mlp(256,128)");
    CHECK_STRING(c.models[1].name, "lenet");
    CHECK_STRING(c.models[2].name, "cnn");
    CHECK_STATUS(witan_config_set(&c, "data.label=", heap, NULL), WITAN_OK);
    CHECK_STRING(c.data.label, "");
    CHECK_STATUS(witan_config_set(&c, "models=[\"linear\"]", heap, NULL), WITAN_OK);
    CHECK(c.models_count == 1);
    CHECK_STATUS(witan_config_set(&c, "models=nope", heap, NULL), WITAN_E_CONFIG);
    CHECK(c.models_count == 1); /* a failure changes nothing */
    CHECK_STRING(c.models[0].name, "linear");
    witan_config_fini(&c, heap);
    SET_REFUSES("seed=abc",
                "--set seed: expected an integer (0 to 9007199254740991), got "
                "text \"abc\"");
    SET_REFUSES("seed=", "--set seed: expected an integer (0 to 9007199254740991), got "
                         "text \"\"");
    SET_REFUSES("seed=\"5\"",
                "--set seed: expected an integer (0 to 9007199254740991), "
                "got text \"5\"");
    SET_REFUSES("save.models=yes",
                "--set save.models: expected true or false, got text \"yes\"");
    SET_REFUSES("fusion.beta", "--set \"fusion.beta\": expected key=value, as in "
                               "fusion.beta=5");
    SET_REFUSES("=5", "--set \"=5\": expected key=value, as in fusion.beta=5");
    SET_REFUSES("name=\xff", "--set:1:6: not UTF-8 text");
    CHECK_CONTAINS(set_message("models=linear,,cnn"), "--set models[1]: ");
    CHECK_CONTAINS(set_message("models="), "--set models[0]: ");
    CHECK_CONTAINS(set_message("models=cnm"), "did you mean \"cnn\"?");
}

static void
failed_file_changes_nothing(void)
{
    const witan_allocator *heap = witan_allocator_default();
    static const char json[] = "{\"models\": [\"cnn\"], \"seed\": 5, \"nope\": 1}";
    witan_config c, before;
    CHECK_STATUS(witan_config_init(&c, heap), WITAN_OK);
    before = c;
    CHECK_STATUS(witan_config_read(&c, json, sizeof json - 1, "a", heap, NULL),
                 WITAN_E_CONFIG);
    CHECK(memcmp(&c, &before, sizeof c) == 0);
    witan_config_fini(&c, heap);
}

/* Message of the check after these settings, "" when they are allowed. */
static const char *
check_message(const char *const *settings)
{
    static witan_diag diag;
    const witan_allocator *heap = witan_allocator_default();
    witan_config c;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_config_init(&c, heap), WITAN_OK);
    for (; *settings != NULL; settings++) {
        CHECK_STATUS(witan_config_set(&c, *settings, heap, &diag), WITAN_OK);
    }
    witan_status status = witan_config_check(&c, &diag);
    CHECK(status == WITAN_OK || status == WITAN_E_CONFIG);
    CHECK((status == WITAN_OK) == (diag.message[0] == '\0'));
    witan_config_fini(&c, heap);
    return diag.message;
}
#define CHECKED(...) check_message((const char *const[]){__VA_ARGS__, NULL})

static void
combinations_are_checked(void)
{
    CHECK_CONTAINS(CHECKED("fusion.key=fedavg"), "needs one architecture, 3 are given");
    CHECK_STRING(CHECKED("fusion.key=fedavg", "models=cnn"), "");
    CHECK_CONTAINS(CHECKED("faults.dropout=0.1"), "needs a deadline");
    CHECK_STRING(CHECKED("faults.dropout=0.1", "round.deadline=1"), "");
    CHECK_CONTAINS(CHECKED("round.late=keep"), "needs a deadline");
    CHECK_STRING(CHECKED("round.late=keep", "round.deadline=1"), "");
    CHECK_CONTAINS(CHECKED("round.minimum_clients=11"), "11 answers can never come");
    CHECK_STRING(CHECKED("round.minimum_clients=10"), "");
    CHECK_CONTAINS(CHECKED("round.minimum_clients=6", "participation=0.5"), "5 of 10");
    CHECK_STRING(CHECKED("round.minimum_clients=5", "participation=0.5"), "");
    CHECK_CONTAINS(CHECKED("round.minimum_clients=3", "participation=0.24"), "2 of 10");
    CHECK_CONTAINS(CHECKED("round.target_clients=11"), "11 answers can never come");
    CHECK_CONTAINS(CHECKED("round.target_clients=6", "participation=0.5"), "5 of 10");
    CHECK_STRING(CHECKED("round.target_clients=5", "participation=0.5"), "");
    CHECK_CONTAINS(CHECKED("round.target_clients=3", "round.minimum_clients=4"),
                   "3 is below round.minimum_clients 4");
    CHECK_STRING(CHECKED("round.target_clients=4", "round.minimum_clients=4"), "");
    CHECK_CONTAINS(CHECKED("participation=0.09"), "less than one");
    CHECK_STRING(CHECKED("participation=0.1"), "");
    CHECK_CONTAINS(CHECKED("data.partition.key=file"), "data.partition.path: needed");
    CHECK_STRING(CHECKED("data.partition.key=file", "data.partition.path=p"), "");
    CHECK_STRING(CHECKED("data.partition.key=file", "data.partition.path=p",
                         "transfer.samples=0"),
                 "");
    CHECK_CONTAINS(CHECKED("transfer.samples=0"), "transfer.samples: the strategy");
    CHECK_CONTAINS(CHECKED("transfer.samples=0", "fusion.key=mean"),
                   "transfer.samples");
    CHECK_STRING(CHECKED("transfer.samples=0", "fusion.key=local"), "");
    CHECK_STRING(CHECKED("transfer.samples=0", "fusion.key=centralised"), "");
    CHECK_STRING(CHECKED("transfer.samples=0", "transfer.path=x"), "");
    CHECK_CONTAINS(CHECKED("transfer.format=idx"), "transfer.path: needed");
    CHECK_CONTAINS(CHECKED("transfer.format=embedded", "transfer.path=x"),
                   "must be empty");
    CHECK_CONTAINS(CHECKED("data.format=csv"), "data.path: needed");
    CHECK_STRING(CHECKED("data.format=csv", "data.path=x"), "");
    CHECK_STRING(CHECKED("data.format=embedded"), "");
    CHECK_CONTAINS(CHECKED("data.format=embedded", "data.path=x"), "must be empty");
    CHECK_CONTAINS(CHECKED("fusion.include_self=false", "clients=1"), "at least 2");
    CHECK_STRING(CHECKED("fusion.include_self=false", "clients=2"), "");
    CHECK_CONTAINS(CHECKED("local.schedule.key=cosine", "local.schedule.minimum_lr=1"),
                   "is above local.optimizer.lr");
    CHECK_STRING(CHECKED("local.schedule.key=step", "local.schedule.minimum_lr=1"), "");
    CHECK_STRING(CHECKED("distill.loss=mse", "fusion.combine=logit"), "");
    CHECK_STRING(CHECKED("local.epochs=0", "distill.epochs=0"), "");
}

static void
protection_is_checked(void)
{
    CHECK_CONTAINS(CHECKED("swing.noise=gaussian"), "swing.sigma: swing.noise needs");
    CHECK_CONTAINS(CHECKED("swing.sigma=0.1"), "no noise is chosen");
    CHECK_STRING(CHECKED("swing.noise=laplace", "swing.sigma=0.1"), "");
    CHECK_CONTAINS(CHECKED("swing.shards=1"), "cannot disagree with itself");
    CHECK_CONTAINS(CHECKED("swing.label=votes"), "swing.label: \"votes\" needs");
    CHECK_CONTAINS(CHECKED("swing.label=votes", "swing.noise=laplace", "swing.sigma=1",
                           "swing.shards=4"),
                   "gaussian");
    CHECK_STRING(CHECKED("swing.label=votes", "swing.noise=gaussian", "swing.sigma=1",
                         "swing.shards=4"),
                 "");
    CHECK_CONTAINS(
        CHECKED("swing.gap=true", "extract.temperature=9", "swing.temperature_high=8"),
        "8 is below extract.temperature 9");
    CHECK_STRING(CHECKED("extract.temperature=9"), "");
    CHECK_CONTAINS(CHECKED("swing.clip=5", "fusion.combine=logit"), "use probability");
    CHECK_CONTAINS(CHECKED("extract.codec=top", "fusion.combine=logit"),
                   "needs every class");
    CHECK_CONTAINS(CHECKED("models=cnn,lstm(8)"), "read different things");
    CHECK_CONTAINS(CHECKED("models=gru(8),lstm(8)", "distill.loss=mse"),
                   "\"kl\" alone");
    CHECK_STRING(CHECKED("models=gru(8),lstm(8)", "data.format=text"), "");
}

/* A random value of a key, within its range. */
static void
randomise(witan_random *random, const witan_config_key *key, witan_config *config)
{
    void *place = witan_config_key_place(key, config);
    double u = witan_random_uniform(random);
    double number;
    switch (key->type) {
    case WITAN_KEY_INTEGER:
        *(uint64_t *)place =
            (uint64_t)(key->minimum + floor(u * (key->maximum - key->minimum)));
        return;
    case WITAN_KEY_NUMBER: /* spread over magnitudes */
        number = key->minimum + (key->maximum - key->minimum) * pow(u, 9.0);
        if ((key->above && number <= key->minimum) ||
            (key->below && number >= key->maximum)) {
            number = (key->minimum + key->maximum) / 2.0;
        }
        *(double *)place = number;
        return;
    case WITAN_KEY_FLAG:
        *(bool *)place = u < 0.5;
        return;
    case WITAN_KEY_TEXT: {
        static const char *const pieces[] = {"a",        "\"", "\\",           "/",
                                             "\xc3\xa9", " ",  "\xe2\x82\xac", "u0041",
                                             "\\u0041",  "{"};
        char *text = place;
        memset(text, 0, WITAN_CONFIG_TEXT_MAX);
        for (uint32_t n = witan_random_below(random, 40); n > 0; n--) {
            strncat(text, pieces[witan_random_below(random, 10)], 8);
        }
        return;
    }
    case WITAN_KEY_CHOICE:
        *(int *)place =
            (int)witan_random_below(random, (uint32_t)witan_config_key_words(key));
        return;
    case WITAN_KEY_MODELS:
        return;
    }
}

static void
written_config_reads_back_to_the_same_bits(void)
{
    const witan_allocator *heap = witan_allocator_default();
    uint64_t seed = witan_test_seed(11);
    size_t count;
    const witan_config_key *keys = witan_config_keys(&count);
    for (uint32_t round = 0; round < 200; round++) {
        witan_random random;
        witan_config config, back;
        witan_diag diag = {0};
        witan_random_init(&random, seed, 0, round, WITAN_PURPOSE_TEST);
        CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
        CHECK_STATUS(witan_config_init(&back, heap), WITAN_OK);
        for (size_t i = 0; i < count; i++) {
            randomise(&random, &keys[i], &config);
        }
        witan_text text = config_text(&config);
        CHECK_STATUS(
            witan_config_read(&back, text.data, text.length, "written", heap, &diag),
            WITAN_OK);
        CHECK_STRING(diag.message, "");
        for (size_t i = 0; i < count; i++) {
            size_t size = keys[i].type == WITAN_KEY_TEXT     ? WITAN_CONFIG_TEXT_MAX
                          : keys[i].type == WITAN_KEY_CHOICE ? sizeof(int)
                          : keys[i].type == WITAN_KEY_FLAG   ? sizeof(bool)
                          : keys[i].type == WITAN_KEY_MODELS ? 0
                                                             : sizeof(double);
            if (memcmp(witan_config_key_value(&keys[i], &config),
                       witan_config_key_value(&keys[i], &back), size) != 0) {
                CHECK_STRING("differs", keys[i].path);
            }
        }
        witan_text again = config_text(&back);
        CHECK_STRING(again.data, text.data);
        witan_text_fini(&text);
        witan_text_fini(&again);
        witan_config_fini(&config, heap);
        witan_config_fini(&back, heap);
    }
}

/* Keys that came later are part of a digest only when they say something. */
static void
identity_leaves_young_defaults_out(void)
{
    static const char *const young[] = {"target_clients", "grace", "absence",
                                        "\"rules\"", "\"unit\""};
    static const char *const settings[] = {"round.target_clients=2", "round.grace=1.5",
                                           "round.absence=0", "swing.rules=true",
                                           "data.text.unit=word"};
    const witan_allocator *heap = witan_allocator_default();
    witan_config config;
    witan_diag diag = {0};
    CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
    for (size_t i = 0; i <= 5; i++) { /* the first i of them say something */
        witan_text text = config_text(&config), identity;
        witan_text_init(&identity, heap, (size_t)1 << 24);
        witan_config_identity(&config, &identity);
        CHECK_STATUS(identity.status, WITAN_OK);
        for (size_t k = 0; k < 5; k++) {
            CHECK(strstr(text.data, young[k]) != NULL);
            CHECK((strstr(identity.data, young[k]) != NULL) == (k < i));
        }
        CHECK(identity.length < text.length); /* others are young and silent */
        CHECK_STRING(read_message(identity.data, identity.length), "");
        witan_text_fini(&text);
        witan_text_fini(&identity);
        if (i < 5) {
            CHECK_STATUS(witan_config_set(&config, settings[i], heap, &diag), WITAN_OK);
        }
    }
    witan_config_fini(&config, heap);
}

static void
table_is_sound(void)
{
    size_t count;
    const witan_config_key *keys = witan_config_keys(&count);
    CHECK(count == 99);
    for (size_t i = 0; i < count; i++) {
        char range[256];
        CHECK(strlen(keys[i].path) < WITAN_KEY_PATH_MAX);
        CHECK(witan_config_key_find(keys[i].path) == &keys[i]); /* unique */
        CHECK(!witan_config_is_section(keys[i].path));
        CHECK(keys[i].unit != NULL && keys[i].help[0] != '\0');
        CHECK((keys[i].type == WITAN_KEY_CHOICE) == (keys[i].words != NULL));
        witan_config_key_range(&keys[i], range, sizeof range);
        CHECK(strlen(range) < sizeof range - 1);
        if (keys[i].type == WITAN_KEY_INTEGER || keys[i].type == WITAN_KEY_NUMBER) {
            CHECK(keys[i].minimum < keys[i].maximum);
        }
    }
}

static void
every_allocation_may_fail(void)
{
    static const char json[] = "{\"models\": [\"cnn\", \"linear\"], \"seed\": 2}";
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator a;
        witan_config c;
        witan_diag diag = {0};
        witan_failing_allocator_init(&a, fail_at);
        witan_status status = witan_config_init(&c, &a.allocator);
        if (status == WITAN_OK) {
            status =
                witan_config_read(&c, json, sizeof json - 1, "a", &a.allocator, &diag);
        }
        if (status == WITAN_OK) {
            status = witan_config_set(&c, "models=lenet", &a.allocator, &diag);
        }
        CHECK(status == WITAN_OK || status == WITAN_E_MEMORY);
        witan_config_fini(&c, &a.allocator);
        CHECK(a.live == 0);
        if (status == WITAN_OK) {
            CHECK(fail_at == 4); /* three lists of models */
            break;
        }
    }
}

int
main(void)
{
    RUN(defaults_are_the_embedded_experiment);
    RUN(words_stand_in_the_order_of_their_enums);
    RUN(file_changes_what_it_holds);
    RUN(unknown_keys_are_told_the_nearest);
    RUN(wrong_types_are_told);
    RUN(ranges_are_told);
    RUN(grammar_errors_are_placed);
    RUN(settings_take_json_or_words);
    RUN(failed_file_changes_nothing);
    RUN(combinations_are_checked);
    RUN(protection_is_checked);
    RUN(written_config_reads_back_to_the_same_bits);
    RUN(identity_leaves_young_defaults_out);
    RUN(table_is_sound);
    RUN(every_allocation_may_fail);
    return witan_test_finish();
}
