#include "unit/report/markup.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 64,
    NAME_MAX_BYTES = 32
};

typedef struct checker {
    const char *at;
    const char *error; /* the first one, or NULL */
    char open[DEPTH_MAX][NAME_MAX_BYTES];
    size_t depth, elements;
    double width, height; /* of the picture, 0 outside one */
} checker;

static void
fail(checker *self, const char *error)
{
    self->error = self->error == NULL ? error : self->error;
}

/* A name at the cursor, "" when there is none. */
static void
take_name(checker *self, char *name)
{
    size_t size = 0;
    while (isalnum((unsigned char)*self->at) || *self->at == '-' || *self->at == ':') {
        if (size + 1 < NAME_MAX_BYTES) {
            name[size++] = *self->at;
        }
        self->at++;
    }
    name[size] = '\0';
}

/* A reference at the cursor ('&'): the five that the page may use, or a number. */
static void
skip_reference(checker *self)
{
    static const char *const known[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(self->at, known[i], strlen(known[i])) == 0) {
            self->at += strlen(known[i]);
            return;
        }
    }
    fail(self, "a bare &");
    self->at++;
}

/* Every number of an attribute of a mark lies in the picture. */
static void
check_position(checker *self, const char *name, const char *value)
{
    bool across = strcmp(name, "x") == 0 || strcmp(name, "x1") == 0 ||
                  strcmp(name, "x2") == 0 || strcmp(name, "cx") == 0;
    bool down = strcmp(name, "y") == 0 || strcmp(name, "y1") == 0 ||
                strcmp(name, "y2") == 0 || strcmp(name, "cy") == 0;
    double limit = across ? self->width : self->height;
    if (across || down) {
        double position = strtod(value, NULL);
        if (!(position >= 0.0 && position <= limit)) {
            fail(self, "a mark outside its picture");
        }
    }
    if (strcmp(name, "points") == 0) {
        char *end;
        for (bool first = true; *value != '"'; value = end + (*end == '"' ? 0 : 1)) {
            double position = strtod(value, &end);
            limit = first ? self->width : self->height;
            if (end == value || !(position >= 0.0 && position <= limit)) {
                fail(self, "a point outside its picture");
                return;
            }
            first = !first;
        }
    }
}

static void
take_attribute(checker *self)
{
    char name[NAME_MAX_BYTES];
    take_name(self, name);
    if (name[0] == '\0' || self->at[0] != '=' || self->at[1] != '"') {
        fail(self, "an attribute without a quoted value");
        self->at += strlen(self->at);
        return;
    }
    self->at += 2;
    const char *value = self->at;
    while (*self->at != '"' && *self->at != '\0') {
        if (*self->at == '<') {
            fail(self, "< in an attribute");
        }
        if (*self->at == '&') {
            skip_reference(self);
        } else {
            self->at++;
        }
    }
    if (strcmp(name, "viewBox") == 0) {
        char *end;
        self->width = strtod(value + 4, &end);
        self->height = strtod(end, NULL);
    } else if (self->width > 0.0) {
        check_position(self, name, value);
    }
    if (strcmp(name, "src") == 0 || strcmp(name, "href") == 0 ||
        strncmp(name, "on", 2) == 0) {
        fail(self, "a reference or a handler");
    }
    self->at += *self->at == '"' ? 1 : 0;
}

/* An element's tag; the cursor is after '<'. */
static void
take_tag(checker *self)
{
    char name[NAME_MAX_BYTES];
    bool closing = *self->at == '/';
    self->at += closing ? 1 : 0;
    take_name(self, name);
    if (closing) {
        if (self->depth == 0 || strcmp(self->open[self->depth - 1], name) != 0) {
            fail(self, "a closing tag that fits nothing");
        }
        self->depth -= self->depth > 0 ? 1 : 0;
        self->width = strcmp(name, "svg") == 0 ? 0.0 : self->width;
    } else {
        if (name[0] == '\0' || self->depth == DEPTH_MAX ||
            strcmp(name, "script") == 0) {
            fail(self, "an odd element");
            return;
        }
        memcpy(self->open[self->depth++], name, sizeof name);
        self->elements++;
    }
    while (*self->at == ' ') {
        self->at++;
        take_attribute(self);
    }
    if (*self->at == '/' && !closing) {
        self->depth--;
        self->at++;
    }
    if (*self->at != '>') {
        fail(self, "a tag without an end");
    }
    self->at += *self->at == '\0' ? 0 : 1;
}

size_t
markup_check(const char *page, const char *name)
{
    static const char doctype[] = "<!DOCTYPE html>\n";
    checker self = {.at = page};
    if (strncmp(page, doctype, sizeof doctype - 1) != 0) {
        fail(&self, "no document type");
    }
    self.at += sizeof doctype - 1;
    while (*self.at != '\0' && self.error == NULL) {
        if (*self.at == '<') {
            self.at++;
            take_tag(&self);
        } else if (*self.at == '&') {
            skip_reference(&self);
        } else {
            if (self.depth == 0 && *self.at != '\n') {
                fail(&self, "text outside the document");
            }
            self.at++;
        }
    }
    if (self.depth != 0) {
        fail(&self, "an element that is not closed");
    }
    if (self.error != NULL && name != NULL) {
        fprintf(stderr, "%s: %s before: %.80s\n", name, self.error, self.at);
    }
    return self.error == NULL ? self.elements : 0;
}

bool
markup_has_word(const char *text, const char *word)
{
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == text || !isalpha((unsigned char)at[-1])) &&
            !isalpha((unsigned char)at[strlen(word)])) {
            return true;
        }
    }
    return false;
}

size_t
line_columns(const char *line)
{
    size_t columns = 0;
    for (; *line != '\n' && *line != '\0'; line++) {
        if (*line == '\x1b') {
            line += strcspn(line, "mK");
        } else if (((unsigned char)*line & 0xc0) != 0x80 && *line != '\r') {
            columns++;
        }
    }
    return columns;
}
