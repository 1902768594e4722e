/* Search over fills: a model whose probabilities are known exactly against brute force;
 * ranks, ties, nodes, golden values of NumPy. */
#include "privacy/search.h"

#include <math.h>
#include <string.h>

#include "canary_forms.h"
#include "num/softmax.h"
#include "privacy/exposure.h"

enum {
    V = 21,    /* of canary_forms.h */
    STATE = 3, /* token before the last, last position, a mark */
    MARK = 77,
    LONGEST = 256
};

/* Logits of what follows are a function of the last two tokens and the position. It
 * checks that it is asked as it may be. */
typedef struct markov {
    float table[V][V][V];
    float swing;           /* strength of the position */
    const uint32_t *knows; /* tokens it has learned by heart, [slots], or NULL */
    float sure;            /* logit of these */
    float spoil;           /* logit that one answer holds, not 0 */
    size_t spoil_position;
    bool attends;
    size_t batch, asked, calls, largest;
} markov;

static markov chain; /* one is enough; too large for a stack */

static void
markov_logits(const markov *self, float *z, uint32_t before, uint32_t token,
              size_t position)
{
    for (uint32_t v = 0; v < V; v++) {
        z[v] = self->table[before][token][v] +
               self->swing * (float)sin((double)(position + 1) * (v + 1.7));
        if (self->knows != NULL) {
            z[v] = v == self->knows[position + 1] ? self->sure : 0.0F;
        }
    }
    if (self->spoil != 0.0F && position == self->spoil_position) {
        z[3] = self->spoil;
    }
}

static void
markov_step(void *context, float *to, float *z, const float *from,
            const uint32_t *parent, const uint32_t *tokens, size_t count,
            size_t position)
{
    markov *self = context;
    CHECK(count >= 1 && count <= self->batch && z != NULL);
    CHECK((from == NULL) == (position == 0));
    CHECK(to != NULL || !self->attends);
    self->asked += count;
    self->calls++;
    self->largest = count > self->largest ? count : self->largest;
    for (size_t i = 0; i < count; i++) {
        uint32_t before = 0;
        if (from != NULL) {
            const float *state = from + (parent == NULL ? i : parent[i]) * STATE;
            CHECK(to == NULL || state + STATE <= to || state >= to + count * STATE);
            before = (uint32_t)state[0];
            if (!CHECK(state[2] == MARK && state[1] == (float)(position - 1))) {
                exit(1);
            }
        }
        if (to != NULL) {
            to[i * STATE] = (float)tokens[i];
            to[i * STATE + 1] = (float)position;
            to[i * STATE + 2] = MARK;
        }
        markov_logits(self, z + i * V, before, tokens[i], position);
    }
}

/* spread: 0 knows nothing, 5 is sure of much. */
static witan_token_model
markov_init(double spread, double swing, size_t batch, uint64_t seed)
{
    witan_random random;
    witan_random_init(&random, seed, 0, 0, WITAN_PURPOSE_TEST);
    memset(&chain, 0, sizeof chain);
    for (size_t i = 0; i < V * V * V; i++) {
        (&chain.table[0][0][0])[i] = (float)(spread * witan_random_normal(&random));
    }
    chain.swing = (float)swing;
    chain.batch = batch;
    return (witan_token_model){V, STATE, batch, markov_step, &chain, false};
}

/* One fill, token by token, by definition. */
static double
surprise_of(const witan_canary_template *form, const uint32_t *fill)
{
    uint32_t tokens[LONGEST];
    double sum = 0.0;
    bool counts = false;
    witan_canary_tokens(form, fill, tokens);
    for (size_t i = 1; i < form->slots; i++) {
        float z[V];
        markov_logits(&chain, z, i < 2 ? 0 : tokens[i - 2], tokens[i - 1], i - 1);
        counts |= form->slot[i].alphabet > 0;
        if (counts) {
            double total = 0.0;
            for (size_t v = 0; v < V; v++) {
                total += exp((double)z[v]);
            }
            sum += log(total) - (double)z[tokens[i]];
        }
    }
    return sum;
}

static void
fill_at(const witan_canary_template *form, uint64_t index, uint32_t *fill)
{
    size_t h = form->holes;
    for (size_t i = form->slots; i-- > 0;) {
        if (form->slot[i].alphabet > 0) {
            fill[--h] = (uint32_t)(index % form->slot[i].alphabet);
            index /= form->slot[i].alphabet;
        }
    }
}

