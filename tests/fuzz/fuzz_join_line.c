/* fuzz_join_line.c - join lines, addresses and names from any bytes. */
#include <string.h>

#include "secure/join_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines with a right checksum around these fields, so that what lies behind the
 * checksum is reached as well. */
static void
format_and_parse(const char *endpoint, const char *name)
{
    witan_join_line line = {0}, again;
    char text[WITAN_JOIN_LINE_MAX];
    bool valid = witan_endpoint_check(endpoint, false, NULL) == WITAN_OK &&
                 witan_peer_name_check(name, NULL) == WITAN_OK;

    if (strlen(endpoint) >= sizeof line.endpoint || strlen(name) >= sizeof line.name) {
        WITAN_ASSERT(!valid);
        return;
    }
    memcpy(line.endpoint, endpoint, strlen(endpoint));
    memcpy(line.name, name, strlen(name));
    witan_join_line_format(&line, text);
    WITAN_ASSERT(
        (witan_join_line_parse(&again, text, strlen(text), NULL) == WITAN_OK) == valid);
    WITAN_ASSERT(!valid || memcmp(&again, &line, sizeof line) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    witan_join_line line;
    witan_diag diag = {0};
    char text[1024] = {0}, again[WITAN_JOIN_LINE_MAX];

    if (size >= sizeof text) {
        return 0;
    }
    memcpy(text, data, size);
    if (witan_join_line_parse(&line, (const char *)data, size, &diag) == WITAN_OK) {
        witan_join_line_format(&line, again);
        WITAN_ASSERT(strstr(text, again) != NULL);
    } else {
        WITAN_ASSERT(diag.status == WITAN_E_CONFIG && diag.message[0] != '\0');
    }
    (void)!witan_endpoint_check(text, true, NULL);
    char *cut = strchr(text, '\n');
    if (cut != NULL) {
        *cut++ = '\0';
    }
    format_and_parse(text, cut == NULL ? "a" : cut);
    return 0;
}
