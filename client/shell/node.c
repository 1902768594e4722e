/* node.c - the life of a client: its files, the loop, connections and waits, its end.
 */
#include "client/shell/node.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "client/shell/node_private.h"

uint64_t
node_now_ms(const witan_node_options *options)
{
    return witan_clock_now_ns(options->clock) / 1000000u;
}

void
node_fail(node *self, witan_status status, const char *format, ...)
{
    char message[sizeof self->diag->message];
    va_list arguments;
    if (self->failed != WITAN_OK) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    self->failed = witan_diag_fail(self->diag, status, "%s", message);
}

uint64_t
node_backoff_ms(unsigned failures, uint32_t draw)
{
    uint64_t whole =
        failures < 7 ? (uint64_t)NODE_BACKOFF_MS << failures : NODE_BACKOFF_MAX_MS;
    whole = whole < NODE_BACKOFF_MAX_MS ? whole : NODE_BACKOFF_MAX_MS;
    return whole / 2 + ((uint64_t)draw * (whole / 2 + 1) >> 32);
}

static int
stops(const node *self)
{
    return self->options->stops == NULL ? 0 : (int)*self->options->stops;
}

/* --- connections ------------------------------------------------------------------ */

void
node_disconnect(node *self, uint64_t wait_ms)
{
    uint32_t draw;
    witan_random_secure(&draw, sizeof draw);
    uint64_t wait = node_backoff_ms(self->failures == 0 ? 0 : self->failures - 1, draw);
    node_talk_free(&self->talk, NODE_LINGER_MS);
    self->attached = self->ready = false;
    self->wants_attach = self->wants_ready = false;
    self->status_due = true;
    if (self->fetch.active) {
        node_fetch_forget_asked(&self->fetch, self->now_ms);
    }
    self->next_ms = self->now_ms + (wait > wait_ms ? wait : wait_ms);
}

static void
connect_now(node *self)
{
    witan_diag diag = {0};
    const witan_identity *identity = node_rotation_identity(self);
    const node_talk_config config = {
        .endpoint = self->membership->endpoint,
        .coordinator = &self->membership->coordinator,
        .identity = identity,
        .door_public = witan_identity_public(identity)->transport,
        .door_secret = witan_identity_transport_secret(identity),
        .psk = self->membership->psk,
    };
    witan_status status =
        node_talk_new(&self->talk, &config, self->now_ms, self->allocator, &diag);
    if (status == WITAN_E_CONFIG) {
        node_fail(self, status, "%s", diag.message);
    } else if (status != WITAN_OK) { /* too few files or no memory: may pass */
        node_say(self, "%s", diag.message);
        self->failures++;
        node_disconnect(self, NODE_BACKOFF_MAX_MS / 4);
    } else {
        self->wants_attach = true;
        self->attach_ms = self->now_ms;
    }
}

static const char *
end_text(node_talk_end end)
{
    switch (end) {
    case NODE_END_UNREACHABLE:
        return "no answer from the coordinator";
    case NODE_END_REFUSED:
        return "the coordinator does not let us in";
    case NODE_END_UNSAID:
        return "the coordinator does not answer our greeting";
    case NODE_END_VERSION:
        return "the coordinator speaks another version of the protocol";
    case NODE_END_LOST:
        return "connection lost";
    case NODE_END_SILENT:
        return "the coordinator has fallen silent";
    case NODE_END_FORGED:
        return "a message was not authentic; session ended";
    case NODE_END_ALERTED:
        return "the coordinator asks for a new session";
    }
    return "connection ended";
}

/* A door that stays shut is said once a minute, not at every attempt. */
static bool
is_shut_out(node *self, node_talk_end end)
{
    if (end != NODE_END_REFUSED) {
        self->refusals = 0;
        return false;
    }
    self->refusals++;
    if (self->refusals >= 3 && (self->complained_ms == 0 ||
                                self->now_ms - self->complained_ms >= NODE_MINUTE_MS)) {
        self->complained_ms = self->now_ms;
        node_say(
            self,
            "%s does not let us in: revoked, or another coordinator answers there? "
            "Ask its operator (`witan peers list` shows this client's state); "
            "still trying",
            self->membership->endpoint);
    }
    return self->refusals >= 3;
}

