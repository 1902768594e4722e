/* test_text.c - the growing buffer and its ceiling, nearest words, strict numbers. */
#include "base/text.h"

#include <math.h>
#include <string.h>

#include "support/witan_test.h"

static void
text_grows_and_ends_in_nul(void)
{
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), 1 << 20);
    CHECK(text.data == NULL && text.length == 0);
    witan_text_add(&text, "ab", 2);
    witan_text_add(&text, "", 0);
    for (int i = 0; i < 1000; i++) {
        witan_text_format(&text, "%d,", i % 10);
    }
    CHECK_STATUS(text.status, WITAN_OK);
    CHECK(text.length == 2002);
    CHECK(strlen(text.data) == 2002);
    CHECK(memcmp(text.data, "ab0,1,2,", 8) == 0);
    CHECK_STRING(text.data + 1996, "7,8,9,");
    witan_text_fini(&text);
    CHECK(text.data == NULL);
    witan_text_fini(&text);
}

static void
text_stops_at_its_ceiling(void)
{
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), 10);
    witan_text_add(&text, "0123456789", 10);
    CHECK_STATUS(text.status, WITAN_OK);
    witan_text_format(&text, "%c", 'x');
    CHECK_STATUS(text.status, WITAN_E_LIMIT);
    witan_text_add(&text, "", 0); /* the failure sticks */
    CHECK_STATUS(text.status, WITAN_E_LIMIT);
    CHECK_STRING(text.data, "0123456789");
    witan_text_fini(&text);
}

static void
text_reports_memory(void)
{
    for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
        witan_failing_allocator failing;
        witan_text text;
        witan_failing_allocator_init(&failing, fail_at);
        witan_text_init(&text, &failing.allocator, 1 << 20);
        for (int i = 0; i < 100; i++) {
            witan_text_format(&text, "%064d", i);
        }
        CHECK_STATUS(text.status, WITAN_E_MEMORY);
        CHECK(text.length % 64 == 0);
        witan_text_fini(&text);
        CHECK(failing.live == 0);
    }
}

static void
nearest_word(void)
{
    static const char *const words[] = {"beta", "epochs", "batch", "participation"};
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    CHECK_STRING(witan_text_nearest("bta", words, 4), "beta");
    CHECK_STRING(witan_text_nearest("epoch", words, 4), "epochs");
    CHECK_STRING(witan_text_nearest("batch", words, 4), "batch");
    CHECK_STRING(witan_text_nearest("particpatoin", words, 4), "participation");
    CHECK(witan_text_nearest("temperature", words, 4) == NULL);
    CHECK(witan_text_nearest(longest, words, 4) == NULL);
    CHECK(witan_text_nearest("beta", words, 0) == NULL);
    /* Ties: the first. */
    static const char *const ties[] = {"cat", "car"};
    CHECK_STRING(witan_text_nearest("caz", ties, 2), "cat");
}

static void
numbers_are_strict(void)
{
    static const char *const bad_integers[] = {
        "", " 1", "+1", "-1", "1 ", "1.0", "0x10", "18446744073709551616", "a"};
    static const char *const bad_numbers[] = {"",    " 1",   "\t1",   "1 ",  "nan",
                                              "inf", "-inf", "1e999", "1,5", "x"};
    uint64_t integer = 0;
    double number = 0.0;
    CHECK(witan_text_parse_u64("18446744073709551615", &integer));
    CHECK(integer == UINT64_MAX);
    CHECK(witan_text_parse_u64("0", &integer) && integer == 0);
    CHECK(witan_text_parse_double("-2.5e-3", &number) && number == -2.5e-3);
    CHECK(witan_text_parse_double("7", &number) && number == 7.0);
    for (size_t i = 0; i < sizeof bad_integers / sizeof bad_integers[0]; i++) {
        CHECK(!witan_text_parse_u64(bad_integers[i], &integer));
    }
    for (size_t i = 0; i < sizeof bad_numbers / sizeof bad_numbers[0]; i++) {
        CHECK(!witan_text_parse_double(bad_numbers[i], &number));
    }
    CHECK(integer == 0 && number == 7.0); /* failures leave the output alone */
}

int
main(void)
{
    RUN(text_grows_and_ends_in_nul);
    RUN(text_stops_at_its_ceiling);
    RUN(text_reports_memory);
    RUN(nearest_word);
    RUN(numbers_are_strict);
    return witan_test_finish();
}
