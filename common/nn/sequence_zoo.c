#include <string.h>

#include "nn/sequence.h"
#include "nn/zoo_text.h"

enum {
    CONTEXT = 64 /* default */
};

/* In the order of witan_cell. */
static const char *const names[] = {"lstm", "gru", "transformer", NULL};
static const zoo_form forms[] = {
    {"lstm(200,2)",
     1,
     3,
     3,
     {128, 1, CONTEXT},
     {WITAN_UNITS_MAX, WITAN_SEQUENCE_LAYERS_MAX, WITAN_CONTEXT_MAX}},
    {"gru(128)",
     1,
     3,
     3,
     {128, 1, CONTEXT},
     {WITAN_UNITS_MAX, WITAN_SEQUENCE_LAYERS_MAX, WITAN_CONTEXT_MAX}},
    {"transformer(128,4,4)",
     3,
     4,
     4,
     {128, 4, 4, CONTEXT},
     {WITAN_UNITS_MAX, WITAN_SEQUENCE_LAYERS_MAX, WITAN_UNITS_MAX, WITAN_CONTEXT_MAX}},
};

const char *const *
witan_sequence_names(void)
{
    return names;
}

witan_status
witan_sequence_parse(witan_sequence_spec *out, const char *text, witan_diag *diag)
{
    size_t number[ZOO_NUMBERS_MAX], count, which;

    memset(out, 0, sizeof *out);
    WITAN_TRY(zoo_text_read(names, forms, text, &which, number, &count, diag));
    out->open_context = strchr(text, '(') == NULL || count < forms[which].maximum;
    for (; count < forms[which].maximum; count++) {
        number[count] = forms[which].number[count];
    }
    memcpy(out->name, text, strlen(text) + 1);
    out->cell = (witan_cell)which;
    out->width = number[0];
    out->layers = number[1];
    out->heads = out->cell == WITAN_CELL_TRANSFORMER ? number[2] : 1;
    out->context = number[count - 1];
    return WITAN_OK;
}
