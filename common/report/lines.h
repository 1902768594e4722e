/* lines.h - lines for a terminal: style, width, names that cannot steer it.
 * Why here: private to the room; the table of a run and that of an audit keep the same
 * rules. Names come from people: control characters never reach the terminal. */
#ifndef WITAN_REPORT_LINES_H
#define WITAN_REPORT_LINES_H

#include "report/report.h"

enum {
    WITAN_TABLE_COLUMNS = 79,
    WITAN_FIELD_INDENT = 14,
};

typedef enum witan_style {
    WITAN_PLAIN,
    WITAN_BOLD,
    WITAN_DIM,
    WITAN_GREEN,
    WITAN_RED
} witan_style;

void witan_paint(witan_text *out, const witan_terminal *terminal, witan_style s,
                 const char *text);
/* One line in this style; its end stays outside. */
void witan_line_paint(witan_text *out, const witan_terminal *terminal, witan_style s,
                      const char *text);

/* Bytes of the character at `at`, at least 1; malformed UTF-8 counts byte by byte. */
size_t witan_character_bytes(const char *at);
/* Adds one character as this terminal may see it: one column. */
void witan_line_character(witan_text *out, const char *at, size_t size, bool unicode);
/* A name in exactly `columns` columns, cut with '~' when it is longer. */
void witan_line_name(witan_text *out, const char *name, size_t columns, bool unicode);

/* Words up to the right edge; the cursor is at `column`, further lines begin at
 * `indent`. A word that no line can hold is broken where the line ends. */
void witan_line_wrap(witan_text *out, const char *text, size_t column, size_t indent,
                     bool unicode);
/* "label        text ...", wrapped under itself. */
void witan_line_field(witan_text *out, const witan_terminal *terminal,
                      const char *label, const char *text);
/* A paragraph in small letters, wrapped, further lines indented by two. */
void witan_line_word(witan_text *out, const witan_terminal *terminal, const char *text);
/* "label        DIRECTORY/FILE" on one line, spaces and all, so that it can be copied.
 */
void witan_line_path(witan_text *out, const witan_terminal *terminal, const char *label,
                     const char *directory, const char *file);

#endif
