#include "data/partition_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void
give(witan_deal *self, size_t position, size_t client)
{
    self->holder[position] = (uint32_t)client;
    self->sizes[client]++;
}

/* positions[begin..end) to one client; positions NULL is the identity. */
static void
give_run(witan_deal *self, const uint32_t *positions, size_t begin, size_t end,
         size_t client)
{
    for (size_t i = begin; i < end; i++) {
        give(self, positions == NULL ? i : positions[i], client);
    }
}

/* The stream of one draw of everything; attempts have streams of their own, so that no
 * number of redraws can exhaust one. Attempt 0 is partition.c's shuffle of the rows. */
static void
attempt_stream(const witan_deal *self, witan_random *random, size_t attempt)
{
    witan_random_init(random, self->config->seed, WITAN_CLIENT_NONE, (uint32_t)attempt,
                      WITAN_PURPOSE_PARTITION);
}

static bool
all_reach_the_minimum(const witan_deal *self)
{
    for (size_t n = 0; n < self->config->clients; n++) {
        if (self->sizes[n] < self->need) {
            return false;
        }
    }
    return true;
}

static witan_status
deal_iid(witan_deal *self)
{
    size_t clients = self->config->clients;
    for (size_t n = 0; n < clients; n++) {
        give_run(self, NULL, self->count * n / clients, self->count * (n + 1) / clients,
                 n);
    }
    return WITAN_OK;
}

/* Cuts positions[0..count) at floor(cumsum(p) * count); the last client takes the rest.
 * The 1e-6 keeps rounding in the sum from leaving it a row it has no share in.
 * p [clients] sums to 1. */
static void
give_by_share(witan_deal *self, const uint32_t *positions, size_t count,
              const double *p)
{
    size_t clients = self->config->clients;
    size_t begin = 0;
    double sum = 0.0;
    for (size_t n = 0; n + 1 < clients; n++) {
        sum += p[n];
        size_t end = (size_t)(sum * (double)count + 1e-6);
        end = end > count ? count : end;
        give_run(self, positions, begin, end, n);
        begin = end;
    }
    give_run(self, positions, begin, count, clients - 1);
}

/* Takes a client that already holds its fair share out of the draw. When nobody with a
 * share is left, those below the fair share (all, if none is) share equally. */
static void
mask_full_clients(const witan_deal *self, double *p)
{
    size_t clients = self->config->clients;
    size_t hungry = 0;
    double sum = 0.0;
    for (size_t n = 0; n < clients; n++) {
        bool full = self->sizes[n] * clients >= self->count;
        p[n] = full ? 0.0 : p[n];
        hungry += !full;
        sum += p[n];
    }
    for (size_t n = 0; n < clients; n++) {
        if (sum > 0.0) {
            p[n] /= sum;
        } else if (hungry == 0) {
            p[n] = 1.0 / (double)clients;
        } else {
            bool full = self->sizes[n] * clients >= self->count;
            p[n] = full ? 0.0 : 1.0 / (double)hungry;
        }
    }
}

static void
draw_dirichlet(witan_deal *self, witan_random *random, double *p, const double *alpha)
{
    for (size_t c = 0; c < self->classes; c++) {
        size_t begin = self->class_start[c];
        size_t count = self->class_start[c + 1] - begin;
        if (count == 0) {
            continue;
        }
        witan_random_dirichlet(random, p, alpha, self->config->clients);
        if (self->config->balance) {
            mask_full_clients(self, p);
        }
        give_by_share(self, self->by_class + begin, count, p);
    }
}

static void
draw_quantity(witan_deal *self, witan_random *random, double *p, const double *alpha)
{
    witan_random_dirichlet(random, p, alpha, self->config->clients);
    give_by_share(self, NULL, self->count, p);
}

/* Rows above `level` that the clients hold together. */
static size_t
surplus_above(const witan_deal *self, size_t level)
{
    size_t surplus = 0;
    for (size_t n = 0; n < self->config->clients; n++) {
        surplus += self->sizes[n] > level ? self->sizes[n] - level : 0;
    }
    return surplus;
}