static const char *const forms[] = {
    "i{d1}",           "id {d3}",      "id {d2}-{d2}",      "a{d1}b{d1}9{d1}s",
    "is{d2} is {d1}a", "{{id}} {d4}a", "a{d1} is a {d1}id",
};
enum {
    FORMS = sizeof forms / sizeof *forms
};
static witan_canary_template form;
static double all[10000], brute[10000];

static void
all_equals_brute_force(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    const size_t batches[] = {1, 3, 10, 64, 1024};
    for (size_t f = 0; f < FORMS; f++) {
        compile(&form, forms[f], &vocabulary);
        uint64_t space = (uint64_t)form.space;
        for (size_t b = 0; b < 5; b++) {
            witan_token_model model = markov_init(2.0, 0.5, batches[b], 5);
            model.attends = chain.attends = b % 2 == 1;
            CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
            static uint32_t fills[10000 * 4];
            for (uint64_t i = 0; i < space; i++) {
                uint32_t *fill = fills + i * form.holes;
                fill_at(&form, i, fill);
                CHECK(witan_search_index(&form, fill) == i);
                CHECK_NEAR(all[i], surprise_of(&form, fill), 1e-12, 1e-12);
            }
            double *given = brute;
            CHECK_STATUS(
                witan_search_fills(given, fills, (size_t)space, &form, &model, heap),
                WITAN_OK);
            CHECK(memcmp(given, all, (size_t)space * sizeof *all) == 0);
            CHECK_STATUS(witan_search_fills(given, fills, 0, &form, &model, heap),
                         WITAN_OK);
        }
        witan_canary_template_fini(&form, heap);
    }
    witan_vocabulary_fini(&vocabulary, heap);
}

/* One question per prefix, not per fill, in full batches. */
static void
asks_prefixes(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    witan_token_model model = markov_init(1.0, 0.0, 256, 6);
    compile(&form, "id {d4}", &vocabulary);
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
    CHECK(chain.asked == 2 + 1 + 10 + 100 + 1000 && chain.largest == 256);
    CHECK(chain.calls == 2 + 1 + 1 + 1 + 4);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

/* NumPy's numbers for a chain of the first order: same table, float64. */
static void
equals_numpy(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    witan_golden table = witan_golden_load("privacy/search_table");
    witan_golden expected = witan_golden_load("privacy/search_surprise");
    witan_golden p = witan_golden_load("privacy/product_p");
    witan_golden ranks = witan_golden_load("privacy/product_rank");
    witan_token_model model = markov_init(0.0, 0.0, 32, 1);
    for (size_t before = 0; before < V; before++) {
        for (size_t i = 0; i < V * V; i++) {
            (&chain.table[before][0][0])[i] = (float)table.values[i];
        }
    }
    compile(&form, "id {d2}-{d1}s", &vocabulary);
    CHECK(expected.count == 1000 && table.count == V * V && ranks.count == 1000);
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
    float *q = witan_golden_floats(&p);
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t fill[3];
        double rank;
        CHECK_NEAR(all[i], expected.values[i], 0, 1e-12);
        fill_at(&form, i, fill);
        CHECK_STATUS(witan_search_product_rank(&rank, fill, q, V, &form, 0, NULL, heap),
                     WITAN_OK);
        CHECK_NEAR(rank, ranks.values[i], 0, 0);
    }
    free(q);
    witan_golden_free(&table);
    witan_golden_free(&expected);
    witan_golden_free(&p);
    witan_golden_free(&ranks);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static size_t
least_of(const double *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        best = values[i] < values[best] ? i : best;
    }
    return best;
}

static void
extracts_the_minimum(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static witan_extraction found;
    for (size_t f = 0; f < FORMS; f++) {
        compile(&form, forms[f], &vocabulary);
        size_t space = (size_t)form.space;
        const size_t batches[] = {1, 7, 64};
        for (size_t run = 0; run < 36; run++) {
            double spread = (double)(run / 3 % 4) * 1.5; /* 0: position alone */
            witan_token_model model =
                markov_init(spread, 0.3, batches[run % 3], 100 + run / 3);
            model.attends = chain.attends = run % 2 == 0;
            CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
            CHECK_STATUS(witan_search_extract(&found, &form, &model, UINT64_MAX, heap),
                         WITAN_OK);
            size_t best = least_of(all, space);
            CHECK(found.found && found.surprise == all[best]);
            CHECK(witan_search_index(&form, found.fill) == best);
        }
        witan_canary_template_fini(&form, heap);
    }
    witan_vocabulary_fini(&vocabulary, heap);
}

