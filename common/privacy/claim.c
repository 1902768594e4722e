#include "privacy/claim.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/limits.h"

static const char *const UNITS[] = {"unstated", "client", "record"};
static const char *const RELATIONS[] = {"unstated", "replace", "add or remove"};
static const char *const PLACES[] = {"unstated", "added by the client",
                                     "added by a trusted coordinator"};
static const char *const ACCOUNTINGS[] = {"unstated", "Renyi", "exact Gaussian",
                                          "zCDP"};

static bool
is_release(witan_mechanism_kind kind)
{
    return kind == WITAN_MECHANISM_GAUSSIAN || kind == WITAN_MECHANISM_LAPLACE;
}

static witan_status
missing(witan_diag *diag, const char *field)
{
    return witan_diag_fail(diag, WITAN_E_CONFIG,
                           "an epsilon needs a stated %s: state it, or report exposure "
                           "alone",
                           field);
}

static witan_status
check_stated(const witan_privacy_plan *plan, witan_diag *diag)
{
    if (plan->unit < WITAN_UNIT_CLIENT || plan->unit > WITAN_UNIT_RECORD) {
        return missing(diag, "unit (client or record)");
    }
    if (plan->relation < WITAN_RELATION_REPLACE ||
        plan->relation > WITAN_RELATION_ADD_REMOVE) {
        return missing(diag, "relation (replace, or add and remove)");
    }
    if (plan->place < WITAN_NOISE_CLIENT || plan->place > WITAN_NOISE_COORDINATOR) {
        return missing(diag, "place of the noise (client or coordinator)");
    }
    if (plan->accounting < WITAN_ACCOUNTING_RDP ||
        plan->accounting > WITAN_ACCOUNTING_ZCDP) {
        return missing(diag, "accountant");
    }
    if (plan->queries == 0 || plan->rounds == 0 ||
        plan->queries > UINT64_MAX / plan->rounds) {
        return missing(diag, "number of answered queries and rounds");
    }
    if (!(plan->delta > 0.0 && plan->delta < 1.0)) {
        return missing(diag, "delta between 0 and 1");
    }
    return WITAN_OK;
}

static witan_status
check_parameters(const witan_privacy_plan *plan, witan_diag *diag)
{
    witan_mechanism_kind kind = plan->mechanism;
    bool sampled = kind == WITAN_MECHANISM_SAMPLED;
    bool steps = kind == WITAN_MECHANISM_SUBSAMPLED;
    bool labels = is_release(kind) || sampled || kind == WITAN_MECHANISM_RESPONSE;
    if (labels && (plan->classes < 2 || plan->classes > WITAN_CLASSES_MAX)) {
        return missing(diag, "number of classes, at least 2");
    }
    if ((is_release(kind) || sampled || steps) &&
        (!(plan->clip > 0.0) || !isfinite(plan->clip))) {
        return missing(diag, "clip: without one the sensitivity has no bound");
    }
    if ((is_release(kind) || sampled) &&
        (!(plan->temperature > 0.0) || !isfinite(plan->temperature) ||
         plan->clip / plan->temperature > WITAN_CLIP_OVER_TEMPERATURE_MAX)) {
        return missing(diag, "smallest temperature, at least clip / 300");
    }
    if ((is_release(kind) || steps || kind == WITAN_MECHANISM_GNMAX) &&
        (!(plan->sigma > 0.0) || !isfinite(plan->sigma))) {
        return missing(diag, "sigma above 0");
    }
    if (is_release(kind) && plan->averaged == 0) {
        return missing(diag, "number of soft labels averaged before the noise");
    }
    if (steps && !(plan->sampling_rate > 0.0 && plan->sampling_rate <= 1.0)) {
        return missing(diag, "sampling rate between 0 and 1");
    }
    if (kind == WITAN_MECHANISM_RESPONSE &&
        !(plan->response > 0.0 && plan->response <= 1.0)) {
        return missing(diag, "response probability between 0 and 1");
    }
    return WITAN_OK;
}

