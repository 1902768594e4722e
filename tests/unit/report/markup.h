/* markup.h - a checker of XML, as far as the pages use it, marks outside their picture
 * included; words; widths of lines. */
#ifndef WITAN_TEST_MARKUP_H
#define WITAN_TEST_MARKUP_H

#include <stdbool.h>
#include <stddef.h>

/* Elements, or 0 and, with a name, a message. */
size_t markup_check(const char *page, const char *name);

/* True when `word` stands in the text between things that are not letters. */
bool markup_has_word(const char *text, const char *word);

/* Columns of the line at `line`, to its end; escape sequences have none. */
size_t line_columns(const char *line);

#endif