static void
talk_ended(node *self)
{
    node_talk_end end = node_talk_end_of(self->talk);
    bool worked = self->attached;
    if (end == NODE_END_VERSION && node_talk_state_of(self->talk) == NODE_TALK_ENDED &&
        node_talk_welcome(self->talk)->program[0] !=
            '\0') { /* said inside a handshake */
        node_fail(self, WITAN_E_UNSUPPORTED,
                  "%s runs %s, which speaks no version of the protocol that this one "
                  "speaks; upgrade the older side",
                  self->membership->endpoint, node_talk_welcome(self->talk)->program);
        return;
    }
    self->failures += worked ? 0 : 1;
    bool shut = is_shut_out(self, end);
    node_disconnect(self, 0);
    if (!shut) {
        node_say(self, "%s, next try in %.1f s", end_text(end),
                 (double)(self->next_ms - self->now_ms) / 1000.0);
    }
}

static void
converse(node *self)
{
    witan_packet packet;
    if (self->talk == NULL) {
        if (stops(self) == 0 && !self->finished && self->now_ms >= self->next_ms) {
            connect_now(self);
        }
        return;
    }
    node_talk_step(self->talk, self->now_ms);
    node_pump(self);
    while (self->talk != NULL && self->failed == WITAN_OK && !self->finished &&
           node_talk_receive(self->talk, self->now_ms, &packet)) {
        node_take_packet(self, &packet);
        node_pump(self);
    }
    if (self->talk == NULL || self->failed != WITAN_OK || self->finished) {
        return;
    }
    if (node_talk_state_of(self->talk) == NODE_TALK_ENDED) {
        talk_ended(self);
    } else if (self->fetch.active && self->attached &&
               self->now_ms - self->fetch.moved_ms > NODE_STALL_MS) {
        node_say(self, "nothing comes of what was asked for; connecting anew");
        node_disconnect(self, 0);
    }
}

/* --- the loop --------------------------------------------------------------------- */

static void
look_at_timers(node *self)
{
    uint32_t limit = self->options->give_up_ms;
    node_retry_save(self);
    if (self->fetch_ms != 0 && self->now_ms >= self->fetch_ms && !node_is_busy(self)) {
        node_start_prepare(self); /* fetches what is missing */
    }
    if (self->attached) {
        self->worked_ms = self->now_ms;
    } else if (limit != 0 && self->now_ms - self->worked_ms > limit) {
        node_fail(self, WITAN_E_UNREACHABLE,
                  "%s: no session with the coordinator for %u s; `witan doctor` looks "
                  "for the reason",
                  self->membership->endpoint, limit / 1000);
    }
}

static void
wait_for_something(node *self)
{
    if (self->talk != NULL) {
        node_talk_wait(self->talk, self->worker.file, NODE_POLL_MS);
        return;
    }
    uint64_t left = self->next_ms > self->now_ms ? self->next_ms - self->now_ms : 0;
    struct pollfd file = {.fd = self->worker.file, .events = POLLIN};
    (void)poll(&file, 1, left < NODE_POLL_MS ? (int)left + 1 : NODE_POLL_MS);
}

/* True when nothing is left to do. */
static bool
is_over(const node *self)
{
    bool ends = stops(self) > 0 || self->finished;
    return self->failed != WITAN_OK || stops(self) > 1 || (ends && !node_is_busy(self));
}

static void
loop(node *self)
{
    bool told = false;
    while (!is_over(self)) {
        self->now_ms = node_now_ms(self->options);
        converse(self);
        if (self->failed == WITAN_OK && node_worker_ended(&self->worker)) {
            node_job_ended(self);
        }
        look_at_timers(self);
        node_pump(self);
        node_write_status(self);
        if (stops(self) == 1 && !told && node_is_busy(self)) {
            told = true;
            node_say(self, "stopping: the work under way is finished and saved first; "
                           "once more stops at once");
        }
        if (!is_over(self)) {
            wait_for_something(self);
        }
    }
}

/* --- the end ---------------------------------------------------------------------- */

static void
say_bye(node *self)
{
    witan_packet bye = {.kind = WITAN_PACKET_BYE};
    if (self->talk != NULL && node_talk_can_say(self->talk)) {
        node_talk_say(self->talk, self->now_ms, &bye);
    }
    node_talk_free(&self->talk, NODE_LINGER_MS);
    self->attached = self->ready = false;
}

