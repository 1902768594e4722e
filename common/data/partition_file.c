#include "data/partition_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/random.h"

enum {
    PATH_SIZE = WITAN_PATH_MAX + 64
};

#define SUMMARY_BYTES_MAX ((size_t)1 << 30)

static const char public_name[] = "public.idx";

/* What a row is held by: public.idx, or client n's training (2n) or test (2n + 1) list.
 */
#define NOBODY UINT32_MAX
#define PUBLIC (UINT32_MAX - 1)

/* The file of a client's list, with `digits` digits, 1 to 20. */
static void
format_name(char out[64], size_t client, int digits, bool is_test)
{
    WITAN_ASSERT(digits >= 1 && digits <= 20);
    (void)snprintf(out, 64, "client_%0*zu%s.idx", digits, client,
                   is_test ? ".test" : "");
}

/* What a directory holds, and the lists being read from it. */
typedef struct reader {
    const char *directory;
    size_t clients; /* expected */
    size_t samples;
    bool has_public;
    size_t train_files; /* client_*.idx seen, whatever their number */
    size_t test_files;
    uint8_t *digits;  /* [clients] of client n's file name; 0 = not seen */
    uint32_t *holder; /* [samples] */
    uint32_t *rows;   /* [samples] out */
    size_t count;     /* rows read so far */
    witan_diag *diag;
} reader;

static witan_status
fail_io(witan_diag *diag, const char *path, const char *what)
{
    return witan_diag_fail(diag, WITAN_E_IO, "%s: %s: %s", path, what, strerror(errno));
}

/* client_<digits>.idx or client_<digits>.test.idx, two to nine digits. */
static bool
parse_name(const char *name, size_t *client, int *digits, bool *is_test)
{
    static const char prefix[] = "client_";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    const char *end = name + sizeof prefix - 1;
    *client = 0;
    *digits = 0;
    for (; *end >= '0' && *end <= '9' && *digits < 10; end++) {
        *client = *client * 10 + (size_t)(*end - '0');
        ++*digits;
    }
    *is_test = strcmp(end, ".test.idx") == 0;
    return *digits >= 2 && *digits <= 9 && (*is_test || strcmp(end, ".idx") == 0);
}

/* Notes one entry of the directory; self->digits may be NULL when only counting. */
static witan_status
scan_entry(reader *self, const char *name)
{
    size_t client;
    int digits;
    bool is_test;
    if (strcmp(name, public_name) == 0) {
        self->has_public = true;
    }
    if (!parse_name(name, &client, &digits, &is_test)) {
        return WITAN_OK;
    }
    if (is_test) {
        self->test_files++;
        return WITAN_OK;
    }
    self->train_files++;
    if (self->digits == NULL || client >= self->clients) {
        return WITAN_OK;
    }
    if (self->digits[client] != 0) {
        return witan_diag_fail(
            self->diag, WITAN_E_DATA,
            "%s: two files are client %zu's (%s and one with %d digits): "
            "remove one",
            self->directory, client, name, self->digits[client]);
    }
    self->digits[client] = (uint8_t)digits;
    return WITAN_OK;
}

static witan_status
scan_directory(reader *self)
{
    DIR *directory = opendir(self->directory);
    if (directory == NULL) {
        return fail_io(self->diag, self->directory, "cannot read this directory");
    }
    witan_status status = WITAN_OK;
    errno = 0;
    for (struct dirent *entry;
         status == WITAN_OK && (entry = readdir(directory)) != NULL; errno = 0) {
        status = scan_entry(self, entry->d_name);
    }
    if (status == WITAN_OK && errno != 0) {
        status = fail_io(self->diag, self->directory, "cannot read this directory");
    }
    (void)closedir(directory);
    return status;
}

/* A phrase for the file that already holds a row. */
static void
describe_holder(const reader *self, uint32_t holder, char out[96])
{
    if (holder == PUBLIC) {
        (void)snprintf(out, 96, "%s holds too", public_name);
    } else {
        char name[64];
        format_name(name, holder / 2, self->digits[holder / 2], holder % 2 == 1);
        (void)snprintf(out, 96, "%s holds too", name);
    }
}

