/* epsilon_command.c - `witan epsilon`: what a mechanism would promise, before it runs.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "privacy/claim.h"

#define OUTPUT_BYTES_MAX ((size_t)1 << 20)

static struct {
    double clip, norm, temperature, sigma, response, noise, rate, delta, target;
    uint64_t classes, queries, rounds, averaged, steps;
    const char *unit, *accountant;
    bool json;
} args = {.clip = 5.0,
          .norm = 1.0,
          .temperature = 1.0,
          .classes = 10,
          .queries = 1000,
          .rounds = 1,
          .averaged = 1,
          .delta = 1e-5};

static const char help[] =
    "usage: witan epsilon gaussian (--sigma S | --target EPS) [--clip C]\n"
    "               [--temperature T] [--classes K] [--queries Q] [--rounds R]\n"
    "               [--averaged N] [--unit UNIT] [--accountant WHICH] [--delta D]\n"
    "       witan epsilon laplace --sigma B [--clip C] [--temperature T]\n"
    "               [--classes K] [--queries Q] [--rounds R] [--averaged N]\n"
    "               [--unit UNIT] [--delta D]\n"
    "       witan epsilon sampled [--clip C] [--temperature T] [--classes K]\n"
    "               [--queries Q] [--rounds R] [--delta D]\n"
    "       witan epsilon response --response P [--classes K] [--queries Q]\n"
    "               [--rounds R] [--delta D]\n"
    "       witan epsilon gnmax --sigma S [--queries Q] [--rounds R] [--delta D]\n"
    "       witan epsilon dpsgd (--noise M | --target EPS) --rate Q --steps N\n"
    "               [--clip C] [--delta D]\n"
    "       witan epsilon temperature | swing\n"
    "\n"
    "Tells which epsilon a way of protecting soft labels would have, with everything\n"
    "that gives the number a meaning, and what it means. Nothing is run or read.\n"
    "\n"
    "gaussian, laplace   noise on clipped, tempered soft labels\n"
    "sampled             one label drawn from each such row\n"
    "response            the likeliest label through randomised response\n"
    "gnmax               the noisy majority of models on disjoint shards\n"
    "dpsgd               local training with clipped, noisy gradients\n"
    "temperature, swing  have none; the answer says why\n"
    "\n"
    "  --clip C            bound of the centred logits (5); dpsgd: largest L2 norm of\n"
    "                      an example's gradient (1)\n"
    "  --temperature T     the smallest that is used (1)\n"
    "  --sigma S           noise on each entry; laplace: its scale; gnmax: in votes\n"
    "  --noise M           dpsgd: noise multiplier, sd over clip\n"
    "  --target EPS        find the least noise that keeps within this epsilon\n"
    "  --response P        probability of a uniformly drawn label\n"
    "  --classes K         (10)\n"
    "  --queries Q         rows that are answered in a round (1000)\n"
    "  --rounds R          (1)\n"
    "  --averaged N        soft labels averaged before the noise (1): of clients by\n"
    "                      the coordinator, or with --unit record of shards\n"
    "  --unit UNIT         client (default) or record\n"
    "  --accountant WHICH  exact (default), renyi or zcdp\n"
    "  --rate Q            dpsgd: probability that an example is in a batch\n"
    "  --steps N           dpsgd: batches in all\n"
    "  --delta D           (1e-5)\n"
    "  --json              one JSON object on standard output\n"
    "\n"
    "Examples:\n"
    "  witan epsilon gaussian --temperature 20 --target 8\n"
    "  witan epsilon dpsgd --noise 1.1 --rate 0.01 --steps 1000\n"
    "  witan epsilon sampled --temperature 20 --queries 100\n"
    "\n"
    "What each promises and what not: docs/privacy.md.\n"
    "Exit codes: 0 done, 1 failed, 2 usage, or nothing is promised.\n";

/* ---- what is asked ----------------------------------------------------------------
 */

