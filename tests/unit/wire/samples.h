/* samples.h - one packet of each kind and more with values at their bounds: the structs
 * behind tests/golden/vectors/wire/packets.txt, whose bytes wire.py made. */
#ifndef WITAN_TESTS_WIRE_SAMPLES_H
#define WITAN_TESTS_WIRE_SAMPLES_H

#include "wire/packet.h"

enum {
    SAMPLES = 23,
    SAMPLE_BYTES_MAX = 1024
};

/* Fills *out with sample `index` < SAMPLES and returns its name in packets.txt. */
const char *sample_packet(witan_packet *out, size_t index);
/* The one of that name. */
void sample_named(witan_packet *out, const char *name);

/* Golden bytes of a name; returns their number. Fails the test when there are none. */
size_t sample_bytes(uint8_t out[SAMPLE_BYTES_MAX], const char *name);
/* Bytes of hexadecimal text up to the end of its line. */
size_t sample_unhex(uint8_t *out, size_t room, const char *hex);

/* Same kind and fields, bit for bit, texts and data by content. */
bool sample_equal(const witan_packet *a, const witan_packet *b);

#endif
