/* canary_file.c - canary plans as JSON. Symbols of a fill are digits and letters, one
 * byte each, or words without blanks: "281265", "apple tree river". Numbers of 64 bits
 * are texts, because JSON's are doubles. Order and white space are free when it is
 * read, everything else is not: the digest covers what was read. */
#include "setup/canary_file.h"

#include <cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"

#define VERSION 1

enum {
    MEMBERS_MAX = 16, /* of one object */
};

static const char *const kinds[] = {"text", "noise", "mislabelled"};
static const char *const placements[] = {"uniform", "start"};
static const char *const transfers[] = {"without", "template", "canaries"};
static const char *const units[] = {"character", "word"};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

const char *
witan_canary_kind_name(witan_canary_kind kind)
{
    return (size_t)kind < COUNT(kinds) ? kinds[kind] : NULL;
}

const char *
witan_canary_placement_name(witan_canary_placement placement)
{
    return (size_t)placement < COUNT(placements) ? placements[placement] : NULL;
}

const char *
witan_canary_transfer_name(witan_canary_transfer transfer)
{
    return (size_t)transfer < COUNT(transfers) ? transfers[transfer] : NULL;
}

/* --- writing ---------------------------------------------------------------------- */

static void
add_fill(witan_text *out, const witan_canary_plan *self, const witan_canary *canary,
         const witan_vocabulary *vocabulary)
{
    const witan_canary_template *form = &self->compiled;
    const uint32_t *fill = canary->fill;
    bool first = true;
    witan_text_format(out, ", \"fill\": \"");
    for (size_t i = 0; i < form->slots; i++) {
        if (form->slot[i].alphabet == 0) {
            continue;
        }
        const char *name = vocabulary->names[form->slot[i].symbols[*fill++]];
        bool blank = !first && vocabulary->unit == WITAN_TEXT_WORD;
        witan_text_format(out, "%s%s", blank ? " " : "", name);
        first = false;
    }
    witan_text_add(out, "\"", 1);
}

static void
add_canaries(witan_text *out, const witan_canary_plan *self,
             const witan_vocabulary *vocabulary)
{
    for (size_t i = 0; i < self->count; i++) {
        const witan_canary *canary = &self->canary[i];
        witan_text_format(
            out, "%s\n    {\"repetitions\": %u, \"inserted\": %s, \"client\": %u",
            i == 0 ? "" : ",", canary->repetitions, canary->inserted ? "true" : "false",
            canary->client);
        if (self->kind == WITAN_CANARY_TEXT) {
            add_fill(out, self, canary, vocabulary);
        } else if (self->kind == WITAN_CANARY_MISLABELLED) {
            witan_text_format(out, ", \"row\": %" PRIu64, canary->row);
        }
        if (self->kind != WITAN_CANARY_TEXT) {
            witan_text_format(out, ", \"label\": %u", canary->label);
        }
        witan_text_add(out, "}", 1);
    }
}

void
witan_canary_plan_write(const witan_canary_plan *self,
                        const witan_vocabulary *vocabulary, witan_text *out)
{
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_text_format(out, "{\n  \"witan_canary_plan\": %d,\n  \"kind\": \"%s\"",
                      VERSION, kinds[self->kind]);
    if (self->kind == WITAN_CANARY_TEXT) {
        witan_text_format(out, ",\n  \"template\": ");
        witan_text_json_string(out, self->text);
        witan_digest_hex(hex, self->vocabulary);
        witan_text_format(out,
                          ",\n  \"unit\": \"%s\",\n  \"vocabulary\": \"%s\""
                          ",\n  \"space\": ",
                          units[vocabulary->unit], hex);
        witan_text_json_number(out, self->compiled.space);
    } else {
        witan_text_format(out, ",\n  \"classes\": %zu", self->classes);
    }
    witan_text_format(out,
                      ",\n  \"seed\": \"%" PRIu64 "\",\n  \"inclusion\": ", self->seed);
    witan_text_json_number(out, self->inclusion);
    witan_text_format(out,
                      ",\n  \"placement\": \"%s\",\n  \"transfer\": \"%s\",\n  "
                      "\"transfer_rows\": %zu,\n  \"references\": %zu,\n  "
                      "\"holders\": [",
                      placements[self->placement], transfers[self->transfer],
                      self->transfer_rows, self->references);
    for (size_t i = 0; i < self->holders_count; i++) {
        witan_text_format(out, "%s%u", i == 0 ? "" : ", ", self->holders[i]);
    }
    witan_text_format(out, "],\n  \"canaries\": [");
    add_canaries(out, self, vocabulary);
    witan_digest_hex(hex, self->digest);
    witan_text_format(out, "\n  ],\n  \"digest\": \"%s\"\n}\n", hex);
}

