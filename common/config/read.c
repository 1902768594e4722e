/* read.c - defaults, JSON text and --set arguments into a witan_config.
 * A value from --set that is not JSON of the right type becomes the JSON it stands for
 * (text, or a list of texts), so that every value takes one path: assign().
 * cJSON is lenient where this file is not: it stops at the first complete value, keeps
 * repeated members, takes NUL for white space, cuts text at \u0000 and checks no UTF-8.
 * Changes are made on a copy that replaces the config when all went well. */
#include <stdio.h>
#include <string.h>

#include "config/models.h"
#include "config/reader.h"

/* Length of the UTF-8 character at `text`, 0 when it is not one (Unicode 15, table
 * 3-7).
 */
static size_t
utf8_length(const unsigned char *text, size_t left)
{
    unsigned char lead = text[0];
    size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || left < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong =
        (lead == 0xe0 && text[1] < 0xa0) || (lead == 0xf0 && text[1] < 0x90);
    bool surrogate = lead == 0xed && text[1] >= 0xa0;
    bool beyond = lead == 0xf4 && text[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

/* Fails at a byte of a text; lines and columns count from 1, columns in bytes. */
static witan_status
fail_at(const witan_config_reader *reader, const char *text, size_t offset,
        const char *what)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    return witan_diag_fail(reader->diag, WITAN_E_CONFIG, "%s:%zu:%zu: %s",
                           reader->origin, line, offset - start + 1, what);
}

/* Refuses what cJSON would let through: NUL bytes, \u0000 and broken UTF-8. */
static witan_status
screen(const witan_config_reader *reader, const char *text, size_t size)
{
    size_t length;
    for (size_t i = 0; i < size; i += length) {
        length = utf8_length((const unsigned char *)text + i, size - i);
        if (length == 0) {
            return fail_at(reader, text, i, "not UTF-8 text");
        }
        if (text[i] == '\0') {
            return fail_at(reader, text, i, "NUL byte; the file must be UTF-8 text");
        }
        if (text[i] == '\\') { /* in JSON, only texts hold a backslash */
            if (size - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0) {
                return fail_at(reader, text, i, "\\u0000 is not allowed in texts");
            }
            length = size - i >= 2 && text[i + 1] == '\\' ? 2 : 1;
        }
    }
    return WITAN_OK;
}

/* Offset of the first byte at or after `offset` that is not white space. */
static size_t
skip_space(const char *text, size_t size, size_t offset)
{
    while (offset < size && strchr(" \t\r\n", text[offset]) != NULL) {
        offset++;
    }
    return offset;
}

/* cJSON points one byte too far when a member's name is missing: after "{" or ",". */
static size_t
correct_offset(const char *text, size_t offset)
{
    size_t before = offset == 0 ? 0 : offset - 1;
    if (before == 0 || strchr(" \t\r\n\"", text[before]) != NULL) {
        return offset;
    }
    size_t at = before - 1;
    while (at > 0 && strchr(" \t\r\n", text[at]) != NULL) {
        at--;
    }
    return text[at] == '{' || text[at] == ',' ? before : offset;
}

/* One JSON value that fills the text, or NULL and the offset where it goes wrong. */
static cJSON *
parse(const char *text, size_t size, size_t *offset)
{
    const char *end = text;
    cJSON *value = cJSON_ParseWithLengthOpts(text, size, &end, false);
    *offset = (size_t)(end - text);
    if (value == NULL) {
        *offset = correct_offset(text, *offset);
        return NULL;
    }
    *offset = skip_space(text, size, *offset);
    if (*offset < size) {
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}

static witan_status
assign_choice(witan_config_reader *reader, const witan_config_key *key,
              const cJSON *value, int *place)
{
    char range[256], found[WITAN_FOUND_MAX];
    witan_config_key_range(key, range, sizeof range);
    if (!cJSON_IsString(value)) {
        return witan_config_fail(reader, "expected one of %s, got %s", range,
                                 witan_config_found(found, value));
    }
    for (int i = 0; key->words[i] != NULL; i++) {
        if (strcmp(key->words[i], value->valuestring) == 0) {
            *place = i;
            return WITAN_OK;
        }
    }
    const char *nearest =
        witan_text_nearest(value->valuestring, key->words, witan_config_key_words(key));
    if (nearest == NULL) {
        return witan_config_fail(reader, "unknown word \"%.40s\"; one of %s",
                                 value->valuestring, range);
    }
    return witan_config_fail(reader,
                             "unknown word \"%.40s\"; did you mean \"%s\"? One of %s",
                             value->valuestring, nearest, range);
}

/* `original` is the config that the caller still holds: its models are not freed. */
static witan_status
assign_models(witan_config_reader *reader, const cJSON *value, witan_config *config,
              const witan_config *original, const witan_allocator *allocator)
{
    witan_model_spec *models;
    size_t count;
    WITAN_TRY(witan_config_read_models(reader, value, allocator, &models, &count));
    if (config->models != original->models) {
        witan_free(allocator, config->models);
    }
    config->models = models;
    config->models_count = count;
    return WITAN_OK;
}

static witan_status
assign(witan_config_reader *reader, const witan_config_key *key, const cJSON *value,
       witan_config *config, const witan_config *original,
       const witan_allocator *allocator)
{
    char found[WITAN_FOUND_MAX];
    void *place = witan_config_key_place(key, config);
    double number;
    switch (key->type) {
    case WITAN_KEY_INTEGER:
        WITAN_TRY(witan_config_read_number(reader, value, key, &number));
        *(uint64_t *)place = (uint64_t)number;
        return WITAN_OK;
    case WITAN_KEY_NUMBER:
        return witan_config_read_number(reader, value, key, place);
    case WITAN_KEY_FLAG:
        if (!cJSON_IsBool(value)) {
            return witan_config_fail(reader, "expected true or false, got %s",
                                     witan_config_found(found, value));
        }
        *(bool *)place = cJSON_IsTrue(value);
        return WITAN_OK;
    case WITAN_KEY_TEXT:
        return witan_config_read_text(reader, value, place, WITAN_CONFIG_TEXT_MAX);
    case WITAN_KEY_CHOICE:
        return assign_choice(reader, key, value, place);
    case WITAN_KEY_MODELS:
        return assign_models(reader, value, config, original, allocator);
    }
    return WITAN_E_INVALID;
}

/* "a, b, c" of a section's members. */
static void
list_children(char *out, size_t size, const witan_config_children *children)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < children->count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ", ",
                                 children->list[i]);
    }
}

