/* write.c - a config as JSON: the table in its order, sections as objects. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/models.h"

static void
write_value(witan_text *out, const witan_config_key *key, const witan_config *config)
{
    const void *place = witan_config_key_value(key, config);
    switch (key->type) {
    case WITAN_KEY_INTEGER:
        witan_text_format(out, "%" PRIu64, *(const uint64_t *)place);
        return;
    case WITAN_KEY_NUMBER:
        witan_text_json_number(out, *(const double *)place);
        return;
    case WITAN_KEY_FLAG:
        witan_text_format(out, "%s", *(const bool *)place ? "true" : "false");
        return;
    case WITAN_KEY_TEXT:
        witan_text_json_string(out, place);
        return;
    case WITAN_KEY_CHOICE:
        witan_text_json_string(out, key->words[*(const int *)place]);
        return;
    case WITAN_KEY_MODELS:
        witan_config_write_models(out, config->models, config->models_count);
        return;
    }
}

/* Sections that two neighbours of the table share, counted. */
static size_t
shared_sections(const char *a, const char *b)
{
    size_t shared = 0;
    for (size_t i = 0; a[i] == b[i] && a[i] != '\0'; i++) {
        shared += a[i] == '.';
    }
    return shared;
}

static size_t
sections(const char *path)
{
    return shared_sections(path, path);
}

static bool
is_default(const witan_config_key *key, const witan_config *config)
{
    const void *place = witan_config_key_value(key, config);
    double initial = strtod(key->initial, NULL);
    switch (key->type) {
    case WITAN_KEY_INTEGER:
        return (double)*(const uint64_t *)place == initial;
    case WITAN_KEY_NUMBER:
        return *(const double *)place == initial;
    case WITAN_KEY_FLAG:
        return *(const bool *)place == (strcmp(key->initial, "true") == 0);
    case WITAN_KEY_CHOICE:
        return strcmp(key->words[*(const int *)place], key->initial) == 0;
    case WITAN_KEY_TEXT:
        return strcmp(place, key->initial) == 0;
    case WITAN_KEY_MODELS:
        break;
    }
    WITAN_ASSERT(false); /* the list of models was always part of a digest */
    return false;
}

static void
write_keys(const witan_config *self, witan_text *out, bool identity)
{
    size_t count;
    const witan_config_key *keys = witan_config_keys(&count);
    const char *before = "";
    bool first = true;

    witan_text_format(out, "{");
    for (size_t i = 0; i < count; i++) {
        const char *path = keys[i].path;
        if (identity && keys[i].later && is_default(&keys[i], self)) {
            continue;
        }
        size_t depth = shared_sections(before, path);
        for (size_t open = sections(before); open > depth; open--) {
            witan_text_format(out, "\n%*s}", (int)(2 * open), "");
        }
        for (size_t skipped = 0; skipped < depth; skipped++) {
            path = strchr(path, '.') + 1;
        }
        for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
            depth++;
            witan_text_format(out, "%s\n%*s\"%.*s\": {", first ? "" : ",",
                              (int)(2 * depth), "", (int)(dot - path), path);
            first = true;
        }
        witan_text_format(out, "%s\n%*s\"%s\": ", first ? "" : ",",
                          (int)(2 * depth + 2), "", path);
        write_value(out, &keys[i], self);
        first = false;
        before = keys[i].path;
    }
    for (size_t open = sections(before); open > 0; open--) {
        witan_text_format(out, "\n%*s}", (int)(2 * open), "");
    }
    witan_text_format(out, "\n}\n");
}

void
witan_config_write(const witan_config *self, witan_text *out)
{
    write_keys(self, out, false);
}

void
witan_config_identity(const witan_config *self, witan_text *out)
{
    write_keys(self, out, true);
}
