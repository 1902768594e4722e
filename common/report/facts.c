#include "report/facts.h"

#include <math.h>
#include <string.h>

bool
witan_has_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

const char *
witan_report_model_name(const witan_run_record *run, size_t client)
{
    if (run->model_names == NULL || !witan_has_text(run->model_names[client])) {
        return "model";
    }
    return run->model_names[client];
}

double
witan_own_after(const witan_run_record *run, size_t client)
{
    return run->last == NULL ? (double)NAN : run->last[client].own_after.accuracy;
}

double
witan_global_after(const witan_run_record *run, size_t client)
{
    return run->last == NULL ? (double)NAN : run->last[client].global_after.accuracy;
}

double
witan_perplexity(const witan_run_record *run, bool own, bool before)
{
    double sum = 0.0;
    size_t count = 0;
    for (size_t n = 0; run->last != NULL && n < run->clients; n++) {
        const witan_client_record *it = &run->last[n];
        double loss = own ? (before ? it->own_before.loss : it->own_after.loss)
                          : (before ? it->global_before.loss : it->global_after.loss);
        if (isfinite(loss)) {
            sum += exp(loss);
            count++;
        }
    }
    return count == 0 ? (double)NAN : sum / (double)count;
}

double
witan_gain_own(const witan_run_record *run, size_t client)
{
    if (run->reference_own == NULL) {
        return (double)NAN;
    }
    return witan_own_after(run, client) - run->reference_own[client];
}

double
witan_gain_global(const witan_run_record *run, size_t client)
{
    if (run->reference_global == NULL) {
        return (double)NAN;
    }
    return witan_global_after(run, client) - run->reference_global[client];
}

bool
witan_has_reference(const witan_run_record *run)
{
    return run->reference_own != NULL || run->reference_global != NULL;
}

size_t
witan_gain_count(const witan_run_record *run)
{
    size_t count = 0;
    for (size_t n = 0; n < run->clients; n++) {
        count += isfinite(witan_gain_own(run, n)) ? 1 : 0;
    }
    return count;
}

const witan_round_record *
witan_last_evaluated(const witan_run_record *run)
{
    for (size_t r = run->rounds == NULL ? 0 : run->rounds_done; r > 0; r--) {
        if (run->rounds[r - 1].evaluated) {
            return &run->rounds[r - 1];
        }
    }
    return NULL;
}

bool
witan_exchanges(const witan_run_record *run)
{
    return run->exchange == WITAN_RUN_SOFT_LABELS ||
           run->exchange == WITAN_RUN_PARAMETERS;
}

const char *
witan_step_word(const witan_run_record *run)
{
    return run->exchange == WITAN_RUN_SOFT_LABELS  ? "distillation"
           : run->exchange == WITAN_RUN_PARAMETERS ? "averaging"
                                                   : "training";
}

static const witan_statistic unknown = {(double)NAN, (double)NAN, (double)NAN,
                                        (double)NAN};

witan_result
witan_result_of(const witan_run_record *run)
{
    witan_result self = {{false, true, witan_has_reference(run)},
                         {&unknown, &unknown, &unknown},
                         {&unknown, &unknown, &unknown}};
    const witan_round_record *last = witan_last_evaluated(run);
    if (last != NULL && last->evaluated_before && witan_exchanges(run)) {
        self.shown[0] = true;
        self.own[0] = &last->own_before;
        self.global[0] = &last->global_before;
    }
    if (last != NULL) {
        self.own[1] = &last->own_after;
        self.global[1] = &last->global_after;
    }
    if (run->reference_own != NULL) {
        self.own[2] = &run->reference_own_statistic;
    }
    if (run->reference_global != NULL) {
        self.global[2] = &run->reference_global_statistic;
    }
    return self;
}

double
witan_per_client(const witan_run_record *run, uint64_t bytes)
{
    size_t asked = 0;
    for (size_t r = 0; run->rounds != NULL && r < run->rounds_done; r++) {
        asked += run->rounds[r].asked;
    }
    return asked == 0 ? (double)NAN : (double)bytes / (double)asked;
}

