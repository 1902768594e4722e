/* zoo_text.h - names with numbers in parentheses, "mlp(256,128)": read once for image
 * models (zoo.c) and token models (sequence_zoo.c). Private to the two. */
#ifndef WITAN_NN_ZOO_TEXT_H
#define WITAN_NN_ZOO_TEXT_H

#include <stddef.h>

#include "base/status.h"

enum {
    ZOO_NUMBERS_MAX = 32, /* in one pair of parentheses */
    ZOO_BOUNDS = 4,
};

/* How a name may be written. */
typedef struct zoo_form {
    const char *example;
    size_t minimum, maximum;   /* numbers in the parentheses; 0, 0: none are taken */
    size_t defaults;           /* numbers used when there are no parentheses */
    size_t number[ZOO_BOUNDS]; /* the defaults */
    size_t bound[ZOO_BOUNDS];  /* largest values; the last holds for all further ones */
} zoo_form;

/* Reads `text` (shorter than WITAN_MODEL_NAME_MAX): *which of `names`
 * (NULL-terminated), in the same order as `forms`, and its numbers, >= 1.
 * Errors: E_CONFIG with the nearest name, or with what is expected. */
WITAN_NODISCARD witan_status zoo_text_read(const char *const *names,
                                           const zoo_form *forms, const char *text,
                                           size_t *which,
                                           size_t number[ZOO_NUMBERS_MAX],
                                           size_t *count, witan_diag *diag);

#endif
