/* ledger_invitations.c - who may come: invitations made, withdrawn, used.
 * A seat is promised once: by a living peer or by an invitation that is still open. */
#include <string.h>

#include "store/ledger_private.h"

enum {
    KEPT_S = 30 * 24 * 3600,
    REASON_TOKEN_UNKNOWN = 2, /* witan_packet_reason: this room does not see wire */
    REASON_TOKEN_USED = 3,
    REASON_TOKEN_EXPIRED = 4,
    REASON_REVOKED = 7,
    REASON_FULL = 8,
    REASON_PROTOCOL = 18
};

#define INVITATION_COLUMNS                                                             \
    "token, name, seat, door_key, psk, created_s, expires_s, confirm, used_by"

static void
read_invitation(witan_query *query, witan_invitation *out)
{
    witan_query_bytes(query, out->token, sizeof out->token);
    witan_query_text(query, out->name, sizeof out->name);
    out->seat = witan_query_skip_null(query)
                    ? WITAN_SEAT_ANY
                    : (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX - 1);
    witan_query_bytes(query, out->door_key, sizeof out->door_key);
    witan_query_bytes(query, out->psk, sizeof out->psk);
    out->created_s = witan_query_u64(query, INT64_MAX);
    out->expires_s = witan_query_u64(query, INT64_MAX);
    out->confirm = witan_query_bool(query);
    out->used = !witan_query_skip_null(query);
    if (out->used) {
        witan_query_bytes(query, out->used_by, sizeof out->used_by);
    }
}

witan_status
witan_ledger_invitations(witan_ledger *self, witan_invitation **list, size_t *count,
                         witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **list};
    witan_query query;
    void *given;
    witan_query_start(&query, self, WITAN_QUERY_INVITATIONS,
                      "SELECT " INVITATION_COLUMNS
                      " FROM invitations ORDER BY created_s, token",
                      diag);
    while (witan_query_row(&query)) {
        witan_invitation *item = witan_list_next(&items, &query);
        if (item != NULL) {
            read_invitation(&query, item);
        }
    }
    witan_status status = witan_list_give(&items, &query, &given, count);
    *list = given;
    return status;
}

/* The living peer of this name stands in the way. */
static witan_status
check_name_free(witan_ledger *self, const char *name, witan_diag *diag)
{
    witan_query query;
    witan_status status = WITAN_OK;
    witan_query_start(&query, self, WITAN_QUERY_PEER_LIVING,
                      "SELECT seat FROM peers WHERE name = ? AND state < 2", diag);
    witan_query_bind_text(&query, name);
    bool taken = witan_query_row(&query);
    uint64_t seat = taken ? witan_query_u64(&query, WITAN_CLIENTS_MAX - 1) : 0;
    WITAN_TRY(witan_query_end(&query));
    if (taken) {
        status = witan_diag_fail(diag, WITAN_E_STATE,
                                 "%s is enrolled already (client %u); choose another "
                                 "name, or revoke it first: witan peers revoke %s",
                                 name, (unsigned)seat, name);
    }
    return status;
}

/* An invitation of this name that is still open is withdrawn, or stands in the way. */
static witan_status
check_not_invited(witan_ledger *self, const char *name, bool replace, uint64_t now_s,
                  witan_diag *diag)
{
    witan_query query;
    if (replace) {
        witan_query_start(&query, self, WITAN_QUERY_INVITATION_WITHDRAW,
                          "DELETE FROM invitations WHERE name = ? AND used_by IS NULL "
                          "AND expires_s > ?",
                          diag);
        witan_query_bind_text(&query, name);
        witan_query_bind_u64(&query, now_s);
        return witan_query_run(&query, NULL);
    }
    witan_query_start(&query, self, WITAN_QUERY_INVITATION_OPEN,
                      "SELECT expires_s FROM invitations WHERE name = ? AND "
                      "used_by IS NULL AND expires_s > ?",
                      diag);
    witan_query_bind_text(&query, name);
    witan_query_bind_u64(&query, now_s);
    bool open = witan_query_row(&query);
    uint64_t expires_s = open ? witan_query_u64(&query, INT64_MAX) : 0;
    WITAN_TRY(witan_query_end(&query));
    if (!open) {
        return WITAN_OK;
    }
    return witan_diag_fail(
        diag, WITAN_E_STATE,
        "%s is invited already, for %llu more minutes; withdraw that "
        "invitation with --replace",
        name, (unsigned long long)((expires_s - now_s + 59) / 60));
}

