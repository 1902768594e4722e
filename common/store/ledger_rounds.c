/* ledger_rounds.c - rounds and the uploads accepted in them. Who was asked is a bit per
 * seat: at most 12.5 kB a round. */
#include <stdio.h>
#include <string.h>

#include "store/ledger_private.h"

enum {
    BITS_MAX = 12500 /* bytes */
};
_Static_assert(BITS_MAX *(size_t)8 >= WITAN_CLIENTS_MAX, "a bit per seat");

/* While a round is not ended its uploads are counted. */
#define ROUND_COLUMNS                                                                  \
    "round, phase, fused, opened_s, ended_s, asked, "                                  \
    "CASE WHEN phase = 2 THEN answered ELSE (SELECT count(*) FROM uploads WHERE "      \
    "uploads.round = rounds.round AND uploads.late = 0) END AS answered, "             \
    "CASE WHEN phase = 2 THEN late ELSE (SELECT count(*) FROM uploads WHERE "          \
    "uploads.round = rounds.round AND uploads.late = 1) END AS late, "                 \
    "exchange, bytes_up, bytes_down, seconds"

static witan_status
check_round(uint32_t round, witan_diag *diag)
{
    return round < WITAN_ROUNDS_MAX
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_INVALID, "round %u: too large", round);
}

witan_status
witan_ledger_round_open(witan_ledger *self, uint32_t round, const bool *asked,
                        uint32_t seats, uint64_t now_s, witan_diag *diag)
{
    uint8_t bits[BITS_MAX] = {0};
    uint64_t count = 0;
    witan_query query;
    WITAN_TRY(check_round(round, diag));
    if (seats == 0 || seats > WITAN_CLIENTS_MAX) {
        return witan_diag_fail(diag, WITAN_E_INVALID, "%u seats", seats);
    }
    for (uint32_t seat = 0; seat < seats; seat++) {
        if (asked[seat]) {
            bits[seat / 8] = (uint8_t)(bits[seat / 8] | 1u << seat % 8);
            count++;
        }
    }
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_ROUND_OPEN,
                      "INSERT INTO rounds (round, phase, opened_s, seats, asked, "
                      "asked_bits) VALUES (?, 0, ?, ?, ?, ?)",
                      diag);
    witan_query_bind_u64(&query, round);
    witan_query_bind_u64(&query, now_s);
    witan_query_bind_u64(&query, seats);
    witan_query_bind_u64(&query, count);
    witan_query_bind_bytes(&query, bits, (seats + 7) / 8);
    return witan_change_end(self, witan_query_run(&query, NULL), diag);
}

/* Runs a step of a round that must be in the phase before it. */
static witan_status
move_round(witan_ledger *self, witan_query *query, uint32_t round, const char *odd,
           witan_diag *diag)
{
    size_t rows;
    witan_status status = witan_query_run(query, &rows);
    if (status == WITAN_OK && rows != 1) {
        status = witan_diag_fail(diag, WITAN_E_STATE, "round %u %s", round, odd);
    }
    return witan_change_end(self, status, diag);
}

witan_status
witan_ledger_round_fused(witan_ledger *self, uint32_t round, witan_diag *diag)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_ROUND_FUSED,
                      "UPDATE rounds SET phase = 1 WHERE round = ? AND phase = 0",
                      diag);
    witan_query_bind_u64(&query, round);
    return move_round(self, &query, round, "is not open", diag);
}

witan_status
witan_ledger_round_ended(witan_ledger *self, const witan_round_row *row,
                         witan_diag *diag)
{
    witan_query query;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_ROUND_ENDED,
                      "UPDATE rounds SET phase = 2, fused = ?, ended_s = ?, "
                      "answered = ?, late = ?, exchange = ?, bytes_up = ?, "
                      "bytes_down = ?, seconds = ? WHERE round = ? AND phase < 2",
                      diag);
    witan_query_bind_u64(&query, row->fused);
    witan_query_bind_u64(&query, row->ended_s);
    witan_query_bind_u64(&query, row->answered);
    witan_query_bind_u64(&query, row->late);
    witan_query_bind_bytes(&query, row->exchange, sizeof row->exchange);
    witan_query_bind_u64(&query, row->bytes_up);
    witan_query_bind_u64(&query, row->bytes_down);
    witan_query_bind_double(&query, row->seconds);
    witan_query_bind_u64(&query, row->round);
    return move_round(self, &query, row->round, "is ended already, or was never opened",
                      diag);
}

