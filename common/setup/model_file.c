#include "setup/model_file.h"

#include <stdio.h>
#include <string.h>

#include "store/safetensors.h"

witan_status
witan_model_file_save(const char *path, const witan_network *network,
                      const float *parameters, size_t client,
                      const witan_allocator *allocator, witan_diag *diag)
{
    size_t count = witan_network_tensors(network);
    char number[32], window[32];
    witan_tensor_entry *entries = witan_zalloc(allocator, count, sizeof *entries);
    if (entries == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        const witan_tensor_info *info = witan_network_tensor(network, i);
        entries[i].name = info->name;
        entries[i].type = WITAN_TENSOR_F32;
        entries[i].dimensions = info->dimensions;
        memcpy(entries[i].shape, info->shape, sizeof entries[i].shape);
        entries[i].data = parameters + info->offset;
    }
    (void)snprintf(window, sizeof window, "%zu", network->positions);
    (void)snprintf(number, sizeof number, "%zu", client);
    const char *const metadata[][2] = {
        {"format", "witan-model-1"},
        {"layout", "channels last; convolution weight [out, kernel, kernel, in]; dense "
                   "weight [out, in]"},
        {"architecture", witan_network_name(network)},
        {"client", number},
        {"reads", "tokens"}, /* these two for models of tokens alone */
        {"window", window},
    };
    size_t pairs = sizeof metadata / sizeof metadata[0];
    witan_status status = witan_safetensors_save(
        path, entries, count, metadata, network->sequence != NULL ? pairs : pairs - 2,
        allocator, diag);
    witan_free(allocator, entries);
    return status;
}
