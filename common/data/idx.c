/* idx.c - IDX, the format of MNIST and its relatives: 0 0 type rank, extents as
 * big-endian 32-bit numbers, then the elements.
 * Why here: see readers.h.
 * Source: the format description on the MNIST page (LeCun, Cortes, Burges). */
#include "data/readers.h"

enum {
    TYPE_UNSIGNED_BYTE = 0x08,
    RANK_MAX = 3
};

static witan_status
read_header(witan_stream *stream, size_t *rank, size_t extents[RANK_MAX],
            witan_diag *diag)
{
    uint8_t magic[4], raw[4];

    WITAN_TRY(witan_stream_read(stream, magic, sizeof magic, diag));
    if (magic[0] != 0 || magic[1] != 0) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "not an IDX file: it starts with %02x %02x %02x %02x",
                                 magic[0], magic[1], magic[2], magic[3]);
    }
    if (magic[2] != TYPE_UNSIGNED_BYTE) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "IDX element type 0x%02x is not read; write unsigned "
                                 "bytes (0x08), or use NPY",
                                 magic[2]);
    }
    *rank = magic[3];
    if (*rank < 1 || *rank > RANK_MAX) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "IDX data of rank %zu is not read; 1 is labels, 2 a "
                                 "table, 3 images; use NPY for other shapes",
                                 *rank);
    }
    for (size_t d = 0; d < *rank; d++) {
        WITAN_TRY(witan_stream_read(stream, raw, sizeof raw, diag));
        extents[d] = (size_t)raw[0] << 24 | (size_t)raw[1] << 16 | (size_t)raw[2] << 8 |
                     (size_t)raw[3];
    }
    return WITAN_OK;
}

witan_status
witan_idx_read_rows(witan_dataset *out, witan_stream *stream, witan_diag *diag)
{
    size_t rank, extents[RANK_MAX];

    WITAN_TRY(read_header(stream, &rank, extents, diag));
    if (rank == 1) {
        return witan_stream_fail(
            stream, diag, WITAN_E_DATA,
            "holds labels (rank 1) where rows are expected; are the "
            "image and the label file swapped?");
    }
    size_t shape[4] = {extents[0], 1, 1, extents[1]};
    if (rank == 3) {
        shape[1] = extents[1];
        shape[2] = extents[2];
        shape[3] = 1;
    }
    WITAN_TRY(witan_rows_allocate(out, shape, true, 1, stream, diag));
    WITAN_TRY(witan_stream_read(stream, out->bytes,
                                out->samples * witan_dataset_features(out), diag));
    return witan_stream_end(stream, diag);
}

witan_status
witan_idx_read_labels(uint32_t **labels, size_t *count, witan_stream *stream,
                      witan_diag *diag)
{
    size_t rank, extents[RANK_MAX];
    uint8_t chunk[4096];
    uint32_t *read = NULL;
    witan_status status;

    *labels = NULL;
    WITAN_TRY(read_header(stream, &rank, extents, diag));
    if (rank != 1) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "holds rows (rank %zu) where labels are expected; are "
                                 "the image and the label file swapped?",
                                 rank);
    }
    *count = extents[0];
    WITAN_TRY(witan_labels_allocate(&read, *count, 1, stream, diag));
    status = WITAN_OK;
    for (size_t at = 0; at < *count && status == WITAN_OK;) {
        size_t run = *count - at < sizeof chunk ? *count - at : sizeof chunk;
        status = witan_stream_read(stream, chunk, run, diag);
        for (size_t i = 0; i < run && status == WITAN_OK; i++) {
            read[at + i] = chunk[i];
        }
        at += run;
    }
    if (status == WITAN_OK) {
        status = witan_stream_end(stream, diag);
    }
    if (status == WITAN_OK) {
        *labels = read;
        return WITAN_OK;
    }
    witan_free(stream->allocator, read);
    return status;
}
