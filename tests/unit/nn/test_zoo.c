/* test_zoo.c - zoo names, their errors, and the shape-free check of layer lists. */
#include <stdio.h>
#include <string.h>

#include "nn/model.h"
#include "support/witan_test.h"

/* "conv:dense..." as "kind units kernel stride padding groups; ...". */
static const char *
spell(const witan_model_spec *spec)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < spec->layers && used < sizeof text; i++) {
        const witan_layer_spec *l = &spec->layer[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s",
                                 witan_layer_name(l->kind));
        const size_t size[] = {l->units, l->kernel, l->stride, l->padding, l->groups};
        for (size_t k = 0; k < 5 && used < sizeof text; k++) {
            if (size[k] != 0) {
                used += (size_t)snprintf(text + used, sizeof text - used, " %c%zu",
                                         "ukspg"[k], size[k]);
            }
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "; ");
    }
    return text;
}

static void
check_parses(const char *text, const char *layers)
{
    witan_model_spec spec;
    witan_diag diag = {0};
    CHECK_STATUS(witan_zoo_parse(&spec, text, &diag), WITAN_OK);
    CHECK_STRING(spec.name, text);
    CHECK_STRING(spell(&spec), layers);
    CHECK_STATUS(witan_model_spec_check(&spec, &diag), WITAN_OK);
    CHECK_STRING(diag.message, "");
}

static void
known_names(void)
{
    check_parses("linear", "");
    check_parses("mlp", "dense u200; relu; ");
    check_parses("mlp(256,128)", "dense u256; relu; dense u128; relu; ");
    check_parses("mlp(65536)", "dense u65536; relu; ");
    check_parses("lenet", "convolution u6 k5 s1 p2; relu; max-pool k2 s2; "
                          "convolution u16 k5 s1; relu; max-pool k2 s2; "
                          "dense u120; relu; dense u84; relu; ");
    check_parses("cnn", "convolution u32 k3 s1 p1; relu; max-pool k2 s2; "
                        "convolution u64 k3 s1 p1; relu; max-pool k2 s2; "
                        "dense u128; relu; ");
    check_parses("cnn(4,5,6)", "convolution u4 k3 s1 p1; relu; max-pool k2 s2; "
                               "convolution u5 k3 s1 p1; relu; max-pool k2 s2; "
                               "dense u6; relu; ");
    check_parses("resnet(6,1)",
                 "convolution u6 k3 s1 p1; group-norm g2; relu; "
                 "residual-begin; convolution u6 k3 s1 p1; group-norm g2; relu; "
                 "convolution u6 k3 s1 p1; group-norm g2; residual-end; relu; "
                 "residual-begin; convolution u12 k3 s2 p1; group-norm g4; relu; "
                 "convolution u12 k3 s1 p1; group-norm g4; residual-end; relu; "
                 "residual-begin; convolution u24 k3 s2 p1; group-norm g8; relu; "
                 "convolution u24 k3 s1 p1; group-norm g8; residual-end; relu; "
                 "global-average-pool; ");
}

