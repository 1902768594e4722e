#include "privacy/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "num/softmax.h"

#define SPACE_MAX 2147483648.0

/* What every search has: the template's beginning is fed once. */
typedef struct asking {
    const witan_canary_template *form;
    const witan_token_model *model;
    const witan_allocator *allocator;
    float *z;          /* [batch, vocabulary] */
    uint32_t *parent;  /* [batch] */
    uint32_t *tokens;  /* [batch] */
    double *value;     /* [batch] surprise of what is being fed; set by its callers */
    float *prompt[2];  /* [1, state] */
    size_t first;      /* slot of the first hole */
    const float *root; /* state before it; z row 0 tells what comes, at first */
} asking;

static uint32_t
slot_symbols(const witan_canary_slot *slot, const uint32_t **symbols)
{
    *symbols = slot->alphabet > 0 ? slot->symbols : &slot->token;
    return slot->alphabet > 0 ? slot->alphabet : 1;
}

/* out [symbols of the slot] = base - ln p, over the whole vocabulary: nothing is
 * renormalised to the alphabet. False when one is not finite. */
static bool
surprises(double *out, double base, const float *z, size_t vocabulary,
          const witan_canary_slot *slot)
{
    const uint32_t *symbols;
    uint32_t count = slot_symbols(slot, &symbols);
    double sum = base + witan_log_sum_exp(z, vocabulary);
    bool finite = true;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = sum - (double)z[symbols[i]];
        finite &= isfinite(out[i]) != 0;
    }
    return finite;
}

static bool
surprise_add(double *value, const float *z, size_t vocabulary, uint32_t token)
{
    /* In the order of surprises(), so that both round alike. */
    *value = *value + witan_log_sum_exp(z, vocabulary) - (double)z[token];
    return isfinite(*value);
}

/* Feeds self->tokens [count], which stand in *slot, to states `from` (of self->parent,
 * or row by row), then the literals behind them, whose surprise is added to
 * self->value. *slot becomes the next hole's, *states the states before it (in one of
 * the buffers, NULL when nobody goes on) and self->z the logits of what stands there;
 * or *slot is the template's end. */
static witan_status
feed(asking *self, const float *from, const uint32_t *parent, size_t *slot,
     size_t count, float *const buffers[2], const float **states)
{
    const witan_token_model *model = self->model;
    const witan_canary_slot *slots = self->form->slot;
    size_t end = self->form->slots;
    *states = NULL;
    for (size_t at = *slot; at + 1 < end; at++, parent = NULL) {
        const witan_canary_slot *next = &slots[at + 1];
        bool needed = at + 2 < end || model->attends;
        float *to = !needed ? NULL : from == buffers[0] ? buffers[1] : buffers[0];
        model->step(model->context, to, self->z, from, parent, self->tokens, count, at);
        if (next->alphabet > 0) {
            *slot = at + 1;
            *states = to;
            return WITAN_OK;
        }
        for (size_t i = 0; i < count; i++) {
            self->tokens[i] = next->token;
            if (!surprise_add(&self->value[i], self->z + i * model->vocabulary,
                              model->vocabulary, next->token)) {
                return WITAN_E_NUMERIC;
            }
        }
        from = to;
    }
    *slot = end;
    return WITAN_OK;
}

static bool
form_fits(const witan_canary_template *form, const witan_token_model *model)
{
    for (size_t i = 0; i < form->slots; i++) {
        const uint32_t *symbols;
        uint32_t count = slot_symbols(&form->slot[i], &symbols);
        if (symbols[count - 1] >= model->vocabulary) {
            return false;
        }
    }
    return model->batch > 0 && form->holes > 0 && form->slot[0].alphabet == 0;
}

static void
asking_fini(asking *self)
{
    witan_free(self->allocator, self->z);
    witan_free(self->allocator, self->parent);
    witan_free(self->allocator, self->tokens);
    witan_free(self->allocator, self->value);
    witan_free(self->allocator, self->prompt[0]);
    witan_free(self->allocator, self->prompt[1]);
}

