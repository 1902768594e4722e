#include "cli/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/terminal.h"

enum {
    OPTIONS_MAX = 32,
    FIRST_CODE = 256 /* above every letter */
};

witan_status
witan_usage_error(const witan_usage *usage, witan_diag *diag, const char *format, ...)
{
    char sentence[768];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return witan_diag_fail(diag, WITAN_E_CONFIG, "%s; see %s --help", sentence,
                           usage->command);
}

bool
witan_duration_parse(const char *text, uint64_t *seconds)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char digits[16];
    uint64_t number;
    size_t length = strlen(text);
    if (length < 2 || length > sizeof digits) {
        return false;
    }
    memcpy(digits, text, length - 1);
    digits[length - 1] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (text[length - 1] == units[i].letter) {
            if (!witan_text_parse_u64(digits, &number) ||
                number > UINT64_MAX / units[i].seconds) {
                return false;
            }
            *seconds = number * units[i].seconds;
            return true;
        }
    }
    return false;
}

static witan_status
set_text(const witan_usage *usage, const witan_option *option, const char *text,
         witan_diag *diag)
{
    const char **place = option->value;
    if (text[0] == '\0') {
        return witan_usage_error(usage, diag, "--%s takes a value that is not empty",
                                 option->name);
    }
    *place = text;
    return WITAN_OK;
}

static witan_status
add_text(const witan_usage *usage, const witan_option *option, const char *text,
         witan_diag *diag)
{
    witan_texts *list = option->value;
    if (list->count == WITAN_TEXTS_MAX) {
        return witan_usage_error(usage, diag, "more than %d times --%s",
                                 WITAN_TEXTS_MAX, option->name);
    }
    list->items[list->count++] = text;
    return WITAN_OK;
}

static witan_status
set_number(const witan_usage *usage, const witan_option *option, const char *text,
           witan_diag *diag)
{
    double number = 0.0;
    uint64_t count = 0;
    bool whole = option->kind == WITAN_OPTION_COUNT;
    bool valid = whole ? witan_text_parse_u64(text, &count)
                       : witan_text_parse_double(text, &number);
    number = whole ? (double)count : number;
    if (!valid || number < option->low || number > option->high) {
        return witan_usage_error(usage, diag,
                                 "--%s takes a number from %.15g to %.15g, not %s",
                                 option->name, option->low, option->high, text);
    }
    if (whole) {
        *(uint64_t *)option->value = count;
    } else {
        *(double *)option->value = number;
    }
    return WITAN_OK;
}

static witan_status
set_option(const witan_usage *usage, const witan_option *option, const char *text,
           witan_diag *diag)
{
    switch (option->kind) {
    case WITAN_OPTION_FLAG:
        *(bool *)option->value = true;
        return WITAN_OK;
    case WITAN_OPTION_TEXT:
        return set_text(usage, option, text, diag);
    case WITAN_OPTION_TEXTS:
        return add_text(usage, option, text, diag);
    case WITAN_OPTION_COUNT:
    case WITAN_OPTION_NUMBER:
        return set_number(usage, option, text, diag);
    case WITAN_OPTION_DURATION:
        break;
    }
    return witan_duration_parse(text, option->value)
               ? WITAN_OK
               : witan_usage_error(usage, diag,
                                   "--%s takes a time such as 90s, 30m, 24h or 7d, not "
                                   "%s",
                                   option->name, text);
}

static witan_status
unknown_option(const witan_usage *usage, const char *word, witan_diag *diag)
{
    const char *names[OPTIONS_MAX];
    char name[64];
    for (size_t i = 0; i < usage->options_count; i++) {
        names[i] = usage->options[i].name;
    }
    (void)snprintf(name, sizeof name, "%s", word + strspn(word, "-"));
    name[strcspn(name, "=")] = '\0';
    const char *nearest = witan_text_nearest(name, names, usage->options_count);
    return nearest == NULL || strcmp(nearest, name) == 0
               ? witan_usage_error(usage, diag, "unknown option %s", word)
               : witan_usage_error(usage, diag, "unknown option %s, did you mean --%s?",
                                   word, nearest);
}

/* The table as getopt wants it; FIRST_CODE + i stands for option i. */
static void
make_table(const witan_usage *usage, struct option table[OPTIONS_MAX + 2],
           char letters[OPTIONS_MAX + 4])
{
    size_t used = 0;
    letters[used++] = ':';
    letters[used++] = 'h';
    for (size_t i = 0; i < usage->options_count; i++) {
        const witan_option *option = &usage->options[i];
        table[i] = (struct option){
            option->name,
            option->kind == WITAN_OPTION_FLAG ? no_argument : required_argument, NULL,
            FIRST_CODE + (int)i};
        if (option->letter != '\0') {
            letters[used++] = option->letter;
        }
    }
    letters[used] = '\0';
    table[usage->options_count] = (struct option){"help", no_argument, NULL, 'h'};
    table[usage->options_count + 1] = (struct option){0};
}

