/* test_learner_block.c - the bits a client starts from. */
#include <stdint.h>
#include <string.h>

#include "setup/learner_block.h"
#include "support/witan_test.h"

static witan_network network;
static witan_learning_plan plan = {.seed = 77};

static void
make_network(size_t inputs)
{
    static witan_model_spec spec;
    witan_diag diag = {0};
    witan_network_fini(&network);
    CHECK_STATUS(witan_zoo_parse(&spec, "linear", &diag), WITAN_OK);
    witan_input input = {.shape = {1, 1, inputs}, .outputs = 3};
    CHECK_STATUS(
        witan_network_init(&network, witan_allocator_default(), &spec, &input, &diag),
        WITAN_OK);
    CHECK(witan_network_parameters(&network) == (inputs + 1) * 3);
}

static witan_network_learner
make(uint32_t client)
{
    witan_network_learner out;
    CHECK_STATUS(witan_learner_block_new(&out, &plan, &network, client,
                                         witan_allocator_default()),
                 WITAN_OK);
    return out;
}

static void
starts_from_its_stream(void)
{
    plan.optimiser = (witan_optimiser_config){.kind = WITAN_OPTIMISER_ADAM};
    witan_network_learner one = make(5), two = make(6);
    float expected[24], zero[48] = {0};
    witan_random random;
    witan_random_init(&random, 77, 5, 0, WITAN_PURPOSE_INITIALISE);
    witan_network_initialise(&network, expected, &random);
    CHECK(memcmp(one.parameters, expected, sizeof expected) == 0);
    CHECK(memcmp(one.parameters, two.parameters, sizeof expected) != 0);
    CHECK(one.network == &network && one.optimiser == &plan.optimiser);
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
    witan_network_learner adam = make(0);
    CHECK(adam.optimiser_state == adam.parameters + 32);
    CHECK((uintptr_t)adam.optimiser_state % WITAN_ALIGNMENT == 0);
    CHECK(witan_learner_block_floats(&adam) == 32 + 2 * 24);
    witan_learner_block_free(&adam, witan_allocator_default());

    plan.optimiser = (witan_optimiser_config){.kind = WITAN_OPTIMISER_SGD};
    witan_network_learner sgd = make(0);
    CHECK(sgd.optimiser_state == NULL);
    CHECK(witan_learner_block_floats(&sgd) == 32);
    witan_learner_block_free(&sgd, witan_allocator_default());

    make_network(15); /* 48 floats: whole cache lines */
    witan_network_learner full = make(0);
    CHECK(witan_learner_block_floats(&full) == 48);
    witan_learner_block_free(&full, witan_allocator_default());
}

static void
failing_allocation_leaves_nothing(void)
{
    witan_failing_allocator failing;
    witan_network_learner out;
    witan_failing_allocator_init(&failing, 1);
    CHECK_STATUS(witan_learner_block_new(&out, &plan, &network, 0, &failing.allocator),
                 WITAN_E_MEMORY);
    CHECK(failing.live == 0 && out.parameters == NULL && out.network == NULL);
}

int
main(void)
{
    make_network(7); /* 24 floats: the state does not start right behind */
    RUN(starts_from_its_stream);
    RUN(state_follows_on_an_aligned_float);
    RUN(failing_allocation_leaves_nothing);
    witan_network_fini(&network);
    return witan_test_finish();
}