/* A seat is left, and it is `seat` unless that is WITAN_SEAT_ANY. */
static witan_status
check_seat_free(witan_ledger *self, uint32_t seat, uint32_t seats, uint64_t now_s,
                witan_diag *diag)
{
    witan_query query;
    uint64_t promised = 0;
    bool taken = false;
    if (seat != WITAN_SEAT_ANY && seat >= seats) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "client %u: the experiment has %u clients, 0 to %u",
                               seat, seats, seats == 0 ? 0 : seats - 1);
    }
    witan_query_start(
        &query, self, WITAN_QUERY_SEATS_PROMISED,
        "SELECT count(*), coalesce(max(seat = ?), 0) FROM ("
        "SELECT seat FROM peers WHERE state < 2 UNION ALL "
        "SELECT seat FROM invitations WHERE used_by IS NULL AND expires_s > ?)",
        diag);
    witan_query_bind_u64(&query, seat);
    witan_query_bind_u64(&query, now_s);
    if (witan_query_row(&query)) {
        promised = witan_query_u64(&query, INT64_MAX);
        taken = witan_query_bool(&query);
    }
    WITAN_TRY(witan_query_end(&query));
    if (taken) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "client %u is taken or promised to another invitation; "
                               "choose another number or none",
                               seat);
    }
    if (promised >= seats) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "no seat is free: all %u clients of the experiment are "
                               "enrolled or invited; revoke a peer or replace an "
                               "invitation",
                               seats);
    }
    return WITAN_OK;
}

static witan_status
add_invitation(witan_ledger *self, const witan_invitation *invitation, witan_diag *diag)
{
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_INVITE,
                      "INSERT INTO invitations (token, name, seat, door_key, psk, "
                      "created_s, expires_s, confirm) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                      diag);
    witan_query_bind_bytes(&query, invitation->token, sizeof invitation->token);
    witan_query_bind_text(&query, invitation->name);
    if (invitation->seat == WITAN_SEAT_ANY) {
        witan_query_bind_null(&query);
    } else {
        witan_query_bind_u64(&query, invitation->seat);
    }
    witan_query_bind_bytes(&query, invitation->door_key, sizeof invitation->door_key);
    witan_query_bind_bytes(&query, invitation->psk, sizeof invitation->psk);
    witan_query_bind_u64(&query, invitation->created_s);
    witan_query_bind_u64(&query, invitation->expires_s);
    witan_query_bind_u64(&query, invitation->confirm);
    return witan_query_run(&query, NULL);
}

static witan_status
forget_old(witan_ledger *self, uint64_t now_s, witan_diag *diag)
{
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_INVITATIONS_FORGET,
                      "DELETE FROM invitations WHERE expires_s < ?", diag);
    witan_query_bind_u64(&query, now_s < KEPT_S ? 0 : now_s - KEPT_S);
    return witan_query_run(&query, NULL);
}

static witan_status
invite(witan_ledger *self, const witan_invitation *invitation, uint32_t seats,
       bool replace, uint64_t now_s, witan_diag *diag)
{
    WITAN_TRY(forget_old(self, now_s, diag));
    WITAN_TRY(check_name_free(self, invitation->name, diag));
    WITAN_TRY(check_not_invited(self, invitation->name, replace, now_s, diag));
    WITAN_TRY(check_seat_free(self, invitation->seat, seats, now_s, diag));
    return add_invitation(self, invitation, diag);
}

