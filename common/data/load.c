#include "data/load.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/random.h"
#include "data/embedded.h"
#include "data/readers.h"

/* What every step of one load needs. */
typedef struct loader {
    witan_dataset *train, *test;
    const witan_data_source *source;
    const char *path; /* never NULL */
    const witan_npz *npz;
    const witan_allocator *allocator;
    witan_diag *diag;
} loader;

typedef struct path_buffer {
    char text[WITAN_PATH_MAX];
} path_buffer;

const char *
witan_data_format_name(witan_data_format format)
{
    static const char *const names[] = {"auto", "embedded", "idx", "cifar10",
                                        "npy",  "npz",      "csv", "text"};
    size_t count = sizeof names / sizeof names[0];
    return (size_t)format < count ? names[format] : NULL;
}

static bool
is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool
has_extension(const char *path, const char *extension)
{
    size_t length = strlen(path), tail = strlen(extension);
    return length > tail && strcmp(path + length - tail, extension) == 0;
}

/* directory/name; false when the path is too long or nothing is there. */
static bool
find(path_buffer *out, const char *directory, const char *name)
{
    struct stat status;
    int length = snprintf(out->text, sizeof out->text, "%s/%s", directory, name);
    return length > 0 && (size_t)length < sizeof out->text &&
           stat(out->text, &status) == 0;
}

/* The four spellings under which IDX files are passed around. */
static bool
find_idx(path_buffer *out, const char *directory, const char *stem, const char *rank)
{
    for (unsigned spelling = 0; spelling < 4; spelling++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s%s-ubyte%s", stem,
                       spelling < 2 ? "-" : ".", rank, spelling % 2 == 0 ? "" : ".gz");
        if (find(out, directory, name)) {
            return true;
        }
    }
    return false;
}

witan_status
witan_data_recognise(witan_data_format *out, const witan_data_source *source,
                     witan_diag *diag)
{
    const char *path = source->path == NULL ? "" : source->path;
    path_buffer found;
    struct stat status;

    *out = source->format;
    if (*out == WITAN_DATA_EMBEDDED && path[0] != '\0') {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "%s: the embedded set takes no path; leave the path or "
                               "the format away",
                               path);
    }
    if (path[0] == '\0') {
        if (*out == WITAN_DATA_TEXT) {
            return WITAN_OK;
        }
        if (*out != WITAN_DATA_AUTO && *out != WITAN_DATA_EMBEDDED) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "data format %s needs a path; an empty path means "
                                   "the embedded set",
                                   witan_data_format_name(*out));
        }
        *out = WITAN_DATA_EMBEDDED;
        return WITAN_OK;
    }
    if (stat(path, &status) != 0) {
        return witan_diag_fail(diag, WITAN_E_IO, "%s: cannot open: %s", path,
                               strerror(errno));
    }
    if (*out != WITAN_DATA_AUTO) {
        return WITAN_OK;
    }
    if (!S_ISDIR(status.st_mode)) {
        bool text = has_extension(path, ".txt") || has_extension(path, ".txt.gz");
        *out = has_extension(path, ".npz")   ? WITAN_DATA_NPZ
               : has_extension(path, ".csv") ? WITAN_DATA_CSV
               : text                        ? WITAN_DATA_TEXT
                                             : WITAN_DATA_AUTO;
    } else if (find_idx(&found, path, "train-images", "idx3")) {
        *out = WITAN_DATA_IDX;
    } else if (find(&found, path, "data_batch_1.bin")) {
        *out = WITAN_DATA_CIFAR10;
    } else if (find(&found, path, "x_train.npy")) {
        *out = WITAN_DATA_NPY;
    } else if (find(&found, path, "train.csv")) {
        *out = WITAN_DATA_CSV;
    } else if (witan_text_is_there(path)) {
        *out = WITAN_DATA_TEXT;
    }
    if (*out == WITAN_DATA_AUTO) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s: no data set known here; give a .npz, .csv or .txt "
                               "file, or a directory "
                               "with train-images-idx3-ubyte[.gz], data_batch_1.bin, "
                               "x_train.npy, train.csv "
                               "or .txt files",
                               path);
    }
    return WITAN_OK;
}

