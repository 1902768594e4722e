/* peers_command.c - `witan peers`: who is a member of a federation, and who may be. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/overview.h"
#include "cli/table.h"
#include "cli/terminal.h"

#define OUTPUT_BYTES_MAX ((size_t)256 << 20)

static struct {
    char *name;
    const char *state;
    bool json;
} args;

static const witan_option options[] = {
    WITAN_OPTION_STATE(&args.state),
    WITAN_OPTION_JSON(&args.json),
};

static const char help[] =
    "usage: witan peers list --state DIR [--json]\n"
    "       witan peers show|approve|revoke|rotate NAME --state DIR [--json]\n\n"
    "list     clients that have enrolled, and open invitations\n"
    "show     all about one client, with the six words of its fingerprint: the\n"
    "         client's side printed the same when it joined, or somebody stands\n"
    "         between; compare them by telephone\n"
    "approve  lets a client take part that was invited with --confirm\n"
    "revoke   throws a client out for good: its connection ends within a second,\n"
    "         its number is free for another one\n"
    "rotate   asks a client for a new transport key; it answers when it is next\n"
    "         connected\n\n"
    "  --state DIR         the coordinator's state directory\n"
    "  --json              one JSON object on standard output\n\n"
    "Works while the coordinator runs and while it does not.\n\n"
    "Examples:\n"
    "  witan peers list --state coordinator-state\n"
    "  witan peers show site-a --state coordinator-state\n"
    "  witan peers revoke site-a --state coordinator-state\n\n"
    "Exit codes: 0 done, 1 failed (no such client), 2 usage, 3 damaged state.\n";

/* What an action works with. */
typedef struct people {
    witan_ledger *ledger;
    witan_overview view;
    uint64_t now_s;
} people;

static witan_member *
member_of(const people *self, const uint8_t sign_key[32])
{
    for (size_t i = 0; i < self->view.members_count; i++) {
        if (memcmp(self->view.members[i].peer.sign_key, sign_key, 32) == 0) {
            return &self->view.members[i];
        }
    }
    return NULL;
}

/* The ledger finds the name, or the nearest one. */
static witan_status
find(witan_member **out, const people *self, witan_diag *diag)
{
    witan_peer peer;
    WITAN_TRY(witan_ledger_peer(self->ledger, args.name, &peer, diag));
    witan_wipe(peer.psk, sizeof peer.psk);
    *out = member_of(self, peer.sign_key);
    return *out != NULL
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_STATE,
                                 "%s enrolled this moment; try again", args.name);
}

static void
fingerprint_of(char out[WITAN_FINGERPRINT_MAX], const people *self,
               const witan_peer *peer)
{
    witan_public_identity identity;
    memcpy(identity.sign, peer->sign_key, sizeof identity.sign);
    memcpy(identity.transport, peer->transport_key, sizeof identity.transport);
    witan_fingerprint(out, &self->view.identity, &identity);
}

static void
tell_peer(witan_text *out, const people *self, const witan_peer *peer)
{
    char fingerprint[WITAN_FINGERPRINT_MAX];
    fingerprint_of(fingerprint, self, peer);
    witan_json_open(out, NULL, "{");
    witan_json_count(out, "client", peer->seat);
    witan_json_text(out, "name", peer->name);
    witan_json_text(out, "state", witan_peer_state_text(peer->state));
    witan_json_flag(out, "connected", peer->connected);
    witan_json_count(out, "enrolled_s", peer->enrolled_s);
    witan_json_count(out, "seen_s", peer->seen_s);
    witan_json_count(out, "samples", peer->samples);
    witan_json_text(out, "model", peer->model);
    witan_json_text(out, "program", peer->program);
    witan_json_flag(out, "rotation_asked", peer->must_rotate);
    witan_json_text(out, "fingerprint", fingerprint);
    witan_json_close(out, "}");
}

/* --- list ------------------------------------------------------------------------- */

static void
tell_list(witan_text *out, const people *self)
{
    witan_json_open(out, NULL, "{");
    witan_json_open(out, "peers", "[");
    for (size_t i = 0; i < self->view.members_count; i++) {
        tell_peer(out, self, &self->view.members[i].peer);
    }
    witan_json_close(out, "]");
    witan_json_open(out, "invitations", "[");
    for (size_t i = 0; i < self->view.open_count; i++) {
        const witan_invitation *open = &self->view.open[i];
        witan_json_open(out, NULL, "{");
        witan_json_text(out, "name", open->name);
        witan_json_number(out, "client",
                          open->seat == WITAN_SEAT_ANY ? (double)NAN
                                                       : (double)open->seat);
        witan_json_flag(out, "confirm", open->confirm);
        witan_json_count(out, "expires_s", open->expires_s);
        witan_json_close(out, "}");
    }
    witan_json_close(out, "]}\n");
}

