/* Models: gradients by differences, what holds for every pass, errors, memory. */
#include "nn/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num/cpu.h"
#include "support/witan_test.h"

enum {
    CLASSES = 3,
    SAMPLES = 5,
    PARAMETERS_MAX = 4096
};

static const witan_layer_spec dense_4 = {.kind = WITAN_LAYER_DENSE, .units = 4};
static const witan_layer_spec conv_4 = {.kind = WITAN_LAYER_CONVOLUTION,
                                        .units = 4,
                                        .kernel = 3,
                                        .stride = 1,
                                        .padding = 1};
static const witan_layer_spec conv_6_strided = {.kind = WITAN_LAYER_CONVOLUTION,
                                                .units = 6,
                                                .kernel = 3,
                                                .stride = 2,
                                                .padding = 1};

static witan_layer_spec
plain(witan_layer_kind kind)
{
    return (witan_layer_spec){.kind = kind};
}

static witan_model_spec
spec_of(const char *name, size_t count, const witan_layer_spec *layers)
{
    witan_model_spec spec = {.layers = count};
    (void)snprintf(spec.name, sizeof spec.name, "%s", name);
    if (count > 0) {
        memcpy(spec.layer, layers, count * sizeof *layers);
    }
    return spec;
}

static witan_model *
model_of(const witan_model_spec *spec, witan_shape input)
{
    witan_model *model = NULL;
    witan_diag diag = {0};
    if (!CHECK_STATUS(witan_model_new(&model, witan_allocator_default(), spec, input,
                                      CLASSES, &diag),
                      WITAN_OK)) {
        fprintf(stderr, "%s: %s\n", spec->name, diag.message);
        exit(1);
    }
    return model;
}

static witan_workspace *
workspace_of(const witan_model *model, size_t batch, bool training)
{
    witan_workspace *ws = NULL;
    if (!CHECK_STATUS(
            witan_workspace_new(&ws, witan_allocator_default(), model, batch, training),
            WITAN_OK)) {
        exit(1);
    }
    return ws;
}

/* Normal inputs, initial parameters with noise on biases and norms, normal dz. */
typedef struct setting {
    witan_model *model;
    witan_workspace *ws;
    float parameters[PARAMETERS_MAX], gradient[PARAMETERS_MAX];
    float dz[SAMPLES * CLASSES];
} setting;

static void
open_setting(setting *self, const witan_model_spec *spec, witan_shape input)
{
    witan_random random;
    witan_random_init(&random, witan_test_seed(4), 0, 0, WITAN_PURPOSE_TEST);
    self->model = model_of(spec, input);
    self->ws = workspace_of(self->model, SAMPLES, true);
    size_t size = input.height * input.width * input.channels;
    CHECK(witan_model_parameters(self->model) <= PARAMETERS_MAX);
    witan_model_initialise(self->model, self->parameters, &random);
    for (size_t i = 0; i < witan_model_trainable(self->model); i++) {
        self->parameters[i] += (float)(0.1 * witan_random_normal(&random));
    }
    for (size_t i = 0; i < SAMPLES * size; i++) {
        witan_workspace_input(self->ws)[i] = (float)witan_random_normal(&random);
    }
    for (size_t i = 0; i < SAMPLES * CLASSES; i++) {
        self->dz[i] = (float)witan_random_normal(&random);
    }
}

static void
close_setting(setting *self)
{
    witan_workspace_free(&self->ws);
    witan_model_free(&self->model);
}

/* --- gradients ------------------------------------------------------------------ */

/* sum dz . z of a training pass; the dropout masks are the same every time. The
 * batch-norm buffers move, which does not matter to a training pass. */
static double
objective(setting *self)
{
    witan_random dropout;
    witan_random_init(&dropout, 9, 0, 0, WITAN_PURPOSE_DROPOUT_TRAIN);
    const float *z = witan_model_forward(self->model, self->ws, self->parameters,
                                         SAMPLES, true, &dropout);
    double sum = 0.0;
    for (size_t i = 0; i < SAMPLES * CLASSES; i++) {
        sum += (double)self->dz[i] * (double)z[i];
    }
    return sum;
}

