/* test_text.c - text cut into tokens, counted, numbered; and names that are none. */
#include <stdlib.h>
#include <string.h>

#include "data/embedded.h"
#include "data/readers.h"
#include "data/text.h"
#include "support/witan_test.h"

static witan_diag last;

static witan_vocabulary
make(witan_text_unit unit, const char *text, size_t size, size_t most)
{
    witan_vocabulary out;
    memset(&last, 0, sizeof last);
    CHECK_STATUS(witan_vocabulary_make(&out, unit, text, size, most,
                                       witan_allocator_default(), &last),
                 WITAN_OK);
    CHECK_STRING(last.message, "");
    return out;
}

static void
drop(witan_vocabulary *self)
{
    witan_vocabulary_fini(self, witan_allocator_default());
    CHECK(self->names == NULL && self->map == NULL && self->count == 0);
}

static void
check_names(const witan_vocabulary *self, const char *const *names, size_t count)
{
    if (!CHECK(self->count == count)) {
        return;
    }
    for (size_t v = 0; v < count; v++) {
        CHECK_STRING(self->names[v], names[v]);
    }
}

static void
check_tokens(const witan_vocabulary *self, const char *text, size_t size,
             const uint32_t *expected, size_t count)
{
    uint32_t *tokens;
    size_t found, unknown, misses = 0;
    CHECK_STATUS(witan_vocabulary_encode(self, text, size, &tokens, &found, &unknown,
                                         witan_allocator_default(), NULL),
                 WITAN_OK);
    if (CHECK(found == count) && count > 0) {
        CHECK(memcmp(tokens, expected, count * sizeof *tokens) == 0);
    }
    for (size_t t = 0; t < count; t++) {
        misses += expected[t] == 0;
    }
    CHECK(unknown == misses);
    witan_free(witan_allocator_default(), tokens);
}

#define CHECK_TOKENS(vocabulary, text, ...)                                            \
    check_tokens((vocabulary), (text), sizeof(text) - 1, (uint32_t[]){__VA_ARGS__},    \
                 sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void
characters_are_code_points_in_order(void)
{
    static const char text[] = "b a\n\xC3\xA9\\\t\x01\x00\xC2\x85\xF0\x9F\x98\x80";
    static const char *const names[] = {"<unk>",    "\\x00",
                                        "\\x01",    "\\t",
                                        "\\n",      " ",
                                        "0",        "1",
                                        "2",        "3",
                                        "4",        "5",
                                        "6",        "7",
                                        "8",        "9",
                                        "\\\\",     "a",
                                        "b",        "\\xC2\\x85",
                                        "\xC3\xA9", "\xF0\x9F\x98\x80"};
    witan_vocabulary self = make(WITAN_TEXT_CHARACTER, text, sizeof text - 1, 2);
    check_names(&self, names, sizeof names / sizeof names[0]);
    CHECK_TOKENS(&self, "bz\xC3\xA9\xC3\xA8\n", 18, 0, 20, 0, 4);
    CHECK_TOKENS(&self, "\xF0\x9F\x98\x80\xC2\x85\xC2\xA0 7", 21, 19, 0, 5, 13);
    check_tokens(&self, "", 0, NULL, 0);
    CHECK(witan_vocabulary_find(&self, "\xC2\x85", 2) == 19);
    CHECK(witan_vocabulary_find(&self, "\\", 1) == 16);
    CHECK(witan_vocabulary_find(&self, "\\n", 2) == 0); /* a name is not a piece */
    CHECK(witan_vocabulary_find(&self, "<unk>", 5) == 0);
    drop(&self);
}

static void
words_marks_and_line_breaks_are_tokens(void)
{
    static const char text[] =
        "It's 3.5, don't\nIt's caf\xC3\xA9-time\r\n\tIt's .\x7F\v";
    /* Counts: It's 3, \n 2, . 2, others 1; ties by bytes. */
    static const char *const sorted[] = {"<unk>",       "It's",  "\\n",  ".",
                                         ",",           "-",     "3",    "5",
                                         "caf\xC3\xA9", "don't", "time", "\\x7F"};
    witan_vocabulary self = make(WITAN_TEXT_WORD, text, sizeof text - 1, 100);
    check_names(&self, sorted, sizeof sorted / sizeof sorted[0]);
    CHECK_TOKENS(&self, "don't time, It's\n\n \tTime", 9, 10, 4, 1, 2, 2, 0);
    CHECK_TOKENS(&self, " 3.5-It's\x7F", 6, 3, 7, 5, 1, 11);
    CHECK_TOKENS(&self, "  caf\xC3\xA9!caf", 8, 0, 0);
    drop(&self);
    self = make(WITAN_TEXT_WORD, text, sizeof text - 1, 4);
    check_names(&self, sorted, 4);
    CHECK_TOKENS(&self, "don't It's\n.", 0, 1, 2, 3);
    drop(&self);
    self = make(WITAN_TEXT_WORD, text, sizeof text - 1, 2);
    check_names(&self, sorted, 2);
    drop(&self);
}

static void
bytes_that_are_not_utf8_are_named(void)
{
    static const struct {
        const char *text;
        size_t size, bad;
    } wrong[] = {
        {"ab\x80", 3, 2},           {"\xC3", 1, 0},
        {"a\xC3(", 3, 1},           {"\xC0\x80", 2, 0},
        {"\xC1\xBF", 2, 0},         {"\xE0\x9F\xBF", 3, 0},
        {"\xED\xA0\x80", 3, 0},     {"\xF0\x8F\xBF\xBF", 4, 0},
        {"\xF4\x90\x80\x80", 4, 0}, {"\xF5\x80\x80\x80", 4, 0},
        {"\xE2\x82", 2, 0},         {"\xFF", 1, 0},
        {"0123456789\xFE", 11, 10}, {"01234567\xC3\xA9\xBF", 11, 10},
    };
    witan_vocabulary known = make(WITAN_TEXT_CHARACTER, "ab", 2, 0), out;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char part[32];
        uint32_t *tokens;
        size_t count;
        (void)snprintf(part, sizeof part, "byte %zu is not UTF-8", wrong[i].bad);
        CHECK(witan_text_check(wrong[i].text, wrong[i].size) == wrong[i].bad);
        memset(&last, 0, sizeof last);
        CHECK_STATUS(witan_vocabulary_make(&out, WITAN_TEXT_WORD, wrong[i].text,
                                           wrong[i].size, 10, witan_allocator_default(),
                                           &last),
                     WITAN_E_DATA);
        CHECK_CONTAINS(last.message, part);
        CHECK_STATUS(witan_vocabulary_encode(&known, wrong[i].text, wrong[i].size,
                                             &tokens, &count, NULL,
                                             witan_allocator_default(), NULL),
                     WITAN_E_DATA);
        CHECK(tokens == NULL && count == 0);
    }
    CHECK(witan_text_check("\xEF\xBF\xBF\xF4\x8F\xBF\xBF\xED\x9F\xBF", 10) == 10);
    drop(&known);
}