/* A sure model is asked about few prefixes, one that knows nothing about all. */
static void
extraction_counts_nodes(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static witan_extraction found, again;
    compile(&form, "id {d4}", &vocabulary);
    witan_token_model model = markov_init(4.0, 0.0, 16, 7);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 1111, heap), WITAN_OK);
    CHECK(found.found && found.nodes < 111 && found.nodes == chain.asked - 2);

    /* Popped one by one, it is Dijkstra's: so many nodes are needed and no fewer. */
    model = markov_init(1.5, 0.0, 1, 8);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 1111, heap), WITAN_OK);
    CHECK(found.found && found.nodes > 20 && found.nodes < 700);
    CHECK_STATUS(witan_search_extract(&again, &form, &model, found.nodes, heap),
                 WITAN_OK);
    CHECK(again.found && again.nodes == found.nodes &&
          again.surprise == found.surprise);
    for (uint64_t most = 0; most < found.nodes; most++) {
        CHECK_STATUS(witan_search_extract(&again, &form, &model, most, heap), WITAN_OK);
        CHECK(!again.found && again.nodes == most && isnan(again.surprise));
    }
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
    size_t fewer = 0; /* prefixes that are likelier than the best fill, by definition */
    double best = all[least_of(all, 10000)];
    for (size_t length = 0, prefixes = 1; length < 4; length++, prefixes *= 10) {
        static witan_canary_template part;
        char text[] = "id {d0}";
        text[5] = (char)('0' + length);
        fewer += length == 0;
        if (length > 0) {
            compile(&part, text, &vocabulary);
            CHECK_STATUS(witan_search_all(brute, &part, &model, heap), WITAN_OK);
            for (size_t i = 0; i < prefixes; i++) {
                fewer += brute[i] < best;
            }
            witan_canary_template_fini(&part, heap);
        }
    }
    CHECK(found.nodes == fewer);

    /* Ties everywhere: all prefixes, any of the fills. */
    model = markov_init(0.0, 0.0, 64, 9);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 1111, heap), WITAN_OK);
    CHECK(found.found && found.nodes == 1111);
    CHECK_NEAR(found.surprise, 4 * log(V), 1e-12, 0);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 1110, heap), WITAN_OK);
    CHECK(!found.found && found.nodes == 1110);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

/* Two best fills of the same surprise: one of them. */
static void
extracts_one_of_two(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static witan_extraction found;
    compile(&form, "i{d2}", &vocabulary);
    witan_token_model model = markov_init(0.0, 0.0, 8, 1);
    for (size_t before = 0; before < V; before++) {
        for (size_t t = 0; t < V; t++) {
            chain.table[before][t][2] = chain.table[before][t][7] = 3.0F;
        }
    }
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 100, heap), WITAN_OK);
    CHECK(found.found && found.surprise == all[least_of(all, 100)]);
    CHECK(all[witan_search_index(&form, found.fill)] == found.surprise);
    double rank;
    uint64_t equal;
    witan_search_rank(&rank, &equal, found.surprise, all, 100);
    CHECK(rank == 4 && equal == 3);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static void
knows_one_fill(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static witan_extraction found;
    uint32_t tokens[LONGEST];
    const uint32_t fill[] = {4, 0, 9, 2};
    compile(&form, "id {d2}-{d2}s", &vocabulary);
    witan_canary_tokens(&form, fill, tokens);
    witan_token_model model = markov_init(0.0, 0.0, 64, 1);
    chain.knows = tokens;
    chain.sure = 15.0F;
    double rank, exposure, value;
    uint64_t equal;
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
    CHECK_STATUS(witan_search_fills(&value, fill, 1, &form, &model, heap), WITAN_OK);
    witan_search_rank(&rank, &equal, value, all, 10000);
    CHECK(rank == 1 && equal == 0);
    CHECK_STATUS(witan_exposure_rank(&exposure, rank, form.space), WITAN_OK);
    CHECK_NEAR(exposure, log2(1e4), 1e-12, 0);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 50, heap), WITAN_OK);
    CHECK(found.found && memcmp(found.fill, fill, sizeof fill) == 0 &&
          found.nodes <= 32);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

