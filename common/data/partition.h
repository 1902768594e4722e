/* partition.h - who holds which rows: private training and test parts per client, and
 * the public transfer set, as index lists into the training set.
 * Why here: heterogeneity is the experiment; its exact rule decides every number, so
 * each rule says which one of the literature's variants it is.
 * Threads: one caller. Randomness: streams keyed by (seed, client, purpose) alone:
 * TRANSFER for the transfer rows, PARTITION for who gets what, SPLIT (of each client)
 * for its own test part. Memory: O(samples) indices; data are never copied. */
#ifndef WITAN_DATA_PARTITION_H
#define WITAN_DATA_PARTITION_H

#include "base/text.h"
#include "data/dataset.h"

/* Transfer rows are drawn first, uniformly; the rows left (`limit` of all) are dealt:
 */
typedef enum witan_partition_kind {
    /* Uniformly, sizes equal to within one. */
    WITAN_PARTITION_IID,
    /* By class (NIID-Bench, Li et al. 2022): for each class p ~ Dir(alpha 1_N), cut at
     * floor(cumsum(p) rows). All is redrawn while a client is below the minimum;
     * after `retries` redraws rows are moved to the short clients from the largest
     * holders, who are cut to one common size (`moved` counts the rows). */
    WITAN_PARTITION_DIRICHLET,
    /* By client, equal sizes (Hsu et al. 2019): client n draws a mix q ~ Dir(alpha *
     * prior * classes) and takes floor(rows / N) rows without replacement; a class that
     * runs dry is renormalised away, so later clients drift from their q. */
    WITAN_PARTITION_DIRICHLET_CLIENT,
    /* k labels per client (NIID-Bench "#label-k"): client n holds class n mod C and k-1
     * others at random; a class is shared equally among its holders, and the rows of a
     * class without one (N < C) are `unused`. C counts classes that have rows. */
    WITAN_PARTITION_LABELS,
    /* Rows sorted by label, cut into N*s equal shards, s to each: McMahan et al. 2017.
     */
    WITAN_PARTITION_SHARDS,
    /* Sizes ~ Dir(alpha 1_N), labels iid; minimum and retries as for DIRICHLET. */
    WITAN_PARTITION_QUANTITY,
    /* Index lists from a directory; see witan_partition_config.path. */
    WITAN_PARTITION_FILE,
    /* Whole classes (of text: files, folders, speakers), largest first: each goes to
     * the client with the fewest rows so far, ties to the lower client, so that sizes
     * are even. Needs at least as many classes as clients. */
    WITAN_PARTITION_NATURAL,
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
    /* file: a directory with client_00.idx, client_01.idx, ... (two or more digits)
     * and, when there is a transfer set, public.idx: int32 little endian row numbers of
     * the training set. Own test parts are client_XX.test.idx, all or none; without
     * them, or with own_test_from_global (which ignores them), they are drawn as
     * always. */
    const char *path;
    size_t transfer_samples; /* rows held out of training as the transfer set; 0 = none
                                (a second data set is used). file: the first so many of
                                public.idx, 0 = all of it */
    size_t limit;            /* transfer and private rows together are at most so many,
                                the rest is unused; 0 = all. file: must be 0 */
    bool own_test_from_global; /* own test part drawn from the global test set following
                                  the client's label mix; else cut from its own rows */
    double own_test_fraction;  /* (0, 1) of own rows; global: (0, 1] of the global test
                                  set, less where a class has too few rows for the mix */
    uint64_t seed;
} witan_partition_config;

typedef struct witan_indices {
    uint32_t *items; /* borrowed from the partition's blocks */
    size_t count;
} witan_indices;

typedef struct witan_partition {
    size_t clients;
    witan_indices *train; /* [clients] owned; rows of the training set */
    witan_indices *test;  /* [clients] owned; rows of the training set (holdout) or,
                             ascending, of the global test set (test_is_global) */
    bool test_is_global;
    witan_indices transfer; /* rows of the training set; disjoint from every client */
    size_t unused;          /* training rows that nobody holds */
    size_t moved;           /* rows moved to reach the minimum; 0 = a clean draw */
    uint32_t *rows;         /* owned: transfer, train, holdout lists */
    uint32_t *global_rows;  /* owned: test lists when test_is_global, else NULL */
} witan_partition;

/* Draws a partition of `train` (labelled). Every client ends with >= 1 training and >=
 * 1 test row; training parts, holdouts and transfer rows are disjoint. `test` may be
 * NULL unless own_test_from_global. Owned by the caller, freed with
 * witan_partition_fini. Errors: E_CONFIG (a size, alpha or fraction that cannot be:
 * says what to change), E_DATA (no labels; index file odd, out of range, duplicate),
 * E_IO, E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_partition_make(witan_partition *out,
                                                  const witan_partition_config *config,
                                                  const witan_dataset *train,
                                                  const witan_dataset *test,
                                                  const witan_allocator *allocator,
                                                  witan_diag *diag);
/* Frees what it owns and zeroes it; idempotent. */
void witan_partition_fini(witan_partition *self, const witan_allocator *allocator);

/* Writes the directory that kind FILE reads back, and split.json (sizes, class counts,
 * digest) for people and scripts. Own test parts are written when they are holdouts;
 * global ones are redrawn from the seed. The directory is made if absent (its parent is
 * not) and must hold no partition. On failure what was written is removed.
 * Errors: E_CONFIG (a partition is there), E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status witan_partition_save(const witan_partition *self,
                                                  const witan_dataset *train,
                                                  const char *directory,
                                                  const witan_allocator *allocator,
                                                  witan_diag *diag);

/* Sizes, class counts and digest as a JSON object with a final newline: what split.json
 * holds. Failures stick in out->status. */
void witan_partition_summary(witan_text *out, const witan_partition *self,
                             const witan_dataset *train);

/* Digest of all index lists: equal digests, equal partitions. */
void witan_partition_digest(const witan_partition *self, uint8_t out[32]);

/* Class counts [clients, classes] of the private training parts, for pictures. */
void witan_partition_histogram(const witan_partition *self, const witan_dataset *train,
                               uint32_t *counts);

/* As config and help spell it: "dirichlet-client". */
const char *witan_partition_kind_name(witan_partition_kind kind);

#endif
