/* output.c - the files of a run directory, except its resumable state and its report.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/facts.h"
#include "setup/model_file.h"
#include "sim/simulation_private.h"

/* directory/name; E_LIMIT when it does not fit. */
static witan_status
path_of(char *out, size_t size, const witan_simulation *self, const char *name,
        witan_diag *diag)
{
    int length = snprintf(out, size, "%s/%s", self->options.directory, name);
    return length < 0 || (size_t)length >= size
               ? witan_diag_fail(diag, WITAN_E_LIMIT, "%s: the path is too long",
                                 self->options.directory)
               : WITAN_OK;
}

/* The plan as it was used: --resume and audits read it from here. */
static witan_status
write_canaries(const witan_simulation *self, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    if (!self->has_canaries) {
        return WITAN_OK;
    }
    WITAN_TRY(path_of(path, sizeof path, self, "canaries.json", diag));
    return witan_file_replace(path, self->options.canaries, self->options.canaries_size,
                              self->allocator, diag);
}

witan_status
sim_output_open(witan_simulation *self, uint64_t keep_bytes, witan_diag *diag)
{
    static const char *const folders[] = {"weights", "models"};
    char path[WITAN_PATH_MAX];
    bool wanted[] = {self->world.strategy->exchange != WITAN_EXCHANGE_NONE,
                     self->config->save.models};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (wanted[i]) {
            WITAN_TRY(path_of(path, sizeof path, self, folders[i], diag));
            WITAN_TRY(witan_directory_make(path, diag));
        }
    }
    if (!self->options.resume) {
        WITAN_TRY(path_of(path, sizeof path, self, "config.json", diag));
        WITAN_TRY(witan_file_replace(path, self->config_text.data,
                                     self->config_text.length, self->allocator, diag));
        WITAN_TRY(write_canaries(self, diag));
    }
    WITAN_TRY(path_of(path, sizeof path, self, "metrics.jsonl", diag));
    return witan_append_open(&self->metrics, path, keep_bytes, self->allocator, diag);
}

static void
add_number(witan_text *out, const char *key, double value)
{
    witan_text_format(out, ",\"%s\":", key);
    witan_text_json_number(out, value);
}

static void
add_metric(witan_text *out, const char *key, const witan_metric *metric)
{
    witan_text_format(out, ",\"%s\":", key);
    if (!isfinite(metric->accuracy)) {
        witan_text_format(out, "null");
        return;
    }
    witan_text_format(out, "{\"accuracy\":");
    witan_text_json_number(out, metric->accuracy);
    add_number(out, "loss", metric->loss);
    add_number(out, "ece", metric->ece);
    witan_text_format(out, "}");
}

static const char *
word(bool value)
{
    return value ? "true" : "false";
}

static void
format_client(witan_text *out, const witan_simulation *self, size_t round, size_t n)
{
    const witan_client_record *record = &self->seat[n].record;
    witan_text_format(out, "{\"round\":%zu,\"client\":%zu,\"model\":", round + 1, n);
    witan_text_json_string(out, self->model_names[n]);
    witan_text_format(out, ",\"asked\":%s,\"answered\":%s,\"late\":%s",
                      word(record->asked), word(record->answered), word(record->late));
    add_number(out, "train_loss", record->train_loss);
    add_number(out, "distill_loss", record->distill_loss);
    add_metric(out, "own_before_distill", &record->own_before);
    add_metric(out, "own", &record->own_after);
    add_metric(out, "global_before_distill", &record->global_before);
    add_metric(out, "global", &record->global_after);
    witan_text_format(out,
                      ",\"bytes_up\":%llu,\"bytes_down\":%llu,\"exchange\":\"%s\"}",
                      (unsigned long long)record->bytes_up,
                      (unsigned long long)record->bytes_down, self->exchange_hex);
}

witan_status
sim_output_round(witan_simulation *self, const witan_round_record *round,
                 witan_diag *diag)
{
    char name[64], path[WITAN_PATH_MAX];
    for (size_t n = 0; n < self->seats; n++) {
        self->line.length = 0;
        format_client(&self->line, self, round->round, n);
        if (self->line.status != WITAN_OK) {
            return witan_diag_fail(diag, self->line.status, "metrics.jsonl: %s",
                                   witan_status_text(self->line.status));
        }
        WITAN_TRY(
            witan_append_line(self->metrics, self->line.data, self->line.length, diag));
    }
    if (!self->has_weights) {
        return WITAN_OK;
    }
    (void)snprintf(name, sizeof name, "weights/round-%04zu.npy", round->round + 1);
    WITAN_TRY(path_of(path, sizeof path, self, name, diag));
    size_t shape[2] = {self->seats, self->seats};
    return witan_file_write_npy(path, self->weights, shape, 2, self->allocator, diag);
}

static witan_status
save_model(witan_simulation *self, size_t n, witan_diag *diag)
{
    const witan_network_learner *learner = &self->seat[n].state.learner;
    char name[64], path[WITAN_PATH_MAX];
    (void)snprintf(name, sizeof name, "models/client-%04zu.safetensors", n);
    WITAN_TRY(path_of(path, sizeof path, self, name, diag));
    return witan_model_file_save(path, learner->network, learner->parameters, n,
                                 self->allocator, diag);
}

