/* Every key of the config reaches the struct that acts on it. */
#include <math.h>
#include <string.h>

#include "nn/loss.h"
#include "setup/setup.h"
#include "support/witan_test.h"

static witan_config config;

static void
set(const char *assignment)
{
    witan_diag diag = {0};
    CHECK_STATUS(
        witan_config_set(&config, assignment, witan_allocator_default(), &diag),
        WITAN_OK);
    CHECK_STRING(diag.message, "");
}

/* No value is its default. */
static void
set_everything(void)
{
    static const char *const assignments[] = {
        "seed=77",
        "rounds=13",
        "clients=17",
        "participation=0.25",
        "data.path=/some/where",
        "data.format=npz",
        "data.label=kind",
        "data.test_fraction=0.35",
        "data.standardise=false",
        "data.limit=991",
        "data.partition.key=shards",
        "data.partition.alpha=0.125",
        "data.partition.balance=false",
        "data.partition.labels=5",
        "data.partition.shards=6",
        "data.partition.minimum=23",
        "data.partition.retries=31",
        "data.partition.path=/index/lists",
        "data.own_test.source=global",
        "data.own_test.fraction=0.45",
        "transfer.samples=123",
        "local.epochs=19",
        "local.batch=29",
        "local.optimizer.key=adamw",
        "local.optimizer.lr=0.375",
        "local.optimizer.momentum=0.625",
        "local.optimizer.beta1=0.5",
        "local.optimizer.beta2=0.75",
        "local.optimizer.epsilon=0.001",
        "local.optimizer.weight_decay=0.03125",
        "local.optimizer.clip=2.5",
        "local.schedule.key=step",
        "local.schedule.step=4",
        "local.schedule.factor=0.875",
        "local.schedule.minimum_lr=0.0625",
        "extract.temperature=1.75",
        "extract.codec=f32",
        "distill.epochs=7",
        "distill.batch=37",
        "distill.temperature=4.5",
        "distill.loss=mse",
        "evaluate.batch=41",
        "fusion.key=mean",
        "fusion.combine=logit",
        "fusion.beta=3.5",
        "fusion.divergence=hellinger",
        "fusion.epd=shift",
        "fusion.neighbours=9",
        "fusion.minimum_weight=0.015625",
        "fusion.include_self=false",
        "round.minimum_clients=3",
        "round.target_clients=4",
        "round.grace=0.5",
        "round.deadline=1.2345",
        "round.absence=7",
        "round.late=keep",
        "round.maximum_age=8",
    };
    CHECK_STATUS(witan_config_init(&config, witan_allocator_default()), WITAN_OK);
    for (size_t i = 0; i < sizeof assignments / sizeof assignments[0]; i++) {
        set(assignments[i]);
    }
}

static void
data_source(void)
{
    witan_data_source source;
    witan_setup_source(&source, &config);
    CHECK_STRING(source.path, "/some/where");
    CHECK(source.format == WITAN_DATA_NPZ);
    CHECK_STRING(source.label, "kind");
    CHECK(source.test_fraction == 0.35 && source.seed == 77);
    CHECK(!source.standardise && !source.transfer);
    set("data.standardise=true");
    witan_setup_source(&source, &config);
    CHECK(source.standardise);
}

static void
transfer_source(void)
{
    witan_data_source source;
    set("transfer.path=/public");
    set("transfer.format=csv");
    witan_setup_transfer_source(&source, &config);
    CHECK_STRING(source.path, "/public");
    CHECK(source.format == WITAN_DATA_CSV);
    CHECK_STRING(source.label, "kind");
    CHECK(source.test_fraction == 0.35 && source.seed == 77);
    CHECK(!source.standardise); /* the training set's scale is copied to it */
    CHECK(source.transfer);
    set("transfer.path=");
}

static void
partition(void)
{
    witan_partition_config out;
    witan_setup_partition(&out, &config);
    CHECK(out.kind == WITAN_PARTITION_SHARDS && out.clients == 17);
    CHECK(out.alpha == 0.125 && !out.balance);
    CHECK(out.labels_per_client == 5 && out.shards_per_client == 6);
    CHECK(out.minimum_samples == 23 && out.retries == 31);
    CHECK_STRING(out.path, "/index/lists");
    CHECK(out.transfer_samples == 123 && out.limit == 991);
    CHECK(out.own_test_from_global && out.own_test_fraction == 0.45);
    CHECK(out.seed == 77);
    set("data.partition.balance=true");
    set("data.own_test.source=holdout");
    set("transfer.path=/public"); /* no rows are held out then */
    witan_setup_partition(&out, &config);
    CHECK(out.balance && !out.own_test_from_global && out.transfer_samples == 0);
}