static witan_status
try_make(witan_text_unit unit, const char *text, size_t size, size_t most)
{
    witan_vocabulary out;
    memset(&last, 0, sizeof last);
    witan_status status = witan_vocabulary_make(&out, unit, text, size, most,
                                                witan_allocator_default(), &last);
    CHECK((status == WITAN_OK) == (out.names != NULL));
    CHECK((status == WITAN_OK) == (last.message[0] == '\0'));
    witan_vocabulary_fini(&out, witan_allocator_default());
    return status;
}

static void
texts_without_words_are_refused(void)
{
    char word[300];
    memset(word, 'w', sizeof word);
    CHECK_STATUS(try_make(WITAN_TEXT_CHARACTER, "", 0, 10), WITAN_E_DATA);
    CHECK_STATUS(try_make(WITAN_TEXT_CHARACTER, " \n\t\r", 4, 10), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "white space");
    CHECK_STATUS(try_make(WITAN_TEXT_WORD, "\n \n", 3, 10), WITAN_E_DATA);
    CHECK_STATUS(try_make(WITAN_TEXT_WORD, "a b", 3, 1), WITAN_E_CONFIG);
    CHECK_CONTAINS(last.message, "data.text.vocabulary is 1");
    CHECK_STATUS(try_make(WITAN_TEXT_WORD, "a b", 3, WITAN_CLASSES_MAX + 1),
                 WITAN_E_CONFIG);
    CHECK_STATUS(try_make(WITAN_TEXT_WORD, word, sizeof word, 10), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "at most 255 bytes");
    CHECK_STATUS(try_make(WITAN_TEXT_WORD, word, 255, 10), WITAN_OK);
}

/* Room for all but one of the characters that there can be. */
static void
characters_are_limited(void)
{
    size_t size = 0, most = WITAN_CLASSES_MAX - 1;
    char *text = malloc(4 * (most + 1));
    /* From U+10000 on, four bytes each; the ten digits come on top. */
    for (uint32_t i = 0; i < most - 10 + 1; i++) {
        uint32_t code = 0x10000 + i;
        text[size++] = (char)(0xF0 | code >> 18);
        text[size++] = (char)(0x80 | (code >> 12 & 63));
        text[size++] = (char)(0x80 | (code >> 6 & 63));
        text[size++] = (char)(0x80 | (code & 63));
    }
    CHECK_STATUS(try_make(WITAN_TEXT_CHARACTER, text, size - 4, 2), WITAN_OK);
    CHECK_STATUS(try_make(WITAN_TEXT_CHARACTER, text, size, 2), WITAN_E_LIMIT);
    CHECK_CONTAINS(last.message, "65536 different characters");
    free(text);
}

