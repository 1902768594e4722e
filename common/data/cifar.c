/* cifar.c - the binary version of CIFAR-10: records of one label byte and the red,
 * green and blue plane of a 32 x 32 image; planes become channels-last rows.
 * Why here: see readers.h.
 * Source: the format description on the CIFAR page (Krizhevsky 2009). */
#include <string.h>

#include "data/readers.h"

enum {
    CLASSES = 10,
    PIXELS = 32 * 32,
    NAME_MAX_SIZE = 64
};

witan_status
witan_cifar_read(witan_dataset *set, size_t first, size_t records, witan_stream *stream,
                 witan_diag *diag)
{
    uint8_t record[WITAN_CIFAR_RECORD];

    for (size_t r = 0; r < records; r++) {
        uint8_t *row = set->bytes + (first + r) * 3 * PIXELS;
        WITAN_TRY(witan_stream_read(stream, record, sizeof record, diag));
        if (record[0] >= CLASSES) {
            return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                     "record %zu has label %u, CIFAR-10 has 0 to 9; is "
                                     "it the binary version of CIFAR-10?",
                                     r, record[0]);
        }
        set->labels[first + r] = record[0];
        for (size_t p = 0; p < PIXELS; p++) {
            row[3 * p] = record[1 + p];
            row[3 * p + 1] = record[1 + PIXELS + p];
            row[3 * p + 2] = record[1 + 2 * PIXELS + p];
        }
    }
    return witan_stream_end(stream, diag);
}

witan_status
witan_cifar_read_names(witan_dataset *set, witan_stream *stream, witan_diag *diag)
{
    char text[CLASSES * NAME_MAX_SIZE];
    char *at = text;
    size_t size = (size_t)stream->bound;

    if (size >= sizeof text) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "too long for ten class names; remove it or fetch it "
                                 "again");
    }
    WITAN_TRY(witan_stream_read(stream, text, size, diag));
    text[size] = '\0';
    set->class_names =
        witan_zalloc(stream->allocator, CLASSES, sizeof *set->class_names);
    set->classes = CLASSES;
    if (set->class_names == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_MEMORY, "out of memory");
    }
    for (size_t c = 0; c < CLASSES; c++) {
        size_t length = strcspn(at, "\r\n");
        if (length == 0) {
            return witan_stream_fail(
                stream, diag, WITAN_E_DATA,
                "line %zu has no class name; ten are needed: remove "
                "the file or fetch it again",
                c + 1);
        }
        char *next = at + length + strspn(at + length, "\r\n");
        at[length] = '\0';
        set->class_names[c] = witan_strdup(stream->allocator, at);
        if (set->class_names[c] == NULL) {
            return witan_stream_fail(stream, diag, WITAN_E_MEMORY, "out of memory");
        }
        at = next;
    }
    return WITAN_OK;
}