static void
optimiser(void)
{
    witan_optimiser_config out;
    witan_setup_optimiser(&out, &config);
    CHECK(out.kind == WITAN_OPTIMISER_ADAMW && out.lr == 0.375 &&
          out.momentum == 0.625);
    CHECK(out.beta1 == 0.5 && out.beta2 == 0.75 && out.epsilon_adam == 0.001);
    CHECK(out.weight_decay == 0.03125 && out.clip_l2 == 2.5);
    CHECK(out.schedule == WITAN_SCHEDULE_STEP && out.step_rounds == 4);
    CHECK(out.factor == 0.875 && out.minimum_lr == 0.0625);
}

static void
plan(void)
{
    const uint32_t indices[] = {4, 2};
    const witan_rows rows = {NULL, NULL, NULL};
    const witan_part transfer = {&rows, indices, 2};
    const witan_input features = {{2, 3, 4}, 0, 43}, text = {{1, 9, 1}, 9, 43};
    witan_learning_plan out;
    witan_setup_plan(&out, &config, &text, transfer);
    CHECK(out.positions == 9);
    witan_setup_plan(&out, &config, &features, transfer);
    CHECK(out.positions == 1);
    CHECK(out.seed == 77 && out.rounds == 13 && out.classes == 43);
    CHECK(out.local_epochs == 19 && out.local_batch == 29);
    CHECK(out.optimiser.kind == WITAN_OPTIMISER_ADAMW && out.optimiser.lr == 0.375);
    CHECK(out.extract_temperature == 1.75 && out.codec == WITAN_CODEC_F32);
    CHECK(out.kind == WITAN_KNOWLEDGE_LOG_PROBABILITY);
    CHECK(out.distill_epochs == 7 && out.distill_batch == 37);
    CHECK(out.distill_temperature == 4.5 && out.distill_loss == WITAN_DISTILL_MSE);
    CHECK(out.predict_batch == 41 && out.clock == NULL);
    CHECK(out.transfer.rows == &rows && out.transfer.indices == indices &&
          out.transfer.count == 2);
    set("fusion.combine=probability");
    set("distill.batch=0"); /* then that of local training */
    witan_setup_plan(&out, &config, &features, transfer);
    CHECK(out.kind == WITAN_KNOWLEDGE_PROBABILITY && out.distill_batch == 29);
    set("fusion.combine=logit");
}

static void
text(void)
{
    witan_data_source source;
    set("data.text.unit=word");
    set("data.text.group=speaker");
    set("data.text.vocabulary=777");
    set("data.text.window=31");
    set("data.text.valid_fraction=0.125");
    witan_setup_source(&source, &config);
    CHECK(source.text.unit == WITAN_TEXT_WORD && source.text.vocabulary == 777);
    CHECK(source.text.group == WITAN_TEXT_GROUP_SPEAKER && source.text.window == 31);
    CHECK(source.text.valid_fraction == 0.125 && source.text.known == NULL);
    witan_setup_transfer_source(&source, &config);
    CHECK(source.text.unit == WITAN_TEXT_WORD && source.text.window == 31);
}

