/* models.h - the "models" key: zoo names and layer lists to specs and back; private. */
#ifndef WITAN_CONFIG_MODELS_H
#define WITAN_CONFIG_MODELS_H

#include "config/reader.h"

/* Reads a JSON list of zoo names and objects {"name", "layers"} into a fresh block of
 * specs, owned by the caller. *out is NULL on failure. Errors: E_CONFIG, E_MEMORY. */
WITAN_NODISCARD witan_status witan_config_read_models(witan_config_reader *reader,
                                                      const cJSON *list,
                                                      const witan_allocator *allocator,
                                                      witan_model_spec **out,
                                                      size_t *count);

/* The inverse, indented to stand at depth 1 of the file. */
void witan_config_write_models(witan_text *out, const witan_model_spec *models,
                               size_t count);

/* The kinds of layers and their parameters as a Markdown table. */
void witan_config_document_layers(witan_text *out);

#endif
