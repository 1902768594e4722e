/* participant.c - the public C API: a foreign model behind the node's table.
 * Why here: what travels and when is the node's business; only the learning is not. */
#include "witan/witan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/shell/node_private.h"
#include "knowledge/soft_labels.h"

enum {
    PREDICT_ROWS = 256
};

_Static_assert((int)WITAN_FAILED_MEMORY == (int)WITAN_E_MEMORY &&
                   (int)WITAN_FAILED_ARGUMENT == (int)WITAN_E_INVALID &&
                   (int)WITAN_FAILED_USAGE == (int)WITAN_E_CONFIG &&
                   (int)WITAN_FAILED_DATA == (int)WITAN_E_DATA &&
                   (int)WITAN_FAILED_IO == (int)WITAN_E_IO &&
                   (int)WITAN_FAILED_NUMERIC == (int)WITAN_E_NUMERIC &&
                   (int)WITAN_FAILED_STATE == (int)WITAN_E_STATE &&
                   (int)WITAN_STOPPED == (int)WITAN_E_INTERRUPTED &&
                   (int)WITAN_FAILED_REFUSED == (int)WITAN_E_REFUSED &&
                   (int)WITAN_FAILED_FORGED == (int)WITAN_E_FORGED &&
                   (int)WITAN_FAILED_UNREACHABLE == (int)WITAN_E_UNREACHABLE,
               "the public numbers are the statuses'");

typedef struct foreign_model {
    node_model base;
    const witan_participant_model *it;
    size_t rows, features, classes;
} foreign_model;

static foreign_model *
of(node_model *self)
{
    return (foreign_model *)self;
}

static witan_status
answer(const foreign_model *self, int result, const char *function, witan_diag *diag)
{
    return result == 0
               ? WITAN_OK
               : witan_diag_fail(diag, WITAN_E_STATE, "%s of the model %s returned %d",
                                 function, self->base.study->model_name, result);
}

static witan_status
train(node_model *base, uint32_t round, double *loss, witan_diag *diag)
{
    foreign_model *self = of(base);
    *loss = (double)NAN;
    return answer(self, self->it->train(self->it->context, round), "train", diag);
}

/* Opinions on rows [first, first + count) of the transfer set, checked: what a foreign
 * function writes is believed as little as what a peer sends. */
static witan_status
opinions(foreign_model *self, size_t first, size_t count, float *x, float *p,
         witan_diag *diag)
{
    const witan_part *transfer = &self->base.study->plan.transfer;
    transfer->rows->gather(transfer->rows->context, transfer->indices + first, count, x,
                           NULL);
    WITAN_TRY(answer(self, self->it->predict(self->it->context, x, count, p), "predict",
                     diag));
    for (size_t i = 0; i < count; i++) {
        double sum = 0.0;
        for (size_t c = 0; c < self->classes; c++) {
            float value = p[i * self->classes + c];
            sum += value >= 0.0f ? (double)value : (double)NAN;
        }
        if (!(fabs(sum - 1.0) <= 1e-3)) {
            return witan_diag_fail(diag, WITAN_E_NUMERIC,
                                   "predict gave no probabilities for transfer row %zu "
                                   "(they must be >= 0 and sum to 1)",
                                   first + i);
        }
    }
    return WITAN_OK;
}

/* softmax(z / T) of what is softmax(z): p^(1/T), normalised. */
static void
temper(const foreign_model *self, size_t count, float *p)
{
    const double temperature = self->base.study->plan.extract_temperature;
    for (size_t i = 0; !(temperature == 1.0) && i < count; i++) {
        float *row = p + i * self->classes, highest = 0.0f;
        double sum = 0.0;
        for (size_t c = 0; c < self->classes; c++) {
            highest = row[c] > highest ? row[c] : highest;
        }
        for (size_t c = 0; c < self->classes; c++) { /* the highest becomes 1 */
            row[c] = (float)pow((double)(row[c] / highest), 1.0 / temperature);
            sum += (double)row[c];
        }
        for (size_t c = 0; c < self->classes; c++) {
            row[c] = (float)((double)row[c] / sum);
        }
    }
}

