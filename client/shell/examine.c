/* examine.c - the doctor's look at a client: its files, its coordinator, its data.
 * Changes nothing and never says READY, so that it takes part in no round. While a
 * client runs here no session is opened: it would replace the running one's. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "client/shell/node_private.h"
#include "data/package.h"
#include "store/file.h"
#include "transport/link.h"

enum {
    REACH_MS = 3000,
    SESSION_MS = 5000,
    CLOCK_S = 60,
    FILES_MIN = 64,
    STATE_GUESS = 16 << 20, /* bytes, before there is one */
    PACKAGE_MAX = 64 << 20, /* longer transfer sets are not fetched for a look */
    STATUS_MAX = 4096,
};

typedef struct examination {
    const witan_node_options *options;
    const witan_allocator *allocator;
    witan_finding *out;
    size_t *count;
    witan_membership *membership; /* secret memory */
    witan_identity *identity;
    witan_node_settings settings;
    node_plan plan;
    node_fetch fetch; /* the transfer set, in memory */
} examination;

static void add(examination *self, int level, const char *what, const char *format, ...)
    WITAN_PRINTF(4, 5);

static void
add(examination *self, int level, const char *what, const char *format, ...)
{
    va_list arguments;
    if (*self->count == WITAN_FINDINGS_MAX) {
        return;
    }
    witan_finding *finding = &self->out[(*self->count)++];
    memset(finding, 0, sizeof *finding);
    finding->level = level;
    (void)snprintf(finding->what, sizeof finding->what, "%s", what);
    va_start(arguments, format);
    (void)vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

/* --- this machine ----------------------------------------------------------------- */

/* False: without keys nothing else can be looked at. */
static bool
look_at_files(examination *self)
{
    const char *directory = self->options->directory;
    witan_diag diag = {0};
    char fingerprint[WITAN_FINGERPRINT_MAX];
    witan_status status = witan_secure_start(&diag);
    if (status == WITAN_OK) {
        status = node_membership_load(&self->membership, directory, &diag);
    }
    if (status == WITAN_OK) {
        status = node_identity_load(&self->identity, directory, NODE_IDENTITY, &diag);
    }
    if (status != WITAN_OK || self->identity == NULL) {
        add(self, WITAN_FINDING_BAD, "keys", "%s",
            status != WITAN_OK ? diag.message
                               : NODE_IDENTITY " is missing; join again in another "
                                               "directory");
        return false;
    }
    witan_fingerprint(fingerprint, &self->membership->coordinator,
                      witan_identity_public(self->identity));
    add(self, WITAN_FINDING_GOOD, "keys", "%s is client %u of %s, fingerprint %s",
        self->membership->name, (unsigned)self->membership->client,
        self->membership->endpoint, fingerprint);
    if (node_settings_load(&self->settings, directory, self->allocator, &diag) !=
        WITAN_OK) {
        add(self, WITAN_FINDING_BAD, "files", "%s", diag.message);
        return false;
    }
    add(self, WITAN_FINDING_GOOD, "files", "%s is complete and closed to others",
        directory);
    return true;
}

static void
look_at_disk(examination *self)
{
    char path[WITAN_PATH_MAX];
    struct statvfs space;
    struct stat info;
    uint64_t needed = STATE_GUESS;
    if (node_path(path, self->options->directory, NODE_STATE, NULL) == WITAN_OK &&
        stat(path, &info) == 0) {
        needed = 3 * (uint64_t)info.st_size;
    }
    if (statvfs(self->options->directory, &space) != 0) {
        return;
    }
    uint64_t left = (uint64_t)space.f_bavail * space.f_frsize;
    char have[32], want[32];
    node_bytes_text(have, left);
    node_bytes_text(want, needed);
    add(self, left < needed ? WITAN_FINDING_BAD : WITAN_FINDING_GOOD, "disk",
        left < needed ? "%s are free, %s are needed for saved states: make room"
                      : "%s are free, %s are enough",
        have, want);
}

static void
look_at_limits(examination *self)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_MIN) {
        add(self, WITAN_FINDING_BAD, "limits",
            "this user may open %llu files, %d are needed: ulimit -n",
            (unsigned long long)files.rlim_cur, FILES_MIN);
    }
}

static void
look_at_running(examination *self)
{
    char path[WITAN_PATH_MAX], *text = NULL;
    size_t size = 0;
    if (node_path(path, self->options->directory, NODE_STATUS, NULL) != WITAN_OK ||
        witan_file_read(&text, &size, path, STATUS_MAX, self->allocator, NULL) !=
            WITAN_OK) {
        add(self, WITAN_FINDING_GOOD, "running", "a client runs here");
        return;
    }
    for (size_t i = 0; i < size; i++) { /* JSON of several lines as one */
        text[i] = text[i] == '\n' ? ' ' : text[i];
    }
    add(self, WITAN_FINDING_GOOD, "running",
        "a client runs here, so no second session is opened; it says %s", text);
    witan_free(self->allocator, text);
}