/* Canaries that the model never saw: mean exposure 1.4427 - 0.0003 of 10^4 fills,
 * within 3 standard errors; one seed in 370 would fail. A model without an opinion
 * ties: 0. */
static void
null_exposure(void)
{
    enum {
        N = 1000
    };
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    witan_token_model model = markov_init(1.0, 0.5, 256, 12);
    witan_random random;
    witan_random_init(&random, witan_test_seed(12), 0, 0, WITAN_PURPOSE_TEST);
    compile(&form, "id {d4}", &vocabulary);
    static uint32_t fills[N * 4];
    CHECK_STATUS(witan_canary_draw(fills, N, NULL, 0, &form, &random, heap, NULL),
                 WITAN_OK);
    for (int blank = 0; blank < 2; blank++) {
        double sum = 0.0;
        if (blank) {
            model = markov_init(0.0, 0.0, 256, 12);
        }
        CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_OK);
        for (size_t i = 0; i < N; i++) {
            double rank, exposure;
            uint64_t equal;
            witan_search_rank(&rank, &equal,
                              all[witan_search_index(&form, fills + 4 * i)], all,
                              10000);
            CHECK(equal == (blank ? 9999 : 0));
            CHECK_STATUS(witan_exposure_rank(&exposure, rank, form.space), WITAN_OK);
            sum += exposure;
        }
        CHECK_NEAR(sum / N, blank ? 0.0 : WITAN_EXPOSURE_NULL_MEAN,
                   blank ? 0.0 : 3 * WITAN_EXPOSURE_NULL_SD / sqrt(N), 0);
    }
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

/* 200 holes and a probability of e^-4600: a sum of logarithms. */
static void
does_not_underflow(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static uint32_t fills[2 * 200], tokens[201];
    compile(&form, "i{d200}", &vocabulary);
    witan_canary_tokens(&form, fills, tokens);
    witan_token_model model = markov_init(0.0, 0.0, 2, 1);
    chain.knows = tokens;
    chain.sure = 23.0F;
    for (size_t i = 0; i < 200; i++) {
        fills[200 + i] = 1;
    }
    double value[2];
    CHECK_STATUS(witan_search_fills(value, fills, 2, &form, &model, heap), WITAN_OK);
    double sum = log(exp(23.0) + V - 1);
    CHECK_NEAR(value[0], 200 * (sum - 23.0), 1e-12, 1e-6);
    CHECK_NEAR(value[1], 200 * sum, 0, 1e-12);
    static witan_extraction found;
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 2000, heap), WITAN_OK);
    CHECK(found.found && found.surprise == value[0]);
    CHECK(memcmp(found.fill, fills, 200 * sizeof *fills) == 0);
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_E_LIMIT);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static void
refuses_numbers(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static witan_extraction found;
    const float spoils[] = {(float)NAN, (float)INFINITY, -(float)INFINITY};
    const uint32_t fill[] = {1, 2, 3};
    double value;
    compile(&form, "i{d1}a{d2}a", &vocabulary); /* a is token 3 */
    for (size_t s = 0; s < 3; s++) {
        for (size_t position = 0; position < form.slots - 1; position++) {
            witan_token_model model = markov_init(1.0, 0.0, 8, 3);
            chain.spoil = spoils[s];
            chain.spoil_position = position;
            /* A logit of -infinity only matters where the template has this token. */
            witan_status expected =
                s < 2 || position == 1 || position == 4 ? WITAN_E_NUMERIC : WITAN_OK;
            CHECK_STATUS(witan_search_all(all, &form, &model, heap), expected);
            CHECK_STATUS(witan_search_fills(&value, fill, 1, &form, &model, heap),
                         expected);
            CHECK_STATUS(witan_search_extract(&found, &form, &model, 1000, heap),
                         expected);
            CHECK(found.found == (expected == WITAN_OK));
        }
    }
    witan_token_model model = markov_init(1.0, 0.0, 8, 3);
    model.vocabulary = 16; /* the template's 6 is token 15, its 8 token 16 */
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_E_INVALID);
    CHECK_STATUS(witan_search_fills(&value, fill, 1, &form, &model, heap),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_search_extract(&found, &form, &model, 9, heap), WITAN_E_INVALID);
    model = markov_init(1.0, 0.0, 0, 3);
    CHECK_STATUS(witan_search_all(all, &form, &model, heap), WITAN_E_INVALID);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static void
