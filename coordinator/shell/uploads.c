/* uploads.c - knowledge on its way in: offered, judged, fetched chunk by chunk, judged
 * again with its values, made durable in batches, acknowledged, handed to the core.
 * Asking is the credit: what nobody asked for ends its session. Chunks go straight to
 * the .part file; only whole uploads are in memory, where the core keeps them. */
#include <inttypes.h>
#include <string.h>

#include "coordinator/shell/server_private.h"

static const uint8_t no_digest[WITAN_DIGEST_SIZE];

static uint32_t
chunk_size(const server_upload *upload, uint64_t offset)
{
    uint64_t left = upload->row.total - offset;
    return left < WITAN_CHUNK_BYTES ? (uint32_t)left : (uint32_t)WITAN_CHUNK_BYTES;
}

/* --- offers ----------------------------------------------------------------------- */

/* A .part that broke or vanished is no reason to stop: it is sent again. */
static void
upload_trouble(witan_server *self, witan_status status, const witan_diag *diag)
{
    bool ours = status == WITAN_E_STATE || status == WITAN_E_INVALID;
    (void)server_survives(self, ours ? WITAN_E_IO : status, diag);
}

void
server_uploads_drop(witan_server *self, const witan_upload_row *row)
{
    witan_upload_row kept;
    bool found = true; /* then the file may be the one that was accepted */
    if (witan_ledger_upload(self->ledger, row->round, row->seat, &kept, &found, NULL) ==
            WITAN_OK &&
        !found) {
        witan_upload_drop(self->ledger, row->round, row->seat);
    }
}

void
server_uploads_forget(witan_server *self, uint32_t n)
{
    server_seat *seat = &self->seat[n];
    server_upload *upload = &seat->upload;
    self->chunks_in_flight -= upload->in_flight;
    if (seat->connection != NULL) { /* they still come; then they are not wanted */
        uint32_t discard = seat->connection->discard + upload->in_flight;
        seat->connection->discard =
            discard > 2 * SERVER_UPLOAD_WINDOW ? 2 * SERVER_UPLOAD_WINDOW : discard;
    }
    upload->in_flight = 0;
    upload->phase = SERVER_UPLOAD_NONE; /* stays in the queue for credit, if it is */
}

static void
refuse_upload(witan_server *self, server_connection *at, uint32_t round,
              witan_packet_reason reason)
{
    server_complain(self, at, SERVER_BAD_UPLOAD, "upload of round %u refused: %s",
                    (unsigned)round + 1, witan_packet_reason_text(reason));
    server_refuse(self, at, round, reason, 0, "%s", witan_packet_reason_text(reason));
}

static void
refuse_for_space(witan_server *self, server_connection *at, uint32_t round)
{
    server_refuse(self, at, round, WITAN_REASON_NO_SPACE, SERVER_NO_SPACE_MS,
                  "the coordinator cannot store it now; it tries again");
}

static void
accepted(witan_server *self, server_connection *at, const witan_upload_row *row)
{
    witan_packet packet = {.kind = WITAN_PACKET_ACCEPTED};
    packet.is.accepted.round = row->round;
    packet.is.accepted.late = row->late;
    server_send(self, at, &packet);
}

/* What is on disk for this round already; true when that was the answer. */
static bool
is_repeated(witan_server *self, server_connection *at, const witan_packet_offer *offer)
{
    const server_seat *seat = &self->seat[at->seat];
    witan_upload_row row;
    witan_diag diag = {0};
    bool found = false;
    witan_status status =
        witan_ledger_upload(self->ledger, offer->round, at->seat, &row, &found, &diag);
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        refuse_for_space(self, at, offer->round);
        return true;
    }
    /* The seat's last owner is nobody's business. */
    if (!found || memcmp(row.sign_key, seat->peer.sign_key, WITAN_KEY_SIZE) != 0) {
        return false;
    }
    if (memcmp(row.digest, offer->digest, WITAN_DIGEST_SIZE) == 0) {
        accepted(self, at, &row);
    } else {
        refuse_upload(self, at, offer->round, WITAN_REASON_CONFLICT);
    }
    return true;
}

