/* limits.h - every named bound on what a file, a config or a peer may ask for.
 * Checked before the allocation that it bounds. */
#ifndef WITAN_BASE_LIMITS_H
#define WITAN_BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define WITAN_CLIENTS_MAX ((size_t)100000)
#define WITAN_ROUNDS_MAX ((size_t)1000000)
#define WITAN_CLASSES_MAX ((size_t)65536)
#define WITAN_TOP_MAX                                                                  \
    ((size_t)4096) /* classes of a soft label that travel, codec top */
#define WITAN_SAMPLES_MAX                                                              \
    ((size_t)1 << 31)                        /* rows of one data set; indices are u32  \
                                              */
#define WITAN_TOKENS_MAX ((size_t)1 << 31)   /* tokens of one text */
#define WITAN_FEATURES_MAX ((size_t)1 << 24) /* numbers in one row */
#define WITAN_DATASET_BYTES_MAX ((size_t)1 << 36)
#define WITAN_COLUMNS_MAX ((size_t)100000)  /* columns of a CSV file */
#define WITAN_CATEGORIES_MAX ((size_t)1000) /* distinct values of a CSV column */
#define WITAN_PARTITION_CELLS_MAX ((size_t)1 << 30) /* clients x classes of a draw */
#define WITAN_PARTITION_RETRIES_MAX ((size_t)1000000)
#define WITAN_LAYERS_MAX ((size_t)256)
#define WITAN_UNITS_MAX ((size_t)65536) /* width, window or groups of a layer */
#define WITAN_PARAMETERS_MAX ((size_t)1 << 30)
#define WITAN_BATCH_MAX ((size_t)65536)
#define WITAN_CONTEXT_MAX ((size_t)4096)       /* tokens of one window */
#define WITAN_POSITIONS_MAX ((size_t)1 << 22)  /* positions of one minibatch */
#define WITAN_SEQUENCE_LAYERS_MAX ((size_t)64) /* layers of a token model */
#define WITAN_CONFIG_BYTES_MAX ((size_t)1 << 20)
#define WITAN_MODELS_MAX ((size_t)256) /* different models of one experiment */
#define WITAN_SAFETENSORS_HEADER_MAX ((size_t)100 << 20)
#define WITAN_TENSORS_MAX ((size_t)1 << 22) /* tensors in one file */
#define WITAN_METADATA_MAX ((size_t)4096)   /* metadata pairs in one file */
#define WITAN_PATH_MAX ((size_t)4096)

/* What crosses the network. */
#define WITAN_NAME_MAX ((size_t)64)               /* bytes of a peer's name */
#define WITAN_ENDPOINT_MAX ((size_t)255)          /* bytes of "tcp://host:port" */
#define WITAN_CHUNK_BYTES ((size_t)65536)         /* payload of one chunk */
#define WITAN_FRAME_MAX ((size_t)131072)          /* one sealed envelope */
#define WITAN_UPLOAD_BYTES_MAX ((size_t)1 << 32)  /* one client's knowledge */
#define WITAN_PACKAGE_BYTES_MAX ((size_t)1 << 30) /* a packed transfer set */
#define WITAN_CLASS_NAME_MAX ((size_t)255)        /* bytes of a class's name in one */
#define WITAN_PLAN_BYTES_MAX ((size_t)49152)      /* an experiment sent to a client */

#endif
