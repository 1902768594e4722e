/* config_support.h - short ways to try texts on a fresh config. */
#ifndef WITAN_TEST_CONFIG_SUPPORT_H
#define WITAN_TEST_CONFIG_SUPPORT_H

#include <string.h>

#include "config/config.h"
#include "support/witan_test.h"

/* Message of reading `json` over the defaults, "" when it was taken. */
static inline const char *
read_message(const char *json, size_t size)
{
    static witan_diag diag;
    const witan_allocator *heap = witan_allocator_default();
    witan_config config;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
    witan_status status =
        witan_config_read(&config, json, size, "exp.json", heap, &diag);
    CHECK_STATUS(diag.status, status);
    CHECK((status == WITAN_OK) == (diag.message[0] == '\0'));
    witan_config_fini(&config, heap);
    return diag.message;
}

/* Message of one --set argument over the defaults. */
static inline const char *
set_message(const char *assignment)
{
    static witan_diag diag;
    const witan_allocator *heap = witan_allocator_default();
    witan_config config;
    memset(&diag, 0, sizeof diag);
    CHECK_STATUS(witan_config_init(&config, heap), WITAN_OK);
    witan_status status = witan_config_set(&config, assignment, heap, &diag);
    CHECK_STATUS(diag.status, status);
    witan_config_fini(&config, heap);
    return diag.message;
}

#define READS(json) CHECK_STRING(read_message(json, strlen(json)), "")
#define REFUSES(json, message) CHECK_STRING(read_message(json, strlen(json)), message)
#define SETS(assignment) CHECK_STRING(set_message(assignment), "")
#define SET_REFUSES(assignment, message) CHECK_STRING(set_message(assignment), message)

/* The config as text; free with witan_text_fini. */
static inline witan_text
config_text(const witan_config *config)
{
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), (size_t)1 << 24);
    witan_config_write(config, &text);
    CHECK_STATUS(text.status, WITAN_OK);
    return text;
}

#endif
