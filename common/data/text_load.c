/* text_load.c - text files to windows of tokens.
 * Why here: see readers.h. How text is cut does not depend on the vocabulary, so the
 * windows are dealt to training, validation and test part first, and the vocabulary is
 * made of what the training part says alone.
 * Method: all files into one buffer; pieces of it (a file, or what a role says at one
 * time) sorted by group; the pieces of a group laid one behind the other, a line break
 * between; windows from the beginning of each group, the rest behind them dropped. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "data/embedded.h"
#include "data/readers.h"

enum {
    TRAIN,
    VALID,
    TEST,
    PARTS
};

#define NAMES_BYTES_MAX ((size_t)1 << 30)
#define ROLE_BYTES_MAX ((size_t)64)

/* Text of one group from one place. */
typedef struct piece {
    size_t group_at, file_at;  /* offsets of two names that end in NUL */
    const char *group, *file;  /* the names, once all of them are there */
    size_t start, size, order; /* in the raw text; order of reading */
    int part;
} piece;

typedef struct group {
    const char *name;
    size_t start[PARTS], size[PARTS]; /* in the ordered text */
    /* Windows of each part: rows[p] of them, from window first[p] on of the text
     * of part from[p]. */
    size_t rows[PARTS], first[PARTS];
    int from[PARTS];
} group;

typedef struct corpus {
    const witan_data_source *source;
    const witan_text_options *options;
    const char *path; /* as messages call it */
    const witan_allocator *allocator;
    witan_diag *diag;
    bool parted;       /* train.txt, valid.txt, test.txt */
    witan_text raw;    /* all files */
    witan_text names;  /* of groups and files */
    witan_text pieces; /* a list of piece */
    witan_text text;   /* the groups, one behind the other */
    group *groups;     /* [count] owned */
    size_t count;
    witan_vocabulary vocabulary;
} corpus;

static witan_status
no_memory(const corpus *self)
{
    return witan_diag_fail(self->diag, WITAN_E_MEMORY, "%s: out of memory", self->path);
}

/* What a growing buffer has to say. */
static witan_status
check_buffer(const corpus *self, const witan_text *buffer)
{
    if (buffer->status == WITAN_E_LIMIT) {
        return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                               "%s: more than %zu bytes; split the text", self->path,
                               buffer->ceiling);
    }
    return buffer->status == WITAN_OK ? WITAN_OK : no_memory(self);
}

/* --- files to pieces -------------------------------------------------------------- */

static size_t
add_name(corpus *self, const char *name, size_t size)
{
    size_t at = self->names.length;
    witan_text_add(&self->names, name, size);
    witan_text_add(&self->names, "", 1);
    return at;
}

static void
add_piece(corpus *self, size_t group_at, size_t file_at, size_t start, size_t size,
          int part)
{
    piece it = {.group_at = group_at,
                .file_at = file_at,
                .start = start,
                .size = size,
                .order = self->pieces.length,
                .part = part};
    witan_text_add(&self->pieces, (const char *)&it, sizeof it);
}

/* Whether a line says who speaks: "NAME:". */
static bool
is_role(const char *line, size_t size)
{
    if (size < 2 || size > ROLE_BYTES_MAX || line[size - 1] != ':') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) {
            return false;
        }
    }
    return true;
}

/* What each role says in raw[start..start + size), without its name and without blank
 * lines around it. Text before the first role is nobody's. */
static void
add_speeches(corpus *self, size_t file_at, size_t start, size_t size, int part)
{
    const char *raw = self->raw.data;
    size_t stop = start + size, role = SIZE_MAX, begin = 0, end = 0;
    bool blank = true; /* the line before */
    for (size_t at = start; at < stop;) {
        const char *found = memchr(raw + at, '\n', stop - at);
        size_t next = found == NULL ? stop : (size_t)(found - raw) + 1;
        size_t line = next - (found != NULL);
        line -= line > at && raw[line - 1] == '\r';
        if (blank && is_role(raw + at, line - at)) {
            if (end > begin) {
                add_piece(self, role, file_at, begin, end - begin, part);
            }
            role = add_name(self, raw + at, line - at - 1);
            begin = end = next;
        } else if (line > at && role != SIZE_MAX) {
            begin = end == begin ? at : begin;
            end = line;
        }
        blank = line == at;
        at = next;
    }
    if (end > begin) {
        add_piece(self, role, file_at, begin, end - begin, part);
    }
}

