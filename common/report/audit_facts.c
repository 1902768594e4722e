#include "report/audit_facts.h"

#include <math.h>
#include <string.h>

#include "report/facts.h"

static const char *const places[WITAN_AUDIT_PLACES] = {"teachers", "wire", "fused",
                                                       "students"};

const char *
witan_evidence_place_name(witan_audit_place place)
{
    return (size_t)place < WITAN_AUDIT_PLACES ? places[place] : "-";
}

/* ---- chance ---------------------------------------------------------------------- */

/* Pr[Gamma(n, 1) <= x] for a whole n: 1 - sum_{k < n} e^-x x^k / k!. */
static double
gamma_below(size_t n, double x)
{
    double term = exp(-x), sum = 0.0;
    for (size_t k = 0; k < n; k++) {
        sum += term;
        term *= x / (double)(k + 1);
    }
    return 1.0 - sum;
}

static double
gamma_quantile(size_t n, double p, double normal)
{
    enum {
        EXACT_MAX = 200,
        HALVINGS = 60
    };
    double count = (double)n;
    double low = 0.0, high = count + 6.0 * sqrt(count) + 10.0;
    if (n > EXACT_MAX) {
        double root = 1.0 - 1.0 / (9.0 * count) + normal / (3.0 * sqrt(count));
        return count * root * root * root;
    }
    for (int i = 0; i < HALVINGS; i++) {
        double middle = 0.5 * (low + high);
        if (gamma_below(n, middle) < p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 0.5 * (low + high);
}

void
witan_evidence_null_band(double *low, double *high, size_t n)
{
    static const double Z95 = 1.6448536269514722;
    double bits = n == 0 ? (double)NAN : WITAN_EVIDENCE_NULL_MEAN / (double)n;
    *low = n == 0 ? bits : bits * gamma_quantile(n, 0.05, -Z95);
    *high = n == 0 ? bits : bits * gamma_quantile(n, 0.95, Z95);
}

/* ---- exposures ------------------------------------------------------------------- */

size_t
witan_evidence_last_round(const witan_audit_record *record)
{
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < record->exposures; i++) {
        size_t round = record->exposure[i].round;
        last = last == SIZE_MAX || round > last ? round : last;
    }
    return last;
}

const witan_audit_exposure *
witan_evidence_find(const witan_audit_record *record, size_t round,
                    witan_audit_place place, uint32_t repetitions)
{
    for (size_t i = record->exposures; i-- > 0;) {
        const witan_audit_exposure *at = &record->exposure[i];
        if (at->round == round && at->place == place &&
            at->repetitions == repetitions) {
            return at;
        }
    }
    return NULL;
}

size_t
witan_evidence_canaries(const witan_audit_record *record, size_t round,
                        uint32_t repetitions)
{
    size_t least = 0;
    for (int place = 0; place < WITAN_AUDIT_PLACES; place++) {
        const witan_audit_exposure *at =
            witan_evidence_find(record, round, (witan_audit_place)place, repetitions);
        if (at != NULL && at->count > 0 && isfinite(at->mean)) {
            least = least == 0 || at->count < least ? at->count : least;
        }
    }
    return least;
}

const witan_audit_exposure *
witan_evidence_answer(const witan_audit_record *record)
{
    size_t round = witan_evidence_last_round(record);
    if (record->levels == 0 || round == SIZE_MAX) {
        return NULL;
    }
    for (int place = WITAN_AUDIT_PLACES; place-- > 0;) {
        const witan_audit_exposure *at =
            witan_evidence_find(record, round, (witan_audit_place)place,
                                record->repetitions[record->levels - 1]);
        if (at != NULL && isfinite(at->mean)) {
            return at;
        }
    }
    return NULL;
}

witan_evidence_verdict
witan_evidence_judge(const witan_audit_record *record,
                     const witan_audit_exposure *exposure)
{
    double low, high;
    if (exposure == NULL || !isfinite(exposure->mean)) {
        return WITAN_EVIDENCE_UNKNOWN;
    }
    witan_evidence_null_band(
        &low, &high,
        witan_evidence_canaries(record, exposure->round, exposure->repetitions));
    if (isfinite(exposure->p_value) ? exposure->p_value >= 0.05
                                    : !(exposure->mean > high)) {
        return WITAN_EVIDENCE_NOTHING;
    }
    return exposure->mean >= 0.9 * record->space_bits ? WITAN_EVIDENCE_NEARLY_ALL
                                                      : WITAN_EVIDENCE_PART;
}

/* ---- groups ---------------------------------------------------------------------- */

static const char *
text_of(const char *text)
{
    return text == NULL ? "" : text;
}

static void
raise_to(double *largest, double value)
{
    if (isfinite(value) && !(*largest >= value)) {
        *largest = value;
    }
}

size_t
witan_evidence_attack_of(const witan_evidence_attack *attacks, size_t count,
                         const witan_audit_membership *row)
{
    for (size_t g = 0; g < count; g++) {
        if (strcmp(attacks[g].attack, text_of(row->attack)) == 0 &&
            strcmp(attacks[g].place, text_of(row->place)) == 0) {
            return g;
        }
    }
    return WITAN_EVIDENCE_ATTACKS_MAX;
}

size_t
witan_evidence_attacks(const witan_audit_record *record,
                       witan_evidence_attack attacks[WITAN_EVIDENCE_ATTACKS_MAX])
{
    size_t count = 0, known[WITAN_EVIDENCE_ATTACKS_MAX] = {0};
    double sum[WITAN_EVIDENCE_ATTACKS_MAX] = {0.0};
    for (size_t i = 0; i < record->memberships; i++) {
        const witan_audit_membership *row = &record->membership[i];
        size_t g = witan_evidence_attack_of(attacks, count, row);
        if (g == WITAN_EVIDENCE_ATTACKS_MAX) {
            if (count == WITAN_EVIDENCE_ATTACKS_MAX) {
                continue;
            }
            g = count++;
            attacks[g] = (witan_evidence_attack){.attack = text_of(row->attack),
                                                 .place = text_of(row->place),
                                                 .auc_largest = (double)NAN,
                                                 .tpr_1 = (double)NAN,
                                                 .tpr_01 = (double)NAN};
        }
        attacks[g].clients++;
        if (isfinite(row->auc)) {
            sum[g] += row->auc;
            known[g]++;
        }
        raise_to(&attacks[g].auc_largest, row->auc);
        raise_to(&attacks[g].tpr_1, row->tpr_1);
        raise_to(&attacks[g].tpr_01, row->tpr_01);
    }
    for (size_t g = 0; g < count; g++) {
        attacks[g].auc = known[g] == 0 ? (double)NAN : sum[g] / (double)known[g];
    }
    return count;
}

witan_evidence_extracted
witan_evidence_extracted_of(const witan_audit_record *record)
{
    witan_evidence_extracted self = {0};
    for (size_t i = 0; i < record->extractions; i++) {
        const witan_audit_extraction *at = &record->extraction[i];
        bool planted = at->found && at->planted;
        self.models++;
        self.holders += at->holder ? 1 : 0;
        self.found_by_holders += planted && at->holder ? 1 : 0;
        self.found_by_students += planted && !at->holder ? 1 : 0;
    }
    return self;
}

double
witan_evidence_told_mean(const witan_audit_record *record)
{
    double sum = 0.0;
    size_t known = 0;
    for (size_t i = 0; i < record->labels_count; i++) {
        if (isfinite(record->labels[i].told)) {
            sum += record->labels[i].told;
            known++;
        }
    }
    return known == 0 ? (double)NAN : sum / (double)known;
}

double
witan_evidence_told_largest(const witan_audit_record *record)
{
    double largest = (double)NAN;
    for (size_t i = 0; i < record->labels_count; i++) {
        raise_to(&largest, record->labels[i].told);
    }
    return largest;
}

witan_shown
witan_evidence_utility(const witan_audit_record *record, double utility)
{
    witan_shown self =
        record->text ? witan_shown_real(utility, 2) : witan_shown_percent(utility);
    size_t used = strlen(self.text);
    if (!record->text && isfinite(utility) && used + 3 <= sizeof self.text) {
        memcpy(self.text + used, " %", 3);
    }
    return self;
}

/* ---- headline -------------------------------------------------------------------- */

static void
add_repeated(witan_text *out, uint32_t repetitions)
{
    if (repetitions == 0) {
        witan_text_format(out, "controls, which nobody holds");
    } else if (repetitions == 1) {
        witan_text_format(out, "canaries planted once");
    } else {
        witan_text_format(out, "canaries repeated %u times", (unsigned)repetitions);
    }
}

static void
add_answer(witan_text *out, const witan_audit_record *record,
           const witan_audit_exposure *answer)
{
    static const char *const who[WITAN_AUDIT_PLACES] = {
        "Models that hold the canaries", "Soft labels on the wire", "Fused soft labels",
        "Students"};
    static const char *const what[] = {"tell an unknown part",
                                       "reveal nothing measurable", "reveal a part",
                                       "give away nearly all"};
    witan_evidence_verdict verdict = witan_evidence_judge(record, answer);
    size_t n = witan_evidence_canaries(record, answer->round, answer->repetitions);
    double low, high;
    witan_text_format(out, "%s %s of ", who[answer->place], what[verdict]);
    add_repeated(out, answer->repetitions);
    witan_text_format(out, ": exposure %s bits (null %.2f; largest possible %s).",
                      witan_shown_bits(answer->mean).text, WITAN_EVIDENCE_NULL_MEAN,
                      witan_shown_bits(record->space_bits).text);
    if (verdict == WITAN_EVIDENCE_NOTHING) {
        /* How little the audit could have seen. */
        witan_evidence_null_band(&low, &high, n);
        witan_text_format(out,
                          " With %zu canar%s, chance alone passes %s bits in one audit "
                          "of 20.",
                          n, n == 1 ? "y" : "ies", witan_shown_bits(high).text);
    }
}

static void
add_holders(witan_text *out, const witan_audit_record *record,
            const witan_audit_exposure *answer)
{
    const witan_audit_exposure *teachers = witan_evidence_find(
        record, answer->round, WITAN_AUDIT_TEACHERS, answer->repetitions);
    witan_evidence_extracted extracted = witan_evidence_extracted_of(record);
    if (answer->place != WITAN_AUDIT_TEACHERS && teachers != NULL &&
        isfinite(teachers->mean)) {
        witan_text_format(out, " In the models that hold them it is %s bits.",
                          witan_shown_bits(teachers->mean).text);
    }
    if (extracted.found_by_students > 0) {
        witan_text_format(
            out, " %zu of %zu students say%s a planted canary word for word.",
            extracted.found_by_students, extracted.models - extracted.holders,
            extracted.found_by_students == 1 ? "s" : "");
    }
}

static bool
is_plain(const witan_audit_mode *mode)
{
    return strcmp(text_of(mode->mode), "plain") == 0;
}

/* The protection that leaves the least exposure, and the plain mode of its transfer
 * set; NULL without one. */
static const witan_audit_mode *
find_best(const witan_audit_record *record, const witan_audit_mode **plain)
{
    const witan_audit_mode *best = NULL;
    *plain = NULL;
    for (size_t m = 0; m < record->modes; m++) {
        const witan_audit_mode *at = &record->modes_of[m];
        if (!is_plain(at) && isfinite(at->exposure) &&
            (best == NULL || at->exposure < best->exposure)) {
            best = at;
        }
    }
    for (size_t m = 0; best != NULL && m < record->modes; m++) {
        const witan_audit_mode *at = &record->modes_of[m];
        if (is_plain(at) &&
            strcmp(text_of(at->transfer), text_of(best->transfer)) == 0) {
            *plain = at;
        }
    }
    return best;
}

static void
add_comparison(witan_text *out, const witan_audit_record *record)
{
    const witan_audit_mode *plain, *best = find_best(record, &plain);
    if (best == NULL) {
        witan_text_format(out,
                          "Runs were compared, none of them with both a protection "
                          "and a measured exposure.");
        return;
    }
    witan_text_format(out, "Least exposure of students: %s bits with %s",
                      witan_shown_bits(best->exposure).text, text_of(best->mode));
    if (plain != NULL && isfinite(plain->exposure)) {
        witan_text_format(out, ", against %s bits without protection",
                          witan_shown_bits(plain->exposure).text);
    }
    witan_text_format(out, " (null %.2f; %zu seed%s).", WITAN_EVIDENCE_NULL_MEAN,
                      best->seeds, best->seeds == 1 ? "" : "s");
    if (isfinite(best->reduction)) {
        witan_text_format(out, " It removes %s %% of what is above chance.",
                          witan_shown_percent(best->reduction).text);
    }
    if (isfinite(best->cost)) {
        witan_text_format(out, " Their %s is %s %% %s.",
                          record->text ? "perplexity" : "accuracy",
                          witan_shown_percent(fabs(best->cost)).text,
                          best->cost < 0.0 ? "better" : "worse");
    }
}

/* What there is to say without exposure. */
static void
add_unmeasured(witan_text *out, const witan_audit_record *record)
{
    witan_evidence_attack attacks[WITAN_EVIDENCE_ATTACKS_MAX];
    double largest = (double)NAN;
    size_t count = witan_evidence_attacks(record, attacks);
    for (size_t g = 0; g < count; g++) {
        raise_to(&largest, attacks[g].auc_largest);
    }
    witan_text_format(out, "Exposure was not measured: no canary was planted, or no "
                           "round was recorded.");
    if (isfinite(largest)) {
        witan_text_format(out,
                          " The best membership attack reaches an AUC of %s (guessing: "
                          "0.50).",
                          witan_shown_real(largest, 2).text);
    }
}

static bool
has_contradiction(const witan_audit_record *record)
{
    for (size_t i = 0; i < record->claims; i++) {
        if (record->claim[i].contradicted) {
            return true;
        }
    }
    return false;
}

void
witan_evidence_headline(witan_text *out, const witan_audit_record *record)
{
    const witan_audit_exposure *answer = witan_evidence_answer(record);
    if (answer != NULL) {
        add_answer(out, record, answer);
        add_holders(out, record, answer);
    } else if (record->modes == 0) {
        add_unmeasured(out, record);
    }
    if (record->modes > 0) {
        witan_text_format(out, "%s", answer == NULL ? "" : " ");
        add_comparison(out, record);
    }
    if (has_contradiction(record)) {
        witan_text_format(out,
                          " A claim is contradicted: more was shown to leak than it "
                          "allows.");
    }
    if (record->crossed) {
        witan_text_format(out, " A gate was crossed.");
    }
}
