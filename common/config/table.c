/* table.c - every key of an experiment: type, range, default, unit, meaning. */
#include "config/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "integers are 64 bits wide");

/* In the order of the enums that config.h names. */
static const char *const format_words[] = {"auto", "embedded", "idx",  "cifar10", "npy",
                                           "npz",  "csv",      "text", NULL};
static const char *const partition_words[] = {"iid",    "dirichlet", "dirichlet-client",
                                              "labels", "shards",    "quantity",
                                              "file",   "natural",   NULL};
static const char *const unit_words[] = {"character", "word", NULL};
static const char *const group_words[] = {"none", "file", "folder", "speaker", NULL};
static const char *const own_test_words[] = {"holdout", "global", NULL};
static const char *const optimizer_words[] = {"sgd", "adam", "adamw", NULL};
static const char *const schedule_words[] = {"constant", "step", "cosine", NULL};
static const char *const codec_words[] = {"f32", "u16", "top", NULL};
static const char *const noise_words[] = {"none", "gaussian", "laplace", NULL};
static const char *const repair_words[] = {"project", "clamp", "floor", NULL};
static const char *const label_words[] = {"soft", "sampled", "response", "votes", NULL};
static const char *const reference_words[] = {"public", "heard", NULL};
static const char *const fusion_words[] = {"local",  "mean",        "knfu",
                                           "fedavg", "centralised", NULL};
static const char *const combine_words[] = {"probability", "logit", NULL};
static const char *const divergence_words[] = {
    "js", "kl", "cosine", "total-variation", "hellinger", NULL};
static const char *const epd_words[] = {"mean", "argmax", "mean-normalised", "shift",
                                        NULL};
static const char *const loss_words[] = {"kl", "mse", "mae", NULL};
static const char *const late_words[] = {"drop", "keep", NULL};

/* The type of a key is the type of its member, so that the two cannot differ. */
#define TYPE_OF(member)                                                                \
    _Generic(((witan_config *)0)->member, double                                         \
             : WITAN_KEY_NUMBER, bool                                                    \
             : WITAN_KEY_FLAG, int                                                       \
             : WITAN_KEY_CHOICE, char *                                                  \
             : WITAN_KEY_TEXT, witan_model_spec *                                        \
             : WITAN_KEY_MODELS, size_t                                                  \
             : WITAN_KEY_INTEGER)
#define KEY(member, initial_, help_)                                                   \
    .path = #member, .type = TYPE_OF(member),                                          \
    .offset = offsetof(witan_config, member), .initial = initial_, .help = help_
/* Bounds included unless the macro says otherwise. */
#define RANGE(minimum_, maximum_, unit_)                                               \
    .minimum = (double)(minimum_), .maximum = (double)(maximum_), .unit = unit_
#define WORDS(words_) .words = words_, .unit = ""
#define PLAIN .unit = ""

