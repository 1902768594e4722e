/* test_text_load.c - text files to windows: groups, parts, vocabularies, added rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fixtures.h"
#include "support/witan_test.h"

typedef struct parts {
    witan_dataset train, valid, test;
} parts;

static witan_data_source
source_of(const char *path, witan_text_unit unit, witan_text_group group, size_t window)
{
    return (witan_data_source){.path = path,
                               .format = WITAN_DATA_TEXT,
                               .test_fraction = 0.2,
                               .text = {.unit = unit,
                                        .group = group,
                                        .vocabulary = 100,
                                        .window = window,
                                        .valid_fraction = 0.1}};
}

static bool
load(parts *out, const witan_data_source *source)
{
    memset(&last, 0, sizeof last);
    bool loaded =
        CHECK_STATUS(witan_data_load_parts(&out->train, &out->valid, &out->test, source,
                                           witan_allocator_default(), &last),
                     WITAN_OK);
    CHECK_STRING(last.message, "");
    return loaded;
}

static void
drop(parts *self)
{
    witan_dataset_fini(&self->train, witan_allocator_default());
    witan_dataset_fini(&self->valid, witan_allocator_default());
    witan_dataset_fini(&self->test, witan_allocator_default());
}

static void
write_text(const char *path, const char *text)
{
    witan_test_write(path, text, strlen(text));
}

/* The text of windows first..first + count, that share one token with the next; names
 * of one byte each. */
static const char *
text_of(const witan_dataset *set, size_t first, size_t count)
{
    static char text[4096];
    size_t size = 0;
    uint32_t window[64];
    for (size_t i = first; i < first + count; i++) {
        uint32_t index = (uint32_t)i;
        witan_dataset_windows(set, &index, 1, window);
        for (size_t t = i == first ? 0 : 1; t <= set->length; t++) {
            const char *name = set->token_names[window[t]];
            text[size++] = strcmp(name, "\\n") == 0 ? '\n'
                           : name[1] != '\0'        ? '?'
                                                    : name[0];
        }
    }
    text[size] = '\0';
    return text;
}

static size_t
rows_of(const witan_dataset *set, uint32_t label)
{
    size_t rows = 0;
    for (size_t i = 0; i < set->samples; i++) {
        rows += set->labels[i] == label;
    }
    return rows;
}

/* Row of the first window of a group. */
static size_t
first_of(const witan_dataset *set, uint32_t label)
{
    size_t i = 0;
    while (i < set->samples && set->labels[i] != label) {
        i++;
    }
    return i;
}

/* Shape, tokens in range, labels in order of groups, windows one behind the other. */
static void
check_set(const witan_dataset *set, size_t window)
{
    size_t wrong = 0;
    CHECK(set->length == window && set->height == 1 && set->width == window &&
          set->channels == 1 && set->scales == 0);
    CHECK(set->bytes == NULL && set->values == NULL && set->labels != NULL);
    CHECK(witan_dataset_positions(set) == window);
    CHECK(witan_dataset_outputs(set) == set->vocabulary);
    CHECK_STRING(set->token_names[0], "<unk>");
    for (size_t t = 0; t < set->token_count; t++) {
        wrong += set->tokens[t] >= set->vocabulary;
    }
    for (size_t i = 0; i < set->samples; i++) {
        size_t step = i > 0 ? set->starts[i] - set->starts[i - 1] : 0;
        bool same = i > 0 && set->labels[i] == set->labels[i - 1];
        wrong += set->labels[i] >= set->classes;
        wrong += set->starts[i] + window >= set->token_count;
        wrong += i > 0 && set->labels[i] < set->labels[i - 1];
        wrong += i > 0 && step != (same ? window : window + 1);
    }
    CHECK(wrong == 0);
}

/* 26 letters, ten times: 260 characters, 51 windows of five. */
static void
write_alphabet(const char *path, char first)
{
    char text[261];
    for (size_t i = 0; i < 260; i++) {
        text[i] = (char)(first + (char)((i + i / 26) % 26));
    }
    text[260] = '\0';
    write_text(path, text);
}

