/* test_report_page.c - the page is well-formed, closed in itself, honest about what is
 * not known, small for large runs, and the same for the same run. Looks are for eyes;
 * what a program can see of them (marks outside their picture) is checked here too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/report.h"
#include "support/witan_test.h"
#include "unit/report/fake_run.h"
#include "unit/report/markup.h"

static const char *const runs[] = {
    "ten",    "hundred",     "thousand", "alone",   "unreferenced", "averaged",
    "pooled", "unevaluated", "empty",    "hostile", "long",         "gaps"};
enum {
    RUNS = sizeof runs / sizeof runs[0]
};

static witan_text
page_of(const char *name)
{
    fake_run run;
    witan_text out;
    CHECK(fake_run_named(&run, name));
    witan_text_init(&out, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    witan_report_html(&out, &run.record);
    CHECK_STATUS(out.status, WITAN_OK);
    fake_run_fini(&run);
    return out;
}

/* The checker sees what it is there for. */
static void
test_checker(void)
{
    static const char *const broken[] = {
        "<p>",
        "<p></b>",
        "</p>",
        "<p a=b></p>",
        "<p a=\"<\"></p>",
        "<p>a & b</p>",
        "<p>&nbsp;</p>",
        "<script></script>",
        "<p onclick=\"x\"></p>",
        "<img src=\"x\"/>",
        "<p",
        "x",
        "<svg viewBox=\"0 0 9 9\"><a x=\"10\"/></svg>",
        "<svg viewBox=\"0 0 9 9\"><a points=\"1,2 3,-1\"/></svg>",
        "<svg viewBox=\"0 0 9 9\"><a y=\"nan\"/></svg>"};
    char page[256];
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        (void)snprintf(page, sizeof page, "<!DOCTYPE html>\n%s", broken[i]);
        CHECK(markup_check(page, NULL) == 0);
    }
    CHECK(markup_check("<!DOCTYPE html>\n<p a=\"&lt;\">&amp;<b/></p>\n", NULL) == 2);
}

static void
test_markup(void)
{
    for (size_t i = 0; i < RUNS; i++) {
        witan_text page = page_of(runs[i]);
        CHECK(markup_check(page.data, runs[i]) > 20);
        CHECK(strlen(page.data) == page.length);
        witan_text_fini(&page);
    }
}

/* The page asks nobody for anything: the one address is the name of XHTML. */
static void
test_offline(void)
{
    static const char xmlns[] = "xmlns=\"http://www.w3.org/1999/xhtml\"";
    static const char *const never[] = {
        "url(", "@import", "https:", "src=", "href", "<link", "<iframe"};
    for (size_t i = 0; i < RUNS; i++) {
        witan_text page = page_of(runs[i]);
        const char *first = strstr(page.data, "http:");
        CHECK(first != NULL && strncmp(first - 7, xmlns, sizeof xmlns - 1) == 0);
        CHECK(first == NULL || strstr(first + 1, "http:") == NULL);
        for (size_t n = 0; n < sizeof never / sizeof never[0]; n++) {
            CHECK(strstr(page.data, never[n]) == NULL);
        }
        CHECK_CONTAINS(page.data, "default-src 'none'");
        witan_text_fini(&page);
    }
}

static void
test_no_nan(void)
{
    CHECK(markup_has_word("x=\"-nan\"", "nan") && !markup_has_word("finance", "nan"));
    for (size_t i = 0; i < RUNS; i++) {
        witan_text page = page_of(runs[i]);
        CHECK(!markup_has_word(page.data, "nan"));
        CHECK(!markup_has_word(page.data, "inf"));
        CHECK(!markup_has_word(page.data, "null"));
        witan_text_fini(&page);
    }
}

static void
test_hostile(void)
{
    witan_text page = page_of("hostile");
    CHECK(strstr(page.data, "<script") == NULL);
    CHECK(strstr(page.data, "alert(\"") == NULL);
    CHECK_CONTAINS(page.data, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"
                              "&amp;amp;&#39;");
    for (size_t i = 0; i < page.length; i++) {
        unsigned char c = (unsigned char)page.data[i];
        CHECK(c >= 0x20 || c == '\n');
        CHECK(c != 0xff && c != 0xed); /* bytes of the name that are no text */
    }
    witan_text_fini(&page);
}

static void
check_escape(const char *text, const char *expected)
{
    witan_text out;
    witan_text_init(&out, witan_allocator_default(), 4096);
    witan_html_escape(&out, text);
    witan_text_add(&out, "", 0);
    CHECK_STRING(out.data == NULL ? "" : out.data, expected);
    witan_text_fini(&out);
}