void
server_uploads_offer(witan_server *self, server_connection *at,
                     const witan_packet_offer *offer)
{
    server_seat *seat = &self->seat[at->seat];
    uint8_t statement[WITAN_UPLOAD_STATEMENT];
    witan_upload_statement(statement, self->federation, at->seat,
                           self->package != NULL ? self->package_digest : no_digest,
                           offer);
    if (!witan_signature_valid(seat->peer.sign_key, "WITAN-upload-v1", statement,
                               sizeof statement, offer->signature)) {
        refuse_upload(self, at, offer->round, WITAN_REASON_SIGNATURE);
        return;
    }
    if (is_repeated(self, at, offer)) {
        return;
    }
    server_upload *upload = &seat->upload;
    if (upload->phase != SERVER_UPLOAD_NONE && upload->row.round == offer->round &&
        memcmp(upload->row.digest, offer->digest, WITAN_DIGEST_SIZE) == 0) {
        return; /* it is under way */
    }
    server_uploads_forget(self, at->seat);
    upload->row = (witan_upload_row){
        .round = offer->round,
        .seat = at->seat,
        .kind = offer->kind,
        .codec = offer->codec,
        .rows = offer->rows,
        .classes = offer->classes,
        .total = offer->total,
        .samples = offer->samples,
    };
    memcpy(upload->row.digest, offer->digest, WITAN_DIGEST_SIZE);
    memcpy(upload->row.signature, offer->signature, WITAN_SIGNATURE_SIZE);
    memcpy(upload->row.sign_key, seat->peer.sign_key, WITAN_KEY_SIZE);
    upload->phase = SERVER_UPLOAD_OFFERED;
    self->pending = true;
}

/* --- judging ---------------------------------------------------------------------- */

static witan_packet_reason
reason_of(witan_refusal refusal)
{
    switch (refusal) {
    case WITAN_REFUSAL_NONE:
        return WITAN_REASON_NONE;
    case WITAN_REFUSAL_SHAPE:
        return WITAN_REASON_SHAPE;
    case WITAN_REFUSAL_VALUES:
        return WITAN_REASON_VALUES;
    case WITAN_REFUSAL_LATE:
        return WITAN_REASON_LATE;
    case WITAN_REFUSAL_DUPLICATE:
        return WITAN_REASON_CONFLICT;
    case WITAN_REFUSAL_STRANGER:
    case WITAN_REFUSAL_UNASKED:
        break;
    }
    return WITAN_REASON_UNASKED;
}

static bool
has_shape(const witan_server *self, const witan_upload_row *row)
{
    const witan_coordinator_config *core = &self->core_config;
    if (core->strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        return row->kind == WITAN_PACKET_PARAMETERS && row->codec == 0 &&
               row->rows == 1 && row->classes == core->parameters &&
               row->total == self->upload_bytes;
    }
    return row->kind == (uint32_t)core->kind && row->codec == core->codec &&
           row->rows == core->rows && row->classes == core->classes &&
           row->total == self->upload_bytes;
}

/* What is surely too late, seen before its bytes are fetched. */
static bool
is_too_late(const witan_server *self, const witan_upload_row *row)
{
    const witan_coordinator_config *core = &self->core_config;
    size_t round = witan_coordinator_round(self->core);
    bool in_time = row->round == round && self->phase == SERVER_COLLECT;
    return !in_time && row->round <= round &&
           (!core->keep_late || core->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE ||
            round - row->round > core->maximum_age);
}

/* All that can be said without the bytes: the core sees an empty payload, and answers
 * SHAPE when nothing else is wrong. */
static witan_packet_reason
judge_offer(witan_server *self, const witan_upload_row *row)
{
    const witan_message message = {
        .kind = WITAN_MESSAGE_KNOWLEDGE, .client = row->seat, .round = row->round};
    bool late;
    uint32_t used_from;
    witan_refusal refusal =
        witan_coordinator_judge(self->core, &message, &late, &used_from);
    if (refusal != WITAN_REFUSAL_SHAPE) {
        return reason_of(refusal);
    }
    if (!has_shape(self, row)) {
        return WITAN_REASON_SHAPE;
    }
    return is_too_late(self, row) ? WITAN_REASON_LATE : WITAN_REASON_NONE;
}

