/* test_report_table.c - the final table, the progress line and the line of a round.
 * expected/RUN-ascii.txt and RUN-unicode.txt are read by people when they change; renew
 * them with report_sample. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const witan_terminal ascii = {.columns = 80};
static const witan_terminal unicode = {.unicode = true};
static const witan_terminal colored = {.unicode = true, .color = true};

/* The table of a named run; the caller frees it with witan_text_fini. */
static witan_text
table_of(const char *name, const witan_terminal *terminal)
{
    fake_run run;
    witan_text out;
    CHECK(fake_run_named(&run, name));
    witan_text_init(&out, witan_allocator_default(), 1 << 20);
    witan_report_table(&out, &run.record, terminal);
    CHECK_STATUS(out.status, WITAN_OK);
    fake_run_fini(&run);
    return out;
}

static bool
is_path(const char *line)
{
    return strncmp(line, "report  ", 8) == 0 || strncmp(line, "raw numbers", 11) == 0 ||
           strncmp(line, "summary", 7) == 0 || strncmp(line, "models  ", 8) == 0;
}

static void
test_expected(void)
{
    static const char *const names[] = {"ten",    "unreferenced", "alone", "averaged",
                                        "pooled", "unevaluated",  "gaps"};
    for (size_t i = 0; i < 2 * sizeof names / sizeof names[0]; i++) {
        const char *name = names[i / 2];
        char path[512];
        (void)snprintf(path, sizeof path, "%s/tests/unit/report/expected/%s-%s.txt",
                       WITAN_TEST_SOURCE_DIR, name, i % 2 == 0 ? "ascii" : "unicode");
        char *expected = witan_test_read(path, NULL);
        witan_text out = table_of(name, i % 2 == 0 ? &ascii : &unicode);
        CHECK(expected != NULL);
        CHECK_STRING(out.data, expected == NULL ? path : expected);
        witan_text_fini(&out);
        free(expected);
    }
}

static void
test_eighty_columns(void)
{
    static const witan_terminal *const terminals[] = {&ascii, &unicode, &colored};
    for (size_t i = 0; i < 3 * RUNS; i++) {
        witan_text out = table_of(runs[i / 3], terminals[i % 3]);
        const char *line = out.data;
        while (*line != '\0') {
            bool fits = is_path(line) || line_columns(line) <= 80;
            CHECK(fits);
            if (!fits) {
                fprintf(stderr, "%s: %.*s\n", runs[i / 3], (int)strcspn(line, "\n"),
                        line);
            }
            line += strcspn(line, "\n");
            line += *line == '\n' ? 1 : 0;
        }
        CHECK(out.data[out.length - 1] == '\n');
        witan_text_fini(&out);
    }
}

static size_t
count_byte(const char *text, char byte)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == byte ? 1 : 0;
    }
    return count;
}

/* Broken words lose nothing: 399 letters each for strategy, data, digest and the four
 * paths, 22 of the model's name and a few in the words around them. */
static void
test_long_words(void)
{
    witan_text long_words = table_of("long", &ascii);
    size_t letters = count_byte(long_words.data, 'w');
    CHECK_CONTAINS(long_words.data, "wwwwww~ ");
    CHECK(letters > 7 * 399 + 22 && letters < 7 * 399 + 22 + 30);
    witan_text_fini(&long_words);
}

static void
test_no_controls(void)
{
    for (size_t i = 0; i < RUNS; i++) {
        witan_text out = table_of(runs[i], &ascii);
        for (size_t b = 0; b < out.length; b++) {
            unsigned char c = (unsigned char)out.data[b];
            CHECK(c == '\n' || (c >= 0x20 && c < 0x7f));
        }
        witan_text_fini(&out);
    }
    witan_text out = table_of("hostile", &unicode);
    CHECK(strchr(out.data, '\x1b') == NULL);
    CHECK(strstr(out.data, "\xc2\x9b") == NULL); /* a C1 control */
    CHECK_CONTAINS(out.data, "\xe2\x82\xac");    /* a euro sign stays */
    witan_text_fini(&out);
}

/* No number that is not known is shown as one, or as a word of printf. */
static void
test_no_nan(void)
{
    for (size_t i = 0; i < RUNS; i++) {
        witan_text out = table_of(runs[i], &unicode);
        CHECK(strstr(out.data, "nan") == NULL);
        CHECK(strstr(out.data, "inf") == NULL);
        witan_text_fini(&out);
    }
}

/* ---- lines ----------------------------------------------------------------------- */

static void
check_progress(const witan_progress *progress, const witan_terminal *terminal,
               const char *expected)
{
    witan_text out;
    witan_text_init(&out, witan_allocator_default(), 4096);
    witan_report_progress(&out, progress, terminal);
    CHECK_STATUS(out.status, WITAN_OK);
    CHECK_STRING(out.data, expected);
    witan_text_fini(&out);
}

