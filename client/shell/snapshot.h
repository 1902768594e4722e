/* snapshot.h - what of a client survives it, in one file that is whole or absent:
 * the model, the core's phase, what the round brought so far, and the knowledge that
 * was or will be offered.
 * Why one file: model and knowledge of different rounds must never meet. */
#ifndef WITAN_CLIENT_SHELL_SNAPSHOT_H
#define WITAN_CLIENT_SHELL_SNAPSHOT_H

#include "client/core/client.h"
#include "client/shell/model.h"

/* What a round brought; NaN where nothing is known. */
typedef struct node_record {
    uint32_t round;
    double train_loss, distill_loss;
    witan_packet_metric own_before, own_after, global_before, global_after;
    uint8_t *knowledge; /* [knowledge_size] as it travels, owned, or NULL */
    size_t knowledge_size;
} node_record;

void node_record_init(node_record *self, uint32_t round);
void node_record_fini(node_record *self, const witan_allocator *allocator);

typedef struct node_snapshot {
    witan_client_phase phase; /* WAITING or IDLE */
    uint64_t unopened;        /* 0: no job has ended yet */
    node_record record;
} node_snapshot;

/* Durable when it returns. Errors: E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status node_snapshot_save(const char *path,
                                                const node_snapshot *self,
                                                node_model *model, witan_diag *diag);
/* Brings back *out (its record owned by the caller) and the model; fresh values and the
 * model untouched when there is no file. Errors: E_STATE (another plan), E_DATA
 * (damaged, not a state), E_IO, E_MEMORY. */
WITAN_NODISCARD witan_status node_snapshot_load(const char *path, node_snapshot *out,
                                                node_model *model, witan_diag *diag);

#endif
