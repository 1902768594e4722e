/* Canary templates: grammar and its errors by place; draws without replacement; plans:
 * what they hold, what is refused, that they are functions of their seed. */
#include "canary_forms.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"

static void
compiles_characters(void)
{
    witan_vocabulary vocabulary = characters();
    static witan_canary_template form;
    compile(&form, "id {{é}} {d3}-{d2}s", &vocabulary);
    CHECK(form.slots == 14 && form.holes == 5);
    CHECK_NEAR(form.space, 1e5, 0, 0);
    const char *literals[] = {"i", "d", " ", "{", "é", "}", " ",
                              "",  "",  "",  "-", "",  ""};
    for (size_t i = 0; i < 13; i++) {
        const witan_canary_slot *slot = &form.slot[i];
        if (*literals[i] != '\0') {
            CHECK(slot->alphabet == 0);
            CHECK_STRING(vocabulary.names[slot->token], literals[i]);
            continue;
        }
        CHECK(slot->alphabet == 10);
        for (uint32_t s = 0; s < 10; s++) {
            CHECK(s == 0 || slot->symbols[s] > slot->symbols[s - 1]);
            const char *name = vocabulary.names[slot->symbols[s]];
            CHECK(name[0] >= '0' && name[0] <= '9' && name[1] == '\0');
            CHECK(witan_canary_symbol(&form, i, slot->symbols[s]) == s);
        }
        CHECK(witan_canary_symbol(&form, i, 3) == UINT32_MAX); /* a */
        CHECK(witan_canary_symbol(&form, i, 99) == UINT32_MAX);
        CHECK(witan_canary_symbol(&form, i, 0) == UINT32_MAX);
    }
    CHECK(witan_canary_symbol(&form, 0, form.slot[0].token) == UINT32_MAX);
    /* Ascending tokens are 7 0 1 9 2 3 4 5 6 8. */
    const uint32_t fill[] = {0, 1, 2, 3, 9};
    uint32_t tokens[14];
    char text[64] = "";
    witan_canary_tokens(&form, fill, tokens);
    for (size_t i = 0; i < form.slots; i++) {
        strcat(text, vocabulary.names[tokens[i]]);
    }
    CHECK_STRING(text, "id {é} 701-98s");
    witan_canary_template_fini(&form, witan_allocator_default());
    witan_canary_template_fini(&form, witan_allocator_default());
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

static void
compiles_letters(void)
{
    const char *names[27] = {"<unk>"};
    char letters[26][2];
    for (size_t i = 0; i < 26; i++) { /* z to a */
        snprintf(letters[i], sizeof letters[i], "%c", (int)('z' - i));
        names[i + 1] = letters[i];
    }
    witan_vocabulary vocabulary = vocabulary_of(WITAN_TEXT_CHARACTER, names, 27);
    static witan_canary_template form;
    compile(&form, "pin{a2}q{a1}", &vocabulary);
    CHECK(form.slots == 7 && form.holes == 3 && form.slot[3].alphabet == 26);
    CHECK_NEAR(form.space, 26 * 26 * 26, 0, 0);
    CHECK(form.slot[3].symbols[0] == 1 && form.slot[3].symbols[25] == 26);
    witan_canary_template_fini(&form, witan_allocator_default());
    /* 26^217 fills are a number, 26^218 are not. */
    compile(&form, "p{a217}", &vocabulary);
    CHECK(isfinite(form.space) && form.slots == 218);
    witan_canary_template_fini(&form, witan_allocator_default());
    witan_diag diag = {0};
    CHECK_STATUS(witan_canary_template_compile(&form, "p{a218}", &vocabulary,
                                               witan_allocator_default(), &diag),
                 WITAN_E_LIMIT);
    CHECK_CONTAINS(diag.message, "column 2");
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

static void
compiles_words(void)
{
    witan_vocabulary vocabulary = words();
    static witan_canary_template form;
    compile(&form, "the code, is {w:2}.\n", &vocabulary);
    CHECK(form.slots == 8 && form.holes == 2);
    CHECK(form.slot[0].token == 1 && form.slot[1].token == 4 &&
          form.slot[2].token == 3);
    CHECK(form.slot[6].token == 13 && form.slot[7].token == 2);
    const uint32_t expected[] = {1, 4, 5, 7, 8, 9, 10, 11, 14};
    CHECK(form.slot[4].alphabet == 9);
    CHECK(memcmp(form.slot[4].symbols, expected, sizeof expected) == 0);
    CHECK_NEAR(form.space, 81, 0, 0);
    witan_canary_template_fini(&form, witan_allocator_default());
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

typedef struct refusal {
    witan_text_unit unit;
    const char *text;
    witan_status status;
    const char *message, *more;
} refusal;

static void
refuses_templates(void)
{
    static char long_text[WITAN_CANARY_TEMPLATE_MAX + 1];
    memset(long_text, 'a', sizeof long_text - 1);
    const witan_text_unit c = WITAN_TEXT_CHARACTER, w = WITAN_TEXT_WORD;
    const refusal cases[] = {
        {c, "", WITAN_E_CONFIG, "column 1:", "without a hole"},
        {c, "id", WITAN_E_CONFIG, "column 3:", "without a hole"},
        {c, "{d1}", WITAN_E_CONFIG, "column 1:", "begins with a hole"},
        {w, " {w:1}", WITAN_E_CONFIG, "column 1:", "begins with a hole"},
        {c, "id {d}", WITAN_E_CONFIG, "column 4:", "{{"},
        {c, "id {d0}", WITAN_E_CONFIG, "column 4:", "from 1 on"},
        {c, "é {x1}", WITAN_E_CONFIG, "column 3:", "{{"},
        {c, "{{a}} {d2", WITAN_E_CONFIG, "column 7:", "{{"},
        {c, "a{", WITAN_E_CONFIG, "column 2:", "{{"},
        {c, "a{w", WITAN_E_CONFIG, "column 2:", "{{"},
        {c, "a{w1}", WITAN_E_CONFIG, "column 2:", "{{"},
        {c, "a{d1 }", WITAN_E_CONFIG, "column 2:", "{{"},
        {c, "a{d-1}", WITAN_E_CONFIG, "column 2:", "{{"},
        {c, "a{d1}}", WITAN_E_CONFIG, "column 6:", "}}"},
        {c, "a}b{d1}", WITAN_E_CONFIG, "column 2:", "}}"},
        {c, "ida xé{d1}", WITAN_E_CONFIG, "column 5:", "\"x\""},
        {c, "a{d1}ü", WITAN_E_CONFIG, "column 6:", "\"ü\""},
        {c, "a\xC3", WITAN_E_CONFIG, "column 2:", "UTF-8"},
        {c, "a\xFF{d1}", WITAN_E_CONFIG, "column 2:", "UTF-8"},
        {c, "a{w:3}", WITAN_E_CONFIG, "column 2:", "{w:3} needs a vocabulary of words"},
        {c, "a{a1}", WITAN_E_CONFIG, "column 2:", "'c'"},
        {w, "the {d6}", WITAN_E_CONFIG, "column 5:", "use {w:N}"},
        {w, "the {a6}", WITAN_E_CONFIG, "column 5:", "use {w:N}"},
        {w, "the secret {w:1}", WITAN_E_CONFIG, "column 5:", "\"secret\""},
        {c, "a{d1024}", WITAN_E_LIMIT, "column 2:", "10^308"},
        {c, "a{d99999999999999999999}", WITAN_E_LIMIT, "column 2:", ""},
        {c, long_text, WITAN_E_LIMIT, "1024 bytes", "1023"},
    };
    witan_vocabulary vocabularies[] = {characters(), words()};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static witan_canary_template form;
        witan_diag diag = {0};
        CHECK_STATUS(witan_canary_template_compile(&form, cases[i].text,
                                                   &vocabularies[cases[i].unit == w],
                                                   witan_allocator_default(), &diag),
                     cases[i].status);
        CHECK_CONTAINS(diag.message, cases[i].message);
        CHECK_CONTAINS(diag.message, cases[i].more);
        CHECK(form.sets == NULL && form.slots == 0);
    }
    witan_vocabulary_fini(&vocabularies[0], witan_allocator_default());
    witan_vocabulary_fini(&vocabularies[1], witan_allocator_default());
    const char *marks[] = {"<unk>", ".", "'"};
    witan_vocabulary none = vocabulary_of(WITAN_TEXT_WORD, marks, 3);
    witan_diag diag = {0};
    static witan_canary_template form;
    CHECK_STATUS(witan_canary_template_compile(&form, ". {w:1}", &none,
                                               witan_allocator_default(), &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "no word");
    witan_vocabulary_fini(&none, witan_allocator_default());
    const char *one[] = {"<unk>", "a"};
    none = vocabulary_of(WITAN_TEXT_WORD, one, 2);
    diag = (witan_diag){0};
    CHECK_STATUS(witan_canary_template_compile(&form, "a {w:1024}", &none,
                                               witan_allocator_default(), &diag),
                 WITAN_E_LIMIT);
    CHECK_CONTAINS(diag.message, "column 3: more than 1024 tokens");
    witan_vocabulary_fini(&none, witan_allocator_default());
}

/* The published generator's test: three symbols, two holes, nine sequences. */
static void
draws_everything(void)
{
    const witan_allocator *heap = witan_allocator_default();
    const char *names[] = {"<unk>", "A", "b", "c", "+", "="};
    witan_vocabulary vocabulary = vocabulary_of(WITAN_TEXT_WORD, names, 6);
    static witan_canary_template form;
    compile(&form, "={w:1}+{w:1}", &vocabulary);
    CHECK_NEAR(form.space, 9, 0, 0);
    uint32_t fills[20];
    witan_random random;
    witan_random_init(&random, witan_test_seed(1), 0, 0, WITAN_PURPOSE_TEST);
    CHECK_STATUS(witan_canary_draw(fills, 9, NULL, 0, &form, &random, heap, NULL),
                 WITAN_OK);
    unsigned seen = 0;
    for (size_t i = 0; i < 9; i++) {
        CHECK(fills[2 * i] < 3 && fills[2 * i + 1] < 3);
        seen |= 1U << (3 * fills[2 * i] + fills[2 * i + 1]);
    }
    CHECK(seen == 511);
    witan_diag diag = {0};
    CHECK_STATUS(witan_canary_draw(fills, 10, NULL, 0, &form, &random, heap, &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "9 fills");
    CHECK_CONTAINS(diag.message, "10 more beside 0");
    /* What is taken does not come again. */
    const uint32_t taken[] = {0, 0, 2, 1, 1, 1, 2, 1};
    CHECK_STATUS(witan_canary_draw(fills, 5, taken, 4, &form, &random, heap, NULL),
                 WITAN_OK);
    seen = 1U << 0 | 1U << 7 | 1U << 4;
    for (size_t i = 0; i < 5; i++) {
        unsigned bit = 1U << (3 * fills[2 * i] + fills[2 * i + 1]);
        CHECK((seen & bit) == 0);
        seen |= bit;
    }
    CHECK_STATUS(witan_canary_draw(fills, 6, taken, 4, &form, &random, heap, NULL),
                 WITAN_E_CONFIG);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

/* Every fill is as likely as another at every place of a draw: chi-square of 8 degrees
 * above 26.1 once in 1000 seeds, for either place. The reference tool keeps the
 * smallest of sorted candidates instead. */
static void
draws_uniformly(void)
{
    enum {
        DRAWS = 9000,
        SAMPLE = 300
    };
    const witan_allocator *heap = witan_allocator_default();
    const char *names[] = {"<unk>", "A", "b", "c", "="};
    witan_vocabulary vocabulary = vocabulary_of(WITAN_TEXT_WORD, names, 5);
    static witan_canary_template form;
    compile(&form, "={w:2}", &vocabulary);
    witan_random random;
    witan_random_init(&random, witan_test_seed(2), 0, 0, WITAN_PURPOSE_TEST);
    double first[9] = {0}, last[9] = {0};
    for (size_t i = 0; i < DRAWS; i++) {
        uint32_t fills[8];
        CHECK_STATUS(witan_canary_draw(fills, 4, NULL, 0, &form, &random, heap, NULL),
                     WITAN_OK);
        first[3 * fills[0] + fills[1]]++;
        last[3 * fills[6] + fills[7]]++;
    }
    double chi[2] = {0};
    for (size_t i = 0; i < 9; i++) {
        chi[0] += (first[i] - 1000) * (first[i] - 1000) / 1000;
        chi[1] += (last[i] - 1000) * (last[i] - 1000) / 1000;
    }
    CHECK(chi[0] < 26.1 && chi[1] < 26.1);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);

    /* Half of 1000: their mean within 4 standard errors, 6e-5. */
    vocabulary = characters();
    compile(&form, "id {d3}", &vocabulary);
    static uint32_t fills[500 * 3];
    CHECK_STATUS(witan_canary_draw(fills, 500, NULL, 0, &form, &random, heap, NULL),
                 WITAN_OK);
    double sum = 0.0;
    for (size_t i = 0; i < 500; i++) {
        sum += 100 * fills[3 * i] + 10 * fills[3 * i + 1] + fills[3 * i + 2];
    }
    CHECK_NEAR(sum / 500, 499.5, 4 * 288.7 * sqrt(0.5 / 500), 0);
    witan_canary_template_fini(&form, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static const uint32_t levels[] = {4, 0, 1};
static const uint32_t holders[] = {7, 3};

static witan_canary_request
text_request(void)
{
    return (witan_canary_request){.kind = WITAN_CANARY_TEXT,
                                  .text = "id is {d3}",
                                  .repetitions = levels,
                                  .levels = 3,
                                  .per_level = 5,
                                  .holders = holders,
                                  .holders_count = 2,
                                  .inclusion = 0.5,
                                  .references = 100,
                                  .seed = 11};
}

static void
plans_text(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = characters();
    witan_canary_request request = text_request();
    static witan_canary_plan plan;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, &vocabulary, heap, NULL),
                 WITAN_OK);
    CHECK(plan.count == 15 && plan.holders_count == 2 && plan.seed == 11);
    CHECK_STRING(plan.text, "id is {d3}");
    uint8_t digest[32];
    witan_vocabulary_digest(&vocabulary, digest);
    CHECK(memcmp(digest, plan.vocabulary, 32) == 0);
    bool seen[1000] = {false};
    size_t inserted = 0;
    for (size_t i = 0; i < plan.count; i++) {
        const witan_canary *canary = &plan.canary[i];
        CHECK(canary->repetitions == levels[i / 5]);
        CHECK(canary->client == holders[i % 5 % 2]);
        CHECK(canary->repetitions > 0 || !canary->inserted);
        CHECK(canary->fill == plan.fills + 3 * i);
        size_t at = 100 * canary->fill[0] + 10 * canary->fill[1] + canary->fill[2];
        CHECK(at < 1000 && !seen[at]);
        seen[at] = true;
        inserted += canary->inserted;
    }
    CHECK(inserted > 0 && inserted < 10);
    /* Tokens 7 0 1 9 2 3 4 5 6 8 in that order. */
    char text[32], expected[32];
    snprintf(expected, sizeof expected, "id is %c%c%c",
             "7019234568"[plan.canary[3].fill[0]], "7019234568"[plan.canary[3].fill[1]],
             "7019234568"[plan.canary[3].fill[2]]);
    witan_canary_text(&plan, plan.canary[3].fill, &vocabulary, text, sizeof text);
    CHECK_STRING(text, expected);
    witan_canary_text(&plan, plan.canary[3].fill, &vocabulary, text, 5);
    CHECK_STRING(text, "id i");
    witan_canary_text(&plan, plan.canary[3].fill, &vocabulary, text, 1);
    CHECK_STRING(text, "");
    witan_canary_plan_fini(&plan, heap);
    witan_canary_plan_fini(&plan, heap);
    request.inclusion = 1.0;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, &vocabulary, heap, NULL),
                 WITAN_OK);
    for (size_t i = 0; i < plan.count; i++) {
        CHECK(plan.canary[i].inserted == (plan.canary[i].repetitions > 0));
    }
    witan_canary_plan_fini(&plan, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static void
words_as_text(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_vocabulary vocabulary = words();
    witan_canary_request request = text_request();
    request.text = "the code, is {w:1} - {w:3}.\n";
    static witan_canary_plan plan;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, &vocabulary, heap, NULL),
                 WITAN_OK);
    const uint32_t fill[] = {3, 4, 0, 8};
    char text[64];
    witan_canary_text(&plan, fill, &vocabulary, text, sizeof text);
    CHECK_STRING(text, "the code, is 'tis- émile the 1234.\\n");
    witan_canary_plan_fini(&plan, heap);
    witan_vocabulary_fini(&vocabulary, heap);
}

static void
digest_of(uint8_t out[32], const witan_canary_request *request,
          const witan_vocabulary *vocabulary)
{
    static witan_canary_plan plan;
    witan_diag diag = {0};
    CHECK_STATUS(witan_canary_plan_draw(&plan, request, vocabulary,
                                        witan_allocator_default(), &diag),
                 WITAN_OK);
    CHECK_STRING(diag.message, "");
    memcpy(out, plan.digest, 32);
    witan_canary_plan_fini(&plan, witan_allocator_default());
}

/* A plan is a function of what was asked; its digest tells any change. */
static void
plans_are_functions(void)
{
    witan_vocabulary vocabulary = characters();
    static const uint32_t other_levels[] = {4, 0, 2}, other_holders[] = {7, 4};
    witan_canary_request request[11];
    uint8_t digest[11][32], again[32];
    for (size_t i = 0; i < 11; i++) {
        request[i] = text_request();
    }
    request[1].seed++;
    request[2].repetitions = other_levels;
    request[3].per_level = 6;
    request[4].holders = other_holders;
    request[5].inclusion = 0.50000001; /* the same coins, here */
    request[6].placement = WITAN_PLACE_START;
    request[7].transfer_rows = 1;
    request[8].references = 101;
    request[9].text = "id is {d3} ";
    request[10].transfer = WITAN_TRANSFER_CANARIES;
    request[10].transfer_rows = 1;
    for (size_t i = 0; i < 11; i++) {
        digest_of(digest[i], &request[i], &vocabulary);
        digest_of(again, &request[i], &vocabulary);
        CHECK(memcmp(again, digest[i], 32) == 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(memcmp(digest[i], digest[j], 32) != 0);
        }
    }
    char hex[WITAN_DIGEST_HEX_SIZE];
    witan_digest_hex(hex, digest[0]);
    CHECK_STRING(hex, "7ebb2c1840bc5f169c07debe3edd2ac5de567aa5f9591fc0a286637091466e2"
                      "7"); /* plans of files stay valid on every machine */

    static witan_canary_plan plan;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request[0], &vocabulary,
                                        witan_allocator_default(), NULL),
                 WITAN_OK);
    void *changes[] = {&plan.canary[2].repetitions,
                       &plan.canary[2].inserted,
                       &plan.canary[2].client,
                       &plan.canary[2].fill[1],
                       &plan.canary[2].row,
                       &plan.canary[2].label,
                       &plan.vocabulary[31],
                       &plan.holders[1],
                       &plan.classes,
                       &plan.kind};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        unsigned char *byte = changes[i];
        *byte ^= 1U;
        witan_canary_plan_digest(&plan);
        CHECK(memcmp(plan.digest, digest[0], 32) != 0);
        *byte ^= 1U;
    }
    witan_canary_plan_digest(&plan);
    CHECK(memcmp(plan.digest, digest[0], 32) == 0);
    witan_canary_plan_fini(&plan, witan_allocator_default());
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