static bool
has_kinks(size_t count, const witan_layer_spec *layers)
{
    for (size_t i = 0; i < count; i++) {
        if (layers[i].kind == WITAN_LAYER_RELU ||
            layers[i].kind == WITAN_LAYER_MAX_POOL) {
            return true;
        }
    }
    return false;
}

/* Signed central differences of every parameter. ReLU and maxima may bend inside the
 * step: a tenth of their elements may differ, a fiftieth in sign. */
static void
check_gradient(const char *name, size_t count, const witan_layer_spec *layers)
{
    static setting self;
    witan_model_spec spec = spec_of(name, count, layers);
    open_setting(&self, &spec, (witan_shape){5, 4, 2});
    (void)objective(&self);
    witan_model_backward(self.model, self.ws, self.parameters, self.dz, self.gradient);
    size_t trainable = witan_model_trainable(self.model), far = 0, against = 0;
    bool kinks = has_kinks(count, layers);
    float step = kinks ? 2e-4f : 4e-3f;
    double rounding = kinks ? 1.5e-2 : 2e-3;
    for (size_t i = 0; i < trainable; i++) {
        float kept = self.parameters[i];
        volatile float up = kept + step, down = kept - step;
        self.parameters[i] = up;
        double above = objective(&self);
        self.parameters[i] = down;
        double below = objective(&self);
        self.parameters[i] = kept;
        double slope = (above - below) / ((double)up - (double)down);
        double actual = (double)self.gradient[i], noise = rounding + 5e-3 * fabs(slope);
        bool differs = !(fabs(actual - slope) <= noise);
        far += differs ? 1 : 0;
        against += fabs(slope) > 0.3 && !(actual * slope > 0) ? 1 : 0;
        if (differs && !kinks) {
            fprintf(stderr, "  %s: d/dw[%zu] is %g, differences say %g\n", name, i,
                    actual, slope);
        }
    }
    if (!CHECK(far * 10 <= (kinks ? trainable : 0) &&
               against * 50 <= (kinks ? trainable : 0))) {
        fprintf(stderr, "  %s: %zu of %zu differ, %zu in sign\n", name, far, trainable,
                against);
    }
    close_setting(&self);
}

static void
gradients_match_differences(void)
{
    const witan_layer_spec tanh_layer = plain(WITAN_LAYER_TANH);
    const witan_layer_spec relu = plain(WITAN_LAYER_RELU);
    const witan_layer_spec middles[] = {
        tanh_layer,
        relu,
        plain(WITAN_LAYER_GELU),
        dense_4,
        conv_6_strided,
        plain(WITAN_LAYER_GLOBAL_AVERAGE_POOL),
        plain(WITAN_LAYER_BATCH_NORM),
        {.kind = WITAN_LAYER_GROUP_NORM, .groups = 2},
        {.kind = WITAN_LAYER_MAX_POOL, .kernel = 2, .stride = 2},
        {.kind = WITAN_LAYER_MAX_POOL, .kernel = 3, .stride = 2, .padding = 1},
        {.kind = WITAN_LAYER_AVERAGE_POOL, .kernel = 2, .stride = 1, .padding = 1},
        {.kind = WITAN_LAYER_DROPOUT, .rate = 0.4},
        {.kind = WITAN_LAYER_DROPOUT, .rate = 0.0},
    };
    for (size_t i = 0; i < sizeof middles / sizeof *middles; i++) {
        const witan_layer_spec layers[] = {conv_4, tanh_layer, middles[i]};
        check_gradient(witan_layer_name(middles[i].kind), 3, layers);
    }
    const witan_layer_spec begin = plain(WITAN_LAYER_RESIDUAL_BEGIN);
    const witan_layer_spec end = plain(WITAN_LAYER_RESIDUAL_END);
    check_gradient("residual identity", 5,
                   (const witan_layer_spec[]){conv_4, begin, conv_4, tanh_layer, end});
    check_gradient("residual projection", 6,
                   (const witan_layer_spec[]){conv_4, begin, conv_6_strided, tanh_layer,
                                              end, tanh_layer});
    check_gradient("residual on the input", 4,
                   (const witan_layer_spec[]){begin, conv_6_strided, end, tanh_layer});
    check_gradient("fused convolution", 3,
                   (const witan_layer_spec[]){conv_4, relu, middles[8]});
    check_gradient("fused dense", 4,
                   (const witan_layer_spec[]){conv_4, tanh_layer, dense_4, relu});
    check_gradient("pool first", 3,
                   (const witan_layer_spec[]){middles[10], conv_4, tanh_layer});
}

