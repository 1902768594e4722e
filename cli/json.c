#include "cli/json.h"

/* A comma unless something was opened just now, then the key, if any. */
static void
begin(witan_text *out, const char *key)
{
    char last = out->length == 0 ? '{' : out->data[out->length - 1];
    if (last != '{' && last != '[') {
        witan_text_format(out, ", ");
    }
    if (key != NULL) {
        witan_text_format(out, "\"%s\": ", key);
    }
}

void
witan_json_text(witan_text *out, const char *key, const char *value)
{
    begin(out, key);
    witan_text_json_string(out, value);
}

void
witan_json_number(witan_text *out, const char *key, double value)
{
    begin(out, key);
    witan_text_json_number(out, value);
}

void
witan_json_count(witan_text *out, const char *key, uint64_t value)
{
    begin(out, key);
    witan_text_format(out, "%llu", (unsigned long long)value);
}

void
witan_json_flag(witan_text *out, const char *key, bool value)
{
    begin(out, key);
    witan_text_format(out, "%s", value ? "true" : "false");
}

void
witan_json_open(witan_text *out, const char *key, const char *bracket)
{
    begin(out, key);
    witan_text_format(out, "%s", bracket);
}

void
witan_json_close(witan_text *out, const char *bracket)
{
    witan_text_format(out, "%s", bracket);
}

void
witan_json_item(witan_text *out, const char *value)
{
    witan_json_text(out, NULL, value);
}
