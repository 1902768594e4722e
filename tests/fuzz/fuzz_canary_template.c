/* fuzz_canary_template.c - canary templates from any bytes. What compiles must be
 * usable: symbols of the vocabulary, a space that is their product, fills that can be
 * drawn and read. Input: unit (1 byte), the template. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "privacy/canary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
    "<unk>", "a", "b", " ", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
    "é",     "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o",
    "p",     "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "{", "}", "\\n"};
static const char *const word_names[] = {"<unk>", "a",   "is", ".",
                                         "'",     "\\n", "é1", "{"};

static void
use(const witan_canary_template *form, const witan_vocabulary *vocabulary)
{
    double space = 1.0;
    size_t holes = 0;
    for (size_t i = 0; i < form->slots; i++) {
        const witan_canary_slot *slot = &form->slot[i];
        WITAN_ASSERT(slot->alphabet > 0 ||
                     (slot->token > 0 && slot->token < vocabulary->count));
        for (uint32_t s = 0; s < slot->alphabet; s++) {
            WITAN_ASSERT(slot->symbols[s] > (s == 0 ? 0 : slot->symbols[s - 1]) &&
                         slot->symbols[s] < vocabulary->count);
        }
        space *= slot->alphabet > 0 ? slot->alphabet : 1;
        holes += slot->alphabet > 0;
    }
    WITAN_ASSERT(form->slot[0].alphabet == 0 && holes == form->holes && holes > 0);
    WITAN_ASSERT(isfinite(space) && space == form->space);

    size_t count = space >= 3.0 ? 3 : 1;
    uint32_t *fills = malloc(count * holes * sizeof *fills);
    witan_random random;
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_TEST);
    WITAN_ASSERT(fills != NULL);
    WITAN_ASSERT(witan_canary_draw(fills, count, NULL, 0, form, &random,
                                   witan_allocator_default(), NULL) == WITAN_OK);
    WITAN_ASSERT(count == 1 ||
                 memcmp(fills, fills + holes, holes * sizeof *fills) != 0);
    static witan_canary_plan plan;
    char text[64];
    plan.compiled = *form;
    witan_canary_text(&plan, fills, vocabulary, text, sizeof text);
    WITAN_ASSERT(strlen(text) > 0);
    free(fills);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static witan_vocabulary vocabularies[2];
    static witan_canary_template form;
    const witan_allocator *heap = witan_allocator_default();
    char text[2048] = {0};
    witan_diag diag = {0};
    if (size < 1 || size > sizeof text) {
        return 0;
    }
    if (vocabularies[0].names == NULL) {
        WITAN_ASSERT(witan_vocabulary_from_names(&vocabularies[0], WITAN_TEXT_CHARACTER,
                                                 names, sizeof names / sizeof *names,
                                                 heap, NULL) == WITAN_OK);
        WITAN_ASSERT(witan_vocabulary_from_names(&vocabularies[1], WITAN_TEXT_WORD,
                                                 word_names,
                                                 sizeof word_names / sizeof *word_names,
                                                 heap, NULL) == WITAN_OK);
    }
    const witan_vocabulary *vocabulary = &vocabularies[data[0] & 1];
    memcpy(text, data + 1, size - 1);
    witan_status status =
        witan_canary_template_compile(&form, text, vocabulary, heap, &diag);
    if (status == WITAN_OK) {
        use(&form, vocabulary);
    } else {
        WITAN_ASSERT(status == WITAN_E_CONFIG || status == WITAN_E_LIMIT);
        WITAN_ASSERT(diag.status == status);
        WITAN_ASSERT(strncmp(diag.message, "canary template", 15) == 0);
    }
    witan_canary_template_fini(&form, heap);
    return 0;
}