/* The index of the option that getopt found, or options_count. */
static size_t
option_of(const witan_usage *usage, int code)
{
    size_t i = 0;
    if (code >= FIRST_CODE) {
        return (size_t)(code - FIRST_CODE);
    }
    while (i < usage->options_count && usage->options[i].letter != code) {
        i++;
    }
    return i;
}

static witan_status
read_options(const witan_usage *usage, bool seen[OPTIONS_MAX], bool *help, int argc,
             char **argv, witan_diag *diag)
{
    struct option table[OPTIONS_MAX + 2];
    char letters[OPTIONS_MAX + 4];
    make_table(usage, table, letters);
    opterr = 0;
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, letters, table, NULL)) != -1;) {
        size_t i = option_of(usage, code);
        if (code == 'h') {
            *help = true;
            return WITAN_OK;
        }
        if (code == ':') {
            return witan_usage_error(usage, diag, "a value is missing after %s",
                                     argv[optind - 1]);
        }
        if (i == usage->options_count) {
            return unknown_option(usage, argv[optind - 1], diag);
        }
        const witan_option *option = &usage->options[i];
        if (seen[i] && option->kind != WITAN_OPTION_TEXTS &&
            option->kind != WITAN_OPTION_FLAG) {
            return witan_usage_error(usage, diag, "--%s was given twice", option->name);
        }
        seen[i] = true;
        WITAN_TRY(set_option(usage, option, optarg, diag));
    }
    return WITAN_OK;
}

static witan_status
read_arguments(const witan_usage *usage, int argc, char **argv, witan_diag *diag)
{
    while (optind < argc) {
        if (usage->values->count == WITAN_TEXTS_MAX) {
            return witan_usage_error(usage, diag, "more than %d times %s",
                                     WITAN_TEXTS_MAX, usage->argument);
        }
        usage->values->items[usage->values->count++] = argv[optind++];
    }
    return usage->argument_required && usage->values->count == 0
               ? witan_usage_error(usage, diag, "%s is missing", usage->argument)
               : WITAN_OK;
}

/* What is left after the options. */
static witan_status
read_argument(const witan_usage *usage, int argc, char **argv, witan_diag *diag)
{
    if (usage->values != NULL) {
        return read_arguments(usage, argc, argv, diag);
    }
    if (optind < argc && usage->argument != NULL) {
        *usage->value = argv[optind++];
    } else if (usage->argument_required) {
        return witan_usage_error(usage, diag, "%s is missing", usage->argument);
    }
    if (optind == argc) {
        return WITAN_OK;
    }
    return usage->argument == NULL
               ? witan_usage_error(usage, diag, "no argument is taken, not %s",
                                   argv[optind])
               : witan_usage_error(usage, diag, "one %s at a time, not also %s",
                                   usage->argument, argv[optind]);
}

bool
witan_usage_read(const witan_usage *usage, int argc, char **argv, int *code)
{
    witan_diag diag = {0};
    bool seen[OPTIONS_MAX] = {false};
    bool help = false;
    WITAN_ASSERT(usage->options_count <= OPTIONS_MAX);
    witan_status status = read_options(usage, seen, &help, argc, argv, &diag);
    if (help) {
        (void)printf("%s", usage->help);
        *code = 0;
        return false;
    }
    if (status == WITAN_OK) {
        status = read_argument(usage, argc, argv, &diag);
    }
    for (size_t i = 0; i < usage->options_count && status == WITAN_OK; i++) {
        if (usage->options[i].required && !seen[i]) {
            status = witan_usage_error(usage, &diag, "--%s is missing",
                                       usage->options[i].name);
        }
    }
    *code = status == WITAN_OK ? 0 : witan_fail(&diag, status);
    return status == WITAN_OK;
}

/* "say list, show or approve, not foo". */
static int
unknown_action(const witan_usage *usage, const witan_action *actions, size_t count,
               const char *word)
{
    char names[256] = "";
    witan_diag diag = {0};
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "%s%s",
                       i == 0           ? ""
                       : i + 1 == count ? " or "
                                        : ", ",
                       actions[i].name);
    }
    return witan_fail(&diag,
                      witan_usage_error(usage, &diag, "say %s, not %s", names, word));
}

int
witan_actions_run(const char *command, const char *help, const witan_action *actions,
                  size_t count, char **value, int argc, char **argv)
{
    int code;
    witan_diag diag = {0};
    witan_usage usage = {.command = command, .help = help, .value = value};
    const char *name = argc < 2 ? "nothing" : argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        (void)printf("%s", help);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            usage.options = actions[i].options;
            usage.options_count = actions[i].options_count;
            usage.argument = actions[i].argument;
            usage.argument_required = actions[i].argument_required;
            if (!witan_usage_read(&usage, argc - 1, argv + 1, &code)) {
                return code;
            }
            witan_status status = actions[i].run(&diag);
            return status == WITAN_OK ? 0 : witan_fail(&diag, status);
        }
    }
    return unknown_action(&usage, actions, count, name);
}
