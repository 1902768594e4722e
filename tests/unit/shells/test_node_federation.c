/* test_node_federation.c - a coordinator and two clients as processes on 127.0.0.1 must
 * exchange what the simulator exchanges, bit for bit, also when a client is killed. */
#include <math.h>

#include "node_host.h"
#include "sim/simulation.h"

enum {
    CLIENTS = 2,
    ROUNDS = 3
};

static host federation;

/* Digests of the rounds as the simulator exchanges them; its metrics.jsonl, free(). */
static char *
simulate(char digests[ROUNDS][65])
{
    witan_config config;
    witan_simulation *simulation = NULL;
    witan_diag diag = {0};
    char directory[HOST_PATH / 2], path[HOST_PATH];
    host_print(directory, sizeof directory, "%s/simulation", federation.root);
    CHECK_STATUS(witan_directory_make(directory, &diag), WITAN_OK);
    host_config(&config, federation.settings);
    const witan_simulation_options options = {
        .threads = 1, .directory = directory, .refresh_ms = 20};
    CHECK_STATUS(witan_simulation_new(&simulation, &config, &options,
                                      witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STATUS(witan_simulation_run(simulation, &diag), WITAN_OK);
    witan_simulation_free(&simulation);
    witan_config_fini(&config, witan_allocator_default());
    host_print(path, sizeof path, "%s/metrics.jsonl", directory);
    char *metrics = witan_test_read(path, NULL), *at = metrics;
    for (size_t line = 0; line < ROUNDS * CLIENTS; line++) {
        static const char key[] = "\"exchange\":\"";
        at = at == NULL ? NULL : strstr(at, key);
        CHECK(at != NULL);
        if (at == NULL) {
            break;
        }
        at += sizeof key - 1;
        memcpy(digests[line / CLIENTS], at, 64);
        digests[line / CLIENTS][64] = '\0';
    }
    return metrics;
}

static void
check_ledger(char digests[ROUNDS][65])
{
    char hex[65];
    witan_round_row *rows = NULL;
    size_t count = 0;
    witan_ledger *ledger = host_ledger(&federation);
    CHECK_STATUS(witan_ledger_rounds(ledger, &rows, &count, NULL), WITAN_OK);
    CHECK(count == ROUNDS);
    for (size_t r = 0; r < count && r < ROUNDS; r++) {
        witan_digest_hex(hex, rows[r].exchange);
        CHECK_STRING(hex, digests[r]);
        CHECK(rows[r].answered == CLIENTS);
    }
    witan_free(witan_allocator_default(), rows);
    witan_ledger_close(&ledger);
}

/* The number behind a key of a metrics line; NaN for null or none. */
static double
number_of(const char *line, const char *key)
{
    const char *end = strchr(line, '\n'), *at = strstr(line, key);
    if (at == NULL || (end != NULL && at > end)) {
        return (double)NAN;
    }
    char *rest;
    double value = strtod(at + strlen(key), &rest);
    return rest == at + strlen(key) ? (double)NAN : value;
}

static void
check_number(double actual, double expected)
{
    CHECK(actual == expected || (isnan(actual) && isnan(expected)));
}

/* What clients told of themselves is what the simulator measured. */
static void
check_results(const char *metrics)
{
    witan_ledger *ledger = host_ledger(&federation);
    for (uint32_t r = 0; r < ROUNDS; r++) {
        witan_result_row *rows = NULL;
        size_t count = 0;
        CHECK_STATUS(witan_ledger_results(ledger, r, &rows, &count, NULL), WITAN_OK);
        CHECK(count == CLIENTS);
        for (size_t n = 0; n < count; n++) {
            check_number(rows[n].train_loss, number_of(metrics, "\"train_loss\":"));
            check_number(rows[n].distill_loss, number_of(metrics, "\"distill_loss\":"));
            check_number(rows[n].own_before[0],
                         number_of(metrics, "\"own_before_distill\":{\"accuracy\":"));
            check_number(rows[n].own_after[0],
                         number_of(metrics, "\"own\":{\"accuracy\":"));
            check_number(
                rows[n].global_before[0],
                number_of(metrics, "\"global_before_distill\":{\"accuracy\":"));
            check_number(rows[n].global_after[0],
                         number_of(metrics, "\"global\":{\"accuracy\":"));
            metrics = strchr(metrics, '\n') + 1;
        }
        witan_free(witan_allocator_default(), rows);
    }
    witan_ledger_close(&ledger);
}

/* The final models are the simulator's files. */
static void
check_model(const host_client *client, unsigned n)
{
    size_t size = 0, expected_size = 0;
    char path[HOST_PATH];
    host_print(path, sizeof path, "%s/model.safetensors", client->directory);
    char *model = witan_test_read(path, &size);
    host_print(path, sizeof path, "%s/simulation/models/client-%04u.safetensors",
               federation.root, n);
    char *expected = witan_test_read(path, &expected_size);
    CHECK(model != NULL && expected != NULL && size == expected_size &&
          memcmp(model, expected, size) == 0);
    free(model);
    free(expected);
}

/* Kills a client once its saved state has changed for the `states`-th time. */
static void
kill_after_states(const host_client *client, int states)
{
    char path[HOST_PATH], *before = NULL;
    size_t before_size = 0;
    host_print(path, sizeof path, "%s/state.safetensors", client->directory);
    for (int i = 0; i < 5000 && states > 0; i++) {
        size_t size = 0;
        char *now = witan_test_read(path, &size);
        if (now != NULL &&
            (before == NULL || size != before_size || memcmp(now, before, size) != 0)) {
            states--;
            free(before);
            before = now;
            before_size = size;
        } else {
            free(now);
        }
        host_pause_ms(2);
    }
    free(before);
    CHECK(host_stop_process(client->pid, SIGKILL) == 1000 + SIGKILL);
}

static void
compare(const char *name, const char *const *settings, int kill_after)
{
    char digests[ROUNDS][65];
    host_client client[CLIENTS];
    host_start(&federation, name, settings);
    for (uint32_t n = 0; n < CLIENTS; n++) {
        host_join(&federation, n, NULL, &client[n]);
    }
    for (uint32_t n = 0; n < CLIENTS; n++) {
        host_start_client(&client[n]);
    }
    if (kill_after != 0) {
        kill_after_states(&client[0], kill_after);
        host_start_client(&client[0]);
    }
    for (uint32_t n = 0; n < CLIENTS; n++) {
        CHECK_STATUS(host_wait(client[n].pid), WITAN_OK);
    }
    CHECK_STATUS(host_wait(federation.server), WITAN_OK);
    char *metrics = simulate(digests);
    check_ledger(digests);
    check_results(metrics);
    free(metrics);
    for (uint32_t n = 0; n < CLIENTS; n++) {
        check_model(&client[n], (unsigned)n);
    }
}

#define SMALL                                                                          \
    "rounds=3", "clients=2", "data.limit=500", "transfer.samples=60",                  \
        "round.absence=0", "round.minimum_clients=2"

static void
knowledge_is_the_simulators(void)
{
    static const char *const settings[] = {SMALL, "models=linear,mlp(8)", NULL};
    compare("knfu", settings, 0);
}

static void
parameters_are_the_simulators(void)
{
    static const char *const settings[] = {SMALL,
                                           "models=mlp(8)",
                                           "fusion.key=fedavg",
                                           "local.optimizer.key=adam",
                                           "evaluate.every=2",
                                           NULL};
    compare("fedavg", settings, 0);
}

static void
nothing_exchanged_is_the_simulators(void)
{
    static const char *const settings[] = {SMALL, "models=mlp(8)", "fusion.key=local",
                                           NULL};
    compare("local", settings, 2);
}

static void
a_killed_client_goes_on(void)
{
    static const char *const settings[] = {SMALL,
                                           "models=linear,mlp(8)",
                                           "fusion.combine=logit",
                                           "extract.codec=f32",
                                           "local.optimizer.momentum=0.9",
                                           NULL};
    compare("killed_waiting", settings, 1);
    compare("killed_idle", settings, 2);
    compare("killed_later", settings, 3);
}

int
main(void)
{
    if (witan_secure_start(NULL) != WITAN_OK) {
        return 1;
    }
    RUN(knowledge_is_the_simulators);
    RUN(parameters_are_the_simulators);
    RUN(nothing_exchanged_is_the_simulators);
    RUN(a_killed_client_goes_on);
    return witan_test_finish();
}
