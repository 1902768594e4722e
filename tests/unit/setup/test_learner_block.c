/* test_learner_block.c - the bits a client starts from. */
#include <stdint.h>
#include <string.h>

#include "setup/learner_block.h"
#include "support/witan_test.h"

static witan_model *model;
static witan_learning_plan plan = {.seed = 77};

static void
make_model(size_t inputs)
{
    static witan_model_spec spec;
    witan_diag diag = {0};
    witan_model_free(&model);
    CHECK_STATUS(witan_zoo_parse(&spec, "linear", &diag), WITAN_OK);
    CHECK_STATUS(witan_model_new(&model, witan_allocator_default(), &spec,
                                 (witan_shape){1, 1, inputs}, 3, &diag),
                 WITAN_OK);
    CHECK(witan_model_parameters(model) == (inputs + 1) * 3);
}

static witan_learner
make(uint32_t client)
{
    witan_learner out;
    CHECK_STATUS(
        witan_learner_block_new(&out, &plan, model, client, witan_allocator_default()),
        WITAN_OK);
    return out;
}

static void
starts_from_its_stream(void)
{
    plan.optimiser = (witan_optimiser_config){.kind = WITAN_OPTIMISER_ADAM};
    witan_learner one = make(5), two = make(6);
    float expected[24], zero[48] = {0};
    witan_random random;
    witan_random_init(&random, 77, 5, 0, WITAN_PURPOSE_INITIALISE);
    witan_model_initialise(model, expected, &random);
    CHECK(memcmp(one.parameters, expected, sizeof expected) == 0);
    CHECK(memcmp(one.parameters, two.parameters, sizeof expected) != 0);
    CHECK(one.model == model && one.optimiser == &plan.optimiser);
    CHECK(one.optimiser_step == 0);
    CHECK(memcmp(one.optimiser_state, zero, sizeof zero) == 0);
    witan_learner_block_free(&one, witan_allocator_default());
    witan_learner_block_free(&two, witan_allocator_default());
    CHECK(one.parameters == NULL && one.optimiser_state == NULL);
    witan_learner_block_free(&one, witan_allocator_default());
}

static void
state_follows_on_an_aligned_float(void)
{
    plan.optimiser = (witan_optimiser_config){.kind = WITAN_OPTIMISER_ADAM};
    witan_learner adam = make(0);
    CHECK(adam.optimiser_state == adam.parameters + 32);
    CHECK((uintptr_t)adam.optimiser_state % WITAN_ALIGNMENT == 0);
    CHECK(witan_learner_block_floats(&adam) == 32 + 2 * 24);
    witan_learner_block_free(&adam, witan_allocator_default());

    plan.optimiser = (witan_optimiser_config){.kind = WITAN_OPTIMISER_SGD};
    witan_learner sgd = make(0);
    CHECK(sgd.optimiser_state == NULL);
    CHECK(witan_learner_block_floats(&sgd) == 32);
    witan_learner_block_free(&sgd, witan_allocator_default());

    make_model(15); /* 48 floats: whole cache lines */
    witan_learner full = make(0);
    CHECK(witan_learner_block_floats(&full) == 48);
    witan_learner_block_free(&full, witan_allocator_default());
}

static void
failing_allocation_leaves_nothing(void)
{
    witan_failing_allocator failing;
    witan_learner out;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_learner_block_new(&out, &plan, model, 0, &failing.allocator),
                 WITAN_E_MEMORY);
    CHECK(failing.live == 0 && out.parameters == NULL && out.model == NULL);
}

int
main(void)
{
    make_model(7); /* 24 floats: the state does not start right behind */
    RUN(starts_from_its_stream);
    RUN(state_follows_on_an_aligned_float);
    RUN(failing_allocation_leaves_nothing);
    witan_model_free(&model);
    return witan_test_finish();
}
