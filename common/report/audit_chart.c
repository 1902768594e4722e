#include "report/audit_chart.h"

#include <math.h>
#include <string.h>

enum {
    HEIGHT = 290,
    ROC_HEIGHT = 400, /* nearly square */
    POINTS_MAX = 200, /* of a line */
    ROC_LINES_MAX = 40,
    ROC_POINTS_MAX = 100,
    ROC_DECADES_MAX = 5,
    RUNS_DRAWN = 400
};

/* ---- marks ----------------------------------------------------------------------- */

static void
draw_mark(witan_text *out, size_t index, double x, double y, double r)
{
    unsigned colour = (unsigned)(index % WITAN_HTML_COLOURS);
    switch (index % WITAN_MARK_SHAPES) {
    case 0:
        witan_text_format(
            out, "<circle class=\"k%u mark\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>",
            colour, x, y, r);
        break;
    case 1:
        witan_text_format(out,
                          "<rect class=\"k%u mark\" x=\"%.1f\" y=\"%.1f\" "
                          "width=\"%.1f\" height=\"%.1f\"/>",
                          colour, x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
        break;
    case 2:
        witan_text_format(
            out,
            "<polygon class=\"k%u mark\" points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>",
            colour, x, y - 1.15 * r, x + 1.1 * r, y + 0.9 * r, x - 1.1 * r,
            y + 0.9 * r);
        break;
    default:
        witan_text_format(out,
                          "<polygon class=\"k%u mark\" points=\"%.1f,%.1f %.1f,%.1f "
                          "%.1f,%.1f %.1f,%.1f\"/>",
                          colour, x, y - 1.25 * r, x + 1.25 * r, y, x, y + 1.25 * r,
                          x - 1.25 * r, y);
    }
}

void
witan_evidence_key_mark(witan_text *out, size_t index)
{
    witan_text_format(out, "<svg viewBox=\"0 0 18 12\" aria-hidden=\"true\">");
    draw_mark(out, index, 9.0, 6.0, 4.5);
    witan_text_format(out, "</svg>");
}

void
witan_evidence_key_line(witan_text *out, size_t index)
{
    witan_text_format(out,
                      "<svg viewBox=\"0 0 18 12\" aria-hidden=\"true\"><line "
                      "class=\"k%u d%u kind\" x1=\"0\" x2=\"18\" y1=\"6\" y2=\"6\"/>"
                      "</svg>",
                      (unsigned)(index % WITAN_HTML_COLOURS),
                      (unsigned)(index % WITAN_MARK_SHAPES));
}

static void
draw_whisker(witan_text *out, const witan_frame *self, size_t index, double x,
             double low, double high)
{
    if (isfinite(low) && isfinite(high)) {
        witan_text_format(
            out,
            "<line class=\"k%u whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
            "y2=\"%.1f\"/>",
            (unsigned)(index % WITAN_HTML_COLOURS), x, x, witan_frame_y(self, high),
            witan_frame_y(self, low));
    }
}

static void
open_figure(witan_text *out, const char *title)
{
    witan_text_format(out, "<figure class=\"panel\"><figcaption>%s</figcaption>\n",
                      title);
}

static void
close_figure(witan_text *out, bool drawn)
{
    witan_text_format(out, drawn ? "</svg></figure>\n"
                                 : "<p class=\"none\">Not known.</p></figure>\n");
}

/* A dashed line across at a value, and what it is. */
static void
draw_level(witan_text *out, const witan_frame *self, double value, const char *what)
{
    double y = witan_frame_y(self, value);
    if (value >= self->y0 && value <= self->y1) {
        witan_text_format(out,
                          "<line class=\"reference\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" "
                          "y2=\"%.1f\"><title>%s: %s bits</title></line>\n",
                          (int)WITAN_FRAME_LEFT,
                          (int)WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT, y, y, what,
                          witan_shown_bits(value).text);
    }
}

static void
draw_band(witan_text *out, const witan_frame *self, double from, double to, size_t n)
{
    double low, high;
    witan_evidence_null_band(&low, &high, n);
    if (n > 0) {
        double top = witan_frame_y(self, high);
        witan_text_format(out,
                          "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"%.1f\"><title>mean of %zu canaries that no model "
                          "saw: %.2f to %.2f bits in 90 of 100 audits</title></rect>\n",
                          from, top, to - from, witan_frame_y(self, low) - top, n, low,
                          high);
    }
}

/* From 0 to the largest possible exposure, and wherever else values are. */
static void
widen_bits(witan_frame *self, const witan_audit_record *record)
{
    witan_frame_widen(self, 0.0);
    witan_frame_widen(self, WITAN_EVIDENCE_NULL_MEAN);
    witan_frame_widen(self, record->space_bits);
}

static void
widen_level(witan_frame *self, const witan_audit_record *record, size_t round,
            uint32_t repetitions)
{
    double low, high;
    witan_evidence_null_band(&low, &high,
                             witan_evidence_canaries(record, round, repetitions));
    witan_frame_widen(self, low);
    witan_frame_widen(self, high);
}

/* ---- by repetitions -------------------------------------------------------------- */

static void
draw_places(witan_text *out, const witan_frame *self, const witan_audit_record *record,
            size_t round, uint32_t repetitions, double x, double pitch)
{
    for (int place = 0; place < WITAN_AUDIT_PLACES; place++) {
        const witan_audit_exposure *at =
            witan_evidence_find(record, round, (witan_audit_place)place, repetitions);
        double shift = pitch * ((double)place - 0.5 * (WITAN_AUDIT_PLACES - 1));
        if (at == NULL || !isfinite(at->mean)) {
            continue;
        }
        witan_text_format(
            out, "<g><title>%s, repeated %u times: %s bits (%s to %s)</title>",
            witan_evidence_place_name(at->place), (unsigned)repetitions,
            witan_shown_bits(at->mean).text, witan_shown_bits(at->low).text,
            witan_shown_bits(at->high).text);
        draw_whisker(out, self, (size_t)place, x + shift, at->low, at->high);
        draw_mark(out, (size_t)place, x + shift, witan_frame_y(self, at->mean), 4.0);
        witan_text_format(out, "</g>\n");
    }
}

void
witan_evidence_draw_levels(witan_text *out, const witan_audit_record *record)
{
    static const char title[] = "Exposure in bits, by how often a canary was planted";
    size_t round = witan_evidence_last_round(record);
    size_t first =
        record->levels > WITAN_LEVELS_DRAWN ? record->levels - WITAN_LEVELS_DRAWN : 0;
    size_t drawn = record->levels - first;
    witan_frame self = {.height = HEIGHT, .x1 = (double)drawn};
    bool some = round != SIZE_MAX && drawn > 0;
    open_figure(out, title);
    if (some) {
        widen_bits(&self, record);
        for (size_t i = 0; i < record->exposures; i++) {
            const witan_audit_exposure *at = &record->exposure[i];
            if (at->round == round) {
                witan_frame_widen(&self, at->mean);
                witan_frame_widen(&self, at->low);
                witan_frame_widen(&self, at->high);
            }
        }
        for (size_t i = first; i < record->levels; i++) {
            widen_level(&self, record, round, record->repetitions[i]);
        }
        double step = witan_frame_round(&self);
        double wide = witan_frame_x(&self, 1.0) - witan_frame_x(&self, 0.0);
        double pitch = wide / 6.0 > 16.0 ? 16.0 : wide / 6.0;
        witan_frame_open(out, &self, title);
        witan_frame_y_axis(out, &self, step, 1.0, false);
        draw_level(out, &self, WITAN_EVIDENCE_NULL_MEAN, "null");
        draw_level(out, &self, record->space_bits, "largest possible");
        for (size_t i = first; i < record->levels; i++) {
            uint32_t repetitions = record->repetitions[i];
            double from = witan_frame_x(&self, (double)(i - first));
            draw_band(out, &self, from, from + wide,
                      witan_evidence_canaries(record, round, repetitions));
            draw_places(out, &self, record, round, repetitions, from + 0.5 * wide,
                        pitch);
            witan_text_format(
                out, "<text class=\"tx\" x=\"%.1f\" y=\"%.1f\">%u</text>\n",
                from + 0.5 * wide, self.height - WITAN_FRAME_BOTTOM + 15.0,
                (unsigned)repetitions);
        }
        witan_frame_x_label(out, &self, "times planted; 0: controls");
    }
    close_figure(out, some);
}

/* ---- by round -------------------------------------------------------------------- */

/* The rows of one place and level, at most POINTS_MAX of them, the last always. */
static void
draw_rounds_of(witan_text *out, const witan_frame *self,
               const witan_audit_record *record, witan_audit_place place,
               uint32_t repetitions)
{
    size_t count = 0, seen = 0;
    double x = 0.0, y = 0.0;
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *at = &record->exposure[i];
        count +=
            at->place == place && at->repetitions == repetitions && isfinite(at->mean)
                ? 1
                : 0;
    }
    if (count == 0) {
        return;
    }
    size_t stride = (count + POINTS_MAX - 1) / POINTS_MAX;
    witan_text_format(
        out, "<g><title>%s</title><polyline class=\"k%u d%u kind\" points=\"",
        witan_evidence_place_name(place), (unsigned)place, (unsigned)place);
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *at = &record->exposure[i];
        if (at->place != place || at->repetitions != repetitions ||
            !isfinite(at->mean)) {
            continue;
        }
        seen++;
        if (seen == count || (seen - 1) % stride == 0) {
            x = witan_frame_x(self, (double)at->round + 1.0);
            y = witan_frame_y(self, at->mean);
            witan_text_format(out, "%s%.1f,%.1f", seen == 1 ? "" : " ", x, y);
        }
    }
    witan_text_format(out, "\"/>");
    draw_mark(out, (size_t)place, x, y, 4.0);
    witan_text_format(out, "</g>\n");
}