/* Sets of four files: rows and labels, training and test part. */
typedef struct file_set {
    /* Opens one file; *present tells whether it exists. */
    witan_status (*open)(const loader *self, bool test, bool labels,
                         witan_stream *stream, bool *present);
    witan_status (*read_rows)(witan_dataset *out, witan_stream *stream,
                              witan_diag *diag);
    witan_status (*read_labels)(uint32_t **labels, size_t *count, witan_stream *stream,
                                witan_diag *diag);
    const char *names[2][2]; /* [test][labels] for messages */
} file_set;

static witan_status
open_idx(const loader *self, bool test, bool labels, witan_stream *stream,
         bool *present)
{
    static const char *const stems[2][2] = {{"train-images", "train-labels"},
                                            {"t10k-images", "t10k-labels"}};
    path_buffer path;
    *present =
        find_idx(&path, self->path, stems[test][labels], labels ? "idx1" : "idx3");
    return *present ? witan_stream_open(stream, path.text, self->allocator, self->diag)
                    : WITAN_OK;
}

static witan_status
open_embedded(const loader *self, bool test, bool labels, witan_stream *stream,
              bool *present)
{
    const uint8_t *files[2][2] = {
        {witan_embedded_train_images, witan_embedded_train_labels},
        {witan_embedded_test_images, witan_embedded_test_labels}};
    const uint64_t sizes[2][2] = {
        {witan_embedded_train_images_size, witan_embedded_train_labels_size},
        {witan_embedded_test_images_size, witan_embedded_test_labels_size}};
    *present = true;
    return witan_stream_memory(stream, "embedded set", files[test][labels],
                               (size_t)sizes[test][labels], true, self->allocator,
                               self->diag);
}

static const char *const array_names[2][2] = {{"x_train.npy", "y_train.npy"},
                                              {"x_test.npy", "y_test.npy"}};

static witan_status
open_npy(const loader *self, bool test, bool labels, witan_stream *stream,
         bool *present)
{
    path_buffer path;
    *present = find(&path, self->path, array_names[test][labels]);
    return *present ? witan_stream_open(stream, path.text, self->allocator, self->diag)
                    : WITAN_OK;
}

static witan_status
open_npz(const loader *self, bool test, bool labels, witan_stream *stream,
         bool *present)
{
    const char *member = array_names[test][labels];
    *present = witan_npz_has(self->npz, member);
    return *present ? witan_npz_member(self->npz, member, stream, self->diag)
                    : WITAN_OK;
}

static witan_status
load_part(const loader *self, const file_set *files, bool test)
{
    witan_dataset *set = test ? self->test : self->train;
    witan_stream stream;
    bool has_rows, has_labels;
    size_t count;

    WITAN_TRY(files->open(self, test, false, &stream, &has_rows));
    if (has_rows) {
        witan_status status = files->read_rows(set, &stream, self->diag);
        witan_stream_close(&stream);
        WITAN_TRY(status);
    } else if (!test) {
        return witan_diag_fail(self->diag, WITAN_E_DATA, "%s: has no %s; add it",
                               self->path, files->names[test][false]);
    }
    WITAN_TRY(files->open(self, test, true, &stream, &has_labels));
    if (has_labels) {
        witan_status status =
            files->read_labels(&set->labels, &count, &stream, self->diag);
        witan_stream_close(&stream);
        WITAN_TRY(status);
        if (count != set->samples) {
            return witan_stream_fail(
                &stream, self->diag, WITAN_E_DATA,
                "has %zu labels for %zu rows in %s; take both files "
                "from the same set",
                count, set->samples, files->names[test][false]);
        }
    } else if (has_rows && (!self->source->transfer || self->train->labels != NULL)) {
        return witan_diag_fail(self->diag, WITAN_E_DATA, "%s: has no %s; add it",
                               self->path, files->names[test][true]);
    }
    return WITAN_OK;
}

