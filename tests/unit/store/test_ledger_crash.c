/* Killed at any moment, and used by two processes at once: what was told to be done is
 * there, and the rules between rows hold. The kill leaves the system running, so this
 * shows that changes are whole; that they are on the disk is SQLite's and fsync's part,
 * whose failures test_upload_fault.c and test_ledger_full.c make. */
#include "ledger_support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"

typedef enum deed {
    DEED_START, /* what follows is about this number */
    DEED_INVITE,
    DEED_ENROLL,
    DEED_REVOKE,
    DEED_OPEN,
    DEED_APPEND, /* value: bytes */
    DEED_ACCEPT,
    DEED_FUSED,
    DEED_DONE,
    DEED_ENDED,
} deed;

typedef struct report {
    uint32_t deed, round, number, value;
} report;

enum {
    KILLS = 60,
    TOTAL = 30000,
    CHUNK = 8192,
    COMPANY = 3 /* peers of a round */
};

/* Only what holds up in a child: no checks are counted there. */
static void
need(bool ok)
{
    if (!ok) {
        _exit(3);
    }
}

static void
tell(int out, deed what, uint32_t round, uint32_t number, uint32_t value)
{
    report told = {what, round, number, value};
    need(write(out, &told, sizeof told) == (ssize_t)sizeof told);
}

static uint64_t
now_of(uint32_t number)
{
    return LEDGER_NOW + (uint64_t)number * 4000; /* what is left open expires */
}

static witan_peer
enroll(witan_ledger *ledger, int out, uint32_t number)
{
    char name[24];
    uint32_t reason;
    witan_peer peer;
    (void)snprintf(name, sizeof name, "peer-%u", number);
    witan_invitation made = ledger_invitation(number, name);
    made.created_s = now_of(number);
    made.expires_s = now_of(number) + 3600;
    need(witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, now_of(number),
                             NULL) == WITAN_OK);
    tell(out, DEED_INVITE, 0, number, 0);
    need(witan_ledger_enroll(ledger, made.token, ledger_key_of(number, 's').bytes,
                             ledger_key_of(number, 't').bytes,
                             ledger_key_of(number, 'p').bytes, LEDGER_SEATS,
                             now_of(number), &peer, &reason, NULL) == WITAN_OK);
    tell(out, DEED_ENROLL, 0, number, peer.seat);
    return peer;
}

static uint32_t
number_of(const uint8_t sign_key[32])
{
    uint32_t number;
    memcpy(&number, sign_key, sizeof number);
    return number;
}

static void
revoke_all(witan_ledger *ledger, int out)
{
    witan_peer *list;
    size_t count;
    need(witan_ledger_peers(ledger, &list, &count, NULL) == WITAN_OK);
    for (size_t i = 0; i < count && list[i].state != WITAN_PEER_REVOKED; i++) {
        need(witan_ledger_peer_set_state(ledger, list[i].sign_key, WITAN_PEER_REVOKED,
                                         NULL) == WITAN_OK);
        tell(out, DEED_REVOKE, 0, number_of(list[i].sign_key), 0);
    }
    witan_free(witan_allocator_default(), list);
}

/* The uploads of a round: parts, made durable together, accepted together. */
static void
collect(witan_ledger *ledger, int out, uint32_t round, const witan_peer *peers)
{
    witan_upload_row rows[COMPANY];
    const witan_upload_row *pointers[COMPANY];
    uint8_t *payload;
    for (size_t i = 0; i < COMPANY; i++) {
        rows[i] = ledger_upload_row(round, &peers[i], TOTAL, &payload);
        pointers[i] = &rows[i];
        for (uint32_t at = 0; at < TOTAL; at += CHUNK) {
            uint32_t size = TOTAL - at < CHUNK ? TOTAL - at : CHUNK;
            need(witan_upload_append(ledger, &rows[i], at, payload + at, size, NULL) ==
                 WITAN_OK);
            tell(out, DEED_APPEND, round, peers[i].seat, at + size);
        }
        free(payload);
    }
    need(witan_upload_finish(ledger, pointers, COMPANY, NULL) == WITAN_OK);
    need(witan_ledger_begin(ledger, NULL) == WITAN_OK);
    for (size_t i = 0; i < COMPANY; i++) {
        need(witan_ledger_accept(ledger, &rows[i], NULL) == WITAN_OK);
    }
    need(witan_ledger_commit(ledger, NULL) == WITAN_OK);
    for (size_t i = 0; i < COMPANY; i++) {
        tell(out, DEED_ACCEPT, round, number_of(peers[i].sign_key), peers[i].seat);
    }
}

