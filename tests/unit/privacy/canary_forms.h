/* canary_forms.h - vocabularies and compiled templates of the tests. */
#ifndef WITAN_TEST_CANARY_FORMS_H
#define WITAN_TEST_CANARY_FORMS_H

#include <stdlib.h>

#include "privacy/canary.h"
#include "support/witan_test.h"

/* Digits stand out of order and apart on purpose. */
static const char *const character_names[] = {
    "<unk>", "7", "0", "a", "1", " ", "9", "2", "-", "3", "b",
    "{",     "4", "}", "5", "6", "8", "é", "i", "d", "s",
};
static const char *const word_names[] = {
    "<unk>", "the", "\\n", ",", "code", "is", "'",    "'tis",
    "émile", "A",   "b",   "c", "+",    ".",  "1234", "-",
};

static inline witan_vocabulary
vocabulary_of(witan_text_unit unit, const char *const *names, size_t count)
{
    witan_vocabulary out;
    witan_diag diag = {0};
    if (!CHECK_STATUS(witan_vocabulary_from_names(&out, unit, names, count,
                                                  witan_allocator_default(), &diag),
                      WITAN_OK)) {
        CHECK_STRING(diag.message, "");
        exit(1);
    }
    return out;
}

static inline witan_vocabulary
characters(void)
{
    return vocabulary_of(WITAN_TEXT_CHARACTER, character_names,
                         sizeof character_names / sizeof *character_names);
}

static inline witan_vocabulary
words(void)
{
    return vocabulary_of(WITAN_TEXT_WORD, word_names,
                         sizeof word_names / sizeof *word_names);
}

static inline void
compile(witan_canary_template *form, const char *text,
        const witan_vocabulary *vocabulary)
{
    witan_diag diag = {0};
    if (!CHECK_STATUS(witan_canary_template_compile(form, text, vocabulary,
                                                    witan_allocator_default(), &diag),
                      WITAN_OK)) {
        CHECK_STRING(diag.message, "");
        exit(1);
    }
}

#endif