static void
want_credit(witan_server *self, uint32_t n)
{
    server_upload *upload = &self->seat[n].upload;
    if (upload->hungry) {
        return;
    }
    upload->hungry = true;
    upload->next_hungry = SERVER_NOBODY;
    if (self->hungry_last == SERVER_NOBODY) {
        self->hungry_first = n;
    } else {
        self->seat[self->hungry_last].upload.next_hungry = n;
    }
    self->hungry_last = n;
}

static void
start_pulling(witan_server *self, uint32_t n)
{
    server_seat *seat = &self->seat[n];
    server_upload *upload = &seat->upload;
    witan_diag diag = {0};
    uint64_t have = 0;
    witan_status status = witan_upload_have(self->ledger, &upload->row, &have, &diag);
    if (status == WITAN_OK) {
        uint64_t left = upload->row.total > have ? upload->row.total - have : 0;
        status = witan_ledger_space(self->ledger, left, &diag);
    }
    if (status != WITAN_OK) {
        (void)server_survives(self, status, &diag);
        upload->phase = SERVER_UPLOAD_NONE;
        refuse_for_space(self, seat->connection, upload->row.round);
        return;
    }
    upload->have = upload->asked = have;
    upload->phase =
        have == upload->row.total ? SERVER_UPLOAD_WHOLE : SERVER_UPLOAD_PULLING;
    want_credit(self, n);
}

void
server_uploads_judge(witan_server *self)
{
    for (uint32_t n = 0; n < self->seats; n++) {
        server_seat *seat = &self->seat[n];
        if (seat->upload.phase != SERVER_UPLOAD_OFFERED) {
            continue;
        }
        witan_packet_reason reason = judge_offer(self, &seat->upload.row);
        if (reason == WITAN_REASON_NONE) {
            start_pulling(self, n);
        } else {
            seat->upload.phase = SERVER_UPLOAD_NONE;
            refuse_upload(self, seat->connection, seat->upload.row.round, reason);
        }
    }
}

/* --- fetching --------------------------------------------------------------------- */

void
server_uploads_pump(witan_server *self)
{
    while (self->hungry_first != SERVER_NOBODY &&
           self->chunks_in_flight < SERVER_CHUNKS_MAX) {
        uint32_t n = self->hungry_first;
        server_upload *upload = &self->seat[n].upload;
        self->hungry_first = upload->next_hungry;
        if (self->hungry_first == SERVER_NOBODY) {
            self->hungry_last = SERVER_NOBODY;
        }
        upload->hungry = false;
        if (upload->phase != SERVER_UPLOAD_PULLING ||
            upload->in_flight == SERVER_UPLOAD_WINDOW ||
            upload->asked == upload->row.total) {
            continue;
        }
        witan_packet packet = {.kind = WITAN_PACKET_GET};
        packet.is.get.what = WITAN_BLOB_KNOWLEDGE;
        packet.is.get.round = upload->row.round;
        packet.is.get.offset = upload->asked;
        packet.is.get.size = chunk_size(upload, upload->asked);
        upload->asked += packet.is.get.size;
        upload->in_flight++;
        self->chunks_in_flight++;
        server_send(self, self->seat[n].connection, &packet); /* may forget it all */
        want_credit(self, n); /* one chunk each, then the next client */
    }
}

static void
write_chunk(witan_server *self, server_connection *at, const witan_packet *packet)
{
    server_upload *upload = &self->seat[at->seat].upload;
    witan_diag diag = {0};
    witan_status status =
        witan_upload_append(self->ledger, &upload->row, upload->have,
                            packet->is.chunk.data, packet->is.chunk.size, &diag);
    if (status != WITAN_OK) {
        upload_trouble(self, status, &diag);
        server_uploads_forget(self, at->seat);
        refuse_for_space(self, at, upload->row.round);
        return;
    }
    upload->have += packet->is.chunk.size;
    if (upload->have == upload->row.total) {
        upload->phase = SERVER_UPLOAD_WHOLE;
        self->pending = true;
    } else {
        want_credit(self, at->seat);
    }
}

