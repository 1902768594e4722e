/* vectors.h - named bytes of tests/golden/vectors/secure/<file>: lines "name hex". */
#ifndef WITAN_TEST_SECURE_VECTORS_H
#define WITAN_TEST_SECURE_VECTORS_H

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/witan_test.h"

enum {
    VECTOR_MAX = 1024
};

typedef struct vector {
    uint8_t bytes[VECTOR_MAX + 1]; /* a NUL follows */
    size_t size;
} vector;

/* Aborts the test when there is no such name: a vector that is not read tests nothing.
 */
static inline vector
vector_get(const char *file, const char *name)
{
    char path[512];
    vector out = {.size = 0};
    size_t length = strlen(name);

    (void)snprintf(path, sizeof path, "%s/tests/golden/vectors/secure/%s",
                   WITAN_TEST_SOURCE_DIR, file);
    char *text = witan_test_read(path, NULL);
    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            const char *hex = line + length + 1;
            if (sodium_hex2bin(out.bytes, VECTOR_MAX, hex, (size_t)(end - hex), NULL,
                               &out.size, NULL) == 0) {
                free(text);
                return out;
            }
        }
        line = *end == '\0' ? end : end + 1;
    }
    (void)fprintf(stderr, "%s has no vector %s\n", path, name);
    abort();
}

static inline vector
vector_at(const char *file, const char *name, int index)
{
    char full[64];

    (void)snprintf(full, sizeof full, "%s_%d", name, index);
    return vector_get(file, full);
}

static inline bool
vector_equals(const char *file, const char *name, const void *bytes, size_t size)
{
    vector expected = vector_get(file, name);

    return expected.size == size && memcmp(expected.bytes, bytes, size) == 0;
}

#endif