static size_t
find_kind(witan_kinds *self, const char *name)
{
    size_t k = 0;
    while (k < self->count && strcmp(self->kind[k].name, name) != 0) {
        k++;
    }
    if (k == self->count) {
        if (self->count == WITAN_KINDS_MAX) {
            self->kind[WITAN_KINDS_MAX - 1].name = "other models";
            return WITAN_KINDS_MAX - 1;
        }
        self->kind[self->count++].name = name;
    }
    return k;
}

/* Adds a finite value to a running mean. */
static void
add_to_mean(double *mean, size_t *count, double value)
{
    if (isfinite(value)) {
        ++*count;
        *mean += (value - *mean) / (double)*count;
    }
}

witan_status
witan_kinds_init(witan_kinds *self, const witan_run_record *run,
                 const witan_allocator *allocator)
{
    size_t counted[WITAN_KINDS_MAX][3] = {{0}};
    memset(self, 0, sizeof *self);
    self->of_client = witan_zalloc(allocator, run->clients, 1);
    if (self->of_client == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t n = 0; n < run->clients; n++) {
        size_t k = find_kind(self, witan_report_model_name(run, n));
        witan_kind *kind = &self->kind[k];
        self->of_client[n] = (uint8_t)k;
        kind->clients++;
        add_to_mean(&kind->own, &counted[k][0], witan_own_after(run, n));
        add_to_mean(&kind->global, &counted[k][1], witan_global_after(run, n));
        add_to_mean(&kind->gain, &counted[k][2], witan_gain_own(run, n));
    }
    for (size_t k = 0; k < self->count; k++) {
        witan_kind *kind = &self->kind[k];
        kind->own = counted[k][0] == 0 ? (double)NAN : kind->own;
        kind->global = counted[k][1] == 0 ? (double)NAN : kind->global;
        kind->gain = counted[k][2] == 0 ? (double)NAN : kind->gain;
    }
    return WITAN_OK;
}

void
witan_kinds_fini(witan_kinds *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->of_client);
    self->of_client = NULL;
}

static const char *
plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void
tell_who(witan_text *out, const witan_run_record *run, const witan_kinds *kinds)
{
    if (run->exchange == WITAN_RUN_POOLED) {
        witan_text_format(out, "One model (%s) learned from the pooled rows of ",
                          kinds->count == 0 ? "model" : kinds->kind[0].name);
    }
    witan_text_format(out, "%zu client%s", run->clients, plural(run->clients));
    if (run->exchange == WITAN_RUN_POOLED) {
        return;
    }
    if (kinds->count > 1) {
        witan_text_format(out, " with %zu kinds of model learned", kinds->count);
    } else if (kinds->count == 1) {
        witan_text_format(out, " with %s model (%s) learned",
                          run->clients == 1 ? "one" : "the same kind of",
                          kinds->kind[0].name);
    } else {
        witan_text_format(out, " learned");
    }
}

void
witan_headline(witan_text *out, const witan_run_record *run, const witan_kinds *kinds)
{
    bool strategy = witan_has_text(run->strategy);
    bool data = witan_has_text(run->data_name);
    tell_who(out, run, kinds);
    if (run->rounds_done < run->rounds_planned) {
        witan_text_format(out, " for %zu of %zu planned round%s", run->rounds_done,
                          run->rounds_planned, plural(run->rounds_planned));
    } else {
        witan_text_format(out, " for %zu round%s", run->rounds_done,
                          plural(run->rounds_done));
    }
    switch (run->exchange) {
    case WITAN_RUN_SOFT_LABELS:
        witan_text_format(out, " by exchanging soft labels");
        if (run->transfer_rows > 0) {
            witan_text_format(out, " on %zu unlabelled row%s", run->transfer_rows,
                              plural(run->transfer_rows));
        }
        break;
    case WITAN_RUN_PARAMETERS:
        witan_text_format(out, " by averaging model parameters");
        break;
    case WITAN_RUN_NOTHING:
        witan_text_format(out, ", each alone on its own rows");
        break;
    case WITAN_RUN_POOLED:
        break;
    }
    if (strategy || data) {
        witan_text_format(out, " (%s%s%s%s)", strategy ? "strategy " : "",
                          strategy ? run->strategy : "", strategy && data ? ", " : "",
                          data ? run->data_name : "");
    }
    witan_text_format(out, ".");
}
