/* fake_audit.h - a made-up audit record, the same for the same name on every machine.
 */
#ifndef WITAN_TEST_FAKE_AUDIT_H
#define WITAN_TEST_FAKE_AUDIT_H

#include "report/audit_record.h"

enum {
    FAKE_LEVELS = 4,
    FAKE_ROC_POINTS = 120
};

typedef struct fake_audit {
    witan_audit_record record; /* may be changed by a test */
    uint32_t repetitions[FAKE_LEVELS];
    witan_audit_exposure *exposure;
    witan_audit_extraction *extraction;
    witan_audit_membership *membership;
    witan_audit_labels *labels;
    witan_audit_evidence bound[2];
    witan_audit_claim claim[2];
    witan_audit_run *run;
    witan_audit_mode modes[4];
    double fpr[FAKE_ROC_POINTS], tpr[FAKE_ROC_POINTS];
} fake_audit;

/* One of the audits by which tables, pages and files are checked, or false:
 * "leaky" (12 clients, 3 rounds, students learn what teachers know); "quiet" (students
 * at the null, gates held); "thousand" (clients, 100 rounds, compared runs); "compared"
 * (four modes, five seeds); "contradicted" (a claim below a bound, a gate crossed);
 * "features" (accuracy, no extraction); "empty" (nothing known, nothing pointed to);
 * "hostile" (texts that attack); "gaps" (NaN everywhere); "long" (words that no line
 * can hold). */
bool fake_audit_named(fake_audit *self, const char *name);
void fake_audit_fini(fake_audit *self);

#endif