ranks_values(void)
{
    const double values[] = {3.0, 1.0, 2.0, 2.0, 5.0, 2.0};
    const double expected[] = {5, 1, 4, 4, 6, 4};
    for (size_t i = 0; i < 6; i++) {
        double rank;
        uint64_t equal;
        witan_search_rank(&rank, &equal, values[i], values, 6);
        CHECK(rank == expected[i] && equal == (values[i] == 2.0 ? 2 : 0));
    }
}

/* Products by definition; zeros count as half a step. */
static double
product_of(const float *p, const uint32_t *fill)
{
    double product = 1.0;
    size_t h = 0;
    for (size_t i = 0; i < form.slots; i++) {
        if (form.slot[i].alphabet > 0) {
            double one = (double)p[h * V + form.slot[i].symbols[fill[h]]];
            product *= fmax(one, 0.5 / 65535.0);
            h++;
        }
    }
    return product;
}

static void
product_ranks(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    witan_random random;
    witan_random_init(&random, witan_test_seed(15), 0, 0, WITAN_PURPOSE_TEST);
    const char *const some[] = {"i{d1}", "i{d2}", "i{d3}a", "i{d2}b{d2}"};
    for (size_t run = 0; run < 24; run++) {
        compile(&form, some[run % 4], &vocabulary);
        float p[4 * V];
        for (size_t i = 0; i < 4 * V; i++) {
            /* Few different values in every second run: many ties, zeros among them. */
            double u = witan_random_uniform(&random);
            p[i] = (float)(run / 4 % 2 == 0 ? u : 0.25 * floor(4 * u));
        }
        size_t space = (size_t)form.space;
        uint32_t fill[4];
        for (size_t i = 0; i < space; i++) {
            fill_at(&form, i, fill);
            brute[i] = product_of(p, fill);
        }
        for (size_t i = 0; i < space; i += 1 + space / 40) {
            double rank, expected = 0.0;
            for (size_t j = 0; j < space; j++) {
                expected += brute[j] >= brute[i] * (1 - 1e-13);
            }
            fill_at(&form, i, fill);
            CHECK_STATUS(
                witan_search_product_rank(&rank, fill, p, V, &form, 0, NULL, heap),
                WITAN_OK);
            CHECK_NEAR(rank, expected, 0, 0);
        }
        witan_canary_template_fini(&form, heap);
    }
    witan_vocabulary_fini(&vocabulary, heap);
}