/* --- reading ---------------------------------------------------------------------- */

typedef struct reader {
    witan_canary_plan *out;
    const char *origin;
    const witan_vocabulary *vocabulary; /* or NULL */
    const witan_allocator *allocator;
    witan_diag *diag;
    char place[48]; /* before a member's name: "", "canaries[17]." */
    uint8_t *holds; /* [WITAN_CLIENTS_MAX] owned: whether it is a holder */
} reader;

static witan_status fail(const reader *self, const char *member, const char *format,
                         ...) WITAN_PRINTF(3, 4);

static witan_status
fail(const reader *self, const char *member, const char *format, ...)
{
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return witan_diag_fail(self->diag, WITAN_E_CONFIG, "%s: %s%s: %s", self->origin,
                           self->place, member, sentence);
}

static witan_status
fail_memory(const reader *self)
{
    return witan_diag_fail(self->diag, WITAN_E_MEMORY, "%s: out of memory",
                           self->origin);
}

/* Every member is one of `names` [count], and each of those stands there once. */
static witan_status
check_members(const reader *self, const cJSON *object, const char *const *names,
              size_t count)
{
    bool seen[MEMBERS_MAX] = {false};
    WITAN_ASSERT(count <= MEMBERS_MAX);
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        size_t i = 0;
        while (i < count && strcmp(names[i], item->string) != 0) {
            i++;
        }
        if (i == count) {
            char name[41];
            (void)snprintf(name, sizeof name, "%s", item->string);
            return fail(self, name, "a plan has no such member; remove it");
        }
        if (seen[i]) {
            return fail(self, names[i], "given twice; keep one");
        }
        seen[i] = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!seen[i]) {
            return fail(self, names[i], "is missing; draw the plan anew");
        }
    }
    return WITAN_OK;
}

/* A member that check_members found. */
static const cJSON *
member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static witan_status
whole_number(const reader *self, const char *name, const cJSON *value, double high,
             uint64_t *out)
{
    double number = cJSON_IsNumber(value) ? value->valuedouble : -1.0;
    *out = 0;
    if (!(number >= 0.0 && number <= high) || floor(number) != number) {
        return fail(self, name, "must be a whole number from 0 to %.0f", high);
    }
    *out = (uint64_t)number;
    return WITAN_OK;
}

static witan_status
count_member(const reader *self, const cJSON *object, const char *name, size_t high,
             uint64_t *out)
{
    return whole_number(self, name, member(object, name), (double)high, out);
}

static witan_status
text_member(const reader *self, const cJSON *object, const char *name, const char **out)
{
    const cJSON *value = member(object, name);
    *out = "";
    if (!cJSON_IsString(value)) {
        return fail(self, name, "must be a text");
    }
    *out = value->valuestring;
    return WITAN_OK;
}

static witan_status
word_member(const reader *self, const cJSON *object, const char *name,
            const char *const *words, size_t count, size_t *out)
{
    const char *text;
    *out = 0;
    WITAN_TRY(text_member(self, object, name, &text));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return WITAN_OK;
        }
    }
    return fail(self, name, "unknown word \"%.40s\"", text);
}

static witan_status
read_template(reader *self, const cJSON *root)
{
    witan_canary_plan *out = self->out;
    const char *text, *vocabulary;
    char hex[WITAN_DIGEST_HEX_SIZE];
    size_t unit;
    WITAN_TRY(word_member(self, root, "unit", units, COUNT(units), &unit));
    if (unit != (size_t)self->vocabulary->unit) {
        return fail(self, "unit",
                    "the plan was drawn for tokens of one %s each, the data are read "
                    "by %s; set data.text.unit, or draw a new plan",
                    units[unit], units[self->vocabulary->unit]);
    }
    WITAN_TRY(text_member(self, root, "vocabulary", &vocabulary));
    witan_vocabulary_digest(self->vocabulary, out->vocabulary);
    witan_digest_hex(hex, out->vocabulary);
    if (strcmp(hex, vocabulary) != 0) {
        return fail(self, "vocabulary",
                    "the plan was drawn for another vocabulary: use the text and the "
                    "settings of data.text that it was drawn with, or draw a new plan");
    }
    WITAN_TRY(text_member(self, root, "template", &text));
    if (strlen(text) >= sizeof out->text) {
        return fail(self, "template", "longer than %zu bytes", sizeof out->text - 1);
    }
    memcpy(out->text, text, strlen(text));
    witan_diag why = {0};
    witan_status status = witan_canary_template_compile(
        &out->compiled, out->text, self->vocabulary, self->allocator, &why);
    if (status == WITAN_E_MEMORY) {
        return fail_memory(self);
    }
    if (status != WITAN_OK) {
        return fail(self, "template", "%s", why.message);
    }
    const cJSON *space = member(root, "space");
    if (!cJSON_IsNumber(space) || space->valuedouble != out->compiled.space) {
        return fail(self, "space", "the template has %.17g fills", out->compiled.space);
    }
    return WITAN_OK;
}

