/* overview.h - a coordinator's ledger as people ask about it: who is there, what came
 * out, who is awaited. Reads only; secrets are wiped before anything is handed out.
 * Why here: status, peers, doctor and the final summary tell the same from the same. */
#ifndef WITAN_CLI_OVERVIEW_H
#define WITAN_CLI_OVERVIEW_H

#include "config/config.h"
#include "secure/identity.h"
#include "store/ledger.h"

typedef struct witan_member {
    witan_peer peer; /* psk zeroed */
    /* NaN until known: accuracy on its own mix in the first and last evaluated round,
     * before distilling in the last one, and on the global test set. */
    double own_first, own_last, own_before, global_last;
    uint64_t answered, late; /* rounds */
    uint64_t bytes_up, bytes_down;
    bool awaited; /* in the round that is open */
} witan_member;

typedef struct witan_round_view {
    witan_round_row row;
    double own_after; /* mean over clients, NaN when nobody was evaluated */
} witan_round_view;

typedef struct witan_overview {
    witan_config config;
    witan_public_identity identity;
    char endpoint[WITAN_ENDPOINT_MAX + 1]; /* where clients reach it; may be empty */
    witan_member *members;                 /* by seat, revoked ones last */
    size_t members_count;
    witan_invitation *open; /* neither used nor expired, by name; psk zeroed */
    size_t open_count;
    witan_round_view *rounds; /* oldest first */
    size_t rounds_count;
    bool finished;
} witan_overview;

/* Owned by the caller, freed with witan_overview_fini; zeroed on failure. Errors:
 * E_STATE (no experiment yet), those of the ledger. Cost O(rounds * seats). */
WITAN_NODISCARD witan_status witan_overview_load(witan_overview *out,
                                                 witan_ledger *ledger, uint64_t now_s,
                                                 witan_diag *diag);
void witan_overview_fini(witan_overview *self);

/* The last round, when it has not ended. */
const witan_round_view *witan_overview_under_way(const witan_overview *self);
size_t witan_overview_count(const witan_overview *self, witan_peer_state state,
                            bool connected_only);
/* Names of the awaited, separated by ", ". */
void witan_overview_awaited(const witan_overview *self, witan_text *out);
/* "open", "fused", "ended". */
const char *witan_round_phase_text(witan_round_phase phase);

/* A small ledger setting; empty when it is absent. Errors: E_DATA (longer). */
WITAN_NODISCARD witan_status witan_overview_setting(witan_ledger *ledger,
                                                    const char *name, char *out,
                                                    size_t room, witan_diag *diag);
/* The experiment of a ledger into `out`, owned. E_STATE when there is none. */
WITAN_NODISCARD witan_status witan_overview_config(witan_config *out,
                                                   witan_ledger *ledger,
                                                   witan_diag *diag);

/* "12 s", "5 min", "3 h", "2 d". */
typedef struct witan_age {
    char text[24];
} witan_age;
witan_age witan_age_of(uint64_t then_s, uint64_t now_s);

#endif
