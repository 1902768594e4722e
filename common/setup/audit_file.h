/* audit_file.h - what a run keeps for `witan audit`: one file per client and recorded
 * round, RUN/audit/round-NNNN/client-NNNN.safetensors.
 * Why here: the simulator writes it during the run, the audit reads it later; neither
 * knows the other. Everything in it but `said` and `fused` stayed with its client.
 * Layout: tensors "before", "after" f32 [parameters]; "said", "fused" u8 (the bytes
 * that travelled); "said_mean" f64 [classes]; "said_top", "fused_top" f32 [rows].
 * Metadata: format witan-audit-1, architecture, client, round, rows, classes,
 * kept_rows, said_kind, said_codec, fused_kind, fused_codec (numbers of their enums).
 * Of a client that did not answer, or did not hear, the tensors are absent. */
#ifndef WITAN_SETUP_AUDIT_FILE_H
#define WITAN_SETUP_AUDIT_FILE_H

#include "knowledge/soft_labels.h"

/* Pointers owned after a load, borrowed in a save. */
typedef struct witan_audit_snapshot {
    uint32_t client, round;   /* 0-based */
    const char *architecture; /* save; NULL after a load */
    size_t parameters;
    float *before; /* after local training, before distillation: the teacher */
    float *after;  /* at the round's end: the student */
    bool has_said, has_fused; /* it answered; then it also heard */
    /* Text: rows of the probe windows alone, all positions, in transfer order (they are
     * the last of it). Features: every row. bytes owned after a load. */
    witan_soft_labels said, fused;
    size_t classes, rows;        /* of everything that was said */
    double *said_mean;           /* [classes] mean of all rows that were said */
    float *said_top, *fused_top; /* [rows] largest probability of each */
} witan_audit_snapshot;

/* RUN/audit/round-0001/client-0000.safetensors of round 0, client 0. Errors: E_LIMIT.
 */
WITAN_NODISCARD witan_status witan_audit_snapshot_path(char *out, size_t size,
                                                       const char *run, uint32_t round,
                                                       uint32_t client,
                                                       witan_diag *diag);
/* Makes the folders; atomic. Errors: E_IO, E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_audit_snapshot_save(const char *run,
                                                       const witan_audit_snapshot *self,
                                                       const witan_allocator *allocator,
                                                       witan_diag *diag);
/* Believes nothing. Errors: E_IO (no such file), E_DATA, E_MEMORY. */
WITAN_NODISCARD witan_status witan_audit_snapshot_load(witan_audit_snapshot *out,
                                                       const char *path,
                                                       const witan_allocator *allocator,
                                                       witan_diag *diag);
/* Frees all of it, before and after too: set those that are borrowed to NULL first. */
void witan_audit_snapshot_fini(witan_audit_snapshot *self,
                               const witan_allocator *allocator);

/* Fills said_mean, said_top and fused_top of fresh blocks from whole soft labels, and
 * takes the rows [first, first + count) of both into said and fused. fused may be NULL,
 * else it has the shape of `said`. What was taken before is freed; before and after
 * stay as they are. Errors: E_MEMORY. */
WITAN_NODISCARD witan_status
witan_audit_snapshot_take(witan_audit_snapshot *self, const witan_soft_labels *said,
                          const witan_soft_labels *fused, size_t first, size_t count,
                          const witan_allocator *allocator);

#endif
