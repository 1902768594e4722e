/* safetensors: golden files both ways, strict reading, failures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/safetensors.h"
#include "support/witan_test.h"

static const uint64_t steps[] = {1, UINT64_MAX};
static const float weight[] = {0.5f, -1.25f, 3.0f, 1e-38f, -0.0f, 1e30f};
static const float scalar[] = {7.0f};
static const uint8_t bytes[] = {0, 127, 255};
/* Not in the order of the file: larger elements are written first. */
static const witan_tensor_entry entries[] = {
    {"net.0/weight", WITAN_TENSOR_F32, 2, {2, 3}, weight},
    {"bytes-1", WITAN_TENSOR_U8, 1, {3}, bytes},
    {"steps", WITAN_TENSOR_U64, 1, {2}, steps},
    {"none", WITAN_TENSOR_U8, 1, {0}, NULL},
    {"scalar", WITAN_TENSOR_F32, 0, {0}, scalar},
};
enum {
    ENTRIES = sizeof entries / sizeof entries[0]
};
static const char *const metadata[][2] = {{"format", "witan-test-1"},
                                          {"note", "caf\xc3\xa9 \"quoted\" \\ end"}};

static const witan_allocator *
heap(void)
{
    return witan_allocator_default();
}

static const char *
golden_path(const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/tests/golden/vectors/store/%s",
                   WITAN_TEST_SOURCE_DIR, name);
    return path;
}

static void
check_content(const char *path)
{
    witan_safetensors *file;
    witan_diag diag = {0};
    uint64_t u64[2];
    float f32[6];
    uint8_t u8[3];
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
    if (file == NULL) {
        return;
    }
    const witan_tensor_entry *entry = witan_safetensors_find(file, "net.0/weight");
    CHECK(entry != NULL && entry->type == WITAN_TENSOR_F32 && entry->dimensions == 2 &&
          entry->shape[0] == 2 && entry->shape[1] == 3 && entry->data == NULL);
    CHECK_STRING(entry->name, "net.0/weight");
    entry = witan_safetensors_find(file, "scalar");
    CHECK(entry != NULL && entry->dimensions == 0);
    CHECK(witan_safetensors_find(file, "net.0") == NULL);
    CHECK(witan_safetensors_find(file, "__metadata__") == NULL);
    CHECK_STATUS(
        witan_safetensors_read(file, "net.0/weight", WITAN_TENSOR_F32, 6, f32, NULL),
        WITAN_OK);
    CHECK(memcmp(f32, weight, sizeof weight) == 0);
    CHECK_STATUS(witan_safetensors_read(file, "scalar", WITAN_TENSOR_F32, 1, f32, NULL),
                 WITAN_OK);
    CHECK(f32[0] == 7.0f);
    CHECK_STATUS(witan_safetensors_read(file, "steps", WITAN_TENSOR_U64, 2, u64, NULL),
                 WITAN_OK);
    CHECK(memcmp(u64, steps, sizeof steps) == 0);
    CHECK_STATUS(witan_safetensors_read(file, "bytes-1", WITAN_TENSOR_U8, 3, u8, NULL),
                 WITAN_OK);
    CHECK(memcmp(u8, bytes, sizeof bytes) == 0);
    CHECK_STATUS(witan_safetensors_read(file, "none", WITAN_TENSOR_U8, 0, NULL, NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_safetensors_read(file, "steps", WITAN_TENSOR_U64, 3, u64, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "tensor \"steps\" is 2 x U64, expected 3 x U64");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_safetensors_read(file, "steps", WITAN_TENSOR_F32, 2, u64, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "is 2 x U64, expected 2 x F32");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_safetensors_read(file, "nope", WITAN_TENSOR_F32, 2, u64, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "no tensor \"nope\"");
    witan_safetensors_close(&file);
    witan_safetensors_close(&file);
    CHECK(file == NULL);
}

static void
other_tools_files_are_read(void)
{
    witan_safetensors *file;
    check_content(golden_path("own.safetensors"));
    check_content(golden_path("other.safetensors"));
    CHECK_STATUS(
        witan_safetensors_open(&file, golden_path("other.safetensors"), heap(), NULL),
        WITAN_OK);
    CHECK_STRING(witan_safetensors_metadata(file, "format"), "x/y");
    CHECK_STRING(witan_safetensors_metadata(file, "note"),
                 "caf\xc3\xa9 \xf0\x9f\xa6\x89\t\"quoted\" \\ end");
    CHECK(witan_safetensors_metadata(file, "absent") == NULL);
    witan_safetensors_close(&file);
}

static void
written_file_has_the_golden_bytes(void)
{
    const char *path = witan_test_path("own.safetensors");
    size_t size = 0, expected_size = 0;
    CHECK_STATUS(
        witan_safetensors_save(path, entries, ENTRIES, metadata, 2, heap(), NULL),
        WITAN_OK);
    check_content(path);
    char *written = witan_test_read(path, &size);
    char *expected = witan_test_read(golden_path("own.safetensors"), &expected_size);
    CHECK(written != NULL && expected != NULL && size == expected_size &&
          memcmp(written, expected, size) == 0);
    CHECK(written != NULL && (uint8_t)written[0] % 8 == 0); /* aligned data */
    free(written);
    free(expected);
}

static void
empty_file_is_a_file(void)
{
    const char *path = witan_test_path("empty.safetensors");
    witan_safetensors *file;
    CHECK_STATUS(witan_safetensors_save(path, NULL, 0, NULL, 0, heap(), NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), NULL), WITAN_OK);
    CHECK(witan_safetensors_find(file, "a") == NULL);
    CHECK(witan_safetensors_metadata(file, "a") == NULL);
    witan_safetensors_close(&file);
}

static void
many_tensors_are_found(void)
{
    enum {
        COUNT = 3000
    };
    static char names[COUNT][16];
    static float values[COUNT];
    witan_tensor_entry *many = calloc(COUNT, sizeof *many);
    const char *path = witan_test_path("many.safetensors");
    witan_safetensors *file;
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%zu", (i * 1237) % COUNT);
        values[i] = (float)i;
        many[i] = (witan_tensor_entry){names[i], WITAN_TENSOR_F32, 1, {1}, &values[i]};
    }
    CHECK_STATUS(witan_safetensors_save(path, many, COUNT, NULL, 0, heap(), NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), NULL), WITAN_OK);
    size_t right = 0;
    for (size_t i = 0; i < COUNT; i++) {
        float value = -1.0f;
        witan_status status =
            witan_safetensors_read(file, names[i], WITAN_TENSOR_F32, 1, &value, NULL);
        right += status == WITAN_OK && value == values[i];
    }
    CHECK(right == COUNT);
    witan_safetensors_close(&file);
    free(many);
}

