/* Whole runs in this process: what a run depends on, and how its strategies behave. */
#include <math.h>
#include <stdio.h>

#include "run.h"

static void
threads_change_no_bit(void)
{
    static const char *const plain[] = {RUN_SMALL, NULL};
    static const char *const faulty[] = {RUN_SMALL, RUN_FAULTS, NULL};
    static const char *const *const settings[] = {plain, faulty};
    const size_t threads[] = {1, 2, 8};
    char name[32];
    for (size_t s = 0; s < 2; s++) {
        run_result first = {0};
        for (size_t t = 0; t < 3; t++) {
            (void)snprintf(name, sizeof name, "threads-%zu-%zu", s, t);
            run_result result = run(run_directory(name),
                                    &(run_options){.threads = threads[t]}, settings[s]);
            CHECK_STATUS(result.status, WITAN_OK);
            if (t == 0) {
                first = result;
                CHECK(strlen(first.digest) == 64);
                CHECK((first.late > 0) == (s == 1));
            } else {
                CHECK(run_is_equal(&first, &result));
                run_free(&result);
            }
        }
        run_free(&first);
    }
}

static void
the_seed_changes_everything(void)
{
    static const char *const one[] = {RUN_SMALL, NULL};
    static const char *const two[] = {RUN_SMALL, "seed=2", NULL};
    run_result a = run(run_directory("seed-1"), &(run_options){0}, one);
    run_result b = run(run_directory("seed-2"), &(run_options){0}, two);
    CHECK_STATUS(b.status, WITAN_OK);
    CHECK(strcmp(a.digest, b.digest) != 0);
    run_free(&a);
    run_free(&b);
}

static void
evaluation_changes_no_model(void)
{
    static const char *const often[] = {RUN_SMALL, NULL};
    static const char *const seldom[] = {RUN_SMALL, "evaluate.every=0",
                                         "evaluate.before_distill=false", NULL};
    run_result a = run(run_directory("often"), &(run_options){0}, often);
    run_result b = run(run_directory("seldom"), &(run_options){0}, seldom);
    CHECK_STATUS(b.status, WITAN_OK);
    CHECK(a.own.mean == b.own.mean && a.global.mean == b.global.mean);
    run_free(&a);
    run_free(&b);
}

/* Half of the clients are slow; two answers are enough. */
static void
enough_answers_end_the_waiting(void)
{
    static const char *const all[] = {RUN_SMALL, RUN_SLOW, NULL};
    static const char *const two[] = {RUN_SMALL, RUN_SLOW, "round.target_clients=2",
                                      NULL};
    static const char *const patient[] = {RUN_SMALL, RUN_SLOW, "round.target_clients=2",
                                          "round.grace=1000000", NULL};
    run_result a = run(run_directory("all"), &(run_options){0}, all);
    run_result b = run(run_directory("two"), &(run_options){0}, two);
    run_result c = run(run_directory("patient"), &(run_options){0}, patient);
    CHECK(a.status == WITAN_OK && b.status == WITAN_OK && c.status == WITAN_OK);
    CHECK(a.late == 0 && b.late > 0 && c.late == 0);
    CHECK(a.metrics_size == c.metrics_size &&
          memcmp(a.metrics, c.metrics, a.metrics_size) == 0);
    CHECK(b.own.mean != a.own.mean);
    const char *exchange = strstr(a.metrics, "\"exchange\":\"");
    CHECK(exchange != NULL && strspn(exchange + 12, "0123456789abcdef") == 64);
    CHECK(exchange != NULL && strstr(b.metrics, exchange) == NULL);
    run_free(&a);
    run_free(&b);
    run_free(&c);
}

static run_result
run_strategy(const char *key, const char *more)
{
    char assignment[64];
    const char *settings[] = {RUN_SMALL,  assignment, "models=mlp(8)",
                              "rounds=6", more,       NULL};
    (void)snprintf(assignment, sizeof assignment, "fusion.key=%s", key);
    run_result result = run(run_directory(key), &(run_options){0}, settings);
    CHECK_STATUS(result.status, WITAN_OK);
    CHECK_STRING(result.diag.message, "");
    CHECK(result.rounds_done == 6);
    CHECK(result.own.mean > 0.0 && result.own.mean <= 1.0);
    CHECK(result.global.mean > 0.0 && result.global.mean <= 1.0);
    CHECK(result.own.worst <= result.own.bottom10 &&
          result.own.bottom10 <= result.own.mean);
    return result;
}

