/* test_audit_files.c - runs that are damaged, changed or incomplete: a clear sentence,
 * no result, nothing leaked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "make_run.h"
#include "support/witan_test.h"

static const char *run;
static size_t asked, stop_at;

static const char *
file_of(const char *name)
{
    static char path[1200];
    (void)snprintf(path, sizeof path, "%s/%s", run, name);
    return path;
}

static bool
count_steps(void *context, const char *what, size_t done, size_t total)
{
    (void)context;
    (void)what;
    CHECK(done <= total);
    return ++asked != stop_at;
}

static witan_status
measure(const char *directory, witan_audit_result **result, witan_diag *diag,
        const witan_allocator *allocator)
{
    witan_audit_settings settings;
    witan_audit_settings_init(&settings, directory);
    settings.progress = count_steps;
    *diag = (witan_diag){0};
    asked = 0;
    return witan_audit_measure(result, &settings, allocator, diag);
}

static void
fails(witan_status expected, const char *part)
{
    witan_failing_allocator counted;
    witan_audit_result *result;
    witan_diag diag;
    witan_failing_allocator_init(&counted, 0);
    CHECK_STATUS(measure(run, &result, &diag, &counted.allocator), expected);
    CHECK(result == NULL && counted.live == 0);
    CHECK_CONTAINS(diag.message, part);
}

/* Puts `bytes` in a file's place, expects the failure, puts the file back. */
static void
fails_with(const char *name, const char *bytes, size_t size, witan_status expected,
           const char *part)
{
    size_t old_size;
    char *old = witan_test_read(file_of(name), &old_size);
    CHECK(old != NULL);
    witan_test_write(file_of(name), bytes, size);
    fails(expected, part);
    witan_test_write(file_of(name), old, old_size);
    free(old);
}

/* The same with the first `from` replaced by `to` of the same length or another. */
static void
fails_changed(const char *name, const char *from, const char *to, witan_status expected,
              const char *part)
{
    char *old = witan_test_read(file_of(name), NULL);
    char *at = old == NULL ? NULL : strstr(old, from);
    if (CHECK(at != NULL)) {
        size_t head = (size_t)(at - old), size = strlen(old) + strlen(to) + 1;
        char *changed = malloc(size);
        (void)snprintf(changed, size, "%.*s%s%s", (int)head, old, to,
                       at + strlen(from));
        fails_with(name, changed, strlen(changed), expected, part);
        free(changed);
    }
    free(old);
}

static const uint32_t levels[] = {0, 2};

static void
make(const char *name, uint64_t seed)
{
    static const char *const set[] = {"local.epochs=1", "distill.epochs=1"};
    const run_spec spec = {.name = name,
                           .set = set,
                           .sets = 2,
                           .rounds = 2,
                           .repetitions = levels,
                           .levels = 2,
                           .per_level = 3,
                           .inclusion = 1.0,
                           .kind = WITAN_CANARY_MISLABELLED,
                           .transfer = WITAN_TRANSFER_CANARIES,
                           .holders = 1,
                           .seed = seed};
    run = make_run(&spec);
}

static void
whole_runs_pass(void)
{
    witan_audit_result *result;
    witan_diag diag;
    make("whole", 5);
    CHECK_STATUS(measure(run, &result, &diag, witan_allocator_default()), WITAN_OK);
    if (result != NULL) {
        /* The canaries' rows were asked about: ranks of labels among ten classes. */
        const witan_audit_record *record = witan_audit_record_of(result);
        for (size_t i = 0; i < record->exposures; i++) {
            const witan_audit_exposure *it = &record->exposure[i];
            bool labels =
                it->place == WITAN_AUDIT_WIRE || it->place == WITAN_AUDIT_FUSED;
            CHECK(it->count ==
                  (it->place == WITAN_AUDIT_TEACHERS || it->place == WITAN_AUDIT_WIRE
                       ? 3u
                       : 6u));
            CHECK(!labels || (it->largest <= log2(10.0) + 1e-9 && isnan(it->p_value)));
        }
    }
    witan_audit_result_free(&result);
}

static void
what_is_no_run_is_told(void)
{
    witan_audit_result *result;
    witan_diag diag;
    CHECK_STATUS(measure("/nowhere", &result, &diag, witan_allocator_default()),
                 WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "no run is there");
    size_t size;
    char *index = witan_test_read(file_of("audit/run.json"), &size);
    CHECK(remove(file_of("audit/run.json")) == 0);
    fails(WITAN_E_CONFIG, "--canaries PLAN or --set audit.record=true");
    witan_test_write(file_of("audit/run.json"), index, size);
    free(index);
}