/* Cleaned up by asking_fini, after a failure too. */
static witan_status
asking_init(asking *self, const witan_canary_template *form,
            const witan_token_model *model, const witan_allocator *allocator)
{
    *self = (asking){.form = form, .model = model, .allocator = allocator};
    if (!form_fits(form, model)) {
        return WITAN_E_INVALID;
    }
    size_t state = model->state_floats * sizeof(float);
    self->z = witan_alloc(allocator, model->batch, model->vocabulary * sizeof(float));
    self->parent = witan_zalloc(allocator, model->batch, sizeof *self->parent);
    self->tokens = witan_zalloc(allocator, model->batch, sizeof *self->tokens);
    self->value = witan_zalloc(allocator, model->batch, sizeof *self->value);
    self->prompt[0] = witan_alloc(allocator, 1, state);
    self->prompt[1] = witan_alloc(allocator, 1, state);
    if (self->z == NULL || self->parent == NULL || self->tokens == NULL ||
        self->value == NULL || self->prompt[0] == NULL || self->prompt[1] == NULL) {
        return WITAN_E_MEMORY;
    }
    self->tokens[0] = form->slot[0].token;
    return feed(self, NULL, NULL, &self->first, 1, self->prompt, &self->root);
}

/* --- all fills ------------------------------------------------------------------ */

/* One hole: prefixes that end before it, and what they become. */
typedef struct level {
    size_t slot;
    uint32_t alphabet;
    bool last;        /* nothing stands behind it: its surprises are the fills' */
    double *values;   /* [prefixes, alphabet] surprise with each symbol */
    float *states[2]; /* [children at once, state] behind it; the second for literals */
} level;

typedef struct enumeration {
    asking ask;
    level *levels; /* [holes] */
    size_t holes;
    double *next; /* where the next fills' surprises go */
} enumeration;

static witan_status
levels_init(enumeration *self)
{
    const witan_canary_template *form = self->ask.form;
    const witan_token_model *model = self->ask.model;
    const witan_allocator *allocator = self->ask.allocator;
    size_t rows = 1, state = model->state_floats * sizeof(float), h = 0;
    for (size_t i = 0; i < form->slots; i++) {
        const witan_canary_slot *slot = &form->slot[i];
        if (slot->alphabet == 0) {
            continue;
        }
        level *at = &self->levels[h++];
        *at = (level){
            .slot = i, .alphabet = slot->alphabet, .last = i + 1 == form->slots};
        if (at->last) {
            continue;
        }
        at->values = witan_alloc(allocator, rows, slot->alphabet * sizeof(double));
        rows =
            slot->alphabet < model->batch / rows ? rows * slot->alphabet : model->batch;
        at->states[0] = witan_alloc(allocator, rows, state);
        at->states[1] =
            witan_alloc(allocator, form->slot[i + 1].alphabet > 0 ? 0 : rows, state);
        if (at->values == NULL || at->states[0] == NULL || at->states[1] == NULL) {
            return WITAN_E_MEMORY;
        }
    }
    return WITAN_OK;
}

/* Goes through `prefixes` prefixes that end before hole h, in order; their states are
 * `from`, the surprises with each symbol in the level's values. */
static witan_status
descend(enumeration *self, size_t h, const float *from, size_t prefixes)
{
    asking *ask = &self->ask;
    const level *at = &self->levels[h];
    const uint32_t *symbols = ask->form->slot[at->slot].symbols;
    size_t total = prefixes * at->alphabet, vocabulary = ask->model->vocabulary;
    if (at->last) {
        self->next += total;
        return WITAN_OK;
    }
    for (size_t start = 0, count; start < total; start += count) {
        const float *states;
        size_t slot = at->slot;
        count = total - start < ask->model->batch ? total - start : ask->model->batch;
        for (size_t i = 0; i < count; i++) {
            ask->parent[i] = (uint32_t)((start + i) / at->alphabet);
            ask->tokens[i] = symbols[(start + i) % at->alphabet];
            ask->value[i] = at->values[start + i];
        }
        WITAN_TRY(feed(ask, from, ask->parent, &slot, count, at->states, &states));
        if (slot == ask->form->slots) {
            memcpy(self->next, ask->value, count * sizeof *ask->value);
            self->next += count;
            continue;
        }
        const level *below = &self->levels[h + 1];
        double *values = below->last ? self->next : below->values;
        for (size_t i = 0; i < count; i++) {
            if (!surprises(values + i * below->alphabet, ask->value[i],
                           ask->z + i * vocabulary, vocabulary,
                           &ask->form->slot[slot])) {
                return WITAN_E_NUMERIC;
            }
        }
        WITAN_TRY(descend(self, h + 1, states, count));
    }
    return WITAN_OK;
}

