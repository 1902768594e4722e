/* test_npy.c - directories of NumPy arrays: every type, whole and broken. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fixtures.h"
#include "support/witan_test.h"

static image x_train, y_train, x_test, y_test, scratch;

static void
put(const char *directory, const char *name, const image *content)
{
    witan_test_write(in_directory(directory, name), content->bytes, content->size);
}

/* Elements first, first + 1, ... in the type of `descr`. */
static void
add_elements(image *self, const char *descr, size_t count, int first)
{
    for (size_t i = 0; i < count; i++) {
        int value = first + (int)i;
        if (descr[1] == 'u') {
            image_add(self, &(uint8_t){(uint8_t)value}, 1);
        } else if (strcmp(descr, "<f4") == 0) {
            image_add(self, &(float){(float)value}, 4);
        } else if (strcmp(descr, "<f8") == 0) {
            image_add(self, &(double){(double)value}, 8);
        } else if (strcmp(descr, "<i4") == 0) {
            image_add(self, &(int32_t){value}, 4);
        } else {
            image_add(self, &(int64_t){value}, 8);
        }
    }
}

static const char *
write_set(const char *descr, const char *label_descr, unsigned version)
{
    const char *directory = fresh_directory();
    image_npy(&x_train, version, descr, "False", "(4, 6)");
    add_elements(&x_train, descr, 24, 0);
    image_npy(&x_test, version, descr, "False", "(2, 6)");
    add_elements(&x_test, descr, 12, 30);
    image_npy(&y_train, version, label_descr, "False", "(4,)");
    add_elements(&y_train, label_descr, 4, 0);
    image_npy(&y_test, version, label_descr, "False", "(2, 1)");
    add_elements(&y_test, label_descr, 2, 1);
    put(directory, "x_train.npy", &x_train);
    put(directory, "y_train.npy", &y_train);
    put(directory, "x_test.npy", &x_test);
    put(directory, "y_test.npy", &y_test);
    return directory;
}

static void
reads_every_type(void)
{
    static const char *const types[] = {"|u1", "<u1", "<f4", "<f8", "<i4", "<i8"};
    static const char *const labels[] = {"<i8", "|u1", "<i4", "<u1", "<i8", "<i8"};
    const witan_allocator *heap = witan_allocator_default();
    for (size_t t = 0; t < 6; t++) {
        witan_data_source source = {.path = write_set(types[t], labels[t], 1 + t % 3)};
        const uint32_t row = 2;
        double factor = types[t][1] == 'u' ? 1.0 / 255.0 : 1.0;
        float x[6];
        witan_dataset train, test;
        uint32_t label;
        CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
        CHECK(train.samples == 4 && train.channels == 6 && train.classes == 4);
        CHECK(train.height == 1 && train.width == 1 && train.scales == 6);
        CHECK((train.bytes != NULL) == (types[t][1] == 'u'));
        CHECK(test.samples == 2 && test.labels[0] == 1 && test.labels[1] == 2);
        witan_dataset_gather(&train, &row, 1, x, &label);
        CHECK(label == 2);
        CHECK_NEAR((double)x[0], 12.0 * factor, 1e-6, 0);
        CHECK_NEAR((double)x[5], 17.0 * factor, 1e-6, 0);
        witan_dataset_gather(&test, &(uint32_t){0}, 1, x, NULL);
        CHECK_NEAR((double)x[1], 31.0 * factor, 1e-6, 0);
        witan_dataset_fini(&train, heap);
        witan_dataset_fini(&test, heap);
    }
}

/* More than one gulp of the reader. */
static void
reads_many_rows(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = write_set("<f4", "<i4", 1)};
    witan_dataset train, test;
    bool same = true;
    image_npy(&x_train, 1, "<f4", "False", "(5000, 6)");
    add_elements(&x_train, "<f4", 30000, 0);
    image_npy(&y_train, 1, "<i4", "False", "(5000,)");
    add_elements(&y_train, "<i4", 5000, 0);
    put(source.path, "x_train.npy", &x_train);
    put(source.path, "y_train.npy", &y_train);
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    for (size_t n = 0; n < train.samples; n++) {
        same = same && train.labels[n] == n &&
               train.values[6 * n + 5] == (float)(6 * n + 5);
    }
    CHECK(same && train.samples == 5000 && train.classes == 5000);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
}

static void
ranks_become_shapes(void)
{
    static const struct {
        const char *shape;
        size_t height, width, channels;
    } cases[] = {{"(4, 6)", 1, 1, 6},
                 {"(4, 2, 3)", 2, 3, 1},
                 {"(4, 2, 1, 3)", 2, 1, 3},
                 {"(4,1,6,1,)", 1, 6, 1}};
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = write_set("<f4", "<i4", 1),
                                .test_fraction = 0.5};
    (void)remove(in_directory(source.path, "x_test.npy"));
    (void)remove(in_directory(source.path, "y_test.npy"));
    for (size_t i = 0; i < 4; i++) {
        witan_dataset train, test;
        image_npy(&x_train, 1, "<f4", "False", cases[i].shape);
        add_elements(&x_train, "<f4", 24, 0);
        put(source.path, "x_train.npy", &x_train);
        CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
        CHECK(train.samples == 2 && test.samples == 2 && train.classes == 4);
        CHECK(train.height == cases[i].height && train.width == cases[i].width);
        CHECK(test.channels == cases[i].channels && test.width == cases[i].width);
        /* Rows went whole to one part: the first number of row n is 6 n. */
        CHECK(train.values[0] == 6.0f * (float)train.labels[0]);
        CHECK(test.values[6] == 6.0f * (float)test.labels[1]);
        witan_dataset_fini(&train, heap);
        witan_dataset_fini(&test, heap);
    }
}

