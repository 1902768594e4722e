/* report_sample.c - writes the page or the table of a made-up run to standard output:
 *   report_sample page|ascii|unicode|color RUN     (fake_run.h names the runs)
 *   report_sample audit-page|audit-table|audit-json AUDIT     (fake_audit.h)
 * For looking at a change, and for renewing expected/RUN-ascii.txt and the like. */
#include <stdio.h>
#include <string.h>

#include "report/audit.h"
#include "report/report.h"
#include "unit/report/fake_audit.h"
#include "unit/report/fake_run.h"

static int
finish(witan_text *text)
{
    bool ok = text->status == WITAN_OK &&
              fwrite(text->data, 1, text->length, stdout) == text->length;
    witan_text_fini(text);
    return ok ? 0 : 1;
}

static int
show_audit(const char *what, const char *name)
{
    static const witan_audit_hashes hashes = {"", "", "", ""};
    static const witan_terminal terminal = {.columns = 80};
    fake_audit audit;
    witan_text text;
    if (!fake_audit_named(&audit, name)) {
        fprintf(stderr, "report_sample: no audit has this name\n");
        return 2;
    }
    witan_text_init(&text, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    if (strcmp(what, "audit-page") == 0) {
        witan_report_audit_html(&text, &audit.record);
    } else if (strcmp(what, "audit-json") == 0) {
        witan_report_audit_json(&text, &audit.record, &hashes);
    } else {
        witan_report_audit_table(&text, &audit.record, &terminal);
    }
    fake_audit_fini(&audit);
    return finish(&text);
}

int
main(int count, char **arguments)
{
    fake_run run;
    witan_text text;
    if (count == 3 && strncmp(arguments[1], "audit-", 6) == 0) {
        return show_audit(arguments[1], arguments[2]);
    }
    if (count != 3 || !fake_run_named(&run, arguments[2])) {
        fprintf(stderr, "usage: report_sample page|ascii|unicode|color RUN\n");
        return 2;
    }
    witan_text_init(&text, witan_allocator_default(), WITAN_REPORT_HTML_CEILING);
    if (strcmp(arguments[1], "page") == 0) {
        witan_report_html(&text, &run.record);
    } else {
        const witan_terminal terminal = {.color = strcmp(arguments[1], "color") == 0,
                                         .unicode = strcmp(arguments[1], "ascii") != 0};
        witan_report_table(&text, &run.record, &terminal);
    }
    fake_run_fini(&run);
    return finish(&text);
}
