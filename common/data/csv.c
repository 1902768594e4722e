/* csv.c - tables as text (RFC 4180, through libcsv): a header row, numbers and words.
 * Why here: see readers.h. Encoding is fitted on training rows alone, so that nothing
 * leaks from the test part: numbers miss to the training mean, words become one-hot
 * columns of the categories of the training rows.
 * Method: the file is unpacked in place into fields that end in NUL, in file order;
 * every later pass walks them once. */
#include <csv.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/readers.h"

/* ---- cells ---- */

typedef enum cell_kind {
    CELL_MISSING,
    CELL_NUMBER,
    CELL_INFINITE, /* also beyond the range of float */
    CELL_WORD
} cell_kind;

static cell_kind
read_cell(const char *text, double *value)
{
    long whole = 0;
    size_t digits = 0;
    char *end;

    /* Most cells are short whole numbers, which strtod reads ten times slower. */
    for (; digits < 10 && text[digits] >= '0' && text[digits] <= '9'; digits++) {
        whole = whole * 10 + (text[digits] - '0');
    }
    *value = (double)whole;
    if (digits > 0 && text[digits] == '\0') {
        return CELL_NUMBER;
    }
    if (text[0] == '\0' || strcmp(text, "?") == 0 || strcasecmp(text, "na") == 0 ||
        strcasecmp(text, "nan") == 0) {
        return CELL_MISSING;
    }
    *value = strtod(text, &end);
    if (end == text || *end != '\0' || strpbrk(text, "xX") != NULL || isnan(*value)) {
        return CELL_WORD;
    }
    return fabs(*value) <= (double)FLT_MAX ? CELL_NUMBER : CELL_INFINITE;
}

/* A whole number of at most nine digits. */
static bool
read_integer(const char *text, long *value)
{
    size_t sign = text[0] == '-', digits = strspn(text + sign, "0123456789");
    if (digits == 0 || digits > 9 || text[sign + digits] != '\0') {
        return false;
    }
    *value = strtol(text, NULL, 10);
    return true;
}

/* ---- the table: text into fields ---- */

typedef struct table {
    const witan_stream *stream; /* borrowed: name, allocator */
    char *text;                 /* owned */
    size_t columns, rows;
    const char *cells; /* first field of the first data row */
    uint32_t *lines;   /* [rows] owned: where each data row ends in the file */
    /* While reading: */
    size_t written, fields, line;
    size_t capacity; /* of lines */
    witan_status status;
    witan_diag *diag;
} table;

static void
table_fini(table *self)
{
    if (self->stream != NULL) {
        witan_free(self->stream->allocator, self->text);
        witan_free(self->stream->allocator, self->lines);
    }
}

static void
on_field(void *bytes, size_t size, void *context)
{
    table *self = context;
    if (self->status != WITAN_OK) {
        return;
    }
    if (size > 0 && memchr(bytes, '\0', size) != NULL) {
        self->status =
            witan_stream_fail(self->stream, self->diag, WITAN_E_DATA,
                              "line %zu holds a zero byte; save the table as "
                              "UTF-8 text",
                              self->line);
        return;
    }
    if (++self->fields > WITAN_COLUMNS_MAX) {
        self->status = witan_stream_fail(self->stream, self->diag, WITAN_E_DATA,
                                         "line %zu has more than %zu fields",
                                         self->line, WITAN_COLUMNS_MAX);
        return;
    }
    /* Never ahead of the reader: a field and its delimiter were read before. */
    memcpy(self->text + self->written, bytes, size);
    self->text[self->written + size] = '\0';
    self->written += size + 1;
}

static void
on_row(int end, void *context)
{
    table *self = context;
    (void)end;
    if (self->status != WITAN_OK) {
        return;
    }
    if (self->cells == NULL) {
        self->columns = self->fields;
        self->cells = self->text + self->written;
    } else if (self->fields != self->columns) {
        self->status = witan_stream_fail(
            self->stream, self->diag, WITAN_E_DATA,
            "line %zu has %zu fields where the header has %zu; quote fields that hold "
            "commas",
            self->line, self->fields, self->columns);
    } else if (self->rows == self->capacity) {
        self->status = witan_stream_fail(self->stream, self->diag, WITAN_E_DATA,
                                         "line %zu: too many rows", self->line);
    } else {
        self->lines[self->rows++] = (uint32_t)self->line;
    }
    self->fields = 0;
}

