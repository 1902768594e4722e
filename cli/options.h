/* options.h - the arguments of a subcommand, read by a table.
 * Why here: every command answers wrong arguments in the same words, and no option is
 * ignored or given twice unnoticed. */
#ifndef WITAN_CLI_OPTIONS_H
#define WITAN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    WITAN_TEXTS_MAX = 256
};

/* What an option that may be given again has gathered, in order. */
typedef struct witan_texts {
    const char *items[WITAN_TEXTS_MAX]; /* borrowed from argv */
    size_t count;
} witan_texts;

typedef enum witan_option_kind {
    WITAN_OPTION_FLAG,     /* bool * */
    WITAN_OPTION_TEXT,     /* const char **, not empty */
    WITAN_OPTION_TEXTS,    /* witan_texts * */
    WITAN_OPTION_COUNT,    /* uint64_t *, low to high */
    WITAN_OPTION_NUMBER,   /* double *, low to high */
    WITAN_OPTION_DURATION, /* uint64_t * seconds: "90s", "30m", "24h", "7d" */
} witan_option_kind;

typedef struct witan_option {
    const char *name; /* without dashes */
    witan_option_kind kind;
    void *value; /* of the type above; unchanged when the option is not given */
    double low, high;
    char letter;   /* short form of a flag, or 0 */
    bool required; /* text */
} witan_option;

/* A subcommand, or one action of it. */
typedef struct witan_usage {
    const char *command; /* "witan invite" */
    const char *help;    /* for --help, on standard output */
    const witan_option *options;
    size_t options_count;   /* at most 32 */
    const char *argument;   /* "NAME"; NULL: none is taken */
    bool argument_required; /* else it may be left out */
    char **value;           /* where the argument goes, borrowed from argv */
    witan_texts *values;    /* instead: where any number of them go */
} witan_usage;

/* False when there is nothing left to do: --help was printed, or what is wrong was
 * told; *code is then the program's exit code. argv[0] is the command or action itself.
 */
WITAN_NODISCARD bool witan_usage_read(const witan_usage *usage, int argc, char **argv,
                                      int *code);

/* One action of a command such as `witan peers list`. */
typedef struct witan_action {
    const char *name;
    const char *argument; /* NULL: none is taken */
    bool argument_required;
    const witan_option *options;
    size_t options_count;
    witan_status (*run)(witan_diag *diag);
} witan_action;

/* Runs the action that argv[1] names, with its arguments; all share `help` and the
 * place of their argument. The program's exit code; what failed was told. */
WITAN_NODISCARD int witan_actions_run(const char *command, const char *help,
                                      const witan_action *actions, size_t count,
                                      char **value, int argc, char **argv);

/* E_CONFIG with "...; see COMMAND --help". */
witan_status witan_usage_error(const witan_usage *usage, witan_diag *diag,
                               const char *format, ...) WITAN_PRINTF(3, 4);

/* Seconds of "90s", "30m", "24h" or "7d"; false otherwise. */
bool witan_duration_parse(const char *text, uint64_t *seconds);

/* The flag --json and the required --state, which most commands take. */
#define WITAN_OPTION_STATE(place)                                                      \
    {                                                                                  \
        .name = "state", .kind = WITAN_OPTION_TEXT, .value = (place), .required = true \
    }
#define WITAN_OPTION_JSON(place)                                                       \
    {                                                                                  \
        .name = "json", .kind = WITAN_OPTION_FLAG, .value = (place)                    \
    }

#endif