static const witan_progress middle = {.round = 2,
                                      .rounds = 10,
                                      .phase = "train",
                                      .done = 12,
                                      .total = 20,
                                      .own = 0.913,
                                      .global = 0.871,
                                      .eta_seconds = 14.0};

static void
test_progress(void)
{
    const witan_terminal wide = {.interactive = true, .columns = 80};
    const witan_terminal unknown = {.interactive = true};
    const witan_terminal narrow = {.interactive = true, .columns = 40};
    const witan_terminal tiny = {.interactive = true, .columns = 12};
    witan_progress first = {.rounds = 10,
                            .phase = "distill",
                            .own = (double)NAN,
                            .global = (double)NAN,
                            .eta_seconds = -1.0};
    check_progress(&middle, &wide,
                   "\rround 3/10  train 12/20 clients  own 91.3 %  global 87.1 %  "
                   "0:14 left\x1b[K");
    check_progress(&middle, &unknown,
                   "\rround 3/10  train 12/20 clients  own 91.3 %  global 87.1 %  "
                   "0:14 left\x1b[K");
    check_progress(&middle, &narrow, "\rround 3/10  own 91.3 %  0:14 left\x1b[K");
    check_progress(&middle, &tiny, "\rround 3/10\x1b[K");
    check_progress(&middle, &ascii,
                   "round 3/10  train 12/20 clients  own 91.3 %  global 87.1 %  "
                   "0:14 left\n");
    check_progress(&first, &ascii, "round 1/10  distill\n");
    first.phase = NULL;
    first.eta_seconds = (double)NAN;
    check_progress(&first, &ascii, "round 1/10\n");
    first.eta_seconds = 3723.0;
    check_progress(&first, &ascii, "round 1/10  1:02:03 left\n");
}

/* Always shorter than the terminal, whatever its width: no line wraps in place. */
static void
test_progress_widths(void)
{
    for (size_t columns = 1; columns <= 100; columns++) {
        const witan_terminal terminal = {.interactive = true, .columns = columns};
        witan_text out;
        witan_text_init(&out, witan_allocator_default(), 4096);
        witan_report_progress(&out, &middle, &terminal);
        CHECK(line_columns(out.data) < columns);
        CHECK(columns <= 10 || line_columns(out.data) >= 10);
        witan_text_fini(&out);
    }
}

static void
check_round(const witan_round_record *round, const witan_terminal *terminal,
            const char *expected)
{
    witan_text out;
    witan_text_init(&out, witan_allocator_default(), 4096);
    witan_report_round(&out, round, 10, 75.0, terminal);
    CHECK_STRING(out.data, expected);
    witan_text_fini(&out);
}

static void
test_round(void)
{
    const witan_terminal wide = {.interactive = true, .columns = 80};
    const witan_terminal narrow = {.interactive = true, .columns = 30};
    witan_round_record round = {.round = 9,
                                .asked = 20,
                                .answered = 20,
                                .evaluated = true,
                                .own_after.mean = 0.9996,
                                .global_after.mean = 0.5,
                                .wall_seconds = 1.25};
    check_round(&round, &ascii,
                "round 10/10  own 100.0 %  global 50.0 %  1.2 s  1:15 left\n");
    check_round(&round, &wide,
                "\rround 10/10  own 100.0 %  global 50.0 %  1.2 s  1:15 left\x1b[K\n");
    check_round(&round, &narrow, "\rround 10/10  own 100.0 %\x1b[K\n");
    round.evaluated = false;
    round.answered = 17;
    round.late = 2;
    check_round(&round, &ascii,
                "round 10/10  1.2 s  17 of 20 clients answered, 2 late  1:15 left\n");
}

static void
test_allocations(void)
{
    fake_run run;
    size_t failed = 0;
    fake_run_init(&run, 10, 3, 10, 3);
    for (size_t at = 1;; at++) {
        witan_failing_allocator memory;
        witan_text out;
        witan_failing_allocator_init(&memory, at);
        witan_text_init(&out, &memory.allocator, 1 << 20);
        witan_report_table(&out, &run.record, &ascii);
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
    CHECK(failed >= 4);
    fake_run_fini(&run);
}

static void
test_ceiling(void)
{
    fake_run run;
    witan_text out;
    fake_run_init(&run, 10, 3, 10, 3);
    witan_text_init(&out, witan_allocator_default(), 1000);
    witan_report_table(&out, &run.record, &ascii);
    CHECK_STATUS(out.status, WITAN_E_LIMIT);
    witan_text_fini(&out);
    fake_run_fini(&run);
}

int
main(void)
{
    RUN(test_expected);
    RUN(test_eighty_columns);
    RUN(test_long_words);
    RUN(test_no_controls);
    RUN(test_no_nan);
    RUN(test_progress);
    RUN(test_progress_widths);
    RUN(test_round);
    RUN(test_allocations);
    RUN(test_ceiling);
    return witan_test_finish();
}
