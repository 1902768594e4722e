/* jobs.c - what the learning thread does, and what follows when it has done it. A job's
 * result counts only when its snapshot is on disk: then the core hears of it, and
 * through it the coordinator. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "client/shell/node_private.h"
#include "data/package.h"
#include "store/file.h"

void
node_job_fini(node_job *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->fused);
    node_record_fini(&self->snapshot.record, allocator);
    memset(self, 0, sizeof *self);
}

bool
node_is_busy(const node *self)
{
    return self->worker.busy || self->job.retry_ms != 0;
}

/* --- on the learning thread ------------------------------------------------------- */

/* The bytes of a file of the size and digest that the plan names; NULL and OK when it
 * is absent or another one (*damaged: of that size at least). */
static witan_status
read_verified(uint8_t **out, const char *path, const node_plan *plan, bool *damaged,
              const witan_allocator *allocator, witan_diag *diag)
{
    char *bytes = NULL;
    size_t size = 0;
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_diag why = {0};
    *out = NULL;
    *damaged = false;
    if (!witan_path_exists(path)) {
        return WITAN_OK;
    }
    witan_status status = witan_file_read(
        &bytes, &size, path, (size_t)plan->transfer_bytes, allocator, &why);
    if (status != WITAN_OK && status != WITAN_E_LIMIT) {
        return witan_diag_fail(diag, status, "%s", why.message);
    }
    *damaged = status == WITAN_E_LIMIT || size == plan->transfer_bytes;
    if (status == WITAN_OK && size == plan->transfer_bytes) {
        witan_package_digest((const uint8_t *)bytes, size, digest);
        if (memcmp(digest, plan->transfer_digest, sizeof digest) == 0) {
            *damaged = false;
            *out = (uint8_t *)bytes;
            return WITAN_OK;
        }
    }
    witan_free(allocator, bytes);
    return WITAN_OK;
}

/* Makes what was fetched the transfer set, durably. */
static witan_status
keep_transfer(const node *self, const uint8_t *bytes, const char *part,
              witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    WITAN_TRY(node_path(path, self->directory, NODE_TRANSFER, diag));
    WITAN_TRY(witan_file_replace(path, bytes, (size_t)self->plan.transfer_bytes,
                                 self->allocator, diag));
    (void)unlink(part);
    return WITAN_OK;
}

/* The transfer set, owned by the caller; wants_transfer when it must be fetched. */
static witan_status
read_transfer(node *self, uint8_t **package, witan_diag *diag)
{
    char path[WITAN_PATH_MAX], part[WITAN_PATH_MAX];
    bool damaged;
    *package = NULL;
    if (!self->plan.has_transfer) {
        return WITAN_OK;
    }
    WITAN_TRY(node_path(path, self->directory, NODE_TRANSFER, diag));
    WITAN_TRY(node_path(part, self->directory, NODE_TRANSFER_PART, diag));
    /* Another transfer set than the plan's is replaced. */
    WITAN_TRY(
        read_verified(package, path, &self->plan, &damaged, self->allocator, diag));
    if (*package != NULL) {
        return WITAN_OK;
    }
    WITAN_TRY(
        read_verified(package, part, &self->plan, &damaged, self->allocator, diag));
    if (*package == NULL) {
        if (damaged) {
            (void)unlink(part);
        }
        self->job.damaged_transfer = damaged;
        self->job.wants_transfer = true;
        return WITAN_OK;
    }
    return keep_transfer(self, *package, part, diag);
}

static witan_status
prepare(node *self, witan_diag *diag)
{
    uint8_t *package = NULL;
    node_study *study = &self->study;
    WITAN_TRY(node_study_begin(study, &self->plan, &self->settings, self->maker.name,
                               self->allocator, diag));
    witan_status status = read_transfer(self, &package, diag);
    if (status == WITAN_OK && !self->job.wants_transfer) {
        status = node_study_load(
            study, &self->plan, &self->settings, self->maker.brings_data, package,
            (size_t)self->plan.transfer_bytes, self->allocator, diag);
        if (status == WITAN_OK) {
            status = self->maker.make(&self->model, study, self->maker.context,
                                      self->allocator, diag);
        }
        if (status == WITAN_OK) {
            status = node_snapshot_load(self->state_path, &self->job.snapshot,
                                        self->model, diag);
        }
    }
    witan_free(self->allocator, package);
    if (status != WITAN_OK || self->job.wants_transfer) {
        if (self->model != NULL) {
            self->model->ops->free(self->model);
            self->model = NULL;
        }
        node_study_fini(study, self->allocator);
    }
    return status == WITAN_OK ? status
                              : witan_diag_fail(diag, status, "cannot take part: %s",
                                                witan_status_text(status));
}