static void
odd_indices_are_refused(void)
{
    const char *name = "audit/run.json";
    fails_with(name, "", 0, WITAN_E_DATA, "not JSON");
    fails_with(name, "[]", 2, WITAN_E_DATA, "version 1");
    fails_changed(name, "\"witan_audit_run\": 1", "\"witan_audit_run\": 2",
                  WITAN_E_DATA, "version 1");
    fails_changed(name, "\"rounds\": 2", "\"rounds\": 2, \"more\": 1", WITAN_E_DATA,
                  "unknown or stands there twice");
    fails_changed(name, "\"rounds\": 2", "\"rounds\": 2, \"rounds\": 2", WITAN_E_DATA,
                  "unknown or stands there twice");
    fails_changed(name, "\"rounds\": 2", "\"rounds\": 1e9", WITAN_E_DATA, "rounds");
    fails_changed(name, "\"clients\": 3", "\"clients\": 4", WITAN_E_DATA, "clients");
    fails_changed(name, "\"clients\": 3", "\"clients\": 1", WITAN_E_CONFIG,
                  "one model on all rows");
    fails_changed(name, "[1, 2]", "[2, 1]", WITAN_E_DATA, "rising");
    fails_changed(name, "[1, 2]", "[0, 1]", WITAN_E_DATA, "rising");
    fails_changed(name, "[1, 2]", "[1, 3]", WITAN_E_DATA, "rising");
    fails_changed(name, "[1, 2]", "[1, 1.5]", WITAN_E_DATA, "rising");
    fails_changed(name, "[1, 2]", "[]", WITAN_E_DATA, "no rounds");
    fails_changed(name, "[1, 2]", "[1, 2, 2]", WITAN_E_DATA, "no rounds, or more");
    fails_changed(name, "\"world\": \"", "\"world\": \"g", WITAN_E_DATA, "digest");
}

static void
changed_worlds_are_refused(void)
{
    char old_run[1024];
    fails_changed("config.json", "\"seed\": 11", "\"seed\": 12", WITAN_E_DATA,
                  "config.json: it was changed");
    fails_changed("config.json", "\"seed\"", "\"sead\"", WITAN_E_CONFIG, "sead");
    fails_changed("audit/run.json", "\"world\": \"", "\"world\": \"0", WITAN_E_DATA,
                  "digest");
    fails_changed("canaries.json", "\"seed\"", "\"sead\"", WITAN_E_CONFIG,
                  "canaries.json");
    /* A plan that is whole, but of another run. */
    (void)snprintf(old_run, sizeof old_run, "%s", run);
    make("other", 6);
    size_t size;
    char *plan = witan_test_read(file_of("canaries.json"), &size);
    run = old_run;
    fails_with("canaries.json", plan, size, WITAN_E_DATA,
               "or canaries.json are not those of the run");
    free(plan);
    /* No plan where there was one. */
    plan = witan_test_read(file_of("canaries.json"), &size);
    CHECK(remove(file_of("canaries.json")) == 0);
    fails(WITAN_E_DATA, "or canaries.json are not those of the run");
    witan_test_write(file_of("canaries.json"), plan, size);
    free(plan);
    run = make_run(&(run_spec){.name = "third",
                               .rounds = 1,
                               .set = (const char *const[]){"local.epochs=1"},
                               .sets = 1});
    char *record =
        witan_test_read(file_of("audit/round-0001/client-0001.safetensors"), &size);
    CHECK(record != NULL);
    run = witan_test_path("whole");
    fails_with("audit/round-0001/client-0001.safetensors", record, size, WITAN_E_DATA,
               "its soft labels are not of this transfer set");
    free(record);
}

