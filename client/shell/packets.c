/* packets.c - the conversation of a member: what the coordinator says is turned into
 * events of the core and flags of the node; what is due is said while there is room. */
#include <stdio.h>
#include <string.h>

#include "client/shell/node_private.h"
#include "knowledge/soft_labels.h"

/* --- what follows from the core --------------------------------------------------- */

void
node_act(node *self, const witan_client_actions *actions)
{
    self->status_due = true;
    if (actions->send && self->record.round == actions->message_round) {
        if (actions->message == WITAN_MESSAGE_KNOWLEDGE) {
            self->wants_offer = true;
            self->offer_ms = self->now_ms;
        } else {
            self->wants_done = true;
        }
    }
    if (actions->job != WITAN_CLIENT_JOB_NONE) {
        node_start_job(self, actions->job, actions->job_round);
    }
}

static void
step_core(node *self, witan_message_kind kind, uint32_t round)
{
    witan_message message = {.kind = kind, .client = self->core.id, .round = round};
    const witan_client_event event = {WITAN_CLIENT_MESSAGE, &message};
    witan_client_actions actions;
    witan_client_step(&self->core, self->now_ms, &event, &actions);
    node_act(self, &actions);
}

/* --- what the coordinator says ---------------------------------------------------- */

static void
take_plan(node *self, const witan_packet *packet)
{
    node_plan plan;
    if (node_plan_copy(&plan, packet, self->allocator) != WITAN_OK) {
        node_fail(self, WITAN_E_MEMORY, "out of memory for the plan");
        return;
    }
    bool first = self->plan.experiment == NULL;
    if (!first && (strcmp(plan.experiment, self->plan.experiment) != 0 ||
                   plan.client != self->plan.client ||
                   memcmp(plan.transfer_digest, self->plan.transfer_digest,
                          sizeof plan.transfer_digest) != 0)) {
        node_plan_fini(&plan, self->allocator);
        node_fail(self, WITAN_E_STATE,
                  "the coordinator has changed its experiment; start again, in a new "
                  "directory if this one does not fit any more");
        return;
    }
    if (first) {
        self->plan = plan;
    } else {
        node_plan_fini(&plan, self->allocator);
    }
    bool again = self->attached; /* asked twice */
    self->attached = true;
    self->failures = self->refusals = 0;
    self->worked_ms = self->now_ms;
    self->status_due = true;
    node_rotation_worked(self);
    if (!again) {
        char fingerprint[WITAN_FINGERPRINT_MAX];
        witan_fingerprint(fingerprint, &self->membership->coordinator,
                          witan_identity_public(self->identity));
        node_say(self, "connected to %s as %s (client %u), fingerprint %s",
                 self->membership->endpoint, self->plan.name,
                 (unsigned)self->plan.client, fingerprint);
    }
    if (self->prepared) {
        self->wants_ready = true;
    } else if (first) {
        node_start_prepare(self);
    }
}

static void
take_open(node *self, const witan_packet *packet)
{
    uint32_t round = packet->is.open.round;
    if (!self->ready) {
        return;
    }
    if (self->fetch.active && round >= self->core.unopened) {
        node_fetch_stop(&self->fetch,
                        self->allocator); /* that round went on without us */
    }
    step_core(self, WITAN_MESSAGE_OPEN, round);
}

static void
take_fused(node *self, const witan_packet_offer *offer)
{
    witan_packet_offer expected;
    if (!self->ready) {
        return;
    }
    if (self->core.phase != WITAN_CLIENT_WAITING || self->core.round != offer->round) {
        step_core(self, WITAN_MESSAGE_FUSED, offer->round);
        return;
    }
    node_study_offer(&self->study, true, &expected);
    if (offer->kind != expected.kind || offer->codec != expected.codec ||
        offer->rows != expected.rows || offer->classes != expected.classes ||
        offer->total != expected.total) {
        node_say(self,
                 "round %u: the result has another shape than the plan says; it is "
                 "not learned from",
                 (unsigned)offer->round + 1);
        return;
    }
    if (node_fetch_memory(&self->fetch, WITAN_BLOB_FUSED, offer->round, offer->total,
                          offer->digest, self->now_ms, self->allocator) != WITAN_OK) {
        node_fail(self, WITAN_E_MEMORY, "out of memory for what was fused");
    }
}

