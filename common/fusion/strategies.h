/* strategies.h - the ops of each strategy, for the table in strategies.c.
 * Private to fusion: others find a strategy by its key (fusion.h). */
#ifndef WITAN_FUSION_STRATEGIES_H
#define WITAN_FUSION_STRATEGIES_H

#include "fusion/fusion.h"

extern const witan_fusion_ops witan_fusion_local;
extern const witan_fusion_ops witan_fusion_mean;
extern const witan_fusion_ops witan_fusion_knfu;
extern const witan_fusion_ops witan_fusion_fedavg;
extern const witan_fusion_ops witan_fusion_centralised;

#endif