/* A word that is too long for a name is <unk>, also when escapes make it so. */
static void
long_words_are_unknown(void)
{
    char text[800];
    size_t size = 0;
    for (size_t i = 0; i < 40; i++) { /* 80 bytes, 320 escaped */
        text[size++] = (char)0xC2;
        text[size++] = (char)0x85;
    }
    text[size++] = ' ';
    memset(text + size, 'w', 256);
    memcpy(text + size + 256, " end", 4);
    witan_vocabulary self = make(WITAN_TEXT_WORD, text, size + 260, 100);
    CHECK(self.count == 2);
    CHECK_STRING(self.names[1], "end");
    check_tokens(&self, text, size + 260, (uint32_t[]){0, 0, 1}, 3);
    drop(&self);
}

static void
names_make_the_same_vocabulary(void)
{
    static const char text[] = "One two.\nThree\t'\\' \x02 caf\xC3\xA9 \xC2\x9B two";
    for (int unit = 0; unit < 2; unit++) {
        witan_vocabulary self = make((witan_text_unit)unit, text, sizeof text - 1, 100);
        witan_vocabulary again;
        uint8_t left[32], right[32];
        CHECK_STATUS(witan_vocabulary_from_names(
                         &again, (witan_text_unit)unit, (const char *const *)self.names,
                         self.count, witan_allocator_default(), NULL),
                     WITAN_OK);
        check_names(&again, (const char *const *)self.names, self.count);
        witan_vocabulary_digest(&self, left);
        witan_vocabulary_digest(&again, right);
        CHECK(memcmp(left, right, 32) == 0);
        again.unit = (witan_text_unit)(1 - unit);
        witan_vocabulary_digest(&again, right);
        CHECK(memcmp(left, right, 32) != 0);
        again.unit = (witan_text_unit)unit;
        char *first = again.names[1];
        again.names[1] = again.names[2];
        again.names[2] = first;
        witan_vocabulary_digest(&again, right);
        CHECK(memcmp(left, right, 32) != 0);
        for (size_t v = 1; v < self.count; v++) {
            for (size_t i = 0; self.names[v][i] != '\0'; i++) {
                CHECK((unsigned char)self.names[v][i] >= 0x20);
            }
        }
        drop(&again);
        drop(&self);
    }
}

static witan_status
try_names(witan_text_unit unit, const char *a, const char *b, const char *c)
{
    const char *const names[] = {a, b, c};
    witan_vocabulary out;
    memset(&last, 0, sizeof last);
    witan_status status = witan_vocabulary_from_names(
        &out, unit, names, c == NULL ? 2 : 3, witan_allocator_default(), &last);
    CHECK((status == WITAN_OK) == (out.names != NULL));
    CHECK((status == WITAN_OK) == (last.message[0] == '\0'));
    witan_vocabulary_fini(&out, witan_allocator_default());
    return status;
}

static void
names_that_are_no_tokens_are_refused(void)
{
    static const struct {
        const char *name;
        bool character, word;
    } cases[] = {
        {"a", true, true},          {"ab", false, true},
        {"", false, false},         {"\\n", true, true},
        {"\\t", true, false},       {" ", true, false},
        {"\n", false, false},       {"\\\\", true, true},
        {"\\", false, false},       {"\\x", false, false},
        {"\\x0", false, false},     {"\\x01", true, true},
        {"\\x41", false, false},    {"\\x0A", false, false},
        {"\\x7f", false, false},    {"\\x7F", true, true},
        {"\\q", false, false},      {"a b", false, false},
        {"a.", false, false},       {".", true, true},
        {"..", false, false},       {" a", false, false},
        {"a ", false, false},       {"\xC3\xA9", true, true},
        {"\xC3", false, false},     {"\\xC3\\xA9", false, false},
        {"\\xC2\\x85", true, true}, {"\xC2\x85", false, false},
        {"\\xC2", false, false},    {"\x1B[1m", false, false},
        {"<unk>", false, false},    {"it's", false, true},
        {"\\x0B", true, false},     {"\\x00", true, true},
    };
    char name[300];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_STATUS(try_names(WITAN_TEXT_CHARACTER, "<unk>", cases[i].name, NULL),
                     cases[i].character ? WITAN_OK : WITAN_E_DATA);
        CHECK_STATUS(try_names(WITAN_TEXT_WORD, "<unk>", cases[i].name, NULL),
                     cases[i].word ? WITAN_OK : WITAN_E_DATA);
    }
    CHECK_STATUS(try_names(WITAN_TEXT_WORD, "<unk>", "ok", "two words"), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "name 2 is not one token");
    CHECK_STATUS(try_names(WITAN_TEXT_WORD, "<unk>", "ok", "ok"), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "name 2 stands there twice");
    CHECK_STATUS(try_names(WITAN_TEXT_WORD, "unk", "a", NULL), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "<unk>");
    CHECK_STATUS(try_names(WITAN_TEXT_WORD, "a", "<unk>", NULL), WITAN_E_DATA);
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    CHECK_STATUS(try_names(WITAN_TEXT_WORD, "<unk>", name, NULL), WITAN_OK);
    name[255] = 'n';
    name[256] = '\0';
    CHECK_STATUS(try_names(WITAN_TEXT_WORD, "<unk>", name, NULL), WITAN_E_DATA);
    const char *const one[] = {"<unk>"};
    witan_vocabulary out;
    CHECK_STATUS(witan_vocabulary_from_names(&out, WITAN_TEXT_WORD, one, 1,
                                             witan_allocator_default(), NULL),
                 WITAN_E_DATA);
    CHECK_STATUS(witan_vocabulary_from_names(&out, WITAN_TEXT_WORD, one,
                                             WITAN_CLASSES_MAX + 1,
                                             witan_allocator_default(), NULL),
                 WITAN_E_DATA);
}

