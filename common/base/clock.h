/* clock.h - time is handed in: cores and rooms never ask the system for it. */
#ifndef WITAN_BASE_CLOCK_H
#define WITAN_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

typedef struct witan_clock {
    uint64_t (*now_ns)(void *context); /* monotonic nanoseconds from any origin */
    void *context;
} witan_clock;

/* 0 when no clock was given. */
static inline uint64_t
witan_clock_now_ns(const witan_clock *clock)
{
    return clock == NULL || clock->now_ns == NULL ? 0 : clock->now_ns(clock->context);
}

#endif
