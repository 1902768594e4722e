/* data_command.c - `witan data`: look at a data set, or split it among clients. */
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "cli/commands.h"
#include "cli/experiment.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "data/load.h"
#include "data/partition.h"
#include "setup/setup.h"
#include "store/file.h"

enum {
    CLASSES_SHOWN = 100,
    CLIENTS_SHOWN = 40,
    SCALES_SHOWN = 4
};

#define OUTPUT_BYTES_MAX ((size_t)1 << 30)

static struct {
    char *source; /* info: PATH; split: EXPERIMENT.json; NULL: the embedded one */
    const char *format, *label, *out;
    witan_texts assignments;
    bool json;
} args;

static const char help[] =
    "usage: witan data info [PATH] [--format FORMAT] [--label COLUMN]\n"
    "                       [--set PATH=VALUE]... [--json]\n"
    "       witan data split [EXPERIMENT.json] [--set PATH=VALUE]... [--out DIR] "
    "[--json]\n\n"
    "info   tells what a data set is: rows, shape, classes, values, digest; of text "
    "its\n"
    "       tokens, windows and groups. Without PATH it looks at the handwritten "
    "digits\n"
    "       inside the program, with --format text at tiny Shakespeare.\n"
    "split  deals the training rows of an experiment to its clients, as `witan "
    "sim`\n"
    "       would, and shows who holds how many rows of which class.\n\n"
    "  --format FORMAT     auto, embedded, idx, cifar10, npy, npz, csv or text\n"
    "  --label COLUMN      CSV: name of the label column (default: the last)\n"
    "  --set PATH=VALUE    override one setting; may be given again\n"
    "  --out DIR           save the split as index files; without it, only look\n"
    "  --json              one JSON object on standard output\n\n"
    "Examples:\n"
    "  witan data info\n"
    "  witan data info patients.csv --label outcome\n"
    "  witan data info --format text --set data.text.group=speaker\n"
    "  witan data split --set clients=20 --set data.partition.alpha=0.1\n"
    "  witan data split exp.json --out split\n"
    "  witan sim exp.json --set data.partition.key=file "
    "--set data.partition.path=split\n\n"
    "Formats and partitions: docs/data.md. Settings: docs/config.md.\n"
    "Exit codes: 0 done, 1 failed, 2 usage or config, 3 bad data.\n";

/* A name from a file, as wide as it is, without what could steer a terminal. */
static void
add_name(witan_text *out, const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool steers = (unsigned char)*c < 0x20 || (unsigned char)*c == 0x7f;
        witan_text_add(out, steers ? "?" : c, 1);
    }
}

/* --- info ------------------------------------------------------------------------- */

typedef struct facts {
    const witan_dataset *train, *test, *valid;
    const witan_data_source *source;
    witan_data_format format;
    double lowest, highest; /* raw values of both sets */
    uint32_t *counts;       /* [3, classes] of train, test and valid, owned */
    double unknown;         /* text: share of <unk> among the tokens of the test part */
} facts;

static void
widen_range(facts *self, const witan_dataset *set)
{
    size_t count = set->samples * witan_dataset_features(set);
    for (size_t i = 0; i < count; i++) {
        double value = set->bytes != NULL ? set->bytes[i] : (double)set->values[i];
        self->lowest = value < self->lowest ? value : self->lowest;
        self->highest = value > self->highest ? value : self->highest;
    }
}

static void
count_unknown(facts *self)
{
    size_t unknown = 0;
    for (size_t t = 0; t < self->test->token_count; t++) {
        unknown += self->test->tokens[t] == 0;
    }
    self->unknown = (double)unknown / (double)self->test->token_count;
}

static witan_status
gather_facts(facts *self)
{
    const witan_dataset *sets[3] = {self->train, self->test, self->valid};
    size_t classes = self->train->classes;
    self->counts =
        witan_zalloc(witan_allocator_default(), 3 * classes, sizeof *self->counts);
    if (self->counts == NULL) {
        return WITAN_E_MEMORY;
    }
    self->lowest = 1.0 / 0.0;
    self->highest = -1.0 / 0.0;
    if (self->format == WITAN_DATA_TEXT) {
        count_unknown(self);
    }
    for (size_t s = 0; s < 3; s++) {
        if (self->format != WITAN_DATA_TEXT) {
            widen_range(self, sets[s]);
        }
        for (size_t i = 0; i < sets[s]->samples && sets[s]->labels != NULL; i++) {
            self->counts[s * classes + sets[s]->labels[i]]++;
        }
    }
    return WITAN_OK;
}

static double
mean_of(const witan_dataset *set, size_t i)
{
    return -(double)set->shift[i] / (double)set->scale[i];
}