static witan_status
save_one(witan_tensor_entry entry)
{
    return witan_safetensors_save(witan_test_path("bad.safetensors"), &entry, 1, NULL,
                                  0, heap(), NULL);
}

static void
doubles_stand_before_floats(void)
{
    const char *path = witan_test_path("doubles.safetensors");
    const double doubles[] = {1.0 / 3.0, -0.0, 1e-308};
    const witan_tensor_entry two[] = {{"f", WITAN_TENSOR_F32, 1, {1}, scalar},
                                      {"d", WITAN_TENSOR_F64, 1, {3}, doubles}};
    witan_safetensors *file;
    double read[3];
    size_t size;
    CHECK_STATUS(witan_safetensors_save(path, two, 2, NULL, 0, heap(), NULL), WITAN_OK);
    char *content = witan_test_read(path, &size);
    CHECK(content != NULL && size > sizeof doubles + sizeof scalar &&
          memcmp(content + size - sizeof scalar - sizeof doubles, doubles,
                 sizeof doubles) == 0);
    free(content);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), NULL), WITAN_OK);
    CHECK_STATUS(witan_safetensors_read(file, "d", WITAN_TENSOR_F64, 3, read, NULL),
                 WITAN_OK);
    CHECK(memcmp(read, doubles, sizeof read) == 0);
    CHECK_STATUS(witan_safetensors_read(file, "d", WITAN_TENSOR_U64, 3, read, NULL),
                 WITAN_E_DATA);
    witan_safetensors_close(&file);
}