static bool
fused_is_sound(const node *self, const uint8_t *bytes, size_t size, witan_diag *diag)
{
    witan_packet_offer shape;
    node_study_offer(&self->study, true, &shape);
    if (shape.kind == WITAN_PACKET_PARAMETERS) {
        for (size_t i = 0; i < size; i += sizeof(uint32_t)) {
            uint32_t bits;
            memcpy(&bits, bytes + i, sizeof bits);
            if ((bits & 0x7f800000u) == 0x7f800000u) {
                (void)witan_diag_fail(diag, WITAN_E_DATA, "a parameter is not finite");
                return false;
            }
        }
        return true;
    }
    /* Only looked at. */
    const witan_soft_labels labels = {
        .kind = (witan_knowledge_kind)shape.kind,
        .codec = shape.codec,
        .rows = (size_t)shape.rows,
        .classes = (size_t)shape.classes,
        .bytes = self->fetch.bytes,
        .size = size,
    };
    return witan_soft_labels_check(&labels, diag) == WITAN_OK;
}

static void
fused_is_whole(node *self)
{
    node_fetch *fetch = &self->fetch;
    uint8_t actual[WITAN_DIGEST_SIZE];
    witan_digest digest;
    witan_diag diag = {0};
    uint32_t round = fetch->round;
    witan_digest_init(&digest);
    witan_digest_update(&digest, fetch->bytes, (size_t)fetch->total);
    witan_digest_final(&digest, actual);
    if (memcmp(actual, fetch->digest, sizeof actual) != 0) {
        node_say(self, "round %u: what was fused came damaged; it is fetched again",
                 (unsigned)round + 1);
        node_fetch_stop(fetch, self->allocator);
        node_disconnect(self, 0);
        return;
    }
    if (!fused_is_sound(self, fetch->bytes, (size_t)fetch->total, &diag)) {
        node_say(self, "round %u: what was fused is not learned from: %s",
                 (unsigned)round + 1, diag.message);
        node_fetch_stop(fetch, self->allocator);
        return;
    }
    self->job.fused = fetch->bytes;
    self->job.fused_size = (size_t)fetch->total;
    fetch->bytes = NULL;
    node_fetch_stop(fetch, self->allocator);
    step_core(self, WITAN_MESSAGE_FUSED, round); /* it waits for nothing else */
    WITAN_ASSERT(self->job.kind == NODE_JOB_DISTILL);
}

static void
take_chunk(node *self, const witan_packet *packet)
{
    witan_diag diag = {0};
    if (node_fetch_take(&self->fetch, packet, self->now_ms, &diag) != WITAN_OK) {
        node_say(self, "%s; trying again in %d s", diag.message, NODE_DISK_MS / 1000);
        node_fetch_stop(&self->fetch, self->allocator);
        self->fetch_ms = self->now_ms + NODE_DISK_MS;
    } else if (node_fetch_is_whole(&self->fetch)) {
        if (self->fetch.what == WITAN_BLOB_FUSED) {
            fused_is_whole(self);
        } else {
            node_fetch_stop(&self->fetch, self->allocator);
            node_start_prepare(self);
        }
    }
}

static void
take_get(node *self, const witan_packet *packet)
{
    witan_packet answer = {.kind = WITAN_PACKET_CHUNK};
    const node_record *record = &self->record;
    uint64_t offset = packet->is.get.offset;
    if (packet->is.get.what != WITAN_BLOB_KNOWLEDGE || record->knowledge == NULL ||
        packet->is.get.round != record->round || offset >= record->knowledge_size) {
        answer.kind = WITAN_PACKET_REFUSED;
        answer.is.refused.round = packet->is.get.round;
        answer.is.refused.reason = WITAN_REASON_UNASKED;
        (void)snprintf(answer.is.refused.text, sizeof answer.is.refused.text,
                       "no such bytes here");
    } else {
        size_t left = record->knowledge_size - (size_t)offset;
        answer.is.chunk.what = WITAN_BLOB_KNOWLEDGE;
        answer.is.chunk.round = record->round;
        answer.is.chunk.offset = offset;
        answer.is.chunk.data = record->knowledge + offset;
        answer.is.chunk.size = packet->is.get.size < left ? packet->is.get.size : left;
    }
    node_talk_say(self->talk, self->now_ms, &answer);
}