void
witan_evidence_draw_rounds(witan_text *out, const witan_audit_record *record)
{
    static const char title[] = "Exposure of the most repeated canaries, by round";
    size_t last = witan_evidence_last_round(record), first = SIZE_MAX;
    uint32_t most = record->levels == 0 ? 0 : record->repetitions[record->levels - 1];
    witan_frame self = {.height = HEIGHT};
    for (size_t i = 0; i < record->exposures; i++) {
        const witan_audit_exposure *at = &record->exposure[i];
        if (at->repetitions == most && isfinite(at->mean)) {
            first = at->round < first ? at->round : first;
            witan_frame_widen(&self, at->mean);
        }
    }
    bool some = record->levels > 0 && first != SIZE_MAX;
    open_figure(out, title);
    if (some) {
        widen_bits(&self, record);
        widen_level(&self, record, last, most);
        double step = witan_frame_round(&self);
        self.x0 = (double)first + 1.0;
        self.x1 = (double)last + 1.0;
        witan_frame_open(out, &self, title);
        witan_frame_y_axis(out, &self, step, 1.0, false);
        draw_level(out, &self, WITAN_EVIDENCE_NULL_MEAN, "null");
        draw_level(out, &self, record->space_bits, "largest possible");
        draw_band(out, &self, WITAN_FRAME_LEFT, WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT,
                  witan_evidence_canaries(record, last, most));
        witan_frame_x_axis(out, &self, "round");
        for (int place = 0; place < WITAN_AUDIT_PLACES; place++) {
            draw_rounds_of(out, &self, record, (witan_audit_place)place, most);
        }
    }
    close_figure(out, some);
}

