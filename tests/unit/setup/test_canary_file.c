/* test_canary_file.c - a plan comes back from its file, and only as it was drawn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "setup/canary_file.h"
#include "support/witan_test.h"

static witan_vocabulary characters, words;
static char json[1 << 16]; /* of the last plan written */

static const witan_allocator *
heap(void)
{
    return witan_allocator_default();
}

static const uint32_t levels[] = {0, 1, 4, 16};
static const uint32_t holders[] = {3, 1};
static const uint32_t test_labels[200] = {0};

static witan_canary_request
request_of(witan_canary_kind kind)
{
    return (witan_canary_request){
        .kind = kind,
        .text = kind == WITAN_CANARY_TEXT ? "my \"id\" is {d3}-{a1}" : NULL,
        .repetitions = levels,
        .levels = 4,
        .per_level = 3,
        .holders = holders,
        .holders_count = 2,
        .inclusion = 0.5,
        .placement = WITAN_PLACE_START,
        .transfer = WITAN_TRANSFER_CANARIES,
        .transfer_rows = 2,
        .references = 100,
        .seed = UINT64_MAX,
        .classes = 10,
        .test_rows = 200,
        .test_labels = test_labels,
    };
}

static const witan_vocabulary *
vocabulary_of(witan_canary_kind kind)
{
    return kind == WITAN_CANARY_TEXT ? &characters : NULL;
}

