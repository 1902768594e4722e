/* What the coordinator remembers: invitations, peers, rounds, results, events; and the
 * rules between them. */
#include "ledger_support.h"

#include <math.h>

static void
settings_are_kept(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    char *value = NULL;
    CHECK_STATUS(witan_ledger_setting(ledger, "world", &value, NULL), WITAN_OK);
    CHECK(value == NULL);
    CHECK_STATUS(witan_ledger_set(ledger, "world", "one", NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_set(ledger, "world", "{\n\t\"two\": \"\xc3\xa9\"}", NULL),
                 WITAN_OK);
    char *large = malloc(WITAN_CONFIG_BYTES_MAX + 2);
    memset(large, 'x', WITAN_CONFIG_BYTES_MAX + 1);
    large[WITAN_CONFIG_BYTES_MAX + 1] = '\0';
    CHECK_STATUS(witan_ledger_set(ledger, "experiment", large, NULL), WITAN_E_LIMIT);
    large[WITAN_CONFIG_BYTES_MAX] = '\0';
    CHECK_STATUS(witan_ledger_set(ledger, "experiment", large, NULL), WITAN_OK);
    witan_ledger_close(&ledger);
    CHECK(ledger == NULL);
    witan_ledger_close(&ledger);
    ledger = ledger_must_open(directory);
    CHECK_STATUS(witan_ledger_setting(ledger, "world", &value, NULL), WITAN_OK);
    CHECK_STRING(value, "{\n\t\"two\": \"\xc3\xa9\"}");
    witan_free(witan_allocator_default(), value);
    CHECK_STATUS(witan_ledger_setting(ledger, "experiment", &value, NULL), WITAN_OK);
    CHECK_STRING(value, large);
    witan_free(witan_allocator_default(), value);
    free(large);
    witan_ledger_close(&ledger);
}

static void
names_and_seats_are_promised_once(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    witan_invitation made = ledger_invitation(1, "site-a");
    witan_diag diag = {0};
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, false, LEDGER_NOW, NULL),
                 WITAN_OK);
    made = ledger_invitation(2, "site-a");
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, false, LEDGER_NOW, &diag),
                 WITAN_E_STATE);
    CHECK_STRING(diag.message,
                 "site-a is invited already, for 60 more minutes; withdraw "
                 "that invitation with --replace");
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, true, LEDGER_NOW, NULL),
                 WITAN_OK);
    made = ledger_invitation(3, "site-b");
    made.seat = 1;
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, false, LEDGER_NOW, NULL),
                 WITAN_OK);
    made = ledger_invitation(4, "site-c");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, false, LEDGER_NOW, &diag),
                 WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "no seat is free: all 2 clients");
    made.seat = 1;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 3, false, LEDGER_NOW, &diag),
                 WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "client 1 is taken or promised");
    made.seat = 3;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 3, false, LEDGER_NOW, &diag),
                 WITAN_E_STATE);
    CHECK_STRING(diag.message, "client 3: the experiment has 3 clients, 0 to 2");
    /* An expired invitation promises nothing, yet is kept for 30 days. */
    made.seat = 1;
    made.expires_s = LEDGER_NOW + 7201;
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, false, LEDGER_NOW + 3600, NULL),
                 WITAN_OK);
    witan_invitation *list;
    size_t count;
    CHECK_STATUS(witan_ledger_invitations(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 3);
    CHECK(list[2].seat == 1 && list[2].expires_s == LEDGER_NOW + 7201 && !list[2].used);
    CHECK_STRING(list[2].name, "site-c");
    CHECK(memcmp(list[2].token, made.token, 8) == 0 &&
          memcmp(list[2].door_key, made.door_key, 32) == 0 &&
          memcmp(list[2].psk, made.psk, 32) == 0);
    CHECK(list[0].seat == WITAN_SEAT_ANY && list[1].seat == 1);
    witan_free(witan_allocator_default(), list);
    made = ledger_invitation(5, "site-d");
    uint64_t later = LEDGER_NOW + 3601 + 30 * 86400;
    made.expires_s = later + 1;
    CHECK_STATUS(witan_ledger_invite(ledger, &made, 2, false, later, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_invitations(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 2 && list[0].seat == 1);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
enrolment_uses_an_invitation_once(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    witan_peer peer, again;
    uint32_t reason = 9;
    uint8_t token[8] = {1};
    ledger_key sign = ledger_key_of(1, 's'), transport = ledger_key_of(1, 't'),
               psk = ledger_key_of(1, 'p'), other = ledger_key_of(9, 'x');
    CHECK_STATUS(ledger_enroll(ledger, 1, &peer, &reason, NULL), WITAN_E_REFUSED);
    CHECK(reason == 2);
    witan_invitation made = ledger_invitation(1, "site-a");
    made.confirm = true;
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    made = ledger_invitation(2, "site-b");
    made.seat = 0;
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    CHECK_STATUS(ledger_enroll(ledger, 1, &peer, &reason, NULL), WITAN_OK);
    CHECK(reason == 0);
    CHECK(peer.seat == 1); /* 0 is reserved */
    CHECK(peer.state == WITAN_PEER_PENDING && peer.enrolled_s == LEDGER_NOW);
    CHECK_STRING(peer.name, "site-a");
    CHECK(memcmp(peer.sign_key, sign.bytes, 32) == 0 &&
          memcmp(peer.transport_key, transport.bytes, 32) == 0 &&
          memcmp(peer.psk, psk.bytes, 32) == 0);
    CHECK_STATUS(ledger_enroll(ledger, 1, &again, &reason, NULL), WITAN_OK);
    CHECK(memcmp(&peer, &again, sizeof peer) == 0);
    CHECK_STATUS(witan_ledger_enroll(ledger, token, other.bytes, transport.bytes,
                                     psk.bytes, LEDGER_SEATS, LEDGER_NOW, &again,
                                     &reason, NULL),
                 WITAN_E_REFUSED);
    CHECK(reason == 3);
    CHECK_STATUS(witan_ledger_enroll(ledger, token, sign.bytes, other.bytes, psk.bytes,
                                     LEDGER_SEATS, LEDGER_NOW, &again, &reason, NULL),
                 WITAN_E_REFUSED);
    CHECK(reason == 3);
    /* Keys of a living peer under another invitation. */
    token[0] = 2;
    CHECK_STATUS(witan_ledger_enroll(ledger, token, sign.bytes, other.bytes, psk.bytes,
                                     LEDGER_SEATS, LEDGER_NOW, &again, &reason, NULL),
                 WITAN_E_REFUSED);
    CHECK(reason == 18);
    CHECK_STATUS(witan_ledger_enroll(ledger, token, other.bytes, transport.bytes,
                                     psk.bytes, LEDGER_SEATS, LEDGER_NOW, &again,
                                     &reason, NULL),
                 WITAN_E_REFUSED);
    CHECK(reason == 18);
    /* Expired at its last second. */
    CHECK_STATUS(witan_ledger_enroll(ledger, token, other.bytes, other.bytes, psk.bytes,
                                     LEDGER_SEATS, LEDGER_NOW + 3600, &again, &reason,
                                     NULL),
                 WITAN_E_REFUSED);
    CHECK(reason == 4);
    CHECK_STATUS(ledger_enroll(ledger, 2, &again, &reason, NULL), WITAN_OK);
    CHECK(again.seat == 0 && again.state == WITAN_PEER_APPROVED);
    witan_invitation *list;
    size_t count;
    CHECK_STATUS(witan_ledger_invitations(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 2 && list[0].used && list[1].used && list[0].confirm);
    CHECK(memcmp(list[0].used_by, sign.bytes, 32) == 0);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
full_house_refuses(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    witan_peer peer;
    uint32_t reason;
    for (uint32_t i = 0; i < LEDGER_SEATS; i++) {
        peer = ledger_must_enroll(ledger, i + 1);
        CHECK(peer.seat == i);
    }
    /* A promise from when there were more seats. */
    witan_invitation made = ledger_invitation(20, "late");
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS + 1, false, LEDGER_NOW, NULL),
        WITAN_OK);
    CHECK_STATUS(ledger_enroll(ledger, 20, &peer, &reason, NULL), WITAN_E_REFUSED);
    CHECK(reason == 8);
    /* A seat that comes free is the next one given. */
    ledger_key fifth = ledger_key_of(5, 's');
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, fifth.bytes, WITAN_PEER_REVOKED, NULL),
        WITAN_OK);
    CHECK_STATUS(ledger_enroll(ledger, 20, &peer, &reason, NULL), WITAN_OK);
    CHECK(peer.seat == 4);
    witan_ledger_close(&ledger);
}

static void
peers_change_state_by_the_rules(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    witan_peer peer, *list;
    size_t count;
    uint32_t reason;
    witan_diag diag = {0};
    witan_invitation made = ledger_invitation(1, "hospital-north");
    ledger_key sign = ledger_key_of(1, 's'), other = ledger_key_of(9, 'x');
    made.confirm = true;
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    CHECK_STATUS(ledger_enroll(ledger, 1, &peer, &reason, NULL), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, sign.bytes, WITAN_PEER_PENDING, NULL),
        WITAN_E_INVALID);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, other.bytes, WITAN_PEER_APPROVED, NULL),
        WITAN_E_STATE);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, sign.bytes, WITAN_PEER_APPROVED, NULL),
        WITAN_OK);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, sign.bytes, WITAN_PEER_APPROVED, &diag),
        WITAN_E_STATE);
    CHECK_STRING(diag.message, "hospital-north is not pending: it is approved");
    made = ledger_invitation(2, "hospital-north");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, true, LEDGER_NOW, &diag),
        WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "hospital-north is enrolled already (client 0)");
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, sign.bytes, WITAN_PEER_REVOKED, NULL),
        WITAN_OK);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, sign.bytes, WITAN_PEER_APPROVED, &diag),
        WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "for good");
    /* A revoked key does not come back, by the old invitation or a new one. */
    CHECK_STATUS(ledger_enroll(ledger, 1, &peer, &reason, NULL), WITAN_E_REFUSED);
    CHECK(reason == 7);
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    CHECK_STATUS(witan_ledger_enroll(ledger, made.token, sign.bytes, other.bytes,
                                     other.bytes, LEDGER_SEATS, LEDGER_NOW, &peer,
                                     &reason, NULL),
                 WITAN_E_REFUSED);
    CHECK(reason == 7);
    /* The name and the seat are free again; the living bearer is found first. */
    CHECK_STATUS(ledger_enroll(ledger, 2, &peer, &reason, NULL), WITAN_OK);
    CHECK(peer.seat == 0);
    CHECK_STATUS(witan_ledger_peer(ledger, "hospital-north", &peer, NULL), WITAN_OK);
    CHECK(peer.state == WITAN_PEER_APPROVED && peer.sign_key[0] == 2);
    (void)ledger_must_enroll(ledger, 3);
    CHECK_STATUS(witan_ledger_peers(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 3 && list[0].sign_key[0] == 2 && list[1].sign_key[0] == 3 &&
          list[2].sign_key[0] == 1 && list[2].state == WITAN_PEER_REVOKED);
    witan_free(witan_allocator_default(), list);
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_ledger_peer(ledger, "hospital-nort", &peer, &diag),
                 WITAN_E_STATE);
    CHECK_STRING(diag.message, "no peer is called hospital-nort (did you mean "
                               "hospital-north?); see witan peers list");
    CHECK_STRING(witan_peer_state_text(WITAN_PEER_PENDING), "pending");
    CHECK_STRING(witan_peer_state_text((witan_peer_state)7), "unknown");
    witan_ledger_close(&ledger);
}

