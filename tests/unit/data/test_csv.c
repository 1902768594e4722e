/* test_csv.c - tables: quoting, line ends, missing values, categories, labels. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fixtures.h"
#include "support/witan_test.h"

static witan_dataset train, test;
static char path_train[1100], path_test[1100], directory[1024];

/* A directory with train.csv, and test.csv unless it is NULL. */
static witan_data_source
tables(const char *train_text, const char *test_text)
{
    (void)snprintf(directory, sizeof directory, "%s", fresh_directory());
    (void)snprintf(path_train, sizeof path_train, "%s/train.csv", directory);
    (void)snprintf(path_test, sizeof path_test, "%s/test.csv", directory);
    witan_test_write(path_train, train_text, strlen(train_text));
    if (test_text != NULL) {
        witan_test_write(path_test, test_text, strlen(test_text));
    }
    return (witan_data_source){.path = directory};
}

static bool
load(const witan_data_source *source)
{
    memset(&last, 0, sizeof last);
    return CHECK_STATUS(
        witan_data_load(&train, &test, source, witan_allocator_default(), &last),
        WITAN_OK);
}

static void
unload(void)
{
    witan_dataset_fini(&train, witan_allocator_default());
    witan_dataset_fini(&test, witan_allocator_default());
}

static void
refused(const char *train_text, const char *test_text, const char *part)
{
    witan_data_source source = tables(train_text, test_text);
    if (!CHECK_STATUS(try_load(&source), WITAN_E_DATA)) {
        fprintf(stderr, "  %s\n", train_text);
    }
    CHECK_CONTAINS(last.message, part);
    CHECK_CONTAINS(last.message, directory);
}

static void
reads_numbers_and_words(void)
{
    witan_data_source source = tables("size,colour,kind\n"
                                      "1.5,red,cat\n"
                                      "-2e1,blue,dog\n"
                                      "+3,red,cat\n"
                                      ",?,dog\n"
                                      "NA,green,cat\n"
                                      "nan,,dog\n",
                                      "size,colour,kind\n"
                                      "?,violet,dog\n"
                                      "7,green,cat\n");
    if (!load(&source)) {
        return;
    }
    /* size, then blue, green, red; the mean of 1.5, -20 and 3 where size is missing. */
    static const double mean = -15.5 / 3;
    const double x[6][4] = {{1.5, 0, 0, 1},  {-20, 1, 0, 0},  {3, 0, 0, 1},
                            {mean, 0, 0, 0}, {mean, 0, 1, 0}, {mean, 0, 0, 0}};
    const double x_test[2][4] = {{mean, 0, 0, 0}, {7, 0, 1, 0}};
    CHECK(train.samples == 6 && train.channels == 4 && train.classes == 2);
    CHECK(train.height == 1 && train.width == 1 && train.scales == 4);
    CHECK_GOLDEN(train.values, x[0], 24, 1e-6, 1e-6);
    CHECK_GOLDEN(test.values, x_test[0], 8, 1e-6, 1e-6);
    CHECK_STRING(train.class_names[0], "cat");
    CHECK_STRING(test.class_names[1], "dog");
    CHECK(memcmp(train.labels, (const uint32_t[]){0, 1, 0, 1, 0, 1}, 24) == 0);
    CHECK(memcmp(test.labels, (const uint32_t[]){1, 0}, 8) == 0);
    char line[1200];
    witan_data_describe(line, sizeof line, &source, &train, &test);
    CHECK_CONTAINS(line, "(csv): 6 train, 2 test, 4 columns, 2 classes");
    unload();
    check_failing_allocations(&source);
}

/* The same table in every legal dress. */
static void
quotes_line_ends_and_marks(void)
{
    static const char *const same[] = {
        "a,b,y\n1,x z,0\n2,q,1\n",
        "a,b,y\r\n1,x z,0\r\n2,q,1\r\n",
        "a,b,y\r1,x z,0\r2,q,1",
        "\xEF\xBB\xBF\x61,b,y\n1,x z,0\n2,q,1",
        "\"a\",\"b\",\"y\"\n\"1\",\"x z\",\"0\"\n\"2\",\"q\",\"1\"\n",
        " a , b , y \n\n\n 1 ,\tx z ,0 \n\n 2,q ,1\n\n"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        witan_data_source source = tables(same[i], "a,b,y\n5,x z,1\n");
        if (load(&source)) {
            CHECK(train.samples == 2 && train.channels == 3 && train.classes == 2);
            CHECK_FLOATS(train.values, ((const float[]){1, 0, 1, 2, 1, 0}), 6, 0, 0);
            CHECK_FLOATS(test.values, ((const float[]){5, 0, 1}), 3, 0, 0);
        }
        unload();
    }
}

