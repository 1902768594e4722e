#include "setup/setup.h"

#include <math.h>

void
witan_setup_source(witan_data_source *out, const witan_config *config)
{
    *out = (witan_data_source){
        .path = config->data.path,
        .format = (witan_data_format)config->data.format,
        .label = config->data.label,
        .test_fraction = config->data.test_fraction,
        .seed = config->seed,
        .standardise = config->data.standardise,
    };
}

void
witan_setup_transfer_source(witan_data_source *out, const witan_config *config)
{
    *out = (witan_data_source){
        .path = config->transfer.path,
        .format = (witan_data_format)config->transfer.format,
        .label = config->data.label,
        .test_fraction = config->data.test_fraction,
        .seed = config->seed,
        .transfer = true,
    };
}

void
witan_setup_partition(witan_partition_config *out, const witan_config *config)
{
    bool second_set = config->transfer.path[0] != '\0';
    *out = (witan_partition_config){
        .kind = (witan_partition_kind)config->data.partition.key,
        .clients = config->clients,
        .alpha = config->data.partition.alpha,
        .balance = config->data.partition.balance,
        .labels_per_client = config->data.partition.labels,
        .shards_per_client = config->data.partition.shards,
        .minimum_samples = config->data.partition.minimum,
        .retries = config->data.partition.retries,
        .path = config->data.partition.path,
        .transfer_samples = second_set ? 0 : config->transfer.samples,
        .limit = config->data.limit,
        .own_test_from_global = config->data.own_test.source == 1,
        .own_test_fraction = config->data.own_test.fraction,
        .seed = config->seed,
    };
}

void
witan_setup_optimiser(witan_optimiser_config *out, const witan_config *config)
{
    *out = (witan_optimiser_config){
        .kind = (witan_optimiser_kind)config->local.optimizer.key,
        .lr = config->local.optimizer.lr,
        .momentum = config->local.optimizer.momentum,
        .beta1 = config->local.optimizer.beta1,
        .beta2 = config->local.optimizer.beta2,
        .epsilon_adam = config->local.optimizer.epsilon,
        .weight_decay = config->local.optimizer.weight_decay,
        .clip_l2 = config->local.optimizer.clip,
        .schedule = (witan_schedule_kind)config->local.schedule.key,
        .step_rounds = config->local.schedule.step,
        .factor = config->local.schedule.factor,
        .minimum_lr = config->local.schedule.minimum_lr,
    };
}

void
witan_setup_plan(witan_learning_plan *out, const witan_config *config, size_t classes,
                 witan_part transfer)
{
    *out = (witan_learning_plan){
        .seed = config->seed,
        .rounds = config->rounds,
        .classes = classes,
        .local_epochs = config->local.epochs,
        .local_batch = config->local.batch,
        .extract_temperature = config->extract.temperature,
        .kind = config->fusion.combine == WITAN_COMBINE_LOGIT
                    ? WITAN_KNOWLEDGE_LOG_PROBABILITY
                    : WITAN_KNOWLEDGE_PROBABILITY,
        .codec = (witan_codec)config->extract.codec,
        .distill_epochs = config->distill.epochs,
        .distill_batch =
            config->distill.batch != 0 ? config->distill.batch : config->local.batch,
        .distill_temperature = config->distill.temperature,
        .distill_loss = (witan_distill_loss)config->distill.loss,
        .predict_batch = config->evaluate.batch,
        .transfer = transfer,
    };
    witan_setup_optimiser(&out->optimiser, config);
}

void
witan_setup_coordinator(witan_coordinator_config *out, const witan_config *config)
{
    *out = (witan_coordinator_config){
        .seed = config->seed,
        .clients = config->clients,
        .rounds = config->rounds,
        .participation = config->participation,
        .minimum_clients = config->round.minimum_clients,
        .target_clients = config->round.target_clients,
        .grace_ms = (uint64_t)ceil(config->round.grace * 1000.0),
        .deadline_ms = (uint64_t)ceil(config->round.deadline * 1000.0),
        .absence_ms = (uint64_t)ceil(config->round.absence * 1000.0),
        .keep_late = config->round.late == 1,
        .maximum_age = config->round.maximum_age,
        .fusion =
            {
                .combine = (witan_combine)config->fusion.combine,
                .beta = config->fusion.beta,
                .divergence = (witan_divergence)config->fusion.divergence,
                .epd = (witan_epd_estimator)config->fusion.epd,
                .neighbours = config->fusion.neighbours,
                .minimum_weight = config->fusion.minimum_weight,
                .include_self = config->fusion.include_self,
            },
    };
}