static witan_status
write_model(node *self)
{
    char path[WITAN_PATH_MAX];
    if (!self->prepared || self->model->ops->write == NULL) {
        return WITAN_OK;
    }
    WITAN_TRY(node_path(path, self->directory, NODE_MODEL, self->diag));
    WITAN_TRY(self->model->ops->write(self->model, path, self->diag));
    node_say(self, "the model is in %s", path);
    return WITAN_OK;
}

static witan_status
conclude(node *self)
{
    if (self->failed == WITAN_OK && self->finished) {
        self->failed = write_model(self);
    } else if (self->failed == WITAN_OK) {
        self->failed = witan_diag_fail(self->diag, WITAN_E_INTERRUPTED,
                                       "stopped; start again to go on");
    }
    say_bye(self);
    self->status_due = true;
    self->status_ms = 0;
    node_write_status(self);
    return self->failed;
}

static void
free_node(node *self)
{
    node_talk_free(&self->talk, 0);
    node_fetch_stop(&self->fetch, self->allocator);
    if (self->model != NULL) {
        self->model->ops->free(self->model);
    }
    node_study_fini(&self->study, self->allocator);
    node_plan_fini(&self->plan, self->allocator);
    node_job_fini(&self->job, self->allocator);
    node_record_fini(&self->record, self->allocator);
    void *membership = self->membership;
    witan_secret_free(&membership);
    witan_identity_free(&self->identity);
    witan_identity_free(&self->next_identity);
    witan_directory_unlock(&self->lock);
    witan_free(self->allocator, self);
}

/* --- the beginning ---------------------------------------------------------------- */

static witan_status
load_keys(node *self, witan_diag *diag)
{
    WITAN_TRY(
        node_identity_load(&self->identity, self->directory, NODE_IDENTITY, diag));
    if (self->identity == NULL) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s/" NODE_IDENTITY " is missing; join again in another "
                               "directory",
                               self->directory);
    }
    WITAN_TRY(node_identity_load(&self->next_identity, self->directory,
                                 NODE_IDENTITY_NEW, diag));
    /* Killed just before the announced key's file was removed. */
    if (self->next_identity != NULL &&
        memcmp(witan_identity_public(self->identity),
               witan_identity_public(self->next_identity),
               sizeof(witan_public_identity)) == 0) {
        witan_identity_free(&self->next_identity);
    }
    return WITAN_OK;
}

static witan_status
open_node(node *self, witan_diag *diag)
{
    witan_diag why = {0};
    WITAN_TRY(witan_secure_start(diag));
    WITAN_TRY(node_path(self->state_path, self->directory, NODE_STATE, diag));
    if (!witan_path_exists(self->directory)) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "%s: no such directory; use `witan join` first",
                               self->directory);
    }
    WITAN_TRY(node_membership_load(&self->membership, self->directory, diag));
    if (witan_directory_lock_take(&self->lock, self->directory, self->allocator,
                                  &why) != WITAN_OK) {
        return witan_diag_fail(diag, why.status, "%s", why.message);
    }
    WITAN_TRY(load_keys(self, diag));
    WITAN_TRY(
        node_settings_load(&self->settings, self->directory, self->allocator, diag));
    return node_worker_start(&self->worker, diag);
}

witan_status
node_run(const witan_node_options *options, const node_maker *maker,
         const witan_allocator *allocator, witan_diag *diag)
{
    witan_diag own = {0};
    node *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    self->options = options;
    self->allocator = allocator;
    self->maker = *maker;
    self->diag = diag != NULL ? diag : &own;
    self->now_ms = self->worked_ms = node_now_ms(options);
    self->fetch.file = -1;
    (void)snprintf(self->directory, sizeof self->directory, "%s", options->directory);
    witan_status status = open_node(self, self->diag);
    if (status == WITAN_OK) {
        loop(self);
        status = conclude(self);
    }
    if (self->worker.busy && stops(self) > 1) {
        /* At once: the thread still works on this memory, which goes with the process.
         */
        return status;
    }
    node_worker_stop(&self->worker);
    free_node(self);
    return status;
}

witan_status
witan_node_run(const witan_node_options *options, const witan_allocator *allocator,
               witan_diag *diag)
{
    return node_run(options, &node_learner_maker, allocator, diag);
}
