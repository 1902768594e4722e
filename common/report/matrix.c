/* matrix.c - who hears whom, and who holds which labels, as grids of cells.
 * Why here: both pictures share clients' order, cells, ticks and tooltips.
 * The scale is one hue whose opacity grows with the value: ordered by lightness in the
 * light and in the dark page, and readable without colour vision. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

enum {
    LEFT = 44,
    SIDE = 404, /* width of the plotted area */
    TOP = 12,
    NUMBERS_MAX = 12, /* groups up to which a weight is also written in its cell */
    BUBBLES_MAX = 40, /* clients and classes up to which counts are drawn as circles */
    CLASS_ROWS_MAX = 64,
    STRIP = 56, /* height of the bars of sizes above the partition */
    STRIP_GAP = 8,
};

/* Opacity from which the number of a cell changes colour: both colours of the style
 * sheet then have a contrast of 4.5 or more, in the light and in the dark page. */
static const double ON_DARK = 0.68;

/* ---- groups ---------------------------------------------------------------------- */

typedef struct client_key {
    uint32_t client, class;
    double share;
} client_key;

/* By most frequent class, then by how much of it, then by id. */
static int
compare_keys(const void *a, const void *b)
{
    const client_key *x = a, *y = b;
    if (x->class != y->class) {
        return x->class < y->class ? -1 : 1;
    }
    if (x->share != y->share) {
        return x->share > y->share ? -1 : 1;
    }
    return x->client < y->client ? -1 : x->client > y->client;
}

static client_key
key_of(const witan_run_record *run, size_t client)
{
    client_key key = {(uint32_t)client, 0, 0.0};
    uint64_t total = 0;
    if (run->label_histogram == NULL) {
        return key;
    }
    const uint32_t *row = run->label_histogram + client * run->classes;
    for (size_t c = 0; c < run->classes; c++) {
        total += row[c];
        key.class = row[c] > row[key.class] ? (uint32_t)c : key.class;
    }
    key.share = total == 0 ? 0.0 : (double)row[key.class] / (double)total;
    return key;
}

witan_status
witan_groups_init(witan_groups *self, const witan_run_record *run,
                  const witan_allocator *allocator)
{
    client_key *keys = witan_zalloc(allocator, run->clients, sizeof *keys);
    memset(self, 0, sizeof *self);
    self->order = witan_alloc(allocator, run->clients, sizeof *self->order);
    if (keys == NULL || self->order == NULL) {
        witan_free(allocator, keys);
        return WITAN_E_MEMORY;
    }
    self->single = run->clients <= WITAN_GROUPS_SINGLE;
    self->count = self->single ? run->clients : WITAN_GROUPS_MANY;
    for (size_t n = 0; n < run->clients; n++) {
        keys[n] = key_of(run, n);
    }
    if (!self->single) {
        qsort(keys, run->clients, sizeof *keys, compare_keys);
    }
    for (size_t n = 0; n < run->clients; n++) {
        self->order[n] = keys[n].client;
    }
    for (size_t g = 0; g < self->count; g++) {
        self->first[g] = g * run->clients / self->count;
        self->first[g + 1] = (g + 1) * run->clients / self->count;
        self->class_of[g] = keys[(self->first[g] + self->first[g + 1]) / 2].class;
    }
    witan_free(allocator, keys);
    return WITAN_OK;
}

void
witan_groups_fini(witan_groups *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->order);
    self->order = NULL;
}

/* "client 7", or "20 clients with mostly class 4". */
static void
tell_group(witan_text *out, const witan_groups *groups, size_t g)
{
    if (groups->single) {
        witan_text_format(out, "client %zu", g);
    } else {
        witan_text_format(out, "%zu clients with mostly class %zu",
                          groups->first[g + 1] - groups->first[g], groups->class_of[g]);
    }
}

/* Numbers of clients along an axis, or of classes where clients were sorted by class:
 * at `start` + (index + 1/2) * pitch, written with the given tag up to the position. */
static void
draw_ticks(witan_text *out, const witan_groups *groups, bool vertical, double start,
           double pitch, double across)
{
    size_t step = groups->single
                      ? (size_t)fmax(1.0, witan_html_step((double)groups->count, 13))
                      : 1;
    double last = -1e9;
    for (size_t g = 0; g < groups->count; g += step) {
        double at = start + ((double)g + 0.5) * pitch;
        size_t number = g;
        if (!groups->single) {
            size_t end = g + 1;
            while (end < groups->count &&
                   groups->class_of[end] == groups->class_of[g]) {
                end++;
            }
            at = start + (double)(g + end) / 2.0 * pitch;
            number = groups->class_of[g];
            step = end - g;
        }
        if (at - last < (vertical ? 15.0 : number < 100 ? 20.0 : 28.0)) {
            continue; /* numbers of small classes would lie on each other */
        }
        last = at;
        witan_text_format(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%zu</text>",
                          vertical ? "ty" : "tx", vertical ? across : at,
                          vertical ? at + 4.0 : across, number);
    }
    witan_text_format(out, "\n");
}

