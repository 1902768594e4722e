/* ledger_results.c - what clients reported, and the audit trail. */
#include <stdio.h>
#include <string.h>

#include "store/ledger_private.h"

static const uint64_t events_kept = 100000;

#define RESULT_COLUMNS                                                                 \
    "round, seat, train_loss, distill_loss, "                                          \
    "own_before_accuracy, own_before_loss, own_before_ece, "                           \
    "own_after_accuracy, own_after_loss, own_after_ece, "                              \
    "global_before_accuracy, global_before_loss, global_before_ece, "                  \
    "global_after_accuracy, global_after_loss, global_after_ece, "                     \
    "bytes_up, bytes_down"

witan_status
witan_ledger_done(witan_ledger *self, const witan_result_row *row, witan_diag *diag)
{
    const double *const metrics[] = {row->own_before, row->own_after,
                                     row->global_before, row->global_after};
    witan_query query;
    if (row->seat >= WITAN_CLIENTS_MAX) {
        return witan_diag_fail(diag, WITAN_E_INVALID, "client %u: too large",
                               row->seat);
    }
    WITAN_TRY(witan_change_begin(self, diag));
    witan_query_start(&query, self, WITAN_QUERY_DONE,
                      "INSERT INTO results (" RESULT_COLUMNS ") VALUES (?, ?, ?, ?, ?, "
                      "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                      "ON CONFLICT (round, seat) DO NOTHING",
                      diag);
    witan_query_bind_u64(&query, row->round);
    witan_query_bind_u64(&query, row->seat);
    witan_query_bind_double(&query, row->train_loss);
    witan_query_bind_double(&query, row->distill_loss);
    for (size_t i = 0; i < 12; i++) {
        witan_query_bind_double(&query, metrics[i / 3][i % 3]);
    }
    witan_query_bind_u64(&query, row->bytes_up);
    witan_query_bind_u64(&query, row->bytes_down);
    return witan_change_end(self, witan_query_run(&query, NULL), diag);
}

static void
read_result(witan_query *query, witan_result_row *out)
{
    double *const metrics[] = {out->own_before, out->own_after, out->global_before,
                               out->global_after};
    out->round = (uint32_t)witan_query_u64(query, WITAN_ROUNDS_MAX - 1);
    out->seat = (uint32_t)witan_query_u64(query, WITAN_CLIENTS_MAX - 1);
    out->train_loss = witan_query_double(query);
    out->distill_loss = witan_query_double(query);
    for (size_t i = 0; i < 12; i++) {
        metrics[i / 3][i % 3] = witan_query_double(query);
    }
    out->bytes_up = witan_query_u64(query, INT64_MAX);
    out->bytes_down = witan_query_u64(query, INT64_MAX);
}

witan_status
witan_ledger_results(witan_ledger *self, uint32_t round, witan_result_row **list,
                     size_t *count, witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **list};
    witan_query query;
    void *given;
    witan_query_start(
        &query, self, WITAN_QUERY_RESULTS,
        "SELECT " RESULT_COLUMNS " FROM results WHERE round = ? ORDER BY seat", diag);
    witan_query_bind_u64(&query, round);
    while (witan_query_row(&query)) {
        witan_result_row *item = witan_list_next(&items, &query);
        if (item != NULL) {
            read_result(&query, item);
        }
    }
    witan_status status = witan_list_give(&items, &query, &given, count);
    *list = given;
    return status;
}

/* --- events ----------------------------------------------------------------------- */

/* A copy without control characters, cut to fit, never within a UTF-8 character. */
static void
tidy(char *out, size_t room, const char *text)
{
    size_t length = strlen(text);
    if (length >= room) {
        length = room - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        out[i] = byte < 0x20 || byte == 0x7f ? '?' : text[i];
    }
    out[length] = '\0';
}

/* Adds an event and forgets the oldest. */
static witan_status
add_event(witan_ledger *self, const witan_event_row *row)
{
    witan_query query;
    witan_query_start(&query, self, WITAN_QUERY_EVENT,
                      "INSERT INTO events (at_s, id, text) VALUES (?, ?, ?)", NULL);
    witan_query_bind_u64(&query, row->at_s);
    witan_query_bind_text(&query, row->id);
    witan_query_bind_text(&query, row->text);
    WITAN_TRY(witan_query_run(&query, NULL));
    witan_query_start(&query, self, WITAN_QUERY_EVENTS_FORGET,
                      "DELETE FROM events WHERE number <= "
                      "(SELECT max(number) FROM events) - ?",
                      NULL);
    witan_query_bind_u64(&query, events_kept);
    return witan_query_run(&query, NULL);
}

void
witan_ledger_event(witan_ledger *self, uint64_t now_s, const char *id, const char *text)
{
    witan_event_row row = {.at_s = now_s};
    tidy(row.id, sizeof row.id, id);
    tidy(row.text, sizeof row.text, text);
    witan_status status = witan_change_begin_unsynced(self);
    if (status == WITAN_OK) {
        status = witan_change_end(self, add_event(self, &row), NULL);
    }
    (void)status; /* a trail that cannot be written stops nothing */
}

witan_status
witan_ledger_events(witan_ledger *self, size_t newest, witan_event_row **list,
                    size_t *count, witan_diag *diag)
{
    witan_list items = {.allocator = self->allocator, .size = sizeof **list};
    witan_query query;
    void *given;
    witan_query_start(&query, self, WITAN_QUERY_EVENTS,
                      "SELECT at_s, id, text FROM (SELECT * FROM events "
                      "ORDER BY number DESC LIMIT ?) ORDER BY number",
                      diag);
    witan_query_bind_u64(&query, newest > events_kept ? events_kept : newest);
    while (witan_query_row(&query)) {
        witan_event_row *item = witan_list_next(&items, &query);
        if (item != NULL) {
            item->at_s = witan_query_u64(&query, INT64_MAX);
            witan_query_text(&query, item->id, sizeof item->id);
            witan_query_text(&query, item->text, sizeof item->text);
        }
    }
    witan_status status = witan_list_give(&items, &query, &given, count);
    *list = given;
    return status;
}