/* One round with new peers. */
static void
go_round(witan_ledger *ledger, int out, uint32_t round)
{
    bool asked[LEDGER_SEATS] = {true, true, true};
    witan_peer peers[COMPANY];
    witan_round_row end = {.round = round, .fused = true};
    tell(out, DEED_START, round, 0, 0);
    revoke_all(ledger, out);
    for (uint32_t i = 0; i < COMPANY; i++) {
        peers[i] = enroll(ledger, out, round * COMPANY + i);
    }
    need(witan_ledger_round_open(ledger, round, asked, LEDGER_SEATS, 0, NULL) ==
         WITAN_OK);
    tell(out, DEED_OPEN, round, 0, 0);
    collect(ledger, out, round, peers);
    need(witan_ledger_round_fused(ledger, round, NULL) == WITAN_OK);
    tell(out, DEED_FUSED, round, 0, 0);
    for (uint32_t i = 0; i < COMPANY; i++) {
        witan_result_row result = {.round = round, .seat = peers[i].seat};
        need(witan_ledger_done(ledger, &result, NULL) == WITAN_OK);
        tell(out, DEED_DONE, round, 0, peers[i].seat);
    }
    need(witan_ledger_round_ended(ledger, &end, NULL) == WITAN_OK);
    tell(out, DEED_ENDED, round, 0, 0);
    if (round > 0) {
        witan_upload_prune(ledger, round - 1);
    }
}

static _Noreturn void
live(const char *directory, int out, uint32_t round)
{
    witan_ledger *ledger = NULL;
    need(witan_ledger_open(&ledger, directory, true, witan_allocator_default(), NULL) ==
         WITAN_OK);
    for (;; round++) {
        go_round(ledger, out, round);
    }
}

/* Peers: none that was told is missing; a seat, a name, a key is one living peer's. */
static void
check_peers(witan_ledger *ledger, const report *told, size_t count)
{
    witan_peer *list;
    size_t peers;
    unsigned taken = 0;
    CHECK_STATUS(witan_ledger_peers(ledger, &list, &peers, NULL), WITAN_OK);
    for (size_t i = 0; i < peers && list[i].state != WITAN_PEER_REVOKED; i++) {
        CHECK(list[i].seat < LEDGER_SEATS && (taken >> list[i].seat & 1) == 0);
        taken |= 1u << list[i].seat;
    }
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t j = 0; j < peers && !found; j++) {
            found = number_of(list[j].sign_key) == told[i].number &&
                    (told[i].deed == DEED_ENROLL ? list[j].seat == told[i].value
                                                 : list[j].state == WITAN_PEER_REVOKED);
        }
        CHECK(found || (told[i].deed != DEED_ENROLL && told[i].deed != DEED_REVOKE));
    }
    witan_free(witan_allocator_default(), list);
}

static bool
is_invited(witan_ledger *ledger, uint32_t number)
{
    witan_invitation *list;
    size_t count;
    bool found = false;
    CHECK_STATUS(witan_ledger_invitations(ledger, &list, &count, NULL), WITAN_OK);
    for (size_t i = 0; i < count; i++) {
        found = found || memcmp(list[i].token, &number, sizeof number) == 0;
    }
    witan_free(witan_allocator_default(), list);
    return found;
}

static bool
is_done(witan_ledger *ledger, uint32_t round, uint32_t seat)
{
    witan_result_row *list;
    size_t count;
    bool found = false;
    CHECK_STATUS(witan_ledger_results(ledger, round, &list, &count, NULL), WITAN_OK);
    for (size_t i = 0; i < count; i++) {
        found = found || list[i].seat == seat;
    }
    witan_free(witan_allocator_default(), list);
    return found;
}

