/* The event queue: smallest key first, equal keys in order of insertion. */
#include <stdint.h>

#include "base/random.h"
#include "sim/heap.h"
#include "support/witan_test.h"

enum {
    ITEMS = 1000
};

static char values[ITEMS]; /* addresses stand for numbers */

static size_t
number_of(const witan_heap_item *item)
{
    return (size_t)((const char *)item->value - values);
}

static void
comes_out_in_order(void)
{
    witan_heap heap;
    witan_heap_item item;
    witan_random random;
    double keys[ITEMS];
    bool seen[ITEMS] = {false};
    witan_random_init(&random, witan_test_seed(1), 0, 0, WITAN_PURPOSE_TEST);
    witan_heap_init(&heap, witan_allocator_default());
    CHECK(!witan_heap_pop(&heap, &item));
    for (size_t i = 0; i < ITEMS; i++) {
        keys[i] = (double)witan_random_below(&random, 50) - 25.0;
        CHECK_STATUS(witan_heap_push(&heap, keys[i], values + i), WITAN_OK);
    }
    double last_key = -100.0;
    size_t last = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        CHECK(witan_heap_pop(&heap, &item));
        size_t number = number_of(&item);
        CHECK(number < ITEMS && !seen[number] && item.key == keys[number]);
        CHECK(item.key > last_key || (item.key == last_key && number > last));
        seen[number] = true;
        last_key = item.key;
        last = number;
    }
    CHECK(!witan_heap_pop(&heap, &item));
    witan_heap_fini(&heap);
}

/* Pushed between pops: still the oldest of the smallest. */
static void
pushed_and_popped_in_turn(void)
{
    witan_heap heap;
    witan_heap_item item;
    witan_heap_init(&heap, witan_allocator_default());
    for (size_t i = 0; i < 10; i++) {
        CHECK_STATUS(witan_heap_push(&heap, 1.0, values + i), WITAN_OK);
    }
    for (size_t i = 0; i < 10; i++) {
        CHECK(witan_heap_pop(&heap, &item) && number_of(&item) == i);
        CHECK_STATUS(witan_heap_push(&heap, 1.0, values + 10 + i), WITAN_OK);
    }
    CHECK_STATUS(witan_heap_push(&heap, 0.5, values + 99), WITAN_OK);
    CHECK(witan_heap_pop(&heap, &item) && number_of(&item) == 99);
    for (size_t i = 10; i < 20; i++) {
        CHECK(witan_heap_pop(&heap, &item) && number_of(&item) == i);
    }
    witan_heap_fini(&heap);
}

static void
memory_may_run_out(void)
{
    witan_failing_allocator failing;
    witan_heap heap;
    witan_heap_item item;
    witan_failing_allocator_init(&failing, 2);
    witan_heap_init(&heap, &failing.allocator);
    size_t held = 0;
    while (witan_heap_push(&heap, -(double)held, values + held) == WITAN_OK) {
        held++;
    }
    CHECK(held > 0 && heap.count == held);
    for (size_t i = held; i-- > 0;) { /* what was in it is still there */
        CHECK(witan_heap_pop(&heap, &item) && number_of(&item) == i);
    }
    witan_heap_fini(&heap);
    CHECK(failing.live == 0);
}

int
main(void)
{
    RUN(comes_out_in_order);
    RUN(pushed_and_popped_in_turn);
    RUN(memory_may_run_out);
    return witan_test_finish();
}