/* A key with this last name anywhere in the table, or NULL. */
static const char *
same_name_elsewhere(const char *name)
{
    size_t count;
    const witan_config_key *keys = witan_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        const char *dot = strrchr(keys[i].path, '.');
        if (strcmp(dot == NULL ? keys[i].path : dot + 1, name) == 0) {
            return keys[i].path;
        }
    }
    return NULL;
}

/* The reader's path is of no key and no section: names the nearest one. */
static witan_status
fail_unknown(const witan_config_reader *reader)
{
    witan_config_children children;
    char section[sizeof reader->path], names[512];
    const char *dot = strrchr(reader->path, '.');
    const char *name = dot == NULL ? reader->path : dot + 1;
    size_t length = dot == NULL ? 0 : (size_t)(dot - reader->path);

    memcpy(section, reader->path, length);
    section[length] = '\0';
    witan_config_section_children(&children, section);
    if (children.count == 0) { /* --set alone can name a section that is not there */
        const char *path = witan_config_nearest_path(reader->path);
        return path == NULL ? witan_config_fail(reader, "unknown key")
                            : witan_config_fail(
                                  reader, "unknown key; did you mean \"%s\"?", path);
    }
    const char *nearest = witan_text_nearest(name, children.list, children.count);
    if (nearest != NULL) {
        return witan_config_fail(reader, "unknown key; did you mean \"%s%s%s\"?",
                                 section, length == 0 ? "" : ".", nearest);
    }
    const char *elsewhere = same_name_elsewhere(name);
    if (elsewhere != NULL) {
        return witan_config_fail(reader, "unknown key; did you mean \"%s\"?",
                                 elsewhere);
    }
    list_children(names, sizeof names, &children);
    return witan_config_fail(reader, "unknown key; known here: %s", names);
}