static const char *
axis_label(const witan_groups *groups)
{
    return groups->single ? "client" : "clients, by their most frequent class";
}

/* One cell of a grid with `pitch` units per column and `row_pitch` per row. The caller
 * adds the tooltip and closes it. */
static void
open_cell(witan_text *out, size_t column, size_t row, double opacity)
{
    witan_text_format(
        out,
        "<rect x=\"%zu\" y=\"%zu\" width=\"1\" height=\"1\" opacity=\"%.2f\">"
        "<title>",
        column, row, opacity);
}

static void
close_cell(witan_text *out)
{
    witan_text_format(out, "</title></rect>\n");
}

/* "0 % [ramp] 23.4 %" */
static void
draw_ramp(witan_text *out, double y, double largest, const char *what)
{
    enum {
        STEPS = 12,
        WIDTH = 8
    };
    double x = LEFT + SIDE - 52.0 - STEPS * WIDTH;
    witan_text_format(out, "<text class=\"ts\" x=\"%.0f\" y=\"%.0f\">%s, 0 %%</text>",
                      x - 6.0, y + 9.0, what);
    witan_text_format(out,
                      "<rect class=\"plot\" x=\"%.0f\" y=\"%.0f\" width=\"%d\" "
                      "height=\"10\"/><g class=\"cell\">",
                      x, y, (int)(STEPS * WIDTH));
    for (int i = 0; i < STEPS; i++) {
        witan_text_format(out,
                          "<rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"10\" "
                          "opacity=\"%.2f\"/>",
                          x + i * WIDTH, y, (int)WIDTH, (i + 0.5) / STEPS);
    }
    witan_text_format(
        out, "</g><text class=\"tn\" x=\"%.0f\" y=\"%.0f\">%s %%</text>\n",
        x + STEPS * WIDTH + 6.0, y + 9.0, witan_shown_percent(largest).text);
}

/* ---- who hears whom -------------------------------------------------------------- */

/* shares [G, G]: what a client of group row hears from all of group column, mean over
 * the group's clients that were there. Returns the largest. */
static double
group_weights(double *shares, const witan_run_record *run, const witan_groups *groups,
              const size_t *group_of)
{
    double largest = 0.0;
    size_t G = groups->count;
    for (size_t g = 0; g < G; g++) {
        size_t present = 0;
        double *row = shares + g * G;
        for (size_t i = groups->first[g]; i < groups->first[g + 1]; i++) {
            const double *w = run->fusion_weights + groups->order[i] * run->clients;
            double sum = 0.0;
            for (size_t m = 0; m < run->clients; m++) {
                double weight = isfinite(w[m]) && w[m] > 0.0 ? w[m] : 0.0;
                row[group_of[m]] += weight;
                sum += weight;
            }
            present += sum > 0.0 ? 1 : 0;
        }
        for (size_t h = 0; h < G; h++) {
            row[h] = present == 0 ? 0.0 : row[h] / (double)present;
            largest = row[h] > largest ? row[h] : largest;
        }
    }
    return largest;
}

static void
draw_weight_cells(witan_text *out, const witan_groups *groups, const double *shares,
                  double largest)
{
    size_t G = groups->count;
    witan_text_format(out,
                      "<g class=\"cell\" transform=\"translate(%d %d) scale(%.4f)\">\n",
                      (int)LEFT, (int)TOP, (double)SIDE / (double)G);
    for (size_t g = 0; g < G; g++) {
        for (size_t h = 0; h < G; h++) {
            double share = shares[g * G + h];
            if (share > 0.0) {
                open_cell(out, h, g, share / largest);
                tell_group(out, groups, g);
                witan_text_format(out, groups->single ? " hears " : " hear ");
                tell_group(out, groups, h);
                witan_text_format(out, ": %s %%", witan_shown_percent(share).text);
                close_cell(out);
            }
        }
    }
    witan_text_format(out, "</g>\n");
    for (size_t i = 0; G <= NUMBERS_MAX && i < G * G; i++) {
        double pitch = (double)SIDE / (double)G;
        witan_text_format(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%.0f</text>",
                          shares[i] > ON_DARK * largest ? "in on" : "in",
                          LEFT + ((double)(i % G) + 0.5) * pitch,
                          TOP + ((double)(i / G) + 0.5) * pitch + 4.0,
                          100.0 * shares[i]);
    }
}