/* Largest common size to which the largest holders can be cut to free `wanted` rows. */
static size_t
donor_level(const witan_deal *self, size_t wanted)
{
    size_t low = self->need; /* frees enough, since clients * need <= count */
    size_t high = self->count;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (surplus_above(self, middle) >= wanted) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Moves rows to the clients below the minimum, chosen at random from the largest
 * holders; target [clients] and order [count] are scratch. */
static void
move_rows(witan_deal *self, witan_random *random, size_t *target, uint32_t *order)
{
    size_t clients = self->config->clients;
    size_t wanted = 0;
    for (size_t n = 0; n < clients; n++) {
        wanted += self->sizes[n] < self->need ? self->need - self->sizes[n] : 0;
    }
    size_t level = donor_level(self, wanted);
    size_t spare = surplus_above(self, level) - wanted; /* donors that keep one more */
    for (size_t n = 0; n < clients; n++) {
        target[n] = self->sizes[n];
        if (target[n] > level) {
            target[n] = level + (spare > 0);
            spare -= spare > 0;
        }
    }
    for (size_t i = 0; i < self->count; i++) {
        order[i] = (uint32_t)i;
    }
    witan_random_shuffle(random, order, self->count);
    size_t poor = 0;
    for (size_t i = 0; i < self->count && self->moved < wanted; i++) {
        size_t donor = self->holder[order[i]];
        if (self->sizes[donor] <= target[donor]) {
            continue;
        }
        while (self->sizes[poor] >= self->need) {
            poor++;
        }
        /* Once served, a poor client must not count as a donor. */
        target[poor] = self->need;
        self->sizes[donor]--;
        give(self, order[i], poor);
        self->moved++;
    }
}

static witan_status
top_up(witan_deal *self)
{
    witan_status status = WITAN_E_MEMORY;
    size_t *target =
        witan_alloc(self->allocator, self->config->clients, sizeof *target);
    uint32_t *order = witan_alloc(self->allocator, self->count, sizeof *order);
    if (target != NULL && order != NULL) {
        witan_random random;
        attempt_stream(self, &random, self->config->retries + 2);
        move_rows(self, &random, target, order);
        status = WITAN_OK;
    }
    witan_free(self->allocator, order);
    witan_free(self->allocator, target);
    return status;
}

/* Draws all until every client reaches the minimum; after the last redraw tops up. */
static witan_status
redraw_until_minimum(witan_deal *self, void (*draw)(witan_deal *, witan_random *,
                                                    double *, const double *))
{
    size_t clients = self->config->clients;
    double *p = witan_alloc(self->allocator, clients, 2 * sizeof *p);
    if (p == NULL) {
        return WITAN_E_MEMORY;
    }
    double *alpha = p + clients;
    for (size_t n = 0; n < clients; n++) {
        alpha[n] = self->config->alpha;
    }
    bool reached = false;
    for (size_t attempt = 0; attempt <= self->config->retries && !reached; attempt++) {
        witan_random random;
        attempt_stream(self, &random, attempt + 1);
        memset(self->sizes, 0, clients * sizeof *self->sizes);
        draw(self, &random, p, alpha);
        reached = all_reach_the_minimum(self);
    }
    witan_free(self->allocator, p);
    return reached ? WITAN_OK : top_up(self);
}

static witan_status
deal_dirichlet(witan_deal *self)
{
    /* One attempt draws clients * classes Gammas from one stream. */
    if (self->classes > WITAN_PARTITION_CELLS_MAX / self->config->clients) {
        return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                               "%zu clients times %zu classes are more than %zu: lower "
                               "clients or choose another data.partition.key",
                               self->config->clients, self->classes,
                               WITAN_PARTITION_CELLS_MAX);
    }
    return redraw_until_minimum(self, draw_dirichlet);
}

static witan_status
deal_quantity(witan_deal *self)
{
    return redraw_until_minimum(self, draw_quantity);
}

