/* models.c - layer lists in JSON. One table of kinds drives reading, writing and the
 * document. A residual block is an object with its own "layers" in JSON and a pair of
 * markers in the flat list. */
#include "config/models.h"

#include <string.h>

enum fallback {
    REQUIRED,
    ZERO,
    ONE,
    KERNEL, /* as the kernel */
};

typedef struct layer_field {
    witan_config_key
        bounds; /* path: the parameter's name; offset in witan_layer_spec */
    enum fallback fallback;
} layer_field;

#define FIELD(name_, member, type_)                                                    \
    .path = name_, .type = type_, .offset = offsetof(witan_layer_spec, member),        \
    .unit = ""
#define COUNT(name_, member, minimum_)                                                 \
    {                                                                                  \
        FIELD(name_, member, WITAN_KEY_INTEGER), .minimum = minimum_,                  \
                                                 .maximum = (double)WITAN_UNITS_MAX    \
    }

static const layer_field units = {COUNT("units", units, 1), REQUIRED};
static const layer_field filters = {COUNT("filters", units, 1), REQUIRED};
static const layer_field kernel = {COUNT("kernel", kernel, 1), REQUIRED};
static const layer_field stride = {COUNT("stride", stride, 1), ONE};
static const layer_field stride_pool = {COUNT("stride", stride, 1), KERNEL};
static const layer_field padding = {COUNT("padding", padding, 0), ZERO};
static const layer_field groups = {COUNT("groups", groups, 1), REQUIRED};
static const layer_field rate = {
    {FIELD("rate", rate, WITAN_KEY_NUMBER), .minimum = 0, .maximum = 1, .below = true},
    REQUIRED};

enum {
    FIELDS_MAX = 4,
};

typedef struct layer_form {
    const char *word;
    witan_layer_kind kind;
    const layer_field *fields[FIELDS_MAX]; /* in order; the rest NULL */
} layer_form;

static const layer_form forms[] = {
    {"dense", WITAN_LAYER_DENSE, {&units}},
    {"convolution", WITAN_LAYER_CONVOLUTION, {&filters, &kernel, &stride, &padding}},
    {"max-pool", WITAN_LAYER_MAX_POOL, {&kernel, &stride_pool}},
    {"average-pool", WITAN_LAYER_AVERAGE_POOL, {&kernel, &stride_pool}},
    {"global-average-pool", WITAN_LAYER_GLOBAL_AVERAGE_POOL, {NULL}},
    {"relu", WITAN_LAYER_RELU, {NULL}},
    {"gelu", WITAN_LAYER_GELU, {NULL}},
    {"tanh", WITAN_LAYER_TANH, {NULL}},
    {"dropout", WITAN_LAYER_DROPOUT, {&rate}},
    {"group-norm", WITAN_LAYER_GROUP_NORM, {&groups}},
    {"batch-norm", WITAN_LAYER_BATCH_NORM, {NULL}},
    {"residual", WITAN_LAYER_RESIDUAL_BEGIN, {NULL}},
};
enum {
    FORMS = sizeof forms / sizeof forms[0],
};

static witan_status read_layers(witan_config_reader *reader, const cJSON *list,
                                bool inside, witan_model_spec *spec);

/* Member by exact name; the caller has refused duplicates. */
static const cJSON *
member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* Every member must be one of `names`, once. */
static witan_status
check_members(witan_config_reader *reader, const cJSON *object,
              const char *const *names, size_t count)
{
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        size_t known = 0;
        if (item->string[0] == '_') {
            continue;
        }
        size_t here = witan_config_enter(reader, item->string);
        while (known < count && strcmp(names[known], item->string) != 0) {
            known++;
        }
        if (known == count) {
            const char *nearest = witan_text_nearest(item->string, names, count);
            return nearest != NULL
                       ? witan_config_fail(reader, "unknown key; did you mean \"%s\"?",
                                           nearest)
                       : witan_config_fail(reader, "unknown key");
        }
        WITAN_TRY(witan_config_check_twice(reader, object, item));
        witan_config_leave(reader, here);
    }
    return WITAN_OK;
}

static witan_status
append(const witan_config_reader *reader, witan_model_spec *spec,
       witan_layer_spec layer)
{
    if (spec->layers == WITAN_LAYERS_MAX) {
        return witan_config_fail(
            reader, "more than %zu layers (a residual block adds 2)", WITAN_LAYERS_MAX);
    }
    spec->layer[spec->layers++] = layer;
    return WITAN_OK;
}