void
witan_html_weights(witan_text *out, const witan_run_record *run,
                   const witan_groups *groups)
{
    size_t G = groups->count;
    double *shares = witan_zalloc(out->allocator, G * G, sizeof *shares);
    size_t *group_of = witan_alloc(out->allocator, run->clients, sizeof *group_of);
    if (shares == NULL || group_of == NULL) {
        out->status = WITAN_E_MEMORY;
        goto done;
    }
    for (size_t g = 0; g < G; g++) {
        for (size_t i = groups->first[g]; i < groups->first[g + 1]; i++) {
            group_of[groups->order[i]] = g;
        }
    }
    double largest = group_weights(shares, run, groups, group_of);
    double pitch = (double)SIDE / (double)G;
    witan_text_format(
        out,
        "<figure class=\"panel\"><figcaption>Who hears whom</figcaption>\n"
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Fusion weights\">\n"
        "<rect class=\"plot\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
        (int)WITAN_PICTURE_WIDTH, TOP + SIDE + 58, (int)LEFT, (int)TOP, (int)SIDE,
        (int)SIDE);
    draw_weight_cells(out, groups, shares, largest > 0.0 ? largest : 1.0);
    draw_ticks(out, groups, true, TOP, pitch, LEFT - 6.0);
    draw_ticks(out, groups, false, LEFT, pitch, TOP + SIDE + 15.0);
    witan_text_format(
        out,
        "<text class=\"tl\" x=\"%d\" y=\"%d\">is heard (%s)</text>"
        "<text class=\"tl\" transform=\"translate(15 %d) rotate(-90)\">learns"
        "</text>\n",
        LEFT + SIDE / 2, TOP + SIDE + 31, axis_label(groups), TOP + SIDE / 2);
    draw_ramp(out, TOP + SIDE + 44.0, largest, "share of what is heard");
    witan_text_format(out, "</svg></figure>\n");
done:
    witan_free(out->allocator, shares);
    witan_free(out->allocator, group_of);
}

/* ---- who holds which labels ------------------------------------------------------ */

typedef struct partition_picture {
    size_t rows;        /* of the picture: classes, or bins of classes */
    double pitch, high; /* width and height of a cell */
    bool bubbles;
    double *counts; /* [rows, groups] private rows, mean over the group's clients */
    double *sizes;  /* [groups] */
    double largest_count, largest_size, largest_share;
} partition_picture;

static void
count_labels(partition_picture *self, const witan_run_record *run,
             const witan_groups *groups)
{
    for (size_t g = 0; g < groups->count; g++) {
        size_t members = groups->first[g + 1] - groups->first[g];
        for (size_t i = groups->first[g]; i < groups->first[g + 1]; i++) {
            const uint32_t *row =
                run->label_histogram + groups->order[i] * run->classes;
            for (size_t c = 0; c < run->classes; c++) {
                size_t at = c * self->rows / run->classes * groups->count + g;
                self->counts[at] += (double)row[c] / (double)members;
                self->sizes[g] += (double)row[c] / (double)members;
            }
        }
        self->largest_size = fmax(self->largest_size, self->sizes[g]);
        for (size_t r = 0; r < self->rows && self->sizes[g] > 0.0; r++) {
            double count = self->counts[r * groups->count + g];
            self->largest_count = fmax(self->largest_count, count);
            self->largest_share = fmax(self->largest_share, count / self->sizes[g]);
        }
    }
}

static void
tell_cell(witan_text *out, const partition_picture *self, const witan_run_record *run,
          const witan_groups *groups, size_t row, size_t g)
{
    size_t low = (row * run->classes + self->rows - 1) / self->rows;
    size_t high = ((row + 1) * run->classes + self->rows - 1) / self->rows - 1;
    double count = self->counts[row * groups->count + g];
    tell_group(out, groups, g);
    if (low == high) {
        witan_text_format(out, ", class %zu: ", low);
    } else {
        witan_text_format(out, ", classes %zu to %zu: ", low, high);
    }
    witan_text_format(out, "%.0f rows, %s %%", count,
                      witan_shown_percent(count / self->sizes[g]).text);
}

static void
draw_holdings(witan_text *out, const partition_picture *self,
              const witan_run_record *run, const witan_groups *groups)
{
    double top = TOP + STRIP + STRIP_GAP;
    double radius = 0.47 * (self->pitch < self->high ? self->pitch : self->high);
    if (!self->bubbles) {
        witan_text_format(
            out,
            "<g class=\"hold\" transform=\"translate(%d %.0f) scale(%.4f %.4f)\">\n",
            (int)LEFT, top, self->pitch, self->high);
    } else {
        witan_text_format(out, "<g class=\"hold\">\n");
    }
    for (size_t r = 0; r < self->rows; r++) {
        for (size_t g = 0; g < groups->count; g++) {
            double count = self->counts[r * groups->count + g];
            if (!(count > 0.0)) {
                continue;
            }
            if (self->bubbles) {
                witan_text_format(
                    out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>",
                    LEFT + ((double)g + 0.5) * self->pitch,
                    top + ((double)r + 0.5) * self->high,
                    fmax(0.6, radius * sqrt(count / self->largest_count)));
                tell_cell(out, self, run, groups, r, g);
                witan_text_format(out, "</title></circle>\n");
            } else {
                open_cell(out, g, r, count / self->sizes[g] / self->largest_share);
                tell_cell(out, self, run, groups, r, g);
                close_cell(out);
            }
        }
    }
    witan_text_format(out, "</g>\n");
}

