/* html.h - the pieces of the page: escaped text, numbers, charts, groups of clients.
 * Why here: private to the room; page.c puts the pieces together.
 * Every function appends to `out`, whose status keeps the first failure. Markup is
 * well-formed XML: elements are closed, characters outside XML are replaced. */
#ifndef WITAN_REPORT_HTML_H
#define WITAN_REPORT_HTML_H

#include "base/text.h"
#include "report/facts.h"
#include "report/number.h"

/* Any bytes as text or attribute value: markup escaped, malformed UTF-8, controls and
 * other characters that XML has not become U+FFFD. NULL adds nothing. */
void witan_html_escape(witan_text *out, const char *text);

/* A shown number with a typographic minus; "-" becomes a dash. */
void witan_html_number(witan_text *out, witan_shown number);

/* The style sheet, complete element. */
void witan_html_style(witan_text *out);

/* From the document type to the page's heading; the caller closes main, body, html. */
void witan_html_open(witan_text *out, const char *title);
/* Escapes what was gathered and frees it; its failure becomes that of `out`. */
void witan_html_take(witan_text *out, witan_text *text);

/* Cells of a table, a term of a list. term: trusted; nothing without a text. */
void witan_html_text_cell(witan_text *out, const char *text);
void witan_html_number_cell(witan_text *out, witan_shown number);
void witan_html_term(witan_text *out, const char *term, const char *text);

/* Rows of a table; more are in the files beside the page. */
enum {
    WITAN_ROWS_MAX = 200
};
/* Says so, when there are more. what, file: trusted. */
void witan_html_cut_note(witan_text *out, size_t rows, const char *what,
                         const char *file);

/* Colours of kinds of model in the style sheet, classes k0 .. k7, then from the start.
 */
enum {
    WITAN_HTML_COLOURS = 8
};

/* ---- chart.c: curves and bars. Width of every picture in its own units: text has the
 * same size in all of them. ---- */
enum {
    WITAN_PICTURE_WIDTH = 460
};

/* Data ranges and where they lie in a picture with axes. */
enum {
    WITAN_FRAME_LEFT = 44,
    WITAN_FRAME_RIGHT = 18, /* half of the last number below the axis */
    WITAN_FRAME_TOP = 12,
    WITAN_FRAME_BOTTOM = 34
};
typedef struct witan_frame {
    double x0, x1, y0, y1;
    double height;
} witan_frame;

double witan_frame_x(const witan_frame *self, double x);
double witan_frame_y(const witan_frame *self, double y);
/* Takes a value, if it is finite, into y0 .. y1. */
void witan_frame_widen(witan_frame *self, double value);
/* Widens y0, y1 to whole steps; returns the step. */
double witan_frame_round(witan_frame *self);
/* Begins the picture; title: trusted. The caller closes svg. */
void witan_frame_open(witan_text *out, const witan_frame *self, const char *title);
/* Lines and numbers of the vertical axis, value times `scale`; sign: differences, with
 * their sign and a line at zero. */
void witan_frame_y_axis(witan_text *out, const witan_frame *self, double step,
                        double scale, bool sign);
/* Whole numbers below the picture, and what they count; label: trusted. */
void witan_frame_x_axis(witan_text *out, const witan_frame *self, const char *label);
void witan_frame_x_label(witan_text *out, const witan_frame *self, const char *label);

/* Distance of ticks: 1, 2 or 5 times a power of ten, so that `span` > 0 has about
 * `wanted` of them. */
double witan_html_step(double span, int wanted);

/* One curve chart: accuracy by round. */
typedef struct witan_curves {
    const char *title;      /* "Own mix"; trusted text */
    const double *by_round; /* [rounds_done, clients] or NULL */
    bool global;            /* which statistic of a round is the mean line */
    double reference;       /* mean of the local reference, NaN without */
} witan_curves;
void witan_html_curves(witan_text *out, const witan_run_record *run,
                       const witan_kinds *kinds, const witan_curves *curves);

/* Sorted bars of gain over the reference. gain(run, client). */
void witan_html_gain(witan_text *out, const witan_run_record *run,
                     const witan_kinds *kinds, const char *title,
                     double (*gain)(const witan_run_record *, size_t));

/* More clients than this are drawn by deciles or quantiles. */
enum {
    WITAN_CURVES_MAX = 60,
    WITAN_BARS_MAX = 200
};

/* ---- matrix.c: clients x clients, classes x clients. ---- */

/* Clients in the order of a picture. Up to WITAN_GROUPS_SINGLE clients each is its own
 * group, in id order; more are sorted by their most frequent class and cut into
 * WITAN_GROUPS_MANY groups of nearly equal size. */
enum {
    WITAN_GROUPS_SINGLE = 100,
    WITAN_GROUPS_MANY = 50
};
typedef struct witan_groups {
    size_t count;
    bool single;
    uint32_t *order; /* [clients], owned */
    size_t
        first[WITAN_GROUPS_SINGLE + 1]; /* group g is order[first[g] .. first[g + 1]) */
    size_t class_of[WITAN_GROUPS_SINGLE]; /* most frequent class of its middle client */
} witan_groups;
WITAN_NODISCARD witan_status witan_groups_init(witan_groups *self,
                                               const witan_run_record *run,
                                               const witan_allocator *allocator);
void witan_groups_fini(witan_groups *self, const witan_allocator *allocator);

/* Who hears whom. run->fusion_weights must be there. */
void witan_html_weights(witan_text *out, const witan_run_record *run,
                        const witan_groups *groups);
/* Who holds which labels. run->label_histogram must be there. */
void witan_html_partition(witan_text *out, const witan_run_record *run,
                          const witan_groups *groups);

#endif
