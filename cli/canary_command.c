/* canary_command.c - `witan canary`: secrets that are planted on purpose, so that an
 * audit can tell what leaks. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/experiment.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "privacy/search.h"
#include "setup/canary_file.h"
#include "store/file.h"

enum {
    NUMBERS_MAX = 1024, /* of one list */
    TEXT_REFERENCES = 65536,
    FEATURE_REFERENCES = 1000,
    TEMPLATE_ROWS = 256,
    CANARY_ROWS = 4, /* of each canary */
};

#define UNSET UINT64_MAX

static struct {
    char *experiment;
    witan_texts assignments;
    const char *form, *input, *repetitions, *holders, *placement, *transfer, *out;
    uint64_t per_level, transfer_rows, references, seed;
    double inclusion;
    bool force;
} args = {.repetitions = "0,1,4,16",
          .holders = "0",
          .placement = "uniform",
          .transfer = "without",
          .per_level = 10,
          .transfer_rows = UNSET,
          .references = UNSET,
          .seed = 1,
          .inclusion = 1.0};

static const char help[] =
    "usage: witan canary plan [EXPERIMENT.json] --template TEXT --out FILE [--set "
    "PATH=VALUE]...\n"
    "               [--repetitions LIST] [--per-level N] [--holders LIST] "
    "[--inclusion P]\n"
    "               [--placement WHERE] [--transfer WHAT] [--transfer-rows N]\n"
    "               [--references N] [--seed N] [--force]\n"
    "       witan canary plan [EXPERIMENT.json] --input KIND --out FILE [the same]\n\n"
    "Draws canaries for an experiment: secrets that are planted in the training rows "
    "of\n"
    "chosen clients, so that witan audit can tell how much of them a model, and what "
    "it\n"
    "says, gives away. They are drawn before training and sealed by a digest.\n\n"
    "  --template TEXT     data of text: a sentence with holes. {d6} six digits, {a4} "
    "four\n"
    "                      letters, {w:3} three words, {{ and }} braces\n"
    "  --input KIND        other data: noise (random rows with random labels) or\n"
    "                      mislabelled (rows of the test set with wrong labels)\n"
    "  --repetitions LIST  how often canaries stand there; 0 is a control (0,1,4,16)\n"
    "  --per-level N       canaries of each of those (10)\n"
    "  --holders LIST      clients that hold canaries, each one its own (0)\n"
    "  --inclusion P       probability that a canary is planted at all (1)\n"
    "  --placement WHERE   in a window of text: uniform or start (uniform)\n"
    "  --transfer WHAT     of the transfer set: without canaries, template (with "
    "other\n"
    "                      fills), or canaries (without)\n"
    "  --transfer-rows N   rows for that: of the template (256), or per canary (4)\n"
    "  --references N      others that canaries are ranked among, where not all can "
    "be\n"
    "                      (text 65536, other data 1000)\n"
    "  --seed N            of all draws (1)\n"
    "  --set PATH=VALUE    override one setting of the experiment; may be given again\n"
    "  --out FILE          write the plan there, for your eyes alone\n"
    "  --force             replace a file that is there\n\n"
    "Examples:\n"
    "  witan canary plan exp.json --template 'my id is {d6}' --out plan.json\n"
    "  witan canary plan --input noise --holders 0,1 --out plan.json\n"
    "  witan sim exp.json --canaries plan.json\n\n"
    "Exit codes: 0 done, 1 failed, 2 usage or config, 3 bad data.\n";

