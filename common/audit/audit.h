/* audit.h - measures what a finished run gives away about its private rows: exposure of
 * canaries, extraction, membership, label shares; and sets it beside what was promised.
 * Of a deployed client's own directory: exposure and extraction of its final model.
 * Why here: one measurement for every run, made afterwards from what the run recorded
 * (setup/audit_file.h), so that nothing that trains can look at how it is judged.
 * It reads RUN/config.json, RUN/canaries.json when there is one, RUN/audit/ and
 * RUN/metrics.jsonl, loads and plants the world again, and believes none of them.
 * Threads: one caller per result. Reproducible: a function of run and settings. */
#ifndef WITAN_AUDIT_AUDIT_H
#define WITAN_AUDIT_AUDIT_H

#include "base/memory.h"
#include "report/audit.h"

typedef struct witan_audit_settings {
    const char *directory; /* of the run or client; borrowed during the call, copied */
    size_t shadows;   /* shadow models of each client, taken in pairs; < 2: none, RMIA
                         uses   the other clients' models; LiRA needs 4 */
    double exact_max; /* largest space of fills that is enumerated */
    uint64_t nodes;   /* of the extraction's search, per client */
    double significance; /* of bounds, (0, 1) */
    double delta;        /* of bounds where nothing was promised, [0, 1) */
    uint64_t seed;       /* of samples, shadows and intervals */
    /* Told what is being measured; false stops with E_INTERRUPTED. NULL: not asked. */
    bool (*progress)(void *context, const char *what, size_t done, size_t total);
    void *context;
} witan_audit_settings;

/* No shadows, exact to WITAN_SPACE_EXACT_MAX, 100,000 nodes, 0.05, 1e-5, seed 1. */
void witan_audit_settings_init(witan_audit_settings *self, const char *directory);

/* Owns its record and everything that it points to. */
typedef struct witan_audit_result witan_audit_result;

/* Measures one run, or one deployed client of text by the canaries that it planted
 * (what a client keeps: client_directory.c). *out is owned by the caller, NULL on
 * failure. Errors: E_IO (no such run), E_STATE (a client whose experiment is not
 * finished), E_CONFIG (a run without records: says how to make them; a plan that was
 * changed), E_DATA (data or plan are not those of the run; a record that is damaged or
 * is of another run), E_NUMERIC, E_LIMIT, E_MEMORY, E_INTERRUPTED.
 */
WITAN_NODISCARD witan_status witan_audit_measure(witan_audit_result **out,
                                                 const witan_audit_settings *settings,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);

/* Several runs side by side: reduction and cost of each against the plain run of the
 * same transfer set and seed, intervals over seeds, and the bound that runs with one
 * canary each give together. Copies what it needs of `runs` [count >= 2].
 * Errors: E_CONFIG (text beside features; canaries of other templates;
 * a client's directory), E_MEMORY. */
WITAN_NODISCARD witan_status witan_audit_compare(witan_audit_result **out,
                                                 const witan_audit_result *const *runs,
                                                 size_t count,
                                                 const witan_audit_settings *settings,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);

void witan_audit_result_free(witan_audit_result **self);

/* Borrowed until the result is freed. */
const witan_audit_record *witan_audit_record_of(const witan_audit_result *self);
const witan_audit_hashes *witan_audit_hashes_of(const witan_audit_result *self);
/* Whether a lower bound lies above what was promised: then the promise or the code is
 * wrong. */
bool witan_audit_contradicted(const witan_audit_result *self);

/* --- gates ---------------------------------------------------------------------- */

/* "NAME OP NUMBER" with >, >=, <, <= and a name of
 *   exposure      students, most repetitions, last round: mean, bits
 *   teacher       the same of the models that hold the canaries
 *   wire          the same of the soft labels that they said
 *   reduction     share of exposure over chance that was removed (several runs)
 *   cost          relative loss of utility against plain (several runs)
 *   utility       accuracy or perplexity of students
 *   auc, tpr      best membership attack; TPR at a FPR of 1 %
 *   told          share of the label distribution that soft labels give away
 *   epsilon       largest lower bound, nats
 *   extracted     models that do not hold a canary and whose likeliest fill is one
 * A gate is crossed when any measured value fulfils it: of a comparison, values of the
 * protected runs, or of all when none is protected.
 * Errors: E_CONFIG (grammar; an unknown name: the nearest). */
WITAN_NODISCARD witan_status witan_audit_gate_check(const char *expression,
                                                    witan_diag *diag);

/* Evaluates gates into the record; *crossed tells whether any was. Once per result.
 * Errors: as above; E_CONFIG when a metric was not measured (nothing passes unseen);
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_audit_gates(witan_audit_result *self,
                                               const char *const *expressions,
                                               size_t count, bool *crossed,
                                               witan_diag *diag);

#endif