static witan_status
read_unit(witan_privacy_plan *plan, witan_diag *diag)
{
    bool record = args.unit != NULL && strcmp(args.unit, "record") == 0;
    if (args.unit != NULL && !record && strcmp(args.unit, "client") != 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG, "--unit %s: say client or record",
                               args.unit);
    }
    plan->unit = record ? WITAN_UNIT_RECORD : WITAN_UNIT_CLIENT;
    /* Clients are averaged by the coordinator, shards of one client by the client. */
    plan->place =
        args.averaged > 1 && !record ? WITAN_NOISE_COORDINATOR : WITAN_NOISE_CLIENT;
    return WITAN_OK;
}

static witan_status
read_accountant(witan_privacy_plan *plan, witan_diag *diag)
{
    static const char *const names[] = {"renyi", "exact", "zcdp"};
    plan->accounting = WITAN_ACCOUNTING_GAUSSIAN;
    for (int i = 0; args.accountant != NULL; i++) {
        if (i == 3) {
            return witan_diag_fail(diag, WITAN_E_CONFIG,
                                   "--accountant %s: say exact, renyi or zcdp",
                                   args.accountant);
        }
        if (strcmp(names[i], args.accountant) == 0) {
            plan->accounting = (witan_accounting)((int)WITAN_ACCOUNTING_RDP + i);
            break;
        }
    }
    return WITAN_OK;
}

/* What all mechanisms on answers share. */
static witan_privacy_plan
plan_of(witan_mechanism_kind kind)
{
    return (witan_privacy_plan){.mechanism = kind,
                                .unit = WITAN_UNIT_CLIENT,
                                .relation = WITAN_RELATION_REPLACE,
                                .place = WITAN_NOISE_CLIENT,
                                .accounting = WITAN_ACCOUNTING_RDP,
                                .classes = (size_t)args.classes,
                                .clip = args.clip,
                                .temperature = args.temperature,
                                .sigma = args.sigma,
                                .response = args.response,
                                .averaged = (uint32_t)args.averaged,
                                .queries = args.queries,
                                .rounds = args.rounds,
                                .delta = args.delta};
}

static witan_status
check_either(const char *option, double given, witan_diag *diag)
{
    if ((given > 0.0) == (args.target > 0.0)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "say either --%s or --target; see witan epsilon --help",
                               option);
    }
    return WITAN_OK;
}

/* ---- what it means ----------------------------------------------------------------
 */

static const char *
worth_of(double epsilon)
{
    return epsilon <= 1.0    ? "A strong promise."
           : epsilon <= 4.0  ? "A moderate promise."
           : epsilon <= 10.0 ? "A weak promise."
                             : "Next to no promise.";
}

/* Pr of a right guess between two candidates, from even odds: (e^eps + delta) /
 * (1 + e^eps), the most that (epsilon, delta) allows. */
static double
guess_of(const witan_privacy_claim *claim)
{
    double inverse = exp(-claim->epsilon);
    double guess = (1.0 + claim->plan.delta * inverse) / (1.0 + inverse);
    return guess < 1.0 ? guess : 1.0;
}

/* Median exposure that (epsilon, delta) allows: e^eps 2^-t + delta = 1/2. */
static double
exposure_of(const witan_privacy_claim *claim)
{
    return (claim->epsilon - log(0.5 - claim->plan.delta)) / log(2.0);
}

/* Largest distance of two soft labels before averaging; 0 without noise on entries. */
static double
signal_of(const witan_privacy_claim *claim)
{
    witan_mechanism_kind kind = claim->plan.mechanism;
    bool release = kind == WITAN_MECHANISM_GAUSSIAN || kind == WITAN_MECHANISM_LAPLACE;
    return release ? claim->sensitivity * claim->plan.averaged : 0.0;
}

/* Probability that a hard label is the one that the model holds for likeliest, at most;
 * 0 for mechanisms without one. */
static double
truth_of(const witan_privacy_claim *claim)
{
    const witan_privacy_plan *plan = &claim->plan;
    double chance = 1.0 / (double)plan->classes;
    if (plan->mechanism == WITAN_MECHANISM_SAMPLED) {
        return 1.0 / (1.0 + (double)(plan->classes - 1) *
                                exp(-2.0 * plan->clip / plan->temperature));
    }
    return plan->mechanism == WITAN_MECHANISM_RESPONSE
               ? 1.0 - plan->response + plan->response * chance
               : 0.0;
}

