/* test_canary_plant.c - canaries stand where the plan says, and nowhere else. */
#include <stdio.h>
#include <string.h>

#include "setup/canary_file.h"
#include "setup/world.h"
#include "support/witan_test.h"

static witan_config config;
static witan_world world, bare;
static witan_canary_plan plan;
static witan_diag diag;

static const uint32_t levels[] = {0, 1, 5};
static const uint32_t holders[] = {2, 0};

static const witan_allocator *
heap(void)
{
    return witan_allocator_default();
}

static void
set(const char *assignment)
{
    CHECK_STATUS(witan_config_set(&config, assignment, heap(), &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
}

static void
begin(bool text)
{
    witan_config_fini(&config, heap());
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_config_init(&config, heap()), WITAN_OK);
    set("clients=3");
    set("transfer.samples=40");
    set("data.limit=300");
    if (text) {
        set("data.format=text");
        set("data.text.window=40");
        set("models=lstm");
    }
}

/* Loads `world` and an unplanted copy. */
static void
load(void)
{
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_world_load(&world, &config, heap(), &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK_STATUS(witan_world_load(&bare, &config, heap(), &diag), WITAN_OK);
}

static void
unload(void)
{
    witan_canary_plan_fini(&plan, heap());
    witan_world_fini(&world, heap());
    witan_world_fini(&bare, heap());
    CHECK(world.planted == NULL && world.probe == NULL && world.probes == 0);
}

static witan_canary_request
request_of(witan_canary_kind kind, witan_canary_transfer transfer)
{
    return (witan_canary_request){
        .kind = kind,
        .text = kind == WITAN_CANARY_TEXT ? "my id is {d6}." : NULL,
        .repetitions = levels,
        .levels = 3,
        .per_level = 8,
        .holders = holders,
        .holders_count = 2,
        .inclusion = 0.5,
        .transfer = transfer,
        .transfer_rows = transfer == WITAN_TRANSFER_TEMPLATE   ? 30
                         : transfer == WITAN_TRANSFER_CANARIES ? 3
                                                               : 0,
        .references = 100,
        .seed = 9,
        .classes = bare.train.classes,
        .test_rows = bare.test.samples,
        .test_labels = bare.test.labels,
    };
}

static void
draw(const witan_canary_request *request)
{
    bool text = request->kind == WITAN_CANARY_TEXT;
    CHECK_STATUS(witan_canary_plan_draw(&plan, request, text ? &bare.vocabulary : NULL,
                                        heap(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
}

static witan_status
plant(void)
{
    memset(&diag, 0, sizeof diag);
    return witan_world_plant(&world, &plan, heap(), &diag);
}

static void
plant_all(witan_canary_kind kind, witan_canary_transfer transfer)
{
    begin(kind == WITAN_CANARY_TEXT);
    load();
    witan_canary_request request = request_of(kind, transfer);
    draw(&request);
    CHECK_STATUS(plant(), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(memcmp(world.planted_digest, plan.digest, sizeof plan.digest) == 0);
}

/* Windows of a part that hold `tokens` [slots]; *offset: of the last one found. */
static size_t
windows_with(const witan_part *part, const uint32_t *tokens, size_t slots)
{
    uint32_t window[64];
    size_t found = 0, length = world.train.length + 1;
    for (size_t i = 0; i < part->count; i++) {
        witan_dataset_windows(part->rows->context, part->indices + i, 1, window);
        for (size_t o = 0; o + slots <= length; o++) {
            found += memcmp(window + o, tokens, slots * sizeof *tokens) == 0;
        }
    }
    return found;
}

static size_t
planted_of(const witan_canary *canary, size_t client)
{
    return canary->inserted && canary->client == client ? canary->repetitions : 0;
}

/* A holder's part is the partition's and, behind it, its canaries. */
static void
check_private_parts(void)
{
    size_t rows = 0, inserted = 0;
    for (size_t n = 0; n < 3; n++) {
        witan_part part = witan_world_private_part(&world, n);
        witan_part before = witan_world_private_part(&bare, n);
        size_t expected = 0;
        for (size_t i = 0; i < plan.count; i++) {
            expected += planted_of(&plan.canary[i], n);
        }
        CHECK(part.count == before.count + expected);
        CHECK((world.planted[n] != NULL) == (expected > 0) &&
              world.planted_count[n] == expected);
        CHECK(memcmp(part.indices, before.indices,
                     before.count * sizeof *before.indices) == 0);
        for (size_t i = before.count; i < part.count; i++) {
            CHECK(part.indices[i] >= bare.train.samples &&
                  part.indices[i] < world.train.samples);
        }
        rows += expected;
        inserted += expected > 0;
    }
    CHECK(inserted == 2 && rows > 10); /* else the seed shows nothing */
    CHECK(world.planted_count[1] == 0);
    CHECK(world.train.samples >= bare.train.samples + rows);
}

static void
text_stands_where_it_should(void)
{
    uint32_t tokens[WITAN_CANARY_SLOTS_MAX];
    size_t slots, controls = 0, left_out = 0;
    plant_all(WITAN_CANARY_TEXT, WITAN_TRANSFER_WITHOUT);
    slots = plan.compiled.slots;
    CHECK(slots == 16);
    check_private_parts();
    for (size_t i = 0; i < plan.count; i++) {
        const witan_canary *canary = &plan.canary[i];
        witan_canary_tokens(&plan.compiled, canary->fill, tokens);
        for (size_t n = 0; n < 3; n++) {
            witan_part part = witan_world_private_part(&world, n);
            witan_part test = witan_world_own_test(&world, n);
            CHECK(windows_with(&part, tokens, slots) == planted_of(canary, n));
            CHECK(windows_with(&test, tokens, slots) == 0);
        }
        witan_part test = witan_world_global_test(&world);
        CHECK(windows_with(&world.transfer, tokens, slots) == 0 &&
              windows_with(&test, tokens, slots) == 0);
        controls += canary->repetitions == 0;
        left_out += canary->repetitions > 0 && !canary->inserted;
    }
    CHECK(controls == 8 && left_out > 0);
    CHECK(world.probes == 0 && world.planted_transfer == NULL &&
          world.transfer.count == 40 &&
          world.transfer.indices == world.partition.transfer.items);
    unload();
}

/* Around the canary every window is one of the holder's own. */
static void
windows_are_copies_of_the_holders(void)
{
    uint32_t window[64], own[64], tokens[WITAN_CANARY_SLOTS_MAX];
    size_t slots, length, at[64] = {0};
    begin(true);
    set("data.text.group=speaker"); /* labels that differ */
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_WITHOUT);
    draw(&request);
    CHECK_STATUS(plant(), WITAN_OK);
    slots = plan.compiled.slots;
    length = world.train.length + 1;
    witan_part part = witan_world_private_part(&world, 2);
    size_t before = part.count - world.planted_count[2];
    size_t number = 0, left = 0;
    for (size_t i = before; i < part.count; i++) { /* in the plan's order */
        while (left == 0) {
            left = planted_of(&plan.canary[number++], 2);
        }
        left--;
        witan_canary_tokens(&plan.compiled, plan.canary[number - 1].fill, tokens);
        witan_dataset_windows(&world.train, part.indices + i, 1, window);
        bool copied = false;
        for (size_t o = 0; o + slots <= length && !copied; o++) {
            if (memcmp(window + o, tokens, slots * sizeof *tokens) != 0) {
                continue;
            }
            for (size_t j = 0; j < before && !copied; j++) {
                witan_dataset_windows(&world.train, part.indices + j, 1, own);
                memcpy(own + o, tokens, slots * sizeof *tokens);
                copied = memcmp(own, window, length * sizeof *own) == 0 &&
                         world.train.labels[part.indices[i]] ==
                             world.train.labels[part.indices[j]];
                at[o] += copied;
            }
        }
        CHECK(copied);
    }
    size_t places = 0;
    for (size_t o = 0; o < 64; o++) {
        places += at[o] > 0;
    }
    CHECK(places > 5);
    unload();

    begin(true);
    load();
    request = request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_CANARIES);
    request.placement = WITAN_PLACE_START;
    draw(&request);
    CHECK_STATUS(plant(), WITAN_OK);
    part = witan_world_private_part(&world, 0);
    for (size_t i = part.count - world.planted_count[0]; i < part.count; i++) {
        witan_dataset_windows(&world.train, part.indices + i, 1, window);
        CHECK(window[0] == plan.compiled.slot[0].token &&
              witan_canary_symbol(&plan.compiled, 9, window[9]) < 10);
    }
    CHECK(world.probes > 0 && world.probe[0].offset == 0 &&
          world.probe[world.probes - 1].offset == 0);
    unload();
}

/* Probes are the last rows of the transfer part and hold what they are said to. */
static void
check_probes(size_t expected)
{
    uint32_t window[64], tokens[WITAN_CANARY_SLOTS_MAX];
    size_t slots = plan.compiled.slots;
    CHECK(world.probes == expected && world.transfer.count == 40 + expected &&
          world.transfer.indices == world.planted_transfer);
    CHECK(memcmp(world.transfer.indices, bare.transfer.indices,
                 40 * sizeof *bare.transfer.indices) == 0);
    for (size_t i = 0; i < world.probes; i++) {
        const witan_probe *probe = &world.probe[i];
        CHECK(probe->window == 40 + i &&
              probe->offset + slots <= world.train.length + 1);
        witan_dataset_windows(world.transfer.rows->context,
                              world.transfer.indices + probe->window, 1, window);
        for (size_t s = 0; s < slots; s++) {
            const witan_canary_slot *slot = &plan.compiled.slot[s];
            uint32_t token = window[probe->offset + s];
            CHECK(slot->alphabet == 0
                      ? token == slot->token
                      : witan_canary_symbol(&plan.compiled, s, token) < 10);
        }
        for (size_t c = 0; c < plan.count; c++) {
            witan_canary_tokens(&plan.compiled, plan.canary[c].fill, tokens);
            CHECK((memcmp(tokens, window + probe->offset, slots * sizeof *tokens) ==
                   0) == (probe->canary == c));
        }
    }
}

/* Almost all fills of a small template: none of them is a canary's, and they come from
 * the stream that the contract names. */
static void
other_fills_are_no_canaries(void)
{
    static uint32_t fills[900][3];
    uint32_t window[64], tokens[WITAN_CANARY_SLOTS_MAX];
    witan_random random;
    begin(true);
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_TEMPLATE);
    request.text = "my id is {d3}.";
    request.transfer_rows = 900;
    draw(&request);
    CHECK_STATUS(plant(), WITAN_OK);
    check_probes(900);
    witan_random_init(&random, plan.seed, WITAN_CLIENT_NONE, 1, WITAN_PURPOSE_CANARY);
    CHECK_STATUS(witan_canary_draw(*fills, 900, plan.fills, plan.count, &plan.compiled,
                                   &random, heap(), &diag),
                 WITAN_OK);
    for (size_t i = 0; i < 900; i++) {
        CHECK(world.probe[i].canary == UINT32_MAX);
        witan_dataset_windows(&world.train, world.transfer.indices + 40 + i, 1, window);
        witan_canary_tokens(&plan.compiled, fills[i], tokens);
        CHECK(memcmp(window + world.probe[i].offset, tokens,
                     plan.compiled.slots * sizeof *tokens) == 0);
    }
    unload();
}

static void
transfer_sets_show_what_the_plan_says(void)
{
    plant_all(WITAN_CANARY_TEXT, WITAN_TRANSFER_TEMPLATE);
    check_private_parts();
    check_probes(30);
    unload();
    plant_all(WITAN_CANARY_TEXT, WITAN_TRANSFER_CANARIES);
    check_private_parts();
    check_probes(3 * plan.count); /* controls too */
    CHECK(world.probe[0].canary == 0 && world.probe[2].canary == 0 &&
          world.probe[3].canary == 1);
    unload();

    /* No knowledge travels: nothing is planted in what is not there. */
    begin(true);
    set("fusion.key=local");
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_TEMPLATE);
    draw(&request);
    CHECK_STATUS(plant(), WITAN_OK);
    CHECK(world.probes == 0 && world.transfer.count == 0);
    unload();
}

static void
noise_is_planted_as_it_is_drawn(void)
{
    float features[64];
    uint32_t label;
    plant_all(WITAN_CANARY_NOISE, WITAN_TRANSFER_CANARIES);
    check_private_parts();
    CHECK(world.probes == 3 * plan.count && world.transfer.count == 40 + world.probes);
    witan_part part = witan_world_private_part(&world, 2);
    size_t at = part.count - world.planted_count[2];
    for (size_t i = 0; i < plan.count; i++) {
        witan_canary_noise_row(&plan, i, features, 64, &label);
        uint32_t probe = world.transfer.indices[40 + 3 * i + 2];
        CHECK(world.probe[3 * i + 2].canary == i &&
              world.probe[3 * i + 2].window == 40 + 3 * i + 2);
        for (size_t r = 0; r <= planted_of(&plan.canary[i], 2); r++) {
            bool last = r == planted_of(&plan.canary[i], 2);
            uint32_t row = last ? probe : part.indices[at++];
            CHECK(world.train.labels[row] == label && label == plan.canary[i].label);
            for (size_t j = 0; j < 64; j++) {
                CHECK(world.train.bytes[row * 64 + j] ==
                      (uint8_t)(features[j] * 256.0f));
            }
        }
    }
    CHECK(at == part.count);
    unload();
}

static void
mislabelled_rows_are_those_of_the_test_set(void)
{
    plant_all(WITAN_CANARY_MISLABELLED, WITAN_TRANSFER_CANARIES);
    check_private_parts();
    witan_part part = witan_world_private_part(&world, 0);
    size_t at = part.count - world.planted_count[0];
    for (size_t i = 0; i < plan.count; i++) {
        const witan_canary *canary = &plan.canary[i];
        const uint8_t *row = world.test.bytes + canary->row * 64;
        CHECK(canary->label != world.test.labels[canary->row]);
        for (size_t r = 0; r < planted_of(canary, 0); r++, at++) {
            CHECK(world.train.labels[part.indices[at]] == canary->label);
            CHECK(memcmp(world.train.bytes + part.indices[at] * 64, row, 64) == 0);
        }
        CHECK(memcmp(world.train.bytes + world.transfer.indices[40 + 3 * i] * 64, row,
                     64) == 0);
    }
    CHECK(at == part.count);
    plan.canary[3].row = world.test.samples;
    witan_world_fini(&world, heap());
    CHECK_STATUS(witan_world_load(&world, &config, heap(), &diag), WITAN_OK);
    CHECK_STATUS(plant(), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "canaries[3] is row 1797 of a test set of 1797");
    unload();
}

static void
digests(uint8_t out[2][32])
{
    witan_text text;
    witan_text_init(&text, heap(), 100);
    witan_text_add(&text, "x", 1);
    witan_world_digest(&world, &text, out[0]);
    witan_world_digest(&bare, &text, out[1]);
    witan_text_fini(&text);
}

static void
planting_is_a_function_of_the_plan(void)
{
    uint8_t one[2][32], two[2][32];
    plant_all(WITAN_CANARY_TEXT, WITAN_TRANSFER_TEMPLATE);
    digests(one);
    unload();
    plant_all(WITAN_CANARY_TEXT, WITAN_TRANSFER_TEMPLATE);
    digests(two);
    CHECK(memcmp(one, two, sizeof one) == 0);
    CHECK(memcmp(one[0], one[1], 32) != 0);
    /* Once. */
    CHECK_STATUS(plant(), WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "one was planted already");
    unload();
}

static void
refused(const witan_canary_request *request, const char *part)
{
    draw(request);
    CHECK_STATUS(plant(), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
    CHECK(world.planted == NULL && world.train.samples == bare.train.samples);
    witan_canary_plan_fini(&plan, heap());
    memset(&diag, 0, sizeof diag);
}

/* Writes canary `number` of the plan over tokens of a set, from `first` on. */
static void
hide(witan_dataset *where, size_t number, size_t first)
{
    CHECK(first + plan.compiled.slots <= where->token_count);
    witan_canary_tokens(&plan.compiled, plan.canary[number].fill,
                        where->tokens + first);
}

static void
text_that_is_there_is_refused(void)
{
    static const char *const parts[] = {
        "canaries[0] already stands in the training text",
        "canaries[23] already stands in the validation text",
        "canaries[7] already stands in the test text",
        "canaries[8] already stands in the training text",
    };
    begin(true);
    set("data.limit=0");
    for (size_t i = 0; i < 4; i++) {
        load();
        witan_canary_request request =
            request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_WITHOUT);
        draw(&request);
        CHECK(world.valid.samples > 0 && plan.count == 24);
        switch (i) {
        case 0:
            hide(&world.train, 0, 0);
            break;
        case 1:
            hide(&world.valid, 23, world.valid.token_count - plan.compiled.slots);
            break;
        case 2:
            hide(&world.test, 7, 1003);
            break;
        default: /* across two windows */
            hide(&world.train, 8, world.train.starts[5] + world.train.length - 4);
        }
        CHECK_STATUS(plant(), WITAN_E_CONFIG);
        CHECK_CONTAINS(diag.message, parts[i]);
        unload();
    }
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_WITHOUT);
    draw(&request);
    memcpy(plan.canary[5].fill, plan.canary[3].fill, 6 * sizeof(uint32_t));
    CHECK_STATUS(plant(), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "canaries[3] and canaries[5] are the same");
    unload();
}

static void
plans_of_other_worlds_are_refused(void)
{
    begin(true);
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_WITHOUT);
    request.text = "my long id is written here: {d6}, and no more";
    refused(&request, "canary template: it takes 47 tokens, a window holds 41; raise "
                      "data.text.window");
    static const uint32_t far[] = {0, 3};
    request.text = "my id is {d6}";
    request.holders = far;
    refused(&request, "client 3 holds canaries, but the experiment has clients 0 to 2");
    request = request_of(WITAN_CANARY_NOISE, WITAN_TRANSFER_WITHOUT);
    request.classes = 10;
    refused(&request, "drawn for features, the data are text");
    /* A template that fills a window whole. */
    request = request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_WITHOUT);
    request.text = "my long id is written: {d6}, no more...";
    draw(&request);
    CHECK(plan.compiled.slots == 41);
    CHECK_STATUS(plant(), WITAN_OK);
    unload();
    begin(false);
    load();
    request = request_of(WITAN_CANARY_NOISE, WITAN_TRANSFER_WITHOUT);
    request.classes = 9;
    refused(&request, "drawn for 9 classes, the data have 10");
    unload();
}