static double
deviation_of(const witan_dataset *set, size_t i)
{
    return 1.0 / (double)set->scale[i];
}

static void
digest_of(const witan_dataset *set, char hex[WITAN_DIGEST_HEX_SIZE])
{
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_dataset_digest(set, digest);
    witan_digest_hex(hex, digest);
}

static void
show_classes(witan_text *out, const facts *self)
{
    size_t classes = self->train->classes;
    bool text = self->format == WITAN_DATA_TEXT;
    witan_text_format(out, "\n%9s %9s%s  %s\n", "train", "test",
                      text ? "     valid" : "", text ? "group" : "class");
    for (size_t c = 0; c < classes && c < CLASSES_SHOWN; c++) {
        witan_text_format(out, "%9u %9u", self->counts[c], self->counts[classes + c]);
        if (text) {
            witan_text_format(out, " %9u", self->counts[2 * classes + c]);
        }
        witan_text_format(out, "  %zu", c);
        if (self->train->class_names != NULL) {
            witan_text_format(out, " ");
            add_name(out, self->train->class_names[c]);
        }
        witan_text_format(out, "\n");
    }
    if (classes > CLASSES_SHOWN) {
        witan_text_format(out, "and %zu %s more; --json lists all\n",
                          classes - CLASSES_SHOWN, text ? "groups" : "classes");
    }
}

static size_t
tokens_of(const witan_dataset *set)
{
    return set->samples * witan_dataset_positions(set);
}

static void
show_text(witan_text *out, const facts *self)
{
    const witan_dataset *set = self->train;
    const char *unit =
        self->source->text.unit == WITAN_TEXT_WORD ? "words" : "characters";
    witan_text_format(out,
                      "\n\nformat    text, windows of %zu tokens and the next one\n"
                      "rows      %zu train, %zu test, %zu valid\n"
                      "tokens    %zu train, %zu test, %zu valid\n"
                      "vocabulary %zu %s; %.2f %% of the test part are <unk>",
                      set->length, set->samples, self->test->samples,
                      self->valid->samples, tokens_of(set), tokens_of(self->test),
                      tokens_of(self->valid), set->vocabulary, unit,
                      100.0 * self->unknown);
}

static void
show_values(witan_text *out, const facts *self)
{
    const witan_dataset *set = self->train;
    witan_text_format(out, "\n\nformat    %s, %s from %g to %g\n",
                      witan_data_format_name(self->format),
                      set->bytes != NULL ? "bytes" : "numbers", self->lowest,
                      self->highest);
    for (size_t i = 0; i < set->scales && i < SCALES_SHOWN; i++) {
        witan_text_format(out, "%s%.6g (sd %.6g)", i == 0 ? "mean      " : ", ",
                          mean_of(set, i), deviation_of(set, i));
    }
    if (set->scales > SCALES_SHOWN) {
        witan_text_format(out, ", ... of %zu columns", set->scales);
    }
}

static void
show_facts(witan_text *out, const facts *self)
{
    char line[1024];
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_data_describe(line, sizeof line, self->source, self->train, self->test);
    add_name(out, line);
    (self->format == WITAN_DATA_TEXT ? show_text : show_values)(out, self);
    digest_of(self->train, hex);
    witan_text_format(out, "\ndigest    train %s\n", hex);
    digest_of(self->test, hex);
    witan_text_format(out, "          test  %s\n", hex);
    if (self->format == WITAN_DATA_TEXT) {
        digest_of(self->valid, hex);
        witan_text_format(out, "          valid %s\n", hex);
    }
    show_classes(out, self);
}

static void
add_counts(witan_text *out, const char *key, const uint32_t *counts, size_t classes)
{
    witan_text_format(out, ",\n  \"%s\": [", key);
    for (size_t c = 0; c < classes; c++) {
        witan_text_format(out, "%s%u", c == 0 ? "" : ", ", counts[c]);
    }
    witan_text_format(out, "]");
}

static void
add_scales(witan_text *out, const char *key, const witan_dataset *set,
           double (*value)(const witan_dataset *, size_t))
{
    witan_text_format(out, ",\n  \"%s\": [", key);
    for (size_t i = 0; i < set->scales; i++) {
        witan_text_format(out, "%s", i == 0 ? "" : ", ");
        witan_text_json_number(out, value(set, i));
    }
    witan_text_format(out, "]");
}