/* ---- ROC ------------------------------------------------------------------------- */

/* log10, not below the axis. */
static double
decade(double share, double lowest)
{
    return share > 0.0 && log10(share) > lowest ? log10(share) : lowest;
}

static void
draw_decades(witan_text *out, const witan_frame *self)
{
    static const char *const names[ROC_DECADES_MAX + 1] = {
        "1", "0.1", "0.01", "10\u207b\u00b3", "10\u207b\u2074", "10\u207b\u2075"};
    int lowest = (int)lround(-self->x0);
    for (int d = 0; d <= lowest; d++) {
        double x = witan_frame_x(self, -d), y = witan_frame_y(self, -d);
        witan_text_format(
            out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>"
            "<text class=\"ty\" x=\"%d\" y=\"%.1f\">%s</text>"
            "<text class=\"tx\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
            (int)WITAN_FRAME_LEFT, (int)WITAN_PICTURE_WIDTH - WITAN_FRAME_RIGHT, y, y,
            x, x, (int)WITAN_FRAME_TOP, self->height - WITAN_FRAME_BOTTOM,
            (int)WITAN_FRAME_LEFT - 6, y + (d == lowest ? -3.0 : 4.0), names[d], x,
            self->height - WITAN_FRAME_BOTTOM + 15.0, names[d]);
    }
    witan_frame_x_label(out, self, "others flagged (false positive rate)");
}

