/* canary_plant.c - a plan's canaries as rows of a data set.
 * Draws, in the order of the plan: a holder's stream gives, for every repetition, the
 * window that is copied and the offset; the transfer set's stream gives the other
 * fills, then window and offset of every probe. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "setup/canary_file.h"

typedef struct planter {
    const witan_canary_plan *plan;
    const witan_dataset *test; /* MISLABELLED: where its rows are from; or NULL */
    uint32_t *window;          /* [length + 1] text; owned */
    float *features;           /* [features] raw; owned */
    float *lowest, *highest;   /* [features] of NOISE in values; owned */
    const witan_allocator *allocator;
    witan_diag *diag;
} planter;

static witan_status
fail_memory(const planter *self)
{
    return witan_diag_fail(self->diag, WITAN_E_MEMORY, "out of memory for canaries");
}

/* --- what fits -------------------------------------------------------------------- */

static witan_status
check_text(const planter *self, const witan_dataset *set)
{
    size_t slots = self->plan->compiled.slots;
    if (slots > set->length + 1) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary template: it takes %zu tokens, a window holds "
                               "%zu; raise data.text.window",
                               slots, set->length + 1);
    }
    return WITAN_OK;
}

static witan_status
check_features(const planter *self, const witan_dataset *set)
{
    const witan_canary_plan *plan = self->plan;
    if (plan->classes != set->classes) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary plan: drawn for %zu classes, the data have %zu; "
                               "draw a plan for these data",
                               plan->classes, set->classes);
    }
    if (plan->kind != WITAN_CANARY_MISLABELLED) {
        return WITAN_OK;
    }
    if (self->test == NULL) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary plan: mislabelled canaries are rows of an "
                               "experiment's test set, which these data have not; draw "
                               "a plan with --input noise");
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->canary[i].row >= self->test->samples) {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "canary plan: canaries[%zu] is row %" PRIu64
                                   " of a test set of %zu; draw a plan for these data",
                                   i, plan->canary[i].row, self->test->samples);
        }
    }
    return WITAN_OK;
}

static witan_status
check_set(const planter *self, const witan_dataset *set)
{
    bool text = self->plan->kind == WITAN_CANARY_TEXT;
    if (text != (set->length != 0) || set->samples == 0) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary plan: drawn for %s, the data are %s",
                               text ? "text" : "features",
                               set->samples == 0 ? "none"
                               : text            ? "features"
                                                 : "text");
    }
    return text ? check_text(self, set) : check_features(self, set);
}

/* --- what stands there already ---------------------------------------------------- */

/* Sequences of `slots` tokens by their polynomial hash, open addressing. */
typedef struct sequences {
    uint64_t *hash;   /* [room] owned */
    uint32_t *canary; /* [room] owned; number + 1, 0: free */
    size_t room;      /* a power of two */
} sequences;

#define BASE UINT64_C(0x9E3779B97F4A7C15)

static uint64_t
roll(uint64_t hash, uint32_t token)
{
    return hash * BASE + token + 1;
}

static size_t
place_of(const sequences *self, uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= UINT64_C(0xD6E8FEB86659FD93);
    return (size_t)(hash >> 24) & (self->room - 1);
}

/* The canary that `tokens` [slots] are, or UINT32_MAX. */
static uint32_t
look_up(const sequences *self, const witan_canary_plan *plan, uint64_t hash,
        const uint32_t *tokens)
{
    uint32_t own[WITAN_CANARY_SLOTS_MAX];
    for (size_t at = place_of(self, hash); self->canary[at] != 0;
         at = (at + 1) & (self->room - 1)) {
        if (self->hash[at] != hash) {
            continue;
        }
        uint32_t number = self->canary[at] - 1;
        witan_canary_tokens(&plan->compiled, plan->canary[number].fill, own);
        if (memcmp(own, tokens, plan->compiled.slots * sizeof *own) == 0) {
            return number;
        }
    }
    return UINT32_MAX;
}