static witan_status
read_section(witan_config_reader *reader, const cJSON *object, witan_config *config,
             const witan_config *original, const witan_allocator *allocator)
{
    char found[WITAN_FOUND_MAX];
    if (!cJSON_IsObject(object)) {
        return witan_config_fail(reader, "expected an object {...}, got %s",
                                 witan_config_found(found, object));
    }
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        if (item->string[0] == '_') {
            continue;
        }
        if (item->string[0] == '\0') {
            return witan_config_fail(reader, "a key must not be empty");
        }
        if (strchr(item->string, '.') != NULL) {
            return witan_config_fail(
                reader,
                "key \"%.60s\": write one object inside another, as "
                "in {\"fusion\": {\"beta\": 10}}",
                item->string);
        }
        size_t here = witan_config_enter(reader, item->string);
        const witan_config_key *key = witan_config_key_find(reader->path);
        if (key == NULL && !witan_config_is_section(reader->path)) {
            return fail_unknown(reader);
        }
        WITAN_TRY(witan_config_check_twice(reader, object, item));
        if (key != NULL) {
            WITAN_TRY(assign(reader, key, item, config, original, allocator));
        } else {
            WITAN_TRY(read_section(reader, item, config, original, allocator));
        }
        witan_config_leave(reader, here);
    }
    return WITAN_OK;
}

/* Ends a change: `next` replaces *self, or is dropped. */
static witan_status
finish(witan_config *self, witan_config *next, witan_status status,
       const witan_allocator *allocator)
{
    witan_config *old = status == WITAN_OK ? self : next;
    if (next->models != self->models) {
        witan_free(allocator, old->models);
    }
    if (status == WITAN_OK) {
        *self = *next;
    }
    return status;
}

witan_status
witan_config_read(witan_config *self, const char *json, size_t size, const char *origin,
                  const witan_allocator *allocator, witan_diag *diag)
{
    witan_config_reader reader = {.origin = origin, .separator = ": ", .diag = diag};
    witan_config next = *self;
    size_t offset;

    if (size > WITAN_CONFIG_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "%s: %zu bytes, at most %zu are read", origin, size,
                               WITAN_CONFIG_BYTES_MAX);
    }
    WITAN_TRY(screen(&reader, json, size));
    cJSON *root = parse(json, size, &offset);
    if (root == NULL) {
        char what[64];
        size_t rest = 0;
        while (rest < 24 && rest < size - offset &&
               (unsigned char)json[offset + rest] >= 0x20) {
            rest++;
        }
        (void)snprintf(what, sizeof what, "not valid JSON near '%.*s'", (int)rest,
                       json + offset);
        return fail_at(&reader, json, offset, rest == 0 ? "the JSON ends early" : what);
    }
    witan_status status = read_section(&reader, root, &next, self, allocator);
    cJSON_Delete(root);
    return finish(self, &next, status, allocator);
}

