/* fake_run.h - a made-up run record, the same for the same arguments on every machine.
 */
#ifndef WITAN_TEST_FAKE_RUN_H
#define WITAN_TEST_FAKE_RUN_H

#include "report/record.h"

typedef struct fake_run {
    witan_run_record record; /* may be changed by a test after fake_run_init */
    const char **names;
    size_t *train, *test;
    uint32_t *histogram;
    witan_round_record *rounds;
    witan_client_record *last;
    double *own, *global, *weights, *reference_own, *reference_global;
} fake_run;

/* `kinds` models, every number known, no client absent. Aborts when out of memory. */
void fake_run_init(fake_run *self, size_t clients, size_t rounds, size_t classes,
                   size_t kinds);
void fake_run_fini(fake_run *self);

/* One of the runs by which tables and pages are checked, or false:
 * "ten"; "hundred" (full cells); "thousand" (groups, 50 rounds); "alone" (one client
 * without exchange); "unreferenced" (no local reference); "averaged" (parameters, one
 * kind); "pooled"; "unevaluated" (rounds, no accuracy); "empty" (nothing known);
 * "hostile" (names that attack); "long" (words that no line can hold); "gaps" (NaN
 * everywhere). */
bool fake_run_named(fake_run *self, const char *name);

#endif