/* Length of "name" in "name.txt" or "name.txt.gz"; 0 when it is neither. */
static size_t
stem_of(const char *name)
{
    static const char *const endings[] = {".txt", ".txt.gz"};
    size_t length = strlen(name);
    for (size_t i = 0; i < 2; i++) {
        size_t tail = strlen(endings[i]);
        if (length > tail && strcmp(name + length - tail, endings[i]) == 0) {
            return length - tail;
        }
    }
    return 0;
}

/* Takes in a stream and closes it. `folder` may be "", `name` is without ending. */
static witan_status
read_stream(corpus *self, witan_stream *stream, const char *folder, const char *name,
            size_t name_size, int part)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* that some editors write first */
    char buffer[16384], label[2 * NAME_MAX + 2];
    size_t start = self->raw.length, got = sizeof buffer;
    witan_status status = WITAN_OK;
    while (status == WITAN_OK && got == sizeof buffer) {
        status = witan_stream_some(stream, buffer, sizeof buffer, &got, self->diag);
        if (status == WITAN_OK) {
            witan_text_add(&self->raw, buffer, got);
            status = check_buffer(self, &self->raw);
        }
    }
    if (status == WITAN_OK) {
        status = witan_stream_end(stream, self->diag);
    }
    witan_stream_close(stream);
    size_t size = self->raw.length - start;
    if (status != WITAN_OK || size == 0) {
        return status;
    }
    size_t bad = witan_text_check(self->raw.data + start, size);
    if (bad < size) {
        return witan_stream_fail(stream, self->diag, WITAN_E_DATA,
                                 "byte %zu is not UTF-8; save the text as UTF-8", bad);
    }
    if (size >= 3 && memcmp(self->raw.data + start, mark, 3) == 0) {
        start += 3;
        size -= 3;
    }
    (void)snprintf(label, sizeof label, "%s%s%.*s", folder,
                   folder[0] == '\0' ? "" : "/", (int)name_size, name);
    size_t file_at = add_name(self, label, strlen(label));
    if (self->options->group == WITAN_TEXT_GROUP_SPEAKER) {
        add_speeches(self, file_at, start, size, part);
        return WITAN_OK;
    }
    size_t group_at = file_at;
    if (self->options->group == WITAN_TEXT_GROUP_NONE || self->parted) {
        group_at = add_name(self, "all", 3);
    } else if (self->options->group == WITAN_TEXT_GROUP_FOLDER) {
        folder = folder[0] == '\0' ? "." : folder;
        group_at = add_name(self, folder, strlen(folder));
    }
    add_piece(self, group_at, file_at, start, size, part);
    return WITAN_OK;
}

static witan_status
read_file(corpus *self, const char *path, const char *folder, int part)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    size_t stem = stem_of(name);
    witan_stream stream;
    WITAN_TRY(witan_stream_open(&stream, path, self->allocator, self->diag));
    return read_stream(self, &stream, folder, name, stem > 0 ? stem : strlen(name),
                       part);
}