static void
keys_may_stand_in_any_order(void)
{
    static const char *const good[] = {
        "{\"shape\":(4,6),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "{ 'fortran_order' : False , 'descr' : '<f4' , 'shape' : ( 4 , 6 ) , } \n"};
    witan_data_source source = {.path = write_set("<f4", "<i4", 1)};
    for (size_t i = 0; i < 2; i++) {
        uint8_t length[2] = {(uint8_t)strlen(good[i]), 0};
        image_clear(&scratch);
        image_add(&scratch, "\x93NUMPY\x01\x00", 8);
        image_add(&scratch, length, 2);
        image_text(&scratch, good[i]);
        add_elements(&scratch, "<f4", 24, 0);
        put(source.path, "x_train.npy", &scratch);
        CHECK_STATUS(try_load(&source), WITAN_OK);
    }
}

/* x_train.npy with this dictionary is refused with this message. */
static void
refuse_header(const char *directory, const char *text, const char *part)
{
    witan_data_source source = {.path = directory};
    uint8_t length[2] = {(uint8_t)strlen(text), 0};
    image_clear(&scratch);
    image_add(&scratch, "\x93NUMPY\x01\x00", 8);
    image_add(&scratch, length, 2);
    image_text(&scratch, text);
    add_elements(&scratch, "<f4", 24, 0);
    put(directory, "x_train.npy", &scratch);
    if (!CHECK_STATUS(try_load(&source), WITAN_E_DATA)) {
        fprintf(stderr, "  %s\n", text);
    }
    CHECK_CONTAINS(last.message, part);
    CHECK_CONTAINS(last.message, "x_train.npy");
}

#define ORDER "'fortran_order': False"
static void
malformed_headers_are_bad_data(void)
{
    static const char *const malformed[] = {
        "",
        "{",
        "{}",
        "{'descr': '<f4'}",
        "{'descr': '<f4', " ORDER "}",
        "{" ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4', 'descr': '<f4', " ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4', " ORDER ", " ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (4, 6), 'shape': (4, 6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (4, 6), 'more': 1}",
        "{'descr': '<f4' " ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (4, 6)} x",
        "{'descr': '<f4', " ORDER ", 'shape': (4 6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (4, -6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (, 6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (24)}",
        "{'descr': '<f4', " ORDER ", 'shape': (4, 6}",
        "{'descr': '<f4', " ORDER ", 'shape': 24}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (4, 6)}",
        "{'descr': ['<f4'], " ORDER ", 'shape': (4, 6)}",
        "{'descr': '', " ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4\", " ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4, " ORDER ", 'shape': (4, 6)}",
        "{'descr': '<f4', " ORDER ", 'shape': (99999999999999999999, 6)}"};
    const char *directory = write_set("<f4", "<i4", 1);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        refuse_header(directory, malformed[i], "NPY header");
    }
    refuse_header(directory, "{'descr': '>f4', " ORDER ", 'shape': (4, 6)}", "'>f4'");
    refuse_header(directory, "{'descr': '|O', " ORDER ", 'shape': (4, 6)}", "'|O'");
    refuse_header(directory, "{'descr': '<f2', " ORDER ", 'shape': (4, 6)}", "astype");
    refuse_header(directory, "{'descr': '<f4', 'fortran_order': True, 'shape': (4, 6)}",
                  "ascontiguousarray");
    refuse_header(directory, "{'descr': '<f4', " ORDER ", 'shape': ()}", "rank 0");
    refuse_header(directory, "{'descr': '<f4', " ORDER ", 'shape': (24,)}", "rank 1");
    refuse_header(directory, "{'descr': '<f4', " ORDER ", 'shape': (4,1,1,1,6)}",
                  "rank 5");
    refuse_header(directory, "{'descr': '<f4', " ORDER ", 'shape': (0, 6)}", "empty");
    refuse_header(directory, "{'descr': '<f4', " ORDER ", 'shape': (4, 5)}",
                  "more bytes than its header");
    refuse_header(directory, "{'descr': '<f4', " ORDER ", 'shape': (4, 7)}",
                  "more than the file can hold");
    refuse_header(directory,
                  "{'descr': '<f4', " ORDER ", 'shape': (4294967296, 4294967296)}",
                  "at most");
    refuse_header(directory,
                  "{'descr': '<f4', " ORDER
                  ", 'shape': (2, 4294967296, 4294967296, 4294967296)}",
                  "at most");
}

