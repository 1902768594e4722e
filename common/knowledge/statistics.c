#include "knowledge/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/softmax.h"

static size_t
bins_of(const witan_score_sum *sum)
{
    return sum->bins == 0 ? WITAN_ECE_BINS : sum->bins;
}

void
witan_score_add_one(witan_score_sum *sum, double confidence, bool correct, double loss)
{
    size_t bins = bins_of(sum);
    WITAN_ASSERT(bins <= WITAN_ECE_BINS);
    /* Bin b is (b / bins, (b + 1) / bins]. */
    double upper = ceil(confidence * (double)bins);
    size_t bin = upper >= 1.0 ? (size_t)fmin(upper, (double)bins) - 1 : 0;
    sum->count++;
    sum->correct += correct;
    sum->loss += loss;
    sum->bin_count[bin]++;
    sum->bin_correct[bin] += correct;
    sum->bin_confidence[bin] += confidence;
}

void
witan_score_add(witan_score_sum *sum, const float *z, const uint32_t *labels, size_t N,
                size_t C)
{
    for (size_t n = 0; n < N; n++, z += C) {
        WITAN_ASSERT(labels[n] < C);
        size_t best = 0;
        for (size_t c = 1; c < C; c++) {
            best = z[c] > z[best] ? c : best;
        }
        double log_sum = witan_log_sum_exp(z, C);
        witan_score_add_one(sum, exp((double)z[best] - log_sum), best == labels[n],
                            log_sum - (double)z[labels[n]]);
    }
}

witan_score
witan_score_of(const witan_score_sum *sum)
{
    witan_score score = {.count = sum->count};
    if (sum->count == 0) {
        return score;
    }
    double count = (double)sum->count, gap = 0.0;
    for (size_t b = 0; b < bins_of(sum); b++) {
        gap += fabs((double)sum->bin_correct[b] - sum->bin_confidence[b]);
    }
    score.accuracy = (double)sum->correct / count;
    score.loss = sum->loss / count;
    score.ece = gap / count;
    return score;
}

/* Ascending, NaN first. */
static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) {
        return (isnan(y) != 0) - (isnan(x) != 0);
    }
    return (x > y) - (x < y);
}

witan_status
witan_summarise(witan_summary *out, const double *values, size_t count,
                const witan_allocator *allocator)
{
    *out = (witan_summary){0};
    WITAN_ASSERT(count >= 1);
    double *sorted = witan_alloc(allocator, count, sizeof *sorted);
    if (sorted == NULL) {
        return WITAN_E_MEMORY;
    }
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);

    double sum = 0.0, squares = 0.0, lowest = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    out->mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        squares += (values[i] - out->mean) * (values[i] - out->mean);
    }
    out->sd = sqrt(squares / (double)count);
    out->worst = sorted[0];
    size_t decile = count / 10 + (count % 10 != 0);
    for (size_t i = 0; i < decile; i++) {
        lowest += sorted[i];
    }
    out->bottom10 = lowest / (double)decile;
    witan_free(allocator, sorted);
    return WITAN_OK;
}
