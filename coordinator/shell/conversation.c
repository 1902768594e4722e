/* conversation.c - what an open session may say, and what is answered.
 * Nothing here waits for the disk but an enrolment and a rotation; what the core must
 * decide is noted in the peer's seat and decided after this batch of frames. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/shell/server_private.h"

static const char enrol_domain[] = "WITAN-enroll-v1";
static const char rotate_domain[] = "WITAN-rotate-v1";
enum {
    APPROVAL_MS = 5000 /* a pending client asks again */
};

void
server_refuse(witan_server *self, server_connection *at, uint32_t round,
              witan_packet_reason reason, uint64_t retry_after_ms, const char *format,
              ...)
{
    witan_packet packet = {.kind = WITAN_PACKET_REFUSED};
    va_list arguments;
    packet.is.refused.round = round;
    packet.is.refused.reason = reason;
    packet.is.refused.retry_after_ms = retry_after_ms;
    va_start(arguments, format);
    (void)vsnprintf(packet.is.refused.text, sizeof packet.is.refused.text, format,
                    arguments);
    va_end(arguments);
    server_send(self, at, &packet);
}

static void
makes_no_sense(witan_server *self, server_connection *at, const char *why)
{
    server_complain(self, at, SERVER_BAD_PACKET, "%s", why);
    server_refuse(self, at, 0, WITAN_REASON_PROTOCOL, 0, "%s", why);
}

/* --- enrolment -------------------------------------------------------------------- */

static void
duration(char *out, size_t room, uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;
    while (i < 3 && seconds < 2 * units[i].seconds) {
        i++;
    }
    (void)snprintf(out, room, "%" PRIu64 " %s", seconds / units[i].seconds,
                   units[i].unit);
}

static void
refuse_enrolment(witan_server *self, server_connection *at,
                 const witan_invitation *invitation, uint32_t reason)
{
    char ago[64];
    uint64_t now_s = server_wall(self);
    const char *name = invitation->name;
    switch (reason) {
    case WITAN_REASON_TOKEN_EXPIRED:
        duration(ago, sizeof ago,
                 now_s > invitation->expires_s ? now_s - invitation->expires_s : 0);
        server_refuse(self, at, 0, WITAN_REASON_TOKEN_EXPIRED, 0,
                      "the invitation expired %s ago; ask for a new one: "
                      "witan invite %s",
                      ago, name);
        break;
    case WITAN_REASON_TOKEN_USED:
        server_complain(self, at, SERVER_BAD_TOKEN,
                        "the invitation for %s was used again, with other keys: if "
                        "that was not its owner, revoke %s",
                        name, name);
        server_say(self,
                   "ALARM: the invitation for %s was used again, with other keys; if "
                   "that was not its owner: witan peers revoke %s",
                   name, name);
        server_refuse(self, at, 0, WITAN_REASON_TOKEN_USED, 0,
                      "the invitation was used by other keys; tell the coordinator's "
                      "admin, and ask for a new one: witan invite %s",
                      name);
        break;
    case WITAN_REASON_FULL:
        server_refuse(self, at, 0, WITAN_REASON_FULL, 0,
                      "all %zu seats are taken; the coordinator's admin can revoke a "
                      "peer that is gone",
                      self->seats);
        break;
    default:
        server_refuse(self, at, 0, WITAN_REASON_TOKEN_UNKNOWN, 0,
                      "the invitation was withdrawn; ask for a new one: witan invite "
                      "%s",
                      name);
        break;
    }
}