/* --- properties ----------------------------------------------------------------- */

static const witan_layer_spec mixed[] = {
    {.kind = WITAN_LAYER_CONVOLUTION,
     .units = 5,
     .kernel = 3,
     .stride = 1,
     .padding = 1},
    {.kind = WITAN_LAYER_BATCH_NORM},
    {.kind = WITAN_LAYER_RELU},
    {.kind = WITAN_LAYER_RESIDUAL_BEGIN},
    {.kind = WITAN_LAYER_CONVOLUTION,
     .units = 8,
     .kernel = 3,
     .stride = 2,
     .padding = 1},
    {.kind = WITAN_LAYER_GROUP_NORM, .groups = 4},
    {.kind = WITAN_LAYER_GELU},
    {.kind = WITAN_LAYER_RESIDUAL_END},
    {.kind = WITAN_LAYER_DROPOUT, .rate = 0.5},
    {.kind = WITAN_LAYER_AVERAGE_POOL, .kernel = 2, .stride = 1},
    {.kind = WITAN_LAYER_DENSE, .units = 7},
    {.kind = WITAN_LAYER_RELU},
};
enum {
    MIXED = sizeof mixed / sizeof *mixed
};

static void
batch_of_n_equals_n_batches_of_one(void)
{
    static setting self;
    witan_model_spec spec = spec_of("mixed", MIXED, mixed);
    open_setting(&self, &spec, (witan_shape){7, 6, 2});
    witan_workspace *one = workspace_of(self.model, 1, false);
    const float *z =
        witan_model_forward(self.model, self.ws, self.parameters, SAMPLES, false, NULL);
    for (size_t n = 0; n < SAMPLES; n++) {
        memcpy(witan_workspace_input(one), witan_workspace_input(self.ws) + n * 84,
               84 * sizeof(float));
        const float *z_n =
            witan_model_forward(self.model, one, self.parameters, 1, false, NULL);
        CHECK_FLOATS(z_n, z + n * CLASSES, CLASSES, 1e-5, 1e-5);
    }
    witan_workspace_free(&one);
    close_setting(&self);
}

static void
same_input_gives_same_bits(void)
{
    static setting self, again;
    witan_model_spec spec = spec_of("mixed", MIXED, mixed);
    open_setting(&self, &spec, (witan_shape){7, 6, 2});
    open_setting(&again, &spec, (witan_shape){7, 6, 2});
    double first = objective(&self);
    witan_model_backward(self.model, self.ws, self.parameters, self.dz, self.gradient);
    /* The other workspace has seen a different pass before. */
    (void)witan_model_forward(again.model, again.ws, again.parameters, 3, false, NULL);
    double second = objective(&again);
    witan_model_backward(again.model, again.ws, again.parameters, again.dz,
                         again.gradient);
    CHECK(first == second);
    size_t bytes = witan_model_trainable(self.model) * sizeof(float);
    CHECK(memcmp(self.gradient, again.gradient, bytes) == 0);
    bytes = witan_model_parameters(self.model) * sizeof(float);
    CHECK(memcmp(self.parameters, again.parameters, bytes) == 0);
    close_setting(&self);
    close_setting(&again);
}

/* A short minibatch on a large workspace equals the same on a small one. */
static void
short_batches_ignore_the_rest(void)
{
    static setting self;
    static float expected[PARAMETERS_MAX];
    witan_model_spec spec =
        spec_of("conv", 2, (const witan_layer_spec[]){conv_4, dense_4});
    open_setting(&self, &spec, (witan_shape){5, 4, 2});
    witan_workspace *small = workspace_of(self.model, 2, true);
    memcpy(witan_workspace_input(small), witan_workspace_input(self.ws),
           80 * sizeof(float));
    (void)witan_model_forward(self.model, small, self.parameters, 2, true, NULL);
    witan_model_backward(self.model, small, self.parameters, self.dz, expected);
    (void)objective(&self);
    (void)witan_model_forward(self.model, self.ws, self.parameters, 2, true, NULL);
    witan_model_backward(self.model, self.ws, self.parameters, self.dz, self.gradient);
    size_t bytes = witan_model_trainable(self.model) * sizeof(float);
    CHECK(memcmp(self.gradient, expected, bytes) == 0);
    witan_workspace_free(&small);
    close_setting(&self);
}

