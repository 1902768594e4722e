#include "report/lines.h"

#include <string.h>

static const char *const codes[] = {"", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m"};
static const char plain[] = "\x1b[0m";

void
witan_paint(witan_text *out, const witan_terminal *terminal, witan_style s,
            const char *text)
{
    bool on = terminal->color && s != WITAN_PLAIN;
    witan_text_format(out, "%s%s%s", on ? codes[s] : "", text, on ? plain : "");
}

void
witan_line_paint(witan_text *out, const witan_terminal *terminal, witan_style s,
                 const char *text)
{
    witan_paint(out, terminal, s, text);
    witan_text_add(out, "\n", 1);
}

size_t
witan_character_bytes(const char *at)
{
    size_t size = 1;
    if (((unsigned char)at[0] & 0xc0) == 0xc0) {
        while (size < 4 && ((unsigned char)at[size] & 0xc0) == 0x80) {
            size++;
        }
    }
    return size;
}

void
witan_line_character(witan_text *out, const char *at, size_t size, bool unicode)
{
    unsigned char c = (unsigned char)at[0];
    /* C1 controls are U+0080 to U+009F, 0xc2 0x80 to 0xc2 0x9f. */
    bool control = c < 0x20 || c == 0x7f ||
                   (size == 1 ? c >= 0x80 : c == 0xc2 && (unsigned char)at[1] < 0xa0);
    if (control || (size > 1 && !unicode)) {
        witan_text_add(out, "?", 1);
    } else {
        witan_text_add(out, at, size);
    }
}

void
witan_line_name(witan_text *out, const char *name, size_t columns, bool unicode)
{
    size_t used = 0;
    while (*name != '\0' && used < columns) {
        size_t size = witan_character_bytes(name);
        if (used + 1 == columns && name[size] != '\0') {
            witan_text_add(out, "~", 1);
            used++;
            break;
        }
        witan_line_character(out, name, size, unicode);
        name += size;
        used++;
    }
    witan_text_format(out, "%*s", (int)(columns - used), "");
}

/* Bytes up to the next place where a line may break: a space, but not after a digit, so
 * that a number keeps its unit. *columns is their width. */
static size_t
word_bytes(const char *text, size_t *columns)
{
    size_t size = 0;
    *columns = 0;
    while (text[size] != '\0' &&
           !(text[size] == ' ' &&
             !(size > 0 && text[size - 1] >= '0' && text[size - 1] <= '9'))) {
        size += witan_character_bytes(text + size);
        ++*columns;
    }
    return size;
}

void
witan_line_wrap(witan_text *out, const char *text, size_t column, size_t indent,
                bool unicode)
{
    bool begun = false; /* a word stands on this line */
    while (*text != '\0') {
        size_t wide;
        const char *end = text + word_bytes(text, &wide);
        if (begun && column + 1 + wide > WITAN_TABLE_COLUMNS) {
            witan_text_format(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (begun) {
            witan_text_add(out, " ", 1);
            column++;
        }
        begun = true;
        while (text < end) {
            size_t size = witan_character_bytes(text);
            if (column == WITAN_TABLE_COLUMNS) {
                witan_text_format(out, "\n%*s", (int)indent, "");
                column = indent;
            }
            witan_line_character(out, text, size, unicode);
            column++;
            text += size;
        }
        text += strspn(text, " ");
    }
}

void
witan_line_field(witan_text *out, const witan_terminal *terminal, const char *label,
                 const char *text)
{
    witan_text_format(out, "%-*s", (int)WITAN_FIELD_INDENT, label);
    witan_line_wrap(out, text, WITAN_FIELD_INDENT, WITAN_FIELD_INDENT,
                    terminal->unicode);
    witan_text_add(out, "\n", 1);
}

void
witan_line_word(witan_text *out, const witan_terminal *terminal, const char *text)
{
    witan_text_format(out, "%s", terminal->color ? codes[WITAN_DIM] : "");
    witan_line_wrap(out, text, 0, 2, terminal->unicode);
    witan_text_format(out, "%s\n", terminal->color ? plain : "");
}

void
witan_line_path(witan_text *out, const witan_terminal *terminal, const char *label,
                const char *directory, const char *file)
{
    const char *const pieces[3] = {directory, "/", file};
    witan_text_format(out, "%-*s", (int)WITAN_FIELD_INDENT, label);
    for (size_t i = 0; i < 3; i++) {
        for (const char *at = pieces[i]; *at != '\0';) {
            size_t size = witan_character_bytes(at);
            witan_line_character(out, at, size, terminal->unicode);
            at += size;
        }
    }
    witan_text_add(out, "\n", 1);
}