/* clang-format off */
static const witan_config_key keys[] = {
    {KEY(name, "optdigits", "name of the experiment, shown in reports"), PLAIN},
    {KEY(seed, "1", "everything random follows from it"),
     RANGE(0, WITAN_CONFIG_INTEGER_MAX, "")},
    {KEY(rounds, "30", "rounds of training, exchange and distillation"),
     RANGE(1, WITAN_ROUNDS_MAX, "rounds")},
    {KEY(clients, "10", "clients in the federation"),
     RANGE(1, WITAN_CLIENTS_MAX, "clients")},
    {KEY(participation, "1", "share of the clients that is asked in a round"),
     RANGE(0, 1, ""), .above = true},
    {KEY(models, "linear,mlp(64),cnn(16,32,64)", "client n gets model n modulo their number"), PLAIN},

    {KEY(data.path, "", "file or directory of the data set; empty: the embedded one"), PLAIN},
    {KEY(data.format, "auto", "how the data is stored; auto: by what the path holds"),
     WORDS(format_words)},
    {KEY(data.label, "", "CSV: name of the label column; empty: the last"), PLAIN},
    {KEY(data.test_fraction, "0.2", "share of rows held out as the global test set where the data has none"),
     RANGE(0, 1, ""), .above = true, .below = true},
    {KEY(data.standardise, "true", "scale features to mean 0 and deviation 1, fitted on the training rows"), PLAIN},
    {KEY(data.limit, "0", "use only this many training rows; 0: all"),
     RANGE(0, WITAN_SAMPLES_MAX, "rows")},
    {KEY(data.text.unit, "character", "text: what a token is"), WORDS(unit_words), .later = true},
    {KEY(data.text.group, "none", "text: what the natural partition deals and Dirichlet counts as classes"),
     WORDS(group_words), .later = true},
    {KEY(data.text.vocabulary, "5000", "text by word: the most frequent so many words; the others are <unk>"),
     RANGE(2, WITAN_CLASSES_MAX, "words"), .later = true},
    {KEY(data.text.window, "64", "text: tokens that a row predicts"),
     RANGE(1, WITAN_CONTEXT_MAX, "positions"), .later = true},
    {KEY(data.text.valid_fraction, "0.05", "text: share of each group that nobody trains on and no score counts; audits draw from it"),
     RANGE(0, 1, ""), .below = true, .later = true},
    {KEY(data.partition.key, "dirichlet", "who holds which rows"), WORDS(partition_words)},
    {KEY(data.partition.alpha, "0.5", "dirichlet, dirichlet-client, quantity: concentration; small is uneven"),
     RANGE(1e-6, 1e6, "")},
    {KEY(data.partition.balance, "true", "dirichlet: a client that has its fair share gets no more"), PLAIN},
    {KEY(data.partition.labels, "2", "labels: classes per client"),
     RANGE(1, WITAN_CLASSES_MAX, "classes")},
    {KEY(data.partition.shards, "2", "shards: shards per client"),
     RANGE(1, WITAN_CLASSES_MAX, "shards")},
    {KEY(data.partition.minimum, "10", "fewest rows of a client"),
     RANGE(1, WITAN_SAMPLES_MAX, "rows")},
    {KEY(data.partition.retries, "100", "dirichlet, quantity: redraws until every client has the minimum"),
     RANGE(0, 1e6, "draws")},
    {KEY(data.partition.path, "", "file: directory with the index lists"), PLAIN},
    {KEY(data.own_test.source, "holdout", "a client's own test part: cut from its rows, or drawn from the global test set with its label mix"),
     WORDS(own_test_words)},
    {KEY(data.own_test.fraction, "0.2", "size of that part: share of the client's rows, or of the global test set"),
     RANGE(0, 1, ""), .above = true, .below = true},

    {KEY(transfer.samples, "500", "rows of the public transfer set: held out of the training rows, or taken from transfer.path"),
     RANGE(0, WITAN_SAMPLES_MAX, "rows")},
    {KEY(transfer.path, "", "a second data set to use as the transfer set; empty: held out"), PLAIN},
    {KEY(transfer.format, "auto", "how the second data set is stored"), WORDS(format_words)},

    {KEY(local.epochs, "1", "passes over a client's own rows in a round; 0: no local training"),
     RANGE(0, 1e6, "epochs")},
    {KEY(local.batch, "32", "rows in a minibatch"), RANGE(1, WITAN_BATCH_MAX, "rows")},
    {KEY(local.optimizer.key, "adam", "update rule, also of distillation"), WORDS(optimizer_words)},
    {KEY(local.optimizer.lr, "0.001", "learning rate"), RANGE(0, 1000, ""), .above = true},
    {KEY(local.optimizer.momentum, "0", "sgd: momentum"), RANGE(0, 1, ""), .below = true},
    {KEY(local.optimizer.beta1, "0.9", "adam, adamw: decay of the mean"),
     RANGE(0, 1, ""), .below = true},
    {KEY(local.optimizer.beta2, "0.999", "adam, adamw: decay of the square"),
     RANGE(0, 1, ""), .below = true},
    {KEY(local.optimizer.epsilon, "1e-08", "adam, adamw: added to the root"),
     RANGE(0, 1, ""), .above = true},
    {KEY(local.optimizer.weight_decay, "0", "L2 for sgd and adam, decoupled for adamw"),
     RANGE(0, 1000, "")},
    {KEY(local.optimizer.clip, "0", "largest L2 norm of a gradient; 0: no clipping"),
     RANGE(0, 1e9, "")},
    {KEY(local.schedule.key, "constant", "learning rate over the rounds"), WORDS(schedule_words)},
    {KEY(local.schedule.step, "10", "step: rounds between drops"),
     RANGE(1, WITAN_ROUNDS_MAX, "rounds")},
    {KEY(local.schedule.factor, "0.5", "step: multiplier of a drop"),
     RANGE(0, 1, ""), .above = true},
    {KEY(local.schedule.minimum_lr, "0", "cosine: learning rate of the last round"),
     RANGE(0, 1000, "")},
    {KEY(local.privacy.clip, "0", "DP-SGD of local training: largest L2 norm of one example's gradient; 0: off"),
     RANGE(0, 1e9, ""), .later = true},
    {KEY(local.privacy.noise, "1", "DP-SGD: noise multiplier, deviation of the noise over the clip"),
     RANGE(0, 1e6, ""), .later = true},
    {KEY(local.privacy.delta, "1e-05", "DP-SGD: delta of the epsilon that is stated"),
     RANGE(0, 1, ""), .above = true, .below = true, .later = true},

    {KEY(extract.temperature, "1", "soft labels are softmax(logits / temperature)"),
     RANGE(0.01, 1000, "")},
    {KEY(extract.codec, "u16", "how soft labels travel: 4-byte floats, 2-byte fixed point, or the largest alone with the rest as one mass"),
     WORDS(codec_words)},
    {KEY(extract.top, "32", "top: classes of a row that travel"),
     RANGE(1, WITAN_TOP_MAX, "classes"), .later = true},

    {KEY(swing.temperature_high, "1000", "temperature of a row with privacy score 1; extract.temperature is that of score 0"),
     RANGE(0.01, 1e6, ""), .later = true},
    {KEY(swing.gamma, "4", "temperature = low (high / low)^(score^gamma)"),
     RANGE(0, 100, ""), .above = true, .later = true},
    {KEY(swing.clip, "0", "centred logits are clipped to +- this before tempering; 0: not"),
     RANGE(0, 1e6, ""), .later = true},
    {KEY(swing.noise, "none", "noise on soft labels, drawn once per client, row and round"),
     WORDS(noise_words), .later = true},
    {KEY(swing.sigma, "0", "deviation (gaussian) or scale (laplace) of the noise on each probability"),
     RANGE(0, 1e6, ""), .later = true},
    {KEY(swing.repair, "project", "how a noisy row becomes a soft label again: nearest point of the simplex, or negatives to 0, or to 1e-6"),
     WORDS(repair_words), .later = true},
    {KEY(swing.label, "soft", "what is said: the soft label, a class drawn from it, its largest class by randomised response, or a noisy vote of shards"),
     WORDS(label_words), .later = true},
    {KEY(swing.response, "0.5", "response: probability that a uniform class is said"),
     RANGE(0, 1, ""), .above = true, .later = true},
    {KEY(swing.gap, "false", "score rows by how much surer the client is than a reference"), PLAIN, .later = true},
    {KEY(swing.reference, "public", "gap: models that learned the transfer text alone (text), or what was last learned from"),
     WORDS(reference_words), .later = true},
    {KEY(swing.quantile, "0.99", "gap: the transfer row at this quantile of the gap scores 1/2"),
     RANGE(0.5, 1, ""), .above = true, .below = true, .later = true},
    {KEY(swing.rules, "false", "text: score digit runs and identifiers 1"), PLAIN, .later = true},
    {KEY(swing.reach, "2", "rules: positions after such a run that count too"),
     RANGE(0, WITAN_CONTEXT_MAX, "positions"), .later = true},
    {KEY(swing.density, "0", "score rows with few private rows near them: exp(-neighbours / this); 0: off"),
     RANGE(0, 1e9, "rows"), .later = true},
    {KEY(swing.radius, "1", "density: how near, in scaled features"),
     RANGE(0, 1e9, ""), .above = true, .later = true},
    {KEY(swing.shards, "0", "score rows on which models of disjoint shards of the private rows disagree; 0: off"),
     RANGE(0, 1000, "shards"), .later = true},
    {KEY(swing.epochs, "3", "passes over their rows of reference and shard models"),
     RANGE(1, 1e6, "epochs"), .later = true},
    {KEY(swing.delta, "1e-05", "delta of the epsilon that is stated for noise on soft labels"),
     RANGE(0, 1, ""), .above = true, .below = true, .later = true},

    {KEY(fusion.key, "knfu", "strategy that decides who listens to whom"), WORDS(fusion_words)},
    {KEY(fusion.combine, "probability", "average soft labels, or their logarithms"),
     WORDS(combine_words)},
    {KEY(fusion.beta, "10", "knfu: sharpness; 0 averages all, large listens to itself alone"),
     RANGE(0, 1e6, "")},
    {KEY(fusion.divergence, "js", "knfu: distance between label distributions"),
     WORDS(divergence_words)},
    {KEY(fusion.epd, "mean", "knfu: how a client's label distribution is estimated from its soft labels"),
     WORDS(epd_words)},
    {KEY(fusion.neighbours, "0", "knfu: keep the largest weights of a row; 0: all"),
     RANGE(0, WITAN_CLIENTS_MAX, "clients")},
    {KEY(fusion.minimum_weight, "0", "knfu: smaller weights become 0"),
     RANGE(0, 1, ""), .below = true},
    {KEY(fusion.include_self, "true", "knfu: a client hears itself too"), PLAIN},

    {KEY(distill.epochs, "1", "passes over the transfer set in a round; 0: no distillation"),
     RANGE(0, 1e6, "epochs")},
    {KEY(distill.temperature, "1", "kl: temperature of teacher and student"),
     RANGE(0.01, 1000, "")},
    {KEY(distill.batch, "0", "rows in a minibatch; 0: local.batch"),
     RANGE(0, WITAN_BATCH_MAX, "rows")},
    {KEY(distill.loss, "kl", "on probabilities (kl) or on centred logits (mse, mae)"),
     WORDS(loss_words)},

    {KEY(round.minimum_clients, "1", "answers needed to fuse"),
     RANGE(1, WITAN_CLIENTS_MAX, "clients")},
    {KEY(round.target_clients, "0", "answers that are enough once round.grace has passed; 0: all that are asked"),
     RANGE(0, WITAN_CLIENTS_MAX, "clients"), .later = true},
    {KEY(round.grace, "0", "wait for more clients once there are enough: at the opening, and for answers"),
     RANGE(0, 1e9, "seconds"), .later = true},
    {KEY(round.deadline, "0", "longest wait for answers, simulated in the simulator; 0: wait for all"),
     RANGE(0, 1e9, "seconds")},
    {KEY(round.absence, "60", "a client that lost its connection is awaited this long; 0: until the deadline"),
     RANGE(0, 1e9, "seconds"), .later = true},
    {KEY(round.late, "drop", "late answers are dropped, or kept for the next round"),
     WORDS(late_words)},
    {KEY(round.maximum_age, "1", "keep: oldest answer that is still used"),
     RANGE(1, WITAN_ROUNDS_MAX, "rounds")},

    {KEY(faults.dropout, "0", "probability that an asked client vanishes for a round"),
     RANGE(0, 1, ""), .below = true},
    {KEY(faults.straggler, "0", "probability that a client is slow in a round"), RANGE(0, 1, "")},
    {KEY(faults.slowdown, "4", "factor on the time of a slow client"), RANGE(1, 1e6, "")},
    {KEY(faults.speed, "10000", "speed of a normal client"),
     RANGE(0, 1e12, "samples per simulated second"), .above = true},
    {KEY(faults.latency, "0.05", "travel time of a message"), RANGE(0, 1e6, "simulated seconds")},

    {KEY(evaluate.every, "1", "rounds between evaluations; the last round always; 0: only it"),
     RANGE(0, WITAN_ROUNDS_MAX, "rounds")},
    {KEY(evaluate.before_distill, "true", "evaluate before distillation too"), PLAIN},
    {KEY(evaluate.batch, "256", "rows predicted at once"), RANGE(1, WITAN_BATCH_MAX, "rows")},

    {KEY(save.seconds, "30", "time between resumable states; 0: after every round"),
     RANGE(0, 1e9, "seconds")},
    {KEY(save.models, "true", "write the final models"), PLAIN},

    {KEY(audit.record, "false", "keep the models and soft labels that witan audit looks at; --canaries implies it"), PLAIN, .later = true},
    {KEY(audit.every, "0", "rounds between such records; the last round always; 0: only it"),
     RANGE(0, WITAN_ROUNDS_MAX, "rounds"), .later = true},
};
/* clang-format on */
enum {
    KEYS = sizeof keys / sizeof keys[0]
};

