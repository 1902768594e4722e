/* chart.c - accuracy by round and gain over the local reference, as SVG.
 * Why here: the arithmetic of axes; colours and sizes of text are the style sheet's.
 * Runs of many clients: a band from the lowest to the highest decile, and bars at
 * evenly spaced quantiles, so that a page grows with the picture, not with the run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/html.h"

enum {
    CURVES_HEIGHT = 290,
    GAIN_HEIGHT = 230,
    POINTS_MAX = 200, /* rounds drawn */
    TICKS_WANTED = 5,
};

double
witan_frame_x(const witan_frame *self, double x)
{
    double span = self->x1 > self->x0 ? self->x1 - self->x0 : 1.0;
    double wide = WITAN_PICTURE_WIDTH - WITAN_FRAME_LEFT - WITAN_FRAME_RIGHT;
    return WITAN_FRAME_LEFT +
           wide * (self->x1 > self->x0 ? (x - self->x0) / span : 0.5);
}

double
witan_frame_y(const witan_frame *self, double y)
{
    double high = self->height - WITAN_FRAME_TOP - WITAN_FRAME_BOTTOM;
    return WITAN_FRAME_TOP + high * (1.0 - (y - self->y0) / (self->y1 - self->y0));
}

double
witan_html_step(double span, int wanted)
{
    double raw = span / wanted;
    double power = pow(10.0, floor(log10(raw)));
    double lead = raw / power;
    return power * (lead <= 1.0 ? 1.0 : lead <= 2.0 ? 2.0 : lead <= 5.0 ? 5.0 : 10.0);
}

double
witan_frame_round(witan_frame *self)
{
    if (!(self->y1 - self->y0 > 1e-9)) {
        self->y0 -= 0.01;
        self->y1 += 0.01;
    }
    double step = witan_html_step(self->y1 - self->y0, TICKS_WANTED);
    self->y0 = step * floor(self->y0 / step + 1e-6);
    self->y1 = step * ceil(self->y1 / step - 1e-6);
    return step;
}

void
witan_frame_open(witan_text *out, const witan_frame *self, const char *title)
{
    witan_text_format(out,
                      "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"%s\">\n",
                      (int)WITAN_PICTURE_WIDTH, self->height, title);
}

void
witan_frame_y_axis(witan_text *out, const witan_frame *self, double step, double scale,
                   bool sign)
{
    int decimals = 0;
    int count = (int)lround((self->y1 - self->y0) / step);
    for (double shown = step * scale; shown < 0.999 && decimals < 6; shown *= 10.0) {
        decimals++;
    }
    for (int i = 0; i <= count; i++) {
        double value = self->y0 + i * step;
        double y = witan_frame_y(self, value);
        bool zero = fabs(value) < step / 2.0;
        witan_text_format(
            out,
            "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"ty\" x=\"%d\" y=\"%.1f\">",
            zero && sign ? "zero" : "grid", (int)WITAN_FRAME_LEFT,
            (int)WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT, y, y,
            (int)WITAN_FRAME_LEFT - 6, y + 4.0);
        if (zero) {
            witan_text_format(out, "0");
        } else {
            witan_text_format(out, "%s%.*f",
                              value < 0.0 ? "\u2212"
                              : sign      ? "+"
                                          : "",
                              decimals, fabs(scale * value));
        }
        witan_text_format(out, "</text>\n");
    }
}

void
witan_frame_x_axis(witan_text *out, const witan_frame *self, const char *label)
{
    double step = self->x1 > self->x0 ? witan_html_step(self->x1 - self->x0, 8) : 1.0;
    double y = self->height - WITAN_FRAME_BOTTOM;
    step = step < 1.0 ? 1.0 : step;
    for (double x = step * ceil(self->x0 / step); x <= self->x1 + 1e-9; x += step) {
        witan_text_format(out, "<text class=\"tx\" x=\"%.1f\" y=\"%.1f\">%.0f</text>",
                          witan_frame_x(self, x), y + 15.0, x);
    }
    witan_frame_x_label(out, self, label);
}

void
witan_frame_x_label(witan_text *out, const witan_frame *self, const char *label)
{
    witan_text_format(out, "<text class=\"tl\" x=\"%d\" y=\"%.0f\">%s</text>\n",
                      (WITAN_FRAME_LEFT + WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT) / 2,
                      self->height - 4.0, label);
}