/* Scratch of the client-wise rule, over the classes that have rows. */
typedef struct mix {
    size_t classes;
    uint32_t *class;    /* [classes] */
    uint32_t *left;     /* [classes] rows not yet dealt */
    double *alpha;      /* [classes] alpha * prior * classes */
    double *share;      /* [classes] this client's q */
    double *cumulative; /* [classes] of q over the classes that have rows left */
} mix;

/* Renormalises dry classes away; when q has no weight on what is left (as good as
 * none), what is left is drawn in proportion. Returns the total weight. */
static double
accumulate_shares(mix *self)
{
    double sum = 0.0;
    for (size_t c = 0; c < self->classes; c++) {
        sum += self->left[c] > 0 ? self->share[c] : 0.0;
        self->cumulative[c] = sum;
    }
    if (sum > 1e-12) {
        return sum;
    }
    sum = 0.0;
    for (size_t c = 0; c < self->classes; c++) {
        sum += (double)self->left[c];
        self->cumulative[c] = sum;
    }
    return sum;
}

/* First class whose cumulative weight exceeds u, which is below the total. */
static size_t
find_class(const mix *self, double u)
{
    size_t low = 0;
    size_t high = self->classes - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->cumulative[middle] > u) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void
deal_one_mix(witan_deal *self, mix *m, size_t client, size_t count)
{
    witan_random random;
    witan_random_init(&random, self->config->seed, (uint32_t)client, 0,
                      WITAN_PURPOSE_PARTITION);
    witan_random_dirichlet(&random, m->share, m->alpha, m->classes);
    double sum = accumulate_shares(m);
    for (size_t i = 0; i < count;) {
        size_t c = find_class(m, witan_random_uniform(&random) * sum);
        if (m->left[c] == 0) { /* u rounded up to the total: the last class was hit */
            continue;
        }
        m->left[c]--;
        give(self, self->by_class[self->class_start[m->class[c]] + m->left[c]], client);
        i++;
        if (m->left[c] == 0) {
            sum = accumulate_shares(m);
        }
    }
}

static witan_status
deal_dirichlet_client(witan_deal *self)
{
    witan_status status = WITAN_E_MEMORY;
    size_t clients = self->config->clients;
    mix m = {.class = witan_alloc(self->allocator, self->classes, sizeof *m.class),
             .left = witan_alloc(self->allocator, self->classes, sizeof *m.left),
             .alpha = witan_alloc(self->allocator, self->classes, 3 * sizeof *m.alpha)};
    if (m.class == NULL || m.left == NULL || m.alpha == NULL) {
        goto out;
    }
    for (size_t c = 0; c < self->classes; c++) {
        size_t rows = self->class_start[c + 1] - self->class_start[c];
        if (rows > 0) {
            m.class[m.classes] = (uint32_t)c;
            m.left[m.classes++] = (uint32_t)rows;
        }
    }
    m.share = m.alpha + m.classes;
    m.cumulative = m.share + m.classes;
    for (size_t c = 0; c < m.classes; c++) {
        m.alpha[c] =
            self->config->alpha * m.left[c] / (double)self->count * (double)m.classes;
    }
    for (size_t n = 0; n < clients; n++) {
        deal_one_mix(self, &m, n, self->count / clients);
    }
    status = WITAN_OK;
out:
    witan_free(self->allocator, m.alpha);
    witan_free(self->allocator, m.left);
    witan_free(self->allocator, m.class);
    return status;
}

/* chosen [clients, k]: class n mod C, then k-1 of the others by a partial shuffle.
 * Counts holders [classes]; deck [present] is scratch. */