static witan_status
read_field(witan_config_reader *reader, const cJSON *object, const layer_form *form,
           const layer_field *field, witan_layer_spec *layer)
{
    const cJSON *value = member(object, field->bounds.path);
    double number = 0.0;
    size_t here = witan_config_enter(reader, field->bounds.path);
    if (value != NULL) {
        WITAN_TRY(witan_config_read_number(reader, value, &field->bounds, &number));
    } else if (field->fallback == REQUIRED) {
        return witan_config_fail(reader, "missing; \"%s\" needs it", form->word);
    } else {
        number = field->fallback == KERNEL ? (double)layer->kernel
                 : field->fallback == ONE  ? 1.0
                                           : 0.0;
    }
    if (field == &padding && number >= (double)layer->kernel) {
        return witan_config_fail(reader, "must be smaller than the kernel (%zu)",
                                 layer->kernel);
    }
    char *place = (char *)layer + field->bounds.offset;
    if (field->bounds.type == WITAN_KEY_INTEGER) {
        size_t whole = (size_t)number;
        memcpy(place, &whole, sizeof whole);
    } else {
        memcpy(place, &number, sizeof number);
    }
    witan_config_leave(reader, here);
    return WITAN_OK;
}

/* The form that "kind" names. */
static witan_status
read_kind(witan_config_reader *reader, const cJSON *object, const layer_form **out)
{
    const char *words[FORMS];
    char found[WITAN_FOUND_MAX];
    const cJSON *kind = member(object, "kind");
    size_t here = witan_config_enter(reader, "kind");
    for (size_t i = 0; i < FORMS; i++) {
        words[i] = forms[i].word;
        if (cJSON_IsString(kind) && strcmp(words[i], kind->valuestring) == 0) {
            *out = &forms[i];
            witan_config_leave(reader, here);
            return WITAN_OK;
        }
    }
    if (kind == NULL) {
        return witan_config_fail(reader, "missing; every layer needs it");
    }
    if (!cJSON_IsString(kind)) {
        return witan_config_fail(reader, "expected text, got %s",
                                 witan_config_found(found, kind));
    }
    const char *nearest = witan_text_nearest(kind->valuestring, words, FORMS);
    return witan_config_fail(
        reader, "unknown kind \"%.40s\"; %s%s%s", kind->valuestring,
        nearest != NULL ? "did you mean \"" : "docs/config.md lists",
        nearest != NULL ? nearest : " them", nearest != NULL ? "\"?" : "");
}

static witan_status
read_residual(witan_config_reader *reader, const cJSON *object, witan_model_spec *spec)
{
    const cJSON *inner = member(object, "layers");
    size_t here = witan_config_enter(reader, "layers");
    if (inner == NULL || (cJSON_IsArray(inner) && inner->child == NULL)) {
        return witan_config_fail(reader, "a residual block needs at least one layer");
    }
    WITAN_TRY(
        append(reader, spec, (witan_layer_spec){.kind = WITAN_LAYER_RESIDUAL_BEGIN}));
    WITAN_TRY(read_layers(reader, inner, true, spec));
    WITAN_TRY(
        append(reader, spec, (witan_layer_spec){.kind = WITAN_LAYER_RESIDUAL_END}));
    witan_config_leave(reader, here);
    return WITAN_OK;
}

static witan_status
read_layer(witan_config_reader *reader, const cJSON *object, bool inside,
           witan_model_spec *spec)
{
    const layer_form *form = NULL;
    const char *names[FIELDS_MAX + 2] = {"kind"};
    char found[WITAN_FOUND_MAX];
    size_t known = 1;
    witan_layer_spec layer = {0};

    if (!cJSON_IsObject(object)) {
        return witan_config_fail(reader, "expected an object {\"kind\": ...}, got %s",
                                 witan_config_found(found, object));
    }
    WITAN_TRY(read_kind(reader, object, &form));
    layer.kind = form->kind;
    for (size_t i = 0; i < FIELDS_MAX && form->fields[i] != NULL; i++) {
        names[known++] = form->fields[i]->bounds.path;
    }
    if (form->kind == WITAN_LAYER_RESIDUAL_BEGIN) {
        names[known++] = "layers";
    }
    WITAN_TRY(check_members(reader, object, names, known));
    if (form->kind == WITAN_LAYER_RESIDUAL_BEGIN) {
        if (inside) {
            return witan_config_fail(reader, "a residual block inside another");
        }
        return read_residual(reader, object, spec);
    }
    for (size_t i = 0; i < FIELDS_MAX && form->fields[i] != NULL; i++) {
        WITAN_TRY(read_field(reader, object, form, form->fields[i], &layer));
    }
    return append(reader, spec, layer);
}