static witan_status
train(node *self, node_record *record, witan_diag *diag)
{
    node_model *model = self->model;
    const node_study *study = &self->study;
    bool exchanges = node_study_exchanges(study);
    node_scores scores;
    WITAN_TRY(model->ops->train(model, record->round, &record->train_loss, diag));
    if (exchanges) {
        WITAN_TRY(model->ops->extract(model, record->round, &record->knowledge,
                                      &record->knowledge_size, diag));
    }
    if (!node_study_evaluates(study, record->round) ||
        (exchanges && !study->config.evaluate.before_distill)) {
        return WITAN_OK;
    }
    WITAN_TRY(model->ops->evaluate(model, &scores, diag));
    record->own_before = scores.own;
    record->global_before = scores.global;
    if (!exchanges) { /* nothing comes between training and the round's end */
        record->own_after = scores.own;
        record->global_after = scores.global;
    }
    return WITAN_OK;
}

static witan_status
distill(node *self, node_record *record, witan_diag *diag)
{
    node_model *model = self->model;
    node_scores scores;
    WITAN_TRY(model->ops->distill(model, record->round, self->job.fused,
                                  self->job.fused_size, &record->distill_loss, diag));
    if (!node_study_evaluates(&self->study, record->round)) {
        return WITAN_OK;
    }
    WITAN_TRY(model->ops->evaluate(model, &scores, diag));
    record->own_after = scores.own;
    record->global_after = scores.global;
    return WITAN_OK;
}

static void
run_job(void *context)
{
    node *self = context;
    node_job *job = &self->job;
    node_snapshot *snapshot = &job->snapshot;
    memset(&job->diag, 0, sizeof job->diag);
    switch (job->kind) {
    case NODE_JOB_NONE:
        break;
    case NODE_JOB_PREPARE:
        job->status = prepare(self, &job->diag);
        break;
    case NODE_JOB_TRAIN:
        job->status = train(self, &snapshot->record, &job->diag);
        break;
    case NODE_JOB_DISTILL:
        job->status = distill(self, &snapshot->record, &job->diag);
        break;
    case NODE_JOB_SAVE:
        job->status =
            node_snapshot_save(self->state_path, snapshot, self->model, &job->diag);
        break;
    }
}

/* --- on the node's thread --------------------------------------------------------- */

static void
submit(node *self, node_job_kind kind)
{
    self->job.kind = kind;
    self->job.retry_ms = 0;
    self->status_due = true;
    node_worker_submit(&self->worker, run_job, self);
}

void
node_start_prepare(node *self)
{
    self->job.wants_transfer = self->job.damaged_transfer = false;
    self->fetch_ms = 0;
    submit(self, NODE_JOB_PREPARE);
}

void
node_start_job(node *self, witan_client_job job, uint32_t round)
{
    node_snapshot *snapshot = &self->job.snapshot;
    bool trains = job == WITAN_CLIENT_JOB_TRAIN;
    node_record_fini(&snapshot->record, self->allocator);
    if (trains) {
        node_record_init(&snapshot->record, round);
        node_say(self, "round %u: training", (unsigned)round + 1);
    } else {
        snapshot->record = self->record;   /* what training measured ... */
        snapshot->record.knowledge = NULL; /* ... without what was said */
        snapshot->record.knowledge_size = 0;
        node_say(self, "round %u: learning from the others", (unsigned)round + 1);
    }
    snapshot->phase =
        trains && self->core.exchanges ? WITAN_CLIENT_WAITING : WITAN_CLIENT_IDLE;
    snapshot->unopened = (uint64_t)round + 1;
    submit(self, trains ? NODE_JOB_TRAIN : NODE_JOB_DISTILL);
}

static void
fetch_transfer(node *self)
{
    char path[WITAN_PATH_MAX];
    witan_diag diag = {0};
    if (self->job.damaged_transfer && ++self->fetches >= NODE_FETCHES_MAX) {
        node_fail(self, WITAN_E_DATA,
                  "the transfer set came %d times with other bytes than the plan "
                  "promises; tell the coordinator's operator",
                  NODE_FETCHES_MAX);
        return;
    }
    witan_status status = node_path(path, self->directory, NODE_TRANSFER_PART, &diag);
    if (status == WITAN_OK) {
        status = node_fetch_file(&self->fetch, WITAN_BLOB_TRANSFER,
                                 self->plan.transfer_bytes, path, self->now_ms, &diag);
    }
    if (status != WITAN_OK) {
        node_fail(self, status, "%s", diag.message);
        return;
    }
    char size[32];
    node_bytes_text(size, self->plan.transfer_bytes - self->fetch.got);
    node_say(self, "fetching the transfer set: %llu rows, %s",
             (unsigned long long)self->plan.transfer_rows, size);
}