/* Words separated by commas outside parentheses, as a JSON list of texts. */
static cJSON *
split_words(const char *text)
{
    cJSON *list = cJSON_CreateArray();
    for (const char *word = text; list != NULL;) {
        char copy[256];
        size_t length = 0, depth = 0;
        while (word[length] != '\0' && (word[length] != ',' || depth > 0)) {
            depth += word[length] == '(';
            depth -= word[length] == ')' && depth > 0;
            length++;
        }
        const char *next = word + length;
        while (length > 0 && word[0] == ' ') {
            word++;
            length--;
        }
        while (length > 0 && word[length - 1] == ' ') {
            length--;
        }
        (void)snprintf(copy, sizeof copy, "%.*s",
                       (int)(length < sizeof copy ? length : sizeof copy - 1), word);
        cJSON *item = cJSON_CreateString(copy);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return NULL;
        }
        if (*next == '\0') {
            break;
        }
        word = next + 1;
    }
    return list;
}

/* The value of one --set argument as JSON; NULL when out of memory. */
static cJSON *
value_of(const witan_config_key *key, const char *text)
{
    size_t offset;
    bool words = key->type == WITAN_KEY_MODELS;
    bool word = key->type == WITAN_KEY_TEXT || key->type == WITAN_KEY_CHOICE;
    cJSON *value = parse(text, strlen(text), &offset);
    if (value != NULL && ((!word && !words) || (word && cJSON_IsString(value)) ||
                          (words && cJSON_IsArray(value)))) {
        return value;
    }
    cJSON_Delete(value);
    return words ? split_words(text) : cJSON_CreateString(text);
}

static witan_status
set(witan_config_reader *reader, const witan_config_key *key, const char *text,
    witan_config *config, const witan_config *original,
    const witan_allocator *allocator)
{
    cJSON *value = value_of(key, text);
    if (value == NULL) {
        return witan_diag_fail(reader->diag, WITAN_E_MEMORY, "out of memory");
    }
    witan_status status = assign(reader, key, value, config, original, allocator);
    cJSON_Delete(value);
    return status;
}

witan_status
witan_config_set(witan_config *self, const char *assignment,
                 const witan_allocator *allocator, witan_diag *diag)
{
    witan_config_reader reader = {.origin = "--set", .separator = " ", .diag = diag};
    witan_config next = *self;
    const char *equals = strchr(assignment, '=');
    size_t size = strlen(assignment);
    char path[WITAN_KEY_PATH_MAX * 2];

    if (size > WITAN_CONFIG_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT, "--set: %zu bytes, at most %zu",
                               size, WITAN_CONFIG_BYTES_MAX);
    }
    if (equals == NULL || equals == assignment) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "--set \"%.60s\": expected key=value, as in fusion.beta=5", assignment);
    }
    WITAN_TRY(screen(&reader, assignment, size));
    size_t length = (size_t)(equals - assignment);
    (void)snprintf(path, sizeof path, "%.*s", (int)(length < 127 ? length : 127),
                   assignment);
    (void)witan_config_enter(&reader, path);
    const witan_config_key *key = witan_config_key_find(path);
    if (key == NULL && witan_config_is_section(path)) {
        witan_config_children children;
        char names[512];
        witan_config_section_children(&children, path);
        list_children(names, sizeof names, &children);
        return witan_config_fail(&reader, "has keys of its own; set one of them: %s",
                                 names);
    }
    if (key == NULL) {
        return fail_unknown(&reader);
    }
    witan_status status = set(&reader, key, equals + 1, &next, self, allocator);
    return finish(self, &next, status, allocator);
}

witan_status
witan_config_init(witan_config *out, const witan_allocator *allocator)
{
    static const witan_config empty;
    witan_config_reader reader = {.origin = "", .separator = ""};
    size_t count;
    const witan_config_key *keys = witan_config_keys(&count);

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        witan_status status =
            set(&reader, &keys[i], keys[i].initial, out, &empty, allocator);
        WITAN_ASSERT(status == WITAN_OK || status == WITAN_E_MEMORY);
        if (status != WITAN_OK) {
            witan_config_fini(out, allocator);
            return status;
        }
    }
    return WITAN_OK;
}

void
witan_config_fini(witan_config *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->models);
    self->models = NULL;
    self->models_count = 0;
}
