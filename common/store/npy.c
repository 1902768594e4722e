/* npy.c - matrices for other tools: NPY version 1.0, float64, C order.
 * Source: numpy.lib.format's description: magic, version, header length (little
 * endian), a Python dict padded with spaces to a multiple of 64 bytes, the values. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/file.h"

enum {
    DIMENSIONS_MAX = 8,
    PREFIX = 10, /* magic, version, header length */
    ALIGNMENT = 64,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian");

static void
write_header(witan_text *header, const size_t *shape, size_t dimensions)
{
    witan_text_format(header, "{'descr': '<f8', 'fortran_order': False, 'shape': (");
    for (size_t i = 0; i < dimensions; i++) {
        witan_text_format(header, "%s%zu", i == 0 ? "" : ", ", shape[i]);
    }
    witan_text_format(header, "%s), }", dimensions == 1 ? "," : "");
    size_t end = PREFIX + header->length + 1;
    size_t padding = (ALIGNMENT - end % ALIGNMENT) % ALIGNMENT;
    witan_text_format(header, "%*s\n", (int)padding, "");
}

witan_status
witan_file_write_npy(const char *path, const double *values, const size_t *shape,
                     size_t dimensions, const witan_allocator *allocator,
                     witan_diag *diag)
{
    witan_file_writer *writer = NULL;
    witan_text header;
    size_t bytes = sizeof *values;

    for (size_t i = 0; i < dimensions; i++) {
        if (dimensions > DIMENSIONS_MAX ||
            __builtin_mul_overflow(bytes, shape[i], &bytes)) {
            return witan_diag_fail(diag, WITAN_E_INVALID, "%s: shape out of range",
                                   path);
        }
    }
    witan_text_init(&header, allocator, 4096);
    write_header(&header, shape, dimensions);
    witan_status status = header.status;
    if (status == WITAN_OK) {
        status = witan_file_create(&writer, path, allocator, diag);
    } else {
        (void)witan_diag_fail(diag, status, "%s: out of memory", path);
    }
    if (status == WITAN_OK) {
        unsigned char prefix[PREFIX + 1] = "\x93NUMPY\x01";
        prefix[8] = (unsigned char)(header.length & 0xff);
        prefix[9] = (unsigned char)(header.length >> 8);
        (void)witan_file_write(writer, prefix, PREFIX); /* told by commit */
        (void)witan_file_write(writer, header.data, header.length);
        (void)witan_file_write(writer, values, bytes);
        status = witan_file_commit(&writer, diag);
    }
    witan_text_fini(&header);
    return status;
}
