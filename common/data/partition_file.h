/* partition_file.h - index lists of a partition from a directory; used by partition.c
 * alone. Contents are untrusted: every entry is checked before it is believed. */
#ifndef WITAN_DATA_PARTITION_FILE_H
#define WITAN_DATA_PARTITION_FILE_H

#include "data/partition.h"

/* Fills transfer, train, rows and, when there are test files and the config wants
 * holdouts, test of `out`, whose train and test arrays are [config->clients] and zero.
 * *has_tests tells whether test was filled. The caller frees `out` on failure. */
WITAN_NODISCARD witan_status witan_partition_read(witan_partition *out, bool *has_tests,
                                                  const witan_partition_config *config,
                                                  size_t samples,
                                                  const witan_allocator *allocator,
                                                  witan_diag *diag);

#endif
