/* fuzz_text.c - a vocabulary from any bytes: the first byte chooses the unit, the
 * second the size; the rest is the text, and once more a list of names, one to a line.
 * Every name made is one that is accepted, and numbers what it stands for. */
#include <string.h>

#include "data/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    NAMES_MAX = 64
};

static void
use(const witan_vocabulary *self, const char *text, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary again;
    uint8_t left[32], right[32];
    uint32_t *tokens;
    size_t count, unknown, missed = 0;
    for (size_t v = 0; v < self->count; v++) {
        for (const char *c = self->names[v]; *c != '\0'; c++) {
            WITAN_ASSERT((unsigned char)*c >= 0x20 && *c != 0x7F);
        }
    }
    WITAN_ASSERT(witan_vocabulary_from_names(&again, self->unit,
                                             (const char *const *)self->names,
                                             self->count, heap, NULL) == WITAN_OK);
    witan_vocabulary_digest(self, left);
    witan_vocabulary_digest(&again, right);
    WITAN_ASSERT(memcmp(left, right, sizeof left) == 0);
    if (witan_vocabulary_encode(&again, text, size, &tokens, &count, &unknown, heap,
                                NULL) == WITAN_OK) {
        for (size_t t = 0; t < count; t++) {
            WITAN_ASSERT(tokens[t] < self->count);
            missed += tokens[t] == 0;
        }
        WITAN_ASSERT(missed == unknown && count <= size);
        witan_free(heap, tokens);
    }
    witan_vocabulary_fini(&again, heap);
}

/* The lines of the text as names. */
static void
read_names(witan_text_unit unit, char *text)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *names[NAMES_MAX];
    size_t count = 0;
    witan_vocabulary made;
    for (char *line = text; line != NULL && count < NAMES_MAX; count++) {
        names[count] = line;
        line = strchr(line, '\n');
        if (line != NULL) {
            *line++ = '\0';
        }
    }
    if (witan_vocabulary_from_names(&made, unit, names, count, heap, NULL) ==
        WITAN_OK) {
        use(&made, names[1], strlen(names[1]));
    }
    witan_vocabulary_fini(&made, heap);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary made;
    witan_diag diag = {0};
    if (size < 2) {
        return 0;
    }
    witan_text_unit unit = data[0] & 1 ? WITAN_TEXT_WORD : WITAN_TEXT_CHARACTER;
    char *text = witan_zalloc(heap, size - 1, 1);
    WITAN_ASSERT(text != NULL);
    memcpy(text, data + 2, size - 2);
    witan_status status =
        witan_vocabulary_make(&made, unit, text, size - 2, data[1], heap, &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    if (status == WITAN_OK) {
        use(&made, text, size - 2);
    }
    witan_vocabulary_fini(&made, heap);
    read_names(unit, text);
    witan_free(heap, text);
    return 0;
}
