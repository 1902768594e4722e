/* test_audit_report.c - the table, the page and the file of an audit: answers that are
 * right, markup that is whole, texts that cannot attack, numbers that read back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "report/audit.h"
#include "report/audit_facts.h"
#include "support/witan_test.h"
#include "unit/report/fake_audit.h"
#include "unit/report/markup.h"

static const char *const audits[] = {"leaky",        "quiet",    "thousand", "compared",
                                     "contradicted", "features", "empty",    "hostile",
                                     "gaps",         "long"};
enum {
    AUDITS = sizeof audits / sizeof audits[0]
};

static const witan_terminal ascii = {.columns = 80};
static const witan_terminal unicode = {.unicode = true};
static const witan_terminal colored = {.unicode = true, .color = true};
static const witan_audit_hashes hashes = {"aa11", "bb22", "cc33", NULL};

typedef enum kind {
    TABLE,
    PAGE,
    FILE_OF
} kind;

static void
write_as(witan_text *out, kind what, const witan_audit_record *record,
         const witan_terminal *terminal)
{
    if (what == TABLE) {
        witan_report_audit_table(out, record, terminal);
    } else if (what == PAGE) {
        witan_report_audit_html(out, record);
    } else {
        witan_report_audit_json(out, record, &hashes);
    }
}

static witan_text
text_of(const char *name, kind what, const witan_terminal *terminal)
{
    fake_audit audit;
    witan_text out;
    CHECK(fake_audit_named(&audit, name));
    witan_text_init(&out, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    write_as(&out, what, &audit.record, terminal);
    CHECK_STATUS(out.status, WITAN_OK);
    fake_audit_fini(&audit);
    return out;
}

/* ---- facts ----------------------------------------------------------------------- */

/* Quantiles of Gamma(n, 1) / (n ln 2), from the Poisson sum in 60 digits. */
static void
test_null_band(void)
{
    static const struct {
        size_t n;
        double low, high;
    } known[] = {{1, 0.07400058144377686, 4.321928094887363},
                 {2, 0.25633914460388507, 3.4219749076655996},
                 {20, 0.9561210064822775, 2.011062038579009},
                 {200, 1.2790969364529217, 1.6144928537009895},
                 {201, 1.2794937275916298, 1.614055279014891},
                 {5000, 1.4093002770026648, 1.4764178784382616}};
    double low, high;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        double within = known[i].n <= 200 ? 1e-10 : 1e-5;
        witan_evidence_null_band(&low, &high, known[i].n);
        CHECK_NEAR(low, known[i].low, within, 0.0);
        CHECK_NEAR(high, known[i].high, within, 0.0);
    }
    witan_evidence_null_band(&low, &high, 0);
    CHECK(isnan(low) && isnan(high));
}

static void
test_verdict(void)
{
    fake_audit audit;
    CHECK(fake_audit_named(&audit, "leaky"));
    const witan_audit_exposure *answer = witan_evidence_answer(&audit.record);
    CHECK(answer != NULL && answer->place == WITAN_AUDIT_STUDENTS &&
          answer->repetitions == 16 && answer->round == 2);
    CHECK(witan_evidence_canaries(&audit.record, 2, 16) == 20);
    CHECK(witan_evidence_canaries(&audit.record, 2, 17) == 0);
    witan_audit_exposure mine = *answer; /* 20 canaries: chance ends at 2.011 bits */
    mine.mean = 2.0;
    CHECK(witan_evidence_judge(&audit.record, &mine) == WITAN_EVIDENCE_NOTHING);
    mine.mean = 2.02;
    CHECK(witan_evidence_judge(&audit.record, &mine) == WITAN_EVIDENCE_PART);
    mine.mean = 0.9 * audit.record.space_bits + 0.01;
    CHECK(witan_evidence_judge(&audit.record, &mine) == WITAN_EVIDENCE_NEARLY_ALL);
    mine.p_value = 0.051; /* the exact test goes before the band */
    CHECK(witan_evidence_judge(&audit.record, &mine) == WITAN_EVIDENCE_NOTHING);
    mine.mean = (double)NAN;
    CHECK(witan_evidence_judge(&audit.record, &mine) == WITAN_EVIDENCE_UNKNOWN);
    CHECK(witan_evidence_judge(&audit.record, NULL) == WITAN_EVIDENCE_UNKNOWN);
    fake_audit_fini(&audit);
}