static void
check_deed(witan_ledger *ledger, const report *told, const witan_round_row *rounds,
           size_t count)
{
    const witan_round_row *round = NULL;
    witan_upload_row upload;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        round = rounds[i].round == told->round ? &rounds[i] : round;
    }
    switch ((deed)told->deed) {
    case DEED_INVITE:
        CHECK(is_invited(ledger, told->number));
        break;
    case DEED_OPEN:
        CHECK(round != NULL);
        break;
    case DEED_FUSED:
        CHECK(round != NULL && round->phase >= WITAN_ROUND_FUSED);
        break;
    case DEED_ENDED:
        CHECK(round != NULL && round->phase == WITAN_ROUND_ENDED);
        break;
    case DEED_DONE:
        CHECK(is_done(ledger, told->round, told->value));
        break;
    case DEED_ACCEPT:
        CHECK_STATUS(witan_ledger_upload(ledger, told->round, told->value, &upload,
                                         &found, NULL),
                     WITAN_OK);
        /* The revocations of a next life would drop it only while it is unused; in
         * this one a round is fused before its peers are revoked. */
        CHECK(found && number_of(upload.sign_key) == told->number);
        break;
    default:
        break;
    }
}

/* Every accepted upload that is kept has its bytes. */
static void
check_uploads(witan_ledger *ledger)
{
    witan_upload_row *list;
    size_t count;
    CHECK_STATUS(witan_ledger_uploads(ledger, 0, &list, &count, NULL), WITAN_OK);
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes = NULL;
        CHECK_STATUS(witan_upload_load(ledger, &list[i], &bytes, NULL), WITAN_OK);
        CHECK(bytes != NULL &&
              bytes[TOTAL - 1] == ledger_byte(list[i].round, list[i].seat, TOTAL - 1));
        witan_free(witan_allocator_default(), bytes);
    }
    witan_free(witan_allocator_default(), list);
}

/* A part that was not finished is gone on with where it was told to be. */
static void
check_part(witan_ledger *ledger, const report *last)
{
    witan_peer peer = {.seat = last->number};
    witan_upload_row row = ledger_upload_row(last->round, &peer, TOTAL, NULL), other;
    uint64_t have = 0;
    bool found;
    CHECK_STATUS(witan_ledger_upload(ledger, row.round, row.seat, &other, &found, NULL),
                 WITAN_OK);
    if (!found && last->value < TOTAL) {
        CHECK_STATUS(witan_upload_have(ledger, &row, &have, NULL), WITAN_OK);
        CHECK(have >= last->value && have <= TOTAL);
    }
}

static void
check_life(const char *directory, const report *told, size_t count)
{
    witan_ledger *ledger = ledger_must_open(directory);
    witan_round_row *rounds;
    size_t rounds_count;
    CHECK_STATUS(witan_ledger_rounds(ledger, &rounds, &rounds_count, NULL), WITAN_OK);
    check_peers(ledger, told, count);
    for (size_t i = 0; i < count; i++) {
        check_deed(ledger, &told[i], rounds, rounds_count);
    }
    check_uploads(ledger);
    if (count > 0 && told[count - 1].deed == DEED_APPEND) {
        check_part(ledger, &told[count - 1]);
    }
    witan_free(witan_allocator_default(), rounds);
    witan_ledger_close(&ledger);
}

/* Reads what one life tells, kills it after `reports` of them and some time more. */
static size_t
one_life(const char *directory, uint32_t round, uint32_t reports, uint32_t more_us,
         report *told, size_t room)
{
    int ends[2], status = 0;
    size_t count = 0;
    CHECK(pipe(ends) == 0);
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        live(directory, ends[1], round);
    }
    (void)close(ends[1]);
    while (count < reports &&
           read(ends[0], &told[count], sizeof *told) == (ssize_t)sizeof *told) {
        count++;
    }
    struct timespec pause = {.tv_nsec = (long)more_us * 1000};
    (void)nanosleep(&pause, NULL);
    CHECK(kill(child, SIGKILL) == 0);
    while (count < room &&
           read(ends[0], &told[count], sizeof *told) == (ssize_t)sizeof *told) {
        count++;
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)close(ends[0]);
    return count;
}

