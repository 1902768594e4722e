#include "nn/zoo_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "nn/spec.h"

/* Reads "256,128)" to the end of the text into number[]. */
static witan_status
parse_numbers(const zoo_form *form, const char *text, const char *list, size_t *number,
              size_t *count, witan_diag *diag)
{
    char word[WITAN_MODEL_NAME_MAX];
    for (*count = 0;; (*count)++) {
        size_t length = strcspn(list, ",)");
        uint64_t value;
        memcpy(word, list, length);
        word[length] = '\0';
        if (list[length] == '\0' || !witan_text_parse_u64(word, &value)) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "model \"%s\": expected numbers in parentheses, "
                                   "without spaces, as in \"%s\"",
                                   text, form->example);
        }
        if (*count == form->maximum) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "model \"%s\": too many numbers, at most %zu, as in "
                                   "\"%s\"",
                                   text, form->maximum, form->example);
        }
        size_t bound = form->bound[*count < ZOO_BOUNDS ? *count : ZOO_BOUNDS - 1];
        if (value < 1 || value > bound) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "model \"%s\": number %zu must be 1 to %zu, is %s",
                                   text, *count + 1, bound, word);
        }
        number[*count] = (size_t)value;
        list += length + 1;
        if (list[-1] == ')') {
            break;
        }
    }
    (*count)++;
    if (*list != '\0') {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model \"%s\": nothing may follow the \")\"", text);
    }
    if (*count < form->minimum) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model \"%s\": %zu of %zu numbers given, write it as "
                               "\"%s\"",
                               text, *count, form->minimum, form->example);
    }
    return WITAN_OK;
}

/* E_CONFIG with the nearest known name, or with all of them. */
static witan_status
fail_unknown(const char *const *names, const char *text, const char *name,
             witan_diag *diag)
{
    size_t count = 0;
    while (names[count] != NULL) {
        count++;
    }
    const char *nearest = witan_text_nearest(name, names, count);
    if (nearest != NULL) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model \"%s\" is not known, did you mean \"%s\"?", text,
                               nearest);
    }
    char all[128] = "";
    for (size_t i = 0, used = 0; i < count; i++) {
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s",
                                 i == 0 ? "" : ", ", names[i]);
    }
    return witan_diag_fail(diag, WITAN_E_CONFIG,
                           "model \"%s\" is not known; known models: %s", text, all);
}

witan_status
zoo_text_read(const char *const *names, const zoo_form *forms, const char *text,
              size_t *which, size_t number[ZOO_NUMBERS_MAX], size_t *count,
              witan_diag *diag)
{
    char name[WITAN_MODEL_NAME_MAX];

    if (strlen(text) >= sizeof name) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "model \"%.40s...\": the name is longer than %zu characters", text,
            sizeof name - 1);
    }
    size_t length = strcspn(text, "(");
    memcpy(name, text, length);
    name[length] = '\0';
    *which = 0;
    while (names[*which] != NULL && strcmp(name, names[*which]) != 0) {
        (*which)++;
    }
    if (names[*which] == NULL) {
        return fail_unknown(names, text, name, diag);
    }
    const zoo_form *form = &forms[*which];
    if (text[length] == '\0') {
        *count = form->defaults;
        memcpy(number, form->number, sizeof form->number);
        return WITAN_OK;
    }
    if (form->maximum == 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "model \"%s\": %s takes no numbers, write \"%s\"", text,
                               name, name);
    }
    return parse_numbers(form, text, text + length + 1, number, count, diag);
}