static const char *
seen_text(char out[32], const people *self, const witan_peer *peer)
{
    if (peer->connected) {
        return "connected";
    }
    if (peer->seen_s == 0) {
        return "never";
    }
    (void)snprintf(out, 32, "%s ago", witan_age_of(peer->seen_s, self->now_s).text);
    return out;
}

static void
show_peers(witan_text *out, const people *self)
{
    static const char *const heads[] = {">client", "name",  "state",      "seen",
                                        "model",   ">rows", "fingerprint"};
    char seen[32], fingerprint[WITAN_FINGERPRINT_MAX];
    witan_table table;
    witan_table_init(&table, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < self->view.members_count; i++) {
        const witan_peer *peer = &self->view.members[i].peer;
        fingerprint_of(fingerprint, self, peer);
        witan_table_add(&table, "%lu", (unsigned long)peer->seat);
        witan_table_add(&table, "%s", peer->name);
        witan_table_add(&table, "%s", witan_peer_state_text(peer->state));
        witan_table_add(&table, "%s", seen_text(seen, self, peer));
        witan_table_add(&table, "%s", peer->model[0] == '\0' ? "-" : peer->model);
        witan_table_add(&table, "%llu", (unsigned long long)peer->samples);
        witan_table_add(&table, "%.11s...", fingerprint); /* two of the six words */
    }
    witan_table_show(&table, out);
    witan_table_fini(&table);
    if (self->view.members_count == 0) {
        witan_text_format(out, "nobody has enrolled yet; witan invite NAME makes the "
                               "line that admits a client\n");
    }
}

static void
show_invitations(witan_text *out, const people *self)
{
    static const char *const heads[] = {"invited", ">client", "expires in", ""};
    witan_table table;
    witan_table_init(&table, heads, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < self->view.open_count; i++) {
        const witan_invitation *open = &self->view.open[i];
        witan_table_add(&table, "%s", open->name);
        if (open->seat == WITAN_SEAT_ANY) {
            witan_table_add(&table, "any");
        } else {
            witan_table_add(&table, "%lu", (unsigned long)open->seat);
        }
        witan_table_add(&table, "%s", witan_age_of(self->now_s, open->expires_s).text);
        witan_table_add(&table, "%s", open->confirm ? "must be approved" : "");
    }
    witan_text_format(out, "%s", table.cells > 0 ? "\n" : "");
    witan_table_show(&table, out);
    witan_table_fini(&table);
}

static witan_status
list(people *self, witan_text *out, witan_diag *diag)
{
    (void)diag;
    if (args.json) {
        tell_list(out, self);
    } else {
        show_peers(out, self);
        show_invitations(out, self);
    }
    return WITAN_OK;
}

/* --- one peer --------------------------------------------------------------------- */

static void
show_peer(witan_text *out, const people *self, const witan_peer *peer)
{
    char stamp[WITAN_STAMP_MAX], seen[32], fingerprint[WITAN_FINGERPRINT_MAX];
    fingerprint_of(fingerprint, self, peer);
    witan_stamp(stamp, peer->enrolled_s);
    witan_text_format(out,
                      "name         %s\n"
                      "client       %lu\n"
                      "state        %s\n"
                      "seen         %s\n"
                      "enrolled     %s\n"
                      "model        %s\n"
                      "rows         %llu\n"
                      "program      %s\n"
                      "fingerprint  %s\n",
                      peer->name, (unsigned long)peer->seat,
                      witan_peer_state_text(peer->state), seen_text(seen, self, peer),
                      stamp, peer->model[0] == '\0' ? "-" : peer->model,
                      (unsigned long long)peer->samples,
                      peer->program[0] == '\0' ? "-" : peer->program, fingerprint);
    if (peer->must_rotate) {
        witan_text_format(out, "rotation     asked for\n");
    }
}

/* The peer as it is, or as it is now, for programs. */
static void
tell_one(witan_text *out, const people *self, const witan_peer *peer)
{
    tell_peer(out, self, peer);
    witan_text_format(out, "\n");
}

static witan_status
show(people *self, witan_text *out, witan_diag *diag)
{
    witan_member *member;
    WITAN_TRY(find(&member, self, diag));
    if (args.json) {
        tell_one(out, self, &member->peer);
    } else {
        show_peer(out, self, &member->peer);
    }
    return WITAN_OK;
}