/* 2000 coins: 5 standard deviations, 6e-7. */
static void
coins_are_fair(void)
{
    witan_vocabulary vocabulary = characters();
    witan_canary_request request = text_request();
    request.text = "id {d6}";
    request.per_level = 1000;
    const double inclusion[] = {0.5, 0.1};
    for (size_t c = 0; c < 2; c++) {
        static witan_canary_plan plan;
        double inserted = 0.0;
        request.inclusion = inclusion[c];
        CHECK_STATUS(witan_canary_plan_draw(&plan, &request, &vocabulary,
                                            witan_allocator_default(), NULL),
                     WITAN_OK);
        for (size_t i = 0; i < plan.count; i++) {
            inserted += plan.canary[i].inserted;
        }
        double p = inclusion[c];
        CHECK_NEAR(inserted, 2000 * p, 5 * sqrt(2000 * p * (1 - p)), 0);
        witan_canary_plan_fini(&plan, witan_allocator_default());
    }
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

static void
plans_noise(void)
{
    const witan_allocator *heap = witan_allocator_default();
    witan_canary_request request = text_request();
    request.kind = WITAN_CANARY_NOISE;
    request.classes = 5;
    static witan_canary_plan plan;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, NULL, heap, NULL), WITAN_OK);
    CHECK(plan.count == 15 && plan.fills == NULL && plan.classes == 5);
    unsigned labels = 0;
    double sum = 0.0;
    for (size_t i = 0; i < plan.count + plan.references; i++) {
        float row[64], same[64];
        uint32_t label, alone;
        witan_canary_noise_row(&plan, i, row, 64, &label);
        witan_canary_noise_row(&plan, i, same, 3, &alone);
        CHECK(label == alone && memcmp(row, same, 3 * sizeof *row) == 0);
        CHECK(i >= plan.count || plan.canary[i].label == label);
        labels |= 1U << label;
        for (size_t f = 0; f < 64; f++) {
            CHECK(row[f] >= 0.0F && row[f] <= 1.0F);
            sum += (double)row[f];
        }
        CHECK(row[0] != row[1]);
        witan_canary_noise_row(&plan, i + 1, same, 3, &alone);
        CHECK(row[0] != same[0]);
    }
    CHECK(labels == 31);
    CHECK_NEAR(sum / (115 * 64), 0.5, 4 * 0.2887 / sqrt(115 * 64), 0); /* 6e-5 */
    witan_canary_plan_fini(&plan, heap);
}

