/* ledger_peers.c - who has come: states, keys, what was last seen of them. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/ledger_private.h"

#define PEER_COLUMNS                                                                   \
    "seat, name, state, sign_key, transport_key, new_transport_key, psk, "             \
    "must_rotate, enrolled_s, seen_s, model, program, samples, connected"

const char *
witan_peer_state_text(witan_peer_state state)
{
    static const char *const texts[] = {"pending", "approved", "revoked"};
    return (size_t)state < sizeof texts / sizeof texts[0] ? texts[state] : "unknown";
}

static void
read_peer(witan_query *query, witan_peer *out)
{
    out->seat = (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX - 1);
    witan_query_text(query, out->name, sizeof out->name);
    out->state = (witan_peer_state)witan_query_u64(query, WITAN_PEER_REVOKED);
    witan_query_bytes(query, out->sign_key, sizeof out->sign_key);
    witan_query_bytes(query, out->transport_key, sizeof out->transport_key);
    witan_query_bytes_or_zeros(query, out->new_transport_key,
                               sizeof out->new_transport_key);
    witan_query_bytes(query, out->psk, sizeof out->psk);
    out->must_rotate = witan_query_bool(query);
    out->enrolled_s = witan_query_u64(query, INT64_MAX);
    out->seen_s = witan_query_u64(query, INT64_MAX);
    witan_query_text(query, out->model, sizeof out->model);
    witan_query_text(query, out->program, sizeof out->program);
    out->samples = witan_query_u64(query, INT64_MAX);
    out->connected = witan_query_bool(query);
}

witan_status
witan_ledger_peers(witan_ledger *self, witan_peer **list, size_t *count,
                   witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **list};
    witan_query query;
    void *given;
    witan_query_start(
        &query, self, WITAN_QUERY_PEERS,
        "SELECT " PEER_COLUMNS " FROM peers ORDER BY state = 2, seat, number", diag);
    while (witan_query_row(&query)) {
        witan_peer *item = witan_list_next(&items, &query);
        if (item != NULL) {
            read_peer(&query, item);
        }
    }
    witan_status status = witan_list_give(&items, &query, &given, count);
    *list = given;
    return status;
}

/* Reads the one row of a started query; a failure leaves zeros. */
static witan_status
find(witan_query *query, witan_peer *out, bool *found)
{
    memset(out, 0, sizeof *out);
    *found = witan_query_row(query);
    if (*found) {
        read_peer(query, out);
    }
    witan_status status = witan_query_end(query);
    if (status != WITAN_OK) {
        explicit_bzero(out, sizeof *out);
        *found = false;
    }
    return status;
}

witan_status
witan_ledger_peer_find(witan_ledger *self, const uint8_t sign_key[32], witan_peer *out,
                       bool *found, witan_diag *diag)
{
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_PEER_BY_KEY,
                      "SELECT " PEER_COLUMNS " FROM peers WHERE sign_key = ?", diag);
    witan_query_bind_bytes(&query, sign_key, 32);
    return find(&query, out, found);
}

typedef struct peer_name {
    char text[WITAN_NAME_MAX + 1];
} peer_name;

/* "no peer is called NAME", with the nearest name that there is. */
static witan_status
nobody_called(witan_ledger *self, const char *name, witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof(peer_name)};
    witan_query query;
    void *given;
    size_t count;
    witan_query_start(&query, self, WITAN_QUERY_PEER_NAMES, "SELECT name FROM peers",
                      diag);
    while (witan_query_row(&query)) {
        peer_name *item = witan_list_next(&items, &query);
        if (item != NULL) {
            witan_query_text(&query, item->text, sizeof item->text);
        }
    }
    WITAN_TRY(witan_list_give(&items, &query, &given, &count));
    const peer_name *names = given;
    const char **words = witan_alloc(self->allocator, count + 1, sizeof *words);
    for (size_t i = 0; i < count && words != NULL; i++) {
        words[i] = names[i].text;
    }
    const char *nearest = words == NULL ? NULL : witan_text_nearest(name, words, count);
    witan_status status = witan_diag_fail(
        diag, WITAN_E_STATE, "no peer is called %s%s%s%s; see witan peers list", name,
        nearest == NULL ? "" : " (did you mean ", nearest == NULL ? "" : nearest,
        nearest == NULL ? "" : "?)");
    witan_free(self->allocator, words);
    witan_free(self->allocator, given);
    return status;
}