/* What each mechanism can promise at all. */
static witan_status
check_promise(const witan_privacy_plan *plan, witan_diag *diag)
{
    switch (plan->mechanism) {
    case WITAN_MECHANISM_GAUSSIAN:
    case WITAN_MECHANISM_LAPLACE:
    case WITAN_MECHANISM_SAMPLED:
    case WITAN_MECHANISM_RESPONSE:
        /* The diameter bounds any change of the answer, so it covers a replaced client,
         * and a replaced record as far as a record can change everything. */
        if (plan->relation != WITAN_RELATION_REPLACE) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "noise on soft labels protects against replacing one "
                "answer: state relation \"replace\"");
        }
        if (plan->unit == WITAN_UNIT_RECORD && plan->averaged < 2) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "noise on one model's soft labels promises nothing per record beyond "
                "what it promises per client: state unit \"client\", average shards, "
                "or "
                "train with DP-SGD");
        }
        break;
    case WITAN_MECHANISM_GNMAX:
        break; /* one shard's vote: a record replaced, added or removed alike */
    case WITAN_MECHANISM_SUBSAMPLED:
        if (plan->relation != WITAN_RELATION_ADD_REMOVE ||
            plan->unit != WITAN_UNIT_RECORD) {
            return witan_diag_fail(
                diag, WITAN_E_CONFIG,
                "DP-SGD with Poisson sampling protects a record "
                "against being added or removed: state that unit and "
                "relation");
        }
        break;
    default:
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "a %s mechanism has no epsilon of its own: temperature, rounding and noise "
            "without a clip are empirical protection; report exposure",
            witan_mechanism_name(plan->mechanism));
    }
    if (plan->accounting != WITAN_ACCOUNTING_RDP &&
        plan->mechanism != WITAN_MECHANISM_GAUSSIAN) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the %s accountant knows the Gaussian mechanism alone, "
                               "not %s: choose the Renyi accountant",
                               ACCOUNTINGS[plan->accounting],
                               witan_mechanism_name(plan->mechanism));
    }
    return WITAN_OK;
}

static witan_mechanism
mechanism_of(const witan_privacy_plan *plan, double *sensitivity)
{
    double l1 = 0.0, l2 = 0.0;
    witan_mechanism mechanism = {.kind = plan->mechanism,
                                 .sampling_rate = plan->sampling_rate,
                                 .response = plan->response,
                                 .clip = plan->clip,
                                 .temperature = plan->temperature,
                                 .classes = plan->classes};
    *sensitivity = 0.0;
    if (is_release(plan->mechanism)) {
        bool gaussian = plan->mechanism == WITAN_MECHANISM_GAUSSIAN;
        witan_status status =
            witan_simplex_diameter(gaussian ? NULL : &l1, gaussian ? &l2 : NULL,
                                   plan->classes, plan->clip, plan->temperature);
        WITAN_ASSERT(status == WITAN_OK);
        *sensitivity = (gaussian ? l2 : l1) / (double)plan->averaged;
        mechanism.noise_multiplier = plan->sigma / *sensitivity;
    } else if (plan->mechanism == WITAN_MECHANISM_SUBSAMPLED) {
        *sensitivity = plan->clip;
        mechanism.noise_multiplier = plan->sigma / plan->clip;
    } else if (plan->mechanism == WITAN_MECHANISM_GNMAX) {
        *sensitivity = sqrt(2.0);
        mechanism.noise_multiplier = plan->sigma;
    }
    return mechanism;
}

static witan_status
account(witan_privacy_claim *claim, const witan_mechanism *mechanism, witan_diag *diag)
{
    const witan_privacy_plan *plan = &claim->plan;
    uint64_t answers = plan->queries * plan->rounds;
    double multiplier = mechanism->noise_multiplier;
    switch (plan->accounting) {
    case WITAN_ACCOUNTING_GAUSSIAN:
        return witan_gaussian_epsilon(&claim->epsilon,
                                      multiplier / sqrt((double)answers), plan->delta);
    case WITAN_ACCOUNTING_ZCDP:
        return witan_zcdp_epsilon(&claim->epsilon,
                                  0.5 * (double)answers / (multiplier * multiplier),
                                  plan->delta);
    default:
        break;
    }
    witan_accountant accountant;
    witan_accountant_init(&accountant);
    WITAN_TRY(witan_accountant_add(&accountant, mechanism, answers, diag));
    return witan_accountant_epsilon(&accountant, plan->delta, &claim->epsilon,
                                    &claim->order);
}

