/* model_file.h - a client's final parameters as a file that other tools can open.
 * Why here: simulator and daemon must write the same names for the same tensors. */
#ifndef WITAN_SETUP_MODEL_FILE_H
#define WITAN_SETUP_MODEL_FILE_H

#include "nn/network.h"

/* Safetensors, one entry per tensor of the model ("0.weight", ...), channels last;
 * metadata: architecture, client; of a model that reads tokens "reads" and the length
 * of its "window" (its vocabulary is the first extent of embedding.weight). Atomic
 * (store/file.h). Errors: E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status witan_model_file_save(
    const char *path, const witan_network *network, const float *parameters,
    size_t client, const witan_allocator *allocator, witan_diag *diag);

#endif
