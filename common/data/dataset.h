/* dataset.h - a data set in memory: rows of features, optional labels.
 * Why here: every reader produces one, every learner is fed from one by index, so
 * that clients share rows and nothing is copied per client.
 * Layout: rows are [H, W, C] (channels last); a table row is 1 x 1 x columns.
 * Threads: immutable after loading; may be shared. */
#ifndef WITAN_DATA_DATASET_H
#define WITAN_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/status.h"

typedef struct witan_dataset {
    size_t samples;
    size_t height, width, channels;
    size_t classes; /* labels are < classes; 0 when there are no labels */
    uint8_t *bytes; /* [samples, H*W*C] owned; exactly one of bytes, values is set */
    float *values;  /* [samples, H*W*C] owned, finite */
    float *scale;   /* [scales] owned: x = raw * scale + shift */
    float *shift;   /* [scales] owned */
    size_t scales;  /* channels for images, columns for tables (channels == columns) */
    uint32_t *labels;   /* [samples] owned, or NULL */
    char **class_names; /* [classes] owned, or NULL when classes have no names */
    /* Text: a row is a window of `length` + 1 tokens; its position t reads token t and
     * is to predict token t + 1. Neither bytes nor values is then set, the shape is
     * 1 x length x 1, and labels say which group (file, folder, speaker) the window is
     * of; class_names name the groups. */
    size_t length;      /* positions of a window; 0: not text */
    size_t vocabulary;  /* V; tokens are < V */
    char **token_names; /* [V] owned, escaped as data/text.h says */
    uint32_t *tokens;   /* [token_count] owned */
    size_t token_count; /* at most WITAN_TOKENS_MAX */
    uint32_t *starts;   /* [samples] owned: first token of each window */
    /* What the blocks can hold; kept by witan_dataset_append, 0: what they do hold. */
    size_t row_room, token_room;
} witan_dataset;

/* Frees what it owns and zeroes it; NULL-safe fields, idempotent. */
void witan_dataset_fini(witan_dataset *self, const witan_allocator *allocator);

/* H * W * C. */
size_t witan_dataset_features(const witan_dataset *self);

/* Standardised rows indices[0..count) into x [count, features], which may be NULL when
 * only labels are wanted, and must be for text; their labels into
 * `labels` [count] when it is not NULL (the set then must have labels). Indices must be
 * < samples. Signature of witan_rows.gather (nn/learn.h). */
void witan_dataset_gather(const void *dataset, const uint32_t *indices, size_t count,
                          float *x, uint32_t *labels);

/* Text: windows indices[0..count) to tokens [count, length + 1]. Signature of
 * witan_rows.windows (nn/learn.h). */
void witan_dataset_windows(const void *dataset, const uint32_t *indices, size_t count,
                           uint32_t *tokens);

/* What a model of these rows predicts: V of text, else classes. */
size_t witan_dataset_outputs(const witan_dataset *self);
/* Soft labels that a row has: `length` of text, else 1. */
size_t witan_dataset_positions(const witan_dataset *self);

/* Adds a row that a caller made (canaries): `features` [H*W*C] raw numbers of the set's
 * kind (bytes as whole floats 0 to 255), or `tokens` [length + 1]; `label` < classes,
 * not looked at when the set has no labels. Its index is the old `samples`. Room grows
 * by a quarter, so that many rows cost few copies. Errors: E_INVALID, E_LIMIT,
 * E_MEMORY; self holds the same rows as before. */
WITAN_NODISCARD witan_status witan_dataset_append(witan_dataset *self,
                                                  const float *features,
                                                  const uint32_t *tokens,
                                                  uint32_t label,
                                                  const witan_allocator *allocator);

/* Per-channel mean and standard deviation of `self`, in double over all rows: sets
 * scale and shift so that gathered features have mean 0 and sd 1. A constant channel
 * gets scale 1. To be fitted on training data and copied to the test set. Not for
 * text. */
WITAN_NODISCARD witan_status witan_dataset_fit_scale(witan_dataset *self,
                                                     const witan_allocator *allocator);
/* Copies scale and shift of `from`. Text has none, and takes it
 * from text alone. Errors: E_DATA when the shapes differ. */
WITAN_NODISCARD witan_status witan_dataset_copy_scale(witan_dataset *self,
                                                      const witan_dataset *from,
                                                      const witan_allocator *allocator,
                                                      witan_diag *diag);

/* Digest of shape, rows and labels (before standardisation); of text also of the
 * vocabulary. */
void witan_dataset_digest(const witan_dataset *self, uint8_t out[32]);

#endif
