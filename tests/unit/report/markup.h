/* markup.h - a checker of XML, as far as the pages use it, marks outside their picture
 * included. */
#ifndef WITAN_TEST_MARKUP_H
#define WITAN_TEST_MARKUP_H

#include <stdbool.h>
#include <stddef.h>

/* Elements, or 0 and, with a name, a message. */
size_t markup_check(const char *page, const char *name);

/* True when `word` stands in the text between things that are not letters. */
bool markup_has_word(const char *text, const char *word);

#endif