static void
every_strategy_runs(void)
{
    static const char *const keys[] = {"local", "mean", "knfu", "fedavg",
                                       "centralised"};
    const witan_run_exchange exchanges[] = {WITAN_RUN_NOTHING, WITAN_RUN_SOFT_LABELS,
                                            WITAN_RUN_SOFT_LABELS, WITAN_RUN_PARAMETERS,
                                            WITAN_RUN_POOLED};
    run_result results[5];
    for (size_t i = 0; i < 5; i++) {
        results[i] = run_strategy(keys[i], NULL);
        CHECK(strstr(results[i].metrics, "\"round\":6,\"client\":3") != NULL);
        CHECK(results[i].exchange == exchanges[i]);
        for (size_t j = 0; j < i; j++) {
            CHECK(strcmp(results[i].digest, results[j].digest) != 0);
        }
    }
    /* One model on everybody's rows sees more than four that see their own. */
    CHECK(results[4].global.mean > results[0].global.mean);
    CHECK(results[4].global.sd == 0.0); /* it is one model */
    CHECK(results[3].global.sd == 0.0); /* everybody adopted the average */
    CHECK(results[0].global.sd > 0.0);
    for (size_t i = 0; i < 5; i++) {
        run_free(&results[i]);
    }
}

static void
knfu_without_sharpness_is_the_mean(void)
{
    static const char *const knfu[] = {RUN_SMALL, "fusion.key=knfu", "fusion.beta=0",
                                       NULL};
    static const char *const mean[] = {RUN_SMALL, "fusion.key=mean", NULL};
    static const char *const sharp[] = {RUN_SMALL, "fusion.key=knfu", NULL};
    run_result a = run(run_directory("knfu-0"), &(run_options){0}, knfu);
    run_result b = run(run_directory("the-mean"), &(run_options){0}, mean);
    run_result c = run(run_directory("knfu-10"), &(run_options){0}, sharp);
    CHECK(a.metrics_size > 100 && a.metrics_size == b.metrics_size &&
          memcmp(a.metrics, b.metrics, a.metrics_size) == 0);
    CHECK(strcmp(a.digest, b.digest) != 0); /* the config is part of it */
    CHECK(c.metrics_size != a.metrics_size ||
          memcmp(a.metrics, c.metrics, a.metrics_size) != 0);
    run_free(&a);
    run_free(&b);
    run_free(&c);
}

static size_t
count(const char *text, const char *part)
{
    size_t number = 0;
    while ((text = strstr(text, part)) != NULL) {
        number++;
        text += strlen(part);
    }
    return number;
}

static void
part_of_the_clients(void)
{
    static const char *const settings[] = {RUN_SMALL, "participation=0.5", NULL};
    run_result result = run(run_directory("half"), &(run_options){0}, settings);
    CHECK_STATUS(result.status, WITAN_OK);
    CHECK(count(result.metrics, "\n") == 16);
    CHECK(count(result.metrics, "\"asked\":true") == 8);
    CHECK(count(result.metrics, "\"answered\":true") == 8);
    CHECK(count(result.metrics, "\"train_loss\":null") == 8);
    CHECK(count(result.metrics, "\"bytes_up\":0,") == 8);
    /* u16: 60 rows of 10 classes, both ways */
    CHECK(count(result.metrics, "\"bytes_up\":1200,\"bytes_down\":1200") == 8);
    run_free(&result);
}

static void
faults_leave_their_mark(void)
{
    static const char *const settings[] = {RUN_SMALL, RUN_FAULTS, "rounds=8", NULL};
    run_result result = run(run_directory("faults"), &(run_options){0}, settings);
    CHECK_STATUS(result.status, WITAN_OK);
    CHECK(result.late > 3);
    CHECK(count(result.metrics, "\"late\":true") == result.late);
    CHECK(count(result.metrics, "\"answered\":true") +
              count(result.metrics, "\"late\":true") <
          32); /* the rest vanished */
    run_free(&result);
}

