/* centralised.c - one learner on the pooled rows of everybody: the upper reference. No
 * federation can run it; the simulator can. */
#include "fusion/strategies.h"

const witan_fusion_ops witan_fusion_centralised = {
    .key = "centralised",
    .summary = "one model on everybody's data: a reference, not a federation",
    .exchange = WITAN_EXCHANGE_NONE,
    .pools_data = true,
};