static void
choose_labels(const witan_deal *self, const uint32_t *present, size_t classes,
              uint32_t *chosen, uint32_t *holders, uint32_t *deck)
{
    size_t k = self->config->labels_per_client;
    for (size_t n = 0; n < self->config->clients; n++) {
        witan_random random;
        witan_random_init(&random, self->config->seed, (uint32_t)n, 0,
                          WITAN_PURPOSE_PARTITION);
        memcpy(deck, present, classes * sizeof *deck);
        deck[0] = present[n % classes];
        deck[n % classes] = present[0];
        for (size_t j = 0; j < k; j++) {
            if (j > 0) {
                size_t pick = j + witan_random_below(&random, (uint32_t)(classes - j));
                uint32_t swap = deck[j];
                deck[j] = deck[pick];
                deck[pick] = swap;
            }
            chosen[n * k + j] = deck[j];
            holders[deck[j]]++;
        }
    }
}

/* Shares each class equally among its holders, in client order. */
static witan_status
share_labels(witan_deal *self, const uint32_t *chosen, const uint32_t *holders,
             uint32_t *served)
{
    size_t k = self->config->labels_per_client;
    for (size_t c = 0; c < self->classes; c++) {
        size_t rows = self->class_start[c + 1] - self->class_start[c];
        if (holders[c] > rows) {
            return witan_diag_fail(
                self->diag, WITAN_E_CONFIG,
                "class %zu has %zu rows for the %u clients that are to "
                "hold it: lower clients or data.partition.labels",
                c, rows, holders[c]);
        }
    }
    for (size_t i = 0; i < self->config->clients * k; i++) {
        uint32_t c = chosen[i];
        size_t begin = self->class_start[c];
        size_t rows = self->class_start[c + 1] - begin;
        size_t turn = served[c]++;
        give_run(self, self->by_class, begin + rows * turn / holders[c],
                 begin + rows * (turn + 1) / holders[c], i / k);
    }
    return WITAN_OK;
}

static witan_status
deal_labels(witan_deal *self)
{
    size_t k = self->config->labels_per_client;
    size_t classes = 0;
    for (size_t c = 0; c < self->classes; c++) {
        classes += self->class_start[c + 1] > self->class_start[c];
    }
    if (k > classes) {
        return witan_diag_fail(
            self->diag, WITAN_E_CONFIG,
            "%zu labels per client are asked for, but the rows have %zu "
            "classes: lower data.partition.labels",
            k, classes);
    }
    if (k > self->count / self->config->clients) {
        return witan_diag_fail(
            self->diag, WITAN_E_CONFIG,
            "%zu rows are too few for %zu clients with %zu labels each: "
            "lower clients or data.partition.labels",
            self->count, self->config->clients, k);
    }
    witan_status status = WITAN_E_MEMORY;
    uint32_t *present =
        witan_zalloc(self->allocator, self->classes, 4 * sizeof *present);
    uint32_t *chosen =
        witan_alloc(self->allocator, self->config->clients * k, sizeof *chosen);
    if (present != NULL && chosen != NULL) {
        uint32_t *holders = present + self->classes;
        uint32_t *deck = holders + self->classes;
        uint32_t *served = deck + self->classes;
        for (size_t c = 0, i = 0; c < self->classes; c++) {
            if (self->class_start[c + 1] > self->class_start[c]) {
                present[i++] = (uint32_t)c;
            }
        }
        choose_labels(self, present, classes, chosen, holders, deck);
        status = share_labels(self, chosen, holders, served);
    }
    witan_free(self->allocator, chosen);
    witan_free(self->allocator, present);
    return status;
}

static witan_status
deal_shards(witan_deal *self)
{
    size_t each = self->config->shards_per_client;
    if (each > self->count / self->config->clients) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "%zu rows cannot be cut into %zu shards for each of %zu "
                               "clients: lower clients or data.partition.shards",
                               self->count, each, self->config->clients);
    }
    size_t shards = self->config->clients * each;
    uint32_t *order = witan_alloc(self->allocator, shards, sizeof *order);
    if (order == NULL) {
        return WITAN_E_MEMORY;
    }
    witan_random random;
    attempt_stream(self, &random, 1);
    for (size_t i = 0; i < shards; i++) {
        order[i] = (uint32_t)i;
    }
    witan_random_shuffle(&random, order, shards);
    for (size_t i = 0; i < shards; i++) {
        give_run(self, self->by_class, self->count * order[i] / shards,
                 self->count * (order[i] + (size_t)1) / shards, i / each);
    }
    witan_free(self->allocator, order);
    return WITAN_OK;
}