static witan_status
read_settings(reader *self, const cJSON *root)
{
    witan_canary_plan *out = self->out;
    const cJSON *inclusion = member(root, "inclusion");
    const char *seed;
    uint64_t rows, references;
    size_t placement, transfer;
    WITAN_TRY(text_member(self, root, "seed", &seed));
    if (!witan_text_parse_u64(seed, &out->seed)) {
        return fail(self, "seed", "must be a text with a whole number");
    }
    if (!cJSON_IsNumber(inclusion) ||
        !(inclusion->valuedouble > 0.0 && inclusion->valuedouble <= 1.0)) {
        return fail(self, "inclusion", "must be a number above 0 and at most 1");
    }
    WITAN_TRY(word_member(self, root, "placement", placements, COUNT(placements),
                          &placement));
    WITAN_TRY(
        word_member(self, root, "transfer", transfers, COUNT(transfers), &transfer));
    WITAN_TRY(count_member(self, root, "transfer_rows", WITAN_CANARY_ROWS_MAX, &rows));
    WITAN_TRY(
        count_member(self, root, "references", WITAN_CANARY_ROWS_MAX, &references));
    if (references == 0 || (rows == 0 && transfer != WITAN_TRANSFER_WITHOUT)) {
        return fail(self, references == 0 ? "references" : "transfer_rows",
                    "must be at least 1");
    }
    if (out->kind != WITAN_CANARY_TEXT && transfer == WITAN_TRANSFER_TEMPLATE) {
        return fail(self, "transfer", "canaries of features have no template");
    }
    out->inclusion = inclusion->valuedouble;
    out->placement = (witan_canary_placement)placement;
    out->transfer = (witan_canary_transfer)transfer;
    out->transfer_rows = (size_t)rows;
    out->references = (size_t)references;
    return WITAN_OK;
}

/* A list of 1 to `most` items. */
static witan_status
list_member(const reader *self, const cJSON *root, const char *name, size_t most,
            const cJSON **out, size_t *count)
{
    const cJSON *list = member(root, name);
    *out = NULL;
    *count = 0;
    if (!cJSON_IsArray(list) || list->child == NULL) {
        return fail(self, name, "must be a list with at least one item");
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        if (++*count > most) {
            return fail(self, name, "more than %zu items", most);
        }
    }
    *out = list->child;
    return WITAN_OK;
}

static witan_status
read_holders(reader *self, const cJSON *root)
{
    witan_canary_plan *out = self->out;
    const cJSON *item;
    WITAN_TRY(list_member(self, root, "holders", WITAN_CLIENTS_MAX, &item,
                          &out->holders_count));
    out->holders =
        witan_zalloc(self->allocator, out->holders_count, sizeof *out->holders);
    self->holds = witan_zalloc(self->allocator, WITAN_CLIENTS_MAX, 1);
    if (out->holders == NULL || self->holds == NULL) {
        return fail_memory(self);
    }
    for (size_t i = 0; i < out->holders_count; i++, item = item->next) {
        uint64_t client;
        WITAN_TRY(whole_number(self, "holders", item, (double)WITAN_CLIENTS_MAX - 1.0,
                               &client));
        if (self->holds[client]) {
            return fail(self, "holders", "client %" PRIu64 " stands there twice",
                        client);
        }
        self->holds[client] = 1;
        out->holders[i] = (uint32_t)client;
    }
    return WITAN_OK;
}