static void
what_was_told_survives_kills(void)
{
    enum {
        ROOM = 4096
    };
    const char *directory = ledger_fresh();
    report *told = malloc(ROOM * sizeof *told);
    uint32_t round = 0;
    uint64_t seed = witan_test_seed(7);
    size_t all = 0;
    for (uint32_t life = 0; life < KILLS; life++) {
        witan_random random;
        witan_random_init(&random, seed, 0, life, WITAN_PURPOSE_TEST);
        size_t count = one_life(directory, round, witan_random_below(&random, 60),
                                witan_random_below(&random, 3000), told, ROOM);
        check_life(directory, told, count);
        for (size_t i = 0; i < count; i++) {
            round = told[i].deed == DEED_START ? told[i].round + 1 : round;
        }
        round += count == 0;
        all += count;
    }
    CHECK(all > KILLS);
    free(told);
}

/* --- two at once ------------------------------------------------------------------ */

enum {
    WRITES = 200
};

/* Begins when the parent says so. */
static void
write_many(const char *directory, const char *prefix, int gate)
{
    witan_ledger *ledger = NULL;
    char name[32];
    need(read(gate, name, 1) == 1);
    need(witan_ledger_open(&ledger, directory, false, witan_allocator_default(),
                           NULL) == WITAN_OK);
    for (int i = 0; i < WRITES; i++) {
        (void)snprintf(name, sizeof name, "%s-%d", prefix, i);
        need(witan_ledger_begin(ledger, NULL) == WITAN_OK);
        need(witan_ledger_set(ledger, name, name, NULL) == WITAN_OK);
        need(witan_ledger_set(ledger, "last", name, NULL) == WITAN_OK);
        need(witan_ledger_commit(ledger, NULL) == WITAN_OK);
    }
    witan_ledger_close(&ledger);
    _exit(0);
}

static void
two_processes_write_at_once(void)
{
    const char *directory = ledger_fresh();
    static const char *const prefixes[] = {"one", "two"};
    uint64_t before, after;
    pid_t children[2];
    char name[32], *value;
    int status, gate[2];
    CHECK(pipe(gate) == 0);
    (void)fflush(stdout);
    for (int i = 0; i < 2; i++) { /* SQLite does not go through a fork */
        children[i] = fork();
        if (children[i] == 0) {
            write_many(directory, prefixes[i], gate[0]);
        }
    }
    witan_ledger *ledger = ledger_must_open(directory);
    CHECK_STATUS(witan_ledger_version(ledger, &before, NULL), WITAN_OK);
    CHECK(write(gate[1], "go", 2) == 2);
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
    }
    CHECK_STATUS(witan_ledger_version(ledger, &after, NULL), WITAN_OK);
    CHECK(before != after);
    (void)close(gate[0]);
    (void)close(gate[1]);
    for (int i = 0; i < 2 * WRITES; i++) {
        (void)snprintf(name, sizeof name, "%s-%d", prefixes[i % 2], i / 2);
        CHECK_STATUS(witan_ledger_setting(ledger, name, &value, NULL), WITAN_OK);
        CHECK_STRING(value, name);
        witan_free(witan_allocator_default(), value);
    }
    witan_ledger_close(&ledger);
}

static void
one_token_enrols_one_of_two(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_peer *list, peer;
    size_t count;
    uint32_t reason;
    int won = 0, status;
    pid_t children[2];
    witan_invitation made = ledger_invitation(1, "contested");
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    witan_ledger_close(&ledger);
    (void)fflush(stdout);
    for (uint32_t i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            ledger_key key = ledger_key_of(100 + i, 's');
            need(witan_ledger_open(&ledger, directory, false, witan_allocator_default(),
                                   NULL) == WITAN_OK);
            _exit(witan_ledger_enroll(ledger, made.token, key.bytes, key.bytes,
                                      key.bytes, LEDGER_SEATS, LEDGER_NOW, &peer,
                                      &reason, NULL) == WITAN_OK
                      ? 10
                      : (int)reason);
        }
    }
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(children[i], &status, 0) == children[i] && WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 10 || WEXITSTATUS(status) == 3);
        won += WEXITSTATUS(status) == 10;
    }
    CHECK(won == 1);
    ledger = ledger_must_open(directory);
    CHECK_STATUS(witan_ledger_peers(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 1);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

int
main(void)
{
    RUN(what_was_told_survives_kills);
    RUN(two_processes_write_at_once);
    RUN(one_token_enrols_one_of_two);
    return witan_test_finish();
}