static void
draw_curve(witan_text *out, const witan_frame *self, const witan_audit_membership *row,
           const witan_evidence_attack *attack, size_t group)
{
    size_t stride = (row->points + ROC_POINTS_MAX - 1) / ROC_POINTS_MAX, drawn = 0;
    witan_text_format(out, "<g><title>client %zu, ", row->client);
    witan_html_escape(out, attack->attack);
    witan_text_format(out, ", ");
    witan_html_escape(out, attack->place);
    witan_text_format(out, ": AUC %s</title><polyline class=\"k%u d%u kind\" points=\"",
                      witan_shown_real(row->auc, 3).text,
                      (unsigned)(group % WITAN_HTML_COLOURS),
                      (unsigned)(group % WITAN_MARK_SHAPES));
    for (size_t i = 0; i < row->points; i++) {
        double x = row->fpr[i], y = row->tpr[i];
        if ((i % stride == 0 || i + 1 == row->points) && x >= 0.0 && x <= 1.0 &&
            y >= 0.0 && y <= 1.0) {
            witan_text_format(out, "%s%.1f,%.1f", drawn++ == 0 ? "" : " ",
                              witan_frame_x(self, decade(x, self->x0)),
                              witan_frame_y(self, decade(y, self->y0)));
        }
    }
    witan_text_format(out, "\"/></g>\n");
}

void
witan_evidence_draw_roc(witan_text *out, const witan_audit_record *record,
                        const witan_evidence_attack *attacks, size_t count)
{
    static const char title[] = "Members flagged (true positive rate), both axes "
                                "logarithmic";
    size_t curves = 0, others = 10;
    for (size_t i = 0; i < record->memberships; i++) {
        const witan_audit_membership *row = &record->membership[i];
        curves += row->points > 0 && row->fpr != NULL && row->tpr != NULL ? 1 : 0;
        others = row->others > others ? row->others : others;
    }
    double lowest = -ceil(log10((double)others) - 1e-9);
    lowest = lowest < -ROC_DECADES_MAX ? -ROC_DECADES_MAX : lowest;
    witan_frame self = {.x0 = lowest, .y0 = lowest, .height = ROC_HEIGHT};
    size_t stride = (curves + ROC_LINES_MAX - 1) / ROC_LINES_MAX, seen = 0;
    open_figure(out, title);
    if (curves > 0) {
        witan_frame_open(out, &self, title);
        draw_decades(out, &self);
        witan_text_format(out,
                          "<line class=\"reference\" x1=\"%.1f\" x2=\"%.1f\" "
                          "y1=\"%.1f\" y2=\"%.1f\"><title>guessing</title></line>\n",
                          witan_frame_x(&self, lowest), witan_frame_x(&self, 0.0),
                          witan_frame_y(&self, lowest), witan_frame_y(&self, 0.0));
        for (size_t i = 0; i < record->memberships; i++) {
            const witan_audit_membership *row = &record->membership[i];
            size_t group = witan_evidence_attack_of(attacks, count, row);
            if (row->points > 0 && row->fpr != NULL && row->tpr != NULL &&
                seen++ % stride == 0 && group < count) {
                draw_curve(out, &self, row, &attacks[group], group);
            }
        }
    }
    close_figure(out, curves > 0);
}

/* ---- modes ----------------------------------------------------------------------- */