static void
windows_follow_the_text_of_their_group(void)
{
    const char *directory = fresh_directory();
    witan_data_source source =
        source_of(directory, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_FILE, 5);
    parts p;
    char expected[261];
    write_alphabet(in_directory(directory, "lower.txt"), 'a');
    write_alphabet(in_directory(directory, "Upper.txt"), 'A');
    write_text(in_directory(directory, "short.txt"), "12345");
    if (!load(&p, &source)) {
        return;
    }
    check_set(&p.train, 5);
    check_set(&p.valid, 5);
    check_set(&p.test, 5);
    CHECK(p.train.classes == 2 && p.test.classes == 2 && p.valid.classes == 2);
    CHECK_STRING(p.train.class_names[0], "Upper"); /* by bytes; "short" has no window */
    CHECK_STRING(p.test.class_names[1], "lower");
    /* 51 windows: 10.2 of them test, 5.1 validation. */
    for (uint32_t g = 0; g < 2; g++) {
        CHECK(rows_of(&p.train, g) == 36 && rows_of(&p.valid, g) == 5 &&
              rows_of(&p.test, g) == 10);
        for (size_t i = 0; i < 260; i++) {
            expected[i] = (char)((g == 0 ? 'A' : 'a') + (char)((i + i / 26) % 26));
        }
        expected[256] = '\0';
        CHECK_STRING(text_of(&p.test, first_of(&p.test, g), 10), expected + 41 * 5);
        expected[41 * 5 + 1] = '\0';
        CHECK_STRING(text_of(&p.valid, first_of(&p.valid, g), 5), expected + 36 * 5);
        expected[36 * 5 + 1] = '\0';
        CHECK_STRING(text_of(&p.train, first_of(&p.train, g), 36), expected);
    }
    CHECK(p.train.vocabulary == 1 + 10 + 52 + 1); /* a line break between the groups */
    witan_dataset_windows(&p.train, (const uint32_t[]){3, 3}, 0, NULL);
    drop(&p);
}

static void
a_window_of_one_covers_all(void)
{
    const char *path = in_directory(fresh_directory(), "a.txt");
    witan_data_source source =
        source_of(path, WITAN_TEXT_WORD, WITAN_TEXT_GROUP_NONE, 1);
    parts p;
    write_text(path, "a b c d e f g h i j k");
    if (load(&p, &source)) {
        CHECK(p.train.samples == 7 && p.valid.samples == 1 && p.test.samples == 2);
        CHECK_STRING(p.train.class_names[0], "all");
        CHECK_STRING(text_of(&p.train, 0, 7), "abcdefgh");
        CHECK_STRING(text_of(&p.valid, 0, 1), "h?");
        drop(&p);
    }
}

/* One window is trained on, two leave one to test on. */
static void
small_groups_train_first(void)
{
    const char *directory = fresh_directory();
    witan_data_source source =
        source_of(directory, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_FILE, 4);
    parts p;
    source.test_fraction = 0.5;
    source.text.valid_fraction = 0.49;
    write_text(in_directory(directory, "one.txt"), "abcde");
    write_text(in_directory(directory, "two.txt"), "abcdefghi");
    write_text(in_directory(directory, "three.txt"), "abcdefghijklm...");
    if (load(&p, &source)) {
        CHECK_STRING(p.train.class_names[1], "three");
        CHECK(rows_of(&p.train, 0) == 1 && rows_of(&p.test, 0) == 0);
        CHECK(rows_of(&p.train, 1) == 1 && rows_of(&p.test, 1) == 2);
        CHECK(rows_of(&p.train, 2) == 1 && rows_of(&p.test, 2) == 1);
        CHECK(p.valid.samples == 0 && p.valid.vocabulary == p.train.vocabulary);
        drop(&p);
    }
}

static void
three_parts_are_taken_as_they_are(void)
{
    const char *directory = fresh_directory();
    witan_data_source source =
        source_of(directory, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_FILE, 3);
    static image plain, packed;
    parts p;
    source.test_fraction = 0.0; /* not looked at */
    write_text(in_directory(directory, "train.txt"), "abcabca");
    image_clear(&plain);
    image_text(&plain, "abcd");
    image_gzip(&plain, &packed);
    witan_test_write(in_directory(directory, "test.txt.gz"), packed.bytes, packed.size);
    write_text(in_directory(directory, "other.txt"), "zzzzzzzzzzz");
    if (load(&p, &source)) {
        CHECK(p.train.samples == 2 && p.valid.samples == 0 && p.test.samples == 1);
        CHECK(p.train.classes == 1 && p.train.vocabulary == 14);
        CHECK_STRING(text_of(&p.train, 0, 2), "abcabca");
        CHECK_STRING(text_of(&p.test, 0, 1), "abc?");
        drop(&p);
    }
    write_text(in_directory(directory, "valid.txt"), "cbacbac!");
    if (load(&p, &source)) {
        CHECK(p.train.samples == 2 && p.valid.samples == 2 && p.test.samples == 1);
        CHECK_STRING(text_of(&p.valid, 0, 2), "cbacbac");
        drop(&p);
    }
    source.transfer = true;
    if (load(&p, &source)) {
        CHECK(p.train.samples == 6 && p.valid.samples == 0 && p.test.samples == 0);
        CHECK_STRING(text_of(&p.train, 0, 6), "abcd\nabcabca\ncbacba");
        drop(&p);
    }
}

