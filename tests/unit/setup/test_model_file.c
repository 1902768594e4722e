/* What a saved model says of itself. */
#include <stdlib.h>
#include <string.h>

#include "setup/model_file.h"
#include "store/safetensors.h"
#include "support/witan_test.h"

/* Saves a fresh model and opens the file. */
static witan_safetensors *
saved(witan_network *network, float **parameters, const char *model, witan_input input)
{
    witan_model_spec spec;
    witan_random random;
    witan_safetensors *file = NULL;
    const witan_allocator *a = witan_allocator_default();
    const char *path = witan_test_path("model.safetensors");
    CHECK_STATUS(witan_zoo_parse(&spec, model, NULL), WITAN_OK);
    CHECK_STATUS(witan_network_init(network, a, &spec, &input, NULL), WITAN_OK);
    *parameters = calloc(witan_network_parameters(network), sizeof **parameters);
    witan_random_init(&random, 1, 0, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(network, *parameters, &random);
    CHECK_STATUS(witan_model_file_save(path, network, *parameters, 7, a, NULL),
                 WITAN_OK);
    CHECK_STATUS(witan_safetensors_open(&file, path, a, NULL), WITAN_OK);
    CHECK_STRING(witan_safetensors_metadata(file, "format"), "witan-model-1");
    CHECK_STRING(witan_safetensors_metadata(file, "architecture"), model);
    CHECK_STRING(witan_safetensors_metadata(file, "client"), "7");
    return file;
}

/* Every tensor of the model is in the file. */
static void
check_tensors(witan_safetensors *file, const witan_network *network,
              const float *parameters)
{
    for (size_t i = 0; i < witan_network_tensors(network); i++) {
        const witan_tensor_info *info = witan_network_tensor(network, i);
        size_t count = 1;
        for (size_t d = 0; d < info->dimensions; d++) {
            count *= info->shape[d];
        }
        float *values = malloc(count * sizeof *values);
        CHECK_STATUS(witan_safetensors_read(file, info->name, WITAN_TENSOR_F32, count,
                                            values, NULL),
                     WITAN_OK);
        CHECK(memcmp(values, parameters + info->offset, count * sizeof *values) == 0);
        free(values);
    }
}

static void
a_model_of_features(void)
{
    witan_network network;
    float *parameters;
    witan_input input = {.shape = {1, 1, 4}, .outputs = 3};
    witan_safetensors *file = saved(&network, &parameters, "mlp(5)", input);
    CHECK(witan_safetensors_metadata(file, "reads") == NULL);
    CHECK(witan_safetensors_metadata(file, "window") == NULL);
    check_tensors(file, &network, parameters);
    witan_safetensors_close(&file);
    witan_network_fini(&network);
    free(parameters);
}

static void
a_model_of_tokens(void)
{
    witan_network network;
    float *parameters;
    witan_input input = {.shape = {1, 12, 1}, .length = 12, .outputs = 30};
    witan_safetensors *file = saved(&network, &parameters, "gru(6)", input);
    CHECK_STRING(witan_safetensors_metadata(file, "reads"), "tokens");
    CHECK_STRING(witan_safetensors_metadata(file, "window"), "12");
    const witan_tensor_entry *entry = witan_safetensors_find(file, "embedding.weight");
    CHECK(entry != NULL && entry->shape[0] == 30 && entry->shape[1] == 6);
    check_tensors(file, &network, parameters);
    witan_safetensors_close(&file);
    witan_network_fini(&network);
    free(parameters);
}

int
main(void)
{
    RUN(a_model_of_features);
    RUN(a_model_of_tokens);
    return witan_test_finish();
}