static void
check_headline(const char *name, const char *part)
{
    fake_audit audit;
    witan_text out;
    CHECK(fake_audit_named(&audit, name));
    witan_text_init(&out, witan_allocator_default(), 4096);
    witan_evidence_headline(&out, &audit.record);
    CHECK_CONTAINS(out.data, part);
    witan_text_fini(&out);
    fake_audit_fini(&audit);
}

static void
test_headlines(void)
{
    check_headline("quiet",
                   "Students reveal nothing measurable of canaries repeated 16 times: "
                   "exposure 1.5 bits (null 1.44; largest possible 19.9). With 20 "
                   "canaries, chance alone passes 2.0 bits in one audit of 20. In the "
                   "models that hold them it is 19.9 bits.");
    check_headline("compared",
                   " Least exposure of students: 2.0 bits with swing + noise 0.01, "
                   "against 17.6 bits without protection (null 1.44; 5 seeds). It "
                   "removes 99.0 % of what is above chance. Their perplexity "
                   "is 1.1 % worse.");
    check_headline("leaky", "Students reveal a part of canaries repeated 16 times: "
                            "exposure 17.2 bits");
    check_headline("leaky", "3 of 9 students say a planted canary word for word.");
    check_headline("contradicted", "A claim is contradicted");
    check_headline("contradicted", "A gate was crossed.");
    check_headline("gaps", "Runs were compared, none of them");
    check_headline("empty", "Exposure was not measured");
}

static void
test_groups(void)
{
    fake_audit audit;
    witan_evidence_attack attacks[WITAN_EVIDENCE_ATTACKS_MAX];
    CHECK(fake_audit_named(&audit, "leaky"));
    CHECK(witan_evidence_attacks(&audit.record, attacks) == 6);
    CHECK_STRING(attacks[4].attack, "lira-offline");
    CHECK_STRING(attacks[4].place, "model before distilling");
    CHECK(attacks[4].clients == 12);
    CHECK_NEAR(attacks[4].auc, 0.59 + 0.001 * 46.0 / 12.0, 1e-12, 0.0);
    CHECK_NEAR(attacks[4].auc_largest, 0.599, 1e-12, 0.0);
    CHECK_NEAR(witan_evidence_told_largest(&audit.record), 0.4, 0.0, 0.0);
    CHECK_NEAR(witan_evidence_told_mean(&audit.record), 0.125, 1e-12, 0.0);
    fake_audit_fini(&audit);
}

/* ---- table ----------------------------------------------------------------------- */

static void
test_eighty_columns(void)
{
    static const witan_terminal *const terminals[] = {&ascii, &unicode, &colored};
    for (size_t i = 0; i < 3 * AUDITS; i++) {
        witan_text out = text_of(audits[i / 3], TABLE, terminals[i % 3]);
        const char *line = out.data;
        while (*line != '\0') {
            bool path = strncmp(line, "report  ", 8) == 0 ||
                        strncmp(line, "raw numbers", 11) == 0;
            CHECK(path || line_columns(line) <= 80);
            if (!path && line_columns(line) > 80) {
                fprintf(stderr, "%s: %.*s\n", audits[i / 3], (int)strcspn(line, "\n"),
                        line);
            }
            line += strcspn(line, "\n");
            line += *line == '\n' ? 1 : 0;
        }
        CHECK(out.data[out.length - 1] == '\n');
        witan_text_fini(&out);
    }
}

static void
test_table(void)
{
    witan_text out = text_of("leaky", TABLE, &ascii);
    CHECK_CONTAINS(out.data,
                   "      16 19.9 [19.3,19.9] 13.8 [13.2,14.5] 15.5 [14.9,16.2] "
                   "17.2 [16.6,17.9]\n");
    CHECK_CONTAINS(out.data, "lira-offline model before distilling      12   0.594   "
                             "0.599     2.1      0.4\n");
    CHECK_CONTAINS(out.data, "utility       perplexity on the global test: students "
                             "4.52, holders 4.31\n");
    CHECK_CONTAINS(out.data, "shown >=      0.41 (one run, students)\n");
    CHECK_CONTAINS(out.data, "promised      nothing\n");
    CHECK_CONTAINS(out.data, "  client 0, a holder, planted 16 times: my id is 281265 "
                             "(1200 nodes of\n    10^6 fills)\n");
    CHECK_CONTAINS(out.data,
                   "  client 1, planted 16 times: my id is 281265 (1207 nodes "
                   "of 10^9 fills)\n");
    witan_text_fini(&out);
    out = text_of("contradicted", TABLE, &ascii);
    CHECK_CONTAINS(out.data, "promised <=   1.99 CONTRADICTED by a bound below\n");
    CHECK_CONTAINS(out.data, "gates: CROSSED\n- exposure > 3: crossed (17.2)\n");
    witan_text_fini(&out);
    out = text_of("hostile", TABLE, &unicode);
    CHECK(strchr(out.data, '\x1b') == NULL);
    CHECK(strstr(out.data, "\xc2\x9b") == NULL); /* a C1 control */
    witan_text_fini(&out);
}