static void
show_reality(witan_text *out, const witan_privacy_claim *claim)
{
    double signal = signal_of(claim), truth = truth_of(claim);
    double sigma = claim->plan.sigma;
    const char *norm = claim->plan.mechanism == WITAN_MECHANISM_LAPLACE ? "L1" : "L2";
    if (signal > 0.0 && sigma >= signal) {
        witan_text_format(
            out,
            "\nReality check: any two soft labels differ by at most %.3g (%s), the "
            "noise "
            "on\neach entry is %.3g: one answer is useless. About %.0f of them would "
            "have to be\naveraged until the noise is as small as the largest "
            "difference.\n",
            signal, norm, sigma, ceil((sigma / signal) * (sigma / signal)));
    } else if (signal > 0.0) {
        witan_text_format(out,
                          "\nReality check: any two soft labels differ by at most %.3g "
                          "(%s), the noise on\neach entry is %.3g.\n",
                          signal, norm, sigma);
    } else if (truth > 0.0) {
        witan_text_format(out,
                          "\nReality check: a label that is told is the model's "
                          "likeliest one with probability\nat most %.3g; chance is "
                          "%.3g.\n",
                          truth, 1.0 / (double)claim->plan.classes);
    }
}

static void
show_claim(witan_text *out, const witan_privacy_claim *claim)
{
    char sentence[512];
    bool steps = claim->plan.mechanism == WITAN_MECHANISM_SUBSAMPLED;
    bool client = claim->plan.unit == WITAN_UNIT_CLIENT;
    double median = exposure_of(claim);
    witan_privacy_claim_text(claim, sentence, sizeof sentence);
    witan_text_format(out, "%s\n\n", sentence);
    if (args.target > 0.0) {
        witan_text_format(out, "Least %s for epsilon %g: %.6g\n\n",
                          steps ? "noise multiplier" : "sigma", args.target,
                          steps ? claim->plan.sigma / claim->plan.clip
                                : claim->plan.sigma);
    }
    witan_text_format(out,
                      "What it means: somebody who sees %s, knows all other data and "
                      "must\nguess %s is right at most\n%.4g %% of the time (a coin: "
                      "50 %%). %s\n",
                      steps ? "the model" : "every answer",
                      steps    ? "whether one record was in the training data"
                      : client ? "which of two versions of a client's data was used"
                               : "which of two versions of a record was used",
                      100.0 * guess_of(claim), worth_of(claim->epsilon));
    if (median < 100.0) {
        witan_text_format(out,
                          "A canary in it has a median exposure of at most %.1f bits "
                          "(chance: 1).\n",
                          median);
    }
    show_reality(out, claim);
}

static void
write_claim(witan_text *out, const witan_privacy_claim *claim)
{
    char sentence[512];
    const witan_privacy_plan *plan = &claim->plan;
    double signal = signal_of(claim), truth = truth_of(claim);
    witan_privacy_claim_text(claim, sentence, sizeof sentence);
    witan_json_open(out, NULL, "{");
    witan_json_text(out, "mechanism", witan_mechanism_name(plan->mechanism));
    witan_json_number(out, "epsilon", claim->epsilon);
    witan_json_number(out, "delta", plan->delta);
    witan_json_text(out, "unit", plan->unit == WITAN_UNIT_CLIENT ? "client" : "record");
    witan_json_text(out, "relation",
                    plan->relation == WITAN_RELATION_REPLACE ? "replace"
                                                             : "add or remove");
    witan_json_number(out, "sigma", plan->sigma);
    witan_json_number(out, "sensitivity", claim->sensitivity);
    witan_json_number(out, "noise_multiplier", plan->sigma / claim->sensitivity);
    witan_json_count(out, "queries", plan->queries);
    witan_json_count(out, "rounds", plan->rounds);
    witan_json_number(out, "order", claim->order);
    witan_json_number(out, "guess", guess_of(claim));
    witan_json_number(out, "median_exposure", exposure_of(claim));
    witan_json_number(out, "signal", signal > 0.0 ? signal : (double)NAN);
    witan_json_number(out, "truth", truth > 0.0 ? truth : (double)NAN);
    witan_json_text(out, "claim", sentence);
    witan_json_close(out, "}");
    witan_text_format(out, "\n");
}