static void
plans_mislabelled(void)
{
    enum {
        ROWS = 115
    };
    const witan_allocator *heap = witan_allocator_default();
    uint32_t truth[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) {
        truth[i] = i % 3;
    }
    witan_canary_request request = text_request();
    request.kind = WITAN_CANARY_MISLABELLED;
    request.classes = 3;
    request.test_rows = ROWS;
    request.test_labels = truth;
    static witan_canary_plan plan;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, NULL, heap, NULL), WITAN_OK);
    bool seen[ROWS] = {false};
    unsigned shifts = 0;
    for (size_t i = 0; i < plan.count; i++) {
        const witan_canary *canary = &plan.canary[i];
        CHECK(canary->row < ROWS && !seen[canary->row] && canary->label < 3);
        seen[canary->row] = true;
        CHECK(canary->label != truth[canary->row]);
        shifts |= 1U << (3 * truth[canary->row] + canary->label);
    }
    CHECK(shifts == (1U << 1 | 1U << 2 | 1U << 3 | 1U << 5 | 1U << 6 | 1U << 7));
    witan_canary_plan_fini(&plan, heap);
    witan_diag diag = {0};
    request.test_rows = ROWS - 1;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, NULL, heap, &diag),
                 WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, "15 mislabelled canaries and 100 references");
    request.test_rows = ROWS;
    for (size_t i = 0; i < ROWS; i++) {
        truth[i] = 3;
    }
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, NULL, heap, NULL),
                 WITAN_E_INVALID);
    request.test_labels = NULL;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, NULL, heap, NULL),
                 WITAN_E_INVALID);
    request.kind = WITAN_CANARY_NOISE;
    request.classes = 1;
    CHECK_STATUS(witan_canary_plan_draw(&plan, &request, NULL, heap, NULL),
                 WITAN_E_INVALID);
}