static void
bad_entries_are_not_written(void)
{
    const char *path = witan_test_path("bad.safetensors");
    witan_tensor_entry twice[] = {entries[0], entries[0]};
    static const char *const pairs[][2] = {{"a", "1"}, {"b", "2"}, {"a", "3"}};
    CHECK_STATUS(save_one((witan_tensor_entry){"", WITAN_TENSOR_U8, 1, {3}, bytes}),
                 WITAN_E_INVALID);
    CHECK_STATUS(save_one((witan_tensor_entry){"a b", WITAN_TENSOR_U8, 1, {3}, bytes}),
                 WITAN_E_INVALID);
    CHECK_STATUS(save_one((witan_tensor_entry){"a\"", WITAN_TENSOR_U8, 1, {3}, bytes}),
                 WITAN_E_INVALID);
    CHECK_STATUS(save_one((witan_tensor_entry){"a", WITAN_TENSOR_U8, 5, {1}, bytes}),
                 WITAN_E_INVALID);
    CHECK_STATUS(save_one((witan_tensor_entry){"a", WITAN_TENSOR_U8, 1, {3}, NULL}),
                 WITAN_E_INVALID);
    CHECK_STATUS(
        save_one((witan_tensor_entry){"a", WITAN_TENSOR_F32, 2, {SIZE_MAX, 2}, bytes}),
        WITAN_E_INVALID);
    CHECK_STATUS(
        save_one((witan_tensor_entry){"a", (witan_tensor_type)4, 1, {3}, bytes}),
        WITAN_E_INVALID);
    CHECK_STATUS(witan_safetensors_save(path, twice, 2, NULL, 0, heap(), NULL),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_safetensors_save(path, NULL, 0, pairs, 3, heap(), NULL),
                 WITAN_E_INVALID);
    CHECK(!witan_path_exists(path));
}

/* Writes length, header and `data_size` zero bytes; message of opening, "" if taken. */
static const char *
open_message(const char *header, size_t data_size)
{
    static witan_diag diag;
    static char file_bytes[4096];
    const char *path = witan_test_path("crafted.safetensors");
    size_t length = strlen(header);
    witan_safetensors *file;
    memset(file_bytes, 0, sizeof file_bytes);
    file_bytes[0] = (char)(length & 0xff);
    file_bytes[1] = (char)(length >> 8);
    memcpy(file_bytes + 8, header, length);
    witan_test_write(path, file_bytes, 8 + length + data_size);
    memset(&diag, 0, sizeof diag);
    witan_status status = witan_safetensors_open(&file, path, heap(), &diag);
    CHECK_STATUS(status, diag.message[0] == '\0' ? WITAN_OK : WITAN_E_DATA);
    CHECK((file != NULL) == (status == WITAN_OK));
    witan_safetensors_close(&file);
    witan_status again = witan_safetensors_check_header(
        (const uint8_t *)file_bytes, 8 + length, 8 + length + data_size, heap(), NULL);
    CHECK_STATUS(again, status);
    const char *sentence = strstr(diag.message, ".safetensors: ");
    return sentence == NULL ? diag.message : sentence + strlen(".safetensors: ");
}
#define OPENS(header, data_size) CHECK_STRING(open_message(header, data_size), "")
#define REFUSED(header, data_size, message)                                            \
    CHECK_CONTAINS(open_message(header, data_size), message)
#define TENSOR(name, offsets)                                                          \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" offsets "}"

