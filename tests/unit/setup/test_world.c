/* test_world.c - an experiment's data as everybody in it sees them. */
#include <stdio.h>
#include <string.h>

#include "data/package.h"
#include "setup/setup.h"
#include "setup/world.h"
#include "support/witan_test.h"

static witan_config config;
static witan_world world, other;
static witan_diag diag;

static void
set(const char *assignment)
{
    witan_diag wrong = {0};
    CHECK_STATUS(
        witan_config_set(&config, assignment, witan_allocator_default(), &wrong),
        WITAN_OK);
    CHECK_STRING(wrong.message, "");
}

/* Starts every case from the same small experiment. */
static void
reset(void)
{
    witan_config_fini(&config, witan_allocator_default());
    CHECK_STATUS(witan_config_init(&config, witan_allocator_default()), WITAN_OK);
    set("clients=4");
    set("data.limit=400");
    set("transfer.samples=50");
    memset(&diag, 0, sizeof diag);
}

static witan_status
load(witan_world *out)
{
    return witan_world_load(out, &config, witan_allocator_default(), &diag);
}

static void
unload(witan_world *it)
{
    witan_world_fini(it, witan_allocator_default());
    CHECK(it->train.samples == 0 && it->test_order == NULL && it->strategy == NULL);
    witan_world_fini(it, witan_allocator_default());
}

/* A public set of `rows` images of height x 8 without labels; its path is set. */
static void
write_second(uint8_t rows, uint8_t height)
{
    static uint8_t bytes[16 + 255 * 64];
    const uint8_t header[16] = {0, 0, 8, 3, 0, 0, 0, rows, 0, 0, 0, height, 0, 0, 0, 8};
    char assignment[1024] = "transfer.path=";
    memcpy(bytes, header, sizeof header);
    for (size_t i = sizeof header; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 % 17);
    }
    witan_test_write(witan_test_path("train-images-idx3-ubyte"), bytes,
                     sizeof header + (size_t)rows * height * 8);
    strncat(assignment, witan_test_directory(), 1000);
    set(assignment);
}

static void
parts_are_those_of_the_partition(void)
{
    reset();
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK_CONTAINS(world.summary, "optdigits");
    CHECK(world.strategy == witan_fusion_strategies()[config.fusion.key]);
    CHECK(world.partition.clients == 4 && world.second.samples == 0);
    CHECK(world.transfer.rows == &world.train_rows && world.transfer.count == 50 &&
          world.transfer.indices == world.partition.transfer.items);
    CHECK(world.train_rows.context == &world.train &&
          world.test_rows.context == &world.test);
    for (size_t n = 0; n < 4; n++) {
        witan_part held = witan_world_private_part(&world, n),
                   test = witan_world_own_test(&world, n);
        CHECK(held.rows == &world.train_rows && test.rows == &world.train_rows);
        CHECK(held.indices == world.partition.train[n].items && held.count > 0 &&
              held.count == world.partition.train[n].count);
        CHECK(test.indices == world.partition.test[n].items && test.count > 0 &&
              test.count == world.partition.test[n].count);
    }
    witan_part global = witan_world_global_test(&world);
    CHECK(global.rows == &world.test_rows && global.count == world.test.samples);
    CHECK(global.indices[0] == 0 && global.indices[global.count - 1] == 1796);

    /* Rows come through the part as through the set. */
    float x[2][64];
    uint32_t labels[2];
    global.rows->gather(global.rows->context, global.indices + 9, 1, x[0], &labels[0]);
    witan_dataset_gather(&world.test, (uint32_t[]){9}, 1, x[1], &labels[1]);
    CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0 && labels[0] == labels[1]);
    unload(&world);
}

static void
own_test_parts_may_be_global(void)
{
    reset();
    set("data.own_test.source=global");
    CHECK_STATUS(load(&world), WITAN_OK);
    witan_part test = witan_world_own_test(&world, 3);
    CHECK(test.rows == &world.test_rows && test.count > 0);
    CHECK(test.indices == world.partition.test[3].items);
    unload(&world);
}

