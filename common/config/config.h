/* config.h - an experiment: one struct, filled from defaults, a JSON file and --set.
 * Why here: one table of key, type, unit, range, default and help drives parsing,
 * errors, the resolved config of a run and docs/config.md, so that they cannot differ.
 * Unknown keys are errors that name the nearest known one; nothing is ignored
 * (keys starting with "_" are comments).
 * Threads: immutable after loading. Memory: plain struct, no pointers to free except
 * `models`. */
#ifndef WITAN_CONFIG_CONFIG_H
#define WITAN_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/text.h"
#include "nn/spec.h"

enum {
    WITAN_CONFIG_TEXT_MAX = 1024
};
typedef char witan_config_text[WITAN_CONFIG_TEXT_MAX];

/* Choices are stored as the index into the key's list of words, in the order of the
 * enums they stand for (data/load.h, data/partition.h, fusion/fusion.h, ...). */
typedef struct witan_config {
    witan_config_text name; /* name: of the experiment, shown in reports */
    uint64_t seed;
    size_t rounds;
    size_t clients;
    double participation; /* (0, 1]: share of clients asked per round */

    struct {
        witan_config_text path; /* "" = the embedded optdigits */
        int format;             /* witan_data_format */
        witan_config_text label;
        double test_fraction;
        bool standardise;
        size_t limit;  /* training rows used, 0 = all */
        struct {       /* format text */
            int unit;  /* witan_text_unit */
            int group; /* witan_text_group */
            size_t vocabulary, window;
            double valid_fraction;
        } text;
        struct {
            int key; /* witan_partition_kind */
            double alpha;
            bool balance;
            size_t labels;  /* per client */
            size_t shards;  /* per client */
            size_t minimum; /* samples per client */
            size_t retries;
            witan_config_text path;
        } partition;
        struct {
            int source; /* 0 holdout (own rows), 1 global (global test set) */
            double fraction;
        } own_test;
    } data;

    struct {
        size_t samples; /* rows held out of training data; with a path: rows used */
        witan_config_text path; /* a second data set, "" = held out of training data */
        int format;
    } transfer;

    /* models: client n gets models[n mod count]. A string is a zoo name, an object
     * {"name": ..., "layers": [...]} a list of layers. Owned; see witan_config_fini. */
    witan_model_spec *models;
    size_t models_count;

    struct {
        size_t epochs;
        size_t batch;
        struct {
            int key; /* witan_optimiser_kind */
            double lr, momentum, beta1, beta2, epsilon, weight_decay, clip;
        } optimizer;
        struct {
            int key; /* witan_schedule_kind */
            size_t step;
            double factor, minimum_lr;
        } schedule;
        struct {          /* DP-SGD of local training */
            double clip;  /* L2 norm of an example's gradient, 0: off */
            double noise; /* multiplier */
            double delta;
        } privacy;
    } local;

    struct {
        double temperature; /* soft labels = softmax(z / temperature) */
        int codec;          /* f32 | u16 | top */
        size_t top;         /* classes of a row that travel, codec top */
    } extract;

    struct { /* how soft labels are protected (client/core/release.h) */
        double temperature_high; /* of a row with score 1 */
        double gamma;
        double clip; /* of centred logits, 0: none */
        int noise;   /* witan_swing_noise */
        double sigma;
        int repair; /* witan_swing_repair */
        int label;  /* witan_release_label */
        double response;
        bool gap;
        int reference; /* witan_gap_reference */
        double quantile;
        bool rules;
        size_t reach;
        double density, radius;
        size_t shards, epochs;
        double delta; /* of the epsilon that is stated */
    } swing;

    struct {
        int key;     /* index into witan_fusion_strategies() */
        int combine; /* witan_combine */
        double beta;
        int divergence; /* witan_divergence */
        int epd;        /* witan_epd_estimator */
        size_t neighbours;
        double minimum_weight;
        bool include_self;
    } fusion;

    struct {
        size_t epochs;
        double temperature;
        size_t batch; /* 0 = local.batch */
        int loss;     /* witan_distill_loss */
    } distill;

    struct {
        size_t minimum_clients; /* knowledge needed to fuse, >= 1 */
        size_t target_clients;  /* knowledge that is enough after grace, 0 = all */
        double grace;           /* seconds to wait for more than that */
        double deadline;        /* seconds from the opening, 0 = wait for all */
        double absence;         /* seconds that an absent client is awaited, 0 = ever */
        int late;               /* 0 drop, 1 keep: use late knowledge next round */
        size_t maximum_age;     /* rounds; late = keep */
    } round;

    struct {              /* what the simulated world does to clients */
        double dropout;   /* probability that an asked client vanishes this round */
        double straggler; /* probability that it is slow this round */
        double slowdown;  /* factor >= 1 on a slow client's time */
        double speed;     /* samples per simulated second of a normal client */
        double latency;   /* simulated seconds per message */
    } faults;

    struct {
        size_t every; /* rounds between evaluations; the last always; 0 = only it */
        bool before_distill;
        size_t batch; /* rows per prediction batch */
    } evaluate;

    struct {
        double seconds; /* wall time between resumable states; 0 = every round */
        bool models;    /* write final models as safetensors */
    } save;

    struct {
        bool record;  /* keep what `witan audit` looks at; canaries imply it */
        size_t every; /* rounds between records; the last always; 0 = only it */
    } audit;
} witan_config;

/* Defaults: the embedded experiment. Owns models. */
WITAN_NODISCARD witan_status witan_config_init(witan_config *out,
                                               const witan_allocator *allocator);
void witan_config_fini(witan_config *self, const witan_allocator *allocator);

/* Overrides from JSON text (size bytes; need not end in NUL). `origin` names it in
 * errors: "exp.json: fusion.beta: 1000000000 is out of range, use 0 to 1000000". On
 * failure *self is unchanged. One thread at a time (cJSON keeps a global error place).
 * Errors: E_CONFIG, E_LIMIT (above 1 MiB), E_MEMORY. */
WITAN_NODISCARD witan_status witan_config_read(witan_config *self, const char *json,
                                               size_t size, const char *origin,
                                               const witan_allocator *allocator,
                                               witan_diag *diag);

/* One --set argument "path=value". A value is JSON, or a bare word or comma-separated
 * list of words where the key takes text, a choice or models:
 * fusion.key=knfu, models=mlp(200),lenet (commas inside parentheses do not separate).
 * On failure *self is unchanged. Errors: as witan_config_read. */
WITAN_NODISCARD witan_status witan_config_set(witan_config *self,
                                              const char *assignment,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);

/* Checks what one key cannot: combinations (deadline needed by late = keep, fedavg
 * needs one model, ...; docs/config.md lists all). Errors: E_CONFIG. */
WITAN_NODISCARD witan_status witan_config_check(const witan_config *self,
                                                witan_diag *diag);

/* The resolved config as JSON, every key, in table order, numbers that read back to the
 * same bits; 2-space indented, final newline. */
void witan_config_write(const witan_config *self, witan_text *out);

/* The same without keys that were added after digests of runs were published and are
 * at their default: what digests are taken over. */
void witan_config_identity(const witan_config *self, witan_text *out);

/* docs/config.md, generated from the table. */
void witan_config_document(witan_text *out);

#endif
