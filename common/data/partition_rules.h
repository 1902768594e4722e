/* partition_rules.h - one function per way of dealing rows to clients; used by
 * partition.c alone, which shuffles the rows before and builds the lists after. */
#ifndef WITAN_DATA_PARTITION_RULES_H
#define WITAN_DATA_PARTITION_RULES_H

#include "base/random.h"
#include "data/partition.h"

typedef struct witan_deal {
    const witan_partition_config *config; /* checked */
    const witan_allocator *allocator;
    witan_diag *diag;
    size_t count; /* rows to deal, named by position 0..count-1 */
    size_t classes;
    const uint32_t
        *by_class; /* [count] positions grouped by class, random within one */
    const size_t *class_start; /* [classes + 1] into by_class */
    size_t need;      /* rows that every client must get; clients*need <= count */
    uint32_t *holder; /* [count] out: client, or WITAN_CLIENT_NONE as given */
    size_t *sizes;    /* [clients] out: rows per client; zero as given */
    size_t moved;     /* out: rows moved from the largest holders */
} witan_deal;

/* Deals by config->kind (not FILE). Errors: E_CONFIG when the rule cannot give every
 * client `need` rows, E_LIMIT, E_MEMORY. */
WITAN_NODISCARD witan_status witan_deal_run(witan_deal *self);

#endif