static void
second_set_is_the_transfer_set(void)
{
    reset();
    write_second(60, 8);
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(world.second.samples == 60 && world.partition.transfer.count == 0);
    CHECK(world.transfer.rows == &world.second_rows && world.transfer.count == 50);
    CHECK(world.second_rows.context == &world.second);
    CHECK(world.transfer.indices[0] == 0 && world.transfer.indices[49] == 49);
    CHECK(world.second.scale[0] == world.train.scale[0] &&
          world.second.shift[0] == world.train.shift[0]);
    unload(&world);

    set("transfer.samples=0"); /* all of it */
    set("data.standardise=false");
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK(world.transfer.count == 60 && world.second.shift[0] == 0.0f);
    unload(&world);

    set("fusion.key=local"); /* no knowledge, no transfer set */
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK(world.second.samples == 0 && world.transfer.count == 0 &&
          world.transfer.rows == NULL);
    unload(&world);
}

static void
refuses(witan_status status, const char *part)
{
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(load(&world), status);
    CHECK_CONTAINS(diag.message, part);
    CHECK(world.train.samples == 0 && world.partition.rows == NULL &&
          world.transfer.rows == NULL);
}

static void
impossible_transfer_sets_are_refused(void)
{
    reset();
    write_second(49, 8);
    refuses(WITAN_E_CONFIG, "50 are asked of the 49 rows");
    write_second(60, 7);
    refuses(WITAN_E_DATA, "rows of 7x8x1 do not fit the 8x8x1");
    set("transfer.path=");
    set("transfer.samples=0");
    refuses(WITAN_E_CONFIG, "strategy knfu needs a transfer set of at least 1 row");
    set("transfer.path=/no/such/place");
    refuses(WITAN_E_IO, "/no/such/place");
}

/* What a client unpacks is what the simulator would have shown it. */
static void
check_package(void)
{
    static float expected[50 * 64], actual[50 * 64];
    const witan_allocator *heap = witan_allocator_default();
    witan_part part;
    witan_dataset read;
    uint8_t *bytes;
    size_t size;
    CHECK_STATUS(load(&world), WITAN_OK);
    part = world.transfer;
    CHECK_STATUS(witan_world_package(&bytes, &size, &world, heap, &diag), WITAN_OK);
    CHECK_STATUS(witan_package_read(&read, bytes, size, heap, &diag), WITAN_OK);
    CHECK(read.samples == 50 && read.classes == 10 && part.count == 50);
    part.rows->gather(part.rows->context, part.indices, 50, expected, NULL);
    witan_dataset_gather(&read, other.test_order, 50, actual, NULL);
    CHECK(memcmp(expected, actual, sizeof actual) == 0);
    witan_dataset_fini(&read, heap);
    witan_free(heap, bytes);
    unload(&world);
}

static void
package_holds_the_transfer_set(void)
{
    uint8_t *bytes;
    size_t size;
    reset();
    CHECK_STATUS(load(&other), WITAN_OK); /* for its order 0, 1, 2, ... */
    check_package();
    write_second(60, 8);
    check_package();
    set("fusion.key=local");
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK_STATUS(
        witan_world_package(&bytes, &size, &world, witan_allocator_default(), NULL),
        WITAN_E_CONFIG);
    CHECK(bytes == NULL);
    unload(&world);
    unload(&other);
}

static void
digest_of(uint8_t out[32], const char *text)
{
    witan_text written;
    witan_text_init(&written, witan_allocator_default(), 100);
    witan_text_add(&written, text, strlen(text));
    CHECK_STATUS(load(&other), WITAN_OK);
    witan_world_digest(&other, &written, out);
    witan_text_fini(&written);
    unload(&other);
}

static void
digest_covers_config_data_and_partition(void)
{
    uint8_t one[32], two[32];
    reset();
    digest_of(one, "config");
    digest_of(two, "config");
    CHECK(memcmp(one, two, 32) == 0);
    digest_of(two, "Config");
    CHECK(memcmp(one, two, 32) != 0);
    set("seed=2");
    digest_of(two, "config");
    CHECK(memcmp(one, two, 32) != 0);
    /* Another second set, the same partition. */
    write_second(60, 8);
    digest_of(one, "config");
    write_second(61, 8);
    digest_of(two, "config");
    CHECK(memcmp(one, two, 32) != 0);
}