witan_status
witan_search_all(double *surprise, const witan_canary_template *form,
                 const witan_token_model *model, const witan_allocator *allocator)
{
    if (form->space > SPACE_MAX) {
        return WITAN_E_LIMIT;
    }
    enumeration self = {.next = surprise, .holes = form->holes};
    witan_status status = asking_init(&self.ask, form, model, allocator);
    if (status != WITAN_OK) {
        goto out;
    }
    status = WITAN_E_MEMORY;
    self.levels = witan_zalloc(allocator, form->holes, sizeof *self.levels);
    if (self.levels == NULL) {
        goto out;
    }
    status = levels_init(&self);
    if (status != WITAN_OK) {
        goto out;
    }
    double *values = self.levels[0].last ? surprise : self.levels[0].values;
    if (surprises(values, 0.0, self.ask.z, model->vocabulary,
                  &form->slot[self.ask.first])) {
        status = descend(&self, 0, self.ask.root, 1);
    } else {
        status = WITAN_E_NUMERIC;
    }
out:
    for (size_t h = 0; self.levels != NULL && h < form->holes; h++) {
        witan_free(allocator, self.levels[h].values);
        witan_free(allocator, self.levels[h].states[0]);
        witan_free(allocator, self.levels[h].states[1]);
    }
    witan_free(allocator, self.levels);
    asking_fini(&self.ask);
    return status;
}

uint64_t
witan_search_index(const witan_canary_template *form, const uint32_t *fill)
{
    uint64_t index = 0;
    for (size_t i = 0; i < form->slots; i++) {
        if (form->slot[i].alphabet > 0) {
            index = index * form->slot[i].alphabet + *fill++;
        }
    }
    return index;
}

/* --- given fills ---------------------------------------------------------------- */

/* fills [count, holes] at once; before: surprise of each symbol of the first hole. */
static witan_status
fills_at_once(asking *self, double *surprise, const uint32_t *fills, size_t count,
              const double *before, float *const buffers[2])
{
    const witan_canary_template *form = self->form;
    size_t slot = self->first, vocabulary = self->model->vocabulary;
    const float *states = self->root;
    memset(self->parent, 0, count * sizeof *self->parent);
    for (size_t h = 0; slot < form->slots; h++) {
        const uint32_t *symbols = form->slot[slot].symbols;
        for (size_t i = 0; i < count; i++) {
            uint32_t symbol = fills[i * form->holes + h];
            self->tokens[i] = symbols[symbol];
            if (h == 0) {
                self->value[i] = before[symbol];
            } else if (!surprise_add(&self->value[i], self->z + i * vocabulary,
                                     vocabulary, symbols[symbol])) {
                return WITAN_E_NUMERIC;
            }
        }
        WITAN_TRY(feed(self, states, h == 0 ? self->parent : NULL, &slot, count,
                       buffers, &states));
    }
    memcpy(surprise, self->value, count * sizeof *surprise);
    return WITAN_OK;
}

witan_status
witan_search_fills(double *surprise, const uint32_t *fills, size_t count,
                   const witan_canary_template *form, const witan_token_model *model,
                   const witan_allocator *allocator)
{
    asking self;
    double *before = NULL;
    float *buffers[2] = {NULL, NULL};
    size_t state = model->state_floats * sizeof(float);
    size_t batch = count < model->batch ? count : model->batch;
    witan_status status = asking_init(&self, form, model, allocator);
    if (status != WITAN_OK) {
        goto out;
    }
    before = witan_alloc(allocator, form->slot[self.first].alphabet, sizeof *before);
    buffers[0] = witan_alloc(allocator, batch, state);
    buffers[1] = witan_alloc(allocator, batch, state);
    if (before == NULL || buffers[0] == NULL || buffers[1] == NULL) {
        status = WITAN_E_MEMORY;
        goto out;
    }
    if (!surprises(before, 0.0, self.z, model->vocabulary, &form->slot[self.first])) {
        status = WITAN_E_NUMERIC;
    }
    for (size_t start = 0; start < count && status == WITAN_OK; start += batch) {
        size_t n = count - start < batch ? count - start : batch;
        status = fills_at_once(&self, surprise + start, fills + start * form->holes, n,
                               before, buffers);
    }
out:
    witan_free(allocator, before);
    witan_free(allocator, buffers[0]);
    witan_free(allocator, buffers[1]);
    asking_fini(&self);
    return status;
}

/* --- the likeliest fill --------------------------------------------------------- */

/* A prefix that the model was asked about. */
typedef struct node {
    uint32_t parent; /* node without its last token */
    uint32_t symbol; /* of its last token */
    uint32_t row;    /* of the states, when somebody goes on from it */
} node;

/* A prefix that it was not asked about yet, behind the node `parent`. */
typedef struct candidate {
    double surprise;
    uint32_t parent, symbol, slot;
} candidate;