static void
what_is_seen_of_peers_is_kept(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_peer peer = ledger_must_enroll(ledger, 1), found;
    ledger_key fresh = ledger_key_of(1, 'n'), taken = ledger_key_of(2, 't');
    static const uint8_t none[32];
    (void)ledger_must_enroll(ledger, 2);
    (void)snprintf(peer.model, sizeof peer.model, "lenet");
    (void)snprintf(peer.program, sizeof peer.program, "witan 0.1.0");
    peer.samples = 1234;
    peer.seen_s = LEDGER_NOW + 5;
    peer.connected = true;
    CHECK_STATUS(witan_ledger_peer_seen(ledger, &peer, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_peer_ask_rotation(ledger, peer.sign_key, NULL), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_peer_rotate(ledger, peer.sign_key, fresh.bytes, false, NULL),
        WITAN_OK);
    witan_ledger_close(&ledger);
    ledger = ledger_must_open(directory);
    CHECK_STATUS(witan_ledger_peer(ledger, "peer-1", &found, NULL), WITAN_OK);
    CHECK_STRING(found.model, "lenet");
    CHECK_STRING(found.program, "witan 0.1.0");
    CHECK(found.samples == 1234 && found.seen_s == LEDGER_NOW + 5 && found.connected &&
          found.must_rotate);
    CHECK(memcmp(found.new_transport_key, fresh.bytes, 32) == 0 &&
          memcmp(found.transport_key, peer.transport_key, 32) == 0);
    CHECK_STATUS(
        witan_ledger_peer_rotate(ledger, peer.sign_key, taken.bytes, true, NULL),
        WITAN_E_STATE);
    CHECK_STATUS(
        witan_ledger_peer_rotate(ledger, peer.sign_key, fresh.bytes, true, NULL),
        WITAN_OK);
    CHECK_STATUS(witan_ledger_nobody_connected(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_peer(ledger, "peer-1", &found, NULL), WITAN_OK);
    CHECK(!found.connected && !found.must_rotate);
    CHECK(memcmp(found.transport_key, fresh.bytes, 32) == 0 &&
          memcmp(found.new_transport_key, none, 32) == 0);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, peer.sign_key, WITAN_PEER_REVOKED, NULL),
        WITAN_OK);
    CHECK_STATUS(witan_ledger_peer_seen(ledger, &peer, NULL), WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_peer_ask_rotation(ledger, peer.sign_key, NULL),
                 WITAN_E_STATE);
    CHECK_STATUS(
        witan_ledger_peer_rotate(ledger, peer.sign_key, fresh.bytes, true, NULL),
        WITAN_E_STATE);
    witan_ledger_close(&ledger);
}

