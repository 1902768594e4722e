#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "client/shell/node_private.h"

void
node_say(const node *self, const char *format, ...)
{
    char line[512];
    va_list arguments;
    if (self->options->say == NULL) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    self->options->say(self->options->context, line);
}

void
node_bytes_text(char out[32], uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB"};
    double value = (double)bytes / 1000.0;
    size_t unit = 0;
    if (bytes < 1000) {
        (void)snprintf(out, 32, "%u B", (unsigned)bytes);
        return;
    }
    while (value >= 1000.0 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000.0;
        unit++;
    }
    (void)snprintf(out, 32, "%.*f %s", value < 10.0 ? 1 : 0, value, units[unit]);
}

static const char *
phase_of(const node *self)
{
    static const char *const learning[] = {
        [WITAN_CLIENT_IDLE] = "waiting for a round",
        [WITAN_CLIENT_TRAINING] = "training",
        [WITAN_CLIENT_WAITING] = "waiting for the others",
        [WITAN_CLIENT_DISTILLING] = "learning from the others",
    };
    if (self->finished) {
        return "finished";
    }
    if (self->prepared) {
        return learning[self->core.phase];
    }
    if (self->fetch.active) {
        return "fetching the transfer set";
    }
    return self->job.kind == NODE_JOB_PREPARE ? "preparing" : "connecting";
}

static void
add_metric(witan_text *out, const char *key, const witan_packet_metric *metric)
{
    witan_text_format(out, ",\n  \"%s\": ", key);
    witan_text_json_number(out, metric->accuracy);
}

static void
format_status(const node *self, witan_text *out)
{
    bool open = self->talk != NULL && self->attached;
    char fingerprint[WITAN_FINGERPRINT_MAX];
    witan_fingerprint(fingerprint, &self->membership->coordinator,
                      witan_identity_public(self->identity));
    witan_text_format(out, "{\n  \"name\": ");
    witan_text_json_string(out, self->membership->name);
    witan_text_format(out, ",\n  \"client\": %lu,\n  \"coordinator\": ",
                      (unsigned long)self->membership->client);
    witan_text_json_string(out, self->membership->endpoint);
    witan_text_format(out,
                      ",\n  \"fingerprint\": \"%s\",\n  \"connected\": %s,\n"
                      "  \"phase\": \"%s\"",
                      fingerprint, open ? "true" : "false", phase_of(self));
    if (self->prepared && self->core.unopened != 0) {
        witan_text_format(out, ",\n  \"round\": %lu",
                          (unsigned long)self->core.round + 1);
    }
    if (self->prepared) {
        witan_text_format(
            out, ",\n  \"rounds\": %zu,\n  \"model\": ", self->study.config.rounds);
        witan_text_json_string(out, self->study.model_name);
        add_metric(out, "own_accuracy_before", &self->record.own_before);
        add_metric(out, "own_accuracy", &self->record.own_after);
        add_metric(out, "global_accuracy", &self->record.global_after);
        witan_text_format(out, ",\n  \"train_loss\": ");
        witan_text_json_number(out, self->record.train_loss);
    }
    if (self->options->wall_s != NULL) {
        witan_text_format(
            out, ",\n  \"updated\": %llu",
            (unsigned long long)self->options->wall_s(self->options->context));
    }
    witan_text_format(out, "\n}\n");
}

void
node_write_status(node *self)
{
    char path[WITAN_PATH_MAX];
    witan_text text;
    if (!self->status_due ||
        (self->status_ms != 0 && self->now_ms - self->status_ms < NODE_STATUS_MS)) {
        return;
    }
    self->status_due = false;
    self->status_ms = self->now_ms;
    witan_text_init(&text, self->allocator, 65536);
    format_status(self, &text);
    /* For people only: a full disk is told when something that matters is written. */
    if (text.status == WITAN_OK &&
        node_path(path, self->directory, NODE_STATUS, NULL) == WITAN_OK) {
        (void)!witan_file_replace(path, text.data, text.length, self->allocator, NULL);
    }
    witan_text_fini(&text);
}
