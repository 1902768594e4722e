/* audit_private.h - what the files of this room share: a result under construction,
 * and the scene that is measured. */
#ifndef WITAN_AUDIT_AUDIT_PRIVATE_H
#define WITAN_AUDIT_AUDIT_PRIVATE_H

#include "audit/audit.h"
#include "base/digest.h"
#include "config/config.h"
#include "nn/network.h"
#include "privacy/canary.h"
#include "privacy/claim.h"
#include "privacy/search.h"
#include "setup/audit_file.h"
#include "setup/canary_file.h"
#include "setup/world.h"

enum {
    AUDIT_LIMITS_MAX = 32,
    AUDIT_ROWS_MAX = 1000, /* members, others and population of a membership attack */
    AUDIT_ROWS_MIN = 10,   /* fewer are left out */
    AUDIT_REPLICAS = 2000  /* of bootstrap intervals */
};

/* --- result.c ------------------------------------------------------------------- */

/* What a gate may ask for, in the order of its names. */
typedef enum audit_metric {
    AUDIT_EXPOSURE,
    AUDIT_TEACHER,
    AUDIT_WIRE_EXPOSURE,
    AUDIT_REDUCTION,
    AUDIT_COST,
    AUDIT_UTILITY,
    AUDIT_AUC,
    AUDIT_TPR,
    AUDIT_TOLD,
    AUDIT_EPSILON,
    AUDIT_EXTRACTED,
    AUDIT_METRICS
} audit_metric;

/* All values that were measured lie in it; NaN: none was. */
typedef struct audit_range {
    double low, high;
} audit_range;

struct witan_audit_result {
    const witan_allocator *allocator;
    struct audit_block *blocks; /* everything that the record points to */
    witan_audit_record record;
    witan_audit_hashes hashes;
    const char *limit[AUDIT_LIMITS_MAX];
    audit_range range[AUDIT_METRICS];
    bool is_comparison, deployed; /* deployed: of a client's directory */
    /* What a comparison needs of a run. */
    uint64_t seed;
    const char *transfer; /* "P0", "P1", "P2", "" without canaries */
    const char *form;     /* the template, or the kind of canary */
    double exposure, exposure_control;
    double delta; /* of bounds */
    /* Exposure among students of the run's only canary; NaN with more or none. */
    double lone_score;
    bool lone_inserted;
};

WITAN_NODISCARD witan_status audit_result_new(witan_audit_result **out,
                                              const witan_allocator *allocator);
/* Zeroed memory that lives as long as the result; NULL without any. */
void *audit_keep(witan_audit_result *self, size_t count, size_t size);
/* A sentence that lives as long; "" when there is no memory, and *status tells. */
const char *audit_sentence(witan_audit_result *self, witan_status *status,
                           const char *format, ...) WITAN_PRINTF(3, 4);
/* Adds a sentence about what the evidence does not show; one that stands there already
 * is not added again. */
witan_status audit_limit(witan_audit_result *self, const char *format, ...)
    WITAN_PRINTF(2, 3);
void audit_measure(witan_audit_result *self, audit_metric metric, double value);
/* Fills self->range from its record. */
void audit_measure_record(witan_audit_result *self);

/* --- scene.c -------------------------------------------------------------------- */

/* One architecture and its scratch. */
typedef struct audit_network {
    witan_network network;
    witan_network_bench *bench;
    witan_sequence_stepper *stepper; /* text with canaries */
    size_t step_batch;
    size_t part; /* rows of one prediction */
    float *z;    /* [part * positions, outputs] */
    uint32_t *labels;
} audit_network;

/* Everything about a run that a measurement may look at. */
typedef struct audit_scene {
    const witan_audit_settings *settings;
    const witan_allocator *allocator;
    witan_diag *diag;
    witan_audit_result *result; /* borrowed */
    witan_config config;
    bool has_config;
    witan_world world;
    bool text, has_plan;
    bool deployed; /* a client's directory: of the world the vocabulary alone */
    witan_canary_plan plan;
    uint32_t *level; /* [plan.count] repetitions in the data: 0 unless inserted */
    witan_learning_plan learning;
    audit_network *network; /* [config.models_count] */
    size_t networks;
    size_t first, clients; /* who is looked at: first .. first + clients - 1 */
    size_t rounds;
    uint32_t *recorded; /* [recorded_count] rounds with records, ascending, 0-based */
    size_t recorded_count;
} audit_scene;

/* Errors: those of witan_audit_measure. */
WITAN_NODISCARD witan_status audit_scene_new(audit_scene **out,
                                             const witan_audit_settings *settings,
                                             witan_audit_result *result,
                                             const witan_allocator *allocator,
                                             witan_diag *diag);
void audit_scene_free(audit_scene **self);
/* directory/name. Errors: E_LIMIT. */
WITAN_NODISCARD witan_status audit_path(char path[WITAN_PATH_MAX],
                                        const audit_scene *self, const char *name);
/* The scene's plan was read: it is owned now, and its levels are noted. */
WITAN_NODISCARD witan_status audit_scene_take_plan(audit_scene *self);
/* Once per scene, after plan and learning. */
WITAN_NODISCARD witan_status audit_scene_make_networks(audit_scene *self,
                                                       const witan_model_spec *specs,
                                                       size_t count,
                                                       const witan_input *input);
audit_network *audit_network_of(const audit_scene *self, size_t client);
/* Whether a client holds a canary that was inserted. */
bool audit_is_holder(const audit_scene *self, size_t client);
/* Loads the record of a client, when there is one, and checks it against the scene.
 * Freed with witan_audit_snapshot_fini. */
WITAN_NODISCARD witan_status audit_snapshot_open(witan_audit_snapshot *out,
                                                 bool *present, const audit_scene *self,
                                                 uint32_t round, uint32_t client);