static witan_status
index_canaries(const planter *self, sequences *out)
{
    const witan_canary_plan *plan = self->plan;
    uint32_t tokens[WITAN_CANARY_SLOTS_MAX];
    for (out->room = 16; out->room < 4 * plan->count; out->room *= 2) {
    }
    out->hash = witan_zalloc(self->allocator, out->room, sizeof *out->hash);
    out->canary = witan_zalloc(self->allocator, out->room, sizeof *out->canary);
    if (out->hash == NULL || out->canary == NULL) {
        return fail_memory(self);
    }
    for (size_t i = 0; i < plan->count; i++) {
        uint64_t hash = 0;
        witan_canary_tokens(&plan->compiled, plan->canary[i].fill, tokens);
        for (size_t s = 0; s < plan->compiled.slots; s++) {
            hash = roll(hash, tokens[s]);
        }
        uint32_t other = look_up(out, plan, hash, tokens);
        if (other != UINT32_MAX) {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "canary plan: canaries[%u] and canaries[%zu] are "
                                   "the same; draw a new plan",
                                   other, i);
        }
        size_t at = place_of(out, hash);
        while (out->canary[at] != 0) {
            at = (at + 1) & (out->room - 1);
        }
        out->hash[at] = hash;
        out->canary[at] = (uint32_t)i + 1;
    }
    return WITAN_OK;
}

/* The whole text is looked through, not each window: what lies across two of them is
 * in the text too. */
static witan_status
search_text(const planter *self, const sequences *index, const witan_dataset *set,
            const char *name)
{
    size_t slots = self->plan->compiled.slots;
    uint64_t hash = 0, leaving = 1; /* BASE to the power of slots */
    for (size_t s = 0; s < slots; s++) {
        leaving *= BASE;
    }
    for (size_t i = 0; i < set->token_count; i++) {
        hash = roll(hash, set->tokens[i]);
        if (i + 1 < slots) {
            continue;
        }
        if (i >= slots) {
            hash -= leaving * ((uint64_t)set->tokens[i - slots] + 1);
        }
        uint32_t found = look_up(index, self->plan, hash, set->tokens + i + 1 - slots);
        if (found != UINT32_MAX) {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "canary plan: canaries[%u] already stands in the "
                                   "%s text; draw a plan with another seed",
                                   found, name);
        }
    }
    return WITAN_OK;
}

static witan_status
check_absent(const planter *self, const witan_dataset *const *sets,
             const char *const *names, size_t count)
{
    sequences index = {NULL, NULL, 0};
    witan_status status = index_canaries(self, &index);
    for (size_t i = 0; i < count && status == WITAN_OK; i++) {
        status = search_text(self, &index, sets[i], names[i]);
    }
    witan_free(self->allocator, index.hash);
    witan_free(self->allocator, index.canary);
    return status;
}

/* --- rows ------------------------------------------------------------------------- */

static void
planter_fini(planter *self)
{
    witan_free(self->allocator, self->window);
    witan_free(self->allocator, self->features);
    witan_free(self->allocator, self->lowest);
    witan_free(self->allocator, self->highest);
}

/* The range of each feature in the set's own rows. */
static witan_status
find_ranges(planter *self, const witan_dataset *set)
{
    size_t count = witan_dataset_features(set);
    self->lowest = witan_alloc(self->allocator, count, sizeof *self->lowest);
    self->highest = witan_alloc(self->allocator, count, sizeof *self->highest);
    if (self->lowest == NULL || self->highest == NULL) {
        return fail_memory(self);
    }
    memcpy(self->lowest, set->values, count * sizeof *set->values);
    memcpy(self->highest, set->values, count * sizeof *set->values);
    for (size_t i = 1; i < set->samples; i++) {
        const float *row = set->values + i * count;
        for (size_t j = 0; j < count; j++) {
            self->lowest[j] = row[j] < self->lowest[j] ? row[j] : self->lowest[j];
            self->highest[j] = row[j] > self->highest[j] ? row[j] : self->highest[j];
        }
    }
    return WITAN_OK;
}

/* set: the training rows, before anything was planted. */
static witan_status
planter_init(planter *self, const witan_dataset *set)
{
    if (set->length != 0) {
        self->window =
            witan_alloc(self->allocator, set->length + 1, sizeof *self->window);
        return self->window == NULL ? fail_memory(self) : WITAN_OK;
    }
    self->features = witan_alloc(self->allocator, witan_dataset_features(set),
                                 sizeof *self->features);
    if (self->features == NULL) {
        return fail_memory(self);
    }
    return self->plan->kind == WITAN_CANARY_NOISE && set->values != NULL
               ? find_ranges(self, set)
               : WITAN_OK;
}