static void
prepare_ended(node *self)
{
    node_job *job = &self->job;
    if (job->wants_transfer) {
        fetch_transfer(self);
        return;
    }
    const node_snapshot *snapshot = &job->snapshot;
    witan_client_init(&self->core, self->plan.client,
                      node_study_exchanges(&self->study));
    if (witan_client_restore(&self->core, snapshot->phase, snapshot->record.round,
                             snapshot->unopened) != WITAN_OK) {
        node_fail(self, WITAN_E_DATA, "%s: no client can be in this state",
                  self->state_path);
        return;
    }
    self->record = snapshot->record;
    memset(&job->snapshot, 0, sizeof job->snapshot);
    self->prepared = true;
    self->wants_ready = self->attached;
    if (self->study.practice) {
        node_say(self,
                 "no private data were given: the embedded practice data are used "
                 "(%zu rows of client %u)",
                 self->model->samples, (unsigned)self->plan.client);
    }
    node_say(self, "taking part with %s and %zu private rows%s", self->study.model_name,
             self->model->samples,
             self->core.unopened != 0 ? ", going on from the saved state" : "");
}

static void
say_learned(const node *self)
{
    const node_record *record = &self->record;
    unsigned round = (unsigned)record->round + 1;
    if (!isfinite(record->own_after.accuracy)) {
        node_say(self, "round %u: done", round);
    } else if (!isfinite(record->own_before.accuracy) || !self->core.exchanges) {
        node_say(self, "round %u: done, own accuracy %.3f", round,
                 record->own_after.accuracy);
    } else {
        node_say(self, "round %u: learned from others, own accuracy %.3f -> %.3f",
                 round, record->own_before.accuracy, record->own_after.accuracy);
    }
}

static void
save_ended(node *self)
{
    node_job *job = &self->job;
    const witan_client_event event = {WITAN_CLIENT_JOB_DONE, NULL};
    witan_client_actions actions;
    bool round_ended = job->snapshot.phase == WITAN_CLIENT_IDLE;
    node_record_fini(&self->record, self->allocator);
    self->record = job->snapshot.record;
    memset(&job->snapshot, 0, sizeof job->snapshot);
    self->accepted = false;
    self->wants_offer = self->wants_done = false;
    if (round_ended) {
        say_learned(self);
    }
    job->kind = NODE_JOB_NONE;
    witan_client_step(&self->core, self->now_ms, &event, &actions);
    if (self->finished || (self->options->stops != NULL && *self->options->stops > 0)) {
        actions.job = WITAN_CLIENT_JOB_NONE; /* no further work */
    }
    node_act(self, &actions);
}

static void
save_failed(node *self)
{
    if (self->options->stops != NULL && *self->options->stops > 0) {
        node_fail(self, self->job.status, "%s", self->job.diag.message);
        return;
    }
    node_say(self, "%s; what was learned is kept in memory, trying again in %d s",
             self->job.diag.message, NODE_DISK_MS / 1000);
    self->job.retry_ms = self->now_ms + NODE_DISK_MS;
}

void
node_retry_save(node *self)
{
    if (self->job.retry_ms != 0 && self->now_ms >= self->job.retry_ms) {
        submit(self, NODE_JOB_SAVE);
    }
}

void
node_job_ended(node *self)
{
    node_job *job = &self->job;
    self->status_due = true;
    if (job->kind == NODE_JOB_SAVE && job->status == WITAN_E_IO) {
        save_failed(self);
        return;
    }
    if (job->status != WITAN_OK) {
        node_fail(self, job->status, "%s", job->diag.message);
        return;
    }
    switch (job->kind) {
    case NODE_JOB_NONE:
        break;
    case NODE_JOB_PREPARE:
        job->kind = NODE_JOB_NONE;
        prepare_ended(self);
        break;
    case NODE_JOB_TRAIN:
    case NODE_JOB_DISTILL:
        witan_free(self->allocator, job->fused);
        job->fused = NULL;
        submit(self, NODE_JOB_SAVE);
        break;
    case NODE_JOB_SAVE:
        save_ended(self);
        break;
    }
}
