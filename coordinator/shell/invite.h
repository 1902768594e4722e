/* invite.h - makes the line that admits a client, and reads what of it the ledger has.
 * Why here: `witan invite` and `witan coordinator --invite` share it. */
#ifndef WITAN_COORDINATOR_SHELL_INVITE_H
#define WITAN_COORDINATOR_SHELL_INVITE_H

#include "secure/join_line.h"
#include "store/ledger.h"

typedef struct witan_invite_options {
    const char *name;     /* [A-Za-z0-9._-]{1,64} */
    uint64_t ttl_s;       /* 60 s to 365 days */
    uint32_t seat;        /* WITAN_SEAT_ANY, or a client number */
    bool confirm;         /* the peer waits for `witan peers approve` */
    bool replace;         /* withdraw an older invitation of that name */
    const char *endpoint; /* NULL: the ledger's advertised one */
    uint64_t now_s;
} witan_invite_options;

/* Draws a token, stores its public half in the ledger, writes the join line into `line`
 * (a secret: the caller shows it once and wipes it). The ledger was opened with the
 * default allocator. Errors: E_CONFIG (name, ttl, endpoint), E_STATE (no experiment
 * yet, name or seat taken, no seat free), those of the ledger.
 */
WITAN_NODISCARD witan_status witan_invite(witan_ledger *ledger,
                                          const witan_invite_options *options,
                                          char line[WITAN_JOIN_LINE_MAX],
                                          witan_diag *diag);

#endif
