#include <math.h>

#include "privacy/array.h"
#include "privacy/search.h"

/* Sums of logarithms that differ by rounding alone count as equal. */
#define ROUNDING 1e-12

void
witan_search_rank(double *rank, uint64_t *equal, double value, const double *all,
                  uint64_t n)
{
    uint64_t below = 0, same = 0;
    for (uint64_t i = 0; i < n; i++) {
        below += all[i] < value;
        same += all[i] == value;
    }
    same += same == 0;
    *rank = (double)(below + same);
    *equal = same - 1;
}

/* Holes of a template and what a fill says of each. */
typedef struct product {
    const witan_canary_slot **holes; /* [count] borrowed */
    size_t count, vocabulary;
    const float *p; /* [count, vocabulary] */
} product;

static double
cost(const product *self, size_t hole, uint32_t symbol)
{
    uint32_t token = self->holes[hole]->symbols[symbol];
    return -log(
        fmax((double)self->p[hole * self->vocabulary + token], WITAN_PRODUCT_FLOOR));
}

static witan_status
product_check(const product *self)
{
    for (size_t h = 0; h < self->count; h++) {
        const witan_canary_slot *hole = self->holes[h];
        if (hole->symbols[hole->alphabet - 1] >= self->vocabulary) {
            return WITAN_E_INVALID;
        }
        for (uint32_t i = 0; i < hole->alphabet; i++) {
            float p = self->p[h * self->vocabulary + hole->symbols[i]];
            if (!(p >= 0.0F) || !isfinite(p)) {
                return WITAN_E_NUMERIC;
            }
        }
    }
    return WITAN_OK;
}

/* Surprise of a fill's holes [from, to), added in this order everywhere. */
static double
cost_of(const product *self, const uint32_t *fill, size_t from, size_t to)
{
    double sum = 0.0;
    for (size_t h = from; h < to; h++) {
        sum += cost(self, h, fill[h]);
    }
    return sum;
}

static double
space_of(const product *self, size_t from, size_t to)
{
    double space = 1.0;
    for (size_t h = from; h < to; h++) {
        space *= self->holes[h]->alphabet;
    }
    return space;
}

/* Ascending surprises of all fills of holes [from, to), owned by the caller. */
static double *
costs_sorted(const product *self, size_t from, size_t to,
             const witan_allocator *allocator)
{
    size_t count = 1;
    double *sums =
        witan_alloc(allocator, (size_t)space_of(self, from, to), sizeof *sums);
    if (sums == NULL) {
        return NULL;
    }
    sums[0] = 0.0;
    for (size_t h = from; h < to; h++) {
        uint32_t alphabet = self->holes[h]->alphabet;
        for (uint32_t s = alphabet; s-- > 0;) { /* block 0, which is read, last */
            double more = cost(self, h, s);
            for (size_t i = 0; i < count; i++) {
                sums[s * count + i] = sums[i] + more;
            }
        }
        count *= alphabet;
    }
    witan_array_sort(sums, count);
    return sums;
}

/* Pairs of fills of both halves whose sum is at most `limit`. */
static witan_status
rank_exact(double *rank, const product *self, size_t middle, double limit,
           const witan_allocator *allocator)
{
    witan_status status = WITAN_E_MEMORY;
    double *left = costs_sorted(self, 0, middle, allocator);
    double *right = costs_sorted(self, middle, self->count, allocator);
    if (left != NULL && right != NULL) {
        size_t n = (size_t)space_of(self, 0, middle);
        size_t m = (size_t)space_of(self, middle, self->count);
        *rank = 0.0;
        for (size_t i = 0; i < n && m > 0; i++) {
            while (m > 0 && left[i] + right[m - 1] > limit) {
                m--;
            }
            *rank += (double)m;
        }
        status = WITAN_OK;
    }
    witan_free(allocator, left);
    witan_free(allocator, right);
    return status;
}

static witan_status
rank_sampled(double *rank, const product *self, double limit, size_t draws,
             witan_random *random)
{
    size_t below = 0;
    double space = space_of(self, 0, self->count);
    if (draws == 0 || random == NULL) {
        return WITAN_E_INVALID;
    }
    for (size_t i = 0; i < draws; i++) {
        double sum = 0.0;
        for (size_t h = 0; h < self->count; h++) {
            sum += cost(self, h, witan_random_below(random, self->holes[h]->alphabet));
        }
        below += sum <= limit;
    }
    *rank = fmin(space, space * ((double)below + 1.0) / (double)draws);
    return WITAN_OK;
}

/* Where the holes are cut into halves whose larger one is least. */
static size_t
middle_of(const product *self)
{
    size_t best = 0;
    double least = space_of(self, 0, self->count);
    for (size_t at = 1; at < self->count; at++) {
        double larger = fmax(space_of(self, 0, at), space_of(self, at, self->count));
        if (larger < least) {
            least = larger;
            best = at;
        }
    }
    return best;
}

witan_status
witan_search_product_rank(double *rank, const uint32_t *fill, const float *p,
                          size_t vocabulary, const witan_canary_template *form,
                          size_t draws, witan_random *random,
                          const witan_allocator *allocator)
{
    product self = {.vocabulary = vocabulary, .p = p};
    *rank = (double)NAN;
    self.holes = witan_alloc(allocator, form->holes, sizeof *self.holes);
    if (self.holes == NULL) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < form->slots; i++) {
        if (form->slot[i].alphabet > 0) {
            self.holes[self.count++] = &form->slot[i];
        }
    }
    witan_status status = product_check(&self);
    if (status == WITAN_OK) {
        size_t middle = middle_of(&self);
        double value = cost_of(&self, fill, 0, self.count);
        double limit = value + ROUNDING * (1.0 + value);
        double larger =
            fmax(space_of(&self, 0, middle), space_of(&self, middle, self.count));
        status = larger <= WITAN_SPACE_EXACT_MAX
                     ? rank_exact(rank, &self, middle, limit, allocator)
                     : rank_sampled(rank, &self, limit, draws, random);
    }
    witan_free(allocator, self.holes);
    return status;
}