/* directory/name; what it is in *status; false when it is not there. */
static bool
look(char path[WITAN_PATH_MAX], struct stat *status, const char *directory,
     const char *name)
{
    int length = snprintf(path, WITAN_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && (size_t)length < WITAN_PATH_MAX && stat(path, status) == 0;
}

/* All text files of a directory and, at the top (folder ""), of its folders. */
static witan_status
read_directory(corpus *self, const char *directory, const char *folder)
{
    char path[WITAN_PATH_MAX];
    struct stat status;
    witan_status result = WITAN_OK;
    DIR *entries = opendir(directory);
    if (entries == NULL) {
        return witan_diag_fail(self->diag, WITAN_E_IO, "%s: cannot read the directory",
                               directory);
    }
    const struct dirent *entry;
    while (result == WITAN_OK && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] == '.' || !look(path, &status, directory, entry->d_name)) {
            continue;
        }
        if (S_ISDIR(status.st_mode) && folder[0] == '\0') {
            result = read_directory(self, path, entry->d_name);
        } else if (S_ISREG(status.st_mode) && stem_of(entry->d_name) > 0) {
            result = read_file(self, path, folder, TRAIN);
        }
    }
    (void)closedir(entries);
    return result;
}

static bool
has_text(const char *directory, bool top)
{
    char path[WITAN_PATH_MAX];
    struct stat status;
    bool found = false;
    DIR *entries = opendir(directory);
    const struct dirent *entry;
    while (entries != NULL && !found && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] != '.' && look(path, &status, directory, entry->d_name)) {
            found = S_ISDIR(status.st_mode) ? top && has_text(path, false)
                                            : stem_of(entry->d_name) > 0;
        }
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    return found;
}

bool
witan_text_is_there(const char *directory)
{
    return has_text(directory, true);
}

/* path [PARTS]: "" where a part is not there. Whether training and test part are. */
static bool
find_parts(char path[PARTS][WITAN_PATH_MAX], const char *directory)
{
    static const char *const names[PARTS][2] = {{"train.txt", "train.txt.gz"},
                                                {"valid.txt", "valid.txt.gz"},
                                                {"test.txt", "test.txt.gz"}};
    struct stat status;
    for (int p = 0; p < PARTS; p++) {
        if (!look(path[p], &status, directory, names[p][0]) &&
            !look(path[p], &status, directory, names[p][1])) {
            path[p][0] = '\0';
        }
    }
    return path[TRAIN][0] != '\0' && path[TEST][0] != '\0';
}

static witan_status
read_all(corpus *self)
{
    const char *path = self->source->path == NULL ? "" : self->source->path;
    char parts[PARTS][WITAN_PATH_MAX];
    struct stat status;
    if (path[0] == '\0') {
        witan_stream stream;
        WITAN_TRY(witan_stream_memory(&stream, self->path, witan_embedded_shakespeare,
                                      (size_t)witan_embedded_shakespeare_size, true,
                                      self->allocator, self->diag));
        return read_stream(self, &stream, "", "tinyshakespeare", 15, TRAIN);
    }
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return read_file(self, path, "", TRAIN);
    }
    self->parted = find_parts(parts, path);
    if (!self->parted) {
        return read_directory(self, path, "");
    }
    for (int p = 0; p < PARTS; p++) {
        if (parts[p][0] != '\0') {
            WITAN_TRY(
                read_file(self, parts[p], "", self->source->transfer ? TRAIN : p));
        }
    }
    return WITAN_OK;
}

/* --- pieces to groups ------------------------------------------------------------- */

