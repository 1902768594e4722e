/* Config JSON: whatever is taken is written, read back and written the same. */
#include <stdint.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_survive_writing(const witan_config *config)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_config back;
    witan_text text, again;
    witan_text_init(&text, heap, (size_t)1 << 26);
    witan_text_init(&again, heap, (size_t)1 << 26);
    witan_config_write(config, &text);
    WITAN_ASSERT(text.status == WITAN_OK);
    if (text.length <= WITAN_CONFIG_BYTES_MAX) {
        WITAN_ASSERT(witan_config_init(&back, heap) == WITAN_OK);
        WITAN_ASSERT(witan_config_read(&back, text.data, text.length, "back", heap,
                                       NULL) == WITAN_OK);
        witan_config_write(&back, &again);
        WITAN_ASSERT(again.status == WITAN_OK && strcmp(text.data, again.data) == 0);
        witan_config_fini(&back, heap);
    }
    witan_text_fini(&text);
    witan_text_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_config config;
    witan_diag diag = {0};
    if (witan_config_init(&config, heap) != WITAN_OK) {
        return 0;
    }
    witan_status status =
        witan_config_read(&config, (const char *)data, size, "fuzz", heap, &diag);
    WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
    if (status == WITAN_OK) {
        status = witan_config_check(&config, &diag);
        WITAN_ASSERT((status == WITAN_OK) == (diag.message[0] == '\0'));
        must_survive_writing(&config);
    }
    witan_config_fini(&config, heap);
    return 0;
}
