/* epd.c - estimates each client's label distribution from its soft labels.
 * Source: the name (EPD) is of Seyedmohammadi et al. 2024, arXiv 2403.11892; the
 * estimators are our reconstruction. shift solves the label-shift fixed point of
 * Saerens et al. 2002 for the prior of the posteriors instead of the prior of the rows.
 * See docs/fusion.md. */
#include <math.h>

#include "knowledge/statistics.h"

/* Values decoded at a time. */
#define BLOCK_VALUES ((size_t)1 << 14)

static size_t
block_rows(const witan_soft_labels *labels)
{
    size_t rows = BLOCK_VALUES / labels->classes;
    rows = rows == 0 ? 1 : rows;
    return rows < labels->rows ? rows : labels->rows;
}

/* q / sum(q); uniform when nothing is there to divide by. */
static void
normalise(double *q, size_t C)
{
    double sum = 0.0;
    for (size_t c = 0; c < C; c++) {
        sum += q[c];
    }
    for (size_t c = 0; c < C; c++) {
        q[c] = sum > 0.0 ? q[c] / sum : 1.0 / (double)C;
    }
}

static void
floor_and_normalise(double *q, size_t C)
{
    normalise(q, C);
    for (size_t c = 0; c < C; c++) {
        q[c] = q[c] > WITAN_EPD_FLOOR ? q[c] : WITAN_EPD_FLOOR;
    }
    normalise(q, C);
}

/* q += p, or q += one-hot(largest class of p), over `rows` rows. */
static void
add_rows(double *q, const float *p, size_t rows, size_t C, bool argmax)
{
    for (size_t n = 0; n < rows; n++, p += C) {
        if (argmax) {
            size_t best = 0;
            for (size_t c = 1; c < C; c++) {
                best = p[c] > p[best] ? c : best;
            }
            q[best] += 1.0;
            continue;
        }
        for (size_t c = 0; c < C; c++) {
            q[c] += (double)p[c];
        }
    }
}

/* q [C] = sum over the rows, not normalised. `block` holds block_rows() rows. */
static void
sum_rows(double *q, const witan_soft_labels *labels, bool argmax, float *block)
{
    size_t C = labels->classes, step = block_rows(labels);
    for (size_t c = 0; c < C; c++) {
        q[c] = 0.0;
    }
    for (size_t first = 0; first < labels->rows; first += step) {
        size_t left = labels->rows - first, count = left < step ? left : step;
        witan_soft_labels_probabilities(labels, first, count, block);
        add_rows(q, block, count, C, argmax);
    }
}

/* epd [N, C] of means, each divided by the sum over clients, class by class: what sets
 * the sum apart from the mean is a common factor. */
static void
divide_by_clients(double *epd, size_t clients, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0.0;
        for (size_t n = 0; n < clients; n++) {
            sum += epd[n * C + c];
        }
        for (size_t n = 0; n < clients; n++) {
            epd[n * C + c] = sum > 0.0 ? epd[n * C + c] / sum : 0.0;
        }
    }
}

/* Scratch of the shift estimator: the chosen rows class by class, so that the loops
 * over rows vectorise. */
typedef struct shift_scratch {
    size_t rows;    /* R */
    float *F;       /* [C, R] */
    float *row;     /* [C] */
    double *weight; /* [R] 1 / sum_k F[k]/r[k] */
    double *next;   /* [C] */
} shift_scratch;

static void
shift_scratch_fini(shift_scratch *self, const witan_allocator *allocator)
{
    witan_free(allocator, self->F);
    witan_free(allocator, self->row);
    witan_free(allocator, self->weight);
    witan_free(allocator, self->next);
}

static witan_status
shift_scratch_init(shift_scratch *self, size_t rows, size_t C,
                   const witan_allocator *allocator)
{
    size_t R = rows < WITAN_EPD_SHIFT_ROWS ? rows : WITAN_EPD_SHIFT_ROWS;
    *self = (shift_scratch){
        .rows = R,
        .F = witan_alloc(allocator, R * C, sizeof *self->F),
        .row = witan_alloc(allocator, C, sizeof *self->row),
        .weight = witan_alloc(allocator, R, sizeof *self->weight),
        .next = witan_alloc(allocator, C, sizeof *self->next),
    };
    if (self->F == NULL || self->row == NULL || self->weight == NULL ||
        self->next == NULL) {
        shift_scratch_fini(self, allocator);
        return WITAN_E_MEMORY;
    }
    return WITAN_OK;
}