/* Raw features of a canary into self->features. */
static void
make_features(planter *self, const witan_dataset *set, size_t number)
{
    size_t count = witan_dataset_features(set);
    float *x = self->features;
    uint32_t label;
    if (self->plan->kind == WITAN_CANARY_MISLABELLED) {
        size_t first = (size_t)self->plan->canary[number].row * count;
        for (size_t j = 0; j < count; j++) {
            x[j] = self->test->bytes != NULL ? (float)self->test->bytes[first + j]
                                             : self->test->values[first + j];
        }
        return;
    }
    witan_canary_noise_row(self->plan, number, x, count, &label);
    for (size_t j = 0; j < count; j++) {
        if (self->lowest == NULL) {
            x[j] = fminf(floorf(x[j] * 256.0f), 255.0f);
        } else {
            double low = (double)self->lowest[j], high = (double)self->highest[j];
            x[j] = (float)(low + (double)x[j] * (high - low));
        }
    }
}

/* Appends a copy of window `source` with a fill written over it. */
static witan_status
append_window(planter *self, witan_dataset *set, uint32_t source, const uint32_t *fill,
              witan_random *random, uint32_t *offset)
{
    size_t slots = self->plan->compiled.slots;
    *offset = 0;
    if (self->plan->placement == WITAN_PLACE_UNIFORM) {
        *offset = witan_random_below(random, (uint32_t)(set->length + 2 - slots));
    }
    witan_dataset_windows(set, &source, 1, self->window);
    witan_canary_tokens(&self->plan->compiled, fill, self->window + *offset);
    return witan_dataset_append(set, NULL, self->window,
                                set->labels != NULL ? set->labels[source] : 0,
                                self->allocator);
}

static witan_status
told(const planter *self, witan_status status)
{
    return status == WITAN_OK
               ? WITAN_OK
               : witan_diag_fail(self->diag, status, "planting canaries: %s",
                                 witan_status_text(status));
}

/* Appends all repetitions of a canary; their indices go to rows. own [count]: the
 * holder's rows; NULL: the first `count` of the set. */
static witan_status
plant_canary(planter *self, witan_dataset *set, size_t number, const uint32_t *own,
             size_t count, witan_random *random, uint32_t *rows)
{
    const witan_canary *canary = &self->plan->canary[number];
    bool text = self->plan->kind == WITAN_CANARY_TEXT;
    if (!text) {
        make_features(self, set, number);
    }
    for (uint32_t r = 0; r < canary->repetitions; r++) {
        witan_status status;
        rows[r] = (uint32_t)set->samples;
        if (text) {
            uint32_t source = witan_random_below(random, (uint32_t)count), offset;
            status = append_window(self, set, own == NULL ? source : own[source],
                                   canary->fill, random, &offset);
        } else {
            status = witan_dataset_append(set, self->features, NULL, canary->label,
                                          self->allocator);
        }
        WITAN_TRY(told(self, status));
    }
    return WITAN_OK;
}

witan_status
witan_dataset_plant(witan_dataset *set, const uint32_t *own, size_t own_count,
                    const witan_canary_plan *plan, uint32_t client, uint32_t **rows,
                    size_t *count, const witan_allocator *allocator, witan_diag *diag)
{
    planter self = {.plan = plan, .allocator = allocator, .diag = diag};
    size_t planted = 0, held = own != NULL ? own_count : set->samples;
    witan_random random;
    *rows = NULL;
    *count = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const witan_canary *canary = &plan->canary[i];
        planted +=
            canary->inserted && canary->client == client ? canary->repetitions : 0;
    }
    WITAN_TRY(check_set(&self, set));
    if (plan->kind == WITAN_CANARY_TEXT) {
        WITAN_TRY(check_absent(&self, (const witan_dataset *const[]){set},
                               (const char *const[]){"client's"}, 1));
    }
    uint32_t *list = witan_alloc(allocator, planted, sizeof *list);
    if (list == NULL) {
        return fail_memory(&self);
    }
    witan_status status = planter_init(&self, set);
    witan_random_init(&random, plan->seed, client, 0, WITAN_PURPOSE_CANARY);
    for (size_t i = 0, at = 0; i < plan->count && status == WITAN_OK; i++) {
        const witan_canary *canary = &plan->canary[i];
        if (canary->inserted && canary->client == client) {
            status = plant_canary(&self, set, i, own, held, &random, list + at);
            at += canary->repetitions;
        }
    }
    planter_fini(&self);
    if (status != WITAN_OK) {
        witan_free(allocator, list);
        return status;
    }
    *rows = list;
    *count = planted;
    return WITAN_OK;
}