static void
failing_allocations_leave_nothing(void)
{
    witan_status status = WITAN_E_MEMORY;
    size_t failures = 0;
    reset();
    write_second(60, 8);
    for (size_t fail_at = 1; status != WITAN_OK; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        memset(&diag, 0, sizeof diag);
        status = witan_world_load(&world, &config, &failing.allocator, &diag);
        if (status != WITAN_OK) {
            failures++;
            CHECK_STATUS(status, WITAN_E_MEMORY);
            CHECK(diag.message[0] != '\0');
        } else {
            witan_world_fini(&world, &failing.allocator);
        }
        CHECK(failing.live == 0);
    }
    CHECK(failures > 10);
}

/* Text: windows as rows, a part for audits, a vocabulary that a second text is read
 * with, and a package that clients read back. */
static void
text_is_a_world_too(void)
{
    const witan_allocator *heap = witan_allocator_default();
    char assignment[1200];
    reset();
    set("data.format=text");
    set("data.text.window=16");
    set("data.text.group=speaker");
    set("data.partition.key=natural");
    set("models=gru(4)");
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK_CONTAINS(world.summary, "Shakespeare");
    witan_input input = witan_world_input(&world);
    CHECK(input.length == 16 && input.outputs == world.vocabulary.count);
    CHECK(world.train_rows.windows != NULL && world.valid.samples > 0);
    witan_part valid = witan_world_validation(&world);
    CHECK(valid.count == world.valid.samples && valid.rows == &world.valid_rows);
    for (size_t n = 0; n < 4; n++) { /* whole speakers: nobody is in two parts */
        witan_part held = witan_world_private_part(&world, n);
        CHECK(held.count > 0);
        for (size_t m = 0; m < n; m++) {
            witan_part theirs = witan_world_private_part(&world, m);
            CHECK(world.train.labels[held.indices[0]] !=
                  world.train.labels[theirs.indices[0]]);
        }
    }
    uint8_t *package, first[32], second[32];
    size_t size;
    witan_dataset back;
    uint32_t mine[17], theirs[17];
    CHECK_STATUS(witan_world_package(&package, &size, &world, heap, &diag), WITAN_OK);
    CHECK_STATUS(witan_package_read(&back, package, size, heap, &diag), WITAN_OK);
    CHECK(back.samples == 50 && back.vocabulary == input.outputs);
    witan_dataset_windows(&back, (uint32_t[]){7}, 1, mine);
    world.transfer.rows->windows(world.transfer.rows->context,
                                 world.transfer.indices + 7, 1, theirs);
    CHECK(memcmp(mine, theirs, sizeof mine) == 0);
    witan_dataset_fini(&back, heap);
    witan_free(heap, package);

    witan_text identity;
    witan_text_init(&identity, heap, 1 << 20);
    witan_world_digest(&world, &identity, first);
    unload(&world);

    /* A second text, read with the first one's vocabulary. */
    char text[3000];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = "to be or not \n"[i % 14];
    }
    memcpy(text + 20, "\xc3\xa9", 2); /* which Shakespeare does not have */
    witan_test_write(witan_test_path("public.txt"), text, sizeof text);
    (void)snprintf(assignment, sizeof assignment, "transfer.path=%s",
                   witan_test_path("public.txt"));
    set(assignment);
    CHECK_STATUS(load(&world), WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(world.second.samples > 100 && world.transfer.rows == &world.second_rows);
    CHECK(world.second.vocabulary == world.train.vocabulary);
    witan_dataset_windows(&world.second, (uint32_t[]){1}, 1, mine);
    CHECK(mine[4] == 0 && mine[3] != 0); /* <unk> at the 20th character */
    witan_world_digest(&world, &identity, second);
    CHECK(memcmp(first, second, sizeof first) != 0);
    witan_text_fini(&identity);
    unload(&world);

    /* Protection that looks at digits needs digits; a density needs distances. */
    set("swing.density=3");
    CHECK_STATUS(load(&world), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "swing.density");
    reset();
    set("swing.rules=true");
    CHECK_STATUS(load(&world), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "swing.rules");
}

int
main(void)
{
    RUN(parts_are_those_of_the_partition);
    RUN(own_test_parts_may_be_global);
    RUN(second_set_is_the_transfer_set);
    RUN(impossible_transfer_sets_are_refused);
    RUN(package_holds_the_transfer_set);
    RUN(digest_covers_config_data_and_partition);
    RUN(failing_allocations_leave_nothing);
    RUN(text_is_a_world_too);
    witan_config_fini(&config, witan_allocator_default());
    return witan_test_finish();
}
