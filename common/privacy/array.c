#include "privacy/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool
witan_array_finite(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void
witan_array_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
}

double *
witan_array_sorted(const double *values, size_t count, const witan_allocator *allocator)
{
    double *sorted = witan_alloc(allocator, count, sizeof *sorted);
    if (sorted != NULL) {
        memcpy(sorted, values, count * sizeof *sorted);
        witan_array_sort(sorted, count);
    }
    return sorted;
}

size_t
witan_array_below(const double *sorted, size_t count, double x)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] < x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t
witan_array_at_most(const double *sorted, size_t count, double x)
{
    return witan_array_below(sorted, count, nextafter(x, HUGE_VAL));
}

double
witan_array_quantile(const double *sorted, size_t count, double share)
{
    double place = share * (double)(count - 1);
    size_t low = (size_t)place, high = low + 1 < count ? low + 1 : low;
    return sorted[low] + (place - (double)low) * (sorted[high] - sorted[low]);
}

double
witan_array_mean(const double *values, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum / (double)count;
}