/* Draws a plan and writes it to `json`. */
static void
draw(witan_canary_plan *out, const witan_canary_request *request,
     const witan_vocabulary *vocabulary)
{
    witan_diag diag = {0};
    witan_text text;
    CHECK_STATUS(witan_canary_plan_draw(out, request, vocabulary, heap(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    witan_text_init(&text, heap(), sizeof json - 1);
    witan_canary_plan_write(out, vocabulary, &text);
    CHECK_STATUS(text.status, WITAN_OK);
    memcpy(json, text.data, text.length + 1);
    witan_text_fini(&text);
}

static void
check_same(const witan_canary_plan *a, const witan_canary_plan *b)
{
    CHECK(a->kind == b->kind && a->classes == b->classes && a->seed == b->seed &&
          a->inclusion == b->inclusion && a->placement == b->placement &&
          a->transfer == b->transfer && a->transfer_rows == b->transfer_rows &&
          a->references == b->references && a->count == b->count);
    CHECK_STRING(a->text, b->text);
    CHECK(memcmp(a->vocabulary, b->vocabulary, sizeof a->vocabulary) == 0 &&
          memcmp(a->digest, b->digest, sizeof a->digest) == 0);
    CHECK(a->holders_count == b->holders_count &&
          memcmp(a->holders, b->holders, a->holders_count * sizeof *a->holders) == 0);
    CHECK(a->compiled.slots == b->compiled.slots &&
          a->compiled.holes == b->compiled.holes);
    for (size_t i = 0; i < a->count; i++) {
        const witan_canary *x = &a->canary[i], *y = &b->canary[i];
        CHECK(x->repetitions == y->repetitions && x->inserted == y->inserted &&
              x->client == y->client && x->row == y->row && x->label == y->label);
        CHECK(a->compiled.holes == 0 ||
              memcmp(x->fill, y->fill, a->compiled.holes * sizeof *x->fill) == 0);
    }
}

static void
check_round_trip(const witan_canary_request *request,
                 const witan_vocabulary *vocabulary)
{
    witan_canary_plan drawn, read;
    witan_diag diag = {0};
    witan_text again;
    draw(&drawn, request, vocabulary);
    CHECK_STATUS(witan_canary_plan_read(&read, json, strlen(json), "plan.json",
                                        vocabulary, heap(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    check_same(&drawn, &read);
    witan_text_init(&again, heap(), sizeof json);
    witan_canary_plan_write(&read, vocabulary, &again);
    CHECK_STRING(again.data, json);
    witan_text_fini(&again);
    witan_canary_plan_fini(&drawn, heap());
    witan_canary_plan_fini(&read, heap());
}

static void
plans_come_back(void)
{
    for (int kind = 0; kind < 3; kind++) {
        witan_canary_request request = request_of((witan_canary_kind)kind);
        check_round_trip(&request, vocabulary_of((witan_canary_kind)kind));
        request.transfer = WITAN_TRANSFER_WITHOUT;
        request.transfer_rows = 0;
        request.placement = WITAN_PLACE_UNIFORM;
        request.inclusion = 1.0 / 3.0;
        request.seed = 0;
        check_round_trip(&request, vocabulary_of((witan_canary_kind)kind));
    }
    witan_canary_request request = request_of(WITAN_CANARY_TEXT);
    request.text = "the river {w:2}, {w:1}";
    request.transfer = WITAN_TRANSFER_TEMPLATE;
    check_round_trip(&request, &words);
    CHECK_CONTAINS(json, "\"unit\": \"word\"");
}

static void
names_are_those_of_the_file(void)
{
    CHECK_STRING(witan_canary_kind_name(WITAN_CANARY_MISLABELLED), "mislabelled");
    CHECK_STRING(witan_canary_placement_name(WITAN_PLACE_START), "start");
    CHECK_STRING(witan_canary_transfer_name(WITAN_TRANSFER_TEMPLATE), "template");
    CHECK(witan_canary_kind_name((witan_canary_kind)3) == NULL &&
          witan_canary_placement_name((witan_canary_placement)2) == NULL &&
          witan_canary_transfer_name((witan_canary_transfer)3) == NULL);
}

static void
refused(const char *text, size_t size, const witan_vocabulary *vocabulary,
        const char *part)
{
    witan_canary_plan read;
    witan_diag diag = {0};
    CHECK_STATUS(witan_canary_plan_read(&read, text, size, "plan.json", vocabulary,
                                        heap(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
    CHECK_CONTAINS(diag.message, "plan.json: ");
    CHECK(read.canary == NULL && read.holders == NULL && read.compiled.sets == NULL);
}

/* `json` with the first `old` replaced. */
static void
spoiled(const witan_vocabulary *vocabulary, const char *old, const char *new,
        const char *part)
{
    static char changed[sizeof json + 256];
    const char *at = strstr(json, old);
    CHECK(at != NULL);
    if (at != NULL) {
        int size = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - json), json,
                            new, at + strlen(old));
        refused(changed, (size_t)size, vocabulary, part);
    }
}

static void
what_is_no_plan_is_refused(void)
{
    static const char *const texts[] = {
        "", "{", "[]", "{} {}", "null", "{\"a\": 1}", "{\"witan_canary_plan\": \"1\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        refused(texts[i], strlen(texts[i]), &characters, "not a canary plan");
    }
    refused("{\"witan_canary_plan\": 1}\0", 26, &characters, "not a canary plan");
    refused("{\"witan_canary_plan\": 2}", 24, &characters,
            "witan_canary_plan: version 2; this program reads version 1");
    refused("{\"witan_canary_plan\": 1}", 24, &characters, "kind: must be a text");
    witan_canary_plan read;
    CHECK_STATUS(witan_canary_plan_read(&read, json, WITAN_CANARY_PLAN_BYTES_MAX + 1,
                                        "plan.json", NULL, heap(), NULL),
                 WITAN_E_LIMIT);
}

/* Whatever stands in the file, changing it is found out. */
static void
tampering_is_refused(void)
{
    witan_canary_request request = request_of(WITAN_CANARY_TEXT);
    witan_canary_plan plan;
    const witan_vocabulary *v = &characters;
    static const char changed[] = "the plan was changed after it was drawn";
    request.inclusion = 1.0;
    draw(&plan, &request, v);
    witan_canary_plan_fini(&plan, heap());
    spoiled(v, "\"seed\": \"18446744073709551615\"", "\"seed\": \"7\"", changed);
    spoiled(v, "\"seed\": \"", "\"seed\": \"9", "seed: must be a text with");
    spoiled(v, "\"inclusion\": 1", "\"inclusion\": 0.5", changed);
    spoiled(v, "\"inclusion\": 1", "\"inclusion\": 0", "inclusion: must be a number");
    spoiled(v, "\"inclusion\": 1", "\"inclusion\": 1.5", "inclusion: must be a number");
    spoiled(v, "\"placement\": \"start\"", "\"placement\": \"uniform\"", changed);
    spoiled(v, "\"placement\": \"start\"", "\"placement\": \"end\"",
            "placement: unknown word \"end\"");
    spoiled(v, "\"transfer\": \"canaries\"", "\"transfer\": \"template\"", changed);
    spoiled(v, "\"transfer_rows\": 2", "\"transfer_rows\": 3", changed);
    spoiled(v, "\"transfer_rows\": 2", "\"transfer_rows\": 0",
            "transfer_rows: must be at least 1");
    spoiled(v, "\"transfer_rows\": 2", "\"transfer_rows\": 2.5",
            "transfer_rows: must be a whole number from 0 to 10000000");
    spoiled(v, "\"transfer_rows\": 2", "\"transfer_rows\": 1e300",
            "transfer_rows: must");
    spoiled(v, "\"references\": 100", "\"references\": 101", changed);
    spoiled(v, "\"references\": 100", "\"references\": 0", "references: must be at");
    spoiled(v, "\"holders\": [3, 1]", "\"holders\": [1, 3]", changed);
    spoiled(v, "\"holders\": [3, 1]", "\"holders\": [3, 1, 3]", "3 stands there twice");
    spoiled(v, "\"holders\": [3, 1]", "\"holders\": [3, 2]", "is none of the holders");
    spoiled(v, "\"holders\": [3, 1]", "\"holders\": []", "with at least one item");
    spoiled(v, "\"holders\": [3, 1]", "\"holders\": [3, 100000]", "holders: must be");
    spoiled(v, "\"repetitions\": 4", "\"repetitions\": 5", changed);
    spoiled(v, "\"repetitions\": 4", "\"repetitions\": -4",
            "canaries[6].repetitions: must be a whole number");
    spoiled(v, "\"repetitions\": 4", "\"repetitions\": 10000000",
            "canaries: 10000059 repetitions, at most 10000000");
    spoiled(v, "\"inserted\": true", "\"inserted\": false", changed);
    spoiled(v, "\"inserted\": false", "\"inserted\": true",
            "canaries[0].inserted: a control");
    spoiled(v, "\"inserted\": true", "\"inserted\": 1",
            "inserted: must be true or false");
    spoiled(v, "\"client\": 1", "\"client\": 3", changed);
    spoiled(v, "\"template\": \"my \\\"id\\\" is {d3}-{a1}\"",
            "\"template\": \"my \\\"id\\\" is: {d3}-{a1}\"", changed);
    spoiled(v, "{d3}-{a1}", "{d3}-{a2}", "space: the template has 676000 fills");
    spoiled(v, "{d3}-{a1}", "{d3}-{x1}", "template: canary template, column");
    spoiled(v, "\"space\": 26000", "\"space\": 26001", "space: the template has 26000");
    spoiled(v, "\"unit\": \"character\"", "\"unit\": \"word\"",
            "drawn for tokens of one word each");
    spoiled(v, "\"vocabulary\": \"", "\"vocabulary\": \"0",
            "vocabulary: the plan was drawn for another vocabulary");
    spoiled(v, "\"digest\": \"", "\"digest\": \"0", changed);
    spoiled(v, "\"digest\": \"", "\"digets\": \"", "digets: a plan has no such member");
    spoiled(v, "\"seed\": ", "\"seed\": \"1\", \"seed\": ", "seed: given twice");
    spoiled(v, "  \"references\": 100,\n", "", "references: is missing");
    spoiled(v, "\"kind\": \"text\"", "\"kind\": \"noise\"", "need data of features");
    spoiled(v, "\"client\": 1, ", "\"client\": 1, \"more\": 1, ",
            "canaries[1].more: a plan has no such member");
    spoiled(v, "{\"repetitions\": 0, ", "3, {\"repetitions\": 0, ",
            "canaries[0].: must be an object");
}

static void
fills_must_fill_the_template(void)
{
    char fill[64];
    witan_canary_request request = request_of(WITAN_CANARY_TEXT);
    witan_canary_plan plan;
    draw(&plan, &request, &characters);
    witan_canary_plan_fini(&plan, heap());
    const char *at = strstr(json, "\"fill\": \"");
    CHECK(at != NULL);
    (void)snprintf(fill, sizeof fill, "%.13s", at); /* "fill": "1234 */
    static const struct {
        const char *fill, *part;
    } cases[] = {
        {"\"fill\": \"12", "does not fill the template"},
        {"\"fill\": \"12ab", "\"12ab\" does not fill the template my \"id\" is"},
        {"\"fill\": \"\\u0031\\u0000", "does not fill the template"},
        {"\"fill\": \"1234", "does not fill the template"},
        {"\"fill\": \"123ab", "\"123ab\" is too long for the template"},
        {"\"fill\": \"123 ", "does not fill the template"},
        {"\"fill\": \"\xc3\xa9"
         "23a",
         "does not fill the template"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spoiled(&characters, fill, cases[i].fill, cases[i].part);
    }
    request.text = "river {w:3}";
    draw(&plan, &request, &words);
    witan_canary_plan_fini(&plan, heap());
    at = strstr(json, "\"fill\": \"");
    CHECK(at != NULL);
    (void)snprintf(fill, sizeof fill, "%.*s", (int)(strcspn(at, "}")), at);
    spoiled(&words, fill, "\"fill\": \"river the\"", "does not fill");
    spoiled(&words, fill, "\"fill\": \"river  the stone\"", "does not fill");
    spoiled(&words, fill, "\"fill\": \" river the stone\"", "does not fill");
    spoiled(&words, fill, "\"fill\": \"river the stone \"", "too long");
    spoiled(&words, fill, "\"fill\": \"river the stone the\"", "too long");
    spoiled(&words, fill, "\"fill\": \"river the unheard\"", "does not fill");
    spoiled(&words, fill, "\"fill\": \"river the ,\"", "does not fill");
}

static void
plans_of_features_are_checked(void)
{
    witan_canary_request request = request_of(WITAN_CANARY_MISLABELLED);
    witan_canary_plan plan;
    draw(&plan, &request, NULL);
    witan_canary_plan_fini(&plan, heap());
    refused(json, strlen(json), &characters, "need data of features");
    spoiled(NULL, "\"classes\": 10", "\"classes\": 1", "classes: must be at least 2");
    spoiled(NULL, "\"classes\": 10", "\"classes\": 11", "the plan was changed");
    spoiled(NULL, "\"row\": ", "\"row\": 3", "the plan was changed");
    spoiled(NULL, "\"row\": ", "\"row\": -", "canaries[0].row: must be a whole");
    spoiled(NULL, "\"label\": ", "\"label\": 1", "label: must be a whole number");
    spoiled(NULL, "\"transfer\": \"canaries\"", "\"transfer\": \"template\"",
            "canaries of features have no template");
    request = request_of(WITAN_CANARY_TEXT);
    draw(&plan, &request, &characters);
    witan_canary_plan_fini(&plan, heap());
    refused(json, strlen(json), NULL, "need data of text");
    refused(json, strlen(json), &words, "drawn for tokens of one character each");
}

/* Order of members and white space are a person's. */
static void
layout_is_free(void)
{
    witan_canary_request request = request_of(WITAN_CANARY_NOISE);
    static char loose[sizeof json];
    witan_canary_plan drawn, read;
    size_t length = 0;
    draw(&drawn, &request, NULL);
    for (const char *c = json; *c != '\0'; c++) {
        if (*c != '\n' && *c != ' ') {
            loose[length++] = *c;
        }
    }
    loose[length++] = '\n';
    CHECK_STATUS(
        witan_canary_plan_read(&read, loose, length, "plan.json", NULL, heap(), NULL),
        WITAN_OK);
    check_same(&drawn, &read);
    witan_canary_plan_fini(&read, heap());
    witan_canary_plan_fini(&drawn, heap());
}

static void
failing_allocations_leave_nothing(void)
{
    witan_canary_request request = request_of(WITAN_CANARY_TEXT);
    witan_canary_plan plan;
    witan_status status = WITAN_E_MEMORY;
    size_t failures = 0;
    draw(&plan, &request, &characters);
    witan_canary_plan_fini(&plan, heap());
    for (size_t fail_at = 1; status != WITAN_OK; fail_at++) {
        witan_failing_allocator failing;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, fail_at);
        status = witan_canary_plan_read(&plan, json, strlen(json), "plan.json",
                                        &characters, &failing.allocator, &diag);
        if (status != WITAN_OK) {
            failures++;
            CHECK_STATUS(status, WITAN_E_MEMORY);
            CHECK_CONTAINS(diag.message, "out of memory");
        } else {
            witan_canary_plan_fini(&plan, &failing.allocator);
        }
        CHECK(failing.live == 0);
    }
    CHECK(failures >= 5);
}

int
main(void)
{
    static const char text[] = "my \"id\" is: 0123456789-abcdefghijklmnopqrstuvwxyz\n";
    static const char prose[] = "the river runs, the stone stays, the bird's song ends";
    CHECK_STATUS(witan_vocabulary_make(&characters, WITAN_TEXT_CHARACTER, text,
                                       sizeof text - 1, 256, heap(), NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_vocabulary_make(&words, WITAN_TEXT_WORD, prose, sizeof prose - 1,
                                       256, heap(), NULL),
                 WITAN_OK);
    RUN(plans_come_back);
    RUN(names_are_those_of_the_file);
    RUN(what_is_no_plan_is_refused);
    RUN(tampering_is_refused);
    RUN(fills_must_fill_the_template);
    RUN(plans_of_features_are_checked);
    RUN(layout_is_free);
    RUN(failing_allocations_leave_nothing);
    witan_vocabulary_fini(&characters, heap());
    witan_vocabulary_fini(&words, heap());
    return witan_test_finish();
}
