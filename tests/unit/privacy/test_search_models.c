/* Search over fills of real models: steps from saved states against forward passes of
 * every fill. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "canary_forms.h"
#include "nn/sequence.h"
#include "num/softmax.h"
#include "privacy/search.h"

enum {
    WINDOWS = 100,
    CONTEXT = 16,
    FILLS = 1000
};

static witan_canary_template form;
static double all[FILLS], given[FILLS], expected[FILLS];
static uint32_t fills[FILLS * 3];

static void
step(void *context, float *to, float *z, const float *from, const uint32_t *parent,
     const uint32_t *tokens, size_t count, size_t position)
{
    witan_sequence_step(context, to, z, from, parent, tokens, count, position);
}

/* expected [FILLS] by whole windows. */
static void
pass_all(const witan_sequence_model *model, const float *parameters)
{
    witan_sequence_workspace *ws = NULL;
    size_t length = form.slots - 1, vocabulary = witan_sequence_vocabulary(model);
    uint32_t tokens[WINDOWS * CONTEXT];
    size_t first = 0;
    while (form.slot[first].alphabet == 0) {
        first++;
    }
    float *z = calloc(WINDOWS * length * vocabulary, sizeof *z);
    if (!CHECK(z != NULL) ||
        !CHECK_STATUS(witan_sequence_workspace_new(&ws, witan_allocator_default(),
                                                   model, WINDOWS, length, false),
                      WITAN_OK)) {
        exit(1);
    }
    for (size_t start = 0; start < FILLS; start += WINDOWS) {
        for (size_t w = 0; w < WINDOWS; w++) {
            witan_canary_tokens(&form, fills + (start + w) * 3, tokens + w * CONTEXT);
        }
        witan_sequence_forward(model, ws, parameters, tokens, CONTEXT, WINDOWS, length,
                               false, NULL);
        witan_sequence_logits(model, ws, parameters, z, 0, WINDOWS * length);
        for (size_t w = 0; w < WINDOWS; w++) {
            double sum = 0.0;
            for (size_t t = first; t < form.slots; t++) {
                const float *row = z + (w * length + t - 1) * vocabulary;
                sum += witan_log_sum_exp(row, vocabulary) -
                       (double)row[tokens[w * CONTEXT + t]];
            }
            expected[start + w] = sum;
        }
    }
    witan_sequence_workspace_free(&ws);
    free(z);
}

static void
search_equals_passes(const char *name, const char *text, size_t batch)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    witan_sequence_spec spec;
    witan_sequence_model *model = NULL;
    witan_sequence_stepper *stepper = NULL;
    static witan_extraction found;
    compile(&form, text, &vocabulary);
    if (!CHECK_STATUS(witan_sequence_parse(&spec, name, NULL), WITAN_OK) ||
        !CHECK_STATUS(witan_sequence_new(&model, heap, &spec, vocabulary.count, NULL),
                      WITAN_OK) ||
        !CHECK_STATUS(witan_sequence_stepper_new(&stepper, heap, model, batch),
                      WITAN_OK)) {
        exit(1);
    }
    size_t count = witan_sequence_parameters(model);
    float *parameters = calloc(count, sizeof *parameters);
    witan_random random;
    witan_random_init(&random, witan_test_seed(4), 0, 0, WITAN_PURPOSE_TEST);
    witan_sequence_initialise(model, parameters, &random);
    for (size_t i = 0; i < count; i++) { /* opinions that differ */
        parameters[i] += (float)(0.3 * witan_random_normal(&random));
    }
    witan_sequence_stepper_load(stepper, parameters);
    witan_token_model asked = {
        vocabulary.count, witan_sequence_state_floats(model), batch, step,
        stepper,          spec.cell == WITAN_CELL_TRANSFORMER};
    for (uint32_t i = 0; i < FILLS; i++) {
        fills[3 * i] = i / 100;
        fills[3 * i + 1] = i / 10 % 10;
        fills[3 * i + 2] = i % 10;
    }
    CHECK_STATUS(witan_search_all(all, &form, &asked, heap), WITAN_OK);
    CHECK_STATUS(witan_search_fills(given, fills, FILLS, &form, &asked, heap),
                 WITAN_OK);
    pass_all(model, parameters);
    size_t best = 0;
    for (size_t i = 0; i < FILLS; i++) {
        CHECK_NEAR(all[i], expected[i], 2e-5, 1e-5);
        CHECK_NEAR(given[i], expected[i], 2e-5, 1e-5);
        best = expected[i] < expected[best] ? i : best;
    }
    CHECK(expected[(best + 1) % FILLS] > expected[best] + 1e-3); /* not flat */
    CHECK_STATUS(witan_search_extract(&found, &form, &asked, 100000, heap), WITAN_OK);
    CHECK(found.found);
    CHECK_NEAR(found.surprise, expected[best], 2e-5, 1e-5);
    CHECK(witan_search_index(&form, found.fill) == best);
    free(parameters);
    witan_sequence_stepper_free(&stepper);
    witan_sequence_free(&model);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static void
lstm(void)
{
    search_equals_passes("lstm(16,2,16)", "id {d3}", 64);
    search_equals_passes("lstm(16,1,16)", "a{d1}b{d2}s id", 7);
}

static void
gru(void)
{
    search_equals_passes("gru(16,2,16)", "id {d3}", 64);
    search_equals_passes("gru(16,1,16)", "a{d1}b{d2}s id", 7);
}

static void
transformer(void)
{
    search_equals_passes("transformer(16,2,2,16)", "id {d3}", 64);
    search_equals_passes("transformer(16,1,4,16)", "a{d1}b{d2}s id", 7);
}

int
main(void)
{
    RUN(lstm);
    RUN(gru);
    RUN(transformer);
    return witan_test_finish();
}
