/* report_sample.c - writes the page or the table of a made-up run to standard output:
 *   report_sample page|ascii|unicode|color RUN     (fake_run.h names the runs)
 * For looking at a change, and for renewing expected/RUN-ascii.txt and the like. */
#include <stdio.h>
#include <string.h>

#include "report/report.h"
#include "unit/report/fake_run.h"

int
main(int count, char **arguments)
{
    fake_run run;
    witan_text text;
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
    bool ok = text.status == WITAN_OK &&
              fwrite(text.data, 1, text.length, stdout) == text.length;
    witan_text_fini(&text);
    fake_run_fini(&run);
    return ok ? 0 : 1;
}
