/* The "models" key: layer lists in JSON, errors with their place, and back. */
#include <stdio.h>

#include "config_support.h"

static const char net[] =
    "{\"models\": [\"linear\", {\"_why\": 1, \"name\": \"my-\\\"net\\\"\", \"layers\": "
    "[\n"
    "  {\"kind\": \"convolution\", \"filters\": 16, \"kernel\": 3, \"padding\": 1},\n"
    "  {\"kind\": \"batch-norm\"}, {\"kind\": \"relu\", \"_note\": 1},\n"
    "  {\"kind\": \"max-pool\", \"kernel\": 2},\n"
    "  {\"kind\": \"residual\", \"layers\": [\n"
    "    {\"kind\": \"convolution\", \"filters\": 16, \"kernel\": 3, \"stride\": 2,"
    " \"padding\": 2},\n"
    "    {\"kind\": \"gelu\"},\n"
    "    {\"kind\": \"group-norm\", \"groups\": 4}]},\n"
    "  {\"kind\": \"average-pool\", \"kernel\": 3, \"stride\": 1},\n"
    "  {\"kind\": \"dropout\", \"rate\": 0.1},\n"
    "  {\"kind\": \"global-average-pool\"},\n"
    "  {\"kind\": \"dense\", \"units\": 64}, {\"kind\": \"tanh\"}]},\n"
    "  {\"name\": \"cnn\", \"layers\": []}]}";

static bool
layer_is(const witan_layer_spec *layer, witan_layer_spec expected)
{
    return layer->kind == expected.kind && layer->units == expected.units &&
           layer->kernel == expected.kernel && layer->stride == expected.stride &&
           layer->padding == expected.padding && layer->groups == expected.groups &&
           layer->rate == expected.rate;
}