static int
compare_pieces(const void *left, const void *right)
{
    const piece *a = left, *b = right;
    int order = strcmp(a->group, b->group);
    order = order != 0 ? order : a->part - b->part;
    order = order != 0 ? order : strcmp(a->file, b->file);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* The pieces in order, and how many groups they are. */
static piece *
sort_pieces(corpus *self, size_t *count, size_t *groups)
{
    piece *pieces = (piece *)(void *)self->pieces.data;
    *count = self->pieces.length / sizeof *pieces;
    *groups = 0;
    for (size_t i = 0; i < *count; i++) {
        pieces[i].group = self->names.data + pieces[i].group_at;
        pieces[i].file = self->names.data + pieces[i].file_at;
    }
    if (*count > 0) {
        qsort(pieces, *count, sizeof *pieces, compare_pieces);
    }
    for (size_t i = 0; i < *count; i++) {
        *groups += i == 0 || strcmp(pieces[i].group, pieces[i - 1].group) != 0;
    }
    return pieces;
}

static witan_status
lay_out(corpus *self)
{
    size_t count, groups;
    const piece *pieces = sort_pieces(self, &count, &groups);
    if (count == 0) {
        return witan_diag_fail(
            self->diag, WITAN_E_DATA, "%s: has no text%s", self->path,
            self->options->group == WITAN_TEXT_GROUP_SPEAKER
                ? " that a role speaks (\"NAME:\" alone on a line after a blank one); "
                  "choose another data.text.group"
                : "; give .txt files that are not empty");
    }
    if (groups > WITAN_CLASSES_MAX) {
        return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                               "%s: has %zu groups; at most %zu can be told apart: "
                               "choose another data.text.group",
                               self->path, groups, WITAN_CLASSES_MAX);
    }
    self->groups = witan_zalloc(self->allocator, groups, sizeof *self->groups);
    if (self->groups == NULL) {
        return no_memory(self);
    }
    for (size_t i = 0; i < count; i++) {
        const piece *it = &pieces[i];
        if (i == 0 || strcmp(it->group, pieces[i - 1].group) != 0) {
            self->groups[self->count++].name = it->group;
        }
        group *to = &self->groups[self->count - 1];
        if (to->size[it->part] == 0) {
            to->start[it->part] = self->text.length;
        } else {
            witan_text_add(&self->text, "\n", 1);
        }
        witan_text_add(&self->text, self->raw.data + it->start, it->size);
        to->size[it->part] = self->text.length - to->start[it->part];
    }
    WITAN_TRY(check_buffer(self, &self->text));
    witan_text_fini(&self->raw);
    return WITAN_OK;
}

/* --- groups to windows ------------------------------------------------------------ */

/* The last windows of a group are its test part, those before them its validation part;
 * one at least is trained on. */
static void
split_group(const corpus *self, group *it, size_t windows)
{
    size_t test = (size_t)llround(self->source->test_fraction * (double)windows);
    size_t valid = (size_t)llround(self->options->valid_fraction * (double)windows);
    test = test < windows ? test : windows - 1;
    valid = valid < windows - test ? valid : windows - test - 1;
    it->rows[TRAIN] = windows - valid - test;
    it->rows[VALID] = valid;
    it->rows[TEST] = test;
    it->first[VALID] = it->rows[TRAIN];
    it->first[TEST] = it->rows[TRAIN] + valid;
}

/* Windows of every group and part; groups without one are dropped. */
static void
count_windows(corpus *self)
{
    size_t kept = 0;
    for (size_t g = 0; g < self->count; g++) {
        group *it = &self->groups[g];
        size_t windows = 0;
        for (int p = 0; p < PARTS; p++) {
            size_t tokens = 0;
            (void)witan_text_scan(self->options->unit, self->text.data + it->start[p],
                                  it->size[p], SIZE_MAX, &tokens);
            it->rows[p] = tokens > 0 ? (tokens - 1) / self->options->window : 0;
            it->from[p] = p;
            windows += it->rows[p];
        }
        if (windows > 0 && !self->parted && !self->source->transfer) {
            it->from[VALID] = it->from[TEST] = TRAIN;
            split_group(self, it, windows);
        }
        if (windows > 0) {
            self->groups[kept++] = *it;
        }
    }
    self->count = kept;
}

static witan_status
check_windows(const corpus *self)
{
    size_t rows[PARTS] = {0};
    for (size_t g = 0; g < self->count; g++) {
        for (int p = 0; p < PARTS; p++) {
            rows[p] += self->groups[g].rows[p];
        }
    }
    if (rows[TRAIN] == 0) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: no group has a window of %zu tokens; lower "
                               "data.text.window",
                               self->path, self->options->window + 1);
    }
    if (rows[TEST] == 0 && !self->source->transfer) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: no group has windows enough for a test part; lower "
                               "data.text.window or raise data.test_fraction",
                               self->path);
    }
    return WITAN_OK;
}