static void
dropout_scales_what_it_keeps(void)
{
    enum {
        UNITS = 4000
    };
    witan_model_spec spec =
        spec_of("dropout", 2,
                (const witan_layer_spec[]){{.kind = WITAN_LAYER_DENSE, .units = UNITS},
                                           {.kind = WITAN_LAYER_DROPOUT, .rate = 0.3}});
    witan_model *model = model_of(&spec, (witan_shape){1, 1, 1});
    witan_workspace *ws = workspace_of(model, 1, true);
    float *parameters = calloc(witan_model_parameters(model), sizeof *parameters);
    witan_random random;
    witan_random_init(&random, witan_test_seed(6), 0, 0, WITAN_PURPOSE_TEST);
    /* Hidden units are 1; the first logit adds them up. */
    for (size_t i = 0; i < 3 * UNITS; i++) {
        parameters[i] = i < UNITS || i >= 2 * UNITS ? 1.0f : 0.0f;
    }
    witan_workspace_input(ws)[0] = 1.0f;
    double eval = (double)witan_model_forward(model, ws, parameters, 1, false, NULL)[0];
    CHECK_NEAR(eval, UNITS, 0.0, 1e-6);
    double train =
        (double)witan_model_forward(model, ws, parameters, 1, true, &random)[0];
    double kept = train * 0.7;
    CHECK_NEAR(kept, round(kept), 0.2, 0.0); /* whole units, scaled by 1 / 0.7 */
    /* Binomial with sd sqrt(4000 * 0.21) = 29; five of them. */
    CHECK_NEAR(kept, 0.7 * UNITS, 145.0, 0.0);
    double other =
        (double)witan_model_forward(model, ws, parameters, 1, true, &random)[0];
    CHECK(other != train);
    free(parameters);
    witan_workspace_free(&ws);
    witan_model_free(&model);
}

static void
batch_norm_of_one_number_stays_finite(void)
{
    witan_model_spec spec = spec_of(
        "norm", 2, (const witan_layer_spec[]){dense_4, plain(WITAN_LAYER_BATCH_NORM)});
    static setting self;
    open_setting(&self, &spec, (witan_shape){1, 1, 3});
    size_t trainable = witan_model_trainable(self.model);
    const float *z =
        witan_model_forward(self.model, self.ws, self.parameters, 1, true, NULL);
    CHECK(isfinite(z[0]));
    witan_model_backward(self.model, self.ws, self.parameters, self.dz, self.gradient);
    for (size_t i = 0; i < trainable; i++) {
        CHECK(isfinite(self.gradient[i]));
    }
    for (size_t i = 0; i < 4; i++) { /* running variance */
        CHECK(self.parameters[trainable + 4 + i] == 1.0f);
    }
    close_setting(&self);
}

/* --- description ---------------------------------------------------------------- */

static void
tensors_cover_the_block(void)
{
    witan_model_spec spec = spec_of("mixed", MIXED, mixed);
    witan_model *model = model_of(&spec, (witan_shape){7, 6, 2});
    static const char *const names[] = {
        "0.weight",          "0.bias",         "1.weight",     "1.bias",
        "4.weight",          "4.bias",         "5.weight",     "5.bias",
        "7.shortcut.weight", "10.weight",      "10.bias",      "12.weight",
        "12.bias",           "1.running_mean", "1.running_var"};
    size_t count = sizeof names / sizeof *names, offset = 0, trainable = 0;
    CHECK(witan_model_tensors(model) == count);
    for (size_t i = 0; i < count; i++) {
        const witan_tensor_info *info = witan_model_tensor(model, i);
        size_t size = 1;
        for (size_t d = 0; d < info->dimensions; d++) {
            size *= info->shape[d];
        }
        CHECK_STRING(info->name, names[i]);
        CHECK(info->offset == offset);
        CHECK(info->trainable == (i + 2 < count));
        offset += size;
        trainable += info->trainable ? size : 0;
    }
    CHECK(offset == witan_model_parameters(model));
    CHECK(trainable == witan_model_trainable(model));
    const witan_tensor_info *weight = witan_model_tensor(model, 4);
    CHECK(weight->dimensions == 4 && weight->shape[0] == 8 && weight->shape[1] == 3 &&
          weight->shape[2] == 3 && weight->shape[3] == 5);
    CHECK_STRING(witan_model_name(model), "mixed");
    CHECK(witan_model_classes(model) == CLASSES && witan_model_input(model).width == 6);
    witan_model_free(&model);
}