/* Symbols of the template's holes, in order, and nothing more. */
static witan_status
read_fill(const reader *self, const cJSON *item, uint32_t *fill)
{
    const witan_canary_template *form = &self->out->compiled;
    bool words = self->vocabulary->unit == WITAN_TEXT_WORD;
    const char *text;
    WITAN_TRY(text_member(self, item, "fill", &text));
    const char *at = text;
    for (size_t i = 0; i < form->slots; i++) {
        if (form->slot[i].alphabet == 0) {
            continue;
        }
        size_t size = words ? strcspn(at, " ") : *at != '\0';
        uint32_t token = witan_vocabulary_find(self->vocabulary, at, size);
        uint32_t symbol = size == 0 ? UINT32_MAX : witan_canary_symbol(form, i, token);
        if (symbol == UINT32_MAX) {
            return fail(self, "fill", "\"%.40s\" does not fill the template %s", text,
                        self->out->text);
        }
        *fill++ = symbol;
        at += size;
        at += words && at[0] == ' ' && at[1] != '\0';
    }
    return *at == '\0' ? WITAN_OK
                       : fail(self, "fill", "\"%.40s\" is too long for the template %s",
                              text, self->out->text);
}

static witan_status
read_canary(const reader *self, const cJSON *item, witan_canary *out)
{
    static const char *const names[][5] = {
        [WITAN_CANARY_TEXT] = {"repetitions", "inserted", "client", "fill"},
        [WITAN_CANARY_NOISE] = {"repetitions", "inserted", "client", "label"},
        [WITAN_CANARY_MISLABELLED] = {"repetitions", "inserted", "client", "label",
                                      "row"},
    };
    witan_canary_kind kind = self->out->kind;
    uint64_t repetitions, client, label;
    if (!cJSON_IsObject(item)) {
        return fail(self, "", "must be an object");
    }
    WITAN_TRY(check_members(self, item, names[kind],
                            kind == WITAN_CANARY_MISLABELLED ? 5 : 4));
    WITAN_TRY(
        count_member(self, item, "repetitions", WITAN_CANARY_ROWS_MAX, &repetitions));
    WITAN_TRY(count_member(self, item, "client", WITAN_CLIENTS_MAX - 1, &client));
    const cJSON *inserted = member(item, "inserted");
    if (!cJSON_IsBool(inserted)) {
        return fail(self, "inserted", "must be true or false");
    }
    out->repetitions = (uint32_t)repetitions;
    out->inserted = cJSON_IsTrue(inserted);
    out->client = (uint32_t)client;
    if (out->inserted && repetitions == 0) {
        return fail(self, "inserted", "a control with 0 repetitions never is");
    }
    if (!self->holds[client]) {
        return fail(self, "client", "%" PRIu64 " is none of the holders", client);
    }
    if (kind == WITAN_CANARY_TEXT) {
        return read_fill(self, item, out->fill);
    }
    WITAN_TRY(count_member(self, item, "label", self->out->classes - 1, &label));
    out->label = (uint32_t)label;
    return kind == WITAN_CANARY_MISLABELLED
               ? count_member(self, item, "row", WITAN_SAMPLES_MAX - 1, &out->row)
               : WITAN_OK;
}

static witan_status
read_canaries(reader *self, const cJSON *root)
{
    witan_canary_plan *out = self->out;
    size_t holes = out->compiled.holes, rows = 0;
    const cJSON *item;
    WITAN_TRY(
        list_member(self, root, "canaries", WITAN_CANARIES_MAX, &item, &out->count));
    out->canary = witan_zalloc(self->allocator, out->count, sizeof *out->canary);
    out->fills = holes == 0 ? NULL
                            : witan_zalloc(self->allocator, out->count,
                                           holes * sizeof(uint32_t));
    if (out->canary == NULL || (out->fills == NULL && holes > 0)) {
        return fail_memory(self);
    }
    for (size_t i = 0; i < out->count; i++, item = item->next) {
        out->canary[i].fill = holes == 0 ? NULL : out->fills + i * holes;
        (void)snprintf(self->place, sizeof self->place, "canaries[%zu].", i);
        WITAN_TRY(read_canary(self, item, &out->canary[i]));
        rows += out->canary[i].repetitions; /* at most 10^5 times 10^7 */
    }
    self->place[0] = '\0';
    return rows <= WITAN_CANARY_ROWS_MAX
               ? WITAN_OK
               : fail(self, "canaries", "%zu repetitions, at most %zu are planted",
                      rows, WITAN_CANARY_ROWS_MAX);
}

