/* json.h - members of JSON objects and items of lists, commas included: each function
 * looks whether it is the first one. */
#ifndef WITAN_CLI_JSON_H
#define WITAN_CLI_JSON_H

#include <stdbool.h>

#include "base/text.h"

void witan_json_text(witan_text *out, const char *key, const char *value);
void witan_json_number(witan_text *out, const char *key, double value); /* or null */
void witan_json_count(witan_text *out, const char *key, uint64_t value);
void witan_json_flag(witan_text *out, const char *key, bool value);

/* Opens a member that is a list, or an item that is an object; to be closed with
 * witan_json_close(out, "]") or "}". key NULL: in a list, or the outermost. */
void witan_json_open(witan_text *out, const char *key, const char *bracket);
void witan_json_close(witan_text *out, const char *bracket);
/* An item of a list. */
void witan_json_item(witan_text *out, const char *value);

#endif