static void
costs_count_multiply_adds(void)
{
    const witan_layer_spec layers[] = {{.kind = WITAN_LAYER_CONVOLUTION,
                                        .units = 8,
                                        .kernel = 3,
                                        .stride = 1,
                                        .padding = 1},
                                       {.kind = WITAN_LAYER_DENSE, .units = 10}};
    witan_model_spec spec = spec_of("cost", 2, layers);
    witan_model *model = model_of(&spec, (witan_shape){4, 5, 2});
    double conv = 20.0 * 8 * 18, dense = 160.0 * 10, last = 10.0 * CLASSES;
    CHECK_NEAR(witan_model_cost(model), conv + dense + last, 0.0, 0.0);
    CHECK_NEAR(witan_model_step_cost(model), 2 * conv + 3 * dense + 3 * last, 0.0, 0.0);
    witan_model_free(&model);
}

static void
classifier_is_appended_once(void)
{
    witan_model_spec bare = spec_of("bare", 0, NULL);
    witan_model_spec full = spec_of(
        "full", 1,
        (const witan_layer_spec[]){{.kind = WITAN_LAYER_DENSE, .units = CLASSES}});
    witan_model *a = model_of(&bare, (witan_shape){2, 2, 1});
    witan_model *b = model_of(&full, (witan_shape){2, 2, 1});
    CHECK(witan_model_parameters(a) == 15 && witan_model_parameters(b) == 15);
    unsigned char x[32], y[32];
    witan_model_fingerprint(a, x);
    witan_model_fingerprint(b, y);
    CHECK(memcmp(x, y, 32) == 0);
    witan_model_free(&a);
    witan_model_free(&b);
}

static void
fingerprints_tell_architectures_apart(void)
{
    unsigned char seen[8][32];
    witan_layer_spec wider = conv_4,
                     pool = {.kind = WITAN_LAYER_MAX_POOL, .kernel = 2, .stride = 2};
    wider.units = 5;
    witan_layer_spec average = pool;
    average.kind = WITAN_LAYER_AVERAGE_POOL;
    const witan_layer_spec lists[6][2] = {
        {conv_4, pool},
        {conv_4, average},
        {wider, pool},
        {conv_4, plain(WITAN_LAYER_RELU)},
        {conv_4, {.kind = WITAN_LAYER_DROPOUT, .rate = 0.1}},
        {conv_4, {.kind = WITAN_LAYER_DROPOUT, .rate = 0.9}},
    };
    for (size_t i = 0; i < 6; i++) {
        witan_model_spec spec = spec_of(i % 2 == 0 ? "a" : "b", 2, lists[i]);
        witan_model *model = model_of(&spec, (witan_shape){6, 6, 1});
        witan_model_fingerprint(model, seen[i]);
        witan_model_free(&model);
        for (size_t k = 0; k < i; k++) {
            /* A dropout rate changes no parameter's meaning. */
            bool same = i == 5 && k == 4;
            CHECK((memcmp(seen[i], seen[k], 32) == 0) == same);
        }
    }
}