static const witan_option options[] = {
    {.name = "template", .kind = WITAN_OPTION_TEXT, .value = &args.form},
    {.name = "input", .kind = WITAN_OPTION_TEXT, .value = &args.input},
    {.name = "repetitions", .kind = WITAN_OPTION_TEXT, .value = &args.repetitions},
    {.name = "per-level",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.per_level,
     .low = 1,
     .high = (double)WITAN_CANARIES_MAX},
    {.name = "holders", .kind = WITAN_OPTION_TEXT, .value = &args.holders},
    {.name = "inclusion",
     .kind = WITAN_OPTION_NUMBER,
     .value = &args.inclusion,
     .low = 0.0,
     .high = 1.0},
    {.name = "placement", .kind = WITAN_OPTION_TEXT, .value = &args.placement},
    {.name = "transfer", .kind = WITAN_OPTION_TEXT, .value = &args.transfer},
    {.name = "transfer-rows",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.transfer_rows,
     .low = 1,
     .high = (double)WITAN_CANARY_ROWS_MAX},
    {.name = "references",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.references,
     .low = 100,
     .high = (double)WITAN_CANARY_ROWS_MAX},
    {.name = "seed",
     .kind = WITAN_OPTION_COUNT,
     .value = &args.seed,
     .low = 0,
     .high = 9007199254740991.0},
    {.name = "set", .kind = WITAN_OPTION_TEXTS, .value = &args.assignments},
    {.name = "out", .kind = WITAN_OPTION_TEXT, .value = &args.out, .required = true},
    {.name = "force", .kind = WITAN_OPTION_FLAG, .value = &args.force},
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

/* --- what is asked for ------------------------------------------------------------ */

/* "0,1,4,16" */
static witan_status
parse_numbers(const char *option, const char *text, uint32_t *out, size_t *count,
              witan_diag *diag)
{
    *count = 0;
    for (const char *at = text;; at++) {
        char word[24];
        uint64_t number;
        size_t length = strcspn(at, ",");
        (void)snprintf(word, sizeof word, "%.*s", (int)(length < 20 ? length : 20), at);
        if (*count == NUMBERS_MAX || !witan_text_parse_u64(word, &number) ||
            number > UINT32_MAX) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "--%s %s: give whole numbers with commas between "
                                   "them, such as 0,1,4; see witan canary --help",
                                   option, text);
        }
        out[(*count)++] = (uint32_t)number;
        at += length;
        if (*at == '\0') {
            return WITAN_OK;
        }
    }
}

/* Number of `word` in a list of names. */
static bool
find_word(const char *word, const char *first, const char *second, const char *third,
          int *out)
{
    const char *const words[] = {first, second, third};
    for (size_t i = 0; i < COUNT(words); i++) {
        if (words[i] != NULL && strcmp(words[i], word) == 0) {
            *out = (int)i;
            return true;
        }
    }
    return false;
}

static witan_status
unknown_word(const char *option, const char *word, witan_diag *diag)
{
    return witan_diag_fail(diag, WITAN_E_CONFIG,
                           "unknown --%s %s; see witan canary --help", option, word);
}

static witan_status
read_kind(witan_canary_request *request, witan_diag *diag)
{
    int kind = WITAN_CANARY_TEXT;
    if ((args.form == NULL) == (args.input == NULL)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "give --template for text, or --input for other data; "
                               "see witan canary --help");
    }
    if (args.input != NULL &&
        !find_word(args.input, NULL, witan_canary_kind_name(WITAN_CANARY_NOISE),
                   witan_canary_kind_name(WITAN_CANARY_MISLABELLED), &kind)) {
        return unknown_word("input", args.input, diag);
    }
    request->kind = (witan_canary_kind)kind;
    request->text = args.form;
    return WITAN_OK;
}

