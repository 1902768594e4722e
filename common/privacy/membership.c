#include "privacy/membership.h"

#include <math.h>
#include <string.h>

#include "num/softmax.h"
#include "privacy/array.h"
#include "privacy/special.h"

#define LN_SQRT_2PI 0.91893853320467274178
#define VARIANCE_MIN 1e-12

witan_status
witan_roc_init(witan_roc *self, const double *in, size_t n_in, const double *out,
               size_t n_out, const witan_allocator *allocator)
{
    *self = (witan_roc){0};
    if (n_in == 0 || n_out == 0) {
        return WITAN_E_INVALID;
    }
    if (!witan_array_finite(in, n_in) || !witan_array_finite(out, n_out)) {
        return WITAN_E_NUMERIC;
    }
    witan_status status = WITAN_E_MEMORY;
    size_t room = n_in + n_out + 1;
    double *members = witan_array_sorted(in, n_in, allocator);
    double *others = witan_array_sorted(out, n_out, allocator);
    self->threshold = witan_alloc(allocator, room, sizeof *self->threshold);
    self->tp = witan_alloc(allocator, room, sizeof *self->tp);
    self->fp = witan_alloc(allocator, room, sizeof *self->fp);
    if (members == NULL || others == NULL || self->threshold == NULL ||
        self->tp == NULL || self->fp == NULL) {
        goto out;
    }
    self->members = n_in;
    self->others = n_out;
    size_t i = n_in, o = n_out, count = 0;
    self->threshold[count] = HUGE_VAL;
    self->tp[count] = self->fp[count] = 0;
    count++;
    while (i > 0 || o > 0) {
        double top = i == 0   ? others[o - 1]
                     : o == 0 ? members[i - 1]
                              : fmax(members[i - 1], others[o - 1]);
        while (i > 0 && members[i - 1] == top) {
            i--;
        }
        while (o > 0 && others[o - 1] == top) {
            o--;
        }
        self->threshold[count] = top;
        self->tp[count] = n_in - i;
        self->fp[count] = n_out - o;
        count++;
    }
    self->count = count;
    status = WITAN_OK;
out:
    witan_free(allocator, members);
    witan_free(allocator, others);
    if (status != WITAN_OK) {
        witan_roc_fini(self, allocator);
    }
    return status;
}

void
witan_roc_fini(witan_roc *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->threshold);
    witan_free(allocator, self->tp);
    witan_free(allocator, self->fp);
    *self = (witan_roc){0};
}

void
witan_roc_hull(witan_roc *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        /* Drop corners on or below the line from their predecessor to this point. */
        while (kept >= 2) {
            size_t a = kept - 2, b = kept - 1;
            double ab_fp = (double)(self->fp[b] - self->fp[a]);
            double ab_tp = (double)(self->tp[b] - self->tp[a]);
            double bc_fp = (double)(self->fp[i] - self->fp[b]);
            double bc_tp = (double)(self->tp[i] - self->tp[b]);
            if (ab_tp * bc_fp > bc_tp * ab_fp) {
                break;
            }
            kept--;
        }
        self->threshold[kept] = self->threshold[i];
        self->tp[kept] = self->tp[i];
        self->fp[kept] = self->fp[i];
        kept++;
    }
    self->count = kept;
    self->hull = true;
}

double
witan_roc_area(const witan_roc *self)
{
    double area = 0.0;
    for (size_t i = 1; i < self->count; i++) {
        area += (double)(self->fp[i] - self->fp[i - 1]) *
                ((double)self->tp[i] + (double)self->tp[i - 1]);
    }
    return 0.5 * area / ((double)self->members * (double)self->others);
}