static void
rounds_move_forward_only(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    bool asked[11] = {true, false, true, [9] = true, [10] = true}, read[11], found;
    witan_round_row row, end = {.round = 3,
                                .fused = true,
                                .ended_s = LEDGER_NOW + 60,
                                .answered = 3,
                                .late = 1,
                                .bytes_up = 1ull << 40,
                                .bytes_down = 9,
                                .seconds = 1.25};
    memset(end.exchange, 5, sizeof end.exchange);
    CHECK_STATUS(witan_ledger_last_round(ledger, &row, &found, read, 11, NULL),
                 WITAN_OK);
    CHECK(!found);
    CHECK_STATUS(witan_ledger_round_open(ledger, 3, asked, 11, LEDGER_NOW, NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_ledger_round_open(ledger, 3, asked, 11, LEDGER_NOW, NULL),
                 WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_round_open(ledger, WITAN_ROUNDS_MAX, asked, 11, 1, NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_ledger_last_round(ledger, &row, &found, read, 11, NULL),
                 WITAN_OK);
    CHECK(found && row.round == 3 && row.phase == WITAN_ROUND_OPEN && row.asked == 4 &&
          row.opened_s == LEDGER_NOW && row.answered == 0 && isnan(row.seconds));
    CHECK(memcmp(asked, read, sizeof asked) == 0);
    CHECK_STATUS(witan_ledger_last_round(ledger, &row, &found, read, 10, NULL),
                 WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_last_round(ledger, &row, &found, NULL, 0, NULL),
                 WITAN_OK);
    CHECK(found);
    CHECK_STATUS(witan_ledger_round_fused(ledger, 4, NULL), WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_round_fused(ledger, 3, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_round_fused(ledger, 3, NULL), WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_round_ended(ledger, &end, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_round_ended(ledger, &end, NULL), WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_round_open(ledger, 4, asked, 11, LEDGER_NOW, NULL),
                 WITAN_OK);
    witan_ledger_close(&ledger);
    ledger = ledger_must_open(directory);
    witan_round_row *list;
    size_t count;
    CHECK_STATUS(witan_ledger_rounds(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 2 && list[1].round == 4 && list[1].phase == WITAN_ROUND_OPEN);
    CHECK(list[0].round == 3 && list[0].phase == WITAN_ROUND_ENDED && list[0].fused &&
          list[0].ended_s == end.ended_s && list[0].asked == 4 &&
          list[0].answered == 3 && list[0].late == 1 &&
          list[0].bytes_up == 1ull << 40 && list[0].bytes_down == 9 &&
          list[0].seconds == 1.25 &&
          memcmp(list[0].exchange, end.exchange, sizeof end.exchange) == 0);
    memset(read, 0, sizeof read);
    CHECK_STATUS(witan_ledger_round_asked(ledger, &list[0], read, 11, NULL), WITAN_OK);
    CHECK(memcmp(asked, read, sizeof asked) == 0);
    list[0].round = 77;
    CHECK_STATUS(witan_ledger_round_asked(ledger, &list[0], read, 11, NULL),
                 WITAN_E_STATE);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
one_upload_per_seat_and_round(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    witan_peer first = ledger_must_enroll(ledger, 1),
               second = ledger_must_enroll(ledger, 2);
    bool asked[LEDGER_SEATS] = {true, true}, found;
    witan_upload_row row = ledger_upload_row(0, &first, 100, NULL), read, *list;
    witan_round_row state;
    size_t count;
    witan_diag diag = {0};
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_E_STATE); /* no round */
    CHECK_STATUS(
        witan_ledger_round_open(ledger, 0, asked, LEDGER_SEATS, LEDGER_NOW, NULL),
        WITAN_OK);
    row.used_from = 2;
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_accept(ledger, &row, &diag), WITAN_E_STATE);
    CHECK_STRING(diag.message, "client 0 has an accepted upload for round 0 already");
    CHECK_STATUS(witan_ledger_upload(ledger, 0, 0, &read, &found, NULL), WITAN_OK);
    CHECK(found && memcmp(&row, &read, sizeof row) == 0);
    CHECK_STATUS(witan_ledger_upload(ledger, 0, 1, &read, &found, NULL), WITAN_OK);
    CHECK(!found);
    /* Not its seat, not its key. */
    row = ledger_upload_row(0, &second, 100, NULL);
    row.seat = 5;
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_E_STATE);
    row.seat = 1;
    row.sign_key[31] ^= 1;
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_E_STATE);
    row.sign_key[31] ^= 1;
    row.late = true;
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_last_round(ledger, &state, &found, NULL, 0, NULL),
                 WITAN_OK);
    CHECK(state.answered == 1 && state.late == 1);
    CHECK_STATUS(witan_ledger_uploads(ledger, 0, &list, &count, NULL), WITAN_OK);
    CHECK(count == 2 && list[0].seat == 0 && list[1].seat == 1 && list[1].late);
    witan_free(witan_allocator_default(), list);
    CHECK_STATUS(witan_ledger_uploads(ledger, 1, &list, &count, NULL), WITAN_OK);
    CHECK(count == 0);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

/* Puts an upload through to acceptance. */
static void
upload(witan_ledger *ledger, uint32_t round, const witan_peer *peer, uint32_t used_from)
{
    uint8_t *payload;
    witan_upload_row row = ledger_upload_row(round, peer, 1000, &payload);
    const witan_upload_row *rows[] = {&row};
    row.used_from = used_from;
    CHECK_STATUS(witan_upload_append(ledger, &row, 0, payload, 1000, NULL), WITAN_OK);
    CHECK_STATUS(witan_upload_finish(ledger, rows, 1, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_accept(ledger, &row, NULL), WITAN_OK);
    free(payload);
}

static void
revoking_drops_what_is_not_used_yet(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory);
    witan_peer first = ledger_must_enroll(ledger, 1),
               second = ledger_must_enroll(ledger, 2), heir;
    witan_round_row end = {.round = 0, .fused = true};
    bool asked[LEDGER_SEATS] = {true, true};
    uint32_t reason;
    uint8_t *payload;
    CHECK_STATUS(
        witan_ledger_round_open(ledger, 0, asked, LEDGER_SEATS, LEDGER_NOW, NULL),
        WITAN_OK);
    upload(ledger, 0, &first, 0);
    CHECK_STATUS(witan_ledger_round_fused(ledger, 0, NULL), WITAN_OK);
    upload(ledger, 0, &second, 1); /* late, for the next round */
    CHECK_STATUS(witan_ledger_round_ended(ledger, &end, NULL), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_round_open(ledger, 1, asked, LEDGER_SEATS, LEDGER_NOW, NULL),
        WITAN_OK);
    upload(ledger, 1, &first, 1);
    witan_upload_row part = ledger_upload_row(1, &second, 1000, &payload);
    CHECK_STATUS(witan_upload_append(ledger, &part, 0, payload, 500, NULL), WITAN_OK);
    free(payload);
    witan_upload_row *list;
    size_t count;
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, second.sign_key, WITAN_PEER_REVOKED, NULL),
        WITAN_OK);
    CHECK(!ledger_exists(directory, "uploads/0000000-000001.bin"));
    CHECK(!ledger_exists(directory, "uploads/0000001-000001.part"));
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, first.sign_key, WITAN_PEER_REVOKED, NULL),
        WITAN_OK);
    CHECK(ledger_exists(directory, "uploads/0000000-000000.bin"));
    CHECK(!ledger_exists(directory, "uploads/0000001-000000.bin"));
    CHECK_STATUS(witan_ledger_uploads(ledger, 0, &list, &count, NULL), WITAN_OK);
    CHECK(count == 1 && list[0].round == 0 && list[0].seat == 0);
    witan_free(witan_allocator_default(), list);
    /* Uploads of the revoked are not accepted; the heir of the seat may send its own.
     */
    CHECK_STATUS(witan_ledger_accept(ledger, &part, NULL), WITAN_E_STATE);
    heir = ledger_must_enroll(ledger, 3);
    CHECK(heir.seat == 0);
    upload(ledger, 1, &heir, 1);
    CHECK_STATUS(ledger_enroll(ledger, 3, &heir, &reason, NULL), WITAN_OK);
    /* Fused, though not ended: who counts is fixed. */
    CHECK_STATUS(witan_ledger_round_fused(ledger, 1, NULL), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_peer_set_state(ledger, heir.sign_key, WITAN_PEER_REVOKED, NULL),
        WITAN_OK);
    CHECK(ledger_exists(directory, "uploads/0000001-000000.bin"));
    CHECK_STATUS(witan_ledger_uploads(ledger, 1, &list, &count, NULL), WITAN_OK);
    CHECK(count == 1);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
