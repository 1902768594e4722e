/* An epsilon only with everything it needs, and a sentence for whatever is missing. */
#include "privacy/claim.h"

#include <math.h>
#include <string.h>

#include "support/witan_test.h"

static const witan_privacy_plan RELEASE = {
    .mechanism = WITAN_MECHANISM_GAUSSIAN,
    .unit = WITAN_UNIT_CLIENT,
    .relation = WITAN_RELATION_REPLACE,
    .place = WITAN_NOISE_CLIENT,
    .accounting = WITAN_ACCOUNTING_GAUSSIAN,
    .classes = 10,
    .clip = 5,
    .temperature = 20,
    .sigma = 2.94,
    .averaged = 1,
    .queries = 100,
    .rounds = 10,
    .delta = 1e-5,
};

static witan_privacy_claim
claim_of(const witan_privacy_plan *plan)
{
    witan_privacy_claim claim;
    witan_diag diag = {0};
    if (!CHECK_STATUS(witan_privacy_claim_make(&claim, plan, &diag), WITAN_OK)) {
        CHECK_STRING(diag.message, "");
    }
    return claim;
}

static void
refused(const witan_privacy_plan *plan, const char *why)
{
    witan_privacy_claim claim;
    witan_diag diag = {0};
    CHECK_STATUS(witan_privacy_claim_make(&claim, plan, &diag), WITAN_E_CONFIG);
    CHECK_CONTAINS(diag.message, why);
    CHECK(claim.epsilon == 0.0 && claim.plan.queries == 0);
    CHECK_STATUS(witan_privacy_claim_make(&claim, plan, NULL), WITAN_E_CONFIG);
}

static void
reality_check(void)
{
    witan_privacy_claim claim = claim_of(&RELEASE);
    CHECK_NEAR(claim.epsilon, 8.0, 0.02, 0);
    CHECK_NEAR(claim.sensitivity, 0.15490, 5.1e-6, 0);
    char text[512];
    witan_privacy_claim_text(&claim, text, sizeof text);
    static const char *const parts[] = {
        "epsilon <= 8", "delta 1e-05", "one client",        "(replace)",
        "gaussian",     "clip 5",      "temperature >= 20", "sigma 2.94",
        "100 answers",  "10 rounds",   "exact Gaussian",    "added by the client",
        "0.1549",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        CHECK_CONTAINS(text, parts[i]);
    }
    CHECK(strlen(text) < 300);

    /* Accountants in their order, and all of them honour the number of answers. */
    witan_privacy_plan plan = RELEASE;
    double exact = claim.epsilon;
    plan.accounting = WITAN_ACCOUNTING_RDP;
    claim = claim_of(&plan);
    double renyi = claim.epsilon;
    CHECK(claim.order > 1.0);
    plan.accounting = WITAN_ACCOUNTING_ZCDP;
    double zcdp = claim_of(&plan).epsilon;
    CHECK(exact < renyi && renyi < zcdp);
    for (int accounting = WITAN_ACCOUNTING_RDP; accounting <= WITAN_ACCOUNTING_ZCDP;
         accounting++) {
        plan = RELEASE;
        plan.accounting = (witan_accounting)accounting;
        double base = claim_of(&plan).epsilon;
        plan.queries *= 4;
        double more = claim_of(&plan).epsilon;
        plan.sigma *= 2; /* twice the noise pays for four times the answers */
        CHECK(more > base);
        CHECK_NEAR(claim_of(&plan).epsilon, base, 0, 1e-9);
        plan = RELEASE;
        plan.accounting = (witan_accounting)accounting;
        plan.averaged = 4;
        plan.place = WITAN_NOISE_COORDINATOR;
        plan.sigma /= 4;
        CHECK_NEAR(claim_of(&plan).epsilon, base, 0, 1e-9);
    }
}