/* --- the vocabulary --------------------------------------------------------------- */

/* What the training windows hold, a line break between groups. */
static witan_status
make_vocabulary(corpus *self)
{
    const witan_text_options *options = self->options;
    witan_text training;
    witan_status status;
    if (options->known != NULL) {
        status = witan_vocabulary_from_names(&self->vocabulary, options->unit,
                                             options->known, options->known_count,
                                             self->allocator, self->diag);
    } else {
        witan_text_init(&training, self->allocator, WITAN_TOKENS_MAX);
        for (size_t g = 0; g < self->count; g++) {
            const group *it = &self->groups[g];
            const char *text = self->text.data + it->start[TRAIN];
            size_t wanted = it->rows[TRAIN] * options->window + 1, tokens;
            if (it->rows[TRAIN] > 0) {
                size_t size = witan_text_scan(options->unit, text, it->size[TRAIN],
                                              wanted, &tokens);
                witan_text_add(&training, "\n", training.length > 0);
                witan_text_add(&training, text, size);
            }
        }
        status = check_buffer(self, &training);
        if (status == WITAN_OK) {
            status = witan_vocabulary_make(
                &self->vocabulary, options->unit, training.data, training.length,
                options->vocabulary, self->allocator, self->diag);
        }
        witan_text_fini(&training);
    }
    if (status != WITAN_OK) {
        (void)witan_diag_prefix(self->diag, "%s", self->path);
    }
    return status;
}

/* --- windows to sets -------------------------------------------------------------- */

static char **
copy_names(char *const *names, size_t count, const witan_allocator *allocator)
{
    char **copy = witan_zalloc(allocator, count, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = witan_strdup(allocator, names[i]);
        if (copy[i] == NULL) {
            while (i-- > 0) {
                witan_free(allocator, copy[i]);
            }
            witan_free(allocator, copy);
            copy = NULL;
        }
    }
    return copy;
}

/* The blocks of one part, empty. */
static witan_status
take_room(const corpus *self, witan_dataset *set, int part)
{
    const witan_allocator *allocator = self->allocator;
    size_t rows = 0, tokens = 0, window = self->options->window;
    for (size_t g = 0; g < self->count; g++) {
        size_t of_group = self->groups[g].rows[part];
        rows += of_group;
        tokens += of_group > 0 ? of_group * window + 1 : 0;
    }
    if (rows > WITAN_SAMPLES_MAX || tokens > WITAN_TOKENS_MAX) {
        return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                               "%s: has %zu tokens; at most %zu are read", self->path,
                               tokens, WITAN_TOKENS_MAX);
    }
    *set = (witan_dataset){.height = 1,
                           .width = window,
                           .channels = 1,
                           .classes = self->count,
                           .length = window,
                           .vocabulary = self->vocabulary.count};
    set->labels = witan_alloc(allocator, rows, sizeof *set->labels);
    set->starts = witan_alloc(allocator, rows, sizeof *set->starts);
    set->tokens = witan_alloc(allocator, tokens, sizeof *set->tokens);
    set->token_names =
        copy_names(self->vocabulary.names, self->vocabulary.count, allocator);
    set->class_names = witan_zalloc(allocator, self->count, sizeof *set->class_names);
    if (set->labels == NULL || set->starts == NULL || set->tokens == NULL ||
        set->token_names == NULL || set->class_names == NULL) {
        return no_memory(self);
    }
    for (size_t g = 0; g < self->count; g++) {
        set->class_names[g] = witan_strdup(allocator, self->groups[g].name);
        if (set->class_names[g] == NULL) {
            return no_memory(self);
        }
    }
    return WITAN_OK;
}