void
server_uploads_chunk(witan_server *self, server_connection *at,
                     const witan_packet *packet)
{
    server_upload *upload = &self->seat[at->seat].upload;
    bool fits = upload->phase == SERVER_UPLOAD_PULLING && upload->in_flight > 0 &&
                packet->is.chunk.what == WITAN_BLOB_KNOWLEDGE &&
                packet->is.chunk.round == upload->row.round &&
                packet->is.chunk.offset == upload->have &&
                packet->is.chunk.size == chunk_size(upload, upload->have);
    if (fits) {
        upload->in_flight--;
        self->chunks_in_flight--;
        write_chunk(self, at, packet);
    } else if (at->discard > 0) {
        at->discard--;
    } else {
        server_complain(self, at, SERVER_BAD_CHUNK,
                        "a chunk that was not asked for; session ended");
        server_sessions_doom(self, at, true);
    }
}

void
server_uploads_expire(witan_server *self, uint32_t keep_from)
{
    for (uint32_t n = 0; n < self->seats; n++) {
        server_seat *seat = &self->seat[n];
        if (seat->upload.phase != SERVER_UPLOAD_NONE &&
            seat->upload.row.round < keep_from) {
            server_uploads_forget(self, n);
            refuse_upload(self, seat->connection, seat->upload.row.round,
                          WITAN_REASON_LATE);
        }
    }
}

/* --- whole uploads ---------------------------------------------------------------- */

witan_status
server_uploads_message(const witan_server *self, const witan_upload_row *row,
                       uint8_t **bytes, witan_message *out)
{
    memset(out, 0, sizeof *out);
    out->kind = WITAN_MESSAGE_KNOWLEDGE;
    out->client = row->seat;
    out->round = row->round;
    out->samples = row->samples;
    if (!has_shape(self, row)) {
        witan_free(self->allocator, *bytes);
        *bytes = NULL;
        return WITAN_E_DATA;
    }
    if (row->kind == WITAN_PACKET_PARAMETERS) { /* floats travel in little endian */
        out->parameters = (float *)(void *)*bytes;
        out->parameters_count = (size_t)row->classes;
    } else {
        out->labels = (witan_soft_labels){
            .kind = (witan_knowledge_kind)row->kind,
            .codec = row->codec,
            .rows = (size_t)row->rows,
            .classes = (size_t)row->classes,
            .bytes = *bytes,
            .size = (size_t)row->total,
        };
    }
    *bytes = NULL;
    return WITAN_OK;
}

/* A batch: rows that are made durable together, and what they say. */
typedef struct batch {
    size_t count;
    witan_message message[SERVER_BATCH_MAX];
    const witan_upload_row *row[SERVER_BATCH_MAX]; /* of the seats */
} batch;

static void
batch_fini(batch *self, const witan_allocator *allocator)
{
    for (size_t i = 0; i < self->count; i++) {
        witan_message_fini(&self->message[i], allocator);
    }
    self->count = 0;
}

/* The bytes' digest and values: the last judgement, with the core's eyes. */
static witan_packet_reason
judge_whole(witan_server *self, witan_upload_row *row, witan_message *message,
            bool *trouble)
{
    witan_diag diag = {0};
    uint8_t *bytes = NULL;
    witan_upload_row before;
    bool found = false;
    *trouble = false;
    witan_status status = witan_ledger_upload(self->ledger, row->round, row->seat,
                                              &before, &found, &diag);
    if (status == WITAN_OK && found) {
        return WITAN_REASON_CONFLICT;
    }
    if (status == WITAN_OK) {
        status = witan_upload_read_part(self->ledger, row, &bytes, &diag);
    }
    if (status == WITAN_OK) {
        status = server_uploads_message(self, row, &bytes, message);
    }
    if (status == WITAN_E_FORGED) {
        return WITAN_REASON_DIGEST;
    }
    if (status != WITAN_OK) {
        *trouble = true;
        upload_trouble(self, status, &diag);
        return WITAN_REASON_NO_SPACE;
    }
    return reason_of(
        witan_coordinator_judge(self->core, message, &row->late, &row->used_from));
}