const witan_config_key *
witan_config_keys(size_t *count)
{
    *count = KEYS;
    return keys;
}

const witan_config_key *
witan_config_key_find(const char *path)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].path, path) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

const char *
witan_config_nearest_path(const char *path)
{
    const char *paths[KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        paths[i] = keys[i].path;
    }
    return witan_text_nearest(path, paths, KEYS);
}

/* The part of `path` below `section`, or NULL when it lies elsewhere. */
static const char *
below(const char *path, const char *section)
{
    size_t length = strlen(section);
    if (length == 0) {
        return path;
    }
    return strncmp(path, section, length) == 0 && path[length] == '.'
               ? path + length + 1
               : NULL;
}

bool
witan_config_is_section(const char *path)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (below(keys[i].path, path) != NULL) {
            return true;
        }
    }
    return false;
}

void
witan_config_section_children(witan_config_children *out, const char *section)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < KEYS; i++) {
        const char *rest = below(keys[i].path, section);
        if (rest == NULL) {
            continue;
        }
        size_t length = strcspn(rest, ".");
        /* Sections stand together: a repeated name is the one before. */
        if (out->count > 0 && strlen(out->list[out->count - 1]) == length &&
            strncmp(out->list[out->count - 1], rest, length) == 0) {
            continue;
        }
        WITAN_ASSERT(out->count < WITAN_KEY_CHILDREN_MAX &&
                     length < WITAN_KEY_PATH_MAX);
        memcpy(out->names[out->count], rest, length);
        out->list[out->count] = out->names[out->count];
        out->count++;
    }
}