/* Bars above the grid: how many rows a client has. */
static void
draw_sizes(witan_text *out, const partition_picture *self, const witan_groups *groups)
{
    double base = TOP + STRIP;
    double wide = self->pitch > 40.0 ? 32.0 : self->pitch * 0.8;
    for (size_t g = 0; g < groups->count; g++) {
        double high = self->largest_size > 0.0
                          ? (STRIP - 14) * self->sizes[g] / self->largest_size
                          : 0.0;
        witan_text_format(out,
                          "<rect class=\"size\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"%.1f\"><title>",
                          LEFT + ((double)g + 0.5) * self->pitch - wide / 2.0,
                          base - high, wide, high);
        tell_group(out, groups, g);
        witan_text_format(out, ": %.0f rows%s</title></rect>\n", self->sizes[g],
                          groups->single ? "" : " each");
    }
    witan_text_format(
        out,
        "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
        "<text class=\"tn\" x=\"%d\" y=\"%d\">training rows per client, at most "
        "%.0f</text>\n",
        (int)LEFT, LEFT + SIDE, base + 0.5, base + 0.5, (int)LEFT, TOP + 3,
        self->largest_size);
}

static void
draw_partition(witan_text *out, const partition_picture *self,
               const witan_run_record *run, const witan_groups *groups)
{
    double top = TOP + STRIP + STRIP_GAP;
    double bottom = top + self->high * (double)self->rows;
    size_t step = (size_t)fmax(1.0, witan_html_step((double)run->classes, 12));
    witan_text_format(
        out,
        "<figure class=\"panel\"><figcaption>Who holds which labels</figcaption>\n"
        "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"Partition\">\n"
        "<rect class=\"plot\" x=\"%d\" y=\"%.0f\" width=\"%d\" height=\"%.1f\"/>\n",
        (int)WITAN_PICTURE_WIDTH, bottom + (self->bubbles ? 38 : 58), (int)LEFT, top,
        (int)SIDE, bottom - top);
    draw_sizes(out, self, groups);
    draw_holdings(out, self, run, groups);
    for (size_t c = 0; c < run->classes; c += step) {
        double row = ((double)c + 0.5) * (double)self->rows / (double)run->classes;
        witan_text_format(out, "<text class=\"ty\" x=\"%d\" y=\"%.1f\">%zu</text>",
                          LEFT - 6, top + row * self->high + 4.0, c);
    }
    draw_ticks(out, groups, false, LEFT, self->pitch, bottom + 15.0);
    witan_text_format(
        out,
        "<text class=\"tl\" x=\"%d\" y=\"%.0f\">%s</text>"
        "<text class=\"tl\" transform=\"translate(15 %.0f) rotate(-90)\">class"
        "</text>\n",
        LEFT + SIDE / 2, bottom + 31.0, axis_label(groups), (top + bottom) / 2.0);
    if (!self->bubbles) {
        draw_ramp(out, bottom + 44.0, self->largest_share, "share of its rows");
    }
    witan_text_format(out, "</svg></figure>\n");
}

void
witan_html_partition(witan_text *out, const witan_run_record *run,
                     const witan_groups *groups)
{
    partition_picture self = {0};
    if (run->classes == 0 || groups->count == 0) {
        return;
    }
    self.rows = run->classes < CLASS_ROWS_MAX ? run->classes : CLASS_ROWS_MAX;
    self.pitch = (double)SIDE / (double)groups->count;
    self.high = 340.0 / (double)self.rows;
    self.high = self.high > 28.0 ? 28.0 : self.high;
    self.bubbles = groups->count <= BUBBLES_MAX && run->classes <= BUBBLES_MAX;
    self.counts =
        witan_zalloc(out->allocator, self.rows * groups->count, sizeof(double));
    self.sizes = witan_zalloc(out->allocator, groups->count, sizeof(double));
    if (self.counts == NULL || self.sizes == NULL) {
        out->status = WITAN_E_MEMORY;
    } else {
        count_labels(&self, run, groups);
        draw_partition(out, &self, run, groups);
    }
    witan_free(out->allocator, self.counts);
    witan_free(out->allocator, self.sizes);
}