witan_status
witan_ledger_peer(witan_ledger *self, const char *name, witan_peer *out,
                  witan_diag *diag)
{
    witan_query query;
    bool found;
    witan_query_start(&query, self, WITAN_QUERY_PEER_BY_NAME,
                      "SELECT " PEER_COLUMNS " FROM peers WHERE name = ? "
                      "ORDER BY number DESC LIMIT 1", /* only the last may live */
                      diag);
    witan_query_bind_text(&query, name);
    WITAN_TRY(find(&query, out, &found));
    return found ? WITAN_OK : nobody_called(self, name, diag);
}

/* An upload is unused while no round from used_from on has been fused. */
#define UNUSED                                                                         \
    "kept = 1 AND sign_key = ? AND NOT EXISTS (SELECT 1 FROM rounds WHERE "            \
    "rounds.round >= uploads.used_from AND (phase = 1 OR fused = 1))"

/* Rounds whose files go when a peer is revoked: those of its unused uploads, and the
 * unfinished ones, for which a part may have come. */
static witan_status
drop_unused(witan_ledger *self, const uint8_t sign_key[32], uint32_t **rounds,
            size_t *count, witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **rounds};
    witan_query query;
    void *given;
    witan_query_start(&query, self, WITAN_QUERY_PEER_UNUSED,
                      "SELECT round FROM uploads WHERE " UNUSED
                      " UNION SELECT round FROM rounds WHERE phase = 0",
                      diag);
    witan_query_bind_bytes(&query, sign_key, 32);
    while (witan_query_row(&query)) {
        uint32_t *round = witan_list_next(&items, &query);
        if (round != NULL) {
            *round = (uint32_t)witan_query_u64(&query, WITAN_ROUNDS_MAX - 1);
        }
    }
    WITAN_TRY(witan_list_give(&items, &query, &given, count));
    *rounds = given;
    witan_query_start(&query, self, WITAN_QUERY_PEER_UNUSED_DROP,
                      "DELETE FROM uploads WHERE " UNUSED, diag);
    witan_query_bind_bytes(&query, sign_key, 32);
    return witan_query_run(&query, NULL);
}

static witan_status
check_state_change(const witan_peer *peer, bool found, witan_peer_state state,
                   witan_diag *diag)
{
    if (!found) {
        return witan_diag_fail(diag, WITAN_E_STATE, "no peer has this key");
    }
    if (peer->state == WITAN_PEER_REVOKED) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s was revoked, which is for good; invite it anew",
                               peer->name);
    }
    if (state == WITAN_PEER_APPROVED && peer->state != WITAN_PEER_PENDING) {
        return witan_diag_fail(diag, WITAN_E_STATE, "%s is not pending: it is %s",
                               peer->name, witan_peer_state_text(peer->state));
    }
    return WITAN_OK;
}