/* ---- page ------------------------------------------------------------------------ */

static void
test_markup(void)
{
    for (size_t i = 0; i < AUDITS; i++) {
        witan_text page = text_of(audits[i], PAGE, NULL);
        CHECK(markup_check(page.data, audits[i]) > 15);
        CHECK(strlen(page.data) == page.length);
        CHECK_CONTAINS(page.data, "default-src 'none'");
        CHECK(strstr(page.data, "https:") == NULL && strstr(page.data, "url(") == NULL);
        witan_text_fini(&page);
    }
}

static void
test_no_nan(void)
{
    for (size_t i = 0; i < 2 * AUDITS; i++) {
        witan_text out = text_of(audits[i / 2], i % 2 == 0 ? PAGE : TABLE, &unicode);
        CHECK(!markup_has_word(out.data, "nan"));
        CHECK(!markup_has_word(out.data, "inf"));
        CHECK(!markup_has_word(out.data, "null)"));
        witan_text_fini(&out);
    }
}

static void
test_hostile(void)
{
    witan_text page = text_of("hostile", PAGE, NULL);
    CHECK(strstr(page.data, "<script") == NULL);
    CHECK(strstr(page.data, "alert(\"") == NULL);
    CHECK_CONTAINS(page.data, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;");
    for (size_t i = 0; i < page.length; i++) {
        unsigned char c = (unsigned char)page.data[i];
        CHECK(c >= 0x20 || c == '\n');
        CHECK(c != 0xff && c != 0xed); /* bytes of the name that are no text */
    }
    witan_text_fini(&page);
}

static void
test_page(void)
{
    witan_text page = text_of("leaky", PAGE, NULL);
    CHECK_CONTAINS(page.data, "17.2 bits</b><span>exposure in students, canaries "
                              "planted 16 times</span>");
    CHECK_CONTAINS(page.data,
                   "<tr><td>16</td><td class=\"name\">teachers</td><td>20</td>"
                   "<td>19.9</td><td>19.3</td><td>19.9</td><td>19.6</td><td>19.9</td>"
                   "<td>2e-9</td><td>0.96</td><td>2.01</td>"
                   "<td class=\"name fail\">beyond chance</td></tr>");
    CHECK_CONTAINS(page.data, "<td class=\"name fail\">yes, 16 times</td>");
    CHECK_CONTAINS(page.data, "not contradicted");
    CHECK(strstr(page.data, "CONTRADICTED") == NULL);
    CHECK(strstr(page.data, "What protection costs") == NULL);
    witan_text_fini(&page);
    page = text_of("contradicted", PAGE, NULL);
    CHECK_CONTAINS(page.data, "<tr class=\"fail\"><td>promised, at most</td>"
                              "<td>1.99</td>");
    CHECK_CONTAINS(page.data, ">CONTRADICTED<");
    CHECK_CONTAINS(page.data, "Gates: crossed.");
    witan_text_fini(&page);
    page = text_of("compared", PAGE, NULL);
    CHECK_CONTAINS(page.data, "<td class=\"name\">swing + noise 0.01</td>");
    CHECK_CONTAINS(page.data, "What protection costs");
    witan_text_fini(&page);
    page = text_of("features", PAGE, NULL);
    CHECK_CONTAINS(page.data, "93.1 %</b><span>accuracy of students");
    CHECK(strstr(page.data, "Extraction") == NULL);
    witan_text_fini(&page);
    page = text_of("empty", PAGE, NULL);
    CHECK(strstr(page.data, "<svg") == NULL);
    witan_text_fini(&page);
}

static void
test_size(void)
{
    witan_text page = text_of("thousand", PAGE, NULL);
    CHECK(page.length < 500000);
    CHECK_CONTAINS(page.data, "The first 200 of 6000 rows; audit.json has all.");
    witan_text_fini(&page);
}

static size_t
count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

/* Pictures hold what is beyond the largest possible exposure too: the band of a single
 * canary, an interval of an extrapolated one. */
static void
test_beyond(void)
{
    fake_audit audit;
    for (int what = 0; what < 2; what++) {
        witan_text out;
        CHECK(fake_audit_named(&audit, "quiet"));
        audit.record.space_bits = 1.0;
        for (size_t i = 0; i < audit.record.exposures; i++) {
            audit.exposure[i].mean = audit.exposure[i].low = 0.5;
            audit.exposure[i].high = what == 0 ? 1.0 : 30.0;
            audit.exposure[i].count = what == 0 ? 1 : 1000;
        }
        witan_text_init(&out, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
        witan_report_audit_html(&out, &audit.record);
        CHECK(markup_check(out.data, "beyond") > 15);
        witan_text_fini(&out);
        fake_audit_fini(&audit);
    }
}

/* A curve of 120 points is drawn with half of them; 72 curves with half of those. */
static void
test_thinned(void)
{
    witan_text page = text_of("leaky", PAGE, NULL);
    const char *curve = strstr(page.data, "AUC 0.550</title><polyline");
    CHECK(curve != NULL);
    if (curve != NULL) {
        const char *points = strstr(curve, "points=");
        size_t spaces = 0;
        for (size_t i = 0; points != NULL && points[i] != '/'; i++) {
            spaces += points[i] == ' ' ? 1 : 0;
        }
        CHECK(spaces == 60);
    }
    CHECK(count_of(page.data, "</title><polyline") == WITAN_AUDIT_PLACES + 36);
    witan_text_fini(&page);
}

/* ---- file ------------------------------------------------------------------------ */

static double
number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    CHECK(cJSON_IsNumber(item));
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static const char *
string_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    CHECK(cJSON_IsString(item));
    return cJSON_IsString(item) ? item->valuestring : "";
}

static const cJSON *
list_of(const cJSON *object, const char *key, size_t count)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key);
    CHECK(cJSON_IsArray(list) && (size_t)cJSON_GetArraySize(list) == count);
    return list;
}

