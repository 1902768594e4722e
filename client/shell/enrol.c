/* enrol.c - from a join line to a member's directory. Keys are on disk before they are
 * said, and the membership only after the coordinator has it: killed anywhere between,
 * the same line with the same keys gives the same seat. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "client/shell/node_private.h"
#include "store/file.h"
#include "store/secret_file.h"

enum {
    ENROL_MS = 30000,
    REFUSALS_MAX = 4 /* a fresh invitation takes a moment to reach the door */
};

typedef struct enrolment {
    const witan_node_options *options;
    const witan_join_line *line;
    const witan_allocator *allocator;
    witan_diag *diag;
    witan_identity *identity;
    uint8_t door_public[WITAN_KEY_SIZE], door_secret[WITAN_KEY_SIZE];
    uint8_t psk[WITAN_KEY_SIZE];
    witan_packet answer;
    bool said, answered;
    unsigned failures, refusals;
} enrolment;

static witan_status
refused(enrolment *self, const witan_packet *packet)
{
    uint32_t reason = packet->is.refused.reason;
    const char *advice =
        reason == WITAN_REASON_TOKEN_USED
            ? "the line was used with other keys: if that was not you, tell the "
              "coordinator's operator at once; else use the first directory"
        : reason == WITAN_REASON_TOKEN_EXPIRED || reason == WITAN_REASON_TOKEN_UNKNOWN
            ? "ask the coordinator's operator for a new line (`witan invite`)"
        : reason == WITAN_REASON_VERSION ? "upgrade the older side"
        : reason == WITAN_REASON_FULL    ? "ask the coordinator's operator for a seat"
                                         : "ask the coordinator's operator";
    if (packet->is.refused.text[0] != '\0') { /* the coordinator says what to do */
        return witan_diag_fail(self->diag, WITAN_E_REFUSED, "%s: %s",
                               self->line->endpoint, packet->is.refused.text);
    }
    return witan_diag_fail(self->diag, WITAN_E_REFUSED, "%s: %s; %s",
                           self->line->endpoint, witan_packet_reason_text(reason),
                           advice);
}

static void
say_enroll(enrolment *self, node_talk *talk, uint64_t now_ms)
{
    const witan_public_identity *mine = witan_identity_public(self->identity);
    uint8_t statement[WITAN_DIGEST_SIZE + WITAN_KEY_SIZE];
    witan_packet packet = {.kind = WITAN_PACKET_ENROLL};
    memcpy(packet.is.enroll.sign_key, mine->sign, WITAN_KEY_SIZE);
    memcpy(packet.is.enroll.transport_key, mine->transport, WITAN_KEY_SIZE);
    memcpy(statement, node_talk_hash(talk), WITAN_DIGEST_SIZE);
    memcpy(statement + WITAN_DIGEST_SIZE, mine->transport, WITAN_KEY_SIZE);
    witan_identity_sign(self->identity, NODE_DOMAIN_ENROLL, statement, sizeof statement,
                        packet.is.enroll.proof);
    node_talk_say(talk, now_ms, &packet);
    self->said = true;
}

/* What the end of a conversation says; OK: worth another attempt. */
static witan_status
judge_end(enrolment *self, node_talk_end end)
{
    switch (end) {
    case NODE_END_REFUSED:
        if (++self->refusals < REFUSALS_MAX) {
            return WITAN_OK;
        }
        return witan_diag_fail(
            self->diag, WITAN_E_REFUSED,
            "%s does not let this line in: it was withdrawn, it is "
            "too old, or another coordinator answers there; ask for a "
            "new line (`witan invite`)",
            self->line->endpoint);
    case NODE_END_FORGED:
        return witan_diag_fail(self->diag, WITAN_E_FORGED,
                               "whoever answers at %s is not the coordinator of this "
                               "line; do not go on, ask its operator",
                               self->line->endpoint);
    case NODE_END_VERSION:
        return witan_diag_fail(self->diag, WITAN_E_UNSUPPORTED,
                               "%s speaks another version of the protocol; upgrade the "
                               "older side",
                               self->line->endpoint);
    default:
        return WITAN_OK;
    }
}