static void
enrol(witan_server *self, server_connection *at, const witan_packet *packet)
{
    const uint8_t *sign_key = packet->is.enroll.sign_key;
    uint8_t signed_bytes[2 * WITAN_KEY_SIZE], psk[WITAN_KEY_SIZE];
    const server_invitation *invitation = server_peers_invitation(self, at->key);
    witan_packet answer = {.kind = WITAN_PACKET_ENROLLED};
    witan_diag diag = {0};
    witan_peer peer;
    uint32_t reason = 0;
    memcpy(signed_bytes, witan_session_hash(at->session), WITAN_KEY_SIZE);
    memcpy(signed_bytes + WITAN_KEY_SIZE, at->noise_key, WITAN_KEY_SIZE);
    if (invitation == NULL ||
        memcmp(packet->is.enroll.transport_key, at->noise_key, WITAN_KEY_SIZE) != 0 ||
        !witan_signature_valid(sign_key, enrol_domain, signed_bytes,
                               sizeof signed_bytes, packet->is.enroll.proof)) {
        server_complain(self, at, SERVER_BAD_HANDSHAKE, "enrolment without proof");
        server_sessions_doom(self, at, true);
        return;
    }
    witan_peer_psk(psk, invitation->it.psk, sign_key);
    witan_status status = witan_ledger_enroll(self->ledger, at->token, sign_key,
                                              at->noise_key, psk, (uint32_t)self->seats,
                                              server_wall(self), &peer, &reason, &diag);
    witan_wipe(psk, sizeof psk);
    if (status == WITAN_E_REFUSED) {
        refuse_enrolment(self, at, &invitation->it, reason);
        return;
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        server_refuse(self, at, 0, WITAN_REASON_BUSY, SERVER_NO_SPACE_MS,
                      "the coordinator cannot write its state just now");
        return;
    }
    answer.is.enrolled.client = peer.seat;
    answer.is.enrolled.approved = peer.state == WITAN_PEER_APPROVED;
    memcpy(answer.is.enrolled.name, peer.name, sizeof peer.name);
    server_note(self, WITAN_LOG_INFO, "enrolled", "peer=%s seat=%u state=%s", peer.name,
                (unsigned)peer.seat, witan_peer_state_text(peer.state));
    server_say(self, "%s joined as client %u%s", peer.name, (unsigned)peer.seat,
               peer.state == WITAN_PEER_PENDING ? "; it waits for: witan peers approve"
                                                : "");
    witan_wipe(&peer, sizeof peer);
    status = server_peers_load(self, &diag);
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
    }
    server_peers_admit(self); /* it comes back at once, with its own key */
    server_send(self, at, &answer);
}

/* --- attaching -------------------------------------------------------------------- */

void
server_ask_rotation(witan_server *self, server_connection *at)
{
    const witan_packet ask = {.kind = WITAN_PACKET_ROTATE_REQUEST};
    if (self->seat[at->seat].peer.must_rotate && at->attached && !at->rotation_asked) {
        at->rotation_asked = true;
        server_send(self, at, &ask);
    }
}

static void
attach(witan_server *self, server_connection *at, const witan_packet *packet)
{
    const server_seat *seat = &self->seat[at->seat];
    if (seat->peer.state == WITAN_PEER_PENDING) {
        server_refuse(self, at, 0, WITAN_REASON_NOT_APPROVED, APPROVAL_MS,
                      "%s waits for approval at the coordinator: witan peers approve "
                      "%s",
                      seat->peer.name, seat->peer.name);
        return;
    }
    if (self->finished) {
        server_say_bye(self, at);
        return;
    }
    witan_packet plan = {.kind = WITAN_PACKET_PLAN};
    plan.is.plan.client = at->seat;
    memcpy(plan.is.plan.name, seat->peer.name, sizeof seat->peer.name);
    plan.is.plan.experiment = self->plan.data;
    plan.is.plan.embedded_data = self->config.data.path[0] == '\0';
    plan.is.plan.has_transfer = self->package != NULL;
    memcpy(plan.is.plan.transfer_digest, self->package_digest, WITAN_DIGEST_SIZE);
    plan.is.plan.transfer_bytes = self->package_size;
    plan.is.plan.transfer_rows = self->package != NULL ? self->transfer_rows : 0;
    plan.is.plan.classes = (uint32_t)self->core_config.classes;
    plan.is.plan.parameters = self->core_config.parameters;
    at->attached = true;
    memcpy(at->program, packet->is.attach.program, sizeof at->program);
    server_send(self, at, &plan);
    server_ask_rotation(self, at);
}

static void
ready(witan_server *self, server_connection *at, const witan_packet *packet)
{
    server_seat *seat = &self->seat[at->seat];
    bool has = self->package != NULL;
    if (packet->is.ready.has_transfer != has ||
        (has && memcmp(packet->is.ready.transfer_digest, self->package_digest,
                       WITAN_DIGEST_SIZE) != 0)) {
        server_refuse(self, at, 0, WITAN_REASON_TRANSFER, 0,
                      "this is not the transfer set of this experiment; fetch it "
                      "again");
        return;
    }
    if (!seat->told_present) {
        server_note(self, WITAN_LOG_INFO, "ready", "peer=%s seat=%u", seat->peer.name,
                    (unsigned)at->seat);
    }
    at->ready = true;
    seat->peer.samples = packet->is.ready.samples;
    seat->peer.seen_s = server_wall(self);
    (void)snprintf(seat->peer.model, sizeof seat->peer.model, "%.63s",
                   packet->is.ready.model);
    (void)snprintf(seat->peer.program, sizeof seat->peer.program, "%.63s", at->program);
    seat->present = seat->told_present = seat->note = self->pending = true;
}