static void
take_accepted(node *self, const witan_packet *packet)
{
    char size[32];
    if (packet->is.accepted.round != self->record.round || self->accepted ||
        self->record.knowledge == NULL) {
        return;
    }
    self->accepted = true;
    self->wants_offer = false;
    self->status_due = true;
    node_bytes_text(size, self->record.knowledge_size);
    node_say(self, "round %u: sent %s%s", (unsigned)self->record.round + 1, size,
             packet->is.accepted.late ? ", too late for this round" : "");
}

/* About what was offered; true when it was that. */
static bool
offer_refused(node *self, const witan_packet *packet, uint64_t wait_ms)
{
    switch (packet->is.refused.reason) {
    case WITAN_REASON_NO_SPACE:
    case WITAN_REASON_DIGEST:
        self->wants_offer = self->record.knowledge != NULL &&
                            packet->is.refused.round == self->record.round;
        self->offer_ms = self->now_ms + wait_ms;
        return true;
    case WITAN_REASON_SHAPE:
    case WITAN_REASON_VALUES:
    case WITAN_REASON_SIGNATURE:
    case WITAN_REASON_CONFLICT:
    case WITAN_REASON_LATE:
    case WITAN_REASON_UNASKED:
        self->wants_offer = false;
        return true;
    default:
        return false;
    }
}

static void
take_refused(node *self, const witan_packet *packet)
{
    uint32_t reason = packet->is.refused.reason;
    const char *text = packet->is.refused.text[0] != '\0'
                           ? packet->is.refused.text
                           : witan_packet_reason_text(reason);
    uint64_t wait = packet->is.refused.retry_after_ms;
    uint64_t patient = wait != 0 ? wait : NODE_ASK_MS;
    if (reason == WITAN_REASON_REVOKED) {
        node_fail(self, WITAN_E_REFUSED,
                  "%s revoked this client: %s; ask its operator for a new invitation",
                  self->membership->endpoint, text);
        return;
    }
    if (reason == WITAN_REASON_VERSION) {
        node_fail(self, WITAN_E_UNSUPPORTED,
                  "%s refuses this version of witan: %s; upgrade the older side",
                  self->membership->endpoint, text);
        return;
    }
    if (reason == WITAN_REASON_NOT_APPROVED) {
        if (self->complained_ms == 0 ||
            self->now_ms - self->complained_ms >= NODE_MINUTE_MS) {
            self->complained_ms = self->now_ms;
            node_say(self,
                     "waiting for approval: the coordinator's operator runs "
                     "`witan peers approve %s`",
                     self->membership->name);
        }
        self->worked_ms = self->now_ms; /* a session, if one that waits */
        self->wants_attach = true;
        self->attach_ms = self->now_ms + patient;
        return;
    }
    if (reason == WITAN_REASON_UNASKED && self->fetch.active &&
        self->fetch.what == WITAN_BLOB_FUSED &&
        packet->is.refused.round == self->fetch.round) {
        node_fetch_stop(&self->fetch, self->allocator); /* the round went on */
        return;
    }
    node_say(self, "the coordinator refuses: %s", text);
    if (offer_refused(self, packet, wait != 0 ? wait : NODE_BACKOFF_MS)) {
        return;
    }
    if (reason == WITAN_REASON_TRANSFER) { /* asks for the plan again */
        self->wants_attach = true;
        self->attach_ms = self->now_ms + patient;
    } else if (reason == WITAN_REASON_NOT_ENROLLED || reason == WITAN_REASON_FULL ||
               reason == WITAN_REASON_BUSY) {
        node_disconnect(self, patient);
    }
}

static void
take_bye(node *self, const witan_packet *packet)
{
    const char *text = packet->is.bye.text;
    if (packet->is.bye.finished) {
        self->finished = true;
        node_say(self, "the experiment is finished");
    } else {
        node_say(self, "the coordinator goes away%s%s", text[0] != '\0' ? ": " : "",
                 text);
        node_disconnect(self, packet->is.bye.retry_after_ms);
    }
}