/* One conversation until it is answered or ended. */
static witan_status
converse(enrolment *self, node_talk *talk, uint64_t until_ms)
{
    const volatile sig_atomic_t *stops = self->options->stops;
    self->said = false;
    for (;;) {
        uint64_t now = node_now_ms(self->options);
        if (stops != NULL && *stops > 0) {
            return WITAN_E_INTERRUPTED;
        }
        node_talk_step(talk, now);
        if (!self->said && node_talk_can_say(talk)) {
            say_enroll(self, talk, now);
        }
        while (node_talk_receive(talk, now, &self->answer)) {
            if (self->answer.kind == WITAN_PACKET_ENROLLED) {
                self->answered = true;
                return WITAN_OK;
            }
            if (self->answer.kind == WITAN_PACKET_REFUSED) {
                return self->answer.is.refused.retry_after_ms == 0
                           ? refused(self, &self->answer)
                           : WITAN_OK; /* once more */
            }
        }
        if (node_talk_state_of(talk) == NODE_TALK_ENDED) {
            return judge_end(self, node_talk_end_of(talk));
        }
        if (now >= until_ms) {
            return WITAN_OK;
        }
        node_talk_wait(talk, -1, NODE_POLL_MS);
    }
}

static void
rest(enrolment *self)
{
    uint32_t draw;
    witan_random_secure(&draw, sizeof draw);
    (void)poll(NULL, 0, (int)node_backoff_ms(self->failures++, draw));
}

static witan_status
talk_until_answered(enrolment *self)
{
    uint64_t limit =
        self->options->give_up_ms != 0 ? self->options->give_up_ms : ENROL_MS;
    uint64_t until = node_now_ms(self->options) + limit;
    const node_talk_config config = {
        .endpoint = self->line->endpoint,
        .coordinator = &self->line->coordinator,
        .identity = self->identity,
        .door_public = self->door_public,
        .door_secret = self->door_secret,
        .psk = self->psk,
        .token = self->line->token,
    };
    while (node_now_ms(self->options) < until) {
        node_talk *talk = NULL;
        WITAN_TRY(node_talk_new(&talk, &config, node_now_ms(self->options),
                                self->allocator, self->diag));
        witan_status status = converse(self, talk, until);
        node_talk_free(&talk, 0);
        if (status == WITAN_E_INTERRUPTED) {
            return witan_diag_fail(self->diag, status, "stopped");
        }
        if (status != WITAN_OK || self->answered) {
            return status;
        }
        rest(self);
    }
    return witan_diag_fail(
        self->diag, WITAN_E_UNREACHABLE,
        "no answer from %s in %llu s; is the coordinator running, and "
        "does a firewall let its port through?",
        self->line->endpoint, (unsigned long long)limit / 1000);
}

/* The keys of this directory, made when there are none. */
static witan_status
take_identity(enrolment *self)
{
    const char *directory = self->options->directory;
    WITAN_TRY(
        node_identity_load(&self->identity, directory, NODE_IDENTITY, self->diag));
    if (self->identity != NULL) {
        return WITAN_OK;
    }
    if (witan_identity_new(&self->identity) != WITAN_OK) {
        return witan_diag_fail(self->diag, WITAN_E_MEMORY, "no memory for keys");
    }
    return node_identity_save(self->identity, directory, NODE_IDENTITY, self->diag);
}

/* A directory belongs to one federation for ever. */
static witan_status
check_federation(const enrolment *self)
{
    const char *directory = self->options->directory;
    witan_membership *membership = NULL;
    if (!node_file_exists(directory, NODE_MEMBERSHIP)) {
        return WITAN_OK;
    }
    WITAN_TRY(node_membership_load(&membership, directory, self->diag));
    bool same = memcmp(membership->coordinator.sign, self->line->coordinator.sign,
                       WITAN_KEY_SIZE) == 0;
    void *secret = membership;
    witan_secret_free(&secret);
    return same ? WITAN_OK
                : witan_diag_fail(
                      self->diag, WITAN_E_STATE,
                      "%s is a member of another federation; join in another "
                      "directory",
                      directory);
}