/* --- the coordinator -------------------------------------------------------------- */

static bool
look_at_network(examination *self)
{
    witan_diag diag = {0};
    const char *endpoint = self->membership->endpoint;
    if (witan_endpoint_reach(endpoint, REACH_MS, &diag) != WITAN_OK) {
        add(self, WITAN_FINDING_BAD, "reachability", "%s", diag.message);
        return false;
    }
    add(self, WITAN_FINDING_GOOD, "reachability", "%s answers", endpoint);
    return true;
}

static void
look_at_clock(examination *self, const witan_welcome *welcome)
{
    if (self->options->wall_s == NULL) {
        return;
    }
    int64_t here = (int64_t)self->options->wall_s(self->options->context);
    int64_t ahead = here - (int64_t)(welcome->wall_ms / 1000);
    if (ahead > CLOCK_S || ahead < -CLOCK_S) {
        add(self, WITAN_FINDING_WARNING, "clock",
            "this clock is %lld s %s the coordinator's; learning does not mind, but "
            "invitations expire by the clock",
            (long long)(ahead < 0 ? -ahead : ahead), ahead < 0 ? "behind" : "ahead of");
    } else {
        add(self, WITAN_FINDING_GOOD, "clock", "agrees with the coordinator's");
    }
}

static void
tell_end(examination *self, node_talk_end end)
{
    const char *text =
        end == NODE_END_REFUSED
            ? "does not let this client in: revoked, or another coordinator answers "
              "there; ask its operator (`witan peers list`)"
        : end == NODE_END_VERSION
            ? "speaks another version of the protocol; upgrade the older side"
        : end == NODE_END_FORGED
            ? "is not the coordinator that this client knows; ask its operator"
            : "does not answer the greeting within 5 s; try again, or ask its operator";
    add(self, WITAN_FINDING_BAD, "session", "%s %s", self->membership->endpoint, text);
}

/* True when the answer to ATTACH came. */
static bool
take_answer(examination *self, node_talk *talk, const witan_packet *packet)
{
    if (packet->kind == WITAN_PACKET_PLAN && self->plan.experiment == NULL) {
        add(self, WITAN_FINDING_GOOD, "session",
            "the coordinator (%s) knows this client", node_talk_welcome(talk)->program);
        return node_plan_copy(&self->plan, packet, self->allocator) == WITAN_OK;
    }
    if (packet->kind == WITAN_PACKET_REFUSED) {
        bool waits = packet->is.refused.reason == WITAN_REASON_NOT_APPROVED;
        add(self, waits ? WITAN_FINDING_WARNING : WITAN_FINDING_BAD, "session", "%s%s",
            packet->is.refused.text[0] != '\0'
                ? packet->is.refused.text
                : witan_packet_reason_text(packet->is.refused.reason),
            waits ? "; the coordinator's operator runs `witan peers approve`" : "");
        return true;
    }
    return false;
}

/* The transfer set is asked for unless it is here or too long. */
static void
ask_for_transfer(examination *self, uint64_t now_ms)
{
    const node_plan *plan = &self->plan;
    char path[WITAN_PATH_MAX], *bytes = NULL;
    uint8_t digest[WITAN_DIGEST_SIZE];
    size_t size = 0;
    if (!plan->has_transfer || plan->transfer_bytes == 0 ||
        plan->transfer_bytes > PACKAGE_MAX ||
        node_fetch_memory(&self->fetch, WITAN_BLOB_TRANSFER, 0, plan->transfer_bytes,
                          plan->transfer_digest, now_ms, self->allocator) != WITAN_OK) {
        return;
    }
    if (node_path(path, self->options->directory, NODE_TRANSFER, NULL) == WITAN_OK &&
        witan_path_exists(path) &&
        witan_file_read(&bytes, &size, path, PACKAGE_MAX, self->allocator, NULL) ==
            WITAN_OK &&
        size == plan->transfer_bytes) {
        witan_package_digest((const uint8_t *)bytes, size, digest);
        if (memcmp(digest, plan->transfer_digest, sizeof digest) == 0) {
            memcpy(self->fetch.bytes, bytes, size);
            self->fetch.got = self->fetch.asked = size;
        }
    }
    witan_free(self->allocator, bytes);
}