static witan_status
read_kind(reader *self, const cJSON *root)
{
    size_t kind;
    WITAN_TRY(word_member(self, root, "kind", kinds, COUNT(kinds), &kind));
    self->out->kind = (witan_canary_kind)kind;
    if ((kind == WITAN_CANARY_TEXT) != (self->vocabulary != NULL)) {
        return fail(self, "kind",
                    "canaries of kind \"%s\" need data of %s; draw a plan for these "
                    "data",
                    kinds[kind], kind == WITAN_CANARY_TEXT ? "text" : "features");
    }
    return WITAN_OK;
}

static witan_status
read_plan(reader *self, const cJSON *root)
{
    static const char *const of_text[] = {
        "witan_canary_plan", "kind",     "template",      "unit",
        "vocabulary",        "space",    "seed",          "inclusion",
        "placement",         "transfer", "transfer_rows", "references",
        "holders",           "canaries", "digest"};
    static const char *const of_features[] = {
        "witan_canary_plan", "kind",      "classes",  "seed",
        "inclusion",         "placement", "transfer", "transfer_rows",
        "references",        "holders",   "canaries", "digest"};
    uint64_t classes;
    const char *digest;
    char hex[WITAN_DIGEST_HEX_SIZE];
    WITAN_TRY(read_kind(self, root));
    if (self->vocabulary != NULL) {
        WITAN_TRY(check_members(self, root, of_text, COUNT(of_text)));
        WITAN_TRY(read_template(self, root));
    } else {
        WITAN_TRY(check_members(self, root, of_features, COUNT(of_features)));
        WITAN_TRY(count_member(self, root, "classes", WITAN_CLASSES_MAX, &classes));
        if (classes < 2) {
            return fail(self, "classes", "must be at least 2");
        }
        self->out->classes = (size_t)classes;
    }
    WITAN_TRY(read_settings(self, root));
    WITAN_TRY(read_holders(self, root));
    WITAN_TRY(read_canaries(self, root));
    WITAN_TRY(text_member(self, root, "digest", &digest));
    witan_canary_plan_digest(self->out);
    witan_digest_hex(hex, self->out->digest);
    return strcmp(hex, digest) == 0
               ? WITAN_OK
               : witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                 "%s: the plan was changed after it was drawn; draw a "
                                 "new one",
                                 self->origin);
}

/* One JSON value and white space; NULL when it is not that. */
static cJSON *
parse(const char *json, size_t size)
{
    const char *end = NULL;
    if (memchr(json, '\0', size) != NULL) { /* white space to cJSON */
        return NULL;
    }
    cJSON *root = cJSON_ParseWithLengthOpts(json, size, &end, false);
    while (root != NULL && end < json + size) {
        if (strchr(" \t\r\n", *end++) == NULL) {
            cJSON_Delete(root);
            return NULL;
        }
    }
    return root;
}

static witan_status
check_version(const reader *self, const cJSON *root)
{
    const cJSON *version = root == NULL ? NULL : member(root, "witan_canary_plan");
    if (!cJSON_IsObject(root) || !cJSON_IsNumber(version)) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "%s: not a canary plan; witan canary plan draws one",
                               self->origin);
    }
    return version->valuedouble == VERSION
               ? WITAN_OK
               : fail(self, "witan_canary_plan",
                      "version %g; this program reads version %d", version->valuedouble,
                      VERSION);
}

witan_status
witan_canary_plan_read(witan_canary_plan *out, const char *json, size_t size,
                       const char *origin, const witan_vocabulary *vocabulary,
                       const witan_allocator *allocator, witan_diag *diag)
{
    reader self = {.out = out,
                   .origin = origin,
                   .vocabulary = vocabulary,
                   .allocator = allocator,
                   .diag = diag};
    *out = (witan_canary_plan){0};
    if (size > WITAN_CANARY_PLAN_BYTES_MAX) {
        return witan_diag_fail(diag, WITAN_E_LIMIT,
                               "%s: %zu bytes, at most %zu are read", origin, size,
                               WITAN_CANARY_PLAN_BYTES_MAX);
    }
    cJSON *root = parse(json, size);
    witan_status status = check_version(&self, root);
    if (status == WITAN_OK) {
        status = read_plan(&self, root);
    }
    cJSON_Delete(root);
    witan_free(allocator, self.holds);
    if (status != WITAN_OK) {
        witan_canary_plan_fini(out, allocator);
    }
    return status;
}