static void
lying_headers_are_refused(void)
{
    OPENS("{}", 0);
    OPENS("{ } \n", 0);
    OPENS("{" TENSOR("a", "[0,2]") "}", 2);
    OPENS("{" TENSOR("b", "[2,4]") "," TENSOR("a", "[0,2]") "}    ", 4);
    OPENS("{\"__metadata__\":{}," TENSOR("a", "[0,2]") "}", 2);
    OPENS("{\"e\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[2,2]}," TENSOR(
              "a",
              "[0,2]") ",\"f\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
                       "}",
          2);
    REFUSED("", 0, "header byte 0: expected '{'");
    REFUSED(" {}", 0, "header byte 0: expected '{'");
    REFUSED("{}x", 0, "text after the end of the header");
    REFUSED("{} {}", 0, "text after the end of the header");
    REFUSED("{", 0, "header byte 1: expected '\"'");
    REFUSED("{" TENSOR("a", "[0,2]"), 2, "expected '}'");
    REFUSED("{" TENSOR("a", "[0,2]") ",}", 2, "expected '\"'");
    REFUSED("{" TENSOR("a", "[0,2]") "}", 3, "need 2 bytes of data, the file holds 3");
    REFUSED("{" TENSOR("a", "[0,2]") "}", 1, "need 2 bytes of data, the file holds 1");
    REFUSED("{" TENSOR("a", "[1,3]") "}", 3,
            "tensor \"a\" begins at byte 1 of the data, "
            "not at 0 (a hole or an overlap)");
    REFUSED("{" TENSOR("a", "[0,2]") "," TENSOR("b", "[3,5]") "}", 5,
            "tensor \"b\" begins at byte 3 of the data, not at 2");
    REFUSED("{" TENSOR("a", "[0,2]") "," TENSOR("b", "[1,3]") "}", 3,
            "tensor \"b\" begins at byte 1 of the data, not at 2");
    REFUSED("{" TENSOR("a", "[0,2]") "," TENSOR("b", "[0,2]") "}", 2, "an overlap");
    REFUSED("{" TENSOR("a", "[0,2]") "," TENSOR("a", "[2,4]") "}", 4,
            "tensor \"a\" stands twice");
    REFUSED("{" TENSOR("a", "[0,2]") "," TENSOR("\\u0061", "[2,4]") "}", 4,
            "tensor \"a\" stands twice");
    REFUSED("{" TENSOR("a", "[2,0]") "}", 2, "do not fit");
    REFUSED("{" TENSOR("a", "[0,3]") "}", 3, "do not fit");
    REFUSED("{" TENSOR("a", "[0]") "}", 2, "needs dtype, shape and two data_offsets");
    REFUSED("{" TENSOR("a", "[0,2,4]") "}", 2, "list too long");
    REFUSED("{" TENSOR("a", "[0,02]") "}", 2, "expected an unsigned integer");
    REFUSED("{" TENSOR("a", "[0,-2]") "}", 2, "expected an unsigned integer");
    REFUSED("{" TENSOR("a", "[0,2.0]") "}", 2, "expected ']'");
    REFUSED("{" TENSOR("a", "[0,18446744073709551616]") "}", 2, "beyond 64 bits");
    REFUSED("{" TENSOR("a", "[18446744073709551614,18446744073709551615]") "}", 2,
            "do not fit");
    REFUSED("{" TENSOR("", "[0,2]") "}", 2, "tensor without a name");
    REFUSED("{" TENSOR("a\\n", "[0,2]") "}", 2, "control character in a tensor's name");
    REFUSED("{" TENSOR("a\n", "[0,2]") "}", 2, "control character in a text");
    REFUSED("{" TENSOR("a\\u0000b", "[0,2]") "}", 2, "bad \\u escape");
    REFUSED("{" TENSOR("a\\ud800", "[0,2]") "}", 2, "bad \\u escape");
    REFUSED("{" TENSOR("a\\udc00", "[0,2]") "}", 2, "bad \\u escape");
    REFUSED("{" TENSOR("a\\ud83e\\u0041", "[0,2]") "}", 2, "bad \\u escape");
    REFUSED("{" TENSOR("a\\u12g4", "[0,2]") "}", 2, "bad \\u escape");
    REFUSED("{" TENSOR("a\\x", "[0,2]") "}", 2, "bad escape");
    REFUSED("{\"a\\", 0, "bad escape");
    REFUSED("{\"a\\u12", 0, "bad \\u escape");
    REFUSED("{\"a", 0, "text without an end");
}