static void
write_text(witan_text *out, const facts *self)
{
    const witan_dataset *set = self->train;
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_text_format(
        out,
        ",\n  \"valid\": %zu,\n  \"window\": %zu,\n  \"unit\": \"%s\",\n"
        "  \"vocabulary\": %zu,\n  \"tokens\": [%zu, %zu, %zu],\n  \"unknown\": ",
        self->valid->samples, set->length,
        self->source->text.unit == WITAN_TEXT_WORD ? "word" : "character",
        set->vocabulary, tokens_of(set), tokens_of(self->test), tokens_of(self->valid));
    witan_text_json_number(out, self->unknown);
    add_counts(out, "valid_classes", self->counts + 2 * set->classes, set->classes);
    digest_of(self->valid, hex);
    witan_text_format(out, ",\n  \"valid_digest\": \"%s\"", hex);
}

static void
write_values(witan_text *out, const facts *self)
{
    const witan_dataset *set = self->train;
    witan_text_format(out, ",\n  \"bytes\": %s,\n  \"lowest\": ",
                      set->bytes != NULL ? "true" : "false");
    witan_text_json_number(out, self->lowest);
    witan_text_format(out, ",\n  \"highest\": ");
    witan_text_json_number(out, self->highest);
    add_scales(out, "mean", set, mean_of);
    add_scales(out, "sd", set, deviation_of);
}

static void
write_facts(witan_text *out, const facts *self)
{
    const witan_dataset *set = self->train;
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_text_format(out, "{\n  \"path\": ");
    witan_text_json_string(out, self->source->path);
    witan_text_format(out,
                      ",\n  \"format\": \"%s\",\n  \"train\": %zu,\n  \"test\": %zu,\n"
                      "  \"shape\": [%zu, %zu, %zu]",
                      witan_data_format_name(self->format), set->samples,
                      self->test->samples, set->height, set->width, set->channels);
    (self->format == WITAN_DATA_TEXT ? write_text : write_values)(out, self);
    witan_text_format(out, ",\n  \"classes\": %zu", set->classes);
    if (set->class_names != NULL) {
        witan_text_format(out, ",\n  \"class_names\": [");
        for (size_t c = 0; c < set->classes; c++) {
            witan_text_format(out, "%s", c == 0 ? "" : ", ");
            witan_text_json_string(out, set->class_names[c]);
        }
        witan_text_format(out, "]");
    }
    add_counts(out, "train_classes", self->counts, set->classes);
    add_counts(out, "test_classes", self->counts + set->classes, set->classes);
    digest_of(self->train, hex);
    witan_text_format(out, ",\n  \"train_digest\": \"%s\"", hex);
    digest_of(self->test, hex);
    witan_text_format(out, ",\n  \"test_digest\": \"%s\"\n}\n", hex);
}

/* The defaults of an experiment with this data set. */
static witan_status
set_source(witan_config *config, const witan_allocator *allocator, witan_diag *diag)
{
    if (args.source != NULL) {
        if (strlen(args.source) >= sizeof config->data.path) {
            return witan_diag_fail(diag, WITAN_E_CONFIG, "the path is too long");
        }
        (void)snprintf(config->data.path, sizeof config->data.path, "%s", args.source);
    }
    if (args.label != NULL) {
        if (strlen(args.label) >= sizeof config->data.label) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "the label's name is too long");
        }
        (void)snprintf(config->data.label, sizeof config->data.label, "%s", args.label);
    }
    for (int i = 0; args.format != NULL; i++) {
        const char *name = witan_data_format_name((witan_data_format)i);
        if (name == NULL) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "unknown --format %s; see witan data --help",
                                   args.format);
        }
        if (strcmp(name, args.format) == 0) {
            config->data.format = i;
            break;
        }
    }
    for (size_t i = 0; i < args.assignments.count; i++) {
        WITAN_TRY(witan_config_set(config, args.assignments.items[i], allocator, diag));
    }
    return WITAN_OK;
}

static witan_status
info(witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    witan_config config;
    witan_dataset train = {0}, test = {0}, valid = {0};
    witan_data_source source;
    facts found = {.train = &train, .test = &test, .valid = &valid, .source = &source};
    witan_text text;
    witan_text_init(&text, allocator, OUTPUT_BYTES_MAX);
    WITAN_TRY(witan_config_init(&config, allocator));
    witan_status status = set_source(&config, allocator, diag);
    if (status == WITAN_OK) {
        witan_setup_source(&source, &config);
        source.standardise = true;
        status = witan_data_recognise(&found.format, &source, diag);
    }
    if (status == WITAN_OK) {
        status = witan_data_load_parts(&train, &valid, &test, &source, allocator, diag);
    }
    if (status == WITAN_OK) {
        status = gather_facts(&found);
    }
    if (status == WITAN_OK) {
        (args.json ? write_facts : show_facts)(&text, &found);
        status = witan_print_result(&text, diag);
    }
    witan_text_fini(&text);
    witan_free(allocator, found.counts);
    witan_dataset_fini(&valid, allocator);
    witan_dataset_fini(&test, allocator);
    witan_dataset_fini(&train, allocator);
    witan_config_fini(&config, allocator);
    return status;
}