static witan_status
load_files(const loader *self, const file_set *files)
{
    WITAN_TRY(load_part(self, files, false));
    return load_part(self, files, true);
}

static witan_status
load_npz(loader *self, const file_set *files)
{
    witan_npz npz;
    witan_status status;
    WITAN_TRY(witan_npz_open(&npz, self->path, NULL, 0, self->allocator, self->diag));
    self->npz = &npz;
    status = load_files(self, files);
    witan_npz_close(&npz);
    return status;
}

/* Records in a batch file. */
static witan_status
count_records(const loader *self, const char *name, path_buffer *path, size_t *records)
{
    witan_stream stream;
    if (!find(path, self->path, name)) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: has no %s; CIFAR-10 is data_batch_1.bin to "
                               "data_batch_5.bin and test_batch.bin",
                               self->path, name);
    }
    WITAN_TRY(witan_stream_open(&stream, path->text, self->allocator, self->diag));
    witan_stream_close(&stream);
    *records = (size_t)(stream.bound / WITAN_CIFAR_RECORD);
    if (*records == 0 || stream.bound % WITAN_CIFAR_RECORD != 0) {
        return witan_stream_fail(
            &stream, self->diag, WITAN_E_DATA,
            "%llu bytes are no whole number of records of %d; it "
            "is cut short or not the binary version: fetch it again",
            (unsigned long long)stream.bound, WITAN_CIFAR_RECORD);
    }
    return WITAN_OK;
}

/* The batches of one part, one after the other. */
static witan_status
load_batches(const loader *self, witan_dataset *set, const char *const *names,
             size_t batches)
{
    size_t records[5], total = 0, first = 0;
    path_buffer path;

    for (size_t b = 0; b < batches; b++) {
        WITAN_TRY(count_records(self, names[b], &path, &records[b]));
        total += records[b];
    }
    *set = (witan_dataset){.samples = total, .height = 32, .width = 32, .channels = 3};
    if (total <= WITAN_SAMPLES_MAX) {
        set->bytes = witan_alloc(self->allocator, total, WITAN_CIFAR_RECORD - 1);
        set->labels = witan_alloc(self->allocator, total, sizeof *set->labels);
    }
    if (set->bytes == NULL || set->labels == NULL) {
        return witan_diag_fail(self->diag, WITAN_E_MEMORY,
                               "%s: out of memory for %zu images", self->path, total);
    }
    for (size_t b = 0; b < batches; b++) {
        witan_stream stream;
        witan_status status;
        if (!find(&path, self->path, names[b])) {
            return witan_diag_fail(self->diag, WITAN_E_IO, "%s: %s has gone",
                                   self->path, names[b]);
        }
        WITAN_TRY(witan_stream_open(&stream, path.text, self->allocator, self->diag));
        status = witan_cifar_read(set, first, records[b], &stream, self->diag);
        witan_stream_close(&stream);
        WITAN_TRY(status);
        first += records[b];
    }
    return WITAN_OK;
}

static witan_status
load_cifar10(const loader *self)
{
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin",
                                        "data_batch_3.bin", "data_batch_4.bin",
                                        "data_batch_5.bin", "test_batch.bin"};
    path_buffer path;
    witan_stream stream;
    witan_status status;

    WITAN_TRY(load_batches(self, self->train, names, 5));
    WITAN_TRY(load_batches(self, self->test, names + 5, 1));
    if (!find(&path, self->path, "batches.meta.txt")) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_stream_open(&stream, path.text, self->allocator, self->diag));
    status = witan_cifar_read_names(self->train, &stream, self->diag);
    witan_stream_close(&stream);
    return status;
}