witan_status
witan_ledger_invite(witan_ledger *self, const witan_invitation *invitation,
                    uint32_t seats, bool replace, uint64_t now_s, witan_diag *diag)
{
    WITAN_TRY(witan_change_begin(self, diag));
    return witan_change_end(self, invite(self, invitation, seats, replace, now_s, diag),
                            diag);
}

/* --- enrolment -------------------------------------------------------------------- */

static witan_status
refuse(uint32_t *reason, uint32_t number, witan_diag *diag, const char *sentence)
{
    *reason = number;
    return witan_diag_fail(diag, WITAN_E_REFUSED, "%s", sentence);
}

/* The lowest seat that nobody has and no open invitation reserves; `seats` when none.
 */
static witan_status
lowest_free(witan_ledger *self, uint32_t seats, uint64_t now_s, uint32_t *out,
            witan_diag *diag)
{
    witan_query query;
    uint64_t next = 0;
    witan_query_start(&query, self, WITAN_QUERY_SEATS_TAKEN,
                      "SELECT seat FROM peers WHERE state < 2 UNION "
                      "SELECT seat FROM invitations WHERE used_by IS NULL AND "
                      "expires_s > ? AND seat IS NOT NULL ORDER BY 1",
                      diag);
    witan_query_bind_u64(&query, now_s);
    while (witan_query_row(&query) &&
           witan_query_u64(&query, WITAN_CLIENTS_MAX - 1) == next) {
        next++;
    }
    *out = next < seats ? (uint32_t)next : seats;
    return witan_query_end(&query);
}

static witan_status
find_invitation(witan_ledger *self, const uint8_t token[8], witan_invitation *out,
                bool *found, witan_diag *diag)
{
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_INVITATION,
                      "SELECT " INVITATION_COLUMNS " FROM invitations WHERE token = ?",
                      diag);
    witan_query_bind_bytes(&query, token, 8);
    *found = witan_query_row(&query);
    if (*found) {
        read_invitation(&query, out);
    }
    return witan_query_end(&query);
}

/* Marks the invitation used and adds its peer. */
static witan_status
add_peer(witan_ledger *self, const witan_invitation *invitation, const witan_peer *peer,
         witan_diag *diag)
{
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_PEER_ADD,
                      "INSERT INTO peers (seat, name, state, sign_key, transport_key, "
                      "psk, enrolled_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
                      diag);
    witan_query_bind_u64(&query, peer->seat);
    witan_query_bind_text(&query, peer->name);
    witan_query_bind_u64(&query, peer->state);
    witan_query_bind_bytes(&query, peer->sign_key, sizeof peer->sign_key);
    witan_query_bind_bytes(&query, peer->transport_key, sizeof peer->transport_key);
    witan_query_bind_bytes(&query, peer->psk, sizeof peer->psk);
    witan_query_bind_u64(&query, peer->enrolled_s);
    WITAN_TRY(witan_query_run(&query, NULL));
    witan_query_start(&query, self, WITAN_QUERY_INVITATION_USE,
                      "UPDATE invitations SET used_by = ? WHERE token = ?", diag);
    witan_query_bind_bytes(&query, peer->sign_key, sizeof peer->sign_key);
    witan_query_bind_bytes(&query, invitation->token, sizeof invitation->token);
    return witan_query_run(&query, NULL);
}

/* Who uses a used invitation: the same client again, or another. */
static witan_status
enroll_again(witan_ledger *self, const witan_invitation *invitation,
             const witan_peer *asks, witan_peer *peer, uint32_t *reason,
             witan_diag *diag)
{
    witan_peer known = {0};
    bool found = false;
    witan_status status = WITAN_OK;
    if (memcmp(invitation->used_by, asks->sign_key, sizeof asks->sign_key) == 0) {
        WITAN_TRY(witan_ledger_peer_find(self, asks->sign_key, &known, &found, diag));
    }
    if (found && known.state == WITAN_PEER_REVOKED) {
        status = refuse(reason, REASON_REVOKED, diag, "this client was revoked");
    } else if (!found || memcmp(known.transport_key, asks->transport_key,
                                sizeof known.transport_key) != 0) {
        status = refuse(reason, REASON_TOKEN_USED, diag,
                        "the invitation was used by other keys");
    } else {
        *peer = known;
    }
    explicit_bzero(&known, sizeof known);
    return status;
}