/* ---- accuracy by round ----------------------------------------------------------- */

/* The rounds that are drawn: evaluated ones, thinned evenly, the last always. */
typedef struct points {
    size_t count;
    size_t round[POINTS_MAX];
} points;

static void
choose_points(points *self, const witan_run_record *run)
{
    size_t evaluated = 0, seen = 0;
    self->count = 0;
    for (size_t r = 0; run->rounds != NULL && r < run->rounds_done; r++) {
        evaluated += run->rounds[r].evaluated ? 1 : 0;
    }
    for (size_t r = 0; run->rounds != NULL && r < run->rounds_done; r++) {
        if (!run->rounds[r].evaluated) {
            continue;
        }
        seen++;
        /* The round where the thinned count steps up; the last is a step. */
        if (evaluated <= POINTS_MAX ||
            seen * POINTS_MAX / evaluated > (seen - 1) * POINTS_MAX / evaluated) {
            self->round[self->count++] = r;
        }
    }
}

static const witan_statistic *
statistic_of(const witan_run_record *run, const witan_curves *curves, size_t round)
{
    const witan_round_record *record = &run->rounds[round];
    return curves->global ? &record->global_after : &record->own_after;
}

void
witan_frame_widen(witan_frame *self, double value)
{
    if (isfinite(value)) {
        self->y0 = value < self->y0 ? value : self->y0;
        self->y1 = value > self->y1 ? value : self->y1;
    }
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Lowest and highest decile and mean of every kind, at each drawn round. */
typedef struct bands {
    double low[POINTS_MAX], high[POINTS_MAX];
    double kind[WITAN_HTML_COLOURS][POINTS_MAX];
} bands;

static void
fill_band(bands *self, size_t at, const double *accuracy, size_t clients,
          const witan_kinds *kinds, double *sorted)
{
    size_t count = 0, members[WITAN_HTML_COLOURS] = {0};
    double sums[WITAN_HTML_COLOURS] = {0};
    for (size_t n = 0; n < clients; n++) {
        size_t k = kinds->of_client[n];
        if (isfinite(accuracy[n])) {
            sorted[count++] = accuracy[n];
            if (k < WITAN_HTML_COLOURS) {
                sums[k] += accuracy[n];
                members[k]++;
            }
        }
    }
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    self->low[at] = count == 0 ? (double)NAN : sorted[(count - 1) / 10];
    self->high[at] = count == 0 ? (double)NAN : sorted[count - 1 - (count - 1) / 10];
    for (size_t k = 0; k < WITAN_HTML_COLOURS; k++) {
        self->kind[k][at] =
            members[k] == 0 ? (double)NAN : sums[k] / (double)members[k];
    }
}

/* `values[i * stride]` at the drawn rounds; gaps are bridged. Returns the points drawn.
 */
static void
draw_line(witan_text *out, const witan_frame *self, const witan_run_record *run,
          const points *at, const double *values, const char *class)
{
    size_t drawn = 0;
    double x = 0.0, y = 0.0;
    witan_text_format(out, "<polyline class=\"%s\" points=\"", class);
    for (size_t i = 0; i < at->count; i++) {
        if (isfinite(values[i])) {
            x = witan_frame_x(self, (double)run->rounds[at->round[i]].round + 1.0);
            y = witan_frame_y(self, values[i]);
            witan_text_format(out, "%s%.1f,%.1f", drawn++ == 0 ? "" : " ", x, y);
        }
    }
    witan_text_format(out, "\"/>\n");
    if (drawn == 1) {
        witan_text_format(
            out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", class,
            x, y);
    }
}

static void
draw_clients(witan_text *out, const witan_frame *self, const witan_run_record *run,
             const witan_kinds *kinds, const points *at, const witan_curves *curves)
{
    double values[POINTS_MAX];
    char class[16];
    for (size_t n = 0; n < run->clients; n++) {
        double last = (double)NAN;
        for (size_t i = 0; i < at->count; i++) {
            values[i] = curves->by_round[at->round[i] * run->clients + n];
            last = isfinite(values[i]) ? values[i] : last;
        }
        if (!isfinite(last)) {
            continue;
        }
        (void)snprintf(class, sizeof class, "line k%d",
                       (int)(kinds->of_client[n] % WITAN_HTML_COLOURS));
        witan_text_format(out, "<g><title>client %zu, ", n);
        witan_html_escape(out, witan_report_model_name(run, n));
        witan_text_format(out, ": %s %% at the end</title>",
                          witan_shown_percent(last).text);
        draw_line(out, self, run, at, values, class);
        witan_text_format(out, "</g>\n");
    }
}

static void
draw_band(witan_text *out, const witan_frame *self, const witan_run_record *run,
          const witan_kinds *kinds, const points *at, const bands *band)
{
    char class[16];
    witan_text_format(out, "<polygon class=\"band\" points=\"");
    for (size_t i = 0; i < 2 * at->count; i++) {
        size_t p = i < at->count ? i : 2 * at->count - 1 - i;
        double value = i < at->count ? band->high[p] : band->low[p];
        if (isfinite(value)) {
            witan_text_format(
                out, "%.1f,%.1f ",
                witan_frame_x(self, (double)run->rounds[at->round[p]].round + 1.0),
                witan_frame_y(self, value));
        }
    }
    witan_text_format(out, "\"/>\n");
    for (size_t k = 0; kinds->count > 1 && k < kinds->count && k < WITAN_HTML_COLOURS;
         k++) {
        (void)snprintf(class, sizeof class, "kind k%d", (int)k);
        draw_line(out, self, run, at, band->kind[k], class);
    }
}

static void
draw_reference(witan_text *out, const witan_frame *self, double reference)
{
    if (isfinite(reference)) {
        double y = witan_frame_y(self, reference);
        witan_text_format(out,
                          "<line class=\"reference\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" "
                          "y2=\"%.1f\"><title>local only, mean: %s %%</title></line>\n",
                          (int)WITAN_FRAME_LEFT,
                          (int)WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT, y, y,
                          witan_shown_percent(reference).text);
    }
}

/* Range of all that will be drawn. */
static void
find_range(witan_frame *self, const witan_run_record *run, const points *at,
           const witan_curves *curves, const bands *band, const double *mean)
{
    self->y0 = (double)INFINITY;
    self->y1 = -(double)INFINITY;
    for (size_t i = 0; i < at->count; i++) {
        witan_frame_widen(self, mean[i]);
        if (band != NULL) {
            witan_frame_widen(self, band->low[i]);
            witan_frame_widen(self, band->high[i]);
        } else {
            for (size_t n = 0; curves->by_round != NULL && n < run->clients; n++) {
                witan_frame_widen(self,
                                  curves->by_round[at->round[i] * run->clients + n]);
            }
        }
    }
    witan_frame_widen(self, curves->reference);
}

void
witan_html_curves(witan_text *out, const witan_run_record *run,
                  const witan_kinds *kinds, const witan_curves *curves)
{
    points at;
    double mean[POINTS_MAX];
    double *sorted = NULL;
    bands *band = NULL;
    witan_frame self = {.height = CURVES_HEIGHT};
    choose_points(&at, run);
    if (curves->by_round != NULL && run->clients > WITAN_CURVES_MAX) {
        band = witan_alloc(out->allocator, 1, sizeof *band);
        sorted = witan_alloc(out->allocator, run->clients, sizeof *sorted);
        if (band == NULL || sorted == NULL) {
            out->status = WITAN_E_MEMORY;
            goto done;
        }
    }
    for (size_t i = 0; i < at.count; i++) {
        mean[i] = statistic_of(run, curves, at.round[i])->mean;
        if (band != NULL) {
            fill_band(band, i, curves->by_round + at.round[i] * run->clients,
                      run->clients, kinds, sorted);
        }
    }
    find_range(&self, run, &at, curves, band, mean);
    witan_text_format(out, "<figure class=\"panel\"><figcaption>%s</figcaption>\n",
                      curves->title);
    if (!(self.y1 >= self.y0)) {
        witan_text_format(out, "<p class=\"none\">No evaluation took place.</p>");
    } else {
        double step = witan_frame_round(&self);
        self.x0 = at.count == 1 ? (double)run->rounds[at.round[0]].round + 1.0 : 1.0;
        self.x1 = (double)run->rounds[at.round[at.count - 1]].round + 1.0;
        witan_frame_open(out, &self, curves->title);
        witan_frame_y_axis(out, &self, step, 100.0, false);
        witan_frame_x_axis(out, &self, "round");
        if (band != NULL) {
            draw_band(out, &self, run, kinds, &at, band);
        } else if (curves->by_round != NULL) {
            draw_clients(out, &self, run, kinds, &at, curves);
        }
        draw_reference(out, &self, curves->reference);
        draw_line(out, &self, run, &at, mean, "mean");
        witan_text_format(out, "</svg>\n");
    }
    witan_text_format(out, "</figure>\n");
done:
    witan_free(out->allocator, sorted);
    witan_free(out->allocator, band);
}

/* ---- gain over the local reference ----------------------------------------------- */

typedef struct bar {
    double gain;
    size_t client;
} bar;

/* Highest first; equal gains in client order, so that a page never changes by itself.
 */
static int
compare_bars(const void *a, const void *b)
{
    const bar *x = a, *y = b;
    if (x->gain != y->gain) {
        return x->gain > y->gain ? -1 : 1;
    }
    return x->client < y->client ? -1 : x->client > y->client;
}

static void
draw_bars(witan_text *out, const witan_frame *self, const bar *bars, size_t count,
          const witan_run_record *run, const witan_kinds *kinds)
{
    size_t drawn = count < WITAN_BARS_MAX ? count : WITAN_BARS_MAX;
    double pitch =
        (double)(WITAN_PICTURE_WIDTH - WITAN_FRAME_LEFT - WITAN_FRAME_RIGHT) /
        (double)drawn;
    double wide = pitch > 40.0 ? 32.0 : pitch * 0.8;
    double zero = witan_frame_y(self, 0.0);
    for (size_t i = 0; i < drawn; i++) {
        const bar *b = &bars[drawn == 1 ? 0 : i * (count - 1) / (drawn - 1)];
        double y = witan_frame_y(self, b->gain);
        double top = y < zero ? y : zero;
        double high = fabs(y - zero) < 0.8 ? 0.8 : fabs(y - zero);
        witan_text_format(
            out,
            "<rect class=\"bar k%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
            "height=\"%.1f\"><title>client %zu, ",
            (int)(kinds->of_client[b->client] % WITAN_HTML_COLOURS),
            WITAN_FRAME_LEFT + ((double)i + 0.5) * pitch - wide / 2.0, top, wide, high,
            b->client);
        witan_html_escape(out, witan_report_model_name(run, b->client));
        witan_text_format(out, ": ");
        witan_html_number(out, witan_shown_points(b->gain));
        witan_text_format(out, " points</title></rect>\n");
    }
}

void
witan_html_gain(witan_text *out, const witan_run_record *run, const witan_kinds *kinds,
                const char *title, double (*gain)(const witan_run_record *, size_t))
{
    witan_frame self = {.height = GAIN_HEIGHT};
    size_t count = 0;
    bar *bars = witan_alloc(out->allocator, run->clients, sizeof *bars);
    if (bars == NULL) {
        out->status = WITAN_E_MEMORY;
        return;
    }
    for (size_t n = 0; n < run->clients; n++) {
        double value = gain(run, n);
        if (isfinite(value)) {
            bars[count++] = (bar){value, n};
            witan_frame_widen(&self, value);
        }
    }
    witan_text_format(out, "<figure class=\"panel\"><figcaption>%s</figcaption>\n",
                      title);
    if (count == 0) {
        witan_text_format(out, "<p class=\"none\">Not known.</p>");
    } else {
        qsort(bars, count, sizeof *bars, compare_bars);
        double step = witan_frame_round(&self);
        witan_frame_open(out, &self, title);
        witan_frame_y_axis(out, &self, step, 100.0, true);
        draw_bars(out, &self, bars, count, run, kinds);
        witan_text_format(
            out, "<text class=\"tl\" x=\"%d\" y=\"%.0f\">%s</text>\n</svg>\n",
            (WITAN_FRAME_LEFT + WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT) / 2,
            self.height - 12.0,
            count > WITAN_BARS_MAX
                ? "clients from most to least gain, 200 of them evenly spaced"
                : "clients, from most to least gain");
    }
    witan_text_format(out, "</figure>\n");
    witan_free(out->allocator, bars);
}
