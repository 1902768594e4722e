/* table.h - rows of short texts in columns as wide as they need to be. */
#ifndef WITAN_CLI_TABLE_H
#define WITAN_CLI_TABLE_H

#include "base/text.h"

typedef struct witan_table {
    const char *const *heads; /* [columns], borrowed; ">" before one: right-aligned */
    size_t columns;           /* at most 16 */
    size_t cells;
    witan_text text; /* the cells, each with its NUL */
} witan_table;

void witan_table_init(witan_table *self, const char *const *heads, size_t columns);
void witan_table_fini(witan_table *self);
/* The next cell, row by row; control characters become '?'. */
void witan_table_add(witan_table *self, const char *format, ...) WITAN_PRINTF(2, 3);
/* Heads and all rows into `out`; nothing when there are none. */
void witan_table_show(const witan_table *self, witan_text *out);

#endif