static witan_status
load_csv(const loader *self)
{
    witan_stream train, test;
    path_buffer path;
    bool directory = is_directory(self->path);
    witan_status status;

    if (directory && !find(&path, self->path, "train.csv")) {
        return witan_diag_fail(self->diag, WITAN_E_DATA, "%s: has no train.csv; add it",
                               self->path);
    }
    WITAN_TRY(witan_stream_open(&train, directory ? path.text : self->path,
                                self->allocator, self->diag));
    if (directory && find(&path, self->path, "test.csv")) {
        status = witan_stream_open(&test, path.text, self->allocator, self->diag);
        if (status == WITAN_OK) {
            status = witan_csv_read(self->train, self->test, &train, &test,
                                    self->source, self->diag);
            witan_stream_close(&test);
        }
    } else {
        status = witan_csv_read(self->train, self->test, &train, NULL, self->source,
                                self->diag);
    }
    witan_stream_close(&train);
    return status;
}

static witan_status
load_format(loader *self, witan_data_format format)
{
    const file_set idx = {
        open_idx,
        witan_idx_read_rows,
        witan_idx_read_labels,
        {{"train-images-idx3-ubyte[.gz]", "train-labels-idx1-ubyte[.gz]"},
         {"t10k-images-idx3-ubyte[.gz]", "t10k-labels-idx1-ubyte[.gz]"}}};
    const file_set npy = {format == WITAN_DATA_NPZ ? open_npz : open_npy,
                          witan_npy_read_rows,
                          witan_npy_read_labels,
                          {{array_names[0][0], array_names[0][1]},
                           {array_names[1][0], array_names[1][1]}}};
    file_set embedded = idx;
    embedded.open = open_embedded;
    switch (format) {
    case WITAN_DATA_EMBEDDED:
        return load_files(self, &embedded);
    case WITAN_DATA_IDX:
        return load_files(self, &idx);
    case WITAN_DATA_CIFAR10:
        return load_cifar10(self);
    case WITAN_DATA_NPY:
        return load_files(self, &npy);
    case WITAN_DATA_NPZ:
        return load_npz(self, &npy);
    case WITAN_DATA_CSV:
        return load_csv(self);
    case WITAN_DATA_TEXT: /* has no file set: see witan_data_load_parts */
    case WITAN_DATA_AUTO:
        break;
    }
    return witan_diag_fail(self->diag, WITAN_E_INVALID, "%s: no such data format",
                           self->path);
}

witan_status
witan_split_mask(uint8_t **mask, size_t samples, const witan_data_source *source,
                 const char *name, const witan_allocator *allocator, witan_diag *diag)
{
    double fraction = source->test_fraction;
    witan_random random;

    *mask = NULL;
    if (!(fraction > 0.0 && fraction < 1.0)) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "%s: has no test part; set test_fraction between 0 and 1, "
            "such as 0.2",
            name);
    }
    if (samples < 2) {
        return witan_diag_fail(
            diag, WITAN_E_DATA,
            "%s: has too few rows for a test part; give at least two", name);
    }
    size_t held_out = (size_t)llround(fraction * (double)samples);
    held_out = held_out < 1 ? 1 : held_out;
    held_out = held_out > samples - 1 ? samples - 1 : held_out;
    uint32_t *order = witan_alloc(allocator, samples, sizeof *order);
    *mask = witan_zalloc(allocator, samples, sizeof **mask);
    if (order == NULL || *mask == NULL) {
        witan_free(allocator, order);
        witan_free(allocator, *mask);
        *mask = NULL;
        return witan_diag_fail(diag, WITAN_E_MEMORY, "%s: out of memory", name);
    }
    for (size_t i = 0; i < samples; i++) {
        order[i] = (uint32_t)i;
    }
    witan_random_init(&random, source->seed, WITAN_CLIENT_NONE, 0, WITAN_PURPOSE_SPLIT);
    witan_random_shuffle(&random, order, samples);
    for (size_t i = 0; i < held_out; i++) {
        (*mask)[order[i]] = 1;
    }
    witan_free(allocator, order);
    return WITAN_OK;
}

/* Moves the marked rows of [samples, size] bytes to `test`, closes the gaps in `train`.
 */