static void
folders_are_groups(void)
{
    const char *directory = fresh_directory();
    witan_data_source source =
        source_of(directory, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_FOLDER, 2);
    parts p;
    char path[1024];
    source.test_fraction = 0.25;
    source.text.valid_fraction = 0.0;
    for (int f = 0; f < 3; f++) {
        static const char *const names[] = {"ada", "bob", ".git"};
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[f]);
        CHECK(mkdir(path, 0700) == 0);
        write_text(in_directory(path, "2.txt"), "\xEF\xBB\xBFmnopq");
        write_text(in_directory(path, "1.txt"), "abc");
        write_text(in_directory(path, "0.md"), "not text");
        write_text(in_directory(path, ".3.txt"), "hidden");
        write_text(in_directory(path, "4.txt"), "");
    }
    write_text(in_directory(directory, "top.txt"), "vwxyz");
    if (load(&p, &source)) {
        CHECK(p.train.classes == 3);
        CHECK_STRING(p.train.class_names[0], ".");
        CHECK_STRING(p.train.class_names[1], "ada");
        CHECK_STRING(p.train.class_names[2], "bob");
        CHECK(rows_of(&p.train, 1) == 3 && rows_of(&p.test, 1) == 1);
        CHECK_STRING(text_of(&p.train, first_of(&p.train, 2), 3), "abc\nmno");
        CHECK_STRING(text_of(&p.test, first_of(&p.test, 2), 1), "o??");
        drop(&p);
    }
    source.text.group = WITAN_TEXT_GROUP_FILE;
    if (load(&p, &source)) {
        CHECK(p.train.classes == 5);
        CHECK_STRING(p.train.class_names[0], "ada/1");
        CHECK_STRING(p.train.class_names[4], "top");
        drop(&p);
    }
    source.text.group = WITAN_TEXT_GROUP_NONE;
    if (load(&p, &source)) {
        CHECK(p.train.classes == 1);
        CHECK_STRING(text_of(&p.train, 0, 5), "abc\nmnopq\na");
        drop(&p);
    }
}

static void
speakers_are_groups(void)
{
    static const char text[] = "Nobody says this.\n\n"
                               "Ann:\nHow now?\nWell:\n\n"
                               "BOB:\r\nSo so.\r\n\r\n\r\n"
                               "EXIT:\n\n"
                               "Ann:\n\nGood\n\nnight.\n\n\n";
    const char *path = in_directory(fresh_directory(), "play.txt");
    witan_data_source source =
        source_of(path, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_SPEAKER, 1);
    parts p;
    source.transfer = true;
    write_text(path, text);
    if (load(&p, &source)) {
        CHECK(p.train.classes == 2);
        CHECK_STRING(p.train.class_names[0], "Ann");
        CHECK_STRING(p.train.class_names[1], "BOB");
        CHECK_STRING(text_of(&p.train, 0, rows_of(&p.train, 0)),
                     "How now?\nWell:\nGood\n\nnight.");
        CHECK_STRING(text_of(&p.train, first_of(&p.train, 1), rows_of(&p.train, 1)),
                     "So so.");
        drop(&p);
    }
    write_text(path, "No role\n\n:\nspeaks\n\na\tb:\nhere");
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "data.text.group");
}

/* What the test part alone says is unknown; a vocabulary that is given stays. */
static void
the_vocabulary_is_of_the_training_part(void)
{
    static const char *const known[] = {"<unk>", "z", "b", "a"};
    const char *path = in_directory(fresh_directory(), "a.txt");
    witan_data_source source =
        source_of(path, WITAN_TEXT_WORD, WITAN_TEXT_GROUP_NONE, 1);
    parts p;
    source.test_fraction = 0.5;
    source.text.valid_fraction = 0.0;
    write_text(path, "a a b a c c c");
    if (load(&p, &source)) {
        CHECK(p.train.vocabulary == 3);
        CHECK_STRING(p.train.token_names[1], "a");
        CHECK_STRING(text_of(&p.train, 0, 3), "aaba");
        CHECK_STRING(text_of(&p.test, 0, 3), "a???");
        drop(&p);
    }
    source.text.known = known;
    source.text.known_count = 4;
    if (load(&p, &source)) {
        CHECK(p.train.vocabulary == 4 && p.test.vocabulary == 4);
        CHECK_STRING(p.test.token_names[3], "a");
        CHECK(p.train.tokens[0] == 3 && p.train.tokens[2] == 2);
        CHECK_STRING(text_of(&p.test, 0, 3), "a???");
        drop(&p);
    }
    source.text.known_count = 1;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, path);
}