/* One past the end of the line that starts at `at`; \n, \r\n and \r end lines. */
static const char *
line_end(const char *at, const char *end)
{
    while (at < end && *at != '\n' && *at != '\r') {
        at++;
    }
    if (at < end && *at == '\r') {
        at++;
        return at < end && *at == '\n' ? at + 1 : at;
    }
    return at < end ? at + 1 : at;
}

static witan_status
parse_lines(table *self, const char *at, const char *end)
{
    struct csv_parser parser;
    bool parsed = true;

    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0) {
        return WITAN_E_MEMORY;
    }
    self->line = 1;
    while (at < end && parsed && self->status == WITAN_OK) {
        const char *next = line_end(at, end);
        size_t size = (size_t)(next - at);
        parsed = csv_parse(&parser, at, size, on_field, on_row, self) == size;
        at = next;
        self->line += parsed && at < end;
    }
    if (parsed && self->status == WITAN_OK) {
        parsed = csv_fini(&parser, on_field, on_row, self) == 0;
    }
    if (!parsed && csv_error(&parser) == CSV_EPARSE) {
        self->status = witan_stream_fail(
            self->stream, self->diag, WITAN_E_DATA,
            "line %zu: a quote inside or after a field, or one that is never closed; "
            "write \"a \"\"word\"\" in quotes\"",
            self->line);
    } else if (!parsed) {
        self->status = witan_stream_fail(self->stream, self->diag, WITAN_E_MEMORY,
                                         "line %zu: out of memory", self->line);
    }
    csv_free(&parser);
    return self->status;
}

static const char *
next_field(const char *field)
{
    return field + strlen(field) + 1;
}

/* A first row of numbers alone is data: the header was forgotten. */
static witan_status
check_names(const table *self)
{
    const char *field = self->text;
    size_t numbers = 0;
    double value;
    for (size_t j = 0; j < self->columns; j++, field = next_field(field)) {
        numbers += read_cell(field, &value) == CELL_NUMBER;
    }
    return numbers < self->columns
               ? WITAN_OK
               : witan_stream_fail(
                     self->stream, self->diag, WITAN_E_DATA,
                     "the first line holds numbers alone; put a header row "
                     "with the names of the columns above it");
}

/* Reads and unpacks the stream. */
static witan_status
table_read(table *self, witan_stream *stream, witan_diag *diag)
{
    size_t size = (size_t)stream->bound, ends = 1;

    memset(self, 0, sizeof *self);
    self->stream = stream;
    self->diag = diag;
    if (stream->inflate != NULL || stream->bound > WITAN_DATASET_BYTES_MAX) {
        return witan_stream_fail(stream, diag, WITAN_E_DATA,
                                 "a table must be plain text of at most %zu bytes; "
                                 "unpack it first",
                                 WITAN_DATASET_BYTES_MAX);
    }
    self->text = witan_alloc(stream->allocator, size + 1, 1);
    if (self->text == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_MEMORY,
                                 "out of memory for %zu bytes", size);
    }
    WITAN_TRY(witan_stream_read(stream, self->text, size, diag));
    for (size_t i = 0; i < size; i++) {
        ends += self->text[i] == '\n' || self->text[i] == '\r';
    }
    ends = ends < WITAN_SAMPLES_MAX ? ends : WITAN_SAMPLES_MAX;
    /* A row takes two bytes at least. */
    self->capacity = ends < size / 2 + 1 ? ends : size / 2 + 1;
    self->lines = witan_alloc(stream->allocator, self->capacity, sizeof *self->lines);
    if (self->lines == NULL) {
        return witan_stream_fail(stream, diag, WITAN_E_MEMORY,
                                 "out of memory for %zu rows", self->capacity);
    }
    bool mark = size >= 3 && memcmp(self->text, "\xEF\xBB\xBF", 3) == 0;
    WITAN_TRY(parse_lines(self, self->text + (mark ? 3 : 0), self->text + size));
    if (self->columns < 2 || self->rows == 0) {
        return witan_stream_fail(
            stream, diag, WITAN_E_DATA,
            "has %zu columns and %zu rows below the header; at least "
            "two columns and one row are needed",
            self->columns, self->rows);
    }
    return check_names(self);
}

/* ---- words: a sorted set ---- */

typedef struct words {
    const char **items; /* owned array, borrowed strings */
    size_t count, capacity;
} words;

static int
compare_words(const char *a, const char *b, bool numeric)
{
    long x, y;
    if (numeric && read_integer(a, &x) && read_integer(b, &y)) {
        return (x > y) - (x < y);
    }
    return strcmp(a, b);
}

