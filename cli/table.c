#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    COLUMNS_MAX = 16,
    CELL_MAX = 512
};

void
witan_table_init(witan_table *self, const char *const *heads, size_t columns)
{
    WITAN_ASSERT(columns <= COLUMNS_MAX);
    *self = (witan_table){.heads = heads, .columns = columns};
    witan_text_init(&self->text, witan_allocator_default(), (size_t)256 << 20);
}

void
witan_table_fini(witan_table *self)
{
    witan_text_fini(&self->text);
}

void
witan_table_add(witan_table *self, const char *format, ...)
{
    char cell[CELL_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(cell, sizeof cell, format, arguments);
    va_end(arguments);
    for (char *c = cell; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    witan_text_add(&self->text, cell, strlen(cell) + 1);
    self->cells++;
}

/* Columns of a text on the screen: bytes that begin a character. */
static size_t
wide(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static void
show_row(const witan_table *self, const char *const *cells, const size_t *widths,
         witan_text *out)
{
    for (size_t c = 0; c < self->columns; c++) {
        int rest = (int)(widths[c] - wide(cells[c]));
        bool right = self->heads[c][0] == '>', last = c + 1 == self->columns;
        witan_text_format(out, "%s%*s%s%*s", c == 0 ? "" : "  ", right ? rest : 0, "",
                          cells[c], right || last ? 0 : rest, "");
    }
    while (out->status == WITAN_OK && out->length > 0 &&
           out->data[out->length - 1] == ' ') {
        out->data[--out->length] = '\0';
    }
    witan_text_add(out, "\n", 1);
}

void
witan_table_show(const witan_table *self, witan_text *out)
{
    const char *cells[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX];
    if (self->text.status != WITAN_OK) {
        out->status = out->status == WITAN_OK ? self->text.status : out->status;
        return;
    }
    if (self->cells == 0) {
        return;
    }
    for (size_t c = 0; c < self->columns; c++) {
        cells[c] = self->heads[c] + (self->heads[c][0] == '>');
        widths[c] = wide(cells[c]);
    }
    const char *at = self->text.data;
    for (size_t i = 0; i < self->cells; i++, at += strlen(at) + 1) {
        size_t width = wide(at);
        size_t *widest = &widths[i % self->columns];
        *widest = width > *widest ? width : *widest;
    }
    show_row(self, cells, widths, out);
    at = self->text.data;
    for (size_t row = 0; row < self->cells / self->columns; row++) {
        for (size_t c = 0; c < self->columns; c++, at += strlen(at) + 1) {
            cells[c] = at;
        }
        show_row(self, cells, widths, out);
    }
}
