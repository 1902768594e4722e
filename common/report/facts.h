/* facts.h - what the record says in passing: kinds of model, gains, the headline.
 * Why here: the terminal and the page tell the same story from the same numbers. */
#ifndef WITAN_REPORT_FACTS_H
#define WITAN_REPORT_FACTS_H

#include "base/text.h"
#include "report/record.h"

/* Further kinds are counted together as "other models". */
enum {
    WITAN_KINDS_MAX = 64
};

typedef struct witan_kind {
    const char *name; /* borrows until the record goes */
    size_t clients;
    double own, global; /* mean accuracy after distillation, NaN when unknown */
    double gain;        /* mean of own minus reference, NaN when unknown */
} witan_kind;

/* Clients grouped by model name, in order of first appearance. */
typedef struct witan_kinds {
    size_t count;
    witan_kind kind[WITAN_KINDS_MAX];
    uint8_t *of_client; /* [clients], owned */
} witan_kinds;

/* Errors: E_MEMORY. */
WITAN_NODISCARD witan_status witan_kinds_init(witan_kinds *self,
                                              const witan_run_record *run,
                                              const witan_allocator *allocator);
void witan_kinds_fini(witan_kinds *self, const witan_allocator *allocator);

/* One sentence: who learned what, how, for how long. Plain text, nothing escaped. */
void witan_headline(witan_text *out, const witan_run_record *run,
                    const witan_kinds *kinds);

/* True when clients hear each other; only then is there a before and a reference. */
bool witan_exchanges(const witan_run_record *run);
/* "distillation", "averaging", "training": what an evaluation comes after. */
const char *witan_step_word(const witan_run_record *run);

/* The last evaluated round, or NULL. */
const witan_round_record *witan_last_evaluated(const witan_run_record *run);

/* The rows of the result table: before, after, reference. */
typedef struct witan_result {
    bool shown[3]; /* a row that was never measured is left out, but for "after" */
    const witan_statistic *own[3], *global[3]; /* all NaN where nothing is known */
} witan_result;
witan_result witan_result_of(const witan_run_record *run);

/* exp(loss in nats) of the next token, mean over clients of the last evaluated round;
 * NaN when nobody has one. */
double witan_perplexity(const witan_run_record *run, bool own, bool before);

/* Own accuracy after distillation minus the reference; NaN when either is missing. */
double witan_gain_own(const witan_run_record *run, size_t client);
double witan_gain_global(const witan_run_record *run, size_t client);
/* True when there is something to compare with; else gains are not spoken of. */
bool witan_has_reference(const witan_run_record *run);
/* Clients with a finite own gain. */
size_t witan_gain_count(const witan_run_record *run);

/* Accuracies after distillation, NaN when unknown. */
double witan_own_after(const witan_run_record *run, size_t client);
double witan_global_after(const witan_run_record *run, size_t client);

/* Bytes per asked client and round; NaN when nobody was asked. */
double witan_per_client(const witan_run_record *run, uint64_t bytes);

/* Name of a client's model, never NULL. */
const char *witan_report_model_name(const witan_run_record *run, size_t client);

/* True for a text with something in it. */
bool witan_has_text(const char *text);

#endif