static void
every_mechanism(void)
{
    witan_privacy_plan plan = RELEASE;
    plan.accounting = WITAN_ACCOUNTING_RDP;
    char text[512];
    plan.mechanism = WITAN_MECHANISM_LAPLACE;
    witan_privacy_claim claim = claim_of(&plan);
    double l1;
    CHECK_STATUS(witan_simplex_diameter(&l1, NULL, 10, 5, 20), WITAN_OK);
    CHECK_NEAR(claim.sensitivity, l1, 0, 1e-15);
    witan_privacy_claim_text(&claim, text, sizeof text);
    CHECK_CONTAINS(text, "L1 sensitivity");

    plan.mechanism = WITAN_MECHANISM_SAMPLED;
    plan.queries = plan.rounds = 1;
    plan.delta = 1e-12;
    claim = claim_of(&plan);
    CHECK(claim.epsilon > 0.5 && claim.epsilon < 0.897 + 0.06); /* pure 0.897 */
    witan_privacy_claim_text(&claim, text, sizeof text);
    CHECK_CONTAINS(text, "sampled label");

    plan = (witan_privacy_plan){.mechanism = WITAN_MECHANISM_RESPONSE,
                                .unit = WITAN_UNIT_CLIENT,
                                .relation = WITAN_RELATION_REPLACE,
                                .place = WITAN_NOISE_CLIENT,
                                .accounting = WITAN_ACCOUNTING_RDP,
                                .classes = 10,
                                .response = 0.95,
                                .queries = 10,
                                .rounds = 1,
                                .delta = 1e-5};
    claim = claim_of(&plan);
    CHECK(claim.epsilon > 0);
    witan_privacy_claim_text(&claim, text, sizeof text);
    CHECK_CONTAINS(text, "response 0.95");

    plan = (witan_privacy_plan){.mechanism = WITAN_MECHANISM_GNMAX,
                                .unit = WITAN_UNIT_RECORD,
                                .relation = WITAN_RELATION_ADD_REMOVE,
                                .place = WITAN_NOISE_CLIENT,
                                .accounting = WITAN_ACCOUNTING_RDP,
                                .sigma = 40,
                                .queries = 1000,
                                .rounds = 1,
                                .delta = 1e-5};
    claim = claim_of(&plan);
    CHECK_NEAR(claim.epsilon, 5.3777, 5.1e-5, 0);
    witan_privacy_claim_text(&claim, text, sizeof text);
    CHECK_CONTAINS(text, "sigma 40 votes");

    plan = (witan_privacy_plan){.mechanism = WITAN_MECHANISM_SUBSAMPLED,
                                .unit = WITAN_UNIT_RECORD,
                                .relation = WITAN_RELATION_ADD_REMOVE,
                                .place = WITAN_NOISE_CLIENT,
                                .accounting = WITAN_ACCOUNTING_RDP,
                                .clip = 0.5,
                                .sigma = 0.55,
                                .sampling_rate = 256.0 / 60000,
                                .queries = 60 * 60000 / 256,
                                .rounds = 1,
                                .delta = 1e-5};
    claim = claim_of(&plan);
    CHECK_NEAR(claim.epsilon, 2.597, 5.1e-4, 0);
    witan_privacy_claim_text(&claim, text, sizeof text);
    CHECK_CONTAINS(text, "gradient clip 0.5");
    plan.unit = WITAN_UNIT_CLIENT;
    refused(&plan, "DP-SGD");
    plan.unit = WITAN_UNIT_RECORD;
    plan.sampling_rate = 0;
    refused(&plan, "sampling rate");
}

static void
nothing_unstated(void)
{
    witan_privacy_plan plan = RELEASE;
    plan.unit = WITAN_UNIT_UNSTATED;
    refused(&plan, "unit");
    plan = RELEASE;
    plan.relation = WITAN_RELATION_UNSTATED;
    refused(&plan, "relation");
    plan = RELEASE;
    plan.place = WITAN_NOISE_UNSTATED;
    refused(&plan, "place");
    plan = RELEASE;
    plan.accounting = WITAN_ACCOUNTING_UNSTATED;
    refused(&plan, "accountant");
    plan = RELEASE;
    plan.queries = 0;
    refused(&plan, "number of answered queries");
    plan = RELEASE;
    plan.rounds = 0;
    refused(&plan, "rounds");
    plan = RELEASE;
    plan.delta = (double)NAN;
    refused(&plan, "delta");
    static const double bad[] = {0, -1, (double)NAN, HUGE_VAL};
    for (size_t i = 0; i < 4; i++) {
        plan = RELEASE;
        plan.clip = bad[i];
        refused(&plan, "clip");
        plan = RELEASE;
        plan.temperature = bad[i];
        refused(&plan, "temperature");
        plan = RELEASE;
        plan.sigma = bad[i];
        refused(&plan, "sigma");
    }
    plan = RELEASE;
    plan.classes = 1;
    refused(&plan, "classes");
    plan = RELEASE;
    plan.averaged = 0;
    refused(&plan, "averaged");
    plan = RELEASE;
    plan.sigma = 1e-200;
    refused(&plan, "too small");
}

static void
nothing_promised(void)
{
    witan_privacy_plan plan = RELEASE;
    plan.mechanism = WITAN_MECHANISM_HEURISTIC;
    refused(&plan, "no epsilon");
    plan.mechanism = WITAN_MECHANISM_PURE;
    refused(&plan, "no epsilon");
    plan = RELEASE;
    plan.unit = WITAN_UNIT_RECORD;
    refused(&plan, "DP-SGD");
    plan.averaged = 10; /* shards of one client */
    CHECK(claim_of(&plan).epsilon > 0);
    plan = RELEASE;
    plan.relation = WITAN_RELATION_ADD_REMOVE;
    refused(&plan, "replace");
    plan = RELEASE;
    plan.mechanism = WITAN_MECHANISM_LAPLACE;
    refused(&plan, "Gaussian mechanism alone");
}

static void
lower_beside_upper(void)
{
    witan_privacy_claim claim = claim_of(&RELEASE);
    witan_diag diag = {0};
    CHECK_STATUS(witan_privacy_claim_check(&claim, 0, &diag), WITAN_OK);
    CHECK_STATUS(witan_privacy_claim_check(&claim, claim.epsilon, &diag), WITAN_OK);
    CHECK_STATUS(witan_privacy_claim_check(&claim, claim.epsilon + 1, &diag),
                 WITAN_E_STATE);
    CHECK_CONTAINS(diag.message, "the audit found epsilon >= 9");
    CHECK_STATUS(witan_privacy_claim_check(&claim, (double)NAN, NULL), WITAN_E_INVALID);
    CHECK_STATUS(witan_privacy_claim_check(&claim, -1, NULL), WITAN_E_INVALID);
}

int
main(void)
{
    RUN(reality_check);
    RUN(every_mechanism);
    RUN(nothing_unstated);
    RUN(nothing_promised);
    RUN(lower_beside_upper);
    return witan_test_finish();
}