static void
initial_weights_have_the_right_spread(void)
{
    const witan_layer_spec layers[] = {
        {.kind = WITAN_LAYER_CONVOLUTION,
         .units = 64,
         .kernel = 3,
         .stride = 1,
         .padding = 1},
        {.kind = WITAN_LAYER_GROUP_NORM, .groups = 4},
        plain(WITAN_LAYER_RELU),
        {.kind = WITAN_LAYER_CONVOLUTION, .units = 32, .kernel = 3, .stride = 1},
        plain(WITAN_LAYER_TANH),
        {.kind = WITAN_LAYER_DENSE, .units = 100},
        plain(WITAN_LAYER_GELU)};
    witan_model_spec spec = spec_of("spread", 7, layers);
    witan_model *model = model_of(&spec, (witan_shape){4, 4, 8});
    float *w = calloc(witan_model_parameters(model), sizeof *w);
    witan_random random;
    witan_random_init(&random, witan_test_seed(8), 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_model_initialise(model, w, &random);
    /* Kaiming: sqrt(2 / fan in). Xavier: sqrt(2 / (fan in + fan out)), bounded. */
    const double deviations[] = {
        sqrt(2.0 / 72),  0, 0, 0, sqrt(2.0 / (576 + 288)), 0, sqrt(2.0 / 128), 0,
        sqrt(2.0 / 103), 0};
    const double centres[] = {0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    CHECK(witan_model_tensors(model) == 10);
    for (size_t i = 0; i < 10; i++) {
        const witan_tensor_info *info = witan_model_tensor(model, i);
        double sum = 0.0, squares = 0.0, largest = 0.0;
        size_t size = 1;
        for (size_t d = 0; d < info->dimensions; d++) {
            size *= info->shape[d];
        }
        for (size_t k = 0; k < size; k++) {
            double v = (double)w[info->offset + k] - centres[i];
            sum += v;
            squares += v * v;
            largest = fabs(v) > largest ? fabs(v) : largest;
        }
        double spread = sqrt(squares / (double)size);
        CHECK_NEAR(spread, deviations[i], 0.0, 5.0 / sqrt((double)(2 * size)));
        CHECK_NEAR(sum / (double)size, 0.0, 5.0 * deviations[i] / sqrt((double)size),
                   0.0);
        bool uniform = i == 4 || i == 8;
        CHECK(!uniform || largest <= deviations[i] * sqrt(3.0) * 1.0001);
        CHECK(uniform || deviations[i] == 0 || largest > deviations[i] * 2.5);
    }
    free(w);
    witan_model_free(&model);
}

/* --- errors and memory ---------------------------------------------------------- */

static void
check_refused(const char *message, witan_shape input, size_t count,
              const witan_layer_spec *layers)
{
    witan_model_spec spec = spec_of("bad", count, layers);
    witan_model *model = NULL;
    witan_diag diag = {0};
    CHECK_STATUS(witan_model_new(&model, witan_allocator_default(), &spec, input,
                                 CLASSES, &diag),
                 WITAN_E_CONFIG);
    CHECK(model == NULL);
    CHECK_CONTAINS(diag.message, message);
    CHECK_STATUS(
        witan_model_new(&model, witan_allocator_default(), &spec, input, CLASSES, NULL),
        WITAN_E_CONFIG);
}

static void
wrong_specs_are_refused(void)
{
    const witan_shape image = {4, 4, 3};
    witan_layer_spec large = conv_4,
                     pool = {.kind = WITAN_LAYER_MAX_POOL, .kernel = 5, .stride = 1};
    large.kernel = 5;
    large.padding = 0;
    check_refused("layer 1 (convolution): kernel 5 does not fit an input of 4 x 4",
                  image, 2, (const witan_layer_spec[]){plain(WITAN_LAYER_RELU), large});
    check_refused("layer 0 (max-pool): window 5 does not fit an input of 4 x 4", image,
                  1, &pool);
    pool.kernel = 16;
    check_refused("layer 0 (max-pool): window 16 is larger than 15",
                  (witan_shape){20, 20, 1}, 1, &pool);
    check_refused("layer 1 (group-norm): 3 groups do not divide 4 channels", image, 2,
                  (const witan_layer_spec[]){
                      conv_4, {.kind = WITAN_LAYER_GROUP_NORM, .groups = 3}});
    const witan_layer_spec begin = plain(WITAN_LAYER_RESIDUAL_BEGIN);
    const witan_layer_spec end = plain(WITAN_LAYER_RESIDUAL_END);
    check_refused("layer 0 (residual-begin)", image, 2,
                  (const witan_layer_spec[]){begin, conv_4});
    check_refused("layer 0 (residual-end)", image, 1, &end);
    check_refused("layer 1 (residual-begin)", image, 3,
                  (const witan_layer_spec[]){begin, begin, end});
    pool.kernel = 3;
    pool.kind = WITAN_LAYER_AVERAGE_POOL;
    witan_layer_spec grown = conv_4;
    grown.padding = 2;
    check_refused(
        "layer 2 (residual-end): no stride maps the block's input of 4 x 4 to its "
        "output of 6 x 6",
        image, 3, (const witan_layer_spec[]){begin, grown, end});
    check_refused("not supported", (witan_shape){0, 4, 1}, 0, NULL);
    check_refused("not supported", (witan_shape){1 << 13, 1 << 13, 1}, 0, NULL);
    witan_layer_spec wide = {.kind = WITAN_LAYER_DENSE, .units = 65536};
    check_refused("too large", (witan_shape){1, 1, 1 << 20}, 1, &wide);
    witan_layer_spec many = {.kind = WITAN_LAYER_CONVOLUTION,
                             .units = 65536,
                             .kernel = 60000,
                             .stride = 1,
                             .padding = 59999};
    check_refused("layer 0 (convolution)", image, 1, &many);
    /* The first failure stays when the caller already has one. */
    witan_model_spec spec = spec_of("bad", 0, NULL);
    witan_model *model = NULL;
    CHECK_STATUS(
        witan_model_new(&model, witan_allocator_default(), &spec, image, 0, NULL),
        WITAN_E_CONFIG);
}

static void
every_allocation_may_fail(void)
{
    witan_model_spec spec = spec_of("mixed", MIXED, mixed);
    const witan_shape input = {7, 6, 2};
    for (size_t fail_at = 1;; fail_at++) {
        witan_failing_allocator failing;
        witan_failing_allocator_init(&failing, fail_at);
        witan_model *model = NULL;
        witan_workspace *ws = NULL;
        witan_diag diag = {0};
        witan_status status =
            witan_model_new(&model, &failing.allocator, &spec, input, CLASSES, &diag);
        CHECK((status == WITAN_OK) == (model != NULL));
        if (status == WITAN_OK) {
            status = witan_workspace_new(&ws, &failing.allocator, model, SAMPLES, true);
            CHECK((status == WITAN_OK) == (ws != NULL));
        }
        witan_workspace_free(&ws);
        witan_workspace_free(&ws);
        witan_model_free(&model);
        witan_model_free(&model);
        CHECK(failing.live == 0);
        if (status == WITAN_OK) {
            CHECK(fail_at > 3);
            break;
        }
        CHECK_STATUS(status, WITAN_E_MEMORY);
    }
}

static void
workspaces_are_bounded_and_lean(void)
{
    witan_model_spec spec = spec_of("mixed", MIXED, mixed);
    witan_model *model = model_of(&spec, (witan_shape){7, 6, 2});
    witan_workspace *ws = NULL;
    CHECK_STATUS(witan_workspace_new(&ws, witan_allocator_default(), model, 0, true),
                 WITAN_E_LIMIT);
    CHECK_STATUS(witan_workspace_new(&ws, witan_allocator_default(), model,
                                     WITAN_BATCH_MAX + 1, true),
                 WITAN_E_LIMIT);
    witan_workspace *training = workspace_of(model, 64, true);
    witan_workspace *predicting = workspace_of(model, 64, false);
    CHECK(witan_workspace_batch(training) == 64);
    CHECK(2 * witan_workspace_bytes(predicting) < witan_workspace_bytes(training));
    witan_workspace_free(&training);
    witan_workspace_free(&predicting);
    witan_model_free(&model);
}

int
main(void)
{
    witan_blas_set_single_threaded();
    RUN(gradients_match_differences);
    RUN(batch_of_n_equals_n_batches_of_one);
    RUN(same_input_gives_same_bits);
    RUN(short_batches_ignore_the_rest);
    RUN(dropout_scales_what_it_keeps);
    RUN(batch_norm_of_one_number_stays_finite);
    RUN(tensors_cover_the_block);
    RUN(costs_count_multiply_adds);
    RUN(classifier_is_appended_once);
    RUN(fingerprints_tell_architectures_apart);
    RUN(initial_weights_have_the_right_spread);
    RUN(wrong_specs_are_refused);
    RUN(every_allocation_may_fail);
    RUN(workspaces_are_bounded_and_lean);
    return witan_test_finish();
}