static void
layers_are_read_and_written_back(void)
{
    static const witan_layer_spec expected[] = {
        {.kind = WITAN_LAYER_CONVOLUTION,
         .units = 16,
         .kernel = 3,
         .stride = 1,
         .padding = 1},
        {.kind = WITAN_LAYER_BATCH_NORM},
        {.kind = WITAN_LAYER_RELU},
        {.kind = WITAN_LAYER_MAX_POOL, .kernel = 2, .stride = 2},
        {.kind = WITAN_LAYER_RESIDUAL_BEGIN},
        {.kind = WITAN_LAYER_CONVOLUTION,
         .units = 16,
         .kernel = 3,
         .stride = 2,
         .padding = 2},
        {.kind = WITAN_LAYER_GELU},
        {.kind = WITAN_LAYER_GROUP_NORM, .groups = 4},
        {.kind = WITAN_LAYER_RESIDUAL_END},
        {.kind = WITAN_LAYER_AVERAGE_POOL, .kernel = 3, .stride = 1},
        {.kind = WITAN_LAYER_DROPOUT, .rate = 0.1},
        {.kind = WITAN_LAYER_GLOBAL_AVERAGE_POOL},
        {.kind = WITAN_LAYER_DENSE, .units = 64},
        {.kind = WITAN_LAYER_TANH},
    };
    enum {
        COUNT = sizeof expected / sizeof expected[0]
    };
    const witan_allocator *heap = witan_allocator_default();
    witan_config config, back;
    witan_diag diag = {0};
    CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
    CHECK_STATUS(witan_config_init(&back, heap), WITAN_OK);
    CHECK_STATUS(witan_config_read(&config, net, sizeof net - 1, "net", heap, &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(config.models_count == 3);
    CHECK_STRING(config.models[1].name, "my-\"net\"");
    CHECK(config.models[1].layers == COUNT && config.models[2].layers == 0);
    for (size_t i = 0; i < COUNT && i < config.models[1].layers; i++) {
        CHECK(layer_is(&config.models[1].layer[i], expected[i]));
    }
    witan_text text = config_text(&config);
    CHECK_CONTAINS(text.data, "    \"linear\",\n    {\"name\": \"my-\\\"net\\\"\"");
    /* Layers other than the zoo's: an object, whatever the name says. */
    CHECK_CONTAINS(text.data, "{\"name\": \"cnn\", \"layers\": [\n    ]}");
    CHECK_STATUS(witan_config_read(&back, text.data, text.length, "b", heap, &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    CHECK(back.models_count == config.models_count);
    for (size_t m = 0; m < back.models_count; m++) {
        CHECK_STRING(back.models[m].name, config.models[m].name);
        CHECK(back.models[m].layers == config.models[m].layers);
        for (size_t i = 0; i < config.models[m].layers; i++) {
            CHECK(layer_is(&back.models[m].layer[i], config.models[m].layer[i]));
        }
    }
    witan_text_fini(&text);
    witan_config_fini(&config, heap);
    witan_config_fini(&back, heap);
}

static void
every_zoo_model_is_written_as_its_name(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_config config;
    CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
    CHECK_STATUS(witan_config_set(
                     &config, "models=linear,mlp,mlp(256,128),lenet,cnn,resnet(16,1)",
                     heap, NULL),
                 WITAN_OK);
    witan_text text = config_text(&config);
    CHECK_CONTAINS(
        text.data,
        "  \"models\": [\n    \"linear\",\n    \"mlp\",\n    \"mlp(256,128)\",\n"
        "    \"lenet\",\n    \"cnn\",\n    \"resnet(16,1)\"\n  ],\n");
    witan_text_fini(&text);
    witan_config_fini(&config, heap);
}

/* Whether a model of this name with these layers is written as its name. */
static bool
written_as_name(const char *name, const char *layers)
{
    const witan_allocator *heap = witan_allocator_default();
    char json[1024], alone[128];
    witan_config config;
    int size =
        snprintf(json, sizeof json,
                 "{\"models\": [{\"name\": \"%s\", \"layers\": [%s]}]}", name, layers);
    CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
    CHECK_STATUS(witan_config_read(&config, json, (size_t)size, "a", heap, NULL),
                 WITAN_OK);
    witan_text text = config_text(&config);
    (void)snprintf(alone, sizeof alone, "\"models\": [\n    \"%s\"\n  ]", name);
    bool result = strstr(text.data, alone) != NULL;
    witan_text_fini(&text);
    witan_config_fini(&config, heap);
    return result;
}

/* A zoo name whose layers are spelled out: written as the name only when they are the
 * zoo's in every field. */
static void
a_name_stands_only_for_its_own_layers(void)
{
    static const struct {
        const char *layers;
        bool same;
    } cases[] = {
        {"{\"kind\":\"dense\",\"units\":7},{\"kind\":\"relu\"}", true},
        {"{\"kind\":\"dense\",\"units\":8},{\"kind\":\"relu\"}", false},
        {"{\"kind\":\"dense\",\"units\":7},{\"kind\":\"tanh\"}", false},
        {"{\"kind\":\"dense\",\"units\":7}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(written_as_name("mlp(7)", cases[i].layers) == cases[i].same);
    }
    static const char form[] = "{\"kind\":\"convolution\",\"filters\":%d,\"kernel\":%d,"
                               "\"stride\":%d,\"padding\":%d},{\"kind\":\"relu\"},"
                               "{\"kind\":\"max-pool\",\"kernel\":2},"
                               "{\"kind\":\"convolution\",\"filters\":5,\"kernel\":3,"
                               "\"padding\":1},{\"kind\":\"relu\"},"
                               "{\"kind\":\"max-pool\",\"kernel\":2},"
                               "{\"kind\":\"dense\",\"units\":6},{\"kind\":\"relu\"}";
    static const int numbers[][4] = {
        {4, 3, 1, 1}, {9, 3, 1, 1}, {4, 5, 1, 1}, {4, 3, 2, 1}, {4, 3, 1, 2}};
    for (size_t i = 0; i < 5; i++) {
        char layers[512];
        const int *n = numbers[i];
        (void)snprintf(layers, sizeof layers, form, n[0], n[1], n[2], n[3]);
        CHECK(written_as_name("cnn(4,5,6)", layers) == (i == 0));
    }
}

/* Message for a model with these layers, without the lead "exp.json: models[0]". */
static const char *
layers_message(const char *layers)
{
    static char json[512];
    (void)snprintf(json, sizeof json,
                   "{\"models\": [{\"name\": \"m\", \"layers\": %s}]}", layers);
    const char *message = read_message(json, strlen(json));
    const char lead[] = "exp.json: models[0]";
    return strncmp(message, lead, sizeof lead - 1) == 0 ? message + sizeof lead - 1
                                                        : message;
}
#define LAYERS_REFUSED(layers, message) CHECK_STRING(layers_message(layers), message)

static void
bad_layers_are_placed(void)
{
    LAYERS_REFUSED("7", ".layers: expected a list of layers, got the number 7");
    LAYERS_REFUSED("[1]",
                   ".layers[0]: expected an object {\"kind\": ...}, got the number 1");
    LAYERS_REFUSED("[{}]", ".layers[0].kind: missing; every layer needs it");
    LAYERS_REFUSED("[{\"kind\": 1}]",
                   ".layers[0].kind: expected text, got the number 1");
    LAYERS_REFUSED("[{\"kind\": \"relu\"}, {\"kind\": \"convolutoin\"}]",
                   ".layers[1].kind: unknown kind \"convolutoin\"; did you mean "
                   "\"convolution\"?");
    LAYERS_REFUSED("[{\"kind\": \"transformerblock\"}]",
                   ".layers[0].kind: unknown kind \"transformerblock\"; docs/config.md "
                   "lists them");
    LAYERS_REFUSED("[{\"kind\": \"dense\"}]",
                   ".layers[0].units: missing; \"dense\" needs it");
    LAYERS_REFUSED("[{\"kind\": \"convolution\", \"filters\": 3}]",
                   ".layers[0].kernel: missing; \"convolution\" needs it");
    LAYERS_REFUSED("[{\"kind\": \"dense\", \"units\": 3, \"unit\": 1}]",
                   ".layers[0].unit: unknown key; did you mean \"units\"?");
    LAYERS_REFUSED("[{\"kind\": \"relu\", \"filters\": 1}]",
                   ".layers[0].filters: unknown key");
    LAYERS_REFUSED("[{\"kind\": \"relu\", \"layers\": []}]",
                   ".layers[0].layers: unknown key");
    LAYERS_REFUSED("[{\"kind\": \"dense\", \"units\": 3, \"units\": 3}]",
                   ".layers[0].units: given twice; keep one");
    LAYERS_REFUSED("[{\"kind\": \"dense\", \"units\": 65537}]",
                   ".layers[0].units: 65537 is out of range, use 1 to 65536");
    LAYERS_REFUSED("[{\"kind\": \"dense\", \"units\": 1.5}]",
                   ".layers[0].units: expected an integer (1 to 65536), got the number "
                   "1.5");
    LAYERS_REFUSED("[{\"kind\": \"dropout\", \"rate\": 1}]",
                   ".layers[0].rate: 1 is out of range, use at least 0, below 1");
    LAYERS_REFUSED(
        "[{\"kind\":\"convolution\",\"filters\":1,\"kernel\":3,\"padding\":3}]",
        ".layers[0].padding: must be smaller than the kernel (3)");
    LAYERS_REFUSED("[{\"kind\": \"max-pool\", \"kernel\": 2, \"stride\": 0}]",
                   ".layers[0].stride: 0 is out of range, use 1 to 65536");
    LAYERS_REFUSED("[{\"kind\": \"residual\", \"layers\": [{\"kind\": \"relu\"}, "
                   "{\"kind\": \"dense\", \"units\": 0}]}]",
                   ".layers[0].layers[1].units: 0 is out of range, use 1 to 65536");
    LAYERS_REFUSED("[{\"kind\": \"residual\", \"layers\": [{\"kind\": \"residual\", "
                   "\"layers\": [{\"kind\": \"relu\"}]}]}]",
                   ".layers[0].layers[0]: a residual block inside another");
    LAYERS_REFUSED("[{\"kind\": \"residual\", \"layers\": []}]",
                   ".layers[0].layers: a residual block needs at least one layer");
    LAYERS_REFUSED("[{\"kind\": \"residual\"}]",
                   ".layers[0].layers: a residual block needs at least one layer");
    LAYERS_REFUSED("[{\"kind\": \"residual\", \"layers\": {}}]",
                   ".layers[0].layers: expected a list of layers, got an object");
}

static void
bad_models_are_placed(void)
{
    REFUSES("{\"models\": []}", "exp.json: models: 0 models given, use 1 to 256");
    REFUSES(
        "{\"models\": [\"cnn\", 5]}",
        "exp.json: models[1]: expected a model's name or an object, got the number 5");
    CHECK_CONTAINS(read_message("{\"models\": [\"cnn\", \"cnm\"]}", 26),
                   "exp.json: models[1]: ");
    REFUSES("{\"models\": [{\"layers\": []}]}",
            "exp.json: models[0].name: missing; a model needs a name and layers");
    REFUSES("{\"models\": [{\"name\": \"a\"}]}",
            "exp.json: models[0].layers: missing; a model needs a name and layers");
    REFUSES("{\"models\": [{\"nam\": \"a\", \"layers\": []}]}",
            "exp.json: models[0].nam: unknown key; did you mean \"name\"?");
    REFUSES("{\"models\": [{\"name\": \"\", \"layers\": []}]}",
            "exp.json: models[0].name: must not be empty");
    REFUSES("{\"models\": [{\"name\": 7, \"layers\": []}]}",
            "exp.json: models[0].name: expected text, got the number 7");
    REFUSES("{\"models\": [{\"name\": "
            "\"0123456789012345678901234567890123456789012345678901234567890123\", "
            "\"layers\": []}]}",
            "exp.json: models[0].name: text of 64 bytes, at most 63 are allowed");
    SET_REFUSES("models=[{\"name\": \"a\", \"layers\": [{}]}]",
                "--set models[0].layers[0].kind: missing; every layer needs it");
}

/* `count` times the text of a layer. */
static const char *
many_layers(const char *layer, size_t count)
{
    static char json[1 << 16];
    size_t used = (size_t)snprintf(json, sizeof json,
                                   "{\"models\": [{\"name\": \"m\", \"layers\": [");
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(json + used, sizeof json - used, "%s%s",
                                 i == 0 ? "" : ",", layer);
    }
    (void)snprintf(json + used, sizeof json - used, "]}]}");
    return read_message(json, strlen(json));
}

static void
layers_are_limited(void)
{
    const char *relu = "{\"kind\": \"relu\"}";
    const char *residual =
        "{\"kind\": \"residual\", \"layers\": [{\"kind\": \"relu\"}]}";
    CHECK_STRING(many_layers(relu, 256), "");
    CHECK_STRING(
        many_layers(relu, 257),
        "exp.json: models[0].layers[256]: more than 256 layers (a residual block "
        "adds 2)");
    CHECK_STRING(many_layers(residual, 85), "");
    CHECK_CONTAINS(many_layers(residual, 86),
                   "models[0].layers[85].layers[0]: more than");
}

static void
models_are_limited(void)
{
    static char assignment[4096] = "models=cnn";
    char *end = assignment + strlen(assignment);
    for (size_t i = 1; i < 256; i++, end += 4) {
        memcpy(end, ",cnn", 5);
    }
    SETS(assignment);
    memcpy(end, ",cnn", 5);
    SET_REFUSES(assignment, "--set models: 257 models given, use 1 to 256");
}

int
main(void)
{
    RUN(layers_are_read_and_written_back);
    RUN(every_zoo_model_is_written_as_its_name);
    RUN(a_name_stands_only_for_its_own_layers);
    RUN(bad_layers_are_placed);
    RUN(bad_models_are_placed);
    RUN(layers_are_limited);
    RUN(models_are_limited);
    return witan_test_finish();
}