static void
damaged_records_are_refused(void)
{
    static const char name[] = "audit/round-0002/client-0001.safetensors";
    size_t size, other_size;
    char *record = witan_test_read(file_of(name), &size);
    CHECK(record != NULL && size > 4000);
    fails_with(name, record, size / 2, WITAN_E_DATA, "client-0001.safetensors");
    fails_with(name, record, 4, WITAN_E_DATA, "client-0001.safetensors");
    const float bad = (float)NAN;
    char *damaged = malloc(size);
    memcpy(damaged, record, size);
    memcpy(damaged + size - 2048, &bad, sizeof bad); /* said, or a model's number */
    for (size_t i = size / 2 & ~(size_t)7; i < size / 2 + 64; i += 4) {
        memcpy(damaged + i, &bad, sizeof bad);
    }
    fails_with(name, damaged, size, WITAN_E_DATA, "client-0001.safetensors");
    free(damaged);
    char *other = witan_test_read(file_of("audit/round-0002/client-0002.safetensors"),
                                  &other_size);
    fails_with(name, other, other_size, WITAN_E_DATA, "another round or client");
    free(other);

    /* Who took no part has no record. */
    CHECK(remove(file_of(name)) == 0);
    witan_audit_result *result;
    witan_diag diag;
    CHECK_STATUS(measure(run, &result, &diag, witan_allocator_default()), WITAN_OK);
    if (result != NULL) {
        const witan_audit_record *it = witan_audit_record_of(result);
        CHECK(it->labels_count == 2);
        bool told = false;
        for (size_t i = 0; i < it->limits; i++) {
            told |= strstr(it->limit[i], "without a record") != NULL;
        }
        CHECK(told);
    }
    witan_audit_result_free(&result);
    witan_test_write(file_of(name), record, size);
    free(record);
}

static void
odd_metrics_are_refused(void)
{
    const char *name = "metrics.jsonl";
    fails_with(name, "", 0, WITAN_E_DATA, "too few");
    fails_with(name, "\n\n\n{}\n{}\n{}", 11, WITAN_E_DATA, "not of the round");
    static const char cut[] = "\n\n\n{\"round\":2,\"client\":0}\n"
                              "{\"round\":2,\"client\":1}\n{\"round\":2,\"client\":2}";
    fails_with(name, cut, sizeof cut - 1, WITAN_E_DATA, "too few");
    fails_with(name, "\n\n\n1\n2\n3\n", 9, WITAN_E_DATA, "not JSON");
    static const char twice[] =
        "\n\n\n{\"round\":2,\"client\":0}\n{\"round\":2,\"client\":0}\n"
        "{\"round\":2,\"client\":1}\n";
    fails_with(name, twice, sizeof twice - 1, WITAN_E_DATA, "twice");
    static const char other[] =
        "\n\n\n{\"round\":2,\"client\":0}\n{\"round\":2,\"client\":1}\n"
        "{\"round\":2,\"client\":3}\n";
    fails_with(name, other, sizeof other - 1, WITAN_E_DATA, "not of the round");
}

static void
stopping_stops(void)
{
    witan_audit_result *result;
    witan_diag diag;
    CHECK_STATUS(measure(run, &result, &diag, witan_allocator_default()), WITAN_OK);
    witan_audit_result_free(&result);
    size_t steps = asked;
    CHECK(steps > 8);
    for (stop_at = 1; stop_at <= steps; stop_at++) {
        CHECK_STATUS(measure(run, &result, &diag, witan_allocator_default()),
                     WITAN_E_INTERRUPTED);
        CHECK(result == NULL && asked == stop_at);
    }
    stop_at = 0;
}

/* Allocations are many (every prediction, every tensor): all of the first ones, which
 * are the scene's, then a stride through the rest. */
static void
memory_may_run_out_anywhere(void)
{
    witan_failing_allocator counted;
    witan_audit_result *result;
    witan_diag diag;
    witan_failing_allocator_init(&counted, 0);
    CHECK_STATUS(measure(run, &result, &diag, &counted.allocator), WITAN_OK);
    witan_audit_result_free(&result);
    CHECK(counted.live == 0);
    size_t total = counted.allocations;
    for (size_t at = 1; at <= total; at += at < 60 ? 1 : 1 + total / 150) {
        witan_failing_allocator_init(&counted, at);
        CHECK_STATUS(measure(run, &result, &diag, &counted.allocator), WITAN_E_MEMORY);
        CHECK(result == NULL && counted.live == 0 && diag.message[0] != '\0');
    }
}

int
main(void)
{
    RUN(whole_runs_pass);
    RUN(what_is_no_run_is_told);
    RUN(odd_indices_are_refused);
    RUN(changed_worlds_are_refused);
    RUN(damaged_records_are_refused);
    RUN(odd_metrics_are_refused);
    RUN(stopping_stops);
    RUN(memory_may_run_out_anywhere);
    return witan_test_finish();
}