static witan_status
add_row(reader *self, const char *path, size_t entry, uint32_t row, uint32_t mark)
{
    if (row >= self->samples) {
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: entry %zu is %d, but rows are 0 to %zu", path,
                               entry, (int)row, self->samples - 1);
    }
    if (self->holder[row] != NOBODY) {
        char other[96] = "it holds already";
        if (self->holder[row] != mark) {
            describe_holder(self, self->holder[row], other);
        }
        return witan_diag_fail(self->diag, WITAN_E_DATA,
                               "%s: entry %zu is row %u, which %s", path, entry, row,
                               other);
    }
    self->holder[row] = mark;
    self->rows[self->count++] = row; /* distinct rows: never more than `samples` */
    return WITAN_OK;
}

static witan_status
read_entries(reader *self, FILE *file, const char *path, uint32_t mark)
{
    unsigned char bytes[4096];
    size_t size;
    size_t entry = 0;
    while ((size = fread(bytes, 1, sizeof bytes, file)) > 0) {
        for (size_t i = 0; i + 4 <= size; i += 4) {
            uint32_t row = (uint32_t)bytes[i] | (uint32_t)bytes[i + 1] << 8 |
                           (uint32_t)bytes[i + 2] << 16 | (uint32_t)bytes[i + 3] << 24;
            WITAN_TRY(add_row(self, path, entry++, row, mark));
        }
        if (size % 4 != 0) { /* fread is short at the end alone */
            return witan_diag_fail(self->diag, WITAN_E_DATA,
                                   "%s: %zu bytes after entry %zu: the size must be a "
                                   "multiple of 4 (int32, little endian)",
                                   path, size % 4, entry);
        }
    }
    return ferror(file) != 0 ? fail_io(self->diag, path, "cannot read") : WITAN_OK;
}

static witan_status
read_list(reader *self, witan_indices *out, const char *name, uint32_t mark)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", self->directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fail_io(self->diag, path, "cannot open");
    }
    out->items = self->rows + self->count;
    witan_status status = read_entries(self, file, path, mark);
    out->count = (size_t)(self->rows + self->count - out->items);
    (void)fclose(file);
    return status;
}

static witan_status
check_files(const reader *self, bool want_tests)
{
    if (self->train_files != self->clients) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "clients is %zu but %s holds %zu client_*.idx files",
                               self->clients, self->directory, self->train_files);
    }
    for (size_t n = 0; n < self->clients; n++) {
        if (self->digits[n] == 0) {
            char name[64];
            format_name(name, n, 2, false);
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "%s: %s is missing: clients are numbered from 00",
                                   self->directory, name);
        }
    }
    if (want_tests && self->test_files != 0 && self->test_files != self->clients) {
        return witan_diag_fail(
            self->diag, WITAN_E_CONFIG,
            "clients is %zu but %s holds %zu client_*.test.idx files: "
            "give every client one, or none",
            self->clients, self->directory, self->test_files);
    }
    return WITAN_OK;
}

static witan_status
read_transfer(reader *self, witan_indices *out, const witan_partition_config *config)
{
    if (!self->has_public && config->transfer_samples > 0) {
        return witan_diag_fail(
            self->diag, WITAN_E_CONFIG,
            "transfer.samples is %zu but %s holds no %s: add it, or set "
            "transfer.path to a second data set",
            config->transfer_samples, self->directory, public_name);
    }
    if (!self->has_public) {
        return WITAN_OK;
    }
    WITAN_TRY(read_list(self, out, public_name, PUBLIC));
    if (config->transfer_samples > out->count) {
        return witan_diag_fail(
            self->diag, WITAN_E_CONFIG,
            "transfer.samples is %zu but %s/%s holds %zu rows: lower it",
            config->transfer_samples, self->directory, public_name, out->count);
    }
    if (config->transfer_samples > 0) {
        out->count = config->transfer_samples;
    }
    return WITAN_OK;
}