/* Probabilities [count, C] become what is said, by the experiment's release or plain
 * tempering. */
static witan_status
protect(const foreign_model *self, size_t first, size_t count, float *p)
{
    const witan_release_config *release = &self->base.study->plan.release;
    const witan_noise_source noise = witan_noise_source_system();
    if (!release->on) {
        temper(self, count, p);
        return WITAN_OK;
    }
    for (size_t i = 0; i < count * self->classes; i++) {
        p[i] = p[i] > 1e-14f ? logf(p[i]) : -32.0f; /* logits up to a constant */
    }
    return witan_release_rows(NULL, release, p, NULL, first, count, self->classes,
                              &noise, self->base.allocator);
}

static witan_status
extract(node_model *base, uint32_t round, uint8_t **bytes, size_t *size,
        witan_diag *diag)
{
    foreign_model *self = of(base);
    (void)round;
    const witan_learning_plan *plan = &base->study->plan;
    witan_soft_labels labels = {0};
    float *x = witan_alloc(base->allocator, PREDICT_ROWS * self->features, sizeof *x);
    float *p = witan_alloc(base->allocator, PREDICT_ROWS * self->classes, sizeof *p);
    witan_status status =
        x == NULL || p == NULL
            ? WITAN_E_MEMORY
            : witan_soft_labels_new(&labels, base->allocator, plan->kind, plan->codec,
                                    self->rows, self->classes);
    for (size_t first = 0; status == WITAN_OK && first < self->rows;
         first += PREDICT_ROWS) {
        size_t left = self->rows - first;
        size_t count = left < PREDICT_ROWS ? left : PREDICT_ROWS;
        status = opinions(self, first, count, x, p, diag);
        if (status == WITAN_OK) {
            status = protect(self, first, count, p);
        }
        if (status == WITAN_OK && plan->kind == WITAN_KNOWLEDGE_LOG_PROBABILITY) {
            for (size_t i = 0; i < count * self->classes; i++) {
                p[i] = p[i] > 1e-14f ? logf(p[i]) : -32.0f;
            }
        }
        if (status == WITAN_OK) {
            status = witan_soft_labels_encode(&labels, first, count, p);
        }
    }
    witan_free(base->allocator, x);
    witan_free(base->allocator, p);
    if (status != WITAN_OK) {
        witan_soft_labels_fini(&labels, base->allocator);
        return witan_diag_fail(diag, status, "extraction failed: %s",
                               witan_status_text(status));
    }
    *bytes = labels.bytes;
    *size = labels.size;
    return WITAN_OK;
}

static witan_status
distill(node_model *base, uint32_t round, const uint8_t *bytes, size_t size,
        double *loss, witan_diag *diag)
{
    foreign_model *self = of(base);
    const witan_part *transfer = &base->study->plan.transfer;
    witan_soft_labels fused = {0};
    *loss = (double)NAN;
    float *x = witan_alloc(base->allocator, self->rows * self->features, sizeof *x);
    float *p = witan_alloc(base->allocator, self->rows * self->classes, sizeof *p);
    witan_status status =
        x == NULL || p == NULL
            ? WITAN_E_MEMORY
            : witan_soft_labels_new(&fused, base->allocator,
                                    WITAN_KNOWLEDGE_PROBABILITY,
                                    base->study->plan.codec, self->rows, self->classes);
    if (status == WITAN_OK) {
        WITAN_ASSERT(fused.size == size);
        memcpy(fused.bytes, bytes, size);
        witan_soft_labels_probabilities(&fused, 0, self->rows, p);
        transfer->rows->gather(transfer->rows->context, transfer->indices, self->rows,
                               x, NULL);
        status =
            answer(self, self->it->distill(self->it->context, round, x, p, self->rows),
                   "distill", diag);
    } else {
        status =
            witan_diag_fail(diag, status, "out of memory to learn from the others");
    }
    witan_soft_labels_fini(&fused, base->allocator);
    witan_free(base->allocator, x);
    witan_free(base->allocator, p);
    return status;
}