/* Windows first..first + rows of a text of tokens, behind what the set has. */
static void
add_windows(witan_dataset *set, const uint32_t *tokens, size_t first, size_t rows,
            size_t label)
{
    size_t window = set->length;
    if (rows == 0) {
        return;
    }
    memcpy(set->tokens + set->token_count, tokens + first * window,
           (rows * window + 1) * sizeof *tokens);
    for (size_t i = 0; i < rows; i++) {
        set->starts[set->samples] = (uint32_t)(set->token_count + i * window);
        set->labels[set->samples++] = (uint32_t)label;
    }
    set->token_count += rows * window + 1;
}

/* sets [PARTS]; NULL where a part is not wanted. */
static witan_status
fill(corpus *self, witan_dataset *const *sets)
{
    for (int p = 0; p < PARTS; p++) {
        if (sets[p] != NULL) {
            WITAN_TRY(take_room(self, sets[p], p));
        }
    }
    for (size_t g = 0; g < self->count; g++) {
        const group *it = &self->groups[g];
        for (int from = 0; from < PARTS; from++) {
            uint32_t *tokens;
            size_t count;
            WITAN_TRY(witan_vocabulary_encode(
                &self->vocabulary, self->text.data + it->start[from], it->size[from],
                &tokens, &count, NULL, self->allocator, self->diag));
            for (int p = 0; p < PARTS; p++) {
                if (sets[p] != NULL && it->from[p] == from) {
                    add_windows(sets[p], tokens, it->first[p], it->rows[p], g);
                }
            }
            witan_free(self->allocator, tokens);
        }
    }
    return WITAN_OK;
}

static witan_status
check_options(const corpus *self)
{
    const witan_text_options *options = self->options;
    double test = self->source->test_fraction, valid = options->valid_fraction;
    if (options->window == 0 || options->window > WITAN_CONTEXT_MAX) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "data.text.window is %zu: set it between 1 and %zu",
                               options->window, WITAN_CONTEXT_MAX);
    }
    if (!self->parted && !self->source->transfer &&
        (!(test > 0.0) || !(valid >= 0.0) || !(test + valid < 1.0))) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "data.test_fraction is %g and data.text.valid_fraction "
                               "%g: set the first above 0, the second to 0 or more, "
                               "both together below 1",
                               test, valid);
    }
    return WITAN_OK;
}

static witan_status
load(corpus *self, witan_dataset *const *sets)
{
    WITAN_TRY(read_all(self));
    WITAN_TRY(check_options(self));
    WITAN_TRY(check_buffer(self, &self->names));
    WITAN_TRY(check_buffer(self, &self->pieces));
    WITAN_TRY(lay_out(self));
    count_windows(self);
    WITAN_TRY(check_windows(self));
    WITAN_TRY(make_vocabulary(self));
    return fill(self, sets);
}

witan_status
witan_text_load(witan_dataset *train, witan_dataset *valid, witan_dataset *test,
                const witan_data_source *source, const witan_allocator *allocator,
                witan_diag *diag)
{
    bool embedded = source->path == NULL || source->path[0] == '\0';
    corpus self = {.source = source,
                   .options = &source->text,
                   .path = embedded ? "tiny Shakespeare" : source->path,
                   .allocator = allocator,
                   .diag = diag};
    witan_dataset *const sets[PARTS] = {train, valid, test};
    witan_text_init(&self.raw, allocator, WITAN_TOKENS_MAX);
    witan_text_init(&self.names, allocator, NAMES_BYTES_MAX);
    witan_text_init(&self.pieces, allocator, WITAN_TOKENS_MAX);
    witan_text_init(&self.text, allocator, WITAN_TOKENS_MAX);
    witan_status status = load(&self, sets);
    witan_vocabulary_fini(&self.vocabulary, allocator);
    witan_free(allocator, self.groups);
    witan_text_fini(&self.text);
    witan_text_fini(&self.pieces);
    witan_text_fini(&self.names);
    witan_text_fini(&self.raw);
    return status;
}