witan_status
witan_privacy_claim_make(witan_privacy_claim *claim, const witan_privacy_plan *plan,
                         witan_diag *diag)
{
    *claim = (witan_privacy_claim){0};
    WITAN_TRY(check_stated(plan, diag));
    WITAN_TRY(check_promise(plan, diag));
    WITAN_TRY(check_parameters(plan, diag));
    witan_privacy_claim made = {.plan = *plan};
    witan_mechanism mechanism = mechanism_of(plan, &made.sensitivity);
    if (account(&made, &mechanism, diag) != WITAN_OK || !isfinite(made.epsilon)) {
        return witan_diag_fail(
            diag, WITAN_E_CONFIG,
            "sigma %g is too small against the sensitivity %g for any "
            "finite epsilon: raise it",
            plan->sigma, made.sensitivity);
    }
    *claim = made;
    return WITAN_OK;
}

void
witan_privacy_claim_text(const witan_privacy_claim *claim, char *text, size_t size)
{
    const witan_privacy_plan *plan = &claim->plan;
    char details[192] = "";
    switch (plan->mechanism) {
    case WITAN_MECHANISM_GAUSSIAN:
    case WITAN_MECHANISM_LAPLACE:
        snprintf(details, sizeof details,
                 "%zu classes, clip %g, temperature >= %g, %s sensitivity %.4g, sigma "
                 "%g, %s",
                 plan->classes, plan->clip, plan->temperature,
                 plan->mechanism == WITAN_MECHANISM_GAUSSIAN ? "L2" : "L1",
                 claim->sensitivity, plan->sigma, PLACES[plan->place]);
        break;
    case WITAN_MECHANISM_SAMPLED:
        snprintf(details, sizeof details, "%zu classes, clip %g, temperature >= %g, %s",
                 plan->classes, plan->clip, plan->temperature, PLACES[plan->place]);
        break;
    case WITAN_MECHANISM_RESPONSE:
        snprintf(details, sizeof details, "%zu classes, response %g, %s", plan->classes,
                 plan->response, PLACES[plan->place]);
        break;
    case WITAN_MECHANISM_SUBSAMPLED:
        snprintf(details, sizeof details,
                 "gradient clip %g, sigma %g, sampling rate %g, %s", plan->clip,
                 plan->sigma, plan->sampling_rate, PLACES[plan->place]);
        break;
    default:
        snprintf(details, sizeof details, "sigma %g votes, %s", plan->sigma,
                 PLACES[plan->place]);
        break;
    }
    snprintf(text, size,
             "epsilon <= %.4g at delta %g for one %s (%s): %s mechanism, %s; %" PRIu64
             " answers in each of %" PRIu64 " rounds, %s accountant",
             claim->epsilon, plan->delta, UNITS[plan->unit], RELATIONS[plan->relation],
             witan_mechanism_name(plan->mechanism), details, plan->queries,
             plan->rounds, ACCOUNTINGS[plan->accounting]);
}

witan_status
witan_privacy_claim_check(const witan_privacy_claim *claim, double lower_bound,
                          witan_diag *diag)
{
    if (!(lower_bound >= 0.0)) {
        return witan_diag_fail(diag, WITAN_E_INVALID,
                               "the empirical lower bound is not a number >= 0");
    }
    if (lower_bound > claim->epsilon) {
        return witan_diag_fail(diag, WITAN_E_STATE,
                               "the audit found epsilon >= %.4g where at most %.4g is "
                               "claimed: the claim or the mechanism is wrong",
                               lower_bound, claim->epsilon);
    }
    return WITAN_OK;
}