size_t
witan_config_key_words(const witan_config_key *key)
{
    size_t count = 0;
    while (key->words[count] != NULL) {
        count++;
    }
    return count;
}

void
witan_config_number_text(char out[WITAN_NUMBER_TEXT_MAX], double value)
{
    bool whole = floor(value) == value && fabs(value) < 1e16;
    (void)snprintf(out, WITAN_NUMBER_TEXT_MAX, whole ? "%.0f" : "%.15g", value);
}

static void
choice_range(const witan_config_key *key, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; key->words[i] != NULL && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ", ",
                                 key->words[i]);
    }
}

void
witan_config_key_range(const witan_config_key *key, char *out, size_t size)
{
    char minimum[WITAN_NUMBER_TEXT_MAX], maximum[WITAN_NUMBER_TEXT_MAX];
    switch (key->type) {
    case WITAN_KEY_INTEGER:
    case WITAN_KEY_NUMBER:
        witan_config_number_text(minimum, key->minimum);
        witan_config_number_text(maximum, key->maximum);
        if (key->above || key->below) {
            (void)snprintf(out, size, "%s %s, %s %s", key->above ? "above" : "at least",
                           minimum, key->below ? "below" : "at most", maximum);
        } else {
            (void)snprintf(out, size, "%s to %s", minimum, maximum);
        }
        return;
    case WITAN_KEY_CHOICE:
        choice_range(key, out, size);
        return;
    case WITAN_KEY_FLAG:
        (void)snprintf(out, size, "true, false");
        return;
    case WITAN_KEY_TEXT:
        (void)snprintf(out, size, "up to %d bytes", WITAN_CONFIG_TEXT_MAX - 1);
        return;
    case WITAN_KEY_MODELS:
        (void)snprintf(out, size, "1 to %zu models", WITAN_MODELS_MAX);
        return;
    }
}