static void
malformed_starts_are_bad_data(void)
{
    witan_data_source source = {.path = write_set("<f4", "<i4", 2)};
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{0, 'N'}, {5, 'X'}, {6, 0}, {6, 4}, {7, 1}, {10, 2}, {11, 0xff}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        scratch = x_train;
        scratch.bytes[changes[i].at] = changes[i].value;
        put(source.path, "x_train.npy", &scratch);
        CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    }
}

static void
truncation_anywhere_is_bad_data(void)
{
    static const char *const names[] = {"x_train.npy", "y_train.npy", "x_test.npy",
                                        "y_test.npy"};
    const image *contents[] = {&x_train, &y_train, &x_test, &y_test};
    witan_data_source source = {.path = write_set("<f8", "<i8", 1)};
    for (size_t f = 0; f < 4; f++) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", source.path, names[f]);
        check_truncations(&source, path, 1, names[f]);
        scratch = *contents[f];
        image_add(&scratch, "", 1);
        put(source.path, names[f], &scratch);
        CHECK_STATUS(try_load(&source), WITAN_E_DATA);
        CHECK_CONTAINS(last.message, "more bytes");
        put(source.path, names[f], contents[f]);
    }
}

static void
values_must_be_finite_floats(void)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY,
                                 1e39};
    for (size_t i = 0; i < 4; i++) {
        witan_data_source source = {.path = write_set("<f8", "<i8", 1)};
        memcpy(x_train.bytes + x_train.size - 16, &bad[i], 8);
        put(source.path, "x_train.npy", &x_train);
        CHECK_STATUS(try_load(&source), WITAN_E_DATA);
        CHECK_CONTAINS(last.message, "row 3, number 4");
    }
    witan_data_source source = {.path = write_set("<f4", "<i8", 1)};
    memcpy(x_test.bytes + x_test.size - 4, &(float){NAN}, 4);
    put(source.path, "x_test.npy", &x_test);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "row 1, number 5");
}

static void
labels_must_be_small_integers(void)
{
    static const int64_t bad[] = {-1, 65536, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        witan_data_source source = {.path = write_set("<f4", "<i8", 1)};
        memcpy(y_train.bytes + y_train.size - 8, &bad[i], 8);
        put(source.path, "y_train.npy", &y_train);
        CHECK_STATUS(try_load(&source), WITAN_E_DATA);
        CHECK_CONTAINS(last.message, "row 3");
    }
    witan_data_source source = {.path = write_set("<f4", "<f4", 1)};
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "labels must be integers");
    source.path = write_set("<f4", "<i4", 1);
    image_npy(&y_train, 1, "<i4", "False", "(2, 2)");
    add_elements(&y_train, "<i4", 4, 0);
    put(source.path, "y_train.npy", &y_train);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "shape [N]");
    put(source.path, "y_train.npy", &y_test);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "2 labels for 4 rows");
}

static void
parts_must_agree(void)
{
    witan_data_source source = {.path = write_set("<f4", "<i4", 1)};
    image_npy(&x_test, 1, "|u1", "False", "(2, 6)");
    add_elements(&x_test, "|u1", 12, 0);
    put(source.path, "x_test.npy", &x_test);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "same type");
    image_npy(&x_test, 1, "<f4", "False", "(2, 5)");
    add_elements(&x_test, "<f4", 10, 0);
    put(source.path, "x_test.npy", &x_test);
    CHECK_STATUS(try_load(&source), WITAN_E_DATA);
    CHECK_CONTAINS(last.message, "1x1x6");
    CHECK_CONTAINS(last.message, source.path);
}

static void
standardises_by_training_rows(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_data_source source = {.path = write_set("<f8", "<i8", 1),
                                .standardise = true};
    witan_dataset train, test;
    float x[24];
    CHECK_STATUS(witan_data_load(&train, &test, &source, heap, NULL), WITAN_OK);
    witan_dataset_gather(&train, (const uint32_t[]){0, 1, 2, 3}, 4, x, NULL);
    /* Column j is j, 6 + j, 12 + j, 18 + j: mean 9 + j, variance 45. */
    for (size_t j = 0; j < 6; j++) {
        CHECK_NEAR((double)x[j], -9.0 / sqrt(45.0), 1e-6, 0);
        CHECK_NEAR((double)x[18 + j], 9.0 / sqrt(45.0), 1e-6, 0);
    }
    witan_dataset_gather(&test, (const uint32_t[]){0}, 1, x, NULL);
    CHECK_NEAR((double)x[0], 21.0 / sqrt(45.0), 1e-6, 0);
    witan_dataset_fini(&train, heap);
    witan_dataset_fini(&test, heap);
    check_failing_allocations(&source);
}

int
main(void)
{
    RUN(reads_every_type);
    RUN(reads_many_rows);
    RUN(ranks_become_shapes);
    RUN(keys_may_stand_in_any_order);
    RUN(malformed_headers_are_bad_data);
    RUN(malformed_starts_are_bad_data);
    RUN(truncation_anywhere_is_bad_data);
    RUN(values_must_be_finite_floats);
    RUN(labels_must_be_small_integers);
    RUN(parts_must_agree);
    RUN(standardises_by_training_rows);
    return witan_test_finish();
}