static witan_status
evaluate(node_model *base, node_scores *out, witan_diag *diag)
{
    foreign_model *self = of(base);
    const witan_packet_metric none = {(double)NAN, (double)NAN, (double)NAN};
    out->own = out->global = none;
    if (self->it->evaluate == NULL) {
        return WITAN_OK;
    }
    double accuracy = (double)NAN, loss = (double)NAN;
    WITAN_TRY(answer(self, self->it->evaluate(self->it->context, &accuracy, &loss),
                     "evaluate", diag));
    out->own.accuracy = accuracy >= 0.0 && accuracy <= 1.0 ? accuracy : (double)NAN;
    out->own.loss = isfinite(loss) ? loss : (double)NAN;
    return WITAN_OK;
}

static witan_status
save(node_model *base, node_model_state *out, witan_diag *diag)
{
    foreign_model *self = of(base);
    const void *bytes = "";
    size_t size = 0;
    if (self->it->save != NULL) {
        WITAN_TRY(answer(self, self->it->save(self->it->context, &bytes, &size), "save",
                         diag));
    }
    *out = (node_model_state){.type = WITAN_TENSOR_U8, .data = bytes, .count = size};
    return WITAN_OK;
}

static witan_status
load(node_model *base, const node_model_state *state, witan_diag *diag)
{
    foreign_model *self = of(base);
    if (state->type != WITAN_TENSOR_U8) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "the saved state is another model's");
    }
    return self->it->load == NULL
               ? WITAN_OK
               : answer(self,
                        self->it->load(self->it->context, state->data, state->count),
                        "load", diag);
}

static void
free_model(node_model *base)
{
    witan_free(base->allocator, base);
}

static const node_model_ops foreign_ops = {
    .train = train,
    .extract = extract,
    .distill = distill,
    .evaluate = evaluate,
    .save = save,
    .load = load,
    .free = free_model,
};

static witan_status
begin(foreign_model *self, witan_diag *diag)
{
    const node_study *study = self->base.study;
    const witan_dataset *set = &study->transfer;
    if (study->strategy->exchange != WITAN_EXCHANGE_KNOWLEDGE) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the experiment's strategy %s exchanges no soft labels; "
                               "a model of your own needs one that does",
                               study->strategy->key);
    }
    if (witan_release_has_scores(&study->plan.release)) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the experiment scores rows by privacy (swing.gap, "
                               "density or shards), which needs a built-in model; take "
                               "part with one, or ask for swing.clip and swing.noise "
                               "alone");
    }
    if (study->transfer.length != 0) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "the transfer set is text; a model of your own is asked "
                               "about rows of features alone");
    }
    const witan_participant_task task = {
        .client = study->client,
        .rounds = study->plan.rounds,
        .rows = self->rows,
        .height = set->height,
        .width = set->width,
        .channels = set->channels,
        .features = self->features,
        .classes = self->classes,
        .seed = study->plan.seed,
        .scale = set->scale,
        .shift = set->shift,
    };
    return self->it->begin == NULL
               ? WITAN_OK
               : answer(self, self->it->begin(self->it->context, &task), "begin", diag);
}

static witan_status
make(node_model **out, const node_study *study, void *context,
     const witan_allocator *allocator, witan_diag *diag)
{
    const witan_participant_model *it = context;
    *out = NULL;
    foreign_model *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for a model");
    }
    self->base = (node_model){.ops = &foreign_ops,
                              .study = study,
                              .allocator = allocator,
                              .samples = (size_t)it->samples};
    self->it = it;
    self->rows = study->plan.transfer.count;
    self->features = witan_dataset_features(&study->transfer);
    self->classes = study->plan.classes;
    witan_status status = begin(self, diag);
    if (status != WITAN_OK) {
        free_model(&self->base);
        return status;
    }
    *out = &self->base;
    return WITAN_OK;
}

