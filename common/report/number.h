/* number.h - how numbers look, in the terminal and on the page: one form for each unit.
 * Why here: the same accuracy must not be 0.931 in one place and 93.13 in another.
 * A number that is not finite (or a negative time) is "-". */
#ifndef WITAN_REPORT_NUMBER_H
#define WITAN_REPORT_NUMBER_H

#include <stdint.h>

/* Returned by value, so that it can stand inside a format call. */
typedef struct witan_shown {
    char text[32];
} witan_shown;

/* 0.931 -> "93.1"; no sign, the unit is said beside it. */
witan_shown witan_shown_percent(double share);
/* 0.014 -> "+1.4", a difference of two shares in percentage points. */
witan_shown witan_shown_points(double difference);
/* "812 B", "12.5 kB", "1.3 MB": powers of 1000. */
witan_shown witan_shown_bytes(double bytes);
/* "36 us", "812 ms", "12.3 s", "3 min 05 s", "2 h 07 min". */
witan_shown witan_shown_seconds(double seconds);
/* "0:14", "12:03", "1:02:03": what is left of a run. */
witan_shown witan_shown_clock(double seconds);
/* "1.5", above 100 "144": exposure in bits. */
witan_shown witan_shown_bits(double bits);
/* "0.031", "2e-9": a probability. */
witan_shown witan_shown_probability(double p);
/* "2.94" with so many decimals, from a million on "2.9e6". */
witan_shown witan_shown_real(double value, int decimals);
/* "111111", from ten millions on "1.0e9". */
witan_shown witan_shown_count(double count);

#endif
