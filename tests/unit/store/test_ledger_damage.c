/* A ledger whose bytes were damaged, cut or chosen by somebody: everything that it
 * holds is read or refused, and no allocation that fails leaks. */
#include "ledger_support.h"

#include <unistd.h>

#include "base/random.h"
#include "ledger_read_all.h"

static const char *directory;
static char path[1200];
static char *sound; /* the bytes of a sound ledger */
static size_t sound_size;

/* A ledger with some of everything in it. */
static void
make_ledger(void)
{
    directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    bool asked[LEDGER_SEATS] = {true, true, true, true, true};
    CHECK_STATUS(witan_ledger_set(ledger, "experiment", "{\"clients\": 8}", NULL),
                 WITAN_OK);
    witan_peer peers[5];
    for (uint32_t i = 0; i < 5; i++) {
        peers[i] = ledger_must_enroll(ledger, i + 1);
        witan_ledger_event(ledger, LEDGER_NOW, "enrolled", peers[i].name);
    }
    witan_invitation made = ledger_invitation(9, "open");
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    for (uint32_t round = 0; round < 4; round++) {
        witan_round_row end = {.round = round, .fused = true, .seconds = 1.5};
        CHECK_STATUS(witan_ledger_round_open(ledger, round, asked, LEDGER_SEATS,
                                             LEDGER_NOW, NULL),
                     WITAN_OK);
        for (uint32_t i = 0; i < 5; i++) {
            witan_upload_row row = ledger_upload_row(round, &peers[i], 100, NULL);
            witan_result_row result = {.round = round, .seat = i, .train_loss = 0.5};
            CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_OK);
            CHECK_STATUS(witan_ledger_done(ledger, &result, NULL), WITAN_OK);
        }
        if (round < 3) {
            CHECK_STATUS(witan_ledger_round_ended(ledger, &end, NULL), WITAN_OK);
        }
    }
    CHECK_STATUS(witan_ledger_peer_set_state(ledger, peers[4].sign_key,
                                             WITAN_PEER_REVOKED, NULL),
                 WITAN_OK);
    witan_ledger_close(&ledger);
    (void)snprintf(path, sizeof path, "%s/witan.db", directory);
    sound = witan_test_read(path, &sound_size);
}

/* Opens and reads all; a failure is a sentence of damage. *told counts those. */
static void
read_whatever(bool create, unsigned *told)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_ledger *ledger;
    witan_diag diag = {0};
    witan_status status = witan_ledger_open(&ledger, directory, create, heap, &diag);
    if (status == WITAN_OK) {
        status = ledger_read_all(ledger, heap, &diag);
    }
    witan_ledger_close(&ledger);
    /* E_STATE: another number of clients, or a name that its damaged index hides. */
    if (status != WITAN_OK && status != WITAN_E_DATA && status != WITAN_E_STATE) {
        CHECK_STRING(diag.message, "ok, or damage told");
    }
    CHECK((status == WITAN_OK) == (diag.message[0] == '\0'));
    *told += status == WITAN_E_DATA;
}

static void
damaged_bytes_are_told_or_harmless(void)
{
    uint64_t seed = witan_test_seed(20260101);
    unsigned told = 0;
    char *bytes = malloc(sound_size);
    for (uint32_t i = 0; i < 300; i++) {
        witan_random random;
        witan_random_init(&random, seed, 0, i, WITAN_PURPOSE_TEST);
        memcpy(bytes, sound, sound_size);
        uint32_t count = 1 + witan_random_below(&random, 20);
        for (uint32_t j = 0; j < count; j++) {
            /* A third of the damage goes to the beginnings of pages. */
            uint32_t at = witan_random_below(&random, (uint32_t)sound_size);
            at = witan_random_below(&random, 3) == 0 ? (at & ~4095u) | (at & 15u) : at;
            bytes[at] = (char)witan_random_u32(&random);
        }
        witan_test_write(path, bytes, sound_size);
        read_whatever(i % 2 == 0, &told);
    }
    CHECK(told > 100); /* free space and values of no rule take damage unseen */
    free(bytes);
}

static void
cut_file_is_told(void)
{
    unsigned told = 0, tries = 0;
    for (size_t size = 0; size < sound_size; size += 1 + sound_size / 50) {
        witan_test_write(path, sound, size);
        if (size == 0) { /* nothing: made anew by the coordinator alone */
            continue;
        }
        read_whatever(true, &told);
        tries++;
    }
    CHECK(tries > 40 && told == tries);
}

static void
every_allocation_may_fail(void)
{
    bool done = false;
    witan_test_write(path, sound, sound_size);
    for (size_t at = 4; !done; at++) { /* opening takes three */
        witan_failing_allocator failing;
        witan_ledger *ledger;
        witan_diag diag = {0};
        witan_failing_allocator_init(&failing, at);
        CHECK_STATUS(
            witan_ledger_open(&ledger, directory, false, &failing.allocator, &diag),
            WITAN_OK);
        witan_status status = ledger_read_all(ledger, &failing.allocator, &diag);
        done = status == WITAN_OK;
        if (!done) {
            CHECK_STATUS(status, WITAN_E_MEMORY);
        }
        failing.fail_at = 0;
        witan_peer peer;
        CHECK_STATUS(witan_ledger_peer(ledger, "peer-9", &peer, NULL), WITAN_E_STATE);
        witan_ledger_close(&ledger);
        CHECK(failing.live == 0);
        CHECK(at < 100);
    }
}

int
main(void)
{
    make_ledger();
    RUN(damaged_bytes_are_told_or_harmless);
    RUN(cut_file_is_told);
    RUN(every_allocation_may_fail);
    free(sound);
    return witan_test_finish();
}
