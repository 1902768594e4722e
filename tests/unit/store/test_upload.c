/* Files of uploads: resumed after a restart, bound to their digest, whole or absent. */
#include "ledger_support.h"

#include <unistd.h>

enum {
    TOTAL = 200001,
    CHUNK = 65536
};

static const witan_peer sender = {.seat = 12};

/* Appends from `from` to `to` in chunks. */
static void
append(witan_ledger *ledger, const witan_upload_row *row, const uint8_t *payload,
       size_t from, size_t to)
{
    while (from < to) {
        size_t size = to - from < CHUNK ? to - from : CHUNK;
        CHECK_STATUS(witan_upload_append(ledger, row, from, payload + from, size, NULL),
                     WITAN_OK);
        from += size;
    }
}

static uint64_t
have(witan_ledger *ledger, const witan_upload_row *row)
{
    uint64_t bytes = 99;
    CHECK_STATUS(witan_upload_have(ledger, row, &bytes, NULL), WITAN_OK);
    return bytes;
}

static void
upload_goes_on_after_a_restart(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    uint8_t *payload, *read = NULL;
    witan_upload_row row = ledger_upload_row(3, &sender, TOTAL, &payload);
    const witan_upload_row *rows[] = {&row};
    witan_diag diag = {0};
    CHECK(have(ledger, &row) == 0);
    append(ledger, &row, payload, 0, 3 * CHUNK);
    CHECK(have(ledger, &row) == 3 * CHUNK);
    CHECK_STATUS(witan_upload_append(ledger, &row, 2 * CHUNK, payload, CHUNK, &diag),
                 WITAN_E_INVALID);
    CHECK_STRING(diag.message, "an upload goes on at 196608, not at 131072");
    CHECK_STATUS(witan_upload_append(ledger, &row, 3 * CHUNK + 1, payload, 5, NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_upload_append(ledger, &row, 0, payload, 5, NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_upload_append(ledger, &row, 3 * CHUNK, payload, CHUNK, NULL),
                 WITAN_E_INVALID); /* beyond the total */
    CHECK_STATUS(witan_upload_append(ledger, &row, 3 * CHUNK, payload, 0, NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_upload_read_part(ledger, &row, &read, NULL), WITAN_E_STATE);
    CHECK_STATUS(witan_upload_finish(ledger, rows, 1, NULL), WITAN_E_STATE);
    witan_ledger_close(&ledger);
    ledger = ledger_must_open(directory);
    CHECK(have(ledger, &row) == 3 * CHUNK);
    append(ledger, &row, payload, 3 * CHUNK, TOTAL);
    CHECK_STATUS(witan_upload_read_part(ledger, &row, &read, NULL), WITAN_OK);
    CHECK(read != NULL && memcmp(read, payload, TOTAL) == 0);
    witan_free(witan_allocator_default(), read);
    CHECK_STATUS(witan_upload_load(ledger, &row, &read, NULL), WITAN_E_DATA);
    CHECK_STATUS(witan_upload_finish(ledger, rows, 1, NULL), WITAN_OK);
    CHECK(ledger_exists(directory, "uploads/0000003-000012.bin"));
    CHECK(!ledger_exists(directory, "uploads/0000003-000012.part"));
    CHECK_STATUS(witan_upload_load(ledger, &row, &read, NULL), WITAN_OK);
    CHECK(read != NULL && memcmp(read, payload, TOTAL) == 0);
    witan_free(witan_allocator_default(), read);
    free(payload);
    witan_ledger_close(&ledger);
}

static void
part_of_another_digest_gives_way(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    uint8_t *payload;
    witan_upload_row row = ledger_upload_row(3, &sender, TOTAL, &payload), other = row;
    other.digest[31] ^= 1;
    append(ledger, &row, payload, 0, CHUNK);
    CHECK_STATUS(witan_upload_append(ledger, &other, CHUNK, payload, 10, NULL),
                 WITAN_E_INVALID);
    append(ledger, &row, payload, 0, CHUNK);
    CHECK(have(ledger, &other) == 0);
    CHECK(!ledger_exists(directory, "uploads/0000003-000012.part"));
    append(ledger, &row, payload, 0, CHUNK);
    append(ledger, &other, payload, 0, 10);
    CHECK(have(ledger, &other) == 10);
    CHECK(have(ledger, &row) == 0);
    /* Longer than its total. */
    append(ledger, &row, payload, 0, CHUNK);
    row.total = CHUNK - 1;
    CHECK(have(ledger, &row) == 0);
    free(payload);
    witan_ledger_close(&ledger);
}

static void
forged_and_damaged_bytes_are_told(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    uint8_t *payload, *read = NULL;
    witan_upload_row row = ledger_upload_row(3, &sender, TOTAL, &payload);
    const witan_upload_row *rows[] = {&row};
    witan_diag diag = {0};
    char path[1200];
    payload[TOTAL - 1] ^= 1;
    append(ledger, &row, payload, 0, TOTAL);
    CHECK_STATUS(witan_upload_read_part(ledger, &row, &read, NULL), WITAN_E_FORGED);
    CHECK(read == NULL);
    CHECK(!ledger_exists(directory, "uploads/0000003-000012.part"));
    payload[TOTAL - 1] ^= 1;
    append(ledger, &row, payload, 0, TOTAL);
    CHECK_STATUS(witan_upload_finish(ledger, rows, 1, NULL), WITAN_OK);
    (void)snprintf(path, sizeof path, "%s/uploads/0000003-000012.bin", directory);
    size_t size;
    char *bytes = witan_test_read(path, &size);
    CHECK(size == TOTAL + WITAN_DIGEST_SIZE);
    for (size_t at = 0; at < size; at += 49999) { /* the digest's bytes too */
        bytes[at] ^= 1;
        witan_test_write(path, bytes, size);
        CHECK_STATUS(witan_upload_load(ledger, &row, &read, NULL), WITAN_E_DATA);
        CHECK(read == NULL);
        bytes[at] ^= 1;
    }
    witan_test_write(path, bytes, size - 1);
    CHECK_STATUS(witan_upload_load(ledger, &row, &read, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "uploads/0000003-000012.bin: damaged");
    CHECK(unlink(path) == 0);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_upload_load(ledger, &row, &read, &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "is gone");
    free(bytes);
    free(payload);
    witan_ledger_close(&ledger);
}

static void
links_and_limits_are_refused(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    uint8_t *payload, *none;
    uint64_t bytes;
    char path[1200];
    witan_upload_row row = ledger_upload_row(3, &sender, TOTAL, &payload);
    const char *target = witan_test_path("target");
    witan_test_write(target, "keep me", 7);
    (void)snprintf(path, sizeof path, "%s/uploads/0000003-000012.part", directory);
    CHECK(symlink(target, path) == 0);
    CHECK_STATUS(witan_upload_have(ledger, &row, &bytes, NULL), WITAN_E_IO);
    CHECK_STATUS(witan_upload_append(ledger, &row, 0, payload, 10, NULL), WITAN_E_IO);
    char *kept = witan_test_read(target, NULL);
    CHECK_STRING(kept, "keep me");
    free(kept);
    CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    CHECK(have(ledger, &row) == 0); /* and does not wait for a reader */
    append(ledger, &row, payload, 0, 10);
    witan_upload_row odd = row;
    odd.round = WITAN_ROUNDS_MAX;
    CHECK_STATUS(witan_upload_have(ledger, &odd, &bytes, NULL), WITAN_E_INVALID);
    odd = row;
    odd.seat = WITAN_CLIENTS_MAX;
    CHECK_STATUS(witan_upload_append(ledger, &odd, 0, payload, 1, NULL),
                 WITAN_E_INVALID);
    odd = row;
    odd.total = WITAN_UPLOAD_BYTES_MAX + 1;
    CHECK_STATUS(witan_upload_read_part(ledger, &odd, &none, NULL), WITAN_E_INVALID);
    odd.total = 0;
    CHECK_STATUS(witan_upload_load(ledger, &odd, &none, NULL), WITAN_E_INVALID);
    free(payload);
    witan_ledger_close(&ledger);
}

static void
batch_is_finished_together(void)
{
    enum {
        COUNT = 20
    };
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_upload_row rows[COUNT];
    const witan_upload_row *pointers[COUNT];
    uint8_t *payload, *read;
    for (uint32_t i = 0; i < COUNT; i++) {
        witan_peer peer = {.seat = i};
        rows[i] = ledger_upload_row(1, &peer, 500 + i, &payload);
        pointers[i] = &rows[i];
        if (i + 1 < COUNT) {
            append(ledger, &rows[i], payload, 0, 500 + i);
        }
        free(payload);
    }
    /* One is missing: nothing is renamed. */
    CHECK_STATUS(witan_upload_finish(ledger, pointers, COUNT, NULL), WITAN_E_STATE);
    CHECK(!ledger_exists(directory, "uploads/0000001-000000.bin"));
    CHECK(have(ledger, &rows[0]) == 500);
    CHECK_STATUS(witan_upload_finish(ledger, pointers, COUNT - 1, NULL), WITAN_OK);
    for (uint32_t i = 0; i + 1 < COUNT; i++) {
        CHECK_STATUS(witan_upload_load(ledger, &rows[i], &read, NULL), WITAN_OK);
        witan_free(witan_allocator_default(), read);
    }
    CHECK_STATUS(witan_upload_finish(ledger, NULL, 0, NULL), WITAN_OK);
    witan_ledger_close(&ledger);
}

static void
old_rounds_are_pruned(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_peer peer = ledger_must_enroll(ledger, 1);
    bool asked[LEDGER_SEATS] = {true}, found;
    uint8_t *payload;
    witan_upload_row rows[3], read, *list;
    size_t count;
    char stranger[1200];
    for (uint32_t round = 0; round < 3; round++) {
        const witan_upload_row *pointer = &rows[round];
        CHECK_STATUS(witan_ledger_round_open(ledger, round, asked, LEDGER_SEATS,
                                             LEDGER_NOW, NULL),
                     WITAN_OK);
        rows[round] = ledger_upload_row(round, &peer, 10, &payload);
        append(ledger, &rows[round], payload, 0, 10);
        CHECK_STATUS(witan_upload_finish(ledger, &pointer, 1, NULL), WITAN_OK);
        CHECK_STATUS(witan_ledger_accept(ledger, &rows[round], NULL), WITAN_OK);
        free(payload);
    }
    witan_peer other = {.seat = 70};
    witan_upload_row part = ledger_upload_row(0, &other, 10, &payload);
    append(ledger, &part, payload, 0, 5);
    free(payload);
    (void)snprintf(stranger, sizeof stranger, "%s/uploads/0000000-000001.bin.bak",
                   directory);
    witan_test_write(stranger, "x", 1);
    /* In a transaction that is undone nothing goes. */
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    witan_upload_prune(ledger, 2);
    witan_upload_drop(ledger, 2, 0);
    witan_ledger_rollback(ledger);
    CHECK_STATUS(witan_ledger_uploads(ledger, 0, &list, &count, NULL), WITAN_OK);
    CHECK(count == 3);
    witan_free(witan_allocator_default(), list);
    CHECK(ledger_exists(directory, "uploads/0000000-000000.bin") &&
          ledger_exists(directory, "uploads/0000002-000000.bin"));
    witan_upload_prune(ledger, 2);
    CHECK(!ledger_exists(directory, "uploads/0000000-000000.bin") &&
          !ledger_exists(directory, "uploads/0000001-000000.bin") &&
          !ledger_exists(directory, "uploads/0000000-000070.part") &&
          ledger_exists(directory, "uploads/0000002-000000.bin") &&
          ledger_exists(directory, "uploads/0000000-000001.bin.bak"));
    CHECK_STATUS(witan_ledger_uploads(ledger, 0, &list, &count, NULL), WITAN_OK);
    CHECK(count == 1 && list[0].round == 2);
    witan_free(witan_allocator_default(), list);
    CHECK_STATUS(witan_ledger_upload(ledger, 0, 0, &read, &found, NULL), WITAN_OK);
    CHECK(found && memcmp(read.digest, rows[0].digest, sizeof read.digest) == 0);
    witan_upload_drop(ledger, 2, 0);
    CHECK(!ledger_exists(directory, "uploads/0000002-000000.bin"));
    CHECK_STATUS(witan_ledger_uploads(ledger, 0, &list, &count, NULL), WITAN_OK);
    CHECK(count == 0);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
space_is_told_beforehand(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_diag diag = {0};
    CHECK_STATUS(witan_ledger_space(ledger, 1, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_space(ledger, UINT64_MAX, &diag), WITAN_E_IO);
    CHECK_CONTAINS(diag.message,
                   " MB free, 18446744073709.6 MB needed; free some space");
    witan_ledger_close(&ledger);
}

int
main(void)
{
    RUN(upload_goes_on_after_a_restart);
    RUN(part_of_another_digest_gives_way);
    RUN(forged_and_damaged_bytes_are_told);
    RUN(links_and_limits_are_refused);
    RUN(batch_is_finished_together);
    RUN(old_rounds_are_pruned);
    RUN(space_is_told_beforehand);
    return witan_test_finish();
}