/* A name that can travel and be shown. */
static bool
is_name(const char *name)
{
    size_t length = name == NULL ? 0 : strlen(name);
    bool plain = length > 0 && length < WITAN_MODEL_NAME_MAX;
    for (size_t i = 0; plain && i < length; i++) {
        plain = name[i] >= ' ' && name[i] <= '~';
    }
    return plain;
}

/* --- the public functions --------------------------------------------------------- */

static uint64_t
monotonic_ns(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
tell(char *message, size_t size, const char *text)
{
    if (message != NULL && size != 0) {
        (void)snprintf(message, size, "%s", text);
    }
}

static int
conclude(witan_status status, const witan_diag *diag, const char *good, char *message,
         size_t size)
{
    tell(message, size,
         status == WITAN_OK         ? good
         : diag->message[0] != '\0' ? diag->message
                                    : witan_status_text(status));
    return (int)status;
}

static void
fill_options(witan_node_options *out, const char *directory,
             const witan_participant_options *options, const witan_clock *clock)
{
    /* A signal handler's flag is an int on every system that this runs on. */
    _Static_assert(sizeof(sig_atomic_t) == sizeof(int), "the stop flag");
    *out = (witan_node_options){.directory = directory, .clock = clock};
    if (options != NULL) {
        out->say = options->say;
        out->context = options->context;
        out->stops = options->stop;
        out->give_up_ms = options->give_up_ms;
    }
}

int
witan_participant_join(const char *line, const char *directory,
                       const witan_participant_options *options, char *message,
                       size_t size)
{
    const witan_clock clock = {monotonic_ns, NULL};
    const witan_node_settings settings = {.test_fraction = 0.2};
    witan_node_options inner;
    witan_join_line parsed;
    witan_enrolment enrolment;
    witan_diag diag = {0};
    char good[256];
    if (line == NULL || directory == NULL) {
        return conclude(WITAN_E_INVALID, &diag, "", message, size);
    }
    fill_options(&inner, directory, options, &clock);
    witan_status status = witan_secure_start(&diag);
    if (status == WITAN_OK) {
        status = witan_join_line_parse(&parsed, line, strlen(line), &diag);
    }
    if (status == WITAN_OK) {
        status = witan_node_enrol(&inner, &parsed, &settings, &enrolment,
                                  witan_allocator_default(), &diag);
        witan_wipe(&parsed, sizeof parsed);
    }
    if (status == WITAN_OK) {
        (void)snprintf(good, sizeof good,
                       "enrolled as %s (client %u), fingerprint %s%s", enrolment.name,
                       (unsigned)enrolment.client, enrolment.fingerprint,
                       enrolment.approved ? "" : "; waits for approval");
    }
    return conclude(status, &diag, good, message, size);
}

int
witan_participant_run(const char *directory, const witan_participant_model *model,
                      const witan_participant_options *options, char *message,
                      size_t size)
{
    const witan_clock clock = {monotonic_ns, NULL};
    witan_node_options inner;
    witan_diag diag = {0};
    if (directory == NULL || model == NULL || !is_name(model->name) ||
        model->train == NULL || model->predict == NULL || model->distill == NULL ||
        (model->save == NULL) != (model->load == NULL)) {
        return conclude(WITAN_E_INVALID, &diag, "", message, size);
    }
    /* The node hands it back to `make`, which does not write to it. */
    union {
        const witan_participant_model *in;
        void *out;
    } context = {.in = model};
    const node_maker maker = {
        .make = make, .context = context.out, .brings_data = true, .name = model->name};
    fill_options(&inner, directory, options, &clock);
    witan_status status = witan_secure_start(&diag);
    if (status == WITAN_OK) {
        status = node_run(&inner, &maker, witan_allocator_default(), &diag);
    }
    return conclude(status, &diag, "the experiment is finished", message, size);
}

const char *
witan_version(void)
{
    return WITAN_VERSION;
}
