#include "unit/report/fake_audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const char *const limits[] = {
    "The null cannot be told from memorisation of less than about two bits: 20 "
    "canaries "
    "were planted at each level.",
    "Attackers who know more than these attacks may find more."};
static const char *const held[] = {"exposure > 3: held (1.5)"};
static const char *const crossed[] = {"exposure > 3: crossed (17.2)",
                                      "membership-auc > 0.6: held (0.55)"};
static const char *const modes[] = {"plain", "constant temperature 8", "noise 0.01",
                                    "swing + noise 0.01"};

static void *
take(size_t count, size_t size)
{
    void *block = calloc(count + 1, size);
    WITAN_ASSERT(block != NULL);
    return block;
}

/* Grows with rounds and repetitions up to `most` bits, at the null for controls. */
static double
exposure_of(size_t round, size_t rounds, size_t level, double most)
{
    double share = (double)(round + 1) / (double)rounds * (double)level / 3.0;
    return 1.44 + (most - 1.44) * share;
}

static void
fill_exposures(fake_audit *self, size_t rounds, double teachers, double students)
{
    const double most[WITAN_AUDIT_PLACES] = {teachers, 0.8 * students, 0.9 * students,
                                             students};
    size_t count = 0;
    self->exposure =
        take(rounds * WITAN_AUDIT_PLACES * FAKE_LEVELS, sizeof *self->exposure);
    for (size_t r = 0; r < rounds; r++) {
        for (int place = 0; place < WITAN_AUDIT_PLACES; place++) {
            for (size_t level = 0; level < FAKE_LEVELS; level++) {
                double mean = exposure_of(r, rounds, level, most[place]);
                self->exposure[count++] = (witan_audit_exposure){
                    .round = r,
                    .place = (witan_audit_place)place,
                    .repetitions = self->repetitions[level],
                    .count = place == WITAN_AUDIT_STUDENTS ? 200 : 20,
                    .mean = mean,
                    .low = mean - 0.6,
                    .high = fmin(mean + 0.7, 19.93),
                    .median = mean - 0.3,
                    .largest = fmin(mean + 3.0, 19.93),
                    .p_value = place == WITAN_AUDIT_STUDENTS ? (double)NAN
                               : level == 0                  ? 0.48
                                                             : 2.4e-9};
            }
        }
    }
    self->record.exposures = count;
    self->record.exposure = self->exposure;
}

static void
fill_clients(fake_audit *self, size_t clients, bool leaky)
{
    static const char *const attacks[3] = {"rmia", "lira-offline", "loss"};
    self->extraction = take(clients, sizeof *self->extraction);
    self->membership = take(6 * clients, sizeof *self->membership);
    self->labels = take(clients, sizeof *self->labels);
    for (size_t i = 0; i < FAKE_ROC_POINTS; i++) {
        self->fpr[i] = (double)i / (FAKE_ROC_POINTS - 1);
        self->tpr[i] = pow(self->fpr[i], 0.8);
    }
    for (size_t n = 0; n < clients; n++) {
        bool holder = n % 4 == 0;
        self->extraction[n] = (witan_audit_extraction){
            .client = n,
            .holder = holder,
            .found = n % 5 != 3,
            .text = n % 5 == 3 ? "" : "my id is 281265",
            .planted = n % 5 != 3 && (holder || (leaky && n % 4 == 1)),
            .repetitions = 16,
            .nodes = 1200 + 7 * n,
            .space = n % 2 == 0 ? 1e6 : 1e9};
        self->labels[n] = (witan_audit_labels){.client = n,
                                               .told = 0.4 - 0.05 * (double)(n % 12),
                                               .divergence = 0.3,
                                               .uniform = 0.5,
                                               .gap_mean = 0.12,
                                               .gap_q99 = 0.81};
        for (size_t a = 0; a < 6; a++) {
            self->membership[6 * n + a] = (witan_audit_membership){
                .client = n,
                .attack = attacks[a % 3],
                .place = a < 3 ? "model" : "model before distilling",
                .members = 500,
                .others = 1500,
                .references = 4,
                .auc = 0.55 + 0.001 * (double)(n % 10) + 0.01 * (double)a,
                .balanced_accuracy = 0.56,
                .tpr_1 = 0.021,
                .tpr_01 = 0.0042,
                .tpr_0 = 0.0,
                .points = n < 60 ? FAKE_ROC_POINTS : 10,
                .fpr = self->fpr,
                .tpr = self->tpr};
        }
    }
    self->record.extractions = self->record.labels_count = clients;
    self->record.memberships = 6 * clients;
    self->record.extraction = self->extraction;
    self->record.membership = self->membership;
    self->record.labels = self->labels;
}

