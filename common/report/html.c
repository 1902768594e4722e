#include "report/html.h"

#include <string.h>

/* Length of the well-formed UTF-8 character at `at` that XML 1.0 allows, else 0
 * (Unicode 15, table 3-7). */
static size_t
xml_character(const unsigned char *at)
{
    unsigned char c = at[0];
    if (c < 0x80) {
        return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c != 0x7f) ? 1 : 0;
    }
    size_t size = c >= 0xc2 && c <= 0xdf   ? 2
                  : c >= 0xe0 && c <= 0xef ? 3
                  : c >= 0xf0 && c <= 0xf4 ? 4
                                           : 0;
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xe0 && at[1] < 0xa0) || (c == 0xf0 && at[1] < 0x90);
    bool surrogate = c == 0xed && at[1] >= 0xa0;
    bool beyond = c == 0xf4 && at[1] >= 0x90;
    bool none = c == 0xef && at[1] == 0xbf && at[2] >= 0xbe; /* U+FFFE, U+FFFF */
    bool control = c == 0xc2 && at[1] < 0xa0;
    return overlong || surrogate || beyond || none || control ? 0 : size;
}

void
witan_html_escape(witan_text *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)(text == NULL ? "" : text);
    while (*at != '\0') {
        size_t size = xml_character(at);
        switch (*at) {
        case '<':
            witan_text_add(out, "&lt;", 4);
            break;
        case '>':
            witan_text_add(out, "&gt;", 4);
            break;
        case '&':
            witan_text_add(out, "&amp;", 5);
            break;
        case '"':
            witan_text_add(out, "&quot;", 6);
            break;
        case '\'':
            witan_text_add(out, "&#39;", 5);
            break;
        default:
            if (size == 0) {
                witan_text_add(out, "\xef\xbf\xbd", 3);
            } else {
                witan_text_add(out, (const char *)at, size);
            }
        }
        at += size == 0 ? 1 : size;
    }
}

void
witan_html_number(witan_text *out, witan_shown number)
{
    if (strcmp(number.text, "-") == 0) {
        witan_text_format(out, "\u2013");
    } else if (number.text[0] == '-') {
        witan_text_format(out, "\u2212%s", number.text + 1);
    } else {
        witan_text_format(out, "%s", number.text);
    }
}

void
witan_html_open(witan_text *out, const char *title)
{
    witan_text_format(
        out, "<!DOCTYPE html>\n<html lang=\"en\" "
             "xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\n"
             "<meta name=\"viewport\" content=\"width=device-width,"
             "initial-scale=1\"/>\n"
             "<meta http-equiv=\"Content-Security-Policy\" "
             "content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
             "<title>witan: ");
    witan_html_escape(out, title);
    witan_text_format(out, "</title>\n");
    witan_html_style(out);
    witan_text_format(out, "</head><body><main>\n<h1>");
    witan_html_escape(out, title);
    witan_text_format(out, "</h1>\n");
}

void
witan_html_take(witan_text *out, witan_text *text)
{
    if (text->status == WITAN_OK) {
        witan_html_escape(out, text->data);
    } else if (out->status == WITAN_OK) {
        out->status = text->status;
    }
    witan_text_fini(text);
}

void
witan_html_text_cell(witan_text *out, const char *text)
{
    witan_text_format(out, "<td class=\"name\">");
    witan_html_escape(out, text);
    witan_text_format(out, "</td>");
}

void
witan_html_number_cell(witan_text *out, witan_shown number)
{
    witan_text_format(out, "<td>");
    witan_html_number(out, number);
    witan_text_format(out, "</td>");
}

void
witan_html_term(witan_text *out, const char *term, const char *text)
{
    if (witan_has_text(text)) {
        witan_text_format(out, "<dt>%s</dt><dd>", term);
        witan_html_escape(out, text);
        witan_text_format(out, "</dd>\n");
    }
}

void
witan_html_cut_note(witan_text *out, size_t rows, const char *what, const char *file)
{
    if (rows > WITAN_ROWS_MAX) {
        witan_text_format(out,
                          "<p class=\"note\">The first %d of %zu %s; %s has "
                          "all.</p>\n",
                          (int)WITAN_ROWS_MAX, rows, what, file);
    }
}