static witan_status
read_request(witan_canary_request *request, uint32_t *repetitions, uint32_t *holders,
             witan_diag *diag)
{
    int placement, transfer;
    WITAN_TRY(read_kind(request, diag));
    WITAN_TRY(parse_numbers("repetitions", args.repetitions, repetitions,
                            &request->levels, diag));
    WITAN_TRY(
        parse_numbers("holders", args.holders, holders, &request->holders_count, diag));
    if (!find_word(args.placement, witan_canary_placement_name(WITAN_PLACE_UNIFORM),
                   witan_canary_placement_name(WITAN_PLACE_START), NULL, &placement)) {
        return unknown_word("placement", args.placement, diag);
    }
    if (!find_word(args.transfer, witan_canary_transfer_name(WITAN_TRANSFER_WITHOUT),
                   witan_canary_transfer_name(WITAN_TRANSFER_TEMPLATE),
                   witan_canary_transfer_name(WITAN_TRANSFER_CANARIES), &transfer)) {
        return unknown_word("transfer", args.transfer, diag);
    }
    if (transfer == WITAN_TRANSFER_WITHOUT && args.transfer_rows != UNSET) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "--transfer-rows needs --transfer template or canaries");
    }
    request->repetitions = repetitions;
    request->holders = holders;
    request->placement = (witan_canary_placement)placement;
    request->transfer = (witan_canary_transfer)transfer;
    request->transfer_rows = args.transfer_rows != UNSET           ? args.transfer_rows
                             : transfer == WITAN_TRANSFER_TEMPLATE ? TEMPLATE_ROWS
                             : transfer == WITAN_TRANSFER_CANARIES ? CANARY_ROWS
                                                                   : 0;
    request->references = args.references != UNSET             ? args.references
                          : request->kind == WITAN_CANARY_TEXT ? TEXT_REFERENCES
                                                               : FEATURE_REFERENCES;
    request->per_level = args.per_level;
    request->inclusion = args.inclusion;
    request->seed = args.seed;
    return WITAN_OK;
}

/* --- what was drawn --------------------------------------------------------------- */

static void
add_list(witan_text *out, const uint32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        witan_text_format(out, "%s%u", i == 0 ? "" : ", ", numbers[i]);
    }
}

static void
show_ranks(witan_text *out, const witan_canary_plan *plan)
{
    if (plan->kind != WITAN_CANARY_TEXT) {
        witan_text_format(out, "ranked    among %zu rows that nobody trains on\n",
                          plan->references);
    } else if (plan->compiled.space <= WITAN_SPACE_EXACT_MAX) {
        witan_text_format(out, "ranked    among all fills\n");
    } else {
        witan_text_format(out, "ranked    among %zu random fills\n", plan->references);
    }
}

static void
show_transfer(witan_text *out, const witan_canary_plan *plan, const witan_world *world)
{
    witan_text_format(out, "transfer  %s", witan_canary_transfer_name(plan->transfer));
    if (plan->transfer == WITAN_TRANSFER_WITHOUT) {
        witan_text_format(out, " canaries\n");
    } else if (world->probes == 0) {
        witan_text_format(out, ", but strategy %s has no transfer set\n",
                          world->strategy->key);
    } else {
        witan_text_format(out, ", %zu rows more\n", world->probes);
    }
}

static void
show_use(witan_text *out)
{
    witan_text_format(out,
                      "\nsaved in %s, which only you can read. Use it with\n  witan "
                      "sim",
                      args.out);
    if (args.experiment != NULL) {
        witan_text_add(out, " ", 1);
        witan_quote_for_shell(out, args.experiment);
    }
    for (size_t i = 0; i < args.assignments.count; i++) {
        witan_text_format(out, " --set ");
        witan_quote_for_shell(out, args.assignments.items[i]);
    }
    witan_text_format(out, " --canaries ");
    witan_quote_for_shell(out, args.out);
    witan_text_format(out, "\n");
}

static void
show_plan(witan_text *out, const witan_canary_plan *plan,
          const witan_canary_request *request, const witan_world *world)
{
    size_t inserted = 0, rows = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const witan_canary *canary = &plan->canary[i];
        inserted += canary->inserted;
        rows += canary->inserted ? canary->repetitions : 0;
    }
    if (plan->kind == WITAN_CANARY_TEXT) {
        double space = plan->compiled.space;
        witan_text_format(out, "template  \"%s\": %zu tokens, %.6g fills (%.1f bits)\n",
                          plan->text, plan->compiled.slots, space, log2(space));
    } else {
        witan_text_format(out, "input     %s, %zu classes\n",
                          witan_canary_kind_name(plan->kind), plan->classes);
    }
    witan_text_format(out, "canaries  %zu at each of ", request->per_level);
    add_list(out, request->repetitions, request->levels);
    witan_text_format(out,
                      " repetitions: %zu\n"
                      "planted   %zu of them as %zu training rows of client%s ",
                      plan->count, inserted, rows, plan->holders_count == 1 ? "" : "s");
    add_list(out, plan->holders, plan->holders_count);
    witan_text_format(out, "\n");
    show_transfer(out, plan, world);
    show_ranks(out, plan);
    show_use(out);
}

