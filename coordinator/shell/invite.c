#include "coordinator/shell/invite.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    TTL_MIN_S = 60
};
static const uint64_t ttl_max_s = (uint64_t)365 * 24 * 3600;

static int
digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_key(uint8_t out[WITAN_KEY_SIZE], const char *hex)
{
    if (strlen(hex) != 2 * WITAN_KEY_SIZE) {
        return false;
    }
    for (size_t i = 0; i < WITAN_KEY_SIZE; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* A setting that a coordinator writes at its start. */
static witan_status
setting(witan_ledger *ledger, const char *name, char **value, witan_diag *diag)
{
    WITAN_TRY(witan_ledger_setting(ledger, name, value, diag));
    return *value != NULL
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_STATE,
                                 "no experiment here yet: start `witan coordinator` "
                                 "with this state directory once, then invite");
}

static witan_status
damaged(witan_diag *diag, const char *name)
{
    return witan_diag_fail(diag, WITAN_E_DATA,
                           "witan.db: setting \"%s\" is damaged; restore a backup",
                           name);
}

static witan_status
read_key(witan_ledger *ledger, const char *name, uint8_t out[WITAN_KEY_SIZE],
         witan_diag *diag)
{
    char *value;
    WITAN_TRY(setting(ledger, name, &value, diag));
    bool ok = parse_key(out, value);
    witan_free(witan_allocator_default(), value);
    return ok ? WITAN_OK : damaged(diag, name);
}

static witan_status
read_seats(witan_ledger *ledger, uint32_t *out, witan_diag *diag)
{
    char *value;
    uint64_t seats = 0;
    WITAN_TRY(setting(ledger, "seats", &value, diag));
    bool ok =
        witan_text_parse_u64(value, &seats) && seats >= 1 && seats <= WITAN_CLIENTS_MAX;
    witan_free(witan_allocator_default(), value);
    *out = (uint32_t)seats;
    return ok ? WITAN_OK : damaged(diag, "seats");
}

static witan_status
fill_line(witan_join_line *line, witan_ledger *ledger,
          const witan_invite_options *options, witan_diag *diag)
{
    char *endpoint = NULL;
    const char *where = options->endpoint;
    WITAN_TRY(read_key(ledger, "identity_sign", line->coordinator.sign, diag));
    WITAN_TRY(
        read_key(ledger, "identity_transport", line->coordinator.transport, diag));
    if (where == NULL) {
        WITAN_TRY(setting(ledger, "endpoint", &endpoint, diag));
        where = endpoint;
    }
    witan_status status = witan_endpoint_check(where, false, diag);
    if (status == WITAN_OK) {
        (void)snprintf(line->endpoint, sizeof line->endpoint, "%s", where);
        (void)snprintf(line->name, sizeof line->name, "%s", options->name);
        witan_join_line_draw(line);
    }
    witan_free(witan_allocator_default(), endpoint);
    return status;
}

static void
fill_invitation(witan_invitation *out, const witan_join_line *line,
                const witan_invite_options *options)
{
    uint8_t door_secret[WITAN_KEY_SIZE];
    *out = (witan_invitation){
        .seat = options->seat,
        .created_s = options->now_s,
        .expires_s = options->now_s + options->ttl_s,
        .confirm = options->confirm,
    };
    memcpy(out->token, line->token, sizeof out->token);
    (void)snprintf(out->name, sizeof out->name, "%s", line->name);
    witan_join_door_key(out->door_key, door_secret, line->secret);
    witan_join_psk(out->psk, line->secret);
    witan_wipe(door_secret, sizeof door_secret);
}

witan_status
witan_invite(witan_ledger *ledger, const witan_invite_options *options,
             char line[WITAN_JOIN_LINE_MAX], witan_diag *diag)
{
    witan_join_line join = {0};
    witan_invitation invitation = {0};
    uint32_t seats = 0;
    line[0] = '\0';
    WITAN_TRY(witan_peer_name_check(options->name, diag));
    if (options->ttl_s < TTL_MIN_S || options->ttl_s > ttl_max_s) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "an invitation lasts from 1 minute to 365 days");
    }
    WITAN_TRY(read_seats(ledger, &seats, diag));
    if (options->seat != WITAN_SEAT_ANY && options->seat >= seats) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "seat %u: this experiment has seats 0 to %u",
                               (unsigned)options->seat, (unsigned)seats - 1);
    }
    witan_status status = fill_line(&join, ledger, options, diag);
    if (status == WITAN_OK) {
        fill_invitation(&invitation, &join, options);
        status = witan_ledger_invite(ledger, &invitation, seats, options->replace,
                                     options->now_s, diag);
    }
    if (status == WITAN_OK) {
        witan_join_line_format(&join, line);
    }
    witan_wipe(&join, sizeof join);
    witan_wipe(&invitation, sizeof invitation);
    return status;
}