static void
gather(witan_server *self, batch *out, bool late, size_t most)
{
    for (uint32_t n = 0; n < self->seats && out->count < most; n++) {
        server_seat *seat = &self->seat[n];
        witan_upload_row *row = &seat->upload.row;
        bool trouble = false;
        bool in_time = row->round == witan_coordinator_round(self->core) &&
                       self->phase == SERVER_COLLECT;
        if (seat->upload.phase != SERVER_UPLOAD_WHOLE || in_time == late) {
            continue;
        }
        witan_message *message = &out->message[out->count];
        witan_packet_reason reason = judge_whole(self, row, message, &trouble);
        if (reason == WITAN_REASON_NONE) {
            out->row[out->count++] = row;
            continue;
        }
        witan_message_fini(message, self->allocator);
        seat->upload.phase = SERVER_UPLOAD_NONE;
        if (trouble) {
            refuse_for_space(self, seat->connection, row->round);
        } else {
            server_uploads_drop(self, row);
            refuse_upload(self, seat->connection, row->round, reason);
        }
    }
}

/* Files first, then all rows, in one transaction that nobody else comes into. False:
 * nothing is promised to anybody; *again when another process was faster. */
static bool
make_durable(witan_server *self, const batch *what, bool *again)
{
    witan_diag diag = {0};
    if (!server_begin(self, again)) {
        return false;
    }
    witan_status status =
        witan_upload_finish(self->ledger, what->row, what->count, &diag);
    if (status == WITAN_E_STATE) { /* a .part has vanished: it is sent again */
        status = WITAN_E_IO;
    }
    for (size_t i = 0; i < what->count && status == WITAN_OK; i++) {
        status = witan_ledger_accept(self->ledger, what->row[i], &diag);
    }
    return server_commit(self, status, &diag);
}

static void
hand_over(witan_server *self, batch *what)
{
    for (size_t i = 0; i < what->count; i++) {
        const witan_upload_row row = *what->row[i];
        server_seat *seat = &self->seat[row.seat];
        const witan_coordinator_event event = {.kind = WITAN_COORDINATOR_MESSAGE,
                                               .message = &what->message[i]};
        seat->upload.phase = SERVER_UPLOAD_NONE;
        if (!row.late) {
            memcpy(self->knowledge_digest[row.seat], row.digest, WITAN_DIGEST_SIZE);
        }
        accepted(self, seat->connection, &row);
        server_rounds_step(self, &event);
    }
}

static bool
finish_batch(witan_server *self, bool late)
{
    /* Knowledge that may end the collecting goes alone: what is durable in time must
     * be in time for the core. (Otherwise only the last answer that is awaited does.)
     */
    bool one_may_be_enough = self->core_config.target_clients != 0;
    bool again = false;
    batch what = {0};
    gather(self, &what, late, one_may_be_enough ? 1 : SERVER_BATCH_MAX);
    size_t count = what.count;
    if (count > 0 && make_durable(self, &what, &again)) {
        hand_over(self, &what);
    } else if (again) {
        self->pending = true;
    } else {
        for (size_t i = 0; i < count; i++) {
            server_seat *seat = &self->seat[what.row[i]->seat];
            seat->upload.phase = SERVER_UPLOAD_NONE;
            refuse_for_space(self, seat->connection, what.row[i]->round);
        }
    }
    batch_fini(&what, self->allocator);
    return count > 0;
}

bool
server_uploads_finish(witan_server *self)
{
    /* Late knowledge never ends a round; in front, it is used by the fusion that its
     * row says. */
    return finish_batch(self, true) || finish_batch(self, false);
}