/* --- a world ---------------------------------------------------------------------- */

static witan_status
check_world(const planter *self, const witan_world *world)
{
    const witan_canary_plan *plan = self->plan;
    const witan_dataset *transfer =
        world->transfer.rows == &world->second_rows ? &world->second : &world->train;
    if (world->planted != NULL) {
        return witan_diag_fail(self->diag, WITAN_E_STATE,
                               "canary plan: one was planted already");
    }
    WITAN_TRY(check_set(self, &world->train));
    for (size_t i = 0; i < plan->holders_count; i++) {
        if (plan->holders[i] >= world->partition.clients) {
            return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                                   "canary plan: client %u holds canaries, but the "
                                   "experiment has clients 0 to %zu; draw a plan for "
                                   "it",
                                   plan->holders[i], world->partition.clients - 1);
        }
    }
    if (plan->transfer != WITAN_TRANSFER_WITHOUT &&
        (transfer->bytes != NULL) != (world->train.bytes != NULL)) {
        return witan_diag_fail(self->diag, WITAN_E_CONFIG,
                               "canary plan: transfer.path and data.path hold "
                               "different kinds of numbers, so canaries cannot stand "
                               "in both; draw a plan with --transfer without");
    }
    if (plan->kind != WITAN_CANARY_TEXT) {
        return WITAN_OK;
    }
    const witan_dataset *const sets[] = {&world->train, &world->valid, &world->test,
                                         &world->second};
    static const char *const names[] = {"training", "validation", "test", "transfer"};
    return check_absent(self, sets, names, sizeof names / sizeof *names);
}

/* A list [partition's + canaries] for every holder, filled with the partition's. */
static witan_status
make_lists(const planter *self, witan_world *world)
{
    const witan_canary_plan *plan = self->plan;
    size_t clients = world->partition.clients;
    world->planted = witan_zalloc(self->allocator, clients, sizeof *world->planted);
    world->planted_count =
        witan_zalloc(self->allocator, clients, sizeof *world->planted_count);
    if (world->planted == NULL || world->planted_count == NULL) {
        return fail_memory(self);
    }
    for (size_t i = 0; i < plan->count; i++) {
        const witan_canary *canary = &plan->canary[i];
        world->planted_count[canary->client] +=
            canary->inserted ? canary->repetitions : 0;
    }
    for (size_t n = 0; n < clients; n++) {
        const witan_indices *own = &world->partition.train[n];
        if (world->planted_count[n] == 0) {
            continue;
        }
        world->planted[n] =
            witan_alloc(self->allocator, own->count + world->planted_count[n],
                        sizeof **world->planted);
        if (world->planted[n] == NULL) {
            return fail_memory(self);
        }
        memcpy(world->planted[n], own->items, own->count * sizeof *own->items);
    }
    return WITAN_OK;
}

/* Where a holder's next canary goes, and its stream. */
typedef struct holder {
    witan_random random;
    size_t count; /* of its list so far; 0: not begun */
} holder;

static witan_status
plant_private(planter *self, witan_world *world)
{
    const witan_canary_plan *plan = self->plan;
    witan_status status = WITAN_OK;
    holder *holders =
        witan_zalloc(self->allocator, world->partition.clients, sizeof *holders);
    if (holders == NULL) {
        return fail_memory(self);
    }
    for (size_t i = 0; i < plan->count && status == WITAN_OK; i++) {
        const witan_canary *canary = &plan->canary[i];
        if (!canary->inserted) {
            continue;
        }
        holder *it = &holders[canary->client];
        const witan_indices *own = &world->partition.train[canary->client];
        if (it->count == 0) {
            it->count = own->count;
            witan_random_init(&it->random, plan->seed, canary->client, 0,
                              WITAN_PURPOSE_CANARY);
        }
        status = plant_canary(self, &world->train, i, own->items, own->count,
                              &it->random, world->planted[canary->client] + it->count);
        it->count += canary->repetitions;
    }
    witan_free(self->allocator, holders);
    return status;
}

