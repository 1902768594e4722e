/* membership_private.h - rows and answers that membership.c and shadows.c share. */
#ifndef WITAN_AUDIT_MEMBERSHIP_PRIVATE_H
#define WITAN_AUDIT_MEMBERSHIP_PRIVATE_H

#include "audit/audit_private.h"

/* Members, others and population of one client, without canaries. As rows of one set:
 * members first, then others. */
typedef struct audit_pool {
    witan_part members, others, population;
    size_t count; /* members and others */
    witan_rows rows;
    size_t features, window;
    bool others_are_global;
    uint32_t *owned[4]; /* lists of the parts, and 0, 1, 2, ... */
} audit_pool;

/* It must not move. Freed with audit_pool_fini, also after a failure. */
WITAN_NODISCARD witan_status audit_pool_init(audit_pool *self, const audit_scene *scene,
                                             uint32_t client);
void audit_pool_fini(audit_pool *self, const audit_scene *scene);
witan_part audit_pool_part(const audit_pool *self);

/* What models say about them: [E] of members and others, [Z] of the population. */
typedef struct audit_views {
    size_t E, Z;
    double *block;               /* owned, all of the below */
    double *loss, *phi, *target; /* the target's; target: its confidences */
    double *out, *in;            /* mean confidences of others' models */
    double *score;
    double *model, *model_phi; /* loss and phi of the model that was asked last */
    double *z_target, *z_out, *z_model; /* confidences */
} audit_views;

WITAN_NODISCARD witan_status audit_views_init(audit_views *self,
                                              const audit_scene *scene,
                                              const audit_pool *pool);
void audit_views_fini(audit_views *self, const audit_scene *scene);
WITAN_NODISCARD witan_status audit_views_ask(audit_views *self,
                                             const audit_scene *scene,
                                             const audit_pool *pool, size_t client,
                                             const float *parameters);
/* score [E] from target, out, in; see privacy/membership.h. */
WITAN_NODISCARD witan_status audit_rmia(audit_views *self, const audit_scene *scene,
                                        bool online);
/* Appends the curve of score [E] to the record's list. */
WITAN_NODISCARD witan_status audit_membership_add(audit_scene *scene,
                                                  witan_audit_membership *list,
                                                  const audit_pool *pool,
                                                  const double *score, size_t client,
                                                  const char *attack, const char *place,
                                                  size_t references);
/* shadows.c: trains shadow models and appends lira-online, lira-offline, rmia-online.
 * The target's loss, phi and confidences are in `views`. */
WITAN_NODISCARD witan_status audit_shadows_attack(audit_scene *scene,
                                                  witan_audit_membership *list,
                                                  const audit_pool *pool,
                                                  audit_views *views, uint32_t client);

#endif
