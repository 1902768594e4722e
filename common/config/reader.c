#include "config/reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t
append(witan_config_reader *self, const char *before, const char *text)
{
    size_t length = self->length;
    size_t room = sizeof self->path - length;
    int size = snprintf(self->path + length, room, "%s%s", before, text);
    self->length = size < 0 || (size_t)size >= room ? sizeof self->path - 1
                                                    : length + (size_t)size;
    return length;
}

size_t
witan_config_enter(witan_config_reader *self, const char *member)
{
    return append(self, self->length == 0 ? "" : ".", member);
}

size_t
witan_config_enter_index(witan_config_reader *self, size_t index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "[%zu]", index);
    return append(self, "", text);
}

void
witan_config_leave(witan_config_reader *self, size_t length)
{
    self->length = length;
    self->path[length] = '\0';
}

witan_status
witan_config_fail(const witan_config_reader *self, const char *format, ...)
{
    char sentence[sizeof self->diag->message];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return witan_diag_fail(self->diag, WITAN_E_CONFIG, "%s%s%s%s%s", self->origin,
                           self->separator, self->path, self->length == 0 ? "" : ": ",
                           sentence);
}

const char *
witan_config_found(char out[WITAN_FOUND_MAX], const cJSON *value)
{
    if (cJSON_IsString(value)) {
        size_t length = strlen(value->valuestring);
        bool cut = length > 40;
        if (cut) {
            length = 40;
            while (((unsigned char)value->valuestring[length] & 0xc0) == 0x80) {
                length--; /* not inside a character */
            }
        }
        (void)snprintf(out, WITAN_FOUND_MAX, "text \"%.*s%s\"", (int)length,
                       value->valuestring, cut ? "..." : "");
    } else if (cJSON_IsNumber(value)) {
        char number[WITAN_NUMBER_TEXT_MAX];
        witan_config_number_text(number, value->valuedouble);
        (void)snprintf(out, WITAN_FOUND_MAX, "the number %s", number);
    } else {
        (void)snprintf(out, WITAN_FOUND_MAX, "%s",
                       cJSON_IsArray(value)    ? "a list"
                       : cJSON_IsObject(value) ? "an object"
                       : cJSON_IsTrue(value)   ? "true"
                       : cJSON_IsFalse(value)  ? "false"
                                               : "null");
    }
    return out;
}

witan_status
witan_config_read_number(const witan_config_reader *self, const cJSON *value,
                         const witan_config_key *bounds, double *out)
{
    char found[WITAN_FOUND_MAX], range[128];
    bool whole = bounds->type == WITAN_KEY_INTEGER;
    const char *unit = bounds->unit;
    double number = cJSON_IsNumber(value) ? value->valuedouble : 0.0;

    witan_config_key_range(bounds, range, sizeof range);
    if (!cJSON_IsNumber(value) ||
        (whole && isfinite(number) && floor(number) != number)) {
        return witan_config_fail(
            self, "expected %s (%s%s%s), got %s", whole ? "an integer" : "a number",
            range, unit[0] == '\0' ? "" : " ", unit, witan_config_found(found, value));
    }
    if (!(number >= bounds->minimum && number <= bounds->maximum) ||
        (bounds->above && number == bounds->minimum) ||
        (bounds->below && number == bounds->maximum)) {
        char text[WITAN_NUMBER_TEXT_MAX];
        witan_config_number_text(text, number);
        return witan_config_fail(self, "%s is out of range, use %s%s%s", text, range,
                                 unit[0] == '\0' ? "" : " ", unit);
    }
    *out = number;
    return WITAN_OK;
}

witan_status
witan_config_read_text(const witan_config_reader *self, const cJSON *value, char *out,
                       size_t room)
{
    char found[WITAN_FOUND_MAX];
    if (!cJSON_IsString(value)) {
        return witan_config_fail(self, "expected text, got %s",
                                 witan_config_found(found, value));
    }
    size_t length = strlen(value->valuestring);
    if (length >= room) {
        return witan_config_fail(self, "text of %zu bytes, at most %zu are allowed",
                                 length, room - 1);
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value->valuestring[i];
        if (c < 0x20 || c == 0x7f) {
            return witan_config_fail(self, "control character at byte %zu of the text",
                                     i + 1);
        }
    }
    memset(out, 0, room);
    memcpy(out, value->valuestring, length);
    return WITAN_OK;
}

witan_status
witan_config_check_twice(const witan_config_reader *self, const cJSON *object,
                         const cJSON *member)
{
    for (const cJSON *other = object->child; other != member; other = other->next) {
        if (strcmp(other->string, member->string) == 0) {
            return witan_config_fail(self, "given twice; keep one");
        }
    }
    return WITAN_OK;
}