static void
test_escape(void)
{
    check_escape("a<b>&\"'\n\tz", "a&lt;b&gt;&amp;&quot;&#39;\n\tz");
    check_escape(NULL, "");
    check_escape("\u00e9\u20ac\U0001f600", "\u00e9\u20ac\U0001f600");
    check_escape("\x01\x7f", "\ufffd\ufffd");
    check_escape("\xc2\x85", "\ufffd\ufffd");                     /* C1 control */
    check_escape("\xc0\xaf", "\ufffd\ufffd");                     /* overlong */
    check_escape("\xe0\x80\xaf", "\ufffd\ufffd\ufffd");           /* overlong */
    check_escape("\xed\xa0\x80", "\ufffd\ufffd\ufffd");           /* surrogate */
    check_escape("\xef\xbf\xbe", "\ufffd\ufffd\ufffd");           /* no character */
    check_escape("\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"); /* beyond */
    check_escape("\xe2\x82", "\ufffd\ufffd");                     /* cut short */
    check_escape("\xe2\x82<", "\ufffd\ufffd&lt;");
}

static void
test_size(void)
{
    witan_text page = page_of("thousand");
    CHECK(page.length < 2000000);
    witan_text_fini(&page);
    page = page_of("hundred");
    CHECK(page.length < 4000000);
    witan_text_fini(&page);
}

static void
test_same_twice(void)
{
    for (size_t i = 0; i < RUNS; i++) {
        witan_text first = page_of(runs[i]), second = page_of(runs[i]);
        CHECK(first.length == second.length &&
              memcmp(first.data, second.data, first.length) == 0);
        witan_text_fini(&first);
        witan_text_fini(&second);
    }
}

/* What the page says, for numbers chosen here. */
static void
test_sentences(void)
{
    fake_run run;
    witan_text out;
    fake_run_init(&run, 10, 2, 10, 2);
    witan_round_record *last = &run.rounds[1];
    last->own_before.mean = 0.9;
    last->own_after = (witan_statistic){0.934, 0.021, 0.801, 0.811};
    last->global_before.mean = 0.75;
    last->global_after = (witan_statistic){0.722, 0.031, 0.601, 0.611};
    run.record.gained_over_local = 0.7;
    run.record.bytes_up = 20 * 12500;
    run.record.bytes_down = 20 * 999;
    run.record.seconds = 3725.0;
    witan_text_init(&out, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    witan_report_html(&out, &run.record);
    CHECK_CONTAINS(out.data, "93.4 %</b><span>own mix of labels, mean accuracy; +3.4 "
                             "points by distillation in the last round");
    CHECK_CONTAINS(out.data,
                   "72.2 %</b><span>global test set, mean accuracy; \u22122.8 "
                   "points by distillation in the last round");
    CHECK_CONTAINS(out.data, "7 of 10</b><span>clients are better");
    CHECK_CONTAINS(out.data, "12.5 kB</b><span>sent per client and round; 999 B "
                             "received");
    CHECK_CONTAINS(out.data, "1 h 02 min</b>");
    CHECK_CONTAINS(out.data, "<td>after distillation</td><td>93.4</td><td>2.1</td>"
                             "<td>80.1</td><td>81.1</td><td>72.2</td><td>3.1</td>"
                             "<td>60.1</td><td>61.1</td>");
    witan_text_fini(&out);
    fake_run_fini(&run);
}

/* Without a reference nothing is compared; without evaluation nothing is drawn. */
static void
test_left_out(void)
{
    witan_text page = page_of("unreferenced");
    CHECK(strstr(page.data, "Local only") == NULL);
    CHECK(strstr(page.data, "local only") == NULL);
    CHECK(strstr(page.data, "alone") == NULL);
    witan_text_fini(&page);
    page = page_of("unevaluated");
    CHECK_CONTAINS(page.data, "No evaluation took place.");
    CHECK(strstr(page.data, "before distillation") == NULL);
    witan_text_fini(&page);
    page = page_of("alone");
    CHECK_CONTAINS(page.data, "Nothing travelled.");
    CHECK(strstr(page.data, "Who hears whom") == NULL);
    witan_text_fini(&page);
}

static void
test_allocations(void)
{
    static const char *const names[] = {"ten", "hundred"};
    fake_run run;
    for (size_t i = 0; i < 2; i++) {
        size_t failed = 0;
        CHECK(fake_run_named(&run, names[i]));
        run.record.rounds_done = 3;
        for (size_t at = 1;; at++) {
            witan_failing_allocator memory;
            witan_text out;
            witan_failing_allocator_init(&memory, at);
            witan_text_init(&out, &memory.allocator, WITAN_REPORT_HTML_CEILING);
            witan_report_html(&out, &run.record);
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
        CHECK(failed >= 10);
        fake_run_fini(&run);
    }
}

static void
test_ceiling(void)
{
    fake_run run;
    witan_text out;
    fake_run_init(&run, 10, 3, 10, 3);
    witan_text_init(&out, witan_allocator_default(), 20000);
    witan_report_html(&out, &run.record);
    CHECK_STATUS(out.status, WITAN_E_LIMIT);
    witan_text_fini(&out);
    fake_run_fini(&run);
}

int
main(void)
{
    RUN(test_checker);
    RUN(test_markup);
    RUN(test_offline);
    RUN(test_no_nan);
    RUN(test_hostile);
    RUN(test_escape);
    RUN(test_size);
    RUN(test_same_twice);
    RUN(test_sentences);
    RUN(test_left_out);
    RUN(test_allocations);
    RUN(test_ceiling);
    return witan_test_finish();
}