void
node_take_packet(node *self, const witan_packet *packet)
{
    switch (packet->kind) {
    case WITAN_PACKET_PLAN:
        take_plan(self, packet);
        break;
    case WITAN_PACKET_OPEN:
        take_open(self, packet);
        break;
    case WITAN_PACKET_FUSED:
        take_fused(self, &packet->is.offer);
        break;
    case WITAN_PACKET_CHUNK:
        take_chunk(self, packet);
        break;
    case WITAN_PACKET_GET:
        take_get(self, packet);
        break;
    case WITAN_PACKET_ACCEPTED:
        take_accepted(self, packet);
        break;
    case WITAN_PACKET_REFUSED:
        take_refused(self, packet);
        break;
    case WITAN_PACKET_ROTATE_REQUEST:
        node_rotation_asked(self);
        break;
    case WITAN_PACKET_BYE:
        take_bye(self, packet);
        break;
    default: /* a client is not asked such things */
        witan_log_write(self->options->log, WITAN_LOG_WARNING, "odd-packet", "kind=%d",
                        (int)packet->kind);
        break;
    }
}

/* --- what is said ----------------------------------------------------------------- */

static void
make_ready(const node *self, witan_packet *out)
{
    out->kind = WITAN_PACKET_READY;
    out->is.ready.has_transfer = self->plan.has_transfer;
    memcpy(out->is.ready.transfer_digest, self->plan.transfer_digest,
           sizeof out->is.ready.transfer_digest);
    out->is.ready.samples = self->model->samples;
    (void)snprintf(out->is.ready.model, sizeof out->is.ready.model, "%s",
                   self->study.model_name);
}

static void
make_offer(const node *self, witan_packet *out)
{
    witan_packet_offer *offer = &out->is.offer;
    uint8_t statement[WITAN_UPLOAD_STATEMENT];
    witan_digest digest;
    node_study_offer(&self->study, false, offer);
    out->kind = WITAN_PACKET_KNOWLEDGE;
    offer->round = self->record.round;
    offer->samples = self->model->samples;
    witan_digest_init(&digest);
    witan_digest_update(&digest, self->record.knowledge, self->record.knowledge_size);
    witan_digest_final(&digest, offer->digest);
    witan_upload_statement(statement, node_talk_federation(self->talk), self->core.id,
                           self->plan.transfer_digest, offer);
    witan_identity_sign(self->identity, NODE_DOMAIN_UPLOAD, statement, sizeof statement,
                        offer->signature);
}

static void
make_done(const node *self, witan_packet *out)
{
    const node_record *record = &self->record;
    out->kind = WITAN_PACKET_DONE;
    out->is.done.round = record->round;
    out->is.done.train_loss = record->train_loss;
    out->is.done.distill_loss = record->distill_loss;
    out->is.done.own_before = record->own_before;
    out->is.done.own_after = record->own_after;
    out->is.done.global_before = record->global_before;
    out->is.done.global_after = record->global_after;
}

static bool
due(bool *flag, bool possible)
{
    bool now = *flag && possible;
    *flag = *flag && !now;
    return now;
}

/* The next thing to say; false: nothing now. */
static bool
next_packet(node *self, witan_packet *out)
{
    memset(out, 0, sizeof *out);
    if (due(&self->wants_attach, self->now_ms >= self->attach_ms)) {
        out->kind = WITAN_PACKET_ATTACH;
        (void)snprintf(out->is.attach.program, sizeof out->is.attach.program,
                       "witan %s", WITAN_VERSION);
    } else if (due(&self->wants_ready, self->attached)) {
        make_ready(self, out);
        self->ready = true;
    } else if (due(&self->wants_offer, self->ready && self->now_ms >= self->offer_ms &&
                                           self->record.knowledge != NULL)) {
        make_offer(self, out);
    } else if (due(&self->wants_done, self->ready)) {
        make_done(self, out);
    } else {
        return self->attached &&
               node_fetch_next(&self->fetch, node_talk_welcome(self->talk)->window,
                               out);
    }
    return true;
}

void
node_pump(node *self)
{
    witan_packet packet;
    while (self->talk != NULL && node_talk_can_say(self->talk)) {
        if (self->wants_rotate && self->attached && self->next_identity != NULL) {
            node_rotation_packet(self, &packet);
            node_talk_say(self->talk, self->now_ms, &packet);
            node_rotation_said(self);
            return;
        }
        if (!next_packet(self, &packet)) {
            return;
        }
        node_talk_say(self->talk, self->now_ms, &packet);
    }
}
