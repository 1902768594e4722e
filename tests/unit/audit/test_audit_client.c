/* test_audit_client.c - what a deployed client measures of its own model: the numbers
 * that the audit of the whole run has about it, or a clear sentence. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "make_run.h"
#include "support/witan_test.h"

static witan_diag diag;
static witan_audit_settings settings;
static const char *run;
static const uint32_t levels[] = {0, 24};

static const char *
client_of(size_t n)
{
    static char path[1100];
    (void)snprintf(path, sizeof path, "%s/deployed-%zu", run, n);
    return path;
}

static const char *
file_of(const char *name)
{
    static char path[1200];
    (void)snprintf(path, sizeof path, "%s/deployed-0/%s", run, name);
    return path;
}

static witan_status
try(witan_audit_result **result, const char *directory,
    const witan_allocator *allocator)
{
    witan_audit_settings_init(&settings, directory);
    diag = (witan_diag){0};
    return witan_audit_measure(result, &settings, allocator, &diag);
}

static witan_audit_result *
measure(const char *directory)
{
    witan_audit_result *result;
    CHECK_STATUS(try(&result, directory, witan_allocator_default()), WITAN_OK);
    CHECK_STRING(diag.message, "");
    return result;
}

static const witan_audit_exposure *
line_of(const witan_audit_record *record, witan_audit_place place, uint32_t repetitions)
{
    static const witan_audit_exposure none;
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *it = &record->exposure[i];
        if (it->round + 1 == record->rounds && it->place == place &&
            it->repetitions == repetitions) {
            return it;
        }
    }
    CHECK(false);
    return &none;
}

static bool
has_limit(const witan_audit_record *record, const char *part)
{
    for (size_t i = 0; i < record->limits; i++) {
        if (strstr(record->limit[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

static void
check_record(const witan_audit_record *record, size_t client)
{
    char planted[64];
    CHECK(record->text && record->clients == 1 && record->rounds == 2);
    CHECK(record->exposures == 4 * 2 && record->extractions == 1);
    CHECK(record->extraction[0].client == client);
    CHECK(isnan(record->utility) && record->memberships == 0 && record->bounds == 0 &&
          record->claims == 0 && record->labels_count == 0);
    CHECK(has_limit(record, "the wire is not measured") &&
          has_limit(record, "membership is not measured") &&
          has_limit(record, "low exposure promises nothing"));
    CHECK_CONTAINS(record->how, "exact rank among all 1000 fills");
    (void)snprintf(planted, sizeof planted, "%d canaries planted by this client",
                   client == 0 ? 3 : 0);
    CHECK_CONTAINS(record->canaries, planted);
    CHECK_CONTAINS(record->canaries, "3 controls that nobody saw");
}

/* Nobody distils, so that models before and after are the same: those of the daemons.
 */
static void
clients_measure_what_the_run_measured(void)
{
    static const char *const set[] = {"distill.epochs=0"};
    const run_spec spec = {.name = "run",
                           .text = true,
                           .set = set,
                           .sets = 1,
                           .deployed = true,
                           .rounds = 2,
                           .repetitions = levels,
                           .levels = 2,
                           .per_level = 3,
                           .inclusion = 1.0,
                           .transfer = WITAN_TRANSFER_TEMPLATE,
                           .holders = 1,
                           .seed = 3};
    double students[2] = {0.0, 0.0};
    run = make_run(&spec);
    witan_audit_result *all = measure(run);
    for (size_t n = 0; n < RUN_CLIENTS && all != NULL; n++) {
        const witan_audit_record *whole = witan_audit_record_of(all);
        witan_audit_result *result = measure(client_of(n));
        if (result == NULL) {
            continue;
        }
        const witan_audit_record *record = witan_audit_record_of(result);
        check_record(record, n);
        const witan_audit_extraction *it = &record->extraction[0],
                                     *other = &whole->extraction[n];
        CHECK(it->holder == (n == 0) && it->found == other->found &&
              it->planted == other->planted && it->nodes == other->nodes);
        CHECK_STRING(it->text, other->text);
        for (size_t l = 0; l < 2; l++) {
            const witan_audit_exposure *own =
                line_of(record, WITAN_AUDIT_TEACHERS, levels[l]);
            const witan_audit_exposure *others =
                line_of(record, WITAN_AUDIT_STUDENTS, levels[l]);
            CHECK(own->count == (n == 0 ? 3u : 0u) &&
                  others->count == (n == 0 ? 0u : 3u));
            CHECK(line_of(record, WITAN_AUDIT_WIRE, levels[l])->count == 0);
            if (n == 0) {
                CHECK(own->mean ==
                      line_of(whole, WITAN_AUDIT_TEACHERS, levels[l])->mean);
                CHECK(l == 0 ? own->mean < 5.0 : own->mean > 9.0);
            } else {
                students[l] += others->mean / 2.0;
            }
        }
        witan_audit_result_free(&result);
    }
    for (size_t l = 0; l < 2 && all != NULL; l++) {
        CHECK_NEAR(
            students[l],
            line_of(witan_audit_record_of(all), WITAN_AUDIT_STUDENTS, levels[l])->mean,
            1e-12, 0.0);
    }
    witan_audit_result_free(&all);
}

