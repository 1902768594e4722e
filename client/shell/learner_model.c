/* learner_model.c - the built-in learner as a node's model: what the simulator computes
 * for a seat (sim/jobs.c), from the same streams, to the same bits. */
#include <math.h>
#include <string.h>

#include "client/shell/model.h"
#include "setup/learner_block.h"
#include "setup/model_file.h"

/* Parameters and soft labels travel as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "float32 travels as it lies");

typedef struct learner_model {
    node_model base;
    witan_network network;
    witan_client_state state;
    witan_kit kit;
    witan_noise_source noise; /* the system's: nobody else can draw it again */
    witan_soft_labels lesson; /* what it last learned from, for scores that compare */
} learner_model;

static learner_model *
of(node_model *self)
{
    return (learner_model *)self;
}

static witan_status
failed(const learner_model *self, witan_status status, const char *phase,
       uint32_t round, witan_diag *diag)
{
    if (status == WITAN_E_NUMERIC) {
        return witan_diag_fail(
            diag, status,
            "%s: %s in round %u met a number that is not finite; lower "
            "local.optimizer.lr or set local.optimizer.clip in the experiment",
            self->base.study->model_name, phase, (unsigned)round + 1);
    }
    if (status == WITAN_E_CONFIG) {
        return witan_diag_fail(diag, status, "%s " WITAN_LEARNER_REFUSES,
                               self->base.study->model_name);
    }
    return status == WITAN_OK
               ? status
               : witan_diag_fail(diag, status, "%s in round %u failed: %s", phase,
                                 (unsigned)round + 1, witan_status_text(status));
}

static witan_status
train(node_model *base, uint32_t round, double *loss, witan_diag *diag)
{
    learner_model *self = of(base);
    return failed(
        self,
        witan_learner_train(&self->state, &base->study->plan, &self->kit, round, loss),
        "training", round, diag);
}

static witan_status
extract_parameters(learner_model *self, uint8_t **bytes, size_t *size)
{
    *size = witan_network_parameters(&self->network) * sizeof(float);
    *bytes = witan_alloc(self->base.allocator, *size, 1);
    if (*bytes == NULL) {
        return WITAN_E_MEMORY;
    }
    memcpy(*bytes, self->state.learner.parameters, *size);
    return WITAN_OK;
}

/* What scores need is made when they are first needed; a function of plan, private rows
 * and seed, so that it is the same after a restart. */
static witan_status
extract_labels(learner_model *self, uint32_t round, witan_soft_labels *labels)
{
    const witan_learning_plan *plan = &self->base.study->plan;
    if (self->state.release == NULL && witan_release_has_scores(&plan->release)) {
        WITAN_TRY(witan_release_new(&self->state.release, plan, &self->state,
                                    &self->kit, self->base.allocator));
    }
    self->state.heard = self->lesson.bytes != NULL ? &self->lesson : NULL;
    return witan_learner_extract(&self->state, plan, &self->kit, round, labels,
                                 self->base.allocator);
}

static witan_status
extract(node_model *base, uint32_t round, uint8_t **bytes, size_t *size,
        witan_diag *diag)
{
    learner_model *self = of(base);
    witan_soft_labels labels = {0};
    witan_status status;
    *bytes = NULL;
    if (base->study->strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        status = extract_parameters(self, bytes, size);
    } else {
        status = extract_labels(self, round, &labels);
        *bytes = labels.bytes;
        *size = labels.size;
    }
    return failed(self, status, "extraction", round, diag);
}

static witan_status
distill(node_model *base, uint32_t round, const uint8_t *bytes, size_t size,
        double *loss, witan_diag *diag)
{
    learner_model *self = of(base);
    const witan_learning_plan *plan = &base->study->plan;
    *loss = (double)NAN;
    if (base->study->strategy->exchange == WITAN_EXCHANGE_PARAMETERS) {
        memcpy(self->state.learner.parameters, bytes, size);
        return WITAN_OK;
    }
    witan_soft_labels fused;
    witan_status status =
        witan_soft_labels_new(&fused, base->allocator, WITAN_KNOWLEDGE_PROBABILITY,
                              plan->codec, witan_plan_labels(plan), plan->classes);
    if (status == WITAN_OK) {
        WITAN_ASSERT(fused.size == size);
        memcpy(fused.bytes, bytes, size);
        status =
            witan_learner_distill(&self->state, plan, &self->kit, round, &fused, loss);
        if (status == WITAN_OK && plan->release.gap &&
            plan->release.gap_reference == WITAN_GAP_HEARD) {
            witan_soft_labels_fini(&self->lesson, base->allocator);
            self->lesson = fused;
            memset(&fused, 0, sizeof fused);
        }
        witan_soft_labels_fini(&fused, base->allocator);
    }
    return failed(self, status, "distillation", round, diag);
}

static witan_packet_metric
metric_of(const witan_score *score, const witan_part *part)
{
    return part->count != 0
               ? (witan_packet_metric){score->accuracy, score->loss, score->ece}
               : (witan_packet_metric){(double)NAN, (double)NAN, (double)NAN};
}

/* In the simulator's order: an own test part that is drawn from the global one is
 * scored in its pass. */