/* Ten digits: exact still; fourteen: estimated, from 1/draws to all. */
static void
product_ranks_of_large_spaces(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    static float p[14 * V];
    uint32_t fill[14] = {0};
    double rank;
    witan_random random;
    witan_random_init(&random, witan_test_seed(16), 0, 0, WITAN_PURPOSE_TEST);
    compile(&form, "i{d10}", &vocabulary);
    for (size_t i = 0; i < 14 * V; i++) {
        p[i] = 0.05F;
    }
    CHECK_STATUS(witan_search_product_rank(&rank, fill, p, V, &form, 0, NULL, heap),
                 WITAN_OK);
    CHECK_NEAR(rank, 1e10, 0, 0);
    for (uint32_t s = 0; s < 10; s++) { /* the last digit alone decides */
        p[9 * V + form.slot[1].symbols[s]] = 0.01F * (float)(s + 1);
    }
    fill[9] = 7;
    CHECK_STATUS(witan_search_product_rank(&rank, fill, p, V, &form, 0, NULL, heap),
                 WITAN_OK);
    CHECK_NEAR(rank, 3e9, 0, 0);
    witan_canary_template_fini(&form, heap);

    compile(&form, "i{d14}", &vocabulary);
    CHECK_STATUS(witan_search_product_rank(&rank, fill, p, V, &form, 0, &random, heap),
                 WITAN_E_INVALID);
    CHECK_STATUS(witan_search_product_rank(&rank, fill, p, V, &form, 9, NULL, heap),
                 WITAN_E_INVALID);
    CHECK(isnan(rank));
    CHECK_STATUS(
        witan_search_product_rank(&rank, fill, p, V, &form, 4000, &random, heap),
        WITAN_OK);
    CHECK_NEAR(rank, 3e13, 4e14 * sqrt(0.3 * 0.7 / 4000), 0); /* 4 sd: 6e-5 */
    fill[9] = 0;
    CHECK_STATUS(
        witan_search_product_rank(&rank, fill, p, V, &form, 100, &random, heap),
        WITAN_OK);
    CHECK_NEAR(rank, 1e14, 0, 0);
    for (size_t h = 0; h < 14; h++) {
        p[h * V + form.slot[1].symbols[fill[h]]] = 1.0F;
    }
    CHECK_STATUS(
        witan_search_product_rank(&rank, fill, p, V, &form, 100, &random, heap),
        WITAN_OK);
    CHECK_NEAR(rank, 1e12, 0, 1e-12);
    witan_canary_template_fini(&form, heap);

    /* What lies below half a step is as good as nothing; half a step is not. */
    compile(&form, "i{d1}", &vocabulary);
    const float below[] = {0.0F, 1e-6F, 7.6e-6F, 7.7e-6F};
    const double ranks[] = {10, 10, 10, 7};
    for (uint32_t s = 0; s < 4; s++) {
        p[form.slot[1].symbols[s]] = below[s];
    }
    for (uint32_t s = 0; s < 4; s++) {
        CHECK_STATUS(witan_search_product_rank(&rank, &s, p, V, &form, 0, NULL, heap),
                     WITAN_OK);
        CHECK_NEAR(rank, ranks[s], 0, 0);
    }
    witan_canary_template_fini(&form, heap);
    compile(&form, "i{d14}", &vocabulary);
    const float bad[] = {(float)NAN, -1e-6F, (float)INFINITY};
    for (size_t i = 0; i < 3; i++) {
        p[13 * V + form.slot[1].symbols[9]] = bad[i];
        CHECK_STATUS(
            witan_search_product_rank(&rank, fill, p, V, &form, 9, &random, heap),
            WITAN_E_NUMERIC);
    }
    CHECK_STATUS(witan_search_product_rank(&rank, fill, p, 16, &form, 9, &random, heap),
                 WITAN_E_INVALID);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static witan_status
every_search(const witan_token_model *model, int which,
             const witan_allocator *allocator)
{
    static witan_extraction found;
    static const uint32_t fills[3 * 4] = {1, 2, 3, 4, 5};
    static float p[4 * V];
    double values[3];
    switch (which) {
    case 0:
        return witan_search_all(all, &form, model, allocator);
    case 1:
        return witan_search_fills(values, fills, 3, &form, model, allocator);
    case 2:
        return witan_search_extract(&found, &form, model, 10000, allocator);
    default:
        return witan_search_product_rank(values, fills, p, V, &form, 0, NULL,
                                         allocator);
    }
}

static void
survives_no_memory(void)
{
    witan_vocabulary vocabulary = characters();
    compile(&form, "id {d2}-{d2}a", &vocabulary);
    witan_token_model model = markov_init(1.0, 0.0, 4, 2);
    for (int which = 0; which < 4; which++) {
        for (size_t fail_at = 1;; fail_at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, fail_at);
            witan_status status = every_search(&model, which, &failing.allocator);
            CHECK(failing.live == 0);
            if (status == WITAN_OK) {
                CHECK(fail_at > 3);
                break;
            }
            CHECK_STATUS(status, WITAN_E_MEMORY);
        }
    }
    witan_canary_template_fini(&form, witan_allocator_default());
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

int
main(void)
{
    RUN(all_equals_brute_force);
    RUN(asks_prefixes);
    RUN(equals_numpy);
    RUN(extracts_the_minimum);
    RUN(extraction_counts_nodes);
    RUN(extracts_one_of_two);
    RUN(knows_one_fill);
    RUN(null_exposure);
    RUN(does_not_underflow);
    RUN(refuses_numbers);
    RUN(ranks_values);
    RUN(product_ranks);
    RUN(product_ranks_of_large_spaces);
    RUN(survives_no_memory);
    return witan_test_finish();
}