static void
quoted_fields_hold_anything(void)
{
    witan_data_source source = tables("a,\"the, \"\"label\"\"\"\n"
                                      "\"x\n,y\",\"two\nlines\"\n"
                                      "\"x\n,y\",\" b \"\n",
                                      "a,\"the, \"\"label\"\"\"\n1, \" b \"\n");
    source.label = "the, \"label\"";
    if (load(&source)) {
        CHECK(train.channels == 1 && train.values[0] == 1.0f &&
              train.values[1] == 1.0f);
        CHECK(test.values[0] == 0.0f);
        CHECK_STRING(train.class_names[0], " b ");
        CHECK_STRING(train.class_names[1], "two\nlines");
    }
    unload();
}

static void
label_column_is_found_by_name(void)
{
    witan_data_source source = tables("y,a,b\n0,1,2\n1,3,4\n", "y,a,b\n1,5,6\n");
    source.label = "y";
    if (load(&source)) {
        CHECK_FLOATS(train.values, ((const float[]){1, 2, 3, 4}), 4, 0, 0);
        CHECK(train.labels[1] == 1 && test.labels[0] == 1 && train.class_names == NULL);
    }
    unload();
    source.label = "z";
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "no column is named 'z'");
    source = tables("y,a,y\n0,1,2\n1,3,4\n", "y,a,y\n1,5,6\n");
    source.label = "y";
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "more than one column");
}

static void
integer_labels(void)
{
    witan_data_source source = tables("a,y\n1,0\n2,4\n3,2\n", "a,y\n1,6\n");
    if (load(&source)) { /* from 0: as they are */
        CHECK(train.classes == 7 && train.class_names == NULL);
        CHECK(train.labels[1] == 4 && test.labels[0] == 6);
    }
    unload();
    source = tables("a,y\n1,10\n2,-1\n3,9\n", "a,y\n1,9\n");
    if (load(&source)) { /* others: in order of value */
        CHECK(train.classes == 3 && train.labels[0] == 2 && train.labels[1] == 0);
        CHECK(test.labels[0] == 1);
        CHECK_STRING(train.class_names[0], "-1");
        CHECK_STRING(train.class_names[2], "10");
    }
    unload();
    refused("a,y\n1,10\n2,-1\n3,9\n", "a,y\n1,8\n", "line 2: label '8' does not occur");
    refused("a,y\n1,0\n2,1\n", "a,y\n1,x\n", "line 2: label 'x' is no class");
    refused("a,y\n1,0\n2,1\n", "a,y\n1,-1\n", "line 2: label '-1' is no class");
    refused("a,y\n1,0\n2,99999999\n", "a,y\n1,0\n", "line 3: label '99999999'");
    refused("a,y\n1,cat\n2,dog\n", "a,y\n1,cow\n", "label 'cow' does not occur");
    refused("a,y\n1,0\n2,\n", "a,y\n1,0\n", "line 3 has no label in column 'y'");
    refused("a,y\n1,0\n2,0\n", "a,y\n1,0\n", "same class");
}

static void
numbers_are_decimal(void)
{
    witan_data_source source = tables("a,b,y\n0x10,1234567890,0\n"
                                      "16,99999999999999999999,1\n17,1e-50,1\n",
                                      "a,b,y\n16,-.5e1,0\n");
    if (load(&source)) {
        CHECK(train.channels == 4); /* three words, one number */
        CHECK(train.values[3] == 1234567890.0f && train.values[7] == 1e20f);
        CHECK(train.values[11] == 0.0f && test.values[3] == -5.0f);
    }
    unload();
}

static void
malformed_tables_are_bad_data(void)
{
    const char *good = "a,b,y\n1,2,0\n1,2,1\n";
    refused("", good, "0 columns");
    refused("a,b,y\n", good, "0 rows");
    refused("y\n1\n0\n", good, "1 columns");
    refused("1,2,0\n1,2,1\n", good, "put a header row");
    refused("a,b,y\n1,2,0\n1,2\n1,2,1\n", good,
            "line 3 has 2 fields where the header has 3");
    refused("a,b,y\n1,2,0\n\n\n1,2,1,9\n", good, "line 5 has 4 fields");
    refused("a,b,y\n1,\"2\n2\",0\n1,2\n", good, "line 4 has 2 fields");
    refused("a,b,y\n1,2\"2,0\n1,2,1\n", good, "line 2: a quote");
    refused("a,b,y\n1,\"2\"2,0\n1,2,1\n", good, "line 2: a quote");
    refused("a,b,y\n1,2,0\n1,\"2,1\n", good, "never closed");
    refused("a,b,y\n1,inf,0\n1,2,1\n", good, "line 2, column 'b': 'inf' is no finite");
    refused("a,b,y\n1,1e39,0\n1,2,1\n", good, "'1e39' is no finite float");
    refused("a,b,y\n1,,0\n1,?,1\n", good, "column 'b' has no value");
    refused(good, "a,b,y\n1,2,0\n1,x,1\n", "line 3, column 'b': 'x' is no number");
    refused(good, "1,2,0\n1,2,1\n", "put a header row");
    refused(good, "a,c,y\n1,2,0\n", "column 2 is 'c' where");
    refused(good, "a,y\n1,0\n", "2 columns where");
    refused(good, "a,b,y\n", "0 rows");

    static const char zero[] = "a,b,y\n1,\0,0\n1,2,1\n";
    witan_data_source source = tables(good, good);
    witan_test_write(path_train, zero, sizeof zero - 1);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "line 2 holds a zero byte");

    (void)snprintf(path_train, sizeof path_train, "%s/packed.csv.gz", directory);
    witan_test_write(path_train, good, strlen(good));
    source.path = path_train;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA); /* not recognised */
    source.format = WITAN_DATA_CSV;
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "unpack it first");
}