/* ATTACH, PLAN, and the transfer set; then BYE. */
static void
converse(examination *self, node_talk *talk)
{
    witan_packet packet, say = {.kind = WITAN_PACKET_ATTACH};
    uint64_t until = node_now_ms(self->options) + SESSION_MS;
    bool said = false, done = false;
    (void)snprintf(say.is.attach.program, sizeof say.is.attach.program, "witan %s",
                   WITAN_VERSION);
    while (!done) {
        uint64_t now = node_now_ms(self->options);
        node_talk_step(talk, now);
        if (!said && node_talk_can_say(talk)) {
            said = true;
            look_at_clock(self, node_talk_welcome(talk));
            node_talk_say(talk, now, &say);
        }
        while (!done && node_talk_receive(talk, now, &packet)) {
            if (take_answer(self, talk, &packet)) {
                ask_for_transfer(self, now);
                done = !self->fetch.active;
                until = now + 2 * SESSION_MS;
            }
            (void)!node_fetch_take(&self->fetch, &packet, now, NULL);
        }
        done = done || node_fetch_is_whole(&self->fetch);
        while (
            !done && node_talk_can_say(talk) &&
            node_fetch_next(&self->fetch, node_talk_welcome(talk)->window, &packet)) {
            node_talk_say(talk, now, &packet);
        }
        if (!done && (node_talk_state_of(talk) == NODE_TALK_ENDED || now >= until)) {
            if (self->plan.experiment == NULL) {
                tell_end(self, node_talk_state_of(talk) == NODE_TALK_ENDED
                                   ? node_talk_end_of(talk)
                                   : NODE_END_UNSAID);
            }
            return;
        }
        if (!done) {
            node_talk_wait(talk, -1, NODE_POLL_MS);
        }
    }
    if (node_talk_can_say(talk)) {
        const witan_packet bye = {.kind = WITAN_PACKET_BYE};
        node_talk_say(talk, node_now_ms(self->options), &bye);
    }
}

static void
look_at_session(examination *self)
{
    witan_diag diag = {0};
    node_talk *talk = NULL;
    const node_talk_config config = {
        .endpoint = self->membership->endpoint,
        .coordinator = &self->membership->coordinator,
        .identity = self->identity,
        .door_public = witan_identity_public(self->identity)->transport,
        .door_secret = witan_identity_transport_secret(self->identity),
        .psk = self->membership->psk,
    };
    if (node_talk_new(&talk, &config, node_now_ms(self->options), self->allocator,
                      &diag) != WITAN_OK) {
        add(self, WITAN_FINDING_BAD, "session", "%s", diag.message);
        return;
    }
    converse(self, talk);
    node_talk_free(&talk, NODE_LINGER_MS);
}

/* --- the data --------------------------------------------------------------------- */

static void
load_study(examination *self, node_study *study)
{
    node_model *model = NULL;
    witan_diag diag = {0};
    witan_status status =
        node_study_load(study, &self->plan, &self->settings, false, self->fetch.bytes,
                        (size_t)self->fetch.got, self->allocator, &diag);
    if (status == WITAN_OK) {
        status = node_learner_maker.make(&model, study, NULL, self->allocator, &diag);
    }
    if (status != WITAN_OK) {
        add(self, WITAN_FINDING_BAD, "data", "%s", diag.message);
        return;
    }
    add(self, WITAN_FINDING_GOOD, "data",
        "%zu private rows of %zux%zux%zu%s, %zu to test on, %zu classes; model %s",
        model->samples, study->input.shape.height, study->input.shape.width,
        study->input.shape.channels, study->practice ? " (embedded practice data)" : "",
        study->own_test.count, study->plan.classes, study->model_name);
    model->ops->free(model);
}

static void
look_at_data(examination *self)
{
    node_study study;
    witan_diag diag = {0};
    if (self->plan.experiment == NULL) {
        return;
    }
    if (node_study_begin(&study, &self->plan, &self->settings, NULL, self->allocator,
                         &diag) != WITAN_OK) {
        add(self, WITAN_FINDING_BAD, "plan", "%s", diag.message);
        return;
    }
    add(self, WITAN_FINDING_GOOD, "plan", "%s: %zu rounds, strategy %s",
        study.config.name, study.config.rounds, study.strategy->key);
    if (self->plan.has_transfer && !node_fetch_is_whole(&self->fetch)) {
        add(self, WITAN_FINDING_WARNING, "data",
            "the transfer set was not fetched for this look: whether private data fit "
            "it shows at the first start");
    } else {
        load_study(self, &study);
    }
    node_study_fini(&study, self->allocator);
}

void
witan_node_examine(const witan_node_options *options,
                   witan_finding out[WITAN_FINDINGS_MAX], size_t *count,
                   const witan_allocator *allocator)
{
    examination self = {
        .options = options, .allocator = allocator, .out = out, .count = count};
    witan_directory_lock *lock = NULL;
    *count = 0;
    self.fetch.file = -1;
    if (look_at_files(&self)) {
        look_at_disk(&self);
        look_at_limits(&self);
        bool reached = look_at_network(&self);
        if (witan_directory_lock_take(&lock, options->directory, allocator, NULL) !=
            WITAN_OK) {
            look_at_running(&self);
        } else if (reached) {
            look_at_session(&self);
            look_at_data(&self);
        }
    }
    witan_directory_unlock(&lock);
    node_fetch_stop(&self.fetch, allocator);
    node_plan_fini(&self.plan, allocator);
    void *membership = self.membership;
    witan_secret_free(&membership);
    witan_identity_free(&self.identity);
}