/* One row more of the transfer part, which shows `fill` (of text), else `canary`. */
static witan_status
plant_probe(planter *self, witan_world *world, witan_dataset *set, uint32_t canary,
            const uint32_t *fill, witan_random *random)
{
    const witan_part *part = &world->transfer;
    witan_probe *probe = &world->probe[world->probes];
    uint32_t *index = &world->planted_transfer[part->count + world->probes];
    witan_status status;
    *index = (uint32_t)set->samples;
    *probe = (witan_probe){(uint32_t)(part->count + world->probes), 0, canary};
    if (self->plan->kind == WITAN_CANARY_TEXT) {
        uint32_t source =
            part->indices[witan_random_below(random, (uint32_t)part->count)];
        status = append_window(self, set, source, fill, random, &probe->offset);
    } else {
        uint32_t label = self->plan->canary[canary].label;
        make_features(self, set, canary);
        status =
            witan_dataset_append(set, self->features, NULL,
                                 label < set->classes ? label : 0, self->allocator);
    }
    world->probes += status == WITAN_OK;
    return told(self, status);
}

static witan_status
plant_other_fills(planter *self, witan_world *world, witan_dataset *set,
                  witan_random *random)
{
    const witan_canary_plan *plan = self->plan;
    size_t holes = plan->compiled.holes;
    uint32_t *fills =
        witan_alloc(self->allocator, plan->transfer_rows, holes * sizeof *fills);
    if (fills == NULL) {
        return fail_memory(self);
    }
    witan_status status =
        witan_canary_draw(fills, plan->transfer_rows, plan->fills, plan->count,
                          &plan->compiled, random, self->allocator, self->diag);
    for (size_t i = 0; i < plan->transfer_rows && status == WITAN_OK; i++) {
        status = plant_probe(self, world, set, UINT32_MAX, fills + i * holes, random);
    }
    witan_free(self->allocator, fills);
    return status == WITAN_E_MEMORY ? fail_memory(self) : status;
}

static witan_status
plant_transfer(planter *self, witan_world *world)
{
    const witan_canary_plan *plan = self->plan;
    witan_part *part = &world->transfer;
    bool second = part->rows == &world->second_rows;
    witan_dataset *set = second ? &world->second : &world->train;
    size_t rows = plan->transfer_rows;
    if (plan->transfer == WITAN_TRANSFER_WITHOUT || part->count == 0) {
        return WITAN_OK;
    }
    if (plan->transfer == WITAN_TRANSFER_CANARIES) {
        rows =
            plan->count <= WITAN_CANARY_ROWS_MAX / rows ? rows * plan->count : SIZE_MAX;
    }
    if (rows > WITAN_CANARY_ROWS_MAX) {
        return witan_diag_fail(self->diag, WITAN_E_LIMIT,
                               "canary plan: more than %zu rows for the transfer set; "
                               "draw one with fewer --transfer-rows",
                               WITAN_CANARY_ROWS_MAX);
    }
    world->planted_transfer = witan_alloc(self->allocator, part->count + rows,
                                          sizeof *world->planted_transfer);
    world->probe = witan_alloc(self->allocator, rows, sizeof *world->probe);
    if (world->planted_transfer == NULL || world->probe == NULL) {
        return fail_memory(self);
    }
    memcpy(world->planted_transfer, part->indices, part->count * sizeof *part->indices);
    witan_random random;
    witan_random_init(&random, plan->seed, WITAN_CLIENT_NONE, 1, WITAN_PURPOSE_CANARY);
    if (plan->transfer == WITAN_TRANSFER_TEMPLATE) {
        WITAN_TRY(plant_other_fills(self, world, set, &random));
    }
    for (size_t i = 0; plan->transfer == WITAN_TRANSFER_CANARIES && i < rows; i++) {
        size_t number = i / plan->transfer_rows;
        WITAN_TRY(plant_probe(self, world, set, (uint32_t)number,
                              plan->canary[number].fill, &random));
    }
    part->indices = world->planted_transfer;
    part->count += world->probes;
    return WITAN_OK;
}

witan_status
witan_world_plant(witan_world *self, const witan_canary_plan *plan,
                  const witan_allocator *allocator, witan_diag *diag)
{
    planter gardener = {
        .plan = plan, .test = &self->test, .allocator = allocator, .diag = diag};
    WITAN_TRY(check_world(&gardener, self));
    witan_status status = planter_init(&gardener, &self->train);
    if (status == WITAN_OK) {
        status = make_lists(&gardener, self);
    }
    if (status == WITAN_OK) {
        status = plant_private(&gardener, self);
    }
    if (status == WITAN_OK) {
        status = plant_transfer(&gardener, self);
    }
    planter_fini(&gardener);
    if (status == WITAN_OK) {
        memcpy(self->planted_digest, plan->digest, sizeof self->planted_digest);
    }
    return status;
}