static void
odd_members_are_refused(void)
{
    REFUSED("{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2,
            "dtype is not F32, F64, U64 or U8");
    REFUSED("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":"
            "[0,2]}}",
            2, "given twice");
    REFUSED("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"x\":1}}",
            2, "unknown member of a tensor");
    REFUSED("{\"a\":{\"dtype\":\"U8\",\"shape\":[2]}}", 2, "needs dtype, shape");
    REFUSED("{\"a\":{\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "needs dtype, shape");
    REFUSED("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1,
            "needs dtype, shape");
    REFUSED("{\"a\":{}}", 0, "expected '\"'");
    REFUSED("{\"a\":[]}", 0, "expected '{'");
    REFUSED("{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,2]}}", 2,
            "expected '\"'");
    REFUSED("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]}}",
            1, "list too long");
    REFUSED("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
            "\"data_offsets\":[0,0]}}",
            0, "shape beyond 64 bits");
    REFUSED("{\"a\":{\"dtype\":\"U64\",\"shape\":[2305843009213693952],"
            "\"data_offsets\":[0,0]}}",
            0, "shape beyond 64 bits");
    REFUSED("{\"__metadata__\":{\"a\":1}}", 0, "expected '\"'");
    REFUSED("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0,
            "metadata \"a\" stands twice");
    REFUSED("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ given twice");
    REFUSED("{\"__metadata__\":null}", 0, "expected '{'");
}

static void
broken_files_are_refused(void)
{
    static const uint8_t huge[16] = {0, 0, 0, 0, 1}; /* a header of 4 GiB */
    static const uint8_t longer[16] = {9};
    const char *path = witan_test_path("broken.safetensors");
    witan_safetensors *file;
    witan_diag diag = {0};
    CHECK_STATUS(witan_safetensors_open(&file, witan_test_path("none"), heap(), &diag),
                 WITAN_E_IO);
    CHECK_CONTAINS(diag.message, "none: No such file or directory");
    memset(&diag, 0, sizeof diag);
    witan_test_write(path, "1234567", 7);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message,
                   "broken.safetensors: not a safetensors file: too short");
    memset(&diag, 0, sizeof diag);
    witan_test_write(path, huge, sizeof huge);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "a header of 4294967296 bytes, at most 104857600");
    memset(&diag, 0, sizeof diag);
    witan_test_write(path, longer, sizeof longer);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), &diag), WITAN_E_DATA);
    CHECK_CONTAINS(diag.message,
                   "the file is cut: a header of 9 bytes in a file of 16");
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_safetensors_open(&file, witan_test_directory(), heap(), &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "not a regular file");
    CHECK(file == NULL);

    CHECK_STATUS(
        witan_safetensors_save(path, entries, ENTRIES, metadata, 2, heap(), NULL),
        WITAN_OK);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), NULL), WITAN_OK);
    CHECK(truncate(path, 400) == 0);
    uint8_t u8[3];
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_safetensors_read(file, "bytes-1", WITAN_TENSOR_U8, 3, u8, &diag),
                 WITAN_E_DATA);
    CHECK_CONTAINS(diag.message, "the file was cut while in use");
    witan_safetensors_close(&file);
}

static void
metadata_is_limited(void)
{
    enum {
        COUNT = 4097
    };
    static char keys[COUNT][8];
    const char *(*pairs)[2] = calloc(COUNT, sizeof *pairs);
    const char *path = witan_test_path("metadata.safetensors");
    witan_safetensors *file;
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%zu", i);
        pairs[i][0] = pairs[i][1] = keys[i];
    }
    const char *const(*view)[2] = (const char *const(*)[2])pairs;
    CHECK_STATUS(witan_safetensors_save(path, NULL, 0, view, COUNT, heap(), NULL),
                 WITAN_E_LIMIT);
    CHECK_STATUS(witan_safetensors_save(path, NULL, 0, view, COUNT - 1, heap(), NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_safetensors_open(&file, path, heap(), NULL), WITAN_OK);
    CHECK_STRING(witan_safetensors_metadata(file, "k4095"), "k4095");
    witan_safetensors_close(&file);
    free(pairs);
}

static void
every_allocation_may_fail(void)
{
    const char *path = witan_test_path("fail.safetensors");
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator a;
        witan_safetensors *file = NULL;
        witan_diag diag = {0};
        witan_failing_allocator_init(&a, fail_at);
        witan_status status = witan_safetensors_save(path, entries, ENTRIES, metadata,
                                                     2, &a.allocator, &diag);
        if (status == WITAN_OK) {
            status = witan_safetensors_open(&file, path, &a.allocator, &diag);
        }
        CHECK((status == WITAN_OK) == (diag.message[0] == '\0'));
        CHECK((status == WITAN_OK) == (file != NULL));
        witan_safetensors_close(&file);
        CHECK(a.live == 0);
        if (status == WITAN_OK) {
            CHECK(fail_at > 8);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
    }
}

int
main(void)
{
    RUN(other_tools_files_are_read);
    RUN(written_file_has_the_golden_bytes);
    RUN(empty_file_is_a_file);
    RUN(many_tensors_are_found);
    RUN(doubles_stand_before_floats);
    RUN(bad_entries_are_not_written);
    RUN(lying_headers_are_refused);
    RUN(odd_members_are_refused);
    RUN(broken_files_are_refused);
    RUN(metadata_is_limited);
    RUN(every_allocation_may_fail);
    return witan_test_finish();
}