/* --- the command ------------------------------------------------------------------ */

/* The plan is planted too, in a world that nobody trains on: what would be refused
 * later is refused now. */
static witan_status
draw(witan_canary_plan *plan, witan_canary_request *request, witan_world *world,
     const witan_config *config, witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    WITAN_TRY(witan_world_load(world, config, allocator, diag));
    bool text = world->train.length != 0;
    if (text != (request->kind == WITAN_CANARY_TEXT)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               text ? "these data are text; give --template"
                                    : "these data are no text; give --input");
    }
    request->classes = world->train.classes;
    request->test_rows = world->test.samples;
    request->test_labels = world->test.labels;
    WITAN_TRY(witan_canary_plan_draw(plan, request, text ? &world->vocabulary : NULL,
                                     allocator, diag));
    return witan_world_plant(world, plan, allocator, diag);
}

static witan_status
save(const witan_canary_plan *plan, const witan_vocabulary *vocabulary,
     witan_diag *diag)
{
    witan_text json;
    witan_text_init(&json, witan_allocator_default(), WITAN_CANARY_PLAN_BYTES_MAX);
    witan_canary_plan_write(plan, vocabulary, &json);
    witan_status status = json.status;
    if (status == WITAN_E_LIMIT) {
        (void)witan_diag_fail(diag, status,
                              "the plan would take more than %zu MiB; ask for fewer "
                              "canaries",
                              WITAN_CANARY_PLAN_BYTES_MAX >> 20);
    }
    if (status == WITAN_OK) {
        mode_t before = umask(077); /* for its owner alone */
        status = witan_file_replace(args.out, json.data, json.length,
                                    witan_allocator_default(), diag);
        (void)umask(before);
    }
    witan_text_fini(&json);
    return status;
}

static witan_status
plan_canaries(const witan_config *config, witan_canary_request *request,
              witan_diag *diag)
{
    const witan_allocator *allocator = witan_allocator_default();
    witan_canary_plan plan = {0};
    witan_world world = {0};
    witan_text text;
    witan_text_init(&text, allocator, (size_t)1 << 20);
    witan_status status = draw(&plan, request, &world, config, diag);
    if (status == WITAN_OK) {
        status = save(&plan, &world.vocabulary, diag);
    }
    if (status == WITAN_OK) {
        show_plan(&text, &plan, request, &world);
        status = witan_print_result(&text, diag);
    }
    witan_text_fini(&text);
    witan_canary_plan_fini(&plan, allocator);
    witan_world_fini(&world, allocator);
    return status;
}

static witan_status
run_plan(witan_diag *diag)
{
    uint32_t repetitions[NUMBERS_MAX], holders[NUMBERS_MAX];
    witan_canary_request request = {0};
    witan_config config;
    WITAN_TRY(read_request(&request, repetitions, holders, diag));
    if (!args.force && witan_path_exists(args.out)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "%s is there already; --force replaces it", args.out);
    }
    WITAN_TRY(witan_experiment_load(&config, args.experiment, args.assignments.items,
                                    args.assignments.count, diag));
    witan_status status = plan_canaries(&config, &request, diag);
    witan_config_fini(&config, witan_allocator_default());
    return status;
}

static const witan_action actions[] = {
    {.name = "plan",
     .argument = "EXPERIMENT.json",
     .options = options,
     .options_count = COUNT(options),
     .run = run_plan},
};

int
witan_command_canary(int argc, char **argv)
{
    return witan_actions_run("witan canary", help, actions, COUNT(actions),
                             &args.experiment, argc, argv);
}