witan_status
witan_ledger_peer_set_state(witan_ledger *self, const uint8_t sign_key[32],
                            witan_peer_state state, witan_diag *diag)
{
    witan_peer peer;
    witan_query query;
    bool found;
    uint32_t *rounds = NULL;
    size_t count = 0;
    if (state != WITAN_PEER_APPROVED && state != WITAN_PEER_REVOKED) {
        return witan_diag_fail(diag, WITAN_E_INVALID, "a peer is approved or revoked");
    }
    WITAN_TRY(witan_change_begin(self, diag));
    witan_status status = witan_ledger_peer_find(self, sign_key, &peer, &found, diag);
    if (status == WITAN_OK) {
        status = check_state_change(&peer, found, state, diag);
    }
    if (status == WITAN_OK && state == WITAN_PEER_REVOKED) {
        status = drop_unused(self, sign_key, &rounds, &count, diag);
    }
    if (status == WITAN_OK) {
        witan_query_start(&query, self, WITAN_QUERY_PEER_STATE,
                          "UPDATE peers SET state = ?, connected = connected * ? "
                          "WHERE sign_key = ?",
                          diag);
        witan_query_bind_u64(&query, state);
        witan_query_bind_u64(&query, state != WITAN_PEER_REVOKED);
        witan_query_bind_bytes(&query, sign_key, 32);
        status = witan_query_run(&query, NULL);
    }
    status = witan_change_end(self, status, diag);
    /* Within a caller's transaction the files wait for witan_upload_prune. */
    for (size_t i = 0; i < count && status == WITAN_OK && !self->inside; i++) {
        witan_upload_unlink(self, rounds[i], peer.seat, true);
    }
    witan_free(self->allocator, rounds);
    explicit_bzero(&peer, sizeof peer);
    return status;
}

/* Runs a change of one living peer. */
static witan_status
change_living(witan_ledger *self, witan_query *query, witan_diag *diag)
{
    size_t rows;
    witan_status status = witan_query_run(query, &rows);
    if (status == WITAN_OK && rows != 1) {
        status = witan_diag_fail(diag, WITAN_E_STATE,
                                 "no peer that is not revoked has this key");
    }
    return witan_change_end(self, status, diag);
}

witan_status
witan_ledger_peer_ask_rotation(witan_ledger *self, const uint8_t sign_key[32],
                               witan_diag *diag)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(
        &query, self, WITAN_QUERY_PEER_ASK,
        "UPDATE peers SET must_rotate = 1 WHERE sign_key = ? AND state < 2", diag);
    witan_query_bind_bytes(&query, sign_key, 32);
    return change_living(self, &query, diag);
}

witan_status
witan_ledger_peer_rotate(witan_ledger *self, const uint8_t sign_key[32],
                         const uint8_t transport_key[32], bool adopt, witan_diag *diag)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, diag));
    if (adopt) {
        witan_query_start(&query, self, WITAN_QUERY_PEER_ADOPT,
                          "UPDATE peers SET transport_key = ?, new_transport_key = "
                          "NULL, must_rotate = 0 WHERE sign_key = ? AND state < 2",
                          diag);
    } else {
        witan_query_start(&query, self, WITAN_QUERY_PEER_ANNOUNCE,
                          "UPDATE peers SET new_transport_key = ? WHERE sign_key = ? "
                          "AND state < 2",
                          diag);
    }
    witan_query_bind_bytes(&query, transport_key, 32);
    witan_query_bind_bytes(&query, sign_key, 32);
    return change_living(self, &query, diag);
}

witan_status
witan_ledger_peer_seen(witan_ledger *self, const witan_peer *peer, witan_diag *diag)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_PEER_SEEN,
                      "UPDATE peers SET model = ?, program = ?, samples = ?, seen_s = "
                      "?, connected = ? WHERE sign_key = ? AND state < 2",
                      diag);
    witan_query_bind_text(&query, peer->model);
    witan_query_bind_text(&query, peer->program);
    witan_query_bind_u64(&query, peer->samples);
    witan_query_bind_u64(&query, peer->seen_s);
    witan_query_bind_u64(&query, peer->connected);
    witan_query_bind_bytes(&query, peer->sign_key, sizeof peer->sign_key);
    return change_living(self, &query, diag);
}

witan_status
witan_ledger_nobody_connected(witan_ledger *self, witan_diag *diag)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_NOBODY,
                      "UPDATE peers SET connected = 0 WHERE connected = 1", diag);
    return witan_change_end(self, witan_query_run(&query, NULL), diag);
}