/* config_check refuses it; the simulation must not hang on it either. */
static void
nobody_is_waited_for_in_vain(void)
{
    static const char *const settings[] = {RUN_SMALL, NULL};
    witan_config config;
    witan_simulation *simulation;
    witan_diag diag = {0};
    run_config(&config, settings);
    config.faults.dropout = 0.9;
    const witan_simulation_options options = {
        .threads = 1, .directory = run_directory("dropout"), .refresh_ms = 20};
    CHECK_STATUS(witan_simulation_new(&simulation, &config, &options,
                                      witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STATUS(witan_simulation_run(simulation, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "round.deadline");
    witan_simulation_free(&simulation);
    witan_config_fini(&config, witan_allocator_default());
}

static void
divergence_names_the_client(void)
{
    static const char *const settings[] = {RUN_SMALL, "local.optimizer.key=sgd",
                                           "models=mlp(32,32)", NULL};
    for (size_t threads = 1; threads <= 4; threads += 3) {
        run_result result =
            run(run_directory("diverges"),
                &(run_options){.threads = threads, .lr = 1e6}, settings);
        CHECK_STATUS(result.made, WITAN_OK);
        CHECK_STATUS(result.status, WITAN_E_NUMERIC);
        CHECK_CONTAINS(result.diag.message, "client ");
        CHECK_CONTAINS(result.diag.message, "(mlp(32,32))");
        CHECK_CONTAINS(result.diag.message, "round 1");
        CHECK_CONTAINS(result.diag.message, "local.optimizer.lr");
        run_free(&result);
    }
}

/* gained_over_local against a run of the same clients alone. */
static void
compared_with_a_reference(void)
{
    static const char *const alone[] = {RUN_SMALL, "fusion.key=local", NULL};
    static const char *const together[] = {RUN_SMALL, NULL};
    static const char *const fewer[] = {RUN_SMALL, "clients=3", NULL};
    static const char *const *const settings[] = {alone, together, fewer};
    static const char *const names[] = {"reference", "compared", "fewer"};
    witan_config config[3];
    witan_simulation *simulation[3];
    witan_diag diag = {0};
    for (size_t i = 0; i < 3; i++) {
        run_config(&config[i], settings[i]);
        const witan_simulation_options options = {
            .threads = 2, .directory = run_directory(names[i]), .refresh_ms = 20};
        CHECK_STATUS(witan_simulation_new(&simulation[i], &config[i], &options,
                                          witan_allocator_default(), &diag),
                     WITAN_OK);
    }
    CHECK_STATUS(witan_simulation_set_reference(simulation[1], simulation[0], NULL),
                 WITAN_E_CONFIG); /* it did not run yet */
    CHECK_STATUS(witan_simulation_run(simulation[0], &diag), WITAN_OK);
    CHECK_STATUS(witan_simulation_set_reference(simulation[2], simulation[0], &diag),
                 WITAN_E_CONFIG);
    CHECK_STATUS(witan_simulation_set_reference(simulation[1], simulation[0], NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_simulation_run(simulation[1], NULL), WITAN_OK);
    const witan_run_record *record = witan_simulation_record(simulation[1]);
    const witan_run_record *local = witan_simulation_record(simulation[0]);
    size_t gained = 0;
    for (size_t n = 0; n < 4; n++) {
        CHECK(record->reference_own[n] == local->own_by_round[3 * 4 + n]);
        CHECK(record->reference_global[n] == local->global_by_round[3 * 4 + n]);
        gained += record->own_by_round[3 * 4 + n] > record->reference_own[n];
    }
    CHECK(record->gained_over_local == (double)gained / 4.0);
    CHECK(record->reference_own_statistic.mean == local->rounds[3].own_after.mean);
    CHECK(isnan(local->gained_over_local));
    for (size_t i = 0; i < 3; i++) {
        witan_simulation_free(&simulation[i]);
        witan_config_fini(&config[i], witan_allocator_default());
    }
}

int
main(void)
{
    RUN(threads_change_no_bit);
    RUN(enough_answers_end_the_waiting);
    RUN(the_seed_changes_everything);
    RUN(evaluation_changes_no_model);
    RUN(every_strategy_runs);
    RUN(knfu_without_sharpness_is_the_mean);
    RUN(part_of_the_clients);
    RUN(faults_leave_their_mark);
    RUN(nobody_is_waited_for_in_vain);
    RUN(divergence_names_the_client);
    RUN(compared_with_a_reference);
    return witan_test_finish();
}