results_are_kept_with_their_gaps(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    bool asked[LEDGER_SEATS] = {true};
    witan_result_row row = {.round = 0,
                            .seat = 3,
                            .train_loss = 0.5,
                            .distill_loss = (double)NAN,
                            .own_before = {1, 2, 3},
                            .own_after = {4, (double)INFINITY, 6},
                            .global_before = {7, 8, (double)NAN},
                            .global_after = {10, 11, 0.1},
                            .bytes_up = 1,
                            .bytes_down = 2},
                     *list;
    size_t count;
    CHECK_STATUS(witan_ledger_done(ledger, &row, NULL), WITAN_E_STATE); /* no round */
    CHECK_STATUS(
        witan_ledger_round_open(ledger, 0, asked, LEDGER_SEATS, LEDGER_NOW, NULL),
        WITAN_OK);
    CHECK_STATUS(witan_ledger_done(ledger, &row, NULL), WITAN_OK);
    row.train_loss = 99;
    CHECK_STATUS(witan_ledger_done(ledger, &row, NULL), WITAN_OK);
    row.seat = 1;
    CHECK_STATUS(witan_ledger_done(ledger, &row, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_results(ledger, 0, &list, &count, NULL), WITAN_OK);
    CHECK(count == 2 && list[0].seat == 1 && list[0].train_loss == 99);
    CHECK(list[1].seat == 3 && list[1].train_loss == 0.5 &&
          isnan(list[1].distill_loss) && list[1].own_before[2] == 3 &&
          list[1].own_after[0] == 4 && isinf(list[1].own_after[1]) &&
          list[1].global_before[1] == 8 && isnan(list[1].global_before[2]) &&
          list[1].global_after[2] == 0.1 && list[1].bytes_up == 1 &&
          list[1].bytes_down == 2);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
events_are_tidy_and_newest_last(void)
{
    witan_ledger *ledger = ledger_must_open(ledger_fresh());
    char longer[400];
    witan_event_row *list;
    size_t count;
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 254, "\xc3\xa9", 3);
    witan_ledger_event(ledger, LEDGER_NOW, "enrolled", "site-a\nas client 3");
    witan_ledger_event(ledger, LEDGER_NOW + 1, "revoked", longer);
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    witan_ledger_event(ledger, LEDGER_NOW + 2, "undone", "");
    witan_ledger_rollback(ledger);
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    witan_ledger_event(ledger, LEDGER_NOW + 3, "inside", "");
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_events(ledger, 2, &list, &count, NULL), WITAN_OK);
    CHECK(count == 2 && list[0].at_s == LEDGER_NOW + 1 && strlen(list[0].text) == 254);
    CHECK_STRING(list[1].id, "inside");
    witan_free(witan_allocator_default(), list);
    CHECK_STATUS(witan_ledger_events(ledger, SIZE_MAX, &list, &count, NULL), WITAN_OK);
    CHECK(count == 3);
    CHECK_STRING(list[0].text, "site-a?as client 3");
    witan_free(witan_allocator_default(), list);
    /* Only the newest 100,000 stay. */
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    for (uint64_t i = 0; i < 100000; i++) {
        witan_ledger_event(ledger, i, "many", "");
    }
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_events(ledger, SIZE_MAX, &list, &count, NULL), WITAN_OK);
    CHECK(count == 100000 && list[0].at_s == 0 && list[99999].at_s == 99999);
    witan_free(witan_allocator_default(), list);
    witan_ledger_close(&ledger);
}

