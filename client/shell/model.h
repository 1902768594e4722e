/* model.h - what a node does with a model, whoever computes it: the built-in learner
 * (learner_model.c) or a foreign one behind the public C API (participant.c).
 * Every function may run on the node's worker thread, one at a time. */
#ifndef WITAN_CLIENT_SHELL_MODEL_H
#define WITAN_CLIENT_SHELL_MODEL_H

#include "client/shell/study.h"
#include "store/safetensors.h"
#include "wire/packet.h"

typedef struct node_scores {
    witan_packet_metric own, global; /* NaN: not known */
} node_scores;

/* What of a model must survive the process. */
typedef struct node_model_state {
    witan_tensor_type type; /* F32 or U8 */
    const void *data;       /* [count] of a save: borrowed until the next call */
    size_t count;
    uint64_t step;         /* of the optimiser */
    const uint8_t *lesson; /* [lesson_size] what it last learned from, when its privacy
                              scores compare with that; borrowed likewise, or NULL */
    size_t lesson_size;
} node_model_state;

typedef struct node_model node_model;

typedef struct node_model_ops {
    witan_status (*train)(node_model *self, uint32_t round, double *loss,
                          witan_diag *diag);
    /* The knowledge as it travels, owned by the caller. Noise is drawn here, once: the
     * caller makes it durable before it offers it. */
    witan_status (*extract)(node_model *self, uint32_t round, uint8_t **bytes,
                            size_t *size, witan_diag *diag);
    /* Learns from what was fused, of the shape that the study says; takes nothing. */
    witan_status (*distill)(node_model *self, uint32_t round, const uint8_t *bytes,
                            size_t size, double *loss, witan_diag *diag);
    witan_status (*evaluate)(node_model *self, node_scores *out, witan_diag *diag);
    witan_status (*save)(node_model *self, node_model_state *out, witan_diag *diag);
    witan_status (*load)(node_model *self, const node_model_state *state,
                         witan_diag *diag);
    /* The final model as a file; NULL: its owner has it. */
    witan_status (*write)(const node_model *self, const char *path, witan_diag *diag);
    void (*free)(node_model *self);
} node_model_ops;

struct node_model {
    const node_model_ops *ops;
    const node_study *study; /* borrowed */
    const witan_allocator *allocator;
    size_t samples; /* private training rows */
};

/* Makes the model of a study. */
typedef struct node_maker {
    witan_status (*make)(node_model **out, const node_study *study, void *context,
                         const witan_allocator *allocator, witan_diag *diag);
    void *context;
    bool brings_data; /* private rows are the model's own business */
    const char *name; /* of the model, NULL: settings or experiment say */
} node_maker;

/* The built-in learner. */
extern const node_maker node_learner_maker;

#endif