typedef struct extraction {
    asking ask;
    uint64_t most;
    node *nodes; /* 0: the text before the first hole */
    size_t count, nodes_room;
    candidate *open; /* binary heap, least surprise first; no whole fills */
    size_t open_count, open_room;
    float *states; /* [rows, state]; row 0 of node 0 */
    size_t rows, states_room;
    candidate *popped; /* [batch] */
    bool found;
    candidate best; /* the best whole fill so far */
} extraction;

static bool
likelier(const candidate *a, const candidate *b)
{
    return a->surprise < b->surprise;
}

static int
compare_candidates(const void *a, const void *b)
{
    double x = ((const candidate *)a)->surprise, y = ((const candidate *)b)->surprise;
    return (x > y) - (x < y);
}

/* Room for `wanted` elements behind the first `used`; *block moves. */
static bool
grow(void **block, size_t *room, size_t used, size_t wanted, size_t size,
     const witan_allocator *allocator)
{
    if (*block != NULL && *room - used >= wanted) {
        return true;
    }
    size_t larger = 2 * used + wanted + 64;
    char *fresh = witan_alloc(allocator, larger, size);
    if (fresh == NULL) {
        return false;
    }
    if (*block != NULL) {
        memcpy(fresh, *block, used * size);
    }
    witan_free(allocator, *block);
    *block = fresh;
    *room = larger;
    return true;
}

static void
open_sink(extraction *self, size_t at)
{
    candidate *open = self->open, moved = open[at];
    for (size_t child; (child = 2 * at + 1) < self->open_count; at = child) {
        child +=
            child + 1 < self->open_count && likelier(&open[child + 1], &open[child]);
        if (!likelier(&open[child], &moved)) {
            break;
        }
        open[at] = open[child];
    }
    open[at] = moved;
}

static candidate
open_pop(extraction *self)
{
    candidate top = self->open[0];
    self->open[0] = self->open[--self->open_count];
    if (self->open_count > 0) {
        open_sink(self, 0);
    }
    return top;
}

/* At most most - count prefixes are still popped, so that more than these, and one that
 * says whether something was left, are of no use. A sorted array is a heap. */
static void
open_trim(extraction *self)
{
    uint64_t useful = self->most - self->count + 1;
    if (self->open_count / 2 > useful) {
        qsort(self->open, self->open_count, sizeof *self->open, compare_candidates);
        self->open_count = (size_t)useful;
    }
}

