#include "fusion/strategies.h"

#include <string.h>

static const witan_fusion_ops *const strategies[] = {
    &witan_fusion_local,  &witan_fusion_mean,        &witan_fusion_knfu,
    &witan_fusion_fedavg, &witan_fusion_centralised, NULL,
};

const witan_fusion_ops *const *
witan_fusion_strategies(void)
{
    return strategies;
}

const witan_fusion_ops *
witan_fusion_find(const char *key)
{
    for (const witan_fusion_ops *const *ops = strategies; *ops != NULL; ops++) {
        if (strcmp((*ops)->key, key) == 0) {
            return *ops;
        }
    }
    return NULL;
}