/* --- rotation --------------------------------------------------------------------- */

static void
rotate(witan_server *self, server_connection *at, const witan_packet *packet)
{
    const server_seat *seat = &self->seat[at->seat];
    const uint8_t *key = packet->is.rotate.transport_key;
    witan_diag diag = {0};
    if (!witan_signature_valid(seat->peer.sign_key, rotate_domain, key, WITAN_KEY_SIZE,
                               packet->is.rotate.proof) ||
        (server_peers_seat_of(self, key) != SERVER_NOBODY &&
         server_peers_seat_of(self, key) != at->seat) ||
        server_peers_invitation(self, key) != NULL) {
        server_complain(self, at, SERVER_BAD_ROTATION, "new key refused");
        server_refuse(self, at, 0, WITAN_REASON_SIGNATURE, 0,
                      "the new transport key is not signed by its owner");
        return;
    }
    witan_status status =
        witan_ledger_peer_rotate(self->ledger, seat->peer.sign_key, key, false, &diag);
    if (status == WITAN_OK) {
        server_note(self, WITAN_LOG_INFO, "rotation-announced", "peer=%s",
                    seat->peer.name);
        status = server_peers_load(self, &diag);
        server_peers_admit(self); /* it may come with the new key at once */
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        server_refuse(self, at, 0, WITAN_REASON_BUSY, SERVER_NO_SPACE_MS,
                      "the coordinator cannot write its state just now");
    }
}

/* --- everything ------------------------------------------------------------------- */

static void
get(witan_server *self, server_connection *at, const witan_packet *packet)
{
    const server_get request = {
        .what = packet->is.get.what,
        .round = packet->is.get.round,
        .size = packet->is.get.size,
        .offset = packet->is.get.offset,
    };
    if (!server_sessions_get(self, at, &request)) {
        server_complain(self, at, SERVER_TOO_FAST, "asks for more than its window");
        server_sessions_doom(self, at, true);
    }
}

/* What needs no seat. True when that was it. */
static bool
take_common(witan_server *self, server_connection *at, const witan_packet *packet)
{
    witan_packet pong = {.kind = WITAN_PACKET_PONG};
    switch (packet->kind) {
    case WITAN_PACKET_PING:
        pong.is.ping.nonce = packet->is.ping.nonce;
        server_send(self, at, &pong);
        return true;
    case WITAN_PACKET_PONG:
        return true;
    case WITAN_PACKET_BYE:
        if (self->finished && at->seat != SERVER_NOBODY) {
            self->seat[at->seat].heard_end = true;
        }
        server_sessions_doom(self, at, false);
        return true;
    default:
        return false;
    }
}

/* What only a client that has said READY may say. */
static void
take_work(witan_server *self, server_connection *at, const witan_packet *packet)
{
    switch (packet->kind) {
    case WITAN_PACKET_KNOWLEDGE:
        server_uploads_offer(self, at, &packet->is.offer);
        return;
    case WITAN_PACKET_CHUNK:
        server_uploads_chunk(self, at, packet);
        return;
    case WITAN_PACKET_DONE:
        server_rounds_done(self, at, packet);
        return;
    default:
        makes_no_sense(self, at, "a coordinator takes no such packet");
        return;
    }
}

void
server_conversation(witan_server *self, server_connection *at,
                    const witan_packet *packet)
{
    if (take_common(self, at, packet)) {
        return;
    }
    if (at->seat == SERVER_NOBODY) {
        if (packet->kind == WITAN_PACKET_ENROLL) {
            enrol(self, at, packet);
        } else {
            server_refuse(self, at, 0, WITAN_REASON_NOT_ENROLLED, 0,
                          "an enrolment says ENROLL alone");
        }
    } else if (packet->kind == WITAN_PACKET_ATTACH) {
        attach(self, at, packet);
    } else if (packet->kind == WITAN_PACKET_ROTATE) {
        rotate(self, at, packet);
    } else if (!at->attached) {
        makes_no_sense(self, at, "attach first");
    } else if (packet->kind == WITAN_PACKET_READY) {
        ready(self, at, packet);
    } else if (packet->kind == WITAN_PACKET_GET) {
        get(self, at, packet);
    } else if (!at->ready) {
        makes_no_sense(self, at, "say READY first");
    } else {
        take_work(self, at, packet);
    }
}