static void
refused(const witan_canary_request *request, witan_status status, const char *part)
{
    witan_vocabulary vocabulary = characters();
    static witan_canary_plan plan;
    witan_diag diag = {0};
    CHECK_STATUS(witan_canary_plan_draw(&plan, request, &vocabulary,
                                        witan_allocator_default(), &diag),
                 status);
    CHECK_CONTAINS(diag.message, part);
    CHECK(plan.canary == NULL && plan.fills == NULL && plan.holders == NULL);
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

static void
refuses_plans(void)
{
    static const uint32_t twice[] = {1, 0, 1}, far[] = {100000}, many[] = {3000000};
    witan_canary_request r = text_request();
    r.levels = 0;
    refused(&r, WITAN_E_CONFIG, "needs repetitions");
    r = text_request();
    r.per_level = 0;
    refused(&r, WITAN_E_CONFIG, "needs repetitions");
    r = text_request();
    r.repetitions = twice;
    refused(&r, WITAN_E_CONFIG, "repetitions: 1 stands there twice");
    r = text_request();
    r.holders_count = 0;
    refused(&r, WITAN_E_CONFIG, "clients that hold");
    r = text_request();
    r.holders = twice;
    r.holders_count = 3;
    refused(&r, WITAN_E_CONFIG, "holders: 1 stands there twice");
    r.holders = far;
    r.holders_count = 1;
    refused(&r, WITAN_E_LIMIT, "holder 100000");
    r = text_request();
    r.references = 99;
    refused(&r, WITAN_E_CONFIG, "99 references: exposure needs at least 100");
    r.references = WITAN_CANARY_ROWS_MAX + 1;
    refused(&r, WITAN_E_LIMIT, "references");
    const double inclusions[] = {0.0, -1.0, 1.01, (double)NAN};
    for (size_t i = 0; i < 4; i++) {
        r = text_request();
        r.inclusion = inclusions[i];
        refused(&r, WITAN_E_CONFIG, "inclusion");
    }
    r = text_request();
    r.per_level = WITAN_CANARIES_MAX / 3 + 1;
    refused(&r, WITAN_E_LIMIT, "100000 canaries");
    r.per_level = SIZE_MAX / 2;
    refused(&r, WITAN_E_LIMIT, "100000 canaries");
    r = text_request();
    r.repetitions = many;
    r.levels = 1;
    refused(&r, WITAN_E_LIMIT, "inserts 15000000 rows");
    r = text_request();
    r.transfer = WITAN_TRANSFER_TEMPLATE;
    refused(&r, WITAN_E_CONFIG, "at least one row");
    r.transfer_rows = 986;
    refused(&r, WITAN_E_CONFIG, "1000 fills, 15 canaries and 986 other");
    r.kind = WITAN_CANARY_NOISE;
    r.classes = 2;
    refused(&r, WITAN_E_CONFIG, "no template");
    r = text_request();
    r.text = "id {d2}";
    refused(&r, WITAN_E_CONFIG, "100 fills, 15 canaries and 100 other");
    r.text = "id {d7}"; /* too many to enumerate: references are drawn */
    r.references = 9999990;
    refused(&r, WITAN_E_CONFIG, "15 canaries and 9999990 other");
    r.text = "id {d2";
    refused(&r, WITAN_E_CONFIG, "column 4");
    r.text = NULL;
    refused(&r, WITAN_E_INVALID, "");
    static witan_canary_plan plan;
    r = text_request();
    CHECK_STATUS(
        witan_canary_plan_draw(&plan, &r, NULL, witan_allocator_default(), NULL),
        WITAN_E_INVALID);
}

static void
survives_no_memory(void)
{
    witan_vocabulary vocabulary = characters();
    uint32_t truth[200] = {0};
    for (int kind = WITAN_CANARY_TEXT; kind <= WITAN_CANARY_MISLABELLED; kind++) {
        for (size_t fail_at = 1;; fail_at++) {
            witan_failing_allocator failing;
            witan_failing_allocator_init(&failing, fail_at);
            witan_canary_request request = text_request();
            request.kind = (witan_canary_kind)kind;
            request.classes = 2;
            request.test_labels = truth;
            request.test_rows = 200;
            static witan_canary_plan plan;
            witan_status status = witan_canary_plan_draw(&plan, &request, &vocabulary,
                                                         &failing.allocator, NULL);
            if (status == WITAN_OK) {
                CHECK(fail_at > 4);
                witan_canary_plan_fini(&plan, &failing.allocator);
                CHECK(failing.live == 0);
                break;
            }
            CHECK_STATUS(status, WITAN_E_MEMORY);
            CHECK(failing.live == 0);
        }
    }
    witan_vocabulary_fini(&vocabulary, witan_allocator_default());
}

int
main(void)
{
    RUN(compiles_characters);
    RUN(compiles_letters);
    RUN(compiles_words);
    RUN(refuses_templates);
    RUN(draws_everything);
    RUN(draws_uniformly);
    RUN(plans_text);
    RUN(words_as_text);
    RUN(plans_are_functions);
    RUN(coins_are_fair);
    RUN(plans_noise);
    RUN(plans_mislabelled);
    RUN(refuses_plans);
    RUN(survives_no_memory);
    return witan_test_finish();
}