double
witan_roc_tpr(const witan_roc *self, double fpr)
{
    if (!(fpr >= 0.0 && fpr <= 1.0)) {
        return (double)NAN;
    }
    /* The last point at or left of fpr; 1e-9 of a case against rounding of fpr. */
    double cases = fpr * (double)self->others;
    size_t at = 0;
    for (size_t i = 0; i < self->count && (double)self->fp[i] <= cases + 1e-9; i++) {
        at = i;
    }
    double tp = (double)self->tp[at];
    if (self->hull && at + 1 < self->count) {
        double share =
            (cases - (double)self->fp[at]) / (double)(self->fp[at + 1] - self->fp[at]);
        tp += fmax(0.0, share) * (double)(self->tp[at + 1] - self->tp[at]);
    }
    return tp / (double)self->members;
}

double
witan_roc_balanced_accuracy(const witan_roc *self)
{
    double best = 0.5;
    for (size_t i = 0; i < self->count; i++) {
        double tpr = (double)self->tp[i] / (double)self->members;
        double fpr = (double)self->fp[i] / (double)self->others;
        best = fmax(best, 0.5 * (tpr + 1.0 - fpr));
    }
    return best;
}

witan_status
witan_loss_score(double *score, const double *loss, size_t count)
{
    if (!witan_array_finite(loss, count)) {
        return WITAN_E_NUMERIC;
    }
    for (size_t i = 0; i < count; i++) {
        score[i] = -loss[i];
    }
    return WITAN_OK;
}

witan_status
witan_logit_confidence(double *phi, const float *z, const uint32_t *labels, size_t N,
                       size_t C)
{
    if (C < 2) {
        return WITAN_E_INVALID;
    }
    for (size_t n = 0; n < N; n++, z += C) {
        size_t y = labels[n];
        if (y >= C) {
            return WITAN_E_INVALID;
        }
        double others = -HUGE_VAL;
        if (y > 0) {
            others = witan_log_sum_exp(z, y);
        }
        if (y + 1 < C) {
            others = witan_log_add(others, witan_log_sum_exp(z + y + 1, C - y - 1));
        }
        phi[n] = (double)z[y] - others;
        if (!isfinite(phi[n])) {
            return WITAN_E_NUMERIC;
        }
    }
    return WITAN_OK;
}

witan_status
witan_probability_confidence(double *phi, const float *p, const uint32_t *labels,
                             size_t N, size_t C, double floor)
{
    if (C < 2 || !(floor > 0.0 && floor < 1.0)) {
        return WITAN_E_INVALID;
    }
    for (size_t n = 0; n < N; n++, p += C) {
        size_t y = labels[n];
        if (y >= C) {
            return WITAN_E_INVALID;
        }
        double others = 0.0;
        for (size_t c = 0; c < C; c++) {
            if (!(p[c] >= 0.0F) || !isfinite(p[c])) {
                return WITAN_E_NUMERIC;
            }
            others += c == y ? 0.0 : (double)p[c];
        }
        phi[n] = log(fmax(floor, (double)p[y])) - log(fmax(floor, others));
    }
    return WITAN_OK;
}

/* Of one example and one side: its mean over shadows, their number, and the sum of
 * squared deviations. */
typedef struct spread {
    double mean, squares;
    size_t count;
} spread;

static spread
spread_of(const double *shadow, const uint8_t *member, size_t S, size_t E, size_t e,
          bool in)
{
    spread s = {0};
    for (size_t i = 0; i < S; i++) {
        if ((member[i * E + e] != 0) == in) {
            s.mean += shadow[i * E + e];
            s.count++;
        }
    }
    s.mean /= s.count == 0 ? 1.0 : (double)s.count;
    for (size_t i = 0; i < S; i++) {
        if ((member[i * E + e] != 0) == in) {
            double d = shadow[i * E + e] - s.mean;
            s.squares += d * d;
        }
    }
    return s;
}

static double
log_density(double x, double mean, double variance)
{
    double d = x - mean;
    return -0.5 * d * d / variance - 0.5 * log(variance) - LN_SQRT_2PI;
}