static void
models_of_tokens(void)
{
    witan_model_spec spec;
    witan_diag diag = {0};
    const witan_shape input = {1, 1, 4};
    witan_model *model = NULL;
    CHECK_STATUS(witan_zoo_parse(&spec, "transformer(64,2,8)", &diag), WITAN_OK);
    CHECK(spec.reads_tokens && spec.layers == 0);
    CHECK_STRING(spec.name, "transformer(64,2,8)");
    CHECK_STRING(spec.sequence.name, "transformer(64,2,8)");
    CHECK(spec.sequence.cell == WITAN_CELL_TRANSFORMER && spec.sequence.width == 64);
    CHECK(spec.sequence.open_context);
    CHECK_STATUS(witan_model_spec_check(&spec, &diag), WITAN_OK);
    CHECK_STATUS(
        witan_model_new(&model, witan_allocator_default(), &spec, input, 2, &diag),
        WITAN_E_CONFIG);
    CHECK(model == NULL);
    CHECK_CONTAINS(diag.message, "transformer(64,2,8) reads tokens");
    spec.sequence.heads = 3;
    diag = (witan_diag){0};
    CHECK_STATUS(witan_model_spec_check(&spec, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "3 heads do not divide width 64");
    const char *const closed[] = {"lstm(5,1,9)", "gru(5,1,9)", "transformer(4,1,1,9)"};
    for (size_t i = 0; i < 3; i++) {
        CHECK_STATUS(witan_zoo_parse(&spec, closed[i], NULL), WITAN_OK);
        CHECK(!spec.sequence.open_context && spec.sequence.context == 9);
    }
    CHECK_STATUS(witan_zoo_parse(&spec, "mlp", NULL), WITAN_OK);
    CHECK(!spec.reads_tokens);
}

static void
resnet_sizes(void)
{
    witan_model_spec one, many;
    CHECK_STATUS(witan_zoo_parse(&one, "resnet", NULL), WITAN_OK);
    CHECK_STATUS(witan_zoo_parse(&many, "resnet(16,1)", NULL), WITAN_OK);
    CHECK(one.layers == many.layers);
    CHECK(memcmp(one.layer, many.layer, sizeof one.layer) == 0);
    CHECK_STATUS(witan_zoo_parse(&many, "resnet(16,10)", NULL), WITAN_OK);
    CHECK(many.layers == one.layers + 9 * 3 * 8);
    CHECK_STATUS(witan_model_spec_check(&many, NULL), WITAN_OK);
}

static void
every_name_is_listed_and_parses(void)
{
    const char *const *names = witan_zoo_names();
    size_t count = 0;
    for (; names[count] != NULL; count++) {
        witan_model_spec spec;
        CHECK_STATUS(witan_zoo_parse(&spec, names[count], NULL), WITAN_OK);
    }
    CHECK(count == 8);
}

static void
check_refused(const char *text, const char *part)
{
    witan_model_spec spec;
    witan_diag diag = {0};
    CHECK_STATUS(witan_zoo_parse(&spec, text, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
    CHECK(spec.layers == 0);
}

static void
bad_names(void)
{
    check_refused("mpl(200)", "did you mean \"mlp\"?");
    check_refused("resnt", "did you mean \"resnet\"?");
    check_refused("Mlp", "did you mean \"mlp\"?");
    check_refused("markov", "known models: linear, mlp, lenet, cnn, resnet, lstm, gru, "
                            "transformer");
    check_refused("ltsm(200)", "did you mean \"lstm\"?");
    check_refused("transformers", "did you mean \"transformer\"?");
    check_refused("gru(", "expected numbers");
    check_refused("lstm(1,2,3,4)", "too many numbers, at most 3");
    check_refused("transformer(128)", "1 of 3 numbers given");
    check_refused("", "known models");
    check_refused(" mlp", "not known");
    check_refused("mlp()", "expected numbers");
    check_refused("mlp(", "expected numbers");
    check_refused("mlp(5", "expected numbers");
    check_refused("mlp(5,", "expected numbers");
    check_refused("mlp(5,)", "expected numbers");
    check_refused("mlp(5, 6)", "without spaces, as in \"mlp(256,128)\"");
    check_refused("mlp(-5)", "expected numbers");
    check_refused("mlp(1e3)", "expected numbers");
    check_refused("mlp(5)x", "nothing may follow");
    check_refused("mlp(5)(6)", "nothing may follow");
    check_refused("mlp(0)", "number 1 must be 1 to 65536, is 0");
    check_refused("mlp(1,2,3,65537)", "number 4 must be 1 to 65536");
    check_refused("mlp(99999999999999999999999)", "expected numbers");
    check_refused("linear(3)", "linear takes no numbers");
    check_refused("lenet()", "takes no numbers");
    check_refused("cnn(1,2)", "2 of 3 numbers given");
    check_refused("cnn(1,2,3,4)", "too many numbers, at most 3");
    check_refused("resnet(16,11)", "number 2 must be 1 to 10");
    check_refused("resnet(20000,1)", "number 1 must be 1 to 16384");
    check_refused(
        "mlp(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)",
        "longer than 63 characters");
}

static witan_model_spec
one_layer(witan_layer_spec layer)
{
    witan_model_spec spec = {.layers = 1};
    spec.layer[0] = layer;
    return spec;
}

static void
check_layer_refused(witan_layer_spec layer, const char *part)
{
    witan_model_spec spec = one_layer(layer);
    witan_diag diag = {0};
    CHECK_STATUS(witan_model_spec_check(&spec, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, part);
}

static void
bad_layers(void)
{
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_DENSE},
                        "layer 0 (dense): units must be 1 to 65536, is 0");
    check_layer_refused(
        (witan_layer_spec){
            .kind = WITAN_LAYER_CONVOLUTION, .units = 4, .kernel = 0, .stride = 1},
        "kernel must be 1");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_CONVOLUTION,
                                           .units = 4,
                                           .kernel = 3,
                                           .stride = 1,
                                           .padding = 3},
                        "padding must be 0 to 2, is 3");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_MAX_POOL, .kernel = 2},
                        "stride must be 1");
    check_layer_refused(
        (witan_layer_spec){.kind = WITAN_LAYER_AVERAGE_POOL, .stride = 2},
        "kernel must be 1");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_GROUP_NORM},
                        "groups must be 1");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_DROPOUT, .rate = 1.0},
                        "rate must be in [0, 1), is 1");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_DROPOUT, .rate = -0.5},
                        "rate must be in [0, 1)");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_RESIDUAL_END},
                        "no residual-begin before it");
    check_layer_refused((witan_layer_spec){.kind = WITAN_LAYER_RESIDUAL_BEGIN},
                        "no residual-end after it");
    check_layer_refused((witan_layer_spec){.kind = (witan_layer_kind)99},
                        "unknown kind");

    witan_model_spec spec =
        one_layer((witan_layer_spec){.kind = WITAN_LAYER_DROPOUT, .rate = 0.0});
    CHECK_STATUS(witan_model_spec_check(&spec, NULL), WITAN_OK);
    witan_diag diag = {0};
    spec.layers = 2;
    spec.layer[0].kind = spec.layer[1].kind = WITAN_LAYER_RESIDUAL_BEGIN;
    CHECK_STATUS(witan_model_spec_check(&spec, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "layer 1 (residual-begin): blocks do not nest");
    spec.layers = WITAN_LAYERS_MAX + 1;
    CHECK_STATUS(witan_model_spec_check(&spec, NULL), WITAN_E_CONFIG);
}

int
main(void)
{
    RUN(known_names);
    RUN(models_of_tokens);
    RUN(resnet_sizes);
    RUN(every_name_is_listed_and_parses);
    RUN(bad_names);
    RUN(bad_layers);
    return witan_test_finish();
}