static witan_status
read_layers(witan_config_reader *reader, const cJSON *list, bool inside,
            witan_model_spec *spec)
{
    char found[WITAN_FOUND_MAX];
    size_t index = 0;
    if (!cJSON_IsArray(list)) {
        return witan_config_fail(reader, "expected a list of layers, got %s",
                                 witan_config_found(found, list));
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next, index++) {
        size_t here = witan_config_enter_index(reader, index);
        WITAN_TRY(read_layer(reader, item, inside, spec));
        witan_config_leave(reader, here);
    }
    return WITAN_OK;
}

static witan_status
read_custom(witan_config_reader *reader, const cJSON *object, witan_model_spec *spec)
{
    static const char *const names[] = {"name", "layers"};
    for (size_t i = 0; i < 2; i++) {
        if (member(object, names[i]) == NULL) {
            WITAN_TRY(check_members(reader, object, names, 2));
            (void)witan_config_enter(reader, names[i]);
            return witan_config_fail(reader,
                                     "missing; a model needs a name and layers");
        }
    }
    WITAN_TRY(check_members(reader, object, names, 2));
    size_t here = witan_config_enter(reader, "name");
    WITAN_TRY(witan_config_read_text(reader, member(object, "name"), spec->name,
                                     sizeof spec->name));
    if (spec->name[0] == '\0') {
        return witan_config_fail(reader, "must not be empty");
    }
    witan_config_leave(reader, here);
    here = witan_config_enter(reader, "layers");
    WITAN_TRY(read_layers(reader, member(object, "layers"), false, spec));
    witan_config_leave(reader, here);
    return WITAN_OK;
}

static witan_status
read_model(witan_config_reader *reader, const cJSON *item, witan_model_spec *spec)
{
    witan_diag why = {0};
    char found[WITAN_FOUND_MAX];
    witan_status status;

    if (cJSON_IsObject(item)) {
        WITAN_TRY(read_custom(reader, item, spec));
        status = witan_model_spec_check(spec, &why);
    } else if (cJSON_IsString(item)) {
        status = witan_zoo_parse(spec, item->valuestring, &why);
    } else {
        return witan_config_fail(reader, "expected a model's name or an object, got %s",
                                 witan_config_found(found, item));
    }
    return status == WITAN_OK ? WITAN_OK : witan_config_fail(reader, "%s", why.message);
}

witan_status
witan_config_read_models(witan_config_reader *reader, const cJSON *list,
                         const witan_allocator *allocator, witan_model_spec **out,
                         size_t *count)
{
    char found[WITAN_FOUND_MAX];
    witan_model_spec *models = NULL;
    witan_status status = WITAN_OK;
    size_t index = 0;

    *out = NULL;
    if (!cJSON_IsArray(list)) {
        return witan_config_fail(reader, "expected a list of models, got %s",
                                 witan_config_found(found, list));
    }
    *count = (size_t)cJSON_GetArraySize(list);
    if (*count < 1 || *count > WITAN_MODELS_MAX) {
        return witan_config_fail(reader, "%zu models given, use 1 to %zu", *count,
                                 WITAN_MODELS_MAX);
    }
    models = witan_zalloc(allocator, *count, sizeof *models);
    if (models == NULL) {
        return witan_diag_fail(reader->diag, WITAN_E_MEMORY, "out of memory");
    }
    for (const cJSON *item = list->child; item != NULL && status == WITAN_OK;
         item = item->next, index++) {
        size_t here = witan_config_enter_index(reader, index);
        status = read_model(reader, item, &models[index]);
        witan_config_leave(reader, here);
    }
    if (status != WITAN_OK) {
        witan_free(allocator, models);
        return status;
    }
    *out = models;
    return WITAN_OK;
}