static void
read_round(witan_query *query, witan_round_row *out)
{
    out->round = (uint32_t)witan_query_u64(query, WITAN_ROUNDS_MAX - 1);
    out->phase = (witan_round_phase)witan_query_u64(query, WITAN_ROUND_ENDED);
    out->fused = witan_query_bool(query);
    out->opened_s = witan_query_u64(query, INT64_MAX);
    out->ended_s = witan_query_u64(query, INT64_MAX);
    out->asked = (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX);
    out->answered = (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX);
    out->late = (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX);
    witan_query_bytes_or_zeros(query, out->exchange, sizeof out->exchange);
    out->bytes_up = witan_query_u64(query, INT64_MAX);
    out->bytes_down = witan_query_u64(query, INT64_MAX);
    out->seconds = witan_query_double(query);
}

witan_status
witan_ledger_round_asked(witan_ledger *self, const witan_round_row *row, bool *asked,
                         uint32_t seats, witan_diag *diag)
{
    uint8_t bits[BITS_MAX];
    uint64_t stored = 0, count = 0;
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_ROUND_ASKED,
                      "SELECT seats, asked_bits FROM rounds WHERE round = ?", diag);
    witan_query_bind_u64(&query, row->round);
    if (witan_query_row(&query)) {
        stored = witan_query_u64(&query, WITAN_CLIENTS_MAX);
        witan_query_bytes(&query, bits, (stored + 7) / 8);
    }
    witan_status status = witan_query_end(&query);
    if (status != WITAN_OK) {
        return status;
    }
    if (stored != seats) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "round %u was opened for %llu clients, the experiment "
                               "has %u; an experiment keeps its number of clients",
                               row->round, (unsigned long long)stored, seats);
    }
    for (uint32_t seat = 0; seat < seats; seat++) {
        asked[seat] = (bits[seat / 8] >> seat % 8 & 1) != 0;
        count += asked[seat];
    }
    return count == row->asked
               ? WITAN_OK
               : witan_ledger_damaged(self, "who was asked in a round does not add up",
                                      diag);
}

witan_status
witan_ledger_last_round(witan_ledger *self, witan_round_row *out, bool *found,
                        bool *asked, uint32_t seats, witan_diag *diag)
{
    witan_query query;
    memset(out, 0, sizeof *out);
    witan_query_start(
        &query, self, WITAN_QUERY_ROUND_LAST,
        "SELECT " ROUND_COLUMNS " FROM rounds ORDER BY round DESC LIMIT 1", diag);
    *found = witan_query_row(&query);
    if (*found) {
        read_round(&query, out);
    }
    witan_status status = witan_query_end(&query);
    if (status == WITAN_OK && *found && asked != NULL) {
        status = witan_ledger_round_asked(self, out, asked, seats, diag);
    }
    *found = *found && status == WITAN_OK;
    return status;
}

witan_status
witan_ledger_rounds(witan_ledger *self, witan_round_row **list, size_t *count,
                    witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **list};
    witan_query query;
    void *given;
    witan_query_start(&query, self, WITAN_QUERY_ROUNDS,
                      "SELECT " ROUND_COLUMNS " FROM rounds ORDER BY round", diag);
    while (witan_query_row(&query)) {
        witan_round_row *item = witan_list_next(&items, &query);
        if (item != NULL) {
            read_round(&query, item);
        }
    }
    witan_status status = witan_list_give(&items, &query, &given, count);
    *list = given;
    return status;
}

/* --- accepted uploads ------------------------------------------------------------- */

#define UPLOAD_COLUMNS                                                                 \
    "round, seat, kind, codec, rows, classes, total, samples, digest, signature, "     \
    "sign_key, late, used_from"

static void
read_upload(witan_query *query, witan_upload_row *out)
{
    out->round = (uint32_t)witan_query_u64(query, WITAN_ROUNDS_MAX - 1);
    out->seat = (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX - 1);
    out->kind = (uint32_t)witan_query_u64(query, UINT32_MAX);
    out->codec = (uint32_t)witan_query_u64(query, UINT32_MAX);
    out->rows = witan_query_u64(query, INT64_MAX);
    out->classes = witan_query_u64(query, INT64_MAX);
    out->total = witan_query_u64(query, WITAN_UPLOAD_BYTES_MAX);
    out->samples = witan_query_u64(query, INT64_MAX);
    witan_query_bytes(query, out->digest, sizeof out->digest);
    witan_query_bytes(query, out->signature, sizeof out->signature);
    witan_query_bytes(query, out->sign_key, sizeof out->sign_key);
    out->late = witan_query_bool(query);
    out->used_from = (uint32_t)witan_query_u64(query, UINT32_MAX);
}