/* Where `word` is, or would be inserted. */
static bool
words_find(const words *self, const char *word, bool numeric, size_t *position)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_words(self->items[middle], word, numeric);
        if (order == 0) {
            *position = middle;
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *position = low;
    return false;
}

static witan_status
words_add(words *self, const char *word, bool numeric, const witan_allocator *allocator)
{
    size_t position;
    if (words_find(self, word, numeric, &position)) {
        return WITAN_OK;
    }
    if (self->count == WITAN_CATEGORIES_MAX) {
        return WITAN_E_LIMIT;
    }
    if (self->count == self->capacity) {
        size_t capacity = self->capacity * 2 + 8;
        const char **items = witan_alloc(allocator, capacity, sizeof *items);
        if (items == NULL) {
            return WITAN_E_MEMORY;
        }
        if (self->count > 0) {
            memcpy(items, self->items, self->count * sizeof *items);
        }
        witan_free(allocator, self->items);
        self->items = items;
        self->capacity = capacity;
    }
    memmove(self->items + position + 1, self->items + position,
            (self->count - position) * sizeof *self->items);
    self->items[position] = word;
    self->count++;
    return WITAN_OK;
}

/* ---- the encoding ---- */

typedef struct column {
    const char *name;
    bool categorical;
    words words;  /* categories, or class names of the label column */
    double sum;   /* of the numbers of training rows */
    size_t count; /* of these */
    size_t first; /* first feature */
} column;

typedef struct encoding {
    const table *fitted_on;
    const uint8_t *mask; /* rows held out of it, or NULL; borrowed */
    column *columns;     /* owned */
    size_t label;        /* index of the label column */
    bool label_direct;   /* integers from 0: used as they are */
    bool label_numeric;  /* other integers: ordered by value */
    size_t features;
    witan_diag *diag;
} encoding;

static void
encoding_fini(encoding *self)
{
    const witan_allocator *allocator = self->fitted_on->stream->allocator;
    for (size_t j = 0; self->columns != NULL && j < self->fitted_on->columns; j++) {
        witan_free(allocator, self->columns[j].words.items);
    }
    witan_free(allocator, self->columns);
}

static witan_status
find_label(encoding *self, const char *label)
{
    const table *from = self->fitted_on;
    size_t found = 0;

    self->label = from->columns - 1;
    if (label == NULL || label[0] == '\0') {
        return WITAN_OK;
    }
    for (size_t j = 0; j < from->columns; j++) {
        if (strcmp(self->columns[j].name, label) == 0) {
            self->label = j;
            found++;
        }
    }
    if (found != 1) {
        return witan_stream_fail(from->stream, self->diag, WITAN_E_DATA,
                                 "%s column is named '%s'; the last one is '%s'",
                                 found == 0 ? "no" : "more than one", label,
                                 self->columns[from->columns - 1].name);
    }
    return WITAN_OK;
}

static witan_status
read_names(encoding *self, const char *label)
{
    const table *from = self->fitted_on;
    const char *field = from->text;

    self->columns =
        witan_zalloc(from->stream->allocator, from->columns, sizeof *self->columns);
    if (self->columns == NULL) {
        return witan_stream_fail(from->stream, self->diag, WITAN_E_MEMORY,
                                 "out of memory for %zu columns", from->columns);
    }
    for (size_t j = 0; j < from->columns; j++, field = next_field(field)) {
        self->columns[j].name = field;
    }
    return find_label(self, label);
}

/* First walk: which columns hold words, what the labels are, sums of the numbers. */
static witan_status
classify(encoding *self)
{
    const table *from = self->fitted_on;
    const char *field = from->cells;
    long label, least = LONG_MAX;

    self->label_numeric = true;
    for (size_t i = 0; i < from->rows; i++) {
        bool training = self->mask == NULL || self->mask[i] == 0;
        for (size_t j = 0; j < from->columns; j++, field = next_field(field)) {
            column *at = &self->columns[j];
            double value;
            cell_kind kind = read_cell(field, &value);
            if (j == self->label) {
                if (kind == CELL_MISSING) {
                    return witan_stream_fail(from->stream, self->diag, WITAN_E_DATA,
                                             "line %u has no label in column '%s'; "
                                             "remove the row or fill it in",
                                             from->lines[i], at->name);
                }
                self->label_numeric =
                    self->label_numeric && read_integer(field, &label);
                least = self->label_numeric && label < least ? label : least;
            } else if (kind == CELL_WORD) {
                at->categorical = true;
            } else if (kind == CELL_NUMBER && training) {
                at->sum += value;
                at->count++;
            }
        }
    }
    self->label_direct = self->label_numeric && least == 0;
    return WITAN_OK;
}