/* --- split ------------------------------------------------------------------------ */

typedef struct split {
    witan_config config;
    bool has_config;
    witan_dataset train, test;
    witan_data_source source;
    witan_partition_config rule;
    witan_partition partition;
    uint32_t *histogram; /* [clients, classes] owned */
} split;

static void
split_fini(split *self)
{
    const witan_allocator *allocator = witan_allocator_default();
    witan_free(allocator, self->histogram);
    witan_partition_fini(&self->partition, allocator);
    witan_dataset_fini(&self->test, allocator);
    witan_dataset_fini(&self->train, allocator);
    if (self->has_config) {
        witan_config_fini(&self->config, allocator);
    }
}

static witan_status
make_split(split *self, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    WITAN_TRY(witan_experiment_load(&self->config, args.source, args.assignments.items,
                                    args.assignments.count, diag));
    self->has_config = true;
    witan_setup_source(&self->source, &self->config);
    WITAN_TRY(
        witan_data_load(&self->train, &self->test, &self->source, allocator, diag));
    witan_setup_partition(&self->rule, &self->config);
    WITAN_TRY(witan_partition_make(&self->partition, &self->rule, &self->train,
                                   &self->test, allocator, diag));
    if (args.out != NULL) {
        WITAN_TRY(witan_directory_make(args.out, diag));
        WITAN_TRY(witan_partition_save(&self->partition, &self->train, args.out,
                                       allocator, diag));
    }
    self->histogram = witan_alloc(allocator, self->partition.clients,
                                  self->train.classes * sizeof *self->histogram);
    if (self->histogram == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_partition_histogram(&self->partition, &self->train, self->histogram);
    return WITAN_OK;
}

static void
show_rule(witan_text *out, const split *self)
{
    const witan_partition_config *rule = &self->rule;
    const witan_partition *p = &self->partition;
    witan_text_format(out, "%s", witan_partition_kind_name(rule->kind));
    switch (rule->kind) {
    case WITAN_PARTITION_DIRICHLET:
    case WITAN_PARTITION_DIRICHLET_CLIENT:
    case WITAN_PARTITION_QUANTITY:
        witan_text_format(out, ", alpha %g", rule->alpha);
        break;
    case WITAN_PARTITION_LABELS:
        witan_text_format(out, ", %zu labels each", rule->labels_per_client);
        break;
    case WITAN_PARTITION_SHARDS:
        witan_text_format(out, ", %zu shards each", rule->shards_per_client);
        break;
    case WITAN_PARTITION_FILE:
        witan_text_format(out, " ");
        add_name(out, rule->path);
        break;
    case WITAN_PARTITION_NATURAL:
        witan_text_format(out, ", %zu %s", self->train.classes,
                          self->train.length > 0 ? "groups" : "classes");
        break;
    case WITAN_PARTITION_IID:
        break;
    }
    witan_text_format(
        out, ", seed %llu: %zu clients, %zu transfer rows, %zu rows unused\n",
        (unsigned long long)rule->seed, p->clients, p->transfer.count, p->unused);
    if (p->moved > 0) {
        witan_text_format(
            out,
            "%zu rows were moved from the largest clients so that each has "
            "%zu (data.partition.minimum)\n",
            p->moved, rule->minimum_samples);
    }
}

/* Columns of a count: the widest and a space. */
static int
count_width(const uint32_t *counts, size_t count)
{
    uint32_t most = 0;
    int width = 2;
    for (size_t i = 0; i < count; i++) {
        most = counts[i] > most ? counts[i] : most;
    }
    for (; most >= 10; most /= 10) {
        width++;
    }
    return width;
}

/* One client's class counts, or what matters of them where they do not fit. */
static void
show_counts(witan_text *out, const uint32_t *counts, const witan_dataset *set,
            size_t rows, int width)
{
    size_t classes = set->classes;
    bool text = set->length > 0;
    size_t held = 0, largest = 0;
    for (size_t c = 0; c < classes; c++) {
        held += counts[c] > 0;
        largest = counts[c] > counts[largest] ? c : largest;
        if (width > 0) {
            witan_text_format(out, "%*u", width, counts[c]);
        }
    }
    if (width == 0) {
        witan_text_format(out, "  %zu of %zu %s, %.0f %% ", held, classes,
                          text ? "groups" : "classes",
                          100.0 * counts[largest] / (double)rows);
        if (text) {
            add_name(out, set->class_names[largest]);
        } else {
            witan_text_format(out, "class %zu", largest);
        }
    }
    witan_text_format(out, "\n");
}

static void
show_clients(witan_text *out, const split *self)
{
    const witan_partition *p = &self->partition;
    size_t classes = self->train.classes;
    size_t columns = witan_terminal_of(stdout).columns;
    int width = count_width(self->histogram, p->clients * classes);
    width = (size_t)width < 3 && classes > 10 ? 3 : width; /* two-digit class numbers */
    if (24 + (size_t)width * classes > columns || classes > 100) {
        width = 0;
    }
    witan_text_format(out, "\nclient   train    test  %s",
                      width == 0 ? "\n"
                      : self->train.length > 0
                          ? "training rows by group\n                       "
                          : "training rows by class\n                       ");
    for (size_t c = 0; c < classes && width > 0; c++) {
        witan_text_format(out, "%*zu%s", width, c, c + 1 == classes ? "\n" : "");
    }
    for (size_t n = 0; n < p->clients && n < CLIENTS_SHOWN; n++) {
        witan_text_format(out, "%6zu %7zu %7zu ", n, p->train[n].count,
                          p->test[n].count);
        show_counts(out, self->histogram + n * classes, &self->train, p->train[n].count,
                    width);
    }
    if (p->clients > CLIENTS_SHOWN) {
        witan_text_format(out, "and %zu clients more; --json lists all\n",
                          p->clients - CLIENTS_SHOWN);
    }
}

static void
show_sizes(witan_text *out, const witan_partition *p)
{
    size_t least = SIZE_MAX, most = 0, sum = 0;
    for (size_t n = 0; n < p->clients; n++) {
        size_t rows = p->train[n].count;
        least = rows < least ? rows : least;
        most = rows > most ? rows : most;
        sum += rows;
    }
    witan_text_format(
        out, "\n%zu to %zu training rows a client, mean %.1f; test rows %s\n", least,
        most, (double)sum / (double)p->clients,
        p->test_is_global ? "from the global test set" : "cut from its own");
}

static void
show_split(witan_text *out, const split *self, const char *directory)
{
    char line[1024];
    uint8_t digest[WITAN_DIGEST_SIZE];
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_data_describe(line, sizeof line, &self->source, &self->train, &self->test);
    add_name(out, line);
    witan_text_format(out, "\n");
    show_rule(out, self);
    show_clients(out, self);
    show_sizes(out, &self->partition);
    witan_partition_digest(&self->partition, digest);
    witan_digest_hex(hex, digest);
    witan_text_format(out, "digest %s\n", hex);
    if (directory == NULL) {
        witan_text_format(out, "not saved: --out DIR saves it\n");
    } else {
        witan_text_format(out,
                          "saved in %s; use it with --set data.partition.key=file "
                          "--set data.partition.path=%s\n",
                          directory, directory);
    }
}

static witan_status
run_split(witan_diag *diag)
{
    split self = {0};
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), OUTPUT_BYTES_MAX);
    witan_status status = make_split(&self, diag);
    if (status == WITAN_OK) {
        if (args.json) {
            witan_partition_summary(&text, &self.partition, &self.train);
        } else {
            show_split(&text, &self, args.out);
        }
        status = witan_print_result(&text, diag);
    }
    witan_text_fini(&text);
    split_fini(&self);
    return status;
}

static const witan_option info_options[] = {
    {.name = "format", .kind = WITAN_OPTION_TEXT, .value = &args.format},
    {.name = "label", .kind = WITAN_OPTION_TEXT, .value = &args.label},
    {.name = "set", .kind = WITAN_OPTION_TEXTS, .value = &args.assignments},
    WITAN_OPTION_JSON(&args.json),
};

static const witan_option split_options[] = {
    {.name = "set", .kind = WITAN_OPTION_TEXTS, .value = &args.assignments},
    {.name = "out", .kind = WITAN_OPTION_TEXT, .value = &args.out},
    WITAN_OPTION_JSON(&args.json),
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const witan_action actions[] = {
    {.name = "info",
     .argument = "PATH",
     .options = info_options,
     .options_count = COUNT(info_options),
     .run = info},
    {.name = "split",
     .argument = "EXPERIMENT.json",
     .options = split_options,
     .options_count = COUNT(split_options),
     .run = run_split},
};

int
witan_command_data(int argc, char **argv)
{
    return witan_actions_run("witan data", help, actions, COUNT(actions), &args.source,
                             argc, argv);
}