static void
gates_and_comparisons(void)
{
    static const struct {
        const char *gate;
        bool crossed;
    } cases[] = {{"teacher>9", true}, {"extracted>0", false}};
    witan_audit_result *results[2] = {measure(client_of(0)), measure(run)}, *both;
    bool crossed = false;
    for (size_t i = 0; i < 2; i++) {
        CHECK_STATUS(witan_audit_gates(results[0], &cases[i].gate, 1, &crossed, &diag),
                     WITAN_OK);
        CHECK(crossed == cases[i].crossed);
    }
    CHECK_STATUS(witan_audit_gates(results[0], &(const char *const){"auc>0.6"}, 1,
                                   &crossed, &diag),
                 WITAN_E_CONFIG);
    diag = (witan_diag){0};
    CHECK_STATUS(witan_audit_compare(&both, (const witan_audit_result *const *)results,
                                     2, &settings, witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "compare simulated runs");
    witan_audit_result_free(&results[0]);
    witan_audit_result_free(&results[1]);
}

static void
large_spaces_are_sampled(void)
{
    witan_audit_result *result;
    witan_audit_settings_init(&settings, client_of(0));
    settings.exact_max = 500.0;
    settings.shadows = 4; /* of no use here, and no harm */
    diag = (witan_diag){0};
    CHECK_STATUS(
        witan_audit_measure(&result, &settings, witan_allocator_default(), &diag),
        WITAN_OK);
    if (result != NULL) {
        CHECK_CONTAINS(witan_audit_record_of(result)->how, "skew normal fitted to 200");
        CHECK(line_of(witan_audit_record_of(result), WITAN_AUDIT_TEACHERS, 24)->mean >
              7.6);
    }
    witan_audit_result_free(&result);
}

/* A vocabulary of words is known by its names. */
static void
words_are_read(void)
{
    static const char *const set[] = {"local.epochs=0", "distill.epochs=0",
                                      "data.text.unit=word"};
    static const uint32_t twice[] = {0, 2};
    const run_spec spec = {.name = "words",
                           .text = true,
                           .set = set,
                           .sets = 3,
                           .form = "cow cow {w:2}",
                           .deployed = true,
                           .rounds = 1,
                           .repetitions = twice,
                           .levels = 2,
                           .per_level = 2,
                           .inclusion = 1.0,
                           .transfer = WITAN_TRANSFER_WITHOUT,
                           .holders = 1,
                           .seed = 3};
    const char *old = run;
    run = make_run(&spec);
    witan_audit_result *result = measure(client_of(0));
    if (result != NULL) {
        CHECK_CONTAINS(witan_audit_record_of(result)->canaries, "\"cow cow {w:2}\"");
        CHECK(line_of(witan_audit_record_of(result), WITAN_AUDIT_TEACHERS, 0)->count ==
              2);
    }
    witan_audit_result_free(&result);
    run = old;
}

/* --- what is refused -------------------------------------------------------------- */

static void
fails(witan_status expected, const char *part)
{
    witan_failing_allocator counted;
    witan_audit_result *result;
    witan_failing_allocator_init(&counted, 0);
    CHECK_STATUS(try(&result, client_of(0), &counted.allocator), expected);
    CHECK(result == NULL && counted.live == 0);
    CHECK_CONTAINS(diag.message, part);
}

/* Puts `bytes` in a file's place (NULL: nothing), expects the failure, puts the file
 * back. */
static void
fails_with(const char *name, const char *bytes, size_t size, witan_status expected,
           const char *part)
{
    size_t old_size;
    char *old = witan_test_read(file_of(name), &old_size);
    if (!CHECK(old != NULL)) {
        return;
    }
    CHECK(remove(file_of(name)) == 0);
    if (bytes != NULL) {
        witan_test_write(file_of(name), bytes, size);
    }
    fails(expected, part);
    witan_test_write(file_of(name), old, old_size);
    free(old);
}

/* The same with the first `from` overwritten by `to`, of the same length. */
static void
fails_changed(const char *name, const char *from, const char *to, witan_status expected,
              const char *part)
{
    size_t size, length = strlen(from);
    char *bytes = witan_test_read(file_of(name), &size);
    size_t at = 0;
    while (bytes != NULL && at + length <= size &&
           memcmp(bytes + at, from, length) != 0) {
        at++;
    }
    if (CHECK(bytes != NULL && at + length <= size && strlen(to) == length)) {
        memcpy(bytes + at, to, length);
        fails_with(name, bytes, size, expected, part);
    }
    free(bytes);
}

static void
what_is_missing_is_told(void)
{
    static const char empty[] = "{\"canaries\": \"\"}", none[] = "{\"data\": \"\"}";
    static const char other[] = "{\"canaries\": \"/nowhere/plan.json\"}";
    const char *name = "settings.json";
    fails_with("model.safetensors", NULL, 0, WITAN_E_STATE,
               "the experiment is not finished: no model.safetensors");
    fails_with(name, empty, sizeof empty - 1, WITAN_E_CONFIG,
               "plant them with witan client --canaries PLAN before taking part");
    fails_with(name, none, sizeof none - 1, WITAN_E_CONFIG, "planted no canaries");
    fails_with(name, other, sizeof other - 1, WITAN_E_IO, "/nowhere/plan.json");
    fails_with(name, NULL, 0, WITAN_E_IO, "settings.json");
    fails_with("transfer.bin", NULL, 0, WITAN_E_CONFIG, "no transfer.bin");
    fails_with("state.safetensors", NULL, 0, WITAN_E_IO, "state.safetensors");
}

static void
damaged_files_are_refused(void)
{
    const char *name = "settings.json";
    fails_with(name, "{", 1, WITAN_E_DATA, "not a client's settings");
    fails_with(name, "[]", 2, WITAN_E_DATA, "not a client's settings");
    fails_with(name, "{\"canaries\": 1}", 15, WITAN_E_DATA, "not a client's settings");
    name = "transfer.bin";
    fails_with(name, "WTNTSET1", 8, WITAN_E_DATA, "transfer.bin: ");
    name = "state.safetensors";
    fails_with(name, "xx", 2, WITAN_E_DATA, "state.safetensors");
    fails_changed(name, "numbers", "nombres", WITAN_E_DATA, "not a client's state");
    name = "model.safetensors";
    fails_with(name, "xx", 2, WITAN_E_DATA, "model.safetensors");
    fails_changed(name, "witan-model-1", "witan-model-9", WITAN_E_DATA, "not a model");
    fails_changed(name, "lstm(24)", "lstm(25)", WITAN_E_DATA, "its tensors are not");
    fails_changed(name, "lstm(24)", "listless", WITAN_E_DATA, "architecture");
    fails_changed(name, "\"window\":\"24\"", "\"window\":\"2x\"", WITAN_E_DATA,
                  "its window is no number");
    fails_changed(name, "\"window\":\"24\"", "\"window\":\"23\"", WITAN_E_DATA,
                  "transfer.bin: its windows");
    fails_changed(name, "\"client\":\"0\"", "\"client\":\"-\"", WITAN_E_DATA,
                  "its seat");
    size_t size;
    char *model = witan_test_read(file_of(name), &size);
    const float bad = (float)NAN;
    if (CHECK(model != NULL)) {
        memcpy(model + size - sizeof bad, &bad, sizeof bad);
        fails_with(name, model, size, WITAN_E_DATA, "a parameter is not finite");
    }
    free(model);
}

/* A plan that is whole, but for words; a model that reads features. */
static void
other_experiments_are_refused(void)
{
    char json[1300];
    int used = snprintf(json, sizeof json, "{\"canaries\": \"%s\"}",
                        witan_test_path("words/canaries.json"));
    fails_with("settings.json", json, (size_t)used, WITAN_E_CONFIG, "unit");
    fails_changed("model.safetensors", "\"tokens\"", "\"pixels\"", WITAN_E_CONFIG,
                  "canaries of features need the training rows; audit a simulated run");
}

static void
memory_may_run_out_anywhere(void)
{
    witan_failing_allocator counted;
    witan_audit_result *result;
    witan_failing_allocator_init(&counted, 0);
    CHECK_STATUS(try(&result, client_of(0), &counted.allocator), WITAN_OK);
    witan_audit_result_free(&result);
    CHECK(counted.live == 0);
    size_t total = counted.allocations;
    for (size_t at = 1; at <= total; at += at < 400 ? 1 : 1 + total / 100) {
        witan_failing_allocator_init(&counted, at);
        CHECK_STATUS(try(&result, client_of(0), &counted.allocator), WITAN_E_MEMORY);
        CHECK(result == NULL && counted.live == 0 && diag.message[0] != '\0');
    }
}

int
main(void)
{
    RUN(clients_measure_what_the_run_measured);
    RUN(gates_and_comparisons);
    RUN(large_spaces_are_sampled);
    RUN(words_are_read);
    RUN(what_is_missing_is_told);
    RUN(damaged_files_are_refused);
    RUN(other_experiments_are_refused);
    RUN(memory_may_run_out_anywhere);
    return witan_test_finish();
}