static void
protection(void)
{
    witan_release_config out;
    witan_setup_release(&out, &config);
    CHECK(!out.on && isinf(out.swing.clip)); /* tempering alone is plain */
    CHECK(out.swing.temperature_low == 1.75 && out.swing.temperature_high == 1000);
    static const char *const each[] = {
        "swing.gap=true", "swing.rules=true",    "swing.density=5",  "swing.shards=3",
        "swing.clip=4",   "swing.noise=laplace", "swing.label=votes"};
    static const char *const none[] = {
        "swing.gap=false", "swing.rules=false", "swing.density=0", "swing.shards=0",
        "swing.clip=0",    "swing.noise=none",  "swing.label=soft"};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        set(each[i]);
        witan_setup_release(&out, &config);
        CHECK(out.on);
        set(none[i]);
    }
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        set(each[i]);
    }
    set("swing.temperature_high=20");
    set("swing.gamma=2");
    set("swing.sigma=0.25");
    set("swing.repair=floor");
    set("swing.response=0.75");
    set("swing.reference=heard");
    set("swing.quantile=0.875");
    set("swing.reach=6");
    set("swing.radius=1.5");
    set("swing.epochs=11");
    set("local.privacy.clip=0.5");
    set("local.privacy.noise=1.25");
    set("extract.codec=top");
    set("extract.top=13");
    witan_setup_release(&out, &config);
    CHECK(out.swing.temperature_high == 20 && out.swing.gamma == 2 &&
          out.swing.clip == 4 && out.swing.sigma == 0.25);
    CHECK(out.swing.noise == WITAN_SWING_NOISE_LAPLACE &&
          out.swing.repair == WITAN_SWING_FLOOR);
    CHECK(out.label == WITAN_RELEASE_VOTES && out.response == 0.75);
    CHECK(out.gap && out.gap_reference == WITAN_GAP_HEARD && out.gap_quantile == 0.875);
    CHECK(out.rules && out.rules_reach == 6 && out.density == 5 && out.radius == 1.5);
    CHECK(out.shards == 3 && out.shard_epochs == 11);
    const witan_input features = {{2, 3, 4}, 0, 43}, words = {{1, 9, 1}, 9, 43};
    witan_learning_plan learning;
    witan_setup_plan(&learning, &config, &features, (witan_part){0});
    CHECK(learning.release.on && learning.private_clip == 0.5 &&
          learning.private_noise == 1.25);
    CHECK(learning.codec == WITAN_CODEC_TOP(13));

    witan_diag diag = {0};
    CHECK_STATUS(witan_setup_check(&config, &features, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "swing.rules");
    set("swing.rules=false");
    CHECK_STATUS(witan_setup_check(&config, &features, NULL), WITAN_OK);
    diag = (witan_diag){0};
    set("swing.reference=public");
    CHECK_STATUS(witan_setup_check(&config, &features, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "\"heard\"");
    diag = (witan_diag){0};
    CHECK_STATUS(witan_setup_check(&config, &words, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "swing.density");
    set("swing.density=0");
    set("swing.rules=true");
    CHECK_STATUS(witan_setup_check(&config, &words, NULL), WITAN_OK);
    set("extract.top=44");
    diag = (witan_diag){0};
    CHECK_STATUS(witan_setup_check(&config, &words, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "44 of 43");
    set("extract.codec=f32");
}

static void
coordinator(void)
{
    witan_coordinator_config out;
    witan_setup_coordinator(&out, &config);
    CHECK(out.seed == 77 && out.clients == 17 && out.rounds == 13);
    CHECK(out.participation == 0.25 && out.minimum_clients == 3);
    CHECK(out.deadline_ms == 1235); /* rounded up */
    CHECK(out.target_clients == 4 && out.grace_ms == 500 && out.absence_ms == 7000);
    CHECK(!out.presence);
    CHECK(out.keep_late && out.maximum_age == 8);
    CHECK(out.fusion.combine == WITAN_COMBINE_LOGIT && out.fusion.beta == 3.5);
    CHECK(out.fusion.divergence == WITAN_DIVERGENCE_HELLINGER);
    CHECK(out.fusion.epd == WITAN_EPD_SHIFT && out.fusion.neighbours == 9);
    CHECK(out.fusion.minimum_weight == 0.015625 && !out.fusion.include_self);
    CHECK(out.strategy == NULL && out.rows == 0 && out.classes == 0 &&
          out.parameters == 0);
    set("round.late=drop");
    set("fusion.include_self=true");
    witan_setup_coordinator(&out, &config);
    CHECK(!out.keep_late && out.fusion.include_self);
}

/* Words are stored by number: the lists must follow the enums. */
static void
words_follow_the_enums(void)
{
    static const struct {
        const char *assignment;
        const int *actual;
        int expected;
    } words[] = {
        {"data.format=csv", &config.data.format, WITAN_DATA_CSV},
        {"data.format=embedded", &config.data.format, WITAN_DATA_EMBEDDED},
        {"data.partition.key=iid", &config.data.partition.key, WITAN_PARTITION_IID},
        {"data.partition.key=dirichlet-client", &config.data.partition.key,
         WITAN_PARTITION_DIRICHLET_CLIENT},
        {"data.partition.key=quantity", &config.data.partition.key,
         WITAN_PARTITION_QUANTITY},
        {"data.partition.key=file", &config.data.partition.key, WITAN_PARTITION_FILE},
        {"local.optimizer.key=sgd", &config.local.optimizer.key, WITAN_OPTIMISER_SGD},
        {"local.schedule.key=cosine", &config.local.schedule.key,
         WITAN_SCHEDULE_COSINE},
        {"extract.codec=f32", &config.extract.codec, WITAN_CODEC_F32},
        {"extract.codec=u16", &config.extract.codec, WITAN_CODEC_U16},
        {"fusion.divergence=js", &config.fusion.divergence, WITAN_DIVERGENCE_JS},
        {"fusion.divergence=total-variation", &config.fusion.divergence,
         WITAN_DIVERGENCE_TOTAL_VARIATION},
        {"fusion.epd=mean-normalised", &config.fusion.epd, WITAN_EPD_MEAN_NORMALISED},
        {"distill.loss=kl", &config.distill.loss, WITAN_DISTILL_KL},
        {"distill.loss=mae", &config.distill.loss, WITAN_DISTILL_MAE},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        set(words[i].assignment);
        CHECK(*words[i].actual == words[i].expected);
    }
    for (size_t i = 0; witan_fusion_strategies()[i] != NULL; i++) {
        char assignment[64] = "fusion.key=";
        strncat(assignment, witan_fusion_strategies()[i]->key, 32);
        set(assignment);
        CHECK((size_t)config.fusion.key == i);
    }
}

int
main(void)
{
    set_everything();
    RUN(data_source);
    RUN(transfer_source);
    RUN(partition);
    RUN(optimiser);
    RUN(plan);
    RUN(text);
    RUN(protection);
    RUN(coordinator);
    RUN(words_follow_the_enums);
    witan_config_fini(&config, witan_allocator_default());
    return witan_test_finish();
}