/* Keys that the ledger knows do not come a second time under another invitation. */
static witan_status
check_keys_new(witan_ledger *self, const witan_peer *asks, uint32_t *reason,
               witan_diag *diag)
{
    witan_query query;
    witan_query_start(
        &query, self, WITAN_QUERY_PEER_KEYS,
        "SELECT max(CASE WHEN state < 2 THEN 2 ELSE sign_key = ?1 END) FROM peers "
        "WHERE sign_key = ?1 OR (transport_key = ?2 AND state < 2)",
        diag);
    witan_query_bind_bytes(&query, asks->sign_key, sizeof asks->sign_key);
    witan_query_bind_bytes(&query, asks->transport_key, sizeof asks->transport_key);
    uint64_t verdict = 0; /* 1: revoked, 2: of a living peer */
    if (witan_query_row(&query) && !witan_query_skip_null(&query)) {
        verdict = witan_query_u64(&query, 2);
    }
    WITAN_TRY(witan_query_end(&query));
    if (verdict == 1) {
        return refuse(reason, REASON_REVOKED, diag, "this client was revoked");
    }
    return verdict == 0 ? WITAN_OK
                        : refuse(reason, REASON_PROTOCOL, diag,
                                 "these keys are enrolled under another name");
}

static witan_status
enroll(witan_ledger *self, const witan_invitation *invitation, uint32_t seats,
       witan_peer *asks, uint32_t *reason, witan_diag *diag)
{
    if (invitation->expires_s <= asks->enrolled_s) {
        return refuse(reason, REASON_TOKEN_EXPIRED, diag, "the invitation has expired");
    }
    WITAN_TRY(check_keys_new(self, asks, reason, diag));
    memcpy(asks->name, invitation->name, sizeof asks->name);
    asks->state = invitation->confirm ? WITAN_PEER_PENDING : WITAN_PEER_APPROVED;
    asks->seat = invitation->seat;
    if (asks->seat == WITAN_SEAT_ANY) {
        WITAN_TRY(lowest_free(self, seats, asks->enrolled_s, &asks->seat, diag));
    }
    if (asks->seat >= seats) {
        return refuse(reason, REASON_FULL, diag, "no seat is free");
    }
    return add_peer(self, invitation, asks, diag);
}

witan_status
witan_ledger_enroll(witan_ledger *self, const uint8_t token[8],
                    const uint8_t sign_key[32], const uint8_t transport_key[32],
                    const uint8_t psk[32], uint32_t seats, uint64_t now_s,
                    witan_peer *peer, uint32_t *reason, witan_diag *diag)
{
    witan_invitation invitation = {0};
    witan_peer asks = {.enrolled_s = now_s};
    bool found;
    memcpy(asks.sign_key, sign_key, sizeof asks.sign_key);
    memcpy(asks.transport_key, transport_key, sizeof asks.transport_key);
    memcpy(asks.psk, psk, sizeof asks.psk);
    memset(peer, 0, sizeof *peer);
    *reason = 0;
    witan_status status = witan_change_begin(self, diag);
    if (status == WITAN_OK) {
        status = find_invitation(self, token, &invitation, &found, diag);
        if (status == WITAN_OK && !found) {
            status = refuse(reason, REASON_TOKEN_UNKNOWN, diag,
                            "the invitation is not known: never made, or withdrawn");
        } else if (status == WITAN_OK && invitation.used) {
            status = enroll_again(self, &invitation, &asks, peer, reason, diag);
        } else if (status == WITAN_OK) {
            status = enroll(self, &invitation, seats, &asks, reason, diag);
            *peer = asks;
        }
        status = witan_change_end(self, status, diag);
    }
    if (status != WITAN_OK) {
        explicit_bzero(peer, sizeof *peer);
    }
    explicit_bzero(&invitation, sizeof invitation);
    explicit_bzero(&asks, sizeof asks);
    return status;
}
