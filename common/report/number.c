#include "report/number.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const witan_shown dash = {"-"};

witan_shown
witan_shown_percent(double share)
{
    witan_shown self;
    if (!isfinite(share)) {
        return dash;
    }
    (void)snprintf(self.text, sizeof self.text, fabs(share) < 1e6 ? "%.1f" : "%.3g",
                   100.0 * share);
    return strcmp(self.text, "-0.0") == 0 ? (witan_shown){"0.0"} : self;
}

witan_shown
witan_shown_points(double difference)
{
    witan_shown self = witan_shown_percent(difference);
    if (self.text[0] != '-' && strcmp(self.text, "0.0") != 0) {
        memmove(self.text + 1, self.text, strlen(self.text) + 1);
        self.text[0] = '+';
    }
    return self;
}

witan_shown
witan_shown_bytes(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    witan_shown self;
    if (!isfinite(bytes) || bytes < 0.0) {
        return dash;
    }
    while (unit + 1 < sizeof units / sizeof units[0] &&
           bytes >= (unit == 0 ? 999.5 : 999.95)) {
        bytes /= 1000.0;
        unit++;
    }
    (void)snprintf(self.text, sizeof self.text, unit == 0 ? "%.0f %s" : "%.1f %s",
                   bytes, units[unit]);
    return self;
}

/* Longest time that is told apart; more is nobody's business. */
static const double SECONDS_MAX = 1e9;

witan_shown
witan_shown_seconds(double seconds)
{
    witan_shown self;
    if (!(seconds >= 0.0 && seconds <= SECONDS_MAX)) {
        return dash;
    }
    if (seconds > 0.0 && seconds < 0.0009995) {
        (void)snprintf(self.text, sizeof self.text, "%.0f us", 1e6 * seconds);
    } else if (seconds < 0.9995) {
        (void)snprintf(self.text, sizeof self.text, "%.0f ms", 1000.0 * seconds);
    } else if (seconds < 99.95) {
        (void)snprintf(self.text, sizeof self.text, "%.1f s", seconds);
    } else if (seconds < 3599.5) {
        unsigned long whole = (unsigned long)(seconds + 0.5);
        (void)snprintf(self.text, sizeof self.text, "%lu min %02lu s", whole / 60,
                       whole % 60);
    } else {
        unsigned long minutes = (unsigned long)(seconds / 60.0 + 0.5);
        (void)snprintf(self.text, sizeof self.text, "%lu h %02lu min", minutes / 60,
                       minutes % 60);
    }
    return self;
}

witan_shown
witan_shown_clock(double seconds)
{
    witan_shown self;
    if (!(seconds >= 0.0 && seconds <= SECONDS_MAX)) {
        return dash;
    }
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole < 3600) {
        (void)snprintf(self.text, sizeof self.text, "%lu:%02lu", whole / 60,
                       whole % 60);
    } else {
        (void)snprintf(self.text, sizeof self.text, "%lu:%02lu:%02lu", whole / 3600,
                       whole / 60 % 60, whole % 60);
    }
    return self;
}

/* "1.0e+09" -> "1.0e9", "2e-09" -> "2e-9". */
static witan_shown
shorten_exponent(witan_shown self)
{
    char *from = strchr(self.text, 'e');
    if (from != NULL) {
        char *to = ++from;
        from += *from == '+' ? 1 : 0;
        if (*from == '-') {
            to++;
            from++;
        }
        from += strspn(from, "0");
        memmove(to, *from == '\0' ? "0" : from, strlen(from) + 1);
    }
    return self;
}

witan_shown
witan_shown_real(double value, int decimals)
{
    witan_shown self;
    if (!isfinite(value)) {
        return dash;
    }
    if (fabs(value) >= 1e6) {
        (void)snprintf(self.text, sizeof self.text, "%.1e", value);
        return shorten_exponent(self);
    }
    (void)snprintf(self.text, sizeof self.text, "%.*f", decimals, value);
    return self.text[0] == '-' && strspn(self.text, "-0.") == strlen(self.text)
               ? witan_shown_real(0.0, decimals)
               : self;
}

witan_shown
witan_shown_bits(double bits)
{
    return witan_shown_real(bits, fabs(bits) < 99.95 ? 1 : 0);
}

witan_shown
witan_shown_probability(double p)
{
    witan_shown self;
    if (!(p >= 0.0 && p <= 1.0)) {
        return dash;
    }
    if (p >= 0.0005 || p == 0.0) {
        return witan_shown_real(p, p == 0.0 ? 0 : 3);
    }
    (void)snprintf(self.text, sizeof self.text, "%.0e", p);
    return shorten_exponent(self);
}

witan_shown
witan_shown_count(double count)
{
    witan_shown self;
    if (!isfinite(count) || count < 0.0) {
        return dash;
    }
    (void)snprintf(self.text, sizeof self.text, count < 1e7 ? "%.0f" : "%.1e", count);
    return shorten_exponent(self);
}
