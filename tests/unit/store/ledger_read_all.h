/* ledger_read_all.h - reads everything that a ledger holds: for damaged and hostile
 * ones.
 */
#ifndef WITAN_TESTS_LEDGER_READ_ALL_H
#define WITAN_TESTS_LEDGER_READ_ALL_H

#include "store/ledger.h"

/* The first failure stays, whatever the later calls return. */
static inline void
ledger_keep(witan_status *first, witan_status status)
{
    if (*first == WITAN_OK) {
        *first = status;
    }
}

static inline witan_status
ledger_read_all(witan_ledger *ledger, const witan_allocator *allocator,
                witan_diag *diag)
{
    static bool asked[8];
    witan_status first = WITAN_OK;
    witan_peer *peers, peer;
    witan_invitation *invitations;
    witan_round_row *rounds, last;
    witan_upload_row *uploads, upload;
    witan_event_row *events;
    uint64_t version;
    size_t count, rounds_count;
    bool found;
    char *value;
    ledger_keep(&first, witan_ledger_version(ledger, &version, diag));
    ledger_keep(&first, witan_ledger_setting(ledger, "experiment", &value, diag));
    witan_free(allocator, value);
    ledger_keep(&first, witan_ledger_invitations(ledger, &invitations, &count, diag));
    witan_free(allocator, invitations);
    ledger_keep(&first, witan_ledger_peers(ledger, &peers, &count, diag));
    if (count > 0) {
        ledger_keep(&first, witan_ledger_peer(ledger, peers[0].name, &peer, diag));
    }
    witan_free(allocator, peers);
    ledger_keep(&first, witan_ledger_last_round(ledger, &last, &found, asked, 8, diag));
    ledger_keep(&first, witan_ledger_uploads(ledger, 0, &uploads, &count, diag));
    if (count > 0) {
        ledger_keep(&first,
                    witan_ledger_upload(ledger, uploads[0].round, uploads[0].seat,
                                        &upload, &found, diag));
    }
    witan_free(allocator, uploads);
    ledger_keep(&first, witan_ledger_rounds(ledger, &rounds, &rounds_count, diag));
    for (size_t i = 0; i < rounds_count; i++) {
        witan_result_row *results;
        ledger_keep(&first, witan_ledger_results(ledger, rounds[i].round, &results,
                                                 &count, diag));
        witan_free(allocator, results);
    }
    witan_free(allocator, rounds);
    ledger_keep(&first, witan_ledger_events(ledger, SIZE_MAX, &events, &count, diag));
    witan_free(allocator, events);
    return first;
}

#endif