static cJSON *
parse(const char *name)
{
    witan_text out = text_of(name, FILE_OF, NULL);
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithOpts(out.data, &end, true);
    CHECK(cJSON_IsObject(root));
    witan_text_fini(&out);
    return root;
}

static void
test_json_lists(void)
{
    for (size_t i = 0; i < AUDITS; i++) {
        fake_audit audit;
        cJSON *root = parse(audits[i]);
        CHECK(fake_audit_named(&audit, audits[i]));
        const witan_audit_record *record = &audit.record;
        CHECK_NEAR(number_of(root, "witan_audit"), 1.0, 0.0, 0.0);
        (void)list_of(root, "repetitions", record->levels);
        (void)list_of(root, "exposure", record->exposures);
        (void)list_of(root, "extraction", record->extractions);
        (void)list_of(root, "membership", record->memberships);
        (void)list_of(root, "labels", record->labels_count);
        (void)list_of(root, "bounds", record->bounds);
        (void)list_of(root, "claims", record->claims);
        (void)list_of(root, "runs", record->runs);
        (void)list_of(root, "modes", record->modes);
        (void)list_of(root, "limits", record->limits);
        (void)list_of(root, "gates", record->gates);
        fake_audit_fini(&audit);
        cJSON_Delete(root);
    }
}