static void
too_many_categories_are_bad_data(void)
{
    static char text[40000];
    size_t used = (size_t)snprintf(text, sizeof text, "a,y\n");
    for (int i = 0; i < 1001; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "w%d,%d\n", i, i % 2);
    }
    refused(text, "a,y\nw1,0\n", "column 'a' has more than 1000 different values");
}

/* Every prefix is read or refused, never more; cut inside a row it is refused. */
static void
truncation_anywhere_is_survived(void)
{
    static const char text[] =
        "a,b,y\n1.5,\"x\",cat\n,\"a \"\"q\"\"\",dog\n2,?,\"cat\"\n";
    witan_data_source source = tables(text, text);
    for (size_t size = 0; size < sizeof text - 1; size++) {
        witan_test_write(path_train, text, size);
        witan_status status = try_load(&source);
        CHECK(status == WITAN_OK || status == WITAN_E_DATA);
        CHECK(size > 30 || status == WITAN_E_DATA);
    }
}

/* Held-out rows lend nothing to means, categories or scales. */
static void
fitted_on_training_rows_alone(void)
{
    static char text[8000];
    const witan_allocator *heap = witan_allocator_default();
    size_t used = (size_t)snprintf(text, sizeof text, "n,w,y\n");
    for (int i = 0; i < 200; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,w%d,%d\n", i, i,
                                 i % 2);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, ",,0\n");
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", witan_test_path("one.csv"));
    witan_test_write(path, text, used);
    witan_data_source source = {
        .path = path, .test_fraction = 0.3, .seed = 3, .standardise = false};

    if (!load(&source)) {
        return;
    }
    size_t unseen = 0, columns = train.channels;
    double sum = 0.0, count = 0.0, filled = -1.0;
    CHECK(train.samples == 141 && test.samples == 60);
    CHECK(columns == 1 + 140 || columns == 1 + 141);
    for (size_t i = 0; i < test.samples; i++) {
        float ones = 0.0f;
        for (size_t j = 1; j < columns; j++) {
            ones += test.values[i * columns + j];
        }
        unseen += ones == 0.0f;
    }
    CHECK(unseen == 60); /* each word occurs once: none of the test part's is known */
    for (size_t i = 0; i < train.samples; i++) {
        float ones = 0.0f;
        for (size_t j = 1; j < columns; j++) {
            ones += train.values[i * columns + j];
        }
        if (ones == 0.0f) {
            filled = (double)train.values[i * columns];
        } else {
            CHECK(ones == 1.0f);
            sum += (double)train.values[i * columns];
            count += 1.0;
        }
    }
    if (filled < 0.0) { /* the row without values was held out */
        for (size_t i = 0; i < test.samples; i++) {
            float value = test.values[i * columns];
            filled = value != floorf(value) ? (double)value : filled;
        }
    }
    CHECK_NEAR(filled, sum / count, 1e-5, 0);
    CHECK(fabs(filled - 99.5) > 1e-3); /* not the mean of all rows */
    unload();

    source.standardise = true;
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    double moment[2][2] = {{0}};
    for (int part = 0; part < 2; part++) {
        const witan_dataset *set = part == 0 ? &train : &test;
        float x[256];
        for (uint32_t i = 0; i < set->samples; i++) {
            witan_dataset_gather(set, &i, 1, x, NULL);
            moment[part][0] += (double)x[0] / (double)set->samples;
            moment[part][1] += (double)x[0] * (double)x[0] / (double)set->samples;
        }
    }
    CHECK_NEAR(moment[0][0], 0.0, 1e-5, 0);
    CHECK_NEAR(moment[0][1], 1.0, 1e-5, 0);
    CHECK(fabs(moment[1][0]) > 1e-3 && fabs(moment[1][1] - 1.0) > 1e-3);
    CHECK(train.scale[0] == test.scale[0] && train.shift[0] == test.shift[0]);
    unload();
    check_failing_allocations(&source);
    source.test_fraction = 0.0;
    CHECK_STATUS(try_load(&source), WITAN_E_CONFIG);
}

int
main(void)
{
    RUN(reads_numbers_and_words);
    RUN(quotes_line_ends_and_marks);
    RUN(quoted_fields_hold_anything);
    RUN(label_column_is_found_by_name);
    RUN(integer_labels);
    RUN(numbers_are_decimal);
    RUN(malformed_tables_are_bad_data);
    RUN(too_many_categories_are_bad_data);
    RUN(truncation_anywhere_is_survived);
    RUN(fitted_on_training_rows_alone);
    return witan_test_finish();
}