static void
fill_epsilons(fake_audit *self, double promised, bool contradicted)
{
    self->bound[0] = (witan_audit_evidence){
        "one run", "students",
        "80 canaries, 40 planted by a fair coin, 12 guesses of which 9 right; delta "
        "1e-5, 95 % confidence, Bonferroni over 80 thresholds; unit: one record",
        0.41};
    self->bound[1] = (witan_audit_evidence){"two samples", "teachers",
                                            "members against others of client 0", 2.75};
    self->claim[0] = (witan_audit_claim){
        "epsilon <= 1.99 at delta 1e-05 for one record (add or remove): subsampled "
        "mechanism",
        promised, contradicted};
    self->claim[1] = (witan_audit_claim){
        "swing temperature: empirical protection, no epsilon", (double)NAN, false};
    self->record.bounds = self->record.claims = 2;
    self->record.bound = self->bound;
    self->record.claim = self->claim;
}

static void
fill_runs(fake_audit *self, size_t seeds)
{
    const double exposure[4] = {17.2, 12.1, 4.0, 1.6},
                 cost[4] = {0.0, 0.004, 0.02, 0.011};
    self->run = take(4 * seeds, sizeof *self->run);
    for (size_t i = 0; i < 4 * seeds; i++) {
        size_t m = i % 4;
        self->run[i] = (witan_audit_run){
            .directory = "runs/plain-1",
            .mode = modes[m],
            .seed = 1 + i / 4,
            .transfer = "P1",
            .exposure = exposure[m] + 0.2 * (double)(i / 4 % 5),
            .exposure_control = 1.4,
            .reduction = m == 0 ? (double)NAN : 1.0 - (exposure[m] - 1.44) / 15.8,
            .utility = 4.5 * (1.0 + cost[m]) + 0.01 * (double)(i / 4 % 5),
            .cost = cost[m]};
    }
    for (size_t m = 0; m < 4; m++) {
        self->modes[m] = (witan_audit_mode){.mode = modes[m],
                                            .transfer = "P1",
                                            .seeds = seeds,
                                            .exposure = exposure[m] + 0.4,
                                            .exposure_low = exposure[m],
                                            .exposure_high = exposure[m] + 0.8,
                                            .reduction = self->run[m].reduction,
                                            .reduction_low = self->run[m].reduction,
                                            .reduction_high = self->run[m].reduction,
                                            .utility = 4.5 * (1.0 + cost[m]),
                                            .cost = cost[m],
                                            .cost_low = cost[m] - 0.01,
                                            .cost_high = cost[m] + 0.01};
    }
    self->record.runs = 4 * seeds;
    self->record.run = self->run;
    self->record.modes = 4;
    self->record.modes_of = self->modes;
}

static void
fill_head(fake_audit *self, size_t clients, size_t rounds)
{
    static const uint32_t repetitions[FAKE_LEVELS] = {0, 1, 4, 16};
    memcpy(self->repetitions, repetitions, sizeof repetitions);
    self->record = (witan_audit_record){
        .name = "letters",
        .directory = "runs/plain",
        .version = "0.2.0",
        .digest = "8c1f00aa",
        .plan_digest = "77e1b2c3",
        .canaries =
            "\"my id is {d6}\": 1000000 fills, 20 canaries each planted 0, 1, 4 "
            "and 16 times, held by clients 0, 4 and 8",
        .how = "Exact ranks among all fills; a tie counts against the canary.",
        .transfer = "P0: the transfer set shows nothing of the canaries",
        .mode = "plain",
        .text = true,
        .clients = clients,
        .rounds = rounds,
        .utility = 4.52,
        .utility_holders = 4.31,
        .space_bits = 19.931568569324174,
        .levels = FAKE_LEVELS,
        .repetitions = self->repetitions,
        .fit_p_value = (double)NAN,
        .limits = 2,
        .limit = limits};
}