/* Same bits, each under its own name: every field gets a number of its own. */
static void
test_json_numbers(void)
{
    static const char *const keys[] = {"mean",   "low",     "high",
                                       "median", "largest", "p_value"};
    fake_audit audit;
    witan_text out;
    CHECK(fake_audit_named(&audit, "compared"));
    double *fields[] = {&audit.exposure[3].mean,    &audit.exposure[3].low,
                        &audit.exposure[3].high,    &audit.exposure[3].median,
                        &audit.exposure[3].largest, &audit.exposure[3].p_value};
    for (size_t i = 0; i < 6; i++) {
        *fields[i] = sqrt(2.0 + (double)i) / 3.0;
    }
    audit.modes[2].reduction_low = 0.1 + 0.2;
    audit.modes[2].cost_high = nextafter(0.02, 1.0);
    audit.run[5].exposure_control = 1.0 / 3.0;
    audit.membership[7].tpr_01 = 1e-17;
    audit.labels[4].gap_q99 = -0.0625;
    witan_text_init(&out, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    witan_report_audit_json(&out, &audit.record, &hashes);
    cJSON *root = cJSON_Parse(out.data);
    const cJSON *item =
        cJSON_GetArrayItem(list_of(root, "exposure", audit.record.exposures), 3);
    for (size_t i = 0; i < 6; i++) {
        CHECK(number_of(item, keys[i]) == *fields[i]);
    }
    CHECK_STRING(string_of(item, "place"), "teachers");
    CHECK(number_of(item, "repetitions") == 16.0 && number_of(item, "count") == 20.0);
    item = cJSON_GetArrayItem(list_of(root, "modes", 4), 2);
    CHECK(number_of(item, "reduction_low") == 0.1 + 0.2);
    CHECK(number_of(item, "cost_high") == nextafter(0.02, 1.0));
    item = cJSON_GetArrayItem(list_of(root, "runs", 20), 5);
    CHECK(number_of(item, "exposure_control") == 1.0 / 3.0);
    CHECK(number_of(item, "seed") == 2.0);
    item = cJSON_GetArrayItem(list_of(root, "membership", 72), 7);
    CHECK(number_of(item, "tpr_01") == 1e-17);
    CHECK(cJSON_GetArrayItem(list_of(item, "tpr", FAKE_ROC_POINTS), 7)->valuedouble ==
          audit.tpr[7]);
    item = cJSON_GetArrayItem(list_of(root, "labels", 12), 4);
    CHECK(number_of(item, "gap_q99") == -0.0625);
    item = cJSON_GetObjectItemCaseSensitive(root, "hashes");
    CHECK_STRING(string_of(item, "data"), "cc33");
    CHECK_STRING(string_of(item, "models"), "");
    CHECK_STRING(string_of(root, "plan_digest"), "77e1b2c3");
    cJSON_Delete(root);
    witan_text_fini(&out);
    fake_audit_fini(&audit);
}

static void
test_json_gaps(void)
{
    cJSON *root = parse("gaps");
    CHECK(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(root, "utility")));
    const cJSON *item =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(root, "claims"), 0);
    CHECK(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item, "epsilon")));
    cJSON_Delete(root);
}

/* ---- failures -------------------------------------------------------------------- */

static void
test_allocations(void)
{
    fake_audit audit;
    CHECK(fake_audit_named(&audit, "compared"));
    for (int what = TABLE; what <= FILE_OF; what++) {
        size_t failed = 0;
        for (size_t at = 1;; at++) {
            witan_failing_allocator memory;
            witan_text out;
            witan_failing_allocator_init(&memory, at);
            witan_text_init(&out, &memory.allocator, WITAN_REPORT_HTML_CEILING);
            write_as(&out, (kind)what, &audit.record, &ascii);
            bool whole = out.status == WITAN_OK;
            CHECK(whole || out.status == WITAN_E_MEMORY);
            CHECK(whole == (memory.allocations < at));
            witan_text_fini(&out);
            CHECK(memory.live == 0);
            if (whole) {
                break;
            }
            failed++;
        }
        CHECK(failed >= 3);
    }
    fake_audit_fini(&audit);
}

static void
test_ceiling(void)
{
    fake_audit audit;
    CHECK(fake_audit_named(&audit, "leaky"));
    for (int what = TABLE; what <= FILE_OF; what++) {
        witan_text out;
        witan_text_init(&out, witan_allocator_default(), 1000);
        write_as(&out, (kind)what, &audit.record, &ascii);
        CHECK_STATUS(out.status, WITAN_E_LIMIT);
        witan_text_fini(&out);
    }
    fake_audit_fini(&audit);
}

int
main(void)
{
    RUN(test_null_band);
    RUN(test_verdict);
    RUN(test_headlines);
    RUN(test_groups);
    RUN(test_eighty_columns);
    RUN(test_table);
    RUN(test_markup);
    RUN(test_no_nan);
    RUN(test_hostile);
    RUN(test_page);
    RUN(test_size);
    RUN(test_beyond);
    RUN(test_thinned);
    RUN(test_json_lists);
    RUN(test_json_numbers);
    RUN(test_json_gaps);
    RUN(test_allocations);
    RUN(test_ceiling);
    return witan_test_finish();
}