/* Second walk: categories of the training rows, classes of all rows. */
static witan_status
collect_words(encoding *self)
{
    const table *from = self->fitted_on;
    const char *field = from->cells;

    for (size_t i = 0; i < from->rows; i++) {
        bool training = self->mask == NULL || self->mask[i] == 0;
        for (size_t j = 0; j < from->columns; j++, field = next_field(field)) {
            column *at = &self->columns[j];
            bool is_label = j == self->label;
            double value;
            if (is_label ? self->label_direct
                         : !at->categorical || !training ||
                               read_cell(field, &value) == CELL_MISSING) {
                continue;
            }
            witan_status status =
                words_add(&at->words, field, is_label && self->label_numeric,
                          from->stream->allocator);
            if (status == WITAN_E_LIMIT) {
                return witan_stream_fail(
                    from->stream, self->diag, WITAN_E_DATA,
                    "column '%s' has more than %zu different values and some are no "
                    "numbers (line %u: '%.40s'); remove the column or clean it",
                    at->name, WITAN_CATEGORIES_MAX, from->lines[i], field);
            }
            if (status != WITAN_OK) {
                return witan_stream_fail(from->stream, self->diag, status,
                                         "out of memory for categories");
            }
        }
    }
    return WITAN_OK;
}

/* Gives every column its place in a row. */
static witan_status
lay_out(encoding *self)
{
    const table *from = self->fitted_on;
    for (size_t j = 0; j < from->columns; j++) {
        column *at = &self->columns[j];
        at->first = self->features;
        if (j == self->label) {
            continue;
        }
        if (!at->categorical && at->count == 0) {
            return witan_stream_fail(from->stream, self->diag, WITAN_E_DATA,
                                     "column '%s' has no value in any training row; "
                                     "remove it",
                                     at->name);
        }
        self->features += at->categorical ? at->words.count : 1;
    }
    return WITAN_OK;
}

static witan_status
encode_label(const encoding *self, const table *from, size_t row, const char *field,
             uint32_t *out)
{
    const column *at = &self->columns[self->label];
    size_t position;
    long label;

    if (self->label_direct && read_integer(field, &label) && label >= 0 &&
        (size_t)label < WITAN_CLASSES_MAX) {
        *out = (uint32_t)label;
        return WITAN_OK;
    }
    if (self->label_direct) {
        return witan_stream_fail(from->stream, self->diag, WITAN_E_DATA,
                                 "line %u: label '%.40s' is no class; classes are "
                                 "integers from 0 to at most %zu",
                                 from->lines[row], field, WITAN_CLASSES_MAX - 1);
    }
    if (!words_find(&at->words, field, self->label_numeric, &position)) {
        return witan_stream_fail(from->stream, self->diag, WITAN_E_DATA,
                                 "line %u: label '%.40s' does not occur in %s",
                                 from->lines[row], field,
                                 self->fitted_on->stream->name);
    }
    *out = (uint32_t)position;
    return WITAN_OK;
}

static witan_status
encode_cell(const encoding *self, const table *from, size_t row, const column *at,
            const char *field, float *x)
{
    double value;
    size_t position;
    cell_kind kind = read_cell(field, &value);

    if (at->categorical) {
        if (kind != CELL_MISSING && words_find(&at->words, field, false, &position)) {
            x[at->first + position] = 1.0f;
        }
        return WITAN_OK;
    }
    if (kind == CELL_WORD || kind == CELL_INFINITE) {
        return witan_stream_fail(
            from->stream, self->diag, WITAN_E_DATA, "line %u, column '%s': '%.40s' %s",
            from->lines[row], at->name, field,
            kind == CELL_WORD
                ? "is no number, but the column holds numbers in training; "
                  "correct it or leave it empty"
                : "is no finite float; correct it or leave it empty");
    }
    x[at->first] = (float)(kind == CELL_NUMBER ? value : at->sum / (double)at->count);
    return WITAN_OK;
}

