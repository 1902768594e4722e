/* package.h - the transfer set as one string of bytes.
 * Why here: every client must ask its model about the very same rows, scaled the very
 * same way; the bytes travel from the coordinator, and their digest is agreed before
 * the first round. Private labels of those rows never travel: there is no place for
 * them.
 * Canonical: what was read, written again, is the same bytes.
 * Layout (little-endian, no padding):
 *   magic       8 bytes "WTNTSET1"
 *   header      u32 bytes of a number (1: u8, 4: f32, 2: tokens), height, width,
 *               channels, classes, rows, scales (= channels), names (classes, or 0 for
 *               none)
 *   names       [names] one byte of length, then that many bytes without control
 *               characters
 *   scale       f32 [scales]    shift  f32 [scales]    x = raw * scale + shift
 *   raw         u8 or f32 [rows, H*W*C]
 * Text: height 1, width the tokens of a window (positions + 1), channels 1, classes and
 * names V, the names those of the tokens (data/text.h; their unit stands in the
 * experiment), no scales, raw u16 [rows, width]. Which group a window is of stays at
 * home, as labels do.
 * Threads: one caller. */
#ifndef WITAN_DATA_PACKAGE_H
#define WITAN_DATA_PACKAGE_H

#include "data/dataset.h"

/* Packs rows indices[0..count) of a set (each < samples). *out is owned by the caller,
 * freed with witan_free; NULL on failure.
 * Errors: E_CONFIG (no rows), E_LIMIT (more than WITAN_PACKAGE_BYTES_MAX), E_DATA (the
 * name of a class or token is too long or holds control characters), E_MEMORY. */
WITAN_NODISCARD witan_status witan_package_write(uint8_t **out, size_t *size,
                                                 const witan_dataset *set,
                                                 const uint32_t *indices, size_t count,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);

/* Unpacks a peer's bytes [size] into a set without labels, which gathers the same bits
 * as the packed rows did. Nothing is believed: every size is checked before memory is
 * taken, raw and scaled numbers are finite, tokens below V, their names as in
 * data/text.h for one unit or the other. The caller owns the set and frees it with
 * witan_dataset_fini; zeroed on failure. Errors: E_DATA, E_MEMORY. */
WITAN_NODISCARD witan_status witan_package_read(witan_dataset *out,
                                                const uint8_t *bytes, size_t size,
                                                const witan_allocator *allocator,
                                                witan_diag *diag);

/* What coordinator and clients agree on. */
void witan_package_digest(const uint8_t *bytes, size_t size, uint8_t out[32]);

#endif