static void
transactions_are_whole_or_nothing(void)
{
    const char *directory = ledger_fresh();
    witan_ledger *ledger = ledger_must_open(directory), *other = NULL;
    char *value;
    uint64_t before, after;
    CHECK_STATUS(
        witan_ledger_open(&other, directory, false, witan_allocator_default(), NULL),
        WITAN_OK);
    CHECK_STATUS(witan_ledger_version(other, &before, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_set(ledger, "a", "1", NULL), WITAN_OK);
    witan_ledger_rollback(ledger);
    CHECK_STATUS(witan_ledger_setting(ledger, "a", &value, NULL), WITAN_OK);
    CHECK(value == NULL);
    CHECK_STATUS(witan_ledger_version(other, &after, NULL), WITAN_OK);
    CHECK(before == after);
    /* A part that fails leaves the rest of the transaction standing. */
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_set(ledger, "a", "1", NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_round_fused(ledger, 0, NULL), WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_set(ledger, "b", "2", NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_setting(other, "a", &value, NULL), WITAN_OK);
    CHECK(value == NULL);
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_version(other, &after, NULL), WITAN_OK);
    CHECK(before != after);
    CHECK_STATUS(witan_ledger_setting(other, "b", &value, NULL), WITAN_OK);
    CHECK_STRING(value, "2");
    witan_free(witan_allocator_default(), value);
    /* A part of several steps that fails leaves none of its steps. */
    witan_invitation made = ledger_invitation(1, "site-a"), *list;
    size_t count;
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, false, LEDGER_NOW, NULL),
        WITAN_OK);
    made.seat = LEDGER_SEATS;
    CHECK_STATUS(
        witan_ledger_invite(ledger, &made, LEDGER_SEATS, true, LEDGER_NOW, NULL),
        WITAN_E_STATE);
    CHECK_STATUS(witan_ledger_commit(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_invitations(ledger, &list, &count, NULL), WITAN_OK);
    CHECK(count == 1);
    witan_free(witan_allocator_default(), list);
    /* Closing undoes what was not committed. */
    CHECK_STATUS(witan_ledger_begin(ledger, NULL), WITAN_OK);
    CHECK_STATUS(witan_ledger_set(ledger, "a", "3", NULL), WITAN_OK);
    witan_ledger_close(&ledger);
    CHECK_STATUS(witan_ledger_setting(other, "a", &value, NULL), WITAN_OK);
    CHECK_STRING(value, "1");
    witan_free(witan_allocator_default(), value);
    witan_ledger_close(&other);
}

int
main(void)
{
    RUN(settings_are_kept);
    RUN(names_and_seats_are_promised_once);
    RUN(enrolment_uses_an_invitation_once);
    RUN(full_house_refuses);
    RUN(peers_change_state_by_the_rules);
    RUN(what_is_seen_of_peers_is_kept);
    RUN(rounds_move_forward_only);
    RUN(one_upload_per_seat_and_round);
    RUN(revoking_drops_what_is_not_used_yet);
    RUN(results_are_kept_with_their_gaps);
    RUN(events_are_tidy_and_newest_last);
    RUN(transactions_are_whole_or_nothing);
    return witan_test_finish();
}