/* tests/golden/gen/data.py cut the same text with regular expressions. */
static void
shakespeare_is_cut_as_by_python(void)
{
    enum {
        BYTES = 20000,
        MOST = 1000
    };
    static char text[BYTES];
    const char *const vectors[] = {"data/characters", "data/words"};
    witan_stream stream;
    size_t got;
    CHECK_STATUS(witan_stream_memory(&stream, "text", witan_embedded_shakespeare,
                                     (size_t)witan_embedded_shakespeare_size, true,
                                     witan_allocator_default(), NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_stream_some(&stream, text, BYTES, &got, NULL), WITAN_OK);
    witan_stream_close(&stream);
    CHECK(got == BYTES);
    for (int unit = 0; unit < 2; unit++) {
        witan_golden golden = witan_golden_load(vectors[unit]);
        witan_vocabulary self = make((witan_text_unit)unit, text, BYTES, MOST);
        uint32_t *tokens;
        size_t count, different = 0, scanned;
        CHECK_STATUS(witan_vocabulary_encode(&self, text, BYTES, &tokens, &count, NULL,
                                             witan_allocator_default(), NULL),
                     WITAN_OK);
        CHECK(witan_text_scan((witan_text_unit)unit, text, BYTES, SIZE_MAX, &scanned) <=
              BYTES);
        CHECK(scanned == count);
        if (CHECK(count == golden.count)) {
            for (size_t t = 0; t < count; t++) {
                different += (double)tokens[t] != golden.values[t];
            }
        }
        CHECK(different == 0);
        witan_free(witan_allocator_default(), tokens);
        witan_golden_free(&golden);
        drop(&self);
    }
}

static witan_status
use_all(const witan_allocator *allocator, witan_text_unit unit)
{
    static const char text[] = "some words, and some marks:\nsome breaks";
    witan_vocabulary self, again = {0};
    uint32_t *tokens = NULL;
    size_t count;
    WITAN_TRY(
        witan_vocabulary_make(&self, unit, text, sizeof text - 1, 10, allocator, NULL));
    witan_status status = witan_vocabulary_from_names(
        &again, unit, (const char *const *)self.names, self.count, allocator, NULL);
    if (status == WITAN_OK) {
        status = witan_vocabulary_encode(&again, text, sizeof text - 1, &tokens, &count,
                                         NULL, allocator, NULL);
    }
    witan_free(allocator, tokens);
    witan_vocabulary_fini(&again, allocator);
    witan_vocabulary_fini(&self, allocator);
    return status;
}

static void
every_allocation_may_fail(void)
{
    for (int unit = 0; unit < 2; unit++) {
        witan_status status = WITAN_E_MEMORY;
        size_t fail_at;
        for (fail_at = 1; status == WITAN_E_MEMORY && fail_at < 1000; fail_at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, fail_at);
            status = use_all(&failing.allocator, (witan_text_unit)unit);
            CHECK(status == WITAN_OK || status == WITAN_E_MEMORY);
            CHECK(failing.live == 0);
        }
        CHECK_STATUS(status, WITAN_OK);
        CHECK(fail_at > 20);
    }
}

int
main(void)
{
    RUN(characters_are_code_points_in_order);
    RUN(words_marks_and_line_breaks_are_tokens);
    RUN(bytes_that_are_not_utf8_are_named);
    RUN(texts_without_words_are_refused);
    RUN(characters_are_limited);
    RUN(long_words_are_unknown);
    RUN(names_make_the_same_vocabulary);
    RUN(names_that_are_no_tokens_are_refused);
    RUN(shakespeare_is_cut_as_by_python);
    RUN(every_allocation_may_fail);
    return witan_test_finish();
}