/* sum_i a[i] * b[i] in eight lanes of one fixed order. */
static double
dot(const float *a, const double *b, size_t count)
{
    double lane[8] = {0.0};
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (size_t l = 0; l < 8; l++) {
            lane[l] += (double)a[i + l] * b[i + l];
        }
    }
    for (; i < count; i++) {
        lane[0] += (double)a[i] * b[i];
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* One update of the prior r [C]; returns the largest change of an entry. */
static double
shift_step(double *r, const shift_scratch *s, size_t C)
{
    size_t R = s->rows;
    for (size_t i = 0; i < R; i++) {
        s->weight[i] = 0.0;
    }
    for (size_t c = 0; c < C; c++) {
        double inverse = 1.0 / r[c];
        const float *F = s->F + c * R;
        for (size_t i = 0; i < R; i++) {
            s->weight[i] += (double)F[i] * inverse;
        }
    }
    for (size_t i = 0; i < R; i++) {
        s->weight[i] = s->weight[i] > 0.0 ? 1.0 / s->weight[i] : 0.0;
    }
    /* r * mean{(F/r) * weight} / t: r cancels; R and the uniform t are common factors
     * that the normalisation removes. */
    for (size_t c = 0; c < C; c++) {
        s->next[c] = dot(s->F + c * R, s->weight, R);
    }
    floor_and_normalise(s->next, C);
    double change = 0.0;
    for (size_t c = 0; c < C; c++) {
        change = fmax(change, fabs(s->next[c] - r[c]));
        r[c] = s->next[c];
    }
    return change;
}

static void
estimate_shift(double *r, const witan_soft_labels *labels, const shift_scratch *s)
{
    size_t C = labels->classes, R = s->rows;
    for (size_t i = 0; i < R; i++) {
        witan_soft_labels_probabilities(labels, i * labels->rows / R, 1, s->row);
        for (size_t c = 0; c < C; c++) {
            s->F[c * R + i] = s->row[c];
        }
    }
    for (size_t c = 0; c < C; c++) {
        r[c] = 1.0 / (double)C;
    }
    for (size_t i = 0; i < WITAN_EPD_SHIFT_ITERATIONS; i++) {
        if (shift_step(r, s, C) < WITAN_EPD_SHIFT_CHANGE) {
            return;
        }
    }
}

static witan_status
estimate_all_shift(double *epd, const witan_soft_labels *const *labels, size_t clients,
                   const witan_allocator *allocator)
{
    size_t C = labels[0]->classes;
    shift_scratch scratch;
    WITAN_TRY(shift_scratch_init(&scratch, labels[0]->rows, C, allocator));
    for (size_t n = 0; n < clients; n++) {
        estimate_shift(epd + n * C, labels[n], &scratch);
    }
    shift_scratch_fini(&scratch, allocator);
    return WITAN_OK;
}

witan_status
witan_epd_estimate(double *epd, const witan_soft_labels *const *labels, size_t clients,
                   witan_epd_estimator estimator, const witan_allocator *allocator)
{
    size_t C = labels[0]->classes;
    for (size_t n = 1; n < clients; n++) {
        if (labels[n]->rows != labels[0]->rows || labels[n]->classes != C) {
            return WITAN_E_INVALID;
        }
    }
    if (estimator == WITAN_EPD_SHIFT) {
        return estimate_all_shift(epd, labels, clients, allocator);
    }
    float *block = witan_alloc(allocator, block_rows(labels[0]) * C, sizeof *block);
    if (block == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t n = 0; n < clients; n++) {
        sum_rows(epd + n * C, labels[n], estimator == WITAN_EPD_ARGMAX, block);
    }
    if (estimator == WITAN_EPD_MEAN_NORMALISED) {
        divide_by_clients(epd, clients, C);
    }
    for (size_t n = 0; n < clients; n++) {
        floor_and_normalise(epd + n * C, C);
    }
    witan_free(allocator, block);
    return WITAN_OK;
}