/* Last walk: the rows whose mask entry is `part` into `out`. */
static witan_status
encode(const encoding *self, const table *from, const uint8_t *mask, uint8_t part,
       witan_dataset *out)
{
    const witan_allocator *allocator = from->stream->allocator;
    const char *field = from->cells;
    size_t rows = 0, row = 0;

    for (size_t i = 0; i < from->rows; i++) {
        rows += mask == NULL || mask[i] == part;
    }
    /* The words of a small file can stand for a large one-hot table: no file bound. */
    size_t shape[4] = {rows, 1, 1, self->features};
    WITAN_TRY(witan_rows_allocate(out, shape, false, 0, from->stream, self->diag));
    memset(out->values, 0, rows * self->features * sizeof *out->values);
    out->labels = witan_alloc(allocator, rows, sizeof *out->labels);
    if (out->labels == NULL) {
        return witan_stream_fail(from->stream, self->diag, WITAN_E_MEMORY,
                                 "out of memory for %zu labels", rows);
    }
    for (size_t i = 0; i < from->rows; i++) {
        bool wanted = mask == NULL || mask[i] == part;
        float *x = out->values + row * self->features;
        for (size_t j = 0; j < from->columns; j++, field = next_field(field)) {
            if (!wanted) {
                continue;
            }
            if (j == self->label) {
                WITAN_TRY(encode_label(self, from, i, field, &out->labels[row]));
            } else {
                WITAN_TRY(encode_cell(self, from, i, &self->columns[j], field, x));
            }
        }
        row += wanted;
    }
    return WITAN_OK;
}

/* The classes that have names. */
static witan_status
name_classes(const encoding *self, witan_dataset *set)
{
    const witan_stream *stream = self->fitted_on->stream;
    const words *names = &self->columns[self->label].words;

    if (self->label_direct) {
        return WITAN_OK;
    }
    set->class_names =
        witan_zalloc(stream->allocator, names->count, sizeof *set->class_names);
    set->classes = set->class_names == NULL ? 0 : names->count;
    for (size_t c = 0; c < set->classes; c++) {
        set->class_names[c] = witan_strdup(stream->allocator, names->items[c]);
        if (set->class_names[c] == NULL) {
            return witan_stream_fail(stream, self->diag, WITAN_E_MEMORY,
                                     "out of memory");
        }
    }
    return set->class_names != NULL
               ? WITAN_OK
               : witan_stream_fail(stream, self->diag, WITAN_E_MEMORY, "out of memory");
}

static witan_status
check_header(const table *train, const table *test, witan_diag *diag)
{
    const char *a = train->text, *b = test->text;
    if (train->columns != test->columns) {
        return witan_stream_fail(test->stream, diag, WITAN_E_DATA,
                                 "has %zu columns where %s has %zu", test->columns,
                                 train->stream->name, train->columns);
    }
    for (size_t j = 0; j < train->columns; j++) {
        if (strcmp(a, b) != 0) {
            return witan_stream_fail(
                test->stream, diag, WITAN_E_DATA,
                "column %zu is '%.40s' where %s has '%.40s'; use the "
                "same columns in the same order",
                j + 1, b, train->stream->name, a);
        }
        a = next_field(a);
        b = next_field(b);
    }
    return WITAN_OK;
}

static witan_status
fit(encoding *self, const char *label)
{
    WITAN_TRY(read_names(self, label));
    WITAN_TRY(classify(self));
    WITAN_TRY(collect_words(self));
    return lay_out(self);
}

witan_status
witan_csv_read(witan_dataset *train_set, witan_dataset *test_set, witan_stream *train,
               witan_stream *test, const witan_data_source *source, witan_diag *diag)
{
    table train_table, test_table = {0};
    encoding code = {.fitted_on = &train_table, .diag = diag};
    uint8_t *mask = NULL;
    witan_status status = table_read(&train_table, train, diag);

    if (status == WITAN_OK && test != NULL) {
        status = table_read(&test_table, test, diag);
        if (status == WITAN_OK) {
            status = check_header(&train_table, &test_table, diag);
        }
    } else if (status == WITAN_OK) {
        status = witan_split_mask(&mask, train_table.rows, source, train->name,
                                  train->allocator, diag);
        code.mask = mask;
    }
    if (status == WITAN_OK) {
        status = fit(&code, source->label);
    }
    if (status == WITAN_OK) {
        status = encode(&code, &train_table, mask, 0, train_set);
    }
    if (status == WITAN_OK) {
        status =
            encode(&code, test != NULL ? &test_table : &train_table, mask, 1, test_set);
    }
    if (status == WITAN_OK) {
        status = name_classes(&code, train_set);
    }
    encoding_fini(&code);
    witan_free(train->allocator, mask);
    table_fini(&train_table);
    table_fini(&test_table);
    return status;
}
