/* audit.h - what a person and a program see of an audit: table, page, JSON.
 * Text goes to a witan_text; who prints it decides where. */
#ifndef WITAN_REPORT_AUDIT_H
#define WITAN_REPORT_AUDIT_H

#include "base/text.h"
#include "report/audit_record.h"
#include "report/report.h"

/* Fits 80 columns: what was planted, exposure by repetitions and place in the last
 * round beside the null mean 1.44, what was extracted, membership, label inference,
 * bounds beside claims, what the evidence does not show, gates. */
void witan_report_audit_table(witan_text *out, const witan_audit_record *record,
                              const witan_terminal *terminal);

/* audit.html: self-contained, no script, no network, well-formed XML too, light and
 * dark, readable on a phone: exposure by repetitions with the null band (5 % to 95 % of
 * the mean of so many null canaries), per round and per place; ROC on log axes; utility
 * against leakage for each mode when runs are compared; all numbers as tables too; what
 * the evidence does not show. */
void witan_report_audit_html(witan_text *out, const witan_audit_record *record);

/* What hashes the evidence: hex, "" when there is none. */
typedef struct witan_audit_hashes {
    const char *config, *plan, *data, *models;
} witan_audit_hashes;

/* audit.json, schema version 1, documented in docs/privacy.md: every field of the
 * record, NaN as null, and the hashes. */
void witan_report_audit_json(witan_text *out, const witan_audit_record *record,
                             const witan_audit_hashes *hashes);

#endif