static void
make_gaps(fake_audit *self)
{
    const double none = (double)NAN;
    witan_audit_record *record = &self->record;
    record->utility = record->utility_holders = record->space_bits = none;
    for (size_t i = 0; i < record->exposures; i++) {
        witan_audit_exposure *at = &self->exposure[i];
        at->mean = at->low = at->high = at->median = at->largest = at->p_value = none;
    }
    for (size_t i = 0; i < record->memberships; i++) {
        witan_audit_membership *at = &self->membership[i];
        at->auc = at->balanced_accuracy = at->tpr_1 = at->tpr_01 = at->tpr_0 = none;
    }
    for (size_t i = 0; i < FAKE_ROC_POINTS; i++) {
        self->fpr[i] = self->tpr[i] = none;
    }
    for (size_t i = 0; i < record->labels_count; i++) {
        self->labels[i] = (witan_audit_labels){i, none, none, none, none, none};
        self->extraction[i].space = none;
    }
    for (size_t i = 0; i < 2; i++) {
        self->bound[i].epsilon = self->claim[i].epsilon = none;
    }
    for (size_t i = 0; i < record->runs; i++) {
        witan_audit_run *at = &self->run[i];
        at->exposure = at->exposure_control = at->reduction = none;
        at->utility = at->cost = none;
    }
    for (size_t m = 0; m < 4; m++) {
        self->modes[m] =
            (witan_audit_mode){modes[m], "P1", 5,    none, none, none, none,
                               none,     none, none, none, none, none};
    }
}

/* Every text of the record. */
static void
set_texts(fake_audit *self, const char *text)
{
    static const char *one[1];
    witan_audit_record *record = &self->record;
    one[0] = text;
    record->name = record->directory = record->version = record->digest = text;
    record->plan_digest = record->canaries = record->how = record->transfer = text;
    record->mode = text;
    record->limits = record->gates = 1;
    record->limit = record->gate = one;
    for (size_t i = 0; i < record->extractions; i++) {
        self->extraction[i].text = text;
    }
    for (size_t i = 0; i < record->memberships; i++) {
        self->membership[i].attack = self->membership[i].place = text;
    }
    for (size_t i = 0; i < 2; i++) {
        self->bound[i].method = self->bound[i].place = self->bound[i].sentence = text;
        self->claim[i].sentence = text;
    }
    for (size_t i = 0; i < record->runs; i++) {
        self->run[i].directory = self->run[i].mode = self->run[i].transfer = text;
    }
    for (size_t m = 0; m < 4; m++) {
        self->modes[m].mode = self->modes[m].transfer = text;
    }
}

bool
fake_audit_named(fake_audit *self, const char *name)
{
    static const char hostile[] = "<script>alert(\"1\")</script>&amp;' "
                                  "\x1b[2J\x07\xc2\x9b\xff\xed\xa0\x80 \u20ac";
    static char word[400];
    bool quiet = strcmp(name, "quiet") == 0, thousand = strcmp(name, "thousand") == 0;
    bool wrong = strcmp(name, "contradicted") == 0;
    bool compared = strcmp(name, "compared") == 0 || thousand;
    bool text = strcmp(name, "hostile") == 0 || strcmp(name, "long") == 0;
    bool gaps = strcmp(name, "gaps") == 0, features = strcmp(name, "features") == 0;
    *self = (fake_audit){.exposure = NULL};
    if (strcmp(name, "empty") == 0) {
        return true;
    }
    if (!quiet && !wrong && !compared && !text && !gaps && !features &&
        strcmp(name, "leaky") != 0) {
        return false;
    }
    fill_head(self, thousand ? 1000 : 12, thousand ? 100 : 3);
    fill_exposures(self, self->record.rounds, 19.93, quiet ? 1.5 : 17.2);
    fill_clients(self, self->record.clients, !quiet);
    fill_epsilons(self, wrong ? 1.99 : 8.0, wrong);
    if (compared || text || gaps) {
        fill_runs(self, 5);
    }
    if (quiet || wrong) {
        self->record.gates = wrong ? 2 : 1;
        self->record.gate = wrong ? crossed : held;
        self->record.crossed = wrong;
    }
    if (features) {
        self->record.text = false;
        self->record.utility = 0.931;
        self->record.extractions = 0;
    }
    if (gaps) {
        make_gaps(self);
    }
    if (text) {
        memset(word, 'w', sizeof word - 1);
        set_texts(self, strcmp(name, "long") == 0 ? word : hostile);
    }
    return true;
}

void
fake_audit_fini(fake_audit *self)
{
    free(self->exposure);
    free(self->extraction);
    free(self->membership);
    free(self->labels);
    free(self->run);
}
