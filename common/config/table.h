/* table.h - the one table of keys behind config.h; private to the room.
 * Why here: reading, --set, defaults, writing and docs/config.md all walk this table.
 * How to add a key: a member in config.h, one line in table.c, docs/config.md again. */
#ifndef WITAN_CONFIG_TABLE_H
#define WITAN_CONFIG_TABLE_H

#include "config/config.h"

typedef enum witan_key_type {
    WITAN_KEY_INTEGER, /* uint64_t or size_t */
    WITAN_KEY_NUMBER,  /* double */
    WITAN_KEY_FLAG,    /* bool */
    WITAN_KEY_TEXT,    /* witan_config_text */
    WITAN_KEY_CHOICE,  /* int, index into words */
    WITAN_KEY_MODELS,  /* models and models_count */
} witan_key_type;

typedef struct witan_config_key {
    const char *path; /* "data.partition.alpha"; also the member of the struct */
    witan_key_type type;
    size_t offset;            /* in witan_config, bytes */
    double minimum, maximum;  /* integers and numbers */
    bool above, below;        /* the minimum, the maximum itself is excluded */
    const char *unit;         /* "" when there is none */
    const char *const *words; /* choices, NULL-terminated */
    const char *initial;      /* default, written as --set takes it */
    const char *help;         /* one line */
    bool later; /* younger than published digests: no part of them at its default */
} witan_config_key;

enum {
    WITAN_KEY_PATH_MAX = 64,     /* longest path with its NUL */
    WITAN_KEY_CHILDREN_MAX = 32, /* most names in one section */
    WITAN_NUMBER_TEXT_MAX = 32,  /* a number as text with its NUL */
};

/* Largest integer that JSON numbers carry exactly, 2^53 - 1. */
#define WITAN_CONFIG_INTEGER_MAX 9007199254740991.0

/* The table, sections kept together. */
const witan_config_key *witan_config_keys(size_t *count);

/* Key with exactly this path, or NULL. */
const witan_config_key *witan_config_key_find(const char *path);

/* Path of a key that is spelled much like `path`, or NULL. */
const char *witan_config_nearest_path(const char *path);

/* Whether keys live below `path` ("" = top level, "data.partition"). */
bool witan_config_is_section(const char *path);

typedef struct witan_config_children {
    size_t count;
    char names[WITAN_KEY_CHILDREN_MAX][WITAN_KEY_PATH_MAX];
    const char *list[WITAN_KEY_CHILDREN_MAX]; /* point into names */
} witan_config_children;

/* Names of the keys and sections directly inside a section, in table order. */
void witan_config_section_children(witan_config_children *out, const char *section);

/* What a key accepts: "0 to 1000000", "above 0, at most 1", "js, kl, cosine". */
void witan_config_key_range(const witan_config_key *key, char *out, size_t size);

/* Words of a choice. */
size_t witan_config_key_words(const witan_config_key *key);

/* A number for a message: integers in full, others with 15 digits. */
void witan_config_number_text(char out[WITAN_NUMBER_TEXT_MAX], double value);

/* The place of a key's value. Not for models. */
static inline void *
witan_config_key_place(const witan_config_key *key, witan_config *config)
{
    return (char *)config + key->offset;
}
static inline const void *
witan_config_key_value(const witan_config_key *key, const witan_config *config)
{
    return (const char *)config + key->offset;
}

#endif