static witan_status
answer(const witan_privacy_plan *plan, witan_diag *diag)
{
    witan_privacy_claim claim;
    witan_text text;
    witan_text_init(&text, witan_allocator_default(), OUTPUT_BYTES_MAX);
    witan_status status = witan_privacy_claim_make(&claim, plan, diag);
    if (status == WITAN_OK) {
        (args.json ? write_claim : show_claim)(&text, &claim);
        status = witan_print_result(&text, diag);
    }
    witan_text_fini(&text);
    return status;
}

/* ---- actions ----------------------------------------------------------------------
 */

/* sigma of a Gaussian release that stays within --target. */
static witan_status
find_sigma(witan_privacy_plan *plan, witan_diag *diag)
{
    witan_privacy_claim unit_noise;
    double multiplier, answers = (double)args.queries * (double)args.rounds;
    witan_privacy_plan plain = *plan;
    plain.sigma = 1e6; /* any: for its checks and its sensitivity */
    WITAN_TRY(witan_privacy_claim_make(&unit_noise, &plain, diag));
    if (plan->accounting == WITAN_ACCOUNTING_ZCDP) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "--target needs --accountant exact or renyi");
    }
    if (plan->accounting == WITAN_ACCOUNTING_RDP) {
        WITAN_TRY(witan_noise_multiplier_find(&multiplier, args.target, args.delta, 1.0,
                                              args.queries * args.rounds, diag));
    } else {
        WITAN_TRY(witan_gaussian_multiplier(&multiplier, args.target, args.delta));
        multiplier *= sqrt(answers);
    }
    plan->sigma = multiplier * unit_noise.sensitivity;
    return WITAN_OK;
}

static witan_status
gaussian(witan_diag *diag)
{
    witan_privacy_plan plan = plan_of(WITAN_MECHANISM_GAUSSIAN);
    WITAN_TRY(check_either("sigma", args.sigma, diag));
    WITAN_TRY(read_unit(&plan, diag));
    WITAN_TRY(read_accountant(&plan, diag));
    if (args.target > 0.0) {
        WITAN_TRY(find_sigma(&plan, diag));
    }
    return answer(&plan, diag);
}

static witan_status
laplace(witan_diag *diag)
{
    witan_privacy_plan plan = plan_of(WITAN_MECHANISM_LAPLACE);
    WITAN_TRY(read_unit(&plan, diag));
    return answer(&plan, diag);
}

static witan_status
sampled(witan_diag *diag)
{
    witan_privacy_plan plan = plan_of(WITAN_MECHANISM_SAMPLED);
    return answer(&plan, diag);
}

static witan_status
response(witan_diag *diag)
{
    witan_privacy_plan plan = plan_of(WITAN_MECHANISM_RESPONSE);
    return answer(&plan, diag);
}

static witan_status
gnmax(witan_diag *diag)
{
    witan_privacy_plan plan = plan_of(WITAN_MECHANISM_GNMAX);
    plan.unit = WITAN_UNIT_RECORD;
    return answer(&plan, diag);
}

static witan_status
dpsgd(witan_diag *diag)
{
    double multiplier = args.noise;
    witan_privacy_plan plan = plan_of(WITAN_MECHANISM_SUBSAMPLED);
    WITAN_TRY(check_either("noise", args.noise, diag));
    if (args.target > 0.0) {
        WITAN_TRY(witan_noise_multiplier_find(&multiplier, args.target, args.delta,
                                              args.rate, args.steps, diag));
    }
    plan.unit = WITAN_UNIT_RECORD;
    plan.relation = WITAN_RELATION_ADD_REMOVE;
    plan.sampling_rate = args.rate;
    plan.clip = args.norm;
    plan.sigma = multiplier * args.norm;
    plan.queries = args.steps;
    plan.rounds = 1;
    return answer(&plan, diag);
}

