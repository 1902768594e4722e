/* local.c - nobody speaks: what every other strategy has to beat. */
#include "fusion/strategies.h"

const witan_fusion_ops witan_fusion_local = {
    .key = "local",
    .summary = "no exchange: every client learns alone",
    .exchange = WITAN_EXCHANGE_NONE,
};