witan_status
witan_lira_score(double *score, const double *phi, const double *shadow,
                 const uint8_t *member, size_t S, size_t E, witan_lira_mode mode,
                 bool pooled, const witan_allocator *allocator)
{
    size_t sides = mode == WITAN_LIRA_ONLINE ? 2 : 1; /* 0: out, 1: in */
    if (E == 0 || S == 0 || !witan_array_finite(phi, E) ||
        !witan_array_finite(shadow, S * E)) {
        return E == 0 || S == 0 ? WITAN_E_DATA : WITAN_E_NUMERIC;
    }
    spread *spreads = witan_alloc(allocator, 2 * E, sizeof *spreads);
    if (spreads == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_status status = WITAN_OK;
    double squares[2] = {0}, freedom[2] = {0};
    for (size_t e = 0; e < E && status == WITAN_OK; e++) {
        for (size_t side = 0; side < sides; side++) {
            spread s = spread_of(shadow, member, S, E, e, side == 1);
            if (s.count < (pooled ? 1U : 2U)) {
                status = WITAN_E_DATA;
                break;
            }
            squares[side] += s.squares;
            freedom[side] += (double)(s.count - 1);
            spreads[2 * e + side] = s;
        }
    }
    for (size_t side = 0; side < sides && status == WITAN_OK; side++) {
        status = freedom[side] > 0.0 ? WITAN_OK : WITAN_E_DATA;
    }
    for (size_t e = 0; e < E && status == WITAN_OK; e++) {
        double variance[2] = {1.0, 1.0};
        for (size_t side = 0; side < sides; side++) {
            const spread *s = &spreads[2 * e + side];
            double own = s->squares / (double)(s->count > 1 ? s->count - 1 : 1);
            variance[side] =
                fmax(VARIANCE_MIN, pooled ? squares[side] / freedom[side] : own);
        }
        const spread *outside = &spreads[2 * e], *inside = &spreads[2 * e + 1];
        score[e] =
            mode == WITAN_LIRA_ONLINE
                ? log_density(phi[e], inside->mean, variance[1]) -
                      log_density(phi[e], outside->mean, variance[0])
                : witan_log_normal_cdf((phi[e] - outside->mean) / sqrt(variance[0]));
    }
    witan_free(allocator, spreads);
    return status;
}

/* ratio [count] = target / ((in + out) / 2). */
static witan_status
rmia_ratios(double *ratio, const witan_rmia_rows *rows, double a)
{
    for (size_t i = 0; i < rows->count; i++) {
        double target = rows->target[i], out = rows->out[i];
        double in = rows->in != NULL ? rows->in[i] : a * out + (1.0 - a);
        if (!(target > 0.0 && target <= 1.0 && out > 0.0 && out <= 1.0 && in > 0.0 &&
              in <= 1.0)) {
            return WITAN_E_NUMERIC;
        }
        ratio[i] = target / (0.5 * (in + out));
    }
    return WITAN_OK;
}

witan_status
witan_rmia_score(double *score, const witan_rmia_rows *rows,
                 const witan_rmia_rows *population, double a, double gamma,
                 const witan_allocator *allocator)
{
    if (population->count == 0 || !(a >= 0.0 && a <= 1.0) || !(gamma > 0.0) ||
        !isfinite(gamma)) {
        return WITAN_E_INVALID;
    }
    double *ratios = witan_alloc(allocator, population->count, sizeof *ratios);
    if (ratios == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_status status = rmia_ratios(ratios, population, a);
    if (status == WITAN_OK) {
        status = rmia_ratios(score, rows, a);
    }
    if (status == WITAN_OK) {
        witan_array_sort(ratios, population->count);
        for (size_t i = 0; i < rows->count; i++) {
            size_t beaten =
                witan_array_at_most(ratios, population->count, score[i] / gamma);
            score[i] = (double)beaten / (double)population->count;
        }
    }
    witan_free(allocator, ratios);
    return status;
}