static witan_status
keep_membership(enrolment *self, witan_enrolment *out)
{
    const witan_public_identity *mine = witan_identity_public(self->identity);
    void *secret = witan_secret_alloc(sizeof(witan_membership));
    witan_membership *membership = secret;
    if (membership == NULL) {
        return witan_diag_fail(self->diag, WITAN_E_MEMORY, "no memory for a key");
    }
    membership->coordinator = self->line->coordinator;
    memcpy(membership->endpoint, self->line->endpoint, sizeof self->line->endpoint);
    memcpy(membership->name, self->answer.is.enrolled.name, sizeof membership->name);
    membership->client = self->answer.is.enrolled.client;
    witan_peer_psk(membership->psk, self->psk, mine->sign);
    witan_status status =
        node_membership_save(membership, self->options->directory, self->diag);
    witan_secret_free(&secret);
    out->client = self->answer.is.enrolled.client;
    memcpy(out->name, self->answer.is.enrolled.name, sizeof out->name);
    out->approved = self->answer.is.enrolled.approved;
    witan_fingerprint(out->fingerprint, &self->line->coordinator, mine);
    return status;
}

/* A daemon may start in another working directory. */
static witan_status
make_absolute(char *file, size_t room, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    if (file[0] == '\0') {
        return WITAN_OK;
    }
    if (realpath(file, path) == NULL) {
        return witan_diag_fail(diag, WITAN_E_CONFIG, "%s: %s", file, strerror(errno));
    }
    if (strlen(path) >= room) {
        return witan_diag_fail(diag, WITAN_E_CONFIG, "%s: the path is too long", path);
    }
    memcpy(file, path, strlen(path) + 1);
    return WITAN_OK;
}

witan_status
witan_node_plant(const char *directory, const char *plan,
                 const witan_allocator *allocator, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    witan_node_settings settings;
    WITAN_TRY(node_path(path, directory, NODE_SETTINGS, diag));
    if (!witan_path_exists(path)) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: not enrolled yet; use `witan join`", directory);
    }
    WITAN_TRY(node_settings_load(&settings, directory, allocator, diag));
    int length = snprintf(settings.canaries, sizeof settings.canaries, "%s", plan);
    if (length < 0 || (size_t)length >= sizeof settings.canaries) {
        return witan_diag_fail(diag, WITAN_E_CONFIG, "%s: the path is too long", plan);
    }
    WITAN_TRY(make_absolute(settings.canaries, sizeof settings.canaries, diag));
    return node_settings_save(&settings, directory, allocator, diag);
}

static witan_status
enrol(enrolment *self, witan_node_settings *settings, witan_enrolment *out)
{
    const char *directory = self->options->directory;
    witan_directory_lock *lock = NULL;
    WITAN_TRY(node_settings_check(settings, self->diag));
    WITAN_TRY(make_absolute(settings->data, sizeof settings->data, self->diag));
    WITAN_TRY(make_absolute(settings->canaries, sizeof settings->canaries, self->diag));
    WITAN_TRY(witan_secret_directory_make(directory, self->diag));
    WITAN_TRY(witan_directory_lock_take(&lock, directory, self->allocator, self->diag));
    witan_status status = check_federation(self);
    if (status == WITAN_OK) {
        status = take_identity(self);
    }
    if (status == WITAN_OK) {
        status = talk_until_answered(self);
    }
    if (status == WITAN_OK) {
        status = node_settings_save(settings, directory, self->allocator, self->diag);
    }
    if (status == WITAN_OK) {
        status = keep_membership(self, out);
    }
    witan_directory_unlock(&lock);
    return status;
}

witan_status
witan_node_enrol(const witan_node_options *options, const witan_join_line *line,
                 const witan_node_settings *settings, witan_enrolment *out,
                 const witan_allocator *allocator, witan_diag *diag)
{
    enrolment self = {
        .options = options, .line = line, .allocator = allocator, .diag = diag};
    witan_node_settings kept = *settings;
    memset(out, 0, sizeof *out);
    WITAN_TRY(witan_secure_start(diag));
    witan_join_door_key(self.door_public, self.door_secret, line->secret);
    witan_join_psk(self.psk, line->secret);
    witan_status status = enrol(&self, &kept, out);
    witan_identity_free(&self.identity);
    witan_wipe(self.door_secret, sizeof self.door_secret);
    witan_wipe(self.psk, sizeof self.psk);
    return status;
}
