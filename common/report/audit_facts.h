/* audit_facts.h - what an audit says in passing: the last round, the null band, groups
 * of attacks, the headline.
 * Why here: private to the room; the table and the page tell the same story. */
#ifndef WITAN_REPORT_AUDIT_FACTS_H
#define WITAN_REPORT_AUDIT_FACTS_H

#include "base/text.h"
#include "report/audit_record.h"
#include "report/number.h"

/* Mean exposure of a canary that no model saw: Exp(ln 2). */
#define WITAN_EVIDENCE_NULL_MEAN 1.4426950408889634

/* "teachers", "wire", "fused", "students". */
const char *witan_evidence_place_name(witan_audit_place place);

/* 5 % and 95 % quantile of the mean exposure, bits, of n canaries that no model saw:
 * Gamma(n, 1) / (n ln 2). Up to 200 canaries by the Poisson sum, exact; above by Wilson
 * and Hilferty 1931, to 1e-5. Both NaN for n == 0. */
void witan_evidence_null_band(double *low, double *high, size_t n);

/* The latest round with an exposure; SIZE_MAX without one. */
size_t witan_evidence_last_round(const witan_audit_record *record);
/* NULL when it was not measured. */
const witan_audit_exposure *witan_evidence_find(const witan_audit_record *record,
                                                size_t round, witan_audit_place place,
                                                uint32_t repetitions);
/* Canaries of a level: the smallest number of values at any place of that round,
 * because one canary in several models gives values that are not independent. */
size_t witan_evidence_canaries(const witan_audit_record *record, size_t round,
                               uint32_t repetitions);

/* The exposure that answers the question: of the most repeated canaries in the last
 * round, at students; where there are none at the fused labels, the wire, the teachers.
 * NULL without exposures. */
const witan_audit_exposure *witan_evidence_answer(const witan_audit_record *record);

typedef enum witan_evidence_verdict {
    WITAN_EVIDENCE_UNKNOWN,
    WITAN_EVIDENCE_NOTHING, /* within what chance gives in 95 of 100 audits */
    WITAN_EVIDENCE_PART,
    WITAN_EVIDENCE_NEARLY_ALL, /* from nine tenths of the largest possible */
} witan_evidence_verdict;
witan_evidence_verdict witan_evidence_judge(const witan_audit_record *record,
                                            const witan_audit_exposure *exposure);

/* The answer in words: what was revealed, of the holders, word for word, beyond a
 * promise, past a gate. Plain text, nothing escaped. */
void witan_evidence_headline(witan_text *out, const witan_audit_record *record);

/* "93.1 %" or "4.52": accuracy, or perplexity of text. */
witan_shown witan_evidence_utility(const witan_audit_record *record, double utility);

/* Membership by attack and place. */
enum {
    WITAN_EVIDENCE_ATTACKS_MAX = 16
};
typedef struct witan_evidence_attack {
    const char *attack, *place;
    size_t clients;
    double auc, auc_largest; /* mean and largest over clients, NaN when unknown */
    double tpr_1, tpr_01;    /* largest */
} witan_evidence_attack;
/* Groups in order of appearance; further ones are left out. Returns their number. */
size_t
witan_evidence_attacks(const witan_audit_record *record,
                       witan_evidence_attack attacks[WITAN_EVIDENCE_ATTACKS_MAX]);
/* Which group a row is in; WITAN_EVIDENCE_ATTACKS_MAX when it was left out. */
size_t witan_evidence_attack_of(const witan_evidence_attack *attacks, size_t count,
                                const witan_audit_membership *row);

/* Planted canaries that came out as a model's likeliest fill. */
typedef struct witan_evidence_extracted {
    size_t models, holders;   /* asked */
    size_t found_by_holders;  /* models that hold some canary */
    size_t found_by_students; /* models that hold none */
} witan_evidence_extracted;
witan_evidence_extracted witan_evidence_extracted_of(const witan_audit_record *record);

/* Mean, NaN without a finite value. */
double witan_evidence_told_mean(const witan_audit_record *record);
double witan_evidence_told_largest(const witan_audit_record *record);

#endif
