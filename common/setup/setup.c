#include "setup/setup.h"

#include <math.h>

witan_rows
witan_setup_rows(const witan_dataset *set)
{
    return (witan_rows){
        .gather = witan_dataset_gather,
        .context = set,
        .windows = set->length != 0 ? witan_dataset_windows : NULL,
    };
}

witan_input
witan_setup_input(const witan_dataset *set)
{
    return (witan_input){
        .shape = {set->height, set->width, set->channels},
        .length = set->length,
        .outputs = witan_dataset_outputs(set),
    };
}

static witan_text_options
text_options(const witan_config *config)
{
    return (witan_text_options){
        .unit = (witan_text_unit)config->data.text.unit,
        .group = (witan_text_group)config->data.text.group,
        .vocabulary = config->data.text.vocabulary,
        .window = config->data.text.window,
        .valid_fraction = config->data.text.valid_fraction,
    };
}

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
        .text = text_options(config),
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
        .text = text_options(config),
    };
    out->text.group = WITAN_TEXT_GROUP_NONE; /* nobody is dealt public text */
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

witan_codec
witan_setup_codec(const witan_config *config)
{
    witan_codec kind = (witan_codec)config->extract.codec;
    return kind == WITAN_CODEC_TOP_KIND ? WITAN_CODEC_TOP(config->extract.top) : kind;
}

void
witan_setup_release(witan_release_config *out, const witan_config *config)
{
    *out = (witan_release_config){
        .swing =
            {
                .temperature_low = config->extract.temperature,
                .temperature_high =
                    fmax(config->swing.temperature_high, config->extract.temperature),
                .gamma = config->swing.gamma,
                .clip = config->swing.clip > 0.0 ? config->swing.clip : HUGE_VAL,
                .noise = (witan_swing_noise)config->swing.noise,
                .sigma = config->swing.sigma,
                .repair = (witan_swing_repair)config->swing.repair,
            },
        .label = (witan_release_label)config->swing.label,
        .response = config->swing.response,
        .gap = config->swing.gap,
        .gap_reference = (witan_gap_reference)config->swing.reference,
        .gap_quantile = config->swing.quantile,
        .rules = config->swing.rules,
        .rules_reach = config->swing.reach,
        .density = config->swing.density,
        .radius = config->swing.radius,
        .shards = config->swing.shards,
        .shard_epochs = config->swing.epochs,
    };
    out->on = out->gap || out->rules || out->density > 0.0 || out->shards > 1 ||
              config->swing.clip > 0.0 || out->swing.noise != WITAN_SWING_NOISE_NONE ||
              out->label != WITAN_RELEASE_SOFT;
}

void
witan_setup_plan(witan_learning_plan *out, const witan_config *config,
                 const witan_input *input, witan_part transfer)
{
    *out = (witan_learning_plan){
        .seed = config->seed,
        .rounds = config->rounds,
        .classes = input->outputs,
        .positions = input->length != 0 ? input->length : 1,
        .local_epochs = config->local.epochs,
        .local_batch = config->local.batch,
        .extract_temperature = config->extract.temperature,
        .kind = config->fusion.combine == WITAN_COMBINE_LOGIT
                    ? WITAN_KNOWLEDGE_LOG_PROBABILITY
                    : WITAN_KNOWLEDGE_PROBABILITY,
        .codec = witan_setup_codec(config),
        .distill_epochs = config->distill.epochs,
        .distill_batch =
            config->distill.batch != 0 ? config->distill.batch : config->local.batch,
        .distill_temperature = config->distill.temperature,
        .distill_loss = (witan_distill_loss)config->distill.loss,
        .predict_batch = config->evaluate.batch,
        .transfer = transfer,
        .private_clip = config->local.privacy.clip,
        .private_noise = config->local.privacy.noise,
    };
    witan_setup_optimiser(&out->optimiser, config);
    witan_setup_release(&out->release, config);
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

witan_status
witan_setup_check(const witan_config *config, const witan_input *input,
                  witan_diag *diag)
{
    bool text = input->length != 0;
    if (config->swing.rules && !text) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.rules: looks at digits of a text, the data are "
                               "rows of features; use swing.gap, density or shards");
    }
    if (config->swing.density > 0.0 && text) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.density: measures distances of features, the "
                               "data are text; use swing.gap or swing.rules");
    }
    if (config->swing.gap && config->swing.reference == WITAN_GAP_PUBLIC && !text) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "swing.reference: transfer rows have no labels that a "
                               "\"public\" reference could learn; use \"heard\"");
    }
    if (config->extract.codec == (int)WITAN_CODEC_TOP_KIND &&
        config->extract.top > input->outputs) {
        return witan_diag_fail(diag, WITAN_E_CONFIG,
                               "extract.top: %zu of %zu classes; use at most all",
                               config->extract.top, input->outputs);
    }
    return WITAN_OK;
}