static bool
same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static void
draw_run(witan_text *out, const witan_frame *self, const witan_audit_record *record,
         const witan_audit_run *run)
{
    size_t m = 0;
    while (m < record->modes &&
           !(same_text(record->modes_of[m].mode, run->mode) &&
             same_text(record->modes_of[m].transfer, run->transfer))) {
        m++;
    }
    if (isfinite(run->exposure) && isfinite(run->utility)) {
        witan_text_format(out, "<g><title>");
        witan_html_escape(out, run->mode);
        witan_text_format(out, ", seed %llu: %s bits, %s</title>",
                          (unsigned long long)run->seed,
                          witan_shown_bits(run->exposure).text,
                          witan_evidence_utility(record, run->utility).text);
        draw_mark(out, m, witan_frame_x(self, run->exposure),
                  witan_frame_y(self, run->utility), 2.5);
        witan_text_format(out, "</g>\n");
    }
}

static void
draw_mode(witan_text *out, const witan_frame *self, const witan_audit_record *record,
          size_t m)
{
    const witan_audit_mode *mode = &record->modes_of[m];
    double y = witan_frame_y(self, mode->utility);
    if (!isfinite(mode->exposure) || !isfinite(mode->utility)) {
        return;
    }
    witan_text_format(out, "<g><title>");
    witan_html_escape(out, mode->mode);
    witan_text_format(out, ", mean of %zu: %s bits, %s</title>", mode->seeds,
                      witan_shown_bits(mode->exposure).text,
                      witan_evidence_utility(record, mode->utility).text);
    if (isfinite(mode->exposure_low) && isfinite(mode->exposure_high)) {
        witan_text_format(out,
                          "<line class=\"k%u whisker\" x1=\"%.1f\" x2=\"%.1f\" "
                          "y1=\"%.1f\" y2=\"%.1f\"/>",
                          (unsigned)(m % WITAN_HTML_COLOURS),
                          witan_frame_x(self, mode->exposure_low),
                          witan_frame_x(self, mode->exposure_high), y, y);
    }
    draw_mark(out, m, witan_frame_x(self, mode->exposure), y, 5.5);
    witan_text_format(out, "</g>\n");
}

static void
widen_across(witan_frame *self, double value)
{
    if (isfinite(value)) {
        self->x0 = value < self->x0 ? floor(value) : self->x0;
        self->x1 = value > self->x1 ? ceil(value) : self->x1;
    }
}

void
witan_evidence_draw_modes(witan_text *out, const witan_audit_record *record)
{
    const char *title = record->text ? "Perplexity of students, against their exposure"
                                     : "Accuracy of students in %, against their "
                                       "exposure";
    witan_frame self = {
        .x1 = 2.0, .y0 = (double)INFINITY, .y1 = -(double)INFINITY, .height = HEIGHT};
    for (size_t i = 0; i < record->runs; i++) {
        widen_across(&self, record->run[i].exposure);
        witan_frame_widen(&self, record->run[i].utility);
    }
    for (size_t m = 0; m < record->modes; m++) {
        widen_across(&self, record->modes_of[m].exposure);
        widen_across(&self, record->modes_of[m].exposure_low);
        widen_across(&self, record->modes_of[m].exposure_high);
        witan_frame_widen(&self, record->modes_of[m].utility);
    }
    bool some = self.y1 >= self.y0;
    open_figure(out, title);
    if (some) {
        double step = witan_frame_round(&self);
        double null = witan_frame_x(&self, WITAN_EVIDENCE_NULL_MEAN);
        size_t stride = (record->runs + RUNS_DRAWN - 1) / RUNS_DRAWN;
        witan_frame_open(out, &self, title);
        witan_frame_y_axis(out, &self, step, record->text ? 1.0 : 100.0, false);
        witan_frame_x_axis(out, &self, "exposure, bits");
        witan_text_format(out,
                          "<line class=\"reference\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" "
                          "y2=\"%.1f\"><title>null: 1.44 bits</title></line>\n",
                          null, null, (int)WITAN_FRAME_TOP,
                          self.height - WITAN_FRAME_BOTTOM);
        for (size_t i = 0; i < record->runs; i += stride) {
            draw_run(out, &self, record, &record->run[i]);
        }
        for (size_t m = 0; m < record->modes; m++) {
            draw_mode(out, &self, record, m);
        }
    }
    close_figure(out, some);
}
