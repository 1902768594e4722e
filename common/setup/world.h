/* world.h - what an experiment's config makes of its data: the sets, who holds which
 * rows, what is tested on, and the transfer set.
 * Why here: simulator, coordinator and client daemon must see the same world in the
 * same config. It knows no models and no rounds.
 * Threads: immutable after loading; may be shared. */
#ifndef WITAN_SETUP_WORLD_H
#define WITAN_SETUP_WORLD_H

#include "client/core/learner.h"
#include "config/config.h"
#include "data/dataset.h"
#include "data/partition.h"
#include "data/text.h"
#include "fusion/fusion.h"

/* Its rows and parts point into it: it must not move or be copied after loading. */
typedef struct witan_world {
    const witan_fusion_ops *strategy; /* static storage */
    witan_dataset train, test;
    witan_dataset valid; /* text: nobody trains on it, no score counts it; else empty */
    witan_dataset second; /* transfer set of its own; 0 samples when there is none */
    witan_vocabulary vocabulary; /* text */
    witan_partition partition;
    witan_rows train_rows, test_rows, valid_rows, second_rows;
    uint32_t *test_order;   /* [test.samples] 0, 1, 2, ...; owned */
    uint32_t *second_order; /* [second.samples] as above; owned, NULL without second */
    uint32_t *valid_order;  /* [valid.samples] as above; owned, NULL without */
    witan_part transfer;    /* of second or train; 0 rows when no knowledge travels */
    /* What witan_world_plant (setup/canary_file.h) added; empty without canaries. */
    uint32_t **planted; /* [clients] owned lists: a holder's whole training part */
    size_t
        *planted_count; /* [clients] rows at the end of that list that are canaries */
    uint32_t *planted_transfer; /* the whole transfer part, probes last; owned */
    size_t probes;
    struct witan_probe *probe;  /* [probes] owned */
    uint8_t planted_digest[32]; /* of the plan; zeros without */
    char summary[512];          /* the data in one line, for a person */
} witan_world;

/* Loads the data, copies the training set's scale to a second one, and draws the
 * partition. Owned by the caller, freed with witan_world_fini; zeroed on failure.
 * Errors: those of witan_data_load and witan_partition_make; E_DATA when a second set
 * has another shape; E_CONFIG when it has too few rows, or when the strategy needs a
 * transfer set and transfer.samples gives it no row. */
WITAN_NODISCARD witan_status witan_world_load(witan_world *out,
                                              const witan_config *config,
                                              const witan_allocator *allocator,
                                              witan_diag *diag);
/* Frees what it owns and zeroes it; idempotent. */
void witan_world_fini(witan_world *self, const witan_allocator *allocator);

/* Parts borrow from the world. A client is < partition.clients. */
witan_part witan_world_private_part(const witan_world *self, size_t client);
/* Rows of the training set, or of the global test set when
 * partition.test_is_global: then its indices are positions in the global part too. */
witan_part witan_world_own_test(const witan_world *self, size_t client);
witan_part witan_world_global_test(const witan_world *self);
/* 0 rows unless the data are text. */
witan_part witan_world_validation(const witan_world *self);
/* What a model of these data reads and predicts. */
witan_input witan_world_input(const witan_world *self);

/* The transfer set as it travels (data/package.h), with the training set's classes and
 * their names: a second set may have none, or others. Errors: as witan_package_write.
 */
WITAN_NODISCARD witan_status witan_world_package(uint8_t **out, size_t *size,
                                                 const witan_world *self,
                                                 const witan_allocator *allocator,
                                                 witan_diag *diag);

/* Digest of the text that witan_config_identity gives, the data sets and the partition:
 * two runs with different ones are not of one experiment. */
void witan_world_digest(const witan_world *self, const witan_text *config,
                        uint8_t out[32]);

#endif