/* A class and its rows. */
typedef struct whole {
    size_t rows;
    uint32_t class;
} whole;

/* More rows first, then lower class. */
static int
compare_wholes(const void *left, const void *right)
{
    const whole *a = left;
    const whole *b = right;
    if (a->rows != b->rows) {
        return a->rows > b->rows ? -1 : 1;
    }
    return a->class < b->class ? -1 : 1;
}

/* Whether client a holds fewer rows than b, or as many and is the lower. */
static bool
is_shorter(const witan_deal *self, uint32_t a, uint32_t b)
{
    return self->sizes[a] < self->sizes[b] ||
           (self->sizes[a] == self->sizes[b] && a < b);
}

/* The first of the heap has got rows: it sinks to where it belongs. */
static void
sink(const witan_deal *self, uint32_t *heap, size_t clients)
{
    size_t at = 0;
    for (size_t child = 1; child < clients; child = 2 * at + 1) {
        if (child + 1 < clients && is_shorter(self, heap[child + 1], heap[child])) {
            child++;
        }
        if (!is_shorter(self, heap[child], heap[at])) {
            break;
        }
        uint32_t swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

static witan_status
deal_natural(witan_deal *self)
{
    size_t clients = self->config->clients, count = 0;
    witan_status status = WITAN_E_MEMORY;
    whole *wholes = witan_alloc(self->allocator, self->classes, sizeof *wholes);
    uint32_t *heap = witan_alloc(self->allocator, clients, sizeof *heap);
    if (wholes == NULL || heap == NULL) {
        goto out;
    }
    for (size_t c = 0; c < self->classes; c++) {
        size_t rows = self->class_start[c + 1] - self->class_start[c];
        if (rows > 0) {
            wholes[count++] = (whole){rows, (uint32_t)c};
        }
    }
    if (count < clients) {
        status = witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                 "%zu classes or groups cannot be dealt whole to %zu "
                                 "clients: lower clients or choose another "
                                 "data.partition.key",
                                 count, clients);
        goto out;
    }
    qsort(wholes, count, sizeof *wholes, compare_wholes);
    for (size_t n = 0; n < clients; n++) {
        heap[n] = (uint32_t)n;
    }
    for (size_t i = 0; i < count; i++) {
        size_t c = wholes[i].class;
        give_run(self, self->by_class, self->class_start[c], self->class_start[c + 1],
                 heap[0]);
        sink(self, heap, clients);
    }
    status = WITAN_OK;
out:
    witan_free(self->allocator, heap);
    witan_free(self->allocator, wholes);
    return status;
}

witan_status
witan_deal_run(witan_deal *self)
{
    static witan_status (*const rules[])(witan_deal *) = {
        [WITAN_PARTITION_IID] = deal_iid,
        [WITAN_PARTITION_DIRICHLET] = deal_dirichlet,
        [WITAN_PARTITION_DIRICHLET_CLIENT] = deal_dirichlet_client,
        [WITAN_PARTITION_LABELS] = deal_labels,
        [WITAN_PARTITION_SHARDS] = deal_shards,
        [WITAN_PARTITION_QUANTITY] = deal_quantity,
        [WITAN_PARTITION_NATURAL] = deal_natural,
    };
    witan_status status = rules[self->config->kind](self);
    if (status != WITAN_OK) {
        return status;
    }
    /* The rules without redraws can leave a client short where classes are small. */
    for (size_t n = 0; n < self->config->clients; n++) {
        if (self->sizes[n] < self->need) {
            return witan_diag_fail(
                self->diag, WITAN_E_CONFIG,
                "client %zu would hold %zu rows but needs %zu: lower "
                "clients or data.partition.minimum",
                n, self->sizes[n], self->need);
        }
    }
    return WITAN_OK;
}