static void
add_statistic(witan_text *out, const char *key, const witan_statistic *statistic)
{
    witan_text_format(out, ",\n  \"%s\": ", key);
    if (!isfinite(statistic->mean)) {
        witan_text_format(out, "null");
        return;
    }
    witan_text_format(out, "{\"mean\":");
    witan_text_json_number(out, statistic->mean);
    add_number(out, "sd", statistic->sd);
    add_number(out, "worst", statistic->worst);
    add_number(out, "bottom10", statistic->bottom10);
    witan_text_format(out, "}");
}

void
witan_simulation_summary(witan_text *out, const witan_run_record *run, bool one_line)
{
    const witan_round_record *last =
        run->rounds_done == 0 ? NULL : &run->rounds[run->rounds_done - 1];
    const witan_statistic none = {(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    size_t start = out->length;
    witan_text_format(out, "{\n  \"run\": ");
    witan_text_json_string(out, run->directory);
    witan_text_format(out, ",\n  \"name\": ");
    witan_text_json_string(out, run->name);
    witan_text_format(out, ",\n  \"digest\": \"%s\",\n  \"strategy\": \"%s\"",
                      run->digest, run->strategy);
    witan_text_format(out,
                      ",\n  \"seed\": %llu,\n  \"rounds\": %zu,\n  \"clients\": %zu",
                      (unsigned long long)run->seed, run->rounds_done, run->clients);
    witan_text_format(out, ",\n  \"seconds\": ");
    witan_text_json_number(out, run->seconds);
    const witan_phase_seconds *phase = &run->seconds_per_round;
    witan_text_format(out, ",\n  \"seconds_per_round\": {\"train\":");
    witan_text_json_number(out, phase->train);
    add_number(out, "extract", phase->extract);
    add_number(out, "fuse", phase->fuse);
    add_number(out, "distill", phase->distill);
    add_number(out, "evaluate", phase->evaluate);
    witan_text_format(out, "}");
    add_statistic(out, "own", last == NULL ? &none : &last->own_after);
    add_statistic(out, "global", last == NULL ? &none : &last->global_after);
    add_statistic(out, "own_before_distill", last == NULL ? &none : &last->own_before);
    add_statistic(out, "global_before_distill",
                  last == NULL ? &none : &last->global_before);
    if (run->text) {
        witan_text_format(out, ",\n  \"perplexity\": {\"own\":");
        witan_text_json_number(out, witan_perplexity(run, true, false));
        add_number(out, "global", witan_perplexity(run, false, false));
        witan_text_format(out, "}");
    }
    if (run->reference_own != NULL) {
        add_statistic(out, "reference_own", &run->reference_own_statistic);
        add_statistic(out, "reference_global", &run->reference_global_statistic);
    }
    witan_text_format(out, ",\n  \"gained_over_local\": ");
    witan_text_json_number(out, run->gained_over_local);
    witan_text_format(out,
                      ",\n  \"bytes_up\": %llu,\n  \"bytes_down\": %llu,\n  "
                      "\"peak_rss_bytes\": %llu,\n  \"threads\": %zu,\n  \"machine\": ",
                      (unsigned long long)run->bytes_up,
                      (unsigned long long)run->bytes_down,
                      (unsigned long long)run->peak_rss_bytes, run->threads);
    witan_text_json_string(out, run->machine);
    witan_text_format(out, ",\n  \"data\": ");
    witan_text_json_string(out, run->data_summary);
    witan_text_format(out, ",\n  \"version\": \"%s\"", run->version);
    witan_text_format(out, ",\n  \"round_seconds\": [");
    for (size_t r = 0; r < run->rounds_done; r++) {
        witan_text_format(out, "%s", r == 0 ? "" : ", ");
        witan_text_json_number(out, run->rounds[r].wall_seconds);
    }
    witan_text_format(out, "]\n}\n");
    if (one_line && out->status == WITAN_OK) {
        /* No string here holds a line break: escaped ones are two characters. */
        size_t to = start;
        for (size_t from = start; from < out->length; from++) {
            if (out->data[from] != '\n') {
                out->data[to++] = out->data[from];
            }
        }
        out->length = to;
        witan_text_add(out, "\n", 1);
    }
}

witan_status
sim_output_text(witan_simulation *self, const char *name, witan_text *text,
                witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    witan_status status = text->status;
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "%s: %s", name, witan_status_text(status));
    } else {
        status = path_of(path, sizeof path, self, name, diag);
    }
    if (status == WITAN_OK) {
        status =
            witan_file_replace(path, text->data, text->length, self->allocator, diag);
    }
    witan_text_fini(text);
    return status;
}

witan_status
sim_output_final(witan_simulation *self, witan_diag *diag)
{
    uint64_t bytes;
    for (size_t n = 0; n < self->learners && self->config->save.models; n++) {
        WITAN_TRY(save_model(self, n, diag));
    }
    WITAN_TRY(witan_append_sync(self->metrics, &bytes, diag));
    witan_text text;
    witan_text_init(&text, self->allocator, (size_t)64 << 20);
    witan_simulation_summary(&text, &self->record, false);
    return sim_output_text(self, "summary.json", &text, diag);
}
