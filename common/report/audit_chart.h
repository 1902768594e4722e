/* audit_chart.h - the pictures of an audit. Private to the room; see html.h. */
#ifndef WITAN_REPORT_AUDIT_CHART_H
#define WITAN_REPORT_AUDIT_CHART_H

#include "report/audit_facts.h"
#include "report/html.h"

/* A mark has a shape and a colour, so that it is told from others without either. */
enum {
    WITAN_MARK_SHAPES = 4 /* circle, square, triangle, diamond */
};

/* A legend's mark: shape of `index` with its colour, or a piece of its line. */
void witan_evidence_key_mark(witan_text *out, size_t index);
void witan_evidence_key_line(witan_text *out, size_t index);

/* Levels that are drawn, the most repeated. */
enum {
    WITAN_LEVELS_DRAWN = 12
};

/* Each a whole figure. Exposure by repetitions in the last round, one mark with its
 * interval per place over the null band. */
void witan_evidence_draw_levels(witan_text *out, const witan_audit_record *record);
/* Exposure of the most repeated canaries by round, one line per place. */
void witan_evidence_draw_rounds(witan_text *out, const witan_audit_record *record);
/* ROC on logarithmic axes, one line per client and attack, thinned. */
void witan_evidence_draw_roc(witan_text *out, const witan_audit_record *record,
                             const witan_evidence_attack *attacks, size_t count);
/* Utility against exposure: small marks runs, large ones means of modes. */
void witan_evidence_draw_modes(witan_text *out, const witan_audit_record *record);

#endif
