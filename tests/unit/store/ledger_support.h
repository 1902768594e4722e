/* ledger_support.h - what the tests of the ledger share: a fresh directory, keys, rows.
 */
#ifndef WITAN_TESTS_LEDGER_SUPPORT_H
#define WITAN_TESTS_LEDGER_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/ledger.h"
#include "support/witan_test.h"

enum {
    LEDGER_SEATS = 8
};
#define LEDGER_NOW ((uint64_t)1700000000)

/* A path that nothing stands at yet. */
static inline const char *
ledger_fresh(void)
{
    static int number;
    char name[32];
    (void)snprintf(name, sizeof name, "state-%d", number++);
    return witan_test_path(name);
}

static inline witan_ledger *
ledger_must_open(const char *directory)
{
    witan_ledger *ledger = NULL;
    witan_diag diag = {0};
    if (witan_ledger_open(&ledger, directory, true, witan_allocator_default(), &diag) !=
        WITAN_OK) {
        fprintf(stderr, "cannot open: %s\n", diag.message);
        exit(1);
    }
    return ledger;
}

/* 32 bytes that depend on the number and the role. */
typedef struct ledger_key {
    uint8_t bytes[32];
} ledger_key;

static inline ledger_key
ledger_key_of(uint32_t number, char role)
{
    ledger_key key;
    memset(key.bytes, role, sizeof key.bytes);
    memcpy(key.bytes, &number, sizeof number);
    return key;
}

static inline witan_invitation
ledger_invitation(uint32_t number, const char *name)
{
    witan_invitation made = {.seat = WITAN_SEAT_ANY,
                             .created_s = LEDGER_NOW,
                             .expires_s = LEDGER_NOW + 3600};
    ledger_key door = ledger_key_of(number, 'd'), psk = ledger_key_of(number, 'i');
    memcpy(made.token, &number, sizeof number);
    memcpy(made.door_key, door.bytes, 32);
    memcpy(made.psk, psk.bytes, 32);
    (void)snprintf(made.name, sizeof made.name, "%s", name);
    return made;
}

static inline witan_status
ledger_enroll(witan_ledger *ledger, uint32_t number, witan_peer *peer, uint32_t *reason,
              witan_diag *diag)
{
    uint8_t token[8] = {0};
    memcpy(token, &number, sizeof number);
    return witan_ledger_enroll(ledger, token, ledger_key_of(number, 's').bytes,
                               ledger_key_of(number, 't').bytes,
                               ledger_key_of(number, 'p').bytes, LEDGER_SEATS,
                               LEDGER_NOW, peer, reason, diag);
}

/* Invites and enrolls an approved peer called "peer-NUMBER". */
static inline witan_peer
ledger_must_enroll(witan_ledger *ledger, uint32_t number)
{
    char name[24];
    uint32_t reason;
    witan_peer peer;
    witan_diag diag = {0};
    (void)snprintf(name, sizeof name, "peer-%u", number);
    witan_invitation made = ledger_invitation(number, name);
    if (witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, &diag) !=
            WITAN_OK ||
        ledger_enroll(ledger, number, &peer, &reason, &diag) != WITAN_OK) {
        fprintf(stderr, "cannot enroll: %s\n", diag.message);
        exit(1);
    }
    return peer;
}

/* Byte i of the payload of a seat in a round. */
static inline uint8_t
ledger_byte(uint32_t round, uint32_t seat, size_t i)
{
    return (uint8_t)((i * 2654435761u >> 7) + round * 31 + seat);
}

/* A row with the digest of the payload whose bytes ledger_byte gives; malloc'd. */
static inline witan_upload_row
ledger_upload_row(uint32_t round, const witan_peer *peer, size_t total,
                  uint8_t **payload)
{
    witan_upload_row row = {.round = round,
                            .seat = peer->seat,
                            .kind = 1,
                            .codec = 2,
                            .rows = 10,
                            .classes = 3,
                            .total = total,
                            .samples = 77,
                            .used_from = round};
    witan_digest digest;
    uint8_t *bytes = malloc(total);
    for (size_t i = 0; i < total; i++) {
        bytes[i] = ledger_byte(round, peer->seat, i);
    }
    witan_digest_init(&digest);
    witan_digest_update(&digest, bytes, total);
    witan_digest_final(&digest, row.digest);
    memcpy(row.sign_key, peer->sign_key, 32);
    memset(row.signature, 7, sizeof row.signature);
    if (payload == NULL) {
        free(bytes);
    } else {
        *payload = bytes;
    }
    return row;
}

static inline bool
ledger_exists(const char *directory, const char *name)
{
    char path[1200];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return lstat(path, &status) == 0;
}

#endif