static witan_status
nothing(witan_diag *diag)
{
    return witan_diag_fail(
        diag, WITAN_E_CONFIG,
        "temperature alone has no epsilon, however a swing chooses it: who receives a "
        "soft label can undo it; add noise to clipped logits (witan epsilon gaussian) "
        "or "
        "train with dpsgd, and measure the rest with witan audit");
}

/* ---- options ----------------------------------------------------------------------
 */

#define NUMBER(word, field, least, most, must)                                         \
    {                                                                                  \
        .name = (word), .kind = WITAN_OPTION_NUMBER, .value = &args.field,             \
        .low = (least), .high = (most), .required = (must)                             \
    }
#define COUNTED(word, field, least, most, must)                                        \
    {                                                                                  \
        .name = (word), .kind = WITAN_OPTION_COUNT, .value = &args.field,              \
        .low = (least), .high = (most), .required = (must)                             \
    }
#define TEXT(word, field)                                                              \
    {                                                                                  \
        .name = (word), .kind = WITAN_OPTION_TEXT, .value = &args.field                \
    }
#define DELTA NUMBER("delta", delta, 1e-300, 0.4999, false)
#define ROWS                                                                           \
    COUNTED("queries", queries, 1, 1e9, false), COUNTED("rounds", rounds, 1, 1e6, false)
#define CLASSES COUNTED("classes", classes, 2, WITAN_CLASSES_MAX, false)
#define SHAPE                                                                          \
    NUMBER("clip", clip, 1e-9, 1e9, false),                                            \
        NUMBER("temperature", temperature, 1e-9, 1e9, false), CLASSES
#define TARGET NUMBER("target", target, 1e-6, 1e3, false)

static const witan_option gaussian_options[] = {
    NUMBER("sigma", sigma, 1e-12, 1e12, false),
    TARGET,
    SHAPE,
    ROWS,
    COUNTED("averaged", averaged, 1, 1e9, false),
    TEXT("unit", unit),
    TEXT("accountant", accountant),
    DELTA,
    WITAN_OPTION_JSON(&args.json),
};

static const witan_option laplace_options[] = {
    NUMBER("sigma", sigma, 1e-12, 1e12, true),
    SHAPE,
    ROWS,
    COUNTED("averaged", averaged, 1, 1e9, false),
    TEXT("unit", unit),
    DELTA,
    WITAN_OPTION_JSON(&args.json),
};

static const witan_option sampled_options[] = {
    SHAPE,
    ROWS,
    DELTA,
    WITAN_OPTION_JSON(&args.json),
};

static const witan_option response_options[] = {
    NUMBER("response", response, 1e-9, 1.0, true),
    CLASSES,
    ROWS,
    DELTA,
    WITAN_OPTION_JSON(&args.json),
};

static const witan_option gnmax_options[] = {
    NUMBER("sigma", sigma, 1e-12, 1e12, true),
    ROWS,
    DELTA,
    WITAN_OPTION_JSON(&args.json),
};

static const witan_option dpsgd_options[] = {
    NUMBER("noise", noise, 1e-6, 1e6, false),
    TARGET,
    NUMBER("rate", rate, 1e-9, 1.0, true),
    COUNTED("steps", steps, 1, 1e9, true),
    NUMBER("clip", norm, 1e-9, 1e9, false),
    DELTA,
    WITAN_OPTION_JSON(&args.json),
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define ACTION(word, list, function)                                                   \
    {                                                                                  \
        .name = (word), .options = (list), .options_count = COUNT(list),               \
        .run = (function)                                                              \
    }

static const witan_action actions[] = {
    ACTION("gaussian", gaussian_options, gaussian),
    ACTION("laplace", laplace_options, laplace),
    ACTION("sampled", sampled_options, sampled),
    ACTION("response", response_options, response),
    ACTION("gnmax", gnmax_options, gnmax),
    ACTION("dpsgd", dpsgd_options, dpsgd),
    {.name = "temperature", .run = nothing},
    {.name = "swing", .run = nothing},
};

int
witan_command_epsilon(int argc, char **argv)
{
    char *unused = NULL;
    return witan_actions_run("witan epsilon", help, actions, COUNT(actions), &unused,
                             argc, argv);
}
