/* partition.h - who holds which rows: private training and test parts per client, and
 * the public transfer set, as index lists into the training set.
 * Why here: heterogeneity is the experiment; its exact rule decides every number, so
 * each rule says which one of the literature's variants it is.
 * Threads: one caller. Randomness: WITAN_PURPOSE_PARTITION and _TRANSFER streams. */
#ifndef WITAN_DATA_PARTITION_H
#define WITAN_DATA_PARTITION_H

#include "data/dataset.h"

typedef enum witan_partition_kind {
    WITAN_PARTITION_IID,
    WITAN_PARTITION_DIRICHLET,        /* by class: NIID-Bench, Li et al. 2022 */
    WITAN_PARTITION_DIRICHLET_CLIENT, /* by client, equal sizes: Hsu et al. 2019 */
    WITAN_PARTITION_LABELS,           /* k labels per client */
    WITAN_PARTITION_SHARDS,           /* sorted by label, s shards each: McMahan 2017 */
    WITAN_PARTITION_QUANTITY,         /* sizes ~ Dir(alpha) */
    WITAN_PARTITION_FILE,             /* index lists from a directory */
} witan_partition_kind;

typedef struct witan_partition_config {
    witan_partition_kind kind;
    size_t clients;
    double alpha;             /* dirichlet*, quantity: > 0 */
    bool balance;             /* dirichlet: a client with its fair share gets no more */
    size_t labels_per_client; /* labels */
    size_t shards_per_client; /* shards */
    size_t minimum_samples;   /* per client before the test part is cut off, >= 1 */
    size_t retries;           /* dirichlet, quantity: redraws before topping up */
    const char *path;         /* file: public.idx, client_XX.idx (int32 little endian),
                                 or a JSON-free text: see docs/data.md */
    size_t transfer_samples;  /* rows held out of training as the transfer set; 0 = none
                                 (a second data set is used). file: 0 = all of public.idx */
    size_t limit;             /* use only this many training rows (0 = all) */
    bool own_test_from_global; /* own test part drawn from the global test set following
                                  the client's label mix; else cut from its own rows */
    double own_test_fraction;  /* holdout: share of own rows; global: size of the draw as
                                  a share of the global test set */
    uint64_t seed;
} witan_partition_config;

typedef struct witan_indices {
    uint32_t *items; /* owned by the partition's block */
    size_t count;
} witan_indices;

typedef struct witan_partition {
    size_t clients;
    witan_indices *train;      /* [clients] rows of the training set */
    witan_indices *test;       /* [clients] rows of the training set (holdout) or of the
                                  global test set (own_test_from_global) */
    bool test_is_global;
    witan_indices transfer;    /* rows of the training set; disjoint from every client */
} witan_partition;

/* Draws a partition of `train` (labelled). Every client ends with >= 1 training and >= 1
 * test row; parts are disjoint. Owned by the caller, freed with witan_partition_fini.
 * Errors: E_CONFIG (fewer samples than clients need: says how many of which), E_DATA
 * (index file out of range, duplicate), E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status witan_partition_make(witan_partition *out,
                                                  const witan_partition_config *config,
                                                  const witan_dataset *train,
                                                  const witan_dataset *test,
                                                  const witan_allocator *allocator,
                                                  witan_diag *diag);
void witan_partition_fini(witan_partition *self, const witan_allocator *allocator);

/* Writes the partition as the directory that kind FILE reads back. */
WITAN_NODISCARD witan_status witan_partition_save(const witan_partition *self,
                                                  const char *directory, witan_diag *diag);

/* Digest of all index lists. */
void witan_partition_digest(const witan_partition *self, uint8_t out[32]);

/* Class counts [clients, classes] of the private training parts, for pictures. */
void witan_partition_histogram(const witan_partition *self, const witan_dataset *train,
                               uint32_t *counts);

const char *witan_partition_kind_name(witan_partition_kind kind);

#endif