/* Adds the row if its peer is still one: another process may just have revoked it. */
static witan_status
add_upload(witan_ledger *self, const witan_upload_row *row, witan_diag *diag)
{
    witan_query query;
    size_t rows;
    witan_query_start(&query, self, WITAN_QUERY_ACCEPT,
                      "INSERT INTO uploads (" UPLOAD_COLUMNS ") "
                      "SELECT ?, ?2, ?, ?, ?, ?, ?, ?, ?, ?, ?11, ?, ? WHERE EXISTS ("
                      "SELECT 1 FROM peers WHERE sign_key = ?11 AND seat = ?2 AND "
                      "state = 1)",
                      diag);
    witan_query_bind_u64(&query, row->round);
    witan_query_bind_u64(&query, row->seat);
    witan_query_bind_u64(&query, row->kind);
    witan_query_bind_u64(&query, row->codec);
    witan_query_bind_u64(&query, row->rows);
    witan_query_bind_u64(&query, row->classes);
    witan_query_bind_u64(&query, row->total);
    witan_query_bind_u64(&query, row->samples);
    witan_query_bind_bytes(&query, row->digest, sizeof row->digest);
    witan_query_bind_bytes(&query, row->signature, sizeof row->signature);
    witan_query_bind_bytes(&query, row->sign_key, sizeof row->sign_key);
    witan_query_bind_u64(&query, row->late);
    witan_query_bind_u64(&query, row->used_from);
    WITAN_TRY(witan_query_run(&query, &rows));
    return rows == 1 ? WITAN_OK
                     : witan_diag_fail(diag, WITAN_E_STATE,
                                       "client %u: the peer that sent this upload is "
                                       "not an approved one any more",
                                       row->seat);
}

witan_status
witan_ledger_accept(witan_ledger *self, const witan_upload_row *row, witan_diag *diag)
{
    witan_upload_row other;
    bool found;
    WITAN_TRY(witan_change_begin(self, diag));
    witan_status status =
        witan_ledger_upload(self, row->round, row->seat, &other, &found, diag);
    if (status == WITAN_OK && found) {
        status =
            witan_diag_fail(diag, WITAN_E_STATE,
                            "client %u has an accepted upload for round %u already",
                            row->seat, row->round);
    }
    if (status == WITAN_OK) {
        status = add_upload(self, row, diag);
    }
    return witan_change_end(self, status, diag);
}

witan_status
witan_ledger_upload(witan_ledger *self, uint32_t round, uint32_t seat,
                    witan_upload_row *out, bool *found, witan_diag *diag)
{
    witan_query query;
    memset(out, 0, sizeof *out);
    witan_query_start(
        &query, self, WITAN_QUERY_UPLOAD,
        "SELECT " UPLOAD_COLUMNS " FROM uploads WHERE round = ? AND seat = ?", diag);
    witan_query_bind_u64(&query, round);
    witan_query_bind_u64(&query, seat);
    *found = witan_query_row(&query);
    if (*found) {
        read_upload(&query, out);
    }
    witan_status status = witan_query_end(&query);
    *found = *found && status == WITAN_OK;
    return status;
}

witan_status
witan_ledger_uploads(witan_ledger *self, uint32_t first, witan_upload_row **list,
                     size_t *count, witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **list};
    witan_query query;
    void *given;
    witan_query_start(
        &query, self, WITAN_QUERY_UPLOADS,
        "SELECT " UPLOAD_COLUMNS
        " FROM uploads WHERE round >= ? AND kept = 1 ORDER BY round, seat",
        diag);
    witan_query_bind_u64(&query, first);
    while (witan_query_row(&query)) {
        witan_upload_row *item = witan_list_next(&items, &query);
        if (item != NULL) {
            read_upload(&query, item);
        }
    }
    witan_status status = witan_list_give(&items, &query, &given, count);
    *list = given;
    return status;
}