static witan_status
evaluate(node_model *base, node_scores *out, witan_diag *diag)
{
    learner_model *self = of(base);
    const node_study *study = base->study;
    bool subset = study->own_subset != NULL;
    witan_score own = {0}, global = {0};
    witan_status status = witan_learner_evaluate(
        &self->state, &study->plan, &self->kit, &study->global_test, &global,
        study->own_subset, subset ? study->own_test.count : 0, subset ? &own : NULL);
    if (status == WITAN_OK && !subset) {
        status = witan_learner_evaluate(&self->state, &study->plan, &self->kit,
                                        &study->own_test, &own, NULL, 0, NULL);
    }
    if (status != WITAN_OK) {
        return witan_diag_fail(diag, status, "evaluation failed: %s",
                               witan_status_text(status));
    }
    out->own = metric_of(&own, &study->own_test);
    out->global = metric_of(&global, &study->global_test);
    return WITAN_OK;
}

static witan_status
save(node_model *base, node_model_state *out, witan_diag *diag)
{
    const learner_model *self = of(base);
    const witan_network_learner *learner = &self->state.learner;
    (void)diag;
    *out = (node_model_state){
        .type = WITAN_TENSOR_F32,
        .data = learner->parameters,
        .count = witan_learner_block_floats(learner),
        .step = learner->optimiser_step,
        .lesson = self->lesson.bytes,
        .lesson_size = self->lesson.size,
    };
    return WITAN_OK;
}

static witan_status
load(node_model *base, const node_model_state *state, witan_diag *diag)
{
    learner_model *self = of(base);
    witan_network_learner *learner = &self->state.learner;
    const witan_learning_plan *plan = &base->study->plan;
    if (state->type != WITAN_TENSOR_F32 ||
        state->count != witan_learner_block_floats(learner)) {
        return witan_diag_fail(diag, WITAN_E_DATA, "parameters of another model");
    }
    memcpy(learner->parameters, state->data, state->count * sizeof(float));
    learner->optimiser_step = state->step;
    if (state->lesson == NULL) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_soft_labels_new(&self->lesson, base->allocator,
                                    WITAN_KNOWLEDGE_PROBABILITY, plan->codec,
                                    witan_plan_labels(plan), plan->classes));
    if (self->lesson.size != state->lesson_size) {
        witan_soft_labels_fini(&self->lesson, base->allocator);
        return witan_diag_fail(diag, WITAN_E_DATA, "soft labels of another plan");
    }
    memcpy(self->lesson.bytes, state->lesson, state->lesson_size);
    return WITAN_OK;
}

static witan_status
write_model(const node_model *base, const char *path, witan_diag *diag)
{
    const learner_model *self = (const learner_model *)base;
    return witan_model_file_save(path, &self->network, self->state.learner.parameters,
                                 base->study->client, base->allocator, diag);
}

static void
free_model(node_model *base)
{
    learner_model *self = of(base);
    const witan_allocator *allocator = base->allocator;
    witan_release_free(&self->state.release);
    witan_soft_labels_fini(&self->lesson, allocator);
    witan_kit_fini(&self->kit, allocator);
    witan_learner_block_free(&self->state.learner, allocator);
    witan_network_fini(&self->network);
    witan_free(allocator, self);
}

static const node_model_ops learner_ops = {
    .train = train,
    .extract = extract,
    .distill = distill,
    .evaluate = evaluate,
    .save = save,
    .load = load,
    .write = write_model,
    .free = free_model,
};

static witan_status
fill(learner_model *self, const node_study *study, const witan_allocator *allocator,
     witan_diag *diag)
{
    size_t parameters;
    WITAN_TRY(witan_network_init(&self->network, allocator, &study->model,
                                 &study->input, diag));
    parameters = witan_network_parameters(&self->network);
    if (study->strategy->exchange == WITAN_EXCHANGE_PARAMETERS &&
        parameters != study->parameters) {
        return witan_diag_fail(diag, WITAN_E_DATA,
                               "%s has %zu parameters here, the federation averages "
                               "%zu; use the experiment's model",
                               study->model_name, parameters, study->parameters);
    }
    self->noise = witan_noise_source_system();
    self->state.noise = &self->noise;
    self->state.id = study->client;
    self->state.train = study->own_train;
    self->base.samples = study->own_train.count;
    WITAN_TRY(witan_learner_block_new(&self->state.learner, &study->plan,
                                      &self->network, study->client, allocator));
    return witan_kit_init(&self->kit, &study->plan, &self->network,
                          study->own_train.count, allocator);
}

static witan_status
make(node_model **out, const node_study *study, void *context,
     const witan_allocator *allocator, witan_diag *diag)
{
    (void)context;
    *out = NULL;
    learner_model *self = witan_zalloc(allocator, 1, sizeof *self);
    if (self == NULL) {
        return witan_diag_fail(diag, WITAN_E_MEMORY, "out of memory for a model");
    }
    self->base =
        (node_model){.ops = &learner_ops, .study = study, .allocator = allocator};
    witan_status status = fill(self, study, allocator, diag);
    if (status != WITAN_OK) {
        free_model(&self->base);
        return witan_diag_fail(diag, status, "no model: %s", witan_status_text(status));
    }
    *out = &self->base;
    return WITAN_OK;
}

const node_maker node_learner_maker = {.make = make};