/* A change and its line in the audit trail, together. */
static witan_status
commit(people *self, witan_status status, const char *id, const witan_peer *peer,
       witan_diag *diag)
{
    char text[128];
    if (status != WITAN_OK) {
        witan_ledger_rollback(self->ledger);
        return status;
    }
    (void)snprintf(text, sizeof text, "peer=%s seat=%lu by a command", peer->name,
                   (unsigned long)peer->seat);
    witan_ledger_event(self->ledger, self->now_s, id, text);
    return witan_ledger_commit(self->ledger, diag);
}

static witan_status
set_state(people *self, witan_peer_state state, witan_text *out, const char *id,
          const char *sentence, witan_diag *diag)
{
    witan_member *member;
    WITAN_TRY(find(&member, self, diag));
    witan_peer *peer = &member->peer;
    WITAN_TRY(witan_ledger_begin(self->ledger, diag));
    WITAN_TRY(commit(
        self, witan_ledger_peer_set_state(self->ledger, peer->sign_key, state, diag),
        id, peer, diag));
    peer->state = state;
    if (args.json) {
        tell_one(out, self, peer);
    } else {
        witan_text_format(out, "%s (client %lu) %s\n", peer->name,
                          (unsigned long)peer->seat, sentence);
    }
    return WITAN_OK;
}

static witan_status
approve(people *self, witan_text *out, witan_diag *diag)
{
    return set_state(self, WITAN_PEER_APPROVED, out, "approve",
                     "is approved; it takes part from the next round on", diag);
}

static witan_status
revoke(people *self, witan_text *out, witan_diag *diag)
{
    return set_state(self, WITAN_PEER_REVOKED, out, "revoke",
                     "is revoked: its keys are worth nothing any more, and its number "
                     "is free; to let it in again, witan invite it anew",
                     diag);
}

static witan_status
rotate(people *self, witan_text *out, witan_diag *diag)
{
    witan_member *member;
    WITAN_TRY(find(&member, self, diag));
    witan_peer *peer = &member->peer;
    WITAN_TRY(witan_ledger_begin(self->ledger, diag));
    WITAN_TRY(commit(self,
                     witan_ledger_peer_ask_rotation(self->ledger, peer->sign_key, diag),
                     "rotate", peer, diag));
    peer->must_rotate = true;
    if (args.json) {
        tell_one(out, self, peer);
    } else {
        witan_text_format(out,
                          "%s (client %lu) is asked for a new transport key%s; its "
                          "fingerprint changes then\n",
                          peer->name, (unsigned long)peer->seat,
                          peer->connected ? "" : " when it is next connected");
    }
    return WITAN_OK;
}

/* --- command ---------------------------------------------------------------------- */

/* What the actions share: the ledger is open, and what they add to `out` is printed. */
static witan_status
with_people(witan_status (*act)(people *self, witan_text *out, witan_diag *diag),
            witan_diag *diag)
{
    people self = {.now_s = witan_wall_s(NULL)};
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), OUTPUT_BYTES_MAX);
    witan_status status = witan_ledger_open(&self.ledger, args.state, false,
                                            witan_allocator_default(), diag);
    if (status == WITAN_OK) {
        status = witan_overview_load(&self.view, self.ledger, self.now_s, diag);
    }
    if (status == WITAN_OK) {
        status = act(&self, &text, diag);
    }
    if (status == WITAN_OK) {
        status = witan_print_result(&text, diag);
    }
    witan_overview_fini(&self.view);
    witan_ledger_close(&self.ledger);
    witan_text_fini(&text);
    return status;
}

static witan_status
run_list(witan_diag *diag)
{
    return with_people(list, diag);
}

static witan_status
run_show(witan_diag *diag)
{
    return with_people(show, diag);
}

static witan_status
run_approve(witan_diag *diag)
{
    return with_people(approve, diag);
}

static witan_status
run_revoke(witan_diag *diag)
{
    return with_people(revoke, diag);
}

static witan_status
run_rotate(witan_diag *diag)
{
    return with_people(rotate, diag);
}

#define OPTIONS options, sizeof options / sizeof options[0]

static const witan_action actions[] = {
    {"list", NULL, false, OPTIONS, run_list},
    {"show", "NAME", true, OPTIONS, run_show},
    {"approve", "NAME", true, OPTIONS, run_approve},
    {"revoke", "NAME", true, OPTIONS, run_revoke},
    {"rotate", "NAME", true, OPTIONS, run_rotate},
};

int
witan_command_peers(int argc, char **argv)
{
    return witan_actions_run("witan peers", help, actions,
                             sizeof actions / sizeof actions[0], &args.name, argc,
                             argv);
}