static void
what_cannot_be_read_is_named(void)
{
    const char *directory = fresh_directory();
    const char *path = in_directory(directory, "a.txt");
    char copy[1024];
    (void)snprintf(copy, sizeof copy, "%s", path);
    witan_data_source source =
        source_of(copy, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_NONE, 64);
    CHECK_STATUS(try_load(&source), WITAN_E_IO);
    write_text(copy, "");
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "has no text");
    write_text(copy, "twelve bytes\xFF more");
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "a.txt: byte 12 is not UTF-8");
    write_text(copy, "short");
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "no group has a window of 65 tokens; lower "
                                 "data.text.window");
    source.text.window = 4;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "test part");
    source.text.window = 0;
    CHECK_STATUS(try_load(&source), WITAN_E_CONFIG);
    CHECK_CONTAINS(last.message, "data.text.window is 0");
    source.text.window = WITAN_CONTEXT_MAX + 1;
    CHECK_STATUS(try_load(&source), WITAN_E_CONFIG);
    source.text.window = 1;
    CHECK_STATUS(try_load(&source), WITAN_OK);
    static const double fractions[][2] = {
        {0.0, 0.1}, {1.0, 0.0}, {0.5, 0.5}, {0.5, -0.1}, {-1.0, 0.0}};
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        source.test_fraction = fractions[i][0];
        source.text.valid_fraction = fractions[i][1];
        CHECK_STATUS(try_load(&source), WITAN_E_CONFIG);
        CHECK_CONTAINS(last.message, "data.text.valid_fraction");
    }
    source.test_fraction = 0.5;
    source.text.valid_fraction = 0.0;
    write_text(copy, "    \n\n      ");
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "a.txt: the text has nothing but white space");
    source.text.unit = WITAN_TEXT_WORD;
    source.text.vocabulary = 1;
    write_text(copy, "some words are here");
    CHECK_STATUS(try_load(&source), WITAN_E_CONFIG);
    CHECK_CONTAINS(last.message, "data.text.vocabulary is 1");
    (void)remove(copy);
    source.path = directory;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, ".txt");
    write_text(in_directory(directory, "b.txt.gz"), "not gzip");
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "b.txt.gz");
}

/* Counted by other means: 1115394 characters, 65 of them different, of the digits only
 * 3; (1115394 - 1) / 64 windows. */
static void
the_embedded_text_is_tiny_shakespeare(void)
{
    witan_data_source source =
        source_of("", WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_NONE, 64);
    parts p;
    char line[160];
    source.text.valid_fraction = 0.05;
    if (!load(&p, &source)) {
        return;
    }
    check_set(&p.train, 64);
    CHECK(p.train.samples + p.valid.samples + p.test.samples == 17428);
    CHECK(p.test.samples == 3486 && p.valid.samples == 871);
    CHECK(p.train.vocabulary == 1 + 65 + 9);
    CHECK(p.train.classes == 1);
    witan_data_describe(line, sizeof line, &source, &p.train, &p.test);
    CHECK_STRING(line, "tiny Shakespeare (text): 13071 train, 3486 test, windows of "
                       "64, 75 tokens, 1 groups");
    drop(&p);
    source.text.group = WITAN_TEXT_GROUP_SPEAKER;
    source.text.window = 1;
    if (load(&p, &source)) {
        size_t found = 0;
        CHECK(p.train.classes == 299);
        for (size_t g = 0; g < p.train.classes; g++) {
            found += strcmp(p.train.class_names[g], "ROMEO") == 0;
        }
        CHECK(found == 1);
        drop(&p);
    }
}

static void
every_allocation_may_fail(void)
{
    const char *directory = fresh_directory();
    witan_data_source source =
        source_of(directory, WITAN_TEXT_WORD, WITAN_TEXT_GROUP_FILE, 2);
    write_text(in_directory(directory, "a.txt"),
               "one two one two one two one two three");
    write_text(in_directory(directory, "b.txt"),
               "one two one two one two one two four");
    check_failing_allocations(&source);
    source.text.unit = WITAN_TEXT_CHARACTER;
    source.text.group = WITAN_TEXT_GROUP_SPEAKER;
    write_text(in_directory(directory, "b.txt"), "A:\nhello and so on, so many words");
    check_failing_allocations(&source);
}

