/* fuzz_canary_plan.c - canary plans as a stranger might write them, for data of
 * features, of characters and of words. What is accepted, written and read again is the
 * same. */
#include <string.h>

#include "setup/canary_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char characters[] =
    "my \"id\" is: 0123456789-abcdefghijklmnopqrstuvwxyz\n";
static const char words[] = "the river runs, the stone stays, the bird's song ends";

static void
check_again(const witan_canary_plan *plan, const witan_vocabulary *vocabulary)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_canary_plan again;
    witan_text first, second;
    witan_text_init(&first, heap, WITAN_CANARY_PLAN_BYTES_MAX);
    witan_text_init(&second, heap, WITAN_CANARY_PLAN_BYTES_MAX);
    witan_canary_plan_write(plan, vocabulary, &first);
    WITAN_ASSERT(first.status == WITAN_OK);
    WITAN_ASSERT(witan_canary_plan_read(&again, first.data, first.length, "again",
                                        vocabulary, heap, NULL) == WITAN_OK);
    witan_canary_plan_write(&again, vocabulary, &second);
    WITAN_ASSERT(strcmp(first.data, second.data) == 0);
    WITAN_ASSERT(memcmp(plan->digest, again.digest, sizeof plan->digest) == 0);
    witan_canary_plan_fini(&again, heap);
    witan_text_fini(&first);
    witan_text_fini(&second);
}

static void
check(const uint8_t *data, size_t size, const witan_vocabulary *vocabulary)
{
    witan_canary_plan plan;
    witan_diag diag = {0};
    witan_status status =
        witan_canary_plan_read(&plan, (const char *)data, size, "fuzz", vocabulary,
                               witan_allocator_default(), &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_CONFIG ||
                 status == WITAN_E_MEMORY);
    if (status == WITAN_OK) {
        check_again(&plan, vocabulary);
        witan_canary_plan_fini(&plan, witan_allocator_default());
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static witan_vocabulary vocabularies[2]; /* made once, kept to the end */
    static const char *const texts[2] = {characters, words};
    for (size_t i = 0; i < 2 && vocabularies[i].count == 0; i++) {
        witan_status status = witan_vocabulary_make(
            &vocabularies[i], i == 0 ? WITAN_TEXT_CHARACTER : WITAN_TEXT_WORD, texts[i],
            strlen(texts[i]), 256, witan_allocator_default(), NULL);
        WITAN_ASSERT(status == WITAN_OK);
    }
    check(data, size, NULL);
    check(data, size, &vocabularies[0]);
    check(data, size, &vocabularies[1]);
    return 0;
}