static void
open_push(extraction *self, const candidate *entry)
{
    size_t at = self->open_count++;
    while (at > 0 && likelier(entry, &self->open[(at - 1) / 2])) {
        self->open[at] = self->open[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->open[at] = *entry;
}

/* A node was asked: its continuations are open, or whole fills. values: scratch for the
 * slot's symbols. */
static witan_status
continue_node(extraction *self, uint32_t parent, size_t slot, double surprise,
              const float *z, double *values)
{
    const asking *ask = &self->ask;
    const uint32_t *symbols;
    uint32_t count = slot_symbols(&ask->form->slot[slot], &symbols);
    bool whole = slot + 1 == ask->form->slots;
    if (!surprises(values, surprise, z, ask->model->vocabulary,
                   &ask->form->slot[slot])) {
        return WITAN_E_NUMERIC;
    }
    open_trim(self);
    if (!whole && !grow((void **)&self->open, &self->open_room, self->open_count, count,
                        sizeof *self->open, ask->allocator)) {
        return WITAN_E_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        candidate entry = {values[i], parent, i, (uint32_t)slot};
        if (!likelier(&entry, &self->best)) {
            continue;
        }
        if (whole) {
            self->best = entry;
        } else {
            open_push(self, &entry);
        }
    }
    return WITAN_OK;
}

/* Asks about popped prefixes [count] that end in the same slot. */
static witan_status
ask_nodes(extraction *self, const candidate *popped, size_t count, double *values)
{
    asking *ask = &self->ask;
    const witan_token_model *model = ask->model;
    size_t slot = popped[0].slot, state = model->state_floats;
    bool goes_on = slot + 2 < ask->form->slots; /* a continuation is not whole */
    bool kept = goes_on || model->attends;
    if (!grow((void **)&self->nodes, &self->nodes_room, self->count, count,
              sizeof *self->nodes, ask->allocator) ||
        (kept && !grow((void **)&self->states, &self->states_room, self->rows, count,
                       state * sizeof(float), ask->allocator))) {
        return WITAN_E_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t *symbols;
        (void)slot_symbols(&ask->form->slot[slot], &symbols);
        ask->tokens[i] = symbols[popped[i].symbol];
        ask->parent[i] = self->nodes[popped[i].parent].row;
        self->nodes[self->count + i] =
            (node){popped[i].parent, popped[i].symbol, (uint32_t)(self->rows + i)};
    }
    model->step(model->context, kept ? self->states + self->rows * state : NULL, ask->z,
                self->states, ask->parent, ask->tokens, count, slot);
    uint32_t first = (uint32_t)self->count;
    self->count += count;
    self->rows += goes_on ? count : 0;
    for (size_t i = 0; i < count; i++) {
        WITAN_TRY(continue_node(self, first + (uint32_t)i, slot + 1, popped[i].surprise,
                                ask->z + i * model->vocabulary, values));
    }
    return WITAN_OK;
}

static int
compare_slots(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    int by_slot = (x->slot > y->slot) - (x->slot < y->slot);
    return by_slot != 0 ? by_slot : compare_candidates(a, b);
}

/* Pops at first one prefix, then twice as many each time up to a batch: what was popped
 * beyond the likeliest is a guess that costs nodes when the model is sure. */
static witan_status
search_open(extraction *self, double *values)
{
    size_t width = 1;
    while (self->open_count > 0 && likelier(&self->open[0], &self->best)) {
        size_t count = 0;
        uint64_t left = self->most - self->count;
        if (left == 0) {
            self->found = false;
            return WITAN_OK;
        }
        while (count < width && count < left && self->open_count > 0 &&
               likelier(&self->open[0], &self->best)) {
            self->popped[count++] = open_pop(self);
        }
        qsort(self->popped, count, sizeof *self->popped, compare_slots);
        for (size_t start = 0, end; start < count; start = end) {
            for (end = start + 1;
                 end < count && self->popped[end].slot == self->popped[start].slot;
                 end++) {
            }
            WITAN_TRY(ask_nodes(self, self->popped + start, end - start, values));
        }
        width = 2 * width < self->ask.model->batch ? 2 * width : self->ask.model->batch;
    }
    self->found = true;
    return WITAN_OK;
}

static void
extraction_result(const extraction *self, witan_extraction *out)
{
    const witan_canary_template *form = self->ask.form;
    *out = (witan_extraction){
        .found = self->found, .nodes = self->count, .surprise = (double)NAN};
    if (!self->found) {
        return;
    }
    uint32_t symbol = self->best.symbol, parent = self->best.parent;
    size_t h = form->holes;
    out->surprise = self->best.surprise;
    for (size_t slot = form->slots; slot-- > self->ask.first;) {
        if (form->slot[slot].alphabet > 0) {
            out->fill[--h] = symbol;
        }
        symbol = self->nodes[parent].symbol;
        parent = self->nodes[parent].parent;
    }
}

witan_status
witan_search_extract(witan_extraction *out, const witan_canary_template *form,
                     const witan_token_model *model, uint64_t most,
                     const witan_allocator *allocator)
{
    *out = (witan_extraction){.surprise = (double)NAN};
    if (most == 0) {
        return WITAN_OK;
    }
    extraction self = {.most = most < UINT32_MAX ? most : UINT32_MAX,
                       .best.surprise = HUGE_VAL};
    double *values = NULL;
    uint32_t largest = 1;
    witan_status status = asking_init(&self.ask, form, model, allocator);
    if (status != WITAN_OK) {
        goto out;
    }
    for (size_t i = 0; i < form->slots; i++) {
        largest = form->slot[i].alphabet > largest ? form->slot[i].alphabet : largest;
    }
    status = WITAN_E_MEMORY;
    values = witan_alloc(allocator, largest, sizeof *values);
    self.popped = witan_alloc(allocator, model->batch, sizeof *self.popped);
    if (values == NULL || self.popped == NULL ||
        !grow((void **)&self.nodes, &self.nodes_room, 0, 1, sizeof *self.nodes,
              allocator) ||
        !grow((void **)&self.states, &self.states_room, 0, 1,
              model->state_floats * sizeof(float), allocator)) {
        goto out;
    }
    self.nodes[0] = (node){0};
    self.count = self.rows = 1;
    if (self.ask.root != NULL) {
        memcpy(self.states, self.ask.root, model->state_floats * sizeof(float));
    }
    status = continue_node(&self, 0, self.ask.first, 0.0, self.ask.z, values);
    if (status == WITAN_OK) {
        status = search_open(&self, values);
    }
    if (status == WITAN_OK) {
        extraction_result(&self, out);
    }
out:
    witan_free(allocator, values);
    witan_free(allocator, self.popped);
    witan_free(allocator, self.nodes);
    witan_free(allocator, self.open);
    witan_free(allocator, self.states);
    asking_fini(&self.ask);
    return status;
}