static void
part_rows(void *train, void *test, const uint8_t *mask, size_t samples, size_t size)
{
    uint8_t *keep = train, *out = test;
    const uint8_t *from = train;
    for (size_t i = 0; i < samples; i++, from += size) {
        if (mask[i] != 0) {
            memcpy(out, from, size);
            out += size;
        } else {
            memmove(keep, from, size);
            keep += size;
        }
    }
}

/* Holds out a test part of a set that came without one. */
static witan_status
split(const loader *self)
{
    witan_dataset *train = self->train, *test = self->test;
    size_t features = witan_dataset_features(train), held_out = 0;
    size_t element =
        train->bytes != NULL ? sizeof *train->bytes : sizeof *train->values;
    uint8_t *mask;

    WITAN_TRY(witan_split_mask(&mask, train->samples, self->source, self->path,
                               self->allocator, self->diag));
    for (size_t i = 0; i < train->samples; i++) {
        held_out += mask[i];
    }
    test->height = train->height;
    test->width = train->width;
    test->channels = train->channels;
    void *rows = witan_alloc(self->allocator, held_out, features * element);
    if (train->bytes != NULL) {
        test->bytes = rows;
    } else {
        test->values = rows;
    }
    test->labels = witan_alloc(self->allocator, held_out, sizeof *test->labels);
    if (rows == NULL || test->labels == NULL) {
        witan_free(self->allocator, mask);
        return witan_diag_fail(self->diag, WITAN_E_MEMORY,
                               "%s: out of memory for the test part", self->path);
    }
    part_rows(train->bytes != NULL ? (void *)train->bytes : (void *)train->values, rows,
              mask, train->samples, features * element);
    part_rows(train->labels, test->labels, mask, train->samples, sizeof *test->labels);
    test->samples = held_out;
    train->samples -= held_out;
    witan_free(self->allocator, mask);
    return WITAN_OK;
}

static size_t
classes_of(const witan_dataset *set)
{
    uint32_t most = 0;
    for (size_t i = 0; i < set->samples; i++) {
        most = set->labels[i] > most ? set->labels[i] : most;
    }
    return (size_t)most + 1;
}

/* Classes of both parts, unless a reader knew them; the names go to the test part too.
 */
static witan_status
settle_classes(const loader *self)
{
    witan_dataset *train = self->train, *test = self->test;
    bool several = false;

    if (train->classes == 0) {
        size_t of_test = test->labels == NULL ? 0 : classes_of(test);
        train->classes = classes_of(train);
        train->classes = of_test > train->classes ? of_test : train->classes;
    }
    for (size_t i = 1; i < train->samples && !several; i++) {
        several = train->labels[i] != train->labels[0];
    }
    if (!several && !self->source->transfer) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: all training labels are the same class; learning "
                               "needs at least two",
                               self->path);
    }
    test->classes = train->classes;
    if (train->class_names == NULL) {
        return WITAN_OK;
    }
    test->class_names =
        witan_zalloc(self->allocator, train->classes, sizeof *test->class_names);
    for (size_t c = 0; c < train->classes && test->class_names != NULL; c++) {
        test->class_names[c] = witan_strdup(self->allocator, train->class_names[c]);
        if (test->class_names[c] == NULL) {
            return witan_diag_fail(self->diag, WITAN_E_MEMORY, "%s: out of memory",
                                   self->path);
        }
    }
    return test->class_names != NULL ? WITAN_OK
                                     : witan_diag_fail(self->diag, WITAN_E_MEMORY,
                                                       "%s: out of memory", self->path);
}

/* Bytes to [0,1], floats as they are. */
static witan_status
plain_scale(witan_dataset *set, const witan_allocator *allocator)
{
    set->scale = witan_alloc(allocator, set->channels, sizeof *set->scale);
    set->shift = witan_zalloc(allocator, set->channels, sizeof *set->shift);
    if (set->scale == NULL || set->shift == NULL) {
        return WITAN_E_MEMORY;
    }
    set->scales = set->channels;
    for (size_t c = 0; c < set->channels; c++) {
        set->scale[c] = set->bytes != NULL ? 1.0f / 255.0f : 1.0f;
    }
    return WITAN_OK;
}