static witan_status
read_clients(reader *self, witan_partition *out, bool has_tests,
             const witan_partition_config *config)
{
    size_t least = has_tests || config->own_test_from_global ? 1 : 2;
    for (size_t n = 0; n < self->clients; n++) {
        char name[64];
        format_name(name, n, self->digits[n], false);
        WITAN_TRY(read_list(self, &out->train[n], name, (uint32_t)(2 * n)));
        size_t held = out->train[n].count;
        if (held < least) {
            return witan_diag_fail(self->diag, WITAN_E_DATA,
                                   "%s/%s: %zu rows, but a client needs %zu",
                                   self->directory, name, held, least);
        }
        if (has_tests) {
            format_name(name, n, self->digits[n], true);
            WITAN_TRY(read_list(self, &out->test[n], name, (uint32_t)(2 * n + 1)));
            held += out->test[n].count;
            if (out->test[n].count == 0) {
                return witan_diag_fail(self->diag, WITAN_E_DATA,
                                       "%s/%s: 0 rows, but a client needs 1",
                                       self->directory, name);
            }
        }
        if (held < config->minimum_samples) {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "%s: client %zu has %zu rows: lower "
                                   "data.partition.minimum (%zu)",
                                   self->directory, n, held, config->minimum_samples);
        }
    }
    return WITAN_OK;
}

static witan_status
read_all(reader *self, witan_partition *out, bool *has_tests,
         const witan_partition_config *config)
{
    WITAN_TRY(scan_directory(self));
    WITAN_TRY(check_files(self, !config->own_test_from_global));
    *has_tests = self->test_files > 0 && !config->own_test_from_global;
    WITAN_TRY(read_transfer(self, &out->transfer, config));
    WITAN_TRY(read_clients(self, out, *has_tests, config));
    out->unused = self->samples - out->transfer.count;
    for (size_t n = 0; n < self->clients; n++) {
        out->unused -= out->train[n].count + out->test[n].count;
    }
    return WITAN_OK;
}

witan_status
witan_partition_read(witan_partition *out, bool *has_tests,
                     const witan_partition_config *config, size_t samples,
                     const witan_allocator *allocator, witan_diag *diag)
{
    if (strlen(config->path) > WITAN_PATH_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "data.partition.path is longer than %zu bytes",
                               WITAN_PATH_MAX);
    }
    witan_status status = WITAN_E_MEMORY;
    out->rows = witan_alloc(allocator, samples, sizeof *out->rows);
    reader self = {.directory = config->path,
                   .clients = config->clients,
                   .samples = samples,
                   .digits = witan_zalloc(allocator, config->clients, 1),
                   .holder = witan_alloc(allocator, samples, sizeof *self.holder),
                   .rows = out->rows,
                   .diag = diag};
    if (out->rows != NULL && self.digits != NULL && self.holder != NULL) {
        memset(self.holder, 0xff, samples * sizeof *self.holder); /* NOBODY */
        status = read_all(&self, out, has_tests, config);
    }
    witan_free(allocator, self.holder);
    witan_free(allocator, self.digits);
    return status;
}

/* Flushes, checks and closes; a full disk shows up here at the latest. */
static witan_status
close_written(FILE *file, const char *path, witan_diag *diag)
{
    int reason = fflush(file) != 0 ? errno : ferror(file) != 0 ? EIO : 0;
    if (reason == 0 && fsync(fileno(file)) != 0) {
        reason =
            errno == EINVAL ? 0 : errno; /* EINVAL: nothing to sync, as on a pipe */
    }
    if (fclose(file) != 0 && reason == 0) {
        reason = errno;
    }
    errno = reason;
    return reason == 0 ? WITAN_OK : fail_io(diag, path, "cannot write");
}

static witan_status
write_list(const witan_indices *list, const char *directory, const char *name,
           witan_diag *diag)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return fail_io(diag, path, "cannot create");
    }
    for (size_t i = 0; i < list->count; i++) {
        uint32_t row = list->items[i];
        for (int shift = 0; shift < 32; shift += 8) {
            (void)putc((int)(row >> shift & 0xff), file);
        }
    }
    return close_written(file, path, diag);
}

static void
add_sizes(witan_text *out, const char *key, const witan_indices *lists, size_t clients)
{
    witan_text_format(out, "  \"%s\": [", key);
    for (size_t n = 0; n < clients; n++) {
        witan_text_format(out, "%s%zu", n == 0 ? "" : ", ", lists[n].count);
    }
    witan_text_format(out, "],\n");
}

/* counts [classes] is scratch. */
static void
add_histograms(witan_text *out, const witan_partition *self, const witan_dataset *train,
               uint32_t *counts)
{
    for (size_t n = 0; n < self->clients; n++) {
        memset(counts, 0, train->classes * sizeof *counts);
        for (size_t i = 0; i < self->train[n].count; i++) {
            counts[train->labels[self->train[n].items[i]]]++;
        }
        witan_text_format(out, "%s\n    [", n == 0 ? "" : ",");
        for (size_t c = 0; c < train->classes; c++) {
            witan_text_format(out, "%s%u", c == 0 ? "" : ", ", counts[c]);
        }
        witan_text_format(out, "]");
    }
}

