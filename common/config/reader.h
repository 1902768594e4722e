/* reader.h - where in a text a value stands and how a bad one is told; private.
 * Why here: every message reads "origin: path: sentence", from one function. */
#ifndef WITAN_CONFIG_READER_H
#define WITAN_CONFIG_READER_H

#include <cJSON.h>

#include "config/table.h"

typedef struct witan_config_reader {
    const char *origin;    /* "exp.json" or "--set"; "" when nobody needs it */
    const char *separator; /* between origin and path: ": " or " " */
    char path[512];        /* "models[1].layers[3].kernel"; cut when longer */
    size_t length;         /* of path */
    witan_diag *diag;      /* may be NULL */
} witan_config_reader;

/* Appends a member or an index to the path; returns what witan_config_leave needs. */
size_t witan_config_enter(witan_config_reader *self, const char *member);
size_t witan_config_enter_index(witan_config_reader *self, size_t index);
void witan_config_leave(witan_config_reader *self, size_t length);

/* Records "origin: path: ..." and returns E_CONFIG. */
witan_status witan_config_fail(const witan_config_reader *self, const char *format, ...)
    WITAN_PRINTF(2, 3);

/* "text \"abc\"", "the number 1.5", "a list": what was found. */
enum {
    WITAN_FOUND_MAX = 96
};
const char *witan_config_found(char out[WITAN_FOUND_MAX], const cJSON *value);

/* Fails unless `value` is a number, integral where asked, within the bounds;
 * `range` tells them, `unit` may be "". */
WITAN_NODISCARD witan_status witan_config_read_number(const witan_config_reader *self,
                                                      const cJSON *value,
                                                      const witan_config_key *bounds,
                                                      double *out);

/* Fails unless `value` is text of at most `room` - 1 bytes without control characters.
 */
WITAN_NODISCARD witan_status witan_config_read_text(const witan_config_reader *self,
                                                    const cJSON *value, char *out,
                                                    size_t room);

/* Fails when an earlier sibling has the same name (cJSON keeps both). */
WITAN_NODISCARD witan_status witan_config_check_twice(const witan_config_reader *self,
                                                      const cJSON *object,
                                                      const cJSON *member);

#endif