/* --- rows that a caller adds ------------------------------------------------------ */

static void
added_windows_are_rows(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *path = in_directory(fresh_directory(), "a.txt");
    witan_data_source source =
        source_of(path, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_NONE, 4);
    parts p;
    uint8_t before[32], after[32];
    uint32_t window[5], index;
    write_text(path, "abcdefghijklmnopqrstuvwxyz");
    if (!load(&p, &source)) {
        return;
    }
    size_t rows = p.train.samples;
    witan_dataset_digest(&p.train, before);
    CHECK_STATUS(witan_dataset_append(&p.train, NULL, NULL, 0, heap), WITAN_E_INVALID);
    window[0] = window[1] = window[2] = window[3] = 1;
    window[4] = (uint32_t)p.train.vocabulary;
    CHECK_STATUS(witan_dataset_append(&p.train, NULL, window, 0, heap),
                 WITAN_E_INVALID);
    window[4] = 0;
    CHECK_STATUS(witan_dataset_append(&p.train, NULL, window, 1, heap),
                 WITAN_E_INVALID);
    witan_dataset_digest(&p.train, after);
    CHECK(memcmp(before, after, 32) == 0);
    for (uint32_t i = 0; i < 100; i++) {
        for (uint32_t t = 0; t < 5; t++) {
            window[t] = (i + t) % (uint32_t)p.train.vocabulary;
        }
        CHECK_STATUS(witan_dataset_append(&p.train, NULL, window, 0, heap), WITAN_OK);
    }
    CHECK(p.train.samples == rows + 100);
    for (uint32_t i = 0; i < 100; i++) {
        index = (uint32_t)rows + i;
        witan_dataset_windows(&p.train, &index, 1, window);
        CHECK(window[4] == (i + 4) % p.train.vocabulary && p.train.labels[index] == 0);
    }
    index = 0;
    witan_dataset_windows(&p.train, &index, 1, window);
    CHECK_STRING(p.train.token_names[window[0]], "a");
    /* The digest is of what the windows say, in their order. */
    witan_dataset_digest(&p.train, before);
    p.train.tokens[p.train.token_count - 1] ^= 1;
    witan_dataset_digest(&p.train, after);
    CHECK(memcmp(before, after, 32) != 0);
    p.train.tokens[p.train.token_count - 1] ^= 1;
    char *name = p.train.token_names[1];
    p.train.token_names[1] = p.train.token_names[2];
    witan_dataset_digest(&p.train, after);
    CHECK(memcmp(before, after, 32) != 0);
    p.train.token_names[1] = name;
    witan_dataset_digest(&p.train, after);
    CHECK(memcmp(before, after, 32) == 0);
    drop(&p);
}

static void
text_has_no_scale(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *path = in_directory(fresh_directory(), "a.txt");
    witan_data_source source =
        source_of(path, WITAN_TEXT_CHARACTER, WITAN_TEXT_GROUP_NONE, 4);
    witan_dataset table = {.height = 1, .width = 4, .channels = 1};
    parts p;
    uint32_t labels[2];
    source.standardise = true;
    write_text(path, "abcdefghijklmnopqrstuvwxyz");
    if (!load(&p, &source)) {
        return;
    }
    memset(&last, 0, sizeof last);
    CHECK_STATUS(witan_dataset_copy_scale(&p.train, &p.test, heap, &last), WITAN_OK);
    CHECK_STATUS(witan_dataset_copy_scale(&p.train, &table, heap, &last), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "same kind");
    CHECK(p.train.scale == NULL);
    witan_dataset_gather(&p.train, (const uint32_t[]){1, 0}, 2, NULL, labels);
    CHECK(labels[0] == 0 && labels[1] == 0);
    drop(&p);
}

int
main(void)
{
    RUN(windows_follow_the_text_of_their_group);
    RUN(a_window_of_one_covers_all);
    RUN(small_groups_train_first);
    RUN(three_parts_are_taken_as_they_are);
    RUN(folders_are_groups);
    RUN(speakers_are_groups);
    RUN(the_vocabulary_is_of_the_training_part);
    RUN(what_cannot_be_read_is_named);
    RUN(the_embedded_text_is_tiny_shakespeare);
    RUN(every_allocation_may_fail);
    RUN(added_windows_are_rows);
    RUN(text_has_no_scale);
    return witan_test_finish();
}