void
witan_partition_summary(witan_text *out, const witan_partition *self,
                        const witan_dataset *train)
{
    char hex[WITAN_DIGEST_HEX_SIZE];
    uint8_t digest[WITAN_DIGEST_SIZE];
    uint32_t *counts = witan_alloc(out->allocator, train->classes, sizeof *counts);
    if (counts == NULL) {
        out->status = out->status == WITAN_OK ? WITAN_E_MEMORY : out->status;
        return;
    }
    witan_partition_digest(self, digest);
    witan_digest_hex(hex, digest);
    witan_text_format(
        out,
        "{\n  \"clients\": %zu,\n  \"public\": %zu,\n  \"unused\": %zu,\n"
        "  \"moved\": %zu,\n  \"own_test\": \"%s\",\n  \"digest\": \"%s\",\n",
        self->clients, self->transfer.count, self->unused, self->moved,
        self->test_is_global ? "global" : "holdout", hex);
    add_sizes(out, "train", self->train, self->clients);
    add_sizes(out, "test", self->test, self->clients);
    witan_text_format(out, "  \"histograms\": [");
    add_histograms(out, self, train, counts);
    witan_text_format(out, "\n  ]\n}\n");
    witan_free(out->allocator, counts);
}

static witan_status
write_summary(const witan_text *summary, const char *directory, witan_diag *diag)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/split.json", directory);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return fail_io(diag, path, "cannot create");
    }
    (void)fwrite(summary->data, 1, summary->length, file);
    return close_written(file, path, diag);
}

static int
digits_for(size_t clients)
{
    int digits = 2;
    for (size_t last = clients - 1; last >= 100; last /= 10) {
        digits++;
    }
    return digits;
}

static witan_status
write_all(const witan_partition *self, const witan_text *summary, const char *directory,
          witan_diag *diag)
{
    int digits = digits_for(self->clients);
    if (self->transfer.count > 0) {
        WITAN_TRY(write_list(&self->transfer, directory, public_name, diag));
    }
    for (size_t n = 0; n < self->clients; n++) {
        char name[64];
        format_name(name, n, digits, false);
        WITAN_TRY(write_list(&self->train[n], directory, name, diag));
        if (!self->test_is_global) {
            format_name(name, n, digits, true);
            WITAN_TRY(write_list(&self->test[n], directory, name, diag));
        }
    }
    return write_summary(summary, directory, diag);
}

/* Half a partition would read as a smaller whole one: takes it all back. */
static void
remove_all(const witan_partition *self, const char *directory)
{
    char path[PATH_SIZE];
    char name[64];
    int digits = digits_for(self->clients);
    (void)snprintf(path, sizeof path, "%s/%s", directory, public_name);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/split.json", directory);
    (void)unlink(path);
    for (size_t n = 0; n < self->clients; n++) {
        for (int is_test = 0; is_test < 2; is_test++) {
            format_name(name, n, digits, is_test == 1);
            (void)snprintf(path, sizeof path, "%s/%s", directory, name);
            (void)unlink(path);
        }
    }
}

witan_status
witan_partition_save(const witan_partition *self, const witan_dataset *train,
                     const char *directory, const witan_allocator *allocator,
                     witan_diag *diag)
{
    if (strlen(directory) > WITAN_PATH_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT, "the path is longer than %zu bytes",
                               WITAN_PATH_MAX);
    }
    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        return fail_io(diag, directory, "cannot make this directory");
    }
    reader found = {.directory = directory, .diag = diag};
    WITAN_TRY(scan_directory(&found));
    if (found.has_public || found.train_files + found.test_files > 0) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "%s holds a partition already: remove it or choose another "
            "directory",
            directory);
    }
    witan_text summary;
    witan_text_init(&summary, allocator, SUMMARY_BYTES_MAX);
    witan_partition_summary(&summary, self, train);
    witan_status status = summary.status;
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "%s: split.json: %s", directory,
                              witan_status_text(status));
    } else {
        status = write_all(self, &summary, directory, diag);
        if (status != WITAN_OK) {
            remove_all(self, directory);
        }
    }
    witan_text_fini(&summary);
    return status;
}
