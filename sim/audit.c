/* audit.c - what a run keeps for `witan audit`: of recorded rounds, every client's
 * model before and after distillation, what it said and what it heard. Why here: an
 * audit asks models of past rounds; it cannot ask a run that is over. */
#include <stdio.h>
#include <string.h>

#include "sim/simulation_private.h"

bool
sim_round_is_recorded(const witan_simulation *self, size_t round)
{
    size_t every = self->config->audit.every;
    return (self->has_canaries || self->config->audit.record) &&
           (round + 1 == self->config->rounds ||
            (every != 0 && (round + 1) % every == 0));
}

witan_status
sim_copy_labels(witan_soft_labels *out, const witan_soft_labels *from,
                const witan_allocator *allocator)
{
    witan_soft_labels_fini(out, allocator);
    if (from->bytes == NULL) {
        return WITAN_OK;
    }
    WITAN_TRY(witan_soft_labels_new(out, allocator, from->kind, from->codec, from->rows,
                                    from->classes));
    memcpy(out->bytes, from->bytes, from->size);
    return WITAN_OK;
}

void
sim_evidence_fini(sim_seat *seat)
{
    const witan_allocator *allocator = seat->simulation->allocator;
    witan_free(allocator, seat->evidence.before);
    seat->evidence.before = NULL;
    witan_soft_labels_fini(&seat->evidence.said, allocator);
    witan_soft_labels_fini(&seat->evidence.fused, allocator);
}

witan_status
sim_evidence_train(sim_seat *seat)
{
    witan_simulation *self = seat->simulation;
    size_t count = witan_network_parameters(seat->state.learner.network);
    if (!sim_round_is_recorded(self, seat->job.round)) {
        return WITAN_OK;
    }
    sim_evidence_fini(seat);
    seat->evidence.before = witan_alloc(self->allocator, count, sizeof(float));
    if (seat->evidence.before == NULL) {
        return WITAN_E_MEMORY;
    }
    memcpy(seat->evidence.before, seat->state.learner.parameters,
           count * sizeof(float));
    return sim_copy_labels(&seat->evidence.said, &seat->job.output.labels,
                           self->allocator);
}

/* A seat's file; a straggler whose work is not done brings none. */
static witan_status
save_seat(witan_simulation *self, size_t n, size_t round, witan_diag *diag)
{
    sim_seat *seat = &self->seat[n];
    sim_evidence *evidence = &seat->evidence;
    size_t positions = self->plan.positions;
    bool text = self->world.train.length != 0;
    size_t rows = witan_plan_labels(&self->plan);
    size_t kept = text ? self->world.probes * positions : rows;
    if (evidence->before == NULL || seat->job.pending) {
        return WITAN_OK;
    }
    witan_audit_snapshot snapshot = {
        .client = (uint32_t)n,
        .round = (uint32_t)round,
        .architecture = self->model_names[n],
        .parameters = witan_network_parameters(seat->state.learner.network),
        .before = evidence->before,
        .after = seat->state.learner.parameters,
    };
    witan_status status = WITAN_OK;
    if (evidence->said.bytes != NULL) {
        status = witan_audit_snapshot_take(
            &snapshot, &evidence->said,
            evidence->fused.bytes != NULL ? &evidence->fused : NULL, rows - kept, kept,
            self->allocator);
    }
    if (status != WITAN_OK) {
        (void)witan_diag_fail(diag, status, "audit record of round %zu: %s", round + 1,
                              witan_status_text(status));
    } else {
        status = witan_audit_snapshot_save(self->options.directory, &snapshot,
                                           self->allocator, diag);
    }
    snapshot.before = snapshot.after = NULL; /* not its own */
    witan_audit_snapshot_fini(&snapshot, self->allocator);
    sim_evidence_fini(seat);
    return status;
}

/* Which rounds there are, and of which world: an audit must see the same one. */
static witan_status
save_index(witan_simulation *self, size_t round, witan_diag *diag)
{
    char world[WITAN_DIGEST_HEX_SIZE];
    char config[WITAN_DIGEST_HEX_SIZE];
    uint8_t digest[WITAN_DIGEST_SIZE];
    witan_digest state;
    witan_digest_init(&state);
    witan_digest_update(&state, self->config_text.data, self->config_text.length);
    witan_digest_final(&state, digest);
    witan_digest_hex(config, digest);
    witan_digest_hex(world, self->world_digest);
    witan_text text;
    witan_text_init(&text, self->allocator, (size_t)16 << 20);
    witan_text_format(&text,
                      "{\n  \"witan_audit_run\": 1,\n  \"world\": \"%s\",\n"
                      "  \"config\": \"%s\",\n  \"rounds\": %zu,\n"
                      "  \"clients\": %zu,\n  \"recorded\": [",
                      world, config, self->config->rounds, self->learners);
    const char *separator = "";
    for (size_t r = 0; r <= round; r++) {
        if (sim_round_is_recorded(self, r)) {
            witan_text_format(&text, "%s%zu", separator, r + 1);
            separator = ", ";
        }
    }
    witan_text_format(&text, "]\n}\n");
    return sim_output_text(self, "audit/run.json", &text, diag);
}

witan_status
sim_evidence_save(witan_simulation *self, size_t round, witan_diag *diag)
{
    char path[WITAN_PATH_MAX];
    if (!sim_round_is_recorded(self, round)) {
        return WITAN_OK;
    }
    (void)snprintf(path, sizeof path, "%s/audit", self->options.directory);
    WITAN_TRY(witan_directory_make(path, diag));
    for (size_t n = 0; n < self->learners; n++) {
        WITAN_TRY(save_seat(self, n, round, diag));
    }
    return save_index(self, round, diag);
}
