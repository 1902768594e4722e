/* load.h - files to data sets. One front door; one reader per format behind it.
 * Every byte read is untrusted: headers that lie, labels out of range, NaN and short
 * files give E_DATA and one line naming the file and the place. */
#ifndef WITAN_DATA_LOAD_H
#define WITAN_DATA_LOAD_H

#include "data/dataset.h"
#include "data/text.h"

typedef enum witan_data_format {
    WITAN_DATA_AUTO,     /* by what the path holds */
    WITAN_DATA_EMBEDDED, /* optdigits, inside the program */
    WITAN_DATA_IDX,      /* directory with train-/t10k- images-idx3/labels-idx1 [.gz] */
    WITAN_DATA_CIFAR10,  /* directory with data_batch_1..5.bin, test_batch.bin */
    WITAN_DATA_NPY,  /* directory with x_train.npy y_train.npy x_test.npy y_test.npy */
    WITAN_DATA_NPZ,  /* file with x_train, y_train, x_test, y_test */
    WITAN_DATA_CSV,  /* file with a header row, or directory with train.csv test.csv */
    WITAN_DATA_TEXT, /* UTF-8: a .txt file, a directory of them (one level of folders),
                        or train.txt valid.txt test.txt; no path: tiny Shakespeare */
} witan_data_format;

typedef struct witan_data_source {
    const char *path; /* "" or NULL: the embedded set */
    witan_data_format format;
    const char *label;       /* CSV: name of the label column; NULL or "": the last */
    double test_fraction;    /* sets without a test part: share of rows held out */
    uint64_t seed;           /* for that split */
    bool standardise;        /* fit scale on train, copy to test; else bytes/255, raw */
    bool transfer;           /* a public set for soft labels: labels and test part may
                                be absent (then NULL, and a test set of 0 rows; no split
                                is drawn). CSV sets are always labelled and split */
    witan_text_options text; /* format TEXT */
} witan_data_source;

/* Loads train and test (both owned by the caller, freed with witan_dataset_fini; zeroed
 * on failure). Both have the same shape, classes and names; at least two classes occur
 * in the training labels, save of text, whose labels are groups. A transfer set of text
 * is all training rows.
 * Cost: one pass over the files. Memory: the sets, and for CSV the file as well.
 * Errors: E_DATA, E_IO (cannot open), E_CONFIG (test_fraction, a path with "embedded"),
 * E_MEMORY. */
WITAN_NODISCARD witan_status witan_data_load(witan_dataset *train, witan_dataset *test,
                                             const witan_data_source *source,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);

/* The same with a validation part, which only text has (0 samples for other formats):
 * held-out rows that nobody trains on and no score counts, for audits and for choosing
 * settings. valid may be NULL: its rows are then left out. */
WITAN_NODISCARD witan_status witan_data_load_parts(witan_dataset *train,
                                                   witan_dataset *valid,
                                                   witan_dataset *test,
                                                   const witan_data_source *source,
                                                   const witan_allocator *allocator,
                                                   witan_diag *diag);

/* The format that a source is read as: its own, or what AUTO finds at the path.
 * Errors: E_IO (nothing there), E_DATA (nothing known there: says what was looked for),
 * E_CONFIG. */
WITAN_NODISCARD witan_status witan_data_recognise(witan_data_format *out,
                                                  const witan_data_source *source,
                                                  witan_diag *diag);

/* One line for a person, cut to `size` bytes, such as
 * "optdigits (embedded): 3823 train, 1797 test, 8x8x1, 10 classes". */
void witan_data_describe(char *out, size_t size, const witan_data_source *source,
                         const witan_dataset *train, const witan_dataset *test);

/* Name of a format as config and help spell it; NULL beyond the last. */
const char *witan_data_format_name(witan_data_format format);

#endif