static witan_status
complete(const loader *self)
{
    witan_dataset *train = self->train, *test = self->test;

    if (test->samples == 0 && !self->source->transfer) {
        WITAN_TRY(split(self));
    }
    if (test->samples > 0 && (train->bytes != NULL) != (test->bytes != NULL)) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: one of training and test part has bytes, the other "
                               "floats; save both with the same type",
                               self->path);
    }
    if (train->labels != NULL) {
        WITAN_TRY(settle_classes(self));
    }
    witan_status status = self->source->standardise
                              ? witan_dataset_fit_scale(train, self->allocator)
                              : plain_scale(train, self->allocator);
    if (status != WITAN_OK) {
        return witan_diag_fail(self->diag, status, "%s: out of memory", self->path);
    }
    if (test->samples == 0) {
        return WITAN_OK;
    }
    status = witan_dataset_copy_scale(test, train, self->allocator, self->diag);
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(self->diag, "%s: training and test part", self->path);
    }
    return status;
}

witan_status
witan_data_load(witan_dataset *train, witan_dataset *test,
                const witan_data_source *source, const witan_allocator *allocator,
                witan_diag *diag)
{
    return witan_data_load_parts(train, NULL, test, source, allocator, diag);
}

witan_status
witan_data_load_parts(witan_dataset *train, witan_dataset *valid, witan_dataset *test,
                      const witan_data_source *source, const witan_allocator *allocator,
                      witan_diag *diag)
{
    loader self = {.train = train,
                   .test = test,
                   .source = source,
                   .path = source->path == NULL || source->path[0] == '\0'
                               ? "embedded set"
                               : source->path,
                   .allocator = allocator,
                   .diag = diag};
    witan_data_format format;
    witan_status status;

    memset(train, 0, sizeof *train);
    memset(test, 0, sizeof *test);
    if (valid != NULL) {
        memset(valid, 0, sizeof *valid);
    }
    WITAN_TRY(witan_data_recognise(&format, source, diag));
    if (format == WITAN_DATA_TEXT) {
        status = witan_text_load(train, valid, test, source, allocator, diag);
    } else {
        status = load_format(&self, format);
        if (status == WITAN_OK) {
            status = complete(&self);
        }
    }
    if (status != WITAN_OK) {
        witan_dataset_fini(train, allocator);
        witan_dataset_fini(test, allocator);
        if (valid != NULL) {
            witan_dataset_fini(valid, allocator);
        }
    }
    return status;
}

void
witan_data_describe(char *out, size_t size, const witan_data_source *source,
                    const witan_dataset *train, const witan_dataset *test)
{
    const char *path = source->path == NULL ? "" : source->path;
    witan_data_format format;
    char shape[96], classes[96] = "no labels";
    size_t end = strlen(path), begin;

    if (witan_data_recognise(&format, source, NULL) != WITAN_OK) {
        format = source->format;
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--) {
    }
    if (train->length > 0) {
        (void)snprintf(shape, sizeof shape, "windows of %zu", train->length);
    } else if (train->height * train->width == 1) {
        (void)snprintf(shape, sizeof shape, "%zu columns", train->channels);
    } else {
        (void)snprintf(shape, sizeof shape, "%zux%zux%zu", train->height, train->width,
                       train->channels);
    }
    if (train->length > 0) {
        (void)snprintf(classes, sizeof classes, "%zu tokens, %zu groups",
                       train->vocabulary, train->classes);
    } else if (train->labels != NULL) {
        (void)snprintf(classes, sizeof classes, "%zu classes", train->classes);
    }
    const char *name = end > 0                     ? path + begin
                       : format == WITAN_DATA_TEXT ? "tiny Shakespeare"
                                                   : "optdigits";
    int length = end == 0 ? (int)strlen(name) : (int)(end - begin);
    (void)snprintf(out, size, "%.*s (%s): %zu train, %zu test, %s, %s", length, name,
                   witan_data_format_name(format), train->samples, test->samples, shape,
                   classes);
}