WITAN_NODISCARD witan_status audit_out_of_memory(const audit_scene *self);
/* E_INTERRUPTED when the caller wants to stop. */
WITAN_NODISCARD witan_status audit_progress(const audit_scene *self, const char *what,
                                            size_t done, size_t total);
/* A stream of the settings' seed. */
void audit_stream(witan_random *random, const audit_scene *self, uint32_t client,
                  uint32_t number);

/* What a model says about rows: loss [count], nats, mean over positions; phi [count],
 * features: logit confidence, text: -loss. labels: of the rows when not NULL (features
 * alone). loss, phi may be NULL. Errors: E_NUMERIC, E_MEMORY. */
WITAN_NODISCARD witan_status audit_judge(const audit_scene *self,
                                         audit_network *network,
                                         const float *parameters,
                                         const witan_part *part, const uint32_t *labels,
                                         double *loss, double *phi);

/* --- run_file.c ----------------------------------------------------------------- */

#define AUDIT_RUN_FILE_MAX ((size_t)16 << 20)

/* RUN/audit/run.json. */
typedef struct audit_run_file {
    char world[WITAN_DIGEST_HEX_SIZE], config[WITAN_DIGEST_HEX_SIZE];
    size_t rounds, clients;
    uint32_t *recorded; /* [recorded_count] as in the scene; owned by the caller, also
                           after a failure */
    size_t recorded_count;
} audit_run_file;

/* json [size] ends with a NUL behind it. Rounds and clients must be those of the
 * config. Errors: E_DATA, E_CONFIG (a strategy without clients), E_MEMORY; the sentence
 * names `path`. */
WITAN_NODISCARD witan_status audit_run_file_read(audit_run_file *out, const char *json,
                                                 size_t size, const char *path,
                                                 const witan_config *config,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);

/* --- client_directory.c --------------------------------------------------------- */

/* Whether a deployed client lives there. */
bool audit_is_client(const char *directory);
/* Fills a scene that has only its settings: the plan that the client planted, its
 * vocabulary, its network; one client, one record. Errors: E_STATE (the experiment is
 * not finished), E_CONFIG (no canaries, no text, a plan for another vocabulary), E_DATA
 * (damaged), E_IO, E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status audit_client_open(audit_scene *self);
/* The final model, before and after being the same. Freed with
 * witan_audit_snapshot_fini. Errors: E_DATA, E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status audit_client_model(witan_audit_snapshot *out,
                                                const audit_scene *self);

/* --- the measurements ----------------------------------------------------------- */

/* ruler.c: what canaries are ranked among: all fills of a template, or references. */
typedef struct audit_ruler audit_ruler;

WITAN_NODISCARD witan_status audit_ruler_new(audit_ruler **out, audit_scene *scene);
void audit_ruler_free(audit_ruler **self);
/* Exposure [plan.count] of every canary in one model, bits. Errors: E_NUMERIC,
 * E_MEMORY.
 */
WITAN_NODISCARD witan_status audit_ruler_model(audit_ruler *self, size_t client,
                                               const float *parameters,
                                               double *exposure);
/* The same in what soft labels alone say; NaN where nobody was asked about it. */
WITAN_NODISCARD witan_status audit_ruler_labels(audit_ruler *self,
                                                const witan_soft_labels *labels,
                                                double *exposure);
/* Into the record: how exposure was estimated, the largest there is, the fit. */
WITAN_NODISCARD witan_status audit_ruler_tell(const audit_ruler *self);

/* What one place gave in one round. */
typedef struct audit_reading {
    double *value;    /* [clients * canaries] */
    uint32_t *canary; /* [clients * canaries] whose value it is */
    size_t count;
} audit_reading;
typedef struct audit_readings {
    audit_reading place[WITAN_AUDIT_PLACES];
} audit_readings;

/* exposure.c: fills the record's exposures; *last owns the last round's readings, in
 * the result's memory. */
WITAN_NODISCARD witan_status audit_measure_exposure(audit_scene *scene,
                                                    audit_readings *last);
/* How to ask a client's model for one token after another. */
void audit_token_model(witan_token_model *out, audit_network *network,
                       const float *parameters);

/* Of one client's last record; each appends to its list in the record. */
WITAN_NODISCARD witan_status audit_extract_client(audit_scene *scene,
                                                  const witan_audit_snapshot *it,
                                                  witan_audit_extraction *out);
WITAN_NODISCARD witan_status audit_labels_client(audit_scene *scene,
                                                 const witan_audit_snapshot *it,
                                                 witan_audit_labels *out);
/* membership.c: all clients' models of the last round. */
WITAN_NODISCARD witan_status audit_measure_membership(audit_scene *scene);
/* bounds.c: claims and lower bounds, one beside the other. last: NULL without canaries.
 */
WITAN_NODISCARD witan_status audit_measure_bounds(audit_scene *scene,
                                                  const audit_readings *last);
/* utility.c */
WITAN_NODISCARD witan_status audit_measure_utility(audit_scene *scene);
/* describe.c: names, sentences, hashes, limits that hold for every audit; of a run, of
 * a deployed client. */
WITAN_NODISCARD witan_status audit_describe(audit_scene *scene);
WITAN_NODISCARD witan_status audit_describe_client(audit_scene *scene);

/* bounds.c: a lower bound from scores that were `inserted` or not, and its sentence;
 * NULL sentence when there are too few. */
typedef struct audit_scores {
    const double *in, *out;
    size_t n_in, n_out;
    bool one_run; /* else two samples */
    double delta, significance;
    uint64_t seed;
} audit_scores;
WITAN_NODISCARD witan_status audit_bound(double *epsilon, const audit_scores *scores,
                                         const witan_allocator *allocator);

#endif
