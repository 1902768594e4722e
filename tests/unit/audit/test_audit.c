/* test_audit.c - what an audit measures, on federations that are small enough to know
 * the answer. Seeds are fixed; bounds are far from what they give, so that other
 * processors, which round otherwise, pass too. */
#include "audit/audit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "make_run.h"
#include "support/witan_test.h"

static witan_diag diag;
static witan_audit_settings settings;

static witan_audit_result *
measure_with(const char *directory, size_t shadows)
{
    witan_audit_result *result;
    witan_audit_settings_init(&settings, directory);
    settings.shadows = shadows;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_audit_measure(&result, &settings, witan_allocator_default(), &diag),
        WITAN_OK);
    CHECK_STRING(diag.message, "");
    return result;
}

static witan_audit_result *
measure(const char *directory)
{
    return measure_with(directory, 0);
}

static const witan_audit_exposure *
line_of(const witan_audit_record *record, size_t round, witan_audit_place place,
        uint32_t repetitions)
{
    static const witan_audit_exposure none;
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *it = &record->exposure[i];
        if (it->round == round && it->place == place &&
            it->repetitions == repetitions) {
            return it;
        }
    }
    CHECK(false);
    return &none;
}

static double
auc_of(const witan_audit_record *record, size_t client, const char *attack,
       const char *place)
{
    for (size_t i = 0; i < record->memberships; i++) {
        const witan_audit_membership *it = &record->membership[i];
        if (it->client == client && strcmp(it->attack, attack) == 0 &&
            strcmp(it->place, place) == 0) {
            return it->auc;
        }
    }
    return (double)NAN;
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

/* --- text ------------------------------------------------------------------------- */

static const uint32_t text_levels[] = {0, 24};
static const char *text_run;

static const char *
make_text(const char *name, witan_canary_transfer transfer, const char *const *set,
          size_t sets)
{
    const run_spec spec = {.name = name,
                           .text = true,
                           .set = set,
                           .sets = sets,
                           .rounds = 2,
                           .repetitions = text_levels,
                           .levels = 2,
                           .per_level = 3,
                           .inclusion = 1.0,
                           .transfer = transfer,
                           .holders = 1,
                           .seed = 3};
    return make_run(&spec);
}

static void
check_text_record(const witan_audit_record *record)
{
    double most = log2(1000.0 - 6.0 + 1.0);
    CHECK(record->text && record->clients == 3 && record->rounds == 2);
    CHECK_STRING(record->mode, "plain");
    CHECK_CONTAINS(record->transfer, "P1");
    CHECK_CONTAINS(record->canaries, "3 canaries inserted at 1 of 3 clients");
    CHECK_CONTAINS(record->how, "exact rank among all 1000 fills");
    CHECK_NEAR(record->space_bits, log2(1000.0), 1e-12, 0.0);
    CHECK(record->levels == 2 && record->repetitions[0] == 0 &&
          record->repetitions[1] == 24);
    CHECK(record->exposures == 2 * 4 * 2);
    for (size_t round = 0; round < 2; round++) {
        /* Whoever saw a secret 24 times an epoch knows it: rank 1 of what is left. */
        const witan_audit_exposure *it =
            line_of(record, round, WITAN_AUDIT_TEACHERS, 24);
        CHECK(it->count == 3 && it->p_value < 1e-5);
        CHECK_NEAR(it->mean, most, 1e-9, 0.0);
        CHECK_NEAR(it->low, most, 1e-9, 0.0);
        it = line_of(record, round, WITAN_AUDIT_TEACHERS, 0);
        CHECK(it->count == 3 && it->mean < 5.0 && it->p_value > 1e-3);
        it = line_of(record, round, WITAN_AUDIT_WIRE, 24);
        CHECK(it->count == 3 && it->mean > 3.5 && it->mean < most + 0.1);
        it = line_of(record, round, WITAN_AUDIT_WIRE, 0);
        CHECK(it->count == 3 && it->mean < 4.0);
        it = line_of(record, round, WITAN_AUDIT_STUDENTS, 24);
        CHECK(it->count == 6 && it->mean < most && it->low <= it->mean &&
              it->mean <= it->high && isnan(it->p_value));
        it = line_of(record, round, WITAN_AUDIT_FUSED, 0);
        CHECK(it->count == 6 && it->median <= it->largest);
    }
}

static void
text_tells_holders_from_students(void)
{
    text_run = make_text("text", WITAN_TRANSFER_TEMPLATE, NULL, 0);
    witan_audit_result *result = measure(text_run);
    if (result == NULL) {
        return;
    }
    const witan_audit_record *record = witan_audit_record_of(result);
    check_text_record(record);
    CHECK(record->extractions == 3 && record->labels_count == 3);
    const witan_audit_extraction *it = &record->extraction[0];
    CHECK(it->holder && it->found && it->planted && it->repetitions == 24);
    CHECK_CONTAINS(it->text, "my id is ");
    CHECK(it->nodes < 111 && it->space == 1000.0); /* fewer than guessing would need */
    CHECK(!record->extraction[1].holder && !record->extraction[2].holder);
    CHECK(record->labels[0].uniform != record->labels[1].uniform); /* each its own */
    CHECK(record->labels[0].told > 0.9 && record->labels[0].told <= 1.0);
    CHECK(isfinite(record->labels[1].gap_mean) &&
          record->labels[1].gap_q99 > record->labels[1].gap_mean);
    CHECK(record->utility > 1.0 && record->utility < 5.0 &&
          record->utility_holders > 1.0);
    CHECK(record->claims == 1 && isnan(record->claim[0].epsilon));
    CHECK_CONTAINS(record->claim[0].sentence, "none");
    CHECK(record->bounds == 0 && has_limit(record, "fair coins"));
    CHECK(has_limit(record, "one federation, one seed"));
    CHECK(auc_of(record, 0, "loss", "model") > 0.4);
    CHECK(strlen(witan_audit_hashes_of(result)->models) == 64 &&
          strlen(witan_audit_hashes_of(result)->config) == 64 &&
          strlen(record->plan_digest) == 64);
    CHECK(!witan_audit_contradicted(result));

    /* The same run and settings give the same numbers. */
    witan_audit_result *again = measure(text_run);
    const witan_audit_record *other = witan_audit_record_of(again);
    for (size_t i = 0; i < record->exposures; i++) {
        CHECK(memcmp(&record->exposure[i].mean, &other->exposure[i].mean,
                     5 * sizeof(double)) == 0);
    }
    CHECK(auc_of(record, 1, "rmia", "model") == auc_of(other, 1, "rmia", "model"));
    witan_audit_result_free(&again);
    witan_audit_result_free(&result);
    CHECK(result == NULL);
    witan_audit_result_free(&result);
}

/* Soft labels that tell the very canaries, asked for in windows of their own. */
static void
the_wire_is_read_where_holes_are(void)
{
    static const char *const set[] = {"local.epochs=0", "distill.epochs=0"};
    const run_spec spec = {.name = "oracle",
                           .text = true,
                           .set = set,
                           .sets = 2,
                           .oracle = true,
                           .rounds = 1,
                           .repetitions = text_levels,
                           .levels = 2,
                           .per_level = 3,
                           .inclusion = 1.0,
                           .transfer = WITAN_TRANSFER_CANARIES,
                           .holders = 1,
                           .seed = 9};
    witan_audit_result *result = measure(make_run(&spec));
    if (result == NULL) {
        return;
    }
    const witan_audit_record *record = witan_audit_record_of(result);
    for (size_t l = 0; l < 2; l++) {
        const witan_audit_exposure *it =
            line_of(record, 0, WITAN_AUDIT_WIRE, text_levels[l]);
        CHECK(it->count == 3);
        CHECK_NEAR(it->mean, log2(1000.0), 1e-9, 0.0);
        it = line_of(record, 0, WITAN_AUDIT_FUSED, text_levels[l]);
        CHECK(it->count == 6);
        CHECK_NEAR(it->mean, log2(1000.0), 1e-9, 0.0);
    }
    CHECK_CONTAINS(record->transfer, "P2");
    witan_audit_result_free(&result);
}

/* 20 canaries and 20 controls in models that have learned nothing: exposure is that of
 * chance, mean 1.44 with a deviation of 0.32 for each mean. */
static void
untrained_models_show_chance(void)
{
    static const uint32_t levels[] = {0, 2};
    static const char *const set[] = {"local.epochs=0", "distill.epochs=0"};
    const run_spec spec = {.name = "untrained",
                           .text = true,
                           .set = set,
                           .sets = 2,
                           .rounds = 1,
                           .repetitions = levels,
                           .levels = 2,
                           .per_level = 20,
                           .inclusion = 1.0,
                           .transfer = WITAN_TRANSFER_WITHOUT,
                           .holders = 2,
                           .seed = 4};
    witan_audit_result *result = measure(make_run(&spec));
    if (result == NULL) {
        return;
    }
    const witan_audit_record *record = witan_audit_record_of(result);
    for (size_t l = 0; l < 2; l++) {
        const witan_audit_exposure *it =
            line_of(record, 0, WITAN_AUDIT_TEACHERS, levels[l]);
        CHECK(it->count == 20 && it->p_value > 0.001);
        CHECK_NEAR(it->mean, 1.4427, 1.0, 0.0);
        CHECK_NEAR(line_of(record, 0, WITAN_AUDIT_STUDENTS, levels[l])->mean, 1.4427,
                   1.0, 0.0);
        it = line_of(record, 0, WITAN_AUDIT_WIRE, levels[l]);
        CHECK(it->count == 0 && isnan(it->mean));
    }
    CHECK(has_limit(record, "never asked about a canary (P0)"));
    /* Nothing was learned before or after: one place, and no member stands out. */
    CHECK(isnan(auc_of(record, 0, "loss", "model before distilling")));
    for (size_t n = 0; n < 3; n++) {
        CHECK_NEAR(auc_of(record, n, "loss", "model"), 0.5, 0.13, 0.0);
        CHECK_NEAR(auc_of(record, n, "rmia", "model"), 0.5, 0.13, 0.0);
    }
    bool crossed;
    CHECK_STATUS(
        witan_audit_gates(result, (const char *const[]){"wire>3"}, 1, &crossed, &diag),
        WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "wire was not measured");
    witan_audit_result_free(&result);
}

static void
large_spaces_are_sampled(void)
{
    witan_audit_settings_init(&settings, text_run);
    settings.exact_max = 500.0; /* of 1000 fills: 200 references instead */
    memset(&diag, 0, sizeof diag);
    witan_audit_result *result;
    CHECK_STATUS(
        witan_audit_measure(&result, &settings, witan_allocator_default(), &diag),
        WITAN_OK);
    if (result == NULL) {
        return;
    }
    const witan_audit_record *record = witan_audit_record_of(result);
    CHECK_CONTAINS(record->how, "skew normal fitted to 200 of 200 fills");
    CHECK(record->fit_p_value > 0.0 && record->fit_p_value <= 1.0);
    /* Rank 1 among 200 shows 7.6 bits; a fit may go on from there. */
    CHECK(line_of(record, 1, WITAN_AUDIT_TEACHERS, 24)->mean > 7.6);
    CHECK(line_of(record, 1, WITAN_AUDIT_TEACHERS, 0)->mean < 5.0);
    witan_audit_result_free(&result);
}

/* --- features --------------------------------------------------------------------- */

static const char *
make_features(const char *name, witan_canary_kind kind, const char *lie)
{
    static const uint32_t levels[] = {1, 4};
    const run_spec spec = {.name = name,
                           .rounds = 1,
                           .lie = lie,
                           .repetitions = levels,
                           .levels = 2,
                           .per_level = 24,
                           .inclusion = 0.5,
                           .kind = kind,
                           .transfer = WITAN_TRANSFER_WITHOUT,
                           .holders = 3,
                           .seed = 8};
    return make_run(&spec);
}

static void
check_features_record(const witan_audit_record *record)
{
    const witan_audit_exposure *in = line_of(record, 0, WITAN_AUDIT_TEACHERS, 4);
    const witan_audit_exposure *out = line_of(record, 0, WITAN_AUDIT_TEACHERS, 0);
    CHECK(!record->text && record->levels == 3);
    CHECK_NEAR(record->space_bits, log2(200.0), 1e-12, 0.0);
    CHECK(in->mean > out->mean + 2.0 && in->p_value < 1e-4 && out->mean < 3.0);
    CHECK(record->extractions == 0);
    CHECK(record->utility_holders > 0.3 && record->utility == record->utility_holders);
    /* Two places, single records and groups. */
    CHECK(record->bounds == 4);
    CHECK_STRING(record->bound[0].method, "one run");
    CHECK_STRING(record->bound[0].place, "teachers");
    CHECK_CONTAINS(record->bound[0].sentence, "one record added or removed");
    CHECK_CONTAINS(record->bound[1].sentence, "up to 4 equal records");
    CHECK(record->bound[0].epsilon >= 0.0 && record->bound[1].epsilon > 0.3);
    for (size_t n = 0; n < 3; n++) {
        CHECK(auc_of(record, n, "loss", "model before distilling") > 0.55);
    }
}

static const char *noise_run;

static void
features_are_ranked_by_loss(void)
{
    noise_run = make_features("noise", WITAN_CANARY_NOISE, NULL);
    witan_audit_result *result = measure(noise_run);
    if (result != NULL) {
        check_features_record(witan_audit_record_of(result));
        CHECK_CONTAINS(witan_audit_record_of(result)->how, "200 random rows");
        CHECK(!witan_audit_contradicted(result));
    }
    witan_audit_result_free(&result);
    result = measure(make_features("mislabelled", WITAN_CANARY_MISLABELLED, NULL));
    if (result != NULL) {
        check_features_record(witan_audit_record_of(result));
        CHECK_CONTAINS(witan_audit_record_of(result)->how, "wrong labels");
    }
    witan_audit_result_free(&result);
}

/* A config that claims DP-SGD of a run that had none. */
static void
false_promises_are_found_out(void)
{
    witan_audit_result *result =
        measure(make_features("lie", WITAN_CANARY_NOISE, "local.privacy.clip=1"));
    if (result == NULL) {
        return;
    }
    const witan_audit_record *record = witan_audit_record_of(result);
    CHECK(record->claims == 1 && record->claim[0].epsilon > 1.0);
    CHECK(!witan_audit_contradicted(result));
    witan_audit_result_free(&result);

    static const char *const set[] = {"local.privacy.noise=100"};
    static const uint32_t levels[] = {1};
    const run_spec spec = {.name = "greater-lie",
                           .set = set,
                           .sets = 1,
                           .lie = "local.privacy.clip=1",
                           .rounds = 1,
                           .repetitions = levels,
                           .levels = 1,
                           .per_level = 60,
                           .inclusion = 0.5,
                           .kind = WITAN_CANARY_NOISE,
                           .transfer = WITAN_TRANSFER_WITHOUT,
                           .holders = 3,
                           .seed = 8};
    result = measure(make_run(&spec));
    if (result == NULL) {
        return;
    }
    record = witan_audit_record_of(result);
    CHECK(record->claims == 1 && record->claim[0].epsilon < 0.5);
    CHECK_STRING(record->mode, "DP-SGD 100");
    CHECK(record->bounds == 2 && record->bound[0].epsilon > record->claim[0].epsilon);
    CHECK(record->claim[0].contradicted && witan_audit_contradicted(result));
    witan_audit_result_free(&result);
}

static void
shadow_models_find_members(void)
{
    witan_audit_result *result = measure_with(noise_run, 5); /* 4: halves in pairs */
    if (result == NULL) {
        return;
    }
    const witan_audit_record *record = witan_audit_record_of(result);
    double sum = 0.0;
    for (size_t n = 0; n < 3; n++) {
        sum += auc_of(record, n, "lira-online", "model") / 3.0;
        CHECK(isfinite(auc_of(record, n, "lira-offline", "model")));
        CHECK(isfinite(auc_of(record, n, "rmia-online", "model")));
    }
    CHECK(sum > 0.53);
    for (size_t i = 0; i < record->memberships; i++) {
        const witan_audit_membership *it = &record->membership[i];
        CHECK(it->points >= 2 && it->points <= 200 && it->fpr[0] == 0.0 &&
              it->tpr[it->points - 1] == 1.0 && it->fpr[it->points - 1] == 1.0);
        CHECK(strncmp(it->attack, "lira", 4) != 0 || it->references == 4);
    }
    witan_audit_result_free(&result);
}

/* --- several runs ----------------------------------------------------------------- */

static void
comparisons_know_reduction_and_cost(void)
{
    static const char *const hot[] = {"extract.temperature=20"};
    witan_audit_result *runs[3] = {
        measure(text_run), measure(make_text("hot", WITAN_TRANSFER_TEMPLATE, hot, 1)),
        NULL};
    witan_audit_result *both = NULL;
    if (runs[0] == NULL || runs[1] == NULL) {
        return;
    }
    CHECK_STATUS(witan_audit_compare(&both, (const witan_audit_result *const *)runs, 2,
                                     &settings, witan_allocator_default(), &diag),
                 WITAN_OK);
    const witan_audit_record *record = witan_audit_record_of(both);
    const witan_audit_run *plain = &record->run[0], *it = &record->run[1];
    CHECK(record->runs == 2 && record->modes == 2);
    CHECK_STRING(it->mode, "constant temperature 20");
    CHECK_STRING(it->transfer, "P1");
    CHECK(isnan(plain->reduction) && isnan(plain->cost) && it->seed == 11);
    CHECK_NEAR(
        plain->exposure,
        line_of(witan_audit_record_of(runs[0]), 1, WITAN_AUDIT_STUDENTS, 24)->mean,
        1e-12, 0.0);
    CHECK_NEAR(it->reduction,
               1.0 - (it->exposure - 1.4426950408889634) /
                         (plain->exposure - 1.4426950408889634),
               1e-9, 0.0);
    CHECK_NEAR(it->cost, (it->utility - plain->utility) / plain->utility, 1e-12, 0.0);
    CHECK(record->modes_of[1].seeds == 1 && isnan(record->modes_of[1].exposure_low));
    CHECK_NEAR(record->modes_of[1].reduction, it->reduction, 1e-12, 0.0);

    witan_failing_allocator counted;
    witan_status status = WITAN_E_MEMORY;
    for (size_t at = 1; status != WITAN_OK; at++) {
        witan_audit_result *other = NULL;
        witan_failing_allocator_init(&counted, at);
        status = witan_audit_compare(&other, (const witan_audit_result *const *)runs, 2,
                                     &settings, &counted.allocator, NULL);
        CHECK(status == WITAN_OK || (status == WITAN_E_MEMORY && other == NULL));
        witan_audit_result_free(&other);
        CHECK(counted.live == 0 && at < 1000);
    }

    bool crossed;
    char gate[64];
    (void)snprintf(gate, sizeof gate, "reduction<%.6f", it->reduction + 0.01);
    const char *const gates[] = {gate, "cost > 1000"};
    CHECK_STATUS(witan_audit_gates(both, gates, 2, &crossed, &diag), WITAN_OK);
    if (CHECK(crossed && record->crossed && record->gates == 2)) {
        CHECK_CONTAINS(record->gate[0], ": crossed (");
        CHECK_CONTAINS(record->gate[1], ": not crossed (");
    }
    witan_audit_result_free(&both);

    runs[2] = measure(noise_run);
    CHECK_STATUS(witan_audit_compare(&both, (const witan_audit_result *const *)runs + 1,
                                     2, &settings, witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK(both == NULL);
    CHECK_CONTAINS(diag.message, "cannot be compared");
    for (size_t i = 0; i < 3; i++) {
        witan_audit_result_free(&runs[i]);
    }
}

/* One canary in each of eight trainings, in or out by its coin. */
static void
two_samples_need_many_runs(void)
{
    static const uint32_t levels[] = {24};
    static const char *const set[] = {"local.epochs=1"};
    witan_audit_result *runs[8] = {NULL}, *all = NULL;
    size_t inserted = 0;
    for (size_t i = 0; i < 8; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "coin-%zu", i);
        const run_spec spec = {.name = name,
                               .text = true,
                               .set = set,
                               .sets = 1,
                               .rounds = 1,
                               .repetitions = levels,
                               .levels = 1,
                               .per_level = 1,
                               .inclusion = 0.5,
                               .transfer = WITAN_TRANSFER_TEMPLATE,
                               .holders = 1,
                               .seed = 20 + i};
        runs[i] = measure(make_run(&spec));
        inserted += witan_audit_record_of(runs[i])->repetitions[0] != 0;
    }
    CHECK(inserted >= 2 && inserted <= 6);
    CHECK_STATUS(witan_audit_compare(&all, (const witan_audit_result *const *)runs, 8,
                                     &settings, witan_allocator_default(), &diag),
                 WITAN_OK);
    const witan_audit_record *record = witan_audit_record_of(all);
    CHECK(record->bounds == 1 && record->bound[0].epsilon >= 0.0);
    CHECK_STRING(record->bound[0].method, "two samples");
    CHECK(record->modes == 1 && record->modes_of[0].seeds == 8 &&
          record->modes_of[0].exposure_low <= record->modes_of[0].exposure);
    for (size_t i = 0; i < 8; i++) {
        witan_audit_result_free(&runs[i]);
    }
    witan_audit_result_free(&all);
}

/* --- gates ------------------------------------------------------------------------ */

static void
refuses_gate(const char *text, const char *part)
{
    witan_diag wrong = {0};
    CHECK_STATUS(witan_audit_gate_check(text, &wrong), WITAN_E_CONFIG);
    CHECK_CONTAINS(wrong.message, part);
}

static void
gates_compare_and_refuse(void)
{
    refuses_gate("exposre>3", "did you mean exposure?");
    refuses_gate("exposure", "one of > >= < <=");
    refuses_gate("exposure=3", "one of > >= < <=");
    refuses_gate(">3", "one of > >= < <=");
    refuses_gate("exposure>", "is not a number");
    refuses_gate("exposure>x", "is not a number");
    refuses_gate("exposure>nan", "is not a number");
    refuses_gate("exposure>3 bits", "is not a number");
    refuses_gate("zzzzzzzzzzzz>1", "is not measured; use exposure");
    refuses_gate("a-name-that-is-far-too-long-for-any-metric>1", "one of > >= < <=");
    CHECK_STATUS(witan_audit_gate_check("tpr >= 0.05", NULL), WITAN_OK);

    static const struct {
        const char *gate;
        bool crossed;
    } cases[] = {
        {"teacher>9.9", true},  {"teacher>9.96", false}, {"teacher>=9", true},
        {"teacher<9.9", false}, {"teacher<11", true},    {"utility<=1", false},
        {"auc>0", true},        {"auc>1", false},        {"extracted>=0", true},
        {"extracted>3", false}, {"told>0.5", true},      {"exposure<0", false}};
    witan_audit_result *result = measure(text_run);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && result != NULL; i++) {
        bool crossed = !cases[i].crossed;
        CHECK_STATUS(witan_audit_gates(result, &cases[i].gate, 1, &crossed, &diag),
                     WITAN_OK);
        CHECK(crossed == cases[i].crossed);
    }
    const char *const unknown = "reduction<0.8";
    bool crossed;
    CHECK_STATUS(witan_audit_gates(result, &unknown, 1, &crossed, &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "reduction was not measured: it needs a plain run");
    witan_audit_result_free(&result);
}

int
main(void)
{
    RUN(text_tells_holders_from_students);
    RUN(the_wire_is_read_where_holes_are);
    RUN(untrained_models_show_chance);
    RUN(large_spaces_are_sampled);
    RUN(features_are_ranked_by_loss);
    RUN(false_promises_are_found_out);
    RUN(shadow_models_find_members);
    RUN(comparisons_know_reduction_and_cost);
    RUN(two_samples_need_many_runs);
    RUN(gates_compare_and_refuse);
    return witan_test_finish();
}