static void
sets_of_ones_own_are_planted(void)
{
    uint32_t *rows, tokens[WITAN_CANARY_SLOTS_MAX];
    size_t count;
    begin(true);
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_TEXT, WITAN_TRANSFER_CANARIES);
    draw(&request);
    CHECK_STATUS(witan_dataset_plant(&world.train, NULL, 0, &plan, 2, &rows, &count,
                                     heap(), &diag),
                 WITAN_OK);
    size_t at = 0;
    for (size_t i = 0; i < plan.count; i++) {
        witan_canary_tokens(&plan.compiled, plan.canary[i].fill, tokens);
        for (size_t r = 0; r < planted_of(&plan.canary[i], 2); r++, at++) {
            CHECK(at < count && rows[at] == bare.train.samples + at);
            witan_part one = {&world.train_rows, &rows[at], 1};
            CHECK(windows_with(&one, tokens, plan.compiled.slots) == 1);
        }
    }
    CHECK(at == count && count > 0 &&
          world.train.samples == bare.train.samples + count);
    witan_free(heap(), rows);
    /* What stands there now is not planted over. */
    CHECK_STATUS(witan_dataset_plant(&world.train, NULL, 0, &plan, 2, &rows, &count,
                                     heap(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "already stands in the client's text");
    CHECK(rows == NULL && count == 0);
    /* Nothing for one that holds none. */
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_dataset_plant(&bare.train, NULL, 0, &plan, 1, &rows, &count,
                                     heap(), &diag),
                 WITAN_OK);
    CHECK(count == 0);
    witan_free(heap(), rows);
    unload();
    begin(false);
    load();
    request = request_of(WITAN_CANARY_MISLABELLED, WITAN_TRANSFER_WITHOUT);
    draw(&request);
    CHECK_STATUS(witan_dataset_plant(&world.train, NULL, 0, &plan, 2, &rows, &count,
                                     heap(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "draw a plan with --input noise");
    unload();
}

/* Noise of numbers lies in each feature's range, and the range is that of the rows. */
static void
noise_of_numbers_keeps_to_their_range(void)
{
    static const float values[] = {-1.0f, 100.0f, 3.0f, 300.0f, 1.0f, 150.0f};
    static const uint32_t labels[] = {0, 1, 0};
    witan_dataset table = {0};
    uint32_t *rows;
    size_t count;
    table.samples = 3;
    table.height = table.width = 1;
    table.channels = 2;
    table.classes = 2;
    table.values = witan_alloc(heap(), 6, sizeof(float));
    table.labels = witan_alloc(heap(), 3, sizeof(uint32_t));
    memcpy(table.values, values, sizeof values);
    memcpy(table.labels, labels, sizeof labels);
    table.row_room = 3;
    begin(false);
    load();
    witan_canary_request request =
        request_of(WITAN_CANARY_NOISE, WITAN_TRANSFER_WITHOUT);
    request.classes = 2;
    request.inclusion = 1.0;
    draw(&request);
    CHECK_STATUS(
        witan_dataset_plant(&table, NULL, 0, &plan, 0, &rows, &count, heap(), &diag),
        WITAN_OK);
    CHECK(count == 24 && table.samples == 27);
    float low = 9.0f, high = -9.0f;
    for (size_t i = 3; i < table.samples; i++) {
        float x = table.values[2 * i], y = table.values[2 * i + 1];
        CHECK(x >= -1.0f && x <= 3.0f && y >= 100.0f && y <= 300.0f);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    CHECK(low < 0.0f && high > 2.0f);
    witan_free(heap(), rows);
    witan_dataset_fini(&table, heap());
    unload();
}

static void
failing_allocations_leave_nothing(witan_canary_kind kind,
                                  witan_canary_transfer transfer)
{
    witan_status status = WITAN_E_MEMORY;
    size_t failures = 0;
    begin(kind == WITAN_CANARY_TEXT);
    CHECK_STATUS(witan_world_load(&bare, &config, heap(), &diag), WITAN_OK);
    witan_canary_request request = request_of(kind, transfer);
    draw(&request);
    witan_world_fini(&bare, heap());
    for (size_t fail_at = 1; status != WITAN_OK; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, 0);
        CHECK_STATUS(witan_world_load(&world, &config, &failing.allocator, &diag),
                     WITAN_OK);
        failing.fail_at = failing.allocations + fail_at;
        memset(&diag, 0, sizeof diag);
        status = witan_world_plant(&world, &plan, &failing.allocator, &diag);
        if (status != WITAN_OK) {
            failures++;
            CHECK_STATUS(status, WITAN_E_MEMORY);
            CHECK(diag.message[0] != '\0');
        }
        witan_world_fini(&world, &failing.allocator);
        CHECK(failing.live == 0);
    }
    CHECK(failures >= 8);
    witan_canary_plan_fini(&plan, heap());
}

static void
failing_allocations_in_text(void)
{
    failing_allocations_leave_nothing(WITAN_CANARY_TEXT, WITAN_TRANSFER_TEMPLATE);
}

static void
failing_allocations_in_features(void)
{
    failing_allocations_leave_nothing(WITAN_CANARY_NOISE, WITAN_TRANSFER_CANARIES);
}

int
main(void)
{
    RUN(text_stands_where_it_should);
    RUN(windows_are_copies_of_the_holders);
    RUN(other_fills_are_no_canaries);
    RUN(transfer_sets_show_what_the_plan_says);
    RUN(noise_is_planted_as_it_is_drawn);
    RUN(mislabelled_rows_are_those_of_the_test_set);
    RUN(planting_is_a_function_of_the_plan);
    RUN(text_that_is_there_is_refused);
    RUN(plans_of_other_worlds_are_refused);
    RUN(sets_of_ones_own_are_planted);
    RUN(noise_of_numbers_keeps_to_their_range);
    RUN(failing_allocations_in_text);
    RUN(failing_allocations_in_features);
    witan_config_fini(&config, heap());
    return witan_test_finish();
}