static bool
same_layer(const witan_layer_spec *a, const witan_layer_spec *b)
{
    return a->kind == b->kind && a->units == b->units && a->kernel == b->kernel &&
           a->stride == b->stride && a->padding == b->padding &&
           a->groups == b->groups && memcmp(&a->rate, &b->rate, sizeof a->rate) == 0;
}

/* Whether the model is what its name alone would give. */
static bool
is_zoo(const witan_model_spec *model)
{
    witan_model_spec named;
    if (model->reads_tokens) {
        return true; /* no other way to write one */
    }
    if (witan_zoo_parse(&named, model->name, NULL) != WITAN_OK ||
        named.layers != model->layers) {
        return false;
    }
    for (size_t i = 0; i < model->layers; i++) {
        if (!same_layer(&named.layer[i], &model->layer[i])) {
            return false;
        }
    }
    return true;
}

static void
write_fields(witan_text *out, const layer_form *form, const witan_layer_spec *layer)
{
    for (size_t i = 0; i < FIELDS_MAX && form->fields[i] != NULL; i++) {
        const witan_config_key *field = &form->fields[i]->bounds;
        const char *place = (const char *)layer + field->offset;
        witan_text_format(out, ", \"%s\": ", field->path);
        if (field->type == WITAN_KEY_INTEGER) {
            size_t whole;
            memcpy(&whole, place, sizeof whole);
            witan_text_format(out, "%zu", whole);
        } else {
            double number;
            memcpy(&number, place, sizeof number);
            witan_text_json_number(out, number);
        }
    }
}

/* One layer per line; those of a residual block stand two columns further in. */
static void
write_layers(witan_text *out, const witan_model_spec *model)
{
    int indent = 6;
    bool first = true;
    for (size_t i = 0; i < model->layers; i++) {
        const witan_layer_spec *layer = &model->layer[i];
        if (layer->kind == WITAN_LAYER_RESIDUAL_END) {
            indent -= 2;
            witan_text_format(out, "\n%*s]}", indent, "");
            first = false;
            continue;
        }
        const layer_form *form = &forms[0];
        while (form->kind != layer->kind) {
            form++;
            WITAN_ASSERT(form < forms + FORMS);
        }
        witan_text_format(out, "%s\n%*s{\"kind\": \"%s\"", first ? "" : ",", indent, "",
                          form->word);
        first = layer->kind == WITAN_LAYER_RESIDUAL_BEGIN;
        if (first) {
            witan_text_format(out, ", \"layers\": [");
            indent += 2;
        } else {
            write_fields(out, form, layer);
            witan_text_format(out, "}");
        }
    }
}

void
witan_config_write_models(witan_text *out, const witan_model_spec *models, size_t count)
{
    witan_text_format(out, "[");
    for (size_t i = 0; i < count; i++) {
        witan_text_format(out, "%s\n    ", i == 0 ? "" : ",");
        if (is_zoo(&models[i])) {
            witan_text_json_string(out, models[i].name);
            continue;
        }
        witan_text_format(out, "{\"name\": ");
        witan_text_json_string(out, models[i].name);
        witan_text_format(out, ", \"layers\": [");
        write_layers(out, &models[i]);
        witan_text_format(out, "\n    ]}");
    }
    witan_text_format(out, "\n  ]");
}

void
witan_config_document_layers(witan_text *out)
{
    static const char *const fallback[] = {
        [REQUIRED] = "required", [ZERO] = "0", [ONE] = "1", [KERNEL] = "as kernel"};
    witan_text_format(out, "| kind | parameters |\n|---|---|\n");
    for (size_t i = 0; i < FORMS; i++) {
        witan_text_format(out, "| `%s` |", forms[i].word);
        for (size_t j = 0; j < FIELDS_MAX && forms[i].fields[j] != NULL; j++) {
            const layer_field *field = forms[i].fields[j];
            char range[64];
            witan_config_key_range(&field->bounds, range, sizeof range);
            witan_text_format(out, "%s `%s` (%s; %s)", j == 0 ? "" : ",",
                              field->bounds.path, range, fallback[field->fallback]);
        }
        if (forms[i].kind == WITAN_LAYER_RESIDUAL_BEGIN) {
            witan_text_format(out,
                              " `layers` (a list with at least one layer, no further "
                              "`residual`; required)");
        }
        witan_text_format(out, " |\n");
    }
}
